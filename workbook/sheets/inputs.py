"""Inputs: every scalar that the money depends on, as a named cell with low, base, high, limits, source and date."""

from __future__ import annotations

from typing import Any, Literal

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from ..plan import Input
from ..style import CENTS, DATE, SHARE, WHOLE, block_title, fit_height, heading, page, put

FIRST = 8
CASE = "in_Case"
CASES = ("Base", "Favourable", "Adverse")
CALIBRATED = "calibrated"  # what an optional input shows that nobody filled in
# column letters of an input row
USED, UNIT, LOW, BASE, HIGH, KIND, SOURCE, LINK, AS_OF, NOTE, LEAST, MOST, IN_RANGE = "BCDEFGHIJKLMN"


def add_inputs(book: Workbook, inputs: list[Input]) -> str:
    """The Inputs sheet; returns the address of the number of inputs out of range."""
    sheet = book.create_sheet("Inputs")
    widths = dict(zip("ABCDEFGHIJKLMN", (54, 16, 15, 12, 12, 12, 12, 46, 34, 11, 52, 11, 11, 10), strict=True))
    purpose = (
        "Change the yellow cells only. A case takes the cheaper or the dearer end of every row that has one, and of "
        "the range of throughput."
    )
    page(sheet, "Inputs", purpose, widths, freeze="C8")
    put(sheet, "A4", "Case")
    put(sheet, "B4", CASES[0], "mls input")
    name_cell(book, CASE, "Inputs", "B4")
    list_rule(sheet, "B4", f'"{",".join(CASES)}"', " or ".join(CASES))
    texts = ["Input", "Used", "Unit", "Low", "Base", "High", "Kind", "Source", "Link", "As of", "Note", "Least", "Most",
             "Out of range"]  # fmt: skip
    heading(sheet, 7, texts)
    row, block = FIRST, ""
    for item in inputs:
        if item.block != block:
            block_title(sheet, row, item.block, 14)
            row, block = row + 1, item.block
        _input_row(book, sheet, row, item)
        row += 1
    total = f"{IN_RANGE}{row}"
    put(sheet, total, f"=SUM({IN_RANGE}{FIRST}:{IN_RANGE}{row - 1})", "mls total")
    block_title(sheet, row + 1, "Derived", 14)
    for i, (label, name, formula) in enumerate((
        ("Specification of the model, as the engine reads it", "in_ModelSpec",
         "=INDEX(tblModels[spec],MATCH(in_Model,tblModels[key],0))"),
        ("Options of MLS_SERVING", "in_ServingOptions", '="stack = tuned; output_tokens = "&in_OutputTokens'),
        ("Options of MLS_THROUGHPUT", "in_ThroughputOptions",
         f'="stack = tuned"&IF(ISNUMBER(in_Efficiency),"; efficiency = "&{point("in_Efficiency")},"")'),
        ("Hours in a month", "in_HoursPerMonth", "=in_HoursPerYear/12"),
    ), start=row + 2):  # fmt: skip
        put(sheet, f"A{i}", label)
        put(sheet, f"{USED}{i}", formula, "mls formula", CENTS)
        name_cell(book, name, "Inputs", f"{USED}{i}")
    sheet.print_title_rows, sheet.print_area = "7:7", f"A1:{NOTE}{row + 5}"
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A3
    sheet.sheet_properties.tabColor = "F2C94C"
    return f"Inputs!{total}"


