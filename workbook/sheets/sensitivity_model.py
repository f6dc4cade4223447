"""The words of the case model: what a case is, what it can vary, what the names in its formulas stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from .engine import DERIVED, ROW, option_columns
from .money import FIRST_YEAR, HEAD, SHARES
from .monthly import FIRST_MONTH, MONTH, RUN, YEAR, Layout
from .sensitivity_rows import ESCALATIONS

SHEET = "Cases"
FIRST = 4  # column D: month 0 of a line, case 0 of a row, the value of a scalar
SCALE = "scale"  # the input that stands for the whole load as a multiple of the plan's
ENGINE = "engine"  # the input that stands for the engine's own error
_TIMELINE = {"m": MONTH, "run": RUN, "year": YEAR}
# inputs that change the load, the fleet or what is drawn and paid in a month
LOAD_INPUTS = frozenset({
    "in_TokensPerDay", "in_RampMonths", "in_DemandGrowth", "in_Utilisation", "in_Goodput", "in_SpareServers",
    "in_RunsPerYear", "in_PerfGain", "in_DeadlineDays", "in_TakeOrPay", ENGINE, SCALE,
})  # fmt: skip
# inputs that change what a later dollar is worth
RATE_INPUTS = frozenset({
    "in_DiscountRate", "in_Inflation", "in_CostOfEquity", "in_CostOfDebt", "in_DebtShare", "in_TaxRate", "in_TaxUse",
})  # fmt: skip
PRICE_INPUTS = frozenset({
    "in_PriceFactor", "in_ServerShare", "in_NetworkShare", "in_PriceDecline", "in_ResidualDecline", "in_WUE",
    "in_EnergyEscalator", "in_CostEscalator", "in_WageEscalator", "in_CloudDecline", "in_MeteredFill", "in_SpotRework",
    "in_ReservedUpfront", "in_LoanRate", "in_LeaseRate", "in_LeaseResidual",
})  # fmt: skip
EXACT = (LOAD_INPUTS | RATE_INPUTS | PRICE_INPUTS) - {ENGINE, SCALE}  # what a case model can vary
PICKED = ("fleet", "owned", "new", "keeps", "loan", "lease", "reserved", "api", "rest", "start", "term", "refresh",
            "known", "per_server", "busy_kw", "idle_kw", "contract_kw", "pue", "tariff", "intensity", "price",
            "token_price")  # fmt: skip
TYPED = {
    "typed": ("servers", "as needed"),
    "ramp_own": ("ramp", "as in Inputs"),
    "growth_own": ("growth", "as in Inputs"),
    "residual": ("residual", "by age"),
}
PLAIN = {"rent_metered": "rent_metered", "rent_reserved": "rent_reserved", "basis": "price_basis"}


@dataclass(frozen=True, slots=True)
class Case:
    """One column: the input that differs, and the formula of its value; for the engine -1 is low and 1 is high."""

    label: str
    changes: str = ""
    value: str = ""
    start: str = ""


@dataclass
class Model:
    """Where everything of a case model stands."""

    sheet: Worksheet
    layout: Layout
    number: str
    cases: Sequence[Case]
    overrides: Mapping[str, str] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, int] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Letters of the cases."""
        return [get_column_letter(FIRST + i) for i in range(len(self.cases))]

    def cell(self, name: str, case: int = 0) -> str:
        """Address of a row in a case, or of a scalar, as other sheets read it."""
        return f"{SHEET}!${self.columns[case]}${self.rows[name]}"

    def row_of(self, name: str) -> str:
        """All cases of a row."""
        r = self.rows[name]
        return f"{SHEET}!${self.columns[0]}${r}:${self.columns[-1]}${r}"

    def across(self, row: int) -> str:
        """All months of a line on this sheet."""
        return f"${get_column_letter(FIRST)}${row}:${get_column_letter(FIRST + self.layout.months)}${row}"

    def pick(self, addresses: Sequence[str]) -> str:
        """The one of the addresses that belongs to the option."""
        return f"CHOOSE({self.number},{','.join(addresses)})"

    def total(self, name: str) -> str:
        """A driver or total of Monthly of the option."""
        return self.pick([self.layout.total(name, o) for o in range(self.layout.count)])

    def engine(self, name: str) -> str:
        """A row of Engine of the option."""
        row = (ROW | DERIVED)[name]
        return self.pick([f"Engine!${c}${row}" for c in option_columns(self.layout.count)])


