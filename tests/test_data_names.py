"""Every device, model and system of the published measurements is in the registries, and with the shape measured."""

from __future__ import annotations

import pytest

from mlsysim.things import FABRICS, FLEETS, GRIDS, HARDWARE, MODELS, NODES, PRICES, SITES

# fmt: off
DEVICES = {  # as the measurements print them: the row that they mean
    "H100-80GB": "H100", "A100-80GB": "A100", "GB300-288GB": "GB300", "GB200-186GB": "GB200", "B200-180GB": "B200",
    "A100-40GB": "A100_40GB", "TPUv4": "TPUv4", "TPUv3": "TPUv3", "H800-80GB": "H800", "V100-16GB": "V100_16GB",
    "Gaudi2": "Gaudi2", "RTX3070-8GB": "RTX3070", "RTX3080Ti-12GB": "RTX3080Ti", "RTX4070Ti-12GB": "RTX4070Ti",
    "RTX4080-16GB": "RTX4080", "RTX4090-24GB": "RTX4090", "RTX4000Ada-20GB": "RTX4000Ada",
    "RTX5000Ada-32GB": "RTX5000Ada", "RTXA6000-48GB": "RTXA6000", "RTX6000Ada-48GB": "RTX6000Ada",
    "A40-48GB": "A40", "L40S": "L40S", "A100-PCIe-80GB": "A100_PCIe", "H100-PCIe-80GB": "H100_PCIe",
    "H200-141GB": "H200", "MI300X-192GB": "MI300X", "T4": "T4",
    "NVIDIA B200": "B200", "NVIDIA H200 SXM": "H200", "NVIDIA H100 SXM5 80GB": "H100",
    "AMD Instinct MI300X": "MI300X", "NVIDIA A100 SXM4 80 GB": "A100",
    "L4R5ZI": "STM32L4R5ZI", "Cortex-M4 120 MHz": "STM32L4R5ZI", "U575ZI": "STM32U575ZI",
    "Cortex-M33 160 MHz": "STM32U575ZI", "H7A3ZI": "STM32H7A3ZI", "Cortex-M7 280 MHz": "STM32H7A3ZI",
    "EK-RA8D1": "RA8D1", "Cortex-M85 480 MHz": "RA8D1", "G0B1RE": "STM32G0B1RE", "Cortex-M0+ 64 MHz": "STM32G0B1RE",
    "F746": "STM32F746", "Cortex-M7 216 MHz": "STM32F746", "CY8C62": "PSoC62_CY8C62",
    "Cortex-M4 150 MHz": "PSoC62_CY8C62", "NDP9120": "NDP120", "Syntiant Core 2 NPU": "NDP120",
    # further cards of the same published lists, and what buyers compare
    "RTX3080-10GB": "RTX3080", "RTX3090-24GB": "RTX3090", "M1-8GB": "M1_7core", "M1Max-64GB": "M1Max",
    "M2Ultra-192GB": "M2Ultra", "M3Max-64GB": "M3Max_64GB", "A10": "A10", "L4": "L4", "H100-NVL-94GB": "H100_NVL",
    "H200 NVL": "H200_NVL", "B300": "B300", "GB200 NVL72": "GB200_NVL72", "GB300 NVL72": "GB300_NVL72",
    "RTX 5090": "RTX5090", "RTX 4090": "RTX4090", "RTX 6000 Ada": "RTX6000Ada", "MI250X": "MI250X",
    "MI325X": "MI325X", "MI355X": "MI355X", "TPU v4": "TPUv4", "TPU v5e": "TPUv5e", "TPU v5p": "TPUv5p",
    "TPU v6e": "TPUv6", "TPU7x": "TPUv7", "Trainium1": "Trainium1", "Trainium2": "Trainium2",
    "Trainium3": "Trainium3", "Inferentia2": "Inferentia2", "Gaudi 3": "Gaudi3", "M1 Ultra": "M1Ultra",
    "M2 Max": "M2Max", "M3 Max": "MacBookM3Max", "M3 Ultra": "M3Ultra", "M4 Max": "M4Max", "M4 Pro": "M4Pro",
}
# name: parameters, layers, width, heads, heads of keys and values, where the measurement prints them
MEASURED = {
    "MPT_70B_benchmark": (64862437376, 80, 8192, 64, 64), "MPT_30B_benchmark": (29975214080, 48, 7168, 56, 56),
    "MPT_13B_benchmark": (12853954560, 40, 5120, 40, 40), "MPT_7B_benchmark": (6658859008, 32, 4096, 32, 32),
    "MPT_3B_benchmark": (2651837440, 32, 2560, 20, 20), "MPT_1B_benchmark": (1315950592, 24, 2048, 16, 16),
    "MPT_760M_benchmark": (760470528, 24, 1536, 12, 12), "MPT-7B": (6.7e9, 32, 4096, 32, 32),
    "Megatron-1.7B": (1.7e9, 24, 2304, 24, 24), "Megatron-3.6B": (3.6e9, 30, 3072, 32, 32),
    "Megatron-7.5B": (7.5e9, 36, 4096, 32, 32), "Megatron-39.1B": (39.1e9, 48, 8192, 64, 64),
    "Megatron-76.1B": (76.1e9, 60, 10240, 80, 80), "Megatron-145.6B": (145.6e9, 80, 12288, 96, 96),
    "Megatron-529.6B": (529.6e9, 105, 20480, 128, 128), "Megatron-530B": (530e9, 105, 20480, 128, 128),
    "Megatron-1T": (1008e9, 128, 25600, 160, 160), "Megatron-22B": (22e9, 48, 6144, 64, 64),
    "MT-NLG": (530e9, 105, 20480, 128, 128), "GPT-3 175B": (175e9, 96, 12288, 96, 96),
    "OPT-175B": (175e9, 96, 12288, 96, 96), "OPT-13B": (None, 40, 5120, 40, 40),
    "Llama-3.1-405B": (405.9e9, 126, 16384, 128, 8), "Llama3_70B": (70.6e9, 80, 8192, 64, 8),
    "Llama3_8B": (8.03e9, 32, 4096, 32, 8), "Llama3_2_3B": (None, None, None, None, None),
    "llama1-7b": (6.7e9, None, None, None, None), "llama1-13b": (13e9, None, None, None, None),
    "llama1-65b": (65.2e9, None, None, None, None), "llama2-13b": (13015866880, None, None, None, None),
    "llama2-70b": (68.98e9, 80, 8192, 64, 8), "llama2-70b-99": (68.98e9, 80, 8192, 64, 8),
    "llama70b": (68.98e9, 80, 8192, 64, 8), "llama7b": (6.74e9, 32, 4096, 32, 32),
    "llama2-7b": (6.738e9, 32, 4096, 32, 32), "pythia-6.9b": (6856253440, None, None, None, None),
    "bloom-176b": (176.247e9, None, None, None, None), "palm-540b": (540.35e9, None, None, None, None),
    "gopher-280b": (280e9, None, None, None, None), "smollm3-3b": (3075098624, None, None, None, None),
    "starcoderbase-15b": (15.5e9, None, None, None, None), "deepseek-v3": (671e9, 61, None, None, None),
    "glm-130b": (130e9, None, None, None, None), "gpt-j6b": (6.05e9, 28, 4096, 16, 16),
    "falcon180b": (179.5e9, 80, 14848, 232, 8), "olmo2-7b": (7.3e9, None, None, None, None),
    "Llama4_Scout": (None, None, None, None, None), "t5-11b": (11e9, None, None, None, None),
    "meena": (2.6e9, None, None, None, None), "gshard-600b": (619e9, None, None, None, None),
    "switch transformer": (1500e9, None, None, None, None), "transformer_base": (65e6, None, None, None, None),
    "bert_base": (110e6, None, None, None, None), "bert-99": (340e6, None, None, None, None),
    "ResNet-50 v1.5": (25.6e6, None, None, None, None), "resnet50": (25.6e6, None, None, None, None),
    "ResNet-8 CIFAR-10": (None, None, None, None, None), "DS-CNN": (None, None, None, None, None),
    "MobileNetV1-0.25 96x96": (None, None, None, None, None), "FC autoencoder": (None, None, None, None, None),
}
SYSTEMS = {
    "DGX H100": NODES, "DGX A100": NODES, "DGX B200": NODES, "DGX GB200": NODES, "DGX GB300": NODES,
    "Supermicro 8x H100 SXM": NODES, "trn2.48xlarge": NODES, "DGX-1": NODES, "HLS-Gaudi2": NODES,
    "8x HDR200 IB per node": FABRICS, "RoCE 400 Gb/s": FABRICS, "InfiniBand NDR": FABRICS,
    "RSC-1": FLEETS, "RSC-2": FLEETS, "Eos": FLEETS, "Selene": FLEETS,
}
HEAD_WIDTHS = {"gpt-j6b": 256, "falcon180b": 64, "llama7b": 128, "llama70b": 128, "Gemma_2_9B": 256, "gpt_oss_20b": 64}
# fmt: on


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_resolves_and_names_its_silicon(name: str) -> None:
    assert HARDWARE[name].key == DEVICES[name]
    assert HARDWARE[name].generation is not None


