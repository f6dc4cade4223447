"""The functions for an Excel that has no Python: LAMBDAs under the same names, made from the same sources.

Every closed form comes from its Python source through `formula`; `MLS_GET` and `MLS_KVCACHE` read the registry tables
of the workbook.  Blanks are defaults, ranges are legal or refused by name, as in Python; what only Python does
(ranges as arguments, text with units, other spellings of a key) is refused with a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlsysim.catalogue import CATALOGUE, Entry, Param
from mlsysim.solvers.workload import ATTENTION
from mlsysim.tables import is_table
from mlsysim.units import unit_of
from udfs.cells import REFUSED
from udfs.tools import REGISTRIES

from .formula import NoNativeForm, native, range_tests
from .sheets.registries import TABLES

LONGEST = 8192  # characters of a formula, in a name too
ANSWER = "_xlpm.answer"


def lambdas() -> dict[str, str]:
    """Excel name and LAMBDA of every function that has one, as a workbook stores them."""
    found = {"MLS_GET": _get(), CATALOGUE["kvcache"].excel: _kvcache(CATALOGUE["kvcache"])}
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


# ------------------------------------------------------------------ parts


def _local(name: str) -> str:
    """A name inside the LAMBDA; the underscore keeps it from looking like a cell."""
    return f"_xlpm.{name}_"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _declared(params: Sequence[Param]) -> list[str]:
    return [f"{'_xlpm' if p.required else '_xlop'}.{p.name}" for p in params]


def _bound(param: Param) -> str:
    """`name, value` for LET: the argument, or its default where it is left out or blank."""
    given = f"_xlpm.{param.name}"
    if param.required:
        return f"{_local(param.name)},{given}"
    unit = param.unit
    default = _quoted(str(param.default)) if unit is None else repr(float(unit.to_face(param.default)))
    return (
        f'{_local(param.name)},IF(_xlfn.ISOMITTED({given}),{default},IF(ISERROR({given}),{given},IF({given}="",{default},'
        f"{given})))"
    )


def _let(params: Sequence[Param], more: Sequence[str], result: str) -> str:
    bound = [_bound(p) for p in params]
    return f"_xlfn.LAMBDA({','.join(_declared(params))},_xlfn.LET({','.join([*bound, *more])},{result}))"


def _one_cell(name: str, params: Sequence[Param], then: str) -> str:
    """Ranges are refused: the native form would fold them into one number."""
    size = "*".join(f"ROWS({_local(p.name)})*COLUMNS({_local(p.name)})" for p in params)
    return (
        f"IF({size}>1,{_quoted(f'{REFUSED}{name}: one cell for each argument; MAP takes it through a range')},{then})"
    )


def _faults(entry: Entry, params: Sequence[Param], last: str) -> str:
    """The sentence on the first argument that is no legal number, else `last`."""
    text = last
    for param in reversed(params):
        unit, cell = param.unit, _local(param.name)
        if unit is None:
            continue
        where = f"{REFUSED}{entry.excel}: {param.name}"
        tail = f"&{_quoted(f' {unit.face}')}" if unit.face else ""
        illegal = f"{_quoted(f'{where} must be {unit.legal}, got ')}&{cell}{tail}"
        tests = [*range_tests(cell, unit), *([f"{cell}=INT({cell})"] if unit.whole else [])]
        inside = f"IF(AND({','.join(tests)}),{text},{illegal})" if tests else text
        empty, words = _quoted(f"{where} is empty"), _quoted(f"{where} must be a number")
        blank = f'IF({cell}="",{empty},{words})'
        text = f"IF(ISERROR({cell}),{_quoted(f'{where} holds an error')},IF(ISNUMBER({cell}),{inside},{blank}))"
    return text


# ------------------------------------------------------------------ functions


def _closed_form(entry: Entry) -> str:
    if any(p.unit is None for p in entry.params):
        raise NoNativeForm(f"{entry.name} takes words")
    formula = native(entry, {p.name: _local(p.name) for p in entry.params}).removeprefix("=")
    last = _quoted(f"{REFUSED}{entry.excel}: these figures together have no answer")
    unit, answer = unit_of(entry.returns), ANSWER
    if unit is not None and math.isfinite(unit.low):
        low = f"{unit.to_face(unit.low):g}"
        below = f"{REFUSED}{entry.excel}: the result comes out below {low}: facts contradict each other"
        answer = f"IF({ANSWER}<{low},{_quoted(below)},{ANSWER})"
    result = f"IF(ISNUMBER({ANSWER}),{answer},{_faults(entry, entry.params, last)})"
    return _let(entry.params, [], _one_cell(entry.excel, entry.params, f"_xlfn.LET({ANSWER},{formula},{result})"))


def _get() -> str:
    """One fact: the row by its key, the column by its heading, with or without a unit."""
    registry, key, field, refused = "_xlpm.registry", "_xlpm.key", "_xlpm.field", f"{REFUSED}MLS_GET: "
    shown = {r.name: TABLES[r.kind] for r in REGISTRIES if r.kind in TABLES}
    place = _quoted(f"{refused}registry must be one of {', '.join(shown)}")
    missing = f"{_quoted(refused + 'no row ')}&{key}&{_quoted(' with a column ')}&{field}"
    blank = f"{_quoted(refused)}&{key}&{_quoted(' has no ')}&{field}&{_quoted(' on record')}"
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
    model, precision, length, batch = (_local(p) for p in ("model", "precision", "seq_len", "batch"))

    def of(name: str) -> str:
        return f"INDEX(tblModels[{name}],_xlpm.row_)"

    each = f"{batch}*INDEX(tblPrecisions[kv_bits],_xlpm.format_)/8"
    width = f"IF(N({of('head_dim')})=0,{of('hidden')}/{of('heads')},{of('head_dim')})"
    seen = f"IF(N({of('window')})>0,{of('window_layers')}*MIN({length},{of('window')}),0)"
    whole = f"({of('layers')}-N({of('window_layers')}))*{length}"
    grouped = f"2*({whole}+{seen})*{of('kv_heads')}*{width}*{each}"
    latent = f"{of('layers')}*({of('kv_lora_rank')}+{of('rope_dim')})*{length}*{each}"
    decoder = "AND(" + _any(of("family"), ATTENTION) + f',{of("unit")}="token")'
    none = _quoted(f"{REFUSED}{entry.excel}: this model is no decoder and keeps no key-value cache")
    cache = f"IF({decoder},IF(N({of('kv_lora_rank')})>0,{latent},{grouped})/1000000000,{none})"
    size = f'IF({of("family")}="ssm",{of("state (GB)")}*{batch},{cache})'
    lookups = [
        f"_xlpm.row_,MATCH({model},tblModels[key],0)",
        f"_xlpm.format_,MATCH({precision},tblPrecisions[key],0)",
    ]
    unknown = "".join(
        f"IF(ISERROR({row}),{_quoted(f'{REFUSED}{entry.excel}: {name} has no row ')}&{_local(name)},"
        for name, row in (("model", "_xlpm.row_"), ("precision", "_xlpm.format_"))
    )
    checked = f"_xlfn.LET({','.join(lookups)},{unknown}{_faults(entry, params, size)})))"
    return _let(params, [], _one_cell(entry.excel, params, checked))


def _any(cell: str, words: Sequence[str]) -> str:
    return "OR(" + ",".join(f'{cell}="{word}"' for word in words) + ")"
