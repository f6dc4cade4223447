"""The cheat sheet: examples run as printed, every attribute exists, every number of its tables is ours or explained."""

from __future__ import annotations

import math
from typing import Any

import pytest

import mlsysim as m
from mlsysim import CATALOGUE, Hardware, Infra, Models, Systems
from mlsysim.errors import UnknownName
from mlsysim.registry import face
from mlsysim.things import DEFAULTS, Fleet, Site
from mlsysim.units import Bottleneck

EXAMPLES = {
    "1 single-node roofline": '''
from mlsysim import Engine, Hardware, Models

profile = Engine.solve(
    model=Models.Llama3_8B,
    hardware=Hardware.H100,
    batch_size=1,
    precision="fp16",       # "fp32", "fp16", "int8", "int4", "fp8"
    efficiency=0.5,
    is_training=False,      # True for training memory/FLOPs
)
''',
    "2 serving": '''
from mlsysim import ServingModel, Hardware, Models

result = ServingModel().solve(
    model=Models.Llama3_8B,
    hardware=Hardware.H100,
    seq_len=4096,
    batch_size=32,
    precision="fp16",
)
''',
    "3 distributed training": '''
from mlsysim import DistributedModel, Models, Systems

result = DistributedModel().solve(
    model=Models.Llama3_70B,
    fleet=Systems.Clusters.Research_256,
    batch_size=1024,
    tp_size=8,
    pp_size=4,
    precision="fp16",
    efficiency=0.4,
    overlap_comm=True,
)
''',
    "4 compression": '''
from mlsysim import CompressionModel, Hardware, Models

result = CompressionModel().solve(
    model=Models.Llama3_8B,
    hardware=Hardware.H100,
    method="quantization",   # "quantization", "pruning", "distillation"
    target_bitwidth=4,       # 4, 8, 16
)
''',
    "5 sustainability and economics": '''
from mlsysim import SustainabilityModel, EconomicsModel, Systems, Infra

fleet = Systems.Clusters.Research_256

co2 = SustainabilityModel().solve(fleet, duration_days=30, datacenter=Infra.Quebec, mfu=0.4)

tco = EconomicsModel().solve(fleet, duration_days=365, mfu=0.4)
''',
}  # fmt: skip
ATTRIBUTES = [
    ("1 single-node roofline", "profile", "latency throughput bottleneck memory_footprint mfu energy feasible"),
    ("2 serving", "result", "ttft itl kv_cache_size total_memory_required feasible"),
    (
        "3 distributed training",
        "result",
        "scaling_efficiency step_latency_total dp_communication_latency bubble_fraction effective_throughput "
        "parallelism",
    ),
    (
        "4 compression",
        "result",
        "compression_ratio compressed_size_gb memory_savings_pct inference_speedup estimated_accuracy_delta",
    ),
    ("5 sustainability and economics", "co2", "total_energy_kwh carbon_footprint_kg water_usage_liters pue"),
    ("5 sustainability and economics", "tco", "tco_usd capex_usd total_opex_usd opex_energy_usd carbon_footprint_kg"),
]


def run(example: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[example], example, "exec"), names)
    return names


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-12)


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize(("example", "name", "attributes"), ATTRIBUTES)
def test_every_attribute_that_the_sheet_lists_exists(example: str, name: str, attributes: str) -> None:
    result = run(example)[name]
    for attribute in attributes.split():
        value = getattr(result, attribute)
        if attribute == "parallelism":
            assert value == "dp=8 tp=8 pp=4 ep=1"
        elif attribute == "bottleneck":
            assert value in Bottleneck
        elif attribute == "feasible":
            assert value is True
        else:
            assert type(value) is float
            assert math.isfinite(value)
            assert value >= 0 or attribute == "estimated_accuracy_delta"


