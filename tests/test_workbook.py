"""The workbook that a user gets: complete, reproducible, traceable, and right when somebody edits it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import re
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.utils import column_index_from_string, get_column_letter
from openpyxl.utils.cell import coordinate_to_tuple
from openpyxl.workbook import Workbook
from python_calamine import CalamineWorkbook

from mlsysim.registry import fields
from mlsysim.things import Fleet, Node
from udfs import FUNCTIONS
from workbook.build import ORDER, build
from workbook.cells import read_grids
from workbook.check import check
from workbook.package import open_package
from workbook.plan import read_plan
from workbook.sheets import decision, money, monthly
from workbook.sheets.monthly import Layout
from workbook.whitelist import lint


@pytest.fixture(scope="module")
def formulas(plan: Path) -> Workbook:
    return openpyxl.load_workbook(plan)


@pytest.fixture(scope="module")
def values(plan: Path) -> Workbook:
    return openpyxl.load_workbook(plan, data_only=True)


def text_of(cell: Any) -> str | None:
    """The formula of a cell, also of a dynamic-array cell."""
    value = getattr(cell.value, "text", cell.value)
    return value if isinstance(value, str) and value.startswith("=") and cell.data_type == "f" else None


def all_formulas(book: Workbook) -> list[tuple[str, str, str]]:
    return [(s.title, c.coordinate, f) for s in book for row in s.iter_rows() for c in row if (f := text_of(c))]


# ------------------------------------------------------------------ what it is


def test_sheets_stand_in_order(formulas: Workbook) -> None:
    assert tuple(formulas.sheetnames) == ORDER


@pytest.mark.slow
def test_two_builds_are_the_same_bytes(plan: Path, tmp_path: Path) -> None:
    build(tmp_path / "again.xlsx")
    first, second = (hashlib.sha256(p.read_bytes()).hexdigest() for p in (plan, tmp_path / "again.xlsx"))
    assert first == second


def test_check_passes(plan: Path) -> None:
    assert check(plan) == []


def test_every_formula_has_a_value_and_none_is_an_error(formulas: Workbook, plan: Path) -> None:
    found = all_formulas(formulas)
    assert len(found) > 25_000
    calamine = CalamineWorkbook.from_path(str(plan))
    shown = {n: calamine.get_sheet_by_name(n).to_python(skip_empty_area=False) for n in formulas.sheetnames}
    held = {g.sheet: g for g in read_grids(open_package(plan))}
    for sheet, at, _ in found:
        row, column = coordinate_to_tuple(at)
        value = held[sheet].value(row, column)
        assert value is not None, f"{sheet}!{at} is empty"
        assert not (isinstance(value, str) and value.startswith("#")), f"{sheet}!{at} = {value}"
        rows = shown[sheet]
        other = rows[row - 1][column - 1] if row <= len(rows) and column <= len(rows[row - 1]) else ""
        assert other != "" or value == "", f"{sheet}!{at} is empty for calamine"


def test_our_functions_stand_on_one_sheet_only(formulas: Workbook) -> None:
    assert {sheet for sheet, _, f in all_formulas(formulas) if "MLS_" in f} == {"Engine_Live"}


def test_every_formula_is_on_the_whitelist(formulas: Workbook) -> None:
    for sheet, at, formula in all_formulas(formulas):
        plain = re.sub(r"\w+\[(?:\[[^\]]*\],?)+\]|\w+\[[^\]]*\]", "A1:A9", formula) if "tbl" in formula else formula
        offences = [o for o in lint(plain, FUNCTIONS) if "A1:A9" not in o and "range" not in o]
        assert not offences, f"{sheet}!{at}: {offences}"


# ------------------------------------------------------------------ money that can be traced

TIMED = {
    "Monthly": monthly.FIRST_MONTH,
    "Money": 6,
}  # sheets that run across time, and the column of their first month or year


def relative(formula: str, column: str) -> str:
    """A formula of a timeline with its own column, and the one before it, replaced."""
    before = get_column_letter(max(1, column_index_from_string(column) - 1))
    formula = re.sub(rf"(?<![A-Z$!]){column}(?=\$?\d)", "@", formula)
    return re.sub(rf"(?<![A-Z$!]){before}(?=\$?\d)", "<", formula)


@pytest.mark.parametrize("name", TIMED)
def test_one_formula_per_row_across_time(name: str, formulas: Workbook) -> None:
    for row in formulas[name].iter_rows(min_row=5, min_col=TIMED[name]):
        shapes = {relative(f, c.column_letter) for c in row if (f := text_of(c))}
        assert len(shapes) <= 1, f"row {row[0].row}: {sorted(shapes)[:3]}"


@pytest.mark.parametrize("name", TIMED)
def test_every_option_has_the_same_block(name: str, formulas: Workbook) -> None:
    """The month (or year) formulas of a line are the same for every option, its block apart."""
    layout = Layout(read_plan())
    top, height = (monthly.TOP, layout.height) if name == "Monthly" else (money.TOP, money.HEIGHT)
    sheet = formulas[name]

    def shape(formula: str, option: int) -> str:
        def named(match: re.Match[str]) -> str:
            in_months = (match[1] or f"{name}!") == "Monthly!"
            first, size = (monthly.TOP, layout.height) if in_months else (money.TOP, money.HEIGHT)
            row = int(match[3])
            return match[0] if row < first else f"{match[1]}{match[2]}<{row - first - option * size}>"

        return re.sub(r"(Monthly!|Money!)?(\$?[A-Z]{1,3}\$?)(\d+)", named, formula)

    for offset in range(1, height - 1):
        found = [text_of(sheet.cell(top + i * height + offset, TIMED[name] + 1)) or "" for i in range(layout.count)]
        ranges = re.compile(r"((Monthly|Money)!\$[A-Z]+\$\d+:)\$([A-Z]+)\$(\d+)")
        spelled = [ranges.sub(r"\1\2!$\3$\4", f) for f in found]
        assert len({shape(f, i) for i, f in enumerate(spelled)}) == 1, (offset, spelled[:2])


def test_money_holds_no_number_but_unit_factors(formulas: Workbook) -> None:
    allowed = {0, 1, 2, 12, 24, 100, 1000, 3600, 86400, 1_000_000, 1e9, 1e15}
    codes = {3, 5, 6, 7, 8}  # codes of who serves the rest, and of the years of a schedule
    for sheet, at, formula in all_formulas(formulas):
        if sheet not in ("Monthly", "Money", "Engine"):
            continue
        bare = re.sub(r'"[^"]*"', "", formula)
        bare = re.sub(r"\$?[A-Z]{1,3}\$?\d+|\w+\[[^\]]*\]+|in_\w+|MLS_\w+", "", bare)
        bare = re.sub(r"INDEX\(,\d+\)", "", bare)  # a row of a table
        numbers = {float(n) for n in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:E\+\d+)?", bare)}
        assert numbers <= allowed | codes, f"{sheet}!{at}: {formula}"


def test_no_money_total_reads_the_live_sheet(formulas: Workbook) -> None:
    money_sheets = {"Monthly", "Money", "Compare", "Sensitivity", "Decision"}
    readers = {s for s, a, f in all_formulas(formulas) if s in money_sheets and re.search(r"Engine_Live!|MLS_", f)}
    assert readers <= {"Decision"}  # which shows the version of the engine


def test_dates_are_dates(values: Workbook) -> None:
    assert isinstance(values["Monthly"]["M5"].value, dt.datetime)
    assert isinstance(
        values["Prices"].cell(6, [c.value for c in values["Prices"][5]].index("as_of") + 1).value, dt.datetime
    )


def _unpriced(node: Node) -> Node:
    return dataclasses.replace(node, price=None, device=dataclasses.replace(node.device, price=None))


def test_the_native_spec_of_every_row_is_the_row(values: Workbook) -> None:
    """What the sheet's text formula spells is read back as exactly the thing of the registry."""
    from workbook.sheets.registries import CALIBRATION, REGISTRY_OF, SHEETS, TABLES

    count = 0
    for sheet_name, (_, _, registries) in SHEETS.items():
        sheet = values[sheet_name]
        for registry in registries if registries is not CALIBRATION else ():  # that has no spec
            area = sheet.tables[TABLES[registry.kind]].ref
            header, *rows = [[c.value for c in row] for row in sheet[area]]
            for row in rows:
                record = dict(zip(header, row, strict=True))
                thing = REGISTRY_OF[registry.kind][record["key"]]
                if "price" in fields(registry.kind):  # prices stand in Prices only
                    thing = dataclasses.replace(thing, price=None)
                if registry.kind is Fleet:
                    thing = dataclasses.replace(thing, node=_unpriced(thing.node))
                if registry.kind is Node:
                    thing = _unpriced(thing)
                assert registry.resolve(record["spec"]) == thing, record["key"]
                count += 1
    assert count > 300


def test_every_decision_is_one_click_from_the_first_screen(formulas: Workbook) -> None:
    """Links above the charts, each to the title of its block on Compare."""
    sheet, titles = formulas["Decision"], set()
    for c, name in zip("BCDEFGHI", decision.PATHS, strict=True):
        link = re.fullmatch(r'=HYPERLINK\("#Compare!([A-Z]+\d+)","(.+)"\)', sheet[f"{c}{decision.CHARTS - 1}"].value)
        assert link is not None, c
        assert formulas.defined_names[name].attr_text.replace("$", "") == f"Compare!{link[1]}"
        titles.add(formulas["Compare"][link[1]].value)
    assert len(titles) == 8
    assert decision.CHARTS - 1 < decision.SCREEN_ROWS
