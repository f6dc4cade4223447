"""Checks: what must hold before anybody signs, one row per check, passed when |value| <= tolerance.

Every line of the timeline is compared with a closed form of its drivers, so that an overwritten cell shows.
"""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.formatting.rule import Rule
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo

from mlsysim.version import __version__

from ..style import GREEN, PALE_GREEN, PALE_RED, RED, difference, fit_height, heading, page, put
from .engine import FIGURES, ROW, TOP, option_columns, version_row
from .options import OK, option_field
from .physics import Twin
from .tco import COST_RISE, DISCOUNT, ENERGY_RISE, LAST, RUN, month_range, total

Check = tuple[str, str, float, str]  # what, value, tolerance, advice
HEAD = 5
COUNT_CELL = "$C$3"  # how many checks the file was built with
OVERWRITTEN = "A cell of this line was overwritten"
MORE_ROWS = "Rows added here are not calculated: mls-workbook build --options N"
TWICE = "Two rows of one item and basis: delete one, or enter your own price"
DISAGREE = "Money and engine disagree: a line or a price was changed on one side"


def add_checks(book: Workbook, count: int, twins: list[Twin], out_of_range: str, figures: tuple[str, int]) -> None:
    """The Checks sheet; `figures` is the range of Decision's figures and how many numbers it must hold."""
    sheet = book.create_sheet("Checks")
    widths = dict(zip("ABCDEF", (9, 92, 16, 12, 10, 62), strict=True))
    page(
        sheet,
        "Checks",
        "Every row must pass. A value is a relative difference or a number of violations.",
        widths,
        freeze="A6",
    )
    rows = [*_general(count, twins, out_of_range, figures), *(c for i in range(count) for c in _of_option(i, count))]
    put(sheet, "B3", "Checks in this file when it was built", "mls unit")
    put(sheet, COUNT_CELL.replace("$", ""), len(rows), "mls unit")
    headings = ["id", "check", "value", "tolerance", "pass", "if it fails"]
    heading(sheet, HEAD, headings)
    value, tolerance = "tblChecks[[#This Row],[value]]", "tblChecks[[#This Row],[tolerance]]"
    passed = f"IF(ISNUMBER({value}),ABS({value})<={tolerance},FALSE)"
    for r, (text, result, allowed, advice) in enumerate(rows, start=HEAD + 1):
        put(sheet, f"A{r}", f"C{r - HEAD:02d}", "mls unit")
        put(sheet, f"B{r}", text, "mls wrapped")
        put(sheet, f"C{r}", f"={result}", "mls formula", "0.0E+00" if allowed else "General")
        put(sheet, f"D{r}", allowed, "mls unit", "0E+00" if allowed else "General")
        put(sheet, f"E{r}", f"={passed}", "mls check")
        put(sheet, f"F{r}", advice, "mls note")
        fit_height(sheet, r)
    last = HEAD + len(rows)
    table = Table(displayName="tblChecks", ref=f"A{HEAD}:F{last}")
    table.autoFilter = AutoFilter(ref=table.ref)
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(headings, start=1)]
    table.tableColumns[4].calculatedColumnFormula = TableFormula(attr_text=passed)
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=True)
    sheet.add_table(table)
    held = f"AND(ISNUMBER($C{HEAD + 1}),ABS($C{HEAD + 1})<=$D{HEAD + 1})"  # not $E: LibreOffice 7.4 crashes on booleans
    for test, fill, color in ((held, PALE_GREEN, GREEN), (f"NOT({held})", PALE_RED, RED)):
        rule = Rule(type="expression", formula=[test], dxf=difference(fill, color))
        sheet.conditional_formatting.add(f"E{HEAD + 1}:E{last}", rule)
    sheet.print_area, sheet.print_title_rows = f"A1:F{last}", f"{HEAD}:{HEAD}"
    sheet.sheet_properties.tabColor = "00703C"


def _general(count: int, twins: list[Twin], out_of_range: str, figures: tuple[str, int]) -> list[Check]:
    columns = option_columns(count)
    numeric = sum(not f.text for f in FIGURES)
    span = f"Engine!${columns[0]}${TOP + 1}:${columns[-1]}${TOP + len(FIGURES)}"
    share = f"Engine!${columns[0]}${ROW['memory_share']}:${columns[-1]}${ROW['memory_share']}"
    area, expected = figures
    same = "The engine that answers is not the one that built this file, or a formula was overwritten"
    version = f'IF(Engine_Live!$D${version_row(len(twins))}="{__version__}",0,1)'
    physics = [
        (f"Native formula equals the engine: {t.title}", f"Physics!{t.answer.replace('$B$', '$E$')}", 1e-9, same)
        for t in twins
    ]
    return [
        *physics,
        (
            "Every engine figure is a number",
            f"{numeric * count}-COUNT({span})",
            0,
            "Engine_Live says what is refused, and why",
        ),
        ("Every figure of Decision is a number", f"{expected}-COUNT({area})", 0, "See the row Status of Decision"),
        ("Every input is a number within its limits", out_of_range, 0, "Inputs, column Out of range"),
        ("Every option fits in memory", f'COUNTIF({share},">1")', 0, "Raise TP or choose a narrower precision"),
        (f"Options has the {count} rows this file was built for", f"ROWS(tblOptions[option])-{count}", 0, MORE_ROWS),
        ("Months in operation equal the horizon", f"TCO!$C${RUN}-in_HorizonMonths", 0, "The timeline ends at month 60"),
        ("The engine is the version that built this file", version, 0, "Install the matching version or rebuild"),
    ]


