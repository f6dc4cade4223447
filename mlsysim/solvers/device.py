"""What a device offers to a kernel: calibrated rates, time of one step, memory that can be used, collectives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from ..equations.network import allreduce
from ..errors import MissingFact, OutOfDomain
from ..things import EFFICIENCY, STACKS, Device, Efficiency, Precision
from ..units import Bytes, LinkLatency, Real, unit_of
from .workload import default, refuse_unless

Stack = Literal["tuned", "framework", "llamacpp"]
MICRO = unit_of(LinkLatency)
SIZE = unit_of(Bytes)
MATRIX = 16  # narrower arithmetic than this is 8 or 4 bits wide


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Reachable rates of a group of `devices` equal devices working on one tensor-parallel shard each."""

    peak: float  # FLOP/s of one device, as printed
    compute: Real  # FLOP/s that kernels of the group reach
    bandwidth: Real  # B/s that kernels of the group reach
    efficiency: Real
    layer_overhead: float  # seconds of launch and scheduling for one layer in one pass
    floor: float  # shortest step


def ceilings(
    hardware: Device,
    precision: Precision,
    regime: str,
    efficiency: Real | None,
    bandwidth_efficiency: Real | None,
    devices: Real = 1.0,
    touched: Real | None = None,
    stack: str = "tuned",
) -> Ceilings:
    """Peak x efficiency and bandwidth x efficiency; blanks read the calibrated table of `regime` and `stack`.

    A step whose whole footprint (`touched` bytes) fits on-chip streams from SRAM where its bandwidth is on record.
    """
    peak = compute_rate(hardware, precision, stack)
    used = calibrated(hardware, precision, regime, stack, "compute") if efficiency is None else efficiency
    share = bandwidth_efficiency
    if share is None:
        share = calibrated(hardware, precision, regime, stack, "bandwidth")
    bandwidth: Real = float(hardware.bandwidth)
    if touched is not None and hardware.sram is not None and hardware.sram_bandwidth is not None:
        bandwidth = np.where(touched <= hardware.sram, float(hardware.sram_bandwidth), bandwidth)
    return Ceilings(
        peak,
        peak * used * devices,
        bandwidth * share * devices,
        used,
        calibrated(hardware, precision, regime, stack, "layer_overhead"),
        calibrated(hardware, precision, regime, stack, "floor", 0.0),
    )


def compute_rate(hardware: Device, precision: Precision, stack: str) -> float:
    """Dense peak rate that the format runs at; llama.cpp sums in fp16, which GeForce cards do faster."""
    if stack == "llamacpp" and precision.compute == "fp16" and hardware.fp16_accumulate is not None:
        return float(hardware.fp16_accumulate)
    return hardware.rate(precision.compute)


def calibrated(
    hardware: Device, precision: Precision, regime: str, stack: str, quantity: str, otherwise: float | None = None
) -> float:
    """A calibrated figure: a row of the regime itself answers first, then the one with the most selectors that hold."""
    row = calibration(hardware, precision, regime, stack, quantity)
    if row is not None:
        return float(getattr(row, quantity))
    if otherwise is None:
        raise MissingFact(f"{hardware.key} has no calibrated {quantity} for {regime} by {stack}; give the efficiency")
    return otherwise


@lru_cache(maxsize=4096)
def calibration(hardware: Device, precision: Precision, regime: str, stack: str, quantity: str) -> Efficiency | None:
    """The row of the table that answers for a device, a format, a regime and a software stack."""
    if stack not in STACKS:
        raise OutOfDomain(f"stack must be one of {', '.join(STACKS)}, got {stack!r}")
    now = {
        "stack": stack,
        "generation": hardware.generation,
        "datapath": str(datapath_bits(precision)),
        "weights": "narrow" if precision.weight_only and float(precision.weight_bits) < 8 else "wide",
        "memory_class": hardware.memory_class,
    }
    best, most = None, (False, -1)
    for row in EFFICIENCY.values():
        wanted = [(getattr(row, n), v) for n, v in now.items() if getattr(row, n) is not None]
        fits = row.regime in (regime, "any") and all(w == v for w, v in wanted)
        if fits and getattr(row, quantity) is not None and (row.regime == regime, len(wanted)) > most:
            best, most = row, (row.regime == regime, len(wanted))
    return best


def datapath_bits(precision: Precision) -> int:
    """Width of the arithmetic: 16 stands for 16 bits and more."""
    digits = "".join(c for c in precision.compute if c.isdigit())
    return min(MATRIX, 8 if int(digits) in (6, 8) else int(digits))


def memory_time(traffic: Real, spilled: Real, bandwidth: Real, hardware: Device) -> Real:
    """Time of the traffic: the resident share at memory bandwidth, the spilled bytes over the host link.

    NaN where bytes spill and no host link is on record.
    """
    host = np.nan if hardware.host_link is None else float(hardware.host_link)
    away = np.minimum(spilled, traffic)
    return (traffic - away) / bandwidth + np.where(away > 0, away / host, 0.0)


def one_chip(hardware: Device, name: str) -> Device:
    """Refuse a rack that the registry lists as one device: its parts talk over links."""
    if hardware.devices is not None and hardware.devices > 1:
        raise OutOfDomain(
            f"{name}: {hardware.key} is {hardware.devices:g} devices sold as one; name the device inside and give tp"
        )
    return hardware


def joined(hardware: Device) -> float:
    """Devices that the scale-up links join: on record, else the usual board."""
    return default("scale_up") if hardware.scale_up is None else float(hardware.scale_up)


def usable(hardware: Device, reserve: Real | None) -> Real:
    """Bytes of one device that a workload may plan with."""
    kept = default("reserve") if reserve is None else reserve
    refuse_unless(kept < 1, "reserve must be below 1, or no memory is left to plan with")
    return float(hardware.capacity) * (1 - kept)


def collective_time(workers: Real, message: Real, link: Real, across: bool = False, in_switch: bool = False) -> Real:
    """Measured all-reduce within one group: ring volume at the reached share of the link, plus start-up.

    Inside a node the first `collective_ramp` bytes run at half speed, and switches that reduce raise the rate.  A group
    of one costs nothing.
    """
    boost = default("collective_in_switch") if in_switch else 1.0
    ramp = 0.0 * message if across else np.minimum(message, default("collective_ramp", SIZE))
    once = allreduce(workers=workers, message=message + ramp, bandwidth=link * default("collective_efficiency") * boost)
    return once + np.where(workers > 1, start_up(across), 0.0)


def start_up(across: bool) -> float:
    """Fixed time of one collective inside a node, or across nodes."""
    return default("collective_latency_fabric" if across else "collective_latency_node", MICRO)
