"""The Excel functions: as plain callables, and through xlwings' real code for classic Excel and for Office.js.

`CALLS` is answered in all three ways; what may differ between them is written down in `as_classic` and `as_office_js`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import json
import keyword
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xlwings as xw

import mlsysim
from udfs import FUNCTIONS, mls

REFUSED = "#MLS! "
NA = {"error": "#N/A"}
MISSING = {"missing": True}
CHILD = Path(__file__).with_name("excel_child.py")

# The reserved identifiers of VBA (MS-VBAL 3.3.5.2), and the names that xlwings' wrapper itself uses.
VBA_RESERVED = """
    abs addressof and any array as attribute boolean byref byte byval call case cbool cbyte ccur cdate cdbl cdec cdecl
    cint circle clng clnglng clngptr close const csng cstr currency cvar cverr date debug decimal declare defbool
    defbyte defcur defdate defdbl defdec defint deflng deflnglng deflngptr defobj defsng defstr defvar dim do doevents
    double each else elseif empty end endif enum eqv erase event exit false fix for friend function get global gosub
    goto if imp implements in input inputb int integer is lbound len lenb let like linput lock long longlong longptr
    loop lset me mod name new next not nothing null object on open option optional or paramarray preserve print private
    property pset public put raiseevent redim rem resume return rset scale seek select set sgn shared single spc static
    step stop string sub tab then to true type typeof ubound unlock until variant wend while with withevents write xor
    app application argsarray caller err failed k thisworkbook activeworkbook xlpy
