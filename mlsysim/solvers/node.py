"""Walls 1 and 2: one device running one model, one step at a time."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from ..catalogue import solver
from ..errors import OutOfDomain
from ..record import Result, record
from ..things import Device, Model, Precision
from ..units import (
    Binding,
    Bottleneck,
    Bytes,
    Count,
    Energy,
    Flag,
    Fraction,
    Intensity,
    Latency,
    Option,
    Rate,
    Real,
    Share,
    Validity,
    ZeroStage,
    unit_of,
)
from .bands import Spread, repeated, spread
from .device import Stack, calibrated, ceilings, memory_time, usable
from .trainer import FUSED, Work, regime_of, step_compute, training_flops
from .workload import (
    activation_bytes,
    activation_traffic,
    cache_bytes,
    default,
    forward_flops,
    is_lm,
    lora_params,
    touched_bytes,
    training_state,
    weight_bytes,
)

Recompute = Literal["none", "selective", "full"]


@record
class PerformanceProfile(Result):
    """One step of one device: inference of one unit per sample, or one training step."""

    memory: ClassVar[str] = "memory_footprint"
    remedy: ClassVar[str] = "lower batch or seq_len, a narrower precision, or a device with more memory"
    needs: ClassVar[dict[str, str]] = {"energy": "the device has no tdp on record; give it in a spec text"}
    latency: Latency
    throughput: Rate  # units of work (tokens, images, ...) per second; in training: samples
    bottleneck: Binding
    mfu: Share
    hfu: Share
    energy: Energy
    memory_footprint: Bytes
    arithmetic_intensity: Intensity
    latency_compute: Latency
    latency_memory: Latency
    latency_overhead: Latency
    efficiency_used: Fraction
    feasible: Flag
    shortfall: Bytes
    latency_p10: Latency
    latency_p90: Latency
    latency_validity: Validity


@solver("williams2009", "chowdhery2022", "korthikanti2023", "rajbhandari2020", group="Node", wall=1)
def roofline(
    model: Model | str,
    hardware: Device | str,
    *,
    batch: Count = 1,
    precision: Precision | str = "fp16",
    efficiency: Fraction | None = None,
    training: bool = False,
    seq_len: Option[Count] = 2048,
    zero_stage: Option[ZeroStage] = 0,
    dp: Option[Count] = 1,
    recompute: Option[Recompute] = "selective",
    lora: Option[Count | None] = None,
    stack: Option[Stack] = "tuned",
    bandwidth_efficiency: Option[Fraction | None] = None,
    reserve: Option[Share | None] = None,
) -> PerformanceProfile:
    """Time, memory and bottleneck of one model on one device.

    Inference of a decoder generates one token per sequence at context `seq_len`; other models process
    one unit per sample.  Traffic: weights touched, the KV cache, and activations of fused kernels.
    Bytes that do not fit move at host-link speed.  Energy is TDP x the share of time in which
    compute or memory is busy (idle share otherwise): an upper estimate for memory-bound work.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(precision)
    if not training and not (np.all(zero_stage == 0) and np.all(dp == 1) and recompute == "selective" and lora is None):
        raise OutOfDomain(
            "roofline: zero_stage, dp, recompute and lora are of training; give training = TRUE with them"
        )
    regime = regime_of(model, hardware, training)
    rewrites = calibrated(hardware, fmt, regime, stack, "traffic", FUSED) / FUSED
    if training:
        flops = _training_flops(model, batch, seq_len, recompute, lora)
        traffic, footprint = _training_bytes(model, fmt, batch, seq_len, zero_stage, dp, recompute, lora, rewrites)
    else:
        flops = _inference_flops(model, batch, seq_len)
        traffic, footprint = _inference_bytes(model, fmt, batch, seq_len, rewrites)
    model_flops, executed = flops.useful, flops.executed
    top = ceilings(hardware, fmt, regime, efficiency, bandwidth_efficiency, 1.0, footprint, stack)
    room = usable(hardware, reserve)
    shortfall = np.maximum(0.0, footprint - room)
    rows = batch * _length(model, seq_len) * float(model.layers or 1)
    compute = step_compute(model, hardware, fmt, flops, 1.0, rows, 1.0, top, efficiency if training else 1.0)
    memory = memory_time(traffic, shortfall, top.bandwidth, hardware)
    passes = 3.0 if training else float(model.steps or 1)
    launch = float(hardware.dispatch) if hardware.dispatch is not None else default("dispatch", unit_of(Latency))
    busy = np.maximum(compute, memory)
    overhead: Real = launch + passes * float(model.layers or 1) * top.layer_overhead
    overhead = np.maximum(overhead, top.floor - busy)  # the host's program sets the pace of short steps
    latency = busy + overhead
    band = _spread(model, hardware, training, stack, efficiency is None and bandwidth_efficiency is None)
    idle = default("idle_share")
    tdp = np.nan if hardware.tdp is None else float(hardware.tdp)
    return PerformanceProfile(
        latency=latency,
        throughput=batch / latency,
        bottleneck=np.where(overhead > busy, Bottleneck.overhead, _binding(compute, memory)),
        mfu=model_flops / (latency * top.peak),
        hfu=executed / (latency * top.peak),
        energy=tdp * (idle * latency + (1 - idle) * busy),
        memory_footprint=footprint,
        arithmetic_intensity=executed / traffic,
        latency_compute=compute,
        latency_memory=memory,
        latency_overhead=overhead + 0.0 * latency,
        efficiency_used=top.efficiency + 0.0 * footprint,  # known even where the time is not
        feasible=footprint <= room,
        shortfall=shortfall,
        latency_p10=latency * band.low,
        latency_p90=latency * band.high,
        latency_validity=repeated(band.status, batch),
    )


