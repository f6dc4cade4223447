"""A sweep as a workbook: every configuration in a row, with figures as values and native verdicts that follow limits.

Figures are those of the model; what a buyer may change are the limits.  The rows are streamed: a hundred thousand of
them take no more memory than ten.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.utils import get_column_letter
from openpyxl.workbook.defined_name import DefinedName
from openpyxl.worksheet.worksheet import Worksheet

from mlsysim.catalogue import Entry, catalogue
from mlsysim.errors import OutOfDomain, UnknownName
from mlsysim.grids import Grid, grid_of
from mlsysim.outcomes import NOT_FEASIBLE, OK, Outcomes, outcomes
from mlsysim.reducers import Best
from mlsysim.tables import is_table
from mlsysim.units import Unit, unit_of
from mlsysim.version import __version__
from udfs.cells import Cell
from udfs.sweep import ANSWER, axes_of, bound_of, figure_of, goal_of, metrics_of
from udfs.tables import heading as named

from .caches import CALC_ID, ask_for_calculation, fix_stamps
from .errors import refuse_target
from .package import open_package
from .sheets.checks_table import HEAD as CHECK_HEAD
from .sheets.checks_table import Check, put_checks
from .stream import LongTable, lengthened, valued
from .style import SHARE, add_styles, block_title, heading, page, put

SHEET = "Sweep"
MOST = 1_000_000  # rows: what a sheet of Excel holds, less the head
CHUNK = 128  # rows at once: more would take more memory and no less time
TOP_HEAD = 12  # headings of the limits
FIGURE = "[<0]-#,##0.00;[<0.01]0.0E+00;#,##0.00"
USED = '[>1E+299]"none";[<-1E+299]"none";General'
MEETS, REFUSED, NONE, ALL_PASS, OPEN = "meets", "refused", "-", "all pass", 1e300
LEFT, RIGHT = (Alignment(horizontal=side, vertical="center", indent=1) for side in ("left", "right"))
COUNT_AT, BEST_AT, CHECKS_AT = "B7", "B8", "B9"


Tops = Mapping[str, tuple[str, Cell]]


@dataclass(frozen=True)
class Figure:
    """A column of figures: its name, heading, unit, and limits in face units."""

    metric: str
    text: str
    unit: Unit
    low: float | None
    high: float | None

    @property
    def name(self) -> str:
        return self.metric or ANSWER


@dataclass(frozen=True)
class Asked:
    """What is swept and shown; the first figure is the goal."""

    entry: Entry
    grid: Grid
    units: dict[str, Unit | None]
    figures: tuple[Figure, ...]
    largest: bool

    @property
    def first(self) -> int:
        """The first row of the table."""
        return TOP_HEAD + len(self.figures) + 4


def asked_of(function: str, axes: str, goal: str, show: Sequence[str] = (), where: Sequence[str] = ()) -> Asked:
    """What words ask for.

    Parameters
    ----------
    function, axes : str
        As `MLS_SWEEP` takes them.
    goal : str
        ``max`` or ``min`` and a figure.
    show : sequence of str
        Further figures.
    where : sequence of str
        Limits, such as ``itl <= 30``; they stand on the sheet, where they can be changed.

    Raises
    ------
    MlsysError
        Unknown names, illegal numbers, or more rows than a sheet holds.
    """
    name = function.casefold().removeprefix("mls_")
    if name not in catalogue() or is_table(catalogue()[name]):
        raise UnknownName(f"sweep: no function {function!r} that answers with figures; see mls-udfs list")
    entry = catalogue()[name]
    given = axes_of(entry, axes)
    first, largest = goal_of(entry, goal)
    metrics = tuple(dict.fromkeys([first, *(figure_of(entry, text) for text in show)]))
    limits: dict[tuple[str, str], float] = {}
    for metric, operator, bound in (bound_of(entry, text) for text in where):
        if operator not in ("<=", ">=") or metric not in metrics:
            raise OutOfDomain(
                f"sweep: a limit is a figure that is shown, <= or >=, and a number; got {metric} {operator}"
            )
        limits[metric, operator] = bound
    grid = grid_of(name, given, [Best(m) for m in metrics], ())
    if grid.size > MOST:
        raise OutOfDomain(f"sweep: axes make {grid.size:,} rows; a sheet takes up to {MOST:,}")
    figures = []
    for metric in metrics:
        unit = unit_of(metrics_of(entry)[metric])
        assert unit is not None
        low, high = (unit.to_face(limits[metric, o]) if (metric, o) in limits else None for o in (">=", "<="))
        figures.append(Figure(metric, named(metric or ANSWER, metrics_of(entry)[metric]), unit, low, high))
    return Asked(entry, grid, {p.name: p.unit for p in entry.params}, tuple(figures), largest)


def write_sweep(out: Path, asked: Asked, *, force: bool = False) -> str:
    """Write the workbook `out`; answers with a sentence on what it holds."""
    refuse_target(None, out, force=force)
    total, best = _totals(asked)
    tops = _tops(asked, total, best)
    shown = {at: value for at, (_, value) in tops.items()}
    table = LongTable(asked.first, asked.grid.size, lambda: _rows(asked, best), shown)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.xlsx"
        _draft(asked, total, tops, next(iter(_rows(asked, best)))).save(draft)
        package = open_package(draft)
        part, checks = (s.part for s in package.sheets())
        package.streams[part] = lengthened(package.parts[part], table, SHEET)
        passed = {
            f"{c}{row}": v
            for row in range(CHECK_HEAD + 1, CHECK_HEAD + 1 + len(_checks(asked)))
            for c, v in (("C", 0.0), ("E", True))
        }
        package.put(checks, valued(package.parts[checks], passed))
        ask_for_calculation(package, full=False, calc_id=CALC_ID)
        fix_stamps(package)
        package.write(out, force=force)
    return (f"{asked.grid.size:,} configurations: {total[MEETS]:,} meet the limits, {total[OK]:,} are feasible, "
            f"{total[REFUSED]:,} are refused")  # fmt: skip


def _tops(asked: Asked, total: dict[str, int], best: float | None) -> dict[str, tuple[str, Cell]]:
    """The formulas of the head, with what they answer."""
    verdicts, goals = _span(asked, "verdict"), _span(asked, "counted")
    passing, count = f"Checks!$E${CHECK_HEAD + 1}:$E${CHECK_HEAD + len(_checks(asked))}", len(_checks(asked))
    pick = "MAX" if asked.largest else "MIN"
    out: dict[str, tuple[str, Cell]] = {
        COUNT_AT: (f'=COUNTIF({verdicts},"{MEETS}")', float(total[MEETS])),
        BEST_AT: (f'=IF({COUNT_AT}=0,"{NONE}",{pick}({goals}))', NONE if best is None else best),
        CHECKS_AT: (f'=IF(COUNTIF({passing},TRUE)={count},"{ALL_PASS}","see the sheet Checks")', ALL_PASS),
    }
    for at, figure in enumerate(asked.figures, start=TOP_HEAD + 1):
        for c, used, limit, open_ in (("B", "D", figure.low, -OPEN), ("C", "E", figure.high, OPEN)):
            out[f"{used}{at}"] = (f"=IF(ISNUMBER({c}{at}),{c}{at},{open_:.0E})", _or(limit, open_))
    return out


def _checks(asked: Asked) -> list[Check]:
    """What must hold of the sheet, whatever its limits."""
    first, last, count = TOP_HEAD + 1, TOP_HEAD + len(asked.figures), asked.grid.size
    verdicts, states, counted, share, goal = (
        f"{SHEET}!{_span(asked, n)}" for n in ("verdict", "state", "counted", "share", asked.figures[0].name)
    )
    limits, low, high = (f"{SHEET}!{a}{first}:{b}{last}" for a, b in (("$B$", "$C$"), ("$D$", "$D$"), ("$E$", "$E$")))
    again = "A row was deleted, or a figure or a formula overwritten: write the workbook anew"
    return [
        ("Every limit is a number or blank", f"COUNTA({limits})-COUNT({limits})", 0,
         "Sweep, yellow cells: a text limits nothing"),
        ("No lower limit is above its upper one", f"SUMPRODUCT(({low}>{high})*1)", 0, "Sweep, yellow cells"),
        ("Every configuration has a verdict", f"{count}-COUNTA({verdicts})", 0, again),
        ("Every configuration that the model answers has a figure, or an unknown one",
         f'COUNTIF({states},"{OK}")-COUNT({goal})-COUNTIF({goal},"unknown")', 0, again),
        ("As many figures count as configurations meet the limits", f"{SHEET}!{COUNT_AT}-COUNT({counted})", 0, again),
        ("Nothing is better than the best", f'COUNTIF({share},">1.000000001")', 0, again),
    ]  # fmt: skip


# ------------------------------------------------------------------ rows


def _columns(asked: Asked) -> list[str]:
    """What the columns hold, from A on."""
    axes = [*asked.grid.words, *asked.grid.numbers]
    return [*axes, *(f.name for f in asked.figures), "verdict", "counted", "share", "state"]


def _column(asked: Asked, name: str) -> str:
    return get_column_letter(_columns(asked).index(name) + 1)


def _span(asked: Asked, name: str) -> str:
    """The cells of a column of the table."""
    c = _column(asked, name)
    return f"${c}${asked.first}:${c}${asked.first + asked.grid.size - 1}"


def _blocks(asked: Asked) -> Iterator[tuple[Outcomes, list[Any], list[str], Any]]:
    """Chunks: outcomes, figures in face units, texts of verdicts, and the place of each one's verdict."""
    for part in outcomes(asked.grid, CHUNK):
        values = [np.asarray(f.unit.to_face(part.figures[f.metric])) for f in asked.figures]
        texts = [MEETS, *(f"{f.name} {why}" for f in asked.figures for why in ("unknown", "too low", "too high"))]
        verdicts = np.zeros(len(part.states), dtype=np.int64)
        for i in reversed(range(len(values))):
            value, figure = values[i], asked.figures[i]
            for k, fails in ((3, value > _or(figure.high, OPEN)), (2, value < _or(figure.low, -OPEN)),
                             (1, np.isnan(value))):  # fmt: skip
                verdicts[fails] = 3 * i + k
        verdicts = np.where(part.states == 0, verdicts, len(texts) + np.minimum(part.states, 2) - 1)
        texts += [NOT_FEASIBLE, REFUSED]
        yield part, values, texts, verdicts


