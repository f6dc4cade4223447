"""Walls 5 and 6: paged against reserved caches, and weights that stream through a device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim import MissingFact, MlsysError, OutOfDomain
from mlsysim.solvers.workload import default

CHIP = (
    "Chip; memory = 100 GB; bandwidth = 1 TB/s; memory_class = hbm; fp16 = 100 TFLOP/s; host_link = 50 GB/s; "
    "dispatch = 10 us"
)
LM = (
    "LM; family = transformer; unit = token; params = 2B; layers = 10; hidden = 1000; heads = 10; kv_heads = 5; "
    "head_dim = 100; ffn = 4000; vocab = 32000"
)
TOKEN = 2 * 10 * 5 * 100 * 2  # bytes of cache for one token


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-12)


# ---------------------------------------------------------------- the lengths


def test_mean_pages_against_a_sum() -> None:
    """E[ceil(len / p)] is the sum of the chances that a request needs one more page."""
    for cap, scale, page in ((4096, 1000.0, 16), (1000, 5000.0, 16), (1000, 30.0, 7), (10, 3.0, 64)):
        chances = [math.exp(-j * page / scale) for j in range(math.ceil(cap / page))]
        got = m.mean_pages(seq_len=cap, length_scale=scale, page_size=page)
        assert got == pytest.approx(math.fsum(chances), rel=1e-9)


def test_mean_length_against_drawn_ones() -> None:
    drawn = np.minimum(4096, np.random.default_rng(1).exponential(1500, 1_000_000))
    assert m.mean_length(seq_len=4096, length_scale=1500) == pytest.approx(drawn.mean(), rel=3e-3)
    pages = m.mean_pages(seq_len=4096, length_scale=1500, page_size=64)
    assert pages == pytest.approx(np.ceil(drawn / 64).mean(), rel=3e-3)


# ---------------------------------------------------------------- wall 5


def test_equal_lengths_by_hand() -> None:
    got = m.batching(LM, CHIP, seq_len=1000, mean_len=1000, page_size=16, reserve=0)
    budget = 100e9 - 4e9
    assert got.requests_static == math.floor(budget / (TOKEN * 1000))
    assert got.max_requests == math.floor(budget / (TOKEN * 1008))  # 63 pages
    assert got.fragmentation == close(8 / 1008)
    assert got.useful_share == 1
    assert got.paged_kv_cache_size == close(got.max_requests * TOKEN * 1008)
    assert got.speedup_vs_static <= 1  # nothing to gain, only the last page to lose


def test_spread_lengths_by_hand() -> None:
    got = m.batching(LM, CHIP, seq_len=4096, mean_len=871.2, page_size=16, reserve=0)
    scale = 1.0
    for _ in range(200):  # scale of the exponential whose cut mean is 871.2
        scale = 871.2 / (1 - math.exp(-4096 / scale))
    pages = math.fsum(math.exp(-j * 16 / scale) for j in range(256))
    assert got.max_requests == math.floor(96e9 / (TOKEN * 16 * pages))
    assert got.fragmentation == pytest.approx(1 - 871.2 / (16 * pages), rel=1e-6)
    assert got.throughput == close(got.max_requests / got.itl)
    assert got.itl == close(m.serving(LM, CHIP, seq_len=872, batch=got.max_requests).itl)
    assert got.speedup_vs_static == close(got.throughput / got.throughput_static)


def test_kwon_2023() -> None:
    """Figure 2: 20.4 to 38.2 % of reserved memory holds tokens; paging wastes less than 4 %."""
    got = m.batching("OPT_13B", "A100", seq_len=2048)
    assert 0.204 <= got.useful_share <= 0.382
    assert got.fragmentation < 0.04
    assert got.max_requests / got.requests_static == pytest.approx(1 / got.useful_share, rel=0.05)


def test_paging_gains_nothing_where_the_cap_binds_both() -> None:
    """The peer's constant 0.6 made paging help at batch 8."""
    got = m.batching("Llama3_8B", "H100", seq_len=4096, max_batch=8)
    assert (got.max_requests, got.requests_static, got.speedup_vs_static) == (8, 8, 1)


