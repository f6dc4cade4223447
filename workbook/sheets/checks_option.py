"""The checks of one option: its row is sound, every line equals a closed form of its drivers, sums tie, and the money
agrees with the engine's own MLS_TCO, with Excel's NPV and with the rules of loans, leases and depreciation.
"""

from __future__ import annotations

from ..plan import Plan
from .engine import ROW, option_columns
from .money import ROWS as MONEY_ROWS
from .money import result, years_of
from .monthly import CLOUD_INDEX, ENERGY, NONE, PV, Layout
from .options import OK, option_field

Check = tuple[str, str, float, str]  # what, value, tolerance, advice
OVERWRITTEN = "A cell of this line was overwritten"
TWICE = "Two rows of one item and basis: delete one, or enter your own price"
DISAGREE = "Money and engine disagree: a line or a price was changed on one side"
EXACT, CLOSE = 1e-9, 1e-8


def of_option(i: int, plan: Plan, layout: Layout) -> list[Check]:
    """All checks of option `i` (0, 1, ...)."""
    return [
        *(_named(i, c) for c in (*_row(i), *_lines(i, plan, layout), *_sums(i, layout), *_finance(i, layout))),
        *(_named(i, c) for c in _engine(i, layout)),
    ]


def _named(i: int, check: Check) -> Check:
    return (f"Option {i + 1}: {check[0]}", *check[1:])


def _row(i: int) -> list[Check]:
    """The row of the Options table."""
    n = str(i + 1)
    api = f'{option_field("financing", n)}="API"'
    found = "+".join(
        f"ABS(COUNTIF({table}[key],{option_field(name, n)})-1)"
        for table, name in (("tblHardware", "device"), ("tblPrecisions", "precision"))
    )
    site = f"ABS(COUNTIF(tblSites[key],{option_field('site', n)})-1)"
    keys = {
        "server price": f'{option_field("server", n)}&"|server"',
        "devices and share": f'{option_field("device", n)}&"|purchase"',
        "on-demand price": f'{option_field("device", n)}&"|on_demand"',
        "spot price": f'{option_field("device", n)}&"|spot"',
        "API price": 'in_Model&"|api_output"',
    }
    prices = "0"
    for word, key in keys.items():
        prices = f'IF({option_field("price_basis", n)}="{word}",ABS(COUNTIF(tblPrices[lookup],{key})-1),{prices})'
    rate, low, high = (f"Engine!${option_columns(i + 1)[i]}${ROW[name]}" for name in ("rate", "rate_p10", "rate_p90"))
    inside = f"IF(OR(ISTEXT({low}),ISTEXT({rate})),0,IF(AND({low}<={rate},{rate}<={high}),0,1))"
    return [
        ("the row of Options is sound", f'IF({option_field("status", n)}="{OK}",0,1)', 0,
         "The column status of Options says what is wrong"),
        ("device, precision and site stand exactly once in the registries", f"{site}+IF({api},0,{found})", 0,
         "A key is missing or stands twice"),
        ("its price stands exactly once on Prices", prices, 0, TWICE),
        ("throughput lies inside its own range, where it has one", inside, 0, OVERWRITTEN),
    ]  # fmt: skip


def _lines(i: int, plan: Plan, layout: Layout) -> list[Check]:
    """Every cost line against price x quantity x driver, summed over its months at once."""

    def block(first: str, last: str) -> str:
        start, end = layout.months_of(first, i), layout.months_of(last, i)
        return f"{start.split(':')[0]}:{end.split(':')[1]}"

    moving, timing = block("one", "water"), block("once", "last")
    index = f"Monthly!${layout.first}${NONE}:${layout.last}${CLOUD_INDEX}"
    out = []
    for name, number in layout.lines.items():
        r = layout.row(name, i)
        form = (
            f"Monthly!$E${r}*Monthly!$F${r}*SUMPRODUCT(INDEX({moving},Monthly!$G${r},0),INDEX({timing},"
            f"Monthly!$H${r},0),"
            f"INDEX({index},Monthly!$I${r},0))"
        )
        out.append(
            (f"{plan.lines[number - 1].item} equals its drivers", _ratio(f"Monthly!$D${r}", form), EXACT, OVERWRITTEN)
        )
    return out


