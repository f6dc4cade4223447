"""A whole training run by hand: steps, goodput, hours, energy, money and carbon; and a published one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import MissingFact, OutOfDomain, UnknownName
from udfs import FUNCTIONS

CHIP = (
    "Chip; bf16 = 100 TFLOP/s; memory = 100 GB; bandwidth = 10 TB/s; link = 200 GB/s; tdp = 500 W; price = 10000 USD; "
    "generation = hopper; memory_class = hbm"
)
SHAPE = "unit = token; params = 2B; layers = 16; hidden = 1000; heads = 8; kv_heads = 8; head_dim = 125"
LM = f"LM; family = transformer; {SHAPE}"
SITE = "S; grid = {G; carbon_intensity = 400 g/kWh; basis = direct}; pue = 1.2; electricity_price = 0.1 USD/kWh"
FABRIC = "fabric = {X; topology = fat-tree; bandwidth = 50 GB/s}"
DAY = 86400.0


def fleet(nodes: int = 8, site: str = SITE, chip: str = CHIP) -> str:
    node = f"N; devices = 4; nics = 2; busy_power = 3000 W; idle_power = 900 W; device = {{{chip}}}"
    return f"F; nodes = {nodes}; node = {{{node}}}; {FABRIC}; site = {{{site}}}"


def run(on: str = "", model: str = LM, **options: Any) -> Any:
    return m.training_run(model, on or fleet(), **{"tokens": 1e12, "batch": 64, "efficiency": 0.5} | options)


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9)


def test_a_run_by_hand() -> None:
    step = m.training(LM, fleet(), batch=64, efficiency=0.5)
    got = run(failures_per_node_day=0.01 / DAY, save_time=30, recovery_time=600)
    steps = math.ceil(1e12 / (64 * 2048))
    mtbf = DAY / (8 * 0.01)
    interval = math.sqrt(2 * 30 * mtbf)
    left = 1 - 30 / interval - (interval / 2 + 600) / mtbf  # with the rework of half an interval per failure
    seconds = steps * step.step_latency_total / left
    assert (got.steps, got.step_time, got.mfu) == (steps, step.step_latency_total, step.mfu)
    assert got.goodput == close(left)
    assert got.hours == close(seconds)
    assert got.device_hours == close(32 * seconds)
    assert got.expected_failures == close(seconds / mtbf)
    draw = 8 * float(m.activity_power(busy_power=3000, idle_share=0.3, mfu=step.mfu)) / 1000
    assert got.it_energy_kwh == close(draw * seconds / 3600)
    assert got.energy_kwh == close(1.2 * draw * seconds / 3600)
    assert got.carbon_kg == close(got.energy_kwh * 0.4)
    owned = m.tco(fleet(), days=seconds, mfu=step.mfu)
    assert got.cost_usd == close(owned.tco_usd)
    assert got.energy_kwh == close(owned.total_energy_kwh)


def test_the_iron_law_gives_the_same_hours() -> None:
    got = run()
    forward = 2 * 2e9 * 2048 + 4 * 16 * 8 * 125 * 2048 * 2049 / 2
    law = m.ironlaw(flops=3 * forward * 64 * got.steps, devices=32, peak=100e12, mfu=got.mfu, scaling=1.0,
                    goodput=got.goodput)  # fmt: skip
    assert got.hours == close(law)
    assert got.tokens_per_s == close(1e12 / got.hours)


def test_a_month_for_gpt3_on_a_thousand_a100() -> None:
    """Narayanan et al. (2021), section 5.1: 300 billion tokens in about 34 days."""
    got = m.training_run(
        "GPT3", "Training_1K_A100", tokens=300e9, batch=1536, tp=8, pp=8, interleave=3, precision="fp16"
    )
    assert 24 < got.hours / DAY < 44
    assert got.feasible
    assert 6 * 175e9 * 300e9 / (1024 * 312e12 * got.hours) == pytest.approx(got.mfu * got.goodput, rel=0.06)


def test_the_failure_rate_is_the_measured_one_and_scales_with_devices() -> None:
    one, many = (run(fleet(n), batch=1024) for n in (8, 64))
    assert one.mtbf == close(8 * many.mtbf)
    assert m.reliability(fleet(), hours=one.hours).goodput == one.goodput > many.goodput
    assert run(save_time=0).goodput == close(1 - 300 / one.mtbf)  # the limit of saves that cost nothing


def test_more_tokens_take_longer_in_proportion() -> None:
    base, twice = run(), run(tokens=2e12)
    for name in ("hours", "energy_kwh", "carbon_kg", "device_hours", "cost_usd", "expected_failures"):
        assert getattr(twice, name) == pytest.approx(2 * getattr(base, name), rel=1e-6)
    assert run(tokens=1).steps == 1  # steps are whole


def test_a_rental_replaces_ownership() -> None:
    rented = run(usd_per_device_hour=2.5 / 3600)
    assert rented.cost_usd == close(2.5 * rented.device_hours / 3600)
    with pytest.raises(OutOfDomain, match="usd_per_device_hour has the electricity in it"):
        run(usd_per_device_hour=2.5 / 3600, usd_per_kwh=0.1 / 3.6e6)
    dear = run(usd_per_kwh=0.2 / 3.6e6)
    assert dear.cost_usd - run().cost_usd == close(0.1 * dear.energy_kwh)


def test_the_region_matters() -> None:
    clean, dirty = (run(datacenter=s) for s in ("Quebec", "Poland"))
    assert dirty.carbon_kg / clean.carbon_kg == close(614.98 * 1.54 / (41 * 1.06))
    assert clean.hours == dirty.hours


def test_what_is_not_on_record_is_unknown_not_zero() -> None:
    unpriced = run(fleet(chip=CHIP.replace("; price = 10000 USD", "")))
    assert math.isnan(unpriced.cost_usd)
    assert unpriced.hours == run().hours
    bare = fleet(chip=CHIP.replace("tdp = 500 W; ", "")).replace("busy_power = 3000 W; idle_power = 900 W; ", "")
    dark = run(bare)
    assert math.isnan(dark.energy_kwh)
    assert math.isnan(dark.carbon_kg)
    assert dark.hours == run().hours


def test_an_unpriced_cluster_has_no_cost_and_an_old_one_is_paid_off() -> None:
    bare = fleet(chip=CHIP.replace("; price = 10000 USD", ""))
    cell = FUNCTIONS["MLS_TRAINING_RUN"](LM, bare, 1e12, 64.0, "cost_usd")
    assert str(cell).startswith("#MLS! MLS_TRAINING_RUN: cost_usd is unknown")
    long = run(tokens=5e13)
    assert long.hours > 6 * 8760 * 3600
    owned = m.tco(fleet(), days=long.hours, mfu=long.mfu)
    assert long.cost_usd == close(owned.tco_usd)
    assert owned.capex_usd == close(owned.purchase_usd)  # not charged again after three years


def test_what_does_not_fit_is_said() -> None:
    got = run(model=LM.replace("2B", "20B"))
    assert not got.feasible
    assert got.shortfall > 0
    cell = FUNCTIONS["MLS_TRAINING_RUN"](LM.replace("2B", "20B"), fleet(), 1e12, 64.0)
    assert str(cell).startswith("#MLS! does not fit: needs ")


def test_arrays_are_as_many_scalars() -> None:
    tokens, batch = np.array([1e11, 5e11, 2e12]), np.array([[64.0], [128.0]])
    grid = run(tokens=tokens, batch=batch)
    for i, b in enumerate(batch[:, 0]):
        for j, t in enumerate(tokens):
            one = run(tokens=t, batch=b)
            for name in ("hours", "energy_kwh", "cost_usd", "carbon_kg", "goodput", "mfu", "feasible"):
                assert np.broadcast_to(getattr(grid, name), (2, 3))[i, j] == pytest.approx(
                    getattr(one, name), rel=1e-12
                )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tokens": 0}, "tokens must be a number above 0"),
        ({"tokens": math.nan}, "tokens must be"),
        ({"tokens": -1e12}, "tokens must be"),
        ({"tokens": "many"}, "tokens"),
        ({"batch": 63}, "batch must be a multiple of replicas x microbatch"),
        ({"batch": 0}, "batch must be"),
        ({"save_time": -1}, "save_time must be"),
        ({"failures_per_node_day": 0}, "failures_per_node_day must be"),
        ({"failures_per_node_day": 1 / DAY, "recovery_time": 8000, "save_time": 500}, "fails about every"),
        ({"model": "ResNet50"}, "not trained on tokens"),
    ],
)
def test_refusals(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OutOfDomain, match=words):
        run(**options)


def test_unknown_names() -> None:
    with pytest.raises(UnknownName):
        run(datacenter="Atlantis")
    with pytest.raises((UnknownName, MissingFact)):
        run(precision="fp12")
