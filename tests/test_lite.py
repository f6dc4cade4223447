"""xlwings Lite: the folder that an administrator serves, and the workbook that carries its functions."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest
import xlwings
from lxml import etree

from mlsysim.version import __version__
from udfs import FUNCTIONS, lite
from udfs.__main__ import main as mls_udfs
from udfs.addin import AddinError
from workbook.__main__ import main as mls_workbook
from workbook.cells import read_grids
from workbook.check import check
from workbook.flavour import build_flavour
from workbook.lite import PREFIX, spelled
from workbook.package import open_package
from workbook.plan import read_plan
from workbook.recalc import recalc
from workbook.whitelist import own_name

ADDRESS = "https://files.example.com/mls"


def test_the_wheel_installs_and_answers(tmp_path: Path) -> None:
    """Pip accepts it, and the copy that it installs answers without this project's folder."""
    (tmp_path / lite.WHEEL).write_bytes(lite.wheel())
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(tmp_path / lite.WHEEL)], check=True)
    code = "from udfs import mls; print(mls.__file__, mls.MLS_VERSION(), mls.MLS_KVCACHE('Llama3_8B', 4096, 32))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(target)!r}); {code}"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    file, version, size = done.stdout.split()
    assert Path(file).is_relative_to(target)
    assert version == __version__
    assert float(size) == pytest.approx(17.179869184)


def test_the_wheel_is_the_same_twice_and_lists_itself() -> None:
    data = lite.wheel()
    assert data == lite.wheel()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        record = next(n for n in archive.namelist() if n.endswith("RECORD"))
        assert {row[0] for row in csv.reader(archive.read(record).decode().splitlines())} == set(archive.namelist())
        needs = archive.read(record.replace("RECORD", "METADATA")).decode()
    heavy = [line for line in needs.splitlines() if line.startswith("Requires-Dist") and "extra" not in line]
    assert [("emscripten" in n) for n in heavy if "numpy" not in n and "xlwings" not in n] == [True] * 3


def test_the_lines_to_paste(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mls_udfs(["lite", str(tmp_path / "new"), f"{ADDRESS}/"]) == 0
    assert str(tmp_path / "new" / "README.txt") in capsys.readouterr().out
    assert (tmp_path / "new" / "main.py").read_text() == lite.MAIN
    lines = (tmp_path / "new" / "requirements.txt").read_text().splitlines()
    assert lines == [f"xlwings=={xlwings.__version__}", "numpy", f"{ADDRESS}/{lite.WHEEL}"]
    assert mls_udfs(["lite", str(tmp_path / "new"), ADDRESS]) == 1
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["", "http://files.example.com", "files.example.com", 'https://a"b', "https://a b"])
def test_a_wrong_address_is_refused(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AddinError, match="https://"):
        lite.requirements(address)
    assert mls_workbook(["build", str(tmp_path / "L.xlsx"), "--flavour", "lite", "--address", address]) == 1
    assert "address" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_address_without_lite_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mls_workbook(["build", str(tmp_path / "L.xlsx"), "--address", ADDRESS]) == 1
    assert "belongs to the flavour lite" in capsys.readouterr().err


def test_only_calls_are_spelled_anew() -> None:
    assert spelled('MLS_TCO("MLS_TCO(x)",A1)+IF(A2,MLS_GET(B1),0)') == (
        f'{PREFIX}MLS_TCO("MLS_TCO(x)",A1)+IF(A2,{PREFIX}MLS_GET(B1),0)'
    )
    assert spelled(spelled("MLS_TCO(A1)")) == f"{PREFIX}MLS_TCO(A1)"
    assert spelled("my_MLS_TCO(A1)+MLS_OTHER(A1)") == "my_MLS_TCO(A1)+MLS_OTHER(A1)"
    assert own_name(f"{PREFIX}MLS_TCO") == "MLS_TCO"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lite") / "L.xlsx"
    assert build_flavour(out, read_plan(1), "lite", address=ADDRESS) == {}
    return out


@pytest.mark.slow
def test_a_workbook_carries_the_add_in_and_its_files(book: Path) -> None:
    """Relations lead from the package to the pane to the add-in's part, whose settings are the two files."""
    package = open_package(book)
    [panes] = [r.target for r in package.relations("") if r.kind == "webextensiontaskpanes"]
    [part] = [r.target for r in package.relations(panes) if r.kind == "webextension"]
    types = package.parts["[Content_Types].xml"].decode()
    assert f'"/{panes}"' in types
    assert f'"/{part}"' in types
    root = etree.fromstring(package.parts[part])
    held = {p.get("name"): json.loads(p.get("value", "")) for p in root.iter("{*}property")}
    assert held == {"main.py": lite.MAIN, "requirements.txt": lite.requirements(ADDRESS)}
    assert [e.tag.rpartition("}")[2] for e in root] == ["reference", "alternateReferences", "properties", "bindings"]


@pytest.mark.slow
def test_its_formulas_are_those_of_the_add_in_and_its_values_stay(book: Path, tmp_path: Path) -> None:
    """Every call has the prefix; the tools read it as before; a recalculation answers the same."""
    package = open_package(book)
    ours = [f.text for grid in read_grids(package) for f in grid.formulas.values() if "MLS_" in f.text]
    called = [text for text in ours if any(f"{name}(" in text for name in FUNCTIONS)]
    assert len(called) > 50
    assert all(PREFIX in text and spelled(text) == text for text in called)
    assert check(book) == []
    recalc(book, tmp_path / "again.xlsx", FUNCTIONS)
    first, again = (openpyxl.load_workbook(p, data_only=True) for p in (book, tmp_path / "again.xlsx"))
    for sheet in ("Decision", "Engine_Live", "Walls"):
        for row, other in zip(first[sheet].iter_rows(), again[sheet].iter_rows(), strict=True):
            assert [c.value for c in row] == [c.value for c in other]
    parts = open_package(tmp_path / "again.xlsx").parts
    assert {n: parts[n] for n in package.parts if "webext" in n} == {
        n: package.parts[n] for n in package.parts if "webext" in n
    }
