"""The arguments of an Excel function: their order, their help, and their cells as Python values in base units."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlsysim.catalogue import Entry, Param
from mlsysim.errors import MlsysError, OutOfDomain, UnknownName
from mlsysim.registry import split_list, split_spec
from mlsysim.tables import is_table
from mlsysim.units import parts

from .cells import as_objects, is_blank, is_error

ALL = "all"
BAND = ("_p10", "_p90", "_validity")  # endings of a metric that says how wrong a figure may be
NOT_VALIDATED = "not validated"
METRIC = Param("metric", str, None, "Name of the result wanted")
OPTIONS = Param("options", str, None, "Further options as text")
HELP_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument as the function wizard shows it."""

    name: str
    help: str
    optional: bool


def excel_params(entry: Entry) -> tuple[Param, ...]:
    """Catalogue order: subject and sizes, `metric`, knobs, `options`."""
    required = [p for p in entry.params if p.required]
    knobs = [p for p in entry.params if not p.required and not p.is_option]
    metric = [METRIC] if entry.metrics and not is_table(entry) else []
    options = [OPTIONS] if any(p.is_option for p in entry.params) else []
    return (*required, *metric, *knobs, *options)


def wizard_help(param: Param, entry: Entry) -> str:
    if param is METRIC:
        head, *rest = entry.metrics
        text = f"Result wanted; blank: {head}; or {ALL}, {', '.join(rest)}"
        while len(text) > HELP_LIMIT:
            rest.pop()
            text = f"Result wanted; blank: {head}; or {ALL}, {', '.join(rest)}, others by MLS_METRICS"
    elif param is OPTIONS:
        names = ", ".join(p.name for p in entry.params if p.is_option)
        text = f"Text such as 'name = value; name = value': {names}"
        if len(text) > HELP_LIMIT:
            text = f"Text 'name = value; ...': {names}"
    else:
        text = param.help
    return text if len(text) <= HELP_LIMIT else text[: HELP_LIMIT - 3] + "..."


def one_call(entry: Entry, params: tuple[Param, ...], cells: Sequence[Any]) -> tuple[dict[str, Any], str]:
    """Keyword arguments and metric of a call with single cells; a range is refused, except where it is a list."""
    arrays = {p.name: as_objects(options_cell(entry, p, c)) for p, c in zip(params, cells, strict=True)}
    for param in params:
        if arrays[param.name].ndim and not param.is_list:
            raise OutOfDomain(f"{entry.excel}: {param.name} must be a single cell; the answer is one table or text")
    lists = {n: [c for c in a.flat if not is_blank(c)] for n, a in arrays.items() if a.ndim}
    cell = {n: (a.item() if not a.ndim else lists[n][0] if lists[n] else None) for n, a in arrays.items()}
    given, metric = words_of(entry, params, cell)
    for param in params:
        if param.name in lists and param.name in given:
            given[param.name] = [g for c in lists[param.name] for g in word(param, c, f"{entry.excel}: {param.name}")]
        elif param.unit is not None and (param.required or not is_blank(cell[param.name])):
            given[param.name] = number(entry, param, cell[param.name])
    return given, metric


