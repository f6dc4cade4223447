"""Monthly: money month by month in native formulas, one identical block per option, one formula per row across time.

Month 0 is the start of the plan; months 1 to the horizon are operation; what is left is sold at the end.  Costs are
positive, income is negative, all in US dollars.  Column D is the total (or the one value of a row without months),
columns E to I hold what a cost line is made of, J its present value, K the same after tax relief.
The lines themselves are in `monthly_rows`.
"""

from __future__ import annotations

from collections.abc import Callable

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.pagebreak import Break
from openpyxl.worksheet.worksheet import Worksheet

from ..plan import Plan
from ..style import DATE, FINE, MONEY, WHOLE, block_title, heading, page, protect, put
from .lines import line_field
from .monthly_rows import (
    CAPITAL,
    CLOUD,
    COSTS,
    DEDUCTIBLE,
    DRIVERS,
    FINANCING,
    MOVING,
    OUTPUTS,
    QUANTITIES,
    RUNNING,
    TIMED,
    Row,
)
from .options import option_field

FIRST_MONTH = 13  # column M is month 0
TOTAL, PV, PV_AFTER = "D", "J", "K"
MONTH, DAY, YEAR, RUN, END = range(4, 9)
NONE, ENERGY, COST, WAGES, CLOUD_INDEX, PRICE, PERFORMANCE, DISCOUNT, YEAR_END, AFTER_TAX = range(9, 19)
DEBT, DEBT_AFTER, DEBT_YEAR_END = range(19, 22)
TOP = 24
_TIMELINE = {
    DAY: ("Cash date", "date", "=EDATE(in_StartDate,{c}$4)", DATE),
    YEAR: ("Year of the plan, month 0 with year 1", "year", "=MAX(1,ROUNDUP({c}$4/12,0))", WHOLE),
    RUN: ("In operation", "flag", "=IF(AND({c}$4>=1,{c}$4<=in_HorizonMonths),1,0)", WHOLE),
    END: ("End of the horizon", "flag", "=IF({c}$4=in_HorizonMonths,1,0)", WHOLE),
    NONE: ("Prices that stand still", "factor", "=1", FINE),
    ENERGY: ("Electricity price against the start", "factor", "=(1+in_EnergyEscalator)^({c}$6-1)", FINE),
    COST: ("Running costs against the start", "factor", "=(1+in_CostEscalator)^({c}$6-1)", FINE),
    WAGES: ("Wages against the start", "factor", "=(1+in_WageEscalator)^({c}$6-1)", FINE),
    CLOUD_INDEX: ("Rents and token prices against the start", "factor", "=(1-in_CloudDecline)^({c}$6-1)", FINE),
    PRICE: ("Price of new servers against the start", "factor", "=(1-in_PriceDecline)^({c}$4/12)", FINE),
    PERFORMANCE: ("Performance for the same money", "factor", "=(1+in_PerfGain)^({c}$4/12)", FINE),
    DISCOUNT: (
        "Discount factor", "factor", "=1/(1+in_DiscountNominal)^(({c}$4-in_Middle*{c}$7)/12)", "0.000000",
    ),
    YEAR_END: ("Discount factor of the end of the year", "factor", "=1/(1+in_DiscountNominal)^{c}$6", "0.000000"),
    AFTER_TAX: (
        "Value of a deductible dollar, its tax relief taken off", "factor", "={c}$16-in_Relief*{c}$17", "0.000000",
    ),
    DEBT: ("Discount factor of loans and leases, before tax", "factor", "=1/(1+in_DebtBefore)^({c}$4/12)", "0.000000"),
    DEBT_AFTER: ("Discount factor of loans and leases, after tax", "factor", "=1/(1+in_DebtAfter)^({c}$4/"
                                                                             "12)", "0.000000"),
    DEBT_YEAR_END: (
        "The same at the end of the year", "factor", "=1/(1+in_DebtAfter)^{c}$6", "0.000000",
    ),
}  # fmt: skip
_HEADINGS = ["Line", "Unit", "Sign", "Total", "Price x quantity", "Applies", "Driver", "Timing", "Escalator",
             "Present value", "After tax relief", "Fixed driver"]  # fmt: skip


