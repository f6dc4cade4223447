"""Inputs (named cells, low/base/high, source) and Options (the central table: one row per option)."""

from __future__ import annotations

from typing import Any, Literal

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from ..plan import Input, Option
from ..style import CENTS, DATE, SHARE, WHOLE, block_title, fit_height, heading, page, put

FIRST = 8
CASE = "in_Case"
OPTION_TOP = 5


def add_inputs(book: Workbook, inputs: list[Input]) -> None:
    """The Inputs sheet: every scalar that the money depends on, as a named cell."""
    sheet = book.create_sheet("Inputs")
    widths = dict(zip("ABCDEFGHIJK", (56, 18, 14, 12, 12, 12, 12, 44, 30, 11, 52), strict=True))
    page(sheet, "Inputs", "Change the yellow cells only. `Used` follows the case chosen below.", widths, freeze="C8")
    put(sheet, "A4", "Case used for every input")
    put(sheet, "B4", "Base", "mls input")
    _name(book, CASE, "Inputs", "B4")
    _list(sheet, "B4", '"Low,Base,High"', "Low, Base or High")
    heading(sheet, 7, ["Input", "Used", "Unit", "Low", "Base", "High", "Kind", "Source", "Link", "As of", "Note"])
    row, block = FIRST, ""
    for item in inputs:
        if item.block != block:
            block_title(sheet, row, item.block, 11)
            row, block = row + 1, item.block
        _input_row(book, sheet, row, item)
        row += 1
    block_title(sheet, row, "Derived", 11)
    put(sheet, f"A{row + 1}", "Specification of the model, as the engine reads it")
    put(sheet, f"B{row + 1}", "=INDEX(tblModels[spec],MATCH(in_Model,tblModels[key],0))", "mls formula")
    _name(book, "in_ModelSpec", "Inputs", f"B{row + 1}")
    put(sheet, f"A{row + 2}", "Options of the serving functions")
    put(sheet, f"B{row + 2}", '="output_tokens = "&in_OutputTokens', "mls formula")
    _name(book, "in_ServingOptions", "Inputs", f"B{row + 2}")
    put(sheet, f"A{row + 3}", "Hours in a month")
    put(sheet, f"B{row + 3}", "=in_HoursPerYear/12", "mls formula", CENTS)
    _name(book, "in_HoursPerMonth", "Inputs", f"B{row + 3}")
    sheet.print_title_rows = "7:7"
    sheet.print_area = f"A1:K{row + 3}"
    sheet.sheet_properties.tabColor = "F2C94C"


def _input_row(book: Workbook, sheet: Worksheet, row: int, item: Input) -> None:
    put(sheet, f"A{row}", item.label, "mls wrapped")
    put(sheet, f"C{row}", item.unit, "mls unit")
    number_format = DATE if item.unit == "date" else _format(item.unit, item.base)
    if isinstance(item.base, str) or item.low == item.base == item.high:
        put(sheet, f"E{row}", item.base, "mls input", number_format)
        used = f"=E{row}"
        _validate(sheet, f"E{row}", item)
    else:
        for column, value in zip("DEF", (item.low, item.base, item.high), strict=True):
            put(sheet, f"{column}{row}", value, "mls input", number_format)
            _validate(sheet, f"{column}{row}", item)
        used = f'=IF({CASE}="Low",D{row},IF({CASE}="High",F{row},E{row}))'
    put(sheet, f"B{row}", used, "mls formula", number_format)
    _name(book, item.name, "Inputs", f"B{row}")
    put(sheet, f"G{row}", item.kind, "mls estimate" if item.kind in ("estimate", "assumption") else "mls unit")
    put(sheet, f"H{row}", item.source, "mls note")
    put(sheet, f"I{row}", item.url, "mls url")
    put(sheet, f"J{row}", item.as_of, "mls unit", DATE)
    put(sheet, f"K{row}", item.note, "mls note")
    fit_height(sheet, row)


def _format(unit: str, value: Any) -> str:
    if unit.startswith("share"):
        return SHARE
    if isinstance(value, str):
        return "@"
    return WHOLE if float(value).is_integer() else CENTS


