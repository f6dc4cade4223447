"""MLS_WHY, MLS_WALLS and MLS_HASH: answers in words that agree with the numbers, the 22 walls, checksums."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import MlsysError
from mlsysim.things import WALLS
from udfs import FUNCTIONS, mls

RESEARCH = "Research_256"
EXPLAINED: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "roofline": (("Llama3_8B", "H100"), {}),
    "serving": (("Llama3_8B", "H100"), {"seq_len": 4096, "batch": 32}),
    "training": (("Llama3_8B", RESEARCH), {"batch": 1024, "tp": 8, "zero_stage": 1}),
    "throughput": (("Llama3_8B", "H100"), {"input_tokens": 1024, "output_tokens": 256}),
    "tco": ((RESEARCH,), {}),
    "sustainability": ((RESEARCH,), {"days": 30 * 86400.0, "datacenter": "US_Avg"}),
    "token_price": (("Llama3_8B", "H100"), {"usd_per_device_hour": 2.5 / 3600, "input_tokens": 1024,
                                            "output_tokens": 256}),
    "tail_latency": ((), {"arrival_rate": 5, "service_time": 0.1, "servers": 1}),
    "allreduce": ((), {"workers": 8, "message": 1e9, "bandwidth": 1e11}),
    "memory": (("Llama3_8B", "H100"), {}),
}  # fmt: skip


# ------------------------------------------------------------------ why


@pytest.mark.parametrize("name", EXPLAINED)
def test_an_explanation_states_the_answer_and_a_lever(name: str) -> None:
    args, kwargs = EXPLAINED[name]
    text = m.why(name, *args, **kwargs)
    assert text.startswith(f"MLS_{name.upper()}: ")
    assert re.search(r"(lowers|raises) (it|the need) by [\d.]+ %|No lever", text), text
    assert not re.search(r"\b(nan|inf|None)\b|\de[+-]\d", text), text


def test_memory_bandwidth_of_a_decode_step() -> None:
    step = m.roofline("Llama3_8B", "H100")
    text = m.why("MLS_ROOFLINE", "Llama3_8B", "H100")
    share, launches = step.latency_memory / step.latency, step.latency_overhead / step.latency
    faster = m.roofline("Llama3_8B", "Mine; base = H100; bandwidth = 3.685 TB/s")
    assert f"latency = {1e3 * step.latency:.4g} ms. Memory bandwidth binds: {100 * share:.0f} % of" in text
    assert f"{100 * launches:.0f} % is launches" in text
    assert f"+10 % memory bandwidth lowers it by {100 * (1 - faster.latency / step.latency):.1f} %" in text
    assert "More peak arithmetic gains nothing" in text
    narrow = m.roofline("Llama3_8B", "H100", precision="fp8")
    assert f"precision = fp8 instead of fp16 ({100 * (1 - narrow.latency / step.latency):.0f} %)" in text


def test_compute_and_launches_bind_too() -> None:
    assert "Compute binds: 9" in m.why("roofline", "ResNet50", "A100", batch=256)
    assert "More memory bandwidth gains nothing" in m.why("roofline", "ResNet50", "A100", batch=256)
    assert "Launch and other fixed time binds" in m.why("roofline", "ResNet50", "A100")


def test_what_does_not_fit_says_what_is_missing_and_what_cures_it() -> None:
    got = m.serving("Llama3_70B", "H100", seq_len=4096)
    text = m.why("serving", "Llama3_70B", "H100", seq_len=4096)
    need, short = got.total_memory_required / 1e9, got.shortfall / 1e9
    assert (
        f"memory capacity binds: needs {need:.4g} GB, usable {need - short:.4g} GB; {short:.4g} GB are missing" in text
    )
    assert "It fits with tp = 2 instead of 1" in text
    assert m.serving("Llama3_70B", "H100", seq_len=4096, tp=2).feasible
    assert "precision = fp8 instead of fp16" in text
    assert m.serving("Llama3_70B", "H100", seq_len=4096, precision="fp8").feasible


def test_no_lever_named_makes_a_plan_that_does_not_fit() -> None:
    tight = "Mine; base = H100; memory = 18 GB"
    assert m.roofline("Llama3_8B", tight).feasible
    text = m.why("serving", "Llama3_8B", tight, seq_len=1024)
    for wide in re.findall(r"(\w+) = (\d+) instead of", text):
        assert m.serving("Llama3_8B", tight, seq_len=1024, **{wide[0]: int(wide[1])}).feasible


def test_cost_has_parts_that_add_up() -> None:
    got = m.tco(RESEARCH)
    text = m.why("tco", RESEARCH)
    assert f"Purchase (depreciation) binds: {100 * got.capex_usd / got.tco_usd:.0f} % of it" in text
    shares = [float(x) for x in re.findall(r"([\d.]+) %", text.split("Best lever")[0])]
    assert sum(shares) == pytest.approx(100, abs=1.5)
    assert "days" not in text.split("Best lever")[1]  # the period is the job, no lever
    dear = m.tco(RESEARCH, usd_per_device=1000)
    assert dear.capex_usd < dear.tco_usd / 2
    assert "Purchase (depreciation) binds" not in m.why("tco", RESEARCH, usd_per_device=1000)


def test_carbon_names_the_grid_of_the_site_in_use() -> None:
    got = m.sustainability(RESEARCH, days=30 * 86400.0, datacenter="Quebec")
    text = m.why("sustainability", RESEARCH, days=30 * 86400.0, datacenter="Quebec")
    gram = 1000 * got.carbon_footprint_kg / got.total_energy_kwh
    assert f"at {gram:.4g} g for each kWh" in text
    assert "-10 % carbon intensity of the grid lowers it by 10 %" in text
    own = m.why("sustainability", RESEARCH, days=30 * 86400.0)  # the site comes from the fleet, else the default
    assert "carbon intensity of the grid" in own


def test_another_metric_and_rates_rise() -> None:
    text = m.why("throughput", "Llama3_8B", "H100", input_tokens=1024, output_tokens=256, metric="output_rate")
    assert "MLS_THROUGHPUT: output_rate = " in text
    assert "raises it by" in text
    assert "ttft = " in m.why("serving", "Llama3_8B", "H100", seq_len=4096, metric="ttft")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("rooflin", "Llama3_8B", "H100"), "no function 'rooflin'"),
        (("roofline", "Llama3_8B"), "hardware is missing"),
        (("roofline", "Llama3_9B", "H100"), "did you mean"),
        (("placement", RESEARCH), "answers with a table"),
        (("allreduce", *[1] * 5), "got 5 arguments"),
    ],
)
def test_refusals(call: tuple[Any, ...], words: str) -> None:
    with pytest.raises(MlsysError, match=words):
        m.why(*call)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"batch": 0}, "batch"),
        ({"batch": math.nan}, "batch"),
        ({"batch": "many"}, "batch"),
        ({"batch": np.array([1.0, 2.0])}, "arrays"),
        ({"metric": "bottleneck"}, "is no number"),
        ({"metric": "latncy"}, "no metric"),
    ],
)
def test_refused_arguments(kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(MlsysError, match=words):
        m.why("roofline", "Llama3_8B", "H100", **kwargs)


def test_in_excel_arguments_follow_in_the_order_of_the_function() -> None:
    excel = FUNCTIONS["MLS_WHY"]
    assert excel("MLS_ROOFLINE", "Llama3_8B", "H100") == m.why("roofline", "Llama3_8B", "H100")
    whole = excel("roofline", "Llama3_8B", "H100", "latency", 8.0, "fp8", 0.5, False, "seq_len = 4096")
    assert whole == m.why("roofline", "Llama3_8B", "H100", batch=8, precision="fp8", efficiency=0.5, seq_len=4096)
    ttft = excel("MLS_SERVING", "Llama3_8B", "H100", 4096.0, "ttft")
    assert ttft == m.why("serving", "Llama3_8B", "H100", seq_len=4096, metric="ttft")
    assert excel("MLS_TCO", RESEARCH, None, 30.0) == m.why("tco", RESEARCH, days=30 * 86400.0)
    assert mls.MLS_WHY("MLS_ALLREDUCE", 8, 1, 100) == m.why("allreduce", workers=8, message=1e9, bandwidth=1e11)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ((), "function_name must be one text"),
        ((3.0,), "function_name must be one text"),
        (("#N/A",), "function_name must be one text"),
        (([["MLS_TCO"], ["MLS_POWER"]], RESEARCH), "function_name must be one text"),
        (("MLS_ROOFLIN", "Llama3_8B"), "did you mean MLS_ROOFLINE"),
        (("MLS_GET", "hardware"), "looks something up"),
        (("MLS_ROOFLINE", "Llama3_8B"), "hardware is empty"),
        (("MLS_ROOFLINE", "Llama3_8B", [["H100"], ["A100"]]), "hardware must be a single cell"),
        (("MLS_ROOFLINE", "Llama3_8B", "#REF!"), "hardware holds the error"),
        (("MLS_ROOFLINE", "Llama3_8B", "H100", "all"), "no metric"),
        (("MLS_ROOFLINE", "Llama3_8B", "H100", None, 0.0), "batch"),
        (("MLS_ROOFLINE", "Llama3_8B", "H100", None, float("nan")), "batch"),
        (("MLS_ALLREDUCE", 8.0, 1.0, 100.0, 0.0, 5.0), "takes 4 arguments"),
        (("MLS_PLACEMENT", RESEARCH, 30.0, "Quebec"), "answers with a table"),
    ],
)
def test_refusals_in_excel(cells: tuple[Any, ...], words: str) -> None:
    answer = FUNCTIONS["MLS_WHY"](*cells)
    assert str(answer).startswith("#MLS! ")
    assert words in str(answer)


def test_no_function_has_more_arguments_than_why_can_pass_on() -> None:
    room = len(FUNCTIONS["MLS_WHY"].parameters) - 1
    assert all(len(f.parameters) <= room for f in FUNCTIONS.values() if f.entry is not None)


# ------------------------------------------------------------------ walls


def test_the_22_walls_and_the_function_of_each() -> None:
    got = m.walls()
    assert got.number.tolist() == list(range(1, 23))  # type: ignore[union-attr]
    assert got.one_liner[13] == "Distributed training requires synchronization across N nodes"
    assert got.wall[6] == "Tail Latency"
    assert all(WALLS[w].facts["one_liner"].source.title.startswith("mlsysim cheat sheet") for w in got.wall)
    for row in got.function:
        assert row
        assert all(name in FUNCTIONS for name in row.split(", "))
    assert not got.binds.any()  # type: ignore[union-attr]
    assert set(got.value) == set(got.verdict) == {""}


def rows(model: str, hardware: str) -> dict[int, dict[str, Any]]:
    table = FUNCTIONS["MLS_WALLS"](model, hardware)
    assert isinstance(table, list)
    return {int(r[0]): dict(zip(map(str, table[0]), r, strict=True)) for r in table[1:]}  # type: ignore[arg-type]


def test_walls_of_a_model_that_fits() -> None:
    got, step = rows("Llama3_8B", "H100"), m.roofline("Llama3_8B", "H100")
    assert [n for n, r in got.items() if r["binds"]] == [2]
    assert got[1]["limit"] == pytest.approx(989, rel=1e-3)
    assert got[1]["value"] == pytest.approx(989 * step.hfu, rel=1e-3)
    assert got[2]["limit"] == 3350
    assert got[2]["headroom"] == pytest.approx(1 - got[2]["value"] / got[2]["limit"])
    assert got[2]["verdict"].startswith("binds: bandwidth")
    assert got[4]["value"] == pytest.approx(m.serving("Llama3_8B", "H100", seq_len=2048).decode_throughput)
    assert got[4]["value"] < got[4]["limit"]  # no decode beats the data sheet's bandwidth
    assert got[21]["verdict"] == "memory bandwidth binds"
    assert got[21]["value"] == pytest.approx(-m.sensitivity("Llama3_8B", "H100").memory_bandwidth)
    assert got[1]["basis"] == "batch 1, fp16, 2048 tokens"
    for number in (6, *range(7, 21), 22):
        assert got[number]["verdict"].startswith("needs ")
        assert got[number]["value"] == got[number]["limit"] == got[number]["headroom"] == ""
    assert got[17]["verdict"] == "needs a fleet"


def test_walls_of_a_model_that_does_not_fit() -> None:
    got, step = rows("Llama3_70B", "H100"), m.roofline("Llama3_70B", "H100")
    assert [n for n, r in got.items() if r["binds"]] == [2]
    assert got[2]["unit"] == "GB"
    assert got[2]["value"] - got[2]["limit"] == pytest.approx(step.shortfall / 1e9)
    assert got[2]["headroom"] < 0
    assert f"{step.shortfall / 1e9:.4g} GB are missing" in got[2]["verdict"]
    assert got[4]["verdict"].startswith("exceeded")
    assert got[5]["verdict"].startswith("exceeded")


@pytest.mark.parametrize("hardware", ["nRF52840", "TPUv5e", "A100", "MI300X"])
@pytest.mark.parametrize("model", ["DS_CNN", "ResNet50", "Mixtral_8x7B", "GPT3"])
def test_exactly_one_wall_binds_and_no_cell_is_odd(model: str, hardware: str) -> None:
    got = rows(model, hardware)
    assert sum(r["binds"] for r in got.values()) == 1
    for row in got.values():
        for cell in row.values():
            assert isinstance(cell, str | float | bool)
            assert not (isinstance(cell, float) and not math.isfinite(cell))
            assert not str(cell).startswith("#")


def test_walls_refuse_half_a_question() -> None:
    excel = FUNCTIONS["MLS_WALLS"]
    for cells in (("Llama3_8B",), (None, "H100")):
        assert excel(*cells) == "#MLS! MLS_WALLS: give model and hardware together, or neither"
    assert "did you mean" in str(excel("Llama3_8B", "H10O"))
    assert "model must be a single cell" in str(excel([["Llama3_8B"], ["GPT3"]], "H100"))


# ------------------------------------------------------------------ checksums

hashed = FUNCTIONS["MLS_HASH"]


def test_a_checksum_is_fixed() -> None:
    """Workbooks keep these: a change of the rule would cry wolf in every one of them."""
    assert hashed([[1.0, "a"], [None, True]]) == "59f8401d32ed"
    assert hashed("H100") == "4435f5638b1e"


def test_the_same_cells_have_the_same_checksum_in_every_runtime() -> None:
    assert hashed([[1, 2]]) == hashed([[1.0, 2.0]]) == hashed(((1, 2),)) == hashed([1, 2])
    assert hashed([[5]]) == hashed(5.0)
    assert hashed([[None]]) == hashed("") == hashed([[""]])
    assert hashed([[0.1 + 0.2]]) == hashed([[0.3]])  # 15 digits
    assert hashed([[-0.0]]) == hashed([[0.0]])
    assert hashed([[True]]) == hashed([[1.0]])  # LibreOffice delivers TRUE as 1
    assert hashed([[dt.datetime(2026, 1, 1)]]) == hashed([[46023.0]])
    assert re.fullmatch("[0-9a-f]{12}", str(hashed([[1.0]])))


def test_any_change_changes_the_checksum() -> None:
    base: list[list[Any]] = [[1.0, "a"], [2.0, None]]
    other: list[Any] = [
        [[1.0, "a"], [2.0, ""], [None, None]],
        [[1.0, "a", 2.0, None]],
        [[1.0], ["a"], [2.0], [None]],
        [[1.0, "A"], [2.0, None]],
        [[1.0, "a "], [2.0, None]],
        [["1", "a"], [2.0, None]],
        [[1.0 + 1e-12, "a"], [2.0, None]],
        [["a", 1.0], [2.0, None]],
        [[1.0, "a"], [2.0, 0.0]],
        [[1.0, 'a"], [2.0, "'], [2.0, None]],
    ]
    found = [hashed(o) for o in (base, *other)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("bad", ["#N/A", math.nan, math.inf, -2146826246])
def test_errors_are_refused_by_name(bad: Any) -> None:
    assert str(hashed([[1.0, bad]])).startswith("#MLS! MLS_HASH: cells holds")
