"""The LAMBDAs of the workbook without Python, in an independent engine (ironcalc) against the Python functions."""

from __future__ import annotations

import math
import re
import zipfile
from pathlib import Path
from typing import Any

import ironcalc
import numpy as np
import openpyxl
import pytest
from openpyxl.utils import get_column_letter, range_boundaries
from openpyxl.workbook.defined_name import DefinedName

from mlsysim import CATALOGUE
from mlsysim.catalogue import Entry
from mlsysim.things import HARDWARE, MODELS, PRECISIONS
from mlsysim.units import Unit
from udfs import FUNCTIONS
from udfs.arguments import BAND
from udfs.cells import REFUSED
from udfs.examples import examples
from workbook.lambdas import lambdas
from workbook.sheets.registries import add_registries
from workbook.style import add_styles

LAMBDAS = lambdas()
OVER_TABLES = {"MLS_GET", "MLS_KVCACHE", "MLS_MEMORY", "MLS_ROOFLINE"}
CLOSED: list[Entry] = [e for e in CATALOGUE.values() if e.excel in LAMBDAS.keys() - OVER_TABLES]
REL = 1e-11  # ironcalc and numpy sum and raise to powers in their own order
ROWS = 12


def plain_references(text: str, book: openpyxl.Workbook) -> str:
    """References to tables as areas: ironcalc does not read them inside a name."""
    tables = {t.displayName: (s, t) for s in book.worksheets for t in s.tables.values()}

    def area(match: re.Match[str]) -> str:
        sheet, table = tables[match[1]]
        left, top, right, bottom = range_boundaries(table.ref)
        if match[2] == "[#Headers]":
            bottom = top
        else:
            top += 1
            if match[2]:
                names = [c.name for c in table.tableColumns]
                left = right = left + names.index(match[2][1:-1])
        return f"{sheet.title}!${get_column_letter(left)}${top}:${get_column_letter(right)}${bottom}"

    return re.sub(r"\b(tbl[A-Za-z]+)(\[[^\]]*\])?", area, text)


def answers(calls: list[tuple[str, list[Any]]], folder: Path) -> list[Any]:
    """What the LAMBDAs answer, each argument in a cell of its own; a missing one is left out."""
    book = openpyxl.Workbook()
    add_styles(book)
    sheet = book.active
    assert sheet is not None
    sheet.title = "Calls"
    add_registries(book)
    for name, text in LAMBDAS.items():
        book.defined_names[name] = DefinedName(name, attr_text=plain_references(text, book))
    for r, (name, arguments) in enumerate(calls, start=1):
        places = []
        for c, value in enumerate(arguments, start=2):
            cell = sheet.cell(r, c, value)
            if isinstance(value, str) and value.startswith("="):
                cell.data_type = "f"
            places.append(cell.coordinate)
        sheet.cell(r, 1, f"={name}({','.join(places)})")
    book.save(folder / "draft.xlsx")
    with zipfile.ZipFile(folder / "draft.xlsx") as draft, zipfile.ZipFile(folder / "calls.xlsx", "w") as calls_file:
        for part in draft.namelist():  # ironcalc takes an empty cell of type "n" for 0
            calls_file.writestr(part, re.sub(rb'(<c [^>]*) t="n"(?: ?/>|></c>)', rb"\1/>", draft.read(part)))
    model = ironcalc.load_from_xlsx(str(folder / "calls.xlsx"), "en", "UTC", "en")
    model.evaluate()
    return [model.get_cell_value(0, r, 1) for r in range(1, len(calls) + 1)]


def alike(seen: Any, right: Any) -> bool:
    """The same number or word; where Python refuses, a sentence or an error."""
    if isinstance(right, str) and right.startswith(REFUSED):
        return isinstance(seen, str) and seen.startswith("#")
    if isinstance(right, float):
        return isinstance(seen, (int, float)) and math.isclose(float(seen), right, rel_tol=REL, abs_tol=1e-300)
    return bool(seen == right)


def compare(calls: list[tuple[str, list[Any]]], folder: Path) -> int:
    """Every call in both; how many were answered with a number or a word."""
    seen, answered, wrong = answers(calls, folder), 0, []
    for (name, arguments), value in zip(calls, seen, strict=True):
        right = FUNCTIONS[name](*arguments)
        answered += not (isinstance(right, str) and right.startswith(REFUSED))
        if not alike(value, right):
            wrong.append(f"{name}{arguments}: {value!r}, Python {right!r}")
    assert not wrong, "\n".join([f"{len(wrong)} of {len(calls)} differ", *wrong[:20]])
    return answered


def legal(unit: Unit, rng: np.random.Generator) -> float:
    """A figure in face units that the argument takes, of a size that people use."""
    low, high = max(float(unit.to_face(unit.low)), 1e-3), min(float(unit.to_face(unit.high)), 1e6)
    value = float(np.exp(rng.uniform(math.log(low), math.log(max(high, low)))))
    value = max(float(round(value)), 1.0) if unit.whole else float(f"{value:.6g}")
    return min(max(value, float(unit.to_face(unit.low))), float(unit.to_face(unit.high)))


