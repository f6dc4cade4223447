"""Every solver at the edges: arrays agree with scalars, physics is monotone, what is no input is refused by name."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from edge_cases import CASES, CHIP, DAY, LM, OWN, SOLVERS, THINGS, USUAL, YEAR

import mlsysim as m
from mlsysim import CATALOGUE
from mlsysim.catalogue import Entry, Param
from mlsysim.errors import MissingFact, MlsysError, OutOfDomain, UnknownName, WrongArguments
from mlsysim.record import Result
from mlsysim.tables import Table
from mlsysim.units import Code


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
    if name in ("throughput", "token_price"):  # one bounds the other when it is blank
        legal.remove("max_batch" if "batch" in options else "batch")
    if name == "training_run":
        legal.remove("usd_per_device_hour")  # excludes usd_per_kwh
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
@pytest.mark.parametrize(
    "bad", ["", "  ", "no such thing", 5, math.nan, True, [5], ["no such thing"], None, "X; y", "X; y = 1"]
)
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
            for bad in ("maybe", 1, math.nan, ["maybe"], np.array(["maybe", "full"]), [1], None):
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
    thing = THINGS.get(first, 1e6)
    with pytest.raises(WrongArguments, match=f"^{name} takes {first}"):  # the same argument twice
        CATALOGUE[name].call(thing, **{first: thing})
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
    upper, lower = (m.roofline("Llama3_8B", "H100", precision=p) for p in ("FP8", "fp8"))
    agree(upper, [lower], ())
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
