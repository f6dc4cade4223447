"""Walls 21 and 22: elasticities of any call, and the device, or any number, that a target asks for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlsysim as m
from mlsysim import Hardware, Models
from mlsysim.errors import MissingFact, MlsysError, OutOfDomain, UnknownName, WrongArguments
from mlsysim.solvers.analysis import Ceiling
from mlsysim.solvers.levers import replaced
from mlsysim.things import Device, Fleet
from udfs import FUNCTIONS

CALLS: dict[str, dict[str, Any]] = {
    "roofline": {"model": "Llama3_8B", "hardware": "H100"},
    "serving": {"model": "Llama3_8B", "hardware": "H100", "seq_len": 4096, "batch": 8},
    "training": {"model": "Llama3_8B", "fleet": "Research_256", "batch": 1024, "tp": 8},
    "tco": {"fleet": "Research_256"},
    "sustainability": {"fleet": "Research_256", "days": 86400.0, "datacenter": "Quebec"},
    "carbon": {"energy": 3.6e9, "pue": 1.2, "intensity": 1e-7},
}


def close(value: Any, rel: float = 1e-9) -> Any:
    return pytest.approx(value, rel=rel, abs=1e-12)


# ------------------------------------------------------------------ wall 21


def test_a_roofline_by_hand() -> None:
    """T = busy + launches: raising what binds by p leaves busy / (1 + p) + launches."""
    got = m.sensitivity("Llama3_8B", "H100", perturbation=0.1)
    step = m.roofline("Llama3_8B", "H100")
    after = step.latency_memory / 1.1 + step.latency_overhead
    assert got.binding == Ceiling.memory_bandwidth
    assert got.memory_bandwidth == close(math.log(after / step.latency) / math.log(1.1))
    longer = step.latency_memory + 1.1 * step.latency_overhead
    assert got.overhead == close(math.log(longer / step.latency) / math.log(1.1))
    assert (got.peak_flops, got.memory_capacity, got.host_link, got.efficiency) == (0, 0, 0, 0)


def test_compute_bound_work_feels_peak_and_efficiency_alike() -> None:
    got = m.sensitivity("ResNet50", "A100", batch=256)
    assert got.binding == Ceiling.peak_flops
    assert -1 < got.peak_flops < -0.9
    assert got.efficiency == close(got.peak_flops)
    assert got.memory_bandwidth == 0


def test_elasticities_do_not_depend_on_a_small_step() -> None:
    fine, coarse = (m.sensitivity("Llama3_8B", "H100", perturbation=p).memory_bandwidth for p in (1e-4, 0.1))
    step = m.roofline("Llama3_8B", "H100")
    assert fine == close(-step.latency_memory / step.latency, 1e-4)  # the share of time, in the limit
    assert coarse == close(fine, 0.05)


def test_peer_fault_22_capacity_binds_and_the_missing_bytes_are_told() -> None:
    got = m.SensitivitySolver.solve(Models.Llama3_70B, Hardware.H100)
    assert str(got.binding) == "memory capacity"
    assert not got.feasible
    assert got.shortfall == close(m.roofline("Llama3_70B", "H100").shortfall)
    assert 5.5e10 < got.shortfall < 6.5e10  # 141.2 GB of weights and a cache into 81.2 GB
    assert got.memory_capacity < -1  # each byte more takes one off a slow link
    cell = FUNCTIONS["MLS_SENSITIVITY"]
    assert cell("Llama3_70B", "H100") == "memory capacity"
    assert cell("Llama3_70B", "H100", "shortfall") == close(got.shortfall / 1e9)
    assert str(cell("Llama3_70B", "H100", "peak_flops")).startswith("#MLS! does not fit: needs")


def test_without_a_host_link_capacity_still_binds() -> None:
    own = "Mine; memory = 40 GB; bandwidth = 2 TB/s; fp16 = 300 TFLOP/s; memory_class = hbm"
    got = m.sensitivity("Llama3_70B", own)
    assert str(got.binding) == "memory capacity"
    assert math.isnan(got.host_link)


def test_a_chip_that_streams_from_sram_feels_that_bandwidth() -> None:
    own = ("Mine; memory = 80 GB; bandwidth = 1 GB/s; fp16 = 900 TFLOP/s; memory_class = hbm; dispatch = 1 us; "
           "sram = 1 GB; sram_bandwidth = 2 GB/s")  # fmt: skip
    assert m.sensitivity("ResNet50", own).memory_bandwidth < -0.5


def test_arrays_are_single_calls() -> None:
    batch, step = np.array([1.0, 64.0, 256.0]), np.array([[0.1], [0.2]])
    got = m.sensitivity("ResNet50", "A100", batch=batch, perturbation=step)
    for i, p in enumerate(step.ravel()):
        for j, b in enumerate(batch):
            one = m.sensitivity("ResNet50", "A100", batch=b, perturbation=p)
            assert one.binding == got.binding[i, j]
            assert one.peak_flops == close(got.peak_flops[i, j])
            assert one.overhead == close(got.overhead[i, j])


@pytest.mark.parametrize("value", [0, -0.1, 1.5, math.nan, math.inf, "ten", True, None])
def test_perturbation_is_judged(value: Any) -> None:
    with pytest.raises(OutOfDomain, match="perturbation"):
        m.sensitivity("Llama3_8B", "H100", perturbation=value)
    with pytest.raises(OutOfDomain, match="perturbation"):
        m.elasticities("roofline", value, model="Llama3_8B", hardware="H100")


@pytest.mark.parametrize("value", [0, -1, 1.5, math.nan, "many"])
def test_batch_is_judged(value: Any) -> None:
    with pytest.raises(OutOfDomain, match="batch"):
        m.sensitivity("Llama3_8B", "H100", batch=value)
    with pytest.raises(OutOfDomain, match="batch"):
        m.synthesis("Llama3_8B", latency=0.01, batch=value)


def test_a_missing_datapath_is_refused() -> None:
    with pytest.raises(MissingFact, match="fp8"):
        m.sensitivity("Llama3_8B", "A100", precision="fp8")


# ------------------------------------------------------------------ any entry, any number


@pytest.mark.parametrize("name", CALLS)
def test_every_elasticity_is_the_log_ratio_of_two_calls(name: str) -> None:
    entry, call = m.CATALOGUE[name], CALLS[name]
    metric = next(iter(entry.metrics), "")

    def headline(arguments: dict[str, Any]) -> float:
        out = entry.call(**arguments)
        return float(getattr(out, metric) if metric else out)

    got = m.elasticities(name, 0.01, **call)
    assert got
    for path, value in got.items():
        head, _, rest = path.partition(".")
        if rest and head in call and rest.rpartition(".")[2] not in ("nodes", "devices", "nics"):
            param = next(p for p in entry.params if p.name == head)
            thing = param.thing.of(call[head])
            at = thing
            for step in rest.split("."):
                at = getattr(at, step)
            unit = dict(_units(thing))[rest]
            if unit.whole or not unit.mask(np.asarray(at * 1.01)):
                continue
            after = headline({**call, head: replaced(thing, rest, at * 1.01)})
            assert value == close(math.log(after / headline(call)) / math.log(1.01)), path


def _units(thing: Any, prefix: str = "") -> Any:
    from mlsysim.registry import Thing, fields
    from mlsysim.units import unit_of

    for name, hint in fields(type(thing)).items():
        if isinstance(getattr(thing, name), Thing):
            yield from _units(getattr(thing, name), f"{prefix}{name}.")
        elif unit_of(hint):
            yield f"{prefix}{name}", unit_of(hint)


def test_products_have_elasticity_one() -> None:
    got = m.elasticities("carbon", energy=3.6e9, pue=1.2, intensity=1e-7)
    assert got == {n: close(1.0) for n in ("energy", "pue", "intensity")}
    got = m.elasticities(m.ironlaw, flops=3e23, devices=1000, peak=989e12)
    assert got == {n: close(s) for n, s in {"flops": 1.0, "devices": -1.0, "peak": -1.0, "mfu": -1.0, "scaling": -1.0,
                                            "goodput": -1.0}.items()}  # fmt: skip


def test_fields_of_nested_things_are_levers() -> None:
    got = m.elasticities("tco", fleet="Research_256", datacenter="Quebec", usd_per_kwh=0.1 / 3.6e6)
    assert got["fleet.nodes"] == close(1.0)
    assert 0 < got["usd_per_kwh"] < 0.1
    assert 0.7 < got["fleet.node.device.price"] < 0.9
    cost = m.tco("Research_256", datacenter="Quebec", usd_per_kwh=0.1 / 3.6e6)
    after = cost.tco_usd + 0.1 * cost.opex_energy_usd
    assert got["usd_per_kwh"] == close(math.log(after / cost.tco_usd) / math.log(1.1))
    assert "datacenter.electricity_price" not in got or got["datacenter.electricity_price"] == 0


def test_unknown_fields_blanks_and_zeros_are_left_out() -> None:
    got = m.elasticities("serving", model="Llama3_8B", hardware="A100", seq_len=2048)
    assert "hardware.fp8" not in got  # the chip has none
    assert "cached_prefix" not in got  # 0
    assert "reserve" not in got  # blank
    assert got["efficiency"] <= 0  # blank, but the result states it


def test_whole_numbers_move_to_whole_numbers() -> None:
    got = m.elasticities("serving", model="Llama3_8B", hardware="H100", seq_len=2048)
    one, two = (m.serving("Llama3_8B", "H100", seq_len=2048, tp=tp).itl for tp in (1, 2))
    assert got["tp"] == close(math.log(two / one) / math.log(2))


def test_another_metric_and_refusals() -> None:
    got = m.elasticities("roofline", metric="throughput", model="Llama3_8B", hardware="H100")
    time = m.elasticities("roofline", model="Llama3_8B", hardware="H100")
    assert got["hardware.bandwidth"] == close(-time["hardware.bandwidth"])
    with pytest.raises(WrongArguments, match="bottleneck is no number"):
        m.elasticities("roofline", metric="bottleneck", model="Llama3_8B", hardware="H100")
    with pytest.raises(UnknownName, match="no metric 'latncy'"):
        m.elasticities("roofline", metric="latncy", model="Llama3_8B", hardware="H100")
    with pytest.raises(UnknownName, match="no function 'rooofline'"):
        m.elasticities("rooofline")
    with pytest.raises(WrongArguments, match="answers with a table"):
        m.elasticities("placement")
    with pytest.raises(WrongArguments, match="hardware is missing"):
        m.elasticities("roofline", model="Llama3_8B")
    with pytest.raises(WrongArguments, match="no argument 'batchh'"):
        m.elasticities("roofline", model="Llama3_8B", hardware="H100", batchh=2)
    with pytest.raises(MissingFact, match="energy is unknown"):
        m.elasticities("roofline", metric="energy", model="Llama3_8B",
                       hardware="Mine; memory = 80 GB; bandwidth = 2 TB/s; fp16 = 300 TFLOP/s")  # fmt: skip


def test_a_moved_field_has_no_fact() -> None:
    fleet = replaced(Fleet.of("Research_256"), "node.device.bandwidth", 1e12)
    device: Device = fleet.node.device  # type: ignore[attr-defined]
    assert device.bandwidth == 1e12
    assert "bandwidth" not in device.facts
    assert "memory" in device.facts
    assert Fleet.of("Research_256").node.device.bandwidth != 1e12


# ------------------------------------------------------------------ wall 22

MODELS = ("Llama3_8B", "Llama3_70B", "Mixtral_8x7B", "ResNet50", "BERT_Large", "DLRM", "MobileNetV2")


@settings(max_examples=60, deadline=None)
@given(
    model=st.sampled_from([n for n in MODELS if n in m.Models._registries["All"]]),
    batch=st.sampled_from([1, 7, 64, 1024]),
    times=st.floats(1.05, 1e3),
    precision=st.sampled_from(["fp16", "fp8", "w4a16"]),
    like=st.sampled_from([None, "H100", "A100", "MI300X", "TPUv5e"]),
    efficiency=st.sampled_from([None, 0.3, 1.0]),
)
def test_the_engine_on_the_synthesised_device_takes_the_target(
    model: str, batch: int, times: float, precision: str, like: str | None, efficiency: float | None
) -> None:
    asked: dict[str, Any] = {"batch": batch, "precision": precision, "efficiency": efficiency}
    target = times * m.synthesis(model, latency=1e6, hardware=like, **asked).least_latency
    spec = m.synthesis(model, latency=target, hardware=like, **asked)
    got = m.Engine.solve(model, spec.device, batch, precision, efficiency)
    assert got.latency == close(target, 1e-9)
    assert got.feasible
    assert got.latency_compute == close(got.latency_memory, 1e-6)  # nothing is bought in vain
    built = Device.of(spec.device)
    for field in ("bandwidth", "memory"):  # and nothing less will do
        less: Any = replaced(built, field, getattr(built, field) * 0.9)
        worse = m.roofline(model, less, **asked)
        assert (worse.latency > target) if field == "bandwidth" else not worse.feasible


def test_the_device_by_hand() -> None:
    got = m.synthesis("Llama3_8B", latency=10e-3, efficiency=0.5, bandwidth_efficiency=0.8, reserve=0.1)
    step = m.roofline("Llama3_8B", "H100", efficiency=0.5, bandwidth_efficiency=0.8)
    busy = 10e-3 - got.latency_overhead
    assert got.bandwidth == close(got.traffic / (0.8 * busy))
    assert got.flops == close(got.work / (0.5 * busy))
    assert got.ridge == close(got.flops / got.bandwidth)
    assert got.memory_capacity == close(step.memory_footprint / 0.9)
    assert got.traffic > 2 * 8.03e9  # weights, and the cache and activations on top
    assert got.traffic == close(step.latency_memory * 3.35e12 * 0.8, 1e-6)


def test_half_the_busy_time_asks_for_twice_the_device() -> None:
    least = m.synthesis("Llama3_8B", latency=1.0).latency_overhead
    slow, fast = (m.synthesis("Llama3_8B", latency=least + busy) for busy in (8e-3, 4e-3))
    assert fast.bandwidth == close(2 * slow.bandwidth)
    assert fast.flops == close(2 * slow.flops)
    assert fast.memory_capacity == close(slow.memory_capacity)


def test_a_time_below_the_launches_is_refused_with_the_number() -> None:
    least = m.synthesis("Llama3_8B", latency=1.0).least_latency
    for target in (least, least / 2, 1e-9):
        with pytest.raises(OutOfDomain, match=f"latency must be above {1e3 * least:.4g} ms"):
            m.synthesis("Llama3_8B", latency=target)
    cell = FUNCTIONS["MLS_SYNTHESIS"]
    column = cell("Llama3_8B", [[1e-3], [10.0]])
    assert str(column[0][0]).startswith("#MLS! MLS_SYNTHESIS: latency must be above")  # type: ignore[index]
    assert column[1][0] == close(m.synthesis("Llama3_8B", latency=10e-3).bandwidth / 1e9)  # type: ignore[index]


@pytest.mark.parametrize("target", [0, -1, math.nan, math.inf, "soon", None, True])
def test_peer_edge_target_latency(target: Any) -> None:
    """Zero divides and a negative target gives a negative device elsewhere; here each is refused by name."""
    with pytest.raises(MlsysError, match="latency"):
        m.SynthesisSolver.solve("Llama3_8B", target)


def test_arrays_of_targets_and_batches() -> None:
    latency, batch = np.array([5e-3, 20e-3]), np.array([[1.0], [32.0]])
    got = m.synthesis("Llama3_8B", latency=latency, batch=batch)
    for i in range(2):
        for j in range(2):
            one = m.synthesis("Llama3_8B", latency=latency[j], batch=batch[i, 0])
            assert got.bandwidth[i, j] == close(one.bandwidth)
            assert got.memory_capacity[i, j] == close(one.memory_capacity)
            assert got.device[i, j] == one.device  # type: ignore[index]
    text = FUNCTIONS["MLS_SYNTHESIS"]("Llama3_8B", 10.0, "device")
    assert FUNCTIONS["MLS_ROOFLINE"]("Llama3_8B", text) == close(10.0)


# ------------------------------------------------------------------ any entry turned round


def test_solutions_by_hand() -> None:
    assert m.solve_for("allreduce", "bandwidth", 0.02, workers=8, message=1e9) == close(87.5e9)
    assert m.solve_for("ironlaw", "devices", 30 * 86400.0, flops=3e23, peak=989e12) == math.ceil(
        3e23 / (989e12 * 0.4 * 0.9 * 0.95 * 30 * 86400)
    )  # whole, and no longer than asked
    assert m.solve_for("chinchilla_params", "budget", 70e9) == close(6 * 70e9 * 1400e9)


@settings(max_examples=40, deadline=None)
@given(times=st.floats(0.3, 5))
def test_a_field_that_meets_a_target_meets_it(times: float) -> None:
    base = m.roofline("Llama3_8B", "H100")
    target = base.latency_overhead + base.latency_memory * times
    found = m.solve_for(
        "roofline", "hardware.bandwidth", target, model="Llama3_8B", hardware="H100", low=1e11, high=1e15
    )
    assert found == close(Hardware.H100.bandwidth / times, 1e-6)


def test_whole_numbers_stay_below_the_target() -> None:
    call: dict[str, Any] = {"model": "Llama3_8B", "hardware": "H100", "seq_len": 2048}
    batch = m.solve_for("serving", "batch", 20e-3, **call)
    assert batch == int(batch)
    assert m.serving(batch=batch, **call).itl <= 20e-3 < m.serving(batch=batch + 1, **call).itl


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("roofline", "hardware.bandwidth", 1e-4), "so it never reaches 0.0001"),
        (("roofline", "batch", math.nan), "target must be one finite number"),
        (("roofline", "batch", True), "target must be one finite number"),
        (("roofline", "hardware.bandwith", 1e-2), "no number 'hardware.bandwith'"),
        (("roofline", "precision", 1e-2), "no number 'precision'"),
        (("roofline", "hardware.fp6", 1e-2), "no number 'hardware.fp6'"),
    ],
)
def test_what_has_no_solution_is_refused(call: tuple[Any, ...], words: str) -> None:
    with pytest.raises(MlsysError, match=words):
        m.solve_for(*call, model="Llama3_8B", hardware="H100")


def test_curves_that_turn_or_jump_are_refused() -> None:
    reliability: dict[str, Any] = {"save_time": 60, "recovery_time": 300, "mtbf": 36000.0}
    with pytest.raises(OutOfDomain, match="both rises and falls with interval"):
        m.solve_for("goodput", "interval", 0.9, **reliability)
    found = m.solve_for("goodput", "interval", 0.9, low=60, high=1800, **reliability)
    assert m.goodput(interval=found, **reliability) == close(0.9)
    with pytest.raises(OutOfDomain, match="does not fit into memory"):
        m.solve_for("serving", "batch", 10.0, model="Llama3_8B", hardware="H100", seq_len=2048)
    with pytest.raises(OutOfDomain, match="between them: training: batch must be a multiple"):
        m.solve_for("training", "batch", 20.0, model="Llama3_8B", fleet="Research_256", tp=8, seq_len=8192)
    with pytest.raises(OutOfDomain, match="low must be below high"):
        m.solve_for("goodput", "interval", 0.9, low=60, high=60, **reliability)
    with pytest.raises(OutOfDomain, match="do not give it too"):
        m.solve_for("goodput", "interval", 0.9, interval=60, **reliability)
    with pytest.raises(OutOfDomain, match="arrays"):
        m.solve_for("allreduce", "bandwidth", 0.02, workers=np.array([4, 8]), message=1e9)
