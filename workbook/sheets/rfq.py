"""RFQ: vendor quotes brought to the same terms, per accelerator delivered, per hour and per million tokens, and ranked.

Every quote is compared over the same horizon and the same working hours: until it is delivered, rented accelerators do
its work.  Present values before tax, in the chosen currency; costs positive, income negative.  What is the same for
every quote (staff, storage, tax, the sale of an old fleet) is left out.
"""

from __future__ import annotations

from openpyxl import Workbook
from openpyxl.formatting.rule import Rule
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.pagebreak import Break
from openpyxl.worksheet.worksheet import Worksheet

from ..style import (
    CENTS,
    DATE,
    GREEN,
    PALE_GREEN,
    PALE_ORANGE,
    RED,
    SHARE,
    WHOLE,
    block_title,
    difference,
    heading,
    page,
    protect,
    put,
)
from .engine import DERIVED, ROW, option_columns
from .inputs import list_rule, point
from .monthly import DISCOUNT, RUN, Layout
from .options import option_field
from .rfq_rows import (
    ADDED,
    BY,
    BY_HOURS,
    BY_TOKENS,
    DATED,
    FIRST,
    HEAD,
    LETTERS,
    MONEY_UNIT,
    PLACE,
    ROWS,
    SITE,
    SPAN,
    TERM_NAMES,
    TERMS,
    TERMS_TOP,
    Row,
)
from .rfq_table import COLUMNS, EXPIRED, OK, QUOTES, TOP, add_table, quoted

SHEET, VERDICT = "RFQ", "A3"
MIXED = ("rate", "mtoken", "output", "promise", "accept")  # a figure, or words that take two lines


def add_rfq(book: Workbook, layout: Layout) -> None:
    """The RFQ sheet."""
    sheet = book.create_sheet(SHEET)
    widths = {get_column_letter(i): width for i, (_, width, _) in enumerate(COLUMNS.values(), start=1)}
    purpose = (
        "Enter quotes in the yellow table as the vendor writes them; below they stand on the same terms. Present "
        "values before tax, costs positive."
    )
    page(sheet, "Quotes compared", purpose, widths, freeze="B5")
    put(sheet, VERDICT, _sentence(), "mls verdict")
    _choices(sheet, layout)
    add_table(sheet, TERMS, SPAN.format(row=PLACE["rank"]), SPAN.format(row=PLACE["own"]))
    _comparison(sheet, layout)
    _terms(sheet, layout)
    _colours(sheet)
    table = f"A1:{get_column_letter(len(COLUMNS))}{TOP + QUOTES}"
    sheet.print_area = f"{table},A{HEAD - 1}:{LETTERS[-1]}{TERMS_TOP + 1 + len(TERM_NAMES)}"
    sheet.print_title_cols = "A:A"
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A3
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 2, 0
    sheet.row_breaks.append(Break(id=PLACE["Difference to the best quote, in what is ranked"] - 1))
    sheet.sheet_properties.tabColor = "F2C94C"
    protect(sheet)


def _choices(sheet: Worksheet, layout: Layout) -> None:
    put(sheet, "A5", "Compare by")
    put(sheet, BY.replace("$", ""), BY_TOKENS, "mls input")
    list_rule(sheet, BY.replace("$", ""), f'"{BY_TOKENS},{BY_HOURS}"', f"{BY_TOKENS} or {BY_HOURS}")
    put(sheet, "A6", "Number of the option at whose site the quotes are compared")
    put(sheet, SITE.replace("$", ""), 1, "mls input", "0").alignment = Alignment(horizontal="left")
    rule = DataValidation(
        type="whole", operator="between", formula1="1", formula2=str(layout.count), showErrorMessage=True
    )
    rule.error = f"The number of an option, 1 to {layout.count}"
    sheet.add_data_validation(rule)
    rule.add(SITE.replace("$", ""))
    put(sheet, "D6", f"={option_field('option', SITE)}", "mls link")
    put(sheet, "A7", "Amounts are in the currency of the quote; a blank number counts as 0.", "mls source")


