"""The decisions on Compare, each a block of rows with one column for each option.

Present values are those of column K of Monthly: after tax relief, in US dollars, times the exchange rate.  The cost of
an option is a fixed part and a part that moves with the load; both hold while its fleet stays as it is.
"""

from __future__ import annotations

from ..style import CENTS, FINE, MONEY, SHARE, WHOLE, put
from .compare_table import LABEL_ROW, NO_FIGURE, Table
from .lines import DRIVERS, PLAN_MONTHLY, PLAN_YEARLY
from .options import OWNED

SHARES = tuple(s / 20 for s in range(1, 21))  # of the time that is filled, for the chart
_OWNED = "OR(" + ",".join(f'{{option:financing}}="{word}"' for word in OWNED) + ")"
_NONE = '"none"'


def add_buy(t: Table) -> dict[str, str]:
    """Buy against lease, cloud and API; returns the ranges of the chart."""
    t.title("Buy, lease, rent or pay per token", "path_buy")
    t.note("A fleet costs the same whatever it does. What is metered moves with the load, and so does the power")
    t.note("above idle wherever more is used than must be paid. Where both cost the same:")
    above_idle = "{total:pue}*({total:busy_kw}-{total:idle_kw})/MAX({total:per_server},1)/in_Goodput"
    used = "1*({months:fleet_kwh}>={months:paid_kwh})"  # not in the months of take or pay
    t.option("moving_power", "Electricity that follows the load, present", "currency",
             f"{{total:owned}}*{{total:tariff}}*{above_idle}*SUMPRODUCT({{months:own_h}},1/{{months:pace}},{used},"
             "{time:energy},{time:after})*in_FX", MONEY)  # fmt: skip
    for name, label in (("bill", "the provider's bill"), ("tokens", "tokens"), ("carbon", "carbon"),
                        ("water", "water")):  # fmt: skip
        t.lines(f"{name}_lines", f"Cost lines on {label}, present (column C: the code of the driver)", "G",
                DRIVERS[name][1])  # fmt: skip
    t.option("metered_part", "Part of the provider's bill that is metered", "share",
             "IF(OR({total:rest}=3,SUM({months:bill})=0),0,SUM({months:rest_bill})/SUM({months:bill}))",
             SHARE)  # fmt: skip
    t.option("above_idle", "Electricity above idle", "kWh",
             f"{above_idle}*SUMPRODUCT({{months:own_h}},1/{{months:pace}})", WHOLE)  # fmt: skip
    t.option("moving_lines", "Cost lines that move with the load, present", "USD",
             "{tokens_lines}+{bill_lines}*{metered_part}+{carbon_lines}*({above_idle}+{total:rest_kwh})/"
             "MAX({total:fleet_kwh}+{total:rest_kwh},1)+{water_lines}*{above_idle}/MAX({total:fleet_kwh},1)",
             MONEY)  # fmt: skip
    t.option("moving", "Cost that moves with the load, present", "currency",
             "({k:rest_bill}+{moving_lines})*in_FX+{moving_power}", MONEY)  # fmt: skip
    t.option("fixed", "Cost that does not, present", "currency", "{net}-{moving}", MONEY)
    t.option("filled", "Share of the fleet's hours that do paid work", "share",
             f"IF({{total:hours}}>0,{{k:own_h}}/{{k:hours}},{_NONE})", SHARE)  # fmt: skip
    price = 'INDEX(tblPrices[amount (USD)],MATCH({option:device}&"|on_demand",tblPrices[lookup],0))'
    t.knob(
        "cmp_Rent",
        "Rent to compare with, an accelerator-hour in USD (blank: on demand, same device)",
        "USD/h",
        None,
        CENTS,
    )
    t.option("rent", "Rent of an hour that works, the provider's idle time and failures counted", "currency/h",
             f"IF(ISNUMBER({{cmp_Rent}}),{{cmp_Rent}},{price})/(in_MeteredFill*in_Goodput)*in_FX", CENTS)  # fmt: skip
    running = "({total:electricity}+{total:running_sum})/{total:hours}*in_FX"
    t.option("own_hour", "Running cost of an owned hour", "currency/h", f"IF({_OWNED},{running},{_NONE})", CENTS)
    t.option("even_hours", "Break-even hours: equipment over (rent - running cost), for each accelerator", "h",
             "IF(ISNUMBER({own_hour}),IF({rent}>{own_hour},{total:asset}*in_FX/{total:devices}/({rent}-{own_hour}),"
             '"never"),"none")', WHOLE)  # fmt: skip
    fixed = "({total:asset}+{total:resale}+{total:electricity}+{total:running_sum})*in_FX/(in_HorizonMonths/12)"
    t.option("even_share", "Break-even utilisation, by the year and undiscounted", "share",
             f"IF(ISNUMBER({{own_hour}}),{fixed}/({{total:devices}}*in_HoursPerYear*{{rent}}),"
             f"{_NONE})", SHARE)  # fmt: skip
    pv_hour = "({rent}*{k:hours}-{moving}/{filled})"
    t.option(
        "even_present",
        "Break-even utilisation, by present values after tax",
        "share",
        f'IF(ISNUMBER({{filled}}),IF({pv_hour}>0,{{fixed}}/{pv_hour},"never"),"none")',
        SHARE,
        "mls total",
    )
    t.option("even_rent", "Break-even rent of an accelerator-hour, as invoiced", "currency/h",
             f"IF(ISNUMBER({{per_delivered}}),{{per_delivered}}*in_MeteredFill*in_Goodput,{_NONE})", CENTS)  # fmt: skip
    api = (
        '(INDEX(tblPrices[amount (USD)],MATCH(in_Model&"|api_input",tblPrices[lookup],0))*in_PromptRatio'
        '+INDEX(tblPrices[amount (USD)],MATCH(in_Model&"|api_output",tblPrices[lookup],0)))*in_FX'
    )
    t.value("api_price", "A million generated tokens with their prompts, at an API today", "currency",
            f'IFERROR({api},"none")', CENTS)  # fmt: skip
    t.option(
        "even_token",
        "Break-even token price: the API would have to cost",
        "currency",
        "{per_mtoken}",
        CENTS,
        "mls link",
    )
    t.option("api_gap", "above (negative: below) the API of today", "share",
             f"IF(AND(ISNUMBER({{api_price}}),ISNUMBER({{per_mtoken}})),{{per_mtoken}}/{{api_price}}-1,"
             f"{_NONE})", SHARE)  # fmt: skip
    return _curves(t)


