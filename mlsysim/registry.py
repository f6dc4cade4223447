"""Registries: named, immutable, sourced things, from ``data/*.toml`` or from spec text.

A `Thing` is a frozen record whose numbers are plain floats in base units; where each came
from stands beside it in ``thing.facts``.  One reader serves data files and spec text, so both
know the same fields, units and refusals::

    "MyGPU; base = H100; memory = 96 GB; price = 27000 USD"
    "MyFleet; nodes = 8; node = {MyNode; devices = 8; device = H100}; fabric = InfiniBand_NDR"
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Self, TypeVar, cast, get_args

from .errors import MissingFact, OutOfDomain, UnknownName
from .hints import hints_of
from .units import Unit, unit_of

DATA = Path(__file__).parent / "data"
KINDS = ("datasheet", "paper", "measurement", "price-list", "derived", "estimate", "user")
DEEPEST = 8  # braces in one spec text: a fleet of nodes of devices needs three
NEED_NOTE = ("derived", "estimate")
T = TypeVar("T", bound="Thing")


@dataclass(frozen=True, slots=True)
class Source:
    """A document: what it is, where it is, and the day it was read."""

    title: str
    kind: str
    url: str
    as_of: date


@dataclass(frozen=True, slots=True)
class Fact:
    """One value as its source prints it; `kind` and `note` may narrow the source's."""

    printed: str
    source: Source
    kind: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Base of every registry row: a key, a title, sourced facts."""

    supersedes: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # fields of a base that no longer hold when one is changed
    key: str
    title: str = field(compare=False)
    group: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, text: Any) -> Self:
        """A thing of this kind from itself, a registry key or spec text."""
        return REGISTRIES[cls].resolve(text)  # type: ignore[no-any-return]

    def need(self, name: str) -> Any:
        """The value of an optional field, or a `MissingFact` that says how to supply it."""
        value = getattr(self, name)
        if value is None:
            raise MissingFact(
                f"{self.key} has no {name} on record; give it in a spec text, such as "
                f"'{self.key}; base = {self.key}; {name} = {example(type(self), name)}'"
            )
        return value


USER = Source("the user's own figure", "user", "", date(1970, 1, 1))


class Registry(Mapping[str, T], Generic[T]):
    """Things by key, blind to case and punctuation; a wrong key is answered with near ones."""

    def __init__(self, name: str, kind: type[T], file: str, table: str = "") -> None:
        self.name, self.kind, self._file, self._table = name, kind, file, table
        REGISTRIES[kind] = self

    __hash__ = object.__hash__  # a registry is itself, whatever it holds

    @property
    def _things(self) -> dict[str, T]:
        return _load(self)[0]  # type: ignore[return-value]

    def __getitem__(self, key: str) -> T:
        things, index = _load(self)
        if isinstance(key, str) and key in things:  # the common case, cheaply
            return things[key]  # type: ignore[return-value]
        if not isinstance(key, str) or not key.strip():
            raise UnknownName(f"{self.name}: a key such as {next(iter(things))} is needed, got {_shown(key)}")
        try:
            return things[index[fold(key)]]  # type: ignore[return-value]
        except KeyError:
            near = difflib.get_close_matches(fold(key), index, n=6, cutoff=0.5)
            keys = list(dict.fromkeys(index[n] for n in near))[:3]
            own = f"; or a spec text such as {samples(self.kind)[-1]!r}" if _nested(self.kind) else ""
            known = f"known are {', '.join(list(things)[: 3 if own else 8])} and so on"
            hint = f"did you mean {', '.join(keys)}?" if keys else known
            raise UnknownName(f"{self.name} has no {key!r}; {hint}{own}") from None

    def __contains__(self, key: object) -> bool:
        things, index = _load(self)
        return isinstance(key, str) and (key in things or fold(key) in index)

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def resolve(self, text: Any) -> T:
        """A thing from itself, from a registry key or from spec text."""
        if isinstance(text, self.kind):
            return text
        if isinstance(text, str) and any(c in text for c in ";={"):
            return from_spec(self.kind, text)
        return self[text]


REGISTRIES: dict[type[Thing], Registry[Any]] = {}


def fold(key: str) -> str:
    """Look-up form of a key: no case, no spaces or punctuation, but ``3-8`` stays apart from ``38``."""
    between_digits = re.sub(r"(?<=\d)[\s._-]+(?=\d)", ".", key.strip().casefold())
    return re.sub(r"[^\w.]|_", "", re.sub(r"(?<!\d)\.|\.(?!\d)", "", between_digits))


# ------------------------------------------------------------------ reading files


@cache
def sources() -> Mapping[str, Source]:
    """Every document that a data file may cite."""
    out: dict[str, Source] = {}
    for path in sorted((DATA / "sources").glob("*.toml")):
        for key, row in _toml(f"sources/{path.name}").items():
            if set(row) != {"title", "kind", "url", "as_of"} or row["kind"] not in KINDS or key in out:
                raise TypeError(f"{path.name}: {key} needs title, url, as_of, a kind among {', '.join(KINDS)}, once")
            out[key] = Source(**row)
    return MappingProxyType(out)


@cache
def _toml(file: str) -> dict[str, Any]:
    return tomllib.loads((DATA / file).read_text("utf-8"))


@cache
def _load(registry: Any) -> tuple[dict[str, Thing], dict[str, str]]:
    """The rows of a registry, and the folded keys and aliases that lead to them."""
    rows = _toml(registry._file)
    things: dict[str, Thing] = {}
    index: dict[str, str] = {}
    for key, row in (rows[registry._table] if registry._table else rows).items():
        row = dict(row)
        if "price" in fields(registry.kind) and (listed := _purchase(key)):
            row["price"] = listed
        for name in (key, *row.pop("aliases", ())):
            if index.setdefault(fold(name), key) != key:
                raise TypeError(f"{registry._file}: {name!r} names both {key} and {index[fold(name)]}")
        things[key] = _from_row(registry.kind, key, row)
    return things, index


def _purchase(item: str) -> dict[str, Any] | None:
    """The purchase price of a thing, from the price list; at most one row may state it."""
    rows = [r for r in _toml("prices.toml").values() if r["item"] == item and r["basis"] == "purchase"]
    if len(rows) > 1:
        raise TypeError(
            f"prices.toml: {len(rows)} purchase rows for {item}; keep one and file the others under another basis"
        )
    if not rows:
        return None
    amount = rows[0]["amount"]
    return {"source": rows[0].get("source"), **(amount if isinstance(amount, dict) else {"value": amount})}


def _from_row(kind: type[T], key: str, row: dict[str, Any]) -> T:
    """One TOML table: a default `source` and `group`, then ``field = value`` or ``field = {value, source, ...}``."""
    hints, default = fields(kind), row.pop("source", None)
    values: dict[str, Any] = {"key": key, "title": row.pop("title"), "group": row.pop("group", "")}
    facts: dict[str, Fact] = {}
    for name, cell in row.items():
        where = f"{key}: {name}"
        if name not in hints:
            raise TypeError(f"{where}: a {kind.__name__} has no such field; it has {', '.join(hints)}")
        extra = dict(cell) if isinstance(cell, dict) else {"value": cell}
        value, cited = extra.pop("value"), extra.pop("source", default)
        if cited not in sources():
            raise TypeError(f"{where}: a value needs a source listed in sources.toml, got {cited!r}")
        source = sources()[cited]
        fact_kind, note = extra.pop("kind", source.kind), extra.pop("note", "")
        if extra or fact_kind not in KINDS or (fact_kind in NEED_NOTE and not note):
            raise TypeError(f"{where}: {fact_kind} facts need a note; unknown entries: {', '.join(extra) or 'none'}")
        facts[name] = Fact(_shown(value), source, fact_kind, note)
        values[name] = _read(hints[name], value, where)
    return _make(kind, values, facts, key)


def _make(kind: type[T], values: dict[str, Any], facts: Mapping[str, Fact], key: str) -> T:
    for f in dataclasses.fields(kind):
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and f.name not in values:
            raise MissingFact(f"{key} lacks {f.name}; give for example {f.name} = {example(kind, f.name)}")
    return kind(**values, facts=MappingProxyType(dict(facts)))


def fields(kind: type[Thing]) -> dict[str, Any]:
    """The fields of a kind that a row or a spec may set, with their types."""
    return _fields(cast(Any, kind))


@cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = hints_of(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.name not in ("key", "title", "group", "facts")}


def _bare(hint: Any) -> Any:
    """``X`` of ``X | None``."""
    return next((a for a in get_args(hint) if a is not type(None)), hint) if type(None) in get_args(hint) else hint


def _read(hint: Any, value: Any, where: str) -> Any:
    """A field's value from its printed form."""
    unit, bare = unit_of(hint), _bare(hint)
    if unit is not None:
        if not isinstance(value, str) and unit.face:
            raise OutOfDomain(f"{where} needs its unit, such as '{value} {unit.face}'")
        return unit.check(value, where)
    if isinstance(bare, type) and issubclass(bare, Thing):
        return REGISTRIES[bare].resolve(value)
    if bare is bool:
        if str(value).casefold() not in ("true", "false"):
            raise OutOfDomain(f"{where} must be true or false, got {value!r}")
        return str(value).casefold() == "true"
    if not isinstance(value, str):
        raise OutOfDomain(f"{where} must be text, got {value!r}")
    return value


