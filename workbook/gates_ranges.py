"""Gates on what formulas read: text among numbers, blanks in arithmetic, ranges that stop short, circles."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator

from openpyxl.utils.cell import get_column_letter

from workbook.cells import Cell, ErrorValue, Formula, Grid
from workbook.gates_book import Book, Finding, is_number, is_text, sentences
from workbook.gates_shapes import ARITHMETIC, COMPARISON, Span, Use
from workbook.package import Area

# Functions that pass over a text in a range without a word.
_READERS = frozenset(
    {
        "SUM",
        "SUMPRODUCT",
        "MIN",
        "MAX",
        "AVERAGE",
        "PRODUCT",
        "MEDIAN",
        "NPV",
        "IRR",
        "MIRR",
        "XNPV",
        "XIRR",
        "LARGE",
        "SMALL",
    }
)
_SUMMED = {"SUMIF": 2, "AVERAGEIF": 2, "SUMIFS": 0, "AVERAGEIFS": 0}  # the argument that is added up
_LIKE_A_NUMBER = re.compile(
    r"\s*[-+(]?\s*[$€£]?\s*\d{1,3}(?:[ ,.'\u00a0\u202f]?\d{3})*(?:[.,]\d+)?\s*%?\)?\s*"
    r"|[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?"
)
_LARGEST = 200_000  # cells of a range that are looked at one by one
CHECKS_SHEET = "Checks"
KEPT_COLUMN = "formula"  # of tables that keep formulas and their values, which are of any kind
LEAST_NUMBERS = 5  # figures among which a text is out of place


def text_among_numbers(book: Book) -> list[str]:
    """A text in a row or a table column of figures, and a text in a range that is added up."""
    out = [*_in_columns(book), *_in_rows(book), *_in_ranges(book)]
    return sentences({(f.sheet, f.row, f.column): f for f in reversed(out)}.values())


def _in_columns(book: Book) -> Iterator[Finding]:
    for table in book.tables:
        if KEPT_COLUMN in table.columns:
            continue
        grid, area = book.grids[table.area.sheet], table.area
        rows = range(area.top + table.header_rows, area.bottom - table.totals_rows + 1)
        for i, name in enumerate(table.columns):
            typed = {r: v for r in rows if (v := grid.inputs.get((r, area.left + i))) is not None}
            texts = [r for r, v in typed.items() if is_text(v)]
            numbers = sum(is_number(v) for v in typed.values())
            # A column that is text for the most part is a column of texts, in which a figure may be a name.
            if not texts or numbers < LEAST_NUMBERS or 4 * len(texts) > numbers:
                continue
            for row in texts:
                fact = f"the text {_shown(typed[row])} stands among the numbers of {name!r} in {table.name}"
                yield Finding(grid.sheet, row, area.left + i, fact, "enter a number or leave the cell blank")


def _in_rows(book: Book) -> Iterator[Finding]:
    inside = _in_tables(book)
    for grid in book.grids.values():
        rows: dict[int, list[int]] = defaultdict(list)
        for row, column in (*grid.inputs, *grid.formulas):
            if (grid.sheet, row) not in inside:
                rows[row].append(column)
        for (row, column), value in grid.inputs.items():
            if not is_text(value) or len(rows.get(row, ())) <= LEAST_NUMBERS:
                continue
            left, right = (_numbers_beside(grid, row, column, step) for step in (-1, 1))
            if left >= 2 and right >= 2 and left + right >= LEAST_NUMBERS:
                fact = f"the text {_shown(value)} stands among the numbers of its row"
                yield Finding(grid.sheet, row, column, fact, "enter a number or leave the cell blank")


def _in_tables(book: Book) -> set[tuple[str, int]]:
    """Rows of tables, whose columns may each hold something else."""
    return {(t.area.sheet, row) for t in book.tables for row in range(t.area.top, t.area.bottom + 1)}


def _numbers_beside(grid: Grid, row: int, column: int, step: int) -> int:
    count = 0
    while is_number(grid.value(row, column + step * (count + 1))) and count < LEAST_NUMBERS:
        count += 1
    return count


_RANKERS = frozenset({"MIN", "MAX", "SMALL", "LARGE"})


def _in_ranges(book: Book) -> Iterator[Finding]:
    held: dict[Area, list[tuple[int, int, Cell]]] = {}
    for use, formula in _pairs(book, _adds_up):
        area = use.seen_from(formula.row, formula.column)
        if area.shape == (1, 1) or area.sheet not in book.grids:
            continue
        if area not in held:
            held[area] = list(_texts(book.grids[area.sheet], area))
        for row, column, value in held[area]:
            if use.function in _RANKERS and (row, column) in book.grids[area.sheet].formulas:
                continue  # a formula that says why it has no figure takes no part in a ranking
            fact = f"the text {_shown(value)} stands in a range that {formula.sheet}!{formula.at} reads as numbers"
            yield Finding(area.sheet, row, column, fact, "enter a number, or end the range before it")


def _pairs(book: Book, wanted: Callable[[Use], bool]) -> Iterator[tuple[Use, Formula]]:
    """Every reference that is `wanted`, with every cell that has it."""
    for shape, cells in book.copies():
        for use in shape.uses:
            if wanted(use):
                yield from ((use, formula) for formula in cells)


def _adds_up(use: Use) -> bool:
    """Whether the figures in a range are what the call is after, and not asked for a text."""
    if any(o in COMPARISON or o == "&" for o in use.operators):
        return False
    return use.function in _READERS or _SUMMED.get(use.function) == use.argument


def _texts(grid: Grid, area: Area) -> Iterator[tuple[int, int, Cell]]:
    for at in _filled(grid, area):
        value = grid.value(*at)
        if value is not None and is_text(value):
            yield *at, value


def _filled(grid: Grid, area: Area) -> list[tuple[int, int]]:
    rows, columns = area.shape
    if rows * columns > _LARGEST:
        return [at for at in (*grid.inputs, *grid.formulas) if (grid.sheet, *at) in area]
    return [at for at in area.cells() if at in grid.inputs or at in grid.formulas]


def numbers_as_text(book: Book) -> list[str]:
    """Typed texts that read as numbers, unless their column holds names or their format says text."""
    out = []
    named = {
        (grid.sheet, *at)
        for t in book.tables
        for grid in [book.grids[t.area.sheet]]
        for column in range(t.area.left, t.area.right + 1)
        if _is_text_column(cells := [(r, column) for r in range(t.area.top, t.area.bottom + 1)], grid)
        for at in cells
    }
    for grid in book.grids.values():
        for (row, column), value in grid.inputs.items():
            if not isinstance(value, str) or (grid.sheet, row, column) in named or not _LIKE_A_NUMBER.fullmatch(value):
                continue
            if book.look(grid.sheet, row, column).number_format == "@":
                continue
            fact = f"the number {_shown(value)} is stored as text"
            out.append(Finding(grid.sheet, row, column, fact, "enter it as a number, or format the cell as text"))
    return sentences(out)


def _is_text_column(cells: list[tuple[int, int]], grid: Grid) -> bool:
    values = [grid.value(*at) for at in cells[1:]]
    return sum(map(is_text, values)) > sum(map(is_number, values))


# ---------------------------------------------------------------- arithmetic


def blanks_and_texts(book: Book) -> list[str]:
    """Formulas that calculate with a blank cell or a text without asking first."""
    out = []
    for shape, cells in book.copies():
        for use in shape.uses:
            beside = any(o in ARITHMETIC for o in use.operators)
            if not beside or use.text in shape.tested or use.area.shape != (1, 1) or use.area.sheet not in book.grids:
                continue
            grid = book.grids[use.area.sheet]
            for formula in cells:
                _, row, column, _, _ = use.span(formula.row, formula.column)
                value = grid.value(row, column)
                if isinstance(value, float) or ((row, column) in grid.formulas and not is_text(value)):
                    continue
                # A text in arithmetic is an error at once, so where an IF shows a value it was passed over.
                if is_text(value) and "IF" in shape.functions and not isinstance(formula.cached, ErrorValue):
                    continue
                if value is None or is_text(value):
                    kind = "a blank cell" if value is None else "a text"
                    fact = f"the formula calculates with {get_column_letter(column)}{row}, which is {kind}"
                    advice = "fill that cell, or ask ISNUMBER first"
                    out.append(Finding(formula.sheet, formula.row, formula.column, fact, advice))
    return sentences(out)


# ---------------------------------------------------------------- ranges that stop short


def short_ranges(book: Book) -> list[str]:
    """Ranges that leave out the next cell although it holds more of the same."""
    out = []
    spans = {use.span(formula.row, formula.column) for use, formula in _pairs(book, _is_line)}
    groups: dict[tuple[str, int, int], set[Span]] = defaultdict(set)
    for span in spans:
        groups[span[0], span[1], span[2]].add(span)
        groups[span[0], span[3], span[4]].add(span)
    for use, formula in _pairs(book, _is_line):
        area = use.seen_from(formula.row, formula.column)
        # A check may compare a part of a line with its closed form.
        if formula.sheet == CHECKS_SHEET or area.sheet not in book.grids:
            continue
        found = _left_out(book, area)
        # A present value adds the first payment beside the range that NPV discounts.
        if found is None or _slides(book, formula, use) or _reads(book, formula, (area.sheet, *found)):
            continue
        # Where another group begins or ends that is added up on its own, this one is complete.
        if any(_apart(area, Area(*span)) for span in groups[area.sheet, found[0], found[1]]):
            continue
        range_text = f"{get_column_letter(area.left)}{area.top}:{get_column_letter(area.right)}{area.bottom}"
        fact = f"the range {range_text} stops short of {_address(found)}, which holds more of the same"
        advice = "read the whole row or column, or set the other cells apart"
        out.append(Finding(formula.sheet, formula.row, formula.column, fact, advice))
    return sentences(out)


def _apart(a: Area, b: Area) -> bool:
    """Whether two lines run the same way and share no cell."""
    if a.shape[0] == 1:
        return a.top == b.top == b.bottom and (b.right < a.left or b.left > a.right)
    return a.left == b.left == b.right and (b.bottom < a.top or b.top > a.bottom)


def _is_line(use: Use) -> bool:
    return use.function in _READERS and use.typed and 1 in use.area.shape and max(use.area.shape) > 1


def _reads(book: Book, formula: Formula, cell: tuple[str, int, int]) -> bool:
    if cell == (formula.sheet, formula.row, formula.column):
        return True
    return any(cell in use.seen_from(formula.row, formula.column) for use in book.shape(formula).uses)


def _address(at: tuple[int, int]) -> str:
    return f"{get_column_letter(at[1])}{at[0]}"


def _slides(book: Book, formula: Formula, use: Use) -> bool:
    """Whether the range grows or slides with its row or column of formulas: a running total, a moving window."""
    area, (top, left, bottom, right) = use.area, use.moves
    along_row = area.shape[0] == 1
    first, last = (left, right) if along_row else (top, bottom)
    if first != last:
        return True
    steps = ((0, -1), (0, 1)) if along_row else ((-1, 0), (1, 0))
    text, grid = book.shapes.text(formula), book.grids[formula.sheet]
    beside = (grid.formulas.get((formula.row + r, formula.column + c)) for r, c in steps)
    return first and any(f is not None and book.shapes.text(f) == text for f in beside)


def _otherwise_headed(grid: Grid, inside: tuple[int, int], beyond: tuple[int, int]) -> bool:
    """Whether the column beyond has a word above it where the line's columns have numbers: a total beside months."""
    rows = range(1, inside[0])
    return any(is_text(grid.inputs.get((r, beyond[1]))) and is_number(grid.value(r, inside[1])) for r in rows)


