"""`MLS_MEMORY` and `MLS_ROOFLINE` as LAMBDAs: inference of one model on one device, over the tables of the workbook.

The same equations as `solvers.workload`, `solvers.device` and `solvers.node`, in their order and with their names;
their constants come from the registry of defaults and the factors of units from the registries' own units.  Training,
and options other than the context's length, are refused with a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from mlsysim.catalogue import Entry
from mlsysim.registry import Thing, fields
from mlsysim.solvers.device import MATRIX
from mlsysim.solvers.trainer import FUSED
from mlsysim.solvers.workload import ATTENTION, default
from mlsysim.things import DATAPATHS, Device, Efficiency, Model, Precision
from mlsysim.units import Latency, unit_of
from udfs.arguments import excel_params
from udfs.cells import REFUSED
from udfs.publish import survives

from .lambdas_parts import any_of, faults, let, local, one_cell, quoted
from .sheets.registries import TABLES, heading_of

ROWS: dict[type[Thing], str] = {Model: "model", Device: "hardware", Precision: "precision"}
STACK = "tuned"
SELECTORS = ("regime", "stack", "generation", "datapath", "weights", "memory_class")
RATES = ("compute", "bandwidth", "layer_overhead", "floor", "traffic")
# Names longer than a formula may be are cut: these two are shared, and take rows of tables instead of keys.
WORK, CALIBRATED = "MLSH_WORK", "MLSH_CALIBRATED"
WORKS = ("weights", "cache", "layer", "flops", "reads", "working", "lacks")  # what WORK answers, by its last argument


def memory(entry: Entry) -> str:
    """The LAMBDA of `MLS_MEMORY`."""
    answers = {
        "total": "footprint", "weights": "weights", "kv_cache": "cache", "activations": "layer", "gradients": "0",
        "optimizer": "0", "usable": "room", "headroom": "MAX(0,room-footprint)", "shortfall": "shortfall",
        "memory_utilization": "footprint/room", "min_devices": "MAX(1,ROUNDUP(footprint/room,0))",
        "feasible": "fits",
    }  # fmt: skip
    return _lambda(entry, [("length", local("seq_len")), *_held()], answers)


def roofline(entry: Entry) -> str:
    """The LAMBDA of `MLS_ROOFLINE`."""
    idle = default("idle_share")
    answers = {
        "latency": "latency", "throughput": f"{local('batch')}/latency",
        "bottleneck": 'IF(overhead>busy,"overhead",IF(memory>compute,"memory","compute"))',
        "mfu": "flops/(latency*peak)", "hfu": "flops/(latency*peak)",
        "energy": f"IF(tdp=0,none,tdp*({idle!r}*latency+{1 - idle!r}*busy))", "memory_footprint": "footprint",
        "arithmetic_intensity": "flops/traffic", "latency_compute": "compute", "latency_memory": "memory",
        "latency_overhead": "overhead", "efficiency_used": "used", "feasible": "fits", "shortfall": "shortfall",
    }  # fmt: skip
    return _lambda(entry, [*_length_of_options(entry), *_held(), *_time()], answers)


def helpers() -> dict[str, str]:
    """The names that the two LAMBDAs share."""
    work = ("model_row", "precision_row", "batch", "length", "what")
    rate = ("model_row", "hardware_row", "precision_row", "what")
    answers = ",".join(WORKS)
    return {
        WORK: _helper(work, [*_work(), ("lacks", _lacking())], f"CHOOSE(what,{answers})"),
        CALIBRATED: _helper(rate, list(_calibration()), f"CHOOSE(what,{','.join(RATES)})"),
    }


# ------------------------------------------------------------------ facts of the tables


def _fact(kind: type[Thing], name: str) -> str:
    """A fact in base units; a blank counts as 0."""
    unit = unit_of(fields(kind)[name])
    factor = 1.0 if unit is None else unit.from_face(1.0)
    cell = f"N({_raw(kind, name)})"
    return cell if factor == 1 else f"{cell}*{factor!r}"


def _raw(kind: type[Thing], name: str) -> str:
    return f"INDEX({TABLES[kind]}[{heading_of(kind, name)}],{ROWS[kind]}_row)"


def _model(name: str) -> str:
    return _fact(Model, name)


def _device(name: str) -> str:
    return _fact(Device, name)


# ------------------------------------------------------------------ the calculation, as pairs of LET


def _work() -> Iterator[tuple[str, str]]:
    """What the model asks for: FLOP, bytes of traffic, bytes held."""
    yield "family", _raw(Model, "family")
    yield "lm", f'{_raw(Model, "unit")}="token"'
    yield "attends", any_of("family", ATTENTION)
    for name in (
        "layers", "hidden", "heads", "kv_heads", "params", "window", "kv_lora_rank", "rope_dim", "active_params",
        "window_layers", "vocab", "experts", "experts_per_token", "expert_params", "state", "activations",
    ):  # fmt: skip
        yield name, _model(name)
    yield "given", _model("flops")
    yield "span", _model("sequence")
    yield "sequence", "MAX(1,span)"
    yield "steps", f"MAX(1,{_model('steps')})"
    yield "own_width", _model("head_dim")
    yield "width", "IF(own_width>0,own_width,IF(heads=0,0,hidden/heads))"
    yield "active", 'IF(OR(family="moe",family="recommendation"),active_params,params)'
    yield "windowed", "IF(window>0,window_layers,0)"
    yield "kv_bytes", f"{_fact(Precision, 'kv_bits')}/8"
    yield "weight_bytes", f"{_fact(Precision, 'weight_bits')}/8"
    yield "weights", "params*weight_bytes"
    yield "tokens", "batch*IF(lm,1,sequence)"
    yield "seen", "(layers-windowed)*length+windowed*MIN(length,window)"
    attention = "IF(attends,2*heads*(2*width+rope_dim)*seen,0)"
    encoder = "2*(params-vocab*hidden)*sequence+4*layers*hidden*sequence*sequence"
    own = f'IF(given>0,given*steps,IF(family="recommendation",2*active,{encoder}))'
    yield "flops", f"IF(lm,2*active+{attention},{own})*batch"
    kept = "IF(kv_lora_rank>0,layers*(kv_lora_rank+rope_dim)*length,2*seen*kv_heads*width)"
    yield "cache", f'batch*IF(AND(attends,lm),{kept}*kv_bytes,IF(family="ssm",state,0))'
    moved = f"{default('activation_traffic')!r}*kv_bytes*layers*hidden*tokens"
    yield "moved", f"IF(activations>0,kv_bytes*activations*batch,{moved})"
    yield "working", "moved*steps"
    yield "layer", "IF(lm,0,moved/MAX(1,layers))"
    yield "rows", f"{_model('touched')}*weight_bytes/4"  # of the embedding, for one query; on record in fp32
    rows = "MIN(weights,rows*tokens+MAX(0,active*weight_bytes-rows))"
    experts = "weight_bytes*(params-expert_params*(1-experts_per_token/experts)^tokens)"
    yield "touched", f'IF(rows>0,{rows},IF(family="moe",{experts},weights))'
    yield "reads", "touched*steps+cache"


def _lacking() -> str:
    """The names of the facts that the model lacks."""
    shaped = 'NOT(lm)*(given=0)*(family<>"recommendation")'
    routed = 'family="moe"'
    needs = {
        "layers": "attends", "heads": "attends", "kv_heads": "attends*lm*(kv_lora_rank=0)", "state": 'family="ssm"',
        "rope_dim": "kv_lora_rank>0", "window_layers": "window>0", "experts": routed, "experts_per_token": routed,
        "expert_params": routed, "active_params": 'OR(family="moe",family="recommendation")', "vocab": shaped,
        "hidden": shaped, "span": shaped, "width": "attends",
    }  # fmt: skip
    words = {"span": "sequence", "width": "head_dim"}
    return "&".join(f'IF(({where})*({name}=0),"{words.get(name, name)} ","")' for name, where in needs.items())


def _held() -> Iterator[tuple[str, str]]:
    """What lies in memory, and the memory that there is."""
    for kind, argument in ROWS.items():
        yield f"{argument}_row", f"MATCH({local(argument)},{TABLES[kind]}[key],0)"
    for name in ("weights", "cache", "layer", "lacks"):
        yield name, _asked_of_work(name)
    yield "footprint", "weights+cache+layer"
    usable = _device("usable")
    yield "room", f"IF({usable}=0,{_device('memory')},{usable})*{1 - default('reserve')!r}"
    yield "shortfall", "MAX(0,footprint-room)"
    yield "fits", "footprint<=room"


def _asked_of_work(name: str) -> str:
    return f"{WORK}(model_row,precision_row,{local('batch')},length,{WORKS.index(name) + 1})"


def _time() -> Iterator[tuple[str, str]]:
    """What the device gives: calibrated rates, the two times, and the software's pace."""
    yield "format", _raw(Precision, "compute")
    rate = f'INDEX({TABLES[Device]},hardware_row,MATCH(format&" (*",{TABLES[Device]}[#Headers],0))'
    peak = unit_of(fields(Device)[DATAPATHS[0]])
    assert peak is not None
    yield "peak", f"N({rate})*{peak.from_face(1.0)!r}"
    for i, name in enumerate(RATES, start=1):
        yield f"calibrated_{name}", f"{CALIBRATED}(model_row,hardware_row,precision_row,{i})"
    given = local("efficiency")
    yield "used", f'IF({given}="",calibrated_compute,{given})'
    fast = _device("sram_bandwidth")
    yield "stream", f"IF(AND({fast}>0,footprint<={_device('sram')}),{fast},{_device('bandwidth')})"
    yield "flops", _asked_of_work("flops")
    yield "traffic", f"{_asked_of_work('reads')}+{_asked_of_work('working')}*calibrated_traffic/{FUSED!r}"
    yield "compute", "flops/(peak*used)"
    yield "away", "MIN(shortfall,traffic)"
    spilled = f"IF(away>0,IFERROR(away/{_device('host_link')},0),0)"  # without a link nothing of this is shown
    yield "memory", f"(traffic-away)/(stream*calibrated_bandwidth)+{spilled}"
    yield "busy", "MAX(compute,memory)"
    launch = f"IF({_device('dispatch')}>0,{_device('dispatch')},{default('dispatch', unit_of(Latency))!r})"
    steps, layers = (f"MAX(1,{_model(name)})" for name in ("steps", "layers"))
    yield "overhead", f"MAX({launch}+{steps}*{layers}*calibrated_layer_overhead,calibrated_floor-busy)"
    yield "latency", "busy+overhead"
    yield "tdp", _device("tdp")


