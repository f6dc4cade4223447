"""Cells and tables of a package changed one by one, for freeze and thaw: the sheet parts named, nothing else.

Texts are written inline, so that the shared strings keep their bytes; formulas that come or go are told to the
calculation chain, where the file has one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from lxml import etree
from openpyxl.formula import Tokenizer
from openpyxl.formula.tokenizer import Token, TokenizerError
from openpyxl.utils.cell import get_column_letter

from workbook.caches import SheetCells, escape, set_value, write_values
from workbook.cells import Block, Cell, ErrorValue, Formula, Grid, read_grids, walk
from workbook.embedded import Functions
from workbook.engine import evaluate
from workbook.package import Package, Table, main
from workbook.refresh_styles import Styles

Spot = tuple[str, int, int]
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_PREFIX = "MLS_"


def calls_ours(text: str) -> bool:
    """Whether a formula calls a function of ours, however the add-in's channel spells it."""
    if _PREFIX not in text.upper():
        return False
    try:
        tokens = Tokenizer(f"={text}").items
    except TokenizerError:
        return True
    return any(t.type == Token.FUNC and t.subtype == Token.OPEN and _PREFIX in t.value.upper() for t in tokens)


class Page:
    """One worksheet part that is being changed; `save` puts it back.

    Parameters
    ----------
    package : Package
        Changed by `save`.
    part : str
        The sheet's part.
    styles : Styles
        The cell formats of the package.
    """

    def __init__(self, package: Package, part: str, styles: Styles) -> None:
        self._package, self._part, self._styles = package, part, styles
        self._root = package.xml(part)
        self._cells = SheetCells(self._root)

    def style(self, row: int, column: int) -> str:
        """The number of a cell's format."""
        return self._cells.cell(row, column).get("s", "0")

    def put(self, row: int, column: int, value: Cell | None, *, style: str | None = None) -> None:
        """A plain value, without the formula that was there; None leaves the cell empty."""
        element = self._bare(row, column)
        if isinstance(value, str) and not isinstance(value, ErrorValue):
            set_value(element, None)
            element.set("t", "inlineStr")
            text = etree.SubElement(etree.SubElement(element, main("is")), main("t"))
            text.text = escape(value)
            if value != value.strip():
                text.set(_SPACE, "preserve")
        else:
            set_value(element, value)
        if style is not None:
            element.set("s", style)

    def put_formula(
        self, row: int, column: int, text: str, *, ref: str = "", cm: str = "", style: str | None = None
    ) -> None:
        """A formula without "="; `ref` makes it an array formula of those cells, `cm` one that spills."""
        element = self._bare(row, column)
        set_value(element, None)
        source = etree.Element(main("f"))
        source.text = escape(text)
        element.insert(0, source)
        if ref:
            source.set("t", "array")
            source.set("ref", ref)
        if cm:
            element.set("cm", cm)
        if style is not None:
            element.set("s", style)

    def prefix(self, row: int, column: int, *, on: bool) -> None:
        """Mark a cell as text although it looks like a formula, or take the mark back."""
        element = self._cells.cell(row, column)
        element.set("s", str(self._styles.prefixed(int(element.get("s", "0")), on=on)))

    def remove(self, cells: Iterable[tuple[int, int]]) -> None:
        """Take cells away, and rows that held nothing else."""
        for at in cells:
            element = self._cells.cell(*at)
            line = element.getparent()
            if line is None:
                continue
            line.remove(element)
            above = line.getparent()
            if len(line) == 0 and above is not None and not set(line.attrib) - {"r", "spans"}:
                above.remove(line)

    def save(self) -> None:
        """Put the part back, with the sheet's stated size."""
        self._cells.finish()
        size, cells = self._root.find(main("dimension")), [(row, column) for row, column, _ in walk(self._root)]
        if size is not None and cells:
            rows, columns = [r for r, _ in cells], [c for _, c in cells]
            first, last = (
                f"{get_column_letter(min(columns))}{min(rows)}",
                f"{get_column_letter(max(columns))}{max(rows)}",
            )
            size.set("ref", first if first == last else f"{first}:{last}")
        self._package.put(self._part, self._root)

    def _bare(self, row: int, column: int) -> etree._Element:
        element = self._cells.cell(row, column)
        for old in element.findall(main("f")):
            element.remove(old)
        if "cm" in element.attrib:
            del element.attrib["cm"]
        return element