def _curves(t: Table) -> dict[str, str]:
    """Cost of a million tokens by the share of the time that is filled."""
    put(t.sheet, f"A{t.next}", "Million generated tokens at other utilisations, fleets as they are", "mls total")
    put(t.sheet, f"B{t.next}", "=in_Currency", "mls unit")
    head = t.next
    for c in t.letters:
        put(t.sheet, f"{c}{head}", f"={c}${LABEL_ROW}", "mls heading")
    t.sheet.row_dimensions[head].height = 44
    t.next += 1
    top = t.next
    for share in SHARES:
        put(t.sheet, f"C{t.next}", share, "mls unit", "0%")
        for c in t.letters:
            scale = f"$C{t.next}/{{filled}}"
            formula = (
                f"IF(ISNUMBER({{per_mtoken}}),IF(ISNUMBER({{filled}}),({{fixed}}/({scale})+{{moving}})*{{share}}/"
                f"{{k:served}},"
                f'{{per_mtoken}}),"none")'
            )
            text = f'=IFERROR({t.expand(formula.replace("{share}", "{result:share}"), c)},"{NO_FIGURE}")'
            put(t.sheet, f"{c}{t.next}", text, "mls formula", CENTS)
        t.next += 1
    first, last = t.letters[0], t.letters[-1]
    end = t.next - 1
    return {"shares": f"$C${top}:$C${end}", "figures": f"${first}${top}:${last}${end}",
            "labels": f"${first}${head}:${last}${head}"}  # fmt: skip