def _left_out(book: Book, area: Area) -> tuple[int, int] | None:
    """The first cell beyond an end that continues what stands at this end."""
    grid = book.grids[area.sheet]
    down, over = (0, 1) if area.shape[0] == 1 else (1, 0)
    ends = (
        ((area.top, area.left), (area.top - down, area.left - over)),
        ((area.bottom, area.right), (area.bottom + down, area.right + over)),
    )
    for inside, beyond in ends:
        a, b = grid.formulas.get(inside), grid.formulas.get(beyond)
        if a is not None and b is not None:
            alike = is_number(a.cached) and is_number(b.cached) and book.shapes.text(a) == book.shapes.text(b)
        else:
            # Typed figures belong together when they look alike: a year or month above them has another format.
            typed = is_number(grid.inputs.get(inside)) and is_number(grid.inputs.get(beyond))
            alike = typed and book.look(grid.sheet, *inside) == book.look(grid.sheet, *beyond)
        if alike and not (over and _otherwise_headed(grid, inside, beyond)):
            return beyond
    return None


# ---------------------------------------------------------------- circles


def circles(book: Book) -> list[str]:
    """Formulas that depend on themselves."""
    graph = _graph(book)
    out, state = [], dict.fromkeys(graph, 0)  # 0 new, 1 on the path, 2 done
    for start in graph:
        if state[start]:
            continue
        path: list[tuple[Vertex, Iterator[Vertex]]] = [(start, iter(graph[start]))]
        state[start] = 1
        while path:
            node, following = path[-1]
            nxt = next(following, None)
            if nxt is None:
                state[node] = 2
                path.pop()
            elif state.get(nxt, 2) == 1:
                names = [n for n, _ in path]
                out.append(_circle([n for n in names[names.index(nxt) :] if len(n) == 3]))
            elif state.get(nxt, 2) == 0:
                state[nxt] = 1
                path.append((nxt, iter(graph[nxt])))
    return sentences(out)


