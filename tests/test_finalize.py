"""From draft to shipped file: cached values, spills, determinism, nothing lost; and what `check` finds."""

from __future__ import annotations

import hashlib
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from lxml import etree
from openpyxl.chart import LineChart, Reference
from openpyxl.formatting.rule import CellIsRule
from openpyxl.styles import PatternFill
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.formula import ArrayFormula
from openpyxl.worksheet.table import Table
from python_calamine import CalamineWorkbook
from test_whitelist import recalculated_by_libreoffice

from workbook.cells import read_grids
from workbook.check import check
from workbook.errors import WorkbookError
from workbook.finalize import finalize
from workbook.package import CONTENT_TYPES, main, open_package

AWKWARD = "O'Neil's «Größe» 1"
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "MLS_KV": lambda layers, heads, dim, tokens, batch=None: 4 * layers * heads * dim * tokens * (batch or 1.0) / 1e9,
    "MLS_METRICS": lambda: [["ttft", 12.5, "ms"], ["ok", True, None], ["share", 1 / 3, "\x0b _x0041_ "]],
    "MLS_TEXT": lambda: " ünï <&> ",
    "MLS_REFUSE": lambda: "#MLS! no such device",
}


def draft(path: Path, *, change: Callable[[Any], None] | None = None) -> Path:
    """A workbook with one of everything that we write."""
    book = openpyxl.Workbook()
    live = book.active
    assert live is not None
    live.title = AWKWARD
    live["A1"], live["A2"], live["A3"] = "=MLS_KV(32,8,128,4096,32)", "=A1*3", "=IF(MLS_KV(1,1,1,1)>0,MLS_TEXT(),0)"
    live["A4"], live["A5"], live["A6"], live["A7"] = "=MLS_TEXT()", "=1/3", "=A5=1/3", '=""'
    live["C1"] = "=MLS_METRICS()"
    live["C6"] = "=SUM(C1:E3)"
    live["G1"] = ArrayFormula("G1:G2", "=MLS_METRICS()")
    live["G8"] = ArrayFormula("G8", "=SUM(A1:A2)")
    checks = book.create_sheet("Checks")
    checks.append(["id", "check", "value", "tolerance", "pass"])
    checks.append(["kv", "KV cache by hand", f"='{AWKWARD.replace(chr(39), chr(39) * 2)}'!A1-17.179869184", 1e-9, None])
    checks["E2"] = "=ABS(tblChecks[[#This Row],[value]])<=tblChecks[[#This Row],[tolerance]]"
    table = Table(displayName="tblChecks", ref="A1:E2")
    table._initialise_columns()
    for column, name in zip(table.tableColumns, ["id", "check", "value", "tolerance", "pass"], strict=True):
        column.name = name
    checks.add_table(table)
    checks.conditional_formatting.add("E2", CellIsRule("equal", ["FALSE"], fill=PatternFill("solid", bgColor="FFC7CE")))
    validation = DataValidation("list", formula1='"fp8,fp16"')
    validation.add("H1")
    checks.add_data_validation(validation)
    chart = LineChart()
    chart.add_data(Reference(live, min_col=1, min_row=1, max_row=2))
    live.add_chart(chart, "J2")
    book.defined_names["in_Rate"] = DefinedName("in_Rate", attr_text="Checks!$D$2")
    if change is not None:
        change(book)
    book.save(path)
    return path


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    out = tmp_path / "shipped.xlsx"
    assert finalize(draft(tmp_path / "draft.xlsx"), out, FUNCTIONS) == {}
    return out


def cell(path: Path, sheet: str, at: str) -> Any:
    package = open_package(path)
    part = next(s.part for s in package.sheets() if s.name == sheet)
    return package.xml(part).find(f".//{main('c')}[@r='{at}']")


def test_every_reader_sees_the_values(shipped: Path) -> None:
    sheet = openpyxl.load_workbook(shipped, data_only=True)[AWKWARD]
    expected: dict[str, Any] = {
        **{"A1": 17.179869184, "A2": 17.179869184 * 3, "A3": " ünï <&> ", "A4": " ünï <&> ", "A5": 1 / 3, "A6": True},
        **{
            "C1": "ttft",
            "D1": 12.5,
            "E1": "ms",
            "C2": "ok",
            "D2": True,
            "C3": "share",
            "D3": 1 / 3,
            "C6": 12.5 + 1 / 3,
        },
    }
    assert {at: sheet[at].value for at in expected} == expected
    rows = CalamineWorkbook.from_path(str(shipped)).get_sheet_by_name(AWKWARD).to_python()
    assert rows[0][:5] == [17.179869184, "", "ttft", 12.5, "ms"]
    assert rows[2][2:4] == ["share", 1 / 3]
    grid = read_grids(open_package(shipped))[0]
    assert grid.value(3, 5) == "\x0b _x0041_ "
    assert [grid.value(*at) for at in [(7, 1), (2, 5)]] == ["", ""]


