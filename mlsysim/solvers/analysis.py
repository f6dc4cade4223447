"""Walls 21 and 22: what a time is sensitive to, and the device that a time asks for.

elasticity = ln(T_i / T) / ln(1 + p), each ceiling raised alone by the share p
synthesis  : t' = t - launches;  bandwidth = traffic / (t' x share reached),  peak = work / (t' x efficiency)
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np

from ..catalogue import solver
from ..record import Result, record
from ..things import Device, Model, Precision
from ..units import (
    ByteRate,
    Bytes,
    Code,
    Count,
    Elasticity,
    Flag,
    FlopRate,
    Flops,
    Fraction,
    Intensity,
    Latency,
    Option,
    Real,
    Share,
    unit_of,
)
from .device import Stack, compute_rate
from .levers import replaced
from .node import PerformanceProfile, roofline
from .workload import default, refuse_unless


class Ceiling(Code):
    """What a step on one device runs into; of equals the first is named."""

    peak_flops = 0
    memory_bandwidth = 1
    memory_capacity = 2
    host_link = 3
    overhead = 4
    efficiency = 5


BindingCeiling = Annotated[Real, Ceiling]


@record
class SensitivityResult(Result):
    """Elasticities of the time of one inference step; negative where more is faster."""

    memory: ClassVar[str] = "memory_footprint"
    remedy: ClassVar[str] = "a device with more memory, a narrower precision, or tp in MLS_SERVING"
    binding: BindingCeiling
    peak_flops: Elasticity
    memory_bandwidth: Elasticity
    memory_capacity: Elasticity
    host_link: Elasticity
    overhead: Elasticity
    efficiency: Elasticity
    latency: Latency
    memory_footprint: Bytes
    feasible: Flag
    shortfall: Bytes


@solver("williams2009", group="Analysis", wall=21)
def sensitivity(
    model: Model | str,
    hardware: Device | str,
    *,
    batch: Count = 1,
    precision: Precision | str = "fp16",
    perturbation: Fraction = 0.1,
    seq_len: Option[Count] = 2048,
    stack: Option[Stack] = "tuned",
    efficiency: Option[Fraction | None] = None,
) -> SensitivityResult:
    """Which ceiling of a device binds one inference step, by elasticities of its time.

    Each ceiling is raised alone by `perturbation`; launches are lengthened.  Where the model does not fit, memory
    capacity binds whatever the elasticities say, and `shortfall` has the missing bytes.  Networks and storage do
    not occur on one device: in Python, `elasticities` takes any function.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(precision)
    steps = np.unique(perturbation)
    work: Any = {"batch": batch, "precision": fmt, "seq_len": seq_len, "stack": stack, "efficiency": efficiency}
    out = [_elasticities(model, hardware, fmt, work, float(p)) for p in steps]  # one pass for each distinct step
    base = roofline(model, hardware, **work)
    chosen = np.searchsorted(steps, perturbation)
    found = {c: np.choose(chosen, [o[c] for o in out]) for c in Ceiling} if len(out) > 1 else out[0]
    strength = np.stack(np.broadcast_arrays(*(np.abs(np.nan_to_num(found[c])) for c in Ceiling)))
    binding = np.where(base.feasible, np.argmax(np.round(strength, 9), axis=0), Ceiling.memory_capacity)
    size = 0.0 * strength[0]
    return SensitivityResult(
        binding=binding,
        **{c.name: found[c] + size for c in Ceiling},
        latency=base.latency + size,
        memory_footprint=base.memory_footprint + size,
        feasible=np.asarray(base.feasible) & (size == 0),
        shortfall=base.shortfall + size,
    )


def _elasticities(model: Model, hardware: Device, fmt: Precision, work: Any, p: float) -> dict[Ceiling, Any]:
    """Elasticities at one step; unknown facts stay unknown, so that a device never gains what it has not."""
    rate = "fp16_accumulate" if compute_rate(hardware, fmt, work["stack"]) == hardware.fp16_accumulate else fmt.compute
    base = roofline(model, hardware, **work)
    raised = {
        Ceiling.peak_flops: (rate,),
        Ceiling.memory_bandwidth: ("bandwidth", "sram_bandwidth"),
        Ceiling.memory_capacity: ("memory", "usable", "sram"),
        Ceiling.host_link: ("host_link",),
    }
    out = {c: _change(base, roofline(model, _scaled(hardware, names, 1 + p), **work), 1 + p)
           for c, names in raised.items()}  # fmt: skip
    longer = (base.latency + p * base.latency_overhead) / base.latency
    out[Ceiling.overhead] = np.log(longer) / math.log(1 + p)
    used = base.efficiency_used
    factor = np.where(np.asarray(used) * (1 + p) <= 1, 1 + p, 1 / (1 + p))
    start, after = (roofline(model, hardware, **{**work, "efficiency": e}) for e in (used, used * factor))
    out[Ceiling.efficiency] = _change(start, after, factor)
    return out


def _change(base: PerformanceProfile, after: PerformanceProfile, factor: Any) -> Any:
    return np.log(after.latency / base.latency) / np.log(factor)


def _scaled(hardware: Device, names: tuple[str, ...], factor: float) -> Device:
    for name in names:
        if getattr(hardware, name) is not None:
            hardware = replaced(hardware, name, getattr(hardware, name) * factor)  # type: ignore[assignment]
    return hardware