def _calibration() -> Iterator[tuple[str, str]]:
    """The row of the table of efficiencies with the most selectors that hold; one of the regime itself comes first."""
    yield "format", _raw(Precision, "compute")
    digits = 'IF(RIGHT(format,1)="4",4,8)'
    kind = f'IF({_raw(Model, "family")}="cnn","image",IF({_raw(Model, "unit")}="token","decode","encoder"))'
    narrow = f"AND({_raw(Precision, 'weight_only')},{_fact(Precision, 'weight_bits')}<8)"
    now = {
        "regime": f'IF(INDEX({TABLES[Device]}[group],hardware_row)="Tiny","tiny",{kind})',
        "stack": quoted(STACK),
        "generation": f'{_raw(Device, "generation")}&""',
        "datapath": f'IFERROR(IF(VALUE(RIGHT(format,2))>={MATRIX},{MATRIX},{digits}),{digits})&""',
        "weights": f'IF({narrow},"narrow","wide")',
        "memory_class": f'{_raw(Device, "memory_class")}&""',
    }
    held, wanted = [], []
    for name in SELECTORS:
        yield f"now_{name}", now[name]
        column = f"{TABLES[Efficiency]}[{name}]"
        free = f'{column}="any"' if name == "regime" else f'{column}=""'
        held.append(f'((({free})+({column}&""=now_{name}))>0)')
        wanted.append(f"10*({column}=now_{name})" if name == "regime" else f'({column}<>"")')
    yield "score", f"{'*'.join(held)}*(1+{'+'.join(wanted)})"
    for name in RATES:
        unit = unit_of(fields(Efficiency)[name])
        column = f"{TABLES[Efficiency]}[{heading_of(Efficiency, name)}]"
        yield f"score_{name}", f'score*({column}<>"")'
        found = f"INDEX({column},MATCH(MAX(score_{name}),score_{name},0))"
        factor = 1.0 if unit is None else float(unit.from_face(1.0))
        otherwise = {"floor": "0", "traffic": repr(FUSED)}.get(name, "none")
        yield name, f"IF(MAX(score_{name})=0,{otherwise},{found}{'' if factor == 1 else f'*{factor!r}'})"


