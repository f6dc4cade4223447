"""Chart_Data: what the charts draw, in native formulas, where no other sheet holds it in the shape a chart needs.

Rows by block: cost by category, memory against batch, what moves the cost most, cost so far by month.
"""

from __future__ import annotations

from collections.abc import Sequence

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from ..style import CENTS, MONEY, WHOLE, block_title, heading, page, protect, put
from .engine import ROW, option_columns
from .money import result
from .monthly import Layout
from .options import option_field

SHEET = "Chart_Data"
FIRST = 3  # column C: the first option
# label, rows of Money that make it; together they are the net cash cost after tax
CATEGORIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Equipment", ("servers", "capital", "lessor", "refresh", "buyout")),
    ("Loan: payments less what was lent", ("loan_in", "loan_out")),
    ("Rent of the lease", ("rent",)),
    ("Reserved rent", ("reserved",)),
    ("Metered hours and tokens", ("rest",)),
    ("Electricity", ("electricity",)),
    ("Running lines", ("running",)),
    ("Lines of the provider", ("cloud",)),
    ("Resale", ("resale", "old_sale")),
    ("Tax", ("tax_paid",)),
)
STACK = 6
MEMORY = STACK + len(CATEGORIES) + 4
BATCHES = tuple(2**i for i in range(10))  # requests for each accelerator
PARTS = ("Weights", "KV cache", "Activations and the rest, at the chosen batch", "Free", "Usable")
BARS = MEMORY + len(BATCHES) + 3
TOP_BARS = 5
LONGEST = 44  # letters of a bar's name: longer ones squeeze the plot
# the option that the charts of devices draw: the one shown, or where it has no device the lowest that has
DRAWN = option_field("option", "out_Drawn")


def months_top(bars: int) -> int:
    """The heading of the months, below `bars` bars."""
    return BARS + bars + 3


def add_chart_data(book: Workbook, layout: Layout, bars: Sequence[tuple[str, str, str]]) -> None:
    """The sheet Chart_Data.

    Parameters
    ----------
    book : Workbook
        The book, with the sheets that the addresses name or without.
    layout : Layout
        Where Monthly holds what.
    bars : sequence of (str, str, str)
        Addresses of the label and of the changes at low and at high of what moves the cost of the shown option, the
        largest first.
    """
    sheet = book.create_sheet(SHEET)
    letters = [get_column_letter(FIRST + i) for i in range(layout.count)]
    widths = {"A": 44, "B": 16, **dict.fromkeys("CDEFGHIJ", 16)}
    page(sheet, "Data of the charts", "Nothing to enter here: native formulas in the chosen currency.", widths)
    _stack(sheet, letters)
    _memory(sheet, layout.count)
    _bars(sheet, bars)
    _months(sheet, layout, letters, months_top(len(bars)))
    last = get_column_letter(FIRST + max(layout.count, len(PARTS)) - 1)
    sheet.print_area = f"A1:{last}{months_top(len(bars)) + layout.months + 1}"
    sheet.sheet_properties.tabColor = "9CA3AF"
    protect(sheet)


def _title(sheet: Worksheet, row: int, text: str, headings: list[str]) -> None:
    block_title(sheet, row - 1, text, FIRST + 7)
    heading(sheet, row, headings, height=44)


def _options(sheet: Worksheet, row: int, letters: list[str]) -> None:
    for i, c in enumerate(letters, start=1):
        put(sheet, f"{c}{row}", f"={option_field('option', str(i))}", "mls heading")
    sheet.row_dimensions[row].height = 44


def _stack(sheet: Worksheet, letters: list[str]) -> None:
    _title(sheet, STACK, "Cost by category over the horizon, undiscounted", ["Category", "Unit"])
    _options(sheet, STACK, letters)
    for r, (label, names) in enumerate(CATEGORIES, start=STACK + 1):
        put(sheet, f"A{r}", label)
        put(sheet, f"B{r}", "=in_Currency", "mls unit")
        for i, c in enumerate(letters):
            put(sheet, f"{c}{r}", "=" + "+".join(result(n, i) for n in names), "mls link", MONEY)
    end = STACK + len(CATEGORIES) + 1
    put(sheet, f"A{end}", "Net cash cost after tax", "mls total")
    put(sheet, f"B{end}", "=in_Currency", "mls unit")
    for c in letters:
        put(sheet, f"{c}{end}", f"=SUM({c}{STACK + 1}:{c}{end - 1})", "mls total", MONEY)


def _memory(sheet: Worksheet, count: int) -> None:
    """Memory of the accelerators that hold one copy of the model, at full length, for the shown option."""
    _title(sheet, MEMORY, f'="Memory of one copy of the model: "&{DRAWN}', ["Requests for each accelerator", "Unit"])
    for c, part in zip("CDEFG", PARTS, strict=True):
        put(sheet, f"{c}{MEMORY}", part, "mls heading")
    columns = option_columns(count)
    shown = {n: f"INDEX(Engine!${columns[0]}${r}:${columns[-1]}${r},out_Drawn)" for n, r in ROW.items()}
    weights, kv, memory, share = (shown[n] for n in ("weights", "kv", "memory", "memory_share"))
    usable = f"{memory}/{share}"
    for r, batch in enumerate(BATCHES, start=MEMORY + 1):
        put(sheet, f"A{r}", batch, "mls formula", WHOLE)
        put(sheet, f"B{r}", "GB", "mls unit")
        cache = f"{kv}*$A{r}/in_Batch"
        parts = (weights, cache, f"{memory}-{weights}-{kv}", f"MAX(0,$G{r}-$C{r}-$D{r}-$E{r})", usable)
        for c, formula in zip("CDEFG", parts, strict=True):
            text = f'IF(ISNUMBER({memory}),{formula},"none")'
            put(sheet, f"{c}{r}", f"={text}", "mls formula", CENTS)


def _bars(sheet: Worksheet, bars: Sequence[tuple[str, str, str]]) -> None:
    text = "What moves the net present cost of the option shown: change when one input goes to its low or high"
    _title(sheet, BARS, text, ["Input", "Unit", "At its low", "At its high"])
    for r, (label, *ends) in enumerate(bars, start=BARS + 1):
        short = f'IF(LEN({label})>{LONGEST},LEFT({label},{LONGEST - 3})&"...",{label})'
        put(sheet, f"A{r}", f"={short}", "mls link")
        put(sheet, f"B{r}", "=in_Currency", "mls unit")
        for c, end in zip("CD", ends, strict=True):
            put(sheet, f"{c}{r}", f"=IF(ISNUMBER({end}),{end},0)", "mls link", MONEY)


def _months(sheet: Worksheet, layout: Layout, letters: list[str], top: int) -> None:
    _title(
        sheet,
        top,
        "Net cash cost after tax so far; after the horizon it stays",
        ["Month of the timeline", "Month shown"],
    )
    _options(sheet, top, letters)
    for m in range(layout.months + 1):
        r = top + 1 + m
        put(sheet, f"A{r}", m, "mls unit")
        put(sheet, f"B{r}", f"=MIN($A{r},in_HorizonMonths)", "mls formula", WHOLE)
        for i, c in enumerate(letters):
            found = f"INDEX({layout.months_of('cumulative', i)},$B{r}+1)"
            put(sheet, f"{c}{r}", f"={found}*in_FX", "mls link", MONEY)
