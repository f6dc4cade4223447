"""What the fields of a ``config.json`` say about a transformer's `Shape`: one reader per architecture.

The layouts are those of the modelling code in Hugging Face Transformers (5.23), whose parameters
were counted to check them; a field with a default here has the default of that code.  The list of
readers, `READERS`, stands at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .configfields import Fields
from .errors import OutOfDomain
from .shape import Shape

MOST_LAYERS = 1e4  # plausibility
NESTED = {"gemma3": "gemma3_text", "llama4": "llama4_text"}  # the decoder of a multimodal model, in its text_config
SILENT = {  # what their published text_config leaves out, because Transformers writes no default of a nested class
    "gemma3": {
        "vocab_size": 262208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131072,
    }
}
LAYER_TYPES = ("full_attention", "sliding_attention", "chunked_attention")


def _base(
    c: Fields,
    layers: tuple[str, ...] = ("num_hidden_layers",),
    hidden: tuple[str, ...] = ("hidden_size",),
    heads: tuple[str, ...] = ("num_attention_heads",),
    context: str = "max_position_embeddings",
    *,
    tied: bool = False,
    head_dim: str = "",
) -> Shape:
    """Sizes that every transformer has; `head_dim` names the field where a class knows one."""
    width, number = c.count(*hidden), c.count(*heads)
    own = c.optional(head_dim) if head_dim else None
    if own is None and width % number:
        raise OutOfDomain(f"{c.where}: {hidden[0]} = {width} must be a multiple of {heads[0]} = {number}")
    return Shape(
        layers=c.count(*layers, high=MOST_LAYERS),
        hidden=width,
        heads=number,
        kv_heads=number,
        head_dim=own or width // number,
        ffn=0,
        vocab=c.count("vocab_size"),
        context=c.optional(context),
        tied=c.flag("tie_word_embeddings", tied),
    )


def _grouped(c: Fields, *, tied: bool = False, kv_needed: bool = True, head_dim_needed: bool = False) -> Shape:
    """Grouped queries and a gated block, as most decoders since Llama have them."""
    if head_dim_needed:
        c.count("head_dim")
    s = _base(c, tied=tied, head_dim="head_dim")
    kv_heads = c.count("num_key_value_heads", default=None if kv_needed else s.heads)
    return replace(s, kv_heads=kv_heads, ffn=c.count("intermediate_size"))


def _everywhere(s: Shape, window: int | None) -> Shape:
    """Every layer slides, if there is a window."""
    return s if window is None else replace(s, window=window, window_layers=s.layers)


def _some(c: Fields, s: Shape, slides: Callable[[int], bool], window: str = "sliding_window") -> Shape:
    """The layers that `layer_types` names slide, or those of a rule."""
    kinds = c.words("layer_types", LAYER_TYPES)
    if kinds is not None and len(kinds) != s.layers:
        raise OutOfDomain(f"{c.where}: layer_types has {len(kinds)} entries for {s.layers} layers")
    sliding = [kind != "full_attention" for kind in kinds] if kinds is not None else map(slides, range(s.layers))
    number = sum(sliding)
    return replace(s, window=c.count(window), window_layers=number) if number else s


def _biased(c: Fields, s: Shape, default: bool = False) -> Shape:
    bias = c.flag("attention_bias", default)
    return replace(s, qkv_bias=bias, out_bias=bias)


def _llama(c: Fields) -> Shape:  # Llama 1 says nothing of key-value heads: every head has its own
    return _biased(c, replace(_grouped(c, kv_needed=False), mlp_bias=c.flag("mlp_bias", False)))


def _mistral(c: Fields) -> Shape:
    return _everywhere(_grouped(c), c.nullable("sliding_window"))


def _qwen_window(c: Fields, s: Shape) -> Shape:
    if not c.flag("use_sliding_window", False):
        return s
    return _some(c, s, lambda layer: layer >= c.count("max_window_layers", low=0))


def _qwen2(c: Fields) -> Shape:
    return _qwen_window(c, replace(_grouped(c), qkv_bias=True))


def _qwen3(c: Fields) -> Shape:
    s = _biased(c, _grouped(c, head_dim_needed=True))
    return _qwen_window(c, replace(s, beside=2 * s.head_dim))


def _gemma(c: Fields) -> Shape:
    return _biased(c, _grouped(c, tied=True, head_dim_needed=True))


def _gemma2(c: Fields) -> Shape:
    return _some(c, replace(_gemma(c), norms=4), lambda layer: layer % 2 == 0)


def _gemma3(c: Fields) -> Shape:
    s = _gemma(c)
    every = c.count("sliding_window_pattern", "_sliding_window_pattern", default=6)
    return _some(c, replace(s, norms=4, beside=2 * s.head_dim), lambda layer: (layer + 1) % every != 0)


def _olmo2(c: Fields) -> Shape:
    s = _biased(c, _grouped(c))
    return replace(s, beside=(s.heads + s.kv_heads) * s.head_dim)


def _starcoder2(c: Fields) -> Shape:
    bias = c.flag("use_bias", True)
    s = replace(_grouped(c, tied=True), gated=False, norm_vectors=2, qkv_bias=bias, out_bias=bias, mlp_bias=bias)
    return _everywhere(s, c.nullable("sliding_window"))


# Older decoders: plain blocks, norms with a bias.


def _plain(s: Shape, ffn: int, bias: bool = True, **more: Any) -> Shape:
    biases = {"qkv_bias": bias, "out_bias": bias, "mlp_bias": bias}
    return replace(s, ffn=ffn, gated=False, **{"norm_vectors": 2, **biases, **more})


GPT = (("n_layer",), ("n_embd",), ("n_head",), "n_positions")


def _gpt2(c: Fields) -> Shape:
    s = _base(c, *GPT, tied=True)
    return _plain(s, c.optional("n_inner") or 4 * s.hidden, outside=c.count("n_positions") * s.hidden)


def _gptj(c: Fields) -> Shape:  # the output layer has a bias
    s = _base(c, *GPT)
    ffn = c.optional("n_inner") or 4 * s.hidden
    return _plain(s, ffn, norms=1, qkv_bias=False, out_bias=False, outside=s.vocab)


def _gpt_neox(c: Fields) -> Shape:
    return _biased(c, _plain(_base(c), c.count("intermediate_size")), default=True)


def _opt(c: Fields) -> Shape:
    c.only("layer_norm_elementwise_affine", True, True)
    s = _base(c, tied=True)
    row = c.count("word_embed_proj_dim")
    positions = c.count("max_position_embeddings") + 2
    return _plain(
        s,
        c.count("ffn_dim"),
        c.flag("enable_bias", True),
        embedding=row,
        outside=positions * s.hidden + (2 * row * s.hidden if row != s.hidden else 0),
        final_norm=c.flag("do_layer_norm_before", True) and not c.flag("_remove_final_layer_norm", False),
    )


def _bloom(c: Fields) -> Shape:  # the embedding has a norm
    s = _base(c, ("n_layer",), ("hidden_size", "n_embed"), ("n_head", "num_attention_heads"), "seq_length", tied=True)
    return _plain(s, 4 * s.hidden, outside=2 * s.hidden)


def _falcon(c: Fields) -> Shape:
    layers, heads = ("num_hidden_layers", "n_layer"), ("num_attention_heads", "n_head")
    s = _base(c, layers, heads=heads, tied=True)
    new, parallel = c.flag("new_decoder_architecture"), c.flag("parallel_attn", True)
    one = c.flag("multi_query", True)
    kv_heads = c.count("num_kv_heads", "n_head_kv") if new else 1 if one else s.heads
    norms = c.count("num_ln_in_parallel_attn", default=2 if new else 1, high=2) if parallel else 2
    ffn = c.optional("ffn_hidden_size") or 4 * s.hidden
    return _plain(s, ffn, c.flag("bias", False), kv_heads=kv_heads, norms=norms)


def _mpt(c: Fields) -> Shape:
    attention = c.inside("attn_config")
    attention.only("attn_type", "multihead_attention", "multihead_attention")
    attention.only("qk_ln", False, False)
    attention.only("alibi", True, True)  # else the positions have a table
    c.only("no_bias", True, True)
    c.only("tie_word_embeddings", True, True)
    s = _base(c, ("n_layers",), ("d_model",), ("n_heads",), "max_seq_len", tied=True)
    return _plain(s, c.count("expansion_ratio", default=4) * s.hidden, False, norm_vectors=1)


def _bert(padding: int) -> Callable[[Fields], Shape]:
    """Encoders, with the pooler and without a task's head; `padding` rows of the position table hold no position."""

    def read(c: Fields) -> Shape:
        c.only("position_embedding_type", "absolute", "absolute")
        c.only("is_decoder", False, False)
        s = _base(c)
        rows = c.count("max_position_embeddings", low=padding + 1)
        tables = (rows + c.count("type_vocab_size") + 2) * s.hidden  # and the norm over their sum
        pooler = s.hidden * s.hidden + s.hidden
        s = replace(s, context=rows - padding, encoder=True, tied=True, final_norm=False, outside=tables + pooler)
        return _plain(s, c.count("intermediate_size"))

    return read


