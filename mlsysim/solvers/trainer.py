"""Arithmetic of one training step on one device: matrix products, attention kernels and element-wise operators.

    time = matrix FLOP x (1 + w tp / hidden) / (peak x efficiency) + attention FLOP / (16-bit peak x its efficiency)
           + element-wise bytes / bandwidth

The second factor is the loss of narrow products (w: the width of a shard at which half of the rate is lost).
Attention is computed in 16 bits where the matrices are as narrow or narrower, else in the precision of the matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..things import Device, Model, Precision
from ..units import Real
from .device import Ceilings, calibrated
from .workload import attention_flops, default, forward_flops, is_lm, training_state

ATTENTION_PASSES = {"none": 3.0, "selective": 3.5, "full": 4.5}  # fused kernels score again in the backward pass
MATRIX_PASSES = {"none": 3.0, "selective": 3.0, "full": 4.0}
WIDE = ("fp32", "tf32")  # training in them stays in them
FUSED = 2.0  # an activation of an image model is written once and read once


def regime_of(model: Model, hardware: Device, training: bool) -> str:
    """The regime whose calibrated efficiencies hold for one step of a model on a device."""
    if hardware.group == "Tiny":
        return "tiny"
    if model.family == "cnn":
        return "image_training" if training else "image"
    if training:
        return "training"
    return "decode" if is_lm(model) else "encoder"


@dataclass(frozen=True, slots=True)
class Work:
    """FLOP of one sample: a forward pass, what counts as the model's, what a step executes; passes over matrices."""

    forward: Real
    useful: Real
    matrices: Real
    attention: Real
    passes: float

    @property
    def executed(self) -> Real:
        return self.matrices + self.attention


def training_flops(model: Model, length: Real, recompute: str) -> Work:
    """Work of one sample of `length` tokens (one denoising step of a diffusion model)."""
    forward = forward_flops(model, length, length) / float(model.steps or 1)
    passes = MATRIX_PASSES[recompute]
    scores = attention_flops(model, length, length)
    if not is_lm(model):  # no mask: every position sees every other, not only those before it
        scores = scores * 2 * length / (length + 1)
    return Work(forward, 3 * forward, passes * (forward - scores), ATTENTION_PASSES[recompute] * scores, passes)


def step_compute(
    model: Model,
    device: Device,
    precision: Precision,
    work: Work,
    share: Real,
    rows: Real,
    tp: Real,
    top: Ceilings,
    efficiency: Real | None,
) -> Real:
    """Compute time of a micro-batch on one device.

    `share` is its part of the work of a sample, `rows` the layers x tokens whose element-wise operators it runs.  A
    given `efficiency` covers everything; so it is for models without a hidden state on record.
    """
    if efficiency is not None or model.hidden is None or model.activations is not None:
        return work.executed * share / top.compute
    hidden = float(model.hidden)
    narrow = 1 + default("gemm_half_width") * tp / hidden
    attention = attention_rate(device, precision) * calibrated(device, precision, "attention", "tuned", "compute")
    values = default("training_traffic") * hidden * training_state(precision)[0]  # as wide as the weights
    return (
        work.matrices * share * narrow / top.compute
        + work.attention * share / attention
        + work.passes * values * rows / top.bandwidth
    )


def attention_rate(device: Device, precision: Precision) -> float:
    """Peak at which attention kernels compute: of fp32 or tf32 itself, else of 16-bit matrices or the next wider."""
    if precision.compute in WIDE:
        return device.rate(precision.compute)
    rates = (getattr(device, name) for name in ("bf16", "fp16", "tf32", "fp32"))
    return float(next((r for r in rates if r is not None), 0.0) or device.need("bf16"))
