"""ChangeLog: who changed what, when and why; the first row says what built the file."""

from __future__ import annotations

from datetime import date

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableStyleInfo

from mlsysim.version import __version__

from ..style import DATE, heading, page, protect, put

SHEET = "ChangeLog"
TOP, BLANK = 5, 30
COLUMNS = {"date": 12, "who": 20, "version": 12, "sheet": 20, "change": 52, "reason": 44, "reviewer": 20}


def add_changelog(book: Workbook, day: date | None) -> None:
    """The ChangeLog sheet.

    Parameters
    ----------
    book : Workbook
        The book.
    day : date, optional
        The date of the first row; blank where none is known, because a build reads no clock.
    """
    sheet = book.create_sheet(SHEET)
    letters = [get_column_letter(i) for i in range(1, len(COLUMNS) + 1)]
    purpose = "One row for every change that others must be able to follow. First date: the day of valuation."
    page(sheet, "Change log", purpose, dict(zip(letters, COLUMNS.values(), strict=True)), freeze=f"A{TOP + 1}")
    heading(sheet, TOP, list(COLUMNS), height=20)
    first = (day, "mls-workbook build", __version__, "all", "Workbook built", "First version", None)
    for r in range(TOP + 1, TOP + 2 + BLANK):
        values = first if r == TOP + 1 else (None,) * len(first)
        for c, value in zip(letters, values, strict=True):
            cell = put(sheet, f"{c}{r}", value, "mls input", DATE if c == "A" else "@")
            cell.alignment = Alignment(wrap_text=c != "A", vertical="center", horizontal="left")
        sheet.row_dimensions[r].height = 18
    last = TOP + 1 + BLANK
    table = Table(displayName="tblChangeLog", ref=f"A{TOP}:{letters[-1]}{last}")
    table.autoFilter = AutoFilter(ref=table.ref)
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(COLUMNS, start=1)]
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=False)
    sheet.add_table(table)
    rule = DataValidation(
        type="date", operator="greaterThan", formula1="36526", showErrorMessage=True, allow_blank=True
    )
    rule.error = "A date after 2000-01-01"
    sheet.add_data_validation(rule)
    rule.add(f"A{TOP + 1}:A{last}")
    sheet.print_area, sheet.print_title_rows = f"A1:{letters[-1]}{last}", f"{TOP}:{TOP}"
    sheet.sheet_properties.tabColor = "9CA3AF"
    protect(sheet)
