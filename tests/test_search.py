"""Searches against brute force: parallel plans over every call of `training`, and sites by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import MissingFact, MlsysError, OutOfDomain, UnknownName
from udfs import FUNCTIONS

CHIP = (
    "Chip; bf16 = 100 TFLOP/s; memory = {memory} GB; bandwidth = 10 TB/s; link = 200 GB/s; tdp = 500 W; "
    "generation = hopper; memory_class = hbm"
)
SHAPE = "unit = token; params = 4B; layers = 8; hidden = 1000; heads = 8; kv_heads = 8; head_dim = 125"
LM = f"LM; family = transformer; {SHAPE}"
MOE = f"MoE; family = moe; {SHAPE}; active_params = 1B; experts = 4; experts_per_token = 2; expert_params = 3.2B"
DAY = 86400.0


def fleet(nodes: int = 2, memory: float = 24) -> str:
    device = CHIP.format(memory=memory)
    node = f"N; devices = 4; nics = 2; busy_power = 3000 W; idle_power = 900 W; device = {{{device}}}"
    return f"F; nodes = {nodes}; node = {{{node}}}; fabric = {{X; topology = fat-tree; bandwidth = 50 GB/s}}"


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9)


def brute(model: str, on: str, batch: int, **fixed: Any) -> list[tuple[float, dict[str, Any]]]:
    """Every plan that `training` accepts and that fits, one scalar call each."""
    axes: dict[str, Any] = {
        "tp": (1, 2, 4),
        "pp": (1, 2, 4, 8),
        "ep": (1, 2, 4) if "moe" in model else (1,),
        "microbatch": range(1, batch + 1),
        "interleave": (1, 2, 4, 8),
        "zero_stage": range(4),
        "recompute": ("none", "selective", "full"),
    }
    axes |= {n: (v,) for n, v in fixed.items()}
    found = []
    for values in itertools.product(*axes.values()):
        plan = dict(zip(axes, values, strict=True))
        if plan["interleave"] > 1 and (8 % (plan["pp"] * plan["interleave"]) or plan["pp"] == 1):
            continue  # unequal chunks
        dp = 8 / (plan["tp"] * plan["pp"])
        if batch % (dp * plan["microbatch"]):
            continue
        if plan["interleave"] > 1 and (batch / (dp * plan["microbatch"])) % plan["pp"]:
            continue  # micro-batches come in rounds of the stages
        try:
            got = m.training(model, on, batch=batch, **plan)
        except MlsysError:
            continue
        if got.feasible:
            found.append((got.step_latency_total, plan))
    return found


@pytest.mark.parametrize("memory", [24, 12, 80])
@pytest.mark.parametrize("model", [LM, MOE])
def test_no_legal_plan_is_faster(model: str, memory: float) -> None:
    on = fleet(memory=memory)
    found = brute(model, on, 8)
    got = m.parallelism(model, on, batch=8, rows=100)
    assert got.step_latency_total[0] == close(min(time for time, _ in found))
    splits = {tuple(plan[n] for n in ("tp", "pp", "ep")) for _, plan in found}
    assert len(got) == len(splits)  # one row each, and none is lost
    for i, split in enumerate(zip(got.tp, got.pp, got.ep, strict=True)):
        best = min(time for time, plan in found if tuple(plan[n] for n in ("tp", "pp", "ep")) == split)
        assert got.step_latency_total[i] == close(best)


def test_each_row_is_a_call_of_training() -> None:
    on = fleet()
    got = m.parallelism(MOE, on, batch=16, rows=20)
    assert np.all(np.diff(got.step_latency_total) >= 0)
    for i in range(len(got)):
        plan: dict[str, Any] = {n: getattr(got, n)[i] for n in ("tp", "pp", "ep", "microbatch", "interleave",
                                                               "zero_stage", "recompute")}  # fmt: skip
        one = m.training(MOE, on, batch=16, **plan)
        assert one.feasible
        for name in ("step_latency_total", "mfu", "effective_throughput", "memory_footprint", "bubble_fraction"):
            assert getattr(got, name)[i] == close(getattr(one, name))
        assert got.dp[i] * got.tp[i] * got.pp[i] == 8


def test_what_is_given_is_not_searched() -> None:
    fixed = {"microbatch": 2, "zero_stage": 1, "recompute": "full", "interleave": 1, "ep": 1}
    got = m.parallelism(LM, fleet(memory=80), batch=16, rows=50, **fixed)
    assert set(got.microbatch) == {2}
    assert set(got.zero_stage) == {1}
    assert set(got.recompute) == {"full"}
    narrow = m.parallelism(LM, fleet(memory=80), batch=16, rows=50, max_tp=1, max_pp=2)
    assert set(narrow.tp) == {1}
    assert set(narrow.pp) <= {1, 2}
    wide = m.parallelism(LM, fleet(memory=80), batch=16, rows=50, max_tp=8)
    assert 8 in wide.tp
    assert 8 not in m.parallelism(LM, fleet(memory=80), batch=16, rows=50).tp  # stays inside the node
    assert wide.step_latency_total[0] <= narrow.step_latency_total[0]
    assert len(m.parallelism(LM, fleet(memory=80), batch=16, rows=2)) == 2


def test_less_memory_is_never_faster() -> None:
    times = [m.parallelism(LM, fleet(memory=g), batch=16).step_latency_total[0] for g in (12, 16, 24, 40, 80)]
    assert all(a >= b for a, b in itertools.pairwise(times))


def test_nothing_fits_names_the_missing_bytes() -> None:
    with pytest.raises(OutOfDomain, match=r"no plan of LM fits F: the leanest .* needs .* GB on one device, usable"):
        m.parallelism(LM, fleet(memory=4), batch=8)


def test_llama3_405b_on_its_cluster_fits_in_memory() -> None:
    """A published match of tp 8, pp 4, dp 512 left the optimizer out: that plan does not fit without ZeRO."""
    got = m.parallelism("Llama3_405B", "Meta_Llama3_16K_H100", batch=2048, seq_len=8192)
    assert np.all(got.memory_footprint <= m.Hardware.H100.capacity)
    assert np.all(got.tp == 8)
    assert np.all(got.tp * got.pp * got.dp == 16384)
    bare = m.training("Llama3_405B", "Meta_Llama3_16K_H100", batch=2048, seq_len=8192, tp=8, pp=4)
    assert not bare.feasible


def test_a_convolution_has_replicas_only() -> None:
    got = m.parallelism("ResNet50", fleet(), batch=64, rows=9)
    assert (list(got.tp), list(got.pp), list(got.dp)) == ([1], [1], [8])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": 7, "max_pp": 1}, "comes out even; batch must be a multiple .* at least 2 replicas"),
        ({"batch": 0}, "batch must be"),
        ({"batch": math.nan}, "batch must be"),
        ({"batch": np.array([8.0, 16.0])}, "must be one number"),
        ({"batch": 8, "rows": 0}, "rows must be"),
        ({"batch": 8, "zero_stage": 4}, "zero_stage must be"),
        ({"batch": 8, "recompute": "some"}, "recompute must be one of"),
        ({"batch": 8, "ep": 2}, "comes out even"),
        ({"batch": 8, "cp": 3}, "cp = 3 must divide"),
    ],
)
def test_plans_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OutOfDomain, match=words):
        m.parallelism(LM, fleet(), **options)


# ---------------------------------------------------------------- placement


def site(name: str, price: str = "0.1", grams: float = 400, pue: float = 1.2, basis: str = "direct") -> str:
    tariff = f"; electricity_price = {price} USD/kWh" if price else ""
    return f"{name}; grid = {{G{name}; carbon_intensity = {grams} g/kWh; basis = {basis}}}; pue = {pue}{tariff}"


def test_sites_by_hand() -> None:
    places = [site("Cheap", "0.05", 800), site("Clean", "0.1", 50, 1.1), site("Dear", "0.2", 100)]
    got = m.placement(fleet(), days=10 * DAY, sites=places, carbon_price=0.1, rows=9)
    it = 6 * 240  # two nodes of 3 kW, hours
    assert list(got.site) == ["Clean", "Cheap", "Dear"]
    assert list(got.total_energy_kwh) == [close(it * p) for p in (1.1, 1.2, 1.2)]
    assert list(got.electricity_usd) == [close(it * p * t) for p, t in ((1.1, 0.1), (1.2, 0.05), (1.2, 0.2))]
    assert list(got.carbon_footprint_kg) == [close(it * p * g / 1000) for p, g in ((1.1, 50), (1.2, 800), (1.2, 100))]
    assert list(got.carbon_usd) == [close(0.1 * c) for c in got.carbon_footprint_kg]
    assert list(got.total_usd) == [close(e + c) for e, c in zip(got.electricity_usd, got.carbon_usd, strict=True)]
    free = m.placement(fleet(), days=10 * DAY, sites=places, carbon_price=0)
    assert list(free.site) == ["Cheap", "Clean", "Dear"]
    assert len(m.placement(fleet(), days=DAY, sites=places, rows=2)) == 2


def test_the_region_decides_the_carbon() -> None:
    """One electricity mix for all regions is a known fault of planners: Quebec and Poland differ twentyfold."""
    got = m.placement("Research_256", days=30 * DAY, sites="Poland; Quebec")
    assert list(got.site) == ["Quebec", "Poland"]
    assert got.carbon_footprint_kg[1] / got.carbon_footprint_kg[0] == close(614.98 * 1.54 / (41 * 1.06))
    green = m.sustainability("Research_256", days=30 * DAY, datacenter="Poland")
    assert got.carbon_footprint_kg[1] == close(green.carbon_footprint_kg)
    assert got.water_usage_liters[1] == close(green.water_usage_liters)


def test_unknown_sites_and_unknown_tariffs_are_refused() -> None:
    with pytest.raises(UnknownName, match=r"sites has no 'Quebeck'; did you mean .*Quebec"):
        m.placement(fleet(), days=DAY, sites=["Norway", "Quebeck"])
    with pytest.raises(MissingFact, match="Plain has no electricity_price on record"):
        m.placement(fleet(), days=DAY, sites=[site("Plain", ""), site("Cheap")])
    with pytest.raises(OutOfDomain, match="different bases and do not compare"):
        m.placement(fleet(), days=DAY, sites=[site("A"), site("B", basis="life cycle")])
    with pytest.raises(OutOfDomain, match="names Norway twice"):
        m.placement(fleet(), days=DAY, sites=["Norway", "Norway"])
    with pytest.raises(OutOfDomain, match="carbon_price must be"):
        m.placement(fleet(), days=DAY, sites="Norway", carbon_price=-1)
    with pytest.raises(OutOfDomain, match="days must be"):
        m.placement(fleet(), days=0, sites="Norway")


def test_tables_in_cells() -> None:
    plans: Any = FUNCTIONS["MLS_PARALLELISM"]("Llama3_8B", "Server_H100", 64.0, 3.0)
    assert plans[0][:4] == ["step_latency_total [s]", "effective_throughput [1/s]", "mfu", "tp"]
    assert len(plans) == 4
    places: Any = FUNCTIONS["MLS_PLACEMENT"]("Research_256", 30.0, [["Quebec"], ["Poland"]])
    assert [row[0] for row in places] == ["site", "Quebec", "Poland"]
    dear: Any = FUNCTIONS["MLS_PLACEMENT"]("Research_256", 30.0, "Quebec; Poland", 200.0)
    assert dear[1][3] == close(2 * places[1][3])  # the price is in USD per tonne
    assert str(FUNCTIONS["MLS_PLACEMENT"]("Research_256", 30.0, "Atlantis")).startswith("#MLS!")


# ---------------------------------------------------------------- the classes


def test_optimizer_classes_hand_over() -> None:
    got = m.ParallelismOptimizer.solve(LM, fleet(), batch_size=8, max_pp=2)
    assert got.step_latency_total[0] == m.parallelism(LM, fleet(), batch=8, max_pp=2).step_latency_total[0]
    there = m.PlacementOptimizer.solve(fleet(), 30, regions=["Quebec", "Poland"], carbon_tax_per_ton=100, mfu=0.4)
    assert list(there.total_usd) == list(m.placement(fleet(), days=30 * DAY, sites="Quebec; Poland").total_usd)
    assert list(m.PlacementOptimizer.solve(fleet(), 30).site) == ["Quebec", "Iowa", "US_Avg"]
