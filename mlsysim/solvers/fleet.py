"""Wall 14: one training step on a fleet with tensor, pipeline, data and expert parallelism.

Placement: tensor-parallel ranks are neighbours, then pipeline stages, then replicas.  Gradients are
reduced hierarchically: reduce-scatter inside the node, all-reduce of the shards across nodes,
all-gather inside.  Everything is per device; the slowest (largest) pipeline stage sets the pace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..catalogue import Result, solver
from ..equations.network import allreduce, alltoall, bubble
from ..errors import MissingFact
from ..things import Fleet, Model, Precision
from ..units import (
    Bytes,
    Count,
    Duration,
    Factor,
    Flag,
    Fraction,
    Latency,
    LinkLatency,
    Option,
    Rate,
    Ratio,
    Real,
    Share,
    ZeroStage,
    unit_of,
)
from .device import ceilings, one_chip, usable
from .node import Recompute
from .workload import (
    ATTENTION,
    activation_bytes,
    activation_traffic,
    attention_flops,
    default,
    forward_flops,
    is_lm,
    refuse_unless,
    training_state,
)


@dataclass(frozen=True)
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
    pp_communication_latency: Latency
    ep_communication_latency: Latency
    pipeline_bubble_latency: Latency
    bubble_fraction: Ratio
    memory_footprint: Bytes
    parallelism: str
    feasible: Flag
    shortfall: Bytes
    efficiency_used: Fraction


@dataclass(frozen=True, slots=True)
class Links:
    """Per-device rates [B/s] and per-call latencies [s] inside a node and across nodes, as collectives reach them."""

    inside: float
    inside_latency: float
    across: float
    across_latency: float


def links(fleet: Fleet) -> Links:
    """Reachable link rates of a fleet; missing facts are refused where a fleet has more than one device or node."""
    node, fabric = fleet.node, fleet.fabric
    inside = node.link if node.link is not None else node.device.link
    if inside is None and node.devices > 1:
        raise MissingFact(f"{node.key} has no link on record; give it in a spec text, per device and direction")
    if node.nics is None and fleet.nodes > 1:
        raise MissingFact(f"{node.key} has no nics on record; give the scale-out ports of one node in a spec text")
    share = default("collective_efficiency")
    ports = float(node.nics or 1) / float(node.devices)
    micro = unit_of(LinkLatency)
    return Links(
        inside=float(inside or 1.0) * share,
        inside_latency=default("collective_latency_node", micro),
        across=float(fabric.bandwidth) * ports / float(fabric.oversubscription or 1) * share,
        across_latency=default("collective_latency_fabric", micro),
    )


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
    zero_stage: Option[ZeroStage] = 0,
    recompute: Option[Recompute] = "selective",
    overlap: Option[Share | None] = None,
    straggler: Option[Factor] = 1.0,
    reserve: Option[Share | None] = None,
) -> DistributedResult:
    """Step time, throughput, communication and memory of one training step of the whole fleet.

    step = (micro-batches x (compute + TP, PP, EP communication)) x (1 + bubble) + exposed gradient
    reduction, times the straggler factor.  `efficiency` is the share of peak that kernels reach; MFU is a result.
    """
    model, fleet, fmt = Model.of(model), Fleet.of(fleet), Precision.of(precision)
    node = fleet.node
    one_chip(node.device, "training")
    n = float(fleet.nodes) * float(node.devices)
    plan = _split(model, fleet, n, batch, tp, pp, microbatch, interleave, ep)
    dp, m = plan["dp"], plan["m"]
    layers = np.ceil(plan["layers"] / pp)
    tokens = microbatch * (seq_len if is_lm(model) else float(model.sequence or 1))
    length = seq_len if is_lm(model) else float(model.sequence or 1)

    # compute of one micro-batch on the largest stage
    forward = forward_flops(model, length, length) / float(model.steps or 1) * microbatch
    again = {"none": 0.0 * forward, "selective": attention_flops(model, length, length) * microbatch, "full": forward}
    stage = layers / plan["layers"] / tp
    top = ceilings(node.device, fmt, "training", efficiency, None)
    compute = (3 * forward + again[recompute]) * stage / top.compute
    weights, gradients, optimizer = training_state(fmt)
    dense, routed = (p * stage for p in _parameters(model, ep))  # parameters of one device
    moved = 3 * ((dense + routed) * weights + activation_traffic(model, tokens, microbatch, weights) * stage)
    compute = np.maximum(compute, moved / top.bandwidth)

    # communication of one micro-batch
    net = links(fleet)
    per_node = float(node.devices)
    hidden = weights * float(model.hidden or 0) * tokens  # bytes of one activation tensor, as wide as the weights
    passes = 6 if recompute == "full" else 4
    t_tp = passes * layers * _collective(tp, hidden, tp <= per_node, net)
    t_pp = np.where(pp > 1, 2 * interleave * _send(hidden / tp, tp * pp <= per_node, net), 0.0)
    t_ep = _expert_time(model, layers, plan["layers"], hidden / tp, tp * pp * ep <= per_node, ep, net)

    # the pipeline, and the gradients
    idle = bubble(stages=pp, microbatches=m, interleave=interleave)
    micro = compute + t_tp + t_pp + t_ep
    reduced = _gradient_time(dense * gradients, dp, per_node / (tp * pp), net)
    if model.family == "moe":  # each expert is reduced over its own copies only
        reduced = reduced + _gradient_time(routed * gradients, dp / ep, per_node / (tp * pp * ep), net)
    rounds = np.where(zero_stage >= 3, m + 0.5, 1.0)  # ZeRO-3 gathers weights twice per micro-batch, reduces once
    hides = default("overlap") if overlap is None else overlap
    hidden_under = hides * compute * 2 / 3 * np.where(zero_stage >= 3, m, 1.0)  # else only the last backward hides it
    t_dp = np.maximum(0.0, reduced * rounds - hidden_under)
    step = (m * micro * (1 + idle) + t_dp) * straggler
    ideal = m * compute
    model_flops = 3 * forward / microbatch * batch

    spread = dense / dp + routed * ep / dp  # parameters of one device, sharded over their copies
    state = (
        np.where(zero_stage >= 3, spread, dense + routed) * weights
        + np.where(zero_stage >= 2, spread, dense + routed) * gradients
        + np.where(zero_stage >= 1, spread, dense + routed) * optimizer
    )
    in_flight = np.minimum(m, pp) * np.where(interleave > 1, 1 + (pp - 1) / (pp * interleave), 1.0)
    footprint = state + activation_bytes(model, tokens, length, recompute, tp, layers * in_flight, weights)
    room = usable(node.device, reserve)
    return DistributedResult(
        step_latency_total=step,
        effective_throughput=batch / step,
        mfu=model_flops / (n * top.peak * step),
        hfu=(model_flops + again[recompute] / microbatch * batch) / (n * top.peak * step),
        scaling_efficiency=ideal / step,
        dp_communication_latency=t_dp,
        tp_communication_latency=m * t_tp,
        pp_communication_latency=m * t_pp,
        ep_communication_latency=m * t_ep,
        pipeline_bubble_latency=m * micro * idle,
        bubble_fraction=idle,
        memory_footprint=footprint,
        parallelism=_words(dp, tp, pp, ep),
        feasible=footprint <= room,
        shortfall=np.maximum(0.0, footprint - room),
        efficiency_used=top.efficiency + 0.0 * step,
    )


def _split(
    model: Model, fleet: Fleet, n: float, batch: Real, tp: Real, pp: Real, micro: Real, interleave: Real, ep: Real
) -> dict[str, Any]:
    """Replicas, micro-batches and layers; every division must come out even."""
    layers = float(model.layers or 1)
    refuse_unless(
        n % (tp * pp) == 0, f"training: tp x pp must divide the {n:g} devices of {fleet.key}{_near(n, tp * pp)}"
    )
    refuse_unless(
        pp * interleave <= layers, f"training: pp x interleave must not exceed the {layers:g} layers of {model.key}"
    )
    if model.heads is not None:
        refuse_unless(model.heads % tp == 0, f"training: tp must divide the {model.heads:g} heads of {model.key}")
    refuse_unless((interleave == 1) | (pp > 1), "training: interleave needs pp above 1")
    dp = n / (tp * pp)
    refuse_unless(dp % ep == 0, "training: ep must divide the data-parallel replicas, devices / (tp x pp)")
    if model.family != "moe":
        refuse_unless(ep == 1, f"training: ep must be 1, {model.key} has no experts")
    else:
        refuse_unless(
            model.need("experts") % ep == 0, f"training: ep must divide the {model.experts:g} experts of {model.key}"
        )
    step = dp * micro
    refuse_unless(
        batch % step == 0,
        f"training: batch must be a multiple of replicas x microbatch{_multiple(batch, step)}",
    )
    if model.family not in ATTENTION:
        refuse_unless((tp == 1) & (pp == 1), f"training: tp and pp must be 1 for the {model.family} {model.key}")
    return {"dp": dp, "m": batch / step, "layers": layers}


def _near(n: float, product: Real) -> str:
    if np.ndim(product):
        return ""
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


def _collective(workers: Real, message: Real, inside: Any, net: Links) -> Real:
    """All-reduce within one group, over the scale-up links where it fits into a node."""
    bandwidth = np.where(inside, net.inside, net.across)
    start = np.where(workers > 1, np.where(inside, net.inside_latency, net.across_latency), 0.0)
    return allreduce(workers=workers, message=message, bandwidth=bandwidth) + start


def _send(message: Real, inside: Any, net: Links) -> Real:
    """Point-to-point transfer of one activation tensor between neighbouring stages."""
    return message / np.where(inside, net.inside, net.across)


def _expert_time(model: Model, layers: Real, total: float, message: Real, inside: Any, ep: Real, net: Links) -> Real:
    """Dispatch and combine, forward and backward: four all-to-alls per MoE layer of top-k copies."""
    if model.family != "moe":
        return 0.0 * message
    moe = float(model.moe_layers or total) / total * layers
    copies = float(model.need("experts_per_token"))
    bandwidth = np.where(inside, net.inside, net.across)
    start = np.where(ep > 1, np.where(inside, net.inside_latency, net.across_latency), 0.0)
    return 4 * moe * (alltoall(workers=ep, message=message * copies, bandwidth=bandwidth) + start)


def _gradient_time(message: Real, dp: Real, replicas_per_node: Real, net: Links) -> Real:
    """Hierarchical all-reduce of gradients: inside the node, across nodes on the shards, and back."""
    inner = np.minimum(dp, np.maximum(1.0, np.floor(replicas_per_node)))
    outer = np.ceil(dp / inner)
    inside = allreduce(workers=inner, message=message, bandwidth=net.inside) + np.where(
        inner > 1, net.inside_latency, 0.0
    )
    across = allreduce(workers=outer, message=message / inner, bandwidth=net.across)
    return inside + across + np.where(outer > 1, net.across_latency, 0.0)


def _words(dp: Real, tp: Real, pp: Real, ep: Real) -> Any:
    parts = np.broadcast_arrays(dp, tp, pp, ep)
    text = [f"dp={d:g} tp={t:g} pp={p:g} ep={e:g}" for d, t, p, e in zip(*(a.ravel() for a in parts), strict=True)]
    return text[0] if parts[0].ndim == 0 else np.array(text, dtype=object).reshape(parts[0].shape)
