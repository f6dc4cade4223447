"""Our functions inside LibreOffice Calc: the bridge with small functions of this file, then the built workbook."""

from __future__ import annotations

import math
import os
import re
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl
import pytest
from openpyxl.worksheet.formula import ArrayFormula
from openpyxl.worksheet.worksheet import Worksheet

from udfs.libreoffice import LibreOfficeError, find_soffice, install, recalculate, render, uninstall
from udfs.libreoffice.profile import create_profile

pytestmark = [pytest.mark.libreoffice, pytest.mark.skipif(find_soffice() is None, reason="no LibreOffice here")]

LOCALES = ["en-US", "de-DE"]
HERE = f"{Path(__file__).stem}:FUNCTIONS"  # the child imports this file to find the functions below


class Function(NamedTuple):
    """A function as `udfs` publishes it, reduced to what the bridge uses."""

    name: str
    parameters: tuple[str, ...]
    body: Callable[..., Any]

    def __call__(self, *cells: Any) -> Any:
        return self.body(*cells)


FUNCTIONS: dict[str, Function] = {}


def published(parameters: str) -> Callable[[Callable[..., Any]], None]:
    def add_to_functions(body: Callable[..., Any]) -> None:
        name = f"MLS_{body.__name__.upper()}"
        FUNCTIONS[name] = Function(name, tuple(parameters.split()), body)

    return add_to_functions


@published("x factor")
def double(x: Any, factor: Any) -> Any:
    return x * (2.0 if factor is None else factor) if isinstance(x, float) else "#MLS! x must be a number."


@published("a b c")
def show(*cells: Any) -> str:
    return repr(cells)


@published("end")
def block(_: Any) -> list[list[Any]]:
    return [[1.5, "ä"], ["#N/A", True], [None, 3.0]]


@published("x")
def chatty(x: Any) -> Any:
    print("this must not get between two answers")
    return x


@published("x")
def positive(x: float) -> bool:
    return x > 0.0


@published("marker")
def mortal(marker: Any) -> str:
    """Ends the child the first time, when the file `marker` is there."""
    if os.path.exists(marker):
        os.remove(marker)
        os._exit(3)
    return "answered by a new child"


@published("")
def fatal() -> None:
    os._exit(3)


@published("")
def pid() -> int:
    return os.getpid()


@published("x")
def defective(x: Any) -> Any:
    raise KeyError(x)


@published("rows")
def tall(rows: Any) -> list[list[float]]:
    return [[row / 3.0] for row in range(int(rows))]


@published("cells")
def add(cells: Any) -> float:
    return math.fsum(cell for row in cells for cell in row)


# What a formula shows, in every locale. E1 = 7, F1 = "fp8", E2 = TRUE, F2 is empty, E3 = #DIV/0!, E4 = MLS_SHOW(E3).
# Where Excel answers differently, the docstring of udfs.libreoffice says so.
ANSWERS: dict[str, Any] = {
    "=MLS_DOUBLE(21)": 42.0,
    "=mls_double(21)": 42.0,
    "=MLS_DOUBLE(0.1,3)": 0.1 * 3.0,
    "=MLS_DOUBLE(123456789.123,1)": 123456789.123,
    "=MLS_DOUBLE(1E+300,1E-290)": 1e300 * 1e-290,
    "=MLS_DOUBLE(9007199254740991,1)": 9007199254740991.0,
    "=MLS_DOUBLE(E1)+1": 15.0,
    '=MLS_DOUBLE("much")': "#MLS! x must be a number.",
    '=MLS_SHOW("fp8")': "('fp8', None, None)",
    '=MLS_SHOW("ü€😀 ""x""",-0.5)': "('ü€😀 \"x\"', -0.5, None)",
    "=MLS_SHOW()": "(None, None, None)",
    "=MLS_SHOW(F2)": "(None, None, None)",
    "=MLS_SHOW(TRUE)": "(1.0, None, None)",
    "=MLS_SHOW(1,,3)": "(1.0, 0.0, 3.0)",
    "=MLS_SHOW(E1:F2,2)": "([[7.0, 'fp8'], [1.0, None]], 2.0, None)",
    "=MLS_SHOW({1,2;3,4})": "([[1.0, 2.0], [3.0, 4.0]], None, None)",
    "=MLS_SHOW(E3)": "#DIV/0!",
    "=MLS_SHOW(E1:E3)": "#DIV/0!",
    '=IFERROR(MLS_SHOW(NA()),"none")': "none",
    '=IFERROR(MLS_SHOW(E3),"none")': "#N/A",
    '=IFERROR(E4,"none")': "none",
    "=MLS_BLOCK(1)": 1.5,
    "=INDEX(MLS_BLOCK(1),1,2)": "ä",
    "=ISNA(INDEX(MLS_BLOCK(1),2,1))": True,
    "=SUM(INDEX(MLS_BLOCK(1),0,2))": 4.0,
    "=MLS_CHATTY(5)": 5.0,
    "=MLS_POSITIVE(1)": True,
    '=IF(MLS_POSITIVE(-1),"yes","no")': "no",
    "=MLS_FATAL()": "#MLS! MLS_FATAL ended the Python process that computes it, twice",
    "=MLS_DEFECTIVE(1)": "#MLS! MLS_DEFECTIVE failed inside: KeyError: 1.0",
    "=MLS_NOPE(1)": "#NAME?",
    "=SUM(MLS_TALL(20000))": math.fsum(row / 3.0 for row in range(20000)),
    "=MLS_ADD(MLS_TALL(20000))": math.fsum(row / 3.0 for row in range(20000)),
    "=MINE_ADD(1,2)": 3.0,
}
MANY_ROWS = range(101, 2101)


