"""Case models: one option, worked out natively for many cases at once.  They stand on the sheet Cases.

The option is chosen by a cell.  Case 0 is the plan itself, so its figures must equal Money's; in every other case one
input has another value (or the option starts in another month).  Rows are defined in `sensitivity_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from openpyxl import Workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from ..style import CENTS, FINE, MONEY, WHOLE, block_title, page, protect, put
from .lines import line_field
from .monthly import Layout
from .options import option_field
from .sensitivity_model import (
    ENGINE,
    FIRST,
    LOAD_INPUTS,
    PICKED,
    PLAIN,
    RATE_INPUTS,
    SCALE,
    SHEET,
    TYPED,
    Case,
    Model,
    expand,
)
from .sensitivity_rows import AFTER_MONTHS, BEFORE_MONTHS, DRIVERS, ESCALATIONS, FACTORS, LOADS, MOVING, SHAPE, Row


def cases_sheet(book: Workbook, layout: Layout) -> Worksheet:
    """The sheet Cases, made when it is first asked for."""
    if SHEET in book.sheetnames:
        return cast(Worksheet, book[SHEET])
    sheet = book.create_sheet(SHEET)
    widths = {"A": 104, "B": 12, "C": 9, **{get_column_letter(FIRST + m): 18 for m in range(layout.months + 1)}}
    purpose = (
        "One option for many cases at once, US dollars. Lines by month first, then one column for each case; "
        "AT: after tax relief, DF: before tax."
    )
    page(sheet, "Cases", purpose, widths, freeze="D4")
    sheet.print_title_cols = "A:C"
    sheet.page_setup.paperSize = sheet.PAPERSIZE_A3
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 4, 0
    sheet.sheet_properties.tabColor = "9CA3AF"
    protect(sheet)
    return cast(Worksheet, sheet)


def add_model(
    book: Workbook,
    layout: Layout,
    title: str,
    number: str,
    cases: Sequence[Case],
    overrides: Mapping[str, str] | None = None,
) -> Model:
    """Write a case model below what stands on Cases.

    Parameters
    ----------
    book, layout
        The workbook and the places of Monthly.
    title : str
        What the model is for.
    number : str
        Address of the cell with the option's number, 1 and up.
    cases : sequence of Case
        The first is the plan itself.
    overrides : mapping of str to str, optional
        Scalars of the option that the model sees otherwise: name and formula.
    """
    sheet = cases_sheet(book, layout)
    model = Model(sheet, layout, number, cases, overrides or {})
    top = sheet.max_row + 3
    block_title(sheet, top, title, FIRST + 7)
    row = _scalars(model, top + 1)
    row = _coefficients(model, row + 1)
    row = _places(model, row + 1)
    _write(model)
    _line_values(model)
    last = get_column_letter(FIRST + max(layout.months, len(cases) - 1))
    sheet.print_area = f"A1:{last}{sheet.max_row}"
    return model


def _scalars(model: Model, row: int) -> int:
    """What the option is, from Monthly, Options and Engine."""
    found = {name: model.total(name) for name in PICKED}
    for name, (column, otherwise) in TYPED.items():
        own = option_field(column, model.number)
        found[name] = f'IF({own}<>"",{own},"{otherwise}")'
    found |= {name: option_field(column, model.number) for name, column in PLAIN.items()}
    device, run = model.engine("per_device"), model.engine("run_plan")
    found |= {"device_base": device, "run_base": run}
    for end, rate, wall in (("low", "rate_p10", "run_wall_p90"), ("high", "rate_p90", "run_wall_p10")):
        found[f"device_{end}"] = f"IF(ISNUMBER({model.engine(rate)}),{model.engine(rate)},{device})"
        ratio = f"{model.engine('run_h')}*{model.engine(wall)}/{model.engine('run_wall')}"
        found[f"run_{end}"] = f"IF(ISNUMBER({model.engine(wall)}),{ratio},{run})"
    for name, formula in (found | dict(model.overrides)).items():
        model.rows[f"option {name}"] = model.rows[name] = row
        put(model.sheet, f"A{row}", f"Option: {name.replace('_', ' ')}")
        put(model.sheet, f"D{row}", f"={formula}", "mls link", CENTS)
        row += 1
    return row


def _coefficients(model: Model, row: int) -> int:
    """Cost lines of the option: price x quantity, and their sums by driver, timing and escalator."""
    sheet, layout = model.sheet, model.layout
    heads = ("price x quantity", "equipment", "driver", "timing", "escalator", "quantity")
    for i, text in enumerate(heads):
        put(sheet, f"{get_column_letter(FIRST + i)}{row}", text, "mls unit")
    model.rows["lines"] = row + 1
    order = [name for g in layout.groups for name in (f"{g}{i}" for i in layout.groups[g])]
    for r, name in enumerate(order, start=row + 1):
        n = str(layout.lines[name])
        applies = model.pick([f"Monthly!$F${layout.row(name, o)}" for o in range(layout.count)])
        moving = line_field("moving", n)
        put(sheet, f"A{r}", f"={line_field('item', n)}", "mls link")
        put(sheet, f"D{r}", f"={line_field('price used', n)}*I{r}", "mls formula", CENTS)
        put(sheet, f"E{r}", f'=IF({line_field("group", n)}="capital",1,0)', "mls formula", WHOLE)
        put(sheet, f"F{r}", f"=IF({moving}>1,{moving}+3,{line_field('still', n)})", "mls formula", WHOLE)
        put(sheet, f"G{r}", f"={line_field('when', n)}", "mls link", WHOLE)
        put(sheet, f"H{r}", f"={line_field('moved by', n)}", "mls link", WHOLE)
        put(sheet, f"I{r}", f"={line_field('quantity', n)}*{applies}", "mls formula", CENTS)
        model.rows[name] = r
    first, last = row + 1, row + len(order)
    price, group, driver, when, moved = (f"${c}${first}:${c}${last}" for c in "DEFGH")
    row = last + 2
    for i, text in enumerate(("every month", "once", "at the end", "equipment")):
        put(sheet, f"{get_column_letter(FIRST + i)}{row}", text, "mls unit")
    model.rows["coefficients"] = row + 1
    for d, word in enumerate(DRIVERS, start=1):
        for e in range(1, ESCALATIONS + 1):
            row += 1
            put(sheet, f"A{row}", f"Lines by {word}")
            put(sheet, f"B{row}", d, "mls unit")
            put(sheet, f"C{row}", e, "mls unit")
            of = f"({driver}=$B{row})*({moved}=$C{row})"
            timed = {t: f"SUMPRODUCT({of}*({group}=0)*({when}={t}),{price})" for t in range(1, 8)}
            cells = (f"{timed[2]}+{timed[5]}+{timed[7]}+({timed[3]}+{timed[6]})/12", timed[1], timed[4],
                     f"SUMPRODUCT({of}*({group}=1)*({when}=1),{price})")  # fmt: skip
            for column, formula in zip("DEFG", cells, strict=True):
                put(sheet, f"{column}{row}", f"={formula}", "mls formula", CENTS)
    return row + 1


def _line_values(model: Model) -> None:
    """What one unit of a line's price costs in the plan: present value after tax, and upfront."""
    sheet, rows, column = model.sheet, model.rows, model.columns[0]

    def at(name: str) -> str:
        return f"${column}${rows[name]}"

    first = rows["lines"]
    put(sheet, f"J{first - 1}", "a unit of price, present", "mls unit")
    put(sheet, f"K{first - 1}", "upfront", "mls unit")
    r = first
    while sheet[f"F{r}"].value is not None:
        moves = f"IF($F{r}=1,1,MAX(2,$F{r}-2))"
        still = f"$I{r}*CHOOSE(MIN($F{r},5),1,{at('servers')},{at('devices')},{at('hardware')},1)"
        begin, finish = (f"INDEX({at(x + '1')}:{at(x + str(ESCALATIONS))},$H{r})" for x in ("begin", "finish"))
        start, end = (f"CHOOSE({moves},{','.join(at(f'{m}_{t}') for m in MOVING)})" for t in "sh")
        sums = f"INDEX({at('plan_AT1')}:{at(f'water_AT{ESCALATIONS}')},({moves}-1)*{ESCALATIONS}+$H{r})"
        paid = (
            f"CHOOSE($G{r},{start}*{begin}*{at('AT_start')},{sums},{sums}/12,{end}*{finish}*{at('AT_end')},{sums},"
            f"{sums}/12,"
            f"{sums})"
        )
        bought = f"{start}*{begin}"
        put(sheet, f"J{r}", f"={still}*IF($E{r}=1,{bought}*{at('asset_AT')},{paid})", "mls formula", MONEY)
        put(sheet, f"K{r}", f"={still}*IF($E{r}=1,{bought}*{at('asset_first')},0)", "mls formula", MONEY)
        r += 1


