"""The registry sheets: one Excel table per registry, one row per thing, one column per field.

Every table of things ends in a native `spec` column that spells its row as spec text, so that an edited figure or a
new row reaches every engine cell through Excel's own dependencies.  The calibration has none: the engine reads its own.
Estimates have their own fill.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from openpyxl import Workbook
from openpyxl.styles import Protection
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from mlsysim.registry import Registry, Thing, face, fields
from mlsysim.things import (
    BANDS,
    EFFICIENCY,
    FABRICS,
    FLEETS,
    GRIDS,
    HARDWARE,
    MODELS,
    NODES,
    PRECISIONS,
    PRICES,
    SITES,
)
from mlsysim.units import unit_of

from ..style import DATE, page, protect

TOP = 5  # header row of every table
DECIMAL_POINT = '"."'
LOCAL_POINT = 'MID(1/2&"",2,1)'  # the decimal sign of the reader's Excel


TABLES = {
    HARDWARE.kind: "tblHardware",
    MODELS.kind: "tblModels",
    FLEETS.kind: "tblFleets",
    NODES.kind: "tblNodes",
    FABRICS.kind: "tblFabrics",
    SITES.kind: "tblSites",
    GRIDS.kind: "tblGrids",
    PRICES.kind: "tblPrices",
    PRECISIONS.kind: "tblPrecisions",
    EFFICIENCY.kind: "tblEfficiency",
    BANDS.kind: "tblBands",
}
CALIBRATION: tuple[Registry[Any], ...] = (EFFICIENCY, BANDS)  # shown, not read back
SHEETS: dict[str, tuple[str, str, tuple[Registry[Any], ...]]] = {
    "Reg_Hardware": ("Hardware", "Accelerators and processors: dense rates, link rates per direction.", (HARDWARE,)),
    "Reg_Models": ("Models", "Neural networks by shape.", (MODELS,)),
    "Reg_Systems": ("Systems", "Fleets, servers, fabrics and number formats.", (FLEETS, NODES, FABRICS, PRECISIONS)),
    "Reg_Infra": ("Infrastructure", "Sites with PUE, water and tariff; electricity grids.", (SITES, GRIDS)),
    "Reg_Prices": ("Prices", "Dated prices, kept apart from specifications because they age.", (PRICES,)),
    "Reg_Calibration": (
        "Calibration",
        "What kernels reach of a chip, and how far measurements lie from predictions. Shown, not read back: to "
        "override, fill in the compute efficiency of Inputs.",
        CALIBRATION,
    ),
}

REGISTRY_OF: dict[type[Thing], Registry[Any]] = {r.kind: r for _, _, group in SHEETS.values() for r in group}


def heading_of(kind: type[Thing], name: str) -> str:
    """A field as a column heading: its name and face unit."""
    unit = unit_of(fields(kind)[name])
    # "/" would need escaping in structured references
    return f"{name} ({unit.face.replace('/', ' per ')})" if unit and unit.face else name


def this_row(kind: type[Thing], name: str) -> str:
    """Reference to a field in the same row of its table, as files spell it."""
    return f"{TABLES[kind]}[[#This Row],[{name if name in ('key', 'group') else heading_of(kind, name)}]]"


def add_registries(book: Workbook) -> None:
    """Write the registry sheets and the names that feed the dropdowns."""
    for sheet_name, (title, purpose, registries) in SHEETS.items():
        sheet = book.create_sheet(sheet_name)
        own = "" if registries is CALIBRATION else " Add your own rows below a table."
        page(sheet, title, f"{purpose}{own} Orange italic cells are estimates.", {}, freeze="B6")
        column = 1
        for registry in registries:
            column = _table(sheet, registry, column) + 2
        # without the last spec column, which no page can hold
        last = get_column_letter(column - 2 if registries is CALIBRATION else column - 3)
        sheet.print_area = f"A1:{last}{sheet.max_row}"
        sheet.print_title_rows, sheet.print_title_cols = f"{TOP}:{TOP}", "A:A"
        sheet.page_setup.paperSize = sheet.PAPERSIZE_A3
        sheet.page_setup.fitToWidth = max(1, round(column / 14))
        sheet.sheet_properties.tabColor = "9CA3AF"
        if registries is CALIBRATION:
            sheet.column_dimensions["A"].width = 28
            for cell in (c for row in sheet.iter_rows(min_row=TOP + 1) for c in row):
                cell.protection = Protection(locked=True)
            protect(sheet)
    for registry in (HARDWARE, MODELS, NODES, SITES, PRECISIONS):
        name = f"list_{registry.name}"
        book.defined_names[name] = DefinedName(name, attr_text=f"{TABLES[registry.kind]}[key]")


def _table(sheet: Worksheet, registry: Registry[Any], left: int) -> int:
    """One table from column `left`; returns its last column."""
    kind = registry.kind
    filled = [n for n in fields(kind) if any(getattr(t, n) is not None for t in registry.values())]
    names = [n for n in filled if n != "price"]  # prices stand in Reg_Prices only
    headings = [
        "key",
        "title",
        "group",
        *(heading_of(kind, n) for n in names),
        "source",
        "url",
        "as_of",
        "status",
        *([] if registry in CALIBRATION else ["spec"]),
    ]
    if registry is PRICES:
        headings.insert(-1, "lookup")
    last = left + len(headings) - 1
    sheet.cell(4, left, registry.name).style = "mls block"
    for i, text in enumerate(headings):
        sheet.cell(TOP, left + i, text).style = "mls heading"
        sheet.column_dimensions[get_column_letter(left + i)].width = _width(text)
    formula = _spec_formula(kind, names)
    for r, thing in enumerate(registry.values(), start=TOP + 1):
        _row(sheet, r, left, thing, names, headings, formula)
    bottom = TOP + len(registry)
    _make_table(sheet, kind, headings, f"{get_column_letter(left)}{TOP}:{get_column_letter(last)}{bottom}", formula)
    sheet.row_dimensions[TOP].height = 30
    return last


def _row(
    sheet: Worksheet, r: int, left: int, thing: Thing, names: list[str], headings: list[str], formula: str
) -> None:
    values: list[tuple[Any, str]] = [(thing.key, "mls fact"), (thing.title, "mls fact"), (thing.group, "mls fact")]
    for name in names:
        fact = thing.facts.get(name)
        estimated = fact is not None and fact.kind == "estimate"
        values.append((face(thing, name), "mls estimate" if estimated else "mls fact"))
    facts = list(thing.facts.values())
    main = facts[0].source
    kinds = [k for k in ("estimate", "derived") if any(f.kind == k for f in facts)]
    values += [(main.title, "mls source"), (main.url, "mls url"), (max(f.source.as_of for f in facts), "mls fact")]
    values += [(kinds[0] if kinds else "sourced", "mls estimate" if "estimate" in kinds else "mls fact")]
    if "lookup" in headings:
        values.append((_lookup(type(thing)), "mls formula"))
    if "spec" in headings:
        values.append((formula, "mls formula"))
    for i, (value, style) in enumerate(values):
        cell = sheet.cell(r, left + i, value)
        cell.style = style
        if isinstance(value, date):
            cell.number_format = DATE
        elif headings[i] == "year":
            cell.number_format = "0"
        elif isinstance(value, float):
            cell.number_format = "#,##0.######" if abs(value) < 1e6 else "0.0000E+00" if abs(value) >= 1e15 else "#,##0"


def _lookup(kind: type[Thing]) -> str:
    return f'={this_row(kind, "item")}&"|"&{this_row(kind, "basis")}'


def _spec_formula(kind: type[Thing], names: list[str]) -> str:
    """Native text formula that spells a row as spec text, in any locale."""
    group = this_row(kind, "group")
    parts = [this_row(kind, "key"), f'IF({group}="","","; group = "&{group})']
    for name in names:
        cell, hint = this_row(kind, name), fields(kind)[name]
        unit = unit_of(hint)
        nested = next((k for k in TABLES if k in (hint, *getattr(hint, "__args__", ()))), None)
        if unit is not None:
            face_unit = f'&" {unit.face}"' if unit.face else ""
            shown = f'SUBSTITUTE({cell}&"",{LOCAL_POINT},{DECIMAL_POINT}){face_unit}'
        elif nested is not None:
            shown = f'"{{"&INDEX({TABLES[nested]}[spec],MATCH({cell},{TABLES[nested]}[key],0))&"}}"'
        elif "bool" in str(hint):
            shown = f'IF({cell},"true","false")'
        else:
            shown = cell
        parts.append(f'IF({cell}="","","; {name} = "&{shown})')
    return "=" + "&".join(parts)


def _make_table(sheet: Worksheet, kind: type[Thing], headings: list[str], ref: str, formula: str) -> None:
    table = Table(displayName=TABLES[kind], ref=ref)
    if len(_neighbours(kind)) == 1:  # a filter would hide rows of the table beside it
        table.autoFilter = AutoFilter(ref=ref)
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=True)
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(headings, start=1)]
    if "spec" in headings:
        table.tableColumns[-1].calculatedColumnFormula = TableFormula(attr_text=formula[1:])
    if "lookup" in headings:
        lookup = table.tableColumns[headings.index("lookup")]
        lookup.calculatedColumnFormula = TableFormula(attr_text=_lookup(kind)[1:])
    sheet.add_table(table)


def _neighbours(kind: type[Thing]) -> tuple[Registry[Any], ...]:
    return next(group for _, _, group in SHEETS.values() if any(r.kind is kind for r in group))


def _width(text: str) -> float:
    special = {"key": 22, "title": 46, "source": 36, "url": 30, "as_of": 11, "spec": 30, "group": 14, "lookup": 26,
               "params": 18, "active_params": 18, "expert_params": 18, "terms": 40, "status": 12,
               "chips": 28}  # fmt: skip
    return special.get(text, max(11, min(18, len(text) + 1)))


def add_sources(book: Workbook) -> None:
    """Every fact of every registry with its source: the audit trail behind the tables."""
    sheet = book.create_sheet("Reg_Sources")
    widths = dict(zip("ABCDEFGHI", (12, 24, 20, 24, 12, 48, 44, 11, 60), strict=True))
    page(sheet, "Sources", "Where each figure comes from: as printed, kind, document, day read.", widths, freeze="D6")
    texts = ["registry", "key", "field", "printed", "kind", "source", "url", "as_of", "note"]
    for i, text in enumerate(texts, start=1):
        sheet.cell(TOP, i, text).style = "mls heading"
    r = TOP
    for registry in REGISTRY_OF.values():
        for thing in registry.values():
            for name, fact in thing.facts.items():
                r += 1
                style = "mls estimate" if fact.kind == "estimate" else "mls fact"
                source = fact.source
                for i, value in enumerate(
                    (
                        registry.name,
                        thing.key,
                        name,
                        fact.printed,
                        fact.kind,
                        source.title,
                        source.url,
                        source.as_of,
                        fact.note,
                    ),
                    start=1,
                ):
                    cell = sheet.cell(r, i, value)
                    cell.style = style if i in (4, 5) else "mls fact"
                    if isinstance(value, date):
                        cell.number_format = DATE
                    if isinstance(value, str) and value.startswith("="):
                        cell.data_type = "s"
    sheet.print_area, sheet.print_title_rows = f"A1:I{r}", f"{TOP}:{TOP}"
    table = Table(displayName="tblSources", ref=f"A{TOP}:I{r}")
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=True)
    sheet.add_table(table)
