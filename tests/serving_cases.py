"""A chip and decoders of round numbers, and a decoding step worked out by hand, for the tests of serving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import mlsysim as m
from mlsysim.solvers.workload import default
from mlsysim.things import EFFICIENCY

CHIP = (
    "Chip; fp16 = 100 TFLOP/s; memory = 100 GB; bandwidth = 1 TB/s; memory_class = hbm; scale_up = 16; link = 100 GB/s"
)
SHAPE = "unit = token; params = 2B; layers = 20; hidden = 1000; heads = 10; kv_heads = 5; head_dim = 80"
LM = f"LM; family = transformer; {SHAPE}"
MOE = f"MoE; family = moe; {SHAPE}; active_params = 600M; experts = 8; experts_per_token = 2; expert_params = 1.6B"
DRAFT = (
    "Draft; family = transformer; unit = token; params = 100M; layers = 4; hidden = 500; heads = 10; kv_heads = 10; "
    "head_dim = 50"
)
LINK, NEAR = 100e9 * default("collective_efficiency"), default("collective_latency_node") * 1e-6
COMPUTE, STREAM = 100e12 * 0.5, 1e12 * 0.8  # with the efficiencies that `serve` gives
PER_LAYER = float(EFFICIENCY["overhead_decode"].layer_overhead or 0)
PER_PASS = float(EFFICIENCY["overhead_prefill"].layer_overhead or 0)
VALUES = default("activation_traffic")


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12)


def serve(model: str = LM, on: str = CHIP, **options: Any) -> Any:
    shares = {"efficiency": 0.5, "bandwidth_efficiency": 0.8, "seq_len": 512}
    return m.serving(model, on, **shares | options)


@dataclass(frozen=True)
class Shape:
    """A dense decoder in fp16 on one device."""

    params: float
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int

    def cache(self, length: float, batch: float = 1) -> float:
        return 2 * self.layers * self.kv_heads * self.head_dim * length * batch * 2

    def flops(self, new: int, before: float) -> float:
        """Forward work of `new` tokens of one sequence, the first of which sees `before` tokens and itself."""
        pairs = sum(before + i for i in range(1, new + 1))
        return 2 * self.params * new + 4 * self.layers * self.heads * self.head_dim * pairs

    def step(self, batch: int, context: float, new: int = 1) -> float:
        """A decoding step whose first new token is the `context`-th."""
        moved = 2 * self.params + self.cache(context, batch) + VALUES * 2 * self.layers * self.hidden * batch * new
        return batch * self.flops(new, context - 1) / COMPUTE + moved / STREAM + self.layers * PER_LAYER


DENSE = Shape(2e9, 20, 1000, 10, 5, 80)
SMALL = Shape(100e6, 4, 500, 10, 10, 50)
