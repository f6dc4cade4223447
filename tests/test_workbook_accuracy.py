"""How wrong the plan may be, on the sheets: ranges beside figures, the rule for too close, the table of errors."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accuracy_table
import openpyxl
import pytest
from openpyxl.workbook import Workbook

from mlsysim import throughput
from mlsysim.registry import DATA
from mlsysim.things import ACCURACY, BANDS, EFFICIENCY
from udfs import FUNCTIONS
from workbook.engine import evaluate
from workbook.sheets.accuracy import ORIGINS
from workbook.sheets.engine import ROW

COLUMNS = "DEFG"
Answers = dict[tuple[str, str], Any]


@pytest.fixture(scope="module")
def values(plan: Path) -> Workbook:
    return openpyxl.load_workbook(plan, data_only=True)


# ------------------------------------------------------------------ the data behind


def test_the_table_of_errors_follows_from_the_measurements() -> None:
    assert (DATA / "accuracy.toml").read_text("utf-8") == accuracy_table.toml(), "run tests/accuracy_table.py"


def test_every_kind_of_measurement_has_its_words() -> None:
    assert set(ACCURACY) <= set(accuracy_table.TITLES)


@pytest.mark.parametrize("name", ["efficiency", "bands", "accuracy"])
def test_the_registry_functions_know_the_calibration(name: str) -> None:
    keys = [row[0] for row in FUNCTIONS["MLS_LIST"](name)]
    assert keys == list({"efficiency": EFFICIENCY, "bands": BANDS, "accuracy": ACCURACY}[name])
    assert FUNCTIONS["MLS_SPEC"](name, keys[0]).startswith(f"{keys[0]}; ")
    assert FUNCTIONS["MLS_GET"]("bands", "all-reduce", "rows") == BANDS["all-reduce"].rows
    assert FUNCTIONS["MLS_SOURCE"]("accuracy", "decode_bs1", "median", "kind") == "derived"


# ------------------------------------------------------------------ the sheet Accuracy


def rows_of(book: Workbook, title: str) -> list[list[Any]]:
    """The rows below a block's title and headings, up to the first blank one."""
    sheet = book["Accuracy"]
    start = next(c.row for c in sheet["A"] if c.value == title)
    out = []
    for row in sheet.iter_rows(min_row=start + 1, values_only=True):
        if row[0] is None:
            break
        out.append(list(row))
    return out


def test_accuracy_shows_every_range(values: Workbook) -> None:
    _, *rows = rows_of(values, "Ranges by regime")
    shown = {row[0]: row[1:6] for row in rows[: len(BANDS)]}
    assert shown == {b.title: [b.rows, b.sources, b.chips, b.low, b.high] for b in BANDS.values()}


def test_accuracy_shows_every_error_and_their_sum(values: Workbook) -> None:
    _, *rows, total, note = rows_of(values, "Errors on published measurements")
    assert note[0].startswith("Arithmetic: ")
    assert [row[0] for row in rows] == [a.title for a in ACCURACY.values()]
    for row, a in zip(rows, ACCURACY.values(), strict=True):
        area = f"{a.category}, arithmetic" if a.arithmetic else a.category
        assert row[1:] == [a.rows, a.sources, area, a.median, a.by_source, a.p90, a.banded, a.coverage, a.skipped]
    inside = sum(a.banded * a.coverage for a in ACCURACY.values() if a.banded)
    banded = sum(a.banded or 0 for a in ACCURACY.values())
    assert total[7] == banded
    assert total[8] == pytest.approx(inside / banded, rel=1e-12)
    assert total[1] == sum(a.rows or 0 for a in ACCURACY.values())


def test_accuracy_counts_the_constants_that_were_fitted(values: Workbook) -> None:
    """Counted anew from the data files: values whose note says that they are a best fit."""
    fitted = 0
    for file in ("efficiency.toml", "defaults.toml"):
        for row in tomllib.loads((DATA / file).read_text("utf-8")).values():
            facts = [f for f in row.values() if isinstance(f, dict)]
            fitted += sum(f.get("kind") == "derived" and "best fit" in f["note"] for f in facts)
    shown = {row[0]: row[1] for row in rows_of(values, "Constants behind the figures (calibration and defaults)")}
    assert shown[ORIGINS["fitted"]] == fitted > 10
    assert shown["All"] == sum(shown[text] for text in ORIGINS.values())