def test_example_1_is_the_catalogue_function() -> None:
    profile = run("1 single-node roofline")["profile"]
    ours = m.roofline("Llama3_8B", "H100", batch=1, precision="fp16", efficiency=0.5)
    for (name, one), other in zip(vars(profile).items(), vars(ours).values(), strict=True):
        assert one == other or (math.isnan(one) and math.isnan(other)), name  # unknown on both sides
    assert profile.bottleneck is Bottleneck.memory
    assert profile.latency > 16.06e9 / 3.35e12
    assert profile.mfu < 0.01
    trained = m.Engine.solve(model=Models.Llama3_8B, hardware=Hardware.H100, is_training=True)
    assert not trained.feasible  # 16 bytes for each of 8 billion parameters
    assert trained.memory_footprint > 128e9


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "fp8"])
def test_the_precisions_of_example_1(precision: str) -> None:
    assert m.Engine.solve(Models.Llama3_8B, Hardware.H100, precision=precision).latency > 0


def test_example_2_has_the_cache_of_17_gigabytes() -> None:
    result = run("2 serving")["result"]
    assert result.kv_cache_size == 17_179_869_184
    assert result.total_memory_required == close(2 * 8_030_261_248 + 17_179_869_184)
    assert result.ttft > 32 * 4096 * 2 * 8.03e9 / 989e12
    assert result.itl > (16.06e9 + 17.18e9) / 3.35e12
    assert result == m.serving("Llama3_8B", "H100", seq_len=4096, batch=32)


def test_example_3_adds_up() -> None:
    result = run("3 distributed training")["result"]
    assert result.effective_throughput * result.step_latency_total == close(1024)
    assert result.step_latency_total > 6 * 70.55e9 * 2048 * 1024 / (256 * 989e12 * 0.4)
    assert result.bubble_fraction == close(3 / 128)
    bare = m.DistributedModel().solve(
        Models.Llama3_70B, Systems.Clusters.Research_256, 1024, 8, 4, "fp16", 0.4, overlap_comm=False
    )
    assert bare.dp_communication_latency > result.dp_communication_latency
    assert bare == m.training(
        "Llama3_70B", "Research_256", batch=1024, tp=8, pp=4, precision="fp16", efficiency=0.4, overlap=0
    )
    assert m.DistributedModel().solve(Models.Llama3_8B, "Research_256", 256, overlap_comm=False, overlap=0.5) == (
        m.training("Llama3_8B", "Research_256", batch=256, overlap=0.5)
    )


def test_example_4_is_four_times_but_for_the_scales() -> None:
    result = run("4 compression")["result"]
    assert result.compression_ratio == close(16 / 4.125)
    assert result.compressed_size_gb == close(8.030261248 * 4.125 / 8)
    assert result.memory_savings_pct == close(100 * (1 - 4.125 / 16))
    assert 1 < result.inference_speedup < result.compression_ratio
    assert -0.1 < result.estimated_accuracy_delta < 0
    for bits in (4, 8, 16):
        assert m.CompressionModel().solve(Models.Llama3_8B, Hardware.H100, target_bitwidth=bits).compression_ratio >= 1


def test_example_5_is_quebec_and_a_year() -> None:
    names = run("5 sustainability and economics")
    co2, tco, quebec = names["co2"], names["tco"], Infra.Quebec
    assert isinstance(quebec, Site)
    assert isinstance(names["fleet"], Fleet)
    assert co2.pue == quebec.pue
    assert co2.total_energy_kwh == close(co2.it_energy_kwh * quebec.pue)
    assert co2.it_energy_kwh == close(32 * names["fleet"].node.busy_power / 1000 * 24 * 30)
    grid = quebec.grid.carbon_intensity * 3.6e6
    assert co2.carbon_footprint_kg == close(co2.total_energy_kwh * grid)
    assert tco.tco_usd == close(tco.capex_usd + tco.total_opex_usd)
    assert tco.purchase_usd > 256 * 20_000
    assert co2 == m.sustainability("Research_256", days=30 * 86400, datacenter="Quebec", mfu=0.4)
    assert tco == m.tco("Research_256", days=365 * 86400, mfu=0.4)


