"""Bring the registry tables of somebody's workbook up to the installed version, and leave all else as it is.

Changed are the parts of the registry sheets and their tables, the styles (appended to, see `refresh_styles`), the
calculation chain (appended to) and, of the workbook part, names that reach down a table and the request to Excel to
compute everything on opening.  Every other part keeps its bytes.  The calculated columns of the registry tables get
their new values here; formulas elsewhere show their former values until Excel opens the file, or ``recalc`` copies it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlsysim.version import __version__
from workbook import errors
from workbook.caches import SheetCells, ask_for_calculation, set_value
from workbook.cells import Grid, read_grids
from workbook.engine import evaluate
from workbook.errors import WorkbookError
from workbook.package import Package, Table
from workbook.refresh_file import Original, held, read_file, real_path, replace_file, rewritten, write_new
from workbook.refresh_plan import make_plan
from workbook.refresh_sheet import Ground, apply, calculated, without
from workbook.refresh_styles import only_appended
from workbook.refresh_values import same
from workbook.refresh_view import SOURCES, Line, View, view
from workbook.sheets.registries import TABLES

KINDS = ("changed", "new", "kept", "left out")


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did or would do.

    Attributes
    ----------
    lines : tuple of Line
        Value by value: changed, new, kept, left out.
    written : Path or None
        The file that holds the new values; None when nothing was written.
    backup : Path or None
        The former file, where it was replaced.
    """

    lines: tuple[Line, ...]
    written: Path | None
    backup: Path | None

    @property
    def changes(self) -> int:
        """Values changed or added."""
        return sum(line.kind in ("changed", "new") for line in self.lines)

    def sentences(self) -> list[str]:
        """The report for a terminal."""
        out = [f"{line.kind}: {line.text}" for kind in KINDS for line in self.lines if line.kind == kind]
        counts = ", ".join(f"{sum(line.kind == kind for line in self.lines)} {kind}" for kind in KINDS)
        out.append(f"{counts}." if self.lines else "Nothing to refresh.")
        if self.backup is not None:
            out.append(f"kept the former file as {self.backup}")
        if self.written is not None:
            out.append(f"wrote {self.written}")
            if self.changes:
                out.append(
                    "Other sheets show their former answers until Excel opens the file; "
                    "mls-workbook recalc writes a copy with all of them anew."
                )
        return out


def refresh(source: Path, *, out: Path | None = None, dry_run: bool = False) -> Refreshed:
    """Refresh the registry tables of a workbook.

    Parameters
    ----------
    source : Path
        The workbook, .xlsx or .xlsm.
    out : Path, optional
        Where to write the refreshed workbook; blank: in place of `source`, which is kept under a dated name.
    dry_run : bool
        Only say what would change.

    Returns
    -------
    Refreshed
        The report.

    Raises
    ------
    WorkbookError
        One sentence on why the file is refused; it is then as it was.
    """
    real = real_path(Path(source))
    errors.refuse_locked(Path(source))
    if out is not None:
        if out.suffix.casefold() != real.suffix.casefold():
            raise WorkbookError(f"The output {out} must end in {real.suffix}, as {source} does.")
        errors.refuse_target(real, out, force=False)
    with held(real, change=out is None and not dry_run):
        original = read_file(real)
        data, lines = refreshed(original)
        if dry_run:
            return Refreshed(lines, None, None)
        if out is not None:
            write_new(out, data)
            return Refreshed(lines, out, None)
        if data == original.data:
            return Refreshed(lines, None, None)
        return Refreshed(lines, Path(source), replace_file(original, data))


def refreshed(original: Original) -> tuple[bytes, tuple[Line, ...]]:
    """The bytes of the refreshed file, which are those of the original where nothing changes, and the report."""
    before = original.package
    grids = {grid.sheet: grid for grid in read_grids(before)}
    views = _views(before, grids)
    _refuse_newer(before, grids)
    ground = Ground(before, grids)
    plan = make_plan(views, lambda table, count: ground.obstacle(views[table], count))
    lines = tuple(plan.lines)
    if not plan.writes and not plan.rows:
        return original.data, lines
    after = Package(dict(before.parts), before.path)
    touched = apply(after, views, plan)
    touched |= _compute(after, set(views))
    ask_for_calculation(after, full=True)
    _prove(before, after, touched)
    changed = {name: data for name, data in after.parts.items() if data != before.parts[name]}
    return rewritten(original, changed), lines