"""
WIZARD_NAMES = 254  # the function wizard's room for the names of the arguments and their separators
WIZARD_TEXT = 255
VBA_ARGUMENTS = 60

KV = [32, 8, 128]
CALLS: list[tuple[str, list[Any]]] = [
    ("MLS_KV_SIZE", [*KV, 4096, MISSING, MISSING]),
    ("MLS_KV_SIZE", [*KV, 4096, 32, 1]),
    ("MLS_KV_SIZE", [*KV, 4096, None, None]),
    ("MLS_KV_SIZE", [*KV, 4096, "", "  "]),
    ("MLS_KV_SIZE", [*KV, [[1024], [2048], [4096]], [[1, 2]], MISSING]),
    ("MLS_KV_SIZE", [*KV, [[1024, 2048, 4096]], MISSING, MISSING]),
    ("MLS_KV_SIZE", [*KV, [[4096], ["many"], [None], [True], [NA], [0], [-1]], MISSING, MISSING]),
    ("MLS_KV_SIZE", [*KV, [[1, 2, 3]], [[1, 2]], MISSING]),
    ("MLS_KV_SIZE", [*KV, [[4096]], MISSING, MISSING]),
    ("MLS_KV_SIZE", [*KV, 0, MISSING, MISSING]),
    ("MLS_KV_SIZE", [*KV, None, MISSING, MISSING]),
    ("MLS_KV_SIZE", [*KV, "4096", MISSING, MISSING]),
    ("MLS_KV_SIZE", [*KV, True, MISSING, MISSING]),
    ("MLS_KV_SIZE", [NA, 8, 128, 4096, MISSING, MISSING]),
    ("MLS_ALLREDUCE", [8, "1 GB", "400 Gb/s", MISSING]),
    ("MLS_ALLREDUCE", [8, 1, "3,350 GB/s", MISSING]),
    ("MLS_IRONLAW", [1e24, 1024, 989, 40, MISSING, MISSING]),
    ("MLS_CONVERT", [1, "GiB", [["GB", "kWh", "GBB"]]]),
    ("MLS_VERSION", []),
    ("MLS_METRICS", ["MLS_SERVING"]),
    ("MLS_METRICS", ["MLS_SERVNG"]),
    ("MLS_GET", ["hardware", [["H100"], ["H10O"]], [["memory", "bandwidth", "title"]]]),
    ("MLS_GET", ["hardware", "H10O", "memory"]),
    ("MLS_LIST", ["hardware", "h100"]),
    ("MLS_SOURCE", ["hardware", "H100", "memory", "url"]),
    ("MLS_KVCACHE", ["Llama3_8B", [[4096]], 32, MISSING]),
    ("MLS_ROOFLINE", ["Llama3_8B", "H100", "all", *[MISSING] * 5]),
    ("MLS_ROOFLINE", ["Llama3_8B", [["H100"], ["A100"], ["none"]], [["latency", "bottleneck", "feasible"]], MISSING,
                      "fp8", MISSING, MISSING, MISSING]),
    ("MLS_ROOFLINE", ["Llama3_8B", "H100", "latncy", *[MISSING] * 5]),
    ("MLS_SERVING", ["Llama3_70B", "H100", 4096, *[MISSING] * 6]),
    ("MLS_SERVING", ["Llama3_70B", "H100", 4096, [["itl", "shortfall"]], *[MISSING] * 4, "kv_precision = fp8"]),
]  # fmt: skip


# ------------------------------------------------------------------ what all runtimes share


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature_suits_python_vba_and_the_wizard(name: str) -> None:
    published, function = FUNCTIONS[name], getattr(mls, name)
    names = [a.name for a in published.parameters]
    signature = inspect.signature(function)
    assert (function.__name__, function.__module__, function.__doc__) == (name, "udfs.mls", published.summary)
    assert list(signature.parameters) == names
    optional = [p.name for p in signature.parameters.values() if p.default is None]
    assert optional == [a.name for a in published.parameters if a.optional]
    assert len(names) <= VBA_ARGUMENTS
    assert sum(map(len, names)) + len(names) <= WIZARD_NAMES
    assert not set(VBA_RESERVED.split()).intersection(names)
    assert not [n for n in names if keyword.iskeyword(n) or not re.fullmatch(r"[a-z][a-z0-9_]*", n)]
    assert all(0 < len(text) <= WIZARD_TEXT for text in (published.summary, *(a.help for a in published.parameters)))


def test_module_offers_the_functions_and_nothing_else() -> None:
    assert mls.__all__ == list(FUNCTIONS)
    assert [n for n in dir(mls) if n.startswith("MLS_")] == sorted(FUNCTIONS)
    assert {f"MLS_{name.upper()}" for name in mlsysim.CATALOGUE} <= FUNCTIONS.keys()


def test_importing_here_leaves_the_import_system_alone() -> None:
    assert not mls.OFFICE_JS
    assert "pyodide" not in sys.modules


# ------------------------------------------------------------------ plain Python


def kv(*seq_len_and_more: Any) -> Any:
    return mls.MLS_KV_SIZE(*KV, *seq_len_and_more)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ((), "MLS_KV_SIZE: seq_len is empty"),
        ((None,), "MLS_KV_SIZE: seq_len is empty"),
        (("  ",), "MLS_KV_SIZE: seq_len is empty"),
        ((0,), "seq_len must be a number above 0"),
        ((4096, 0), "batch must be a whole number from 1"),
        ((4096, 1.5), "batch must be a whole number from 1"),
        ((-1,), "seq_len must be a number above 0"),
        ((math.nan,), "seq_len must be a number above 0.*NaN"),
        ((math.inf,), "seq_len must be a number above 0.*inf"),
        ((True,), "seq_len must be a number, got TRUE"),
        (("many",), "seq_len: 'many' is no number"),
        (("4096",), "seq_len holds the text '4096'"),
        (("4,096",), "seq_len: '4,096' has a comma; write 4096; the decimal sign is a point"),
        (("#N/A",), "seq_len holds the error #N/A"),
        (({"type": "Error", "basicValue": "#REF!"},), "seq_len holds the error #REF!"),
        ((-2146826246,), "seq_len holds the error"),
        (("#MLS! no such model",), "seq_len holds the error"),
        (([[1, 2, 3]], [[1, 2]]), "equal sizes, or be a row and a column, got seq_len 1 x 3; batch 1 x 2"),
        ((1, 2, 3, 4), "MLS_KV_SIZE takes at most 6 arguments, got 7; .* write 4096 and not 4,096"),
    ],
)
def test_bad_cells_are_refused_by_name(cells: tuple[Any, ...], words: str) -> None:
    answer = kv(*cells)
    assert isinstance(answer, str)
    assert answer.startswith(REFUSED)
    assert re.search(words, answer), answer


@pytest.mark.parametrize("blank", [None, "", "   "])
def test_blank_is_the_default(blank: Any) -> None:
    assert kv(4096, blank, blank) == kv(4096) == 2 * 32 * 8 * 128 * 4096 * 2 / 1e9


def test_arguments_by_name() -> None:
    assert mls.MLS_KV_SIZE(32, 8, 128, bytes_per_value=1, seq_len=4096) == kv(4096) / 2
    with pytest.raises(TypeError):
        mls.MLS_KV_SIZE(32, 8, 128, sequence=4096)


@pytest.mark.parametrize(
    ("name", "cells", "words"),
    [
        ("MLS_GET", ("hardware", "H10O", "memory"), "hardware has no 'H10O'; did you mean H100"),
        ("MLS_GET", ("hardwear", "H100", "memory"), "no registry called 'hardwear'"),
        ("MLS_GET", ("hardware", "H100", "memry"), "no field 'memry'; did you mean memory"),
        ("MLS_GET", ("hardware", 100, "memory"), "key must be text, got 100"),
        ("MLS_CONVERT", (True, "GiB", "GB"), "value must be a number"),
        ("MLS_CONVERT", (1, "GiB", "kWh"), "GiB and kWh measure different things"),
        ("MLS_LIST", ("hardware", "nothing like this"), "no row of hardware contains"),
        ("MLS_METRICS", ("MLS_SERVNG",), "did you mean MLS_SERVING"),
        ("MLS_ROOFLINE", ("Llama3_8B", "H100", "latncy"), "no metric 'latncy'; did you mean latency"),
        ("MLS_ROOFLINE", ("Llama3_8B", "H100", 1), "no metric"),
        ("MLS_ROOFLINE", ("Llama3_8B", "A100", None, None, "fp8"), "A100 has no fp8 rate"),
        ("MLS_ROOFLINE", ("Llama3_8B", "H100", None, None, None, None, "yes"), "training must be TRUE or FALSE"),
        ("MLS_ROOFLINE", ("Llama3_8B", "H100", *[None] * 5, "seqlen = 1"), "did you mean seq_len\\? it has seq_len"),
        ("MLS_SERVING", ("Llama3_70B", "H100", 4096), r"needs 142\.4 GB, usable 81\.24 GB \(1\.75 times the memory"),
        ("MLS_SERVING", ("Llama3_70B", "H100", 4096), "^#MLS! does not fit: needs .*; raise tp"),
        ("MLS_SERVING", ("Llama3_8B", "X; base = H100; price = 30,000 USD", 4096), "write 30000 USD;"),
        ("MLS_SERVING", ("Llama3_8B", "H1000", 4096, "all"), "hardware has no 'H1000'; did you mean H100"),
        ("MLS_SERVING", ("Llama3_8B", "H100", "many", "all"), "seq_len: 'many' is no number"),
        ("MLS_TCO", ("Nobodys",), "fleets has no 'Nobodys'; .* a spec text such as 'Mine; node = DGX_H100; nodes = "),
        ("MLS_SERVING", ("Llama3_70B", "#N/A", 4096), "hardware holds the error #N/A"),
        ("MLS_SERVING", (None, "H100", 4096), "model is empty"),
        ("MLS_KVCACHE", ("Llama3_8B", 4, 96, 32, 2, 1), "at most 5 arguments, got 6; .* write 4096 and not 4,096$"),
        ("MLS_KVCACHE", ("Llama3_8B", 4096, 32, "fp16", "", 2), "takes at most 5 arguments, got 6$"),
    ],
)
def test_bad_words_are_refused_by_name(name: str, cells: tuple[Any, ...], words: str) -> None:
    answer = getattr(mls, name)(*cells)
    assert isinstance(answer, str)
    assert answer.startswith(REFUSED)
    assert re.search(words, answer), answer


def test_a_column_by_a_row_is_a_grid_of_the_single_answers() -> None:
    lengths, batches = [1024, 2048, 4096], [1, 8]
    grid = kv([[n] for n in lengths], [batches])
    assert grid == [[kv(n, b) for b in batches] for n in lengths]
    assert kv(tuple((n,) for n in lengths)) == [[kv(n)] for n in lengths]
    assert kv(lengths) == [[kv(n) for n in lengths]]
    assert kv([[4096]]) == kv(4096)


def test_in_a_block_only_the_failing_elements_fail() -> None:
    answers = kv([[4096], ["many"], [None], [math.nan], ["#N/A"], [4096]])
    assert [row[0] if isinstance(row[0], float) else "refused" for row in answers] == [
        kv(4096), *["refused"] * 4, kv(4096),
    ]  # fmt: skip
    assert all(row[0].startswith(REFUSED) for row in answers[1:5])


def test_a_metric_of_bytes_survives_what_does_not_fit() -> None:
    [[itl, shortfall, feasible]] = mls.MLS_SERVING("Llama3_70B", "H100", 4096, [["itl", "shortfall", "feasible"]])
    assert itl.startswith(f"{REFUSED}does not fit")
    assert shortfall > 0
    assert feasible is False


def test_all_metrics_keep_what_is_true_of_a_plan_that_does_not_fit() -> None:
    rows = {row[0]: row[1:] for row in mls.MLS_SERVING("Llama3_70B", "H100", 4096, "all")}
    assert rows["itl"][0].startswith(f"{REFUSED}does not fit")
    assert rows["feasible"] == [False, ""]
    assert rows["shortfall"][0] > 0


@pytest.mark.parametrize(("name", "arguments"), CALLS)
def test_answers_are_cells_in_rectangles(name: str, arguments: list[Any]) -> None:
    answer = plain_answer(name, arguments)
    rows = answer if isinstance(answer, list) else [[answer]]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert {type(cell) for row in rows for cell in row} <= {float, str, bool}
    assert all(math.isfinite(cell) for row in rows for cell in row if type(cell) is float)


def test_cells_may_be_numpy_values() -> None:
    assert kv(np.float64(4096), np.int64(2)) == kv(4096, 2)
    assert kv(np.bool_(True)).startswith(REFUSED)
    assert kv(dt.date(2026, 1, 31)) == kv(dt.datetime(2026, 1, 31)) == kv(46053)  # Excel's serial number, as elsewhere


# ------------------------------------------------------------------ the three runtimes


def plain_answer(name: str, arguments: list[Any]) -> Any:
    """The answer in this process, for arguments in the form of `excel_child`."""

    def cell(value: Any) -> Any:
        return value["error"] if isinstance(value, dict) else value

    given: list[Any] = []
    for argument in arguments:
        if isinstance(argument, list):
            given.append([[cell(c) for c in row] for row in argument])
        else:
            given.append(None if argument == MISSING else cell(argument))
    return getattr(mls, name)(*given)


def as_classic(answer: Any) -> Any:
    """What classic Excel gets instead: a block of one row arrives flat."""
    if isinstance(answer, list) and len(answer) == 1:
        return answer[0]
    return answer


def as_office_js(answer: Any) -> dict[str, Any]:
    """What Office.js gets instead: always rows; refusals as exceptions or, in a block, as #N/A."""
    if not isinstance(answer, list):
        if isinstance(answer, str) and answer.startswith(REFUSED):
            return {"refused": answer.removeprefix(REFUSED)}
        return {"answer": [[answer]]}
    na = {"type": "Error", "errorType": "NotAvailable"}
    return {"answer": [[na if isinstance(c, str) and c.startswith(REFUSED) else c for c in row] for row in answer]}


