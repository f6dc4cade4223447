"""Wall 12: what a chain of reasoning costs at inference."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..catalogue import solver
from ..record import Result, record
from ..things import Device, Model, Precision
from ..units import Bytes, Count, Duration, Energy, Flag, Fraction, Latency, Option, Real, Share
from .device import Stack
from .serving import serving
from .workload import default


@record
class ReasoningResult(Result):
    """One query (or a batch of equal ones) with a chain of thought."""

    memory: ClassVar[str] = "total_memory_required"
    remedy: ClassVar[str] = "raise tp, lower steps, tokens_per_step or seq_len, or take a narrower precision"
    time: Duration
    ttft: Latency
    itl: Latency  # mean over the chain
    tokens_generated: Count
    time_per_step: Duration
    energy: Energy  # of all devices, per query
    average_power_share: Share  # of TDP
    total_memory_required: Bytes
    feasible: Flag
    shortfall: Bytes


@solver("wei2022", "snell2024", "ma2026", group="Algorithm", wall=12)
def reasoning(
    model: Model | str,
    hardware: Device | str,
    *,
    steps: Count,
    tokens_per_step: Count = 50,
    seq_len: Count = 2048,
    precision: Precision | str = "fp16",
    batch: Option[Count] = 1,
    tp: Option[Count] = 1,
    kv_precision: Option[Precision | str | None] = None,
    stack: Option[Stack] = "tuned",
    efficiency: Option[Fraction | None] = None,
    bandwidth_efficiency: Option[Fraction | None] = None,
    reserve: Option[Share | None] = None,
) -> ReasoningResult:
    """Time, tokens and energy of a reasoning chain: prefill, then every token at its own, growing KV cache.

    time = ttft + n x itl, with the itl of `serving` at the mean length: the sum over tokens, as the traffic of
    a token is linear in its position (sliding windows bend it; there the mean length is an approximation).
    Energy is TDP times a sourced share for each phase: decoding waits for memory and draws far less than prefill.
    Host, network and cooling are left out.  `batch` queries share the device; energy is per query.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(precision)
    tokens = steps * tokens_per_step
    served = serving(
        model,
        hardware,
        seq_len=seq_len,
        batch=batch,
        precision=fmt,
        efficiency=efficiency,
        tp=tp,
        output_tokens=tokens,
        kv_precision=kv_precision,
        stack=stack,
        bandwidth_efficiency=bandwidth_efficiency,
        reserve=reserve,
    )
    zero: Real = 0.0 * (tokens + served.itl)
    chain = tokens * served.itl
    time = served.ttft + chain
    busy = served.ttft * default("power_prefill") + chain * default("power_decode")
    tdp = np.nan if hardware.tdp is None else float(hardware.tdp)  # unknown power is refused where it is asked for
    return ReasoningResult(
        time=time,
        ttft=served.ttft + zero,
        itl=served.itl + zero,
        tokens_generated=tokens + zero,
        time_per_step=chain / steps,
        energy=tdp * tp * busy / batch,
        average_power_share=busy / time,
        total_memory_required=served.total_memory_required + zero,
        feasible=served.feasible & (time > 0),
        shortfall=served.shortfall + zero,
    )
