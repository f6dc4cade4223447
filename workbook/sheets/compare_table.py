"""Rows of the sheet Compare: one column for each option, one formula for each row.

In a formula {name} is the option's own cell of another row or a value in column C, {row:name} all options of a row;
{total:x}, {k:x} and {months:x} are the total, the present value after tax and the months of a line of Monthly,
{result:x} a figure of Money, {engine:x} a row of Engine, {option:x} a column of Options, {time:x} a row of
the timeline.
"""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from ..style import CENTS, MONEY, WHOLE, block_title, put
from .engine import DERIVED, ROW, option_columns
from .inputs import name_cell
from .money import result
from .monthly import AFTER_TAX, CLOUD_INDEX, DISCOUNT, ENERGY, MONTH, PV_AFTER, RUN, Layout
from .options import option_field

SHEET = "Compare"
FIRST = 4  # column D is option 1
NUMBER_ROW, LABEL_ROW = 4, 5
NO_FIGURE = "no figure"  # of an option that is refused
_TIME = {"m": MONTH, "run": RUN, "energy": ENERGY, "cloud": CLOUD_INDEX, "discount": DISCOUNT, "after": AFTER_TAX}


class Table:
    """The sheet, and where its rows are."""

    def __init__(self, book: Workbook, sheet: Worksheet, layout: Layout) -> None:
        self.book, self.sheet, self.layout = book, sheet, layout
        self.letters = [get_column_letter(FIRST + i) for i in range(layout.count)]
        self.rows: dict[str, int] = {}
        self.values: set[str] = set()
        self.next = LABEL_ROW + 1

    def title(self, text: str, name: str = "") -> None:
        """Open a block; `name` is the defined name that links lead to."""
        self.next += 1
        block_title(self.sheet, self.next, text, FIRST + self.layout.count - 1)
        if name:
            name_cell(self.book, name, SHEET, f"A{self.next}")
        self.next += 1

    def note(self, text: str) -> None:
        """A line in words."""
        put(self.sheet, f"A{self.next}", text, "mls source")
        self.next += 1

    def knob(self, name: str, label: str, unit: str, value: object = None, fmt: str | None = None) -> None:
        """A yellow cell in column C."""
        self.label(name, label, unit)
        put(self.sheet, f"C{self.rows[name]}", value, "mls input", fmt)
        self.values.add(name)

    def value(
        self, name: str, label: str, unit: str, formula: str, fmt: str | None = CENTS, style: str = "mls formula"
    ) -> None:
        """One figure in column C."""
        self.label(name, label, unit)
        self.values.add(name)
        put(self.sheet, f"C{self.rows[name]}", f"={self.expand(formula, '')}", style, fmt)

    def option(
        self, name: str, label: str, unit: str, formula: str, fmt: str | None = CENTS, style: str = "mls formula"
    ) -> None:
        """One figure for each option; `NO_FIGURE` where the option is refused."""
        self.label(name, label, unit)
        for c in self.letters:
            text = f'=IFERROR({self.expand(formula, c)},"{NO_FIGURE}")'
            cell = put(self.sheet, f"{c}{self.rows[name]}", text, style, fmt)
            cell.alignment = Alignment(horizontal="right", vertical="center")

    def lines(self, name: str, label: str, kinds: str, code: int, last: str = "cloud") -> None:
        """Cost lines of one kind, present, in USD: its code in column C, all codes in column `kinds` of Monthly."""
        first, last = f"running{self.layout.groups['running'][0]}", f"{last}{self.layout.groups[last][-1]}"
        areas = [(self.layout.row(first, o), self.layout.row(last, o)) for o in range(self.layout.count)]
        here = f"$C${self.next}"
        sums = [
            f"SUMIF(Monthly!${kinds}${a}:${kinds}${b},{here},Monthly!${PV_AFTER}${a}:${PV_AFTER}${b})" for a, b in areas
        ]
        put(self.sheet, f"C{self.next}", code, "mls unit", WHOLE)
        self.option(name, label, "USD", self.pick("{no}", sums), MONEY)

    def months(self, name: str, label: str, unit: str, formula: str, fmt: str | None) -> None:
        """A block with one row for each month; {m@} is the month, {name@} the same month of an earlier block."""
        put(self.sheet, f"A{self.next}", label, "mls total")
        put(self.sheet, f"B{self.next}", "=in_Currency" if unit == "currency" else unit, "mls unit")
        self.next += 1
        self.rows[name] = self.next
        for month in range(self.layout.months + 1):
            r = self.next
            put(self.sheet, f"A{r}", month, "mls unit")
            for c in self.letters:
                put(self.sheet, f"{c}{r}", f"={self.expand(formula, c, month)}", "mls formula", fmt)
            self.next += 1
        self.next += 1

    def column(self, name: str, c: str) -> str:
        """All months of an option in a block."""
        top = self.rows[name]
        return f"{c}${top}:{c}${top + self.layout.months}"

    def across(self, name: str) -> str:
        """All options of a row."""
        return f"${self.letters[0]}${self.rows[name]}:${self.letters[-1]}${self.rows[name]}"

    def cell(self, name: str) -> str:
        """Address of a value in column C, as other sheets read it."""
        return f"{SHEET}!$C${self.rows[name]}"

    def label(self, name: str, label: str, unit: str) -> None:
        """Name and unit of the next row."""
        self.rows[name] = self.next
        put(self.sheet, f"A{self.next}", label)
        if unit.startswith("currency"):
            rest = unit.removeprefix("currency")
            unit = f'=in_Currency&"{rest}"' if rest else "=in_Currency"
        put(self.sheet, f"B{self.next}", unit, "mls unit")
        self.next += 1

    def pick(self, number: str, addresses: list[str]) -> str:
        """The address that belongs to option `number`."""
        return f"CHOOSE({number},{','.join(addresses)})"

    def of(self, kind: str, what: str, number: str) -> str:
        """A figure of another sheet for option `number`."""
        count = range(self.layout.count)
        if kind == "option":
            return option_field(what, number)
        if kind == "engine":
            return self.pick(
                number, [f"Engine!${c}${(ROW | DERIVED)[what]}" for c in option_columns(self.layout.count)]
            )
        if kind == "result":
            return self.pick(number, [result(what, o) for o in count])
        column = PV_AFTER if kind == "k" else "D"
        return self.pick(number, [self.layout.total(what, o, column) for o in count])

    def expand(self, formula: str, c: str, month: int | None = None) -> str:
        """Put addresses in the place of {names}."""
        out, rest = "", formula
        while "{" in rest:
            before, _, after = rest.partition("{")
            name, _, rest = after.partition("}")
            out += before + self._name(name, c, month)
        return out + rest

    def _name(self, name: str, c: str, month: int | None) -> str:
        kind, _, what = name.partition(":")
        number = f"{c}${NUMBER_ROW}"
        if name == "no":
            return number
        if name == "m@":
            return f"$A{self.next}"
        if name.endswith("@"):
            return f"{c}{self.rows[name[:-1]] + (month or 0)}"
        if kind == "sofar":  # the block's months up to this one
            top = self.rows[what]
            return f"{c}${top}:{c}{top + (month or 0)}"
        if name == "rest_of_saving":
            top = self.rows["saving"]
            return f"{c}${top + 1}:{c}${top + self.layout.months}"
        if kind == "column":
            return self.column(what, c)
        if kind == "row":
            return self.across(what)
        if kind == "time":
            return self.layout.timeline(_TIME[what])
        if kind == "months":  # a range: no function may choose it
            return self.layout.months_of(what, self.letters.index(c))
        if kind in ("total", "k", "result", "engine", "option"):
            what, _, other = what.partition(":")  # {k:x:y}: of the option whose number is the value y
            return self.of(kind, what, f"$C${self.rows[other]}" if other else number)
        return f"$C${self.rows[name]}" if name in self.values else f"{c}${self.rows[name]}"
