"""Any catalogue entry turned round: the value of one lever at which a result reaches a target."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..catalogue import Entry
from ..errors import MlsysError, OutOfDomain, UnknownName
from ..units import Unit
from .levers import bound, entry_of, levers, measured, metric_of, moved

_LOWEST, _HIGHEST = 1e-18, 1e30  # where the legal range of a quantity is open
_POINTS = 121  # of the first look along the range
_HALVINGS = 200
_SAME = 1e-12
_HIT = 1e-6
_EDGE = 50  # halvings towards the end of what has a result


class _Curve:
    """The result along one lever; NaN where the call is refused."""

    def __init__(self, entry: Entry, given: dict[str, Any], path: str, metric: str) -> None:
        self.entry, self.given, self.path, self.metric = entry, given, path, metric
        self.reason = ""

    def __call__(self, x: float) -> float:
        try:
            value = measured(self.entry, moved(self.given, self.path, x), self.metric)[0]
        except MlsysError as error:
            self.reason = str(error)
            return math.nan
        if np.ndim(value):
            raise OutOfDomain(f"solve_for: {self.entry.name} must answer one number; give no arrays")
        return float(value)

    def feasible(self, x: float) -> bool:
        return bool(measured(self.entry, moved(self.given, self.path, x), self.metric)[1])


def solve_for(
    entry: Entry | str | Callable[..., Any],
    argument: str,
    target: float,
    metric: str | None = None,
    low: float | None = None,
    high: float | None = None,
    **arguments: Any,
) -> float:
    """The value of an argument, or of a field such as ``"hardware.bandwidth"``, at which a result reaches a target.

    The legal range of the quantity is looked along for a crossing, which is then halved down; `low` and `high` narrow
    it.  A whole number is answered with the one nearest to the target whose result does not exceed it.

    Parameters
    ----------
    entry : Entry, function or text
        What to turn round, such as ``"serving"``.
    argument : text
        A numeric argument, or a path to a numeric field of a thing that the call names.
    target : float
        The result wanted, in base units.
    metric : text, optional
        Another result than the headline.
    low, high : float, optional
        Range to search, in base units.
    **arguments
        The other arguments of the function.

    Raises
    ------
    OutOfDomain
        No value in the range reaches the target, several do, or the one that does cannot happen.

    Examples
    --------
    >>> round(solve_for("allreduce", "bandwidth", 0.02, workers=8, message=1e9) / 1e9, 9)
    87.5
    """
    found = entry_of(entry)
    name = metric_of(found, metric)
    if isinstance(target, bool) or not isinstance(target, int | float | np.number) or not np.isfinite(target):
        raise OutOfDomain(f"solve_for: target must be one finite number, got {target!r}")
    given, unit = _start(found, argument, arguments, low, high)
    first, last = _range(unit, argument, low, high)
    curve = _Curve(found, given, argument, name)
    points = _points(first, last, unit.whole)
    values = np.array([curve(float(x)) for x in points])
    points, values = _to_the_edges(curve, points, values, float(target), unit.whole)
    where = f"solve_for: {found.name}.{name}" if name else f"solve_for: {found.name}"
    left, right = _bracket(points, values, float(target), where, argument, curve.reason)
    x = (_whole if unit.whole else _halved)(curve, left, right, float(target), where, argument)
    if not curve.feasible(x):
        raise OutOfDomain(f"{where} reaches {target:g} at {argument} = {x:g}, but that does not fit into memory")
    return x


def _start(
    entry: Entry, argument: str, arguments: dict[str, Any], low: float | None, high: float | None
) -> tuple[dict[str, Any], Unit]:
    """The call with a stand-in for the argument sought, and the unit of that argument."""
    param = next((p for p in entry.params if p.name == argument), None)
    if param is not None and param.unit is not None:
        if argument in arguments:
            raise OutOfDomain(f"solve_for: {argument} is what is sought; do not give it too")
        guess = next((v for v in (low, high) if v is not None), 1.0 if param.unit.low < 1 <= param.unit.high else None)
        stand_in = param.unit.high if guess is None else guess
        return bound(entry, {**arguments, argument: stand_in}), param.unit
    given = bound(entry, arguments)
    known = levers(entry, given)
    if argument not in known:
        legal = [p.name for p in entry.params if p.unit is not None]
        raise UnknownName(
            f"solve_for: {entry.name} has no number {argument!r}; it has {', '.join(dict.fromkeys([*legal, *known]))}"
        )
    return given, known[argument][1]


def _range(unit: Unit, argument: str, low: float | None, high: float | None) -> tuple[float, float]:
    where = f"solve_for: {argument}"
    first = unit.low if low is None else float(unit.check(low, f"{where}: low"))
    last = unit.high if high is None else float(unit.check(high, f"{where}: high"))
    if first == 0.0 and low is None:
        first = 1.0 if unit.whole else min(last, 1.0) * _LOWEST
    first, last = max(first, -_HIGHEST), min(last, _HIGHEST)
    if first >= last:
        raise OutOfDomain(f"{where}: low must be below high, got {first:g} and {last:g}")
    return first, last


def _points(first: float, last: float, whole: bool) -> Any:
    if first <= 0:
        points = np.linspace(first, last, _POINTS)
    elif whole:  # the first hundred and the powers of two: counts that divide other counts
        powers = 2.0 ** np.arange(math.ceil(math.log2(first)), math.floor(math.log2(last)) + 1)
        points = np.concatenate([[first, last], powers, first + np.arange(min(100.0, last - first))])
    else:
        points = np.geomspace(first, last, _POINTS)
    return np.unique(np.rint(points) if whole else points)


def _to_the_edges(curve: _Curve, points: Any, values: Any, target: float, whole: bool) -> tuple[Any, Any]:
    """The points, and more of them up to where the result ends, if the target lies beyond those that have one.

    A queue that nears its capacity takes any time, but between the last point that is stable and the next one.
    """
    known = np.flatnonzero(np.isfinite(values))
    if not known.size or values[known].min() <= target <= values[known].max():
        return points, values
    found = dict(zip(points[known].tolist(), values[known].tolist(), strict=True))
    for inner, outer in ((known[0], known[0] - 1), (known[-1], known[-1] + 1)):
        if not 0 <= outer < len(points):
            continue
        good, bad = float(points[inner]), float(points[outer])
        for _ in range(_EDGE):
            middle = float(np.rint((good + bad) / 2)) if whole else (good + bad) / 2
            if middle in (good, bad):
                break
            value = curve(middle)
            if math.isfinite(value):
                found[middle] = value
                good = middle
            else:
                bad = middle
    more = np.array(sorted(found))
    return more, np.array([found[x] for x in more.tolist()])


def _bracket(
    points: Any, values: Any, target: float, where: str, argument: str, reason: str
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Two neighbouring points with the target between their results."""
    known = np.isfinite(values)
    if known.sum() < 2:
        raise OutOfDomain(f"{where} answers for too few values of {argument}; give low and high ({reason})")
    x, y = points[known], values[known]
    change = np.diff(y)
    slack = _SAME * np.abs(y[:-1])
    if np.any(change > slack) and np.any(change < -slack):
        raise OutOfDomain(f"{where} both rises and falls with {argument}; give low and high where it does one of them")
    if not y.min() <= target <= y.max():
        raise OutOfDomain(
            f"{where} runs from {y[0]:.6g} to {y[-1]:.6g} for {argument} from {x[0]:.6g} to {x[-1]:.6g}, "
            f"so it never reaches {target:g}"
        )
    i = int(np.flatnonzero((np.minimum(y[:-1], y[1:]) <= target) & (target <= np.maximum(y[:-1], y[1:])))[0])
    return (float(x[i]), float(y[i])), (float(x[i + 1]), float(y[i + 1]))


