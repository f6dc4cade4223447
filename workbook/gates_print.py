"""Gates on what a reader sees: figures and texts that do not fit at print, formats, and anything hidden or merged."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from openpyxl.utils.cell import get_column_letter

from workbook.cells import Cell, Grid
from workbook.gates_book import Book, Finding, Layout, Look, headers, is_number, is_text, sentences, sheet_states
from workbook.gates_formulas import LEAST_RUN
from workbook.gates_widths import INDENT, LINE, PADDING, UNIT, is_date_format, lines, number_width, text_width
from workbook.package import Area

_SLACK = 1.04  # an estimate may be that much too wide
_LEFT = frozenset({"general", "left"})
_LONGEST_SPILL = 40  # columns that a text is followed over
_UNREAD = ("http://", "https://", "=")  # addresses and formulas kept as text need not be read to the end
_DATE_WORDS = frozenset({"as of", "as_of", "as-of", "date", "valid until", "quote date", "start date"})
_DATE_FUNCTIONS = ("EDATE(", "EOMONTH(", "DATE(")
# An elasticity (% per %) or a share of something in words may be shown otherwise.
_SHARES = frozenset(f"{share}{time}" for share in ("%", "percent", "share") for time in ("", " per year", " per month"))


def overflows(book: Book) -> list[str]:
    """Numbers wider than their column, which print as ###, and texts that print cut."""
    wide: list[Finding] = []
    widths: dict[object, float] = {}
    cut: dict[tuple[str, int, str], dict[tuple[int, int], float]] = defaultdict(dict)
    for grid in book.grids.values():
        layout = book.layouts[grid.sheet]
        merged = {(a.top, a.left): a for a in layout.merged}
        cells = {*grid.inputs, *grid.formulas, *grid.covered}
        for row, column, value in _on_paper(book, grid, merged):
            look = book.look(grid.sheet, row, column)
            room = layout.width(column) * UNIT - PADDING
            if look.shrink or look.rotated or (isinstance(value, float) and look.number_format == "General"):
                continue
            block = merged.get((row, column)) or Area(grid.sheet, row, column, row, column)
            if block.shape[1] > 1:
                room = sum(layout.width(c) for c in range(block.left, block.right + 1)) * UNIT - PADDING
            if isinstance(value, float):
                # As wide as any number of so many digits, unless trailing digits are dropped.
                key = (look, value < 0, len(str(int(abs(value) * 100)))) if ".#" not in look.number_format else value
                if key not in widths:
                    widths[key] = number_width(value, look) + look.indent * INDENT
                needed = widths[key]
                if needed > room * _SLACK:
                    letter, width = get_column_letter(column), (needed + PADDING) / UNIT + 1
                    fact = f"the number prints as ### (column {letter} needs a width of about {width:.0f})"
                    wide.append(Finding(grid.sheet, row, column, fact, "widen the column or shorten the format"))
            else:
                why, needed = _cut(str(value), look, layout, cells, block, room)
                if why:
                    cut[grid.sheet, column, why][row, column] = needed
    return [*sentences(wide), *sentences(_told(cut))]


def _on_paper(book: Book, grid: Grid, merged: dict[tuple[int, int], Area]) -> Iterator[tuple[int, int, Cell]]:
    """The numbers and texts that are printed and must be read there.

    Tables of facts with their sources are looked up on screen, where a long text may be cut; so may a web address,
    which can still be followed.
    """
    layout = book.layouts[grid.sheet]
    registers = [t.area for t in book.tables if "url" in t.columns and t.area.sheet == grid.sheet]
    under = {at for a in layout.merged for at in a.cells()} - set(merged)
    hidden = set(layout.hidden_columns)
    for row, column in (*grid.inputs, *grid.formulas, *grid.covered):
        value = grid.value(row, column)
        if isinstance(value, str):
            if not is_text(value) or value.startswith(_UNREAD):
                continue
            if registers and any((grid.sheet, row, column) in area for area in registers):
                continue
        elif value is None or isinstance(value, bool):
            continue
        if column not in hidden and (row, column) not in under and _printed(layout, grid.sheet, row, column):
            yield row, column, value


def _printed(layout: Layout, sheet: str, row: int, column: int) -> bool:
    return not layout.printed or any((sheet, row, column) in area for area in layout.printed)


