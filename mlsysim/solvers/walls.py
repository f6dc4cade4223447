"""The 22 walls as one table: what each is, which function answers it and, for a model on a device, how near it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..catalogue import catalogue, solver
from ..errors import MissingFact, WrongArguments
from ..record import record
from ..tables import Table, Texts
from ..things import WALLS, Device, Model, Precision
from ..units import Count, Flag
from .analysis import Ceiling, sensitivity
from .device import usable
from .node import roofline
from .serving import serving
from .workload import ATTENTION, cache_bytes, is_lm, weight_bytes

CONTEXT = 2048.0
FORMATS = ("fp16", "bf16", "fp32", "int8")  # the first that the device computes in; the basis names it
GB, TERA = 1e9, 1e12

# what each of the other walls needs before it can be judged
NEEDS = {
    4: "a model that generates tokens",
    5: "a model that keeps a KV cache",
    6: "weights that stream from outside the device",
    7: "arrival rate, service time and servers",
    8: "data rates of the accelerators and of the storage",
    9: "sample size and the rate of the host processors",
    10: "a network",
    11: "a training budget",
    12: "a number of reasoning steps",
    13: "a narrower format to compare with",
    14: "a fleet",
    15: "a fleet and a run time",
    16: "jobs per day, their length and slots",
    17: "a fleet",
    18: "a fleet and a number of days",
    19: "the bandwidth of the storage",
    20: "training hours and a privacy budget",
    22: "a target time",
}
BINDS = {
    Ceiling.peak_flops: 1,
    Ceiling.memory_bandwidth: 2,
    Ceiling.memory_capacity: 2,
    Ceiling.host_link: 2,
    Ceiling.overhead: 3,
    Ceiling.efficiency: 3,
}


@record
class Walls(Table):
    """One row for each wall; `value` and `limit` are in `unit`, `headroom` is the share left up to the limit."""

    number: Count
    wall: Texts
    one_liner: Texts
    function: Texts
    value: Texts
    limit: Texts
    headroom: Texts
    unit: Texts
    binds: Flag
    verdict: Texts
    basis: Texts


@dataclass(frozen=True, slots=True)
class _Judged:
    value: float
    limit: float
    unit: str
    verdict: str = ""


@solver("cheat-sheet", group="Analysis")
def walls(model: Model | str | None = None, hardware: Device | str | None = None) -> Walls:
    """All 22 walls with the functions that answer them; with a model on a device, how near each is and which binds.

    Judged is one inference step (one token at 2048 tokens of context, or one unit) of a batch of one, in the first of
    fp16, bf16, fp32 and int8 that the device has.  A wall that needs more than a model and a device says what.
    """
    judged: dict[int, _Judged] = {}
    binding, basis = 0, ""
    if model is not None and hardware is not None:
        judged, binding, basis = _judge(Model.of(model), Device.of(hardware))
    elif model is not None or hardware is not None:
        raise WrongArguments("walls: give model and hardware together, or neither")
    rows = sorted(WALLS.values(), key=lambda w: float(w.number))
    numbers = [int(w.number) for w in rows]
    found = [judged.get(n) for n in numbers]
    asked = bool(judged)
    return Walls(
        number=np.array(numbers, dtype=np.float64),
        wall=_texts(w.title for w in rows),
        one_liner=_texts(w.one_liner for w in rows),
        function=_texts(_functions(n) for n in numbers),
        value=_texts(_number(j.value) if j else "" for j in found),
        limit=_texts(_number(j.limit) if j else "" for j in found),
        headroom=_texts(_headroom(j) if j else "" for j in found),
        unit=_texts(j.unit if j else "" for j in found),
        binds=np.array([n == binding for n in numbers]),
        verdict=_texts(_verdict(n, judged.get(n), binding) if asked else "" for n in numbers),
        basis=_texts(basis if j else "" for j in found),
    )


def _functions(wall: int) -> str:
    return ", ".join(e.excel for e in catalogue().values() if e.wall == wall)


def _texts(items: Any) -> Texts:
    cells = list(items)
    out = np.empty(len(cells), dtype=object)
    out[:] = cells
    return out


def _number(x: float) -> Any:
    return float(x) if np.isfinite(x) else ""


def _headroom(j: _Judged) -> Any:
    return _number(1 - j.value / j.limit) if j.limit > 0 else ""


def _verdict(number: int, j: _Judged | None, binding: int) -> str:
    if j is None:
        return f"needs {NEEDS[number]}"
    if not np.isfinite(j.limit):
        return j.verdict
    if not np.isfinite(j.value):
        return "unknown: what does not fit moves over the host link, whose rate is not on record"
    over = j.value > j.limit
    word = "binds" if number == binding else "exceeded" if over else "has room"
    return f"{word}: {j.verdict}" if j.verdict else word


def _judge(model: Model, hardware: Device) -> tuple[dict[int, _Judged], int, str]:
    """The walls that a model and a device decide, the one that binds, and on what basis."""
    name = next((f for f in FORMATS if getattr(hardware, f, None) is not None), None)
    if name is None:
        raise MissingFact(f"walls: {hardware.key} has none of {', '.join(FORMATS)} on record; use MLS_ROOFLINE")
    fmt = Precision.of(name)
    run = roofline(model, hardware, precision=fmt, seq_len=CONTEXT)
    felt = sensitivity(model, hardware, precision=fmt, seq_len=CONTEXT)
    ceiling = Ceiling(int(felt.binding))
    peak, room = hardware.rate(fmt.compute), float(usable(hardware, None))
    work = float(run.hfu * run.latency) * peak
    traffic = work / float(run.arithmetic_intensity)
    need = float(run.memory_footprint)
    fits = f"{need / GB:.4g} of {room / GB:.4g} GB usable memory"
    out = {1: _Judged(work / float(run.latency) / TERA, peak / TERA, "TFLOP/s")}
    if run.feasible:
        moved = traffic / float(run.latency)
        on_chip = hardware.sram is not None and hardware.sram_bandwidth is not None and need <= hardware.sram
        rated = float(hardware.sram_bandwidth if on_chip else hardware.bandwidth)  # type: ignore[arg-type]
        out[2] = _Judged(moved / GB, rated / GB, "GB/s", f"{'bandwidth; ' if BINDS[ceiling] == 2 else ''}{fits}")
    else:
        out[2] = _Judged(need / GB, room / GB, "GB", f"capacity; {float(run.shortfall) / GB:.4g} GB are missing")
    wait = float(run.latency_overhead / run.latency)
    timed = np.isfinite(wait)
    launches = f"launches take {wait:.0%} of the step" if timed else ""
    out[3] = _Judged(float(run.efficiency_used) if timed else np.nan, 1.0, "share of peak", launches)
    if is_lm(model) and model.family in ATTENTION and (hardware.devices or 1) == 1:
        served = serving(model, hardware, seq_len=CONTEXT, precision=fmt)
        if served.feasible:
            rate = float(served.decode_throughput)
            out[4] = _Judged(rate, float(hardware.bandwidth) / traffic, "tokens/s", f"decode; {served.bottleneck}")
        else:
            out[4] = _Judged(float(served.total_memory_required) / GB, room / GB, "GB", "does not fit one device")
        cache = float(cache_bytes(model, CONTEXT, 1.0, float(fmt.kv_bits) / 8))
        left = room - weight_bytes(model, fmt)
        many = f"{max(0.0, np.floor(left / cache)):g} sequences of {CONTEXT:g} tokens" if cache else ""
        out[5] = _Judged(cache / GB, max(0.0, left) / GB, "GB", many)
    strength = abs(float(getattr(felt, ceiling.name)))
    out[21] = _Judged(strength, np.nan, "% per %", f"{ceiling} binds")
    return out, BINDS[ceiling], f"batch 1, {fmt.key}" + (f", {CONTEXT:g} tokens" if is_lm(model) else "")
