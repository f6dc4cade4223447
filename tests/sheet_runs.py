"""A built workbook kept open in the embedded engine, so that a test can change a cell and read what follows.

Building takes seconds and each change a fraction of one, which makes it possible to check every input at both ends
against a full recalculation.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.utils.cell import column_index_from_string, coordinate_from_string
from openpyxl.workbook.defined_name import DefinedName

from udfs import FUNCTIONS
from workbook import engine as recalculation
from workbook import semantics
from workbook.cells import read_grids
from workbook.embedded import to_engine
from workbook.package import open_package
from workbook.plan import Plan
from workbook.prepare import Preparer
from workbook.references import Resolver
from workbook.sheets.engine import add_engine, add_engine_live, version_row
from workbook.sheets.frozen import add_frozen
from workbook.sheets.inputs import add_inputs
from workbook.sheets.lines import add_lines
from workbook.sheets.money import add_money
from workbook.sheets.monthly import Layout, add_monthly
from workbook.sheets.options import add_options
from workbook.sheets.registries import add_registries
from workbook.style import add_styles

SHOWN, SCENARIO, CURRENCY = "Decision!B1", "Decision!B2", "Decision!B3"


def book_of(plan: Plan, *more: Callable[[Workbook, Layout], Any]) -> Workbook:
    """The sheets that the money needs, the selectors of Decision, and what `more` adds."""
    layout, count = Layout(plan), len(plan.options)
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Decision"
    add_styles(book)
    choices: dict[str, str | int] = {"out_Option": 1, "in_Scenario": "Base", "in_Currency": "USD"}
    for r, (name, value) in enumerate(choices.items(), start=1):
        sheet[f"B{r}"] = value
        book.defined_names[name] = DefinedName(name, attr_text=f"Decision!$B${r}")
    add_inputs(book, plan.inputs)
    add_lines(book, plan.lines)
    add_options(book, plan.options, layout.needed)
    add_engine_live(book, count, [])
    add_engine(book, count)
    add_frozen(book, f"Engine_Live!$D${version_row(0)}")
    add_monthly(book, plan)
    add_money(book, layout)
    add_registries(book)
    for add in more:
        add(book, layout)
    return book


class Run:
    """A workbook in the engine."""

    def __init__(self, book: Workbook) -> None:
        buffer = io.BytesIO()
        book.save(buffer)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "book.xlsx"
            path.write_bytes(buffer.getvalue())
            package = open_package(path)
        self.grids = {g.sheet: g for g in read_grids(package)}
        self.names = {n: str(d.attr_text).replace("$", "") for n, d in book.defined_names.items()}
        resolver = Resolver(list(self.grids), package.tables(), package.names())
        preparer = Preparer(resolver, FUNCTIONS)
        formulas = [f for g in self.grids.values() for f in g.formulas.values()]
        jobs = [recalculation._prepared(f, tag, preparer, False) for tag, f in enumerate(formulas)]
        assert not [job.reason for job in jobs if job.reason]
        self._bugs: list[BaseException] = []
        self._book = recalculation._book(list(self.grids.values()), jobs, semantics.Rules(), FUNCTIONS, self._bugs)
        self._book.evaluate_all()

    def _place(self, at: str) -> tuple[str, int, int]:
        sheet, _, cell = self.names.get(at, at).replace("$", "").rpartition("!")
        column, row = coordinate_from_string(cell)
        return sheet, row, column_index_from_string(column)

    def read(self, at: str) -> Any:
        """The value of a cell, by address or name."""
        assert not self._bugs
        value = self._book.get_value(*self._place(at))
        error = semantics.error_text(value)
        return value if error is None else error

    @contextmanager
    def with_cells(self, changes: dict[str, Any], *, settle: bool = True) -> Iterator[None]:
        """Other values in cells that hold no formula, for a while.

        With `settle` false the old values are computed together with the next change, not before it.
        """
        places = {at: self._place(at) for at in changes}
        old = {at: self.grids[s].inputs.get((r, c)) for at, (s, r, c) in places.items()}
        for at, value in changes.items():
            self._book.set_value(*places[at], to_engine(value) if value is not None else None)
        self._book.evaluate_all()
        try:
            yield
        finally:
            for at, value in old.items():
                self._book.set_value(*places[at], to_engine(value) if value is not None else None)
            if settle:
                self._book.evaluate_all()
