"""The embedded engine with our functions in it, and values on their way in and out.

Our functions get plain values: an error cell as an `ErrorValue`, a blank or left-out one as None.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import formualizer

from workbook import semantics
from workbook.cells import Cell, ErrorValue

Functions = Mapping[str, Callable[..., Any]]


def empty_book(rules: semantics.Rules, functions: Functions, bugs: list[BaseException]) -> formualizer.Workbook:
    """A workbook of the engine without cells.

    Parameters
    ----------
    rules : Rules
        Excel's rules, which its formulas call.
    functions : mapping of str to callable
        Our functions by Excel name.
    bugs : list of BaseException
        Takes what a function of ours raises while the workbook is computed.

    Returns
    -------
    formualizer.Workbook
        With the one sheet that holds the blank cell.
    """
    alone = formualizer.EvaluationConfig()
    alone.enable_parallel = False  # our functions hold Python's lock: threads would only wait for each other
    # This mode keeps formulas until all are there; the other looks for the readers of each new cell at once.
    mode = formualizer.WorkbookMode.Interactive
    settings = formualizer.WorkbookConfig(mode=mode, eval_config=alone, enable_changelog=False)
    book = formualizer.Workbook(config=settings)
    book.set_temporal_egress("serial")
    book.add_sheet(semantics.BLANK_SHEET)
    for name, rule in rules.functions().items():
        book.register_function(name, rule)
    for name, function in functions.items():
        book.register_function(name.upper(), _adapted(name.upper(), function, bugs))
    return book


def to_engine(value: Cell) -> Any:
    """A cell's value as the engine takes it."""
    if isinstance(value, ErrorValue):
        return semantics.engine_error(value if semantics.is_error_text(value) else "#VALUE!")
    return value


def _adapted(name: str, function: Callable[..., Any], bugs: list[BaseException]) -> Callable[..., Any]:
    """Our function as the engine calls it."""
    signature = inspect.signature(function)

    def call(*arguments: Any) -> Any:
        try:
            signature.bind(*arguments)
        except TypeError:
            return f"#MLS! {name} takes {_arity(signature)} arguments, not {len(arguments)}"
        try:
            return _outgoing(function(*map(_incoming, arguments)))
        except Exception as bug:
            # The engine would make #VALUE! of it; a fault of ours must not look like an answer.
            bug.add_note(f"raised by {name} for the arguments {arguments!r}")
            bugs.append(bug)
            raise

    return call


def _arity(signature: inspect.Signature) -> str:
    positional = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    least = sum(p.default is p.empty for p in positional)
    if any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        return f"at least {least}"
    return str(least) if least == len(positional) else f"{least} to {len(positional)}"


def _incoming(value: Any) -> Any:
    if isinstance(value, list):
        return [[_incoming(v) for v in row] if isinstance(row, list) else _incoming(row) for row in value]
    error = semantics.error_text(value)
    if error is not None:
        return ErrorValue(error or "#VALUE!")
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _outgoing(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        rows = [[_outgoing(v) for v in row] for row in value]
        if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
            raise TypeError("the answer is not a rectangle of values")
        return rows
    if value is None:
        return ""
    if isinstance(value, str):
        return semantics.engine_error(value) if semantics.is_error_text(value) else str(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    raise TypeError(f"the answer {value!r} is not a value a cell can hold")
