"""Models: every row is recounted from its shape, and no row takes multiply-adds for FLOP."""

import math

import pytest

from mlsysim.solvers.workload import cache_bytes
from mlsysim.things import MODELS, Model

FAMILIES = {"transformer", "moe", "cnn", "ssm", "diffusion", "recommendation"}
UNITS = {"token", "sequence", "image", "query", "window"}
SHAPED = [key for key in MODELS if MODELS[key].family in ("transformer", "moe") and MODELS[key].layers is not None]
MOE = [key for key in SHAPED if MODELS[key].family == "moe"]
SHAPELESS = {"T5_11B", "Meena_2_6B", "Transformer_Base", "Transformer_Big", "GShard_600B", "Switch_1500B"}

# What the shape fields do not say:
# two feed-forward matrices; the others are gated and have three
PLAIN_MLP = {"GPT3", "GPT2", "GPT2_Small", "OPT_13B", "OPT_175B", "GPTJ_6B", "Falcon_180B", "BLOOM_176B", "MT_NLG_530B"}
PLAIN_MLP |= {"BERT_Base", "BERT_Large", "BERT_Large_384", "ViT_Large"}
PLAIN_MLP |= {k for k in MODELS if k.startswith(("Megatron_", "MPT_", "OPT_", "BLOOM_", "Pythia_", "GPT2_"))}
PLAIN_MLP |= {"Falcon_7B", "Falcon_40B", "GPT_NeoX_20B", "StarCoderBase_15B", "Gopher_280B", "Chinchilla_70B"}
PLAIN_MLP |= {"Phi_2", "Nemotron_4_340B"}
# input and output share one embedding
TWO_EMBEDDINGS = {"GPTJ_6B", "GPT_NeoX_20B", "Phi_2", "Nemotron_4_340B"}
TWO_EMBEDDINGS |= {k for k in MODELS if k.startswith("Pythia_")}
ONE_EMBEDDING = PLAIN_MLP - TWO_EMBEDDINGS | {k for k in MODELS if k.startswith(("Gemma_", "PaLM_"))}
ONE_EMBEDDING |= {"Llama3_2_1B", "Llama3_2_3B", "Qwen2_5_0_5B", "Qwen2_5_1_5B", "Qwen2_5_3B"}
ONE_EMBEDDING |= {"Qwen3_0_6B", "Qwen3_1_7B", "Qwen3_4B", "Phi_4_mini", "SmolLM2_1_7B", "SmolLM3_3B"}
ONE_EMBEDDING |= {"GLM_130B", "Command_R_35B", "Command_R_Plus_104B", "Grok_1"}
RELATIVE_POSITIONS = {"Gopher_280B", "Chinchilla_70B"}  # one more square matrix in every layer
# widths of the expert that every token passes, and of the layers without experts
SHARED_EXPERT = {"DeepSeek_V3": 2048, "Kimi_K2": 2048, "GLM_4_5": 1536, "Llama4_Scout": 8192, "Llama4_Maverick": 8192}
SHARED_EXPERT |= {"DeepSeek_V2": 2 * 1536, "GLM_4_5_Air": 1408}
DENSE_MLP = {"DeepSeek_V3": 18432, "Kimi_K2": 18432, "GLM_4_5": 12288, "Llama4_Maverick": 16384}
DENSE_MLP |= {"DeepSeek_V2": 12288, "GLM_4_5_Air": 10944}
QUERY_RANK = {"DeepSeek_V3": 1536, "Kimi_K2": 1536, "DeepSeek_V2": 1536}
NOT_RECOUNTED = {"GPT4": "no shape is published; every value of the row is marked as an estimate"}

SHEET = {  # the cheat sheet's model table, as printed
    "ResNet50": "25.6M",
    "Llama3_8B": "8.03B",
    "Llama3_70B": "70.6B",
    "GPT3": "175B",
    "DS_CNN": "26K",
    "MobileNetV2": "3.4M",
}
SHEET_DIFFERENCES = {
    "DS_CNN": "the MLPerf Tiny reference has 23756 trainable parameters, 24908 with the running statistics",
    "MobileNetV2": "torchvision's checkpoint has 3504872; the paper rounds its own variant to 3.4M",
}
MULTIPLY_ADDS = {  # counted by torchvision at the same image size, in G
    "ResNet50": 4.089,
    "ResNet18": 1.814,
    "MobileNetV2": 0.301,
    "MobileNetV3_Large": 0.217,
    "EfficientNetB0": 0.386,
    "EfficientNetB4": 4.394,
    "AlexNet": 0.714,
    "VGG16": 15.47,
    "ViT_Large": 61.555,
}