def _indices(cases: Sequence[Case], names: frozenset[str], *, starts: bool) -> list[int]:
    """For each case the line (1 and up) of its own months; those that change none of `names` share the first."""
    out, used = [], 1
    for i, case in enumerate(cases):
        own = i > 0 and (case.changes in names or (starts and case.start != ""))
        used += own
        out.append(used if own else 1)
    return out


def _places(model: Model, row: int) -> int:
    """Give every row its place."""
    cases = model.cases
    kinds = {
        "q": _indices(cases, LOAD_INPUTS, starts=True),
        "w": _indices(cases, RATE_INPUTS, starts=False),
        "s": _indices(cases, frozenset(), starts=True),
    }
    for block, kind in (("shape", "s"), *((r.name, "w") for r in FACTORS), *((r.name, "q") for r in LOADS)):
        model.blocks[block] = row
        row += max(kinds[kind]) + 1
    model.rows["head"] = row
    for i, (kind, numbers) in enumerate(kinds.items(), start=1):
        model.rows[kind] = row + i
        put(
            model.sheet,
            f"A{row + i}",
            {"q": "Line of the load", "w": "Line of the factors", "s": "Line of the power"}[kind],
        )
        for column, n in zip(model.columns, numbers, strict=True):
            put(model.sheet, f"{column}{row + i}", n, "mls formula", WHOLE)
    row += len(kinds) + 1
    for name in ("case", "alternative", "start_case", *_varied(model)):
        model.rows[name] = row
        row += 1
    model.rows["start"] = model.rows["start_case"]
    for item in (*_ENGINE_ROWS, *BEFORE_MONTHS, *AFTER_MONTHS):
        model.rows[item.name] = row
        row += 1
    return row


