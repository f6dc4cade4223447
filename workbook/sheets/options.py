"""Options: the central table, one row per option.  Every calculation reads it; nothing else names a device or a price.

A contradiction (a server that holds other devices, an own price that is no number, a price not on record) becomes
a word in the column status and #N/A in the price, so that no total can be shown for it.  Prices that an option does not
use are 0 here.
"""

from __future__ import annotations

from typing import Literal

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from ..plan import MOST, Option
from ..style import CENTS, DATE, WHOLE, heading, page, put
from .inputs import list_rule, point
from .lines import OVERFLOW

TOP = 5
OK, NO_SERVER = "ok", "no server named"
OWNED = ("own", "buy", "loan", "lease")
METERED = ("on-demand", "spot", "API")
FINANCING = (*OWNED[:2], *OWNED[2:], "reserved", *METERED)

# name: (heading, kind, width, number format)
COLUMNS: dict[str, tuple[str, str, float, str | None]] = {
    "option": ("option", "formula", 34, None),
    "name": ("own name", "input", 20, None),
    "financing": ("financing", "input", 11, None),
    "server": ("server", "input", 17, None),
    "device": ("device", "input", 12, None),
    "servers": ("servers (blank: as needed)", "input", 11, None),
    "devices_per_server": ("devices per server", "input", 9, None),
    "tp": ("TP", "input", 6, None),
    "precision": ("precision", "input", 10, None),
    "price": ("own price", "input", 12, "#,##0.00"),
    "currency": ("currency of own price", "input", 10, None),
    "site": ("site", "input", 13, None),
    "start": ("start month", "input", 8, None),
    "term": ("term (months)", "input", 9, None),
    "overflow": ("rest served by", "input", 11, None),
    "refresh": ("refresh month", "input", 9, None),
    "residual": ("own residual (share)", "input", 10, "0%"),
    "ramp": ("own ramp (months)", "input", 9, None),
    "growth": ("own growth (share per year)", "input", 10, "0.0%"),
    "status": ("status", "formula", 34, None),
    "number": ("no", "formula", 6, None),
    "price_unit": ("own price is per", "formula", 22, None),
    "servers_used": ("servers used", "formula", 9, WHOLE),
    "devices": ("devices", "formula", 9, WHOLE),
    "price_used": ("price used (USD per server)", "formula", 13, WHOLE),
    "rent_reserved": ("reserved rent (USD per device-hour)", "formula", 12, "0.0000"),
    "rent_metered": ("metered rent (USD per device-hour)", "formula", 12, "0.0000"),
    "token_price": ("token price (USD per million generated, prompts included)", "formula", 16, "0.0000"),
    "price_basis": ("price basis", "formula", 17, None),
    "price_status": ("kind of price", "formula", 11, None),
    "price_date": ("price as of", "formula", 11, DATE),
    "price_fresh": ("price fresh until", "formula", 11, DATE),
    "server_check": ("server holds", "formula", 16, None),
    "busy_w": ("busy power (W per server)", "formula", 12, WHOLE),
    "idle_w": ("idle power (W per server)", "formula", 12, WHOLE),
    "contracted_w": ("nameplate (W per server)", "formula", 12, WHOLE),
    "pue": ("PUE", "formula", 8, CENTS),
    "tariff": ("electricity (USD per kWh)", "formula", 13, "0.0000"),
    "carbon": ("carbon (g per kWh)", "formula", 11, WHOLE),
    "device_spec": ("device_spec", "formula", 18, None),
    "site_spec": ("site_spec", "formula", 18, None),
    "server_spec": ("server_spec", "formula", 18, None),
    "fleet_spec": ("fleet_spec", "formula", 18, None),
    "train_spec": ("train_spec", "formula", 18, None),
    "tco_options": ("tco_options", "formula", 18, None),
}
PRINTED = list(COLUMNS).index("status") + 1  # columns of the printed page, which are what the reader fills in


def option_field(name: str, number: str) -> str:
    """Reference to a column of option `number` (an address or a literal)."""
    return f"INDEX(tblOptions[{COLUMNS[name][0]}],{number})"


def _cell(name: str) -> str:
    return f"tblOptions[[#This Row],[{COLUMNS[name][0]}]]"


