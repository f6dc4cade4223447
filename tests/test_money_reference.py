"""The independent calculation of the money against identities, numpy-financial, work by hand and published cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy_financial as npf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from money import FLEET, Line, Option, Plan, Result, evaluate
from money_cases import BUY, LINES, PLAN, change, run


@st.composite
def cases(draw: st.DrawFn) -> Result:
    """Any legal case of moderate size."""
    share = st.floats(0, 0.5)
    horizon = draw(st.integers(3, 60))
    financing = draw(st.sampled_from((*FLEET, "on-demand", "spot", "API")))
    start = 0 if financing == "own" else draw(st.integers(0, horizon - 1))
    refresh = None
    if financing in ("own", "buy", "loan") and horizon - start > 2 and draw(st.booleans()):
        refresh = draw(st.integers(start + 1, horizon - 1))
    overflow = draw(st.sampled_from(["none", "on-demand", "spot", "API"]))
    trains = draw(st.booleans()) and "API" not in (financing, overflow)
    rates = ("energy_escalator", "cost_escalator", "wage_escalator", "cloud_decline", "price_decline", "perf_gain")
    plan = Plan(
        horizon=horizon,
        tokens_per_day=draw(st.floats(1, 5000)),
        ramp=draw(st.integers(0, 12)),
        growth=draw(share),
        training_on=int(trains),
        runs_per_year=6.0,
        utilisation=0.6,
        goodput=0.9,
        metered_fill=0.8,
        discount=draw(st.one_of(st.just(0.0), st.floats(0.001, 0.5))),  # pmt divides by what is nearly 0
        tax_rate=draw(share),
        tax_use=draw(st.floats(0, 1)),
        timing=draw(st.sampled_from(["end", "middle"])),
        finance_at=draw(st.sampled_from(["cost of debt", "discount rate"])),
        cost_of_debt=draw(share),
        network_share=draw(share),
        reserved_upfront=draw(st.floats(0, 1)),
        take_or_pay=draw(st.floats(0, 1)),
        power_ramp=draw(st.integers(0, 6)),
        loan_share=draw(st.floats(0, 1)),
        lease_residual=draw(share),
        old_value=draw(st.sampled_from([0.0, 50_000.0])),
        old_book=40_000.0,
        old_life=draw(st.floats(0.5, 6)),
        **{name: draw(share) for name in rates},
    )
    option = change(
        BUY,
        financing=financing,
        overflow=overflow,
        run_hours=20_000.0,
        servers=draw(st.one_of(st.none(), st.integers(0, 30))),
        start=start,
        refresh=refresh,
        term=draw(st.integers(1, 70)),
        residual=draw(st.one_of(st.none(), share)),
    )
    return evaluate(plan, LINES, option)


# ------------------------------------------------------------------ identities of every case


@settings(max_examples=120, deadline=None)
@given(cases())
def test_work_is_conserved(out: Result) -> None:
    assert np.add(out.own_h, out.over) == pytest.approx(out.need)
    assert all(0 <= own <= cap + 1e-9 for own, cap in zip(out.own_h, out.cap, strict=True))
    assert all(served <= demand + 1e-9 for served, demand in zip(out.served, out.demand, strict=True))


@settings(max_examples=120, deadline=None)
@given(cases())
def test_what_is_paid_is_deducted_once(out: Result) -> None:
    """Over the whole plan the deductions less the gains are the cash paid, and the book value of today's fleet."""
    plan = out.plan
    relief = plan.tax_rate * plan.tax_use * (sum(out.cash) + plan.old_book)
    assert -sum(out.tax) == pytest.approx(relief, rel=1e-9, abs=1e-6)


@settings(max_examples=120, deadline=None)
@given(cases())
def test_depreciation_sums_to_what_was_capitalised(out: Result) -> None:
    base = sum(out.capital) + (out.plan.old_book if out.option.financing == "own" else 0.0)
    assert sum(out.depreciation) == pytest.approx(base, rel=1e-9, abs=1e-6)


