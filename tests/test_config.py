"""A model from a config.json: counts against published ones, refusals by name, provenance, and malformed files.

The files in ``data/configs`` hold the architecture fields of the published ones; their key ``_source`` is the address.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mlsysim as m
from mlsysim.architectures import NESTED
from mlsysim.config import legal_types
from mlsysim.errors import MissingFact, OutOfDomain
from mlsysim.registry import KINDS, NEED_NOTE, fields, spec
from mlsysim.things import MODELS, Model

CONFIGS = Path(__file__).parent / "data" / "configs"
FILES = sorted(path.stem for path in CONFIGS.glob("*.json"))

# Parameters, and key-value bytes of one token at 2 bytes a value.  The counts are those of the published checkpoints
# (totals of their safetensors index or model card), and of Transformers 5.23 building each file without weights.
PUBLISHED = {
    "llama-3-8b": (8_030_261_248, 131_072),
    "llama-2-7b": (6_738_415_616, 524_288),
    "llama-3.2-1b": (1_235_814_400, 32_768),
    "mistral-7b": (7_241_732_096, 131_072),
    "mistral-nemo-12b": (12_247_782_400, 163_840),
    "qwen2.5-7b": (7_615_616_512, 57_344),
    "qwen3-8b": (8_190_735_360, 147_456),
    "gemma-7b": (8_537_680_896, 458_752),
    "gemma-2-9b": (9_241_705_984, 344_064),
    "gemma-3-1b": (999_885_952, 26_624),
    "gemma-3-4b": (3_880_263_168, 139_264),  # of 4.30e9 with the image encoder
    "gemma-3-27b": (27_009_346_304, 507_904),  # of 27.4e9
    "phi-3-mini": (3_821_079_552, 393_216),
    "gpt2": (124_439_808, 36_864),
    "pythia-6.9b": (6_857_302_016, 524_288),
    "gpt-j-6b": (6_050_882_784, 458_752),
    "opt-125m": (125_239_296, 36_864),
    "opt-350m": (331_196_416, 98_304),
    "opt-13b": (12_853_473_280, 819_200),
    "bloom": (176_247_271_424, 4_014_080),
    # the checkpoint stores the tied table twice, 7_217_189_760 numbers (vLLM pull request 3590)
    "falcon-7b": (6_921_720_704, 8_192),
    "falcon-40b": (41_303_293_952, 122_880),
    "mpt-7b": (6_649_286_656, 524_288),
    "bert-base": (109_482_240, None),
    "roberta-base": (124_645_632, None),
    "mixtral-8x7b": (46_702_792_704, 131_072),
    "qwen1.5-moe-a2.7b": (14_315_784_192, 196_608),
    "qwen3-30b-a3b": (30_532_122_624, 98_304),
    "deepseek-v2-lite": (15_706_484_224, 31_104),
    "deepseek-v3": (671_026_419_200, 70_272),  # without the layer that predicts a second token
    "llama-4-scout": (107_769_861_120, 196_608),  # of 109e9 with the image encoder
    "llama-4-maverick": (400_711_848_960, 196_608),
    "gpt-oss-20b": (20_914_757_184, 49_152),
    "gpt-oss-120b": (116_829_156_672, 73_728),
    "starcoder2-3b": (3_030_371_328, 30_720),
    "olmo-2-7b": (7_298_617_344, 524_288),
}
# Active parameters: our count, and what the model card prints; a card that leaves the input embedding out says so.
ACTIVE = {
    "mixtral-8x7b": (12_879_925_248, 12.9e9, 0),
    "qwen1.5-moe-a2.7b": (2_689_173_504, 2.7e9, 0),
    "qwen3-30b-a3b": (3_353_032_704, 3.3e9, 0),
    "deepseek-v2-lite": (2_661_150_208, 2.4e9, 102400 * 2048),
    "deepseek-v3": (37_552_297_472, 37e9, 0),
    "llama-4-scout": (17_172_894_720, 17e9, 0),
    "llama-4-maverick": (17_184_691_200, 17e9, 0),
    "gpt-oss-20b": (4_187_440_704, 3.61e9, 201088 * 2880),
    "gpt-oss-120b": (5_711_982_912, 5.13e9, 201088 * 2880),
}
# What one field changes: counts of Transformers 5.23.
VARIANTS: list[tuple[str, dict[str, Any], int]] = [
    ("llama-3-8b", {"attention_bias": True}, 8_030_588_928),
    ("llama-3-8b", {"mlp_bias": True}, 8_031_309_824),
    ("llama-3-8b", {"head_dim": 96}, 7_694_716_928),
    ("llama-3-8b", {"tie_word_embeddings": True}, 7_504_924_672),
    ("qwen3-8b", {"attention_bias": True}, 8_191_104_000),
    ("starcoder2-3b", {"use_bias": False}, 3_029_710_848),
    ("gpt2", {"n_inner": 2048, "tie_word_embeddings": False}, 144_150_528),
    ("pythia-6.9b", {"attention_bias": False}, 6_856_777_728),
    ("opt-125m", {"enable_bias": False}, 125_156_352),
    ("opt-125m", {"_remove_final_layer_norm": True}, 125_237_760),
    ("opt-350m", {"tie_word_embeddings": False}, 356_935_680),
    ("falcon-7b", {"tie_word_embeddings": False}, 7_217_189_760),
    ("falcon-7b", {"multi_query": False, "parallel_attn": False, "bias": True}, 8_226_175_872),
    ("falcon-40b", {"num_ln_in_parallel_attn": 1, "ffn_hidden_size": 16384}, 25_196_183_552),
    ("qwen1.5-moe-a2.7b", {"decoder_sparse_step": 2, "mlp_only_layers": [1]}, 7_566_573_568),
    ("qwen3-30b-a3b", {"mlp_only_layers": [0, 5]}, 29_399_136_256),
    ("deepseek-v2-lite", {"q_lora_rank": 1536, "first_k_dense_replace": 0}, 16_252_833_792),
    ("deepseek-v2-lite", {"v_head_dim": 64}, 15_635_705_344),
    ("gpt-oss-20b", {"attention_bias": False}, 20_914_565_184),
    ("gemma-2-9b", {"tie_word_embeddings": False}, 10_159_209_984),
    ("olmo-2-7b", {"num_key_value_heads": 8}, 6_493_212_672),
    ("bert-base", {"type_vocab_size": 1, "max_position_embeddings": 1024}, 109_874_688),
    ("bert-base", {"tie_word_embeddings": False}, 109_482_240),
]
IN_THE_REGISTRY = {
    "llama-2-7b": "Llama2_7B",
    "mistral-7b": "Mistral_7B",
    "qwen2.5-7b": "Qwen2_5_7B",
    "gemma-3-27b": "Gemma_3_27B",
    "bloom": "BLOOM_176B",
    "mixtral-8x7b": "Mixtral_8x7B",
    "qwen3-30b-a3b": "Qwen3_30B_A3B",
    "deepseek-v3": "DeepSeek_V3",
    "llama-4-scout": "Llama4_Scout",
    "llama-4-maverick": "Llama4_Maverick",
    "gpt-oss-120b": "gpt_oss_120b",
    "gpt-oss-20b": "gpt_oss_20b",
    "falcon-7b": "Falcon_7B",
    "falcon-40b": "Falcon_40B",
}


def published(stem: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((CONFIGS / f"{stem}.json").read_text("utf-8"))
    return data


def model_of(stem: str) -> Model:
    return m.Models.from_config(CONFIGS / f"{stem}.json")


def write(folder: Path, data: Any) -> Path:
    path = folder / "config.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return path


def changed(folder: Path, stem: str, **fields_: Any) -> Model:
    return m.Models.from_config(write(folder, published(stem) | fields_))


# ---------------------------------------------------------------- counts


def test_every_file_and_every_architecture_is_tested() -> None:
    assert sorted(PUBLISHED) == FILES
    same_layout = {"xlm-roberta": "roberta", "kimi_k2": "deepseek_v3"}
    tested = {published(stem)["model_type"] for stem in FILES} | set(same_layout)
    assert tested | set(NESTED.values()) == set(legal_types())
    for stem in FILES:
        assert published(stem)["_source"].startswith("https://huggingface.co/")


@pytest.mark.parametrize("stem", FILES)
def test_counts_are_the_published_ones(stem: str) -> None:
    model = model_of(stem)
    params, per_token = PUBLISHED[stem]
    assert model.params == params
    if per_token is None:
        assert (model.unit, model.sequence) == ("sequence", 512)
    else:
        assert m.kvcache(model, seq_len=1) == per_token
        assert model.unit == "token"


@pytest.mark.parametrize("stem", FILES)
def test_active_parameters(stem: str) -> None:
    model = model_of(stem)
    assert (model.family == "moe") == (stem in ACTIVE)
    if stem not in ACTIVE:
        assert (model.active_params, model.experts, model.expert_params) == (None, None, None)
        return
    count, printed, left_out = ACTIVE[stem]
    assert model.active_params == count
    assert count - left_out == pytest.approx(printed, rel=0.03)
    idle = 1 - model.need("experts_per_token") / model.need("experts")
    assert count == model.params - model.need("expert_params") * idle


@pytest.mark.parametrize(("stem", "change", "params"), VARIANTS)
def test_each_field_counts(stem: str, change: dict[str, Any], params: int, tmp_path: Path) -> None:
    assert changed(tmp_path, stem, **change).params == params


def test_a_small_model_by_hand(tmp_path: Path) -> None:
    tiny = {"model_type": "llama", "hidden_size": 8, "intermediate_size": 20, "num_hidden_layers": 3, "vocab_size": 50}
    tiny |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    model = m.Models.from_config(write(tmp_path, tiny))
    layer = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 20 + 2 * 8
    assert model.params == 3 * layer + 2 * 50 * 8 + 8
    assert (model.head_dim, model.context, model.window) == (2, None, None)
    del tiny["num_key_value_heads"]  # as Llama 1 has it: every head keeps its own keys
    assert m.Models.from_config(write(tmp_path, tiny)).kv_heads == 4


@pytest.mark.parametrize(("stem", "key"), IN_THE_REGISTRY.items())
def test_the_registry_has_the_same_shape(stem: str, key: str) -> None:
    read, listed = model_of(stem), MODELS[key]
    for name in set(listed.facts) - {"context", "active_params", "expert_params"}:
        assert getattr(read, name) == getattr(listed, name), name
    if listed.expert_params is not None:  # the registry counts matrices, without the biases of gpt-oss
        assert read.expert_params == pytest.approx(listed.expert_params, rel=1e-3)


# ---------------------------------------------------------------- windows and latent attention


@pytest.mark.parametrize(
    ("stem", "window", "layers"),
    [
        ("mistral-7b", 4096, 32),
        ("phi-3-mini", 2047, 32),
        ("gemma-2-9b", 4096, 21),
        ("gemma-3-27b", 1024, 52),
        ("llama-4-scout", 8192, 36),
        ("gpt-oss-20b", 128, 12),
    ],
)
def test_sliding_windows_bound_the_cache(stem: str, window: int, layers: int) -> None:
    model = model_of(stem)
    assert (model.window, model.window_layers) == (window, layers)
    value = 2 * 2 * model.need("kv_heads") * model.need("head_dim")
    length = 4 * window
    expected = value * (layers * window + (model.need("layers") - layers) * length)
    assert m.kvcache(model, seq_len=length) == expected


def test_which_layers_slide(tmp_path: Path) -> None:
    assert model_of("qwen2.5-7b").window is None  # it names a window, and switches it off
    assert changed(tmp_path, "qwen2.5-7b", use_sliding_window=True, max_window_layers=20).window_layers == 8
    assert changed(tmp_path, "mistral-7b", sliding_window=None).window_layers is None
    kinds = ["sliding_attention"] * 40 + ["full_attention"] * 2
    assert changed(tmp_path, "gemma-2-9b", layer_types=kinds).window_layers == 40
    assert changed(tmp_path, "gemma-2-9b", layer_types=["full_attention"] * 42).window is None
    for wrong in (kinds[:-1], [*kinds[:-1], "linear_attention"], "sliding_attention"):
        with pytest.raises(OutOfDomain, match="layer_types"):
            changed(tmp_path, "gemma-2-9b", layer_types=wrong)
    with pytest.raises(MissingFact, match="sliding_window is missing; a gpt_oss needs it"):
        changed(tmp_path, "gpt-oss-20b", sliding_window=None)


def test_latent_attention() -> None:
    model = model_of("deepseek-v3")
    assert (model.kv_lora_rank, model.rope_dim, model.head_dim, model.moe_layers) == (512, 64, 128, 58)
    assert m.kvcache(model, seq_len=4096, batch=2) == 70272 * 4096 * 2


# ---------------------------------------------------------------- provenance and the second spelling


@pytest.mark.parametrize("stem", FILES)
def test_spec_text_says_it_all(stem: str) -> None:
    model = model_of(stem)
    assert Model.of(spec(model)) == model
    assert set(model.facts) == {n for n in fields(Model) if getattr(model, n) is not None}
    for fact in model.facts.values():
        assert (fact.source.kind, fact.source.title) == ("user", f"config.json of {stem} ({stem}.json)")
        assert fact.source.url.endswith(f"/configs/{stem}.json")
        assert fact.kind in KINDS
        assert (fact.kind in NEED_NOTE) == bool(fact.note)


def test_what_the_file_says_and_what_follows() -> None:
    facts = model_of("gemma-3-4b").facts
    assert (facts["layers"].kind, facts["hidden"].printed) == ("user", "2560")
    assert facts["heads"].note == "not in the file; the default of gemma3_text in Transformers"
    assert model_of("falcon-7b").facts["kv_heads"].kind == "derived"


def test_the_name(tmp_path: Path) -> None:
    data = published("gpt2")
    for folder, key in (("my model", "my_model"), ("=SUM(1;2)", "SUM_1_2"), ("Qwen2.5-7B", "Qwen2.5-7B")):
        (tmp_path / folder).mkdir()
        path = write(tmp_path / folder, data)
        assert m.Models.from_config(tmp_path / folder).key == key
        assert m.Models.from_config(str(path)).key == key
        assert m.Models.from_config(path, name="Mine").key == "Mine"
    cache = tmp_path / "models--openai--gpt-oss" / "snapshots" / "0123abcd"
    cache.mkdir(parents=True)
    assert m.Models.from_config(write(cache, data)).key == "gpt-oss"
    with pytest.raises(OutOfDomain, match="name must be text"):
        m.Models.from_config(path, name=3)


def test_remarks_of_the_title(tmp_path: Path) -> None:
    assert model_of("gpt-oss-20b").title == "gpt-oss-20b (gpt_oss, stored quantized: mxfp4)"
    assert model_of("llama-4-scout").title == "llama-4-scout (llama4_text, text part)"
    data = published("gpt-oss-20b")
    del data["quantization_config"]
    assert m.Models.from_config(write(tmp_path, data)).params == PUBLISHED["gpt-oss-20b"][0]
    with pytest.raises(OutOfDomain, match="quantization_config must be an object"):
        changed(tmp_path, "gpt2", quantization_config="int4")


def test_solvers_take_it_like_any_model() -> None:
    read, listed = model_of("llama-2-7b"), MODELS["Llama2_7B"]
    ask = {"seq_len": 2048, "batch": 4}
    assert m.serving(read, "H100", **ask).itl == m.serving(listed, "H100", **ask).itl
    assert "from_config" in dir(m.Models)
    assert m.Models.Llama2_7B is listed
