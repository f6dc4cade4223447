"""Recalculating a workbook that somebody edited in Excel; and files that are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.styles import Font

from workbook.__main__ import CHECK_LINES
from workbook.__main__ import main as terminal
from workbook.cells import ErrorValue, read_grids
from workbook.check import check
from workbook.errors import OLE2_MAGIC, WorkbookError
from workbook.finalize import finalize
from workbook.package import CONTENT_TYPES, Package, main, open_package
from workbook.recalc import LINES, Report, recalc

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "MLS_COUNT": lambda n: [[float(i)] for i in range(int(n))],
    "MLS_PAIR": lambda: [[1.0, 2.0]],
    "MLS_HALF": lambda x: x / 2 if isinstance(x, float) else f"#MLS! {x!r} is no number",
}
SHEET = "Plan «ü» d'or"
MAIN_XML = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
STRINGS = f"""<sst {MAIN_XML} count="2" uniqueCount="2"><si><t>H100</t></si>\
<si><r><t xml:space="preserve">two </t></r><r><rPr><b/></rPr><t>runs_x000A_</t></r>\
<rPh sb="0" eb="1"><t>no</t></rPh></si></sst>"""
# As Excel writes it: shared strings, shared formulas, a spill with its metadata, a fixed array, sparklines, prefixes.
ROWS = """<row r="1" spans="1:9"><c r="A1" s="1" t="s"><v>0</v></c><c r="B1"><v>10</v></c>\
<c r="C1"><f>B1*2</f><v>999</v></c><c r="D1"><f t="shared" ref="D1:D3" si="0">B1+$B$1</f><v>1</v></c>\
<c r="F1" cm="1"><f t="array" ref="F1:F3">MLS_COUNT(B3)</f><v>0</v></c></row>\
<row r="2"><c r="A2" t="s"><v>1</v></c><c r="B2"><v>20</v></c><c r="C2" t="str"><f>A2&amp;"!"</f><v>old</v></c>\
<c r="D2"><f t="shared" si="0"/><v>1</v></c><c r="F2" s="1"><v>1</v></c></row>\
<row r="3"><c r="B3"><v>3</v></c><c r="C3"><f>SUM(F1:F5)</f><v>1</v></c><c r="D3"><f t="shared" si="0"/></c>\
<c r="F3"><v>2</v></c></row>\
<row r="4"><c r="B4" t="b"><v>1</v></c><c r="C4"><f>MLS_HALF(B2)</f><v>0</v></c>\
<c r="D4"><f>MLS_HALF(A1)</f><v>0</v></c></row>\
<row r="7"><c r="A7"><f t="array" ref="A7:B7">MLS_PAIR()</f><v>1</v></c><c r="B7"><v>2</v></c>\
<c r="C7" t="e"><f>1/0</f><v>#DIV/0!</v></c></row>"""
HEAD = """xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" \
xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" \
xmlns:x14ac="http://schemas.microsoft.com/office/spreadsheetml/2009/9/ac" \
xmlns:xr="http://schemas.microsoft.com/office/spreadsheetml/2014/revision" \
mc:Ignorable="x14ac xr" xr:uid="{00000000-0001-0000-0000-000000000000}\""""
TAIL = """<extLst><ext xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main" \
uri="{05C60535-1F16-4fd2-B633-F4F36F0B64E0}"><x14:sparklineGroups/></ext></extLst>"""


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """A workbook as Excel saves it, with replacements in its sheet; every part beside the sheet is arbitrary bytes."""

    def make(*changes: tuple[str, str], name: str = "edited.xlsx") -> Path:
        book = openpyxl.Workbook()
        book.active.title = SHEET
        book.active["A1"] = "=MLS_COUNT(1)"
        book.active["B1"].font = Font(bold=True)  # style 1
        book.save(tmp_path / "draft.xlsx")
        finalize(tmp_path / "draft.xlsx", tmp_path / "base.xlsx", FUNCTIONS)
        package = open_package(tmp_path / "base.xlsx")
        rows = ROWS
        for old, new in changes:
            assert old in rows
            rows = rows.replace(old, new)
        sheet = f'<worksheet {MAIN_XML} {HEAD}><dimension ref="A1:F7"/><sheetData>{rows}</sheetData>{TAIL}</worksheet>'
        package.parts["xl/worksheets/sheet1.xml"] = sheet.encode()
        package.parts["xl/sharedStrings.xml"] = STRINGS.encode()
        package.parts["xl/vbaProject.bin"] = b"\x00macro"
        package.parts[CONTENT_TYPES] = package.parts[CONTENT_TYPES].replace(
            b"</Types>",
            b'<Default Extension="bin" ContentType="application/vnd.ms-office.vbaProject"/><Override PartName='
            b'"/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.'
            b'sharedStrings+xml"/></Types>',
        )
        rels = package.parts["xl/_rels/workbook.xml.rels"]
        package.parts["xl/_rels/workbook.xml.rels"] = rels.replace(
            b"</Relationships>",
            b'<Relationship Id="rIdS" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
            b'sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        )
        package.write(tmp_path / name, force=True)
        return tmp_path / name

    return make


def values(path: Path) -> dict[str, Any]:
    grid = read_grids(open_package(path))[0]
    shown = {formula.at: formula.cached for formula in grid.formulas.values()}
    return shown | {f"F{r}": grid.value(r, 6) for r in range(2, 7)}


def test_values_and_only_values_are_new(edited: Callable[..., Path], tmp_path: Path) -> None:
    source, target = edited(), tmp_path / "out.xlsx"
    before = source.read_bytes()
    report = recalc(source, target, FUNCTIONS)
    assert source.read_bytes() == before
    assert values(target) == {
        **{"C1": 20.0, "C2": "two runs\n!", "C3": 3.0, "C4": 10.0, "C7": "#DIV/0!", "A7": 1.0},
        **{"D1": 20.0, "D2": 30.0, "D3": 13.0, "D4": "#MLS! 'H100' is no number", "F1": 0.0},
        **{"F2": 1.0, "F3": 2.0, "F4": None, "F5": None, "F6": None},
    }
    assert report.missing == {}
    assert report.computed == 11
    assert set(report.failed) == {f"{SHEET}!C7: #DIV/0!", f"{SHEET}!D4: #MLS! 'H100' is no number"}
    assert f"{SHEET}!C1" in report.changed
    assert f"{SHEET}!F1" not in report.changed
    assert report.sentences()[0] == "11 formula cells computed, 7 of them changed, 1 had no value."
    one, two = open_package(source), open_package(target)
    assert {n for n in one.parts if one.parts[n] != two.parts[n]} == {"xl/worksheets/sheet1.xml"}
    assert set(one.parts) == set(two.parts)
    assert skeleton(one) == skeleton(two)


def skeleton(package: Package) -> str:
    """The sheet as text without cached values, their types and the spelling of empty elements."""
    text = package.parts["xl/worksheets/sheet1.xml"].decode()
    text = re.sub(r"<\?xml.*?\?>\s*", "", text)
    text = re.sub(r"(</f>|<f [^>]*/>)<v[^>]*>[^<]*</v>", r"\1", text)
    return re.sub(r' t="(str|e|b)"(?=><f)', "", text)


def test_a_second_run_changes_nothing(edited: Callable[..., Path], tmp_path: Path) -> None:
    recalc(edited(), tmp_path / "one.xlsx", FUNCTIONS)
    report = recalc(tmp_path / "one.xlsx", tmp_path / "two.xlsx", FUNCTIONS)
    assert report.changed == ()
    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "two.xlsx").read_bytes()


