"""What a refresh speaks of: tables of the file with their cells, and the writes, new rows and sentences of a plan."""

from __future__ import annotations

from dataclasses import dataclass, field

from workbook.cells import Grid
from workbook.package import Table
from workbook.refresh_values import Value

SOURCES = "tblSources"


@dataclass
class View:
    """A table of the file with its cells."""

    table: Table
    grid: Grid
    columns: dict[str, int]
    rows: dict[str, int] = field(default_factory=dict)  # by folded key, the first of several

    def at(self, row: int, heading: str) -> tuple[Value, bool]:
        """The value of a cell, and whether a formula gives it."""
        place = row, self.columns[heading]
        value = self.grid.value(*place)
        return None if value == "" else value, place in self.grid.formulas or place in self.grid.covered

    def body(self) -> range:
        """The rows between header and totals."""
        area = self.table.area
        return range(area.top + self.table.header_rows, area.bottom + 1 - self.table.totals_rows)


@dataclass(frozen=True)
class Write:
    """A new value for one cell of a table, and whether it is an estimate."""

    table: str
    row: int
    heading: str
    value: Value
    estimate: bool = False


@dataclass(frozen=True)
class NewRow:
    """A row to be added below a table, by column; `estimates` are the columns that hold one."""

    table: str
    values: dict[str, Value]
    estimates: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Line:
    """One sentence of the report: what `kind` of news, about which cell, old and new value, and where that is from."""

    kind: str  # changed, new, kept, left out
    text: str


@dataclass
class Plan:
    """All writes, new rows and report lines of one refresh."""

    writes: list[Write] = field(default_factory=list)
    rows: list[NewRow] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def say(self, kind: str, text: str) -> None:
        """Add a line to the report."""
        self.lines.append(Line(kind, text))


@dataclass(frozen=True)
class Printed:
    """A row of the file's table of sources: where it stands and what it says by column."""

    row: int
    says: dict[str, Value]


Facts = dict[tuple[str, str], dict[str, Printed]]  # by registry and folded key, then field


def view(table: Table, grid: Grid) -> View:
    """A table with its cells; its rows by key where it has keys."""
    out = View(table, grid, {name: table.area.left + i for i, name in enumerate(table.columns)})
    if "key" in out.columns and table.name != SOURCES:
        for row in out.body():
            key = out.at(row, "key")[0]
            if isinstance(key, str):
                out.rows.setdefault(key.casefold(), row)
    return out
