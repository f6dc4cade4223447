"""One source for scalars and columns: a solver is run once on numbers that write down what happens to them.

The solvers are numpy expressions over plain numbers whose branches depend on words (a model, a format) and only seldom
on numbers.  Run with `Traced` numbers, a solver leaves a tape: operations without the look-ups, checks and constants
that words decide.  `compiled` turns the tape into straight-line code, for Python floats or for blocks of a column.

Each branch on a number becomes a guard of that code; where a guard fails, `Retry` says that only the solver itself can
answer.  What cannot be written down at all raises `NotTraceable`, and the solver answers as before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

BLOCK = 8192  # elements of a column at once: what the inner cache holds


class NotTraceable(Exception):
    """The solver does something that a tape cannot hold."""


class Retry(Exception):
    """The compiled code does not hold for these numbers."""


# Python text of each operation on floats; what is missing here is numpy's own function, on floats too
_SCALAR = {
    "add": "{0}+{1}", "subtract": "{0}-{1}", "multiply": "{0}*{1}", "divide": "{0}/{1}", "negative": "-{0}",
    "greater": "{0}>{1}", "greater_equal": "{0}>={1}", "less": "{0}<{1}", "less_equal": "{0}<={1}",
    "equal": "{0}=={1}", "not_equal": "{0}!={1}", "bitwise_and": "{0} and {1}", "bitwise_or": "{0} or {1}",
    "logical_and": "{0} and {1}", "logical_or": "{0} or {1}", "invert": "not {0}", "logical_not": "not {0}",
    "maximum": "{0} if {0}>={1} or {0}!={0} else {1}", "minimum": "{0} if {0}<={1} or {0}!={0} else {1}",
    "where": "{1} if {0} else {2}", "ceil": "float(ceil({0}))", "floor": "float(floor({0}))", "sqrt": "sqrt({0})",
    "isfinite": "isfinite({0})", "absolute": "abs({0})", "power": "{0}**{1}", "remainder": "{0}%{1}",
    "floor_divide": "{0}//{1}", "all": "{0}", "any": "{0}",
}  # fmt: skip
_LOGIC = {"bitwise_and", "bitwise_or", "logical_and", "logical_or", "invert", "logical_not", "all", "any", "isfinite"}
_COMPARISONS = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power", "and": "bitwise_and",
    "or": "bitwise_or", "mod": "remainder", "floordiv": "floor_divide",
}  # fmt: skip


class Tape:
    """Operations in their order, each once; guards between them."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, tuple[Any, ...]]] = []  # operation, operands: Traced or plain
        self.known: dict[tuple[Any, ...], Traced] = {}
        self.guards: list[tuple[int, Traced, bool]] = []  # before which line, what, and what it must be
        self.scalar_only = False

    def put(self, name: str, operands: tuple[Any, ...], value: Any) -> Traced:
        """The result of an operation, as it was written down before or anew."""
        key = (name, *(("v", o.index) if isinstance(o, Traced) else (type(o).__name__, repr(o)) for o in operands))
        if key not in self.known:
            self.lines.append((name, operands))
            self.known[key] = Traced(self, len(self.lines) - 1, value)
        return self.known[key]


