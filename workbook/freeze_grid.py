"""The grid of engine figures that a frozen book carries, computed from the book's own formulas.

The formulas of the first option on Engine_Live are copied to one column for every setting of the grid (device, server,
number format, TP), over a table Options that has a row for each of them, and computed for every scenario and load.
What stands in the grid is therefore what the book itself would answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from openpyxl.formula.translate import Translator
from openpyxl.utils.cell import get_column_letter

from udfs.cells import REFUSED
from workbook.cells import Cell, ErrorValue, Formula, Grid
from workbook.embedded import Functions
from workbook.engine import evaluate
from workbook.errors import WorkbookError
from workbook.frozen_book import Book, Spot
from workbook.package import Area, Package, main
from workbook.sheets.engine import FIRST_OPTION, KEPT, NUMBER_ROW, ROW
from workbook.sheets.inputs import SCENARIO, SCENARIOS
from workbook.sheets.options import COLUMNS

LOADS, PRECISIONS, SPLITS = (1, 8, 32, 64, 128), ("fp8", "bf16"), (1, 2, 4, 8)
MOST_ROWS = 20_000  # of a grid; more makes a file that nobody opens gladly
MOST_LOAD = 100_000
BOARD = 8  # devices of a server where the registry has none for a device
TOO_BIG = "does not fit in memory"
LIVE, OPTIONS = "Engine_Live", "tblOptions"


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """What is looked up, apart from load and scenario."""

    device: str
    server: str
    devices: int
    precision: str
    tp: int

    def key(self, scenario: str) -> str:
        """The key of its rows, as Engine spells it."""
        return "|".join((self.device, self.server, str(self.devices), self.precision, str(self.tp), scenario))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a grid is to hold beside the settings of the options themselves."""

    devices: tuple[str, ...] = ()
    loads: tuple[int, ...] = LOADS
    precisions: tuple[str, ...] = PRECISIONS


def asked_of(devices: str | None, loads: str | None, precisions: str | None) -> Asked:
    """What a command line asks for, each a text with commas; None where it does not say.

    Raises
    ------
    WorkbookError
        When a load is no whole number from 1 on, or a list is empty.
    """
    asked = Asked()
    if devices is not None:
        asked = replace(asked, devices=_words("devices", devices))
    if loads is not None:
        words = _words("loads", loads)
        if not all(w.isdecimal() and 1 <= int(w) <= MOST_LOAD for w in words):
            raise WorkbookError(f"loads are whole numbers from 1 to {MOST_LOAD}, such as 1,32,128, got {loads!r}.")
        asked = replace(asked, loads=tuple(sorted({int(w) for w in words})))
    if precisions is not None:
        asked = replace(asked, precisions=_words("precisions", precisions))
    return asked


def day_of(text: str | None) -> date | None:
    """A day that a command line names; None: not named."""
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise WorkbookError(f"date is a day such as 2026-11-25, got {text!r}.") from None


def _words(name: str, text: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(w.strip() for w in text.split(",") if w.strip()))
    if not words:
        raise WorkbookError(f"{name} is a list with commas between its words, got {text!r}.")
    return words


@dataclass(frozen=True, slots=True)
class GridRow:
    """One row of the grid."""

    key: str
    load: float
    values: tuple[Cell, ...]


@dataclass
class Computed:
    """A grid, and what was left out of it."""

    settings: tuple[Setting, ...]
    rows: list[GridRow] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)  # reason: rows