@pytest.mark.parametrize(("count", "column"), [(5, [1.0, 2.0, 3.0, 4.0, None]), (2, [1.0, None, None, None, None])])
def test_a_spill_grows_and_shrinks(edited: Callable[..., Path], tmp_path: Path, count: int, column: list[Any]) -> None:
    target = tmp_path / "out.xlsx"
    source = edited(('<c r="B3"><v>3</v></c>', f'<c r="B3"><v>{count}</v></c>'))
    assert recalc(source, target, FUNCTIONS).missing == {}
    shown = values(target)
    assert [shown[f"F{r}"] for r in range(2, 7)] == column
    assert shown["C3"] == sum(range(count))
    root = open_package(target).xml("xl/worksheets/sheet1.xml")
    assert root.find(f".//{main('c')}[@r='F1']/{main('f')}").get("ref") == f"F1:F{count}"
    assert [int(row.get("r")) for row in root.iter(main("row"))] == (
        [1, 2, 3, 4, 5, 7] if count == 5 else [1, 2, 3, 4, 7]
    )
    assert root.find(f".//{main('c')}[@r='F2']").get("s") == "1"


def test_a_spill_that_meets_a_cell_is_left_to_excel(edited: Callable[..., Path], tmp_path: Path) -> None:
    source = edited(
        ('<c r="B3"><v>3</v></c>', '<c r="B3"><v>4</v></c>'),
        (
            "<f>MLS_HALF(A1)</f><v>0</v></c>",
            '<f>MLS_HALF(A1)</f><v>0</v></c><c r="F4" t="inlineStr"><is><t>mine</t></is></c>',
        ),
    )
    report = recalc(source, tmp_path / "out.xlsx", FUNCTIONS)
    assert "#SPILL!" in report.missing[f"{SHEET}!F1"]
    assert report.missing[f"{SHEET}!C3"] == f"it depends on {SHEET}!F1."
    shown = values(tmp_path / "out.xlsx")
    assert (shown["F1"], shown["F2"], shown["C3"], shown["F4"], shown["C1"]) == (None, None, None, "mine", 20.0)
    calculation = open_package(tmp_path / "out.xlsx").xml("xl/workbook.xml").find(main("calcPr"))
    assert calculation.get("fullCalcOnLoad") == "1"


