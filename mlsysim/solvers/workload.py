"""What a model asks of a device: operations, bytes, memory.  No device appears here.

Transformers derive everything from their shape; other families carry the forward work of one
unit (image, sequence, query) as a sourced fact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..equations.transformer import kv_size, mla_size
from ..errors import COLLECTED, AllRefused, MissingFact, OutOfDomain
from ..things import DEFAULTS, Model, Precision
from ..units import Real, Unit

ATTENTION = ("transformer", "moe")


def default(name: str, unit: Unit | None = None) -> float:
    """A judgement constant from the registry of defaults, in base units of `unit`."""
    row = DEFAULTS[name]
    value = float(row.value)
    return value if unit is None else unit.parse(f"{value!r} {row.unit}", name)


def is_lm(model: Model) -> bool:
    """Whether one unit of work is one token of a decoder."""
    return model.unit == "token"


def head_dim(model: Model) -> float:
    """Width of one attention head; hidden / heads where the model card gives no other."""
    return float(model.head_dim or model.need("hidden") / model.need("heads"))


def active_params(model: Model) -> float:
    """Parameters that one token (or query) passes through."""
    return float(model.need("active_params") if model.family in ("moe", "recommendation") else model.params)


def cache_bytes(model: Model, seq_len: Real, batch: Real, bytes_per_value: float) -> Real:
    """Key-value cache (or recurrent state) of a batch [B]; 0 for models that keep none between units."""
    if model.family == "ssm":
        return float(model.need("state")) * batch
    if model.family not in ATTENTION or not is_lm(model):
        return 0.0 * batch
    if model.kv_lora_rank is not None:
        width = float(model.kv_lora_rank + model.need("rope_dim"))
        return mla_size(
            layers=model.need("layers"),
            latent_width=width,
            seq_len=seq_len,
            batch=batch,
            bytes_per_value=bytes_per_value,
        )
    shape: Any = {"kv_heads": model.need("kv_heads"), "head_dim": head_dim(model), "batch": batch}
    shape["bytes_per_value"] = bytes_per_value
    window = 0.0 if model.window is None else float(model.window)
    windowed = float(model.need("window_layers")) if window else 0.0
    total: Real = 0.0
    if (full := float(model.need("layers")) - windowed) > 0:
        total = total + kv_size(layers=full, seq_len=seq_len, **shape)
    if windowed > 0:
        total = total + kv_size(layers=windowed, seq_len=np.minimum(seq_len, window), **shape)
    return total


def kv_copies(model: Model, tp: Real) -> Real:
    """Copies of the cache in a tensor-parallel group: KV heads are repeated where tp does not divide them."""
    if model.kv_lora_rank is not None:
        return 1.0 * tp  # every rank needs the whole latent vector
    heads = float(model.kv_heads or 1)
    return tp * np.ceil(heads / tp) / heads if model.kv_heads is not None else 1.0


def attention_flops(model: Model, tokens: Real, context: Real) -> Real:
    """Work of scores and weighted sums of `tokens` new positions that end at `context`, causal.

    2 FLOP per pair of positions and per unit of width; scores of latent attention are wider by the positional part;
    sliding-window layers see at most their window.
    """
    if model.family not in ATTENTION:
        return 0.0 * tokens * context
    pairs = tokens * context - tokens * (tokens - 1) / 2
    width = float(model.need("heads")) * (2 * head_dim(model) + float(model.rope_dim or 0))
    layers = float(model.need("layers"))
    if model.window is None:
        return 2 * layers * width * pairs
    beyond: Real = np.maximum(0.0, context - float(model.window))  # pairs that fall out of the window
    late: Real = np.minimum(tokens, beyond)
    near = pairs - (late * beyond - late * (late - 1) / 2)
    windowed = float(model.need("window_layers"))
    return 2 * width * ((layers - windowed) * pairs + windowed * near)


def forward_flops(model: Model, tokens: Real, context: Real) -> Real:
    """Forward work per sequence of `tokens` new ones that end at position `context` [Kaplan 2020, Chowdhery 2022].

    Causal.  For models whose unit is no token: the sourced work of one unit, all its denoising steps included.
    """
    if is_lm(model):
        return 2 * active_params(model) * tokens + attention_flops(model, tokens, context)
    if model.flops is not None:
        return model.flops * float(model.steps or 1) + 0.0 * tokens
    if model.family == "recommendation":
        return 2 * active_params(model) + 0.0 * tokens
    length = float(model.need("sequence"))  # an encoder: every position sees every other; its embedding is a look-up
    matrices = float(model.params) - float(model.need("vocab")) * float(model.need("hidden"))
    pairs = length * length
    return (
        2 * matrices * length + 4 * float(model.need("layers")) * float(model.need("hidden")) * pairs
    ) + 0.0 * tokens


def weight_bytes(model: Model, precision: Precision) -> float:
    """Stored weights [B], with the format's scales."""
    return float(model.params) * float(precision.weight_bits) / 8