def test_bare_calls_spill_and_others_stay(shipped: Path) -> None:
    spilling = cell(shipped, AWKWARD, "C1")
    formula = spilling.find(main("f"))
    assert (spilling.get("cm"), formula.get("t"), formula.get("ref")) == ("1", "array", "C1:E3")
    assert cell(shipped, AWKWARD, "G1").find(main("f")).get("ref") == "G1:I3"
    assert cell(shipped, AWKWARD, "A1").find(main("f")).get("ref") == "A1"
    for at in ("A2", "A3", "G8"):
        assert cell(shipped, AWKWARD, at).get("cm") is None
    assert cell(shipped, AWKWARD, "G8").find(main("f")).get("t") == "array"
    package = open_package(shipped)
    assert [r.target for r in package.relations("xl/workbook.xml") if r.kind == "sheetMetadata"] == ["xl/metadata.xml"]
    assert b"/xl/metadata.xml" in package.parts[CONTENT_TYPES]
    calculation = package.xml("xl/workbook.xml").find(main("calcPr"))
    assert (calculation.get("calcId"), calculation.get("fullCalcOnLoad")) == ("191029", None)


def test_equal_drafts_give_equal_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        finalize(draft(tmp_path / f"{name}.xlsx"), tmp_path / f"{name}.out.xlsx", FUNCTIONS)
        digests.add(hashlib.sha256((tmp_path / f"{name}.out.xlsx").read_bytes()).hexdigest())
        time.sleep(1.1)  # openpyxl's stamps count seconds
    assert len(digests) == 1
    with zipfile.ZipFile(tmp_path / "one.out.xlsx") as archive:
        assert archive.namelist()[0] == CONTENT_TYPES
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_nothing_else_of_the_draft_changes(tmp_path: Path, shipped: Path) -> None:
    before, after = open_package(tmp_path / "draft.xlsx"), open_package(shipped)
    assert set(after.parts) - set(before.parts) == {"xl/metadata.xml"}
    for name in before.parts:
        if name.startswith(("xl/charts", "xl/tables", "xl/drawings", "xl/styles", "xl/theme")):
            assert after.parts[name] == before.parts[name]
    for sheet in before.sheets():
        assert _without_values(before.xml(sheet.part)) == _without_values(after.xml(sheet.part))


def _without_values(root: Any) -> bytes:
    """A sheet without its values, and without the formula attributes that make a call spill."""
    for data in root.iter(main("sheetData")):
        for element in list(data.iter(main("c"))):
            formula = element.find(main("f"))
            if formula is None:
                element.getparent().remove(element)
                continue
            formula.attrib.clear()
            for name in {"t", "cm"} & set(element.attrib):
                del element.attrib[name]
            for value in element.findall(main("v")):
                element.remove(value)
        for row in list(data):
            row.attrib.pop("spans", None)
            if len(row) == 0:
                data.remove(row)
    for size in root.iter(main("dimension")):
        size.attrib.clear()
    return etree.tostring(root, method="c14n")


