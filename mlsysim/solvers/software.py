"""Wall 3: the gap between the peak of a device and what software reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..catalogue import solver
from ..errors import MissingFact, OutOfDomain
from ..record import Result, record
from ..things import DEFAULTS, Device, Model, Precision
from ..units import Count, FlopRate, Fraction, Latency, Option, Real, Share
from .device import MATRIX, calibrated, ceilings, datapath_bits, one_chip
from .workload import (
    ATTENTION,
    activation_traffic,
    active_params,
    attention_flops,
    cache_bytes,
    head_dim,
    is_lm,
    touched_bytes,
    training_state,
)

Regime = Literal["training", "prefill", "decode"]
Guide = Literal["efficiency", "mfu", "decode", "batched", "training", "distributed", "flash", "tiny"]
Level = Literal["low", "typical", "high"]
_SCORE_PASSES = 4  # unfused attention writes and reads the scores, and again their softmax


@record
class SoftwareResult(Result):
    """Where the time of one step goes; mfu, kernel_loss, memory_stall and overhead_share add up to one."""

    mfu: Share
    achievable_flops: FlopRate
    peak_flops: FlopRate
    attention_share: Share  # of the time: scores and weighted sums
    gemm_share: Share  # of the time: projections, feed-forward layers and the output layer
    elementwise_share: Share  # of the time: norms, residuals, activations, and the optimizer in training
    kernel_loss: Share  # of the time: arithmetic below the peak
    memory_stall: Share  # of the time: arithmetic waits for memory
    overhead_share: Share  # of the time: launches
    attention_mfu: Share
    gemm_mfu: Share
    latency: Latency
    gemm_efficiency_used: Fraction


@dataclass(frozen=True, slots=True)
class _Operator:
    """Useful arithmetic of one kind of kernel in a whole pass, its traffic, and the share of peak it can reach."""

    flops: Real
    traffic: Real
    efficiency: Real


@solver("williams2009", "dao2022", "chowdhery2022", group="Node", wall=3)
def software(
    model: Model | str,
    hardware: Device | str,
    *,
    regime: Regime = "training",
    precision: Precision | str = "bf16",
    batch: Option[Count] = 1,
    seq_len: Option[Count] = 4096,
    flash: Option[bool] = True,
    gemm_efficiency: Option[Fraction | None] = None,
    flash_efficiency: Option[Fraction | None] = None,
    bandwidth_efficiency: Option[Fraction | None] = None,
) -> SoftwareResult:
    """MFU that kernels allow on one device: one roofline per operator of a transformer, one after the other.

    Matrix products: weights and activations in and out against their arithmetic.  Attention scores: fused, they
    never reach memory; else S^2 values per head are written and read twice at the same arithmetic rate, so fused
    attention is never slower.  Norms and other element-wise work: traffic alone.  Training runs every operator three
    times, then the optimizer.  An upper bound: communication, input stalls, recomputation and throttling are left out.
    """
    model, hardware, fmt = Model.of(model), one_chip(Device.of(hardware), "software"), Precision.of(precision)
    if model.family not in ATTENTION:
        raise MissingFact(f"software: {model.key} has no operators on record (family {model.family}); use roofline")
    if regime == "decode" and not is_lm(model):
        raise OutOfDomain(f"software: {model.key} generates no tokens; take regime prefill or training")
    top = ceilings(hardware, fmt, regime, gemm_efficiency, bandwidth_efficiency)
    peak = top.peak
    fused = flash_efficiency
    if fused is None:
        fused = calibrated(hardware, fmt, "attention", "tuned", "compute")
    width = training_state(fmt)[0] if regime == "training" else float(fmt.kv_bits) / 8
    length: Real = seq_len if is_lm(model) else float(model.need("sequence"))
    new: Real = 1.0 if regime == "decode" else length
    passes = 3.0 if regime == "training" else 1.0

    operators = {
        "gemm": _products(model, fmt, batch * new, top.efficiency, width),
        "attention": _scores(model, batch, new, length, flash, fused, width),
        "elementwise": _Operator(0.0 * batch, activation_traffic(model, batch * new, batch, width), 1.0),
    }
    rates = {"attention": _attention_peak(hardware, fmt, peak)}  # the others run in the format of the weights
    compute = {n: passes * o.flops / (rates.get(n, peak) * o.efficiency) for n, o in operators.items()}
    memory = {n: passes * o.traffic / top.bandwidth for n, o in operators.items()}
    if regime == "training":  # gradients read, weights and Adam's state read and written
        weights, gradients, state = training_state(fmt)
        update = float(model.params) * (gradients + weights + 2 * state)
        memory["elementwise"] = memory["elementwise"] + update / top.bandwidth
    time = {n: np.maximum(compute[n], memory[n]) for n in operators}
    overhead = passes * float(model.need("layers")) * top.layer_overhead
    total = sum(time.values()) + overhead
    ideal = sum(passes * o.flops for o in operators.values()) / peak
    busy = sum(compute.values())
    mfu = ideal / total
    return SoftwareResult(
        mfu=mfu,
        achievable_flops=mfu * peak,
        peak_flops=peak + 0.0 * mfu,
        attention_share=time["attention"] / total,
        gemm_share=time["gemm"] / total,
        elementwise_share=time["elementwise"] / total,
        kernel_loss=np.maximum(0.0, (busy - ideal) / total),
        memory_stall=sum(time[n] - compute[n] for n in operators) / total,
        overhead_share=overhead / total,
        attention_mfu=passes * operators["attention"].flops / peak / time["attention"],
        gemm_mfu=passes * operators["gemm"].flops / peak / time["gemm"],
        latency=total,
        gemm_efficiency_used=top.efficiency + 0.0 * mfu,
    )


def _attention_peak(hardware: Device, fmt: Precision, peak: float) -> float:
    """Attention is computed in 16 bits, whatever narrower format the products have."""
    if datapath_bits(fmt) >= MATRIX:
        return peak
    return hardware.rate("bf16" if hardware.bf16 is not None else "fp16")


def _products(model: Model, fmt: Precision, tokens: Real, efficiency: Real, width: float) -> _Operator:
    """All matrix products of one forward pass: weights once, the inputs and outputs of each product."""
    hidden, layers = float(model.need("hidden")), float(model.need("layers"))
    weights = active_params(model)
    if not is_lm(model):  # an encoder looks its embedding up
        weights -= float(model.need("vocab")) * hidden
    heads, keys = float(model.need("heads")), float(model.kv_heads or model.need("heads"))
    attention = 2 * hidden + 2 * (heads + keys) * head_dim(model)  # projections: hidden in, heads out, and back
    inner = float(model.ffn) if model.ffn is not None else 0.0  # unknown: its small traffic is left out
    moved = tokens * layers * (attention + 2 * hidden + 3 * inner) * width
    return _Operator(2 * weights * tokens, touched_bytes(model, fmt, tokens) + moved, efficiency)


def _scores(
    model: Model, batch: Real, new: Real, length: Real, flash: bool, efficiency: Real, width: float
) -> _Operator:
    """Scores and weighted sums of one forward pass."""
    layers, heads = float(model.need("layers")), float(model.need("heads"))
    flops = attention_flops(model, new, length)
    if not is_lm(model):  # an encoder's positions see each other both ways
        flops = 4 * layers * heads * head_dim(model) * new * length
    queries = 2 * layers * heads * head_dim(model) * new * width  # in, and the sums out
    keys = cache_bytes(model, length, 1.0, width)
    if not is_lm(model):
        keys = 2 * layers * heads * head_dim(model) * length * width
    scores = 0.0 if flash else _SCORE_PASSES * layers * heads * new * length * width
    return _Operator(batch * flops, batch * (queries + keys + scores), efficiency)


@solver("cheat-sheet", group="Node")
def efficiency(*, regime: Guide, level: Level = "typical") -> Share:
    """Rule-of-thumb share of peak: the cheat sheet's efficiency guide.

    A first guess for workloads that the model does not know; calibrated figures stand behind a blank `efficiency`.
    """
    row = DEFAULTS[f"guide_{regime}"]
    return {"low": row.low, "typical": row.value, "high": row.high}[level]  # type: ignore[return-value]
