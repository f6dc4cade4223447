"""The sheet Compare: every decision path against an independent calculation, and with other answers than the default's.

The load is changed, the count worked out anew, the purchase put off: what the sheet says from straight lines and
factors must be what the whole calculation gives then.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from compare_paths import Paths, counting, ranked, renting, root, same, savings, straight, wait, worth
from money import FLEET, OWNED
from money_book import compute, plan_with
from money_compare import compare
from money_stories import H100, H200, every_line
from openpyxl import Workbook

from workbook.plan import read_plan
from workbook.sheets.compare import add_compare
from workbook.sheets.compare_paths import SHARES
from workbook.sheets.compare_table import Table
from workbook.sheets.compare_when import WAITS
from workbook.sheets.monthly import Layout

SHIPPED = "as shipped"
OTHER = "a heavy load, dear tokens"  # owning wins
PRICED = "every cost line, in euros"
QUICK = "prices fall fast"  # waiting wins
TRAINED = "a training run by its deadline"

HEAVY: list[dict[str, Any]] = [
    {"financing": "own", "servers": 60, **H100},
    {"financing": "buy"},
    {"financing": "buy", "price": 100_000, **H200},
    {"financing": "loan", "term": 24},
    {"financing": "lease", "term": 36},
    {"financing": "reserved", "term": 36, **H100},
    {"financing": "on-demand", **H200},
    {"financing": "API", "price": 4.0, "currency": "USD"},
]
MIXED: list[dict[str, Any]] = [
    {"financing": "buy"},
    {"financing": "buy", "start": 9, "overflow": "on-demand"},
    {"financing": "reserved", "term": 36, **H100},
    {"financing": "spot", **H100},
    {"financing": "API", "price": 0.9, "currency": "EUR"},
    {"financing": "own", "servers": 12, **H200},
]
RUNS: list[dict[str, Any]] = [
    {"financing": "buy"},
    {"financing": "buy", **H200},
    {"financing": "reserved", "term": 36, **H100},
    {"financing": "on-demand", **H100},
]
OLD = {"in_OldFleetValue": 2e6, "in_OldFleetBook": 2.6e6, "in_OldFleetLife": 3}
INPUTS: dict[str, dict[str, Any]] = {
    OTHER: {"in_TokensPerDay": 12_000, "in_SpareServers": 2, "in_PriceDecline": 0.02, "in_TakeOrPay": 0.9,
            "in_SaleOut": 2.0, "in_SaleIn": 0.1, "in_Margin": 0.6, "in_SiteMegawatts": 3, "in_DemandGrowth": 0.5,
            "in_SeqLen": 512, "in_OutputTokens": 1024, "in_RampMonths": 0, **OLD},
    PRICED: {"in_TokensPerDay": 3000, "in_TakeOrPay": 0.2, "in_TaxRate": 0.3, "in_DiscountTiming": "middle",
             "in_DemandGrowth": 0.1},
    QUICK: {"in_PriceDecline": 0.6, "in_CloudDecline": 0.3, "in_PerfGain": 0, "in_MeteredFill": 0.9},
    TRAINED: {"in_Workload": "training", "in_DeadlineDays": 20, "in_SpareServers": 1, "in_TrainTP": 8,
              "in_RunsPerYear": 6},
}  # fmt: skip
KNOBS: dict[str, dict[str, float]] = {
    OTHER: {"cmp_Rent": 9.5, "cmp_Reference": 6, "cmp_OldRunning": 400_000},
    PRICED: {"cmp_Reference": 3},
    QUICK: {"cmp_Rent": 1.1},
}
OPTIONS = {OTHER: HEAVY, PRICED: MIXED, QUICK: [{"financing": "buy"}, {"financing": "buy", **H200}], TRAINED: RUNS}


def paths_of(name: str, folder: Path) -> Paths:
    tables: list[Table] = []

    def more(book: Workbook, layout: Layout) -> None:
        table = add_compare(book, layout)
        for knob, value in KNOBS.get(name, {}).items():
            book["Compare"][f"C{table.rows[knob]}"] = value
        tables.append(table)

    plan, extra = plan_with(OPTIONS.get(name, []), INPUTS.get(name), every_line() if name == PRICED else None)
    if name == SHIPPED:
        plan, extra = read_plan(), []
    currency = "EUR" if name == PRICED else "USD"
    paths = Paths(compute(folder, plan, extra, currency, more), tables[0])
    for i in range(len(plan.options)):
        assert paths.book.option("status", i) == "ok", paths.book.option("status", i)
        assert compare(paths.book, i) == []
    return paths


@pytest.fixture(
    scope="module",
    params=[SHIPPED, OTHER, *(pytest.param(n, marks=pytest.mark.slow) for n in (PRICED, QUICK, TRAINED))],
)
def paths(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return paths_of(request.param, tmp_path_factory.mktemp("compare"))


def story(paths: Paths) -> str:
    """Which of the plans it is."""
    return next(n for n in (OTHER, PRICED, QUICK, TRAINED, SHIPPED) if n == SHIPPED or _is(paths, OPTIONS[n]))


def _is(paths: Paths, rows: list[dict[str, Any]]) -> bool:
    return [o.financing for o in paths.options] == [r["financing"] for r in rows]


@pytest.mark.slow
def test_the_answers_differ(tmp_path: Path) -> None:
    """The plans of this file lead to other decisions than the shipped one; each figure is tested below."""
    answers = {n: paths_of(n, tmp_path) for n in (SHIPPED, OTHER, QUICK)}
    best = {n: p.options[int(p.read("best")) - 1].financing for n, p in answers.items()}
    assert best[SHIPPED] == "API"
    assert best[OTHER] in OWNED
    device = {n: p.book.option("device", int(p.read("device_best")) - 1) for n, p in answers.items()}
    assert device[SHIPPED] == "B200"
    assert device[OTHER] == "H200"
    when = {n: p.below("cloud_token", 0 if n != OTHER else 1, 3 + 2 * len(WAITS)) for n, p in answers.items()}
    assert when[SHIPPED] == 3
    assert when[OTHER] == 0
    assert when[QUICK] == 24


def test_ranking(paths: Paths) -> None:
    order = ranked(paths)
    for i in range(len(paths.options)):
        assert paths.read("rank", i) == (order.index(i) + 1 if i in order else "not ranked")
    assert [paths.read("best"), paths.read("runner")] == [order[0] + 1, order[1] + 1]


def test_savings(paths: Paths) -> None:
    reference = int(paths.read("reference")) - 1
    rents = [i for i in ranked(paths) if paths.options[i].financing not in OWNED]
    asked = KNOBS.get(story(paths), {}).get("cmp_Reference")
    assert reference == (int(asked) - 1 if asked else rents[0] if rents else 0)
    for i in range(len(paths.options)):
        for name, wanted in savings(paths, i, reference).items():
            rel = 1e-7 if name in ("irr", "mirr") else 1e-9
            assert same(paths.read(name, i), wanted, rel), f"{name} of option {i + 1}"


def test_cost_moves_with_the_load_as_stated(paths: Paths) -> None:
    """A little less load: the whole calculation saves what the sheet says that moves."""
    step, seen = 1e-4, 0
    for i in range(len(paths.options)):
        if not straight(paths, i, 1.0):
            continue
        slope = (paths.net(paths.results[i]) - paths.net(paths.loaded(i, 1 - step))) / step
        # water and carbon are shared by kWh, not month by month; the rest is exact
        near = (
            1.0
            + (0.15 if paths.options[i].start else 0.02)
            * (paths.read("carbon_lines", i) + paths.read("water_lines", i))
            * paths.fx
        )
        assert paths.read("moving", i) == pytest.approx(slope, rel=2e-6, abs=near), f"option {i + 1}"
        assert paths.read("fixed", i) == pytest.approx(paths.net(paths.results[i]) - slope, rel=2e-6, abs=near)
        seen += 1
    assert seen >= min(2, len(paths.options))


def test_break_even_with_rent_and_api(paths: Paths) -> None:
    for i, option in enumerate(paths.options):
        rent = paths.read("rent", i)
        if isinstance(rent, str):
            assert option.financing == "API"
            continue
        typed = KNOBS.get(story(paths), {}).get("cmp_Rent")
        if typed:
            plan = paths.terms
            assert same(rent, typed * paths.fx / (plan.metered_fill * plan.goodput))
        invoiced = rent * paths.terms.metered_fill * paths.terms.goodput
        for name, wanted in renting(paths, i, invoiced).items():
            assert same(paths.read(name, i), wanted), f"{name} of option {i + 1}"
        cost, api = paths.read("per_mtoken", i), paths.read("api_price")
        assert paths.read("even_token", i) == cost
        if isinstance(cost, float) and isinstance(api, float):
            assert same(paths.read("api_gap", i), cost / api - 1)


def test_break_even_utilisation_by_the_whole_calculation(paths: Paths) -> None:
    """At the load of that utilisation the fleet costs what the rent of the hours that it works would."""
    for i, option in enumerate(paths.options):
        even = paths.read("even_present", i)
        if option.financing not in FLEET or isinstance(even, str):
            continue
        factor = even / paths.read("filled", i)
        if not straight(paths, i, factor) or option.start or paths.terms.take_or_pay:
            continue
        out = paths.loaded(i, factor)
        assert paths.net(out) == pytest.approx(paths.read("rent", i) * worth(out, "own_h"), rel=1e-6)


def test_curve_by_the_whole_calculation(paths: Paths) -> None:
    """Cost of a million tokens at other utilisations, as far as the fleet carries the load."""
    seen = 0
    for i, option in enumerate(paths.options):
        filled = paths.read("filled", i)
        for k, share in enumerate(SHARES):
            shown = paths.below("api_gap", i, k + 2)
            if option.financing not in FLEET:
                assert shown == paths.read("per_mtoken", i)
                continue
            factor = share / filled
            if not straight(paths, i, factor) or paths.terms.take_or_pay or option.start:
                continue
            cost = paths.loaded(i, factor).figures["per_mtoken"]
            assert same(shown, cost and cost * paths.fx, 1e-6), f"option {i + 1} at {share}"
            seen += isinstance(shown, float)
    assert seen > 5 or paths.terms.take_or_pay or not paths.terms.serving_on


def test_flip_by_the_whole_calculation(paths: Paths) -> None:
    """Where the words name a utilisation, both options cost the same at that load; else they do not cross there."""
    best, runner = (int(paths.read(n)) - 1 for n in ("best", "runner"))
    words = paths.read("flip")
    bent = [i for i in (best, runner) if not straight(paths, i, 1.0)]

    def gap(factor: float) -> float:
        return paths.net(paths.loaded(best, factor)) - paths.net(paths.loaded(runner, factor))

    carried = [paths.read("load_room", i) for i in (best, runner)]
    room = min((x for x in carried if not isinstance(x, str)), default=10.0)
    if "not worked out" in words:
        assert bent
    elif words.startswith("flips"):
        at = paths.read("flip_load")
        assert at <= room
        assert root(gap, at * 0.9, min(at * 1.1, max(room, at))) == pytest.approx(at, rel=1e-3)
        assert (gap(at * 1.001 if at * 1.001 < room else at) > 0) == ("above" in words) or at == room
    else:
        assert gap(1.0) < 0
        assert gap(room) <= 0
        assert gap(0.01) < 0


def test_device_and_count(paths: Paths) -> None:
    plan = paths.terms
    for i, option in enumerate(paths.options):
        out = paths.results[i]
        if out.option.financing in OWNED and out.asset:
            wanted = paths.book.engine("tokens_s", i) / (out.asset * paths.fx / 1e6)
            assert same(paths.read("for_money", i), wanted)
        if option.financing not in FLEET or not plan.serving_on:
            continue
        for name, value in counting(paths, i).items():
            assert same(paths.read(name, i), value), f"{name} of option {i + 1}"


def test_cost_of_certainty(paths: Paths) -> None:
    """The servers that certainty adds cost what the whole calculation says, but for what the plan costs anyway."""
    for i, option in enumerate(paths.options):
        shown = paths.read("certainty", i)
        if isinstance(shown, str) or option.financing not in FLEET or not straight(paths, i, 1.0):
            continue
        if option.start or paths.terms.take_or_pay or option.servers is not None:
            continue
        many, few = paths.read("servers_certain", i), paths.read("servers_typical", i)
        rate = paths.book.engine("rate", i)  # the load does not fill the certain fleet either
        nets = [
            paths.net(paths.evaluate(dataclasses.replace(paths.options[i], servers=int(n), rate=rate)))
            for n in (many, few)
        ]
        assert shown == pytest.approx(nets[0] - nets[1], rel=0.03), f"option {i + 1}"


def test_token_price(paths: Paths) -> None:
    plan = paths.terms
    sale = (plan.sale_out + plan.sale_in * plan.in_per_out) * paths.fx
    assert same(paths.read("sale"), sale)
    for i in range(len(paths.options)):
        out = paths.results[i]
        cost = out.figures["per_mtoken"]
        if cost is None:
            assert paths.read("price_out", i) == "none"
            continue
        price_out, price_in = paths.read("price_out", i), paths.read("price_in", i)
        bring = price_out + price_in * plan.in_per_out
        assert same(bring * (1 - plan.margin), cost * paths.fx)
        assert same(price_out / price_in, plan.price_ratio)
        if sale > 0:
            assert same(paths.read("left", i), 1 - cost * paths.fx / sale)
            month = (sale - cost * paths.fx) * sum(out.served) / plan.horizon
            assert same(paths.read("month_left", i), month)


def test_power_both_ways(paths: Paths) -> None:
    plan, site = paths.terms, paths.book.named("in_SiteMegawatts")
    charge = paths.book.named("in_DemandCharge")
    for i, option in enumerate(paths.options):
        if option.financing not in OWNED:
            continue
        out = paths.results[i]
        contract = out.servers_count * option.contract_kw
        assert same(paths.read("contract", i), contract)
        assert same(paths.read("demand_year", i), contract * charge * 12 * paths.fx)
        short = sum(out.paid_kwh) - sum(out.fleet_kwh)
        assert paths.read("short_kwh", i) == pytest.approx(short, rel=1e-9, abs=1e-3)
        servers = math.floor(site * 1000 / option.contract_kw)
        assert same(paths.read("site_servers", i), servers)
        assert same(paths.read("headroom", i), servers - out.servers_count)
        rate = option.rate or 0.0
        tokens = servers * option.devices_per_server * rate
        assert same(paths.read("site_tokens", i), tokens)
        day = tokens * plan.utilisation * plan.goodput * 86400 / 1e6
        assert same(paths.read("site_day", i), day)
        assert servers * option.contract_kw <= site * 1000 < (servers + 1) * option.contract_kw


def test_keep_or_replace(paths: Paths) -> None:
    plan = paths.terms
    out = paths.results
    assert same(paths.read("released"), (plan.old_value - plan.relief * (plan.old_value - plan.old_book)) * paths.fx)
    months = sum(plan.deductible_factor(m) for m in range(1, plan.horizon + 1))
    typed = KNOBS.get(story(paths), {}).get("cmp_OldRunning")
    own = [paths.net(r) for r in out if r.option.financing == "own"]
    kept = paths.read("keep")
    if typed:
        assert same(kept, typed * paths.fx * months)
    elif own:
        assert same(kept, own[0] + 0.0)
    for i, r in enumerate(out):
        npv = float(r.figures["npv"] or 0) * paths.fx
        if r.option.financing == "own":
            assert paths.read("replace_gain", i) == "none"
        else:
            assert same(paths.read("replace_gain", i), kept - npv)
            assert same(paths.read("replace_at", i) * months, npv)


def test_a_run_by_its_deadline(paths: Paths) -> None:
    plan = paths.terms
    for i, option in enumerate(paths.options):
        if not plan.training_on:
            assert paths.read("run_hours", i) == "not trained"
            continue
        hours = option.run_hours
        assert same(paths.read("run_hours", i), hours)
        count = paths.read("run_devices", i)
        day = 24 * plan.goodput
        assert plan.deadline_days is not None
        assert hours / (count * day) <= plan.deadline_days < hours / ((count - 1) * day)
        servers = paths.read("run_servers", i)
        assert same(servers, math.ceil(count / option.devices_per_server) + plan.spare_servers)
        if option.financing in FLEET:
            assert paths.results[i].servers_count >= servers
            assert same(paths.read("run_days", i), hours / (paths.results[i].devices * day))
        cost = paths.results[i].figures["per_run"]
        assert same(paths.read("run_cost", i), cost and cost * paths.fx)


def test_waiting_by_a_real_option(paths: Paths) -> None:
    """Putting off costs what an option that starts later costs: exactly, or closely where prices feed other lines."""
    top = paths.table.rows["cloud_token"] + 3 + len(WAITS)
    for i, option in enumerate(paths.options):
        column = paths.table.letters[i]
        shown = [paths.book.at(f"Compare!{column}{top + k}") for k in range(len(WAITS))]
        buys = option.financing == "buy" and option.start == 0 and option.refresh is None and i in ranked(paths)
        if not buys:
            if option.financing not in ("loan", "lease"):
                assert set(shown) == {"none"}
            continue
        assert same(shown[0], paths.net(paths.results[i]))
        rent = paths.read("rent", i) / paths.fx * paths.terms.metered_fill * paths.terms.goodput
        # lines paid once or at the end, of every kind, are not repriced one by one
        rel = 0.05 if story(paths) == PRICED else 0.02
        for k, month in enumerate(WAITS):
            real = wait(paths, i, month, rent)
            assert shown[k] == pytest.approx(real, rel=rel), f"option {i + 1}, month {month}"
        least = min(range(len(WAITS)), key=lambda k: shown[k])
        assert paths.book.at(f"Compare!{column}{top + len(WAITS)}") == WAITS[least]
        assert same(paths.book.at(f"Compare!{column}{top + len(WAITS) + 1}"), shown[0] - shown[least])
