"""Physics: the cheat sheet's equations as native formulas, made from the Python source, beside the engine's answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openpyxl import Workbook

from mlsysim import CATALOGUE
from mlsysim.catalogue import Entry
from mlsysim.registry import sources
from mlsysim.units import unit_of

from ..formula import native
from ..style import FINE, block_title, fit_height, heading, page, put, put_text

TOP = 5
# the sheet's five equations and the iron law, each with the inputs its block starts from, in face units
CASES: dict[str, dict[str, float]] = {
    "ironlaw": {"flops": 3.15e23, "devices": 1024, "peak": 312, "mfu": 0.4, "scaling": 0.9, "goodput": 0.95},
    "roofline_time": {
        "flops": 16.06e9,
        "traffic": 16.06,
        "peak": 989,
        "bandwidth": 3350,
        "efficiency": 1,
        "bandwidth_efficiency": 1,
    },
    "kv_size": {"layers": 32, "kv_heads": 8, "head_dim": 128, "seq_len": 4096, "batch": 32, "bytes_per_value": 2},
    "allreduce": {"workers": 8, "message": 1, "bandwidth": 450, "latency": 1},
    "chinchilla_params": {"budget": 5.76e23, "tokens_per_param": 20},
    "chinchilla_tokens": {"budget": 5.76e23, "tokens_per_param": 20},
    "train_flops": {"params": 70e9, "tokens": 1.4e12},
    "carbon": {"energy": 1000000, "pue": 1.1, "intensity": 400},
}


@dataclass(frozen=True, slots=True)
class Twin:
    """One equation twice: where its native answer stands, and the engine formula to compare."""

    name: str
    title: str
    unit: str
    number_format: str
    answer: str  # address on Physics
    live: str  # formula for Engine_Live


def twins() -> list[Twin]:
    """The equations on the sheet with their places; the layout is the same for every block."""
    out, row = [], TOP
    for name, inputs in CASES.items():
        entry = CATALOGUE[name]
        cells = _cells(row, inputs)
        arguments = ",".join(f"Physics!{cells[p.name]}" for p in entry.params)
        unit = unit_of(entry.returns)
        answer = f"$B${row + 1 + len(inputs)}"
        face = unit.face if unit else ""
        out.append(Twin(name, entry.summary, face, _format(entry, inputs), answer, f"={entry.excel}({arguments})"))
        row += len(inputs) + 4
    return out


def _format(entry: Entry, inputs: Mapping[str, float]) -> str:
    """Plain figures up to a billion, powers of ten beyond."""
    base = {p.name: p.unit.from_face(inputs[p.name]) if p.unit else inputs[p.name] for p in entry.params}
    unit, value = unit_of(entry.returns), entry.call(**base)
    return FINE if (unit.to_face(value) if unit else value) < 1e9 else "0.0000E+00"


def _cells(row: int, inputs: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"$B${row + 1 + i}" for i, name in enumerate(inputs)}


def add_physics(book: Workbook, live_rows: Mapping[str, int]) -> None:
    """The Physics sheet; `live_rows` says where Engine_Live holds each answer."""
    sheet = book.create_sheet("Physics")
    widths = dict(zip("ABCDEF", (44, 18, 14, 18, 18, 70), strict=True))
    page(sheet, "Physics", "Native formulas made from the engine's own source; change the yellow cells.", widths)
    heading(sheet, 4, ["Equation and inputs", "Native", "Unit", "Engine", "Relative difference", "Formula and source"])
    row = TOP
    for name, inputs in CASES.items():
        entry = CATALOGUE[name]
        block_title(sheet, row, entry.summary, 6)
        put(sheet, f"F{row}", "; ".join(sources()[c].title for c in entry.cites), "mls note")
        cells = _cells(row, inputs)
        for param in entry.params:
            at = cells[param.name].replace("$", "")
            put(sheet, f"A{at[1:]}", param.text, "mls wrapped")
            fit_height(sheet, int(at[1:]))
            put(sheet, at, inputs[param.name], "mls input", "0.0000E+00" if inputs[param.name] >= 1e9 else "General")
            put(sheet, f"C{at[1:]}", param.unit.face if param.unit else "", "mls unit")
        answer = row + 1 + len(inputs)
        _answer(sheet, answer, entry, cells, live_rows[name])
        row += len(inputs) + 4
    sheet.print_title_rows = "4:4"
    sheet.print_area = f"A1:F{row - 3}"


def _answer(sheet: Any, row: int, entry: Entry, cells: Mapping[str, str], live: int) -> None:
    unit = unit_of(entry.returns)
    formula, number_format = native(entry, cells), _format(entry, CASES[entry.name])
    put(sheet, f"A{row}", entry.excel, "mls total")
    put(sheet, f"B{row}", formula, "mls total", number_format)
    put(sheet, f"C{row}", unit.face if unit else "", "mls unit")
    put(sheet, f"D{row}", f"=Engine_Live!$D${live}", "mls link", number_format)
    put(sheet, f"E{row}", f"=IF(D{row}=0,B{row},ROUND(B{row}/D{row}-1,12))", "mls formula", "0.0E+00")
    put_text(sheet, f"F{row}", formula, "mls note")
    fit_height(sheet, row)


def difference_cells() -> list[str]:
    """Addresses of the relative differences, for Checks."""
    return [t.answer.replace("$B$", "E") for t in twins()]
