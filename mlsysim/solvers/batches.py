"""Above the walls: the largest batch that is of any use to a server with a latency bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ..catalogue import solver
from ..equations.queueing import allen_cunneen, erlang_c
from ..record import Result, record
from ..things import Device, Model, Precision
from ..units import Bytes, Count, Flag, Fraction, Latency, Option, Rate, Ratio, Real, Share, Throughput
from .device import Stack
from .serving import ServingResult, serving

Statistic = Literal["mean", "p99"]
EVERY, STEP, MOST = 128, 1.03, 2.0**20  # every batch is tried up to 128, then steps of 3 %; the last step is refined
ALMOST = 1 - 1e-9
Grid = npt.NDArray[np.float64]


@record
class BatchLimitResult(Result):
    """The largest batch within the bound, and what its requests wait for; where none is, the quickest batch."""

    memory: ClassVar[str] = "total_memory_required"
    remedy: ClassVar[str] = "raise tp, or take a narrower precision or shorter requests"
    batch: Count
    latency_mean: Latency
    latency_p99: Latency  # of the request that waits longest for its batch to fill
    service_time: Latency  # prefill and decode of the whole batch
    forming_wait: Latency
    queue_wait: Latency
    utilisation: Ratio  # load over capacity
    tokens_per_s: Rate  # what arrives is what leaves: no batch size changes it
    most_requests_per_s: Rate  # that this batch size could carry
    total_memory_required: Bytes
    feasible: Flag
    shortfall: Bytes
    replicas_needed: Count  # for a stable queue at this batch

    def why(self, i: int) -> str:
        """Why element `i` has no batch."""
        at = {n: np.broadcast_to(getattr(self, n), np.shape(self.feasible)).flat[i] for n in ("batch", "latency_mean",
              "latency_p99", "utilisation", "shortfall", "replicas_needed")}  # fmt: skip
        if at["shortfall"] > 0:
            return ""
        if at["utilisation"] >= 1:
            return (
                f"the queue grows without end: at batch {at['batch']:g} the load is {at['utilisation']:.3g} times what "
                f"the servers carry; replicas = {at['replicas_needed']:g} would carry it"
            )
        return (
            f"no batch meets the latency: the quickest, {at['batch']:g}, takes {1e3 * at['latency_mean']:.4g} ms on "
            f"average and {1e3 * at['latency_p99']:.4g} ms at the 99th percentile; give tp or faster hardware"
        )


@solver("pope2023", "allen1990", "erlang1917", group="Planning")
def batch_limit(
    model: Model | str,
    hardware: Device | str,
    *,
    input_tokens: Count,
    output_tokens: Count,
    latency: Latency,
    arrival_rate: Throughput,
    precision: Precision | str = "fp16",
    tp: Option[Count] = 1,
    replicas: Option[Count] = 1,
    statistic: Option[Statistic] = "mean",
    kv_precision: Option[Precision | str | None] = None,
    efficiency: Option[Fraction | None] = None,
    stack: Option[Stack] = "tuned",
    reserve: Option[Share | None] = None,
) -> BatchLimitResult:
    """Largest batch under a latency bound, for servers that gather a batch and answer it as a whole.

    latency = filling the batch, (B - 1) / (2 x arrival rate) on average, + queue + prefill + decode.  The queue is
    Allen-Cunneen with batches as customers: arrivals of cv 1 / sqrt(B), constant service.  The batch must fit in
    memory and its queue be stable.  No batch carries more than arrives.  Means are within some 6 % of simulation, the
    99th percentile within 25 %.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(precision)
    numbers = np.broadcast_arrays(input_tokens, output_tokens, latency, arrival_rate, tp, replicas)
    prompt, answer, bound, rate, wide, count = (np.asarray(a, dtype=np.float64)[..., None] for a in numbers)
    options = [None if v is None else np.asarray(v, dtype=np.float64)[..., None] for v in (efficiency, reserve)]

    def run(batch: Grid) -> ServingResult:
        return serving(
            model,
            hardware,
            seq_len=prompt,
            batch=batch,
            output_tokens=answer,
            precision=fmt,
            tp=wide,
            kv_precision=kv_precision,
            efficiency=options[0],
            stack=stack,
            reserve=options[1],
        )

    def judged(batch: Grid) -> dict[str, Grid]:
        return _judged(run(batch), batch, answer, rate, count)

    def good(batch: Grid) -> npt.NDArray[np.bool_]:
        got = judged(batch)
        return (got["fits"] > 0) & (got["utilisation"] < 1) & (got[f"latency_{statistic}"] <= bound)

    tried = _candidates(1 + (2 if statistic == "mean" else 1) * rate * bound)
    met = good(tried)
    any_met = met.any(axis=-1, keepdims=True)
    last = tried.shape[-1] - 1 - np.argmax(met[..., ::-1], axis=-1)[..., None]
    low = np.take(tried, last)
    batch = _refined(low, np.take(tried, np.minimum(last + 1, tried.shape[-1] - 1)), good)
    everything = judged(tried)
    rank = everything[f"latency_{statistic}"] + np.where(everything["utilisation"] < 1, 0.0, 1e12)
    rank = np.where(everything["fits"] > 0, rank, np.inf)
    carries = np.where(everything["fits"] > 0, everything["most_requests_per_s"], -1.0)
    stable = (everything["fits"] > 0) & (everything["utilisation"] < 1)
    other = np.where(stable.any(axis=-1), np.argmin(rank, axis=-1), np.argmax(carries, axis=-1))[..., None]
    batch = np.where(any_met, batch, np.take(tried, other))
    got, record = judged(batch), run(batch)
    shape = np.broadcast_shapes(batch.shape, got["latency_mean"].shape)

    def out(value: Real) -> Grid:
        return np.broadcast_to(value, shape)[..., 0]

    return BatchLimitResult(
        batch=out(batch),
        **{n: out(v) for n, v in got.items() if n != "fits"},
        tokens_per_s=out(rate * answer),
        total_memory_required=out(record.total_memory_required),
        feasible=np.broadcast_to(any_met, shape)[..., 0],
        shortfall=out(record.shortfall),
    )


