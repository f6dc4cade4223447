"""Failures and checkpoints of a system in which every component is in series."""

import numpy as np

from ..catalogue import equation
from ..units import Count, Duration, Hours, Share


@equation("daly2006", group="Equations")
def mtbf(*, component_life: Hours, count: Count) -> Hours:
    """Mean time between failures of `count` equal components, any of which stops the system.

    Examples
    --------
    >>> mtbf(component_life=50_000 * 3600, count=16_384) / 3600
    3.051...
    """
    return component_life / count


@equation("young1974", "daly2006", group="Equations")
def checkpoint_interval(*, save_time: Duration, mtbf: Hours) -> Hours:
    """Interval between checkpoints that wastes least time; the MTBF itself where saving takes twice that or more.

    Examples
    --------
    >>> round(checkpoint_interval(save_time=60, mtbf=3 * 3600))
    1138
    """
    return np.where(save_time < 2 * mtbf, np.sqrt(2 * save_time * mtbf), mtbf)


@equation("young1974", "daly2006", group="Equations")
def goodput(*, save_time: Duration, interval: Hours, recovery_time: Duration, mtbf: Hours) -> Share:
    """Share of time left after saving, recovering, and redoing half an interval per failure (first order).

    Examples
    --------
    >>> round(goodput(save_time=60, interval=1138, recovery_time=300, mtbf=3 * 3600), 4)
    0.8668
    """
    return np.maximum(0, 1 - save_time / interval - (interval / 2 + recovery_time) / mtbf)