class Calculated(NamedTuple):
    """One recalculated sheet, and where it was calculated."""

    sheet: Worksheet
    locale: str
    marker: Path


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile whose owner keeps a Basic module in the library Standard."""
    folder = tmp_path_factory.mktemp("a ü") / "profile"
    write_users_module(folder, "Mine", "Function Mine_Add(a, b)\nMine_Add = a + b\nEnd Function")
    return folder


def write_users_module(profile: Path, name: str, source: str) -> None:
    create_profile(profile)
    library = profile / "user" / "basic" / "Standard"
    header = '<?xml version="1.0" encoding="UTF-8"?>\n<script:module xmlns:script="http://openoffice.org/2000/script" '
    text = f'{header}script:name="{name}" script:language="StarBasic">{source}</script:module>'
    (library / f"{name}.xba").write_text(text, encoding="utf-8")
    index = library / "script.xlb"
    entry = f' <library:element library:name="{name}"/>\n</library:library>'
    index.write_text(index.read_text(encoding="utf-8").replace("</library:library>", entry), encoding="utf-8")


@pytest.fixture(scope="module", params=LOCALES)
def calculated(request: pytest.FixtureRequest, profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Calculated:
    """All formulas of this file, recalculated by LibreOffice once per locale."""
    folder = tmp_path_factory.mktemp("calculated")
    marker = folder / "die once"
    marker.touch()
    source = folder / "source.xlsx"
    write_source(source, marker)
    result = recalculate(source, folder / "out", HERE, request.param, profile)
    return Calculated(openpyxl.load_workbook(result, data_only=True)["Sheet"], request.param, marker)


def write_source(path: Path, marker: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book["Sheet"]
    for row, formula in enumerate(ANSWERS, 1):
        sheet.cell(row, 1, formula)
    sheet["E1"], sheet["F1"], sheet["E2"], sheet["E3"], sheet["E4"] = 7, "fp8", True, "=1/0", "=MLS_SHOW(E3)"
    others = [f'=MLS_MORTAL("{marker}")', '=1/2&""', "=MLS_DOUBLE(4)", "=2*4", "=MLS_DOUBLE(E1)", "=MLS_PID()"]
    for row, formula in enumerate(others, 1):
        sheet.cell(row, 3, formula)
    sheet["H1"] = ArrayFormula("H1:I3", "=MLS_BLOCK(1)")
    sheet["H5"] = ArrayFormula("H5:I7", "=MLS_BLOCK(1)")
    for row in MANY_ROWS:
        sheet.cell(row, 1, f"=MLS_DOUBLE(ROW()/7,{row}/3)")
    book.save(path)
    with zipfile.ZipFile(path) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    text = re.sub(r"<v ?/>", "<v></v>", parts["xl/worksheets/sheet1.xml"].decode())
    for old, new in [  # stale values and the two shapes of a dynamic-array cell: openpyxl writes neither
        ('<c r="C3"><f>MLS_DOUBLE(4)</f><v></v>', '<c r="C3"><f>MLS_DOUBLE(4)</f><v>777</v>'),
        ('<c r="C4"><f>2*4</f><v></v>', '<c r="C4"><f>2*4</f><v>777</v>'),
        ('<c r="C5"><f>', '<c r="C5" cm="1"><f t="array" ref="C5">'),
        ('<c r="H5">', '<c r="H5" cm="1">'),
    ]:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    parts["xl/worksheets/sheet1.xml"] = text.encode()
    with zipfile.ZipFile(path, "w") as package:
        for name, data in parts.items():
            package.writestr(name, data)


@pytest.mark.parametrize("formula", ANSWERS)
def test_formula(calculated: Calculated, formula: str) -> None:
    value = calculated.sheet.cell(list(ANSWERS).index(formula) + 1, 1).value
    expected = ANSWERS[formula]
    if isinstance(expected, float):
        assert value == pytest.approx(expected, rel=1e-15, abs=0.0)
    elif str(expected).startswith("#MLS!"):
        assert str(value).startswith(expected)
    else:
        assert value == expected


def test_locale_is_in_force(calculated: Calculated) -> None:
    assert calculated.sheet["C2"].value == {"en-US": "0.5", "de-DE": "0,5"}[calculated.locale]


@pytest.mark.parametrize(("address", "value"), [("C3", 8), ("C4", 8), ("C5", 14)])
def test_stale_values_and_dynamic_array_cells_are_computed(calculated: Calculated, address: str, value: int) -> None:
    assert calculated.sheet[address].value == value


def test_child_that_died_is_replaced(calculated: Calculated) -> None:
    assert not calculated.marker.exists()
    assert calculated.sheet["C1"].value == "answered by a new child"


@pytest.mark.parametrize("corner", ["H1:I3", "H5:I7"])
def test_block_fills_an_array_formula(calculated: Calculated, corner: str) -> None:
    rows = [[cell.value for cell in row] for row in calculated.sheet[corner]]
    assert rows == [[1.5, "ä"], ["#N/A", True], [None, 3]]
    assert calculated.sheet[corner][1][0].data_type == "e"


def test_many_cells(calculated: Calculated) -> None:
    values = [calculated.sheet.cell(row, 1).value for row in MANY_ROWS]
    assert values == pytest.approx([(row / 7) * (row / 3) for row in MANY_ROWS], rel=1e-14)


def test_no_child_outlives_the_office(calculated: Calculated) -> None:
    command = Path(f"/proc/{calculated.sheet['C6'].value}/cmdline")
    for _ in range(100):
        if not command.exists() or not command.read_bytes():  # gone, or waiting to be counted as gone
            return
        time.sleep(0.1)
    pytest.fail("the child is still running ten seconds after LibreOffice ended")


def test_uninstall_leaves_what_is_the_users(profile: Path) -> None:
    library = profile / "user" / "basic" / "Standard"
    install(profile, HERE)
    install(profile, HERE)
    assert (library / "script.xlb").read_text(encoding="utf-8").count('"MLSYSIM"') == 1
    uninstall(profile)
    index = (library / "script.xlb").read_text(encoding="utf-8")
    assert "MLSYSIM" not in index
    assert all(text in index for text in ('"Mine"', '"Module1"', "<!DOCTYPE library:library "))
    assert {path.name for path in library.iterdir()} == {"Mine.xba", "Module1.xba", "script.xlb", "dialog.xlb"}
    assert not (profile / "user" / "mlsysim").exists()
    uninstall(profile)


@pytest.mark.parametrize(
    ("name", "source", "sentence"),
    [
        ("MLSYSIM", "Sub Main\nEnd Sub", "a Basic module of your own"),
        ("Other", "public function mls_double(x)\nEnd Function", "defines mls_double, a name of ours"),
    ],
)
def test_users_names_are_not_taken(tmp_path: Path, name: str, source: str, sentence: str) -> None:
    write_users_module(tmp_path, name, source)
    module = tmp_path / "user" / "basic" / "Standard" / f"{name}.xba"
    before = module.read_bytes()
    with pytest.raises(LibreOfficeError, match=sentence):
        install(tmp_path, HERE)
    uninstall(tmp_path)
    assert module.read_bytes() == before


def test_profile_in_use_is_left_alone(tmp_path: Path) -> None:
    create_profile(tmp_path)
    (tmp_path / ".lock").touch()
    with pytest.raises(LibreOfficeError, match="close it first"):
        install(tmp_path, HERE)
    assert not (tmp_path / "user" / "mlsysim").exists()


def write_formula(folder: Path, formula: str) -> Path:
    book = openpyxl.Workbook()
    book["Sheet"]["A1"] = formula
    book.save(folder / "source.xlsx")
    return folder / "source.xlsx"


def test_child_that_cannot_start_is_said_in_the_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_formula(tmp_path, "=MLS_DOUBLE(1)")
    monkeypatch.setattr("udfs.libreoffice.profile.extra_paths", list)
    result = recalculate(source, tmp_path / "out", HERE)
    value = openpyxl.load_workbook(result, data_only=True)["Sheet"]["A1"].value
    assert re.match(r"#MLS! .* ended before it could load the functions \(.*No module named", str(value))


def test_render_prints(tmp_path: Path) -> None:
    printed = render(write_formula(tmp_path, "=MLS_DOUBLE(21)"), tmp_path / "out", HERE)
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "source.pdf"]
    text = subprocess.run(["pdftotext", printed, "-"], capture_output=True, text=True, check=True).stdout
    assert text.split() == ["42"]


def test_bad_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.xlsx"
    text.write_text("a,b\n1,2\n")
    with pytest.raises(LibreOfficeError, match="is not an Excel workbook"):
        recalculate(text, tmp_path / "out", HERE)
    with pytest.raises(LibreOfficeError, match="does not exist"):
        recalculate(tmp_path / "missing.xlsx", tmp_path / "out", HERE)
    book = write_formula(tmp_path, "=MLS_DOUBLE(21)")
    with pytest.raises(LibreOfficeError, match=r"text.xlsx cannot be used: "):
        recalculate(book, text, HERE)
    with pytest.raises(LibreOfficeError, match="exists already"):
        recalculate(book, tmp_path, HERE)
    with pytest.raises(LibreOfficeError, match="locale must be"):
        recalculate(book, tmp_path / "out", HERE, "german")
    with pytest.raises(LibreOfficeError, match="did not finish within"):
        recalculate(book, tmp_path / "out", HERE, timeout=0.05)
    assert not list((tmp_path / "out").iterdir())