def _or(limit: float | None, otherwise: float) -> float:
    return otherwise if limit is None else limit


def _totals(asked: Asked) -> tuple[dict[str, int], float | None]:
    """How many meet the limits, are feasible, are refused; and the best figure of those that meet."""
    total, best = {MEETS: 0, OK: 0, REFUSED: 0}, None
    for part, values, _, verdicts in _blocks(asked):
        good = values[0][verdicts == 0]
        total[MEETS] += len(good)
        total[OK] += int(np.count_nonzero(part.states == 0))
        total[REFUSED] += int(np.count_nonzero(part.states > 1))
        if len(good):
            found = float(good.max() if asked.largest else good.min())
            best = found if best is None else max(best, found) if asked.largest else min(best, found)
    return total, best


def _rows(asked: Asked, best: float | None) -> Iterator[list[list[Cell]]]:
    """Blocks of rows as columns of cells."""
    for part, values, texts, verdicts in _blocks(asked):
        ok, meets = (part.states == 0).tolist(), (verdicts == 0).tolist()
        columns = [_axis(asked, name, axis) for name, axis in part.axes.items()]
        for value in values:
            unknown = np.isnan(value).tolist()
            columns.append([("unknown" if u else v) if o else NONE
                            for v, u, o in zip(value.tolist(), unknown, ok, strict=True)])  # fmt: skip
        columns.append([texts[v] for v in verdicts.tolist()])
        first = columns[len(part.axes)]
        columns.append([v if m else NONE for v, m in zip(first, meets, strict=True)])
        columns.append([_share(asked, v, best) if m else NONE for v, m in zip(first, meets, strict=True)])
        columns.append([part.words[s] for s in part.states.tolist()])
        yield columns