def _is(name: str, *words: str) -> str:
    tests = [f'{_cell(name)}="{word}"' for word in words]
    return tests[0] if len(tests) == 1 else f"OR({','.join(tests)})"


def _look_up(table: str, column: str, key: str) -> str:
    return f"INDEX({table}[{column}],MATCH({key},{table}[key],0))"


def _price(key: str, column: str) -> str:
    return f"INDEX(tblPrices[{column}],MATCH({key},tblPrices[lookup],0))"


def _known(table: str, name: str) -> str:
    return f"ISNUMBER(MATCH({_cell(name)},{table}[key],0))"


def _watts(field: str, otherwise: str) -> str:
    """A power of the server's registry row; `otherwise` where it has none, #N/A where server and device disagree."""
    found = _look_up("tblNodes", f"{field} (W)", _cell("server"))
    check = _cell("server_check")
    return f'IF({check}="{OK}",IF({found}>0,{found},"{otherwise}"),IF({check}="{NO_SERVER}","{otherwise}",NA()))'


def _positive(found: str) -> str:
    """A look-up, #N/A where the registry cell is blank: a blank would count as 0."""
    return f"IF({found}>0,{found},NA())"


def _site(field: str) -> str:
    return _look_up("tblSites", field, _cell("site"))


def _spec(nodes: str, *, price: bool) -> str:
    """Spec text of a fleet of `nodes` servers of this row."""
    powers = "".join(
        f'&IF(ISNUMBER({_cell(name)}),"; {field} = "&{point(_cell(name))}&" W","")'
        for name, field in (("busy_w", "busy_power"), ("idle_w", "idle_power"), ("contracted_w", "power"))
    )
    paid = f'&"; price = "&{point(_cell("price_used"))}&" USD' if price else '&"'
    return (
        f'"plan; nodes = "&{nodes}&"; fabric = InfiniBand_NDR; node = {{server; nics = "'
        f'&{_cell("devices_per_server")}&"; devices = "&{_cell("devices_per_server")}{powers}'
        f'{paid}; device = {{"&{_cell("device_spec")}&"}}}}"'
    )


def _tco_options() -> str:
    shares = {"network": "in_NetworkShare", "facility": "in_FacilityCost", "staff": "in_StaffCost",
              "maintenance": "in_Maintenance"}  # fmt: skip
    return '&"; '.join(f'{name} = "&{point(cell)}' for name, cell in shares.items()).join(['"', ""])


def _status(agrees: str, divides: str) -> str:
    """The first thing that is wrong with a row, in words."""
    from .engine import DERIVED, ROW, option_columns  # which reads this module

    first, *_, last = option_columns(MOST)
    known, why = (
        f"INDEX(Engine!${first}${r}:${last}${r},{_cell('number')})" for r in (DERIVED["known"], ROW["busy_kw"])
    )
    fleet = f"NOT({_is('financing', *METERED)})"
    whole = f"AND({_cell('start')}>=0,{_cell('start')}<in_HorizonMonths,{_cell('start')}=INT({_cell('start')}))"
    late = f"IF({_cell('refresh')}>{_cell('start')},{_cell('refresh')}<in_HorizonMonths,FALSE)"
    device = f"NOT({_is('financing', 'API')})"
    tests = [
        (f"NOT({_is('financing', *FINANCING)})", '"unknown financing"'),
        (f"NOT({_is('overflow', *OVERFLOW)})", '"rest served by: unknown"'),
        (f"AND({device},NOT({_known('tblHardware', 'device')}))", '"unknown device"'),
        (f"AND({device},NOT({_known('tblPrecisions', 'precision')}))", '"unknown precision"'),
        (f"NOT({_known('tblSites', 'site')})", '"unknown site"'),
        (f"AND({device},NOT({agrees}))", f'"server: "&{_cell("server_check")}'),
        (f"IF(ISNUMBER({known}),{known}=0,FALSE)", why),
        (f"AND({_is('financing', *OWNED)},NOT(ISNUMBER({_cell('price_used')})))", '"no usable price"'),
        (f"NOT(ISNUMBER({_cell('rent_reserved')}))", '"no reserved rent on record"'),
        (f"NOT(ISNUMBER({_cell('rent_metered')}))", '"no on-demand or spot rent on record"'),
        (f"NOT(ISNUMBER({_cell('token_price')}))", '"no token price on record for this model"'),
        (f"AND({fleet},NOT(ISNUMBER({_cell('pue')}+{_cell('tariff')}+{_cell('carbon')})))",
         '"site lacks PUE, tariff or carbon"'),
        (f"AND({device},NOT({divides}))", '"TP must divide the devices of a server"'),
        (f"NOT({whole})", '"start month: a whole number before the end of the plan"'),
        (f"AND({_is('financing', 'own')},{_cell('start')}>0)", '"own: it is there from month 0"'),
        (f"AND({_is('financing', 'lease', 'loan', 'reserved')},NOT({_cell('term')}>=1))", '"give the term in months"'),
        (f"AND({_cell('refresh')}<>\"\",NOT({_is('financing', 'own', 'buy', 'loan')}))",
         '"refresh: only with own, buy or loan"'),
        (f"AND({_cell('refresh')}<>\"\",NOT({late}))", '"refresh month: after the start, before the end"'),
        (f"AND(in_TrainingOn=1,OR({_is('financing', 'API')},{_is('overflow', 'API')}))",
         '"tokens cannot be bought to train"'),
    ]  # fmt: skip
    formula = f'"{OK}"'
    for test, word in reversed(tests):
        formula = f"IF({test},{word},{formula})"
    return f"={formula}"


