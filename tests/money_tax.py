"""The year table of the independent calculation (deductions, depreciation, tax), and the results of an option."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy_financial as npf
from money_plan import FLEET, OWNED, Result, year_of


@dataclass(frozen=True)
class Pool:
    """A depreciable base, by shares of the years from `first`; the year of disposal deducts what is left."""

    base: float
    shares: Sequence[float]
    first: int
    last: int

    def deduction(self, year: int) -> float:
        """Depreciation of a year, disposal included."""
        if not self.first <= year <= self.last:
            return 0.0
        if year == self.last:
            return self.base * (1 - sum(self.shares[: year - self.first]))
        past = year - self.first
        return self.base * self.shares[past] if past < len(self.shares) else 0.0


def begins(m: int) -> int:
    """The year in which depreciation of what is bought at the end of month m begins."""
    return m // 12 + 1


def straight(life: float) -> list[float]:
    """Equal yearly shares over a life in years, the last year in part when the life is not whole."""
    shares: list[float] = []
    while sum(shares) < 1 - 1e-12:
        shares.append(min(1 / life, 1 - sum(shares)))
    return shares


def pools(out: Result) -> list[Pool]:
    """What is depreciated: first capital, refresh or buy-out, and the book value of a fleet that is kept."""
    plan, option = out.plan, out.option
    start, refresh, end = option.start, option.refresh, plan.horizon
    gone, first_goes = year_of(end), year_of(end if refresh is None else refresh)
    found: list[Pool] = []
    if option.financing == "own":
        found.append(Pool(plan.old_book, straight(plan.old_life), begins(start), first_goes))
        # Choice: its capital lines are written off with the servers of the refresh, where there is one
        found.append(Pool(out.asset, plan.tax_schedule, begins(start if refresh is None else refresh), gone))
    elif option.financing != "lease":
        found.append(Pool(out.asset, plan.tax_schedule, begins(start), first_goes))
    elif start + option.term < end:
        bought = start + option.term
        found.append(Pool(out.buyout[bought], plan.tax_schedule, begins(bought), gone))
    if refresh is not None:
        found.append(Pool(out.refresh_cost[refresh], plan.tax_schedule, begins(refresh), gone))
    return found


def settle(out: Result) -> None:
    """Cash before tax, the year table, tax in the last month of each year, cash after tax."""
    plan = out.plan
    out.financing = out.add("lessor", "loan", "rents", "buyout")
    spent = out.add("rents", "reserved", "over_cost", "electricity", "running", "cloud")
    bought = out.add("asset_month", "refresh_cost", "buyout", "lessor")
    out.cash = [sum(x) for x in zip(bought, out.loan, spent, out.resale, out.old_sale, strict=True)]
    out.tax, out.tax_financing = out.zeros(), out.zeros()
    out.deductible, out.depreciation, out.gains, out.year_tax, out.year_tax_financing = (
        [0.0],
        [0.0],
        [0.0],
        [0.0],
        [0.0],
    )
    for year in range(1, plan.months // 12 + 1):
        months = [m for m in out.months if year_of(m) == year]
        book = plan.old_book if year == 1 and out.option.financing != "own" else 0.0  # sold or scrapped
        out.gains.append(-sum(out.resale[m] + out.old_sale[m] for m in months) - book)
        out.deductible.append(sum(spent[m] + out.interest[m] for m in months))
        out.depreciation.append(sum(pool.deduction(year) for pool in pools(out)))
        out.year_tax.append(-plan.relief * (out.deductible[year] + out.depreciation[year] - out.gains[year]))
        out.year_tax_financing.append(-plan.relief * sum(out.rents[m] + out.interest[m] for m in months))
        out.tax[12 * year] = out.year_tax[year]
        out.tax_financing[12 * year] = out.year_tax_financing[year]
    out.after = out.add("cash", "tax")


def months_of(year: int, after: int, to: int) -> int:
    """Months of a year that lie after one month and not after another."""
    return max(0, min(to, 12 * year) - max(after, 12 * (year - 1)))


def keep_books(out: Result) -> None:
    """The books by year: straight-line depreciation by months of service, losses on disposal, cost of the lease."""
    plan, option = out.plan, out.option
    start, refresh, end, own = option.start, option.refresh, plan.horizon, option.financing == "own"
    out.written_off, out.disposal, out.lease_cost = [0.0], [0.0], [0.0]
    # base, life in months, in service after a month and up to another
    bases = [(plan.old_book if own else 0.0, 12 * plan.old_life, start, end if refresh is None else refresh)]
    if option.financing != "lease":
        later = own and refresh is not None
        bases.append((out.asset, 12 * plan.book_life, refresh or 0 if later else start, end if own else bases[0][3]))
    if refresh is not None:
        bases.append((out.refresh_cost[refresh], 12 * plan.book_life, refresh, end))
    bases.append((sum(out.buyout), 12 * plan.book_life, start + option.term, end))
    past = [0.0] * len(bases)
    rents = out.rents
    level = rents[start]
    worth = out.asset - plan.lease_residual * out.asset / (1 + plan.lease_rate / 12) ** option.term if level else 0.0
    for year in range(1, plan.months // 12 + 1):
        months = [m for m in out.months if year_of(m) == year]
        written, lost = 0.0, sum(out.resale[m] + out.old_sale[m] for m in months)
        lost += plan.old_book if year == 1 and not own else 0.0
        for i, (base, life, after, to) in enumerate(bases):
            served = months_of(year, after, to) if option.financing in FLEET else 0
            share = min(base - past[i], base / life * served)
            past[i] += share
            written += share
            if year == year_of(to):
                lost += base - past[i]
        out.written_off.append(written)
        out.disposal.append(lost)
        if plan.lease_books == "straight line":
            out.lease_cost.append(sum(rents[m] for m in months))
            continue
        # interest and the right to use, straight over the term; what is left of both when the plan ends
        cost = worth * months_of(year, start, min(start + option.term, end)) / max(option.term, 1)
        cost += sum(out.lease_interest[m] for m in months)
        out.lease_cost.append(cost if year != year_of(end) else sum(rents) - sum(out.lease_cost))


def ratio(above: float, below: float) -> float | None:
    """A unit cost, or None where there is no unit."""
    return above / below if below > 0 else None


def net_present_cost(out: Result) -> float:
    """After tax: loans and leases with their relief at the cost of debt after tax, all else at the discount rate."""
    plan, start = out.plan, out.option.start
    operating = sum((out.cash[m] - out.financing[m]) * plan.factor(m) for m in out.months)
    relief = financing_relief = 0.0
    for year in range(1, plan.months // 12 + 1):
        relief += (out.year_tax[year] - out.year_tax_financing[year]) * (1 + plan.rate) ** -year
        financing_relief += out.year_tax_financing[year] * plan.debt_factor(start, 12 * year, after_tax=True)
    return operating + relief + out.debt_value(out.financing, after_tax=True) + financing_relief


def figures(out: Result) -> None:
    """The results; None where an option has no such figure."""
    plan, option = out.plan, out.option
    worth = out.deductible_value
    before = out.present([c - f for c, f in zip(out.cash, out.financing, strict=True)]) + out.debt_value(out.financing)
    after = net_present_cost(out)
    sale = 0.0
    if option.financing != "own":  # proceeds now, tax on the gain when year 1 ends
        sale = -plan.old_value + plan.relief * (plan.old_value - plan.old_book) / (1 + plan.rate)
    net = after - sale
    need, held = sum(out.need), option.financing in OWNED
    share = ratio(worth(out.serve_h), worth(out.need)) or 0.0
    hours_share = sum(out.serve_h) / need if need > 0 else 0.0

    all_on_output = ratio(net * share, worth(out.served))
    per_in = per_out = blended = None
    if all_on_output is not None:
        # one output price p and one input price p / ratio that together bring the same present value
        per_out = all_on_output / (1 + plan.in_per_out / plan.price_ratio)
        per_in = per_out / plan.price_ratio
        blended = all_on_output / (1 + plan.in_per_out)
    run_hours = option.run_hours / plan.performance(option.start)
    per_hour_of_run = ratio(net * (1 - share), worth(out.trained_h))
    per_run = None if per_hour_of_run is None else per_hour_of_run * run_hours
    unknown = option.overflows_to == "API" and sum(out.over) > 0
    carbon = sum(out.carbon)
    out.figures = {
        "upfront": out.asset * (option.financing != "lease")
        + out.loan_in[option.start]
        + sum(out.reserved_upfront)
        + out.rent[option.start],
        "npv_before": before,
        "npv": after,
        "net": net,
        "eac": float(-npf.pmt(plan.rate, plan.horizon / 12, after)),
        "per_hour": ratio(net - worth(out.over_cost), worth(out.hours)),
        "per_delivered": None if option.financing == "API" else ratio(net, worth(out.done_h)),
        "share": share,
        "per_mtoken": all_on_output,
        "per_in": per_in,
        "per_out": per_out,
        "per_blended": blended,
        "price_out": None if per_out is None else per_out / (1 - plan.margin),
        "price_in": None if per_in is None else per_in / (1 - plan.margin),
        "per_run": per_run,
        "per_pflop_day": None if per_run is None else ratio(per_run, plan.run_pflop_days),
        "served_share": sum(out.done_h) / need if need > 0 else 0.0,
        "peak_kw": out.servers_count * option.busy_kw * held,
        "contract": out.servers_count * option.contract_kw * held,
        "racks": float(math.ceil(out.servers_count * held / plan.servers_per_rack)),
        "co2": None if unknown else carbon,
        # Choice: carbon is shared by hours as they fall, not by their present value
        "co2_mtoken": None if unknown else ratio(carbon * hours_share, sum(out.served)),
    }
