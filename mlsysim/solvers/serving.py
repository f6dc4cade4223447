"""Wall 4: serving a decoder on one group of devices, as a batch and at load.

    prefill = passes of at most `prefill_chunk` tokens: max(arithmetic, weights + KV cache) + collectives + launches
    decode  = arithmetic + (weights touched + KV cache) / bandwidth + collectives + launches, at the mean length

Decode adds its parts: kernels of a step alternate, and measured steps add up.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..catalogue import solver
from ..equations.serving import speculation
from ..errors import MissingFact, OutOfDomain
from ..record import Result, record
from ..things import Device, Model, Precision
from ..units import (
    Binding,
    Bottleneck,
    ByteRate,
    Bytes,
    Count,
    Draft,
    Flag,
    Fraction,
    Latency,
    Length,
    Option,
    Quantity,
    Rate,
    Real,
    Share,
    Validity,
)
from .bands import Spread, repeated, spread
from .device import MATRIX, Stack, datapath_bits
from .group import Group, Step, group
from .workload import cache_bytes, default, refuse_unless

BATCH_ONE = 1  # measured apart from larger batches


@record
class ServingResult(Result):
    """Latency of both phases of serving a batch, and the memory of the whole group."""

    memory: ClassVar[str] = "total_memory_required"
    remedy: ClassVar[str] = "raise tp, lower batch or seq_len, or take a narrower precision"
    itl: Latency
    ttft: Latency
    kv_cache_size: Bytes
    model_weights_size: Bytes
    total_memory_required: Bytes
    memory_utilization: Share
    bottleneck: Binding
    feasible: Flag
    shortfall: Bytes
    decode_throughput: Rate
    efficiency_used: Fraction
    itl_p10: Latency
    itl_p90: Latency
    itl_validity: Validity
    ttft_p10: Latency
    ttft_p90: Latency
    ttft_validity: Validity


@solver("pope2023", "ainslie2023", "shoeybi2019", "leviathan2023", "zhong2024", group="Node", wall=4)
def serving(
    model: Model | str,
    hardware: Device | str,
    *,
    seq_len: Count,
    batch: Count = 1,
    precision: Precision | str = "fp16",
    efficiency: Fraction | None = None,
    tp: Count = 1,
    output_tokens: Option[Length] = 0,
    kv_precision: Option[Precision | str | None] = None,
    cached_prefix: Option[Length] = 0,
    draft: Option[Model | str | None] = None,
    acceptance: Option[Fraction | None] = None,
    draft_tokens: Option[Draft | None] = None,
    decode_hardware: Option[Device | str | None] = None,
    link: Option[ByteRate | None] = None,
    ep: Option[Count] = 1,
    pp: Option[Count] = 1,
    stack: Option[Stack] = "tuned",
    bandwidth_efficiency: Option[Fraction | None] = None,
    reserve: Option[Share | None] = None,
) -> ServingResult:
    """Time to first token and between tokens of a decoder on one group of devices.

    Decode is timed at the mean length over the answer; memory counts the longest.  A draft model proposes tokens that
    one wider step verifies.  With `decode_hardware` the cache moves over `link`, and both devices must hold it.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(precision)
    refuse_unless(cached_prefix < seq_len, "serving: cached_prefix must be shorter than seq_len")
    shared = (fmt, kv_precision, tp, pp, ep, stack, efficiency, bandwidth_efficiency, reserve)
    first = group("serving", model, hardware, *shared)
    second = first
    if decode_hardware is not None:
        second = group("serving", model, Device.of(decode_hardware), *shared)
    moved = _transfer(first, seq_len, batch, decode_hardware, link)
    ttft = first.prefill(seq_len - cached_prefix, seq_len, batch) + moved

    context, longest = seq_len + output_tokens / 2, seq_len + output_tokens
    step = second.decode(batch, context)
    itl, extra = step.total, 0.0 * step.total
    if draft is not None:
        helper = group("serving", _drafter(model, Model.of(draft)), second.hardware, *shared[:4], 1, *shared[5:])
        itl = _speculative(second, helper, batch, context, draft_tokens, acceptance)
        extra = helper.needs(longest, batch)
        ttft = ttft + helper.prefill(seq_len, seq_len, batch)
    elif acceptance is not None or draft_tokens is not None:
        raise OutOfDomain("serving: acceptance and draft_tokens belong to a draft model; give draft with them")

    cache = second.cache(longest, batch)
    total = second.needs(longest, batch) + extra
    short = np.maximum(0.0, total - second.room)
    if decode_hardware is not None:
        short = np.maximum(short, first.needs(seq_len, batch) - first.room)
    wait, answer = (
        _itl_spread(second, batch, draft is not None),
        _ttft_spread(first, batch, decode_hardware is not None),
    )
    return ServingResult(
        itl=itl,
        ttft=ttft + 0.0 * itl,
        kv_cache_size=cache + 0.0 * itl,
        model_weights_size=second.weights() + 0.0 * itl,
        total_memory_required=total,
        memory_utilization=total / second.room,
        bottleneck=_binding(step),
        feasible=short <= 0,
        shortfall=np.maximum(0.0, short),
        decode_throughput=batch / itl,
        efficiency_used=second.top("decode").efficiency + 0.0 * itl,
        itl_p10=itl * wait.low,
        itl_p90=itl * wait.high,
        itl_validity=repeated(wait.status, batch),
        ttft_p10=ttft * answer.low,
        ttft_p90=ttft * answer.high,
        ttft_validity=repeated(answer.status, batch),
    )


