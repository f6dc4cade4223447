"""The catalogue's promise: names, order, defaults and units of the functions that workbooks already use."""

from __future__ import annotations

import pytest

from mlsysim import CATALOGUE
from mlsysim.nomenclature import TEXTS
from mlsysim.registry import sources
from mlsysim.things import DEFAULTS as JUDGEMENTS
from mlsysim.units import unit_of
from udfs import FUNCTIONS
from workbook.sheets.functions import call_text, unit_text

PROMISE = {
    "MLS_IRONLAW(flops, devices, peak, [mfu], [scaling], [goodput])": "h",
    "MLS_IRONLAW_DEVICES(flops, hours, peak, [mfu], [scaling], [goodput])": "",
    "MLS_ROOFLINE_TIME(flops, traffic, peak, bandwidth, [efficiency], [bandwidth_efficiency])": "ms",
    "MLS_RIDGE_POINT(peak, bandwidth)": "FLOP/B",
    "MLS_ATTAINABLE(intensity, peak, bandwidth)": "TFLOP/s",
    "MLS_KV_SIZE(layers, kv_heads, head_dim, seq_len, [batch], [bytes_per_value])": "GB",
    "MLS_ALLREDUCE(workers, message, bandwidth, [latency])": "ms",
    "MLS_TREE_ALLREDUCE(workers, message, bandwidth, [latency])": "ms",
    "MLS_ALLTOALL(workers, message, bandwidth, [latency])": "ms",
    "MLS_TRAIN_FLOPS(params, tokens)": "FLOP",
    "MLS_CHINCHILLA_PARAMS(budget, [tokens_per_param])": "",
    "MLS_CHINCHILLA_TOKENS(budget, [tokens_per_param])": "",
    "MLS_CARBON(energy, pue, intensity)": "kg",
    "MLS_BUBBLE(stages, microbatches, [interleave])": "",
    "MLS_MTBF(component_life, count)": "h",
    "MLS_CHECKPOINT_INTERVAL(save_time, mtbf)": "h",
    "MLS_GOODPUT(save_time, interval, recovery_time, mtbf)": "",
    "MLS_GPU_HOUR(annual_cost, devices, [utilisation], [goodput])": "USD/h",
    "MLS_TOKEN_COST(usd_per_device_hour, tokens_per_s_per_device, [utilisation])": "USD/Mtoken",
    "MLS_RESIDUAL(price, age, [annual_decline])": "USD",
    "MLS_ROOFLINE(model, hardware, [metric], [batch], [precision], [efficiency], [training], [options])": "ms",
    "MLS_SERVING(model, hardware, seq_len, [metric], [batch], [precision], [efficiency], [tp], [options])": "ms",
    "MLS_TRAINING(model, fleet, batch, [metric], [tp], [pp], [precision], [efficiency], [options])": "s",
    "MLS_COMPRESSION(model, hardware, [metric], [method], [bits], [sparsity], [baseline], [options])": "",
    "MLS_SUSTAINABILITY(fleet, days, [metric], [datacenter], [mfu], [options])": "kg",
    "MLS_TCO(fleet, [metric], [days], [datacenter], [mfu], [usd_per_kwh], [life_years], [options])": "USD",
    "MLS_KVCACHE(model, seq_len, [batch], [precision])": "GB",
    "MLS_POWER(fleet, [metric], [utilisation], [options])": "kW",
    "MLS_GET(registry, key, field)": "",
    "MLS_SPEC(registry, key)": "",
    "MLS_SOURCE(registry, key, field, [part])": "",
    "MLS_LIST(registry, [filter])": "",
    "MLS_CONVERT(value, unit_from, unit_to)": "",
    "MLS_VERSION()": "",
}
METRICS = {
    "roofline": "latency throughput bottleneck mfu hfu energy memory_footprint arithmetic_intensity latency_compute "
    "latency_memory latency_overhead efficiency_used feasible shortfall",
    "serving": "itl ttft kv_cache_size model_weights_size total_memory_required memory_utilization bottleneck feasible "
    "shortfall",
    "training": "step_latency_total effective_throughput mfu scaling_efficiency dp_communication_latency "
    "tp_communication_latency pp_communication_latency ep_communication_latency bubble_fraction memory_footprint "
    "parallelism feasible shortfall",
    "compression": "compression_ratio compressed_size_gb memory_savings_pct inference_speedup estimated_accuracy_delta",
    "sustainability": "carbon_footprint_kg total_energy_kwh it_energy_kwh water_usage_liters pue embodied_carbon_kg",
    "tco": "tco_usd capex_usd total_opex_usd opex_energy_usd opex_maintenance_usd carbon_footprint_kg usd_per_gpu_hour",
}
DEFAULTS = {
    ("ironlaw", "mfu"): 0.4,
    ("ironlaw", "scaling"): 0.9,
    ("ironlaw", "goodput"): 0.95,
    ("roofline", "precision"): "fp16",
    ("training", "precision"): "bf16",
    ("compression", "bits"): 4,
    ("compression", "baseline"): "fp16",
    ("sustainability", "mfu"): 0.4,
    ("chinchilla_params", "tokens_per_param"): 20,
}


