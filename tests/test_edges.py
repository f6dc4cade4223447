"""Every solver at the edges: arrays agree with scalars, physics is monotone, what is no input is refused by name."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.catalogue import CATALOGUE, Entry, Param, Result
from mlsysim.errors import MissingFact, MlsysError, OutOfDomain, UnknownName, WrongArguments
from mlsysim.tables import Table
from mlsysim.units import Code

CHIP = (
    "Chip; fp16 = 100 TFLOP/s; bf16 = 100 TFLOP/s; memory = 100 GB; bandwidth = 1 TB/s; memory_class = hbm; "
    "tdp = 500 W; scale_up = 16; link = 100 GB/s; host_link = 10 GB/s; structured_sparsity = true; "
    "price = 10000 USD; embodied_carbon = 100 kg"
)
LM = "LM; family = transformer; unit = token; params = 2B; layers = 16; hidden = 1024; heads = 8; kv_heads = 4"
FLEET = (
    f"F; nodes = 8; node = {{N; devices = 4; nics = 4; device = {{{CHIP}}}}}; "
    "fabric = {X; topology = fat-tree; bandwidth = 50 GB/s}; "
    "site = {S; grid = {G; carbon_intensity = 400 g/kWh; basis = direct}; pue = 1.2; wue = 1.5 L/kWh}"
)
HOUR, DAY, YEAR = 3600.0, 86400.0, 8760 * 3600.0
DRAFT = "D; family = transformer; unit = token; params = 200M; layers = 4; hidden = 512; heads = 4; kv_heads = 4"
THINGS = {"model": LM, "hardware": CHIP, "fleet": FLEET}

# Two legal values of every number that a solver takes.
USUAL: dict[str, tuple[float, float]] = {
    "batch": (64, 128),
    "seq_len": (512, 1000),
    "efficiency": (0.5, 0.3),
    "bandwidth_efficiency": (0.8, 0.6),
    "reserve": (0.05, 0.99),
    "tp": (1, 4),
    "pp": (1, 2),
    "microbatch": (1, 2),
    "interleave": (1, 2),
    "ep": (1, 1),
    "zero_stage": (0, 3),
    "dp": (1, 8),
    "lora": (8, 64),
    "overlap": (0.85, 0),
    "straggler": (1, 1.5),
    "output_tokens": (0, 333),
    "cached_prefix": (0, 100),
    "bits": (4, 8),
    "sparsity": (0.5, 0.25),
    "group_size": (128, 32),
    "days": (30 * DAY, 2000 * DAY),
    "mfu": (0.4, 0.1),
    "life_years": (3 * YEAR, 5 * YEAR),
    "embodied_carbon": (100, 50),
    "usd_per_kwh": (0.1 / 3.6e6, 0.2 / 3.6e6),
    "usd_per_device": (10_000, 20_000),
    "server": (0.5, 0.1),
    "network": (0.2, 0.1),
    "facility": (150, 100),
    "staff": (600, 0),
    "maintenance": (0.05, 0),
    "residual_share": (0, 0.2),
    "utilisation": (1, 0.5),
    "max_batch": (8, 64),
    "page_size": (16, 64),
    "mean_len": (256, 100),
    "gemm_efficiency": (0.5, 0.3),
    "flash_efficiency": (0.5, 0.3),
    "injection": (10e9, 50e9),
    "steps": (8, 20),
    "tokens_per_step": (50, 20),
    "acceptance": (0.7, 0.4),
    "draft_tokens": (4, 2),
    "link": (50e9, 10e9),
    "cp": (1, 2),
    "input_tokens": (512, 1000),
    "devices": (8, 16),
    "message": (1e9, 3e6),
    "nodes": (1, 2),
    "port": (50e9, 25e9),
    "latency": (60, 20),
    "arrival_rate": (1, 3),
    "replicas": (1, 2),
    "hours": (100 * HOUR, 1000 * HOUR),
    "save_time": (60, 10),
    "recovery_time": (300, 100),
    "interval": (HOUR, 4 * HOUR),
    "failures_per_node_day": (0.0065 / DAY, 0.003 / DAY),
    "storage_bandwidth": (10e9, 2e9),
    "writers": (1, 8),
    "limit": (500e9, 10e9),
    "megawatts": (1e6, 5e6),
    "share": (0.5, 1),
    "tokens_per_s_per_device": (1000, 300),
    "usd_per_device_hour": (3 / 3600, 2 / 3600),
    "margin": (0.2, 0),
    "requests_per_s": (5, 50),
    "ttft": (5, 2),
    "itl": (0.5, 0.2),
    "headroom": (0.3, 0.1),
    "peak_to_mean": (1, 2),
    "spares": (1, 0),
    "tokens": (1e10, 3e10),
}
# where one name means two things: the values for one solver
OWN: dict[str, tuple[float, float]] = {"throughput.output_tokens": (333, 100), "token_price.output_tokens": (333, 100),
                                       "batch_limit.output_tokens": (333, 100), "capacity.output_tokens": (333, 100),
                                       "throughput.max_batch": (64, 8), "power_budget.devices": (8, 4),
                                       "collective.latency": (1e-5, 1e-6)}  # fmt: skip
CASES = [
    ("roofline", {}),
    ("roofline", {"training": True}),
    ("roofline", {"training": True, "lora": 8, "zero_stage": 2, "recompute": "full"}),
    ("serving", {"seq_len": 512, "tp": 2}),
    ("serving", {"seq_len": 512, "draft": DRAFT}),
    ("serving", {"seq_len": 512, "decode_hardware": CHIP, "link": 50e9}),
    ("throughput", {"input_tokens": 512, "output_tokens": 333}),
    ("token_price", {"usd_per_device_hour": 3 / 3600, "input_tokens": 512, "output_tokens": 333}),
    ("capacity", {"requests_per_s": 5, "input_tokens": 512, "output_tokens": 333}),
    ("batch_limit", {"input_tokens": 512, "output_tokens": 333, "latency": 60, "arrival_rate": 1}),
    ("collective", {"devices": 8, "message": 1e9, "port": 50e9}),
    ("reliability", {"hours": 100 * HOUR}),
    ("checkpoint", {"storage_bandwidth": 10e9}),
    ("power_budget", {"megawatts": 1e6}),
    ("training_run", {"tokens": 1e10, "batch": 64, "pp": 2}),
    ("kvcache", {"seq_len": 512}),
    ("memory", {}),
    ("memory", {"training": True, "lora": 8, "zero_stage": 2}),
    ("software", {}),
    ("software", {"regime": "decode", "flash": False}),
    ("batching", {"seq_len": 512}),
    ("streaming", {}),
    ("streaming", {"phase": "prefill"}),
    ("reasoning", {"steps": 8}),
    ("training", {"batch": 64, "pp": 2}),
    ("compression", {}),
    ("compression", {"method": "pruning", "sparsity": 0.5, "structured": "structured"}),
    ("compression", {"method": "pruning", "sparsity": 0.5}),
    ("sustainability", {"days": 30 * DAY}),
    ("tco", {}),
    ("power", {}),
]
SOLVERS = sorted({name for name, _ in CASES})


def call(name: str, **options: Any) -> Any:
    entry = CATALOGUE[name]
    return entry.call(**{p.name: THINGS[p.name] for p in entry.params if p.name in THINGS} | options)


def numbers(entry: Entry) -> list[Param]:
    return [p for p in entry.params if p.unit is not None]


def needed(name: str) -> dict[str, Any]:
    """The numbers that a solver cannot do without."""
    return {p.name: usual(name, p.name)[0] for p in numbers(CATALOGUE[name]) if p.required}


def usual(name: str, argument: str) -> tuple[float, float]:
    return OWN.get(f"{name}.{argument}", USUAL[argument])


def parts(result: Any) -> dict[str, Any]:
    return dict(vars(result)) if isinstance(result, Result) else {"value": result}


def varied(name: str, options: dict[str, Any]) -> list[str]:
    """The numbers that may vary beside the given options."""
    legal = [p.name for p in numbers(CATALOGUE[name])]
    if name == "compression" and options.get("method") != "pruning":
        legal.remove("sparsity")
    if name in ("roofline", "memory") and not options.get("training"):
        legal = [n for n in legal if n not in ("zero_stage", "dp", "lora")]
    if name == "serving" and "draft" not in options:
        legal = [n for n in legal if n not in ("acceptance", "draft_tokens")]
    if name == "serving" and "decode_hardware" not in options:
        legal.remove("link")
    if "draft" in options or "decode_hardware" in options:
        legal = [n for n in legal if n not in ("ep", "pp")]
    return legal


def test_the_table_covers_the_catalogue() -> None:
    tables = {n for n, e in CATALOGUE.items() if isinstance(e.returns, type) and issubclass(e.returns, Table)}
    assert {n for n, e in CATALOGUE.items() if any(p.thing for p in e.params)} - tables == set(SOLVERS)
    assert {p.name for n in SOLVERS for p in numbers(CATALOGUE[n])} == set(USUAL)


# ---------------------------------------------------------------- arrays like scalars


def agree(block: Any, singles: list[Any], shape: tuple[int, ...]) -> None:
    for field, value in parts(block).items():
        spread = np.broadcast_to(np.asarray(value, dtype=object), shape).ravel()
        for element, single in zip(spread, singles, strict=True):
            expected = parts(single)[field]
            if isinstance(expected, str | bool):
                assert element == expected, field
            else:
                assert float(element) == pytest.approx(float(expected), rel=1e-13, nan_ok=True), field


@pytest.mark.parametrize(("name", "options"), CASES)
def test_each_argument_may_be_an_array(name: str, options: dict[str, Any]) -> None:
    for n in varied(name, options):
        values = usual(name, n)
        block = call(name, **options | {n: np.array(values)})
        agree(block, [call(name, **options | {n: v}) for v in values], (2,))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_column_by_a_row_is_a_grid(name: str, options: dict[str, Any]) -> None:
    names = varied(name, options)
    for down, across in itertools.pairwise(names):
        rows, columns = np.array(usual(name, down))[:, None], np.array(usual(name, across))[None, :]
        block = call(name, **options | {down: rows, across: columns})
        singles = [call(name, **options | {down: a, across: b}) for a in usual(name, down) for b in usual(name, across)]
        agree(block, singles, (2, 2))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_all_arguments_may_be_arrays_at_once(name: str, options: dict[str, Any]) -> None:
    names = varied(name, options)
    block = call(name, **options | {n: np.array(usual(name, n)) for n in names})
    agree(block, [call(name, **options | {n: usual(name, n)[i] for n in names}) for i in (0, 1)], (2,))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_integers_and_floats_are_one(name: str, options: dict[str, Any]) -> None:
    for n in varied(name, options):
        value = usual(name, n)[1]
        if value == int(value):
            whole, real = (call(name, **options | {n: kind(value)}) for kind in (int, float))
            agree(whole, [real], ())


@pytest.mark.parametrize(("name", "options"), CASES)
def test_scalar_calls_answer_with_python_values(name: str, options: dict[str, Any]) -> None:
    for field, value in parts(call(name, **options)).items():
        assert type(value) in (float, bool, str) or isinstance(value, Code), (field, type(value))


# ---------------------------------------------------------------- bad input, by name


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize(
    "bad",
    [
        math.nan,
        math.inf,
        -math.inf,
        "abc",
        "",
        "1,5",
        True,
        False,
        [True],
        np.array([1.0, np.nan]),
        object(),
        -1,
        -1e-9,
    ],
    ids=lambda v: type(v).__name__ if type(v) is object else repr(v),
)
def test_every_number_is_judged_by_name(name: str, bad: Any) -> None:
    for p in numbers(CATALOGUE[name]):
        with pytest.raises(OutOfDomain) as refused:
            call(name, **needed(name) | {p.name: bad})
        assert str(refused.value).startswith(f"{name}: {p.name}"), str(refused.value)


@pytest.mark.parametrize("name", SOLVERS)
def test_zero_and_none_are_answers_or_refusals_and_never_a_crash(name: str) -> None:
    for p in numbers(CATALOGUE[name]):
        for value in (0, None):
            try:
                result, refusal = call(name, **needed(name) | {p.name: value}), ""
            except MlsysError as refused:
                result, refusal = None, str(refused)
            if refusal:
                assert p.name in refusal
                continue
            if value is None:
                assert p.default is None
            else:
                assert p.unit is not None
                assert p.unit.low <= 0
            unknown = ("nameplate", "_p10", "_p90", "tokens_per_s")  # unless a fact or a measurement is on record
            assert all(v == v for k, v in parts(result).items() if not any(u in k for u in unknown)), name  # no NaN


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("bad", ["", "  ", "no such thing", 5, math.nan, True, ["H100"], None, "X; y", "X; y = 1"])
def test_every_thing_is_judged(name: str, bad: Any) -> None:
    for p in CATALOGUE[name].params:
        if p.thing and not (bad is None and p.default is None):
            with pytest.raises((UnknownName, OutOfDomain)) as refused:
                call(name, **needed(name) | {p.name: bad})
            assert str(refused.value)


@pytest.mark.parametrize("name", SOLVERS)
def test_every_choice_and_flag_is_judged(name: str) -> None:
    for p in CATALOGUE[name].params:
        if p.choices or p.hint is bool:
            for bad in ("maybe", 1, math.nan, ["none"], np.array(["none", "full"]), None):
                with pytest.raises(OutOfDomain, match=f"^{name}: {p.name} (must be|is empty)"):
                    call(name, **needed(name) | {p.name: bad})


@pytest.mark.parametrize("name", SOLVERS)
def test_arguments_are_complete_and_known(name: str) -> None:
    with pytest.raises(WrongArguments, match="bogus"):
        call(name, **needed(name), bogus=1)
    with pytest.raises(WrongArguments):
        CATALOGUE[name].call(*["x"] * 40)
    first = CATALOGUE[name].params[0].name
    with pytest.raises(WrongArguments, match=f"^{name} takes {first}"):
        call(name, **needed(name), bogus=1)
    with pytest.raises(WrongArguments, match=f"^{name} takes {first}"):  # the same argument twice
        CATALOGUE[name].call(THINGS[first], **{first: THINGS[first]})
    for p in CATALOGUE[name].params:
        if p.required:
            given = {
                q.name: THINGS.get(q.name, USUAL.get(q.name, (1,))[0]) for q in CATALOGUE[name].params if q.required
            }
            del given[p.name]
            with pytest.raises(WrongArguments, match=f"^{name}: {p.name} is missing"):
                CATALOGUE[name].call(**given)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"batch": 1.5}, "batch must be a whole number from 1"),
        ({"batch": 0}, "batch must be a whole number from 1"),
        ({"efficiency": 1.2}, "efficiency must be a number above 0 up to 1, got 1.2 .a fraction: 0.4, not 40"),
        ({"efficiency": 0}, "efficiency must be a number above 0"),
        ({"seq_len": 0, "training": True}, "seq_len must be a whole number from 1"),
        ({"zero_stage": 7, "training": True}, "zero_stage must be a whole number from 0 up to 3"),
        ({"dp": 0, "zero_stage": 3, "training": True}, "dp must be a whole number from 1"),
        ({"reserve": 1}, "reserve must be below 1"),
        ({"precision": "fp8"}, "Chip has no fp8 rate on record, only bf16, fp16"),
        ({"precision": "fp12"}, "precision has no 'fp12'; did you mean"),
    ],
)
def test_the_rooflines_edges(options: dict[str, Any], why: str) -> None:
    with pytest.raises((OutOfDomain, UnknownName, MissingFact), match=why):
        m.roofline(LM, CHIP, **options)


def test_a_precision_is_found_whatever_its_case_and_never_replaced() -> None:
    assert m.roofline("Llama3_8B", "H100", precision="FP8") == m.roofline("Llama3_8B", "H100", precision="fp8")
    assert m.roofline("Llama3_8B", "B200", precision="fp4").latency > 0
    fp16, fp32 = (m.roofline("Llama3_8B", "H100", precision=p).latency_compute for p in ("fp16", "fp32"))
    assert fp32 == pytest.approx(fp16 * 989 / 67)
    with pytest.raises(MissingFact, match="A100 has no fp8 rate on record"):
        m.roofline("Llama3_8B", "A100", precision="fp8")


# ---------------------------------------------------------------- monotone where physics says so

LADDERS = [
    ("roofline", "latency", "batch", (1, 8, 64, 512), 1, {}),
    ("roofline", "throughput", "batch", (1, 8, 64, 512), 1, {}),
    ("roofline", "latency", "seq_len", (1, 100, 10_000), 1, {}),
    ("roofline", "memory_footprint", "seq_len", (1, 100, 10_000), 1, {}),
    ("roofline", "latency", "efficiency", (0.1, 0.5, 1), -1, {"training": True}),
    ("roofline", "latency", "bandwidth_efficiency", (0.1, 0.5, 1), -1, {}),
    ("roofline", "memory_footprint", "zero_stage", (0, 1, 2, 3), -1, {"training": True, "dp": 8}),
    ("roofline", "shortfall", "reserve", (0.99, 0.995, 0.999), 1, {}),
    ("serving", "itl", "batch", (1, 8, 64, 512, 4096), 1, {"seq_len": 512}),
    ("serving", "ttft", "batch", (1, 8, 64), 1, {"seq_len": 512}),
    ("serving", "decode_throughput", "batch", (1, 8, 64, 512), 1, {"seq_len": 512}),
    ("serving", "itl", "seq_len", (16, 512, 8192), 1, {"batch": 64}),
    ("serving", "ttft", "seq_len", (4096, 8192, 32768), 1, {}),
    ("serving", "itl", "output_tokens", (0, 512, 8192), 1, {"seq_len": 512, "batch": 64}),
    ("serving", "ttft", "cached_prefix", (0, 2048, 4000), -1, {"seq_len": 4096}),
    ("serving", "itl", "tp", (1, 2, 4), -1, {"seq_len": 8192, "batch": 512}),
    ("compression", "compression_ratio", "bits", (2, 4, 8, 16), -1, {}),
    ("compression", "inference_speedup", "bits", (2, 4, 8, 16), -1, {}),
    ("compression", "compression_ratio", "sparsity", (0, 0.2, 0.5), 1, {"method": "pruning"}),
    ("sustainability", "carbon_footprint_kg", "mfu", (0, 0.1, 0.3), 1, {"days": DAY}),
    ("sustainability", "carbon_footprint_kg", "days", (DAY, 10 * DAY, 2000 * DAY), 1, {}),
    ("tco", "tco_usd", "days", (DAY, 10 * DAY, 2000 * DAY), 1, {}),
    ("tco", "capex_usd", "life_years", (1 * YEAR, 3 * YEAR, 5 * YEAR), -1, {}),
    ("tco", "tco_usd", "residual_share", (0, 0.2, 1), -1, {}),
    ("power", "it_kw", "utilisation", (0, 0.5, 1), 1, {}),
]


@pytest.mark.parametrize(("name", "metric", "argument", "values", "sign", "options"), LADDERS)
def test_monotone(
    name: str, metric: str, argument: str, values: tuple[float, ...], sign: int, options: dict[str, Any]
) -> None:
    answers = getattr(call(name, **options | {argument: np.array(values, dtype=float)}), metric)
    assert (sign * np.diff(answers) > 0).all(), answers


@pytest.mark.parametrize(
    ("old", "new"),
    [("1 TB/s", "2 TB/s"), ("fp16 = 100", "fp16 = 300"), ("link = 100 GB/s; host", "link = 300 GB/s; host")],
)
def test_a_better_chip_is_never_slower(old: str, new: str) -> None:
    better = CHIP.replace(old, new)
    assert better != CHIP
    gains = []
    for batch in (1, 64, 2048):
        slow, fast = (m.serving(LM, c, seq_len=512, batch=batch, tp=4) for c in (CHIP, better))
        assert fast.itl <= slow.itl
        assert fast.ttft <= slow.ttft
        gains.append(fast.itl + fast.ttft < slow.itl + slow.ttft)
    assert any(gains)
