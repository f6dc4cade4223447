"""Decision (the first screen) and Checks (what must hold before anybody signs)."""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.formatting.rule import Rule
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.styles.differential import DifferentialStyle
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableFormula, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from mlsysim.version import __version__

from ..style import CENTS, DATE, FINE, GREEN, MONEY, PALE_GREEN, PALE_RED, RED, WHOLE, fit_height, heading, page, put
from .charts import add_cost_chart, add_roofline_chart
from .engine import DERIVED, FIGURES, ROW, TOP, option_columns, version_row
from .inputs import option_field
from .physics import Twin
from .tco import month_range, total

LABEL_ROW = 7
TOO_CLOSE = "in_ModelError"  # options nearer than the model can tell apart
# label, unit, formula for one option ({c}: engine column, {i}: option number), number format
_ROWS: list[tuple[str, str, str, str]] = [
    ("Accelerators", "", "=TOTAL:devices", WHOLE),
    ("Fits in memory", "", '=IF(Engine!{c}$MEMORY<=1,"yes","no")', "@"),
    ("Share of usable memory", "", "=Engine!{c}$MEMORY", "0%"),
    ("Time to first token", "ms", "=Engine!{c}$TTFT", WHOLE),
    ("Time between tokens", "ms", "=Engine!{c}$ITL", CENTS),
    ("Generated tokens per second, busy", "tokens/s", "=TOTAL:tokens_s", WHOLE),
    ("Price of the servers is", "kind", "=OPTION:price_status", "@"),
    ("Upfront cash", "USD", "=TOTAL:upfront", MONEY),
    ("Net present cost", "USD", "=TOTAL:npv", MONEY),
    ("Equivalent annual cost", "USD/year", "=TOTAL:eac", MONEY),
    ("Cost of a device-hour owned", "USD/h", "=TOTAL:per_hour", CENTS),
    ("Cost of a device-hour delivered", "USD/h", "=TOTAL:per_delivered", CENTS),
    ("Cost of a million generated tokens", "USD", "=TOTAL:per_mtoken", CENTS),
    ("IT power when busy", "kW", "=TOTAL:busy_kw", "#,##0.0"),
    ("Electricity of a million generated tokens", "kWh", "=TOTAL:kwh_mtoken", FINE),
    ("Carbon of a million generated tokens", "kgCO2e", "=TOTAL:co2_mtoken", FINE),
]
TOKEN_ROW = LABEL_ROW + 1 + [r[0] for r in _ROWS].index("Cost of a million generated tokens")
CATEGORIES = ("servers", "network", "install", "electricity", "maintenance", "facility", "staff", "resale")


def add_decision(book: Workbook, count: int) -> None:
    """The Decision sheet: sentence, figures side by side, checks, charts."""
    sheet = book["Decision"]
    columns = option_columns(count)
    last = columns[-1]
    purpose = "Which accelerator serves the model at the lowest cost? Change Inputs and Options; everything follows."
    page(sheet, "Accelerator plan", purpose, {"A": 44, "B": 11, "C": 3, **dict.fromkeys(columns, 19)}, freeze="A8")
    tokens = f"${columns[0]}${TOKEN_ROW}:${last}${TOKEN_ROW}"
    labels = f"${columns[0]}${LABEL_ROW}:${last}${LABEL_ROW}"
    lead = f"(SMALL({tokens},2)/MIN({tokens})-1)"
    near = '"; the next is within "&MAX(1,ROUNDUP(' + lead + '*100,0))&" %, too close to call"'
    clear = '"; the next is "&ROUND(' + lead + '*100,0)&" % dearer"'
    gap = f"&IF({lead}<{TOO_CLOSE},{near},{clear})" if count > 1 else ""
    best = f"INDEX({labels},MATCH(MIN({tokens}),{tokens},0))"
    failed = '"An option cannot be computed; the reason stands on Engine_Live"'
    put(sheet, "A3", f'=IFERROR("Lowest cost per million tokens: "&{best}{gap},{failed})', "mls verdict")
    story = (
        '="Serving "&in_Model&", "&in_SeqLen&" tokens in, "&in_OutputTokens&" out, "&in_Batch&" requests per replica; "'
        '&in_HorizonMonths&" months; case "&in_Case'
    )
    put(sheet, "A4", story, "mls purpose")
    passed, rows = "COUNTIF(tblChecks[pass],TRUE)", "ROWS(tblChecks[pass])"
    verdict = f'=IF({passed}={rows},"All "&{rows}&" checks pass",({rows}-{passed})&" checks FAIL: see Checks")'
    put(sheet, "A5", verdict, "mls check")
    heading(sheet, LABEL_ROW, ["Figure", "Unit", ""])
    for i, column in enumerate(columns):
        put(sheet, f"{column}{LABEL_ROW}", f"={option_field('option', str(i + 1))}", "mls heading")
        for r, (label, unit, formula, number_format) in enumerate(_ROWS, start=LABEL_ROW + 1):
            put(sheet, f"A{r}", label)
            put(sheet, f"B{r}", unit, "mls unit")
            style = "mls total" if r == TOKEN_ROW else "mls link"
            cell = put(sheet, f"{column}{r}", _filled(formula, column, i), style, number_format)
            cell.alignment = Alignment(horizontal="right")
    _colours(sheet, columns, tokens)
    below = LABEL_ROW + len(_ROWS) + 2
    _facts(sheet, below, columns, count)
    _categories(sheet, below + 26, count)
    add_cost_chart(sheet, below + 26, count, len(CATEGORIES), f"A{below + 5}")
    add_roofline_chart(sheet, book["Engine"], count, f"{columns[0]}{below + 5}")
    sheet.print_area = f"A1:{last}{below + 26 + len(CATEGORIES) + 2}"
    sheet.page_setup.fitToHeight = 1
    sheet.sheet_properties.tabColor = "00703C"