def test_nearly_every_closed_form_has_one() -> None:
    without = {e.excel for e in CATALOGUE.values() if e.group == "Equations"} - LAMBDAS.keys()
    assert without == set()
    assert LAMBDAS.keys() > OVER_TABLES


def test_excel_takes_them() -> None:
    """Limits of a name: its length, the depth of calls, and parameters that are no cells."""
    for name, text in LAMBDAS.items():
        assert len(text) < 8192, name
        assert max(len(t) for t in re.findall(r'"((?:[^"]|"")*)"', text)) <= 255, name
        deepest = level = 0
        for character in re.sub(r'"(?:[^"]|"")*"', "", text):
            level += {"(": 1, ")": -1}.get(character, 0)
            deepest = max(deepest, level)
        assert level == 0
        assert deepest <= 64, (name, deepest)
        for argument in re.findall(r"_xl[po][mp]\.(\w+)", text):
            assert not re.fullmatch(r"[A-Za-z]{1,3}\d+|[rcRC]", argument), (name, argument)


def test_examples_and_legal_figures(tmp_path: Path) -> None:
    """Figures over the whole range that people use, optional arguments given, left out and blank."""
    rng = np.random.default_rng(7)
    calls: list[tuple[str, list[Any]]] = []
    for entry in CLOSED:
        units = [p.unit for p in entry.params]
        required = sum(p.required for p in entry.params)
        for k in range(ROWS):
            full = [legal(u, rng) for u in units if u]
            given = full[:required] if k % 4 == 1 else full
            calls.append((entry.excel, [None if k % 4 == 2 and i >= required else v for i, v in enumerate(given)]))
    assert compare(calls, tmp_path) > len(calls) * 0.8


def test_what_is_illegal_is_refused(tmp_path: Path) -> None:
    """Text, blanks, TRUE, errors, and figures below, at and above the limits, each argument in turn."""
    rng = np.random.default_rng(8)
    calls: list[tuple[str, list[Any]]] = []
    for entry in CLOSED:
        good = [legal(p.unit, rng) for p in entry.params if p.unit]
        for i, param in enumerate(entry.params):
            unit = param.unit
            assert unit is not None
            odd: list[Any] = ["twelve", True, -1e30, 1e200, float(unit.to_face(unit.low))]
            odd += [None] if param.required else []
            odd += [1.5] if unit.whole else []
            calls += [(entry.excel, [*good[:i], value, *good[i + 1 :]]) for value in odd]
    compare(calls, tmp_path)


def test_refusals_name_function_argument_and_range(tmp_path: Path) -> None:
    calls: list[tuple[str, list[Any]]] = [
        ("MLS_KV_SIZE", [32.0, 8.0, 128.0, 4096.0, 0.0]),
        ("MLS_RIDGE_POINT", [None, 3350.0]),
        ("MLS_RIDGE_POINT", ["=1/0", 3350.0]),
        ("MLS_KVCACHE", ["Lama3_8B", 4096.0]),
        ("MLS_KVCACHE", ["ResNet50", 4096.0]),
        ("MLS_KVCACHE", ["Llama3_8B", -1.0]),
        ("MLS_GET", ["hardware", "H999", "memory"]),
        ("MLS_GET", ["hardware", "T4", "fp8"]),
        ("MLS_GET", ["hardwear", "T4", "fp16"]),
    ]
    found = answers(calls, tmp_path)
    assert found[0] == FUNCTIONS["MLS_KV_SIZE"](32.0, 8.0, 128.0, 4096.0, 0.0)
    assert found[1] == "#MLS! MLS_RIDGE_POINT: peak is empty"
    assert found[2] == "#MLS! MLS_RIDGE_POINT: peak holds an error"
    assert found[3] == "#MLS! MLS_KVCACHE: model has no row Lama3_8B"
    assert "no decoder" in found[4]
    assert "seq_len must be" in found[5]
    assert found[6] == "#MLS! MLS_GET: no row H999 with a column memory"
    assert found[7] == "#MLS! MLS_GET: T4 has no fp8 on record"
    assert found[8].startswith("#MLS! MLS_GET: registry must be one of hardware, models")


def test_cache_of_every_model(tmp_path: Path) -> None:
    calls: list[tuple[str, list[Any]]] = []
    for key in MODELS:
        calls += [("MLS_KVCACHE", [key, 4096.0, 32.0]), ("MLS_KVCACHE", [key, 777.0, 3.0, "fp8"])]
    calls += [("MLS_KVCACHE", ["Llama3_8B", 131072.0, 1.0, key]) for key in PRECISIONS]
    assert compare(calls, tmp_path) > 100


METRICS = {
    name: [m for m in FUNCTIONS[name].entry.metrics if not m.endswith(BAND)]  # type: ignore[union-attr]
    for name in ("MLS_MEMORY", "MLS_ROOFLINE")
}


