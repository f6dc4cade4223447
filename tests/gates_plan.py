"""A small plan for the tests of the quality gates: clean, and full of what is easily mistaken for a fault."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
from lxml import etree
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.table import Table

from workbook.package import Package, main, open_package

MONTHS = 12
FIRST, LAST = 5, 5 + MONTHS  # columns E to Q
DATE, MONEY, SHARE = "yyyy-mm-dd", "#,##0;(#,##0);-", "0.0%"
TODAY = dt.date(2026, 11, 1)
Values = dict[tuple[str, str], float | str]
Change = Callable[[openpyxl.Workbook, Values], None]


def _inputs(book: openpyxl.Workbook) -> None:
    sheet = book.create_sheet("Inputs")
    sheet["A1"] = "Inputs that everything else in this workbook is calculated from, with unit, source and date"
    sheet.append([])
    sheet.append(["Input", "Used", "Unit", "Low", "Base", "High", "Kind", "Source", "As of", "Note", "Out of range"])
    sheet.append(["Money"])
    rows = [
        ("Valuation date", "in_ValuationDate", "date", None, TODAY, None, "choice", "yours to decide", None, DATE),
        ("Rate", "in_Rate", "share per year", 0.05, 0.08, 0.1, "estimate", "A report", TODAY, SHARE),
        ("Amount", "in_Amount", "USD", 900, 1000, 1200, "quote", "A vendor", TODAY, MONEY),
        ("Own rate", "in_Own", "share", None, None, None, "choice", "yours to decide", None, SHARE),
    ]
    for r, (label, name, unit, low, base, high, kind, source, as_of, shown) in enumerate(rows, start=5):
        for c, value in enumerate((label, f"=F{r}", unit, low, base, high, kind, source, as_of), start=1):
            sheet.cell(r, c, value).number_format = shown
        sheet.cell(r, 2).value = f"=E{r}"
        sheet.cell(r, 9).number_format = DATE
        sheet.cell(r, 11, f"=IF(ISNUMBER(B{r}),0,1)")
        book.defined_names[name] = DefinedName(name, attr_text=f"Inputs!$B${r}")
    sheet["A9"], sheet["B9"] = "The page", '=HYPERLINK("#in_Own","go")'
    sheet["A11"].value, sheet["A11"].data_type = "=in_Kept+a formula that a frozen workbook keeps as a text", "s"
    sheet["B11"] = "beside"
    book.defined_names["in_Kept"] = DefinedName("in_Kept", attr_text="Inputs!$A$1")
    book.defined_names["out_Cost"] = DefinedName("out_Cost", attr_text="Inputs!$A$99")
    sheet["A10"], sheet["B10"] = "https://example.org/a/very/long/address/that/nobody/needs/to/read", "x"


def _monthly(book: openpyxl.Workbook) -> None:
    sheet = book.create_sheet("Monthly")
    sheet["A1"] = "Month by month"
    sheet.merge_cells("A1:C1")
    for c, text in enumerate(("Line", "Unit", "sign", "Total"), start=1):
        sheet.cell(4, c, text)
    lines_ = {
        5: ("Cash date", "date", None, "=EDATE(in_ValuationDate,{c}$4)", DATE),
        6: ("Purchase in this month", "flag", None, "=IF({c}$4=0,1,0)", "0"),
        7: ("Purchase", "USD", "cost", "={c}$6*in_Amount", MONEY),
        8: ("Upkeep", "USD", "cost", "=(1-{c}$6)*in_Amount*in_Rate/12", MONEY),
        9: ("Resale", "USD", "income", "=-IF({c}$4=12,ROUND(in_Amount,2)*in_Rate,0)", MONEY),
        10: ("Net", "USD", None, "=SUM({c}7:{c}9)", MONEY),
        11: ("Net so far", "USD", None, "=SUM($E10:{c}10)", MONEY),
        12: ("Last three months", "USD", None, "=SUM({c}10:{d}10)", MONEY),
    }
    for month in range(MONTHS + 1):
        sheet.cell(4, FIRST + month, month)
    for r, (label, unit, sign, formula, shown) in lines_.items():
        for c, text in enumerate((label, unit, sign), start=1):
            sheet.cell(r, c, text)
        for column in range(FIRST, LAST + 1):
            letters = {"c": get_column_letter(column), "d": get_column_letter(column + 2)}
            sheet.cell(r, column, formula.format(**letters)).number_format = shown
        sheet.cell(r, 4).number_format = MONEY
        if r > 6 and r < 11:
            sheet.cell(r, 4, f"=SUM(E{r}:Q{r})").number_format = MONEY
    sheet["A13"], sheet["D13"] = "Present value", "=NPV(in_Rate/12,F10:Q10)+E10"
    sheet["A14"], sheet["D14"] = "With a blank", '=IF(D20="",0,D20*in_Rate)'
    sheet["A15"], sheet["D15"] = (
        "Choice",
        '=CHOOSE(2,D7,D8)+IF(D8=3,0,1)+INDEX(E7:Q7,3)+MATCH(12,E4:Q4,0)+LEN(MID(1/2&"",2,1))^2',
    )
    sheet["A16"] = "A long remark without a neighbour on its right, which may therefore run on over the blank cells"
    sheet["A17"], sheet["A17"].alignment = "A long remark that is wrapped into lines", Alignment(wrap_text=True)
    sheet.row_dimensions[17].height = 64
    sheet["B17"] = "beside"
    sheet.print_area = "A1:Q17"
    sheet.column_dimensions["A"].width = 22
    for column in range(4, LAST + 1):
        sheet.column_dimensions[get_column_letter(column)].width = 12


def _tables(book: openpyxl.Workbook) -> None:
    prices = book.create_sheet("Prices")
    prices.append(["key", "item", "basis", "amount (USD)", "source", "url", "as_of", "lookup"])
    for i, (item, basis, amount, age) in enumerate(
        (
            ("H100", "purchase", 25000.5, 170),
            ("H100", "spot", 1.9, 400),
            ("B200", "on_demand", 5.5, 80),
            ("B200", "purchase", 35000.25, 900),
            ("L4", "purchase", 2500.5, 900),
            ("A100", "purchase", 9500.5, 900),
        ),
        start=2,
    ):
        as_of = TODAY - dt.timedelta(days=age)
        lookup = "=tblPrices[[#This Row],[item]]&tblPrices[[#This Row],[basis]]"
        prices.append([f"{item}_{basis}", item, basis, amount, "A list of prices, read on its day", "x", as_of, lookup])
        prices.cell(i, 7).number_format = DATE
    _table(prices, "tblPrices", "A1:H7")
    options = book.create_sheet("Options")
    options.append(["option", "device", "basis", "price used", "servers"])
    for r, device in enumerate(("H100", "B200", "L4", "A100", "H200"), start=2):
        price = "=INDEX(tblPrices[amount (USD)],MATCH(tblOptions[[#This Row],[device]],tblPrices[item],0))"
        options.append([f"{device} now", device, "purchase" if device == "H100" else "own", price, r])
    _table(options, "tblOptions", "A1:E6")
    listed = DataValidation("list", formula1="list_items")
    listed.add("B2:B6")
    options.add_data_validation(listed)
    for sheet in (prices, options, book["Inputs"]):
        for column in "ABCDEFGHIJK":
            sheet.column_dimensions[column].width = 16
    book.defined_names["list_items"] = DefinedName("list_items", attr_text="tblPrices[item]")
    book.defined_names["in_Servers"] = DefinedName("in_Servers", attr_text="Options!$E$2:$E$6")
    options["G1"], options["G2"] = "all", "=SUM(in_Servers)"


def _table(sheet: Any, name: str, ref: str) -> None:
    table = Table(displayName=name, ref=ref)
    table._initialise_columns()
    for column, cell in zip(table.tableColumns, sheet[1], strict=False):
        column.name = cell.value
    sheet.add_table(table)


def clean(path: Path, change: Change | None = None) -> Package:
    """A small plan whose formulas have values: 1 unless something else is said."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    _inputs(book)
    _monthly(book)
    _tables(book)
    serial = float((TODAY - dt.date(1899, 12, 30)).days)
    values: Values = {("Inputs", "B5"): serial, ("Inputs", "B9"): "go"}
    values |= {("Prices", f"H{r}"): "H100purchase" for r in range(2, 8)}
    columns = [get_column_letter(c) for c in range(4, LAST + 1)]
    values |= {("Monthly", f"{c}{r}"): v for c in columns for r, v in ((5, serial), (9, -1.0))}
    if change is not None:
        change(book, values)
    draft = path.with_name("draft.xlsx")
    book.save(draft)
    package = open_package(draft)
    for sheet in package.sheets():
        root = package.xml(sheet.part)
        for element in root.iter(main("c")):
            if element.find(main("f")) is None:
                continue
            value = values.get((sheet.name, element.get("r")), 1.0)
            for old in element.findall(main("v")):
                element.remove(old)
            etree.SubElement(element, main("v")).text = str(value)
            element.attrib.pop("t", None)
            if isinstance(value, str):
                element.set("t", "str")
        package.put(sheet.part, root)
    package.write(path, force=True)
    return open_package(path)
