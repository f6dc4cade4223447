"""The table of checks of a workbook: one row per check, passed when |value| <= tolerance."""

from __future__ import annotations

from collections.abc import Sequence

from openpyxl import Workbook
from openpyxl.formatting.rule import Rule
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo

from ..style import GREEN, PALE_GREEN, PALE_RED, RED, difference, fit_height, heading, page, put

Check = tuple[str, str, float, str]  # what, value, tolerance, advice
HEAD = 5
COUNT_CELL = "$C$3"  # how many checks the file was built with


def put_checks(book: Workbook, rows: Sequence[Check]) -> None:
    """The sheet of checks."""
    sheet = book.create_sheet("Checks")
    widths = dict(zip("ABCDEF", (9, 92, 16, 12, 10, 62), strict=True))
    page(
        sheet,
        "Checks",
        "Every row must pass. A value is a relative difference or a number of violations.",
        widths,
        freeze="A6",
    )
    put(sheet, "B3", "Checks in this file when it was built", "mls unit")
    put(sheet, COUNT_CELL.replace("$", ""), len(rows), "mls unit")
    headings = ["id", "check", "value", "tolerance", "pass", "if it fails"]
    heading(sheet, HEAD, headings)
    value, tolerance = "tblChecks[[#This Row],[value]]", "tblChecks[[#This Row],[tolerance]]"
    passed = f"IF(ISNUMBER({value}),ABS({value})<={tolerance},FALSE)"
    for r, (text, result, allowed, advice) in enumerate(rows, start=HEAD + 1):
        put(sheet, f"A{r}", f"C{r - HEAD:02d}", "mls unit")
        put(sheet, f"B{r}", text, "mls wrapped")
        put(sheet, f"C{r}", f"={result}", "mls formula", "0.0E+00" if allowed else "General")
        put(sheet, f"D{r}", allowed, "mls unit", "0E+00" if allowed else "General")
        put(sheet, f"E{r}", f"={passed}", "mls check")
        put(sheet, f"F{r}", advice, "mls note")
        fit_height(sheet, r)
    last = HEAD + len(rows)
    table = Table(displayName="tblChecks", ref=f"A{HEAD}:F{last}")
    table.autoFilter = AutoFilter(ref=table.ref)
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(headings, start=1)]
    table.tableColumns[4].calculatedColumnFormula = TableFormula(attr_text=passed)
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=True)
    sheet.add_table(table)
    held = f"AND(ISNUMBER($C{HEAD + 1}),ABS($C{HEAD + 1})<=$D{HEAD + 1})"  # not $E: LibreOffice 7.4 crashes on booleans
    for test, fill, color in ((held, PALE_GREEN, GREEN), (f"NOT({held})", PALE_RED, RED)):
        rule = Rule(type="expression", formula=[test], dxf=difference(fill, color))
        sheet.conditional_formatting.add(f"E{HEAD + 1}:E{last}", rule)
    sheet.print_area, sheet.print_title_rows = f"A1:F{last}", f"{HEAD}:{HEAD}"
    sheet.sheet_properties.tabColor = "00703C"
