"""What models ask of a device, against sums over every pair of positions and every expert."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import MissingFact
from mlsysim.solvers.workload import cache_bytes, forward_flops, touched_bytes
from mlsysim.things import MODELS, Model, Precision

SHAPE = "unit = token; params = 1M; layers = 6; hidden = 64; heads = 4; kv_heads = 2; head_dim = 16"
LM = f"LM; family = transformer; {SHAPE}"
CHIP = "Chip; fp16 = 100 TFLOP/s; memory = 100 GB; bandwidth = 1 TB/s"


def seen(new: int, context: int, window: int = 10**9) -> int:
    """Pairs of a new position and those it sees, itself included."""
    return sum(min(position, window) for position in range(context - new + 1, context + 1))


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12)


CUTS = [(1, 1), (1, 50), (7, 7), (50, 50), (10, 50), (49, 50), (20, 30)]


@pytest.mark.parametrize(("new", "context"), CUTS)
def test_causal_attention_counts_the_pairs_that_exist(new: int, context: int) -> None:
    work = forward_flops(Model.of(LM), float(new), float(context))
    assert work == close(2 * 1e6 * new + 4 * 6 * 4 * 16 * seen(new, context))


@pytest.mark.parametrize(("new", "context"), CUTS)
@pytest.mark.parametrize("window", [1, 20, 50, 1000])
def test_windowed_layers_see_their_window(new: int, context: int, window: int) -> None:
    model = Model.of(f"{LM}; window = {window}; window_layers = 4")
    pairs = 2 * seen(new, context) + 4 * seen(new, context, window)
    assert forward_flops(model, float(new), float(context)) == close(2 * 1e6 * new + 4 * 4 * 16 * pairs)
    cache = cache_bytes(model, float(context), 3.0, 2.0)
    assert cache == close(2 * 2 * 16 * 2 * 3 * (2 * context + 4 * min(context, window)))


def test_a_prompt_in_two_parts_is_the_prompt() -> None:
    for text in (LM, f"{LM}; window = 9; window_layers = 6"):
        model = Model.of(text)
        parts = forward_flops(model, 30.0, 30.0) + forward_flops(model, 20.0, 50.0)
        assert parts == close(forward_flops(model, 50.0, 50.0))


def test_latent_attention_scores_are_wider_by_the_position() -> None:
    plain, latent = Model.of(LM), Model.of(f"{LM}; kv_lora_rank = 32; rope_dim = 8")
    more = forward_flops(latent, 5.0, 9.0) - forward_flops(plain, 5.0, 9.0)
    assert more == close(2 * 6 * 4 * 8 * seen(5, 9))
    assert cache_bytes(latent, 9.0, 2.0, 2.0) == close(6 * (32 + 8) * 9 * 2 * 2)


def test_a_window_needs_to_say_which_layers_use_it() -> None:
    with pytest.raises(MissingFact, match="LM has no window_layers on record"):
        m.kvcache(f"{LM}; window = 9", seq_len=10)


def test_an_encoder_sees_both_ways_and_looks_its_embedding_up() -> None:
    shape = LM.replace("unit = token", "unit = sequence") + "; sequence = 20; vocab = 1000"
    assert forward_flops(Model.of(shape), 1.0, 1.0) == close(2 * (1e6 - 64_000) * 20 + 4 * 6 * 64 * 20 * 20)
    assert cache_bytes(Model.of(shape), 10.0, 4.0, 2.0) == 0
    longer = m.roofline("Long; base = BERT_Base; sequence = 512", CHIP).latency_compute
    assert longer > 3.9 * m.roofline("BERT_Base", CHIP).latency_compute  # the sourced work was that of 128 tokens


@pytest.mark.parametrize(("recompute", "again"), [("none", 3), ("selective", 3.5), ("full", 4.5)])
def test_lora_has_two_thirds_of_the_matrix_work(recompute: str, again: float) -> None:
    full, lora = (
        m.roofline(LM, CHIP, training=True, recompute=recompute, lora=r, seq_len=64, efficiency=0.5) for r in (None, 4)
    )
    matrices, scores = 2 * 1e6 * 64, 4 * 6 * 4 * 16 * seen(64, 64)  # forward; scores have no weights to freeze
    passes = 4 if recompute == "full" else 3
    assert full.latency_compute == close((passes * matrices + again * scores) / 50e12)
    assert lora.latency_compute == close(((passes - 1) * matrices + again * scores) / 50e12)


def test_expected_experts_by_drawing_them() -> None:
    text = (
        LM.replace("transformer", "moe")
        + "; active_params = 400k; experts = 8; experts_per_token = 2; expert_params = 800k"
    )
    model, fmt = Model.of(text), Precision.of("fp16")
    draw = np.random.default_rng(1)
    for tokens in (1, 4, 16):
        hit = np.mean(
            [len({e for _ in range(tokens) for e in draw.choice(8, 2, replace=False)}) / 8 for _ in range(2000)]
        )
        expected = 2 * (200e3 + 800e3 * hit)
        assert touched_bytes(model, fmt, float(tokens)) == pytest.approx(expected, rel=0.02)
    assert touched_bytes(model, fmt, 1e6) == close(2e6)


def test_weights_of_every_model_and_format_are_counted_once() -> None:
    for key in MODELS:
        for name, bits in (("fp16", 16), ("int8", 8)):
            model, fmt = Model.of(key), Precision.of(name)
            if model.unit == "token" and model.family in ("transformer", "moe") and model.heads is None:
                missing = f"{key} has no (heads|active_params) on record"  # the carbon papers give no shape: no guess
                with pytest.raises(MissingFact, match=missing):
                    forward_flops(model, 1.0, 1.0)
                continue
            read = touched_bytes(model, fmt, 1.0)
            assert 0 < read <= model.params * bits / 8 * (1 + 1e-12), key
            assert touched_bytes(model, fmt, 1e9) <= model.params * bits / 8 * (1 + 1e-12), key
            if model.unit == "token" and model.family in ("transformer", "moe"):
                work = forward_flops(model, 1.0, 1.0)
                assert 1.9 * float(model.active_params or model.params) < work, key


@pytest.mark.parametrize(
    ("spec", "missing"),
    [
        ("D; family = diffusion; unit = image; params = 1B; flops = 1 TFLOP", "steps"),
        ("E; family = transformer; unit = sequence; params = 100M; flops = 20 GFLOP", "sequence"),
        (
            "E; family = transformer; unit = sequence; params = 100M; sequence = 9; layers = 2; hidden = 8; heads = 2",
            "vocab",
        ),
    ],
)
def test_a_size_that_decides_the_work_is_never_assumed(spec: str, missing: str) -> None:
    with pytest.raises(MissingFact, match=missing):
        m.roofline(spec, "H100")
