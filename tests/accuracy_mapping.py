"""From a published measurement to the public call that predicts it: one function per subcategory.

Nothing is tuned row by row.  A row's inputs are read as they are printed; what it leaves open is the call's default.
`Skip` says why a row cannot be expressed.  A prediction carries its band (p10 and p90), where the call has one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import mlsysim as m
from mlsysim.things import BANDS, HARDWARE, PRECISIONS, Precision
from mlsysim.units import Validation

GIB, TERA, HOUR, KWH, POUND = 2.0**30, 1e12, 3600.0, 3.6e6, 0.45359237
Inputs = dict[str, Any]


class Skip(Exception):
    """The row cannot be expressed; the text says why."""


@dataclass(frozen=True)
class Prediction:
    """A predicted value in the row's own unit, with its band where there is one; `exact` rows replay arithmetic."""

    value: float
    low: float | None = None
    high: float | None = None
    status: str = ""

    def times(self, factor: float) -> Prediction:
        low, high = (None if b is None else b * factor for b in (self.low, self.high))
        return Prediction(self.value * factor, low, high, self.status)

    def inverse(self, numerator: float = 1.0) -> Prediction:
        low, high = (None if b is None else numerator / b for b in (self.high, self.low))
        return Prediction(numerator / self.value, low, high, self.status)


def of(result: Any, metric: str) -> Prediction:
    """A metric of a result with its band, if it is judged."""
    low, high = (getattr(result, f"{metric}_{p}", None) for p in ("p10", "p90"))
    status = getattr(result, f"{metric}_validity", Validation.not_validated)
    if low is None or low != low:
        low = high = None
    return Prediction(float(getattr(result, metric)), low, high, str(status))


# ------------------------------------------------------------------ things from a row


def device(row: Inputs) -> str:
    """The registry key of a row's accelerator."""
    name = row.get("gpu") or row.get("hardware") or row.get("device")
    if not name:
        raise Skip("the row names no accelerator")
    if name not in HARDWARE:
        raise Skip(f"no accelerator {name} in the registry")
    return HARDWARE[name].key


def decoder(i: Inputs) -> str:
    """Spec text of a decoder from its shape."""
    for need in ("params", "layers", "hidden", "heads"):
        if not i.get(need):
            raise Skip(f"the row gives no {need} of the model")
    fields = {"params": i["params"], "layers": i["layers"], "hidden": i["hidden"], "heads": i["heads"]}
    fields["kv_heads"] = i.get("kv_heads") or i["heads"]
    fields |= {n: i[n] for n in ("head_dim", "ffn", "vocab") if i.get(n)}
    family = "transformer"
    if i.get("active_params") and i["active_params"] < i["params"]:
        routed, chosen = i.get("experts") or i.get("num_experts"), i.get("experts_per_token") or i.get("top_k")
        if not routed or not chosen:
            raise Skip("a mixture of experts whose experts the row does not count")
        family, spare = "moe", i["params"] - i["active_params"]
        fields |= {"active_params": i["active_params"], "experts": routed, "experts_per_token": chosen}
        fields["expert_params"] = min(i["params"], spare / (1 - chosen / routed))
    body = "; ".join(f"{n} = {v:.0f}" for n, v in fields.items())
    return f"row model; family = {family}; unit = token; {body}"


ALIASES = {"f16": "fp16", "f32": "fp32", "nvfp4": "fp4", "mxfp4": "fp4", "float16": "fp16", "w8a8": "int8"}


def precision(name: str | None) -> str:
    """A number format of the registry."""
    text = str(name or "fp16").casefold()
    for word in (text, *re.split(r"[^a-z0-9_]+", text)):  # "FP8-CS" and "bf16 mixed" name their format first
        known = ALIASES.get(word, word)
        if known and known in PRECISIONS:
            return PRECISIONS[known].key
    raise Skip(f"no number format {name} in the registry")


def serving_precision(i: Inputs) -> str:
    """4-bit rows store scales too: nvfp4 where the device computes in fp4."""
    name = precision(i.get("weight_format") or i.get("precision"))
    return "nvfp4" if name == "fp4" else name


