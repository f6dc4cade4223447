"""Closed forms of serving."""

import numpy as np

from ..catalogue import equation
from ..units import Draft, Fraction, Ratio


@equation("leviathan2023", group="Equations")
def speculation(*, draft_tokens: Draft, acceptance: Fraction) -> Ratio:
    """Expected tokens of one verification step when a draft model proposes several and each is accepted alike.

    Examples
    --------
    >>> round(speculation(draft_tokens=4, acceptance=0.7), 4)
    2.7731
    >>> speculation(draft_tokens=4, acceptance=1)
    5.0
    """
    return np.where(
        acceptance < 1 - 1e-6,
        (1 - np.exp((draft_tokens + 1) * np.log(acceptance))) / np.maximum(1e-7, 1 - acceptance),
        (draft_tokens + 1) * (1 - draft_tokens / 2 * (1 - acceptance)),
    )  # the quotient loses its digits near 1, where the series is exact
