"""The functions as Excel meets them: one real Python function for each entry of `udfs.FUNCTIONS`.

Excel imports this module: in classic Windows Excel through the xlwings ribbon (UDF Modules = ``udfs.mls``), in
xlwings Lite and Server through ``from udfs.mls import *``. Anywhere else xlwings' decorators do nothing, and the
functions are plain callables over cell values. Only the way to say no differs:

====================================  ==============================  ==============================
where                                 the whole call is refused       one element of a block fails
====================================  ==============================  ==============================
classic Excel, plain Python           the text ``#MLS! sentence``     the text ``#MLS! sentence``
Office.js (xlwings Lite and Server)   #VALUE!, the sentence as hover  #N/A
====================================  ==============================  ==============================
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import xlwings as xw

from udfs import FUNCTIONS, Published
from udfs.cells import REFUSED, Block, Cell

HELP = os.environ.get("MLS_HELP_URL", "")  # where an organisation publishes the README: its anchors are the functions
OFFICE_JS = xw.func.__module__.startswith("xlwings.pro.")
CLASSIC = xw.func.__module__ == "xlwings.udfs"
NOT_AVAILABLE = {"type": "Error", "errorType": "NotAvailable"}  # #N/A, as xlwings writes it
_PLAIN = {float, bool}


def _excel_function(published: Published) -> Callable[..., Cell | Block]:
    """A function with the arguments of `published`, registered with the runtime that is there."""
    arguments = published.parameters
    signature = inspect.Signature(
        [
            inspect.Parameter(
                a.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None if a.optional else inspect.Parameter.empty
            )
            for a in arguments
        ]
    )

    def function(*cells: Any, **named: Any) -> Cell | Block:
        if named:
            given = signature.bind_partial(*cells, **named).arguments
            cells = tuple(given.get(a.name) for a in arguments)
        answer = published(*cells)
        return _in_office_js(answer) if OFFICE_JS else _in_classic(answer)

    function.__name__ = function.__qualname__ = published.name
    function.__doc__ = published.summary
    function.__annotations__ = {}  # xlwings would look for converters of these types
    function.__signature__ = signature  # type: ignore[attr-defined]
    # Arguments and answers stay raw: the stock converters drop error values and cost time for every cell.
    for argument in arguments:
        function = xw.arg(argument.name, "raw", doc=argument.help)(function)
    function = xw.ret("raw")(function)
    # Each runtime picks the keywords that it knows. xw.func must come last: classic xw.arg resets the category.
    keywords: dict[str, Any] = {"category": f"MLSYSIM {published.group}", "call_in_wizard": True, "volatile": False}
    if HELP:
        keywords["help_url"] = f"{HELP}#{published.name.lower()}"
    registered: Callable[..., Cell | Block] = xw.func(**keywords)(function)
    return registered


def _in_classic(answer: Cell | Block) -> Cell | Block:
    """The answer as rows: classic xlwings hands over nothing else."""
    return answer if isinstance(answer, list) or not CLASSIC else [[answer]]


def _in_office_js(answer: Cell | Block) -> Any:
    """The answer as rows, its refusals as Office.js shows them."""
    if isinstance(answer, list):
        if all(set(map(type, row)) <= _PLAIN for row in answer):  # no words, so no refusals
            return answer
        return [[NOT_AVAILABLE if _is_refusal(cell) else cell for cell in row] for row in answer]
    if _is_refusal(answer):
        raise xw.XlwingsError(str(answer).removeprefix(REFUSED))
    return [[answer]]


def _is_refusal(cell: Cell) -> bool:
    return isinstance(cell, str) and cell.startswith(REFUSED)


def _skip_search_for_pyodide() -> None:
    """Spare xlwings 0.37 a failing search through the import path for every argument of every call."""
    if sys.platform != "emscripten" and importlib.util.find_spec("pyodide") is None:
        for module in ("pyodide", "pyodide.ffi"):
            sys.modules.setdefault(module, None)  # type: ignore[arg-type]


if OFFICE_JS:
    _skip_search_for_pyodide()

# A dict, not a loop over names: xlwings would also register the last value of a loop variable.
_functions = {name: _excel_function(published) for name, published in FUNCTIONS.items()}
globals().update(_functions)
__all__ = list(_functions)