def _own(words: tuple[str, ...], otherwise: str) -> str:
    """The own price in USD where the financing is one of `words` and a price was typed, else `otherwise`."""
    own = _cell("price")
    rate = f'IF({_cell("currency")}="",1,INDEX(tblFX[per_usd],MATCH({_cell("currency")},tblFX[key],0)))'
    typed = f"IF(ISNUMBER({own}),IF({own}>0,{own}/{rate},NA()),NA())"
    return f'IF(AND({_is("financing", *words)},{own}<>""),{typed},{otherwise})'


def _at(word: str, basis: str) -> str:
    """Look-up key of a price: the item in column `word`, and its basis."""
    return f'{_cell(word)}&"|{basis}"'


def _price_key(listed: str) -> str:
    """Look-up key of the price that an option stands on."""
    kinds = {
        "reserved": f'{_cell("device")}&"|"&{_reserved()}',
        "spot": _at("device", "spot"),
        "on-demand": _at("device", "on_demand"),
        "API": 'in_Model&"|api_output"',
    }
    formula = f"IF({listed},{_at('server', 'server')},{_at('device', 'purchase')})"
    for word, key in kinds.items():
        formula = f"IF({_is('financing', word)},{key},{formula})"
    return formula


def _reserved() -> str:
    return f'IF({_cell("term")}>12,"reserved_3y","reserved_1y")'


def _where(test: str, value: str, otherwise: str = "0") -> str:
    return f"IF({test},{value},{otherwise})"


def _prices(agrees: str) -> dict[str, str]:
    """The four prices of a row: 0 where it does not need one, #N/A where it needs one that is not on record."""
    amount, owned = "amount (USD)", _is("financing", *OWNED)
    listed = f"ISNUMBER(MATCH({_at('server', 'server')},tblPrices[lookup],0))"
    by_device = f"{_price(_at('device', 'purchase'), amount)}*{_cell('devices_per_server')}*(1+in_ServerShare)"
    server = _price(_at("server", "server"), amount)
    by_list = _positive(f"(IF({listed},{server},{by_device})*in_PriceFactor)")
    on_demand = _positive(_price(_at("device", "on_demand"), amount))
    spot = _positive(_price(_at("device", "spot"), amount))
    reserved = _positive(_price(f'{_cell("device")}&"|"&{_reserved()}', amount))
    prompt, answer = (_price(f'in_Model&"|{basis}"', amount) for basis in ("api_input", "api_output"))
    fleet = f"NOT({_is('financing', *METERED)})"
    uses = {w: f"OR({_is('financing', w)},AND({fleet},{_is('overflow', w)}))" for w in METERED}
    own, key = f'{_cell("price")}<>""', _price_key(listed)
    basis = _where(owned, f'IF({listed},"server price","devices and share")', f'{_cell("financing")}&" price"')
    return {
        "price_used": "=" + _own(OWNED, _where(owned, f"IF({agrees},{by_list},NA())")),
        "rent_reserved": "=" + _own(("reserved",), _where(_is("financing", "reserved"), reserved)),
        "rent_metered": "=" + _own(
            ("on-demand", "spot"), _where(uses["spot"], spot, _where(uses["on-demand"], on_demand))
        ),
        "token_price": "=" + _own(("API",), _where(uses["API"], _positive(f"({prompt}*in_PromptRatio+{answer})"))),
        "price_basis": f'=IF({own},"own price",{basis})',
        "price_status": f'=IF({own},"own",{_price(key, "status")})',
        "price_date": f'=IF({own},"own",{_price(key, "as_of")})',
        "price_fresh": f'=IF({own},"own",{_price(key, "fresh_until")})',
    }  # fmt: skip


