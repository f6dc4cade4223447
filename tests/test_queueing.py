"""Walls 7 and 16: Erlang's formulas in all digits, response times by simulation, twins in the engines, refusals."""

from __future__ import annotations

import heapq
import math
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from test_formula import Batch

import mlsysim as m
from mlsysim import CATALOGUE, OutOfDomain
from mlsysim.equations.queueing import waiting_and_phase
from udfs import FUNCTIONS
from udfs.libreoffice import find_soffice, recalculate
from workbook.engine import evaluate

NO_FUNCTIONS: dict[str, Any] = {}
HOUR, DAY = 3600.0, 86400.0


def close(value: Any, digits: float = 1e-12) -> Any:
    return pytest.approx(value, rel=digits)


# ---------------------------------------------------------------- who waits


def erlang_by_recursion(load: str, servers: int) -> float:
    """Erlang's own recursion over the servers, in fifty digits."""
    with localcontext() as context:
        context.prec = 50
        a, blocked = Decimal(load), Decimal(1)
        for k in range(1, servers + 1):
            blocked = a * blocked / (k + a * blocked)
        return float(blocked / (1 - a / servers * (1 - blocked)))


CASES = [
    *[("0.5", 1), ("2.5", 3), ("0.01", 10), ("14.9", 15), ("15.9", 16), ("16.5", 17), ("5", 170), ("299.9999", 300)],
    *[("90", 100), ("950", 1000), ("9900", 10_000), ("99990", 100_000), ("0.999999", 1)],
]


@pytest.mark.parametrize(("load", "servers"), CASES)
def test_erlang_c_to_twelve_digits(load: str, servers: int) -> None:
    assert m.erlang_c(load=float(load), servers=servers) == close(erlang_by_recursion(load, servers))


def test_erlang_c_at_its_ends() -> None:
    assert m.erlang_c(load=0, servers=5) == 0
    assert m.erlang_c(load=5, servers=5) == m.erlang_c(load=7.5, servers=5) == 1
    assert m.erlang_c(load=0.3, servers=1) == close(0.3)  # one server: the share of time it is busy
    assert m.erlang_c(load=2, servers=2 + 1) == close((8 / 6 * 3) / (1 + 2 + 2 + 8 / 6 * 3))  # by hand
    block = m.erlang_c(load=np.array([[0.0], [2.5], [9.0]]), servers=np.array([3.0, 4.0]))
    each = [[m.erlang_c(load=a, servers=c) for c in (3, 4)] for a in (0.0, 2.5, 9.0)]
    np.testing.assert_allclose(block, each, rtol=1e-15)


def test_mean_waits_of_the_textbook() -> None:
    wait = m.allen_cunneen(load=2.5, servers=3, service_time=0.1)
    assert wait == close(erlang_by_recursion("2.5", 3) * 0.1 / 0.5)
    assert m.allen_cunneen(load=0.8, servers=1, service_time=1, cv_service=0) == close(0.8 / (2 * 0.2))  # M/D/1
    khinchine = 0.8 * (1 + 2.5**2) / (2 * 0.2)
    assert m.allen_cunneen(load=0.8, servers=1, service_time=1, cv_service=2.5) == close(khinchine)
    assert m.allen_cunneen(load=0.8, servers=1, service_time=1, cv_arrival=0, cv_service=0) == 0
    with pytest.raises(OutOfDomain, match="got 3 on 3, which needs 4 servers"):
        m.allen_cunneen(load=np.array([1.0, 3.0]), servers=3, service_time=1)


def test_the_tail_of_the_response_time() -> None:
    one = {"load": 0.7, "servers": 1, "service_time": 0.2}
    assert m.sojourn_tail(threshold=1.0, **one) == close(math.exp(-(1 - 0.7) * 1.0 / 0.2))  # M/M/1: exponential
    assert m.sojourn_tail(threshold=0, **one) == 1
    assert m.sojourn_tail(load=0, servers=9, service_time=0.2, threshold=1.0) == close(math.exp(-5))
    waits, x = m.erlang_c(load=2, servers=3), 1.3
    equal = m.sojourn_tail(load=2, servers=3, service_time=1, threshold=x)  # waiting and service alike
    assert equal == close((1 + waits * x) * math.exp(-x))
    for gap in (1e-12, 1e-8, 1e-5, 7e-4, 8e-4, 1e-3):  # no jump where the formula changes
        for near in (2 - gap, 2 + gap):
            there = m.sojourn_tail(load=near, servers=3, service_time=1, threshold=x)
            assert there == pytest.approx(equal, rel=gap + 1e-12)
    with pytest.raises(OutOfDomain, match="load must be below servers"):
        m.sojourn_tail(load=4, servers=3, service_time=1, threshold=1)


