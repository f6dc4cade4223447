"""When to buy: rent until a month, buy at the price of then.  A row is a month of waiting, a column an option."""

from __future__ import annotations

from openpyxl.utils import get_column_letter

from ..style import CENTS, MONEY, SHARE, WHOLE, put
from .compare_table import FIRST, NO_FIGURE, Table
from .lines import DRIVERS
from .money import FIRST_YEAR, SHARES

WAITS = (0, 3, 6, 9, 12, 15, 18, 21, 24)


def add_when(t: Table) -> None:
    """The value of waiting, for every option that buys new equipment at month 0."""
    t.title("When: the value of waiting", "path_when")
    t.note(
        "Rent on demand until the month, then buy the same capacity at the price of then, cash; without the fleet "
        "owned today.  Prices of cost lines as of today."
    )
    t.option(
        "waits",
        "Buys new equipment at month 0, once",
        "flag",
        "IF(AND({total:new}=1,{total:start}=0,{total:refresh}=0,{ranked}=1),1,0)",
        WHOLE,
    )
    shares = "+".join(
        f'SUMPRODUCT(tblLines[price used],tblLines[quantity],1*(tblLines[driver]="bill"),1*(tblLines[applies]="{who}"))'
        for who in ("all", "cloud")
    )
    t.value("bill_share", "Support and other shares of a provider's bill", "share", shares, SHARE)
    t.value("months_counted", "Months of the horizon, present and after tax", "months",
            "SUMPRODUCT({time:run},{time:after})", CENTS)  # fmt: skip
    label = "Lines that follow the price of the equipment, present (column C: their code)"
    t.lines("hardware_lines", label, "L", DRIVERS["hardware"][0], "running")
    lines = 'SUMPRODUCT(tblLines[price used],tblLines[quantity],1*(tblLines[applies]="cloud"),'
    for name, label, unit, driver, timing in (
        ("cloud_once", "Cost lines of renting, once", "USD", "plan", "once"),
        ("cloud_month", "Cost lines of renting, a month", "USD/month", "plan", "monthly"),
        ("cloud_year", "Cost lines of renting, a year", "USD/year", "plan", "yearly"),
        ("cloud_token", "Cost lines of renting, a million tokens", "USD", "tokens", "monthly"),
    ):  # fmt: skip
        formula = f'{lines}1*(tblLines[driver]="{driver}"),1*(tblLines[timing]="{timing}"))'
        t.value(name, label, unit, formula, CENTS)
    top = t.next + 1
    factor_row = {w: top + i for i, w in enumerate(WAITS)}
    _factors(t, factor_row)
    put(t.sheet, f"A{t.next}", "Present cost after tax, bought at month", "mls total")
    put(t.sheet, f"B{t.next}", "=in_Currency", "mls unit")
    t.next += 1
    first = t.next
    for wait in WAITS:
        r, f = t.next, factor_row[wait]
        put(t.sheet, f"C{r}", wait, "mls unit", WHOLE)
        for c in t.letters:
            text = t.expand(_cost(f"$C{r}", f"$C{f}"), c)
            put(
                t.sheet,
                f"{c}{r}",
                f'=IFERROR(IF({c}${t.rows["waits"]}=1,{text},"none"),"{NO_FIGURE}")',
                "mls formula",
                MONEY,
            )
        t.next += 1
    last = t.next - 1
    for c in t.letters:
        area = f"{c}{first}:{c}{last}"
        best = f"INDEX($C{first}:$C{last},MATCH(MIN({area}),{area},0))"
        put(t.sheet, f"{c}{t.next}", f'=IF(COUNT({area})>0,{best},"none")', "mls total", WHOLE)
        put(t.sheet, f"{c}{t.next + 1}", f'=IF(COUNT({area})>0,{c}{first}-MIN({area}),"none")', "mls total", MONEY)
    for label, unit in (("Best month to buy", "month"), ("Value of waiting until then", "currency")):
        t.label(label, label, unit)


