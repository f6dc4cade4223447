"""Gates on how formulas are written: alike along a row, no typed figures, only forms that all engines agree on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from lxml import etree
from openpyxl.utils.cell import get_column_letter

from workbook.cells import Formula, Grid
from workbook.gates_book import Book, Finding, sentences
from workbook.gates_shapes import Literal, Shape
from workbook.package import Table, main
from workbook.whitelist import FORBIDDEN, Node, lint, parse

# Sheets that calculate for the plan. Only there is a typed figure an assumption that nobody can see: the physics, the
# checks and the published examples are made of figures.
CALCULATION = frozenset(
    {"Decision", "Inputs", "Options", "Engine", "Money", "Monthly", "TCO", "Compare", "Sensitivity", "RFQ"}
)
# Exact by definition. Hours, days or weeks in a month or year are conventions, and so belong on Inputs.
UNIT_FACTORS = frozenset({0.0, 1.0, 12.0, 24.0, 60.0, 100.0, 1e3, 3600.0, 86400.0, 1e6, 1e9, 1e12, 1e15})
_CODES = frozenset(map(float, range(10)))  # what a cell with a choice by number is compared with
LEAST_RUN = 5  # formulas side by side from which on they must agree
_TEXTUAL = frozenset(
    {"LEFT", "RIGHT", "MID", "SUBSTITUTE", "TEXT", "REPT", "FIND", "SEARCH", "VALUE", "CONCATENATE", "HYPERLINK"}
)
# Arguments that say where or how, not how much.
_PLACES: dict[str, frozenset[int]] = {
    "INDEX": frozenset({1, 2}),
    "MATCH": frozenset({2}),
    "VLOOKUP": frozenset({2, 3}),
    "CHOOSE": frozenset({0}),
    "LOG": frozenset({1}),
    **dict.fromkeys(("ROUND", "ROUNDUP", "ROUNDDOWN", "LARGE", "SMALL"), frozenset({1})),
}
_VOLATILE = frozenset(name for name, reason in FORBIDDEN.items() if reason == "it is volatile")


def inconsistent_rows(book: Book) -> list[str]:
    """Formulas that differ from most of their row, and figures typed over one."""
    out: list[Finding] = []
    for grid in book.grids.values():
        runs = [(run, alike) for run in _runs(grid) if (alike := _alike(book, grid, run))]
        # Columns that most lines run over: beside them stand labels, totals and drivers, which differ by right.
        lines = Counter(column for _, alike in runs for column in alike)
        usual = {column for column, count in lines.items() if 2 * count >= max(lines.values())}
        for run, alike in runs:
            out += _odd_ones_out(book, grid, run, alike, usual)
    return sentences(out)


def _runs(grid: Grid) -> Iterator[list[tuple[int, int]]]:
    """Numbers and formulas side by side in a row, told apart from the texts around them."""
    rows: dict[int, list[int]] = {}
    for row, column in grid.formulas:
        rows.setdefault(row, []).append(column)
    for row, columns in rows.items():
        if len(columns) < LEAST_RUN:
            continue
        run: list[tuple[int, int]] = []
        for column in range(min(columns) - 1, max(columns) + 2):  # with a figure typed over either end
            if (row, column) in grid.formulas or (row, column) in grid.inputs:
                run.append((row, column))
            else:
                yield run
                run = []
        yield run


def _alike(book: Book, grid: Grid, run: list[tuple[int, int]]) -> list[int]:
    """The columns of a run that share its formula; none where no formula is in the majority."""
    formulas = [f for at in run if (f := grid.formulas.get(at)) is not None and not f.unreadable]
    texts = [book.shapes.text(f) for f in formulas]
    usual, count = Counter(texts).most_common(1)[0] if texts else ("", 0)
    if len(formulas) < LEAST_RUN or 2 * count <= len(formulas) or count < LEAST_RUN - 1:
        return []
    return [f.column for f, text in zip(formulas, texts, strict=True) if text == usual]


def _odd_ones_out(
    book: Book, grid: Grid, run: list[tuple[int, int]], alike: list[int], usual: set[int]
) -> Iterator[Finding]:
    pattern = f"{get_column_letter(alike[0])}{run[0][0]}"
    for row, column in run:
        inside = alike[0] < column < alike[-1]
        if column in alike or not (inside or column in usual):
            continue
        formula = grid.formulas.get((row, column))
        if formula is None:
            value = grid.inputs[row, column]
            # 0 or 1 at the end of a run opens a count.
            if inside or (isinstance(value, float) and value not in (0.0, 1.0)):
                fact = f"a constant stands among formulas of its row (such as {pattern})"
                yield Finding(grid.sheet, row, column, fact, f"copy the formula of {pattern} over it")
        elif not formula.unreadable and not _sums_up(book, formula, alike):
            fact = f"the formula differs from most of its row (such as {pattern})"
            advice = "write one formula for the whole row, with a flag where a month or a year differs"
            yield Finding(grid.sheet, row, column, fact, advice)


def _sums_up(book: Book, formula: Formula, columns: list[int]) -> bool:
    """Whether a formula beside a run reads most of the run: a total."""
    inside = 0
    for use in book.shape(formula).uses:
        area = use.seen_from(formula.row, formula.column)
        if area.sheet == formula.sheet and area.top <= formula.row <= area.bottom:
            inside = max(inside, sum(area.left <= c <= area.right for c in columns))
    outside = not columns[0] < formula.column < columns[-1]
    return outside and 2 * inside > len(columns)


def inconsistent_columns(book: Book) -> list[str]:
    """Cells of a calculated table column that do not hold the column's formula."""
    out: list[Finding] = []
    for table in book.tables:
        calculated = _calculated(book, table)
        grid = book.grids[table.area.sheet]
        first, last = table.area.top + table.header_rows, table.area.bottom - table.totals_rows
        for i, name in enumerate(table.columns):
            column = table.area.left + i
            here = [f for r in range(first, last + 1) if (f := grid.formulas.get((r, column))) and not f.unreadable]
            usual, count = Counter(book.shapes.text(f) for f in here).most_common(1)[0] if here else ("", 0)
            if name not in calculated and (count < LEAST_RUN - 1 or 5 * count < 4 * (last - first + 1)):
                continue
            if name in calculated and here and 2 * count <= len(here):
                continue  # no row stands for the column: the declared formula is a leftover
            advice = "fill the column's formula down, or give the figure a column of its own"
            for row in range(first, last + 1):
                formula = grid.formulas.get((row, column))
                if formula is not None and not formula.unreadable and book.shapes.text(formula) != usual:
                    fact = f"the formula differs from its column {name!r} of {table.name}"
                    out.append(Finding(grid.sheet, row, column, fact, advice))
                elif formula is None and (row, column) in grid.inputs:
                    fact = f"a constant stands in the calculated column {name!r} of {table.name}"
                    out.append(Finding(grid.sheet, row, column, fact, advice))
    return sentences(out)


