"""The optimizers of the cheat sheet's library, in its parameter names: a few lines each over the searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .api import DAY
from .solvers.batches import BatchLimitResult, batch_limit
from .solvers.search import Placements, Plans, parallelism, placement
from .units import Real, as_floats

MS = 1e-3
TONNE = 1000.0


class ParallelismOptimizer:
    """Least step time over tensor, pipeline, data and expert parallelism under full memory."""

    @staticmethod
    def solve(
        model: Any,
        fleet: Any,
        batch_size: Real,
        precision: str = "bf16",
        efficiency: Real | None = None,
        max_tp: Real | None = None,
        max_pp: Real | None = None,
        overlap: bool = True,
        **options: Any,
    ) -> Plans:
        """See `mlsysim.parallelism`; further keywords are its options."""
        if not overlap:
            options = {"overlap": 0.0} | options
        return parallelism(
            model,
            fleet,
            batch=batch_size,
            precision=precision,
            efficiency=efficiency,
            max_tp=max_tp,
            max_pp=max_pp,
            **options,
        )


class BatchingOptimizer:
    """Largest batch under a latency bound; blank `output_tokens`: as many as the prompt has."""

    @staticmethod
    def solve(
        model: Any,
        hardware: Any,
        seq_len: Real,
        sla_latency_ms: Real,
        arrival_rate_qps: Real,
        num_replicas: Real = 1,
        precision: str = "fp16",
        output_tokens: Real | None = None,
        **options: Any,
    ) -> BatchLimitResult:
        """See `mlsysim.batch_limit`; the bound holds for the 99th percentile unless `statistic` says otherwise."""
        return batch_limit(
            model,
            hardware,
            input_tokens=seq_len,
            output_tokens=seq_len if output_tokens is None else output_tokens,
            latency=as_floats(sla_latency_ms, "sla_latency_ms") * MS,
            arrival_rate=arrival_rate_qps,
            precision=precision,
            **({"replicas": num_replicas, "statistic": "p99"} | options),
        )


class PlacementOptimizer:
    """Cheapest site, carbon tax included."""

    @staticmethod
    def solve(
        fleet: Any,
        duration_days: Real,
        regions: Sequence[Any] | str = ("US_Avg", "Quebec", "Iowa"),
        carbon_tax_per_ton: Real = 100,
        mfu: Real = 0.4,
        **options: Any,
    ) -> Placements:
        """See `mlsysim.placement`; further keywords are its options."""
        return placement(
            fleet,
            days=as_floats(duration_days, "duration_days") * DAY,
            sites=regions if isinstance(regions, str) else list(regions),
            carbon_price=as_floats(carbon_tax_per_ton, "carbon_tax_per_ton") / TONNE,
            mfu=mfu,
            **options,
        )
