"""From a published measurement to the public call: communication, memory, energy, reliability, scaling, edge."""

from __future__ import annotations

from collections.abc import Callable

from accuracy_mapping import (
    GIB,
    HOUR,
    KWH,
    Inputs,
    Prediction,
    Skip,
    decode,
    device,
    images,
    mlperf_inference,
    of,
    precision,
    prefill,
    run_days,
    run_hours,
    throughput,
    time_to_train,
    training,
)

import mlsysim as m
from mlsysim.things import HARDWARE, PRECISIONS

DAY = 86400.0


def all_reduce(i: Inputs, metric: str) -> Prediction:
    """Time of an all-reduce, or its bus bandwidth."""
    if i.get("collective", "all_reduce") != "all_reduce":
        raise Skip(f"no public call times {i['collective']}")
    options = {"nodes": i.get("nodes") or 1, "in_switch": bool(i.get("nvls_sharp"))}
    if i.get("nic_GBps_per_gpu") and options["nodes"] > 1:
        options["port"] = i["nic_GBps_per_gpu"] * 1e9
    name = device(i)
    if i.get("nvlink_uni_GBps"):
        name = f"{name}; base = {name}; link = {i['nvlink_uni_GBps']} GB/s"
    result = m.collective(name, devices=i["gpus"], message=i["bytes"], **options)
    if metric == "time_us":
        return of(result, "time").times(1e6)
    return of(result, "time").inverse(2 * (i["gpus"] - 1) / i["gpus"] * i["bytes"] / 1e9)


def kv_per_token(i: Inputs, _: str) -> Prediction:
    """Bytes of one token in the cache."""
    if i.get("kv_lora_rank"):
        width = i["kv_lora_rank"] + i["rope_dim"]
        return Prediction(m.mla_size(layers=i["layers"], latent_width=width, seq_len=1, bytes_per_value=i["bytes"]))
    return Prediction(m.kv_size(layers=i["layers"], kv_heads=i["kv_heads"], head_dim=i["head_dim"], seq_len=1,
                                bytes_per_value=i["bytes"]))  # fmt: skip


def weights(i: Inputs, metric: str) -> Prediction:
    """Stored weights of a format."""
    size = i["params"] * PRECISIONS[precision(i["format"])].weight_bits / 8
    return Prediction(float(size) / (GIB if "GiB" in metric else 1e9))


