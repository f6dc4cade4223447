"""The table tblRFQ: one row per quote, entered as the vendor writes it, and what is wrong with a row in words.

The amounts of a row are in its own currency.  Network, delivery and installation are "yes" (inside the price), "no"
(the plan's share is added) or an amount for the same quantity as the price.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from mlsysim.registry import face
from mlsysim.things import CURRENCIES, DEFAULTS, NODES, PRICES

from ..style import CENTS, DATE, WHOLE, heading, put
from .inputs import list_rule

TOP, QUOTES = 9, 8
OK, EXPIRED = "ok", "expired"
UNITS = ("device", "server", "rack", "total")
# name: (heading, width, number format)
COLUMNS: dict[str, tuple[str, float, str | None]] = {
    "vendor": ("vendor", 46, None),
    "quote": ("quote", 23, None),
    "kind": ("kind", 22, None),
    "date": ("date", 22, DATE),
    "until": ("valid until", 22, DATE),
    "currency": ("currency", 22, None),
    "device": ("device", 22, None),
    "per": ("price is per", 22, None),
    "quantity": ("quantity", 22, WHOLE),
    "in_unit": ("devices in one unit of it", 22, WHOLE),
    "in_server": ("devices in a server", 9, WHOLE),
    "list": ("list price", 14, CENTS),
    "discount": ("discount", 9, "0.0%"),
    "network": ("network inside (yes or no) or amount", 11, "#,##0"),
    "installation": ("delivery and installation inside (yes or no) or amount", 14, "#,##0"),
    "weeks": ("delivery (weeks)", 9, WHOLE),
    "warranty": ("warranty inside (years)", 9, "0.0"),
    "support": ("support per year", 11, "#,##0.00"),
    "support_per": ("support is", 11, None),
    "power": ("power (W per server)", 10, WHOLE),
    "cooling": ("cooling", 9, None),
    "fit_out": ("extra fit-out (per kW)", 10, "#,##0"),
    "software": ("software (per device and year)", 11, "#,##0"),
    "days": ("payment (days after delivery)", 10, WHOLE),
    "buy_back": ("buy-back at the end (share of net price)", 11, "0%"),
    "least": ("least order (same units)", 9, WHOLE),
    "promise": ("promised tokens per second and device", 11, WHOLE),
    "note": ("note", 46, None),
    "status": ("status", 30, None),
    "rank": ("rank", 10, "0"),
    "own_price": ("own price per server to paste into Options", 15, CENTS),
    "own_currency": ("currency of own price", 10, None),
}
COMPUTED = ("status", "rank", "own_price", "own_currency")


def quoted(name: str, number: str) -> str:
    """Reference to a column of quote `number`."""
    return f"INDEX(tblRFQ[{COLUMNS[name][0]}],{number})"


def _cell(name: str) -> str:
    return f"tblRFQ[[#This Row],[{COLUMNS[name][0]}]]"


def _one_of(name: str, *words: str) -> str:
    return "OR(" + ",".join(f'{_cell(name)}="{w}"' for w in words) + ")"


def rent_of(device: str, own: str) -> str:
    """Rent of a device-hour on demand: the one typed in cell `own`, else the price list's, else #N/A."""
    return f'IF(ISNUMBER({own}),{own},INDEX(tblPrices[amount (USD)],MATCH({device}&"|on_demand",tblPrices[lookup],0)))'


