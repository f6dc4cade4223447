"""Ceilings of one device: arithmetic rate and memory bandwidth."""

import numpy as np

from ..catalogue import equation
from ..units import ByteRate, Bytes, FlopRate, Flops, Fraction, Intensity, Latency


@equation("williams2009", group="Equations")
def roofline_time(
    *,
    flops: Flops,
    traffic: Bytes,
    peak: FlopRate,
    bandwidth: ByteRate,
    efficiency: Fraction = 1.0,
    bandwidth_efficiency: Fraction = 1.0,
) -> Latency:
    """Time of a kernel whose arithmetic and memory traffic overlap perfectly.

    A lower bound: latency of launches and imperfect overlap come on top.

    Examples
    --------
    >>> 1e3 * roofline_time(flops=16e9, traffic=16e9, peak=989e12, bandwidth=3.35e12)
    4.776...
    """
    return np.maximum(flops / (peak * efficiency), traffic / (bandwidth * bandwidth_efficiency))


@equation("williams2009", group="Equations")
def ridge_point(*, peak: FlopRate, bandwidth: ByteRate) -> Intensity:
    """Arithmetic intensity at which compute time equals memory time.

    Examples
    --------
    >>> round(ridge_point(peak=989e12, bandwidth=3.35e12), 1)
    295.2
    """
    return peak / bandwidth


@equation("williams2009", group="Equations")
def attainable(*, intensity: Intensity, peak: FlopRate, bandwidth: ByteRate) -> FlopRate:
    """Arithmetic rate that a kernel of given intensity can reach.

    Examples
    --------
    >>> attainable(intensity=1, peak=989e12, bandwidth=3.35e12)
    3350000000000.0
    """
    return np.minimum(peak, bandwidth * intensity)
