"""Published calculations replayed in Python: by our functions, by numpy-financial, by references written here."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy_financial as npf
import pytest

import mlsysim as m
from mlsysim.errors import OutOfDomain
from mlsysim.things import TAX_SCHEDULES
from workbook.errors import WorkbookError
from workbook.sheets.examples import YES, Row, cases, example, filled

HOUR, YEAR, KWH = 3600.0, 8760 * 3600.0, 3.6e6
Inputs = dict[str, Any]
Replay = Callable[[Inputs], float]


# ---------------------------------------------------------------- what Excel has and the package does not


def xnpv(rate: float, values: list[float], dates: list[date]) -> float:
    return math.fsum(v / (1 + rate) ** ((d - dates[0]).days / 365) for v, d in zip(values, dates, strict=True))


def xirr(values: list[float], dates: list[date]) -> float:
    low, high = -0.9, 10.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if xnpv(middle, values, dates) > 0 else (low, middle)
    return middle


def db(cost: float, salvage: float, life: int, months: int) -> list[float]:
    """Declining balance with Excel's rate of three decimals; the first year has `months`."""
    rate = round(1 - (salvage / cost) ** (1 / life), 3)
    out, left = [], cost
    for length in [months, *[12] * (life - 1), 12 - months]:
        out.append(left * rate * length / 12)
        left -= out[-1]
    return out


def syd(cost: float, salvage: float, life: int, year: int) -> float:
    return (cost - salvage) * (life - year + 1) / sum(range(1, life + 1))


def ddb(cost: float, salvage: float, life: int, year: int) -> float:
    left = cost
    for _ in range(year):
        step = min(left * 2 / life, left - salvage)
        left -= step
    return step


def effect(nominal: float, periods: int) -> float:
    return math.expm1(periods * math.log1p(nominal / periods))


def nominal(effective: float, periods: int) -> float:
    return periods * math.expm1(math.log1p(effective) / periods)


def pduration(rate: float, start: float, end: float) -> float:
    return math.log(end / start) / math.log1p(rate)


def macrs(life: int, first: float) -> list[float]:
    """Declining balance at twice the straight line, then that; `first`: share of the first year."""
    out, left, years = [], 1.0, float(life)
    for year in range(life + 1):
        share = first if year == 0 else min(1.0, years)
        step = min(left, max(left * 2 / life, left / years) * share)
        out.append(step)
        left, years = left - step, years - share
    return out


# ---------------------------------------------------------------- every result by our functions


def breakeven(rental: str) -> Replay:
    return lambda i: m.breakeven_hours(price=i["price"], rental=i[rental] / HOUR, running=i["running"] / HOUR) / HOUR


def mwh(n: int) -> Replay:
    def energy(i: Inputs) -> float:
        return m.electricity(power=i["power"], device_hours=i["gpu_hours"][n] * HOUR, pue=i["pue"]) / KWH / 1000

    return energy


def tonnes(n: int, power: Callable[[Inputs], float]) -> Replay:
    def of(i: Inputs) -> float:
        energy = m.electricity(power=power(i), device_hours=i["gpu_hours"][n] * HOUR)
        return m.carbon(energy=energy, pue=i["pue"], intensity=i["intensity"] / KWH) / 1000

    return of


def server_year(licences: str) -> Replay:
    return lambda i: m.server_year(
        price=i["price"], life=i["life"] * YEAR, software=i["software"], licences=i[licences], hosting=i["hosting"]
    )


def rent(n: int) -> Replay:
    return lambda i: m.rental_cost(device_hours=i["gpus"] * i["hours_per_month"] * HOUR, rental=i["rental"][n] / HOUR)


def lost(n: int) -> Replay:
    return lambda i: rent(n)(i) * i["lost_work"][n]


def month(n: int) -> Replay:
    return lambda i: m.cluster_month(
        accelerators=rent(n)(i), lost_work=lost(n)(i), term=i["months"], debugging=i["debugging"][n] / 12,
        **{name: i[name][n] for name in ("storage", "network", "cpu", "support", "setup")},
    )  # fmt: skip


def support(n: int) -> Replay:
    def of(i: Inputs) -> float:
        bill = {"accelerators": rent(n)(i)} | {name: i[name][n] for name in ("storage", "network", "cpu")}
        return m.cluster_month(**bill, support=i["support"][n]) - m.cluster_month(**bill)

    return of


def straight(price: str, n: int, use: str = "") -> Replay:
    def of(i: Inputs) -> float:
        annual = m.straight_line(price=i[price], life=i["lives"][n] * YEAR)
        return m.gpu_hour(annual_cost=annual, devices=1, utilisation=i[use] / 8760) * HOUR if use else annual

    return of


def tax(method: str, year: int, cost: str = "") -> Replay:
    return lambda i: TAX_SCHEDULES[i[method]].shares[year] * (i[cost] if cost else 1)