def _filled(formula: str, column: str, option: int) -> str:
    if formula.startswith("=TOTAL:"):
        return f"={total(formula.removeprefix('=TOTAL:'), option)}"
    if formula.startswith("=OPTION:"):
        return f"={option_field(formula.removeprefix('=OPTION:'), str(option + 1))}"
    text = formula.replace("{c}", f"${column}")
    for name, key in (("MEMORY", "memory_share"), ("TTFT", "ttft"), ("ITL", "itl")):
        text = text.replace(name, str(ROW[key]))
    return text


def _colours(sheet: Worksheet, columns: list[str], tokens: str) -> None:
    area = f"{columns[0]}{TOKEN_ROW}:{columns[-1]}{TOKEN_ROW}"
    best = [f"{columns[0]}{TOKEN_ROW}=MIN({tokens})"]
    sheet.conditional_formatting.add(area, Rule(type="expression", formula=best, dxf=_dxf(PALE_GREEN, GREEN)))
    fits = f"{columns[0]}{LABEL_ROW + 2}:{columns[-1]}{LABEL_ROW + 2}"
    no = Rule(type="cellIs", operator="equal", formula=['"no"'], dxf=_dxf(PALE_RED, RED))
    sheet.conditional_formatting.add(fits, no)
    for test, fill, color in (('LEFT($A$5,3)="All"', PALE_GREEN, GREEN), ('LEFT($A$5,3)<>"All"', PALE_RED, RED)):
        sheet.conditional_formatting.add("A5", Rule(type="expression", formula=[test], dxf=_dxf(fill, color)))


def _dxf(fill: str, color: str) -> DifferentialStyle:
    return DifferentialStyle(font=Font(color=color, bold=True), fill=PatternFill(bgColor=fill))


def _facts(sheet: Worksheet, row: int, columns: list[str], count: int) -> None:
    """Versions, price date and colour key in two lines."""
    key = [
        ("input", "mls input"),
        ("formula", "mls formula"),
        ("from another sheet", "mls link"),
        ("engine", "mls engine"),
        ("estimate", "mls estimate"),
    ]
    put(sheet, f"A{row}", "Colours and kinds of cell", "mls unit")
    for (text, style), column in zip(key, ["B", *columns, "H", "I", "J", "K"], strict=False):
        put(sheet, f"{column}{row}", text, style)
    built = f'="Built by mlsysim for Excel {__version__}; engine that answered: "&Engine_Live!$D$VERSION'
    put(sheet, f"A{row + 1}", built, "mls unit")
    put(sheet, f"A{row + 2}", "Oldest purchase price in use, as of", "mls unit")
    dates = ",".join(_price_date(str(i + 1)) for i in range(count))
    put(sheet, f"{columns[0]}{row + 2}", f"=MIN({dates})", "mls unit", DATE)
    put(
        sheet,
        f"A{row + 3}",
        "Before tax; prices are estimates unless Reg_Prices says price-list. Ask for quotes.",
        "mls unit",
    )


