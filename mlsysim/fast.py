"""Answers by compiled code: what `trace` wrote down of a solver, kept for each combination of words.

The first calls of a combination go to the solver itself.  Then it is traced, its code is compared with the solver's own
answer, every figure of it, and serves further calls; where they differ or a guard fails, the solver answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .errors import MlsysError, raising
from .registry import Thing
from .trace import NotTraceable, Retry, Tape, Traced, compiled, plain
from .units import Code, Unit

NOTHING: Any = object()  # the solver itself must answer
OFTEN = 3  # calls of a combination before it is worth a trace
KEPT = 4096  # combinations; then all are forgotten
MANY_ROWS = 1 << 14  # of a column: worth as much as a call
HEAP = 1 << 24  # bytes that may stay with the process between calls on columns
ROWS = 64  # of a column, compared with the solver's answer
_RETRY = (Retry, ArithmeticError, ValueError, TypeError)


class Fast:
    """Compiled answers of one catalogue entry.

    Parameters
    ----------
    solve : callable
        The function itself, for arguments that were checked.
    units : mapping of str to Unit
        Its arguments that are numbers.
    words : callable
        For a result's class: its fields that are words, with their codes.
    """

    def __init__(
        self,
        solve: Callable[..., Any],
        units: Mapping[str, Unit],
        words: Callable[[Any], Mapping[str, type[Code] | None]],
    ) -> None:
        self._solve, self._units, self._words = solve, units, words
        self._codes: dict[tuple[Any, ...], Callable[..., Any] | None] = {}
        self._seen: dict[tuple[Any, ...], int] = {}
        self._held: list[Thing] = []  # things named by identity in the keys
        self._failures = 0

    def call(self, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], list[Any]] | None:
        """What the answer's code depends on, and the numbers that it takes; None where there can be none."""
        units = self._units
        key: list[Any] = [*given]
        numbers: list[Any] = []
        for name, value in given.items():
            kind = type(value)
            if kind is float and name in units:
                numbers.append(value)
                key.append(float)
            elif kind is str or kind is bool or value is None:
                key.append(value)
            elif kind is int and name in units and -(1 << 53) <= value <= 1 << 53:
                numbers.append(float(value))
                key.append(float)
            elif kind is np.ndarray and value.dtype == np.float64 and name in units and value.size > 1:
                numbers.append(value)
                key.append(np.ndarray)
            elif isinstance(value, Thing):
                key.append(id(value))
            else:
                return None
        return tuple(key), numbers

    def answer(self, key: tuple[Any, ...], numbers: list[Any]) -> Any:
        """The answer, or `NOTHING`."""
        code = self._codes.get(key)
        if code is None:
            return NOTHING
        try:
            return code(*numbers)
        except _RETRY:
            return NOTHING

    def learn(
        self, key: tuple[Any, ...], numbers: list[Any], given: Mapping[str, Any], only: tuple[str, ...] = ()
    ) -> None:
        """Count a call that the solver has answered, and trace its combination when it comes often."""
        sizes = [n.size for n in numbers if isinstance(n, np.ndarray)]
        if key in self._codes or self._failures > OFTEN:
            return
        weight = 1 + max(sizes, default=0) // MANY_ROWS
        self._seen[key] = self._seen.get(key, 0) + weight
        if self._seen[key] < OFTEN:
            return
        if len(self._codes) >= KEPT:
            self._codes.clear()
            self._seen.clear()
            self._held.clear()
        self._codes[key] = None
        try:
            with np.errstate(all="ignore"), raising():
                self._codes[key] = self._made(given, numbers, bool(sizes), only)
            self._held += [v for v in given.values() if isinstance(v, Thing)]
        except NotTraceable:
            self._failures += 1
        except (MlsysError, *_RETRY):  # refused, or not alike: the solver says it better
            pass

    def _made(
        self, given: Mapping[str, Any], numbers: list[Any], columns: bool, only: tuple[str, ...]
    ) -> Callable[..., Any]:
        """Code for a combination, compared with the solver's answer to these very numbers."""
        names = [n for n, v in given.items() if n in self._units and type(v) in (float, int, np.ndarray)]
        sample = [n[:ROWS] if isinstance(n, np.ndarray) else n for n in numbers]
        tape = Tape()
        traced: dict[str, Any] = dict(given)
        for i, (name, number) in enumerate(zip(names, sample, strict=True)):
            tape.lines.append(("argument", ()))
            traced[name] = Traced(tape, i, float(number.flat[0] if isinstance(number, np.ndarray) else number))
        for name in names:
            self._units[name].check(traced[name], name)
        fixed = {n: self._units[n].check(v, n) for n, v in given.items() if n in self._units and isinstance(v, str)}
        out = self._solve(**traced | fixed)
        whole = hasattr(out, "__dict__")
        figures = vars(out) if whole else {"": out}
        code = compiled(tape, names, {n: figures[n] for n in only or figures}, columns)
        if columns and tape.scalar_only:
            raise NotTraceable("a branch on single numbers")
        if columns:
            np.empty(HEAP, dtype=np.uint8)  # glibc gives pages back at 128 KiB until it has freed a larger block
        finish = self._finisher(type(out) if whole else None, only)
        checked = {n: self._units[n].check(v, n) for n, v in zip(names, sample, strict=True)}
        right = self._solve(**{**given, **fixed, **checked})
        got = finish(code(*sample))
        pairs = [(getattr(got, n), getattr(right, n)) for n in only or figures] if whole else [(got, right)]
        if not all(_same(a, b) for a, b in pairs):
            raise Retry

        def scalars(*arguments: float) -> Any:
            return finish(code(*arguments))

        def blocks(*arguments: Any) -> Any:
            figures = _in_blocks(code, arguments)
            return finish({n: plain(v) for n, v in figures.items()})  # figures that no column touches are single ones

        return blocks if columns else scalars

    def _finisher(self, kind: Any, only: tuple[str, ...]) -> Callable[[dict[str, Any]], Any]:
        """From a dict of figures to the result's record, or the one figure."""
        if kind is None:
            return lambda figures: figures[""]
        words = {n: {int(c): c for c in w} for n, w in self._words(kind).items()
                 if w is not None and n in (only or self._words(kind))}  # fmt: skip
        new, set_ = object.__new__, object.__setattr__  # as a frozen dataclass is made, without its cost by field

        def finish(figures: dict[str, Any]) -> Any:
            for name, word in words.items():
                if type(figures[name]) is int:  # a column keeps its numbers
                    figures[name] = word[figures[name]]
            out = new(kind)
            set_(out, "__dict__", figures)
            return out

        return finish


