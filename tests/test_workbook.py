"""The workbook that a user gets: complete, reproducible, traceable, and right when somebody edits it."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.workbook import Workbook
from python_calamine import CalamineWorkbook

from udfs import FUNCTIONS
from workbook.__main__ import main
from workbook.build import ORDER, build
from workbook.check import check
from workbook.engine import evaluate
from workbook.recalc import recalc
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
    power = sum(kw * one["PUE"] * 730 * one["electricity (USD/kWh)"] * g for g in growth)
    costs = [(1 + inputs["in_CostEscalator"]) ** ((m - 1) // 12) for m in range(1, months + 1)]
    upkeep = sum((servers + network) * inputs["in_Maintenance"] / 12 * g for g in costs)
    room = sum(labels["IT power when busy"] * inputs["in_FacilityCost"] * g for g in costs)
    staff = sum(one["devices"] * inputs["in_StaffCost"] / 12 * g for g in costs)
    resale = servers * (1 - inputs["in_ResidualDecline"]) ** (months / 12)
    cash = upfront + power + upkeep + room + staff - resale
    assert labels["Upfront cash"] == pytest.approx(upfront, rel=1e-12)
    assert labels["Electricity"] == pytest.approx(power, rel=1e-12)
    assert labels["Net cash cost"] == pytest.approx(cash, rel=1e-12)
    hours = one["devices"] * 730 * months
    assert labels["Cost of a device-hour owned"] == pytest.approx(cash / hours, rel=1e-12)
    tokens = labels["Generated tokens per second when busy"] * inputs["in_Utilisation"] * 730 * 3600 * months / 1e6
    assert labels["Cost of a million generated tokens"] == pytest.approx(cash / tokens, rel=1e-12)


def test_dates_are_dates(values: Workbook) -> None:
    assert isinstance(values["TCO"]["E5"].value, dt.datetime)
    assert isinstance(
        values["Reg_Prices"].cell(6, [c.value for c in values["Reg_Prices"][5]].index("as_of") + 1).value, dt.datetime
    )


# ------------------------------------------------------------------ what users do to it


def edited(plan: Path, tmp_path: Path, change: Any) -> Workbook:
    """The workbook after an edit, saved by another program and recalculated by ours."""
    book = openpyxl.load_workbook(plan)
    change(book)
    book.save(tmp_path / "edited.xlsx")
    report = recalc(tmp_path / "edited.xlsx", tmp_path / "answered.xlsx", FUNCTIONS)
    assert not report.missing, report.missing
    return openpyxl.load_workbook(tmp_path / "answered.xlsx", data_only=True)


@pytest.mark.slow
def test_own_row_works_everywhere(plan: Path, tmp_path: Path) -> None:
    """A new row below the hardware table, chosen in Options, reaches the money."""

    def change(book: Workbook) -> None:
        sheet = book["Reg_Hardware"]
        table = sheet.tables["tblHardware"]
        left, bottom = table.ref.split(":")
        last = sheet[bottom].row
        head = {c.value: c.column for c in sheet[5]}
        for name, value in {"key": "MyChip", "memory (GB)": 320.5, "bandwidth (GB/s)": 9000.25, "fp8 (TFLOP/s)": 5000,
                            "tdp (W)": 1200, "memory_class": "hbm", "link (GB/s)": 900}.items():  # fmt: skip
            sheet.cell(last + 1, head[name], value)
        sheet.cell(last + 1, head["spec"], sheet.cell(last, head["spec"]).value)
        ref = f"{left}:{re.sub('[0-9]+', '', bottom)}{last + 1}"
        table.ref = table.autoFilter.ref = ref
        options = book["Options"]
        options["B6"], options["C6"], options["H6"] = None, "MyChip", 400_000

    book = edited(plan, tmp_path, change)
    engine = {r[0].value: r[3].value for r in book["Engine"].iter_rows(min_row=6)}
    assert engine["Memory bandwidth"] == 9000.25
    assert engine["Dense peak rate at the chosen precision"] == 5000
    assert engine["IT power of all servers when busy"] == pytest.approx(64 * 1.2 * 1.25)
    assert book["Options"]["M6"].value == "own price"
    assert check(tmp_path / "answered.xlsx") == []


@pytest.mark.slow
def test_a_plan_that_does_not_fit_says_so_and_totals_fail_loudly(plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        book["Options"]["F6"] = 1  # TP 1: 70 GB of weights and the cache do not fit into one H100

    book = edited(plan, tmp_path, change)
    live = {r[0].value: r[3].value for r in book["Engine_Live"].iter_rows(min_row=6)}
    assert live["Time between tokens"].startswith("#MLS! does not fit: needs 83.98 GB, usable 81.24 GB")
    assert live["Memory needed by one replica"] == pytest.approx(83.975479296)
    assert book["Decision"]["D20"].value == "#N/A"
    assert "cannot be computed" in book["Decision"]["A3"].value
    assert book["Decision"]["E20"].value > 0
    problems = check(tmp_path / "answered.xlsx")
    assert any("fits in memory" in p for p in problems)
    assert main(["check", str(tmp_path / "answered.xlsx")]) == 1


@pytest.mark.slow
def test_an_unknown_key_is_named(plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        book["Options"]["G6"] = "fp7"

    book = edited(plan, tmp_path, change)
    live = {r[0].value: r[3].value for r in book["Engine_Live"].iter_rows(min_row=6)}
    assert "precision has no 'fp7'; did you mean" in live["Time between tokens"]


@pytest.mark.slow
def test_other_models_and_cases(plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        sheet = book["Inputs"]
        row = next(c.row for c in sheet["A"] if c.value == "Model to serve")
        sheet[f"E{row}"] = "Qwen3_32B"
        sheet["B4"] = "High"

    book = edited(plan, tmp_path, change)
    assert book["TCO"]["C7"].value == 60
    assert check(tmp_path / "answered.xlsx") == []
    assert "Qwen3_32B" in book["Decision"]["A4"].value


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 8])
def test_any_number_of_options(count: int, tmp_path: Path) -> None:
    path = tmp_path / "n.xlsx"
    assert build(path, options=count) == {}
    assert check(path) == []


@pytest.mark.slow
def test_evaluating_the_file_again_gives_the_same_values(plan: Path, values: Workbook) -> None:
    again = evaluate(plan, FUNCTIONS)
    assert not again.missing
    for (sheet, at), value in again.values.items():
        kept = values[sheet][at].value
        if isinstance(value, float) and not isinstance(kept, dt.datetime):
            assert kept == pytest.approx(value, rel=1e-15), (sheet, at)


# ------------------------------------------------------------------ the terminal


@pytest.mark.slow
def test_nothing_is_overwritten(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.xlsx"
    shutil.copy(plan, mine)
    before = mine.read_bytes()
    assert main(["build", str(mine)]) == 1
    assert mine.read_bytes() == before
    assert "mine.xlsx" in capsys.readouterr().err
    assert main(["build", str(mine), "--force"]) == 0
    backups = list(tmp_path.glob("mine.*.bak.xlsx"))
    assert [b.read_bytes() for b in backups] == [before]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "missing.xlsx"], "missing.xlsx"),
        (["check", "text.xlsx"], "text.xlsx"),
        (["recalc", "missing.xlsx", "out.xlsx"], "missing.xlsx"),
        (["recalc", "text.xlsx", "text.xlsx"], "text.xlsx"),
        (["build", "no/such/folder/plan.xlsx"], "no/such/folder"),
        (["build", "plan.xlsx", "--options", "99"], "1 to 8"),
        (["eval", "=1+"], "=1+"),
        (["eval", "=A1*2"], "A1"),
    ],
)
def test_mistakes_get_a_sentence(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.xlsx").write_text("this is no workbook")
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text.xlsx"]


def test_eval_answers_with_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", '=MLS_KVCACHE("Llama3_8B",4096,32)']) == 0
    assert capsys.readouterr().out == "17.17986918 GB\n"
    assert main(["eval", '=MLS_SERVING("Llama3_70B","H100",4096)']) == 1
    assert "does not fit" in capsys.readouterr().out


def test_the_native_spec_of_every_row_is_the_row(values: Workbook) -> None:
    """What the sheet's text formula spells is read back as exactly the thing of the registry."""
    from workbook.sheets.registries import REGISTRY_OF, SHEETS, TABLES

    count = 0
    for sheet_name, (_, _, registries) in SHEETS.items():
        sheet = values[sheet_name]
        for registry in registries:
            area = sheet.tables[TABLES[registry.kind]].ref
            header, *rows = [[c.value for c in row] for row in sheet[area]]
            for row in rows:
                record = dict(zip(header, row, strict=True))
                thing = REGISTRY_OF[registry.kind][record["key"]]
                assert registry.resolve(record["spec"]) == thing, record["key"]
                count += 1
    assert count > 300