def _status(terms: Mapping[str, str]) -> str:
    """The first thing that is wrong with a row; "" for a blank row."""
    needed = ("list", "quantity", "in_unit", "in_server")
    cells = ",".join(_cell(n) for n in needed)
    given = ",".join(f"ISNUMBER({_cell(n)})" for n in needed)
    optional = (
        "discount",
        "warranty",
        "support",
        "fit_out",
        "software",
        "days",
        "buy_back",
        "least",
        "promise",
        "until",
    )
    texts = ",".join(f"ISTEXT({_cell(n)})" for n in optional)
    spans = ",".join(_cell(n) for n in optional[1:6])
    late = f"{_cell('weeks')}*{terms['week']}*24/in_HoursPerMonth"
    extras = ",".join(
        f"AND(NOT({_one_of(n, 'yes', 'no')}),NOT(ISNUMBER({_cell(n)})))" for n in ("network", "installation")
    )
    shares = f"MIN(0,{_cell('discount')},{_cell('buy_back')})<0,MAX(0,{_cell('discount')},{_cell('buy_back')})>1"
    tests = [
        (f"NOT(ISNUMBER(MATCH({_cell('device')},tblHardware[key],0)))", "unknown device"),
        (f"NOT(ISNUMBER(MATCH({_cell('currency')},tblFX[key],0)))", "unknown currency"),
        (f"NOT({_one_of('per', *UNITS)})", "price is per device, server, rack or total"),
        (f"NOT(IF(AND({given}),MIN({cells})>0,FALSE))", "give price, quantity and devices"),
        (
            f'IF({_cell("per")}="server",{_cell("in_unit")}<>{_cell("in_server")},FALSE)',
            "per server: the devices of a server",
        ),
        (f"OR({texts})", "a text stands where a number is due"),
        (f"OR({shares},MIN(0,{spans})<0)", "a number is out of its range"),
        (f"OR({extras})", "network, installation: yes, no or an amount"),
        (f"NOT(IF(ISNUMBER({_cell('weeks')}),{_cell('weeks')}>=0,FALSE))", "give the weeks of delivery"),
        (
            f'IF({_cell("support")}<>"",NOT({_one_of("support_per", "share", *UNITS)}),FALSE)',
            "support is: a share, or per what",
        ),
        (f"NOT(IF(ISNUMBER({_cell('power')}),{_cell('power')}>0,FALSE))", "give the power of a server"),
        (f"NOT({_one_of('cooling', 'air', 'liquid')})", "cooling: air or liquid"),
        (f'AND({_cell("cooling")}="liquid",{_cell("fit_out")}="")', "liquid: give the fit-out per kW, or 0"),
        (f"{_cell('least')}>{_cell('quantity')}", "below the least order"),
        (f"{late}>=in_HorizonMonths", "delivered after the horizon"),
        (
            f"AND({_cell('weeks')}>0,NOT(ISNUMBER({rent_of(_cell('device'), terms['own_rent'])})))",
            "no rent for the wait: see terms",
        ),
        (f"NOT(ISNUMBER({terms['pue']}+{terms['tariff']}+{terms['draw']}))", "a term is missing: see terms"),
        (f'IF({_cell("until")}<>"",{_cell("until")}<in_ValuationDate,FALSE)', EXPIRED),
    ]
    formula = f'"{OK}"'
    for test, word in reversed(tests):
        formula = f'IF({test},"{word}",{formula})'
    return f'IF(AND({_cell("vendor")}="",{_cell("device")}=""),"",{formula})'


def add_table(sheet: Worksheet, terms: Mapping[str, str], rank: str, own_price: str) -> None:
    """Write tblRFQ.

    Parameters
    ----------
    sheet : Worksheet
        The sheet RFQ.
    terms : mapping of str to str
        Addresses of the terms by name.
    rank, own_price : str
        The cells of the comparison, one for each quote, that hold its rank and its price for Options.
    """
    headings = [text for text, *_ in COLUMNS.values()]
    heading(sheet, TOP, headings, height=70)
    number = f"ROW({_cell('vendor')})-ROW($A${TOP})"
    formulas = {
        "status": _status(terms),
        "rank": f"INDEX({rank},{number})",
        "own_price": f"INDEX({own_price},{number})",
        "own_currency": f'IF(ISNUMBER({_cell("own_price")}),{_cell("currency")},"")',
    }
    filled = examples()
    for i in range(QUOTES):
        row = filled[i] if i < len(filled) else {}
        for column, (name, (_, _, number_format)) in enumerate(COLUMNS.items(), start=1):
            computed = name in COMPUTED
            value = f"={formulas[name]}" if computed else row.get(name)
            at = f"{get_column_letter(column)}{TOP + 1 + i}"
            cell = put(sheet, at, value, "mls formula" if computed else "mls input", number_format)
            left = name in ("vendor", "note", "status")
            cell.alignment = Alignment(
                horizontal="left" if left else "center", vertical="center", wrap_text=left or name == "quote"
            )
        sheet.row_dimensions[TOP + 1 + i].height = 40 if row else 18
    last = get_column_letter(len(headings))
    table = Table(displayName="tblRFQ", ref=f"A{TOP}:{last}{TOP + QUOTES}")
    table.autoFilter = AutoFilter(ref=table.ref)
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(headings, start=1)]
    for column, name in zip(table.tableColumns, COLUMNS, strict=True):
        if name in COMPUTED:
            column.calculatedColumnFormula = TableFormula(attr_text=formulas[name])
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=False)
    sheet.add_table(table)
    _rules(sheet)


