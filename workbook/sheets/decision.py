"""Decision: the first screen.  One sentence, the selectors, six figures with their ranges, two charts.

Under it all options side by side, links to every sheet, what the engine says of each option, and how the answer is
found.  The first screen ends with the row `SCREEN_ROWS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openpyxl import Workbook
from openpyxl.formatting.rule import Rule
from openpyxl.styles import Alignment
from openpyxl.utils import column_index_from_string
from openpyxl.worksheet.pagebreak import Break
from openpyxl.worksheet.worksheet import Worksheet

from mlsysim.version import __version__

from ..style import (
    CENTS,
    DATE,
    GREEN,
    MONEY,
    PALE_GREEN,
    PALE_ORANGE,
    PALE_RED,
    RED,
    SHARE,
    WHOLE,
    block_title,
    difference,
    dress,
    heading,
    page,
    protect,
    put,
    tint,
)
from .charts import add_crossover_chart, add_memory_chart, add_roofline_chart, add_top_chart
from .decision_figures import add_side_by_side, height
from .decision_words import Ranking, add_ranking, figure_words, verdict
from .engine import ROW, option_columns, version_row
from .inputs import SCENARIO, SCENARIOS, list_rule, name_cell
from .money import result
from .monthly import Layout
from .options import OK, option_field

BEST = "best"
LAST, SCREEN_ROWS = "L", 27
WIDTHS = {"A": 36, **dict.fromkeys("BCDEFGHIJKL", 14)}
LINES = 6  # first row of the selectors, the figures and the words beside them
CHARTS, SOURCES = 15, 27
TABLE = 29  # title of the options
PATHS = {
    "path_buy": "Buy or rent",
    "path_device": "Which device",
    "path_count": "How many",
    "path_when": "When",
    "path_price": "Token price",
    "path_power": "Power",
    "path_refresh": "Keep, replace",
    "path_run": "Training run",
}
SELECTORS = {SCENARIO: f"B{LINES}", "in_Option": f"B{LINES + 1}", "in_Currency": f"B{LINES + 2}"}
SHOWN = f"C{LINES + 1}"  # out_Option
CURRENCY = "currency"
# a figure: name on Money, label, unit, number format
FIGURES = (
    ("upfront", "Upfront cash", CURRENCY, MONEY),
    ("npv", "Net present cost after tax", CURRENCY, MONEY),
    ("per_delivered", "Accelerator-hour delivered", CURRENCY, CENTS),
    ("per_mtoken", "Million generated tokens", CURRENCY, CENTS),
    ("peak_kw", "IT power, busy", "kW", "#,##0.0"),
    ("co2", "Carbon of electricity", "kgCO2e", WHOLE),
)
# the table of options: name, letter, heading, number format
_TABLE = (
    ("option", "A", "Option", None),
    ("status", "B", "Status", None),
    ("npv", "C", "Net present cost after tax", MONEY),
    ("more", "D", "More than the lowest", "0.0%"),
    ("upfront", "E", "Upfront cash", MONEY),
    ("per_delivered", "F", "Accelerator-hour delivered", CENTS),
    ("per_mtoken", "G", "Million generated tokens", CENTS),
    ("share", "H", "Share of the load served", SHARE),
    ("peak_kw", "I", "IT power (kW)", "#,##0.0"),
    ("co2", "J", "Carbon (kgCO2e)", WHOLE),
    ("price", "K", "Price as of", DATE),
    ("place", "L", "Place", WHOLE),
)
_LETTER = {name: letter for name, letter, *_ in _TABLE}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Addresses on other sheets that the first screen shows.

    Attributes
    ----------
    flip : str
        A text such as "flips above 71 % utilisation", or "".
    ranges : mapping of str to (str, str)
        Low and high of each of the six figures, for the shown option.
    sheets : sequence of (str, str)
        Every other sheet with a line on what it holds, in order.
    """

    flip: str
    ranges: Mapping[str, tuple[str, str]]
    sheets: Sequence[tuple[str, str]] = field(default=())