def _comparison(sheet: Worksheet, layout: Layout) -> None:
    heading(sheet, HEAD, ["The quotes on the same terms", "unit"], height=46)
    for i, c in enumerate(LETTERS, start=1):
        put(sheet, f"{c}{HEAD - 1}", i, "mls unit").alignment = Alignment(horizontal="center")
        vendor, quote = (quoted(name, f"{c}${HEAD - 1}") for name in ("vendor", "quote"))
        put(sheet, f"{c}{HEAD}", f'=IF({vendor}="","-",{vendor}&" "&{quote})', "mls heading")
    put(sheet, f"A{HEAD - 1}", "Row of the table", "mls unit")
    labels = {r.name: r.label for r in ROWS if isinstance(r, Row)}
    for row in ROWS:
        if isinstance(row, str):
            block_title(sheet, PLACE[row], row, FIRST + QUOTES - 1)
            continue
        r = PLACE[row.name]
        label = row.label or labels[row.name.removeprefix("diff_")]
        put(sheet, f"A{r}", label, "mls total" if row.total else "mls label")
        unit = _by_unit() if row.name == "figure" or row.name.startswith("diff") else "=in_Currency"
        unit = f"={BY}" if row.name == "output" else unit
        put(sheet, f"B{r}", unit if row.unit in (MONEY_UNIT, "units") else row.unit, "mls unit")
        words = row.number_format == "@"
        for c in LETTERS:
            text = _expand(row.formula, c, layout)
            shown = f'OR({c}${PLACE["status"]}="{OK}",{c}${PLACE["status"]}="{EXPIRED}")'
            text = text if row.always else f'IF({shown},{text},"")'
            cell = put(sheet, f"{c}{r}", f"={text}", "mls total" if row.total else "mls formula", row.number_format)
            cell.alignment = Alignment(horizontal="right", vertical="center", wrap_text=words or row.name in MIXED)
        if words or row.name in MIXED:
            sheet.row_dimensions[r].height = 40 if words else 27


def _by_unit() -> str:
    return f'=IF({BY}="{BY_HOURS}","per hour","per M tokens")'


def _expand(formula: str, c: str, layout: Layout) -> str:
    """Put addresses in the place of {names}."""
    out, rest = "", formula
    columns = option_columns(layout.count)
    while "{" in rest:
        before, _, after = rest.partition("{")
        name, _, rest = after.partition("}")
        kind, _, what = name.partition(":")
        if kind == "q":
            out += before + quoted(what, f"{c}${HEAD - 1}")
        elif kind == "t":
            out += before + TERMS[what]
        elif kind == "m":
            out += before + layout.timeline(int(what))
        elif kind == "engine":
            out += before + f"Engine!${columns[0]}${(ROW | DERIVED)[what]}:${columns[-1]}${(ROW | DERIVED)[what]}"
        elif kind == "all":
            out += before + SPAN.format(row=PLACE[what])
        elif name in ("diffs", "labels:diff"):
            side = c if name == "diffs" else "$A"
            out += before + f"{side}${PLACE[f'diff_{ADDED[0]}']}:{side}${PLACE[f'diff_{ADDED[-1]}']}"
        else:
            out += before + f"{c}{PLACE[name]}"
    return out + rest


