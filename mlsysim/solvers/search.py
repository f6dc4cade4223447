"""Above the walls: searches whose answer is a table, best row first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..catalogue import solver
from ..errors import OutOfDomain
from ..record import record
from ..tables import Many, Table, Texts, single, things_of
from ..things import Fleet, Model, Precision, Site
from ..units import (
    Bytes,
    Carbon,
    CarbonPrice,
    Count,
    Days,
    Duration,
    EnergyPrice,
    Factor,
    Fraction,
    KilowattHours,
    Money,
    Option,
    Pue,
    Rate,
    Ratio,
    Real,
    Share,
    Volume,
    ZeroStage,
)
from .device import usable
from .fleet import training
from .node import Recompute
from .operations import KWH, sustainability
from .workload import ATTENTION

RECOMPUTE: tuple[Recompute, ...] = ("none", "selective", "full")
GB = 1e9
Column = npt.NDArray[np.float64]


@record
class Plans(Table):
    """Parallel plans that fit, fastest first; one row for each split into tp, pp and ep."""

    step_latency_total: Duration
    effective_throughput: Rate
    mfu: Share
    tp: Count
    pp: Count
    dp: Count
    ep: Count
    microbatch: Count
    interleave: Count
    zero_stage: ZeroStage
    recompute: Texts
    bubble_fraction: Ratio
    memory_footprint: Bytes


@solver("narayanan2021", "rajbhandari2020", "korthikanti2023", group="Planning")
def parallelism(
    model: Model | str,
    fleet: Fleet | str,
    *,
    batch: Count,
    rows: Count = 5,
    precision: Precision | str = "bf16",
    efficiency: Option[Fraction | None] = None,
    seq_len: Option[Count] = 2048,
    microbatch: Option[Count | None] = None,
    interleave: Option[Count | None] = None,
    ep: Option[Count | None] = None,
    cp: Option[Count] = 1,
    zero_stage: Option[ZeroStage | None] = None,
    recompute: Option[Recompute | None] = None,
    max_tp: Option[Count | None] = None,
    max_pp: Option[Count | None] = None,
    overlap: Option[Share | None] = None,
    sequence_parallel: Option[bool] = True,
    straggler: Option[Factor] = 1.0,
    in_switch: Option[bool] = False,
    reserve: Option[Share | None] = None,
) -> Plans:
    """Search for the plan of least step time under full memory: weights, gradients, optimizer and activations.

    Every legal tp, pp, ep, micro-batch, interleaving, ZeRO stage and recomputation is a row of one `training` call;
    what is given is not searched.  Tensor parallelism stays inside a node unless `max_tp` says otherwise.  Of equal
    step times the lowest ZeRO stage wins, then the least recomputation, then the least memory.
    """
    model, fleet, fmt = Model.of(model), Fleet.of(fleet), Precision.of(precision)
    total = single(batch, "parallelism: batch")
    fixed = {"interleave": interleave, "ep": ep, "zero_stage": zero_stage, "microbatch": microbatch,
             "max_tp": max_tp, "max_pp": max_pp}  # fmt: skip
    given = {n: None if v is None else single(v, f"parallelism: {n}") for n, v in fixed.items()}
    context = single(cp, "parallelism: cp")
    plans: dict[str, Any] = _legal(model, fleet, total, context, given)
    names = RECOMPUTE if recompute is None else (recompute,)
    runs = [
        training(
            model,
            fleet,
            batch=total,
            precision=fmt,
            efficiency=efficiency,
            seq_len=single(seq_len, "parallelism: seq_len"),
            cp=context,
            recompute=name,
            overlap=overlap,
            sequence_parallel=sequence_parallel,
            straggler=straggler,
            in_switch=in_switch,
            reserve=reserve,
            **plans,
        )
        for name in names
    ]
    size = plans["tp"].size
    column = {n: np.tile(v, len(names)) for n, v in plans.items()}
    for name in ("step_latency_total", "effective_throughput", "mfu", "bubble_fraction", "memory_footprint"):
        column[name] = np.concatenate([np.broadcast_to(getattr(r, name), size) for r in runs])
    again = np.repeat(np.arange(len(names)), size)
    fits = np.concatenate([np.broadcast_to(r.feasible, size) for r in runs])
    if not fits.any():
        raise OutOfDomain(_nothing_fits(model, fleet, column, reserve))
    order = np.lexsort((column["memory_footprint"], again, column["zero_stage"], column["step_latency_total"]))
    order = order[fits[order]]
    split = np.stack([column[n][order] for n in ("tp", "pp", "ep")])
    _, first = np.unique(split, axis=1, return_index=True)
    best = order[np.sort(first)][: int(single(rows, "parallelism: rows"))]
    devices = float(fleet.nodes) * float(fleet.node.devices) / context
    return Plans(
        dp=devices / (column["tp"][best] * column["pp"][best]),
        recompute=np.array([names[i] for i in again[best]], dtype=object),
        **{n: v[best] for n, v in column.items()},
    )


def _legal(model: Model, fleet: Fleet, batch: float, cp: float, given: dict[str, float | None]) -> dict[str, Column]:
    """Every combination that comes out even, as equally long columns."""
    n = float(fleet.nodes) * float(fleet.node.devices) / cp  # a context-parallel group works as one device here
    if n != int(n):
        raise OutOfDomain(f"parallelism: cp = {cp:g} must divide the {n * cp:g} devices of {fleet.key}")
    layers = float(model.layers or 1)
    split = model.family in ATTENTION
    widest = (given["max_tp"] or float(fleet.node.devices)) if split else 1.0
    deepest = min(given["max_pp"] or layers, layers) if split else 1.0
    experts = float(model.need("experts")) if model.family == "moe" else 1.0
    heads = float(model.heads or 1) if split else 1.0
    stage = given["zero_stage"]
    axes = {
        "tp": [d for d in _divisors(n) if d <= widest and (model.heads is None or heads % d == 0)],
        "pp": [d for d in _divisors(n) if d <= deepest],
        "ep": [given["ep"]] if given["ep"] is not None else _divisors(experts),
        "microbatch": [given["microbatch"]] if given["microbatch"] is not None else _divisors(batch),
        "interleave": [given["interleave"]] if given["interleave"] is not None else _chunks(layers, deepest, n),
        "zero_stage": [0.0, 1.0, 2.0, 3.0] if stage is None else [stage],
    }
    tp, pp, e, micro, v, zero = np.meshgrid(*(np.array(a, dtype=np.float64) for a in axes.values()), indexing="ij")
    dp = n / (tp * pp)
    m = batch / (dp * micro)
    even = (n % (tp * pp) == 0) & (m == np.floor(m)) & (m >= 1)
    legal = even & (dp % e == 0) & (experts % e == 0)
    # interleaving: equal chunks of the fullest stage (of 126 layers on 16 stages: 8), and micro-batches in whole rounds
    # of the stages [Narayanan 2021, section 2.2]
    legal &= (v == 1) | ((pp > 1) & (np.ceil(layers / pp) % v == 0) & (pp * v <= layers) & (m % pp == 0))
    legal &= (zero == 0) | (dp > 1) | (stage is not None)
    if not legal.any():
        raise OutOfDomain(
            f"parallelism: no split of {model.key} over the {n:g} devices of {fleet.key} comes out even; "
            f"batch must be a multiple of replicas x microbatch, and at least {_fewest(n, axes):g} replicas are left "
            "by the widest tp and pp"
        )
    return {name: grid[legal] for name, grid in zip(axes, (tp, pp, e, micro, v, zero), strict=True)}


def _fewest(n: float, axes: dict[str, list[float]]) -> float:
    return min(n / (t * p) for t in axes["tp"] for p in axes["pp"] if n % (t * p) == 0)


def _chunks(layers: float, deepest: float, n: float) -> list[float]:
    """Every interleaving that cuts the fullest stage of some pipeline into equal chunks."""
    stages = {np.ceil(layers / d) for d in _divisors(n) if d <= deepest}
    return sorted({v for stage in stages for v in _divisors(stage)})


def _divisors(n: float) -> list[float]:
    whole = int(n)
    small = [d for d in range(1, int(whole**0.5) + 1) if whole % d == 0]
    return [float(d) for d in sorted({*small, *(whole // d for d in small)})]


def _nothing_fits(model: Model, fleet: Fleet, column: dict[str, Column], reserve: Real | None) -> str:
    i = int(np.argmin(column["memory_footprint"]))
    words = ", ".join(f"{n} = {column[n][i]:g}" for n in ("tp", "pp", "ep", "microbatch", "zero_stage"))
    need, room = float(column["memory_footprint"][i]), float(np.min(usable(fleet.node.device, reserve)))
    return (
        f"parallelism: no plan of {model.key} fits {fleet.key}: the leanest ({words}) needs {need / GB:.4g} GB on one "
        f"device, usable {room / GB:.4g} GB; more devices, a larger max_tp, or devices with more memory"
    )


# ------------------------------------------------------------------ placement


@record
class Placements(Table):
    """What differs between sites over the period, cheapest first."""

    site: Texts
    total_usd: Money  # electricity and carbon
    electricity_usd: Money
    carbon_usd: Money
    electricity_price: EnergyPrice
    pue: Pue
    total_energy_kwh: KilowattHours
    carbon_footprint_kg: Carbon
    water_usage_liters: Volume  # unknown where the site has no WUE on record


@solver("patterson2021", "greengrid-wue", group="Planning")
def placement(
    fleet: Fleet | str,
    *,
    days: Days,
    sites: Many[Site],
    carbon_price: CarbonPrice = 0.1,
    rows: Count = 5,
    mfu: Option[Share] = 0.4,
) -> Placements:
    """Sites compared by electricity and carbon cost, with PUE, energy, carbon and water.

    Hardware, network, hall and staff are taken as equal everywhere and left out.  A site without a tariff on record
    is refused, as are sites whose carbon intensities are on different bases (direct against life cycle).
    """
    fleet, places = Fleet.of(fleet), things_of(Site, sites, "placement: sites")
    price = single(carbon_price, "placement: carbon_price")
    bases = {place.grid.basis: place.key for place in places}
    if len(bases) > 1:
        told = ", ".join(f"{key} {basis}" for basis, key in bases.items())
        raise OutOfDomain(f"placement: carbon intensities are on different bases and do not compare: {told}")
    tariff = np.array([float(place.need("electricity_price")) for place in places])
    green = [
        sustainability(fleet, days=single(days, "placement: days"), datacenter=place, mfu=single(mfu, "placement: mfu"))
        for place in places
    ]
    columns: dict[str, Column] = {
        name: np.array([getattr(g, name) for g in green], dtype=np.float64)
        for name in ("pue", "total_energy_kwh", "carbon_footprint_kg", "water_usage_liters")
    }
    electricity = columns["total_energy_kwh"] * KWH * tariff
    taxed = columns["carbon_footprint_kg"] * price
    best = np.argsort(electricity + taxed, kind="stable")[: int(single(rows, "placement: rows"))]
    values: dict[str, Any] = {n: v[best] for n, v in columns.items()}
    return Placements(
        site=np.array([place.key for place in places], dtype=object)[best],
        total_usd=(electricity + taxed)[best],
        electricity_usd=electricity[best],
        carbon_usd=taxed[best],
        electricity_price=tariff[best],
        **values,
    )
