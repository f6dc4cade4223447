"""A workbook that somebody edited, recalculated without Excel: a copy with new values, all else byte for byte.

Only the sheet parts with formulas change (values and types of formula cells, and the cells a spilling formula covers);
charts, shapes, sparklines, macros and settings are copied as they are. A cell outside the whitelist, and every cell
that depends on one, is left without a value and named in the report, and Excel is asked to compute on opening.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from udfs.cells import REFUSED
from workbook import errors
from workbook.caches import ask_for_calculation, write_values
from workbook.cells import Block, Cell, ErrorValue, Formula, read_grids
from workbook.embedded import Functions
from workbook.engine import evaluate
from workbook.package import Area, open_package
from workbook.references import Resolver

LINES = 20  # of causes, in a report that is not asked for all
_NAMED = 4  # cells named on a line of a report before "and N more"


@dataclass(frozen=True)
class Report:
    """What a recalculation did.

    Attributes
    ----------
    computed : int
        Formula cells that have a value now.
    changed : tuple of str
        Those whose value is another than the file had, as ``Sheet!A1``; not those that had none.
    fresh : int
        Formula cells that had no value before.
    failed : tuple of str
        Those whose value is an error of Excel's or a refusal of ours, as ``Sheet!A1: #N/A``.
    causes : dict of str to tuple of str
        What those of `failed` say that read no other one, refusals first, and the cells that say it.
    missing : dict of str to str
        ``Sheet!A1`` of the cells that were not computed, and why.
    """

    computed: int
    changed: tuple[str, ...]
    fresh: int
    failed: tuple[str, ...]
    causes: dict[str, tuple[str, ...]]
    missing: dict[str, str]

    def sentences(self, *, full: bool = False) -> list[str]:
        """The report for a terminal: every cell, or the causes and how many follow from them."""
        counts = f"{len(self.changed)} of them changed, {self.fresh} had no value"
        lines = [f"{self.computed} formula cells computed, {counts}."]
        if full:
            lines += [f"{cell}." for cell in self.failed]
        elif self.failed:
            shown = list(self.causes.items())[:LINES]
            lines += [f"{_listed(cells)}: {said.rstrip('.')}." for said, cells in shown]
            lines += _and_more(len(self.failed) - sum(len(cells) for _, cells in shown), "that follow or fail likewise")
        if self.missing:
            lines.append(f"{len(self.missing)} cells were left to Excel, which will compute them on opening:")
            left = list(self.missing.items())
            lines += [f"{cell}: {why}" for cell, why in (left if full else left[:LINES])]
            lines += [] if full else _and_more(len(left) - LINES, "left to Excel")
        return lines


def _listed(cells: Sequence[str]) -> str:
    more = len(cells) - _NAMED
    return ", ".join(cells[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _and_more(count: int, which: str) -> list[str]:
    return [f"and {count} cell{'s' if count > 1 else ''} {which}; --all prints every one."] if count > 0 else []


def recalc(source: Path, target: Path, functions: Functions, *, force: bool = False) -> Report:
    """Write a recalculated copy of a workbook.

    Parameters
    ----------
    source : Path
        The workbook; it is only read.
    target : Path
        The copy to write.
    functions : mapping of str to callable
        Our functions by Excel name.
    force : bool
        Replace an existing target.

    Returns
    -------
    Report
        What was computed, what is in error, and what was left to Excel and why.

    Raises
    ------
    WorkbookError
        When `source` is missing, open elsewhere, encrypted, signed or no workbook, or `target` may not be written.
    """
    source, target = Path(source), Path(target)
    package = open_package(source)
    errors.refuse_target(source, target, force=force)
    if package.is_signed:
        raise errors.signed(source)
    grids = read_grids(package)
    result = evaluate(package, functions, grids=grids)
    write_values(package, grids, result, None)
    if result.missing:
        ask_for_calculation(package, full=True)
    package.write(target, force=force)
    formulas = [formula for grid in grids for formula in grid.formulas.values()]
    done = {f: result.values[f.sheet, f.at] for f in formulas if (f.sheet, f.at) in result.values}
    bad = {f: said for f, value in done.items() if (said := first_failure(value))}
    resolver = Resolver([grid.sheet for grid in grids], package.tables(), package.names())
    return Report(
        len(done),
        tuple(_named(f) for f, value in done.items() if f.cached is not None and _changed(f.cached, _first(value))),
        sum(f.cached is None for f in done),
        tuple(f"{_named(f)}: {said}" for f, said in bad.items()),
        _causes(bad, resolver),
        {f"{sheet}!{at}": why for (sheet, at), why in result.missing.items()},
    )


def _causes(bad: Mapping[Formula, str], resolver: Resolver) -> dict[str, tuple[str, ...]]:
    """What the failing cells say that read no other failing one, refusals first, with the cells that say it."""
    places = {(f.sheet, f.row, f.column) for f in bad}
    places |= {(f.sheet, *cell) for f in bad if f.block is not None for cell in f.block.cells()}

    def follows(formula: Formula) -> bool:
        reads = resolver.resolve(formula.text, formula.sheet, formula.row, formula.column).reads
        return any(_holds(area, places) for area in reads)

    said: dict[str, tuple[str, ...]] = {}
    for formula, text in bad.items():
        if not follows(formula):
            said[text] = (*said.get(text, ()), _named(formula))
    return dict(sorted(said.items(), key=lambda item: not item[0].startswith(REFUSED)))


def _holds(area: Area, places: set[tuple[str, int, int]]) -> bool:
    rows, columns = area.shape
    if rows * columns < len(places):
        return any((area.sheet, row, column) in places for row, column in area.cells())
    return any(place in area for place in places)


def first_failure(value: Cell | Block | None) -> str:
    """The first error or refusal in a value or block, "" when there is none."""
    cells = [cell for row in value for cell in row] if isinstance(value, list) else [value]
    return next(
        (str(c) for c in cells if isinstance(c, ErrorValue) or (isinstance(c, str) and c.startswith(REFUSED))), ""
    )


def _named(formula: Formula) -> str:
    return f"{formula.sheet}!{formula.at}"


def _first(value: Cell | Block) -> Cell:
    return value[0][0] if isinstance(value, list) else value


def _changed(old: Cell, new: Cell) -> bool:
    return type(old) is not type(new) or old != new
