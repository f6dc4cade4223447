"""Values of registries and of cells, compared and shown: what a refresh takes for the same."""

from __future__ import annotations

import math
import re
from datetime import date
from functools import cache
from typing import Any

from mlsysim.errors import MlsysError
from mlsysim.registry import REGISTRIES, Fact, Registry, Thing, fields
from mlsysim.units import unit_of
from mlsysim.version import __version__
from workbook.cells import Cell
from workbook.sheets.registries import source_rows

Value = Cell | None
UNKNOWN = object()  # a shipped value that the file does not tell
_EPOCH = date(1899, 12, 30)
_SAME = 1e-12  # Excel keeps 15 to 17 digits


@cache
def rows_of(registry: Registry[Any]) -> dict[str, list[dict[str, Any]]]:
    """The shipped rows of the sources by key."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for says in source_rows(registry):
        rows.setdefault(says["key"], []).append(says)
    return rows


def face_of(kind: type[Thing], name: str, printed: Value, fact_kind: Value) -> Any:
    """What a cell showed when a fact was shipped as `printed`; `UNKNOWN` where that cannot be told."""
    if printed is None:
        return None
    if fact_kind == "user":
        return UNKNOWN
    hint = fields(kind)[name]
    unit = unit_of(hint)
    nested = next((h for h in (hint, *getattr(hint, "__args__", ())) if h in REGISTRIES), None)
    try:
        if unit is not None:  # a program may have made a number of a figure without a unit
            return unit.printed_in_face(f"{printed:.15g}" if isinstance(printed, float) else str(printed))
        if nested is not None:
            return REGISTRIES[nested].resolve(printed).key
    except MlsysError:
        return UNKNOWN if unit is not None else printed
    return str(printed).casefold() == "true" if "bool" in str(hint) else printed


def later(now: Value, shipped: date) -> bool:
    """Whether a cell names a later day than this version does."""
    return isinstance(now, float) and now > (shipped - _EPOCH).days


def noted(note: str, what: str) -> str:
    """A note with the mark of this refresh."""
    return f"{note} [refreshed to {__version__}: {what}]".lstrip()


def unmarked(note: Value) -> str:
    """A note without the mark of an earlier refresh."""
    return re.sub(r" ?\[refreshed to [^:]*: .*\]\Z", "", str(note or ""), flags=re.S)


def as_cell(value: Any) -> Value:
    """A value of a registry as a cell holds it."""
    if isinstance(value, date):
        return float((value - _EPOCH).days)
    if isinstance(value, (bool, str)) or value is None:
        return None if value == "" else value
    return float(value)


def same(one: Any, other: Any) -> bool:
    """Whether two cells hold the same; numbers as far as Excel keeps their digits."""
    if isinstance(one, bool) or isinstance(other, bool) or not (isinstance(one, float) and isinstance(other, float)):
        return type(one) is type(other) and bool(one == other)
    return math.isclose(one, other, rel_tol=_SAME)


def shown(value: Any) -> str:
    """A cell for the report."""
    if value is None:
        return "(blank)"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def shown_date(value: Any) -> str:
    """A day for the report."""
    return str(date.fromordinal(_EPOCH.toordinal() + int(value))) if isinstance(value, float) else shown(value)


def cited(fact: Fact) -> str:
    """Where a figure is from, for the report."""
    return f"({fact.source.title}, {fact.source.as_of})"