def test_the_tail_integrates_to_the_mean() -> None:
    for load, servers in ((0.7, 1), (2.0, 3), (2.5, 3), (1.999, 3), (7.0, 8)):
        time = np.linspace(0, 400, 400_001)
        tail = m.sojourn_tail(load=load, servers=servers, service_time=1, threshold=time)
        mean = np.trapezoid(tail, time)
        assert mean == pytest.approx(1 + m.allen_cunneen(load=load, servers=servers, service_time=1), rel=1e-6)
        assert np.all(np.diff(tail) <= 0)


# ---------------------------------------------------------------- the twins in the engines


def twins(batch: Batch) -> Batch:
    pairs = [*CASES, ("0", 4), ("1E-6", 1_000_000), ("4", 4), ("12", 4), ("2", 3), ("2.0001", 3), ("999990", 1_000_000)]
    for load, servers in pairs:
        face: dict[str, Any] = {"load": float(load), "servers": float(servers)}
        batch.add(CATALOGUE["erlang_c"], face)
        batch.add(CATALOGUE["allen_cunneen"], face | {"service_time": 250.0, "cv_arrival": 0.5, "cv_service": 2.0})
        for threshold in (0.0, 3.0, 250.0, 2500.0, 90_000.0):
            batch.add(CATALOGUE["sojourn_tail"], face | {"service_time": 250.0, "threshold": threshold})
    return batch


def test_the_native_twins_equal_python_in_the_embedded_engine(tmp_path: Path) -> None:
    batch = twins(Batch())
    result = evaluate(batch.save(tmp_path), NO_FUNCTIONS)
    assert result.missing == {}
    assert batch.differing([result.values["Sheet", f"A{row}"] for row in range(1, len(batch.expected) + 1)]) == []
    answers = [row[1] for row in batch.expected]
    assert answers.count("#N/A") == 2 * 6  # two unstable pairs of a mean wait and five tails


@pytest.mark.libreoffice
@pytest.mark.skipif(find_soffice() is None, reason="no LibreOffice here")
def test_the_native_twins_equal_python_in_libreoffice(tmp_path: Path) -> None:
    batch = twins(Batch())
    path = recalculate(batch.save(tmp_path), tmp_path / "out", f"{Path(__file__).stem}:NO_FUNCTIONS")
    column = openpyxl.load_workbook(path, data_only=True).active["A"]
    assert batch.differing([cell.value for cell in column]) == []


# ---------------------------------------------------------------- wall 7 against simulation


