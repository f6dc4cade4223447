"""Wall 13 by hand: what fewer bits, fewer weights and smaller models save, and what they lose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import OutOfDomain
from mlsysim.solvers.workload import default
from mlsysim.things import EFFICIENCY

CHIP = "Chip; fp16 = 100 TFLOP/s; memory = 100 GB; bandwidth = 1 TB/s; memory_class = hbm"
LM = (
    "LM; family = transformer; unit = token; params = 2B; layers = 20; hidden = 1000; heads = 10; kv_heads = 5; "
    "head_dim = 80"
)
CNN = "CNN; family = cnn; unit = image; params = 25M; flops = 8 GFLOP; layers = 50; activations = 20 MB"
L, H = 20, 1000


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12)


def eff(row: str, quantity: str) -> float:
    """A figure of a named row of the calibrated table."""
    value = getattr(EFFICIENCY[row], quantity)
    assert value is not None
    return float(value)


def test_four_bits_are_four_times_smaller_but_for_the_scales() -> None:
    got = m.compression(LM, CHIP, bits=4, group_size=128)
    assert got.original_size_gb == close(4)
    assert got.compression_ratio == close(16 / 4.125)
    assert got.compressed_size_gb == close(4 * 4.125 / 16)
    assert got.memory_savings_pct == close(100 * (1 - 4.125 / 16))
    rest, tax = default("activation_traffic") * 2 * L * H, L * eff("overhead_decode", "layer_overhead")
    speed = 1e12 * eff("memory_hbm", "bandwidth")
    before, after = ((4e9 * b / 16 + rest) / speed + tax for b in (16, 4.125))
    assert got.inference_speedup == close(before / after)
    assert m.compression(LM, CHIP, bits=4, group_size=32).compression_ratio == close(16 / 4.5)


def test_sixteen_bits_change_nothing() -> None:
    got = m.compression(LM, CHIP, bits=16)
    assert (got.compression_ratio, got.inference_speedup, got.memory_savings_pct) == (1, 1, 0)
    assert got.estimated_accuracy_delta == pytest.approx(0, abs=1e-8)


def test_accuracy_falls_monotonically() -> None:
    bits = m.compression(LM, CHIP, bits=np.arange(2, 17)).estimated_accuracy_delta
    assert (np.diff(bits) >= 0).all()
    assert bits[0] < bits[-1]
    sparse = np.linspace(0, 0.5, 21)
    for pattern in ("unstructured", "structured"):
        delta = m.compression(LM, CHIP, method="pruning", sparsity=sparse, structured=pattern).estimated_accuracy_delta
        assert (np.diff(delta) <= 0).all()
        assert delta[0] == pytest.approx(0, abs=1e-8)
        assert delta[-1] < -0.01


def test_pruning() -> None:
    def pruned(**options: Any) -> Any:
        return m.compression(LM, CHIP + "; structured_sparsity = true", method="pruning", **options)

    loose = pruned(sparsity=0.6)
    assert loose.compression_ratio == close(16 / (0.4 * 16 + 1))  # one bit per weight says which are kept
    assert loose.inference_speedup == 1  # dense kernels gain nothing
    assert pruned(sparsity=0).compression_ratio == 1
    half = pruned(sparsity=0.5, structured="structured")
    assert half.compression_ratio == close(2)
    assert 1.5 < half.inference_speedup < 2
    sparse = pruned(sparsity=0.5, structured="2:4")
    assert sparse.compression_ratio == close(16 / 9)
    assert sparse.inference_speedup > 1.4
    old = m.compression(LM, "V100", method="pruning", sparsity=0.5, structured="2:4")
    assert (old.inference_speedup, old.hardware_support) == (1, False)  # no hardware for it
    with pytest.raises(OutOfDomain, match=r"2:4 sparsity removes exactly half"):
        pruned(sparsity=0.6, structured="2:4")


def test_arithmetic_bound_models_gain_from_less_arithmetic_only() -> None:
    heavy = CNN.replace("8 GFLOP", "8000 GFLOP")
    assert m.compression(heavy, CHIP, bits=4).inference_speedup == close(1)
    halved = m.compression(heavy, CHIP, method="pruning", sparsity=0.5, structured="structured")
    assert halved.inference_speedup == pytest.approx(2, rel=0.01)


def test_distillation_compares_with_the_student() -> None:
    student = "Small; " + LM.split("; ", 1)[1].replace("2B", "500M")
    got = m.compression(LM, CHIP, method="distillation", student=student)
    assert got.compression_ratio == close(4)
    assert 1 < got.inference_speedup < 4
    assert math.isnan(got.estimated_accuracy_delta)  # nobody can know before the training


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"bits": 32}, "bits must not exceed the 16 bits of the baseline fp16"),
        ({"bits": 1}, "on record only from 2 to 16"),
        ({"sparsity": 0.5}, "sparsity belongs to pruning"),
        ({"student": LM}, "student belongs to distillation"),
        ({"method": "distillation"}, "needs the smaller model"),
        ({"method": "pruning", "sparsity": 0.95}, "on record only from 0 to 0.7"),
        ({"method": "pruning", "sparsity": 1.0}, "sparsity must be below 1"),
        ({"method": "pruning", "sparsity": 0.5, "structured": "4:8"}, "structured must be one of"),
        ({"method": "magic"}, "method must be one of quantization, pruning, distillation"),
    ],
)
def test_compression_refuses(options: dict[str, Any], why: str) -> None:
    with pytest.raises(OutOfDomain, match=why):
        m.compression(LM, CHIP, **options)
