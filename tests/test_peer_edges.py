"""Edge inputs on which another public tool went on with nonsense: each is refused by name, or has its answer here."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim import Hardware, Models, Systems
from mlsysim.errors import MissingFact, MlsysError
from mlsysim.solvers.workload import default
from udfs import FUNCTIONS

NAN = math.nan
RESEARCH = Systems.Clusters.Research_256
LLAMA, H100 = Models.Llama3_8B, Hardware.H100

engine = partial(m.Engine.solve, LLAMA, H100)
train = partial(m.Engine.solve, LLAMA, H100, is_training=True)
serve = partial(m.ServingModel.solve, LLAMA, H100)
draft = partial(serve, 512, draft="Llama3_8B", draft_tokens=4)
fleet = partial(m.DistributedModel.solve, LLAMA, RESEARCH)
tail = partial(m.TailLatencyModel.solve, service_latency_ms=100)
green = partial(m.SustainabilityModel.solve, RESEARCH)
cost = partial(m.EconomicsModel.solve, RESEARCH)
safe = partial(m.ResponsibleEngineeringModel.solve, 3600.0)
batches = partial(m.BatchingOptimizer.solve, LLAMA, H100, 512)
compress = partial(m.CompressionModel.solve, LLAMA, H100)

# input, what is called with it, the words of the refusal
Refusals = tuple[tuple[str, tuple[tuple[Callable[..., Any], dict[str, Any], str], ...]], ...]
REFUSED: Refusals = (
    ("batch 0, −1", ((engine, {"batch_size": 0}, "batch must be"), (engine, {"batch_size": -1}, "batch must be"))),
    ("batch 1.5", ((engine, {"batch_size": 1.5}, "batch must be a whole number"),)),
    ("batch NaN", ((engine, {"batch_size": NAN}, "batch must be .*NaN"),)),
    (
        "efficiency NaN",
        (
            (engine, {"efficiency": NAN}, "efficiency .*NaN"),
            (fleet, {"batch_size": 256, "efficiency": NAN}, "efficiency"),
        ),
    ),
    ("efficiency 0 / 1.2", ((engine, {"efficiency": 0}, "efficiency"), (engine, {"efficiency": 1.2}, "0.4, not 40"))),
    (
        "serving efficiency 2 / 0 / NaN",
        tuple((serve, {"seq_len": 512, "efficiency": e}, "efficiency") for e in (2, 0, NAN)),
    ),
    ("seq 0, −5 in training", tuple((train, {"seq_len": s}, "seq_len must be a whole number from 1") for s in (0, -5))),
    ("serving seq 0", ((serve, {"seq_len": 0}, "seq_len must be a whole number from 1"),)),
    ("serving batch 0", ((serve, {"seq_len": 512, "batch_size": 0}, "batch must be a whole number from 1"),)),
    (
        "cached prefix −100",
        (
            (serve, {"seq_len": 512, "cached_prefix": -100}, "cached_prefix must be"),
            (serve, {"seq_len": 512, "cached_prefix": 512}, "cached_prefix"),
        ),
    ),
    ("acceptance 1.5 / −1", tuple((draft, {"acceptance": a}, "acceptance must be") for a in (1.5, -1))),
    (
        "zero_stage 7",
        (
            (train, {"zero_stage": 7}, "zero_stage must be .* up to 3"),
            (fleet, {"batch_size": 256, "zero_stage": 7}, "zero_stage"),
        ),
    ),
    ("zero_stage 3, dp 0", ((train, {"zero_stage": 3, "dp": 0}, "dp must be a whole number from 1"),)),
    (
        "tp·pp > N",
        ((fleet, {"batch_size": 1024, "tp_size": 32, "pp_size": 16}, "got 512; at most 256"),),
    ),
    ("tp=3 on 256", ((fleet, {"batch_size": 1024, "tp_size": 3}, "got 3; nearest legal products are 2 and 4"),)),
    ("batch < dp", ((fleet, {"batch_size": 8}, "batch must be a multiple .* nearest legal: 256"),)),
    ("batch 300 on dp 256", ((fleet, {"batch_size": 300}, "batch must be a multiple .* nearest legal: 256 or 512"),)),
    (
        "microbatches 0",
        (
            (fleet, {"batch_size": 256, "microbatch": 0}, "microbatch must be"),
            (m.bubble, {"stages": 1, "microbatches": 0}, "microbatches"),
            (m.bubble, {"stages": 4, "microbatches": 0}, "microbatches"),
        ),
    ),
    (
        "congestion −1",
        (
            (fleet, {"batch_size": 256, "congestion": -1}, "training takes .*congestion"),
            (m.TopologyModel.solve, {"fabric": "InfiniBand_NDR", "oversubscription": -1}, "oversubscription"),
        ),
    ),
    ("straggler 0.5", ((fleet, {"batch_size": 256, "straggler": 0.5}, "straggler must be a number from 1"),)),
    (
        "replicas 0",
        (
            (tail, {"arrival_rate_qps": 1, "num_replicas": 0}, "servers must be"),
            (batches, {"sla_latency_ms": 1000, "arrival_rate_qps": 1, "num_replicas": 0}, "replicas"),
        ),
    ),
    (
        "qps NaN",
        (
            (tail, {"arrival_rate_qps": NAN}, "arrival_rate .*NaN"),
            (batches, {"sla_latency_ms": 1000, "arrival_rate_qps": NAN}, "arrival_rate"),
        ),
    ),
    ("duration −5 d", ((green, {"duration_days": -5}, "days must be"), (cost, {"duration_days": -5}, "days must be"))),
    ("mfu NaN", ((green, {"duration_days": 30, "mfu": NAN}, "mfu .*NaN"), (cost, {"mfu": NAN}, "mfu .*NaN"))),
    ("ε 0 or −1", tuple((safe, {"epsilon": e}, "epsilon must be a number above 0") for e in (0, -1))),
    ("prevalence 2", ((safe, {"min_subgroup_prevalence": 2}, "subgroup must be"),)),
    (
        "reasoning steps −1",
        tuple(
            (m.InferenceScalingModel.solve, {"model": LLAMA, "hardware": H100, "reasoning_steps": n}, "steps must be")
            for n in (-1, 0)
        ),
    ),
    (
        "unknown method, workload_type, topology, phase, region",
        (
            (compress, {"method": "zip"}, "method must be one of quantization, pruning, distillation"),
            (
                m.EfficiencyModel.solve,
                {"model": LLAMA, "hardware": H100, "workload_type": "sleep"},
                "regime must be one of",
            ),
            (m.TopologyModel.solve, {"fabric": "InfiniBand_NDR", "topology_kind": "tree"}, "kind must be one of"),
            (
                m.WeightStreamingModel.solve,
                {"model": LLAMA, "hardware": H100, "phase": "dream"},
                "phase must be one of",
            ),
            (green, {"duration_days": 30, "datacenter": "Atlantis"}, "sites has no 'Atlantis'"),
        ),
    ),
    (
        "no storage/interconnect in the registry",
        (
            (
                m.DataModel.solve,
                {"workload_data_rate": 1e9, "hardware": H100},
                "H100 has no storage_bandwidth on record",
            ),
            (m.CheckpointModel.solve, {"model": LLAMA, "hardware": H100}, "H100 has no storage_bandwidth on record"),
            (
                m.ServingModel.solve,
                {"model": LLAMA, "hardware": "T4", "seq_len": 512, "tp_size": 2},
                "T4 has no link on record",
            ),
        ),
    ),
    (
        "FLOP where bytes are asked",
        (
            (
                m.roofline_time,
                {"flops": 1e12, "traffic": "1 TFLOP", "peak": 1e15, "bandwidth": 1e12},
                "traffic.*unit 'TFLOP'",
            ),
            (
                m.TransformationModel.solve,
                {"batch_size": 1, "sample_size_bytes": "150 kFLOP", "cpu_throughput": 1e9, "accelerator_step_time": 1},
                "sample_size",
            ),
            (
                m.DataModel.solve,
                {"workload_data_rate": "1 TFLOP/s", "hardware": "C; base = H100; storage_bandwidth = 7 GB/s"},
                "demand",
            ),
        ),
    ),
)
ANSWERED = (
    ("unknown precision \"fp12\", \"FP8\" upper case", "test_a_precision_is_known_by_name_in_any_case"),
    ("fp4 on B200", "test_four_bit_floats_where_the_chip_has_them"),
    ("N=1", "test_one_device_has_nobody_to_talk_to"),
    ("8e6 GPUs", "test_eight_million_gpus_do_not_form_one_ring"),
    ("qps 0 / −1", "test_no_traffic_is_traffic_and_less_is_not"),
    ("λ ≥ cμ", "test_an_unstable_pool_says_how_many_replicas_it_needs"),
    ("100 000 replicas", "test_a_hundred_thousand_replicas"),
    ("checkpoint interval 0 / longer write than interval", "test_saving_takes_its_share_of_time"),
    ("checkpoint cost 0 (reliability)", "test_free_checkpoints_leave_the_recovery"),
    ("target latency 0 / −1", "test_a_target_latency_of_nothing"),
)  # fmt: skip
CASES = 40


def test_every_input_is_listed_once() -> None:
    listed = [text for text, _ in (*REFUSED, *ANSWERED)]
    assert len(listed) == len(set(listed)) == CASES
    others = {"test_every_input_is_listed_once", "test_what_is_no_input_is_refused_by_name"}
    here = {n for n, f in globals().items() if n.startswith("test_") and callable(f)}
    assert sorted(name for _, name in ANSWERED) == sorted(here - others)
    assert all(calls for _, calls in REFUSED)


@pytest.mark.parametrize(
    ("call", "options", "words"),
    [pytest.param(*case, id=f"{text}-{i}") for text, calls in REFUSED for i, case in enumerate(calls)],
)
def test_what_is_no_input_is_refused_by_name(call: Callable[..., Any], options: dict[str, Any], words: str) -> None:
    with pytest.raises(MlsysError, match=words):
        call(**options)


def close(value: float, digits: float = 1e-9) -> Any:
    return pytest.approx(value, rel=digits)


def test_a_precision_is_known_by_name_in_any_case() -> None:
    with pytest.raises(MlsysError, match="precision has no 'fp12'"):
        engine(precision="fp12")
    upper, lower, wide = (engine(precision=p) for p in ("FP8", "fp8", "fp16"))
    assert upper.latency == lower.latency < wide.latency
    assert upper.memory_footprint == lower.memory_footprint == close(wide.memory_footprint / 2, 0.02)


def test_four_bit_floats_where_the_chip_has_them() -> None:
    four, sixteen = (m.Engine.solve(LLAMA, Hardware.B200, precision=p) for p in ("fp4", "fp16"))
    assert four.latency < sixteen.latency
    assert four.memory_footprint < 0.3 * sixteen.memory_footprint
    assert four.latency_compute < 0.6 * sixteen.latency_compute
    with pytest.raises(MissingFact, match="H100 has no fp4 rate on record"):
        engine(precision="fp4")


def test_one_device_has_nobody_to_talk_to() -> None:
    node = "{N; devices = 1; nics = 1; device = H100}"
    got = m.DistributedModel.solve(LLAMA, f"F; nodes = 1; node = {node}; fabric = InfiniBand_NDR", 4)
    waits = [getattr(got, f"{n}_communication_latency") for n in ("dp", "tp", "cp", "pp", "ep")]
    assert waits == [0, 0, 0, 0, 0]
    assert got.scaling_efficiency == 1
    assert got.parallelism == "dp=1 tp=1 pp=1 ep=1"
    assert m.collective(H100, devices=1, message=1e9).time == 0


def test_eight_million_gpus_do_not_form_one_ring() -> None:
    def reduced(nodes: float) -> float:
        many = f"F; nodes = {nodes:g}; node = DGX_H100; fabric = InfiniBand_NDR"
        return float(m.DistributedModel.solve(LLAMA, many, 8 * nodes, overlap_comm=False).dp_communication_latency)

    small, huge = reduced(128), reduced(1_000_000)
    assert small <= huge < 1.1 * small + 0.1
    assert huge < 5


def test_no_traffic_is_traffic_and_less_is_not() -> None:
    idle = tail(0)
    assert (idle.utilisation, idle.wait_mean, idle.stable) == (0, 0, True)
    assert idle.p99 == close(0.1 * math.log(100))
    with pytest.raises(MlsysError, match="arrival_rate must be a number from 0"):
        tail(-1)


def test_an_unstable_pool_says_how_many_replicas_it_needs() -> None:
    for rate, needed in ((100, 11), (50, 6), (99, 10)):
        got = tail(rate, num_replicas=5)
        assert (got.stable, got.feasible, got.servers_needed, got.shortfall) == (False, False, needed, needed - 5)
        assert tail(rate, num_replicas=needed).stable
        assert not tail(rate, num_replicas=needed - 1).stable
    assert "servers must be at least 11" in FUNCTIONS["MLS_TAIL_LATENCY"](100, 100, 5)


def test_a_hundred_thousand_replicas() -> None:
    got = tail(9.9e5, num_replicas=100_000)
    assert got.stable
    assert got.utilisation == close(0.99)
    assert got.p50 < got.p99 == close(0.1 * math.log(100), 1e-3)
    assert 0 < got.wait_probability < 0.01


def test_saving_takes_its_share_of_time() -> None:
    chip = "C; base = H100; storage_bandwidth = 1 GB/s"
    for hours in (0, 1e-3, 4):
        got = m.CheckpointModel.solve(LLAMA, chip, checkpoint_interval_hours=hours)
        assert got.write_time == close(14 * 8.03e9 / 1e9, 1e-3)
        assert got.share_of_time == close(got.write_time / (got.write_time + 3600 * hours))
        assert 0 < got.share_of_time <= 1


def test_free_checkpoints_leave_the_recovery() -> None:
    life = 86400 / (default("failures_per_node_day") * RESEARCH.nodes)
    costs = np.array([0.0, 1e-6, 1e-3])
    got = m.ReliabilityModel.solve(RESEARCH, 24, checkpoint_time_s=costs)
    assert got.goodput[0] == close(1 - 300 / life)
    assert got.goodput[1] == close(1 - 300 / life, 1e-4)
    assert np.all(np.diff(got.goodput) < 0)


def test_a_target_latency_of_nothing() -> None:
    for target in (0, -1):
        with pytest.raises(MlsysError, match="latency must be"):
            m.SynthesisSolver.solve(LLAMA, target)
    with pytest.raises(MlsysError, match="latency must be"):
        batches(-1, 1)
    got = batches(0, 1)  # no batch is that quick
    assert not got.feasible
    assert got.latency_p99 > 0
    assert not m.capacity(LLAMA, H100, requests_per_s=1, input_tokens=100, output_tokens=100, ttft=0).feasible
