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
from workbook.recalc import recalc
from workbook.sheets.decision import R


@pytest.fixture(scope="module")
def values(plan: Path) -> Workbook:
    return openpyxl.load_workbook(plan, data_only=True)


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
        facts = {"key": "MyChip", "memory (GB)": 320.5, "bandwidth (GB per s)": 9000.25, "fp8 (TFLOP per s)": 5000}
        facts |= {"tdp (W)": 1200, "memory_class": "hbm", "link (GB per s)": 900}
        for name, value in facts.items():
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
    assert book["Options"]["N6"].value == "own price"
    assert check(tmp_path / "answered.xlsx") == []


@pytest.mark.slow
def test_a_plan_that_does_not_fit_says_so_and_totals_fail_loudly(plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        book["Options"]["F6"] = 1  # TP 1: 70 GB of weights and the cache do not fit into one H100

    book = edited(plan, tmp_path, change)
    live = {r[0].value: r[3].value for r in book["Engine_Live"].iter_rows(min_row=6)}
    assert live["Time between tokens, decoding alone"].startswith("#MLS! does not fit: needs 83.98 GB, usable 81.24 GB")
    assert live["Memory needed by one replica"] == pytest.approx(83.975479296)
    decision = book["Decision"]
    assert decision[f"D{R['per_mtoken']}"].value == "#N/A"
    assert decision[f"D{R['status']}"].value == "does not fit: raise TP"
    assert decision[f"E{R['per_mtoken']}"].value > 0
    assert "(1 left out: see Status)" in decision["A3"].value
    assert decision["A3"].value.startswith("Checks fail")
    problems = check(tmp_path / "answered.xlsx")
    assert any("fits in memory" in p for p in problems)
    assert main(["check", str(tmp_path / "answered.xlsx")]) == 1


@pytest.mark.slow
def test_an_unknown_key_is_named(plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        book["Options"]["G6"] = "fp7"

    book = edited(plan, tmp_path, change)
    live = {r[0].value: r[3].value for r in book["Engine_Live"].iter_rows(min_row=6)}
    assert "precision has no 'fp7'; did you mean" in live["Time between tokens, decoding alone"]


@pytest.mark.slow
def test_other_models_and_cases(plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        sheet = book["Inputs"]
        row = next(c.row for c in sheet["A"] if c.value == "Model to serve")
        sheet[f"E{row}"] = "Qwen3_32B"
        horizon = next(c.row for c in sheet["A"] if c.value == "Planning horizon")
        sheet[f"E{horizon}"], sheet["B4"] = 60, "Adverse"

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


# ------------------------------------------------------------------ slips that must not pass


SLIPS: dict[str, tuple[str, str, object]] = {  # what goes wrong: sheet, cell, new value
    "another device in the same server": ("Options", "C6", "B200"),
    "half the devices in the same server": ("Options", "E6", 4),
    "a server that nobody knows": ("Options", "B6", "DGX_H10O"),
    "TP across servers": ("Options", "F6", 16),
    "a price of zero": ("Options", "H6", 0),
    "a price in words": ("Options", "H6", "TBD"),
    "an empty input": ("Inputs", "E10", None),
    "an input beyond its limits": ("Inputs", "E10", 61),
    "an unknown case": ("Inputs", "B4", "Worst"),
    "an overwritten month of electricity": ("TCO", "H34", 0),
    "an overwritten month of tokens": ("TCO", "H46", 1e9),
}


@pytest.fixture(scope="module")
def book(small_plan: Path) -> Workbook:
    return openpyxl.load_workbook(small_plan)


@pytest.mark.slow
@pytest.mark.parametrize("slip", SLIPS)
def test_slips_fail_a_check(slip: str, book: Workbook, tmp_path: Path) -> None:
    sheet, at, value = SLIPS[slip]
    if sheet == "TCO":
        labels = {row[0].value: row[0].row for row in book["TCO"].iter_rows(min_row=13, max_row=50)}
        at = f"H{labels['Electricity' if 'electricity' in slip else 'Tokens generated']}"
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
    assert verdict.startswith(("Checks fail", "No option")), verdict


@pytest.mark.slow
def test_a_blank_tariff_is_not_free_electricity(small_plan: Path, tmp_path: Path) -> None:
    def change(book: Workbook) -> None:
        sheet = book["Reg_Infra"]
        column = next(c.column for c in sheet[5] if c.value == "electricity_price (USD per kWh)")
        row = next(c.row for c in sheet["A"] if c.value == "US_Avg")
        sheet.cell(row, column).value = None

    book = edited(small_plan, tmp_path, change)
    assert book["Decision"]["A3"].value.startswith("No option can be computed")
    assert book["Decision"][f"D{R['status']}"].value == "site lacks PUE, tariff or carbon"
