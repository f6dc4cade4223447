"""TCO: money month by month in native formulas, one identical block per option, one formula per row across time.

Month 0 is the purchase; months 1 to the horizon are operation; resale closes the horizon.  Costs are positive,
income is negative.  Only sheet Engine feeds figures in; nothing here calls a function of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.pagebreak import Break
from openpyxl.worksheet.worksheet import Worksheet

from ..style import CENTS, DATE, FINE, MONEY, WHOLE, block_title, heading, page, protect, put
from .engine import DERIVED, ROW, option_columns
from .options import option_field

MONTHS = 60
FIRST_MONTH = 5  # column E is month 0
LAST = get_column_letter(FIRST_MONTH + MONTHS)
MONTH, DAY, BUY, RUN, END, ENERGY_RISE, COST_RISE, DISCOUNT = range(4, 12)
TOP = 13


@dataclass(frozen=True, slots=True)
class Line:
    """A row of an option's block: `formula` gets a function that gives the address of another row."""

    name: str
    label: str
    unit: str
    kind: str  # driver (one value), month (across time), result (one value from totals)
    formula: Callable[[Callable[[str], str], str], str]
    number_format: str
    total: bool = False


def _driver(name: str, label: str, unit: str, formula: str, fmt: str) -> Line:
    return Line(name, label, unit, "driver", lambda _at, _c: formula, fmt)


def _month(
    name: str,
    label: str,
    unit: str,
    formula: Callable[[Callable[[str], str], str], str],
    fmt: str = MONEY,
    total: bool = False,
) -> Line:
    return Line(name, label, unit, "month", formula, fmt, total)


def _result(name: str, label: str, unit: str, formula: Callable[[Callable[[str], str]], str], fmt: str) -> Line:
    return Line(name, label, unit, "result", lambda at, _c: formula(at), fmt)


def _lines() -> tuple[Line, ...]:
    """`at(name)` is the total or driver cell of a row, `at('name@')` the same month, `at('name#')` all months."""
    return (
        _driver("devices", "Accelerators", "", "{devices}", WHOLE),
        _driver("servers_n", "Servers", "", "{servers}", WHOLE),
        _driver("price", "Price of one server with its accelerators", "USD", "{price_used}", WHOLE),
        _driver("it_kw", "Average IT power", "kW", "{engine:it_kw}", CENTS),
        _driver("busy_kw", "IT power when busy", "kW", "{engine:busy_kw}", CENTS),
        _driver("contracted_kw", "Contracted IT power: nameplate, else busy", "kW", "{contracted}", CENTS),
        _driver("pue", "PUE of the site", "", "{pue}", CENTS),
        _driver("tariff", "Electricity price at the start", "USD/kWh", "{tariff}", "0.0000"),
        _driver("intensity", "Carbon intensity of the grid", "g/kWh", "{carbon}", WHOLE),
        _driver("tokens_s", "Generated tokens per second when busy", "tokens/s", "{engine:tokens_s}", WHOLE),
        _month(
            "servers", "Servers with accelerators", "USD", lambda at, c: f"{c}${BUY}*{at('servers_n')}*{at('price')}"
        ),
        _month("network", "Scale-out network", "USD", lambda at, c: f"{at('servers@')}*in_NetworkShare"),
        _month(
            "install",
            "Delivery and installation",
            "USD",
            lambda at, c: f"({at('servers@')}+{at('network@')})*in_InstallShare",
        ),
        _month("upfront", "Upfront cash", "USD", lambda at, c: f"SUM({at('servers@')}:{at('install@')})", MONEY, True),
        _month(
            "energy_kwh",
            "Electricity used by the site",
            "kWh",
            lambda at, c: f"{c}${RUN}*{at('it_kw')}*{at('pue')}*in_HoursPerMonth",
        ),
        _month(
            "electricity", "Electricity", "USD", lambda at, c: f"{at('energy_kwh@')}*{at('tariff')}*{c}${ENERGY_RISE}"
        ),
        _month(
            "maintenance",
            "Maintenance and support",
            "USD",
            lambda at, c: f"{c}${RUN}*({at('servers')}+{at('network')})*in_Maintenance/12*{c}${COST_RISE}",
        ),
        _month(
            "facility",
            "Colocation or facility",
            "USD",
            lambda at, c: f"{c}${RUN}*{at('contracted_kw')}*in_FacilityCost*{c}${COST_RISE}",
        ),
        _month(
            "staff",
            "Operations staff",
            "USD",
            lambda at, c: f"{c}${RUN}*{at('devices')}*in_StaffCost/12*{c}${COST_RISE}",
        ),
        _month("opex", "Running cost", "USD", lambda at, c: f"SUM({at('electricity@')}:{at('staff@')})", MONEY, True),
        _month(
            "resale",
            "Resale of the servers",
            "USD",
            lambda at, c: f"-{c}${END}*{at('servers')}*(1-in_ResidualDecline)^(in_HorizonMonths/12)",
        ),
        _month(
            "cash", "Net cash cost", "USD", lambda at, c: f"{at('upfront@')}+{at('opex@')}+{at('resale@')}", MONEY, True
        ),
        _month("pv", "Present value", "USD", lambda at, c: f"{at('cash@')}*{c}${DISCOUNT}"),
        _month("hours", "Device-hours owned", "h", lambda at, c: f"{c}${RUN}*{at('devices')}*in_HoursPerMonth", WHOLE),
        _month("delivered", "Device-hours delivered", "h", lambda at, c: f"{at('hours@')}*in_Utilisation", WHOLE),
        _month(
            "tokens",
            "Tokens generated",
            "million",
            lambda at, c: f"{c}${RUN}*{at('tokens_s')}*in_Utilisation*in_HoursPerMonth*3600/1000000",
            WHOLE,
        ),
        _month(
            "co2", "Carbon of electricity", "kgCO2e", lambda at, c: f"{at('energy_kwh@')}*{at('intensity')}/1000", WHOLE
        ),
        *_results(),
    )


