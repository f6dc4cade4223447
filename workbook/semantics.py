"""Excel's rules for comparing, joining and reading values, where the embedded engine has others.

Measured in formualizer 0.13: ``0.1+0.2=0.3`` is FALSE (Excel and LibreOffice compare 15 digits), ``1/3&""`` has 16
digits (Excel 15), ``UPPER("ä")`` stays small, ``HYPERLINK`` makes a text of a number, ``POISSON`` of a mean in the
thousands is wrong in the third digit. `rewrite` therefore replaces
those forms by calls of the functions of `Rules`. Where Excel's own answer is not certain the formula is *flagged*: its
cell is then left without a value instead of with a doubtful one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import formualizer

from workbook.whitelist import NATIVE, Node, native_name, own_name, signature_kinds

# A cell that is empty for certain: no sheet of Excel has a name of more than 31 characters.
BLANK_SHEET = "_" * 32
_BLANK_CELL = f"'{BLANK_SHEET}'!$A$1"

_COMPARISONS = {"=", "<>", "<", ">", "<=", ">="}
# Below 0.0001 Excel changes to an exponent once the digits do not fit; up to so many characters they do.
_SHORT = 11
_REPLACED = {"INT", "MOD", "VALUE", "UPPER", "LOWER", "HYPERLINK", "CONCATENATE", "POISSON"}
_TEXTS = {"LEFT", "RIGHT", "MID", "TRIM", "SUBSTITUTE", "REPT", "TEXT", "UPPER", "LOWER", "CONCATENATE"}
_KINDS = {
    "Null": "#NULL!",
    "Div": "#DIV/0!",
    "Value": "#VALUE!",
    "Ref": "#REF!",
    "Name": "#NAME?",
    "Num": "#NUM!",
    "Na": "#N/A",
}
_CODES = {text: kind for kind, text in _KINDS.items()}


def rewrite(tree: Node) -> str:
    """Spell a syntax tree out for the engine, with Excel's rules put in place of the engine's.

    Parameters
    ----------
    tree : Node
        What `workbook.whitelist.parse` made of a formula that `lint` accepts.

    Returns
    -------
    str
        The formula without "=", as a pattern for `filled`: tag and references are left open.
    """
    return _spell(tree, itertools.count())


def filled(pattern: str, tag: int, references: Iterable[str]) -> str:
    """A formula for the engine.

    Parameters
    ----------
    pattern : str
        What `rewrite` answered.
    tag : int
        The number by which `Rules.flagged` names this formula.
    references : iterable of str
        Its references, in the order in which they stand there.

    Returns
    -------
    str
        The formula without "=".
    """
    return pattern % {"tag": tag, **{str(place): reference for place, reference in enumerate(references)}}


def engine_error(text: str) -> Any:
    """An Excel error as the engine takes it from a function."""
    return formualizer.LiteralValue.error(_CODES[text], None)


def is_error_text(value: object) -> bool:
    """Whether a text is spelled like one of Excel's errors."""
    return isinstance(value, str) and value in _CODES


def error_text(value: object) -> str | None:
    """The Excel spelling of an error that came from the engine; "" for one Excel has no stored form of; else None."""
    if isinstance(value, dict) and value.get("type") == "Error":
        return _KINDS.get(str(value.get("kind")), "")
    return None


def fifteen(number: float) -> float:
    """A number as Excel sees it when it compares: 15 significant digits."""
    return float(f"{number:.15g}")


def as_text(number: float) -> str | None:
    """A number as ``&`` writes it (15 digits, no exponent); None where Excel may write an exponent."""
    if number == 0:
        return "0"
    if abs(number) >= 1e15:
        return None
    shown = f"{number:.15g}"
    if "e" not in shown:
        return shown
    digits = 15 - 1 - math.floor(math.log10(abs(number)))
    shown = f"{number:.{digits}f}".rstrip("0").rstrip(".")
    return shown if len(shown) <= _SHORT else None


