"""The sheet Carbon: its totals tie to Monthly, what making accelerators emitted is written out, other grids are ranked.

One option for each kind: a refreshed fleet, a fleet whose rest is metered, metered hours alone, bought tokens.
"""

from __future__ import annotations

from string import ascii_uppercase
from typing import Any

import pytest
from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from sheet_runs import CURRENCY, Run, book_of

from mlsysim.things import CURRENCIES, DEFAULTS, GRIDS
from workbook.plan import Option, Plan, read_plan
from workbook.sheets import carbon, options
from workbook.sheets.carbon import ELSEWHERE, PLACE, REGIONS, SORTED, Row, add_carbon
from workbook.sheets.engine import option_columns
from workbook.sheets.inputs import BASE
from workbook.sheets.lines import HEADINGS
from workbook.sheets.monthly import FIRST_MONTH, Layout

DRAWN = "Decision!B9"
H100: dict[str, Any] = {
    "server": "DGX_H100", "device": "H100", "devices_per_server": 8, "tp": 2, "precision": "fp8", "site": "Quebec",
}  # fmt: skip
NONE: dict[str, Any] = {"server": "", "device": "", "devices_per_server": 0, "tp": 1, "precision": "", "site": "Quebec"}
OWN, METERED_REST, RESERVED, ON_DEMAND, SPOT, BOUGHT_REST, BOUGHT = range(7)
OPTIONS = [
    Option("own", **H100, servers=6),
    Option("buy", **{**H100, "site": "US_Avg"}, servers=2, start=7, overflow="on-demand"),
    Option("reserved", **H100, servers=2, term=36),
    Option("on-demand", **H100),
    Option("spot", **H100),
    Option("buy", **H100, servers=2, overflow="API"),
    Option("API", **NONE),
]
STATED = (OWN, METERED_REST, RESERVED, ON_DEMAND, SPOT)
PLAN = Plan(read_plan().inputs, read_plan().lines, OPTIONS, 36)
LAYOUT = Layout(PLAN)


def _add(book: Workbook, layout: Layout) -> None:
    refresh = get_column_letter(1 + list(options.COLUMNS).index("refresh"))
    book["Options"][f"{refresh}{options.TOP + 1 + OWN}"] = 24
    book["Decision"][DRAWN.partition("!")[2]] = METERED_REST + 1
    book.defined_names["out_Drawn"] = DefinedName("out_Drawn", attr_text="Decision!$B$9")
    add_carbon(book, layout)


@pytest.fixture(scope="module")
def run() -> Run:
    return Run(book_of(PLAN, _add))


def figure(run: Run, name: str, option: int) -> Any:
    return run.read(f"Carbon!{option_columns(len(OPTIONS))[option]}{PLACE[name]}")


def months(run: Run, name: str, option: int) -> list[float]:
    """A row of Monthly."""
    row = LAYOUT.row(name, option)
    return [run.read(f"Monthly!{get_column_letter(FIRST_MONTH + m)}{row}") for m in range(LAYOUT.months + 1)]


def base(run: Run, name: str) -> str:
    """The cell where the base value of an input, or of a cost line that has a name, is typed."""
    sheet, _, cell = run.names[name].partition("!")
    column = {"Inputs": BASE, "Lines": get_column_letter(1 + HEADINGS.index("base"))}[sheet]
    return f"{sheet}!{column}{cell.lstrip(ascii_uppercase)}"


def used_up(run: Run, option: int) -> float:
    """Accelerators worn out in the plan: shares of a life, at most one for each set that is bought; then paid hours."""
    life, hours = run.read("in_LifeYears"), run.read("in_HoursPerYear")
    devices, sets = run.read(LAYOUT.total("devices", option)), 1 + (run.read(LAYOUT.total("refresh", option)) > 0)
    own = devices * min(sum(months(run, "up", option)) / 12 / life, sets)
    lost = run.read("in_MeteredFill") * run.read("in_Goodput")
    again = 1 + run.read("in_SpotRework") * (option == SPOT)
    faster = (1 + run.read("in_PerfGain")) ** ((OPTIONS[option].start) / 12)
    metered = option in (METERED_REST, ON_DEMAND, SPOT)
    return float(own + metered * sum(months(run, "over_h", option)) * faster / lost * again / (life * hours))


@pytest.mark.parametrize("option", STATED)
def test_totals_tie_to_the_months(run: Run, option: int) -> None:
    fleet, rest = sum(months(run, "fleet_kwh", option)), sum(months(run, "rest_kwh", option))
    assert fleet + rest > 0
    assert figure(run, "fleet", option) == pytest.approx(fleet)
    assert figure(run, "rented", option) == pytest.approx(rest)
    assert figure(run, "kwh", option) == pytest.approx(fleet + rest)
    grid = GRIDS[OPTIONS[option].site].carbon_intensity * 3.6e9
    assert figure(run, "grid", option) == pytest.approx(grid)
    assert figure(run, "operational", option) == pytest.approx((fleet + rest) * grid / 1000)
    assert figure(run, "operational", option) == pytest.approx(1000 * sum(months(run, "carbon", option)))
    assert figure(run, "water", option) == pytest.approx(sum(months(run, "water", option)))


