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

DEEPEST = 20  # operations written inside one another
CACHE = 1 << 22  # bytes of temporaries at once: what the caches hold


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
    "floor_divide": "{0}//{1}", "all": "{0}", "any": "{0}", "legal": "{0}{0}",
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
        self.whole: set[int] = set()  # lines that a guard holds to whole numbers

    def put(self, name: str, operands: tuple[Any, ...], value: Any) -> Traced:
        """The result of an operation, as it was written down before or anew; times one and plus zero are nothing."""
        if (same := self._unchanged(name, operands)) is not None:
            return same
        key = (name, *(("v", o.index) if isinstance(o, Traced) else (type(o).__name__, repr(o)) for o in operands))
        if key not in self.known:
            self.lines.append((name, operands))
            self.known[key] = Traced(self, len(self.lines) - 1, value)
        return self.known[key]

    def _is_whole(self, number: Traced) -> bool:
        return number.index in self.whole or self.lines[number.index][0] in _WHOLE

    def _unchanged(self, name: str, operands: tuple[Any, ...]) -> Traced | None:
        """The operand that an operation leaves as it is (but for the sign of a zero)."""
        first = operands[0]
        if name in _WHOLE and isinstance(first, Traced) and self._is_whole(first):
            return first
        if name not in _NEUTRAL:
            return None
        for one, other in (operands, operands[::-1]) if name in ("multiply", "add") else (operands,):
            plain_other = type(other) in (int, float) and other == _NEUTRAL[name]
            if plain_other and isinstance(one, Traced) and isinstance(one.value, float):
                return one
        return None


_NEUTRAL = {"multiply": 1, "divide": 1, "add": 0, "subtract": 0}
_WHOLE = {"ceil", "floor"}


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
        if name not in ("all", "any", "legal") and not value:
            self.tape.scalar_only = True  # of a column some elements may go the other way
        self.tape.guards.append((len(self.tape.lines), self, value))
        return value

    def judged(self, unit: Any, legal: bool) -> Traced:
        """Whether a unit of `mlsysim.units` allows the number."""
        if legal and unit.whole:  # whoever asks refuses what is not
            self.tape.whole.add(self.index)
        return self.tape.put("legal", (self, unit), legal)

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
    writer = _Writer(tape, names, columns)
    uses = writer.uses(outputs)
    code = [f"def code({', '.join(names)}):"]
    guards = writer.guards()
    for i in range(len(names), len(tape.lines)):
        while guards and guards[0][0] <= i:
            code.append(writer.guard(guards.pop(0)))
        if uses.get(i) and not writer.inside(i, uses[i]):
            code.append(f" v{i}={writer.text(i)}")
    code += [writer.guard(g) for g in guards]
    shown = (f"{n!r}: {writer.operand(plain(o), always=True)}" for n, o in outputs.items())
    code.append(f" return {{{', '.join(shown)}}}")
    space: dict[str, Any] = {"Retry": Retry, "np": np, "nan": math.nan, "inf": math.inf} | {
        n: getattr(math, n) for n in ("ceil", "floor", "sqrt", "isfinite")
    }
    exec("\n".join(code), space | writer.constants, space)  # the text is ours: operations and numbers of the tape
    code_: Callable[..., dict[str, Any]] = space["code"]
    code_.block = block_of(len(uses))  # type: ignore[attr-defined]
    return code_


def block_of(lines: int) -> int:
    """Elements of a column at once: few where many temporaries live beside each other."""
    return min(1 << 15, max(1 << 14, CACHE // (8 * max(1, lines))))


def _template(name: str, operands: Sequence[Any]) -> str:
    """The text of an operation on floats, empty where numpy's own function is called; a constant is never NaN twice."""
    text = _SCALAR.get(name, "")
    known = name in ("maximum", "minimum") and isinstance(operands[0], (int, float)) and operands[0] == operands[0]
    return text.replace(" or {0}!={0}", "") if known else text


class _Writer:
    """The text of operations; on floats, what is used once is written where it is used."""

    def __init__(self, tape: Tape, names: Sequence[str], columns: bool) -> None:
        self.tape, self.names, self.columns = tape, names, columns
        self.constants: dict[str, Any] = {}
        self._inlined: dict[int, int] = {}  # line: depth

    def uses(self, outputs: Mapping[str, Any]) -> dict[int, int]:
        """How often each wanted line is used; lines that nothing needs are missing."""
        out: dict[int, int] = {}
        for index in [o.index for o in outputs.values() if isinstance(o, Traced)]:
            out[index] = out.get(index, 0) + 2  # as a figure by name
        for _, what, _ in self.guards():
            out[what.index] = out.get(what.index, 0) + 1
        for i in range(len(self.tape.lines) - 1, -1, -1):
            if i not in out:
                continue
            name, operands = self.tape.lines[i]
            text = _template(name, operands) or "{0}{1}{2}"
            for place, o in enumerate(operands):
                if isinstance(o, Traced):
                    out[o.index] = out.get(o.index, 0) + max(1, text.count(f"{{{place}}}"))
        return out

    def guards(self) -> list[tuple[int, Traced, bool]]:
        """Each once, where it first stood."""
        first = {(what.index, want): (line, what, want) for line, what, want in reversed(self.tape.guards)}
        return sorted(first.values(), key=lambda g: g[0])

    def inside(self, index: int, uses: int) -> bool:
        """Whether a line is written where it is used."""
        if self.columns or uses != 1:
            return False
        depth = 1 + max((self._inlined.get(o.index, 0) for o in self.tape.lines[index][1] if isinstance(o, Traced)),
                        default=0)  # fmt: skip
        if depth > DEEPEST:
            return False
        self._inlined[index] = depth
        return True

    def operand(self, operand: Any, always: bool = False) -> str:
        """A number by its name, its text or its constant."""
        if isinstance(operand, Traced):
            if operand.index < len(self.names):
                return self.names[operand.index]
            return f"({self.text(operand.index)})" if operand.index in self._inlined else f"v{operand.index}"
        if type(operand) in (float, int, bool) and not always:
            return f"({operand!r})"
        name = f"c{len(self.constants)}"
        self.constants[name] = operand
        return name

    def text(self, index: int) -> str:
        """The right side of a line."""
        name, operands = self.tape.lines[index]
        if name == "legal":
            shown = self.operand(operands[0])
            return f"{self.operand(operands[1])}.allows({shown})" if self.columns else str(operands[1].text(shown))
        shown_all = [self.operand(o) for o in operands]
        if not self.columns and (template := _template(name, operands)):
            return template.format(*shown_all)
        text = f"np.{name}({','.join(shown_all)})"
        return text if self.columns else f"{text}.item()"

    def guard(self, guard: tuple[int, Traced, bool]) -> str:
        """A line that gives up where the numbers go another way."""
        _, what, expected = guard
        name = self.operand(what)
        test = f"np.all({name})" if self.columns and expected and self.tape.lines[what.index][0] != "legal" else name
        return f" if {'not ' if expected else ''}{test}: raise Retry"
