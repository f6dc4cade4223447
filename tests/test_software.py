"""Wall 3: what operators allow, and the cheat sheet's guide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim import MissingFact, MlsysError, OutOfDomain

CHIP = (
    "Chip; memory = 100 GB; bandwidth = 1 TB/s; memory_class = hbm; fp16 = 100 TFLOP/s; bf16 = 100 TFLOP/s; "
    "fp8 = 200 TFLOP/s"
)
LM = (
    "LM; family = transformer; unit = token; params = 2B; layers = 10; hidden = 1000; heads = 10; kv_heads = 5; "
    "head_dim = 100; ffn = 4000; vocab = 32000"
)
KERNELS: dict[str, Any] = {"gemm_efficiency": 0.5, "flash_efficiency": 0.25, "bandwidth_efficiency": 1}


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("regime", ["training", "prefill", "decode"])
@pytest.mark.parametrize("flash", [True, False])
def test_the_time_is_accounted_for(regime: Any, flash: bool) -> None:
    got = m.software("Llama3_8B", "H100", regime=regime, flash=flash)
    assert got.mfu + got.kernel_loss + got.memory_stall + got.overhead_share == close(1)
    assert got.gemm_share + got.attention_share + got.elementwise_share + got.overhead_share == close(1)
    assert got.achievable_flops == close(got.mfu * 989e12)
    assert got.peak_flops == 989e12
    assert 0 < got.mfu < 1


def test_prefill_by_hand() -> None:
    s, b = 1000, 4
    got = m.software(LM, CHIP, regime="prefill", batch=b, seq_len=s, **KERNELS)
    gemm = 2 * 2e9 * s * b / (100e12 * 0.5)  # far above the ridge
    pairs = s * (s + 1) / 2
    attention = 2 * 10 * 10 * 2 * 100 * pairs * b / (100e12 * 0.25)
    assert got.gemm_share * got.latency == close(gemm)
    assert got.attention_share * got.latency == close(attention)
    assert got.gemm_mfu == close(0.5)
    assert got.attention_mfu == close(0.25)


def test_decode_waits_for_the_weights() -> None:
    got = m.software(LM, CHIP, regime="decode", batch=1, seq_len=1000, **KERNELS)
    moved = 10 * (2 * 1000 + 2 * 15 * 100 + 2 * 1000 + 3 * 4000) * 2  # in and out of every product
    assert got.gemm_share * got.latency == close((4e9 + moved) / 1e12)
    assert got.memory_stall > 0.5
    assert got.mfu < 0.02
    many = m.software(LM, CHIP, regime="decode", batch=np.array([1, 8, 64, 512]), seq_len=1000).mfu
    assert (np.diff(many) > 0).all()  # the products climb towards the ridge


@pytest.mark.parametrize("regime", ["training", "prefill", "decode"])
@pytest.mark.parametrize("model", ["Llama3_8B", "Mixtral_8x7B", "DeepSeek_V3", "Gemma_2_27B", "BERT_Base"])
def test_flash_is_never_slower(regime: Any, model: str) -> None:
    if model == "BERT_Base" and regime == "decode":  # no decoder
        regime = "prefill"
    length = np.array([16, 512, 4096, 65536, 2**20])
    for chip in ("H100", "A100", "MI300X", "TPUv5p"):
        fused, loose = (
            m.software(model, chip, regime=regime, seq_len=length, batch=2, flash=f).latency for f in (True, False)
        )
        assert np.all(fused <= loose), chip


def test_unfused_attention_pays_for_the_square() -> None:
    """The scores cost bytes that grow with S^2; fused attention moves S."""
    short, long = (m.software("Llama3_8B", "H100", seq_len=s, flash=False).attention_share for s in (2048, 32768))
    assert long > 2 * short
    got = m.software(LM, CHIP, regime="prefill", seq_len=1000, flash=False, **KERNELS)
    scores = 4 * 10 * 10 * 1000 * 1000 * 2
    io = 2 * 10 * 10 * 100 * 1000 * 2 + 2 * 10 * 5 * 100 * 1000 * 2
    assert got.attention_share * got.latency == close((scores + io) / 1e12)


def test_better_hardware_and_kernels_never_hurt() -> None:
    slow = m.software(LM, CHIP)
    assert m.software(LM, CHIP.replace("1 TB/s", "2 TB/s")).latency < slow.latency
    assert m.software(LM, CHIP.replace("bf16 = 100", "bf16 = 200")).latency < slow.latency
    assert m.software(LM, CHIP.replace("bf16 = 100", "bf16 = 200")).mfu < slow.mfu  # a higher ridge
    assert m.software(LM, CHIP, gemm_efficiency=0.9).mfu > slow.mfu


def test_the_step_stays_below_what_its_kernels_reach() -> None:
    got = m.software("Llama3_8B", "H100", batch=8)
    assert got.mfu < got.gemm_efficiency_used
    assert 0.3 < got.mfu < 0.75


def test_attention_is_computed_in_sixteen_bits() -> None:
    wide, narrow = (
        m.software(LM, CHIP, regime="prefill", precision=p, seq_len=4000, **KERNELS) for p in ("bf16", "fp8")
    )
    assert narrow.attention_share * narrow.latency == close(wide.attention_share * wide.latency)
    assert narrow.latency < wide.latency
    assert narrow.attention_mfu < wide.attention_mfu  # of a peak that it cannot use


def test_arrays_are_their_scalars() -> None:
    batch, length = np.array([1, 16]), np.array([[128], [4096]])
    block = m.software(LM, CHIP, batch=batch, seq_len=length)
    for i in range(2):
        for j in range(2):
            one = m.software(LM, CHIP, batch=int(batch[j]), seq_len=int(length[i, 0]))
            for name, value in vars(one).items():
                assert np.broadcast_to(getattr(block, name), (2, 2))[i, j] == close(value), name


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"regime": "fnn"}, "regime must be one of training, prefill, decode"),
        ({"precision": "fp12"}, "fp12"),
        ({"precision": "fp4"}, "Chip has no fp4 rate on record"),
        ({"gemm_efficiency": 0}, "gemm_efficiency must"),
        ({"gemm_efficiency": 5}, "gemm_efficiency must"),
        ({"gemm_efficiency": float("nan")}, "NaN"),
        ({"flash": "yes"}, "flash must be TRUE or FALSE"),
        ({"batch": 0}, "batch must"),
        ({"seq_len": -5}, "seq_len must"),
    ],
)
def test_refusals(options: dict[str, Any], why: str) -> None:
    with pytest.raises(MlsysError, match=why):
        m.software(LM, CHIP, **options)


def test_only_operators_on_record() -> None:
    with pytest.raises(MissingFact, match="ResNet50 has no operators on record"):
        m.software("ResNet50", "A100")
    with pytest.raises(OutOfDomain, match="generates no tokens"):
        m.software("BERT_Base", "A100", regime="decode")
    with pytest.raises(MissingFact, match="V100 has no bf16 rate"):
        m.software("Llama3_8B", "V100")


def test_fp32_runs_at_its_own_rate() -> None:
    """Peer fault 15: fp32 on an H100 must not run at the fp16 peak."""
    assert m.software("Llama3_8B", "H100", precision="fp32").peak_flops < 70e12


# ---------------------------------------------------------------- the sheet's guide

GUIDE = {
    "efficiency": (0.10, 0.40, 0.65),  # typical: the middle of 0.30-0.50
    "mfu": (0.10, 0.35, 0.55),
    "decode": (0.01, 0.05, 0.15),
    "batched": (0.20, 0.40, 0.60),
    "training": (0.20, 0.40, 0.55),
    "distributed": (0.15, 0.30, 0.45),
    "flash": (0.50, 0.60, 0.70),
    "tiny": (0.05, 0.15, 0.30),
}


@pytest.mark.parametrize(("regime", "row"), GUIDE.items())
def test_the_guide_is_the_sheet_s(regime: Any, row: tuple[float, ...]) -> None:
    levels: tuple[Any, ...] = ("low", "typical", "high")
    assert tuple(m.efficiency(regime=regime, level=level) for level in levels) == row
    assert m.efficiency(regime=regime) == row[1]


def test_the_guide_refuses_what_it_does_not_list() -> None:
    for bad in ({"regime": "atention"}, {"regime": "training", "level": "best"}, {"regime": 3}):
        with pytest.raises(OutOfDomain, match="must be one of"):
            m.efficiency(**bad)


def test_the_sheet_s_class() -> None:
    assert m.EfficiencyModel.solve("Llama3_8B", "H100") == m.software("Llama3_8B", "H100")
    with pytest.raises(OutOfDomain, match="regime must be one of"):
        m.EfficiencyModel.solve("Llama3_8B", "H100", workload_type="atention")  # type: ignore[arg-type]