def kv(i: Inputs) -> dict[str, Any]:
    """The cache's format, where the row says it."""
    name = i.get("kv_dtype")
    return {"kv_precision": precision(name)} if name else {}


def stack(i: Inputs) -> str:
    """Software by the engine that the row names; none named: a tuned server."""
    engine = str(i.get("engine") or i.get("software") or i.get("framework") or "").casefold()
    if "llama.cpp" in engine or "gguf" in engine or "ollama" in engine:
        return "llamacpp"
    if any(word in engine for word in ("transformers", "pytorch", "hugging", "eager")):
        return "framework"
    return "tuned"


# ------------------------------------------------------------------ inference


def decode(i: Inputs, metric: str) -> Prediction:
    """Batch-1 decoding at the mean context."""
    batch = i.get("batch") or 1
    context = max(1, round(i.get("mean_context") or i.get("context") or i.get("input_len") or 1))
    result = m.serving(decoder(i), device(i), seq_len=context, batch=batch, tp=i.get("tp") or 1,
                       precision=serving_precision(i), stack=stack(i), **kv(i))  # fmt: skip
    step = of(result, "itl")
    return step.times(1e3) if metric.endswith("_ms") else step.inverse(batch)


def prefill(i: Inputs, metric: str) -> Prediction:
    """Prompt speed or time to first token of a batch of one."""
    length = i.get("prompt_tokens") or i.get("input_len")
    if not length:
        raise Skip("the row gives no prompt length")
    batch = i.get("batch") or 1
    result = m.serving(decoder(i), device(i), seq_len=length, batch=batch, tp=i.get("tp") or 1,
                       precision=serving_precision(i), stack=stack(i), **kv(i))  # fmt: skip
    first = of(result, "ttft")
    return first.times(1e3) if metric.endswith("_ms") else first.inverse(length * batch)


def throughput(i: Inputs, metric: str) -> Prediction:
    """Generated tokens per second with continuous batching; copies side by side fill a row's devices."""
    prompt, answer = (
        i.get(a) or i.get(b) for a, b in (("input_len", "mean_input_len"), ("output_len", "mean_output_len"))
    )
    if not prompt or not answer:
        raise Skip("the row gives no lengths of prompt and answer")
    batch = i["batch"] if isinstance(i.get("batch"), int | float) else None
    gpus = i.get("gpus") or 1
    chosen = {"input_tokens": round(prompt), "output_tokens": round(answer), "batch": batch,
              "precision": serving_precision(i), "stack": stack(i)} | kv(i)  # fmt: skip
    if i.get("tp"):
        result = m.throughput(decoder(i), device(i), tp=i["tp"], **chosen)
    else:  # whole copies side by side, split as serves most
        plans = [_plan(i, t, chosen) for t in (1, 2, 4, 8) if t <= gpus and gpus % t == 0]
        legal = [r for r in plans if r is not None]
        if not legal:
            raise Skip("no split over the devices is legal")
        fitting = [r for r in legal if r.feasible] or legal[-1:]
        result = max(fitting, key=lambda r: float(r.tokens_per_s_per_device))
    each = of(result, "tokens_per_s_per_device")
    if "total" in metric:
        each = each.times(float(result.total_rate / result.output_rate))
    return each if metric.endswith(("per_gpu", "per_device")) else each.times(gpus)


def _plan(i: Inputs, tp: int, chosen: dict[str, Any]) -> Any:
    """Throughput of one split; None where the devices' links or the heads do not allow it."""
    try:
        return m.throughput(decoder(i), device(i), tp=tp, **chosen)
    except m.MlsysError:
        return None


def mlperf_inference(i: Inputs, metric: str) -> Prediction:
    """Offline and server results of MLPerf."""
    name = str(i.get("model", "")).casefold()
    if "resnet50" in name:
        return images(i | {"batch": i.get("batch") or 2048}, metric, "tuned")
    if not i.get("layers"):
        raise Skip(f"the row gives no shape of {i.get('model')}")
    return throughput(i, metric)


