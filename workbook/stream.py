"""Long tables: the rows of a sheet written one after another, so that memory stays flat however many there are.

The draft of a book has one row of the table, dressed and with its formulas.  `lengthened` takes that row as the pattern
of all: styles and formulas from it, values from whoever knows them; a test recalculates the formulas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape as escape_xml

from lxml import etree
from openpyxl.formula.tokenizer import Token, Tokenizer
from openpyxl.utils.cell import coordinate_to_tuple, get_column_letter, range_boundaries

from workbook.caches import SheetCells, escape, set_value, spell_number
from workbook.cells import Cell
from workbook.errors import WorkbookError
from workbook.package import main

_ROW = "\x02"  # in a pattern: the number of the row
_RELATIVE = re.compile(r"(\$?[A-Z]{1,3})(\d+)")
Values = Mapping[str, Cell | None]  # by address


@dataclass(frozen=True)
class LongTable:
    """A table of which the draft has the first row only.

    Parameters
    ----------
    first : int
        That row.
    count : int
        How many rows there are.
    rows : callable
        Answers with blocks of rows, a sequence of values for each column from A on; called when the sheet is written.
    tops : mapping of str to value
        What each formula outside the table shows, by address; the draft has the formulas.
    """

    first: int
    count: int
    rows: Callable[[], Iterable[Sequence[Sequence[Cell | None]]]]
    tops: Values = field(default_factory=dict)


def lengthened(content: bytes, table: LongTable, sheet: str) -> Callable[[], Iterator[bytes]]:
    """The part of a sheet with all rows of its table.

    Parameters
    ----------
    content : bytes
        The part of the draft.
    table : LongTable
        The rows.
    sheet : str
        The name of the sheet, for messages.

    Returns
    -------
    callable
        Answers with the pieces of the part.
    """
    root = valued(content, table.tops)
    size = root.find(main("dimension"))
    if size is not None:
        _, _, right, _ = range_boundaries(size.get("ref", "A1"))
        size.set("ref", f"A1:{get_column_letter(right or 1)}{table.first + table.count - 1}")
    line = next(r for r in root.iter(main("row")) if r.get("r") == str(table.first))
    pattern = _Pattern(line, table.first)
    lines = root.find(main("sheetData"))
    if lines is None:
        raise WorkbookError(f"{sheet} of the draft has no rows.")
    here = etree.ProcessingInstruction("rows")
    lines.replace(line, here)
    head, tail = etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True).split(
        etree.tostring(here)
    )

    def pieces() -> Iterator[bytes]:
        yield head
        row = table.first
        for block in table.rows():
            yield pattern.rows(block, row)
            row += len(block[0])
        if row != table.first + table.count:
            raise WorkbookError(f"{sheet}: {row - table.first} rows came, {table.count} were promised.")
        yield tail

    return pieces


def valued(content: bytes, values: Values) -> etree._Element:
    """The part of a sheet whose formulas show these values."""
    root = etree.fromstring(content)
    cells = SheetCells(root)
    for at, value in values.items():
        set_value(cells.cell(*coordinate_to_tuple(at)), value)
    return root


class _Pattern:
    """The text of a row, made from the one of the draft."""

    def __init__(self, line: etree._Element, row: int) -> None:
        look = "".join(f' {n!s}="{v!s}"' for n, v in line.attrib.items() if n not in ("r", "spans"))
        self._formulas: list[str] = []
        self._words: list[dict[str, str]] = []
        places = []
        for cell in line.iterfind(main("c")):
            formula = cell.findtext(main("f"))
            self._formulas.append("" if formula is None else f"<f>{escape_xml(_moving(formula, row))}</f>")
            self._words.append({})
            style = f' s="{cell.get("s")!s}"' if cell.get("s") else ""
            places.append(f'<c r="{str(cell.get("r")).rstrip("0123456789")}{_ROW}"{style}%s')
        self._text = f'<row r="{_ROW}"{look}>{"".join(places)}</row>'

    def rows(self, block: Sequence[Sequence[Cell | None]], first: int) -> bytes:
        """Some rows as text."""
        columns = [self._cells(i, values) for i, values in enumerate(block)]
        text = self._text
        rows = enumerate(zip(*columns, strict=True), start=first)
        return "".join([(text % row).replace(_ROW, str(n)) for n, row in rows]).encode()

    def _cells(self, column: int, values: Sequence[Cell | None]) -> list[str]:
        """The rest of each cell of a column, from its type on."""
        formula, words = self._formulas[column], self._words[column]
        out = []
        for value in values:
            if isinstance(value, float):
                out.append(f">{formula}<v>{spell_number(value)}</v></c>")
                continue
            text = str(value)
            if text not in words:
                shown = escape_xml(escape(text))
                words[text] = (f' t="str">{formula}<v>{shown}</v></c>' if formula
                               else f' t="inlineStr"><is><t>{shown}</t></is></c>')  # fmt: skip
            out.append(words[text])
        return out


def _moving(formula: str, row: int) -> str:
    """A formula whose relative rows follow the row in which it stands; it looks at its own row only."""
    tokens = Tokenizer(f"={formula}").items
    return "".join(
        _RELATIVE.sub(lambda m: f"{m[1]}{_ROW}" if int(m[2]) == row else m[0], t.value)
        if t.type == Token.OPERAND and t.subtype == Token.RANGE
        else t.value
        for t in tokens
    )
