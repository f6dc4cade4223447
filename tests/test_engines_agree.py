"""The embedded engine and LibreOffice agree on every cell: three scenarios, live and frozen, in two languages."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl import Workbook
from openpyxl.utils import range_boundaries
from openpyxl.worksheet.formula import ArrayFormula

from udfs import FUNCTIONS
from udfs.libreoffice import find_soffice, recalculate
from workbook.build import draft_book
from workbook.finalize import finalize
from workbook.freeze import freeze

pytestmark = [
    pytest.mark.libreoffice,
    pytest.mark.slow,
    pytest.mark.skipif(find_soffice() is None, reason="no LibreOffice here"),
]

SCENARIOS = ("Base", "Low", "High")
LOCALES = ("en-US", "de-DE")


@pytest.fixture(scope="module", params=SCENARIOS)
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default plan in one scenario, with live figures."""
    folder = tmp_path_factory.mktemp(request.param)
    book = draft_book()
    sheet, at = book.defined_names["in_Scenario"].attr_text.replace("$", "").split("!")
    book[sheet][at] = request.param
    book.save(folder / "draft.xlsx")
    assert finalize(folder / "draft.xlsx", folder / "live.xlsx", FUNCTIONS) == {}
    return folder / "live.xlsx"


@pytest.fixture(scope="module")
def frozen(live: Path) -> Path:
    """The same, frozen."""
    out = live.with_name("frozen.xlsx")
    freeze(live, FUNCTIONS, out=out)
    return out


def formula_cells(path: Path) -> Iterator[tuple[str, str]]:
    """Sheet and address of every formula cell, and of every cell that an array formula fills."""
    for sheet in openpyxl.load_workbook(path).worksheets:
        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    area = cell.value.ref if isinstance(cell.value, ArrayFormula) else cell.coordinate
                    first_column, first_row, last_column, last_row = range_boundaries(area)
                    for line in sheet.iter_rows(first_row, last_row, first_column, last_column):
                        yield from ((sheet.title, str(other.coordinate)) for other in line)


@functools.lru_cache(maxsize=1)
def stored(path: Path) -> tuple[Workbook, list[tuple[str, str]]]:
    """The values in a file and its formula cells, read once for all languages."""
    return openpyxl.load_workbook(path, data_only=True), list(formula_cells(path))


def agree(cached: Any, computed: Any) -> bool:
    """Numbers to 1e-9 of themselves (or of a unit, where sums of both signs cancel); all else exactly."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in (cached, computed)):
        return math.isclose(cached, computed, rel_tol=1e-9, abs_tol=1e-9)
    return bool(("" if cached is None else cached) == ("" if computed is None else computed))


def differences(path: Path, tmp_path: Path, locale: str) -> tuple[int, list[str]]:
    """How many cells were compared, and those that are in error or differ."""
    result = recalculate(path, tmp_path / "out", locale=locale)
    cached, cells = stored(path)
    computed = openpyxl.load_workbook(result, data_only=True)
    out = [
        f"{sheet.title}!{cell.coordinate} = {cell.value}"
        for sheet in computed.worksheets
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "e"
    ]
    for sheet_name, at in cells:
        ours, theirs = cached[sheet_name][at].value, computed[sheet_name][at].value
        if not agree(ours, theirs):
            out.append(f"{sheet_name}!{at}: embedded {ours!r}, LibreOffice {theirs!r}")
    return len(cells), out


@pytest.mark.parametrize("locale", LOCALES)
def test_live_figures_agree(live: Path, locale: str, tmp_path: Path) -> None:
    count, different = differences(live, tmp_path, locale)
    assert count > 25_000
    assert not different, "\n".join(different[:40])


@pytest.mark.parametrize("locale", LOCALES)
def test_frozen_figures_agree(frozen: Path, locale: str, tmp_path: Path) -> None:
    count, different = differences(frozen, tmp_path, locale)
    assert count > 25_000
    assert not different, "\n".join(different[:40])
