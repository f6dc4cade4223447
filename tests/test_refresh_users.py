"""Refresh: what the user changed, deleted, added or wrote beside the tables stays the user's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from refresh_cases import changed_facts, drop, keyed, newest, older, put, rows_of, save, table_of, write

from mlsysim.things import HARDWARE, PRICES
from workbook.caches import SheetCells
from workbook.package import main as tag
from workbook.package import open_package
from workbook.refresh import refresh
from workbook.refresh_plan import SOURCES
from workbook.sheets.registries import TABLES

pytestmark = pytest.mark.slow  # every test builds, changes and recalculates whole files

CHIPS = TABLES[HARDWARE.kind]


@pytest.fixture(scope="module")
def old(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workbook of an older version."""
    return older(plan, tmp_path_factory.mktemp("older") / "OLD.xlsx")


def edited(source: Path, target: Path, change: Callable[[Any], None]) -> Path:
    package = open_package(source)
    change(package)
    return save(package.parts, target)


def test_rows_and_names_of_the_user_are_respected(old: Path, tmp_path: Path) -> None:
    """A deleted row is not added again, a taken name stays the user's, a formula or a blank is an edit too."""
    first, second, third, fourth, fifth = [*HARDWARE][:5]
    new = newest()[CHIPS]

    def change(package: Any) -> None:
        assert drop(package, CHIPS, lambda row: row["key"] == first) == 1
        mine = {
            second: {"bandwidth (GB per s)": 555.0},
            third: {"bandwidth (GB per s)": None, "title": "Our own title"},
            fifth: {"key": new[0]},
        }
        assert write(package, CHIPS, lambda row: mine.get(row["key"], {})) == len(mine)
        table, grid = table_of(package, CHIPS)
        root = package.xml(grid.part)
        row = next(r for r in range(6, table.area.bottom) if grid.value(r, 1) == fourth)
        cell = SheetCells(root).cell(row, table.columns.index("bandwidth (GB per s)") + 1)
        cell.insert(0, etree.Element(tag("f")))
        cell[0].text = "100+4"
        package.put(grid.part, root)

    path = edited(old, tmp_path / "a.xlsx", change)
    before = keyed(path, CHIPS)
    lines = refresh(path).sentences()
    now = keyed(path, CHIPS)
    assert first not in now
    assert f"kept: {CHIPS} {first}: you removed this row, it is not added again" in lines
    assert now[second]["bandwidth (GB per s)"] == 555.0
    assert any(f"{CHIPS} {second}, bandwidth (GB per s): yours, 555;" in line for line in lines)
    assert now[third]["bandwidth (GB per s)"] is None
    assert now[third]["title"] == "Our own title"
    assert now[fourth]["bandwidth (GB per s)"] == before[fourth]["bandwidth (GB per s)"]
    assert {**now[new[0]], "spec": ""} == {**before[new[0]], "spec": ""}
    assert str(now[new[0]]["spec"]).startswith(f"{new[0]}; ")  # what follows from the user's cell is computed
    assert f"kept: {CHIPS} {new[0]}: your own row of this name; ours is not added" in lines
    assert not any(row["key"] == new[0] for row in rows_of(path, SOURCES))
    again = refresh(path)
    assert again.changes == 0
    assert [line for line in again.sentences() if line.startswith("kept")] == [
        k for k in lines if k.startswith("kept:")
    ]


def test_the_date_of_a_price_follows_only_its_own_figure(old: Path, tmp_path: Path) -> None:
    """Where the amount is the user's, the date and source beside it are not moved to ours."""
    key = next(iter(PRICES))

    def change(package: Any) -> None:
        name, own = TABLES[PRICES.kind], {"amount (USD)": 4242.0, "as_of": 40000.0}
        assert write(package, name, lambda r: own if r["key"] == key else {}) == 1
        assert write(package, SOURCES, lambda r: {"as_of": 40000.0} if r["key"] == key else {})

    path = edited(old, tmp_path / "a.xlsx", change)
    refresh(path)
    row = keyed(path, TABLES[PRICES.kind])[key]
    assert (row["amount (USD)"], row["as_of"]) == (4242.0, 40000.0)


def test_notes_below_a_table_are_never_overwritten(old: Path, tmp_path: Path) -> None:
    """The table then takes no new rows, nor do tables take rows that need them; the rest is refreshed."""

    def change(package: Any) -> None:
        table, grid = table_of(package, CHIPS)
        root = package.xml(grid.part)
        put(SheetCells(root).cell(table.area.bottom + 2, 4), "my note")
        package.put(grid.part, root)

    path = edited(old, tmp_path / "a.xlsx", change)
    bottom = table_of(open_package(path), CHIPS)[0].area.bottom
    lines = refresh(path).sentences()
    table, grid = table_of(open_package(path), CHIPS)
    assert (table.area.bottom, grid.value(bottom + 2, 4)) == (bottom, "my note")
    new = newest()
    for key in new[CHIPS]:
        assert f"left out: {CHIPS} {key} (new): {table.area.sheet}!D{bottom + 2} below it is filled" in lines
    for key in new["tblNodes"]:
        assert f"left out: tblNodes {key} (new): it needs {new[CHIPS][-1]}, which this file does not have" in lines
    assert not {row["key"] for row in rows_of(path, SOURCES)} & {*new[CHIPS]}
    key = changed_facts()[0][1]
    assert keyed(path, CHIPS)[key]["bandwidth (GB per s)"] != 101.0
    assert refresh(path).changes == 0

    def clear(package: Any) -> None:
        root = package.xml(grid.part)
        put(SheetCells(root).cell(bottom + 2, 4), None)
        package.put(grid.part, root)

    free = edited(path, tmp_path / "b.xlsx", clear)
    refresh(free)
    assert {*new[CHIPS]} <= {*keyed(free, CHIPS)}
