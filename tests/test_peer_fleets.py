"""Wrong answers of another public tool, rows 21 to 40 of the table in test_peer_faults: fleets, searches, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim import Hardware, Models, Systems
from mlsysim.errors import MissingFact, OutOfDomain, UnknownName, WrongArguments
from mlsysim.solvers.device import usable
from udfs import FUNCTIONS

RESEARCH = Systems.Clusters.Research_256


def close(value: float, digits: float = 1e-9) -> Any:
    return pytest.approx(value, rel=digits)


def fleet(nodes: float, devices: float, device: str = "H100", fabric: str = "InfiniBand_NDR") -> str:
    node = f"{{N; devices = {devices:g}; nics = {devices:g}; device = {device}}}"
    return f"F; nodes = {nodes:g}; node = {node}; fabric = {fabric}"


def test_the_site_is_never_ignored() -> None:
    got = {s: m.SustainabilityModel.solve(RESEARCH, 30, s) for s in ("US_Avg", "Quebec", "Poland")}
    for site, result in got.items():
        grid = getattr(m.Infra.Grids, site)
        assert result.carbon_footprint_kg == close(result.total_energy_kwh * 3.6e6 * grid.carbon_intensity)
    average = got["US_Avg"].carbon_footprint_kg
    assert got["Quebec"].carbon_footprint_kg < 0.15 * average
    assert got["Poland"].carbon_footprint_kg > 2 * average
    with pytest.raises(UnknownName):
        m.SustainabilityModel.solve(RESEARCH, 30, "Atlantis")


def test_memory_capacity_is_named_with_the_missing_bytes() -> None:
    got = m.memory(Models.Llama3_70B, Hardware.H100, seq_len=1)
    assert not got.feasible
    assert got.shortfall == close(70.6e9 * 2 - 81559 * 2**20 * 0.95, 0.01)
    assert m.Engine.solve(Models.Llama3_70B, Hardware.H100, seq_len=1).shortfall == close(got.shortfall)
    study = m.SensitivitySolver.solve(Models.Llama3_70B, Hardware.H100, seq_len=1)
    assert str(study.binding) == "memory capacity"
    assert study.shortfall == close(got.shortfall)
    assert study.memory_capacity < -0.1
    assert str(m.SensitivitySolver.solve(Models.Llama3_8B, Hardware.H100).binding) == "memory bandwidth"


def test_the_network_answers() -> None:
    got = m.collective(Hardware.H100, devices=16, nodes=2, message=1e9, port=50e9)
    wire = 2 * (8 - 1) / 8 * 1e9 / 450e9 + 2 * (2 - 1) / 2 * (1e9 / 8) / 50e9
    assert wire < got.time < 3 * wire


def test_the_wait_depends_on_the_cluster() -> None:
    waits = [
        m.OrchestrationModel.solve(f"F; base = Research_256; nodes = {nodes}", 0.5, 1.5, 256).wait
        for nodes in (32, 64, 12_500)
    ]
    assert waits[0] > waits[1] > waits[2]
    assert waits[0] == close(86400 * 1.5 * 0.75 / 0.25)  # one slot: M/M/1
    assert waits[2] < 1
    with pytest.raises(OutOfDomain, match="devices_per_job"):
        m.OrchestrationModel.solve(RESEARCH, 0.5, 2, 257)


def test_a_recommendation_gathers_rows() -> None:
    got = m.Engine.solve(Models.DLRM, Hardware.H100)
    tables = Models.DLRM.params * 2
    assert got.memory_footprint >= tables
    assert got.latency < 1e-3 < 0.1 * tables / 3.35e12
    assert got.latency_memory * 3.35e12 < 1e-3 * tables
    assert m.Engine.solve(Models.DLRM, Hardware.H100, 1000).latency < 2e-3


def test_the_tpu_v4_is_itself() -> None:
    four, five = Hardware.TPUv4, Hardware.TPUv5p
    assert (four.key, five.key) == ("TPUv4", "TPUv5p")
    assert (four.bf16, five.bf16) == (275e12, 459e12)
    assert four.memory < 0.4 * five.memory
    assert m.Engine.solve(Models.Llama3_8B, four, precision="bf16").latency > 1.5 * (
        m.Engine.solve(Models.Llama3_8B, five, precision="bf16").latency
    )


def test_a_sweep_flags_what_does_not_fit() -> None:
    got = m.Engine.solve(Models.Llama3_8B, Hardware.H100, np.array([1, 32, 1000, 100_000]))
    assert got.feasible.tolist() == [True, True, False, False]
    assert np.array_equal(got.shortfall > 0, ~got.feasible)
    cells = FUNCTIONS["MLS_ROOFLINE"]("Llama3_8B", "H100", None, [[1.0, 100_000.0]])
    assert cells[0][0] > 0
    assert "does not fit" in cells[0][1]


def test_a_misspelt_metric_is_an_error() -> None:
    words = FUNCTIONS["MLS_ROOFLINE"]("Llama3_8B", "H100", "latncy")
    assert str(words).startswith("#")
    assert "no metric 'latncy'" in words
    with pytest.raises(AttributeError, match="latncy"):
        getattr(m.Engine.solve(Models.Llama3_8B, Hardware.H100), "lat" + "ncy")


def test_a_search_leaves_out_what_does_not_fit() -> None:
    plans = m.ParallelismOptimizer.solve(Models.Llama3_70B, RESEARCH, 1024, rows=50)
    assert np.all(plans.memory_footprint <= usable(Hardware.H100, None))
    with pytest.raises(OutOfDomain, match="no plan of Llama3_405B fits"):
        m.ParallelismOptimizer.solve(Models.Llama3_405B, fleet(1, 8), 8)


def test_no_published_plan_beats_the_search() -> None:
    cluster = Systems.Clusters.Meta_Llama3_16K_H100
    best = m.ParallelismOptimizer.solve(Models.Llama3_405B, cluster, 2048, seq_len=8192)
    assert np.all(best.memory_footprint <= usable(Hardware.H100, None))
    assert np.all(best.tp * best.pp * best.dp == 16384)
    for pp in (4, 16):
        for zero in (0, 1, 2, 3):
            plan = m.DistributedModel.solve(
                Models.Llama3_405B, cluster, 2048, 8, pp, seq_len=8192, zero_stage=zero, microbatch=1
            )
            assert not plan.feasible or best.step_latency_total[0] <= plan.step_latency_total


def test_no_share_above_one() -> None:
    for kind in ("ring", "torus_2d", "torus_3d", "fat_tree", "dragonfly", "full_mesh"):
        got = m.TopologyModel.solve("InfiniBand_NDR", topology_kind=kind, num_nodes=np.arange(1, 65))
        assert np.all(got.bisection_fraction <= 1)
        assert np.all(got.effective_bandwidth <= 50e9)
    assert m.TopologyModel.solve("InfiniBand_NDR", "torus_3d", 512).bisection_fraction == close(4 / 8)
    assert m.TopologyModel.solve("InfiniBand_NDR", "ring", 1).bisection_bandwidth == 0


def test_memory_in_gib_is_not_in_gb() -> None:
    chip = "C; base = H100; memory = 80 {}"
    got = {
        u: m.WeightStreamingModel.solve(Models.Llama3_8B, chip.format(u), 4096, 8, reserve=0.05) for u in ("GB", "GiB")
    }
    assert got["GiB"].memory_utilization == close(got["GiB"].memory_required / (80 * 2**30 * 0.95))
    assert got["GB"].memory_utilization / got["GiB"].memory_utilization == close(2**30 / 1e9)


def test_arguments_are_used_or_refused() -> None:
    for name, value in (("topology_override", "tree"), ("mtbf_hours", 10), ("congestion_factor", 1)):
        with pytest.raises(WrongArguments, match=name):
            m.DistributedModel.solve(Models.Llama3_8B, RESEARCH, 1024, **{name: value})
    with pytest.raises(WrongArguments, match="mtbf_hours"):
        m.ReliabilityModel.solve(RESEARCH, 24, mtbf_hours=10)
    with pytest.raises(UnknownName, match="mtbf_hours"):
        m.ReliabilityModel.solve("F; base = Research_256; mtbf_hours = 10", 24)
    loose, strict = (m.ResponsibleEngineeringModel.solve(3600, 1, delta=d).training_time for d in (1e-5, 1e-9))
    assert strict > loose


def test_the_prefill_device_must_hold_the_model() -> None:
    got = m.ServingModel.solve(Models.Llama3_70B, Hardware.T4, 2048, decode_hardware="MI300X", link=50e9)
    assert not got.feasible
    assert got.shortfall == close(70.6e9 * 2 - 15.2e9, 0.01)
    assert m.ServingModel.solve(Models.Llama3_70B, Hardware.MI300X, 2048).feasible


def test_one_gpu_a_node_reduces_over_the_fabric() -> None:
    def exposed(nodes: float, devices: float) -> float:
        plan = m.DistributedModel.solve(Models.Llama3_8B, fleet(nodes, devices), 64, overlap_comm=False)
        return float(plan.dp_communication_latency)

    gradients = 8.03e9 * 2
    assert exposed(64, 1) >= 2 * 63 / 64 * gradients / 50e9 > 10 * 2 * 63 / 64 * gradients / 900e9
    assert exposed(64, 1) > 3 * exposed(8, 8)


def test_four_bits_of_a_large_model_fit() -> None:
    assert not m.Engine.solve(Models.Llama3_70B, Hardware.H100, precision="fp16").feasible
    assert m.Engine.solve(Models.Llama3_70B, Hardware.H100, precision="w4a16").feasible
    with pytest.raises(MissingFact, match=r"H100 has no int4 rate on record.*w4a16"):
        m.Engine.solve(Models.Llama3_70B, Hardware.H100, precision="int4")
