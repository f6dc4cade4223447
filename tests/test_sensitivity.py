"""Every bar of Sensitivity against a full recalculation: the input set to its end, all sheets computed, Money read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sheet_runs import SHOWN, Run, book_of

from workbook.plan import read_plan
from workbook.sheets.engine import DERIVED, option_columns
from workbook.sheets.inputs import BASE
from workbook.sheets.lines import TOP as LINES_TOP
from workbook.sheets.money import result
from workbook.sheets.sensitivity import (
    BARS,
    EFFECTS,
    SHEET,
    TOP_ALL,
    TOP_BARS,
    TOP_FIRST,
    add_sensitivity,
    range_of,
    tie_cell,
)
from workbook.sheets.sensitivity_model import ENGINE
from workbook.sheets.sensitivity_rows import FIGURES

NAMES = [f.name for f in FIGURES]


@dataclass
class Bar:
    """A row of the list: the cell that it changes and, for each option, its ends and effects."""

    label: str
    cell: str  # the base value, or "" for the engine
    ends: tuple[Any, Any]
    effects: dict[int, list[list[float]]]  # option: figure by figure, low and high


class Sheet:
    """A book with the sheet, and its bars read for every option."""

    def __init__(self) -> None:
        plan = read_plan()
        plan.options[:] = [plan.options[i] for i in (0, 2, 4, 5)]  # bought, reserved, per token, bought later
        models: list[Any] = []
        self.count = len(plan.options)
        book = book_of(plan, lambda b, layout: models.append(add_sensitivity(b, layout)))
        self.run, self.model = Run(book), models[0]
        names = {n: str(d.attr_text).rpartition("$")[2] for n, d in book.defined_names.items()}
        cases = [c.changes for c in self.model.cases[1::2]]  # an input or the engine, then its other end
        self.bars = [
            Bar(str(name), "" if name == ENGINE else f"Inputs!{BASE}{names[name]}", self.ends(r), {})
            for r, name in enumerate(cases, start=TOP_ALL + 2)
        ]
        lines = {str(book["Lines"][f"A{r}"].value): r for r in range(LINES_TOP + 1, LINES_TOP + 1 + len(plan.lines))}
        r = TOP_ALL + 2 + len(cases)
        while (label := self.run.read(f"{SHEET}!A{r}")) in lines:
            self.bars.append(Bar(label, f"Lines!K{lines[label]}", self.ends(r), {}))
            r += 1
        self.ties, self.ranges = {}, {}
        for option in range(self.count):
            with self.run.with_cells({SHOWN: option + 1}):
                for k, bar in enumerate(self.bars):
                    row = [self.run.read(f"{SHEET}!{c}{TOP_ALL + 2 + k}") for c in EFFECTS]
                    bar.effects[option] = [row[2 * i : 2 * i + 2] for i in range(len(NAMES))]
                self.ties[option] = self.run.read(tie_cell())
                self.ranges[option] = {n: [self.run.read(at) for at in range_of(n)] for n in NAMES}
        self.base = self.money()

    def ends(self, r: int) -> tuple[Any, Any]:
        return self.run.read(f"{SHEET}!D{r}"), self.run.read(f"{SHEET}!F{r}")

    def money(self) -> list[dict[str, Any]]:
        """The six figures of every option, as Money has them."""
        return [{n: self.run.read(result(n, o)) for n in NAMES} for o in range(self.count)]


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return Sheet()


def wrong(bar: Bar, end: int, base: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    """Figures whose effect is not the difference of two whole calculations."""
    for option, effects in bar.effects.items():
        for i, name in enumerate(NAMES):
            old, new = base[option][name], after[option][name]
            known = all(isinstance(x, float) for x in (old, new))
            wanted, shown = new - old if known else 0.0, effects[i][end]
            size = abs(old) if known else 1.0
            if not math.isclose(shown, wanted, rel_tol=1e-7, abs_tol=1e-9 * size + 1e-9):
                yield f"{bar.label}, end {end}, option {option + 1}, {name}: {shown} is shown, {wanted} is right"


def test_case_model_ties_with_money(sheet: Sheet) -> None:
    assert set(sheet.ties.values()) == {0.0}


def test_there_are_bars_of_every_sort(sheet: Sheet) -> None:
    cells = [b.cell.partition("!")[0] for b in sheet.bars]
    assert cells.count("Inputs") >= 15
    assert cells.count("Lines") >= 8
    assert cells.count("") == 1


@pytest.mark.slow
def test_every_bar_by_full_recalculation(sheet: Sheet) -> None:
    found, moved = [], 0
    for bar in sheet.bars:
        if not bar.cell:
            continue
        for end, value in enumerate(bar.ends):
            with sheet.run.with_cells({bar.cell: value}, settle=False):
                after = sheet.money()
            found += wrong(bar, end, sheet.base, after)
            moved += after != sheet.base
    with sheet.run.with_cells({}):
        assert sheet.money() == sheet.base  # nothing of a bar was left behind
    assert not found, "\n".join([f"{len(found)} are wrong", *found[:20]])
    assert moved > 40


def test_ranges_are_roots_of_sums_of_squares(sheet: Sheet) -> None:
    """Each side by itself, an effect counted on the side to which it leads."""
    for option in range(sheet.count):
        for i, name in enumerate(NAMES):
            base = sheet.base[option][name]
            if not isinstance(base, float):
                assert sheet.ranges[option][name] == [base, base]
                continue
            pairs = [bar.effects[option][i] for bar in sheet.bars]
            down = math.sqrt(sum(min(*p, 0.0) ** 2 for p in pairs))
            up = math.sqrt(sum(max(*p, 0.0) ** 2 for p in pairs))
            low, high = sheet.ranges[option][name]
            assert low == pytest.approx(base - down, rel=1e-9)
            assert high == pytest.approx(base + up, rel=1e-9)


def test_list_is_sorted_and_names_what_to_negotiate(sheet: Sheet) -> None:
    run = sheet.run
    widths = [max(*b.effects[0][0], 0) - min(*b.effects[0][0], 0) for b in sheet.bars]
    shown = [run.read(f"{SHEET}!G{TOP_BARS + 1 + k}") for k in range(1, BARS + 1)]
    assert shown == pytest.approx(sorted(widths, reverse=True)[:BARS])
    kinds = [run.read(f"{SHEET}!C{TOP_ALL + 2 + k}") for k in range(len(sheet.bars))]
    asked = [w if k in ("price", "contract") else 0 for w, k in zip(widths, kinds, strict=True)]
    first = asked.index(max(asked))
    assert run.read(f"{SHEET}!A{TOP_FIRST + 1}") == "Negotiate first: " + run.read(f"{SHEET}!A{TOP_ALL + 2 + first}")
    # one hundredth less of it, by full recalculation
    bar = sheet.bars[first]
    used = run.read(f"{SHEET}!E{TOP_ALL + 2 + first}")
    with run.with_cells({bar.cell: used * 0.99}):
        saved = sheet.base[0]["npv"] - run.read(result("npv", 0))
    assert abs(saved) == pytest.approx(run.read(f"{SHEET}!C{TOP_FIRST + 3}"), rel=0.02)


def test_engine_bar_by_full_recalculation(sheet: Sheet) -> None:
    """The throughput itself replaced, in a book that is thrown away."""
    place = next(k for k, b in enumerate(sheet.bars) if not b.cell)
    bar, run = sheet.bars[place], sheet.run
    columns, row = option_columns(sheet.count), DERIVED["per_device"]
    found: list[str] = []
    for option in range(sheet.count):
        at = f"Engine!{columns[option]}{row}"
        rate = run.read(at)
        if not isinstance(rate, float) or not rate:
            continue
        with run.with_cells({SHOWN: option + 1}):
            ratios = sheet.ends(TOP_ALL + 2 + place)
        for end, ratio in enumerate(ratios):
            sheet_, r, c = run._place(at)
            run._book.set_value(sheet_, r, c, rate * ratio)
            run._book.evaluate_all()
            after = [sheet.base[o] if o != option else sheet.money()[o] for o in range(sheet.count)]
            only = Bar(bar.label, "", ratios, {option: bar.effects[option]})
            found += wrong(only, end, sheet.base, after)
            run._book.set_value(sheet_, r, c, rate)
    assert not found, "\n".join(found)