def _same(a: Any, b: Any) -> bool:
    """Equal bit for bit, NaN included; the solver's 0-d arrays and numpy floats count as floats."""
    a, b = (v.item() if isinstance(v, np.generic) or (isinstance(v, np.ndarray) and v.ndim == 0) else v for v in (a, b))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return bool(a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


def _in_blocks(code: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> dict[str, Any]:
    """The figures of whole columns, a block at a time: the temporaries of a long one would not stay in the cache."""
    shapes = {a.shape for a in arguments if isinstance(a, np.ndarray)}
    size = math.prod(next(iter(shapes)))
    block: int = code.block  # type: ignore[attr-defined]
    if size <= block or len(shapes) > 1 or len(next(iter(shapes))) > 1:  # a grid of axes is its caller's to cut
        return code(*arguments)
    out: dict[str, Any] = {}
    for start in range(0, size, block):
        part = slice(start, start + block)
        figures = code(*(a[part] if isinstance(a, np.ndarray) else a for a in arguments))
        first = {id(v): n for n, v in reversed(figures.items())}  # figures that are one and the same
        for name, value in figures.items():
            if not (isinstance(value, np.ndarray) and value.ndim):
                out[name] = value
            elif (twin := first[id(value)]) != name:
                out[name] = out[twin]
            else:
                if not start:
                    out[name] = np.empty(size, value.dtype)
                out[name][part] = value
    return out
