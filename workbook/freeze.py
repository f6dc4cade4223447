"""Freeze a book, so that it answers without the add-in: engine figures as values, every formula of ours kept as text.

``freeze`` computes the grid (`freeze_grid`), stores it on Engine_Frozen with the inputs it was computed with, puts text
or values in the place of the cells that call our functions, and computes all other cells anew without our functions.
``thaw`` (in `thaw`) puts every formula back.  Parts that neither touches keep their bytes.
"""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from openpyxl.formula.translate import Translator
from openpyxl.utils.cell import get_column_letter

from mlsysim.version import __version__
from workbook import errors
from workbook.caches import ask_for_calculation
from workbook.cells import Block, Cell, Formula
from workbook.embedded import Functions
from workbook.engine import evaluate
from workbook.errors import WorkbookError
from workbook.freeze_grid import LIVE, Asked, Computed, Setting, compute
from workbook.frozen_book import Book, Spot
from workbook.frozen_sheet import Page, calls_ours, compute_all, fill_rows, link_chain, resize
from workbook.package import Area, Package
from workbook.refresh_file import Original, held, read_file, real_path, replace_file, rewritten, write_new
from workbook.refresh_styles import Styles
from workbook.sheets.engine import ASKED, FIRST_OPTION, ROW
from workbook.sheets.frozen import (
    DEVICE,
    FORMULAS,
    FROZEN_ON,
    HEADINGS,
    HELD,
    INPUT_HEADINGS,
    INPUTS,
    KEPT_HEADINGS,
    NOW,
    SERVER,
    SHEET,
    TABLE,
    VERSION,
)
from workbook.sheets.inputs import SCENARIO, SCENARIOS

SHOWN = 8  # cells or reasons named in a report
_DAY_ZERO = dt.date(1899, 12, 30)
Maker = Callable[[Package], tuple[Package, list[str]]]


@dataclass(frozen=True)
class Report:
    """What a freeze or a thaw did.

    Attributes
    ----------
    lines : tuple of str
        In sentences.
    written : Path
        The file that was written.
    backup : Path or None
        The former file, where it was replaced.
    """

    lines: tuple[str, ...]
    written: Path
    backup: Path | None

    def sentences(self) -> list[str]:
        """The report for a terminal."""
        kept = [f"kept the former file as {self.backup}"] if self.backup is not None else []
        return [*self.lines, *kept, f"wrote {self.written}"]


@dataclass(frozen=True)
class Kept:
    """A formula of ours that becomes text or a value."""

    formula: Formula
    fills: str  # range of an array formula, "" for an ordinary one
    values: Block
    as_text: bool  # whether its own text stands in its cell

    @property
    def row(self) -> tuple[Cell, ...]:
        """Its row of the table of kept formulas."""
        f = self.formula
        return f.sheet, f.at, self.fills, float(f.dynamic), f.text, "" if self.as_text else self.values[0][0]


def freeze(
    source: Path,
    functions: Functions,
    *,
    out: Path | None = None,
    asked: Asked | None = None,
    day: dt.date | None = None,
) -> Report:
    """Freeze a workbook.

    Parameters
    ----------
    source : Path
        The workbook, .xlsx or .xlsm.
    functions : mapping of str to callable
        Our functions by Excel name.
    out : Path, optional
        Where to write the frozen book; blank: in place of `source`, which is kept under a dated name.
    asked : Asked, optional
        What the grid holds beside the settings of the options.
    day : date, optional
        The day that the book says it was frozen on; blank: today.

    Returns
    -------
    Report
        What is in the grid, what was left out.

    Raises
    ------
    WorkbookError
        One sentence on why the file is refused; it is then as it was.
    """
    return changed_file(
        source, out, lambda package: frozen(package, functions, asked or Asked(), day or dt.date.today())
    )


def frozen(package: Package, functions: Functions, asked: Asked, day: dt.date) -> tuple[Package, list[str]]:
    """The frozen book of a package, which is not changed, and what there is to say."""
    book = Book.of(package)
    refuse_other_version(book)
    if any(text for text in book.column(FORMULAS, "formula")):
        raise WorkbookError(f"{package.path} is frozen already; thaw it first, then freeze it anew.")
    computed = compute(package, asked, functions)
    kept = _kept(book, functions)
    after = Package(dict(package.parts), package.path)
    styles = Styles(after)
    come = _fill(after, book, computed, kept, day, styles)
    _replace(after, book, kept, styles)
    set_input(after, book, "in_Engine", "frozen", styles)
    styles.finish()
    link_chain(after, {(k.formula.sheet, k.formula.row, k.formula.column) for k in kept}, come)
    _hold_inputs(after)
    left, wrong = compute_all(after, {})
    ask_for_calculation(after, full=bool(left))
    lines = [
        f"{len(computed.rows)} rows of engine figures for {len(computed.settings)} settings, {len(kept)} formulas kept."
    ]
    reasons = sorted(computed.left_out.items(), key=lambda item: -item[1])
    lines += [f"left out of the grid, {count} rows: {reason.rstrip('.')}." for reason, count in reasons[:SHOWN]]
    return after, [*lines, *left_lines(left), *wrong_lines(wrong)]