def _terms(sheet: Worksheet, layout: Layout) -> None:
    """What is the same for every quote."""
    columns = option_columns(layout.count)
    busy, idle = (
        f"INDEX(Engine!${columns[0]}${ROW[n]}:${columns[-1]}${ROW[n]},{SITE})" for n in ("busy_kw", "idle_kw")
    )
    plate = option_field("contracted_w", SITE)
    drawn = f"({idle}+({busy}-{idle})*in_Utilisation)/IF(ISNUMBER({plate}),{plate}/1000,{busy})"
    hours = f"SUMPRODUCT({layout.timeline(RUN)},{layout.timeline(DISCOUNT)})*in_HoursPerMonth*in_Utilisation*in_Goodput"
    ranks = SPAN.format(row=PLACE["rank"])
    t = TERMS
    of_site = "Options, site of the option chosen above"
    idle_and_busy = "Engine: idle power, and busy power for the hours that can be filled, over the nameplate"
    used_draw = f"=IF(ISNUMBER({t['own_draw']}),{t['own_draw']},{t['plan_draw']})"
    first = f"MATCH(1,{ranks},0)"
    rows: dict[str, tuple[str, str, str | int | None, str, str]] = {
        "pue": ("PUE", "factor", f"={option_field('pue', SITE)}", CENTS, of_site),
        "tariff": ("Electricity, rising as Inputs says", "USD/kWh",
                   f"={option_field('tariff', SITE)}", "0.0000", of_site),
        "own_draw": ("Average draw, share of the quoted power: own", "share", None, SHARE, "Blank: the next line"),
        "plan_draw": ("The same of the option chosen above", "share",
                      f'=IF(ISNUMBER({busy}),{drawn},"no device")', SHARE,
                      idle_and_busy),
        "draw": ("Average draw that is used", "share", used_draw, SHARE, "Quotes state the nameplate"),
        "own_rent": ("Rent of an accelerator-hour until delivery: own", "USD/h", None, CENTS,
                     "Blank: on-demand price of the device on Prices"),
        "week": ("Days in a week", "days", 7, WHOLE, ""),
        "hours": ("Working hours of an accelerator, present value", "h", f"={hours}", WHOLE,
                  "Horizon, utilisation and goodput of Inputs"),
        "best": ("Row of the best quote", "no", f'=IF(ISNUMBER({first}),{first},"none")', "0",
                 "Only quotes with status ok are ranked"),
    }  # fmt: skip
    block_title(sheet, TERMS_TOP, "Terms that are the same for every quote", FIRST + QUOTES - 1)
    for name, (label, unit, value, number_format, note) in rows.items():
        r = int(t[name].rpartition("$")[2])
        put(sheet, f"A{r}", label)
        put(sheet, f"B{r}", unit, "mls unit")
        typed = name.startswith("own_")
        style = "mls input" if typed else "mls link" if name in ("pue", "tariff") else "mls formula"
        put(sheet, f"C{r}", value, style, number_format).alignment = Alignment(horizontal="right", vertical="center")
        put(sheet, f"D{r}", note or None, "mls unit")
    r = int(DATED.rpartition("$")[2])
    put(sheet, f"A{r}", "Quotes are judged on")
    put(sheet, f"B{r}", "date", "mls unit")
    put(sheet, f"C{r}", "=in_ValuationDate", "mls formula", DATE).alignment = Alignment(horizontal="right")
    put(sheet, f"D{r}", "Inputs: a quote that ends before is expired and not ranked", "mls unit")
    for cell, high in ((t["own_draw"], "2"), (t["own_rent"], "1000000")):
        rule = DataValidation(
            type="decimal", operator="between", formula1="0", formula2=high, showErrorMessage=True, allow_blank=True
        )
        rule.error = f"A number from 0 to {high}, or blank"
        sheet.add_data_validation(rule)
        rule.add(cell.replace("$", ""))


def _sentence() -> str:
    """Which quote is best, by how much, and why the next is dearer."""
    best = TERMS["best"]
    figures, gaps, whys = (SPAN.format(row=PLACE[n]) for n in ("figure", "gap", "why"))
    figure = f"INDEX({figures},{best})"
    second = f"MATCH(SMALL({figures},2),{figures},0)"
    amount = point(f"ROUND({figure},3)")
    unit = f'IF({BY}="{BY_HOURS}"," per accelerator-hour"," per million tokens")'
    heads = SPAN.format(row=HEAD)
    gap, why = (f"INDEX({row},{second})" for row in (gaps, whys))
    words = f'"; next "&INDEX({heads},{second})&", "&TEXT({gap},"0%")&" dearer, most of it: "&{why}'
    nxt = f'IF(ISNUMBER({second}),{words},"")'
    warn = f'IF({quoted("kind", best)}="example"," (an example: overwrite it)","")'
    found = f'"Best: "&INDEX({heads},{best})&" at "&in_Currency&" "&{amount}&{unit}&{warn}&{nxt}'
    return f'=IF(ISNUMBER({best}),{found},"No quote can be ranked: see the row Status")'


def _colours(sheet: Worksheet) -> None:
    """The best quote and those that cannot be used; the words say the same."""
    area = f"{LETTERS[0]}{HEAD + 1}:{LETTERS[-1]}{PLACE['why']}"
    rank, status = f"{LETTERS[0]}${PLACE['rank']}", f"{LETTERS[0]}${PLACE['status']}"
    for test, fill, ink in (
        (f"IF(ISNUMBER({rank}),{rank}=1,FALSE)", PALE_GREEN, GREEN),
        (f'AND({status}<>"{OK}",{status}<>"")', PALE_ORANGE, RED),
    ):
        sheet.conditional_formatting.add(area, Rule(type="expression", formula=[test], dxf=difference(fill, ink)))
