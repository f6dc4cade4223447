"""Columns of names: keys or things beside columns of numbers, answered once for each combination of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import OutOfDomain, WrongArguments
from .record import Result
from .units import parts

if TYPE_CHECKING:
    from .param import Param


def columns_of_names(params: Mapping[str, Param], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that hold several names where one is asked for, as arrays of objects."""
    out: dict[str, Any] = {}
    for name, value in given.items():
        if not isinstance(value, list | tuple | np.ndarray) or np.ndim(value) == 0:
            continue
        param = params[name]
        if param.unit is None and not param.is_list and bool not in parts(param.hint):
            out[name] = np.asarray(value, dtype=object)
    return out


def spread(call: Callable[..., Any], given: Mapping[str, Any], names: Mapping[str, Any]) -> Any:
    """The answers of a function for columns of names.

    Parameters
    ----------
    call : callable
        The function, for single names; numbers may be columns.
    given : mapping of str to object
        All arguments.
    names : mapping of str to array
        Those of `columns_of_names`.

    Returns
    -------
    object
        As the function answers, with figures of the common shape; words as their codes.

    Raises
    ------
    MlsysError
        Sizes that do not fit together, a function that answers with a table, or whatever the function refuses.
    """
    label = getattr(call, "__name__", "this function")
    columns = dict(names) | {n: np.asarray(v) for n, v in given.items() if n not in names and _is_column(v)}
    try:
        shape = np.broadcast_shapes(*(c.shape for c in columns.values()))
    except ValueError:
        sizes = ", ".join(f"{n} {'x'.join(map(str, c.shape))}" for n, c in columns.items())
        raise OutOfDomain(f"{label}: columns must have equal sizes, got {sizes}") from None
    flat = {n: np.broadcast_to(c, shape).reshape(-1) for n, c in columns.items()}
    members: dict[tuple[Any, ...], list[int]] = {}
    for i, combination in enumerate(zip(*(map(_key, flat[n]) for n in names), strict=True)):
        members.setdefault(combination, []).append(i)
    if not members:
        raise OutOfDomain(f"{label}: {next(iter(names))} names nothing")
    answers = []
    for places in members.values():
        index = np.array(places)
        one = {n: c[places[0]] if n in names else c[index] for n, c in flat.items()}
        answers.append((index, call(**{**given, **one})))
    first = answers[0][1]
    if not isinstance(first, Result):
        return _gathered(answers, shape)
    if hasattr(first, "__len__"):
        raise WrongArguments(f"{label} answers with a table; give one {next(iter(names))} at a time")
    return type(first)(**{n: _gathered([(i, getattr(a, n)) for i, a in answers], shape) for n in vars(first)})


def _is_column(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and np.ndim(value) > 0


def _key(name: Any) -> Any:
    return name if isinstance(name, str) else id(name)


def _gathered(answers: list[tuple[Any, Any]], shape: tuple[int, ...]) -> Any:
    """Figures of groups in their places."""
    values = [np.asarray(int(v) if isinstance(v, int) and not isinstance(v, bool) else v) for _, v in answers]
    kind = object if any(v.dtype.kind in "OU" for v in values) else np.result_type(*values)
    out = np.empty(sum(len(i) for i, _ in answers), dtype=kind)
    for (index, _), value in zip(answers, values, strict=True):
        out[index] = value
    return out.reshape(shape)