Vertex = tuple[str, int, int] | Span


def _graph(book: Book) -> dict[Vertex, list[Vertex]]:
    """Formulas point to the formulas and ranges that they read, ranges to the formulas that they hold."""
    graph: dict[Vertex, list[Vertex]] = {}
    formulas = {(g.sheet, *at) for g in book.grids.values() for at in g.formulas}
    for shape, cells in book.copies():
        uses = [u for u in shape.uses if u.function not in _SAFE]
        for formula in cells:
            reads: list[Vertex] = []
            for use in uses:
                span = use.span(formula.row, formula.column)
                single = span[:3]
                if span[1:3] != span[3:]:
                    reads.append(span)
                elif single in formulas:
                    reads.append(single)
            graph[formula.sheet, formula.row, formula.column] = reads
    for span in {v for reads in graph.values() for v in reads if len(v) == 5}:
        grid = book.grids.get(span[0])
        graph[span] = [(span[0], *f) for f in _formulas_in(grid, Area(*span))] if grid is not None else []
    return graph


# These look at where a cell is, not at what is in it.
_SAFE = frozenset({"ROW", "COLUMN", "ROWS", "COLUMNS"})


def _formulas_in(grid: Grid, area: Area) -> list[tuple[int, int]]:
    rows, columns = area.shape
    if rows * columns > len(grid.formulas):
        return [at for at in grid.formulas if (grid.sheet, *at) in area]
    return [at for at in area.cells() if at in grid.formulas]


def _circle(cells: list[tuple[str, int, int]]) -> Finding:
    sheet, row, column = cells[0]
    others = ", ".join(f"{s}!{_address((r, c))}" for s, r, c in cells[1:4])
    fact = f"the formula depends on itself{f' through {others}' if others else ''}"
    return Finding(sheet, row, column, fact, "break the circle")


def _shown(value: Cell) -> str:
    text = str(value)
    return repr(text if len(text) <= 30 else f"{text[:27]}...")
