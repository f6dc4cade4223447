"""A catalogue entry that answers with a table, as an Excel function: single cells in, a header row and rows out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlsysim.catalogue import Entry, Param
from mlsysim.units import codes_of, unit_of

from .arguments import one_call
from .cells import TEXT_LIMIT, Block, Cell, outward, refusal


def run(entry: Entry, params: tuple[Param, ...], cells: Sequence[Any]) -> Block:
    """Answer one call; rows are in face units, which the header names: ``step_latency_total [s]``."""
    given, _ = one_call(entry, params, cells)
    out = entry.call(**given)
    columns = {name: _column(entry, name, hint, getattr(out, name)) for name, hint in entry.metrics.items()}
    return [[heading(n, entry.metrics[n]) for n in columns], *(list(r) for r in zip(*columns.values(), strict=True))]


def heading(name: str, hint: Any) -> str:
    """A column's name with its face unit."""
    unit = unit_of(hint)
    return f"{name} [{unit.face}]" if unit and unit.face else name


def _column(entry: Entry, name: str, hint: Any, values: Any) -> list[Cell]:
    return [cell_of(entry, name, hint, v) for v in np.atleast_1d(np.asarray(values)).tolist()]


def cell_of(entry: Entry, name: str, hint: Any, value: Any) -> Cell:
    """One figure in its face unit; a code as its word."""
    unit, code = unit_of(hint), codes_of(hint)
    if code is not None:
        return str(code(int(value)))
    if isinstance(value, float) and not math.isfinite(value):
        return refusal(f"{entry.excel}: {name} is unknown: a fact that it needs is not on record")
    if isinstance(value, str) and len(value) > TEXT_LIMIT:  # classic Excel makes #VALUE! of it
        return value[: TEXT_LIMIT - 3] + "..."
    return outward(value if unit is None else float(unit.to_face(value)))