def test_monotone() -> None:
    mean = np.array([100, 500, 1000, 2000, 4000])
    held = m.batching("Llama3_8B", "H100", seq_len=4096, mean_len=mean)
    assert (np.diff(held.max_requests) < 0).all()
    assert (held.requests_static == held.requests_static[0]).all()
    pages = m.batching("Llama3_8B", "H100", seq_len=4096, page_size=np.array([1, 16, 256, 4096]))
    assert (np.diff(pages.max_requests) <= 0).all()
    assert (np.diff(pages.fragmentation) > 0).all()
    assert pages.max_requests[-1] == pages.requests_static[-1]  # one page of the whole length is a reservation
    caps = m.batching("Llama3_8B", "H100", seq_len=4096, max_batch=np.array([1, 10, 100, 10**6]))
    assert (np.diff(caps.max_requests) > 0).all()
    assert caps.max_requests[-1] == m.batching("Llama3_8B", "H100", seq_len=4096).max_requests


def test_what_does_not_fit() -> None:
    got = m.batching("Llama3_70B", "H100", seq_len=4096)
    assert (got.feasible, got.max_requests, got.throughput, got.requests_static) == (False, 0, 0, 0)
    assert got.shortfall == close(m.memory("Llama3_70B", "H100").shortfall)
    assert m.batching("Llama3_70B", "H100", seq_len=4096, tp=4).feasible
    mixed = m.batching("Llama3_8B", "H100", seq_len=np.array([4096, 600_000]))
    assert mixed.feasible.tolist() == [True, False]
    assert mixed.shortfall[0] == 0 < mixed.shortfall[1]


def test_a_window_bounds_the_pages() -> None:
    model = LM + "; window = 256; window_layers = 5"
    some, none = (m.batching(x, CHIP, seq_len=4096, mean_len=4096, reserve=0) for x in (model, LM))
    assert none.paged_kv_cache_size / none.max_requests == close(TOKEN * 4096)
    assert some.paged_kv_cache_size / some.max_requests == close(TOKEN / 2 * (4096 + 256))


def test_batching_arrays_are_their_scalars() -> None:
    length, mean = np.array([512, 4096]), np.array([[100], [500]])
    block = m.batching(LM, CHIP, seq_len=length, mean_len=mean)
    for i in range(2):
        for j in range(2):
            one = m.batching(LM, CHIP, seq_len=int(length[j]), mean_len=int(mean[i, 0]))
            for name, value in vars(one).items():
                assert np.broadcast_to(getattr(block, name), (2, 2))[i, j] == close(value), name


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"seq_len": 0}, "seq_len must"),
        ({"mean_len": 0}, "mean_len must"),
        ({"mean_len": 5000}, "mean_len must not exceed seq_len"),
        ({"mean_len": float("nan")}, "NaN"),
        ({"max_batch": 0}, "max_batch must"),
        ({"page_size": 0}, "page_size must"),
        ({"page_size": 1.5}, "page_size must be a whole number"),
        ({"precision": "FP12"}, "FP12"),
    ],
)
def test_batching_refuses(options: dict[str, Any], why: str) -> None:
    with pytest.raises(MlsysError, match=why):
        m.batching(LM, CHIP, **({"seq_len": 4096} | options))


def test_batching_is_of_decoders() -> None:
    for model in ("ResNet50", "BERT_Base", "Mamba_2_8B"):
        with pytest.raises(OutOfDomain, match="keeps no key-value cache"):
            m.batching(model, "H100", seq_len=512)


def test_the_class_of_wall_5() -> None:
    assert m.ContinuousBatchingModel.solve("Llama3_8B", "H100", 4096, max_batch_size=64) == m.batching(
        "Llama3_8B", "H100", seq_len=4096, max_batch=64
    )


# ---------------------------------------------------------------- wall 6

PLAIN: dict[str, Any] = {"efficiency": 0.5, "bandwidth_efficiency": 1, "reserve": 0}


def test_decode_by_hand() -> None:
    got = m.streaming(LM, CHIP, batch=4, seq_len=1000, **PLAIN)
    assert got.layer_injection_time == close(4e9 / 10 / 50e9)
    flops = (2 * 2e9 + 4 * 10 * 10 * 100 * 1000) / 10  # of one token and layer
    moved = (TOKEN * 1000 + default("activation_traffic") * 2 * 10 * 1000) / 10
    assert got.layer_compute_time == close(4 * max(flops / 50e12, moved / 1e12) + 10e-6)
    assert got.latency == close(10 * got.layer_injection_time)
    assert got.throughput == close(4 / got.latency)
    assert str(got.bottleneck) == "network"


