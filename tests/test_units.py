"""Quantities: text is read exactly, faces round-trip, and what is no legal number is refused by name."""

from __future__ import annotations

import math
from collections.abc import Hashable
from fractions import Fraction as Exact
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import units
from mlsysim.errors import OutOfDomain
from mlsysim.units import Bottleneck, Unit, as_floats, codes_of, read, unit_of

QUANTITIES: dict[str, Unit] = {
    name: unit
    for name in dir(units)
    if name[0].isupper()
    and isinstance(thing := getattr(units, name), Hashable)
    and (unit := unit_of(thing)) is not None
}


def unit(name: str) -> Unit:
    return QUANTITIES[name]


# ---------------------------------------------------------------- text -> exact number


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [
        ("3.35 TB/s", "B/s", Exact(3_350_000_000_000)),
        ("400 Gb/s", "B/s", Exact(50_000_000_000)),
        ("400 Gbit/s", "B/s", Exact(50_000_000_000)),
        ("80 GB", "B", Exact(80 * 10**9)),
        ("80 GiB", "B", Exact(80 * 2**30)),
        ("81559 MiB", "B", Exact(81559 * 2**20)),
        ("1 KiB", "B", Exact(1024)),
        ("8 bit", "B", Exact(1)),
        ("989 TFLOP/s", "FLOP/s", Exact(989 * 10**12)),
        ("1979 TOPS", "FLOP/s", Exact(1979 * 10**12)),
        ("4.1 GFLOP", "FLOP", Exact(41 * 10**8)),
        ("15 mW", "W", Exact(15, 1000)),
        ("1.2 MW", "W", Exact(1_200_000)),
        ("5 us", "s", Exact(5, 10**6)),
        ("5 µs", "s", Exact(5, 10**6)),
        ("1.5 h", "s", Exact(5400)),
        ("3 years", "s", Exact(3 * 8760 * 3600)),
        ("0.12 USD/kWh", "USD/J", Exact(12, 100) / 3_600_000),
        ("120 USD/MWh", "USD/J", Exact(12, 100) / 3_600_000),
        ("429 g/kWh", "kg/J", Exact(429, 1000) / 3_600_000),
        ("1.8 L/kWh", "L/J", Exact(18, 10) / 3_600_000),
        ("1 kWh", "J", Exact(3_600_000)),
        ("70.6B", "1", Exact(70_600_000_000)),
        ("26k", "1", Exact(26_000)),
        ("15T", "1", Exact(15 * 10**12)),
        ("40 %", "1", Exact(4, 10)),
        ("2.5 USD/h", "USD/s", Exact(25, 10) / 3600),
        ("27000 USD", "USD", Exact(27_000)),
        ("1e3 GB", "B", Exact(10**12)),
        (".5 GB", "B", Exact(5 * 10**8)),
    ],
)
def test_text_is_read_exactly(text: str, base: str, value: Exact) -> None:
    assert read(text, base) == value


def test_binary_and_decimal_and_bits_and_bytes_stay_apart() -> None:
    assert read("1 GiB", "B") / read("1 GB", "B") == Exact(2**30, 10**9)
    assert read("1 GB/s", "B/s") == 8 * read("1 Gb/s", "B/s")
    assert read("1 MW", "W") == 10**9 * read("1 mW", "W")


@pytest.mark.parametrize(
    ("text", "base", "why"),
    [
        ("3,35 TB/s", "B/s", "comma"),
        ("3,350 GB/s", "B/s", "comma"),
        ("80", "B", "no unit"),
        ("80 gb", "B", "the unit 'gb'"),
        ("80 GB", "B/s", "the unit 'GB'"),
        ("700 TFLOP", "FLOP/s", "the unit 'TFLOP'"),
        ("fast", "B/s", "no number"),
        ("", "B", "no number"),
        ("GB", "B", "no number"),
        ("1 2 GB", "B", "the unit '2 GB'"),
        ("nan GB", "B", "no number"),
        ("inf GB", "B", "no number"),
        ("5 Ms", "s", "the unit 'Ms'"),
        ("1e GB", "B", "the unit 'e GB'"),
        ("0x10 B", "B", "the unit 'x10 B'"),
        ("10 EUR", "USD", "the unit 'EUR'"),
    ],
)
def test_unreadable_text_is_refused_with_its_reason(text: str, base: str, why: str) -> None:
    with pytest.raises(OutOfDomain) as refused:
        read(text, base, "H100: memory")
    assert why in str(refused.value)
    assert str(refused.value).startswith("H100: memory: ")