def test_what_is_outside_the_whitelist_is_named(edited: Callable[..., Path], tmp_path: Path) -> None:
    source = edited(
        ("<f>B1*2</f>", "<f>OFFSET(B1,0,0)</f>"),
        ('A2&amp;"!"', "C1+1"),
        ("MLS_HALF(B2)", "_xlfn.XLOOKUP(1,B1:B2,B1:B2)"),
    )
    report = recalc(source, tmp_path / "out.xlsx", FUNCTIONS)
    assert "volatile" in report.missing[f"{SHEET}!C1"]
    assert report.missing[f"{SHEET}!C2"] == f"it depends on {SHEET}!C1."
    assert "Excel 2016 does not have it" in report.missing[f"{SHEET}!C4"]
    assert len(report.missing) == 3
    shown = values(tmp_path / "out.xlsx")
    assert (shown["C1"], shown["C2"], shown["C4"], shown["D2"]) == (None, None, None, 30.0)
    assert any("has no value yet" in fault for fault in check(tmp_path / "out.xlsx"))
    assert any(line.startswith("3 cells were left to Excel") for line in report.sentences())


def test_a_report_begins_with_the_causes(edited: Callable[..., Path], tmp_path: Path) -> None:
    follow = "".join(f'<c r="{c}8"><f>D4&amp;$C$7+1</f><v>0</v></c>' for c in "ABCDE")
    alike = "".join(f'<c r="{c}9"><f>1/0</f><v>0</v></c>' for c in "ABCDE")
    source = edited(
        ("<v>#DIV/0!</v></c></row>", f'<v>#DIV/0!</v></c></row><row r="8">{follow}</row><row r="9">{alike}</row>')
    )
    report = recalc(source, tmp_path / "out.xlsx", FUNCTIONS)
    refused, divided = (
        "#MLS! 'H100' is no number",
        tuple(f"{SHEET}!{at}" for at in ("C7", "A9", "B9", "C9", "D9", "E9")),
    )
    assert list(report.causes.items()) == [(refused, (f"{SHEET}!D4",)), ("#DIV/0!", divided)]
    assert len(report.failed) == 12
    assert report.sentences()[1:] == [
        f"{SHEET}!D4: {refused}.",
        f"{', '.join(divided[:4])} and 2 more: #DIV/0!.",
        "and 5 cells that follow or fail likewise; --all prints every one.",
    ]
    assert report.sentences(full=True)[1:] == [f"{cell}." for cell in report.failed]


