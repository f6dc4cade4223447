"""From openpyxl's draft to the file that is shipped.

The draft has formulas without values. Here every formula cell gets its value, bare calls of our functions become
formulas that spill in Excel 365 (openpyxl alone would make Excel show ``@`` and one value), the cells they cover get
theirs, and everything that tells the time is fixed: the same draft always gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from openpyxl.utils.cell import get_column_letter

from workbook.caches import CALC_ID, add_metadata, ask_for_calculation, fix_stamps, write_values
from workbook.cells import read_grids
from workbook.embedded import Functions
from workbook.engine import evaluate
from workbook.errors import WorkbookError
from workbook.package import open_package


def finalize(draft: Path, out: Path, functions: Functions, *, force: bool = False) -> dict[tuple[str, str], str]:
    """Write the finished workbook.

    Parameters
    ----------
    draft : Path
        A workbook as openpyxl saved it.
    out : Path
        The file to write, in one step.
    functions : mapping of str to callable
        Our functions by Excel name.
    force : bool
        Replace an existing file.

    Returns
    -------
    dict of (sheet, A1 address) to str
        The cells that were not computed, and why; Excel is asked to compute them when it opens the file.

    Raises
    ------
    WorkbookError
        When the draft cannot be read, `out` cannot be written, or a formula's answer would cover occupied cells.
    """
    package = open_package(draft)
    grids = read_grids(package)
    for grid in grids:
        for row, column in grid.covered:
            at = f"{grid.sheet}!{get_column_letter(column)}{row}"
            raise WorkbookError(f"{at} is occupied, but an array formula of the draft covers it.")
    result = evaluate(package, functions, spill_calls=True, grids=grids)
    collisions = [f"{sheet}!{at}: {why}" for (sheet, at), why in result.missing.items() if "#SPILL!" in why]
    if collisions:
        raise WorkbookError("; ".join(collisions))
    # The metadata belongs to the file only when a formula uses it.
    dynamic = add_metadata(package) if result.bare - result.missing.keys() else None
    write_values(package, grids, result, dynamic)
    ask_for_calculation(package, full=bool(result.missing), calc_id=CALC_ID)
    fix_stamps(package)
    package.write(out, force=force)
    return result.missing