def changed_file(source: Path, out: Path | None, make: Maker) -> Report:
    """Read a file, make another package of it, and write that in one step."""
    real = real_path(Path(source))
    errors.refuse_locked(Path(source))
    if out is not None:
        if out.suffix.casefold() != real.suffix.casefold():
            raise WorkbookError(f"The output {out} must end in {real.suffix}, as {source} does.")
        errors.refuse_target(real, out, force=False)
    with held(real, change=out is None):
        original = read_file(real)
        after, lines = make(original.package)
        data = _archive(original, after)
        if out is not None:
            write_new(out, data)
            return Report(tuple(lines), out, None)
        return Report(tuple(lines), Path(source), replace_file(original, data))


def _archive(original: Original, after: Package) -> bytes:
    """The new archive; parts that are new come last."""
    names = {entry.filename for entry in original.entries}
    added = []
    for name in sorted(set(after.parts) - names):
        entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        added.append(entry)
    return rewritten(replace(original, package=after, entries=(*original.entries, *added)), {})


def refuse_other_version(book: Book) -> None:
    """Refuse a book whose engine sheets are not laid out as this version lays them out."""
    expected = {TABLE: HEADINGS, INPUTS: INPUT_HEADINGS, FORMULAS: KEPT_HEADINGS}
    found = {name: book.tables[name].columns if name in book.tables else () for name in expected}
    labels = {ROW[f.name]: f.label for f in ASKED}
    live = book.grids.get(LIVE)
    same = live is not None and all(live.value(row, 1) == label for row, label in labels.items())
    if not same or any(tuple(found[name]) != tuple(heads) for name, heads in expected.items()):
        raise WorkbookError(
            f"{book.package.path} was not built by this version ({__version__}), whose engine sheets it lacks; "
            "build a book anew, or use the version that built it."
        )


def set_input(package: Package, book: Book, name: str, value: Cell, styles: Styles) -> None:
    """Write one named input."""
    sheet, row, column = book.named(name)
    page = Page(package, book.grids[sheet].part, styles)
    page.put(row, column, value)
    page.save()


def left_lines(left: dict[str, str]) -> list[str]:
    """What to say of the cells that keep their former values."""
    named = [f"{cell} keeps its former value: {why}" for cell, why in list(left.items())[:SHOWN]]
    return [
        *named,
        *([f"and {len(left) - SHOWN} more; Excel will compute them on opening."] if len(left) > SHOWN else []),
    ]


def wrong_lines(wrong: Sequence[str]) -> list[str]:
    """What to say of the cells in error."""
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return [f"in error: {', '.join(wrong[:SHOWN])}{more}."] if wrong else []


# ------------------------------------------------------------------------------------------- formulas become values


def _kept(book: Book, functions: Functions) -> list[Kept]:
    """Every formula that calls our functions, with what it shows."""
    ours = [f for grid in book.grids.values() for f in grid.formulas.values() if calls_ours(f.text)]
    rows = {ROW[f.name] for f in ASKED}
    texts = {id(f) for f in ours if f.sheet == LIVE and f.row in rows and f.column >= FIRST_OPTION}
    asked = book.closure([f for f in ours if id(f) not in texts])
    result = evaluate(book.package, functions, grids=book.only(asked))
    out = []
    for formula in ours:
        values: Block
        if id(formula) in texts:
            values = [[f"={formula.text}"]]
        else:
            value = result.values.get((formula.sheet, formula.at))
            if value is None:
                value = _shown(book, formula)
            values = value if isinstance(value, list) else [[value]]
        fills = ""
        if formula.block is not None:
            corner = Area(
                formula.sheet,
                formula.row,
                formula.column,
                formula.row + len(values) - 1,
                formula.column + len(values[0]) - 1,
            )
            fills = _spelled(corner)
        out.append(Kept(formula, fills, values, id(formula) in texts))
    return out


