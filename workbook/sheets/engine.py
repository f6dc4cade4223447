"""Engine_Live (the only sheet with =MLS_ cells) and Engine (what the money reads, guarded).

Both have one column per option and one row per figure; every option's column is the same formula.  A refusal stays
text on Engine_Live and becomes #N/A on Engine, so that no total can skip a failed line.  The ranges of the judged
figures stand apart: an end of a range is a number, or the words "not validated".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from mlsysim import CATALOGUE
from mlsysim.units import unit_of

from ..style import CENTS, FINE, SHARE, WHOLE, block_title, fit_height, heading, page, protect, put
from .options import option_field
from .physics import Twin

FIRST_OPTION = 4  # column D
NUMBER_ROW, LABEL_ROW, TOP = 4, 5, 7


@dataclass(frozen=True, slots=True)
class Figure:
    """One engine figure per option: a function, a metric, its arguments before and after the metric."""

    name: str
    label: str
    function: str
    metric: str
    before: Sequence[str]
    after: Sequence[str]
    number_format: str
    text: bool = False
    band: bool = False  # an end of a range: a number or words


EFFICIENCY = 'IF(ISNUMBER(in_Efficiency),in_Efficiency,"")'  # blank: calibrated
VALID = "validated"  # what the engine says of a range that measurements of this generation of silicon judge


def _serving(
    name: str, label: str, metric: str, number_format: str, *, text: bool = False, batch: str = "in_Batch*{tp}"
) -> Figure:
    before = ("in_ModelSpec", "{device_spec}", "in_SeqLen")
    after = (batch, "{precision}", EFFICIENCY, "{tp}", "in_ServingOptions")
    return Figure(name, label, "serving", metric, before, after, number_format, text)


def _throughput(name: str, label: str, metric: str, number_format: str) -> Figure:
    before = ("in_ModelSpec", "{device_spec}", "in_SeqLen", "in_OutputTokens")
    after = ("in_Batch*{tp}", "{precision}", "{tp}", "in_ThroughputOptions")
    return Figure(name, label, "throughput", metric, before, after, number_format)


def _range(figure: Figure) -> tuple[Figure, Figure, Figure]:
    """Low end, high end and standing of a figure."""
    ends = (("p10", "low end", False), ("p90", "high end", False), ("validity", "standing", True))
    low, high, standing = (
        replace(figure, name=f"{figure.name}_{end}", label=f"{figure.label}: {word}", metric=f"{figure.metric}_{end}",
                text=text, band=True, number_format="@" if text else figure.number_format)
        for end, word, text in ends
    )  # fmt: skip
    return low, high, standing


def _roofline(name: str, label: str, metric: str, batch: str) -> Figure:
    return Figure(name, label, "roofline", metric, ("in_ModelSpec", "{device_spec}"), (batch, "{precision}"), CENTS)


_TCO_AFTER = ("365", "{site_spec}", "0.4", "{tariff}", "in_LifeYears", "{tco_options}")
FIGURES: tuple[Figure, ...] = (
    _serving("weights", "Weights", "model_weights_size", CENTS),
    _serving("kv", "KV cache at full length", "kv_cache_size", CENTS),
    _serving("memory", "Memory needed by one replica", "total_memory_required", CENTS),
    _serving("memory_share", "Share of usable memory", "memory_utilization", SHARE),
    _serving("ttft", "Time to first token when all prompts arrive together", "ttft", CENTS),
    _serving("ttft_1", "Time to first token of one request alone", "ttft", CENTS, batch="1"),
    _serving("itl", "Time between tokens, decoding alone", "itl", CENTS),
    _throughput("itl_load", "Time between tokens, prompts of other requests included", "itl", CENTS),
    _throughput("rate", "Generated tokens per second and device, busy", "tokens_per_s_per_device", CENTS),
    _throughput("efficiency", "Share of the peak that arithmetic reaches", "efficiency_used", SHARE),
    _serving("bottleneck", "What limits decoding", "bottleneck", "@", text=True),
    _roofline("intensity_1", "Arithmetic intensity of decoding, batch 1", "arithmetic_intensity", "1"),
    _roofline("intensity_b", "Arithmetic intensity of decoding, chosen batch", "arithmetic_intensity", "in_Batch*{tp}"),
    Figure("peak", "Dense peak rate at the chosen precision", "get", "", ('"hardware"', "{device_spec}"), (), WHOLE),
    Figure("bandwidth", "Memory bandwidth", "get", "", ('"hardware"', "{device_spec}", '"bandwidth"'), (), WHOLE),
    Figure(
        "it_kw",
        "IT power of all servers at the chosen utilisation",
        "power",
        "it_kw",
        ("{fleet_spec}",),
        ("in_Utilisation",),
        CENTS,
    ),
    Figure("busy_kw", "IT power of all servers when busy", "power", "it_kw", ("{fleet_spec}",), ("1",), CENTS),
    Figure(
        "purchase",
        "Cross-check: purchase of devices, servers and network",
        "tco",
        "purchase_usd",
        ("{fleet_spec}",),
        _TCO_AFTER,
        WHOLE,
    ),
    Figure(
        "upkeep",
        "Cross-check: first year of maintenance",
        "tco",
        "opex_maintenance_usd",
        ("{fleet_spec}",),
        _TCO_AFTER,
        WHOLE,
    ),
    Figure("staff", "Cross-check: first year of staff", "tco", "opex_staff_usd", ("{fleet_spec}",), _TCO_AFTER, WHOLE),
    Figure(
        "facility",
        "Cross-check: first year of facility",
        "tco",
        "opex_facility_usd",
        ("{fleet_spec}",),
        _TCO_AFTER,
        WHOLE,
    ),
)
JUDGED = ("ttft", "ttft_1", "itl", "itl_load", "rate")  # what a buyer looks at first; Decision shows their ranges
RANGES = tuple(end for f in FIGURES if f.name in JUDGED for end in _range(f))
RANGE_TOP = TOP + len(FIGURES) + 2
_END = RANGE_TOP + len(RANGES)  # last row that both sheets share
ROW: dict[str, int] = {f.name: TOP + 1 + i for i, f in enumerate(FIGURES)}
ROW |= {f.name: RANGE_TOP + 1 + i for i, f in enumerate(RANGES)}


def option_columns(count: int) -> list[str]:
    """Column letters of the options on both engine sheets."""
    return [get_column_letter(FIRST_OPTION + i) for i in range(count)]


def _call(figure: Figure, column: str) -> str:
    number = f"{column}${NUMBER_ROW}"
    fill = {
        n: option_field(n, number)
        for n in ("device_spec", "site_spec", "fleet_spec", "precision", "tp", "tariff", "tco_options")
    }
    if figure.name == "peak":
        compute = f"INDEX(tblPrecisions[compute],MATCH({fill['precision']},tblPrecisions[key],0))"
        return f'=MLS_GET("hardware",{fill["device_spec"]},{compute})'
    metric = [f'"{figure.metric}"'] if figure.metric else []
    arguments = [a.format(**fill) for a in (*figure.before, *metric, *figure.after)]
    return f"=MLS_{figure.function.upper()}({','.join(arguments)})"


def unit(figure: Figure) -> str:
    """The face unit of a figure, from the catalogue."""
    if figure.function == "get":
        return "TFLOP/s" if figure.name == "peak" else "GB/s"
    if figure.text:
        return ""
    if figure.name.startswith("rate"):
        return "tokens/s"
    metrics = CATALOGUE[figure.function].metrics
    found = unit_of(metrics.get(figure.metric, metrics.get(figure.metric.rpartition("_")[0])))
    return found.face if found else ""


def add_engine_live(book: Workbook, count: int, twins: Sequence[Twin]) -> None:
    """Engine_Live: raw answers of the functions."""
    sheet = book.create_sheet("Engine_Live")
    purpose = "Live answers of the =MLS_ functions, purple. A text that starts with #MLS! is a refusal and its reason."
    _frame(sheet, "Engine, live", purpose, count)
    _titles(sheet, count)
    for figure in (*FIGURES, *RANGES):
        row = ROW[figure.name]
        _labels(sheet, row, figure)
        for column in option_columns(count):
            cell = put(sheet, f"{column}{row}", _call(figure, column), "mls engine", figure.number_format)
            cell.alignment = Alignment(horizontal="right", vertical="center")
    row = _END + 2
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
    return _END + 3 + index


def version_row(twins: int) -> int:
    """Row of the engine's version on Engine_Live."""
    return twin_row(twins) + 1


