"""The fields of a ``config.json``, each read by name and judged: missing, of a wrong type, out of range."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import MissingFact, OutOfDomain

LARGEST = 1e9  # plausibility, as everywhere in units.py
FOREIGN = ("num_experts", "num_local_experts", "n_routed_experts", "kv_lora_rank")  # signs of another architecture


class Fields:
    """The fields of one file, of one `kind` of model; `defaults` are what published files rely on."""

    def __init__(self, data: Mapping[str, Any], kind: str, where: str, defaults: Mapping[str, int]) -> None:
        self.kind, self.where, self.defaults = kind, where, defaults
        self._data, self._asked = data, set[str]()
        self.found = set[int]()  # every number that was read

    def silent(self, name: str) -> bool:
        """Whether the file leaves a field out whose default the published files rely on."""
        return self._data.get(name) is None and name in self.defaults

    def count(self, *names: str, default: int | None = None, low: int = 1, high: float = LARGEST) -> int:
        """A whole number, under one of several names; refused where it is missing and has no default."""
        found = self.optional(*names, low=low, high=high)
        if (found := default if found is None else found) is None:
            raise MissingFact(f"{self.where}: {' or '.join(names)} is missing; a {self.kind} needs it")
        return found

    def optional(self, *names: str, low: int = 1, high: float = LARGEST) -> int | None:
        """The same, or what published files rely on, where the file has null or nothing; else None."""
        self._asked |= set(names)
        values = {n: self._data[n] for n in names if self._data.get(n) is not None}
        for name, value in values.items():
            self._whole(name, value, low, high)
        if len(set(values.values())) > 1:
            raise OutOfDomain(f"{self.where}: {' and '.join(values)} contradict each other")
        if not values:
            return self.defaults.get(names[0])
        self.found |= {int(v) for v in values.values()}
        return int(next(iter(values.values())))

    def nullable(self, *names: str, low: int = 1) -> int | None:
        """The same for a field that says something by null, so that its absence is refused."""
        if not any(n in self._data for n in names):
            raise MissingFact(f"{self.where}: {names[0]} is missing; a {self.kind} needs it, null where it has none")
        return self.optional(*names, low=low)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """True or false; refused where it is missing and has no default."""
        value = self._data.get(name)
        if value is not None and not isinstance(value, bool):
            raise OutOfDomain(f"{self.where}: {name} must be true or false, got {str(value)[:60]!r}")
        if (value := default if value is None else value) is None:
            raise MissingFact(f"{self.where}: {name} is missing; a {self.kind} needs it")
        return value

    def integers(self, name: str) -> list[int]:
        """A list of whole numbers; empty where the file has none."""
        values = self._list(name) or []
        for value in values:
            self._whole(f"each of {name}", value, 0, LARGEST)
        return values

    def words(self, name: str, legal: Iterable[str]) -> list[str] | None:
        values = self._list(name)
        for value in values or []:
            if value not in legal:
                raise OutOfDomain(f"{self.where}: {name} knows {', '.join(legal)}, got {str(value)[:60]!r}")
        return values

    def inside(self, name: str) -> Fields:
        """The fields of a nested object."""
        value = self._data.get(name, {})
        if not isinstance(value, dict):
            raise OutOfDomain(f"{self.where}: {name} must be an object, got {str(value)[:60]!r}")
        return Fields(value, self.kind, f"{self.where}: {name}", {})

    def only(self, name: str, legal: Any, default: Any = None) -> None:
        """Refuse a value whose shape no reader counts."""
        value = self._data.get(name)
        if type(value := default if value is None else value) is not type(legal) or value != legal:
            raise OutOfDomain(
                f"{self.where}: {name} = {json.dumps(value)[:60]} is not modelled, only {json.dumps(legal)}"
            )

    def refuse_foreign(self) -> None:
        """Refuse fields of another architecture: to pass over them would miscount."""
        for name in FOREIGN:
            if name not in self._asked and self._data.get(name):
                raise OutOfDomain(f"{self.where}: {name} does not belong to a {self.kind}; is model_type right?")

    def _list(self, name: str) -> list[Any] | None:
        value = self._data.get(name)
        if value is not None and not isinstance(value, list):
            raise OutOfDomain(f"{self.where}: {name} must be a list, got {str(value)[:60]!r}")
        return value

    def _whole(self, name: str, value: Any, low: int, high: float) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high or value % 1:
            legal = f"a whole number from {low} up to {high:g}"
            raise OutOfDomain(f"{self.where}: {name} must be {legal}, got {str(value)[:60]!r}")
