"""Assemble the workbook: openpyxl writes the draft, `finalize` gives every formula its value.

Same plan, same version: same bytes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from openpyxl import Workbook

from udfs import FUNCTIONS

from .finalize import finalize
from .plan import Plan, read_plan
from .sheets import compare, sensitivity
from .sheets.accuracy import add_accuracy
from .sheets.carbon import add_carbon
from .sheets.changelog import add_changelog
from .sheets.chart_data import TOP_BARS, add_chart_data
from .sheets.charts import add_roofline_points
from .sheets.charts_sheets import (
    add_carbon_chart,
    add_cash_chart,
    add_stack_chart,
    add_tornado_chart,
    add_utilisation_chart,
    room_below,
)
from .sheets.checks import add_checks
from .sheets.contents import contents
from .sheets.decision import FIGURES, Elsewhere, add_decision
from .sheets.engine import add_engine, add_engine_live, twin_row, version_row
from .sheets.examples import add_examples
from .sheets.frozen import add_frozen
from .sheets.functions import add_functions
from .sheets.guide import add_guide
from .sheets.inputs import FLAVOUR_ROW, FLAVOURS, add_inputs
from .sheets.lines import add_lines
from .sheets.money import add_money
from .sheets.monthly import Layout, add_monthly
from .sheets.options import add_options
from .sheets.physics import add_physics, twins
from .sheets.registries import add_registries, add_sources
from .sheets.rfq import add_rfq
from .sheets.sweep import add_sweep, add_sweep_blocks
from .sheets.walls import add_block, add_walls, rows_of_block
from .style import add_styles

FRONT = ("Decision", "Inputs", "Options", "Engine", "Money", "Compare", "Sensitivity", "RFQ", "Checks")
BEHIND = (
    "Lines",
    "Monthly",
    "Cases",
    "Chart_Data",
    "Engine_Live",
    "Engine_Frozen",
    "Carbon",
    "Accuracy",
    "Walls",
    "Sweep",
    "Physics",
    "Examples",
    "Prices",
    "Reg_Hardware",
    "Reg_Models",
    "Reg_Systems",
    "Reg_Infra",
    "Reg_Finance",
    "Reg_Calibration",
    "Reg_Sources",
    "Functions",
    "ChangeLog",
    "Guide",
)
ORDER = (*FRONT, *BEHIND)


def build(out: Path, plan: Plan | None = None, *, flavour: str = "", force: bool = False) -> dict[tuple[str, str], str]:
    """Write the workbook `out`.

    Parameters
    ----------
    out : Path
        The file to write.
    plan : Plan, optional
        Inputs, cost lines and options; blank: the shipped plan.
    flavour : str
        For whom the file says that it is; see `flavour.build_flavour`.
    force : bool
        Replace an existing file.

    Returns
    -------
    dict of (sheet, A1 address) to str
        Cells that could not be computed, and why; empty when all is well.
    """
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.xlsx"
        book = draft_book(plan)
        if flavour:
            book["Inputs"][f"B{FLAVOUR_ROW}"].value = FLAVOURS[flavour]
        book.save(draft)
        return finalize(draft, out, FUNCTIONS, force=force)


def draft_book(plan: Plan | None = None) -> Workbook:
    """The workbook with formulas and without values."""
    plan = read_plan() if plan is None else plan
    equations, n, layout = twins(), len(plan.options), Layout(plan)
    book = Workbook()
    sheet = book.active
    if sheet is not None:
        sheet.title = "Decision"
    add_styles(book)
    out_of_range = add_inputs(book, plan.inputs)
    add_lines(book, plan.lines)
    add_options(book, plan.options, layout.needed)
    add_engine_live(book, n, equations)
    walls = version_row(len(equations)) + 2
    add_block(book, walls)
    sweep = walls + rows_of_block()
    add_sweep_blocks(book, sweep)
    add_engine(book, n)
    add_roofline_points(book["Engine"], n)
    add_frozen(book, f"Engine_Live!$D${version_row(len(equations))}")
    add_monthly(book, plan)
    add_money(book, layout)
    compare.add_compare(book, layout)
    sensitivity.add_sensitivity(book, layout)
    add_physics(book, {t.name: twin_row(i) for i, t in enumerate(equations)})
    add_registries(book)
    add_accuracy(book)
    examples = add_examples(book)
    add_walls(book, walls)
    add_sweep(book, sweep)
    add_sources(book)
    add_functions(book)
    add_rfq(book, layout)
    add_carbon(book, layout)
    add_changelog(book, next((i.figure.base for i in plan.inputs if i.name == "in_ValuationDate"), None))
    add_checks(book, plan, layout, equations, out_of_range, examples)
    flip, ranges, bars = _from_comparison(book)
    add_chart_data(book, layout, bars)
    add_guide(book)
    names = [name for name in ORDER if name in book.sheetnames]
    _charts(book, layout, len(bars))
    add_decision(book, layout, len(equations), Elsewhere(flip, ranges, sheets=contents(names)))
    for place, name in enumerate(names):
        book.move_sheet(name, place - book.sheetnames.index(name))
    book.active = 0
    book.properties.creator = "mlsysim for Excel"
    book.properties.title = "Accelerator plan"
    return book


def _from_comparison(book: Workbook) -> tuple[str, dict[str, tuple[str, str]], list[tuple[str, str, str]]]:
    """Flip point, ranges of the six figures, and the bars of the tornado."""
    flip = compare.flip_cell() if "Compare" in book.sheetnames else '""'
    if "Sensitivity" not in book.sheetnames:
        return flip, {f[0]: ('"-"', '"-"') for f in FIGURES}, [('"-"', "0", "0")] * TOP_BARS
    ends = [sensitivity.bar(k) for k in range(1, sensitivity.BARS + 1)]
    bars = [(bar["label"], bar["low"], bar["high"]) for bar in ends]
    return flip, {f[0]: sensitivity.range_of(f[0]) for f in FIGURES}, bars


def _charts(book: Workbook, layout: Layout, bars: int) -> None:
    """The charts of the sheets that other modules write, below what those hold."""
    data = book["Chart_Data"]
    add_cash_chart(book["Money"], layout, room_below(book["Money"]))
    if "Sensitivity" in book.sheetnames:
        first, last = sensitivity.TOP_BARS + 1, sensitivity.TOP_BARS + sensitivity.BARS + 2
        add_tornado_chart(book["Sensitivity"], data, bars, (f"I{first}", f"S{last}", f"I{last}"))  # beside the list
    if "Carbon" in book.sheetnames:
        add_carbon_chart(book["Carbon"], room_below(book["Carbon"]))
    if "Compare" in book.sheetnames:
        sheet = book["Compare"]
        add_utilisation_chart(sheet, compare.utilisation_block(), room_below(sheet))
        add_stack_chart(sheet, data, layout, room_below(sheet))