# ------------------------------------------------------------------ refusals and the answer


def _length_of_options(entry: Entry) -> list[tuple[str, str]]:
    """The context's length: the one option that the LAMBDA reads."""
    option = next(p for p in entry.params if p.name == "seq_len")
    text = f'SUBSTITUTE({local("options")}," ","")'
    given = f'IF(LEFT({text},8)="seq_len=",INT(VALUE(MID({text},9,20))),none)'
    return [("length", f'IF({local("options")}="",{float(option.default)!r},{given})')]


def _lambda(entry: Entry, pairs: list[tuple[str, str]], answers: dict[str, str]) -> str:
    """Arguments, rows, refusals in the order in which Python finds them, and the metric that was asked for."""
    params = excel_params(entry)
    where, metric = f"{REFUSED}{entry.excel}: ", local("metric")
    misfit = f'"{REFUSED}does not fit: needs "&ROUND(footprint/1E9,3)&" GB, usable "&ROUND(room/1E9,3)&" GB"'
    text = quoted(f"{where}no such metric here; the add-in has ranges, and all at once")
    for name, formula in reversed(answers.items()):
        text = f'IF(asked="{name}",{_face(entry, name, formula)},{text})'
    unknown = quoted(f"{where}a fact that this needs is not on record")
    pairs = [
        *pairs, ("asked", f'IF({metric}="","{next(iter(answers))}",{metric})'), ("misfit", misfit), ("answer", text),
        ("result", f"IF(ISERROR(answer),{unknown},answer)"),
    ]  # fmt: skip
    for i, test in enumerate(_tests(entry, "peak" in dict(pairs))):  # from the last to the first
        pairs.append((f"checked_{i}", test(pairs[-1][0])))
    return let(params, [], one_cell(entry.excel, params, _bound(pairs[:-1], pairs[-1][1])))