def add_engine(book: Workbook, count: int) -> None:
    """Engine: numbers or #N/A, and the throughput that follows from them."""
    sheet = book.create_sheet("Engine")
    _frame(
        sheet,
        "Engine",
        "What the money reads: numbers, or #N/A where the engine refused. Nothing is typed here.",
        count,
    )
    _titles(sheet, count)
    for figure in (*FIGURES, *RANGES):
        row = ROW[figure.name]
        _labels(sheet, row, figure)
        for column in option_columns(count):
            live = f"Engine_Live!{column}{row}"
            words = f'IF(LEFT({live},1)="#",NA(),{live})'
            number = f"IF(ISNUMBER({live}),{live},{words if figure.band else 'NA()'})"
            guarded = words if figure.text else number
            cell = put(sheet, f"{column}{row}", f"={guarded}", "mls link", figure.number_format)
            cell.alignment = Alignment(horizontal="right", vertical="center")
    block_title(sheet, DERIVED["title"], "Throughput, from these figures", FIRST_OPTION + count - 1)
    for name, (label, face, formula, number_format) in _DERIVED.items():
        row = DERIVED[name]
        put(sheet, f"A{row}", label)
        put(sheet, f"B{row}", face, "mls unit")
        put(sheet, f"C{row}", "native", "mls unit")
        for column in option_columns(count):
            number = f"{column}${NUMBER_ROW}"
            cells = {n: f"{column}{r}" for n, r in (ROW | DERIVED).items()}
            cells |= {"devices": option_field("devices", number), "tp": option_field("tp", number)}
            cells["used"] = f"{cells['replicas']}*{cells['tp']}"
            put(sheet, f"{column}{row}", "=" + formula.format(**cells), "mls formula", number_format)
    sheet.print_area = f"A1:{get_column_letter(FIRST_OPTION + count - 1)}{max(DERIVED.values())}"
    sheet.sheet_properties.tabColor = "9CA3AF"
    protect(sheet)


