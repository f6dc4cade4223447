"""The figures that the sheets ask the engine for: function, metric, arguments, and the row where each stands.

`FIGURES` come first, `RANGES` are the ends and the standing of those that a buyer looks at; Engine_Live and Engine
share their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlsysim import CATALOGUE
from mlsysim.units import unit_of

from ..style import CENTS, FINE, SHARE, WHOLE

TOP = 7  # title of the first block


@dataclass(frozen=True, slots=True)
class Figure:
    """One engine figure per option: a function, a metric, its arguments before and after the metric."""

    name: str
    label: str
    function: str
    metric: str
    before: Sequence[str]
    after: Sequence[str]
    number_format: str
    text: bool = False
    band: bool = False  # an end of a range: a number or words
    when: str = ""  # see WHEN


EFFICIENCY = 'IF(ISNUMBER(in_Efficiency),in_Efficiency,"")'  # blank: calibrated
VALID = "validated"  # what the engine says of a range that measurements of this generation of silicon judge
NO_DEVICE, NOT_SERVED, NOT_TRAINED, NOT_BOUGHT = "no device", "not served", "not trained", "not bought"
# why an option has no figures in a frozen book; each starts with "no", as the words above
NOT_FROZEN, NOT_IN_GRID, TOO_LARGE, KEPT_AS_TEXT = (
    "not frozen", "not in the frozen grid", "no frozen load is that large", "no live figures: thaw the book",
)  # fmt: skip
# when a figure is asked for: the test, and the words that stand there otherwise
WHEN = {
    "serving": ("in_ServingOn=1", NOT_SERVED),
    "training": ("in_TrainingOn=1", NOT_TRAINED),
    "bought": ("{price_used}>0", NOT_BOUGHT),
}
SPECS = ("device_spec", "site_spec", "server_spec", "fleet_spec", "train_spec", "precision", "tp", "tariff",
         "tco_options", "price_used")  # fmt: skip


def _serving(
    name: str, label: str, metric: str, number_format: str, *, text: bool = False, batch: str = "in_Batch*{tp}"
) -> Figure:
    before = ("in_ModelSpec", "{device_spec}", "in_SeqLen")
    after = (batch, "{precision}", EFFICIENCY, "{tp}", "in_ServingOptions")
    return Figure(name, label, "serving", metric, before, after, number_format, text, when="serving")


def _throughput(name: str, label: str, metric: str, number_format: str) -> Figure:
    before = ("in_ModelSpec", "{device_spec}", "in_SeqLen", "in_OutputTokens")
    after = ("in_Batch*{tp}", "{precision}", "{tp}", "in_ThroughputOptions")
    return Figure(name, label, "throughput", metric, before, after, number_format, when="serving")


def _run(name: str, label: str, metric: str, number_format: str) -> Figure:
    before = ("in_TrainSpec", "{train_spec}", "in_TrainTokens*1000000000", "in_TrainBatch")
    after = ("in_TrainTP", "in_TrainPP", "{precision}", EFFICIENCY, "in_TrainOptions")
    return Figure(name, label, "training_run", metric, before, after, number_format, when="training")


def _range(figure: Figure) -> tuple[Figure, Figure, Figure]:
    """Low end, high end and standing of a figure."""
    ends = (("p10", "low end", False), ("p90", "high end", False), ("validity", "standing", True))
    low, high, standing = (
        replace(figure, name=f"{figure.name}_{end}", label=f"{figure.label}: {word}", metric=f"{figure.metric}_{end}",
                text=text, band=True, number_format="@" if text else figure.number_format)
        for end, word, text in ends
    )  # fmt: skip
    return low, high, standing


def _roofline(name: str, label: str, metric: str, batch: str) -> Figure:
    before, after = ("in_ModelSpec", "{device_spec}"), (batch, "{precision}")
    return Figure(name, label, "roofline", metric, before, after, CENTS, when="serving")


def _power(name: str, label: str, metric: str, utilisation: str) -> Figure:
    return Figure(name, label, "power", metric, ("{server_spec}",), (utilisation,), FINE)


def _tco(name: str, label: str, metric: str) -> Figure:
    after = ("365", "{site_spec}", "0.4", "{tariff}", "in_LifeYears", "{tco_options}")
    return Figure(name, f"Cross-check: {label}", "tco", metric, ("{fleet_spec}",), after, WHOLE, when="bought")


FIGURES: tuple[Figure, ...] = (
    _serving("weights", "Weights", "model_weights_size", CENTS),
    _serving("kv", "KV cache at full length", "kv_cache_size", CENTS),
    _serving("memory", "Memory needed by one replica", "total_memory_required", CENTS),
    _serving("memory_share", "Share of usable memory", "memory_utilization", SHARE),
    _serving("ttft", "Time to first token when all prompts arrive together", "ttft", CENTS),
    _serving("ttft_1", "Time to first token of one request alone", "ttft", CENTS, batch="1"),
    _serving("itl", "Time between tokens, decoding alone", "itl", CENTS),
    _throughput("itl_load", "Time between tokens, prompts of other requests included", "itl", CENTS),
    _throughput("rate", "Generated tokens per second and device, busy", "tokens_per_s_per_device", CENTS),
    _throughput("efficiency", "Share of the peak that arithmetic reaches", "efficiency_used", SHARE),
    _serving("bottleneck", "What limits decoding", "bottleneck", "@", text=True),
    _roofline("intensity_1", "Arithmetic intensity of decoding, batch 1", "arithmetic_intensity", "1"),
    _roofline("intensity_b", "Arithmetic intensity of decoding, chosen batch", "arithmetic_intensity", "in_Batch*{tp}"),
    Figure("peak", "Dense peak rate at the chosen precision", "get", "", ('"hardware"', "{device_spec}"), (), WHOLE),
    Figure("bandwidth", "Memory bandwidth", "get", "", ('"hardware"', "{device_spec}", '"bandwidth"'), (), WHOLE),
    _power("busy_kw", "IT power of one server, busy", "it_kw", "1"),
    _power("idle_kw", "IT power of one server, idle", "it_kw", "0"),
    _run("run_h", "Accelerator-hours of one training run", "device_hours", WHOLE),
    _run("run_wall", "Duration of one training run on the servers that it is judged on", "hours", CENTS),
    _run("run_mfu", "MFU of the training run", "mfu", SHARE),
    _run("run_memory", "Memory needed on each accelerator in training", "memory_footprint", CENTS),
    _tco("purchase", "purchase of devices, servers and network", "purchase_usd"),
    _tco("upkeep", "first year of maintenance", "opex_maintenance_usd"),
    _tco("staff", "first year of staff", "opex_staff_usd"),
    _tco("facility", "first year of facility", "opex_facility_usd"),
)
JUDGED = ("ttft", "ttft_1", "itl", "itl_load", "rate", "run_wall")  # what a buyer looks at first: with ranges
CHECKED = ("purchase", "upkeep", "staff", "facility")  # live only: they depend on prices, which change in a frozen book
RANGES = tuple(end for f in FIGURES if f.name in JUDGED for end in _range(f))
RANGE_TOP = TOP + len(FIGURES) + 2
END = RANGE_TOP + len(RANGES)  # last row that both sheets share
ASKED = (*FIGURES, *RANGES)
KEPT = tuple(f for f in ASKED if f.name not in CHECKED)  # what a frozen book holds
ROW: dict[str, int] = {f.name: TOP + 1 + i for i, f in enumerate(FIGURES)}
ROW |= {f.name: RANGE_TOP + 1 + i for i, f in enumerate(RANGES)}


def unit(figure: Figure) -> str:
    """The face unit of a figure, from the catalogue."""
    if figure.function == "get":
        return "TFLOP/s" if figure.name == "peak" else "GB/s"
    if figure.text:
        return ""
    if figure.name.startswith("rate"):
        return "tokens/s"
    metrics = CATALOGUE[figure.function].metrics
    found = unit_of(metrics.get(figure.metric, metrics.get(figure.metric.rpartition("_")[0])))
    return found.face if found else ""
