"""Decision: the sentence in all its states, the figures it rests on, and the first screen on a laptop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from decision_book import Typed, said
from openpyxl import load_workbook
from openpyxl.utils import get_column_letter
from openpyxl.workbook import Workbook

from workbook.sheets.contents import CONTENTS
from workbook.sheets.decision import CHARTS, FIGURES, LAST, LINES, SCREEN_ROWS, SELECTORS, TABLE, WIDTHS
from workbook.sheets.decision_words import NO_ENGINE
from workbook.sheets.money import result

BUY = Typed("Buy 40 B200", "buy", 2_400_000.0, "B200", rate=(900.0, 1000.0, 1100.0))
LEASE = Typed("Lease 40 B200", "lease", 2_500_000.0, "B200", rate=(900.0, 1000.0, 1100.0))
RESERVED = Typed("Reserved 72 H100", "reserved", 1_200_000.0, "H100", rate=(570.0, 600.0, 640.0))
TOKENS = Typed("Pay per token", "API", 3_000_000.0)


def test_the_lowest_and_what_it_saves(tmp_path: Path) -> None:
    got = said(tmp_path, [BUY, LEASE, RESERVED], flip="flips above 71 % utilisation")
    assert got["sentence"] == (
        "Reserved 72 H100: saves USD 1.2 million against buying (Buy 40 B200); flips above 71 % utilisation"
    )
    assert got["places"] == [2, 3, 1]
    assert (got["best"], got["second"], got["bought"], got["close"]) == (3, 1, 1, 0)
    assert got["gap"] == pytest.approx(1_200_000)


def test_both_the_runner_up_and_buying_are_named(tmp_path: Path) -> None:
    dear = replace(BUY, npv=2_531_000.0)
    lease = replace(LEASE, npv=1_331_250.0)
    got = said(tmp_path, [dear, lease, replace(RESERVED, rate=(595.0, 600.0, 605.0))])
    assert got["sentence"] == (
        "Reserved 72 H100: saves USD 131 000 against Lease 40 B200 and USD 1.33 million against buying (Buy 40 B200)"
    )
    got = said(tmp_path, [replace(BUY, npv=1_000_000.0), RESERVED])
    assert got["sentence"] == "Buy 40 B200: saves USD 200 000 against Reserved 72 H100"  # bought itself: said once


def test_overlapping_ranges_are_too_close_to_call(tmp_path: Path) -> None:
    near = replace(RESERVED, npv=2_300_000.0)
    got = said(tmp_path, [BUY, near, TOKENS], flip="flips above 71 % utilisation")
    assert got["close"] == 1
    assert got["sentence"].startswith("Too close to call: Reserved 72 H100 or Buy 40 B200, USD 100 000 apart")
    assert "a measured throughput of both would decide; flips above 71 %" in got["sentence"]


def test_ends_of_the_ranges_decide_whether_it_is_close(tmp_path: Path) -> None:
    """The runner-up's low end 2.4 / 1.1 = 2.18 million; the lowest's high end is 600/570 of its cost."""
    inside, outside = (replace(RESERVED, npv=2_400_000 / 1.1 * 570 / 600 + d) for d in (100.0, -100.0))
    assert said(tmp_path, [BUY, inside])["close"] == 1
    assert said(tmp_path, [BUY, outside])["close"] == 0


def test_the_same_devices_are_never_too_close(tmp_path: Path) -> None:
    """Their throughput errs alike: how they are paid decides."""
    got = said(tmp_path, [BUY, replace(LEASE, npv=2_390_000.0)])
    assert got["close"] == 0
    assert got["sentence"] == "Lease 40 B200: saves USD 10 000 against buying (Buy 40 B200)"


def test_what_is_not_validated_cannot_be_told_apart(tmp_path: Path) -> None:
    blind = replace(RESERVED, rate=("not validated", 600.0, "not validated"))  # type: ignore[arg-type]
    assert said(tmp_path, [BUY, blind])["sentence"].startswith("Too close to call: Reserved 72 H100 or Buy")


def test_a_price_per_token_has_no_throughput_to_doubt(tmp_path: Path) -> None:
    cheap = replace(TOKENS, npv=2_000_000.0)
    got = said(tmp_path, [BUY, cheap])
    assert (got["close"], got["best"]) == (0, 2)
    assert said(tmp_path, [BUY, replace(cheap, npv=2_390_000.0)])["close"] == 1


def test_training_is_judged_by_the_hours_of_a_run(tmp_path: Path) -> None:
    """Low end 0.9, high end 1.5 of the hours."""
    training = {"in_ServingOn": 0}
    near, far = (replace(RESERVED, npv=2_400_000 * 0.9 / 1.5 * f, rate="not served") for f in (1.01, 0.99))
    buy = replace(BUY, rate="not served")
    close = said(tmp_path, [buy, near], names=training)
    assert (close["close"], close["rate"], close["sure"], close["standing"]) == (1, 100, 150, "extrapolated")
    assert said(tmp_path, [buy, far], names=training)["close"] == 0


def test_the_planning_value_of_the_shown_option(tmp_path: Path) -> None:
    got = said(tmp_path, [BUY, RESERVED], names={"out_Option": 2})
    assert (got["rate"], got["sure"], got["standing"], got["band"]) == (600, 570, "validated", "throughput-fixed-batch")
    assert got["drawn"] == 2
    assert said(tmp_path, [BUY, RESERVED, TOKENS], names={"out_Option": 3})["drawn"] == 2  # the lowest with devices


def test_who_is_left_out(tmp_path: Path) -> None:
    """A row that is not sound, a load that is not served, a cost that is an error."""
    rows = [BUY, replace(RESERVED, status="no usable price"), replace(LEASE, share=0.8, npv=100.0), TOKENS]
    got = said(tmp_path, rows)
    assert got["places"] == [1, "none", "none", 2]
    assert got["sentence"].endswith(" (2 of 4 left out: see Status under Options)")
    assert got["sentence"].startswith("Buy 40 B200: saves USD 600 000 against Pay per token")
    only = said(tmp_path, [BUY, replace(TOKENS, npv="=NA()")])
    assert only["sentence"].startswith("Buy 40 B200: the only option that can be computed and serves the whole load")
    none = said(tmp_path, [replace(BUY, status="unknown device")])
    assert none["sentence"].startswith("No option can be computed and serves the whole load")


def test_equal_costs_take_two_places(tmp_path: Path) -> None:
    got = said(tmp_path, [BUY, replace(LEASE, npv=BUY.npv), RESERVED])
    assert got["places"] == [2, 3, 1]


def test_failing_checks_come_first(tmp_path: Path) -> None:
    failed = said(tmp_path, [BUY, RESERVED], checks=(True, False))["sentence"]
    assert failed.startswith("Checks fail, see Checks. Reserved 72 H100: saves")
    missing = said(tmp_path, [BUY, RESERVED], built=3)["sentence"]  # a check was deleted
    assert missing.startswith("Checks fail, see Checks. ")


def test_without_an_engine_frozen_figures_answer(tmp_path: Path) -> None:
    assert said(tmp_path, [BUY, RESERVED], version="")["sentence"] == NO_ENGINE
    frozen = {"in_Live": 0}
    assert said(tmp_path, [BUY, RESERVED], version="", names=frozen)["sentence"] == NO_ENGINE  # nothing is frozen
    answer = said(tmp_path, [BUY, RESERVED], version="", names=frozen, frozen=8)["sentence"]
    assert answer.startswith("Reserved 72 H100: saves")
    stale = said(tmp_path, [BUY, RESERVED], version="", names=frozen | {"out_Stale": 2}, frozen=8)["sentence"]
    assert stale.startswith("Frozen figures are stale, see Engine_Frozen. Reserved 72 H100: saves")
    live = said(tmp_path, [BUY, RESERVED], names={"out_Stale": 2}, frozen=8)["sentence"]  # not in use
    assert live.startswith("Reserved 72 H100: saves")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"in_FX": "=NA()", "in_Currency": "XYZ"}, "The currency XYZ has no rate"),
        ({"in_Option": 7}, "There is no option 7: choose best, or a number from 1 to 2"),
        ({"in_Option": 1.5}, "There is no option 1.5"),
        ({"in_Option": "cheapest"}, "There is no option cheapest"),
    ],
)
def test_a_wrong_selector_is_named(tmp_path: Path, names: dict[str, Any], words: str) -> None:
    assert said(tmp_path, [BUY, RESERVED], names=names)["sentence"].startswith(words)


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (4.0, "USD 4"),
        (950.0, "USD 950"),
        (13_140.0, "USD 13 100"),
        (999_600.0, "USD 1 million"),
        (3.4567e9, "USD 3460 million"),
    ],
)
def test_amounts_in_words(tmp_path: Path, gap: float, words: str) -> None:
    got = said(tmp_path, [replace(BUY, npv=1e6, device="a"), replace(LEASE, npv=1e6 + gap, device="a")])
    assert got["gap_words"] == words


# ------------------------------------------------------------------ the sheet


@pytest.fixture(scope="module")
def values(plan: Path) -> Workbook:
    """The default workbook, its values."""
    return load_workbook(plan, data_only=True)


def test_the_first_screen_fits_a_laptop(values: Workbook) -> None:
    """1366 x 768 at 90 %: Excel leaves about 1280 by 500 pixels to cells."""
    sheet = values["Decision"]
    assert sheet.sheet_view.zoomScale == 90
    wide = sum(round(sheet.column_dimensions[c].width * 7 + 5) for c in WIDTHS)
    assert wide * 0.9 <= 1280
    assert list(WIDTHS)[-1] == LAST
    heights = [sheet.row_dimensions[r].height or 15 for r in range(1, SCREEN_ROWS + 1)]
    assert sum(heights) / 72 * 96 * 0.9 <= 500
    for chart in sheet._charts[:2]:  # type: ignore[attr-defined]
        assert chart.anchor.to.row <= SCREEN_ROWS - 1
        assert chart.anchor.to.col <= len(WIDTHS)
        assert chart.anchor._from.row == CHARTS - 1


def test_six_figures_are_those_of_the_shown_option(values: Workbook) -> None:
    sheet, money = values["Decision"], values["Money"]
    best = values["Decision"]["C7"].value
    for i, (name, *_) in enumerate(FIGURES):
        at = result(name, best - 1).removeprefix("Money!").replace("$", "")
        assert sheet[f"F{LINES + i}"].value == money[at].value
    count = len([r for r in range(TABLE + 2, TABLE + 10) if sheet[f"L{r}"].value is not None])
    costs = {i + 1: sheet[f"C{TABLE + 2 + i}"].value for i in range(count)}
    assert best == min(costs, key=lambda n: costs[n])  # all of the shipped options serve the whole load
    assert {sheet[f"H{TABLE + 2 + i}"].value for i in range(count)} == {1}
    assert sorted(sheet[f"L{TABLE + 2 + i}"].value for i in range(count)) == list(range(1, count + 1))


def test_the_sentence_of_the_shipped_plan(values: Workbook) -> None:
    sheet = values["Decision"]
    best = sheet["C7"].value
    label = sheet[f"A{TABLE + 1 + best}"].value
    assert label in sheet["A3"].value
    assert not sheet["A3"].value.startswith("Checks fail")
    assert sheet[f"J{LINES}"].value == label


def test_selectors_are_open_named_and_offer_a_list(plan: Path) -> None:
    book = load_workbook(plan)
    sheet = book["Decision"]
    ruled = {str(cells) for rule in sheet.data_validations.dataValidation for cells in rule.sqref.ranges}
    for name, at in SELECTORS.items():
        assert book.defined_names[name].attr_text == f"Decision!${at[0]}${at[1:]}"
        assert not sheet[at].protection.locked
        assert at in ruled
    assert sheet.protection.sheet


def test_every_sheet_is_linked_with_a_line(plan: Path) -> None:
    book = load_workbook(plan)
    sheet = book["Decision"]
    links = [c.value for row in sheet.iter_rows() for c in row if str(c.value).startswith("=HYPERLINK")]
    for name in book.sheetnames[1:]:
        assert f'=HYPERLINK("#{name}!A1","{name}")' in links
        assert CONTENTS[name]
    top = [sheet[f"{get_column_letter(c)}4"].value for c in range(2, 10)]
    assert all(f'"{name}"' in link for name, link in zip(book.sheetnames[1:9], top, strict=True))
