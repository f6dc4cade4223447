"""Thaw a frozen book: every kept formula back in its cell, the frozen tables empty, all computed anew."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from openpyxl.utils.cell import coordinate_to_tuple

from workbook.caches import add_metadata, ask_for_calculation
from workbook.cells import Cell, dynamic_metadata
from workbook.embedded import Functions
from workbook.errors import WorkbookError
from workbook.freeze import Report, changed_file, left_lines, refuse_other_version, set_input, wrong_lines
from workbook.frozen_book import Book, Spot
from workbook.frozen_sheet import Page, compute_all, link_chain, resize
from workbook.package import Package, Table, area_of
from workbook.refresh_styles import Styles
from workbook.sheets.frozen import (
    DEVICE,
    FORMULAS,
    FROZEN_ON,
    HELD,
    INPUTS,
    KEPT_HEADINGS,
    SERVER,
    SHEET,
    TABLE,
    VERSION,
)


@dataclass(frozen=True)
class _Kept:
    """One row of the table of kept formulas."""

    sheet: str
    at: str
    fills: str
    spills: bool
    text: str
    value: Cell | None

    @property
    def spot(self) -> Spot:
        """Where it stands."""
        row, column = coordinate_to_tuple(self.at)
        return self.sheet, row, column


def thaw(source: Path, functions: Functions, *, out: Path | None = None) -> Report:
    """Thaw a workbook.

    Parameters
    ----------
    source : Path
        The frozen workbook.
    functions : mapping of str to callable
        Our functions by Excel name.
    out : Path, optional
        Where to write the live book; blank: in place of `source`, which is kept under a dated name.

    Returns
    -------
    Report
        What came back.

    Raises
    ------
    WorkbookError
        One sentence on why the file is refused; it is then as it was.
    """
    return changed_file(source, out, lambda package: thawed(package, functions))


def thawed(package: Package, functions: Functions) -> tuple[Package, list[str]]:
    """The live book of a frozen package, which is not changed, and what there is to say."""
    book = Book.of(package)
    refuse_other_version(book)
    columns = zip(*(book.column(FORMULAS, name) for name in KEPT_HEADINGS), strict=True)
    kept = [
        _Kept(str(sheet), str(at), str(fills or ""), spills == 1, str(text), value)
        for sheet, at, fills, spills, text, value in columns
        if text
    ]
    if not kept:
        raise WorkbookError(f"{package.path} is not frozen; there is nothing to thaw.")
    _refuse_moved(book, kept)
    after = Package(dict(package.parts), package.path)
    styles = Styles(after)
    gone = _empty(after, book, styles)
    _restore(after, book, kept, styles)
    set_input(after, book, "in_Engine", "live", styles)
    styles.finish()
    link_chain(after, gone, {k.spot for k in kept})
    left, wrong = compute_all(after, functions)
    ask_for_calculation(after, full=bool(left))
    return after, [f"{len(kept)} formulas are back.", *left_lines(left), *wrong_lines(wrong)]


def _refuse_moved(book: Book, kept: Iterable[_Kept]) -> None:
    """Refuse where a cell does not hold what freeze left there: its formula might belong elsewhere by now."""
    for one in kept:
        if one.sheet not in book.grids:
            raise WorkbookError(
                f"the sheet {one.sheet!r}, which held formulas when the book was frozen, is gone; restore its name."
            )
        _, row, column = one.spot
        now, then = book.grids[one.sheet].value(row, column), f"={one.text}" if one.value is None else one.value
        if (row, column) in book.grids[one.sheet].formulas or not _same(now, then):
            shown = "a formula" if (row, column) in book.grids[one.sheet].formulas else repr(now)
            raise WorkbookError(
                f"{one.sheet}!{one.at} holds {shown} and not what freeze left there; undo that change (inserted rows "
                "move cells too), or delete its row of tblKept on Engine_Frozen to leave the cell as it is."
            )


def _same(now: Cell | None, then: Cell) -> bool:
    if isinstance(now, float) and isinstance(then, float):
        return math.isclose(now, then, rel_tol=1e-12)  # Excel rewrites the last digit
    return ("" if now is None else now) == then


def _restore(package: Package, book: Book, kept: list[_Kept], styles: Styles) -> None:
    """Put the formulas back."""
    spilling = ""
    if any(k.spills for k in kept):
        known = dynamic_metadata(package)
        spilling = str(min(known)) if known else add_metadata(package)
    for sheet in dict.fromkeys(k.sheet for k in kept):
        page = Page(package, book.grids[sheet].part, styles)
        for one in (k for k in kept if k.sheet == sheet):
            _, row, column = one.spot
            if one.fills:
                for at in area_of(sheet, one.fills).cells():
                    page.put(*at, None)
            page.put_formula(row, column, one.text, ref=one.fills, cm=spilling if one.spills else "")
            if one.value is None:
                page.prefix(row, column, on=False)
        page.save()


def _empty(package: Package, book: Book, styles: Styles) -> set[Spot]:
    """Take the figures out of the frozen tables; answers with the formula cells that went."""
    grid = book.grids[SHEET]
    page = Page(package, grid.part, styles)
    inputs = book.tables[INPUTS]
    names = book.column(INPUTS, "name")
    own = sum(name not in (DEVICE, SERVER) for name in names)
    surplus: list[tuple[int, int]] = []
    for table, rows in ((book.tables[TABLE], 1), (book.tables[FORMULAS], 1), (inputs, own)):
        surplus += _below(table, rows)
        resize(package, table, rows)
    for table in (book.tables[TABLE], book.tables[FORMULAS]):
        for column in range(table.area.left, table.area.right + 1):
            page.put(table.area.top + 1, column, None)
    for heads in HELD:
        for row in range(inputs.area.top + 1, inputs.area.top + 1 + own):
            page.put(row, inputs.area.left + inputs.columns.index(heads), None)
    for at in (FROZEN_ON, VERSION):
        row, column = coordinate_to_tuple(at)
        page.put(row, column, None)
    page.remove(surplus)
    page.save()
    return {(SHEET, *at) for at in surplus if at in grid.formulas}


def _below(table: Table, rows: int) -> list[tuple[int, int]]:
    """The cells of a table below its first rows."""
    area = table.area
    return [(r, c) for r in range(area.top + 1 + rows, area.bottom + 1) for c in range(area.left, area.right + 1)]
