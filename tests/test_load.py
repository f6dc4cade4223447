"""Full load and one all-reduce by hand, and every number of serving as an array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from serving_cases import CHIP, COMPUTE, DENSE, DRAFT, LINK, LM, MOE, NEAR, PER_PASS, STREAM, close, serve

import mlsysim as m
from mlsysim import CATALOGUE
from mlsysim.errors import MissingFact, OutOfDomain
from mlsysim.solvers.workload import default

# ---------------------------------------------------------------- full load


def load(on: str = CHIP, **options: Any) -> Any:
    shares = {"efficiency": 0.5, "bandwidth_efficiency": 0.8, "input_tokens": 512, "output_tokens": 128}
    return m.throughput(LM, on, **shares | options)


def test_a_round_at_full_load() -> None:
    batch, s, out = 32, 512, 128
    got = load(batch=batch)
    passes = math.ceil(batch * s / default("prefill_chunk"))
    assert passes == 2
    work = batch * DENSE.flops(s, 0) / COMPUTE
    prompts = max(work, (passes * 2 * 2e9 + DENSE.cache(s, batch)) / STREAM) + passes * 20 * PER_PASS
    itl = DENSE.step(batch, s + out / 2)
    seconds = prompts + out * itl
    assert got.requests_rate == close(batch / seconds)
    assert got.tokens_per_s_per_device == got.output_rate == close(batch * out / seconds)
    assert got.prefill_share == close(prompts / seconds)
    assert got.itl == close(seconds / out)  # prompts of others come in between
    alone = max(DENSE.flops(s, 0) / COMPUTE, (2 * 2e9 + DENSE.cache(s)) / STREAM)
    assert got.ttft == close(alone + 20 * PER_PASS)
    assert got.total_memory_required == close(2 * 2e9 + DENSE.cache(s + out / 2, batch))


@pytest.mark.parametrize("options", [{}, {"batch": 7}, {"tp": 2}, {"cached_prefix": 500}, {"max_batch": 100}])
def test_rates_agree_with_each_other(options: dict[str, Any]) -> None:
    got = load(**options)
    assert got.output_rate == close(got.requests_rate * 128)
    assert got.input_rate == close(got.requests_rate * 512)
    assert got.total_rate == close(got.input_rate + got.output_rate)
    assert got.tokens_per_s_per_device == close(got.output_rate / options.get("tp", 1))
    assert got.batch / got.itl == close(got.output_rate)  # Little's law


def test_a_blank_batch_is_the_largest_that_fits() -> None:
    tight = CHIP.replace("100 GB;", "20 GB;")
    got = load(tight, reserve=0.1)
    most = (18e9 - 4e9) // DENSE.cache(512 + 64)
    assert 100 < most < default("max_batch")
    assert got.batch == most
    assert got.feasible
    assert not load(tight, reserve=0.1, batch=most + 1).feasible
    at_most = load(tight, reserve=0.1, batch=most)
    for name in ("output_rate", "itl", "ttft", "total_memory_required", "prefill_share"):
        assert getattr(at_most, name) == getattr(got, name)


def test_a_blank_batch_is_capped() -> None:
    assert load(CHIP.replace("100 GB;", "5 TB;")).batch == default("max_batch")
    assert load(max_batch=64).batch == 64
    np.testing.assert_array_equal(load(max_batch=np.array([1, 10, 100])).batch, [1, 10, 100])


def test_a_model_that_does_not_fit_serves_nobody() -> None:
    got = load(CHIP.replace("100 GB;", "4 GB;"))
    assert (got.feasible, got.batch) == (False, 1)
    assert got.shortfall == close(4e9 + DENSE.cache(576) - 0.95 * 4e9)


@pytest.mark.parametrize(
    ("old", "new"),
    [("20 GB;", "40 GB;"), ("1 TB/s", "2 TB/s"), ("100 TFLOP/s", "200 TFLOP/s")],
)
def test_better_silicon_serves_more(old: str, new: str) -> None:
    small = CHIP.replace("100 GB;", "20 GB;")
    assert load(small.replace(old, new)).output_rate > load(small).output_rate


def test_longer_requests_are_fewer() -> None:
    lengths = np.array([100, 500, 2000, 8000])
    for name in ("input_tokens", "output_tokens"):
        assert (np.diff(load(**{name: lengths}).requests_rate) < 0).all()


# ---------------------------------------------------------------- one all-reduce


@pytest.mark.parametrize("in_switch", [False, True])
@pytest.mark.parametrize("message", [1e3, 1e6, 1e9, 1e12])
def test_bus_bandwidth_stays_below_the_link(message: float, in_switch: bool) -> None:
    boost = default("collective_in_switch") if in_switch else 1.0
    got = m.collective(CHIP, devices=8, message=message, in_switch=in_switch)
    top = LINK * boost
    slow = min(message, default("collective_ramp") * 2**20)
    seconds = 2 * 7 / 8 * (message + slow) / top + NEAR
    assert got.time == close(seconds)
    assert got.bus_bandwidth == close(2 * 7 / 8 * message / seconds)
    assert got.algorithm_bandwidth == close(message / seconds)
    assert got.bus_bandwidth < top
    if message == 1e12:
        assert got.bus_bandwidth == pytest.approx(top, rel=1e-3)


def test_across_nodes_only_shards_travel() -> None:
    message, port = 1e9, 25e9
    got = m.collective(CHIP, devices=32, nodes=4, message=message, port=port)
    far = default("collective_latency_fabric") * 1e-6
    ramp = default("collective_ramp") * 2**20
    inside = 2 * 7 / 8 * (message + ramp) / LINK + NEAR
    across = 2 * 3 / 4 * message / 8 / (port * default("collective_efficiency")) + far
    assert got.time == close(inside + across)
    flat = m.collective(CHIP, devices=4, nodes=4, message=message, port=port)  # one device a node: the fabric alone
    assert flat.time == close(2 * 3 / 4 * message / (port * default("collective_efficiency")) + far)


def test_an_all_reduce_among_one_device_is_nothing() -> None:
    got = m.collective(CHIP, devices=1, message=1e9)
    assert got.time == 0
    assert math.isnan(got.algorithm_bandwidth)


def test_collective_refuses() -> None:
    with pytest.raises(OutOfDomain, match="nodes must divide devices"):
        m.collective(CHIP, devices=9, nodes=2, message=1e9, port=1e9)
    with pytest.raises(MissingFact, match="more than one node needs port"):
        m.collective(CHIP, devices=8, nodes=2, message=1e9)
    with pytest.raises(OutOfDomain, match="must not exceed the 16 devices that the links of Chip join; give nodes"):
        m.collective(CHIP, devices=32, message=1e9)
    with pytest.raises(OutOfDomain, match="must not exceed the 8 devices that the links of H100 join"):
        m.collective("H100", devices=64, message=1e9)
    with pytest.raises(MissingFact, match="T4 has no link on record"):
        m.collective("T4", devices=2, message=1e9)
    for bad in (-1, math.nan, math.inf, "1 kg"):
        with pytest.raises(OutOfDomain):
            m.collective(CHIP, devices=8, message=bad)


# ---------------------------------------------------------------- arrays


CALLS: dict[str, dict[str, Any]] = {
    "serving": {"model": MOE, "hardware": CHIP, "seq_len": 512, "batch": 8, "output_tokens": 64},
    "throughput": {"model": MOE, "hardware": CHIP, "input_tokens": 512, "output_tokens": 64},
    "collective": {"hardware": CHIP, "devices": 8, "message": 1e9, "nodes": 2, "port": 25e9},
    "kvcache": {"model": LM, "seq_len": 512},
    "speculation": {"draft_tokens": 4, "acceptance": 0.7},
}
ALSO = {"acceptance": {"draft": DRAFT}, "draft_tokens": {"draft": DRAFT}, "link": {"decode_hardware": CHIP}}
SEVERAL = {  # values that every combination may take; the rest are 1, 2 and 4
    "seq_len": (300, 512, 8192),
    "input_tokens": (300, 512, 8192),
    "cached_prefix": (0, 50, 250),
    "output_tokens": (1, 30, 64),
    "efficiency": (0.1, 0.5, 1),
    "bandwidth_efficiency": (0.1, 0.5, 1),
    "acceptance": (0.1, 0.7, 1),
    "reserve": (0, 0.1, 0.99),
    "link": (1e9, 25e9, 1e12),
    "port": (1e9, 25e9, 1e12),
    "message": (1e3, 1e8, 1e12),
    "devices": (2, 4, 16),
    "nodes": (2, 4, 8),
    "tp": (1, 2, 5),
    "max_batch": (1, 16, 4096),
    "page_size": (1, 16, 100),
}
NUMBERS = [(name, p.name) for name in CALLS for p in CATALOGUE[name].params if p.unit is not None]


def parts(result: Any) -> dict[str, Any]:
    return vars(result) if hasattr(result, "__dict__") else {"": result}


@pytest.mark.parametrize(("name", "argument"), NUMBERS)
def test_arrays_are_their_elements(name: str, argument: str) -> None:
    call = CATALOGUE[name].call
    needs = ALSO.get(argument, {}) if name == "serving" else {}
    given = {k: v for k, v in (CALLS[name] | needs).items() if k != argument}
    values = SEVERAL.get(argument, (1, 2, 4))
    if argument == "ep":
        values = (1, 2, 8)
    together = parts(call(**given, **{argument: np.array(values, dtype=float)}))
    moved = False
    for i, value in enumerate(values):
        for metric, alone in parts(call(**given, **{argument: value})).items():
            row = np.broadcast_to(together[metric], len(values))
            np.testing.assert_allclose(float(row[i]), float(alone), rtol=1e-12, err_msg=metric)
            moved |= bool(row[i] != row[0])
    assert moved  # the argument does something


def test_a_row_and_a_column_make_a_table() -> None:
    batch, length, tp = np.array([[1], [8], [64]]), np.array([128, 4096]), np.array([[[1]], [[2]]])
    table = serve(batch=batch, seq_len=length, tp=tp)
    assert table.itl.shape == table.ttft.shape == (2, 3, 2)
    for (i, j, k), seconds in np.ndenumerate(table.itl):
        one = serve(batch=int(batch[j, 0]), seq_len=int(length[k]), tp=int(tp[i, 0, 0]))
        assert seconds == close(one.itl)
        assert table.ttft[i, j, k] == close(one.ttft)
    rate = load(batch=batch, input_tokens=length).output_rate
    assert rate[2, 1] == close(load(batch=64, input_tokens=4096).output_rate)
