"""Rows of a sweep as Parquet files, one for each job, with pyarrow."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
import pyarrow.parquet

from .reducers import Chunk

if TYPE_CHECKING:
    from .grids import Grid


def write_rows(grid: Grid, chunks: Iterable[Chunk], path: Path) -> None:
    """The configurations of some chunks that pass, with their axes and the metrics that were looked at.

    Parameters
    ----------
    grid : Grid
        What is swept.
    chunks : iterable of Chunk
        With rows that pass.
    path : Path
        The file; written beside first, so that it is whole or not there.
    """
    tables = [_table(grid, chunk) for chunk in chunks]
    if not tables:
        return
    beside = path.with_name(f".{path.name}.new")
    pyarrow.parquet.write_table(pyarrow.concat_tables(tables), beside)
    os.replace(beside, path)


def _table(grid: Grid, chunk: Chunk) -> Any:
    places = np.flatnonzero(np.broadcast_to(chunk.passing, chunk.shape))
    index = places + chunk.start
    where = np.unravel_index(index, grid.shape)
    axes: dict[str, Any] = {**grid.words, **grid.numbers}
    columns: dict[str, Any] = {}
    for (name, values), place in zip(axes.items(), where, strict=True):
        if name in grid.words:  # a dictionary: one code a row
            texts = pyarrow.array([str(getattr(v, "key", v)) for v in values])
            columns[name] = pyarrow.DictionaryArray.from_arrays(pyarrow.array(place.astype(np.int32)), texts)
        else:
            columns[name] = values[place]
    for name, figure in chunk.figures.items():
        columns[name or "answer"] = np.broadcast_to(figure, chunk.shape).reshape(-1)[places]
    return pyarrow.table(columns)
