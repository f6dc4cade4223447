"""Formulas as shapes: the same text in every cell that a formula was copied to, and what such a text refers to.

A shape is the formula in R1C1-relative form. It is parsed once, from the first cell that has it; the cells that share
it cost one look-up each, which keeps the gates quick on a timeline of tens of thousands of formulas.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field

from openpyxl.formula.tokenizer import Token
from openpyxl.utils.cell import column_index_from_string

from workbook.cells import Formula
from workbook.package import Area, area_of
from workbook.references import Resolver, UnresolvedReference, tokens_of
from workbook.whitelist import native_name

# Texts, sheet names and structured references pass unchanged; what is left and looks like a cell is one, unless it is
# part of a longer word, a function's name or a sheet's.
_PIECES = re.compile(
    r"""
      (?P<keep>"(?:[^"]|"")*" | '(?:[^']|'')*'! | \[(?:'.|[^\[\]']|\[(?:'.|[^\[\]'])*\])*\])
    | (?<![\w.$\]])(?P<ca>\$?)(?P<col>[A-Za-z]{1,3})(?P<ra>\$?)(?P<row>[1-9][0-9]{0,6})(?![\w.(!\[])
    """,
    re.VERBOSE,
)
_WHOLE = re.compile(r"(?:.*!)?(?:\$?[A-Z]{1,3}:\$?[A-Z]{1,3}|\$?[0-9]+:\$?[0-9]+)", re.IGNORECASE)
_CORNER = r"(\$?)([A-Z]{1,3})(\$?)([1-9][0-9]{0,6})"
_PLAIN = re.compile(rf"(?:.*!)?{_CORNER}(?::{_CORNER})?", re.IGNORECASE)
_THIS_ROW = re.compile(r"\[@|#this row", re.IGNORECASE)
_LAST_COLUMN = 16_384
Span = tuple[str, int, int, int, int]  # sheet, top, left, bottom, right
ARITHMETIC, COMPARISON = frozenset("+-*/^"), frozenset({"=", "<>", "<", ">", "<=", ">="})


@dataclass(frozen=True)
class Use:
    """A reference in a shape, and the place it stands in.

    `area` is where it leads from the cell at `origin`; `moves` says for each edge (top, left, bottom, right) whether it
    moves with the cell. `function` and `argument` are of the innermost call; `operators` stand beside it.
    """

    text: str
    area: Area
    moves: tuple[bool, bool, bool, bool]
    origin: tuple[int, int]
    function: str
    argument: int
    operators: tuple[str, ...]
    typed: bool  # plain cells, not a table's column or a name

    def span(self, row: int, column: int) -> Span:
        """The cells it leads to from another cell, as a plain tuple: this is asked for every cell of a timeline."""
        a, (top, left, bottom, right) = self.area, self.moves
        down, over = row - self.origin[0], column - self.origin[1]
        return (
            a.sheet,
            a.top + down if top else a.top,
            a.left + over if left else a.left,
            a.bottom + down if bottom else a.bottom,
            a.right + over if right else a.right,
        )

    def seen_from(self, row: int, column: int) -> Area:
        """The cells it leads to from another cell."""
        return Area(*self.span(row, column)) if any(self.moves) else self.area


@dataclass(frozen=True)
class Literal:
    """A number written into a formula, the calls around it (name, argument; innermost first), what stands beside."""

    text: str
    calls: tuple[tuple[str, int], ...]
    before: str
    after: str


@dataclass(frozen=True)
class Shape:
    """A formula as every cell that shares it has it."""

    text: str
    sample: Formula
    resolved: str = ""  # the sample over plain cells where it refers to tables, "" when one leads nowhere
    uses: tuple[Use, ...] = ()
    literals: tuple[Literal, ...] = ()
    functions: frozenset[str] = frozenset()
    whole: tuple[str, ...] = ()  # references to whole columns or rows
    tested: frozenset[str] = frozenset()  # references that the formula looks at before it calculates with them
    names: frozenset[str] = frozenset()  # words that are neither cells nor parts of tables, in lower case


# A reference inside one of these is asked what it is.
_ASKING = frozenset(
    {
        "ISNUMBER",
        "ISTEXT",
        "ISBLANK",
        "ISERROR",
        "ISNA",
        "IFERROR",
        "IFNA",
        "N",
        "COUNT",
        "COUNTA",
        "COUNTIF",
        "LEN",
        "LEFT",
    }
)


@dataclass
class Shapes:
    """The shapes of a workbook, each parsed once."""

    resolver: Resolver
    _texts: dict[tuple[str, int, int], str] = field(default_factory=dict)
    _known: dict[tuple[str, str], Shape] = field(default_factory=dict)

    def text(self, formula: Formula) -> str:
        """The R1C1-relative form of a formula."""
        key = (formula.sheet, formula.row, formula.column)
        found = self._texts.get(key)
        if found is None:
            found = self._texts[key] = relative(formula.text, formula.row, formula.column)
        return found

    def of(self, formula: Formula) -> Shape:
        """The shape of a formula."""
        # A formula without a sheet's name means its own: the same text on two sheets is two shapes. A table's row may
        # be meant by [@column] alone, so the row's table does not matter here: it is resolved from the sample.
        key = (formula.sheet, self.text(formula))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _parse(key[1], formula, self.resolver)
        return found


def relative(text: str, row: int, column: int) -> str:
    """A formula in R1C1-relative form: ``B2+$C$1`` in B3 reads ``R[-1]C+R1C3``."""

    def spell(match: re.Match[str]) -> str:
        if match["keep"] is not None:
            return match[0]
        number = column_index_from_string(match["col"].upper())
        if number > _LAST_COLUMN:
            return match[0]
        down, over = int(match["row"]) - row, number - column
        across = f"C{number}" if match["ca"] else f"C[{over}]" if over else "C"
        return (f"R{match['row']}" if match["ra"] else f"R[{down}]" if down else "R") + across

    return _PIECES.sub(spell, text)


def _parse(text: str, formula: Formula, resolver: Resolver) -> Shape:
    try:
        tokens = [t for t in tokens_of(formula.text) if t.type != Token.WSPACE]
    except UnresolvedReference:
        return Shape(text, formula)
    uses: list[Use] = []
    literals: list[Literal] = []
    functions: set[str] = set()
    tested: set[str] = set()
    words: set[str] = set()
    whole: list[str] = []
    calls: list[tuple[str, int]] = []  # ("", n) for a bracket
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else None
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        if token.type == Token.FUNC and token.subtype == Token.OPEN:
            name = native_name(token.value[:-1])
            functions.add(name)
            calls.append((name, 0))
        elif token.type == Token.PAREN and token.subtype == Token.OPEN:
            calls.append(("", 0))
        elif token.type in (Token.FUNC, Token.PAREN) and calls:
            calls.pop()
        elif token.type == Token.SEP and calls:
            calls[-1] = (calls[-1][0], calls[-1][1] + 1)
        elif token.type == Token.OPERAND:
            inside = tuple(c for c in reversed(calls) if c[0])
            if token.subtype == Token.NUMBER:
                literals.append(Literal(token.value, inside, _operator(before), _operator(after)))
            elif token.subtype == Token.RANGE:
                beside = tuple(o for o in (_operator(before), _operator(after)) if o)
                if any(o in COMPARISON for o in beside) or (inside and inside[0][0] in _ASKING):
                    tested.add(token.value)
                if _WHOLE.fullmatch(token.value):
                    whole.append(token.value)
                if "[" not in token.value and not _PLAIN.fullmatch(token.value):
                    words.add(token.value.rpartition("!")[2].casefold())
                uses += _uses(token.value, formula, resolver, inside[0] if inside else ("", 0), beside)
    resolved = ""
    if "[" in formula.text:
        with suppress(UnresolvedReference):
            resolved = resolver.resolve(formula.text, formula.sheet, formula.row, formula.column).text
    return Shape(
        text, formula, resolved, tuple(uses), tuple(literals), frozenset(functions), tuple(whole), frozenset(tested),
        frozenset(words),
    )  # fmt: skip


def _operator(token: Token | None) -> str:
    operators = (Token.OP_IN, Token.OP_PRE, Token.OP_POST)
    return str(token.value) if token is not None and token.type in operators else ""


def _uses(
    text: str, formula: Formula, resolver: Resolver, call: tuple[str, int], operators: tuple[str, ...]
) -> list[Use]:
    plain, origin = _PLAIN.fullmatch(text), (formula.row, formula.column)
    if plain is not None and "!" not in text:
        areas: tuple[Area, ...] = (area_of(formula.sheet, text.replace("$", "").upper()),)
    else:
        try:
            areas = resolver.resolve(text, formula.sheet, formula.row, formula.column).reads
        except UnresolvedReference:
            return []
    if plain is not None:
        first, last = plain.groups()[:4], plain.groups()[4:]
        last = first if last[1] is None else last
        # Corners may be written in any order; those that move with the cell are the ones without "$".
        rows = sorted((int(corner[3]), corner[2] == "") for corner in (first, last))
        columns = sorted((column_index_from_string(corner[1]), corner[0] == "") for corner in (first, last))
        moves = (rows[0][1], columns[0][1], rows[1][1], columns[1][1])
    else:
        row = _THIS_ROW.search(text) is not None
        moves = (row, False, row, False)
    return [Use(text, a, moves, origin, *call, operators, plain is not None) for a in areas]