class Layout:
    """Where everything stands on Monthly for a plan: rows by name, columns by month."""

    def __init__(self, plan: Plan) -> None:
        self.months = plan.months
        self.last = get_column_letter(FIRST_MONTH + plan.months)
        self.first = get_column_letter(FIRST_MONTH)
        groups = {
            g: [i for i, line in enumerate(plan.lines, start=1) if line.group == g] for g in (CAPITAL, RUNNING, CLOUD)
        }
        self.lines = {f"{g}{i}": i for g, numbers in groups.items() for i in numbers}
        rows: list[Row] = []
        for row in (*DRIVERS, *QUANTITIES, *MOVING, *TIMED, *COSTS):
            if row.kind == "group":  # the place of a group of cost lines
                rows += [Row(f"{row.name}{i}", "", "USD", "line", "", MONEY, sign="cost") for i in groups[row.name]]
            else:
                rows.append(row)
        self.rows = rows
        self.height = len(rows) + 2
        self.offset = {row.name: 1 + i for i, row in enumerate(rows)}
        self.count = len(plan.options)
        self.groups = groups
        self.line_names = {row: plan.lines[n - 1].name for row, n in self.lines.items() if plan.lines[n - 1].name}

    def row(self, name: str, option: int) -> int:
        """Row of a line of option 0, 1, ..."""
        return TOP + option * self.height + self.offset[name]

    def total(self, name: str, option: int, column: str = TOTAL) -> str:
        """Address of a total, driver or result as other sheets read it; `column` may be PV or PV_AFTER."""
        return f"Monthly!${column}${self.row(name, option)}"

    def months_of(self, name: str, option: int, first: int = 0, last: int | None = None) -> str:
        """The months `first` to `last` of a line."""
        start, end = (get_column_letter(FIRST_MONTH + m) for m in (first, self.months if last is None else last))
        row = self.row(name, option)
        return f"Monthly!${start}${row}:${end}${row}"

    def timeline(self, row: int) -> str:
        """A row of the timeline, all months."""
        return f"Monthly!${self.first}${row}:${self.last}${row}"

    @property
    def needed(self) -> str:
        """The servers needed, one cell for each option, below the blocks."""
        top = TOP + self.count * self.height + 1
        return f"Monthly!$D${top}:$D${top + self.count - 1}"


def add_monthly(book: Workbook, plan: Plan) -> Layout:
    """The Monthly sheet."""
    layout = Layout(plan)
    sheet = book.create_sheet("Monthly")
    widths = dict(zip("ABCDEFGHIJK", (62, 13, 8, 16, 13, 8, 8, 8, 9, 15, 15), strict=True))
    widths |= {get_column_letter(FIRST_MONTH + m): 13 for m in range(plan.months + 1)}
    purpose = (
        "US dollars, undiscounted unless it says present value. Costs positive, income negative. Same "
        "block for every option."
    )
    page(sheet, "Money by month", purpose, widths, freeze=f"{layout.first}5")
    _timeline(sheet, layout)
    for option in range(layout.count):
        _block(sheet, layout, option)
    top = TOP + layout.count * layout.height
    block_title(sheet, top, "Servers that the load needs, spares included", 4)
    for option in range(layout.count):
        put(sheet, f"A{top + 1 + option}", f"={option_field('option', str(option + 1))}", "mls link")
        put(sheet, f"D{top + 1 + option}", f"=D{layout.row('needed', option)}", "mls formula", WHOLE)
    sheet.print_title_cols, sheet.print_title_rows = "A:D", f"{MONTH}:{MONTH}"
    sheet.print_area = f"A1:{layout.last}{top + layout.count}"
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A3
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 3, 0
    for option in range(1, layout.count):
        sheet.row_breaks.append(Break(id=TOP + option * layout.height - 1))
    sheet.sheet_properties.tabColor = "9CA3AF"
    protect(sheet)
    return layout


def _timeline(sheet: Worksheet, layout: Layout) -> None:
    heading(sheet, MONTH, _HEADINGS)
    for row, (label, unit, formula, fmt) in _TIMELINE.items():
        put(sheet, f"A{row}", label)
        put(sheet, f"B{row}", unit, "mls unit")
        for month in range(layout.months + 1):
            c = get_column_letter(FIRST_MONTH + month)
            put(sheet, f"{c}{row}", formula.format(c=c), "mls formula", fmt)
    for month in range(layout.months + 1):
        put(sheet, f"{get_column_letter(FIRST_MONTH + month)}{MONTH}", month, "mls heading")
    put(sheet, f"D{RUN}", f"=SUM({layout.first}{RUN}:{layout.last}{RUN})", "mls total", WHOLE)