def _halved(
    curve: _Curve, left: tuple[float, float], right: tuple[float, float], target: float, where: str, argument: str
) -> float:
    (a, fa), (b, fb) = left, right
    rising = fb > fa
    for _ in range(_HALVINGS):
        middle = math.sqrt(a) * math.sqrt(b) if a > 0 else (a + b) / 2
        if not a < middle < b:
            break
        value = curve(middle)
        if not math.isfinite(value):
            raise OutOfDomain(f"{where}: {argument} = {middle:g} is refused; give low and high ({curve.reason})")
        if (value < target) == rising:
            a, fa = middle, value
        else:
            b, fb = middle, value
    x, fx = min(((a, fa), (b, fb)), key=lambda pair: abs(pair[1] - target))
    if abs(fx - target) > _HIT * max(abs(target), abs(fx)):
        raise OutOfDomain(f"{where} jumps from {fa:.6g} to {fb:.6g} at {argument} = {x:.6g} and never is {target:g}")
    return x


def _whole(
    curve: _Curve, left: tuple[float, float], right: tuple[float, float], target: float, where: str, argument: str
) -> float:
    (a, fa), (b, fb) = left, right
    rising = fb > fa
    while b - a > 1:
        middle = math.floor((a + b) / 2)
        value = curve(float(middle))
        if not math.isfinite(value):
            if target in (fa, fb):
                break
            raise OutOfDomain(
                f"{where} is {fa:.6g} at {argument} = {a:g} and {fb:.6g} at {b:g}; between them: {curve.reason}"
            )
        if value == target:
            return float(middle)
        if (value < target) == rising:
            a, fa = float(middle), value
        else:
            b, fb = float(middle), value
    if target in (fa, fb):
        return a if fa == target else b
    return a if rising else b  # the side whose result does not exceed the target
