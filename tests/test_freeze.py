"""A frozen book: what it answers without the add-in, what it says when it is stale, and the way back."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from frozen_cases import (
    OWN,
    has_error,
    inputs_of,
    is_derived,
    option_cell,
    option_cells,
    option_count,
    parts_of,
    shown,
    spot_at,
    styles_of,
    totals,
    used_spots,
    with_own_cells,
)

from udfs import FUNCTIONS
from udfs.libreoffice import find_soffice, recalculate
from workbook.__main__ import main
from workbook.cells import Cell
from workbook.engine import evaluate
from workbook.errors import WorkbookError
from workbook.freeze import changed_file, freeze, frozen
from workbook.freeze_grid import TOO_BIG, Asked, asked_of, compute, day_of
from workbook.frozen_book import Book, Spot
from workbook.frozen_sheet import Page
from workbook.package import Package, open_package
from workbook.refresh_styles import Styles
from workbook.sheets.engine import (
    CHECKED,
    DERIVED,
    FIRST_OPTION,
    KEPT,
    KEPT_AS_TEXT,
    NOT_IN_GRID,
    PLACE,
    ROW,
    TOO_LARGE,
)
from workbook.sheets.frozen import INPUTS, ROOTS, SHEET, TABLE
from workbook.sheets.inputs import SCENARIOS
from workbook.sheets.sweep import BEST_HEAD, FIRST, VERDICT
from workbook.thaw import thaw, thawed

pytestmark = pytest.mark.slow  # every test builds, changes and recalculates whole files

DAY = dt.date(2026, 11, 25)
ASKED = Asked(devices=("MI300X",), loads=(1, 32, 64))
NOTHING: dict[str, Any] = {}  # functions of a LibreOffice without ours


@dataclass(frozen=True)
class Files:
    """The live book with a user's cells, and the same frozen."""

    live: Path
    frozen: Path
    said: list[str]


