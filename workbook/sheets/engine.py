"""Engine_Live (the only sheet with =MLS_ cells) and Engine: used, live and frozen figures of every option.

Both have one column per option and one row per figure; every option's column is the same formula.  A refusal stays
text on Engine_Live and becomes #N/A on Engine, so that no total can skip a failed line.  What an option has no use for
(a device where tokens are bought, a training run where nothing is trained) is said in words that start with "no".
Frozen figures are looked up on Engine_Frozen: the row of the same device, server, format, TP and scenario with the
smallest load that is not below the one asked for.  An option that has none says so in words that start with "no", and
its money is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from ..style import CENTS, FINE, WHOLE, block_title, fit_height, heading, page, protect, put
from .engine_figures import (
    ASKED,
    CHECKED,
    END,
    FIGURES,
    KEPT,
    KEPT_AS_TEXT,
    NO_DEVICE,
    NOT_BOUGHT,
    NOT_FROZEN,
    NOT_IN_GRID,
    NOT_SERVED,
    NOT_TRAINED,
    RANGE_TOP,
    ROW,
    SPECS,
    TOO_LARGE,
    TOP,
    VALID,
    WHEN,
    Figure,
    unit,
)
from .options import option_field
from .physics import Twin

__all__ = [
    "ASKED",
    "CHECKED",
    "DERIVED",
    "FIGURES",
    "FIRST_OPTION",
    "FROZEN_TOP",
    "KEPT",
    "KEPT_AS_TEXT",
    "KEY_FIELDS",
    "LABEL_ROW",
    "LIVE_TOP",
    "NOT_BOUGHT",
    "NOT_FROZEN",
    "NOT_IN_GRID",
    "NOT_SERVED",
    "NOT_TRAINED",
    "NO_DEVICE",
    "NUMBER_ROW",
    "PLACE",
    "ROW",
    "STATE",
    "TOO_LARGE",
    "VALID",
    "Figure",
    "add_engine",
    "add_engine_live",
    "option_columns",
    "twin_row",
    "unit",
    "version_row",
]

FIRST_OPTION = 4  # column D
NUMBER_ROW, LABEL_ROW = 4, 5

# live, frozen or stale, in words
STATE = (
    'IF(in_Live=1,"Live figures",IF(out_FrozenRows=0,"Frozen figures are asked for, but none are stored",'
    'IF(out_Stale=0,"Frozen figures; no input of theirs has changed",'
    '"Frozen figures are STALE, changed since: "&out_StaleNames)))'
)


def option_columns(count: int) -> list[str]:
    """Column letters of the options on both engine sheets."""
    return [get_column_letter(FIRST_OPTION + i) for i in range(count)]


def _call(figure: Figure, column: str) -> str:
    number = f"{column}${NUMBER_ROW}"
    fill = {n: option_field(n, number) for n in SPECS}
    if figure.name == "peak":
        compute = f"INDEX(tblPrecisions[compute],MATCH({fill['precision']},tblPrecisions[key],0))"
        call = f'MLS_GET("hardware",{fill["device_spec"]},{compute})'
    else:
        metric = [f'"{figure.metric}"'] if figure.metric else []
        arguments = [a.format(**fill) for a in (*figure.before, *metric, *figure.after)]
        call = f"MLS_{figure.function.upper()}({','.join(arguments)})"
    spec = fill["fleet_spec"] if figure.function == "tco" else fill["device_spec"]
    words = NOT_BOUGHT if figure.function == "tco" else NO_DEVICE
    guarded = f'IF({spec}="none","{words}",{call})'
    if figure.when in ("", "bought"):
        return f"={guarded}"
    test, otherwise = WHEN[figure.when]
    return f'=IF({test},{guarded},"{otherwise}")'


def add_engine_live(book: Workbook, count: int, twins: Sequence[Twin]) -> None:
    """Engine_Live: raw answers of the functions."""
    sheet = book.create_sheet("Engine_Live")
    purpose = "Live answers of the =MLS_ functions, purple. A text that starts with #MLS! is a refusal and its reason."
    _frame(sheet, "Engine, live", purpose, count)
    _titles(sheet, count)
    for figure in ASKED:
        row = ROW[figure.name]
        _labels(sheet, row, figure)
        for column in option_columns(count):
            cell = put(sheet, f"{column}{row}", _call(figure, column), "mls engine", figure.number_format)
            cell.alignment = Alignment(horizontal="right", vertical="center")
    row = END + 2
    block_title(sheet, row, "Answers compared with the native formulas of the sheet Physics", FIRST_OPTION + count - 1)
    for twin in twins:
        row += 1
        put(sheet, f"A{row}", twin.title, "mls wrapped")
        fit_height(sheet, row)
        put(sheet, f"B{row}", twin.unit, "mls unit")
        put(sheet, f"C{row}", f"MLS_{twin.name.upper()}", "mls unit")
        put(sheet, f"D{row}", twin.live, "mls engine", twin.number_format)
    row += 2
    put(sheet, f"A{row}", "Version of the engine that answered")
    put(sheet, f"D{row}", "=MLS_VERSION()", "mls engine").alignment = Alignment(horizontal="right")
    sheet.print_area = f"A1:{get_column_letter(FIRST_OPTION + count - 1)}{row}"
    sheet.sheet_properties.tabColor = "6B21A8"
    protect(sheet)


def twin_row(index: int) -> int:
    """Row of the `index`-th native twin on Engine_Live."""
    return END + 3 + index


def version_row(twins: int) -> int:
    """Row of the engine's version on Engine_Live."""
    return twin_row(twins) + 1