def touched_bytes(model: Model, precision: Precision, tokens: Real) -> Real:
    """Weight bytes that one step reads for `tokens` tokens: all, or the experts and rows that they hit."""
    bytes_per_weight = float(precision.weight_bits) / 8
    if model.touched is not None:  # embedding rows of every query (on record in fp32), and the dense layers once
        rows = model.touched * bytes_per_weight / 4
        dense = max(0.0, float(model.need("active_params")) * bytes_per_weight - rows)
        return np.minimum(rows * tokens + dense, weight_bytes(model, precision))
    if model.family == "moe":
        routed, chosen = float(model.need("experts")), float(model.need("experts_per_token"))
        hit = 1 - (1 - chosen / routed) ** tokens  # expected share of experts chosen at least once, uniform routing
        return bytes_per_weight * (model.params - float(model.need("expert_params")) * (1 - hit))
    return weight_bytes(model, precision) + 0.0 * tokens


def activation_traffic(model: Model, tokens: Real, units: Real, width: float = 2.0) -> Real:
    """Activation bytes written and read by fused kernels in one forward pass, at `width` bytes a value."""
    if model.activations is not None:
        return width * model.activations * units  # on record at 2 bytes a value, written once and read once
    if model.layers is None or model.hidden is None:
        return 0.0 * units
    return default("activation_traffic") * width * model.layers * model.hidden * tokens


def activation_bytes(
    model: Model,
    tokens: Real,
    seq_len: Real,
    recompute: str,
    tp: Real,
    layers: Real,
    width: float = 2.0,
    sequence_parallel: bool = True,
) -> Real:
    """Activations that `layers` layers keep for the backward pass, per device [Korthikanti 2023, table 2].

    `width` bytes a value; `tokens` = micro-batch x sequence.  Of the 17 values a token and hidden unit, 5 (norms,
    dropouts) stay whole on every tensor-parallel rank unless sequence parallelism splits them too.
    """
    if model.activations is not None:
        return model.activations * width / 2 * tokens / float(model.sequence or 1)
    if model.family not in ATTENTION:
        raise MissingFact(
            f"{model.key} has no activations on record, so its training memory is unknown; "
            f"give it in a spec text: '{model.key}; base = {model.key}; activations = <number> MB'"
        )
    hidden = float(model.need("hidden"))
    whole = tp if sequence_parallel else 1.0
    per_layer = width * tokens * hidden * (5 / whole + 12 / tp)
    scores = 2.5 * width * float(model.need("heads")) * seq_len * tokens / tp
    if recompute == "full":  # one input per layer, and one layer at work
        return width * tokens * hidden * layers / whole + per_layer + scores
    return layers * (per_layer + (scores if recompute == "none" else 0.0))


def training_state(precision: Precision) -> tuple[float, float, float]:
    """Bytes per parameter of weights, gradients and Adam's state (with a master copy below fp32) [Rajbhandari 2020]."""
    if precision.key in ("fp32", "tf32"):
        return 4.0, 4.0, 8.0
    if precision.key in ("fp16", "bf16", "fp8", "fp4", "nvfp4", "mxfp4"):  # 16-bit weights, cast narrower per step
        return 2.0, 2.0, 12.0
    raise OutOfDomain(f"training in {precision.key} is not modelled; choose fp32, tf32, bf16, fp16, fp8, fp4 or nvfp4")


def lora_params(model: Model, rank: Real) -> Real:
    """Adapter parameters of LoRA on the four attention projections [Hu 2022]."""
    hidden, width = float(model.need("hidden")), head_dim(model)
    queries, keys = float(model.need("heads")) * width, float(model.need("kv_heads")) * width
    return rank * float(model.need("layers")) * (2 * (hidden + queries) + 2 * (hidden + keys))


def refuse_unless(condition: Any, message: str | Callable[[], str]) -> None:
    """Raise `OutOfDomain` unless every element of `condition` holds; a message that costs time is made only then."""
    if np.all(condition):
        return
    text = message if isinstance(message, str) else message()
    if (notes := COLLECTED.get()) is None:
        raise OutOfDomain(text)
    if not np.any(condition):
        raise AllRefused(text)
    notes.append((condition, text))
