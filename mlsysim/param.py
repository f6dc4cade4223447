"""One argument of a catalogued function, as every face shows it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from .units import MANY, OPTION, Unit, notes, parts, unit_of

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Param:
    """One argument: name, type and default as the signature has them, text from the nomenclature."""

    name: str
    hint: Any
    default: Any
    text: str

    @property
    def unit(self) -> Unit | None:
        return unit_of(self.hint)

    @property
    def thing(self) -> Any:
        """The kind of registry thing it names, or None."""
        return next((a for a in parts(self.hint) if hasattr(a, "of")), None)

    @property
    def choices(self) -> tuple[str, ...]:
        return next((get_args(h) for h in parts(self.hint) if get_origin(h) is Literal), ())

    @property
    def is_option(self) -> bool:
        return OPTION in notes(self.hint)

    @property
    def is_list(self) -> bool:
        return MANY in notes(self.hint)

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def help(self) -> str:
        """``what it is [unit] (default ...)``, as every face shows it."""
        unit = f" [{self.unit.face}]" if self.unit and self.unit.face else ""
        choices = f": {', '.join(self.choices)}" if self.choices else ""
        if self.required or self.default is None:
            return f"{self.text}{choices}{unit}"
        shown = self.default
        if self.unit:
            shown = f"{self.unit.to_face(self.default):g}"
        return f"{self.text}{choices}{unit} (default {str(shown).upper() if isinstance(shown, bool) else shown})"
