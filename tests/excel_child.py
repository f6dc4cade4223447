"""The functions in one of Excel's runtimes, in a process of its own: a job as JSON in, the outcome as JSON out.

    python tests/excel_child.py classic|officejs < {"calls": [[name, [argument, ...]], ...]}

An argument is a cell or a list of rows. A cell is a number, text, boolean, null (empty), or one of
{"error": "#N/A"}, {"date": "2026-01-31"}, {"currency": "30000.00"}; a whole argument may be {"missing": true}.
A call's outcome is {"answer": ...} as the runtime hands it to Excel, or {"refused": sentence}.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

COM_ERRORS = {"#DIV/0!": -2146826281, "#N/A": -2146826246, "#NUM!": -2146826252, "#VALUE!": -2146826273}
EPOCH = dt.date(1899, 12, 30)


def main() -> None:
    """Do one job."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    job = json.load(sys.stdin)
    outcome = {"classic": classic, "officejs": office_js}[sys.argv[1]](job["calls"])
    json.dump(outcome, sys.stdout, allow_nan=False)


# ------------------------------------------------------------------ classic Windows Excel


def classic(calls: list[list[Any]]) -> dict[str, Any]:
    """Import the functions into a workbook as the ribbon does, then answer calls through the COM server."""
    import pywin32_stub as stub

    stub.install()
    from xlwings.com_server import XLPython
    from xlwings.udfs import import_udfs

    workbook = stub.Workbook()
    with contextlib.redirect_stdout(sys.stderr):  # it says that it is done
        import_udfs("udfs.mls", workbook)
    caller, server = stub.Cells(None), XLPython()

    def com_cell(cell: Any) -> Any:
        if not isinstance(cell, dict):
            return float(cell) if type(cell) is int else cell
        if "error" in cell:
            return COM_ERRORS[cell["error"]]
        if "date" in cell:
            return stub.ComTime.fromisoformat(cell["date"])
        return decimal.Decimal(cell["currency"])

    def com_value(argument: Any) -> Any:
        if isinstance(argument, list):
            return tuple(tuple(com_cell(c) for c in row) for row in argument)
        return com_cell(argument)

    def answer(name: str, arguments: list[Any], by_reference: bool) -> Any:
        given = []
        for argument in arguments:
            if isinstance(argument, dict) and "missing" in argument:
                given.append(stub.MISSING)
            else:
                given.append(stub.Cells(com_value(argument)) if by_reference else com_value(argument))
        return _checked(server.CallUDF("udfs.mls", name, given, workbook, caller))

    return {
        "vba": workbook.VBProject.VBComponents.text,
        "wizard": workbook.wizard,
        "references": [{"answer": answer(n, a, True)} for n, a in calls],
        "values": [{"answer": answer(n, a, False)} for n, a in calls],
    }


# ------------------------------------------------------------------ xlwings Lite and Server


def office_js(calls: list[list[Any]]) -> dict[str, Any]:
    """Answer calls as xlwings Lite and Server do."""
    import xlwings as xw
    from xlwings.server import custom_functions_call, custom_functions_meta

    import udfs.mls

    def entity(cell: Any) -> Any:
        if not isinstance(cell, dict):
            return cell
        if "error" in cell:
            return {"type": "Error", "basicType": "Error", "basicValue": cell["error"], "errorType": "Any"}
        number = (dt.date.fromisoformat(cell["date"]) - EPOCH).days if "date" in cell else float(cell["currency"])
        return {"type": "FormattedNumber", "basicValue": number, "numberFormat": "General"}

    def matrix(argument: Any) -> Any:
        if isinstance(argument, dict) and "missing" in argument:
            return None
        rows = argument if isinstance(argument, list) else [[argument]]
        return [[entity(cell) for cell in row] for row in rows]

    def answer(name: str, arguments: list[Any]) -> dict[str, Any]:
        data = {
            "client": "Office.js", "func_name": name, "args": [matrix(a) for a in arguments], "runtime": "1.4",
            "caller_address": "[Book1.xlsx]Sheet1!B2", "session_id": "s", "version": xw.__version__,
            "culture_info_name": "en-US", "date_format": "m/d/yyyy",
        }  # fmt: skip
        try:
            return {"answer": _checked(_result(custom_functions_call(data, udfs.mls)))}
        except xw.XlwingsError as error:
            return {"refused": str(error)}

    skipped = [name for name in ("pyodide", "pyodide.ffi") if sys.modules.get(name, 0) is None]
    return {"meta": custom_functions_meta(udfs.mls), "answers": [answer(*c) for c in calls], "skipped": skipped}


def _result(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that never waits; in Pyodide there is no second event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("it waits for something")


def _checked(answer: Any) -> Any:
    """The answer, if every leaf is of a type that both COM and JSON know: no numpy, no None."""
    rows = answer if isinstance(answer, list) else [answer]
    for row in rows:
        for leaf in row if isinstance(row, list) else [row]:
            if type(leaf) not in (float, str, bool) and not (type(leaf) is dict and leaf["type"] == "Error"):
                raise TypeError(f"{leaf!r} in an answer")
    return answer


if __name__ == "__main__":
    main()
