"""A book of the money sheets alone, computed.

`compute` builds Inputs, Lines, Options, both engine sheets, Monthly, Money and the checks of every option: what the
money stands on, and nothing that only explains or draws it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.utils.cell import coordinate_from_string
from openpyxl.workbook.defined_name import DefinedName

import workbook.plan as wp
from udfs import FUNCTIONS
from workbook import engine
from workbook.sheets import money, options
from workbook.sheets.checks_option import of_option
from workbook.sheets.engine import DERIVED, ROW, add_engine, add_engine_live, option_columns, version_row
from workbook.sheets.frozen import add_frozen
from workbook.sheets.inputs import add_inputs
from workbook.sheets.lines import add_lines
from workbook.sheets.monthly import FIRST_MONTH, Layout, add_monthly
from workbook.sheets.registries import add_registries
from workbook.style import add_styles

Change = Mapping[str, Any]


@dataclass(frozen=True)
class Book:
    """A computed book."""

    plan: wp.Plan
    layout: Layout
    cells: Workbook
    values: dict[tuple[str, str], Any]
    checks: list[tuple[int, str, Any, float]]  # option, text, value, tolerance

    def at(self, address: str) -> Any:
        """Value of a cell, written Sheet!$A$1."""
        sheet, _, cell = address.replace("$", "").partition("!")
        value = self.values.get((sheet, cell), self.cells[sheet][cell].value)
        return None if value == "" else value

    def named(self, name: str) -> Any:
        """Value of a named cell."""
        return self.at(self.cells.defined_names[name].attr_text)

    def option(self, name: str, i: int) -> Any:
        """Column of the Options table."""
        column = get_column_letter(1 + list(options.COLUMNS).index(name))
        return self.at(f"Options!{column}{options.TOP + 1 + i}")

    def engine(self, name: str, i: int) -> Any:
        """Figure of the sheet Engine."""
        return self.at(f"Engine!{option_columns(i + 1)[i]}{(ROW | DERIVED)[name]}")

    def months(self, name: str, i: int) -> list[Any]:
        """A row of Monthly."""
        row = self.layout.row(name, i)
        return [self.at(f"Monthly!{get_column_letter(FIRST_MONTH + m)}{row}") for m in range(self.layout.months + 1)]

    def total(self, name: str, i: int, column: str = "D") -> Any:
        """Total, driver or present value of Monthly."""
        return self.at(self.layout.total(name, i, column))

    def result(self, name: str, i: int) -> Any:
        """Result or total of Money."""
        return self.at(money.result(name, i))

    def years(self, name: str, i: int) -> list[Any]:
        """A row of Money."""
        first, last = money.years_of(name, self.layout, i).removeprefix("Money!").replace("$", "").split(":")
        row = coordinate_from_string(first)[1]
        letters = [get_column_letter(money.FIRST_YEAR + y) for y in range(self.layout.months // 12)]
        assert last == f"{letters[-1]}{row}"
        return [self.at(f"Money!{c}{row}") for c in letters]

    def failed(self, i: int) -> list[str]:
        """Checks of an option that do not pass."""
        bad = [(n, t, v) for n, t, v, tol in self.checks if not isinstance(v, (int, float)) or abs(v) > tol]
        return [text for n, text, _ in bad if n == i]


def plan_with(
    option_list: Sequence[Change],
    inputs: Change | None = None,
    lines: Sequence[wp.Line] | None = None,
    months: int = 60,
) -> tuple[wp.Plan, list[dict[str, Any]]]:
    """The shipped plan with other inputs, options and lines, and the cells of Options that a plan cannot name."""
    base = wp.read_plan()
    figures = {n: wp.Figure(v, v, v, note="changed") for n, v in (inputs or {}).items()}
    unknown = figures.keys() - {x.name for x in base.inputs}
    assert not unknown, unknown
    items = [dataclasses.replace(x, figure=figures.get(x.name, x.figure)) for x in base.inputs]
    items = [dataclasses.replace(x, maximum=120) if x.maximum == 60 and x.unit == "months" else x for x in items]
    known = {f.name for f in dataclasses.fields(wp.Option)}
    rows = []
    for change in option_list:
        usual: dict[str, Any] = {
            "server": "DGX_B200",
            "device": "B200",
            "devices_per_server": 8,
            "tp": 1,
            "precision": "fp8",
            "site": "US_Avg",
        }
        if change["financing"] == "API":
            usual = {"server": "", "device": "", "devices_per_server": 0, "tp": 1, "precision": "", "site": "US_Avg"}
        rows.append(wp.Option(**(usual | {k: v for k, v in change.items() if k in known})))
    extra = [{k: v for k, v in change.items() if k not in known} for change in option_list]
    return wp.Plan(items, list(base.lines if lines is None else lines), rows, months), extra


def compute(
    folder: Path,
    plan: wp.Plan,
    extra: Sequence[Change] = (),
    currency: str = "USD",
    more: Callable[[Workbook, Layout], object] | None = None,
) -> Book:
    """Build the money sheets of a plan and compute them.

    `extra` holds more cells of each row of Options; `more` adds sheets.
    """
    layout, count = Layout(plan), len(plan.options)
    book = Workbook()
    add_styles(book)
    choices = book.create_sheet("Decision")  # the selectors alone
    for r, (name, value) in enumerate(
        {"in_Scenario": "Base", "in_Option": 1, "in_Currency": currency}.items(), start=1
    ):
        choices[f"A{r}"] = value
        book.defined_names[name] = DefinedName(name, attr_text=f"Decision!$A${r}")
    add_inputs(book, plan.inputs)
    add_lines(book, plan.lines)
    add_options(book, plan, layout, extra)
    add_engine_live(book, count, [])
    add_engine(book, count)
    add_frozen(book, f"Engine_Live!$D${version_row(0)}")
    add_monthly(book, plan)
    money.add_money(book, layout)
    add_registries(book)
    if more:
        more(book, layout)
    sheet = book.create_sheet("Checks")
    checks = [(i, c) for i in range(count) for c in of_option(i, plan, layout)]
    for r, (_, (text, formula, _, _)) in enumerate(checks, start=1):
        sheet[f"A{r}"], sheet[f"B{r}"] = text, f"={formula}"
    path = folder / "money.xlsx"
    book.save(path)
    found = engine.evaluate(path, FUNCTIONS, spill_calls=True)
    assert found.missing == {}, list(found.missing.items())[:3]
    answers = [(i, c[0], found.values["Checks", f"B{r}"], c[2]) for r, (i, c) in enumerate(checks, start=1)]
    return Book(plan, layout, book, found.values, answers)


def add_options(book: Workbook, plan: wp.Plan, layout: Layout, extra: Sequence[Change]) -> None:
    """The Options sheet, and cells of it that the plan has no words for."""
    options.add_options(book, plan.options, layout.needed)
    for r, cells in enumerate(extra, start=options.TOP + 1):
        for name, value in cells.items():
            book["Options"][f"{get_column_letter(1 + list(options.COLUMNS).index(name))}{r}"] = value