def _label() -> str:
    """What an option is called: its own name, else how it is paid and what it is."""
    way = f"UPPER(LEFT({_cell('financing')},1))&MID({_cell('financing')},2,20)"
    what = f'{_cell("device")}&", "&{_cell("precision")}'
    later = f'IF({_cell("start")}>0,", month "&{_cell("start")},"")'
    rest = f'IF({_is("overflow", "none")},"",", rest "&{_cell("overflow")})'
    fleet = f'{way}&" "&{_cell("devices")}&" "&{what}&{later}&{rest}'
    metered = f'IF({_is("financing", "API")},"Pay per token, "&in_Model,{way}&" "&{what})'
    chosen = _where(_is("financing", *METERED), metered, fleet)
    return f'=IF({_cell("name")}<>"",{_cell("name")},{chosen})'


def _formulas(needed: str) -> dict[str, str]:
    """Formulas of the computed columns; `needed` is the range of servers needed, one cell for each option."""
    check = _cell("server_check")
    agrees = f'OR({check}="{OK}",{check}="{NO_SERVER}")'
    same = (
        f"AND({_look_up('tblNodes', 'device', _cell('server'))}={_cell('device')},"
        f"{_look_up('tblNodes', 'devices', _cell('server'))}={_cell('devices_per_server')})"
    )
    divides = f"IF({_cell('tp')}>0,MOD({_cell('devices_per_server')},{_cell('tp')})=0,FALSE)"
    tokens = _where(_is("financing", "API"), '"million generated tokens"', '"device-hour"')
    units = _where(_is("financing", *OWNED), '"server"', tokens)
    asked = _where(f'{_cell("servers")}<>""', _cell("servers"), f"INDEX({needed},{_cell('number')})")
    return {
        "option": _label(),
        "status": _status(agrees, divides),
        "number": f"=ROW({_cell('financing')})-ROW(tblOptions[[#Headers],[financing]])",
        "price_unit": f"={units}",
        "servers_used": "=" + _where(_is("financing", *METERED), "0", asked),
        "devices": f"={_cell('servers_used')}*{_cell('devices_per_server')}",
        **_prices(agrees),
        "server_check": f'=IF({_cell("server")}="","{NO_SERVER}",IF({_known("tblNodes", "server")},'
        f'IF({same},"{OK}","other devices"),"unknown"))',
        "busy_w": f"={_watts('busy_power', 'TDP')}",
        "idle_w": f"={_watts('idle_power', 'share')}",
        "contracted_w": f"={_watts('power', 'as busy')}",
        "pue": f"={_positive(_site('pue'))}",
        "tariff": f"={_positive(_site('electricity_price (USD per kWh)'))}",
        "carbon": f"={_positive(_look_up('tblGrids', 'carbon_intensity (g per kWh)', _site('grid')))}",
        "device_spec": f'=IF({_is("financing", "API")},"none",{_look_up("tblHardware", "spec", _cell("device"))})',
        "site_spec": f"={_site('spec')}",
        "server_spec": f'=IF({_is("financing", "API")},"none",{_spec("1", price=False)})',
        "fleet_spec": f'=IF({_cell("price_used")}>0,{_spec(_cell("servers_used"), price=True)},"none")',
        "train_spec": f'=IF({_is("financing", "API")},"none",{_spec("in_TrainServers", price=False)})',
        "tco_options": "=" + _tco_options(),
    }  # fmt: skip