def expand(formula: str, model: Model, column: str, month: str, line: int = 1) -> str:
    """Put addresses in the place of {names}; `month` is the letter of a month, "" in a row of cases."""
    out, rest = "", formula
    while "{" in rest:
        before, _, after = rest.partition("{")
        name, _, rest = after.partition("}")
        out += before + address(name, model, column, month, line)
    return out + rest


def address(name: str, model: Model, column: str, month: str, line: int) -> str:
    kind, _, what = name.partition(":")
    rows, blocks = model.rows, model.blocks
    if name.endswith("@"):
        bare = name[:-1]
        if bare in _TIMELINE:
            index = get_column_letter(FIRST_MONTH_OFFSET + number(month))
            return f"Monthly!{index}${_TIMELINE[bare]}"
        if bare == "shape":
            return f"{month}{blocks[bare] + line_of(model, column, 's') - 1}"
        return f"{month}{blocks[bare] + line - 1}"
    if kind == "t":
        return model.layout.timeline(_TIMELINE[what])
    if kind == "p":
        if what in rows:
            return f"{column}{rows[what]}"
        return "1" if what == SCALE else what
    if kind == "q":
        count = max(int(model.sheet[f"{c}{rows['q']}"].value) for c in model.columns)
        return block(model, what, count, f"{column}{rows['q']}")
    if kind == "w":
        count = max(int(model.sheet[f"{c}{rows['w']}"].value) for c in model.columns)
        return block(model, what, count, f"{column}{rows['w']}")
    if kind == "shape":
        count = max(int(model.sheet[f"{c}{rows['s']}"].value) for c in model.columns)
        return block(model, "shape", count, f"{column}{rows['s']}")
    if kind == "c":
        part, _, driver = what.partition(":")
        letter = {"monthly": "D", "once": "E", "end": "F", "capital": "G"}[part]
        top = rows["coefficients"] + (int(driver) - 1) * ESCALATIONS
        return f"${letter}${top}:${letter}${top + ESCALATIONS - 1}"
    if kind == "five":
        return f"{column}{rows[what + '1']}:{column}{rows[what + str(ESCALATIONS)]}"
    if kind == "engine no":
        return f"$C${rows['per_device']}"
    if kind == "one":
        return f"$D${rows[what]}"
    if kind in ("years", "shares"):
        from .money import _last

        row = HEAD if kind == "years" else SHARES
        return f"Money!${get_column_letter(FIRST_YEAR)}${row}:${_last(model.layout)}${row}"
    return f"$D${rows[name]}" if is_scalar(name, model) else f"{column}{rows[name]}"


FIRST_MONTH_OFFSET = FIRST_MONTH - FIRST  # columns between a month here and on Monthly


def number(letter: str) -> int:
    from openpyxl.utils import column_index_from_string

    return column_index_from_string(letter)


def line_of(model: Model, column: str, kind: str) -> int:
    return int(model.sheet[f"{column.replace('$', '')}{model.rows[kind]}"].value)


def block(model: Model, name: str, count: int, index: str) -> str:
    """The months of the line that a case reads."""
    top = model.blocks[name]
    if count == 1:
        return model.across(top)
    first, last = get_column_letter(FIRST), get_column_letter(FIRST + model.layout.months)
    return f"INDEX(${first}${top}:${last}${top + count - 1},{index},0)"


def is_scalar(name: str, model: Model) -> bool:
    return model.rows.get(f"option {name}") == model.rows.get(name)