def compute(package: Package, asked: Asked, functions: Functions) -> Computed:
    """Compute the grid of a book.

    Parameters
    ----------
    package : Package
        The unfrozen book; it is not changed.
    asked : Asked
        Devices beside those of the options, loads, number formats.
    functions : mapping of str to callable
        Our functions by Excel name.

    Returns
    -------
    Computed
        Rows in the order of key and load; infeasible and refused ones are counted and left out.

    Raises
    ------
    WorkbookError
        When something asked for is not in the registries, or the book is not as it was built.
    """
    book = Book.of(package)
    out = Computed(_settings(book, asked))
    wide, figures = _widened(book, out.settings)
    batch, scenario = wide.named("in_Batch"), wide.named(SCENARIO)
    support = wide.closure(figures) - {_spot(f) for f in figures}
    read = {spot for f in figures for area in wide.reads(f) for spot in _cells(area)} - {batch}
    answers: dict[tuple[object, float], list[list[Cell]]] = {}
    for name, found in wide.by_choice(support - {scenario}, scenario, SCENARIOS, functions).items():
        chosen = wide.with_inputs({scenario: name})
        load_now = found.get(batch, chosen.value(batch))
        if not isinstance(load_now, float):
            raise WorkbookError(f"in_Batch is no number in the scenario {name}; Inputs says what is allowed.")
        signature = tuple(sorted((spot, _typed(found.get(spot, chosen.value(spot)))) for spot in read))
        for load in sorted({*map(float, asked.loads), load_now}):
            if (signature, load) not in answers:
                fixed = chosen.with_inputs(found | {batch: load})
                answers[signature, load] = _answers(fixed, figures, functions, len(out.settings))
            for setting, values in zip(out.settings, answers[signature, load], strict=True):
                reason = _reason(values)
                if reason:
                    out.left_out[reason] = out.left_out.get(reason, 0) + 1
                else:
                    out.rows.append(GridRow(setting.key(name), load, tuple(values)))
    out.rows.sort(key=lambda r: (r.key.casefold(), r.load))
    return out


def _typed(value: Cell | None) -> tuple[str, str]:
    return type(value).__name__, repr(value)


def _spot(formula: Formula) -> Spot:
    return formula.sheet, formula.row, formula.column


def _cells(area: Area) -> Iterable[Spot]:
    return ((area.sheet, row, column) for row, column in area.cells())


def _answers(book: Book, figures: Sequence[Formula], functions: Functions, count: int) -> list[list[Cell]]:
    """The figures of every setting."""
    result = evaluate(book.package, functions, grids=book.only({_spot(f) for f in figures}))
    out: list[list[Cell]] = [[] for _ in range(count)]
    for formula in figures:
        value = result.values.get((formula.sheet, formula.at), ErrorValue("#N/A"))
        out[formula.column - FIRST_OPTION].append(value[0][0] if isinstance(value, list) else value)
    return out


def _reason(values: Sequence[Cell]) -> str:
    """Why a row is left out, "" when it is not."""
    share = values[[f.name for f in KEPT].index("memory_share")]
    if isinstance(share, float) and share > 1:
        return TOO_BIG
    for value in values:
        if isinstance(value, str) and (isinstance(value, ErrorValue) or value.startswith(REFUSED)):
            return value
    return ""


# ---------------------------------------------------------------------------------------------- what the grid holds


def _settings(book: Book, asked: Asked) -> tuple[Setting, ...]:
    """Every device, server, format and TP of the grid."""
    keys = {t: {k.casefold(): k for k in book.keys(t)} for t in ("tblHardware", "tblNodes", "tblPrecisions")}
    own = own_settings(book)
    servers = {(s.device, s.server, s.devices) for s in own}
    for device in dict.fromkeys((*(s.device for s in own), *asked.devices)):
        known = keys["tblHardware"].get(device.casefold())
        if known is None:
            raise WorkbookError(
                f"there is no device {device!r} in Reg_Hardware of this book; name a key of that sheet."
            )
        held = book.column("tblNodes", "device")
        place = next((i for i, d in enumerate(held) if d == known), None)
        if place is not None:
            count = book.column("tblNodes", "devices")[place]
            servers.add((known, book.keys("tblNodes")[place], int(count) if isinstance(count, float) else BOARD))
        elif known not in {s.device for s in own}:
            servers.add((known, "", BOARD))
    formats = []
    for name in asked.precisions:
        if name.casefold() not in keys["tblPrecisions"]:
            raise WorkbookError(f"precision {name!r} is not one of {', '.join(keys['tblPrecisions'].values())}.")
        formats.append(keys["tblPrecisions"][name.casefold()])
    all_formats = dict.fromkeys((*formats, *(s.precision for s in own)))
    spread = {
        Setting(device, server, count, precision, tp)
        for device, server, count in servers
        for precision in all_formats
        for tp in SPLITS
        if count % tp == 0
    }
    settings = tuple(sorted(spread | set(own)))
    if not settings:
        raise WorkbookError("no option of this book has a device, and none is asked for; there is nothing to freeze.")
    rows = len(settings) * len(SCENARIOS) * len(asked.loads)
    if rows > MOST_ROWS:
        raise WorkbookError(f"the grid would have {rows} rows, more than {MOST_ROWS}; ask for fewer devices or loads.")
    return settings