def add_options(book: Workbook, options: list[Option], needed: str) -> None:
    """The Options sheet; `needed` is the range that holds the servers needed by each option."""
    sheet = book.create_sheet("Options")
    widths = {get_column_letter(i): width for i, (_, _, width, _) in enumerate(COLUMNS.values(), start=1)}
    purpose = (
        "One row per option; change the yellow cells. Servers blank: as many as the load needs. Own price: in the unit "
        "named at right, before network and installation. More rows: mls-workbook build --options N."
    )
    page(sheet, "Options", purpose, widths, freeze=f"B{TOP + 1}")
    headings = [text for text, *_ in COLUMNS.values()]
    heading(sheet, TOP, headings, height=60)
    formulas = _formulas(needed)
    for r, option in enumerate(options, start=TOP + 1):
        for i, (name, (_, kind, _, number_format)) in enumerate(COLUMNS.items(), start=1):
            value = formulas[name] if name in formulas else getattr(option, name, None)
            style = "mls input" if kind == "input" else "mls formula"
            cell = put(sheet, f"{get_column_letter(i)}{r}", None if value == "" else value, style, number_format)
            if i > 1 and not name.endswith(("spec", "options")):
                cell.alignment = Alignment(horizontal="center", vertical="center", wrap_text=name == "status")
        sheet.row_dimensions[r].height = 26
    last = TOP + len(options)
    ref = f"A{TOP}:{get_column_letter(len(headings))}{last}"
    table = Table(displayName="tblOptions", ref=ref)
    table.autoFilter = AutoFilter(ref=ref)
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(headings, start=1)]
    for column, (name, (_, kind, *_)) in zip(table.tableColumns, COLUMNS.items(), strict=True):
        if kind == "formula":
            column.calculatedColumnFormula = TableFormula(attr_text=formulas[name][1:])
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=False)
    sheet.add_table(table)
    _rules(sheet, last)
    sheet.print_area = f"A1:{get_column_letter(PRINTED)}{last}"
    sheet.sheet_properties.tabColor = "F2C94C"


def _rules(sheet: Worksheet, last: int) -> None:
    """What Excel lets a reader type into the yellow cells."""
    letters = {name: get_column_letter(i) for i, name in enumerate(COLUMNS, start=1)}
    rows = {name: f"{c}{TOP + 1}:{c}{last}" for name, c in letters.items()}
    for name, source, what, blank in (
        ("financing", f'"{",".join(FINANCING)}"', "one of " + ", ".join(FINANCING), False),
        ("overflow", "list_rest", "one of " + ", ".join(OVERFLOW), False),
        ("server", "list_nodes", "a server of Reg_Systems, or leave it blank", True),
        ("device", "list_hardware", "a key of Reg_Hardware; blank with API", True),
        ("precision", "list_precision", "a number format of Reg_Systems; blank with API", True),
        ("site", "list_sites", "a key of Reg_Infra", False),
        ("currency", "list_currencies", "a key of Reg_Finance; blank: USD", True),
    ):
        list_rule(sheet, rows[name], source, what, blank=blank)
    bounds: tuple[tuple[str, str, str, Literal["whole", "decimal"]], ...] = (
        ("servers", "1", "100000", "whole"), ("devices_per_server", "0", "100000", "whole"),
        ("tp", "1", "100000", "whole"), ("start", "0", "120", "whole"), ("term", "1", "120", "whole"),
        ("refresh", "1", "120", "whole"), ("ramp", "0", "120", "whole"), ("residual", "0", "1", "decimal"),
        ("growth", "-0.9", "10", "decimal"), ("price", "0.000000001", "1000000000000", "decimal"),
    )  # fmt: skip
    for name, low, high, kind in bounds:
        rule = DataValidation(type=kind, operator="between", formula1=low, formula2=high, allow_blank=True,
                              showErrorMessage=True)  # fmt: skip
        rule.error = f"A {kind} number from {low} to {high}, or blank"
        sheet.add_data_validation(rule)
        rule.add(rows[name])
