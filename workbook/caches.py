"""Computed values written into the sheets of a package, and nothing else changed.

Both `finalize` (a workbook of ours) and `recalc` (a workbook that somebody edited) end here: the value and the type of
each formula cell, the cells that a spilling formula covers, and the request to Excel to compute what we could not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lxml import etree
from openpyxl.utils.cell import get_column_letter

from workbook.cells import Block, Cell, ErrorValue, Formula, Grid, walk
from workbook.package import CONTENT_TYPES, OFFICE_RELATIONS, PACKAGE_RELATIONS, Area, Package, main

if TYPE_CHECKING:
    from workbook.engine import Evaluation

CALC_ID = "191029"  # the calculation engine of Excel 2019 and 365; an older number makes Excel compute everything anew

STAMP = "2000-01-01T00:00:00Z"
_CORE = "docProps/core.xml"
_TERMS = "{http://purl.org/dc/terms/}"
_F, _V, _IS = map(main, ("f", "v", "is"))
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_METADATA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheetMetadata+xml"
_METADATA = b"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<metadata xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" \
xmlns:xda="http://schemas.microsoft.com/office/spreadsheetml/2017/dynamicarray">\
<metadataTypes count="1"><metadataType name="XLDAPR" minSupportedVersion="120000" copy="1" pasteAll="1" \
pasteValues="1" merge="1" splitFirst="1" rowColShift="1" clearFormats="1" clearComments="1" assign="1" coerce="1" \
cellMeta="1"/></metadataTypes><futureMetadata name="XLDAPR" count="1"><bk><extLst>\
<ext uri="{bdbb8cdc-fa1e-496e-a857-3c3f30c029c3}"><xda:dynamicArrayProperties fDynamic="1" fCollapsed="0"/></ext>\
</extLst></bk></futureMetadata><cellMetadata count="1"><bk><rc t="1" v="0"/></bk></cellMetadata></metadata>"""


def write_values(package: Package, grids: list[Grid], result: Evaluation, dynamic: str | None) -> None:
    """Write what `result` holds into the formula cells of `package`.

    Parameters
    ----------
    package : Package
        Changed in place: the parts of sheets with formulas.
    grids : list of Grid
        The same package, as `workbook.cells.read_grids` reads it.
    result : Evaluation
        A value for every formula cell, or the reason why there is none; then the cell's cached value is removed.
    dynamic : str or None
        The ``cm`` attribute for bare calls of our functions that are to spill; None leaves formulas as they are.
    """
    for grid in grids:
        if not grid.formulas:
            continue
        root = package.xml(grid.part)
        sheet = SheetCells(root)
        # All old answers go before a new one comes: one formula may now fill what another filled before.
        for at in [*grid.formulas, *grid.covered]:
            set_value(sheet.cell(*at), None)
        for at, formula in grid.formulas.items():
            key = formula.sheet, formula.at
            if key in result.values:
                spills = dynamic if key in result.bare and not formula.dynamic else None
                _write_formula(sheet, at, formula, result.values[key], spills)
        sheet.finish()
        package.put(grid.part, root)


def ask_for_calculation(package: Package, *, full: bool, calc_id: str | None = None) -> None:
    """Tell Excel whether to compute everything when it opens the file.

    Parameters
    ----------
    package : Package
        Changed in place.
    full : bool
        Whether Excel must compute everything; False takes an existing request back.
    calc_id : str, optional
        The engine version to record; None keeps what is there.
    """
    root = package.xml(package.workbook_part)
    found = root.find(main("calcPr"))
    if found is None:
        found = etree.Element(main("calcPr"))
        _insert_calculation(root, found)
    if calc_id is not None:
        found.set("calcId", calc_id)
    _drop(found, "fullCalcOnLoad")
    if full:
        found.set("fullCalcOnLoad", "1")
    package.put(package.workbook_part, root)


def add_metadata(package: Package) -> str:
    """Add the part that makes a formula with ``cm="1"`` a dynamic array; answer with that number."""
    part = package.workbook_part.rpartition("/")[0] + "/metadata.xml"
    folder, _, name = package.workbook_part.rpartition("/")
    package.parts[part] = _METADATA
    types = package.xml(CONTENT_TYPES)
    etree.SubElement(types, f"{{{_TYPES}}}Override", PartName=f"/{part}", ContentType=_METADATA_TYPE)
    package.put(CONTENT_TYPES, types)
    rels = f"{folder}/_rels/{name}.rels"
    root = package.xml(rels)
    etree.SubElement(
        root,
        f"{{{PACKAGE_RELATIONS}}}Relationship",
        Id="rIdDynamicArrays",
        Type=f"{OFFICE_RELATIONS}/sheetMetadata",
        Target="metadata.xml",
    )
    package.put(rels, root)
    return "1"