class Traced:
    """A number of a run that is being written down: its value in this run, and its line on the tape."""

    __slots__ = ("index", "tape", "value")

    def __init__(self, tape: Tape, index: int, value: Any) -> None:
        self.tape, self.index, self.value = tape, index, value

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Traced:
        if method != "__call__" or named or any(isinstance(i, np.ndarray) and i.ndim for i in inputs):
            raise NotTraceable(f"{ufunc.__name__} by {method}")
        values = [i.value if isinstance(i, Traced) else i for i in inputs]
        kinds = [isinstance(v, bool | np.bool_) for v in values]
        name = ufunc.__name__
        if name not in _LOGIC | _COMPARISONS and all(kinds):
            raise NotTraceable(f"{name} of truth values")  # numpy and Python differ
        return self.tape.put(name, tuple(map(plain, inputs)), ufunc(*values))

    def __array_function__(self, function: Any, types: Any, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        name = function.__name__
        if (
            name in ("all", "any", "where")
            and not named
            and not any(isinstance(a, np.ndarray) and a.ndim for a in args)
        ):
            value = function(*(a.value if isinstance(a, Traced) else a for a in args))
            return self.tape.put(name, tuple(map(plain, args)), value[()] if isinstance(value, np.ndarray) else value)
        if name == "clip" and len(args) == 3 and not named:
            return np.minimum(np.maximum(args[0], args[1]), args[2])
        if name in ("ndim", "shape"):
            self.tape.scalar_only = True
            return 0 if name == "ndim" else ()
        raise NotTraceable(name)

    def __bool__(self) -> bool:
        """Which way this run goes; the code holds for numbers that go the same way."""
        value = bool(self.value)
        name = self.tape.lines[self.index][0]
        if name not in ("all", "any") and not value:
            self.tape.scalar_only = True  # of a column some elements may go the other way
        self.tape.guards.append((len(self.tape.lines), self, value))
        return value

    def __float__(self) -> float:
        raise NotTraceable("a number is needed here")

    __int__ = __index__ = __float__

    def __hash__(self) -> int:
        raise NotTraceable("a key is needed here")

    def __neg__(self) -> Traced:
        return np.negative(self)  # type: ignore[no-any-return]

    def __invert__(self) -> Traced:
        return np.logical_not(self)  # type: ignore[no-any-return]

    def __abs__(self) -> Traced:
        return np.absolute(self)  # type: ignore[no-any-return]


def plain(operand: Any) -> Any:
    """A constant as Python's own kind, so that its text is code."""
    if isinstance(operand, np.generic) or (isinstance(operand, np.ndarray) and operand.ndim == 0):
        return operand.item()
    return int(operand) if isinstance(operand, int) and not isinstance(operand, bool) else operand


def _method(ufunc: Any, swapped: bool) -> Callable[[Traced, Any], Any]:
    def method(self: Traced, other: Any) -> Any:
        return ufunc(other, self) if swapped else ufunc(self, other)

    return method


for _short, _name in _OPERATORS.items():
    setattr(Traced, f"__{_short}__", _method(getattr(np, _name), False))
    setattr(Traced, f"__r{_short}__", _method(getattr(np, _name), True))
for _short, _name in {"gt": "greater", "ge": "greater_equal", "lt": "less", "le": "less_equal"}.items():
    setattr(Traced, f"__{_short}__", _method(getattr(np, _name), False))
Traced.__eq__ = _method(np.equal, False)  # type: ignore[method-assign,assignment]
Traced.__ne__ = _method(np.not_equal, False)  # type: ignore[method-assign,assignment]


# ------------------------------------------------------------------ from the tape to code


def compiled(
    tape: Tape, names: Sequence[str], outputs: Mapping[str, Any], columns: bool
) -> Callable[..., dict[str, Any]]:
    """Straight-line code of a tape.

    Parameters
    ----------
    tape : Tape
        Whose first lines are the arguments `names`.
    names : sequence of str
        Arguments of the code, in order.
    outputs : mapping of str to object
        What the code returns: `Traced` numbers, and whatever else as it is.
    columns : bool
        Arrays in and out, instead of floats.

    Returns
    -------
    callable
        Takes the arguments and returns the outputs as a dict; raises `Retry` where a guard fails.
    """
    wanted = {o.index for o in outputs.values() if isinstance(o, Traced)} | {g.index for _, g, _ in tape.guards}
    for i in range(len(tape.lines) - 1, -1, -1):
        if i in wanted:
            wanted |= {o.index for o in tape.lines[i][1] if isinstance(o, Traced)}
    constants: dict[str, Any] = {}
    code = [f"def code({', '.join(names)}):"]
    guards = list(
        {(what.index, expected): (line, what, expected) for line, what, expected in reversed(tape.guards)}.values()
    )
    guards.sort(key=lambda g: g[0])  # each once, where it first stood
    for i, (name, operands) in enumerate(tape.lines):
        while guards and guards[0][0] <= i:
            code.append(_guard(guards.pop(0), names, columns))
        if i >= len(names) and i in wanted:
            code.append(f" v{i}={_text(name, [_operand(o, names, constants) for o in operands], columns)}")
    code += [_guard(g, names, columns) for g in guards]
    shown = (f"{n!r}: {_operand(plain(o), names, constants, always=True)}" for n, o in outputs.items())
    code.append(f" return {{{', '.join(shown)}}}")
    space: dict[str, Any] = {"Retry": Retry, "np": np, "nan": math.nan, "inf": math.inf} | {
        n: getattr(math, n) for n in ("ceil", "floor", "sqrt", "isfinite")
    }
    exec("\n".join(code), space | constants, space)  # the text is ours: operations and numbers of the tape
    code_: Callable[..., dict[str, Any]] = space["code"]
    return code_


def _operand(operand: Any, names: Sequence[str], constants: dict[str, Any], always: bool = False) -> str:
    if isinstance(operand, Traced):
        return names[operand.index] if operand.index < len(names) else f"v{operand.index}"
    if type(operand) in (float, int, bool) and not always:
        return f"({operand!r})"
    name = f"c{len(constants)}"
    constants[name] = operand
    return name


def _text(name: str, operands: list[str], columns: bool) -> str:
    if not columns and name in _SCALAR:
        return _SCALAR[name].format(*operands)
    text = f"np.{name}({','.join(operands)})"
    return text if columns else f"{text}.item()"


def _guard(guard: tuple[int, Traced, bool], names: Sequence[str], columns: bool) -> str:
    _, what, expected = guard
    name = _operand(what, names, {})
    test = f"np.all({name})" if columns and expected else name
    return f" if {'not ' if expected else ''}{test}: raise Retry"
