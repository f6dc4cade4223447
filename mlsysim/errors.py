"""What can go wrong, said so that a person at a cell can act on it.

Every deliberate refusal is an `MlsysError`; its text names the argument, what was
given and what is legal.  Anything else that escapes is a programming error.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any


class MlsysError(ValueError):
    """Root of every error that this package raises on purpose."""


class OutOfDomain(MlsysError):
    """A number lies outside what its quantity allows, or is no number at all."""


class UnknownName(MlsysError, KeyError):
    """No registry row, precision, metric, option or unit of that name."""

    __str__ = ValueError.__str__  # KeyError would print the repr


class MissingFact(MlsysError):
    """The thing exists, but nobody has published the fact that was asked for."""


class WrongArguments(MlsysError, TypeError):
    """A call lacks an argument, has one too many, or combines arguments that exclude each other."""


class AllRefused(OutOfDomain):
    """Inside `collecting`: no element passes."""


# Where conditions go that some elements of a grid do not meet; None: the first such element refuses the whole call.
COLLECTED: ContextVar[list[tuple[Any, str]] | None] = ContextVar("COLLECTED", default=None)


@contextlib.contextmanager
def collecting() -> Iterator[list[tuple[Any, str]]]:
    """Inside it `refuse_unless` goes on with the elements that pass; it notes which do, and a sentence on the rest."""
    notes: list[tuple[Any, str]] = []
    with _noting(notes):
        yield notes


def raising() -> contextlib.AbstractContextManager[None]:
    """Inside it the first element that does not pass refuses the call, as ever: for trials that may fail."""
    return _noting(None)


@contextlib.contextmanager
def _noting(notes: list[tuple[Any, str]] | None) -> Iterator[None]:
    before = COLLECTED.set(notes)
    try:
        yield
    finally:
        COLLECTED.reset(before)
