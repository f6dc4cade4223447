"""Each solver against its equations, worked out here by hand on a chip, a model and a fleet of round numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import MissingFact, OutOfDomain
from mlsysim.solvers.workload import default
from mlsysim.things import DEFAULTS, EFFICIENCY, Device
from mlsysim.units import Bottleneck

CHIP = (
    "Chip; fp16 = 100 TFLOP/s; fp32 = 10 TFLOP/s; memory = 100 GB; bandwidth = 1 TB/s; memory_class = hbm; "
    "tdp = 500 W; scale_up = 16; link = 100 GB/s; host_link = 10 GB/s; dispatch = 20 us; "
    "embodied_carbon = 100 kg; price = 10000 USD"
)
LM = (
    "LM; family = transformer; unit = token; params = 2B; layers = 20; hidden = 1000; heads = 10; kv_heads = 5; "
    "head_dim = 80"
)
CNN = "CNN; family = cnn; unit = image; params = 25M; flops = 8 GFLOP; layers = 50; activations = 20 MB"
P, L, H, A, K, D = 2e9, 20, 1000, 10, 5, 80


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12)


def us(name: str) -> float:
    """A default time [s]."""
    assert DEFAULTS[name].unit == "us"
    return default(name) * 1e-6


def eff(row: str, quantity: str) -> float:
    """A figure of a named row of the calibrated table."""
    value = getattr(EFFICIENCY[row], quantity)
    assert value is not None
    return float(value)


def same(one: Any, other: Any) -> bool:
    """Equal results; an unknown figure (NaN) equals an unknown one."""
    pairs = zip(vars(one).items(), vars(other).items(), strict=True)
    return all(n == k and (a == b or (a != a and b != b)) for (n, a), (k, b) in pairs)


# ---------------------------------------------------------------- walls 1 and 2: roofline


def test_decoding_one_token_per_sequence() -> None:
    batch, context = 8, 500
    got = m.roofline(LM, CHIP, batch=batch, seq_len=context, efficiency=0.5, bandwidth_efficiency=0.8, reserve=0.1)
    flops = batch * (2 * P + 4 * L * A * D * context)
    cache = 2 * L * K * D * context * batch * 2
    traffic = 2 * P + cache + default("activation_traffic") * 2 * L * H * batch
    compute, memory = flops / (100e12 * 0.5), traffic / (1e12 * 0.8)
    overhead = 20e-6 + L * eff("overhead_decode", "layer_overhead")
    latency = max(compute, memory) + overhead
    assert memory > compute
    assert (got.latency_compute, got.latency_memory, got.latency_overhead) == (
        close(compute),
        close(memory),
        close(overhead),
    )
    assert got.latency == close(latency)
    assert got.throughput == close(batch / latency)
    assert got.bottleneck is Bottleneck.memory
    assert got.mfu == got.hfu == close(flops / (latency * 100e12))
    assert got.memory_footprint == close(2 * P + cache)
    assert got.arithmetic_intensity == close(flops / traffic)
    idle = default("idle_share")
    assert got.energy == close(500 * (idle * latency + (1 - idle) * memory))
    assert (got.feasible, got.shortfall, got.efficiency_used) == (True, 0, 0.5)


def test_blank_efficiencies_are_the_sourced_defaults() -> None:
    blank = m.roofline(LM, CHIP, batch=4)
    share, stream = eff("compute_16", "compute"), eff("memory_hbm", "bandwidth")
    assert same(blank, m.roofline(LM, CHIP, batch=4, efficiency=share, bandwidth_efficiency=stream))
    assert blank.efficiency_used == share
    assert m.roofline(CNN, CHIP).efficiency_used == eff("compute_16", "compute")
    assert m.roofline(LM, CHIP, training=True).efficiency_used == eff("training_16", "compute")
    assert m.roofline(CNN, CHIP + "; group = Tiny").efficiency_used == eff("compute_tiny", "compute")


def test_a_convolution_network_moves_its_activations() -> None:
    got = m.roofline(CNN, CHIP, batch=64, efficiency=0.5, bandwidth_efficiency=0.8)
    assert got.latency_compute == close(64 * 8e9 / 50e12)
    assert got.latency_memory == close((25e6 * 2 + 64 * 2 * 20e6) / 0.8e12)
    assert got.throughput == close(64 / got.latency)
    assert got.memory_footprint == close(25e6 * 2 + 64 * 2 * 20e6 / 50)  # and the activations of one layer
    assert not m.roofline(CNN, CHIP, batch=10**6).feasible
    wide = m.roofline(CNN, CHIP, batch=64, precision="fp32", bandwidth_efficiency=0.8)
    assert wide.latency_memory == close(2 * got.latency_memory)


def test_a_diffusion_model_pays_every_step() -> None:
    one, forty = (m.roofline(f"{CNN}; steps = {n}", CHIP, batch=2) for n in (1, 40))
    assert forty.latency_compute == close(40 * one.latency_compute)
    assert forty.latency_memory == close(40 * one.latency_memory)
    assert forty.latency_overhead - 20e-6 == close(40 * (one.latency_overhead - 20e-6))
    learn_one, learn_forty = (m.roofline(f"{CNN}; steps = {n}", CHIP, training=True) for n in (1, 40))
    assert learn_one == learn_forty  # a training sample is one denoising step


def test_experts_are_read_when_a_token_hits_them() -> None:
    moe = LM.replace("transformer", "moe") + (
        "; active_params = 600M; experts = 8; experts_per_token = 2; expert_params = 1.6B"
    )
    for batch in (1, 3, 1000):
        got = m.roofline(moe, CHIP, batch=batch, seq_len=1, efficiency=1, bandwidth_efficiency=1)
        hit = 1 - (1 - 2 / 8) ** batch
        read = 2 * (0.4e9 + 1.6e9 * hit)
        rest = 2 * L * K * D * batch * 2 + default("activation_traffic") * 2 * L * H * batch
        assert got.latency_memory == close((read + rest) / 1e12)
        assert got.latency_compute == close(batch * (2 * 0.6e9 + 4 * L * A * D) / 100e12)
        assert got.memory_footprint == close(2 * P + 2 * L * K * D * batch * 2)  # all experts are stored


def test_a_recommendation_model_gathers_rows_and_does_not_stream_its_tables() -> None:
    dlrm = "R; family = recommendation; unit = query; params = 25B; active_params = 3M; touched = 4 MB"
    got = m.roofline(dlrm, CHIP, batch=10, efficiency=1, bandwidth_efficiency=1)
    rows, dense = 2e6, 4e6  # `touched` is on record in fp32; the dense layers are read once for the batch
    assert got.latency_memory == close((10 * rows + dense) / 1e12)
    assert got.latency_compute == close(10 * 6e6 / 100e12)


def test_only_the_bytes_that_spill_move_at_the_speed_of_the_host_link() -> None:
    fits = m.roofline(LM, CHIP.replace("100 GB;", "6 GB;"), seq_len=1, bandwidth_efficiency=1, reserve=0)
    assert fits.feasible
    got = m.roofline(LM, CHIP.replace("100 GB;", "3 GB;"), seq_len=1, bandwidth_efficiency=1, reserve=0)
    spilled = 4e9 + 2 * L * K * D * 2 - 3e9
    assert (got.feasible, got.shortfall) == (False, close(spilled))
    assert got.latency_memory == close(fits.latency_memory - spilled / 1e12 + spilled / 10e9)


def test_a_step_that_fits_on_the_chip_runs_from_sram() -> None:
    chip = CHIP + "; sram = 200 MB; sram_bandwidth = 10 TB/s"
    slow, fast = m.roofline(CNN, CHIP, bandwidth_efficiency=1), m.roofline(CNN, chip, bandwidth_efficiency=1)
    assert fast.latency_memory == close(slow.latency_memory / 10)
    assert m.roofline(LM, chip, bandwidth_efficiency=1).latency_memory == close(
        m.roofline(LM, CHIP, bandwidth_efficiency=1).latency_memory
    )
    batch = np.array([1, 4000])
    kept = m.roofline(CNN, chip, batch=batch, training=True, bandwidth_efficiency=1).latency_memory
    full = m.roofline(CNN, CHIP, batch=batch, training=True, bandwidth_efficiency=1).latency_memory
    assert kept[1] == close(full[1])  # the activations of a large batch do not fit


def training_memory(batch: int, s: int, recompute: str, zero: int = 0, dp: int = 1) -> float:
    tokens = batch * s
    layer, scores = 34 * tokens * H, 5 * A * s * tokens
    kept = {
        "none": L * (layer + scores),
        "selective": L * layer,
        "full": 2 * tokens * H * L + layer + scores,
    }[recompute]
    parts = [2 * P / (dp if zero >= 3 else 1), 2 * P / (dp if zero >= 2 else 1), 12 * P / (dp if zero >= 1 else 1)]
    return sum(parts) + kept


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_a_training_step(recompute: str) -> None:
    batch, s = 4, 256
    got = m.roofline(LM, CHIP, batch=batch, seq_len=s, training=True, recompute=recompute, efficiency=0.5)
    forward = batch * (2 * P * s + 4 * L * A * D * s * (s + 1) / 2)
    scores = batch * 4 * L * A * D * s * (s + 1) / 2
    again = {"none": 0.0, "selective": 0.5 * scores, "full": forward + 0.5 * scores}[recompute]  # QK once more: half
    assert got.latency_compute == close((3 * forward + again) / 50e12)
    assert got.mfu == close(3 * forward / (got.latency * 100e12))  # recomputation is no useful work
    assert got.hfu == close((3 * forward + again) / (got.latency * 100e12))
    assert got.memory_footprint == close(training_memory(batch, s, recompute))
    moved = 3 * P * 2 + P * (2 * 12 + 2 * 2) + 3 * default("activation_traffic") * 2 * L * H * batch * s
    assert got.latency_memory == close(moved / (1e12 * eff("memory_hbm", "bandwidth")))
    assert got.latency_overhead == close(20e-6 + 3 * L * eff("overhead_any", "layer_overhead"))


@pytest.mark.parametrize(("recompute", "passes", "again"), [("none", 3, 3), ("selective", 3, 3.5), ("full", 4, 4.5)])
def test_a_training_step_with_blank_efficiency(recompute: str, passes: float, again: float) -> None:
    """Matrix products of narrow shards, attention kernels and element-wise traffic, each at its own rate."""
    batch, s = 4, 256
    got = m.roofline(LM, CHIP, batch=batch, seq_len=s, training=True, recompute=recompute)
    matrices = passes * batch * 2 * P * s * (1 + default("gemm_half_width") / H)
    scores = again * batch * 4 * L * A * D * s * (s + 1) / 2
    values = passes * default("training_traffic") * 2 * H * L * batch * s
    expected = (
        matrices / (100e12 * eff("training_16", "compute"))
        + scores / (100e12 * eff("attention_training", "compute"))
        + values / (1e12 * eff("memory_hbm", "bandwidth"))
    )
    assert got.latency_compute == close(expected)


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_zero_shards_one_more_part_each_stage(zero: int) -> None:
    got = m.roofline(LM, CHIP, training=True, seq_len=64, zero_stage=zero, dp=8)
    assert got.memory_footprint == close(training_memory(1, 64, "selective", zero, 8))


def test_training_work_grows_with_the_sequence() -> None:
    short, long = (m.roofline(LM, CHIP, training=True, seq_len=s).latency_compute for s in (2048, 4096))
    assert long > 2 * short


def test_single_precision_training_is_twice_as_wide() -> None:
    fp16, fp32 = (m.roofline(LM, CHIP, training=True, seq_len=128, precision=p) for p in ("fp16", "fp32"))
    kept = L * 34 * 128 * H
    assert fp16.memory_footprint == close(16 * P + kept)
    assert fp32.memory_footprint == close(16 * P + 2 * kept)


def test_lora_trains_adapters_only() -> None:
    rank, s = 16, 64
    got = m.roofline(LM, CHIP, training=True, seq_len=s, lora=rank)
    adapters = rank * L * (2 * (H + A * D) + 2 * (H + K * D))
    assert got.memory_footprint == close(2 * P + 14 * adapters + L * 34 * s * H)


def test_a_weight_only_format_computes_in_the_wider_one() -> None:
    wide, narrow = m.roofline(LM, CHIP, seq_len=1), m.roofline(LM, CHIP, seq_len=1, precision="w4a16")
    assert narrow.latency_compute == wide.latency_compute
    assert 0.25 <= (narrow.memory_footprint / wide.memory_footprint) < 0.3
    with pytest.raises(MissingFact, match="Chip has no fp8 rate on record, only fp32, fp16"):
        m.roofline(LM, CHIP, precision="fp8")
    assert m.roofline(LM, CHIP, seq_len=1, precision="fp32").latency_compute == close(10 * wide.latency_compute)


# ---------------------------------------------------------------- wall 4: serving


def ring(n: int, message: float) -> float:
    """All-reduce inside a server, as the collectives reach the link."""
    if n == 1:
        return 0.0
    slow = min(message, default("collective_ramp") * 2**20)  # these bytes go at half speed
    moved = 2 * (n - 1) / n * (message + slow) / (100e9 * default("collective_efficiency"))
    return moved + us("collective_latency_node")


@pytest.mark.parametrize("tp", [1, 2, 5, 10])
@pytest.mark.parametrize("cached", [0, 96])
@pytest.mark.parametrize("batch", [8, 40])
def test_serving(tp: int, cached: int, batch: int) -> None:
    s, out = 512, 100
    got = m.serving(
        LM,
        CHIP,
        seq_len=s,
        batch=batch,
        tp=tp,
        output_tokens=out,
        cached_prefix=cached,
        efficiency=0.5,
        bandwidth_efficiency=0.8,
        reserve=0.1,
    )
    token = 2 * L * K * D * 2 * batch  # cache of one position
    copies = tp * math.ceil(K / tp) / K  # whole heads: five on two devices are three and three, on ten one each
    mean = s + out / 2
    flops = batch * (2 * P + 4 * L * A * D * mean)
    traffic = 2 * P + token * mean * copies + default("activation_traffic") * 2 * L * H * batch
    itl = flops / (100e12 * 0.5 * tp) + traffic / (1e12 * 0.8 * tp) + 2 * L * ring(tp, 2 * H * batch)
    assert got.itl == close(itl + L * eff("overhead_decode", "layer_overhead"))
    fresh = s - cached
    pairs = sum(s - fresh + i for i in range(1, fresh + 1))  # every new position sees all before it
    work = batch * (2 * P * fresh + 4 * L * A * D * pairs)
    passes = math.ceil(batch * fresh / default("prefill_chunk"))
    assert passes == {8: 1, 40: 3}[batch]
    read = (passes * 2 * P + token * s * copies) / (1e12 * 0.8 * tp)  # the weights once a pass
    ttft = max(work / (100e12 * 0.5 * tp), read) + passes * 2 * L * ring(tp, 2 * H * batch * fresh / passes)
    assert got.ttft == close(ttft + passes * L * eff("overhead_prefill", "layer_overhead"))
    assert got.kv_cache_size == close(token * (s + out))
    assert got.model_weights_size == close(2 * P)
    assert got.total_memory_required == close(2 * P + token * (s + out) * copies)
    assert got.memory_utilization == close(got.total_memory_required / (90e9 * tp))
    assert got.decode_throughput == close(batch / got.itl)
    assert got.feasible


def test_decoding_a_large_batch_is_bound_by_arithmetic() -> None:
    got = m.serving("Llama3_8B", "MI300X", seq_len=64, batch=4096, efficiency=0.5)
    assert got.itl >= 0.1  # 2 P B / (peak x 0.5) alone
    assert got.bottleneck is Bottleneck.compute


def test_a_short_prompt_still_reads_the_weights_once() -> None:
    got = m.serving("Llama3_8B", "H100", seq_len=16, efficiency=1, bandwidth_efficiency=1)
    assert got.ttft >= 16.06e9 / 3.35e12
    assert got.itl >= 16.06e9 / 3.35e12
    long = m.serving(LM, CHIP, seq_len=500_000, batch=10, cached_prefix=499_999)
    assert long.ttft >= long.kv_cache_size / 1e12  # a cached prompt is read


def test_a_latent_cache_is_stored_on_every_rank() -> None:
    mla = LM + "; kv_lora_rank = 100; rope_dim = 28"
    one, two = (m.serving(mla, CHIP, seq_len=100, tp=t) for t in (1, 2))
    assert one.kv_cache_size == two.kv_cache_size == close(L * 128 * 100 * 2)
    assert two.total_memory_required - one.total_memory_required == close(one.kv_cache_size)


def test_a_sliding_window_bounds_the_cache() -> None:
    windowed = LM + "; window = 64; window_layers = 15"
    assert m.kvcache(windowed, seq_len=1000, batch=3) == close(2 * K * D * 2 * 3 * (5 * 1000 + 15 * 64))
    assert m.kvcache(windowed, seq_len=32, batch=3) == m.kvcache(LM, seq_len=32, batch=3)


def test_the_cache_has_its_own_format() -> None:
    plain, narrow = (m.serving(LM, CHIP, seq_len=512, batch=64, kv_precision=k) for k in (None, "fp8"))
    assert narrow.kv_cache_size == close(plain.kv_cache_size / 2)
    assert narrow.model_weights_size == plain.model_weights_size
    assert narrow.itl < plain.itl


def test_what_does_not_fit_is_said_with_the_missing_bytes() -> None:
    got = m.serving("Llama3_70B", "H100", seq_len=4096)
    room = Device.of("H100").capacity * (1 - default("reserve"))
    assert not got.feasible
    assert got.shortfall == close(got.total_memory_required - room)
    assert m.serving("Llama3_70B", "H100", seq_len=4096, tp=8).feasible


def test_serving_refuses_what_it_cannot_know() -> None:
    with pytest.raises(OutOfDomain, match="tp must divide the 10 attention heads of LM"):
        m.serving(LM, CHIP, seq_len=10, tp=3)
    with pytest.raises(OutOfDomain, match="cached_prefix must be shorter than seq_len"):
        m.serving(LM, CHIP, seq_len=10, cached_prefix=10)
    with pytest.raises(OutOfDomain, match="CNN generates no tokens; use roofline for one image"):
        m.serving(CNN, CHIP, seq_len=10)
    with pytest.raises(MissingFact, match="Chip has no link on record"):
        m.serving(LM, CHIP.replace("link = 100 GB/s; host_link", "host_link"), seq_len=10, tp=2)
    with pytest.raises(OutOfDomain, match="keeps no key-value cache"):
        m.kvcache(CNN, seq_len=10)