def _factors(t: Table, rows: dict[int, int]) -> None:
    """What a dollar of equipment costs after its tax relief, by the month in which it is bought."""
    put(
        t.sheet,
        f"A{t.next}",
        "Cost of a dollar of equipment bought then, its tax relief by year taken off",
        "mls total",
    )
    put(t.sheet, f"C{t.next}", "present", "mls unit")
    years = t.layout.months // 12
    head = t.next
    for y in range(1, years + 1):
        put(t.sheet, f"{get_column_letter(FIRST + y)}{head}", y, "mls unit")
    t.next += 1
    start, end = get_column_letter(FIRST_YEAR), get_column_letter(FIRST_YEAR + years - 1)
    shares = f"Money!${start}${SHARES}:${end}${SHARES}"
    first, last = get_column_letter(FIRST + 1), get_column_letter(FIRST + years)
    blank = get_column_letter(FIRST)
    for wait, r in rows.items():
        put(t.sheet, f"B{r}", wait, "mls unit")
        begin, until = f"INT($B{r}/12)+1", "MAX(1,ROUNDUP(in_HorizonMonths/12,0))"
        for y in range(years):
            c, before = get_column_letter(FIRST + y + 1), get_column_letter(FIRST + y)
            earlier = f"SUM(${blank}{r}:{before}{r})"  # its first column is blank
            planned = f"INDEX({shares},{c}${head}-({begin})+1)"
            text = f"IF(OR({c}${head}<{begin},{c}${head}>{until}),0,IF({c}${head}={until},1-{earlier},{planned}))"
            put(t.sheet, f"{c}{r}", f"={text}", "mls formula", SHARE)
        relief = f"SUMPRODUCT({first}{r}:{last}{r},1/(1+in_DiscountNominal)^(${first}${head}:${last}${head}))"
        paid = f"1/(1+in_DiscountNominal)^(($B{r}-in_Middle*IF($B{r}>0,1,0))/12)"
        put(t.sheet, f"C{r}", f"={paid}-in_Relief*{relief}", "mls formula", "0.0000")
        t.next += 1


def _cost(wait: str, factor: str) -> str:
    """Rent until then, equipment of then, running cost after, resale at the end."""
    price, perf = f"(1-in_PriceDecline)^({wait}/12)", f"(1+in_PerfGain)^({wait}/12)"
    rent = (
        f"SUMPRODUCT({{months:need}},{{time:cloud}},{{time:after}},1*({{time:m}}<={wait}))*"
        f"{{rent}}/in_FX*(1+{{bill_share}})"
    )
    months = f"SUMPRODUCT({{time:run}},{{time:after}},1*({{time:m}}<={wait}))"
    plan = f"({{plan_month}}+{{plan_year}})*{months}/{{months_counted}}"
    cloud = (
        f"({{cloud_month}}+{{cloud_year}}/12)*{months}+{{cloud_once}}*INDEX({{time:after}},1)*SIGN({wait})"
        f"+{{cloud_token}}*SUMPRODUCT({{months:served}},{{time:after}},1*({{time:m}}<={wait}))"
    )
    equipment = f"{{total:asset}}*{price}/{perf}*{factor}"
    # what is due at month 0 is still due when the equipment comes
    later = f"1-({{time:m}}>0)*({{time:m}}<={wait})"
    running = "+".join(f"SUMPRODUCT({{months:{x}}},{{time:after}},{later})" for x in ("running_sum", "electricity"))
    rest = "+".join(f"SUMPRODUCT({{months:{x}}},{{time:after}},{later})" for x in ("cloud_sum", "rest_bill"))
    dearer = f"{{hardware_lines}}*({price}-1)*(1-{months}/{{months_counted}})"  # lines that are a share of its price
    end = "((in_HorizonMonths-in_Middle)/12)"
    sold = f"1/(1+in_DiscountNominal)^{end}-in_Relief/(1+in_DiscountNominal)^MAX(1,ROUNDUP(in_HorizonMonths/12,0))"
    resale = (
        f"{{total:kept}}*{{total:servers}}*{{total:price}}*{price}/{perf}*(1-in_ResidualDecline)"
        f"^((in_HorizonMonths-{wait})/12)*({sold})"
    )
    return f"({rent}+{plan}+{cloud}+{equipment}+({running}+{dearer})/{perf}+{rest}-{resale})*in_FX"
