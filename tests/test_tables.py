"""Functions that answer with a table: one call, a header row with units, lists of things as arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from mlsysim import CATALOGUE, OutOfDomain, UnknownName
from mlsysim.catalogue import solver
from mlsysim.record import record
from mlsysim.tables import Many, Table, Texts, is_table, single, things_of
from mlsysim.things import Site
from mlsysim.units import Binding, Bottleneck, Count, Days, Duration, Electricity, Flag, Option
from udfs import FUNCTIONS, Published, publish
from udfs.tools import metrics_table
from workbook.sheets.functions import call_text, unit_text
from workbook.units import unit_of_call


@record
class Rows(Table):
    """A table with every kind of column."""

    name: Texts
    step: Duration
    energy: Electricity
    bottleneck: Binding
    feasible: Flag


@pytest.fixture(scope="module")
def sample() -> Iterator[Published]:
    """A table-returning entry that lives for these tests only."""

    def sample_table(
        datacenter: Many[Site], *, days: Days, count: Count = 3, reserve: Option[Count | None] = None
    ) -> Rows:
        """Rows of a test."""
        sites = things_of(Site, datacenter, "sample_table: datacenter")
        rows = min(int(single(count, "sample_table: count")), len(sites))
        wue = [np.nan if s.wue is None else 3.6e6 for s in sites[:rows]]
        return Rows(
            name=np.array([s.key for s in sites[:rows]], dtype=object),
            step=np.full(rows, days),
            energy=np.array(wue) * (reserve or 1.0),
            bottleneck=np.full(rows, Bottleneck.network),
            feasible=np.arange(rows) == 0,
        )

    solver("barroso2018", group="Planning")(sample_table)
    yield publish(CATALOGUE["sample_table"])
    del CATALOGUE["sample_table"]


def test_signature_has_no_metric_and_columns_are_listed(sample: Published) -> None:
    assert call_text(sample) == "MLS_SAMPLE_TABLE(datacenter, days, [count], [options])"
    assert unit_text(sample) == ""
    assert sample.entry is not None
    assert is_table(sample.entry)
    assert metrics_table({sample.name: sample}, "sample_table")[:3] == [["name", ""], ["step", "s"], ["energy", "kWh"]]
    assert unit_of_call('=MLS_SAMPLE_TABLE("Quebec",1)', {sample.name: sample}) == ""


HEADER = ["name", "step [s]", "energy [kWh]", "bottleneck", "feasible"]


@pytest.mark.parametrize(
    "sites", ["Quebec; US_Avg", "quebec;us avg;", [["Quebec"], ["US_Avg"]], [["Quebec", None, "US_Avg"]]]
)  # fmt: skip
def test_a_list_of_things_is_a_range_or_a_text(sample: Published, sites: object) -> None:
    table = sample(sites, 2.0)
    assert isinstance(table, list)
    assert table[0] == HEADER
    assert [row[0] for row in table[1:]] == ["Quebec", "US_Avg"]
    assert [row[1] for row in table[1:]] == [2 * 86400.0] * 2
    assert [row[3:] for row in table[1:]] == [["network", True], ["network", False]]


def test_rows_options_and_spec_texts(sample: Published) -> None:
    assert len(sample("Quebec; US_Avg", 1.0, 1.0)) == 2  # type: ignore[arg-type]
    own = "Mine; base = Quebec; wue = 0.1 L/kWh"
    table = sample(own, 1.0, None, "reserve = 4")
    assert isinstance(table, list)
    assert table[1][:3] == ["Mine", 86400.0, 4.0]
    both = sample(f"{{{own}}}; US_Avg", 1.0)
    assert isinstance(both, list)
    assert [r[0] for r in both[1:]] == ["Mine", "US_Avg"]


def test_an_unknown_number_is_a_refusal_in_its_cell(sample: Published) -> None:
    bare = "Mine; grid = Quebec; pue = 1.1"
    table = sample(bare, 1.0)
    assert isinstance(table, list)
    assert str(table[1][2]).startswith("#MLS! MLS_SAMPLE_TABLE: energy is unknown")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ((), "datacenter is empty"),
        (("  ", 1.0), "datacenter is empty"),
        (([[None], [None]], 1.0), "datacenter is empty"),
        ((";", 1.0), "datacenter names nothing"),
        (("Quebec; Quebec", 1.0), "datacenter names Quebec twice"),
        (([["Quebec"], ["quebec"]], 1.0), "names Quebec twice"),
        (("Quebec; Mine; pue = 1.1", 1.0), "cannot read 'Mine'"),
        (([["Quebec"], [3.0]], 1.0), "datacenter must be text"),
        (([["Quebec"], ["#N/A"]], 1.0), "datacenter holds the error #N/A"),
        (("#REF!", 1.0), "datacenter holds the error"),
        (("Quebecc", 1.0), "did you mean Quebec"),
        (("Quebec",), "days is empty"),
        (("Quebec", [[1.0, 2.0]]), "days must be a single cell"),
        (("Quebec", "one"), "is no number"),
        (("Quebec", True), "days must be a number"),
        (("Quebec", 0.0), "days must be a number above 0"),
        (("Quebec", float("nan")), "days must be a number above 0.*"),
        (("Quebec", 1.0, 0.0), "count must be a whole number from 1"),
        (("Quebec", 1.0, [[1.0, 2.0]]), "count must be a single cell"),
        (("Quebec", 1.0, None, "resreve = 1"), "options has no 'resreve'"),
        (("Quebec", 1.0, None, None, None), "takes at most 4 arguments"),
    ],
)
def test_refusals(sample: Published, cells: tuple[object, ...], words: str) -> None:
    answer = sample(*cells)
    assert isinstance(answer, str)
    assert answer.startswith("#MLS! ")
    assert re.search(words, answer), answer


def test_in_python_lists_things_and_single_numbers() -> None:
    quebec = Site.of("Quebec")
    assert things_of(Site, quebec, "x") == (quebec,)
    assert [s.key for s in things_of(Site, [quebec, "US_Avg"], "x")] == ["Quebec", "US_Avg"]
    with pytest.raises(OutOfDomain, match="x names nothing"):
        things_of(Site, [], "x")
    with pytest.raises(UnknownName):
        things_of(Site, ["nowhere"], "x")
    assert single(np.array([3.0]), "x") == 3.0
    with pytest.raises(OutOfDomain, match="x must be one number, got 2"):
        single(np.array([1.0, 2.0]), "x")


def test_every_published_table_spills_what_it_promises() -> None:
    for function in FUNCTIONS.values():
        if function.entry is not None and is_table(function.entry):
            assert "metric" not in [a.name for a in function.parameters]