def test_a_report_is_short_unless_asked_for_all() -> None:
    report = Report(50, (), 0, tuple(f"S!A{i}: #N/A" for i in range(50)), {f"no {i}": (f"S!A{i}",) for i in range(30)},
                    {f"S!B{i}": "it is volatile" for i in range(25)})  # fmt: skip
    short, full = report.sentences(), report.sentences(full=True)
    assert sum(line.startswith("S!A") for line in short) == sum(line.startswith("S!B") for line in short) == LINES
    assert [line for line in short if "--all" in line] == [
        "and 30 cells that follow or fail likewise; --all prints every one.",
        "and 5 cells left to Excel; --all prints every one.",
    ]
    assert len(full) == 1 + 50 + 1 + 25


@pytest.mark.parametrize("spelling", ["_xldudf_MLS_HALF(B2)", "_xll.MLS_HALF(B2)", "[1]!MLS_HALF(B2)", "mls_half(B2)"])
def test_functions_are_known_whatever_add_in_excel_names(
    edited: Callable[..., Path], tmp_path: Path, spelling: str
) -> None:
    assert recalc(edited(("MLS_HALF(B2)", spelling)), tmp_path / "out.xlsx", FUNCTIONS).missing == {}
    assert values(tmp_path / "out.xlsx")["C4"] == 10.0
    assert spelling.encode() in open_package(tmp_path / "out.xlsx").parts["xl/worksheets/sheet1.xml"]


def test_an_error_typed_in_is_an_error(edited: Callable[..., Path], tmp_path: Path) -> None:
    source = edited(('<c r="B1"><v>10</v></c>', '<c r="B1" t="e"><v>#N/A</v></c>'))
    recalc(source, tmp_path / "out.xlsx", FUNCTIONS)
    shown = values(tmp_path / "out.xlsx")
    assert shown["C1"] == ErrorValue("#N/A")
    assert isinstance(shown["C1"], ErrorValue)


def test_the_output_is_never_the_input_nor_an_unwanted_replacement(edited: Callable[..., Path], tmp_path: Path) -> None:
    source, other = edited(), tmp_path / "other.xlsx"
    before = source.read_bytes()
    link = tmp_path / "link.xlsx"
    link.symlink_to(source)
    for target in (source, tmp_path / "." / "edited.xlsx", link):
        with pytest.raises(WorkbookError, match="is the input itself"):
            recalc(source, target, FUNCTIONS, force=True)
    other.write_bytes(b"precious")
    with pytest.raises(WorkbookError, match="exists already"):
        recalc(source, other, FUNCTIONS)
    assert (source.read_bytes(), other.read_bytes()) == (before, b"precious")
    recalc(source, other, FUNCTIONS, force=True)
    assert values(other)["C1"] == 20.0
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def _missing(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def _other_zip(path: Path) -> None:
    package = open_package(path)
    del package.parts["xl/workbook.xml"]
    path.write_bytes(package.to_bytes())


def _broken_sheet(path: Path) -> None:
    package = open_package(path)
    package.parts["xl/worksheets/sheet1.xml"] = b"<worksheet"
    path.write_bytes(package.to_bytes())


def _signed(path: Path) -> None:
    package = open_package(path)
    package.parts["_xmlsignatures/origin.sigs"] = b""
    path.write_bytes(package.to_bytes())


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_missing, "There is no file"),
        (_folder, "is a folder"),
        (_damaged, "it is damaged"),
        (_other_zip, "without a workbook inside"),
        (_broken_sheet, "sheet1.xml cannot be read"),
        (_signed, "digitally signed"),
        (lambda path: path.write_text("a,b\n1,2\n"), "not an Excel workbook"),
        (lambda path: path.write_bytes(b""), "not an Excel workbook"),
        (
            lambda path: path.write_bytes(OLE2_MAGIC + "EncryptedPackage".encode("utf-16-le")),
            "encrypted with a password",
        ),
        (lambda path: path.with_name(f"~${path.name}").write_text("user"), "open in another program"),
        (lambda path: path.with_name(f".~lock.{path.name}#").write_text("user"), "open in another program"),
    ],
)
def test_a_bad_file_is_a_sentence(
    edited: Callable[..., Path], tmp_path: Path, spoil: Callable[[Path], Any], word: str
) -> None:
    source, target = edited(), tmp_path / "out.xlsx"
    spoil(source)
    with pytest.raises(WorkbookError, match=word) as caught:
        recalc(source, target, FUNCTIONS)
    assert str(source) in str(caught.value)
    assert str(caught.value).endswith(".")
    assert not target.exists()


