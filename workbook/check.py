"""What is wrong with a workbook, as sentences: errors, failing checks, missing values, a broken structure.

Reads the values that the file holds; computes nothing. An empty list means that every formula shows a value, no cell is
in error, every row of the table of checks passes, the parts of the file fit together, and a plan of ours passes the
quality gates (`workbook.gates`).
"""

from __future__ import annotations

import re
from pathlib import Path

from openpyxl.utils.cell import get_column_letter

from workbook.cells import Cell, ErrorValue, Grid, dynamic_metadata, read_grids, walk
from workbook.gates import WARNINGS, run_gates
from workbook.package import Package, Table, area_of, main, open_package

CHECKS_SHEET = "Checks"
CHECKS_TABLE = "tblChecks"
CHECKS_COLUMNS = ("id", "check", "value", "tolerance", "pass")
REFUSAL = "#MLS!"


def check(path: Path) -> list[str]:
    """Examine a workbook file.

    Parameters
    ----------
    path : Path
        The workbook; it is only read.

    Returns
    -------
    list of str
        One sentence a fault, in the order of the sheets; empty when there is none.

    Raises
    ------
    WorkbookError
        When the file is missing, open elsewhere, encrypted or no workbook.
    """
    package = open_package(path)
    grids = read_grids(package)
    tables = package.tables()
    faults = [fault for grid in grids for fault in _cells(grid)]
    faults += _checks(grids, tables)
    for table in tables:
        faults += _table(package, grids, table)
    faults += _metadata(package)
    faults += _relations(package)
    faults += _names(package)
    faults += run_gates(package, grids, tables)
    return faults


def warnings(path: Path) -> list[str]:
    """What a reader must know before signing, though nothing is wrong with the file: prices in use that are too old.

    Parameters
    ----------
    path : Path
        The workbook; it is only read.

    Returns
    -------
    list of str
        One sentence each.
    """
    package = open_package(path)
    return run_gates(package, read_grids(package), package.tables(), WARNINGS)


def _cells(grid: Grid) -> list[str]:
    out = []
    places = {*grid.inputs, *grid.formulas, *grid.covered}
    for row, column in sorted(places):
        at = f"{grid.sheet}!{get_column_letter(column)}{row}"
        value = grid.value(row, column)
        if value is None:
            out.append(f"{at}: the formula ={grid.formulas[row, column].text} has no value yet.")
        elif isinstance(value, ErrorValue):
            out.append(f"{at} is in error: {value}.")
        elif isinstance(value, str) and value.startswith(REFUSAL):
            out.append(f"{at} is refused: {value}")
    return out


def _checks(grids: list[Grid], tables: list[Table]) -> list[str]:
    table = next((t for t in tables if t.name == CHECKS_TABLE), None)
    if table is None or table.area.sheet != CHECKS_SHEET:
        return [
            f"The sheet {CHECKS_SHEET} with its table {CHECKS_TABLE} is missing, so nothing vouches for the numbers."
        ]
    absent = [c for c in CHECKS_COLUMNS if c not in table.columns]
    if absent:
        return [f"The table {CHECKS_TABLE} lacks the columns {', '.join(absent)}."]
    grid = next(g for g in grids if g.sheet == CHECKS_SHEET)
    first, last = table.area.top + table.header_rows, table.area.bottom - table.totals_rows
    out = []
    for row in range(first, last + 1):
        cells = {name: grid.value(row, table.area.left + i) for i, name in enumerate(table.columns)}
        if cells["pass"] is not True:
            out.append(
                f"The check {_shown(cells['id'])} ({_shown(cells['check'])}) does not pass: "
                f"value {_shown(cells['value'])}, tolerance {_shown(cells['tolerance'])}."
            )
    return out or ([] if last >= first else [f"The table {CHECKS_TABLE} is empty."])


def _table(package: Package, grids: list[Grid], table: Table) -> list[str]:
    out = []
    area, root = table.area, package.xml(table.part)
    if len(table.columns) != area.shape[1]:
        out.append(f"Table {table.name} names {len(table.columns)} columns but covers {area.shape[1]}.")
    if len({c.casefold() for c in table.columns}) != len(table.columns):
        out.append(f"Table {table.name} has two columns of the same name.")
    grid = next(g for g in grids if g.sheet == area.sheet)
    if table.header_rows:
        for i, name in enumerate(table.columns):
            shown = grid.value(area.top, area.left + i)
            if shown != name:
                at = f"{area.sheet}!{get_column_letter(area.left + i)}{area.top}"
                out.append(f"Table {table.name}: its column {name!r} is headed {_shown(shown)} in {at}.")
    filtered = root.find(main("autoFilter"))
    if filtered is not None:
        wanted = area.bottom - table.totals_rows
        found = area_of(area.sheet, filtered.get("ref", ""))
        if (found.top, found.left, found.bottom, found.right) != (area.top, area.left, wanted, area.right):
            out.append(f"Table {table.name}: its filter covers {filtered.get('ref')}, its cells are {root.get('ref')}.")
    return out


def _metadata(package: Package) -> list[str]:
    dynamic = dynamic_metadata(package)
    out = []
    for sheet in package.sheets():
        if b' cm="' not in package.parts[sheet.part]:
            continue
        for row, column, element in walk(package.xml(sheet.part)):
            index = element.get("cm")
            if index is not None and int(index) not in dynamic and not _known(package, int(index)):
                at = f"{sheet.name}!{get_column_letter(column)}{row}"
                out.append(f"{at} points to entry {index} of the metadata, which does not exist.")
    return out


def _known(package: Package, index: int) -> bool:
    parts = [r.target for r in package.relations(package.workbook_part) if r.kind == "sheetMetadata"]
    if not parts or parts[0] not in package.parts:
        return False
    return 0 < index <= len(package.xml(parts[0]).findall(f"{main('cellMetadata')}/{main('bk')}"))


def _relations(package: Package) -> list[str]:
    out = []
    for name in sorted(package.parts):
        owner = re.fullmatch(r"(?:(.*)/)?_rels/(.*)\.rels", name)
        if owner is None:
            continue
        part = f"{owner[1]}/{owner[2]}" if owner[1] else owner[2]
        for relation in package.relations(part):
            if relation.target and relation.target not in package.parts:
                out.append(f"The part {part or 'of the package'} points to {relation.target}, which is missing.")
    return out


def _names(package: Package) -> list[str]:
    return [
        f"The defined name {name.name} has lost its cells ({name.text})."
        for name in package.names()
        if "#REF!" in name.text
    ]


def _shown(value: Cell | None) -> str:
    return "nothing" if value is None else str(value)
