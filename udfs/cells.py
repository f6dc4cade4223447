"""Raw cell values in and out: what each runtime delivers, made plain.

A cell is float, int, str, bool or None; a range is a list (or tuple) of rows.  Runtimes differ in how
they hand over errors and dates; `plain` makes them alike.  Nothing here knows a function.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import math
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Cell: TypeAlias = float | str | bool | None
Block: TypeAlias = list[list[Cell]]
Objects: TypeAlias = npt.NDArray[np.object_]
Floats: TypeAlias = npt.NDArray[np.float64]

REFUSED = "#MLS! "
TEXT_LIMIT = 255  # longer text inside an array becomes #VALUE! in classic Excel
_COM_ERROR = -2146828288  # classic Excel hands over errors raw as this plus the CVErr number
_ERRORS = {2000: "#NULL!", 2007: "#DIV/0!", 2015: "#VALUE!", 2023: "#REF!", 2029: "#NAME?", 2036: "#NUM!", 2042: "#N/A"}
_CODES = range(2000, 2101)  # of errors
_SEQUENCES, _NUMBERS = {list, tuple}, {float, int}
_EPOCH = dt.datetime(1899, 12, 30)  # day 0 of Excel's serial numbers from March 1900 on


def as_array(value: Any) -> Objects | Floats:
    """A cell or a range as `as_objects` gives it; a range that holds numbers only as float64, in one pass."""
    if isinstance(value, (list, tuple)) and len(value) > 0:
        rows = value if isinstance(value[0], (list, tuple)) else (value,)
        if set(map(type, rows)) <= _SEQUENCES and len(set(map(len, rows))) == 1:
            flat = list(chain.from_iterable(rows))
            if len(flat) > 1 and set(map(type, flat)) <= _NUMBERS:
                with contextlib.suppress(OverflowError):
                    numbers = np.array(flat, dtype=np.float64)
                    codes = (numbers >= _COM_ERROR + min(_CODES)) & (numbers <= _COM_ERROR + max(_CODES))
                    if not codes.any():  # an error of classic Excel, or a number that looks like one
                        return numbers.reshape(len(rows), -1)
    return as_objects(value)


def as_objects(value: Any) -> Objects:
    """A cell as a 0-d array, a range as a 2-D one; a range of one cell counts as a cell."""
    if not isinstance(value, (list, tuple)):
        out = np.empty((), dtype=object)
        out[()] = plain(value)
        return out
    rows = [list(r) if isinstance(r, (list, tuple)) else [r] for r in value]
    if value and not isinstance(value[0], (list, tuple)):
        rows = [list(value)]  # a flat list is a row
    width = max((len(r) for r in rows), default=0)
    out = np.full((len(rows), width), None, dtype=object)
    for i, row in enumerate(rows):
        out[i, : len(row)] = [plain(c) for c in row]
    return out.reshape(()) if out.size == 1 else out


def plain(cell: Any) -> Any:
    """One raw cell in plain form: errors become text that starts with '#', dates their serial numbers."""
    kind = type(cell)
    if kind is float or kind is str or cell is None or kind is bool:
        return cell
    if kind is int:
        code = cell - _COM_ERROR
        return f"{_ERRORS.get(code, f'#ERROR {code}')}" if code in _CODES else _as_float(cell)
    if isinstance(cell, dict):  # Office.js entity: error, date or formatted number
        basic = cell.get("basicValue", "#ENTITY")
        return str(basic) if cell.get("type") == "Error" else plain(basic)
    if isinstance(cell, (np.bool_, np.number)):
        return plain(cell.item())
    if isinstance(cell, decimal.Decimal):  # cells in a currency format, in classic Excel
        return float(cell)
    if isinstance(cell, dt.date):
        moment = cell if isinstance(cell, dt.datetime) else dt.datetime(cell.year, cell.month, cell.day)
        return (moment.replace(tzinfo=None) - _EPOCH) / dt.timedelta(days=1)
    return str(cell)


def _as_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:  # refused later, like any infinity
        return math.inf


def is_blank(cell: Any) -> bool:
    """Whether a plain cell is empty."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def is_error(cell: Any) -> bool:
    """Whether a plain cell holds an error or one of our refusals."""
    return isinstance(cell, str) and cell.startswith("#")


def refusal(sentence: str) -> str:
    """A refusal as cell text."""
    text = REFUSED + sentence
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 3] + "..."


def outward(value: Any) -> Cell:
    """A Python value as a cell; NaN and infinity must have been refused before."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return refusal("the result is no finite number")
    if value is None:
        return ""
    if isinstance(value, (bool, str, float)):
        return value
    return float(value) if isinstance(value, int) else str(value)


def block(values: Objects) -> Cell | Block:
    """An array of cells as a scalar or a rectangular list of rows."""
    cells: Cell | Block = values.item() if values.ndim == 0 else values.tolist()
    return cells
