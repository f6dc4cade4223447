"""The rows of the comparison of quotes, as formulas, one column for each quote.

In a formula {name} is a row of the same quote, {q:x} what was quoted, {t:x} a term, {m:n} the months of row n of
Monthly's timeline, {engine:x} a row of Engine over the options, {all:x} a row over all quotes.
"""

from __future__ import annotations

from dataclasses import dataclass

from openpyxl.utils import get_column_letter

from ..style import CENTS, FINE, SHARE, WHOLE
from .monthly import CLOUD_INDEX, COST, DISCOUNT, ENERGY, MONTH, NONE, RUN
from .rfq_table import OK, QUOTES, TOP, rent_of

SIGNED = "#,##0.000;(#,##0.000);0.000"
BY, SITE = "$C$5", "$C$6"
BY_TOKENS, BY_HOURS = "million tokens", "accelerator-hour"
NO_RATE, NOT_RANKED = "no rate in this plan", "not ranked"
FIRST = 3  # column C: the first quote
HEAD = TOP + QUOTES + 3
LETTERS = [get_column_letter(FIRST + i) for i in range(QUOTES)]
SPAN = f"${LETTERS[0]}${{row}}:${LETTERS[-1]}${{row}}"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the comparison: {name} is a row of the same quote, {q:x} what was quoted, {t:x} a term."""

    name: str
    label: str
    unit: str
    formula: str
    number_format: str = CENTS
    total: bool = False
    always: bool = False  # shown for rows that cannot be compared too


MONEY_UNIT = "currency"
ADDED = (
    "price",
    "network",
    "installation",
    "fit_out",
    "support",
    "software",
    "electricity",
    "colocation",
    "wait",
    "resale",
)


def _units(word: str) -> str:
    """How many of `word` (device, server, rack, total) a quote holds."""
    return f'IF({{q:{word}}}="total",1,IF({{q:{word}}}="device",{{devices}},{{q:quantity}}))'


def _extra(name: str, added: str) -> str:
    return f'IF({{q:{name}}}="yes",0,IF({{q:{name}}}="no",{added},{{q:{name}}}*{{one}}*{{paid}}))'


def _months(escalator: int, since: str) -> str:
    """Present value of one a month from month `since` (a fraction counts in part) to the horizon."""
    month = f"{{m:{MONTH}}}"
    partly = f"(({month}>={since}+1)+({month}>{since})*({month}<{since}+1)*({month}-{since}))"
    return f"SUMPRODUCT({{m:{RUN}}}*{{m:{DISCOUNT}}}*{{m:{escalator}}}*{partly})"


def _option(field: str) -> str:
    """A row of Engine for the first option with the quote's device."""
    return f"INDEX({{engine:{field}}},MATCH({{q:device}},tblOptions[device],0))"


