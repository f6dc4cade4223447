"""Engine_Frozen: what a frozen book carries instead of an engine.

Three tables side by side: the inputs that the figures were computed with, beside what they are now
(``tblFrozenInputs``); the grid of engine figures (``tblFrozen``); the formulas that stood where values stand now
(``tblKept``).  An unfrozen book has them without figures; ``workbook.freeze`` fills them, ``workbook.thaw`` empties
them.
"""

from __future__ import annotations

from collections.abc import Sequence

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from ..style import DATE, block_title, heading, page, protect, put
from .engine import KEPT, STATE
from .inputs import SCENARIO, SCENARIOS, name_cell

TOP = 10
SHEET, TABLE, INPUTS, FORMULAS = "Engine_Frozen", "tblFrozen", "tblFrozenInputs", "tblKept"
HEADINGS = ("key", "load", *(f.name for f in KEPT))
KEPT_HEADINGS = ("sheet", "cell", "fills", "spills", "formula", "value")
HELD = tuple(f"frozen, {s}" for s in SCENARIOS)  # what an input was in each scenario
INPUT_HEADINGS = ("name", "key", "input", *HELD, "frozen", "now", "changed", "changed so far")
FROZEN_ON, VERSION = "B4", "B5"  # written by freeze
DEVICE, SERVER, ENGINE = "device", "server", "engine"
# All that the engine reads of Inputs, and the input whose label names it.  Devices and servers have rows of their own.
ROOTS = {"in_ModelSpec": "in_Model", "in_TrainSpec": "in_TrainModel"} | {
    name: name
    for name in (
        "in_Workload", "in_SeqLen", "in_OutputTokens", "in_Efficiency", "in_TrainTokens", "in_TrainBatch",
        "in_TrainSeqLen", "in_TrainTP", "in_TrainPP", "in_TrainServers",
    )
}  # fmt: skip
# where the rows of devices and servers find what they are now; {key} is the key of the row
NOW = {
    DEVICE: "INDEX(tblHardware[spec],MATCH({key},tblHardware[key],0))",
    SERVER: '&"; "&'.join(
        f"INDEX(tblNodes[{field} (W)],MATCH({{key}},tblNodes[key],0))"
        for field in ("busy_power", "idle_power", "power")
    ),
}
_WIDTHS = (21.0, 17.0, 36.0, 15.0, 15.0, 15.0, 15.0, 18.0, 18.0, 9.0, 24.0)


def column(name: str) -> str:
    """Letter of a column of the table of inputs."""
    return get_column_letter(1 + INPUT_HEADINGS.index(name))


LEFT = {  # first column of each table
    INPUTS: 1,
    TABLE: len(INPUT_HEADINGS) + 2,
    FORMULAS: len(INPUT_HEADINGS) + len(HEADINGS) + 3,
}


def _this(name: str) -> str:
    return f"{INPUTS}[[#This Row],[{name}]]"


def frozen_formula() -> str:
    """The frozen value of an input in the scenario that is chosen; an empty text in an unfrozen book."""
    chosen = _this(HELD[-1])
    for word, held in list(zip(SCENARIOS, HELD, strict=True))[-2::-1]:
        chosen = f'IF({SCENARIO}="{word}",{_this(held)},{chosen})'
    return f'IF({_this(HELD[0])}="","",{chosen})'


def changed_formula() -> str:
    """1 where an input is not what it was; numbers are compared as numbers, texts letter by letter."""
    frozen, now = _this("frozen"), _this("now")
    differs = f"IF(AND(ISNUMBER({frozen}),ISNUMBER({now})),IF({frozen}={now},0,1),IF(EXACT({frozen},{now}),0,1))"
    return f'IF({_this(HELD[0])}="",0,IF(ISERROR({now}),1,{differs}))'


def names_formula(row: int) -> str:
    """The changed inputs from this row of the table on, joined: text joined down a table needs one cell a row."""
    below = f"{column('changed so far')}{row + 1}"
    return f'IF({_this("changed")}=1,{_this("input")}&IF({below}="","","; "),"")&{below}'


def now_formula(name: str, version: str) -> str:
    """What an input is now; `version` is the cell in which the live engine says its version."""
    if name == ENGINE:  # a book without the add-in cannot know
        return f'IF(ISTEXT({version}),IF(LEFT({version},1)="#",{_this("frozen")},{version}),{_this("frozen")})'
    return NOW[name].format(key=_this("key")) if name in NOW else name


