"""How the native charts look, and those of Decision and Engine.

Every chart has a title, units on its axes and a legend beside the plot.  Series differ in dash, marker or pattern as
well as in colour, so that a print in grey can be read.  The other charts are in `charts_sheets`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from openpyxl.chart import BarChart, LineChart, Reference, ScatterChart, Series
from openpyxl.chart.data_source import AxDataSource, StrRef
from openpyxl.chart.layout import Layout as ChartLayout
from openpyxl.chart.layout import ManualLayout
from openpyxl.chart.marker import Marker
from openpyxl.chart.series import SeriesLabel
from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.chart.text import RichText
from openpyxl.drawing.colors import ColorChoice
from openpyxl.drawing.fill import PatternFillProperties
from openpyxl.drawing.line import LineProperties
from openpyxl.drawing.spreadsheet_drawing import AnchorMarker, TwoCellAnchor
from openpyxl.drawing.text import CharacterProperties, Paragraph, ParagraphProperties
from openpyxl.utils import get_column_letter
from openpyxl.utils.cell import column_index_from_string, coordinate_from_string
from openpyxl.worksheet.worksheet import Worksheet

from ..style import block_title, put
from .chart_data import BARS, BATCHES, DRAWN, FIRST, MEMORY, TOP_BARS, months_top
from .engine import DERIVED, FIRST_OPTION, LABEL_ROW, ROW, option_columns
from .monthly import Layout

COLOURS = ("1F3A5F", "B45309", "00703C", "6B21A8", "6B7280", "C00000", "0E7490", "A16207", "4B5563", "9CA3AF")
DASHES = ("solid", "dash", "sysDot", "dashDot", "lgDash", "sysDash", "lgDashDot", "lgDashDotDot")
MARKERS: Any = ("circle", "square", "triangle", "diamond", "x", "plus", "star", "dash")
PATTERNS: Any = ("solid", "wdUpDiag", "pct20", "ltHorz", "wdDnDiag", "lgGrid", "ltVert", "diagCross", "dotGrid", "pct5")
INTENSITIES = tuple(2.0**e for e in range(-1, 13))  # FLOP/B
GRID_GAP = 4  # rows between Engine's derived figures and the points of the roofline
MILLIONS = '#,##0.0,,"M"'


def text_of(size: float, *, bold: bool = False) -> RichText:
    """The look of a chart's words, in points."""
    look = CharacterProperties(sz=int(size * 100), b=bold)
    return RichText(p=[Paragraph(pPr=ParagraphProperties(defRPr=look), endParaRPr=look)])


def axes(chart: Any, title: str, x: str, y: str, *, legend: Literal["b", "r"] | None = "b") -> None:
    """Titles, axes and legend beside the plot, never over it: Excel must be told."""
    chart.title, chart.x_axis.title, chart.y_axis.title = title, x or None, y
    for words, size in ((chart.title, 11.0), (chart.x_axis.title, 9.0), (chart.y_axis.title, 9.0)):
        if words is None:
            continue
        words.overlay = False
        for paragraph in words.tx.rich.p:
            paragraph.pPr = ParagraphProperties(defRPr=CharacterProperties(sz=int(size * 100), b=size > 10))
    for axis in (chart.x_axis, chart.y_axis):
        axis.delete = False
        axis.txPr = text_of(9)
        if axis.majorGridlines is not None:
            axis.majorGridlines.spPr = GraphicalProperties(ln=LineProperties(solidFill="D0D5DB"))
    if legend is None:
        chart.legend = None
    else:
        chart.legend.position, chart.legend.overlay = legend, False
        chart.legend.txPr = text_of(9)
    chart.roundedCorners = False


def over(sheet: Worksheet, chart: Any, first: str, after: str) -> None:
    """Place a chart over cells: from the corner of `first` to the corner of `after`, whatever the columns measure."""
    corners = []
    for at in (first, after):
        column, row = coordinate_from_string(at)
        corners.append(AnchorMarker(col=column_index_from_string(column) - 1, row=row - 1))
    chart.anchor = TwoCellAnchor("twoCell", *corners)
    sheet.add_chart(chart)