def _spread(model: Model, hardware: Device, training: bool, stack: str, measured: bool) -> Spread:
    """Microcontrollers, and image models in a framework, were measured; nothing judges the rest."""
    if hardware.group == "Tiny" and not training:
        return spread("tiny", hardware, measured and model.family == "cnn")
    return spread("image" if model.family == "cnn" else "one-device", hardware, measured and stack == "framework")


def _binding(compute: Real, memory: Real) -> Real:
    return np.where(memory > compute, Bottleneck.memory, Bottleneck.compute)


def _inference_flops(model: Model, batch: Real, seq_len: Real) -> Work:
    """One step: a token of every sequence, or a unit of every sample."""
    flops = forward_flops(model, 1.0, seq_len) * batch
    return Work(flops, flops, flops, 0.0 * flops, 1.0)


def _inference_bytes(model: Model, fmt: Precision, batch: Real, seq_len: Real, rewrites: float) -> tuple[Real, Real]:
    """Traffic and footprint of one inference step."""
    width = float(fmt.kv_bits) / 8
    cache = cache_bytes(model, seq_len, batch, width)
    tokens = batch * (1.0 if is_lm(model) else float(model.sequence or 1))
    working = activation_traffic(model, tokens, batch, width)
    traffic = (touched_bytes(model, fmt, tokens) + working * rewrites) * float(model.steps or 1) + cache
    layer = 0.0 * working if is_lm(model) else working / float(model.layers or 1)  # one average layer is at work
    return traffic, weight_bytes(model, fmt) + cache + layer


def _training_flops(model: Model, batch: Real, seq_len: Real, recompute: str, lora: Real | None) -> Work:
    """One training step of a batch; frozen weights have no gradient of their own."""
    one = training_flops(model, _length(model, seq_len), recompute)
    frozen = 0.0 if lora is None else one.matrices / one.passes
    useful, matrices = (one.useful - frozen) * batch, (one.matrices - frozen) * batch
    return Work(one.forward * batch, useful, matrices, one.attention * batch, one.passes)


def _training_bytes(
    model: Model,
    fmt: Precision,
    batch: Real,
    seq_len: Real,
    zero: Real,
    dp: Real,
    recompute: str,
    lora: Real | None,
    rewrites: float,
) -> tuple[Real, Real]:
    """Traffic and footprint of one training step: weights, gradients, optimizer, activations kept."""
    weights, gradients, optimizer = training_state(fmt)
    trained = float(model.params) if lora is None else lora_params(model, lora)
    length = _length(model, seq_len)
    state = (
        float(model.params) * weights / np.where(zero >= 3, dp, 1.0)
        + trained * gradients / np.where(zero >= 2, dp, 1.0)
        + trained * optimizer / np.where(zero >= 1, dp, 1.0)
    )
    kept = activation_bytes(model, batch * length, length, recompute, 1.0, float(model.layers or 1), weights)
    update = 2 * trained * optimizer / np.where(zero >= 1, dp, 1.0) + 2 * trained * gradients
    moved = activation_traffic(model, batch * length, batch, weights) * rewrites  # as wide as the weights
    return 3 * float(model.params) * weights + update + 3 * moved, state + kept


def _length(model: Model, seq_len: Real) -> Real:
    return seq_len if is_lm(model) else float(model.sequence or 1)
