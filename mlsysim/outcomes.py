"""Every configuration of a grid one after another, a chunk at a time: its figures, or why it has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .catalogue import catalogue
from .errors import MlsysError
from .grids import Grid, answered, metrics_of
from .reducers import Floats

OK, NOT_FEASIBLE = "ok", "not feasible"


@dataclass(frozen=True)
class Outcomes:
    """Configurations that follow one another in a grid.

    Parameters
    ----------
    axes : dict of str to sequence
        Value of every axis for each of them, in base units; words as the grid has them.
    figures : dict of str to array
        Figures in base units; NaN where there is none.
    states : array of int
        Place of each one's state in `words`.
    words : list of str
        `OK`, `NOT_FEASIBLE`, and the sentences of refusals met so far.
    """

    axes: dict[str, Any]
    figures: dict[str, Floats]
    states: npt.NDArray[np.int64]
    words: list[str]


def outcomes(grid: Grid, chunk: int) -> Iterator[Outcomes]:
    """All configurations in the order of the grid, at most `chunk` at a time, with the figures that `keep` reads."""
    grid, figures = replace(grid, chunk=chunk), metrics_of(grid)
    entry, words = catalogue()[grid.function], [OK, NOT_FEASIBLE]
    for number in range(grid.chunks()):
        still, parts, _ = grid.slices(number)
        shape = tuple(p.stop - p.start for p in parts)
        values = {f: np.full(shape, np.nan) for f in figures}
        states = np.zeros(shape, dtype=np.int64)
        for place, result, notes in answered(entry, grid, {**grid.fixed, **still}, parts):
            inside = tuple(slice(p.start - q.start, p.stop - q.start) for p, q in zip(place, parts, strict=True))
            if isinstance(result, MlsysError):
                states[inside] = _place(str(result), words)
                continue
            for figure in figures:
                values[figure][inside] = getattr(result, figure) if figure else result
            state = np.where(np.asarray(getattr(result, "feasible", True)), 0, 1)
            for passes, sentence in reversed(notes):  # the first that it meets counts
                state = np.where(passes, state, _place(sentence, words))
            states[inside] = state
        axes: dict[str, Any] = {n: [v] * states.size for n, v in still.items()}
        for i, ((name, numbers), part) in enumerate(zip(grid.numbers.items(), parts, strict=True)):
            along = numbers[part].reshape(-1, *([1] * (len(parts) - 1 - i)))
            axes[name] = np.broadcast_to(along, shape).reshape(-1)
        yield Outcomes(axes, {f: v.reshape(-1) for f, v in values.items()}, states.reshape(-1), words)


def _place(sentence: str, words: list[str]) -> int:
    if sentence not in words:
        words.append(sentence)
    return words.index(sentence)
