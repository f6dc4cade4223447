"""Walls 15, 19 and 20: failures against measured clusters, checkpoints and privacy by hand, and the known slips."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim import MissingFact, MlsysError, OutOfDomain, WrongArguments
from mlsysim.solvers.workload import default
from mlsysim.things import COMPONENTS, DEFAULTS
from udfs import FUNCTIONS

HOUR, DAY, GB = 3600.0, 86400.0, 1e9
LLAMA = "Meta_Llama3_16K_H100"  # 2048 nodes of eight
LM = "LM; family = transformer; unit = token; params = 2B; layers = 20; hidden = 1000; heads = 10; kv_heads = 5"


def close(value: Any, digits: float = 1e-12) -> Any:
    return pytest.approx(value, rel=digits)


# ---------------------------------------------------------------- wall 15


def test_measured_failure_rates() -> None:
    llama = m.reliability(LLAMA, hours=54 * DAY, failures_per_node_day=0.00379 / DAY)
    assert llama.mtbf / HOUR == pytest.approx(3.1, abs=0.05)
    assert llama.failures == pytest.approx(419, abs=0.5)  # unexpected stops in 54 days
    rsc = m.reliability(LLAMA, hours=DAY)
    assert rsc.mtbf / HOUR == pytest.approx(1.8, abs=0.05)  # the paper's projection for 16,384 GPUs
    assert m.reliability(
        "Wide; nodes = 16384; node = GrandTeton_H100; fabric = InfiniBand_NDR", hours=DAY
    ).mtbf / HOUR == pytest.approx(0.23, abs=0.01)
    rsc_2 = m.reliability(LLAMA, hours=DAY, failures_per_node_day=0.00234 / DAY)
    assert rsc_2.mtbf == close(DAY / (2048 * 0.00234))
    assert default("failures_per_node_day") == 0.0065


def test_the_rate_scales_with_accelerators_unless_given_for_the_node() -> None:
    half = "H; nodes = 100; node = Kempner_H100_4GPU; fabric = InfiniBand_NDR"  # nodes of four
    full = "F; nodes = 100; node = DGX_H100; fabric = InfiniBand_NDR"
    assert m.reliability(half, hours=DAY).mtbf == close(2 * m.reliability(full, hours=DAY).mtbf)
    told = [m.reliability(f, hours=DAY, failures_per_node_day=0.01 / DAY).mtbf for f in (half, full)]
    assert told[0] == told[1] == close(DAY)


def test_goodput_counts_what_is_done_again() -> None:
    got = m.reliability(LLAMA, hours=100 * HOUR, save_time=60, recovery_time=300)
    mtbf = DAY / (2048 * 0.0065)
    best = math.sqrt(2 * 60 * mtbf)
    assert got.mtbf == close(mtbf)
    assert got.optimal_interval == got.interval_used == close(best)
    assert got.goodput == close(1 - 60 / best - (best / 2 + 300) / mtbf)
    assert got.saving_share == close(got.rework_share)  # at the optimum
    assert got.recovery_share == close(300 / mtbf)
    assert got.goodput < 1 - 60 / best - 300 / mtbf  # the peer's, without rework
    assert got.lost_hours == close(100 * HOUR * (1 - got.goodput))
    assert got.failures == close(100 * HOUR / mtbf)
    assert got.failure_probability == close(1 - math.exp(-100 * HOUR / mtbf))
    assert m.goodput(save_time=60, interval=best, recovery_time=300, mtbf=mtbf) == close(got.goodput)
    for other in (0.5 * best, 2 * best):
        assert m.reliability(LLAMA, hours=HOUR, interval=other).goodput < got.goodput
    fixed = m.reliability(LLAMA, hours=HOUR, interval=HOUR)
    assert fixed.goodput == close(1 - 60 / HOUR - (HOUR / 2 + 300) / mtbf)
    assert (fixed.interval_used, fixed.optimal_interval) == (HOUR, close(best))


def test_a_free_checkpoint_leaves_only_the_recovery() -> None:
    got = m.reliability(LLAMA, hours=HOUR, save_time=0)
    assert got.goodput == close(1 - 300 / got.mtbf)
    assert (got.optimal_interval, got.saving_share, got.rework_share) == (0, 0, 0)
    assert m.reliability(LLAMA, hours=HOUR, save_time=0, recovery_time=0).goodput == 1
    nearly = m.reliability(LLAMA, hours=HOUR, save_time=1e-9)
    assert nearly.goodput == pytest.approx(got.goodput, abs=1e-6)
    slow = m.reliability(LLAMA, hours=HOUR, save_time=np.array([0.0, 60.0, 1e5]))
    assert slow.optimal_interval[2] == close(slow.mtbf[2])  # saving takes longer than twice the MTBF
    assert (slow.goodput[0], slow.goodput[2]) == (close(got.goodput), 0)
    np.testing.assert_allclose(slow.lost_hours, HOUR * (1 - slow.goodput))


def test_components_in_series() -> None:
    got = m.reliability(LLAMA, hours=DAY, components=True)
    rate = 8 / (50_000 * HOUR) + 8 / (150_000 * HOUR)  # GPUs and network ports; power supplies are redundant
    assert got.mtbf == close(1 / (2048 * rate))
    assert got.mtbf / HOUR == pytest.approx(2.3, abs=0.05)
    assert COMPONENTS["Gpu"].mttf == 50_000 * HOUR
    with pytest.raises(OutOfDomain, match="not both"):
        m.reliability(LLAMA, hours=DAY, components=True, failures_per_node_day=0.01 / DAY)
    bare = "B; nodes = 4; fabric = InfiniBand_NDR; node = {N; devices = 8; device = H100}"
    with pytest.raises(MissingFact, match="no nics on record"):
        m.reliability(bare, hours=DAY, components=True)
    assert m.reliability(bare, hours=DAY).mtbf == close(DAY / (4 * 0.0065))


def test_reliability_on_the_sheet() -> None:
    sheet = FUNCTIONS["MLS_RELIABILITY"]
    options = "failures_per_node_day = 0.00379"
    assert sheet(LLAMA, 1296.0, "mtbf", None, None, options) == pytest.approx(3.092, abs=1e-3)
    assert sheet(LLAMA, 1296.0, "failures", None, None, options) == pytest.approx(419.1, abs=0.1)
    goodput = sheet(LLAMA, 1296.0, None, 60.0, 300.0, options)
    assert goodput == pytest.approx(0.8692, abs=1e-4)
    assert sheet(LLAMA, 1296.0, "lost_hours", 60.0, 300.0, options) == pytest.approx(1296 * (1 - goodput))
    assert sheet(LLAMA, 1.0, "mtbf", None, None, "components = TRUE") == pytest.approx(2.289, abs=1e-3)
    assert sheet(LLAMA, 1.0, "interval_used", None, None, "interval = 2") == 2
    assert "0.0065, not 6.5" in str(sheet(LLAMA, 1.0, "mtbf", None, None, "failures_per_node_day = 6.5"))
    assert sheet(LLAMA, 1.0, "goodput", 0.0) == pytest.approx(1 - 300 / (1.8029 * HOUR), abs=1e-5)
    old = m.ReliabilityModel().solve(LLAMA, job_duration_hours=1296, checkpoint_time_s=60, avg_recovery_time_s=300)
    assert old == m.reliability(LLAMA, hours=1296 * HOUR)


def test_a_fleet_has_no_mtbf_to_be_ignored() -> None:
    with pytest.raises(MlsysError, match="mtbf_hours"):
        m.reliability("F; base = Research_256; mtbf_hours = 100", hours=DAY)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, "long", True])
def test_reliability_refuses_by_name(bad: Any) -> None:
    good = {"hours": DAY, "save_time": 60, "recovery_time": 300, "interval": HOUR, "failures_per_node_day": 0.01 / DAY}
    for name in good:
        with pytest.raises(OutOfDomain, match=name):
            m.reliability(LLAMA, **good | {name: bad})
    for name in ("hours", "interval", "failures_per_node_day"):
        with pytest.raises(OutOfDomain, match=name):
            m.reliability(LLAMA, **good | {name: 0})


# ---------------------------------------------------------------- wall 19


def test_a_checkpoint_of_weights_and_optimizer() -> None:
    got = m.checkpoint(LM, storage_bandwidth=2 * GB)
    assert got.checkpoint_size == 2e9 * 14
    assert default("checkpoint_bytes") == 14
    assert got.write_time == got.stall == close(14)
    assert got.share_of_time == close(14 / (4 * HOUR + 14))
    assert got.effective_bandwidth == 2 * GB
    sizes = {("bf16", "adam"): 14, ("fp8", "adam"): 14, ("fp32", "adam"): 12, ("bf16", "sgd"): 10, ("fp32", "sgd"): 8}
    sizes |= {("bf16", "none"): 2, ("fp32", "none"): 4, ("int8", "none"): 1}
    for (precision, optimizer), each in sizes.items():
        saved = m.checkpoint(LM, storage_bandwidth=GB, precision=precision, optimizer=optimizer)  # type: ignore[arg-type]
        assert saved.checkpoint_size == pytest.approx(2e9 * each, rel=0.07 if precision == "int8" else 1e-12)


def test_shards_are_written_side_by_side_up_to_a_limit() -> None:
    writers = np.array([1, 8, 64])
    got = m.checkpoint(LM, storage_bandwidth=2 * GB, writers=writers, limit=50 * GB)
    assert got.effective_bandwidth.tolist() == [2 * GB, 16 * GB, 50 * GB]
    np.testing.assert_allclose(got.write_time, 28e9 / got.effective_bandwidth)
    assert m.checkpoint(LM, storage_bandwidth=2 * GB, writers=64).effective_bandwidth == 128 * GB


def test_the_share_of_time_never_exceeds_one() -> None:
    write = 28e9 / (0.1 * GB)
    interval = np.array([0.0, 1.0, write, 1e6])
    got = m.checkpoint(LM, storage_bandwidth=0.1 * GB, interval=interval)
    np.testing.assert_allclose(got.share_of_time, write / (write + interval))
    assert got.share_of_time[0] == 1
    assert got.bottleneck.tolist() == [True, True, True, False]
    limit = default("checkpoint_share")
    edge = write * (1 - limit) / limit
    assert m.checkpoint(LM, storage_bandwidth=0.1 * GB, interval=0.99 * edge).bottleneck
    assert not m.checkpoint(LM, storage_bandwidth=0.1 * GB, interval=1.01 * edge).bottleneck


def test_what_runs_beside_training_costs_nothing() -> None:
    got = m.checkpoint(LM, storage_bandwidth=GB, overlap=np.array([0.0, 10.0, 28.0, 100.0]))
    assert got.write_time.tolist() == [28] * 4
    assert got.stall.tolist() == [28, 18, 0, 0]
    np.testing.assert_allclose(got.share_of_time, got.stall / (4 * HOUR + got.stall))
    busy = m.checkpoint(
        LM, storage_bandwidth=GB, interval=20.0, overlap=100.0
    )  # the next save is due before it is done
    assert busy.stall == 8


def test_checkpoint_on_the_sheet_and_in_the_class() -> None:
    sheet = FUNCTIONS["MLS_CHECKPOINT"]
    assert sheet(LM, 2.0) == close(14)
    assert sheet(LM, 2.0, "checkpoint_size") == close(28)
    assert sheet(LM, 2.0, "share_of_time", 0.0) == 1
    assert sheet(LM, 2.0, "share_of_time", 1.0, 4.0) == close(3.5 / 3603.5)
    assert sheet(LM, 2.0, "stall", 4.0, 1.0, "overlap = 4; precision = fp32; limit = 1") == close(20)
    chip = "C; base = H100; storage_bandwidth = 7 GB/s"
    got = m.CheckpointModel().solve(LM, chip, checkpoint_interval_hours=1, n_writers=8, filesystem_limit_gbs=28)
    assert got == m.checkpoint(LM, storage_bandwidth=7 * GB, interval=HOUR, writers=8, limit=28 * GB)
    with pytest.raises(MissingFact, match="H100 has no storage_bandwidth"):
        m.CheckpointModel.solve(LM, "H100")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, "28 FLOP", True])
def test_checkpoint_refuses_by_name(bad: Any) -> None:
    good = {"storage_bandwidth": GB, "interval": HOUR, "writers": 2, "limit": GB, "overlap": 1.0}
    for name in good:
        with pytest.raises(OutOfDomain, match=name):
            m.checkpoint(LM, **good | {name: bad})
    for name, value in (("storage_bandwidth", 0), ("writers", 0), ("writers", 1.5), ("limit", 0)):
        with pytest.raises(OutOfDomain, match=name):
            m.checkpoint(LM, **good | {name: value})
    with pytest.raises(OutOfDomain, match="optimizer must be one of adam, sgd, none"):
        m.checkpoint(LM, storage_bandwidth=GB, optimizer="adamw8bit")  # type: ignore[arg-type]
    with pytest.raises(OutOfDomain, match="training in int8 is not modelled"):
        m.checkpoint(LM, storage_bandwidth=GB, precision="int8")
    with pytest.raises(WrongArguments, match="storage_bandwidth is missing"):
        m.checkpoint(LM)  # type: ignore[call-arg]


# ---------------------------------------------------------------- wall 20


def test_privacy_costs_clipping_and_data() -> None:
    row = DEFAULTS["clipping_slowdown"]
    assert (row.low, row.high) == (1.2, 3)
    loose = m.safety(base_hours=100 * HOUR, epsilon=8)
    assert (loose.training_time_low, loose.training_time_high) == (close(120 * HOUR), close(300 * HOUR))
    assert loose.training_time == close(100 * HOUR * row.value)
    assert loose.privacy_data_factor == 1
    looser = m.safety(base_hours=100 * HOUR, epsilon=50)
    assert looser.training_time == loose.training_time  # clipping does not depend on epsilon
    tight = m.safety(base_hours=100 * HOUR, epsilon=2)
    assert tight.privacy_data_factor == close(4)
    assert tight.slowdown == close(2 * row.value)
    assert tight.training_time == close(100 * HOUR * tight.slowdown)
    assert (tight.training_time_low, tight.training_time_high) == (close(120 * HOUR), close(4 * 300 * HOUR))
    stricter = m.safety(base_hours=HOUR, epsilon=2, delta=1e-10)
    assert stricter.privacy_data_factor == close(4 * math.sqrt(2))
    assert m.safety(base_hours=HOUR, epsilon=2, delta=1e-5) == m.safety(base_hours=HOUR, epsilon=2)


def test_the_range_holds_and_moves_the_right_way() -> None:
    got = m.safety(base_hours=HOUR, epsilon=np.geomspace(0.01, 100, 40))
    assert np.all(got.training_time_low < got.training_time)
    assert np.all(got.training_time < got.training_time_high)
    assert np.all(np.diff(got.training_time) <= 0)
    assert got.training_time_low.shape == (40,)


def test_a_rare_subgroup_needs_data() -> None:
    assert m.safety(base_hours=HOUR).data_factor == close(100)
    got = m.safety(base_hours=HOUR, subgroup=np.array([0.001, 0.5, 1.0]))
    np.testing.assert_allclose(got.data_factor, [1000, 2, 1])


@pytest.mark.parametrize("name", ["base_hours", "epsilon", "subgroup", "delta"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 0, -1.0, "none", True])
def test_safety_refuses_by_name(name: str, bad: Any) -> None:
    good = {"base_hours": HOUR, "epsilon": 1.0, "subgroup": 0.01, "delta": 1e-5}
    with pytest.raises(OutOfDomain, match=name):
        m.safety(**good | {name: bad})


def test_safety_on_the_sheet_and_in_the_class() -> None:
    sheet = FUNCTIONS["MLS_SAFETY"]
    assert sheet(100.0, None, 8.0) == close(190)
    assert sheet(100.0, "training_time_high", 8.0) == close(300)
    assert sheet(100.0, "data_factor", None, 0.05) == close(20)
    assert "subgroup must be" in str(sheet(100.0, None, 1.0, 2.0))
    for epsilon in (0.0, -1.0):
        assert "epsilon must be" in str(sheet(100.0, None, epsilon))
    got = m.ResponsibleEngineeringModel().solve("100 h", epsilon=2, delta=1e-6, min_subgroup_prevalence=0.1)
    assert got == m.safety(base_hours=100 * HOUR, epsilon=2, delta=1e-6, subgroup=0.1)
