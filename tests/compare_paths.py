"""What the sheet Compare says of each option, worked out from the independent calculation of the money.

Every figure here comes from month tables of `money.evaluate`, run again with another load, count or rate where the
sheet uses a short cut: the two agree only if the short cut is right.  All money is in the currency shown.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy_financial as npf
from money import FLEET, OWNED, Option, Result, evaluate
from money_book import Book
from money_compare import cost_lines, option_of, terms

from workbook.sheets.compare_table import Table

Rows = dict[str, Any]


class Paths:
    """A computed book with Compare, and the independent calculation of its options."""

    def __init__(self, book: Book, table: Table) -> None:
        self.book, self.table = book, table
        self.terms, self.lines = terms(book), cost_lines(book)
        self.fx = float(book.named("in_FX"))
        self.options = [option_of(book, i) for i in range(len(book.plan.options))]
        self.results = [self.evaluate(o) for o in self.options]

    def evaluate(self, option: Option, **changes: Any) -> Result:
        """One option, the plan changed."""
        return evaluate(dataclasses.replace(self.terms, **changes), self.lines, option)

    def loaded(self, i: int, factor: float) -> Result:
        """Option i at another load with the fleet that it has."""
        option, plan = self.options[i], self.terms
        if option.financing in FLEET:
            option = dataclasses.replace(option, servers=self.results[i].servers_count)
        load = {"tokens_per_day": plan.tokens_per_day * factor, "runs_per_year": plan.runs_per_year * factor}
        return self.evaluate(option, **load)

    def net(self, result: Result) -> float:
        """Net present cost without the sale of today's fleet."""
        return float(result.figures["net"] or 0.0) * self.fx

    def read(self, name: str, i: int | None = None) -> Any:
        """A figure of the sheet: a value, or of option i."""
        column = "C" if i is None else self.table.letters[i]
        return self.book.at(f"Compare!{column}{self.table.rows[name]}")

    def below(self, name: str, i: int, rows: int) -> Any:
        """A figure of a block that has no names: so many rows below a named one."""
        return self.book.at(f"Compare!{self.table.letters[i]}{self.table.rows[name] + rows}")


def same(given: Any, wanted: Any, rel: float = 1e-9) -> bool:
    """Words are the same words, figures the same to 1e-9."""
    if isinstance(wanted, str) or isinstance(given, str) or given is None or wanted is None:
        return bool(given == wanted)
    return math.isclose(given, wanted, rel_tol=rel, abs_tol=1e-6)


def ranked(paths: Paths) -> list[int]:
    """Options that serve all, the lowest first."""
    whole = [i for i, r in enumerate(paths.results) if math.isclose(r.figures["served_share"] or 0, 1, abs_tol=1e-9)]
    return sorted(whole, key=lambda i: float(paths.results[i].figures["npv"] or 0))


def straight(paths: Paths, i: int, factor: float) -> bool:
    """The fleet is there, or not needed, and nothing beyond it is used at that share of the load."""
    option, out = paths.options[i], paths.results[i]
    if option.financing not in FLEET:
        return True
    beyond = any(need * max(factor, 1.0) > cap for need, cap, up in zip(out.need, out.cap, out.up, strict=True) if up)
    return not beyond and option.refresh is None


def savings(paths: Paths, i: int, reference: int) -> Rows:
    """Yardsticks of the saving of option i against another; numpy-financial does the sums."""
    one, other = paths.results[i], paths.results[reference]
    saving = [(b - a) * paths.fx for a, b in zip(one.after, other.after, strict=True)]
    month = (1 + paths.terms.rate) ** (1 / 12) - 1
    so_far, present, total, worth = [], [], 0.0, 0.0
    for m, x in enumerate(saving):
        total, worth = total + x, worth + x / (1 + paths.terms.rate) ** (m / 12)
        so_far.append(round(total, 2))
        present.append(round(worth, 2))
    moves = max(saving) > 1 or min(saving) < -1
    both = max(saving) > 1 and min(saving) < -1
    last = len(saving) - 1
    behind = max((m + 1 for m in range(last + 1) if so_far[m] < 0), default=0)
    late = max((m + 1 for m in range(last + 1) if present[m] < 0), default=0)
    ahead = max((m + 1 for m in range(last + 1) if so_far[m] > 0), default=0)
    once = 0 < behind <= last and all(x < 0 for x in so_far[:behind]) and all(x > 0 for x in so_far[behind:])
    turn = min(behind, ahead) if behind and ahead else 0
    return {
        "gain": (other.figures["npv"] - one.figures["npv"]) * paths.fx,  # type: ignore[operator]
        "gain_npv": npf.npv(month, saving),
        "irr": (1 + root(lambda rate: npf.npv(rate, saving), 0.0, 100.0)) ** 12 - 1 if both and once else "none",
        "mirr": (1 + npf.mirr(saving, month, month)) ** 12 - 1 if both else "none",
        "payback": "none" if not moves or behind > last else behind,
        "payback_present": "none" if not moves or late > last else late,
        "crossover": turn if moves and turn else "none",
    }


def worth(result: Result, name: str) -> float:
    """Present value after tax of a row."""
    return float(result.deductible_value(getattr(result, name)))


def renting(paths: Paths, i: int, rent: float) -> Rows:
    """Break-even figures against a rent of an accelerator-hour, as invoiced, in the currency shown."""
    out, plan = paths.results[i], paths.terms
    works = rent / (plan.metered_fill * plan.goodput)
    running = (sum(out.electricity) + sum(out.running)) * paths.fx
    found: Rows = {"rent": works}
    if out.option.financing in OWNED:
        hour = running / sum(out.hours)
        asset = out.asset * paths.fx
        found["own_hour"] = hour
        found["even_hours"] = asset / out.devices / (works - hour) if works > hour else "never"
        fixed = asset + sum(out.resale) * paths.fx + running
        found["even_share"] = fixed / (plan.horizon / 12) / (out.devices * plan.hours_per_year * works)
    if out.option.financing in FLEET:
        found["filled"] = worth(out, "own_h") / worth(out, "hours")
    delivered = out.figures["per_delivered"]
    if delivered is not None:
        found["even_rent"] = delivered * paths.fx * plan.metered_fill * plan.goodput
    return found


def counting(paths: Paths, i: int) -> Rows:
    """Servers at the typical throughput and at that of nine in ten, worked out anew, and what growth adds."""
    out = paths.results[i]
    found: Rows = {}
    for name, rate in (("servers_typical", "rate"), ("servers_certain", "rate_p10")):
        speed = paths.book.engine(rate, i)
        anew = dataclasses.replace(out.option, servers=None, rate=speed)
        found[name] = paths.evaluate(anew, deadline_days=None).servers_count
    found["racks"] = math.ceil(found["servers_certain"] / paths.terms.servers_per_rack)
    found["accept"] = paths.book.engine("rate_p10", i) * out.devices
    return found


def root(f: Callable[[float], float], low: float, high: float) -> float:
    """Where f is 0, by halving."""
    assert f(low) * f(high) <= 0, "no change of sign"
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if f(low) * f(middle) > 0 else (low, middle)
    return (low + high) / 2


def wait(paths: Paths, i: int, month: int, rent: float) -> float:
    """Net present cost of a real option: rented on demand until the month, the same capacity bought then."""
    now = paths.results[i]
    parts: Any = now.servers_count / paths.terms.performance(month)  # of servers too
    rest = "on-demand" if month else now.option.overflow
    option = dataclasses.replace(now.option, start=month, on_demand=rent, servers=parts, overflow=rest)
    return float(paths.evaluate(option).figures["net"] or 0.0) * paths.fx