def _sums(i: int, layout: Layout) -> list[Check]:
    """Quantities and sums that must tie."""

    def d(name: str) -> str:
        return layout.total(name, i)

    def many(*names: str) -> str:
        return "+".join(d(n) for n in names)

    power = f"{d('tariff')}*SUMPRODUCT({layout.months_of('paid_kwh', i)},{layout.timeline(ENERGY)})"
    groups = {g: "+".join(d(f"{g}{n}") for n in numbers) for g, numbers in layout.groups.items()}
    leaves = many(
        "capital_sum", "lessor", "refresh_cost", "loan_in", "loan_out", "loan_end", "rent", "rent_end", "buyout",
        "reserved_bill", "reserved_upfront", "reserved_end", "rest_bill", "electricity", "running_sum", "cloud_sum",
        "resale", "old_sale",
    )  # fmt: skip
    months = (layout.months + 1) * (layout.height - 2 - sum(r.kind == "driver" for r in layout.rows))
    first = next(r.name for r in layout.rows if r.kind != "driver")
    area = f"{layout.months_of(first, i).split(':')[0]}:{layout.months_of(layout.rows[-1].name, i).split(':')[1]}"
    years = sum(r.kind == "year" for r in MONEY_ROWS) * layout.months // 12
    top, end = (years_of(MONEY_ROWS[k].name, layout, i).split(":") for k in (1, -1))
    block = f"{top[0]}:{end[1]}"
    return [
        ("every cell of its months is a number", f"{months}-COUNT({area})", 0, "A text or a blank stands in a month"),
        (
            "hours of the fleet and of the rest make the load",
            _ratio(many("own_h", "over_h"), d("need")),
            EXACT,
            OVERWRITTEN,
        ),
        ("electricity is what is paid times its price", _ratio(d("electricity"), power), EXACT, OVERWRITTEN),
        ("the fleet delivers no more than it can", f"IF({d('own_h')}<={d('cap')}*(1+1/10^9),0,1)", 0, OVERWRITTEN),
        ("no more is served than asked for", f"IF({d('served')}<={d('demand')}*(1+1/10^9),0,1)", 0, OVERWRITTEN),
        (
            "equipment is the sum of its lines",
            _ratio(d("capital_sum"), f"{many('servers_cost', 'network')}+{groups['capital']}"),
            EXACT,
            OVERWRITTEN,
        ),
        ("running lines are the sum of theirs", _ratio(d("running_sum"), groups["running"]), EXACT, OVERWRITTEN),
        ("lines of the provider are the sum of theirs", _ratio(d("cloud_sum"), groups["cloud"]), EXACT, OVERWRITTEN),
        ("net cash is the sum of its parts", _ratio(d("cash"), leaves), EXACT, OVERWRITTEN),
        (
            "the cumulative cost ends in the total",
            _ratio(f"Monthly!${layout.last}${layout.row('cumulative', i)}", d("after")),
            EXACT,
            OVERWRITTEN,
        ),
        ("cash by year equals cash by month", _ratio(result("cash", i), f"{d('cash')}*in_FX"), EXACT, OVERWRITTEN),
        ("tax by year equals tax by month", _ratio(result("tax", i), f"{d('tax')}*in_FX"), EXACT, OVERWRITTEN),
        ("the years hold no error and no text", f"{years}-COUNT({block})", 0, OVERWRITTEN),
    ]