def add_frozen(book: Workbook, version: str) -> None:
    """The Engine_Frozen sheet of an unfrozen book; `version` is the cell in which the live engine says its version."""
    sheet = book.create_sheet(SHEET)
    letters = {t: [get_column_letter(LEFT[t] + i) for i in range(n)] for t, n in
               ((TABLE, len(HEADINGS)), (FORMULAS, len(KEPT_HEADINGS)))}  # fmt: skip
    widths = {get_column_letter(i): w for i, w in enumerate(_WIDTHS, start=1)}
    widths |= {c: 44.0 if i == 0 else 12.0 for i, c in enumerate(letters[TABLE])}
    widths |= {c: 60.0 if i == 4 else 14.0 for i, c in enumerate(letters[FORMULAS])}
    purpose = (
        "Engine figures as values, for readers without the add-in. mls-workbook freeze writes them, thaw empties it."
    )
    page(sheet, "Engine, frozen", purpose, widths, freeze=f"D{TOP + 1}")
    rows = [*((name, _label(book, named)) for name, named in ROOTS.items()), (ENGINE, "Engine that answers")]
    first, last = TOP + 1, TOP + len(rows)
    facts = (
        ("State", "", f"={STATE}", "mls total", "@"),
        ("Frozen on", "out_FrozenOn", None, "mls formula", DATE),
        ("By engine", "out_FrozenVersion", None, "mls formula", "@"),
        ("Rows of the grid", "out_FrozenRows", f"=COUNT({TABLE}[load])", "mls formula", "0"),
        ("Inputs changed since", "out_Stale", f"=SUM({INPUTS}[changed])", "mls total", "0"),
        ("Which", "out_StaleNames", f'=IF(out_Stale=0,"none",{column("changed so far")}{first})', "mls formula", "@"),
    )
    for r, (label, name, value, style, number_format) in enumerate(facts, start=3):
        put(sheet, f"A{r}", label)
        put(sheet, f"B{r}", value, style, number_format)
        if name:
            name_cell(book, name, SHEET, f"B{r}")
    for table, text in (
        (INPUTS, "Inputs of the engine, then and now"),
        (TABLE, "Figures"),
        (FORMULAS, "Formulas kept"),
    ):
        if LEFT[table] > 1:
            put(sheet, f"{get_column_letter(LEFT[table])}{TOP - 1}", text, "mls block")
        else:
            block_title(sheet, TOP - 1, text, len(INPUT_HEADINGS))
    formulas = {"frozen": frozen_formula(), "changed": changed_formula()}
    for r, (name, label) in enumerate(rows, start=first):
        cells = {"name": name, "key": None, "input": label, **dict.fromkeys(HELD), "frozen": f"={formulas['frozen']}",
                 "now": f"={now_formula(name, version)}", "changed": f"={formulas['changed']}",
                 "changed so far": f"={names_formula(r)}"}  # fmt: skip
        for heads, value in cells.items():
            style = "mls unit" if heads in ("name", "key") else "mls label" if heads == "input" else "mls formula"
            cell = put(sheet, f"{column(heads)}{r}", value, "mls link" if heads == "now" else style, "General")
            cell.alignment = Alignment(horizontal="fill", vertical="center")
    for table in (TABLE, FORMULAS):
        for c in letters[table]:
            put(sheet, f"{c}{first}", None, "mls formula")
    _table(sheet, INPUTS, INPUT_HEADINGS, last, formulas)
    _table(sheet, TABLE, HEADINGS, first)
    _table(sheet, FORMULAS, KEPT_HEADINGS, first)
    sheet.row_dimensions[TOP].height = 30
    sheet.print_area = f"A1:{column('changed so far')}{last}"
    sheet.print_title_rows = f"{TOP}:{TOP}"
    sheet.sheet_properties.tabColor = "9CA3AF"
    protect(sheet)


def _label(book: Workbook, name: str) -> str:
    """What the sheet Inputs calls an input."""
    at = (book.defined_names[name].attr_text or "").rpartition("!")[2].replace("$", "")
    return str(book["Inputs"][f"A{at[1:]}"].value)


def _table(
    sheet: Worksheet, name: str, headings: Sequence[str], last: int, formulas: dict[str, str] | None = None
) -> None:
    left = LEFT[name]
    heading(sheet, TOP, list(headings), start=left)
    table = Table(
        displayName=name, ref=f"{get_column_letter(left)}{TOP}:{get_column_letter(left + len(headings) - 1)}{last}"
    )
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(headings, start=1)]
    for one in table.tableColumns:
        if one.name in (formulas or {}):
            one.calculatedColumnFormula = TableFormula(attr_text=(formulas or {})[one.name])
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=True)
    sheet.add_table(table)
