"""Analytical model of machine-learning systems: closed forms, solvers, and a sourced registry.

The public names, and nothing else.  Numbers are in base units (SI, byte, FLOP, token, USD).  A name is loaded when it
is first asked for (PEP 562), with what it needs; ``__init__.pyi`` says where each lives: to readers, to type checkers,
and here.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_PLACES = {a.name: n.module or "" for n in _STUB.body if isinstance(n, ast.ImportFrom) for a in n.names}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_PLACES[name]}", __name__), name)
    if name == "CATALOGUE":
        value = import_module(".catalogue", __name__).catalogue()  # complete
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
