"""The vocabulary of quantities: one name, one unit, one legal range each.

Inside the package every number is in its *base* unit (SI, plus byte, FLOP, token and USD).
Only the edges -- data files, Excel, the README -- use the *face* unit that people write.
A quantity is a type, so that a signature says it all::

    def ridge_point(*, peak: FlopRate, bandwidth: ByteRate) -> Intensity: ...

Nothing here knows what the numbers are used for; the list of quantities stands at the end.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction as Exact
from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_origin

import numpy as np
import numpy.typing as npt

from .errors import OutOfDomain
from .hints import hints_of
from .trace import Traced

Real: TypeAlias = float | npt.NDArray[np.float64]
Flag: TypeAlias = bool | npt.NDArray[np.bool_]

HOURS_PER_YEAR = 8760  # a year of contracts and depreciation: 365 days

_SI = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21, "Y": 24}
_SMALL = {"m": -3, "u": -6, "µ": -6, "n": -9, "p": -12}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}
_KWH = 3_600_000


def _prefixed(symbol: str, *, binary: bool = False, small: bool = False, by: Exact = Exact(1)) -> dict[str, Exact]:
    powers = _SI | (_SMALL if small else {})
    out = {p + symbol: by * Exact(10) ** e for p, e in powers.items()}
    return out | ({p + symbol: by * 2**e for p, e in _BINARY.items()} if binary else {})


def _bytes(per: str, bit_names: tuple[str, ...]) -> dict[str, Exact]:
    out = _prefixed(f"B{per}", binary=True)
    for name in bit_names:
        out |= _prefixed(name, by=Exact(1, 8))
    return out


_TIME = _prefixed("s", small=True) | {
    "min": Exact(60),
    **dict.fromkeys(("h", "hour", "hours"), Exact(3600)),
    **dict.fromkeys(("d", "day", "days"), Exact(86400)),
    **dict.fromkeys(("year", "years"), Exact(HOURS_PER_YEAR * 3600)),
}
for _big in "kMGTPEZY":  # kiloseconds are not written by anybody; "Ms" is a likely slip for ms
    del _TIME[f"{_big}s"]

# base unit -> {spelling: how many base units it is}
SYMBOLS: dict[str, dict[str, Exact]] = {
    "B": _bytes("", ("b", "bit")),
    "B/s": _bytes("/s", ("b/s", "bit/s", "bps")),
    "FLOP": _prefixed("FLOP") | _prefixed("OP"),
    "FLOP/s": _prefixed("FLOP/s") | _prefixed("FLOPS") | _prefixed("OP/s") | _prefixed("OPS"),
    "FLOP/B": {"FLOP/B": Exact(1)},
    "s": _TIME,
    "1/s": {"1/s": Exact(1), "/s": Exact(1), "1/min": Exact(1, 60), "1/h": Exact(1, 3600), "1/day": Exact(1, 86400)},
    "W": _prefixed("W", small=True),
    "J": _prefixed("J", small=True) | _prefixed("Wh", by=Exact(3600)),
    "kg": {"kg": Exact(1), "g": Exact(1, 1000), "t": Exact(1000)},
    "L": {"L": Exact(1), "m3": Exact(1000)},
    "kg/J": {"g/kWh": Exact(1, 1000 * _KWH), "kg/kWh": Exact(1, _KWH), "kg/MWh": Exact(1, 1000 * _KWH)},
    "L/J": {"L/kWh": Exact(1, _KWH)},
    "USD": {"USD": Exact(1), "kUSD": Exact(1000), "MUSD": Exact(10**6)},
    "USD/J": {"USD/kWh": Exact(1, _KWH), "USD/MWh": Exact(1, 1000 * _KWH)},
    "USD/s": {"USD/h": Exact(1, 3600), "USD/year": Exact(1, HOURS_PER_YEAR * 3600)},
    "USD/token": {"USD/Mtoken": Exact(1, 10**6)},
    "USD/kg": {"USD/t": Exact(1, 1000), "USD/kg": Exact(1)},
    "1": {"": Exact(1), "%": Exact(1, 100), **{p: Exact(10) ** e for p, e in zip("kMBT", (3, 6, 9, 12), strict=True)}},
}  # fmt: skip

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*\Z", re.S)


def read(text: str, base: str, where: str = "value", face: str = "") -> Exact:
    """Read ``"3.35 TB/s"`` exactly, in base units; a comma or a missing unit is refused.

    Raises
    ------
    OutOfDomain
        The text is no number with a unit of dimension `base`.
    """
    symbols = SYMBOLS.get(base, {base: Exact(1)})
    if "," in text:
        raise OutOfDomain(f"{where}: {text!r} has a comma; {_without_comma(text)}")
    match = _NUMBER.match(text)
    if match is None:
        raise OutOfDomain(f"{where}: {text!r} is no number; write for example {_example(base, face)}")
    number, unit = match.groups()
    if abs(int(number.casefold().partition("e")[2] or 0)) > 300:
        raise OutOfDomain(f"{where}: {text!r} leaves the range of numbers")
    if unit not in symbols:
        got = f"the unit {unit!r}" if unit else "no unit"
        raise OutOfDomain(f"{where}: {text!r} has {got}; legal are {', '.join(filter(None, list(symbols)[:24]))}")
    return Exact(number) * symbols[unit]


def _without_comma(text: str) -> str:
    """The reader's own number as it should be written, where the comma has one likely meaning."""
    if re.match(r"\s*[+-]?[1-9]\d{0,2}(,\d{3})+(?![\d,])", text):
        return f"write {text.replace(',', '').strip()}; the decimal sign is a point"
    if text.count(",") == 1 and "." not in text:
        return f"write {text.replace(',', '.').strip()}, with a point as the decimal sign"
    return "write 3350 or 3.35, with a point as the decimal sign"