def test_no_metadata_without_a_spilling_call(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active["A1"] = "=1+1"
    book.save(tmp_path / "draft.xlsx")
    finalize(tmp_path / "draft.xlsx", tmp_path / "out.xlsx", {})
    assert "xl/metadata.xml" not in open_package(tmp_path / "out.xlsx").parts


@pytest.mark.parametrize("at", ["D1", "E3"])
def test_an_occupied_cell_is_never_spilled_over(tmp_path: Path, at: str) -> None:
    def occupy(book: Any) -> None:
        book[AWKWARD][at] = "mine"

    with pytest.raises(WorkbookError, match=r"C1: .*#SPILL!"):
        finalize(draft(tmp_path / "draft.xlsx", change=occupy), tmp_path / "out.xlsx", FUNCTIONS)
    assert not (tmp_path / "out.xlsx").exists()


def test_a_draft_with_an_occupied_array_is_refused(tmp_path: Path) -> None:
    def occupy(book: Any) -> None:
        book[AWKWARD]["G2"] = "mine"

    with pytest.raises(WorkbookError, match="G2 is occupied"):
        finalize(draft(tmp_path / "draft.xlsx", change=occupy), tmp_path / "out.xlsx", FUNCTIONS)


def test_what_cannot_be_computed_is_left_to_excel(tmp_path: Path) -> None:
    def volatile(book: Any) -> None:
        book[AWKWARD]["A9"], book[AWKWARD]["A10"] = "=TODAY()", "=A9+1"

    out = tmp_path / "out.xlsx"
    missing = finalize(draft(tmp_path / "draft.xlsx", change=volatile), out, FUNCTIONS)
    assert set(missing) == {(AWKWARD, "A9"), (AWKWARD, "A10")}
    assert open_package(out).xml("xl/workbook.xml").find(main("calcPr")).get("fullCalcOnLoad") == "1"
    assert cell(out, AWKWARD, "A9").find(main("v")) is None
    assert [f for f in check(out) if "has no value yet" in f] == [
        f"{AWKWARD}!A9: the formula =TODAY() has no value yet.",
        f"{AWKWARD}!A10: the formula =A9+1 has no value yet.",
    ]


def test_check_passes_a_good_file(shipped: Path) -> None:
    assert check(shipped) == []


def _row(book: Any) -> None:
    book["Checks"]["C2"] = 1


def _errors(book: Any) -> None:
    book[AWKWARD]["A9"], book[AWKWARD]["A10"], book[AWKWARD]["A11"] = "=1/0", "=MLS_REFUSE()", "#MLS! typed"


def _no_checks(book: Any) -> None:
    del book["Checks"]
    book.defined_names["in_Rate"].attr_text = "#REF!"


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (_row, ["The check kv (KV cache by hand) does not pass: value 1.0, tolerance 1e-09."]),
        (_errors, ["A9 is in error: #DIV/0!.", "A10 is refused: #MLS! no such device", "A11 is refused: #MLS! typed"]),
        (_no_checks, ["The defined name in_Rate", "The sheet Checks with its table tblChecks is missing"]),
    ],
)
def test_check_names_what_fails(tmp_path: Path, change: Callable[[Any], None], sentences: list[str]) -> None:
    out = tmp_path / "out.xlsx"
    finalize(draft(tmp_path / "draft.xlsx", change=change), out, FUNCTIONS)
    faults = check(out)
    assert len(faults) == len(sentences)
    for sentence in sentences:
        assert any(sentence in fault for fault in faults)


@pytest.mark.parametrize(
    ("part", "old", "new", "sentence"),
    [
        ("xl/tables/table1.xml", b'name="tolerance"', b'name="tol"', "lacks the columns tolerance"),
        ("xl/tables/table1.xml", b'name="check"', b'name="Check"', "is headed check in Checks!B1"),
        ("xl/tables/table1.xml", b'ref="A1:E2"', b'ref="A1:F2"', "names 5 columns but covers 6"),
        ("xl/tables/table1.xml", b'<autoFilter ref="A1:E2"', b'<autoFilter ref="A1:E9"', "its filter covers A1:E9"),
        ("xl/worksheets/sheet1.xml", b'cm="1"', b'cm="7"', "points to entry 7 of the metadata"),
        ("xl/_rels/workbook.xml.rels", b"theme1.xml", b"theme9.xml", "points to xl/theme/theme9.xml, which is missing"),
        ("xl/workbook.xml", b"Checks!$D$2", b"#REF!", "The defined name in_Rate has lost its cells"),
    ],
)
def test_check_finds_a_broken_structure(shipped: Path, part: str, old: bytes, new: bytes, sentence: str) -> None:
    package = open_package(shipped)
    assert old in package.parts[part]
    package.parts[part] = package.parts[part].replace(old, new, 1)
    broken = shipped.with_name("broken.xlsx")
    package.write(broken, force=False)
    assert any(sentence in fault for fault in check(broken))


def test_the_draft_itself_fails_the_check(tmp_path: Path) -> None:
    faults = check(draft(tmp_path / "draft.xlsx"))
    assert sum("has no value yet" in fault for fault in faults) == 13
    assert any("The check kv" in fault for fault in faults)


@pytest.mark.libreoffice
def test_libreoffice_reads_what_is_shipped(tmp_path: Path, shipped: Path) -> None:
    if shutil.which("soffice") is None:
        pytest.skip("LibreOffice is not installed")
    sheet = recalculated_by_libreoffice(shipped, tmp_path)["Checks"]
    assert [sheet[at].value for at in ("C2", "E2")] == [0, True]
