"""The plan of a new workbook: inputs, options and cost lines, read from ``plan.toml`` and ``lines.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from mlsysim import serving
from mlsysim.errors import MlsysError
from mlsysim.things import DEFAULTS, HARDWARE, MODELS, NODES

from .errors import WorkbookError

USUAL, MOST = 6, 8  # options of a workbook unless it is told otherwise, and at most
FOLDER = Path(__file__).parent
WORKLOADS = ("serving", "training", "both")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its spread and where it comes from."""

    low: Any
    base: Any
    high: Any
    source: str = ""
    url: str = ""
    as_of: date | None = None
    kind: str = "choice"
    note: str = ""

    @property
    def single(self) -> bool:
        """Whether it has no spread."""
        return isinstance(self.base, str) or self.low == self.base == self.high


@dataclass(frozen=True, slots=True)
class Input:
    """One named input cell."""

    block: str
    name: str
    label: str
    unit: str
    figure: Figure
    minimum: float | None = None
    maximum: float | None = None
    whole: bool = False
    list_name: str | None = None  # defined name that feeds the dropdown
    choices: tuple[str, ...] = ()
    optional: bool = False  # may stay blank


@dataclass(frozen=True, slots=True)
class Line:
    """One cost line: price x quantity x driver, in the months that its timing names, moved by its escalator."""

    item: str
    group: str
    applies: str
    driver: str
    timing: str
    escalator: str
    quantity: float
    unit: str
    figure: Figure
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table Options."""

    financing: str
    server: str
    device: str
    devices_per_server: int
    precision: str
    site: str
    tp: int = 1
    servers: int | None = None
    start: int = 0
    term: int | None = None
    overflow: str = "none"


@dataclass(frozen=True, slots=True)
class Plan:
    """What `build` writes."""

    inputs: list[Input]
    lines: list[Line]
    options: list[Option]
    months: int = 60  # columns of the timeline after month 0
    notes: dict[str, Any] = field(default_factory=dict)


def read_plan(
    count: int | None = None,
    *,
    case: str | None = None,
    model: str | None = None,
    hardware: list[str] | None = None,
    horizon: int | None = None,
) -> Plan:
    """The shipped plan, with what the command line asks for.

    Parameters
    ----------
    count : int, optional
        Rows of the Options table; blank: six, or one for each device of `hardware` and the shipped ways to rent.
    case : str, optional
        serving, training or both.
    model : str, optional
        Key of the model to serve, or to train where nothing is served.
    hardware : list of str, optional
        Keys of the devices that the options take, in turn.
    horizon : int, optional
        Months, 1 to 120.
    """
    inputs = [_input(dict(r)) for r in _rows("plan.toml", "input")]
    options = [Option(**o) for o in _rows("plan.toml", "option")]
    lines = [_line(dict(r)) for r in _rows("lines.toml", "line")]
    changes: dict[str, Any] = {}
    if case is not None:
        if case not in WORKLOADS:
            raise WorkbookError(f"case is one of {', '.join(WORKLOADS)}, got {case!r}.")
        changes["in_Workload"] = case
    if model is not None:
        changes["in_TrainModel" if case == "training" else "in_Model"] = MODELS[model].key
    months = 60
    if horizon is not None:
        if not 1 <= horizon <= 120:
            raise WorkbookError(f"horizon is 1 to 120 months, got {horizon}.")
        changes["in_HorizonMonths"] = horizon
        months = max(12, -(-horizon // 12) * 12)
    if hardware:
        options = _with_devices(options, hardware)
    if case in ("training", "both"):
        options = [o for o in options if o.financing != "API" and o.overflow != "API"]
    count = min(USUAL, len(options)) if count is None else count
    if not 1 <= count <= len(options):
        raise WorkbookError(f"a workbook has 1 to {len(options)} options here, got {count}.")
    value = {i.name: changes.get(i.name, i.figure.base) for i in inputs}
    if value["in_Workload"] != "training":
        options = [_that_fits(o, value) for o in options]
    if months > 60:
        inputs = [replace(i, maximum=months) if i.maximum == 60 and i.unit == "months" else i for i in inputs]
    inputs = [_set(i, changes[i.name]) if i.name in changes else i for i in inputs]
    return Plan(inputs, lines, options[:count], months)


def _set(item: Input, value: Any) -> Input:
    return replace(item, figure=Figure(value, value, value, note=item.figure.note))


def _with_devices(options: list[Option], hardware: list[str]) -> list[Option]:
    """The shipped ways to pay, each with the next of the devices asked for; every device is bought once first."""
    out: list[Option] = []
    devices = [HARDWARE[key].key for key in hardware]
    ways = [o for o in options if o.device]
    for i, key in enumerate(devices):
        out.append(_of_device(ways[0], key) if i else _of_device(options[0], key))
    for i, option in enumerate(options[1:]):
        out.append(_of_device(option, devices[i % len(devices)]) if option.device else option)
    return out[:MOST]


def _of_device(option: Option, key: str) -> Option:
    """An option with another device, in the server on record for it, else in a board of eight."""
    if option.device == key:
        return option
    node = next((n for n in NODES.values() if n.device is not None and n.device.key == key), None)
    server, held = ("", 8) if node is None else (node.key, int(node.devices))
    return replace(option, device=key, server=server, devices_per_server=held)


def _that_fits(option: Option, value: dict[str, Any]) -> Option:
    """An option with a precision that its device has, and as many accelerators to a replica as its memory needs.

    What does not fit in one server stays as it was: the engine refuses it in its own words.
    """
    if not option.device:
        return option
    device, precision = HARDWARE[option.device], option.precision
    if getattr(device, precision, None) is None:
        precision = next((p for p in ("fp8", "int8", "bf16", "fp16") if getattr(device, p) is not None), precision)
    lengths = {"seq_len": value["in_SeqLen"], "output_tokens": value["in_OutputTokens"]}
    tp = 1
    while option.devices_per_server % tp == 0:
        batch = value["in_Batch"] * tp
        try:
            found = serving(value["in_Model"], device, batch=batch, precision=precision, tp=tp, **lengths)
        except MlsysError:
            break
        if found.feasible:
            return replace(option, precision=precision, tp=tp)
        tp *= 2
    return replace(option, precision=precision)


def _rows(file: str, kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tomllib.loads((FOLDER / file).read_text("utf-8"))[kind]
    return rows


def _figure(row: dict[str, Any]) -> Figure:
    """Low, base, high and source of a row; one with `default` takes them from the registry of defaults."""
    if "default" not in row:
        base = None if row.get("optional") else row["base"]
        note = row["note"]
        kind = "assumption" if note.startswith("Assumption") else "choice"
        return Figure(row.get("low", base), base, row.get("high", base), kind=kind, note=note)
    default = DEFAULTS[row["default"]]
    fact = default.facts["value"]
    low, high = (default.value if x is None or row.get("single") else x for x in (default.low, default.high))
    return Figure(low, default.value, high, fact.source.title, fact.source.url, fact.source.as_of, fact.kind, fact.note)


def _input(row: dict[str, Any]) -> Input:
    return Input(
        row["block"], row["name"], row["label"], row["unit"], _figure(row), row.get("min"), row.get("max"),
        row.get("whole", False), row.get("list"), tuple(row.get("choices", ())), row.get("optional", False),
    )  # fmt: skip


def _line(row: dict[str, Any]) -> Line:
    names = ("item", "group", "applies", "driver", "timing", "escalator", "quantity", "unit", "name")
    return Line(**{n: row[n] for n in names if n in row}, figure=_figure(row))