def _finance(i: int, layout: Layout) -> list[Check]:
    """Loans, leases, depreciation, tax and present values against their own rules."""

    def d(name: str) -> str:
        return layout.total(name, i)

    month = "(1+in_DiscountNominal)^(1/12)-1"
    half = "(1+in_DiscountNominal)^(in_Middle/12)"

    def npv(name: str) -> str:
        first, rest = layout.months_of(name, i).split(":")[0], layout.months_of(name, i, 1)
        return f"{first}+NPV({month},{rest})*{half}"

    def pv(name: str) -> str:
        return f"Monthly!${PV}${layout.row(name, i)}"

    operating = f"{npv('cash')}-({npv('financing')})"
    at_debt = (
        f"{layout.total('bridge', i)}*({layout.months_of('financing', i).split(':')[0]}+NPV((1+"
        f"in_DebtBefore)^(1/12)-1,{layout.months_of('financing', i, 1)}))"
    )
    tax_npv = f"NPV(in_DiscountNominal,{years_of('tax', layout, i)})/in_FX"
    rate = "in_LeaseRate/12"
    residual = f"in_LeaseResidual*{d('asset')}/(1+{rate})^{d('term')}"
    annuity = f"IF({rate}=0,{d('term')},(1-(1+{rate})^(0-{d('term')}))/({rate}))"
    rents = f"{d('rent_month')}*(1+{rate})*{annuity}"
    paid = f"{d('loan_out')}+{d('loan_end')}-{d('interest')}"
    return [
        ("present value equals Excel's NPV", _ratio(pv("cash"), f"{operating}+{at_debt}"), EXACT, OVERWRITTEN),
        ("present value of tax equals Excel's NPV of the years", _ratio(pv("tax"), tax_npv), EXACT, OVERWRITTEN),
        ("the loan is repaid in full", f"IF({d('loan')}=1,{_ratio(paid, d('principal'))},0)", CLOSE, OVERWRITTEN),
        ("rents and residual are worth the equipment",
         f"IF({d('lease')}=1,{_ratio(f'{rents}+{residual}', d('asset'))},0)", CLOSE, OVERWRITTEN),
        ("all that is bought is written off for tax",
         _ratio(f"{result('tax1', i)}+{result('tax2', i)}", f"{result('base1', i)}+{result('base2', i)}"), EXACT,
         "Reg_Finance: the shares of the schedule must be 1 in all, and its years must reach"),
        ("depreciation in the books and disposal make the same",
         _ratio(f"{result('book1', i)}+{result('book2', i)}+{result('disposal', i)}",
                f"{result('tax1', i)}+{result('tax2', i)}+{result('old_book', i)}+{result('resale', i)}+"
                f"{result('old_sale', i)}"),
         CLOSE, OVERWRITTEN),
        ("tax is the rate times what is deducted", _ratio(result("tax", i), f"-in_Relief*"
                                                                            f"{result('deducted', i)}"), EXACT,
         OVERWRITTEN),
        ("cost before tax in the books equals cash before tax and the sunk book value, revenue apart",
         _ratio(f"{result('loss', i)}-{result('revenue', i)}", f"{result('cash', i)}+in_OldFleetBook*in_FX"), CLOSE,
         OVERWRITTEN),
        ("power fits the site", f"IF({result('contract', i)}<=in_SiteMegawatts*1000,0,1)", 0,
         "Fewer servers, or more in_SiteMegawatts"),
    ]  # fmt: skip


def _engine(i: int, layout: Layout) -> list[Check]:
    """Money against MLS_TCO, where something is bought at month 0 with live figures."""
    column = option_columns(i + 1)[i]
    names = {"in_Maintenance": "upkeep", "in_StaffCost": "staff", "in_FacilityCost": "facility"}
    applies = f"OR(in_Live=0,{layout.total('start', i)}>0,{layout.total('new', i)}=0,in_PowerRamp>0)"
    plan = {v: k for k, v in layout.line_names.items()}
    bought = f"({layout.total('servers_cost', i)}+{layout.total('network', i)})"
    engine = f"Engine!${column}${ROW['purchase']}"
    out = [("purchase equals MLS_TCO", f"IF({applies},0,{_ratio(bought, engine)})", EXACT, DISAGREE)]
    for name, figure in names.items():
        year = f"SUM({layout.months_of(plan[name], i, 1, 12)})"
        short = f"OR({applies},in_HorizonMonths<12)"
        check = f"IF({short},0,{_ratio(year, f'Engine!${column}${ROW[figure]}')})"
        out.append((f"{figure} of months 1 to 12 equals MLS_TCO", check, EXACT, DISAGREE))
    return out


def _ratio(a: str, b: str) -> str:
    """Relative difference; the plain difference where both are about nothing."""
    return f"IF(ABS({b})>1/10^6,ROUND(({a})/({b})-1,12),ROUND(({a})-({b}),6))"
