"""Wall 14 by hand: the step, the shards, the bubble, the hierarchy of links, and plans that do not come out even."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import MissingFact, OutOfDomain, UnknownName
from mlsysim.solvers.workload import default
from mlsysim.things import EFFICIENCY

CHIP = "Chip; bf16 = 100 TFLOP/s; fp32 = 10 TFLOP/s; memory = 100 GB; bandwidth = 10 TB/s; link = 200 GB/s"
SHAPE = "unit = token; params = 4B; layers = 16; hidden = 1000; heads = 8; kv_heads = 8; head_dim = 125"
LM = f"LM; family = transformer; {SHAPE}"
MOE = f"MoE; family = moe; {SHAPE}; active_params = 1B; experts = 16; experts_per_token = 2; expert_params = 3.2B"
CNN = "CNN; family = cnn; unit = image; params = 25M; flops = 8 GFLOP; layers = 50; activations = 20 MB"
P, L, H, A, D, S = 4e9, 16, 1000, 8, 125, 128
FABRIC = "fabric = {X; topology = fat-tree; bandwidth = 50 GB/s; oversubscription = 2}"


def fleet(nodes: int = 8, devices: int = 4, nics: int = 2, chip: str = CHIP) -> str:
    return f"F; nodes = {nodes}; node = {{N; devices = {devices}; nics = {nics}; device = {{{chip}}}}}; {FABRIC}"


def train(model: str = LM, on: str = "", **options: Any) -> Any:
    return m.training(model, on or fleet(), **{"batch": 64, "seq_len": S, "efficiency": 0.5} | options)


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12)


INSIDE = 200e9 * default("collective_efficiency")
ACROSS = 50e9 * (2 / 4) / 2 * default("collective_efficiency")  # two ports for four devices, oversubscribed twice
NEAR, FAR = default("collective_latency_node") * 1e-6, default("collective_latency_fabric") * 1e-6
FORWARD = 2 * P * S + 4 * L * A * D * S * (S + 1) / 2
SCORES = 4 * L * A * D * S * (S + 1) / 2
AGAIN = {"none": 0.0, "selective": SCORES / 2, "full": FORWARD + SCORES / 2}  # QK once more: half of the scores
RAMP = default("collective_ramp") * 2**20  # bytes at half speed inside a node
BARE, SEEN = default("dp_exposed"), default("tp_exposed")


def near(n: float, message: float) -> float:
    """All-reduce inside a node."""
    return 0.0 if n == 1 else 2 * (n - 1) / n * (message + min(message, RAMP)) / INSIDE + NEAR


def far(n: float, message: float, bandwidth: float = ACROSS) -> float:
    """All-reduce across nodes."""
    return 0.0 if n == 1 else 2 * (n - 1) / n * message / bandwidth + FAR


# ---------------------------------------------------------------- the step


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize(("tp", "pp", "interleave", "zero"), [(1, 1, 1, 0), (4, 1, 1, 3), (2, 4, 2, 1), (8, 2, 1, 2)])
def test_a_step_by_hand(tp: int, pp: int, interleave: int, zero: int, recompute: str) -> None:
    batch, micro = 64, 2
    got = train(
        tp=tp, pp=pp, interleave=interleave, microbatch=micro, zero_stage=zero, recompute=recompute, straggler=1.1
    )
    dp = 32 // (tp * pp)
    count = batch // (dp * micro)
    stage = 1 / (tp * pp)
    again = AGAIN[recompute]
    compute = (3 * FORWARD + again) * micro * stage / 50e12

    tensor = 2 * H * S * micro
    once = near(tp, tensor) if tp <= 4 else far(tp, tensor)
    t_tp = SEEN * (6 if recompute == "full" else 4) * L / pp * once
    t_pp = 0 if pp == 1 else 2 * interleave * tensor / tp / (INSIDE if tp * pp <= 4 else ACROSS)
    bubble = (pp - 1) / (interleave * count)

    gradients = 2 * P * stage
    inner = min(dp, max(1, 4 // (tp * pp)))
    outer = dp // inner
    reduced = near(inner, gradients) + far(outer, gradients / inner)
    # ZeRO-3 gathers twice and scatters once per micro-batch, ZeRO-2 scatters per micro-batch and gathers once
    rounds = {2: (count + 1) / 2, 3: 3 * count / 2}.get(zero, 1)
    cover = {2: count * 2 / 3, 3: count}.get(zero, 2 / 3)  # backward passes, all passes, the last backward pass
    t_dp = max(BARE * reduced * rounds, reduced * rounds - default("overlap") * compute * cover)
    step = (count * (compute + t_tp + t_pp) * (1 + bubble) + t_dp) * 1.1

    assert got.bubble_fraction == close(bubble)
    assert got.tp_communication_latency == close(count * t_tp)
    assert got.pp_communication_latency == close(count * t_pp)
    assert got.dp_communication_latency == pytest.approx(t_dp, rel=1e-9)
    assert got.pipeline_bubble_latency == close(count * (compute + t_tp + t_pp) * bubble)
    assert got.step_latency_total == close(step)
    assert got.effective_throughput == close(batch / step)
    assert got.mfu == close(3 * FORWARD * batch / (32 * 100e12 * step))
    assert got.hfu == close((3 * FORWARD + again) * batch / (32 * 100e12 * step))
    assert got.scaling_efficiency == close(count * compute / step)
    assert got.parallelism == f"dp={dp} tp={tp} pp={pp} ep=1"

    tokens, flight = micro * S, min(count, pp) * (1 + (pp - 1) / (pp * interleave) if interleave > 1 else 1)
    layer, scores = 34 * tokens * H / tp, 5 * A * S * tokens / tp
    kept = {
        "none": (layer + scores) * L / pp * flight,
        "selective": layer * L / pp * flight,
        "full": 2 * tokens * H / tp * L / pp * flight + layer + scores,
    }[recompute]
    parts = zip((2, 2, 12), (zero >= 3, zero >= 2, zero >= 1), strict=True)
    state = sum(width * P * stage / (dp if sharded else 1) for width, sharded in parts)
    assert got.memory_footprint == close(state + kept)
    room = 100e9 * (1 - default("reserve"))
    assert (got.feasible, got.shortfall) == (state + kept <= room, close(max(0, state + kept - room)))


def test_one_device_has_nothing_to_wait_for() -> None:
    got = train(on=fleet(1, 1, 1), batch=4)
    assert (got.scaling_efficiency, got.bubble_fraction) == (1, 0)
    assert got.dp_communication_latency == got.tp_communication_latency == got.pp_communication_latency == 0
    assert got.step_latency_total == close(4 * (3 * FORWARD + AGAIN["selective"]) / 50e12)
    engine = m.roofline(LM, CHIP, batch=4, precision="bf16", training=True, seq_len=S, efficiency=0.5)
    assert got.step_latency_total == close(engine.latency_compute)
    four = train(on=fleet(1, 1, 1), batch=4, microbatch=4)
    assert four.memory_footprint == close(engine.memory_footprint)


def test_throughput_is_the_batch_over_the_step() -> None:
    for options in ({"tp": 4}, {"pp": 8}, {"tp": 2, "pp": 2}, {"zero_stage": 3}, {"straggler": 2}):
        got = train(**options)
        assert got.effective_throughput * got.step_latency_total == close(64)
        assert got.mfu <= got.hfu <= 0.5


def test_the_cheat_sheets_plan_says_that_it_does_not_come_out_of_thin_air() -> None:
    got = m.training("Llama3_70B", "Research_256", batch=1024, tp=8, pp=4, precision="fp16", efficiency=0.4)
    assert 1024 / got.step_latency_total == close(got.effective_throughput)
    assert got.step_latency_total > 8.7  # arithmetic alone takes 8.77 s
    assert got.bubble_fraction == close(3 / 128)
    assert got.memory_footprint < 100e9  # 16 bytes of 70.6e9 parameters over 32 devices, and activations


# ---------------------------------------------------------------- where bytes travel


def test_replicas_on_nodes_of_one_device_reduce_over_the_fabric() -> None:
    on = fleet(64, 1, 1)
    got = train(on=on, overlap=0)
    slow = 50e9 / 2 * default("collective_efficiency")
    assert got.dp_communication_latency == close(2 * 63 / 64 * 2 * P / slow + FAR)
    packed = train(on=fleet(1, 64, 1), overlap=0)
    assert packed.dp_communication_latency == close(2 * 63 / 64 * (2 * P + RAMP) / INSIDE + NEAR)


def test_the_hierarchy_sends_shards_across() -> None:
    got = train(on=fleet(8, 4, 4), overlap=0)
    across = 50e9 / 2 * default("collective_efficiency")
    expected = 2 * 3 / 4 * (2 * P + RAMP) / INSIDE + NEAR + 2 * 7 / 8 * (2 * P / 4) / across + FAR
    assert got.dp_communication_latency == close(expected)


def test_tensor_parallelism_beyond_a_node_goes_over_the_fabric() -> None:
    inside, beyond = train(tp=4), train(tp=8)
    assert beyond.tp_communication_latency > 5 * inside.tp_communication_latency


def test_zero_3_moves_one_and_a_half_times_the_bytes() -> None:
    plain, three = (train(batch=32, overlap=0, zero_stage=z).dp_communication_latency for z in (0, 3))
    assert three == close(1.5 * plain)
    two = train(batch=32, overlap=0, zero_stage=2).dp_communication_latency
    assert two == plain
    three = train(batch=128, overlap=0, zero_stage=3).dp_communication_latency
    assert three == close(4 * 1.5 * plain)  # weights are gathered anew for each of four micro-batches
    two = train(batch=128, overlap=0, zero_stage=2).dp_communication_latency
    assert two == close((4 / 2 + 1 / 2) * plain)  # gradients are scattered after each, weights gathered once


def test_overlap_hides_no_more_than_the_backward_pass() -> None:
    bare, hidden = train(overlap=0), train(overlap=1)
    compute = (3 * FORWARD + AGAIN["selective"]) / 50e12
    assert bare.dp_communication_latency - hidden.dp_communication_latency == close(compute * 2 / 3)
    three, under = train(overlap=0, zero_stage=3), train(overlap=1, zero_stage=3)
    # two micro-batches of forward and backward
    assert three.dp_communication_latency - under.dp_communication_latency == close(2 * compute)


def test_the_first_and_last_bucket_of_gradients_are_never_hidden() -> None:
    fast = fleet(chip=CHIP.replace("200 GB/s", "200 TB/s")).replace("50 GB/s", "50 TB/s")
    bare, hidden = (train(on=fast, overlap=o).dp_communication_latency for o in (0, 1))
    assert hidden == close(BARE * bare)
    assert hidden > 0


def test_experts_are_sharded_and_their_tokens_sent() -> None:
    one, four = train(MOE, overlap=0), train(MOE, ep=4, overlap=0)
    assert one.memory_footprint - four.memory_footprint == close(16 * 3.2e9 * 3 / 4)
    assert one.ep_communication_latency == 0
    message = 2 * H * S * 2  # two experts for each token
    each = default("tp_exposed") * 4 * L * (3 / 4 * message / INSIDE + NEAR)
    assert four.ep_communication_latency == close(2 * each)  # two micro-batches
    dense, routed = 2 * 0.8e9, 2 * 3.2e9 / 4
    reduced = near(4, dense) + far(8, dense / 4) + far(8, routed)
    assert four.dp_communication_latency == close(reduced)
    sharded = train(MOE, ep=4, zero_stage=3)
    kept = 34 * S * H * L
    assert sharded.memory_footprint == close(16 * P / 32 + kept)  # every parameter once in the fleet
    assert four.mfu * four.step_latency_total == close(
        3 * (2 * 1e9 * S + SCORES) * 64 / (32 * 100e12)
    )  # active parameters work


def test_a_convolution_network_trains_on_replicas() -> None:
    got = train(CNN, batch=320, microbatch=10)
    assert got.memory_footprint == close(16 * 25e6 + 10 * 20e6)
    assert got.memory_footprint == train(CNN, batch=640, microbatch=10).memory_footprint
    engine = m.roofline(CNN, CHIP, batch=10, precision="bf16", training=True)
    assert got.memory_footprint == close(engine.memory_footprint)


def test_single_precision_moves_twice_the_bytes() -> None:
    wide, narrow = (train(tp=4, precision=p, overlap=0) for p in ("fp32", "bf16"))
    starts = 8 * SEEN * 4 * L * NEAR  # eight micro-batches of four all-reduces per layer
    assert wide.tp_communication_latency - starts == close(2 * (narrow.tp_communication_latency - starts))
    assert wide.dp_communication_latency - FAR == close(2 * (narrow.dp_communication_latency - FAR))


def blank(precision: str, model: str = LM, **options: Any) -> float:
    """Compute time of one device with calibrated efficiencies; other parts are 0."""
    options = {"batch": 1, "efficiency": None, "precision": precision, "recompute": "none"} | options
    got = train(model, fleet(1, 1, 1, chip=CHIP + "; tf32 = 50 TFLOP/s"), **options)
    assert got.scaling_efficiency == 1
    return float(got.step_latency_total)


@pytest.mark.parametrize(("precision", "peak", "width"), [("bf16", 100e12, 2), ("tf32", 50e12, 4), ("fp32", 10e12, 4)])
def test_matrices_attention_and_values_each_go_at_their_rate(precision: str, peak: float, width: int) -> None:
    """What trains in 32 bits computes its attention in 32 bits and moves values of four bytes."""
    share = EFFICIENCY["training_16"].compute, EFFICIENCY["attention_training"].compute
    matrices = 3 * 2 * P * S * (1 + default("gemm_half_width") / H) / (peak * share[0])
    scores = 3 * SCORES / (peak * share[1])
    moved = 3 * default("training_traffic") * H * width * L * S / (10e12 * EFFICIENCY["memory_other"].bandwidth)
    assert blank(precision) == close(matrices + scores + moved)


def test_an_encoder_scores_every_pair() -> None:
    shape = SHAPE.replace("unit = token", "unit = sequence")
    encoder = f"E; family = transformer; {shape}; sequence = {S}; vocab = 1000"
    forward, scores = 2 * (P - 1000 * H) * S + 4 * L * H * S * S, 4 * L * A * D * S * S
    matrices = 3 * (forward - scores) * (1 + default("gemm_half_width") / H)
    share = EFFICIENCY["training_16"].compute, EFFICIENCY["attention_training"].compute
    moved = 3 * default("training_traffic") * H * 2 * L * S / (10e12 * EFFICIENCY["memory_other"].bandwidth)
    expected = matrices / (100e12 * share[0]) + 3 * scores / (100e12 * share[1]) + moved
    assert blank("bf16", encoder) == close(expected)


def test_narrow_shards_are_slower() -> None:
    on = fleet(1, 8, 1)
    one, eight = (train(on=on, tp=t, batch=8, efficiency=None, recompute="none") for t in (1, 8))
    ratio = (1 + 8 * default("gemm_half_width") / H) / (1 + default("gemm_half_width") / H)
    busy = [g.scaling_efficiency * g.step_latency_total for g in (one, eight)]
    assert busy[0] < busy[1] < ratio * busy[0]


# ---------------------------------------------------------------- monotone where physics says so

CHANGES = [
    ({"tp": 2}, "memory_footprint", -1),
    ({"pp": 2}, "memory_footprint", -1),
    ({"zero_stage": 1}, "memory_footprint", -1),
    ({"recompute": "full"}, "memory_footprint", -1),
    ({"recompute": "none"}, "memory_footprint", 1),
    ({"recompute": "full"}, "step_latency_total", 1),
    ({"microbatch": 2}, "memory_footprint", 1),
    ({"batch": 128}, "step_latency_total", 1),
    ({"batch": 128}, "effective_throughput", 1),
    ({"seq_len": 256}, "step_latency_total", 1),
    ({"efficiency": 0.6}, "step_latency_total", -1),
    ({"overlap": 0}, "step_latency_total", 1),
    ({"straggler": 1.2}, "step_latency_total", 1),
    ({"reserve": 0.9}, "shortfall", 1),
    ({"on": fleet(nics=4)}, "step_latency_total", -1),
    ({"on": fleet(chip=CHIP.replace("200 GB/s", "400 GB/s"))}, "step_latency_total", -1),
    ({"on": fleet(chip=CHIP.replace("100 TFLOP/s", "200 TFLOP/s"))}, "step_latency_total", -1),
]


@pytest.mark.parametrize(("change", "metric", "sign"), CHANGES)
def test_monotone(change: dict[str, Any], metric: str, sign: int) -> None:
    before, after = getattr(train(), metric), getattr(train(**change), metric)
    assert math.copysign(1, after - before) == sign
    assert after != before


def test_more_micro_batches_shrink_the_bubble_and_virtual_stages_too() -> None:
    batch = np.array([8, 16, 32, 64])
    fractions = train(pp=8, tp=4, batch=batch).bubble_fraction
    np.testing.assert_allclose(fractions, 7 / batch)
    assert train(pp=8, tp=4, batch=8, interleave=2).bubble_fraction == close(7 / 16)


def test_a_stage_holds_no_more_micro_batches_than_there_are() -> None:
    def kept(batch: int) -> float:
        state = 16 * P / 8
        return float(train(pp=8, tp=1, on=fleet(2, 4), batch=batch).memory_footprint) - state

    one = 34 * S * H * L / 8
    assert [kept(b) for b in (1, 2, 8, 16)] == [close(n * one) for n in (1, 2, 8, 8)]


# ---------------------------------------------------------------- plans that do not come out even


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"tp": 8, "pp": 3},
            r"tp x pp x cp must divide the 32 devices of F, got 24; nearest legal products are 16 and 32",
        ),
        ({"tp": 8, "pp": 16}, r"tp x pp x cp must divide the 32 devices of F, got 128; at most 32$"),
        ({"batch": 100}, r"batch must be a multiple of replicas x microbatch = 32, got 100; nearest legal: 96 or 128"),
        ({"batch": 8}, r"replicas x microbatch = 32, got 8; nearest legal: 32$"),
        ({"batch": 64, "microbatch": 4}, r"replicas x microbatch = 128, got 64; nearest legal: 128$"),
        ({"tp": 16}, "tp must divide the 8 heads of LM"),
        ({"pp": 32}, "pp x interleave must not exceed the 16 layers of LM"),
        ({"interleave": 2}, "interleave needs pp above 1"),
        ({"ep": 2}, "ep must be 1, LM has no experts"),
        ({"model": MOE, "ep": 3}, "ep must divide the data-parallel replicas"),
        ({"model": MOE, "ep": 32}, "ep must divide the 16 experts of MoE"),
        ({"model": CNN, "tp": 2}, "tp, pp and cp must be 1 for the cnn CNN"),
        ({"precision": "int8"}, "training in int8 is not modelled|Chip has no int8 rate"),
        ({"precision": "fp8"}, "Chip has no fp8 rate on record, only fp32, bf16"),
        ({"recompute": "some"}, "recompute must be one of none, selective, full, got 'some'"),
        ({"model": CNN.replace("; activations = 20 MB", "")}, "CNN has no activations on record"),
        ({"on": fleet(chip=CHIP.replace("; link = 200 GB/s", ""))}, "N has no link on record"),
        ({"on": fleet().replace("nics = 2; ", "")}, "N has no nics on record"),
        ({"model": MOE.replace("; expert_params = 3.2B", "")}, "MoE has no expert_params on record"),
    ],
)
def test_what_cannot_be_is_refused_with_the_nearest_legal(options: dict[str, Any], why: str) -> None:
    with pytest.raises((OutOfDomain, MissingFact), match=why):
        train(**options)


def test_unknown_things_are_refused() -> None:
    with pytest.raises(UnknownName, match=r"did you mean .*Research_256"):
        m.training(LM, "Research_255", batch=256)
    with pytest.raises(UnknownName, match="no 'fp12'"):
        train(precision="fp12")