def test_prefill_attention_by_hand() -> None:
    """2 A S^2 d a layer, causal; the peer took key-value heads and half of it."""
    got = m.streaming(LM, CHIP, batch=4, seq_len=1000, phase="prefill", **PLAIN)
    flops = 4 * (2 * 2e9 * 1000 + 4 * 10 * 10 * 100 * 1000 * 1001 / 2) / 10
    assert got.layer_compute_time == close(flops / 50e12 + 10e-6)
    assert got.throughput == close(4 * 1000 / got.latency)


def test_the_optimal_batch_hides_under_injection() -> None:
    best = m.streaming(LM, CHIP, seq_len=1000, **PLAIN).optimal_batch
    under, over = (m.streaming(LM, CHIP, batch=b, seq_len=1000, **PLAIN) for b in (best, best + 1))
    assert under.layer_compute_time <= under.layer_injection_time
    assert over.layer_compute_time > over.layer_injection_time
    assert under.throughput == close(best * m.streaming(LM, CHIP, seq_len=1000, **PLAIN).throughput)
    assert str(over.bottleneck) != "network"


def test_decode_is_bound_by_the_cache_at_long_context() -> None:
    got = m.streaming(LM, CHIP, batch=200, seq_len=5000, injection=1e12, **PLAIN)
    assert str(got.bottleneck) == "memory"
    assert got.layer_compute_time > 200 * TOKEN * 5000 / 10 / 1e12


def test_memory_holds_the_cache_and_not_the_weights() -> None:
    got = m.streaming("Llama3_70B", "Cerebras_CS3", batch=8)
    assert got.feasible
    assert got.memory_required < 10e9  # weights are 141 GB
    assert got.memory_utilization == close(got.memory_required / (44e9 * (1 - default("reserve"))))
    full = m.streaming("Llama3_70B", "Cerebras_CS3", batch=1000)
    assert not full.feasible
    assert full.shortfall > 0


def test_utilisation_of_a_device_in_gib_is_in_bytes() -> None:
    """Peer fault 33: GB over GiB is 7.4 % high."""
    got = m.streaming(LM, CHIP.replace("100 GB", "80 GiB"), batch=8, **PLAIN)
    assert got.memory_utilization == close(got.memory_required / (80 * 2**30))


def test_the_optimal_batch_fits() -> None:
    best = m.streaming("Llama3_70B", "Cerebras_CS3").optimal_batch
    assert m.streaming("Llama3_70B", "Cerebras_CS3", batch=best).feasible
    assert not m.streaming("Llama3_70B", "Cerebras_CS3", batch=best + 1).feasible


def test_a_faster_injection_never_hurts() -> None:
    rates = np.array([50e9, 150e9, 1.2e12, 1e14])
    got = m.streaming("Llama3_70B", "Cerebras_CS3", batch=32, injection=rates)
    assert (np.diff(got.throughput) >= 0).all()
    assert m.streaming("Llama3_70B", "Cerebras_CS3").injection_used == 150e9


def test_streaming_arrays_are_their_scalars() -> None:
    batch = np.array([1, 8, 100])
    block = m.streaming(LM, CHIP, batch=batch)
    for i, b in enumerate(batch):
        for name, value in vars(m.streaming(LM, CHIP, batch=int(b))).items():
            assert np.broadcast_to(getattr(block, name), 3)[i] == close(value), name


def test_an_unknown_injection_rate_is_refused() -> None:
    with pytest.raises(MissingFact, match="no host_link on record, so its injection rate is unknown"):
        m.streaming(LM, CHIP.replace("host_link = 50 GB/s; ", ""))
    assert m.streaming(LM, CHIP.replace("host_link = 50 GB/s; ", ""), injection=1e9).feasible


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"phase": "train"}, "phase must be one of decode, prefill"),
        ({"batch": 0}, "batch must"),
        ({"seq_len": -1}, "seq_len must"),
        ({"injection": 0}, "injection must"),
        ({"injection": float("nan")}, "NaN"),
        ({"efficiency": 2}, "efficiency must"),
    ],
)
def test_streaming_refuses(options: dict[str, Any], why: str) -> None:
    with pytest.raises(MlsysError, match=why):
        m.streaming(LM, CHIP, **options)


def test_the_class_of_wall_6() -> None:
    assert m.WeightStreamingModel.solve("Llama3_8B", "Cerebras_CS3", 4096, 8) == m.streaming(
        "Llama3_8B", "Cerebras_CS3", seq_len=4096, batch=8
    )