def _price_date(number: str) -> str:
    """As-of date of the price that an option uses; the start of the plan for an own price."""
    server, device = (
        f'INDEX(tblPrices[as_of],MATCH({option_field(name, number)}&"|{basis}",tblPrices[lookup],0))'
        for name, basis in (("server", "server"), ("device", "purchase"))
    )
    basis = option_field("price_basis", number)
    return f'IF({basis}="own price",in_StartDate,IF({basis}="server price",{server},{device}))'


def _categories(sheet: Worksheet, row: int, count: int) -> None:
    """Totals by category: what the cost chart draws."""
    columns = option_columns(count)
    heading(sheet, row, ["Cost over the horizon, undiscounted", "Unit", ""])
    for column in columns:
        put(sheet, f"{column}{row}", f"={column}${LABEL_ROW}", "mls heading")
    names = {
        "servers": "Servers with accelerators",
        "network": "Network",
        "install": "Installation",
        "electricity": "Electricity",
        "maintenance": "Maintenance",
        "facility": "Facility",
        "staff": "Staff",
        "resale": "Resale",
    }
    for r, name in enumerate(CATEGORIES, start=row + 1):
        put(sheet, f"A{r}", names[name])
        put(sheet, f"B{r}", "USD", "mls unit")
        for i, column in enumerate(columns):
            put(sheet, f"{column}{r}", f"={total(name, i)}", "mls link", MONEY)


def fill_version(book: Workbook, twins: int) -> None:
    """Point the version cell of Decision at Engine_Live, whose length is known last."""
    sheet = book["Decision"]
    for row in sheet.iter_rows(min_col=1, max_col=1):
        value = row[0].value
        if isinstance(value, str) and "$D$VERSION" in value:
            row[0].value = value.replace("VERSION", str(version_row(twins)))


# ------------------------------------------------------------------ checks


def add_checks(book: Workbook, count: int, twins: list[Twin]) -> None:
    """The Checks sheet: one row per check, passed when |value| <= tolerance."""
    sheet = book.create_sheet("Checks")
    page(
        sheet,
        "Checks",
        "Every row must pass. A value is a difference or a number of violations.",
        dict(zip("ABCDEF", (9, 84, 16, 12, 10, 60), strict=True)),
        freeze="A6",
    )
    headings = ["id", "check", "value", "tolerance", "pass", "if it fails"]
    top = 5
    heading(sheet, top, headings)
    rows = _all_checks(count, twins)
    value, tolerance = "tblChecks[[#This Row],[value]]", "tblChecks[[#This Row],[tolerance]]"
    passed = f"IFERROR(AND(ISNUMBER({value}),ABS({value})<={tolerance}),FALSE)"
    for r, (text, result, allowed, advice) in enumerate(rows, start=top + 1):
        put(sheet, f"A{r}", f"C{r - top:02d}", "mls unit")
        put(sheet, f"B{r}", text)
        put(sheet, f"C{r}", result, "mls formula", "0.0E+00" if 0 < allowed < 1e-3 else "General")
        put(sheet, f"D{r}", allowed, "mls unit", "0E+00" if 0 < allowed < 1e-3 else "General")
        put(sheet, f"E{r}", f"={passed}", "mls check")
        put(sheet, f"F{r}", advice, "mls note")
        fit_height(sheet, r)
    ref = f"A{top}:F{top + len(rows)}"
    table = Table(displayName="tblChecks", ref=ref)
    table.autoFilter = AutoFilter(ref=ref)
    table.tableColumns = [TableColumn(id=i, name=text) for i, text in enumerate(headings, start=1)]
    table.tableColumns[4].calculatedColumnFormula = TableFormula(attr_text=passed)
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=True)
    sheet.add_table(table)
    area = f"E{top + 1}:E{top + len(rows)}"
    held = f"AND(ISNUMBER($C{top + 1}),ABS($C{top + 1})<=$D{top + 1})"  # not $E: LibreOffice 7.4 crashes on booleans
    for test, fill, color in ((held, PALE_GREEN, GREEN), (f"NOT({held})", PALE_RED, RED)):
        rule = Rule(type="expression", formula=[test], dxf=_dxf(fill, color))
        sheet.conditional_formatting.add(area, rule)
    sheet.print_area, sheet.print_title_rows = f"A1:F{top + len(rows)}", f"{top}:{top}"
    sheet.sheet_properties.tabColor = "00703C"


