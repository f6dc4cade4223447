"""The sheet Examples in a book of its own: every result comes out, in two engines, and a changed input shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy_financial as npf
import openpyxl
import pytest
from openpyxl import Workbook
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.table import Table
from openpyxl.worksheet.worksheet import Worksheet
from test_worked_examples import REPLAY, db, inputs_of, xirr, xnpv

import mlsysim as m
from mlsysim.things import TAX_SCHEDULES
from udfs.libreoffice import find_soffice, recalculate
from workbook.engine import evaluate
from workbook.finalize import finalize
from workbook.sheets.examples import NO, SHEET, YES, add_examples, calculators, cases
from workbook.style import add_styles
from workbook.whitelist import lint

HOUR, YEAR, KWH = 3600.0, 8760 * 3600.0, 3.6e6
NO_FUNCTIONS: dict[str, Any] = {}
Found = dict[tuple[str, str], list[Any]]


def draft() -> tuple[Workbook, str, int]:
    """The sheet, and the tax table that it looks shares up in."""
    book = Workbook()
    add_styles(book)
    tax = book.active
    assert tax is not None
    tax.title = "Reg_Finance"
    tax.append(["key", *(f"year_{n}" for n in range(1, 9))])
    for key, schedule in TAX_SCHEDULES.items():
        tax.append([key, *schedule.shares])
    tax.add_table(Table(displayName="tblTax", ref=f"A1:I{len(TAX_SCHEDULES) + 1}"))
    book.defined_names["list_tax"] = DefinedName("list_tax", attr_text="tblTax[key]")
    return book, *add_examples(book)


def cells(sheet: Worksheet) -> dict[str, dict[str, int]]:
    """The row of every line, by example and label-independent name."""
    out: dict[str, dict[str, int]] = {}
    row = 1
    for case in (*cases(), *calculators()):
        while not str(sheet[f"A{row}"].value).startswith(f"{case.id}  "):
            row += 1
        out[case.id] = {}
        for line in (*case.inputs, *case.outputs):
            row += 1
            while sheet[f"A{row}"].value != line.label or sheet[f"B{row}"].value not in (line.unit, None):
                row += 1
            out[case.id][line.name] = row
    return out


def computed(
    tmp_path: Path, changes: dict[tuple[str, str], Any] | None = None
) -> tuple[Any, dict[str, dict[str, int]]]:
    """A function that answers with a value of the sheet (example, name, column), after changes to inputs."""
    book, _, _ = draft()
    place = cells(book[SHEET])
    for (case, name), value in (changes or {}).items():
        for i, one in enumerate(value if isinstance(value, list) else [value]):
            cell = book[SHEET].cell(place[case][name], 3 + i)
            assert cell.style == "mls input"
            cell.value = one
    book.save(tmp_path / "changed.xlsx")
    result = evaluate(tmp_path / "changed.xlsx", NO_FUNCTIONS)
    assert result.missing == {}
    return lambda case, name, column="C": result.values[SHEET, f"{column}{place[case][name]}"], place


def test_every_result_comes_out_and_equals_python(tmp_path: Path) -> None:
    at, _ = computed(tmp_path)
    for case in cases():
        given = inputs_of(case.id)
        for line in case.outputs:
            assert at(case.id, line.name, "I") == YES, (case.id, line.name)
            assert at(case.id, line.name) == pytest.approx(REPLAY[case.id][line.name](given), rel=1e-9)


def test_the_range_and_the_count_are_those_of_the_results(tmp_path: Path) -> None:
    book, passed, count = draft()
    sheet, area = passed.split("!")
    first, last = area.replace("$", "").split(":")
    column = [cell[0].value for cell in book[sheet][f"{first}:{last}"]]
    assert count == sum(isinstance(v, str) and v.startswith("=") for v in column) == sum(map(len, REPLAY.values()))
    book.save(tmp_path / "draft.xlsx")
    assert evaluate(tmp_path / "draft.xlsx", NO_FUNCTIONS).values[SHEET, "C3"] == count


def test_a_changed_input_fails_its_results_and_no_other(tmp_path: Path) -> None:
    at, _ = computed(tmp_path, {("W01", "price"): 900_000, ("W09", "finance"): "ten"})
    shown = {line.name: at("W01", line.name, "I") for line in cases()[0].outputs}
    assert [v for n, v in shown.items() if n.startswith("breakeven")] == [NO] * 3
    assert shown["on_demand_usd_per_year_8760h"] == YES
    assert at("W09", "MIRR", "I") == NO  # an error is no number
    assert at("W09", "IRR", "I") == YES


def test_formulas_keep_to_the_list_and_call_nothing_of_ours() -> None:
    book, _, _ = draft()
    formulas = [c.value for row in book[SHEET] for c in row if c.data_type == "f"]
    assert len(formulas) > 450
    assert [f for f in formulas if lint(f) or "MLS_" in f] == []


# ---------------------------------------------------------------- calculators, with other figures than the defaults


def test_break_even_of_ones_own(tmp_path: Path) -> None:
    at, _ = computed(tmp_path, {("C1", "price"): 833806, ("C1", "running"): 0.87, ("C1", "rental"): 98.32})
    ours = m.breakeven_hours(price=833_806, rental=98.32 / HOUR, running=0.87 / HOUR) / HOUR
    assert at("C1", "hours") == pytest.approx(ours)
    assert round(at("C1", "hours")) == 8556
    annual = m.straight_line(price=833_806, life=4 * YEAR, residual_value=30_000) + 20_000
    share = m.breakeven_utilisation(annual_cost=annual, devices=1, rental=98.32 / HOUR, running=0.87 / HOUR)
    assert at("C1", "share") == pytest.approx(share)
    at, _ = computed(tmp_path, {("C1", "utilisation"): at("C1", "share"), ("C1", "price"): 833806,
                                ("C1", "running"): 0.87, ("C1", "rental"): 98.32})  # fmt: skip
    assert at("C1", "cloud") == pytest.approx(98.32)
    assert at("C1", "saving") == pytest.approx(0, abs=1e-6)


def test_data_centre_by_class(tmp_path: Path) -> None:
    cost, months = [50e6, 9e6, 60e6, 20e6, 1e6, 0], [36, 48, 180, 180, 60, 12]
    left = [5e6, 0, 0, 0, 0, 0]
    at, _ = computed(tmp_path, {("C2", "cost"): cost, ("C2", "months"): months, ("C2", "rate"): [0.06] * 6,
                                ("C2", "is_power"): [0, 0, 1, 0, 1, 0], ("C2", "residual_value"): left})  # fmt: skip
    payments = [-float(npf.pmt(0.06 / 12, n, c, -r)) for c, n, r in zip(cost, months, left, strict=True)]
    assert [at("C2", "payment", c) for c in "CDEFGH"] == pytest.approx(payments)
    ours = [
        m.annuity(price=c, periods=n, rate=0.005, residual_value=r) for c, n, r in zip(cost, months, left, strict=True)
    ]
    assert payments == pytest.approx(ours)
    bill = m.electricity_cost(it_power=8e6, hours=730 * HOUR, usd_per_kwh=0.07 / KWH, pue=1.4, load_factor=0.8)
    assert at("C2", "total") == pytest.approx(sum(payments) + bill + 80_000)
    burdened = m.burdened_power(facility_payment=payments[2] + payments[4], power_share=1, electricity_bill=bill)
    assert at("C2", "burdened") == pytest.approx(burdened)
    shares = sum(at("C2", "share", c) for c in "CDEFGH") + at("C2", "electricity_share") + 80_000 / at("C2", "total")
    assert shares == pytest.approx(1)


def test_prompts_and_tokens(tmp_path: Path) -> None:
    at, _ = computed(tmp_path, {("C3", "peak"): 33, ("C3", "whole"): 1, ("C3", "utilisation"): 0.4,
                                ("C3", "price_ratio"): 4, ("C3", "licences"): 1})  # fmt: skip
    assert (at("C3", "instances"), at("C3", "servers")) == (5, 2)
    year = m.server_year(price=320_000, life=4 * YEAR, software=4500, hosting=3000)
    assert at("C3", "annual") == pytest.approx(2 * year)
    fee = m.request_cost(annual_cost=2 * year, requests_per_s=33, utilisation=0.4)
    assert at("C3", "prompts") == pytest.approx(1000 * fee)
    price = m.input_token_price(usd_per_request=fee, input_tokens=1000, output_tokens=300, price_ratio=4)
    assert at("C3", "input_price") == pytest.approx(1e6 * price)
    assert at("C3", "output_price") == pytest.approx(4e6 * price)
    assert at("C3", "blended") * 1300 == pytest.approx(at("C3", "only_output") * 300)


def test_cluster_month_with_failures(tmp_path: Path) -> None:
    """Without spares the whole job waits for the repair; one column, whatever the others hold."""
    at, _ = computed(tmp_path, {("C4", "waiting"): [1024, 8, 8], ("C4", "setup"): [72_000, 1, 2]})
    lost = m.failure_cost(failures=20, usd_per_device_hour=2.2 / HOUR, devices=1024, recovery_time=0.35 * HOUR,
                          interval=HOUR, repair_time=4 * HOUR, waiting=1024)  # fmt: skip
    assert at("C4", "lost") == pytest.approx(lost)
    rent = m.rental_cost(device_hours=1024 * 730 * HOUR, rental=2.2 / HOUR)
    month = m.cluster_month(accelerators=rent, storage=10_000, lost_work=lost, setup=72_000, term=36)
    assert at("C4", "month") == pytest.approx(month)
    assert at("C4", "effective") == pytest.approx(month / (1024 * 730 * (1 - lost / rent)))
    assert at("C4", "gap", "D") == pytest.approx(at("C4", "month", "D") - month)


def test_the_published_cluster_fits_the_calculator(tmp_path: Path) -> None:
    """W08 typed into the calculator of its kind gives the published months."""
    given = inputs_of("W08")
    same = ("rental", "storage", "network", "cpu", "support", "setup", "debugging")
    changes: dict[tuple[str, str], Any] = {("C4", name): given[name] for name in same}
    changes |= {("C4", name): [value] * 3 for name, value in
                {"gpus": 4096, "job": 4096, "hours_per_month": 720, "failures": 0, "term": 36}.items()}  # fmt: skip
    at, _ = computed(tmp_path, changes | {("C4", "uplift"): given["lost_work"]})
    shown = [at("C4", "month", c) for c in "CDE"]
    assert shown == pytest.approx([5_539_138, 6_989_395, 6_200_693], rel=1e-6)
    assert at("C4", "gap", "E") == pytest.approx(661_555, rel=1e-6)


def test_training_run_and_carbon(tmp_path: Path) -> None:
    at, _ = computed(tmp_path, {("C5", "age"): 2, ("C5", "staff"): 1e6, ("C6", "life"): 4})
    value = m.residual(price=48_000, age=2 * YEAR, annual_decline=1 - 10**-0.14)
    assert at("C5", "value") == pytest.approx(value)
    servers = m.run_depreciation(value=value, device_hours=1e7 * HOUR)
    energy = m.electricity(power=700 * 1.8, device_hours=1e7 * HOUR, pue=1.1, load_factor=0.75) / KWH
    assert at("C5", "energy") == pytest.approx(energy)
    assert at("C5", "total") == pytest.approx(servers / 0.81 + energy * 0.08 + 1e6)
    energy = m.electricity(power=1000, device_hours=1e6 * HOUR, load_factor=0.8)
    carbon = m.carbon(energy=energy, pue=1.2, intensity=0.4 / KWH) + 160 * 1e6 / (4 * 8760)
    assert at("C6", "total") == pytest.approx(carbon / 1000)


def test_depreciation_by_year(tmp_path: Path) -> None:
    at, _ = computed(tmp_path, {("C7", "method"): "MACRS7_HY", ("C7", "expensed"): 100_000, ("C7", "bonus"): 0.4,
                                ("C7", "life"): 6, ("C7", "first_months"): 7, ("C7", "business"): 0.9})  # fmt: skip
    rest = 800_000 * 0.6
    deducted = [rest * share for share in TAX_SCHEDULES["MACRS7_HY"].shares]
    deducted[0] += 100_000 + 800_000 * 0.4
    years = "CDEFGHIJ"
    assert [at("C7", "deduction", c) for c in years] == pytest.approx(deducted)
    assert [at("C7", "left", c) for c in years] == pytest.approx([900_000 - sum(deducted[: n + 1]) for n in range(8)])
    assert at("C7", "present") == pytest.approx(0.25 * float(npf.npv(0.08, [0, *deducted])))
    assert [at("C7", "db", c) for c in years[:7]] == pytest.approx(db(1e6, 1e5, 6, 7))
    assert at("C7", "db", "J") == 0
    for method in ("sln", "syd", "ddb"):
        assert sum(at("C7", method, c) for c in years) == pytest.approx(900_000), method


def test_cash_flows_and_loans(tmp_path: Path) -> None:
    flows = [-500_000, -100_000, 250_000, 250_000, 200_000, 90_000, 40_000, 0]
    at, _ = computed(tmp_path, {("C8", "flows"): flows, ("C8", "years"): 6, ("C9", "advance"): 1})
    dates = list(next(line.values for line in calculators()[7].inputs if line.name == "dates"))
    assert at("C8", "npv") == pytest.approx(npf.npv(0.08, flows))
    assert at("C8", "irr") == pytest.approx(npf.irr(flows[:7]))
    assert at("C8", "mirr") == pytest.approx(npf.mirr(flows[:7], 0.08, 0.06))
    assert at("C8", "xnpv") == pytest.approx(xnpv(0.08, flows, dates))
    assert at("C8", "xirr") == pytest.approx(xirr(flows, dates), rel=1e-9)
    assert at("C8", "annual") == pytest.approx(-float(npf.pmt(0.08, 6, npf.npv(0.08, flows))))
    assert at("C8", "payback") == 4
    payment = -float(npf.pmt(0.07 / 12, 48, 1e6, -1e5, "begin"))
    assert at("C9", "payment") == pytest.approx(payment)
    monthly = 1.08 ** (1 / 12) - 1
    present = sum(payment / (1 + monthly) ** n for n in range(48)) + 1e5 / 1.08**4
    assert at("C9", "present") == pytest.approx(present)
    assert at("C9", "growth") == pytest.approx(1.1 ** (1 / 3) - 1)


@pytest.mark.libreoffice
@pytest.mark.skipif(find_soffice() is None, reason="no LibreOffice here")
@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_libreoffice_agrees_on_every_cell(tmp_path: Path, locale: str) -> None:
    book, _, _ = draft()
    book.save(tmp_path / "draft.xlsx")
    assert finalize(tmp_path / "draft.xlsx", tmp_path / "examples.xlsx", NO_FUNCTIONS) == {}
    functions = f"{Path(__file__).stem}:NO_FUNCTIONS"
    result = recalculate(tmp_path / "examples.xlsx", tmp_path / "out", functions, locale)
    ours = openpyxl.load_workbook(tmp_path / "examples.xlsx", data_only=True)[SHEET]
    theirs = openpyxl.load_workbook(result, data_only=True)[SHEET]
    compared = 0
    for row in book[SHEET]:
        for cell in (c for c in row if c.data_type == "f"):
            one, two = ours[cell.coordinate].value, theirs[cell.coordinate].value
            assert two == (pytest.approx(one, rel=1e-9) if isinstance(one, int | float) else one), cell.coordinate
            compared += 1
    assert compared > 450
