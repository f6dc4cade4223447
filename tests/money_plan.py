"""What the independent calculation of the money is given and gives back: Plan, Line, Option, Result.

Also the factors of time (discount, escalators, price and performance indices), which are one line each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

Row = list[float]
OWNED = ("own", "buy", "loan", "lease")
FLEET = (*OWNED, "reserved")
METERED = ("on-demand", "spot", "API")
DRIVERS = ("plan", "servers", "devices", "kW", "hardware", "bill", "tokens", "carbon", "water")
MOVING = ("bill", "tokens", "carbon", "water")
APPLIES = {
    "all": (*FLEET, *METERED),
    "owned": OWNED,
    "bought": ("buy", "loan", "lease"),
    "cloud": ("reserved", "on-demand", "spot"),
    "API": ("API",),
}


@dataclass(frozen=True)
class Plan:
    """What holds for every option alike; shares and rates as fractions, money in USD."""

    horizon: int = 36
    months: int = 60
    hours_per_year: float = 8760.0
    # the rate: typed, or weighted from equity and debt
    discount: float | None = 0.10
    debt_share: float = 0.4
    cost_of_equity: float = 0.12
    cost_of_debt: float = 0.07
    rate_basis: str = "nominal"
    inflation: float = 0.0
    timing: str = "end"
    finance_at: str = "cost of debt"  # or "discount rate": at what loans and leases are discounted
    tax_rate: float = 0.0
    tax_use: float = 1.0
    tax_schedule: tuple[float, ...] = (0.2, 0.2, 0.2, 0.2, 0.2)
    # what changes with time, per year
    energy_escalator: float = 0.0
    cost_escalator: float = 0.0
    wage_escalator: float = 0.0
    cloud_decline: float = 0.0
    price_decline: float = 0.0
    perf_gain: float = 0.0
    residual_decline: float = 0.3
    # work
    tokens_per_day: float = 0.0  # millions of output tokens
    seq_len: float = 2048.0
    output_tokens: float = 512.0
    serving_on: int = 1
    training_on: int = 0
    runs_per_year: float = 0.0
    deadline_days: float | None = None
    ramp: int = 0
    growth: float = 0.0
    utilisation: float = 1.0
    goodput: float = 1.0
    spare_servers: int = 0
    metered_fill: float = 1.0
    spot_rework: float = 0.0
    # finance and contracts
    network_share: float = 0.0
    loan_share: float = 1.0
    loan_rate: float = 0.07
    lease_rate: float = 0.08
    lease_residual: float = 0.0
    reserved_upfront: float = 0.0
    take_or_pay: float = 0.0
    power_ramp: int = 0
    # the fleet that stands there today
    old_value: float = 0.0
    old_book: float = 0.0
    old_life: float = 1.0
    # other
    servers_per_rack: int = 4
    run_pflop_days: float = 0.0  # of one training run
    margin: float = 0.0
    book_life: float = 5.0  # years, straight line
    lease_books: str = "straight line"  # or "IFRS 16"
    price_ratio: float = 3.0  # output price over input price
    sale_in: float = 0.0
    sale_out: float = 0.0

    @property
    def hours(self) -> float:
        """Hours of a month."""
        return self.hours_per_year / 12

    @property
    def in_per_out(self) -> float:
        """Input tokens for each output token."""
        return self.seq_len / self.output_tokens

    @property
    def rate(self) -> float:
        """The yearly nominal discount rate: typed (a real one is raised by inflation), else weighted (nominal)."""
        if self.discount is None:
            debt_after_tax = self.cost_of_debt * (1 - self.tax_rate)
            return (1 - self.debt_share) * self.cost_of_equity + self.debt_share * debt_after_tax
        return (1 + self.discount) * (1 + self.inflation) - 1 if self.rate_basis == "real" else self.discount

    @property
    def relief(self) -> float:
        """Tax saved by a deductible USD."""
        return self.tax_rate * self.tax_use

    def debt_factor(self, start: int, months: float, *, after_tax: bool = False) -> float:
        """Discount factor of a flow of a loan or lease `months` after month 0: at the cost of debt back to the start
        month, where it meets the equipment it pays for, and from there as that equipment.
        """
        debt = self.cost_of_debt * (1 - self.relief if after_tax else 1)
        rate = debt if self.finance_at == "cost of debt" else self.rate
        return float((1 + rate) ** (-(months - start) / 12)) * self.factor(start)

    def factor(self, m: int) -> float:
        """Discount factor of the cash of month m."""
        back = 0.5 if self.timing == "middle" and m > 0 else 0.0
        return float((1 + self.rate) ** (-(m - back) / 12))

    def tax_factor(self, m: int) -> float:
        """Discount factor of the tax on month m, settled when its year ends."""
        return float((1 + self.rate) ** -year_of(m))

    def deductible_factor(self, m: int) -> float:
        """Present value after tax of one deductible USD of month m."""
        return self.factor(m) - self.relief * self.tax_factor(m)

    def escalator(self, name: str, m: int) -> float:
        """Price level of month m, stepping every twelve months."""
        rates = {
            "none": 0.0,
            "energy": self.energy_escalator,
            "cost": self.cost_escalator,
            "wages": self.wage_escalator,
            "cloud": -self.cloud_decline,
        }
        return float((1 + rates[name]) ** (max(m - 1, 0) // 12))

    def hardware_price(self, m: int) -> float:
        """Price of a server in month m over that of today."""
        return float((1 - self.price_decline) ** (m / 12))

    def performance(self, m: int) -> float:
        """Speed of a device bought in month m over that of today."""
        return float((1 + self.perf_gain) ** (m / 12))


@dataclass(frozen=True)
class Line:
    """A cost line: quantity x used, by a driver, at a time, escalated."""

    item: str
    used: float
    group: str = "running"  # capital, running, cloud
    applies: str = "all"  # a word of APPLIES, or the number of one option
    driver: str = "plan"
    timing: str = "monthly"  # once, monthly, yearly, end
    escalator: str = "none"
    quantity: float = 1.0


@dataclass(frozen=True)
class Option:
    """A row of the options table, with the prices, speeds and site figures looked up for it."""

    financing: str
    overflow: str = "none"
    number: int = 1
    servers: int | None = None
    devices_per_server: int = 8
    price: float = 0.0  # a server
    rate: float | None = 1000.0  # output tokens/s of a device bought today; None: API alone
    run_hours: float = 0.0  # device-hours of a training run on devices of today
    start: int = 0
    term: int = 36
    refresh: int | None = None
    residual: float | None = None
    ramp: int | None = None
    growth: float | None = None
    pue: float = 1.0
    tariff: float = 0.0
    intensity: float = 0.0  # g/kWh
    wue: float = 0.0  # litres per kWh of the servers
    busy_kw: float = 0.0  # a server
    idle_kw: float = 0.0
    contracted_kw: float | None = None
    on_demand: float = 0.0  # USD per device-hour
    spot: float = 0.0
    reserved_1y: float = 0.0
    reserved_3y: float = 0.0
    api_in: float = 0.0  # USD per million tokens
    api_out: float = 0.0

    @property
    def overflows_to(self) -> str:
        """Who serves what the fleet does not; what has no fleet serves all by itself."""
        return self.overflow if self.financing in FLEET else self.financing

    @property
    def reserved(self) -> float:
        """The reserved rent for the term."""
        return self.reserved_1y if self.term <= 12 else self.reserved_3y

    @property
    def contract_kw(self) -> float:
        """Kilowatts contracted for a server: its nameplate, else what it draws when busy."""
        return self.busy_kw if self.contracted_kw is None else self.contracted_kw


def year_of(m: int) -> int:
    """The year a month belongs to, from 1; month 0 belongs to year 1."""
    return max(1, -(-m // 12))


@dataclass(repr=False)
class Result:
    """The month table (lists over m = 0..months), the year table (index = year) and the results of an option."""

    plan: Plan
    option: Option
    servers_count: int = 0
    devices: int = 0
    asset: float = 0.0
    demand: Row = field(default_factory=list)
    serve_h: Row = field(default_factory=list)
    train_h: Row = field(default_factory=list)
    need: Row = field(default_factory=list)
    runs: Row = field(default_factory=list)
    up: Row = field(default_factory=list)
    hours: Row = field(default_factory=list)
    cap: Row = field(default_factory=list)
    own_h: Row = field(default_factory=list)
    over: Row = field(default_factory=list)
    served: Row = field(default_factory=list)
    done_h: Row = field(default_factory=list)
    trained_h: Row = field(default_factory=list)
    contracted: Row = field(default_factory=list)
    fleet_kwh: Row = field(default_factory=list)
    rest_kwh: Row = field(default_factory=list)
    paid_kwh: Row = field(default_factory=list)
    carbon: Row = field(default_factory=list)
    water: Row = field(default_factory=list)
    revenue: Row = field(default_factory=list)
    servers: Row = field(default_factory=list)
    network: Row = field(default_factory=list)
    asset_month: Row = field(default_factory=list)
    lessor: Row = field(default_factory=list)
    refresh_cost: Row = field(default_factory=list)
    buyout: Row = field(default_factory=list)
    loan_in: Row = field(default_factory=list)
    loan_out: Row = field(default_factory=list)
    loan_end: Row = field(default_factory=list)
    interest: Row = field(default_factory=list)
    rent: Row = field(default_factory=list)
    rent_end: Row = field(default_factory=list)
    lease_interest: Row = field(default_factory=list)
    reserved_bill: Row = field(default_factory=list)
    reserved_upfront: Row = field(default_factory=list)
    reserved_end: Row = field(default_factory=list)
    over_cost: Row = field(default_factory=list)
    bill: Row = field(default_factory=list)
    electricity: Row = field(default_factory=list)
    running: Row = field(default_factory=list)
    cloud: Row = field(default_factory=list)
    resale: Row = field(default_factory=list)
    old_sale: Row = field(default_factory=list)
    financing: Row = field(default_factory=list)
    cash: Row = field(default_factory=list)
    tax: Row = field(default_factory=list)
    tax_financing: Row = field(default_factory=list)
    after: Row = field(default_factory=list)
    lines: dict[str, Row] = field(default_factory=dict)
    # by year; there is no year 0
    deductible: Row = field(default_factory=list)
    depreciation: Row = field(default_factory=list)
    gains: Row = field(default_factory=list)
    year_tax: Row = field(default_factory=list)
    year_tax_financing: Row = field(default_factory=list)
    written_off: Row = field(default_factory=list)  # in the books
    disposal: Row = field(default_factory=list)
    lease_cost: Row = field(default_factory=list)
    figures: dict[str, float | None] = field(default_factory=dict)

    @property
    def months(self) -> range:
        """Months of the table."""
        return range(self.plan.months + 1)

    @property
    def capital(self) -> Row:
        """Equipment paid by us: what the lessor does not pay, the refresh, the purchase after a lease."""
        return self.add("asset_month", "lessor", "refresh_cost", "buyout")

    @property
    def loan(self) -> Row:
        """All flows of the loan."""
        return self.add("loan_in", "loan_out", "loan_end")

    @property
    def reserved(self) -> Row:
        """All that is paid for reserved capacity."""
        return self.add("reserved_bill", "reserved_upfront", "reserved_end")

    @property
    def rents(self) -> Row:
        """All rents of the lease."""
        return self.add("rent", "rent_end")

    def add(self, *names: str) -> Row:
        """Sum of rows, month by month."""
        return [sum(values) for values in zip(*(getattr(self, name) for name in names), strict=True)]

    def zeros(self) -> Row:
        """A row of nothing."""
        return [0.0] * (self.plan.months + 1)

    def present(self, series: Sequence[float]) -> float:
        """Present value of a row that is no loan or lease."""
        return sum(x * self.plan.factor(m) for m, x in enumerate(series))

    def deductible_value(self, series: Sequence[float]) -> float:
        """Present value after tax of a row that is deducted in its year."""
        return sum(x * self.plan.deductible_factor(m) for m, x in enumerate(series))

    def debt_value(self, series: Sequence[float], *, after_tax: bool = False) -> float:
        """Present value of a row of a loan or lease."""
        start = self.option.start
        return sum(x * self.plan.debt_factor(start, m, after_tax=after_tax) for m, x in enumerate(series))


def legal(plan: Plan, lines: Sequence[Line], option: Option) -> None:
    """Refuse what the model has no meaning for."""
    horizon, start, refresh = plan.horizon, option.start, option.refresh
    demands = {
        "months is a multiple of 12 that covers the horizon": plan.months % 12 == 0 and 1 <= horizon <= plan.months,
        "start lies in 0..horizon-1": 0 <= start < horizon,
        "refresh lies between start and horizon, for own, buy and loan": refresh is None
        or (start < refresh < horizon and option.financing in ("own", "buy", "loan")),
        "financing and overflow are words of the model": option.financing in (*FLEET, *METERED)
        and option.overflow in ("none", *METERED),
        "an API serves tokens and does not train": not (option.overflows_to == "API" and plan.training_on),
        "an own fleet is there from month 0": option.financing != "own" or start == 0,
        "only an API serves without a rate": option.rate is not None
        or option.financing == "API"
        or not plan.serving_on,
        "the shares of the tax schedule sum to 1": math.isclose(sum(plan.tax_schedule), 1, abs_tol=1e-9),
        "capital lines fall due once": all(x.timing == "once" for x in lines if x.group == "capital"),
        "drivers are words of the model": all(x.driver in DRIVERS for x in lines),
        "what moves by itself has no yearly price": not any(x.timing == "yearly" and x.driver in MOVING for x in lines),
        "items are named once": len({x.item for x in lines}) == len(lines),
    }
    broken = [text for text, true in demands.items() if not true]
    if broken:
        raise ValueError(f"not a legal case: {broken[0]}")
