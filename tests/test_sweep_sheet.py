"""MLS_SWEEP and the sheet Sweep: what plain calls find, in face units; refusals in sentences; changed axes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from udfs import FUNCTIONS
from udfs.cells import Block
from workbook.engine import evaluate
from workbook.sheets import sweep as sheet

swept = FUNCTIONS["MLS_SWEEP"]
serving = FUNCTIONS["MLS_SERVING"]
DEVICES, BATCHES, LENGTHS = ("H100", "A100"), tuple(float(b) for b in range(8, 257, 8)), (2048.0, 32768.0)
AXES = "model = Llama3_70B; hardware = H100, A100; batch = 8..256 by 8; seq_len = 2048, 32768; precision = w4a16"
ONE_FIGURE = "layers = 32; kv_heads = 8; head_dim = 128; seq_len = 1024..4096 by 1024; batch = 1"


def plain() -> list[dict[str, Any]]:
    """Every configuration by a call of its own."""
    rows = []
    for device, batch, length in itertools.product(DEVICES, BATCHES, LENGTHS):
        out = {m: serving("Llama3_70B", device, length, m, batch, "w4a16")
               for m in ("decode_throughput", "itl", "ttft", "feasible")}  # fmt: skip
        rows.append({"hardware": device, "batch": batch, "seq_len": length} | out)
    return rows


def table(block: Any) -> list[dict[str, Any]]:
    """Rows by the heading without its unit."""
    assert isinstance(block, list), block
    head = [str(h).split(" [")[0] for h in block[0]]
    return [dict(zip(head, row, strict=True)) for row in block[1:]]


def test_best_rows_are_those_of_plain_calls() -> None:
    bound = 100.0
    got = table(swept("serving", AXES, "max decode_throughput", f"itl <= {bound}", "ttft", 12.0))
    right = sorted((r for r in plain() if r["feasible"] and r["itl"] <= bound), key=lambda r: -r["decode_throughput"])
    assert 12 < len(right) < len(plain())
    for row, want in zip(got, right[:12], strict=True):
        for name in ("decode_throughput", "hardware", "batch", "seq_len", "ttft"):
            assert row[name] == want[name] if isinstance(want[name], str) else row[name] == pytest.approx(want[name])


def test_the_front_is_not_beaten_and_beats_the_rest() -> None:
    got = table(swept("MLS_SERVING", AXES, "max decode_throughput, min itl", "", "", 1000.0))
    points = [(r["decode_throughput"], r["itl"]) for r in plain() if r["feasible"]]
    front = {(round(a, 6), round(b, 9)) for a, b in points
             if not any((x >= a and y <= b) and (x > a or y < b) for x, y in points)}  # fmt: skip
    assert {(round(r["decode_throughput"], 6), round(r["itl"], 9)) for r in got} == front
    ends = table(swept("serving", AXES, ["max decode_throughput", "min itl"], "", "", 5.0))
    assert (ends[0], ends[-1], len(ends)) == (got[0], got[-1], 5)


def test_counts_tell_what_became_of_all() -> None:
    axes = AXES.replace("w4a16", "w4a16, fp8")
    counted: Any = swept("serving", axes, None, "itl <= 60")
    got: dict[Any, Any] = dict(counted[1:])
    fits = [r for r in plain() if r["feasible"]]
    refused = len(DEVICES[1:]) * len(BATCHES) * len(LENGTHS)
    assert got["all"] == 2 * len(plain())
    assert got["refused"] == refused
    assert got["all"] == got["pass"] + got["not feasible, or miss a bound"] + got["refused"]
    assert got["pass"] > sum(r["itl"] <= 60 for r in fits)
    sentence = next(str(k) for k in got if str(k).startswith("refused: "))
    assert "A100 has no fp8 rate" in sentence
    assert got[sentence] == refused


def test_a_range_and_text_ask_the_same() -> None:
    cells = [
        ["model", "Llama3_70B", None], ["Hardware", "H100", "A100"], ["", None, None], ["batch", "8..256 by 8", None],
        ["seq_len", 2048.0, 32768.0], ["precision", "w4a16", None],
    ]  # fmt: skip
    assert swept("serving", cells, "min itl") == swept("serving", AXES, "min itl")


def test_spec_texts_and_units_in_text() -> None:
    spec = str(FUNCTIONS["MLS_SPEC"]("hardware", "H100")).replace("H100;", "Own;").replace("3.35 TB/s", "3 TB/s")
    got = table(swept("serving", [["model", "Llama3_8B", ""], ["hardware", "H100", spec], ["seq_len", 4096.0, ""]],
                      "min itl", "itl <= 0.02 s"))  # fmt: skip
    assert [r["hardware"] for r in got] == ["H100", "Own"]
    assert got[1]["itl"] == pytest.approx(serving("Llama3_8B", spec, 4096.0, "itl"))


def test_a_function_of_one_figure() -> None:
    got = table(swept("kv_size", ONE_FIGURE, "max answer", "answer < 0.5"))
    assert [r["seq_len"] for r in got] == [3072.0, 2048.0, 1024.0]
    assert got[0]["answer"] == pytest.approx(FUNCTIONS["MLS_KV_SIZE"](32.0, 8.0, 128.0, 3072.0, 1.0))


def test_a_block_of_fixed_size() -> None:
    block: Any = swept("serving", AXES, "min itl", "", "", 3.0, 6.0)
    assert [len(row) for row in block] == [6] * 4
    assert [row[:4] for row in block] == swept("serving", AXES, "min itl", "", "", 3.0)
    refused: Any = swept("serving", AXES, "min itl", "itl < 0.001", "", 3.0, 6.0)
    assert [len(row) for row in refused] == [6] * 4
    assert refused[0][0].startswith("#MLS! MLS_SWEEP: none of 128 configurations passes")
    assert {c for row in refused for c in row[1:]} == {""}
    assert "width is 2" in str(swept("serving", AXES, "min itl", "", "", 3.0, 2.0)[0][0])  # type: ignore[index]
    chips = "model = Llama3_8B; hardware = H100, nRF52840, A100, V100; precision = fp8, fp4"
    many: Any = swept("roofline", chips, "", "", "", 6.0, 2.0)
    assert [row[1] for row in many[1:]] == [8.0, 1.0, 0.0, 7.0, 1.0, 6.0]
    assert many[6][0] == "refused for other reasons"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, AXES), "function_name must be one text"),
        (("walls", AXES), "MLS_WALLS answers with a table"),
        (("MLS_GET", AXES), "MLS_GET looks something up"),
        (("servin", AXES), "no function 'servin'"),
        (("serving", None), "axes must be a range"),
        (("serving", 3.0), "axes must be a range"),
        (("serving", "batch"), "axes must be 'name = values"),
        (("serving", "model = Llama3_8B"), "axes must name hardware, seq_len"),
        (("serving", AXES + "; batches = 3"), "has no argument 'batches'"),
        (("serving", [["model", "Llama3_8B"], ["Model", "Llama3_8B"]]), "axes names model twice"),
        (("serving", [["model", None]]), "model has no values"),
        (("serving", [["model", "#N/A"]]), "holds the error #N/A"),
        (("serving", AXES.replace("H100", "H1000")), "hardware has no 'H1000'"),
        (("serving", AXES.replace("2048", "two")), "seq_len"),
        (("serving", AXES.replace("2048", "-2048")), "seq_len must be"),
        (("serving", AXES.replace("8..256 by 8", "256..8 by 8")), "first..last by step"),
        (("serving", AXES.replace("8..256 by 8", "8..256 by 0")), "batch must be"),
        (("serving", AXES.replace("8..256 by 8", "1..9000000")), "has 9,000,000 values"),
        (("serving", AXES.replace("8..256 by 8", "1..900000")), "axes make 3,600,000 configurations"),
        (("serving", AXES, "decode_throughput"), "goal must be 'max' or 'min' and a figure"),
        (("serving", AXES, "max speed"), "has no metric 'speed'"),
        (("serving", AXES, "max bottleneck"), "is in words"),
        (("serving", AXES, "max itl, min itl"), "twice"),
        (("serving", AXES, "max itl, min ttft, min shortfall"), "goal takes one figure"),
        (("serving", AXES, 3.0), "goal must be text"),
        (("serving", AXES, "min itl", "itl ~ 3"), "where must be a figure, one of"),
        (("serving", AXES, "min itl", "itl <= 3 GB"), "itl"),
        (("serving", AXES, "min itl", "itl <= nan"), "must be a finite number"),
        (("serving", AXES, "min itl", "itl <= 0.001"), "none of 128 configurations passes"),
        (("serving", AXES, None, None, "ttft"), "show needs a goal"),
        (("serving", AXES, "min itl", None, None, 0.0), "rows must be a whole number from 1 to 1000"),
        (("serving", AXES, "min itl", None, None, "x"), "rows must be a whole number"),
        (("serving", AXES, "min itl", None, None, 2.5), "rows must be a whole number"),
        (("serving", AXES, None, None, None, 3.0), "rows must be 4 or more for counts"),
        (("serving", AXES, "min itl", None, None, 3.0, -1.0), "width must be a whole number"),
        (("kv_size", ONE_FIGURE, "max size"), "call it answer"),
    ],
)  # fmt: skip
def test_refusals_name_the_argument(arguments: tuple[Any, ...], words: str) -> None:
    got = swept(*arguments)
    assert isinstance(got, str)
    assert got.startswith("#MLS! ")
    assert words in got


# ------------------------------------------------------------------ the sheet


def grid(cells: Callable[[str], Any], top: int, rows: int, columns: int = sheet.WIDTH) -> Block:
    letters = [openpyxl.utils.get_column_letter(c) for c in range(1, columns + 1)]
    return [[cells(f"{c}{r}") for c in letters] for r in range(top, top + rows + 1)]


def asked() -> list[list[Any]]:
    return [[*row, *[None] * (1 + sheet.VALUES - len(row))] for row in sheet.CHOSEN]


def test_the_sheet_shows_what_the_function_answers(plan: Path) -> None:
    page = openpyxl.load_workbook(plan, data_only=True)[sheet.SHEET]
    function, first, second, where, show = (value for _, _, value, _ in sheet.ASKED)
    axes = [[float(c) if isinstance(c, int) else c for c in row] for row in asked()]
    best = swept(function, axes, first, where, show, float(sheet.BEST), float(sheet.WIDTH))
    front = swept(function, axes, f"{first}, {second}", where, show, float(sheet.FRONT), float(sheet.WIDTH))

    def value(at: str) -> Any:
        return "" if page[at].value is None else page[at].value

    assert grid(value, sheet.BEST_HEAD, sheet.BEST) == best
    assert grid(value, sheet.FRONT_HEAD, sheet.FRONT) == front
    counts: Any = swept(function, axes, "", where, "", float(sheet.COUNTS), 2.0)
    assert grid(value, sheet.COUNTS_HEAD, sheet.COUNTS, 2) == [row[::-1] for row in counts]
    every, passing, _, refused = (row[1] for row in counts[1:5])
    assert page[f"A{sheet.VERDICT}"].value == (
        f"{passing:g} of {every:g} configurations pass; {refused:g} are refused, see below"
    )
    points = [[page.cell(sheet.FRONT_HEAD + r, sheet.DATA + c).value for c in (0, 1)] for r in (1, sheet.FRONT)]
    assert points == [[row[1], row[0]] for row in (front[1], [r for r in front if r[0] != ""][-1])]


def answers(path: Path, folder: Path, edits: dict[str, Any]) -> Callable[[str], Any]:
    """The Sweep sheet after some cells were edited."""
    book = openpyxl.load_workbook(path)
    for at, value in edits.items():
        book[sheet.SHEET][at].value = value
    book.save(folder / "edited.xlsx")
    result = evaluate(folder / "edited.xlsx", FUNCTIONS, spill_calls=True)
    assert result.missing == {}
    return lambda at: result.values.get((sheet.SHEET, at))


@pytest.mark.slow
def test_the_sheet_follows_its_axes(small_plan: Path, tmp_path: Path) -> None:
    first = sheet.AXES_HEAD + 1
    # training: one goal, other axes, a row of the old axes cleared
    edits: dict[str, Any] = {f"{c}{first + r}": None for r in range(sheet.AXES) for c in "ABCDEFGHI"}
    rows = [("model", "Llama3_70B"), ("fleet", "Research_256"), ("batch", 1024), ("tp", 1, 2, 4, 8), ("pp", 1, 2, 4)]
    edits |= {f"{'ABCDEFGHI'[c]}{first + r}": v for r, row in enumerate(rows) for c, v in enumerate(row)}
    edits |= {f"B{sheet.FUNCTION}": "MLS_TRAINING", f"B{sheet.FIRST}": "max mfu", f"B{sheet.SECOND}": None,
              f"B{sheet.WHERE}": None, f"B{sheet.SHOW}": "parallelism"}  # fmt: skip
    cell = answers(small_plan, tmp_path, edits)
    text = "model = Llama3_70B; fleet = Research_256; batch = 1024; tp = 1, 2, 4, 8; pp = 1, 2, 4"
    right: Any = swept("training", text, "max mfu", "", "parallelism", 10.0, float(sheet.WIDTH))
    assert grid(cell, sheet.BEST_HEAD, sheet.BEST) == right
    assert cell(f"A{sheet.FRONT_HEAD - 1}") == "No second goal: the best by the first"


@pytest.mark.slow
def test_a_refusal_is_a_sentence_and_no_half_table(small_plan: Path, tmp_path: Path) -> None:
    cell = answers(small_plan, tmp_path, {f"B{sheet.FIRST}": "max speed"})
    assert str(cell(f"A{sheet.VERDICT}")).startswith("#MLS! MLS_SERVING has no metric 'speed'")
    assert {c for row in grid(cell, sheet.BEST_HEAD, sheet.BEST) for c in row} == {""}


@pytest.mark.slow
def test_axes_take_the_facts_of_the_book(small_plan: Path, tmp_path: Path) -> None:
    book = openpyxl.load_workbook(small_plan)
    page = book["Reg_Hardware"]
    head = next(r for r in range(1, 12) if page.cell(r, 1).value == "key")
    column = next(c for c in range(1, 60) if str(page.cell(head, c).value).startswith("bandwidth"))
    for row in range(head + 1, head + 200):
        if page.cell(row, 1).value == "MI300X":
            page.cell(row, column).value = 1000.0
    book.save(tmp_path / "slow.xlsx")
    cell = answers(tmp_path / "slow.xlsx", tmp_path, {})
    assert {row[1] for row in grid(cell, sheet.BEST_HEAD, sheet.BEST)[1:]} == {"H200"}  # MI300X leads otherwise
