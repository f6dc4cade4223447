"""Published cost cases rebuilt in the workbook's own sheets: options, cost lines and inputs, no formula of their own.

The figures are those of the sheet Examples (workbook/examples.toml).
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from money_book import Book, compute, plan_with
from money_compare import compare

import workbook.plan as wp

EXAMPLES = tomllib.loads((wp.FOLDER / "examples.toml").read_text("utf-8"))["case"]
TIERS = ("gold", "hyper", "silver")
PLAIN = {
    "in_CloudDecline": 0, "in_TaxRate": 0, "in_DiscountRate": 0, "in_CostOfDebt": 0, "in_NetworkShare": 0,
    "in_SiteMegawatts": 1000,
}  # fmt: skip


def case(number: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Inputs and published results of an example."""
    found = next(x for x in EXAMPLES if x["id"] == number)
    return {x["name"]: x["value"] for x in found["inputs"]}, {x["name"]: x for x in found["outputs"]}


def published(outputs: dict[str, dict[str, Any]], name: str) -> Any:
    """The published figure within the tolerance of the case."""
    return pytest.approx(outputs[name]["published"], rel=outputs[name]["rel"])


def price(value: float) -> wp.Figure:
    return wp.Figure(value, value, value, note="as published")


def without_cost(lines: list[wp.Line]) -> list[wp.Line]:
    """The shipped lines at a price of nothing."""
    return [replace(x, figure=price(0)) for x in lines]


def provider_lines(known: dict[str, Any], i: int) -> list[wp.Line]:
    """What a provider bills beside the rent, for option i + 1 alone."""
    extras = [known[n][i] for n in ("storage", "network", "cpu")]

    def add(item: str, driver: str, timing: str, value: float, quantity: float = 1.0) -> wp.Line:
        number: Any = i + 1
        return wp.Line(item, "cloud", number, driver, timing, "none", quantity, "USD", price(value))

    return [
        *(add(n, "plan", "monthly", x) for n, x in zip(("storage", "network", "CPU hosts"), extras, strict=True)),
        add("support of the rent", "bill", "monthly", known["support"][i]),
        add("support of the rest", "plan", "monthly", known["support"][i], sum(extras)),
        add("lost work", "bill", "monthly", known["lost_work"][i]),
        add("set-up", "plan", "once", known["setup"][i]),
        add("debugging", "plan", "yearly", known["debugging"][i]),
    ]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """W08: one option for each kind of provider."""
    known, _ = case("W08")
    usual = {"financing": "reserved", "server": "DGX_H100", "device": "H100", "tp": 2, "term": known["months"]}
    options = [{**usual, "servers": known["gpus"] // 8, "price": rent} for rent in known["rental"]]
    inputs = {**PLAIN, "in_HoursPerYear": 12 * known["hours_per_month"], "in_HorizonMonths": known["months"]}
    plan, extra = plan_with(options, inputs, months=36)
    lines = without_cost(plan.lines) + [x for i in range(3) for x in provider_lines(known, i)]
    plan, extra = plan_with(options, inputs, lines, months=36)
    return compute(tmp_path_factory.mktemp("cluster"), plan, extra)


@pytest.mark.parametrize("i", range(3))
def test_a_cluster_of_4096_costs_what_is_published(cluster: Book, i: int) -> None:
    known, out = case("W08")
    tier, months = TIERS[i], known["months"]
    assert cluster.option("status", i) == "ok"
    assert cluster.failed(i) == []
    assert compare(cluster, i) == []
    items = {
        x.item: cluster.months(row, i)
        for row, n in cluster.layout.lines.items()
        if str((x := cluster.plan.lines[n - 1]).applies) == str(i + 1)
    }
    assert cluster.option("devices", i) == 4096
    assert cluster.months("reserved_bill", i)[1:] == [published(out, f"gpu_{tier}")] * months
    assert items["lost work"][1:] == [published(out, f"goodput_{tier}")] * months
    if tier == "hyper":
        support = [a + b for a, b in zip(items["support of the rent"], items["support of the rest"], strict=True)]
        assert support[1:] == [published(out, "support_hyper_5pct")] * months
    cash, once = cluster.months("cash", i), items["set-up"][0]
    assert cash[0] == once == known["setup"][i]
    assert [x + once / months for x in cash[1:]] == [published(out, f"monthly_{tier}")] * months
    for total in (cluster.total("cash", i), cluster.result("cash", i), cluster.result("npv", i)):
        assert total == published(out, f"total36_{tier}")
    assert cluster.result("eac", i) * 3 == published(out, f"total36_{tier}")
    hours = known["gpus"] * months * known["hours_per_month"]
    assert cluster.result("per_hour", i) == pytest.approx(out[f"total36_{tier}"]["published"] / hours, rel=1e-6)


@pytest.mark.parametrize("i", [1, 2])
def test_providers_differ_as_published(cluster: Book, i: int) -> None:
    _, out = case("W08")
    dear, cheap = (cluster.result("npv", n) for n in (i, 0))
    assert dear / cheap == published(out, f"ratio_{TIERS[i]}")
    assert (dear - cheap) / 36 == published(out, f"gap_{TIERS[i]}")


@pytest.mark.slow
def test_a_server_breaks_even_after_the_published_hours(tmp_path: Path) -> None:
    """W01: the cumulative cost of a bought server meets that of the rented one, with both at work all the time."""
    known, out = case("W01")
    ways = ("on_demand", "reserved_1y", "reserved_3y")
    usual = {"server": "DGX_H100", "device": "H100", "tp": 2, "precision": "fp8", "site": "US_Avg"}
    options = [
        {
            **usual,
            "financing": "buy",
            "servers": 1,
            "price": known["price"],
            "residual": 0.0,
            "tariff": 0.0,
            "overflow": "none",
        },
        *({**usual, "financing": "reserved", "servers": 1, "price": known[n] / 8, "term": 24} for n in ways),
    ]
    inputs = {**PLAIN, "in_HorizonMonths": 24, "in_HoursPerYear": known["hours_per_year"]}
    plan, extra = plan_with(options, inputs, months=24)
    running: Any = 1
    hourly = wp.Line(
        "running",
        "running",
        running,
        "servers",
        "monthly",
        "none",
        known["hours_per_year"] / 12,
        "USD/h",
        price(known["running"]),
    )
    plan, extra = plan_with(options, inputs, [*without_cost(plan.lines), hourly], months=24)
    book = compute(tmp_path, plan, extra)
    own = book.months("cumulative", 0)
    assert book.total("running_sum", 0) / 2 == published(out, "onprem_opex_usd_per_year")
    assert book.total("cash", 1) / 2 == published(out, "on_demand_usd_per_year_8760h")
    for i, name in enumerate(("breakeven_h_on_demand", "breakeven_h_1y", "breakeven_h_3y"), start=1):
        gap = [a - b for a, b in zip(own, book.months("cumulative", i), strict=True)]
        last = max(m for m, x in enumerate(gap) if x > 0)
        hours = known["hours_per_year"] / 12 * (last + gap[last] / (gap[last] - gap[last + 1]))
        assert hours == published(out, name)