def _block(sheet: Worksheet, layout: Layout, option: int) -> None:
    """One option: drivers, quantities, lines, cash."""
    top = TOP + option * layout.height
    number = f"$D${top}"
    block_title(sheet, top, f"={option_field('option', number)}", FIRST_MONTH - 1)
    put(sheet, f"D{top}", option + 1, "mls block")
    rows = {name: top + offset for name, offset in layout.offset.items()}
    for line in layout.rows:
        r = rows[line.name]
        bold = "mls total" if line.total else None
        label = f"={line_field('item', str(layout.lines[line.name]))}" if line.kind == "line" else line.label
        put(sheet, f"A{r}", label, bold or ("mls link" if line.kind == "line" else "mls label"))
        put(sheet, f"B{r}", line.unit, "mls unit")
        put(sheet, f"C{r}", line.sign or None, "mls unit")
        if line.kind == "driver":
            at = _addresses(rows, "", layout)
            text = _expand(line.formula, at, number, option, layout)
            put(
                sheet,
                f"D{r}",
                f"={text}",
                "mls link" if "!" in text or "tbl" in text else "mls formula",
                line.number_format,
            )
            continue
        if line.kind == "line":
            _line_columns(sheet, r, layout.lines[line.name], rows)
        for month in range(layout.months + 1):
            c = get_column_letter(FIRST_MONTH + month)
            formula = (
                _line_formula(r, c, rows)
                if line.kind == "line"
                else _expand(line.formula, _addresses(rows, c, layout), number, option, layout)
            )
            put(sheet, f"{c}{r}", f"={formula}", bold or "mls formula", line.number_format)
        span = f"{layout.first}{r}:{layout.last}{r}"
        if line.summed:
            put(sheet, f"D{r}", f"=SUM({span})", "mls total", line.number_format)
        _present_values(sheet, line, r, layout, rows)


def _present_values(sheet: Worksheet, line: Row, r: int, layout: Layout, rows: dict[str, int]) -> None:
    """Column J: present value.  Column K: the same of what a row costs once its own tax relief is taken off.

    Loans and leases are discounted at the cost of debt from the start month on, all else at the discount rate.  The K
    of `after` is the net present cost after tax; that of equipment lacks the relief of its depreciation.
    """

    def value(factor: int) -> str:
        return f"SUMPRODUCT({layout.first}{r}:{layout.last}{r},{layout.first}${factor}:{layout.last}${factor})"

    before = after = ""
    bridge, bridge_after = f"$D${rows['bridge']}", f"$D${rows['bridge_after']}"
    if line.name in (*FINANCING, "financing"):
        before, after = f"{value(DEBT)}*{bridge}", f"{value(DEBT_AFTER)}*{bridge_after}"
        if line.name in ("rent", "rent_end"):
            after += f"-in_Relief*{value(DEBT_YEAR_END)}*{bridge_after}"
    elif line.name == "interest":  # a part of the payments; only its relief counts
        after = f"-in_Relief*{value(DEBT_YEAR_END)}*{bridge_after}"
    elif line.name == "tax_financing":
        before, after = value(YEAR_END), f"{value(DEBT_YEAR_END)}*{bridge_after}"
    elif line.name == "cash":
        before = f"{value(DISCOUNT)}-" + _range_value(layout, rows["financing"], DISCOUNT) + f"+{PV}{rows['financing']}"
        after = (
            f"{value(DISCOUNT)}-"
            + _range_value(layout, rows["financing"], DISCOUNT)
            + f"+{PV_AFTER}{rows['financing']}"
        )
    elif line.name == "tax":  # settled at the end of its year, whatever the convention for cash
        before = value(YEAR_END)
        after = f"{before}-{PV}{rows['tax_financing']}+{PV_AFTER}{rows['tax_financing']}"
    elif line.name == "after":
        after = f"{PV_AFTER}{rows['cash']}+{PV_AFTER}{rows['tax']}"
    elif line.valued:
        before = value(DISCOUNT)
        deductible = line.name.rstrip("0123456789") in (*DEDUCTIBLE, "running_sum", "cloud_sum", *OUTPUTS)
        after = value(AFTER_TAX) if deductible else ""
    for column, formula in ((PV, before), (PV_AFTER, after)):
        if formula:
            put(sheet, f"{column}{r}", f"={formula}", "mls formula", line.number_format)