@settings(max_examples=120, deadline=None)
@given(cases())
def test_present_value_is_that_of_numpy_financial(out: Result) -> None:
    """Loans and leases back to the start month at the cost of debt, then as the equipment; the rest at one rate."""
    plan, start = out.plan, out.option.start
    cash, debt, tax, relief = map(np.array, (out.cash, out.financing, out.tax, out.tax_financing))
    monthly, half = (1 + plan.rate) ** (1 / 12) - 1, (1 + plan.rate) ** (1 / 24) if plan.timing == "middle" else 1.0
    operating = (cash - debt)[0] + (npf.npv(monthly, cash - debt) - (cash - debt)[0]) * half
    there = npf.npv(monthly, np.eye(1, plan.months + 1, start)[0]) * (half if start else 1.0)
    assert not any(debt[:start])
    before, after = operating, operating + npf.npv(monthly, tax - relief)
    for total, rate in (("npv_before", plan.cost_of_debt), ("npv", plan.cost_of_debt * (1 - plan.relief))):
        month = monthly if plan.finance_at == "discount rate" else (1 + rate) ** (1 / 12) - 1
        if total == "npv_before":
            before += npf.npv(month, debt[start:]) * there
        else:
            after += (npf.npv(month, debt[start:]) + npf.npv(month, relief) * (1 + month) ** start) * there
    scale = sum(abs(cash))
    assert out.figures["npv_before"] == pytest.approx(before, rel=1e-9, abs=1e-11 * scale + 1e-6)
    assert out.figures["npv"] == pytest.approx(after, rel=1e-9, abs=1e-11 * scale + 1e-6)
    if plan.rate:
        spread = npf.pv(plan.rate, plan.horizon / 12, -(out.figures["eac"] or 0.0))
        assert spread == pytest.approx(after, rel=1e-9, abs=1e-11 * scale + 1e-6)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_unit_at_its_levelised_price_costs_what_the_option_costs(out: Result) -> None:
    """Whoever bought every delivered hour at that price, deducting it, would pay the same after tax."""
    price, plan = out.figures["per_delivered"], out.plan
    if price is None:
        return
    bought = evaluate(
        change(plan, old_value=0.0, old_book=0.0),
        [],
        change(out.option, financing="on-demand", refresh=None, on_demand=0.0),
    )
    paid = [price * x for x in out.done_h]
    after = sum(x * plan.factor(m) for m, x in enumerate(paid))
    for year in range(1, plan.months // 12 + 1):
        after -= plan.relief * sum(paid[max(12 * year - 11, 0) : 12 * year + 1]) / (1 + plan.rate) ** year
    assert bought.figures["npv"] == 0
    assert after == pytest.approx(out.figures["net"], rel=1e-9, abs=1e-6)


def test_a_loan_and_its_equipment_meet_at_the_start() -> None:
    """What the lessor pays is the price in full; at a monthly rate of the cost of debt a loan is worth nothing."""
    debt = 1.06**12 - 1
    plan = change(PLAN, timing="middle", cost_of_debt=debt, loan_rate=12 * 0.06, lease_rate=12 * 0.06, tax_rate=0.0)
    for start in (0, 7):
        bought = run("buy", plan=plan, start=start, residual=0.0)
        for way in ("loan", "lease"):
            out = run(way, plan=plan, start=start, residual=0.0, term=24)
            assert out.figures["npv_before"] == pytest.approx(bought.figures["npv_before"], rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(cases(), st.floats(0.1, 10))
def test_costs_scale_with_prices(out: Result, k: float) -> None:
    prices = ("price", "tariff", "on_demand", "spot", "reserved_1y", "reserved_3y", "api_in", "api_out")
    option = change(out.option, **{name: k * getattr(out.option, name) for name in prices})
    plan = change(out.plan, old_value=k * out.plan.old_value, old_book=k * out.plan.old_book)
    lines = [x if x.driver in ("hardware", "bill") else change(x, used=k * x.used) for x in LINES]
    scaled = evaluate(plan, lines, option)
    for name in ("cash", "tax", "after"):
        assert getattr(scaled, name) == pytest.approx(np.multiply(k, getattr(out, name)), rel=1e-9, abs=1e-6)
    assert scaled.fleet_kwh == out.fleet_kwh


@settings(max_examples=60, deadline=None)
@given(cases())
def test_without_interest_and_tax_the_value_is_the_sum(out: Result) -> None:
    plain = evaluate(change(out.plan, discount=0.0, tax_rate=0.0, finance_at="discount rate"), LINES, out.option)
    assert plain.figures["npv_before"] == pytest.approx(sum(out.cash), rel=1e-9, abs=1e-6)
    assert plain.figures["npv"] == pytest.approx(plain.figures["npv_before"], rel=1e-9, abs=1e-6)
    assert plain.figures["eac"] == pytest.approx(sum(out.cash) / out.plan.horizon * 12, rel=1e-9, abs=1e-6)


# ------------------------------------------------------------------ finance


@pytest.mark.parametrize("term", [12, 36, 48])
def test_loan_is_repaid_to_the_cent(term: int) -> None:
    out = run("loan", term=term, plan=change(PLAN, loan_share=0.8))
    borrowed, rate = 0.8 * out.asset, PLAN.loan_rate / 12
    last = min(term, PLAN.horizon)
    months = np.arange(1, last + 1)
    assert out.interest[1 : last + 1] == pytest.approx(npf.ipmt(rate, months, term, -borrowed))
    kept = npf.fv(rate, last, npf.pmt(rate, term, -borrowed), -borrowed)
    repaid = npf.ppmt(rate, months, term, -borrowed)
    repaid[-1] += kept
    principal = [paid - part for paid, part in zip(out.add("loan_out", "loan_end"), out.interest, strict=True)]
    assert principal[1 : last + 1] == pytest.approx(repaid)
    assert sum(principal) == pytest.approx(borrowed)
    assert sum(out.loan) == pytest.approx(sum(out.interest))
    assert npf.npv(rate, out.loan) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("term", [24, 36, 48])
def test_lease_rents_and_residual_are_worth_the_asset(term: int) -> None:
    plan = change(PLAN, lease_residual=0.15)
    out = run("lease", term=term, plan=plan)
    rate, level = plan.lease_rate / 12, out.rent[0]
    assert npf.npv(rate, [level] * term) + 0.15 * out.asset / (1 + rate) ** term == pytest.approx(out.asset)
    assert sum(out.rents) == pytest.approx(term * level)
    assert out.rents[36] == pytest.approx(max(0, term - 36) * level)
    paid = sum(out.rents) + sum(out.buyout) if term < 36 else sum(out.rent)
    owed = out.asset - (0.0 if term < 36 else npf.pv(rate, term - 36, -level, -0.15 * out.asset, 1) * (term > 36))
    if term != 36:
        assert sum(out.lease_interest) == pytest.approx(paid - owed)
    assert sum(out.capital) == pytest.approx(0.15 * out.asset if term < 36 else 0)
    assert bool(out.resale[36]) == (term < 36)


def test_reserved_capacity_owes_the_whole_term() -> None:
    for upfront in (0.0, 0.4, 1.0):
        out = run("reserved", term=48, plan=change(PLAN, reserved_upfront=upfront), lines=())
        assert sum(out.reserved) == pytest.approx(48 * 32 * 730 * 2.0)
        assert out.reserved[0] == pytest.approx(upfront * 48 * 32 * 730 * 2.0)
    short = run("reserved", term=12, plan=change(PLAN, cloud_decline=0.2), lines=())
    assert short.reserved[12:14] == pytest.approx([32 * 730 * 2.5, 32 * 730 * 2.5 * 0.8])
    locked = run("reserved", start=6, term=12, plan=change(PLAN, cloud_decline=0.2), lines=())
    assert locked.reserved[17:20] == pytest.approx([32 * 730 * 2.5] * 2 + [32 * 730 * 2.5 * 0.8])


def test_weighted_and_real_rates() -> None:
    weighted = change(PLAN, discount=None, debt_share=0.4, cost_of_equity=0.12, cost_of_debt=0.07)
    assert weighted.rate == pytest.approx(0.6 * 0.12 + 0.4 * 0.07 * 0.75)
    assert change(weighted, rate_basis="real", inflation=0.03).rate == weighted.rate  # it is nominal as it stands
    real = change(PLAN, discount=0.08, rate_basis="real", inflation=0.025)
    assert real.rate == pytest.approx(0.107)
    assert real.factor(12) == pytest.approx(1 / 1.107)
    assert change(real, timing="middle").factor(6) == pytest.approx(1.107 ** (-5.5 / 12))
    assert real.deductible_factor(5) == pytest.approx(1.107 ** (-5 / 12) - 0.25 / 1.107)


def test_statutory_table_of_five_year_property() -> None:
    """IRS Publication 946, table A-1, half-year convention, on 250,000 USD; the servers outlive the table."""
    table = (0.2, 0.32, 0.192, 0.1152, 0.1152, 0.0576)
    plan = change(PLAN, horizon=84, months=84, tax_schedule=table)
    out = run(plan=plan, servers=1, price=250_000.0, lines=())
    assert out.depreciation[1:] == pytest.approx([50_000, 80_000, 48_000, 28_800, 28_800, 14_400, 0], abs=1e-6)
    early = run(plan=change(plan, horizon=30), servers=1, price=250_000.0, lines=())
    assert early.depreciation[1:] == pytest.approx([50_000, 80_000, 120_000, 0, 0, 0, 0], abs=1e-6)


# ------------------------------------------------------------------ by hand and as published


def test_a_year_by_hand() -> None:
    """One server of 120,000 for two years, sold for a quarter; 1,000 a month; a fifth of tax; 10 % a year."""
    plan = Plan(horizon=24, months=24, tax_rate=0.2, tax_schedule=(0.5, 0.3, 0.2))
    out = evaluate(plan, [Line("hosting", 1_000.0)], Option("buy", servers=1, price=120_000.0, residual=0.25))
    assert out.cash == pytest.approx([120_000] + [1_000] * 23 + [1_000 - 30_000])
    assert out.year_tax[1:] == pytest.approx([-0.2 * 72_000, -0.2 * (12_000 + 60_000 - 30_000)])
    month = 1.1 ** (1 / 12) - 1
    annuity = 1_000 * (1 - 1.1**-2) / month
    before = 120_000 + annuity - 30_000 / 1.21
    after = before - 14_400 / 1.1 - 8_400 / 1.21
    assert out.figures["upfront"] == 120_000
    assert out.figures["npv_before"] == pytest.approx(before)
    assert out.figures["npv"] == pytest.approx(after)
    assert out.figures["eac"] == pytest.approx(after * 0.1 / (1 - 1.1**-2))
    hours = 8 * 730 * ((1 - 1.1**-2) / month - 0.2 * 12 * (1 / 1.1 + 1 / 1.21))
    assert out.figures["per_hour"] == pytest.approx(after / hours)


def test_price_of_tokens_has_utilisation_once() -> None:
    """USD per million = rent / fill / goodput / (tokens per second x 3600) x 1e6, whatever the rate and the demand."""
    for plan in (change(PLAN, metered_fill=0.5), change(PLAN, metered_fill=0.5, discount=0.3, growth=0.5, ramp=6)):
        figures = run("on-demand", plan=plan, lines=(), on_demand=2.0).figures
        assert figures["per_mtoken"] == pytest.approx(2.0 / 0.45 / (1000 * 3600) * 1e6)
        assert figures["per_delivered"] == pytest.approx(2.0 / 0.45)
        out_price, in_price = figures["per_out"] or 0.0, figures["per_in"] or 0.0
        assert out_price == pytest.approx(3 * in_price)
        assert out_price + 4 * in_price == pytest.approx(figures["per_mtoken"])
    api = run("API", lines=(), rate=None)
    assert api.figures["per_mtoken"] == pytest.approx(4 * 0.2 + 0.8)
    assert sum(api.cash) == pytest.approx(36 * 400 * 730 / 24 * 1.6)


def test_a_training_run_and_a_token_share_the_bill() -> None:
    plan = change(PLAN, training_on=1, runs_per_year=6.0)
    out = run("on-demand", plan=plan, lines=(), run_hours=20_000.0)
    figures = out.figures
    assert figures["per_run"] == pytest.approx(20_000 * 3.0 / 0.72)
    assert figures["per_mtoken"] == pytest.approx(3.0 / 0.72 / 3.6)
    total = figures["per_run"] * sum(out.runs) + figures["per_mtoken"] * sum(out.served)  # type: ignore[operator]
    assert total == pytest.approx(sum(out.cash))


CLUSTERMAX = {
    # USD per GPU-hour, then USD a month: storage, network, CPU, goodput, debugging; support share; set-up; published
    # monthly and 36-month totals.  https://www.clustermax.ai/tco, default scenario of 4,096 GPUs
    "gold": (1.84, (1408, 0, 0, 111_349, 0), 0.0, 0, 5_426_381, 5_539_138, 199_408_973),
    "hyperscaler": (2.178, (1856, 82, 3318, 131_804, 16_667), 0.05, 3_278_258, 6_423_183, 6_989_395, 251_618_208),
    "silver": (2.0, (0, 0, 0, 202_015, 16_667), 0.0, 3_015_787, 5_898_240, 6_200_693, 223_224_957),
}


@pytest.mark.parametrize("tier", CLUSTERMAX)
def test_published_cost_of_a_cluster(tier: str) -> None:
    rent, monthly, support, setup, gpus, total_month, total = CLUSTERMAX[tier]
    items = ("storage", "network", "CPU", "goodput", "debugging")
    lines = [Line(item, x, "cloud", "cloud") for item, x in zip(items, monthly, strict=True)]
    lines.append(Line("support of the rent", support, "cloud", "cloud", "bill"))
    lines.append(Line("support of the rest", support * sum(monthly[:3]), "cloud", "cloud"))
    lines.append(Line("set-up", float(setup), "cloud", "cloud", timing="once"))
    plan = Plan(hours_per_year=8640)
    out = evaluate(plan, lines, Option("reserved", servers=512, term=36, reserved_3y=rent))
    assert out.reserved[1] == pytest.approx(gpus, rel=1e-6)
    if support:
        paid = out.lines["support of the rent"][1] + out.lines["support of the rest"][1]
        assert paid == pytest.approx(321_422, rel=1e-6)
    assert sum(out.cash) == pytest.approx(total, rel=1e-6)
    assert sum(out.cash) / 36 == pytest.approx(total_month, rel=1e-6)
    assert out.cash[36] + setup / 36 == pytest.approx(total_month, rel=1e-6)


def test_published_break_even_of_a_server() -> None:
    """Lenovo Press LP2225: 833,806 USD and 0.87 an hour against 98.32 an hour are level after 8,556 hours."""
    plan = Plan(horizon=12, months=12, tokens_per_day=8 * 3600 * 24 * 1000 / 1e6)
    buy = evaluate(plan, [Line("hourly", 0.87 * 730)], Option("buy", servers=1, price=833_806, residual=0.0))
    hire = evaluate(plan, [], Option("on-demand", on_demand=98.32 / 8))
    gap = np.cumsum(buy.cash) - np.cumsum(hire.cash)
    assert hire.cash[1] == pytest.approx(98.32 * 730)
    assert gap[11] > 0 > gap[12]
    hours = 730 * (11 + gap[11] / (gap[11] - gap[12]))
    assert hours == pytest.approx(8556, rel=1e-4)


def test_published_yearly_cost_of_a_server() -> None:
    """NVIDIA's blog on the cost of inference: 320,000 over 4 years, 3,000 hosting and 4,500 software a year."""
    plan = Plan(horizon=48, months=48, discount=0.0)
    lines = [Line("hosting", 3_000.0, timing="yearly"), Line("software", 4_500.0, timing="yearly")]
    out = evaluate(plan, lines, Option("buy", servers=1, price=320_000.0, residual=0.0))
    assert out.figures["eac"] == pytest.approx(87_500)


@pytest.mark.parametrize(
    ("plan", "option", "word"),
    [
        ({}, {"start": 36}, "start"),
        ({"months": 50}, {}, "multiple of 12"),
        ({}, {"refresh": 40}, "refresh"),
        ({}, {"financing": "lease", "refresh": 12}, "refresh"),
        ({}, {"financing": "own", "start": 3}, "month 0"),
        ({"training_on": 1}, {"overflow": "API"}, "train"),
        ({}, {"rate": None}, "rate"),
        ({"tax_schedule": (0.5, 0.4)}, {}, "sum to 1"),
        ({}, {"financing": "hire"}, "words"),
    ],
)
def test_what_has_no_meaning_is_refused(plan: dict[str, Any], option: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        evaluate(change(PLAN, **plan), LINES, change(BUY, **option))
