"""Why a result is what it is, in words with numbers: the wall that binds, and what 10 % of each lever buys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..catalogue import Entry
from ..errors import MlsysError, OutOfDomain, WrongArguments
from ..things import DATAPATHS, Fleet, Precision
from ..units import Unit, unit_of
from .levers import Move, bound, entry_of, measured, metric_of, moves
from .operations import site_of

STEP = 0.1
SHOWN = 3  # levers named
FAINT = 0.0005  # a change below this share is none
# results of which less is better, by base unit; of all others more is better
LESS = {"s", "J", "B", "kg", "L", "W", "kW", "kWh", "USD", "USD/s", "USD/token", "USD/J", "kg/J", "GB"}
LESS_NAMES = {
    "devices",
    "utilisation",
    "servers",
    "bubble",
    "bubble_fraction",
    "wait_probability",
    "slowdown",
    "min_devices",
    "loss",
}
JOB = ("model", "draft", "student")  # things that say what is to be done, not with what
NARROWER = ("fp8", "int8", "w8a16", "fp4", "int4", "w4a16")  # tried in this order
NO_LEVER = {"year", "memory", "usable", "life_years", "reserve", "maintenance", "residual_share"}
JOB_NUMBERS = (
    "seq_len input_tokens output_tokens cached_prefix days hours tokens budget message flops traffic params workers "
    "layers kv_heads head_dim latent_width steps tokens_per_step arrival_rate arrivals_per_day job_days demand "
    "sample_size base_hours megawatts requests_per_s latency nodes devices energy annual_cost"
)

# the parts of a cost, largest first in the answer
PARTS = {
    ("tco", "tco_usd"): {
        "purchase (depreciation)": "capex_usd",
        "energy": "opex_energy_usd",
        "maintenance": "opex_maintenance_usd",
        "facility": "opex_facility_usd",
        "staff": "opex_staff_usd",
    },
}
WORDS = {
    "device.bandwidth": "memory bandwidth",
    "device.sram_bandwidth": "on-chip bandwidth",
    "device.link": "bandwidth of the device's links",
    "device.host_link": "host-link bandwidth",
    "device.tdp": "power of the device",
    "device.price": "price of the device",
    "device.dispatch": "launch time of one inference",
    "device.embodied_carbon": "embodied carbon of the device",
    "node.link": "bandwidth of the links inside the node",
    "node.power": "nameplate power of the node",
    "node.busy_power": "power of the node under load",
    "node.idle_power": "idle power of the node",
    "node.price": "price of the node",
    "fabric.bandwidth": "bandwidth of the fabric",
    "fabric.oversubscription": "oversubscription of the fabric",
    "grid.carbon_intensity": "carbon intensity of the grid",
    "site.pue": "PUE",
    "site.wue": "water per kWh of the site",
    "site.electricity_price": "electricity price",
    "mfu": "MFU",
    "efficiency": "share of peak that kernels reach",
}
ALIAS = {"hardware": "device", "decode_hardware": "device", "datacenter": "site"}
WALL_OF = {
    "device.bandwidth": ("Memory bandwidth", "reads and writes memory"),
    "device.sram_bandwidth": ("On-chip bandwidth", "reads and writes on-chip memory"),
    "device.peak": ("Compute", "is arithmetic"),
    "device.link": ("The links between devices", "is communication inside the node"),
    "node.link": ("The links between devices", "is communication inside the node"),
    "fabric.bandwidth": ("The fabric between nodes", "is communication between nodes"),
    "device.host_link": ("The host link", "moves bytes over the host link"),
    "rest": ("Launch and other fixed time", "is launches, latencies and waits that no rate shortens"),
}


def why(name: str, *args: Any, metric: str | None = None, **kwargs: Any) -> str:
    """The wall that binds a result and its next-best levers, in words with numbers.

    Each lever is moved alone by 10 % to the better side; whole numbers move to the next legal one.  The job itself
    (model, lengths, days) and the size of the fleet are no levers.  Shares of time are what the ceilings account for:
    raising one by the share p saves ``share x p / (1 + p)``.  A narrower format may cost accuracy: see MLS_COMPRESSION.

    Parameters
    ----------
    name : text
        Function, with or without ``MLS_``.
    *args, **kwargs
        Its arguments, as in a call of it.
    metric : text, optional
        Another result than the headline.

    Examples
    --------
    >>> why("allreduce", workers=8, message=1e9, bandwidth=100e9)
    'MLS_ALLREDUCE: result = 17.5 ms. Best lever: +10 % bandwidth lowers it by 9.1 %.'
    """
    entry = entry_of(name)
    wanted = metric_of(entry, metric)
    names = [p.name for p in entry.params]
    if len(args) > len(names):
        raise WrongArguments(f"{entry.name} takes {', '.join(names)}; got {len(args)} arguments")
    given = bound(entry, dict(zip(names, args, strict=False)) | kwargs)
    fleet = given.get("fleet")
    if "datacenter" in given and given["datacenter"] is None and isinstance(fleet, Fleet):
        given["datacenter"] = site_of(fleet, None)
    out = entry.call(**given)
    if any(np.ndim(v) for v in given.values() if not isinstance(v, str | list | tuple)):
        raise OutOfDomain(f"why: {entry.name} is explained for single numbers, not for arrays")
    if not getattr(out, "feasible", True) and out.memory and hasattr(out, out.memory):
        return _too_large(entry, given, out)
    up, down = (moves(entry, given, wanted, STEP, down=d) for d in (False, True))
    formats = _narrower(entry, given, wanted)
    value = getattr(out, wanted) if wanted else out
    unit = _unit(entry, wanted)
    less = _less(wanted or entry.name, unit)
    first, key = _binding(entry, wanted, out, up, less)
    said = [f"{entry.excel}: {wanted or 'result'} = {_shown(value, unit)}.", first]
    said += [_levers(entry, _gains(entry, [*up, *down, *formats], less), key, less), _useless(up, out, wanted)]
    return " ".join(s for s in said if s)


def _unit(entry: Entry, metric: str) -> Unit:
    unit = unit_of(entry.metrics[metric] if metric else entry.returns)
    if unit is None:
        raise WrongArguments(f"why: {entry.name} does not answer with a number")
    return unit


def _less(name: str, unit: Unit) -> bool:
    return unit.base in LESS or name in LESS_NAMES


def _shown(value: Any, unit: Unit) -> str:
    x = float(unit.to_face(value))
    digits = f"{x:,.0f}".replace(",", " ") if abs(x) >= 10_000 else f"{x:.4g}"
    return f"{digits} {unit.face}".rstrip()


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


# ------------------------------------------------------------------ what binds


def _place(path: str) -> str:
    """The last two steps of a path, as `WORDS` has them: ``fleet.node.device.bandwidth`` -> ``device.bandwidth``."""
    parts = [ALIAS.get(p, p) for p in path.split(".")]
    if len(parts) > 1 and parts[-2] == "device" and parts[-1] in (*DATAPATHS, "fp16_accumulate"):
        return "device.peak"
    return ".".join(parts[-2:])


def _binding(entry: Entry, metric: str, out: Any, up: list[Move], less: bool) -> tuple[str, str]:
    """The sentence on the wall that binds, and the place of its lever; empty where no wall is known."""
    if (entry.name, metric) in PARTS:
        return _cost_parts(entry, metric, out)
    if (entry.name, metric) == ("sustainability", "carbon_footprint_kg"):
        kwh = f"{_shown(out.it_energy_kwh, _unit(entry, 'it_energy_kwh'))} of IT energy x PUE {out.pue:.3g}"
        gram = 1000 * out.carbon_footprint_kg / out.total_energy_kwh
        return f"The grid binds: {kwh} at {gram:.4g} g for each kWh.", "grid.carbon_intensity"
    shares: dict[str, float] = {}
    for m in up:
        place = _place(m.path)
        if place in WALL_OF and m.new > m.old:
            ratio = m.after / m.before if less else m.before / m.after  # of times
            step = m.new / m.old
            shares[place] = shares.get(place, 0.0) + max(0.0, (1 - ratio) * step / (step - 1))
    total = sum(shares.values())
    if total < FAINT or _unit(entry, metric).base not in ("s", "1/s", "USD/token"):
        return "", ""
    shares["rest"] = max(0.0, 1 - total)
    first, *others = sorted(shares, key=lambda place: -shares[place])
    wall, what = WALL_OF[first]
    then = [f"{_percent(shares[p])} {WALL_OF[p][1]}" for p in others if shares[p] >= 0.005]
    also = f"; {', '.join(then)}" if then else ""
    of = _shown(getattr(out, metric), _unit(entry, metric)) if _unit(entry, metric).base == "s" else "time"
    return f"{wall} {'binds' if not wall.startswith('The links') else 'bind'}: {_percent(min(1.0, shares[first]))} " \
           f"of the {of} {what}{also}.", first  # fmt: skip


def _cost_parts(entry: Entry, metric: str, out: Any) -> tuple[str, str]:
    total = float(getattr(out, metric))
    shares = {word: float(getattr(out, field)) / total for word, field in PARTS[entry.name, metric].items()}
    first, *others = sorted(shares, key=lambda word: -shares[word])
    then = ", ".join(f"{word} {_percent(shares[word])}" for word in others if shares[word] >= FAINT)
    return f"{first[0].upper()}{first[1:]} binds: {_percent(shares[first])} of it; {then}.", ""


def _too_large(entry: Entry, given: Mapping[str, Any], out: Any) -> str:
    """What is missing, and what lowers the need."""
    need, short = float(getattr(out, out.memory)), float(out.shortfall)
    gb = 1e9
    said = (
        f"{entry.excel}: memory capacity binds: needs {need / gb:.4g} GB, usable {(need - short) / gb:.4g} GB; "
        f"{short / gb:.4g} GB are missing ({need / (need - short):.2f} times what there is)."
        if need > short
        else f"{entry.excel}: memory capacity binds: {short / gb:.4g} GB are missing."
    )
    both = [m for d in (False, True) for m in moves(entry, given, out.memory, STEP, down=d)]
    both += _narrower(entry, given, out.memory)
    best = [m for m in both if m.feasible and _lever(entry, m.path)]
    fits = [_named(m) for m in best[:SHOWN]]
    levers = _levers(entry, _gains(entry, both, True, True), "", True, "the need")
    cure = f" It fits with {' or '.join(fits)}." if fits else f" To fit: {out.remedy}."
    return f"{said}{cure} {levers}".rstrip()


# ------------------------------------------------------------------ what helps


def _lever(entry: Entry, path: str) -> bool:
    """Whether a buyer or an operator can move it without changing the job."""
    head, _, rest = path.partition(".")
    param = next(p for p in entry.params if p.name == head)
    if head in JOB or path.rpartition(".")[2] in NO_LEVER or (not rest and head in JOB_NUMBERS.split()):
        return False
    if (head == "batch" and param.required) or (rest and param.thing is Precision):
        return False  # formats are tried whole, in `_narrower`
    counts = {"nodes", "devices", "nics", "psus", "scale_up"}  # the size of a fleet is the job's
    return path.rpartition(".")[2] not in counts or not rest


def _narrower(entry: Entry, given: Mapping[str, Any], metric: str) -> list[Move]:
    """The next narrower number format that the call takes, and the widest one with which it fits."""
    now = given.get("precision")
    if not isinstance(now, Precision):
        return []
    out: list[Move] = []
    before = measured(entry, given, metric)[0]
    for fmt in map(Precision.of, NARROWER):
        if float(fmt.weight_bits) >= float(now.weight_bits) or (out and out[-1].feasible):
            continue
        try:
            after, fits = measured(entry, {**given, "precision": fmt}, metric)
        except MlsysError:
            continue
        if np.isfinite(after) and (fits or not out):
            out.append(Move("precision", now.key, fmt.key, before, after, fits))
    return out


def _gains(entry: Entry, found: list[Move], less: bool, all_of_them: bool = False) -> list[tuple[float, Move]]:
    """Levers by what a step to the better side gains, each once, largest first."""
    best: dict[str, tuple[float, Move]] = {}
    for m in found:
        change = float(m.after / m.before - 1)
        gain = -change if less else change
        legal = _lever(entry, m.path) and (all_of_them or bool(np.all(m.feasible)))
        if legal and gain > FAINT and gain > best.get(_place(m.path), (0.0, m))[0]:
            best[_place(m.path)] = (gain, m)
    return sorted(best.values(), key=lambda pair: -round(pair[0], 6))


def _named(m: Move) -> str:
    """``+10 % memory bandwidth``, or ``tp = 2 instead of 1``."""
    if isinstance(m.new, str):
        return f"{m.path} = {m.new} instead of {m.old}"
    place = _place(m.path)
    word = f"{m.path.rpartition('.')[2]} peak" if place == "device.peak" else WORDS.get(place, m.path.replace("_", " "))
    step = m.new / m.old - 1
    if abs(abs(step) - STEP) > 1e-9:
        return f"{word} = {m.new:g} instead of {m.old:g}"
    return f"{'+' if step > 0 else '-'}{100 * STEP:g} % {word}"


def _levers(entry: Entry, gains: list[tuple[float, Move]], key: str, less: bool, what: str = "it") -> str:
    if not gains:
        return "No lever of 10 % changes it." if what == "it" else ""
    own = [pair for pair in gains if key and _place(pair[1].path) == key]
    ranked = [*own[:1], *(pair for pair in gains if pair not in own[:1])][:SHOWN]
    verb = "lowers" if less else "raises"
    head = f"{'' if own else 'Best lever: '}{_named(ranked[0][1])} {verb} {what} by {_percent(ranked[0][0])}"
    larger = [pair for pair in ranked[1:] if pair[0] > ranked[0][0] + 1e-6]  # the wall's own lever comes first
    smaller = [pair for pair in ranked[1:] if pair not in larger]
    for words, pairs in (("more from", larger), ("next best:", smaller)):
        if pairs:
            head += f"; {words} " + ", ".join(f"{_named(m)} ({_percent(gain)})" for gain, m in pairs)
    return f"{head}."


def _useless(up: list[Move], out: Any, metric: str) -> str:
    """The ceiling of a device that a buyer might pay for in vain."""
    rates = {place: m for m in up if (place := _place(m.path)) in ("device.peak", "device.bandwidth")}
    effects = {p: max(abs(m.after / m.before - 1) for m in up if _place(m.path) == p) for p in rates}
    if len(effects) < 2 or max(effects.values()) < FAINT:
        return ""
    idle = [p for p, e in effects.items() if e < FAINT]
    return (
        f"More {'peak arithmetic' if idle[0] == 'device.peak' else 'memory bandwidth'} gains nothing." if idle else ""
    )
