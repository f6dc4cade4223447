"""Above the walls: a whole training run by the iron law, from tokens to hours, energy, money and carbon."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..catalogue import solver
from ..equations.economics import activity_power, carbon
from ..errors import OutOfDomain
from ..record import Result, record
from ..things import Fleet, Model, Precision, Site
from ..units import (
    Bytes,
    Carbon,
    Count,
    DeviceHours,
    Duration,
    EnergyPrice,
    Factor,
    FailureRate,
    Flag,
    Fraction,
    HourlyPrice,
    Hours,
    KilowattHours,
    Money,
    Option,
    Quantity,
    Rate,
    Ratio,
    Real,
    Share,
    Tokens,
    Validity,
    ZeroStage,
)
from .bands import repeated, spread
from .fleet import training
from .node import Recompute
from .operations import KWH, accelerators, busy_power, idle_share, site_of, tco
from .planning import or_unknown
from .reliability import reliability
from .workload import is_lm, refuse_unless

HOUR = 3600.0
LONGEST = 36500 * 86400.0  # of what `tco` prices


@record
class TrainingRunResult(Result):
    """A whole run; `hours` is wall-clock time with failures and checkpoints, `mfu` that of a step."""

    memory: ClassVar[str] = "memory_footprint"
    remedy: ClassVar[str] = "raise tp or pp, a higher zero_stage, recompute = full, or a smaller microbatch"
    needs: ClassVar[dict[str, str]] = {
        "cost_usd": "a price or power that tco needs is not on record; give usd_per_device_hour in options"
    }
    hours: Hours
    steps: Quantity
    step_time: Duration
    goodput: Share
    energy_kwh: KilowattHours  # of the site: IT energy x PUE
    cost_usd: Money
    carbon_kg: Carbon
    device_hours: DeviceHours
    mfu: Share
    tokens_per_s: Rate  # failures included
    expected_failures: Ratio
    mtbf: Hours
    checkpoint_interval: Hours
    it_energy_kwh: KilowattHours
    memory_footprint: Bytes
    feasible: Flag
    shortfall: Bytes
    hours_p10: Hours
    hours_p90: Hours
    hours_validity: Validity


@solver("cheat-sheet", "chowdhery2022", "sys-kokolis2025", "young1974", group="Planning")
def training_run(
    model: Model | str,
    fleet: Fleet | str,
    *,
    tokens: Tokens,
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
    reserve: Option[Share | None] = None,
    failures_per_node_day: Option[FailureRate | None] = None,
    save_time: Option[Duration] = 60.0,
    recovery_time: Option[Duration] = 300.0,
    datacenter: Option[Site | str | None] = None,
    usd_per_kwh: Option[EnergyPrice | None] = None,
    usd_per_device_hour: Option[HourlyPrice | None] = None,
) -> TrainingRunResult:
    """Hours, energy, cost and carbon of a training run: steps x step time / goodput.

    Steps are whole; the step is that of `training`.  Goodput loses saves, recoveries and half an interval of rework
    per failure, at the Young interval and the measured failure rate of 8-GPU nodes.  Power is the measured draw at
    the MFU of the step, at all hours.  Cost: the rental price given, else depreciation and running costs of `tco`.
    Left out: evaluation, restarts of the learning schedule, spare nodes, stops that somebody plans.
    """
    model, fleet = Model.of(model), Fleet.of(fleet)
    step = training(
        model,
        fleet,
        batch=batch,
        tp=tp,
        pp=pp,
        precision=precision,
        efficiency=efficiency,
        seq_len=seq_len,
        microbatch=microbatch,
        interleave=interleave,
        ep=ep,
        cp=cp,
        zero_stage=zero_stage,
        recompute=recompute,
        overlap=overlap,
        sequence_parallel=sequence_parallel,
        straggler=straggler,
        in_switch=in_switch,
        reserve=reserve,
    )
    steps = np.ceil(tokens / (batch * _tokens_per_sample(model, seq_len)))
    useful = steps * step.step_latency_total
    faults = reliability(
        fleet,
        hours=useful,
        save_time=save_time,
        recovery_time=recovery_time,
        failures_per_node_day=failures_per_node_day,
    )
    refuse_unless(
        (faults.goodput > 0),
        f"training_run: {fleet.key} fails about every {float(np.min(faults.mtbf)) / HOUR:.3g} h, and saves, recovery "
        "and rework take all its time; shorten save_time or recovery_time",
    )
    seconds = useful / faults.goodput
    busy = or_unknown(lambda: _draw(fleet, step.mfu))
    site = site_of(fleet, datacenter)
    energy = busy * seconds
    device_seconds = accelerators(fleet) * seconds
    if usd_per_device_hour is None:
        priced = np.minimum(seconds, LONGEST)
        owned = or_unknown(
            lambda: tco(fleet, days=priced, datacenter=site, mfu=step.mfu, usd_per_kwh=usd_per_kwh).tco_usd
        )
        cost = np.where(seconds <= LONGEST, owned, np.nan)
    else:
        if usd_per_kwh is not None:
            raise OutOfDomain("training_run: usd_per_device_hour has the electricity in it; leave usd_per_kwh out")
        cost = usd_per_device_hour * device_seconds
    known = efficiency is None and model.family == "transformer"
    band = spread("run-hours", fleet.node.device, known)
    return TrainingRunResult(
        hours=seconds,
        steps=steps + 0.0 * seconds,
        step_time=step.step_latency_total + 0.0 * seconds,
        goodput=faults.goodput + 0.0 * seconds,
        energy_kwh=energy * float(site.pue) / KWH,
        cost_usd=cost,
        carbon_kg=energy * carbon(energy=1.0, pue=site.pue, intensity=site.grid.carbon_intensity),
        device_hours=device_seconds,
        mfu=step.mfu + 0.0 * seconds,
        tokens_per_s=tokens / seconds,
        expected_failures=seconds / faults.mtbf,
        mtbf=faults.mtbf + 0.0 * seconds,
        checkpoint_interval=faults.optimal_interval + 0.0 * seconds,
        it_energy_kwh=energy / KWH,
        memory_footprint=step.memory_footprint + 0.0 * seconds,
        feasible=np.logical_and(step.feasible, seconds > 0),
        shortfall=step.shortfall + 0.0 * seconds,
        hours_p10=seconds * band.low,
        hours_p90=seconds * band.high,
        hours_validity=repeated(band.status, seconds),
    )


def _tokens_per_sample(model: Model, seq_len: Real) -> Real:
    if is_lm(model):
        return seq_len
    if model.unit != "sequence":
        raise OutOfDomain(f"training_run: {model.key} is not trained on tokens but on one {model.unit} after another")
    return float(model.need("sequence"))


def _draw(fleet: Fleet, mfu: Real) -> Real:
    """Power of all nodes [W] while they train."""
    node = fleet.node
    return activity_power(busy_power=busy_power(node), idle_share=idle_share(node), mfu=mfu) * float(fleet.nodes)