def add_device(t: Table) -> None:
    """Which device: what equipment gives for its money and its power."""
    t.title("Which accelerator", "path_device")
    t.option("served_day", "Tokens of the fleet at its best filling", "million per day",
             "{engine:tokens_s}*in_Utilisation*in_Goodput*86400/1000000", WHOLE)  # fmt: skip
    t.option("for_money", "Generated tokens per second for a million of equipment", "tokens/s",
             f"IF({{total:asset}}>0,{{engine:tokens_s}}/({{total:asset}}*in_FX/1000000),{_NONE})", WHOLE)  # fmt: skip
    t.option("for_power", "Generated tokens per second and watt", "tokens/s/W", "{per_watt}", FINE)
    t.option("unit_key", "Cost of a million tokens of those that take part and own", "currency",
             f"IF(AND({{ranked}}=1,{_OWNED},ISNUMBER({{per_mtoken}})),{{per_mtoken}},{_NONE})", CENTS)  # fmt: skip
    t.value("device_best", "Lowest cost of a million tokens among what is owned", "no",
            "IF(COUNT({row:unit_key})>0,MATCH(MIN({row:unit_key}),{row:unit_key},0),\"none\")", WHOLE)  # fmt: skip
    t.option("device_gap", "dearer than that", "share",
             "IF(ISNUMBER({unit_key}),{unit_key}/MIN({row:unit_key})-1,\"none\")", SHARE)  # fmt: skip


def add_count(t: Table) -> None:
    """How many: typical and nine-in-ten throughput, whole servers and racks, the cost of certainty."""
    t.title("How many, and what certainty costs", "path_count")
    t.option("typical", "Throughput of an accelerator, typical", "tokens/s", "{engine:rate}", CENTS, "mls link")
    t.option(
        "certain",
        "Throughput of an accelerator that nine in ten reach: accept at",
        "tokens/s",
        "{engine:rate_p10}",
        CENTS,
        "mls link",
    )
    t.option("standing", "What judges it", "", "{engine:rate_validity}", None, "mls link")
    t.option("accept", "Acceptance threshold of the fleet", "tokens/s",
             f"IF(ISNUMBER({{certain}}),{{certain}}*{{total:devices}},{_NONE})", WHOLE)  # fmt: skip
    room = "({total:per_server}*in_HoursPerMonth*in_Utilisation*in_Goodput)"
    for name, label, rate in (
        ("servers_typical", "Servers at the typical figure, in the busiest month, spares included", "typical"),
        ("servers_certain", "Servers at the figure of nine in ten", "certain"),
    ):
        hours = f"MAX({{months:serve_h}})*{{total:rate}}/({{{rate}}}*{{total:gain}})+MAX({{months:train_h}})"
        t.option(name, label, "servers",
                 f"IF(AND({{total:fleet}}=1,ISNUMBER({{{rate}}})),ROUNDUP(({hours})/{room},0)+in_SpareServers,{_NONE})",
                 WHOLE)  # fmt: skip
    t.option("racks", "Racks at the figure of nine in ten", "racks",
             f"IF(ISNUMBER({{servers_certain}}),ROUNDUP({{servers_certain}}/in_ServersPerRack,0),"
             f"{_NONE})", WHOLE)  # fmt: skip
    for name, kind, code in (("plan_month", "month", PLAN_MONTHLY), ("plan_year", "year", PLAN_YEARLY)):
        label = f"Lines that run with the plan, fleet or not, by the {kind}, present (column C: their code)"
        t.lines(name, label, "H", code, "running")
    t.option("server_cost", "Present cost of a further server, what the fleet costs shared evenly", "currency",
             f"IF({{total:servers}}>0,({{fixed}}-({{plan_month}}+{{plan_year}})*in_FX)/{{total:servers}},{_NONE})",
             MONEY)  # fmt: skip
    t.option("certainty", "Cost of certainty: nine in ten instead of typical", "currency",
             "IF(AND(ISNUMBER({servers_certain}),ISNUMBER({servers_typical}),ISNUMBER({server_cost})),"
             f"({{servers_certain}}-{{servers_typical}})*{{server_cost}},{_NONE})", MONEY, "mls total")  # fmt: skip
    t.option("growth_servers", "Servers that growth alone adds, first full month to last", "servers",
             f"IF({{total:fleet}}=1,ROUNDUP(MAX({{months:need}})/{room},0)-ROUNDUP(MAX({{months:need}})/(1+"
             f"{{total:growth}})"
             f"^((in_HorizonMonths-MAX({{total:ramp}},1))/12)/{room},0),{_NONE})", WHOLE)  # fmt: skip