def _axis(asked: Asked, name: str, values: Any) -> list[Cell]:
    unit = asked.units[name]
    if unit is not None and isinstance(values, np.ndarray):
        faces: list[Cell] = np.asarray(unit.to_face(values)).tolist()
        return faces
    return [str(getattr(v, "key", v)) for v in values]


def _share(asked: Asked, value: Any, best: float | None) -> Cell:
    if best is None or best <= 0:
        return NONE
    return float(value / best if asked.largest else best / value)


# ------------------------------------------------------------------ the draft: the head and the first row


def _draft(asked: Asked, total: dict[str, int], tops: Tops, block: list[list[Cell]]) -> Workbook:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = SHEET
    add_styles(book)
    names, first = _columns(asked), asked.first
    wide = {"verdict": 30.0, "state": 70.0}
    widths = {get_column_letter(i): wide.get(n, 17.0) for i, n in enumerate(names, start=1)}
    purpose = f"Figures are values of mlsysim {__version__}; change the yellow limits, and the verdicts follow."
    page(sheet, f"Every configuration of {asked.entry.excel}", purpose, widths | {"A": 28.0, "B": 20.0},
         freeze=f"A{first}")  # fmt: skip
    _head(sheet, asked, total, tops)
    _first_row(sheet, asked, block)
    last = first + asked.grid.size - 1
    end = get_column_letter(len(names))
    sheet.auto_filter.ref = f"A{first - 1}:{end}{last}"
    sheet.print_title_rows = f"{first - 1}:{first - 1}"
    sheet.print_area = f"A1:{end}{last}"
    book.defined_names["out_Meets"] = DefinedName("out_Meets", attr_text=f"{SHEET}!${COUNT_AT[0]}${COUNT_AT[1:]}")
    book.defined_names["out_Best"] = DefinedName("out_Best", attr_text=f"{SHEET}!${BEST_AT[0]}${BEST_AT[1:]}")
    put_checks(book, _checks(asked))
    book.properties.creator, book.properties.title = "mlsysim for Excel", "Sweep"
    return book


