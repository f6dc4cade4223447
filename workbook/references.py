"""Every reference of a formula as plain cells: structured references and defined names resolved to A1.

The headless engine does not know all spellings (``[@col]``, names over ``tbl[col]``), so the copy it computes has none
of them. What cannot be resolved is an error that names the cell and the reference; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from openpyxl.formula import Tokenizer
from openpyxl.formula.tokenizer import Token, TokenizerError
from openpyxl.utils.cell import get_column_letter

from workbook.errors import WorkbookError
from workbook.package import Area, Name, Table, area_of

_CELLS = re.compile(
    r"\$?[A-Z]{1,3}\$?[1-9][0-9]{0,6}(:\$?[A-Z]{1,3}\$?[1-9][0-9]{0,6})?|\$?[A-Z]{1,3}:\$?[A-Z]{1,3}|\$?[0-9]+:\$?[0-9]+",
    re.IGNORECASE,
)
_CORNER = re.compile(r"(\$?)[A-Z]{1,3}(\$?)[0-9]+", re.IGNORECASE)
_ABSOLUTE = re.compile(r"\$[A-Z]+\$[0-9]+(:\$[A-Z]+\$[0-9]+)?|\$[A-Z]+:\$[A-Z]+|\$[0-9]+:\$[0-9]+", re.IGNORECASE)
_ITEMS = {"#all", "#data", "#headers", "#totals", "#this row"}
LAST_ROW, LAST_COLUMN = 1_048_576, 16_384

Moves = tuple[bool, bool, bool, bool]  # of an area's top, left, bottom and right: whether it goes with the cell
_STILL: Moves = (False, False, False, False)


class UnresolvedReference(WorkbookError):
    """A reference that does not lead to cells of this workbook."""


@dataclass(frozen=True)
class Resolved:
    """A formula over plain cells, the rectangles it reads, and which of their edges go with the formula's cell."""

    text: str
    reads: tuple[Area, ...]
    moves: tuple[Moves, ...]


