"""One serving group: tp x pp x ep equal devices that hold a decoder together, and the time of its passes.

Tensor-parallel ranks split every layer, pipeline stages split the layers, expert-parallel ranks split the experts and
the requests (attention is replicated).  Memory and time are of the whole group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..equations.network import alltoall
from ..equations.roofline import roofline_time
from ..errors import MissingFact, OutOfDomain
from ..things import Device, Model, Precision
from ..units import Real
from .device import Ceilings, ceilings, collective_time, joined, one_chip, start_up, usable
from .workload import (
    activation_traffic,
    cache_bytes,
    default,
    forward_flops,
    is_lm,
    kv_copies,
    refuse_unless,
    touched_bytes,
    weight_bytes,
)

HIDDEN_BYTES = 2.0  # of one value of the hidden state on a link


@dataclass(frozen=True, slots=True)
class Step:
    """Time of one decoding step and its parts."""

    compute: Real
    memory: Real
    network: Real
    overhead: Real

    @property
    def total(self) -> Real:
        return self.compute + self.memory + self.network + self.overhead


@dataclass(frozen=True, slots=True)
class Group:
    """Equal devices that serve one copy of a model."""

    model: Model
    hardware: Device
    precision: Precision
    kv_precision: Precision
    tp: Real
    pp: Real
    ep: Real
    stack: str
    efficiency: Real | None
    bandwidth_efficiency: Real | None
    reserve: Real | None

    @property
    def devices(self) -> Real:
        return self.tp * self.pp * self.ep

    @property
    def room(self) -> Real:
        """Bytes that can be planned with."""
        return usable(self.hardware, self.reserve) * self.devices

    @property
    def measured(self) -> bool:
        """Whether the rates are the calibrated ones, and model, format and split are such that measurements judge.

        No row has a mixture of experts, or a tuned server with weights narrower than its arithmetic.
        """
        plain = np.all(self.pp == 1) and np.all(self.ep == 1)
        usual = self.model.family == "transformer" and (self.stack == "llamacpp" or not self.precision.weight_only)
        return bool(plain) and usual and self.efficiency is None and self.bandwidth_efficiency is None

    @property
    def fullest(self) -> Real:
        """Layers of the fullest pipeline stage over the mean."""
        return np.ceil(self.layers / self.pp) * self.pp / self.layers

    @property
    def layers(self) -> float:
        return float(self.model.need("layers"))

    @property
    def copies(self) -> Real:
        """How often the cache is stored."""
        return kv_copies(self.model, self.tp)

    def spread_evenly(self, requests: Real) -> Real:
        """Requests as if every expert-parallel rank held as many as the fullest one."""
        return np.ceil(requests / self.ep) * self.ep

    def weights(self) -> Real:
        """Stored weights: what is no routed expert stands on every expert-parallel rank."""
        return weight_bytes(self.model, self.precision) + (self.ep - 1) * self._shared()

    def needs(self, seq_len: Real, batch: Real) -> Real:
        """Memory of the group as its fullest device needs it: weights and cache."""
        cache = self.cache(seq_len, self.spread_evenly(batch)) * self.copies
        return (self.weights() + cache) * self.fullest

    def cache(self, seq_len: Real, batch: Real) -> Real:
        """Key-value cache of a batch as one copy holds it."""
        return cache_bytes(self.model, seq_len, batch, float(self.kv_precision.kv_bits) / 8)

    def top(self, regime: str) -> Ceilings:
        """Reachable rates of the devices that work on one layer together."""
        group = self.tp * self.ep
        return ceilings(
            self.hardware,
            self.precision,
            regime,
            self.efficiency,
            self.bandwidth_efficiency,
            group,
            stack=self.stack,
        )

    def decode(self, batch: Real, context: Real, new: Real = 1.0) -> Step:
        """One step of `batch` requests at a context, over all stages; `new` tokens of each are computed."""
        micro = self.spread_evenly(np.ceil(batch / self.pp))
        top, tokens = self.top("decode"), micro * new
        flops = forward_flops(self.model, new, context + new - 1) * micro
        width = float(self.precision.kv_bits) / 8
        traffic = (
            touched_bytes(self.model, self.precision, tokens)
            + (self.ep - 1) * self._shared()
            + self.cache(context, micro) * self.copies
            + activation_traffic(self.model, tokens, micro, width)
        )
        pace = self.fullest
        launches = self.layers * top.layer_overhead
        return Step(flops / top.compute * pace, traffic / top.bandwidth * pace, self._links(tokens), launches)

    def prefill(self, fresh: Real, context: Real, requests: Real) -> Real:
        """All passes over `requests` prompts, `fresh` new tokens of each that end at `context`."""
        requests = self.spread_evenly(requests)
        top, tokens = self.top("prefill"), fresh * requests
        passes = self.passes(tokens)
        read = touched_bytes(self.model, self.precision, tokens / passes) + (self.ep - 1) * self._shared()
        again = (self.passes(fresh) + 1) / 2  # a prompt of several passes reads what it has cached in each
        traffic = passes * read + self.cache(context, requests) * self.copies * again
        busy = roofline_time(
            flops=forward_flops(self.model, fresh, context) * requests,
            traffic=traffic,
            peak=top.compute,
            bandwidth=top.bandwidth,
        )
        return busy * self.fullest + passes * (self._links(tokens / passes) + self.layers * top.layer_overhead)

    def passes(self, tokens: Real) -> Real:
        """Passes over the tokens of prompts, each of at most a chunk."""
        return np.ceil(tokens / default("prefill_chunk_llamacpp" if self.stack == "llamacpp" else "prefill_chunk"))

    def _shared(self) -> float:
        """Bytes of the weights that are no routed experts."""
        routed = float(self.model.expert_params or 0.0) if self.model.family == "moe" else 0.0
        return (float(self.model.params) - routed) * float(self.precision.weight_bits) / 8

    def _links(self, tokens: Real) -> Real:
        """Two all-reduces a layer, two all-to-alls a mixture layer, one hand-over a stage [Shoeybi 2019]."""
        if np.all(self.devices == 1):
            return 0.0 * tokens
        hidden, link = HIDDEN_BYTES * float(self.model.need("hidden")), self._link()
        share = link * default("collective_efficiency")
        local = tokens / self.ep
        total = 2 * self.layers * collective_time(self.tp, hidden * local, link)
        if self.model.family == "moe":
            message = hidden * local * float(self.model.need("experts_per_token"))
            once = alltoall(workers=self.ep, message=message, bandwidth=share)
            start = np.where(self.ep > 1, start_up(across=False), 0.0)
            total = total + 2 * float(self.model.moe_layers or self.layers) * (once + start)
        hop = hidden * local / share + start_up(across=False)
        return total + (self.pp - 1) * hop

    def _link(self) -> float:
        if self.hardware.link is None:
            raise MissingFact(
                f"{self.hardware.key} has no link on record, so tp above 1 is unknown; give link in a spec text"
            )
        return float(self.hardware.link)


def group(
    name: str,
    model: Model,
    hardware: Device,
    precision: Precision,
    kv_precision: Precision | str | None,
    tp: Real,
    pp: Real,
    ep: Real,
    stack: str,
    efficiency: Real | None,
    bandwidth_efficiency: Real | None,
    reserve: Real | None,
) -> Group:
    """Check that a group can exist: a decoder, whole shards, and links that join the devices."""
    one_chip(hardware, name)
    if not is_lm(model):
        raise OutOfDomain(f"{name}: {model.key} generates no tokens; use roofline for one {model.unit}")
    linked = joined(hardware)
    refuse_unless(
        tp <= linked, f"{name}: tp must not exceed the {linked:g} devices that the links of {hardware.key} join"
    )
    refuse_unless(
        tp * pp * ep <= linked,
        f"{name}: tp x pp x ep must not exceed the {linked:g} devices that the links of {hardware.key} join; ep counts "
        "devices beside those of tp, so a server of eight with experts spread has tp = 1 and ep = 8",
    )
    refuse_unless(
        model.heads is None or float(model.heads) % tp == 0,
        f"{name}: tp must divide the {model.heads or 0:g} attention heads of {model.key}",
    )
    refuse_unless(pp <= float(model.need("layers")), f"{name}: pp must not exceed the layers of {model.key}")
    if model.family == "moe":
        refuse_unless(
            float(model.need("experts")) % ep == 0,
            f"{name}: ep must divide the {model.experts:g} experts of {model.key}",
        )
    else:
        refuse_unless(ep == 1, f"{name}: ep must be 1, {model.key} has no experts")
    kv = precision if kv_precision is None else Precision.of(kv_precision)
    return Group(model, hardware, precision, kv, tp, pp, ep, stack, efficiency, bandwidth_efficiency, reserve)
