"""Above the walls: from requests per second and latency targets to whole servers, kilowatts and racks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..catalogue import solver
from ..equations.queueing import allen_cunneen
from ..errors import OutOfDomain
from ..record import Result, record
from ..things import Device, Model, Node, Precision, Rack, Site
from ..units import (
    Bytes,
    Count,
    Factor,
    Flag,
    Fraction,
    Kilowatts,
    Latency,
    Length,
    Option,
    Quantity,
    Rate,
    Real,
    Share,
    Throughput,
)
from .device import Stack, joined
from .operations import DEFAULT_SITE, KW, busy_power, contracted_power
from .planning import SLACK, or_unknown, server
from .serving import ThroughputResult, throughput
from .workload import default, refuse_unless

Grid = npt.NDArray[np.float64]
Test = Callable[[Grid], npt.NDArray[np.bool_]]
MANY = 2.0**40  # groups; more are never bought
MOST_PLACES = 1e6  # as many servers as a queue takes


@record
class CapacityResult(Result):
    """Servers for a load.  Power and racks count all servers, spares too, as if all were busy."""

    memory: ClassVar[str] = "total_memory_required"
    remedy: ClassVar[str] = "more devices in a server, a narrower precision, or devices with more memory"
    devices: Count  # in whole servers, spares included
    servers: Count
    groups: Count  # of tp devices, spares not counted
    tp: Count
    batch: Quantity  # requests in flight in one group at most
    utilisation: Share  # of the groups at the peak
    ttft: Latency  # with the waits for a place and for the prompts before it, mean at the peak
    itl: Latency
    queue_wait: Latency  # those waits
    peak_requests_per_s: Rate
    tokens_per_s: Rate  # generated, at the peak
    it_kw: Kilowatts
    facility_kw: Kilowatts
    racks: Count
    rack_kw: Kilowatts  # nameplate of a full rack
    total_memory_required: Bytes  # of one group
    feasible: Flag
    shortfall: Bytes

    def why(self, j: int) -> str:
        """Why element `j` has no answer."""
        shape = np.shape(self.feasible)
        short, tp, itl, ttft = (
            float(np.broadcast_to(getattr(self, n), shape).flat[j]) for n in ("shortfall", "tp", "itl", "ttft")
        )
        if short > 0:
            return ""
        return (
            f"the targets are out of reach: one request alone on {tp:g} devices has an itl of {1e3 * itl:.4g} ms and a "
            f"ttft of {1e3 * ttft:.4g} ms; relax the targets, or take faster devices or a narrower precision"
        )


@solver("pope2023", "allen1990", "doshi1986", "barroso2018", group="Planning")
def capacity(
    model: Model | str,
    hardware: Device | str,
    *,
    requests_per_s: Throughput,
    input_tokens: Count,
    output_tokens: Count,
    ttft: Latency | None = None,
    itl: Latency | None = None,
    headroom: Share = 0.3,
    precision: Precision | str = "fp16",
    tp: Option[Count | None] = None,
    peak_to_mean: Option[Factor] = 1.0,
    spares: Option[Length] = 1,
    node: Option[Node | str | None] = None,
    rack: Option[Rack | str | None] = None,
    datacenter: Option[Site | str | None] = None,
    max_batch: Option[Count | None] = None,
    kv_precision: Option[Precision | str | None] = None,
    efficiency: Option[Fraction | None] = None,
    stack: Option[Stack] = "tuned",
    reserve: Option[Share | None] = None,
) -> CapacityResult:
    """Whole servers for a mean load of requests, its peak, and targets for first token and token interval.

    A group of tp devices runs the largest batch that fits and keeps itl, and ttft with the prompts queued before it.
    Groups carry the peak at 1 - headroom of their throughput, and more of them until the wait for a free place keeps
    ttft too.  Servers hold whole groups; `spares` come on top (N + 1).  Blank tp: the one that needs fewest servers,
    of equals the smallest.  Racks fill up to their power at the nameplate; blank: what air cools, one server at least.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(precision)
    refuse_unless(headroom < 1, "capacity: headroom must be below 1, or no throughput is left")
    box = server(hardware, node)
    tried = _widths(model, hardware, box) if tp is None else np.asarray(tp, dtype=np.float64)[..., None]
    refuse_unless(tried <= box.devices, f"capacity: tp must not exceed the {float(box.devices):g} devices of {box.key}")

    def column(value: Any) -> Grid:
        return np.asarray(value, dtype=np.float64)[..., None]

    no_limit = np.inf
    peak = column(requests_per_s) * column(peak_to_mean)
    free, spare = column(headroom), column(spares)
    first, gap = (column(no_limit if v is None else v) for v in (ttft, itl))
    prompt, answer = column(input_tokens), column(output_tokens)
    knobs: dict[str, Any] = {n: None if v is None else column(v) for n, v in (
        ("efficiency", efficiency), ("reserve", reserve), ("max_batch", max_batch))}  # fmt: skip

    def run(batch: Grid | None) -> ThroughputResult:
        return throughput(
            model,
            hardware,
            input_tokens=prompt,
            output_tokens=answer,
            batch=batch,
            precision=fmt,
            tp=tried,
            kv_precision=kv_precision,
            stack=stack,
            **{n: v for n, v in knobs.items() if batch is None or n != "max_batch"},
        )

    def keeps(batch: Grid) -> npt.NDArray[np.bool_]:
        got = run(batch)
        return np.asarray(got.feasible & (got.itl <= gap) & (_first_token(got, free) <= first))

    given = [v for v in knobs.values() if v is not None]
    shape = np.broadcast_shapes(*(a.shape for a in (peak, free, spare, first, gap, prompt, answer, tried, *given)))
    one = np.ones(shape)
    good = np.broadcast_to(keeps(one), shape).copy()
    batch = _largest(one, np.broadcast_to(run(None).batch, shape), keeps)
    got = run(batch)
    residence = batch / got.requests_rate
    alone = _first_token(got, free)

    def waits(groups: Grid) -> Grid:
        """Mean wait for one of the places of all groups; answers of many lengths, taken as exponential."""
        places = groups * batch
        counted = np.minimum(places, MOST_PLACES)  # at the same load a larger pool waits even less
        load = np.minimum(peak * residence / places, 1 - 1e-12) * counted
        return np.asarray(allen_cunneen(load=load, servers=counted, service_time=residence))

    ratio = peak / got.requests_rate
    least = np.maximum(np.ceil(ratio / (1 - free) / SLACK), np.floor(ratio) + 1)  # full to the brim, a queue never ends
    groups = _fewest(least, lambda n: np.broadcast_to(alone + waits(n) <= np.where(good, first, np.inf), shape))
    good &= groups < MANY
    per_server = np.floor(float(box.devices) / tried)
    servers = np.ceil(groups / per_server) + spare

    pick = np.argmin(np.where(good, servers, np.inf), axis=-1)
    fits = np.broadcast_to(np.asarray(got.feasible), shape)
    widest = shape[-1] - 1 - np.argmax(fits[..., ::-1], axis=-1)  # where none is good: the widest that fits
    leanest = np.argmin(np.broadcast_to(got.shortfall, shape), axis=-1)
    any_good = good.any(axis=-1)
    index = np.where(any_good, pick, np.where(fits.any(axis=-1), widest, leanest))[..., None]

    def out(value: Real) -> Grid:
        return np.take_along_axis(np.broadcast_to(np.asarray(value, dtype=np.float64), shape), index, axis=-1)[..., 0]

    draw = or_unknown(lambda: busy_power(box))
    pue = float((Site.of(DEFAULT_SITE) if datacenter is None else Site.of(datacenter)).pue)
    per_rack, label = _rack(box, rack)
    bought = out(servers)
    queue = waits(groups) + alone - got.ttft
    return CapacityResult(
        devices=bought * float(box.devices),
        servers=bought,
        groups=out(groups),
        tp=out(tried),
        batch=out(batch),
        utilisation=out(peak / (groups * got.requests_rate)),
        ttft=out(got.ttft + queue),
        itl=out(got.itl),
        queue_wait=out(queue),
        peak_requests_per_s=out(peak),
        tokens_per_s=out(peak * answer),
        it_kw=bought * draw / KW,
        facility_kw=bought * draw * pue / KW,
        racks=np.ceil(bought / per_rack),
        rack_kw=np.minimum(per_rack, bought) * label / KW,
        total_memory_required=out(got.total_memory_required),
        feasible=np.asarray(any_good),
        shortfall=np.where(any_good, 0.0, out(got.shortfall)),
    )