def _results() -> tuple[Line, ...]:
    """Figures of the whole horizon; levelised means present value of cost over present value of output."""

    def levelised(output: str) -> Callable[[Callable[[str], str]], str]:
        return lambda at: f"{at('npv')}/SUMPRODUCT({at(output + '#')},$E${DISCOUNT}:${LAST}${DISCOUNT})"

    def nominal(cost: str, output: str) -> Callable[[Callable[[str], str]], str]:
        return lambda at: f"{at(cost)}/{at(output)}"

    annuity: Callable[[Callable[[str], str]], str] = lambda at: f"-PMT(in_DiscountRate,in_HorizonMonths/12,{at('npv')})"  # noqa: E731
    return (
        _result("npv", "Net present cost", "USD", lambda at: at("pv"), MONEY),
        _result("eac", "Equivalent annual cost", "USD/year", annuity, MONEY),
        _result("per_hour", "Device-hour owned, levelised", "USD/h", levelised("hours"), CENTS),
        _result("per_delivered", "Device-hour delivered, levelised", "USD/h", levelised("delivered"), CENTS),
        _result("per_mtoken", "Million generated tokens, levelised", "USD", levelised("tokens"), CENTS),
        _result("per_mtoken_nominal", "Million tokens, undiscounted", "USD", nominal("cash", "tokens"), CENTS),
        _result("kwh_mtoken", "Electricity of a million tokens", "kWh", nominal("energy_kwh", "tokens"), FINE),
        _result("co2_mtoken", "Operational carbon of a million tokens", "kgCO2e", nominal("co2", "tokens"), FINE),
    )


LINES = _lines()
HEIGHT = len(LINES) + 3
OFFSET = {line.name: 1 + i for i, line in enumerate(LINES)}


def total(name: str, option: int) -> str:
    """Address of a total, driver or result of option 0, 1, ... as other sheets read it."""
    return f"TCO!$C${TOP + option * HEIGHT + OFFSET[name]}"


def month_range(name: str, option: int, first: int = 0, last: int = MONTHS) -> str:
    """The months `first` to `last` of a row."""
    row = TOP + option * HEIGHT + OFFSET[name]
    start, end = (get_column_letter(FIRST_MONTH + m) for m in (first, last))
    return f"TCO!${start}${row}:${end}${row}"


def add_tco(book: Workbook, count: int) -> None:
    """The TCO sheet."""
    sheet = book.create_sheet("TCO")
    widths = {"A": 44, "B": 11, "C": 16, "D": 9}
    widths |= {get_column_letter(FIRST_MONTH + m): 13 for m in range(MONTHS + 1)}
    purpose = "Costs are positive. Undiscounted unless it says present value; before tax. Same block for every option."
    page(sheet, "Total cost of ownership, by month", purpose, widths, freeze="E12")
    _timeline(sheet)
    for option in range(count):
        _block(sheet, option)
    sheet.print_title_cols, sheet.print_title_rows = "A:C", f"{MONTH}:{MONTH}"
    sheet.print_area = f"A1:{LAST}{TOP + count * HEIGHT - 3}"
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 3, 0
    for option in range(2, count, 2):
        sheet.row_breaks.append(Break(id=TOP + option * HEIGHT - 1))
    sheet.sheet_properties.tabColor = "1F3A5F"
    protect(sheet)


