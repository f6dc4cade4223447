"""Walls 1, 2 and 4: one device (or one tensor-parallel group) running one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ..catalogue import Result, solver
from ..equations.network import allreduce
from ..equations.roofline import roofline_time
from ..errors import MissingFact, OutOfDomain
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
    Length,
    LinkLatency,
    Option,
    Rate,
    Real,
    Share,
    ZeroStage,
    unit_of,
)
from .device import Ceilings, ceilings, memory_time, one_chip, step_overhead, usable
from .workload import (
    activation_bytes,
    activation_traffic,
    attention_flops,
    cache_bytes,
    default,
    forward_flops,
    is_lm,
    lora_params,
    refuse_unless,
    touched_bytes,
    training_state,
    weight_bytes,
)

Recompute = Literal["none", "selective", "full"]


@dataclass(frozen=True)
class PerformanceProfile(Result):
    """One step of one device: inference of one unit per sample, or one training step."""

    memory: ClassVar[str] = "memory_footprint"
    remedy: ClassVar[str] = "lower batch or seq_len, a narrower precision, or a device with more memory"
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
    if training:
        work = _training_work(model, fmt, batch, seq_len, zero_stage, dp, recompute, lora)
    else:
        work = _inference_work(model, fmt, batch, seq_len)
    model_flops, executed, traffic, footprint = work
    regime = "training" if training else "decode" if is_lm(model) else "prefill"
    top = ceilings(hardware, fmt, regime, efficiency, bandwidth_efficiency, 1.0, footprint)
    room = usable(hardware, reserve)
    shortfall = np.maximum(0.0, footprint - room)
    compute = executed / top.compute
    memory = memory_time(traffic, shortfall, top.bandwidth, hardware)
    passes = 3.0 if training else float(model.steps or 1)
    launch = float(hardware.dispatch) if hardware.dispatch is not None else default("dispatch", unit_of(Latency))
    overhead = launch + passes * step_overhead(float(model.layers or 1), "kernel_overhead")
    busy = np.maximum(compute, memory)
    latency = busy + overhead
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
        efficiency_used=top.efficiency + 0.0 * latency,
        feasible=footprint <= room,
        shortfall=shortfall,
    )


def _binding(compute: Real, memory: Real) -> Real:
    return np.where(memory > compute, Bottleneck.memory, Bottleneck.compute)


def _inference_work(model: Model, fmt: Precision, batch: Real, seq_len: Real) -> tuple[Real, Real, Real, Real]:
    """Model FLOPs, executed FLOPs, traffic and footprint of one inference step."""
    cache = cache_bytes(model, seq_len, batch, float(fmt.kv_bits) / 8)
    tokens = batch * (1.0 if is_lm(model) else float(model.sequence or 1))
    flops = forward_flops(model, 1.0, seq_len) * batch
    working = activation_traffic(model, tokens, batch, float(fmt.kv_bits) / 8)
    traffic = touched_bytes(model, fmt, tokens) * float(model.steps or 1) + cache + working * float(model.steps or 1)
    layer = 0.0 * working if is_lm(model) else working / float(model.layers or 1)  # one average layer is at work
    return flops, flops, traffic, weight_bytes(model, fmt) + cache + layer


def _training_work(
    model: Model, fmt: Precision, batch: Real, seq_len: Real, zero: Real, dp: Real, recompute: str, lora: Real | None
) -> tuple[Real, Real, Real, Real]:
    """The same for one training step: forward, backward (twice the forward), recomputation, optimizer."""
    weights, gradients, optimizer = training_state(fmt)
    trained = float(model.params) if lora is None else lora_params(model, lora)
    length = seq_len if is_lm(model) else float(model.sequence or 1)
    forward = forward_flops(model, length, length) / float(model.steps or 1) * batch  # one denoising step a sample
    model_flops = (3 if lora is None else 2) * forward  # frozen weights have no gradient of their own
    again = {"none": 0.0 * forward, "selective": attention_flops(model, length, length) * batch, "full": forward}
    executed = model_flops + again[recompute]
    state = (
        float(model.params) * weights / np.where(zero >= 3, dp, 1.0)
        + trained * gradients / np.where(zero >= 2, dp, 1.0)
        + trained * optimizer / np.where(zero >= 1, dp, 1.0)
    )
    kept = activation_bytes(model, batch * length, length, recompute, 1.0, float(model.layers or 1), weights)
    update = 2 * trained * optimizer / np.where(zero >= 1, dp, 1.0) + 2 * trained * gradients
    moved = activation_traffic(model, batch * length, batch, weights)  # activations are as wide as the weights
    traffic = 3 * float(model.params) * weights + update + 3 * moved
    return model_flops, executed, traffic, state + kept


# ------------------------------------------------------------------ wall 4: serving


@dataclass(frozen=True)
class ServingResult(Result):
    """Latency of both phases of serving a batch, and the memory of the whole group."""

    memory: ClassVar[str] = "total_memory_required"
    remedy: ClassVar[str] = "raise tp, lower batch or seq_len, or take a narrower precision"
    itl: Latency
    ttft: Latency
    kv_cache_size: Bytes
    model_weights_size: Bytes
    total_memory_required: Bytes
    memory_utilization: Share
    bottleneck: Binding
    feasible: Flag
    shortfall: Bytes
    decode_throughput: Rate
    efficiency_used: Fraction


@solver("pope2023", "ainslie2023", "shoeybi2019", group="Node", wall=4)
def serving(
    model: Model | str,
    hardware: Device | str,
    *,
    seq_len: Count,
    batch: Count = 1,
    precision: Precision | str = "fp16",
    efficiency: Fraction | None = None,
    tp: Count = 1,
    output_tokens: Option[Length] = 0,
    cached_prefix: Option[Length] = 0,
    kv_precision: Option[Precision | str | None] = None,
    bandwidth_efficiency: Option[Fraction | None] = None,
    reserve: Option[Share | None] = None,
) -> ServingResult:
    """Time to first token and between tokens of a decoder on one tensor-parallel group.

    Prefill: max(arithmetic, weights touched + KV cache read and written).  Decode: arithmetic *plus* the read of
    weights touched and KV cache, at the mean length over the answer: kernels of a step alternate, and measured steps
    add the two.  Both phases add launch time per layer and two all-reduces per layer.
    The group stays inside one scale-up domain.
    Memory counts the longest length, and KV heads replicated where `tp` does not divide them.
    """
    model, hardware, fmt = Model.of(model), one_chip(Device.of(hardware), "serving"), Precision.of(precision)
    linked = default("scale_up") if hardware.scale_up is None else float(hardware.scale_up)
    refuse_unless(
        tp <= linked, f"serving: tp must not exceed the {linked:g} devices that the links of {hardware.key} join"
    )
    if not is_lm(model):
        raise OutOfDomain(f"serving: {model.key} generates no tokens; use roofline for one {model.unit}")
    kv_fmt = fmt if kv_precision is None else Precision.of(kv_precision)
    refuse_unless(
        model.heads is None or np.all(float(model.heads) % tp == 0),
        f"serving: tp must divide the {model.heads or 0:g} attention heads of {model.key}",
    )
    refuse_unless(cached_prefix < seq_len, "serving: cached_prefix must be shorter than seq_len")
    answer = output_tokens

    width = float(kv_fmt.kv_bits) / 8
    heads = float(model.kv_heads or 1)
    replicas = tp * np.ceil(heads / tp) / heads if model.kv_heads is not None else 1.0
    if model.kv_lora_rank is not None:
        replicas = 1.0 * tp  # every rank needs the whole latent vector
    kv_end = cache_bytes(model, seq_len + answer, batch, width)
    kv_mean = cache_bytes(model, seq_len + answer / 2, batch, width) * replicas
    kv_prompt = cache_bytes(model, seq_len, batch, width) * replicas
    weights = weight_bytes(model, fmt)
    room = usable(hardware, reserve) * tp
    total = weights + kv_end * replicas

    decode = ceilings(hardware, fmt, "decode", efficiency, bandwidth_efficiency, tp)
    prefill = ceilings(hardware, fmt, "prefill", efficiency, bandwidth_efficiency, tp)
    layers = float(model.need("layers"))
    fresh = seq_len - cached_prefix
    first = _phase(
        forward_flops(model, fresh, seq_len) * batch, touched_bytes(model, fmt, fresh * batch) + kv_prompt, prefill
    ) + _tp_time(model, hardware, fresh * batch, tp)
    flops = forward_flops(model, 1.0, seq_len + answer / 2) * batch
    traffic = (
        touched_bytes(model, fmt, batch) + kv_mean + activation_traffic(model, batch, batch, float(fmt.kv_bits) / 8)
    )
    collective = _tp_time(model, hardware, batch, tp)
    compute, memory = flops / decode.compute, traffic / decode.bandwidth
    itl = compute + memory + collective + step_overhead(layers, "layer_overhead_decode")
    return ServingResult(
        itl=itl,
        ttft=first + step_overhead(layers, "layer_overhead_prefill"),
        kv_cache_size=kv_end,
        model_weights_size=weights + 0.0 * itl,
        total_memory_required=total,
        memory_utilization=total / room,
        bottleneck=np.where(collective > np.maximum(compute, memory), Bottleneck.network, _binding(compute, memory)),
        feasible=total <= room,
        shortfall=np.maximum(0.0, total - room),
        decode_throughput=batch / itl,
        efficiency_used=decode.efficiency + 0.0 * itl,
    )


def _phase(flops: Real, traffic: Real, top: Ceilings) -> Real:
    return roofline_time(flops=flops, traffic=traffic, peak=top.compute, bandwidth=top.bandwidth)


def _tp_time(model: Model, hardware: Device, tokens: Real, tp: Real) -> Real:
    """Two all-reduces of the hidden state (2 bytes a value) per layer [Shoeybi 2019]."""
    if np.all(tp == 1):
        return 0.0 * tokens
    if hardware.link is None:
        raise MissingFact(f"{hardware.key} has no link on record, so tp above 1 is unknown; give link in a spec text")
    once = allreduce(
        workers=tp,
        message=2.0 * float(model.need("hidden")) * tokens,
        bandwidth=float(hardware.link) * default("collective_efficiency"),
        latency=0.0,
    )
    start = np.where(tp > 1, default("collective_latency_node", unit_of(LinkLatency)), 0.0)
    return 2 * float(model.need("layers")) * (once + start)


@solver("pope2023", "ainslie2023", "deepseek-v2", group="Planning")
def kvcache(
    model: Model | str,
    *,
    seq_len: Count,
    batch: Count = 1,
    precision: Precision | str = "fp16",
) -> Bytes:
    """Key-value cache of a batch: grouped-query, latent or sliding-window attention as the model has it."""
    model, fmt = Model.of(model), Precision.of(precision)
    size = cache_bytes(model, seq_len, batch, float(fmt.kv_bits) / 8)
    if np.all(size == 0):
        raise OutOfDomain(f"kvcache: {model.key} is no decoder and keeps no key-value cache")
    return size