@pytest.mark.parametrize("name", MEASURED)
def test_a_model_resolves_to_the_shape_that_was_measured(name: str) -> None:
    model, (params, *shape) = MODELS[name], MEASURED[name]
    if params is not None:
        assert model.params == pytest.approx(params, rel=0.03)
    for field, value in zip(("layers", "hidden", "heads", "kv_heads"), shape, strict=True):
        assert value is None or getattr(model, field) == value, field


@pytest.mark.parametrize("name", HEAD_WIDTHS)
def test_heads_are_as_wide_as_published(name: str) -> None:
    model = MODELS[name]
    assert (model.head_dim or model.need("hidden") / model.need("heads")) == HEAD_WIDTHS[name]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_resolves(name: str) -> None:
    assert SYSTEMS[name][name].title


@pytest.mark.parametrize(
    ("name", "window", "layers"),
    [("Mistral_7B", 4096, 32), ("Gemma_2_9B", 4096, 21), ("Gemma_3_4B", 1024, 29), ("gpt_oss_20b", 128, 12)],
)
def test_windows(name: str, window: int, layers: int) -> None:
    assert (MODELS[name].window, MODELS[name].window_layers) == (window, layers)


def test_generations_are_words_of_the_trade() -> None:
    known = "fermi kepler pascal volta turing ampere ada hopper blackwell cdna cdna2 cdna3 cdna4 tpu gaudi trainium"
    known += " apple mcu wse corsair ipu lpu speedai edgetpu myriad"
    assert {d.generation for d in HARDWARE.values()} - {None} == set(known.split())


