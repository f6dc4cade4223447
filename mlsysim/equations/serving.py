"""Closed forms of serving."""

import numpy as np

from ..catalogue import equation
from ..units import Count, Fraction, Ratio


@equation("leviathan2023", group="Equations")
def speculation(*, draft_tokens: Count, acceptance: Fraction) -> Ratio:
    """Expected tokens of one verification step when a draft model proposes several and each is accepted alike.

    Examples
    --------
    >>> round(speculation(draft_tokens=4, acceptance=0.7), 4)
    2.7731
    >>> speculation(draft_tokens=4, acceptance=1)
    5.0
    """
    return np.where(
        acceptance < 1, (1 - acceptance ** (draft_tokens + 1)) / np.maximum(1e-12, 1 - acceptance), draft_tokens + 1
    )
