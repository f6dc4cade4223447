"""Every configuration of a grid, in bounded memory: `sweep("serving", model="Llama3_8B", batch=[1, 2, 4], ...)`.

The grid is cut into chunks; a chunk is one call of the function with its axes as broadcast arrays, so that what depends
on few axes is computed once for them.  Reducers keep what was asked for and nothing else, and their states merge in the
order of the grid, wherever the chunks were computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import Entry, catalogue
from .errors import AllRefused, MlsysError, OutOfDomain, UnknownName, WrongArguments, collecting
from .reducers import Chunk, Floats, Reducer, State
from .tables import is_table

CHUNK = 1 << 18  # configurations at once: a few arrays of two megabytes each
OPERATORS = {"<=": np.less_equal, ">=": np.greater_equal, "<": np.less, ">": np.greater, "==": np.equal}
Where = tuple[tuple[str, str, float], ...]


@dataclass(frozen=True)
class Grid:
    """What is swept: a function, its axes, what must hold, and what is kept.  Numbers are in base units.

    Axes of words are the outer loops, axes of numbers the inner ones, each in the order in which they were given.
    """

    function: str
    words: dict[str, tuple[Any, ...]]
    numbers: dict[str, Floats]
    fixed: dict[str, Any]
    where: Where
    keep: tuple[Reducer, ...]
    chunk: int = CHUNK
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """The sizes of all axes."""
        object.__setattr__(self, "shape", (*map(len, self.words.values()), *map(len, self.numbers.values())))

    @property
    def size(self) -> int:
        """Configurations."""
        return math.prod(self.shape)

    def cut(self) -> tuple[int, int, int]:
        """Where the axes of numbers are cut: the axis that is sliced, the values of a slice, the slices of it.

        Axes before it stand still in a chunk, those after it are there as a whole.
        """
        lengths, inner, axis = [len(v) for v in self.numbers.values()], 1, len(self.numbers)
        while axis > 0 and inner * lengths[axis - 1] <= self.chunk:
            axis -= 1
            inner *= lengths[axis]
        if axis == 0:
            return 0, lengths[0] if lengths else 1, 1
        step = max(1, self.chunk // inner)
        return axis - 1, step, -(-lengths[axis - 1] // step)

    def chunks(self) -> int:
        """Calls of the function."""
        axis, _, slices = self.cut()
        return math.prod(self.shape[: len(self.words) + axis]) * slices

    def at(self, index: int) -> dict[str, Any]:
        """The words and numbers of one configuration."""
        places = np.unravel_index(index, self.shape) if self.shape else ()
        axes: dict[str, Any] = {**self.words, **self.numbers}
        return {n: v[int(i)] for (n, v), i in zip(axes.items(), places, strict=True)}

    def slices(self, number: int) -> tuple[dict[str, Any], tuple[slice, ...], int]:
        """Words of a chunk, the part of each axis of numbers, and the place of its first configuration."""
        axis, step, slices = self.cut()
        lengths = [len(v) for v in self.numbers.values()]
        outer, part = divmod(number, slices)
        places = np.unravel_index(outer, self.shape[: len(self.words) + axis]) if len(self.words) + axis else ()
        words = {n: v[int(i)] for (n, v), i in zip(self.words.items(), places, strict=False)}
        still = [slice(int(i), int(i) + 1) for i in places[len(self.words) :]]
        sliced = [slice(part * step, min((part + 1) * step, lengths[axis]))] if lengths else []
        parts = (*still, *sliced, *(slice(0, n) for n in lengths[axis + 1 :]))
        first = (*map(int, places), *(p.start for p in parts[axis:]))
        return words, parts, int(np.ravel_multi_index(first, self.shape)) if self.shape else 0


@dataclass
class Partial:
    """What some neighbouring chunks of a grid came to."""

    states: list[State]
    passing: int = 0
    refused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)  # sentence: configurations

    def add(self, other: Partial, keep: Iterable[Reducer]) -> None:
        """Take in the chunks that follow."""
        self.states = [r.merge(a, b) for r, a, b in zip(keep, self.states, other.states, strict=True)]
        self.passing += other.passing
        self.refused += other.refused
        for reason, count in other.reasons.items():
            self._remember(reason, count)

    def refuse(self, reason: str, count: int) -> None:
        """Count configurations that a sentence refuses."""
        self.refused += count
        self._remember(reason, count)

    def _remember(self, reason: str, count: int) -> None:
        if reason in self.reasons or len(self.reasons) < REASONS:
            self.reasons[reason] = self.reasons.get(reason, 0) + count


REASONS = 20  # sentences that a sweep remembers


def run(grid: Grid, start: int, stop: int, folder: Path | None = None) -> Partial:
    """Some chunks of a grid; the whole of the work, for any kind of worker.  `folder` takes the passing rows."""
    entry = catalogue()[grid.function]
    out = Partial([r.empty() for r in grid.keep])
    rows = []
    for number in range(start, stop):
        words, parts, first = grid.slices(number)
        shape = tuple(p.stop - p.start for p in parts)
        figures, passing = _figures(entry, grid, words, parts, shape, out)
        chunk = Chunk(figures, passing, shape, first)
        out.passing += chunk.count
        out.states = [r.take(s, chunk) for r, s in zip(grid.keep, out.states, strict=True)]
        if folder is not None and chunk.count:
            rows.append(chunk)
    if folder is not None:
        from .rows import write_rows

        write_rows(grid, rows, folder / f"part-{start:010d}.parquet")
    return out


def _figures(
    entry: Entry, grid: Grid, words: Mapping[str, Any], parts: tuple[slice, ...], shape: tuple[int, ...], out: Partial
) -> tuple[dict[str, Floats], Any]:
    """Figures by metric and which configurations pass; refused ones fail and are counted."""
    wanted = metrics_of(grid)
    found = list(answered(entry, grid, {**grid.fixed, **words}, parts))
    if len(found) == 1 and not isinstance(found[0][1], MlsysError):
        _, result, notes = found[0]
        figures, passing = _judged(grid, wanted, result)
        return figures, passing & _collected(notes, shape, out)
    figures = {m: np.full(shape, np.nan) for m in wanted}
    passing = np.zeros(shape, dtype=np.bool_)
    for place, result, notes in found:
        size = tuple(p.stop - p.start for p in place)
        if isinstance(result, MlsysError):
            out.refuse(str(result), math.prod(size))
            continue
        inside = tuple(slice(p.start - q.start, p.stop - q.start) for p, q in zip(place, parts, strict=True))
        some, good = _judged(grid, wanted, result)
        passing[inside] = good & _collected(notes, size, out)
        for metric in wanted:
            figures[metric][inside] = some[metric]
    return figures, passing


def _collected(notes: list[tuple[Any, str]], shape: tuple[int, ...], out: Partial) -> Any:
    """Which configurations no condition refused; each refused one counts once, for the first that it meets."""
    good: Any = np.True_
    before = math.prod(shape)
    for passes, sentence in notes:
        good = good & passes
        left = int(np.count_nonzero(good)) * (math.prod(shape) // np.size(good))
        out.refuse(sentence, before - left)
        before = left
    return good


def _judged(grid: Grid, wanted: Iterable[str], result: Any) -> tuple[dict[str, Floats], Any]:
    """The figures that are wanted, and where all conditions hold; a figure that is not finite fails."""
    figures = {m: np.asarray(getattr(result, m) if m else result, dtype=np.float64) for m in wanted}
    good = np.asarray(getattr(result, "feasible", True))
    for metric, operator, bound in grid.where:
        good = good & OPERATORS[operator](figures[metric], bound)
    return figures, good


def metrics_of(grid: Grid) -> list[str]:
    """Every metric that is looked at, once."""
    named = [*(m for r in grid.keep for m in r.metrics), *(w[0] for w in grid.where)]
    return list(dict.fromkeys(named))


def figures_of(entry: Entry, grid: Grid) -> list[str]:
    """Every figure that a chunk needs."""
    return [*filter(None, metrics_of(grid)), *(["feasible"] if "feasible" in entry.metrics else [])]


def answered(
    entry: Entry, grid: Grid, given: dict[str, Any], parts: tuple[slice, ...]
) -> Iterator[tuple[tuple[slice, ...], Any, list[tuple[Any, str]]]]:
    """Results of a part of the axes, each with its place, and what was refused of it.

    Most refusals are noted element by element on the way.  Where a call fails as a whole for another reason, halves are
    tried, until what is refused stands alone.
    """
    try:
        with collecting() as notes:
            result = _call(entry, grid, given, parts)
        if any(np.ndim(passes) > len(parts) for passes, _ in notes):  # of trials inside: only a plain call can tell
            notes, result = [], _call(entry, grid, given, parts)
        yield parts, result, notes
        return
    except MlsysError as error:
        lengths = [p.stop - p.start for p in parts]
        if isinstance(error, AllRefused) or math.prod(lengths) <= 1 or _by_words(entry, grid, given, parts, error):
            yield parts, error, []
            return
    failing = {a: sum(_fails(entry, grid, given, h) for h in _halves(parts, a)) for a, n in enumerate(lengths) if n > 1}
    for half in _halves(parts, min(failing, key=lambda a: failing[a])):
        yield from answered(entry, grid, given, half)


def _by_words(entry: Entry, grid: Grid, given: dict[str, Any], parts: tuple[slice, ...], error: MlsysError) -> bool:
    """Whether a missing fact or an unknown name is missing whatever the numbers are: so for the first and the last."""
    if isinstance(error, OutOfDomain):
        return False
    corners = (tuple(slice(p.start, p.start + 1) for p in parts), tuple(slice(p.stop - 1, p.stop) for p in parts))
    return all(_fails(entry, grid, given, c, str(error)) for c in corners)


def _halves(parts: tuple[slice, ...], axis: int) -> list[tuple[slice, ...]]:
    whole = parts[axis]
    middle = (whole.start + whole.stop) // 2
    ends = (slice(whole.start, middle), slice(middle, whole.stop))
    return [(*parts[:axis], end, *parts[axis + 1 :]) for end in ends]


def _fails(
    entry: Entry, grid: Grid, given: dict[str, Any], parts: tuple[slice, ...], sentence: str | None = None
) -> bool:
    try:
        with collecting():
            _call(entry, grid, given, parts)
    except MlsysError as error:
        return sentence in (None, str(error))
    return False


def _call(entry: Entry, grid: Grid, given: dict[str, Any], parts: tuple[slice, ...]) -> Any:
    """One call: axes of one value as that value, the others as arrays along dimensions of their own."""
    numbers: dict[str, Any] = {}
    for i, ((name, values), part) in enumerate(zip(grid.numbers.items(), parts, strict=True)):
        some = values[part]
        alone = len(some) == 1
        numbers[name] = float(some[0]) if alone else some.reshape(-1, *([1] * (len(parts) - 1 - i)))
    with np.errstate(all="ignore"):  # of configurations that are refused
        return entry.figures(figures_of(entry, grid), {**given, **numbers})


# ------------------------------------------------------------------ from a caller's words to a grid


def grid_of(function: Any, axes: Mapping[str, Any], keep: Iterable[Reducer], where: Iterable[Any]) -> Grid:
    """The grid that a caller means, or a sentence on what is wrong with it."""
    name = function if isinstance(function, str) else getattr(function, "__name__", "")
    name = str(name).removeprefix("MLS_").casefold()
    if name not in catalogue() or is_table(catalogue()[name]):
        raise UnknownName(f"sweep: no function {name!r} with single answers; see mlsysim.CATALOGUE")
    entry = catalogue()[name]
    params = {p.name: p for p in entry.params}
    words: dict[str, tuple[Any, ...]] = {}
    numbers: dict[str, Floats] = {}
    fixed: dict[str, Any] = {}
    for axis, values in axes.items():
        if axis not in params:
            raise WrongArguments(f"sweep: {name} takes {', '.join(params)}; got {axis}")
        many = isinstance(values, (list, tuple, range, np.ndarray)) and not params[axis].is_list
        if not many:
            fixed[axis] = values
        elif len(values) == 0:
            raise OutOfDomain(f"sweep: {axis} has no values")
        elif params[axis].unit is None or any(isinstance(v, str) or v is None for v in values):
            words[axis] = tuple(values)
        else:
            numbers[axis] = np.asarray(params[axis].unit.check(np.asarray(values), f"sweep: {axis}"), dtype=np.float64)  # type: ignore[union-attr]
            if numbers[axis].ndim != 1:
                raise OutOfDomain(f"sweep: {axis} must be a list of numbers")
    missing = [p.name for p in entry.params if p.required and p.name not in axes]
    if missing:
        raise WrongArguments(f"sweep: {name} needs {', '.join(missing)}")
    grid = Grid(name, words, numbers, fixed, tuple(map(_condition, where)), tuple(keep))
    legal = [*entry.metrics] or [""]
    unknown = [m for m in metrics_of(grid) if m not in legal]
    if unknown:
        raise UnknownName(
            f"sweep: {name} has no metric {unknown[0]!r}; it has {', '.join(entry.metrics) or 'one answer'}"
        )
    return grid


def _condition(condition: Any) -> tuple[str, str, float]:
    if not (isinstance(condition, (tuple, list)) and len(condition) == 3 and condition[1] in OPERATORS):
        raise OutOfDomain(f"sweep: where takes (metric, one of {' '.join(OPERATORS)}, number), got {condition!r}")
    metric, operator, bound = condition
    if isinstance(bound, str) or not math.isfinite(float(bound)):
        raise OutOfDomain(f"sweep: the bound of {metric} must be a number, got {bound!r}")
    return str(metric), str(operator), float(bound)