class Resolver:
    """Looks up what references mean in one workbook.

    Parameters
    ----------
    sheets : iterable of str
        The sheets that hold cells.
    tables : iterable of Table
        The Excel tables.
    names : iterable of Name
        The defined names.
    """

    def __init__(self, sheets: Iterable[str], tables: Iterable[Table] = (), names: Iterable[Name] = ()) -> None:
        self._sheets = {name.casefold(): name for name in sheets}
        self._tables = {table.name.casefold(): table for table in tables}
        self._names = {(n.sheet.casefold() if n.sheet else None, n.name.casefold()): n for n in names}
        self._on: dict[str, list[Table]] = {}
        for table in self._tables.values():
            self._on.setdefault(table.area.sheet, []).append(table)

    def place(self, sheet: str, row: int, column: int) -> Hashable:
        """What the meaning of references to tables and names depends on: the sheet, and the parts of tables beside."""
        return sheet, tuple(_part(table, row, column) for table in self._on.get(sheet, ()))

    def resolve(self, formula: str, sheet: str, row: int, column: int) -> Resolved:
        """Rewrite a formula so that it refers to plain, absolute, sheet-qualified cells only.

        Parameters
        ----------
        formula : str
            The text, with or without "=".
        sheet, row, column
            The cell it stands in.

        Returns
        -------
        Resolved
            The text without "=", and the areas it reads.

        Raises
        ------
        UnresolvedReference
            Naming the cell and the reference.
        """
        try:
            return self._formula(formula.removeprefix("="), sheet, row, column, ())
        except UnresolvedReference as trouble:
            raise UnresolvedReference(f"{sheet}!{get_column_letter(column)}{row}: {trouble}") from None

    def _formula(self, text: str, sheet: str, row: int, column: int, names: tuple[str, ...]) -> Resolved:
        pieces: list[str] = []
        reads: list[Area] = []
        moves: list[Moves] = []
        for token in tokens_of(text):
            if token.type == Token.OPERAND and token.subtype == Token.RANGE:
                found = self._operand(token.value, sheet, row, column, names)
                pieces.append(found.text)
                reads.extend(found.reads)
                moves.extend(found.moves)
            elif token.type == Token.OPERAND and token.subtype == Token.ERROR:
                raise UnresolvedReference(f"{token.value} is written into the formula, a reference was lost")
            else:
                pieces.append(token.value)
        return Resolved("".join(pieces), tuple(reads), tuple(moves))

    def _operand(self, text: str, sheet: str, row: int, column: int, names: tuple[str, ...]) -> Resolved:
        where, rest = _split_sheet(text)
        if "[" in where or re.match(r"'?\[[^\]]*\][^\]]*!", text):
            raise UnresolvedReference(f"{text} refers to another workbook")
        if ":" in where:
            raise UnresolvedReference(f"{text} refers through several sheets")
        if where and where.casefold() not in self._sheets:
            raise UnresolvedReference(f"{text} names a sheet that does not exist or holds no cells")
        target = self._sheets[where.casefold()] if where else sheet
        if _CELLS.fullmatch(rest):
            if names and not _ABSOLUTE.fullmatch(rest):
                raise UnresolvedReference(f"the name {names[-1]} holds the relative reference {rest}")
            return _plain(area_of(target, rest.replace("$", "").upper()), _moves(rest))
        if "[" in rest:
            return self._structured(rest, sheet, row, column)
        if not where and rest.casefold() in self._tables:
            return _plain(_rows(self._tables[rest.casefold()], {"#data"}, rest))
        return self._name(text, rest, target, row, column, names)

    def _name(self, text: str, name: str, sheet: str, row: int, column: int, names: tuple[str, ...]) -> Resolved:
        key = name.casefold()
        found = self._names.get((sheet.casefold(), key)) or self._names.get((None, key))
        if found is None:
            raise UnresolvedReference(f"{text} is not a cell, a table or a defined name of this workbook")
        if key in names:
            raise UnresolvedReference(f"the name {name} refers to itself")
        inner = self._formula(found.text.removeprefix("="), found.sheet or sheet, row, column, (*names, key))
        single = len(tokens_of(inner.text)) == 1
        return inner if single else Resolved(f"({inner.text})", inner.reads, inner.moves)

    def _structured(self, text: str, sheet: str, row: int, column: int) -> Resolved:
        name, _, inner = text.partition("[")
        table = self._tables.get(name.casefold()) if name else self._around(sheet, row, column)
        if table is None:
            raise UnresolvedReference(f"{text}: there is no table {name or 'around this cell'}")
        items, columns = _read_structured(inner, text)
        area = _rows(table, items or {"#data"}, text)
        if "#this row" in items:
            if (sheet, row) != (table.area.sheet, max(area.top, min(row, area.bottom))):
                raise UnresolvedReference(f"{text} asks for this row, but the cell is not beside a row of {table.name}")
            area = Area(area.sheet, row, area.left, row, area.right)
        if columns:
            order = [c.casefold() for c in table.columns]
            for wanted in columns:
                if wanted.casefold() not in order:
                    raise UnresolvedReference(f"{text}: table {table.name} has no column {wanted!r}")
            at = sorted(order.index(wanted.casefold()) for wanted in columns)
            area = Area(area.sheet, area.top, area.left + at[0], area.bottom, area.left + at[-1])
        by_row = "#this row" in items
        return _plain(area, (by_row, False, by_row, False))

    def _around(self, sheet: str, row: int, column: int) -> Table | None:
        return next((t for t in self._on.get(sheet, ()) if (sheet, row, column) in t.area), None)


@lru_cache(maxsize=4096)
def _tokens(text: str) -> list[Token]:
    """Cached: the rows of a table share the text of a formula."""
    return list(Tokenizer(f"={text}").items)


def tokens_of(formula: str) -> list[Token]:
    """The tokens of a formula (given with or without "=").

    Raises
    ------
    UnresolvedReference
        When it cannot be read as a formula.
    """
    try:
        return _tokens(formula.removeprefix("="))
    except (TokenizerError, IndexError) as trouble:
        raise UnresolvedReference(f"the formula {formula!r} cannot be read ({trouble})") from trouble