def width(model: Model) -> float:
    """Width of one attention head."""
    return float(model.head_dim or model.need("hidden") / model.need("heads"))


def recount(model: Model) -> float:
    """Parameters of the matrices that the shape describes."""
    layers, hidden, heads = (float(model.need(name)) for name in ("layers", "hidden", "heads"))
    kv_heads = float(model.need("kv_heads"))
    if model.kv_lora_rank is None:
        attention = 2 * hidden * (heads + kv_heads) * width(model)
    else:
        rank, query, rope = float(model.kv_lora_rank), QUERY_RANK[model.key], float(model.need("rope_dim"))
        attention = hidden * (query + rank + rope) + query * heads * (width(model) + rope)
        attention += 2 * rank * heads * width(model) + heads * width(model) * hidden
    matrices = 2 if model.key in PLAIN_MLP else 3
    routed_layers = float(model.moe_layers or 0)
    dense = (layers - routed_layers) * matrices * hidden * DENSE_MLP.get(model.key, float(model.need("ffn")))
    routed = float(model.expert_params or 0) + routed_layers * 3 * hidden * SHARED_EXPERT.get(model.key, 0)
    embeddings = float(model.vocab or 0) * hidden * (1 if model.key in ONE_EMBEDDING else 2)
    positions = layers * hidden**2 if model.key in RELATIVE_POSITIONS else 0
    return layers * attention + dense + routed + embeddings + positions


@pytest.mark.parametrize("key", list(MODELS))
def test_row(key: str) -> None:
    model = MODELS[key]
    assert model.family in FAMILIES
    assert model.unit in UNITS
    assert model.params > 0
    assert model.group in {"Language", "Vision", "Tiny", "Recommendation", "StateSpace", "GenerativeVision"}
    decoder = model.unit == "token"
    assert (model.flops is None) == decoder, "decoders derive their work from the shape, all others state it"
    assert model.active_params is None or model.active_params < model.params
    if model.window is not None:
        assert 0 < model.need("window_layers") <= model.need("layers")
        assert model.window < model.need("context")


@pytest.mark.parametrize("key", [k for k in SHAPED if k not in NOT_RECOUNTED])
def test_params_follow_from_the_shape(key: str) -> None:
    assert recount(MODELS[key]) == pytest.approx(MODELS[key].params, rel=0.02)


def test_only_these_lack_a_shape() -> None:
    assert {k for k, m in MODELS.items() if m.family in ("transformer", "moe") and m.layers is None} == SHAPELESS


@pytest.mark.parametrize("key", list(NOT_RECOUNTED))
def test_what_cannot_be_recounted_is_an_estimate(key: str) -> None:
    assert all(fact.source.kind == "estimate" for fact in MODELS[key].facts.values())


@pytest.mark.parametrize("key", SHAPED)
def test_heads(key: str) -> None:
    model = MODELS[key]
    assert model.need("heads") % model.need("kv_heads") == 0
    assert model.head_dim is not None or model.need("hidden") % model.need("heads") == 0


@pytest.mark.parametrize("key", MOE)
def test_mixture_of_experts(key: str) -> None:
    model = MODELS[key]
    assert model.need("active_params") < model.params
    assert model.need("experts_per_token") < model.need("experts")
    assert model.need("moe_layers") <= model.need("layers")
    assert model.need("expert_params") < model.params
    used = model.need("expert_params") * model.need("experts_per_token") / model.need("experts")
    outside = model.params - model.need("expert_params")
    # the published active count may leave the looked-up input embedding out, and rounds
    assert used < model.need("active_params") <= 1.02 * (used + outside)
    if key not in NOT_RECOUNTED:
        expert = 3 * model.need("hidden") * model.need("ffn")
        assert model.need("expert_params") == model.need("moe_layers") * model.need("experts") * expert


@pytest.mark.parametrize("key", list(SHEET))
def test_cheat_sheet(key: str) -> None:
    printed = SHEET[key]
    scale = {"K": 1e3, "M": 1e6, "B": 1e9}[printed[-1]]
    decimals = len(printed[:-1].partition(".")[2])
    same = f"{MODELS[key].params / scale:.{decimals}f}{printed[-1]}" == printed
    assert same != (key in SHEET_DIFFERENCES)


