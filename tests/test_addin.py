"""The add-in for Excel on Windows, prepared by xlwings' own code under stand-ins for Windows, and the doctor."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest
import xlwings

from mlsysim.version import __version__
from udfs import FUNCTIONS, addin, doctor
from udfs.__main__ import main

HERE = Path(__file__).parent
PYTHON = r"D:\plan\.venv\Scripts\python.exe"
CHILD = f"""
import sys
sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]
import pywin32_stub
pywin32_stub.install()
from pathlib import Path, PureWindowsPath
from udfs import addin
addin.write(Path(sys.argv[1]), PureWindowsPath({PYTHON!r}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as a Windows machine gets it."""
    out = tmp_path_factory.mktemp("made") / "addin"
    done = subprocess.run([sys.executable, "-c", CHILD, str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_the_files(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["README.txt", "mlsysim.bas", "mlsysim.xlam"]
    page = (folder / "README.txt").read_text()
    assert PYTHON in page
    assert f"xlwings {xlwings.__version__}" in page
    assert f"it answers {__version__}" in page
    assert "{" not in page


def as_workbook(data: bytes) -> io.BytesIO:
    """The add-in under the content type of a workbook, which openpyxl reads."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"vnd.ms-excel.addin.macro", b"vnd.ms-excel.sheet.macro"))
    return out


def test_settings_stand_in_the_sheet_that_the_macros_read(folder: Path) -> None:
    data = (folder / "mlsysim.xlam").read_bytes()
    book = openpyxl.load_workbook(as_workbook(data))
    assert book.sheetnames == ["myaddin.conf"]
    settings = {row[0].value: row[1].value for row in book["myaddin.conf"].iter_rows(max_col=2) if row[0].value}
    assert settings["Interpreter_Win"] == PYTHON
    assert settings["UDF Modules"] == "udfs.mls"
    assert settings["Use UDF Server"] is False
    with zipfile.ZipFile(io.BytesIO(data)) as ours, zipfile.ZipFile(addin.template()) as theirs:
        assert ours.namelist() == theirs.namelist()
        changed = [n for n in ours.namelist() if ours.read(n) != theirs.read(n)]
    assert changed == ["xl/workbook.xml", "xl/worksheets/sheet1.xml"]  # the macros are xlwings' own


def test_wrapper_declares_every_function_and_calls_our_module(folder: Path) -> None:
    text = (folder / "mlsysim.bas").read_text("ascii")
    assert text.startswith('Attribute VB_Name = "xlwings_udfs"\n')
    declared = dict(re.findall(r"^Function (\w+)\((.*)\)$", text, re.M))
    assert declared.keys() == FUNCTIONS.keys()
    for name, published in FUNCTIONS.items():
        assert len(published.parameters) <= 60
        assert sum(len(a.name) for a in published.parameters) + len(published.parameters) <= 254
        assert f'CallUDF("udfs.mls", "{name}"' in text
    assert text.count("End Function") == len(FUNCTIONS)


def test_it_is_refused_elsewhere_and_in_a_folder_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["addin", str(tmp_path / "new")]) == 1
    assert "prepared on Windows with pywin32" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    (tmp_path / "note.txt").write_text("mine")
    assert main(["addin", str(tmp_path)]) == 1
    assert "is not empty; name a new folder" in capsys.readouterr().err


def test_another_xlwings_is_told(tmp_path: Path) -> None:
    with pytest.raises(addin.AddinError, match="no setting Interpreter_Mars"):
        addin.with_settings(addin.template().read_bytes(), {"Interpreter_Mars": "x"})


# ------------------------------------------------------------------ doctor


def findings(home: Path) -> dict[bool, str]:
    found = doctor.examine(home)
    return {well: "\n".join(f.text for f in found if f.well is well) for well in (True, False)}


def settings(home: Path, text: str) -> Path:
    (home / ".xlwings").mkdir()
    (home / ".xlwings" / "xlwings.conf").write_text(text)
    return home


def test_a_good_machine_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(tmp_path)
    assert found[False] == ""
    assert f"xlwings {xlwings.__version__} from " in found[True]
    assert f"{len(FUNCTIONS)} functions; MLS_KVCACHE('Llama3_8B', 4096.0, 32.0) = 17.179869184" in found[True]
    assert main(["doctor"]) in (0, 1)  # the settings of who runs this are their own
    assert capsys.readouterr().out.startswith("ok    Python ")


def test_settings_of_xlwings_are_read(tmp_path: Path) -> None:
    name = "INTERPRETER_WIN" if sys.platform == "win32" else "INTERPRETER_MAC"
    home = settings(tmp_path, f'"{name}","{sys.executable}"\n"UDF MODULES","other;udfs.mls"\n')
    assert findings(home)[False] == ""


def test_what_is_wrong_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = settings(tmp_path, '"INTERPRETER_MAC","/gone/python"\n"INTERPRETER_WIN","/gone/python"\n')
    bad = findings(home)[False]
    assert "does not list udfs.mls: put it into UDF Modules" in bad
    assert "names /gone/python, which is not there" in bad
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no_such_package"))
    monkeypatch.setattr(doctor, "LEAST", (99, 0))
    monkeypatch.setattr(doctor, "ANSWER", 17.0)
    bad = findings(home)[False]
    assert "is too old: install 99.0 or newer" in bad
    assert "-m pip install no_such_package" in bad
    assert "= 17.179869184" in bad


def test_another_mlsysim_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlsysim

    monkeypatch.setattr(mlsysim, "__file__", str(tmp_path / "mlsysim" / "__init__.py"))
    assert "remove the other mlsysim" in findings(tmp_path)[False]


def test_windows_needs_pywin32_and_an_addin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("APPDATA", str(tmp_path))
    assert "pywin32 is not installed" in findings(tmp_path)[False]
    assert "no add-in in" in findings(tmp_path)[False]
    start = tmp_path / "Microsoft" / "Excel" / "XLSTART"
    start.mkdir(parents=True)
    (start / "mlsysim.xlam").touch()
    assert "a trusted location: mlsysim.xlam" in findings(tmp_path)[True]
