"""Native formulas: every equation against its Python source in two engines, and what the translator refuses."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import numpy as np
import openpyxl
import pytest

from mlsysim import CATALOGUE, OutOfDomain, WrongArguments
from mlsysim.catalogue import Entry, Param
from mlsysim.equations.network import bubble
from mlsysim.equations.transformer import chinchilla_params
from mlsysim.units import Bytes, Count, HourlyPrice, Hours, Latency, Length, Real, Share, Unit, unit_of
from udfs.libreoffice import find_soffice, recalculate
from workbook.engine import evaluate
from workbook.formula import NoNativeForm, expression, native

RELATIVE = 1e-12
RELATIVE_OF_TWINS = 1e-8  # LibreOffice takes the Poisson probability of a large mean from sums near 1E7
NO_FUNCTIONS: dict[str, Any] = {}  # the formulas need none, in either engine
EQUATIONS = [e for e in CATALOGUE.values() if e.call.__module__.startswith("mlsysim.equations.")]
TWINS = [e for e in EQUATIONS if hasattr(e.call, "native")]
by_name = pytest.mark.parametrize("entry", [e for e in EQUATIONS if e not in TWINS], ids=lambda e: e.name)

Number = Annotated[Real, Unit("1", "", low=-50, high=50)]
HALF_YEAR = 182.5
DAY = 86400
OddHours = Annotated[Real, Unit("s", "h", high=1e13)]  # 2777777777.7777... h


def entry_of(fn: Callable[..., Any]) -> Entry:
    """An equation that is in no catalogue, with the check at its door."""
    hints = get_type_hints(fn, include_extras=True)

    @functools.wraps(fn)
    def call(**given: Any) -> Any:
        return fn(**{p.name: p.unit.check(given.get(p.name, p.default), p.name) for p in params if p.unit})

    params = [Param(p.name, hints[p.name], p.default, p.name) for p in inspect.signature(fn).parameters.values()]
    return Entry(call, fn.__name__, tuple(params), hints["return"], (), "Private")


# ---------------------------------------------------------------- private equations


def minus_squared(*, a: Number, b: Number) -> Number:
    return -(a**2) * b


def squared_minus(*, a: Number, b: Number) -> Number:
    return b - (-a) ** 2 - 3


def tower(*, a: Number) -> Number:
    return 2 ** (a / a) ** 3 + (2**a) ** -1 + 2**-a


def doubled(*, hours: OddHours) -> OddHours:
    return 2 * hours


def quotients(*, a: Count, b: Count, c: Count) -> Number:
    return a / (b / c) + a / b / c + a * (b / c) + a / (b * c)


def differences(*, a: Number, b: Number, c: Number) -> Number:
    return a - (b - c) - (a + b) * -c - -a + (b + c)


def steps(*, a: Number, b: Count) -> Number:
    return np.ceil(a) - np.floor(a) * 2 + np.ceil(a / b) + abs(a) / np.abs(b)


def chosen(*, a: Number, b: Number) -> Number:
    return np.where(a - b >= 1, np.maximum(a, b) * 2, np.where(a != b, np.exp(-np.abs(b) / 1e6), np.log(2)))


def calendar(*, a: Hours, b: Share = 0.25) -> Latency:
    return a * (1 - b) / HALF_YEAR + DAY


def in_seconds(*, a: Number, b: Number) -> Number:
    return (a + b) * DAY


def priced(*, price: HourlyPrice, time: Hours = 86400.0 * 7) -> Number:
    return price * time


def squares(*, a: Bytes, b: Bytes) -> Bytes:
    return np.sqrt(a**2 + b**2) + a


def converts(*, a: Bytes, b: Bytes) -> Bytes:
    return a + np.minimum(a, 5) + 2 * np.maximum(a, np.maximum(b, 0))


def demands(*, a: Length, b: Count) -> Number:
    return 1 + bubble(stages=a, microbatches=b + 1)


# The formula without guards.
PRECEDENCE: dict[Callable[..., Any], str] = {
    minus_squared: "=-(a^2)*b",
    squared_minus: "=b-(-a)^2-3",
    tower: "=2^((a/a)^3)+(2^a)^(-1)+2^(-a)",
    quotients: "=a/(b/c)+a/b/c+a*b/c+a/(b*c)",
    differences: "=a-(b-c)-(a+b)*(-c)-(-a)+(b+c)",
    steps: "=-INT(-a)-INT(a)*2+(-INT(-(a/b)))+ABS(a)/ABS(b)",
    chosen: "=IF(a-b>=1,MAX(a,b)*2,IF(a<>b,EXP(-ABS(b)/1E6),LN(2)))",
    calendar: "=a*(1-b)/182.5*1000*3600+1000*86400",
    in_seconds: "=(a+b)*86400",
    priced: "=price*time",
    squares: "=SQRT((a*1E9)^2+(b*1E9)^2)/1E9+a",
    converts: "=a+MIN(a,5/1E9)+2*MAX(a,MAX(b,0))",
}


@pytest.mark.parametrize("source", PRECEDENCE, ids=lambda f: f.__name__)
def test_precedence_and_units_as_a_reader_sees_them(source: Callable[..., Any]) -> None:
    names = {name: name for name in inspect.signature(source).parameters}
    assert native(entry_of(source), names, guarded=False) == PRECEDENCE[source]


# ---------------------------------------------------------------- one workbook of formulas for both engines


@dataclass
class Batch:
    """A sheet with a formula and the cells that it reads in each row, and what the formula must show."""

    book: openpyxl.Workbook = field(default_factory=openpyxl.Workbook)
    expected: list[tuple[str, Any, float]] = field(default_factory=list)

    def add(self, entry: Entry, face: dict[str, Any], *, literal: bool = False, guarded: bool = True) -> None:
        row = len(self.expected) + 1
        cells = {
            name: str(value) if literal else f"{'BCDEFGHIJK'[i]}{row}" for i, (name, value) in enumerate(face.items())
        }
        formula = native(entry, cells, guarded=guarded)
        self.book.active.append([formula, *([] if literal else face.values())])
        digits = RELATIVE_OF_TWINS if entry in TWINS else RELATIVE
        self.expected.append((f"{entry.name} {face} {formula}", answer(entry, face), digits))

    def save(self, folder: Path) -> Path:
        path = folder / "formulas.xlsx"
        self.book.save(path)
        return path

    def differing(self, shown: list[Any]) -> list[str]:
        pairs = zip(self.expected, shown, strict=True)
        return [f"{what}: {seen!r}, Python {right!r}" for (what, right, d), seen in pairs if not agree(seen, right, d)]


def agree(seen: Any, right: Any, digits: float) -> bool:
    if isinstance(right, str):
        return str(seen) == right
    return isinstance(seen, (int, float)) and math.isclose(seen, right, rel_tol=digits, abs_tol=1e-290)


def answer(entry: Entry, face: dict[str, Any]) -> Any:
    """What Python says, in face units, or #N/A where it refuses."""
    units = {p.name: p.unit for p in entry.params}
    unit = unit_of(entry.returns)
    assert unit is not None
    try:
        base = {n: v if isinstance(v, (str, bool, type(None))) else units[n].from_face(v) for n, v in face.items()}
        return unit.to_face(float(entry.call(**base)))
    except OutOfDomain:
        return "#N/A"
    except ZeroDivisionError:
        return "#DIV/0!"