def images(i: Inputs, metric: str, software: str = "framework") -> Prediction:
    """ResNet-50: one device, or as many side by side."""
    if "resnet" not in str(i.get("model", "resnet")).casefold():
        raise Skip(f"no public call for {i['model']}")
    batch = i.get("batch_per_gpu") or i.get("batch") or 1
    training = "batch_per_gpu" in i
    result = m.roofline("ResNet50", device(i), batch=batch, precision=precision(i["precision"]), training=training,
                        stack=software)  # fmt: skip
    latency = of(result, "latency")
    return latency.times(1e3) if metric.endswith("_ms") else latency.inverse(batch * (i.get("gpus") or 1))


# ------------------------------------------------------------------ training

PORT = {"volta": 100, "ampere": 200, "hopper": 400, "blackwell": 400}  # Gb/s of one device's scale-out port
BOARD = 8
DOMAIN = 64  # of the 72 devices in one NVLink domain, those that a power of two of devices uses


def fleet(i: Inputs) -> str:
    """Equal nodes of a row's devices: boards of eight, or one NVLink domain of rack systems."""
    key, n = device(i), i["gpus"]
    chip = HARDWARE[key]
    size = min(n, DOMAIN if (chip.scale_up or 0) > BOARD else BOARD)
    while n % size:
        size -= 1
    torus = chip.generation == "tpu" and chip.link is not None  # its own links join the whole pod
    port = i.get("nic_Gbps_per_gpu") or (8 * chip.link / 1e9 if torus else PORT.get(chip.generation or "", 200))
    node = f"{{row node; device = {key}; devices = {size:g}; nics = {size:g}}}"
    fabric = f"{{row fabric; topology = fat_tree; bandwidth = {port} Gb/s}}"
    return f"row fleet; nodes = {n / size:g}; node = {node}; fabric = {fabric}"


def training_step(i: Inputs) -> Any:
    """One optimizer step."""
    if not i.get("global_batch"):
        raise Skip("the row gives no global batch")
    if not i.get("layers"):
        raise Skip("the row gives no shape of the model")
    tp, pp, cp = (i.get(n) or 1 for n in ("tp", "pp", "cp"))
    replicas = i["gpus"] / (tp * pp * cp)
    if replicas != int(replicas):
        raise Skip("tp x pp x cp does not divide the devices")
    micro = i.get("micro_batch") or 1
    batch = (
        round(max(1, i["global_batch"] / (replicas * micro))) * replicas * micro
    )  # whole micro-batches on every replica
    try:
        return m.training(
            decoder(i),
            fleet(i),
            batch=batch,
            tp=tp,
            pp=pp,
            cp=cp,
            ep=i.get("ep") or 1,
            seq_len=i["seq_len"],
            microbatch=micro,
            interleave=_interleave(i, pp),
            precision=training_precision(i),
            zero_stage=_zero(i),
            recompute=_recompute(i),
        )
    except m.MlsysError as error:
        raise Skip(str(error)) from None


def training_precision(i: Inputs) -> str:
    return precision(i.get("precision") or "bf16")


def _interleave(i: Inputs, pp: int) -> float:
    given = re.match(r"\d+", str(i.get("vp") or i.get("interleave") or ""))
    if pp == 1:
        return 1
    layers = i["layers"]
    most = layers // pp
    wanted = int(given[0]) if given else 2 if i.get("interleaved") else 1
    return max(1, min(wanted, most))


def _zero(i: Inputs) -> int:
    text = str(i.get("fsdp") if i.get("fsdp") is not None else i.get("zero") or 0).upper()
    named = re.search(r"(?:ZERO|STAGE)\D?([0-3])", text)
    if named:
        return int(named[1])
    if "FULL_SHARD" in text or text == "3":
        return 3
    if "GRAD" in text or text == "2":
        return 2
    size = re.match(r"\d+", text)  # a number of ranks that shard
    return 3 if size and int(size[0]) > 3 else 1 if text == "1" else 0