def _rules(sheet: Worksheet) -> None:
    rows = {
        n: f"{get_column_letter(i)}{TOP + 1}:{get_column_letter(i)}{TOP + QUOTES}"
        for i, n in enumerate(COLUMNS, start=1)
    }
    for name, source, what in (
        ("kind", '"quote,budget price,example"', "quote, budget price or example"),
        ("currency", "list_currencies", "a key of Reg_Finance"),
        ("device", "list_hardware", "a key of Reg_Hardware"),
        ("per", f'"{",".join(UNITS)}"', "device, server, rack or total"),
        ("support_per", f'"{",".join(("share", *UNITS))}"', "share, device, server, rack or total"),
        ("cooling", '"air,liquid"', "air or liquid"),
    ):
        list_rule(sheet, rows[name], source, what, blank=True)
    for names, low, high in (
        (("discount", "buy_back"), "0", "1"),
        (("quantity", "in_unit", "in_server", "list", "weeks", "warranty", "support", "power", "fit_out", "software",
          "days", "least", "promise"), "0", "1000000000000"),
        (("date", "until"), "36526", "73050"),
    ):  # fmt: skip
        for name in names:
            kind: Any = "date" if low == "36526" else "decimal"
            rule = DataValidation(
                type=kind, operator="between", formula1=low, formula2=high, showErrorMessage=True, allow_blank=True
            )
            rule.error = "A date after 2000" if kind == "date" else f"A number from {low} to {int(high):,}, or blank"
            sheet.add_data_validation(rule)
            rule.add(rows[name])
    for name in ("network", "installation"):
        first = rows[name].partition(":")[0]
        test = f'OR({first}="yes",{first}="no",ISNUMBER({first}))'
        rule = DataValidation(type="custom", formula1=test, showErrorMessage=True, allow_blank=True)
        rule.error = "yes, no, or an amount for the same quantity as the price"
        sheet.add_data_validation(rule)
        rule.add(rows[name])


def examples() -> list[dict[str, Any]]:
    """Four quotes to overwrite: prices, power, support and lead times of the registries; other terms are made up."""
    lead, upkeep = DEFAULTS["gpu_lead_time"], DEFAULTS["maintenance"].value
    soon, usual = (round(float(m or 0) * 365 / 84) for m in (lead.low, lead.value))
    euro = float(CURRENCIES["EUR"].per_usd)
    return [
        _example("A", "DGX_B200_server", "DGX_B200", per="server", quantity=16, weeks=soon, discount=0.05,
                 support=upkeep, days=30),
        _example("B", "DGX_H100_server", "DGX_H100", per="total", quantity=16, weeks=soon, times=16 * euro,
                 currency="EUR", installation="yes", support=upkeep, days=60),
        _example("C", "DGX_B200_server_high", "DGX_B200", per="server", quantity=16, weeks=usual, network="yes",
                 installation="yes", warranty=3, support=upkeep, days=30),
        _example("D", "B200_purchase_high", "DGX_B200", per="device", quantity=128, unit=1, weeks=usual, support=upkeep,
                 valid=180),
    ]  # fmt: skip


def _example(
    letter: str, price: str, node: str, *, per: str, quantity: int, weeks: int, times: float = 1.0,
    currency: str = "USD", unit: int | None = None, valid: int | None = None, **terms: Any,
) -> dict[str, Any]:  # fmt: skip
    row, server = PRICES[price], NODES[node]
    source = row.facts["amount"].source
    read: date = source.as_of
    held = int(server.devices)
    sentence = f"Example, overwrite it. Price: row {price} of Prices ({read}). Terms: illustrations."
    base: dict[str, Any] = {
        "vendor": f"Example {letter}", "quote": price, "kind": "example", "date": read, "currency": currency,
        "until": None if valid is None else read + timedelta(days=valid),
        "device": server.device.key if server.device else "",
        "per": per, "quantity": quantity, "in_unit": held if unit is None else unit, "in_server": held,
        "list": round(float(row.need("amount")) * times, 2), "network": "no", "installation": "no", "weeks": weeks,
        "warranty": 1, "support_per": "share", "power": face(server, "power"), "cooling": "air", "note": sentence,
    }  # fmt: skip
    return base | terms