def test_a_bad_target_is_a_sentence(
    edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = edited()
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    old = shelf / "old.xlsx"
    old.write_bytes(b"precious")
    old.chmod(0o444)
    shelf.chmod(0o555)
    with pytest.raises(WorkbookError, match=r"old.xlsx is read-only"):
        recalc(source, old, FUNCTIONS, force=True)
    with pytest.raises(WorkbookError, match=r"shelf is read-only"):
        recalc(source, shelf / "new.xlsx", FUNCTIONS)
    with pytest.raises(WorkbookError, match="does not exist"):
        recalc(source, tmp_path / "nowhere" / "new.xlsx", FUNCTIONS)
    with pytest.raises(WorkbookError, match="is a folder"):
        recalc(source, shelf, FUNCTIONS, force=True)
    shelf.chmod(0o755)
    (shelf / "~$new.xlsx").write_text("user")
    with pytest.raises(WorkbookError, match="open in another program"):
        recalc(source, shelf / "new.xlsx", FUNCTIONS)

    def held(*_: Any) -> None:
        raise PermissionError(13, "used by another process")

    monkeypatch.setattr("os.replace", held)
    with pytest.raises(WorkbookError, match="open in another program"):
        recalc(source, tmp_path / "new.xlsx", FUNCTIONS)
    assert old.read_bytes() == b"precious"
    assert not list(tmp_path.glob("*new.xlsx*"))


# ------------------------------------------------------------------ the terminal


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build", "plan.pdf"], "plan.pdf does not end in .xlsx; name a workbook"),
        (["build", "old.xlsx"], "old.xlsx exists already; name another file, or add --force"),
        (["recalc", "edited.xlsx", "old.xlsx"], "old.xlsx exists already; name another file, or add --force"),
        (["recalc", "edited.xlsx", "edited.xlsx"], "is the input itself"),
        (["eval", '=MLS_KVCACHE("Llama3_8B";4096)'], "cannot be read at ';4096)'; separate arguments with commas."),
        (["eval", '=MLS_KVCACHE("Llama3_8B",4096'], "check that every bracket is closed"),
        (["eval", '=MLS_KVCACHE("Llama3_8B,4096)'], "a text is not closed"),
    ],
)
def test_refusals_say_what_to_do(
    words: list[str], said: str, edited: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    edited()
    monkeypatch.chdir(tmp_path)
    Path("old.xlsx").write_bytes(b"precious")
    assert terminal(words) == 1
    message = capsys.readouterr().err
    assert said in message
    assert not re.search("TokenSpan|ParserError|Traceback", message)
    assert Path("old.xlsx").read_bytes() == b"precious"


def test_check_is_short_unless_asked_for_all(edited: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f'<row r="{r}"><c r="A{r}" t="e"><f>1/0</f><v>#DIV/0!</v></c></row>' for r in range(10, 70))
    path = edited(("<v>#DIV/0!</v></c></row>", f"<v>#DIV/0!</v></c></row>{rows}"))
    faults = len(check(path))
    assert terminal(["check", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[CHECK_LINES:] == [f"and {faults - CHECK_LINES} more; --all prints every one."]
    assert terminal(["check", "--all", str(path)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == faults


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert terminal([]) == 2
    assert "recalculate a copy of an edited workbook" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("formula", "shown"),
    [('MLS_GET("hardware","H100","memory")', "80 GB"), ('MLS_GET("hardware","H100","title")', "NVIDIA H100"),
     ('MLS_CONVERT(1,"GiB","GB")', "1.073741824 GB"), ('MLS_SERVING("Llama3_8B","H100",9,"TTFT")', " ms")],
)  # fmt: skip
def test_eval_prints_units(formula: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert terminal(["eval", formula]) == 0
    assert shown in capsys.readouterr().out
