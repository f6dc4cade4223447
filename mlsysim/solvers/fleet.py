"""Wall 14: one training step on a fleet with tensor, pipeline, data, expert and context parallelism.

Placement: tensor-parallel ranks are neighbours, then pipeline stages, then replicas.  Gradients are
reduced hierarchically: reduce-scatter inside the node, all-reduce of the shards across nodes,
all-gather inside.  Everything is per device; the slowest (largest) pipeline stage sets the pace.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..catalogue import solver
from ..equations.network import bubble
from ..record import Result, record
from ..things import Fleet, Model, Precision
from ..units import (
    Bytes,
    Count,
    Duration,
    Factor,
    Flag,
    Fraction,
    Latency,
    Option,
    Rate,
    Ratio,
    Real,
    Share,
    Validity,
    ZeroStage,
)
from .bands import repeated, spread
from .collectives import all_reduce, context_time, expert_time, gradient_time, links, send
from .device import Stack, calibrated, ceilings, one_chip, usable
from .node import Recompute
from .trainer import FUSED, regime_of, step_compute, training_flops
from .workload import ATTENTION, activation_bytes, activation_traffic, default, is_lm, refuse_unless, training_state

BACKWARD = 2 / 3  # of a step's compute
MEASURED_BUBBLE = 0.25  # the plans that were measured idle less


@record
class DistributedResult(Result):
    """One optimizer step of the whole fleet; memory is that of the fullest device."""

    memory: ClassVar[str] = "memory_footprint"
    remedy: ClassVar[str] = "raise tp or pp, a higher zero_stage, recompute = full, or a smaller microbatch"
    step_latency_total: Duration
    effective_throughput: Rate  # samples per second = batch / step
    mfu: Share
    hfu: Share
    scaling_efficiency: Share
    dp_communication_latency: Latency  # exposed, after overlap
    tp_communication_latency: Latency
    cp_communication_latency: Latency
    pp_communication_latency: Latency
    ep_communication_latency: Latency
    pipeline_bubble_latency: Latency
    bubble_fraction: Ratio
    memory_footprint: Bytes
    parallelism: str
    feasible: Flag
    shortfall: Bytes
    efficiency_used: Fraction
    step_latency_total_p10: Duration
    step_latency_total_p90: Duration
    step_latency_total_validity: Validity


@solver("shoeybi2019", "narayanan2021", "korthikanti2023", "rajbhandari2020", group="Fleet", wall=14)
def training(
    model: Model | str,
    fleet: Fleet | str,
    *,
    batch: Count,
    tp: Count = 1,
    pp: Count = 1,
    precision: Precision | str = "bf16",
    efficiency: Fraction | None = None,
    seq_len: Option[Count] = 2048,
    microbatch: Option[Count] = 1,
    interleave: Option[Count] = 1,
    ep: Option[Count] = 1,
    cp: Option[Count] = 1,
    zero_stage: Option[ZeroStage] = 0,
    recompute: Option[Recompute] = "selective",
    overlap: Option[Share | None] = None,
    sequence_parallel: Option[bool] = True,
    straggler: Option[Factor] = 1.0,
    in_switch: Option[bool] = False,
    stack: Option[Stack] = "tuned",
    reserve: Option[Share | None] = None,
) -> DistributedResult:
    """Step time, throughput, communication and memory of one training step of the whole fleet.

    step = (micro-batches x (compute + exposed TP, CP, PP, EP communication)) x (1 + bubble) + exposed gradient
    reduction, times the straggler factor.  Blank `efficiency`: matrix products, attention kernels and element-wise
    traffic, each at its calibrated rate; a number is the share of peak that all of them reach together.
    """
    model, fleet, fmt = Model.of(model), Fleet.of(fleet), Precision.of(precision)
    node = fleet.node
    one_chip(node.device, "training")
    n = float(fleet.nodes) * float(node.devices)
    plan = _split(model, fleet, n, batch, tp, pp, microbatch, interleave, ep, cp)
    dp, m = plan["dp"], plan["m"]
    layers = np.ceil(plan["layers"] / pp)
    length = seq_len if is_lm(model) else float(model.sequence or 1)
    refuse_unless(length % cp == 0, "training: cp must divide seq_len")
    tokens = microbatch * length / cp  # of one device

    # compute of one micro-batch on the largest stage
    weights, gradients, optimizer = training_state(fmt)
    work = training_flops(model, length, recompute)
    stage = layers / plan["layers"] / tp / cp * microbatch
    regime = regime_of(model, node.device, True)
    rewrites = calibrated(node.device, fmt, regime, stack, "traffic", FUSED) / FUSED
    top = ceilings(node.device, fmt, regime, efficiency, None, stack=stack)
    compute = step_compute(model, node.device, fmt, work, stage, tokens * layers / tp, tp, top, efficiency)
    dense, routed = (p * layers / plan["layers"] / tp for p in _parameters(model, ep))  # parameters of one device
    touched = activation_traffic(model, tokens, microbatch, weights) * rewrites * layers / plan["layers"] / tp
    moved = 3 * ((dense + routed) * weights + touched)
    compute = np.maximum(compute, moved / top.bandwidth)

    # communication of one micro-batch
    net = links(fleet, in_switch)
    per_node = float(node.devices)
    talks = np.any(np.asarray(tp) * pp > 1)
    hidden = (
        weights * float(model.need("hidden") if talks else model.hidden or 0) * tokens
    )  # bytes of one activation tensor, as wide as the weights
    passes = 6 if recompute == "full" else 4
    exposed = default("tp_exposed")
    t_tp = exposed * passes * layers * all_reduce(tp, hidden, tp <= per_node, net)
    t_cp = exposed * context_time(model, layers, tokens, weights, tp * cp <= per_node, cp, tp, net)
    t_pp = np.where(pp > 1, 2 * interleave * send(hidden / tp, tp * cp * pp <= per_node, net), 0.0)
    t_ep = exposed * expert_time(model, layers, plan["layers"], hidden / tp, tp * cp * pp * ep <= per_node, ep, net)

    # the pipeline, and the gradients
    idle = bubble(stages=pp, microbatches=m, interleave=interleave)
    micro = compute + t_tp + t_cp + t_pp + t_ep
    reduced = gradient_time(dense * gradients, dp * cp, per_node / (tp * pp), net)
    if model.family == "moe":  # each expert is reduced over its own copies only
        reduced = reduced + gradient_time(routed * gradients, dp * cp / ep, per_node / (tp * pp * ep), net)
    # an all-reduce is a reduce-scatter and an all-gather: ZeRO-3 gathers twice and scatters once per micro-batch,
    # ZeRO-2 scatters once per micro-batch and gathers once per step
    rounds = np.where(zero_stage >= 3, 1.5 * m, np.where(zero_stage >= 2, 0.5 * m + 0.5, 1.0))
    hides = default("overlap") if overlap is None else overlap
    cover = np.where(zero_stage >= 3, m, np.where(zero_stage >= 2, m * BACKWARD, BACKWARD))
    hidden_under = hides * compute * cover  # without sharding only the last backward pass hides it
    t_dp = np.maximum(default("dp_exposed") * reduced * rounds, reduced * rounds - hidden_under)
    step = (m * micro * (1 + idle) + t_dp) * straggler
    model_flops = work.useful * batch

    spread_out = dense / dp + routed * ep / dp  # parameters of one device, sharded over their copies
    state = (
        np.where(zero_stage >= 3, spread_out, dense + routed) * weights
        + np.where(zero_stage >= 2, spread_out, dense + routed) * gradients
        + np.where(zero_stage >= 1, spread_out, dense + routed) * optimizer
    )
    ahead = np.where(interleave > 1, 1 + (pp - 1) / (pp * interleave), 1.0)
    in_flight = np.minimum(m, pp * ahead)  # never more micro-batches than there are
    kept = activation_bytes(model, tokens, length, recompute, tp, layers * in_flight, weights, sequence_parallel)
    footprint = state + kept
    room = usable(node.device, reserve)
    usual = efficiency is None and stack == "tuned" and fmt.key not in ("fp32", "tf32") and bool(np.all(straggler == 1))
    known = usual and model.family == "transformer" and is_lm(model)
    band = spread("training-step", node.device, known).where(
        idle <= MEASURED_BUBBLE, spread("training-step", node.device, exact=False)
    )
    return DistributedResult(
        step_latency_total=step,
        effective_throughput=batch / step,
        mfu=model_flops / (n * top.peak * step),
        hfu=(work.executed * batch) / (n * top.peak * step),
        scaling_efficiency=m * compute / step,
        dp_communication_latency=t_dp,
        tp_communication_latency=m * t_tp,
        cp_communication_latency=m * t_cp,
        pp_communication_latency=m * t_pp,
        ep_communication_latency=m * t_ep,
        pipeline_bubble_latency=m * micro * idle,
        bubble_fraction=idle,
        memory_footprint=footprint,
        parallelism=_words(dp, tp, pp, ep, cp),
        feasible=footprint <= room,
        shortfall=np.maximum(0.0, footprint - room),
        efficiency_used=top.efficiency + 0.0 * step,
        step_latency_total_p10=step * band.low,
        step_latency_total_p90=step * band.high,
        step_latency_total_validity=repeated(band.status, batch),
    )


def _split(
    model: Model,
    fleet: Fleet,
    n: float,
    batch: Real,
    tp: Real,
    pp: Real,
    micro: Real,
    interleave: Real,
    ep: Real,
    cp: Real,
) -> dict[str, Any]:
    """Replicas, micro-batches and layers; every division must come out even."""
    layers = float(model.layers or 1)
    refuse_unless(
        n % (tp * pp * cp) == 0,
        lambda: f"training: tp x pp x cp must divide the {n:g} devices of {fleet.key}{_near(n, tp * pp * cp)}",
    )
    refuse_unless(
        pp * interleave <= layers, f"training: pp x interleave must not exceed the {layers:g} layers of {model.key}"
    )
    if model.heads is not None:
        refuse_unless(model.heads % tp == 0, f"training: tp must divide the {model.heads:g} heads of {model.key}")
    refuse_unless((interleave == 1) | (pp > 1), "training: interleave needs pp above 1")
    dp = n / (tp * pp * cp)
    refuse_unless(dp % ep == 0, "training: ep must divide the data-parallel replicas, devices / (tp x pp x cp)")
    if model.family != "moe":
        refuse_unless(ep == 1, f"training: ep must be 1, {model.key} has no experts")
    else:
        refuse_unless(
            model.need("experts") % ep == 0, f"training: ep must divide the {model.experts:g} experts of {model.key}"
        )
    step = dp * micro
    refuse_unless(
        batch % step == 0,
        lambda: f"training: batch must be a multiple of replicas x microbatch{_multiple(batch, step)}",
    )
    if model.family not in ATTENTION:
        refuse_unless(
            (tp == 1) & (pp == 1) & (cp == 1), f"training: tp, pp and cp must be 1 for the {model.family} {model.key}"
        )
    return {"dp": dp, "m": batch / step, "layers": layers}


def _near(n: float, product: Real) -> str:
    if np.ndim(product):
        return ""
    if product > n:
        return f", got {float(product):g}; at most {n:g}"
    legal = [d for d in range(1, int(n) + 1) if n % d == 0]
    below = max((d for d in legal if d < product), default=1)
    above = min((d for d in legal if d > product), default=int(n))
    return f", got {float(product):g}; nearest legal products are {below} and {above}"


def _multiple(batch: Real, step: Real) -> str:
    if np.ndim(batch) or np.ndim(step):
        return ""
    below, above = np.floor(batch / step) * step, np.ceil(batch / step) * step
    nearest = f"{above:g}" if below == 0 else f"{below:g} or {above:g}"
    return f" = {float(step):g}, got {float(batch):g}; nearest legal: {nearest}"


def _parameters(model: Model, ep: Real) -> tuple[Real, Real]:
    """Parameters that every replica holds, and those of the routed experts on one expert-parallel rank."""
    if model.family != "moe":
        return float(model.params), 0.0
    routed = float(model.need("expert_params"))
    return float(model.params) - routed, routed / ep


def _words(dp: Real, tp: Real, pp: Real, ep: Real, cp: Real) -> Any:
    names = ("dp", "tp", "pp", "ep", "cp")
    parts = np.broadcast_arrays(dp, tp, pp, ep, cp)
    rows = zip(*(a.ravel() for a in parts), strict=True)
    text = [" ".join(f"{n}={v:g}" for n, v in zip(names, row, strict=True) if n != "cp" or v > 1) for row in rows]
    return text[0] if parts[0].ndim == 0 else np.array(text, dtype=object).reshape(parts[0].shape)