MODELS = ("OPT-175B", "BLOOM-175B", "LLaMA-7B", "LLaMA-13B", "LLaMA-33B", "LLaMA-65B")
TIERS = {"gold": 0, "hyper": 1, "silver": 2}
REPLAY: dict[str, dict[str, Replay]] = {
    "W01": {
        "breakeven_h_on_demand": breakeven("on_demand"),
        "breakeven_h_1y": breakeven("reserved_1y"),
        "breakeven_h_3y": breakeven("reserved_3y"),
        **{name: lambda i, price=price: m.rental_cost(device_hours=i["hours_per_year"] * HOUR, rental=i[price] / HOUR)
           for name, price in (("on_demand_usd_per_year_8760h", "on_demand"), ("onprem_opex_usd_per_year", "running"))},
    },
    "W02": {"cost_usd": lambda i: m.rental_cost(device_hours=i["gpu_hours"] * HOUR, rental=i["rental"] / HOUR,
                                                devices_per_instance=i["gpus_per_instance"])},
    "W05": {f"{name}_MWh": mwh(n) for n, name in enumerate(MODELS)}
    | {f"{name}_tCO2e": tonnes(n, lambda i: i["power"]) for n, name in enumerate(MODELS)},
    "W06": {name: tonnes(n, lambda i, n=n: i["power"][n]) for n, name in enumerate(("7B", "13B", "34B", "70B"))}
    | {"total": lambda i: math.fsum(tonnes(n, lambda i, n=n: i["power"][n])(i) for n in range(4))},
    "W07": {"yearlyServerCost": server_year("licences"), "yearlyServerCost_by_gpu": server_year("gpus_per_server")},
    "W08": {f"gpu_{tier}": rent(n) for tier, n in TIERS.items()}
    | {f"goodput_{tier}": lost(n) for tier, n in TIERS.items()}
    | {"support_hyper_5pct": support(1)}
    | {f"monthly_{tier}": month(n) for tier, n in TIERS.items()}
    | {f"total36_{tier}": lambda i, n=n: month(n)(i) * i["months"] for tier, n in TIERS.items()}
    | {f"ratio_{tier}": lambda i, n=n: month(n)(i) / month(0)(i) for tier, n in TIERS.items() if n}
    | {f"gap_{tier}": lambda i, n=n: month(n)(i) - month(0)(i) for tier, n in TIERS.items() if n},
    "W09": {
        "XNPV": lambda i: xnpv(i["xnpv_rate"], i["values"], i["dates"]),
        "XIRR": lambda i: xirr(i["values"], i["dates"]),
        "IRR": lambda i: npf.irr(i["irr"]),
        "MIRR": lambda i: npf.mirr(i["mirr"], i["finance"], i["reinvest"]),
        **{f"DB_{year}": lambda i, year=year: db(*i["db"])[year - 1] for year in range(1, 8)},
        "SLN(30000,7500,10)": lambda i: m.straight_line(
            price=i["sln"][0], residual_value=i["sln"][1], life=i["sln"][2] * YEAR),
        "SYD(30000,7500,10,1)": lambda i: syd(*i["sln"], 1),
        "DDB(2400,300,10,1)": lambda i: ddb(*i["ddb"], 1),
        "EFFECT(5.25%,4)": lambda i: effect(*i["effect"]),
        "NOMINAL(0.053543,4)": lambda i: nominal(*i["nominal"]),
        "RRI(96,10000,11000)": lambda i: (i["rri"][2] / i["rri"][1]) ** (1 / i["rri"][0]) - 1,
        "PDURATION(2.5%,2000,2200)": lambda i: pduration(*i["pduration"]),
    },
    "W10": {
        "npf_npv": lambda i: npf.npv(i["rate"], i["flows"]),
        "excel_NPV_all": lambda i: npf.npv(i["rate"], [0, *i["flows"]]),
    },
    "W11": {f"y{n + 1}": tax("half_year", n) for n in range(6)}
    | {f"usd_y{n + 1}": tax("half_year", n, "cost") for n in range(6)}
    | {"sum": lambda i: math.fsum(TAX_SCHEDULES[i["half_year"]].shares)}
    | {f"mq{q}_y{n + 1}": tax(name, n) for q, name in ((1, "first_quarter"), (4, "last_quarter")) for n in range(6)},
    "W15": {"40k_3y": straight("price_a", 0), "40k_6y": straight("price_a", 2),
            "30k_3y_per_h": straight("price_b", 0, "useful_hours"),
            "30k_5y_per_h": straight("price_b", 1, "useful_hours")},
    "W16": {"capex": lambda i: math.fsum(n * price for n, price in zip(i["counts"], i["prices"], strict=True)),
            "opex_musd": lambda i: math.fsum(i["opex"])},
    "W17": {"usd_per_M": lambda i: 1e6 * m.token_cost(
        usd_per_device_hour=i["rental"] / HOUR, tokens_per_s_per_device=i["tokens_per_s"],
        utilisation=i["utilisation"])},
}  # fmt: skip
RESULTS = [(case.id, line) for case in cases() for line in case.outputs]


def inputs_of(case_id: str) -> Inputs:
    case = next(c for c in cases() if c.id == case_id)
    return {line.name: line.values[0] if line.width == 1 else list(line.values) for line in case.inputs if line.values}


def reproduced(line: Row, ours: float) -> bool:
    assert line.published is not None
    return abs(ours - line.published) <= max(line.rel * abs(line.published), line.abs)


