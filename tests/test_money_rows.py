"""Rows of the independent money calculation against the same sums written out: work, power, refresh, old fleet."""

from __future__ import annotations

import pytest
from money import Line
from money_cases import LINES, PLAN, change, run


def test_sizing_rounds_up_to_servers_and_adds_the_spare_one() -> None:
    need = 400e6 * 730 / 24 / (1000 * 3600)
    out = run(servers=None, plan=change(PLAN, spare_servers=1))
    assert out.need[1] == pytest.approx(need)
    assert out.servers_count == int(need / (8 * 730 * 0.6 * 0.9)) + 1 + 1
    training = change(PLAN, serving_on=0, training_on=1, runs_per_year=2, deadline_days=30)
    assert run(servers=None, plan=training, run_hours=50_000.0).servers_count == 10  # 9.6 by the deadline
    later = change(training, perf_gain=0.25)
    assert run(servers=None, plan=later, run_hours=50_000.0, start=12).servers_count == 8  # 7.7


def test_a_mixed_option_lies_on_the_line_between_its_parts() -> None:
    """While every server is full, each replaces the same metered hours, so the cost is linear in servers."""
    plan = change(PLAN, tokens_per_day=5000.0)
    lines = tuple(x for x in LINES if x.item not in ("staff", "carbon price"))
    none, two, four = (run(plan=plan, lines=lines, servers=n).figures["npv"] for n in (0, 2, 4))
    rented = run("on-demand", plan=plan, lines=lines).figures["npv"]
    assert none == pytest.approx(rented)
    assert two == pytest.approx(((none or 0.0) + (four or 0.0)) / 2)
    assert none != pytest.approx(four)


def test_power_is_paid_as_contracted_or_as_used() -> None:
    out = run(lines=())
    busy = out.own_h[5] / (32 * 730) / 0.9  # lost hours draw power too
    assert out.fleet_kwh[5] == pytest.approx(4 * (2.5 + 5.5 * busy) * 1.3 * 730)
    assert out.electricity[5] == pytest.approx(out.fleet_kwh[5] * 0.08)
    taken = run(lines=(), plan=change(PLAN, take_or_pay=0.9, power_ramp=4, energy_escalator=0.03))
    assert taken.paid_kwh[4] == pytest.approx(0.9 * 40 * 1.3 * 730)
    assert taken.contracted[:6] == pytest.approx([0, 10, 20, 30, 40, 40])
    assert taken.electricity[13] == pytest.approx(taken.paid_kwh[13] * 0.08 * 1.03)
    assert out.carbon[5] == pytest.approx(out.fleet_kwh[5] * 0.4)  # all done on own servers


def test_refresh_sells_buys_and_speeds_up() -> None:
    plan = change(PLAN, tokens_per_day=5000.0, perf_gain=0.3, price_decline=0.2, residual_decline=0.4)
    out = run(plan=plan, refresh=24, lines=())
    assert out.capital[24] == pytest.approx(1_200_000 * 0.8**2)
    assert out.resale[24] == pytest.approx(-1_200_000 * 0.6**2)
    assert out.resale[36] == pytest.approx(-1_200_000 * 0.8**2 * 0.6)
    assert out.own_h[25] == pytest.approx(out.own_h[24] * 1.3**2)
    assert out.depreciation[1:4] == pytest.approx([240_000, 960_000, 768_000])
    faster = out.fleet_kwh[25] - out.fleet_kwh[24]
    assert faster == pytest.approx(0, abs=1e-6)  # as busy as before: 1.69 times the work in the same hours


def test_keeping_and_replacing_the_old_fleet() -> None:
    plan = change(PLAN, old_value=200_000.0, old_book=150_000.0, old_life=2.5)
    kept = run("own", plan=plan, lines=())
    assert kept.depreciation[1:4] == pytest.approx([60_000, 60_000, 30_000])
    assert kept.resale[36] == pytest.approx(-200_000 * 0.7**3)
    assert sum(kept.old_sale) == 0
    late = run("buy", plan=plan, lines=(), start=6)
    assert late.old_sale[:2] == [-200_000, 0]
    assert late.gains[1] == pytest.approx(200_000 - 150_000)
    renewed = run("own", plan=change(plan, price_decline=0.1), lines=(), refresh=24)
    assert renewed.resale[24] == pytest.approx(-200_000 * 0.7**2)
    assert renewed.resale[36] == pytest.approx(-1_200_000 * 0.9**2 * 0.7)
    assert renewed.depreciation[1:4] == pytest.approx([60_000, 90_000, 1_200_000 * 0.9**2])


