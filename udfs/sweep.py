"""MLS_SWEEP: the best configurations of a small grid, the front of two goals, or what became of all of them.

Axes are a range (a name and its values in each row) or text such as ``hardware = H100, A100; batch = 8..64 by 8``.
The work is that of `mlsysim.sweep`; here cells become its arguments and its rows become cells, in face units.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlsysim.catalogue import Entry, Param
from mlsysim.errors import MlsysError, OutOfDomain, UnknownName, WrongArguments
from mlsysim.reducers import Best, Front, Reducer
from mlsysim.registry import split_spec
from mlsysim.sweeps import Swept, sweep
from mlsysim.tables import is_table
from mlsysim.units import codes_of, parts, unit_of

from .arguments import Argument, metric_of, number, number_of_text, word
from .cells import Block, Cell, as_objects, is_blank, is_error, refusal
from .tables import cell_of, heading

NAME = "MLS_SWEEP"
MOST = 1_000_000  # configurations: more is work for Python, not for a cell
MOST_CALLS = 2_000  # combinations of words, each a call of its own
MOST_ROWS = 1_000
MOST_WIDTH = 100
ROWS = 10
ANSWER = "answer"  # what the figure of a function with one answer is called
ARGUMENTS = (
    Argument("function_name", "Function to sweep, such as MLS_SERVING", False),
    Argument("axes", "Range with a name and its values in each row, or text 'hardware = H100, A100; batch = 8..64 by "
             "8'; it names every argument that the function requires", False),
    Argument("goal", "'max decode_throughput' or 'min itl': the best rows; two with a comma: the front of both; blank: "
             "counts of what passes and of what is refused, and why", True),
    Argument("where", "What must hold, such as 'itl <= 50; ttft <= 2000', in the units of MLS_METRICS; what is not "
             "fit in memory never passes", True),
    Argument("show", "Further figures to show, such as 'ttft, bottleneck'", True),
    Argument("rows", f"Most rows [1] (default {ROWS}); a longer front is thinned evenly and keeps its ends", True),
    Argument("width", "Columns [1] of a block of fixed size, one row deeper than rows, the rest empty text: for Excel "
             "before 365; blank: as large as the answer", True),
)  # fmt: skip
_BOUND = re.compile(r"\s*(\w+)\s*(<=|>=|<|>|=)\s*(.+?)\s*")
_RANGE = re.compile(r"\s*([^\s.][^\s]*?)\s*\.\.\s*([^\s]+?)(?:\s+by\s+([^\s]+))?\s*")
_OPERATORS = {"=": "=="}


def answer(entry: Entry, cells: Sequence[Any]) -> Block:
    """One call, `cells` being those after the name of the function."""
    *asked, rows, width = cells
    most, wide = _whole(rows, "rows", ROWS, MOST_ROWS), _whole(width, "width", 0, MOST_WIDTH)
    if not wide:
        return _answer(entry, asked, most)
    try:
        return _fixed(_answer(entry, asked, most), most + 1, wide)
    except MlsysError as error:
        return _fixed([[refusal(str(error))]], most + 1, wide)


def _answer(entry: Entry, asked: Sequence[Any], most: int) -> Block:
    axes, goal, where, show = asked
    if is_table(entry):
        raise UnknownName(f"{NAME}: {entry.excel} answers with a table; sweep a function that answers with figures")
    given = axes_of(entry, axes)
    _small(given)
    goals = [goal_of(entry, t) for t in _texts(goal, "goal")]
    bounds = [bound_of(entry, t) for t in _texts(where, "where")]
    shown = [_metric(entry, t) for t in _texts(show, "show")]
    if len(goals) > 2:
        raise OutOfDomain(f"{NAME}: goal takes one figure for the best rows or two for their front, got {len(goals)}")
    if len({m for m, _ in goals}) < len(goals):
        raise OutOfDomain(f"{NAME}: goal names {goals[0][0] or ANSWER} twice; a front needs two figures")
    if not goals:
        if shown:
            raise OutOfDomain(f"{NAME}: show needs a goal; without one the answer is counts")
        keep: list[Reducer] = []
    elif len(goals) == 1:
        keep = [Best(goals[0][0], most, goals[0][1])]
    else:
        (x, largest_x), (y, largest_y) = goals
        keep = [Front(x, y, largest_x, largest_y)]
    found = sweep(entry.name, keep=keep, where=bounds, **given)
    if not goals:
        return _counts(found, most)
    if not found.passing:
        raise OutOfDomain(f"{NAME}: none of {found.grid.size:,} configurations passes; {_why_none(found)}")
    varied = [*found.grid.words, *found.grid.numbers]
    return _block(entry, found, [a for a in given if a in varied], [m for m, _ in goals], shown, most)


# ------------------------------------------------------------------ from cells to the arguments of a sweep


def axes_of(entry: Entry, cell: Any) -> dict[str, Any]:
    """Arguments with one value or a list of them, in base units, from a range or from text."""
    array = as_objects(cell)
    if array.ndim:
        rows = [(row[0], [c for c in row[1:] if not is_blank(c)]) for row in array if not is_blank(row[0])]
    elif isinstance(array.item(), str) and not is_blank(array.item()) and not is_error(array.item()):
        name, pairs = split_spec(array.item())
        if name:
            raise OutOfDomain(f"{NAME}: axes must be 'name = values; name = values', got {array.item()!r}")
        rows = [(n, _split(text)) for n, text in pairs.items()]
    else:
        raise OutOfDomain(f"{NAME}: axes must be a range (a name and its values in each row) or text")
    params = {p.name.casefold(): p for p in entry.params}
    out: dict[str, Any] = {}
    for label, values in rows:
        param = params.get(str(label).strip().casefold())
        if param is None:
            raise UnknownName(f"{NAME}: axes: {entry.excel} has no argument {label!r}; it has {', '.join(params)}")
        if param.name in out:
            raise OutOfDomain(f"{NAME}: axes names {param.name} twice")
        if not values:
            raise OutOfDomain(f"{NAME}: axes: {param.name} has no values")
        made = [v for c in values for v in _values(entry, param, c)]
        out[param.name] = made if len(made) > 1 else made[0]
    missing = [p.name for p in entry.params if p.required and p.name not in out]
    if missing:
        raise WrongArguments(f"{NAME}: axes must name {', '.join(missing)}, which {entry.excel} requires")
    return out


def _split(text: str) -> list[str]:
    """Values between commas; braces keep a spec text whole."""
    out, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c == "{") - (c == "}")
        if c == "," and not depth:
            out.append(text[start:i])
            start = i + 1
    return [t for t in (*map(str.strip, out), text[start:].strip()) if t]


def _values(entry: Entry, param: Param, cell: Any) -> Iterator[Any]:
    """The values of one cell: one, or those of ``first..last by step``."""
    where = f"{NAME}: axes: {param.name}"
    if is_error(cell):
        raise OutOfDomain(f"{where} holds the error {cell}")
    if param.unit is None:
        if param.is_list:
            raise OutOfDomain(f"{where} is a list of things and cannot be swept")
        yield word(param, cell, where)
    elif isinstance(cell, str) and (spread := _RANGE.fullmatch(cell)):
        first, last, step = (float(number_of_text(param, t, where)) if t else None for t in spread.groups())
        yield from _spread(first, last, float(param.unit.from_face(1.0)) if step is None else step, where)
    elif isinstance(cell, str):
        yield number_of_text(param, cell, where)
    else:
        yield number(entry, param, cell)


def _spread(first: float | None, last: float | None, step: float, where: str) -> Iterator[float]:
    if first is None or last is None or step <= 0 or last < first:
        raise OutOfDomain(f"{where}: write first..last by step, the first not above the last and the step above 0")
    count = math.floor((last - first) / step * (1 + 1e-12)) + 1
    if count > MOST:
        raise OutOfDomain(f"{where} has {count:,} values; a cell takes up to {MOST:,} configurations")
    return (first + i * step for i in range(count))


def _small(given: Mapping[str, Any]) -> None:
    lists = [v for v in given.values() if isinstance(v, list)]
    size = math.prod(map(len, lists))
    calls = math.prod(len(v) for v in lists if not all(isinstance(x, float) for x in v))
    if size > MOST or calls > MOST_CALLS:
        raise OutOfDomain(f"{NAME}: axes make {size:,} configurations and {calls:,} combinations of words; a cell "
                          f"takes up to {MOST:,} and {MOST_CALLS:,}; mlsysim.sweep in Python takes more")  # fmt: skip


def _texts(cell: Any, argument: str) -> list[str]:
    """Texts from cells, each split at commas and semicolons."""
    out: list[str] = []
    for c in as_objects(cell).flat:
        if is_blank(c):
            continue
        if not isinstance(c, str) or is_error(c):
            raise OutOfDomain(f"{NAME}: {argument} must be text, got {c!r}")
        out += [t.strip() for t in re.split("[;,]", c) if t.strip()]
    return out


def metrics_of(entry: Entry) -> dict[str, Any]:
    return entry.metrics or {"": entry.returns}


def _metric(entry: Entry, text: str) -> str:
    if entry.metrics:
        return metric_of(entry, text)
    if text.strip().casefold() not in (ANSWER, entry.name):
        raise UnknownName(f"{entry.excel} has one figure only; call it {ANSWER}, not {text!r}")
    return ""


def figure_of(entry: Entry, text: str) -> str:
    """A figure that is a number, by what the cell calls it."""
    metric = _metric(entry, text)
    hint = metrics_of(entry)[metric]
    if codes_of(hint) is not None or unit_of(hint) is None or bool in parts(hint):
        raise OutOfDomain(f"{NAME}: {text.strip()} of {entry.excel} is in words; a goal or a bound needs a number")
    return metric


def goal_of(entry: Entry, text: str) -> tuple[str, bool]:
    """A figure and whether the largest is wanted."""
    way, _, name = text.strip().partition(" ")
    if way.casefold() not in ("max", "min") or not name.strip():
        raise OutOfDomain(f"{NAME}: goal must be 'max' or 'min' and a figure, such as "
                          f"'max {next(iter(metrics_of(entry))) or ANSWER}', got {text!r}")  # fmt: skip
    return figure_of(entry, name), way.casefold() == "max"


def bound_of(entry: Entry, text: str) -> tuple[str, str, float]:
    """A condition in base units: figure, operator, number."""
    found = _BOUND.fullmatch(text)
    if found is None:
        raise OutOfDomain(f"{NAME}: where must be a figure, one of <= >= < > =, and a number, got {text!r}")
    name, operator, bound = found.groups()
    metric = figure_of(entry, name)
    unit = unit_of(metrics_of(entry)[metric])
    assert unit is not None
    try:
        value = float(unit.from_face(float(bound)))
    except ValueError:
        value = unit.parse(bound, f"{NAME}: where: {name}")
    if not math.isfinite(value):
        raise OutOfDomain(f"{NAME}: where: the bound of {name} must be a finite number, got {bound!r}")
    return metric, _OPERATORS.get(operator, operator), value


def _whole(cell: Any, argument: str, default: int, most: int) -> int:
    value = as_objects(cell)
    one = value.item() if not value.ndim else "a range"
    if is_blank(one):
        return default
    if type(one) is not float or not 1 <= one <= most or one != int(one):
        raise OutOfDomain(f"{NAME}: {argument} must be a whole number from 1 to {most}, got {one!r}")
    return int(one)


# ------------------------------------------------------------------ from what was found to cells


def _block(entry: Entry, found: Swept, axes: list[str], goals: list[str], shown: list[str], most: int) -> Block:
    """A header and one row for each configuration, best first: goals, axes with several values, other figures."""
    rows = _thinned(found.table(), most)
    units = {p.name: p.hint for p in entry.params}
    others = [m for m in dict.fromkeys(shown) if m not in goals]

    def figures(metrics: list[str], row: Mapping[str, Any]) -> list[Cell]:
        return [cell_of(entry, m or ANSWER, metrics_of(entry)[m], row[m or ANSWER]) for m in metrics]

    def named(metrics: list[str]) -> list[Cell]:
        return [heading(m or ANSWER, metrics_of(entry)[m]) for m in metrics]

    head = [*named(goals), *(heading(a, units[a]) for a in axes), *named(others)]
    return [head, *([*figures(goals, r), *(_axis(units[a], r[a]) for a in axes), *figures(others, r)] for r in rows)]


def _fixed(block: Block, rows: int, width: int) -> Block:
    """The block with empty text around it."""
    if len(block[0]) > width:
        raise OutOfDomain(f"{NAME}: width is {width}, but the answer has {len(block[0])} columns; sweep fewer axes, "
                          "show less, or give more width")  # fmt: skip
    empty: list[Cell] = [""] * width
    return [[*row, *empty[len(row) :]] for row in block[:rows]] + [empty] * (rows - len(block))


def _axis(hint: Any, value: Any) -> Cell:
    unit = unit_of(hint)
    if unit is not None and isinstance(value, float):
        return float(unit.to_face(value))
    return getattr(value, "key", value)  # type: ignore[no-any-return]


def _thinned(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    if len(rows) <= most:
        return rows
    if most == 1:
        return rows[:1]
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def _counts(found: Swept, most: int) -> Block:
    """How many configurations pass, fail and are refused, with the sentences of the refusals, the commonest first."""
    size, failed = found.grid.size, found.grid.size - found.passing - found.refused
    head: Block = [["outcome", "configurations"], ["all", float(size)], ["pass", float(found.passing)],
                   ["not feasible, or miss a bound", float(failed)],
                   ["refused", float(found.refused)]]  # fmt: skip
    room = most - len(head) + 1
    if room < 0:
        raise OutOfDomain(f"{NAME}: rows must be {len(head) - 1} or more for counts, got {most}")
    reasons = sorted(found.reasons.items(), key=lambda r: -r[1])
    told: Block = [[f"refused: {text}"[:250], float(count)] for text, count in reasons[:room]]
    if told and (rest := found.refused - sum(count for _, count in reasons[:room])) > 0:
        last = rest + reasons[len(told) - 1][1]
        told[-1] = ["refused for other reasons", float(last)]
    return head + told


def _why_none(found: Swept) -> str:
    failed = found.grid.size - found.passing - found.refused
    texts = [f"{failed:,} are not feasible or miss a bound"] if failed else []
    if found.reasons:
        reason, count = max(found.reasons.items(), key=lambda r: r[1])
        texts.append(f"{count:,} are refused: {reason}")
    return "; ".join(texts)