def legal(unit: Unit, rng: np.random.Generator, *, wide: bool) -> float:
    """A legal number in face units: anywhere in the range, or of everyday size."""
    low, high = float(unit.to_face(unit.low)), float(unit.to_face(unit.high))
    if low < 0:
        return round(float(rng.uniform(low, min(high, -low))), 6)
    least, most = (max(low, 1e-6), min(high, 1e12)) if wide else (max(low, 0.01), min(high, 1000.0))
    value = float(f"{math.exp(rng.uniform(math.log(least), math.log(most))):.9g}")
    return float(round(value)) if unit.whole else min(value, high)


def random_rows(batch: Batch, entry: Entry, count: int) -> None:
    rng = np.random.default_rng(sum(map(ord, entry.name)))
    ways = itertools.product((True, False), ("all", "required", "literal"), (True, False))
    for wide, given, guarded in itertools.islice(itertools.cycle(ways), count):
        params = [p for p in entry.params if given != "required" or p.required]
        face = {p.name: legal(p.unit, rng, wide=wide) for p in params if p.unit}
        batch.add(entry, face, literal=given == "literal", guarded=guarded)


def edge_rows(batch: Batch, entry: Entry) -> None:
    """Each argument in turn below, at and above its limits, and as something that is no number."""
    rng = np.random.default_rng(1)
    usual = {p.name: legal(p.unit, rng, wide=False) for p in entry.params if p.unit}
    for param in entry.params:
        assert param.unit is not None
        for value in edges(param.unit):
            batch.add(entry, usual | {param.name: value})


