"""The workbook in use: edited cells, own rows, slips that must fail a check, and the terminal."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.workbook import Workbook

from udfs import FUNCTIONS
from workbook.__main__ import main
from workbook.build import build
from workbook.check import check
from workbook.engine import evaluate
from workbook.plan import read_plan
from workbook.recalc import recalc
from workbook.sheets.money import result
from workbook.sheets.monthly import Layout


@pytest.fixture(scope="module")
def values(plan: Path) -> Workbook:
    return openpyxl.load_workbook(plan, data_only=True)


# ------------------------------------------------------------------ what users do to it


def at_option(book: Workbook, heading: str, option: int = 1) -> str:
    """Address of a column of the Options table in the row of an option."""
    column = next(c.column_letter for c in book["Options"][5] if c.value == heading)
    return f"{column}{5 + option}"


def named(book: Workbook, name: str) -> tuple[str, str]:
    """Sheet and address of a named cell."""
    sheet, at = book.defined_names[name].attr_text.replace("$", "").split("!")
    return sheet, at


def base_of(book: Workbook, name: str) -> tuple[str, str]:
    """Sheet and address of the base figure of an input."""
    sheet, at = named(book, name)
    return sheet, f"E{re.sub('[A-Z]', '', at)}"


def edited(plan: Path, tmp_path: Path, change: Any) -> Workbook:
    """The workbook after an edit, saved by another program and recalculated by ours."""
    book = openpyxl.load_workbook(plan)
    change(book)
    book.save(tmp_path / "edited.xlsx")
    report = recalc(tmp_path / "edited.xlsx", tmp_path / "answered.xlsx", FUNCTIONS)
    assert not report.missing, report.missing
    return openpyxl.load_workbook(tmp_path / "answered.xlsx", data_only=True)


@pytest.mark.slow
def test_own_row_works_everywhere(small_plan: Path, tmp_path: Path) -> None:
    """A new row below the hardware table, chosen in Options, reaches the money."""

    def change(book: Workbook) -> None:
        sheet = book["Reg_Hardware"]
        table = sheet.tables["tblHardware"]
        left, bottom = table.ref.split(":")
        last = sheet[bottom].row
        head = {c.value: c.column for c in sheet[5]}
        facts = {"key": "MyChip", "memory (GB)": 320.5, "bandwidth (GB per s)": 9000.25, "fp8 (TFLOP per s)": 5000}
        facts |= {"tdp (W)": 1200, "memory_class": "hbm", "link (GB per s)": 900}
        for name, value in facts.items():
            sheet.cell(last + 1, head[name], value)
        sheet.cell(last + 1, head["spec"], sheet.cell(last, head["spec"]).value)
        ref = f"{left}:{re.sub('[0-9]+', '', bottom)}{last + 1}"
        table.ref = table.autoFilter.ref = ref
        options = book["Options"]
        for heading, value in (("server", None), ("device", "MyChip"), ("own price", 400_000)):
            options[at_option(book, heading)] = value

    book = edited(small_plan, tmp_path, change)
    engine: dict[str, Any] = {}
    for r in book["Engine"].iter_rows(min_row=6):
        engine.setdefault(r[0].value, r[3].value)
    assert engine["Memory bandwidth"] == 9000.25
    assert engine["Dense peak rate at the chosen precision"] == 5000
    assert engine["IT power of one server, busy"] == pytest.approx(8 * 1.2 * 1.25)
    assert book["Options"][at_option(book, "price basis")].value == "own price"
    assert check(tmp_path / "answered.xlsx") == []


@pytest.mark.slow
def test_a_plan_that_does_not_fit_says_so_and_totals_fail_loudly(plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        book["Options"][at_option(book, "device")] = "H100"
        book["Options"][at_option(book, "server")] = "DGX_H100"
        book["Options"][at_option(book, "servers (blank: as needed)")] = 8

    book = edited(plan, tmp_path, change)  # TP 1: 70 GB of weights and the cache do not fit into one H100
    live = {r[0].value: r[3].value for r in book["Engine_Live"].iter_rows(min_row=6)}
    assert live["Time between tokens, decoding alone"].startswith("#MLS! does not fit: needs 83.98 GB, usable 81.24 GB")
    assert live["Memory needed by one replica"] == pytest.approx(83.975479296)
    assert book["Money"][result("npv", 0).split("!")[1].replace("$", "")].value == "#N/A"
    assert book["Money"][result("npv", 1).split("!")[1].replace("$", "")].value > 0
    assert book["Decision"]["A3"].value.startswith("Checks fail")
    problems = check(tmp_path / "answered.xlsx")
    assert any("fits in memory" in p for p in problems)
    assert main(["check", str(tmp_path / "answered.xlsx")]) == 1


@pytest.mark.slow
def test_an_unknown_key_is_named(small_plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        book["Options"][at_option(book, "precision")] = "fp7"

    book = edited(small_plan, tmp_path, change)
    live = {r[0].value: r[3].value for r in book["Engine_Live"].iter_rows(min_row=6)}
    assert "precision has no 'fp7'; did you mean" in live["Time between tokens, decoding alone"]


@pytest.mark.slow
def test_other_models_and_cases(plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        for name, value in (("in_Model", "Qwen3_32B"), ("in_HorizonMonths", 60)):
            sheet, at = base_of(book, name)
            book[sheet][at] = value
        sheet, at = named(book, "in_Scenario")
        book[sheet][at] = "High"
        api = next(i for i in range(1, 9) if book["Options"][at_option(book, "financing", i)].value == "API")
        book["Options"][at_option(book, "own price", api)] = 0.9  # no price of this model on record

    book = edited(plan, tmp_path, change)
    assert book["Monthly"]["D7"].value == 60
    assert check(tmp_path / "answered.xlsx") == []
    assert "Qwen3_32B" in book["Decision"]["A2"].value


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 8])
def test_any_number_of_options(count: int, tmp_path: Path) -> None:
    path = tmp_path / "n.xlsx"
    assert build(path, read_plan(count)) == {}
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


# ------------------------------------------------------------------ slips that must not pass


SLIPS: dict[str, tuple[str, str, object]] = {  # what goes wrong: where, heading or name or line, new value
    "another device in the same server": ("option", "device", "H100"),
    "half the devices in the same server": ("option", "devices per server", 4),
    "a server that nobody knows": ("option", "server", "DGX_B2OO"),
    "TP across servers": ("option", "TP", 16),
    "a price of zero": ("option", "own price", 0),
    "a price in words": ("option", "own price", "TBD"),
    "a financing that nobody knows": ("option", "financing", "barter"),
    "an empty input": ("input", "in_HorizonMonths", None),
    "an input beyond its limits": ("input", "in_HorizonMonths", 61),
    "an unknown scenario": ("name", "in_Scenario", "Worst"),
    "a driver that nobody knows": ("line", "driver", "moon"),
    "an overwritten month of electricity": ("month", "electricity", 0),
    "an overwritten month of tokens": ("month", "served", 1e9),
    "an overwritten month of maintenance": ("month", "running7", 0),
}


@pytest.fixture(scope="module")
def book(small_plan: Path) -> Workbook:
    return openpyxl.load_workbook(small_plan)


@pytest.mark.slow
@pytest.mark.parametrize("slip", SLIPS)
def test_slips_fail_a_check(slip: str, book: Workbook, tmp_path: Path) -> None:
    where, what, value = SLIPS[slip]
    if where == "option":
        sheet, at = "Options", at_option(book, what)
    elif where == "input":
        sheet, at = base_of(book, what)
    elif where == "name":
        sheet, at = named(book, what)
    elif where == "line":
        sheet, at = "Lines", "D12"
    else:
        sheet, at = "Monthly", f"P{Layout(read_plan(1)).row(what, 0)}"
    before = book[sheet][at].value
    assert before != value
    try:
        book[sheet][at].value = value
        book.save(tmp_path / "edited.xlsx")
    finally:
        book[sheet][at].value = before
    answers = evaluate(tmp_path / "edited.xlsx", FUNCTIONS).values
    assert False in [v for (s, a), v in answers.items() if s == "Checks" and a.startswith("E")]
    verdict = answers["Decision", "A3"]
    assert isinstance(verdict, str)
    assert not re.match(r"(Buy|Lease|Reserved|Pay|Loan|On)", verdict), verdict


@pytest.mark.slow
def test_a_blank_tariff_is_not_free_electricity(small_plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        sheet = book["Reg_Infra"]
        column = next(c.column for c in sheet[5] if c.value == "electricity_price (USD per kWh)")
        row = next(c.row for c in sheet["A"] if c.value == "US_Avg")
        sheet.cell(row, column).value = None

    book = edited(small_plan, tmp_path, change)
    assert book["Options"][at_option(book, "status")].value == "site lacks PUE, tariff or carbon"
    assert not str(book["Decision"]["A3"].value).startswith("Buy")
