"""Prices, exchange rates, tax schedules and the defaults of money: each figure against an account of its own."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from pathlib import Path
from statistics import median

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.workbook.defined_name import DefinedName

from mlsysim.errors import OutOfDomain
from mlsysim.money_things import BASES, PRICE_CLASSES, Currency, TaxSchedule, price_class
from mlsysim.things import CURRENCIES, DEFAULTS, NODES, PRICES, TAX_SCHEDULES, Price
from udfs import FUNCTIONS
from workbook.finalize import finalize
from workbook.sheets.registries import FRESH_UNTIL, SHEETS, TABLES, TOP, add_registries
from workbook.style import add_styles

RENTS = ("on_demand", "reserved_1y", "reserved_3y", "spot")
RENTED = ("H100", "H200", "B200", "MI300X", "A100", "GB200")


def price(item: str, basis: str) -> Price:
    rows = [p for p in PRICES.values() if (p.item, p.basis) == (item, basis)]
    assert len(rows) == 1, (item, basis)
    return rows[0]


# ------------------------------------------------------------------ prices


def test_an_item_has_one_row_of_each_canonical_basis() -> None:
    twice = [k for k, n in Counter((p.item, p.basis) for p in PRICES.values()).items() if n > 1 and k[1] in BASES]
    assert not twice


def test_every_rent_says_so_in_its_basis_and_key() -> None:
    for key, row in PRICES.items():
        assert row.basis != "rental"
        if "rent per device-hour" in row.title:
            assert row.basis.startswith(("on_demand", "reserved", "spot")), key
            assert key == f"{row.item}_{row.basis}"


@pytest.mark.parametrize("item", RENTED)
def test_default_devices_have_every_kind_of_rent(item: str) -> None:
    on_demand, one, three, spot = (price(item, basis) for basis in RENTS)
    assert three.amount < one.amount < on_demand.amount
    assert spot.amount < on_demand.amount
    for row in (on_demand, one, three, spot):
        fact = row.facts["amount"]
        assert fact.source.as_of >= dt.date(2026, 5, 1)
        assert (fact.kind == "estimate") == ("no dated offer read" in fact.note), row.key
    assert on_demand.facts["amount"].kind != "estimate"


@pytest.mark.parametrize("item", RENTED)
def test_an_estimated_reservation_is_the_on_demand_price_less_the_default_discount(item: str) -> None:
    discount = DEFAULTS["reserved_discount"]
    for basis, share in (("reserved_1y", discount.low), ("reserved_3y", discount.value)):
        row = price(item, basis)
        if row.facts["amount"].kind == "estimate":
            assert share is not None
            assert row.amount == pytest.approx(price(item, "on_demand").amount * (1 - share), rel=1e-9), row.key
            assert row.facts["amount"].source == price(item, "on_demand").facts["amount"].source


def test_the_estimated_spot_price_follows_its_own_provider() -> None:
    b200 = price("B200", "spot").amount / price("B200", "on_demand_coreweave").amount
    assert price("GB200", "spot").amount == pytest.approx(price("GB200", "on_demand").amount * b200, rel=1e-4)


def test_prices_of_servers_are_divided_by_their_devices_and_hours() -> None:
    counted: Counter[str] = Counter()
    for row in PRICES.values():
        note = row.facts["amount"].note
        if hourly := re.match(r"([\d.]+) USD/h for (eight|four) devices", note):
            devices = {"eight": 8, "four": 4}[hourly[2]]
            assert row.amount * devices == pytest.approx(float(hourly[1]), rel=1e-9), row.key
            counted["hourly"] += 1
        if yearly := re.match(r"([\d,.]+) USD for a year of a server with eight devices", note):
            assert row.amount * 8 * 8760 == pytest.approx(float(yearly[1].replace(",", "")), rel=2e-5), row.key
            counted["yearly"] += 1
    assert counted["hourly"] >= 12
    assert counted["yearly"] == 5


def test_medians_are_the_middle_of_what_was_read() -> None:
    h100 = [2.58, 2.635, 2.6661, 2.9572, 3.21, 3.2126, 3.3482, 3.49, 3.7969, 3.8883, 3.99, 4.0811, 4.4868, 4.5, 5.373]
    assert price("H100", "on_demand").amount == pytest.approx(median([*h100, 6.155]))
    h200 = [3.4518, 3.99, 4.4179, 4.44, 4.59, 4.9544, 5.4, 5.5826, 5.8621, 5.99, 6.305]
    assert price("H200", "on_demand").amount == median(h200)


@pytest.mark.parametrize(
    ("basis", "kind"),
    [
        ("spot", "spot"), ("spot_runpod", "spot"), ("on_demand", "cloud"), ("on_demand_aws", "cloud"),
        ("reserved_1y", "cloud"), ("reserved_hyperstack", "cloud"), ("api_input", "cloud"), ("api_output_low", "cloud"),
        ("purchase", "purchase"), ("server_2025", "purchase"), ("colocation", "other"), ("storage", "other"),
    ],
)  # fmt: skip
def test_how_fast_a_price_ages(basis: str, kind: str) -> None:
    assert price_class(basis) == kind


def test_every_canonical_basis_has_a_class() -> None:
    assert {price_class(b) for b in BASES} == set(PRICE_CLASSES)


# ------------------------------------------------------------------ currencies


def test_the_currencies_of_the_front_sheets() -> None:
    assert list(CURRENCIES) == ["USD", "EUR", "GBP", "JPY", "CNY", "CHF", "INR", "CAD", "AUD", "KRW", "SEK", "SGD"]
    assert CURRENCIES["USD"].per_usd == 1
    assert {c.facts["per_usd"].source.as_of for c in CURRENCIES.values()} == {dt.date(2026, 10, 2)}


@pytest.mark.parametrize("key", [k for k in CURRENCIES if k != "USD"])
def test_a_rate_is_the_quotient_that_its_note_prints(key: str) -> None:
    fact = CURRENCIES[key].facts["per_usd"]
    printed = re.fullmatch(rf"([\d.]+) {key} per EUR over ([\d.]+) USD per EUR", fact.note)
    assert printed
    assert CURRENCIES[key].per_usd == pytest.approx(float(printed[1]) / float(printed[2]), rel=5e-7)


@pytest.mark.parametrize(
    ("key", "published"),  # the same fixing in dollars, as a second publisher rounds it
    [("AUD", 1.4411), ("CAD", 1.424), ("CHF", 0.82664), ("CNY", 6.7046), ("EUR", 0.89087), ("GBP", 0.75753),
     ("INR", 96.32), ("JPY", 157.67), ("KRW", 1348.28), ("SEK", 10.0579)],
)  # fmt: skip
def test_a_rate_agrees_with_a_second_publisher(key: str, published: float) -> None:
    assert CURRENCIES[key].per_usd == pytest.approx(published, rel=6e-5)


def test_an_own_currency_is_a_spec_text() -> None:
    assert Currency.of("NOK; per_usd = 9.6494").per_usd == 9.6494
    with pytest.raises(OutOfDomain, match="per_usd"):
        Currency.of("NOK; per_usd = 0")


# ------------------------------------------------------------------ tax


def macrs(years: int, first: float) -> list[float]:
    """Double declining balance with a switch to straight line; `first` is the part of the first year in service."""
    book, shares, left = 1.0, [], float(years)
    while book > 1e-12:
        part = first if not shares else min(1.0, left)
        share = min(book, max(2 / years * book * part, book / left * part))
        shares.append(share)
        book, left = book - share, left - part
    return shares


@pytest.mark.parametrize(
    ("key", "years", "first"),
    [
        ("MACRS5_HY", 5, 0.5), ("MACRS5_MQ1", 5, 0.875), ("MACRS5_MQ2", 5, 0.625), ("MACRS5_MQ3", 5, 0.375),
        ("MACRS5_MQ4", 5, 0.125), ("MACRS7_HY", 7, 0.5),
    ],
)  # fmt: skip
def test_the_statutory_tables_follow_their_method(key: str, years: int, first: float) -> None:
    expected = macrs(years, first)
    shares = TAX_SCHEDULES[key].shares
    assert shares[: len(expected)] == pytest.approx(expected, abs=1.01e-4)  # printed to 0.01 percent
    assert not any(shares[len(expected) :])


@pytest.mark.parametrize("key", list(TAX_SCHEDULES))
def test_a_schedule_deducts_the_cost_once_and_is_sourced(key: str) -> None:
    row = TAX_SCHEDULES[key]
    assert sum(row.shares) == pytest.approx(1, abs=1e-4)
    assert set(row.facts) == {f"year_{n}" for n in range(1, 9)}
    assert all(f.source.url.startswith("https://") for f in row.facts.values())


@pytest.mark.parametrize("key", ["Bonus_100", "DE_1y", "UK_full"])
def test_full_expensing_is_all_in_the_first_year(key: str) -> None:
    assert TAX_SCHEDULES[key].shares == (1, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("years", [3, 4, 5, 6])
def test_straight_line(years: int) -> None:
    shares = TAX_SCHEDULES[f"SL{years}"].shares
    assert shares[:years] == pytest.approx([1 / years] * years, abs=2.1e-4)
    assert shares[years:] == (0,) * (8 - years)


def test_a_schedule_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(OutOfDomain, match=r"Mine: year_1 to year_8 must add up to 1, got 1\.1"):
        TaxSchedule.of("Mine; base = MACRS5_HY; year_1 = 0.3")


# ------------------------------------------------------------------ defaults


@pytest.mark.parametrize(
    "key",
    [
        "tax_rate",
        "sales_tax",
        "installation",
        "decommission",
        "insurance",
        "property_tax",
        "loan_rate",
        "lease_rate",
        "lease_residual",
        "cost_of_equity",
        "cost_of_debt",
        "debt_share",
        "inflation",
        "cloud_support",
        "egress_price",
        "storage_price",
        "software_per_device_year",
        "demand_charge",
        "take_or_pay",
        "rack_power",
        "performance_gain",
        "purchase_price_decline",
        "cloud_price_decline",
        "spot_rework",
        "carbon_price",
        "water_price",
    ],
)
def test_a_money_default_has_a_spread_a_source_and_a_reason(key: str) -> None:
    row, fact = DEFAULTS[key], DEFAULTS[key].facts["value"]
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.value <= row.high > row.low
    assert row.unit
    assert fact.note
    assert fact.source.as_of <= dt.date(2026, 11, 30)


def test_money_defaults_that_can_be_worked_out() -> None:
    assert DEFAULTS["performance_gain"].value == pytest.approx(2 ** (1 / 2.46) - 1, abs=1e-3)  # doubling times in years
    assert DEFAULTS["performance_gain"].low == pytest.approx(2 ** (1 / 2.95) - 1, abs=1e-3)
    assert DEFAULTS["performance_gain"].high == pytest.approx(2 ** (1 / 2.07) - 1, abs=1.1e-3)
    assert DEFAULTS["water_price"].value == pytest.approx((3.86 + 5.76) / 3.785411784, abs=5e-3)  # 1,000 US gallons
    assert DEFAULTS["water_price"].low == pytest.approx(1.80 / 3.785411784, abs=5e-3)
    assert DEFAULTS["rack_power"].value == pytest.approx(4 * NODES["DGX_H100"].need("power") / 1000)
    assert DEFAULTS["carbon_price"].high == pytest.approx(92 / CURRENCIES["EUR"].per_usd, abs=0.5)
    assert DEFAULTS["tax_rate"].value == 0.21
    assert PRICES["software_gpu"].amount == DEFAULTS["software_per_device_year"].value


# ------------------------------------------------------------------ sheets

DAYS = {"in_DaysSpot": 30, "in_DaysCloud": 90, "in_DaysPurchase": 180}


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> Workbook:
    """The registries in a book of their own, with the three inputs that their formulas read."""
    folder: Path = tmp_path_factory.mktemp("finance")
    book = Workbook()
    inputs = book.active
    assert inputs is not None
    inputs.title = "Inputs"
    add_styles(book)
    for r, (name, days) in enumerate(DAYS.items(), start=1):
        inputs.cell(r, 1, days)
        book.defined_names[name] = DefinedName(name, attr_text=f"Inputs!$A${r}")
    add_registries(book)
    book.save(folder / "draft.xlsx")
    assert finalize(folder / "draft.xlsx", folder / "book.xlsx", FUNCTIONS) == {}
    return load_workbook(folder / "book.xlsx", data_only=True)


def rows(sheets: Workbook, sheet: str, table: str) -> list[dict[str, object]]:
    header, *lines = [[c.value for c in line] for line in sheets[sheet][sheets[sheet].tables[table].ref]]
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_a_price_is_fresh_for_the_days_of_its_class(sheets: Workbook) -> None:
    days = {"spot": 30, "cloud": 90, "purchase": 180, "other": 180}
    lines = rows(sheets, "Prices", "tblPrices")
    assert len(lines) == len(PRICES)
    for line in lines:
        row = PRICES[str(line["key"])]
        assert line["class"] == price_class(row.basis)
        assert line["lookup"] == f"{row.item}|{row.basis}"
        read = row.facts["amount"].source.as_of
        until = line["fresh_until"]
        assert isinstance(until, dt.datetime)
        assert until.date() == read + dt.timedelta(days=days[str(line["class"])]), row.key
    assert {line["class"] for line in lines} == set(days)


def test_the_columns_stand_between_the_look_up_and_the_spec(sheets: Workbook) -> None:
    header = [c.value for c in sheets["Prices"][TOP]]
    assert header[-4:] == ["lookup", "class", "fresh_until", "spec"]
    column = sheets["Prices"].tables["tblPrices"].tableColumns[header.index("fresh_until")]
    assert column.calculatedColumnFormula.attr_text == FRESH_UNTIL[1:]


def test_exchange_rates_and_schedules_stand_on_one_sheet(sheets: Workbook) -> None:
    assert SHEETS["Reg_Finance"][2] == (CURRENCIES, TAX_SCHEDULES)
    assert (TABLES[Currency], TABLES[TaxSchedule]) == ("tblFX", "tblTax")
    rates = {line["key"]: line for line in rows(sheets, "Reg_Finance", "tblFX")}
    assert {k: line["per_usd"] for k, line in rates.items()} == {k: c.per_usd for k, c in CURRENCIES.items()}
    assert rates["EUR"]["as_of"] == dt.datetime(2026, 10, 2)
    shares = {line["key"]: line for line in rows(sheets, "Reg_Finance", "tblTax")}
    for key, row in TAX_SCHEDULES.items():
        assert tuple(shares[key][f"year_{n}"] for n in range(1, 9)) == row.shares
        assert TaxSchedule.of(str(shares[key]["spec"])) == row
    for name, table in (("list_currencies", "tblFX"), ("list_tax", "tblTax")):
        assert sheets.defined_names[name].attr_text == f"{table}[key]"
