"""Decision: the first screen.  One sentence, the options side by side, their status, checks, two charts."""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.formatting.rule import Rule
from openpyxl.styles import Alignment
from openpyxl.worksheet.worksheet import Worksheet

from mlsysim.version import __version__

from ..style import (
    CENTS,
    DATE,
    FINE,
    GREEN,
    MONEY,
    PALE_GREEN,
    PALE_RED,
    RED,
    WHOLE,
    block_title,
    difference,
    heading,
    page,
    protect,
    put,
)
from .charts import add_cost_chart, add_roofline_chart
from .checks import COUNT_CELL
from .engine import ROW, option_columns, version_row
from .options import OK, option_field
from .tco import total

LABEL_ROW = 7
# name: label, unit, formula, number format.  TOTAL:x is a total of TCO, ENGINE:x a figure of Engine, OPTION:x a column.
_ROWS: dict[str, tuple[str, str, str, str]] = {
    "status": ("Status", "", "", "@"),
    "devices": ("Accelerators", "count", "TOTAL:devices", WHOLE),
    "memory": ("Share of usable memory", "share", "ENGINE:memory_share", "0%"),
    "ttft_1": ("Time to first token, one request alone", "ms", "ENGINE:ttft_1", WHOLE),
    "ttft": ("Time to first token, all prompts at once", "ms", "ENGINE:ttft", WHOLE),
    "itl": ("Time between tokens", "ms", "ENGINE:itl", CENTS),
    "tokens_s": ("Generated tokens per second, busy", "tokens/s", "TOTAL:tokens_s", WHOLE),
    "price_status": ("Price of the servers is", "kind", "OPTION:price_status", "@"),
    "upfront": ("Upfront cash", "USD", "TOTAL:upfront", MONEY),
    "cash": ("Net cost of the horizon, undiscounted", "USD", "TOTAL:cash", MONEY),
    "npv": ("Net present cost", "USD", "TOTAL:npv", MONEY),
    "eac": ("Equivalent annual cost", "USD/year", "TOTAL:eac", MONEY),
    "per_hour": ("Device-hour owned, levelised", "USD/h", "TOTAL:per_hour", CENTS),
    "per_delivered": ("Device-hour delivered, levelised", "USD/h", "TOTAL:per_delivered", CENTS),
    "per_mtoken": ("Million generated tokens, levelised", "USD", "TOTAL:per_mtoken", CENTS),
    "nominal": ("Million generated tokens, undiscounted", "USD", "TOTAL:per_mtoken_nominal", CENTS),
    "busy_kw": ("IT power when busy", "kW", "TOTAL:busy_kw", "#,##0.0"),
    "kwh": ("Electricity of a million generated tokens", "kWh", "TOTAL:kwh_mtoken", FINE),
    "co2": ("Operational carbon of a million tokens", "kgCO2e", "TOTAL:co2_mtoken", FINE),
    "ranked": ("Ranked: cost of a million tokens", "USD", "", CENTS),
    "near": ("Within the error of the lowest", "1 = yes", "", WHOLE),
}
R = {name: LABEL_ROW + 1 + i for i, name in enumerate(_ROWS)}
_NUMBERS = [n for n, (*_, number_format) in _ROWS.items() if number_format != "@" and n not in ("ranked", "near")]
CATEGORIES = {"servers": "Servers with accelerators", "network": "Network", "install": "Installation",
              "electricity": "Electricity", "maintenance": "Maintenance", "facility": "Facility", "staff": "Staff",
              "resale": "Resale"}  # fmt: skip
FACTS = max(R.values()) + 2
CHARTS = FACTS + 6
COSTS = CHARTS + 21


def figures(count: int) -> tuple[str, int]:
    """The range of Decision that holds figures, and how many numbers it must hold."""
    columns = option_columns(count)
    return f"Decision!${columns[0]}${R['devices']}:${columns[-1]}${R['co2']}", len(_NUMBERS) * count


