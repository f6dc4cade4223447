"""A workbook's formulas computed without Excel.

`evaluate` gives the embedded engine a copy of the workbook that it can be trusted with: references resolved to plain
cells (`references`), only listed forms (`whitelist`), Excel's own rules (`semantics`), our functions as callables. A
cell outside of that, and every cell that depends on it, is named in `Evaluation.missing` and has no value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import formualizer
from openpyxl.formula.tokenizer import Token
from openpyxl.utils.cell import get_column_letter

from workbook import semantics
from workbook.cells import Block, Cell, ErrorValue, Formula, Grid, read_grids
from workbook.embedded import Functions, empty_book, to_engine
from workbook.errors import WorkbookError
from workbook.package import Area, Package, area_of, main, open_package
from workbook.prepare import Preparer, RefusedFormula
from workbook.references import Resolver, tokens_of

Key = tuple[str, str]

_CIRCULAR = "it depends on itself (a circular reference)."


@dataclass
class Evaluation:
    """What became of every formula cell.

    Attributes
    ----------
    values : dict of (sheet, A1 address) to Cell or Block
        A float, str, bool or `ErrorValue`; rows of them where the formula fills several cells.
    missing : dict of (sheet, A1 address) to str
        The cells that were not computed, and why.
    bare : set of (sheet, A1 address)
        The cells that hold one call of our own functions and nothing else.
    """

    values: dict[Key, Cell | Block] = field(default_factory=dict)
    missing: dict[Key, str] = field(default_factory=dict)
    bare: set[Key] = field(default_factory=set)


@dataclass
class _Job:
    """One formula on its way through the engine."""

    formula: Formula
    tag: int
    text: str = ""
    reads: tuple[Area, ...] = ()
    bare: bool = False
    spills: bool = False
    covers: Area | None = None
    reason: str = ""

    @property
    def key(self) -> Key:
        return self.formula.sheet, self.formula.at


def evaluate(
    source: Package | Path | str,
    functions: Functions,
    *,
    spill_calls: bool = False,
    grids: list[Grid] | None = None,
) -> Evaluation:
    """Compute every formula of a workbook.

    Parameters
    ----------
    source : Package or Path or str
        The workbook; it is not changed.
    functions : mapping of str to callable
        Our functions by Excel name. They get cell values by position (ranges as rows of values, an error cell as an
        `ErrorValue`, a blank or left-out one as None) and answer with a value or with rows of values.
    spill_calls : bool
        Take a bare call of our functions as a formula that spills even if the file does not say so.
    grids : list of Grid, optional
        The cells of the workbook, where they were read before.

    Returns
    -------
    Evaluation
        Values, and what has none.

    Raises
    ------
    WorkbookError
        When the file cannot be read, or is set to compute otherwise than Excel does by default.
    """
    package = source if isinstance(source, Package) else open_package(source)
    _refuse_settings(package)
    grids = read_grids(package) if grids is None else grids
    tables = package.tables()
    resolver = Resolver([grid.sheet for grid in grids], tables, package.names())
    return _compute(grids, resolver, functions, spill_calls, [table.area for table in tables])


def answer(formula: str, functions: Functions) -> Cell | Block:
    """Compute one formula in an empty workbook; see `answers`."""
    return answers([formula], functions)[0]


def answers(formulas: Iterable[str], functions: Functions) -> list[Cell | Block]:
    """Compute formulas, each in an empty sheet.

    Parameters
    ----------
    formulas : iterable of str
        Such as ``=MLS_KVCACHE("Llama3_8B",4096,32)``.
    functions : mapping of str to callable
        As for `evaluate`.

    Returns
    -------
    list of Cell or Block
        For each formula one value, or rows of values.

    Raises
    ------
    WorkbookError
        When a formula cannot be read or is outside the whitelist.
    """
    grids = []
    for number, formula in enumerate(formulas, start=1):
        sheet, text = f"Answer {number}", formula.strip().removeprefix("=").strip()
        if not text:
            raise WorkbookError("There is no formula to answer.")
        if any(t.type == Token.OPERAND and t.subtype == Token.RANGE for t in tokens_of(text)):
            raise WorkbookError(f"={text} refers to cells, and there is no sheet here; write the values instead.")
        grids.append(Grid(sheet, "", {}, {(1, 1): Formula(sheet, 1, 1, text, None, True, None)}))
    result = _compute(grids, Resolver(grid.sheet for grid in grids), functions, True, [])
    for grid in grids:
        if (grid.sheet, "A1") in result.missing:
            text = grid.formulas[1, 1].text
            raise WorkbookError(f"={text} was not computed: {result.missing[grid.sheet, 'A1']}")
    return [result.values[grid.sheet, "A1"] for grid in grids]


def _refuse_settings(package: Package) -> None:
    root = package.xml(package.workbook_part)
    properties, calculation = root.find(main("workbookPr")), root.find(main("calcPr"))
    if properties is not None and properties.get("date1904") in {"1", "true"}:
        raise WorkbookError(f"{package.path} counts dates from 1904; switch that off in Excel's options first.")
    if calculation is not None and calculation.get("fullPrecision") in {"0", "false"}:
        raise WorkbookError(f'{package.path} computes with "precision as displayed"; switch that off in Excel first.')


def _compute(
    grids: list[Grid], resolver: Resolver, functions: Functions, spill_calls: bool, tables: list[Area]
) -> Evaluation:
    preparer = Preparer(resolver, functions)
    jobs = [
        _prepared(formula, tag, preparer, spill_calls)
        for tag, formula in enumerate(formula for grid in grids for formula in grid.formulas.values())
    ]
    _spread(jobs)
    rules, bugs = semantics.Rules(), list[BaseException]()
    book = _book(grids, jobs, rules, functions, bugs)
    book.evaluate_all()
    if bugs:
        raise bugs[0]
    found = {job.tag: _result(book, job, tables) for job in jobs if not job.reason}
    for job in jobs:
        if job.tag in rules.flagged:
            job.reason = job.reason or f"{rules.flagged[job.tag]}."
    _spread(jobs)
    for job in jobs:
        if not job.reason and found[job.tag] == "#SPILL!":
            job.reason = "its answer has more than one cell, but the formula fills 1 x 1."
    _spread(jobs)
    out = Evaluation(bare={job.key for job in jobs if job.bare})
    for job in jobs:
        if job.reason:
            out.missing[job.key] = job.reason
        else:
            out.values[job.key] = found[job.tag]
    return out


def _prepared(formula: Formula, tag: int, preparer: Preparer, spill_calls: bool) -> _Job:
    job = _Job(formula, tag, covers=formula.block)
    try:
        ready = preparer.prepare(formula, tag)
    except RefusedFormula as refusal:
        job.reason = str(refusal)
        return job
    job.text, job.reads, job.bare = ready.text, ready.reads, ready.bare
    job.spills = formula.dynamic or (spill_calls and job.bare)
    if any((formula.sheet, formula.row, formula.column) in area for area in job.reads):
        job.reason = _CIRCULAR
    return job


def _spread(jobs: list[_Job]) -> None:
    """Give every formula that reads a cell without a value that cell as its reason, until nothing changes."""
    blocked: dict[str, dict[tuple[int, int], str]] = {}  # by sheet: most areas read sheets without any
    areas: dict[str, list[tuple[Area, str]]] = {}

    def block(job: _Job) -> None:
        formula = job.formula
        name = f"{formula.sheet}!{formula.at}"
        blocked.setdefault(formula.sheet, {})[formula.row, formula.column] = name
        if job.covers is not None:
            areas.setdefault(job.covers.sheet, []).append((job.covers, name))

    def culprit(area: Area) -> str | None:
        cells = blocked.get(area.sheet, {})
        if area.shape[0] * area.shape[1] <= len(cells):
            named = next((cells[at] for at in area.cells() if at in cells), None)
        else:
            named = next((name for at, name in cells.items() if (area.sheet, *at) in area), None)
        return named or next((name for other, name in areas.get(area.sheet, ()) if _overlap(area, other)), None)

    for job in jobs:
        if job.reason:
            block(job)
    changed = bool(blocked)
    while changed:
        changed = False
        for job in jobs:
            if not job.reason:
                name = next((n for n in map(culprit, job.reads) if n), None)
                if name:
                    job.reason = f"it depends on {name}."
                    block(job)
                    changed = True


def _overlap(one: Area, other: Area) -> bool:
    return (
        one.sheet == other.sheet
        and one.top <= other.bottom
        and other.top <= one.bottom
        and one.left <= other.right
        and other.left <= one.right
    )


def _book(
    grids: list[Grid], jobs: list[_Job], rules: semantics.Rules, functions: Functions, bugs: list[BaseException]
) -> formualizer.Workbook:
    book = empty_book(rules, functions, bugs)
    read = {area.sheet for job in jobs for area in job.reads} | {job.formula.sheet for job in jobs}
    for grid in grids:
        book.add_sheet(grid.sheet)
        for row, column in sorted(grid.inputs, key=lambda at: at[::-1]) if grid.sheet in read else ():
            book.set_value(grid.sheet, row, column, to_engine(grid.inputs[row, column]))
    for job in jobs:
        at = job.formula.sheet, job.formula.row, job.formula.column
        if job.reason:
            # Holds the place, so that nothing spills over it; whoever reads it is discarded.
            book.set_value(*at, semantics.engine_error("#N/A"))
        else:
            book.set_formula(*at, f"={job.text}")
    return book


def _result(book: formualizer.Workbook, job: _Job, tables: list[Area]) -> Cell | Block:
    """The value of one formula; a reason on the job when there is none that Excel would show."""
    formula = job.formula
    value = book.get_value(formula.sheet, formula.row, formula.column)
    if isinstance(value, dict) and value.get("kind") == "Spill":
        # The engine hands the error on to readers; they get their reason from the cell they read.
        if job.bare or job.spills or job.formula.block is not None:
            job.reason = "its answer needs more cells than are free below or beside it (#SPILL!)."
        return ErrorValue("#SPILL!")
    if isinstance(value, dict) and value.get("kind") == "Circ":
        job.reason = _CIRCULAR
        return ""
    extent = _extent(book, formula)
    if not job.spills:
        wanted = formula.block.shape if formula.block is not None else (1, 1)
        if extent.shape != wanted:
            rows, columns = extent.shape
            job.reason = f"its answer has {rows} x {columns} cells, but the formula fills {wanted[0]} x {wanted[1]}."
            job.covers = extent
            return ""
    if extent.shape == (1, 1):
        return _cell(value, job)
    job.covers = extent
    if any(_overlap(extent, table) for table in tables) and job.spills:
        job.reason = "its answer would spill into a table, which Excel refuses (#SPILL!)."
    values: Block = []
    for row in range(extent.top, extent.bottom + 1):
        line = [book.get_value(formula.sheet, row, column) for column in range(extent.left, extent.right + 1)]
        values.append([_cell(v, job) for v in line])
    return values


def _extent(book: formualizer.Workbook, formula: Formula) -> Area:
    address = "'" + formula.sheet.replace("'", "''") + f"'!{get_column_letter(formula.column)}{formula.row}"
    spill = book.inspect_cell(address, include_values=False).cell.spill
    if spill is None or spill.extent is None:
        return Area(formula.sheet, formula.row, formula.column, formula.row, formula.column)
    return area_of(formula.sheet, spill.extent.rpartition("!")[2])


def _cell(value: Any, job: _Job) -> Cell:
    error = semantics.error_text(value)
    if error is not None:
        if not error:
            job.reason = job.reason or f"the engine answered {value.get('kind')}, which Excel has no value for."
        return ErrorValue(error)
    if value is None:
        return 0.0  # a formula that refers to a blank cell shows 0
    if isinstance(value, (bool, str)):
        return value
    number = float(value)
    return number if math.isfinite(number) else ErrorValue("#NUM!")
