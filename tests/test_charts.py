"""Every native chart: titles, units on its axes, series that point at figures, readable in grey."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from lxml import etree
from openpyxl import load_workbook
from openpyxl.workbook import Workbook

from workbook.sheets.chart_data import CATEGORIES, SHEET, STACK
from workbook.sheets.money import result

C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"


@pytest.fixture(scope="module")
def charts(plan: Path) -> dict[str, etree._Element]:
    """The charts of the default workbook by title."""
    out = {}
    with zipfile.ZipFile(plan) as package:
        for name in package.namelist():
            if re.fullmatch(r"xl/charts/chart\d+\.xml", name):
                root = etree.fromstring(package.read(name))
                out[_title(root.find(f"{C}chart"))] = root
    return out


@pytest.fixture(scope="module")
def values(plan: Path) -> Workbook:
    """The default workbook, its values."""
    return load_workbook(plan, data_only=True)


def _title(element: etree._Element | None) -> str:
    assert element is not None
    title = element.find(f"{C}title")
    return "" if title is None else "".join(str(t) for t in title.itertext()).strip()


def _cells(book: Workbook, reference: str) -> list[object]:
    sheet, _, area = reference.rpartition("!")
    found = book[sheet.strip("'")][area.replace("$", "")]
    rows = found if isinstance(found, tuple) else ((found,),)
    return [c.value for row in rows for c in (row if isinstance(row, tuple) else (row,))]


CHARTS = {
    "Decision": ("Net cash cost after tax so far", "What moves the net present cost most", "Roofline", "Memory"),
    "Money": ("Net cash cost after tax by year",),
    "Compare": ("Cost of a million generated tokens against utilisation", "Where the money goes"),
    "Sensitivity": ("What moves the net present cost, one input at a time",),
    "Carbon": ("Carbon of the same fleet on other grids",),
}


def test_the_charts_that_a_buyer_needs_are_there(charts: dict[str, etree._Element], values: Workbook) -> None:
    for sheet in (s for s in CHARTS if s in values.sheetnames):
        assert len(values[sheet]._charts) == len(CHARTS[sheet])  # type: ignore[attr-defined]
        for words in CHARTS[sheet]:
            assert any(title.startswith(words) for title in charts), words


def test_every_chart_names_its_source(values: Workbook) -> None:
    """A line of text right under the plot."""
    for name in (s for s in CHARTS if s in values.sheetnames):
        sheet = values[name]
        for chart in sheet._charts:  # type: ignore[attr-defined]
            under = sheet.cell(chart.anchor.to.row + 1, chart.anchor._from.col + 1).value
            assert str(under).startswith("Source: "), name


def test_titles_units_and_axes(charts: dict[str, etree._Element]) -> None:
    for title, root in charts.items():
        assert title
        values = root.findall(f".//{C}valAx")
        assert values
        assert all(_title(axis) for axis in values), title  # every axis of figures says its unit
        for axis in (*values, *root.findall(f".//{C}catAx")):
            assert axis.find(f"{C}delete").get("val") == "0"  # type: ignore[union-attr]
        for overlay in root.iter(f"{C}overlay"):
            assert overlay.get("val") == "0", title
        assert all(smooth.get("val") == "0" for smooth in root.iter(f"{C}smooth")), title


def test_series_point_at_figures(charts: dict[str, etree._Element], values: Workbook) -> None:
    for title, root in charts.items():
        series = root.findall(f".//{C}ser")
        assert series
        drawn = 0
        for one in series:
            name = one.find(f"{C}tx/{C}strRef/{C}f")
            assert name is None or all(isinstance(v, str) and v for v in _cells(values, str(name.text))), title
            for kind in ("val", "yVal", "xVal"):
                found = one.find(f"{C}{kind}//{C}f")
                if found is None:
                    continue
                cells = _cells(values, str(found.text))
                assert all(v is not None for v in cells), (title, found.text)
                drawn += sum(isinstance(v, int | float) for v in cells) if kind != "xVal" else 0
            names = one.find(f"{C}cat//{C}f")
            assert names is None or all(v not in (None, "") for v in _cells(values, str(names.text))), title
        assert drawn >= 2, title


def test_series_differ_without_colour(charts: dict[str, etree._Element]) -> None:
    for title, root in charts.items():
        looks = []
        for one in root.findall(f".//{C}ser"):
            shape = one.find(f"{C}spPr")
            dash, pattern, marker = (
                None if shape is None else shape.find(f"{A}ln/{A}prstDash"),
                None if shape is None else shape.find(f"{A}pattFill"),
                one.find(f"{C}marker/{C}symbol"),
            )
            looks.append(
                (
                    None if dash is None else dash.get("val"),
                    None if pattern is None else pattern.get("prst"),
                    None if marker is None else marker.get("val"),
                )
            )
        assert len(set(looks)) == len(looks), title


def test_categories_make_the_whole_cost(values: Workbook) -> None:
    """The stack of an option is its net cash cost after tax: nothing is left out or counted twice."""
    data, money = values[SHEET], values["Money"]
    end = STACK + len(CATEGORIES) + 1
    for i, c in enumerate("CDEFGH"):
        whole = money[result("after", i).removeprefix("Money!").replace("$", "")].value
        assert data[f"{c}{end}"].value == pytest.approx(whole, rel=1e-9)


def test_cost_so_far_ends_at_the_net_cost_and_stays(values: Workbook) -> None:
    data, money = values[SHEET], values["Money"]
    rows = [r for r in range(1, data.max_row + 1) if data[f"A{r}"].value == "Month of the timeline"]
    assert len(rows) == 1
    last, horizon = (
        data.max_row,
        next(r for r in range(rows[0] + 1, data.max_row + 1) if data[f"B{r}"].value < data[f"A{r}"].value),
    )
    for i, c in enumerate("CDEFGH"):
        whole = money[result("after", i).removeprefix("Money!").replace("$", "")].value
        assert data[f"{c}{last}"].value == data[f"{c}{horizon}"].value == pytest.approx(whole, rel=1e-9)
