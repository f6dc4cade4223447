"""Options: the central table, one row per option.  Every calculation reads it; nothing else names a device.

A contradiction (a server that holds other devices, an own price that is no number, a TP that does not divide the
devices of a server) becomes a word in the column status and #N/A in the price, so that no total can be shown for it.
"""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo

from ..plan import Option
from ..style import CENTS, WHOLE, heading, page, put
from .inputs import list_rule, point

TOP = 5
OK, NO_SERVER = "ok", "no server named"

# name: (heading, kind, width, number format)
COLUMNS: dict[str, tuple[str, str, float, str | None]] = {
    "option": ("option", "input", 30, None),
    "server": ("server", "input", 18, None),
    "device": ("device", "input", 14, None),
    "servers": ("servers", "input", 9, None),
    "devices_per_server": ("devices per server", "input", 11, None),
    "tp": ("TP", "input", 7, None),
    "precision": ("precision", "input", 11, None),
    "price": ("own price (USD per server)", "input", 13, "#,##0"),
    "site": ("site", "input", 14, None),
    "status": ("status", "formula", 30, None),
    "number": ("no", "formula", 6, None),
    "devices": ("devices", "formula", 9, WHOLE),
    "price_used": ("price used (USD per server)", "formula", 13, WHOLE),
    "price_basis": ("price basis", "formula", 17, None),
    "price_status": ("kind of price", "formula", 11, None),
    "server_check": ("server holds", "formula", 16, None),
    "busy_w": ("busy power (W per server)", "formula", 12, WHOLE),
    "idle_w": ("idle power (W per server)", "formula", 12, WHOLE),
    "contracted_w": ("nameplate (W per server)", "formula", 12, WHOLE),
    "pue": ("PUE", "formula", 8, CENTS),
    "tariff": ("electricity (USD per kWh)", "formula", 13, "0.0000"),
    "carbon": ("carbon (g per kWh)", "formula", 11, WHOLE),
    "device_spec": ("device_spec", "formula", 18, None),
    "site_spec": ("site_spec", "formula", 18, None),
    "fleet_spec": ("fleet_spec", "formula", 18, None),
    "tco_options": ("tco_options", "formula", 18, None),
}
PRINTED = 22  # columns of the printed page, without the spec texts


def option_field(name: str, number: str) -> str:
    """Reference to a column of option `number` (an address or a literal)."""
    return f"INDEX(tblOptions[{COLUMNS[name][0]}],{number})"


def _cell(name: str) -> str:
    return f"tblOptions[[#This Row],[{COLUMNS[name][0]}]]"


def _look_up(table: str, column: str, key: str) -> str:
    return f"INDEX({table}[{column}],MATCH({key},{table}[key],0))"


def _price(basis: str, key: str, column: str) -> str:
    return f'INDEX(tblPrices[{column}],MATCH({_cell(key)}&"|{basis}",tblPrices[lookup],0))'


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


def _fleet_spec() -> str:
    powers = "".join(
        f'&IF(ISNUMBER({_cell(name)}),"; {field} = "&{point(_cell(name))}&" W","")'
        for name, field in (("busy_w", "busy_power"), ("idle_w", "idle_power"), ("contracted_w", "power"))
    )
    return (
        f'"plan; nodes = "&{_cell("servers")}&"; fabric = InfiniBand_NDR; node = {{server; nics = "'
        f'&{_cell("devices_per_server")}&"; devices = "&{_cell("devices_per_server")}{powers}'
        f'&"; price = "&{point(_cell("price_used"))}&" USD; device = {{"&{_cell("device_spec")}&"}}}}"'
    )


def _tco_options() -> str:
    shares = {"network": "in_NetworkShare", "facility": "in_FacilityCost", "staff": "in_StaffCost",
              "maintenance": "in_Maintenance"}  # fmt: skip
    return '&"; '.join(f'{name} = "&{point(cell)}' for name, cell in shares.items()).join(['"', ""])


def _status(agrees: str, divides: str) -> str:
    """The first thing that is wrong with a row, in words."""
    tests = [
        (f"NOT({_known('tblHardware', 'device')})", '"unknown device"'),
        (f"NOT({_known('tblPrecisions', 'precision')})", '"unknown precision"'),
        (f"NOT({_known('tblSites', 'site')})", '"unknown site"'),
        (f"NOT({agrees})", f'"server: "&{_cell("server_check")}'),
        (f"NOT(ISNUMBER({_cell('price_used')}))", '"no usable price"'),
        (f"NOT(ISNUMBER({_cell('pue')}+{_cell('tariff')}+{_cell('carbon')}))", '"site lacks PUE, tariff or carbon"'),
        (f"NOT({divides})", '"TP must divide the devices of a server"'),
    ]
    formula = f'"{OK}"'
    for test, word in reversed(tests):
        formula = f"IF({test},{word},{formula})"
    return f"={formula}"