def _cut(
    text: str, look: Look, layout: Layout, cells: set[tuple[int, int]], block: Area, room: float
) -> tuple[str, float]:
    """Why a text prints cut ("" if it does not), and the pixels that it needs."""
    room -= look.indent * INDENT
    if look.wrap:
        height = sum(layout.heights.get(r, 0.0) for r in range(block.top, block.bottom + 1))
        if block.top not in layout.heights or len(text) * 4 < room:
            return "", 0.0  # Excel fits the row itself, or the text is short
        count = lines(text, look, room * _SLACK)
        fits = count == 1 or count * LINE * look.size <= height + 0.6 * look.size
        return ("", 0.0) if fits else ("below: its row is too low", text_width(text, look))
    needed = text_width(text.partition("\n")[0], look)
    if needed <= room * _SLACK or look.horizontal in {"fill", "justify", "centerContinuous", "distributed"}:
        return "", 0.0
    if block.shape != (1, 1):
        return "at the edge of its merged cells", needed
    step = 1 if look.horizontal in _LEFT else -1
    reach, why = _reach(layout, cells, block, step, needed - room)
    if look.horizontal == "center":
        other, _ = _reach(layout, cells, block, 1, needed - room)
        reach = 2 * min(reach, other)
    return (why or "by its neighbour", needed) if needed > (room + reach) * _SLACK else ("", 0.0)


def _reach(layout: Layout, cells: set[tuple[int, int]], block: Area, step: int, wanted: float) -> tuple[float, str]:
    """Pixels of blank cells beside a text, and what ends them."""
    reach, column, row = 0.0, block.right if step > 0 else block.left, block.top
    for _ in range(_LONGEST_SPILL):
        column += step
        if reach >= wanted or column < 1:
            return reach, ""
        if (row, column) in cells:
            return reach, f"by its neighbour in column {get_column_letter(column)}"
        if not _printed(layout, block.sheet, row, column):
            return reach, "at the edge of the print area"
        reach += layout.width(column) * UNIT
    return reach, ""


def _told(cut: dict[tuple[str, int, str], dict[tuple[int, int], float]]) -> Iterator[Finding]:
    for (sheet, column, why), cells in cut.items():
        width = (max(cells.values()) + PADDING) / UNIT
        letter = get_column_letter(column)
        below = why.startswith("below")
        fact = f"the text in column {letter} prints cut {why}"
        advice = "raise the row or shorten it" if below else f"wrap or shorten it (the longest is {width:.0f} wide)"
        for row, at in cells:
            yield Finding(sheet, row, at, fact, advice)


# ---------------------------------------------------------------- formats


def formats(book: Book) -> list[str]:
    """Shares without a percent format, dates that show as numbers or are texts, one row in several formats."""
    out: list[Finding] = []
    for grid in book.grids.values():
        out += _by_unit(book, grid)
        out += _dates(book, grid)
        out += _mixed_rows(book, grid)
    return sentences(dict.fromkeys(out))


def _by_unit(book: Book, grid: Grid) -> Iterator[Finding]:
    found = headers(book, grid, lambda texts: "unit" in texts)
    if not found:
        return
    numbers = [at for at in (*grid.inputs, *grid.formulas) if is_number(grid.value(*at))]
    tops = [top for top, _ in found]
    for place, (top, columns) in enumerate(found):
        bottom = tops[place + 1] if place + 1 < len(tops) else 1 << 20
        unit_column = columns["unit"]
        dated = {c for name, c in columns.items() if name in _DATE_WORDS}
        units = {
            row: str(value).strip().casefold()
            for (row, column), value in grid.inputs.items()
            if column == unit_column and top < row < bottom and is_text(value)
        }
        percent: set[int] = set()
        cells = [at for at in numbers if at[0] in units]
        for row, column in cells:
            if "%" in book.look(grid.sheet, row, column).number_format:
                percent.add(row)
        for row, column in cells:
            if column in dated:
                continue
            value = grid.value(row, column)
            whole = isinstance(value, float) and value.is_integer()
            if whole and (row in percent or (units[row] == "date" and value in (0.0, 1.0))):
                continue  # a flag or a position beside the figure
            shown, unit = book.look(grid.sheet, row, column).number_format, units[row]
            if unit in _SHARES and "%" not in shown:
                fact = f"the unit is {unit!r}, the format is {shown!r}"
                yield Finding(grid.sheet, row, column, fact, "use a percent format")
            elif unit == "date" and not is_date_format(shown):
                yield Finding(grid.sheet, row, column, "a date shows as a number", "use a date format")