def _transfer(first: Group, seq_len: Real, batch: Real, decode_hardware: object, link: Real | None) -> Real:
    """Time to move the prompt's cache to the device that decodes [Zhong 2024]."""
    if decode_hardware is None:
        if link is not None:
            raise OutOfDomain("serving: link is the way to decode_hardware; give decode_hardware with it")
        return 0.0 * seq_len
    if link is None:
        raise MissingFact(
            "serving: decode_hardware needs link, the rate at which the cache moves there, such as 50 GB/s"
        )
    return first.cache(seq_len, batch) / link


def _speculative(
    group: Group, helper: Group, batch: Real, context: Real, draft_tokens: Real | None, acceptance: Real | None
) -> Real:
    """Time per token when a draft proposes and one wider step verifies [Leviathan 2023]."""
    ahead = default("draft_tokens") if draft_tokens is None else draft_tokens
    kept = default("draft_acceptance") if acceptance is None else acceptance
    round_time = ahead * helper.decode(batch, context).total + group.decode(batch, context, ahead + 1.0).total
    return round_time / speculation(draft_tokens=ahead, acceptance=kept)


def _binding(step: Step) -> Real:
    """What takes the longest part of a step; of equals the first."""
    most, word = step.compute, repeated(Bottleneck.compute, step.compute)
    others = (
        (step.memory, Bottleneck.memory),
        (step.network, Bottleneck.network),
        (step.overhead, Bottleneck.overhead),
    )
    for part, name in others:
        most, word = np.maximum(most, part), np.where(part > most, name, word)
    return word


def _drafter(model: Model, draft: Model) -> Model:
    """A draft proposes tokens of the same vocabulary."""
    if model.vocab is not None and draft.vocab is not None and model.vocab != draft.vocab:
        raise OutOfDomain(
            f"serving: draft must share the vocabulary of {model.key}, {model.vocab:g} tokens; "
            f"{draft.key} has {draft.vocab:g}"
        )
    return draft


def _itl_spread(group: Group, batch: Real, drafted: bool) -> Spread:
    """Batch 1 was measured with llama.cpp, larger batches with a tuned server; anything else is extrapolated."""
    one, plain = (batch == BATCH_ONE), group.measured and not drafted
    if group.stack == "llamacpp":
        single = spread("decode-batch-1", group.hardware, plain)
        return single.where(one, spread("decode-batch-1", group.hardware, exact=False))
    many = (spread("throughput-fixed-batch", group.hardware, e) for e in (plain and group.stack == "tuned", False))
    known, wide = (Spread(1 / s.high, 1 / s.low, s.status) for s in many)  # time is the inverse of the measured rate
    return wide.where(one, known)


def _ttft_spread(group: Group, batch: Real, moved: bool) -> Spread:
    one = batch == BATCH_ONE
    key = "prefill-llamacpp" if group.stack == "llamacpp" else "first-token"
    known = spread(key, group.hardware, group.stack != "framework" and group.measured and not moved)
    return known.where(one, spread(key, group.hardware, exact=False))


# ------------------------------------------------------------------ at load


@record
class ThroughputResult(Result):
    """What one group delivers when requests never run out."""

    memory: ClassVar[str] = "total_memory_required"
    remedy: ClassVar[str] = "raise tp, lower batch or the lengths, or take a narrower precision"
    tokens_per_s_per_device: Rate  # generated tokens
    output_rate: Rate  # generated tokens of the group
    input_rate: Rate
    total_rate: Rate
    requests_rate: Rate
    ttft: Latency
    itl: Latency
    batch: Quantity
    prefill_share: Share
    total_memory_required: Bytes
    memory_utilization: Share
    feasible: Flag
    shortfall: Bytes
    efficiency_used: Fraction
    tokens_per_s_per_device_p10: Rate
    tokens_per_s_per_device_p90: Rate
    tokens_per_s_per_device_validity: Validity