# name: label, unit, formula over the rows of one column, number format
_DERIVED: dict[str, tuple[str, str, str, str]] = {
    "replicas": ("Replicas of the model in the fleet", "", "INT({devices}/{tp})", WHOLE),
    "left_over": ("Devices left over by TP", "", "MOD({devices},{tp})", WHOLE),
    "round": (
        "Time of one request at full load, prompt to last token",
        "s",
        "in_Batch*in_OutputTokens/{rate}",
        CENTS,
    ),
    "per_device": (
        "Generated tokens per second and device, busy, in the chosen case",
        "tokens/s",
        'IF(in_Case="Base",{rate},IF(in_Case="Favourable",IF(ISNUMBER({rate_p90}),{rate_p90},{rate}),'
        'IF(in_Case="Adverse",IF(ISNUMBER({rate_p10}),{rate_p10},{rate}),NA())))',
        CENTS,
    ),
    "tokens_s": ("Generated tokens per second, whole fleet, busy", "tokens/s", "{used}*{per_device}", WHOLE),
    "tokens_low": ("The same: low end", "tokens/s", "IF(ISNUMBER({rate_p10}),{used}*{rate_p10},{rate_p10})", WHOLE),
    "tokens_high": ("The same: high end", "tokens/s", "IF(ISNUMBER({rate_p90}),{used}*{rate_p90},{rate_p90})", WHOLE),
    "requests_s": ("Requests per second, whole fleet, busy", "1/s", "{tokens_s}/in_OutputTokens", CENTS),
    "per_watt": (
        "Generated tokens per second and watt of IT power, busy",
        "tokens/s/W",
        "{tokens_s}/({busy_kw}*1000)",
        FINE,
    ),
    "attained_1": (
        "Attainable rate of decoding, batch 1",
        "TFLOP/s",
        "MIN({peak},{bandwidth}*{intensity_1}/1000)",
        CENTS,
    ),
    "attained_b": (
        "Attainable rate of decoding, chosen batch",
        "TFLOP/s",
        "MIN({peak},{bandwidth}*{intensity_b}/1000)",
        CENTS,
    ),
}
_START = _END + 2
DERIVED: dict[str, int] = {"title": _START} | {n: _START + 1 + i for i, n in enumerate(_DERIVED)}


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
    heading(sheet, LABEL_ROW, ["Figure", "Unit", "Function"])
    for column in columns:
        put(sheet, f"{column}{LABEL_ROW}", f"={option_field('option', f'{column}${NUMBER_ROW}')}", "mls heading")
    sheet.print_title_rows = f"{LABEL_ROW}:{LABEL_ROW}"