def example(kind: type[Thing], name: str) -> str:
    """What a legal value of a field looks like."""
    hint = fields(kind).get(name)
    unit, bare = unit_of(hint), _bare(hint)
    if unit is not None:
        return f"<number> {unit.face}".strip()
    return f"<{bare.__name__.lower()} key>" if isinstance(bare, type) and issubclass(bare, Thing) else "<text>"


def near_fields(kind: type[Thing], name: str) -> str:
    """The answer to a field that a kind does not have: the near ones, and all that there are."""
    legal = list(fields(kind))
    near = difflib.get_close_matches(name.casefold(), legal, n=3, cutoff=0.5)
    return (f"did you mean {', '.join(near)}? " if near else "") + f"legal are {', '.join(legal)}"


def _nested(kind: type[Thing]) -> list[str]:
    """The required fields of a kind that are things themselves."""
    return [n for n in _required(kind) if isinstance(_bare(fields(kind)[n]), type) and unit_of(fields(kind)[n]) is None
            and issubclass(_bare(fields(kind)[n]), Thing)]  # fmt: skip


def _required(kind: type[Thing]) -> list[str]:
    needed = {f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING}
    return [n for n in fields(kind) if n in needed]


def samples(kind: type[Thing]) -> tuple[str, ...]:
    """Spec texts that a reader can copy: the first row with a figure changed and, of a composed thing, all it needs."""
    key, first = next(iter(REGISTRIES[kind].items()))
    number = next((n for n in _required(kind) if unit_of(fields(kind)[n]) is not None), None)
    changed = [f"Mine; base = {key}; {number} = {first.facts[number].printed}"] if number else []
    whole = "; ".join(f"{n} = {first.facts[n].printed}" for n in _required(kind))
    return (*changed, *([f"Mine; {whole}"] if _nested(kind) else []))