@pytest.mark.parametrize("bad", [math.nan, -5, 0, "30", "thirty", True, None, [True]])
def test_durations_are_judged_by_name(bad: Any) -> None:
    for call in (m.SustainabilityModel().solve, m.EconomicsModel().solve):
        with pytest.raises(m.OutOfDomain, match="days"):
            call("Research_256", duration_days=bad)


# ---------------------------------------------------------------- the iron law and the five equations, as printed


def test_the_iron_law() -> None:
    time = m.ironlaw(flops=6 * 70e9 * 1.4e12, devices=1024, peak=312e12, mfu=0.35, scaling=0.9, goodput=0.95)
    assert time == close(6 * 70e9 * 1.4e12 / (1024 * 312e12 * 0.35 * 0.9 * 0.95))


def test_the_five_equations() -> None:
    assert m.roofline_time(flops=5e15, traffic=4e9, peak=1e15, bandwidth=2e9) == close(max(5e15 / 1e15, 4e9 / 2e9))
    assert m.roofline_time(flops=1e15, traffic=4e9, peak=1e15, bandwidth=2e9) == close(2)
    kv = m.kv_size(layers=32, kv_heads=8, head_dim=128, seq_len=4096, batch=32, bytes_per_value=2)
    assert kv == 2 * 32 * 8 * 128 * 4096 * 32 * 2
    n, message, bandwidth, alpha = 256, 2e9, 50e9, 5e-6
    ring = m.allreduce(workers=n, message=message, bandwidth=bandwidth, latency=alpha)
    assert ring == close(2 * (n - 1) / n * message / bandwidth + 2 * (n - 1) * alpha)
    assert m.allreduce(workers=10**6, message=message, bandwidth=bandwidth) == pytest.approx(2 * message / bandwidth)
    assert m.train_flops(params=70e9, tokens=1.4e12) == close(6 * 70e9 * 1.4e12)
    assert m.chinchilla_params(budget=1e24) == close(math.sqrt(1e24 / 120))
    assert m.chinchilla_tokens(budget=1e24) == close(20 * math.sqrt(1e24 / 120))
    energy, pue, intensity = 12_345.0, 1.1, 429.0
    kilograms = m.carbon(energy=energy * 3.6e6, pue=pue, intensity=intensity / 1000 / 3.6e6)
    assert kilograms == close(energy * pue * intensity / 1000)


# ---------------------------------------------------------------- tables

# TFLOP/s, memory, TB/s, W as the sheet prints them
HARDWARE = [
    ("V100", "fp16", 125, 32, 0.9, 300),
    ("A100", "fp16", 312, 80, 2.0, 400),
    ("H100", "fp16", 989, 80, 3.35, 700),
    ("H200", "fp16", 989, 141, 4.8, 700),
    ("B200", "fp16", 2250, 192, 8.0, 1000),
    ("Tiny.nRF52840", "fp32", 0.000064, 0.001, 0.000064, 0.015),  # its datapath is single precision
]
OURS = {  # where we differ from the sheet, and why the registry's note must say so
    ("B200", "memory"): (180, "192 GB"),
    ("A100", "bandwidth"): (2.039, ""),  # the sheet rounds
}
MODELS = [
    ("ResNet50", 25.6e6, "cnn"),
    ("Llama3_8B", 8.03e9, "transformer"),
    ("Llama3_70B", 70.6e9, "transformer"),
    ("GPT3", 175e9, "transformer"),
    ("Tiny.DS_CNN", 26e3, "cnn"),
    ("MobileNetV2", 3.4e6, "cnn"),
]
OUR_MODELS = {"Tiny.DS_CNN": (23_756, "26K"), "MobileNetV2": (3_504_872, "3.4M")}


