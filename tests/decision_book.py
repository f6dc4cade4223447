"""A small book around the ranking and the sentence of Decision, with typed figures for the engine and the money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.table import Table

from workbook.recalc import recalc
from workbook.sheets.decision import BEST
from workbook.sheets.decision_words import Ranking, add_ranking, verdict
from workbook.sheets.engine import DERIVED, PLACE, ROW, option_columns
from workbook.sheets.options import COLUMNS
from workbook.style import add_styles


@dataclass(frozen=True)
class Typed:
    """One option as the ranking reads it."""

    label: str
    financing: str
    npv: float | str
    device: str = "none"
    status: str = "ok"
    share: float = 1.0
    rate: tuple[float, float, float] | str = "no device"  # low end, used, high end


def said(
    folder: Path,
    options: Sequence[Typed],
    *,
    names: Mapping[str, Any] | None = None,
    checks: Sequence[bool] = (True, True),
    built: int = 2,
    version: str = "1.0",
    flip: str = "",
    frozen: int = 0,
) -> dict[str, Any]:
    """The sentence and every piece of it, computed."""
    book = Workbook()
    add_styles(book)
    sheet = book.active
    assert sheet is not None
    sheet.title = "Decision"
    count, ranking = len(options), Ranking(30, len(options))
    given: dict[str, Any] = {"in_Option": BEST, "in_Currency": "USD", "in_FX": 1.0, "in_Live": 1, "in_ServingOn": 1}
    given |= {"out_Option": 1, "out_FrozenRows": frozen, "out_Stale": 0}
    for i, (name, value) in enumerate((given | dict(names or {})).items(), start=1):
        sheet[f"T{i}"] = value
        book.defined_names[name] = DefinedName(name, attr_text=f"Decision!$T${i}")
    sheet["V1"], sheet["V2"] = version or None, flip or None
    for i, option in enumerate(options, start=1):
        sheet[f"W{i}"], sheet[f"X{i}"], sheet[f"Y{i}"] = option.status, option.npv, option.share
    places = {n: [f"${c}${i}" for i in range(1, count + 1)] for n, c in (("status", "W"), ("npv", "X"), ("share", "Y"))}
    add_ranking(sheet, ranking, places, "Decision!$V$1", "Decision!$V$2", BEST)
    sheet["A3"] = verdict(ranking, BEST)
    _table(book, "Options", "tblOptions", [COLUMNS[n][0] for n in ("option", "financing")],
           [[o.label, o.financing] for o in options])  # fmt: skip
    _table(book, "Checks", "tblChecks", ["id", "pass"], [[f"C{i}", good] for i, good in enumerate(checks)])
    book["Checks"]["C3"] = built
    _engine(book, options)
    path = folder / "small.xlsx"
    book.save(path)
    report = recalc(path, folder / "out.xlsx", {}, force=True)
    assert not report.missing
    values = load_workbook(folder / "out.xlsx", data_only=True)["Decision"]
    pieces = {name: values[ranking.at(name)].value for name in ranking.row}
    places_of = [values[ranking.place(i)].value for i in range(count)]
    return {"sentence": values["A3"].value, "places": places_of, **pieces}


def _engine(book: Workbook, options: Sequence[Typed]) -> None:
    sheet = book.create_sheet("Engine")
    for column, option in zip(option_columns(len(options)), options, strict=True):
        low, used, high = (option.rate,) * 3 if isinstance(option.rate, str) else option.rate
        figures: dict[str, float | str] = {
            "rate_p10": low,
            "per_device": used,
            "rate_p90": high,
            "memory_share": used,
            "weights": used,
        }
        figures |= dict.fromkeys(("run_h", "run_wall", "run_plan"), 100.0)
        figures |= {"run_wall_p10": 90.0, "run_wall_p90": 150.0, "rate_validity": "validated"}
        figures["run_wall_validity"] = "extrapolated"
        for name, value in figures.items():
            sheet[f"{column}{(ROW | DERIVED)[name]}"] = value
        sheet[f"{column}{PLACE['key']}"] = option.device


def _table(book: Workbook, sheet: str, name: str, headings: list[str], rows: list[list[Any]]) -> None:
    at = book.create_sheet(sheet)
    for r, row in enumerate([headings, *rows], start=5):
        for c, value in enumerate(row, start=1):
            at.cell(r, c, value)
    last = "ABCDEF"[len(headings) - 1]
    at.add_table(Table(displayName=name, ref=f"A5:{last}{5 + len(rows)}"))
