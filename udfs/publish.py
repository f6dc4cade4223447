"""A catalogue entry as an Excel function: positional, in face units, ranges in, blocks out.

    cells -> plain -> broadcast -> one call of the entry per distinct set of words (keys, metric, precision ...)
    with all its numbers at once -> face units -> cells

Refusals are values, not exceptions: a sentence in the cell, and in a block only where it belongs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mlsysim.catalogue import Entry, Param
from mlsysim.errors import MlsysError, OutOfDomain, UnknownName
from mlsysim.tables import is_table
from mlsysim.units import codes_of, unit_of

from . import tables
from .arguments import (
    ALL,
    BAND,
    HELP_LIMIT,
    NOT_VALIDATED,
    Argument,
    excel_params,
    number,
    options_cell,
    wizard_help,
    words_of,
)
from .cells import Block, Cell, Objects, as_objects, block, is_blank, is_error, outward, refusal

# results that stay true of a plan that does not fit
_STATIC = {
    "memory_utilization",
    "min_devices",
    "efficiency_used",
    "arithmetic_intensity",
    "parallelism",
    "bubble_fraction",
    "bottleneck",
    "binding",
}


_THOUSANDS = "; a comma separates arguments, so write 4096 and not 4,096"


@dataclass(frozen=True, slots=True)
class Published:
    """An Excel function: call it with raw cells, get a cell or a block; it never raises for a user's mistake."""

    name: str
    summary: str
    group: str
    parameters: tuple[Argument, ...]
    run: Callable[[Sequence[Any]], Cell | Block]
    entry: Entry | None = None

    def __call__(self, *cells: Any) -> Cell | Block:
        """Answer in cells; refusals are text that starts with ``#MLS!``."""
        if len(cells) > len(self.parameters):
            count = f"{self.name} takes at most {len(self.parameters)} arguments, got {len(cells)}"
            return refusal(f"{count}{_THOUSANDS if _looks_cut(cells) else ''}")
        try:
            return self.run([*cells, *[None] * (len(self.parameters) - len(cells))])
        except MlsysError as error:
            return refusal(_named(self.entry, error))
        except (ArithmeticError, RecursionError):
            return refusal(f"{self.name}: these figures together leave the range of arithmetic; check their units")


def _looks_cut(cells: Sequence[Any]) -> bool:
    """Whether two neighbours may be one number that was written with a comma between its thousands."""
    groups = [isinstance(c, (int, float)) and not isinstance(c, bool) and c in range(1000) for c in cells]
    return any(left and right for left, right in pairwise(groups))


def _named(entry: Entry | None, error: MlsysError) -> str:
    """The sentence of a refusal, with the name of the function as the sheet has it."""
    text = str(error)
    if entry is None or text.startswith(entry.excel):
        return text
    return f"{entry.excel}: {text.removeprefix(f'{entry.name}: ')}"


def publish(entry: Entry) -> Published:
    """Make the Excel function of an entry."""
    params = excel_params(entry)
    arguments = tuple(Argument(p.name, wizard_help(p, entry), not p.required) for p in params)
    run = tables.run if is_table(entry) else _run
    return Published(
        entry.excel, entry.summary[:HELP_LIMIT], entry.group, arguments, lambda cells: run(entry, params, cells), entry
    )


# ------------------------------------------------------------------ one call, many elements


def _run(entry: Entry, params: tuple[Param, ...], cells: Sequence[Any]) -> Cell | Block:
    arrays = [as_objects(options_cell(entry, p, c)) for p, c in zip(params, cells, strict=True)]
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        shapes = "; ".join(
            f"{p.name} {a.shape[0]} x {a.shape[1]}" for p, a in zip(params, arrays, strict=True) if a.ndim
        )
        raise OutOfDomain(
            f"{entry.excel}: ranges must have equal sizes, or be a row and a column, got {shapes}"
        ) from None
    if shape == ():
        cell = {p.name: a.item() for p, a in zip(params, arrays, strict=True)}
        if str(cell.get("metric") or "").strip().casefold() == ALL:
            return _all_metrics(entry, params, cell)
    size = math.prod(shape)
    columns = {p.name: np.broadcast_to(a, shape).reshape(size) for p, a in zip(params, arrays, strict=True)}
    answers = np.full(size, None, dtype=object)
    groups: dict[tuple[Any, ...], list[int]] = {}
    words = [p.name for p in params if p.unit is None]
    knobs = [p.name for p in params if p.unit is not None and p.default is None]  # blank: not the same as a number
    for i in range(size):
        key = tuple(columns[w][i] for w in words)
        groups.setdefault((*key, *(is_blank(columns[k][i]) for k in knobs)), []).append(i)
    for key, members in groups.items():
        index = np.array(members)
        numbers = {p.name: columns[p.name][index] for p in params if p.unit is not None}
        _solve_group(entry, params, dict(zip(words, key, strict=False)), numbers, index, answers)
    return block(answers.reshape(shape))


def _solve_group(
    entry: Entry,
    params: tuple[Param, ...],
    words: dict[str, Any],
    numbers: dict[str, Objects],
    index: np.ndarray[Any, np.dtype[np.intp]],
    answers: Objects,
) -> None:
    """Answer the elements of `index`, which differ in numbers only; bad elements fail alone."""
    try:
        given, metric = words_of(entry, params, words)
    except MlsysError as error:
        answers[index] = refusal(_named(entry, error))
        return
    good = np.ones(len(index), dtype=bool)
    for param in params:
        if param.unit is None:
            continue
        column, value = numbers[param.name], np.zeros(len(index))
        blanks = sum(is_blank(c) for c in column)
        if blanks == len(column) and not param.required:
            continue
        if all(type(c) is float for c in column):  # the common case, in one pass
            value = param.unit.from_face(column.astype(np.float64))
            given[param.name] = value
            suspects = np.flatnonzero(~param.unit.mask(value)).tolist()
        else:
            suspects = list(range(len(column)))
        for j in suspects:
            cell = column[j]
            try:
                value[j] = number(entry, param, cell)
            except MlsysError as error:
                good[j], answers[index[j]] = False, refusal(str(error))
        given[param.name] = value
    if good.any():
        kept = {n: v[good] if isinstance(v, np.ndarray) else v for n, v in given.items()}
        _call(entry, kept, metric, index[good], answers)


