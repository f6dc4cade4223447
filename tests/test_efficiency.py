"""Which calibrated row answers, that every device gets one, and what the error bands promise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import MissingFact, MlsysError, OutOfDomain
from mlsysim.solvers.bands import chip_class, spread
from mlsysim.solvers.device import calibrated, calibration, ceilings
from mlsysim.solvers.workload import default
from mlsysim.things import BANDS, EFFICIENCY, HARDWARE, PRECISIONS, STACKS, Device, Precision
from mlsysim.units import Validation

FLAT = "Flat; fp16 = 100 TFLOP/s; memory = 100 GB; bandwidth = 1 TB/s"
REGIMES = ("decode", "prefill", "training", "attention", "image", "image_training", "encoder", "tiny", "any")
SELECTORS = ("stack", "generation", "datapath", "weights", "memory_class")
QUANTITIES = ("compute", "bandwidth", "layer_overhead", "floor", "traffic")


def answer(device: str, precision: str, regime: str, quantity: str, stack: str = "tuned") -> str | None:
    row = calibration(Device.of(device), Precision.of(precision), regime, stack, quantity)
    return None if row is None else row.key


# ---------------------------------------------------------------- which row answers


@pytest.mark.parametrize(
    ("device", "precision", "regime", "quantity", "stack", "row"),
    [
        ("H100", "fp16", "decode", "compute", "tuned", "compute_16"),
        ("H100", "fp32", "decode", "compute", "tuned", "compute_16"),  # 16 stands for 16 bits and wider
        ("H100", "fp8", "prefill", "compute", "tuned", "compute_8"),
        ("H100", "w4a16", "decode", "compute", "tuned", "compute_16"),  # unpacked, computed in 16 bits
        ("B200", "fp4", "decode", "compute", "tuned", "compute_4"),
        ("MI300X", "bf16", "decode", "compute", "tuned", "compute_cdna3_16"),  # two selectors beat one
        ("H100", "bf16", "training", "compute", "tuned", "training_16"),  # the regime beats any
        ("MI300X", "bf16", "training", "compute", "tuned", "training_cdna3_16"),
        ("B200", "fp8", "training", "compute", "tuned", "training_8_blackwell"),
        ("H100", "fp8", "training", "compute", "tuned", "training_8"),
        ("MI300X", "bf16", "attention", "compute", "tuned", "attention_training"),  # a regime without selectors, too
        ("nRF52840", "int8", "tiny", "compute", "tuned", "compute_tiny"),
        ("H100", "fp16", "decode", "bandwidth", "tuned", "memory_hbm"),
        ("L40S", "fp16", "decode", "bandwidth", "tuned", "memory_gddr"),
        ("M1Max", "fp16", "decode", "bandwidth", "tuned", "memory_lpddr"),
        (FLAT, "fp16", "decode", "bandwidth", "tuned", "memory_other"),
        ("H100", "fp16", "decode", "bandwidth", "llamacpp", "memory_llamacpp_hbm"),
        ("H100", "w4a16", "decode", "bandwidth", "llamacpp", "memory_llamacpp_hbm_narrow"),
        ("RTX4090", "w8a16", "decode", "bandwidth", "llamacpp", "memory_llamacpp_gddr"),  # 8 bits are wide
        ("RTX4090", "w4a16", "decode", "bandwidth", "llamacpp", "memory_llamacpp_gddr_narrow"),
        ("H100", "fp16", "decode", "bandwidth", "framework", "memory_framework"),
        ("H100", "fp16", "decode", "layer_overhead", "tuned", "overhead_decode"),
        ("M1Max", "fp16", "decode", "layer_overhead", "llamacpp", "overhead_decode_llamacpp_apple"),
        ("H100", "fp16", "prefill", "layer_overhead", "llamacpp", "overhead_prefill_llamacpp"),
        ("H100", "fp16", "training", "layer_overhead", "tuned", "overhead_any"),
        ("V100", "fp16", "image", "floor", "framework", "image_framework"),
        ("V100", "fp16", "image", "floor", "tuned", None),
        ("V100", "fp16", "image_training", "traffic", "tuned", "image_training"),
        ("V100", "fp16", "decode", "traffic", "tuned", None),
    ],
)
def test_the_row_that_answers(
    device: str, precision: str, regime: str, quantity: str, stack: str, row: str | None
) -> None:
    assert answer(device, precision, regime, quantity, stack) == row


def test_the_rule_is_regime_first_then_the_most_selectors() -> None:
    """Against the rule said anew, on every row of the table."""
    cases = [
        ("H100", "fp16"), ("B200", "fp4"), ("MI300X", "fp8"), ("RTX4090", "w4a16"), ("M1Max", "fp16"), (FLAT, "fp16")
    ]  # fmt: skip
    for device, precision in cases:
        thing, fmt = Device.of(device), Precision.of(precision)
        digits = int("".join(c for c in fmt.compute if c.isdigit()))
        holds = {
            "generation": thing.generation,
            "memory_class": thing.memory_class,
            "datapath": "16" if digits >= 16 else "4" if digits == 4 else "8",
            "weights": "narrow" if fmt.weight_only and fmt.weight_bits < 8 else "wide",
        }
        for stack in STACKS:
            for regime in REGIMES[:-1]:
                for quantity in QUANTITIES:
                    rows = [
                        (r.regime == regime, sum(getattr(r, s) is not None for s in SELECTORS), r.key)
                        for r in EFFICIENCY.values()
                        if r.regime in (regime, "any")
                        and getattr(r, quantity) is not None
                        and all(getattr(r, s) in (None, v) for s, v in (holds | {"stack": stack}).items())
                    ]
                    assert answer(device, precision, regime, quantity, stack) == (max(rows)[2] if rows else None)
                    best = [row for row in rows if row[:2] == max(rows)[:2]]
                    assert len(best) <= 1, f"{device} {precision} {stack} {regime} {quantity}: {best}"


def test_no_two_rows_answer_the_same_question() -> None:
    for quantity in QUANTITIES:
        seen = [
            (r.regime, *(getattr(r, s) for s in SELECTORS))
            for r in EFFICIENCY.values()
            if getattr(r, quantity) is not None
        ]
        assert len(seen) == len(set(seen)), quantity


@pytest.mark.parametrize("key", list(EFFICIENCY))
def test_every_row_can_answer(key: str) -> None:
    row = EFFICIENCY[key]
    assert row.regime in REGIMES
    assert row.stack in (None, *STACKS)
    assert row.datapath in (None, "16", "8", "4")
    assert row.weights in (None, "wide", "narrow")
    assert row.judged in (None, "yes")
    devices = [Device.of(k) for k in HARDWARE]
    assert row.generation is None or row.generation in {d.generation for d in devices}
    assert row.memory_class is None or row.memory_class in {d.memory_class for d in devices} or key == "memory_other"
    shares = [v for v in (row.compute, row.bandwidth) if v is not None]
    assert all(0 < v <= 1 for v in shares)
    assert any(getattr(row, q) is not None for q in QUANTITIES)


def formats(device: Device) -> list[str]:
    """Formats that a device computes."""
    out = []
    for key in PRECISIONS:
        try:
            device.rate(Precision.of(key).compute)
        except MissingFact:
            continue
        out.append(key)
    return out


@pytest.mark.parametrize("key", list(HARDWARE))
def test_every_device_has_an_answer_in_every_format_that_it_computes(key: str) -> None:
    device = Device.of(key)
    computed = formats(device)
    assert computed
    for name in computed:
        fmt = Precision.of(name)
        for regime in ("decode", "prefill", "training", "image", "image_training", "encoder"):
            top = ceilings(device, fmt, regime, None, None)
            assert 0 < top.efficiency <= 1
            assert 0 < top.compute <= top.peak == device.rate(fmt.compute)
            assert 0 < top.bandwidth <= device.bandwidth
            assert 0 < top.layer_overhead < 1e-3
            assert top.floor == 0


@pytest.mark.parametrize("key", list(HARDWARE))
def test_every_device_runs_an_image_model_and_a_decoder(key: str) -> None:
    precision = formats(Device.of(key))[0]
    for model in ("ResNet50", "Llama3_8B"):
        got = m.roofline(model, key, precision=precision)
        if got.feasible or Device.of(key).host_link is not None:
            assert 0 < got.latency < math.inf
            assert 0 < got.efficiency_used <= 1
        else:  # bytes that do not fit have no way in: unknown, never a number
            assert math.isnan(got.latency)


def test_an_unknown_stack_is_refused() -> None:
    h100, fmt = Device.of("H100"), Precision.of("fp16")
    with pytest.raises(OutOfDomain, match="stack must be one of tuned, framework, llamacpp, got 'vllm'"):
        calibration(h100, fmt, "decode", "vllm", "compute")
    for call in (
        lambda: m.serving("Llama3_8B", "H100", seq_len=10, stack="vllm"),
        lambda: m.roofline("Llama3_8B", "H100", stack="Tuned"),
        lambda: m.throughput("Llama3_8B", "H100", input_tokens=9, output_tokens=9, stack=""),
        lambda: m.training("Llama3_8B", "Research_256", batch=256, stack="pytorch"),
    ):
        with pytest.raises(MlsysError, match="stack"):
            call()
    with pytest.raises(MissingFact, match="H100 has no calibrated traffic for decode by tuned; give the efficiency"):
        calibrated(h100, fmt, "decode", "tuned", "traffic")
    assert calibrated(h100, fmt, "decode", "tuned", "traffic", 2.0) == 2.0


def test_a_given_efficiency_overrides_the_table() -> None:
    h100, fmt = Device.of("H100"), Precision.of("fp16")
    told = ceilings(h100, fmt, "decode", 0.25, 0.75)
    assert (told.compute, told.bandwidth, told.efficiency) == (0.25 * 989e12, 0.75 * 3.35e12, 0.25)
    shares = np.array([0.1, 0.9])
    np.testing.assert_allclose(ceilings(h100, fmt, "decode", shares, None, 4.0).compute, 4 * 989e12 * shares)
    for stack in STACKS:
        got = m.serving("Llama3_8B", "H100", seq_len=9, efficiency=0.25, stack=stack)
        assert got.efficiency_used == 0.25
    slow, fast = (m.serving("Llama3_8B", "H100", seq_len=9, bandwidth_efficiency=b).itl for b in (0.4, 0.8))
    model = m.Models.Llama3_8B
    moved = 2 * model.params + 2 * 32 * 8 * 128 * 9 * 2 + default("activation_traffic") * 2 * 32 * 4096
    assert slow - fast == pytest.approx(moved / 3.35e12 * (1 / 0.4 - 1 / 0.8), rel=1e-9)


def test_a_tuned_server_is_the_fastest_stack() -> None:
    tuned, framework, llamacpp = (m.serving("Llama3_8B", "H100", seq_len=512, stack=s) for s in STACKS)
    assert tuned.itl < min(framework.itl, llamacpp.itl)
    assert tuned.ttft < llamacpp.ttft


def test_llamacpp_sums_in_fp16_where_that_is_faster() -> None:
    card, fmt = Device.of("RTX4090"), Precision.of("fp16")
    assert card.fp16_accumulate is not None
    peaks = [ceilings(card, fmt, "prefill", None, None, stack=s).peak for s in ("tuned", "llamacpp")]
    assert peaks == [card.fp16, card.fp16_accumulate]
    assert peaks[1] > peaks[0]


# ---------------------------------------------------------------- bands


@pytest.mark.parametrize("key", list(BANDS))
def test_a_band_rests_on_enough_rows_and_widens_where_nothing_was_measured(key: str) -> None:
    band = BANDS[key]
    assert band.rows >= 8
    assert 1 <= band.sources <= band.rows
    known = {chip_class(Device.of(k)): Device.of(k) for k in HARDWARE}
    measured = band.chips.split()
    assert measured
    assert set(measured) <= known.keys()
    chip, other = known[measured[0]], Device.of("Row; fp16 = 1 TFLOP/s; memory = 1 GB; bandwidth = 1 GB/s")
    inner = spread(key, chip)
    assert (inner.low, inner.high, inner.status) == (band.low, band.high, Validation.validated)
    assert 0 < inner.low < 1 < inner.high
    for outer in (spread(key, other), spread(key, chip, exact=False)):
        assert 0 < outer.low < inner.low
        assert outer.high > inner.high
        assert outer.status == Validation.extrapolated


def test_no_band_is_unknown_and_says_so() -> None:
    none = spread("no such regime", Device.of("H100"))
    assert math.isnan(none.low)
    assert math.isnan(none.high)
    assert none.status == Validation.not_validated
    got = m.roofline("Llama3_8B", "H100")
    assert math.isnan(got.latency_p10)
    assert math.isnan(got.latency_p90)
    assert got.latency_validity is Validation.not_validated
    first = m.serving("Llama3_8B", "H100", seq_len=512, stack="llamacpp")
    assert math.isnan(first.ttft_p10)
    assert first.ttft_validity is Validation.not_validated


def ranges(result: Any) -> list[tuple[float, float, float, Validation]]:
    """p10, value, p90 and what they rest on, of every metric with a band."""
    names = [n.removesuffix("_p10") for n in vars(result) if n.endswith("_p10")]
    assert names
    return [
        (
            getattr(result, f"{n}_p10"),
            getattr(result, n),
            getattr(result, f"{n}_p90"),
            getattr(result, f"{n}_validity"),
        )
        for n in names
    ]


CNN = {"precision": "fp16", "batch": 64, "stack": "framework"}
JUDGED: list[tuple[str, Any]] = [
    ("serving", lambda d: m.serving("Llama3_8B", d, seq_len=512, batch=8)),
    ("serving at batch 1", lambda d: m.serving("Llama3_8B", d, seq_len=512)),
    ("throughput", lambda d: m.throughput("Llama3_8B", d, input_tokens=512, output_tokens=128)),
    ("fixed batch", lambda d: m.throughput("Llama3_8B", d, input_tokens=512, output_tokens=128, batch=32)),
    ("all-reduce", lambda d: m.collective(d, devices=8, message=1e9)),
    ("training", lambda d: m.training("Llama3_8B", fleet(d), batch=64, tp=8)),
    ("image", lambda d: m.roofline("ResNet50", d, **CNN)),
]


def fleet(device: str) -> str:
    node = f"N; devices = 8; nics = 8; device = {{X; base = {device}}}"
    return f"F; nodes = 2; node = {{{node}}}; fabric = {{Y; topology = fat-tree; bandwidth = 50 GB/s}}"


@pytest.mark.parametrize(("name", "call"), JUDGED, ids=[n for n, _ in JUDGED])
@pytest.mark.parametrize("device", ["A100", "H100", "B200", "MI300X"])
def test_the_value_lies_inside_its_band(name: str, call: Any, device: str) -> None:
    for low, value, high, status in ranges(call(device)):
        assert 0 < low < value < high
        assert status in (Validation.validated, Validation.extrapolated)
        if device == "MI300X":  # no row of the truth file was measured on it
            assert status is Validation.extrapolated


def width(low: float, value: float, high: float) -> float:
    assert low < value
    return high / low


def test_what_was_measured_is_validated() -> None:
    validated = {
        "serving": lambda: m.serving("Llama3_8B", "H100", seq_len=512, batch=8).itl_validity,
        "first token": lambda: m.serving("Llama3_8B", "H100", seq_len=512).ttft_validity,
        "llama.cpp": lambda: m.serving("Llama3_8B", "RTX4090", seq_len=512, stack="llamacpp").itl_validity,
        "load": lambda: load("H100", "fp8").tokens_per_s_per_device_validity,
        "training": lambda: m.training("Llama3_8B", "Research_256", batch=256).step_latency_total_validity,
        "images": lambda: m.roofline("ResNet50", "V100", **CNN).latency_validity,
    }  # fmt: skip
    for name, call in validated.items():
        assert call() is Validation.validated, name


def load(chip: str, precision: str) -> Any:
    return m.throughput("Llama3_8B", chip, input_tokens=512, output_tokens=128, precision=precision)


def test_maximum_load_was_measured_in_8_and_4_bits_and_plans_with_small_bubbles() -> None:
    assert load("H100", "fp16").tokens_per_s_per_device_validity is Validation.extrapolated
    idle, busy = (m.training("Llama3_70B", "Research_256", batch=b, tp=8, pp=8) for b in (4, 256))
    assert idle.bubble_fraction > 0.25 > busy.bubble_fraction
    assert idle.step_latency_total_validity is Validation.extrapolated
    assert busy.step_latency_total_validity is Validation.validated


def test_batch_1_on_a_tuned_server_is_extrapolated_and_wider() -> None:
    """Batch 1 was measured with llama.cpp, the tuned server at larger batches only."""
    one, eight = (m.serving("Llama3_8B", "H100", seq_len=512, batch=b) for b in (1, 8))
    assert one.itl_validity is Validation.extrapolated
    assert eight.itl_validity is Validation.validated
    both = m.serving("Llama3_8B", "H100", seq_len=512, batch=np.array([1, 8]))
    assert list(both.itl_validity) == [Validation.extrapolated, Validation.validated]
    wider = width(eight.itl_p10, eight.itl, eight.itl_p90) ** default("extrapolation")
    assert width(one.itl_p10, one.itl, one.itl_p90) == pytest.approx(wider)


def test_larger_batches_of_llamacpp_are_extrapolated() -> None:
    one, eight = (m.serving("Llama3_8B", "RTX4090", seq_len=512, batch=b, stack="llamacpp") for b in (1, 8))
    assert (one.itl_validity, eight.itl_validity) == (Validation.validated, Validation.extrapolated)
    assert width(eight.itl_p10, eight.itl, eight.itl_p90) > width(one.itl_p10, one.itl, one.itl_p90)


def test_an_unmeasured_generation_is_wider_by_the_default_exponent() -> None:
    amd, nvidia = (m.serving("Llama3_8B", d, seq_len=512, batch=8) for d in ("MI300X", "H100"))
    wider = default("extrapolation")
    assert amd.itl_p90 / amd.itl == pytest.approx((nvidia.itl_p90 / nvidia.itl) ** wider)
    assert amd.itl_p10 / amd.itl == pytest.approx((nvidia.itl_p10 / nvidia.itl) ** wider)


def test_time_and_rate_have_one_band() -> None:
    """The band of the time between tokens is that of the measured rate, turned round."""
    band = BANDS["throughput-fixed-batch"]
    got = m.serving("Llama3_8B", "H100", seq_len=512, batch=8)
    assert got.itl_p10 == pytest.approx(got.itl / band.high)
    assert got.itl_p90 == pytest.approx(got.itl / band.low)


def test_drafts_other_devices_other_stacks_and_given_shares_are_extrapolated() -> None:
    far = Validation.extrapolated
    assert m.serving("Llama3_70B", "H200", seq_len=512, batch=8, tp=2, draft="Llama3_8B").itl_validity is far
    moved = m.serving("Llama3_8B", "H100", seq_len=512, decode_hardware="H200", link=50e9)
    assert moved.ttft_validity is far
    assert m.serving("Llama3_8B", "H100", seq_len=512, batch=8, stack="framework").itl_validity is far
    for share in ("efficiency", "bandwidth_efficiency"):
        told = m.serving("Llama3_8B", "H100", seq_len=512, batch=8, **{share: 0.05})
        assert (told.itl_validity, told.ttft_validity) == (far, far)
        assert m.roofline("ResNet50", "V100", **CNN, **{share: 0.05}).latency_validity is far
    assert m.training("Llama3_8B", "Research_256", batch=256, efficiency=0.4).step_latency_total_validity is far
    assert m.roofline("ResNet50", "V100", precision="fp16", batch=64).latency_validity is far  # compiled


def test_across_nodes_nothing_was_measured_enough() -> None:
    got = m.collective("H100", devices=np.array([8, 16]), nodes=np.array([1, 2]), message=1e9, port=50e9)
    assert list(got.time_validity) == [Validation.validated, Validation.not_validated]
    assert math.isnan(got.time_p10[1])
    assert got.time_p10[0] < got.time[0] < got.time_p90[0]
