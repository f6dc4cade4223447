"""Sweep: choose axes and two goals; the best configurations, the front of both, a chart, what was refused and why.

The answers are three calls on Engine_Live, each a block of fixed size in every version of Excel; here they are read
cell by cell.  Axes go to the engine with the facts of this book's own registry sheets.
"""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.chart import Reference, ScatterChart, Series
from openpyxl.formatting.rule import Rule
from openpyxl.styles import Alignment
from openpyxl.styles.differential import DifferentialStyle
from openpyxl.styles.numbers import NumberFormat
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.pagebreak import Break
from openpyxl.worksheet.worksheet import Worksheet

from ..style import WHOLE, block_title, heading, page, protect, put
from .charts import axes as chart_axes
from .charts import label, line, over, source

SHEET, LIVE = "Sweep", "Engine_Live"
VALUES, AXES, WIDTH = 8, 8, 9  # values of an axis, axes, columns of the blocks
COUNTS, BEST, FRONT = 8, 10, 20  # rows of the blocks below their headings
LAST_COLUMN = get_column_letter(1 + VALUES)
FUNCTION, FIRST, SECOND, WHERE, SHOW = range(4, 9)
VERDICT = 10
AXES_HEAD = 13
COUNTS_HEAD = AXES_HEAD + AXES + 3
BEST_HEAD = COUNTS_HEAD + COUNTS + 3
CHART = BEST_HEAD + BEST + 3
FRONT_HEAD = CHART + 21
DATA = 12  # column L: the points of the chart
ASKED: tuple[tuple[int, str, str, str], ...] = (
    (FUNCTION, "Function", "serving", "a function that answers with figures: sheet Functions"),
    (FIRST, "First goal", "max decode_throughput", "max or min, and a figure: =MLS_METRICS(the function)"),
    (SECOND, "Second goal", "min itl", "the front shows what each goal costs in the other; may be blank"),
    (WHERE, "What must hold", "itl <= 30", "such as itl <= 30; ttft <= 2000, in the units shown below; may be blank"),
    (SHOW, "Show also", "ttft; total_memory_required", "further figures; may be blank"),
)  # fmt: skip
CHOSEN: tuple[tuple[object, ...], ...] = (
    ("model", "Llama3_8B"),
    ("hardware", "H100", "H200", "A100", "MI300X"),
    ("seq_len", 4096),
    ("batch", "8..256 by 8"),
    ("precision", "bf16", "fp8"),
)
REGISTRIES = {"model": "tblModels", "hardware": "tblHardware"}


class _Live:
    """Where Engine_Live holds what, from `row` on."""

    def __init__(self, row: int) -> None:
        self.title, self.asked, self.axes = row, row + 1, row + 2
        self.counts = self.axes + AXES + 1
        self.best = self.counts + COUNTS + 2
        self.front = self.best + BEST + 2

    def cell(self, top: int, column: int, row: int) -> str:
        return f"{LIVE}!${get_column_letter(column)}${top + row}"


def _echo() -> str:
    """All that is asked, as one text."""
    cells = [f"{SHEET}!$B${row}" for row, *_ in ASKED]
    cells += [f"{SHEET}!${get_column_letter(c)}${AXES_HEAD + r}" for r in range(1, AXES + 1)
              for c in range(1, VALUES + 2)]  # fmt: skip
    return '&"|"&'.join(cells)


