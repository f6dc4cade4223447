"""The unit of a formula that is one call of ours, for people who read answers in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from mlsysim.units import unit_of
from udfs import Published

from .whitelist import is_bare_call, parse


def unit_of_call(formula: str, functions: Mapping[str, Published]) -> str:
    """Face unit of the answer of ``=MLS_X(...)``; empty where the formula is more than one call or has no unit."""
    tree = parse(formula)
    if not is_bare_call(tree):
        return ""
    name = str(tree.get("name", "")).upper()
    function = functions.get(name)
    if function is None or function.entry is None:
        return ""
    entry = function.entry
    if not entry.metrics:
        unit = unit_of(entry.returns)
        return unit.face if unit else ""
    metric = _text_argument(tree, [a.name for a in function.parameters].index("metric"))
    hint = entry.metrics.get(metric or next(iter(entry.metrics)))
    unit = unit_of(hint) if hint is not None else None
    return unit.face if unit else ""


def _text_argument(tree: dict[str, object], index: int) -> str | None:
    """A literal text argument of a call, or None."""
    arguments = tree.get("args") or tree.get("arguments") or []
    if not isinstance(arguments, list) or index >= len(arguments):
        return None
    value = arguments[index].get("value")
    return str(value).casefold() if isinstance(value, str) else None