def test_a_wrong_unit_is_answered_with_legal_ones() -> None:
    with pytest.raises(OutOfDomain, match=r"legal are .*GB.*GiB"):
        read("80 XB", "B")


@given(st.integers(1, 10**9), st.sampled_from(["B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "Gb"]))
def test_reading_scales_by_the_symbol_and_by_nothing_else(n: int, symbol: str) -> None:
    assert read(f"{n} {symbol}", "B") == n * read(f"1 {symbol}", "B")


# ---------------------------------------------------------------- face <-> base


@pytest.mark.parametrize("name", QUANTITIES)
@settings(max_examples=20, deadline=None)
@given(x=st.floats(1e-12, 1e12))
def test_face_round_trip(name: str, x: float) -> None:
    u = unit(name)
    assert u.to_face(u.from_face(x)) == pytest.approx(x, rel=4e-16)
    assert u.from_face(u.to_face(x)) == pytest.approx(x, rel=4e-16)


@pytest.mark.parametrize(
    ("name", "face", "scale"),
    [
        ("FlopRate", "TFLOP/s", Exact(10**12)),
        ("Bytes", "GB", Exact(10**9)),
        ("ByteRate", "GB/s", Exact(10**9)),
        ("Latency", "ms", Exact(1, 1000)),
        ("LinkLatency", "us", Exact(1, 10**6)),
        ("Duration", "s", Exact(1)),
        ("Hours", "h", Exact(3600)),
        ("Days", "days", Exact(86400)),
        ("Years", "years", Exact(8760 * 3600)),
        ("Electricity", "kWh", Exact(3_600_000)),
        ("EnergyPrice", "USD/kWh", Exact(1, 3_600_000)),
        ("CarbonIntensity", "g/kWh", Exact(1, 3_600_000_000)),
        ("HourlyPrice", "USD/h", Exact(1, 3600)),
        ("TokenPrice", "USD/Mtoken", Exact(1, 10**6)),
        ("Params", "", Exact(1)),
        ("Money", "USD", Exact(1)),
        ("KilowattHours", "kWh", Exact(1)),
        ("Gigabytes", "GB", Exact(1)),
    ],
)
def test_faces_are_the_units_that_people_write(name: str, face: str, scale: Exact) -> None:
    assert (unit(name).face, unit(name).scale) == (face, scale)


def test_face_values_reach_base_units_without_a_rounding_step() -> None:
    assert unit("FlopRate").from_face(989) == 989e12
    assert unit("ByteRate").from_face(3350) == 3.35e12
    assert unit("Latency").from_face(0.3) == 0.0003
    assert unit("CarbonIntensity").from_face(400) == 400 / 3.6e9
    assert unit("ByteRate").printed_in_face("3.35 TB/s") == 3350
    np.testing.assert_array_equal(unit("Hours").from_face(np.array([1.0, 2.0])), [3600, 7200])


# ---------------------------------------------------------------- the door


@pytest.mark.parametrize("name", QUANTITIES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.nan, np.float64("inf"), np.array([1.0, np.nan])])
def test_no_quantity_lets_nan_or_infinity_in(name: str, bad: Any) -> None:
    with pytest.raises(OutOfDomain, match=r"^batch must be "):
        unit(name).check(bad, "batch")


@pytest.mark.parametrize("name", QUANTITIES)
@pytest.mark.parametrize(
    "bad", [None, True, False, np.True_, "", "abc", "1,5", b"1", 1j, object(), [1.0, "x"], [True, 2.0], np.array(["1"])]
)
def test_what_is_no_number_is_refused(name: str, bad: Any) -> None:
    with pytest.raises(OutOfDomain, match="batch"):
        unit(name).check(bad, "batch")


@pytest.mark.parametrize("name", QUANTITIES)
def test_the_borders_of_every_quantity(name: str) -> None:
    u = unit(name)
    if u.low > -math.inf:
        assert u.mask(np.array([u.low]))[0] != u.open_low
        with pytest.raises(OutOfDomain, match=r"^x must be "):
            u.check(u.low - 1, "x")
        if u.open_low:
            with pytest.raises(OutOfDomain, match=f"above {u.to_face(u.low):g}"):
                u.check(u.low, "x")
        else:
            assert u.check(u.low, "x") == u.low
    if u.high < math.inf:
        assert u.check(u.high, "x") == u.high
        with pytest.raises(OutOfDomain, match="up to") as refused:
            u.check(u.high * 1.0001 + 1e-9, "x")
        assert u.slip in str(refused.value)


@pytest.mark.parametrize("name", ["Count", "Length", "ZeroStage"])
def test_counts_are_whole(name: str) -> None:
    assert unit(name).check(2, "batch") == 2.0
    for bad in (1.5, np.array([1.0, 2.5]), np.float32(0.1)):
        with pytest.raises(OutOfDomain, match="batch must be a whole number"):
            unit(name).check(bad, "batch")


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("Fraction", 40, "a fraction: 0.4, not 40"),
        ("Params", 70e18, "did you mean 70e9"),
        ("FlopRate", 989e24, "989, not 989e12"),
        ("Bytes", 80e18 * 1e9, "80, not 80e9"),
        ("BytesPerValue", 32, "bytes, not bits"),
        ("EnergyPrice", 120 / 3.6e6, "USD/MWh"),
        ("Pue", 0.9, "from 1 up to 10"),
    ],
)
def test_a_likely_slip_is_named(name: str, value: float, hint: str) -> None:
    with pytest.raises(OutOfDomain, match=hint):
        unit(name).check(value, "x")


