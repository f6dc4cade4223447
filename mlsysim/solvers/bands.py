"""How wrong a figure may be: the spread of measured over predicted, where published measurements judge it.

A band holds about 80 % of measurements: p10 = figure x 10th percentile of measured / predicted, p90 likewise.  A device
generation or regime without rows is *extrapolated*: the band is widened, and says so.  Without rows: *not validated*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..things import BANDS
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


NOT_VALIDATED = Spread(np.nan, np.nan, Validation.not_validated)


def spread(key: str, generation: str | None, exact: bool = True) -> Spread:
    """Band of a regime for a generation of silicon; wider where no row of the regime measured it."""
    if key not in BANDS:
        return NOT_VALIDATED
    row = BANDS[key]
    low, high = float(row.low), float(row.high)
    if exact and generation in row.generations.split():
        return Spread(low, high, Validation.validated)
    wider = default("extrapolation")
    return Spread(low**wider, high**wider, Validation.extrapolated)
