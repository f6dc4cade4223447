"""Collectives: bandwidth is one direction of one device's link."""

import numpy as np

from ..catalogue import equation
from ..units import ByteRate, Bytes, Count, Latency, LinkLatency, Ratio


@equation("patarasuk2009", group="Equations")
def allreduce(*, workers: Count, message: Bytes, bandwidth: ByteRate, latency: LinkLatency = 0) -> Latency:
    """Ring all-reduce: reduce-scatter and all-gather, (N-1)/N of the message each.

    Examples
    --------
    >>> 1e3 * allreduce(workers=8, message=1e9, bandwidth=450e9, latency=1e-6)
    3.902...
    """
    return 2 * (workers - 1) / workers * message / bandwidth + 2 * (workers - 1) * latency


@equation("sanders2009", group="Equations")
def tree_allreduce(*, workers: Count, message: Bytes, bandwidth: ByteRate, latency: LinkLatency = 0) -> Latency:
    """Double-binary-tree all-reduce: full bandwidth, logarithmic latency.

    Examples
    --------
    >>> 1e3 * tree_allreduce(workers=8, message=1e9, bandwidth=450e9, latency=1e-6)
    4.450...
    """
    return (
        2 * np.minimum(workers - 1, 1) * message / bandwidth + 2 * np.ceil(np.log2(workers) - 1e-9) * latency
    )  # 1e-9: the logarithm of a power of two must not round up


@equation("thakur2005", group="Equations")
def alltoall(*, workers: Count, message: Bytes, bandwidth: ByteRate, latency: LinkLatency = 0) -> Latency:
    """All-to-all by pairwise exchange: every device sends (N-1)/N of its message.

    Examples
    --------
    >>> 1e3 * alltoall(workers=8, message=1e9, bandwidth=450e9, latency=1e-6)
    1.951...
    """
    return (workers - 1) / workers * message / bandwidth + (workers - 1) * latency


@equation("narayanan2021", group="Equations")
def bubble(*, stages: Count, microbatches: Count, interleave: Count = 1) -> Ratio:
    """Idle time of a 1F1B pipeline over its ideal time; the idle share of the whole step is b / (1 + b).

    Examples
    --------
    >>> bubble(stages=4, microbatches=128)
    0.0234375
    """
    return (stages - 1) / (interleave * microbatches)
