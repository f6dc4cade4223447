"""One publication, several runtimes: classic Excel, Office.js, LibreOffice and plain Python answer every call alike.

What cannot be alike is written down in `as_classic`, `as_office_js` and `as_libreoffice`, and nowhere else.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from matrix import MISSING, NA, Call, arguments_of, calls
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.formula import ArrayFormula
from test_udfs import CALLS, as_classic, as_office_js, child, error_names_aside, plain_answer

from udfs import FUNCTIONS
from udfs.cells import REFUSED
from udfs.libreoffice import find_soffice, recalculate

MATRIX = [*CALLS, *calls()]


def test_there_are_enough_calls() -> None:
    assert len(MATRIX) >= 200
    named = [name for name, _ in MATRIX]
    assert {n for n, f in FUNCTIONS.items() if f.parameters and named.count(n) < 2} == set()
    assert set(named) == FUNCTIONS.keys()
    assert arguments_of('=F(1,"a,b",,0.5/2,TRUE)') == [1.0, "a,b", MISSING, 0.25, True]


def test_classic_answers_every_call_alike() -> None:
    got = child("classic", MATRIX)
    for way in ("references", "values"):
        for (name, arguments), answer in zip(MATRIX, got[way], strict=True):
            expected = {"answer": as_classic(plain_answer(name, arguments))}
            assert error_names_aside(answer) == error_names_aside(expected), (way, name, arguments)


def test_office_js_answers_every_call_alike() -> None:
    # The licence key that xlwings grants to projects like this one; only this child gets it.
    got = child("officejs", MATRIX, XLWINGS_ON_SERVER="true", XLWINGS_LICENSE_KEY="noncommercial")
    for (name, arguments), answer in zip(MATRIX, got["answers"], strict=True):
        assert answer == as_office_js(plain_answer(name, arguments)), (name, arguments)


# ------------------------------------------------------------------ LibreOffice


def as_libreoffice(arguments: list[Any], answer: Any) -> Any:
    """Calc never calls a function with an error among its single cells: the error shows. Blanks show as text."""
    return "#N/A" if NA in arguments else answer


def told_apart(arguments: list[Any]) -> bool:
    """Whether Calc hands the arguments over as Excel does.

    TRUE arrives as 1, an error in a range ends the call, and an argument left out between others arrives as 0, which is
    refused where 0 is not legal: write "" in its place.
    """
    given = [a != MISSING for a in arguments]
    if sorted(given, reverse=True) != given:
        return False
    flat = [c for a in arguments for row in (a if isinstance(a, list) else [[a]]) for c in row]
    in_ranges = [c for a in arguments if isinstance(a, list) for row in a for c in row]
    return not any(c is True or c is False for c in flat) and NA not in in_ranges


def sheet_of(wanted: list[Call], path: Path) -> list[tuple[str, int, int]]:
    """Each argument in cells of its own, each call an array formula of the size of its answer; where they stand."""
    book = openpyxl.Workbook()
    data, sheet = book.active, book.create_sheet("Calls")
    assert data is not None
    data.title = "Data"
    places, row, top = [], 1, 1
    for name, arguments in wanted:
        spelled = []
        for argument in arguments:
            if argument == MISSING:
                spelled.append("")
                continue
            rows = argument if isinstance(argument, list) else [[argument]]
            for i, line in enumerate(rows):
                for j, cell in enumerate(line):
                    value = "=NA()" if cell == NA else cell
                    if value is not None:
                        data.cell(row + i, 1 + j, value)
            spelled.append(f"Data!$A${row}:${get_column_letter(len(rows[0]))}${row + len(rows) - 1}")
            if len(rows) == len(rows[0]) == 1:
                spelled[-1] = f"Data!$A${row}"
            row += len(rows) + 1
        while spelled and not spelled[-1]:
            spelled.pop()
        answer = plain_answer(name, arguments)
        height, width = (len(answer), len(answer[0])) if isinstance(answer, list) else (1, 1)
        area = f"A{top}:{get_column_letter(width)}{top + height - 1}"
        sheet[f"A{top}"] = ArrayFormula(area, f"={name}({','.join(spelled)})")
        places.append((f"A{top}", height, width))
        top += height + 1
    book.save(path)
    return places


def alike(seen: Any, right: Any) -> bool:
    if isinstance(right, float) and not isinstance(right, bool):
        return isinstance(seen, (int, float)) and math.isclose(seen, right, rel_tol=1e-12)
    if isinstance(right, bool):
        return bool(seen == right)
    text = "" if right is None else right
    return bool(("" if seen is None else seen) == text)


@pytest.mark.libreoffice
@pytest.mark.skipif(find_soffice() is None, reason="no LibreOffice here")
def test_libreoffice_answers_every_call_alike(tmp_path: Path) -> None:
    wanted = [c for c in MATRIX if told_apart(c[1])]
    assert len(wanted) >= 200
    places = sheet_of(wanted, tmp_path / "calls.xlsx")
    values = openpyxl.load_workbook(recalculate(tmp_path / "calls.xlsx", tmp_path / "out"), data_only=True)["Calls"]
    wrong = []
    for (name, arguments), (at, height, width) in zip(wanted, places, strict=True):
        answer = as_libreoffice(arguments, plain_answer(name, arguments))
        rows = answer if isinstance(answer, list) else [[answer]]
        cell = values[at]
        for i in range(height):
            for j in range(width):
                seen = values.cell(cell.row + i, cell.column + j).value
                right = rows[i][j] if i < len(rows) and j < len(rows[0]) else None
                if isinstance(right, str) and right.startswith(REFUSED) and isinstance(seen, str):
                    right, seen = right[:200], seen[:200]
                if not alike(seen, right):
                    wrong.append(f"{name}{arguments} [{i},{j}]: {seen!r}, Python {right!r}")
    assert not wrong, "\n".join([f"{len(wrong)} differ", *wrong[:30]])
