"""What a second reader found by asking through the sheet's functions, each with the answer that is right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlsysim import capacity, parallelism, solve_for, tail_latency, training, walls
from udfs import FUNCTIONS

PLAN = "seq_len = 8192; zero_stage = 2"


def ask(name: str, *cells: object) -> object:
    return FUNCTIONS[name](*cells)


# ------------------------------------------------------------------ memory of a pipeline


def test_no_pipeline_keeps_more_micro_batches_than_there_are() -> None:
    """With 16 micro-batches on 16 stages all are in flight; interleaving cannot add a 17th."""

    def held(interleave: int, batch: int) -> float:
        return float(
            training(
                "Llama3_405B", "Meta_Llama3_16K_H100", batch=batch, tp=8, pp=16, seq_len=8192, interleave=interleave
            ).memory_footprint
        )

    assert held(7, 2048) == pytest.approx(held(1, 2048))
    assert held(7, 8192) > 1.05 * held(1, 8192)  # with room for more, the schedule keeps more


def test_the_published_plan_of_llama_3_fits_and_comes_near_its_published_utilisation() -> None:
    """TP 8, PP 16, DP 128, 16 M tokens a step on 16,384 H100: 400 TFLOP/s, MFU 0.41 (Llama 3, table 4)."""
    mfu = ask("MLS_TRAINING", "Llama3_405B", "Meta_Llama3_16K_H100", 2048.0, "mfu", 8.0, 16.0, "bf16", None,
              f"{PLAN}; interleave = 7")  # fmt: skip
    assert isinstance(mfu, float)
    assert 0.33 < mfu < 0.47


# ------------------------------------------------------------------ the table of walls


def test_what_cannot_be_timed_is_unknown_not_exceeded() -> None:
    """A TPU v5e without a host link on record cannot spill: its rates are unknown, not above a ceiling."""
    table = walls("Llama3_8B", "TPUv5e")
    compute, software = table.verdict[0], table.verdict[2]
    assert compute.startswith("unknown: ")
    assert software.startswith("unknown: ")
    assert table.verdict[1].startswith("binds: capacity")


def test_no_wall_has_a_negative_limit() -> None:
    limits = [x for x in walls("Llama3_70B", "H100").limit if isinstance(x, float)]
    assert min(limits) >= 0


# ------------------------------------------------------------------ words


def test_a_larger_gain_is_not_called_next_best() -> None:
    said = str(ask("MLS_WHY", "MLS_ROOFLINE", "Llama3_8B", "H100"))
    assert "; more from precision = fp8 instead of fp16 (39 %)" in said
    assert "next best: precision = fp8" not in said


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (("MLS_TCO", "Research_256", "opex_energy"), "did you mean opex_energy_usd"),
        (("MLS_TCO", "Research_256", *[None] * 6, "utilization = 0.5"), "did you mean utilisation?"),
        (("MLS_TCO", "Research_256", None, None, "Quebek"), "MLS_TCO: datacenter: sites has no 'Quebek'; did you mean"),
        (("MLS_SERVING", "Llama3_8B", "H100", 1000.0, None, None, "fp99"), "MLS_SERVING: precision: precision has no"),
        (("MLS_SERVING", "Llama3_8B", "H100", 1000.0, None, None, "fp4"), "MLS_SERVING: H100 has no fp4 rate"),
        (("MLS_SERVING", "DeepSeek_V3", "H200", 1000.0, None, 1.0, "fp8", None, 8.0, "ep = 8"), "tp = 1 and ep = 8"),
        (("MLS_TCO", "Research_256", "tco_usd", "x"), "'80 days'"),
        (("MLS_GPU_HOUR", "$175200", 8.0), "'80 USD'"),
        (("MLS_POWER_BUDGET", 20000.0, "H100"), "in Excel in MW: 20, not 20000"),
        (("MLS_POWER_BUDGET", 20.0, "H100", "tokens_per_s"), "give tokens_per_s_per_device"),
        (("MLS_ROOFLINE", "DS_CNN", "RA8D1", "energy", 1.0, "int8"), "the device has no tdp on record"),
        (("MLS_COLLECTIVE", "H100", 1.0, 1.0, "algorithm_bandwidth"), "one device has nobody to send to"),
        (("MLS_IRONLAW", 3e23, 1024.0, 1e-300), "leaves the range of arithmetic"),
    ],
)
def test_a_refusal_names_the_place_and_the_remedy(cells: tuple[object, ...], words: str) -> None:
    answer = ask(str(cells[0]), *cells[1:])
    assert isinstance(answer, str)
    assert answer.startswith("#MLS! ")
    assert words in answer


def test_no_help_text_is_cut() -> None:
    for function in FUNCTIONS.values():
        for argument in function.parameters:
            assert len(argument.help) <= 255
            assert not argument.help.endswith("..."), (function.name, argument.name)


def test_an_argument_that_must_be_given_offers_no_blank() -> None:
    for function in FUNCTIONS.values():
        for argument in function.parameters:
            if not argument.optional:
                assert "blank:" not in argument.help, (function.name, argument.name)
            assert "blank: the sourced default (default" not in argument.help


# ------------------------------------------------------------------ options as a range


def test_options_may_stand_in_a_range_of_names_and_values() -> None:
    def total(options: object) -> object:
        return ask("MLS_TCO", "Research_256", "tco_usd", 365.0, None, 0.4, None, 3.0, options)

    text = total("maintenance = 0.05; staff = 1000")
    assert isinstance(text, float)
    assert total([["maintenance", 0.05], ["staff", 1000.0]]) == text
    assert total([["maintenance", "5%"], [None, None], ["staff", "1000 USD"], ["utilisation", None]]) == text
    assert total([["maintenance", 0.05]]) == total("maintenance = 0.05")
    assert "staff holds the error #N/A" in str(total([["maintenance", 0.05], ["staff", "#N/A"]]))
    assert "did you mean maintenance?" in str(total([["maintainance", 0.05], ["staff", 1000.0]]))
    assert "maintenance must be a number from 0 up to 1" in str(total([["maintenance", 5.0], ["staff", 1000.0]]))


def test_a_range_of_option_texts_still_answers_element_by_element() -> None:
    pair = ask("MLS_TCO", "Research_256", "tco_usd", 365.0, None, 0.4, None, 3.0, [["staff = 0", "staff = 1000"]])
    assert isinstance(pair, list)
    assert pair[0][0] < pair[0][1]  # type: ignore[operator]


def test_flags_and_things_stand_in_the_range_too() -> None:
    long = ask("MLS_SERVING", "Llama3_8B", "H100", 1000.0, "ttft", 1.0, "fp16", None, 1.0,
               [["decode_hardware", "A100; link = 300 GB/s"], ["link", "50 GB/s"]])  # fmt: skip
    assert isinstance(long, (float, str))
    flag = ask("MLS_COLLECTIVE", "H200", 8.0, 1.0, "time", [["in_switch", True]])
    assert flag == ask("MLS_COLLECTIVE", "H200", 8.0, 1.0, "time", "in_switch = TRUE")


# ------------------------------------------------------------------ edges


def test_a_new_device_has_its_price() -> None:
    assert ask("MLS_RESIDUAL", 25000.0, 0.0) == 25000.0
    column = ask("MLS_RESIDUAL", 25000.0, [[0.0], [1.0], [2.0]])
    assert column == [[25000.0], [pytest.approx(18000.0)], [pytest.approx(12960.0)]]


def test_a_very_large_service_is_sized_not_refused_by_an_inner_function() -> None:
    small = capacity("Llama3_8B", "H100", requests_per_s=1e3, input_tokens=1000, output_tokens=200)
    large = capacity("Llama3_8B", "H100", requests_per_s=1e5, input_tokens=1000, output_tokens=200)
    assert np.isfinite(large.queue_wait)
    assert math.isclose(large.groups / small.groups, 100, rel_tol=0.05)


# ------------------------------------------------------------------ solved backwards, and searched


def test_a_tail_between_the_points_of_the_first_look_is_found() -> None:
    """p99 of three servers of 100 ms is 0.53 s at 17.8 requests/s and 0.99 s at 25: 0.8 s lies between."""
    rate = solve_for("tail_latency", "arrival_rate", 0.8, service_time=0.1, servers=3)
    assert 17.8 < rate < 25
    assert tail_latency(arrival_rate=rate, service_time=0.1, servers=3).p99 == pytest.approx(0.8, rel=1e-5)
    near = solve_for("tail_latency", "arrival_rate", 60.0, service_time=0.1, servers=3)
    assert 29.9 < near < 30


def test_the_search_interleaves_layers_that_no_number_of_stages_divides() -> None:
    """126 layers on 16 stages: the fullest stage has 8, in 4 chunks of 2; what `training` takes is searched."""
    plans = parallelism("Llama3_405B", "Meta_Llama3_16K_H100", batch=2048, seq_len=8192, rows=5)
    by_hand = training(
        "Llama3_405B", "Meta_Llama3_16K_H100", batch=2048, tp=8, pp=16, seq_len=8192, zero_stage=2, interleave=4
    )
    assert by_hand.feasible
    assert np.min(plans.step_latency_total) <= by_hand.step_latency_total * (1 + 1e-9)


# ------------------------------------------------------------------ what is validated


@pytest.mark.parametrize(
    ("model", "hardware", "precision", "tp", "word"),
    [
        ("Llama3_70B", "H200", "fp8", 1.0, "validated"),
        ("DeepSeek_V3", "H200", "fp8", 8.0, "extrapolated"),
        ("gpt_oss_120b", "B200", "mxfp4", 1.0, "extrapolated"),
        ("Llama3_8B", "H100", "w4a16", 1.0, "extrapolated"),
    ],
)
def test_only_what_rows_judge_is_called_validated(
    model: str, hardware: str, precision: str, tp: float, word: str
) -> None:
    """All serving measurements are of dense models, and of tuned servers that compute as they store."""
    cells = (model, hardware, 1000.0, 1000.0, "tokens_per_s_per_device_validity", None, precision, tp)
    assert ask("MLS_THROUGHPUT", *cells) == word
