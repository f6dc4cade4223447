"""Formulas made ready for the embedded engine: references resolved, forms checked, Excel's rules put in.

A row across time holds one formula, each cell's a column further than its neighbour's. Such formulas are of one shape:
the first is prepared, the others take its text with their own cells in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable
from dataclasses import dataclass

import formualizer
from openpyxl.utils.cell import column_index_from_string

from workbook import semantics
from workbook.cells import Formula
from workbook.package import Area
from workbook.references import LAST_COLUMN, LAST_ROW, Moves, Resolver, UnresolvedReference, spell
from workbook.whitelist import is_bare_call, lint_tree, parse

# A cell, after everything in which letters and digits are no cell: texts, quoted sheets, what stands in brackets.
_SPOT = re.compile(
    r""""(?:[^"]|"")*"|'(?:[^']|'')*'|\[(?:[^\[\]']|'.|\[(?:[^\[\]']|'.)*\])*\]
    |(?<![\w.\\?$])(\$?)([A-Z]{1,3})(\$?)([1-9][0-9]{0,6})(?![\w.\\?(!])""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


class RefusedFormula(Exception):
    """A formula that the engine is not trusted with; its text is the reason, a whole sentence."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A formula as the engine takes it (without "="), the rectangles it reads, whether it is one call of ours alone."""

    text: str
    reads: tuple[Area, ...]
    bare: bool


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the formulas of one shape have in common, as found at one of their cells."""

    row: int
    column: int
    pattern: str
    reads: tuple[Area, ...]
    moves: tuple[Moves, ...]
    bare: bool
    bends: bool  # whether a range changes its size from cell to cell

    def at(self, row: int, column: int, tag: int) -> Prepared | None:
        """The formula of another cell; None where a range becomes a cell, or a cell a range."""
        down, across = row - self.row, column - self.column
        reads = tuple(
            _moved(area, moves, down, across) if any(moves) else area
            for area, moves in zip(self.reads, self.moves, strict=True)
        )
        if self.bends and any(_form(new) != _form(old) for new, old in zip(reads, self.reads, strict=True)):
            return None
        return Prepared(semantics.filled(self.pattern, tag, map(spell, reads)), reads, self.bare)


class Preparer:
    """Prepares the formulas of one workbook.

    Parameters
    ----------
    resolver : Resolver
        What references mean there.
    functions : collection of str
        The names of our own functions.
    """

    def __init__(self, resolver: Resolver, functions: Collection[str]) -> None:
        self._resolver = resolver
        self._functions = functions
        self._shapes: dict[Hashable, _Shape] = {}

    def prepare(self, formula: Formula, tag: int) -> Prepared:
        """Make one formula ready.

        Parameters
        ----------
        formula : Formula
            As the file holds it.
        tag : int
            The number by which `semantics.Rules.flagged` names it.

        Returns
        -------
        Prepared
            What the engine takes.

        Raises
        ------
        RefusedFormula
            When it cannot be read or is outside the whitelist.
        """
        key = self._key(formula)
        shape = self._shapes.get(key)
        ready = shape.at(formula.row, formula.column, tag) if shape else None
        if ready is None:
            # A refusal names cells, so it is never shared.
            shape = self._shapes[key] = self._shape(formula)
            ready = shape.at(formula.row, formula.column, tag)
            assert ready is not None, "a formula is of its own shape"
        return ready

    def _shape(self, formula: Formula) -> _Shape:
        if formula.unreadable:
            raise RefusedFormula(f"{formula.unreadable}.")
        row, column = formula.row, formula.column
        try:
            resolved = self._resolver.resolve(formula.text, formula.sheet, row, column)
            tree = parse(resolved.text)
        except (UnresolvedReference, ValueError) as trouble:
            raise RefusedFormula(f"{trouble}.") from trouble
        offences = lint_tree(tree, self._functions)
        if offences:
            raise RefusedFormula(" ".join(offences))
        pattern = semantics.rewrite(tree)
        try:  # the engine itself would only answer with an error of its own
            formualizer.parse(f"={semantics.filled(pattern, 0, map(spell, resolved.reads))}")
        except (formualizer.ParserError, formualizer.TokenizerError, RuntimeError) as trouble:
            raise RefusedFormula(f"the engine refused the formula ({trouble}).") from trouble
        bends = any(moves[:2] != moves[2:] for moves in resolved.moves)
        return _Shape(row, column, pattern, resolved.reads, resolved.moves, is_bare_call(tree), bends)

    def _key(self, formula: Formula) -> Hashable:
        """Equal for formulas of one shape: their text, its cells counted from where the formula stands."""
        spots: list[Hashable] = []

        def spot(found: re.Match[str]) -> str:
            fixed_column, letters, fixed_row, digits = found.groups()
            if digits is None or (fixed_column and fixed_row):
                return found[0]
            column, row = column_index_from_string(letters.upper()), int(digits)
            if column > LAST_COLUMN or row > LAST_ROW:
                spots.append(formula.at)  # no cell of Excel's: not to be moved
            spots.append(column if fixed_column else column - formula.column)
            spots.append(row if fixed_row else row - formula.row)
            return f"{fixed_column}\0{fixed_row}"

        text = _SPOT.sub(spot, formula.text)
        return text, tuple(spots), self._resolver.place(formula.sheet, formula.row, formula.column), formula.unreadable


def _moved(area: Area, moves: Moves, down: int, across: int) -> Area:
    top, left, bottom, right = moves
    return Area(
        area.sheet,
        area.top + down * top,
        area.left + across * left,
        area.bottom + down * bottom,
        area.right + across * right,
    )


def _form(area: Area) -> tuple[bool, bool, bool]:
    """What `spell` looks at: a cell, whole columns, whole rows, or any other range."""
    return area.shape == (1, 1), (area.top, area.bottom) == (1, LAST_ROW), (area.left, area.right) == (1, LAST_COLUMN)
