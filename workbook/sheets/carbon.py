"""Carbon: electricity, greenhouse gases and water of every option, and the shown fleet on other grids.

Operational carbon is location-based: kWh with cooling, times the intensity of the option's grid, as Monthly has it.
Embodied carbon is what making the accelerators emitted, spread over in_LifeYears.  Of tokens that are bought nobody
states a figure, and "not stated" is no zero: such an option has no total.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

from openpyxl import Workbook
from openpyxl.cell.cell import Cell
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.pagebreak import Break
from openpyxl.worksheet.worksheet import Worksheet

from ..style import CENTS, FINE, MONEY, WHOLE, block_title, heading, page, protect, put
from .engine import option_columns
from .inputs import HIGH, LOW, list_rule
from .money import result
from .monthly import Layout
from .options import option_field

SHEET = "Carbon"
NOT_STATED, NONE = "not stated", "none"
NUMBER, HEAD, TOP = 4, 5, 6
SHOWN = "out_Drawn"  # the option that Decision shows, or where it has no device the lowest that has
# what the fleet would emit elsewhere; the keys are yellow cells
REGIONS = ("Sweden", "Quebec", "France", "UK", "California", "Ireland", "Germany", "Texas", "Virginia", "Singapore",
           "Poland", "India_Avg")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A row: {name} is another row, {m:x} a total of Monthly, {r:x} a result of Money, all of the same option."""

    name: str
    label: str
    unit: str
    formula: str
    number_format: str = WHOLE
    total: bool = False


def _stated(formula: str) -> str:
    """A figure where all of it is stated."""
    return f'IF({{bought}}=1,"{NOT_STATED}",{formula})'


def _per(output: str, figure: str) -> str:
    return f'IF(ISNUMBER({{total}}),IF({output}>0,{figure},"{NONE}"),"{NOT_STATED}")'


ROWS: tuple[Row | str, ...] = (
    "Electricity, with cooling, over the horizon",
    Row("bought", "Tokens are bought whose carbon nobody states", "flag", "{r:rest_is_api}"),
    Row("fleet", "Own or reserved fleet", "kWh", "{m:fleet_kwh}"),
    Row("rented", "Metered accelerators", "kWh", _stated("{m:rest_kwh}")),
    Row("kwh", "In all", "kWh", _stated("{fleet}+{rented}"), total=True),
    "Greenhouse gases",
    Row("grid", "Grid of the site", "g/kWh", "{m:intensity}"),
    Row("operational", "Operational, location-based", "kgCO2e", _stated("{kwh}*{grid}/1000")),
    Row("life", "Share of the life of the fleet that the plan uses", "share",
        "MIN({m:up}/(12*in_LifeYears),1+IF({m:refresh}>0,1,0))", "0.0%"),
    Row("worn", "Accelerators used up: own or reserved", "count", "{m:devices}*{life}", CENTS),
    Row("worn_rented", "Accelerators used up: metered, by paid hours", "count",
        _stated("IF(OR({m:rest}=1,{m:rest}=2),{m:over_h}*{m:metered_h}/(in_LifeYears*in_HoursPerYear),0)"), CENTS),
    Row("embodied", "Embodied: making them", "kgCO2e", _stated("({worn}+{worn_rented})*in_EmbodiedDevice")),
    Row("total", "In all", "kgCO2e", _stated("{operational}+{embodied}"), total=True),
    Row("low", "In all, at the low figure for making an accelerator", "kgCO2e",
        _stated("{operational}+({worn}+{worn_rented})*{low_end}")),
    Row("high", "In all, at the high figure", "kgCO2e",
        _stated("{operational}+({worn}+{worn_rented})*{high_end}")),
    "For what is delivered",
    Row("mtoken", "Million generated tokens", "kgCO2e",
        _per("{m:served}", "{total}*{r:share}/{m:served}"), FINE, total=True),
    Row("run", "Training run", "kgCO2e", _per("{m:train_h}", "{total}*(1-{r:share})*{m:run_h}/{m:train_h}")),
    Row("hour", "Accelerator-hour delivered", "kgCO2e",
        f'IF({{m:api}}=1,"{NONE}",' + _per("{m:done_h}", "{total}/{m:done_h}") + ")", FINE),
    "Water and money",
    Row("water", "Water on site of the fleet", "m3", "{m:water}"),
    Row("price", "Operational carbon at the price of Lines, whoever pays it", "currency",
        _stated("{operational}/1000*in_CarbonPrice*in_FX"), MONEY),
)  # fmt: skip
PLACE: dict[str, int] = {r if isinstance(r, str) else r.name: TOP + i for i, r in enumerate(ROWS)}
ELSEWHERE = TOP + len(ROWS) + 2  # heading of the regions
SORTED = ELSEWHERE + len(REGIONS) + 4  # heading of the same, lowest first: the data of a chart


