"""Compare: the options side by side, what one saves against a reference by month, and the decision paths.

Every row is one formula across the options.  What is not defined is said in words ("none"), never as an error.  The
paths stand in `compare_paths` and `compare_when`; the point at which the lowest option changes in `compare_flip`.
"""

from __future__ import annotations

from openpyxl import Workbook

from ..style import CENTS, FINE, MONEY, SHARE, WHOLE, heading, page, protect, put
from .compare_flip import add_flip, flip_at
from .compare_paths import add_buy, add_count, add_device, add_power, add_price, add_refresh, add_run
from .compare_table import LABEL_ROW, NUMBER_ROW, SHEET, Table
from .compare_when import add_when
from .monthly import Layout
from .options import OK, option_field

_PLACES: dict[str, str] = {}


def flip_cell() -> str:
    """Address of the words that say at which utilisation the lowest option changes, or ""."""
    return flip_at()


def utilisation_block() -> dict[str, str]:
    """Ranges of the chart of cost against utilisation: shares, figures, labels (one column for each option)."""
    return dict(_PLACES)


def add_compare(book: Workbook, layout: Layout) -> Table:
    """The Compare sheet."""
    sheet = book.create_sheet(SHEET)
    table = Table(book, sheet, layout)
    widths = {"A": 74, "B": 15, "C": 16, **dict.fromkeys(table.letters, 17)}
    page(sheet, "Compare", "Options side by side; then each decision by itself. Yellow cells choose; blank takes "
                           "what the label says.",
         widths, freeze="D6")  # fmt: skip
    put(sheet, f"A{NUMBER_ROW}", "Option number", "mls unit")
    heading(sheet, LABEL_ROW, ["Figure", "Unit", "Value"], height=42)
    for i, c in enumerate(table.letters, start=1):
        put(sheet, f"{c}{NUMBER_ROW}", i, "mls unit")
        put(sheet, f"{c}{LABEL_ROW}", f"={option_field('option', f'{c}${NUMBER_ROW}')}", "mls heading")
    _side_by_side(table)
    _reference(table)
    hold = table.next  # the increments need the months, which stand at the end
    table.next += 10
    _PLACES.update(add_buy(table))
    add_flip(table)
    add_device(table)
    add_count(table)
    add_when(table)
    add_price(table)
    add_power(table)
    add_refresh(table)
    add_run(table)
    last = table.next
    _months(table)
    table.next = hold
    _increments(table)
    sheet.print_title_rows = f"{LABEL_ROW}:{LABEL_ROW}"
    sheet.print_area = f"A1:{table.letters[-1]}{last}"
    sheet.sheet_properties.tabColor = "1F3A5F"
    protect(sheet)
    return table


def _side_by_side(t: Table) -> None:
    t.title("Side by side")
    t.option("status", "Status", "", "{option:status}", None)
    for name, label, unit, fmt in (
        ("npv_before", "Net present cost before tax", "currency", MONEY),
        ("npv", "Net present cost after tax", "currency", MONEY),
        ("net", "of which without the sale of the fleet owned today", "currency", MONEY),
        ("eac", "Equivalent annual cost after tax", "currency/year", MONEY),
        ("upfront", "Upfront cash", "currency", MONEY),
        ("per_hour", "Accelerator-hour owned or reserved", "currency/h", CENTS),
        ("per_delivered", "Accelerator-hour delivered", "currency/h", CENTS),
        ("per_mtoken", "Million generated tokens, prompts included", "currency", CENTS),
        ("per_in", "Million prompt tokens", "currency", FINE),
        ("per_out", "Million generated tokens, prompts paid apart", "currency", FINE),
        ("per_blended", "Million tokens of both kinds", "currency", FINE),
        ("per_run", "Training run", "currency", WHOLE),
        ("co2", "Carbon of electricity", "kgCO2e", WHOLE),
    ):  # fmt: skip
        t.option(name, label, unit, f"{{result:{name}}}", fmt, "mls link")
    t.option("per_watt", "Tokens per second and watt of IT power", "tokens/s/W", "{engine:per_watt}", FINE, "mls link")
    t.option("served_share", "Share of the load that is served", "share", "{result:served_share}", SHARE, "mls link")
    whole = 'AND({status}="' + OK + '",ISNUMBER({npv}),ROUND({served_share},9)=1)'
    t.option("ranked", "Takes part in the ranking: status ok, whole load served", "flag", f"IF({whole},1,0)", WHOLE)
    t.option("ranked_npv", "Net present cost of those that take part", "currency", 'IF({ranked}=1,{npv},"none")', MONEY)
    t.option("rank_key", "The same as a number", "currency", "IF({ranked}=1,{npv},0)", MONEY)
    t.option(
        "rank",
        "Rank by net present cost after tax",
        "place",
        'IF({ranked}=1,SUMPRODUCT({row:ranked},1*({row:rank_key}<{rank_key}))+1,"not ranked")',
        WHOLE,
        "mls total",
    )
    t.value(
        "best",
        "Lowest",
        "no",
        'IF(COUNT({row:ranked_npv})>0,MATCH(MIN({row:ranked_npv}),{row:ranked_npv},0),"none")',
        WHOLE,
    )
    t.value(
        "runner",
        "Runner-up",
        "no",
        'IF(COUNT({row:ranked_npv})>1,MATCH(SMALL({row:ranked_npv},2),{row:ranked_npv},0),"none")',
        WHOLE,
    )


