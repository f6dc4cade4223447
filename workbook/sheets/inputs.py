"""Inputs: every scalar that the money depends on, as a named cell with low, base, high, limits, source and date.

The scenarios Low and High take that column of every row: what-ifs, not worst cases.  Own takes the column Own where it
is filled in, else Base.
"""

from __future__ import annotations

from typing import Any, Literal

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from ..plan import Figure, Input
from ..style import CENTS, DATE, SHARE, WHOLE, block_title, fit_height, heading, page, put

FIRST = 9
FLAVOUR_ROW = 7
# word of the command line: for whom the file is, as it says itself
FLAVOURS = {
    "xlwings": "Excel with the functions (xlwings), or LibreOffice",
    "lite": "Excel with xlwings Lite (Windows, Mac, web)",
    "lambda": "Microsoft 365 without Python: figures frozen, functions as LAMBDAs",
    "values": "any Excel: figures frozen, no functions",
}
SCENARIO = "in_Scenario"
SCENARIOS = ("Base", "Low", "High", "Own")
ENGINES = ("live", "frozen")
NOT_GIVEN = "not given"  # what an optional input shows that nobody filled in
# column letters of an input row
USED, UNIT, LOW, BASE, HIGH, OWN, KIND, SOURCE, LINK, AS_OF, NOTE, LEAST, MOST, IN_RANGE = "BCDEFGHIJKLMNO"
HEADINGS = ("Used", "Unit", "Low", "Base", "High", "Own", "Kind", "Source", "Link", "As of", "Note", "Least", "Most",
            "Out of range")  # fmt: skip


def add_inputs(book: Workbook, inputs: list[Input]) -> str:
    """The Inputs sheet; returns the address of the number of inputs out of range."""
    sheet = book.create_sheet("Inputs")
    widths = dict(zip("ABCDEFGHIJKLMNO", (54, 16, 17, 12, 12, 12, 12, 12, 46, 34, 11, 52, 11, 11, 10), strict=True))
    purpose = (
        "Change the yellow cells only. A scenario takes its column of every row that has a spread: a what-if, "
        "not a worst case. Cost lines: sheet Lines."
    )
    page(sheet, "Inputs", purpose, widths, freeze=f"C{FIRST}")
    put(sheet, "A5", "Engine figures")
    put(sheet, "B5", ENGINES[0], "mls input").alignment = Alignment(horizontal="right", vertical="center")
    put(sheet, "C5", "choice", "mls unit")
    name_cell(book, "in_Engine", "Inputs", "B5")
    list_rule(sheet, "B5", f'"{",".join(ENGINES)}"', " or ".join(ENGINES))
    put(sheet, f"A{FLAVOUR_ROW}", "This file is for")
    put(sheet, f"B{FLAVOUR_ROW}", next(iter(FLAVOURS.values())), "mls formula")
    name_cell(book, "in_Flavour", "Inputs", f"B{FLAVOUR_ROW}")
    for r, label, name in ((4, "Scenario", SCENARIO), (6, "Currency of the front sheets", "in_Currency")):
        put(sheet, f"A{r}", label)
        cell = put(sheet, f"B{r}", f"={name}", "mls link")
        cell.alignment = Alignment(horizontal="right", vertical="center")
        put(sheet, f"C{r}", "on Decision", "mls unit")
    heading(sheet, FIRST - 1, ["Input", *HEADINGS])
    row, block = FIRST, ""
    for item in inputs:
        if item.block != block:
            block_title(sheet, row, item.block, 15)
            row, block = row + 1, item.block
        _input_row(book, sheet, row, item)
        row += 1
    total = f"{IN_RANGE}{row}"
    put(sheet, total, f"=SUM({IN_RANGE}{FIRST}:{IN_RANGE}{row - 1})", "mls total")
    last = _derived(book, sheet, row + 1)
    sheet.print_title_rows, sheet.print_area = f"{FIRST - 1}:{FIRST - 1}", f"A1:{NOTE}{last}"
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A3
    sheet.sheet_properties.tabColor = "F2C94C"
    return f"Inputs!${IN_RANGE}${row}"