# ------------------------------------------------------------------ spec text


def from_spec(kind: type[T], text: str) -> T:
    """Read spec text: ``[name;] field = value; ...``, nested with braces, ``base = KEY`` first if wanted.

    Raises
    ------
    OutOfDomain, UnknownName, MissingFact
        An unknown field, an unreadable value, or a required field left out.
    """
    return cast(T, _from_spec(cast(Any, kind), text))


@lru_cache(maxsize=4096)
def _from_spec(kind: Any, text: str) -> Any:
    if text.count("{") > DEEPEST:
        raise OutOfDomain(f"the spec text {text[:40]!r}... is nested more than {DEEPEST} deep")
    name, pairs = split_spec(text)
    registry, hints = REGISTRIES[kind], fields(kind)
    values: dict[str, Any] = {}
    facts: dict[str, Fact] = {}
    if "base" in pairs:
        base = registry.resolve(pairs.pop("base"))
        values = {n: getattr(base, n) for n in (*hints, "group") if getattr(base, n) is not None}
        facts = dict(base.facts)
        for stale in (s for n in pairs for s in kind.supersedes.get(n, ())):
            values.pop(stale, None)
            facts.pop(stale, None)
        name = name or base.key
    if "group" in pairs:
        values["group"] = pairs.pop("group")
    for field_name, printed in pairs.items():
        where = f"{name or kind.__name__}: {field_name}"
        if field_name not in hints:
            raise UnknownName(f"{where}: no such field; {near_fields(kind, field_name)}")
        values[field_name] = _read(hints[field_name], printed, where)
        facts[field_name] = Fact(printed, USER, "user")
    key = name or f"own {kind.__name__.lower()}"
    return _make(kind, values | {"key": key, "title": key}, facts, key)