def option_cells(name: str, count: int) -> str:
    """A column of the table of options, all options."""
    c = _LETTER[name]
    return f"Decision!${c}${TABLE + 2}:${c}${TABLE + 1 + count}"


def add_decision(book: Workbook, layout: Layout, twins: int, elsewhere: Elsewhere) -> None:
    """The Decision sheet; the sheet Chart_Data must be there."""
    sheet, count = book["Decision"], layout.count
    page(sheet, "Accelerator plan", "", WIDTHS, freeze="A4")
    index = TABLE + 3 + count
    side = index + 2 + -(-len(elsewhere.sheets) // 2)
    charts = side + height() + 1
    ranking = Ranking(charts + 24, count)
    version = f"Engine_Live!$D${version_row(twins)}"
    _top(sheet, ranking, elsewhere.sheets)
    _paths(book, sheet)
    for name, at in SELECTORS.items():
        name_cell(book, name, "Decision", at)
    name_cell(book, "out_Option", "Decision", SHOWN)
    name_cell(book, "out_Drawn", "Decision", ranking.at("drawn").replace("$", ""))
    _selectors(sheet, ranking, version)
    _six_figures(sheet, count, elsewhere.ranges)
    _standing(sheet, ranking, elsewhere.flip)
    _options(sheet, ranking)
    _index(sheet, index, elsewhere.sheets)
    add_side_by_side(sheet, side, count)
    cells = {n: [f"${_LETTER[n]}${TABLE + 2 + i}" for i in range(count)] for n in ("status", "npv", "share")}
    add_ranking(sheet, ranking, cells, version, elsewhere.flip, BEST)
    key = ranking.end + 2
    _key(sheet, key, version)
    data = book["Chart_Data"]
    add_crossover_chart(sheet, data, layout, (f"A{CHARTS}", f"G{SOURCES}"), f"A{SOURCES}")
    add_top_chart(sheet, data, (f"G{CHARTS}", f"M{SOURCES}"), f"G{SOURCES}")
    block_title(sheet, charts - 1, "Compute and memory", 12)
    under = charts + 20
    add_roofline_chart(sheet, book["Engine"], count, (f"A{charts}", f"G{under}"), f"A{under}")
    add_memory_chart(sheet, data, (f"G{charts}", f"M{under}"), f"G{under}")
    sheet.print_area = f"A1:{LAST}{key + 2}"
    for row in (index - 1, charts - 2):
        sheet.row_breaks.append(Break(id=row))
    sheet.sheet_properties.tabColor = "00703C"
    protect(sheet)


def _top(sheet: Worksheet, ranking: Ranking, sheets: Sequence[tuple[str, str]]) -> None:
    """What is planned, the sentence, the links."""
    story = (
        'in_Workload&IF(in_ServingOn=1,": "&in_Model&", "&in_TokensPerDay&" million tokens a day","")'
        '&IF(in_TrainingOn=1,"; "&in_RunsPerYear&" runs a year of "&in_TrainModel,"")&"; "&in_HorizonMonths'
        '&" months; scenario "&in_Scenario&". Money in "&in_Currency&", costs positive. For "&in_Flavour&"."'
    )
    put(sheet, "A2", f'="Plan of "&{story}', "mls purpose")
    put(sheet, "A3", verdict(ranking, BEST), "mls verdict").alignment = Alignment(wrap_text=True, vertical="center")
    sheet.merge_cells(f"A3:{LAST}3")
    sheet.row_dimensions[1].height, sheet.row_dimensions[2].height, sheet.row_dimensions[3].height = 22, 13, 35
    for row in range(4, SCREEN_ROWS + 1):
        sheet.row_dimensions[row].height = 14.4
    put(sheet, "A4", "Go to a sheet (all of them: below the options)", "mls unit")
    for (name, _), c in zip(sheets, "BCDEFGHI", strict=False):
        put(sheet, f"{c}4", f'=HYPERLINK("#{name}!A1","{name}")', "mls url")


def _paths(book: Workbook, sheet: Worksheet) -> None:
    """Links to the decisions on Compare."""
    row = CHARTS - 1
    put(sheet, f"A{row}", "Go to a decision", "mls unit")
    for (name, words), c in zip(PATHS.items(), "BCDEFGHI", strict=True):
        if name in book.defined_names:
            at = str(book.defined_names[name].attr_text).replace("$", "")
            put(sheet, f"{c}{row}", f'=HYPERLINK("#{at}","{words}")', "mls url")


def _right(sheet: Worksheet, at: str, value: str, style: str, number_format: str | None = None) -> None:
    cell = put(sheet, at, value, style, number_format)
    cell.alignment = Alignment(horizontal="right", vertical="center")


def _band(sheet: Worksheet, first: str, last: str, text: str, indent: int = 0) -> None:
    """The headings over one of the three blocks of the first screen."""
    for column in range(column_index_from_string(first), column_index_from_string(last) + 1):
        dress(sheet.cell(LINES - 1, column), "mls heading")
    cell = sheet[f"{first}{LINES - 1}"]
    cell.value, cell.alignment = text, Alignment(horizontal="left", vertical="center", indent=indent)


def _selectors(sheet: Worksheet, ranking: Ranking, version: str) -> None:
    _band(sheet, "A", "C", "Choose")
    count = ranking.count
    for row, (label, value) in enumerate(
        (("Scenario", SCENARIOS[0]), ("Option shown: best, or its number", BEST), ("Currency", "USD")), start=LINES
    ):
        put(sheet, f"A{row}", label)
        _right(sheet, f"B{row}", value, "mls input")
    list_rule(sheet, SELECTORS[SCENARIO], f'"{",".join(SCENARIOS)}"', " or ".join(SCENARIOS))
    numbers = ",".join(map(str, range(1, count + 1)))
    list_rule(sheet, SELECTORS["in_Option"], f'"{BEST},{numbers}"', f"{BEST}, or a number from 1 to {count}")
    list_rule(sheet, SELECTORS["in_Currency"], "list_currencies", "a key of Reg_Finance")
    at = ranking.at
    # without a lowest option the first is shown, and named over the figures
    shown = f'IF({at("choice")}=0,NA(),IF(in_Option="{BEST}",MAX(1,{at("best")}),in_Option))'
    put(sheet, SHOWN, f"={shown}", "mls unit", WHOLE).alignment = Alignment(horizontal="left", indent=1)
    frozen = 'IF(out_FrozenRows=0,"nothing is frozen",IF(out_Stale=0,"frozen","frozen, "&out_Stale&" stale"))'
    live = f'IF({at("engine")}=1,"live, engine "&{version},"no engine answers")'
    passed = 'COUNTIF(tblChecks[pass],TRUE)&" of "&MAX(ROWS(tblChecks[pass]),Checks!$C$3)&" pass"'
    prices = f"${_LETTER['price']}${TABLE + 2}:${_LETTER['price']}${TABLE + 1 + count}"
    fresh = "tblOptions[price fresh until]"
    old = f'COUNTIF({fresh},"<"&in_ValuationDate)'
    for row, (label, formula, number_format) in enumerate(
        (
            ("Engine figures", f"IF(in_Live=1,{live},{frozen})", None),
            ("Checks", passed, None),
            ("Oldest price in use", f'IF(COUNT({prices})>0,MIN({prices}),"own prices")', DATE),
            ("Prices past their date", f'{old}&" of {count}"', None),
            ("Throughput counted on", "in_Planning", None),
        ),
        start=LINES + 3,
    ):
        put(sheet, f"A{row}", label)
        cell = put(sheet, f"B{row}", f"={formula}", "mls formula", number_format)
        cell.alignment = Alignment(horizontal="left", vertical="center")
    _rule(sheet, f"B{LINES + 3}", f'OR(LEFT($B${LINES + 3},4)="live",$B${LINES + 3}="frozen")')
    _rule(sheet, f"B{LINES + 4}", f"{at('sound')}=1")
    _rule(sheet, f"B{LINES + 6}", f'LEFT($B${LINES + 6},2)="0 "')


def _rule(sheet: Worksheet, at: str, good: str) -> None:
    for test, fill, color in ((good, PALE_GREEN, GREEN), (f"NOT({good})", PALE_RED, RED)):
        sheet.conditional_formatting.add(at, Rule(type="expression", formula=[test], dxf=difference(fill, color)))


def _shown(name: str, count: int) -> str:
    return f"INDEX({option_cells(name, count).removeprefix('Decision!')},out_Option)"


def _six_figures(sheet: Worksheet, count: int, ranges: Mapping[str, tuple[str, str]]) -> None:
    _band(sheet, "D", "H", '="Shown: option "&out_Option')
    for c, text in zip("FGH", ("Figure", "Low", "High"), strict=True):
        _right(sheet, f"{c}{LINES - 1}", text, "mls heading")
    for row, (name, label, unit, number_format) in enumerate(FIGURES, start=LINES):
        written = f'="{label}, "&in_Currency' if unit == CURRENCY else f"{label}, {unit}"
        put(sheet, f"D{row}", written, "mls total" if name == "npv" else "mls label")
        style = "mls total" if name == "npv" else "mls formula"
        _right(sheet, f"F{row}", f"={_shown(name, count)}", style, number_format)
        for c, at in zip("GH", ranges[name], strict=True):
            _right(sheet, f"{c}{row}", f"={at}", "mls link", number_format)
    put(sheet, f"D{LINES + 6}", f"={_shown('option', count)}", "mls unit")
    ranges_of = '"Ranges: spreads of all inputs combined; see Sensitivity"'
    stale = f'IF(AND(in_Live=0,out_Stale>0),"Changed since the freeze: "&out_StaleNames,{ranges_of})'
    put(sheet, f"D{LINES + 7}", f"={stale}", "mls unit")


def _standing(sheet: Worksheet, ranking: Ranking, flip: str) -> None:
    """The runner-up and the gap; what the throughput of the shown option rests on."""
    _band(sheet, "I", LAST, "The lowest against the others", indent=1)
    at = ranking.at
    rate, sure, standing, band = (at(n) for n in ("rate", "sure", "standing", "band"))
    share = f"ROUND(100*{at('gap')}/INDEX({ranking.column('cost')},{at('best')}),0)"
    more = f'IF({at("close")}=1,", too close to call",", "&{share}&" % more")'
    gap = f'IF({at("second")}=0,"none",{at("gap_words")}&{more})'
    dearer = f'IF({at("bought")}={at("best")},"it is bought",{at("saving_words")}&" less")'
    bought = f'IF({at("bought")}=0,"none is bought",{dearer})'
    rows = (
        ("Lowest", at("best_name")),
        ("Runner-up", at("second_name")),
        ("Gap", gap),
        ("Flips", f'IF({flip}="","not found on Compare",{flip})'),
        ("Against buying", bought),
        ("Throughput", f'IF({rate}>0,{figure_words(rate)}&IF(in_ServingOn=1," tokens/s for each accelerator",'
         '" accelerator-hours a run"),"none of its own")'),
        ("Nine in ten", f'IF(ISNUMBER({sure}),IF(in_ServingOn=1,"at least ","at most ")&{figure_words(sure)},{sure})'),
        ("Judged by", f'IF(LEFT({standing},2)="no",{standing},{standing}&": "&INDEX(tblBands[rows],MATCH({band},'
         f'tblBands[key],0))&" measured rows, sources: "&INDEX(tblBands[sources],MATCH({band},tblBands[key],0)))'),
    )  # fmt: skip
    for row, (label, formula) in enumerate(rows, start=LINES):
        put(sheet, f"I{row}", label).alignment = Alignment(horizontal="left", indent=1, vertical="center")
        put(sheet, f"J{row}", f"={formula}", "mls formula")
    area, said = f"J{LINES + 7}", f"LEFT($J${LINES + 7},9)"
    doubtful = Rule(type="expression", formula=[f'OR({said}="extrapola",{said}="not valid")'], dxf=tint(PALE_ORANGE))
    sheet.conditional_formatting.add(area, doubtful)


def _options(sheet: Worksheet, ranking: Ranking) -> None:
    count = ranking.count
    block_title(
        sheet, TABLE, '="Options, all in "&in_Currency&"; a place needs the status ok and the whole load served"', 12
    )
    heading(sheet, TABLE + 1, [text for _, _, text, _ in _TABLE], height=44)
    columns = option_columns(count)
    for i in range(count):
        r, number = TABLE + 2 + i, str(i + 1)
        word = option_field("status", number)
        memory = f"Engine!${columns[i]}${ROW['memory_share']}"
        fits = f'IF(IF(ISNUMBER({memory}),{memory}>1,FALSE),"does not fit: raise TP","{OK}")'
        held = f'IF(ISNUMBER($C{r}),{fits},"refused: see Engine_Live")'
        dated, named = option_field("price_date", number), option_field("option", number)
        least = f"MIN({ranking.column('cost')})"
        formulas = {
            "option": f'IF(ISTEXT({named}),{named},"option {number}")',
            "status": f'IF(NOT(ISTEXT({word})),"Options: a cell is in error",IF({word}<>"{OK}",{word},{held}))',
            "more": f'IF(ISNUMBER({ranking.place(i)}),$C{r}/{least}-1,"none")',
            "share": f'IFERROR(ROUND({result("served_share", i)},9),"none")',
            "price": f'IF(ISNUMBER({dated}),{dated},IF(ISTEXT({dated}),{dated},"none"))',
            "place": ranking.place(i),
        }
        for name, c, _, number_format in _TABLE:
            formula = formulas.get(name) or f'IFERROR({result(name, i)},"none")'  # the status says why
            style = "mls link" if "!" in formula or "tbl" in formula else "mls formula"
            cell = put(sheet, f"{c}{r}", f"={formula}", style, number_format)
            side = "left" if name in ("option", "status") else "center" if name == "place" else "right"
            cell.alignment = Alignment(horizontal=side, vertical="center", wrap_text=name in ("option", "status"))
        sheet.row_dimensions[r].height = 27
    first, last = TABLE + 2, TABLE + 1 + count
    best = Rule(type="expression", formula=[f"$L{first}=1"], dxf=difference(PALE_GREEN, GREEN))
    sheet.conditional_formatting.add(f"C{first}:C{last}", best)
    wrong = Rule(type="expression", formula=[f'$B{first}<>"{OK}"'], dxf=difference(PALE_RED, RED))
    sheet.conditional_formatting.add(f"B{first}:B{last}", wrong)


def _index(sheet: Worksheet, top: int, sheets: Sequence[tuple[str, str]]) -> None:
    """Every sheet with a line on what it holds, in two columns."""
    block_title(sheet, top, "Sheets of this workbook", 12)
    half = -(-len(sheets) // 2)
    for i, (name, text) in enumerate(sheets):
        row, (link, words) = top + 1 + i % half, ("A", "B") if i < half else ("G", "H")
        put(sheet, f"{link}{row}", f'=HYPERLINK("#{name}!A1","{name}")', "mls url")
        put(sheet, f"{words}{row}", text, "mls unit")


def _key(sheet: Worksheet, top: int, version: str) -> None:
    """Kinds of cell; which version built the file and which answered."""
    put(sheet, f"A{top}", "Kinds of cell", "mls unit")
    for style, column in zip(("input", "formula", "link", "engine", "estimate"), "BCDEF", strict=True):
        put(sheet, f"{column}{top}", "other sheet" if style == "link" else style, f"mls {style}")
    engine = f'IF(ISTEXT({version}),{version},"none")'
    put(
        sheet,
        f"A{top + 1}",
        f'="Built by mlsysim for Excel {__version__}; engine that answered: "&{engine}',
        "mls unit",
    )
    notes = (
        "Levelised: present value of cost before tax over present value of output. Ranges of throughput: about 8 in 10 "
        "published measurements lie inside. Extrapolated: none on this generation of chip, so the range is widened."
    )
    put(sheet, f"A{top + 2}", notes, "mls unit")
