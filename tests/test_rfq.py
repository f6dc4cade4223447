"""RFQ: quotes in any unit and currency come to what the sums by hand say, and what is wrong is said in words."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.formula.translate import Translator
from rfq_case import PLAN, USUAL, answer, by_hand, draft

from mlsysim.things import PRICES
from udfs.libreoffice import find_soffice, recalculate
from workbook.finalize import finalize
from workbook.sheets.rfq_rows import ADDED, BY, BY_HOURS, HEAD, LETTERS, NO_RATE, PLACE, ROWS, TERMS, Row
from workbook.sheets.rfq_table import COLUMNS, EXPIRED, OK, TOP, examples
from workbook.whitelist import lint

NO_FUNCTIONS: dict[str, Any] = {}
PER_DEVICE = USUAL | {
    "vendor": "D", "currency": "EUR", "per": "device", "quantity": 64, "in_unit": 1, "list": 41_000, "discount": 0.12,
    "network": 2_500, "weeks": 10, "warranty": 2, "support": 900, "support_per": "device", "cooling": "liquid",
    "fit_out": 1500, "software": 450, "days": 45, "buy_back": 0.2, "least": 8, "promise": 900,
}  # fmt: skip
PER_RACK = USUAL | {
    "vendor": "R", "currency": "GBP", "device": "GB200", "per": "rack", "quantity": 2, "in_unit": 72, "in_server": 72,
    "list": 2_400_000, "network": "yes", "installation": 30_000, "weeks": 0, "power": 120_000, "support": 100_000,
    "support_per": "rack", "cooling": "liquid", "fit_out": 0,
}  # fmt: skip
IN_TOTAL = USUAL | {
    "vendor": "T",
    "currency": "JPY",
    "device": "H100",
    "per": "total",
    "quantity": 20,
    "list": 700_000_000,
    "network": "yes",
    "installation": "yes",
    "weeks": 26,
    "power": 10_200,
    "support": 40_000_000,
    "support_per": "total",
    "days": 90,
    "warranty": 3,
    "promise": 650,
}
QUOTES = [USUAL, PER_DEVICE, PER_RACK, IN_TOTAL]


@pytest.mark.parametrize(("currency", "fx"), [("USD", 1.0), ("EUR", 0.9)])
def test_quotes_come_to_the_sums_by_hand(tmp_path: Path, currency: str, fx: float) -> None:
    out = answer(tmp_path, QUOTES, in_Currency=currency, in_FX=fx)
    for i, quote in enumerate(QUOTES):
        assert out.column("status", i) == OK
        hand = by_hand(quote, fx)
        for name, value in hand.items():
            assert out.row(name, i) == pytest.approx(value, rel=1e-9, abs=1e-9), (quote["vendor"], name)
        assert out.column("own_price", i) == pytest.approx(hand["own"], rel=1e-9)
        assert out.column("own_currency", i) == quote["currency"]
    assert out.row("mtoken", 2) == NO_RATE
    assert out.row("order", 0) == pytest.approx(by_hand(USUAL, fx)["total"] * 80)


def test_own_price_in_options_buys_the_same(tmp_path: Path) -> None:
    """Network and installation as the plan adds them bring the own price back to what is delivered."""
    out = answer(tmp_path, QUOTES)
    for i, quote in enumerate(QUOTES):
        delivered = sum(out.row(n, i) for n in ("price", "network", "installation")) / out.row("paid", i)
        added = out.column("own_price", i) * 1.2 * 1.03 * out.row("fx", i) / quote["in_server"]
        assert added == pytest.approx(delivered)
    assert out.column("own_price", 0) == pytest.approx(350_000)  # nothing was inside, so nothing is taken off


@pytest.mark.parametrize("by", ["mtoken", "hour"])
def test_rank_gap_and_reasons(tmp_path: Path, by: str) -> None:
    edit = {BY: BY_HOURS} if by == "hour" else {}
    out = answer(tmp_path, QUOTES, edit=edit)
    hands = [by_hand(q) for q in QUOTES]
    ranked = {i: h[by] for i, h in enumerate(hands) if by in h}
    order = sorted(ranked, key=lambda i: ranked[i])
    best = order[0]
    assert [out.row("rank", i) for i in order] == list(range(1, len(order) + 1))
    assert out.term("best") == best + 1
    assert out.row("rank", 2) == ("not ranked" if by == "mtoken" else order.index(2) + 1)
    for i in order:
        assert out.row("gap", i) == pytest.approx(ranked[i] / ranked[best] - 1)
        parts = {n: out.row(f"diff_{n}", i) for n in ADDED}
        assert sum(parts.values()) == pytest.approx(out.row("diff", i)) == pytest.approx(ranked[i] - ranked[best])
        each = {n: hands[i][n] * ranked[i] / hands[i]["total"] - hands[best][n] * ranked[best] / hands[best]["total"]
                for n in ADDED}  # fmt: skip
        assert parts == pytest.approx(each, abs=1e-9)
        if i != best:
            most = max(parts, key=lambda n: parts[n])
            assert out.row("why", i) == out.sheet[f"A{_row_of(most)}"].value
    assert out.row("why", best) == "the best"
    names = [f"{QUOTES[i]['vendor']} Q" for i in order[:2]]
    assert out.verdict.startswith(f"Best: {names[0]} at USD ")
    assert f"next {names[1]}" in out.verdict
    assert "example" not in out.verdict


def _row_of(name: str) -> int:
    from workbook.sheets.rfq_rows import PLACE

    return PLACE[f"diff_{name}"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"device": "B2000"}, "unknown device"),
    ({"device": None}, "unknown device"),
    ({"currency": "XYZ"}, "unknown currency"),
    ({"currency": None}, "unknown currency"),
    ({"per": "pallet"}, "price is per device, server, rack or total"),
    ({"list": "on request"}, "give price, quantity and devices"),
    ({"quantity": 0}, "give price, quantity and devices"),
    ({"in_unit": 4}, "per server: the devices of a server"),
    ({"software": "free"}, "a text stands where a number is due"),
    ({"discount": 5}, "a number is out of its range"),
    ({"support": -1}, "a number is out of its range"),
    ({"network": "maybe"}, "network, installation: yes, no or an amount"),
    ({"installation": None}, "network, installation: yes, no or an amount"),
    ({"weeks": None}, "give the weeks of delivery"),
    ({"support_per": "month"}, "support is: a share, or per what"),
    ({"power": None}, "give the power of a server"),
    ({"cooling": "water"}, "cooling: air or liquid"),
    ({"cooling": "liquid"}, "liquid: give the fit-out per kW, or 0"),
    ({"least": 11}, "below the least order"),
    ({"weeks": 140}, "delivered after the horizon"),
    ({"device": "MI300X"}, "no rent for the wait: see terms"),
    ({"until": dt.date(2026, 11, 24)}, EXPIRED),
    ({"until": dt.date(2026, 11, 25)}, OK),
]


def test_what_is_wrong_is_said_and_not_ranked(tmp_path: Path) -> None:
    for start in range(0, len(WRONG), 7):
        part = WRONG[start : start + 7]
        out = answer(tmp_path, [USUAL, *(USUAL | change for change, _ in part)])
        for i, (change, words) in enumerate(part, start=1):
            assert out.column("status", i) == words, change
            ranked = isinstance(out.row("rank", i), int | float)
            assert ranked == (words == OK)
            assert (out.row("total", i) in ("", None)) == (words not in (OK, EXPIRED))
        assert out.row("rank", 0) == 1


def test_terms_that_are_missing_or_typed(tmp_path: Path) -> None:
    own = {TERMS["own_draw"]: 0.9, TERMS["own_rent"]: 10.0}
    out = answer(tmp_path, [USUAL, USUAL | {"device": "MI300X"}], edit=own)
    hand = by_hand(USUAL)
    assert out.row("electricity", 0) == pytest.approx(hand["electricity"] * 0.9 / 0.55)
    assert out.row("wait", 0) == out.row("wait", 1) == pytest.approx(hand["wait"] * 10 / 4)
    none = answer(tmp_path, [USUAL | {"list": "?"}])
    assert none.term("best") == "none"
    assert none.verdict.startswith("No quote can be ranked")


def test_promises_are_held_against_the_engine(tmp_path: Path) -> None:
    promised = [USUAL | {"promise": p} for p in (500, 900, 1300, None)]
    out = answer(tmp_path, [*promised, PER_RACK | {"promise": 5}])
    words = ["below: ask for more", "within the range", "above the middle: get it in writing", "-", "-"]
    assert [out.row("judged", i) for i in range(5)] == words
    assert out.row("accept", 0) == 700
    assert out.row("accept", 4) == NO_RATE
    assert out.row("promise", 3) == "nothing promised"


def test_examples_are_marked_and_their_prices_stand_in_the_price_list() -> None:
    rows = examples()
    assert len(rows) == 4
    for row in rows:
        assert row["kind"] == "example"
        assert "overwrite" in row["note"]
        price = PRICES[row["quote"]]
        assert row["date"] == price.facts["amount"].source.as_of
        if row["currency"] == "USD":
            assert row["list"] == price.amount


def test_examples_say_that_they_are_examples(tmp_path: Path) -> None:
    out = answer(tmp_path, [row | {"currency": "EUR"} for row in examples()])
    assert "an example: overwrite it" in out.verdict
    assert out.column("status", 3) == EXPIRED


def test_formulas_are_on_the_whitelist_and_alike_along_a_row() -> None:
    sheet = draft(QUOTES)["RFQ"]
    formulas = [c for row in sheet for c in row if c.data_type == "f"]
    assert len(formulas) > 400
    assert {c.coordinate: found for c in formulas if (found := lint(str(c.value)))} == {}
    unlocked = {c.column for c in sheet[TOP + 1] if not c.protection.locked}
    typed = [i for i, n in enumerate(COLUMNS, 1) if n not in ("status", "rank", "own_price", "own_currency")]
    assert unlocked == set(typed)
    for r in (PLACE[row.name] for row in ROWS if isinstance(row, Row)):
        first = Translator(sheet[f"{LETTERS[0]}{r}"].value, f"{LETTERS[0]}{r}")
        assert {c: sheet[f"{c}{r}"].value for c in LETTERS} == {
            c: first.translate_formula(f"{c}{r}") for c in LETTERS
        }, sheet[f"A{r}"].value
    assert sheet.protection.sheet
    assert all(c.protection.locked for row in sheet.iter_rows(min_row=HEAD, max_row=HEAD + 45) for c in row)


@pytest.mark.libreoffice
@pytest.mark.skipif(find_soffice() is None, reason="no LibreOffice here")
@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_libreoffice_agrees_on_every_cell(tmp_path: Path, locale: str) -> None:
    book = draft([*QUOTES, *(USUAL | WRONG[i][0] for i in (0, 9, 16, 21))])
    book.save(tmp_path / "draft.xlsx")
    assert finalize(tmp_path / "draft.xlsx", tmp_path / "rfq.xlsx", NO_FUNCTIONS) == {}
    result = recalculate(tmp_path / "rfq.xlsx", tmp_path / "out", f"{Path(__file__).stem}:NO_FUNCTIONS", locale)
    ours, theirs = (openpyxl.load_workbook(p, data_only=True)["RFQ"] for p in (tmp_path / "rfq.xlsx", result))
    compared = 0
    for row in book["RFQ"]:
        for cell in (c for c in row if c.data_type == "f"):
            one, two = (s[cell.coordinate].value for s in (ours, theirs))
            assert (two or "") == (pytest.approx(one, rel=1e-9) if isinstance(one, float) else one or ""), (
                cell.coordinate
            )
            compared += 1
    assert compared > 400
    assert PLAN["in_Currency"] in str(theirs["A3"].value)
