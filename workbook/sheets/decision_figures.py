"""What the engine says of every option, side by side, each judged figure with its range in words."""

from __future__ import annotations

from openpyxl.formatting.rule import Rule
from openpyxl.styles import Alignment
from openpyxl.worksheet.worksheet import Worksheet

from ..style import CENTS, FINE, PALE_ORANGE, WHOLE, block_title, heading, put, tint
from .decision_words import range_words
from .engine import DERIVED, LABEL_ROW, ROW, option_columns

RANGE = "range"


def _range_of(name: str) -> tuple[str, str, str, str]:
    """The row of words under a judged figure."""
    return RANGE, "", f"{name}_p10 {name}_p90 {name}_validity", "@"


# name: label, unit, row of Engine (of a range: low, high and standing), number format
_ROWS: dict[str, tuple[str, str, str, str]] = {
    "memory": ("Share of usable memory", "share", "memory_share", "0%"),
    "ttft_1": ("Time to first token, one request alone", "ms", "ttft_1", WHOLE),
    "ttft_1_range": _range_of("ttft_1"),
    "ttft": ("Time to first token, all prompts at once", "ms", "ttft", WHOLE),
    "ttft_range": _range_of("ttft"),
    "itl": ("Time between tokens, decoding alone", "ms", "itl", CENTS),
    "itl_range": _range_of("itl"),
    "itl_load": ("Time between tokens, others' prompts included", "ms", "itl_load", CENTS),
    "itl_load_range": _range_of("itl_load"),
    "rate": ("Generated tokens per accelerator, busy", "tokens/s", "rate", CENTS),
    "rate_range": _range_of("rate"),
    "tokens_s": ("Generated tokens of the fleet, busy", "tokens/s", "tokens_s", WHOLE),
    "per_watt": ("Generated tokens for IT power, busy", "tokens/s/W", "per_watt", FINE),
    "bottleneck": ("What limits decoding", "", "bottleneck", "@"),
    "efficiency": ("Share of the peak that arithmetic reaches", "share", "efficiency", "0%"),
    "run_wall": ("Duration of one training run, as judged", "h", "run_wall", WHOLE),
    "run_wall_range": _range_of("run_wall"),
}
ORDER = list(_ROWS)


def height() -> int:
    """Rows of the block, its title and heading included."""
    return 2 + len(_ROWS)


def row_of(name: str, top: int) -> int:
    """Row of a figure in a block with its title in row `top`."""
    return top + 2 + ORDER.index(name)


def add_side_by_side(sheet: Worksheet, top: int, count: int) -> None:
    """The block, with its title in row `top`; options stand in the same columns as on Engine."""
    columns = option_columns(count)
    block_title(sheet, top, "What the engine says of each option", 12)
    heading(sheet, top + 1, ["Figure", "Unit", ""], height=44)
    for column in columns:
        put(sheet, f"{column}{top + 1}", f"=Engine!{column}${LABEL_ROW}", "mls heading")
    for name, (label, unit, source, number_format) in _ROWS.items():
        r, words = row_of(name, top), label == RANGE
        put(sheet, f"A{r}", label, "mls unit" if words else "mls wrapped")
        put(sheet, f"B{r}", unit, "mls unit")
        for column in columns:
            ends = [f"Engine!{column}${(ROW | DERIVED)[n]}" for n in source.split()]
            text = range_words(*ends) if words else ends[0]
            cell = put(sheet, f"{column}{r}", f"={text}", "mls unit" if words else "mls link", number_format)
            cell.alignment = Alignment(horizontal="right", vertical="center", wrap_text=words or name == "bottleneck")
        sheet.row_dimensions[r].height = 26
        if words:
            cell = f"{columns[0]}{r}"
            test = f'IF(ISTEXT({cell}),OR(RIGHT({cell},12)="extrapolated",{cell}="not validated"),FALSE)'
            rule = Rule(type="expression", formula=[test], dxf=tint(PALE_ORANGE))
            sheet.conditional_formatting.add(f"{columns[0]}{r}:{columns[-1]}{r}", rule)
