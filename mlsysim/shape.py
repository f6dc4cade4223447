"""The shape of a transformer, and what its parameters come to."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import OutOfDomain


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a transformer's parameters follow from; sizes without a name of their own are counts of parameters."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int  # of a dense layer
    vocab: int
    context: int | None = None
    tied: bool = False  # one table for input and output
    embedding: int = 0  # width of the table's rows, where it is not `hidden`
    outside: int = 0  # positions, token types, pooler ...: what is there once
    gated: bool = True
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    norms: int = 2  # per layer
    norm_vectors: int = 1  # a weight; 2 with a bias
    final_norm: bool = True
    attention: int = 0  # projections of one layer, where they are not query, key, value and output of the above
    beside: int = 0  # norms of queries and keys, sinks: more of one layer's attention
    experts: int = 0
    chosen: int = 0
    moe_layers: int = 0
    expert_ffn: int = 0
    router: int = 0  # one layer's, with its biases
    shared: int = 0  # one layer's shared expert, with its gate
    window: int | None = None
    window_layers: int | None = None
    kv_lora_rank: int | None = None
    rope_dim: int | None = None
    encoder: bool = False

    def __post_init__(self) -> None:
        """Refuse heads that do not share their keys evenly."""
        if self.heads % self.kv_heads:
            raise OutOfDomain(f"{self.heads} attention heads cannot share {self.kv_heads} key-value heads evenly")

    def facts(self) -> dict[str, int | str | None]:
        """The fields of a `Model`; None where one does not apply."""
        moe = self.moe_layers > 0
        routed = self.moe_layers * self.experts * self.mlp(self.expert_ffn)
        params = self.count() + routed
        return {
            "family": "moe" if moe else "transformer",
            "unit": "sequence" if self.encoder else "token",
            "params": params,
            "active_params": params - routed // self.experts * (self.experts - self.chosen) if moe else None,
            **{n: getattr(self, n) for n in ("layers", "hidden", "heads", "kv_heads", "head_dim")},
            "ffn": self.expert_ffn if moe else self.ffn,
            "vocab": self.vocab,
            "context": self.context,
            "sequence": self.context if self.encoder else None,
            "experts": self.experts if moe else None,
            "experts_per_token": self.chosen if moe else None,
            "moe_layers": self.moe_layers if moe else None,
            "expert_params": routed if moe else None,
            "kv_lora_rank": self.kv_lora_rank,
            "rope_dim": self.rope_dim,
            "window": self.window if self.window_layers else None,
            "window_layers": self.window_layers or None,
        }

    def count(self) -> int:
        """Parameters, the routed experts left out."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = self.attention or 2 * self.hidden * (queries + keys)
        attention += self.qkv_bias * (queries + 2 * keys) + self.out_bias * self.hidden + self.beside
        layer = attention + self.norms * self.norm_vectors * self.hidden
        dense = (self.layers - self.moe_layers) * self.mlp(self.ffn)
        tables = (1 if self.tied else 2) * self.vocab * (self.embedding or self.hidden)
        last = self.final_norm * self.norm_vectors * self.hidden
        return (
            self.layers * layer + dense + self.moe_layers * (self.router + self.shared) + tables + last + self.outside
        )

    def mlp(self, width: int) -> int:
        """Feed-forward block of one layer or one expert."""
        biases = (1 + self.gated) * width + self.hidden
        return (2 + self.gated) * self.hidden * width + self.mlp_bias * biases