@pytest.mark.parametrize(("call", "unit"), PROMISE.items())
def test_names_order_and_unit(call: str, unit: str) -> None:
    function = FUNCTIONS[call.split("(")[0]]
    assert call_text(function) == call
    assert unit_text(function) == unit


def test_nothing_unpromised_is_published() -> None:
    promised = {c.split("(")[0] for c in PROMISE}
    assert set(FUNCTIONS) - promised == {
        "MLS_MLA_SIZE",
        "MLS_ACTIVITY_POWER",
        "MLS_METRICS",
    }  # further closed forms, and a name VBA forbids


@pytest.mark.parametrize(("name", "metrics"), METRICS.items())
def test_metrics_exist_headline_first(name: str, metrics: str) -> None:
    wanted, own = metrics.split(), list(CATALOGUE[name].metrics)
    assert own[0] == wanted[0]
    assert set(wanted) <= set(own)


@pytest.mark.parametrize(("place", "value"), DEFAULTS.items())
def test_defaults(place: tuple[str, str], value: object) -> None:
    name, argument = place
    assert next(p.default for p in CATALOGUE[name].params if p.name == argument) == value


def test_a_default_that_an_equation_repeats_is_the_registry_s() -> None:
    """Equations cannot read the registry; where a signature states its figure, the two must be one."""
    signature = {(e.name, p.name): p.default for e in CATALOGUE.values() for p in e.params}
    assert signature["residual", "annual_decline"] == JUDGEMENTS["value_decline"].value
    assert signature["ironlaw", "scaling"] == JUDGEMENTS["scaling_efficiency"].value
    assert signature["ironlaw", "goodput"] == JUDGEMENTS["goodput"].value
    assert signature["chinchilla_params", "tokens_per_param"] == JUDGEMENTS["tokens_per_param"].value
    assert signature["tco", "life_years"] / (8760 * 3600) == JUDGEMENTS["life"].value


def test_every_entry_cites_a_document_and_explains_each_argument() -> None:
    for entry in CATALOGUE.values():
        assert entry.cites
        assert set(entry.cites) <= set(sources())
        assert entry.summary.endswith(".")
        for param in entry.params:
            assert param.text
            assert f"{param.name} : " in (entry.call.__doc__ or "")


def test_the_nomenclature_has_no_idle_entries() -> None:
    used = {p.name for e in CATALOGUE.values() for p in e.params}
    used |= {f"{e.name}.{p.name}" for e in CATALOGUE.values() for p in e.params}
    assert set(TEXTS) <= used, sorted(set(TEXTS) - used)


def test_every_number_has_a_unit() -> None:
    for entry in CATALOGUE.values():
        for name, hint in entry.metrics.items():
            assert unit_of(hint) or name in ("bottleneck", "feasible", "parallelism"), (entry.name, name)