def split_spec(text: str) -> tuple[str, dict[str, str]]:
    """The name (may be empty) and the ``field = value`` pairs of a spec, its options or a braced part."""
    body = text.strip()
    if body.startswith("{") and body.endswith("}"):
        body = body[1:-1]
    name, pairs = "", {}
    for i, part in enumerate(_parts(body)):
        left, equals, right = (s.strip() for s in part.partition("="))
        if not equals and i == 0 and left:
            name = left
        elif equals and left and right:
            if left in pairs:
                raise OutOfDomain(f"{left} is given twice in {text!r}")
            pairs[left] = right
        elif part.strip():
            raise OutOfDomain(f"cannot read {part.strip()!r} in {text!r}; write field = value, separated by semicolons")
    return name, pairs


def split_list(text: str) -> list[str]:
    """The keys and spec texts of a list, separated by semicolons; a spec text among others stands in braces."""
    parts = [p.strip() for p in _parts(text) if p.strip()]
    return [text] if any("=" in p and not p.startswith("{") for p in parts) else parts


def _parts(body: str) -> list[str]:
    """Split at semicolons outside braces."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(body):
        depth += (c == "{") - (c == "}")
        if depth < 0:
            break
        if c == ";" and depth == 0:
            parts.append(body[start:i])
            start = i + 1
    if depth != 0:
        raise OutOfDomain(f"the braces in {body!r} do not match")
    return [*parts, body[start:]]


def spec(thing: Thing) -> str:
    """Spec text that says all a thing knows; reading it back gives an equal thing."""
    parts = [thing.key, *([f"group = {thing.group}"] if thing.group else [])]
    for name in fields(type(thing)):
        value = getattr(thing, name)
        if isinstance(value, Thing):
            parts.append(f"{name} = {{{spec(value)}}}")
        elif name in thing.facts:
            parts.append(f"{name} = {thing.facts[name].printed}")
    return "; ".join(parts)


def face(thing: Thing, name: str) -> Any:
    """A field as a sheet shows it: face units, text, or the key of a nested thing; None where unknown."""
    hint, value = fields(type(thing))[name], getattr(thing, name)
    unit: Unit | None = unit_of(hint)
    if value is None or unit is None:
        return value.key if isinstance(value, Thing) else value
    fact = thing.facts.get(name)
    return unit.printed_in_face(fact.printed) if fact else unit.to_face(value)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "an empty value" if value in (None, "") else str(value)
