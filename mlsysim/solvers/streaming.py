"""Wall 6: weights that live outside the device and are streamed through it layer by layer."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from ..catalogue import solver
from ..errors import MissingFact, OutOfDomain
from ..record import Result, record
from ..things import Device, Model, Precision
from ..units import (
    Binding,
    Bottleneck,
    ByteRate,
    Bytes,
    Count,
    Flag,
    Fraction,
    Latency,
    Option,
    Rate,
    Ratio,
    Share,
    unit_of,
)
from .device import ceilings, usable
from .workload import activation_traffic, cache_bytes, default, forward_flops, is_lm, weight_bytes

Phase = Literal["decode", "prefill"]


@record
class StreamingResult(Result):
    """One pass over all layers, each computed while the next one's weights arrive."""

    memory: ClassVar[str] = "memory_required"
    remedy: ClassVar[str] = "lower batch or seq_len, or a narrower kv_precision"
    throughput: Rate  # tokens per second, generated or read
    layer_compute_time: Latency
    layer_injection_time: Latency
    bottleneck: Binding
    latency: Latency
    optimal_batch: Count
    memory_utilization: Ratio
    memory_required: Bytes
    injection_used: ByteRate
    feasible: Flag
    shortfall: Bytes


@solver("lie2022", "williams2009", group="Node", wall=6)
def streaming(
    model: Model | str,
    hardware: Device | str,
    *,
    batch: Count = 1,
    seq_len: Count = 2048,
    precision: Precision | str = "fp16",
    phase: Phase = "decode",
    injection: Option[ByteRate | None] = None,
    kv_precision: Option[Precision | str | None] = None,
    efficiency: Option[Fraction | None] = None,
    bandwidth_efficiency: Option[Fraction | None] = None,
    reserve: Option[Share | None] = None,
) -> StreamingResult:
    """Throughput of a device through which the weights stream layer by layer (wafer-scale, or off-loading to a host).

    A layer takes the longer of computing it and injecting its weights, all experts included.  Computing is the longer
    of causal arithmetic and the traffic of KV cache and activations, plus one dispatch.  Memory holds the KV cache and
    the activations of a layer, never the weights.  `optimal_batch` is the largest that fits and hides under injection.
    Filling the pipe with the first layer and the embedding's look-up are left out.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(precision)
    if not is_lm(model):
        raise OutOfDomain(f"streaming: {model.key} generates no tokens; use roofline for one {model.unit}")
    if injection is None and hardware.host_link is None:
        raise MissingFact(
            f"streaming: {hardware.key} has no host_link on record, so its injection rate is unknown; "
            "give options 'injection = <number> GB/s'"
        )
    rate = float(hardware.need("host_link")) if injection is None else injection
    width = float((fmt if kv_precision is None else Precision.of(kv_precision)).kv_bits) / 8
    layers = float(model.need("layers"))
    new = 1.0 if phase == "decode" else seq_len
    top = ceilings(hardware, fmt, phase, efficiency, bandwidth_efficiency)
    launch = float(hardware.dispatch) if hardware.dispatch is not None else default("dispatch", unit_of(Latency))

    arithmetic = forward_flops(model, new, seq_len) / layers / top.compute  # of one sequence and layer
    cache = cache_bytes(model, seq_len, 1.0, width)
    working = activation_traffic(model, new, 1.0, float(fmt.kv_bits) / 8) / layers
    moving = (cache / layers + working) / top.bandwidth
    each = np.maximum(arithmetic, moving)
    compute = batch * each + launch
    inject = weight_bytes(model, fmt) / layers / rate
    time = layers * np.maximum(compute, inject)

    room = usable(hardware, reserve)
    needed = batch * (cache + working)
    feasible = needed + 0.0 * time <= room
    busy = np.where(moving > arithmetic, Bottleneck.memory, Bottleneck.compute)
    return StreamingResult(
        throughput=batch * new / time,
        layer_compute_time=compute + 0.0 * time,
        layer_injection_time=inject + 0.0 * time,
        bottleneck=np.where(inject > compute, Bottleneck.network, busy),
        latency=time,
        optimal_batch=np.maximum(1.0, np.floor(np.minimum((inject - launch) / each, room / (cache + working))))
        + 0.0 * time,
        memory_utilization=needed / room + 0.0 * time,
        memory_required=needed + 0.0 * time,
        injection_used=rate + 0.0 * time,
        feasible=feasible,
        shortfall=np.maximum(0.0, needed - room) + 0.0 * time,
    )
