"""How the sheets look: named styles, number formats, column widths, print set-up.

Colour never stands alone: inputs, engine cells and estimates also carry a word in a type or kind column.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any
from weakref import WeakKeyDictionary

from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, NamedStyle, PatternFill, Protection, Side
from openpyxl.styles.differential import DifferentialStyle
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

FONT = "Calibri"
INK, BLUE, GREEN, PURPLE, GREY, RED = "1F2933", "0000FF", "00703C", "6B21A8", "6B7280", "C00000"
PALE_YELLOW, PALE_ORANGE, PALE_GREY, PALE_GREEN, PALE_RED, NAVY = (
    "FFF9DB",
    "FDE5CC",
    "F1F3F5",
    "E2F5E9",
    "FBE3E3",
    "1F3A5F",
)

# By workbook, style and number format: looking a named style up for every cell is most of the work of writing one.
_WORN: WeakKeyDictionary[Workbook, dict[tuple[str, str | None], Any]] = WeakKeyDictionary()

_THIN = Side(style="thin", color="D0D5DB")


def _fill(color: str) -> PatternFill:
    return PatternFill("solid", start_color=color, end_color=color)


def _style(name: str, **parts: Any) -> NamedStyle:
    parts.setdefault("font", Font(name=FONT, size=10, color=INK))
    parts.setdefault("alignment", Alignment(vertical="center"))
    return NamedStyle(name=name, **parts)


def add_styles(book: Workbook) -> None:
    """Register the named styles of the workbook."""
    unlocked = Protection(locked=False)
    ruled = Border(bottom=Side(style="medium", color=NAVY))
    centred = Alignment(horizontal="center", vertical="center")
    indented = Alignment(indent=1, vertical="center")
    slanted = Font(name=FONT, size=10, italic=True, color=INK)
    wrap = Alignment(wrap_text=True, vertical="center")
    for style in (
        _style("mls title", font=Font(name=FONT, size=16, bold=True, color=NAVY)),
        _style("mls purpose", font=Font(name=FONT, size=10, color=GREY), alignment=Alignment(vertical="center")),
        _style("mls verdict", font=Font(name=FONT, size=13, bold=True, color=INK)),
        _style(
            "mls heading",
            font=Font(name=FONT, size=10, bold=True, color="FFFFFF"),
            fill=_fill(NAVY),
            alignment=Alignment(wrap_text=True, vertical="center", horizontal="center"),
        ),
        _style("mls block", font=Font(name=FONT, size=11, bold=True, color=NAVY), border=ruled),
        _style("mls label"),
        _style("mls source", font=Font(name=FONT, size=9, color=GREY)),
        _style("mls wrapped", alignment=Alignment(wrap_text=True, vertical="center")),
        _style("mls unit", font=Font(name=FONT, size=9, color=GREY), alignment=indented),
        _style("mls note", font=Font(name=FONT, size=9, color=GREY), alignment=wrap),
        _style(
            "mls input",
            font=Font(name=FONT, size=10, color=BLUE),
            fill=_fill(PALE_YELLOW),
            protection=unlocked,
            border=Border(left=_THIN, right=_THIN, top=_THIN, bottom=_THIN),
        ),
        _style("mls formula"),
        _style("mls link", font=Font(name=FONT, size=10, color=GREEN)),
        _style("mls engine", font=Font(name=FONT, size=10, color=PURPLE)),
        _style("mls total", font=Font(name=FONT, size=10, bold=True, color=INK), border=Border(top=_THIN)),
        _style("mls fact", protection=unlocked, alignment=indented),
        _style(
            "mls estimate",
            font=slanted,
            fill=_fill(PALE_ORANGE),
            protection=unlocked,
            alignment=indented,
        ),
        _style("mls check", font=Font(name=FONT, size=10, bold=True, color=INK), alignment=centred),
        _style("mls url", font=Font(name=FONT, size=9, color=BLUE, underline="single")),
    ):
        book.add_named_style(style)


WHOLE, MONEY, CENTS, FINE, SHARE, DATE, PLAIN = (
    "#,##0;(#,##0);0",
    "#,##0;(#,##0);-",
    "#,##0.00;(#,##0.00);0.00",
    "#,##0.000",
    "0.0%",
    "yyyy-mm-dd",
    "General",
)


def put(sheet: Worksheet, at: str, value: Any, style: str = "mls label", number_format: str | None = None) -> Any:
    """Write one cell in a named style; text that looks like a formula must be meant as one."""
    cell = sheet[at]
    cell.value = value
    dress(cell, style, number_format)
    return cell


def dress(cell: Any, style: str, number_format: str | None = None) -> None:
    """Give a cell a named style, and a number format of its own if need be."""
    worn = _WORN.setdefault(cell.parent.parent, {})
    like = worn.get((style, number_format))
    if like is None:
        cell.style = style
        if number_format is not None:
            cell.number_format = number_format
            if number_format != "@" and style in ("mls formula", "mls link", "mls total"):
                cell.alignment = Alignment(horizontal="right", vertical="center")  # words among figures too
        like = worn[style, number_format] = copy(cell._style)
    cell._style = copy(like)


def put_text(sheet: Worksheet, at: str, text: str, style: str = "mls label") -> None:
    """Write text that starts with '=' and stays text."""
    cell = sheet[at]
    cell.value = text
    cell.data_type = "s"
    cell.style = style
    cell.quotePrefix = True


def page(sheet: Worksheet, title: str, purpose: str, widths: Mapping[str, float], *, freeze: str = "A5") -> None:
    """Title, purpose, column widths, frozen panes, print set-up; every sheet starts with this."""
    put(sheet, "A1", title, "mls title")
    put(sheet, "A2", purpose, "mls purpose")
    sheet.row_dimensions[1].height = 24
    for column, width in widths.items():
        sheet.column_dimensions[column].width = width
    sheet.freeze_panes = freeze
    sheet.sheet_view.showGridLines = False
    sheet.sheet_view.zoomScale = 90
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A4
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.print_options.horizontalCentered = True
    sheet.page_margins.left = sheet.page_margins.right = 0.4
    header, footer = sheet.oddHeader, sheet.oddFooter
    if header is not None and footer is not None:
        header.left.text, header.right.text = "&F", "&A"
        footer.left.text, footer.right.text = "mlsysim for Excel", "Page &P of &N"


def heading(sheet: Worksheet, row: int, texts: list[str], start: int = 1, height: float = 30) -> None:
    """A header row."""
    for i, text in enumerate(texts):
        dress(sheet.cell(row, start + i, text), "mls heading")
    sheet.row_dimensions[row].height = height


def fit_height(sheet: Worksheet, row: int, *, least: float = 13.5) -> None:
    """Make a row as high as its longest wrapped text needs."""
    lines = 1
    for cell in sheet[row]:
        if isinstance(cell.value, str) and cell.alignment.wrap_text and cell.data_type != "f":
            width = sheet.column_dimensions[get_column_letter(cell.column)].width
            lines = max(lines, sum(-(-len(part) // max(1, int(width * 1.05))) or 1 for part in cell.value.split("\n")))
    sheet.row_dimensions[row].height = max(least, 12.6 * lines + 1)


def block_title(sheet: Worksheet, row: int, text: Any, last: int) -> None:
    """A ruled line that opens a block of rows."""
    for column in range(1, last + 1):
        dress(sheet.cell(row, column), "mls block")
    sheet.cell(row, 1, text)


def difference(fill: str, color: str) -> DifferentialStyle:
    """Fill and bold ink of a conditional format."""
    return DifferentialStyle(font=Font(color=color, bold=True), fill=PatternFill(bgColor=fill))


def tint(fill: str) -> DifferentialStyle:
    """Fill alone of a conditional format, for cells whose words say the same."""
    return DifferentialStyle(fill=PatternFill(bgColor=fill))


def protect(sheet: Worksheet) -> None:
    """Guard a calculation sheet against slips: no password, formats stay free."""
    sheet.protection.sheet = True
    sheet.protection.formatCells = sheet.protection.formatColumns = sheet.protection.formatRows = False