# Mixtures of experts.


def _routed(c: Fields, s: Shape, names: tuple[str, ...], width: int, layers: int, **more: Any) -> Shape:
    experts, chosen = c.count(*names), c.count("num_experts_per_tok")
    if chosen > experts:
        raise OutOfDomain(f"{c.where}: num_experts_per_tok = {chosen} must not exceed {names[0]} = {experts}")
    more = {"router": s.hidden * experts, **more}
    return replace(s, experts=experts, chosen=chosen, expert_ffn=width, moe_layers=layers, **more)


LOCAL = ("num_local_experts", "num_experts")


def _mixtral(c: Fields) -> Shape:
    s = _everywhere(_grouped(c), c.nullable("sliding_window"))
    return _routed(c, s, LOCAL, s.ffn, s.layers)


def _sparse_layers(c: Fields, s: Shape) -> int:
    step, dense = c.count("decoder_sparse_step", default=1), set(c.integers("mlp_only_layers"))
    return sum(layer not in dense and (layer + 1) % step == 0 for layer in range(s.layers))


def _qwen2_moe(c: Fields) -> Shape:  # the shared expert has a gate of one row
    s = _qwen_window(c, replace(_grouped(c), qkv_bias=c.flag("qkv_bias", True)))
    shared = s.mlp(c.count("shared_expert_intermediate_size")) + s.hidden
    return _routed(c, s, LOCAL[::-1], c.count("moe_intermediate_size"), _sparse_layers(c, s), shared=shared)