# ------------------------------------------------------------------ wall 22: synthesis

_CRAWL = 1e6  # FLOP/s and B/s of a device so slow that the pace of the software hides none of its times
_DREAM = 1e18  # and of one so fast that nothing else is left
_ROOM = "memory = 1e8 TB"
_CLOSE = 1e-9
_FASTEST, _WIDEST = (u.high for u in map(unit_of, (FlopRate, ByteRate)) if u is not None)


@record
class SynthesisResult(Result):
    """The least device that reaches a target time, and what asks for it."""

    bandwidth: ByteRate
    flops: FlopRate
    memory_capacity: Bytes  # as a data sheet would print it, reserve included
    ridge: Intensity
    traffic: Bytes
    work: Flops
    footprint: Bytes
    latency_overhead: Latency
    least_latency: Latency  # of any device: launches and the pace of the software
    efficiency_used: Fraction
    bandwidth_efficiency_used: Share
    device: str


@solver("williams2009", group="Analysis", wall=22)
def synthesis(
    model: Model | str,
    *,
    latency: Latency,
    batch: Count = 1,
    precision: Precision | str = "fp16",
    efficiency: Fraction | None = None,
    hardware: Option[Device | str | None] = None,
    seq_len: Option[Count] = 2048,
    stack: Option[Stack] = "tuned",
    bandwidth_efficiency: Option[Fraction | None] = None,
    reserve: Option[Share | None] = None,
) -> SynthesisResult:
    """Peak rate, bandwidth and memory with which one inference step takes a given time: the roofline inverted.

    Launches come off the target first; traffic counts weights touched, the KV cache and activations.  Compute and
    memory take equally long, so that nothing is bought in vain; `device` is a spec text that MLS_ROOFLINE
    answers with the target.  Efficiency, memory class and launch time are those of `hardware`, else of a generic
    accelerator with HBM.
    """
    model, fmt = Model.of(model), Precision.of(precision)
    like = _like(None if hardware is None else Device.of(hardware))
    asked: Any = {"batch": batch, "precision": fmt, "seq_len": seq_len, "stack": stack, "efficiency": efficiency,
                  "bandwidth_efficiency": bandwidth_efficiency, "reserve": reserve}  # fmt: skip
    slow, fast = (
        roofline(model, Device.of(f"Probe; {_ROOM}; {_rates(r, r, fmt.compute)}{like}"), **asked)
        for r in (_CRAWL, _DREAM)
    )
    launch = slow.latency_overhead
    least = np.where(fast.latency_overhead > launch * (1 + _CLOSE), fast.latency, launch)
    refuse_unless(
        latency > least * (1 + _CLOSE),
        f"synthesis: latency must be above {float(np.max(least)) * 1e3:.4g} ms, the launches and the pace of the "
        f"software on any device; got {float(np.min(latency)) * 1e3:.4g} ms",
    )
    busy = latency - launch
    peak, bandwidth = _CRAWL * slow.latency_compute / busy, _CRAWL * slow.latency_memory / busy
    refuse_unless(
        np.logical_and(peak <= _FASTEST, bandwidth <= _WIDEST),
        f"synthesis: latency is so near the {float(np.max(least)) * 1e3:.4g} ms of launches that no device can do it",
    )
    work = _CRAWL * slow.latency_compute * slow.efficiency_used
    traffic = work / slow.arithmetic_intensity
    memory = slow.memory_footprint / (1 - (default("reserve") if reserve is None else reserve))
    return SynthesisResult(
        bandwidth=bandwidth,
        flops=peak,
        memory_capacity=memory + 0.0 * busy,
        ridge=peak / bandwidth,
        traffic=traffic + 0.0 * busy,
        work=work + 0.0 * busy,
        footprint=slow.memory_footprint + 0.0 * busy,
        latency_overhead=launch + 0.0 * busy,
        least_latency=least + 0.0 * busy,
        efficiency_used=slow.efficiency_used + 0.0 * busy,
        bandwidth_efficiency_used=traffic / (_CRAWL * slow.latency_memory) + 0.0 * busy,
        device=_specs(memory, bandwidth, peak, fmt.compute, like),
    )


def _like(hardware: Device | None) -> str:
    """What a device of the future is assumed to share with one of today, as spec text."""
    if hardware is None:
        return "; memory_class = hbm"
    words = {n: getattr(hardware, n) for n in ("group", "generation", "memory_class")}
    words["dispatch"] = None if hardware.dispatch is None else f"{float(hardware.dispatch)!r} s"
    return "".join(f"; {n} = {w}" for n, w in words.items() if w)


def _rates(bandwidth: float, peak: float, datapath: str) -> str:
    return f"bandwidth = {bandwidth / 1e9:.12g} GB/s; {datapath} = {peak / 1e12:.12g} TFLOP/s"


def _specs(memory: Real, bandwidth: Real, peak: Real, datapath: str, like: str) -> Any:
    """One spec text for each element; memory is rounded up, so that the model fits."""
    parts = np.broadcast_arrays(np.asarray(memory) * (1 + _CLOSE), bandwidth, peak)
    texts = [f"Synthesis; memory = {m / 1e9:.12g} GB; {_rates(b, p, datapath)}{like}"
             for m, b, p in zip(*(a.ravel() for a in parts), strict=True)]  # fmt: skip
    return texts[0] if parts[0].ndim == 0 else np.array(texts, dtype=object).reshape(parts[0].shape)
