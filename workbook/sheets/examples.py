"""Examples: published calculations rebuilt in native formulas beside their printed results, then calculators.

Every figure of ``examples.toml`` is a cell: inputs are yellow and may be changed, and the column Pass then tells
whether the published result still comes out.  Nothing here calls a function of ours.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.formatting.rule import Rule
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.pagebreak import Break
from openpyxl.worksheet.worksheet import Worksheet

from ..errors import WorkbookError
from ..style import (
    CENTS,
    DATE,
    GREEN,
    PALE_GREEN,
    PALE_RED,
    RED,
    WHOLE,
    block_title,
    difference,
    fit_height,
    heading,
    page,
    protect,
    put,
    put_text,
)

SHEET = "Examples"
FILE = Path(__file__).parents[1] / "examples.toml"
TOP, FIRST, MOST = 6, 3, 8  # first row; values start in column C and take up to eight columns
OURS, PUBLISHED, DIFFERENCE, RELATIVE, ABSOLUTE, FIGURE, PASS = "CDEFGHI"
TEXT = get_column_letter(FIRST + MOST)
YES, NO = "yes", "no"
_PLACE = re.compile(r"\{([^{}\[\]@]+)(?:\[(\d*)(:?)\]|(@))?\}")


@dataclass(frozen=True, slots=True)
class Row:
    """An input (it has values) or a result (it has a formula); `published` is what a result must reproduce."""

    name: str
    label: str
    unit: str
    values: tuple[Any, ...] = ()
    formula: str = ""
    across: int = 1
    published: float | None = None
    printed: bool = True  # in the source; else it follows from what the source prints
    rel: float = 0.0
    abs: float = 0.0

    @property
    def width(self) -> int:
        """Columns that it fills."""
        return len(self.values) or self.across


@dataclass(frozen=True, slots=True)
class Example:
    """One published case, or a calculator (it has no source)."""

    id: str
    title: str
    inputs: tuple[Row, ...]
    outputs: tuple[Row, ...]
    note: str = ""
    source: str = ""
    url: str = ""
    read: str = ""


@cache
def cases() -> tuple[Example, ...]:
    """The published calculations, in the order of the file."""
    return _read("case")


@cache
def calculators() -> tuple[Example, ...]:
    """The calculators, in the order of the file."""
    return _read("calculator")


def _read(kind: str) -> tuple[Example, ...]:
    tables = tomllib.loads(FILE.read_text("utf-8"))[kind]
    return tuple(example(table, published=kind == "case") for table in tables)


def example(table: Mapping[str, Any], *, published: bool) -> Example:
    """An example from its table in the file.

    Raises
    ------
    WorkbookError
        When a row has no value, too many of them, or nothing to be compared with.
    """
    inputs = tuple(_input(table["id"], row) for row in table["inputs"])
    outputs = tuple(_output(table["id"], row, published) for row in table["outputs"])
    names = [row.name for row in (*inputs, *outputs)]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise WorkbookError(f"Example {table['id']} has two rows called {', '.join(twice)}.")
    plain = {n: table.get(n, "") for n in ("note", "source", "url", "read")}
    return Example(table["id"], table["title"], inputs, outputs, **plain)


def _input(where: str, row: Mapping[str, Any]) -> Row:
    value = row.get("value", [])
    values = tuple(value) if isinstance(value, list) else (value,)
    if bool(values) == ("formula" in row) or len(values) > MOST:
        raise WorkbookError(f"Example {where}: {row['name']} needs one to {MOST} values, or a formula.")
    return Row(row["name"], row["label"], row["unit"], values, row.get("formula", ""))


def _output(where: str, row: Mapping[str, Any], published: bool) -> Row:
    printed = row.get("published", False) is not False
    target = row["published"] if printed else row.get("value")
    rel, absolute = row.get("rel", 0.0), row.get("abs", 0.0)
    if published and (target is None or not (rel > 0 or absolute > 0)):
        raise WorkbookError(f"Example {where}: {row['name']} needs a figure to reproduce and a tolerance.")
    return Row(row["name"], row["label"], row["unit"], (), row["formula"], row.get("across", 1), target, printed,
               rel, absolute)  # fmt: skip


def filled(formula: str, rows: Mapping[str, tuple[int, int]], column: int | None = None) -> str:
    """A formula with cells for names.

    Parameters
    ----------
    formula : str
        As the file writes it.
    rows : mapping of str to (row, columns filled)
        Where each name stands.
    column : int, optional
        The column of the formula, for what is taken from the same column.

    Raises
    ------
    WorkbookError
        When a name stands nowhere above, or has another number of values than the formula asks for.
    """

    def place(match: re.Match[str]) -> str:
        name, first, to_end, same = match.groups()
        if name not in rows:
            raise WorkbookError(f"The formula {formula} uses {name}, which stands nowhere above it.")
        row, width = rows[name]
        start, last = int(first or 0), FIRST + width - 1
        if same and column is not None and FIRST <= column <= last:
            return f"{get_column_letter(column)}${row}"
        whole = first is None and not same  # the plain name: one value
        if same or start >= width or (whole and width != 1):
            raise WorkbookError(f"The formula {formula} does not suit the {width} values of {name}.")
        at = f"${get_column_letter(FIRST + start)}${row}"
        return f"{at}:${get_column_letter(last)}${row}" if to_end else at

    return _PLACE.sub(place, formula)


def add_examples(book: Workbook) -> tuple[str, int]:
    """The Examples sheet; answers with the range of the column Pass and how many cells of it must say yes."""
    sheet = book.create_sheet(SHEET)
    widths = {"A": 46, "B": 12, TEXT: 62} | {get_column_letter(FIRST + i): 13.5 for i in range(MOST)}
    purpose = "Native formulas. Change the yellow cells: Pass tells whether the published result still comes out."
    page(sheet, "Published examples and calculators", purpose, widths, freeze=f"A{TOP - 1}")
    row = TOP
    for case in cases():
        row = _block(sheet, row, case)
    last = row - 1
    passed = f"{SHEET}!${PASS}${TOP}:${PASS}${last}"
    count = sum(len(case.outputs) for case in cases())
    put(sheet, "A3", "Results that come out")
    put(sheet, "C3", f'=COUNTIF(${PASS}${TOP}:${PASS}${last},"{YES}")', "mls total", WHOLE)
    put(sheet, "D3", f'="of {count}"', "mls unit")
    sheet.row_breaks.append(Break(id=last))
    block_title(sheet, row, "Calculators: the same kinds of model for figures of your own", FIRST + MOST)
    row += 2
    for calculator in calculators():
        row = _block(sheet, row, calculator)
    _finish(sheet, last, row - 2)
    return passed, count


def _block(sheet: Worksheet, row: int, case: Example) -> int:
    """One example from `row` on; answers with the row of the next."""
    block_title(sheet, row, f"{case.id}  {case.title}", FIRST + MOST)
    for text in (f"Source: {case.source}." if case.source else "", case.url, case.read, case.note):
        if text:
            row += 1
            link = put(sheet, f"A{row}", text, "mls url" if text == case.url else "mls source")
            link.hyperlink = case.url if text == case.url else None
    rows: dict[str, tuple[int, int]] = {}
    for given in case.inputs:
        row += 1
        _label(sheet, row, given)
        for i, value in enumerate(given.values):
            put(sheet, f"{get_column_letter(FIRST + i)}{row}", value, "mls input", _input_format(value))
        if given.formula:
            _formula(sheet, row, given, rows)
        rows[given.name] = (row, given.width)
    row += 1
    texts = ["Result", "Unit", "Ours", "Published", "Relative difference", "Tolerance, relative", "Tolerance, absolute",
             "Figure is", "Pass", "", "Formula"]  # fmt: skip
    plain = ["Result", "Unit", *[""] * MOST, "Formula"]
    heading(sheet, row, texts if case.source else plain, height=28 if case.source else 16)
    for result in case.outputs:
        row += 1
        _label(sheet, row, result)
        _formula(sheet, row, result, rows)
        if result.published is not None:
            _compare(sheet, row, result)
        rows[result.name] = (row, result.width)
    return row + 2


def _label(sheet: Worksheet, row: int, line: Row) -> None:
    put(sheet, f"A{row}", line.label, "mls wrapped")
    put(sheet, f"B{row}", line.unit, "mls unit")


def _formula(sheet: Worksheet, row: int, line: Row, rows: Mapping[str, tuple[int, int]]) -> None:
    style = "mls total" if line.published is not None else "mls formula"
    for i in range(line.across):
        text = f"={filled(line.formula, rows, FIRST + i)}"
        put(sheet, f"{get_column_letter(FIRST + i)}{row}", text, style, _format(line))
        if i == 0:
            put_text(sheet, f"{TEXT}{row}", text, "mls note")
    fit_height(sheet, row)


def _compare(sheet: Worksheet, row: int, line: Row) -> None:
    ours, published = f"{OURS}{row}", f"{PUBLISHED}{row}"
    put(sheet, published, line.published, "mls fact", _format(line))
    put(sheet, f"{DIFFERENCE}{row}", f"=ROUND({ours}/{published}-1,12)", "mls formula", "0.0E+00")
    put(sheet, f"{RELATIVE}{row}", line.rel, "mls unit", "0.0E+00")
    put(sheet, f"{ABSOLUTE}{row}", line.abs, "mls unit", "0.0E+00")
    put(sheet, f"{FIGURE}{row}", "printed" if line.printed else "computed", "mls unit")
    allowed = f"MAX({RELATIVE}{row}*ABS({published}),{ABSOLUTE}{row})"
    within = f'IF(ABS({ours}-{published})<={allowed},"{YES}","{NO}")'
    put(sheet, f"{PASS}{row}", f'=IF(ISNUMBER({ours}),{within},"{NO}")', "mls check")


def _input_format(value: Any) -> str:
    if isinstance(value, date):
        return DATE
    return WHOLE if isinstance(value, int) and abs(value) >= 1000 else "General"


def _format(line: Row) -> str:
    """Figures enough to see the tolerance, by unit where there is no published figure to go by."""
    if line.published is None:
        rate = line.unit.startswith("USD/") and line.unit not in ("USD/month", "USD/year")
        small = rate or line.unit in ("", "per year", "per month")
        return "#,##0.0000;(#,##0.0000);0.0000" if small else CENTS
    size = abs(line.published)
    return "0.000000" if size < 0.1 else "0.0000" if size < 10 else CENTS if size < 1e6 else WHOLE


def _finish(sheet: Worksheet, last_case: int, last: int) -> None:
    """Dropdowns, colours, print set-up, protection."""
    methods = DataValidation(type="list", formula1="=list_tax", allow_blank=False, showErrorMessage=True)
    methods.error = "Choose a method of the tax table in Reg_Finance."
    for row in range(TOP, last + 1):
        if sheet[f"B{row}"].value == "method":
            methods.add(f"{OURS}{row}")
    sheet.add_data_validation(methods)
    area = f"{PASS}{TOP}:{PASS}{last_case}"
    for word, fill, color in ((YES, PALE_GREEN, GREEN), (NO, PALE_RED, RED)):
        rule = Rule(type="expression", formula=[f'${PASS}{TOP}="{word}"'], dxf=difference(fill, color))
        sheet.conditional_formatting.add(area, rule)
    sheet.print_area = f"A1:{get_column_letter(FIRST + MOST - 1)}{last}"  # the texts of the formulas are for the screen
    sheet.print_title_rows = "1:4"
    sheet.sheet_properties.tabColor = "6B7280"
    protect(sheet)
