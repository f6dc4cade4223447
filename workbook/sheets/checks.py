"""Checks: what must hold before anybody signs, one row per check, passed when |value| <= tolerance.

Every line of the timeline is compared with a closed form of its drivers, so that an overwritten cell shows.
"""

from __future__ import annotations

from openpyxl import Workbook

from mlsysim.version import __version__

from ..plan import Plan
from .checks_option import of_option
from .checks_table import Check, put_checks
from .engine import FIGURES, LIVE_TOP, NO_DEVICE, NOT_BOUGHT, NOT_SERVED, NOT_TRAINED, ROW, option_columns, version_row
from .monthly import RUN, Layout
from .physics import Twin
from .sensitivity import tie_cell

MORE_ROWS = "Rows added here are not calculated: mls-workbook build --options N"


def add_checks(
    book: Workbook, plan: Plan, layout: Layout, twins: list[Twin], out_of_range: str, examples: tuple[str, int]
) -> None:
    """The Checks sheet."""
    rows = [
        *_general(layout, twins, out_of_range, examples),
        *(c for i in range(layout.count) for c in of_option(i, plan, layout)),
    ]
    put_checks(book, rows)


def _general(layout: Layout, twins: list[Twin], out_of_range: str, examples: tuple[str, int]) -> list[Check]:
    count = layout.count
    columns = option_columns(count)
    live = LIVE_TOP + 1
    span = f"Engine!${columns[0]}${live}:${columns[-1]}${live + len(FIGURES) - 1}"
    share = f"Engine!${columns[0]}${ROW['memory_share']}:${columns[-1]}${ROW['memory_share']}"
    spoken = LIVE_TOP + 1 + next(i for i, f in enumerate(FIGURES) if f.text)
    texts = (f"Engine!${c}${spoken}" for c in columns)
    said = "-".join(
        [*(f'COUNTIF({span},"{words}")' for words in (NO_DEVICE, NOT_SERVED, NOT_TRAINED, NOT_BOUGHT)),
         *(f'IF(ISTEXT({t}),IF(LEFT({t},2)="no",0,1),0)' for t in texts)]
    )  # fmt: skip
    same = "The engine that answers is not the one that built this file, or a formula was overwritten"
    version = f'IF(in_Live=0,0,IF(Engine_Live!$D${version_row(len(twins))}="{__version__}",0,1))'
    physics = [
        (f"Native formula equals the engine: {t.title}", f"Physics!{t.answer.replace('$B$', '$E$')}", 1e-9, same)
        for t in twins
    ]
    return [
        *physics,
        (
            "Every live engine figure is a number or says why it has none",
            f"IF(in_Live=0,0,{len(FIGURES) * count}-COUNT({span})-{said})",
            0,
            "Engine_Live says what is refused, and why",
        ),
        ("Every input is a number within its limits", out_of_range, 0, "Inputs, column Out of range"),
        ("Every option fits in memory", f'COUNTIF({share},">1")', 0, "Raise TP or choose a narrower precision"),
        (f"Options has the {count} rows this file was built for", f"ROWS(tblOptions[option])-{count}", 0, MORE_ROWS),
        ("Every published example comes out as published", f'{examples[1]}-COUNTIF({examples[0]},"yes")', 0,
         "Examples: its inputs were changed, or a formula was overwritten"),
        ("Sensitivity starts from the net present cost on Money", tie_cell(), 1e-9,
         "A formula on Cases was overwritten, or the option shown has no figures"),
        ("Months in operation equal the horizon", f"Monthly!$D${RUN}-in_HorizonMonths", 0, "The timeline is too short"),
        ("Every cost line has a known group, driver, timing and escalator",
         "ROWS(tblLines[still])*4-COUNT(tblLines[still])-COUNT(tblLines[moving])-COUNT(tblLines[when])"
         "-COUNT(tblLines[moved by])",
         0, "Lines: a word is not on its list"),
        ("The engine is the version that built this file", version, 0, "Install the matching version or rebuild"),
    ]  # fmt: skip
