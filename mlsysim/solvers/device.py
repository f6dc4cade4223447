"""What a device offers to a kernel: effective rates, time of one step, memory that can be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import OutOfDomain, UnknownName
from ..things import DEFAULTS, Device, Precision
from ..units import Latency, Real, unit_of
from .workload import default, refuse_unless

TIME = unit_of(Latency)


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Reachable rates of a group of `devices` equal devices working on one tensor-parallel shard each."""

    peak: float  # FLOP/s of one device, as printed
    compute: Real  # FLOP/s that kernels of the group reach
    bandwidth: Real  # B/s that kernels of the group reach
    efficiency: Real


def ceilings(
    hardware: Device,
    precision: Precision,
    regime: str,
    efficiency: Real | None,
    bandwidth_efficiency: Real | None,
    devices: Real = 1.0,
    touched: Real | None = None,
) -> Ceilings:
    """Peak x efficiency and bandwidth x efficiency; blanks read the sourced defaults of `regime` and memory class.

    A step whose whole footprint (`touched` bytes) fits on-chip streams from SRAM where its bandwidth is on record.
    """
    peak = hardware.rate(precision.compute)
    used = (
        efficiency
        if efficiency is not None
        else default(f"efficiency_{'tiny' if hardware.group == 'Tiny' else regime}")
    )
    share = bandwidth_efficiency if bandwidth_efficiency is not None else bandwidth_share(hardware)
    bandwidth: Real = float(hardware.bandwidth)
    if touched is not None and hardware.sram is not None and hardware.sram_bandwidth is not None:
        bandwidth = np.where(touched <= hardware.sram, float(hardware.sram_bandwidth), bandwidth)
    return Ceilings(peak, peak * used * devices, bandwidth * share * devices, used)


def bandwidth_share(hardware: Device) -> float:
    """Share of the data-sheet bandwidth that kernels reach, by class of memory."""
    name = f"bandwidth_{hardware.memory_class or 'other'}"
    if name not in DEFAULTS:
        raise UnknownName(
            f"{hardware.key}: memory_class {hardware.memory_class!r} has no bandwidth efficiency on record"
        )
    return default(name)


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


def usable(hardware: Device, reserve: Real | None) -> Real:
    """Bytes of one device that a workload may plan with."""
    kept = default("reserve") if reserve is None else reserve
    refuse_unless(kept < 1, "reserve must be below 1, or no memory is left to plan with")
    return float(hardware.capacity) * (1 - kept)


def step_overhead(layers: Real, name: str) -> Real:
    """Launch and scheduling time of one pass over `layers` layers."""
    return layers * default(name, TIME)
