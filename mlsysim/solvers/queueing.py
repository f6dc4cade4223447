"""Walls 7 and 16: requests before a pool of replicas, and jobs before a shared cluster."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..catalogue import solver
from ..equations.queueing import erlang_c, waiting_and_phase
from ..record import Result, record
from ..units import (
    Count,
    DailyRate,
    Days,
    Flag,
    Hours,
    Latency,
    Rate,
    Ratio,
    Real,
    Servers,
    ServiceTime,
    Share,
    Variation,
)

PERCENTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
_HALVINGS = 64  # the bracket shrinks to the last digits of a float


@record
class QueueResult(Result):
    """What every queue answers, stable or not; `shortfall` counts the servers that are missing."""

    always: ClassVar[tuple[str, ...]] = ("utilisation", "servers_needed", "shortfall", "wait_probability")

    def why(self, j: int) -> str:
        """The sentence for element `j` that has no answer."""
        asked, needed = (float(np.atleast_1d(getattr(self, n)).flat[j]) for n in ("utilisation", "servers_needed"))
        return (
            f"unstable: {asked:.4g} times the capacity is asked for, so the queue grows without end; "
            f"servers must be at least {needed:g}"
        )


@record
class TailLatencyResult(QueueResult):
    """Response times (waiting and service together) of a pool of replicas."""

    p99: Latency
    p50: Latency
    p90: Latency
    p95: Latency
    p999: Latency
    wait_mean: Latency
    wait_probability: Share
    utilisation: Ratio  # load over capacity; above 1 where unstable
    stable: Flag
    servers_needed: Count  # fewest that are stable at this load
    feasible: Flag
    shortfall: Ratio


@solver("erlang1917", "kleinrock1975", "allen1990", "whitt1982", group="Node", wall=7)
def tail_latency(
    *, arrival_rate: Rate, service_time: ServiceTime, servers: Servers, cv: Variation = 1
) -> TailLatencyResult:
    """Percentiles of the response time of equal replicas behind one queue, requests arriving at random.

    Exact for exponential service (cv = 1).  Else the percentiles are an approximation: the mean wait is
    Allen-Cunneen's, its tail exponential, and service is a constant plus an exponential part (cv below 1) or a
    balanced two-phase hyperexponential (above) of the given mean and cv.  Against simulated gamma service, p90 to p99
    lie within 4 % at loads from 0.8 and cv up to 1.5, within 20 % for lighter loads; mean and cv do not fix a tail, and
    log-normal service of cv = 2 has a p99 up to a third higher.
    """
    load = arrival_rate * service_time + 0.0 * cv  # every answer has the shape of all arguments
    stable = load < servers
    calm = np.where(stable, load, servers / 2)  # any stable load, where no answer will stand
    waits = np.where(stable, erlang_c(load=calm, servers=servers), 1.0)
    mean_wait = service_time / (servers - calm) * (1 + cv**2) / 2  # of those who wait
    found = _percentiles(waits, mean_wait, service_time, cv)
    p50, p90, p95, p99, p999 = np.where(stable, found, np.inf)
    needed = np.floor(load) + 1
    return TailLatencyResult(
        p99=p99,
        p50=p50,
        p90=p90,
        p95=p95,
        p999=p999,
        wait_mean=np.where(stable, waits * mean_wait, np.inf),
        wait_probability=waits,
        utilisation=load / servers,
        stable=stable,
        servers_needed=needed,
        feasible=stable,
        shortfall=np.maximum(0.0, needed - servers),
    )


def _percentiles(waits: Real, mean_wait: Real, service: Real, cv: Real) -> Real:
    """Times that the response exceeds with probability 1 - p, by bisection; one row for each of `PERCENTILES`."""
    skew = np.sqrt(np.maximum(0.0, cv**2 - 1) / (cv**2 + 1))  # 0 up to cv = 1: one phase
    first, second = (1 + skew) / 2, (1 - skew) / 2
    constant = service * np.maximum(0.0, 1 - cv)
    spread = np.maximum(np.minimum(cv, 1.0), 1e-9) * service  # mean of the exponential part
    quick, slow = spread / (2 * first), spread / (2 * second)
    shape = np.broadcast_shapes(np.shape(waits), np.shape(mean_wait), np.shape(spread))
    beyond = (1 - np.array(PERCENTILES)).reshape(-1, *(1 for _ in shape))

    def exceeds(time: Real) -> Real:
        after = np.maximum(0.0, time - constant)
        tail = first * waiting_and_phase(after, waits, mean_wait, quick)
        return np.where(time < constant, 1.0, tail + second * waiting_and_phase(after, waits, mean_wait, slow))

    low = np.zeros(beyond.shape[:1] + shape)
    # either part alone beyond its own share of the bracket has half of the probability
    wait_part = mean_wait * np.log(np.maximum(1.0, 2 * waits / beyond))
    high = constant + slow * np.log(2 / beyond) + wait_part + low
    for _ in range(_HALVINGS):
        middle: Real = (low + high) / 2
        above = exceeds(middle) > beyond
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    found: Real = high
    return found


@record
class JobQueueResult(QueueResult):
    """Waiting for a slot of a shared cluster."""

    wait: Hours
    queue_length: Ratio  # jobs waiting, on average
    turnaround: Hours  # waiting and running
    wait_probability: Share
    utilisation: Ratio
    stable: Flag
    servers_needed: Count
    feasible: Flag
    shortfall: Ratio


@solver("allen1990", "erlang1917", group="Fleet", wall=16)
def queue(
    *,
    arrivals_per_day: DailyRate,
    job_days: Days,
    servers: Servers,
    cv_arrival: Variation = 1,
    cv_job: Variation = 1,
) -> JobQueueResult:
    """Mean wait of jobs for one of `servers` equal slots of a cluster (Allen-Cunneen G/G/c, first come first served).

    A slot is what one job takes: cluster size over job size.  Jobs of mixed sizes, priorities and backfilling are
    left out.  Exact for random arrivals with exponential run times, and for one server.
    """
    load = arrivals_per_day * job_days + 0.0 * (cv_arrival + cv_job)
    stable = load < servers
    calm = np.where(stable, load, servers / 2)
    waits = np.where(stable, erlang_c(load=calm, servers=servers), 1.0)
    wait = np.where(stable, waits * job_days / (servers - calm) * (cv_arrival**2 + cv_job**2) / 2, np.inf)
    needed = np.floor(load) + 1
    return JobQueueResult(
        wait=wait,
        queue_length=np.where(stable, arrivals_per_day * np.where(stable, wait, 0.0), np.inf),
        turnaround=wait + job_days,
        wait_probability=waits,
        utilisation=load / servers,
        stable=stable,
        servers_needed=needed,
        feasible=stable,
        shortfall=np.maximum(0.0, needed - servers),
    )