def test_the_calibration_is_a_registry_sheet(values: Workbook) -> None:
    sheet = values["Reg_Calibration"]
    assert {"tblEfficiency", "tblBands"} == set(sheet.tables)
    header, first, *_ = sheet[sheet.tables["tblEfficiency"].ref]
    record = {h.value: c.value for h, c in zip(header, first, strict=True)}
    key = next(iter(EFFICIENCY))
    assert (record["key"], record["compute"]) == (key, EFFICIENCY[key].compute)
    assert "spec" not in record  # the engine reads its own table, so an edited row must not promise anything
    assert sheet.protection.sheet
    assert all(c.protection.locked for c in sheet[6])


# ------------------------------------------------------------------ ranges on Engine and Decision


def number_of(words: str) -> float:
    return float(words.replace(" ", ""))


def ends_of(words: str) -> tuple[float, float, str]:
    found = re.fullmatch(r"([\d. ]+) to ([\d. ]+)(?:, (extrapolated|not validated))?", words)
    assert found, words
    return number_of(found[1]), number_of(found[2]), found[3] or "validated"


def test_throughput_is_that_of_the_function(values: Workbook) -> None:
    """The plan's rate and its range are those of MLS_THROUGHPUT at the chosen batch, written once."""
    options, engine = values["Options"], values["Engine"]
    head = {c.value: c.column for c in options[5]}
    for i, column in enumerate(COLUMNS):
        device, tp, precision = (options.cell(6 + i, head[n]).value for n in ("device", "TP", "precision"))
        own = throughput("Llama3_70B", device, input_tokens=2048, output_tokens=512, batch=32 * tp, tp=tp,
                         precision=precision)  # fmt: skip
        for name, metric in (("rate", ""), ("rate_p10", "_p10"), ("rate_p90", "_p90")):
            expected = getattr(own, f"tokens_per_s_per_device{metric}")
            assert engine[f"{column}{ROW[name]}"].value == pytest.approx(expected, rel=1e-12)
        assert engine[f"{column}{ROW['efficiency']}"].value == pytest.approx(own.efficiency_used, rel=1e-12)


# ------------------------------------------------------------------ efficiency and cases

Change = Callable[[dict[tuple[str, str], Any]], Answers]


@pytest.fixture(scope="module")
def small(small_plan: Path) -> Workbook:
    return openpyxl.load_workbook(small_plan)


@pytest.fixture
def changed(small: Workbook, tmp_path: Path) -> Change:
    """The answers of the workbook with one option after some cells were edited."""

    def answer(edits: dict[tuple[str, str], Any]) -> Answers:
        before = {(sheet, at): small[sheet][at].value for sheet, at in edits}
        try:
            for (sheet, at), value in edits.items():
                small[sheet][at].value = value
            small.save(tmp_path / "edited.xlsx")
        finally:
            for (sheet, at), value in before.items():
                small[sheet][at].value = value
        result = evaluate(tmp_path / "edited.xlsx", FUNCTIONS, spill_calls=True)
        assert not result.missing, result.missing
        return result.values

    return answer


def efficiency_row(book: Workbook) -> int:
    return next(c.row for c in book["Inputs"]["A"] if str(c.value).startswith("Compute efficiency"))


