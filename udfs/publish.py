"""A catalogue entry as an Excel function: positional, in face units, ranges in, blocks out.

    cells -> plain -> broadcast -> one call of the entry per distinct set of words (keys, metric, precision ...)
    with all its numbers at once -> face units -> cells

Refusals are values, not exceptions: a sentence in the cell, and in a block only where it belongs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

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
from .cells import Block, Cell, Floats, Objects, as_array, block, is_blank, is_error, outward, refusal

Array: TypeAlias = npt.NDArray[Any]  # of float64, or of objects
Index: TypeAlias = npt.NDArray[np.intp]
Mask: TypeAlias = npt.NDArray[np.bool_]

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
    arrays: dict[str, Array] = {p.name: as_array(options_cell(entry, p, c)) for p, c in zip(params, cells, strict=True)}
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError:
        shapes = "; ".join(f"{n} {a.shape[0]} x {a.shape[1]}" for n, a in arrays.items() if a.ndim)
        raise OutOfDomain(
            f"{entry.excel}: ranges must have equal sizes, or be a row and a column, got {shapes}"
        ) from None
    if shape == ():
        cell = {n: a.item() for n, a in arrays.items()}
        if str(cell.get("metric") or "").strip().casefold() == ALL:
            return _all_metrics(entry, params, cell)
    size = math.prod(shape)
    columns: dict[str, Array] = {n: np.broadcast_to(a, shape).reshape(size) if a.ndim else a for n, a in arrays.items()}
    answers = np.full(size, None, dtype=object)
    for index in _alike(params, columns, size):
        words = {p.name: _first(columns[p.name], index) for p in params if p.unit is None}
        numbers = {p.name: _at(columns[p.name], index) for p in params if p.unit is not None}
        _solve_group(entry, params, words, numbers, index, answers)
    return block(answers.reshape(shape))


def _alike(params: tuple[Param, ...], columns: Mapping[str, Array], size: int) -> Iterator[Index]:
    """Elements by what cannot be one array: equal words, and knobs that are blank (not the same as a number)."""
    keys: list[list[Any]] = []
    for param in params:
        column = columns[param.name]
        if param.unit is None and column.ndim:
            keys.append(column.tolist())
        elif param.unit is not None and param.default is None and column.ndim and column.dtype == object:
            keys.append([is_blank(cell) for cell in column])
    if not keys:
        yield np.arange(size)
        return
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, key in enumerate(zip(*keys, strict=True)):
        groups.setdefault(key, []).append(i)
    yield from map(np.array, groups.values())


def _first(column: Array, index: Index) -> Any:
    return column[index[0]] if column.ndim else column.item()


def _at(column: Array, index: Index) -> Array:
    """The elements of a group; a single cell stays one."""
    return column if not column.ndim or len(index) == len(column) else column[index]


def _solve_group(
    entry: Entry,
    params: tuple[Param, ...],
    words: dict[str, Any],
    numbers: Mapping[str, Array],
    index: Index,
    answers: Objects,
) -> None:
    """Answer the elements of `index`, which differ in numbers only; bad elements fail alone."""
    try:
        given, metric = words_of(entry, params, words)
        for param in params:
            if param.unit is not None and not numbers[param.name].ndim:
                cell = numbers[param.name].item()
                if param.required or not is_blank(cell):
                    given[param.name] = number(entry, param, cell)
    except MlsysError as error:
        answers[index] = refusal(_named(entry, error))
        return
    good = np.ones(len(index), dtype=bool)
    for param in params:
        if param.unit is not None and numbers[param.name].ndim:
            value = _column(entry, param, numbers[param.name], index, good, answers)
            if value is not None:
                given[param.name] = value
    if good.all():
        _call(entry, given, metric, index, answers)
    elif good.any():
        kept = {n: v[good] if isinstance(v, np.ndarray) else v for n, v in given.items()}
        _call(entry, kept, metric, index[good], answers)


def _column(entry: Entry, param: Param, column: Array, index: Index, good: Mask, answers: Objects) -> Floats | None:
    """A column of numbers in base units, None where all are blank and need not be given; marks the bad elements."""
    unit = param.unit
    if unit is None:
        raise TypeError(f"{param.name} has no unit")
    if column.dtype == object and all(type(c) is float for c in column):
        column = column.astype(np.float64)
    if column.dtype == object:
        if not param.required and all(is_blank(c) for c in column):
            return None
        value, suspects = np.zeros(len(index)), np.arange(len(index))
    else:
        value = unit.from_face(column)
        suspects = np.flatnonzero(~unit.mask(value))
    for j in suspects.tolist():
        try:
            value[j] = number(entry, param, column.item(j))
        except MlsysError as error:
            good[j], answers[index[j]] = False, refusal(str(error))
    return value


def _call(entry: Entry, given: dict[str, Any], metric: str, index: Any, answers: Objects) -> None:
    """One pass over all elements; where that is refused, halves, until the culprits stand alone."""
    try:
        scalar = {n: float(v[0]) if isinstance(v, np.ndarray) and len(index) == 1 else v for n, v in given.items()}
        answers[index] = _answered(entry, scalar, metric, len(index))
    except MlsysError as error:
        if len(index) == 1:
            answers[index] = refusal(_named(entry, error))
            return
        half = len(index) // 2
        for part in (slice(None, half), slice(half, None)):
            some = {n: v[part] if isinstance(v, np.ndarray) else v for n, v in given.items()}
            _call(entry, some, metric, index[part], answers)


# ------------------------------------------------------------------ outward


def _answered(entry: Entry, given: dict[str, Any], metric: str, size: int) -> Objects:
    """The metric of one call; the whole result only where a sentence needs more of it."""
    if metric not in entry.metrics:
        return _picked(entry, entry.call(**given), metric, size)
    fits = ["feasible"] if "feasible" in entry.metrics else []
    out = entry.figures(list(dict.fromkeys([metric, *fits])), given)
    told = not fits or bool(np.all(out.feasible)) or survives(metric, entry.metrics[metric], getattr(out, "always", ()))
    return _picked(entry, out if told else entry.call(**given), metric, size)


def _picked(entry: Entry, out: Any, metric: str, size: int) -> Objects:
    """The metric of a result for every element, in face units; what cannot happen is refused."""
    if metric and metric not in entry.metrics:  # the band of a figure that has none
        return _repeated(NOT_VALIDATED, size)
    hint = entry.metrics[metric] if metric else entry.returns
    cells = _face(hint, getattr(out, metric) if metric else out, size)
    if cells.dtype == np.float64:
        cells = _refused(entry, cells, metric, hint, out)
    if metric and hasattr(out, "feasible") and not survives(metric, hint, getattr(out, "always", ())):
        fits = np.broadcast_to(np.asarray(out.feasible), size)
        for j in np.flatnonzero(~fits).tolist():
            cells[j] = refusal(_does_not_fit(out, j, size))
    return cells


def _repeated(cell: Cell, size: int) -> Objects:
    return np.full(size, cell, dtype=object)


def _refused(entry: Entry, numbers: Floats, metric: str, hint: Any, out: Any) -> Objects:
    """Numbers as cells; a sentence for what is no finite number, or below what its unit allows."""
    unit = unit_of(hint)
    lowest = -math.inf if unit is None else float(unit.to_face(unit.low))
    unknown = ~np.isfinite(numbers)
    below = ~unknown & (numbers < lowest)
    cells = numbers.astype(object)
    if unknown.any():
        cells[unknown] = NOT_VALIDATED if metric.endswith(BAND) else refusal(f"{entry.excel}: {_unknown(metric, out)}")
    if below.any():
        named = metric or "the result"
        cells[below] = refusal(f"{entry.excel}: {named} comes out below {lowest:g}: facts contradict each other")
    return cells


def _unknown(metric: str, out: Any) -> str:
    """Why a result is no number; a result's class names what is missing in `needs`."""
    if not metric:
        return "the result leaves the range of arithmetic; check the units"
    return f"{metric} is unknown: {getattr(out, 'needs', {}).get(metric, 'a fact that it needs is not on record')}"


def _face(hint: Any, value: Any, size: int) -> Array:
    """A result in face units, one for every element: numbers as float64, all else as cells."""
    unit, code = unit_of(hint), codes_of(hint)
    if isinstance(value, np.ndarray):
        flat = np.broadcast_to(value, size)
        if code is not None:
            return np.array([str(code(int(v))) for v in flat], dtype=object)
        if flat.dtype == bool:
            return flat.astype(object)
        return np.asarray(unit.to_face(flat) if unit else flat, dtype=np.float64)
    if code is not None:
        return _repeated(str(code(int(value))), size)
    if unit is not None:
        value = unit.to_face(value)
    return np.full(size, value) if isinstance(value, float) else _repeated(outward(value), size)


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