def edges(unit: Unit) -> list[Any]:
    low, high = (float(f"{unit.to_face(b):.15g}") for b in (unit.low, unit.high))
    near_low = [low - 1e-9, low, low + (1 if unit.whole else 1e-9)] if math.isfinite(low) else [-1e12]
    near_high = [high * 0.999, high, high * (1 + 1e-12)] if math.isfinite(high) else [1e15]
    between = [2.5] if unit.whole else []
    return [*near_low, *near_high, *between, None, "n/a", ""]


@pytest.fixture(scope="module")
def batch() -> Batch:
    made = Batch()
    for entry in EQUATIONS:
        random_rows(made, entry, 36)
        edge_rows(made, entry)
    for source in PRECEDENCE:
        random_rows(made, entry_of(source), 24)
    edge_rows(made, entry_of(demands))
    return made


def test_every_equation_equals_python_in_the_embedded_engine(batch: Batch, tmp_path: Path) -> None:
    result = evaluate(batch.save(tmp_path), NO_FUNCTIONS)
    assert result.missing == {}  # so every form used is on the whitelist
    assert batch.differing([result.values["Sheet", f"A{row}"] for row in range(1, len(batch.expected) + 1)]) == []
    answers = [right for _, right, _ in batch.expected]
    assert 100 < answers.count("#N/A") < len(answers) / 2


@pytest.mark.libreoffice
@pytest.mark.skipif(find_soffice() is None, reason="no LibreOffice here")
def test_every_equation_equals_python_in_libreoffice(batch: Batch, tmp_path: Path) -> None:
    functions = f"{Path(__file__).stem}:NO_FUNCTIONS"
    path = recalculate(batch.save(tmp_path), tmp_path / "out", functions)
    column = openpyxl.load_workbook(path, data_only=True).active["A"]
    assert batch.differing([cell.value for cell in column]) == []