def add_decision(book: Workbook, count: int, twins: int) -> None:
    """The Decision sheet."""
    sheet = book["Decision"]
    columns = option_columns(count)
    last = columns[-1]
    purpose = "Which accelerator serves the model at the lowest cost? Change Inputs and Options; everything follows."
    page(sheet, "Accelerator plan", purpose, {"A": 46, "B": 11, "C": 3, **dict.fromkeys(columns, 21)}, freeze="A8")
    version = f"Engine_Live!$D${version_row(twins)}"
    passed, rows, built = "COUNTIF(tblChecks[pass],TRUE)", "ROWS(tblChecks[pass])", f"Checks!{COUNT_CELL}"
    sound = f"AND({passed}={rows},{rows}={built})"
    put(sheet, "A3", _verdict(columns, version, sound), "mls verdict")
    story = (
        '="Serving "&in_Model&", "&in_SeqLen&" tokens in, "&in_OutputTokens&" out, "&in_Batch&" requests per '
        'accelerator; "&in_HorizonMonths&" months; "&ROUND(100*in_Utilisation,0)&" % of capacity sold; case "&in_Case&'
        '". No price here is a quote."'
    )
    put(sheet, "A4", story, "mls purpose")
    verdict = f'=IF({sound},"All "&{rows}&" checks pass","Checks that fail: "&({built}-{passed}))'
    put(sheet, "A5", verdict, "mls check")
    heading(sheet, LABEL_ROW, ["Figure", "Unit", ""], height=34)
    for i, column in enumerate(columns):
        put(sheet, f"{column}{LABEL_ROW}", f"={option_field('option', str(i + 1))}", "mls heading")
        for name, (label, unit, formula, number_format) in _ROWS.items():
            r = R[name]
            put(sheet, f"A{r}", label, "mls total" if name == "per_mtoken" else "mls label")
            put(sheet, f"B{r}", unit, "mls unit")
            own = _own_formula(name, column, columns, i)
            style = "mls total" if name == "per_mtoken" else "mls formula" if own else "mls link"
            text = own or _linked(formula, column, i)
            cell = put(sheet, f"{column}{r}", text, style, number_format)
            cell.alignment = Alignment(horizontal="right", vertical="center", wrap_text=name == "status")
    sheet.row_dimensions[R["status"]].height = 28
    _colours(sheet, columns)
    _facts(sheet, columns, count, version)
    _categories(sheet, columns)
    add_cost_chart(sheet, COSTS, count, len(CATEGORIES), f"A{CHARTS}")
    add_roofline_chart(sheet, book["Engine"], count, f"{columns[0]}{CHARTS}")
    sheet.print_area = f"A1:{last}{COSTS + len(CATEGORIES) + 1}"
    sheet.page_setup.fitToHeight = 1
    sheet.sheet_properties.tabColor = "00703C"
    protect(sheet)


def _linked(formula: str, column: str, option: int) -> str:
    kind, _, name = formula.partition(":")
    if kind == "TOTAL":
        return f"={total(name, option)}"
    if kind == "OPTION":
        return f"={option_field(name, str(option + 1))}"
    return f"=Engine!${column}${ROW[name]}"


def _own_formula(name: str, column: str, columns: list[str], option: int) -> str | None:
    """Status, ranking and nearness, which are made on this sheet."""
    status, ranked = (f"{column}${R[n]}" for n in ("status", "ranked"))
    all_ranked = f"${columns[0]}${R['ranked']}:${columns[-1]}${R['ranked']}"
    if name == "status":
        word = option_field("status", str(option + 1))
        memory, cost = f"{column}{R['memory']}", f"{column}{R['per_mtoken']}"
        return (
            f'=IF(NOT(ISTEXT({word})),"Options: a cell is in error",IF({word}<>"{OK}",{word},'
            f'IF(ISNUMBER({memory}),IF({memory}>1,"does not fit: raise TP",IF(ISNUMBER({cost}),"{OK}",'
            f'"refused: see Engine_Live")),"refused: see Engine_Live")))'
        )
    if name == "ranked":
        cost = f"{column}{R['per_mtoken']}"
        return f'=IF({status}="{OK}",IF(ISNUMBER({cost}),{cost},""),"")'
    if name == "near":
        return f"=IF(ISNUMBER({ranked}),IF({ranked}<=MIN({all_ranked})*(1+in_ModelError),1,0),0)"
    return None