@pytest.mark.parametrize("option", STATED)
def test_what_making_accelerators_emitted(run: Run, option: int) -> None:
    spread = DEFAULTS["embodied_carbon_device"]
    low, middle, high = (float(x) for x in (spread.low or 0, spread.value or 0, spread.high or 0))
    assert 0 < low < middle < high
    worn, operational = used_up(run, option), figure(run, "operational", option)
    assert worn > 0
    assert figure(run, "worn", option) + figure(run, "worn_rented", option) == pytest.approx(worn)
    assert figure(run, "embodied", option) == pytest.approx(worn * middle)
    assert figure(run, "total", option) == pytest.approx(operational + worn * middle)
    assert figure(run, "low", option) == pytest.approx(operational + worn * low)
    assert figure(run, "high", option) == pytest.approx(operational + worn * high)


def test_no_accelerator_is_used_up_more_than_once_a_purchase(run: Run) -> None:
    devices = 8 * 6
    column = option_columns(len(OPTIONS))[OWN]
    with run.with_cells({base(run, "in_LifeYears"): 1}):
        assert run.read(f"Carbon!{column}{PLACE['worn']}") == pytest.approx(
            2 * devices
        )  # the first set, and that of the refresh
        assert figure(run, "worn", OWN) == pytest.approx(used_up(run, OWN))
    with run.with_cells({base(run, "in_LifeYears"): 12}):
        assert figure(run, "worn", OWN) == pytest.approx(devices * 3 / 12)


@pytest.mark.parametrize("option", [BOUGHT_REST, BOUGHT])
def test_what_nobody_states_is_no_zero(run: Run, option: int) -> None:
    assert sum(months(run, "over_h", option)) > 0
    for row in carbon.ROWS:
        if isinstance(row, Row) and row.unit in ("kgCO2e", "currency") and row.name not in ("run", "hour"):
            assert figure(run, row.name, option) == "not stated", row.name
    assert figure(run, "kwh", option) == "not stated"
    assert (figure(run, "fleet", option) > 0) == (option == BOUGHT_REST)


def test_per_million_tokens_and_hour(run: Run) -> None:
    for option in STATED:
        total = figure(run, "total", option)
        assert figure(run, "mtoken", option) == pytest.approx(total / sum(months(run, "served", option)))
        assert figure(run, "hour", option) == pytest.approx(total / sum(months(run, "done_h", option)))
        assert figure(run, "run", option) == "none"  # nothing is trained
    with run.with_cells({base(run, "in_Workload"): "both", base(run, "in_TrainTP"): 4}):
        for option in (OWN, SPOT):
            total, tokens = figure(run, "total", option), sum(months(run, "served", option))
            runs = sum(months(run, "train_h", option)) / run.read(LAYOUT.total("run_h", option))
            serving = figure(run, "mtoken", option) * tokens
            assert 0 < serving < total
            assert serving + figure(run, "run", option) * runs == pytest.approx(total)


def test_carbon_has_a_price_in_the_chosen_currency(run: Run) -> None:
    tonnes = figure(run, "operational", OWN) / 1000
    with run.with_cells({CURRENCY: "EUR", base(run, "in_CarbonPrice"): 80}):
        assert figure(run, "price", OWN) == pytest.approx(tonnes * 80 * CURRENCIES["EUR"].per_usd)


def regions(run: Run, top: int) -> list[list[Any]]:
    return [[run.read(f"Carbon!{c}{top + 1 + i}") for c in "ABCDE"] for i in range(len(REGIONS))]


@pytest.mark.parametrize("shown", [METERED_REST, OWN])
def test_the_same_fleet_elsewhere(run: Run, shown: int) -> None:
    with run.with_cells({DRAWN: shown + 1}):
        kwh, embodied, tokens = figure(run, "kwh", shown), figure(run, "embodied", shown), figure(run, "mtoken", shown)
        for key, grams, kilograms, each, _ in regions(run, ELSEWHERE):
            assert grams == pytest.approx(GRIDS[key].carbon_intensity * 3.6e9), key
            assert kilograms == pytest.approx(kwh * grams / 1000 + embodied), key
            assert each == pytest.approx(tokens * kilograms / figure(run, "total", shown)), key
        here = OPTIONS[shown].site
        with run.with_cells({f"Carbon!A{ELSEWHERE + 1}": here}):
            assert regions(run, ELSEWHERE)[0][2:4] == pytest.approx(
                [figure(run, n, shown) for n in ("total", "mtoken")]
            )


def test_regions_stand_lowest_first(run: Run) -> None:
    # two rows of the same grid share a figure and yet have a place each
    for changes in ({}, {f"Carbon!A{ELSEWHERE + 5}": REGIONS[0], f"Carbon!A{ELSEWHERE + 9}": REGIONS[0]}):
        with run.with_cells(changes):
            rows, ranked = regions(run, ELSEWHERE), regions(run, SORTED)
        assert sorted(r[4] for r in rows) == list(range(1, len(REGIONS) + 1))
        assert [r[2] for r in ranked] == list(range(1, len(REGIONS) + 1))
        grams = [r[1] for r in ranked]
        assert grams == sorted(grams)
        assert sorted((r[0], r[1], r[3], r[4]) for r in ranked) == sorted(tuple(r[:4]) for r in rows)


def test_bought_tokens_have_no_figure_elsewhere(run: Run) -> None:
    with run.with_cells({DRAWN: BOUGHT + 1}):
        assert {(r[2], r[3]) for r in regions(run, ELSEWHERE)} == {("not stated", "none")}
