"""Walls 12 and 13: chains of reasoning, and the peer's faults about compression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim import MissingFact, MlsysError
from mlsysim.solvers.workload import default


def close(value: float, rel: float = 1e-12) -> Any:
    return pytest.approx(value, rel=rel)


def test_time_tokens_and_energy() -> None:
    got = m.reasoning("Llama3_8B", "H100", steps=8)
    served = m.serving("Llama3_8B", "H100", seq_len=2048, output_tokens=400)
    assert got.tokens_generated == 400
    assert (got.ttft, got.itl) == (close(served.ttft), close(served.itl))
    assert got.time == close(served.ttft + 400 * served.itl)
    assert got.time_per_step == close(50 * served.itl)
    share = (served.ttft * default("power_prefill") + 400 * served.itl * default("power_decode")) / got.time
    assert got.energy == close(700 * share * got.time)
    assert got.average_power_share == close(share)
    assert got.energy < 0.6 * 700 * got.time  # the peer charges the whole TDP


def test_the_mean_length_is_the_sum_over_tokens() -> None:
    """Sum of ITL(S + i): the traffic of a token is linear in its position."""
    tokens = 2000
    each = m.serving("Llama3_8B", "H100", seq_len=np.arange(2048, 2048 + tokens)).itl
    got = m.reasoning("Llama3_8B", "H100", steps=40)
    assert got.time - got.ttft == close(float(each.sum()), 1e-4)  # half a token between the two means


def test_long_chains_slow_down() -> None:
    """The peer keeps the cache constant: 50,000 tokens at the same ITL."""
    got = m.reasoning("Llama3_8B", "H100", steps=np.array([1, 10, 100, 1000]))
    assert (np.diff(got.itl) > 0).all()
    chain = got.time - got.ttft
    assert (np.diff(chain / got.tokens_generated) > 0).all()
    assert chain[3] > 1000 * 1.1 * chain[0]


def test_tokens_per_step_and_steps_multiply() -> None:
    few, many = (m.reasoning("Llama3_8B", "H100", steps=s, tokens_per_step=t) for s, t in ((10, 200), (40, 50)))
    assert few.time == close(many.time)
    assert few.time_per_step == close(4 * many.time_per_step)


def test_what_does_not_fit() -> None:
    assert not m.reasoning("Llama3_70B", "H100", steps=8).feasible
    assert m.reasoning("Llama3_70B", "H100", steps=8, tp=2).feasible
    long = m.reasoning("Llama3_8B", "H100", steps=np.array([8, 20_000]))
    assert long.feasible.tolist() == [True, False]  # a million tokens of cache
    assert long.shortfall[1] > 0


def test_batch_shares_the_device() -> None:
    one, many = (m.reasoning("Llama3_8B", "H100", steps=8, batch=b) for b in (1, 16))
    assert many.time > one.time
    assert many.energy < one.energy / 4


def test_energy_of_an_unknown_power_is_unknown() -> None:
    chip = "Chip; memory = 100 GB; bandwidth = 1 TB/s; memory_class = hbm; fp16 = 100 TFLOP/s"
    got = m.reasoning("Llama3_8B", chip, steps=8)
    assert np.isnan(got.energy)
    assert got.time > 0


def test_arrays_are_their_scalars() -> None:
    steps, length = np.array([1, 30]), np.array([[128], [4096]])
    block = m.reasoning("Llama3_8B", "H100", steps=steps, seq_len=length)
    for i in range(2):
        for j in range(2):
            one = m.reasoning("Llama3_8B", "H100", steps=int(steps[j]), seq_len=int(length[i, 0]))
            for name, value in vars(one).items():
                assert np.broadcast_to(getattr(block, name), (2, 2))[i, j] == close(value), name


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"steps": -1}, "steps must be a whole number from 1"),
        ({"steps": 0}, "steps must"),
        ({"steps": 1.5}, "steps must be a whole number"),
        ({"steps": float("nan")}, "NaN"),
        ({"tokens_per_step": 0}, "tokens_per_step must"),
        ({"seq_len": 0}, "seq_len must"),
        ({"efficiency": 2}, "efficiency must"),
        ({"precision": "fp12"}, "fp12"),
    ],
)
def test_refusals(options: dict[str, Any], why: str) -> None:
    with pytest.raises(MlsysError, match=why):
        m.reasoning("Llama3_8B", "H100", **({"steps": 8} | options))


def test_the_class_of_wall_12() -> None:
    assert m.InferenceScalingModel.solve("Llama3_8B", "H100") == m.reasoning("Llama3_8B", "H100", steps=8)


# ---------------------------------------------------------------- wall 13


def test_int4_is_compared_with_fp16() -> None:
    """Peer fault 11: 8x against fp32; models are served in fp16."""
    got = m.compression("Llama3_8B", "H100", bits=4)
    assert got.compression_ratio == close(16 / (4 + 16 / 128))
    assert 1 < got.inference_speedup < 4
    assert m.compression("Llama3_8B", "H100", bits=4, baseline="fp32").compression_ratio == close(32 / 4.125)


def test_twelve_bits_lose_no_more_than_eight() -> None:
    """Peer fault 12."""
    delta = m.compression("Llama3_8B", "H100", bits=np.array([2, 3, 4, 8, 12, 15, 16])).estimated_accuracy_delta
    assert (np.diff(delta) >= 0).all()
    assert delta[-1] == 0


def test_pruning_nothing_costs_nothing() -> None:
    """Peer fault 13."""
    for pattern in ("unstructured", "structured"):
        got = m.compression("Llama3_8B", "H100", method="pruning", sparsity=0, structured=pattern)  # type: ignore[arg-type]
        assert (got.compression_ratio, got.inference_speedup, got.estimated_accuracy_delta) == (1, 1, 0)


def test_two_of_four_needs_hardware() -> None:
    """Peer fault 14: a V100 has none, so nothing runs faster."""
    options: Any = {"method": "pruning", "sparsity": 0.5, "structured": "2:4"}
    old, new = (m.compression("Llama3_8B", h, **options) for h in ("V100", "A100"))
    assert (old.inference_speedup, old.hardware_support) == (1, False)
    assert new.hardware_support is True
    assert 1.3 < new.inference_speedup < 2
    assert old.compression_ratio == new.compression_ratio == close(16 / 9)  # on disk
    chip = "Chip; memory = 100 GB; bandwidth = 1 TB/s; memory_class = hbm; fp16 = 100 TFLOP/s"
    with pytest.raises(MissingFact, match="whether it has 2:4 sparsity is not on record"):
        m.compression("Llama3_8B", chip, **options)


def test_unstructured_pruning_is_stored_smaller_and_runs_the_same() -> None:
    got = m.compression("Llama3_8B", "H100", method="pruning", sparsity=0.6)
    assert got.compression_ratio > 2
    assert (got.inference_speedup, got.hardware_support) == (1, False)


@pytest.mark.parametrize(
    "options",
    [
        {"bits": 0},
        {"bits": float("nan")},
        {"sparsity": -0.1},
        {"sparsity": 1.1},
        {"method": "distil"},
        {"bits": "four"},
    ],
)
def test_compression_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(MlsysError):
        m.compression("Llama3_8B", "H100", **options)
