"""The functions for an Excel that has no Python: LAMBDAs under the same names, made from the same sources.

Every closed form comes from its Python source through `formula`; `MLS_GET` and `MLS_KVCACHE` read the registry tables
of the workbook.  Blanks are defaults, ranges are legal or refused by name, as in Python; what only Python does
(ranges as arguments, text with units, other spellings of a key) is refused with a sentence.
"""

from __future__ import annotations

import math

from mlsysim import CATALOGUE
from mlsysim.catalogue import Entry
from mlsysim.solvers.workload import ATTENTION
from mlsysim.tables import is_table
from mlsysim.units import unit_of
from udfs.cells import REFUSED
from udfs.tools import REGISTRIES

from .formula import NoNativeForm, native
from .lambdas_device import helpers, memory, roofline
from .lambdas_parts import any_of, faults, let, local, one_cell, quoted
from .sheets.registries import TABLES

LONGEST = 8192  # characters of a formula, in a name too
ANSWER = "_xlpm.answer"


def lambdas() -> dict[str, str]:
    """Excel name and LAMBDA of every function that has one, as a workbook stores them."""
    found = {"MLS_GET": _get(), **helpers()}
    for name, make in {"kvcache": _kvcache, "memory": memory, "roofline": roofline}.items():
        found[CATALOGUE[name].excel] = make(CATALOGUE[name])
    for entry in CATALOGUE.values():
        if entry.metrics or is_table(entry):
            continue
        try:
            found[entry.excel] = _closed_form(entry)
        except NoNativeForm:
            continue
    too_long = [name for name, text in found.items() if len(text) >= LONGEST]
    if too_long:
        raise NoNativeForm(f"longer than a name may be: {', '.join(too_long)}")
    return dict(sorted(found.items()))


# ------------------------------------------------------------------ functions


def _closed_form(entry: Entry) -> str:
    if any(p.unit is None for p in entry.params):
        raise NoNativeForm(f"{entry.name} takes words")
    formula = native(entry, {p.name: local(p.name) for p in entry.params}).removeprefix("=")
    last = quoted(f"{REFUSED}{entry.excel}: these figures together have no answer")
    unit, answer = unit_of(entry.returns), ANSWER
    if unit is not None and math.isfinite(unit.low):
        low = f"{unit.to_face(unit.low):g}"
        below = f"{REFUSED}{entry.excel}: the result comes out below {low}: facts contradict each other"
        answer = f"IF({ANSWER}<{low},{quoted(below)},{ANSWER})"
    result = f"IF(ISNUMBER({ANSWER}),{answer},{faults(entry, entry.params, last)})"
    return let(entry.params, [], one_cell(entry.excel, entry.params, f"_xlfn.LET({ANSWER},{formula},{result})"))


def _get() -> str:
    """One fact: the row by its key, the column by its heading, with or without a unit."""
    registry, key, field, refused = "_xlpm.registry", "_xlpm.key", "_xlpm.field", f"{REFUSED}MLS_GET: "
    shown = {r.name: TABLES[r.kind] for r in REGISTRIES if r.kind in TABLES}
    place = quoted(f"{refused}registry must be one of {', '.join(shown)}")
    missing = f"{quoted(refused + 'no row ')}&{key}&{quoted(' with a column ')}&{field}"
    blank = f"{quoted(refused)}&{key}&{quoted(' has no ')}&{field}&{quoted(' on record')}"
    for name, table in reversed(shown.items()):
        column = f'IFERROR(MATCH({field},{table}[#Headers],0),MATCH({field}&" (*",{table}[#Headers],0))'
        cell = f"INDEX({table},_xlpm.row_,_xlpm.column_)"
        fact = f"IF(ISERROR(_xlpm.row_+_xlpm.column_),{missing},IF(LEN({cell})=0,{blank},{cell}))"
        found = f"_xlfn.LET(_xlpm.row_,MATCH({key},{table}[key],0),_xlpm.column_,{column},{fact})"
        place = f'IF({registry}="{name}",{found},{place})'
    return f"_xlfn.LAMBDA({registry},{key},{field},{place})"


def _kvcache(entry: Entry) -> str:
    """Latent, windowed or grouped-query attention, or a state, as the row of the model says."""
    params = [p for p in entry.params if not p.is_option]
    model, precision, length, batch = (local(p) for p in ("model", "precision", "seq_len", "batch"))

    def of(name: str) -> str:
        return f"INDEX(tblModels[{name}],_xlpm.row_)"

    each = f"{batch}*INDEX(tblPrecisions[kv_bits],_xlpm.format_)/8"
    width = f"IF(N({of('head_dim')})=0,{of('hidden')}/{of('heads')},{of('head_dim')})"
    seen = f"IF(N({of('window')})>0,{of('window_layers')}*MIN({length},{of('window')}),0)"
    whole = f"({of('layers')}-N({of('window_layers')}))*{length}"
    grouped = f"2*({whole}+{seen})*{of('kv_heads')}*{width}*{each}"
    latent = f"{of('layers')}*({of('kv_lora_rank')}+{of('rope_dim')})*{length}*{each}"
    decoder = "AND(" + any_of(of("family"), ATTENTION) + f',{of("unit")}="token")'
    none = quoted(f"{REFUSED}{entry.excel}: this model is no decoder and keeps no key-value cache")
    cache = f"IF({decoder},IF(N({of('kv_lora_rank')})>0,{latent},{grouped})/1000000000,{none})"
    size = f'IF({of("family")}="ssm",{of("state (GB)")}*{batch},{cache})'
    lookups = [
        f"_xlpm.row_,MATCH({model},tblModels[key],0)",
        f"_xlpm.format_,MATCH({precision},tblPrecisions[key],0)",
    ]
    unknown = "".join(
        f"IF(ISERROR({row}),{quoted(f'{REFUSED}{entry.excel}: {name} has no row ')}&{local(name)},"
        for name, row in (("model", "_xlpm.row_"), ("precision", "_xlpm.format_"))
    )
    checked = f"_xlfn.LET({','.join(lookups)},{unknown}{faults(entry, params, size)})))"
    return let(params, [], one_cell(entry.excel, params, checked))
