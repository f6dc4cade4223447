"""One function, one entry: everything that a user is shown is read from here.

``@equation`` (numbers in, a number out) and ``@solver`` (things in, a record out) put a function
in the catalogue and check its numbers at the door.  Excel names, argument order, wizard help,
README tables and worksheet headings follow from the signature; nothing is typed twice.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ParamSpec, TypeVar

import numpy as np

from .columns import columns_of_names, spread
from .errors import OutOfDomain, WrongArguments
from .fast import NOTHING, Fast
from .hints import hints_of
from .nomenclature import text_of
from .param import Param as Param
from .record import Result, codes_in, plain_result
from .units import parts, typed_fields, unit_of

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue knows of one function."""

    call: Callable[..., Any]
    summary: str
    params: tuple[Param, ...]
    returns: Any
    cites: tuple[str, ...]
    group: str
    wall: int | None = None

    @property
    def name(self) -> str:
        return self.call.__name__

    @property
    def excel(self) -> str:
        return f"MLS_{self.name.upper()}"

    @property
    def metrics(self) -> dict[str, Any]:
        """Fields of the result with their types, headline first; empty for an equation."""
        found = isinstance(self.returns, type) and issubclass(self.returns, Result)
        return dict(typed_fields(self.returns)) if found else {}

    def figures(self, only: Sequence[str], given: Mapping[str, Any]) -> Any:
        """A result that has some of its figures, at the cost of these; or all of them."""
        fast: Fast = self.call.fast  # type: ignore[attr-defined]
        if (known := fast.call(given)) is None:
            return self.call(**given)
        key, numbers = (*known[0], *only), known[1]
        if (answer := fast.answer(key, numbers)) is not NOTHING:
            return answer
        result = self.call(**given)
        fast.learn(key, numbers, given, tuple(only))
        return result


CATALOGUE: dict[str, Entry] = {}  # of what is loaded; `catalogue` loads all


def catalogue() -> dict[str, Entry]:
    """Every entry by name, in the order of the files that hold them."""
    _load_all()
    return CATALOGUE


@functools.cache
def _load_all() -> None:
    for package in ("equations", "solvers"):
        for module in iter_modules([str(Path(__file__).with_name(package))]):
            import_module(f"{__package__}.{package}.{module.name}")
    for name in sorted(CATALOGUE, key=lambda n: _place(CATALOGUE[n].call)):
        CATALOGUE[name] = CATALOGUE.pop(name)


def _place(call: Any) -> tuple[str, int]:
    return call.__module__, inspect.unwrap(call).__code__.co_firstlineno


def equation(*cites: str, group: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Catalogue a closed form: keyword-only quantities, one return expression."""
    return lambda fn: _register(fn, cites, group, None)


def solver(*cites: str, group: str, wall: int | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Catalogue a solver: things first, quantities by keyword, a `Result` out."""
    return lambda fn: _register(fn, cites, group, wall)


def _register(fn: Callable[P, R], cites: tuple[str, ...], group: str, wall: int | None) -> Callable[P, R]:
    name = fn.__name__
    if name in CATALOGUE:
        raise TypeError(f"two catalogue entries are called {name}")
    hints = hints_of(fn)
    params = {p.name: Param(p.name, hints[p.name], p.default, text_of(name, p.name))
              for p in inspect.signature(fn).parameters.values()}  # fmt: skip
    units = {n: p.unit for n, p in params.items() if p.unit}
    choices = {n: p.choices for n, p in params.items() if p.choices}
    flags = {n for n, p in params.items() if bool in parts(p.hint)}
    optional = {n for n, p in params.items() if p.default is None}
    required = [n for n, p in params.items() if p.required]
    names = tuple(params)
    fast = Fast(fn, units, codes_in)

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        known = None if args else fast.call(kwargs)
        if known is not None and (answer := fast.answer(*known)) is not NOTHING:
            return answer  # these names were in order when it was learnt
        given = dict(zip(names, args, strict=False)) | kwargs if args else kwargs
        if len(args) > len(names) or not params.keys() >= given.keys() or len(given) < len(args) + len(kwargs):
            raise WrongArguments(f"{name} takes {', '.join(names)}; got {len(args)} in order and {', '.join(kwargs)}")
        for n in required:
            if n not in given:
                raise WrongArguments(f"{name}: {n} is missing ({params[n].help})")
        if args and (known := fast.call(given)) is not None and (answer := fast.answer(*known)) is not NOTHING:
            return answer
        if several := columns_of_names(params, given):
            return spread(call, given, several)
        checked = {}
        for n, value in given.items():
            if value is None and n not in optional:
                raise OutOfDomain(f"{name}: {n} is empty ({params[n].help})")
            if value is not None:
                if n in units:
                    value = units[n].check(value, f"{name}: {n}")
                elif n in choices and not (isinstance(value, str) and value in choices[n]):
                    raise OutOfDomain(f"{name}: {n} must be one of {', '.join(choices[n])}, got {value!r}")
                elif n in flags and not isinstance(value, bool | np.bool_):
                    raise OutOfDomain(f"{name}: {n} must be TRUE or FALSE, got {value!r}")
            checked[n] = value
        result = plain_result(fn(**checked))  # type: ignore[call-arg]
        if known is not None:
            fast.learn(*known, given)
        return result

    call.fast = fast  # type: ignore[attr-defined]
    summary = (inspect.getdoc(fn) or "").split("\n\n")[0].replace("\n", " ")
    CATALOGUE[name] = Entry(call, summary, tuple(params.values()), hints["return"], cites, group, wall)
    call.__doc__ = _with_parameters(inspect.getdoc(fn) or "", CATALOGUE[name])
    return call


def _with_parameters(doc: str, entry: Entry) -> str:
    """The docstring with its numpydoc sections Parameters, Returns and References filled in."""
    lines = [doc, "", "Parameters", "----------"]
    for p in entry.params:
        base = f" [{p.unit.base}]" if p.unit and p.unit.base != "1" else ""
        kind = "float or array" if p.unit else "key, spec text or thing" if p.thing else "text"
        lines += [f"{p.name} : {kind}{base}", f"    {p.help}."]
    unit = unit_of(entry.returns)
    lines += ["", "Returns", "-------", f"{unit.base if unit else entry.returns.__name__}"]
    lines += [
        f"    .{n}{f' [{u.base}]' if (u := unit_of(h)) and u.base != '1' else ''}" for n, h in entry.metrics.items()
    ]
    return "\n".join([*lines, "", "References", "----------", ", ".join(entry.cites)])