def at(root: Any, path: str) -> Any:
    for name in path.split("."):
        root = getattr(root, name)
    return root


@pytest.mark.parametrize(("key", "datapath", "peak", "memory", "bandwidth", "tdp"), HARDWARE)
def test_hardware_table(key: str, datapath: str, peak: float, memory: float, bandwidth: float, tdp: float) -> None:
    device = at(Hardware, key)
    printed = {datapath: (peak, 1), "memory": (memory, 1), "bandwidth": (bandwidth, 1e-3), "tdp": (tdp, 1)}
    for name, (expected, scale) in printed.items():
        value, word = OURS.get((key, name), (expected, ""))
        assert face(device, name) * scale == pytest.approx(value, rel=1e-9), name
        assert word in device.facts[name].note


@pytest.mark.parametrize(("key", "params", "family"), MODELS)
def test_model_table(key: str, params: float, family: str) -> None:
    model = at(Models, key)
    value, word = OUR_MODELS.get(key, (params, ""))
    assert model.params == pytest.approx(value, rel=2e-3 if value == params else 0)  # the sheet rounds to three figures
    assert word in model.facts["params"].note
    assert model.family == family


def test_the_312_of_the_iron_laws_table_is_the_a100() -> None:
    assert Hardware.A100.fp16 == 312e12
    assert Hardware.H100.fp16 == 989e12
    assert "312" in Hardware.H100.facts["fp16"].note


GUIDE = [
    ("mfu", 0.10, 0.35, 0.55),
    ("decode", 0.01, 0.05, 0.15),
    ("batched", 0.20, 0.40, 0.60),
    ("training", 0.20, 0.40, 0.55),
    ("distributed", 0.15, 0.30, 0.45),
    ("flash", 0.50, 0.60, 0.70),
    ("tiny", 0.05, 0.15, 0.30),
]


@pytest.mark.parametrize(("regime", "low", "typical", "high"), GUIDE)
def test_the_efficiency_guide(regime: str, low: float, typical: float, high: float) -> None:
    row = DEFAULTS[f"guide_{regime}"]
    assert (row.low, row.value, row.high) == (low, typical, high)
    assert [m.efficiency(regime=regime, level=n) for n in ("low", "typical", "high")] == [low, typical, high]
    assert m.efficiency(regime=regime) == typical


def test_the_mfu_of_fleet_models_is_the_guides() -> None:
    assert m.efficiency(regime="mfu") == DEFAULTS["mfu"].value


def test_walls_are_numbered_once() -> None:
    walls = [e.wall for e in CATALOGUE.values() if e.wall is not None]
    assert {1, 4, 13, 14, 17, 18} <= set(walls) <= set(range(1, 23))
    assert len(walls) == len(set(walls))


# ---------------------------------------------------------------- paths


def test_attribute_paths() -> None:
    assert Hardware.Tiny.nRF52840.key == "nRF52840"
    assert Models.Tiny.DS_CNN.key == "DS_CNN"
    assert Systems.Clusters.Research_256.nodes * Systems.Clusters.Research_256.node.devices == 256
    assert Systems.Nodes.DGX_H100.devices == 8
    assert Hardware.All.H100 is Hardware.H100 is Hardware.Cloud.H100
    assert {"H100", "Tiny"} <= set(dir(Hardware))
    assert "nRF52840" in dir(Hardware.Tiny)
    assert "H100" not in dir(Hardware.Tiny)


@pytest.mark.parametrize(
    ("root", "path", "near"),
    [(Hardware, "H101", "H100"), (Models, "Llama3_9B", "Llama3_8B"), (Infra, "Quebeck", "Quebec")],
)
def test_a_wrong_path_is_answered_with_near_ones(root: Any, path: str, near: str) -> None:
    with pytest.raises(UnknownName, match=rf"has no '{path}'; did you mean .*{near}"):
        getattr(root, path)
