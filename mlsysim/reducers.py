"""What a sweep keeps of many configurations: the best, the front of two figures, a histogram.

Each takes a chunk at a time and merges states in the order of the grid, ties by the place in it: the same grid gives
the same result however it was cut, and wherever its parts were computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
State: TypeAlias = dict[str, npt.NDArray[Any]]
RUN = 512  # neighbours whose least figure is looked at first


class Chunk:
    """Figures of one chunk, flat, and which configurations pass; what fails is infinite.

    Parameters
    ----------
    figures : dict of str to array
        Figures by metric, broadcastable to `shape`.
    passing : array of bool
        Broadcastable to `shape`.
    shape : tuple of int
        Of the chunk.
    start : int
        Place of its first configuration in the grid.
    """

    def __init__(
        self, figures: dict[str, Floats], passing: npt.NDArray[np.bool_], shape: tuple[int, ...], start: int
    ) -> None:
        self.figures, self.passing, self.shape, self.start = figures, passing, shape, start
        self._flat: dict[tuple[str, bool], Floats] = {}

    def least_first(self, metric: str, largest: bool) -> Floats:
        """The figure, negated where the largest is wanted, so that the least is the best; infinite where it fails."""
        if (metric, largest) not in self._flat:
            value = self.figures[metric]
            value = -value if largest else value
            kept = np.where(self.passing & (value == value), value, np.inf)
            self._flat[metric, largest] = np.broadcast_to(kept, self.shape).reshape(-1)
        return self._flat[metric, largest]

    def lowest(self, metric: str, largest: bool) -> Floats:
        """The least of each run of `RUN` neighbours."""
        flat = self.least_first(metric, largest)
        return np.minimum.reduceat(flat, np.arange(0, len(flat), RUN))

    def members(self, runs: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Places in the chunk of the members of runs."""
        size = int(np.prod(self.shape))
        places = (runs[:, None] * RUN + np.arange(RUN)).reshape(-1)
        return places[places < size]

    @cached_property
    def count(self) -> int:
        """Configurations that pass."""
        repeats = int(np.prod(self.shape)) // max(self.passing.size, 1)
        return int(np.count_nonzero(self.passing)) * repeats


class Reducer(Protocol):
    """What a sweep keeps: metrics that it looks at, an empty state, a chunk taken in, two states merged."""

    @property
    def metrics(self) -> tuple[str, ...]: ...
    def empty(self) -> State: ...
    def take(self, state: State, chunk: Chunk) -> State: ...
    def merge(self, first: State, second: State) -> State: ...


@dataclass(frozen=True)
class Best:
    """The `count` configurations with the least (or largest) figure; of equals the first of the grid."""

    metric: str
    count: int = 10
    largest: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

    def empty(self) -> State:
        return {"value": np.empty(0), "index": np.empty(0, dtype=np.int64)}

    def take(self, state: State, chunk: Chunk) -> State:
        limit = state["value"][-1] if len(state["value"]) == self.count else np.inf
        runs = np.flatnonzero(chunk.lowest(self.metric, self.largest) < limit)
        if not len(runs):
            return state
        flat, places = chunk.least_first(self.metric, self.largest), chunk.members(runs)
        places = places[flat[places] < limit]
        if len(places) > self.count:
            worst = np.partition(flat[places], self.count - 1)[self.count - 1]
            places = places[flat[places] <= worst]
        return self.merge(state, {"value": flat[places], "index": places.astype(np.int64) + chunk.start})

    def merge(self, first: State, second: State) -> State:
        value, index = (np.concatenate([first[n], second[n]]) for n in ("value", "index"))
        order = np.lexsort((index, value))[: self.count]
        return {"value": value[order], "index": index[order]}


@dataclass(frozen=True)
class Front:
    """Configurations that no other beats in both figures (the Pareto front), the least of both being best."""

    x: str
    y: str
    largest_x: bool = False
    largest_y: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.x, self.y)

    def empty(self) -> State:
        return {"x": np.empty(0), "y": np.empty(0), "index": np.empty(0, dtype=np.int64)}

    def take(self, state: State, chunk: Chunk) -> State:
        sides = (self.x, self.largest_x), (self.y, self.largest_y)
        runs = np.flatnonzero(_better(state, *(chunk.lowest(*side) for side in sides)))
        if not len(runs):
            return state
        places = chunk.members(runs)
        x, y = (chunk.least_first(*side)[places] for side in sides)
        kept = _better(state, x, y)
        found = {"x": x[kept], "y": y[kept], "index": places[kept].astype(np.int64) + chunk.start}
        return self.merge(state, found)

    def merge(self, first: State, second: State) -> State:
        x, y, index = (np.concatenate([first[n], second[n]]) for n in ("x", "y", "index"))
        order = np.lexsort((index, y, x))
        least = np.minimum.accumulate(np.concatenate([[np.inf], y[order]]))
        order = order[y[order] < least[:-1]]
        return {"x": x[order], "y": y[order], "index": index[order]}


def _better(front: State, x: Floats, y: Floats) -> npt.NDArray[np.bool_]:
    """Which points no member of a front beats or equals: the front's y falls as its x grows."""
    inside = np.isfinite(x) & np.isfinite(y)
    if not len(front["x"]):
        return inside
    place = np.searchsorted(front["x"], x, side="right") - 1
    bound = np.concatenate([front["y"], [np.inf]])[place]  # before the first member: the last entry
    return inside & (y < bound)


@dataclass(frozen=True)
class Histogram:
    """How many configurations fall between edges; those outside count in the first and the last place."""

    metric: str
    edges: tuple[float, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,)

    def empty(self) -> State:
        return {"count": np.zeros(len(self.edges) + 1, dtype=np.int64)}

    def take(self, state: State, chunk: Chunk) -> State:
        flat = chunk.least_first(self.metric, False)
        place = np.searchsorted(np.asarray(self.edges), flat[flat != np.inf], side="right")
        return {"count": state["count"] + np.bincount(place, minlength=len(self.edges) + 1)}

    def merge(self, first: State, second: State) -> State:
        return {"count": first["count"] + second["count"]}
