"""Wall 20: what privacy and fairness cost in time and data."""

from __future__ import annotations

import numpy as np

from ..catalogue import solver
from ..record import Result, record
from ..things import DEFAULTS
from ..units import Delta, Epsilon, Factor, Fraction, Hours, Option
from .workload import default


@record
class SafetyResult(Result):
    """Training time with differential privacy, as a range, and data for a small subgroup."""

    training_time: Hours
    training_time_low: Hours
    training_time_high: Hours
    slowdown: Factor
    data_factor: Factor  # samples to collect for each one of the subgroup
    privacy_data_factor: Factor  # data that keep the noise of each step at the reference budget's


@solver("abadi2016", "sander2023", "beltran2024", "de2022", group="Operations", wall=20)
def safety(
    *,
    base_hours: Hours,
    epsilon: Epsilon = 1,
    subgroup: Fraction = 0.01,
    delta: Option[Delta | None] = None,
) -> SafetyResult:
    """Training time under differentially private SGD, with a wide range: a heuristic, not a law.

    Clipping every sample's gradient costs 1.2 to 3 times, whatever epsilon.  By the accountant's scaling the noise of a
    step falls with data x epsilon / sqrt(ln(1/delta)), so a budget tighter than the reference (8 at 1e-5) needs f times
    the data for the same noise: low spends no further compute (and loses accuracy), middle sqrt(f), high f times.
    """
    given = default("privacy_delta") if delta is None else delta
    tightness = default("privacy_reference") / epsilon
    stricter = np.sqrt(np.log(given) / np.log(default("privacy_delta")))
    data = np.maximum(1.0, tightness * stricter)
    clipping = DEFAULTS["clipping_slowdown"]
    slowdown = float(clipping.value) * np.sqrt(data)
    return SafetyResult(
        training_time=base_hours * slowdown,
        training_time_low=base_hours * float(clipping.need("low")) + 0.0 * slowdown,
        training_time_high=base_hours * float(clipping.need("high")) * data,
        slowdown=slowdown,
        data_factor=1 / subgroup + 0.0 * slowdown,
        privacy_data_factor=data,
    )