def _spell(node: Node, places: Iterator[int]) -> str:
    kind = node["node_type"]
    if kind == "Literal":
        return _literal(node["value"])
    if kind == "Reference":
        return f"%({next(places)})s"
    if kind == "Array":
        return "{" + ";".join(",".join(_spell(cell, places) for cell in row) for row in node["rows"]) + "}"
    if kind == "Omitted":
        return _BLANK_CELL
    if kind == "UnaryOp":
        inner = _spell(node["operand"], places)
        return f"({inner})%%" if node["operator"] == "%" else f"({node['operator']}({inner}))"
    if kind == "BinaryOp":
        operator = node["operator"]
        if _is_join(node):
            return f"XL_JOIN(%(tag)d,{','.join(_spell(piece, places) for piece in _pieces(node))})"
        left, right = _spell(node["left"], places), _spell(node["right"], places)
        if operator in _COMPARISONS:
            return f'XL_COMPARE(%(tag)d,"{operator}",{left},{right})'
        return f"(({left}){operator}({right}))"
    return _call(node["name"], node["args"], places)


def _pieces(chain: Node) -> Iterator[Node]:
    """What a chain of ``&`` joins: one call for all of it, because nested calls cost the engine their depth."""
    waiting = [chain]
    while waiting:
        node = waiting.pop()
        if _is_join(node):
            waiting += [node["right"], node["left"]]
        else:
            yield node


def _is_join(node: Node) -> bool:
    return bool(node["node_type"] == "BinaryOp" and node["operator"] == "&")


def _call(written: str, arguments: list[Node], places: Iterator[int]) -> str:
    own = own_name(written)
    if own is not None:
        return f"{own}({','.join(_spell(argument, places) for argument in arguments)})"
    name = native_name(written)
    words = []
    for kind, argument in zip(signature_kinds(NATIVE[name], len(arguments)) or "", arguments, strict=True):
        word = _spell(argument, places)
        # What is text already needs no rule; everything else may be a number that is read as text.
        words.append(word if kind != "t" or _is_text(argument) else f"XL_TEXT(%(tag)d,{word})")
    if name in _REPLACED:
        name, words = f"XL_{name}", ["%(tag)d", *words]
    return f"{name}({','.join(words)})"


def _is_text(node: Node) -> bool:
    """Whether a node answers with a text (or an error) for certain."""
    kind = node["node_type"]
    if kind == "Function":
        return native_name(node["name"]) in _TEXTS
    return _is_join(node) or (kind == "Literal" and isinstance(node["value"], str))


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, float)):
        return repr(float(value))
    return '"' + str(value).replace('"', '""').replace("%", "%%") + '"'