@solver("yu2022", "pope2023", "kwon2023", group="Planning", wall=None)
def throughput(
    model: Model | str,
    hardware: Device | str,
    *,
    input_tokens: Count,
    output_tokens: Count,
    batch: Count | None = None,
    precision: Precision | str = "fp16",
    tp: Count = 1,
    kv_precision: Option[Precision | str | None] = None,
    cached_prefix: Option[Length] = 0,
    efficiency: Option[Fraction | None] = None,
    max_batch: Option[Count | None] = None,
    ep: Option[Count] = 1,
    pp: Option[Count] = 1,
    stack: Option[Stack] = "tuned",
    bandwidth_efficiency: Option[Fraction | None] = None,
    reserve: Option[Share | None] = None,
) -> ThroughputResult:
    """Tokens per second of one group at full load with continuous batching and a paged cache.

    Blank `batch`: as many requests as the memory holds at their mean length (half of the answer), at most `max_batch`.
    One round serves `batch` requests: their prompts in passes, and one step for each token of the answer.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(precision)
    refuse_unless(cached_prefix < input_tokens, "throughput: cached_prefix must be shorter than input_tokens")
    one = group(
        "throughput", model, hardware, fmt, kv_precision, tp, pp, ep, stack, efficiency, bandwidth_efficiency, reserve
    )
    mean = input_tokens + output_tokens / 2
    each = one.cache(mean, 1.0) * one.copies * one.fullest
    weights, room = one.weights() * one.fullest, one.room
    if batch is not None and max_batch is not None:
        raise OutOfDomain("throughput: max_batch bounds a blank batch; give one of the two")
    if batch is None:
        most = default("max_batch") if max_batch is None else max_batch
        served = np.clip(np.floor((room - weights) / np.maximum(each, 1.0)), 1.0, most)
    else:
        served = batch + 0.0 * mean
    total = one.needs(mean, served)
    fresh = input_tokens - cached_prefix
    prompts = one.prefill(fresh, input_tokens, served) / np.minimum(pp, one.passes(fresh * served))  # stages overlap
    itl = one.decode(served, mean).total
    duration = prompts + output_tokens * itl
    requests = served / duration
    rate = requests * output_tokens
    band = _load_spread(one, served, batch is not None)
    return ThroughputResult(
        tokens_per_s_per_device=rate / one.devices,
        output_rate=rate,
        input_rate=requests * input_tokens,
        total_rate=requests * (input_tokens + output_tokens),
        requests_rate=requests,
        ttft=one.prefill(fresh, input_tokens, 1.0) + 0.0 * rate,
        itl=itl + prompts / output_tokens,
        batch=served,
        prefill_share=prompts / duration,
        total_memory_required=total,
        memory_utilization=total / room,
        feasible=total <= room,
        shortfall=np.maximum(0.0, total - room),
        efficiency_used=one.top("decode").efficiency + 0.0 * rate,
        tokens_per_s_per_device_p10=rate / one.devices * band.low,
        tokens_per_s_per_device_p90=rate / one.devices * band.high,
        tokens_per_s_per_device_validity=repeated(band.status, served),
    )


def _load_spread(group: Group, served: Real, fixed: bool) -> Spread:
    """Measured with a tuned server, at many requests in flight; at maximum load in 8 and 4 bits only."""
    key = "throughput-fixed-batch" if fixed else "throughput-max-load"
    narrow = fixed or datapath_bits(group.precision) < MATRIX
    known = spread(key, group.hardware, group.stack == "tuned" and group.measured and narrow)
    return spread(key, group.hardware, exact=False).where(served == BATCH_ONE, known)


# ------------------------------------------------------------------ the cache alone


@solver("pope2023", "ainslie2023", "deepseek-v2", group="Planning")
def kvcache(
    model: Model | str,
    *,
    seq_len: Count,
    batch: Count = 1,
    precision: Precision | str = "fp16",
    page_size: Option[Count] = 1,
) -> Bytes:
    """Key-value cache of a batch: grouped-query, latent or sliding-window attention as the model has it.

    `page_size` rounds each sequence up to whole pages of tokens, as a paged cache stores it.
    """
    model, fmt = Model.of(model), Precision.of(precision)
    length = np.ceil(np.asarray(seq_len) / page_size) * page_size
    size = cache_bytes(model, length, batch, float(fmt.kv_bits) / 8)
    if np.all(size == 0):
        raise OutOfDomain(f"kvcache: {model.key} is no decoder and keeps no key-value cache")
    return size
