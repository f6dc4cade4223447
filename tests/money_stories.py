"""Plans for the comparison of the money sheets with the independent calculation: stories told, and random ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlsysim.things import CURRENCIES, TAX_SCHEDULES
from workbook.plan import Figure, Line, read_plan
from workbook.sheets.lines import APPLIES, DRIVERS, ESCALATORS

Row = dict[str, Any]
H100: Row = {"server": "DGX_H100", "device": "H100", "tp": 2}
H200: Row = {"server": "DGX_H200", "device": "H200"}
BARE: Row = {"server": "", "device": "H100", "devices_per_server": 4, "tp": 2}  # no server on record
SCALE = {
    "plan": 900.0,
    "servers": 70.0,
    "devices": 9.0,
    "kW": 11.0,
    "hardware": 0.002,
    "bill": 0.03,
    "tokens": 0.002,
    "carbon": 60.0,
    "water": 3.0,
}
MOVING = ("bill", "tokens", "carbon", "water")


@dataclass(frozen=True)
class Story:
    """Options, inputs and lines of a book."""

    options: Sequence[Row]
    inputs: Row = field(default_factory=dict)
    lines: Sequence[Line] = ()
    months: int = 60
    currency: str = "USD"


def line(
    driver: str,
    timing: str = "monthly",
    escalator: str = "none",
    applies: Any = "all",
    group: str = "running",
    quantity: float = 1.0,
) -> Line:
    price = SCALE[driver] * {"once": 12.0, "end": 12.0, "yearly": 12.0, "monthly": 1.0}[timing]
    item = f"{group} {driver} {timing} {escalator} {applies}"
    return Line(
        item, group, applies, driver, timing, escalator, quantity, "USD", Figure(price, price, price, note="test")
    )


def every_line() -> list[Line]:
    """The shipped lines, none of them 0, and one of every driver, timing, escalator and word of applies."""
    shipped = []
    for x in read_plan().lines:
        price = x.figure.base or SCALE[x.driver] * (12 if x.timing == "yearly" else 1)
        shipped.append(replace(x, figure=Figure(price, price, price, note="test")))
    mine: list[Line] = []
    for n, driver in enumerate(DRIVERS):
        for timing in ("once", "monthly", "yearly", "end"):
            if timing == "yearly" and driver in MOVING:
                continue
            place = len(mine)
            applies = (*APPLIES, 1, 4, 6)[place % (len(APPLIES) + 3)]
            group = ("running", "cloud")[place % 2]
            mine.append(line(driver, timing, ESCALATORS[(place + n) % len(ESCALATORS)], applies, group, 1 + place % 3))
    for driver in ("plan", "servers", "devices", "kW", "hardware"):
        mine.append(line(driver, "once", "none", {"plan": "all", "kW": "owned"}.get(driver, "bought"), "capital"))
    mine.append(line("plan", "once", "none", "owned", "capital", 3.0))
    return shipped + mine


EVERY_WAY: list[Row] = [
    {"financing": "own", "servers": 6, "refresh": 24},
    {"financing": "buy", "start": 7, "overflow": "on-demand", "residual": 0.15},
    {"financing": "loan", "term": 24, "refresh": 12, "servers": 3, "overflow": "API", **H200},
    {"financing": "lease", "term": 24, "start": 7, "overflow": "spot", **H100},
    {"financing": "reserved", "term": 48, "start": 12, "overflow": "on-demand", "ramp": 0, "growth": 0.3, **H100},
    {"financing": "on-demand", "start": 7, "price": 2.5, "currency": "EUR", **H100},
    {"financing": "spot", "ramp": 3, "growth": -0.2, **H100},
    {"financing": "API", "price": 0.9, "currency": "EUR"},
]
TAXED: Row = {
    "in_OldFleetValue": 2e6,
    "in_OldFleetBook": 1.5e6,
    "in_OldFleetLife": 3,
    "in_PerfGain": 0.2,
    "in_TaxUse": 0.7,
    "in_TaxRate": 0.3,
    "in_DiscountTiming": "middle",
    "in_PowerRamp": 5,
    "in_TakeOrPay": 0.8,
    "in_ReservedUpfront": 0.3,
    "in_LeaseResidual": 0.1,
    "in_SaleOut": 1.1,
    "in_SaleIn": 0.2,
    "in_SiteMegawatts": 100,
}
# term shorter, equal and longer than what is left after the start
TERMS: list[Row] = [
    {
        "financing": way,
        "start": start,
        "term": term,
        "servers": 4,
        "overflow": rest,
        **(H100 if way == "reserved" else {}),
    }
    for way, start, term, rest in (
        ("loan", 0, 36, "none"),
        ("loan", 7, 60, "spot"),
        ("loan", 12, 1, "on-demand"),
        ("lease", 0, 36, "none"),
        ("lease", 12, 36, "API"),
        ("lease", 0, 1, "none"),
        ("reserved", 0, 12, "none"),
        ("reserved", 7, 29, "spot"),
    )
]
TRAINING: list[Row] = [
    {"financing": way, "start": start, "servers": servers, "overflow": rest, "refresh": refresh, "term": 20, **device}
    for way, start, servers, rest, refresh, device in (
        ("buy", 0, None, "none", None, {}),
        ("buy", 0, 20, "none", None, {}),
        ("buy", 7, 20, "on-demand", 20, H100),
        ("own", 0, 12, "none", 20, H200),
        ("reserved", 12, None, "spot", None, H100),
        ("lease", 0, None, "spot", None, H200),
        ("on-demand", 0, None, "none", None, H100),
        ("spot", 12, None, "none", None, H100),
    )
]

STORIES = {
    "every way to pay": Story(EVERY_WAY, TAXED, every_line(), 36),
    "terms against the horizon": Story(
        TERMS, {"in_LeaseResidual": 0.2, "in_FinanceAt": "discount rate", "in_TaxMethod": "SL3"}
    ),
    "terms, at the cost of debt": Story(
        TERMS,
        {"in_LeaseResidual": 0.2, "in_DiscountTiming": "middle", "in_TaxRate": 0.3, "in_LoanShare": 1},
        every_line(),
    ),
    "no interest, no tax, no discount": Story(
        [{**x, "refresh": None} for x in (EVERY_WAY[2], EVERY_WAY[3], *TERMS[:4])],
        {"in_LoanRate": 0, "in_LeaseRate": 0, "in_TaxRate": 0, "in_DiscountRate": 0, "in_CostOfDebt": 0},
        months=36,
    ),
    "ten years": Story(
        [{**x, "start": x.get("start", 0) * 3, "refresh": x.get("refresh") and 60} for x in EVERY_WAY],
        {
            **TAXED,
            "in_HorizonMonths": 120,
            "in_TaxMethod": "MACRS7_HY",
            "in_DiscountRate": 0.06,
            "in_RateBasis": "real",
        },
        every_line(),
        120,
        "EUR",
    ),
    "leases in the books": Story(
        [
            {"financing": "lease", "start": start, "term": term, "servers": 2}
            for start, term in ((0, 48), (1, 10), (7, 3), (7, 24), (12, 12), (29, 60))
        ],
        {**TAXED, "in_HorizonMonths": 30, "in_LeaseBooks": "IFRS 16", "in_BookLife": 4},
    ),
    "one year": Story(
        [
            {"financing": "loan", "term": 36},
            {"financing": "lease", "term": 12},
            {"financing": "buy", "start": 7},
            {"financing": "reserved", "term": 12, **H100},
            {"financing": "own", "refresh": 6, "servers": 3},
        ],
        {"in_HorizonMonths": 12, "in_RampMonths": 0, "in_OldFleetBook": 5e5, "in_OldFleetLife": 2},
        months=12,
    ),
    "thirty months of sixty": Story(
        [
            {"financing": "lease", "term": 12, "start": 12},
            {"financing": "loan", "term": 12, "refresh": 13, "residual": 0.3},
            {"financing": "buy", "start": 29},
            {"financing": "reserved", "term": 6, "start": 7, **H100},
            {"financing": "own", "servers": 2, "refresh": 12, "residual": 0.3, "overflow": "on-demand"},
            {"financing": "buy", "refresh": 24},
        ],
        {**TAXED, "in_HorizonMonths": 30, "in_DiscountTiming": "end", "in_TaxMethod": "Bonus_100"},
        currency="GBP",
    ),
    "training": Story(TRAINING, {"in_Workload": "training", "in_PerfGain": 0.25, "in_TrainTP": 4}),
    "training and serving": Story(
        TRAINING,
        {
            **TAXED,
            "in_Workload": "both",
            "in_TrainTP": 8,
            "in_TrainPP": 4,
            "in_RampMonths": 12,
            "in_TrainModel": "Mixtral_8x7B",
            "in_Planning": "typical",
        },
        every_line(),
        currency="EUR",
    ),
    "own prices, no server on record": Story(
        [
            {"financing": "buy", "price": 250_000, "currency": "EUR"},
            {"financing": "lease", "term": 18, "price": 9e4, "currency": "GBP", **BARE},
            {"financing": "reserved", "term": 36, "price": 1.7, "currency": "EUR", **H100},
            {"financing": "spot", "price": 1.1, **H100},
            {"financing": "buy", **BARE},
        ],
        {"in_NetworkShare": 0, "in_HoursPerYear": 8640},
        months=36,
        currency="JPY",
    ),
}


def random_story(seed: int) -> Story:
    """Any legal plan of moderate size."""
    draw = random.Random(seed)
    months = draw.choice((12, 24, 36, 48, 60))
    horizon = draw.randint(max(3, months - 11), months)
    trains = draw.random() < 0.4
    rests = ("none", "on-demand", "spot") if trains else ("none", "on-demand", "spot", "API")
    ways = ("own", "buy", "loan", "lease", "reserved", "on-demand", "spot") + (() if trains else ("API",))
    options = []
    for _ in range(6):
        way = draw.choice(ways)
        start = 0 if way == "own" else draw.choice((0, 0, draw.randint(0, horizon - 1)))
        row: Row = {"financing": way, "start": start, "term": draw.randint(1, 70), "ramp": draw.choice((None, 0, 5))}
        row |= {"growth": draw.choice((None, draw.uniform(-0.3, 0.6)))}
        row |= draw.choice((H100, H200, {}, BARE)) if way != "API" else {}
        if way in ("own", "buy", "loan", "lease", "reserved"):
            row |= {"overflow": draw.choice(rests), "servers": draw.choice((None, draw.randint(1, 12)))}
        if way in ("own", "buy", "loan", "lease"):
            row["residual"] = draw.choice((None, draw.uniform(0, 0.5)))
            row |= draw.choice(({}, {"price": draw.uniform(1e5, 4e5), "currency": draw.choice((None, *CURRENCIES))}))
        if way in ("own", "buy", "loan") and horizon - start > 2 and draw.random() < 0.5:
            row["refresh"] = draw.randint(start + 1, horizon - 1)
        options.append(row)
    share = {
        n: draw.uniform(0, 0.4)
        for n in (
            "in_EnergyEscalator",
            "in_CostEscalator",
            "in_WageEscalator",
            "in_CloudDecline",
            "in_PriceDecline",
            "in_PerfGain",
            "in_ResidualDecline",
            "in_NetworkShare",
            "in_LeaseResidual",
            "in_Inflation",
            "in_SpotRework",
            "in_DemandGrowth",
        )
    }
    inputs: Row = {
        **share,
        **{
            n: draw.uniform(0, 1)
            for n in ("in_ReservedUpfront", "in_TakeOrPay", "in_LoanShare", "in_DebtShare", "in_TaxUse")
        },
        **{
            n: draw.choice((0.0, draw.uniform(0.01, 0.3)))
            for n in ("in_LoanRate", "in_LeaseRate", "in_CostOfDebt", "in_TaxRate")
        },
        "in_DiscountRate": draw.choice((None, draw.uniform(0.01, 0.3))),
        "in_RateBasis": draw.choice(("nominal", "real")),
        "in_FinanceAt": draw.choice(("cost of debt", "discount rate")),
        "in_DiscountTiming": draw.choice(("end", "middle")),
        "in_TaxMethod": draw.choice(list(TAX_SCHEDULES)),
        "in_HorizonMonths": horizon,
        "in_RampMonths": draw.randint(0, 12),
        "in_PowerRamp": draw.randint(0, 9),
        "in_TokensPerDay": draw.uniform(100, 4000),
        "in_SpareServers": draw.randint(0, 2),
        "in_OldFleetValue": draw.choice((0, 8e5)),
        "in_OldFleetBook": draw.choice((0, 6e5)),
        "in_OldFleetLife": draw.randint(1, 5),
        "in_MeteredFill": draw.uniform(0.3, 1),
        "in_Goodput": draw.uniform(0.5, 1),
        "in_Utilisation": draw.uniform(0.3, 0.9),
        "in_Workload": draw.choice(("training", "both")) if trains else "serving",
        "in_SiteMegawatts": 1e5,
        "in_TrainTP": 4,
        "in_LeaseBooks": draw.choice(("straight line", "IFRS 16")),
        "in_SaleOut": draw.uniform(0, 2),
        "in_HoursPerYear": 8760,
    }
    return Story(options, inputs, draw.choice(((), every_line())), months, draw.choice(list(CURRENCIES)))
