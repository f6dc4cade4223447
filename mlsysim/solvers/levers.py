"""Moving one number of any catalogue call: an argument, or a field of a thing that it names.

A *lever* is the path of such a number: ``batch``, ``hardware.bandwidth``, ``fleet.node.device.tdp``.  Unknown fields,
blank arguments and zeros are no levers; whole numbers move to whole numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ..catalogue import Entry, Param, catalogue
from ..errors import MissingFact, MlsysError, OutOfDomain, UnknownName, WrongArguments, raising
from ..registry import Thing, fields
from ..tables import is_table
from ..units import Fraction, Real, Unit, codes_of, unit_of


@dataclass(frozen=True, slots=True)
class Move:
    """What one lever does: its value before and after, the result before and after, and whether that can happen."""

    path: str
    old: Any
    new: Any
    before: Any
    after: Any
    feasible: Any = True

    @property
    def elasticity(self) -> Any:
        """Per cent of the result for one per cent of the lever; NaN where the result changes its sign."""
        with np.errstate(divide="ignore", invalid="ignore"):
            out = np.log(np.divide(self.after, self.before)) / np.log(np.divide(self.new, self.old))
        return float(out) if np.ndim(out) == 0 else out


def entry_of(what: Entry | str | Callable[..., Any]) -> Entry:
    """A catalogue entry from itself, its function, or its name with or without ``MLS_``."""
    if isinstance(what, Entry):
        return what
    name = what if isinstance(what, str) else getattr(what, "__name__", "")
    key = name.strip().casefold().removeprefix("mls_")
    if key not in catalogue():
        raise UnknownName(f"the catalogue has no function {name!r}; it has {', '.join(sorted(catalogue()))}")
    return catalogue()[key]


def metric_of(entry: Entry, metric: str | None) -> str:
    """The metric asked for, else the headline; it must be a number.  Empty for an equation."""
    if is_table(entry):
        raise WrongArguments(f"{entry.name} answers with a table; name a function that answers with a number")
    if not entry.metrics:
        if metric:
            raise UnknownName(f"{entry.name} has one answer and no metric {metric!r}")
        return ""
    name = metric or next(iter(entry.metrics))
    if name not in entry.metrics:
        raise UnknownName(f"{entry.name} has no metric {name!r}; it has {', '.join(entry.metrics)}")
    hint = entry.metrics[name]
    if unit_of(hint) is None or codes_of(hint) is not None:
        numbers = [n for n, h in entry.metrics.items() if unit_of(h) is not None]
        raise WrongArguments(f"{entry.name}: {name} is no number; choose among {', '.join(numbers)}")
    return name


def bound(entry: Entry, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a call: defaults filled in, numbers checked, keys and spec texts as things."""
    legal = {p.name: p for p in entry.params}
    unknown = next((n for n in arguments if n not in legal), None)
    if unknown is not None:
        raise WrongArguments(f"{entry.name} has no argument {unknown!r}; it has {', '.join(legal)}")
    out: dict[str, Any] = {}
    for name, param in legal.items():
        value = arguments.get(name, None if param.required else param.default)
        if value is None and param.required:
            raise WrongArguments(f"{entry.name}: {name} is missing ({param.help})")
        out[name] = _resolved(entry, param, value)
    return out


def _resolved(entry: Entry, param: Param, value: Any) -> Any:
    if value is None or param.is_list:
        return value
    if param.unit is not None:
        return param.unit.check(value, f"{entry.name}: {param.name}")
    return value if param.thing is None else param.thing.of(value)


def levers(entry: Entry, given: Mapping[str, Any]) -> dict[str, tuple[Any, Unit]]:
    """Every number that can be moved, by path, with its value and unit; `given` is from `bound`."""
    out: dict[str, tuple[Any, Unit]] = {}
    for param in entry.params:
        value = given[param.name]
        if param.unit is not None and value is not None:
            out[param.name] = (value, param.unit)
        elif isinstance(value, Thing):
            out |= {f"{param.name}.{path}": pair for path, pair in _numbers(value)}
    return {path: pair for path, pair in out.items() if np.all(np.asarray(pair[0]) != 0)}


def _numbers(thing: Thing) -> Iterator[tuple[str, tuple[Any, Unit]]]:
    for name, hint in fields(type(thing)).items():
        value, unit = getattr(thing, name), unit_of(hint)
        if isinstance(value, Thing):
            yield from ((f"{name}.{path}", pair) for path, pair in _numbers(value))
        elif value is not None and unit is not None:
            yield name, (value, unit)


