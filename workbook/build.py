"""Assemble the workbook: openpyxl writes the draft, `finalize` gives every formula its value.

Same plan, same version: same bytes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from openpyxl import Workbook

from udfs import FUNCTIONS

from .finalize import finalize
from .plan import read_plan
from .sheets.accuracy import add_accuracy
from .sheets.charts import add_roofline_points
from .sheets.checks import add_checks
from .sheets.decision import add_decision, figures
from .sheets.engine import add_engine, add_engine_live, twin_row, version_row
from .sheets.functions import add_functions
from .sheets.inputs import add_inputs
from .sheets.options import add_options
from .sheets.physics import add_physics, twins
from .sheets.registries import add_registries, add_sources
from .sheets.tco import add_tco
from .sheets.walls import add_block, add_walls
from .style import add_styles

ORDER = ("Decision", "Inputs", "Options", "Engine_Live", "Engine", "TCO", "Accuracy", "Walls", "Physics",
         "Reg_Hardware", "Reg_Models", "Reg_Systems", "Reg_Infra", "Reg_Prices", "Reg_Calibration", "Reg_Sources",
         "Functions", "Checks")  # fmt: skip


def build(out: Path, *, options: int | None = None, force: bool = False) -> dict[tuple[str, str], str]:
    """Write the workbook `out`.

    Parameters
    ----------
    out : Path
        The file to write.
    options : int, optional
        Rows of the Options table; blank: those of ``plan.toml``.
    force : bool
        Replace an existing file.

    Returns
    -------
    dict of (sheet, A1 address) to str
        Cells that could not be computed, and why; empty when all is well.
    """
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.xlsx"
        draft_book(options).save(draft)
        return finalize(draft, out, FUNCTIONS, force=force)


def draft_book(count: int | None = None) -> Workbook:
    """The workbook with formulas and without values."""
    inputs, options = read_plan(count)
    equations, n = twins(), len(options)
    book = Workbook()
    sheet = book.active
    if sheet is not None:
        sheet.title = "Decision"
    add_styles(book)
    out_of_range = add_inputs(book, inputs)
    add_options(book, options)
    add_engine_live(book, n, equations)
    walls = version_row(len(equations)) + 2
    add_block(book, walls)
    add_engine(book, n)
    add_roofline_points(book["Engine"], n)
    add_tco(book, n)
    add_physics(book, {t.name: twin_row(i) for i, t in enumerate(equations)})
    add_registries(book)
    add_accuracy(book)
    add_walls(book, walls)
    add_sources(book)
    add_functions(book)
    add_checks(book, n, equations, out_of_range, figures(n))
    add_decision(book, n, len(equations))
    for place, name in enumerate(ORDER):
        book.move_sheet(name, place - book.sheetnames.index(name))
    book.active = 0
    book.properties.creator = "mlsysim for Excel"
    book.properties.title = "Accelerator plan"
    return book
