"""Decision: the first screen.  One sentence, the options side by side, their status, checks, two charts.

Under every judged figure stands its range in words.  Options whose ranges of cost overlap that of the lowest are too
close to call.
"""

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
    PALE_ORANGE,
    PALE_RED,
    RED,
    WHOLE,
    block_title,
    difference,
    heading,
    page,
    protect,
    put,
    tint,
)
from .charts import add_cost_chart, add_roofline_chart
from .checks import COUNT_CELL
from .engine import DERIVED, ROW, VALID, option_columns, version_row
from .inputs import point
from .options import OK, option_field
from .tco import total

LABEL_ROW = 7
PORTRAIT = 5  # options that an upright page holds
RANGE = "range"


def _range_of(name: str) -> tuple[str, str, str, str]:
    """The row of words under a judged figure."""
    return RANGE, "", f"RANGE:{name}_p10 {name}_p90 {name}_validity", "@"


# name: label, unit, formula, number format.  TOTAL:x is a total of TCO, ENGINE:x a figure of Engine, OPTION:x a column,
# RANGE:low high standing the words for a range.
_ROWS: dict[str, tuple[str, str, str, str]] = {
    "status": ("Status", "", "", "@"),
    "devices": ("Accelerators", "count", "TOTAL:devices", WHOLE),
    "memory": ("Share of usable memory", "share", "ENGINE:memory_share", "0%"),
    "ttft_1": ("Time to first token, one request alone", "ms", "ENGINE:ttft_1", WHOLE),
    "ttft_1_range": _range_of("ttft_1"),
    "ttft": ("Time to first token, all prompts at once", "ms", "ENGINE:ttft", WHOLE),
    "ttft_range": _range_of("ttft"),
    "itl": ("Time between tokens, decoding alone", "ms", "ENGINE:itl", CENTS),
    "itl_range": _range_of("itl"),
    "itl_load": ("Time between tokens, others' prompts included", "ms", "ENGINE:itl_load", CENTS),
    "itl_load_range": _range_of("itl_load"),
    "efficiency": ("Share of the peak that arithmetic reaches", "share", "ENGINE:efficiency", "0%"),
    "tokens_s": ("Generated tokens per second, busy", "tokens/s", "TOTAL:tokens_s", WHOLE),
    "tokens_range": (RANGE, "", "RANGE:tokens_low tokens_high rate_validity", "@"),
    "price_status": ("Price of the servers is", "kind", "OPTION:price_status", "@"),
    "upfront": ("Upfront cash", "USD", "TOTAL:upfront", MONEY),
    "cash": ("Net cost of the horizon, undiscounted", "USD", "TOTAL:cash", MONEY),
    "npv": ("Net present cost", "USD", "TOTAL:npv", MONEY),
    "eac": ("Equivalent annual cost", "USD/year", "TOTAL:eac", MONEY),
    "per_hour": ("Device-hour owned, levelised", "USD/h", "TOTAL:per_hour", CENTS),
    "per_delivered": ("Device-hour delivered, levelised", "USD/h", "TOTAL:per_delivered", CENTS),
    "per_mtoken": ("Million generated tokens, levelised", "USD", "TOTAL:per_mtoken", CENTS),
    "cost_range": (RANGE, "", "", "@"),
    "nominal": ("Million generated tokens, undiscounted", "USD", "TOTAL:per_mtoken_nominal", CENTS),
    "busy_kw": ("IT power when busy", "kW", "TOTAL:busy_kw", "#,##0.0"),
    "kwh": ("Electricity of a million generated tokens", "kWh", "TOTAL:kwh_mtoken", FINE),
    "co2": ("Operational carbon of a million tokens", "kgCO2e", "TOTAL:co2_mtoken", FINE),
    "ranked": ("Ranked: cost of a million tokens", "USD", "", CENTS),
    "cost_low": ("Low end of its range", "USD", "", CENTS),
    "cost_high": ("High end of its range", "USD", "", CENTS),
    "near": ("Its range overlaps that of the lowest", "1 = yes", "", WHOLE),
}
R = {name: LABEL_ROW + 1 + i for i, name in enumerate(_ROWS)}
_RANKING = ("ranked", "cost_low", "cost_high", "near")
_NUMBERS = [n for n, (*_, number_format) in _ROWS.items() if number_format != "@" and n not in _RANKING]
CATEGORIES = {"servers": "Servers with accelerators", "network": "Network", "install": "Installation",
              "electricity": "Electricity", "maintenance": "Maintenance", "facility": "Facility", "staff": "Staff",
              "resale": "Resale"}  # fmt: skip
FACTS = max(R.values()) + 2
CHARTS = FACTS + 7
COSTS = CHARTS + 21


