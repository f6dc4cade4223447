"""What the tests of frozen books share: a user's own cells, cells typed over, what others show then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openpyxl

from udfs import FUNCTIONS
from workbook.cells import Cell, ErrorValue, Formula
from workbook.frozen_book import Book, Spot
from workbook.frozen_sheet import Page, compute_all
from workbook.package import Package
from workbook.refresh_styles import Styles
from workbook.sheets.engine import FIRST_OPTION, KEPT, ROW
from workbook.sheets.options import COLUMNS

OWN = {  # a user's own cells: formula, range it fills, whether it spills
    "Q3": ('MLS_KVCACHE("Llama3_8B",4096,in_Batch)', "", False),
    "Q4": ("Q3*2", "", False),
    "Q5": ('MLS_LIST("hardware","H100")', "Q5:Q9", True),
    "S5": ('MLS_METRICS("MLS_KVCACHE")', "S5:T5", False),
}


def with_own_cells(package: Package) -> tuple[Package, list[str]]:
    after, book = Package(dict(package.parts), package.path), Book.of(package)
    page = Page(after, book.grids["Inputs"].part, Styles(after))
    count = len(FUNCTIONS["MLS_LIST"]("hardware", "H100"))  # type: ignore[arg-type]
    for at, (text, fills, spills) in OWN.items():
        _, row, column = spot_at("Inputs", at)
        ref = f"Q5:Q{4 + count}" if spills else fills
        page.put_formula(row, column, text, ref=ref, cm="1" if spills else "")
    page.save()
    left, _ = compute_all(after, FUNCTIONS)
    assert left == {}
    return after, []


def spot_at(sheet: str, at: str) -> Spot:
    row, column = openpyxl.utils.cell.coordinate_to_tuple(at)
    return sheet, row, column


def option_cells(book: Book, number: int, **cells: Cell) -> dict[Spot, Cell]:
    """Cells of a row of Options."""
    table = book.tables["tblOptions"]
    return {
        (table.area.sheet, table.area.top + number, table.area.left + table.columns.index(COLUMNS[n][0])): value
        for n, value in cells.items()
    }


def shown(book: Book, cells: Mapping[Spot, Cell], wanted: list[Spot], functions: Mapping[str, Any]) -> list[Cell]:
    """What some formula cells show when others are typed over."""
    changed = book.with_inputs(cells)
    formulas = [changed.grids[s].formulas[r, c] for s, r, c in wanted]
    asked = changed.closure(formulas)
    found = changed.values(asked, functions)
    return [found[spot] for spot in wanted]


def used_spots(count: int, first: int = 0) -> list[Spot]:
    return [("Engine", ROW[f.name], FIRST_OPTION + i) for f in KEPT for i in range(first, first + count)]


def option_count(book: Book) -> int:
    area = book.tables["tblOptions"].area
    return area.bottom - area.top


def option_cell(book: Book, number: int, name: str) -> str:
    ((_, row, column),) = option_cells(book, number, **{name: ""})
    return f"{openpyxl.utils.get_column_letter(column)}{row}"


def totals(book: Book, label: str) -> list[str]:
    """Addresses of the totals of a line of Monthly, option by option."""
    rows = [row for (row, column), value in book.grids["Monthly"].inputs.items() if column == 1 and value == label]
    return [f"D{r}" for r in sorted(rows)]


def has_error(value: object) -> bool:
    rows = value if isinstance(value, list) else [[value]]
    return any(isinstance(cell, ErrorValue) for row in rows for cell in row)


def inputs_of(book: Book, formula: Formula, first: set[Spot]) -> set[Spot]:
    """The cells of Inputs that a formula reads, through names that follow from others, but not through Options."""
    out: set[Spot] = set()
    todo = [formula]
    while todo:
        for area in book.reads(todo.pop()):
            for cell in area.cells() if area.sheet == "Inputs" else ():
                spot = (area.sheet, *cell)
                if spot not in out:
                    out.add(spot)
                    todo += [f for f in [book.grids["Inputs"].formulas.get(cell)] if f is not None]
    return out - first


def is_derived(book: Book, spot: Spot, names: Mapping[Spot, str]) -> bool:
    """Whether a cell of Inputs follows from named others and has no columns of its own."""
    formula = book.grids[spot[0]].formulas.get(spot[1:])
    return formula is not None and any(
        (a.sheet, a.top, a.left) in names and (a.sheet, a.top, a.left) != book.named("in_Scenario")
        for a in book.reads(formula)
    )


def parts_of(formula: Formula) -> tuple[object, ...]:
    return formula.text, formula.block, formula.dynamic, formula.cached


def styles_of(book: Book, sheet: str) -> list[tuple[str | None, str]]:
    """The formats of a sheet's cells, spelled out."""
    xfs = book.package.xml("xl/styles.xml").find("{*}cellXfs")
    assert xfs is not None
    root = book.package.xml(book.grids[sheet].part)
    return [(c.get("r"), str(sorted(xfs[int(c.get("s", "0"))].attrib.items()))) for c in root.iter("{*}c")]