def _of_option(i: int, count: int) -> list[Check]:
    """Checks of one option: the row is sound, every line equals its closed form, money agrees with the engine."""
    n, column = str(i + 1), option_columns(count)[i]
    at = _Totals(i)
    engine = {name: f"Engine!${column}${ROW[name]}" for name in ("purchase", "upkeep", "staff", "facility", "it_kw")}
    found = "+".join(
        f"ABS(COUNTIF({table}[key],{option_field(name, n)})-1)"
        for table, name in (("tblHardware", "device"), ("tblSites", "site"), ("tblPrecisions", "precision"))
    )
    basis = option_field("price_basis", n)
    once = 'ABS(COUNTIF(tblPrices[lookup],{}&"|{}")-1)'
    prices = (f'IF({basis}="server price",{once.format(option_field("server", n), "server")},'
              f'IF({basis}="own price",0,{once.format(option_field("device", n), "purchase")}))')  # fmt: skip
    bought = f"({at['servers']}+{at['network']})"
    energy = f"SUMPRODUCT(TCO!$E${RUN}:${LAST}${RUN},TCO!$E${ENERGY_RISE}:${LAST}${ENERGY_RISE})"
    rise = f"SUMPRODUCT(TCO!$E${RUN}:${LAST}${RUN},TCO!$E${COST_RISE}:${LAST}${COST_RISE})"
    months = f"TCO!$C${RUN}"
    lines = {
        "servers": f"{at['servers_n']}*{at['price']}",
        "network": f"{at['servers']}*in_NetworkShare",
        "install": f"{bought}*in_InstallShare",
        "energy_kwh": f"{at['it_kw']}*{at['pue']}*in_HoursPerMonth*{months}",
        "electricity": f"{at['it_kw']}*{at['pue']}*in_HoursPerMonth*{at['tariff']}*{energy}",
        "maintenance": f"{bought}*in_Maintenance/12*{rise}",
        "facility": f"{at['contracted_kw']}*in_FacilityCost*{rise}",
        "staff": f"{at['devices']}*in_StaffCost/12*{rise}",
        "resale": f"-{at['servers']}*(1-in_ResidualDecline)^(in_HorizonMonths/12)",
        "hours": f"{at['devices']}*in_HoursPerMonth*{months}",
        "delivered": f"{at['hours']}*in_Utilisation",
        "tokens": f"{at['tokens_s']}*in_Utilisation*in_HoursPerMonth*3600/1000000*{months}",
        "co2": f"{at['energy_kwh']}*{at['intensity']}/1000",
        "cash": f"{at['upfront']}+{at['opex']}+{at['resale']}",
        "pv": f"SUMPRODUCT({month_range('cash', i)},TCO!$E${DISCOUNT}:${LAST}${DISCOUNT})",
    }
    first, later = month_range("cash", i).split(":")[0], month_range("cash", i, 1)
    npv = f"{first}+NPV((1+in_DiscountRate)^(1/12)-1,{later})"
    year = {name: f"SUM({month_range(line, i, 1, 12)})" for name, line in
            (("upkeep", "maintenance"), ("staff", "staff"), ("facility", "facility"))}  # fmt: skip
    sound = f'IF({option_field("status", n)}="{OK}",0,1)'
    rate, low, high = (f"Engine!${column}${ROW[name]}" for name in ("rate", "rate_p10", "rate_p90"))
    inside = f"IF(ISTEXT({low}),0,IF(AND({low}<={rate},{rate}<={high}),0,1))"
    keys = f"Option {n}: device, site and precision stand exactly once in the registries"
    timeline = [
        (
            f"Option {n}: {line.replace('_', ' ')} over all months equals its drivers",
            _ratio(at[line], form),
            1e-9,
            OVERWRITTEN,
        )
        for line, form in lines.items()
    ]
    by_engine = [
        (f"Option {n}: {name} of months 1 to 12 equals MLS_TCO", _ratio(form, engine[name]), 1e-9, DISAGREE)
        for name, form in year.items()
    ]
    return [
        (f"Option {n}: the row of Options is sound", sound, 0, "The column status of Options says what is wrong"),
        (keys, found, 0, "A key is missing or stands twice"),
        (f"Option {n}: its price stands exactly once in Reg_Prices", prices, 0, TWICE),
        (f"Option {n}: throughput lies inside its own range, where it has one", inside, 0, OVERWRITTEN),
        *timeline,
        (f"Option {n}: present value equals Excel's NPV", _ratio(npv, at["pv"]), 1e-9, OVERWRITTEN),
        (f"Option {n}: purchase equals MLS_TCO", _ratio(bought, engine["purchase"]), 1e-9, DISAGREE),
        *by_engine,
    ]


class _Totals(dict[str, str]):
    """Addresses of an option's totals by line."""

    def __init__(self, option: int) -> None:
        super().__init__()
        self._option = option

    def __missing__(self, name: str) -> str:
        return total(name, self._option)


def _ratio(a: str, b: str) -> str:
    """Relative difference; the plain difference where both are about nothing."""
    return f"IF(ABS({b})>0,ROUND(({a})/({b})-1,12),{a})"