def _shown(book: Book, formula: Formula) -> Cell | Block:
    if formula.cached is None:
        raise WorkbookError(
            f"{formula.sheet}!{formula.at} has no value to keep; recalculate the book, or clear that cell."
        )
    if formula.block is None:
        return formula.cached
    area, grid = formula.block, book.grids[formula.sheet]
    held_cells = [
        [grid.value(r, c) for c in range(area.left, area.right + 1)] for r in range(area.top, area.bottom + 1)
    ]
    return [["" if cell is None else cell for cell in row] for row in held_cells]


def _spelled(area: Area) -> str:
    first, last = f"{get_column_letter(area.left)}{area.top}", f"{get_column_letter(area.right)}{area.bottom}"
    return first if first == last else f"{first}:{last}"


def _replace(package: Package, book: Book, kept: Sequence[Kept], styles: Styles) -> None:
    """Values, or the formula's own text, in the place of the formulas."""
    for sheet in dict.fromkeys(k.formula.sheet for k in kept):
        page = Page(package, book.grids[sheet].part, styles)
        for one in (k for k in kept if k.formula.sheet == sheet):
            top, left = one.formula.row, one.formula.column
            if one.formula.block is not None:
                for at in one.formula.block.cells():
                    page.put(*at, None)
            for r, line in enumerate(one.values):
                for c, value in enumerate(line):
                    page.put(top + r, left + c, value)
            if one.as_text:
                page.prefix(top, left, on=True)
        page.save()


# ------------------------------------------------------------------------------------------------ tables are filled


def _fill(
    package: Package, book: Book, computed: Computed, kept: Sequence[Kept], day: dt.date, styles: Styles
) -> set[Spot]:
    """Grid, kept formulas and the rows of devices and servers; answers with the formula cells that came."""
    page = Page(package, book.grids[SHEET].part, styles)
    fill_rows(page, book.tables[TABLE], [(r.key, r.load, *r.values) for r in computed.rows])
    fill_rows(page, book.tables[FORMULAS], [k.row for k in kept])
    resize(package, book.tables[TABLE], max(1, len(computed.rows)))
    resize(package, book.tables[FORMULAS], max(1, len(kept)))
    for at, value in ((FROZEN_ON, float((day - _DAY_ZERO).days)), (VERSION, __version__)):
        page.put(int(at[1:]), ord(at[0]) - 64, value)
    come = _device_rows(page, book, computed.settings)
    table = book.tables[INPUTS]
    resize(package, table, max(row for _, row, _ in come) - table.area.top)
    page.save()
    return come


def _device_rows(page: Page, book: Book, settings: Sequence[Setting]) -> set[Spot]:
    """A row for every device and server of the grid below those of the inputs."""
    table, grid = book.tables[INPUTS], book.grids[SHEET]
    last, left = table.area.bottom, table.area.left
    rows = [(DEVICE, key) for key in dict.fromkeys(s.device for s in settings)]
    rows += [(SERVER, key) for key in dict.fromkeys(s.server for s in settings) if key]
    come: set[Spot] = set()
    for r, (kind, key) in enumerate(rows, start=last + 1):
        cells = {"name": kind, "key": key, "input": f"{kind.capitalize()} {key}"}
        for i, heads in enumerate(INPUT_HEADINGS):
            column, style = left + i, page.style(last, left + i)
            like = grid.formulas.get((last, column))
            if heads in cells or heads in HELD:
                page.put(r, column, cells.get(heads), style=style)
            elif like is not None:
                moved = Translator(f"={like.text}", like.at).translate_formula(f"{get_column_letter(column)}{r}")[1:]
                now = NOW[kind].format(key=f"{INPUTS}[[#This Row],[key]]")
                page.put_formula(r, column, now if heads == "now" else moved, style=style)
                come.add((SHEET, r, column))
    return come


def _hold_inputs(package: Package) -> None:
    """Store what every input of the engine is in each scenario, as its own formula says."""
    book = Book.of(package)
    table, grid = book.tables[INPUTS], book.grids[SHEET]
    place = {name: table.area.left + i for i, name in enumerate(table.columns)}
    now = [grid.formulas[r, place["now"]] for r in range(table.area.top + 1, table.area.bottom + 1)]
    asked = book.closure(now)
    styles = Styles(package)
    page = Page(package, grid.part, styles)
    scenario = book.named(SCENARIO)
    by_scenario = book.by_choice(asked - {scenario}, scenario, SCENARIOS, {})
    for found, heads in zip(by_scenario.values(), HELD, strict=True):
        for formula in now:
            page.put(formula.row, place[heads], found[SHEET, formula.row, formula.column])
    page.save()
