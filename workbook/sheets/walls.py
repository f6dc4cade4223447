"""Walls: the 22 walls for one model on one device, with what binds.

The table itself is one call on Engine_Live, which fills a block of fixed size in every version of Excel; here it is
read cell by cell, so that a refusal shows as a sentence and not as a half-filled table.
"""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.formatting.rule import Rule
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter

from mlsysim import CATALOGUE
from mlsysim.things import WALLS

from ..style import PALE_GREEN, PALE_ORANGE, PALE_RED, SHARE, block_title, heading, page, protect, put, tint
from .inputs import list_rule

MODEL, DEVICE, HEAD = 4, 5, 8
FIRST, LAST = HEAD + 1, HEAD + len(WALLS)
CHOSEN = {"model": "Llama3_8B", "device": "H100"}  # what a new workbook shows
NONE, ANSWERED = "-", "$E$5"
ASKED = f'Walls!$C${MODEL}&" on "&Walls!$C${DEVICE}'
FIGURE = "[<0]-#,##0.00;[<0.01]0.0E+00;#,##0.00"
# column of the function: heading, width, number format (None: words)
COLUMNS: dict[str, tuple[str, float, str | None]] = {
    "number": ("No", 6, "0"),
    "wall": ("Wall", 16, None),
    "one_liner": ("What it says", 62, None),
    "function": ("Function", 24, None),
    "value": ("Value", 12, FIGURE),
    "limit": ("Limit", 12, FIGURE),
    "unit": ("Unit", 14, None),
    "headroom": ("Headroom", 11, SHARE),
    "verdict": ("Verdict", 52, None),
}


def call() -> str:
    """The formula of the block on Engine_Live."""
    model, device = (
        f"INDEX({table}[spec],MATCH(Walls!$C${row},{table}[key],0))"
        for table, row in (("tblModels", MODEL), ("tblHardware", DEVICE))
    )
    return f"=MLS_WALLS({model},{device})"


def add_block(book: Workbook, row: int) -> None:
    """The table as the engine answers it, from `row` of Engine_Live."""
    sheet = book["Engine_Live"]
    block_title(sheet, row, "The 22 walls, for the sheet Walls", 4)
    put(sheet, f"A{row + 1}", call(), "mls engine")
    # In a frozen book this stays what it was when the table was computed.
    put(sheet, f"A{_asked(row)}", f'=IF(MLS_VERSION()="","",{ASKED})', "mls engine")


def _asked(row: int) -> int:
    return row + len(WALLS) + 2


def rows_of_block() -> int:
    """Rows that the table takes on Engine_Live: its title, what was asked, and a blank line included."""
    return len(WALLS) + 4


def add_walls(book: Workbook, row: int) -> None:
    """The Walls sheet, over the block that starts below `row` of Engine_Live."""
    sheet = book.create_sheet("Walls")
    letters = {name: get_column_letter(i) for i, name in enumerate(COLUMNS, start=1)}
    widths = {letters[name]: width for name, (_, width, _) in COLUMNS.items()}
    purpose = "Choose a model and a device: how near is each wall, and which binds? One inference step, batch 1."
    page(sheet, "The 22 walls", purpose, widths, freeze=f"A{FIRST}")
    for at, label, value, source in (
        (MODEL, "Model", CHOSEN["model"], "list_models"),
        (DEVICE, "Device", CHOSEN["device"], "list_hardware"),
    ):
        put(sheet, f"B{at}", label)
        put(sheet, f"C{at}", value, "mls input")
        list_rule(sheet, f"C{at}", source, f"a key of the registry sheet behind {source}")
    live = _Block(row + 1)
    corner = live.cell("number", 0)
    put(sheet, "D5", "Answered (1 = yes)", "mls unit")
    asked = f"Engine_Live!$A${_asked(row)}"
    put(sheet, "E5", f'=IF({asked}={ASKED},IF(ISTEXT({corner}),IF({corner}="number",1,0),0),0)', "mls unit", "0")
    put(sheet, f"A{HEAD - 2}", _sentence(live, asked), "mls verdict")
    heading(sheet, HEAD, [text for text, *_ in COLUMNS.values()])
    for i in range(len(WALLS)):
        for name, (_, _, number_format) in COLUMNS.items():
            cell = live.cell(name, 1 + i)
            right = f"ISNUMBER({cell})" if number_format else f'IF(ISTEXT({cell}),{cell}<>"",FALSE)'
            test = f"IF({ANSWERED}=1,{right},FALSE)"  # Excel 2016 shows a refusal in every cell of the block
            style = "mls unit" if name in ("unit", "function") else "mls link"
            at = put(sheet, f"{letters[name]}{FIRST + i}", f'=IF({test},{cell},"{NONE}")', style, number_format)
            if number_format is not None:
                side = "center" if name == "number" else "right"
                at.alignment = Alignment(horizontal=side, vertical="center")
            elif name == "verdict":
                at.alignment = Alignment(horizontal="left", indent=1, vertical="center")
        sheet.row_dimensions[FIRST + i].height = 17
    verdict = f"${letters['verdict']}{FIRST}"
    area = f"A{FIRST}:{letters['verdict']}{LAST}"
    for word, fill in (("binds", PALE_ORANGE), ("exceeded", PALE_RED), ("has room", PALE_GREEN)):
        test = f'LEFT({verdict},{len(word)})="{word}"'
        cells = area if word != "has room" else f"{letters['verdict']}{FIRST}:{letters['verdict']}{LAST}"
        sheet.conditional_formatting.add(cells, Rule(type="expression", formula=[test], dxf=tint(fill)))
    notes = (
        "A wall that a model and a device do not decide says what it needs; its function answers then (sheet "
        "Functions). Headroom: the share left up to the limit."
    )
    put(sheet, f"A{LAST + 2}", notes, "mls source")
    sheet.print_area = f"A1:{letters['verdict']}{LAST + 2}"
    sheet.page_setup.fitToHeight = 1
    sheet.sheet_properties.tabColor = "00703C"
    protect(sheet)


class _Block:
    """Addresses in the block of Engine_Live, by column of the function and row (0: its header)."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._columns = {n: get_column_letter(i) for i, n in enumerate(CATALOGUE["walls"].metrics, start=1)}

    def cell(self, name: str, row: int) -> str:
        return f"Engine_Live!${self._columns[name]}${self._top + row}"


def _sentence(live: _Block, asked: str) -> str:
    """What binds, or why there is no answer."""
    corner, basis = live.cell("number", 0), live.cell("basis", 1)
    binding = "&".join(f'IF(LEFT(I{r},5)="binds",B{r},"")' for r in range(FIRST, LAST + 1))
    answer = f'"What binds "&{ASKED}&": "&{binding}&" ("&{basis}&")"'
    refused = '"No answer here: choose a model and a device of the registry"'
    known = f"MATCH($C${MODEL},tblModels[key],0)+MATCH($C${DEVICE},tblHardware[key],0)"
    stale = f'"Frozen for "&{asked}&": choose these two, or thaw the book where the add-in is"'
    told = f'IF({asked}<>{ASKED},{stale},IF(LEFT({corner},1)="#",{corner},{answer}))'
    return f"=IF(ISERROR({known}),{refused},{told})"
