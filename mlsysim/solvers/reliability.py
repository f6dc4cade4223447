"""Walls 15 and 19: failures of a fleet, and the checkpoints against them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..catalogue import solver
from ..equations.reliability import checkpoint_interval
from ..equations.reliability import mtbf as mean_time_between_failures
from ..errors import MissingFact, OutOfDomain
from ..record import Result, record
from ..things import COMPONENTS, Fleet, Model, Node, Precision
from ..units import (
    ByteRate,
    Bytes,
    Count,
    Duration,
    FailureRate,
    Flag,
    Hours,
    Interval,
    Option,
    Ratio,
    Real,
    Share,
    unit_of,
)
from .workload import default, training_state, weight_bytes

MEASURED_NODE = 8  # accelerators of the servers on which the default rate was measured


@record
class ReliabilityResult(Result):
    """What failures and checkpoints leave of the time of one job on the whole fleet."""

    goodput: Share
    mtbf: Hours
    failures: Ratio  # expected during the job
    failure_probability: Share  # of at least one
    optimal_interval: Hours
    interval_used: Hours
    lost_hours: Interval
    saving_share: Share  # of time: writing checkpoints,
    rework_share: Ratio  # redoing what was lost,
    recovery_share: Ratio  # and restarting


@solver("sys-kokolis2025", "young1974", "daly2006", group="Fleet", wall=15)
def reliability(
    fleet: Fleet | str,
    *,
    hours: Hours,
    save_time: Duration = 60,
    recovery_time: Duration = 300,
    interval: Option[Hours | None] = None,
    failures_per_node_day: Option[FailureRate | None] = None,
    components: Option[bool] = False,
) -> ReliabilityResult:
    """Goodput of a job that needs the whole fleet: 1 - save / interval - (interval / 2 + recovery) / MTBF.

    First order: good while each term is small; 0 where failures leave no time.  Failures are independent, and any one
    stops the job.  The failure rate is measured on whole 8-accelerator nodes (software and network included) and scales
    with accelerators; `components` sums GPUs and network ports instead, without redundant power supplies.
    """
    fleet = Fleet.of(fleet)
    life = _node_life(fleet.node, failures_per_node_day, components)
    between = mean_time_between_failures(component_life=life, count=fleet.nodes)
    best = checkpoint_interval(save_time=save_time, mtbf=between)
    used = best if interval is None else interval
    free = np.where(used > 0, used, 1.0)  # saving that costs nothing is done all the time, and takes no share
    saving = np.where(used > 0, save_time / free, 0.0)
    rework, recovery = used / 2 / between, recovery_time / between
    left = np.maximum(0.0, 1 - saving - rework - recovery)
    return ReliabilityResult(
        goodput=left,
        mtbf=between + 0.0 * left,
        failures=hours / between,
        failure_probability=-np.expm1(-hours / between),
        optimal_interval=best + 0.0 * left,
        interval_used=used + 0.0 * left,
        lost_hours=hours * (1 - left),
        saving_share=np.minimum(1.0, saving),
        rework_share=rework + 0.0 * left,
        recovery_share=recovery + 0.0 * left,
    )


def _node_life(node: Node, failures_per_node_day: Real | None, components: bool) -> Real:
    """Mean time between failures of one node [s]."""
    accelerators = float(node.devices) * float(node.device.devices or 1)
    if components:
        if failures_per_node_day is not None:
            raise OutOfDomain("reliability: give failures_per_node_day or components = TRUE, not both")
        if node.nics is None:
            raise MissingFact(f"{node.key} has no nics on record; give the scale-out ports of one node in a spec text")
        parts = ((accelerators, "Gpu"), (float(node.nics), "Nic"))
        return 1 / sum(count / float(COMPONENTS[name].mttf) for count, name in parts)
    if failures_per_node_day is not None:
        return 1 / failures_per_node_day
    return MEASURED_NODE / (default("failures_per_node_day", unit_of(FailureRate)) * accelerators)


Optimizer = Literal["adam", "sgd", "none"]
_MOMENTUM = 4.0  # bytes per parameter of SGD's momentum; Adam keeps two such moments


@record
class CheckpointResult(Result):
    """One checkpoint, and what the saves cost."""

    write_time: Duration
    checkpoint_size: Bytes
    share_of_time: Share  # stalled by saving
    effective_bandwidth: ByteRate
    stall: Duration  # of each save, after what runs beside training
    bottleneck: Flag  # the share is above the sourced threshold


@solver("eisenman2022", "checkfreq2021", "rajbhandari2020", group="Operations", wall=19)
def checkpoint(
    model: Model | str,
    *,
    storage_bandwidth: ByteRate,
    interval: Interval = 4 * 3600.0,
    writers: Count = 1,
    precision: Option[Precision | str] = "bf16",
    optimizer: Option[Optimizer] = "adam",
    limit: Option[ByteRate | None] = None,
    overlap: Option[Duration] = 0,
) -> CheckpointResult:
    """Time to save a training state, and the share of time that saving takes: stall / (interval + stall).

    Size: weights and optimizer state (bf16 with Adam: 2 + 12 bytes per parameter); gradients are not saved.  Shards
    are written in parallel up to the file system's limit.  `bottleneck` is TRUE above 3.5 % of time.
    """
    model, fmt = Model.of(model), Precision.of(precision)
    size = _saved_bytes(model, fmt, optimizer)
    rate = writers * storage_bandwidth
    if limit is not None:
        rate = np.minimum(rate, limit)
    write = size / rate
    stall = np.maximum(0.0, write - np.minimum(overlap, interval))  # the next save waits for this one
    share = stall / (interval + np.where(stall > 0, stall, 1.0))
    return CheckpointResult(
        write_time=write + 0.0 * share,
        checkpoint_size=size + 0.0 * share,
        share_of_time=share,
        effective_bandwidth=rate + 0.0 * share,
        stall=stall,
        bottleneck=share > default("checkpoint_share"),
    )


def _saved_bytes(model: Model, precision: Precision, optimizer: str) -> float:
    """Weights as stored, and the optimizer's state."""
    if optimizer == "none":
        return weight_bytes(model, precision)
    weights, _, adam = training_state(precision)
    state = adam if optimizer == "adam" else adam - _MOMENTUM  # either keeps a master copy below fp32
    return float(model.params) * (weights + state)