def _judged(got: ServingResult, batch: Grid, answer: Grid, rate: Grid, count: Grid) -> dict[str, Grid]:
    """Waits and latencies of every candidate; a queue that is not stable waits for ever."""
    service = got.ttft + (answer - 1) * got.itl
    load = rate / batch * service  # batches at work together
    stable = load < count
    safe = np.where(stable, load, count / 2)
    wait = allen_cunneen(load=safe, servers=count, service_time=service, cv_arrival=1 / np.sqrt(batch), cv_service=0.0)
    delayed = erlang_c(load=safe, servers=count)
    mean = np.where(stable, wait, np.inf)
    # among the delayed the wait is taken as exponential, of mean wait / P(delayed)
    tail = np.where(stable, wait / np.maximum(delayed, 1e-300) * np.log(np.maximum(1.0, delayed / 0.01)), np.inf)
    forming = (batch - 1) / (2 * rate)
    return {
        "latency_mean": forming + mean + service,
        "latency_p99": 2 * forming + tail + service,
        "service_time": service,
        "forming_wait": forming + 0.0 * service,
        "queue_wait": mean,
        "utilisation": load / count,
        "most_requests_per_s": count * batch / service,
        "replicas_needed": np.floor(load) + 1,
        "fits": np.asarray(got.feasible, dtype=np.float64) + 0.0 * service,
    }


def _candidates(most: Grid) -> Grid:
    """Batches to try: all small ones, then ever larger steps, up to what could fill within the bound."""
    top = min(float(np.max(most)), MOST)
    count = int(np.ceil(np.log(max(top / EVERY, 1.0)) / np.log(STEP))) + 1
    wide = np.floor(EVERY * STEP ** np.arange(count + 1))
    return np.unique(np.concatenate([np.arange(1.0, EVERY + 1), wide]))


def _refined(low: Grid, high: Grid, good: Callable[[Grid], npt.NDArray[np.bool_]]) -> Grid:
    """The last good batch between one that is good and the next one tried."""
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        met = good(middle)
        low, high = np.where(met, middle, low), np.where(met, high, middle)
    return low
