"""A workbook that somebody edited, recalculated without Excel: a copy with new values, all else byte for byte.

Only the sheet parts with formulas change (values and types of formula cells, and the cells a spilling formula covers);
charts, shapes, sparklines, macros and settings are copied as they are. A cell outside the whitelist, and every cell
that depends on one, is left without a value and named in the report, and Excel is asked to compute on opening.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbook import errors
from workbook.caches import ask_for_calculation, write_values
from workbook.cells import Block, Cell, ErrorValue, Formula, read_grids
from workbook.engine import Functions, evaluate
from workbook.package import open_package


@dataclass(frozen=True)
class Report:
    """What a recalculation did.

    Attributes
    ----------
    computed : int
        Formula cells that have a value now.
    changed : tuple of str
        Those whose value is another than the file had, as ``Sheet!A1``.
    failed : tuple of str
        Those whose value is an error of Excel's or a refusal of ours, as ``Sheet!A1: #N/A``.
    missing : dict of str to str
        ``Sheet!A1`` of the cells that were not computed, and why.
    """

    computed: int
    changed: tuple[str, ...]
    failed: tuple[str, ...]
    missing: dict[str, str]

    def sentences(self) -> list[str]:
        """The report for a terminal, one line a fact."""
        lines = [f"{self.computed} formula cells computed, {len(self.changed)} of them changed."]
        lines += [f"{cell}." for cell in self.failed]
        if self.missing:
            lines.append(f"{len(self.missing)} cells were left to Excel, which will compute them on opening:")
            lines += [f"{cell}: {why}" for cell, why in self.missing.items()]
        return lines


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
    return Report(
        len(done),
        tuple(_named(f) for f, value in done.items() if _changed(f.cached, _first(value))),
        tuple(f"{_named(f)}: {bad}" for f, value in done.items() if (bad := first_failure(value))),
        {f"{sheet}!{at}": why for (sheet, at), why in result.missing.items()},
    )


def first_failure(value: Cell | Block | None) -> str:
    """The first error or refusal in a value or block, "" when there is none."""
    cells = [cell for row in value for cell in row] if isinstance(value, list) else [value]
    return next((str(c) for c in cells if isinstance(c, ErrorValue) or (isinstance(c, str) and c[:5] == "#MLS!")), "")


def _named(formula: Formula) -> str:
    return f"{formula.sheet}!{formula.at}"


def _first(value: Cell | Block) -> Cell:
    return value[0][0] if isinstance(value, list) else value


def _changed(old: Cell | None, new: Cell) -> bool:
    return type(old) is not type(new) or old != new
