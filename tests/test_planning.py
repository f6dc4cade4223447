"""Servers for a load, batches within a bound, prices of tokens, power budgets: by hand, by limits, by refusals."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import MissingFact, OutOfDomain, UnknownName
from mlsysim.solvers.workload import default
from udfs import FUNCTIONS

CHIP = (
    "Chip; fp16 = 100 TFLOP/s; memory = 40 GB; bandwidth = 2 TB/s; link = 200 GB/s; tdp = 500 W; "
    "generation = hopper; memory_class = hbm"
)
SHAPE = "unit = token; params = 4B; layers = 16; hidden = 2000; heads = 16; kv_heads = 4; head_dim = 125"
LM = f"LM; family = transformer; {SHAPE}"
BOX = f"Box; devices = 4; power = 4 kW; busy_power = 2500 W; device = {{{CHIP}}}"
SITE = "S; grid = {G; carbon_intensity = 400 g/kWh; basis = direct}; pue = 1.25"


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9)


def need(**options: Any) -> Any:
    base = {"requests_per_s": 50, "input_tokens": 800, "output_tokens": 200, "node": BOX}
    return m.capacity(LM, CHIP, **(base | options))


# ---------------------------------------------------------------- capacity


def test_a_capacity_by_hand() -> None:
    got = need(itl=0.03, tp=2, spares=2, datacenter=SITE, rack="R; power = 9 kW", peak_to_mean=3)
    load = {"input_tokens": 800, "output_tokens": 200, "tp": 2}
    best = max(
        b for b in range(1, 400)
        if (t := m.throughput(LM, CHIP, batch=b, **load)).itl <= 0.03 and t.feasible
    )  # fmt: skip
    one = m.throughput(LM, CHIP, batch=best, **load)
    groups = math.ceil(150 / (one.requests_rate * 0.7))
    servers = math.ceil(groups / 2) + 2
    assert (got.batch, got.groups, got.servers, got.devices) == (best, groups, servers, 4 * servers)
    assert got.itl == close(one.itl)
    assert got.peak_requests_per_s == 150
    assert got.tokens_per_s == close(150 * 200)
    assert got.utilisation == close(150 / (groups * one.requests_rate))
    assert got.it_kw == close(2.5 * servers)
    assert got.facility_kw == close(2.5 * 1.25 * servers)
    assert got.racks == math.ceil(servers / 2)  # two nameplates of 4 kW in 9 kW
    assert got.rack_kw == close(8)
    assert got.total_memory_required == close(one.total_memory_required)


def test_the_first_token_waits_for_prompts_a_step_and_a_place() -> None:
    got = need(itl=0.03, tp=1)
    one = m.throughput(LM, CHIP, input_tokens=800, output_tokens=200, batch=got.batch, tp=1)
    busy, once = one.prefill_share * 0.7, one.prefill_share / one.requests_rate
    prompts = busy / (1 - busy) * once / 2  # M/D/1
    step = one.itl * (1 - one.prefill_share) / 2
    life = got.batch / one.requests_rate
    place = m.allen_cunneen(load=50 * life, servers=got.groups * got.batch, service_time=life)
    assert got.queue_wait == close(prompts + step + place)
    assert got.ttft == close(one.ttft + got.queue_wait)


def test_more_load_never_needs_fewer_devices() -> None:
    loads = np.geomspace(0.1, 5000, 40)
    got = need(requests_per_s=loads, ttft=0.5, itl=0.03)
    assert np.all(np.diff(got.devices) >= 0)
    assert got.devices[-1] > 20 * got.devices[0]
    assert np.all(got.devices % 4 == 0)  # whole servers
    assert np.all(got.utilisation <= 0.7 + 1e-9)


def test_tighter_targets_and_more_headroom_never_need_fewer_devices() -> None:
    for name, values in (
        ("itl", [0.1, 0.05, 0.03, 0.02, 0.015]),
        ("ttft", [5.0, 1.0, 0.4, 0.25]),
        ("headroom", [0, 0.2, 0.5, 0.9]),
        ("peak_to_mean", [1, 1.5, 4]),
        ("spares", [0, 1, 5]),
    ):
        got = need(requests_per_s=400, **{name: np.array(values, dtype=float)})
        assert np.all(np.asarray(got.feasible)), name
        assert np.all(np.diff(got.devices) >= 0), name
        assert np.all(got.ttft <= (values if name == "ttft" else np.inf)), name
        assert np.all(got.itl <= (values if name == "itl" else np.inf)), name


def test_blank_tp_takes_the_fewest_servers() -> None:
    for targets in ({}, {"itl": 0.02}, {"itl": 0.012, "ttft": 0.3}):
        each = [need(requests_per_s=400, tp=t, **targets) for t in (1, 2, 4)]
        fits = [g for g in each if g.feasible]
        assert need(requests_per_s=400, **targets).servers == min(g.servers for g in fits)


def test_a_small_pool_needs_more_than_its_headroom() -> None:
    """Places are few, so their queue is long: a first-token target buys more groups than the headroom does."""
    few = {"itl": 0.0108, "tp": 1, "requests_per_s": 2.5, "spares": 0}
    loose, tight = need(**few), need(ttft=0.15, **few)
    assert tight.groups > loose.groups
    assert tight.ttft <= 0.15 < loose.ttft


def test_full_to_the_brim_is_never_planned() -> None:
    rate = m.throughput(LM, CHIP, input_tokens=800, output_tokens=200, batch=8, tp=1).requests_rate
    got = need(requests_per_s=2 * rate, headroom=0, tp=1, itl=float(need(tp=1, itl=0.02).itl))
    assert got.utilisation < 1
    assert math.isfinite(got.ttft)


def test_targets_out_of_reach_are_said_with_what_can_be_had() -> None:
    got = need(itl=1e-4)
    assert not got.feasible
    assert got.shortfall == 0
    cell = FUNCTIONS["MLS_CAPACITY"]("Llama3_70B", "H100", 10.0, 1000.0, 200.0, "devices", None, 1.0)
    assert str(cell).startswith("#MLS! the targets are out of reach: one request alone on 8 devices has an itl of ")
    big = FUNCTIONS["MLS_CAPACITY"]("Llama3_405B", "H100", 10.0, 1000.0, 200.0)
    assert str(big).startswith("#MLS! does not fit: needs ")


def test_servers_come_from_the_register_or_are_boards_of_eight() -> None:
    known = m.capacity("Llama3_8B", "H100", requests_per_s=1, input_tokens=500, output_tokens=100, spares=0)
    assert (known.devices, known.it_kw) == (8, close(6.849))
    board = m.capacity("Llama3_8B", "L40S", requests_per_s=1, input_tokens=500, output_tokens=100, spares=0)
    assert board.it_kw == close(8 * 350 * default("host_power_factor") / 1000)
    dark = m.capacity("Llama3_8B", "Trainium1", requests_per_s=1, input_tokens=500, output_tokens=100, efficiency=0.4)
    assert math.isnan(dark.it_kw)  # no power on record
    assert dark.devices >= 8


def test_capacity_of_a_grid_is_that_of_its_cells() -> None:
    loads, prompts = np.array([1.0, 80.0, 900.0]), np.array([[200.0], [2000.0]])
    grid = need(requests_per_s=loads, input_tokens=prompts, ttft=0.4, itl=0.03)
    for i, j in itertools.product(range(2), range(3)):
        one = need(requests_per_s=loads[j], input_tokens=prompts[i, 0], ttft=0.4, itl=0.03)
        for name in ("devices", "groups", "tp", "batch", "ttft", "itl", "it_kw", "racks", "feasible"):
            assert np.broadcast_to(getattr(grid, name), (2, 3))[i, j] == close(getattr(one, name)), name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"requests_per_s": 0}, "requests_per_s must be"),
        ({"requests_per_s": math.nan}, "requests_per_s must be"),
        ({"requests_per_s": "ten"}, "requests_per_s"),
        ({"input_tokens": 0}, "input_tokens must be"),
        ({"output_tokens": 1.5}, "output_tokens must be a whole number"),
        ({"headroom": 1}, "headroom must be below 1"),
        ({"headroom": -0.1}, "headroom must be"),
        ({"peak_to_mean": 0.5}, "peak_to_mean must be"),
        ({"tp": 8}, "tp must not exceed the 4 devices of Box"),
        ({"rack": "R; power = 3 kW"}, "one Box draws up to 4 kW, the rack R carries 3 kW"),
        ({"node": "DGX_H100"}, "node DGX_H100 holds H100, not Chip"),
    ],
)
def test_capacity_refuses(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OutOfDomain, match=words):
        need(**options)


# ---------------------------------------------------------------- batches


def limit(**options: Any) -> Any:
    base = {"input_tokens": 500, "output_tokens": 100, "latency": 4.0, "arrival_rate": 8.0}
    return m.batch_limit(LM, CHIP, **(base | options))


def latency_of(batch: float, rate: float, prompt: int, answer: int, replicas: int = 1) -> tuple[float, float]:
    """Mean latency and utilisation of a batch, in the open."""
    one = m.serving(LM, CHIP, seq_len=prompt, output_tokens=answer, batch=batch)
    service = one.ttft + (answer - 1) * one.itl
    load = rate / batch * service
    if load >= replicas or not one.feasible:
        return math.inf, load / replicas
    wait = m.erlang_c(load=load, servers=replicas) * service / (replicas - load) / batch / 2
    return (batch - 1) / (2 * rate) + wait + service, load / replicas


@pytest.mark.parametrize(
    ("rate", "bound", "replicas"), [(8, 4, 1), (0.5, 6, 1), (40, 8, 2), (3, 1.4, 1), (8, 2, 1), (150, 20, 9)]
)
def test_no_larger_batch_is_within_the_bound(rate: float, bound: float, replicas: int) -> None:
    got = limit(arrival_rate=rate, latency=bound, replicas=replicas)
    good = [b for b in range(1, 1 + int(2 * rate * bound) + 1) if latency_of(b, rate, 500, 100, replicas)[0] <= bound]
    assert bool(got.feasible) == bool(good)
    if good:
        assert got.batch == good[-1]
        mean, used = latency_of(got.batch, rate, 500, 100, replicas)
        assert got.latency_mean == close(mean)
        assert got.utilisation == close(used)


def test_the_parts_of_the_latency_add_up() -> None:
    got = limit()
    assert got.latency_mean == close(got.forming_wait + got.queue_wait + got.service_time)
    assert got.forming_wait == close((got.batch - 1) / (2 * 8))
    assert got.latency_p99 > got.latency_mean
    assert got.tokens_per_s == close(8 * 100)  # no batch carries more than arrives
    assert got.most_requests_per_s > 8


@pytest.mark.parametrize("rate", [4.0, 8.0])
def test_the_mean_latency_by_simulation(rate: float) -> None:
    got = limit(arrival_rate=rate)
    size, service = int(got.batch), got.service_time
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1 / rate, 3000 * size)).reshape(-1, size)
    free, latencies = 0.0, []
    for batch in arrivals:  # a batch starts when it is full and the server is free
        free = max(batch[-1], free) + service
        latencies.append(free - batch)
    assert got.latency_mean == pytest.approx(np.mean(latencies), rel=0.08)
    assert got.latency_p99 == pytest.approx(np.quantile(latencies, 0.99), rel=0.25)


def test_a_longer_bound_allows_a_larger_batch() -> None:
    got = limit(latency=np.array([3.0, 4.0, 8.0, 30.0]))
    assert np.all(got.feasible)
    assert np.all(np.diff(got.batch) >= 0)
    strict = limit(statistic="p99", latency=8.0)
    assert strict.feasible
    assert strict.batch < got.batch[2]
    assert strict.latency_p99 <= 8.0 < got.latency_p99[2]


def test_an_unstable_queue_says_how_many_replicas() -> None:
    got = limit(arrival_rate=1000.0)
    assert not got.feasible
    assert got.utilisation > 1
    assert "queue grows without end" in got.why(0)
    crowded = {"arrival_rate": 1000.0, "latency": 20.0}
    more = limit(**crowded, replicas=float(limit(**crowded).replicas_needed))
    assert more.utilisation < 1
    short = limit(latency=0.05)
    assert "no batch meets the latency" in short.why(0)
    cell = FUNCTIONS["MLS_BATCH_LIMIT"]("Llama3_70B", "H100", 1000.0, 200.0, 9000.0, 1.0)
    assert str(cell).startswith("#MLS! does not fit: needs ")


def test_batches_of_a_grid_are_those_of_its_cells() -> None:
    rates, bounds = np.array([0.5, 8.0, 500.0]), np.array([[1.5], [5.0]])
    grid = limit(arrival_rate=rates, latency=bounds)
    for i, j in itertools.product(range(2), range(3)):
        one = limit(arrival_rate=rates[j], latency=bounds[i, 0])
        assert bool(grid.feasible[i, j]) == bool(one.feasible)
        if one.feasible:
            for name in ("batch", "latency_mean", "latency_p99", "utilisation"):
                assert getattr(grid, name)[i, j] == close(getattr(one, name)), name


@pytest.mark.parametrize("bad", [{"arrival_rate": 0}, {"arrival_rate": -1}, {"latency": math.nan}, {"replicas": 0},
                                 {"output_tokens": 0}, {"statistic": "p50"}])  # fmt: skip
def test_batch_limit_refuses(bad: dict[str, Any]) -> None:
    with pytest.raises(OutOfDomain, match=f"batch_limit: {next(iter(bad))} must be"):
        limit(**bad)


def test_the_optimizer_class_hands_over() -> None:
    got = m.BatchingOptimizer.solve(LM, CHIP, 500, 4000, 16, num_replicas=2, output_tokens=100)
    assert got == limit(arrival_rate=16.0, replicas=2, statistic="p99")


# ---------------------------------------------------------------- the price of tokens


def price(**options: Any) -> Any:
    base = {"usd_per_device_hour": 2.5 / 3600, "input_tokens": 1000, "output_tokens": 250}
    return m.token_price(LM, CHIP, **(base | options))


def test_all_cost_is_paid_once() -> None:
    got = price(tp=2, utilisation=0.5)
    load = m.throughput(LM, CHIP, input_tokens=1000, output_tokens=250, tp=2)
    request = 2 * 2.5 / 3600 / load.requests_rate / 0.5
    assert got.usd_per_request == close(request)
    assert got.input * 1000 + got.output * 250 == close(request)
    assert got.blended * 1250 == close(request)
    assert got.input * 1000 == close(request * load.prefill_share)
    assert got.output_only == close(
        m.token_cost(
            usd_per_device_hour=2.5 / 3600, tokens_per_s_per_device=load.tokens_per_s_per_device, utilisation=0.5
        )
    )


def test_generated_tokens_cost_more_than_read_ones() -> None:
    got = price()
    assert got.output > got.input > 0


def test_margin_utilisation_and_rent_scale_the_price() -> None:
    base = price()
    assert price(margin=0.6).blended == close(base.blended / 0.4)
    assert price(utilisation=0.25).blended == close(4 * base.blended)
    assert price(usd_per_device_hour=5 / 3600).output == close(2 * base.output)
    assert price(usd_per_device_hour=0).blended == 0
    longer = price(output_tokens=np.array([1.0, 10.0, 100.0, 1000.0]))
    assert np.all(np.diff(longer.prefill_share) < 0)
    assert np.all(np.diff(longer.usd_per_request) > 0)
    for name in ("margin", "utilisation"):
        with pytest.raises(OutOfDomain, match=f"{name} must be"):
            price(**{name: 1.5})
    with pytest.raises(OutOfDomain, match="margin must be below 1"):
        price(margin=1)


def test_a_price_of_what_does_not_fit_is_refused() -> None:
    cell = FUNCTIONS["MLS_TOKEN_PRICE"]("Llama3_405B", "H100", 2.5, 1000.0, 200.0)
    assert str(cell).startswith("#MLS! does not fit: needs ")
    fits = FUNCTIONS["MLS_TOKEN_PRICE"]("Llama3_8B", "H100", 2.5, 1000.0, 200.0)
    one = m.token_price("Llama3_8B", "H100", usd_per_device_hour=2.5 / 3600, input_tokens=1000, output_tokens=200)
    assert fits == close(1e6 * one.blended)


# ---------------------------------------------------------------- power


@pytest.mark.parametrize("nodes", [1, 7, 4321])
def test_a_budget_is_the_inverse_of_the_draw(nodes: int) -> None:
    fabric = "fabric = {X; topology = fat-tree; bandwidth = 50 GB/s}"
    whole = m.power(f"F; nodes = {nodes}; node = {{{BOX}}}; {fabric}; site = {{{SITE}}}")
    got = m.power_budget(whole.facility_kw * 1000, CHIP, datacenter=SITE, node=BOX)
    assert (got.nodes, got.devices) == (nodes, 4 * nodes)
    assert got.it_kw == close(whole.it_kw)
    assert got.facility_kw == close(whole.facility_kw)
    assert m.power_budget(whole.facility_kw * 1000 - 1, CHIP, datacenter=SITE, node=BOX).nodes == nodes - 1


def test_a_budget_by_hand() -> None:
    got = m.power_budget(1e6, CHIP, datacenter=SITE, node=BOX, share=0.9, tokens_per_s_per_device=1000)
    assert got.nodes == math.floor(0.9e6 / 1.25 / 2500) == 288
    assert got.devices_nameplate == 4 * math.floor(0.9e6 / 1.25 / 4000)
    assert got.tokens_per_s == close(288 * 4 * 1000)
    assert got.spare_kw == close(1000 - 288 * 2.5 * 1.25)
    small = m.power_budget(1000.0, CHIP, datacenter=SITE, node=BOX)
    assert (small.devices, small.spare_kw) == (0, close(1))
    megawatts = np.array([1.0, 10.0, 100.0]) * 1e6
    many = m.power_budget(megawatts, "H100")
    assert list(many.devices) == [m.power_budget(w, "H100").devices for w in megawatts]
    assert FUNCTIONS["MLS_POWER_BUDGET"](10.0, "H100") == many.devices[1]
    assert math.isnan(many.tokens_per_s[0])
    racks = m.power_budget(1e6, "GB200_NVL72")
    assert racks.devices == 72 * racks.nodes


def test_power_budget_refuses() -> None:
    for bad in (0, -1, math.nan, "much"):
        with pytest.raises(OutOfDomain, match="megawatts"):
            m.power_budget(bad, "H100")
    with pytest.raises(OutOfDomain, match="in Excel in MW: 20, not 20000"):
        m.power_budget(20_000_000e6, "H100")
    with pytest.raises(UnknownName):
        m.power_budget(1e6, "H1000")
    with pytest.raises(MissingFact, match="Trainium1 has no tdp on record"):
        m.power_budget(1e6, "Trainium1")