def error_names_aside(value: Any) -> Any:
    """Classic Excel hands over a number for an error value, such as -2146826246 for #N/A."""
    return json.loads(re.sub(r"holds the error [^\"]*", "holds the error", json.dumps(value)))


def child(runtime: str, calls: list[tuple[str, list[Any]]], **environment: str) -> dict[str, Any]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("XLWINGS_")}
    done = subprocess.run(
        [sys.executable, str(CHILD), runtime], input=json.dumps({"calls": calls}), text=True, capture_output=True,
        env=clean | environment, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


PRICE = ("MLS_RESIDUAL", [{"currency": "30000.00"}, 1, MISSING])
DATE = ("MLS_KV_SIZE", [*KV, {"date": "2026-01-31"}, MISSING, MISSING])


@pytest.fixture(scope="module")
def classic() -> dict[str, Any]:
    return child("classic", [*CALLS, PRICE, DATE])


@pytest.fixture(scope="module")
def office_js() -> dict[str, Any]:
    # The licence key that xlwings grants to projects like this one; only this child gets it.
    return child("officejs", [*CALLS, PRICE, DATE], XLWINGS_ON_SERVER="true", XLWINGS_LICENSE_KEY="noncommercial")


def test_help_leads_to_the_anchors_of_the_readme(office_js: dict[str, Any]) -> None:
    """Where an organisation publishes the README; without its address there is no link."""
    assert not any(f.get("helpUrl") for f in office_js["meta"]["functions"])
    page = "https://example.com/README.html"
    env = {"XLWINGS_ON_SERVER": "true", "XLWINGS_LICENSE_KEY": "noncommercial", "MLS_HELP_URL": page}
    linked = {f["helpUrl"] for f in child("officejs", [], **env)["meta"]["functions"]}
    anchors = re.findall(r'<a id="(\w+)"></a>', (CHILD.parents[1] / "README.md").read_text())
    assert linked == {f"{page}#{anchor}" for anchor in anchors} == {f"{page}#{n.lower()}" for n in FUNCTIONS}


@pytest.mark.parametrize("way", ["references", "values"])
def test_classic_answers_alike(classic: dict[str, Any], way: str) -> None:
    for (name, arguments), got in zip(CALLS, classic[way], strict=False):
        expected = {"answer": as_classic(plain_answer(name, arguments))}
        assert error_names_aside(got) == error_names_aside(expected), (name, arguments)


def test_office_js_answers_alike(office_js: dict[str, Any]) -> None:
    for (name, arguments), got in zip(CALLS, office_js["answers"], strict=False):
        assert got == as_office_js(plain_answer(name, arguments)), (name, arguments)


def test_currency_cells_are_numbers(classic: dict[str, Any], office_js: dict[str, Any]) -> None:
    number = mls.MLS_RESIDUAL(30000, 1)
    assert office_js["answers"][-2] == {"answer": [[number]]}
    assert classic["references"][-2] == classic["values"][-2] == {"answer": number}


def test_dates_are_serial_numbers_everywhere(classic: dict[str, Any], office_js: dict[str, Any]) -> None:
    assert classic["references"][-1] == {"answer": kv(46053)}
    assert office_js["answers"][-1] == {"answer": [[kv(46053)]]}


def test_vba_wrapper(classic: dict[str, Any]) -> None:
    lines = classic["vba"].splitlines()
    declared = dict(re.fullmatch(r"Function (\w+)\((.*)\)", line).groups() for line in lines if line[:9] == "Function ")
    assert declared == {
        name: ", ".join(("Optional " if a.optional else "") + a.name for a in published.parameters)
        for name, published in FUNCTIONS.items()
    }
    assert max(map(len, lines)) < 1024  # VBA's longest line
    assert lines.count("End Function") == len(FUNCTIONS)


def test_classic_wizard(classic: dict[str, Any]) -> None:
    assert classic["wizard"].keys() == FUNCTIONS.keys()
    for name, published in FUNCTIONS.items():
        shown = classic["wizard"][name]
        assert shown["Category"] == f"MLSYSIM {published.group}"
        assert shown["Description"] == published.summary
        assert shown["ArgumentDescriptions"] == ([a.help for a in published.parameters] or None)


def test_office_js_metadata(office_js: dict[str, Any]) -> None:
    functions = {f["id"]: f for f in office_js["meta"]["functions"]}
    assert functions.keys() == FUNCTIONS.keys()
    for name, published in FUNCTIONS.items():
        meta = functions[name]
        assert meta["name"] == name
        assert meta["description"] == published.summary
        assert meta["result"] == {"dimensionality": "matrix", "type": "any"}
        assert "volatile" not in meta["options"]
        expected = [{"name": a.name, "description": a.help, "dimensionality": "matrix", "type": "any"}
                    | ({"optional": True} if a.optional else {}) for a in published.parameters]  # fmt: skip
        assert meta["parameters"] == expected


def test_office_js_is_spared_the_search_for_pyodide(office_js: dict[str, Any]) -> None:
    assert office_js["skipped"] == ["pyodide", "pyodide.ffi"]


def test_office_js_refuses_with_the_exception_that_excel_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mls, "OFFICE_JS", True)
    with pytest.raises(xw.XlwingsError, match=r"^MLS_KV_SIZE: seq_len is empty"):
        kv(None)
    [[size]] = kv(4096)
    assert kv([[4096], [None]]) == [[size], [mls.NOT_AVAILABLE]]


def test_our_own_bugs_are_not_hidden() -> None:
    broken = dataclasses.replace(FUNCTIONS["MLS_VERSION"], run=lambda _: {}["missing"])
    with pytest.raises(KeyError):
        mls._excel_function(broken)()