def _views(package: Package, grids: Mapping[str, Grid]) -> dict[str, View]:
    """The registry tables and the table of sources; refused when they are not as Excel keeps tables."""
    wanted = {*TABLES.values(), SOURCES}
    found: dict[str, View] = {}
    for table in package.tables():
        if table.name in wanted:
            if table.name in found:
                raise WorkbookError(f"{package.path} is damaged: it has two tables {table.name}.")
            _refuse_unsound(package, table, grids[table.area.sheet])
            found[table.name] = view(table, grids[table.area.sheet])
    if SOURCES not in found:
        raise WorkbookError(
            f"{package.path} has no table {SOURCES}, which says what was shipped; refresh is for workbooks built here."
        )
    return found


def _refuse_unsound(package: Package, table: Table, grid: Grid) -> None:
    area = table.area
    kind = package.xml(table.part).get("tableType", "worksheet")
    if kind != "worksheet" or table.header_rows != 1:
        raise WorkbookError(f"The table {table.name} is no plain table with one header row any more; restore it first.")
    if len(table.columns) != area.shape[1] or area.bottom - table.totals_rows <= area.top:
        raise WorkbookError(
            f"{package.path} is damaged: the table {table.name} does not fit its {area.shape[1]} columns."
        )
    for i, name in enumerate(table.columns):
        head = grid.value(area.top, area.left + i)
        if head != name:
            raise WorkbookError(
                f"{package.path} is damaged: the column {name!r} of table {table.name} is headed {head!r}."
            )


def _refuse_newer(package: Package, grids: Mapping[str, Grid]) -> None:
    """Refuse a workbook of a later version, whose facts would be set back; its checks say which version built it."""
    checks = {t.area.sheet for t in package.tables() if t.name == "tblChecks"}
    texts = [f.text for name in checks for f in grids[name].formulas.values()]
    built = {v for text in texts for v in re.findall(r'="(\d+(?:\.\d+)+)"', text)}
    later = [v for v in built if _ordered(v) > _ordered(__version__)]
    if later:
        raise WorkbookError(
            f"{package.path} was built by version {max(later, key=_ordered)}, newer than {__version__}; update first."
        )


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])


def _compute(package: Package, names: set[str]) -> set[tuple[str, int, int]]:
    """Give the calculated columns of the registry tables their values; answers with the cells whose value changed."""
    grids = {grid.sheet: grid for grid in read_grids(package)}
    views = {t.name: view(t, grids[t.area.sheet]) for t in package.tables() if t.name in names}
    asked = calculated(package, views, grids)
    result = evaluate(package, {}, grids=asked)
    touched = set()
    for grid in asked:
        changed = {}
        for at, formula in grid.formulas.items():
            value = result.values.get((formula.sheet, formula.at))
            if value is not None and not isinstance(value, list) and not same(formula.cached, value):
                changed[at] = value
        if changed:
            root = package.xml(grid.part)
            cells = SheetCells(root)
            for at, value in changed.items():
                set_value(cells.cell(*at), value)
                touched.add((grid.sheet, *at))
            package.put(grid.part, root)
    return touched


def _prove(before: Package, after: Package, touched: set[tuple[str, int, int]]) -> None:
    """Compare what was made with what was there: a slip of ours must not reach anybody's file."""
    sheets = {sheet.part: sheet.name for sheet in before.sheets()}
    tables = {table.part for table in before.tables() if table.name in {*TABLES.values(), SOURCES}}
    styles, chain = (
        {r.target for r in before.relations(before.workbook_part) if r.kind == kind} for kind in ("styles", "calcChain")
    )
    if set(before.parts) != set(after.parts):
        raise RuntimeError("a part was lost or added")
    for part, data in after.parts.items():
        if data == before.parts[part]:
            continue
        if part in sheets:
            cells = {(row, column) for sheet, row, column in touched if sheet == sheets[part]}
            if without(before.xml(part), cells) != without(after.xml(part), cells):
                raise RuntimeError(f"{part} changed in a cell that was not to change")
        elif part in styles:
            if not only_appended(before.xml(part), after.xml(part)):
                raise RuntimeError("a format that was there changed")
        elif part not in tables | chain | {before.workbook_part}:
            raise RuntimeError(f"{part} changed, which is not ours")
    spots = after.tables()
    for table in spots:
        if any(t is not table and t.area.sheet == table.area.sheet and _overlap(table, t) for t in spots):
            raise RuntimeError(f"{table.name} grew into another table")


def _overlap(one: Table, other: Table) -> bool:
    a, b = one.area, other.area
    return a.top <= b.bottom and b.top <= a.bottom and a.left <= b.right and b.left <= a.right
