"""The sheet RFQ in a small book of its own, and what a quote comes to, written out month by month."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.table import Table

from mlsysim.things import HARDWARE
from workbook.finalize import finalize
from workbook.plan import read_plan
from workbook.sheets import monthly as m
from workbook.sheets.engine import DERIVED, ROW
from workbook.sheets.monthly import Layout
from workbook.sheets.options import COLUMNS as OPTION_COLUMNS
from workbook.sheets.rfq import add_rfq
from workbook.sheets.rfq_rows import LETTERS, PLACE, TERMS
from workbook.sheets.rfq_table import COLUMNS, TOP
from workbook.style import add_styles

PLAN: dict[str, Any] = {
    "in_HoursPerYear": 8760, "in_HoursPerMonth": 730, "in_HorizonMonths": 30, "in_Utilisation": 0.6, "in_Goodput": 0.9,
    "in_MeteredFill": 0.8, "in_NetworkShare": 0.2, "in_InstallShare": 0.03, "in_DiscountNominal": 0.1,
    "in_FacilityCost": 150.0, "in_DemandCharge": 5.0, "in_ResidualDecline": 0.3, "in_Currency": "USD", "in_FX": 1.0,
    "in_ValuationDate": dt.date(2026, 11, 25),
}  # fmt: skip
PRICE_RISES = {"energy": 0.02, "cost": 0.04, "cloud": -0.1}
RATES = {"USD": 1.0, "EUR": 0.9, "GBP": 0.75, "JPY": 150.0}
RENTS = {"B200": 4.0, "H100": 2.0}
SITE = {"pue": 1.3, "tariff": 0.08, "plate": 12000, "busy": 9.0, "idle": 3.0}
ENGINE = {"B200": (1200.0, 700.0), "H100": (600.0, 450.0)}  # tokens per second: middle, low end
USUAL: dict[str, Any] = {
    "vendor": "V", "quote": "Q", "kind": "quote", "currency": "USD", "device": "B200", "per": "server", "quantity": 10,
    "in_unit": 8, "in_server": 8, "list": 350_000, "network": "no", "installation": "no", "weeks": 8, "warranty": 1,
    "support": 0.05, "support_per": "share", "power": 14_000, "cooling": "air",
}  # fmt: skip


def factor(name: str, month: int) -> float:
    """What the prices of a month are multiplied by."""
    return float((1 + PRICE_RISES[name]) ** (max(1, -(-month // 12)) - 1))


def draft(quotes: list[dict[str, Any]], **changes: Any) -> Workbook:
    """The book with these quotes in the place of the examples."""
    plan = PLAN | changes
    layout = Layout(read_plan(2))
    book = Workbook()
    add_styles(book)
    inputs = book.active
    assert inputs is not None
    inputs.title = "Inputs"
    for r, (name, value) in enumerate(plan.items(), start=1):
        inputs.cell(r, 1, name)
        inputs.cell(r, 2, value)
        book.defined_names[name] = DefinedName(name, attr_text=f"Inputs!$B${r}")
    _table(book, "tblHardware", ["key"], [[k] for k in HARDWARE])
    _table(book, "tblFX", ["key", "per_usd"], [list(x) for x in RATES.items()])
    _table(book, "tblPrices", ["lookup", "amount (USD)"], [[f"{d}|on_demand", x] for d, x in RENTS.items()])
    heads = [OPTION_COLUMNS[n][0] for n in ("option", "device", "pue", "tariff", "contracted_w")]
    rows = [[f"Buy {d}", d, SITE["pue"], SITE["tariff"], SITE["plate"]] for d in ENGINE]
    _table(book, "tblOptions", heads, rows)
    engine = book.create_sheet("Engine")
    for c, (middle, low) in zip("DE", ENGINE.values(), strict=True):
        engine[f"{c}{ROW['busy_kw']}"], engine[f"{c}{ROW['idle_kw']}"] = SITE["busy"], SITE["idle"]
        engine[f"{c}{DERIVED['per_device']}"], engine[f"{c}{ROW['rate_p10']}"] = middle, low
    months = book.create_sheet("Monthly")
    for month in range(layout.months + 1):
        column = m.FIRST_MONTH + month
        values = {
            m.MONTH: month, m.RUN: 1 if 1 <= month <= plan["in_HorizonMonths"] else 0, m.NONE: 1,
            m.DISCOUNT: 1.1 ** (-month / 12), m.ENERGY: factor("energy", month), m.COST: factor("cost", month),
            m.CLOUD_INDEX: factor("cloud", month),
        }  # fmt: skip
        for row, value in values.items():
            months.cell(row, column, value)
    add_rfq(book, layout)
    sheet = book["RFQ"]
    for i in range(8):
        quote = quotes[i] if i < len(quotes) else {}
        for place, name in enumerate(COLUMNS, start=1):
            if name not in ("status", "rank", "own_price", "own_currency"):
                sheet.cell(TOP + 1 + i, place).value = quote.get(name)
    return book


def _table(book: Workbook, name: str, heads: list[str], rows: list[list[Any]]) -> None:
    sheet = book.create_sheet(name)
    sheet.append(heads)
    for row in rows:
        sheet.append(row)
    sheet.add_table(Table(displayName=name, ref=f"A1:{get_column_letter(len(heads))}{len(rows) + 1}"))


class Answer:
    """The values of the sheet."""

    def __init__(self, path: Path) -> None:
        self.sheet = openpyxl.load_workbook(path, data_only=True)["RFQ"]

    def row(self, name: str, quote: int) -> Any:
        """A row of the comparison for quote 0, 1, ..."""
        return self.sheet[f"{LETTERS[quote]}{PLACE[name]}"].value

    def column(self, name: str, quote: int) -> Any:
        """A column of the table for quote 0, 1, ..."""
        return self.sheet.cell(TOP + 1 + quote, list(COLUMNS).index(name) + 1).value

    def term(self, name: str) -> Any:
        """A term."""
        return self.sheet[TERMS[name].replace("$", "")].value

    @property
    def verdict(self) -> str:
        """The sentence on top."""
        return str(self.sheet["A3"].value)


def answer(folder: Path, quotes: list[dict[str, Any]], *, edit: dict[str, Any] | None = None, **changes: Any) -> Answer:
    """Calculate the sheet; `edit`: further cells of RFQ."""
    book = draft(quotes, **changes)
    for at, value in (edit or {}).items():
        book["RFQ"][at.replace("$", "")] = value
    book.save(folder / "draft.xlsx")
    left = finalize(folder / "draft.xlsx", folder / "rfq.xlsx", {}, force=True)
    assert left == {}
    return Answer(folder / "rfq.xlsx")


def by_hand(quote: dict[str, Any], fx: float = 1.0, horizon: int = 30) -> dict[str, float]:
    """What a quote comes to per accelerator, added up month by month."""
    q = {"discount": 0, "fit_out": 0, "software": 0, "days": 0, "support": 0, "warranty": 0} | quote
    to = fx / RATES[q["currency"]]
    devices = q["quantity"] * q["in_unit"]
    many = {"device": devices, "server": q["quantity"], "rack": q["quantity"], "total": 1}
    net = q["list"] * many[q["per"]] / devices * (1 - q["discount"]) * to
    kw = q["power"] / 1000 / q["in_server"]
    late = q["weeks"] * 7 * 24 / 730
    delivered = 1.1 ** (-late / 12)
    paid = delivered * 1.1 ** (-q["days"] / 365)

    def months(since: float, index: str = "") -> float:
        total = 0.0
        for n in range(1, horizon + 1):
            share = min(1.0, max(0.0, n - since))
            total += share * 1.1 ** (-n / 12) * (factor(index, n) if index else 1.0)
        return total

    def extra(word: Any, added: float) -> float:
        return added if word == "no" else 0.0 if word == "yes" else word * many[q["per"]] / devices * to * paid

    out = {"price": net * paid}
    out["network"] = extra(q["network"], 0.2 * out["price"])
    out["installation"] = extra(q["installation"], 0.03 * (out["price"] + out["network"]))
    out["fit_out"] = q["fit_out"] * to * kw * delivered
    how = q.get("support_per", "share")
    yearly = q["support"] * net if how == "share" else q["support"] * many[how] / devices * to
    out["support"] = yearly / 12 * months(late + 12 * q["warranty"])
    out["software"] = q["software"] * to / 12 * months(late)
    draw = (3.0 + 6.0 * 0.6) / 12.0
    out["electricity"] = kw * draw * 1.3 * 730 * 0.08 * fx * months(late, "energy")
    out["colocation"] = kw * fx * (150 * months(late, "cost") + 5 * months(late, "energy"))
    rent = RENTS.get(q["device"], 0.0)
    out["wait"] = rent * fx * 730 * 0.6 / 0.8 * (months(0, "cloud") - months(late, "cloud"))
    server = (out["price"] + out["network"] + out["installation"]) / paid / (1.2 * 1.03)
    back = q["buy_back"] * net if "buy_back" in q else server * 0.7 ** ((horizon - late) / 12)
    out["resale"] = -back * 1.1 ** (-horizon / 12)
    out["total"] = sum(out.values())
    out["own"] = server / to * q["in_server"]
    out["hour"] = out["total"] / (months(0) * 730 * 0.6 * 0.9)
    if q["device"] in ENGINE:
        out["mtoken"] = out["hour"] / (ENGINE[q["device"]][0] * 3600 / 1e6)
    return out
