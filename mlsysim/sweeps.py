"""Running a sweep: in this process, in several, or on a cluster; stopped and taken up again.

`mlsysim.sweep` is the door.  Jobs are runs of neighbouring chunks; their results are taken in the order of the grid,
and what was taken is written beside now and then, so that a killed sweep goes on where it was and ends in the same
bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import catalogue
from .errors import OutOfDomain, WrongArguments
from .grids import Grid, Partial, grid_of, run
from .reducers import Reducer, State

JOB = 16  # chunks of one job
AHEAD = 4  # jobs handed out for each worker
LARGE = 50_000_000  # configurations: a second or two of one process
EVERY = 5.0  # seconds between two notes of what is done


@dataclass(frozen=True)
class Swept:
    """What a sweep found.

    `states` are those of the reducers, in the order in which they were given; `table` makes rows of them.
    """

    grid: Grid
    passing: int
    refused: int
    reasons: Mapping[str, int]
    states: tuple[State, ...]

    def table(self, which: int = 0) -> list[dict[str, Any]]:
        """The configurations of a `Best` or a `Front` with all their figures, in base units, best first."""
        state = self.states[which]
        if "index" not in state:
            raise WrongArguments("sweep: this reducer keeps counts, not configurations; read `states`")
        entry = catalogue()[self.grid.function]
        rows = []
        for index in state["index"].tolist():
            at = self.grid.at(int(index))
            at = {n: float(v) if isinstance(v, np.floating) else v for n, v in at.items()}
            out = entry.call(**self.grid.fixed, **at)
            figures = {m: getattr(out, m) for m in entry.metrics} or {"answer": out}
            rows.append(at | {n: v for n, v in figures.items() if n not in at})
        return rows

    def digest(self) -> str:
        """Checksum of all that was found: the same for the same grid, however it was run."""
        return hashlib.sha256(_packed(self.grid, Partial(list(self.states), self.passing, self.refused,
                                                         dict(self.reasons)), 0)).hexdigest()  # fmt: skip


def sweep(
    function: Any,
    *,
    keep: Iterable[Reducer],
    where: Iterable[tuple[str, str, float]] = (),
    executor: Any = None,
    processes: int | None = None,
    resume: Path | str | None = None,
    save: Path | str | None = None,
    progress: bool = False,
    **axes: Any,
) -> Swept:
    """Answer every configuration of a grid and keep what was asked for.

    Parameters
    ----------
    function : str or callable
        A function of the catalogue.
    keep : list of Best, Front or Histogram
        What is kept; see `mlsysim.reducers`.
    where : list of (metric, operator, number), optional
        What must hold, in base units; a plan that does not fit never passes.
    executor : object, optional
        Something with `submit`, such as a `dask.distributed.Client` or a pool: where the jobs run.
    processes : int, optional
        Without an executor: how many processes of this machine.  Blank: one for each core where the grid is large
        (`LARGE`), else none but this; a script then runs it below ``if __name__ == "__main__"``.
    resume : Path, optional
        A file in which the state is kept while the sweep runs; one that is there is taken up.
    save : Path, optional
        A folder for Parquet files of all rows that pass (needs pyarrow).
    progress : bool, optional
        Show a bar (needs tqdm).
    **axes
        The function's arguments: single values, or lists and arrays to sweep over.

    Returns
    -------
    Swept
        Counts, reasons of refusals, and what the reducers kept.

    Raises
    ------
    MlsysError
        An unknown function, axis or metric, an illegal number, or a state of another grid.
    """
    grid = grid_of(function, axes, keep, where)
    folder = _folder(save)
    done, total = _taken_up(grid, resume)
    bar = _bar(grid, done) if progress else None
    jobs = [(i, min(i + JOB, grid.chunks())) for i in range(done, grid.chunks(), JOB)]
    noted = time.monotonic()
    if processes is None:
        processes = (os.cpu_count() or 1) if grid.size > LARGE else 1
    with _Pool(executor, processes) as pool:
        for (_, stop), part in pool.map(grid, jobs, folder):
            total.add(part, grid.keep)
            if bar is not None:
                bar.update(stop - bar.n)
            if resume is not None and (time.monotonic() - noted > EVERY or stop == grid.chunks()):
                _note(Path(resume), grid, total, stop)
                noted = time.monotonic()
    if bar is not None:
        bar.close()
    return Swept(grid, total.passing, total.refused, total.reasons, tuple(total.states))


class _Pool:
    """Jobs handed out a few ahead, results in their order."""

    def __init__(self, executor: Any, processes: int) -> None:
        if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
            raise OutOfDomain(f"sweep: processes must be a whole number from 1, got {processes!r}")
        self._own: Any = None
        if executor is None and processes > 1:
            from concurrent.futures import ProcessPoolExecutor  # a browser has none

            self._own = ProcessPoolExecutor(processes)
        self._executor = executor if executor is not None else self._own
        self._ahead = AHEAD * (processes if executor is None else (os.cpu_count() or 1) * 4)

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.shutdown(cancel_futures=True)

    def map(
        self, grid: Grid, jobs: list[tuple[int, int]], folder: Path | None
    ) -> Iterator[tuple[tuple[int, int], Partial]]:
        """Every job with its result."""
        if self._executor is None:
            yield from ((job, run(grid, *job, folder)) for job in jobs)
            return
        waiting: deque[tuple[tuple[int, int], Any]] = deque()
        for job in jobs:
            waiting.append((job, self._executor.submit(run, grid, *job, folder)))
            if len(waiting) >= self._ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


# ------------------------------------------------------------------ a state on disk


def _packed(grid: Grid, total: Partial, done: int) -> bytes:
    """All that is known so far as text: floats in full, places as numbers."""
    states = [{n: [float.hex(x) if a.dtype.kind == "f" else int(x) for x in a] for n, a in s.items()}
              for s in total.states]  # fmt: skip
    content = {
        "grid": named(grid), "done": done, "passing": total.passing, "refused": total.refused,
        "reasons": total.reasons, "states": states,
    }  # fmt: skip
    return json.dumps(content, sort_keys=True).encode()


def named(grid: Grid) -> str:
    """A checksum of what is swept."""
    numbers = {n: v.tobytes().hex() for n, v in grid.numbers.items()}
    text = repr((grid.function, grid.words, numbers, grid.fixed, grid.where, grid.keep, grid.chunk))
    return hashlib.sha256(text.encode()).hexdigest()


def _note(path: Path, grid: Grid, total: Partial, done: int) -> None:
    """Write the state beside, then in its place: a kill leaves the old one or the new one."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(_packed(grid, total, done))
    os.replace(beside, path)


