"""Formulas of one shape: prepared once, and each cell's still exactly what it would be if prepared alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils import get_column_letter

from workbook.cells import Formula
from workbook.engine import answers, evaluate
from workbook.errors import WorkbookError
from workbook.package import Area, Name, Table
from workbook.prepare import Preparer, RefusedFormula
from workbook.references import Resolved, Resolver

SHEET, QUOTED = "A1", "It's B2 (x)"  # sheets whose names look like cells
TABLE = Table("tbl", "", Area(SHEET, 3, 2, 40, 5), ("a", "B7", "it's"), 1, 1)
NAMES = [Name("rate", f"{SHEET}!$B$2", None), Name("beside", "tbl[@a]*2", None), Name("in_C3", "tbl[a]", None)]
FUNCTIONS = {"MLS_ONE": lambda *cells: 1.0}

# What a cell reference is here: a column and a row, each an offset from the formula's cell or (True) fixed.
COORDINATES = st.tuples(st.booleans(), st.integers(0, 6))
CELLS = st.tuples(COORDINATES, COORDINATES)
WORDS = st.sampled_from(
    [
        *[
            '"B7&""C8"" %s"',
            f"'{QUOTED.replace(chr(39), chr(39) * 2)}'!B7",
            "tbl[@B7]",
            "[@a]",
            "SUM(tbl[it''s])",
            "rate",
        ],
        *["beside", "SUM(in_C3)", "LOG10(7)", "SUM(C:D)", "SUM($4:4)", "MLS_ONE(tbl[#Headers])", "5%", "1E5"],
    ]
)
PIECES = st.lists(
    st.one_of(
        WORDS,
        CELLS,
        st.tuples(st.sampled_from(["SUM({}:{})", "INDEX({}:{},1)", "ABS({}:{})", "INT({})"]), CELLS, CELLS),
    ),
    min_size=1,
    max_size=4,
)


class Counting(Resolver):
    """A resolver that counts what it is asked."""

    asked = 0

    def resolve(self, formula: str, sheet: str, row: int, column: int) -> Resolved:
        self.asked += 1
        return super().resolve(formula, sheet, row, column)


def resolver() -> Counting:
    return Counting([SHEET, QUOTED], [TABLE], NAMES)


def formula(text: str, row: int, column: int) -> Formula:
    return Formula(SHEET, row, column, text, None, False, None)


def spelled(cell: Any, row: int, column: int) -> str:
    (fixed_column, across), (fixed_row, down) = cell
    letters = get_column_letter(1 + across if fixed_column else column + across)
    return f"{'$' * fixed_column}{letters}{'$' * fixed_row}{1 + down if fixed_row else row + down}"


def written(pieces: Any, row: int, column: int) -> str:
    def word(piece: Any) -> str:
        if isinstance(piece, str):
            return piece
        if isinstance(piece[0], str):
            return str(piece[0].format(*(spelled(cell, row, column) for cell in piece[1:])))
        return spelled(piece, row, column)

    return "&".join(word(piece) for piece in pieces)


def outcome(preparer: Preparer, made: Formula) -> Any:
    try:
        return preparer.prepare(made, 7)
    except RefusedFormula as refusal:
        return str(refusal)


@given(PIECES, st.lists(st.tuples(st.integers(1, 45), st.integers(1, 8)), min_size=2, max_size=12))
def test_sharing_changes_nothing(pieces: Any, cells: list[tuple[int, int]]) -> None:
    shared = Preparer(resolver(), FUNCTIONS)
    for row, column in cells:
        made = formula(written(pieces, row, column), row, column)
        assert outcome(shared, made) == outcome(Preparer(resolver(), FUNCTIONS), made)


@pytest.mark.parametrize(
    "text",
    [
        *[
            '"{}1"',
            '"a""{}1"&1',
            "SUM(tbl[{}7])",
            "tbl[[#This Row],[{}7]]",
            "'{}1 x'!$A$1",
            "{}1!$A$1",
            "{}1.x",
            "in_{}1",
        ],
        *["MLS_{}1(1)"],
    ],
)
def test_what_only_looks_like_a_cell_is_not_moved(text: str) -> None:
    sheets = [SHEET, *(f"{c}1" for c in "CD"), *(f"{c}1 x" for c in "CD")]
    table = Table("tbl", "", Area(SHEET, 3, 2, 40, 5), ("C7", "D7"), 1, 1)
    names = [Name(spell.format(c), f"{SHEET}!${c}$9", None) for c in "CD" for spell in ("{}1.x", "in_{}1")]
    asked = Resolver(sheets, [table], names)
    functions = {"MLS_C1": print, "MLS_D1": print}
    shared = Preparer(asked, functions)
    made = [formula(text.format(letter), 5, column) for letter, column in (("C", 3), ("D", 4))]
    ready = [shared.prepare(each, 7) for each in made]
    assert ready == [Preparer(asked, functions).prepare(each, 7) for each in made]
    assert ready[0] != ready[1]


def test_a_row_is_prepared_once() -> None:
    asking = resolver()
    preparer = Preparer(asking, FUNCTIONS)
    texts = set()
    for column in range(6, 67):
        here, before = get_column_letter(column), get_column_letter(column - 1)
        text = f"{before}50+SUM($F$51:$BN$51)*{here}$4*rate"
        texts.add(preparer.prepare(formula(text, 50, column), 1).text)
    assert asking.asked == 1
    assert len(texts) == 61


def test_a_growing_sum_changes_its_shape_once() -> None:
    asking = resolver()
    preparer = Preparer(asking, FUNCTIONS)
    for column in range(6, 67):
        preparer.prepare(formula(f"SUM($F9:{get_column_letter(column)}9)", 10, column), 1)
    assert asking.asked == 2  # F9 alone is a cell, F9:G9 and all after it are ranges


def test_rows_of_a_table_share_and_the_rest_of_the_column_does_not() -> None:
    preparer = Preparer(resolver(), FUNCTIONS)
    reads = {row: preparer.prepare(formula("tbl[@a]", row, 9), 1).reads for row in (4, 5, 39)}
    assert reads == {row: (Area(SHEET, row, 2, row, 2),) for row in reads}
    for row in (3, 40, 41):
        with pytest.raises(RefusedFormula, match=f"I{row}: .*this row"):
            preparer.prepare(formula("tbl[@a]", row, 9), 1)


def test_a_refusal_names_its_own_cells() -> None:
    preparer = Preparer(resolver(), FUNCTIONS)
    for column in ("C", "D"):
        with pytest.raises(RefusedFormula, match=f"\\${column}\\$1:\\${column}\\$9"):
            preparer.prepare(formula(f"1+{column}1:{column}9", 20, 3 if column == "C" else 4), 1)


def test_one_bad_formula_of_a_column_leaves_the_others(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in range(1, 40):
        sheet.cell(row, 1, row)
        sheet.cell(row, 2, f"=A{row}*2" if row not in {7, 30} else f"=B{row}+1")
    book.save(tmp_path / "book.xlsx")
    result = evaluate(tmp_path / "book.xlsx", {})
    assert result.values == {("Sheet", f"B{row}"): 2.0 * row for row in range(1, 40) if row not in {7, 30}}
    assert set(result.missing) == {("Sheet", "B7"), ("Sheet", "B30")}
    assert all("depends on itself" in why for why in result.missing.values())


def test_texts_are_joined_without_a_limit_of_depth(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet["A1"] = 0.5
    sheet["B1"] = "=" + "&".join(["A1", '"%"', "LEFT(A1,1)&(A1&TRUE)"] * 60)
    book.save(tmp_path / "book.xlsx")
    assert evaluate(tmp_path / "book.xlsx", {}).values == {("Sheet", "B1"): "0.5%00.5TRUE" * 60}


def test_answers_do_not_meet() -> None:
    functions = {"MLS_BLOCK": lambda n: [[float(n)] * 3] * 4}
    assert answers(["=MLS_BLOCK(1)", "MLS_BLOCK(2)", "=1+1"], functions) == [[[1.0] * 3] * 4, [[2.0] * 3] * 4, 2.0]
    with pytest.raises(WorkbookError, match=r"=NOW\(\) was not computed"):
        answers(["=1", "=NOW()"], functions)


def test_what_the_engine_cannot_take_is_refused_before_it_is_given() -> None:
    with pytest.raises(RefusedFormula, match=r"refused the formula .*nesting too deep"):
        Preparer(resolver(), FUNCTIONS).prepare(formula("1+" * 60 + "1", 20, 3), 1)