def _derived(book: Workbook, sheet: Worksheet, top: int) -> int:
    """Cells that follow from inputs; returns the last row."""
    block_title(sheet, top, "Derived", 15)
    efficiency = f'IF(ISNUMBER(in_Efficiency),"; efficiency = "&{point("in_Efficiency")},"")'
    typed = 'IF(in_RateBasis="real",(1+in_DiscountRate)*(1+in_Inflation)-1,in_DiscountRate)'
    params, active = (
        f"INDEX(tblModels[{p}],MATCH(in_TrainModel,tblModels[key],0))" for p in ("params", "active_params")
    )
    at_debt = 'in_FinanceAt="cost of debt"'
    rows = (
        ("Specification of the model, as the engine reads it", "text", "in_ModelSpec",
         "=INDEX(tblModels[spec],MATCH(in_Model,tblModels[key],0))", "@"),
        ("Specification of the model to train", "text", "in_TrainSpec",
         "=INDEX(tblModels[spec],MATCH(in_TrainModel,tblModels[key],0))", "@"),
        ("Options of MLS_SERVING", "text", "in_ServingOptions", '="stack = tuned; output_tokens = "&in_OutputTokens',
         "@"),
        ("Options of MLS_THROUGHPUT", "text", "in_ThroughputOptions", f'="stack = tuned"&{efficiency}', "@"),
        ("Options of MLS_TRAINING_RUN", "text", "in_TrainOptions", '="seq_len = "&in_TrainSeqLen', "@"),
        ("Arithmetic of a training run", "FLOP", "in_RunFlops",
         f"=in_FlopsPerToken*in_TrainTokens*1000000000*IF({active}>0,{active},{params})", "0.00E+00"),
        ("Something is served", "flag", "in_ServingOn", '=IF(in_Workload="training",0,1)', "0"),
        ("Something is trained", "flag", "in_TrainingOn", '=IF(in_Workload="serving",0,1)', "0"),
        ("Hours in a month", "h", "in_HoursPerMonth", "=in_HoursPerYear/12", CENTS),
        ("Prompt tokens for each generated token", "factor", "in_PromptRatio", "=in_SeqLen/in_OutputTokens", CENTS),
        ("Cost of capital after tax (WACC)", "share per year", "in_WACC",
         "=(1-in_DebtShare)*in_CostOfEquity+in_DebtShare*in_CostOfDebt*(1-in_TaxRate)", "0.00%"),
        ("Discount rate, nominal", "share per year", "in_DiscountNominal",
         f"=IF(ISNUMBER(in_DiscountRate),{typed},in_WACC)", "0.00%"),
        ("Discount rate of loans and leases, before tax", "share per year", "in_DebtBefore",
         f"=IF({at_debt},in_CostOfDebt,in_DiscountNominal)", "0.00%"),
        ("Discount rate of loans and leases, after tax", "share per year", "in_DebtAfter",
         f"=IF({at_debt},in_CostOfDebt*(1-in_Relief),in_DiscountNominal)", "0.00%"),
        ("Months that cash comes before the end of its month", "months", "in_Middle",
         '=IF(in_DiscountTiming="middle",AVERAGE(0,1),0)', CENTS),
        ("Tax relief of a deductible dollar", "share", "in_Relief", "=in_TaxRate*in_TaxUse", SHARE),
        ("Units of the currency for a US dollar", "factor", "in_FX",
         "=INDEX(tblFX[per_usd],MATCH(in_Currency,tblFX[key],0))", "0.0000"),
        ("Engine figures are live", "flag", "in_Live", '=IF(in_Engine="live",1,0)', "0"),
    )  # fmt: skip
    for r, (label, unit, name, formula, number_format) in enumerate(rows, start=top + 1):
        put(sheet, f"A{r}", label)
        put(sheet, f"{UNIT}{r}", unit, "mls unit")
        put(sheet, f"{KIND}{r}", "formula", "mls unit")
        cell = put(sheet, f"{USED}{r}", formula, "mls formula", number_format)
        cell.alignment = Alignment(horizontal="fill" if unit == "text" else "right", vertical="center")
        name_cell(book, name, "Inputs", f"{USED}{r}")
    return top + len(rows)


def _input_row(book: Workbook, sheet: Worksheet, row: int, item: Input) -> None:
    figure = item.figure
    put(sheet, f"A{row}", item.label, "mls wrapped")
    put(sheet, f"{UNIT}{row}", item.unit, "mls unit")
    number_format = DATE if item.unit == "date" else format_of(item.unit, figure.base)
    fill_figure(sheet, row, figure, number_format, optional=item.optional)
    for column in (BASE, OWN) if figure.single and not item.optional else (LOW, BASE, HIGH, OWN):
        _validate(sheet, f"{column}{row}", item, own=column == OWN)
    name_cell(book, item.name, "Inputs", f"{USED}{row}")
    value = f"{USED}{row}"
    if item.minimum is not None and item.maximum is not None:
        put(sheet, f"{LEAST}{row}", item.minimum, "mls unit", number_format)
        put(sheet, f"{MOST}{row}", item.maximum, "mls unit", number_format)
        whole = f",{value}=INT({value})" if item.whole else ""
        inside = f"AND({value}>={LEAST}{row},{value}<={MOST}{row}{whole})"
        otherwise = f'IF({value}="{NOT_GIVEN}",0,1)' if item.optional else "1"
        put(sheet, f"{IN_RANGE}{row}", f"=IF(ISNUMBER({value}),IF({inside},0,1),{otherwise})", "mls formula")
    elif item.unit == "date":
        put(sheet, f"{IN_RANGE}{row}", f"=IF(ISNUMBER({value}),0,1)", "mls formula")
    elif item.choices:
        tests = ",".join(f'{value}="{choice}"' for choice in item.choices)
        put(sheet, f"{IN_RANGE}{row}", f"=IF(OR({tests}),0,1)", "mls formula")
    fit_height(sheet, row)