def _face(entry: Entry, name: str, formula: str) -> str:
    """A metric in face units; of a plan that does not fit only what stays true of it."""
    unit = unit_of(entry.metrics[name])
    factor = 1.0 if unit is None else float(unit.to_face(1.0))
    shown = formula if factor == 1 else f"({formula})*{factor!r}"
    return shown if survives(name, entry.metrics[name]) else f"IF(fits,{shown},misfit)"


def _tests(entry: Entry, timed: bool) -> Iterator[Callable[[str], str]]:
    """Each takes what is answered where its test passes; the one that Python finds first comes last."""
    where = f"{REFUSED}{entry.excel}: "
    if timed:
        rate = f"{quoted(f'{where}this device has no ')}&format&{quoted(' rate on record')}"
        yield lambda then: f"IF(peak=0,{rate},{then})"
    lacks = f"{quoted(f'{where}this model lacks ')}&lacks"
    yield lambda then: f'IF(lacks<>"",{lacks},{then})'
    options = "ISERROR(length)+IFERROR(length<1,0)" if timed else f'{local("options")}<>""'
    but = quoted(f"{where}options need the add-in{', all but seq_len = <number>' if timed else ''}")
    yield lambda then: f"IF({options},{but},{then})"
    training = local("training")
    wrong = quoted(f"{where}training needs the add-in, and is TRUE or FALSE")
    yield lambda then: f'IF(IF({training}="",FALSE,IF(ISLOGICAL({training}),{training},TRUE)),{wrong},{then})'
    for param in (p for p in excel_params(entry) if p.unit is not None):
        cell = local(param.name)
        if param.default is None:  # blank: read from a table
            yield lambda then, p=param, c=cell: f'IF(IF(ISERROR({c}),TRUE,{c}<>""),{faults(entry, [p], then)},{then})'  # type: ignore[misc]
        else:
            yield lambda then, p=param: faults(entry, [p], then)  # type: ignore[misc]
    for argument in reversed(ROWS.values()):
        row = f"{quoted(f'{where}{argument} has no row ')}&{local(argument)}"
        yield lambda then, a=argument, r=row: f"IF(ISERROR({a}_row),{r},{then})"  # type: ignore[misc]


def _helper(arguments: tuple[str, ...], pairs: list[tuple[str, str]], result: str) -> str:
    names = {name: local(name) for name in arguments}
    return f"_xlfn.LAMBDA({','.join(names.values())},{_bound(pairs, result, names)})"


def _bound(pairs: list[tuple[str, str]], result: str, arguments: Mapping[str, str] | None = None) -> str:
    """The LET of `pairs`: names of the calculation as LET spells them; words in quotes and columns of tables stay."""
    names = {name: local(name) for name, _ in pairs} | {"none": "NA()"} | dict(arguments or {})
    token = r'"(?:[^"]|"")*"|\[[^\]]*\]|[A-Za-z_][\w.]*\(?'

    def spelled(text: str) -> str:
        return re.sub(token, lambda m: names.get(m[0], m[0]), text)

    return f"_xlfn.LET({','.join(f'{names[n]},{spelled(t)}' for n, t in pairs)},{spelled(result)})"
