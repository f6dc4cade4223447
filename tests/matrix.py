"""Calls that every runtime must answer alike: each function with its example, a column, and an error in a cell.

An argument is a cell or a list of rows, as in `excel_child`; `MISSING` is one that is left out.
"""

from __future__ import annotations

import re
from typing import Any

from udfs import FUNCTIONS
from udfs.examples import examples

MISSING: dict[str, Any] = {"missing": True}
NA: dict[str, Any] = {"error": "#N/A"}
Call = tuple[str, list[Any]]


def arguments_of(formula: str) -> list[Any]:
    """The arguments of a formula without ranges."""
    inner = formula[formula.index("(") + 1 : -1]
    words = re.findall(r'(?:"[^"]*"|[^,"])+|(?<=,)(?=,)', inner)
    return [_value(word.strip()) for word in words]


def _value(word: str) -> Any:
    if word.startswith('"'):
        return word[1:-1]
    if word in ("TRUE", "FALSE"):
        return word == "TRUE"
    above, _, below = word.partition("/")
    return MISSING if not word else float(above) / float(below or 1)


def _padded(name: str, given: list[Any]) -> list[Any]:
    return [*given, *[MISSING] * (len(FUNCTIONS[name].parameters) - len(given))]


def calls() -> list[Call]:
    """Three calls of every function that takes an argument, one of the others."""
    out: list[Call] = []
    for name, formula in examples().items():
        given = arguments_of(formula)
        out.append((name, _padded(name, given)))
        if given:
            first, rest = given[0], given[1:]
            out.append((name, _padded(name, [[[first], [None], ["none of these"]], *rest])))
            out.append((name, _padded(name, [NA, *rest])))
    return out
