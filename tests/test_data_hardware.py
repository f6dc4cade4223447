"""The hardware and precision tables: plausible throughout, and right where people will check first."""

from __future__ import annotations

import re
from itertools import pairwise
from math import isclose

import pytest

from mlsysim.errors import MissingFact, UnknownName
from mlsysim.registry import face
from mlsysim.things import DATAPATHS, HARDWARE, PRECISIONS, Device

GROUPS = ("Cloud", "Workstation", "Mobile", "Edge", "Tiny")
MEMORY_CLASSES = ("hbm", "gddr", "lpddr", "ddr", "sram", "flash")
LADDERS = (  # each format runs at least as fast as the one before it
    ("fp64", "fp32", "tf32", "bf16", "fp8", "fp6", "fp4"),
    ("fp32", "tf32", "fp16", "fp8", "fp6", "fp4"),
    ("fp16", "int8", "int4"),
    ("bf16", "int8"),
)
TERA, GIGA, MEBI = 1e12, 1e9, 2.0**20
# fmt: off
VENDOR_HOSTS = (
    "nvidia.com", "amd.com", "intel.com", "cloud.google.com",
    "jax.dev", "awsdocs-neuron.readthedocs-hosted.com", "apple.com", "cerebras.net",
    "d-matrix.ai", "graphcore.ai", "groq.humain.ai", "businesswire.com",
    "coral.ai", "espressif.com", "himax.com.tw", "st.com",
)
# fmt: on


@pytest.fixture(params=list(HARDWARE))
def device(request: pytest.FixtureRequest) -> Device:
    return HARDWARE[request.param]


def rates(device: Device) -> dict[str, float]:
    return {name: getattr(device, name) for name in DATAPATHS if getattr(device, name) is not None}


def single(device: Device) -> bool:
    return device.devices is None


# ---------------------------------------------------------------- every row


def test_every_row_can_compute_and_is_dated(device: Device) -> None:
    assert device.group in GROUPS
    assert device.memory_class in MEMORY_CLASSES
    assert device.year is not None
    assert 2009 <= device.year <= 2026
    assert rates(device)


@pytest.mark.parametrize(
    ("group", "memory", "bandwidth", "power"),
    [
        ("Cloud", (100e6, 1e12), (10e9, 25e15), (50, 23_000)),
        ("Workstation", (1e9, 1e12), (100e9, 2e12), (50, 700)),
        ("Mobile", (4e9, 64e9), (30e9, 200e9), (1, 50)),
        ("Edge", (1e9, 200e9), (5e9, 600e9), (1, 350)),
        ("Tiny", (200e3, 20e6), (10e6, 4e9), (1e-3, 2)),
    ],
)
def test_sizes_are_those_of_the_group(
    group: str, memory: tuple[float, float], bandwidth: tuple[float, float], power: tuple[float, float]
) -> None:
    rows = [d for d in HARDWARE.values() if d.group == group and single(d)]
    assert rows
    for d in rows:
        assert memory[0] <= d.memory <= memory[1], d.key
        assert bandwidth[0] <= d.bandwidth <= bandwidth[1], d.key
        assert d.tdp is None or power[0] <= d.tdp <= power[1], d.key


def test_bandwidth_fits_the_memory_technology(device: Device) -> None:
    low, high = {
        "hbm": (0.5e12, 10e12),
        "gddr": (0.15e12, 2e12),
        "lpddr": (8e9, 900e9),
        "ddr": (10e9, 200e9),
        "sram": (50e6, 25e15),
        "flash": (10e6, 2e9),
    }[str(device.memory_class)]
    assert low <= device.bandwidth / (device.devices or 1) <= high


@pytest.mark.parametrize("ladder", LADDERS, ids="-".join)
def test_narrower_formats_are_not_slower(device: Device, ladder: tuple[str, ...]) -> None:
    known = [(name, rates(device)[name]) for name in ladder if name in rates(device)]
    for (wide, slow), (narrow, fast) in pairwise(known):
        assert fast >= slow, f"{device.key}: {narrow} is slower than {wide}"


