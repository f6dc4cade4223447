"""One row of a registry table against one thing of this version: which cells are ours, and take a new value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlsysim.money_things import price_class
from mlsysim.registry import Fact, Registry, Thing, face, fields
from workbook.refresh_values import (
    UNKNOWN,
    Value,
    as_cell,
    cited,
    face_of,
    later,
    noted,
    rows_of,
    same,
    shown,
    shown_date,
    unmarked,
)
from workbook.refresh_view import SOURCES, NewRow, Plan, Printed, View, Write
from workbook.sheets.registries import TABLES, class_of, heading_of, provenance, status_of

DATED = ("source", "kind", "url", "as_of")  # what a row of the sources may say anew without a new figure


@dataclass
class Row:
    """One thing and its row."""

    registry: Registry[Any]
    thing: Thing
    its: View
    facts: dict[str, Printed]
    known: set[str]  # fields that the file can hold
    plan: Plan

    def add(self) -> None:
        """A new row, and its facts in the sources."""
        thing, kind, table = self.thing, self.registry.kind, self.its.table.name
        values: dict[str, Value] = {h: None for n in self.known if (h := heading_of(kind, n)) in self.its.columns}
        values |= {"key": thing.key, "title": thing.title, "group": thing.group or None}
        origin, estimates = provenance(thing), set()
        for name, fact in thing.facts.items():
            heading = heading_of(kind, name)
            if heading in self.its.columns and name in self.known:
                values[heading] = as_cell(face(thing, name))
                estimates |= {heading} if fact.kind == "estimate" else set()
                self.plan.say("new", f"{table} {thing.key}, {heading}: {shown(values[heading])} {cited(fact)}")
        values |= {heading: as_cell(value) for heading, value in origin.items()}
        if "class" in self.its.columns:
            values["class"] = class_of(thing)
        estimates |= {"status"} if origin["status"] == "estimate" else set()
        self.plan.rows.append(NewRow(table, values, frozenset(estimates)))
        for says in self._shipped():
            self._add_source(says)

    def update(self, row: int, keys: Mapping[type[Thing], set[str]]) -> None:
        """The cells of a shipped row, its facts in the sources, and what it says of its sources as a whole."""
        touched = edited = False
        for says in self._shipped():
            name = says["field"]
            fact, before = self.thing.facts[name], self.facts.get(name)
            heading = heading_of(self.registry.kind, name)
            if before is not None and later(before.says["as_of"], fact.source.as_of):
                edited = True
                self.plan.say("kept", f"{self._named(heading)}: newer in your file than in this version")
                continue
            outcome = self._cell(row, name, heading, fact, before, keys) if heading in self.its.columns else "same"
            touched, edited = touched or outcome == "changed", edited or outcome in ("yours", "blocked")
            if outcome != "blocked":
                self._update_source(says, before)
        for name in self.facts:
            if name in fields(type(self.thing)) and name not in self.thing.facts:
                self.plan.say("kept", f"{self._named(name)}: this version ships no such figure, kept")
        self._origin(row, may_change=touched or not edited)
        if "class" in self.its.columns and (basis := self.facts.get("basis")) is not None:
            self._class(row, basis)
        for heading, new in (("title", self.thing.title), ("group", self.thing.group or None)):
            now = self.its.at(row, heading)[0]
            if not same(now, new):
                said = f"{shown(now)} is kept, as the file does not say what was shipped; now {shown(new)}"
                self.plan.say("kept", f"{self._named(heading)}: {said}")

    def _cell(
        self, row: int, name: str, heading: str, fact: Fact, before: Printed | None,
        keys: Mapping[type[Thing], set[str]],
    ) -> str:  # fmt: skip
        now, computed = self.its.at(row, heading)
        says = before.says if before else {"printed": None, "kind": None}
        new, old = as_cell(face(self.thing, name)), face_of(self.registry.kind, name, says["printed"], says["kind"])
        if same(now, new):
            return "same"
        if computed or old is UNKNOWN or not same(now, old):
            self.plan.say("kept", f"{self._named(heading)}: yours, {shown(now)}; shipped {shown(new)} {cited(fact)}")
            return "yours"
        nested = getattr(self.thing, name)
        if isinstance(nested, Thing) and not held(nested, keys):
            self.plan.say("left out", f"{self._named(heading)}: {nested.key}, which this file does not have")
            return "blocked"
        self.plan.say("changed", f"{self._named(heading)}: {shown(now)} -> {shown(new)} {cited(fact)}")
        self.plan.writes.append(Write(self.its.table.name, row, heading, new, fact.kind == "estimate"))
        return "changed"

    def _origin(self, row: int, *, may_change: bool) -> None:
        """Source, link, date and status of the row; left alone where the figures beside them are the user's."""
        said = [p.says for p in self.facts.values()]
        dates = [d for s in said if isinstance(d := s["as_of"], float)]
        ours: dict[str, set[Any]] = {
            "source": {s["source"] for s in said},
            "url": {s["url"] for s in said},
            "as_of": {max(dates, default=None)},
            "status": {status_of({str(s["kind"]) for s in said})},
        }
        for heading, value in provenance(self.thing).items():
            (now, computed), new = self.its.at(row, heading), as_cell(value)
            if same(now, new) or not may_change:
                continue
            if computed or now not in ours[heading]:
                self.plan.say("kept", f"{self._named(heading)}: yours, {shown(now)}; shipped {value}")
                continue
            dated = heading == "as_of"
            old = shown_date(now) if dated else shown(now)
            self.plan.say("changed", f"{self._named(heading)}: {old} -> {value}")
            estimate = heading == "status" and value == "estimate"
            self.plan.writes.append(Write(self.its.table.name, row, heading, new, estimate))

    def _class(self, row: int, basis: Printed) -> None:
        """How a price ages, which follows from its basis."""
        now, new = self.its.at(row, "class")[0], class_of(self.thing)
        if now != new and now == price_class(str(basis.says["printed"])):
            self.plan.say("changed", f"{self._named('class')}: {now} -> {new}")
            self.plan.writes.append(Write(self.its.table.name, row, "class", new))

    def _shipped(self) -> Iterator[dict[str, Any]]:
        for says in rows_of(self.registry)[self.thing.key]:
            if says["field"] in self.known:
                yield says

    def _add_source(self, says: Mapping[str, Any]) -> None:
        values = {c: as_cell(v) for c, v in says.items()} | {"note": noted(says["note"], "new")}
        estimates = frozenset({"printed", "kind"} if says["kind"] == "estimate" else ())
        self.plan.rows.append(NewRow(SOURCES, values, estimates))

    def _update_source(self, says: Mapping[str, Any], before: Printed | None) -> None:
        if before is None:
            self._add_source(says)
            return
        changed = [c for c in ("printed", *DATED) if not same(before.says[c], as_cell(says[c]))]
        if not changed:
            return  # another note alone may be the user's own
        for column in changed:
            old = shown_date(before.says[column]) if column == "as_of" else shown(before.says[column])
            what = f"{SOURCES} {self.registry.name} {self.thing.key} {says['field']}, {column}"
            self.plan.say("changed", f"{what}: {old} -> {says[column]}")
            estimate = says["kind"] == "estimate" and column in ("printed", "kind")
            self.plan.writes.append(Write(SOURCES, before.row, column, as_cell(says[column]), estimate))
        former = unmarked(before.says["note"])
        was = [f"was {before.says['printed']}"] if "printed" in changed else ["source"]
        was += [f"note was: {former}"] if former and former != says["note"] else []
        self.plan.writes.append(Write(SOURCES, before.row, "note", noted(says["note"], "; ".join(was))))

    def _named(self, heading: str) -> str:
        return f"{self.its.table.name} {self.thing.key}, {heading}"


def held(thing: Thing, keys: Mapping[type[Thing], set[str]]) -> bool:
    """Whether the file has a row of this thing, where it keeps such rows at all."""
    return type(thing) not in TABLES or thing.key.casefold() in keys.get(type(thing), ())