def test_demand_ramps_grows_and_stops() -> None:
    plan = change(PLAN, ramp=4, growth=0.2)
    out = run(plan=plan, lines=())
    month = 400 * 730 / 24
    assert out.demand[:3] == pytest.approx([0, month / 4, month / 2 * 1.2 ** (1 / 12)])
    assert out.demand[13] == pytest.approx(month * 1.2)
    assert out.demand[36] > 0
    assert not any(out.demand[37:])
    own = run(plan=plan, lines=(), ramp=0, growth=0.0)
    assert own.demand[1:37] == pytest.approx([month] * 36)


def test_a_full_fleet_gives_its_share_and_the_rest_is_rented() -> None:
    plan = change(PLAN, tokens_per_day=5000.0, cloud_decline=0.1, spot_rework=0.15)
    need, cap = 5000 * 730 / 24 * 1e6 / 3.6e6, 32 * 730 * 0.6 * 0.9
    out = run(plan=plan, lines=(), overflow="spot")
    assert out.own_h[1] == pytest.approx(cap)
    assert out.over_cost[12] == pytest.approx((need - cap) / (0.8 * 0.9) * 1.15 * 1.5)
    assert out.over_cost[13] == pytest.approx(0.9 * out.over_cost[12])
    tokens = run(plan=plan, lines=(), overflow="API")
    assert tokens.over_cost[1] == pytest.approx(5000 * 730 / 24 * (1 - cap / need) * (0.2 * 4 + 0.8))
    refused = run(plan=plan, lines=(), overflow="none")
    assert not any(refused.over_cost)
    assert refused.served[1] == pytest.approx(refused.demand[1] * cap / need)
    assert refused.figures["per_delivered"] == pytest.approx(
        (refused.figures["npv"] or 0.0) / refused.deductible_value(refused.own_h)
    )


def test_a_late_fleet_leaves_the_first_months_to_others() -> None:
    staff = Line("staff", 100.0, applies="owned", driver="servers", escalator="wages")
    office = Line("office", 7.0, applies="owned")
    out = run(start=6, lines=(staff, office))
    assert out.over[6] == pytest.approx(out.need[6])
    assert out.over[7] == 0
    assert out.lines["staff"][:8] == [0] * 7 + [400]
    assert sum(out.lines["staff"]) == 400 * 30
    assert sum(out.lines["office"]) == 7 * 36  # the plan does not wait for the fleet
    faster = run(start=12, plan=change(PLAN, perf_gain=0.5), lines=())
    assert faster.over[12] == pytest.approx(out.over[6] / 1.5)  # hours of a device of month 12
    assert faster.over_cost[12] == pytest.approx(out.over_cost[6])  # rented from those of today


def test_carbon_and_water() -> None:
    out = run()
    kwh = out.fleet_kwh[3]
    assert out.lines["carbon price"][3] == pytest.approx(kwh * 0.4 / 1000 * 50)
    assert out.lines["water"][3] == pytest.approx(kwh / 1.3 * 1.8 / 1000 * 2)
    assert out.figures["co2_mtoken"] == pytest.approx(sum(out.carbon) / sum(out.served))
    assert out.figures["peak_kw"] == pytest.approx(4 * 8)
    rented = run("on-demand")
    assert rented.carbon[3] == pytest.approx(rented.need[3] / (0.8 * 0.9) * 1.3 * 0.4)
    assert not any(rented.electricity)


def test_lines_follow_their_driver_time_and_escalator() -> None:
    plan = change(PLAN, cost_escalator=0.04, price_decline=0.2)
    lines = (
        Line("share", 0.05, driver="hardware", timing="yearly", escalator="cost", applies="bought"),
        Line("each", 10.0, driver="devices", quantity=2.0),
        Line("third", 7.0, applies="3", timing="once"),
        Line("last", 50.0, driver="servers", timing="end", escalator="cost"),
    )
    out = run(plan=plan, lines=lines, start=12)
    assert out.lines["share"][12:14] == pytest.approx([0, 0.05 * 1_200_000 * 0.8 / 12 * 1.04])
    assert out.lines["each"][13] == 10 * 2 * 32
    assert not any(out.lines["third"])
    assert run(lines=lines, number=3).lines["third"][0] == 7
    assert out.lines["last"][35:38] == pytest.approx([0, 50 * 4 * 1.04**2, 0])
    fitted = run(plan=change(PLAN, power_ramp=6))
    assert fitted.lines["fit-out"][0] == pytest.approx(900 * 40)
