"""The plan that a new workbook starts with: its inputs and options, read from ``plan.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from mlsysim.things import DEFAULTS

from .errors import WorkbookError

USUAL = 4  # options of a workbook unless it is told otherwise
FILE = Path(__file__).with_name("plan.toml")


@dataclass(frozen=True, slots=True)
class Input:
    """One named input cell with its spread and where the figure comes from."""

    block: str
    name: str
    label: str
    unit: str
    low: Any
    base: Any
    high: Any
    source: str
    url: str
    as_of: date | None
    kind: str
    note: str
    minimum: float | None = None
    maximum: float | None = None
    whole: bool = False
    choices: str | None = None  # defined name that feeds the dropdown
    adverse: str = "high"  # the end that costs more
    optional: bool = False  # blank: the engine decides


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table Options."""

    server: str
    device: str
    servers: int
    devices_per_server: int
    tp: int
    precision: str
    site: str


def read_plan(count: int | None = None) -> tuple[list[Input], list[Option]]:
    """Inputs and the first `count` options (four unless given)."""
    rows = tomllib.loads(FILE.read_text("utf-8"))
    options = [Option(**o) for o in rows["option"]]
    if count is not None and not 1 <= count <= len(options):
        raise WorkbookError(f"a workbook has 1 to {len(options)} options, got {count}.")
    return [_input(dict(r)) for r in rows["input"]], options[: USUAL if count is None else count]


def _input(row: dict[str, Any]) -> Input:
    """An input row; one with `default` takes figures and source from the registry of defaults."""
    common = {"block": row["block"], "name": row["name"], "label": row["label"], "unit": row["unit"],
              "minimum": row.get("min"), "maximum": row.get("max"), "whole": row.get("whole", False),
              "choices": row.get("list"), "adverse": row.get("adverse", "high"),
              "optional": row.get("optional", False)}  # fmt: skip
    if "default" not in row:
        base = None if row.get("optional") else row["base"]
        own: dict[str, Any] = {k: row.get(k, base) for k in ("low", "base", "high")}
        kind = "assumption" if row["note"].startswith("Assumption") else "choice"
        return Input(**common, **own, source="", url="", as_of=None, kind=kind, note=row["note"])
    default = DEFAULTS[row["default"]]
    fact = default.facts["value"]
    low, high = (default.value if x is None else x for x in (default.low, default.high))
    return Input(
        **common, low=low, base=default.value, high=high, source=fact.source.title, url=fact.source.url,
        as_of=fact.source.as_of, kind=fact.kind, note=fact.note,
    )  # fmt: skip