def test_memory_and_roofline_of_every_model_and_device(tmp_path: Path) -> None:
    """All models on three chips; all devices with a dense, a routed and an image model; metrics in turn."""
    calls: list[tuple[str, list[Any]]] = []
    for i, key in enumerate(MODELS):
        for name, metrics in METRICS.items():
            for j, device in enumerate(("H100", "T4", "nRF52840")):
                calls.append((name, [key, device, metrics[(i + j) % len(metrics)], float(1 + 7 * (i % 3))]))
    for i, key in enumerate(HARDWARE):
        for j, model in enumerate(("Llama3_8B", "Mixtral_8x7B", "ResNet50")):
            for name, metrics in METRICS.items():
                calls.append((name, [model, key, metrics[(i + j) % len(metrics)], 4.0, "int8" if j == 2 else None]))
            calls.append(("MLS_ROOFLINE", [model, key, "latency", 8.0]))
    assert compare(calls, tmp_path) > len(calls) / 3


def test_memory_and_roofline_in_every_format_and_metric(tmp_path: Path) -> None:
    calls: list[tuple[str, list[Any]]] = []
    for precision in PRECISIONS:
        for device in ("H100", "B200", "MI300X", "RTX4090", "T4", "iPhone15Pro"):
            calls.append(("MLS_ROOFLINE", ["Llama3_8B", device, None, 1.0, precision]))
            calls.append(("MLS_ROOFLINE", ["MobileNetV2", device, "latency", 64.0, precision]))
        calls.append(("MLS_MEMORY", ["Mistral_7B", "H100", "total", 4.0, 32768.0, precision]))
    for metric in METRICS["MLS_ROOFLINE"]:
        calls.append(("MLS_ROOFLINE", ["Llama3_8B", "H100", metric, 32.0, "fp8", 0.5, False, "seq_len = 8192"]))
        calls.append(("MLS_ROOFLINE", ["Llama3_70B", "H100", metric]))
    for metric in METRICS["MLS_MEMORY"]:
        calls.append(("MLS_MEMORY", ["Llama3_70B", "H100", metric, 2.0, 8192.0, "fp8"]))
    assert compare(calls, tmp_path) > len(calls) * 0.6


def test_memory_and_roofline_refuse(tmp_path: Path) -> None:
    """What only the add-in does, and what nobody can answer."""
    model, device = "Llama3_8B", "H100"
    odd: list[tuple[str, list[Any], str]] = [
        ("MLS_ROOFLINE", ["Llama9", device], "model has no row Llama9"),
        ("MLS_ROOFLINE", [model, "H999"], "hardware has no row H999"),
        ("MLS_ROOFLINE", [model, device, "latncy"], "no such metric"),
        ("MLS_ROOFLINE", [model, device, None, 0.5], "batch must be a whole number"),
        ("MLS_ROOFLINE", [model, device, None, 1.0, "fp17"], "precision has no row fp17"),
        ("MLS_ROOFLINE", [model, "A100", None, 1.0, "fp8"], "no fp8 rate on record"),
        ("MLS_ROOFLINE", [model, device, None, 1.0, "fp8", 1.5], "efficiency must be"),
        ("MLS_ROOFLINE", [model, device, None, 1.0, "fp8", 0.5, True], "training needs the add-in"),
        ("MLS_ROOFLINE", [model, device, None, 1.0, "fp8", 0.5, "no"], "training needs the add-in"),
        ("MLS_ROOFLINE", [model, device, None, 1.0, "fp8", 0.5, False, "stack = framework"], "options need the add-in"),
        ("MLS_ROOFLINE", [model, device, None, 1.0, "fp8", 0.5, False, "seq_len = 0"], "options need the add-in"),
        ("MLS_ROOFLINE", ["Llama3_70B", device, "latency"], "does not fit: needs 141"),
        ("MLS_ROOFLINE", ["=1/0", device], ""),
        ("MLS_MEMORY", [model, device, "total", 1.0, 4096.0, "fp16", False, "tp = 2"], "options need the add-in"),
        ("MLS_MEMORY", [model, device, "total", 1.0, 4096.0, "fp16", True], "training needs the add-in"),
    ]
    found = answers([(name, arguments) for name, arguments, _ in odd], tmp_path)
    for (name, arguments, words), cell in zip(odd, found, strict=True):
        assert str(cell).startswith("#"), (name, arguments, cell)
        assert words in str(cell), (name, arguments, cell)


@pytest.mark.parametrize("field", ["title", "memory", "bandwidth", "tdp", "fp16", "fp8", "link"])
def test_facts_of_every_device(field: str, tmp_path: Path) -> None:
    assert compare([("MLS_GET", ["hardware", key, field]) for key in HARDWARE], tmp_path) > 20


def test_examples_of_the_help(tmp_path: Path) -> None:
    """The example of every function that has a LAMBDA, as it is printed."""
    wanted = {name: text for name, text in examples().items() if name in LAMBDAS and "/12" not in text}
    calls: list[tuple[str, list[Any]]] = []
    for name, text in wanted.items():
        inner = text[text.index("(") + 1 : -1]
        cells = [part.strip() for part in inner.split(",")] if inner else []
        calls.append((name, [c.strip('"') if c.startswith('"') else float(c) for c in cells]))
    assert compare(calls, tmp_path) == len(calls) > 30
