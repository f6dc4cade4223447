"""Functions: every =MLS_ function with its arguments, units, example and the answer it gave when the file was built."""

from __future__ import annotations

from openpyxl import Workbook

from mlsysim.tables import is_table
from mlsysim.units import unit_of
from udfs import FUNCTIONS, Published
from udfs.examples import examples

from ..engine import answers
from ..style import fit_height, heading, page, put, put_text


def unit_text(function: Published) -> str:
    """Unit of the bare answer."""
    entry = function.entry
    if entry is None or is_table(entry):  # a table's header row names its units
        return ""
    unit = unit_of(next(iter(entry.metrics.values())) if entry.metrics else entry.returns)
    return unit.face if unit else ""


def call_text(function: Published) -> str:
    """The call with its argument names, optional ones in brackets."""
    names = (f"[{a.name}]" if a.optional else a.name for a in function.parameters)
    return f"{function.name}({', '.join(names)})"


def add_functions(book: Workbook) -> None:
    """The Functions sheet."""
    sheet = book.create_sheet("Functions")
    widths = dict(zip("ABCDEFG", (16, 52, 60, 76, 12, 58, 26), strict=True))
    page(sheet, "Functions", "What each function answers, its arguments with units, and an example to paste.", widths)
    heading(sheet, 4, ["Group", "Call", "What it answers", "Arguments", "Unit", "Example", "Answer when built"])
    published = sorted(FUNCTIONS.values(), key=lambda f: (f.group, f.name))
    shown = [examples()[function.name] for function in published]
    answered = answers(shown, FUNCTIONS)
    for row, (function, example, value) in enumerate(zip(published, shown, answered, strict=True), start=5):
        first = value[0][0] if isinstance(value, list) else value
        put(sheet, f"A{row}", function.group)
        put(sheet, f"B{row}", call_text(function), "mls note")
        put(sheet, f"C{row}", function.summary, "mls note")
        put(sheet, f"D{row}", "\n".join(f"{a.name}: {a.help}" for a in function.parameters), "mls note")
        put(sheet, f"E{row}", unit_text(function), "mls unit")
        put_text(sheet, f"F{row}", example, "mls note")
        put(sheet, f"G{row}", first, "mls note", "General")
        fit_height(sheet, row)
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A3
    sheet.print_title_rows, sheet.print_area = "4:4", f"A1:G{4 + len(FUNCTIONS)}"