UNLIKE_16 = {"Gaudi3": "its matrix engine runs fp16 at a quarter of bf16", "MI100": "bf16 at half of fp16"}
BLOCK_FP8 = {"Trainium3": "AWS prints 2517 dense MXFP8 beside 671 in 16 bits"}
FOURFOLD_FP4 = dict.fromkeys(("RTX5090", "RTX5080", "RTX5070Ti"), "GeForce halves fp8 with fp32 sums, but not fp4")


def test_fp16_runs_at_the_rate_of_bf16(device: Device) -> None:
    if None not in (device.fp16, device.bf16):
        assert (device.fp16 == device.bf16) != (device.key in UNLIKE_16)


def test_no_rate_counts_sparsity(device: Device) -> None:
    """From one format to the next a chip gains a factor of two; four would be a sparse rate among dense ones."""
    sixteen = device.bf16 or device.fp16
    if sixteen and device.fp8:
        assert (device.fp8 > 2.03 * sixteen) == (device.key in BLOCK_FP8)  # NVIDIA rounds the L40S up
    if device.fp8 and device.fp4:
        assert (device.fp4 > 3.01 * device.fp8) == (device.key in FOURFOLD_FP4)  # Blackwell Ultra: three
    if device.int8 and device.int4:
        assert device.int4 <= 4 * device.int8


def test_the_driver_reports_about_what_the_data_sheet_prints(device: Device) -> None:
    assert 0.95 <= device.capacity / device.memory <= 1.08


def test_links_are_per_direction(device: Device) -> None:
    if single(device):
        assert device.link is None or device.link <= 900e9 or device.key == "Trainium3"
    if device.host_link is not None and device.host_link > 64e9:
        assert device.key in {"GH200", "GH200_144GB", "B300", "Cerebras_CS3"}  # chip-to-chip, PCIe Gen6, Ethernet


def test_a_data_sheet_is_the_vendor_s_own(device: Device) -> None:
    """Reprints, blogs and tables of third parties may be cited, but not as data sheets; nor is a search a document."""
    for fact in device.facts.values():
        assert "github.com/search" not in fact.source.url
        if fact.kind == "datasheet":
            assert fact.source.url.split("/")[2].removeprefix("www.").endswith(VENDOR_HOSTS), fact.source.url


def test_only_racks_hold_several_devices() -> None:
    assert {d.key for d in HARDWARE.values() if not single(d)} == {"GB200_NVL72", "GB300_NVL72"}


@pytest.mark.parametrize(("rack", "part"), [("GB200_NVL72", "GB200"), ("GB300_NVL72", "GB300")])
def test_a_rack_is_72_of_its_parts(rack: str, part: str) -> None:
    whole, one = HARDWARE[rack], HARDWARE[part]
    assert whole.devices == 72
    for name in ("memory", "bandwidth", "link", *rates(one)):
        assert isclose(getattr(whole, name), 72 * getattr(one, name), rel_tol=2e-3), name
    assert whole.tdp is not None
    assert one.tdp is not None
    assert 1.2 * 72 * one.tdp < whole.tdp < 1.6 * 72 * one.tdp  # processors, switches, fans and losses


