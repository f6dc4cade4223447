"""Pages of key-value caches when requests differ in length.

1 - exp(-x) is written tanh(x/2) (1 + exp(-x)): the same, and exact where x is small.
"""

import numpy as np

from ..catalogue import equation
from ..units import Quantity, Tokens


@equation("kwon2023", group="Equations")
def mean_length(*, seq_len: Tokens, length_scale: Tokens) -> Tokens:
    """Mean of exponential lengths that are cut at `seq_len`.

    Examples
    --------
    >>> round(mean_length(seq_len=2048, length_scale=1000), 1)
    871.0
    """
    return length_scale * np.tanh(seq_len / length_scale / 2) * (1 + np.exp(-seq_len / length_scale))  # type: ignore[no-any-return]


@equation("kwon2023", group="Equations")
def mean_pages(*, seq_len: Tokens, length_scale: Tokens, page_size: Tokens = 16) -> Quantity:
    """Pages of a request on average: lengths are exponential, cut at `seq_len`, and rounded up to whole pages.

    Examples
    --------
    >>> round(mean_pages(seq_len=2048, length_scale=1000), 2)
    54.87
    """
    return (  # type: ignore[no-any-return]
        np.tanh(np.ceil(seq_len / page_size) * page_size / length_scale / 2)
        * (1 + np.exp(-np.ceil(seq_len / page_size) * page_size / length_scale))
        / (np.tanh(page_size / length_scale / 2) * (1 + np.exp(-page_size / length_scale)))
    )