def _taken_up(grid: Grid, resume: Path | str | None) -> tuple[int, Partial]:
    fresh = Partial([r.empty() for r in grid.keep])
    if resume is None or not Path(resume).exists():
        return 0, fresh
    try:
        content = json.loads(Path(resume).read_bytes())
        known = content["grid"]
    except (ValueError, KeyError, TypeError, OSError):
        raise OutOfDomain(f"sweep: {resume} is no state of a sweep; name another file") from None
    if known != named(grid):
        raise OutOfDomain(f"sweep: {resume} is the state of another sweep; name another file")
    states = [
        {n: np.array([float.fromhex(x) if a.dtype.kind == "f" else x for x in kept[n]], dtype=a.dtype)
         for n, a in empty.items()}
        for empty, kept in zip(fresh.states, content["states"], strict=True)
    ]  # fmt: skip
    return content["done"], Partial(states, content["passing"], content["refused"], content["reasons"])


# ------------------------------------------------------------------ what needs a further package


def _folder(save: Path | str | None) -> Path | None:
    if save is None:
        return None
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise WrongArguments("sweep: save needs pyarrow; pip install 'mlsysim-excel[scale]'") from None
    folder = Path(save)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _bar(grid: Grid, done: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        raise WrongArguments("sweep: progress needs tqdm; pip install 'mlsysim-excel[scale]'") from None
    return tqdm(total=grid.chunks(), initial=done, unit="chunk", desc=grid.function)
