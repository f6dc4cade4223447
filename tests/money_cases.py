"""A plan, an option and cost lines that the tests of the independent money calculation start from."""

from __future__ import annotations

import dataclasses
from typing import Any

from money import Line, Option, Plan, Result, evaluate

PLAN = Plan(tokens_per_day=400.0, tax_rate=0.25, utilisation=0.6, goodput=0.9, metered_fill=0.8)
BUY = Option(
    "buy",
    overflow="on-demand",
    servers=4,
    price=300_000.0,
    pue=1.3,
    tariff=0.08,
    intensity=400.0,
    wue=1.8,
    busy_kw=8.0,
    idle_kw=2.5,
    contracted_kw=10.0,
    on_demand=3.0,
    spot=1.5,
    reserved_1y=2.5,
    reserved_3y=2.0,
    api_in=0.2,
    api_out=0.8,
)
LINES = (
    Line("network", 0.12, "capital", "bought", "hardware", "once"),
    Line("fit-out", 900.0, "capital", "owned", "kW", "once"),
    Line("maintenance", 0.05, "running", "owned", "hardware", "yearly", "cost"),
    Line("colocation", 150.0, "running", "owned", "kW", "monthly", "cost"),
    Line("staff", 3_000.0, "running", "all", "plan", "monthly", "wages"),
    Line("wipe", 0.01, "running", "bought", "hardware", "end", "cost"),
    Line("support", 0.05, "cloud", "all", "bill", "monthly"),
    Line("egress", 0.001, "cloud", "cloud", "tokens", "monthly"),
    Line("carbon price", 50.0, "running", "owned", "carbon", "monthly"),
    Line("water", 2.0, "running", "owned", "water", "monthly", "cost"),
)


def change(thing: Any, **fields: Any) -> Any:
    return dataclasses.replace(thing, **fields)


def run(financing: str = "buy", *, plan: Plan = PLAN, lines: tuple[Line, ...] = LINES, **fields: Any) -> Result:
    return evaluate(plan, lines, change(BUY, financing=financing, **fields))
