"""Walls 8 to 10: storage that feeds accelerators, processors that prepare samples, the network between nodes."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from ..catalogue import solver
from ..equations import topology as shape
from ..record import Result, record
from ..units import (
    ByteRate,
    Bytes,
    Code,
    Count,
    DataMargin,
    DataRate,
    Duration,
    Factor,
    Flag,
    NodeCount,
    Option,
    Ratio,
    Real,
    Share,
    StepTime,
)
from .workload import default, refuse_unless


class DataPath(Code):
    """What limits the supply of data."""

    storage = 0
    network = 1


@record
class IngestionResult(Result):
    """Supply of training data against its demand."""

    utilisation: Ratio  # of the slowest part of the path; above 1 the accelerators wait
    stalled: Flag
    margin: DataMargin  # what is left of the supply; negative where data are missing
    needed_supply: DataRate  # what the cache does not serve
    accelerator_utilisation: Share
    bottleneck: Annotated[Real, DataPath]


@solver("mohan2021", group="Data", wall=8)
def ingestion(
    *,
    demand: DataRate,
    supply: ByteRate,
    cache_hit: Option[Share] = 0,
    network_rate: Option[ByteRate | None] = None,
) -> IngestionResult:
    """Share of the data path that training asks for; above 1 the accelerators wait.

    utilisation = demand x (1 - cache hits) / min(supply, network).  Reads are prefetched and sequential: seeks, small
    files and metadata are left out, and a cache is as fast as needed.
    """
    remote = supply if network_rate is None else np.minimum(supply, network_rate)
    needed = demand * (1 - cache_hit)
    used = needed / remote
    narrow = remote + 0.0 * used < supply  # the network is the slower part
    return IngestionResult(
        utilisation=used,
        stalled=used > 1,
        margin=remote - needed,
        needed_supply=needed + 0.0 * used,
        accelerator_utilisation=1 / np.maximum(used, 1.0),
        bottleneck=np.asarray(narrow).astype(np.int64),
    )


@record
class TransformationResult(Result):
    """Preparation of one batch against one accelerator step."""

    transform_time: Duration
    step_time: Duration  # of preparation and step together
    slowdown: Factor
    accelerator_utilisation: Share
    bottleneck: Flag  # preparation takes longer than the step
    workers_needed: Count  # to hide preparation behind the step


@solver("murray2021", "mohan2021", group="Data", wall=9)
def transformation(
    *,
    batch: Count,
    sample_size: Bytes,
    cpu_rate: ByteRate,
    step_time: StepTime,
    workers: Option[Count] = 1,
    overlap: Option[bool] = True,
) -> TransformationResult:
    """Time to prepare one batch, and what it does to the accelerator step.

    transform = batch x sample / (workers x rate of one); a step takes the longer of the two where preparation is
    prefetched, and their sum where it is not.  Workers scale without loss.
    """
    alone = batch * sample_size / cpu_rate
    prepared = alone / workers
    total = np.maximum(prepared, step_time) if overlap else prepared + step_time
    return TransformationResult(
        transform_time=prepared,
        step_time=total,
        slowdown=total / step_time,
        accelerator_utilisation=step_time / total,
        bottleneck=prepared > step_time,
        workers_needed=np.maximum(1.0, np.ceil(alone / step_time - 1e-9)),  # 1e-9: rounding adds no worker
    )


Kind = Literal["fat_tree", "dragonfly", "ring", "torus_2d", "torus_3d", "hypercube", "full_mesh"]


@record
class TopologyResult(Result):
    """Bandwidth of one node and of all when everybody talks across the middle, and mean distance."""

    effective_bandwidth: ByteRate  # of one node
    bisection_bandwidth: DataRate  # of the whole cut, one direction
    bisection_fraction: Share  # of what half of the nodes can send
    hops: Ratio  # links between two different nodes, mean


@solver("dally2003", "leiserson1985", "kim2008", group="Data", wall=10)
def topology(
    *, link: ByteRate, nodes: NodeCount, kind: Kind = "fat_tree", oversubscription: Factor = 1
) -> TopologyResult:
    """Bisection bandwidth and distance of a network of equal links: share = min(1, links cut / (nodes / 2)).

    Links cut: ring 2; torus 2 nodes / longest side, of the most cubic sides; dragonfly (balanced, one link between
    groups) a quarter of the groups squared; full mesh every pair; fat tree and hypercube nodes / 2.  Hops are exact
    means of shortest routes; a fat tree's levels follow from the ports of a switch.  Contention is left out.
    """
    cut, hops = _shape(kind, nodes)
    share = np.minimum(1.0, cut / (nodes / 2)) / oversubscription
    usable = link * share
    return TopologyResult(
        effective_bandwidth=usable,
        bisection_bandwidth=np.where(nodes > 1, usable * nodes / 2, 0.0),
        bisection_fraction=share + 0.0 * usable,
        hops=hops + 0.0 * usable,
    )


def _shape(kind: str, nodes: Real) -> tuple[Real, Real]:
    """Links cut in the middle, and mean hops."""
    if kind == "ring":
        return shape.RING_CUT, shape.ring_hops(nodes, nodes)
    if kind in ("torus_2d", "torus_3d"):
        lengths = shape.sides(nodes, int(kind[-2]))
        return shape.torus_cut(nodes, lengths[0]), sum(shape.ring_hops(k, nodes) for k in lengths)
    if kind == "dragonfly":
        return shape.dragonfly_cut(nodes), shape.dragonfly_hops(nodes)
    if kind == "full_mesh":
        return shape.mesh_cut(nodes), np.where(nodes > 1, 1.0, 0.0)
    if kind == "hypercube":
        refuse_unless(np.log2(nodes) == np.round(np.log2(nodes)), "topology: a hypercube needs a power of two of nodes")
        return nodes / 2, shape.hypercube_hops(nodes)
    return nodes / 2, shape.fat_tree_hops(nodes, default("switch_radix"))