def moved(given: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The arguments with one lever at another value."""
    name, _, rest = path.partition(".")
    return {**given, name: replaced(given[name], rest, value) if rest else value}


def replaced(thing: Thing, path: str, value: Any) -> Thing:
    """A thing with one field, at any depth, at another value; the field's fact no longer holds and goes."""
    name, _, rest = path.partition(".")
    new = replaced(getattr(thing, name), rest, value) if rest else value
    facts = MappingProxyType({n: f for n, f in thing.facts.items() if n != name})
    changes: dict[str, Any] = {name: new, "facts": facts}
    return dataclasses.replace(thing, **changes)


def measured(entry: Entry, given: Mapping[str, Any], metric: str) -> tuple[Any, Any]:
    """The number that a call answers with, and whether that can happen."""
    with raising():
        out = entry.call(**given)
    return (getattr(out, metric), getattr(out, "feasible", True)) if metric else (out, True)


def known(value: Any, entry: Entry, metric: str) -> Any:
    """The value, or a refusal where it is unknown or zero: relative changes have no meaning then."""
    if np.ndim(value) == 0 and not np.isfinite(value):
        raise MissingFact(f"{entry.name}: {metric or 'the result'} is unknown: a fact that it needs is not on record")
    if np.ndim(value) == 0 and value == 0:
        raise OutOfDomain(f"{entry.name}: {metric or 'the result'} is 0, so nothing changes it by a share")
    return value


def moves(entry: Entry, given: Mapping[str, Any], metric: str, perturbation: float, down: bool = False) -> list[Move]:
    """Move every lever up by the share `perturbation` (down where up is not legal) and record what follows.

    With `down` they move down by that share only.
    """
    base = entry.call(**given)
    before = known(getattr(base, metric) if metric else base, entry, metric)
    jobs = [(path, value, unit, given, before) for path, (value, unit) in levers(entry, given).items()]
    for param in entry.params:  # a blank argument whose value the result states, such as efficiency
        used = getattr(base, f"{param.name}_used", None)
        if param.unit is not None and given[param.name] is None and used is not None and np.all(np.isfinite(used)):
            start = {**given, param.name: used}
            jobs.append((param.name, used, param.unit, start, measured(entry, start, metric)[0]))
    steps = _steps_down if down else _steps
    found = (
        _move(entry, start, metric, path, value, unit, steps(value, unit, perturbation), old)
        for path, value, unit, start, old in jobs
    )
    return [m for m in found if m is not None]


def _move(
    entry: Entry,
    given: Mapping[str, Any],
    metric: str,
    path: str,
    value: Any,
    unit: Unit,
    steps: Iterator[Any],
    before: Any,
) -> Move | None:
    """The first legal step of a lever; None where every step is refused."""
    for new in steps:
        if not np.all(unit.mask(np.asarray(new, dtype=np.float64))):
            continue
        try:
            after, fits = measured(entry, moved(given, path, new), metric)
        except MlsysError:
            continue
        return Move(path, value, new, before, after, fits)
    return None


def _steps(value: Real, unit: Unit, p: float) -> Iterator[Any]:
    if not unit.whole:
        yield from (value * (1 + p), value / (1 + p))
        return
    up = np.maximum(np.rint(np.asarray(value) * (1 + p)), np.asarray(value) + 1)
    yield from (s if s.ndim else float(s) for s in (up, np.asarray(value) * 2.0, np.ceil(np.asarray(value) / 2.0))
                if np.all(s != value))  # fmt: skip


def _steps_down(value: Real, unit: Unit, p: float) -> Iterator[Any]:
    if not unit.whole:
        yield value * (1 - p)
        return
    below = np.minimum(np.rint(np.asarray(value) * (1 - p)), np.asarray(value) - 1)
    yield from (s if s.ndim else float(s) for s in (below, np.floor(np.asarray(value) / 2.0)))


def elasticities(
    entry: Entry | str | Callable[..., Any], perturbation: float = 0.1, *, metric: str | None = None, **arguments: Any
) -> dict[str, Any]:
    """Elasticity of a result to every number behind it: per cent of the result for one per cent of the lever.

    ``ln(result_i / result) / ln(lever_i / lever)`` over the numeric arguments and every known field of the things
    named, each moved alone.  A whole number that cannot move by `perturbation` takes the next legal step, its double
    or its half.  Numbers that the call cannot do with any of these are left out, as are blanks and zeros.

    Parameters
    ----------
    entry : Entry, function or text
        What to study, such as ``"training"``.
    perturbation : float
        Relative step, above 0 and up to 1.
    metric : text, optional
        Another result than the headline.
    **arguments
        The arguments of the function.

    Examples
    --------
    >>> e = elasticities("roofline_time", flops=1e12, traffic=1e8, peak=1e15, bandwidth=1e12)
    >>> round(e["peak"], 6), round(e["bandwidth"], 6)
    (-1.0, 0.0)
    """
    found = entry_of(entry)
    name, step = metric_of(found, metric), _step(perturbation)
    return {m.path: m.elasticity for m in moves(found, bound(found, arguments), name, step)}


def _step(perturbation: Any) -> float:
    unit = unit_of(Fraction)
    if unit is None or np.ndim(perturbation):
        raise OutOfDomain("elasticities: perturbation must be one number")
    return float(unit.check(perturbation, "elasticities: perturbation"))
