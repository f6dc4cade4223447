"""The workbook that a user gets: complete, reproducible, traceable, and right when somebody edits it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy_financial as npf
import openpyxl
import pytest
from openpyxl.workbook import Workbook
from python_calamine import CalamineWorkbook

from mlsysim.registry import fields
from mlsysim.things import Fleet, Node
from udfs import FUNCTIONS
from workbook.build import ORDER, build
from workbook.check import check
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


def test_every_formula_has_a_value_and_none_is_an_error(formulas: Workbook, values: Workbook, plan: Path) -> None:
    found = all_formulas(formulas)
    assert len(found) > 4000
    calamine = CalamineWorkbook.from_path(str(plan))
    grids = {n: calamine.get_sheet_by_name(n).to_python(skip_empty_area=False) for n in formulas.sheetnames}
    for sheet, at, _ in found:
        value = values[sheet][at].value
        assert value is not None, f"{sheet}!{at} is empty"
        assert not (isinstance(value, str) and value.startswith("#")), f"{sheet}!{at} = {value}"
        cell = values[sheet][at]
        assert grids[sheet][cell.row - 1][cell.column - 1] != "" or value == "", f"{sheet}!{at} is empty for calamine"


def test_our_functions_stand_on_one_sheet_only(formulas: Workbook) -> None:
    assert {sheet for sheet, _, f in all_formulas(formulas) if "MLS_" in f} == {"Engine_Live"}


def test_every_formula_is_on_the_whitelist(formulas: Workbook) -> None:
    for sheet, at, formula in all_formulas(formulas):
        plain = re.sub(r"\w+\[(?:\[[^\]]*\],?)+\]|\w+\[[^\]]*\]", "A1:A9", formula) if "tbl" in formula else formula
        offences = [o for o in lint(plain, FUNCTIONS) if "A1:A9" not in o and "range" not in o]
        assert not offences, f"{sheet}!{at}: {offences}"


# ------------------------------------------------------------------ money that can be traced


def relative(formula: str, column: str) -> str:
    """A formula of the timeline with its own column replaced."""
    return re.sub(rf"(?<![A-Z$]){column}(?=\$?\d)", "@", formula)


def test_one_formula_per_row_across_time(formulas: Workbook) -> None:
    sheet = formulas["TCO"]
    for row in sheet.iter_rows(min_row=5, min_col=5):
        shapes = {relative(f, c.column_letter) for c in row if (f := text_of(c))}
        assert len(shapes) <= 1, f"row {row[0].row}: {sorted(shapes)[:3]}"


def test_every_option_has_the_same_block(formulas: Workbook) -> None:
    from workbook.sheets.tco import HEIGHT, TOP

    sheet = formulas["TCO"]
    for offset in range(9, HEIGHT - 3):
        shapes = set()
        for option in range(4):
            start = TOP + option * HEIGHT
            formula = text_of(sheet.cell(start + offset, 6)) or ""
            shapes.add(
                re.sub(
                    r"(?<=[A-Z$])(\d+)", lambda m, s=start: m[1] if int(m[1]) < TOP else f"<{int(m[1]) - s}>", formula
                )
            )
        assert len(shapes) == 1, shapes


def test_money_holds_no_number_but_unit_factors(formulas: Workbook) -> None:
    for name in ("TCO", "Engine", "Decision"):
        for sheet, at, formula in all_formulas(formulas):
            if sheet != name:
                continue
            bare = re.sub(r'"[^"]*"', "", formula)
            bare = re.sub(r"\$?[A-Z]{1,3}\$?\d+|\w+\[[^\]]*\]|in_\w+", "", bare)
            numbers = {float(n) for n in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", bare)}
            assert numbers <= {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 100, 1000, 3600, 1_000_000}, f"{sheet}!{at}: {formula}"


def test_no_money_total_reads_the_live_sheet(formulas: Workbook) -> None:
    assert not [a for s, a, f in all_formulas(formulas) if s in ("TCO",) and "Engine_Live" in f]


def test_totals_by_hand(values: Workbook) -> None:
    """Option 1 of the default story, recomputed in Python from the cells it depends on."""
    options, tco = values["Options"], values["TCO"]
    inputs = {formula.value: None for formula in ()}
    names = {n: values.defined_names[n].attr_text for n in values.defined_names}
    for name, target in names.items():
        if name.startswith("in_"):
            sheet, at = target.split("!")
            inputs[name] = values[sheet][at.replace("$", "")].value
    head = {c.value: c.column for c in options[5]}
    one = {k: options.cell(6, col).value for k, col in head.items()}
    labels = {tco.cell(r, 1).value: tco.cell(r, 3).value for r in range(13, 49)}
    months = inputs["in_HorizonMonths"]
    servers = one["servers"] * one["price used (USD per server)"]
    network = servers * inputs["in_NetworkShare"]
    upfront = (servers + network) * (1 + inputs["in_InstallShare"])
    kw = labels["Average IT power"]
    growth = [(1 + inputs["in_EnergyEscalator"]) ** ((m - 1) // 12) for m in range(1, months + 1)]
    power = sum(kw * one["PUE"] * 730 * one["electricity (USD per kWh)"] * g for g in growth)
    costs = [(1 + inputs["in_CostEscalator"]) ** ((m - 1) // 12) for m in range(1, months + 1)]
    upkeep = sum((servers + network) * inputs["in_Maintenance"] / 12 * g for g in costs)
    room = sum(labels["Contracted IT power: nameplate, else busy"] * inputs["in_FacilityCost"] * g for g in costs)
    staff = sum(one["devices"] * inputs["in_StaffCost"] / 12 * g for g in costs)
    resale = servers * (1 - inputs["in_ResidualDecline"]) ** (months / 12)
    cash = upfront + power + upkeep + room + staff - resale
    electricity = [kw * one["PUE"] * 730 * one["electricity (USD per kWh)"] * g for g in growth]
    other = [(upkeep + room + staff) / sum(costs) * g for g in costs]
    assert labels["Upfront cash"] == pytest.approx(upfront, rel=1e-12)
    assert labels["Electricity"] == pytest.approx(power, rel=1e-12)
    assert labels["Net cash cost"] == pytest.approx(cash, rel=1e-12)
    # present values by numpy-financial, at the monthly rate of the yearly one
    monthly = (1 + inputs["in_DiscountRate"]) ** (1 / 12) - 1
    yearly = [electricity[m] + other[m] for m in range(months)]
    npv = upfront + npf.npv(monthly, [0, *yearly]) - resale / (1 + monthly) ** months
    assert labels["Net present cost"] == pytest.approx(npv, rel=1e-12)
    annuity = -npf.pmt(inputs["in_DiscountRate"], months / 12, npv)
    assert labels["Equivalent annual cost"] == pytest.approx(annuity, rel=1e-12)
    discounted = sum(1 / (1 + monthly) ** m for m in range(1, months + 1))
    assert labels["Device-hour owned, levelised"] == pytest.approx(npv / (one["devices"] * 730 * discounted), rel=1e-12)
    rate = labels["Generated tokens per second when busy"] * inputs["in_Utilisation"] * 730 * 3600 / 1e6
    assert labels["Million generated tokens, levelised"] == pytest.approx(npv / (rate * discounted), rel=1e-12)
    assert labels["Million tokens, undiscounted"] == pytest.approx(cash / (rate * months), rel=1e-12)


def test_dates_are_dates(values: Workbook) -> None:
    assert isinstance(values["TCO"]["E5"].value, dt.datetime)
    assert isinstance(
        values["Reg_Prices"].cell(6, [c.value for c in values["Reg_Prices"][5]].index("as_of") + 1).value, dt.datetime
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
                if "price" in fields(registry.kind):  # prices stand in Reg_Prices only
                    thing = dataclasses.replace(thing, price=None)
                if registry.kind is Fleet:
                    thing = dataclasses.replace(thing, node=_unpriced(thing.node))
                if registry.kind is Node:
                    thing = _unpriced(thing)
                assert registry.resolve(record["spec"]) == thing, record["key"]
                count += 1
    assert count > 300
