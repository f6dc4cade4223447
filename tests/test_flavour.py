"""Workbooks for readers without the add-in: what they hold, what they say of themselves, and what they lack."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from workbook import __main__ as command_line
from workbook.cells import read_grids
from workbook.check import check
from workbook.flavour import build_flavour
from workbook.formula import NoNativeForm
from workbook.frozen_sheet import calls_ours
from workbook.lambdas import lambdas
from workbook.package import open_package
from workbook.plan import read_plan
from workbook.sheets.inputs import FLAVOURS

pytestmark = pytest.mark.slow  # each builds and freezes a workbook


@pytest.fixture(scope="module", params=["lambda", "values"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp("flavour") / f"{request.param}.xlsx"
    assert build_flavour(out, read_plan(1), request.param) == {}
    return request.param, out


def test_the_words_are_those_of_the_command_line() -> None:
    assert tuple(FLAVOURS) == command_line.FLAVOURS


def test_it_needs_no_function_of_ours(built: tuple[str, Path]) -> None:
    """No cell calls one, no cell is in error, every check passes, and Decision says for whom it is."""
    flavour, path = built
    formulas = [f.text for grid in read_grids(open_package(path)) for f in grid.formulas.values()]
    assert len(formulas) > 5000
    assert not [text for text in formulas if calls_ours(text)]
    assert check(path) == []
    values = openpyxl.load_workbook(path, data_only=True)
    assert str(values["Decision"]["A2"].value).endswith(f"For {FLAVOURS[flavour]}.")
    assert str(values["Decision"]["B9"].value).startswith("frozen")


def test_names_are_the_functions(built: tuple[str, Path]) -> None:
    flavour, path = built
    names = {n.name: n.text for n in open_package(path).names() if n.name.startswith("MLS")}
    assert names == (lambdas() if flavour == "lambda" else {})


def test_a_function_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbook.lambdas.LONGEST", 1000)
    with pytest.raises(NoNativeForm, match=r"longer than a name may be: .*MLS_CLUSTER_MONTH"):
        lambdas()