def shape(i: Inputs) -> str:
    """A GPT of a row's layers and width: 12 layers hidden^2 parameters, as the paper counts."""
    layers, hidden = float(i["layers"]), float(i["hidden"])
    heads = float(i.get("heads") or hidden // 128)
    return (
        f"row model; family = transformer; unit = token; params = {12 * layers * hidden**2:.0f}; "
        f"layers = {layers:.0f}; hidden = {hidden:.0f}; heads = {heads:.0f}; kv_heads = {heads:.0f}"
    )


def activation_fraction(i: Inputs, _: str) -> Prediction:
    """Activation memory as a share of keeping all of it under tensor parallelism alone."""
    way = str(i["recompute"]).casefold()
    kept = {"full": "full", "selective": "selective", "selective+sp": "selective", "sequence_parallel": "none"}.get(way)
    if kept is None:
        raise Skip(f"no such way to recompute: {way}")
    common = {"batch": 1, "seq_len": i["seq_len"], "training": True, "tp": i["tp"]}
    baseline = m.memory(shape(i), "A100", recompute="none", sequence_parallel=False, **common)
    result = m.memory(shape(i), "A100", recompute=kept, sequence_parallel="sp" in way or "sequence" in way, **common)
    return Prediction(100 * result.activations / baseline.activations)


def optimizer_state(i: Inputs, _: str) -> Prediction:
    """Weights, gradients (kept in fp32 by the paper's trainer) and optimizer of one device."""
    result = m.memory(
        shape(i), "A100", batch=1, seq_len=2048, training=True, tp=i["tp"], pp=i["pp"], fp32_gradients=True
    )
    return Prediction((result.weights + result.gradients + result.optimizer) / GIB)


def energy(i: Inputs, metric: str) -> Prediction:
    """Energy of a run from its power, or from its device-hours and the device's power."""
    unit = {"energy_MWh": 1e3, "kWh_PUE": 1.0, "energy_kWh": 1.0}.get(metric)
    if unit is None:
        raise Skip(f"no public call answers {metric}")
    pue = i.get("pue") or 1.0
    if i.get("power_W"):
        return Prediction(i["power_W"] * i["hours"] * HOUR * pue / KWH / unit)
    count, seconds = (
        (i["accelerators"], i["days"] * DAY) if i.get("accelerators") else (1, (i.get("gpu_hours") or 0) * HOUR)
    )
    if not seconds:
        raise Skip("the row gives no duration")
    watts = i.get("avg_system_W") or i.get("gpu_W")
    busy = f"; busy_power = {watts} W" if watts else ""
    node = f"{{row node; device = {device(i)}; devices = 1; nics = 1{busy}}}"
    fleet = f"row fleet; nodes = {count}; node = {node}; fabric = InfiniBand_NDR"
    site = f"row site; grid = US_Avg; pue = {pue}"
    days = min(seconds, 36000 * DAY)
    result = m.sustainability(fleet, days=days, datacenter=site)
    return Prediction(result.total_energy_kwh * seconds / days / unit)


def footprint(i: Inputs, _: str) -> Prediction:
    """Carbon of an energy, or of device-hours at the row's own power and intensity."""
    if i.get("energy_MWh"):
        joules, intensity = i["energy_MWh"] * 1e3 * KWH, i["g_per_kWh_net"] / 1e3 / KWH
    elif i.get("gpu_hours") and i.get("implied_kg_per_kWh"):
        joules, intensity = i["gpu_hours"] * HOUR * i["gpu_W"], i["implied_kg_per_kWh"] / KWH
    else:
        raise Skip("the row gives neither energy nor device-hours with an intensity")
    return Prediction(m.carbon(energy=joules, pue=1.0, intensity=intensity) / 1e3)


def node_power(i: Inputs, _: str) -> Prediction:
    """AC power of a server under load."""
    node = f"{{row node; device = {device(i)}; devices = {i['gpus']}; nics = {i['gpus']}}}"
    return of(m.power(f"row fleet; nodes = 1; node = {node}; fabric = InfiniBand_NDR"), "it_kw").times(1e3)


def run_energy(i: Inputs, _: str) -> Prediction:
    """Device energy of a run: iron law times board power."""
    chip = HARDWARE[device(i)]
    seconds = m.ironlaw(
        flops=m.train_flops(params=i["params"], tokens=i["tokens"]), devices=1, peak=chip.bf16, goodput=1
    )
    return Prediction(seconds * float(chip.need("tdp")) / KWH / 1e3)


def cluster(i: Inputs) -> str:
    """A fleet for reliability: nodes of eight."""
    per = i.get("gpus_per_node") or 8
    return (
        f"row fleet; nodes = {i['gpus'] / per:.0f}; node = {{row node; device = {HARDWARE[i.get('gpu', 'H100')].key}; "
        f"devices = {per}; nics = {per}}}; fabric = InfiniBand_NDR"
    )


def reliability(i: Inputs, metric: str) -> Prediction:
    """Failures, their rate, and the time between them."""
    rate = i.get("failures_per_1000_node_days")
    options = {} if rate is None else {"failures_per_node_day": rate / 1000 / DAY}
    if metric == "failures_per_1000_node_days":
        if not i.get("unexpected"):
            raise Skip("the rate itself is an input of the model")
        nodes = i["gpus"] / i["gpus_per_node"]
        return Prediction(1000 * i["unexpected"] / (nodes * i["days"]))
    result = m.reliability(cluster(i), hours=(i.get("days") or 1) * DAY, **options)
    if metric.startswith("mttf"):
        return of(result, "mtbf").times(1 / HOUR)
    return Prediction(float(result.failures))


def chinchilla(i: Inputs, metric: str) -> Prediction:
    """Compute-optimal size and data by the paper's approaches."""
    result = m.chinchilla(i["compute_flops"], approach=i["approach"])
    return Prediction(float(result.params if metric == "optimal_params" else result.tokens))


CYCLE = {"Cortex-M4": 2, "Cortex-M33": 2, "Cortex-M7": 2}  # 8-bit products a cycle through the dual 16-bit multiplier


def tiny(i: Inputs, _: str) -> Prediction:
    """MLPerf Tiny latency on a Cortex-M."""
    if i.get("core") not in CYCLE:
        raise Skip(f"no public figure of the arithmetic rate of {i.get('core')}")
    rate = 2 * CYCLE[i["core"]] * i["clock_MHz"] * 1e6
    board = (
        f"row board; group = Tiny; memory = 1 MB; bandwidth = {8 * i['clock_MHz']} MB/s; memory_class = sram; "
        f"int8 = {rate} OP/s; generation = mcu"
    )
    model = f"row model; family = cnn; unit = image; params = 100000; flops = {2 * i['macs']} FLOP; layers = 10"
    return of(m.roofline(model, board, precision="int8"), "latency").times(1e3)


def run_cost(i: Inputs, _: str) -> Prediction:
    raise Skip("a price, not a prediction")


MAPPING: dict[str, Callable[[Inputs, str], Prediction]] = {
    "decode_bs1": decode,
    "prefill_bs1": prefill,
    "ttft_bs1": prefill,
    "throughput_fixed_batch": throughput,
    "throughput_max_load": throughput,
    "mlperf_inference": mlperf_inference,
    "resnet50": images,
    "throughput": training,
    "iteration_time": training,
    "mfu": training,
    "mlperf_time_to_train": time_to_train,
    "run_gpu_hours": run_hours,
    "run_days_computed": run_days,
    "allreduce_intranode": all_reduce,
    "allreduce_internode": all_reduce,
    "kv_bytes_per_token": kv_per_token,
    "model_weights": weights,
    "activation_fraction": activation_fraction,
    "param_optimizer": optimizer_state,
    "energy": energy,
    "energy_from_flops": run_energy,
    "tco2e": footprint,
    "node_power": node_power,
    "failure_rate": reliability,
    "interruptions": reliability,
    "mttf": reliability,
    "chinchilla": chinchilla,
    "chinchilla_a23": chinchilla,
    "mlperf_tiny": tiny,
}

# rows whose answer follows from their own inputs: agreement shows sound arithmetic, not a good model
ARITHMETIC = {"energy", "tco2e", "mttf", "failure_rate", "run_days_computed", "kv_bytes_per_token", "model_weights",
              "param_optimizer", "activation_fraction", "chinchilla", "chinchilla_a23"}  # fmt: skip
