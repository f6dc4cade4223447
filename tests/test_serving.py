"""Serving in all its variants, worked out by hand: drafts, two kinds of device, experts, stages, caches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from serving_cases import (
    CHIP,
    COMPUTE,
    DENSE,
    DRAFT,
    LINK,
    LM,
    MOE,
    NEAR,
    PER_LAYER,
    PER_PASS,
    SMALL,
    STREAM,
    VALUES,
    close,
    serve,
)

import mlsysim as m
from mlsysim.errors import MissingFact, OutOfDomain
from mlsysim.solvers.workload import default
from mlsysim.things import Device

# ---------------------------------------------------------------- speculative decoding


@pytest.mark.parametrize("acceptance", [1, 0.7, 0.01])
@pytest.mark.parametrize("ahead", [1, 4])
def test_a_draft_proposes_and_one_wider_step_verifies(acceptance: float, ahead: int) -> None:
    batch, out = 2, 100
    got = serve(batch=batch, output_tokens=out, draft=DRAFT, draft_tokens=ahead, acceptance=acceptance)
    context = 512 + out / 2
    rounds = ahead * SMALL.step(batch, context) + DENSE.step(batch, context, ahead + 1)
    tokens = sum(acceptance**i for i in range(ahead + 1))  # the step's own token always counts
    assert got.itl == close(rounds / tokens)
    assert got.decode_throughput == close(batch / got.itl)
    plain = serve(batch=batch, output_tokens=out)
    extra = 2 * SMALL.params + SMALL.cache(512 + out, batch)
    assert got.total_memory_required == close(plain.total_memory_required + extra)
    assert (got.kv_cache_size, got.model_weights_size) == (plain.kv_cache_size, plain.model_weights_size)
    assert plain.itl == close(DENSE.step(batch, context))


def test_a_useless_draft_slows_and_a_perfect_one_quickens() -> None:
    plain = serve()
    assert serve(draft=DRAFT, acceptance=1e-6).itl > plain.itl + 4 * SMALL.step(1, 512) * 0.99
    assert serve(draft=DRAFT, acceptance=1).itl < plain.itl / 2
    assert serve(draft=LM, acceptance=1).itl > plain.itl  # four full steps and a wider one for five tokens
    assert np.all(np.diff(serve(draft=DRAFT, acceptance=np.linspace(0.05, 1, 20)).itl) < 0)


def test_blank_draft_figures_are_the_sourced_defaults() -> None:
    told = serve(draft=DRAFT, draft_tokens=default("draft_tokens"), acceptance=default("draft_acceptance"))
    assert serve(draft=DRAFT).itl == told.itl
    for alone in ({"acceptance": 0.5}, {"draft_tokens": 4}):
        with pytest.raises(OutOfDomain, match="acceptance and draft_tokens belong to a draft model"):
            serve(**alone)


def test_expected_tokens_of_a_verification() -> None:
    draw = np.random.default_rng(1)
    hits = draw.random((200_000, 4)) < 0.7
    assert m.speculation(draft_tokens=4, acceptance=0.7) == pytest.approx(
        1 + np.cumprod(hits, axis=1).sum(axis=1).mean(), rel=5e-3
    )
    assert m.speculation(draft_tokens=7, acceptance=1) == 8
    assert m.speculation(draft_tokens=4, acceptance=1e-9) == pytest.approx(1)
    for bad in (0, 1.1, math.nan, -0.1):
        with pytest.raises(OutOfDomain, match="acceptance"):
            m.speculation(draft_tokens=4, acceptance=bad)


def test_a_draft_that_does_not_fit_makes_the_pair_infeasible() -> None:
    tight = CHIP.replace("100 GB;", "4.2 GB;")
    assert serve(on=tight, reserve=0).feasible
    got = serve(on=tight, reserve=0, draft=DRAFT)
    need = 2 * 2e9 + DENSE.cache(512) + 2 * 100e6 + SMALL.cache(512)
    assert (got.feasible, got.shortfall) == (False, close(need - 4.2e9))


# ---------------------------------------------------------------- one device reads, another writes


FAST = CHIP.replace("Chip;", "Fast;").replace("1 TB/s", "4 TB/s").replace("100 TFLOP/s", "50 TFLOP/s")


def test_the_cache_moves_to_the_device_that_decodes() -> None:
    options: dict[str, Any] = {"batch": 4, "output_tokens": 200}
    got = serve(decode_hardware=FAST, link=25e9, **options)
    first, second = serve(**options), serve(on=FAST, **options)
    assert got.itl == second.itl
    assert got.ttft == close(first.ttft + DENSE.cache(512, 4) / 25e9)  # the prompt's cache, not the answer's
    assert got.total_memory_required == second.total_memory_required
    half = serve(decode_hardware=FAST, link=50e9, **options)
    assert got.ttft - half.ttft == pytest.approx(DENSE.cache(512, 4) / 50e9, rel=1e-9)


def test_both_devices_must_hold_the_model() -> None:
    served = {"seq_len": 1024, "decode_hardware": "MI300X", "link": 50e9}
    assert m.serving("Llama3_70B", "MI300X", **served).feasible
    got = m.serving("Llama3_70B", "T4", **served)
    model = m.Models.Llama3_70B
    need = 2 * model.params + 2 * 80 * 8 * 128 * 1024 * 2
    room = Device.of("T4").capacity * (1 - default("reserve"))
    assert (got.feasible, got.shortfall) == (False, close(need - room))
    other = m.serving("Llama3_70B", "MI300X", seq_len=1024, decode_hardware="T4", link=50e9)
    assert not other.feasible
    assert other.shortfall == close(got.shortfall)


def test_the_way_to_the_other_device_must_be_given() -> None:
    with pytest.raises(MissingFact, match="decode_hardware needs link"):
        serve(decode_hardware=FAST)
    with pytest.raises(OutOfDomain, match="link is the way to decode_hardware"):
        serve(link=50e9)
    for bad in (0, -1, math.nan):
        with pytest.raises(OutOfDomain, match="link"):
            serve(decode_hardware=FAST, link=bad)


# ---------------------------------------------------------------- expert parallelism

SHARED, ROUTED = 0.4e9, 1.6e9


@pytest.mark.parametrize("ep", [1, 2, 8])
def test_experts_are_sharded_and_requests_too(ep: int) -> None:
    batch, context = 16, 512
    got = serve(MOE, batch=batch, ep=ep)
    hit = 1 - (1 - 2 / 8) ** batch
    moved = 2 * (SHARED * ep + ROUTED * hit) + DENSE.cache(context, batch) + VALUES * 2 * 20 * 1000 * batch
    flops = batch * (2 * 600e6 + 4 * 20 * 10 * 80 * context)
    sent = 2 * 1000 * 2 * batch / ep  # two experts for each token of one rank
    once = 0.0 if ep == 1 else (ep - 1) / ep * sent / LINK + NEAR
    assert got.itl == close(flops / (COMPUTE * ep) + moved / (STREAM * ep) + 2 * 20 * once + 20 * PER_LAYER)
    assert got.model_weights_size == close(2 * (SHARED * ep + ROUTED))  # attention stands on every rank
    assert got.kv_cache_size == close(DENSE.cache(context, batch))
    assert got.memory_utilization == close(got.total_memory_required / (ep * 95e9))


def test_expert_parallelism_prefills_its_own_requests() -> None:
    batch, s, ep = 8, 512, 4
    got = serve(MOE, batch=batch, ep=ep)
    tokens = batch * s  # one pass
    work = batch * (2 * 600e6 * s + 4 * 20 * 10 * 80 * s * (s + 1) / 2)
    read = 2 * (SHARED * ep + ROUTED) + DENSE.cache(s, batch)
    sent = 2 * 1000 * 2 * tokens / ep
    once = (ep - 1) / ep * sent / LINK + NEAR
    busy = max(work / (COMPUTE * ep), read / (STREAM * ep))
    assert got.ttft == pytest.approx(busy + 2 * 20 * once + 20 * PER_PASS, rel=1e-9)


def test_experts_must_come_out_even() -> None:
    with pytest.raises(OutOfDomain, match="ep must divide the 8 experts of MoE"):
        serve(MOE, ep=3)
    with pytest.raises(OutOfDomain, match="ep must be 1, LM has no experts"):
        serve(ep=2)
    with pytest.raises(OutOfDomain, match="tp x pp x ep must not exceed the 16 devices"):
        serve(MOE, ep=8, tp=5)
    with pytest.raises(MissingFact, match="Chip has no link on record"):
        serve(MOE, CHIP.replace("; link = 100 GB/s", ""), ep=2)


# ---------------------------------------------------------------- pipeline parallelism


@pytest.mark.parametrize(("batch", "micro"), [(1, 1), (4, 1), (5, 2), (16, 4)])
def test_stages_work_on_micro_batches(batch: int, micro: int) -> None:
    got = serve(batch=batch, pp=4)
    hop = 2 * 1000 * micro / LINK + NEAR
    assert got.itl == close(DENSE.step(micro, 512) + 3 * hop)  # every stage reads its own weights, one after another
    assert got.decode_throughput == close(batch / got.itl)


def test_stages_spread_the_memory() -> None:
    one, four = serve(batch=8), serve(batch=8, pp=4)
    assert four.total_memory_required == close(one.total_memory_required)
    assert four.memory_utilization == close(one.memory_utilization / 4)
    tight = CHIP.replace("100 GB;", "1.5 GB;")
    assert not serve(on=tight).feasible
    assert serve(on=tight, pp=4).feasible
    assert not m.serving("Llama3_70B", "H100", seq_len=512).feasible
    assert m.serving("Llama3_70B", "H100", seq_len=512, pp=2).feasible


def test_stages_do_not_outnumber_layers_or_links() -> None:
    with pytest.raises(OutOfDomain, match="pp must not exceed the layers of LM"):
        serve(on=CHIP.replace("scale_up = 16", "scale_up = 64"), pp=40)
    with pytest.raises(OutOfDomain, match="tp x pp x ep must not exceed the 16 devices"):
        serve(tp=5, pp=4)
    with pytest.raises(OutOfDomain, match="tp must not exceed the 16 devices"):
        serve(tp=20)


# ---------------------------------------------------------------- caches


def test_a_cached_prefix_saves_arithmetic_of_the_prompt_only() -> None:
    cached = np.array([0, 100, 400, 511])
    got = serve(cached_prefix=cached, batch=4)
    plain = serve(batch=4)
    for c, seconds in zip(cached, got.ttft, strict=True):
        work = 4 * DENSE.flops(512 - int(c), float(c)) / COMPUTE
        read = (2 * 2e9 + DENSE.cache(512, 4)) / STREAM
        assert seconds == close(max(work, read) + 20 * PER_PASS)
    assert (np.diff(got.ttft) <= 0).all()
    assert got.ttft[-1] < got.ttft[0]
    assert (got.itl, got.total_memory_required) == (plain.itl, plain.total_memory_required)
    for bad in (512, 513):
        with pytest.raises(OutOfDomain, match="cached_prefix must be shorter than seq_len"):
            serve(cached_prefix=bad)


def test_the_cache_has_a_precision_of_its_own() -> None:
    wide, narrow = serve(batch=64), serve(batch=64, kv_precision="fp8")
    saved = DENSE.cache(512, 64) / 2
    assert wide.kv_cache_size - narrow.kv_cache_size == close(saved)
    assert wide.itl - narrow.itl == pytest.approx(saved / STREAM, rel=1e-9)  # activations stay in 16 bits
    assert wide.total_memory_required - narrow.total_memory_required == close(saved)
    assert narrow.model_weights_size == wide.model_weights_size
    assert serve(batch=64, kv_precision="fp16").itl == wide.itl


def test_windowed_layers_read_their_window() -> None:
    model = f"{LM}; window = 100; window_layers = 15"
    got, full = serve(model, batch=4, seq_len=1000), serve(batch=4, seq_len=1000)
    gone = 15 / 20 * DENSE.cache(900, 4)
    pairs = 15 * 4 * 10 * 80 * 900 * 4  # scores that fall out of the window
    assert full.kv_cache_size - got.kv_cache_size == close(gone)
    assert full.itl - got.itl == pytest.approx(gone / STREAM + pairs / COMPUTE, rel=1e-9)
    every = f"{LM}; window = 100; window_layers = 20"
    assert serve(every, seq_len=1000).itl == serve(every, seq_len=50_000).itl


@pytest.mark.parametrize("tp", [1, 2])
def test_a_latent_cache_is_read_by_every_rank(tp: int) -> None:
    model = f"{LM}; kv_lora_rank = 100; rope_dim = 28"
    batch, context = 4, 512
    got = serve(model, batch=batch, tp=tp)
    latent = 20 * (100 + 28) * context * batch * 2
    flops = batch * (2 * 2e9 + 2 * 20 * 10 * (2 * 80 + 28) * context)
    moved = 2 * 2e9 + latent * tp + VALUES * 2 * 20 * 1000 * batch
    message = 2 * 1000 * batch
    ring = 0.0 if tp == 1 else 2 * (tp - 1) / tp * 2 * message / LINK + NEAR  # first bytes at half speed
    assert got.itl == close(flops / (COMPUTE * tp) + moved / (STREAM * tp) + 2 * 20 * ring + 20 * PER_LAYER)
    assert got.kv_cache_size == close(latent)