def words_of(entry: Entry, params: tuple[Param, ...], words: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Keyword arguments from the cells that hold words (and options), and the metric asked for."""
    given: dict[str, Any] = {}
    metric = next(iter(entry.metrics), "")
    for param in params:
        if param.unit is not None:
            continue
        cell = words[param.name]
        where = f"{entry.excel}: {param.name}"
        if is_error(cell):
            raise OutOfDomain(f"{where} holds the error {cell}")
        if is_blank(cell):
            if param.required:
                raise OutOfDomain(f"{where} is empty ({param.help})")
        elif param is METRIC:
            metric = metric_of(entry, cell)
        elif param is OPTIONS:
            given |= options_of(entry, cell)
        else:
            given[param.name] = word(param, cell, where)
    return given, metric


def metric_of(entry: Entry, cell: Any) -> str:
    name = str(cell).strip().casefold()
    if any(name == f"{known}{end}" for end in BAND for known in entry.metrics):
        return name  # a figure that no measurement judges is answered so, not refused
    if name not in entry.metrics:
        extra = f"; {ALL} works in a single cell only" if name == ALL else ""
        near = _near(name, [m for m in entry.metrics if not m.endswith(BAND)])
        raise UnknownName(f"{entry.excel} has no metric {cell!r}; {near}it has {', '.join(entry.metrics)}{extra}")
    return name


def _near(name: str, legal: list[str]) -> str:
    found = difflib.get_close_matches(name.casefold(), legal, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(found)}? " if found else ""


def word(param: Param, cell: Any, where: str) -> Any:
    if bool in parts(param.hint):
        if isinstance(cell, bool):
            return cell
        if isinstance(cell, float) and cell in (0.0, 1.0):  # LibreOffice delivers TRUE as 1
            return cell == 1.0
        if isinstance(cell, str) and cell.strip().casefold() in ("true", "false"):
            return cell.strip().casefold() == "true"
        raise OutOfDomain(f"{where} must be TRUE or FALSE, got {cell!r}")
    if not isinstance(cell, str):
        raise OutOfDomain(f"{where} must be text ({param.text}), got {cell!r}")
    if param.is_list:
        if is_error(cell):
            raise OutOfDomain(f"{where} holds the error {cell}")
        return split_list(cell)
    if param.choices:
        folded = {c.casefold(): c for c in param.choices}
        if cell.strip().casefold() not in folded:
            raise OutOfDomain(f"{where} must be one of {', '.join(param.choices)}, got {cell!r}")
        return folded[cell.strip().casefold()]
    if not param.thing:
        return cell
    try:
        return param.thing.of(cell)
    except MlsysError as error:
        raise type(error)(f"{where}: {error}") from None


def options_cell(entry: Entry, param: Param, cell: Any) -> Any:
    """A range of two columns, name | value, as the one text that it stands for; any other cell as it is."""
    table = as_objects(cell) if param is OPTIONS else None
    if table is None or table.ndim < 2 or table.shape[1] != 2:
        return cell
    rows = [(name, value) for name, value in table if not is_blank(name)]
    if not rows or any(not isinstance(name, str) or "=" in name for name, _ in rows):
        return cell
    return "; ".join(f"{name} = {_as_text(entry, name, value)}" for name, value in rows if not is_blank(value))


def _as_text(entry: Entry, name: str, value: Any) -> str:
    if is_error(value):
        raise OutOfDomain(f"{entry.excel}: options: {name} holds the error {value}")
    text = str(value)
    return f"{{{text}}}" if ";" in text and not text.startswith("{") else text


def options_of(entry: Entry, cell: Any) -> dict[str, Any]:
    """Keyword arguments from options text, in the grammar of spec text."""
    if not isinstance(cell, str):
        raise OutOfDomain(f"{entry.excel}: options must be text such as 'name = value; name = value', got {cell!r}")
    name, pairs = split_spec(cell)
    legal = {p.name: p for p in entry.params if p.is_option}
    unknown = [n for n in ([name] if name else [*pairs]) if name or n not in legal]
    if unknown:
        near = _near(unknown[0], [*legal])
        raise UnknownName(f"{entry.excel}: options has no {unknown[0]!r}; {near}it has {', '.join(legal)}")
    return {n: _option(entry, legal[n], text) for n, text in pairs.items()}


def _option(entry: Entry, param: Param, text: str) -> Any:
    where = f"{entry.excel}: options: {param.name}"
    return word(param, text, where) if param.unit is None else number_of_text(param, text, where)


def number_of_text(param: Param, text: str, where: str) -> float:
    """A number in base units from text: in the face unit, or with its unit behind it."""
    if param.unit is None:
        raise TypeError(f"{where} has no unit")
    try:
        value = float(text)
    except ValueError:
        return param.unit.parse(text, where)
    return float(param.unit.check(param.unit.from_face(value), where))


def number(entry: Entry, param: Param, cell: Any) -> float:
    """A number in base units from a cell in face units, or from text with its unit."""
    where, unit = f"{entry.excel}: {param.name}", param.unit
    if unit is None:
        raise TypeError(f"{where} has no unit")
    if type(cell) is float:
        return float(unit.check(unit.from_face(cell), where))
    if is_blank(cell):
        if param.required or param.default is None:
            raise OutOfDomain(f"{where} is empty ({param.help})")
        return float(param.default)
    if is_error(cell):
        raise OutOfDomain(f"{where} holds the error {cell}")
    if isinstance(cell, bool):
        raise OutOfDomain(f"{where} must be a number, got {str(cell).upper()} ({param.help})")
    try:
        float(cell)
    except ValueError:
        return unit.parse(cell, where)
    raise OutOfDomain(f"{where} holds the text {cell!r}; enter the number itself, or text with a unit")
