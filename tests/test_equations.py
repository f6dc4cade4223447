"""Closed forms: figures by hand, limits, scaling laws, arrays like scalars, and refusals at the door."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlsysim as m
from mlsysim import CATALOGUE
from mlsysim.catalogue import Entry
from mlsysim.errors import OutOfDomain, WrongArguments

EQUATIONS = {name: entry for name, entry in CATALOGUE.items() if entry.group == "Equations"}
KWH, HOUR, YEAR = 3.6e6, 3600.0, 8760 * 3600.0

# One ordinary and one different legal value for every argument of every equation.
USUAL: dict[str, tuple[float, float]] = {
    "flops": (3e20, 7e21),
    "traffic": (16e9, 5e9),
    "peak": (989e12, 312e12),
    "bandwidth": (450e9, 50e9),
    "efficiency": (0.5, 0.3),
    "bandwidth_efficiency": (0.8, 0.6),
    "intensity": (100, 500),
    "layers": (32, 80),
    "kv_heads": (8, 4),
    "head_dim": (128, 64),
    "seq_len": (4096, 1000),
    "batch": (32, 3),
    "bytes_per_value": (2, 0.5),
    "latent_width": (576, 512),
    "params": (8e9, 70e9),
    "tokens": (1e12, 3e11),
    "budget": (1.2e23, 5e21),
    "tokens_per_param": (20, 100),
    "irreducible": (1.8172, 1.69),
    "param_scale": (482.01, 406.4),
    "param_exponent": (0.3478, 0.34),
    "token_scale": (2085.43, 410.7),
    "token_exponent": (0.3658, 0.28),
    "params_at_zetta": (2.863e9, 2.3e9),
    "exponent": (0.4981, 0.4586),
    "length_scale": (1500, 300),
    "page_size": (16, 64),
    "workers": (8, 64),
    "message": (1e9, 3e6),
    "latency": (1e-6, 5e-6),
    "draft_tokens": (4, 8),
    "acceptance": (0.7, 1),
    "stages": (4, 16),
    "microbatches": (128, 8),
    "interleave": (1, 2),
    "component_life": (50_000 * HOUR, 10_000 * HOUR),
    "count": (16_384, 8),
    "save_time": (60, 10),
    "mtbf": (3 * HOUR, 100 * HOUR),
    "interval": (1200, 3600),
    "recovery_time": (300, 20),
    "devices": (1024, 8),
    "hours": (800 * HOUR, 10 * HOUR),
    "mfu": (0.4, 0.1),
    "scaling": (0.9, 0.7),
    "goodput": (0.95, 0.85),
    "energy": (1000 * KWH, 5 * KWH),
    "pue": (1.1, 1.5),
    "carbon.intensity": (0.4 / KWH, 0.02 / KWH),  # one name, two quantities
    "busy_power": (6850, 700),
    "idle_share": (0.3, 0.1),
    "annual_cost": (1e6, 2e5),
    "utilisation": (0.8, 0.5),
    "usd_per_device_hour": (2.5 / HOUR, 1 / HOUR),
    "tokens_per_s_per_device": (1000, 25),
    "price": (25_000, 40_000),
    "age": (3 * YEAR, 0.5 * YEAR),
    "annual_decline": (0.28, 0.1),
    "periods": (36, 5),
    "rate": (0.05 / 12, 0.1),
    "residual_value": (5_000, 0),
    "present_cost": (1e6, 3e5),
    "annual_output": (70_080, 1e4),
    "life": (3 * YEAR, 5 * YEAR),
    "rental": (98.32 / HOUR, 53.945 / HOUR),
    "running": (0.87 / HOUR, 2.5 / HOUR),
    "device_hours": (1e6 * HOUR, 39.3e6 * HOUR),
    "devices_per_instance": (8, 1),
    "software": (4500, 1000),
    "licences": (8, 1),
    "hosting": (3000, 0),
    "requests_per_s": (10, 0.5),
    "usd_per_request": (0.001, 0.02),
    "input_tokens": (1000, 200),
    "output_tokens": (300, 800),
    "price_ratio": (3, 5),
    "accelerators": (5_898_240, 1e5),
    "storage": (1856, 0),
    "network": (82, 10),
    "cpu": (3318, 5),
    "support": (0.05, 0),
    "lost_work": (202_015, 0),
    "setup": (3_015_787, 100),
    "term": (36, 12),
    "debugging": (16_667, 1),
    "failures": (10, 0.5),
    "repair_time": (2 * HOUR, 0),
    "waiting": (8, 1000),
    "value": (30_000, 9000),
    "decline_oom": (0.14, 0.1),
    "power": (400, 1275),
    "load_factor": (0.75, 1),
    "it_power": (8e6, 1e5),
    "usd_per_kwh": (0.07 / KWH, 0.2 / KWH),
    "facility_payment": (5e5, 1e4),
    "power_share": (0.82, 0.5),
    "electricity_bill": (4e5, 1e3),
    "load": (2.5, 1.3),
    "servers": (3, 40),
    "service_time": (0.1, 3.0),
    "cv_arrival": (1.0, 0.4),
    "cv_service": (0.5, 2.0),
    "threshold": (0.3, 2.0),
}


def usual(entry: Entry, which: int = 0) -> dict[str, float]:
    return {p.name: USUAL.get(f"{entry.name}.{p.name}", USUAL[p.name])[which] for p in entry.params}


# ---------------------------------------------------------------- by hand, to twelve digits


def exactly(value: float) -> Any:
    return pytest.approx(value, rel=1e-12)


def test_kv_cache_of_llama_3_8b() -> None:
    size = m.kv_size(layers=32, kv_heads=8, head_dim=128, seq_len=4096, batch=32, bytes_per_value=2)
    assert size == 17_179_869_184  # 2 x 32 x 8 x 128 x 4096 x 32 x 2
    assert round(size / 1e9, 2) == 17.18


def test_latent_cache_of_deepseek_v3() -> None:
    assert m.mla_size(layers=61, latent_width=576, seq_len=1, batch=1, bytes_per_value=2) == 70_272


def test_ring_all_reduce() -> None:
    # 2 x 7/8 x 1 GB / 450 GB/s + 14 x 1 us = 3.888... ms + 0.014 ms
    got = m.allreduce(workers=8, message=1e9, bandwidth=450e9, latency=1e-6)
    assert got == exactly(7 / 1800 + 14e-6)
    assert m.allreduce(workers=1, message=1e9, bandwidth=450e9, latency=1e-6) == 0
    assert m.allreduce(workers=2, message=3e9, bandwidth=1e9, latency=0.5) == exactly(3 + 1)


def test_tree_all_reduce() -> None:
    got = m.tree_allreduce(workers=8, message=1e9, bandwidth=450e9, latency=1e-6)
    assert got == exactly(2 / 450 + 6e-6)
    assert m.tree_allreduce(workers=1, message=1e9, bandwidth=450e9, latency=1e-6) == 0
    for n in (2, 4, 8, 1024, 2**20):  # a power of two is its own logarithm; one more device is one more level
        levels = math.log2(n)
        assert m.tree_allreduce(workers=n, message=0, bandwidth=1.0, latency=0.5) == levels
        assert m.tree_allreduce(workers=n + 1, message=0, bandwidth=1.0, latency=0.5) == levels + 1


def test_all_to_all() -> None:
    got = m.alltoall(workers=8, message=1e9, bandwidth=450e9, latency=1e-6)
    assert got == exactly(7 / 8 / 450 + 7e-6)
    assert m.alltoall(workers=1, message=1e9, bandwidth=450e9, latency=1e-6) == 0


def test_chinchilla() -> None:
    # P = sqrt(C / 120): 1e21 FLOP is 2.887e9 parameters and 20 tokens for each of them
    params = m.chinchilla_params(budget=1e21)
    assert params == exactly(math.sqrt(1e21 / 120))
    assert params == pytest.approx(2.8867513e9, rel=1e-7)
    assert m.chinchilla_tokens(budget=1e21) == exactly(20 * params)
    assert m.train_flops(params=params, tokens=m.chinchilla_tokens(budget=1e21)) == exactly(1e21)
    other = m.chinchilla_params(budget=1e21, tokens_per_param=100)
    assert m.train_flops(params=other, tokens=100 * other) == exactly(1e21)


def test_training_work_of_gpt_3() -> None:
    assert m.train_flops(params=175e9, tokens=300e9) == exactly(3.15e23)


def test_carbon() -> None:
    # 1287 MWh x PUE 1.0 x 429 g/kWh = 552 t
    assert m.carbon(energy=1_287_000 * KWH, pue=1.0, intensity=0.429 / KWH) == exactly(552_123)
    assert m.carbon(energy=1000 * KWH, pue=1.1, intensity=0.4 / KWH) == exactly(440)


def test_pipeline_bubble() -> None:
    assert m.bubble(stages=4, microbatches=8) == exactly(3 / 8)
    assert m.bubble(stages=4, microbatches=8, interleave=2) == exactly(3 / 16)
    assert m.bubble(stages=1, microbatches=1) == 0


def test_young_and_daly() -> None:
    assert m.checkpoint_interval(save_time=60, mtbf=3 * HOUR) == exactly(math.sqrt(2 * 60 * 10_800))
    assert m.checkpoint_interval(save_time=2 * HOUR, mtbf=HOUR) == HOUR
    assert m.checkpoint_interval(save_time=5 * HOUR, mtbf=HOUR) == HOUR
    assert m.mtbf(component_life=50_000 * HOUR, count=16_384) == exactly(50_000 * HOUR / 16_384)
    waste = 60 / 1200 + (600 + 300) / 10_800
    assert m.goodput(save_time=60, interval=1200, recovery_time=300, mtbf=3 * HOUR) == exactly(1 - waste)


def test_youngs_interval_is_the_best_one() -> None:
    def at(interval: float) -> float:
        return float(m.goodput(save_time=60, interval=interval, recovery_time=300, mtbf=10 * HOUR))

    best = m.checkpoint_interval(save_time=60, mtbf=10 * HOUR)
    assert at(best) > max(at(0.9 * best), at(1.1 * best))
    assert 60 / best == exactly(best / 2 / (10 * HOUR))  # saving and rework cost the same there


def test_goodput_has_the_right_ends() -> None:
    assert m.goodput(save_time=0, interval=1e-6, recovery_time=0, mtbf=1e12) == pytest.approx(1, abs=1e-12)
    assert m.goodput(save_time=0, interval=1e-6, recovery_time=300, mtbf=3000) == pytest.approx(0.9, abs=1e-9)
    assert m.goodput(save_time=1e5, interval=10, recovery_time=0, mtbf=HOUR) == 0


def test_iron_law() -> None:
    rate = 1024 * 312e12 * 0.4 * 0.9 * 0.95
    time = m.ironlaw(flops=3.15e23, devices=1024, peak=312e12, mfu=0.4, scaling=0.9, goodput=0.95)
    assert time == exactly(3.15e23 / rate)
    back = m.ironlaw_devices(flops=3.15e23, hours=time, peak=312e12, mfu=0.4, scaling=0.9, goodput=0.95)
    assert back == exactly(1024)


def test_roofline_and_its_ridge() -> None:
    chip = {"peak": 989e12, "bandwidth": 3.35e12}
    ridge = m.ridge_point(**chip)
    assert ridge == exactly(989e12 / 3.35e12)
    assert m.attainable(intensity=ridge, **chip) == exactly(989e12)
    assert m.attainable(intensity=ridge / 2, **chip) == exactly(989e12 / 2)
    assert m.attainable(intensity=ridge * 2, **chip) == 989e12
    assert m.roofline_time(flops=16e9, traffic=16e9, **chip) == exactly(16e9 / 3.35e12)
    assert m.roofline_time(flops=16e15, traffic=16e9, **chip) == exactly(16e15 / 989e12)
    both = m.roofline_time(flops=16e15, traffic=80e12, efficiency=0.5, bandwidth_efficiency=0.8, **chip)
    assert both == exactly(max(16e15 / (989e12 * 0.5), 80e12 / (3.35e12 * 0.8)))
    kernel = m.roofline_time(flops=1e12, traffic=1e12 / 50, **chip)
    assert 1e12 / kernel == exactly(m.attainable(intensity=50, **chip))  # two views of one roof


def test_activity_power() -> None:
    def at(mfu: float) -> float:
        return float(m.activity_power(busy_power=1000, idle_share=0.3, mfu=mfu))

    assert (at(0), at(0.4), at(1)) == (exactly(300), exactly(1000), exactly(1000))
    assert at(0.1) == exactly(300 + 700 * 0.5)


def test_money_of_an_hour_and_a_token() -> None:
    hour = m.gpu_hour(annual_cost=8760 * 8 * 2.5, devices=8)
    assert hour * HOUR == exactly(2.5)
    assert m.gpu_hour(annual_cost=8760, devices=1, utilisation=0.5, goodput=0.8) * HOUR == exactly(2.5)
    assert m.token_cost(usd_per_device_hour=3.6 / HOUR, tokens_per_s_per_device=1000) * 1e6 == exactly(1)
    assert m.token_cost(usd_per_device_hour=3.6 / HOUR, tokens_per_s_per_device=1000, utilisation=0.5) == exactly(2e-6)
    assert m.residual(price=25_000, age=3 * YEAR, annual_decline=0.28) == exactly(25_000 * 0.72**3)
    assert m.residual(price=25_000, age=1e-9, annual_decline=0.28) == exactly(25_000)


# ---------------------------------------------------------------- scaling laws: doubling x changes y by ...

DOUBLING = [
    *[("kv_size", arg, 2.0) for arg in ("layers", "kv_heads", "head_dim", "seq_len", "batch", "bytes_per_value")],
    *[("mla_size", arg, 2.0) for arg in ("layers", "latent_width", "seq_len", "batch", "bytes_per_value")],
    *[("train_flops", arg, 2.0) for arg in ("params", "tokens")],
    ("chinchilla_params", "budget", math.sqrt(2)),
    ("chinchilla_params", "tokens_per_param", 1 / math.sqrt(2)),
    ("chinchilla_tokens", "budget", math.sqrt(2)),
    ("chinchilla_tokens", "tokens_per_param", math.sqrt(2)),
    ("ironlaw", "flops", 2.0),
    *[("ironlaw", arg, 0.5) for arg in ("devices", "peak")],
    ("ironlaw_devices", "hours", 0.5),
    *[("carbon", arg, 2.0) for arg in ("energy", "pue", "intensity")],
    ("mtbf", "component_life", 2.0),
    ("mtbf", "count", 0.5),
    ("checkpoint_interval", "save_time", math.sqrt(2)),
    ("checkpoint_interval", "mtbf", math.sqrt(2)),
    ("bubble", "microbatches", 0.5),
    ("bubble", "interleave", 0.5),
    ("ridge_point", "peak", 2.0),
    ("ridge_point", "bandwidth", 0.5),
    ("activity_power", "busy_power", 2.0),
    ("gpu_hour", "annual_cost", 2.0),
    ("gpu_hour", "devices", 0.5),
    ("token_cost", "usd_per_device_hour", 2.0),
    ("token_cost", "tokens_per_s_per_device", 0.5),
    ("residual", "price", 2.0),
    ("levelised_cost", "present_cost", 2.0),
    ("levelised_cost", "annual_output", 0.5),
    ("breakeven_hours", "price", 2.0),
    ("breakeven_utilisation", "annual_cost", 2.0),
    ("breakeven_utilisation", "devices", 0.5),
    *[("rental_cost", arg, 2.0) for arg in ("device_hours", "rental")],
    ("rental_cost", "devices_per_instance", 0.5),
    ("request_cost", "annual_cost", 2.0),
    ("request_cost", "requests_per_s", 0.5),
    ("input_token_price", "usd_per_request", 2.0),
    *[("failure_cost", arg, 2.0) for arg in ("failures", "usd_per_device_hour")],
    *[("run_depreciation", arg, 2.0) for arg in ("value", "device_hours", "decline_oom")],
    *[("electricity", arg, 2.0) for arg in ("power", "device_hours", "pue")],
    *[("electricity_cost", arg, 2.0) for arg in ("it_power", "hours", "usd_per_kwh", "pue")],
]


@pytest.mark.parametrize(("name", "argument", "factor"), DOUBLING)
def test_doubling(name: str, argument: str, factor: float) -> None:
    entry = EQUATIONS[name]
    once = usual(entry)
    assert entry.call(**once | {argument: 2 * once[argument]}) == exactly(factor * entry.call(**once))


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 100_000), message=st.floats(0, 1e12), alpha=st.floats(0, 1e-3))
def test_a_ring_is_bounded_by_twice_the_message(n: int, message: float, alpha: float) -> None:
    ring = m.allreduce(workers=n, message=message, bandwidth=1e9, latency=alpha)
    assert message / 1e9 <= ring - 2 * (n - 1) * alpha + 1e-6 * ring + 1e-30
    assert ring <= 2 * message / 1e9 + 2 * (n - 1) * alpha + 1e-12
    assert ring == pytest.approx(2 * m.alltoall(workers=n, message=message, bandwidth=1e9, latency=alpha))


# ---------------------------------------------------------------- every equation


def test_the_table_of_usual_values_covers_the_catalogue() -> None:
    assert len(EQUATIONS) >= 20
    assert {p.name for e in EQUATIONS.values() for p in e.params} == {n for n in USUAL if "." not in n}


@pytest.mark.parametrize("name", EQUATIONS)
def test_arrays_agree_with_scalars_element_by_element(name: str) -> None:
    entry = EQUATIONS[name]
    a, b = usual(entry, 0), usual(entry, 1)
    for varied in [*({n} for n in a), set(a)]:
        block = entry.call(**a | {n: np.array([[a[n]], [b[n]]]) for n in varied})
        assert block.shape == (2, 1)
        singles = [entry.call(**a), entry.call(**a | {n: b[n] for n in varied})]
        assert all(type(s) is float for s in singles)
        np.testing.assert_allclose(block[:, 0], singles, rtol=1e-15)


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, "abc", "", True, None, -1.0])
def test_every_argument_is_judged_by_name(name: str, bad: Any) -> None:
    entry = EQUATIONS[name]
    for p in entry.params:
        with pytest.raises(OutOfDomain) as refused:
            entry.call(**usual(entry) | {p.name: bad})
        assert str(refused.value).startswith(f"{name}: {p.name} ") or f"{name}: {p.name}:" in str(refused.value)


@pytest.mark.parametrize("name", EQUATIONS)
def test_zero_is_an_answer_or_a_refusal_and_never_a_crash(name: str) -> None:
    entry = EQUATIONS[name]
    for p in entry.params:
        call = usual(entry) | {p.name: 0.0}
        if p.unit is not None and (p.unit.open_low or p.unit.low > 0):
            with pytest.raises(OutOfDomain, match=f"^{name}: {p.name} must be"):
                entry.call(**call)
        else:
            assert math.isfinite(entry.call(**call))


@pytest.mark.parametrize("name", EQUATIONS)
def test_equations_take_keywords_and_say_what_is_missing(name: str) -> None:
    entry = EQUATIONS[name]
    for p in entry.params:
        rest = {k: v for k, v in usual(entry).items() if k != p.name}
        if p.required:
            with pytest.raises(WrongArguments, match=f"{p.name} is missing"):
                entry.call(**rest)
        else:
            assert entry.call(**rest) == entry.call(**rest, **{p.name: p.default})
    with pytest.raises(WrongArguments, match="bogus"):
        entry.call(**usual(entry), bogus=1)