@pytest.fixture(scope="module")
def files(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("freeze")
    live, cold = folder / "LIVE.xlsx", folder / "FROZEN.xlsx"
    changed_file(plan, live, with_own_cells)
    report = freeze(live, FUNCTIONS, out=cold, asked=ASKED, day=DAY)
    return Files(live, cold, report.sentences())


@pytest.fixture(scope="module")
def live(files: Files) -> Book:
    return Book.of(open_package(files.live))


@pytest.fixture(scope="module")
def cold(files: Files) -> Book:
    return Book.of(open_package(files.frozen))


def test_the_default_book_shows_the_same_live_and_frozen(live: Book, cold: Book) -> None:
    """Every number of every other sheet is the same to the last digit."""
    compared = 0
    aside = {"Engine", "Engine_Live", SHEET}
    for sheet, grid in live.grids.items():
        for (row, column), formula in grid.formulas.items():
            now = cold.grids[sheet].value(row, column)
            if (
                sheet not in aside
                and isinstance(formula.cached, float)
                and (sheet, row, column) != live.named("in_Live")
            ):
                assert now == formula.cached, f"{sheet}!{formula.at}"
                compared += 1
    for spot in used_spots(option_count(live)):
        assert cold.value(spot) == live.value(spot), spot
    assert compared > 5_000


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_engine_figures_are_the_same_in_every_scenario(live: Book, cold: Book, scenario: str) -> None:
    spots = used_spots(option_count(live))
    own = {("Inputs", live.named("in_SeqLen")[1], 7): 2048.0}  # the column Own, as far as it is filled in
    typed = {live.named("in_Scenario"): scenario, **(own if scenario == "Own" else {})}
    assert shown(cold, typed, spots, {}) == shown(live, typed, spots, FUNCTIONS)


SWITCHES: dict[str, tuple[dict[str, Cell], float, float, str]] = {
    "device": (
        {"device": "H100", "server": "DGX_H100", "devices_per_server": 8.0, "tp": 2.0}, 32.0, 32.0, "Base",
    ),
    "another device": ({"device": "MI300X", "server": "Server_8x_MI300X", "precision": "bf16"}, 1.0, 1.0, "Low"),
    "TP": ({"tp": 4.0}, 32.0, 32.0, "Base"),
    "precision": ({"precision": "bf16"}, 32.0, 32.0, "High"),
    "load between two": ({}, 33.0, 64.0, "Base"),
    "load below the smallest": ({"tp": 8.0}, 1.0, 1.0, "Own"),
}  # fmt: skip


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_answers_as_the_live_book_at_the_grid_point(live: Book, cold: Book, name: str) -> None:
    option, asked, point, scenario = SWITCHES[name]
    batch, chosen = live.named("in_Batch"), {live.named("in_Scenario"): scenario}
    spots = [
        *used_spots(1),
        *(("Engine", DERIVED[n], FIRST_OPTION) for n in ("per_device", "round", "attained_b", "known")),
    ]
    here = shown(cold, {**option_cells(cold, 1, **option), **chosen, batch: asked}, spots, {})
    there = shown(live, {**option_cells(live, 1, **option), **chosen, batch: point}, spots, FUNCTIONS)
    assert here == there
    assert isinstance(here[8], float)
    assert here[8] > 0


def test_what_is_not_in_the_grid_says_so_and_costs_nothing(cold: Book) -> None:
    """Recalculated as a whole: no error anywhere, money 0, words in the status, the others as before."""
    typed = {**option_cells(cold, 1, precision="fp16"), **option_cells(cold, 2, tp=8.0, precision="fp8")}
    changed = cold.with_inputs(typed)
    result = evaluate(changed.package, {}, grids=list(changed.grids.values()))
    assert result.missing == {}
    assert [key for key, value in result.values.items() if has_error(value)] == []
    status = {n: result.values["Options", option_cell(cold, n, "status")] for n in (1, 2, 3)}
    assert status == {1: NOT_IN_GRID, 2: "ok", 3: "ok"}
    tables = {n: result.values["Options", option_cell(cold, n, "servers_used")] for n in (2, 3)}
    assert all(isinstance(v, float) and v > 0 for v in tables.values())
    before = {(f.sheet, f.at): f.cached for g in cold.grids.values() for f in g.formulas.values()}
    cash = totals(cold, "Net cash cost before tax")
    assert result.values["Monthly", cash[0]] == 0.0
    assert result.values["Monthly", cash[2]] == before["Monthly", cash[2]] != 0.0


def test_a_load_beyond_the_grid_and_a_book_not_thawed_say_so(cold: Book) -> None:
    word = [("Engine", ROW["rate"], FIRST_OPTION), ("Engine", DERIVED["known"], FIRST_OPTION)]
    assert shown(cold, {cold.named("in_Batch"): 65.0}, word, {}) == [TOO_LARGE, 0.0]
    assert shown(cold, {cold.named("in_Engine"): "live"}, word, {}) == [KEPT_AS_TEXT, 0.0]
    at = [("Engine", PLACE["load"], FIRST_OPTION)]
    assert shown(cold, {cold.named("in_Batch"): 2.0}, at, {}) == [32.0]


def test_staleness_is_counted_and_named(cold: Book) -> None:
    wanted = [cold.named("out_Stale"), cold.named("out_StaleNames")]
    hardware = cold.tables["tblHardware"]
    row = hardware.area.top + 1 + cold.keys("tblHardware").index("H100")
    bandwidth = next(i for i, c in enumerate(hardware.columns) if c.startswith("bandwidth"))
    memory = (hardware.area.sheet, row, hardware.area.left + bandwidth)
    base = {name: (spot[0], spot[1], 5) for name in ("in_SeqLen", "in_Model") for spot in [cold.named(name)]}
    low = ("Inputs", cold.named("in_Efficiency")[1], 4)
    label = {n: cold.value((s[0], s[1], 1)) for n in ("in_SeqLen", "in_Model") for s in [cold.named(n)]}

    def said(cells: Mapping[Spot, Cell]) -> list[Cell]:
        return shown(cold, cells, wanted, {})

    assert said({}) == [0.0, "none"]
    assert said({base["in_SeqLen"]: 4096.0}) == [1.0, label["in_SeqLen"]]
    assert said({memory: 1234.0}) == [1.0, "Device H100"]
    assert said({base["in_Model"]: "Llama3_8B"}) == [1.0, label["in_Model"]]
    both = {base["in_SeqLen"]: 4096.0, base["in_Model"]: "Llama3_8B", memory: 1234.0}
    assert said(both) == [3.0, f"{label['in_Model']}; {label['in_SeqLen']}; Device H100"]
    assert said({low: 0.5}) == [0.0, "none"]  # of a scenario that is not shown
    assert said({low: 0.5, cold.named("in_Scenario"): "Low"})[0] == 1.0
    state = shown(cold, {base["in_SeqLen"]: 4096.0}, [("Engine", 3, 1)], {})
    assert "STALE" in str(state[0])
    assert str(label["in_SeqLen"]) in str(state[0])


def test_walls_and_sweep_say_of_what_they_are_frozen(cold: Book) -> None:
    walls, verdict, best = ("Walls", 6, 1), ("Sweep", VERDICT, 1), ("Sweep", BEST_HEAD + 1, 1)
    now = shown(cold, {}, [walls, verdict, best], {})
    assert str(now[0]).startswith("What binds Llama3_8B on H100: ")
    assert "configurations pass" in str(now[1])
    assert isinstance(now[2], float)
    other: dict[Spot, Cell] = {("Walls", 5, 3): "A100", ("Sweep", FIRST, 2): "max itl"}
    then = shown(cold, other, [walls, verdict, best], {})
    assert str(then[0]).startswith("Frozen for Llama3_8B on H100: ")
    assert str(then[1]).startswith("Frozen: the answers below are those of other axes")
    assert then[2] == ""


def test_every_input_of_the_engine_is_watched(live: Book) -> None:
    """What the engine's formulas read on Inputs is in the table, or follows from what is."""
    figures = [live.grids["Engine_Live"].formulas[ROW[f.name], FIRST_OPTION] for f in KEPT]
    names = {spot: name for name in live.names if name.startswith("in_") for spot in [live.named(name)]}
    table = live.tables[INPUTS]
    watched = {str(n) for n in live.column(INPUTS, "name")}
    assert set(ROOTS) < watched
    assert table.area.shape[0] - 1 == len(watched)
    # prices and sites make the specifications of options that are not frozen; the key holds load and scenario
    apart = {"in_Batch", "in_Scenario", "in_Model", "in_TrainModel"}
    first = option_cells(live, 1, device_spec="", server_spec="", train_spec="")
    targets = [*figures, *(live.grids[s].formulas[r, c] for s, r, c in first)]
    asked: set[Spot] = set()
    for formula in targets:
        asked |= inputs_of(live, formula, set(first))
    read = {names[s] for s in asked if s in names}
    leaves = {n for n in read if not is_derived(live, live.named(n), names)}
    assert leaves - apart <= watched
    assert {"in_SeqLen", "in_TrainServers", "in_Efficiency"} <= leaves


def test_no_error_without_our_functions(cold: Book) -> None:
    result = evaluate(cold.package, {}, grids=list(cold.grids.values()))
    assert result.missing == {}
    assert [key for key, value in result.values.items() if has_error(value)] == []
    texts = [f for g in cold.grids.values() for f in g.formulas.values() if "MLS_" in f.text.upper()]
    assert texts == []


@pytest.mark.libreoffice
@pytest.mark.skipif(find_soffice() is None, reason="no LibreOffice here")
def test_no_error_in_libreoffice_without_our_functions(files: Files, cold: Book, tmp_path: Path) -> None:
    out = recalculate(files.frozen, tmp_path, f"{Path(__file__).stem}:NOTHING", timeout=300)
    book = openpyxl.load_workbook(out, data_only=True, read_only=True)
    errors, compared = [], 0
    for sheet, grid in cold.grids.items():
        for r, row in enumerate(book[sheet].iter_rows(values_only=True), start=1):
            for c, value in enumerate(row, start=1):
                if isinstance(value, str) and value in {
                    "#N/A",
                    "#NAME?",
                    "#VALUE!",
                    "#REF!",
                    "#DIV/0!",
                    "#NUM!",
                    "#NULL!",
                }:
                    errors.append((sheet, r, c))
                formula = grid.formulas.get((r, c))
                if formula is not None and isinstance(formula.cached, float) and isinstance(value, int | float):
                    assert value == pytest.approx(formula.cached, rel=1e-9, abs=1e-9), (sheet, formula.at)
                    compared += 1
    assert errors == []
    assert compared > 5_000


def test_thaw_puts_everything_back(files: Files, live: Book, tmp_path: Path) -> None:
    """Formulas, what they fill, inputs, values; and every part that is not a sheet of the engine byte for byte."""
    back = tmp_path / "BACK.xlsx"
    said = thaw(files.frozen, FUNCTIONS, out=back).sentences()
    count = sum("MLS_" in f.text for g in live.grids.values() for f in g.formulas.values())
    assert said[0] == f"{count} formulas are back."
    again = Book.of(open_package(back))
    assert again.grids.keys() == live.grids.keys()
    for sheet, grid in live.grids.items():
        here = again.grids[sheet]
        assert here.inputs == grid.inputs, sheet
        assert here.covered == grid.covered, sheet
        for at, formula in grid.formulas.items():
            assert parts_of(here.formulas[at]) == parts_of(formula), (sheet, formula.at)
        assert here.formulas.keys() == grid.formulas.keys()
    assert {t.name: t.area for t in again.tables.values()} == {t.name: t.area for t in live.tables.values()}
    assert styles_of(again, "Engine_Live") == styles_of(live, "Engine_Live")
    foreign = [
        p
        for p in live.package.parts
        if not p.startswith(("xl/worksheets/sheet", "xl/tables/")) and p != "xl/styles.xml"
    ]
    assert len(foreign) > 10
    assert [p for p in foreign if again.package.parts[p] != live.package.parts[p]] == []


def test_other_parts_of_a_frozen_book_keep_their_bytes(live: Book, cold: Book) -> None:
    foreign = [
        p
        for p in live.package.parts
        if not p.startswith(("xl/worksheets/sheet", "xl/tables/")) and p != "xl/styles.xml"
    ]
    assert [p for p in foreign if cold.package.parts[p] != live.package.parts[p]] == []
    names = {sheet.part: sheet.name for sheet in live.package.sheets()}
    changed = {names[p] for p in names if cold.package.parts[p] != live.package.parts[p]}
    assert {"Engine_Live", "Engine", SHEET, "Inputs"} <= changed
    assert not changed & {"Reg_Hardware", "Reg_Models", "Reg_Sources", "Prices", "Functions", "Lines"}


def test_formulas_are_kept_as_text_in_their_cells(live: Book, cold: Book) -> None:
    for figure in KEPT:
        for i in range(option_count(live)):
            at = ROW[figure.name], FIRST_OPTION + i
            assert cold.grids["Engine_Live"].inputs[at] == f"={live.grids['Engine_Live'].formulas[at].text}"
    root, xfs = cold.package.xml(cold.grids["Engine_Live"].part), cold.package.xml("xl/styles.xml").find("{*}cellXfs")
    assert xfs is not None
    cell = next(c for c in root.iter("{*}c") if c.get("r") == f"D{ROW['rate']}")
    assert xfs[int(cell.get("s", "0"))].get("quotePrefix") == "1"
    assert set(CHECKED).isdisjoint(cold.tables[TABLE].columns)


def test_a_users_own_cells_keep_values_and_formulas(live: Book, cold: Book) -> None:
    for at in ("Q3", "Q5", "Q6", "S5", "T5"):
        assert cold.value(spot_at("Inputs", at)) == live.value(spot_at("Inputs", at)) is not None
    assert cold.grids["Inputs"].formulas[4, 17].text == "Q3*2"
    kept = dict(zip(cold.column("tblKept", "cell"), cold.column("tblKept", "formula"), strict=True))
    assert kept["Q3"] == OWN["Q3"][0]
    assert kept["Q5"] == OWN["Q5"][0]


def test_the_grid_holds_what_was_asked_and_leaves_out_what_does_not_fit(cold: Book, files: Files) -> None:
    keys, loads = cold.column(TABLE, "key"), cold.column(TABLE, "load")
    assert set(loads) == {1.0, 32.0, 64.0}
    assert {str(k).split("|")[0] for k in keys} >= {"B200", "H100", "MI300X"}
    assert list(zip(keys, loads, strict=True)) == sorted(
        zip(keys, loads, strict=True), key=lambda pair: (str(pair[0]).casefold(), pair[1])
    )
    share = cold.column(TABLE, "memory_share")
    assert all(isinstance(s, float) and s <= 1 for s in share)
    assert not any(str(k).startswith("H100|DGX_H100|8|bf16|1|") for k in keys)  # 140 GB of weights on 80 GB
    assert any(TOO_BIG in line for line in files.said)


def test_what_cannot_be_frozen_is_refused_and_left_alone(files: Files, tmp_path: Path) -> None:
    package = open_package(files.live)
    cold = open_package(files.frozen)
    with pytest.raises(WorkbookError, match="is frozen already; thaw it first"):
        frozen(cold, FUNCTIONS, Asked(), DAY)
    with pytest.raises(WorkbookError, match="is not frozen; there is nothing to thaw"):
        thawed(package, FUNCTIONS)
    with pytest.raises(WorkbookError, match="no device 'H1000'"):
        compute(package, Asked(devices=("H1000",)), FUNCTIONS)
    with pytest.raises(WorkbookError, match="precision 'fp7' is not one of"):
        compute(package, Asked(precisions=("fp7",)), FUNCTIONS)
    for loads in ("0", "1.5", "x", ""):
        with pytest.raises(WorkbookError, match="loads"):
            asked_of(None, loads, None)
    with pytest.raises(WorkbookError, match="date is a day"):
        day_of("25.11.2026")
    book = tmp_path / "MINE.xlsx"
    shutil.copy(files.frozen, book)
    (tmp_path / "~$MINE.xlsx").write_bytes(b"")
    with pytest.raises(WorkbookError, match="open in another program"):
        thaw(book, FUNCTIONS)
    assert book.read_bytes() == files.frozen.read_bytes()
    other = openpyxl.Workbook()
    other.save(tmp_path / "OTHER.xlsx")
    with pytest.raises(WorkbookError, match="was not built by this version"):
        freeze(tmp_path / "OTHER.xlsx", FUNCTIONS)


def test_a_cell_that_was_changed_meanwhile_stops_thaw(cold: Book) -> None:
    package = Package(dict(cold.package.parts), cold.package.path)
    page = Page(package, cold.grids["Inputs"].part, Styles(package))
    page.put(3, 17, 7.0)
    page.save()
    with pytest.raises(WorkbookError, match=r"Inputs!Q3 holds 7\.0 and not what freeze left there"):
        thawed(package, FUNCTIONS)


def test_the_command_replaces_in_one_step_and_keeps_a_copy(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "PLAN.xlsx"
    shutil.copy(files.live, book)
    assert main(["freeze", str(book), "--devices", "MI300X", "--loads", "1,32,64", "--date", "2026-11-25"]) == 0
    said = capsys.readouterr().out
    assert "rows of engine figures" in said
    assert "wrote" in said
    (backup,) = tmp_path.glob("PLAN.*.bak.xlsx")
    assert backup.read_bytes() == files.live.read_bytes()
    assert book.read_bytes() == files.frozen.read_bytes()  # same book, same day: same bytes
    assert main(["freeze", str(book)]) == 1
    assert "frozen already" in capsys.readouterr().err
