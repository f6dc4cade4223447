"""Money: the years of every option: cash, depreciation and tax, profit and loss, results.  In the chosen currency.

Every figure is a sum of Monthly by year, times the exchange rate; one identical block per option, one formula per row
across the years.  Costs are positive, income is negative.  Tax follows the schedule of Reg_Finance; in the year in
which equipment is sold all that is left of it is deducted and the sale is income.
"""

from __future__ import annotations

from dataclasses import dataclass

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.pagebreak import Break
from openpyxl.worksheet.worksheet import Worksheet

from ..style import CENTS, DATE, FINE, MONEY, SHARE, WHOLE, block_title, heading, page, protect, put
from .monthly import PV, PV_AFTER, YEAR, Layout
from .options import option_field

FIRST_YEAR = 6  # column F is year 1; column E stays empty, so that sums of earlier years may start there
HEAD, ENDS, SHARES, TOP = 4, 5, 6, 9
SCHEDULE = 8  # years of the table of schedules
CURRENCY = "currency"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a block: value (column D alone), year (across the years) or title."""

    name: str
    label: str
    unit: str
    kind: str
    formula: str
    number_format: str = MONEY
    total: bool = False
    sign: str = ""


def _sum(*names: str) -> str:
    """The year's sum of rows of Monthly, in the chosen currency."""
    return "(" + "+".join(f"SUMIF({{years}},{{y}},{{monthly:{name}}})" for name in names) + ")*in_FX"


def _cash(name: str, label: str, *names: str, sign: str = "cost") -> Row:
    return Row(name, label, CURRENCY, "year", _sum(*names), sign=sign)


def _year(name: str, label: str, formula: str, *, total: bool = False, sign: str = "") -> Row:
    return Row(name, label, CURRENCY, "year", formula, total=total, sign=sign)


def _value(name: str, label: str, unit: str, formula: str, fmt: str = MONEY, *, total: bool = False) -> Row:
    return Row(name, label, unit, "value", formula, fmt, total)


def _depreciation(n: str, straight: bool) -> str:
    """Depreciation of a year: the schedule from its first year, the rest in the year of disposal."""
    planned = f"{{base{n}}}*INDEX(${{first}}${SHARES}:${{last}}${SHARES},{{y}}-{{from{n}}}+1)"
    if straight:
        planned = f"IF({{keeps}}=1,MIN({{base{n}}}-{{before:tax{n}}},{{base{n}}}/in_OldFleetLife),{planned})"
    left = f"{{base{n}}}-{{before:tax{n}}}"
    return f"IF(OR({{y}}<{{from{n}}},{{y}}>{{until{n}}}),0,IF({{y}}={{until{n}}},{left},{planned}))"


def _book(n: str) -> str:
    """Straight-line depreciation in the books, by months in service."""
    months = (
        f'SUMIFS({{monthly:up}},{{years}},{{y}},{{monthly_time}},">"&{{since{n}}},{{monthly_time}},"<="&{{upto{n}}})'
    )
    life = "IF({keeps}=1,in_OldFleetLife,in_BookLife)" if n == "1" else "in_BookLife"
    return f"MIN({{base{n}}}-{{before:book{n}}},{{base{n}}}/({life}*12)*{months})"


def _disposal(n: str) -> str:
    return f"IF({{y}}={{until{n}}},{{base{n}}}-{{before:book{n}}}-{{book{n}@}},0)"


def _title(text: str) -> Row:
    return Row(text, text, "", "title", "")


def _levelised(cost: str, output: str) -> str:
    """The deductible price of a unit that would cost the same after tax; the sale of the old fleet is left out."""
    return f'IF({{k:{output}}}>0,({cost})/{{k:{output}}},"none")'