_ENGINE_ROWS = tuple(
    Row(f"{name}", label, unit,
        f"IF({{case}}={{engine no}},IF({{alternative}}<0,{{one:{short}_low}},{{one:{short}_high}}),"
        f"{{one:{short}_base}})",
        FINE)
    for name, short, label, unit in (
        ("per_device", "device", "Generated tokens per second and accelerator", "tokens/s"),
        ("run_plan", "run", "Accelerator-hours of a run", "h"),
    )
)  # fmt: skip


def _varied(model: Model) -> list[str]:
    """The inputs that the cases vary, the engine apart."""
    return list(dict.fromkeys(c.changes for c in model.cases if c.changes not in ("", ENGINE)))


def _write(model: Model) -> None:
    sheet, rows = model.sheet, model.rows
    varied = [*_varied(model), ENGINE]
    for column, case in zip(model.columns, model.cases, strict=True):
        put(sheet, f"{column}{rows['head']}", case.label, "mls heading")
        number = varied.index(case.changes) + 1 if case.changes else 0
        put(sheet, f"{column}{rows['case']}", number, "mls formula", WHOLE)
        put(
            sheet,
            f"{column}{rows['alternative']}",
            f"={case.value or 0}" if case.value[:1] != "-" else -1,
            "mls link",
            FINE,
        )
        start = case.start or f"$D${rows['option start']}"
        put(sheet, f"{column}{rows['start_case']}", f"={start}", "mls link", WHOLE)
    for name, label in (("head", "Case"), ("case", "Number of the input that differs"), ("alternative", "Its value"),
                        ("start_case", "Start month")):  # fmt: skip
        put(sheet, f"A{rows[name]}", label, "mls total" if name == "head" else "mls label")
    for number, name in enumerate(varied[:-1], start=1):
        put(sheet, f"A{rows[name]}", name)
        put(sheet, f"C{rows[name]}", number, "mls unit")
        for column in model.columns:
            test = (
                f"IF({column}${rows['case']}=$C{rows[name]},{column}${rows['alternative']},"
                f"{1 if name == SCALE else name})"
            )
            put(sheet, f"{column}{rows[name]}", f"={test}", "mls formula", FINE)
    put(sheet, f"C{rows['per_device']}", len(varied), "mls unit")
    for row in (*_ENGINE_ROWS, *BEFORE_MONTHS, *AFTER_MONTHS):
        r = rows[row.name]
        put(sheet, f"A{r}", row.label)
        put(sheet, f"B{r}", row.unit, "mls unit")
        for column in model.columns:
            text = expand(row.formula, model, column, "")
            put(sheet, f"{column}{r}", f"={text}", "mls formula", row.number_format)
    for block, kind in ((SHAPE, "s"), *((r, "w") for r in FACTORS), *((r, "q") for r in LOADS)):
        _months(model, block, kind)


def _months(model: Model, row: Row, kind: str) -> None:
    """The months of a line, once for each case that has its own."""
    sheet, place = model.sheet, model.rows[kind]
    numbers = [int(sheet[f"{c}{place}"].value) for c in model.columns]
    for line in sorted(set(numbers)):
        case = numbers.index(line)
        r = model.blocks[row.name] + line - 1
        label = row.label if case == 0 else f"{row.label}: {model.cases[case].label}"
        put(sheet, f"A{r}", label)
        put(sheet, f"B{r}", row.unit, "mls unit")
        for month in range(model.layout.months + 1):
            c = get_column_letter(FIRST + month)
            text = expand(row.formula, model, f"${model.columns[case]}$", c, line)
            put(sheet, f"{c}{r}", f"={text}", "mls formula", row.number_format)
