"""The registry and helper functions: look-up, provenance, lists, unit conversion, version.

Small functions over scalars; `_elementwise` lets each take ranges and answers element by element.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlsysim.catalogue import Entry
from mlsysim.errors import MissingFact, MlsysError, OutOfDomain, UnknownName, WrongArguments
from mlsysim.registry import Registry, Thing, face, fields, fold, near_fields, spec
from mlsysim.solvers.why import why
from mlsysim.things import (
    ACCURACY,
    BANDS,
    COMPONENTS,
    DEFAULTS,
    EFFICIENCY,
    FABRICS,
    FLEETS,
    GRIDS,
    HARDWARE,
    MODELS,
    NODES,
    PRECISIONS,
    PRICES,
    RACKS,
    SITES,
    STORAGE,
    WALLS,
)
from mlsysim.units import SYMBOLS, unit_of
from mlsysim.version import __version__

from . import sweep
from .arguments import Argument, excel_params, one_call
from .cells import TEXT_LIMIT, Block, Cell, as_objects, block, is_blank, is_error, outward, refusal
from .publish import Published

REGISTRIES: tuple[Registry[Any], ...] = (
    HARDWARE, MODELS, FLEETS, NODES, FABRICS, SITES, GRIDS, PRICES, STORAGE, RACKS, COMPONENTS, PRECISIONS, DEFAULTS,
    EFFICIENCY, BANDS, ACCURACY, WALLS,
)  # fmt: skip
_ALSO: dict[str, Registry[Any]] = {
    "clusters": FLEETS,
    "systems": FLEETS,
    "infra": SITES,
    "datacenters": SITES,
    "devices": HARDWARE,
}
GROUP = "Registry"
PARTS = ("title", "url", "as_of", "kind", "printed", "note")


def registry_of(name: str) -> Registry[Any]:
    """A registry by its name, tolerant of case and of the singular."""
    known: dict[str, Registry[Any]] = {r.name: r for r in REGISTRIES} | _ALSO
    for key, registry in known.items():
        if fold(name) in (fold(key), fold(key.removesuffix("s"))):
            return registry
    raise UnknownName(f"no registry called {name!r}; legal are {', '.join(r.name for r in REGISTRIES)}")


def _field(thing: Thing, name: str) -> str:
    legal = fields(type(thing))
    folded = {fold(n): n for n in (*legal, "key", "title", "group")}
    if fold(name) not in folded:
        raise UnknownName(f"a row of {type(thing).__name__} has no field {name!r}; {near_fields(type(thing), name)}")
    return folded[fold(name)]


def get(registry: str, key: str, name: str) -> Any:
    """One field of one row, in face units."""
    thing = registry_of(registry).resolve(key)
    name = _field(thing, name)
    value = getattr(thing, name) if name in ("key", "title", "group") else face(thing, name)
    if value is None:
        raise MissingFact(f"{thing.key} has no {name} on record")
    return value


def unit_of_field(registry: str, key: str, name: str) -> str:
    """The unit that `get` answers in; empty where the field is a word or has no unit."""
    thing: Thing = registry_of(registry).resolve(key)
    unit = unit_of(fields(type(thing)).get(_field(thing, name)))
    return unit.face if unit else ""


def spec_text(registry: str, key: str) -> str:
    """All that a row knows, as spec text."""
    thing: Thing = registry_of(registry).resolve(key)
    return spec(thing)


def source(registry: str, key: str, name: str, part: str = "title") -> str:
    """Where a value comes from."""
    thing: Thing = registry_of(registry).resolve(key)
    name = _field(thing, name)
    fact = thing.facts.get(name)
    if fact is None:
        raise MissingFact(f"{thing.key} has no {name} on record, so it has no source")
    known = {"title": fact.source.title, "url": fact.source.url, "as_of": fact.source.as_of.isoformat(),
             "kind": fact.kind, "printed": fact.printed, "note": fact.note}  # fmt: skip
    if part.strip().casefold() not in known:
        raise UnknownName(f"part must be one of {', '.join(PARTS)}, got {part!r}")
    return known[part.strip().casefold()]


def keys(registry: str, pattern: str = "") -> list[str]:
    """Keys of a registry whose key, title or group contains a text."""
    wanted = pattern.strip().casefold()
    rows = registry_of(registry).items()
    found = [k for k, t in rows if not wanted or wanted in f"{k} {t.title} {t.group}".casefold()]
    if not found:
        raise UnknownName(f"no row of {registry} contains {pattern!r}")
    return found


def convert(value: float, unit_from: str, unit_to: str) -> float:
    """A number in another unit of the same dimension, exactly rounded once."""
    for symbols in SYMBOLS.values():
        if unit_from in symbols and unit_to in symbols:
            scale = symbols[unit_from] / symbols[unit_to]
            return value * float(scale.numerator) / float(scale.denominator)
    known = [s for s in (unit_from, unit_to) if not any(s in symbols for symbols in SYMBOLS.values())]
    if known:
        raise UnknownName(f"no unit {known[0]!r}; spell units as in GB, GiB, GB/s, Gb/s, TFLOP/s, kWh, USD/kWh, g/kWh")
    raise OutOfDomain(f"{unit_from} and {unit_to} measure different things")


# ------------------------------------------------------------------ as Excel functions


def _elementwise(name: str, call: Callable[..., Any], kinds: Mapping[str, type], required: int) -> Callable[..., Any]:
    """Broadcast cells over a scalar function; check text and numbers by name."""

    def one(cells: Sequence[Any]) -> Cell:
        given: list[Any] = []
        for (arg, kind), cell in zip(kinds.items(), cells, strict=True):
            if is_error(cell):
                raise OutOfDomain(f"{name}: {arg} holds the error {cell}")
            if is_blank(cell):
                if len(given) < required:
                    raise OutOfDomain(f"{name}: {arg} is empty")
                break
            if type(cell) is not kind:
                wanted = "a number" if kind is float else "text"
                raise OutOfDomain(f"{name}: {arg} must be {wanted}, got {cell!r}")
            if isinstance(cell, float) and not math.isfinite(cell):
                raise OutOfDomain(f"{name}: {arg} must be a finite number")
            given.append(cell)
        return outward(call(*given))

    def safe(*cells: Any) -> Cell:
        try:
            return one(cells)
        except MlsysError as error:
            return refusal(str(error))

    def run(cells: Sequence[Any]) -> Cell | Block:
        arrays = [as_objects(c) for c in cells]
        try:
            grids = np.broadcast_arrays(*arrays)
        except ValueError:
            raise OutOfDomain(f"{name}: ranges must have equal sizes, or be a row and a column") from None
        out = np.empty(grids[0].shape, dtype=object)
        for i in np.ndindex(out.shape):
            answer = safe(*(g[i] for g in grids))
            if out.ndim and isinstance(answer, str) and len(answer) > TEXT_LIMIT:
                answer = refusal(
                    f"{name}: text of more than {TEXT_LIMIT} characters fits no block; ask in single cells"
                )
            out[i] = answer
        return block(out)

    return run


def _tool(
    name: str, call: Callable[..., Any], summary: str, arguments: Mapping[str, tuple[type, str]], required: int
) -> Published:
    kinds = {n: k for n, (k, _) in arguments.items()}
    texts = tuple(Argument(n, t, i >= required) for i, (n, (_, t)) in enumerate(arguments.items()))
    return Published(name, summary, GROUP, texts, _elementwise(name, call, kinds, required))


def _table(
    name: str, call: Callable[..., Block], summary: str, arguments: Mapping[str, str], required: int
) -> Published:
    """A function that answers with a block; its arguments are single texts."""

    def run(cells: Sequence[Any]) -> Block:
        given: list[str] = []
        for arg, cell in zip(arguments, (as_objects(c) for c in cells), strict=True):
            if cell.ndim or not (is_blank(cell.item()) or isinstance(cell.item(), str)) or is_error(cell.item()):
                raise OutOfDomain(f"{name}: {arg} must be one text")
            if is_blank(cell.item()) and len(given) < required:
                raise OutOfDomain(f"{name}: {arg} is empty")
            given.append(cell.item() or "")
        return call(*given)

    texts = tuple(Argument(n, t, i >= required) for i, (n, t) in enumerate(arguments.items()))
    return Published(name, summary, GROUP, texts, run)


def _function(published: Mapping[str, Published], name: str) -> Published:
    """A published function by its name, with or without the prefix."""
    key = name.strip().upper()
    function = published.get(key) or published.get(f"MLS_{key}")
    if function is None:
        near = difflib.get_close_matches(key, published, n=3, cutoff=0.4)
        raise UnknownName(f"no function {name!r}; did you mean {', '.join(near) or 'MLS_SERVING'}?")
    return function


def metrics_table(published: Mapping[str, Published], name: str) -> Block:
    """Metrics of a function with their units, headline first."""
    function = _function(published, name)
    entry = function.entry
    if entry is None:
        raise UnknownName(f"{function.name} has one answer only")
    hints = entry.metrics or {entry.name: entry.returns}
    return [[n, u.face if (u := unit_of(h)) else ""] for n, h in hints.items()]


def explain(published: Mapping[str, Published], cells: Sequence[Any]) -> str:
    """Why a function answers what it answers; its arguments follow its name in their Excel order."""
    name, *rest = cells
    entry = _computing(published, name, "MLS_WHY")
    params = excel_params(entry)
    blank = [as_objects(c) for c in rest[len(params) :]]
    if any(c.ndim or not is_blank(c.item()) for c in blank):
        raise WrongArguments(
            f"MLS_WHY: {entry.excel} takes {len(params)} arguments: {', '.join(p.name for p in params)}"
        )
    cells = [*rest[: len(params)], *[None] * (len(params) - len(rest))]
    given, metric = one_call(entry, params, cells)
    return why(entry.name, metric=metric or None, **given)


def swept(published: Mapping[str, Published], cells: Sequence[Any]) -> Block:
    """The rows of a small sweep."""
    name, *rest = cells
    return sweep.answer(_computing(published, name, sweep.NAME), rest)


def _computing(published: Mapping[str, Published], name: Any, asker: str) -> Entry:
    """The entry of a function that computes, by the cell that names it."""
    cell = as_objects(name)
    if cell.ndim or not isinstance(cell.item(), str) or is_blank(cell.item()) or is_error(cell.item()):
        raise OutOfDomain(f"{asker}: function_name must be one text, such as MLS_ROOFLINE")
    function = _function(published, cell.item())
    if function.entry is None:
        raise UnknownName(f"{function.name} looks something up; {asker} takes functions that compute")
    return function.entry


def checksum(cells: Any) -> str:
    """Twelve hexadecimal digits that change when a cell, or the shape of the range, changes (SHA-256).

    Numbers count to 15 digits, as Excel keeps them; TRUE counts as 1, because LibreOffice delivers it so.
    """
    array = np.atleast_2d(as_objects(cells))
    texts = [[_canonical(c) for c in row] for row in array]
    return hashlib.sha256(json.dumps(texts, ensure_ascii=False).encode()).hexdigest()[:HASH_DIGITS]


def _canonical(cell: Any) -> str:
    if is_error(cell):
        raise OutOfDomain(f"MLS_HASH: cells holds the error {cell}")
    if cell is None or cell == "":
        return ""
    if isinstance(cell, str):
        return f"t{cell}"
    if not math.isfinite(cell):
        raise OutOfDomain("MLS_HASH: cells holds a number that is not finite")
    return f"n{float(cell) + 0.0:.15g}"


REGISTRY_TEXT = "Registry: " + ", ".join(r.name for r in REGISTRIES)
KEY_TEXT = "Key of the row, or its spec text"
WHY_ARGUMENTS = (
    Argument("function_name", "Function to explain, such as MLS_ROOFLINE", False),
    *(Argument(f"argument{i}", f"Argument {i} of that function, in its own order", True) for i in range(1, 13)),
)
HASH_DIGITS = 12
FIELD_TEXT = "Field, such as memory, bandwidth, fp16, tdp, price, params, layers"


def tools(published: Mapping[str, Published]) -> list[Published]:
    """The functions of this module; `published` is the finished table, which MLS_METRICS reads."""
    row = {"registry": (str, REGISTRY_TEXT), "key": (str, KEY_TEXT)}
    field = row | {"field": (str, FIELD_TEXT)}
    return [
        _tool("MLS_GET", get, "One fact of the registry, in its face unit (GB, GB/s, TFLOP/s, W, USD).", field, 3),
        _tool("MLS_SPEC", spec_text, "All that the registry knows of one row, as spec text to copy and edit.", row, 2),
        _tool("MLS_SOURCE", source, "Source of one fact: title, url, as_of, kind, printed or note.",
              field | {"part": (str, f"One of {', '.join(PARTS)} (default title)")}, 3),
        _table("MLS_LIST", lambda r, f="": [[k] for k in keys(r, f)], "Keys of a registry, in a column.",
               {"registry": REGISTRY_TEXT, "filter": "Text that key, title or group must contain; blank: all"}, 1),
        _table("MLS_METRICS", lambda n: metrics_table(published, n), "Metrics of a function with their units.",
               {"function_name": "Function, such as MLS_SERVING"}, 1),
        _tool("MLS_CONVERT", convert, "A number in another unit of the same dimension.",
              {"value": (float, "Number to convert"), "unit_from": (str, "Unit it is in, such as GiB, Gb/s or kWh"),
               "unit_to": (str, "Unit wanted, such as GB, GB/s or J")}, 3),
        Published("MLS_WHY", "The wall that binds an answer and the next-best levers, in words with numbers.",
                  "Analysis", WHY_ARGUMENTS, lambda cells: explain(published, cells)),
        Published(sweep.NAME, "Best configurations of a grid, or the front of two goals, from one cell.", "Analysis",
                  sweep.ARGUMENTS, lambda cells: swept(published, cells)),
        Published("MLS_HASH", "Short checksum of a range: it changes when any cell of it does.", GROUP,
                  (Argument("cells", "Range to sum up; formats do not count", False),),
                  lambda cells: checksum(cells[0])),
        Published("MLS_VERSION", "Version of the engine that answers.", GROUP, (), lambda _: __version__),
    ]  # fmt: skip
