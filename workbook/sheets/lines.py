"""Lines: the table of cost lines, one row per item.  Monthly reads the columns used, quantity and the four codes.

A line costs price x quantity x driver in the months that its timing names, moved by its escalator, for the options it
applies to.  A word outside of the lists becomes #N/A, so that no total can skip the line.
"""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo

from ..plan import Line
from ..style import fit_height, heading, page, put
from .inputs import fill_figure, format_of, list_rule, name_cell

TOP = 5
GROUPS = ("capital", "running", "cloud")
APPLIES = ("all", "owned", "bought", "cloud", "API")
# driver: (position among the figures that stand still, position among those that move by month)
DRIVERS = {"plan": (1, 1), "servers": (2, 1), "devices": (3, 1), "hardware": (4, 1), "kW": (1, 2), "bill": (1, 3),
           "tokens": (1, 4), "carbon": (1, 5), "water": (1, 6)}  # fmt: skip
OVERFLOW = ("none", "on-demand", "spot", "API")  # in the order of their codes on Monthly
PLAN_MONTHLY, PLAN_YEARLY = 5, 6  # codes of these timings with the driver plan, see `_when`
TIMINGS = ("once", "monthly", "yearly", "end")
ESCALATORS = ("none", "energy", "cost", "wages", "cloud")
HEADINGS = (
    "item",
    "group",
    "applies",
    "driver",
    "timing",
    "escalator",
    "quantity",
    "price used",
    "unit",
    "low",
    "base",
    "high",
    "own",
    "kind",
    "source",
    "link",
    "as of",
    "note",
    "still",
    "moving",
    "when",
    "moved by",
)
_WIDTHS = (44, 10, 10, 11, 10, 10, 10, 12, 24, 11, 11, 11, 11, 12, 40, 30, 11, 50, 8, 8, 8, 9)
_CODES = "STUV"


def line_field(name: str, number: str) -> str:
    """Reference to a column of line `number`."""
    return f"INDEX(tblLines[{name}],{number})"


def add_lines(book: Workbook, lines: list[Line]) -> None:
    """The Lines sheet."""
    sheet = book.create_sheet("Lines")
    letters = [get_column_letter(i) for i in range(1, len(HEADINGS) + 1)]
    purpose = (
        "Every cost line; change the yellow cells. hardware: servers and network at purchase; bill: rents and metered "
        "hours of the month; kW: contracted IT power."
    )
    page(sheet, "Cost lines", purpose, dict(zip(letters, _WIDTHS, strict=True)), freeze=f"B{TOP + 1}")
    heading(sheet, TOP, list(HEADINGS))
    codes = _codes()
    for r, line in enumerate(lines, start=TOP + 1):
        cells = (line.item, line.group, line.applies, line.driver, line.timing, line.escalator, line.quantity)
        for column, value in zip("ABCDEFG", cells, strict=True):
            style = "mls label" if column == "B" else "mls input"
            put(sheet, f"{column}{r}", value, style, "#,##0.00" if column == "G" else None)
        put(sheet, f"I{r}", line.unit, "mls unit")
        fill_figure(sheet, r, line.figure, format_of(line.unit, line.figure.base), columns="HJKLMNOPQR", spread=True)
        for column, formula in zip(_CODES, codes, strict=True):
            put(sheet, f"{column}{r}", f"={formula}", "mls formula").alignment = Alignment(horizontal="center")
        if line.name is not None:
            name_cell(book, line.name, "Lines", f"H{r}")
        fit_height(sheet, r)
    last = TOP + len(lines)
    table = Table(displayName="tblLines", ref=f"A{TOP}:{letters[-1]}{last}")
    table.autoFilter = AutoFilter(ref=table.ref)
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(HEADINGS, start=1)]
    for column, formula in zip(table.tableColumns[-4:], codes, strict=True):
        column.calculatedColumnFormula = TableFormula(attr_text=formula)
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=False)
    sheet.add_table(table)
    for column, words in (("C", APPLIES), ("D", tuple(DRIVERS)), ("E", TIMINGS), ("F", ESCALATORS)):
        rows = f"{column}{TOP + 1}:{column}{last}"
        list_rule(sheet, rows, f'"{",".join(words)}"', " or ".join(words), blank=False)
    for rule in sheet.data_validations.dataValidation:
        if rule.formula1 == f'"{",".join(APPLIES)}"':  # the number of an option is allowed too
            rule.errorStyle = "warning"
    put(sheet, f"X{TOP}", "who serves the rest", "mls heading")
    for r, word in enumerate(OVERFLOW, start=TOP + 1):
        put(sheet, f"X{r}", word)
    name_range = f"Lines!$X${TOP + 1}:$X${TOP + len(OVERFLOW)}"
    book.defined_names["list_rest"] = DefinedName("list_rest", attr_text=name_range)
    sheet.column_dimensions["X"].width = 14
    sheet.print_area, sheet.print_title_rows = f"A1:R{last}", f"{TOP}:{TOP}"
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A3
    sheet.sheet_properties.tabColor = "F2C94C"


def _when() -> str:
    """Position of the timing: what follows the plan or moves by itself does not wait for the fleet."""
    driver, timing = (f"tblLines[[#This Row],[{name}]]" for name in ("driver", "timing"))
    moves = "OR(" + ",".join(f'{driver}="{w}"' for w in ("bill", "tokens", "carbon", "water")) + ")"
    monthly = f'IF({driver}="plan",{PLAN_MONTHLY},IF({moves},7,2))'
    yearly = f'IF({driver}="plan",{PLAN_YEARLY},IF({moves},NA(),3))'
    other = f'IF({timing}="once",1,IF({timing}="end",4,NA()))'
    return f'IF({timing}="monthly",{monthly},IF({timing}="yearly",{yearly},{other}))'


def _codes() -> list[str]:
    """Positions of the words of a row, as Monthly uses them."""

    def position(column: str, words: dict[str, int]) -> str:
        formula = "NA()"
        for word, code in reversed(words.items()):
            formula = f'IF(tblLines[[#This Row],[{column}]]="{word}",{code},{formula})'
        return formula

    return [
        position("driver", {w: still for w, (still, _) in DRIVERS.items()}),
        position("driver", {w: moving for w, (_, moving) in DRIVERS.items()}),
        _when(),
        position("escalator", {w: i for i, w in enumerate(ESCALATORS, start=1)}),
    ]