ROWS: tuple[Row, ...] = (
    _title("Cash"),
    _cash("servers", "Servers with accelerators", "servers_cost"),
    Row("capital", "Network, installation, other equipment", CURRENCY, "year",
        "SUMIF({years},{y},{monthly:capital_sum})*in_FX-{servers@}", sign="cost"),
    _cash("lessor", "Paid by the lessor", "lessor", sign="income"),
    _cash("refresh", "Servers of the refresh", "refresh_cost"),
    _cash("loan_in", "Loan received", "loan_in", sign="income"),
    _cash("loan_out", "Loan payments", "loan_out", "loan_end"),
    _cash("rent", "Rent of the lease", "rent", "rent_end"),
    _cash("buyout", "Purchase at the end of the lease", "buyout"),
    _cash("reserved", "Reserved rent", "reserved_bill", "reserved_upfront", "reserved_end"),
    _cash("rest", "Metered hours and tokens", "rest_bill"),
    _cash("electricity", "Electricity", "electricity"),
    _cash("running", "Running lines", "running_sum"),
    _cash("cloud", "Lines of the provider", "cloud_sum"),
    _cash("resale", "Resale of servers", "resale", sign="income"),
    _cash("old_sale", "Sale of the fleet owned today", "old_sale", sign="income"),
    _year("cash", "Net cash cost before tax", "SUM({servers@}:{old_sale@})", total=True),
    _year("tax_paid", "Tax relief (negative) or tax", "{tax@}"),
    _year("after", "Net cash cost after tax", "{cash@}+{tax_paid@}", total=True),
    _year("cumulative", "Net cash cost after tax so far", "{before:after}+{after@}"),
    _title("Depreciation and tax"),
    _value("keeps", "Keeps the fleet owned today", "flag", "{total:keeps}", WHOLE),
    _value("base1", "To be written off from the start", CURRENCY,
           "IF({keeps}=1,in_OldFleetBook,IF({total:lease}=1,0,{total:asset}))*in_FX"),
    _value("from1", "first year", "year", "INT({total:start}/12)+1", WHOLE),
    _value("until1", "year of its disposal", "year",
           "MAX(1,ROUNDUP(IF({total:refresh}>0,{total:refresh},in_HorizonMonths)/12,0))", WHOLE),
    _value("since1", "in service after month", "month", "{total:start}", WHOLE),
    _value("upto1", "up to month", "month", "IF({total:refresh}>0,{total:refresh},in_HorizonMonths)", WHOLE),
    _value("base2", "To be written off later: refresh, or purchase after the lease", CURRENCY,
           "({total:refresh_cost}+{total:buyout}+{keeps}*{total:asset})*in_FX"),
    _value("since2", "in service after month", "month",
           "IF({total:refresh}>0,{total:refresh},{total:start}+{total:lease}*{total:term})", WHOLE),
    _value("from2", "first year", "year", "INT({since2}/12)+1", WHOLE),
    _value("until2", "year of its disposal", "year", "MAX(1,ROUNDUP(in_HorizonMonths/12,0))", WHOLE),
    _value("upto2", "up to month", "month", "in_HorizonMonths", WHOLE),
    _year("tax1", "Depreciation for tax", _depreciation("1", True), sign="cost"),
    _year("tax2", "Depreciation for tax of what came later", _depreciation("2", False), sign="cost"),
    _year("interest", "Interest of the loan", "SUMIF({years},{y},{monthly:interest})*in_FX", sign="cost"),
    _year("deductible", "Running costs, rents and bills", "{rent@}+{reserved@}+{rest@}+{electricity@}+{running@}+"
                                                          "{cloud@}",
          sign="cost"),
    _year("old_book", "Book value of the fleet owned today, sold or scrapped", "IF(AND({keeps}=0,{y}=1),"
                                                                               "in_OldFleetBook*in_FX,0)",
          sign="cost"),
    _year("deducted", "Deducted from income, sales of equipment taken off",
          "{tax1@}+{tax2@}+{interest@}+{deductible@}+{old_book@}+{resale@}+{old_sale@}", total=True),
    _year("tax", "Tax relief (negative) or tax", "-in_Relief*{deducted@}", total=True),
    _year("tax_financing", "of which relief of interest and rents", "-in_Relief*({interest@}+{rent@})"),
    _title("Profit and loss"),
    _year("revenue", "Revenue of tokens sold", "-{served@}*(in_SaleOut+in_SaleIn*in_PromptRatio)*in_FX", sign="income"),
    _year("operation", "Electricity, running lines and lines of the provider", "{electricity@}+{running@}+{cloud@}",
          sign="cost"),
    _year("providers", "Rents and tokens of providers", "{reserved@}+{rest@}", sign="cost"),
    _year("lease_cost", "Cost of the lease",
          'IF(in_LeaseBooks="IFRS 16",{right@}+SUMIF({years},{y},{monthly:lease_interest})*in_FX,'
          '{rent@})', sign="cost"),
    _year("book1", "Depreciation in the books", _book("1"), sign="cost"),
    _year("book2", "Depreciation in the books of what came later", _book("2"), sign="cost"),
    _year("interest_cost", "Interest of the loan", "{interest@}", sign="cost"),
    _year("disposal", "Loss (or gain, negative) on equipment sold",
          f"{_disposal('1')}+{_disposal('2')}+{{old_book@}}+{{resale@}}+{{old_sale@}}"),
    _year("loss", "Cost before tax (profit: negative)", "SUM({revenue@}:{disposal@})", total=True),
    _year("net", "Cost after tax as paid (profit: negative)", "{loss@}+{tax@}+in_Relief*-{revenue@}", total=True),
    _year("right", "of the lease: written off from the right to use (IFRS 16)",
          "IF({total:lease}=1,IF({y}={until2},{d:rent}-{total:lease_interest}*in_FX-{before:right},"
          "MAX(0,MIN(12*{y},{total:start}+{total:term},in_HorizonMonths)-MAX(12*({y}-1),{total:start}))"
          "/{total:term}*({total:asset}-in_LeaseResidual*{total:asset}/(1+in_LeaseRate/12)^{total:term})*in_FX),0)"),
    _year("served", "Tokens generated (million)", "SUMIF({years},{y},{monthly:served})"),
    _title("Results"),
    _value(
        "upfront", "Upfront cash: equipment, loan taken off, and what is due with it", CURRENCY,
        "({total:asset}*(1-{total:lease})-{total:principal}+{total:reserved_upfront}+{total:rent_month})*in_FX",
        total=True,
    ),
    _value("npv_before", "Net present cost before tax, at the same rate", CURRENCY, "{pv:cash}*in_FX"),
    _value("npv", "Net present cost after tax", CURRENCY, "{k:after}*in_FX", total=True),
    _value("net", "of which without the sale of the fleet owned today", CURRENCY,
           "{npv}-({pv:old_sale}+(1-{keeps})*in_Relief*(in_OldFleetValue-in_OldFleetBook)/(1+in_DiscountNominal))*"
           "in_FX"),
    _value("eac", "Equivalent annual cost after tax", "currency/year", "-PMT(in_DiscountNominal,in_HorizonMonths/"
                                                                       "12,{npv})"),
    _value(
        "per_hour", "Accelerator-hour owned or reserved, levelised", "currency/h",
        _levelised("{net}-{k:rest_bill}*in_FX", "hours"), CENTS,
    ),
    _value("per_delivered", "Accelerator-hour delivered, levelised", "currency/h",
           'IF({total:api}=1,"none",' + _levelised("{net}", "done_h") + ")", CENTS),
    _value("share", "Share of the cost that serves", "share", "IF({k:need}>0,{k:serve_h}/{k:need},0)", SHARE),
    _value("per_mtoken", "Million generated tokens, levelised, prompts included", CURRENCY,
           _levelised("{net}*{share}", "served"), CENTS, total=True),
    _value("per_in", "Million prompt tokens at the ratio of prices", CURRENCY,
           'IF(ISNUMBER({per_mtoken}),{per_mtoken}/(in_PriceRatio+in_PromptRatio),"none")', FINE),
    _value("per_out", "Million generated tokens at the ratio of prices", CURRENCY,
           'IF(ISNUMBER({per_in}),{per_in}*in_PriceRatio,"none")', FINE),
    _value("per_blended", "Million tokens of both kinds", CURRENCY,
           'IF(ISNUMBER({per_mtoken}),{per_mtoken}/(1+in_PromptRatio),"none")', FINE),
    _value("price_out", "Generated tokens with the margin asked for", CURRENCY,
           'IF(ISNUMBER({per_out}),{per_out}/(1-in_Margin),"none")', FINE),
    _value("price_in", "Prompt tokens with the margin asked for", CURRENCY,
           'IF(ISNUMBER({per_in}),{per_in}/(1-in_Margin),"none")', FINE),
    _value("per_run", "Training run", CURRENCY,
           'IF({k:trained_h}>0,{net}*(1-{share})*{total:run_h}/{k:trained_h},"none")', WHOLE),
    _value("per_pflop_day", "PFLOP-day of training, at the model's own FLOPs", CURRENCY,
           'IF(ISNUMBER({per_run}),{per_run}/({run_flops}/86400/1E+15),"none")', CENTS),
    _value("served_share", "Share of the load that is served", "share",
           "IF({total:need}>0,{total:done_h}/{total:need},0)", SHARE),
    _value("peak_kw", "IT power, busy", "kW", "{total:servers}*{total:busy_kw}*{total:owned}", "#,##0.0"),
    _value("contract", "Contracted IT power", "kW", "{total:servers}*{total:contract_kw}*{total:owned}", "#,##0.0"),
    _value("racks", "Racks", "count", "ROUNDUP({total:servers}*{total:owned}/in_ServersPerRack,0)", WHOLE),
    _value("co2", "Carbon of electricity", "kgCO2e", 'IF({rest_is_api}=1,"not stated",{total:carbon}*1000)', WHOLE),
    _value("co2_mtoken", "Carbon of a million generated tokens", "kgCO2e",
           'IF({rest_is_api}=1,"not stated",IF({total:served}>0,{total:carbon}*1000*{total:serve_h}/{total:need}/'
           '{total:served},"none"))', FINE),
    _value("rest_is_api", "Tokens are bought whose carbon nobody states", "flag",
           "IF(AND({total:rest}=3,{total:over_h}>0),1,0)", WHOLE),
)  # fmt: skip
OFFSET = {row.name: 1 + i for i, row in enumerate(ROWS)}
HEIGHT = len(ROWS) + 2


