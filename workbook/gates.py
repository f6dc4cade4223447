"""The quality gates: what a finance department would send a workbook back for, found by reading the file.

Each gate is a plain function of a `Book` that answers with sentences: sheet and cells, what is so, what to do. They
find tables, headings and names by what they are called, so that sheets may be rearranged; what a workbook does not
have (a table of prices, a column of signs) is passed over.

========================  ==========================================================================================
gates_formulas            one formula along a row and down a calculated column, typed figures, forms and gaps
gates_ranges              text among numbers, numbers stored as text, blanks in arithmetic, short ranges, circles
gates_facts               unit, source and date of inputs, age of prices in use, idle names, signs of costs and income
gates_print               what does not fit at print, number formats, hidden parts, merged cells, links outside
========================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workbook.cells import Grid
from workbook.gates_book import Book, read_book
from workbook.gates_facts import idle_names, inputs_without_source, stale_prices, unknown_signs, wrong_signs
from workbook.gates_formulas import forms, inconsistent_columns, inconsistent_rows, literals
from workbook.gates_print import formats, hidden, merged_cells, outside_links, overflows
from workbook.gates_ranges import blanks_and_texts, circles, numbers_as_text, short_ranges, text_among_numbers
from workbook.package import Package, Table

PLAN_TABLE = "tblOptions"  # what makes a workbook a plan of ours

GATES: tuple[Callable[[Book], list[str]], ...] = (
    inconsistent_rows,
    inconsistent_columns,
    literals,
    forms,
    circles,
    text_among_numbers,
    numbers_as_text,
    blanks_and_texts,
    short_ranges,
    wrong_signs,
    unknown_signs,
    inputs_without_source,
    idle_names,
    formats,
    overflows,
    hidden,
    merged_cells,
    outside_links,
)
# what a reader must know before signing, though nothing is wrong with the file
WARNINGS: tuple[Callable[[Book], list[str]], ...] = (stale_prices,)


def run_gates(
    package: Package, grids: list[Grid], tables: list[Table], gates: Sequence[Callable[[Book], list[str]]] = GATES
) -> list[str]:
    """Pass a workbook through every gate.

    Parameters
    ----------
    package : Package
        The workbook; it is only read.
    grids : list of Grid
        Its worksheets.
    tables : list of Table
        Its tables.
    gates : sequence of callable
        The gates: all of them, or `WARNINGS`.

    Returns
    -------
    list of str
        One sentence a finding, gate by gate; empty for a workbook that is no plan of ours, whose rules are not these.

    Raises
    ------
    WorkbookError
        When a part is damaged.
    """
    if not any(table.name == PLAN_TABLE for table in tables):
        return []
    book = read_book(package, grids, tables)
    return [sentence for gate in gates for sentence in gate(book)]
