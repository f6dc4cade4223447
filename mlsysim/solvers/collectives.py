"""Time of the communication of one training step: who talks to whom, over which link, and how much is left exposed.

Placement: tensor-parallel ranks are neighbours, then context-parallel ones, then pipeline stages, then replicas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..catalogue import solver
from ..equations.network import alltoall
from ..errors import MissingFact, OutOfDomain
from ..record import Result, record
from ..things import Device, Fleet, Model
from ..units import ByteRate, Bytes, Count, Flag, Latency, Option, Real, Validity
from .bands import NOT_VALIDATED, repeated, spread
from .device import collective_time, joined, start_up
from .workload import default, head_dim, kv_copies, refuse_unless


@dataclass(frozen=True, slots=True)
class Links:
    """Rates of one device [B/s] inside a node and across nodes, as data sheets have them."""

    inside: float
    across: Real
    in_switch: bool = False


def links(fleet: Fleet, in_switch: bool = False) -> Links:
    """Link rates of a fleet; missing facts are refused where a fleet has more than one device or node."""
    node, fabric = fleet.node, fleet.fabric
    inside = node.link if node.link is not None else node.device.link
    if inside is None and node.devices > 1:
        raise MissingFact(f"{node.key} has no link on record; give it in a spec text, per device and direction")
    if node.nics is None and fleet.nodes > 1:
        raise MissingFact(f"{node.key} has no nics on record; give the scale-out ports of one node in a spec text")
    ports = float(node.nics or 1) / float(node.devices)
    across = float(fabric.bandwidth) * ports / float(fabric.oversubscription or 1)
    return Links(float(inside or 1.0), across, in_switch)


def all_reduce(workers: Real, message: Real, inside: Flag, net: Links) -> Real:
    """All-reduce within one group, over the scale-up links where it fits into a node."""
    near = collective_time(workers, message, net.inside, in_switch=net.in_switch)
    return np.where(inside, near, collective_time(workers, message, net.across, across=True))


def send(message: Real, inside: Flag, net: Links) -> Real:
    """Point-to-point transfer of one activation tensor between neighbouring stages."""
    return message / (np.where(inside, net.inside, net.across) * default("collective_efficiency"))


def expert_time(model: Model, layers: Real, total: float, message: Real, inside: Flag, ep: Real, net: Links) -> Real:
    """Dispatch and combine, forward and backward: four all-to-alls per MoE layer of top-k copies."""
    if model.family != "moe":
        return 0.0 * message
    moe = float(model.moe_layers or total) / total * layers
    copies = float(model.need("experts_per_token"))
    rate = np.where(inside, net.inside, net.across) * default("collective_efficiency")
    start = np.where(inside, start_up(across=False), start_up(across=True))
    once = alltoall(workers=ep, message=message * copies, bandwidth=rate) + np.where(ep > 1, start, 0.0)
    return 4 * moe * once


def context_time(
    model: Model, layers: Real, tokens: Real, width: float, inside: Flag, cp: Real, tp: Real, net: Links
) -> Real:
    """Ring attention: keys and values of every other rank pass by, forward once and backward twice [Liu 2023]."""
    if np.all(cp == 1):
        return 0.0 * tokens
    heads = float(model.need("kv_heads")) * kv_copies(model, tp) / tp
    pair = 2 * width * heads * head_dim(model) * tokens  # of one rank's tokens and heads
    return 3 * layers * (cp - 1) * send(pair, inside, net)


def gradient_time(message: Real, replicas: Real, replicas_per_node: Real, net: Links) -> Real:
    """Hierarchical all-reduce of gradients: inside the node, across nodes on the shards, and back."""
    inner = np.minimum(replicas, np.maximum(1.0, np.floor(replicas_per_node)))
    outer = np.ceil(replicas / inner)
    inside = collective_time(inner, message, net.inside, in_switch=net.in_switch)
    return inside + collective_time(outer, message / inner, net.across, across=True)


# ------------------------------------------------------------------ one all-reduce, as it is measured


@record
class CollectiveResult(Result):
    """An all-reduce as a benchmark times it."""

    needs: ClassVar[dict[str, str]] = {"algorithm_bandwidth": "one device has nobody to send to"}
    time: Latency
    bus_bandwidth: ByteRate  # 2 (n-1)/n x message / time: comparable with the link
    algorithm_bandwidth: ByteRate  # message / time
    time_p10: Latency
    time_p90: Latency
    time_validity: Validity


@solver("patarasuk2009", group="Fleet")
def collective(
    hardware: Device | str,
    *,
    devices: Count,
    message: Bytes,
    nodes: Option[Count] = 1,
    port: Option[ByteRate | None] = None,
    in_switch: Option[bool] = False,
) -> CollectiveResult:
    """All-reduce among equal devices with measured rates and start-up, not the data sheet's.

    Across nodes it is hierarchical: reduce-scatter inside, all-reduce of the shards over the ports, all-gather inside.
    """
    hardware = Device.of(hardware)
    refuse_unless(devices % nodes == 0, "collective: nodes must divide devices")
    linked = joined(hardware)
    refuse_unless(
        devices / nodes <= linked,
        f"collective: devices / nodes must not exceed the {linked:g} devices that the links of {hardware.key} join; "
        "give nodes and port",
    )
    if port is None and np.any(nodes > 1):
        raise MissingFact(
            "collective: more than one node needs port, the scale-out rate of one device, such as 50 GB/s"
        )
    if port is not None and np.all(nodes == 1):
        raise OutOfDomain("collective: port is the way between nodes; give nodes above 1 with it")
    net = Links(float(hardware.need("link")), 1.0 if port is None else port, in_switch)
    time = gradient_time(message, devices + 0.0, devices / nodes, net)
    ring = 2 * (devices - 1) / devices * message
    safe = np.where(time > 0, time, 1.0)  # one device: no traffic, no time
    band = spread("all-reduce", hardware).where(nodes == 1, NOT_VALIDATED)
    return CollectiveResult(
        time=time,
        bus_bandwidth=ring / safe,
        algorithm_bandwidth=np.where(devices > 1, message / safe, np.nan),
        time_p10=time * band.low,
        time_p90=time * band.high,
        time_validity=repeated(band.status, devices),
    )