def _all_checks(count: int, twins: list[Twin]) -> list[tuple[str, str, float, str]]:
    columns = option_columns(count)
    span = f"Engine!${columns[0]}${{}}:${columns[-1]}${{}}"
    numeric = sum(not f.text for f in FIGURES)
    share, first = ROW["memory_share"], TOP + 1
    rows: list[tuple[str, str, float, str]] = [
        (
            f"Native formula equals the engine: {t.title}",
            f"=Physics!{t.answer.replace('$B$', '$E$')}",
            1e-9,
            "The engine that answers is not the one that built this file, or a formula was overwritten",
        )
        for t in twins
    ]
    rows += [
        (
            "Every engine figure is a number",
            f"={numeric * count}-COUNT({span.format(first, TOP + len(FIGURES))})",
            0,
            "Engine_Live says which figure is refused and why",
        ),
        (
            "Every option fits in memory",
            f'=COUNTIF({span.format(share, share)},">1")',
            0,
            "Raise TP or choose a narrower precision",
        ),
        (
            "TP divides the devices of every option",
            f"=SUM({span.format(DERIVED['left_over'], DERIVED['left_over'])})",
            0,
            "Left-over devices earn nothing: change TP or devices per server",
        ),
        ("Months in operation equal the horizon", "=TCO!$C$7-in_HorizonMonths", 0, "The timeline ends at 60 months"),
        (
            "Utilisation is above 0 and at most 1",
            "=IF(AND(in_Utilisation>0,in_Utilisation<=1),0,1)",
            0,
            "Enter a share",
        ),
        (
            "The engine is the version that built this file",
            f'=IF(Engine_Live!$D${version_row(len(twins))}="{__version__}",0,1)',
            0,
            "Install the matching version or rebuild",
        ),
    ]
    for i in range(count):
        rows += _option_checks(i, columns[i])
    return rows


def _option_checks(i: int, column: str) -> list[tuple[str, str, float, str]]:
    n = str(i + 1)
    at = {
        name: total(name, i)
        for name in ("servers", "network", "upfront", "opex", "resale", "cash", "pv", "devices", "busy_kw")
    }
    bought = f"({at['servers']}+{at['network']})"
    engine = {name: f"Engine!${column}${ROW[name]}" for name in ("purchase", "upkeep", "staff", "facility")}
    cash0, later = month_range("cash", i).split(":")[0].removeprefix("TCO!"), month_range("cash", i, 1)
    found = "+".join(
        f"ABS(COUNTIF({table}[key],{option_field(name, n)})-1)"
        for table, name in (("tblHardware", "device"), ("tblSites", "site"), ("tblPrecisions", "precision"))
    )
    return [
        (
            f"Option {n}: device, site and precision stand exactly once in the registries",
            f"={found}",
            0,
            "A key is missing or stands twice",
        ),
        (
            f"Option {n}: purchase equals MLS_TCO",
            f"=ROUND({bought}/{engine['purchase']}-1,9)",
            1e-6,
            "Money and engine disagree: a line was changed",
        ),
        (
            f"Option {n}: maintenance of the first year equals MLS_TCO",
            f"=ROUND({bought}*in_Maintenance/{engine['upkeep']}-1,9)",
            1e-6,
            "Money and engine disagree",
        ),
        (
            f"Option {n}: staff of the first year equals MLS_TCO",
            f"=ROUND({at['devices']}*in_StaffCost/{engine['staff']}-1,9)",
            1e-6,
            "Money and engine disagree",
        ),
        (
            f"Option {n}: facility of the first year equals MLS_TCO",
            f"=ROUND({at['busy_kw']}*in_FacilityCost*12/{engine['facility']}-1,9)",
            1e-6,
            "Money and engine disagree",
        ),
        (
            f"Option {n}: present value equals Excel's NPV",
            f"=ROUND((TCO!{cash0}+NPV((1+in_DiscountRate)^(1/12)-1,{later}))/{at['pv']}-1,9)",
            1e-6,
            "The timeline was changed",
        ),
        (
            f"Option {n}: cash equals upfront, running cost and resale",
            f"=ROUND(({at['upfront']}+{at['opex']}+{at['resale']})/{at['cash']}-1,9)",
            1e-6,
            "A total was overwritten",
        ),
    ]
