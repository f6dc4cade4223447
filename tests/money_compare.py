"""The options of a computed book worked out by the independent calculation, and every figure in which the two differ.

`independent` reads the computed Inputs, Lines, Options and Engine and nothing else; `compare` lists the differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from money import Line, Option, Result, evaluate
from money import Plan as Terms
from money_book import Book

from mlsysim.things import MODELS, TAX_SCHEDULES
from workbook.cells import ErrorValue
from workbook.sheets.lines import TOP as LINES_TOP
from workbook.sheets.monthly import PV, PV_AFTER

REL = 1e-9


def terms(book: Book) -> Terms:
    """The scalars, from Inputs."""
    get = book.named
    share = TAX_SCHEDULES[get("in_TaxMethod")]
    model = MODELS[get("in_TrainModel")]
    discount = get("in_DiscountRate")
    return Terms(
        horizon=int(get("in_HorizonMonths")),
        months=book.plan.months,
        hours_per_year=get("in_HoursPerYear"),
        discount=discount if isinstance(discount, (int, float)) else None,
        debt_share=get("in_DebtShare"),
        cost_of_equity=get("in_CostOfEquity"),
        cost_of_debt=get("in_CostOfDebt"),
        rate_basis=get("in_RateBasis"),
        inflation=get("in_Inflation"),
        timing=get("in_DiscountTiming"),
        finance_at=get("in_FinanceAt"),
        tax_rate=get("in_TaxRate"),
        tax_use=get("in_TaxUse"),
        tax_schedule=tuple(getattr(share, f"year_{n}") for n in range(1, 9)),
        energy_escalator=get("in_EnergyEscalator"),
        cost_escalator=get("in_CostEscalator"),
        wage_escalator=get("in_WageEscalator"),
        cloud_decline=get("in_CloudDecline"),
        price_decline=get("in_PriceDecline"),
        perf_gain=get("in_PerfGain"),
        residual_decline=get("in_ResidualDecline"),
        tokens_per_day=get("in_TokensPerDay"),
        seq_len=get("in_SeqLen"),
        output_tokens=get("in_OutputTokens"),
        serving_on=int(get("in_Workload") != "training"),
        training_on=int(get("in_Workload") != "serving"),
        runs_per_year=get("in_RunsPerYear"),
        deadline_days=get("in_DeadlineDays"),
        ramp=int(get("in_RampMonths")),
        growth=get("in_DemandGrowth"),
        utilisation=get("in_Utilisation"),
        goodput=get("in_Goodput"),
        spare_servers=int(get("in_SpareServers")),
        metered_fill=get("in_MeteredFill"),
        spot_rework=get("in_SpotRework"),
        network_share=get("in_NetworkShare"),
        loan_share=get("in_LoanShare"),
        loan_rate=get("in_LoanRate"),
        lease_rate=get("in_LeaseRate"),
        lease_residual=get("in_LeaseResidual"),
        reserved_upfront=get("in_ReservedUpfront"),
        take_or_pay=get("in_TakeOrPay"),
        power_ramp=int(get("in_PowerRamp")),
        old_value=get("in_OldFleetValue"),
        old_book=get("in_OldFleetBook"),
        old_life=get("in_OldFleetLife"),
        servers_per_rack=int(get("in_ServersPerRack")),
        run_pflop_days=6 * get("in_TrainTokens") * 1e9 * (model.active_params or model.params) / 86400 / 1e15,
        margin=get("in_Margin"),
        book_life=get("in_BookLife"),
        lease_books=get("in_LeaseBooks"),
        price_ratio=get("in_PriceRatio"),
        sale_in=get("in_SaleIn"),
        sale_out=get("in_SaleOut"),
    )


def cost_lines(book: Book) -> list[Line]:
    """The cost lines, from Lines; two lines may bear the same name, so each gets its number."""
    found = []
    for n in range(1, len(book.plan.lines) + 1):
        item, group, applies, driver, timing, escalator, quantity, used = (
            book.at(f"Lines!{c}{LINES_TOP + n}") for c in "ABCDEFGH"
        )
        found.append(Line(f"{n} {item}", used, group, str(applies), driver, timing, escalator, quantity))
    return found


def option_of(book: Book, i: int) -> Option:
    """Option 0, 1, ..., from Options and Engine."""
    financing, typed = book.option("financing", i), book.option("servers", i)

    def number(value: Any) -> Any:
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0

    def whole(name: str) -> int | None:
        value = book.option(name, i)
        return None if value is None else int(value)

    nameplate, rent = book.option("contracted_w", i), book.option("rent_metered", i)
    return Option(
        financing,
        overflow=book.option("overflow", i) or "none",
        number=i + 1,
        servers=None if typed is None else int(typed),
        devices_per_server=int(book.option("devices_per_server", i)),
        price=book.option("price_used", i),
        rate=None if financing == "API" else book.engine("per_device", i) or None,
        run_hours=number(book.engine("run_plan", i)),
        start=whole("start") or 0,
        term=whole("term") or 0,
        refresh=whole("refresh"),
        residual=book.option("residual", i),
        ramp=whole("ramp"),
        growth=book.option("growth", i),
        pue=book.option("pue", i),
        tariff=book.option("tariff", i),
        intensity=book.option("carbon", i),
        wue=book.named("in_WUE"),
        busy_kw=number(book.engine("busy_kw", i)),
        idle_kw=number(book.engine("idle_kw", i)),
        contracted_kw=nameplate / 1000 if isinstance(nameplate, (int, float)) else None,
        on_demand=rent,
        spot=rent,
        reserved_1y=book.option("rent_reserved", i),
        reserved_3y=book.option("rent_reserved", i),
        api_out=book.option("token_price", i),
    )


def independent(book: Book, i: int) -> Result:
    """The independent calculation of option 0, 1, ..."""
    return evaluate(terms(book), cost_lines(book), option_of(book, i))


# rows of Monthly and their names in the independent calculation
OPERATING = {
    "hours": "hours", "own_h": "own_h", "need": "need", "serve_h": "serve_h", "train_h": "train_h", "served": "served",
    "done_h": "done_h", "servers_cost": "servers", "network": "network", "capital_sum": "asset_month",
    "refresh_cost": "refresh_cost", "reserved_bill": "reserved_bill", "reserved_upfront": "reserved_upfront",
    "reserved_end": "reserved_end", "rest_bill": "over_cost", "electricity": "electricity", "running_sum": "running",
    "cloud_sum": "cloud", "resale": "resale", "old_sale": "old_sale",
}  # fmt: skip
DEBT = {
    "lessor": "lessor", "loan_in": "loan_in", "loan_out": "loan_out", "loan_end": "loan_end", "rent": "rent",
    "rent_end": "rent_end", "buyout": "buyout", "financing": "financing",
}  # fmt: skip
OTHER = {
    "demand": "demand", "up": "up", "cap": "cap", "over_h": "over", "fleet_kwh": "fleet_kwh", "rest_kwh": "rest_kwh",
    "paid_kwh": "paid_kwh", "bill": "bill", "tokens": "served", "water": "water", "cash": "cash", "tax": "tax",
    "after": "after", "tax_financing": "tax_financing", "interest": "interest", "lease_interest": "lease_interest",
}  # fmt: skip
DEDUCTED = ("hours", "own_h", "need", "serve_h", "train_h", "served", "done_h", "reserved_bill", "reserved_upfront",
            "reserved_end", "rest_bill", "electricity", "running_sum", "cloud_sum")  # fmt: skip
YEARS = {"tax": "year_tax", "tax_financing": "year_tax_financing"}
CASH = {
    "servers": ("servers",), "lessor": ("lessor",), "refresh": ("refresh_cost",), "loan_in": ("loan_in",),
    "loan_out": ("loan_out", "loan_end"), "rent": ("rents",), "buyout": ("buyout",), "reserved": ("reserved",),
    "rest": ("over_cost",), "electricity": ("electricity",), "running": ("running",), "cloud": ("cloud",),
    "resale": ("resale",), "old_sale": ("old_sale",), "cash": ("cash",), "after": ("after",), "interest": ("interest",),
}  # fmt: skip
UNPRICED = ("share", "served_share", "peak_kw", "contract", "racks", "co2", "co2_mtoken")  # results without money


def same(a: Any, b: Any, scale: float) -> bool:
    """Equal to 1e-9 of the larger of the two, or to 1e-12 of the largest figure of the row."""
    if isinstance(a, (str, ErrorValue)) or isinstance(b, str) or a is None:
        return bool(a == b)
    return bool(abs(a - b) <= REL * max(abs(a), abs(b)) + 1e-12 * scale)


def differences(book: Book, i: int) -> Iterator[tuple[str, Any, Any]]:
    """Every figure of option i in which the sheet and the independent calculation differ: name, sheet, other."""
    other, fx = independent(book, i), book.named("in_FX")
    rows = {n: getattr(other, o) for n, o in (OPERATING | DEBT | OTHER).items()}
    rows["carbon"] = [x / 1000 for x in other.carbon]
    rows["kw"] = other.contracted
    rows |= {row: other.lines[f"{n} {book.plan.lines[n - 1].item}"] for row, n in book.layout.lines.items()}
    if "trained_h" in book.layout.offset:
        rows["trained_h"] = other.trained_h
    scale = max(abs(x) for x in other.cash)
    for name, wanted in rows.items():
        got = book.months(name, i)
        if name == "kw":  # the sheet states the contract also while the fleet is not up
            got = [k * up for k, up in zip(got, other.up, strict=True)]
        big = max(scale if name in ("financing", "cash", "after") else 0.0, *(abs(x) for x in wanted))
        for m, (a, b) in enumerate(zip(got, wanted, strict=True)):
            if not same(a, b, big):
                yield f"{name}, month {m}", a, b
                break
    running = 0.0
    for m, (a, x) in enumerate(zip(book.months("cumulative", i), other.after, strict=True)):
        running += x
        if not same(a, running, scale):
            yield f"cumulative, month {m}", a, running
            break
    values: dict[tuple[str, str], float | None] = {(n, PV): other.present(rows[n]) for n in OPERATING}
    values |= {(n, PV): other.debt_value(rows[n]) for n in DEBT}
    values |= {(n, PV_AFTER): other.deductible_value(rows[n]) for n in DEDUCTED}
    values["after", PV_AFTER] = other.figures["npv"]
    for (name, column), wanted_value in values.items():
        if not same(book.total(name, i, column), wanted_value, sum(abs(x) for x in rows[name])):
            yield f"{name}, column {column}", book.total(name, i, column), wanted_value
    yield from _years(book, i, other, fx)
    for name, figure in other.figures.items():
        got, wanted = book.result(name, i), figure
        if wanted is None:
            wanted = "not stated" if name.startswith("co2") and got == "not stated" else "none"
        else:
            wanted *= 1 if name in UNPRICED else fx
        if not same(got, wanted, sum(abs(x) for x in other.cash) * fx if name in ("npv", "net", "npv_before") else 0.0):
            yield f"result {name}", got, wanted


def _years(book: Book, i: int, other: Result, fx: float) -> Iterator[tuple[str, Any, Any]]:
    span = range(1, book.plan.months // 12 + 1)
    wanted = {n: [getattr(other, o)[y] * fx for y in span] for n, o in YEARS.items()}
    wanted["deductible"] = [
        (other.deductible[y] - sum(other.interest[m] for m in other.months if max(1, -(-m // 12)) == y)) * fx
        for y in span
    ]
    for name, parts in CASH.items():
        wanted[name] = [
            sum(getattr(other, p)[m] for p in parts for m in other.months if max(1, -(-m // 12)) == y) * fx
            for y in span
        ]
    wanted["revenue"] = [-sum(other.revenue[m] for m in other.months if -(-m // 12) == y) * fx for y in span]
    wanted["lease_cost"], wanted["disposal"] = ([x * fx for x in row[1:]] for row in (other.lease_cost, other.disposal))
    scale = max(abs(x) for x in other.cash) * fx
    for name, row in wanted.items():
        for y, (a, b) in enumerate(zip(book.years(name, i), row, strict=True), start=1):
            if not same(a, b, scale):
                yield f"{name}, year {y}", a, b
                break
    for text, pair, row in (
        ("depreciation", ("tax1", "tax2"), other.depreciation),
        ("depreciation in the books", ("book1", "book2"), other.written_off),
    ):
        both = [book.years(n, i) for n in pair]
        for y, (a, b, c) in enumerate(zip(*both, row[1:], strict=True), start=1):
            if isinstance(a, ErrorValue) or isinstance(b, ErrorValue) or not same(a + b, c * fx, scale):
                yield f"{text}, year {y}", (a, b), c * fx
                break


def compare(book: Book, i: int) -> list[str]:
    """The differences of option i, in words."""
    return [f"{name}: sheet {a!r}, independent {b!r}" for name, a, b in differences(book, i)]
