"""The cheat sheet's classes and attribute paths: a few lines each over the solvers.

``Engine``, ``ServingModel`` ... take the sheet's parameter names and hand over; ``Hardware.H100``,
``Models.Tiny.DS_CNN``, ``Systems.Clusters.Research_256`` and ``Infra.Quebec`` look up the registries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .config import from_config
from .errors import UnknownName
from .registry import Registry, Thing
from .solvers.algorithm import CompressionResult, Method, compression
from .solvers.batching import BatchingResult, batching
from .solvers.fleet import DistributedResult, training
from .solvers.node import PerformanceProfile, roofline
from .solvers.operations import EconomicsResult, SustainabilityResult, sustainability, tco
from .solvers.reasoning import ReasoningResult, reasoning
from .solvers.scaling import ScalingResult, chinchilla
from .solvers.serving import ServingResult, serving
from .solvers.software import Regime, SoftwareResult, software
from .solvers.streaming import Phase, StreamingResult, streaming
from .things import FABRICS, FLEETS, GRIDS, HARDWARE, MODELS, NODES, RACKS, SITES, STORAGE
from .units import Real, as_floats

DAY = 86400.0


def _seconds(duration_days: Any) -> Any:
    """Days as the sheet writes them, in seconds; text and blanks are judged at the door of the solver."""
    if type(duration_days) in (float, int):
        return duration_days * DAY
    if duration_days is None or isinstance(duration_days, str):
        return duration_days
    return as_floats(duration_days, "duration_days") * DAY


class Engine:
    """Single-device roofline (sheet, example 1)."""

    @staticmethod
    def solve(
        model: Any,
        hardware: Any,
        batch_size: Real = 1,
        precision: str = "fp16",
        efficiency: Real | None = None,
        is_training: bool = False,
        **options: Any,
    ) -> PerformanceProfile:
        """See `mlsysim.roofline`; further keywords are its options."""
        return roofline(
            model=model,
            hardware=hardware,
            batch=batch_size,
            precision=precision,
            efficiency=efficiency,
            training=is_training,
            **options,
        )


class ServingModel:
    """Prefill and decode (sheet, example 2)."""

    @staticmethod
    def solve(
        model: Any,
        hardware: Any,
        seq_len: Real,
        batch_size: Real = 1,
        precision: str = "fp16",
        efficiency: Real | None = None,
        tp_size: Real = 1,
        **options: Any,
    ) -> ServingResult:
        """See `mlsysim.serving`; further keywords are its options."""
        return serving(
            model=model,
            hardware=hardware,
            seq_len=seq_len,
            batch=batch_size,
            precision=precision,
            efficiency=efficiency,
            tp=tp_size,
            **options,
        )


class DistributedModel:
    """3-D parallel training (sheet, example 3)."""

    @staticmethod
    def solve(
        model: Any,
        fleet: Any,
        batch_size: Real,
        tp_size: Real = 1,
        pp_size: Real = 1,
        precision: str = "bf16",
        efficiency: Real | None = None,
        overlap_comm: bool = True,
        **options: Any,
    ) -> DistributedResult:
        """See `mlsysim.training`; further keywords are its options."""
        if not overlap_comm:
            options = {"overlap": 0.0} | options
        return training(
            model,
            fleet,
            batch=batch_size,
            tp=tp_size,
            pp=pp_size,
            precision=precision,
            efficiency=efficiency,
            **options,
        )


class CompressionModel:
    """Quantization, pruning, distillation (sheet, example 4)."""

    @staticmethod
    def solve(
        model: Any,
        hardware: Any,
        method: Method = "quantization",
        target_bitwidth: Real = 4,
        sparsity: Real = 0,
        **options: Any,
    ) -> CompressionResult:
        """See `mlsysim.compression`; further keywords are its options."""
        return compression(model, hardware, method=method, bits=target_bitwidth, sparsity=sparsity, **options)


class SustainabilityModel:
    """Energy, carbon and water (sheet, example 5)."""

    @staticmethod
    def solve(
        fleet: Any, duration_days: Real, datacenter: Any = None, mfu: Real = 0.4, **options: Any
    ) -> SustainabilityResult:
        """See `mlsysim.sustainability`; further keywords are its options."""
        return sustainability(fleet, days=_seconds(duration_days), datacenter=datacenter, mfu=mfu, **options)


class EconomicsModel:
    """Total cost of ownership (sheet, example 5)."""

    @staticmethod
    def solve(
        fleet: Any, duration_days: Real = 365, datacenter: Any = None, mfu: Real = 0.4, **options: Any
    ) -> EconomicsResult:
        """See `mlsysim.tco`; further keywords are its options."""
        return tco(fleet=fleet, days=_seconds(duration_days), datacenter=datacenter, mfu=mfu, **options)


class EfficiencyModel:
    """Wall 3: what software reaches of the peak, operator by operator."""

    @staticmethod
    def solve(
        model: Any,
        hardware: Any,
        workload_type: Regime = "training",
        use_flash_attention: bool = True,
        precision: str = "bf16",
        **options: Any,
    ) -> SoftwareResult:
        """See `mlsysim.software`; further keywords are its options."""
        return software(
            model, hardware, regime=workload_type, flash=use_flash_attention, precision=precision, **options
        )


class ContinuousBatchingModel:
    """Wall 5: requests that fit, paged against reserved."""

    @staticmethod
    def solve(
        model: Any,
        hardware: Any,
        seq_len: Real,
        max_batch_size: Real | None = None,
        page_size: Real = 16,
        precision: str = "fp16",
        **options: Any,
    ) -> BatchingResult:
        """See `mlsysim.batching`; further keywords are its options."""
        return batching(
            model,
            hardware,
            seq_len=seq_len,
            max_batch=max_batch_size,
            page_size=page_size,
            precision=precision,
            **options,
        )


class WeightStreamingModel:
    """Wall 6: weights injected layer by layer."""

    @staticmethod
    def solve(
        model: Any,
        hardware: Any,
        seq_len: Real = 2048,
        batch_size: Real = 1,
        precision: str = "fp16",
        phase: Phase = "decode",
        **options: Any,
    ) -> StreamingResult:
        """See `mlsysim.streaming`; further keywords are its options."""
        return streaming(
            model, hardware, seq_len=seq_len, batch=batch_size, precision=precision, phase=phase, **options
        )


class ScalingModel:
    """Wall 11: compute-optimal parameters and tokens."""

    @staticmethod
    def solve(compute_budget: Any, target_model_size: Real | None = None, **options: Any) -> ScalingResult:
        """See `mlsysim.chinchilla`; the budget is in FLOP, or text such as ``"1e9 TFLOP"``."""
        return chinchilla(budget=compute_budget, params=target_model_size, **options)


class InferenceScalingModel:
    """Wall 12: the cost of reasoning."""

    @staticmethod
    def solve(
        model: Any,
        hardware: Any,
        reasoning_steps: Real = 8,
        context_length: Real = 2048,
        precision: str = "fp16",
        **options: Any,
    ) -> ReasoningResult:
        """See `mlsysim.reasoning`; further keywords are its options."""
        return reasoning(model, hardware, steps=reasoning_steps, seq_len=context_length, precision=precision, **options)


class UnknownAttribute(UnknownName, AttributeError):
    """An attribute path that leads to no registry row; `hasattr` understands it."""


class Namespace:
    """Attribute access to registries: ``Hardware.H100``, ``Hardware.Tiny.nRF52840``."""

    def __init__(self, registries: dict[str, Registry[Any]], group: str = "") -> None:
        self._registries, self._group = registries, group

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not self._group:
            if name in self._registries:
                return Namespace({name: self._registries[name]}, group="*")
            if any(t.group == name for t in self._rows()):
                return Namespace(self._registries, group=name)
        for registry in self._registries.values():
            if name in registry and self._group in ("", "*", registry[name].group):
                return registry[name]
        try:
            return next(iter(self._registries.values()))[name]
        except UnknownName as error:  # it names near keys
            raise UnknownAttribute(str(error)) from None

    def __dir__(self) -> Iterable[str]:
        names = [k for r in self._registries.values() for k, t in r.items() if self._group in ("", "*", t.group)]
        return [*names, *self._registries, *{t.group for t in self._rows() if t.group}] if not self._group else names

    def _rows(self) -> Iterable[Thing]:
        return (t for r in self._registries.values() for t in r.values())


class ModelNamespace(Namespace):
    """``Models.Llama3_8B``, and models from a file."""

    from_config = staticmethod(from_config)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), "from_config"]


Hardware = Namespace({"All": HARDWARE})
Models = ModelNamespace({"All": MODELS})
Systems = Namespace({"Clusters": FLEETS, "Nodes": NODES, "Fabrics": FABRICS, "Storage": STORAGE, "Racks": RACKS})
Infra = Namespace({"Datacenters": SITES, "Grids": GRIDS})
