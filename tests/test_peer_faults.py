"""Forty wrong answers of another public tool on ordinary input: what we answer, or why there is no such case here.

Rows from 21 on are tested in test_peer_fleets, edge inputs in test_peer_edges, published anchors in test_peer_anchors.
Where no single value is right, the test states the inequality that holds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import test_peer_fleets as fleets

import mlsysim as m
from mlsysim import Hardware, Models, Systems
from mlsysim.errors import MissingFact, OutOfDomain
from mlsysim.solvers.workload import default
from mlsysim.units import Bottleneck
from udfs import FUNCTIONS

RESEARCH = Systems.Clusters.Research_256

# row, what was asked, the test that asks it here
ASKED = (
    (1, "the sheet's example 3: 70 B on 256 H100, tp 8, pp 4, batch 1024", "test_the_plan_that_does_not_fit"),
    (2, "optimal parameters for 1e9 TFLOP", "test_a_budget_has_its_prefix"),
    (3, "training FLOP against sequence length", "test_twice_the_sequence_is_twice_the_work"),
    (4, "KV cache of Llama-2-70B", "test_grouped_queries_share_their_cache"),
    (5, "work of ResNet-50 and MobileNetV2", "test_a_multiply_add_is_two_operations"),
    (6, "70 B at FP16 on H200", "test_a_tight_fit_states_its_convention_and_margin"),
    (7, "a model slightly over capacity", "test_only_what_spills_is_slow"),
    (8, "decode at batch 4096 on MI300X", "test_decode_has_a_ceiling_of_arithmetic"),
    (9, "a prompt of 16 tokens on H100", "test_the_first_token_reads_the_weights"),
    (10, "p99 at idle of a 100 ms exponential service", "test_the_tail_of_an_idle_server"),
    (11, "INT4 against an FP16 model", "test_four_bits_from_sixteen"),
    (12, "accuracy at 12 bits", "test_accuracy_is_monotone_in_bits"),
    (13, "pruning of nothing", "test_pruning_nothing_costs_nothing"),
    (14, "2:4 sparsity on V100", "test_sparsity_needs_hardware"),
    (15, "FP32 on H100", "test_single_precision_has_its_own_peak"),
    (16, "FP16 on GB200 NVL72", "test_a_rack_at_sixteen_bits"),
    (17, "water", "test_water_is_per_unit_of_it_energy"),
    (18, "goodput", "test_goodput_counts_rework"),
    (19, "ten years of cost on a three-year schedule", "test_depreciation_ends"),
    (20, "cost of unpriced TPU v5p", "test_an_unknown_price_is_no_price"),
    (21, "the region of a plan", "test_the_site_is_never_ignored"),
    (22, "sensitivity of 70 B on H100", "test_memory_capacity_is_named_with_the_missing_bytes"),
    (23, "the network's roofline", "test_the_network_answers"),
    (24, "queue of a cluster of any size", "test_the_wait_depends_on_the_cluster"),
    (25, "DLRM on H100", "test_a_recommendation_gathers_rows"),
    (26, "the TPU v4", "test_the_tpu_v4_is_itself"),
    (27, "a sweep over what does not fit", "test_a_sweep_flags_what_does_not_fit"),
    (29, "a misspelt metric", "test_a_misspelt_metric_is_an_error"),
    (30, "a search among what does not fit", "test_a_search_leaves_out_what_does_not_fit"),
    (31, "the best plan of 405 B on 16384 GPUs", "test_no_published_plan_beats_the_search"),
    (32, "torus up to 8 nodes, ring of 1", "test_no_share_above_one"),
    (33, "utilisation on a device sized in GiB", "test_memory_in_gib_is_not_in_gb"),
    (34, "topology_override, mtbf_hours, delta", "test_arguments_are_used_or_refused"),
    (35, "prefill of 70 B on a T4", "test_the_prefill_device_must_hold_the_model"),
    (36, "64 nodes of one GPU, dp 64", "test_one_gpu_a_node_reduces_over_the_fabric"),
    (40, "70 B at 4 bits on H100", "test_four_bits_of_a_large_model_fit"),
)
EXCLUDED = (
    (28, "its pipeline hands results from one solver to the next; here every argument is given by its name"),
    (37, "exit code of its command line, and ours runs no evaluation"),
    (38, "its command line looks at the machine that it runs on; ours does not"),
    (39, "assertions of its command line; a misspelt metric is row 29"),
)


def named(names: dict[str, Any]) -> list[str]:
    return [n for n, f in names.items() if n.startswith("test_") and callable(f)]


def test_every_row_is_asked_or_excluded_once() -> None:
    assert sorted(row for row, *_ in (*ASKED, *EXCLUDED)) == list(range(1, 41))
    here = [n for n in named(globals()) if n != "test_every_row_is_asked_or_excluded_once"]
    assert sorted(name for _, _, name in ASKED) == sorted([*here, *named(vars(fleets))])
    assert len({text for _, text, *_ in (*ASKED, *EXCLUDED)}) == 40


def close(value: float, digits: float = 1e-9) -> Any:
    return pytest.approx(value, rel=digits)


# ---------------------------------------------------------------- rows 1 to 9: work, bytes, time


def test_the_plan_that_does_not_fit() -> None:
    def plan(micro_batches: float) -> Any:
        return m.DistributedModel.solve(
            Models.Llama3_70B, RESEARCH, 1024, 8, 4, "fp16", 0.4, microbatch=1024 / 8 / micro_batches
        )

    compute = 6 * 70.6e9 * 1024 * 2048 / (256 * 989e12 * 0.4)
    assert compute == close(8.77, 2e-3)
    rounds = np.array([1, 2, 4, 8, 16, 32, 64, 128])
    plans = [plan(r) for r in rounds]
    for got in plans:
        assert got.step_latency_total > compute
        assert got.effective_throughput * got.step_latency_total == close(1024)
        assert got.feasible == (got.shortfall == 0)
    assert not plans[0].feasible
    assert plans[0].shortfall > 50e9
    fits = rounds[[p.feasible for p in plans]]
    assert fits.size
    assert fits.min() >= 8
    words = FUNCTIONS["MLS_TRAINING"]("Llama3_70B", "Research_256", 1024, None, 8, 4, "fp16", 0.4, "microbatch = 128")
    assert "does not fit" in words
    assert "smaller microbatch" in words
    best = m.ParallelismOptimizer.solve(Models.Llama3_70B, RESEARCH, 1024, efficiency=0.4)
    assert np.all(1024 / (best.dp * best.microbatch) >= 8)


def test_a_budget_has_its_prefix() -> None:
    solve = m.ScalingModel.solve
    assert solve("1e9 TFLOP").params == close(2.887e9, 1e-4)
    assert solve("1e9 TFLOP") == solve(1e21) == solve("1e6 PFLOP")
    assert solve("86.4e9 GFLOP").params == close(math.sqrt(86.4e18 / 120))
    for text in ("1 PFLOP/s", "1 PFLOP/s day", "1e9 TB"):
        with pytest.raises(OutOfDomain, match="budget"):
            solve(text)


def test_twice_the_sequence_is_twice_the_work() -> None:
    def work(seq_len: float) -> float:
        got = m.Engine.solve(Models.Llama3_8B, Hardware.H100, is_training=True, efficiency=0.5, seq_len=seq_len)
        return float(got.mfu * got.latency * 989e12)

    assert work(2048) > 6 * 8.03e9 * 2048
    assert 2 * work(2048) < work(4096) < 2.3 * work(2048)
    steps = [m.DistributedModel.solve(Models.Llama3_8B, RESEARCH, 256, seq_len=s) for s in (2048, 4096)]
    assert steps[1].mfu * steps[1].step_latency_total > 2 * steps[0].mfu * steps[0].step_latency_total


def test_grouped_queries_share_their_cache() -> None:
    got = m.ServingModel.solve(Models.Llama2_70B, Hardware.H200, 4096)
    assert got.kv_cache_size == 2 * 80 * 8 * 128 * 4096 * 2 == close(1.342e9, 1e-3)
    assert m.kvcache(Models.Llama2_70B, seq_len=4096) == got.kv_cache_size


def test_a_multiply_add_is_two_operations() -> None:
    flops = {"ResNet50": 8.2e9, "MobileNetV2": 0.6e9, "EfficientNet_B0": 0.78e9}
    for key, expected in flops.items():
        assert getattr(Models, key).flops == close(expected, 0.01)
        got = m.Engine.solve(getattr(Models, key), Hardware.H100, efficiency=0.5)
        assert got.mfu * got.latency * 989e12 == close(expected, 0.01)


def test_a_tight_fit_states_its_convention_and_margin() -> None:
    weights = 70.6e9 * 2
    driver = m.memory(Models.Llama3_70B, Hardware.H200, seq_len=1)
    assert driver.weights == close(weights, 2e-3)
    assert driver.usable == close(143771 * 2**20 * 0.95)
    assert driver.headroom == close(driver.usable - driver.total)
    assert driver.feasible
    assert 0 < driver.headroom < 3e9
    label = m.memory(Models.Llama3_70B, "X; base = H200; memory = 141 GB", seq_len=1, reserve=0)
    assert (label.usable, label.feasible) == (141e9, False)
    assert label.shortfall == close(label.total - 141e9)
    assert m.memory(Models.Llama3_70B, "X; base = H200; memory = 141 GiB", seq_len=1, reserve=0).feasible
    assert m.Engine.solve(Models.Llama3_70B, Hardware.H200, efficiency=0.5, seq_len=1).feasible


def test_only_what_spills_is_slow() -> None:
    fits = m.Engine.solve(Models.Llama3_8B, Hardware.H100, 32)
    need, capacity = fits.memory_footprint, Hardware.H100.capacity
    bandwidth = fits.memory_footprint / fits.latency_memory  # of a step that reads about all that it holds
    for spilled in (1e3, 1e6, 1e8, 1e9):
        got = m.Engine.solve(Models.Llama3_8B, Hardware.H100, 32, reserve=1 - (need - spilled) / capacity)
        assert not got.feasible
        assert got.shortfall == close(spilled, 1e-3)
        slower = got.latency_memory - fits.latency_memory
        assert slower == close(spilled * (1 / Hardware.H100.host_link - 1 / bandwidth), 0.02)
    assert got.latency < 4 * fits.latency


def test_decode_has_a_ceiling_of_arithmetic() -> None:
    got = m.ServingModel.solve(Models.Llama3_8B, Hardware.MI300X, 16, 4096, efficiency=0.5)
    assert got.itl >= 0.1
    assert got.bottleneck == Bottleneck.compute
    assert m.ServingModel.solve(Models.Llama3_8B, Hardware.MI300X, 128, 4096).itl >= 0.1
    ideal = 2 * 8.03e9 * 4096 / 1307e12
    assert m.ServingModel.solve(Models.Llama3_8B, Hardware.MI300X, 16, 4096, efficiency=1).itl > ideal > 0.05


def test_the_first_token_reads_the_weights() -> None:
    one_read = 8.03e9 * 2 / 3.35e12
    assert one_read == close(4.8e-3, 2e-3)
    for options in ({}, {"efficiency": 0.5}, {"efficiency": 1, "bandwidth_efficiency": 1}):
        for prompt in (1, 16, 64):
            got = m.ServingModel.solve(Models.Llama3_8B, Hardware.H100, prompt, **options)
            assert got.ttft >= one_read
            assert got.itl >= one_read


# ---------------------------------------------------------------- rows 10 to 20: queues, compression, money


def test_the_tail_of_an_idle_server() -> None:
    for rate in (0, 1e-9):
        for replicas in (1, 8):
            assert m.TailLatencyModel.solve(rate, 100, replicas).p99 == close(0.1 * math.log(100), 1e-6)
    assert 0.1 * math.log(100) == close(0.46, 2e-3)


def test_four_bits_from_sixteen() -> None:
    for key in ("Llama3_8B", "Llama3_70B", "Llama3_405B"):
        got = m.CompressionModel.solve(key, "Big; base = H100; memory = 2 TB")
        assert got.compression_ratio == close(16 / (4 + 16 / 128))
        assert 2 < got.inference_speedup <= got.compression_ratio < 4
    assert got.inference_speedup > 3.5  # the larger the model, the less launches count
    wide = m.CompressionModel.solve("Llama3_8B", Hardware.H100, baseline="fp32")
    assert wide.compression_ratio == close(32 / (4 + 16 / 128))


def test_accuracy_is_monotone_in_bits() -> None:
    bits = np.arange(2.0, 17.0)
    delta = m.CompressionModel.solve(Models.Llama3_8B, Hardware.H100, target_bitwidth=bits).estimated_accuracy_delta
    assert np.all(np.diff(delta) > 0)
    assert delta[-1] == 0
    assert -0.002 < delta[bits == 12][0] < 0


def test_pruning_nothing_costs_nothing() -> None:
    for structured in ("unstructured", "structured"):
        got = m.CompressionModel.solve(Models.Llama3_8B, Hardware.H100, "pruning", sparsity=0, structured=structured)
        assert got.estimated_accuracy_delta == 0
        assert (got.compression_ratio, got.inference_speedup) == (1, 1)


def test_sparsity_needs_hardware() -> None:
    for device, gains in (("V100", False), ("A100", True), ("H100", True)):
        got = m.CompressionModel.solve(Models.Llama3_8B, device, "pruning", sparsity=0.5, structured="2:4")
        assert (got.inference_speedup > 1.1) is gains
        assert got.hardware_support is gains
        assert gains or got.inference_speedup == 1


def test_single_precision_has_its_own_peak() -> None:
    assert Hardware.H100.rate("fp32") == 67e12
    for training in (False, True):
        got = m.Engine.solve(Models.Llama3_8B, Hardware.H100, 1, "fp32", 0.5, training, bandwidth_efficiency=0.8)
        assert got.hfu * got.latency * 67e12 / got.latency_compute == close(33.5e12)


def test_a_rack_at_sixteen_bits() -> None:
    assert Hardware.GB200_NVL72.rate("fp16") in (162e15, 180e15)
    assert Hardware.GB200_NVL72.rate("fp16") < Hardware.GB200_NVL72.rate("fp8") < Hardware.GB200_NVL72.rate("fp4")


def test_water_is_per_unit_of_it_energy() -> None:
    for site in ("US_Avg", "S; grid = Poland; pue = 2; wue = 1.8 L/kWh"):
        got = m.SustainabilityModel.solve(RESEARCH, 30, site)
        wue = 1.8 if "wue" in site else m.Infra.US_Avg.wue * 3.6e6
        assert got.water_usage_liters == close(wue * got.it_energy_kwh)
        assert got.total_energy_kwh == close(got.pue * got.it_energy_kwh)


def test_goodput_counts_rework() -> None:
    day, save, recover = 86400.0, 60.0, 300.0
    life = day / (default("failures_per_node_day") * RESEARCH.nodes)
    for interval in (3600.0, 4 * 3600.0):
        got = m.ReliabilityModel.solve(RESEARCH, 24, save, recover, interval=interval)
        assert got.mtbf == close(life)
        assert got.goodput == close(1 - save / interval - (interval / 2 + recover) / life)


def test_depreciation_ends() -> None:
    cost = [m.EconomicsModel.solve(RESEARCH, 365 * years).capex_usd for years in (1.5, 3, 5, 10)]
    bought = m.EconomicsModel.solve(RESEARCH).purchase_usd
    assert cost == [close(bought / 2), close(bought), close(bought), close(bought)]


def test_an_unknown_price_is_no_price() -> None:
    tpus = fleets.fleet(8, 4, "TPUv5p")
    with pytest.raises(MissingFact, match="TPUv5p has no price on record"):
        m.EconomicsModel.solve(tpus, 365)
    assert m.EconomicsModel.solve(tpus, 365, usd_per_device=10_000).purchase_usd > 32 * 10_000