def _recompute(i: Inputs) -> str:
    text = str(i.get("activation_recompute") or "").casefold()
    if "full" in text or (not text and i.get("activation_checkpointing")):
        return "full"
    return "selective"


def training(i: Inputs, metric: str) -> Prediction:
    """Speed of a step in the row's own way of counting."""
    if metric == "mfu_percent" and not i.get("layers"):
        return Prediction(100 / m.ironlaw(flops=1, devices=1, peak=1, goodput=1))  # the iron law's own MFU and scaling
    result = training_step(i)
    step, batch = of(result, "step_latency_total"), result.effective_throughput * result.step_latency_total
    tokens, per_device = batch * i["seq_len"], i["gpus"]
    if metric in ("iteration_time_s", "step_time_s"):
        return step.times(i["global_batch"] / batch)
    if metric == "tokens_per_s_per_gpu":
        return step.inverse(tokens / per_device)
    if metric == "tokens_per_s":
        return step.inverse(tokens)
    if metric == "mfu_percent":
        return step.inverse(100 * result.mfu * result.step_latency_total)
    if metric in ("hw_tflops_per_gpu", "model_tflops_per_gpu", "tflops_per_gpu"):
        work = (
            _megatron_flops(i, batch)
            if metric.startswith("hw")
            else result.mfu * result.step_latency_total * per_device
        )
        if not metric.startswith("hw"):
            work *= HARDWARE[device(i)].rate(Precision.of(training_precision(i)).compute)
        return step.inverse(work / per_device / TERA)
    raise Skip(f"no public call answers {metric}")


def _megatron_flops(i: Inputs, batch: float) -> float:
    """FLOP of a step as Narayanan et al. 2021 (eq. 3) count them; 4/3 with full recomputation."""
    b, s, layers, h, vocab = batch, i["seq_len"], i["layers"], i["hidden"], i.get("vocab") or 51200
    return (
        (4 / 3 if _recompute(i) == "full" else 1)
        * 72
        * b
        * s
        * layers
        * h**2
        * (1 + s / (6 * h) + vocab / (16 * layers * h))
    )


def run_hours(i: Inputs, _: str) -> Prediction:
    """Device-hours of a whole run by the iron law and its defaults, which are judged against the 16-bit peak."""
    chip = HARDWARE[device(i)]
    peak = chip.bf16 or chip.fp16
    if peak is None:
        raise Skip(f"{chip.key} has no 16-bit rate on record")
    flops = m.train_flops(params=i.get("active_params") or i["params"], tokens=i["tokens"])
    hours = m.ironlaw(flops=flops, devices=1, peak=peak) / HOUR
    band = BANDS.get("run-hours")
    return Prediction(hours, *((hours * float(band.low), hours * float(band.high)) if band else ()))


def run_days(i: Inputs, _: str) -> Prediction:
    """The paper's own formula, with its own rate."""
    flops = 8 / 6 * m.train_flops(params=i["params"], tokens=i["tokens"])
    return Prediction(
        m.ironlaw(flops=flops, devices=i["gpus"], peak=i["achieved_tflops"] * TERA, mfu=1, scaling=1, goodput=1) / 86400
    )


def time_to_train(i: Inputs, _: str) -> Prediction:
    """MLPerf training: tokens through the iron law, images through the roofline."""
    if "tokens_trained" in i:
        rate = HARDWARE[device(i)].rate(Precision.of(training_precision(i)).compute)
        flops = m.train_flops(params=i["params"], tokens=i["tokens_trained"])
        return Prediction(m.ironlaw(flops=flops, devices=i["gpus"], peak=rate, goodput=1) / 60)
    if "images_per_epoch" not in i:
        raise Skip("the row gives no amount of work")
    batch = max(1, round(i["global_batch"] / i["gpus"]))
    speed = images(i | {"batch_per_gpu": batch}, "images_per_s", "tuned").value
    return Prediction(i["images_per_epoch"] * i["epochs"] / speed / 60)