def add_engine(book: Workbook, count: int) -> None:
    """Engine: used, live and frozen figures, numbers or #N/A, and the throughput that follows from the used ones."""
    sheet = book.create_sheet("Engine")
    purpose = "What the money reads: live or frozen figures, as Inputs says. #N/A where the engine refused."
    _frame(sheet, "Engine", purpose, count)
    _titles(sheet, count)
    put(sheet, "A3", f"={STATE}", "mls verdict")
    last = FIRST_OPTION + count - 1
    block_title(sheet, LIVE_TOP, "Live: Engine_Live, with refusals as #N/A", last)
    block_title(
        sheet, FROZEN_TOP, "Frozen: the row of Engine_Frozen with the smallest load not below the one asked", last
    )
    for name, (label, face, formula, number_format) in _PLACE.items():
        row = PLACE[name]
        put(sheet, f"A{row}", label)
        put(sheet, f"B{row}", face, "mls unit")
        put(sheet, f"C{row}", "native", "mls unit")
        for column in option_columns(count):
            number = f"{column}${NUMBER_ROW}"
            cells = {n: f"{column}{r}" for n, r in PLACE.items()}
            cells |= {n: option_field(n, number) for n in KEY_FIELDS}
            cells["device_spec"] = option_field("device_spec", number)
            put(sheet, f"{column}{row}", "=" + formula.format(**cells), "mls formula", number_format)
    for i, figure in enumerate(ASKED):
        rows = {"used": ROW[figure.name], "live": LIVE_TOP + 1 + i, "frozen": max(PLACE.values()) + 1 + i}
        for kind, row in rows.items():
            _labels(sheet, row, figure)
            for column in option_columns(count):
                style = "mls link" if kind != "used" else "mls formula"
                formula = _figure_of(kind, figure, column, rows)
                cell = put(sheet, f"{column}{row}", f"={formula}", style, figure.number_format)
                cell.alignment = Alignment(horizontal="right", vertical="center")
    block_title(sheet, DERIVED["title"], "Throughput, from these figures", last)
    for name, (label, face, formula, number_format) in _DERIVED.items():
        row = DERIVED[name]
        put(sheet, f"A{row}", label)
        put(sheet, f"B{row}", face, "mls unit")
        put(sheet, f"C{row}", "native", "mls unit")
        for column in option_columns(count):
            number = f"{column}${NUMBER_ROW}"
            cells = {n: f"{column}{r}" for n, r in (PLACE | ROW | DERIVED).items()}
            cells |= {n: option_field(n, number) for n in ("devices", "tp", "devices_per_server")}
            cells["no"] = f'LEFT({cells["rate"]},2)="no"'
            cell = put(sheet, f"{column}{row}", "=" + formula.format(**cells), "mls formula", number_format)
            cell.alignment = Alignment(horizontal="right", vertical="center")
    sheet.print_area = f"A1:{get_column_letter(last)}{max(DERIVED.values())}"
    sheet.sheet_properties.tabColor = "9CA3AF"
    protect(sheet)


def _figure_of(kind: str, figure: Figure, column: str, rows: dict[str, int]) -> str:
    """One cell of Engine."""
    if kind == "used":
        return f"IF(in_Live=1,{column}{rows['live']},{column}{rows['frozen']})"
    if kind == "live":
        live = f"Engine_Live!{column}{rows['used']}"
        return f'IF(ISNUMBER({live}),{live},IF(LEFT({live},1)="=","{KEPT_AS_TEXT}",IF(LEFT({live},1)="#",NA(),{live})))'
    if figure.name in CHECKED:
        return '"not frozen"'
    place = words = f"{column}{PLACE['row']}"
    if figure.when in WHEN:  # as live: what is not asked for comes before what cannot be answered
        test, otherwise = WHEN[figure.when]
        words = f'IF({test},{place},"{otherwise}")'
    return f"IF(ISNUMBER({place}),INDEX(tblFrozen[{figure.name}],{place}),{words})"