def test_a_blank_efficiency_is_calibrated_by_chip(values: Workbook) -> None:
    assert values["Inputs"][f"B{efficiency_row(values)}"].value == "not given"
    used = [values["Engine"][f"{c}{ROW['efficiency']}"].value for c in COLUMNS]
    chips = [values["Options"].cell(6 + i, 5).value for i in range(len(COLUMNS))]
    assert chips == ["B200", "B200", "H100", "H100"]
    assert used[0] == used[1]  # the same chip twice
    assert used[2] == used[3]
    by_function = [throughput("Llama3_70B", c, input_tokens=2048, output_tokens=512, batch=64, tp=2, precision="fp8")
                   for c in ("B200", "H100")]  # fmt: skip
    assert [used[0], used[2]] == pytest.approx([t.efficiency_used for t in by_function])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "cells", "used"),
    [("Base", {"E": 0.3}, 0.3), ("High", {"E": 0.3}, 0.3), ("Low", {"D": 0.2, "E": 0.3, "F": 0.4}, 0.2),
     ("High", {"D": 0.2, "E": 0.3, "F": 0.4}, 0.4), ("Own", {"E": 0.3, "G": 0.35}, 0.35), ("High", {"D": 0.2}, None)],
)  # fmt: skip
def test_an_own_efficiency_overrides_in_every_scenario(
    small: Workbook, values: Workbook, changed: Change, scenario: str, cells: dict[str, float], used: float | None
) -> None:
    row = efficiency_row(small)
    sheet, at = small.defined_names["in_Scenario"].attr_text.replace("$", "").split("!")
    answers = changed({(sheet, at): scenario} | {("Inputs", f"{c}{row}"): value for c, value in cells.items()})
    calibrated = values["Engine"][f"D{ROW['efficiency']}"].value
    assert answers["Engine", f"D{ROW['efficiency']}"] == pytest.approx(used or calibrated)


@pytest.mark.slow
def test_an_efficiency_beyond_one_fails_a_check(small: Workbook, changed: Change) -> None:
    answers = changed({("Inputs", f"E{efficiency_row(small)}"): 1.5})
    assert False in [v for (s, a), v in answers.items() if s == "Checks" and a.startswith("E")]


# ------------------------------------------------------------------ the 22 walls


def walls_of(book: Workbook) -> list[dict[str, Any]]:
    header, *rows = list(book["Walls"].iter_rows(min_row=8, max_row=30, values_only=True))
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_walls_are_those_of_the_function(values: Workbook) -> None:
    header, *answers = FUNCTIONS["MLS_WALLS"]("Llama3_8B", "H100")
    shown = walls_of(values)
    assert [row["No"] for row in shown] == list(range(1, 23))
    for row, answer in zip(shown, answers, strict=True):
        told = dict(zip(header, answer, strict=True))
        for column, name in (("Wall", "wall"), ("What it says", "one_liner"), ("Function", "function"),
                             ("Value", "value"), ("Limit", "limit"), ("Headroom", "headroom"), ("Unit", "unit"),
                             ("Verdict", "verdict")):  # fmt: skip
            assert row[column] == ("-" if told[name] == "" else told[name])
    binding = [row["Wall"] for row in shown if row["Verdict"].startswith("binds")]
    assert values["Walls"]["A6"].value.startswith(f"What binds Llama3_8B on H100: {binding[0]} (batch 1, ")
    assert len(binding) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("model", "device"), [("Llama3_70B", "H100"), ("DS_CNN", "nRF52840"), ("Abacus", "H100")])
def test_walls_follow_the_selectors(changed: Change, model: str, device: str) -> None:
    answers = changed({("Walls", "C4"): model, ("Walls", "C5"): device})
    table = FUNCTIONS["MLS_WALLS"](model, device)
    verdicts = [answers["Walls", f"I{row}"] for row in range(9, 31)]
    if model == "Abacus":
        assert answers["Walls", "A6"].startswith("No answer here")
        assert {answers["Walls", f"{c}{row}"] for c in "ABCDEFGHI" for row in range(9, 31)} == {"-"}
    else:
        assert verdicts == [row[9] for row in table[1:]]
        assert answers["Walls", "A6"].startswith(f"What binds {model} on {device}: ")


@pytest.mark.slow
def test_a_refusal_of_the_walls_is_a_sentence(small_plan: Path) -> None:
    refused = {**FUNCTIONS, "MLS_WALLS": lambda *_: "#MLS! H100 has no fp16 rate on record"}
    answers = evaluate(small_plan, refused).values
    assert answers["Walls", "A6"] == "#MLS! H100 has no fp16 rate on record"
    assert {answers["Walls", f"{c}{row}"] for c in "ABCDEFGHI" for row in range(9, 31)} == {"-"}