def resize(package: Package, table: Table, rows: int) -> None:
    """Let a table have so many rows below its header."""
    root, area = package.xml(table.part), table.area
    ref = f"{get_column_letter(area.left)}{area.top}:{get_column_letter(area.right)}{area.top + rows}"
    root.set("ref", ref)
    for one in root.findall(main("autoFilter")):
        one.set("ref", ref)
    package.put(table.part, root)


def fill_rows(page: Page, table: Table, rows: Sequence[Sequence[Cell | None]]) -> None:
    """Values below the header of a table, each column in the format of its first cell."""
    area = table.area
    styles = [page.style(area.top + 1, area.left + i) for i in range(area.shape[1])]
    for r, row in enumerate(rows, start=area.top + 1):
        for i, value in enumerate(row):
            page.put(r, area.left + i, None if value == "" else value, style=styles[i])


def link_chain(package: Package, gone: Collection[Spot], come: Collection[Spot]) -> None:
    """Tell the calculation chain which formula cells went and came."""
    parts = [r.target for r in package.relations(package.workbook_part) if r.kind == "calcChain"]
    if not parts or parts[0] not in package.parts:
        return
    book = package.xml(package.workbook_part)
    numbers = {s.get("name", ""): s.get("sheetId", "") for s in book.iter(main("sheet"))}
    left = {(numbers.get(s, ""), f"{get_column_letter(c)}{r}") for s, r, c in gone}
    root, number = package.xml(parts[0]), "0"
    for entry in list(root):
        number = entry.get("i", number)  # an entry without it is on the sheet of the one before
        entry.set("i", number)
        if (number, entry.get("r", "")) in left:
            root.remove(entry)
    for sheet, row, column in sorted(come):
        etree.SubElement(root, main("c"), r=f"{get_column_letter(column)}{row}", i=numbers.get(sheet, ""))
    package.put(parts[0], root)


def compute_all(package: Package, functions: Functions) -> tuple[dict[str, str], list[str]]:
    """New values for every formula cell; sheets on which none changes keep their bytes.

    Parameters
    ----------
    package : Package
        Changed in place.
    functions : mapping of str to callable
        Our functions by Excel name; none for a frozen book.

    Returns
    -------
    tuple of dict and list
        The cells that keep their former values, and why; the cells in error.
    """
    grids = read_grids(package)
    result = evaluate(package, functions, grids=grids)
    changed: list[Grid] = []
    for grid in grids:
        different = False
        for formula in grid.formulas.values():
            key = formula.sheet, formula.at
            if key not in result.values and formula.cached is not None:
                result.values[key] = _shown(grid, formula)
            elif key in result.values:
                different = different or not _equal(result.values[key], _shown(grid, formula), formula.cached)
        if different:
            changed.append(grid)
    write_values(package, changed, result, None)
    left = {f"{sheet}!{at}": why for (sheet, at), why in result.missing.items()}
    wrong = [
        f"{sheet}!{at}"
        for (sheet, at), value in result.values.items()
        if any(
            isinstance(cell, ErrorValue) for row in (value if isinstance(value, list) else [[value]]) for cell in row
        )
    ]
    return left, wrong


def _shown(grid: Grid, formula: Formula) -> Cell | Block:
    """What the file shows for a formula: one value, or those of the block it fills."""
    if formula.block is None or formula.block.shape == (1, 1):
        return formula.cached if formula.cached is not None else ""
    area = formula.block
    held = [[grid.value(r, c) for c in range(area.left, area.right + 1)] for r in range(area.top, area.bottom + 1)]
    return [["" if cell is None else cell for cell in row] for row in held]


def _equal(new: Cell | Block, old: Cell | Block, cached: Cell | None) -> bool:
    if isinstance(new, list) and isinstance(old, list):
        return [list(map(_typed, row)) for row in new] == [list(map(_typed, row)) for row in old]
    if isinstance(new, list) or isinstance(old, list):
        return False
    return cached is not None and _typed(new) == _typed(old)


def _typed(cell: Cell) -> tuple[type, Cell]:
    return type(cell), cell