def _dates(book: Book, grid: Grid) -> Iterator[Finding]:
    for (row, column), formula in grid.formulas.items():
        dated = formula.text.startswith(_DATE_FUNCTIONS) and _is_whole_call(formula.text) and is_number(formula.cached)
        if dated and not is_date_format(book.look(grid.sheet, row, column).number_format):
            yield Finding(grid.sheet, row, column, "a date shows as a number", "use a date format")
    found = headers(book, grid, lambda texts: bool(texts & _DATE_WORDS))
    filled = {row for row, _ in (*grid.inputs, *grid.formulas)} if found else set()
    for top, columns in found:
        for column in (c for name, c in columns.items() if name in _DATE_WORDS):
            row = top + 1
            while row in filled:  # a blank row ends what the heading is about
                value = grid.value(row, column)
                if is_number(value) and not is_date_format(book.look(grid.sheet, row, column).number_format):
                    yield Finding(grid.sheet, row, column, "a date shows as a number", "use a date format")
                elif _looks_dated(value):
                    yield Finding(grid.sheet, row, column, f"the date {value!r} is a text", "enter a true date")
                row += 1


def _is_whole_call(text: str) -> bool:
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == ")" and depth == 0:
            return i == len(text) - 1
    return False


def _looks_dated(value: Cell | None) -> bool:
    return isinstance(value, str) and len(value) == 10 and value[4:5] + value[7:8] == "--" and value[:4].isdigit()


def _mixed_rows(book: Book, grid: Grid) -> Iterator[Finding]:
    """Cells side by side that share a formula are one line, and look alike."""
    runs: dict[tuple[int, str], list[int]] = defaultdict(list)
    for (row, column), formula in grid.formulas.items():
        if is_number(formula.cached) and not formula.unreadable:
            runs[row, book.shapes.text(formula)].append(column)
    for (row, _), columns in runs.items():
        if len(columns) < LEAST_RUN:
            continue
        looks = Counter(book.look(grid.sheet, row, c).number_format for c in columns)
        usual = looks.most_common(1)[0][0]
        for column in columns if len(looks) > 1 else ():
            shown = book.look(grid.sheet, row, column).number_format
            if shown != usual:
                fact = f"the format {shown!r} differs from {usual!r} in the cells of its row with the same formula"
                yield Finding(grid.sheet, row, column, fact, "give the row one format")


# ---------------------------------------------------------------- hidden, merged, outside


def hidden(book: Book) -> list[str]:
    """Sheets, rows and columns that nobody sees."""
    out = [
        f"The sheet {name} is hidden: show it, and link it from the index."
        for name, state in sheet_states(book.package).items()
        if state != "visible"
    ]
    for sheet, layout in book.layouts.items():
        grid = book.grids[sheet]
        rows, columns = ({at[i] for at in (*grid.inputs, *grid.formulas)} for i in (0, 1))
        for what, numbers, spell in (
            ("row", sorted(rows & set(layout.hidden_rows)), str),
            ("column", sorted(columns & set(layout.hidden_columns)), get_column_letter),
        ):
            if numbers:
                shown = ", ".join(spell(n) for n in numbers[:5])
                more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
                out.append(f"{sheet}: {what}s that hold something are hidden ({shown}{more}): show or move them.")
    return out


def merged_cells(book: Book) -> list[str]:
    """Merged cells that hold a number or lie in a table: they break copying, sorting and references."""
    out = []
    for sheet, layout in book.layouts.items():
        grid = book.grids[sheet]
        for area in layout.merged:
            if area.shape == (1, 1):
                continue
            in_table = any(_meet(area, table.area) for table in book.tables)
            if in_table or is_number(grid.value(area.top, area.left)):
                fact = f"the cell is merged with others{' inside a table' if in_table else ' and holds a number'}"
                out.append(Finding(sheet, area.top, area.left, fact, "unmerge it; centre across cells if need be"))
    return sentences(out)


def _meet(a: Area, b: Area) -> bool:
    overlap = a.top <= b.bottom and b.top <= a.bottom and a.left <= b.right and b.left <= a.right
    return a.sheet == b.sheet and overlap


def outside_links(book: Book) -> list[str]:
    """Links to other workbooks and data connections, which nobody can follow who gets this file alone."""
    parts = sorted(p for p in book.package.parts if "/externalLinks/" in p and "/_rels/" not in p)
    out = [f"The file links to another workbook ({part}): paste the values, with source and date." for part in parts]
    if any(p.endswith("/connections.xml") for p in book.package.parts):
        out.append("The file holds a data connection: paste the values, with source and date.")
    return out
