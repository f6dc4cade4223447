"""What a refresh would do to the registry tables of a workbook: decided here, written elsewhere.

The table of sources in the file itself says what was shipped: every fact as printed.  A cell that still holds its
shipped value is ours and takes the new one; any other cell, and any cell with a formula, is the user's and is kept.
Nothing is ever removed: rows and facts that this version no longer ships stay, and a row that the user deleted or a
name that the user took is not added again.  Titles and groups have no printed fact, so they stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mlsysim.registry import Registry, Thing, fields
from mlsysim.things import PRICES
from workbook.errors import WorkbookError
from workbook.refresh_row import Row, held
from workbook.refresh_view import SOURCES, Facts, Plan, Printed, View
from workbook.sheets.registries import CALIBRATION, REGISTRY_OF, SOURCE_COLUMNS, TABLES, heading_of, shown_fields

NAMED = ("key", "title", "group", "source", "url", "as_of", "status")  # columns beside the facts
Room = Callable[[str, int], str]


def make_plan(views: Mapping[str, View], room: Room) -> Plan:
    """Decide on every cell.

    Parameters
    ----------
    views : mapping of str to View
        The registry tables of the file by name, and the table of sources.
    room : callable
        Answers for a table and a number of rows what stands in the way below it, "" for nothing.

    Returns
    -------
    Plan
        Empty of writes and rows when the file is up to date.

    Raises
    ------
    WorkbookError
        When a table is missing, has lost a column, or was made by another version with other fields.
    """
    sources, plan = views[SOURCES], Plan()
    printed = _printed(sources)
    shipped = {r: v for r in REGISTRY_OF.values() if (v := _view_of(r, views, printed, plan)) is not None}
    for registry, its in shipped.items():
        _refuse_other_columns(registry, its, printed)
    added = _additions(shipped, printed, room, plan)
    keys = {r.kind: {*v.rows, *(t.key.casefold() for t in added[r])} for r, v in shipped.items()}
    for registry, its in shipped.items():
        lost = [n for n in shown_fields(registry) if heading_of(registry.kind, n) not in its.columns]
        for name in lost:
            text = f"{its.table.name}: no column {heading_of(registry.kind, name)} in this file; a new workbook has it"
            plan.say("left out", text)
        known = {field_name for field_name in fields(registry.kind) if field_name not in lost}
        for thing in registry.values():
            facts = printed.get((registry.name, thing.key.casefold()), {})
            job = Row(registry, thing, its, facts, known, plan)
            if thing in added[registry]:
                job.add()
            elif facts and thing.key.casefold() in its.rows:
                job.update(its.rows[thing.key.casefold()], keys)
            elif facts:
                plan.say("kept", f"{its.table.name} {thing.key}: you removed this row, it is not added again")
            elif thing.key.casefold() in its.rows:
                plan.say("kept", f"{its.table.name} {thing.key}: your own row of this name; ours is not added")
        ours = {thing.key.casefold() for thing in registry.values()}
        for key in its.rows:
            if key not in ours and (registry.name, key) in printed:
                plan.say("kept", f"{its.table.name} {key}: not among the rows of this version, kept")
    count = sum(row.table == SOURCES for row in plan.rows)
    if count and (obstacle := room(SOURCES, count)):
        raise WorkbookError(
            f"{SOURCES} needs {count} more rows, but {obstacle}; clear that place and run refresh again."
        )
    return plan


def _printed(sources: View) -> Facts:
    missing = [c for c in SOURCE_COLUMNS if c not in sources.columns]
    if missing:
        raise WorkbookError(f"The table {SOURCES} lacks the columns {', '.join(missing)}; it says what was shipped.")
    out: Facts = {}
    for row in sources.body():
        says = {c: sources.at(row, c)[0] for c in SOURCE_COLUMNS}
        registry, key, name = says["registry"], says["key"], says["field"]
        if isinstance(registry, str) and isinstance(key, str) and isinstance(name, str):
            out.setdefault((registry, key.casefold()), {}).setdefault(name, Printed(row, says))
    return out


def _view_of(registry: Registry[Any], views: Mapping[str, View], printed: Facts, plan: Plan) -> View | None:
    name = TABLES[registry.kind]
    if name in views:
        return views[name]
    if any(of == registry.name for of, _ in printed):
        raise WorkbookError(f"The table {name} is missing, although {SOURCES} lists its facts; restore it first.")
    plan.say("left out", f"{name}: this file has no such table; a new workbook has it")
    return None


def _refuse_other_columns(registry: Registry[Any], its: View, printed: Facts) -> None:
    """Refuse a table that lost a column, and one whose facts this version does not know."""
    ours = {thing.key.casefold() for thing in registry.values()}
    stated = {n for (of, key), facts in printed.items() if of == registry.name and key in ours for n in facts}
    legal, kind, name = fields(registry.kind), registry.kind, its.table.name
    strange = [n for n in stated if n not in legal and any(c.split(" (")[0] == n for c in its.columns)]
    if strange:
        raise WorkbookError(
            f"{name} has a column {strange[0]} that this version does not know; install a newer version."
        )
    wanted = [*NAMED, *([] if registry in CALIBRATION else ["spec"])]
    wanted += [heading_of(kind, n) for n in shown_fields(registry) if n in stated]
    missing = [h for h in wanted if h not in its.columns]
    if missing:
        raise WorkbookError(f"{name} has no column {missing[0]!r} any more; name its headings as they were shipped.")


def _additions(
    shipped: Mapping[Registry[Any], View], printed: Facts, room: Room, plan: Plan
) -> dict[Registry[Any], list[Thing]]:
    """The things to add to each table: only where all of a table's fit, and only with all that they name."""
    new: dict[Registry[Any], list[Thing]] = {}
    for registry, its in shipped.items():
        taken = {*its.rows, *(key for of, key in printed if of == registry.name)}
        new[registry] = [thing for thing in registry.values() if thing.key.casefold() not in taken]
        if registry is PRICES:
            new[registry] = _not_priced(its, new[registry], plan)
    stable = False
    while not stable:
        stable = True
        keys = {r.kind: {*v.rows, *(t.key.casefold() for t in new[r])} for r, v in shipped.items()}
        for registry, things in new.items():
            table = TABLES[registry.kind]
            obstacle = room(table, len(things)) if things else ""
            for thing in list(things):
                lack = _lacking(thing, keys)
                why = obstacle or (f"it needs {lack}, which this file does not have" if lack else "")
                if why:
                    plan.say("left out", f"{table} {thing.key} (new): {why}")
                    new[registry] = [t for t in new[registry] if t is not thing]
                    stable = False
    return new


def _not_priced(its: View, things: list[Thing], plan: Plan) -> list[Thing]:
    """New prices but those of which the file has another row: two rows of one item and basis make a price ambiguous."""

    def pair(item: Any, basis: Any) -> str:
        return f"{item}|{basis}".casefold()

    shipped = Counter(pair(price.item, price.basis) for price in PRICES.values())
    own = {key: row for key, row in its.rows.items() if key not in {k.casefold() for k in PRICES}}
    item, basis = (heading_of(PRICES.kind, name) for name in ("item", "basis"))
    there = {pair(its.at(row, item)[0], its.at(row, basis)[0]): key for key, row in own.items()}
    out = []
    for thing in things:
        what = pair(getattr(thing, "item", ""), getattr(thing, "basis", ""))
        if shipped[what] == 1 and what in there:
            plan.say("left out", f"{its.table.name} {thing.key} (new): your row {there[what]} has this item and basis")
        else:
            out.append(thing)
    return out


def _lacking(thing: Thing, keys: Mapping[type[Thing], set[str]]) -> str:
    """The first thing that a row names and that no table of the file holds."""
    nested = (getattr(thing, name) for name in fields(type(thing)))
    return next((t.key for t in nested if isinstance(t, Thing) and not held(t, keys)), "")