def test_differences_from_the_cheat_sheet_are_these() -> None:
    assert MODELS["DS_CNN"].params == 23756
    assert MODELS["MobileNetV2"].params == 3504872


@pytest.mark.parametrize(
    ("key", "per_token"),
    [
        ("Llama3_8B", 131072),
        ("Llama3_70B", 327680),
        ("Llama2_70B", 327680),
        ("Llama2_7B", 524288),
        ("PaLM_540B", 2 * 118 * 256 * 2),
        ("DeepSeek_V3", 61 * (512 + 64) * 2),
    ],
)
def test_cache_of_one_token(key: str, per_token: int) -> None:
    assert cache_bytes(MODELS[key], 1.0, 1.0, 2.0) == per_token


def test_sliding_windows_bound_the_cache() -> None:
    per_layer = 2 * 8 * 64 * 2  # keys and values, 8 heads of 64, 2 bytes
    assert cache_bytes(MODELS["gpt_oss_120b"], 131072.0, 1.0, 2.0) == per_layer * 18 * (131072 + 128)
    mistral = MODELS["Mistral_7B"]
    assert cache_bytes(mistral, 32768.0, 1.0, 2.0) == cache_bytes(mistral, 4096.0, 1.0, 2.0) == 4096 * 131072


@pytest.mark.parametrize("key", list(MULTIPLY_ADDS))
def test_flops_are_twice_the_multiply_adds(key: str) -> None:
    assert MODELS[key].flops == pytest.approx(2e9 * MULTIPLY_ADDS[key], rel=0.05)


@pytest.mark.parametrize("key", ["BERT_Base", "BERT_Large", "BERT_Large_384"])
def test_work_of_an_encoder(key: str) -> None:
    model = MODELS[key]
    layers, hidden, tokens = (float(model.need(name)) for name in ("layers", "hidden", "sequence"))
    matrices = layers * (4 * hidden**2 + 2 * hidden * model.need("ffn"))
    assert model.flops == pytest.approx(2 * matrices * tokens + 4 * layers * hidden * tokens**2, rel=1e-3)


def test_keyword_spotting_layer_by_layer() -> None:
    positions, channels = 25 * 5, 64  # 49 x 10 input, stride 2
    first = 10 * 4 * channels
    pair = 9 * channels + channels**2
    model = MODELS["DS_CNN"]
    assert model.flops == pytest.approx(2 * (positions * (first + 4 * pair) + channels * 12), rel=1e-3)
    assert model.params == first + channels + 4 * (pair + 2 * channels) + 9 * 2 * channels + channels * 12 + 12


def test_state_of_mamba() -> None:
    for key in ("Mamba_130M", "Mamba_2_8B"):
        model = MODELS[key]
        assert model.state == model.need("layers") * 2 * model.need("hidden") * (16 + 4) * 2


def test_recommendation_reads_few_rows() -> None:
    model = MODELS["DLRM"]
    rows = math.fsum((3, 2, 1, 2, 6, 1, 1, 1, 1, 7, 3, 8, 1, 6, 9, 5, 1, 1, 1, 12, 100, 27, 10, 3, 1, 1))
    assert model.touched == rows * 128 * 4
    assert model.need("touched") < 1e-5 * 4 * model.params
    assert model.flops == pytest.approx(2 * (model.need("active_params") - rows * 128), rel=0.01)


def test_one_guided_denoising_step() -> None:
    model = MODELS["StableDiffusion_v1_5"]
    assert model.flops == pytest.approx(2 * 2 * 338749194240, rel=1e-3)
    assert model.steps == 50


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("llama-3-8b", "Llama3_8B"),
        ("Llama 3.1 8B", "Llama3_8B"),
        ("Llama3_1_70B", "Llama3_70B"),
        ("Llama3_3_70B", "Llama3_70B"),
        ("meta-llama/Llama-3.3-70B-Instruct", "Llama3_70B"),
        ("DeepSeek_R1", "DeepSeek_V3"),
        ("Qwen2.5-72B", "Qwen2_5_72B"),
        ("bert-99", "BERT_Large_384"),
        ("ResNet-50 v1.5", "ResNet50"),
        ("FC autoencoder", "AnomalyDetector"),
        ("GPT-4", "GPT4"),
    ],
)
def test_spellings(spelling: str, key: str) -> None:
    assert MODELS[spelling].key == key
