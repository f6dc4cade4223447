"""Bytes and operations of transformers."""

import numpy as np

from ..catalogue import equation
from ..units import Bytes, BytesPerValue, Count, Flops, Params, Tokens


@equation("pope2023", "ainslie2023", group="Equations")
def kv_size(
    *,
    layers: Count,
    kv_heads: Count,
    head_dim: Count,
    seq_len: Tokens,
    batch: Count = 1,
    bytes_per_value: BytesPerValue = 2,
) -> Bytes:
    """Contiguous key-value cache of multi-head or grouped-query attention (keys and values: factor 2).

    Examples
    --------
    >>> kv_size(layers=32, kv_heads=8, head_dim=128, seq_len=4096, batch=32)
    17179869184.0
    """
    return 2 * layers * kv_heads * head_dim * seq_len * batch * bytes_per_value


@equation("deepseek-v2", group="Equations")
def mla_size(
    *,
    layers: Count,
    latent_width: Count,
    seq_len: Tokens,
    batch: Count = 1,
    bytes_per_value: BytesPerValue = 2,
) -> Bytes:
    """Key-value cache of multi-head latent attention: one compressed vector per token and layer.

    Examples
    --------
    >>> mla_size(layers=61, latent_width=512 + 64, seq_len=1)
    70272.0
    """
    return layers * latent_width * seq_len * batch * bytes_per_value


@equation("kaplan2020", "hoffmann2022", group="Equations")
def train_flops(*, params: Params, tokens: Tokens) -> Flops:
    """Training work of a dense transformer, 6 FLOP per parameter and token; attention scores not counted.

    Examples
    --------
    >>> train_flops(params=175e9, tokens=300e9)
    3.15e+23
    """
    return 6 * params * tokens


@equation("hoffmann2022", group="Equations")
def chinchilla_params(*, budget: Flops, tokens_per_param: Tokens = 20) -> Params:
    """Compute-optimal parameter count for a training budget.

    Examples
    --------
    >>> chinchilla_params(budget=1.2e23)
    31622776601.6...
    """
    return np.sqrt(budget / (6 * tokens_per_param))


@equation("hoffmann2022", group="Equations")
def chinchilla_tokens(*, budget: Flops, tokens_per_param: Tokens = 20) -> Tokens:
    """Compute-optimal number of training tokens for a training budget.

    Examples
    --------
    >>> chinchilla_tokens(budget=1.2e23)
    632455532033.6...
    """
    return tokens_per_param * chinchilla_params(budget=budget, tokens_per_param=tokens_per_param)
