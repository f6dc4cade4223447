"""Records of results: fields with types, frozen, cheap to make."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, TypeVar, dataclass_transform

import numpy as np

from .hints import hints_of
from .units import Code, codes_of, typed_fields

T = TypeVar("T")


class Result:
    """Base of every solver's record.  `memory` names the field that says how much memory is needed.

    Frozen, with the figures as its dictionary: what a dataclass makes anew for each class is written here once.
    """

    memory: ClassVar[str] = ""
    remedy: ClassVar[str] = ""

    def __init__(self, **figures: Any) -> None:
        kind: Any = type(self)
        if figures.keys() != (legal := typed_fields(kind)).keys():
            raise TypeError(f"{kind.__name__} has {', '.join(legal)}; got {', '.join(figures)}")
        object.__setattr__(self, "__dict__", figures)

    def __setattr__(self, name: str, value: Any) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass_transform(kw_only_default=True, frozen_default=True)
def record(kind: type[T]) -> type[T]:
    """A class of results: fields as of a dataclass, methods of `Result`."""
    return dataclasses.dataclass(init=False, repr=False, eq=False)(kind)


def plain_result(out: Any) -> Any:
    """0-d numpy values as Python values, words as words, also inside a result."""
    if isinstance(out, Result):
        kind: Any = type(out)
        return kind(**{n: _word(code, getattr(out, n)) for n, code in codes_in(kind).items()})
    return _word(None, out)


def _word(code: type[Code] | None, value: Any) -> Any:
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    return code(value) if code is not None and isinstance(value, int) else value


@functools.cache
def codes_in(result: Any) -> dict[str, type[Code] | None]:
    hints = hints_of(result)
    return {f.name: codes_of(hints[f.name]) for f in dataclasses.fields(result)}