def _calculated(book: Book, table: Table) -> set[str]:
    root: etree._Element = book.package.xml(table.part)
    entries = root.findall(f"{main('tableColumns')}/{main('tableColumn')}")
    return {
        name
        for name, entry in zip(table.columns, entries, strict=False)
        if entry.find(main("calculatedColumnFormula")) is not None
    }


def literals(book: Book) -> list[str]:
    """Figures written into formulas of the sheets that calculate."""
    out: list[Finding] = []
    for shape, cells in book.copies():
        figures = dict.fromkeys(x.text for x in shape.literals if not _allowed(x))
        if figures and shape.sample.sheet in CALCULATION:
            fact = f"the formula holds the figure {' and '.join(figures)}"
            out += [Finding(*_at(f), fact, "give it a named input with unit and source") for f in cells]
    return sentences(out)


def _allowed(literal: Literal) -> bool:
    if float(literal.text) in UNIT_FACTORS or any(name in _TEXTUAL for name, _ in literal.calls):
        return True
    if literal.before == "^" and float(literal.text) == 2:
        return True
    if float(literal.text) in _CODES and {literal.before, literal.after} & {"=", "<>"}:
        return True
    name, argument = literal.calls[0] if literal.calls else ("", 0)
    return argument in _PLACES.get(name, frozenset())


def forms(book: Book) -> list[str]:
    """Functions and forms outside the whitelist, missing prefixes, empty arguments, whole columns."""
    out: list[Finding] = []
    for shape, cells in book.copies():
        for fact, advice in _offences(shape):
            out += [Finding(*_at(f), fact, advice) for f in cells]
    volatile = [n.name for n in book.names if not _VOLATILE.isdisjoint(re.findall(r"[A-Z.]+(?=\()", n.text.upper()))]
    return [*sentences(out), *(f"The defined name {n} is volatile: write its value into a cell." for n in volatile)]


def _offences(shape: Shape) -> Iterator[tuple[str, str]]:
    advice = "use the forms that every engine answers alike"
    # Over plain cells: the parser does not know every character that a table's column may be called by.
    for sentence in lint(shape.resolved or shape.sample.text):
        yield sentence.removesuffix("."), advice
    if _has_gap(shape.resolved or shape.sample.text):
        yield "a call has an empty argument", "write the value that is meant"
    for text in shape.whole:
        yield f"{text} refers to whole columns or rows", "name the cells, or a column of a table"


def _has_gap(text: str) -> bool:
    try:
        return _omits(parse(text))
    except ValueError:
        return False  # the sentence of `lint` says so


def _omits(node: Node) -> bool:
    if node["node_type"] == "Omitted":
        return True
    inner = [*node.get("args", ()), *(node[k] for k in ("left", "right", "operand") if isinstance(node.get(k), dict))]
    return any(_omits(n) for n in inner)


def _at(formula: Formula) -> tuple[str, int, int]:
    return formula.sheet, formula.row, formula.column
