"""The unit of a formula that is one call of ours, for people who read answers in a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlsysim.errors import MlsysError
from mlsysim.units import unit_of
from udfs import Published
from udfs.tools import unit_of_field

from .errors import WorkbookError
from .whitelist import is_bare_call, parse


def refuse_unreadable(formula: str) -> None:
    """Refuse a formula that cannot be parsed, and say where the reader should look.

    Raises
    ------
    WorkbookError
        When `formula`, which starts with "=", is no formula.
    """
    try:
        parse(formula)
    except ValueError as trouble:
        start = re.search(r"start: (\d+)", str(trouble))
        if formula.count('"') % 2:
            why = "a text is not closed; put quotation marks around it"
        elif start:
            why = f"cannot be read at {formula[int(start[1]) :]!r}; separate arguments with commas"
        else:
            why = "cannot be read to its end; check that every bracket is closed, and separate arguments with commas"
        raise WorkbookError(f"{formula}: {why}.") from None


def unit_of_call(formula: str, functions: Mapping[str, Published]) -> str:
    """Face unit of the answer of ``=MLS_X(...)``; empty where the formula is more than one call or has no unit."""
    tree = parse(formula)
    if not is_bare_call(tree):
        return ""
    name = str(tree.get("name", "")).upper()
    function = functions.get(name)
    if function is None:
        return ""
    if function.entry is None:
        return _unit_of_tool(name, tree)
    entry = function.entry
    if not entry.metrics:
        unit = unit_of(entry.returns)
        return unit.face if unit else ""
    names = [a.name for a in function.parameters]
    if "metric" not in names:  # a table: its header row names the units
        return ""
    metric = _text_argument(tree, names.index("metric"))
    hint = entry.metrics.get(metric.casefold() if metric else next(iter(entry.metrics)))
    unit = unit_of(hint) if hint is not None else None
    return unit.face if unit else ""


def _unit_of_tool(name: str, tree: dict[str, object]) -> str:
    """The unit of a look-up or a conversion whose arguments are written out."""
    if name == "MLS_CONVERT":
        return _text_argument(tree, 2) or ""
    row = [_text_argument(tree, i) for i in range(3)]
    if name != "MLS_GET" or None in row:
        return ""
    try:
        return unit_of_field(*(str(word) for word in row))
    except MlsysError:  # the answer is the refusal
        return ""


def _text_argument(tree: dict[str, object], index: int) -> str | None:
    """A literal text argument of a call, or None."""
    arguments = tree.get("args") or tree.get("arguments") or []
    if not isinstance(arguments, list) or index >= len(arguments):
        return None
    value = arguments[index].get("value")
    return value if isinstance(value, str) else None