def add_sweep_blocks(book: Workbook, row: int) -> None:
    """The calls, from `row` of Engine_Live."""
    sheet, live = book[LIVE], _Live(row)
    block_title(sheet, live.title, "The sheet Sweep: what is asked, its axes with this book's facts, its answers", 4)
    # In a frozen book this stays what it was when the answers were computed.
    put(sheet, f"A{live.asked}", f'=IF(MLS_VERSION()="","",{_echo()})', "mls engine")
    for r in range(AXES):
        for c in range(1, VALUES + 2):
            letter = get_column_letter(c)
            cell, name = f"{SHEET}!${letter}${AXES_HEAD + 1 + r}", f"{SHEET}!$A${AXES_HEAD + 1 + r}"
            known = cell
            if c > 1:
                for axis, table in REGISTRIES.items():
                    found = f"INDEX({table}[spec],MATCH({cell},{table}[key],0))"
                    known = f'IF({name}="{axis}",IF(ISERROR({found}),{cell},{found}),{known})'
            put(sheet, f"{letter}{live.axes + r}", f'=IF({cell}="","",{known})', "mls link")
    asked = {name: f"{SHEET}!$B${row}" for row, name, *_ in ASKED}
    area = f"$A${live.axes}:${LAST_COLUMN}${live.axes + AXES - 1}"
    start = f"=MLS_SWEEP({asked['Function']},{area}"
    where, show = asked["What must hold"], asked["Show also"]
    both = f'{asked["First goal"]}&","&{asked["Second goal"]}'
    put(sheet, f"A{live.counts}", f'{start},"",{where},"",{COUNTS},2)', "mls engine")
    put(sheet, f"A{live.best}", f"{start},{asked['First goal']},{where},{show},{BEST},{WIDTH})", "mls engine")
    put(sheet, f"A{live.front}", f"{start},{both},{where},{show},{FRONT},{WIDTH})", "mls engine")


def add_sweep(book: Workbook, row: int) -> None:
    """The Sweep sheet, over the blocks that start at `row` of Engine_Live."""
    sheet, live = book.create_sheet(SHEET), _Live(row)
    purpose = "Every combination of the values below, answered at once: the best, the trade-off, and what is refused."
    widths = {"A": 26, **{get_column_letter(c): 19 for c in range(2, VALUES + 2)}, "B": 30, "K": 3, "L": 14, "M": 14}
    page(sheet, "Sweep", purpose, widths, freeze="A4")
    for at, text, value, legal in ASKED:
        put(sheet, f"A{at}", text)
        put(sheet, f"B{at}", value, "mls input")
        put(sheet, f"C{at}", legal, "mls source")
    _inputs(sheet)
    current = f"{LIVE}!$A${live.asked}={_echo()}"
    put(sheet, f"E{VERDICT - 1}", "Answered (1 = yes)", "mls unit")
    put(sheet, f"F{VERDICT - 1}", f"=IF(ISERROR({current}),0,IF({current},1,0))", "mls unit", "0")
    corners = [live.cell(top, 1, 0) for top in (live.counts, live.best, live.front)]
    put(sheet, f"A{VERDICT}", _sentence(live, corners), "mls verdict")
    _table(sheet, COUNTS_HEAD, "What became of the configurations", live, live.counts, COUNTS, (2, 1))
    columns = tuple(range(1, WIDTH + 1))
    _table(sheet, BEST_HEAD, f'="Best by the first goal: "&$B${FIRST}', live, live.best, BEST, columns)
    front = f'="The front: none is better in both of "&$B${FIRST}&" and "&$B${SECOND}'
    _table(sheet, FRONT_HEAD, f'=IF($B${SECOND}="","No second goal: the best by the first",{front[1:]})', live,
           live.front, FRONT, columns)  # fmt: skip
    _chart(sheet)
    end = FRONT_HEAD + FRONT
    sheet.print_area = f"A1:{LAST_COLUMN}{end}"
    sheet.row_breaks.append(Break(id=CHART - 2))
    sheet.sheet_properties.tabColor = "00703C"
    protect(sheet)


def _inputs(sheet: Worksheet) -> None:
    text = "Axes: in each row an argument of the function and its values; 8..64 by 8 stands for 8, 16 and so on to 64"
    block_title(sheet, AXES_HEAD - 1, text, 1 + VALUES)
    heading(sheet, AXES_HEAD, ["Argument", *(f"Value {i}" for i in range(1, VALUES + 1))], height=18)
    for r in range(AXES):
        row = CHOSEN[r] if r < len(CHOSEN) else ()
        for c in range(1 + VALUES):
            at = f"{get_column_letter(1 + c)}{AXES_HEAD + 1 + r}"
            put(sheet, at, row[c] if c < len(row) else None, "mls input")


