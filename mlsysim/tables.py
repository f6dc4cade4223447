"""Results that are tables, and arguments that are lists of things.

A solver that returns a `Table` becomes an Excel function without `metric`: it spills a header row and one row per
element of its columns.  A parameter marked ``Many[Site]`` takes a range of keys, or text with semicolons between them::

    @record
    class Plans(Table):
        tp: Count  # a numpy array over the rows
        step_latency_total: Duration
        parallelism: Texts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from .catalogue import Entry
from .errors import OutOfDomain
from .record import Result, record
from .registry import split_list
from .units import MANY, Real

Texts: TypeAlias = npt.NDArray[np.object_]  # a column of words; may hold numbers where rows differ in unit
_T = TypeVar("_T")
_Made = TypeVar("_Made", covariant=True)
Many = Annotated[Sequence[_T | str] | str, MANY]  # marks a parameter that names several things


@record
class Table(Result):
    """Base of a result with rows: its fields are columns, arrays of equal length, in the order shown."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))


class _Kind(Protocol[_Made]):
    def of(self, text: Any) -> _Made: ...


def things_of(kind: _Kind[_T], given: Any, where: str) -> tuple[_T, ...]:
    """The things that a ``Many`` argument names: keys, spec texts or things, in any sequence or in one text.

    Raises
    ------
    OutOfDomain
        Nothing is named, or the same text twice.
    """
    items = split_list(given) if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else [given]
    found = tuple(kind.of(item) for item in items)
    if not found:
        raise OutOfDomain(f"{where} names nothing; give keys separated by semicolons, or a range of them")
    keys = [getattr(thing, "key", thing) for thing in found]
    twice = next((k for i, k in enumerate(keys) if k in keys[:i]), None)
    if twice is not None:
        raise OutOfDomain(f"{where} names {twice} twice")
    return found


def single(value: Real, where: str) -> float:
    """One number; an array is refused, because a table is computed once."""
    if np.size(value) != 1:
        raise OutOfDomain(f"{where} must be one number, got {np.size(value)}; a table is computed once")
    return float(np.asarray(value, dtype=np.float64).reshape(()))


def is_table(entry: Entry) -> bool:
    """Whether an entry answers with a table."""
    return isinstance(entry.returns, type) and issubclass(entry.returns, Table)