def result(name: str, option: int) -> str:
    """Address of a result or total of option 0, 1, ... in the chosen currency."""
    return f"Money!$D${TOP + option * HEIGHT + OFFSET[name]}"


def years_of(name: str, layout: Layout, option: int) -> str:
    """The years of a row."""
    row = TOP + option * HEIGHT + OFFSET[name]
    return f"Money!${get_column_letter(FIRST_YEAR)}${row}:${_last(layout)}${row}"


def _last(layout: Layout) -> str:
    return get_column_letter(FIRST_YEAR + layout.months // 12 - 1)


def add_money(book: Workbook, layout: Layout) -> None:
    """The Money sheet."""
    sheet = book.create_sheet("Money")
    years = layout.months // 12
    letters = [get_column_letter(FIRST_YEAR + y) for y in range(years)]
    widths = {"A": 56, "B": 12, "C": 8, "D": 16, "E": 2, **dict.fromkeys(letters, 14)}
    purpose = (
        "Years of every option, in the chosen currency, undiscounted unless it says present. Costs "
        "positive, income negative."
    )
    page(sheet, "Money", purpose, widths, freeze="F5")
    heading(sheet, HEAD, ["Line", "Unit", "Sign", "Total", ""])
    put(sheet, f"A{ENDS}", "The year ends")
    put(sheet, f"B{ENDS}", "date", "mls unit")
    put(sheet, f"A{SHARES}", "Share written off for tax in the year of the equipment's life")
    put(sheet, f"B{SHARES}", "share", "mls unit")
    for year, c in enumerate(letters, start=1):
        put(sheet, f"{c}{HEAD}", year, "mls heading")
        put(sheet, f"{c}{ENDS}", f"=EDATE(in_StartDate,12*{c}${HEAD})", "mls formula", DATE)
        found = f"INDEX(tblTax[[year_1]:[year_{SCHEDULE}]],MATCH(in_TaxMethod,tblTax[key],0),{c}${HEAD})"
        known = f"{c}${HEAD}<=COLUMNS(tblTax[[year_1]:[year_{SCHEDULE}]])"
        put(sheet, f"{c}{SHARES}", f"=IF({known},{found},0)", "mls link", "0.00%")
    for option in range(layout.count):
        _block(sheet, layout, option, letters)
    sheet.print_title_rows = f"{HEAD}:{HEAD}"
    sheet.print_area = f"A1:{letters[-1]}{TOP + layout.count * HEIGHT - 2}"
    for option in range(1, layout.count):
        sheet.row_breaks.append(Break(id=TOP + option * HEIGHT - 1))
    sheet.sheet_properties.tabColor = "1F3A5F"
    protect(sheet)


def _block(sheet: Worksheet, layout: Layout, option: int, letters: list[str]) -> None:
    top = TOP + option * HEIGHT
    block_title(sheet, top, f"={option_field('option', f'$D${top}')}", FIRST_YEAR + len(letters) - 1)
    put(sheet, f"D{top}", option + 1, "mls block")
    rows = {name: top + offset for name, offset in OFFSET.items()}
    for line in ROWS:
        r = rows[line.name]
        if line.kind == "title":
            put(sheet, f"A{r}", line.label, "mls total")
            continue
        put(sheet, f"A{r}", line.label, "mls total" if line.total else "mls label")
        unit = f'=in_Currency&"{line.unit.removeprefix(CURRENCY)}"' if line.unit.startswith(CURRENCY) else line.unit
        put(sheet, f"B{r}", "=in_Currency" if line.unit == CURRENCY else unit, "mls unit")
        put(sheet, f"C{r}", line.sign or None, "mls unit")
        if line.kind == "value":
            text = _expand(line.formula, layout, option, rows, "")
            style = "mls total" if line.total else "mls formula"
            put(sheet, f"D{r}", f"={text}", style, line.number_format)
            continue
        for c in letters:
            text = _expand(line.formula, layout, option, rows, c)
            put(sheet, f"{c}{r}", f"={text}", "mls total" if line.total else "mls formula", line.number_format)
        if line.name != "cumulative":
            put(sheet, f"D{r}", f"=SUM({letters[0]}{r}:{letters[-1]}{r})", "mls total", line.number_format)


def _expand(formula: str, layout: Layout, option: int, rows: dict[str, int], c: str) -> str:
    """Put addresses in the place of {names}."""
    out, rest = "", formula
    while "{" in rest:
        before, _, after = rest.partition("{")
        name, _, rest = after.partition("}")
        out += before + _name(name, layout, option, rows, c)
    return out + rest


def _name(name: str, layout: Layout, option: int, rows: dict[str, int], c: str) -> str:
    kind, _, what = name.partition(":")
    if kind == "monthly":
        return layout.months_of(what, option)
    if kind == "total":
        return layout.total(what, option)
    if kind == "pv":
        return layout.total(what, option, PV)
    if kind == "k":
        return layout.total(what, option, PV_AFTER)
    if kind == "d":
        return f"$D${rows[what]}"
    if kind == "before":  # the sum of the years before; column E is empty
        column = get_column_letter(_index(c) - 1)
        return f"SUM($E{rows[what]}:{column}{rows[what]})"
    plain = {
        "y": f"{c}${HEAD}",
        "years": layout.timeline(YEAR),
        "monthly_time": layout.timeline(HEAD),
        "first": get_column_letter(FIRST_YEAR),
        "last": _last(layout),
        "run_flops": "in_RunFlops",
    }
    if name in plain:
        return plain[name]
    return f"{c}{rows[name[:-1]]}" if name.endswith("@") else f"$D${rows[name]}"


def _index(letter: str) -> int:
    from openpyxl.utils import column_index_from_string

    return column_index_from_string(letter)
