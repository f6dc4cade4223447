"""Sensitivity and synthesis in the parameter names of the cheat sheet's library: a few lines each over the solvers."""

from __future__ import annotations

from typing import Any

from .errors import OutOfDomain
from .solvers.analysis import SensitivityResult, SynthesisResult, sensitivity, synthesis
from .units import Real, as_floats

PERCENT = 100.0


class SensitivitySolver:
    """Binding constraint of one inference step (wall 21)."""

    @staticmethod
    def solve(
        model: Any,
        hardware: Any,
        precision: str = "fp16",
        perturbation_pct: Real = 10.0,
        efficiency: Real | None = None,
        batch_size: Real = 1,
        **options: Any,
    ) -> SensitivityResult:
        """See `mlsysim.sensitivity`; the perturbation is in per cent, further keywords are options."""
        step = as_floats(perturbation_pct, "perturbation_pct") / PERCENT
        return sensitivity(
            model,
            hardware,
            batch=batch_size,
            precision=precision,
            perturbation=step,
            efficiency=efficiency,
            **options,
        )


class SynthesisSolver:
    """The device that a target time asks for (wall 22)."""

    @staticmethod
    def solve(
        model: Any,
        target_latency: Real,
        precision: str = "fp16",
        efficiency: Real | None = None,
        batch_size: Real = 1,
        **options: Any,
    ) -> SynthesisResult:
        """See `mlsysim.synthesis`; the target is in seconds, further keywords are options."""
        if target_latency is None:
            raise OutOfDomain("SynthesisSolver: target_latency is empty")
        return synthesis(
            model, latency=target_latency, batch=batch_size, precision=precision, efficiency=efficiency, **options
        )