def _example(base: str, face: str) -> str:
    if base == "1":
        return "8 or 70B"
    if face:
        return f"'80 {face}'"
    symbols = [s for s in SYMBOLS.get(base, {base: Exact(1)}) if s]
    return f"'80 {symbols[min(3, len(symbols) - 1)]}'"


@dataclass(frozen=True, slots=True, eq=False)  # a unit is itself: hashed at every call
class Unit:
    """Base unit, face unit and legal range of one quantity.

    `low` and `high` are in base units; `open_low` excludes `low` itself; `whole` admits
    whole numbers only; `slip` is the likely mistake behind a value above `high`.
    """

    base: str
    face: str
    low: float = 0.0
    high: float = math.inf
    open_low: bool = False
    whole: bool = False
    slip: str = ""

    @property
    def scale(self) -> Exact:
        """Base units in one face unit, exactly."""
        return SYMBOLS.get(self.base, {self.base: Exact(1)})[self.face]

    def from_face(self, x: Any) -> Any:
        """Face unit -> base unit; whole factors keep decimal figures exact."""
        up, down = _factors(self)
        return x * up / down

    def to_face(self, x: Any) -> Any:
        """Base unit -> face unit."""
        up, down = _factors(self)
        return x * down / up

    def parse(self, text: str, where: str = "value") -> float:
        """Read a value as a data sheet prints it and check it: ``"3.35 TB/s"`` -> 3.35e12."""
        return float(self.check(float(read(text, self.base, where, self.face)), where))

    def printed_in_face(self, text: str) -> float:
        """The printed value in face units, rounded once."""
        return float(read(text, self.base) / self.scale)

    def check(self, value: Any, where: str) -> Any:
        """Return `value` as float or float64 array, or refuse it by name.

        Raises
        ------
        OutOfDomain
            Not a number, not finite, or outside the legal range.
        """
        if type(value) is float or type(value) is int:  # the common case, cheaply
            number = float(value)
            if not self._legal(number):
                raise OutOfDomain(self._refusal(number, where))
            return number
        if isinstance(value, str):
            return self.parse(value, where)
        if isinstance(value, Traced):
            if not value.judged(self, self._legal(float(value.value))):
                raise OutOfDomain(self._refusal(value.value, where))
            return value
        array = as_floats(value, where)
        good = self.mask(array)
        if not good.all():
            raise OutOfDomain(self._refusal(float(array[~good].flat[0]), where))
        return float(array) if array.ndim == 0 else array

    def mask(self, array: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which elements are legal."""
        above = array > self.low if self.open_low else array >= self.low
        good = above & (array <= self.high) & np.isfinite(array)
        return good & (array == np.floor(array)) if self.whole else good

    def _legal(self, x: float) -> bool:
        if not (self.low <= x <= self.high) or x in (math.inf, -math.inf) or (self.open_low and x == self.low):
            return False
        return not self.whole or x == math.floor(x)

    def text(self, name: str) -> str:
        """The same test as Python text, for a float called `name`."""
        low, high = (min(max(b, -sys.float_info.max), sys.float_info.max) for b in (self.low, self.high))
        more = f" and {name}!={low!r}" if self.open_low else ""
        return f"{low!r}<={name}<={high!r}{more}{f' and {name}%1.0==0.0' if self.whole else ''}"

    def allows(self, array: float | npt.NDArray[np.float64]) -> bool:
        """Whether every element is legal, in few passes; NaN makes least and largest NaN."""
        if isinstance(array, float):
            return self._legal(array)
        least, largest = np.minimum.reduce(array, axis=None), np.maximum.reduce(array, axis=None)
        inside = least > self.low if self.open_low else least >= self.low
        if not (inside and largest <= self.high and largest < math.inf and least > -math.inf):
            return False
        return not self.whole or bool((array == np.floor(array)).all())

    @property
    def legal(self) -> str:
        """The legal range in words, in the face unit."""
        low, high = (f"{self.to_face(b):g}" for b in (self.low, self.high))
        kind = "a whole number" if self.whole else "a number"
        lower = "" if self.low == -math.inf else f" {'above' if self.open_low else 'from'} {low}"
        upper = "" if self.high == math.inf else f" up to {high}"
        return f"{kind}{lower}{upper}{' ' + self.face if self.face else ''}"

    def _refusal(self, x: float, where: str) -> str:
        slip = f" ({self.slip})" if self.slip and x > self.high else ""
        shown = "not a number (NaN)" if x != x else f"{self.to_face(x):g}{' ' + self.face if self.face else ''}"
        return f"{where} must be {self.legal}, got {shown}{slip}"


@cache
def _factors(unit: Unit) -> tuple[float, float]:
    return float(unit.scale.numerator), float(unit.scale.denominator)


def as_floats(value: Any, where: str) -> npt.NDArray[np.float64]:
    """Any numeric array as float64 (integers would overflow silently); booleans and text are refused."""
    array = np.asarray(value)
    if isinstance(value, list | tuple) and any(isinstance(v, bool) for v in np.asarray(value, dtype=object).flat):
        array = array.astype(np.bool_)  # numpy would make 1.0 of TRUE among numbers
    if array.dtype.kind not in "iuf":
        got = "an empty value" if value is None else "TRUE/FALSE" if array.dtype.kind == "b" else repr(value)[:60]
        raise OutOfDomain(f"{where} must be a number, got {got}")
    return array.astype(np.float64)


@cache
def notes(hint: Any) -> tuple[Any, ...]:
    """What a type is annotated with, at any depth of ``Annotated`` and ``X | None``."""
    if get_origin(hint) is Annotated:
        return (*hint.__metadata__, *notes(hint.__origin__))
    if type(None) in get_args(hint):
        return tuple(note for part in get_args(hint) for note in notes(part))
    return ()


@cache
def parts(hint: Any) -> tuple[Any, ...]:
    """A type and all that it is made of, outermost first."""
    return (hint, *(inner for part in get_args(hint) for inner in parts(part)))


@cache
def unit_of(hint: Any) -> Unit | None:
    """The Unit that a type carries, or None."""
    return next((n for n in notes(hint) if isinstance(n, Unit)), None)


@cache
def codes_of(hint: Any) -> type[Code] | None:
    """The `Code` class of a result that is a word, or None."""
    return next((n for n in notes(hint) if isinstance(n, type) and issubclass(n, Code)), None)


class Code(IntEnum):
    """A word that arrays hold as a number; it prints as the word."""

    def __str__(self) -> str:
        return self.name.replace("_", " ")


class Bottleneck(Code):
    """What limits the time."""

    compute = 0
    memory = 1
    network = 2
    overhead = 3
    capacity = 4


class Validation(Code):
    """Whether published measurements judge a figure."""

    validated = 0
    extrapolated = 1
    not_validated = 2


MANY = "many"  # marks a parameter that names several things
OPTION = "option"  # marks a parameter that Excel takes in its `options` text
_T = TypeVar("_T")
Option = Annotated[_T, OPTION]

# ---------------------------------------------------------------- the quantities
# Ceilings are plausibility, not physics: each stops a slip of units or of a power of ten.
_U = Unit
Flops = Annotated[Real, _U("FLOP", "FLOP", high=1e32, slip="the largest training run so far is near 5e26 FLOP")]
FlopRate = Annotated[Real, _U("FLOP/s", "TFLOP/s", open_low=True, high=1e21,
                              slip="in Excel rates are in TFLOP/s: 989, not 989e12")]  # fmt: skip
Bytes = Annotated[Real, _U("B", "GB", high=1e21, slip="in Excel sizes are in GB: 80, not 80e9")]
ByteRate = Annotated[Real, _U("B/s", "GB/s", open_low=True, high=1e19,
                              slip="in Excel rates are in GB/s: 3350, not 3.35e12")]  # fmt: skip
Intensity = Annotated[Real, _U("FLOP/B", "FLOP/B", high=1e9)]
Latency = Annotated[Real, _U("s", "ms", high=1e9)]
LinkLatency = Annotated[Real, _U("s", "us", high=1.0, slip="link latencies are in microseconds in Excel")]
Duration = Annotated[Real, _U("s", "s", high=1e10)]
Hours = Annotated[Real, _U("s", "h", open_low=True, high=3.6e12)]
DeviceHours = Annotated[Real, _U("s", "h")]  # devices x hours, without the ceiling of one clock
Days = Annotated[Real, _U("s", "days", open_low=True, high=36500 * 86400.0, slip="at most 100 years")]
Years = Annotated[Real, _U("s", "years", open_low=True, high=100 * HOURS_PER_YEAR * 3600.0, slip="at most 100 years")]
Age = Annotated[Real, _U("s", "years", high=100 * HOURS_PER_YEAR * 3600.0, slip="at most 100 years")]
Power = Annotated[Real, _U("W", "W", open_low=True, high=1e12)]
SitePower = Annotated[Real, _U("W", "kW", open_low=True, high=1e12)]
CampusPower = Annotated[Real, _U("W", "MW", open_low=True, high=1e10, slip="in Excel in MW: 20, not 20000")]
Energy = Annotated[Real, _U("J", "J", high=1e20)]
Electricity = Annotated[Real, _U("J", "kWh", high=3.6e19)]
EnergyPrice = Annotated[Real, _U("USD/J", "USD/kWh", high=5 / _KWH, slip="did you mean USD/MWh? 0.12 USD/kWh is usual")]
CarbonIntensity = Annotated[Real, _U("kg/J", "g/kWh", high=2 / _KWH, slip="coal is near 1000 g/kWh")]
WaterIntensity = Annotated[Real, _U("L/J", "L/kWh", high=50 / _KWH)]
Carbon = Annotated[Real, _U("kg", "kg")]
CarbonPrice = Annotated[Real, _U("USD/kg", "USD/t", high=100, slip="USD per tonne: 100, not 0.1")]
Volume = Annotated[Real, _U("L", "L")]
Money = Annotated[Real, _U("USD", "USD", high=1e15)]
UnitPrice = Annotated[Real, _U("USD", "USD", open_low=True, high=1e12)]
HourlyPrice = Annotated[Real, _U("USD/s", "USD/h", high=1e6 / 3600)]
HourlyRent = Annotated[Real, _U("USD/s", "USD/h", open_low=True, high=1e6 / 3600)]
TokenPrice = Annotated[Real, _U("USD/token", "USD/Mtoken")]
Count = Annotated[Real, _U("1", "", low=1, whole=True, high=1e12)]
Periods = Annotated[Real, _U("1", "", low=1, whole=True, high=1200, slip="at most 1,200: a hundred years of months")]
Quantity = Annotated[Real, _U("1", "", open_low=True, high=1e12)]
Draft = Annotated[Real, _U("1", "", low=1, whole=True, high=1000, slip="drafts propose 2 to 10 tokens at a time")]
Params = Annotated[Real, _U("1", "", open_low=True, high=1e15, slip="did you mean 70e9? parameters are plain counts")]
Tokens = Annotated[Real, _U("1", "", open_low=True, high=1e18, slip="did you mean 15e12? tokens are plain counts")]
Length = Annotated[Real, _U("1", "", whole=True, high=1e12)]
ZeroStage = Annotated[Real, _U("1", "", whole=True, high=3)]
TokenVolume = Annotated[Real, _U("1", "", high=1e18, slip="did you mean 15e12? tokens are plain counts")]
Approach = Annotated[Real, _U("1", "", low=1, whole=True, high=3)]
Rate = Annotated[Real, _U("1/s", "1/s", high=1e15)]
BytesPerValue = Annotated[Real, _U("1", "", open_low=True, high=16, slip="bytes, not bits: fp16 is 2")]
Bits = Annotated[Real, _U("1", "", low=1, high=64)]
Throughput = Annotated[Real, _U("1/s", "1/s", open_low=True, high=1e15)]
DailyRate = Annotated[Real, _U("1/s", "1/day", high=1e12)]
FailureRate = Annotated[Real, _U("1/s", "1/day", open_low=True, high=1 / 86400,
                                 slip="for each node and day: 0.0065, not 6.5 per 1000 node-days")]  # fmt: skip
Load = Annotated[Real, _U("1", "", high=1e9, slip="in erlang: arrivals per second x service time")]
Servers = Annotated[Real, _U("1", "", low=1, whole=True, high=1e6, slip="at most a million servers")]
ServiceTime = Annotated[Real, _U("s", "ms", open_low=True, high=1e9)]
Variation = Annotated[Real, _U("1", "", high=1000, slip="standard deviation over mean: 1 is exponential")]
StepTime = Annotated[Real, _U("s", "s", open_low=True, high=1e10)]
NodeCount = Annotated[Real, _U("1", "", low=1, whole=True, high=1e7, slip="at most ten million nodes")]
DataMargin = Annotated[Real, _U("B/s", "GB/s", low=-math.inf)]
DataRate = Annotated[Real, _U("B/s", "GB/s", high=1e19, slip="in Excel rates are in GB/s: 2, not 2e9")]
Interval = Annotated[Real, _U("s", "h", high=3.6e12)]
Epsilon = Annotated[Real, _U("1", "", open_low=True, high=1000, slip="a privacy budget above 10 protects little")]
Delta = Annotated[Real, _U("1", "", open_low=True, high=0.1, slip="well below one over the number of samples")]
LawExponent = Annotated[Real, _U("1", "", low=0.05, high=1, slip="published laws have exponents of 0.2 to 0.6")]
LawScale = Annotated[Real, _U("1", "", low=1e-3, high=1e9, slip="published laws have scales of 100 to 10,000")]
Ratio = Annotated[Real, _U("1", "")]
Overhead = Annotated[Real, _U("1", "", high=5, slip="a share: 0.23, not 23")]
Factor = Annotated[Real, _U("1", "", low=1, high=1e6)]
Pue = Annotated[Real, _U("1", "", low=1, high=10, slip="a PUE is between 1.0 and about 3")]
Fraction = Annotated[Real, _U("1", "", open_low=True, high=1, slip="a fraction: 0.4, not 40")]
Share = Annotated[Real, _U("1", "", high=1, slip="a fraction: 0.4, not 40")]
Change = Annotated[Real, _U("1", "", low=-1, high=1)]
Elasticity = Annotated[Real, _U("1", "", low=-math.inf)]
# units fixed by the cheat sheet's attribute names (`total_energy_kwh`): base and face coincide
KilowattHours = Annotated[Real, _U("kWh", "kWh")]
Gigabytes = Annotated[Real, _U("GB", "GB")]
Percent = Annotated[Real, _U("%", "%", low=-math.inf, high=100)]
Kilowatts = Annotated[Real, _U("kW", "kW")]
Binding = Annotated[Real, Bottleneck]
Validity = Annotated[Real, Validation]


@cache  # asked for at every call of a function, and slow to find out
def typed_fields(kind: type) -> dict[str, Any]:
    """The fields of a record with their types, quantities included."""
    hints = hints_of(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}
