"""Native charts: cost by category, and the roofline on logarithmic axes with the chosen workload on it."""

from __future__ import annotations

from typing import Any, Literal

from openpyxl.chart import BarChart, Reference, ScatterChart, Series
from openpyxl.chart.data_source import AxDataSource, StrRef
from openpyxl.chart.marker import Marker
from openpyxl.chart.series import SeriesLabel
from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.worksheet.worksheet import Worksheet

from ..style import block_title, put
from .engine import DERIVED, FIRST_OPTION, LABEL_ROW, ROW, option_columns

COLOURS = ("1F3A5F", "B45309", "00703C", "6B21A8", "9CA3AF", "C00000", "0E7490", "A16207", "4B5563")
DASHES = ("solid", "dash", "sysDot", "dashDot")
INTENSITIES = tuple(2.0**e for e in range(-1, 13))  # FLOP/B
GRID_GAP = 4  # rows between Engine's derived figures and the points of the roofline


def _axes(chart: Any, title: str, x: str, y: str) -> None:
    """Titles, axes and legend beside the plot, never over it: Excel must be told."""
    chart.title, chart.x_axis.title, chart.y_axis.title = title, x, y
    for text in (chart.title, chart.x_axis.title, chart.y_axis.title):
        text.overlay = False
    chart.x_axis.delete = chart.y_axis.delete = False
    chart.legend.position, chart.legend.overlay = "b", False
    chart.roundedCorners = False


def _size(chart: Any, width: float, height: float = 9.8) -> None:
    chart.width, chart.height = width, height  # cm


def add_cost_chart(sheet: Worksheet, row: int, count: int, lines: int, anchor: str) -> None:
    """Stacked columns: one per option, one colour per category."""
    chart = BarChart()
    chart.type, chart.grouping, chart.overlap = "col", "stacked", 100
    for i in range(lines):
        r = row + 1 + i
        values = Reference(sheet, min_col=FIRST_OPTION, max_col=FIRST_OPTION + count - 1, min_row=r)
        series = Series(values, title_from_data=False)
        series.tx = _title(sheet, f"$A${r}")
        series.graphicalProperties = GraphicalProperties(solidFill=COLOURS[i % len(COLOURS)])
        chart.series.append(series)
    names = option_columns(count)
    for series in chart.series:
        series.cat = AxDataSource(strRef=StrRef(f"'{sheet.title}'!${names[0]}${row}:${names[-1]}${row}"))
    _axes(chart, "Cost over the horizon", "", "USD, undiscounted")
    chart.x_axis.tickLblPos = "low"
    chart.legend.position = "r"
    chart.y_axis.number_format = '#,##0.0,,"M"'
    _size(chart, 12.4)
    sheet.add_chart(chart, anchor)


def _title(sheet: Worksheet, at: str) -> Any:
    return SeriesLabel(strRef=StrRef(f"'{sheet.title}'!{at}"))


def add_roofline_points(sheet: Worksheet, count: int) -> None:
    """The points of the rooflines, native, below the figures of Engine."""
    top = _points_row()
    columns = option_columns(count)
    block_title(
        sheet, top, "Roofline: attainable rate by arithmetic intensity (points of the chart)", FIRST_OPTION + count - 1
    )
    for i, intensity in enumerate(INTENSITIES):
        r = top + 1 + i
        put(sheet, f"A{r}", "Arithmetic intensity")
        put(sheet, f"B{r}", "FLOP/B", "mls unit")
        put(sheet, f"C{r}", intensity, "mls formula", "General")
        for c in columns:
            formula = f"=MIN({c}${ROW['peak']},{c}${ROW['bandwidth']}*$C{r}/1000)"
            put(sheet, f"{c}{r}", formula, "mls formula", "#,##0.00")


def _points_row() -> int:
    return max(DERIVED.values()) + GRID_GAP


def add_roofline_chart(sheet: Worksheet, engine: Worksheet, count: int, anchor: str) -> None:
    """Log-log roofline of every option, with its decoding at batch 1 and at the chosen batch."""
    chart = ScatterChart()
    chart.style, chart.scatterStyle = 13, "lineMarker"
    top = _points_row()
    x = Reference(engine, min_col=3, min_row=top + 1, max_row=top + len(INTENSITIES))
    for i in range(count):
        y = Reference(engine, min_col=FIRST_OPTION + i, min_row=top + 1, max_row=top + len(INTENSITIES))
        series = Series(y, x)
        series.tx = _title(engine, f"${option_columns(count)[i]}${LABEL_ROW}")
        series.smooth, series.marker = False, Marker("none")
        series.graphicalProperties.line.solidFill = COLOURS[i % len(COLOURS)]
        series.graphicalProperties.line.width = 19050
        series.graphicalProperties.line.dashStyle = DASHES[i % len(DASHES)]
        chart.series.append(series)
    marks: tuple[tuple[str, Literal["circle", "triangle"], str], ...] = (
        ("1", "circle", "decoding, batch 1"),
        ("b", "triangle", "decoding, chosen batch"),
    )
    last = FIRST_OPTION + count - 1
    for name, symbol, text in marks:
        xs = Reference(engine, min_col=FIRST_OPTION, max_col=last, min_row=ROW[f"intensity_{name}"])
        ys = Reference(engine, min_col=FIRST_OPTION, max_col=last, min_row=DERIVED[f"attained_{name}"])
        series = Series(ys, xs, title=text)
        series.smooth, series.marker = False, Marker(symbol, size=8)
        series.marker.graphicalProperties = GraphicalProperties(solidFill="111827")
        series.graphicalProperties.line.noFill = True
        chart.series.append(series)
    _axes(
        chart,
        "Roofline at the chosen precision",
        "Arithmetic intensity, FLOP/B (log)",
        "Attainable rate, TFLOP/s (log)",
    )
    for axis, low in ((chart.x_axis, 0.1), (chart.y_axis, 1.0)):
        axis.scaling.logBase, axis.scaling.min = 10, low
        axis.number_format, axis.crosses = "General", "min"
    _size(chart, 18.4)
    sheet.add_chart(chart, anchor)