def _sentence(live: _Live, corners: list[str]) -> str:
    """How many pass, or why there is no answer."""
    every, passing = live.cell(live.counts, 2, 1), live.cell(live.counts, 2, 2)
    refused = live.cell(live.counts, 2, 4)
    numbers = f'{passing}&" of "&{every}&" configurations pass"'
    more = f'IF({refused}>0,"; "&{refused}&" are refused, see below","")'
    stale = '"Frozen: the answers below are those of other axes or goals; they come anew where the add-in is"'
    out = f"{numbers}&{more}"
    for corner in reversed(corners):
        out = f'IF(LEFT({corner},1)="#",{corner},{out})'
    return f'=IF(ISERROR({corners[0]}),"No answer: the add-in is missing",IF($F${VERDICT - 1}=0,{stale},{out}))'


def _table(
    sheet: Worksheet, top: int, title: str, live: _Live, block: int, rows: int, columns: tuple[int, ...]
) -> None:
    """A block of the engine, read cell by cell; nothing where it has no answer to what is asked now."""
    block_title(sheet, top - 1, title, 1 + VALUES)
    corner = live.cell(block, 1, 0)
    for r in range(rows + 1):
        for c, of_block in enumerate(columns, start=1):
            cell, letter = live.cell(block, of_block, r), get_column_letter(c)
            answered = f'IF($F${VERDICT - 1}=1,IF(ISTEXT({corner}),LEFT({corner},1)<>"#",FALSE),FALSE)'
            shown = f'IF(ISNUMBER({cell}),{cell},IF(ISTEXT({cell}),{cell},""))'
            style = "mls heading" if r == 0 else "mls link"
            at = put(sheet, f"{letter}{top + r}", f'=IF({answered},{shown},"")', style, None if r == 0 else "#,##0.00")
            if len(columns) == WIDTH:
                at.alignment = Alignment(horizontal="right", vertical="center", wrap_text=not r)
            elif c > 1:
                at.alignment = Alignment(horizontal="left", vertical="center")
    sheet.row_dimensions[top].height = 30
    body = f"A{top + 1}:{get_column_letter(len(columns))}{top + rows}"
    whole = f"IF(ISNUMBER(A{top + 1}),A{top + 1}=INT(A{top + 1}),FALSE)"
    look = DifferentialStyle(numFmt=NumberFormat(numFmtId=3, formatCode="#,##0"))
    sheet.conditional_formatting.add(body, Rule(type="expression", formula=[whole], dxf=look))


def _chart(sheet: Worksheet) -> None:
    """The front as a chart; rows that it does not fill stay on its last point."""
    x, y = get_column_letter(DATA), get_column_letter(DATA + 1)
    block_title(sheet, CHART - 1, "The trade-off between the goals", 1 + VALUES)
    heading(sheet, FRONT_HEAD, ["Chart: second goal", "Chart: first goal"], start=DATA)
    for r in range(1, FRONT + 1):
        for letter, column in ((x, "B"), (y, "A")):
            at = FRONT_HEAD + r
            before = f"{letter}{at - 1}" if r > 1 else "0"
            known = f"IF(ISNUMBER($A{at}),ISNUMBER($B{at}),FALSE)"
            put(sheet, f"{letter}{at}", f"=IF({known},${column}{at},{before})", "mls link", "#,##0.00")
    name = f'=IF($A${FRONT_HEAD}="","no answer",$A${FRONT_HEAD}&" (up) against "&$B${FRONT_HEAD}&" (across)")'
    put(sheet, f"{x}{FRONT_HEAD - 1}", name, "mls source")
    chart = ScatterChart()
    chart.style, chart.scatterStyle = 13, "lineMarker"
    ys, xs = (Reference(sheet, min_col=c, min_row=FRONT_HEAD + 1, max_row=FRONT_HEAD + FRONT) for c in (DATA + 1, DATA))
    series = Series(ys, xs)
    series.tx = label(sheet, f"${x}${FRONT_HEAD - 1}")
    line(series, 0, marked=True)
    chart.series.append(series)
    chart_axes(chart, "What one goal costs in the other", "Second goal", "First goal")
    for axis in (chart.x_axis, chart.y_axis):
        axis.number_format, axis.crosses = WHOLE, "min"
    over(sheet, chart, f"A{CHART}", f"{get_column_letter(VALUES)}{CHART + 18}")
    source(sheet, f"A{CHART + 18}", "MLS_SWEEP on Engine_Live; the points are the rows of the front below.")
