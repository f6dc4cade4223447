"""The registry sheets: one Excel table per registry, one row per thing, one column per field.

Every table of things ends in a native `spec` column that spells its row as spec text, so that an edited figure or a
new row reaches every engine cell through Excel's own dependencies.  The calibration has none: the engine reads its own.
Prices also say until when they are fresh.  Estimates have their own fill.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from typing import Any

from openpyxl import Workbook
from openpyxl.styles import Protection
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from mlsysim.money_things import price_class
from mlsysim.registry import Registry, Thing, face, fields
from mlsysim.things import (
    BANDS,
    CURRENCIES,
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
    TAX_SCHEDULES,
)
from mlsysim.units import unit_of

from ..style import DATE, dress, page, protect

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
    CURRENCIES.kind: "tblFX",
    TAX_SCHEDULES.kind: "tblTax",
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
    "Prices": ("Prices", "Dated prices, kept apart from specifications because they age.", (PRICES,)),
    "Reg_Finance": ("Finance", "Exchange rates and tax depreciation schedules.", (CURRENCIES, TAX_SCHEDULES)),
    "Reg_Calibration": (
        "Calibration",
        "What kernels reach of a chip, and how far measurements lie from predictions. Shown, not read back: to "
        "override, fill in the compute efficiency of Inputs.",
        CALIBRATION,
    ),
}

SOURCE_COLUMNS = ("registry", "key", "field", "printed", "kind", "source", "url", "as_of", "note")
REGISTRY_OF: dict[type[Thing], Registry[Any]] = {r.kind: r for _, _, group in SHEETS.values() for r in group}


def heading_of(kind: type[Thing], name: str) -> str:
    """A field as a column heading: its name and face unit."""
    unit = unit_of(fields(kind)[name])
    # "/" would need escaping in structured references
    return f"{name} ({unit.face.replace('/', ' per ')})" if unit and unit.face else name


def this_row(kind: type[Thing], name: str) -> str:
    """Reference to a field in the same row of its table, as files spell it."""
    return f"{TABLES[kind]}[[#This Row],[{name if name in ('key', 'group') else heading_of(kind, name)}]]"


_PRICE = TABLES[PRICES.kind]
LOOKUP = f'={this_row(PRICES.kind, "item")}&"|"&{this_row(PRICES.kind, "basis")}'
FRESH_UNTIL = (  # a row whose class is blank ages like a purchase
    f'=IF({_PRICE}[[#This Row],[as_of]]="","",{_PRICE}[[#This Row],[as_of]]'
    f'+IF({_PRICE}[[#This Row],[class]]="spot",in_DaysSpot,'
    f'IF({_PRICE}[[#This Row],[class]]="cloud",in_DaysCloud,in_DaysPurchase)))'
)


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
    for registry in (HARDWARE, MODELS, NODES, SITES, PRECISIONS, CURRENCIES, TAX_SCHEDULES):
        name = f"list_{registry.name}"
        book.defined_names[name] = DefinedName(name, attr_text=f"{TABLES[registry.kind]}[key]")


def shown_fields(registry: Registry[Any]) -> list[str]:
    """The fields that have a column of their own: those that any thing of the registry fills, prices apart."""
    filled = [n for n in fields(registry.kind) if any(getattr(t, n) is not None for t in registry.values())]
    return [n for n in filled if n != "price"]  # prices stand in the table of prices only


def provenance(thing: Thing) -> dict[str, Any]:
    """What the columns source, url, as_of and status say of a row as a whole."""
    facts = list(thing.facts.values())
    main = facts[0].source
    return {
        "source": main.title,
        "url": main.url,
        "as_of": max(f.source.as_of for f in facts),
        "status": status_of({f.kind for f in facts}),
    }


def status_of(kinds: Collection[str]) -> str:
    """The status of a row: the weakest kind among its facts."""
    return next((k for k in ("estimate", "derived") if k in kinds), "sourced")


def _table(sheet: Worksheet, registry: Registry[Any], left: int) -> int:
    """One table from column `left`; returns its last column."""
    kind = registry.kind
    names = shown_fields(registry)
    headings = [
        "key",
        "title",
        "group",
        *(heading_of(kind, n) for n in names),
        "source",
        "url",
        "as_of",
        "status",
        *(["lookup", "class", "fresh_until"] if registry is PRICES else []),
        *([] if registry in CALIBRATION else ["spec"]),
    ]
    last = left + len(headings) - 1
    sheet.cell(4, left, registry.name).style = "mls block"
    for i, text in enumerate(headings):
        sheet.cell(TOP, left + i, text).style = "mls heading"
        sheet.column_dimensions[get_column_letter(left + i)].width = _width(text)
    formulas = {"lookup": LOOKUP, "fresh_until": FRESH_UNTIL, "spec": _spec_formula(kind, names)}
    for r, thing in enumerate(registry.values(), start=TOP + 1):
        _row(sheet, r, left, thing, names, headings, formulas)
    bottom = TOP + len(registry)
    _make_table(sheet, kind, headings, f"{get_column_letter(left)}{TOP}:{get_column_letter(last)}{bottom}", formulas)
    sheet.row_dimensions[TOP].height = 30
    return last


def _row(
    sheet: Worksheet, r: int, left: int, thing: Thing, names: list[str], headings: list[str], formulas: dict[str, str]
) -> None:
    values: list[tuple[Any, str]] = [(thing.key, "mls fact"), (thing.title, "mls fact"), (thing.group, "mls fact")]
    for name in names:
        fact = thing.facts.get(name)
        estimated = fact is not None and fact.kind == "estimate"
        values.append((face(thing, name), "mls estimate" if estimated else "mls fact"))
    source, url, as_of, status = provenance(thing).values()
    values += [(source, "mls source"), (url, "mls url"), (as_of, "mls fact")]
    values += [(status, "mls estimate" if status == "estimate" else "mls fact")]
    for text in headings[len(values) :]:
        values.append((formulas[text], "mls formula") if text in formulas else (class_of(thing), "mls fact"))
    for i, (value, style) in enumerate(values):
        number_format = None
        if isinstance(value, date) or headings[i] == "fresh_until":
            number_format = DATE
        elif headings[i] == "year":
            number_format = "0"
        elif isinstance(value, float):
            number_format = "#,##0.######" if abs(value) < 1e6 else "0.0000E+00" if abs(value) >= 1e15 else "#,##0"
        dress(sheet.cell(r, left + i, value), style, number_format)


def class_of(thing: Thing) -> str:
    """The column class of a price."""
    return price_class(thing.need("basis"))


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


def _make_table(sheet: Worksheet, kind: type[Thing], headings: list[str], ref: str, formulas: dict[str, str]) -> None:
    table = Table(displayName=TABLES[kind], ref=ref)
    if len(_neighbours(kind)) == 1:  # a filter would hide rows of the table beside it
        table.autoFilter = AutoFilter(ref=ref)
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=True)
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(headings, start=1)]
    for column, text in zip(table.tableColumns, headings, strict=True):
        if text in formulas:
            column.calculatedColumnFormula = TableFormula(attr_text=formulas[text][1:])
    sheet.add_table(table)


def _neighbours(kind: type[Thing]) -> tuple[Registry[Any], ...]:
    return next(group for _, _, group in SHEETS.values() if any(r.kind is kind for r in group))


def _width(text: str) -> float:
    special = {
        "key": 22,
        "title": 46,
        "source": 36,
        "url": 30,
        "as_of": 11,
        "spec": 30,
        "group": 14,
        "lookup": 30,
        "fresh_until": 11,
        "params": 18,
        "flops (FLOP)": 19,
        "active_params": 18,
        "expert_params": 18,
        "terms": 40,
        "status": 12,
        "chips": 28,
    }
    return special.get(text, max(11, min(18, len(text) + 1)))


def source_rows(registry: Registry[Any]) -> Iterator[dict[str, Any]]:
    """Every fact of a registry as a row of the sources, by column."""
    for thing in registry.values():
        for name, fact in thing.facts.items():
            source = fact.source
            values = (registry.name, thing.key, name, fact.printed, fact.kind, source.title, source.url, source.as_of,
                      fact.note)  # fmt: skip
            yield dict(zip(SOURCE_COLUMNS, values, strict=True))


def add_sources(book: Workbook) -> None:
    """Every fact of every registry with its source: the audit trail behind the tables."""
    sheet = book.create_sheet("Reg_Sources")
    widths = dict(zip("ABCDEFGHI", (12, 24, 20, 24, 12, 48, 44, 11, 60), strict=True))
    page(sheet, "Sources", "Where each figure comes from: as printed, kind, document, day read.", widths, freeze="D6")
    for i, text in enumerate(SOURCE_COLUMNS, start=1):
        sheet.cell(TOP, i, text).style = "mls heading"
    r = TOP
    for row in (line for registry in REGISTRY_OF.values() for line in source_rows(registry)):
        r += 1
        style = "mls estimate" if row["kind"] == "estimate" else "mls fact"
        for i, (name, value) in enumerate(row.items(), start=1):
            cell = sheet.cell(r, i, value)
            worn = style if name in ("printed", "kind") else "mls fact"
            dress(cell, worn, DATE if isinstance(value, date) else None)
            if isinstance(value, str) and value.startswith("="):
                cell.data_type = "s"
    sheet.print_area, sheet.print_title_rows = f"A1:I{r}", f"{TOP}:{TOP}"
    table = Table(displayName="tblSources", ref=f"A{TOP}:I{r}")
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=True)
    sheet.add_table(table)