def _reference(t: Table) -> None:
    t.title("Against a reference option")
    t.knob("cmp_Reference", "Reference option, its number (blank: the cheapest way to rent)", "no")
    rents = (
        'OR({option:financing}="on-demand",{option:financing}="spot",{option:financing}="reserved",'
        '{option:financing}="API")'
    )
    t.option(
        "rented_npv",
        "Net present cost of the ways to rent",
        "currency",
        f'IF(AND({{ranked}}=1,{rents}),{{npv}},"none")',
        MONEY,
    )
    cheapest = "IF(COUNT({row:rented_npv})>0,MATCH(MIN({row:rented_npv}),{row:rented_npv},0),1)"
    t.value("reference", "Reference used", "no", f"IF(ISNUMBER({{cmp_Reference}}),{{cmp_Reference}},{cheapest})", WHOLE)


def _months(t: Table) -> None:
    """Cash, savings and sums by month, below the page."""
    t.title("Months: what the figures against the reference are made of")
    t.months("cash", "Net cash cost after tax", "currency", "IFERROR(INDEX({months:after},{m@}+1)*in_FX,0)", MONEY)
    other = f"INDEX(${t.letters[0]}{{r}}:${t.letters[-1]}{{r}},$C${t.rows['reference']})"
    _month_block(t, "saving", "Saving against the reference", other + "-{cash@}")
    t.months("gained", "Saving so far", "currency", "SUM({sofar:saving})", MONEY)
    t.months("discounted", "Saving, present", "currency", "{saving@}/(1+in_DiscountNominal)^({m@}/12)", MONEY)
    t.months("present", "Saving so far, present", "currency", "SUM({sofar:discounted})", MONEY)
    t.months(
        "behind",
        "Behind at the end of the month: the next month, else 0",
        "month",
        "IF(ROUND({gained@},2)<0,{m@}+1,0)",
        WHOLE,
    )
    t.months(
        "ahead",
        "Ahead at the end of the month: the next month, else 0",
        "month",
        "IF(ROUND({gained@},2)>0,{m@}+1,0)",
        WHOLE,
    )
    t.months(
        "late", "Behind in present value: the next month, else 0", "month", "IF(ROUND({present@},2)<0,{m@}+1,0)", WHOLE
    )


def _month_block(t: Table, name: str, label: str, formula: str) -> None:
    """The savings: the same month of the reference's cash less the option's own."""
    top = t.rows["cash"]
    first, last = t.letters[0], t.letters[-1]
    put(t.sheet, f"A{t.next}", label, "mls total")
    put(t.sheet, f"B{t.next}", "=in_Currency", "mls unit")
    t.next += 1
    t.rows[name] = t.next
    for month in range(t.layout.months + 1):
        put(t.sheet, f"A{t.next}", month, "mls unit")
        r = top + month
        for c in t.letters:
            text = f"=INDEX(${first}{r}:${last}{r},$C${t.rows['reference']})-{c}{r}"
            put(t.sheet, f"{c}{t.next}", text, "mls formula", MONEY)
        t.next += 1
    t.next += 1


def _increments(t: Table) -> None:
    """Yardsticks of the savings; "none" where they are not defined."""
    saving, both = "{column:saving}", "AND(MIN({column:saving})<-1,MAX({column:saving})>1)"
    moves = "OR(MIN({column:saving})<-1,MAX({column:saving})>1)"
    month = "(1+in_DiscountNominal)^(1/12)-1"
    figure = "ISNUMBER({npv})"
    end = "INDEX({time:m},1,COLUMNS({time:m}))"
    # Norstrom (1972): sums that go once, from behind to ahead, have one positive rate of return.
    invests = f'MAX({{column:behind}})>0,COUNTIF({{column:ahead}},">0")=MAX(1,{end}+1-MAX({{column:behind}}))'
    t.option(
        "gain",
        "Saving in net present cost after tax",
        "currency",
        "INDEX({row:npv},{reference})-{npv}",
        MONEY,
        "mls total",
    )
    t.option("gain_npv", "The same with all flows at the discount rate, end of month", "currency",
             f'IF({figure},INDEX({saving},1)+NPV({month},{{rest_of_saving}}),"none")', MONEY)  # fmt: skip
    t.option("irr", "Internal rate of return of the saving, a year", "share",
             f'IF(AND({figure},{both},{invests}),IFERROR((1+IRR({saving},{month}))^12-1,"none"),"none")',
             SHARE)  # fmt: skip
    t.option("mirr", "The same, with cash lent and borrowed at the discount rate", "share",
             f'IF(AND({figure},{both}),IFERROR((1+MIRR({saving},{month},{month}))^12-1,"none"),'
             f'"none")', SHARE)  # fmt: skip
    for name, block, label in (
        ("payback", "behind", "Payback"),
        ("payback_present", "late", "Payback in present value"),
    ):
        formula = f'IF(AND({figure},{moves}),IF(MAX({{column:{block}}})>{end},"none",MAX({{column:{block}}})),"none")'
        t.option(name, f"{label}: month from which the option stays ahead", "month", formula, WHOLE)
    turn = "IF(MAX({column:behind})>MAX({column:ahead}),MAX({column:ahead}),MAX({column:behind}))"
    t.option("crossover", "Crossover: month from which the order of the two stays as it ends", "month",
             f'IF(AND({figure},{moves}),IF({turn}>0,{turn},"none"),"none")', WHOLE)  # fmt: skip
    t.note("The rate of return is given where the saving is first behind and then, once and for good, ahead.")
    t.note("Any other order of the cash has none, or several (Norstrom 1972).")
    t.note("Savings are positive. Loans and leases: the first line discounts them at the cost of debt, as Money does.")
