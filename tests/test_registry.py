"""Registries: strict loading, sourced facts, blind look-up with near matches, and spec text as the second spelling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mlsysim import CATALOGUE, registry
from mlsysim.errors import MissingFact, MlsysError, OutOfDomain, UnknownName
from mlsysim.registry import KINDS, NEED_NOTE, REGISTRIES, Registry, Thing, face, fields, fold, sources, spec
from mlsysim.things import HARDWARE, MODELS, PRECISIONS, Device, Fleet, Node
from mlsysim.units import ByteRate, Bytes, Count, Money, unit_of

# ---------------------------------------------------------------- a private registry, through the same loader


@dataclass(frozen=True, kw_only=True)
class Gadget(Thing):
    memory: Bytes
    bandwidth: ByteRate | None = None
    cores: Count | None = None
    colour: str | None = None
    shiny: bool | None = None
    price: Money | None = None


SOURCES = """
[sheet]
title = "A data sheet"
kind = "datasheet"
url = "https://example.org/sheet"
as_of = 2026-01-02

[guess]
title = "Somebody's guess"
kind = "estimate"
url = "https://example.org/guess"
as_of = 2026-01-03
"""
ROW = """
[A1]
title = "Gadget A1"
aliases = ["Alpha One"]
group = "Toys"
source = "sheet"
memory = "1.5 GiB"
"""
Loader = Callable[..., "Registry[Gadget]"]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loader]:
    """A registry of gadgets from TOML text of the test."""

    def clear() -> None:
        for cached in (registry.sources, registry._toml, registry._load):
            cached.cache_clear()

    def make(rows: str = ROW, more_sources: str = "", prices: str = "") -> Registry[Gadget]:
        (tmp_path / "sources").mkdir(exist_ok=True)
        (tmp_path / "sources" / "some.toml").write_text(SOURCES + more_sources, "utf-8")
        (tmp_path / "gadgets.toml").write_text(rows, "utf-8")
        (tmp_path / "prices.toml").write_text(prices, "utf-8")
        clear()
        return Registry("gadgets", Gadget, "gadgets.toml")

    monkeypatch.setattr(registry, "DATA", tmp_path)
    yield make
    REGISTRIES.pop(Gadget, None)
    monkeypatch.undo()
    clear()


def test_a_row_loads_with_its_facts(load: Loader) -> None:
    things = load(
        ROW + 'bandwidth = { value = "400 Gb/s", source = "guess", note = "seen once" }\nshiny = true\ncores = 4'
    )
    gadget = things["A1"]
    assert (gadget.key, gadget.title, gadget.group) == ("A1", "Gadget A1", "Toys")
    assert (gadget.memory, gadget.bandwidth, gadget.cores, gadget.shiny) == (1.5 * 2**30, 50e9, 4.0, True)
    assert gadget.colour is None
    fact = gadget.facts["bandwidth"]
    assert (fact.printed, fact.kind, fact.note, fact.source.url) == (
        "400 Gb/s",
        "estimate",
        "seen once",
        "https://example.org/guess",
    )
    assert gadget.facts["memory"].source.as_of == date(2026, 1, 2)
    assert set(gadget.facts) == {"memory", "bandwidth", "shiny", "cores"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('colour = { value = "red", source = "nowhere" }', "listed in sources.toml, got 'nowhere'"),
        ('weight = "3 kg"', "no such field"),
        ('colour = { value = "red", kind = "estimate" }', "estimate facts need a note"),
        ('colour = { value = "red", kind = "derived" }', "derived facts need a note"),
        ('colour = { value = "red", source = "guess" }', "estimate facts need a note"),
        ('colour = { value = "red", kind = "hearsay" }', "hearsay"),
        ('colour = { value = "red", remark = "x" }', "remark"),
        ("colour = 3", "must be text"),
        ("bandwidth = 400", "needs its unit"),
        ('bandwidth = "400"', "no unit"),
        ('bandwidth = "400 GB"', "the unit 'GB'"),
        ('bandwidth = "3,5 GB/s"', "comma"),
        ('bandwidth = "0 GB/s"', "above 0"),
        ('bandwidth = "-1 GB/s"', "above 0"),
        ('shiny = "perhaps"', "true or false"),
        ("shiny = 1", "true or false"),
        ("cores = 1.5", "whole number"),
        ("cores = true", "TRUE/FALSE"),
        ("cores = nan", "NaN"),
    ],
)
def test_a_bad_row_does_not_load(load: Loader, line: str, why: str) -> None:
    things = load(ROW + line)
    with pytest.raises((TypeError, MlsysError)) as refused:
        things["A1"]
    assert why in str(refused.value)
    assert "A1: " in str(refused.value)


def test_a_row_without_a_required_field_or_source_does_not_load(load: Loader) -> None:
    with pytest.raises(MissingFact, match=r"A1 lacks memory; give for example memory = <number> GB"):
        load(ROW.replace('memory = "1.5 GiB"', ""))["A1"]
    with pytest.raises(TypeError, match="needs a source"):
        load(ROW.replace('source = "sheet"', ""))["A1"]


@pytest.mark.parametrize(
    "source",
    [
        '[x]\ntitle = "t"\nkind = "paper"\nas_of = 2026-01-01',
        '[x]\ntitle = "t"\nkind = "paper"\nurl = "u"',
        '[x]\ntitle = "t"\nkind = "rumour"\nurl = "u"\nas_of = 2026-01-01',
        '[x]\ntitle = "t"\nkind = "paper"\nurl = "u"\nas_of = 2026-01-01\nextra = 1',
    ],
)
def test_a_source_needs_all_of_its_parts(load: Loader, source: str) -> None:
    load(more_sources=source)
    with pytest.raises(TypeError, match="needs title, url, as_of, a kind among"):
        registry.sources()


def test_two_rows_may_not_share_a_name(load: Loader) -> None:
    second = ROW.replace("[A1]", "[A2]").replace("Alpha One", "alpha_one")
    with pytest.raises(TypeError, match="'alpha_one' names both A2 and A1"):
        load(ROW + second)["A2"]


def test_prices_come_from_the_price_list_and_from_one_row(load: Loader) -> None:
    price = '[{key}]\ntitle = "p"\nsource = "sheet"\nitem = "A1"\nbasis = "{basis}"\namount = "{amount}"\n'
    bought = price.format(key="a", basis="purchase", amount="100 USD")
    rented = price.format(key="b", basis="on_demand", amount="2 USD")
    gadget = load(prices=bought + rented)["A1"]
    assert gadget.price == 100
    assert gadget.facts["price"].source.title == "A data sheet"
    assert load(prices=rented)["A1"].price is None
    with pytest.raises(TypeError, match="2 purchase rows for A1"):
        load(prices=bought + price.format(key="c", basis="purchase", amount="90 USD"))["A1"]


# ---------------------------------------------------------------- look-up


def test_fold() -> None:
    assert fold(" Llama3_8B ") == fold("llama-3 8b") == fold("Llama 3-8B") == fold("LLAMA_3.8B")
    assert fold("GPT-3") == fold("gpt3") != fold("GPT-2")
    assert fold("Llama-3-8B") != fold("Llama-38B")
    assert fold("H100-80GB") == fold("h100 80gb")


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_key_is_found_whatever_its_case_and_punctuation(kind: type[Thing]) -> None:
    things = REGISTRIES[kind]
    assert len(things) > 0
    for key, thing in things.items():
        assert (
            things[key] is things[key.upper()] is things[key.replace("_", "-")] is things[f" {key.lower()} "] is thing
        )
        assert kind.of(thing) is thing
        assert thing.key == key
        assert key in things


@pytest.mark.parametrize(
    ("things", "wrong", "near"),
    [(HARDWARE, "H10", "H100"), (MODELS, "Llama3_9B", "Llama3_8B"), (PRECISIONS, "fp12", "fp16")],
)
def test_a_wrong_key_is_answered_with_near_ones(things: Registry[Any], wrong: str, near: str) -> None:
    with pytest.raises(UnknownName, match=r"did you mean .*" + near) as refused:
        things[wrong]
    assert repr(wrong) in str(refused.value)
    assert wrong not in things
    assert things.get(wrong) is None


def test_a_key_like_none_other_is_answered_with_known_ones() -> None:
    with pytest.raises(UnknownName, match="hardware has no 'qqqqqqqq'; known are "):
        HARDWARE["qqqqqqqq"]


@pytest.mark.parametrize("empty", ["", "   ", None, 5, 1.5, float("nan"), True, ["H100"], b"H100"])
def test_what_is_no_key_is_refused(empty: Any) -> None:
    with pytest.raises(UnknownName, match=r"hardware: a key such as .* is needed"):
        Device.of(empty)


# ---------------------------------------------------------------- spec text

GPU = "MyGPU; fp16 = 900 TFLOP/s; memory = 96 GB; bandwidth = 4 TB/s; tdp = 650 W; price = 27000 USD"


def test_a_spec_is_a_thing() -> None:
    gpu = Device.of(GPU)
    assert (gpu.key, gpu.fp16, gpu.memory, gpu.bandwidth, gpu.tdp, gpu.price) == (
        "MyGPU",
        900e12,
        96e9,
        4e12,
        650.0,
        27e3,
    )
    assert gpu.fp8 is None
    assert gpu.facts["memory"].printed == "96 GB"
    assert {f.kind for f in gpu.facts.values()} == {"user"}
    assert Device.of("memory = 1 GB; bandwidth = 1 GB/s").key == "own device"
    assert Device.of(f"{{{GPU}}}") == gpu


def test_specs_nest() -> None:
    fleet = Fleet.of(
        f"Mine; nodes = 8; node = {{MyNode; devices = 4; nics = 4; device = {{{GPU}}}}}; "
        "fabric = {F; topology = fat-tree; bandwidth = 400 Gb/s}"
    )
    assert (fleet.nodes, fleet.node.devices, fleet.node.device.fp16, fleet.fabric.bandwidth) == (8, 4, 900e12, 50e9)
    assert fleet.node.device == Device.of(GPU)
    assert fleet.site is None


def test_a_spec_may_start_from_a_row() -> None:
    h100, mine = Device.of("H100"), Device.of("Mine; base = h100; price = 20000 USD; fp16 = 800 TFLOP/s")
    assert (mine.key, mine.price, mine.fp16) == ("Mine", 20e3, 800e12)
    assert (mine.fp8, mine.bandwidth, mine.memory, mine.usable, mine.group) == (
        h100.fp8,
        h100.bandwidth,
        h100.memory,
        h100.usable,
        h100.group,
    )
    assert mine.facts["fp16"].kind == "user"
    assert mine.facts["fp8"] == h100.facts["fp8"]
    assert Device.of("base = H100").key == "H100"


def test_what_a_base_said_of_the_old_memory_is_not_kept_for_the_new_one() -> None:
    assert Device.of("base = H100").capacity != 80e9
    assert Device.of("Big; base = H100; memory = 960 GB").capacity == 960e9
    assert Device.of("Big; base = H100; memory = 960 GB; usable = 900 GB").capacity == 900e9


def test_what_a_base_said_of_the_old_devices_is_not_kept_for_the_new_ones() -> None:
    base = Node.of("DGX_H100")
    assert base.busy_power is not None or base.power is not None
    for change in (f"device = {{{GPU}}}", "devices = 4"):
        node = Node.of(f"Mine; base = DGX_H100; {change}")
        assert (node.busy_power, node.power, node.idle_power, node.price) == (None, None, None, None)
        assert node.nics == base.nics


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ("X; memory = 1 GB", MissingFact, "X lacks bandwidth; give for example bandwidth = <number> GB/s"),
        ("X; memory = 1 GB; bandwith = 4 TB/s", UnknownName, "did you mean bandwidth"),
        ("X; memory = 1 GB; memory = 2 GB", OutOfDomain, "given twice"),
        ("X; memory = 1,5 GB; bandwidth = 1 GB/s", OutOfDomain, "comma"),
        ("X; memory = 1; bandwidth = 1 GB/s", OutOfDomain, "no unit"),
        ("X; memory = 0.5; base = H100", OutOfDomain, "no unit"),
        ("X; memory =; bandwidth = 1 GB/s", OutOfDomain, "cannot read"),
        ("X; memory = 1 GB; oops", OutOfDomain, "cannot read 'oops'"),
        ("X; base = H1000; price = 1 USD", UnknownName, "did you mean"),
        ("X; base = H100; memory = {", OutOfDomain, "braces"),
        ("X; base = H100; memory = }", OutOfDomain, "braces"),
        ("X; base = H100; structured_sparsity = maybe", OutOfDomain, "true or false"),
        ("X; base = H100; fp16 = -1 TFLOP/s", OutOfDomain, "above 0"),
        ("X; base = H100; fp16 = 989e12 TFLOP/s", OutOfDomain, "989, not 989e12"),
        ("X; base = H100; facts = 1", UnknownName, "no such field"),
    ],
)
def test_a_bad_spec_is_refused_by_field(text: str, error: type[MlsysError], why: str) -> None:
    with pytest.raises(error) as refused:
        Device.of(text)
    assert why in str(refused.value)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_spec_text_says_all_that_a_row_knows(kind: type[Thing]) -> None:
    for thing in REGISTRIES[kind].values():
        text = spec(thing)
        assert kind.of(text) == thing
        assert spec(kind.of(text)) == text


def test_a_missing_fact_says_how_to_give_it() -> None:
    with pytest.raises(
        MissingFact, match=r"MyGPU has no link on record; .*'MyGPU; base = MyGPU; link = <number> GB/s'"
    ):
        Device.of(GPU).need("link")
    with pytest.raises(MissingFact, match="MyGPU has no fp8 rate on record, only fp16; weight-only formats"):
        Device.of(GPU).rate("fp8")
    with pytest.raises(UnknownName, match="no datapath called 'fp12'"):
        Device.of(GPU).rate("fp12")


# ---------------------------------------------------------------- the data that we ship


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_fact_has_a_title_an_address_a_date_and_a_kind(kind: type[Thing]) -> None:
    for thing in REGISTRIES[kind].values():
        told = {n for n in fields(kind) if getattr(thing, n) not in (None, False) or n in thing.facts}
        assert set(thing.facts) == told, f"{thing.key}: facts and values differ"
        assert thing.title.strip()
        for name, fact in thing.facts.items():
            assert fact.source.title.strip(), (thing.key, name)
            assert fact.source.url.startswith(("https://", "http://")), (thing.key, name, fact.source.url)
            assert fact.source.as_of > date(1990, 1, 1), (thing.key, name)
            assert fact.kind in KINDS, (thing.key, name)
            assert fact.kind != "user", (thing.key, name)
            assert fact.note.strip() or fact.kind not in NEED_NOTE, (thing.key, name)


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_value_reads_back_from_its_printed_form(kind: type[Thing]) -> None:
    for thing in REGISTRIES[kind].values():
        for name, hint in fields(kind).items():
            unit, value = unit_of(hint), getattr(thing, name)
            if unit is not None and value is not None:
                assert unit.check(value, name) == value
                assert unit.from_face(face(thing, name)) == pytest.approx(value, rel=1e-15)


def test_every_citation_of_the_catalogue_is_a_source() -> None:
    assert sources()
    for entry in CATALOGUE.values():
        assert entry.cites, entry.name
        assert set(entry.cites) <= set(sources()), (entry.name, set(entry.cites) - set(sources()))
