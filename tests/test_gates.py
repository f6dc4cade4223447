"""The quality gates: every one catches and names a planted fault, and is silent on a clean plan."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from gates_plan import DATE, FIRST, LAST, MONEY, TODAY, Change, Values, clean
from lxml import etree
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.table import TableFormula

from workbook.check import check
from workbook.gates import GATES, WARNINGS, run_gates
from workbook.gates_book import Book, Look, read_book, spelled
from workbook.gates_shapes import relative
from workbook.gates_widths import lines, shown_number, text_width
from workbook.package import Package, main

ALL = (*GATES, *WARNINGS)


def plan(tmp_path: Path, change: Change | None = None) -> Book:
    return read_book(clean(tmp_path / "plan.xlsx", change))


def test_a_clean_plan_passes_every_gate(tmp_path: Path) -> None:
    book = plan(tmp_path)
    assert {gate.__name__: gate(book) for gate in ALL} == {gate.__name__: [] for gate in ALL}


# ------------------------------------------------------------------ planted faults


def put(sheet: str, at: str, value: Any, shown: str | None = None, cached: float | str | None = None) -> Change:
    def change(book: openpyxl.Workbook, values: Values) -> None:
        book[sheet][at] = value
        if shown is not None:
            book[sheet][at].number_format = shown
        if cached is not None:
            values[sheet, at] = cached

    return change


def cached(sheet: str, at: str, value: float | str) -> Change:
    return lambda _book, values: values.update({(sheet, at): value})


def sheet_does(sheet: str, act: Callable[[Any], object]) -> Change:
    def change(book: openpyxl.Workbook, _values: Values) -> None:
        act(book[sheet])

    return change


def name(text: str, target: str) -> Change:
    def change(book: openpyxl.Workbook, _values: Values) -> None:
        book.defined_names[text] = DefinedName(text, attr_text=target)

    return change


def _width(column: str, width: float) -> Change:
    return sheet_does("Monthly", lambda s: setattr(s.column_dimensions[column], "width", width))


def _typed_row(sheet: Any) -> None:
    for column in range(FIRST, LAST + 1):
        sheet.cell(18, column, 5)
    sheet["J18"] = "none"


def _low_row(sheet: Any) -> None:
    sheet.row_dimensions[17].height = 14


def _calculated(sheet: Any) -> None:
    column = sheet.tables["tblOptions"].tableColumns[3]
    column.calculatedColumnFormula = TableFormula(attr_text="1")


def _hide(sheet: Any) -> None:
    sheet.row_dimensions[7].hidden = True
    sheet.column_dimensions["F"].hidden = True


def _both(*changes: Change) -> Change:
    def change(book: openpyxl.Workbook, values: Values) -> None:
        for each in changes:
            each(book, values)

    return change


FAULTS: list[tuple[str, Change, str]] = [
    ("inconsistent_rows", put("Monthly", "J8", "=J7", MONEY),
     "Monthly!J8: the formula differs from most of its row (such as E8)"),
    ("inconsistent_rows", put("Monthly", "E8", "=E7", MONEY), "Monthly!E8: the formula differs"),
    ("inconsistent_rows", put("Monthly", "J8", 99, MONEY), "Monthly!J8: a constant stands among formulas of its row"),
    ("inconsistent_rows", put("Monthly", "Q8", 99, MONEY), "Monthly!Q8: a constant stands among formulas of its row"),
    ("inconsistent_columns", put("Options", "D4", 3000.0), "Options!D4: a constant stands in the calculated column"),
    ("inconsistent_columns", put("Options", "D4", "=tblOptions[[#This Row],[servers]]"),
     "Options!D4: the formula differs from its column 'price used' of tblOptions"),
    ("inconsistent_columns", _both(sheet_does("Options", _calculated), put("Options", "D4", 1.0)),
     "Options!D4: a constant"),
    ("literals", put("Monthly", "D13", "=NPV(0.07/12,F10:Q10)+E10"), "Monthly!D13: the formula holds the figure 0.07"),
    ("literals", put("Monthly", "D13", "=D7*365+730*D8"), "Monthly!D13: the formula holds the figure 365 and 730"),
    ("literals", put("Monthly", "D13", "=IF(D7>3,D8,0)"), "Monthly!D13: the formula holds the figure 3"),
    ("forms", put("Monthly", "D13", "=OFFSET(D7,1,0)"), "Monthly!D13: OFFSET is not used here: it is volatile"),
    ("forms", put("Monthly", "D13", "=IFNA(D7,0)"), "Monthly!D13: IFNA must be written _xlfn.IFNA"),
    ("forms", put("Monthly", "D13", "=XLOOKUP(D7,E7:Q7,E8:Q8)"), "XLOOKUP is not used here"),
    ("forms", put("Monthly", "D13", "=MLS_X(D7,,1)"), "Monthly!D13: a call has an empty argument"),
    ("forms", put("Options", "G2", "=SUM(in_Servers)+SUM(Monthly!F:F)"), "Monthly!F:F refers to whole columns"),
    ("circles", _both(put("Monthly", "D13", "=D18+1"), put("Monthly", "D18", "=MAX(D12:D14)")),
     "the formula depends on itself through Monthly!D"),
    ("circles", put("Monthly", "D13", "=D13+1"), "Monthly!D13: the formula depends on itself; break the circle"),
    ("text_among_numbers", put("Prices", "D4", "on request"),
     "Prices!D4: the text 'on request' stands among the numbers of 'amount (USD)' in tblPrices"),
    ("text_among_numbers", sheet_does("Monthly", _typed_row), "Monthly!J18: the text 'none' stands among the numbers"),
    ("text_among_numbers", _both(put("Options", "G3", "=SUM(H1:H3)"), put("Options", "H2", "tbd"),
                                 put("Options", "H1", 4), put("Options", "H3", 5)),
     "Options!H2: the text 'tbd' stands in a range that Options!G3 reads as numbers"),
    ("text_among_numbers", cached("Monthly", "H8", "oops"), "Monthly!H8: the text 'oops' stands in a range"),
    ("numbers_as_text", put("Inputs", "F7", "1,200"), "Inputs!F7: the number '1,200' is stored as text"),
    ("blanks_and_texts", put("Monthly", "D13", "=D20*in_Rate"), "Monthly!D13: the formula calculates with D20, which"),
    ("blanks_and_texts", put("Monthly", "D13", "=1+A7"), "calculates with A7, which is a text"),
    ("short_ranges", put("Monthly", "D8", "=SUM(E8:P8)", MONEY), "Monthly!D8: the range E8:P8 stops short of Q8"),
    ("short_ranges", put("Monthly", "D13", "=NPV(in_Rate/12,F10:Q10)"), "the range F10:Q10 stops short of E10"),
    ("short_ranges", put("Options", "G3", "=SUM(E3:E6)"), "Options!G3: the range E3:E6 stops short of E2"),
    ("wrong_signs", cached("Monthly", "F7", -5.0), "Monthly!F7: the cost row 'Purchase' is negative"),
    ("wrong_signs", cached("Monthly", "G9", 5.0), "Monthly!G9: the income row 'Resale' is positive"),
    ("unknown_signs", put("Monthly", "C8", "costs"), "Monthly!C8: the mark 'costs' under sign is unknown"),
    ("inputs_without_source", put("Inputs", "C7", None), "Inputs!D7: the input 'Amount' has no unit"),
    ("inputs_without_source", put("Inputs", "H7", None), "the input 'Amount' has no source"),
    ("inputs_without_source", put("Inputs", "G7", " "), "the input 'Amount' has no kind"),
    ("inputs_without_source", put("Inputs", "I7", None), "the input 'Amount' has no as-of date"),
    ("stale_prices", put("Prices", "G2", TODAY - dt.timedelta(days=181), DATE),
     "Prices!G2: the price 'H100_purchase' is in use and 181 days old on 2026-11-01, the limit of its kind is 180"),
    ("stale_prices", put("Options", "C2", "spot"), "'H100_spot' is in use and 400 days old on 2026-11-01, the limit of its kind is 30"),  # noqa: E501
    ("stale_prices", cached("Options", "D3", 35000.25), "'B200_purchase' is in use and 900 days old"),
    ("stale_prices", put("Prices", "G2", "last week"), "the price 'H100_purchase' is in use and has no date"),
    ("idle_names", name("in_Old", "Inputs!$E$7"), "The defined name in_Old (Inputs!$E$7) is used by nothing"),
    ("idle_names", _both(name("in_Old", "Nowhere!$E$7"), put("Options", "H9", "=in_Old")),
     "The defined name in_Old (Nowhere!$E$7) leads nowhere"),
    ("idle_names", _both(name("in_Old", "Inputs!$E$30"), put("Options", "H9", "=in_Old")),
     "The defined name in_Old leads to the blank cell Inputs!E30"),
    ("formats", sheet_does("Inputs", lambda s: setattr(s["E6"], "number_format", "0.00")),
     "Inputs!E6: the unit is 'share per year', the format is '0.00'"),
    ("formats", sheet_does("Inputs", lambda s: setattr(s["E5"], "number_format", "0")), "Inputs!E5: a date shows as"),
    ("formats", sheet_does("Inputs", lambda s: setattr(s["I6"], "number_format", "0")), "Inputs!I6: a date shows as"),
    ("formats", put("Inputs", "I5", "2026-10-31"), "Inputs!I5: the date '2026-10-31' is a text"),
    ("formats", sheet_does("Monthly", lambda s: setattr(s["J8"], "number_format", "0.00")), "Monthly!J8: the format"),
    ("overflows", _both(_width("G", 8), cached("Monthly", "G7", 123456789.0)), "Monthly!G7: the number prints as ###"),
    ("overflows", _width("G", 8), "Monthly!G5: the number prints as ### (column G needs a width of about 1"),
    ("overflows", put("Monthly", "A8", "Upkeep, repairs and the insurance of it"),
     "Monthly!A8: the text in column A prints cut by its neighbour in column B"),
    ("overflows", put("Monthly", "P16", "A remark that runs out of the page on its right side"),
     "Monthly!P16: the text in column P prints cut at the edge of the print area"),
    ("overflows", sheet_does("Monthly", _low_row), "Monthly!A17: the text in column A prints cut below"),
    ("overflows", put("Monthly", "A1", "The money of all options, month by month, in the currency of the plan"),
     "Monthly!A1: the text in column A prints cut at the edge of its merged cells"),
    ("hidden", sheet_does("Prices", lambda s: setattr(s, "sheet_state", "hidden")), "The sheet Prices is hidden"),
    ("hidden", sheet_does("Monthly", _hide), "Monthly: rows that hold something are hidden (7)"),
    ("hidden", sheet_does("Monthly", _hide), "Monthly: columns that hold something are hidden (F)"),
    ("merged_cells", sheet_does("Monthly", lambda s: s.merge_cells("D7:D8")), "merged with others and holds a number"),
    ("merged_cells", sheet_does("Options", lambda s: s.merge_cells("A2:A3")), "merged with others inside a table"),
]  # fmt: skip
# A fault that is two: the other gates may speak as well.
ALONGSIDE = {
    "circles": {"short_ranges"},
    "text_among_numbers": {"blanks_and_texts"},
    "forms": {"short_ranges", "text_among_numbers"},
    "numbers_as_text": {"text_among_numbers"},
    "merged_cells": {"text_among_numbers", "overflows"},
    "inconsistent_rows": {"short_ranges"},
    "short_ranges": {"idle_names"},
    "stale_prices": {"text_among_numbers"},
}


@pytest.mark.parametrize(("gate", "change", "sentence"), FAULTS, ids=[f"{g}-{i}" for i, (g, *_) in enumerate(FAULTS)])
def test_a_planted_fault_is_caught_and_named(gate: str, change: Change, sentence: str, tmp_path: Path) -> None:
    book = plan(tmp_path, change)
    told = {g.__name__: found for g in ALL if (found := g(book))}
    assert any(sentence in s for s in told.get(gate, [])), told
    assert told.keys() <= {gate, *ALONGSIDE.get(gate, ())}, told
    assert all(s.endswith(".") and (";" in s or ":" in s) for found in told.values() for s in found)


def test_every_gate_has_a_planted_fault() -> None:
    assert {g.__name__ for g in ALL} == {g for g, *_ in FAULTS} | {"outside_links"}


def test_a_link_outside_is_named(tmp_path: Path) -> None:
    package = clean(tmp_path / "plan.xlsx")
    package.parts["xl/externalLinks/externalLink1.xml"] = b"<externalLink/>"
    package.parts["xl/connections.xml"] = b"<connections/>"
    told = run_gates(package, *_read(package))
    assert [s.partition(":")[0] for s in told] == [
        "The file links to another workbook (xl/externalLinks/externalLink1.xml)",
        "The file holds a data connection",
    ]


def _read(package: Package) -> Any:
    book = read_book(package)
    return list(book.grids.values()), book.tables


def test_stale_prices_need_a_date_of_valuation(tmp_path: Path) -> None:
    def change(book: openpyxl.Workbook, _values: Values) -> None:
        book["Prices"]["G2"] = TODAY - dt.timedelta(days=999)
        del book.defined_names["in_ValuationDate"]

    book = plan(tmp_path, change)
    assert not [s for g in ALL if g.__name__ == "stale_prices" for s in g(book)]


def test_gates_are_part_of_check_for_our_plans_only(tmp_path: Path) -> None:
    fault = "Monthly!D13: OFFSET is not used here"
    path = tmp_path / "plan.xlsx"
    clean(path, put("Monthly", "D13", "=OFFSET(D7,1,0)"))
    assert any(fault in s for s in check(path))

    def foreign(book: openpyxl.Workbook, values: Values) -> None:
        put("Monthly", "D13", "=OFFSET(D7,1,0)")(book, values)
        del book["Options"].tables["tblOptions"]

    clean(path, foreign)
    assert not any(fault in s for s in check(path))


# ------------------------------------------------------------------ parts


@pytest.mark.parametrize(
    ("formula", "at", "shape"),
    [
        ("B2+$C$1*B$7", (3, 2), "R[-1]C+R1C3*R7C"),
        ("SUM($E10:F10)", (10, 6), "SUM(RC5:RC)"),
        ("'A1 plan'!A1&\"A1\"", (1, 1), "'A1 plan'!RC&\"A1\""),
        ("LOG10(Engine!$D4)+in_X1", (4, 4), "LOG10(Engine!RC4)+in_X1"),
        ("tbl[[#This Row],[A1 (B2)]]*tbl['[A1']]", (1, 1), "tbl[[#This Row],[A1 (B2)]]*tbl['[A1']]"),
        ("B2C+A1.x+XFE1", (1, 1), "B2C+A1.x+XFE1"),
    ],
)
def test_a_shape_is_what_copies_share(formula: str, at: tuple[int, int], shape: str) -> None:
    assert relative(formula, *at) == shape


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (1234.5, "#,##0;(#,##0);-", "1,235"),
        (-1234.5, "#,##0;(#,##0);-", "(1,235)"),
        (0.0, "#,##0;(#,##0);-", "-"),
        (-2.0, "0.0", "-2.0"),
        (0.1234, "0.0%", "12.3%"),
        (1500000.0, '#,##0.0,,"M"', "1.5M"),
        (12.0, "#,##0.###", "12."),
        (0.5, '"$"#,##0.00', "$0.50"),
        (123456.0, "0.0E+00", "1.2E+05"),
        (46000.0, "yyyy-mm-dd", "0000-00-00"),
        (46000.0, "d mmm yyyy", "00 Dec 0000"),
        (5.0, "General", ""),
        (5.0, "[<1]0.0;0", ""),
    ],
)
def test_a_number_is_as_wide_as_its_format_shows_it(value: float, number_format: str, shown: str) -> None:
    assert shown_number(value, number_format) == shown


def test_widths_grow_with_size_and_weight() -> None:
    plain = text_width("Net present cost", Look(size=10))
    assert plain < text_width("Net present cost", Look(size=11)) < text_width("Net present cost", Look(bold=True))
    assert 85 < plain < 105  # pixels: 16 letters of Calibri 10
    assert lines("one two three", Look(), text_width("one two", Look())) == 2
    assert lines("one\ntwo", Look(), 500) == 2


def test_cells_are_spelled_as_ranges() -> None:
    assert spelled([(1, 1), (1, 2), (2, 1), (2, 2)]) == "A1:B2"
    assert spelled([(1, 1), (3, 1), (5, 1), (7, 1), (9, 1)]) == "A1, A3, A5 and 2 more places"


def test_thirty_thousand_formulas_are_checked_in_five_seconds(tmp_path: Path) -> None:
    package = clean(tmp_path / "plan.xlsx")
    part = next(s.part for s in package.sheets() if s.name == "Monthly")
    root = package.xml(part)
    rows = root.find(main("sheetData"))
    for r in range(100, 600):
        row = etree.SubElement(rows, main("row"), r=str(r))
        for column in range(FIRST, FIRST + 61):
            c = get_column_letter(column)
            cell = etree.SubElement(row, main("c"), r=f"{c}{r}")
            text = f"{c}$6*(in_Amount+{c}$7)*in_Rate/12*$D${r % 40 + 7}+SUM({c}7:{c}9)+MAX($D$7:$D$9)"
            etree.SubElement(cell, main("f")).text = text
            etree.SubElement(cell, main("v")).text = "1"
    package.put(part, root)
    package.write(tmp_path / "big.xlsx", force=False)
    start = time.process_time()
    faults = check(tmp_path / "big.xlsx")
    assert time.process_time() - start < 5
    assert not any("differs from most of its row" in f for f in faults)
