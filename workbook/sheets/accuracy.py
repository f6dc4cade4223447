"""Accuracy: how wrong the figures may be.  Ranges by regime, errors on published measurements, what was fitted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.worksheet.table import Table, TableColumn, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from mlsysim.registry import Fact
from mlsysim.things import ACCURACY, BANDS, DEFAULTS, EFFICIENCY

from ..style import CENTS, SHARE, WHOLE, block_title, heading, page, protect, put

FITTED = "best fit"  # what the note of a fitted constant says
TOP = 5
LAST_COLUMN = 10
_BANDS = {"title": "Regime", "rows": "Rows", "sources": "Sources", "chips": "Chips measured (generation/memory)",
          "low": "Low, measured / predicted", "high": "High, measured / predicted"}  # fmt: skip
_ERRORS = ("Kind of measurement", "Rows judged", "Sources", "Area", "Median error", "Median error, mean over sources",
           "9 in 10 rows are off by less than", "Rows with a range", "Inside their range",
           "Rows that cannot be expressed")  # fmt: skip


def constants() -> Counter[str]:
    """Constants of the calibration and of the defaults, by how each came about."""
    facts = [fact for registry in (EFFICIENCY, DEFAULTS) for thing in registry.values()
             for name, fact in thing.facts.items()
             if name not in ("low", "high") and _is_number(getattr(thing, name))]  # fmt: skip
    return Counter(_origin(fact) for fact in facts)


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def _origin(fact: Fact) -> str:
    if fact.kind == "derived":
        return "fitted" if FITTED in fact.note else "derived"
    return "estimate" if fact.kind == "estimate" else "sourced"


ORIGINS = {
    "fitted": "Fitted: the best fit of measured rows",
    "derived": "Derived: medians, quotients, rules",
    "sourced": "As a source prints it",
    "estimate": "Estimates, for want of a source",
}


def add_accuracy(book: Workbook) -> None:
    """The Accuracy sheet."""
    sheet = book.create_sheet("Accuracy")
    widths = dict(zip("ABCDEFGHIJ", (48, 8, 9, 40, 11, 13, 13, 9, 9, 11), strict=True))
    purpose = "How far predictions lie from published measurements. Ranges hold about 8 in 10 of the measurements."
    page(sheet, "Accuracy", purpose, widths)
    row = _ranges(sheet, TOP)
    row = _errors(sheet, row + 2)
    row = _constants(sheet, row + 2)
    sheet.print_area = f"A1:J{row}"
    sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "portrait", 1
    sheet.sheet_properties.tabColor = "00703C"
    protect(sheet)


def _ranges(sheet: Worksheet, row: int) -> int:
    """One row per range, read from Reg_Calibration."""
    block_title(sheet, row, "Ranges by regime", LAST_COLUMN)
    heading(sheet, row + 1, list(_BANDS.values()), height=44)
    formats = {"low": CENTS, "high": CENTS, "rows": WHOLE, "sources": WHOLE}
    for i in range(len(BANDS)):
        for column, name in zip("ABCDEF", _BANDS, strict=True):
            at = f"{column}{row + 2 + i}"
            cell = put(sheet, at, f"=INDEX(tblBands[{name}],{i + 1})", "mls link", formats.get(name, "@"))
            if name in formats:
                cell.alignment = Alignment(horizontal="center", vertical="center")
    row += 2 + len(BANDS)
    note = (
        "A figure's range is the figure times low and high. Many constants were fitted to the same rows, so rows of a "
        "source not seen scatter more: the ends are the 7th and 93rd percentile, not the 10th and 90th. A chip "
        "generation that is not listed, or another software stack, is extrapolated: its range is wider. Where no range "
        "exists a figure is not validated."
    )
    put(sheet, f"A{row}", note, "mls note")
    sheet.merge_cells(f"A{row}:J{row}")
    sheet.row_dimensions[row].height = 40
    return row + 1


def _errors(sheet: Worksheet, row: int) -> int:
    """The table of errors; rows that only give context or that their own source computed are not in it."""
    block_title(sheet, row, "Errors on published measurements", LAST_COLUMN)
    head = row + 1
    heading(sheet, head, list(_ERRORS), height=58)
    things = list(ACCURACY.values())
    for r, thing in enumerate(things, start=head + 1):
        errors = (thing.median, thing.by_source, thing.p90, thing.banded, thing.coverage)
        area = f"{thing.category}, arithmetic" if thing.arithmetic else thing.category
        values: tuple[Any, ...] = (thing.title, thing.rows, thing.sources, area, *errors, thing.skipped)
        for i, value in enumerate(values, start=1):
            cell = sheet.cell(r, i, value)
            cell.style = "mls label"
            cell.number_format = SHARE if i in (5, 6, 7, 9) else WHOLE
            if i > 1:
                cell.alignment = Alignment(horizontal="center", vertical="center")
    last = head + len(things)
    table = Table(displayName="tblAccuracy", ref=f"A{head}:J{last}")
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(_ERRORS, start=1)]
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=True)
    sheet.add_table(table)
    banded, inside = (f"{c}{head + 1}:{c}{last}" for c in "HI")
    total = last + 1
    put(sheet, f"A{total}", "All rows, arithmetic included", "mls total")
    for column, formula, number_format in (
        ("B", f"=SUM(B{head + 1}:B{last})", WHOLE),
        ("H", f"=SUM({banded})", WHOLE),
        ("I", f"=SUMPRODUCT({banded},{inside})/SUM({banded})", SHARE),
        ("J", f"=SUM(J{head + 1}:J{last})", WHOLE),
    ):
        cell = put(sheet, f"{column}{total}", formula, "mls total", number_format)
        cell.alignment = Alignment(horizontal="center", vertical="center")
    note = "Arithmetic: the answer follows from the row's own inputs; it shows sound arithmetic, not a good model."
    put(sheet, f"A{total + 1}", note, "mls source")
    return total + 1


def _constants(sheet: Worksheet, row: int) -> int:
    """How many constants stand behind the figures, and how many of them were fitted."""
    block_title(sheet, row, "Constants behind the figures (calibration and defaults)", LAST_COLUMN)
    counted = constants()
    for r, (origin, text) in enumerate(ORIGINS.items(), start=row + 1):
        put(sheet, f"A{r}", text)
        put(sheet, f"B{r}", counted[origin], "mls formula", WHOLE).alignment = Alignment(horizontal="center")
    last = row + len(ORIGINS)
    put(sheet, f"A{last + 1}", "All", "mls total")
    total = put(sheet, f"B{last + 1}", f"=SUM(B{row + 1}:B{last})", "mls total", WHOLE)
    total.alignment = Alignment(horizontal="center")
    return last + 1