def simulate(load: float, servers: int, cv: float, seed: int, count: int = 300_000) -> Any:
    """Response times, in service times, of one queue before equal servers; service is gamma distributed."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / load, count))
    service = np.ones(count) if cv == 0 else rng.gamma(1 / cv**2, cv**2, count)
    free, out = [0.0] * servers, np.empty(count)
    for i, (at, work) in enumerate(zip(arrivals.tolist(), service.tolist(), strict=True)):
        done = max(at, free[0]) + work
        heapq.heapreplace(free, done)
        out[i] = done - at
    return out[count // 20 :]


def test_percentiles_of_exponential_service() -> None:
    got = m.tail_latency(arrival_rate=2.5, service_time=1, servers=3)
    assert got.p99 == pytest.approx(9.89, abs=0.005)
    assert m.sojourn_tail(load=2.5, servers=3, service_time=1, threshold=got.p99) == close(0.01, 1e-9)
    assert m.sojourn_tail(load=2.5, servers=3, service_time=1, threshold=got.p999) == close(0.001, 1e-9)
    seen = np.percentile(simulate(2.5, 3, 1.0, seed=7, count=1_000_000), [50, 90, 95, 99])
    np.testing.assert_allclose([got.p50, got.p90, got.p95, got.p99], seen, rtol=0.025)
    assert got.p99 > 1 + math.log(got.wait_probability / 0.01) / 0.5  # not the wait's percentile plus a mean service


@pytest.mark.parametrize(("load", "servers", "cv"), [(0.8, 1, 0.0), (2.5, 3, 0.5), (7.2, 8, 0.5), (2.5, 3, 1.5)])
def test_other_service_is_near_the_simulation(load: float, servers: int, cv: float) -> None:
    got = m.tail_latency(arrival_rate=load, service_time=1, servers=servers, cv=cv)
    seen = np.percentile(simulate(load, servers, cv, seed=3), [90, 95, 99])
    np.testing.assert_allclose([got.p90, got.p95, got.p99], seen, rtol=0.06)


def test_an_idle_server_is_as_slow_as_its_service() -> None:
    got = m.tail_latency(arrival_rate=0, service_time=0.1, servers=1)
    assert got.p99 == close(0.1 * math.log(100))  # 460.5 ms, not 100
    assert round(1e3 * got.p99, 1) == 460.5
    assert (got.utilisation, got.stable, got.feasible, got.servers_needed, got.wait_mean) == (0, True, True, 1, 0)
    assert m.tail_latency(arrival_rate=0, service_time=0.1, servers=1, cv=0).p99 == close(0.1, 1e-6)
    wide = m.tail_latency(arrival_rate=0, service_time=1, servers=1, cv=3)  # two phases with the right mean and cv
    time = np.linspace(0, 2000, 2_000_001)
    skew = math.sqrt(8 / 10)
    tail = sum(p * waiting_and_phase(time, 0, 1, 1 / (2 * p)) for p in ((1 + skew) / 2, (1 - skew) / 2))
    assert np.trapezoid(tail, time) == close(1, 1e-5)
    assert np.trapezoid(2 * time * tail, time) == close(10, 1e-4)
    assert np.interp(wide.p99, time, tail) == close(0.01, 1e-5)


def test_one_law_on_both_sides_of_one() -> None:
    below, at, above = (
        m.tail_latency(arrival_rate=2.5, service_time=1, servers=3, cv=c) for c in (1 - 1e-9, 1, 1 + 1e-9)
    )
    assert below.p99 == pytest.approx(at.p99, rel=1e-6)
    assert above.p99 == pytest.approx(at.p99, rel=1e-3)


def test_waits_grow_with_load_and_fall_with_servers() -> None:
    rho = np.linspace(0.01, 0.99, 50)
    p99 = m.tail_latency(arrival_rate=8 * rho, service_time=1, servers=8).p99
    assert np.all(np.diff(p99) > 0)
    assert p99[-1] > 10 * p99[0]
    pools = m.tail_latency(arrival_rate=2.5, service_time=1, servers=np.arange(3, 12)).p99
    assert np.all(np.diff(pools) < 0)
    order = m.tail_latency(arrival_rate=2.5, service_time=1, servers=3, cv=np.array([0, 0.5, 1, 1.5, 2]))
    for low, high in (("p50", "p90"), ("p90", "p95"), ("p95", "p99"), ("p99", "p999")):
        assert np.all(getattr(order, low) <= getattr(order, high))
    assert np.all(np.diff(order.p99) > 0)
    big = m.tail_latency(arrival_rate=9.5e5, service_time=0.1, servers=100_000)
    assert big.p99 == close(0.1 * math.log(100), 1e-3)  # 100 000 replicas, hardly anybody waits


def test_an_unstable_queue_says_how_many_servers_it_needs() -> None:
    got = m.tail_latency(arrival_rate=np.array([10.0, 40.0, 30.0]), service_time=0.1, servers=3)
    assert got.feasible.tolist() == got.stable.tolist() == [True, False, False]
    assert got.servers_needed.tolist() == [2, 5, 4]
    assert got.shortfall.tolist() == [0, 2, 1]
    np.testing.assert_allclose(got.utilisation, [1 / 3, 4 / 3, 1])
    assert np.isinf(got.p99).tolist() == np.isinf(got.wait_mean).tolist() == [False, True, True]
    assert m.tail_latency(arrival_rate=40, service_time=0.1, servers=5).stable
    call = FUNCTIONS["MLS_TAIL_LATENCY"]
    assert str(call(40.0, 100.0, 3.0)).startswith("#MLS! unstable: 1.333 times the capacity")
    assert str(call(40.0, 100.0, 3.0)).endswith("servers must be at least 5")
    assert call(40.0, 100.0, 3.0, "servers_needed") == 5
    assert call(40.0, 100.0, 3.0, "utilisation") == pytest.approx(4 / 3)
    assert call(40.0, 100.0, 3.0, "stable") is False
    assert call(0.0, 100.0, 1.0) == pytest.approx(460.517, abs=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, "many", True, None])
def test_what_is_no_queue_is_refused_by_name(bad: Any) -> None:
    good = {"arrival_rate": 1.0, "service_time": 0.1, "servers": 2.0, "cv": 1.0}
    for name in good:
        with pytest.raises(OutOfDomain, match=name):
            m.tail_latency(**good | {name: bad})
    for name, value in (("servers", 0), ("servers", 1.5), ("service_time", 0)):
        with pytest.raises(OutOfDomain, match=name):
            m.tail_latency(**good | {name: value})


def test_the_class_takes_milliseconds() -> None:
    got = m.TailLatencyModel().solve(arrival_rate_qps=25, service_latency_ms=100, num_replicas=3)
    assert got == m.tail_latency(arrival_rate=25, service_time=0.1, servers=3)
    with pytest.raises(OutOfDomain):
        m.TailLatencyModel.solve(arrival_rate_qps=-1, service_latency_ms=100)


# ---------------------------------------------------------------- wall 16


def test_jobs_wait_for_a_share_of_the_cluster() -> None:
    got = m.queue(arrivals_per_day=5 / DAY, job_days=0.5 * DAY, servers=3, cv_job=2, cv_arrival=0.5)
    mean = erlang_by_recursion("2.5", 3) * 0.5 * DAY / 0.5 * (0.25 + 4) / 2
    assert got.wait == close(mean)
    assert got.queue_length == close(5 / DAY * mean)  # Little
    assert got.turnaround == close(mean + 0.5 * DAY)
    assert (got.utilisation, got.stable, got.servers_needed) == (close(2.5 / 3), True, 3)
    one = m.queue(arrivals_per_day=0.8 / DAY, job_days=DAY, servers=1, cv_job=0)
    assert one.wait == close(0.8 * DAY / (2 * 0.2))  # M/D/1, the peer's one case
    waits = m.queue(arrivals_per_day=5 / DAY, job_days=0.5 * DAY, servers=np.array([3, 4, 8, 100])).wait
    assert np.all(np.diff(waits) < 0)
    assert FUNCTIONS["MLS_QUEUE"](5.0, 0.5, 3.0) == pytest.approx(erlang_by_recursion("2.5", 3) * 12 / 0.5)  # hours
    assert m.queue(arrivals_per_day=0, job_days=DAY, servers=1).wait == 0


def test_a_cluster_that_is_asked_too_much() -> None:
    got = m.queue(arrivals_per_day=10 / DAY, job_days=DAY, servers=4)
    assert (got.stable, got.feasible, got.servers_needed, got.shortfall, got.utilisation) == (False, False, 11, 7, 2.5)
    assert (got.wait, got.queue_length) == (math.inf, math.inf)
    assert "servers must be at least 11" in str(FUNCTIONS["MLS_QUEUE"](10.0, 1.0, 4.0))
    block = FUNCTIONS["MLS_QUEUE"]([[1.0, 10.0]], 1.0, 4.0)
    assert isinstance(block[0][0], float)
    assert "unstable" in str(block[0][1])
    with pytest.raises(OutOfDomain, match="arrivals_per_day"):
        m.queue(arrivals_per_day=-1, job_days=DAY, servers=4)


def test_the_size_of_the_fleet_matters() -> None:
    ask = {"arrival_rate_jobs_per_day": 40, "avg_job_duration_days": 0.5, "devices_per_job": 8}
    small, large = m.OrchestrationModel.solve("Research_256", **ask), m.OrchestrationModel.solve("Mega_100K", **ask)
    assert small.wait == close(m.queue(arrivals_per_day=40 / DAY, job_days=0.5 * DAY, servers=32).wait)
    assert large.wait < small.wait
    with pytest.raises(OutOfDomain, match="devices_per_job must be from 1 up to the 256"):
        m.OrchestrationModel.solve("Research_256", **ask | {"devices_per_job": 512})
    with pytest.raises(OutOfDomain):
        m.OrchestrationModel.solve("Research_256", **ask | {"arrival_rate_jobs_per_day": -1})
