"""The charts of Money, Compare, Sensitivity and Carbon."""

from __future__ import annotations

from collections.abc import Mapping

from openpyxl.chart import Reference, ScatterChart, Series
from openpyxl.utils import get_column_letter, range_boundaries
from openpyxl.worksheet.pagebreak import Break
from openpyxl.worksheet.worksheet import Worksheet

from ..errors import WorkbookError
from ..style import put
from .carbon import REGIONS, SORTED
from .chart_data import CATEGORIES, DRAWN, FIRST, STACK
from .charts import MILLIONS, axes, bars, beside, label, line, over, source, tornado
from .money import FIRST_YEAR, HEAD, HEIGHT, OFFSET, TOP
from .monthly import Layout

WIDE = 130.0  # of a chart, in the digits that columns are measured in


Room = tuple[str, str, str]  # cells: first corner, the one after the last, the source line


def room_below(sheet: Worksheet, rows: int = 22) -> Room:
    """Room for a chart below all that a sheet holds, on a page of its own when printed."""
    first = sheet.max_row + 2
    areas = [area.rpartition("!")[2].replace("$", "") for area in str(sheet.print_area or "").split(",")]
    if areas[-1]:
        areas[-1] = f"{areas[-1].rstrip('0123456789')}{first + rows + 1}"
        sheet.print_area = ",".join(areas)
        sheet.row_breaks.append(Break(id=first - 1))
    column, wide = 0, 0.0
    while wide < WIDE:
        column += 1
        wide += sheet.column_dimensions[get_column_letter(column)].width
    return f"A{first}", f"{get_column_letter(column + 1)}{first + rows}", f"A{first + rows}"


def add_stack_chart(sheet: Worksheet, data: Worksheet, layout: Layout, room: Room) -> None:
    """Cost of every option by category; `room` says where, here and below."""
    first, last = (get_column_letter(FIRST + i) for i in (0, layout.count - 1))
    categories = f"${first}${STACK}:${last}${STACK}"
    rows = [(f"$A${r}", f"${first}${r}:${last}${r}", categories) for r in range(STACK + 1, STACK + 1 + len(CATEGORIES))]
    chart = bars("col", data, rows, stacked=True)
    axes(chart, "Where the money goes, over the horizon", "", "Chosen currency, million, undiscounted", legend="r")
    chart.y_axis.number_format, chart.y_axis.numFmt.sourceLinked = MILLIONS, False
    over(sheet, chart, *room[:2])
    source(sheet, room[2], "Money, totals of every option; income below the line.")


def add_utilisation_chart(sheet: Worksheet, places: Mapping[str, str], room: Room) -> None:
    """Cost of a million tokens against the share of the time that is filled.

    Parameters
    ----------
    sheet : Worksheet
        Where the chart and its points stand.
    places : mapping of str to str
        Ranges: `shares`, a column; `figures`, with one column for each option; `labels`, a row over them.
    room : (str, str, str)
        Where the chart goes.
    """
    chart = ScatterChart()
    chart.style, chart.scatterStyle = 13, "lineMarker"
    left, top, right, bottom = _corners(places["figures"])
    head, column = _corners(places["labels"])[1], _corners(places["shares"])[0]
    x = Reference(sheet, min_col=column, min_row=top, max_row=bottom)
    for i, c in enumerate(range(left, right + 1)):
        series = Series(Reference(sheet, min_col=c, min_row=top, max_row=bottom), x)
        series.tx = label(sheet, f"${get_column_letter(c)}${head}")
        line(series, i, marked=True)
        chart.series.append(series)
    title = "Cost of a million generated tokens against utilisation"
    axes(chart, title, "Share of the time filled with paid work", "Chosen currency per million tokens", legend="r")
    chart.x_axis.number_format, chart.x_axis.numFmt.sourceLinked = "0%", False
    chart.y_axis.number_format, chart.y_axis.numFmt.sourceLinked = "#,##0.00", False
    chart.y_axis.scaling.min = 0
    beside(chart, 0.62)
    over(sheet, chart, *room[:2])
    source(sheet, room[2], "this sheet. Where two lines cross, both cost the same: break-even.")


def _corners(area: str) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a range that may name its sheet."""
    left, top, right, bottom = range_boundaries(area.rpartition("!")[2].replace("$", ""))
    if left is None or top is None or right is None or bottom is None:
        raise WorkbookError(f"a chart's points stand in whole cells, not in {area}.")
    return left, top, right, bottom


def add_tornado_chart(sheet: Worksheet, data: Worksheet, count: int, room: Room) -> None:
    """All inputs that Sensitivity ranks."""
    chart = tornado(data, count, "What moves the net present cost, one input at a time")
    over(sheet, chart, *room[:2])
    source(sheet, room[2], "this sheet, option shown on Decision; worst cases are never summed.")


def add_cash_chart(sheet: Worksheet, layout: Layout, room: Room) -> None:
    """Net cash cost after tax by year of every option."""
    first, last = (get_column_letter(FIRST_YEAR + y) for y in (0, layout.months // 12 - 1))
    rows = []
    for option in range(layout.count):
        top = TOP + option * HEIGHT
        r = top + OFFSET["after"]
        rows.append((f"$A${top}", f"${first}${r}:${last}${r}", f"${first}${HEAD}:${last}${HEAD}"))
    chart = bars("col", sheet, rows)
    axes(chart, "Net cash cost after tax by year", "Year of the plan", "Chosen currency, million", legend="r")
    chart.y_axis.number_format, chart.y_axis.numFmt.sourceLinked = MILLIONS, False
    over(sheet, chart, *room[:2])
    put(sheet, "A3", f'=HYPERLINK("#Money!{room[0]}","Chart: cash by year")', "mls url")
    source(sheet, room[2], "this sheet, rows net cash cost after tax; year 1 holds month 0.")


def add_carbon_chart(sheet: Worksheet, room: Room) -> None:
    """The electricity of the option drawn, were it taken from other grids, the lowest first."""
    first, last = SORTED + 1, SORTED + len(REGIONS)
    chart = bars("bar", sheet, [(f"$D${SORTED}", f"$D${first}:$D${last}", f"$A${first}:$A${last}")])
    axes(chart, "Carbon of the same fleet on other grids", "", "tCO2e over the horizon", legend=None)
    chart.x_axis.scaling.orientation = "maxMin"
    chart.y_axis.crosses = "max"
    chart.y_axis.number_format, chart.y_axis.numFmt.sourceLinked = "#,##0,", False
    over(sheet, chart, *room[:2])
    text = f'="Source: this sheet, life cycle of the electricity of each grid; drawn for "&{DRAWN}'
    put(sheet, room[2], text, "mls source")