def test_no_result_is_left_out_and_none_is_added() -> None:
    assert [c.id for c in cases()] == list(REPLAY)
    for case in cases():
        assert {line.name for line in case.outputs} == set(REPLAY[case.id]), case.id
        assert case.source
        assert case.url.startswith("https://")
        assert case.read
    assert len(RESULTS) == 94


@pytest.mark.parametrize(("case_id", "line"), RESULTS, ids=[f"{c}-{line.name}" for c, line in RESULTS])
def test_published_result_is_reproduced(case_id: str, line: Row) -> None:
    ours = REPLAY[case_id][line.name](inputs_of(case_id))
    assert reproduced(line, ours), ours


@pytest.mark.parametrize("case_id", [case.id for case in cases()])
def test_a_wrong_input_is_noticed(case_id: str) -> None:
    """Twice the largest figure of any input misses a published result."""
    case, given = next(c for c in cases() if c.id == case_id), inputs_of(case_id)
    tried = 0
    for name, value in given.items():
        figures = value if isinstance(value, list) else [value]
        if not all(isinstance(v, int | float) for v in figures) or name == "finance":
            continue  # MIRR's finance rate does nothing where only the first flow is negative
        largest = max(range(len(figures)), key=lambda n, figures=figures: abs(figures[n]))
        wrong = [v * 2 if n == largest else v for n, v in enumerate(figures)]
        bad = given | {name: wrong if isinstance(value, list) else wrong[0]}
        try:
            assert not all(reproduced(line, REPLAY[case_id][line.name](bad)) for line in case.outputs), name
        except OutOfDomain:  # 12,200 hours of use in a year
            assert name == "useful_hours"
        tried += 1
    assert tried or case_id == "W11"


# ---------------------------------------------------------------- the general functions against others


@pytest.mark.parametrize("rate", [0.05 / 12, 0.1, 1e-6])
@pytest.mark.parametrize("periods", [1, 36, 180])
def test_annuity_is_numpy_financials_pmt(rate: float, periods: int) -> None:
    ours = m.annuity(price=250_000, periods=periods, rate=rate, residual_value=20_000)
    assert ours == pytest.approx(-npf.pmt(rate, periods, 250_000, -20_000), rel=1e-9)
    present = npf.npv(rate, [0, *[7000.0] * periods])
    assert m.levelised_cost(present_cost=present, annual_output=1000, periods=periods, rate=rate) == pytest.approx(7)


@pytest.mark.parametrize(
    ("key", "life", "first"),
    [("MACRS5_HY", 5, 0.5), *[(f"MACRS5_MQ{q}", 5, 1.125 - q / 4) for q in (1, 2, 3, 4)], ("MACRS7_HY", 7, 0.5)],
)
def test_tax_tables_follow_from_the_statute(key: str, life: int, first: float) -> None:
    """The printed shares are the declining balance of the law, rounded by the tables to a few units of 0.01 %."""
    by_law = macrs(life, first)
    assert TAX_SCHEDULES[key].shares[: life + 1] == pytest.approx(by_law, abs=1.01e-4)
    assert math.fsum(by_law) == pytest.approx(1)


def test_input_and_output_prices_pay_for_the_request() -> None:
    fee = m.request_cost(annual_cost=446_250, requests_per_s=100)
    price = m.input_token_price(usd_per_request=fee, input_tokens=1000, output_tokens=300, price_ratio=3)
    assert price * 1000 + 3 * price * 300 == pytest.approx(fee)
    assert fee * 100 * YEAR == pytest.approx(446_250)


# ---------------------------------------------------------------- the file


def test_formulas_name_what_stands_above_them() -> None:
    rows = {"a": (5, 1), "many": (6, 3)}
    assert filled("{a}*SUM({many[:]})-{many[1]}+SUM({many[1:]})", rows) == "$C$5*SUM($C$6:$E$6)-$D$6+SUM($D$6:$E$6)"
    assert filled("{many@}/{a}", rows, 4) == "D$6/$C$5"
    for wrong in ("{b}", "{many}", "{many[3]}", "{many@}"):
        with pytest.raises(WorkbookError, match="The formula"):
            filled(wrong, rows, 6)


def test_an_example_without_figure_or_tolerance_is_refused() -> None:
    line = {"name": "y", "label": "y", "unit": "", "formula": "{x}"}
    table = {
        "id": "T",
        "title": "t",
        "inputs": [{"name": "x", "label": "x", "unit": "", "value": 1}],
        "outputs": [line],
    }
    assert example(table, published=False).outputs[0].published is None
    for more in ({}, {"published": 1}, {"rel": 0.1}):
        with pytest.raises(WorkbookError, match="y needs a figure to reproduce and a tolerance"):
            example(table | {"outputs": [line | more]}, published=True)
    with pytest.raises(WorkbookError, match="x needs one to 8 values"):
        example(table | {"inputs": [table["inputs"][0] | {"value": []}]}, published=False)
    with pytest.raises(WorkbookError, match="two rows called y"):
        example(table | {"outputs": [line, line]}, published=False)
    assert YES == "yes"
