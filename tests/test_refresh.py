"""Refresh: shipped facts come up to date, everything of the user's stays, and no accident costs a file."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from lxml import etree
from refresh_cases import (
    changed_facts,
    foreign,
    keyed,
    newest,
    older,
    parts_of,
    rows_of,
    save,
    state,
    table_of,
)
from refresh_user import OWN, as_excel_saves, furnish

from mlsysim.things import HARDWARE, PRICES
from workbook.__main__ import main
from workbook.cells import read_grids
from workbook.check import check
from workbook.package import main as tag
from workbook.package import open_package
from workbook.refresh import refresh
from workbook.refresh_plan import SOURCES
from workbook.refresh_styles import MARK
from workbook.sheets.registries import TABLES

pytestmark = pytest.mark.slow  # every test builds, changes and recalculates whole files

OURS = {*TABLES.values(), SOURCES}
CHIPS = TABLES[HARDWARE.kind]


@pytest.fixture(scope="module")
def old(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workbook of an older version."""
    return older(plan, tmp_path_factory.mktemp("older") / "OLD.xlsx")


@pytest.fixture(scope="module")
def full(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after a year of use."""
    package = open_package(old)
    furnish(package)
    return save(package.parts, tmp_path_factory.mktemp("full") / "FULL.xlsx")


@pytest.fixture(scope="module")
def excel(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as Excel saves it, with macros."""
    package = open_package(old)
    furnish(package, macros=True)
    as_excel_saves(package)
    return save(package.parts, tmp_path_factory.mktemp("excel") / "EXCEL.xlsm")


@pytest.fixture(scope="module")
def results(old: Path, full: Path, excel: Path) -> dict[str, tuple[Path, Path]]:
    """Each of the three, before and after."""
    out = {}
    for name, before in (("old", old), ("full", full), ("excel", excel)):
        after = before.with_name(f"NEW{before.suffix}")
        refresh(before, out=after)
        out[name] = before, after
    return out


# ------------------------------------------------------------------ what it does


@pytest.mark.parametrize("which", ["old", "full", "excel"])
def test_every_shipped_row_says_what_a_new_workbook_says(
    which: str, results: dict[str, tuple[Path, Path]], plan: Path
) -> None:
    for name in {t.name for t in open_package(plan).tables()} & OURS - {SOURCES}:
        now, wanted = keyed(results[which][1], name), keyed(plan, name)
        for key, row in wanted.items():
            mine = which != "old" and "usable = 77.25 GB" in str(now[key].get("spec"))
            others = [c for c in row if not (mine and c in ("usable (GB)", "spec"))]
            differing = {c: (now[key][c], row[c]) for c in others if (now[key][c] or None) != (row[c] or None)}
            assert not differing, (name, key)
        assert len(now) == len(wanted) + (OWN if which != "old" and name == CHIPS else 0)
    facts = {(r["registry"], r["key"], r["field"]): r for r in rows_of(plan, SOURCES)}
    for row in rows_of(results[which][1], SOURCES):
        wanted = facts.pop((row["registry"], row["key"], row["field"]))
        assert {c: v for c, v in row.items() if c != "note"} == {c: v for c, v in wanted.items() if c != "note"}
        assert str(row["note"] or "").startswith(str(wanted["note"] or ""))
    assert not facts


@pytest.mark.parametrize("which", ["full", "excel"])
def test_every_other_part_keeps_its_bytes(which: str, results: dict[str, tuple[Path, Path]]) -> None:
    before, after = (parts_of(path) for path in results[which])
    assert [*before] == [*after]
    kept = foreign(before, OURS, open_package(results[which][0]))
    wanted = ["xl/charts/chart99.xml", "xl/comments99.xml", "xl/drawings/vmlDrawing99.vml", "customXml/item1.xml"]
    wanted += ["xl/pivotCache/pivotCacheDefinition1.xml", "xl/pivotCache/pivotCacheRecords1.xml"]
    wanted += ["xl/vbaProject.bin", "xl/sharedStrings.xml"] if which == "excel" else []
    assert {*wanted} <= {*kept}
    assert [name for name in kept if before[name] != after[name]] == []


@pytest.mark.parametrize("which", ["full", "excel"])
def test_the_users_cells_stay(which: str, results: dict[str, tuple[Path, Path]]) -> None:
    """Every cell outside the shipped rows, with its format, and the edited figure among them."""
    before, after = (open_package(path) for path in results[which])
    table, grid = table_of(before, CHIPS)
    now = table_of(after, CHIPS)[1]
    area = table.area
    mine = [at for at in {**grid.inputs, **grid.formulas} if at[1] > area.right or at[0] < area.top]
    assert sum("ask the vendor" in str(grid.value(*at)) for at in mine) == OWN // 3
    assert [at for at in mine if grid.value(*at) != now.value(*at)] == []
    old_rows, new_rows = keyed(results[which][0], CHIPS), keyed(results[which][1], CHIPS)
    assert [key for key in old_rows if key.startswith("Own") and old_rows[key] != new_rows[key]] == []
    edited = [key for key, row in old_rows.items() if row["usable (GB)"] == 77.25]
    assert [new_rows[key]["usable (GB)"] for key in edited] == [77.25]
    part = grid.part
    roots = [package.xml(part) for package in (before, after)]
    assert [r.get("{http://schemas.openxmlformats.org/markup-compatibility/2006}Ignorable") for r in roots][1:] == [
        "x14ac xr" if which == "excel" else None
    ]
    for element in ("drawing", "legacyDrawing", "cols", "sheetViews", "tableParts"):
        assert len({etree.tostring(r.find(tag(element)), method="c14n") for r in roots}) == 1


@pytest.mark.parametrize("which", ["full", "excel"])
def test_what_reached_down_the_table_still_does(which: str, results: dict[str, tuple[Path, Path]]) -> None:
    package = open_package(results[which][1])
    table, grid = table_of(package, CHIPS)
    before = table_of(open_package(results[which][0]), CHIPS)[0].area
    assert table.area.bottom == before.bottom + len(newest()[CHIPS])
    root, part = package.xml(grid.part), package.xml(table.part)
    assert {e.get("ref") for e in part.iter(tag("table"), tag("autoFilter"))} == {part.get("ref")}
    ranges = [e.get("sqref") for e in root.iter(tag("conditionalFormatting"), tag("dataValidation"))]
    ranges += [e.text for e in root.iter("{*}sqref")]
    ends = {int(re.findall(r"\d+", text or "")[-1]) for text in ranges if ":" in (text or "")}
    assert ends == {table.area.bottom}
    assert len([text for text in ranges if ":" in (text or "")]) >= 3
    names = {n.name: n.text for n in package.names()}
    assert names["own_keys"].endswith(f"${table.area.bottom}")
    assert root.find(tag("dimension")).get("ref", "").endswith(str(table.area.bottom))
    if which == "excel":
        chain = next(r.target for r in package.relations(package.workbook_part) if r.kind == "calcChain")
        ids = {s.get("sheetId"): s.get("name") for s in package.xml(package.workbook_part).iter(tag("sheet"))}
        listed = [(ids[c.get("i")], c.get("r")) for c in package.xml(chain)]
        there = {(f.sheet, f.at) for g in read_grids(package) for f in g.formulas.values()}
        assert len(listed) == len(set(listed))
        assert set(listed) == there


def test_changed_cells_are_marked_and_no_others(results: dict[str, tuple[Path, Path]]) -> None:
    before, after = results["excel"]
    book = openpyxl.load_workbook(after, keep_vba=True)
    table = table_of(open_package(after), CHIPS)[0]
    sheet, area = book[table.area.sheet], table.area
    first = table_of(open_package(before), CHIPS)[0].area.bottom
    at = {c: area.left + i for i, c in enumerate(table.columns)}
    marked = {
        (sheet.cell(r, at["key"]).value, c)
        for r in range(area.top + 1, area.bottom + 1)
        for c, column in at.items()
        if sheet.cell(r, column).fill.fgColor.rgb == MARK
    }
    facts = {(k, {"bandwidth": "bandwidth (GB per s)", "tdp": "tdp (W)"}[n]) for r, k, n, *_ in changed_facts()
             if r is HARDWARE}  # fmt: skip
    assert facts <= marked
    fresh = {sheet.cell(r, at["key"]).value for r in range(first + 1, area.bottom + 1)}
    assert fresh == {*newest()[CHIPS]}
    others = {m for m in marked if m[0] not in fresh} - facts
    assert others == {(next(iter(HARDWARE)), "source")}
    styles = [open_package(path).xml("xl/styles.xml") for path in (before, after)]
    for name in ("cellXfs", "fills", "fonts", "cellStyles", "dxfs", "borders", "cellStyleXfs"):
        lists = [[etree.tostring(e, method="c14n") for e in root.find(tag(name))] for root in styles]
        assert lists[1][: len(lists[0])] == lists[0]
        assert len(lists[1]) == len(lists[0]) or name in ("cellXfs", "fills")
    notes = [str(row["note"]) for row in rows_of(after, SOURCES) if "[refreshed to " in str(row["note"])]
    assert sum(": was " in note for note in notes) >= len(changed_facts())
    assert any(": new]" in note for note in notes)


@pytest.mark.parametrize("which", ["old", "full", "excel"])
def test_the_result_is_sound(which: str, results: dict[str, tuple[Path, Path]], plan: Path, tmp_path: Path) -> None:
    """`check` finds no more than in a new workbook, Excel is asked to compute, and a second run does nothing."""
    before, after = results[which]
    assert set(check(after)) <= {*check(before), *check(plan)}
    package = open_package(after)
    assert package.xml(package.workbook_part).find(tag("calcPr")).get("fullCalcOnLoad") == "1"
    again = tmp_path / after.name
    shutil.copy(after, again)
    was = state(again)
    report = refresh(again)
    assert report.changes == 0
    assert report.written is report.backup is None
    assert (state(again), [*tmp_path.iterdir()]) == (was, [again])


def test_in_place_keeps_a_dated_backup_and_the_link(old: Path, tmp_path: Path, capsys: Any) -> None:
    real = tmp_path / "real.xlsx"
    shutil.copy(old, real)
    real.chmod(0o640)
    link = tmp_path / "link.xlsx"
    link.symlink_to(real)
    assert main(["refresh", str(link), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert real.read_bytes() == old.read_bytes()
    assert main(["refresh", str(link)]) == 0
    assert capsys.readouterr().out.startswith(said.rstrip("\n"))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    backups = [p for p in tmp_path.iterdir() if re.fullmatch(r"real\.\d{8}-\d{6}\.bak\.xlsx", p.name)]
    assert [p.read_bytes() for p in backups] == [old.read_bytes()]
    assert sorted(tmp_path.iterdir()) == sorted([real, link, *backups])
    for registry, key, name, _, value in changed_facts():
        fact = registry[key].facts[name]
        line = rf"changed: {TABLES[registry.kind]} {re.escape(key)}, {name}.*: {value:g} -> .* "
        assert re.search(line + re.escape(f"({fact.source.title}, {fact.source.as_of})"), said)
    for key in newest()[CHIPS]:
        assert re.search(rf"new: {CHIPS} {re.escape(key)}, .* \(.*, \d{{4}}-\d\d-\d\d\)", said)


def test_the_registries_in_another_order_and_under_other_names(old: Path, tmp_path: Path, plan: Path) -> None:
    package = open_package(old)
    root = package.xml(package.workbook_part)
    sheet = table_of(package, CHIPS)[0].area.sheet
    data = etree.tostring(root).replace(f'name="{sheet}"'.encode(), b'name="Our &amp; chips"')
    data = data.replace(f"'{sheet}'!".encode(), b"'Our &amp; chips'!").replace(
        f">{sheet}!".encode(), b">'Our &amp; chips'!"
    )
    package.parts[package.workbook_part] = data
    path = save(package.parts, tmp_path / "a.xlsx")
    refresh(path)
    assert keyed(path, CHIPS) == keyed(plan, CHIPS)
    area = next(n for n in open_package(path).xml("xl/workbook.xml").iter(tag("definedName"))
                if "Our & chips" in (n.text or "") and n.get("name") == "_xlnm.Print_Area")  # fmt: skip
    assert int(re.findall(r"\d+", area.text or "")[-1]) == table_of(open_package(path), CHIPS)[0].area.bottom


# ------------------------------------------------------------------ opened elsewhere


@pytest.mark.libreoffice
@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
@pytest.mark.parametrize("which", ["full", "excel"])
def test_libreoffice_opens_it(which: str, results: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    after = results[which][1]
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    command = [
        "soffice",
        "--headless",
        profile,
        "--convert-to",
        "xlsx:Calc MS Excel 2007 XML",
        "--outdir",
        str(tmp_path),
    ]
    subprocess.run(["timeout", "-k", "5", "170", *command, str(after)], stdin=subprocess.DEVNULL, capture_output=True)
    sheet = table_of(open_package(after), CHIPS)[0].area.sheet
    shown = openpyxl.load_workbook(tmp_path / "NEW.xlsx", data_only=True)[sheet]
    wanted = openpyxl.load_workbook(after, data_only=True)[sheet]
    for row, there in zip(wanted.iter_rows(values_only=True), shown.iter_rows(values_only=True), strict=False):
        for a, b in zip(row, there, strict=False):
            assert (a or "") == (b or "") or a == pytest.approx(b), row[0]


@pytest.mark.libreoffice
@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_a_file_that_libreoffice_saved(old: Path, plan: Path, tmp_path: Path) -> None:
    """It writes TRUE() for TRUE and no formulas of columns; the refreshed rows are the same all the same."""
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    command = [
        "soffice",
        "--headless",
        profile,
        "--convert-to",
        "xlsx:Calc MS Excel 2007 XML",
        "--outdir",
        str(tmp_path),
    ]
    subprocess.run(["timeout", "-k", "5", "170", *command, str(old)], stdin=subprocess.DEVNULL, capture_output=True)
    saved = tmp_path / old.name
    assert refresh(saved).changes > 0
    assert refresh(saved).changes == 0
    for name in (CHIPS, TABLES[PRICES.kind]):
        now, wanted = keyed(saved, name), keyed(plan, name)
        assert {*now} == {*wanted} != set()
        differing = {
            (key, c): (now[key][c], v)
            for key, row in wanted.items()
            for c, v in row.items()
            if (now[key][c] or None) != (v or None)
        }
        assert not differing


def test_calculated_columns_agree_with_a_new_workbook(results: dict[str, tuple[Path, Path]], plan: Path) -> None:
    """Also those of rows that name a changed row."""
    for name in ("tblNodes", "tblFleets", "tblHardware"):
        specs = {k: row["spec"] for k, row in keyed(plan, name).items()}
        assert {k: row["spec"] for k, row in keyed(results["old"][1], name).items()} == specs


def test_marks_say_the_day_of_no_fact_later_than_ours(results: dict[str, tuple[Path, Path]]) -> None:
    days = [row["as_of"] for row in rows_of(results["old"][1], SOURCES)]
    assert max(days) <= (dt.date.today() - dt.date(1899, 12, 30)).days