def test_grids_and_sites_cover_the_regions_where_halls_stand() -> None:
    grids = [k for k in GRIDS if not k.endswith("_direct") and k != "Coal_plant"]
    assert len(grids) >= 60
    for name in ("UK", "Ireland", "Sweden", "Tokyo", "Singapore", "Virginia", "Oregon", "Johor", "UAE", "Sydney"):
        assert SITES[name].grid.key == GRIDS[name].key


@pytest.mark.parametrize(
    "item", ["A10", "L4", "L40S", "H100_PCIe", "RTX4090", "RTX5090", "TPUv5e", "Trainium1", "GH200"]
)
def test_what_buyers_rent_has_a_price(item: str) -> None:
    assert any(p.item == item and p.basis == "on_demand" for p in PRICES.values())


@pytest.mark.parametrize("kind", ["api_input", "api_output"])
def test_popular_models_have_a_price_per_token(kind: str) -> None:
    priced = {p.item for p in PRICES.values() if p.basis == kind}
    assert priced <= set(MODELS)
    assert {"Llama3_8B", "Llama3_70B", "Llama3_405B", "Llama4_Scout", "DeepSeek_V3", "Qwen3_32B", "Kimi_K2"} <= priced
    assert {"gpt_oss_20b", "gpt_oss_120b", "Gemma_3_27B", "Mixtral_8x7B", "Mixtral_8x22B", "GLM_4_5"} <= priced


@pytest.mark.parametrize("kind", ["purchase", "on_demand", "reserved", "spot", "server"])
def test_what_is_priced_is_in_a_registry(kind: str) -> None:
    for price in PRICES.values():
        if price.basis.startswith(kind) and price.item != "cloud":
            assert price.item in {**HARDWARE, **NODES}, price.key