def _input_row(book: Workbook, sheet: Worksheet, row: int, item: Input) -> None:
    put(sheet, f"A{row}", item.label, "mls wrapped")
    put(sheet, f"{UNIT}{row}", item.unit, "mls unit")
    number_format = DATE if item.unit == "date" else _format(item.unit, item.base)
    single = not item.optional and (isinstance(item.base, str) or item.low == item.base == item.high)
    cells = {BASE: item.base} if single else {LOW: item.low, BASE: item.base, HIGH: item.high}
    for column, value in cells.items():
        put(sheet, f"{column}{row}", value, "mls input", number_format)
        _validate(sheet, f"{column}{row}", item)
    good, bad = (LOW, HIGH) if item.adverse == "high" else (HIGH, LOW)
    ends = zip(CASES, (BASE, good, bad), strict=True)
    chosen = "".join(f'IF({CASE}="{case}",{column}{row},' for case, column in ends) + "NA()" + ")" * len(CASES)
    used = f"{BASE}{row}" if single else chosen
    formula = f'=IF({used}="",NA(),{used})'
    if item.optional:  # a case without its own end takes the base
        given = f'IF({BASE}{row}<>"",{BASE}{row},"{CALIBRATED}")'
        ends = zip(CASES[1:], (good, bad), strict=True)
        formula = "=" + "".join(f'IF(AND({CASE}="{c}",{e}{row}<>""),{e}{row},' for c, e in ends) + given + "))"
    cell = put(sheet, f"{USED}{row}", formula, "mls formula", number_format)
    cell.alignment = Alignment(horizontal="right", vertical="center")
    name_cell(book, item.name, "Inputs", f"{USED}{row}")
    put(sheet, f"{KIND}{row}", item.kind, "mls estimate" if item.kind in ("estimate", "assumption") else "mls unit")
    own = "yours to decide" if item.kind == "choice" else "no source: an assumption"
    put(sheet, f"{SOURCE}{row}", item.source or own, "mls note")
    put(sheet, f"{LINK}{row}", item.url, "mls url")
    put(sheet, f"{AS_OF}{row}", item.as_of, "mls unit", DATE)
    put(sheet, f"{NOTE}{row}", item.note, "mls note")
    if item.minimum is not None and item.maximum is not None:
        put(sheet, f"{LEAST}{row}", item.minimum, "mls unit", number_format)
        put(sheet, f"{MOST}{row}", item.maximum, "mls unit", number_format)
        value = f"{USED}{row}"
        whole = f",{value}=INT({value})" if item.whole else ""
        inside = f"AND({value}>={LEAST}{row},{value}<={MOST}{row}{whole})"
        otherwise = f'IF({value}="{CALIBRATED}",0,1)' if item.optional else "1"
        put(sheet, f"{IN_RANGE}{row}", f"=IF(ISNUMBER({value}),IF({inside},0,1),{otherwise})", "mls formula")
    elif item.unit == "date":
        put(sheet, f"{IN_RANGE}{row}", f"=IF(ISNUMBER({USED}{row}),0,1)", "mls formula")
    fit_height(sheet, row)


def _format(unit: str, value: Any) -> str:
    if unit.startswith("share"):
        return SHARE
    if isinstance(value, str):
        return "@"
    return WHOLE if float(value).is_integer() and unit != "factor" else CENTS


def _validate(sheet: Worksheet, at: str, item: Input) -> None:
    """Excel refuses what the input does not allow, with a sentence."""
    if item.choices is not None:
        list_rule(sheet, at, item.choices, f"a key of the registry sheet behind {item.choices}")
    elif item.unit == "date":
        rule = DataValidation(type="date", operator="greaterThan", formula1="36526", showErrorMessage=True)
        rule.error = f"{item.label}: enter a date after 2000-01-01"
        sheet.add_data_validation(rule)
        rule.add(at)
    elif item.minimum is not None and item.maximum is not None:
        kind: Literal["whole", "decimal"] = "whole" if item.whole else "decimal"
        low, high = f"{item.minimum:.10g}", f"{item.maximum:.10g}"
        rule = DataValidation(type=kind, operator="between", formula1=low, formula2=high, showErrorMessage=True,
                              allow_blank=item.optional)  # fmt: skip
        rule.error = f"{item.label}: a {kind} number from {low} to {high}"
        sheet.add_data_validation(rule)
        rule.add(at)


def list_rule(sheet: Worksheet, cells: str, source: str, what: str, *, blank: bool = False) -> None:
    """A dropdown from a defined name or a quoted list."""
    rule = DataValidation(type="list", formula1=source, allow_blank=blank, showErrorMessage=True)
    rule.error = f"Choose {what}"
    sheet.add_data_validation(rule)
    rule.add(cells)


def point(text: str) -> str:
    """A number as text with a decimal point in every locale."""
    return f'SUBSTITUTE({text}&"",MID(1/2&"",2,1),".")'


def name_cell(book: Workbook, name: str, sheet: str, at: str) -> None:
    """Define the name of one cell."""
    book.defined_names[name] = DefinedName(name, attr_text=f"{sheet}!${at[0]}${at[1:]}")
