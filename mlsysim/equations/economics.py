"""Time, energy, carbon and money of a fleet."""

import numpy as np

from ..catalogue import equation
from ..units import (
    HOURS_PER_YEAR,
    Age,
    Carbon,
    CarbonIntensity,
    Count,
    Electricity,
    FlopRate,
    Flops,
    Fraction,
    HourlyPrice,
    Hours,
    Money,
    Power,
    Pue,
    Quantity,
    Share,
    Throughput,
    TokenPrice,
)

YEAR = HOURS_PER_YEAR * 3600  # seconds
BUSY_MFU = 0.4  # at which node power was measured


@equation("cheat-sheet", "chowdhery2022", group="Equations")
def ironlaw(
    *,
    flops: Flops,
    devices: Count,
    peak: FlopRate,
    mfu: Fraction = 0.4,
    scaling: Fraction = 0.9,
    goodput: Fraction = 0.95,
) -> Hours:
    """Iron law of training: time = work / (devices x peak x MFU x scaling efficiency x goodput).

    Examples
    --------
    >>> round(ironlaw(flops=3.15e23, devices=1024, peak=312e12) / 3600)
    801
    """
    return flops / (devices * peak * mfu * scaling * goodput)


@equation("cheat-sheet", "chowdhery2022", group="Equations")
def ironlaw_devices(
    *,
    flops: Flops,
    hours: Hours,
    peak: FlopRate,
    mfu: Fraction = 0.4,
    scaling: Fraction = 0.9,
    goodput: Fraction = 0.95,
) -> Quantity:
    """Iron law solved for the number of accelerators (not rounded).

    Examples
    --------
    >>> round(ironlaw_devices(flops=3.15e23, hours=801 * 3600, peak=312e12))
    1024
    """
    return flops / (hours * peak * mfu * scaling * goodput)


@equation("cheat-sheet", "patterson2021", group="Equations")
def carbon(*, energy: Electricity, pue: Pue, intensity: CarbonIntensity) -> Carbon:
    """Carbon footprint of electricity: IT energy x PUE x carbon intensity of the grid.

    Examples
    --------
    >>> round(carbon(energy=1000 * 3.6e6, pue=1.1, intensity=0.4 / 3.6e6), 9)
    440.0
    """
    return energy * pue * intensity


@equation("barroso2018", group="Equations")
def activity_power(*, busy_power: Power, idle_share: Share, mfu: Share = 0.4) -> Power:
    """Power of a server at a given MFU: idle at 0, the measured busy draw from MFU 0.4 on, a square root between.

    The root is an estimate: it puts memory-bound decode at 5 % MFU near 55 % of the busy draw.

    Examples
    --------
    >>> round(activity_power(busy_power=6850, idle_share=0.3, mfu=0.05))
    3750
    """
    return busy_power * (idle_share + (1 - idle_share) * np.sqrt(np.minimum(1, mfu / BUSY_MFU)))


@equation("barroso2018", group="Equations")
def gpu_hour(
    *, annual_cost: Money, devices: Count, utilisation: Fraction = 1.0, goodput: Fraction = 1.0
) -> HourlyPrice:
    """Cost of one delivered device-hour; a year has 8,760 hours.

    Examples
    --------
    >>> round(3600 * gpu_hour(annual_cost=8760 * 8 * 2.5, devices=8), 9)
    2.5
    """
    return annual_cost / (devices * YEAR * utilisation * goodput)


@equation("nvidia-inference-tco", group="Equations")
def token_cost(
    *, usd_per_device_hour: HourlyPrice, tokens_per_s_per_device: Throughput, utilisation: Fraction = 1.0
) -> TokenPrice:
    """Cost of generated tokens from the cost of a device-hour.

    Examples
    --------
    >>> round(1e6 * token_cost(usd_per_device_hour=3.6 / 3600, tokens_per_s_per_device=1000), 9)
    1.0
    """
    return usd_per_device_hour / (tokens_per_s_per_device * utilisation)


@equation("cottier2024", group="Equations")
def residual(*, price: Money, age: Age, annual_decline: Share = 0.28) -> Money:
    """Resale value after a constant yearly decline; 28 % a year is 0.14 orders of magnitude.

    Examples
    --------
    >>> round(residual(price=25_000, age=3 * 8760 * 3600))
    9331
    """
    return price * (1 - annual_decline) ** (age / YEAR)