def beside(chart: Any, width: float) -> None:
    """Give the plot this share of the width and the legend the rest, or long names would squeeze the plot."""
    box = ManualLayout(layoutTarget="inner", xMode="edge", yMode="edge", x=0.09, y=0.15, w=width, h=0.6)
    chart.plot_area.layout = ChartLayout(manualLayout=box)
    room = ManualLayout(xMode="edge", yMode="edge", x=width + 0.12, y=0.13, w=0.87 - width, h=0.8)
    chart.legend.layout = ChartLayout(manualLayout=room)


def label(sheet: Worksheet, at: str) -> Any:
    """A series name that is the text of a cell."""
    return SeriesLabel(strRef=StrRef(f"'{sheet.title}'!{at}"))


def fill(i: int) -> GraphicalProperties:
    """Colour and pattern of the i-th kind of bar."""
    colour, pattern = COLOURS[i % len(COLOURS)], PATTERNS[i % len(PATTERNS)]
    if pattern == "solid":
        out = GraphicalProperties(solidFill=colour)
    else:
        inks: Any = [ColorChoice(), ColorChoice()]
        inks[0].srgbClr, inks[1].srgbClr = colour, "FFFFFF"
        out = GraphicalProperties(pattFill=PatternFillProperties(prst=pattern, fgClr=inks[0], bgClr=inks[1]))
    out.line.solidFill = colour
    return out


def line(series: Any, i: int, *, marked: bool = False) -> None:
    """Colour and dash of the i-th line, straight between its points."""
    series.smooth = False
    series.marker = Marker(MARKERS[i % len(MARKERS)], size=5) if marked else Marker("none")
    if marked:
        series.marker.graphicalProperties = GraphicalProperties(solidFill=COLOURS[i % len(COLOURS)])
    stroke = series.graphicalProperties.line
    stroke.solidFill, stroke.width = COLOURS[i % len(COLOURS)], 22225
    stroke.dashStyle = DASHES[i % len(DASHES)]


def bars(
    kind: Literal["col", "bar"], sheet: Worksheet, rows: Sequence[tuple[str, str, str]], *, stacked: bool = False
) -> BarChart:
    """A bar chart; every row of it is (address of the name, of the values, of the categories) on `sheet`."""
    chart = BarChart()
    chart.type = kind
    chart.grouping, chart.gapWidth = ("stacked" if stacked else "clustered"), 60
    chart.overlap = 100 if stacked else 0
    for i, (name, values, categories) in enumerate(rows):
        series = Series(Reference(range_string=f"'{sheet.title}'!{values}"), title_from_data=False)
        series.tx = label(sheet, name)
        series.cat = AxDataSource(strRef=StrRef(f"'{sheet.title}'!{categories}"))
        series.graphicalProperties = fill(i)
        series.invertIfNegative = False
        chart.series.append(series)
    chart.x_axis.tickLblPos = "low"
    return chart


def source(sheet: Worksheet, at: str, text: str) -> None:
    """The line under a chart that says where its figures come from."""
    put(sheet, at, f"Source: {text}", "mls source")


def add_crossover_chart(
    sheet: Worksheet, data: Worksheet, layout: Layout, corners: tuple[str, str], under: str
) -> None:
    """Cost so far by month of every option, between two corners; `under` is the cell of the source line."""
    chart = ScatterChart()
    chart.style, chart.scatterStyle = 13, "lineMarker"
    top = months_top(_bars_of(data))
    first, last = top + 1, top + 1 + layout.months
    for i in range(layout.count):
        x, y = (Reference(data, min_col=c, min_row=first, max_row=last) for c in (2, FIRST + i))
        series = Series(y, x)
        series.tx = label(data, f"${get_column_letter(FIRST + i)}${top}")
        line(series, i)
        chart.series.append(series)
    axes(chart, "Net cash cost after tax so far", "Month", "Chosen currency, million", legend="r")
    chart.y_axis.number_format, chart.y_axis.numFmt.sourceLinked = MILLIONS, False
    months: Any = chart.x_axis
    months.number_format, months.scaling.min, months.majorUnit, months.tickLblPos = "0", 0, 12, "low"
    beside(chart, 0.54)
    over(sheet, chart, *corners)
    source(
        sheet,
        under,
        "Monthly, cost after tax so far, in the chosen currency. Where two lines cross, the cheaper changes.",
    )