def test_a_boolean_is_no_number_and_an_error_shows_through(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row, value in enumerate((True, "=1/0", "=NA()", 4), 1):
        cells = {"stages": f"B{row}", "microbatches": f"C{row}"}
        book.active.append([native(CATALOGUE["bubble"], cells), value, 3])
    book.save(tmp_path / "cells.xlsx")
    shown = evaluate(tmp_path / "cells.xlsx", NO_FUNCTIONS).values
    assert [str(shown["Sheet", f"A{row}"]) for row in (1, 2, 3, 4)] == ["#N/A", "#DIV/0!", "#N/A", "1.0"]


# ---------------------------------------------------------------- as a person reads it


def test_three_formulas_as_the_sheet_shows_them() -> None:
    cells = ["flops", "traffic", "peak", "bandwidth", "efficiency", "bandwidth_efficiency"]
    assert native(CATALOGUE["roofline_time"], {n: f"B{i}" for i, n in enumerate(cells, 2)}) == (
        "=IF(AND(ISNUMBER(B2),B2>=0,B2<=1E32,ISNUMBER(B3),B3>=0,B3<=1E12,ISNUMBER(B4),B4>0,B4<=1E9,"
        "ISNUMBER(B5),B5>0,B5<=1E10,ISNUMBER(B6),B6>0,B6<=1,ISNUMBER(B7),B7>0,B7<=1),"
        "MAX(B2/(B4*B6)/1E9,B3/(B5*B7)*1000),NA())"
    )
    cells = ["workers", "message", "bandwidth", "latency"]
    assert native(CATALOGUE["allreduce"], {n: n for n in cells}, guarded=False) == (
        "=2*(workers-1)/workers*message/bandwidth*1000+2*(workers-1)*latency/1000"
    )
    sizes = {"layers": "32", "kv_heads": "8", "head_dim": "128", "seq_len": "Inputs!$C$4", "batch": "'My plan'!B2"}
    assert native(CATALOGUE["kv_size"], sizes) == (
        "=IF(AND(ISNUMBER(Inputs!$C$4),Inputs!$C$4>0,Inputs!$C$4<=1E18,"
        "IF(ISNUMBER('My plan'!B2),'My plan'!B2=INT('My plan'!B2)),'My plan'!B2>=1,'My plan'!B2<=1E12),"
        "2*32*8*128*Inputs!$C$4*'My plan'!B2*2/1E9,NA())"
    )


def test_a_sub_equation_stands_in_place_of_its_call_and_keeps_its_demands() -> None:
    assert native(CATALOGUE["chinchilla_tokens"], {"budget": "B2", "tokens_per_param": "B3"}, guarded=False) == (
        "=B3*SQRT(B2/(6*B3))"
    )
    assert native(entry_of(demands), {"a": "A1", "b": "B1"}) == (
        "=IF(AND(IF(ISNUMBER(A1),A1=INT(A1)),A1>=0,A1<=1E12,IF(ISNUMBER(B1),B1=INT(B1)),B1>=1,B1<=1E12),"
        "IF(AND(A1>=1,A1<=1E12,A1=INT(A1),B1+1>=1,B1+1<=1E12,B1+1=INT(B1+1)),1+(A1-1)/(B1+1),NA()),NA())"
    )


def test_a_row_of_a_table_is_one_cell() -> None:
    cells = {"stages": "Options[@pp]", "microbatches": "Options[[#This Row],[micro batches]]"}
    assert native(CATALOGUE["bubble"], cells, guarded=False) == (
        "=(Options[@pp]-1)/Options[[#This Row],[micro batches]]"
    )


def test_a_default_is_written_in_the_unit_that_people_use() -> None:
    assert native(entry_of(priced), {"price": "B2"}, guarded=False) == "=B2*168"


def test_a_limit_with_more_digits_than_excel_keeps_lies_inside() -> None:
    formula = native(entry_of(doubled), {"hours": "B2"})
    assert formula == "=IF(AND(ISNUMBER(B2),B2>=0,B2<=2777777777.77777),2*B2,NA())"


# ---------------------------------------------------------------- what is refused


def words(*, a: str) -> Number:
    return 1.0


def unfixed(*, a: Number | None = None) -> Number:
    return 1.0


def no_quantity(*, a: Number) -> str:
    return "a"


@pytest.mark.parametrize(
    ("source", "why"),
    [(words, "a is not a quantity"), (unfixed, "a has no fixed default"), (no_quantity, "not answer with a quantity")],
)
def test_what_is_no_equation_of_numbers_is_refused(source: Callable[..., Any], why: str) -> None:
    with pytest.raises(NoNativeForm, match=why):
        native(entry_of(source), {} if source is unfixed else {"a": "A1"})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return a if a else 1", "'a if a else 1' has no Excel form"),
        ("b = a + 1; return b", "not one return expression"),
        ("return np.arctan(a)", "'np.arctan(a)' has no Excel form"),
        ("return np.where(0 < a < 1, a, 1)", "'np.where(0 < a < 1, a, 1)' has no Excel form"),
        ("return a * (a > 1)", "'a > 1' has no Excel form"),
        ("return a % 2", "'a % 2' has no Excel form"),
        ("return a * THIRD", "keeps 15 digits"),
        ("return a * missing", "'missing' has no Excel form"),
        ("return float(round(a, ndigits=1))", "'float(round(a, ndigits=1))' has no Excel form"),
        ("return a * np.pi", "'np.pi' has no Excel form"),
        ("return a * True", "'True' has no Excel form"),
        ("return a.sum()", "'a.sum()' has no Excel form"),
        ("return np.maximum(a, 1, 2)", "'np.maximum(a, 1, 2)' has no Excel form"),
        ("return chinchilla_params(budget=a, tokens=a)", "other parameters than it has"),
        ("return chinchilla_params(**a)", "not a call of a catalogued equation by keyword"),
    ],
)
def test_what_has_no_certain_form_is_refused_by_name(body: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "source.py").write_text(f"def refused(*, a: Number) -> Number:\n    {body}\n")
    made = {"Number": Number, "np": np, "THIRD": 1 / 3, "chinchilla_params": chinchilla_params}
    exec(compile((tmp_path / "source.py").read_text(), tmp_path / "source.py", "exec"), made)
    with pytest.raises(NoNativeForm, match=re.escape(why)):
        native(entry_of(made["refused"]), {"a": "A1"})