def spell(area: Area) -> str:
    """An area as Excel writes it, absolute and with its sheet."""
    sheet = "'" + area.sheet.replace("'", "''") + "'!"
    left, right = get_column_letter(area.left), get_column_letter(area.right)
    if (area.top, area.bottom) == (1, LAST_ROW):
        return f"{sheet}${left}:${right}"
    if (area.left, area.right) == (1, LAST_COLUMN):
        return f"{sheet}${area.top}:${area.bottom}"
    if area.shape == (1, 1):
        return f"{sheet}${left}${area.top}"
    return f"{sheet}${left}${area.top}:${right}${area.bottom}"


def _plain(area: Area, moves: Moves = _STILL) -> Resolved:
    return Resolved(spell(area), (area,), (moves,))


def _moves(cells: str) -> Moves:
    """Of a reference as written; whole rows and columns are taken as they stand."""
    corners = [_CORNER.fullmatch(corner) for corner in cells.split(":")]
    first, last = corners[0], corners[-1]
    if first is None or last is None:
        return _STILL
    return not first[2], not first[1], not last[2], not last[1]


def _part(table: Table, row: int, column: int) -> tuple[int, bool]:
    """Above, header, data, totals or below as 0 to 4, and whether between the table's edges."""
    area = table.area
    edges = (area.top, area.top + table.header_rows, area.bottom - table.totals_rows + 1, area.bottom + 1)
    return sum(row >= edge for edge in edges), area.left <= column <= area.right


def _split_sheet(text: str) -> tuple[str, str]:
    if text.startswith("'"):
        quoted = re.match(r"'((?:[^']|'')*)'!(.*)", text, re.DOTALL)
        if quoted:
            return quoted[1].replace("''", "'"), quoted[2]
    where, mark, rest = text.partition("!")
    return (where, rest) if mark and "[" not in where else ("", text)


def _rows(table: Table, items: set[str], text: str) -> Area:
    area = table.area
    first, last = area.top + table.header_rows, area.bottom - table.totals_rows
    spans = {
        "#all": (area.top, area.bottom),
        "#headers": (area.top, first - 1),
        "#data": (first, last),
        "#this row": (first, last),
        "#totals": (last + 1, area.bottom),
    }
    chosen = [spans[item] for item in items]
    top, bottom = min(s[0] for s in chosen), max(s[1] for s in chosen)
    if any(s[0] > s[1] for s in chosen):
        raise UnresolvedReference(f"{text}: table {table.name} has no such rows")
    return Area(area.sheet, top, area.left, bottom, area.right)


def _read_structured(inner: str, text: str) -> tuple[set[str], list[str]]:
    """Items (``#data`` ...) and columns of what stands after ``tbl[``."""
    body = inner[:-1].strip()
    items: set[str] = set()
    if body.startswith("@"):
        items.add("#this row")
        body = body[1:].strip()
    if body and not body.startswith("["):
        body = f"[{body}]"
    columns: list[str] = []
    at = 0
    while at < len(body):
        if body[at] in " ,:":
            at += 1
        elif body[at] == "[":
            word, at = _bracketed(body, at + 1, text)
            if word.casefold() in _ITEMS:
                items.add(word.casefold())
            else:
                columns.append(word.removeprefix("\0"))
        else:
            raise UnresolvedReference(f"{text} is not a reference to a table that can be read")
    if len(columns) > 2:
        raise UnresolvedReference(f"{text} names more than one range of columns")
    return items, columns


def _bracketed(body: str, at: int, text: str) -> tuple[str, int]:
    """The word up to the closing bracket; an apostrophe makes the next character ordinary."""
    word = ""
    while at < len(body):
        if body[at] == "'" and at + 1 < len(body):
            # An escaped # is part of a column name, not an item; the mark keeps the two apart.
            word += "\0#" if body[at + 1] == "#" and not word else body[at + 1]
            at += 2
        elif body[at] == "]":
            return word, at + 1
        else:
            word += body[at]
            at += 1
    raise UnresolvedReference(f"{text} has a bracket that is not closed")