def add_top_chart(sheet: Worksheet, data: Worksheet, corners: tuple[str, str], under: str) -> None:
    """The inputs that move the cost of the shown option most."""
    chart = tornado(data, TOP_BARS, "What moves the net present cost most")
    box = ManualLayout(layoutTarget="inner", xMode="edge", yMode="edge", x=0.38, y=0.14, w=0.58, h=0.55)
    chart.plot_area.layout = ChartLayout(manualLayout=box)
    over(sheet, chart, *corners)
    source(sheet, under, "Sensitivity, option shown; one input at a time.")


def tornado(data: Worksheet, count: int, title: str) -> BarChart:
    """Change of the cost at the low and the high of each input, the largest on top."""
    rows = [(f"${c}${BARS}", f"${c}${BARS + 1}:${c}${BARS + count}", f"$A${BARS + 1}:$A${BARS + count}") for c in "CD"]
    chart = bars("bar", data, rows)
    chart.overlap, chart.gapWidth = 100, 40
    axes(chart, title, "", "Change of net present cost, chosen currency, million")
    chart.x_axis.scaling.orientation = "maxMin"
    chart.x_axis.tickLblSkip = 1
    chart.y_axis.crosses = "max"
    chart.y_axis.number_format, chart.y_axis.numFmt.sourceLinked = MILLIONS, False
    return chart


def _bars_of(data: Worksheet) -> int:
    """How many bars the sheet holds."""
    row = BARS + 1
    while data.cell(row, 3).value is not None:
        row += 1
    return row - BARS - 1


def add_memory_chart(sheet: Worksheet, data: Worksheet, corners: tuple[str, str], under: str) -> None:
    """Weights, KV cache and what is free by batch, and the usable memory as a line."""
    first, last = MEMORY + 1, MEMORY + len(BATCHES)
    places = [(f"${c}${MEMORY}", f"${c}${first}:${c}${last}", f"$A${first}:$A${last}") for c in "CDEF"]
    chart = bars("col", data, places, stacked=True)
    chart.series[-1].graphicalProperties = fill(len(PATTERNS) - 1)
    axes(chart, "Memory of one copy of the model", "Requests for each accelerator", "GB")
    limit = LineChart()
    series = Series(Reference(range_string=f"'{data.title}'!$G${first}:$G${last}"), title_from_data=False)
    series.tx = label(data, f"$G${MEMORY}")
    line(series, 5)
    limit.series.append(series)
    chart += limit
    chart.y_axis.number_format, chart.y_axis.numFmt.sourceLinked = "#,##0", False
    over(sheet, chart, *corners)
    put(sheet, under, f'="Source: sizes on Engine; drawn for "&{DRAWN}', "mls source")


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
            peak = f"{c}${ROW['peak']}"
            formula = f"=IF(ISNUMBER({peak}),MIN({peak},{c}${ROW['bandwidth']}*$C{r}/1000),{peak})"
            put(sheet, f"{c}{r}", formula, "mls formula", "#,##0.00")


def _points_row() -> int:
    return max(DERIVED.values()) + GRID_GAP


def add_roofline_chart(sheet: Worksheet, engine: Worksheet, count: int, corners: tuple[str, str], under: str) -> None:
    """Log-log roofline of every option, with its decoding at batch 1 and at the chosen batch."""
    chart = ScatterChart()
    chart.style, chart.scatterStyle = 13, "lineMarker"
    top = _points_row()
    x = Reference(engine, min_col=3, min_row=top + 1, max_row=top + len(INTENSITIES))
    for i in range(count):
        y = Reference(engine, min_col=FIRST_OPTION + i, min_row=top + 1, max_row=top + len(INTENSITIES))
        series = Series(y, x)
        series.tx = label(engine, f"${option_columns(count)[i]}${LABEL_ROW}")
        line(series, i)
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
    axes(
        chart,
        "Roofline at the chosen precision",
        "Arithmetic intensity, FLOP/B (log)",
        "Attainable rate, TFLOP/s (log)",
    )
    for axis, low in ((chart.x_axis, 0.1), (chart.y_axis, 1.0)):
        axis.scaling.logBase, axis.scaling.min = 10, low
        axis.number_format, axis.crosses = "General", "min"
    over(sheet, chart, *corners)
    source(sheet, under, "Engine, peak rate and memory bandwidth at the format of each option.")