def test_a_source_that_cannot_be_read_is_refused() -> None:
    made: dict[str, Any] = {"Number": Number}
    exec("def built(*, a: Number) -> Number:\n    return a\n", made)
    with pytest.raises(NoNativeForm, match="source of built cannot be read"):
        expression(entry_of(made["built"]))


def test_a_solver_has_no_native_form() -> None:
    solvers = [e for e in CATALOGUE.values() if e not in EQUATIONS]
    assert solvers
    for entry in solvers:
        with pytest.raises(NoNativeForm, match=entry.name):
            native(entry, {p.name: "A1" for p in entry.params})


@pytest.mark.parametrize(
    "cell", ["", "A1:A3", "A1+1", '"80"', "TRUE", "=A1", "tbl[price]", "A1 ", "1,5", "{1,2}", "#N/A", "SUM(A1)"]
)
def test_a_parameter_is_bound_to_one_cell_or_a_number(cell: str) -> None:
    with pytest.raises(WrongArguments, match="peak must be bound to one cell"):
        native(CATALOGUE["ridge_point"], {"peak": cell, "bandwidth": "B2"})


def test_wrong_parameters_and_numbers_are_refused() -> None:
    with pytest.raises(WrongArguments, match="bandwidth is missing"):
        native(CATALOGUE["ridge_point"], {"peak": "B1"})
    with pytest.raises(WrongArguments, match="no parameter speed"):
        native(CATALOGUE["ridge_point"], {"peak": "B1", "bandwidth": "B2", "speed": "B3"})
    with pytest.raises(OutOfDomain, match="peak must be"):
        native(CATALOGUE["ridge_point"], {"peak": "989E12", "bandwidth": "B2"})
    with pytest.raises(NoNativeForm, match="keeps 15 digits"):
        native(CATALOGUE["ridge_point"], {"peak": "0.30000000000000004", "bandwidth": "B2"})


@by_name
def test_the_expression_is_the_functions_return(entry: Entry) -> None:
    assert ast.unparse(expression(entry)) in ast.unparse(ast.parse(inspect.getsource(inspect.unwrap(entry.call))))