def add_carbon(book: Workbook, layout: Layout) -> None:
    """The Carbon sheet."""
    sheet = book.create_sheet(SHEET)
    columns = option_columns(layout.count)
    purpose = (
        "Location-based, over the horizon. Making an accelerator: in_EmbodiedDevice of Inputs; hosts, network and "
        "buildings are not counted."
    )
    page(sheet, "Carbon", purpose, {"A": 58, "B": 12, "C": 14, **dict.fromkeys(columns, 17)}, freeze=f"D{TOP}")
    put(sheet, f"A{NUMBER}", "Option number", "mls unit")
    heading(sheet, HEAD, ["Figure", "Unit", ""], height=44)
    for i, c in enumerate(columns, start=1):
        put(sheet, f"{c}{NUMBER}", i, "mls unit")
        put(sheet, f"{c}{HEAD}", f"={option_field('option', f'{c}${NUMBER}')}", "mls heading")
    ends = _ends(book)
    last = 3 + max(layout.count, 2)
    for row in ROWS:
        if isinstance(row, str):
            block_title(sheet, PLACE[row], row, last)
            continue
        r = PLACE[row.name]
        put(sheet, f"A{r}", row.label, "mls total" if row.total else "mls label")
        put(sheet, f"B{r}", "=in_Currency" if row.unit == "currency" else row.unit, "mls unit")
        for option, c in enumerate(columns):
            text = _expand(row.formula, c, option, layout, ends)
            _right(put(sheet, f"{c}{r}", f"={text}", "mls total" if row.total else "mls formula", row.number_format))
    _regions(book, sheet, columns, last)
    sheet.print_area = f"A1:{get_column_letter(last)}{SORTED + len(REGIONS)}"
    sheet.row_breaks.append(Break(id=ELSEWHERE - 2))
    sheet.sheet_properties.tabColor = "00703C"
    protect(sheet)


def _right(cell: Cell) -> None:
    """Words stand where figures would."""
    alignment: Any = copy(cell.alignment)
    alignment.horizontal = "right"
    cell.alignment = alignment


def _ends(book: Workbook) -> dict[str, str]:
    """The cells of Inputs that hold the low and the high figure for making an accelerator."""
    row = book.defined_names["in_EmbodiedDevice"].attr_text.rpartition("$")[2]
    return {"low_end": f"Inputs!${LOW}${row}", "high_end": f"Inputs!${HIGH}${row}"}


def _expand(formula: str, c: str, option: int, layout: Layout, ends: dict[str, str]) -> str:
    """Put addresses in the place of {names}."""
    out, rest = "", formula
    while "{" in rest:
        before, _, after = rest.partition("{")
        name, _, rest = after.partition("}")
        kind, _, what = name.partition(":")
        at = {"m": layout.total, "r": result}.get(kind)
        out += before + (at(what, option) if at else ends[name] if name in ends else f"{c}{PLACE[name]}")
    return out + rest


def _regions(book: Workbook, sheet: Worksheet, columns: list[str], last: int) -> None:
    """The shown option's electricity on other grids; then the same with the lowest first."""
    book.defined_names["list_grids"] = DefinedName("list_grids", attr_text="tblGrids[key]")
    kwh, embodied, whole, mtoken = (
        f"INDEX(${columns[0]}${PLACE[n]}:${columns[-1]}${PLACE[n]},{SHOWN})"
        for n in ("kwh", "embodied", "total", "mtoken")
    )
    title = f'="The same fleet elsewhere: "&{option_field("option", SHOWN)}'
    block_title(sheet, ELSEWHERE - 1, title, last)
    heading(
        sheet, ELSEWHERE, ["Grid (yellow: a key of Reg_Infra)", "g/kWh", "kgCO2e in all", "kg per M tokens", "Place"]
    )
    first, end = ELSEWHERE + 1, ELSEWHERE + len(REGIONS)
    for r, key in enumerate(REGIONS, start=first):
        put(sheet, f"A{r}", key, "mls input")
        put(
            sheet,
            f"B{r}",
            f"=INDEX(tblGrids[carbon_intensity (g per kWh)],MATCH($A{r},tblGrids[key],0))",
            "mls link",
            WHOLE,
        )
        put(sheet, f"C{r}", f'=IF(ISNUMBER({whole}),{kwh}*$B{r}/1000+{embodied},"{NOT_STATED}")', "mls formula", WHOLE)
        put(
            sheet,
            f"D{r}",
            f'=IF(AND(ISNUMBER({mtoken}),ISNUMBER($C{r})),{mtoken}*$C{r}/{whole},"{NONE}")',
            "mls formula",
            FINE,
        )
        before = f"SUMPRODUCT(($B${first}:$B${end}<$B{r})*1)+SUMPRODUCT(($B${first}:$B{r}=$B{r})*1)"
        put(sheet, f"E{r}", f"={before}", "mls formula", "0")
    list_rule(sheet, f"A{first}:A{end}", "list_grids", "a grid of Reg_Infra")
    block_title(sheet, SORTED - 1, "The same, lowest first", last)
    heading(sheet, SORTED, ["Grid", "g/kWh", "Place", "kgCO2e in all", "kg per M tokens"])
    for place, r in enumerate(range(SORTED + 1, SORTED + 1 + len(REGIONS)), start=1):
        put(sheet, f"C{r}", place, "mls unit", "0")
        found = f"MATCH($C{r},$E${first}:$E${end},0)"
        for column, source, number_format in (("A", "A", None), ("B", "B", WHOLE), ("D", "C", WHOLE), ("E", "D", FINE)):
            formula = f"=INDEX(${source}${first}:${source}${end},{found})"
            put(sheet, f"{column}{r}", formula, "mls formula", number_format)
    for r in (*range(first, end + 1), *range(SORTED + 1, SORTED + 1 + len(REGIONS))):
        for column in "CDE":
            _right(sheet[f"{column}{r}"])