def _validate(sheet: Worksheet, at: str, item: Input) -> None:
    """Excel refuses what the input does not allow, with a sentence."""
    if item.choices is not None:
        _list(sheet, at, f"={item.choices}", f"a row of the table behind {item.choices}")
    elif item.unit == "date":
        rule = DataValidation(type="date", operator="greaterThan", formula1="36526", showErrorMessage=True)
        rule.error = f"{item.label}: enter a date after 2000-01-01"
        sheet.add_data_validation(rule)
        rule.add(at)
    elif item.minimum is not None and item.maximum is not None:
        kind: Literal["whole", "decimal"] = "whole" if item.whole else "decimal"
        rule = DataValidation(
            type=kind,
            operator="between",
            formula1=f"{item.minimum:g}",
            formula2=f"{item.maximum:g}",
            showErrorMessage=True,
        )
        rule.error = f"{item.label}: a {kind} number from {item.minimum:g} to {item.maximum:g}"
        sheet.add_data_validation(rule)
        rule.add(at)


def _list(sheet: Worksheet, cells: str, source: str, what: str, *, strict: bool = True) -> None:
    rule = DataValidation(type="list", formula1=source, allow_blank=False, showErrorMessage=strict)
    rule.error = f"Choose {what}"
    sheet.add_data_validation(rule)
    rule.add(cells)


def _name(book: Workbook, name: str, sheet: str, at: str) -> None:
    column, row = at[0], at[1:]
    book.defined_names[name] = DefinedName(name, attr_text=f"{sheet}!${column}${row}")


# ------------------------------------------------------------------ options

OPTION_COLUMNS: list[tuple[str, str, str]] = [  # column, heading, kind
    ("option", "option", "input"),
    ("server", "server", "input"),
    ("device", "device", "input"),
    ("servers", "servers", "input"),
    ("devices_per_server", "devices per server", "input"),
    ("tp", "TP", "input"),
    ("precision", "precision", "input"),
    ("price", "own price (USD per server)", "input"),
    ("site", "site", "input"),
    ("number", "no.", "formula"),
    ("devices", "devices", "formula"),
    ("price_used", "price used (USD per server)", "formula"),
    ("price_basis", "price basis", "formula"),
    ("price_status", "kind of price", "formula"),
    ("busy_w", "busy power (W per server)", "formula"),
    ("pue", "PUE", "formula"),
    ("tariff", "electricity (USD/kWh)", "formula"),
    ("carbon", "carbon (g/kWh)", "formula"),
    ("device_spec", "device_spec", "formula"),
    ("site_spec", "site_spec", "formula"),
    ("fleet_spec", "fleet_spec", "formula"),
    ("tco_options", "tco_options", "formula"),
]
HEADING = {name: text for name, text, _ in OPTION_COLUMNS}


def _cell(name: str) -> str:
    return f"tblOptions[[#This Row],[{HEADING[name]}]]"


def _point(text: str) -> str:
    """A number as text with a decimal point in every locale."""
    return f'SUBSTITUTE({text}&"",MID(1/2&"",2,1),".")'


def _site(field: str) -> str:
    return f"INDEX(tblSites[{field}],MATCH({_cell('site')},tblSites[key],0))"


def _price(basis: str, key: str, column: str = "amount (USD)") -> str:
    return f'INDEX(tblPrices[{column}],MATCH({_cell(key)}&"|{basis}",tblPrices[lookup],0))'


def _formulas() -> dict[str, str]:
    listed = f'ISNUMBER(MATCH({_cell("server")}&"|server",tblPrices[lookup],0))'
    made_up = f"{_price('purchase', 'device')}*{_cell('devices_per_server')}*(1+in_ServerShare)"
    server_kind, device_kind = _price("server", "server", "status"), _price("purchase", "device", "status")
    grid = f"INDEX(tblGrids[carbon_intensity (g/kWh)],MATCH({_site('grid')},tblGrids[key],0))"
    watts = f"INDEX(tblNodes[busy_power (W)],MATCH({_cell('server')},tblNodes[key],0))"
    fleet = (
        f'"plan; nodes = "&{_cell("servers")}&"; fabric = InfiniBand_NDR; node = {{server; nics = "'
        f'&{_cell("devices_per_server")}&"; devices = "&{_cell("devices_per_server")}'
        f'&IF(ISNUMBER({_cell("busy_w")}),"; busy_power = "&{_point(_cell("busy_w"))}&" W","")'
        f'&"; price = "&{_point(_cell("price_used"))}&" USD; device = {{"&{_cell("device_spec")}&"}}}}"'
    )
    tco = (
        f'"network = "&{_point("in_NetworkShare")}&"; facility = "&{_point("in_FacilityCost")}&"; staff = "'
        f'&{_point("in_StaffCost")}&"; maintenance = "&{_point("in_Maintenance")}'
    )
    return {
        "number": f"=ROW({_cell('option')})-ROW(tblOptions[[#Headers],[option]])",
        "devices": f"={_cell('servers')}*{_cell('devices_per_server')}",
        "price_used": f'=IF({_cell("price")}<>"",{_cell("price")},IF({listed},{_price("server", "server")},{made_up}))',
        "price_basis": f'=IF({_cell("price")}<>"","own price",IF({listed},"server price","devices and share"))',
        "price_status": f'=IF({_cell("price")}<>"","own",IF({listed},{server_kind},{device_kind}))',
        "busy_w": f'=IF(ISNUMBER(MATCH({_cell("server")},tblNodes[key],0)),IF({watts}>0,{watts},"TDP"),"TDP")',
        "pue": f"={_site('pue')}",
        "tariff": f"={_site('electricity_price (USD/kWh)')}",
        "carbon": f"={grid}",
        "device_spec": f"=INDEX(tblHardware[spec],MATCH({_cell('device')},tblHardware[key],0))",
        "site_spec": f"={_site('spec')}",
        "fleet_spec": f"={fleet}",
        "tco_options": f"={tco}",
    }


