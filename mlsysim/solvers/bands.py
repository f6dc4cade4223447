"""How wrong a figure may be: the spread of measured over predicted, where published measurements judge it.

A band holds about 80 % of measurements: p10 = figure x 10th percentile of measured / predicted, p90 likewise.  A device
generation or regime without rows is *extrapolated*: the band is widened, and says so.  Without rows: *not validated*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..things import BANDS, Device
from ..units import Flag, Real, Validation
from .workload import default


@dataclass(frozen=True, slots=True)
class Spread:
    """Factors on a figure, and what they rest on (a `Validation`)."""

    low: Real
    high: Real
    status: Real

    def where(self, condition: Flag, other: Spread) -> Spread:
        """Keep this spread where a condition holds, else take another one."""
        pairs = ((self.low, other.low), (self.high, other.high), (self.status, other.status))
        return Spread(*(np.where(condition, a, b) for a, b in pairs))


def repeated(status: Any, like: Real) -> Real:
    """A word as often as a positive number has elements."""
    return status + 0 * (like > 0)  # type: ignore[no-any-return]


NOT_VALIDATED = Spread(np.nan, np.nan, Validation.not_validated)


def chip_class(device: Device) -> str:
    """What makes two chips alike for a band: generation of silicon and class of memory."""
    return f"{device.generation}/{device.memory_class}"


def spread(key: str, device: Device, exact: bool = True) -> Spread:
    """Band of a regime for a chip; wider where no row of the regime measured its class."""
    if key not in BANDS:
        return NOT_VALIDATED
    row = BANDS[key]
    low, high = float(row.low), float(row.high)
    if exact and chip_class(device) in row.chips.split():
        return Spread(low, high, Validation.validated)
    wider = default("extrapolation")
    return Spread(min(low, low**wider), max(high, high**wider), Validation.extrapolated)