def _call(entry: Entry, given: dict[str, Any], metric: str, index: Any, answers: Objects) -> None:
    """One pass over all elements; where that is refused, halves, until the culprits stand alone."""
    try:
        scalar = {n: float(v[0]) if isinstance(v, np.ndarray) and len(index) == 1 else v for n, v in given.items()}
        answers[index] = _picked(entry, entry.call(**scalar), metric, len(index))
    except MlsysError as error:
        if len(index) == 1:
            answers[index] = refusal(_named(entry, error))
            return
        half = len(index) // 2
        for part in (slice(None, half), slice(half, None)):
            some = {n: v[part] if isinstance(v, np.ndarray) else v for n, v in given.items()}
            _call(entry, some, metric, index[part], answers)


# ------------------------------------------------------------------ outward


def _picked(entry: Entry, out: Any, metric: str, size: int) -> Objects:
    """The metric of a result for every element, in face units; what cannot happen is refused."""
    cells = np.full(size, None, dtype=object)
    if metric and metric not in entry.metrics:  # the band of a figure that has none
        cells[:] = NOT_VALIDATED
        return cells
    hint = entry.metrics[metric] if metric else entry.returns
    value = getattr(out, metric) if metric else out
    cells[:] = _face(hint, value, size)
    unit = unit_of(hint)
    lowest = None if unit is None else float(unit.to_face(unit.low))
    for j in range(size):
        if isinstance(cells[j], float) and not math.isfinite(cells[j]) and metric.endswith(BAND):
            cells[j] = NOT_VALIDATED
        elif isinstance(cells[j], float) and not math.isfinite(cells[j]):
            cells[j] = refusal(f"{entry.excel}: {_unknown(metric, out)}")
        elif isinstance(cells[j], float) and lowest is not None and cells[j] < lowest:
            cells[j] = refusal(
                f"{entry.excel}: {metric or 'the result'} comes out below {lowest:g}: facts contradict each other"
            )
    if metric and hasattr(out, "feasible") and not survives(metric, hint, getattr(out, "always", ())):
        fits = np.broadcast_to(np.asarray(out.feasible), size)
        for j in np.flatnonzero(~fits).tolist():
            cells[j] = refusal(_does_not_fit(out, j, size))
    return cells


def _unknown(metric: str, out: Any) -> str:
    """Why a result is no number; a result's class names what is missing in `needs`."""
    if not metric:
        return "the result leaves the range of arithmetic; check the units"
    return f"{metric} is unknown: {getattr(out, 'needs', {}).get(metric, 'a fact that it needs is not on record')}"


def _face(hint: Any, value: Any, size: int) -> list[Cell]:
    unit, code = unit_of(hint), codes_of(hint)
    if isinstance(value, np.ndarray):
        flat = np.broadcast_to(value, size)
        if code is not None:
            return [str(code(int(v))) for v in flat]
        return (unit.to_face(flat) if unit else flat).tolist()  # type: ignore[no-any-return]
    if code is not None:
        return [str(code(int(value)))] * size
    if unit is not None:
        value = unit.to_face(value)
    return [value if isinstance(value, float) else outward(value)] * size


def survives(metric: str, hint: Any, always: Collection[str] = ()) -> bool:
    """Whether a metric stays true of a plan that does not fit: words, flags, bytes, and what depends on no time."""
    unit = unit_of(hint)
    kept = metric in _STATIC or metric in always
    return kept or (unit is None and codes_of(hint) is None) or (unit is not None and unit.base == "B")


def _does_not_fit(out: Any, j: int, size: int) -> str:
    if hasattr(out, "why") and (reason := out.why(j)):  # not for want of memory
        return str(reason)
    need, short = (float(np.broadcast_to(np.asarray(getattr(out, n)), size)[j]) for n in (out.memory, "shortfall"))
    ratio = need / (need - short) if need > short else 0.0
    times = f" ({ratio:.2f} times the memory there is)" if ratio >= 1.01 else ""
    return f"does not fit: needs {need / 1e9:.4g} GB, usable {(need - short) / 1e9:.4g} GB{times}; {out.remedy}"


def _all_metrics(entry: Entry, params: tuple[Param, ...], cell: dict[str, Any]) -> Cell | Block:
    """Metric, value and unit of every result of one call; where the call itself is refused, that one sentence."""
    if not entry.metrics:
        raise UnknownName(f"{entry.excel} has one answer only")
    table: Block = []
    for name, hint in entry.metrics.items():
        one = np.full(1, None, dtype=object)
        words = {p.name: cell[p.name] for p in params if p.unit is None} | {"metric": name}
        numbers = {p.name: np.array([cell[p.name]], dtype=object) for p in params if p.unit is not None}
        _solve_group(entry, params, words, numbers, np.array([0]), one)
        unit = unit_of(hint)
        table.append([name, one[0], unit.face if unit else ""])
    values = {row[1] for row in table}
    return values.pop() if len(values) == 1 and is_error(table[0][1]) else table