def _head(sheet: Worksheet, asked: Asked, total: dict[str, int], tops: Tops) -> None:
    goal, first = asked.figures[0], asked.first
    rows: tuple[tuple[str, Any, str | None], ...] = (
        ("Held fixed", _fixed(asked) or NONE, None),
        ("Configurations", asked.grid.size, "#,##0"),
        ("Feasible; refused", f"{total[OK]:,}; {total[REFUSED]:,}", None),
        ("Meet the limits", tops[COUNT_AT][0], "#,##0"),
        (f"{'Largest' if asked.largest else 'Least'} {goal.text}", tops[BEST_AT][0], FIGURE),
        ("Checks", tops[CHECKS_AT][0], None),
    )  # fmt: skip
    for at, (label, value, shape) in enumerate(rows, start=4):
        put(sheet, f"A{at}", label)
        put(sheet, f"B{at}", value, "mls formula", shape)
    block_title(sheet, TOP_HEAD - 1, "Limits: blank means none", 5)
    heading(sheet, TOP_HEAD, ["Figure", "At least", "At most", "Used: at least", "Used: at most"])
    for at, figure in enumerate(asked.figures, start=TOP_HEAD + 1):
        put(sheet, f"A{at}", figure.text)
        for c, used, limit in (("B", "D", figure.low), ("C", "E", figure.high)):
            put(sheet, f"{c}{at}", limit, "mls input", FIGURE)
            put(sheet, f"{used}{at}", tops[f"{used}{at}"][0], "mls unit", USED)
    texts = {p: asked.units[p] for p in (*asked.grid.words, *asked.grid.numbers)}
    axes = [f"{n} [{u.face}]" if u is not None and u.face else n for n, u in texts.items()]
    better = f"{goal.text}, where all limits are met"
    titles = [*axes, *(f.text for f in asked.figures), "Verdict", better, "Share of the best", "What the model says"]
    heading(sheet, first - 1, titles, height=44)


def _fixed(asked: Asked) -> str:
    """The arguments that do not vary, as one text."""
    out = []
    for name, value in asked.grid.fixed.items():
        unit = asked.units[name]
        shown = f"{unit.to_face(value):g} {unit.face}".strip() if unit is not None and isinstance(value, float) else (
            getattr(value, "key", value))  # fmt: skip
        out.append(f"{name} = {shown}")
    return "; ".join(out)


def _first_row(sheet: Worksheet, asked: Asked, block: list[list[Cell]]) -> None:
    names, row, count = _columns(asked), asked.first, len(asked.figures)
    letters = {n: get_column_letter(i + 1) for i, n in enumerate(names)}
    goal = f"{letters[asked.figures[0].name]}{row}"
    state, verdict = f"{letters['state']}{row}", f"{letters['verdict']}{row}"
    text = f'"{MEETS}"'
    for i, figure in reversed(list(enumerate(asked.figures))):
        at, limit = f"{letters[figure.name]}{row}", TOP_HEAD + 1 + i
        high = f'IF({at}>$E${limit},"{figure.name} too high",{text})'
        text = f'IF(ISNUMBER({at}),IF({at}<$D${limit},"{figure.name} too low",{high}),"{figure.name} unknown")'
    best = f"${BEST_AT[0]}${BEST_AT[1:]}"
    share = f"{goal}/{best}" if asked.largest else f"{best}/{goal}"
    formulas = {
        "verdict": f'=IF({state}="{OK}",{text},IF({state}="{NOT_FEASIBLE}",{state},"{REFUSED}"))',
        "counted": f'=IF({verdict}="{MEETS}",{goal},"{NONE}")',
        "share": f'=IF({verdict}="{MEETS}",IF({best}>0,{share},"{NONE}"),"{NONE}")',
    }
    axes = len(names) - count - 4
    for i, name in enumerate(names):
        shape = SHARE if name == "share" else FIGURE if name == "counted" or axes <= i < axes + count else "General"
        cell = put(sheet, f"{letters[name]}{row}", formulas.get(name, block[i][0]), "mls formula", shape)
        cell.alignment = LEFT if name in ("verdict", "state") else RIGHT