def _verdict(columns: list[str], version: str, sound: str) -> str:
    """The sentence: the lowest, or those too close to call; and who was left out."""
    ranked = f"${columns[0]}${R['ranked']}:${columns[-1]}${R['ranked']}"
    near = f"${columns[0]}${R['near']}:${columns[-1]}${R['near']}"
    names = "&".join(f'IF({c}${R["near"]}=1,{c}${LABEL_ROW}&"; ","")' for c in columns)
    after = f'IF(COUNT({ranked})>1,"the next is "&ROUND((SMALL({ranked},2)/MIN({ranked})-1)*100,0)&" % dearer","")'
    several = f'"Too close to call on cost per million tokens: "&{names}&"all within "&ROUND(100*in_ModelError,0)&" %"'
    left = f'IF(COUNT({ranked})<{len(columns)}," ("&({len(columns)}-COUNT({ranked}))&" left out: see Status)","")'
    no_engine = '"Our functions do not answer here: install the add-in, or run mls-workbook recalc on a copy"'
    answer = f'IF(SUM({near})>1,{several},"Lowest cost per million tokens: "&{names}&{after})&{left}'
    nothing = '"No option can be computed: see Status"'
    care = f'IF({sound},"","Checks fail, see Checks. ")'
    return f"=IF(NOT(ISTEXT({version})),{no_engine},IF(COUNT({ranked})=0,{nothing},{care}&{answer}))"


def _colours(sheet: Worksheet, columns: list[str]) -> None:
    def add(area: str, test: str, fill: str, color: str) -> None:
        sheet.conditional_formatting.add(area, Rule(type="expression", formula=[test], dxf=difference(fill, color)))

    first, last = columns[0], columns[-1]
    add(f"{first}{R['per_mtoken']}:{last}{R['per_mtoken']}", f"{first}${R['near']}=1", PALE_GREEN, GREEN)
    status = f"{first}{R['status']}:{last}{R['status']}"
    add(status, f'{first}${R["status"]}<>"{OK}"', PALE_RED, RED)
    add("A5", 'LEFT($A$5,3)="All"', PALE_GREEN, GREEN)
    add("A5", 'LEFT($A$5,3)<>"All"', PALE_RED, RED)


def _facts(sheet: Worksheet, columns: list[str], count: int, version: str) -> None:
    """Price dates, versions, colour key."""
    put(sheet, f"A{FACTS}", "Price in use, as of")
    put(sheet, f"B{FACTS}", "date", "mls unit")
    for i, column in enumerate(columns):
        cell = put(sheet, f"{column}{FACTS}", f"={_price_date(str(i + 1))}", "mls link", DATE)
        cell.alignment = Alignment(horizontal="right", vertical="center")
    put(sheet, f"A{FACTS + 1}", "Kinds of cell", "mls unit")
    for style, column in zip(("input", "formula", "link", "engine", "estimate"), "BDEFG", strict=True):
        text = "from another sheet" if style == "link" else style
        put(sheet, f"{column}{FACTS + 1}", text, f"mls {style}")
    engine = f'IF(ISTEXT({version}),{version},"none")'
    built = f'="Built by mlsysim for Excel {__version__}; engine that answered: "&{engine}'
    put(sheet, f"A{FACTS + 2}", built, "mls unit")
    notes = (
        "Before tax. Costs include the prompts. Levelised: present value of cost over present value of output. One "
        "software efficiency for all vendors. Same requests per accelerator for every option."
    )
    put(sheet, f"A{FACTS + 3}", notes, "mls unit")


def _price_date(number: str) -> str:
    """As-of date of the price that an option uses; a word for an own price."""
    server, device = (
        f'INDEX(tblPrices[as_of],MATCH({option_field(name, number)}&"|{basis}",tblPrices[lookup],0))'
        for name, basis in (("server", "server"), ("device", "purchase"))
    )
    basis = option_field("price_basis", number)
    return f'IF({basis}="own price","own price",IF({basis}="server price",{server},{device}))'


def _categories(sheet: Worksheet, columns: list[str]) -> None:
    """Totals by category, what the cost chart draws, and their sum."""
    block_title(sheet, COSTS - 1, "Where the money goes", 3 + len(columns))
    heading(sheet, COSTS, ["Cost over the horizon, undiscounted", "Unit", ""], height=34)
    for column in columns:
        put(sheet, f"{column}{COSTS}", f"={column}${LABEL_ROW}", "mls heading")
    end = COSTS + len(CATEGORIES)
    for r, (name, label) in enumerate(CATEGORIES.items(), start=COSTS + 1):
        put(sheet, f"A{r}", label)
        put(sheet, f"B{r}", "USD", "mls unit")
        for i, column in enumerate(columns):
            put(sheet, f"{column}{r}", f"={total(name, i)}", "mls link", MONEY)
    put(sheet, f"A{end + 1}", "Net cost of the horizon, undiscounted", "mls total")
    put(sheet, f"B{end + 1}", "USD", "mls unit")
    for column in columns:
        put(sheet, f"{column}{end + 1}", f"=SUM({column}{COSTS + 1}:{column}{end})", "mls total", MONEY)
