"""Wall 13: what compression saves on a device, and what it costs in accuracy."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from ..catalogue import solver
from ..errors import MissingFact, OutOfDomain
from ..record import Result, record
from ..things import DEFAULTS, Device, Model, Precision
from ..units import Bits, Change, Count, Flag, Gigabytes, Option, Percent, Ratio, Real, Share
from .device import ceilings
from .trainer import regime_of
from .workload import activation_traffic, default, forward_flops, is_lm, refuse_unless, touched_bytes

Method = Literal["quantization", "pruning", "distillation"]
Pattern = Literal["unstructured", "structured", "2:4"]
GB = 1e9


@record
class CompressionResult(Result):
    """Size, speed and accuracy of the compressed model against its baseline."""

    needs: ClassVar[dict[str, str]] = {
        "estimated_accuracy_delta": "what distillation costs in accuracy follows from no size; measure it"
    }
    compression_ratio: Ratio
    compressed_size_gb: Gigabytes
    memory_savings_pct: Percent
    inference_speedup: Ratio
    estimated_accuracy_delta: Change
    original_size_gb: Gigabytes
    hardware_support: Flag  # FALSE: stored smaller, but unpacked before use, so no faster


@solver("frantar2023", "kurtic2024", "sparsegpt2023", "mishra2021", group="Algorithm", wall=13)
def compression(
    model: Model | str,
    hardware: Device | str,
    *,
    method: Method = "quantization",
    bits: Bits = 4,
    sparsity: Share = 0,
    baseline: Precision | str = "fp16",
    group_size: Option[Count] = 128,
    structured: Option[Pattern] = "unstructured",
    student: Option[Model | str | None] = None,
) -> CompressionResult:
    """Compression of the weights alone; arithmetic stays in the baseline format.

    Quantization stores one 16-bit scale per `group_size` weights.  Pruned weights keep a bitmap (unstructured: smaller,
    not faster, kernels work on dense tiles) or 2 bits per kept weight (2:4; a chip without it gains no speed, which
    `hardware_support` says).  Speed-up is that of one batch-1 step of the roofline.
    Accuracy is a sourced, monotone estimate; measure it on the task before signing.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(baseline)
    wide = float(fmt.weight_bits)
    small = model
    faster: Real = 1.0
    read: Real | None = None
    supported = not (method == "pruning" and structured == "unstructured")
    stored: Real
    delta: Real
    refuse_unless((method == "pruning") | (sparsity == 0), f"compression: sparsity belongs to pruning, not {method}")
    if student is not None and method != "distillation":
        raise OutOfDomain(f"compression: student belongs to distillation, not {method}")
    if method == "quantization":
        refuse_unless(bits <= wide, f"compression: bits must not exceed the {wide:g} bits of the baseline {fmt.key}")
        stored = np.where(bits < wide, bits + np.where(bits < 16, 16 / group_size, 0.0), wide)
        delta = _interpolate(bits, "accuracy_bits")
    elif method == "pruning":
        supported = supported and (structured != "2:4" or _has_2_4(hardware))
        stored, read, faster = _pruned(wide, sparsity, structured, supported)
        delta = _interpolate(sparsity, f"accuracy_{'structured' if structured == 'structured' else 'sparsity'}")
    else:
        if student is None:
            raise OutOfDomain("compression: distillation needs the smaller model, options 'student = Llama3_8B'")
        small, stored, delta = Model.of(student), np.asarray(wide), np.asarray(np.nan)
    original = float(model.params) * wide / 8
    compressed = float(small.params) * stored / 8
    ratio = original / compressed
    after = _step(small, hardware, fmt, stored if read is None else read, faster)
    return CompressionResult(
        compression_ratio=ratio,
        compressed_size_gb=compressed / GB,
        memory_savings_pct=100 * (1 - 1 / ratio),
        inference_speedup=_step(model, hardware, fmt, wide, 1.0) / after,
        estimated_accuracy_delta=delta,
        original_size_gb=original / GB + 0.0 * ratio,
        hardware_support=np.full(np.shape(ratio), supported),
    )


def _has_2_4(hardware: Device) -> bool:
    if hardware.structured_sparsity is None:
        raise MissingFact(
            f"{hardware.key}: whether it has 2:4 sparsity is not on record; say structured_sparsity = true or false "
            "in a spec text"
        )
    return hardware.structured_sparsity


def _pruned(wide: float, sparsity: Real, structured: str, supported: bool) -> tuple[Real, Real, Real]:
    """Bits stored and bits read per original weight, and how much faster the arithmetic runs."""
    refuse_unless(sparsity < 1, "compression: sparsity must be below 1")
    kept = 1 - sparsity
    if structured == "structured":
        return kept * wide, kept * wide, 1 / kept
    if structured == "unstructured":
        return np.where(sparsity > 0, np.minimum(wide, kept * wide + 1), wide), wide + 0.0 * kept, 1.0
    refuse_unless(sparsity == 0.5, "compression: 2:4 sparsity removes exactly half of the weights, sparsity = 0.5")
    if not supported:
        return kept * (wide + 2), wide + 0.0 * kept, 1.0
    return kept * (wide + 2), kept * (wide + 2), 2.0


def _step(model: Model, hardware: Device, fmt: Precision, read: Real, faster: Real) -> Real:
    """Time of one batch-1 step at a short context with `read` bits per weight, as the roofline solver has it."""
    regime = regime_of(model, hardware, training=False)
    top = ceilings(hardware, fmt, regime, None, None)
    steps, tokens = float(model.steps or 1), 1.0 if is_lm(model) else float(model.sequence or 1)
    flops = forward_flops(model, 1.0, 1.0)
    weights = touched_bytes(model, fmt, tokens) * read / float(fmt.weight_bits)
    traffic = steps * (weights + activation_traffic(model, tokens, 1.0, float(fmt.kv_bits) / 8))
    overhead = steps * float(model.layers or 1) * top.layer_overhead
    return np.maximum(flops / (top.compute * faster), traffic / top.bandwidth) + overhead


def _interpolate(x: Real, prefix: str) -> Real:
    """Piecewise-linear through the registry's points ``<prefix>_<percent or bits>``."""
    scale = 1.0 if prefix.endswith("bits") else 100.0
    names = sorted((float(k.rsplit("_", 1)[1]), k) for k in DEFAULTS if k.startswith(prefix + "_"))
    points = [p / scale for p, _ in names]
    known = np.minimum(x, points[-1]) if prefix.endswith("bits") else x  # nothing is lost above 16 bits
    refuse_unless(
        (known >= points[0]) & (known <= points[-1]),
        f"compression: accuracy is on record only from {points[0]:g} to {points[-1]:g}; no estimate outside",
    )
    return -np.interp(known, points, [default(k) for _, k in names])
