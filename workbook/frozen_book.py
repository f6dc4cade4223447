"""A book as freeze and thaw look at it: cells by place, tables and names by name, and what a formula depends on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from workbook.cells import Cell, Formula, Grid, read_grids
from workbook.embedded import Functions
from workbook.engine import evaluate
from workbook.errors import WorkbookError
from workbook.package import Area, Package, Table, area_of
from workbook.references import Resolver, UnresolvedReference

Spot = tuple[str, int, int]  # sheet, row, column


@dataclass(frozen=True)
class Book:
    """A package with its cells read.

    Attributes
    ----------
    package : Package
        The parts.
    grids : dict of str to Grid
        The cells by sheet.
    tables : dict of str to Table
        The tables by name.
    names : dict of str to str
        The names of the whole book, and what they stand for.
    """

    package: Package
    grids: dict[str, Grid]
    tables: dict[str, Table]
    names: dict[str, str]
    resolver: Resolver
    known: dict[Formula, tuple[Area, ...]] = field(default_factory=dict, repr=False)  # what formulas read

    @classmethod
    def of(cls, package: Package) -> Book:
        """The book of a package."""
        return cls.made(package, {grid.sheet: grid for grid in read_grids(package)})

    @classmethod
    def made(cls, package: Package, grids: dict[str, Grid]) -> Book:
        """A book with other cells than its package has."""
        tables, names = package.tables(), package.names()
        resolver = Resolver(grids, tables, names)
        return cls(
            package, grids, {t.name: t for t in tables}, {n.name: n.text for n in names if n.sheet is None}, resolver
        )

    def named(self, name: str) -> Spot:
        """The cell that a name stands for."""
        sheet, _, at = self.names.get(name, "").replace("$", "").rpartition("!")
        if not sheet:
            raise WorkbookError(f"{self.package.path} has no cell named {name}; freeze is for workbooks built here.")
        area = area_of(sheet.strip("'"), at)
        return area.sheet, area.top, area.left

    def value(self, spot: Spot) -> Cell | None:
        """What the file shows at a cell."""
        return self.grids[spot[0]].value(spot[1], spot[2])

    def column(self, table: str, name: str) -> list[Cell | None]:
        """The cells of a column of a table."""
        found = self.tables.get(table)
        if found is None or name not in found.columns:
            raise WorkbookError(
                f"{self.package.path} has no table {table} with a column {name!r}; build the book anew."
            )
        area, grid = found.area, self.grids[found.area.sheet]
        place = area.left + found.columns.index(name)
        return [grid.value(r, place) for r in range(area.top + found.header_rows, area.bottom - found.totals_rows + 1)]

    def keys(self, table: str) -> list[str]:
        """The keys of a registry table."""
        return [str(k) if k is not None else "" for k in self.column(table, "key")]

    def reads(self, formula: Formula) -> tuple[Area, ...]:
        """The rectangles that a formula reads; none where it cannot be read."""
        if formula not in self.known:
            try:
                found = self.resolver.resolve(formula.text, formula.sheet, formula.row, formula.column).reads
            except UnresolvedReference:
                found = ()
            self.known[formula] = tuple(dict.fromkeys(found))
        return self.known[formula]

    def closure(self, targets: Iterable[Formula]) -> set[Spot]:
        """The formula cells that some formulas depend on, themselves included."""
        owners = {
            (f.sheet, *cell): (f.sheet, f.row, f.column)
            for grid in self.grids.values()
            for f in grid.formulas.values()
            if f.block is not None
            for cell in f.block.cells()
        }
        todo = list(targets)
        done = {(f.sheet, f.row, f.column) for f in todo}
        seen: set[Area] = set()
        while todo:
            for area in self.reads(todo.pop()):
                if area in seen or area.sheet not in self.grids:
                    continue
                seen.add(area)
                formulas = self.grids[area.sheet].formulas
                few = area.shape[0] * area.shape[1] <= len(formulas) + len(owners)
                cells = [(area.sheet, *c) for c in area.cells()] if few else [
                    spot for spot in (*((area.sheet, *at) for at in formulas), *owners) if spot in area
                ]  # fmt: skip
                for cell in cells:
                    spot = owners.get(cell, cell)
                    if spot not in done and spot[1:] in self.grids[spot[0]].formulas:
                        done.add(spot)
                        todo.append(self.grids[spot[0]].formulas[spot[1:]])
        return done

    def only(self, formulas: Collection[Spot]) -> list[Grid]:
        """The cells with these formulas and no other; what they do not read is of no account."""
        out = []
        for name, grid in self.grids.items():
            here = {at: f for at, f in grid.formulas.items() if (name, *at) in formulas}
            out.append(Grid(name, grid.part, dict(grid.inputs), here, {}))
        return out

    def values(self, formulas: Collection[Spot], functions: Functions) -> dict[Spot, Cell]:
        """What some formula cells show; all that they depend on must be among them."""
        result = evaluate(self.package, functions, grids=self.only(formulas))
        out: dict[Spot, Cell] = {}
        for spot in formulas:
            formula = self.grids[spot[0]].formulas[spot[1:]]
            value = result.values.get((formula.sheet, formula.at))
            if value is None:
                why = result.missing[formula.sheet, formula.at]
                raise WorkbookError(f"{formula.sheet}!{formula.at} cannot be computed: {why}")
            rows = value if isinstance(value, list) else [[value]]
            for r, row in enumerate(rows):
                for c, cell in enumerate(row):
                    out[spot[0], spot[1] + r, spot[2] + c] = cell
        return out

    def by_choice(
        self, formulas: Collection[Spot], cell: Spot, choices: Iterable[str], functions: Functions
    ) -> dict[str, dict[Spot, Cell]]:
        """What some formula cells show for every choice in an input cell; see `values`."""
        base = self.values(formulas, functions)
        moving = self._dependents(formulas, cell)
        still = {spot: value for spot, value in base.items() if spot not in moving}
        return {c: base | self.with_inputs(still | {cell: c}).values(moving, functions) for c in choices}

    def _dependents(self, formulas: Collection[Spot], cell: Spot) -> set[Spot]:
        """Those of some formula cells that depend on a cell."""
        readers: dict[Area, list[Spot]] = {}
        for spot in formulas:
            for area in self.reads(self.grids[spot[0]].formulas[spot[1:]]):
                readers.setdefault(area, []).append(spot)
        out, todo = set[Spot](), {cell}
        while todo:
            hit = {area for area in readers if any(spot in area for spot in todo)}
            todo = {reader for area in hit for reader in readers[area]} - out
            out |= todo
        return out

    def with_inputs(self, cells: Mapping[Spot, Cell]) -> Book:
        """The same book with plain values in some cells."""
        grids = dict(self.grids)
        for sheet in {spot[0] for spot in cells}:
            old = grids[sheet]
            grids[sheet] = Grid(sheet, old.part, dict(old.inputs), dict(old.formulas), old.covered)
        for (sheet, row, column), value in cells.items():
            grids[sheet].formulas.pop((row, column), None)
            grids[sheet].inputs[row, column] = value
        return replace(self, grids=grids)