_WRAPPED = Alignment(wrap_text=True, vertical="center")


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
    page(sheet, "Accelerator plan", purpose, {"A": 46, "B": 11, "C": 3, **dict.fromkeys(columns, 24)}, freeze="A8")
    version = f"Engine_Live!$D${version_row(twins)}"
    passed, rows, built = "COUNTIF(tblChecks[pass],TRUE)", "ROWS(tblChecks[pass])", f"Checks!{COUNT_CELL}"
    sound = f"AND({passed}={rows},{rows}={built})"
    put(sheet, "A3", _verdict(columns, version, sound), "mls verdict").alignment = _WRAPPED
    sheet.merge_cells(f"A3:{last}3")
    sheet.row_dimensions[3].height = 36
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
            words = label == RANGE
            put(sheet, f"A{r}", label, "mls total" if name == "per_mtoken" else "mls unit" if words else "mls label")
            put(sheet, f"B{r}", unit, "mls unit")
            own = _own_formula(name, column, columns, i)
            style = "mls total" if name == "per_mtoken" else "mls formula" if own else "mls link"
            style = "mls unit" if words else style
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
    sheet.page_setup.orientation = "portrait" if count <= PORTRAIT else "landscape"
    sheet.page_setup.fitToHeight = 1
    sheet.sheet_properties.tabColor = "00703C"
    protect(sheet)


def _linked(formula: str, column: str, option: int) -> str:
    kind, _, name = formula.partition(":")
    if kind == "TOTAL":
        return f"={total(name, option)}"
    if kind == "OPTION":
        return f"={option_field(name, str(option + 1))}"
    if kind == "RANGE":
        return "=" + _range_words(*(f"Engine!${column}${(ROW | DERIVED)[n]}" for n in name.split()))
    return f"=Engine!${column}${ROW[name]}"


def _range_words(low: str, high: str, standing: str) -> str:
    """Both ends to three figures, and what judges them; numbers as the International System writes them."""
    beyond = f'IF({standing}="{VALID}","",", "&{standing})'
    return f'IF(ISNUMBER({low}),{_rounded(low)}&" to "&{_rounded(high)}&{beyond},{low})'


def _rounded(cell: str) -> str:
    figure = f"ROUND({cell},2-INT(LOG10({cell})))"
    thousands = f'INT({figure}/1000)&" "&TEXT(MOD({figure},1000),"000")'
    return f"IF({cell}>=1000,{thousands},{point(figure)})"


def _own_formula(name: str, column: str, columns: list[str], option: int) -> str | None:
    """Status, range of cost, ranking and nearness, which are made on this sheet."""
    status, ranked, cost_low, cost_high = (f"{column}${R[n]}" for n in ("status", "ranked", "cost_low", "cost_high"))
    all_ranked, all_high = (f"${columns[0]}${R[n]}:${columns[-1]}${R[n]}" for n in ("ranked", "cost_high"))
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
    if name in ("cost_low", "cost_high"):  # cost at the other end of throughput
        end, used = (
            f"Engine!${column}${(ROW | DERIVED)[n]}"
            for n in ("rate_p90" if name == "cost_low" else "rate_p10", "per_device")
        )
        return f"=IF(ISNUMBER({end}),{column}{R['per_mtoken']}*{used}/{end},{end})"
    if name == "cost_range":
        standing = f"Engine!${column}${ROW['rate_validity']}"
        return "=" + _range_words(cost_low, cost_high, standing)
    if name == "near":  # without a range nothing can be told apart
        best = f"INDEX({all_high},MATCH(MIN({all_ranked}),{all_ranked},0))"
        both = f"IF(ISNUMBER({cost_low}),IF(ISNUMBER({best}),IF({cost_low}<={best},1,0),1),1)"
        return f"=IF(ISNUMBER({ranked}),IF({ranked}=MIN({all_ranked}),1,{both}),0)"
    return None


def _verdict(columns: list[str], version: str, sound: str) -> str:
    """The sentence: the lowest, or those too close to call; and who was left out."""
    ranked = f"${columns[0]}${R['ranked']}:${columns[-1]}${R['ranked']}"
    near = f"${columns[0]}${R['near']}:${columns[-1]}${R['near']}"
    names = "&".join(f'IF({c}${R["near"]}=1,{c}${LABEL_ROW}&"; ","")' for c in columns)
    those = f'IF(SUM({near})={len(columns)},"all {len(columns)} options; ",{names})'
    after = f'IF(COUNT({ranked})>1,"the next is "&ROUND((SMALL({ranked},2)/MIN({ranked})-1)*100,0)&" % dearer","")'
    lowest = f"INDEX(${columns[0]}${LABEL_ROW}:{columns[-1]}${LABEL_ROW},MATCH(MIN({ranked}),{ranked},0))"
    several = (
        f'"Too close to call on cost per million tokens: "&{those}&"their ranges overlap. Lowest figure: "&{lowest}'
        f'&", "&{after}'
    )
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
    for name in (n for n, (label, *_) in _ROWS.items() if label == RANGE):
        area, cell = f"{first}{R[name]}:{last}{R[name]}", f"{first}{R[name]}"
        test = f'IF(ISTEXT({cell}),OR(RIGHT({cell},12)="extrapolated",{cell}="not validated"),FALSE)'
        sheet.conditional_formatting.add(area, Rule(type="expression", formula=[test], dxf=tint(PALE_ORANGE)))
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
        "Before tax. Costs include the prompts. Levelised: present value of cost over present value of output. "
        "Same requests per accelerator for every option."
    )
    put(sheet, f"A{FACTS + 3}", notes, "mls unit")
    ranges = (
        "Range: about 8 in 10 published measurements lie inside; of cost, through throughput alone. Extrapolated: none "
        "on this generation of chip or regime, so it is widened. Not validated: nothing to judge it by. See Accuracy."
    )
    put(sheet, f"A{FACTS + 4}", ranges, "mls unit")


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
