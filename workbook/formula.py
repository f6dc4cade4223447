"""Catalogued equations as native Excel formulas, translated from their own Python source.

``native(CATALOGUE["ridge_point"], {"peak": "B2", "bandwidth": "B3"}, guarded=False)`` is ``=B2/B3*1000``: TFLOP/s over
GB/s, answered in FLOP/B. Nobody types the physics twice, and a sheet with these formulas needs no Python.

How units stay out of the reader's way: every part of the source becomes a `_Term`, which knows the unit that it is
naturally written in. Factors of products cancel exactly; what remains stands once, at the end of the product.
What has no certain Excel form is refused, never approximated; an equation that is no single expression may carry a
declared twin (`mlsysim.equations.twin`), which is taken as written.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction as Exact
from typing import Any, NamedTuple, NoReturn

import numpy as np
from openpyxl.formula import Tokenizer
from openpyxl.formula.tokenizer import Token

from mlsysim import CATALOGUE, WrongArguments
from mlsysim.catalogue import Entry, Param
from mlsysim.units import SYMBOLS, Unit, unit_of
from workbook.whitelist import is_area

_LONGEST = 8192  # characters that Excel takes in one formula
_DIGITS = 15  # significant digits that Excel keeps of a number in a formula
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_ONE = Exact(1)
_TIMES_OF_DAY = tuple(SYMBOLS["s"][name] for name in ("h", "day", "year"))

# How tightly a text binds in Excel, where a leading minus comes before "^".
_COMPARISON, _SUM, _PRODUCT, _POWER, _SIGNED, _ATOM = range(6)

_COMPARISONS: dict[type[ast.cmpop], str] = {
    **{ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=", ast.NotEq: "<>"}
}
# Answers in the unit of the arguments (name in Excel, number of arguments) ...
_OF_ALIKE = {"maximum": ("MAX", 2), "minimum": ("MIN", 2), "abs": ("ABS", 1), "absolute": ("ABS", 1)}
# ... and functions of one plain number. ROUNDUP is no ceiling: it rounds away from zero.
_OF_NUMBER = {"sqrt": "SQRT({})", "exp": "EXP({})", "tanh": "TANH({})", "log": "LN({})", "log2": "LOG({},2)",
              "floor": "INT({})"}  # fmt: skip


class NoNativeForm(TypeError):
    """The equation cannot be written as one Excel formula; the message says which part, and why."""


def expression(entry: Entry) -> ast.expr:
    """Return the single ``return`` expression of an equation.

    Raises
    ------
    NoNativeForm
        When its source is not a docstring and one ``return``, or cannot be read.
    """
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(entry.call)))
        tree = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError) as trouble:
        raise NoNativeForm(f"The source of {entry.name} cannot be read ({trouble}).") from trouble
    body = tree.body if isinstance(tree, ast.FunctionDef) else []
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value is not None:
        return body[0].value
    raise NoNativeForm(f"{entry.name} is not one return expression, so it has no native formula.")


def native(entry: Entry, cells: Mapping[str, str], *, guarded: bool = True) -> str:
    """Write an equation as the text of an Excel formula.

    Parameters
    ----------
    entry : Entry
        An equation of the catalogue; all its parameters are quantities.
    cells : mapping of str to str
        For each parameter an A1 address, a defined name or a number, in face units; a parameter with a default may be
        left out.
    guarded : bool
        Answer #N/A where a cell is blank, no number (any text, TRUE) or outside the range that Python takes; an error
        in a cell shows through. Without it the caller vouches for the cells: MAX and MIN skip a cell that holds text.

    Returns
    -------
    str
        A formula from "=" on for Excel 2016 or later; it answers in face units. Comparisons, and so the edges of legal
        ranges, have Excel's fifteen digits.

    Raises
    ------
    NoNativeForm
        When some part has no certain Excel form.
    mlsysim.errors.WrongArguments
        When a parameter is missing or unknown, or is bound to something else than one cell or a number.
    mlsysim.errors.OutOfDomain
        When a number given is outside its legal range.
    """
    unit = unit_of(entry.returns)
    if unit is None:
        raise NoNativeForm(f"{entry.name} does not answer with a quantity, so it has no native formula.")
    if unknown := cells.keys() - {p.name for p in entry.params}:
        raise WrongArguments(f"{entry.name} has no parameter {', '.join(sorted(unknown))}")
    terms = {p.name: _bound(entry, p, cells.get(p.name)) for p in entry.params}
    inner_tests: list[str] = []
    answer = _Translator(entry, terms, inner_tests).answer().write(unit.scale).text
    if guarded:
        outer_tests = [t for p in entry.params for t in _cell_tests(terms[p.name])]
        # Inner tests calculate, which text in a cell would turn into #VALUE!: they wait for the outer ones.
        for tests in (inner_tests, outer_tests):
            answer = f"IF(AND({','.join(dict.fromkeys(tests))}),{answer},NA())" if tests else answer
    if len(answer) >= _LONGEST:
        raise NoNativeForm(f"The formula of {entry.name} has more than the {_LONGEST} characters that Excel takes.")
    return f"={answer}"


# ---------------------------------------------------------------- what a source turns into


class _Text(NamedTuple):
    text: str
    rank: int

    def within(self, rank: int) -> str:
        """The text where the surroundings bind as tightly as `rank`."""
        return self.text if self.rank >= rank else f"({self.text})"


@dataclass(frozen=True)
class _Term:
    """A part of the source: `write(unit)` is its Excel text, counted in a unit of so many base units.

    `scale` is the unit that it is written in without a factor. `known` is its value in base units if that is fixed;
    `unit` and `cell` are there if it is a parameter and bound to a cell.
    """

    scale: Exact
    write: Callable[[Exact], _Text]
    known: float | None = None
    unit: Unit | None = None
    cell: str = ""

    @property
    def bare(self) -> _Text:
        return self.write(self.scale)


def _scaled(text: _Text, scale: Exact = _ONE, **what: Any) -> _Term:
    return _Term(scale, lambda unit: _times(text, scale / unit), **what)


def _alike(terms: list[_Term], write: Callable[[Exact], _Text]) -> _Term:
    """What joins parts of one dimension: the unit that all are written in, or the base unit; zero fits any."""
    scales = {t.scale for t in terms if t.known != 0}
    return _Term(scales.pop() if len(scales) == 1 else _ONE, write)


def _constant(value: float, scale: Exact = _ONE, *, known: float | None = None) -> _Term:
    return _scaled(_literal(value), scale, known=value if known is None else known)


def _bound(entry: Entry, param: Param, cell: str | None) -> _Term:
    """A parameter as the cell, the number or the default that it stands for."""
    unit, where = param.unit, f"{entry.name}: {param.name}"
    if unit is None:
        raise NoNativeForm(f"{where} is not a quantity, so {entry.name} has no native formula.")
    if cell is None:
        if param.required:
            raise WrongArguments(f"{where} is missing ({param.help})")
        if param.default is None:
            raise NoNativeForm(f"{where} has no fixed default, so the formula needs a cell for it.")
        return _default(unit, float(param.default))
    if _NUMBER.fullmatch(cell):
        return _constant(float(cell), unit.scale, known=unit.check(unit.from_face(float(cell)), where))
    tokens = Tokenizer(f"={cell}").items
    if len(tokens) != 1 or (tokens[0].type, tokens[0].subtype) != (Token.OPERAND, Token.RANGE) or is_area(cell):
        raise WrongArguments(f"{where} must be bound to one cell, a defined name or a number, got {cell!r}")
    return _scaled(_Text(cell, _ATOM), unit.scale, unit=unit, cell=cell)


def _default(unit: Unit, value: float) -> _Term:
    """In face units if that says the same in fewer digits, else in base units."""
    face = _short(unit.to_face(value))
    term = _constant(face, unit.scale, known=value) if unit.from_face(face) == value else _constant(value)
    return _Term(term.scale, term.write, value, unit)


def _cell_tests(term: _Term) -> list[str]:
    """What must hold of a cell: a number, and legal."""
    if not term.cell or term.unit is None:
        return []
    # INT of a text is #VALUE!, and AND would pass it on: only IF does not look at what it does not need.
    whole = f"IF(ISNUMBER({term.cell}),{term.cell}=INT({term.cell}))"
    return [whole if term.unit.whole else f"ISNUMBER({term.cell})", *range_tests(term.cell, term.unit)]


def range_tests(text: str, unit: Unit) -> list[str]:
    """Comparisons that hold where a number in face units is inside the legal range."""
    tests = []
    if math.isfinite(unit.low):
        low = _short(unit.to_face(unit.low))
        if unit.from_face(low) != unit.low:
            raise NoNativeForm(f"The lower limit {unit.low!r} {unit.base} has too many digits in {unit.face}.")
        tests.append(f"{text}{'>' if unit.open_low else '>='}{_literal(low).text}")
    if math.isfinite(unit.high):
        high = _short(unit.to_face(unit.high))
        if unit.from_face(high) > unit.high:  # one step of the last digit inside: never to admit what Python refuses
            high = _short(high - 10.0 ** (math.floor(math.log10(abs(high))) - _DIGITS + 1))
        tests.append(f"{text}<={_literal(high).text}")
    return tests


def _short(value: float) -> float:
    """A number as Excel keeps it in a formula."""
    return float(f"{value:.{_DIGITS}g}")


# ---------------------------------------------------------------- numbers and factors


def _literal(value: float) -> _Text:
    """The shortest text of a number that Excel reads back exactly."""
    if float(value) != value or math.isinf(value):
        raise NoNativeForm(f"{value!r} is no number that a formula can hold exactly.")
    number = Decimal(repr(float(value))).normalize()
    digits = "".join(map(str, number.as_tuple().digits))
    if len(digits) > _DIGITS:
        raise NoNativeForm(f"Excel keeps {_DIGITS} digits of a number in a formula, and {value!r} has {len(digits)}.")
    plain = format(abs(number), "f")
    power = f"{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}E{number.adjusted()}"
    short = value == 0 or 1e-4 <= abs(value) < 1e6 or len(plain) <= len(power)
    shown = plain if short else power
    return _Text(f"-{shown}", _SIGNED) if value < 0 else _Text(shown, _ATOM)


def _times(text: _Text, factor: Exact) -> _Text:
    """A text times a factor, written as whole numbers that a reader knows: 1000, 1E9, 3600 ..."""
    if factor == 1 or text.text == "0":
        return text
    up, down = _familiar(factor)
    if text.text == "1":
        text, up = (_literal(up[0]), up[1:]) if up else (text, up)
    tail = "".join(f"*{_literal(n).text}" for n in up) + "".join(f"/{_literal(n).text}" for n in down)
    return _Text(text.within(_PRODUCT) + tail, _PRODUCT) if tail else text


def _familiar(factor: Exact) -> tuple[list[int], list[int]]:
    """Numbers to multiply by and to divide by: a power of ten and an hour, day or year where that is all."""
    for time in (_ONE, *_TIMES_OF_DAY):
        for ten, above in ((factor / time, True), (factor * time, False)):
            if str(ten.numerator * ten.denominator).rstrip("0") == "1" and 1 in (ten.numerator, ten.denominator):
                up, down = [ten.numerator], [ten.denominator]
                (up if above else down).append(int(time))
                return [n for n in up if n != 1], [n for n in down if n != 1]
    return [n for n in [factor.numerator] if n != 1], [n for n in [factor.denominator] if n != 1]


# ---------------------------------------------------------------- the translation


@dataclass(frozen=True)
class _Translator:
    """One equation's source with its parameters bound; `tests` collects what inlined equations demand."""

    entry: Entry
    terms: Mapping[str, _Term]
    tests: list[str]

    @property
    def globals(self) -> dict[str, Any]:
        found: dict[str, Any] = inspect.unwrap(self.entry.call).__globals__
        return found

    def answer(self) -> _Term:
        """The declared twin, in face units throughout, or else the translated source."""
        twin, unit = getattr(self.entry.call, "native", ""), unit_of(self.entry.returns)
        if not twin or unit is None:
            return self.term(expression(self.entry))
        cells = {p.name: self.terms[p.name].write(p.unit.scale).within(_ATOM) for p in self.entry.params if p.unit}
        return _scaled(_Text(twin.format(**cells), _ATOM), unit.scale)

    def term(self, node: ast.expr) -> _Term:
        match node:
            case ast.Constant(value=float() | int() as value) if not isinstance(value, bool):
                return _constant(value)
            case ast.Name(id=name) if name in self.terms:
                return self.terms[name]
            case ast.Name(id=name):
                return self._named(node, self.globals.get(name))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._minus(self.term(operand))
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                return self._sum(self.term(left), "+" if isinstance(op, ast.Add) else "-", self.term(right))
            case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
                return self._product(self.term(left), "*" if isinstance(op, ast.Mult) else "/", self.term(right))
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                base, power = (self.term(side).write(_ONE).within(_ATOM) for side in (left, right))
                return _scaled(_Text(f"{base}^{power}", _POWER))
            case ast.Call(func=func, args=args, keywords=[]) if name := self._numpy(func):
                return self._function(node, name, args)
            case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
                return self._equation(node, self.globals.get(name), keywords)
        self._refuse(node)

    def _refuse(self, node: ast.expr, why: str = "") -> NoReturn:
        raise NoNativeForm(f"{self.entry.name}: {ast.unparse(node)!r} has no Excel form{why and f' ({why})'}.")

    def _named(self, node: ast.expr, value: object) -> _Term:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self._refuse(node, "neither a parameter nor a module's number")
        # Whole constants are units in disguise, such as the seconds of a year: they may cancel.
        return _constant(1, Exact(value), known=value) if isinstance(value, int) and value > 0 else _constant(value)

    def _minus(self, inner: _Term) -> _Term:
        return _alike([inner], lambda unit: _Text(f"-{inner.write(unit).within(_ATOM)}", _SIGNED))

    def _sum(self, left: _Term, op: str, right: _Term) -> _Term:
        def write(unit: Exact) -> _Text:
            second = right.write(unit)
            # A sum on the right keeps its parentheses: another order of adding rounds differently.
            safe = f"({second.text})" if second.text.startswith("-") else second.within(_PRODUCT)
            return _Text(f"{left.write(unit).within(_SUM)}{op}{safe}", _SUM)

        return _alike([left, right], write)

    def _product(self, left: _Term, op: str, right: _Term) -> _Term:
        first, second = left.bare, right.bare
        scale = left.scale * right.scale if op == "*" else left.scale / right.scale
        if second.text == "1":
            return _scaled(first, scale)
        if first.text == "1" and op == "*":
            return _scaled(second, scale)
        signed = second.text.startswith("-")
        safe = f"({second.text})" if signed else second.within(_PRODUCT if op == "*" else _POWER)
        return _scaled(_Text(f"{first.within(_PRODUCT)}{op}{safe}", _PRODUCT), scale)

    def _numpy(self, func: ast.expr) -> str:
        """The name of numpy's function, or of ``abs``; "" for anything else."""
        match func:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if self.globals.get(module) is np:
                return name
            case ast.Name(id="abs") if "abs" not in self.globals:
                return "abs"
        return ""

    def _function(self, node: ast.expr, name: str, args: list[ast.expr]) -> _Term:
        match name, args:
            case "where", [ast.Compare(left=left, ops=[op], comparators=[right]), yes, no] if type(op) in _COMPARISONS:
                return self._choice(_COMPARISONS[type(op)], *map(self.term, (left, right, yes, no)))
            case "ceil", [arg]:
                return _scaled(_Text(f"-INT(-{self.term(arg).write(_ONE).within(_ATOM)})", _SIGNED))
            case _, [arg] if name in _OF_NUMBER:
                return _scaled(_Text(_OF_NUMBER[name].format(self.term(arg).write(_ONE).text), _ATOM))
        excel, count = _OF_ALIKE.get(name, ("", -1))
        if len(args) != count:
            self._refuse(node)
        parts = [self.term(arg) for arg in args]
        return _alike(parts, lambda unit: _Text(f"{excel}({','.join(p.write(unit).text for p in parts)})", _ATOM))

    def _choice(self, sign: str, left: _Term, right: _Term, yes: _Term, no: _Term) -> _Term:
        side = _alike([left, right], left.write).scale
        test = f"{left.write(side).text}{sign}{right.write(side).text}"
        return _alike([yes, no], lambda unit: _Text(f"IF({test},{yes.write(unit).text},{no.write(unit).text})", _ATOM))

    def _equation(self, node: ast.expr, call: object, keywords: list[ast.keyword]) -> _Term:
        """Another equation's expression in place of its call."""
        inner = next((e for e in CATALOGUE.values() if e.call is call), None)
        if inner is None or any(k.arg is None for k in keywords):
            self._refuse(node, "not a call of a catalogued equation by keyword")
        given = {str(k.arg): self.term(k.value) for k in keywords}
        wanted = {p.name for p in inner.params if p.required}
        if not wanted <= given.keys() <= {p.name for p in inner.params}:
            self._refuse(node, "other parameters than it has")
        for param in inner.params:
            if param.name in given:
                self._demand(node, param, given[param.name])
            else:
                given[param.name] = _bound(inner, param, None)
        return _Translator(inner, given, self.tests).answer()

    def _demand(self, node: ast.expr, param: Param, term: _Term) -> None:
        """An inlined equation refuses what is outside its own ranges; so must the formula."""
        unit = param.unit
        if unit is None:
            self._refuse(node, f"{param.name} is not a quantity")
        if term.known is not None:
            unit.check(term.known, f"{self.entry.name}: {param.name}")
        elif term.unit != unit:
            text = term.write(unit.scale).within(_SUM)
            self.tests.extend(range_tests(text, unit))
            self.tests.extend([f"{text}=INT({text})"] if unit.whole else [])
