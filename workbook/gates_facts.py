"""Gates on where figures come from and what they mean: source and unit of inputs, age of prices, names, signs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from openpyxl.utils.cell import get_column_letter

from workbook.cells import Cell, Grid
from workbook.gates_book import Book, Finding, headers, is_number, is_text, sentences
from workbook.references import UnresolvedReference

INPUTS_SHEET, PRICES_TABLE, VALUATION_DATE = "Inputs", "tblPrices", "in_ValuationDate"
PRICE_COLUMNS = ("key", "item", "basis", "as_of")
# Days after which a price is stale, by how the basis begins: spot moves within weeks, list prices within a season.
AGES = (("spot", 30), ("on_demand", 90), ("reserved", 90), ("api", 90), ("", 180))
FUNCTION = "_xlfn.LAMBDA("  # how a name that is a function begins
OUTPUT_PREFIX = "out_"
OWN_KINDS = frozenset({"choice", "assumption", "own"})  # decided here: no document could be dated
COST, INCOME = "cost", "income"
_VALUE_COLUMNS = frozenset({"base", "low", "high", "own", "value", "best", "worst"})
_WORD = re.compile(r"[A-Za-z_\\][\w.\\?]*")
_TELLING = 1000  # a whole amount below this may be any other figure
_PENNY = 0.005  # a rounding, not a sign


def inputs_without_source(book: Book) -> list[str]:
    """Rows of Inputs that lack a unit, a kind, a source or a date."""
    grid = book.grids.get(INPUTS_SHEET)
    if grid is None:
        return []
    found = headers(book, grid, lambda texts: {"unit", "source"} <= texts and bool(texts & _VALUE_COLUMNS))
    out = []
    for place, (top, columns) in enumerate(found):
        bottom = found[place + 1][0] if place + 1 < len(found) else max(r for r, _ in grid.inputs) + 1
        for row in range(top + 1, bottom):
            typed = [c for name, c in columns.items() if name in _VALUE_COLUMNS and (row, c) in grid.inputs]
            for name in _missing(grid, row, columns) if typed else ():
                fact = f"the input {_shown(grid.value(row, min(columns.values())))} has no {name}"
                out.append(Finding(grid.sheet, row, typed[0], fact, f"fill in {name} in its row"))
    return sentences(out)


def _missing(grid: Grid, row: int, columns: dict[str, int]) -> Iterator[str]:
    def blank(name: str) -> bool:
        return name in columns and not str(grid.value(row, columns[name]) or "").strip()

    for name in ("unit", "kind", "source"):
        if blank(name):
            yield name
    kind = str(grid.value(row, columns["kind"]) if "kind" in columns else "").casefold()
    if kind not in OWN_KINDS and "as of" in columns and not is_number(grid.value(row, columns["as of"])):
        yield "as-of date"


def stale_prices(book: Book) -> list[str]:
    """Prices in use that are older than their kind may be on the date of valuation."""
    table, named = book.table(PRICES_TABLE), book.cells_of(VALUATION_DATE)
    if table is None or len(named) != 1 or named[0].shape != (1, 1) or named[0].sheet not in book.grids:
        return []
    today = book.grids[named[0].sheet].value(named[0].top, named[0].left)
    if not isinstance(today, float) or any(c not in table.columns for c in PRICE_COLUMNS):
        return []
    grid, column = book.grids[table.area.sheet], {c: table.area.left + i for i, c in enumerate(table.columns)}
    shown = _shown_in_front(book)
    out = []
    for row in range(table.area.top + table.header_rows, table.area.bottom - table.totals_rows + 1):
        cells = {name: grid.value(row, at) for name, at in column.items()}
        if not _in_use(cells, shown):
            continue
        as_of, limit = cells["as_of"], _limit(str(cells["basis"] or ""))
        if not isinstance(as_of, float):
            fact = f"the price {_shown(cells['key'])} is in use and has no date"
            out.append(Finding(grid.sheet, row, column["as_of"], fact, "enter the day it was read"))
        elif today - as_of > limit:
            days = f"{today - as_of:.0f} days old on {_day(today)}, the limit of its kind is {limit}"
            fact = f"the price {_shown(cells['key'])} is in use and {days}"
            out.append(Finding(grid.sheet, row, column["as_of"], fact, "ask for the price anew and date it"))
    return sentences(out)


def _limit(basis: str) -> int:
    return next(days for start, days in AGES if basis.casefold().startswith(start))


def _in_use(cells: dict[str, Cell | None], shown: dict[Cell, set[tuple[str, int]]]) -> bool:
    """Whether the sheets in front name a price: its key, or in one row its item with its basis or its amount."""
    if any(cells.get(name) in shown for name in ("key", "lookup") if cells.get(name) is not None):
        return True
    # Small whole amounts are no trace: many a cell holds a 2.
    found = [v for name, v in cells.items() if name.startswith("amount") and isinstance(v, float)]
    amounts = {v for v in found if v % 1 or v >= _TELLING}
    rows = shown.get(cells["item"] or "", set())
    return any(not rows.isdisjoint(shown.get(mark, ())) for mark in (cells["basis"] or "", *amounts))


def _shown_in_front(book: Book) -> dict[Cell, set[tuple[str, int]]]:
    """Where each value stands on the sheets that are no registers: sheet and row."""
    behind = {t.area.sheet for t in book.tables if "key" in t.columns}
    out: dict[Cell, set[tuple[str, int]]] = {}
    for grid in book.grids.values():
        for row, column in (*grid.inputs, *grid.formulas) if grid.sheet not in behind else ():
            value = grid.value(row, column)
            if value is not None and value != "" and not isinstance(value, bool):
                out.setdefault(value, set()).add((grid.sheet, row))
    return out


def _day(serial: float) -> str:
    return (date(1899, 12, 30) + timedelta(days=int(serial))).isoformat()


# ---------------------------------------------------------------- names


def idle_names(book: Book) -> list[str]:
    """Defined names that nothing uses, and names that lead to no cell or to a blank one."""
    used = _words(book)
    out = []
    for name in book.names:
        if name.name.casefold().startswith(OUTPUT_PREFIX):
            continue  # for readers and other workbooks
        if name.text.startswith(FUNCTION):
            continue  # a function for readers
        if name.name.casefold() not in used:
            out.append(f"The defined name {name.name} ({name.text}) is used by nothing: use it or delete it.")
        if "#REF!" in name.text:
            continue  # told by the check of structure
        try:
            sheet = name.sheet or next(iter(book.grids))
            reads = book.resolver.resolve(name.name, sheet, 1, 1).reads
        except UnresolvedReference as trouble:
            out.append(f"The defined name {name.name} ({name.text}) leads nowhere ({trouble}): correct or delete it.")
            continue
        for area in reads:
            grid = book.grids[area.sheet]
            if area.shape == (1, 1) and grid.value(area.top, area.left) is None:
                at = f"{area.sheet}!{get_column_letter(area.left)}{area.top}"
                if (area.top, area.left) not in grid.formulas:
                    out.append(f"The defined name {name.name} leads to the blank cell {at}: fill it or move the name.")
    return out


def _words(book: Book) -> set[str]:
    """Every word, in lower case, that a formula anywhere in the file holds."""
    used: set[str] = set()
    for shape, _ in book.copies():
        used |= shape.names
        used.update(w.casefold() for w in re.findall(r'"#(\w+)"', shape.text))  # a link inside the file
    texts = [t for layout in book.layouts.values() for t in layout.references]
    texts += [n.text for n in book.names]
    # Formulas that a frozen workbook keeps as texts come back to life.
    typed = (v for grid in book.grids.values() for v in grid.inputs.values())
    texts += [str(v) for v in typed if isinstance(v, str) and v.startswith("=")]
    for part, data in book.package.parts.items():
        if "/charts/" in part and part.endswith(".xml"):
            texts += [e.text or "" for e in book.package.xml(part).iter("{*}f")]
        elif "/pivotCache/" in part and part.endswith(".xml"):
            texts.append(data[:4000].decode("utf-8", "replace"))
    for text in texts:
        used.update(w.casefold() for w in _WORD.findall(text))
    return used


# ---------------------------------------------------------------- signs


def wrong_signs(book: Book) -> list[str]:
    """Costs below and incomes above zero, in rows that a column headed ``sign`` marks as such.

    Costs are positive and income is negative throughout; a row without a mark may hold either.
    """
    out = []
    for grid in book.grids.values():
        marks = _marks(grid)
        for row, columns in _numbers_by_row(grid, {row for row, _ in marks}).items():
            for mark, wanted in [(c, marks[r, c]) for r, c in marks if r == row]:
                for column in columns:
                    value = grid.value(row, column)
                    wrong = isinstance(value, float) and (value < -_PENNY if wanted == COST else value > _PENNY)
                    if wrong and column > mark:
                        kind, word = ("cost", "negative") if wanted == COST else ("income", "positive")
                        label = _shown(next((v for c in range(1, mark) if is_text(v := grid.value(row, c))), ""))
                        fact = f"the {kind} row {label} is {word}"
                        out.append(Finding(grid.sheet, row, column, fact, "turn the sign, or correct the mark"))
    return sentences(out)


def _marks(grid: Grid) -> dict[tuple[int, int], str]:
    columns: dict[int, int] = {}
    for (row, column), value in sorted(grid.inputs.items()):
        if isinstance(value, str) and value.strip().lower() == "sign":
            columns.setdefault(column, row)
    return {
        (row, column): value.strip().lower()
        for (row, column), value in grid.inputs.items()
        if row > columns.get(column, row) and isinstance(value, str) and value.strip().lower() in (COST, INCOME)
    }


def _numbers_by_row(grid: Grid, rows: set[int]) -> dict[int, list[int]]:
    out: dict[int, list[int]] = {}
    for row, column in (*grid.inputs, *grid.formulas):
        if row in rows:
            out.setdefault(row, []).append(column)
    return out


def unknown_signs(book: Book) -> list[str]:
    """Words under the heading ``sign`` that are neither cost nor income."""
    out = []
    for grid in book.grids.values():
        marks = _marks(grid)
        for column in {c for _, c in marks}:
            top = min(r for r, c in marks if c == column)
            bottom = max(r for r, c in marks if c == column)
            for row in range(top, bottom + 1):
                value = grid.value(row, column)
                if is_text(value) and (row, column) not in marks and str(value).strip().lower() != "sign":
                    fact = f"the mark {_shown(value)} under sign is unknown"
                    out.append(Finding(grid.sheet, row, column, fact, f"write {COST}, {INCOME} or nothing"))
    return sentences(out)


def _shown(value: Cell | None) -> str:
    text = str(value or "")
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
