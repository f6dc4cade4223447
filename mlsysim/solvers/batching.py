"""Wall 5: how many requests one server holds, with reserved and with paged key-value caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from ..catalogue import solver
from ..equations.paging import mean_length, mean_pages
from ..errors import OutOfDomain
from ..record import Result, record
from ..things import Device, Model, Precision
from ..units import Bytes, Count, Flag, Fraction, Latency, Length, Option, Rate, Ratio, Real, Share, Tokens
from .device import Stack, usable
from .serving import serving
from .workload import cache_bytes, default, is_lm, kv_copies, refuse_unless, weight_bytes

_HALVINGS = 100
_FLAT = 1e7  # length_scale over seq_len from which on every request has the full length, to rounding


@record
class BatchingResult(Result):
    """Requests in flight on one server (all tensor-parallel devices together), paged against reserved."""

    memory: ClassVar[str] = "total_memory_required"
    remedy: ClassVar[str] = "raise tp, lower seq_len, or take a narrower precision or kv_precision"
    max_requests: Length
    throughput: Rate  # generated tokens per second
    itl: Latency
    requests_static: Length
    throughput_static: Rate
    speedup_vs_static: Ratio
    fragmentation: Share  # of paged memory: unused ends of last pages
    useful_share: Share  # of statically reserved memory that ever holds tokens
    paged_kv_cache_size: Bytes
    total_memory_required: Bytes
    feasible: Flag
    shortfall: Bytes


@solver("kwon2023", "pope2023", group="Node", wall=5)
def batching(
    model: Model | str,
    hardware: Device | str,
    *,
    seq_len: Count,
    max_batch: Count | None = None,
    page_size: Count = 16,
    precision: Precision | str = "fp16",
    mean_len: Option[Tokens | None] = None,
    tp: Option[Count] = 1,
    kv_precision: Option[Precision | str | None] = None,
    stack: Option[Stack] = "tuned",
    efficiency: Option[Fraction | None] = None,
    bandwidth_efficiency: Option[Fraction | None] = None,
    reserve: Option[Share | None] = None,
) -> BatchingResult:
    """Requests that fit with paged and with statically reserved KV, and what paging gains in throughput.

    Requests have at most `seq_len` and on average `mean_len` tokens at their end, exponential and cut at `seq_len`.
    Static: each reserves `seq_len`.  Paged: each takes whole pages of its own length.  Both are capped by `max_batch`.
    Decoding is timed by `serving` at the mean length.  Feasible where one longest request fits.
    Means: a paged server that fills up preempts now and then; that work, prefill and queueing are left out.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(precision)
    if not is_lm(model) or model.family == "ssm":
        raise OutOfDomain(f"batching: {model.key} keeps no key-value cache that grows with the request")
    kv = fmt if kv_precision is None else Precision.of(kv_precision)
    mean = default("kv_useful") * seq_len if mean_len is None else mean_len
    refuse_unless(mean <= seq_len, "batching: mean_len must not exceed seq_len")

    def reserved(length: Real) -> Real:
        return cache_bytes(model, length, 1.0, float(kv.kv_bits) / 8) * kv_copies(model, tp)

    room = usable(hardware, reserve) * tp
    weights = weight_bytes(model, fmt)
    budget = room - weights
    fixed, paged = reserved(seq_len), _paged(model, reserved, seq_len, mean, page_size)
    longest = np.ceil(seq_len / page_size) * page_size
    one = reserved(longest)
    feasible = one + 0.0 * (mean * tp) <= budget
    most = np.inf if max_batch is None else max_batch
    held = np.where(feasible, np.maximum(1.0, np.floor(np.minimum(budget / paged, most))), 0.0)
    static = np.where(feasible, np.maximum(1.0, np.floor(np.minimum(budget / fixed, most))), 0.0)

    def step(requests: Real) -> Real:
        return serving(
            model,
            hardware,
            seq_len=np.ceil(mean) + 0.0 * requests,
            batch=np.maximum(1.0, requests),
            precision=fmt,
            efficiency=efficiency,
            tp=tp,
            kv_precision=kv,
            stack=stack,
            bandwidth_efficiency=bandwidth_efficiency,
            reserve=reserve,
        ).itl

    itl, itl_static = step(held), step(static)
    throughput, before = held / itl, static / itl_static
    in_use = held * paged
    total = weights + np.where(feasible, in_use, one)
    return BatchingResult(
        max_requests=held,
        throughput=throughput,
        itl=itl,
        requests_static=static,
        throughput_static=before,
        speedup_vs_static=np.where(feasible, throughput / np.where(feasible, before, 1.0), 0.0),
        fragmentation=np.maximum(0.0, 1 - mean / (_pages(seq_len, mean, page_size) * page_size)) + 0.0 * itl,
        useful_share=mean / seq_len + 0.0 * itl,
        paged_kv_cache_size=in_use,
        total_memory_required=total,
        feasible=feasible & (itl > 0),
        shortfall=np.where(feasible, 0.0, total - room) + 0.0 * itl,
    )


def _scale(seq_len: Real, mean: Real) -> Real:
    """Scale of the cut exponential whose mean is `mean`."""
    low = np.log(mean) + 0.0 * seq_len  # cutting only shortens
    high = np.log(_FLAT * seq_len) + 0.0 * low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = mean_length(seq_len=seq_len, length_scale=np.exp(middle)) < mean
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.exp((low + high) / 2)


def _pages(seq_len: Real, mean: Real, page_size: Real, cap: Real | None = None) -> Real:
    """Mean pages of a request; with `cap`, of its last `cap` tokens."""
    scale, top = _scale(seq_len, mean), seq_len if cap is None else np.minimum(cap, seq_len)
    most = np.ceil(top / page_size)
    # equal lengths: the closed form would lose its digits
    return np.where(mean < seq_len * (1 - 1e-6), mean_pages(seq_len=top, length_scale=scale, page_size=page_size), most)


def _paged(model: Model, size: Callable[[Real], Real], seq_len: Real, mean: Real, page_size: Real) -> Real:
    """Mean bytes of one paged request; sliding-window layers keep the pages of their window."""
    every = size(1.0)
    if model.window is None:
        return every * page_size * _pages(seq_len, mean, page_size)
    window = float(model.window)
    growing = size(window + 1) - size(window)  # of the layers that see everything
    return page_size * (
        growing * _pages(seq_len, mean, page_size) + (every - growing) * _pages(seq_len, mean, page_size, window)
    )