def _range_value(layout: Layout, r: int, factor: int) -> str:
    return f"SUMPRODUCT({layout.first}{r}:{layout.last}{r},{layout.first}${factor}:{layout.last}${factor})"


def _line_columns(sheet: Worksheet, r: int, line: int, rows: dict[str, int]) -> None:
    """What a cost line is made of: its amount for this option, and the rows that move it."""
    n = str(line)
    still = f"INDEX($D${rows['plan']}:$D${rows['hardware']},{line_field('still', n)})"
    put(
        sheet, f"E{r}", f"={line_field('price used', n)}*{line_field('quantity', n)}*{still}", "mls formula", "#,##0.00"
    )
    who, kinds = line_field("applies", n), {"owned": "owned", "bought": "new", "cloud": "rented", "API": "api"}
    # the number of an option; one that there is not, or a word off the list, must not pass for 0
    applies = f"IF(ISNUMBER(MATCH({who},tblOptions[no],0)),IF({who}=$D${rows['option_no']},1,0),NA())"
    for word, flag in kinds.items():
        applies = f'IF({who}="{word}",$D${rows[flag]},{applies})'
    put(sheet, f"F{r}", f'=IF({who}="all",1,{applies})', "mls formula", WHOLE)
    for column, code in zip("GHIL", ("moving", "when", "moved by", "still"), strict=True):
        put(sheet, f"{column}{r}", f"={line_field(code, n)}", "mls link", WHOLE)


def _line_formula(r: int, c: str, rows: dict[str, int]) -> str:
    moving = f"INDEX({c}${rows['one']}:{c}${rows['water']},$G{r})"
    timing = f"INDEX({c}${rows['once']}:{c}${rows['last']},$H{r})"
    return f"$E{r}*$F{r}*{moving}*{timing}*INDEX({c}${NONE}:{c}${CLOUD_INDEX},$I{r})"


def _addresses(rows: dict[str, int], c: str, layout: Layout) -> Callable[[str], str]:
    """`name` is the total or driver cell of a row, `name@` the same month, `name#` all months."""

    def at(name: str) -> str:
        if name.endswith("@"):
            return f"{c}{rows[name[:-1]]}"
        if name.endswith("#"):
            return f"${layout.first}${rows[name[:-1]]}:${layout.last}${rows[name[:-1]]}"
        return f"$D${rows[name]}"

    return at


def _expand(formula: str, at: Callable[[str], str], number: str, option: int, layout: Layout) -> str:
    """Put addresses in the place of {names}: see `monthly_rows`."""
    out, rest = "", formula
    while "{" in rest:
        before, _, after = rest.partition("{")
        name, _, rest = after.partition("}")
        out += before + _name(name, at, number, option, layout)
    return out + rest


def _name(name: str, at: Callable[[str], str], number: str, option: int, layout: Layout) -> str:
    kind, _, what = name.partition(":")
    if kind == "option":
        return option_field(what, number)
    if kind == "engine":
        from .engine import DERIVED, ROW, option_columns

        return f"Engine!${option_columns(option + 1)[option]}${(ROW | DERIVED)[what]}"
    if kind == "time":
        rows = {"m": MONTH, "run": RUN, "end": END, "cloud": CLOUD_INDEX, "energy": ENERGY, "price": PRICE,
                "discount": DISCOUNT, "year": YEAR, "year_end": YEAR_END}  # fmt: skip
        return at("once@").rstrip("0123456789") + f"${rows[what]}"
    if kind in ("tax", "tax_financing"):
        from .money import years_of

        return years_of(kind, layout, option)
    if kind == "first":  # the first month of a row, fixed
        return f"${layout.first}{layout.row(what, option)}"
    if kind in ("top", "last"):  # the first or last line of a group
        group, numbers = what.rstrip("@"), layout.groups[what.rstrip("@")]
        return at(f"{group}{numbers[0 if kind == 'top' else -1]}@")
    return at(name)