# ---------------------------------------------------------------- figures that get checked first


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("H100", "fp16", 989 * TERA),
        ("H100", "fp8", 1979 * TERA),
        ("H100", "fp32", 67 * TERA),
        ("H100", "memory", 80 * GIGA),
        ("H100", "usable", 81559 * MEBI),
        ("H100", "bandwidth", 3.35 * TERA),
        ("H100", "link", 450 * GIGA),
        ("H100", "host_link", 64 * GIGA),
        ("H100", "tdp", 700),
        ("H200", "memory", 141 * GIGA),
        ("H200", "usable", 143771 * MEBI),
        ("H200", "bandwidth", 4.8 * TERA),
        ("A100", "fp16", 312 * TERA),
        ("A100", "int4", 1248 * TERA),
        ("A100", "usable", 81920 * MEBI),
        ("A100", "link", 300 * GIGA),
        ("T4", "int4", 260 * TERA),
        ("B200", "fp16", 2250 * TERA),
        ("B200", "fp4", 9000 * TERA),
        ("B200", "memory", 180 * GIGA),
        ("B200", "usable", 183359 * MEBI),
        ("B200", "link", 900 * GIGA),
        ("GB200_NVL72", "fp16", 180e15),
        ("MI300X", "fp16", 1307.4 * TERA),
        ("MI300X", "fp32", 163.4 * TERA),
        ("MI250X", "bandwidth", 3276.8 * GIGA),
        ("Gaudi3", "fp8", 1835 * TERA),
        ("Trainium2", "bf16", 667 * TERA),
        ("Trainium2", "fp8", 1299 * TERA),
        ("Trainium2", "bandwidth", 2.9 * TERA),
        ("TPUv4", "bf16", 275 * TERA),
        ("TPUv5p", "link", 600 * GIGA),
        ("TPUv6", "bf16", 918 * TERA),
        ("TPUv6", "memory", 32 * GIGA),
        ("DGX_Spark", "bandwidth", 273 * GIGA),
        ("iPhone15Pro", "bandwidth", 51.2 * GIGA),
        ("iPhone15Pro", "int8", 35 * TERA),
    ],
)
def test_figure(key: str, field: str, value: float) -> None:
    assert getattr(HARDWARE[key], field) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("key", "datapath"),
    [
        ("V100", "int8"),
        ("V100", "bf16"),
        ("H100", "int4"),
        ("H200", "int4"),
        ("B200", "int4"),
        ("MI300X", "fp4"),
        ("TPUv6", "fp16"),
        ("iPhone15Pro", "fp16"),
        ("Coral", "fp16"),
        ("nRF52840", "fp16"),
    ],
)
def test_a_missing_datapath_is_refused(key: str, datapath: str) -> None:
    with pytest.raises(MissingFact, match=rf"{key} has no {datapath} rate"):
        HARDWARE[key].rate(datapath)


SHEET = {  # the cheat sheet's hardware table: peak fp16 [TFLOP/s], memory [GB], bandwidth [TB/s], power [W]
    "V100": (125, 32, 0.9, 300),
    "A100": (312, 80, 2.0, 400),
    "H100": (989, 80, 3.35, 700),
    "H200": (989, 141, 4.8, 700),
    "B200": (2250, 192, 8.0, 1000),
    "nRF52840": (0.000064, 0.001, 0.000064, 0.015),
}
EXPLAINED = {  # (row, column): what stands here instead, and why
    ("A100", 2): (2.039, "the sheet rounds NVIDIA's 2,039 GB/s"),
    ("B200", 1): (180, "NVIDIA sells and prints 180 GB; 192 was announced"),
    ("nRF52840", 0): (None, "a Cortex-M4F has no fp16 arithmetic; the printed rate is that of fp32"),
}


@pytest.mark.parametrize("key", SHEET)
def test_cheat_sheet_table(key: str) -> None:
    d = HARDWARE[key]
    bandwidth = face(d, "bandwidth")
    ours = (face(d, "fp16"), face(d, "memory"), bandwidth / 1000, face(d, "tdp"))
    for column, printed in enumerate(SHEET[key]):
        expected, _ = EXPLAINED.get((key, column), (printed, ""))
        assert ours[column] == (None if expected is None else pytest.approx(expected, rel=1e-12)), (key, column)


def test_the_rate_printed_for_the_smallest_chip_is_its_fp32_rate() -> None:
    assert face(HARDWARE["nRF52840"], "fp32") == 0.000064