def _insert_calculation(root: etree._Element, calculation: etree._Element) -> None:
    # The schema fixes the order of the parts of a workbook.
    before = {
        "definedNames",
        "externalReferences",
        "functionGroups",
        "sheets",
        "bookViews",
        "workbookPr",
        "fileSharing",
    }
    places = [i for i, child in enumerate(root) if etree.QName(child).localname in before]
    root.insert(places[-1] + 1, calculation)


def _write_formula(
    sheet: SheetCells, at: tuple[int, int], formula: Formula, value: Cell | Block, dynamic: str | None
) -> None:
    block: Block = value if isinstance(value, list) else [[value]]
    extent = Area(formula.sheet, at[0], at[1], at[0] + len(block) - 1, at[1] + len(block[0]) - 1)
    element = sheet.cell(*at)
    source = element.find(_F)
    if source is not None and dynamic is not None:
        source.set("t", "array")
        source.set("ref", _spelled(extent))
        element.set("cm", dynamic)
    elif source is not None and formula.dynamic:
        source.set("ref", _spelled(extent))
    for row, column in extent.cells():
        set_value(sheet.cell(row, column), block[row - at[0]][column - at[1]])


def fix_stamps(package: Package) -> None:
    """Let the file tell no time: the same draft gives the same bytes."""
    if _CORE not in package.parts:
        return
    root = package.xml(_CORE)
    for tag in ("created", "modified"):
        for element in root.iter(f"{_TERMS}{tag}"):
            element.text = STAMP
    package.put(_CORE, root)


def set_value(element: etree._Element, value: Cell | None) -> None:
    """Give a cell element a value and its type; None leaves it without one."""
    for old in [child for child in element if child.tag == _V or child.tag == _IS]:
        element.remove(old)
    _drop(element, "t", "vm")  # vm: a rich value (#SPILL! and the like) that belonged to the old one
    if value is None:
        return
    holder = etree.Element(_V)
    if isinstance(value, ErrorValue):
        element.set("t", "e")
        holder.text = str(value)
    elif isinstance(value, bool):
        element.set("t", "b")
        holder.text = str(int(value))
    elif isinstance(value, str):
        element.set("t", "str")
        holder.text = escape(value)
        if value != value.strip():
            holder.set(_SPACE, "preserve")
    else:
        holder.text = spell_number(value)
    source = element.find(_F)
    element.insert(0 if source is None else element.index(source) + 1, holder)


def spell_number(number: float) -> str:
    """A float so that reading it back gives the same float."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 and str(number) != "-0.0" else repr(number)


def escape(text: str) -> str:
    """Text as the file format spells it: control characters as ``_x000B_``."""
    text = re.sub(r"_(x[0-9A-Fa-f]{4}_)", r"_x005F_\1", text)
    return re.sub("[\x00-\x08\x0b\x0c\r\x0e-\x1f\ufffe\uffff]", lambda m: f"_x{ord(m[0]):04X}_", text)


def _drop(element: etree._Element, *names: str) -> None:
    for name in names:
        if name in element.attrib:
            del element.attrib[name]


def _spelled(area: Area) -> str:
    first, last = f"{get_column_letter(area.left)}{area.top}", f"{get_column_letter(area.right)}{area.bottom}"
    return first if first == last else f"{first}:{last}"


class SheetCells:
    """The cell elements of one sheet, found by row and column, added in their place when missing."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._rows: dict[int, etree._Element] = {}
        self._cells: dict[int, dict[int, etree._Element]] = {}
        self._grown = False
        number = 0
        for line in root.iterfind(f"{main('sheetData')}/{main('row')}"):
            number = int(line.get("r", number + 1))
            self._rows[number] = line
        for row, column, element in walk(root):
            self._cells.setdefault(row, {})[column] = element

    def cell(self, row: int, column: int) -> etree._Element:
        """The element at a place, made if need be."""
        line = self._row(row)
        cells = self._cells.setdefault(row, {})
        if column not in cells:
            cells[column] = etree.Element(main("c"), r=f"{get_column_letter(column)}{row}")
            left = max((c for c in cells if c < column), default=0)
            line.insert(line.index(cells[left]) + 1 if left else 0, cells[column])
            _drop(line, "spans")  # a hint that may not hold any more; it is optional
            self._grown = True
        return cells[column]

    def finish(self) -> None:
        """Widen the sheet's stated size by the cells that were added."""
        size = self._root.find(main("dimension"))
        if size is not None and self._grown:
            rows = [row for row, cells in self._cells.items() if cells]
            columns = [column for cells in self._cells.values() for column in cells]
            size.set("ref", _spelled(Area("", min(rows), min(columns), max(rows), max(columns))))

    def _row(self, number: int) -> etree._Element:
        if number not in self._rows:
            line = etree.Element(main("row"), r=str(number))
            above = max(row for row in self._rows if row < number)  # a spill starts in a row that exists
            self._rows[above].addnext(line)
            self._rows[number] = line
        return self._rows[number]
