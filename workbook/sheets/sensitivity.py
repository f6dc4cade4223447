"""Sensitivity: what each input and cost line with a spread does to the six figures of the option shown on Decision.

Every effect is a case worked out natively on the sheet Cases, never an approximation.  One input moves at a time; the
ranges of the figures are roots of sums of squares, because worst cases do not come together.
"""

from __future__ import annotations

from dataclasses import dataclass

from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from ..style import CENTS, FINE, MONEY, WHOLE, block_title, fit_height, heading, page, protect, put
from .engine import ROW, option_columns
from .inputs import HIGH, LOW
from .lines import TOP as LINES_TOP
from .money import result
from .monthly import Layout
from .options import option_field
from .sensitivity_cases import add_model
from .sensitivity_kinds import BANDS_SHOWN, NO_EFFECT, kind_of_input, kind_of_line
from .sensitivity_model import ENGINE, EXACT, Case, Model
from .sensitivity_rows import FIGURES

SHOWN = "out_Option"  # the cell with the number of the option shown
SHEET = "Sensitivity"
TOP_FIGURES = 7
TOP_FIRST = TOP_FIGURES + len(FIGURES) + 2
TOP_BARS = TOP_FIRST + 6
BARS = 20  # rows of the sorted list
TOP_ALL = TOP_BARS + BARS + 4
ENDS = ("low", "high")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVW"
EFFECTS = "GHIJKLMNOPQR"  # low and high of each figure in turn
SIZE, PLACE, ASKED = "S", "T", "U"


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: an input, a cost line or the engine."""

    label: str
    unit: str
    kind: str
    low: str
    used: str
    high: str
    cases: tuple[int, int] | None = None  # places among the cases; a line has none
    line: int = 0  # row of the line on Cases
    number_format: str = FINE


def bar(k: int) -> dict[str, str]:
    """Addresses of the label, low and high effect on net present cost of the k-th largest bar, k from 1."""
    r = TOP_BARS + 1 + k
    return {name: f"{SHEET}!${c}${r}" for name, c in (("label", "B"), ("low", "E"), ("high", "F"))}


def range_of(figure: str) -> tuple[str, str]:
    """Addresses of the low and the high end of the range of a figure of the shown option.

    Figures: npv, per_mtoken, upfront, per_delivered, peak_kw, co2.
    """
    r = TOP_FIGURES + 1 + [f.name for f in FIGURES].index(figure)
    return f"{SHEET}!$D${r}", f"{SHEET}!$E${r}"


def negotiate_cell() -> str:
    """Address of the sentence that says which price or term to negotiate first."""
    return f"{SHEET}!$A${TOP_FIRST + 1}"


def tie_cell() -> str:
    """Address of the difference between the case model and Money, as a share: 0 when all is well."""
    return f"{SHEET}!$C${TOP_FIGURES - 2}"


def add_sensitivity(book: Workbook, layout: Layout) -> Model:
    """The Sensitivity sheet, and its case model on Cases."""
    sheet = book.create_sheet(SHEET)
    widths = {
        "A": 62,
        "B": 78,
        "C": 15,
        "D": 14,
        "E": 15,
        "F": 15,
        **dict.fromkeys(EFFECTS, 13),
        "S": 13,
        "T": 7,
        "U": 13,
    }
    purpose = (
        "What one input at a time does to the option shown. Low and high are those of Inputs and Lines; "
        "nothing here is typed in."
    )
    page(sheet, SHEET, purpose, widths, freeze="A4")
    bars, cases, left_out = _bars(book)
    model = add_model(book, layout, "The option shown on Decision, one input at a time", SHOWN, cases)
    bars = [*bars, *_line_bars(book, layout, model)]
    _figures(sheet, layout, model, len(bars))
    _first(sheet, len(bars))
    _sorted(sheet, len(bars))
    last = _all(sheet, model, bars)
    last = _left_out(sheet, last + 2, left_out)
    last = _engine(sheet, layout, last + 2)
    sheet.print_area = f"A1:R{last}"
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A3
    sheet.sheet_properties.tabColor = "1F3A5F"
    protect(sheet)
    return model


def _bars(book: Workbook) -> tuple[list[Bar], list[Case], list[tuple[str, str]]]:
    """Inputs with a spread, the engine last; the cases that they need; what is left out and why."""
    inputs = book["Inputs"]
    bars: list[Bar] = []
    cases = [Case("The plan")]
    left: list[tuple[str, str]] = []
    for name, defined in book.defined_names.items():
        row = str(defined.attr_text).rpartition("$")[2]
        if not str(defined.attr_text).startswith("Inputs!") or inputs[f"{LOW}{row}"].style != "mls input":
            continue
        label = str(inputs[f"A{row}"].value)
        if name not in EXACT:
            left.append((label, NO_EFFECT.get(name, "no native formula of the case model reads it")))
            continue
        ends = [f'IF(Inputs!${c}${row}<>"",Inputs!${c}${row},{name})' for c in (LOW, HIGH)]
        cases += [Case(f"{label}: {end}", name, value) for end, value in zip(ENDS, ends, strict=True)]
        unit, places = str(inputs[f"C{row}"].value), (len(cases) - 2, len(cases) - 1)
        fmt = inputs[f"B{row}"].number_format
        bars.append(Bar(label, unit, kind_of_input(name), ends[0], name, ends[1], places, number_format=fmt))
    cases += [Case("Engine's error: slow", ENGINE, "-1"), Case("Engine's error: fast", ENGINE, "1")]
    places = (len(cases) - 2, len(cases) - 1)
    bars.append(Bar("Engine: tokens/s and hours of a run, nine in ten", "factor", "engine", "", "1", "", places))
    return bars, cases, left


def _line_bars(book: Workbook, layout: Layout, model: Model) -> list[Bar]:
    """Cost lines with a spread."""
    sheet = book["Lines"]
    bars = []
    for name, number in sorted(layout.lines.items(), key=lambda item: item[1]):
        r = LINES_TOP + number
        if sheet[f"J{r}"].style != "mls input":
            continue
        item, unit, group = (str(sheet[f"{c}{r}"].value) for c in "AIB")
        ends = [f"Lines!${c}${r}" for c in "JL"]
        fmt = sheet[f"H{r}"].number_format
        bars.append(
            Bar(
                item,
                unit,
                kind_of_line(item, unit, group),
                ends[0],
                f"Lines!$H${r}",
                ends[1],
                line=model.rows[name],
                number_format=fmt,
            )
        )
    return bars


def _figures(sheet: Worksheet, layout: Layout, model: Model, count: int) -> None:
    """The six figures with their ranges, and how the model ties with Money."""
    put(sheet, "A4", "Option shown")
    put(sheet, "C4", f"={option_field('option', SHOWN)}", "mls verdict")
    money = f"CHOOSE({SHOWN},{','.join(result('npv', o) for o in range(layout.count))})"
    put(sheet, f"A{TOP_FIGURES - 2}", "Difference of the case model from Money (0: exact)")
    at = model.cell("npv")
    put(sheet, f"B{TOP_FIGURES - 2}", "share", "mls unit")
    put(sheet, f"C{TOP_FIGURES - 2}", f"=IF({money}=0,{at},ROUND({at}/{money}-1,9))", "mls formula", "0.000000")
    heading(sheet, TOP_FIGURES, ["Figure of the option shown", "Unit", "Figure", "Low", "High"])
    first, last = TOP_ALL + 2, TOP_ALL + 1 + count
    for i, row in enumerate(FIGURES):
        r = TOP_FIGURES + 1 + i
        put(sheet, f"A{r}", row.label)
        put(sheet, f"B{r}", "=in_Currency" if row.unit == "currency" else row.unit, "mls unit")
        put(sheet, f"C{r}", f"={model.cell(row.name)}", "mls total", row.number_format)
        low, high = (f"${EFFECTS[2 * i + n]}${first}:${EFFECTS[2 * i + n]}${last}" for n in (0, 1))
        down = f"SUMPRODUCT(({low}<{high})*{low}^2*({low}<0)+({low}>={high})*{high}^2*({high}<0))"
        up = f"SUMPRODUCT(({low}>{high})*{low}^2*({low}>0)+({low}<={high})*{high}^2*({high}>0))"
        for column, sign, total in (("D", "-", down), ("E", "+", up)):
            put(
                sheet,
                f"{column}{r}",
                f"=IF(ISNUMBER($C{r}),$C{r}{sign}SQRT({total}),$C{r})",
                "mls formula",
                row.number_format,
            )
    note = "Range: root of the sum of the squares of all bars, each side by itself."
    put(sheet, f"A{TOP_FIGURES + len(FIGURES) + 1}", note, "mls source")


def _first(sheet: Worksheet, count: int) -> None:
    """The price or contract term that is worth most."""
    first, last = TOP_ALL + 2, TOP_ALL + 1 + count
    block_title(sheet, TOP_FIRST, "Negotiate first: the widest bar among prices and contract terms", 6)
    asked = f"${ASKED}${first}:${ASKED}${last}"
    r = TOP_FIRST + 2
    put(sheet, f"A{r}", "Row of it in the list below")
    put(sheet, f"C{r}", f"=IF(MAX({asked})>0,MATCH(MAX({asked}),{asked},0),0)", "mls formula", WHOLE)
    found = {c: f"INDEX(${c}${first}:${c}${last},$C{r})" for c in "ADEFGH"}
    put(sheet, f"A{r + 1}", "Saving in net present cost for each 1 % of it")
    put(sheet, f"B{r + 1}", "=in_Currency", "mls unit")
    by_low = (
        f"IF({found['D']}<>{found['E']},{found['G']}/({found['D']}-{found['E']}),"
        f"{found['H']}/({found['F']}-{found['E']}))"
    )
    put(sheet, f"C{r + 1}", f'=IF($C{r}>0,ABS({by_low}*{found["E"]}/100),"none")', "mls total", MONEY)
    text = f'IF($C{r}>0,"Negotiate first: "&{found["A"]},"No price or term with a spread moves this option")'
    put(sheet, f"A{TOP_FIRST + 1}", f"={text}", "mls total")


def _sorted(sheet: Worksheet, count: int) -> None:
    """The bars by size."""
    first, last = TOP_ALL + 2, TOP_ALL + 1 + count
    block_title(sheet, TOP_BARS, "Tornado: effect on net present cost after tax, largest first", 7)
    heading(sheet, TOP_BARS + 1, ["Place", "Input or line", "Kind", "Row", "At its low", "At its high", "Width"])
    for k in range(1, min(BARS, count) + 1):
        r = TOP_BARS + 1 + k
        put(sheet, f"A{r}", k, "mls unit")
        put(sheet, f"D{r}", f"=MATCH($A{r},${PLACE}${first}:${PLACE}${last},0)", "mls formula", WHOLE)
        for column, source, style, fmt in (
            ("B", "A", "mls formula", None), ("C", "C", "mls unit", None), ("E", "G", "mls formula", MONEY),
            ("F", "H", "mls formula", MONEY), ("G", SIZE, "mls formula", MONEY),
        ):  # fmt: skip
            put(sheet, f"{column}{r}", f"=INDEX(${source}${first}:${source}${last},$D{r})", style, fmt)


def _all(sheet: Worksheet, model: Model, bars: list[Bar]) -> int:
    """Every row with its ends and its effects on the six figures."""
    block_title(
        sheet, TOP_ALL, "All inputs and lines with a spread: change of each figure at the low and at the high end", 21
    )
    names = [f"{f.label}, {end}" for f in FIGURES for end in ENDS]
    heading(sheet, TOP_ALL + 1, ["Input or line", "Given in", "Kind", "Low", "Used", "High", *names, "Width", "Place",
                                 "Price or term"], height=62)  # fmt: skip
    first, last = TOP_ALL + 2, TOP_ALL + 1 + len(bars)
    for r, item in enumerate(bars, start=first):
        put(sheet, f"A{r}", item.label, "mls wrapped")
        put(sheet, f"B{r}", f"in {item.unit}" if item.unit else "", "mls unit")
        put(sheet, f"C{r}", item.kind, "mls unit")
        low, high = item.low, item.high
        if (
            not low and item.cases is not None
        ):  # the engine: its rate at either end over the rate that the plan counts on
            low, high = (_rate_ratio(model, case) for case in item.cases)
        for column, formula in zip("DEF", (low, item.used, high), strict=True):
            put(sheet, f"{column}{r}", f"={formula}", "mls link", item.number_format)
        for i, row in enumerate(FIGURES):
            for n, end in enumerate("DF"):
                at = f"{EFFECTS[2 * i + n]}{r}"
                put(
                    sheet,
                    at,
                    f"={_effect(model, item, row.name, n, f'({end}{r}-E{r})')}",
                    "mls formula",
                    row.number_format,
                )
        put(sheet, f"{SIZE}{r}", f"=MAX(G{r},H{r},0)-MIN(G{r},H{r},0)", "mls formula", MONEY)
        sizes, above = f"${SIZE}${first}:${SIZE}${last}", f"${SIZE}${first}:${SIZE}{r}"
        rank = f"SUMPRODUCT(({sizes}>{SIZE}{r})*1)+SUMPRODUCT(({above}={SIZE}{r})*1)"
        put(sheet, f"{PLACE}{r}", f"={rank}", "mls formula", WHOLE)
        put(sheet, f"{ASKED}{r}", f'=IF(OR(C{r}="price",C{r}="contract"),{SIZE}{r},0)', "mls formula", MONEY)
        fit_height(sheet, r)
    return last


def _rate_ratio(model: Model, case: int) -> str:
    base, other = (model.cell("per_device", c) for c in (0, case))
    base_run, other_run = (model.cell("run_plan", c) for c in (0, case))
    return f"IF({base}>0,{other}/{base},IF({base_run}>0,{base_run}/{other_run},1))"


def _effect(model: Model, item: Bar, figure: str, end: int, change: str) -> str:
    """Change of a figure at one end of a bar; 0 where the option has no such figure."""
    base = model.cell(figure)
    if item.cases is not None:
        other = model.cell(figure, item.cases[end])
        return f"IF(AND(ISNUMBER({other}),ISNUMBER({base})),{other}-{base},0)"
    after, first = (f"{model.sheet.title}!${c}${item.line}" for c in "JK")
    formulas = {
        "npv": f"{change}*{after}*in_FX",
        "upfront": f"{change}*{first}*in_FX",
        "per_mtoken": f"IF(ISNUMBER({base}),{change}*{after}*in_FX*{model.cell('share')}/{model.cell('pv_tokens')},0)",
        "per_delivered": f"IF(ISNUMBER({base}),{change}*{after}*in_FX/{model.cell('pv_done')},0)",
    }
    return formulas.get(figure, f"0*{change}")


def _left_out(sheet: Worksheet, top: int, left: list[tuple[str, str]]) -> int:
    block_title(sheet, top, "Not in the tornado", 6)
    for r, (label, reason) in enumerate(left, start=top + 1):
        put(sheet, f"A{r}", label, "mls wrapped")
        put(sheet, f"B{r}", reason, "mls note")
        sheet.merge_cells(f"B{r}:F{r}")
        fit_height(sheet, r)
    return top + len(left)


def _engine(sheet: Worksheet, layout: Layout, top: int) -> int:
    """What stands behind the engine's bar."""
    block_title(sheet, top, "Behind the engine's bar: measurements that judged it", 6)
    letters = option_columns(layout.count)
    rows = (
        ("Range of tokens/s, option shown", "rate_validity"),
        ("Range of the training run, option shown", "run_wall_validity"),
    )
    for r, (label, name) in enumerate(rows, start=top + 1):
        put(sheet, f"A{r}", label)
        put(sheet, f"B{r}", f"=CHOOSE({SHOWN},{','.join(f'Engine!${c}${ROW[name]}' for c in letters)})", "mls link")
    head = top + len(rows) + 1
    heading(sheet, head, ["Regime", "Chips measured (generation/memory)", "Rows", "Sources", "Low", "High"])
    columns = {
        "A": ("title", None),
        "B": ("chips", None),
        "C": ("rows", WHOLE),
        "D": ("sources", WHOLE),
        "E": ("low", CENTS),
        "F": ("high", CENTS),
    }
    for r, key in enumerate(BANDS_SHOWN, start=head + 1):
        for column, (name, fmt) in columns.items():
            put(sheet, f"{column}{r}", f'=INDEX(tblBands[{name}],MATCH("{key}",tblBands[key],0))', "mls link", fmt)
    return head + len(BANDS_SHOWN)