def add_options(book: Workbook, options: list[Option]) -> None:
    """The Options sheet: the table that drives every calculation."""
    sheet = book.create_sheet("Options")
    widths = {
        get_column_letter(i): w
        for i, w in enumerate(
            (24, 18, 14, 9, 11, 7, 11, 13, 14, 6, 9, 13, 17, 11, 12, 8, 13, 11, 18, 18, 18, 18), start=1
        )
    }
    purpose = (
        "One row per option; change the yellow cells. Own price blank: Reg_Prices. Server blank: no measured power."
    )
    page(sheet, "Options", purpose, widths, freeze=f"B{OPTION_TOP + 1}")
    headings = [text for _, text, _ in OPTION_COLUMNS]
    heading(sheet, OPTION_TOP, headings, height=46)
    formulas = _formulas()
    formats = {
        "price": MONEY_OR_BLANK,
        "price_used": WHOLE,
        "pue": CENTS,
        "tariff": "0.0000",
        "carbon": WHOLE,
        "busy_w": WHOLE,
    }
    for r, option in enumerate(options, start=OPTION_TOP + 1):
        for i, (name, _, kind) in enumerate(OPTION_COLUMNS, start=1):
            value = formulas.get(name, getattr(option, name, None))
            at = f"{get_column_letter(i)}{r}"
            cell = put(sheet, at, value, "mls input" if kind == "input" else "mls formula", formats.get(name))
            if i > 1 and not name.endswith(("spec", "options")):
                cell.alignment = Alignment(horizontal="center")
    last = OPTION_TOP + len(options)
    ref = f"A{OPTION_TOP}:{get_column_letter(len(headings))}{last}"
    table = Table(displayName="tblOptions", ref=ref)
    table.autoFilter = AutoFilter(ref=ref)
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(headings, start=1)]
    for column, (name, _, _kind) in zip(table.tableColumns, OPTION_COLUMNS, strict=True):
        if name in formulas:
            column.calculatedColumnFormula = TableFormula(attr_text=formulas[name][1:])
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=False)
    sheet.add_table(table)
    rows = f"{OPTION_TOP + 1}:{{c}}{last}"
    for column, source, what in (
        ("B", "list_nodes", "a server of Reg_Systems, or leave it blank"),
        ("C", "list_hardware", "a key of Reg_Hardware"),
        ("G", "list_precision", "a number format of Reg_Systems"),
        ("I", "list_sites", "a key of Reg_Infra"),
    ):
        _list(sheet, f"{column}{rows.format(c=column)}", f"={source}", what)
    for column in "DEF":
        rule = DataValidation(type="whole", operator="between", formula1="1", formula2="100000", showErrorMessage=True)
        rule.error = "A whole number of 1 or more"
        sheet.add_data_validation(rule)
        rule.add(f"{column}{rows.format(c=column)}")
    sheet.print_area = f"A1:R{last}"
    sheet.sheet_properties.tabColor = "F2C94C"


MONEY_OR_BLANK = "#,##0"


def option_field(name: str, number: str) -> str:
    """Reference to a column of option `number` (an address or a literal)."""
    return f"INDEX(tblOptions[{HEADING[name]}],{number})"
