"""A sweep as a workbook: figures of plain calls, formulas that engines answer alike, flat memory, the same bytes."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from mlsysim import MlsysError
from udfs import FUNCTIONS
from udfs.libreoffice import find_soffice, recalculate
from workbook.__main__ import main
from workbook.check import check
from workbook.errors import WorkbookError
from workbook.recalc import recalc
from workbook.sweep_book import ALL_PASS, CHECKS_AT, COUNT_AT, TOP_HEAD, asked_of, write_sweep

AXES = "model = Llama3_8B; hardware = H100, A100; seq_len = 4096; batch = 1, 4, 64, 1024; precision = fp16, fp8"
GOAL, SHOW, WHERE = "max decode_throughput", ("itl", "ttft"), ("itl <= 25", "ttft <= 9000")
BATCHES = (1.0, 4.0, 64.0, 1024.0)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "GRID.xlsx"
    write_sweep(path, asked_of("serving", AXES, GOAL, SHOW, WHERE))
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    sheet = openpyxl.load_workbook(path, data_only=True).worksheets[0]
    head, *rows = list(sheet.iter_rows(min_row=TOP_HEAD + 6, values_only=True))
    names = [str(h).split(" [")[0] if str(h).endswith("]") else str(h) for h in head]
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_every_configuration_has_the_figures_of_a_plain_call(book: Path) -> None:
    rows = rows_of(book)
    combinations = list(itertools.product(("H100", "A100"), ("fp16", "fp8"), BATCHES))
    assert [(r["hardware"], r["precision"], r["batch"]) for r in rows] == combinations
    for row, (device, precision, batch) in zip(rows, combinations, strict=True):
        told = [FUNCTIONS["MLS_SERVING"]("Llama3_8B", device, 4096.0, m, batch, precision)
                for m in ("decode_throughput", "itl", "ttft", "feasible")]  # fmt: skip
        shown = [row["decode_throughput"], row["itl"], row["ttft"]]
        if isinstance(told[3], str):
            assert told[3].endswith(row["What the model says"])
            assert (*shown, row["Verdict"], row["Share of the best"]) == ("-", "-", "-", "refused", "-")
        elif not told[3]:
            assert (*shown, row["Verdict"]) == ("-", "-", "-", "not feasible")
        else:
            assert shown == pytest.approx(told[:3], rel=1e-14)
            wanted = "itl too high" if told[1] > 25 else "ttft too high" if told[2] > 9000 else "meets"  # type: ignore[operator]
            assert row["Verdict"] == wanted


def test_all_verdicts_occur_and_the_best_is_the_best(book: Path) -> None:
    rows = rows_of(book)
    assert {r["Verdict"] for r in rows} == {"meets", "itl too high", "not feasible", "refused"}
    meeting = [r["decode_throughput"] for r in rows if r["Verdict"] == "meets"]
    sheet = openpyxl.load_workbook(book, data_only=True).worksheets[0]
    assert [sheet[at].value for at in ("B5", "B7", "B8")] == [len(rows), len(meeting), max(meeting)]
    shares = [r["Share of the best"] for r in rows if r["Verdict"] == "meets"]
    assert shares == pytest.approx([m / max(meeting) for m in meeting])


@pytest.mark.parametrize(
    ("function", "axes", "goal", "show", "where"),
    [
        ("serving", AXES, GOAL, SHOW, WHERE),
        ("MLS_SERVING", AXES, "min itl", ("ttft",), ()),
        ("serving", AXES, "min itl", ("ttft",), ("ttft <= 0.001 ms",)),  # nothing meets
        ("serving", "model = Llama3_8B; hardware = H100; seq_len = 4096", "max itl", (), ("itl >= 1",)),  # one row
        ("kv_size", "layers = 32; kv_heads = 8; head_dim = 128; seq_len = 1..50; batch = 1, 2", "max answer", (), ()),
        ("training", "model = Llama3_70B; fleet = Research_256; batch = 1024; tp = 1, 2, 4, 8, 16; pp = 1, 2, 4",
         "max mfu", ("step_latency_total",), ("mfu >= 0.34",)),
    ],
)  # fmt: skip
def test_formulas_answer_what_the_file_shows(
    tmp_path: Path, function: str, axes: str, goal: str, show: tuple[str, ...], where: tuple[str, ...]
) -> None:
    write_sweep(tmp_path / "GRID.xlsx", asked_of(function, axes, goal, show, where))
    report = recalc(tmp_path / "GRID.xlsx", tmp_path / "AGAIN.xlsx", FUNCTIONS)
    assert "0 of them changed, 0 had no value" in report.sentences()[0]


def test_verdicts_follow_the_limits(book: Path, tmp_path: Path) -> None:
    edited = openpyxl.load_workbook(book)
    edited.worksheets[0][f"C{TOP_HEAD + 2}"].value = 9.0  # itl
    edited.worksheets[0][f"C{TOP_HEAD + 3}"].value = None
    edited.save(tmp_path / "edited.xlsx")
    recalc(tmp_path / "edited.xlsx", tmp_path / "AGAIN.xlsx", FUNCTIONS)
    write_sweep(tmp_path / "other.xlsx", asked_of("serving", AXES, GOAL, SHOW, ("itl <= 9",)))
    again, other = rows_of(tmp_path / "AGAIN.xlsx"), rows_of(tmp_path / "other.xlsx")
    for one, two in zip(again, other, strict=True):
        assert one.keys() == two.keys()
        for name in one:
            assert one[name] == (pytest.approx(two[name]) if isinstance(two[name], float) else two[name])


def test_nothing_is_wrong_with_it(book: Path) -> None:
    assert check(book) == []
    assert openpyxl.load_workbook(book, data_only=True).worksheets[0][CHECKS_AT].value == ALL_PASS


@pytest.mark.parametrize(
    ("cell", "value", "words"),
    [
        (f"C{TOP_HEAD + 2}", "9 ms", "Every limit is a number"),
        (f"B{TOP_HEAD + 2}", 26.0, "No lower limit is above"),
        ("G{row}", None, "Every configuration has a verdict"),
        ("D{row}", "fast", "has a figure"),
        ("H{row}", "9", "As many figures count"),
        ("I{row}", 1.5, "Nothing is better than the best"),
    ],
)
def test_checks_find_what_was_overwritten(book: Path, tmp_path: Path, cell: str, value: Any, words: str) -> None:
    edited = openpyxl.load_workbook(book)
    sheet = edited.worksheets[0]
    row = TOP_HEAD + 7
    assert sheet[f"J{row}"].value == "ok"
    sheet[cell.format(row=row)].value = value
    edited.save(tmp_path / "edited.xlsx")
    recalc(tmp_path / "edited.xlsx", tmp_path / "AGAIN.xlsx", FUNCTIONS)
    again = openpyxl.load_workbook(tmp_path / "AGAIN.xlsx", data_only=True)
    failed = [r[1].value for r in again["Checks"].iter_rows(min_row=6) if r[4].value is not True]
    assert any(words in str(text) for text in failed), failed
    assert again.worksheets[0][CHECKS_AT].value == "see the sheet Checks"


@pytest.mark.libreoffice
@pytest.mark.skipif(find_soffice() is None, reason="no LibreOffice here")
def test_libreoffice_shows_the_same(book: Path, tmp_path: Path) -> None:
    out = recalculate(book, tmp_path)
    here, there = (openpyxl.load_workbook(p, data_only=True) for p in (book, out))
    compared = 0
    for name in ("Sweep", "Checks"):
        for row in here[name].iter_rows():
            for cell in row:
                other = there[name][cell.coordinate].value
                assert other == (pytest.approx(cell.value) if isinstance(cell.value, float) else cell.value)
                compared += cell.value is not None
    assert compared > 16 * 10 + 36


def test_same_bytes_for_the_same_sweep(book: Path, tmp_path: Path) -> None:
    write_sweep(tmp_path / "TWIN.xlsx", asked_of("serving", AXES, GOAL, SHOW, WHERE))
    assert (tmp_path / "TWIN.xlsx").read_bytes() == book.read_bytes()


@pytest.mark.slow
def test_memory_is_flat(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from workbook.sweep_book import asked_of, write_sweep
axes = f"model = Llama3_8B; hardware = H100; batch = 1..{sys.argv[2]}; seq_len = 1024..5120 by 1024"
write_sweep(Path(sys.argv[1]), asked_of("serving", axes, "max decode_throughput", ["itl", "ttft"], ["itl <= 9"]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    peaks = [float(subprocess.run([sys.executable, "-c", code, str(tmp_path / f"{n}.xlsx"), str(n)], check=True,
                                  capture_output=True, text=True).stdout) for n in (200, 8000)]  # fmt: skip
    assert peaks[1] < peaks[0] + 8, peaks


# ------------------------------------------------------------------ the command and its refusals


def test_the_command_writes_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "GRID.xlsx"
    command = ["sweep", str(out), "serving", AXES, GOAL, "--show", *SHOW, "--where", *WHERE]
    assert main(command) == 0
    assert capsys.readouterr().out == (
        f"wrote {out}: 16 configurations: 8 meet the limits, 9 are feasible, 4 are refused\n"
    )
    assert main(command) == 1
    assert "exists already" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    assert len(list(tmp_path.glob("GRID*.bak.xlsx"))) == 1
    assert openpyxl.load_workbook(out, data_only=True).worksheets[0][COUNT_AT].value == 8


@pytest.mark.parametrize(
    ("function", "axes", "goal", "show", "where", "words"),
    [
        ("servings", AXES, GOAL, (), (), "no function 'servings'"),
        ("walls", AXES, GOAL, (), (), "no function 'walls'"),
        ("serving", AXES + "; speed = 3", GOAL, (), (), "has no argument 'speed'"),
        ("serving", AXES, "decode_throughput", (), (), "goal must be"),
        ("serving", AXES, GOAL, ("speed",), (), "has no metric 'speed'"),
        ("serving", AXES, GOAL, ("bottleneck",), (), "is in words"),
        ("serving", AXES, GOAL, (), ("itl <= 3",), "a limit is a figure that is shown"),
        ("serving", AXES, GOAL, ("itl",), ("itl < 3",), "a limit is a figure that is shown"),
        ("serving", AXES, GOAL, ("itl",), ("itl <= x",), "itl"),
        ("serving", AXES.replace("1, 4, 64", "1..300000"), GOAL, (), (), "axes make 1,200,004 rows"),
    ],
)  # fmt: skip
def test_refusals(
    function: str, axes: str, goal: str, show: tuple[str, ...], where: tuple[str, ...], words: str
) -> None:
    with pytest.raises(MlsysError, match=words):
        asked_of(function, axes, goal, show, where)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkbookError, match="does not exist"):
        write_sweep(tmp_path / "no" / "GRID.xlsx", asked_of("serving", AXES, GOAL))