def own_settings(book: Book) -> list[Setting]:
    """The settings of the options themselves, as far as they name a device of the registry."""
    columns = {
        n: book.column(OPTIONS, COLUMNS[n][0]) for n in ("device", "server", "devices_per_server", "precision", "tp")
    }
    known = {t: {k.casefold(): k for k in book.keys(t)} for t in ("tblHardware", "tblNodes", "tblPrecisions")}
    out = []
    for device, server, devices, precision, tp in zip(*columns.values(), strict=True):
        names = (
            known["tblHardware"].get(str(device or "").casefold()),
            known["tblPrecisions"].get(str(precision or "").casefold()),
        )
        if names[0] and names[1] and isinstance(devices, float) and isinstance(tp, float) and min(devices, tp) >= 1:
            held = known["tblNodes"].get(str(server or "").casefold(), str(server or ""))
            out.append(Setting(names[0], held, int(devices), names[1], int(tp)))
    return out


# ------------------------------------------------------------------------------------- the book, one option for each


def _widened(book: Book, settings: Sequence[Setting]) -> tuple[Book, list[Formula]]:
    """The book with a row of Options and a column of Engine_Live for every setting, and those formulas."""
    table = book.tables[OPTIONS]
    sheet, top, left = table.area.sheet, table.area.top, table.area.left
    grid, place = book.grids[sheet], {c: left + i for i, c in enumerate(table.columns)}
    rows = range(top + 1, table.area.bottom + 1)
    options = Grid(sheet, grid.part)
    for at, value in grid.inputs.items():
        if at[0] == top:
            options.inputs[at] = value
    usual = {c: next((grid.formulas[r, c] for r in rows if (r, c) in grid.formulas), None) for c in place.values()}
    for r, setting in enumerate(settings, start=top + 1):
        held: dict[str, Cell] = {
            "financing": "own",
            "device": setting.device,
            "server": setting.server,
            "precision": setting.precision,
            "devices_per_server": float(setting.devices),
            "tp": float(setting.tp),
        }
        for name, (text, kind, *_) in COLUMNS.items():
            column = place.get(text)
            if column is None:
                raise WorkbookError(
                    f"{book.package.path}: the table Options has no column {text!r}; build the book anew."
                )
            like = usual[column]
            if kind == "formula" and like is not None:
                moved = Translator(f"={like.text}", like.at).translate_formula(f"{get_column_letter(column)}{r}")[1:]
                options.formulas[r, column] = replace(like, row=r, text=moved, cached=None)
            elif held.get(name, "") != "":
                options.inputs[r, column] = held[name]
    live = Grid(LIVE, book.grids[LIVE].part)
    figures = []
    for figure in KEPT:
        origin = book.grids[LIVE].formulas.get((ROW[figure.name], FIRST_OPTION))
        if origin is None:
            raise WorkbookError(
                f"{LIVE} has no formula for {figure.label!r}: the book is frozen, or of another version."
            )
        for i in range(len(settings)):
            at = ROW[figure.name], FIRST_OPTION + i
            to = f"{get_column_letter(at[1])}{at[0]}"
            text = Translator(f"={origin.text}", origin.at).translate_formula(to)[1:]
            live.formulas[at] = Formula(LIVE, *at, text, None, False, None)
            figures.append(live.formulas[at])
    for i in range(len(settings)):
        live.inputs[NUMBER_ROW, FIRST_OPTION + i] = float(i + 1)
    package = Package(dict(book.package.parts), book.package.path)
    root = package.xml(table.part)
    right = get_column_letter(left + len(table.columns) - 1)
    root.set("ref", f"{get_column_letter(left)}{top}:{right}{top + len(settings)}")
    for old in root.findall(main("autoFilter")):
        root.remove(old)
    package.put(table.part, root)
    return Book.made(package, {**book.grids, sheet: options, LIVE: live}), figures