def fill_figure(
    sheet: Worksheet, row: int, figure: Figure, number_format: str, *, optional: bool = False, columns: str = "",
    spread: bool = False,
) -> None:  # fmt: skip
    """The cells used, low, base, high, own, kind, source, link, as of and note of a row.

    `columns` are their letters; with `spread` a figure without one shows the same number three times.
    """
    used, low, base, high, own, kind, source, link, as_of, note = list(
        columns or f"{USED}{LOW}{BASE}{HIGH}{OWN}{KIND}{SOURCE}{LINK}{AS_OF}{NOTE}"
    )
    single = figure.single and not optional and not spread
    cells = {base: figure.base} if single else {low: figure.low, base: figure.base, high: figure.high}
    for column, value in {**cells, own: None}.items():
        put(sheet, f"{column}{row}", value, "mls input", number_format)
    mine, usual = f"{own}{row}", f"{base}{row}"
    if single:
        chosen = f'IF(AND({SCENARIO}="Own",{mine}<>""),{mine},{usual})'
    else:
        chosen = (
            f'IF({SCENARIO}="Base",{usual},IF({SCENARIO}="Low",{low}{row},IF({SCENARIO}="High",{high}{row},'
            f'IF({SCENARIO}="Own",IF({mine}<>"",{mine},{usual}),NA()))))'
        )
    if optional:  # a scenario without its own figure takes the base
        given = f'IF({usual}<>"",{usual},"{NOT_GIVEN}")'
        ends = zip(SCENARIOS[1:], (low, high, own), strict=True)
        formula = "=" + "".join(f'IF(AND({SCENARIO}="{c}",{e}{row}<>""),{e}{row},' for c, e in ends) + given + ")))"
    else:
        formula = f'=IF({chosen}="",NA(),{chosen})'
    cell = put(sheet, f"{used}{row}", formula, "mls formula", number_format)
    cell.alignment = Alignment(horizontal="right", vertical="center")
    doubtful = figure.kind in ("estimate", "assumption")
    put(sheet, f"{kind}{row}", figure.kind, "mls estimate" if doubtful else "mls unit")
    mine = "yours to decide" if figure.kind == "choice" else "no source: an assumption"
    put(sheet, f"{source}{row}", figure.source or mine, "mls note")
    put(sheet, f"{link}{row}", figure.url or None, "mls url")
    put(sheet, f"{as_of}{row}", figure.as_of, "mls unit", DATE)
    put(sheet, f"{note}{row}", figure.note, "mls note")


def format_of(unit: str, value: Any) -> str:
    """The number format of a unit."""
    if unit.startswith("share"):
        return SHARE
    if isinstance(value, str):
        return "@"
    if value is None:
        return CENTS
    return WHOLE if float(value).is_integer() and unit != "factor" else CENTS if abs(value) >= 0.1 else "0.0000"


def _validate(sheet: Worksheet, at: str, item: Input, *, own: bool) -> None:
    """Excel refuses what the input does not allow, with a sentence."""
    blank = own or item.optional
    if item.list_name is not None:
        list_rule(sheet, at, item.list_name, f"a key of the registry sheet behind {item.list_name}", blank=blank)
    elif item.choices:
        list_rule(sheet, at, f'"{",".join(item.choices)}"', " or ".join(item.choices), blank=blank)
    elif item.unit == "date":
        rule = DataValidation(type="date", operator="greaterThan", formula1="36526", showErrorMessage=True,
                              allow_blank=blank)  # fmt: skip
        rule.error = f"{item.label}: enter a date after 2000-01-01"
        sheet.add_data_validation(rule)
        rule.add(at)
    elif item.minimum is not None and item.maximum is not None:
        kind: Literal["whole", "decimal"] = "whole" if item.whole else "decimal"
        low, high = f"{item.minimum:.10g}", f"{item.maximum:.10g}"
        rule = DataValidation(type=kind, operator="between", formula1=low, formula2=high, showErrorMessage=True,
                              allow_blank=blank)  # fmt: skip
        rule.error = f"{item.label[:150]}: a {kind} number from {low} to {high}"
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