def _widths(model: Model, hardware: Device, box: Node) -> Grid:
    """Tensor-parallel degrees that divide a server and the heads; one device where no link is on record."""
    size, heads = int(box.devices), float(model.heads or 1)
    linked = joined(hardware)
    if hardware.link is None or model.heads is None:
        return np.ones(1)
    return np.array(
        [d for d in range(1, size + 1) if size % d == 0 and heads % d == 0 and d <= linked], dtype=np.float64
    )


def _first_token(got: ThroughputResult, headroom: Grid) -> Grid:
    """Prefill of a prompt after those before it and the step at work: M/D/1 with decode steps as vacations."""
    once = got.prefill_share / got.requests_rate  # device time of one prompt among others
    wait = allen_cunneen(load=got.prefill_share * (1 - headroom), servers=1.0, service_time=once, cv_service=0.0)
    step = got.itl * (1 - got.prefill_share)
    return np.asarray(got.ttft + wait + step / 2)


def _largest(low: Grid, high: Grid, good: Test) -> Grid:
    """The largest whole batch that is good, between 1 and the largest that fits; 1 where none is."""
    high = high + 1
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        met = good(middle)
        low, high = np.where(met, middle, low), np.where(met, high, middle)
    return low


def _fewest(least: Grid, good: Test) -> Grid:
    """The fewest whole groups from `least` on that are good."""
    low, high = least - 1, least
    while np.any(late := ~good(high) & (high < MANY)):
        low, high = np.where(late, high, low), np.where(late, high * 2, high)
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        met = good(middle)
        low, high = np.where(met, low, middle), np.where(met, middle, high)
    return high


def _rack(box: Node, rack: Rack | str | None) -> tuple[float, float]:
    """Servers in one rack, and the nameplate power of each [W]."""
    label = float(or_unknown(lambda: contracted_power(box)))
    if rack is None or label != label:
        return max(1.0, np.floor(default("air_cooling_limit") * KW / label)), label
    named = Rack.of(rack)
    places = np.floor(float(named.power) / label * SLACK)
    if places < 1:
        raise OutOfDomain(
            f"capacity: one {box.key} draws up to {label / KW:.4g} kW, the rack {named.key} carries "
            f"{float(named.power) / KW:.4g} kW"
        )
    return float(places if named.nodes is None else min(places, float(named.nodes))), label