def test_refusals_speak_in_face_units() -> None:
    with pytest.raises(OutOfDomain, match=r"^peak must be a number above 0 up to 1e\+09 TFLOP/s, got -2 TFLOP/s$"):
        unit("FlopRate").check(-2e12, "peak")


def test_the_first_illegal_element_of_an_array_is_shown() -> None:
    with pytest.raises(OutOfDomain, match=r"got -3$"):
        unit("Params").check(np.array([[1.0, 2.0], [-3.0, -4.0]]), "params")


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3), np.array(3)])
def test_one_number_comes_back_as_a_python_float(value: Any) -> None:
    assert type(unit("Count").check(value, "x")) is float


def test_integers_become_floats_so_that_products_cannot_overflow() -> None:
    array = unit("Count").check(np.array([2**39, 2**38]), "x")
    assert array.dtype == np.float64
    assert (array * array)[0] == 2.0**78
    assert as_floats(np.array([1, 2], dtype=np.uint8), "x").dtype == np.float64


def test_text_is_a_number_with_its_unit_at_the_door_too() -> None:
    assert unit("Params").check("70B", "params") == 70e9
    assert unit("ByteRate").check("3.35 TB/s", "bandwidth") == 3.35e12
    with pytest.raises(OutOfDomain, match="bandwidth: '3350' has no unit"):
        unit("ByteRate").check("3350", "bandwidth")
    with pytest.raises(OutOfDomain, match=r"above 0"):
        unit("ByteRate").check("0 GB/s", "bandwidth")


def test_types_tell_their_unit_and_their_words() -> None:
    assert unit_of(units.Bytes | None) is unit("Bytes")
    assert unit_of(units.Option[units.Bytes | None]) is unit("Bytes")
    assert unit_of(str) is None
    assert codes_of(units.Binding) is Bottleneck
    assert codes_of(units.Bytes) is None
    assert str(Bottleneck.memory) == "memory"