class Rules:
    """The functions that `rewrite` calls.

    Attributes
    ----------
    flagged : dict of int to str
        Formulas (by tag) that met a value for which Excel's answer is not certain, and why.
    """

    def __init__(self) -> None:
        self.flagged: dict[int, str] = {}

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Engine name to callable; the first argument is the tag of the formula."""

        def join(tag: float, *all_: object) -> Any:
            return _each(lambda *values: "".join([self._text(tag, value) for value in values]), *all_)

        return {
            "XL_JOIN": join,
            "XL_CONCATENATE": join,
            "XL_COMPARE": lambda tag, op, a, b: _each(lambda x, y: self._compare(tag, op, x, y), a, b),
            "XL_TEXT": lambda tag, a: _each(lambda x: self._text(tag, x), a),
            "XL_INT": lambda tag, a: _each(lambda x: float(math.floor(fifteen(_number(x)))), a),
            "XL_MOD": lambda tag, a, b: _each(lambda x, y: self._mod(tag, x, y), a, b),
            "XL_VALUE": lambda tag, a: _each(lambda x: self._value(tag, x), a),
            "XL_UPPER": lambda tag, a: _each(lambda x: _letters(self._text(tag, x), str.upper), a),
            "XL_LOWER": lambda tag, a: _each(lambda x: _letters(self._text(tag, x), str.lower), a),
            "XL_POISSON": lambda tag, n, mean, all_: _each(lambda *v: _poisson(*map(_number, v)), n, mean, all_),
            "XL_HYPERLINK": lambda tag, link, *shown: _each(lambda x: x, shown[0] if shown else link),
        }

    def _compare(self, tag: float, operator: str, left: object, right: object) -> bool:
        order = self._order(tag, _filled(left, right), _filled(right, left), operator)
        return {
            "=": order == 0,
            "<>": order != 0,
            "<": order < 0,
            ">": order > 0,
            "<=": order <= 0,
            ">=": order >= 0,
        }[operator]

    def _order(self, tag: float, left: object, right: object, operator: str) -> int:
        a, b = _rank(left), _rank(right)
        if a != b:
            return -1 if a < b else 1
        if a == 1:
            x: Any = str(left).casefold()
            y: Any = str(right).casefold()
            if operator not in {"=", "<>"} and x != y:
                self.flagged[int(tag)] = "it sorts texts, which every language does differently"
        else:
            x, y = fifteen(_number(left)), fifteen(_number(right))
        return int(x > y) - int(x < y)

    def _text(self, tag: float, value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if isinstance(value, (int, float)):
            shown = as_text(float(value))
            if shown is None:
                self.flagged[int(tag)] = "it turns a very large or very small number into text"
                return ""
            return shown
        return str(value)

    def _mod(self, tag: float, number: object, divisor: object) -> float:
        n, d = _number(number), _number(divisor)
        if d == 0:
            raise _Answer("#DIV/0!")
        if not (n.is_integer() and d.is_integer()):
            self.flagged[int(tag)] = "it asks for the remainder of fractions, which the engines round differently"
        return n - d * math.floor(n / d) if max(abs(n), abs(d)) < 2**52 else math.fmod(n, d)

    def _value(self, tag: float, value: object) -> float:
        text = self._text(tag, value).strip()
        if text.lstrip("+-").isascii() and text.lstrip("+-").isdigit():
            return float(text)
        if any(c.isdigit() for c in text):
            self.flagged[int(tag)] = "it reads a text with a decimal sign, which depends on the language of Excel"
        raise _Answer("#VALUE!")


def _poisson(count: float, mean: float, cumulative: float) -> float:
    """The probability of `count` events, or of at most so many."""
    n = math.floor(count)
    if n < 0 or mean <= 0:
        raise _Answer("#NUM!")
    if n < 16:
        log = n * math.log(mean) - mean - math.lgamma(n + 1)
    else:  # Stirling's formula relative to the mean, so that no two large numbers are subtracted
        off = (n - mean) / mean
        rest = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / n**2) / n**2) / n**2) / n
        log = -mean * ((1 + off) * math.log1p(off) - off) - math.log(2 * math.pi * n) / 2 - rest
    one = math.exp(log)
    if not cumulative:
        return one
    term, total, k = 1.0, 0.0, n + 1
    if mean < n:  # all minus the terms above
        while (term := term * mean / k) > 1e-18 * total:
            total, k = total + term, k + 1
        return 1 - one * total
    total, k = 1.0, n
    while k > 0 and (term := term * k / mean) > 1e-18 * total:
        total, k = total + term, k - 1
    return one * total


class _Answer(Exception):
    """An Excel error as the answer of a rule."""


def _each(rule: Callable[..., Any], *arguments: Any) -> Any:
    """Apply a rule to values, and element by element to blocks, one row or one column serving all."""
    blocks = [a for a in arguments if isinstance(a, list)]
    if not blocks:
        return _one(rule, arguments)
    rows, columns = max(len(b) for b in blocks), max(len(b[0]) for b in blocks)
    return [[_one(rule, [_at(a, r, c) for a in arguments]) for c in range(columns)] for r in range(rows)]


def _at(argument: Any, row: int, column: int) -> Any:
    if not isinstance(argument, list):
        return argument
    row, column = row if len(argument) > 1 else 0, column if len(argument[0]) > 1 else 0
    # Beyond the shorter of two blocks Excel answers #N/A.
    inside = row < len(argument) and column < len(argument[0])
    return argument[row][column] if inside else {"type": "Error", "kind": "Na"}


def _one(rule: Callable[..., Any], values: Any) -> Any:
    for value in values:
        found = error_text(value)
        if found is not None:
            return formualizer.LiteralValue.error(str(value["kind"]), None)
    try:
        return rule(*values)
    except _Answer as answer:
        return engine_error(str(answer))


def _number(value: object) -> float:
    if value is None:
        return 0.0
    if isinstance(value, (bool, int, float)):
        return float(value)
    try:
        return float(str(value).strip())
    except ValueError:
        raise _Answer("#VALUE!") from None


def _rank(value: object) -> int:
    return 2 if isinstance(value, bool) else 1 if isinstance(value, str) else 0


def _filled(value: object, other: object) -> object:
    """A blank takes the kind of what it is compared with."""
    if value is not None:
        return value
    return False if isinstance(other, bool) else "" if isinstance(other, str) else 0.0


def _letters(text: str, change: Callable[[str], str]) -> str:
    # Letter by letter: Excel keeps the length, Python makes SS of a sharp s.
    return "".join(new if len(new := change(letter)) == 1 else letter for letter in text)