def add_price(t: Table) -> None:
    """Token price with margin."""
    t.title("At which token price", "path_price")
    t.option(
        "cost_out", "Cost of a million generated tokens, prompts paid apart", "currency", "{per_out}", FINE, "mls link"
    )
    t.option("cost_in", "Cost of a million prompt tokens", "currency", "{per_in}", FINE, "mls link")
    t.option(
        "price_out",
        "Price of a million generated tokens that leaves the margin",
        "currency",
        "{result:price_out}",
        FINE,
        "mls total",
    )
    t.option(
        "price_in",
        "Price of a million prompt tokens that leaves the margin",
        "currency",
        "{result:price_in}",
        FINE,
        "mls total",
    )
    t.value("sale", "Revenue of a million generated tokens at the prices of Inputs", "currency",
            "(in_SaleOut+in_SaleIn*in_PromptRatio)*in_FX", FINE)  # fmt: skip
    t.option("left", "Margin at the prices of Inputs", "share",
             f"IF(AND({{sale}}>0,ISNUMBER({{per_mtoken}})),1-{{per_mtoken}}/{{sale}},{_NONE})", SHARE)  # fmt: skip
    t.option("month_left", "Contribution of a month, mean over the horizon", "currency/month",
             f"IF(AND({{sale}}>0,ISNUMBER({{per_mtoken}})),({{sale}}-{{per_mtoken}})*{{total:served}}/"
             f"in_HorizonMonths,{_NONE})",
             MONEY)  # fmt: skip


def add_power(t: Table) -> None:
    """Power: contract, charges, and the way back from megawatts."""
    t.title("Power", "path_power")
    t.option("contract", "Contracted IT power", "kW", "{result:contract}", "#,##0.0", "mls link")
    t.option("demand_year", "Demand charge of a year, full contract, at the start", "currency/year",
             "{contract}*in_DemandCharge*12*in_FX", MONEY)  # fmt: skip
    t.option("short_kwh", "Electricity taken or paid that is not used", "kWh",
             "{total:paid_kwh}-{total:owned}*{total:fleet_kwh}", WHOLE)  # fmt: skip
    t.option(
        "short_cost", "what it costs, at the price of the start", "currency", "{short_kwh}*{total:tariff}*in_FX", MONEY
    )
    t.option(
        "site_servers",
        "Servers that the power of the site carries",
        "servers",
        f"IF({{total:contract_kw}}>0,INT(in_SiteMegawatts*1000/{{total:contract_kw}}),{_NONE})",
        WHOLE,
    )
    t.option("site_devices", "Accelerators", "count",
             f"IF(ISNUMBER({{site_servers}}),{{site_servers}}*{{total:per_server}},{_NONE})", WHOLE)  # fmt: skip
    t.option("site_tokens", "Generated tokens per second, busy", "tokens/s",
             f"IF(ISNUMBER({{site_servers}}),{{site_devices}}*{{engine:per_device}},{_NONE})", WHOLE)  # fmt: skip
    t.option("site_day", "Generated tokens a day at the filling of Inputs", "million per day",
             f"IF(ISNUMBER({{site_tokens}}),{{site_tokens}}*in_Utilisation*in_Goodput*86400/1000000,"
             f"{_NONE})", WHOLE)  # fmt: skip
    t.option("headroom", "Servers still to come at this site", "servers",
             f"IF(AND({_OWNED},ISNUMBER({{site_servers}})),{{site_servers}}-{{total:servers}},"
             f"{_NONE})", WHOLE, "mls total")  # fmt: skip


