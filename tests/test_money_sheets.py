"""The sheets Monthly and Money against the independent calculation of the same Inputs, Lines, Options and Engine.

Every monthly row, every year of cash, depreciation and tax, and every result must agree to 1e-9; all checks of an
option must pass.  `money_book` builds, `money_compare` compares, `money_stories` holds the plans.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy_financial as npf
import pytest
from money_book import Book, compute, plan_with
from money_compare import compare
from money_stories import EVERY_WAY, STORIES, TAXED, Story, every_line, random_story
from openpyxl.utils import get_column_letter
from sheet_runs import Run
from sheet_runs import book_of as book_with

from mlsysim.things import CURRENCIES
from workbook.cells import ErrorValue
from workbook.sheets import money, options
from workbook.sheets.monthly import Layout

USUAL = "every way to pay"
SEEDS = range(1, 5)
# cost lines of that story that come to nothing: applies, driver, timing
SILENT = {
    *(("API", "servers", "once"), ("API", "hardware", "once"), ("API", "carbon", "end")),  # no servers, none stated
    *(("6", "servers", "end"), ("6", "hardware", "end"), ("6", "water", "end")),  # metered hours: no fleet
    *(("API", "bill", "once"), ("1", "bill", "monthly"), ("4", "bill", "end")),  # no hours are metered then
    ("1", "water", "once"),  # month 0 is before the first month of service
}


def book_of(story: Story, folder: Path) -> Book:
    plan, extra = plan_with(story.options, story.inputs, story.lines or None, story.months)
    return compute(folder, plan, extra, story.currency)


def agree(book: Book) -> None:
    """Sheet and independent calculation agree, and nothing is refused or warned of."""
    for i in range(len(book.plan.options)):
        assert book.option("status", i) == "ok", f"option {i + 1}: {book.option('status', i)}"
        assert compare(book, i) == [], f"option {i + 1}"
        assert book.failed(i) == [], f"option {i + 1}"


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Book:
    return book_of(STORIES[USUAL], tmp_path_factory.mktemp("usual"))


def test_every_way_to_pay_agrees(usual: Book) -> None:
    agree(usual)


def test_the_story_is_told(usual: Book) -> None:
    """Every part of the model is there: no row of money is 0 in all options, and no two options cost the same."""
    rows = [r.name for r in usual.layout.rows if r.kind != "driver" and r.sign]
    rows += ["train_h", "over_h", "carbon", "water", "interest", "lease_interest", "tax_financing"]
    silent = {n for n in rows if not any(any(usual.months(n, i)) for i in range(8))}
    # nothing is trained, and no loan or lease ends after the plan
    assert {n for n in silent if n not in usual.layout.lines} == {"train_h", "loan_end", "rent_end"}
    lines = [usual.plan.lines[usual.layout.lines[n] - 1] for n in silent if n in usual.layout.lines]
    assert {(str(x.applies), x.driver, x.timing) for x in lines} == SILENT
    assert len({usual.result("npv", i) for i in range(8)}) == 8


def test_own_prices_are_turned_into_dollars(usual: Book) -> None:
    """A euro is worth 1/per_usd dollars; on demand the price is per device-hour, with tokens per million generated."""
    rate = CURRENCIES["EUR"].per_usd
    places = [i for i, x in enumerate(EVERY_WAY) if "price" in x]
    assert [EVERY_WAY[i]["financing"] for i in places] == ["on-demand", "API"]
    assert usual.option("rent_metered", places[0]) == pytest.approx(2.5 / rate, rel=1e-12)
    assert usual.option("token_price", places[1]) == pytest.approx(0.9 / rate, rel=1e-12)


def wrong(book: Book, cells: list[str], factor: float = 1 + 1e-6) -> Iterator[Book]:
    """The book with one value changed a little, for each of the cells."""
    for cell in cells:
        sheet, _, at = cell.replace("$", "").partition("!")
        value = book.values[sheet, at]
        assert isinstance(value, float), cell
        assert value, cell
        yield dataclasses.replace(book, values={**book.values, (sheet, at): value * factor})


def test_a_wrong_figure_is_seen(usual: Book) -> None:
    """One cell of any row of Monthly, or one price that both read, changed by a millionth: the comparison says so."""
    layout, own, lease = usual.layout, 0, 3
    rows = ("electricity", "fleet_kwh", "resale", "running_sum", "cash", "after", "cumulative", "demand")
    cells = [layout.months_of(n, own, 24, 24).split(":")[0] for n in rows]
    cells += [layout.months_of(n, lease, 12, 12).split(":")[0] for n in ("rent", "financing", "tax", "tax_financing")]
    cells += [layout.total("after", own, "K"), layout.total("need", own, "J"), layout.total("rent", lease, "J")]
    for book in wrong(usual, cells):
        assert compare(book, own) + compare(book, lease)
    for name in ("price_used", "tariff"):
        column = [k for k in usual.values if k[0] == "Options" and usual.values[k] == usual.option(name, own)]
        changed = {**usual.values, **{k: usual.values[k] * (1 + 1e-6) for k in column}}
        assert compare(dataclasses.replace(usual, values=changed), own)


# ------------------------------------------------------------------ more plans


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in STORIES if n != USUAL])
def test_a_story_agrees(name: str, tmp_path: Path) -> None:
    agree(book_of(STORIES[name], tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_plan_agrees(seed: int, tmp_path: Path) -> None:
    agree(book_of(random_story(seed), tmp_path))


@pytest.mark.slow
def test_a_loan_is_paid_in_level_instalments(tmp_path: Path) -> None:
    """As a lender's table has it: 36 payments of PMT on the price with network and installation, the last one level."""
    loan = {"financing": "loan", "term": 36, "servers": 1, "price": 300_000}
    inputs = {"in_LoanShare": 1, "in_LoanRate": 0.09, "in_NetworkShare": 0.1, "in_HorizonMonths": 48}
    book = book_of(Story([loan, {**loan, "term": 60}], inputs, months=48), tmp_path)
    agree(book)
    for i, term in enumerate((36, 60)):
        asset = book.total("asset", i)
        level = -npf.pmt(0.09 / 12, term, asset)
        paid = [level] * min(term, 48)
        assert asset > 330_000
        assert book.months("loan_out", i) == pytest.approx([0, *paid, *[0] * (48 - len(paid))], rel=1e-9)
        left = npf.fv(0.09 / 12, 48, level, -asset) if term > 48 else 0
        assert book.months("loan_end", i)[48] == pytest.approx(left if term > 48 else 0, rel=1e-9)
        assert sum(paid) + left == pytest.approx(asset + sum(book.months("interest", i)), rel=1e-9)