ROWS: tuple[Row | str, ...] = (
    Row("status", "Status", "", "{q:status}", "@", always=True),
    Row(
        "rank",
        "Rank",
        "",
        f'IF(ISNUMBER({{figure}}),SUMPRODUCT(({{all:figure}}<{{figure}})*1)+1,IF({{q:vendor}}="","","{NOT_RANKED}"))',
        "0",
        total=True,
        always=True,
    ),
    Row("gap", "Dearer than the best by", "share", 'IF(ISNUMBER({figure}),{figure}/MIN({all:figure})-1,"")', SHARE),
    Row(
        "why",
        "What makes most of it",
        "",
        'IF(ISNUMBER({rank}),IF({rank}=1,"the best",INDEX({labels:diff},MATCH(MAX({diffs}),{diffs},0))),"")',
        "@",
    ),
    "What was asked for",
    Row(
        "fx",
        "Units of the chosen currency for one of the quote's",
        "factor",
        "in_FX/INDEX(tblFX[per_usd],MATCH({q:currency},tblFX[key],0))",
        "0.0000",
    ),
    Row("devices", "Accelerators", "count", "{q:quantity}*{q:in_unit}", WHOLE),
    Row(
        "one",
        "One unit that the price is for, per accelerator",
        MONEY_UNIT,
        f"{_units('per')}*{{fx}}/{{devices}}",
        "0.000000",
    ),
    Row("net", "Net price of an accelerator, as quoted", MONEY_UNIT, "{q:list}*(1-{q:discount})*{one}"),
    Row("kw", "Power of an accelerator with its share of the server", "kW", "{q:power}/1000/{q:in_server}", FINE),
    Row("late", "Delivered after", "months", "{q:weeks}*{t:week}*24/in_HoursPerMonth", CENTS),
    Row("delivered", "Discount factor at delivery", "factor", "1/(1+in_DiscountNominal)^({late}/12)", FINE),
    Row(
        "paid",
        "Discount factor at payment",
        "factor",
        "{delivered}/(1+in_DiscountNominal)^({q:days}*24/in_HoursPerYear)",
        FINE,
    ),
    Row("serves", "Months in service, present value", "months", _months(NONE, "{late}"), CENTS),
    "Per accelerator, present value over the horizon",
    Row("price", "Price, net of discount, at the payment terms", MONEY_UNIT, "{net}*{paid}"),
    Row("network", "Network that is not inside", MONEY_UNIT, _extra("network", "in_NetworkShare*{price}")),
    Row(
        "installation",
        "Delivery, installation, acceptance not inside",
        MONEY_UNIT,
        _extra("installation", "in_InstallShare*({price}+{network})"),
    ),
    Row("fit_out", "Extra fit-out for cooling", MONEY_UNIT, "{q:fit_out}*{fx}*{kw}*{delivered}"),
    Row(
        "support",
        "Support after the warranty",
        MONEY_UNIT,
        f'IF({{q:support_per}}="share",{{q:support}}*{{net}},{{q:support}}*{_units("support_per")}*{{fx}}/{{devices}})/12*'
        + _months(NONE, "({late}+12*{q:warranty})"),
    ),
    Row("software", "Software", MONEY_UNIT, "{q:software}*{fx}/12*{serves}"),
    Row(
        "electricity",
        "Electricity with cooling",
        MONEY_UNIT,
        "{kw}*{t:draw}*{t:pue}*in_HoursPerMonth*{t:tariff}*in_FX*" + _months(ENERGY, "{late}"),
    ),
    Row(
        "colocation",
        "Colocation and demand charge",
        MONEY_UNIT,
        f"{{kw}}*in_FX*(in_FacilityCost*{_months(COST, '{late}')}+in_DemandCharge*{_months(ENERGY, '{late}')})",
    ),
    Row(
        "wait",
        "Rent until delivery for the work it would do",
        MONEY_UNIT,
        f"IF({{late}}>0,{rent_of('{q:device}', '{t:own_rent}')}*in_FX*in_HoursPerMonth*in_Utilisation/in_MeteredFill"
        f"*({_months(CLOUD_INDEX, '0')}-{_months(CLOUD_INDEX, '{late}')}),0)",
    ),
    Row(
        "resale",
        "Buy-back, or resale as Inputs has it",
        MONEY_UNIT,
        'IF({q:buy_back}<>"",-{q:buy_back}*{net},-{own}*{fx}/{q:in_server}*(1-in_ResidualDecline)^((in_HorizonMonths-{late})/12))'
        "/(1+in_DiscountNominal)^(in_HorizonMonths/12)",
    ),
    Row("total", "In all, per accelerator delivered", MONEY_UNIT, "SUM({price}:{resale})", total=True),
    "Per unit of work",
    Row("order", "In all, the whole order", MONEY_UNIT, "{total}*{devices}", WHOLE),
    Row("hour", "Accelerator-hour delivered, levelised", MONEY_UNIT, "{total}/{t:hours}", FINE, total=True),
    Row(
        "rate",
        "Generated tokens per second and accelerator (Engine)",
        "tokens/s",
        f'IF(ISNUMBER({_option("per_device")}),IF({_option("per_device")}>0,{_option("per_device")},"{NO_RATE}"),"{NO_RATE}")',
        WHOLE,
    ),
    Row(
        "mtoken",
        "Million generated tokens, levelised",
        MONEY_UNIT,
        f'IF(ISNUMBER({{rate}}),{{total}}/({{t:hours}}*{{rate}}*3600/1000000),"{NO_RATE}")',
        FINE,
        total=True,
    ),
    Row(
        "output",
        "What the comparison divides by",
        "units",
        f'IF({BY}="{BY_HOURS}",{{t:hours}},IF(ISNUMBER({{rate}}),{{t:hours}}*{{rate}}*3600/1000000,"{NO_RATE}"))',
        WHOLE,
    ),
    Row(
        "figure",
        "What is ranked: status ok, and a figure",
        MONEY_UNIT,
        f'IF(AND({{q:status}}="{OK}",ISNUMBER({{output}})),{{total}}/{{output}},"")',
        FINE,
    ),
    "Difference to the best quote, in what is ranked",
    *(
        Row(
            f"diff_{name}",
            "",
            MONEY_UNIT,
            f'IF(ISNUMBER({{figure}}),{{{name}}}/{{output}}-INDEX({{all:{name}}},{{t:best}})/INDEX({{all:output}},{{t:best}}),"")',
            SIGNED,
        )
        for name in ADDED
    ),
    Row("diff", "In all", MONEY_UNIT, 'IF(ISNUMBER({figure}),SUM({diff_price}:{diff_resale}),"")', SIGNED, total=True),
    "For the contract",
    Row(
        "accept",
        "Accept at: nine in ten measurements reach it",
        "tokens/s",
        f'IF(ISNUMBER({{rate}}),IF(ISNUMBER({_option("rate_p10")}),{_option("rate_p10")},"not validated"),"{NO_RATE}")',
        WHOLE,
    ),
    Row("promise", "Promised", "tokens/s", 'IF({q:promise}<>"",{q:promise},"nothing promised")', WHOLE),
    Row(
        "judged",
        "The promise",
        "",
        'IF(AND(ISNUMBER({promise}),ISNUMBER({accept})),IF({promise}<{accept},"below: ask for more",'
        'IF({promise}>{rate},"above the middle: get it in writing","within the range")),"-")',
        "@",
    ),
    Row(
        "own",
        "Own price for Options, per server",
        "quote's",
        "({price}+{network}+{installation})/{paid}/((1+in_NetworkShare)*(1+in_InstallShare))/{fx}*{q:in_server}",
    ),
)
PLACE: dict[str, int] = {r if isinstance(r, str) else r.name: HEAD + 1 + i for i, r in enumerate(ROWS)}
TERMS_TOP = HEAD + len(ROWS) + 3
TERM_NAMES = ("pue", "tariff", "own_draw", "plan_draw", "draw", "own_rent", "week", "hours", "best")
TERMS = {name: f"$C${TERMS_TOP + 1 + i}" for i, name in enumerate(TERM_NAMES)}
DATED = f"$C${TERMS_TOP + 1 + len(TERM_NAMES)}"
