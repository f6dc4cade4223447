"""Wall 2: what occupies a device, against hand-computed sums and against the solvers that share its rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim import MlsysError, OutOfDomain

CHIP = "Chip; memory = 100 GB; bandwidth = 1 TB/s; memory_class = hbm; fp16 = 100 TFLOP/s; bf16 = 100 TFLOP/s"
LM = (
    "LM; family = transformer; unit = token; params = 2B; layers = 10; hidden = 1000; heads = 10; kv_heads = 5; "
    "head_dim = 100; ffn = 4000; vocab = 32000"
)


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-12)


def test_inference_by_hand() -> None:
    got = m.memory(LM, CHIP, batch=8, seq_len=1000)
    assert got.weights == close(4e9)
    assert got.kv_cache == close(2 * 10 * 5 * 100 * 1000 * 8 * 2)
    assert got.total == close(4e9 + got.kv_cache)
    assert (got.gradients, got.optimizer, got.activations) == (0, 0, 0)
    assert got.usable == close(95e9)
    assert got.headroom == close(95e9 - got.total)
    assert (got.feasible, got.shortfall, got.min_devices) == (True, 0, 1)


def test_training_by_hand() -> None:
    got = m.memory(LM, CHIP, batch=2, seq_len=500, training=True, precision="bf16")
    assert (got.weights, got.gradients, got.optimizer) == (close(4e9), close(4e9), close(24e9))
    assert got.activations == close(10 * 34 * 2 * 500 * 1000)  # 34 s b h a layer [Korthikanti 2023]
    plain = m.memory(LM, CHIP, batch=2, seq_len=500, training=True, precision="bf16", recompute="none")
    assert plain.activations == close(10 * 2 * 500 * (34 * 1000 + 5 * 10 * 500))
    full = m.memory(LM, CHIP, batch=2, seq_len=500, training=True, precision="bf16", recompute="full")
    assert full.activations < got.activations / 4
    assert got.kv_cache == 0


def test_zero_shards_what_its_stage_says() -> None:
    def state(stage: int) -> tuple[float, float, float]:
        got = m.memory(LM, CHIP, training=True, precision="bf16", dp=4, zero_stage=stage)
        return got.weights / 1e9, got.gradients / 1e9, got.optimizer / 1e9

    assert state(0) == close_all(4, 4, 24)
    assert state(1) == close_all(4, 4, 6)
    assert state(2) == close_all(4, 1, 6)
    assert state(3) == close_all(1, 1, 6)


def close_all(*values: float) -> Any:
    return pytest.approx(values, rel=1e-12)


def test_tensor_and_pipeline_shards() -> None:
    whole, half = (m.memory(LM, CHIP, batch=4, tp=tp) for tp in (1, 5))
    assert half.total == close(whole.total / 5)
    assert m.memory(LM, CHIP, batch=4, pp=2).total == close(whole.total / 2)
    # 10 ranks and 5 key-value heads: each is stored twice
    assert m.memory(LM, CHIP, batch=4, tp=10).kv_cache == close(2 * whole.kv_cache / 10)
    kept = m.memory(LM, CHIP, training=True, precision="bf16").activations
    assert m.memory(LM, CHIP, training=True, precision="bf16", pp=5).activations == close(kept)  # 1F1B keeps pp of them


def test_it_agrees_with_the_solvers_that_share_its_rules() -> None:
    for options in ({}, {"dp": 8, "zero_stage": 2}, {"recompute": "none"}):
        mine = m.memory("Llama3_8B", "H100", batch=4, seq_len=2048, training=True, precision="bf16", **options)
        other = m.roofline("Llama3_8B", "H100", batch=4, seq_len=2048, training=True, precision="bf16", **options)
        assert mine.total == close(other.memory_footprint)
    served = m.serving("Llama3_70B", "H100", seq_len=4096, batch=8, tp=4)
    mine = m.memory("Llama3_70B", "H100", seq_len=4096, batch=8, tp=4)
    assert 4 * mine.total == close(served.total_memory_required)
    assert mine.feasible == served.feasible
    assert m.memory("ResNet50", "A100", batch=64).total == close(
        m.roofline("ResNet50", "A100", batch=64).memory_footprint
    )


def test_published_figures() -> None:
    assert m.memory("Llama3_8B", "H100", seq_len=1).kv_cache == 131_072
    assert m.memory("Llama3_70B", "H100", seq_len=4096).kv_cache / 1e9 == pytest.approx(1.342, abs=1e-3)  # GQA
    # 16 bytes a parameter over 8 ranks: 45.5625 GiB less 16 bytes for gradients kept in fp32 there
    dense = m.memory("Llama3_8B", "H100", training=True, precision="bf16", batch=1, seq_len=1)
    assert dense.weights + dense.optimizer + dense.gradients == close(16 * 8.030261248e9)


def test_what_does_not_fit_says_by_how_much() -> None:
    big = m.memory("Llama3_70B", "H100")
    assert not big.feasible
    assert big.headroom == 0
    assert big.shortfall == close(big.total - big.usable)
    assert big.min_devices == 2
    assert m.memory("Llama3_70B", "H100", tp=2).feasible
    tight = m.memory("Llama3_70B", "H200")  # the driver's 143,771 MiB hold 141.2e9 B: fits, and says how barely
    assert tight.feasible
    assert 0 < tight.headroom < 1e9
    assert not m.memory("Llama3_70B", "H200; base = H200; memory = 141 GB").feasible  # GB taken at their word
    assert m.memory("Llama3_70B", "H100", precision="int4").feasible
    assert m.memory("Llama3_70B", "H100", precision="w4a16").feasible


def test_a_cache_may_be_narrower_than_the_weights() -> None:
    wide, narrow = m.memory(LM, CHIP, batch=8), m.memory(LM, CHIP, batch=8, kv_precision="fp8")
    assert narrow.kv_cache == close(wide.kv_cache / 2)
    assert narrow.weights == wide.weights


def test_lora_trains_little() -> None:
    full, lora = (m.memory(LM, CHIP, training=True, precision="bf16", lora=r) for r in (None, 8))
    assert lora.optimizer < full.optimizer / 100
    assert lora.weights > full.weights


def test_arrays_are_their_scalars() -> None:
    batch, length = np.array([1, 16, 64]), np.array([[128], [4096]])
    block = m.memory(LM, CHIP, batch=batch, seq_len=length)
    for i in range(2):
        for j in range(3):
            one = m.memory(LM, CHIP, batch=int(batch[j]), seq_len=int(length[i, 0]))
            for name, value in vars(one).items():
                assert getattr(block, name)[i, j] == value, name


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"batch": 0}, "batch must be a whole number from 1"),
        ({"batch": -1}, "batch must"),
        ({"batch": 1.5}, "batch must be a whole number"),
        ({"batch": float("nan")}, "NaN"),
        ({"batch": "8 GB"}, "batch"),
        ({"seq_len": 0}, "seq_len must"),
        ({"seq_len": -5, "training": True}, "seq_len must"),
        ({"zero_stage": 7, "training": True}, "zero_stage must"),
        ({"dp": 0, "zero_stage": 3, "training": True}, "dp must"),
        ({"zero_stage": 1}, "are of training"),
        ({"dp": 2}, "are of training"),
        ({"kv_precision": "fp8", "training": True}, "kv_precision is of inference"),
        ({"tp": 3}, "tp must divide the 10 heads"),
        ({"pp": 11}, "pp must not exceed the 10 layers"),
        ({"reserve": 1}, "reserve must be below 1"),
        ({"precision": "fp12"}, "fp12"),
        ({"precision": "int4", "training": True}, "not modelled"),
        ({"recompute": "some"}, "recompute must be one of"),
    ],
)
def test_refusals(options: dict[str, Any], why: str) -> None:
    with pytest.raises(MlsysError, match=why):
        m.memory(LM, CHIP, **options)


def test_only_transformers_are_sharded() -> None:
    with pytest.raises(OutOfDomain, match="tp and pp must be 1 for the cnn"):
        m.memory("ResNet50", "A100", tp=2)
