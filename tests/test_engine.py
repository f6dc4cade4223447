"""Headless evaluation: references, Excel's rules, our functions as callables, and what is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.formula import ArrayFormula
from openpyxl.worksheet.table import Table as SheetTable
from test_whitelist import recalculated_by_libreoffice, same

from workbook.cells import ErrorValue
from workbook.engine import answer, evaluate
from workbook.errors import WorkbookError
from workbook.package import Area, Name, Table, open_package
from workbook.references import Resolver, UnresolvedReference, spell
from workbook.semantics import as_text

SHEET = "O'Neil's «Größe» 1"


def kv_size(layers: Any, heads: Any, dim: Any, tokens: Any, batch: Any = None, bytes_: Any = None) -> Any:
    if not all(isinstance(x, float) for x in (layers, heads, dim, tokens)):
        return "#MLS! every size must be a number"
    return 2 * layers * heads * dim * tokens * (1.0 if batch is None else batch) * (bytes_ or 2.0) / 1e9


def grid(rows: Any, columns: Any) -> Any:
    return [[float(10 * r + c) for c in range(int(columns))] for r in range(int(rows))]


FUNCTIONS: dict[str, Any] = {"MLS_KV": kv_size, "MLS_GRID": grid, "MLS_SHOW": lambda *cells: repr(cells)}

TABLE = Table("tbl", "xl/tables/table1.xml", Area(SHEET, 3, 2, 6, 5), ("a", "b c", "it's", "#n"), 1, 1)
HERE = spell(Area(SHEET, 1, 1, 1, 1)).partition("!")[0]
RESOLVER = Resolver(
    [SHEET, "Calc"],
    [TABLE],
    [
        Name("rate", f"{HERE}!$B$2", None),
        Name("column", "tbl[a]", None),
        Name("twice", "SUM(column)*2", None),
        Name("rate", "0.07", "Calc"),
        Name("loop", "loop+1", None),
        Name("relative", f"{HERE}!B2", None),
    ],
)


@pytest.mark.parametrize(
    ("reference", "cells"),
    [
        *[("tbl[a]", "$B$4:$B$5"), ("tbl", "$B$4:$E$5"), ("TBL[A]", "$B$4:$B$5"), ("tbl[#All]", "$B$3:$E$6")],
        *[("tbl[[#This Row],[b c]]", "$C$5"), ("tbl[@a]", "$B$5"), ("tbl[@[b c]]", "$C$5"), ("tbl[@]", "$B$5:$E$5")],
        *[("tbl[#Headers]", "$B$3:$E$3"), ("tbl[[#Totals],[a]]", "$B$6"), ("tbl[[#Data],[a]:[b c]]", "$B$4:$C$5")],
        *[("tbl[[#Headers],[#Data],[a]]", "$B$3:$B$5"), ("tbl[it''s]", "$D$4:$D$5"), ("tbl['#n]", "$E$4:$E$5")],
        *[("rate", "$B$2"), ("column", "$B$4:$B$5"), ("B:$C", "$B:$C"), ("2:2", "$2:$2"), ("b7", "$B$7")],
    ],
)
def test_references_become_cells(reference: str, cells: str) -> None:
    assert RESOLVER.resolve(f"={reference}", SHEET, 5, 9).text == f"{HERE}!{cells}"


def test_names_are_written_out_where_they_stand() -> None:
    assert RESOLVER.resolve("=twice+1", SHEET, 5, 9).text == f"(SUM({HERE}!$B$4:$B$5)*2)+1"
    assert RESOLVER.resolve("=rate", "Calc", 1, 1).text == "0.07"
    assert RESOLVER.resolve("=[@a]*2", SHEET, 4, 3).text == f"{HERE}!$B$4*2"
    assert RESOLVER.resolve('="tbl[a]"&rate', SHEET, 5, 9).text == f'"tbl[a]"&{HERE}!$B$2'


@pytest.mark.parametrize(
    "reference",
    [
        *["nope", "tbl[zz]", "zz[a]", "[1]S!A1", "'[Other.xlsx]S'!A1", "Calc:S!A1", "Missing!A1", "loop", "relative"],
        *["[@a]", "tbl[a", "tbl[[a],[b c],[it''s]]", "#REF!"],
    ],
)
def test_an_unresolved_reference_names_cell_and_reference(reference: str) -> None:
    with pytest.raises(UnresolvedReference) as caught:
        RESOLVER.resolve(f"=1+{reference}", "Calc", 40, 9)
    assert "Calc!I40" in str(caught.value)
    assert reference.strip("[]@")[:3] in str(caught.value)


def test_this_row_needs_a_row_of_the_table() -> None:
    with pytest.raises(UnresolvedReference, match="this row"):
        RESOLVER.resolve("=tbl[@a]", SHEET, 6, 9)


@pytest.fixture
def book(tmp_path: Path) -> Any:
    """An openpyxl workbook with a table on a sheet of an awkward name, and `evaluated` to compute it."""

    class Book:
        def __init__(self) -> None:
            self.book = openpyxl.Workbook()
            self.data = self.book.active
            assert self.data is not None
            self.data.title = SHEET
            for row in [("key", "GB per s", "note"), ("H100", 3350.0, "ä"), ("H200", 4800.0, None)]:
                self.data.append(row)
            self.data.add_table(SheetTable(displayName="tblDevices", ref="A1:C3"))
            self.book.defined_names["in_Rate"] = DefinedName("in_Rate", attr_text=f"{HERE}!$F$1")
            self.book.defined_names["speeds"] = DefinedName("speeds", attr_text="tblDevices[GB per s]")
            self.data["F1"] = 0.1
            self.calc = self.book.create_sheet("Calc")

        def saved(self) -> Path:
            self.book.save(tmp_path / "book.xlsx")
            return tmp_path / "book.xlsx"

        def evaluated(self, **options: Any) -> Any:
            return evaluate(self.saved(), FUNCTIONS, **options)

        def values(self, **formulas: Any) -> dict[str, Any]:
            for at, formula in formulas.items():
                self.calc[at] = formula
            result = self.evaluated(spill_calls=True)
            assert result.missing == {}
            return {at: result.values["Calc", at] for at in formulas if ("Calc", at) in result.values}

    return Book()


def test_tables_names_and_text(book: Any) -> None:
    assert book.values(
        A1='=INDEX(speeds,MATCH("h200",tblDevices[key],0))',
        A2='=SUMIFS(tblDevices[GB per s],tblDevices[key],"H*")*in_Rate',
        A3="=INDEX(tblDevices,1,2)",
        A4="=tblDevices[[#Headers],[GB per s]]",
        A5='=TRIM(" "&INDEX(tblDevices[note],1)&1/3)',
        A6='=HYPERLINK("#Calc!A1",in_Rate)',
        A7='=IF(INDEX(tblDevices[note],2)="",NA(),1)',
    ) == {
        "A1": 4800.0,
        "A2": 815.0,
        "A3": 3350.0,
        "A4": "GB per s",
        "A5": "ä0.333333333333333",
        "A6": 0.1,
        "A7": "#N/A",
    }


def test_values_are_typed(book: Any) -> None:
    values = book.values(A1="=1/3", A2='="#N/A"', A3="=NA()", A4="=1=1", A5="=Z99", A6="=DATE(2026,1,2)", A7='=""')
    assert values == {"A1": 1 / 3, "A2": "#N/A", "A3": "#N/A", "A4": True, "A5": 0.0, "A6": 46024.0, "A7": ""}
    assert [type(v) for v in values.values()] == [float, str, ErrorValue, bool, float, float, str]


def test_our_functions_get_plain_cells(book: Any) -> None:
    book.calc["H1"], book.calc["H3"], book.calc["H4"] = 1, True, "=1/0"
    values = book.values(A1="=MLS_KV(32,8,128,4096,32)", A2='=MLS_SHOW(H1:H3,H4,H9,"t",2,,{1,2})', A3="=MLS_KV(1)")
    assert values["A1"] == 17.179869184
    assert values["A2"] == "([[1.0], [None], [True]], '#DIV/0!', None, 't', 2.0, None, [[1.0, 2.0]])"
    assert values["A3"] == "#MLS! MLS_KV takes 4 to 6 arguments, not 1"


def test_blocks_spill_and_are_read(book: Any) -> None:
    values = book.values(
        A1="=MLS_GRID(2,3)", A5="=SUM(A1:C2)", A6="=SUM(MLS_GRID(2,2))", A7="=INDEX(MLS_GRID(2,2),2,1)"
    )
    assert values == {"A1": [[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]], "A5": 36.0, "A6": 22.0, "A7": 10.0}


def test_what_is_outside_the_whitelist_spreads_to_its_readers(book: Any) -> None:
    calc = book.calc
    calc["A1"], calc["A2"], calc["A3"], calc["A4"] = "=OFFSET(F1,0,0)", "=A1+1", "=IFERROR(SUM(A1:A2),0)", "=MLS_NO(1)"
    calc["B1"], calc["B2"], calc["B3"] = "=1+1", "=SUM(A:A)", "=[1]Other!A1"
    calc["C1"], calc["C2"], calc["C3"] = '="a"<"b"', "=NOT(C1)", '="a"="A"'
    result = book.evaluated()
    assert result.values == {("Calc", "B1"): 2.0, ("Calc", "C3"): True}
    reasons = {at: why for (_, at), why in result.missing.items()}
    assert "volatile" in reasons["A1"]
    assert reasons["A2"] == "it depends on Calc!A1."
    assert "depends on Calc!A1" in reasons["A3"]
    assert "MLS_NO is not one" in reasons["A4"]
    assert "depends on" in reasons["B2"]
    assert "another workbook" in reasons["B3"]
    assert "sorts texts" in reasons["C1"]
    assert reasons["C2"] == "it depends on Calc!C1."


def test_circles_spill_collisions_and_wrong_blocks_have_no_value(book: Any) -> None:
    calc = book.calc
    calc["A1"], calc["A2"], calc["A3"] = "=A2", "=A1", "=A3+1"
    calc["C1"], calc["C2"], calc["G1"] = "=MLS_GRID(2,2)", "occupied", "=C1"
    calc["E1"] = "=MLS_GRID(2,2)*2"
    calc["I1"] = ArrayFormula("I1:I3", "=MLS_GRID(2,2)")
    calc["L1"] = ArrayFormula("L1:M2", "=MLS_GRID(2,2)")
    result = book.evaluated()
    assert result.values == {("Calc", "L1"): [[0.0, 1.0], [10.0, 11.0]]}
    reasons = {at: why for (_, at), why in result.missing.items()}
    assert all("circular" in reasons[at] for at in ("A1", "A2", "A3"))
    assert "2 x 2 cells, but the formula fills 3 x 1" in reasons["I1"]
    assert "2 x 2 cells, but the formula fills 1 x 1" in reasons["E1"]
    assert reasons["G1"] == "it depends on Calc!C1."
    collision = book.evaluated(spill_calls=True).missing["Calc", "C1"]
    assert "#SPILL!" in collision


def test_a_spill_into_a_table_is_refused(book: Any) -> None:
    book.data["C2"], book.data["C3"] = "=MLS_GRID(1,2)", None
    assert "into a table" in book.evaluated(spill_calls=True).missing[SHEET, "C2"]


def test_a_fault_of_ours_is_not_swallowed(book: Any) -> None:
    book.calc["A1"] = "=IFERROR(MLS_BUG(2),0)"
    path = book.saved()
    with pytest.raises(ZeroDivisionError) as caught:
        evaluate(path, {"MLS_BUG": lambda x: x / 0})
    assert "raised by MLS_BUG for the arguments (2.0,)" in caught.value.__notes__
    for wrong in (float("nan"), object(), [[1.0], [1.0, 2.0]], []):
        with pytest.raises(TypeError):
            evaluate(path, {"MLS_BUG": lambda x, wrong=wrong: wrong})


def test_answers_in_an_empty_workbook() -> None:
    assert answer("=MLS_KV(32,8,128,4096,32)", FUNCTIONS) == 17.179869184
    assert answer(" MLS_GRID(1,2) ", FUNCTIONS) == [[0.0, 1.0]]
    assert answer('=MLS_KV("x",8,128,4096)', FUNCTIONS) == "#MLS! every size must be a number"
    assert answer("=1/0", {}) == ErrorValue("#DIV/0!")
    assert answer("=MLS_T()", {"MLS_T": lambda: "#N/A"}) == ErrorValue("#N/A")
    assert isinstance(answer("=MLS_T()", {"MLS_T": lambda: "#N/A"}), ErrorValue)


@pytest.mark.parametrize(
    "formula", ["", "=", "=A1", "=1+", "=NOW()", "=MLS_NO(1)", "=MOD(0.3,0.1)", '=VALUE("1.5")', '=1E300&""']
)
def test_what_cannot_be_answered_is_a_sentence(formula: str) -> None:
    with pytest.raises(WorkbookError, match=r"\.$"):
        answer(formula, FUNCTIONS)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_pass_through_exactly(number: float) -> None:
    assert answer("=MLS_N()", {"MLS_N": lambda: number}) == number


@given(st.floats(min_value=1e-3, max_value=1e14))
def test_text_of_a_number_has_fifteen_digits(number: float) -> None:
    text = as_text(number)
    assert text is not None
    assert float(text) == pytest.approx(number, rel=1e-14)
    assert "e" not in text.lower()


def test_other_ways_of_computing_are_refused(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active["A1"] = "=1"
    path = tmp_path / "book.xlsx"
    book.save(path)
    for old, new, word in [
        (b"<workbookPr", b'<workbookPr date1904="1"', "1904"),
        (b"<calcPr", b'<calcPr fullPrecision="0"', "precision as displayed"),
    ]:
        package = open_package(path)
        package.parts["xl/workbook.xml"] = re.sub(old + rb"(?=[ /])", new, package.parts["xl/workbook.xml"])
        with pytest.raises(WorkbookError, match=word):
            evaluate(package, {})


@pytest.mark.libreoffice
def test_resolved_references_agree_with_libreoffice(book: Any, tmp_path: Path) -> None:
    """LibreOffice reads the structured references themselves, we what they were resolved to.

    Left out: what LibreOffice 7.4 reads otherwise, a bare table name (with its header) and `[#All]` (#NAME?).
    """
    if shutil.which("soffice") is None:
        pytest.skip("LibreOffice is not installed")
    formulas = [
        *[
            "=SUM(tblDevices[GB per s])*in_Rate",
            "=SUM(speeds)",
            "=ROWS(tblDevices[[key]:[note]])",
            "=COLUMNS(tblDevices[[key]:[note]])",
        ],
        *["=INDEX(tblDevices[key],2)", "=tblDevices[[#Headers],[GB per s]]", '=SUMIF(tblDevices[key],"H200",speeds)'],
        *["=COUNTA(tblDevices[[#All],[key]:[note]])", "=SUMPRODUCT((speeds>4000)*speeds)", f"={HERE}!B2"],
        *[
            "=INDEX(tblDevices[[key]:[note]],MATCH(4800,speeds,0),1)",
            "=ROUND(in_Rate*AVERAGE(speeds),0)&tblDevices[[#Headers],[key]]",
        ],
    ]
    for row, formula in enumerate(formulas, start=1):
        book.calc.cell(row, 1).value = formula
    for row in (2, 3):
        book.data.cell(row, 8).value = "=tblDevices[[#This Row],[GB per s]]*in_Rate"
    ours, theirs = book.evaluated(), recalculated_by_libreoffice(book.saved(), tmp_path)
    assert ours.missing == {}
    for (sheet, at), value in ours.values.items():
        assert same(value, theirs[sheet][at].value), (sheet, at)
