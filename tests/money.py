"""The money of one option, month by month, as an auditor would work it out by hand.

The sheets hold the same model as native formulas; this is the second opinion that the tests compare them with, so it
shares no code with them.  `evaluate(plan, lines, option)` returns every row of the month table and the results.
Costs are positive, income negative, all in USD; m = 0 is the start, months 1..horizon operate.
"Choice" marks what the model leaves open and this calculation settles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy_financial as npf
from money_plan import APPLIES, FLEET, MOVING, OWNED, Line, Option, Plan, Result, legal, year_of
from money_tax import figures, keep_books, settle

__all__ = ["FLEET", "OWNED", "Line", "Option", "Plan", "Result", "evaluate", "year_of"]


def evaluate(plan: Plan, lines: Sequence[Line], option: Option) -> Result:
    """Work out every row and every result of one option.

    Parameters
    ----------
    plan, lines, option
        The scalars, the cost lines and the row of the options table.

    Returns
    -------
    Result
        Rows as lists over months, the year table, and `figures` by name (None where a figure has no meaning).
    """
    legal(plan, lines, option)
    out = Result(plan, option)
    work(out)
    fleet(out)
    overflow(out)
    power(out)
    bill(out)
    cost_lines(out, lines)
    purchase(out, lines)
    borrow(out)
    hire(out)
    sell(out)
    settle(out)
    keep_books(out)
    figures(out)
    return out


def operates(plan: Plan, m: int) -> int:
    """1 in the months 1..horizon."""
    return int(1 <= m <= plan.horizon)


def work(out: Result) -> None:
    """Tokens to serve, runs to train, and the device-hours both need on devices of the start month."""
    plan, option = out.plan, out.option
    ramp = plan.ramp if option.ramp is None else option.ramp
    growth = plan.growth if option.growth is None else option.growth
    speed = plan.performance(option.start)
    for m in out.months:
        ramped = 1.0 if ramp == 0 else min(1.0, m / ramp)
        daily = plan.tokens_per_day * plan.serving_on * ramped * (1 + growth) ** ((m - 1) / 12)
        demand = operates(plan, m) * daily * plan.hours / 24
        runs = operates(plan, m) * plan.runs_per_year * plan.training_on / 12
        # Choice: an API has no device-hours; its need is counted in million tokens, all of them served
        serve_h = demand if option.rate is None else demand * 1e6 / (option.rate * speed * 3600)
        train_h = runs * option.run_hours / speed
        out.demand.append(demand)
        out.runs.append(runs)
        out.serve_h.append(serve_h)
        out.train_h.append(train_h)
        out.need.append(serve_h + train_h)


def fleet(out: Result) -> None:
    """The number of servers, what they can do, what they do, and what is left over."""
    plan, option = out.plan, out.option
    if option.financing not in FLEET:
        out.servers_count = 0
    elif option.servers is not None:
        out.servers_count = option.servers
    else:
        month = option.devices_per_server * plan.hours * plan.utilisation * plan.goodput
        needed = max(out.need) / month
        if plan.deadline_days is not None:
            day = option.devices_per_server * 24 * plan.goodput
            run = option.run_hours / plan.performance(option.start) * plan.training_on
            needed = max(needed, run / (plan.deadline_days * day))
        # Choice: nine decimals before rounding up, so that 4.0000000000001 is 4, as spreadsheets have it
        out.servers_count = math.ceil(round(needed, 9)) + plan.spare_servers
    out.devices = out.servers_count * option.devices_per_server

    for m in out.months:
        up = int(option.financing in FLEET and option.start < m <= plan.horizon)
        faster = 1.0
        if option.refresh is not None and m > option.refresh:
            faster = plan.performance(option.refresh) / plan.performance(option.start)
        cap = up * out.devices * plan.hours * plan.utilisation * plan.goodput * faster
        own = min(out.need[m], cap)
        out.up.append(up)
        out.hours.append(up * out.devices * plan.hours)
        out.cap.append(cap)
        out.own_h.append(own)
        out.over.append(out.need[m] - own)
        # Choice: what nobody serves is not delivered, neither tokens nor hours nor runs
        kept = own / out.need[m] if out.need[m] > 0 else 0.0
        done = kept if option.overflows_to == "none" else float(out.need[m] > 0)
        out.served.append(out.demand[m] * done)
        out.done_h.append(out.need[m] * done)
        out.trained_h.append(out.train_h[m] * done)
        out.revenue.append(out.served[m] * (plan.sale_out + plan.sale_in * plan.in_per_out))


def metered_hours(out: Result, m: int) -> float:
    """Hours paid on demand or spot: those of a device of today, idle and lost ones included."""
    plan, option = out.plan, out.option
    if option.overflows_to not in ("on-demand", "spot"):
        return 0.0
    rework = 1 + plan.spot_rework if option.overflows_to == "spot" else 1.0
    return out.over[m] * plan.performance(option.start) / (plan.metered_fill * plan.goodput) * rework


def overflow(out: Result) -> None:
    """Cost of what the fleet does not serve."""
    plan, option = out.plan, out.option
    for m in out.months:
        cost = metered_hours(out, m) * (option.spot if option.overflows_to == "spot" else option.on_demand)
        if option.overflows_to == "API" and out.need[m] > 0:
            cost = out.demand[m] * out.over[m] / out.need[m] * (option.api_in * plan.in_per_out + option.api_out)
        out.over_cost.append(cost * plan.escalator("cloud", m))


def power(out: Result) -> None:
    """Electricity of the fleet, as drawn and as billed, and of rented hours; carbon and water."""
    plan, option = out.plan, out.option
    owned = option.financing in OWNED
    for m in out.months:
        # hours at work, of devices that are slower before a refresh and lose a share to failures
        pace = 1.0
        if option.refresh is not None and m > option.refresh:
            pace = plan.performance(option.refresh) / plan.performance(option.start)
        busy = out.own_h[m] / pace / plan.goodput / (out.devices * plan.hours) if out.devices else 0.0
        kilowatts = out.servers_count * (option.idle_kw + (option.busy_kw - option.idle_kw) * busy)
        fleet_kwh = out.up[m] * plan.hours * option.pue * kilowatts
        rest_kwh = metered_hours(out, m) * option.busy_kw / max(option.devices_per_server, 1) * option.pue
        share = 1.0 if plan.power_ramp == 0 else min(1.0, (m - option.start) / plan.power_ramp)
        contracted = out.up[m] * owned * out.servers_count * option.contract_kw * share
        # Choice: the ramp of the power contract counts once; it is in the contracted kilowatts
        paid = max(owned * fleet_kwh, plan.take_or_pay * contracted * option.pue * plan.hours)
        out.contracted.append(contracted)
        out.fleet_kwh.append(fleet_kwh)
        out.rest_kwh.append(rest_kwh)
        out.paid_kwh.append(paid)
        out.electricity.append(paid * option.tariff * plan.escalator("energy", m))
        out.carbon.append((fleet_kwh + rest_kwh) * option.intensity / 1000)
        # Choice: litres per kWh of the servers, so the site's kWh are divided by its PUE; water of the fleet alone
        out.water.append(fleet_kwh / option.pue * option.wue / 1000)


def bill(out: Result) -> None:
    """Reserved capacity: monthly rent, payment up front, and what is still owed when the plan ends before the term."""
    plan, option = out.plan, out.option
    out.reserved_bill, out.reserved_upfront, out.reserved_end = out.zeros(), out.zeros(), out.zeros()
    if option.financing == "reserved":
        start, end = option.start, option.start + option.term
        month = out.devices * plan.hours * option.reserved
        # the price of the day on which it is signed, after as many full years as there are
        agreed = month * (1 - plan.cloud_decline) ** (start // 12)
        for m in out.months:
            # Choice: after the term the rent runs on at the price of the day, with nothing up front
            rent = agreed * (1 - plan.reserved_upfront) if m <= end else month * plan.escalator("cloud", m)
            out.reserved_bill[m] = out.up[m] * rent
        out.reserved_upfront[start] = plan.reserved_upfront * agreed * option.term
        out.reserved_end[plan.horizon] = max(0, end - plan.horizon) * agreed * (1 - plan.reserved_upfront)
    # Choice: what percentages of the bill are taken of: rents and metered hours, not tokens nor what is owed at the end
    metered = out.zeros() if option.overflows_to == "API" else out.over_cost
    out.bill = [x + y + z for x, y, z in zip(out.reserved_bill, out.reserved_upfront, metered, strict=True)]


def applies(line: Line, option: Option) -> bool:
    """Whether a line concerns an option."""
    if line.applies == "cloud" and option.overflows_to in ("on-demand", "spot"):
        return True
    return option.financing in APPLIES[line.applies] if line.applies in APPLIES else line.applies == str(option.number)


def driver(out: Result, line: Line, m: int) -> float:
    """What the quantity of a line is multiplied by in a month."""
    plan, option = out.plan, out.option
    if line.driver == "kW" and line.timing == "once":
        # Choice: what is paid once is paid for the whole contract, though no month has used it yet
        return out.servers_count * option.contract_kw if option.financing in OWNED else 0.0
    values = {
        "plan": 1.0,
        "servers": out.servers_count,
        "devices": out.devices,
        "kW": out.contracted[m],
        "hardware": out.servers_count * option.price * plan.hardware_price(option.start) * (1 + plan.network_share),
        "bill": out.bill[m],
        "tokens": out.served[m],
        "carbon": out.carbon[m] / 1000,
        "water": out.water[m],
    }
    return float(values[line.driver])


def due(out: Result, line: Line, m: int) -> float:
    """1 (a twelfth for yearly amounts) in the months in which a line is paid."""
    if line.timing in ("once", "end"):
        return float(m == (out.option.start if line.timing == "once" else out.plan.horizon))
    if line.driver in MOVING:
        return float(m <= out.plan.horizon)
    waits = out.option.financing in FLEET and line.driver != "plan"
    window = out.up[m] if waits else operates(out.plan, m)
    return window / 12 if line.timing == "yearly" else float(window)


def cost_lines(out: Result, lines: Sequence[Line]) -> None:
    """Every cost line by month, and the sums of the running and the cloud group."""
    plan, option = out.plan, out.option
    for line in lines:
        factor = line.quantity * line.used * applies(line, option)
        out.lines[line.item] = [
            factor * driver(out, line, m) * due(out, line, m) * plan.escalator(line.escalator, m) for m in out.months
        ]
    groups = {x.item: x.group for x in lines}
    for m in out.months:
        out.running.append(sum(s[m] for item, s in out.lines.items() if groups[item] == "running"))
        out.cloud.append(sum(s[m] for item, s in out.lines.items() if groups[item] == "cloud"))


def purchase(out: Result, lines: Sequence[Line]) -> None:
    """Servers and network bought, with the capital lines; what the lessor pays; the refresh; purchase after a lease."""
    plan, option = out.plan, out.option
    start, refresh = option.start, option.refresh
    each = out.servers_count * option.price
    for name in ("servers", "network", "asset_month", "lessor", "refresh_cost", "buyout"):
        setattr(out, name, out.zeros())
    if option.financing in ("buy", "loan", "lease"):
        out.servers[start] = each * plan.hardware_price(start)
        out.network[start] = out.servers[start] * plan.network_share
    # Choice: the options without a purchase (own, cloud) pay the capital lines that apply to them
    paid = sum(out.lines[x.item][start] for x in lines if x.group == "capital")
    out.asset = out.asset_month[start] = out.servers[start] + out.network[start] + paid
    if option.financing == "lease":
        out.lessor[start] = -out.asset
        if start + option.term < plan.horizon:
            out.buyout[start + option.term] = plan.lease_residual * out.asset
    if refresh is not None:
        out.refresh_cost[refresh] = each * plan.hardware_price(refresh)


def borrow(out: Result) -> None:
    """The loan: drawn at the start, level payments, and the balance repaid when the plan ends first."""
    plan, option = out.plan, out.option
    out.loan_in, out.loan_out, out.loan_end, out.interest = out.zeros(), out.zeros(), out.zeros(), out.zeros()
    if option.financing != "loan":
        return
    balance = plan.loan_share * out.asset
    level = float(npf.pmt(plan.loan_rate / 12, option.term, -balance))
    out.loan_in[option.start] = -balance
    for m in range(option.start + 1, min(option.start + option.term, plan.horizon) + 1):
        out.interest[m] = balance * plan.loan_rate / 12
        balance -= level - out.interest[m]
        out.loan_out[m] = level
    if option.start + option.term > plan.horizon:
        out.loan_end[plan.horizon] = balance


def hire(out: Result) -> None:
    """The lease: level rents in advance, and those that are still to come when the plan ends first."""
    plan, option = out.plan, out.option
    out.rent, out.rent_end, out.lease_interest = out.zeros(), out.zeros(), out.zeros()
    if option.financing != "lease":
        return
    residual = plan.lease_residual * out.asset
    level = float(npf.pmt(plan.lease_rate / 12, option.term, -out.asset, residual, "begin"))
    owed = out.asset
    for n in range(option.term):
        m = option.start + n
        if m < plan.horizon:
            out.rent[m] = level
            owed = (owed - level) * (1 + plan.lease_rate / 12)
            out.lease_interest[m + 1] = owed * plan.lease_rate / 12 / (1 + plan.lease_rate / 12)
        else:
            out.rent_end[plan.horizon] += level


def sell(out: Result) -> None:
    """Sale of servers at the refresh and at the end, and of today's fleet where a new one replaces it."""
    plan, option = out.plan, out.option
    start, refresh, end = option.start, option.refresh, plan.horizon
    out.resale, out.old_sale = out.zeros(), out.zeros()

    def old(m: int) -> float:
        return float(plan.old_value * (1 - plan.residual_decline) ** (m / 12))

    def new(bought: int, sold: int, share: float | None = None) -> float:
        price = out.servers_count * option.price * plan.hardware_price(bought)
        left = (1 - plan.residual_decline) ** ((sold - bought) / 12) if share is None else share
        return float(price * left)

    keeps = option.financing == "own"
    ours = option.financing in ("own", "buy", "loan") or (option.financing == "lease" and start + option.term < end)
    if refresh is not None:
        out.resale[refresh] = -(old(refresh) if keeps else new(start, refresh))
        # Choice: a residual of one's own is a share of the price of what is sold then, the servers of the refresh
        out.resale[end] = -new(refresh, end, option.residual)
    elif keeps:
        out.resale[end] = -old(end)
    elif ours:
        out.resale[end] = -new(start, end, option.residual)
    if not keeps:
        out.old_sale[0] = -plan.old_value
