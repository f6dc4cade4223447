"""Workbooks for the tests of refresh: one of an older version, one full of a user's own things, one as Excel saves."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable, Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree
from openpyxl.utils.cell import get_column_letter

from mlsysim.things import FLEETS, GRIDS, HARDWARE, MODELS, NODES, PRICES, SITES
from workbook.caches import SheetCells, set_value
from workbook.cells import Grid, read_grids, walk
from workbook.package import Package, Table, main, open_package
from workbook.sheets.registries import TABLES, heading_of

# ------------------------------------------------------------------ parts


def save(parts: dict[str, bytes], path: Path) -> Path:
    """The parts as an archive, in the order given."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 3, 4, 5, 6, 8)), data, zipfile.ZIP_DEFLATED)
    return path


def state(path: Path) -> tuple[str, int]:
    """Contents and date of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns


def parts_of(path: Path) -> dict[str, bytes]:
    """The parts of an archive in their order."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def table_of(package: Package, name: str) -> tuple[Table, Grid]:
    """A table and the sheet it stands on."""
    table = next(t for t in package.tables() if t.name == name)
    return table, read_grids(package, {table.area.sheet})[0]


def rows_of(path: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a table by column, as the file shows them."""
    table, grid = table_of(open_package(path), name)
    area = table.area
    return [
        {c: grid.value(row, area.left + i) for i, c in enumerate(table.columns)}
        for row in range(area.top + 1, area.bottom + 1)
    ]


def keyed(path: Path, name: str) -> dict[str, dict[str, Any]]:
    """The rows of a table by key."""
    return {str(row["key"]): row for row in rows_of(path, name)}


def put(element: etree._Element, value: Any) -> None:
    """A constant in a cell element."""
    set_value(element, None if isinstance(value, str) else value)
    if isinstance(value, str):
        element.set("t", "inlineStr")
        etree.SubElement(etree.SubElement(element, main("is")), main("t")).text = value


def write(package: Package, name: str, new: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """New values by column for the rows of a table that `new` has any for; answers with how many those are."""
    table, grid = table_of(package, name)
    root = package.xml(grid.part)
    cells, count = SheetCells(root), 0
    at = {c: table.area.left + i for i, c in enumerate(table.columns)}
    for row in range(table.area.top + 1, table.area.bottom + 1):
        values = new({c: grid.value(row, column) for c, column in at.items()})
        count += bool(values)
        for heading, value in values.items():
            put(cells.cell(row, at[heading]), value)
    package.put(grid.part, root)
    return count


def drop(package: Package, name: str, doomed: Callable[[dict[str, Any]], bool]) -> int:
    """Take rows out of a table, the ones below moving up, as Excel deletes table rows."""
    table, grid = table_of(package, name)
    area = table.area
    columns = range(area.left, area.right + 1)
    body = range(area.top + 1, area.bottom + 1)
    gone = [row for row in body if doomed({c: grid.value(row, area.left + i) for i, c in enumerate(table.columns)})]
    if not gone:
        return 0
    root = package.xml(grid.part)
    held: dict[int, list[etree._Element]] = {}
    for row, column, element in list(walk(root)):
        if row in body and row >= gone[0] and column in columns:
            held.setdefault(row, []).append(element)
            element.getparent().remove(element)  # type: ignore[union-attr]
    cells = SheetCells(root)
    kept = [row for row in body if row >= gone[0] and row not in gone]
    for target, row in enumerate(kept, start=gone[0]):
        for element in held.get(row, []):
            column = re.match("[A-Z]+", element.get("r", ""))
            assert column is not None
            index = next(c for c in columns if get_column_letter(c) == column[0])
            fresh = cells.cell(target, index)
            for key, value in element.attrib.items():
                if key != "r":
                    fresh.set(key, value)
            fresh.extend(list(element))
    package.put(grid.part, root)
    resize(package, table, area.bottom - len(gone))
    return len(gone)


def resize(package: Package, table: Table, bottom: int) -> None:
    """Let a table end in another row."""
    root = package.xml(table.part)
    for element in (root, *root.iterfind(main("autoFilter"))):
        element.set("ref", re.sub(r"\d+\Z", str(bottom), element.get("ref", "")))
    package.put(table.part, root)


# ------------------------------------------------------------------ an older version


def newest() -> dict[str, list[str]]:
    """Keys by table that the older version has not; servers are among them, with the chip that only they need."""
    users: dict[str, set[str]] = {}
    for key, node in NODES.items():
        users.setdefault(node.device.key, set()).add(key)
    needed = {fleet.node.key for fleet in FLEETS.values()}
    chip = next(chip for chip, nodes in users.items() if not nodes & needed)
    return {
        TABLES[HARDWARE.kind]: [*[key for key in HARDWARE if key not in users][-2:], chip],
        TABLES[NODES.kind]: sorted(users[chip]),
        TABLES[MODELS.kind]: [*MODELS][-1:],
        TABLES[PRICES.kind]: [*PRICES][-5:],
        TABLES[GRIDS.kind]: [key for key in GRIDS if key not in {s.grid.key for s in SITES.values()}][-1:],
    }


def changed_facts() -> list[tuple[Any, str, str, str, float]]:
    """Facts that the older version had otherwise: registry, key, field, as printed then, and as shown."""
    out = []
    dropped = {key for keys in newest().values() for key in keys}
    for registry, name, unit, count in (
        (HARDWARE, "bandwidth", " GB/s", 7),
        (HARDWARE, "tdp", " W", 5),
        (MODELS, "layers", "", 3),
        (PRICES, "amount", " USD", 6),
        (GRIDS, "carbon_intensity", " g/kWh", 4),
    ):
        able = [key for key, thing in registry.items() if name in thing.facts and key not in dropped]
        for i, key in enumerate(able[:count]):
            out.append((registry, key, name, f"{101 + i}{unit}", float(101 + i)))
    return out


def older(source: Path, target: Path) -> Path:
    """The workbook as a version with other figures, other sources and fewer rows would have built it."""
    return save(dict(_older(source)), target)


@cache
def _older(source: Path) -> tuple[tuple[str, bytes], ...]:
    package = open_package(source)
    registries = {r.kind: r for r in (HARDWARE, NODES, MODELS, PRICES, GRIDS)}
    new = {registries[kind].name: newest().get(TABLES[kind], []) for kind in registries}
    for kind, registry in registries.items():
        assert drop(package, TABLES[kind], lambda row, r=registry: row["key"] in new[r.name]) == len(new[registry.name])
    assert drop(package, "tblSources", lambda row: row["key"] in new.get(row["registry"], ()))
    first, title = next(iter(HARDWARE)), "An older data sheet"
    facts: dict[tuple[str, str, str], dict[str, Any]] = {}
    cells: dict[str, dict[str, dict[str, Any]]] = {TABLES[HARDWARE.kind]: {first: {"source": title}}}
    for registry, key, name, printed, value in changed_facts():
        facts[registry.name, key, name] = {"printed": printed, "as_of": 40000.0}
        row = cells.setdefault(TABLES[registry.kind], {}).setdefault(key, {})
        row[heading_of(registry.kind, name)] = value
    for table, rows in cells.items():
        assert write(package, table, lambda row, rows=rows: rows.get(row["key"], {})) == len(rows)

    def former(row: dict[str, Any]) -> dict[str, Any]:
        of_first = (row["registry"], row["key"]) == (HARDWARE.name, first)
        return facts.get((row["registry"], row["key"], row["field"]), {}) | ({"source": title} if of_first else {})

    assert write(package, "tblSources", former) >= len(facts)
    return tuple(package.parts.items())


def foreign(before: dict[str, bytes], names: Collection[str], package: Package) -> Iterable[str]:
    """The parts that a refresh must leave alone: all but the sheets of these tables and what belongs to them."""
    tables = [t for t in package.tables() if t.name in names]
    sheets = {s.part for s in package.sheets() if s.name in {t.area.sheet for t in tables}}
    shared = {r.target for r in package.relations(package.workbook_part) if r.kind in ("styles", "calcChain")}
    return sorted(set(before) - sheets - {t.part for t in tables} - shared - {package.workbook_part})