def _timeline(sheet: Worksheet) -> None:
    heading(sheet, MONTH, ["Line", "Unit", "Total", "Month:"])
    rows = {
        DAY: ("Cash date", "date", "=EDATE(in_StartDate,{c}$4)", DATE),
        BUY: ("Purchase in this month", "flag", "=IF({c}$4=0,1,0)", WHOLE),
        RUN: ("In operation", "flag", "=IF(AND({c}$4>=1,{c}$4<=in_HorizonMonths),1,0)", WHOLE),
        END: ("End of the horizon", "flag", "=IF({c}$4=in_HorizonMonths,1,0)", WHOLE),
        ENERGY_RISE: (
            "Electricity price against the start",
            "factor",
            "=(1+in_EnergyEscalator)^INT(MAX({c}$4-1,0)/12)",
            FINE,
        ),
        COST_RISE: ("Other costs against the start", "factor", "=(1+in_CostEscalator)^INT(MAX({c}$4-1,0)/12)", FINE),
        DISCOUNT: ("Discount factor", "factor", "=1/(1+in_DiscountRate)^({c}$4/12)", FINE),
    }
    for row, (label, unit, _, _fmt) in rows.items():
        put(sheet, f"A{row}", label)
        put(sheet, f"B{row}", unit, "mls unit")
    for month in range(MONTHS + 1):
        c = get_column_letter(FIRST_MONTH + month)
        put(sheet, f"{c}{MONTH}", month, "mls heading")
        for row, (_, _, formula, fmt) in rows.items():
            put(sheet, f"{c}{row}", formula.format(c=c), "mls formula", fmt)
    put(sheet, f"C{RUN}", f"=SUM(E{RUN}:{LAST}{RUN})", "mls total", WHOLE)


def _block(sheet: Worksheet, option: int) -> None:
    """One option: drivers, monthly lines, results."""
    top = TOP + option * HEIGHT
    row = {name: top + offset for name, offset in OFFSET.items()}
    block_title(sheet, top, f"={option_field('option', f'$C${top}')}", 4)
    put(sheet, f"C{top}", option + 1, "mls block")
    number, column = f"$C${top}", option_columns(option + 1)[option]
    for line in LINES:
        r = row[line.name]
        put(sheet, f"A{r}", line.label, "mls total" if line.total else "mls label")
        put(sheet, f"B{r}", line.unit, "mls unit")
        if line.kind == "driver":
            formula = line.formula(str, "")
            put(sheet, f"C{r}", f"={_driven(formula, number, column)}", "mls link", line.number_format)
            continue
        if line.kind == "result":
            put(sheet, f"C{r}", f"={line.formula(_addresses(row, ''), '')}", "mls total", line.number_format)
            continue
        style = "mls total" if line.total else "mls formula"
        for month in range(MONTHS + 1):
            c = get_column_letter(FIRST_MONTH + month)
            formula = line.formula(_addresses(row, c), c)
            put(sheet, f"{c}{r}", f"={formula}", style, line.number_format)
        put(sheet, f"C{r}", f"=SUM(E{r}:{LAST}{r})", "mls total", line.number_format)


def _addresses(row: dict[str, int], c: str) -> Callable[[str], str]:
    def at(name: str) -> str:
        if name.endswith("@"):
            return f"{c}{row[name[:-1]]}"
        if name.endswith("#"):
            return f"$E${row[name[:-1]]}:${LAST}${row[name[:-1]]}"
        return f"$C${row[name]}"

    return at


def _driven(formula: str, number: str, column: str) -> str:
    """A driver: a figure of Engine, or a column of the option."""
    name = formula.strip("{}")
    rows = ROW | DERIVED
    if name == "contracted":
        watts = option_field("contracted_w", number)
        return (
            f"IF(ISNUMBER({watts}),{option_field('servers', number)}*{watts}/1000,Engine!${column}${rows['busy_kw']})"
        )
    if name.startswith("engine:"):
        return f"Engine!${column}${rows[name.removeprefix('engine:')]}"
    return option_field(name, number)
