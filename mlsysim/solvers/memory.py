"""Wall 2: what occupies the memory of a device, and whether it fits."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..catalogue import solver
from ..errors import OutOfDomain
from ..record import Result, record
from ..things import Device, Model, Precision
from ..units import Bytes, Count, Flag, Option, Ratio, Real, Share, ZeroStage
from .device import usable
from .node import Recompute
from .workload import (
    ATTENTION,
    activation_bytes,
    activation_traffic,
    cache_bytes,
    is_lm,
    kv_copies,
    lora_params,
    refuse_unless,
    training_state,
    weight_bytes,
)

FP32 = 4.0  # bytes


@record
class MemoryResult(Result):
    """Bytes of one device by purpose, against what a program can use."""

    memory: ClassVar[str] = "total"
    remedy: ClassVar[str] = (
        "raise tp or pp, lower batch or seq_len, a narrower precision; in training also zero_stage with dp"
    )
    total: Bytes
    weights: Bytes
    kv_cache: Bytes
    activations: Bytes
    gradients: Bytes
    optimizer: Bytes
    usable: Bytes
    headroom: Bytes
    memory_utilization: Ratio
    min_devices: Count
    feasible: Flag
    shortfall: Bytes


@solver("pope2023", "korthikanti2023", "rajbhandari2020", "hu2022", group="Node", wall=2)
def memory(
    model: Model | str,
    hardware: Device | str,
    *,
    batch: Count = 1,
    seq_len: Count = 4096,
    precision: Precision | str = "fp16",
    training: bool = False,
    kv_precision: Option[Precision | str | None] = None,
    tp: Option[Count] = 1,
    pp: Option[Count] = 1,
    dp: Option[Count] = 1,
    zero_stage: Option[ZeroStage] = 0,
    recompute: Option[Recompute] = "selective",
    sequence_parallel: Option[bool] = True,
    fp32_gradients: Option[bool] = False,
    lora: Option[Count | None] = None,
    reserve: Option[Share | None] = None,
) -> MemoryResult:
    """Memory of one device that serves or trains its share of a model.

    Inference: weights, and the KV cache of sequences that are all `seq_len` long, with heads repeated where `tp` does
    not divide them; other families hold one working layer.  Training: weights, gradients and Adam's state over
    tp x pp, sharded over `dp` by the ZeRO stage, and the activations of as many micro-batches as 1F1B keeps in flight.
    `usable` is the driver's figure less the reserve, which also holds the workspace of decoders.
    `min_devices` is a lower bound: the unsharded total over `usable`; degrees must also divide heads and layers.
    """
    model, hardware, fmt = Model.of(model), Device.of(hardware), Precision.of(precision)
    plain = recompute == "selective" and lora is None and sequence_parallel and not fp32_gradients
    _refuse_nonsense(model, training, tp, pp, dp, zero_stage, plain, kv_precision)
    group = tp * pp
    room = usable(hardware, reserve)
    zero: Real = 0.0 * (batch * seq_len * group * dp * zero_stage)
    if training:
        weights, gradients, optimizer = _state(model, fmt, lora, fp32_gradients)
        kept = _activations(model, fmt, batch, seq_len, recompute, tp, pp, sequence_parallel)
        whole = weights + gradients + optimizer + _activations(model, fmt, batch, seq_len, recompute, 1.0, 1.0, True)
        weights = weights / group / np.where(zero_stage >= 3, dp, 1.0)
        gradients = gradients / group / np.where(zero_stage >= 2, dp, 1.0)
        optimizer = optimizer / group / np.where(zero_stage >= 1, dp, 1.0)
        cache: Real = 0.0
    else:
        kv = fmt if kv_precision is None else Precision.of(kv_precision)
        cache = cache_bytes(model, seq_len, batch, float(kv.kv_bits) / 8)
        tokens = batch * float(model.sequence or 1)
        layer = activation_traffic(model, tokens, batch, float(fmt.kv_bits) / 8) / float(model.layers or 1)
        kept = 0.0 * tokens if is_lm(model) else layer
        whole = weight_bytes(model, fmt) + cache + kept
        weights, gradients, optimizer = weight_bytes(model, fmt) / group, 0.0, 0.0
        cache = cache * kv_copies(model, tp) / group
    total = weights + cache + kept + gradients + optimizer + zero
    return MemoryResult(
        total=total,
        weights=weights + zero,
        kv_cache=cache + zero,
        activations=kept + zero,
        gradients=gradients + zero,
        optimizer=optimizer + zero,
        usable=room + zero,
        headroom=np.maximum(0.0, room - total),
        memory_utilization=total / room,
        min_devices=np.maximum(1.0, np.ceil((whole + zero) / room)),
        feasible=total <= room,
        shortfall=np.maximum(0.0, total - room),
    )


def _state(model: Model, fmt: Precision, lora: Real | None, wide: bool) -> tuple[Real, Real, Real]:
    """Weights, gradients and optimizer state of the whole model [B]; trainers that sum in fp32 keep wide gradients."""
    weights, gradients, optimizer = training_state(fmt)
    gradients = max(gradients, FP32) if wide else gradients
    trained = float(model.params) if lora is None else lora_params(model, lora)
    frozen = 0.0 if lora is None else trained * weights  # adapters lie beside the frozen weights
    return float(model.params) * weights + frozen, trained * gradients, trained * optimizer


def _activations(
    model: Model, fmt: Precision, batch: Real, seq_len: Real, recompute: str, tp: Real, pp: Real, split: bool
) -> Real:
    """The first stage of 1F1B keeps pp micro-batches of its layers, rounded up to whole ones [Narayanan 2021]."""
    length = seq_len if is_lm(model) else float(model.sequence or 1)
    layers = np.ceil(float(model.layers or 1) / pp) * pp
    return activation_bytes(model, batch * length, length, recompute, tp, layers, training_state(fmt)[0], split)


def _refuse_nonsense(
    model: Model,
    training: bool,
    tp: Real,
    pp: Real,
    dp: Real,
    zero_stage: Real,
    plain: bool,
    kv_precision: Precision | str | None,
) -> None:
    if training and kv_precision is not None:
        raise OutOfDomain("memory: kv_precision is of inference; training keeps no KV cache")
    if not training and not (np.all(zero_stage == 0) and np.all(dp == 1) and plain):
        raise OutOfDomain(
            "memory: dp, zero_stage, recompute, sequence_parallel, fp32_gradients and lora are of training; "
            "give training = TRUE with them"
        )
    if model.family not in ATTENTION:
        refuse_unless((tp == 1) & (pp == 1), f"memory: tp and pp must be 1 for the {model.family} {model.key}")
        return
    refuse_unless(
        float(model.need("heads")) % tp == 0, f"memory: tp must divide the {model.heads:g} heads of {model.key}"
    )
    refuse_unless(
        pp <= float(model.need("layers")), f"memory: pp must not exceed the {model.layers:g} layers of {model.key}"
    )