@pytest.mark.slow
def test_what_nobody_priced_is_not_skipped(tmp_path: Path) -> None:
    """A line for an option that there is not, and one with an unknown word, leave no total that looks right."""
    lines = list(plan_with([{"financing": "buy"}])[0].lines)
    applies: Any
    for applies in (3, "bougt"):
        lines[5] = dataclasses.replace(lines[5], applies=applies)
        book = book_of(Story([{"financing": "buy"}] * 2, {}, lines, 36), tmp_path)
        assert isinstance(book.result("npv", 0), ErrorValue)
        assert book.failed(0)


@pytest.mark.slow
def test_an_option_without_frozen_figures_costs_nothing() -> None:
    """Frozen, and nothing stored: only tokens that are bought have money, and the fleet that is sold or kept."""
    plan, _ = plan_with(EVERY_WAY, TAXED, every_line(), 36)
    layout, run = Layout(plan), Run(book_with(plan))
    status = get_column_letter(1 + list(options.COLUMNS).index("status"))
    with run.with_cells({"in_Engine": "frozen"}):
        for i, row in enumerate(EVERY_WAY):
            bought, answer = row["financing"] == "API", run.read(f"Options!{status}{options.TOP + 1 + i}")
            assert answer == ("ok" if bought else "not frozen")
            assert run.read(layout.total("known", i)) == run.read(money.result("served_share", i)) == int(bought)
            names = [x.name for x in layout.rows if x.kind != "driver" and x.sign]
            paid = {n for n in names if run.read(layout.total(n, i)) != 0}
            assert bought or paid == {"resale" if row["financing"] == "own" else "old_sale"}
            assert not bought or "rest_bill" in paid