# name: label, unit, formula over the rows of one column, number format
_DERIVED: dict[str, tuple[str, str, str, str]] = {
    "per_device": (
        "Generated tokens per second and device that the plan counts on",
        "tokens/s",
        'IF({no},0,IF(in_Planning="typical",{rate},IF(in_Planning="nine in ten",IF(ISNUMBER({rate_p10}),{rate_p10},'
        "NA()),NA())))",
        CENTS,
    ),
    "run_plan": (
        "Accelerator-hours of one training run that the plan counts on",
        "h",
        'IF(LEFT({run_h},2)="no",0,IF(in_Planning="typical",{run_h},IF(ISNUMBER({run_wall_p90}),{run_h}*{run_wall_p90}/'
        "{run_wall},NA())))",
        WHOLE,
    ),
    "known": (
        "There are figures of this option",
        "flag",
        'IF(ISTEXT({busy_kw}),IF({busy_kw}="' + NO_DEVICE + '",1,0),1)',
        "0",
    ),
    "left_over": ("Devices left over by TP", "", "IF({no},0,MOD({devices},{tp}))", WHOLE),
    "round": (
        "Time of one request at full load, prompt to last token",
        "s",
        "IF({no},{rate},IF(in_Live=1,in_Batch,{load})*in_OutputTokens/{rate})",
        CENTS,
    ),
    "tokens_s": ("Generated tokens per second, whole fleet, busy", "tokens/s", "{devices}*{per_device}", WHOLE),
    "requests_s": ("Requests per second, whole fleet, busy", "1/s", "{tokens_s}/in_OutputTokens", CENTS),
    "per_watt": (
        "Generated tokens per second and watt of IT power, busy",
        "tokens/s/W",
        "IF({no},{rate},{per_device}*{devices_per_server}/({busy_kw}*1000))",
        FINE,
    ),
    "attained_1": (
        "Attainable rate of decoding, batch 1",
        "TFLOP/s",
        "IF({no},{rate},MIN({peak},{bandwidth}*{intensity_1}/1000))",
        CENTS,
    ),
    "attained_b": (
        "Attainable rate of decoding, chosen batch",
        "TFLOP/s",
        "IF({no},{rate},MIN({peak},{bandwidth}*{intensity_b}/1000))",
        CENTS,
    ),
}
KEY_FIELDS = ("device", "server", "devices_per_server", "precision", "tp")  # columns of Options that a frozen key joins
# where an option stands in the frozen grid
_PLACE: dict[str, tuple[str, str, str, str]] = {
    "key": (
        "What is looked up: device, server, devices in it, format, TP and scenario",
        "key",
        '&"|"&'.join(f"{{{n}}}" for n in KEY_FIELDS) + '&"|"&in_Scenario',
        "@",
    ),
    "found": ("Rows of it on Engine_Frozen", "count", "COUNTIF(tblFrozen[key],{key})", WHOLE),
    "below": (
        "of them with a smaller load than asked for",
        "count",
        'COUNTIFS(tblFrozen[key],{key},tblFrozen[load],"<"&in_Batch)',
        WHOLE,
    ),
    "row": (
        "Row that is used",
        "no",
        f'IF({{device_spec}}="none","{NO_DEVICE}",IF(COUNT(tblFrozen[load])=0,"{NOT_FROZEN}",IF({{found}}=0,"{NOT_IN_GRID}",'
        f'IF({{below}}<{{found}},MATCH({{key}},tblFrozen[key],0)+{{below}},"{TOO_LARGE}"))))',
        WHOLE,
    ),
    "load": (
        "Load of that row, requests for each accelerator",
        "requests",
        "IF(ISNUMBER({row}),INDEX(tblFrozen[load],{row}),{row})",
        WHOLE,
    ),
}
DERIVED: dict[str, int] = {"title": END + 2} | {n: END + 3 + i for i, n in enumerate(_DERIVED)}
LIVE_TOP = max(DERIVED.values()) + 20  # below the points of the roofline
FROZEN_TOP = LIVE_TOP + len(ASKED) + 2
PLACE: dict[str, int] = {n: FROZEN_TOP + 1 + i for i, n in enumerate(_PLACE)}


def _titles(sheet: Worksheet, count: int) -> None:
    block_title(sheet, TOP, "Figures", FIRST_OPTION + count - 1)
    text = "Ranges: about 8 in 10 published measurements lie inside; a number, or the words not validated"
    block_title(sheet, RANGE_TOP, text, FIRST_OPTION + count - 1)


def _labels(sheet: Worksheet, row: int, figure: Figure) -> None:
    put(sheet, f"A{row}", figure.label)
    put(sheet, f"B{row}", unit(figure), "mls unit")
    put(sheet, f"C{row}", f"MLS_{figure.function.upper()}", "mls unit")


def _frame(sheet: Worksheet, title: str, purpose: str, count: int) -> None:
    columns = option_columns(count)
    page(sheet, title, purpose, {"A": 60, "B": 12, "C": 20, **dict.fromkeys(columns, 18)}, freeze="D6")
    put(sheet, f"A{NUMBER_ROW}", "Option number", "mls unit")
    for i, column in enumerate(columns, start=1):
        put(sheet, f"{column}{NUMBER_ROW}", i, "mls unit")
    heading(sheet, LABEL_ROW, ["Figure", "Unit", "Function"], height=44)
    for column in columns:
        put(sheet, f"{column}{LABEL_ROW}", f"={option_field('option', f'{column}${NUMBER_ROW}')}", "mls heading")
    sheet.print_title_rows = f"{LABEL_ROW}:{LABEL_ROW}"