def add_refresh(t: Table) -> None:
    """Keep the fleet owned today, or replace it."""
    t.title("Keep or replace", "path_refresh")
    t.note("What was paid and the book value are sunk: only the sale and the tax relief of the book value count.")
    t.value("old_value", "Sale of the fleet owned today", "currency", "in_OldFleetValue*in_FX", MONEY)
    t.value("old_tax", "Tax on that sale (negative: relief of the book value)", "currency",
            "in_Relief*(in_OldFleetValue-in_OldFleetBook)*in_FX", MONEY)  # fmt: skip
    t.value("released", "Cash that selling releases", "currency", "{old_value}-{old_tax}", MONEY)
    t.option("kept_npv", "Present cost of keeping, where an option is own", "currency",
             f'IF(AND({{option:financing}}="own",ISNUMBER({{npv}})),{{npv}},{_NONE})', MONEY)  # fmt: skip
    t.knob("cmp_OldRunning", "Running cost of the fleet owned today, a month in USD (blank: own option, else the "
                             "first row)",
           "USD/month", None, MONEY)  # fmt: skip
    t.value("months_after_tax", "Months of the horizon, present and after tax", "months",
            "SUMPRODUCT({time:run},{time:after})", CENTS)  # fmt: skip
    first = f"{t.letters[0]}${t.next}"
    t.option("running_month", "Running cost of a month, mean", "currency/month",
             "({k:electricity}+{k:running_sum}+{k:cloud_sum}+{k:rest_bill})/{months_after_tax}*"
             "in_FX", MONEY)  # fmt: skip
    t.value("keep", "Present cost of keeping", "currency",
            "IF(ISNUMBER({cmp_OldRunning}),{cmp_OldRunning}*in_FX*{months_after_tax},IF(COUNT({row:kept_npv})>0,"
            f"MIN({{row:kept_npv}}),{first}*{{months_after_tax}}))", MONEY, "mls total")  # fmt: skip
    t.option(
        "replace_gain",
        "Replacing saves (negative: costs more)",
        "currency",
        f'IF(AND(ISNUMBER({{npv}}),{{option:financing}}<>"own"),{{keep}}-{{npv}},{_NONE})',
        MONEY,
        "mls total",
    )
    t.option("replace_at", "Running cost of the old fleet from which replacing pays", "currency/month",
             f'IF(AND(ISNUMBER({{npv}}),{{option:financing}}<>"own"),{{npv}}/{{months_after_tax}},'
             f'{_NONE})', MONEY)  # fmt: skip
    spare = "{total:resale_refresh}*in_FX"
    t.option("refresh_resale", "Sale of the old servers at the refresh month of Options", "currency",
             f"IF({{total:refresh}}>0,{spare},{_NONE})", MONEY)  # fmt: skip


def add_run(t: Table) -> None:
    """A training run by a deadline."""
    t.title("A training run by its deadline", "path_run")
    hours = "{engine:run_plan}"
    t.option("run_hours", "Accelerator-hours of a run", "h", f'IF({hours}>0,{hours},"not trained")', WHOLE, "mls link")
    t.option("run_devices", "Accelerators that meet the deadline", "count",
             f'IF({hours}>0,ROUNDUP({hours}/(in_DeadlineDays*24*in_Goodput),0),"not trained")', WHOLE)  # fmt: skip
    t.option("run_servers", "Whole servers, spares included", "servers",
             f'IF({hours}>0,ROUNDUP({{run_devices}}/MAX({{total:per_server}},1),0)+in_SpareServers,"not '
             f'trained")', WHOLE)  # fmt: skip
    t.option("run_days", "Days of a run on the option's own fleet", "days",
             f'IF(AND({hours}>0,{{total:devices}}>0),{hours}/({{total:devices}}*24*in_Goodput),'
             f'"none")', CENTS)  # fmt: skip
    t.option("run_cost", "Cost of a run", "currency", "{per_run}", WHOLE, "mls total")