def test_explanations_are_of_real_differences() -> None:
    for (key, column), (ours, why) in EXPLAINED.items():
        assert ours != SHEET[key][column]
        assert why


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("h100", "H100"),
        ("H100-80GB", "H100"),
        ("NVIDIA H100 SXM5 80GB", "H100"),
        ("H100-PCIe-80GB", "H100_PCIe"),
        ("A100-40GB", "A100_40GB"),
        ("NVIDIA A100 SXM4 80 GB", "A100"),
        ("B200-180GB", "B200"),
        ("GB200-186GB", "GB200"),
        ("GB300-288GB", "GB300"),
        ("AMD Instinct MI300X", "MI300X"),
        ("V100-16GB", "V100_16GB"),
        ("RTX4070Ti-12GB", "RTX4070Ti"),
        ("RTX6000Ada-48GB", "RTX6000Ada"),
        ("RTXA6000-48GB", "RTXA6000"),
        ("Trillium", "TPUv6"),
        ("TPU v6e", "TPUv6"),
        ("Ironwood", "TPUv7"),
        ("TPUv4", "TPUv4"),
        ("ESP32", "ESP32"),
        ("Generic_Phone", "iPhone15Pro"),
    ],
)
def test_name(name: str, key: str) -> None:
    assert HARDWARE[name].key == key


def test_an_unknown_chip_is_answered_with_near_ones() -> None:
    with pytest.raises(UnknownName, match="H100"):
        HARDWARE["H1000"]


# ---------------------------------------------------------------- precisions


def test_plain_precisions_mean_weights_and_compute_alike() -> None:
    for name in (d for d in DATAPATHS if d != "fp64"):
        p = PRECISIONS[name]
        assert (p.key, p.compute, p.weight_only) == (name, name, False)
        assert p.weight_bits == p.kv_bits == (32 if name == "tf32" else int(re.sub(r"\D", "", name)))
    with pytest.raises(UnknownName):
        PRECISIONS["fp64"]


def test_precisions_are_consistent() -> None:
    for p in PRECISIONS.values():
        assert p.compute in DATAPATHS
        assert 2 < p.weight_bits <= 32
        if p.weight_only:
            assert p.weight_bits < p.kv_bits or p.key == "w8a16"
            assert p.kv_bits == PRECISIONS[p.compute].kv_bits


@pytest.mark.parametrize(
    ("name", "payload", "scale", "block"),
    [
        ("q8_0", 8 * 32, 16, 32),
        ("q5_0", 5 * 32, 16, 32),
        ("q4_0", 4 * 32, 16, 32),
        ("iq4_nl", 4 * 32, 16, 32),
        ("q6_k", 6 * 256, 16 * 8 + 16, 256),
        ("mxfp8", 8 * 32, 8, 32),
        ("mxfp6", 6 * 32, 8, 32),
        ("mxfp4", 4 * 32, 8, 32),
        ("nvfp4", 4 * 16, 8, 16),
        ("w8a16", 8 * 128, 16, 128),
        ("w4a16", 4 * 128, 16 + 4, 128),
        ("w4a8", 4 * 128, 8 + 4, 128),
    ],
)
def test_block_formats_count_their_scales(name: str, payload: int, scale: int, block: int) -> None:
    assert PRECISIONS[name].weight_bits == (payload + scale) / block


@pytest.mark.parametrize(
    ("name", "block_type"),
    [
        ("q5_k_m", 5.5),
        ("q5_k_s", 5.5),
        ("q4_k_m", 4.5),
        ("q4_k_s", 4.5),
        ("iq4_xs", 4.25),
        ("q3_k_m", 3.4375),
        ("q2_k", 2.625),
    ],
)
def test_mixtures_take_more_than_their_main_block_type(name: str, block_type: float) -> None:
    assert block_type < PRECISIONS[name].weight_bits < 1.21 * block_type


@pytest.mark.parametrize(
    ("name", "key"), [("float16", "fp16"), ("half", "fp16"), ("bfloat16", "bf16"), ("E4M3", "fp8"), ("awq", "w4a16")]
)
def test_precision_aliases(name: str, key: str) -> None:
    assert PRECISIONS[name].key == key
