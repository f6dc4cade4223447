"""Queues with several equal servers: who waits, how long on average, and how long at worst.

`load` is in erlang, arrivals per second x mean service time; the queue is stable where it is below `servers`.
"""

import math

import numpy as np

from ..catalogue import equation
from ..errors import OutOfDomain
from ..units import Latency, Load, Real, Servers, ServiceTime, Share, Variation
from .twin import twin

# Erlang's formulas are ratios of Poisson probabilities of `servers` events where `load` are expected.
_EVENTS, _AT_MOST = "POISSON({servers},{load},FALSE)", "POISSON({servers},{load},TRUE)"
_BUSY = f"{_EVENTS}/((1-{{load}}/{{servers}})*{_AT_MOST}+{{load}}/{{servers}}*{_EVENTS})"
_WAITS = f"IF({{load}}=0,0,IF({{load}}<{{servers}},{_BUSY},1))"
_WAIT = "{service_time}/({servers}-{load})*({cv_arrival}^2+{cv_service}^2)/2"
_T, _SPARE = "{threshold}/{service_time}", "({servers}-{load}-1)"  # time, and spare servers beyond one
_SHORT = f"(1-{_SPARE}*{_T}/2*(1-{_SPARE}*{_T}/3*(1-{_SPARE}*{_T}/4)))"  # (1-e^-x)/x near 0
_NEAR = f"EXP(-{_T})*(1+{_WAITS}*{_T}*{_SHORT})"
_FAR = (
    f"EXP(-{_T})*(1-{_WAITS})"
    f"+{_WAITS}*(({_SPARE}+1)*EXP(-{_T})-EXP(-({_SPARE}+1)*{_T}))/{_SPARE}"
)  # fmt: skip

_TABLED = 16  # below, Stirling's series lacks digits
_STIRLING = np.array(
    [0.0]
    + [math.log(math.factorial(n)) - ((n + 0.5) * math.log(n) - n + math.log(2 * math.pi) / 2) for n in range(1, 16)]
)


def _stirling(n: Real) -> Real:
    """What ln n! has beyond Stirling's formula."""
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / n**2) / n**2) / n**2) / n
    return np.where(n < _TABLED, _STIRLING[np.minimum(n, _TABLED - 1).astype(np.int64)], series)


def _probability(count: Real, mean: Real) -> Real:
    """Poisson probability of `count` events: the exponent is a small difference, taken without cancellation."""
    off = (count - mean) / mean
    return np.exp(-_stirling(count) - mean * ((1 + off) * np.log1p(off) - off)) / np.sqrt(2 * np.pi * count)


def _more_than(count: Real, mean: Real) -> Real:
    """Probability of more than `count` events over that of `count`; `mean` is below `count`."""
    total, term, n = np.zeros(np.shape(mean)), np.ones(np.shape(mean)), 0
    while n == 0 or np.any(term > 1e-17 * total):
        n += 1
        term = term * mean / (count + n)
        total = total + term
    return total


@equation("erlang1917", group="Equations")
@twin(_WAITS)
def erlang_c(*, load: Load, servers: Servers) -> Share:
    """Probability that an arrival waits (M/M/c, Erlang C); 1 where the load is not below the servers.

    Examples
    --------
    >>> round(erlang_c(load=2.5, servers=3), 6)
    0.702247
    """
    load, servers = np.asarray(load, np.float64), np.asarray(servers, np.float64)
    stable = (load < servers) & (load > 0)
    mean = np.where(stable, load, servers / 2)  # any legal figure where the formula is not used
    exactly = _probability(servers, mean)
    at_most = 1 - exactly * _more_than(servers, mean)
    waits = exactly / ((1 - mean / servers) * at_most + mean / servers * exactly)
    return np.where(stable, waits, np.where(load > 0, 1.0, 0.0))


@equation("allen1990", "erlang1917", group="Equations")
@twin(f"IF({{load}}<{{servers}},{_WAITS}*{_WAIT},NA())")
def allen_cunneen(
    *, load: Load, servers: Servers, service_time: ServiceTime, cv_arrival: Variation = 1, cv_service: Variation = 1
) -> Latency:
    """Mean wait of a G/G/c queue; exact for M/M/c and M/G/1, an approximation else; refused where it is unstable.

    Examples
    --------
    >>> round(allen_cunneen(load=2.5, servers=3, service_time=0.1), 6)
    0.140449
    """
    _refuse_unstable(load, servers, "allen_cunneen")
    mean = erlang_c(load=load, servers=servers) * service_time / (servers - load)
    return mean * (cv_arrival**2 + cv_service**2) / 2


@equation("erlang1917", "kleinrock1975", group="Equations")
@twin(f"IF({{load}}<{{servers}},IF(ABS({_SPARE})*{_T}<0.001,{_NEAR},{_FAR}),NA())")
def sojourn_tail(*, load: Load, servers: Servers, service_time: ServiceTime, threshold: Latency) -> Share:
    """Probability that waiting and service together take longer than a threshold (M/M/c, first come first served).

    Examples
    --------
    >>> round(sojourn_tail(load=2.5, servers=3, service_time=0.1, threshold=1.0), 6)
    0.009445
    """
    _refuse_unstable(load, servers, "sojourn_tail")
    waits = erlang_c(load=load, servers=servers)
    return waiting_and_phase(threshold, waits, service_time / (servers - load), service_time)


def waiting_and_phase(time: Real, waits: Real, mean_wait: Real, phase: Real) -> Real:
    """P(W + S > time) where W is exponential of `mean_wait` with probability `waits`, else 0, and S of mean `phase`."""
    time, mean_wait, phase = (np.asarray(x, np.float64) for x in (time, mean_wait, phase))
    alone: Real = np.exp(-time / phase)
    gap = phase / mean_wait - 1  # 0 where both are alike and the quotient below has no value
    near = np.abs(gap) * time / phase < 1e-3
    nonzero = np.where(gap == 0, 1.0, gap)
    alike = alone * (1 + np.where(gap == 0, time / phase, -np.expm1(-gap * np.where(near, time / phase, 0)) / nonzero))
    unlike = ((gap + 1) * alone - np.exp(-time / mean_wait)) / nonzero
    return (1 - waits) * alone + waits * np.where(near, alike, unlike)


def _refuse_unstable(load: Real, servers: Real, name: str) -> None:
    bad = np.asarray(load) >= np.asarray(servers)
    if np.any(bad):
        a, c = (float(np.broadcast_to(x, np.shape(bad))[bad].flat[0]) for x in (load, servers))
        raise OutOfDomain(
            f"{name}: load must be below servers, or the queue grows without end; "
            f"got {a:g} on {c:g}, which needs {math.floor(a) + 1} servers"
        )