def _qwen3_moe(c: Fields) -> Shape:
    s = _biased(c, _grouped(c, head_dim_needed=True))
    s = _qwen_window(c, replace(s, beside=2 * s.head_dim))
    return _routed(c, s, LOCAL[::-1], c.count("moe_intermediate_size"), _sparse_layers(c, s))


def _deepseek(correction: bool) -> Callable[[Fields], Shape]:
    """Latent attention; from version 3 the router carries one `correction` bias per expert."""

    def read(c: Fields) -> Shape:
        c.only("attention_bias", False, False)
        queries, rank, rope = c.nullable("q_lora_rank"), c.count("kv_lora_rank"), c.count("qk_rope_head_dim")
        key, value = c.count("qk_nope_head_dim"), c.count("v_head_dim")
        if (key + value) % 2:
            raise OutOfDomain(f"{c.where}: qk_nope_head_dim + v_head_dim = {key + value} must be even")
        s = replace(_base(c), head_dim=(key + value) // 2)  # their mean: what the work of attention depends on
        whole = s.heads * (key + rope)
        attention = s.hidden * whole if queries is None else queries * (s.hidden + whole)
        attention += s.hidden * (rank + rope) + rank * s.heads * (key + value) + s.heads * value * s.hidden
        s = replace(s, ffn=c.count("intermediate_size"), attention=attention, beside=(queries or 0) + rank)
        s = replace(s, kv_lora_rank=rank, rope_dim=rope)
        experts = c.nullable("n_routed_experts")
        if experts is None:
            return s
        first, step = c.count("first_k_dense_replace", low=0), c.count("moe_layer_freq", default=1)
        layers = sum(layer >= first and layer % step == 0 for layer in range(s.layers))
        width = c.count("moe_intermediate_size")
        shared = s.mlp(width * (c.nullable("n_shared_experts", low=0) or 0))
        router = (s.hidden + correction) * experts
        return _routed(c, s, ("n_routed_experts",), width, layers, shared=shared, router=router)

    return read


def _llama4(c: Fields) -> Shape:  # the norms of queries and keys have no weights
    s = _biased(c, _grouped(c, head_dim_needed=True))
    every = c.count("no_rope_layer_interval", default=4)
    rope = c.integers("no_rope_layers") or [(layer + 1) % every for layer in range(s.layers)]  # 0: sees everything
    if len(rope) != s.layers:
        raise OutOfDomain(f"{c.where}: no_rope_layers has {len(rope)} entries for {s.layers} layers")
    if c.nullable("attention_chunk_size") is not None:
        s = _some(c, s, lambda layer: rope[layer] != 0, "attention_chunk_size")
    width, step = s.ffn, c.count("interleave_moe_layer_step")
    moe = set(c.integers("moe_layers") or range(step - 1, s.layers, step)) & set(range(s.layers))
    s = replace(s, ffn=c.count("intermediate_size_mlp"))
    return _routed(c, s, LOCAL, width, len(moe), shared=s.mlp(width))


def _gpt_oss(c: Fields) -> Shape:  # one sink per head; router and experts have biases
    s = _biased(c, _grouped(c, head_dim_needed=True), default=True)
    s = _some(c, replace(s, mlp_bias=True, beside=s.heads), lambda layer: layer % 2 == 0)
    return _routed(c, s, LOCAL, s.ffn, s.layers, router=(s.hidden + 1) * c.count(*LOCAL))


READERS: Mapping[str, Callable[[Fields], Shape]] = {
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "phi3": _mistral,
    "olmo2": _olmo2,
    "starcoder2": _starcoder2,
    "gpt2": _gpt2,
    "gptj": _gptj,
    "gpt_neox": _gpt_neox,
    "opt": _opt,
    "bloom": _bloom,
    "falcon": _falcon,
    "mpt": _mpt,
    "bert": _bert(padding=0),
    "roberta": _bert(padding=2),
    "xlm-roberta": _bert(padding=2),
    "mixtral": _mixtral,
    "qwen2_moe": _qwen2_moe,
    "qwen3_moe": _qwen3_moe,
    "deepseek_v2": _deepseek(correction=False),
    "deepseek_v3": _deepseek(correction=True),
    "kimi_k2": _deepseek(correction=True),
    "llama4_text": _llama4,
    "gpt_oss": _gpt_oss,
}