def _formulas() -> dict[str, str]:
    own, check = _cell("price"), _cell("server_check")
    listed = f'ISNUMBER(MATCH({_cell("server")}&"|server",tblPrices[lookup],0))'
    by_device = f"{_price('purchase', 'device', 'amount (USD)')}*{_cell('devices_per_server')}*(1+in_ServerShare)"
    by_list = _positive(f"(IF({listed},{_price('server', 'server', 'amount (USD)')},{by_device})*in_PriceFactor)")
    agrees = f'OR({check}="{OK}",{check}="{NO_SERVER}")'
    same = (
        f"AND({_look_up('tblNodes', 'device', _cell('server'))}={_cell('device')},"
        f"{_look_up('tblNodes', 'devices', _cell('server'))}={_cell('devices_per_server')})"
    )
    kind = f"IF({listed},{_price('server', 'server', 'status')},{_price('purchase', 'device', 'status')})"
    divides = f"IF({_cell('tp')}>0,MOD({_cell('devices_per_server')},{_cell('tp')})=0,FALSE)"
    return {
        "option": f'={_cell("servers")}&" servers of "&{_cell("device")}&", "&{_cell("precision")}',
        "status": _status(agrees, divides),
        "number": f"=ROW({_cell('option')})-ROW(tblOptions[[#Headers],[option]])",
        "devices": f"={_cell('servers')}*{_cell('devices_per_server')}",
        "price_used": f'=IF({own}<>"",IF(ISNUMBER({own}),IF({own}>0,{own},NA()),NA()),IF({agrees},{by_list},NA()))',
        "price_basis": f'=IF({own}<>"","own price",IF({listed},"server price","devices and share"))',
        "price_status": f'=IF({own}<>"","own",{kind})',
        "server_check": f'=IF({_cell("server")}="","{NO_SERVER}",IF({_known("tblNodes", "server")},'
        f'IF({same},"{OK}","other devices"),"unknown"))',
        "busy_w": f"={_watts('busy_power', 'TDP')}",
        "idle_w": f"={_watts('idle_power', 'share')}",
        "contracted_w": f"={_watts('power', 'as busy')}",
        "pue": f"={_positive(_site('pue'))}",
        "tariff": f"={_positive(_site('electricity_price (USD per kWh)'))}",
        "carbon": f"={_positive(_look_up('tblGrids', 'carbon_intensity (g per kWh)', _site('grid')))}",
        "device_spec": f"={_look_up('tblHardware', 'spec', _cell('device'))}",
        "site_spec": f"={_site('spec')}",
        "fleet_spec": f"={_fleet_spec()}",
        "tco_options": "=" + _tco_options(),
    }


def add_options(book: Workbook, options: list[Option]) -> None:
    """The Options sheet."""
    sheet = book.create_sheet("Options")
    widths = {get_column_letter(i): width for i, (_, _, width, _) in enumerate(COLUMNS.values(), start=1)}
    purpose = (
        "One row per option; change the yellow cells. Own price: per server, without network and installation. "
        "Server blank: power from TDP, price from the devices. For more rows: mls-workbook build --options N."
    )
    page(sheet, "Options", purpose, widths, freeze=f"B{TOP + 1}")
    headings = [text for text, *_ in COLUMNS.values()]
    heading(sheet, TOP, headings, height=46)
    formulas = _formulas()
    for r, option in enumerate(options, start=TOP + 1):
        for i, (name, (_, kind, _, number_format)) in enumerate(COLUMNS.items(), start=1):
            value = formulas[name] if name in formulas else getattr(option, name, None)
            style = "mls input" if kind == "input" else "mls formula"
            cell = put(sheet, f"{get_column_letter(i)}{r}", value, style, number_format)
            if i > 1 and not name.endswith(("spec", "options")):
                cell.alignment = Alignment(horizontal="center", vertical="center")
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
    rows = f"{TOP + 1}:{{c}}{last}"
    for column, source, what, blank in (
        ("B", "list_nodes", "a server of Reg_Systems, or leave it blank", True),
        ("C", "list_hardware", "a key of Reg_Hardware", False),
        ("G", "list_precision", "a number format of Reg_Systems", False),
        ("I", "list_sites", "a key of Reg_Infra", False),
    ):
        list_rule(sheet, f"{column}{rows.format(c=column)}", source, what, blank=blank)
    for column in "DEF":
        rule = DataValidation(type="whole", operator="between", formula1="1", formula2="100000", showErrorMessage=True)
        rule.error = "A whole number of 1 or more"
        sheet.add_data_validation(rule)
        rule.add(f"{column}{rows.format(c=column)}")
    rule = DataValidation(type="decimal", operator="greaterThan", formula1="0", allow_blank=True, showErrorMessage=True)
    rule.error = "Your price of one server in USD, above 0, or leave it blank"
    sheet.add_data_validation(rule)
    rule.add(f"H{rows.format(c='H')}")
    sheet.print_area = f"A1:{get_column_letter(PRINTED)}{last}"
    sheet.sheet_properties.tabColor = "F2C94C"
