"""The registry tables of a package as a refresh changes them: cells, new rows, and all that must follow a longer table.

With a table grow its range and filter, the conditional formats, data validations and names that reach down its whole
body, the print area and the stated size of the sheet; new formula cells join the calculation chain.  New rows go
directly below a table, and only where every cell is free: nothing is moved and nothing of the user's is overwritten.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Mapping

from lxml import etree
from openpyxl.formula.translate import Translator
from openpyxl.utils.cell import get_column_letter

from workbook.caches import SheetCells, escape, set_value
from workbook.cells import Formula, Grid, walk
from workbook.errors import WorkbookError
from workbook.package import Area, Package, area_of, main
from workbook.refresh_styles import Styles
from workbook.refresh_values import Value
from workbook.refresh_view import NewRow, Plan, View, Write

_RANGE = r"(\$?[A-Z]{1,3}\$?)(\d+):(\$?)([A-Z]{1,3})(\$?)(\d+)"
_NAMED_RANGE = re.compile(r"('(?:[^']|'')+'|[^\s'!,()]+)!" + _RANGE)
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_COLUMN_FORMULA = "calculatedColumnFormula"
_LAST_ROW = 1_048_576


class Ground:
    """What stands on the sheets: where a table may grow.

    Parameters
    ----------
    package : Package
        The workbook.
    grids : mapping of str to Grid
        Its cells by sheet.
    """

    def __init__(self, package: Package, grids: Mapping[str, Grid]) -> None:
        self._package, self._grids = package, grids
        self._tables = package.tables()
        self._areas = {sheet.name: self._of(sheet.name, sheet.part) for sheet in package.sheets()}

    def obstacle(self, view: View, count: int) -> str:
        """What stands in the way of `count` rows below a table; "" for nothing."""
        area, name = view.table.area, view.table.name
        if view.table.totals_rows:
            return f"{name} has a row of totals below; switch it off"
        wanted = Area(area.sheet, area.bottom + 1, area.left, area.bottom + count, area.right)
        if wanted.bottom > _LAST_ROW:
            return "the sheet ends there"
        grid = self._grids[area.sheet]
        filled = (at for at in (*grid.inputs, *grid.formulas, *grid.covered) if (area.sheet, *at) in wanted)
        first = min(filled, default=None)
        if first is not None:
            return f"{area.sheet}!{get_column_letter(first[1])}{first[0]} below it is filled"
        for what, there in self._areas[area.sheet]:
            apart = there.bottom < wanted.top or wanted.bottom < there.top
            if not (apart or there.right < wanted.left or wanted.right < there.left):
                return f"{what} at {area.sheet}!{get_column_letter(there.left)}{there.top} is below it"
        return ""

    def _of(self, name: str, part: str) -> list[tuple[str, Area]]:
        root = self._package.xml(part)
        out = [("the table " + t.name, t.area) for t in self._tables if t.area.sheet == name]
        out += [("a merged cell", area_of(name, m.get("ref", ""))) for m in root.iter(main("mergeCell"))]
        grid = self._grids[name]
        out += [("an array formula", f.block) for f in grid.formulas.values() if f.block is not None]
        for relation in self._package.relations(part):
            if (
                relation.kind in ("comments", "threadedComment", "pivotTable")
                and relation.target in self._package.parts
            ):
                tree, what = self._package.xml(relation.target), "a pivot table"
                places = [e.get("ref") for e in tree.iter("{*}location")]
                if relation.kind != "pivotTable":
                    places, what = [e.get("ref") for e in tree.iter("{*}comment", "{*}threadedComment")], "a comment"
                out += [(what, area_of(name, ref)) for ref in places if ref]
        return out


def apply(package: Package, views: Mapping[str, View], plan: Plan) -> set[tuple[str, int, int]]:
    """Write a plan into a package.

    Parameters
    ----------
    package : Package
        Changed in place.
    views : mapping of str to View
        The tables by name, as they are before.
    plan : Plan
        What to write.

    Returns
    -------
    set of (sheet, row, column)
        The cells that were written or added.
    """
    styles = Styles(package)
    touched: set[tuple[str, int, int]] = set()
    parts = {view.grid.part: view.grid.sheet for view in views.values()}
    for part, sheet in parts.items():
        tables = {name: view for name, view in views.items() if view.grid.part == part}
        writes = [w for w in plan.writes if w.table in tables]
        rows = [r for r in plan.rows if r.table in tables]
        if not writes and not rows:
            continue
        root = package.xml(part)
        page = _Page(package, root, sheet, styles)
        for name, view in tables.items():
            page.fill(view, [w for w in writes if w.table == name], [r for r in rows if r.table == name])
        page.cells.finish()
        package.put(part, root)
        touched |= page.touched
        _chain(package, sheet, page.formulas)
    styles.finish()
    return touched


class _Page:
    """One sheet on its way to new contents."""

    def __init__(self, package: Package, root: etree._Element, sheet: str, styles: Styles) -> None:
        self.package, self.root, self.sheet, self.styles = package, root, sheet, styles
        self.cells = SheetCells(root)
        self.style_of = {(row, column): int(e.get("s", "0")) for row, column, e in walk(root)}
        self.touched: set[tuple[str, int, int]] = set()
        self.formulas: list[tuple[int, int]] = []

    def fill(self, view: View, writes: list[Write], rows: list[NewRow]) -> None:
        """Write into one table, and below it."""
        usual = _usual(view, self.style_of, self.styles)
        for write in writes:
            column = view.columns[write.heading]
            base = self.style_of.get((write.row, column), 0)
            fits = _sort(view.grid.value(write.row, column)) == _sort(write.value)
            if not fits or self.styles.is_estimate(base) != write.estimate:
                base = usual.get((column, _sort(write.value), write.estimate), base)
            self._put(write.row, column, write.value, self.styles.marked(base, write.estimate))
        if not rows:
            return
        bottom = view.table.area.bottom
        table = self.package.xml(view.table.part)
        formulas = _column_formulas(table, view)
        for row, new in enumerate(rows, start=bottom + 1):
            for heading, column in view.columns.items():
                if heading in formulas and heading not in new.values:
                    self._put_formula(row, column, formulas[heading], usual)
                    continue
                value, estimate = new.values.get(heading), heading in new.estimates
                own = self.style_of.get((bottom, column), 0)
                base = usual.get((column, _sort(value), estimate), usual.get((column, _sort(value), False), own))
                self._put(row, column, value, base if value is None else self.styles.marked(base, estimate))
        self._grow(view, table, bottom + len(rows))

    def _put(self, row: int, column: int, value: Value, style: int) -> None:
        element = self.cells.cell(row, column)
        for formula in element.findall(main("f")):  # never of a cell that the user filled; see the plan
            element.remove(formula)
        element.attrib.pop("cm", "")
        set_value(element, None if isinstance(value, str) else value)
        if isinstance(value, str):
            element.set("t", "inlineStr")  # beside the shared texts, whose part stays as it is
            text = etree.SubElement(etree.SubElement(element, main("is")), main("t"))
            text.text = escape(value)
            if value != value.strip() or "\n" in value:
                text.set(_SPACE, "preserve")
        element.set("s", str(style))
        self.touched.add((self.sheet, row, column))

    def _put_formula(
        self, row: int, column: int, text: tuple[str, str], usual: Mapping[tuple[int, str, bool], int]
    ) -> None:
        body, origin = text
        element = self.cells.cell(row, column)
        set_value(element, None)
        at = f"{get_column_letter(column)}{row}"
        source = etree.SubElement(element, main("f"))
        source.text = Translator(f"={body}", origin=origin).translate_formula(at)[1:] if origin else body
        element.set("s", str(usual.get((column, "formula", False), 0)))
        self.touched.add((self.sheet, row, column))
        self.formulas.append((row, column))

    def _grow(self, view: View, table: etree._Element, bottom: int) -> None:
        """Let everything that reached down the whole table reach down the longer one."""
        area = view.table.area
        table.set("ref", _down(table.get("ref", ""), bottom))
        flt = table.find(main("autoFilter"))
        if flt is not None and area_of(self.sheet, flt.get("ref", "")).bottom == area.bottom:
            flt.set("ref", _down(flt.get("ref", ""), bottom))
        self.package.put(view.table.part, table)
        for element in self.root.iter("{*}conditionalFormatting", "{*}dataValidation"):
            if element.get("sqref"):
                element.set("sqref", _longer(element.get("sqref", ""), area, bottom))
            for inner in element.iterfind("{*}sqref"):  # newer kinds of both, in the extensions of the sheet
                inner.text = _longer(inner.text or "", area, bottom)
        book = self.package.xml(self.package.workbook_part)
        names = book.findall(f"{main('definedNames')}/{main('definedName')}")
        before = [name.text for name in names]
        for name in names:
            name.text = _longer_name(name.text or "", area, bottom)
        if [name.text for name in names] != before:
            self.package.put(self.package.workbook_part, book)


def _usual(view: View, style_of: Mapping[tuple[int, int], int], styles: Styles) -> dict[tuple[int, str, bool], int]:
    """The commonest format in each column of a table, by sort of value and whether it is of estimates."""
    counts: dict[tuple[int, str, bool], Counter[int]] = {}
    for row in view.body():
        for column in view.columns.values():
            style = style_of.get((row, column), 0)
            formula = (row, column) in view.grid.formulas
            sort = "formula" if formula else _sort(view.grid.value(row, column))
            estimate = styles.is_estimate(style) and not formula
            counts.setdefault((column, sort, estimate), Counter())[style] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in counts.items()}


def _sort(value: Value) -> str:
    return "blank" if value in (None, "") else type(value).__name__


def _column_formulas(table: etree._Element, view: View) -> dict[str, tuple[str, str]]:
    """The formula of each calculated column and the cell it is written for ("" where it is the same in every row)."""
    out = {}
    entries = table.findall(f"{main('tableColumns')}/{main('tableColumn')}")
    for heading, entry in zip(view.table.columns, entries, strict=True):
        stated = entry.find(main(_COLUMN_FORMULA))
        if stated is not None and stated.text:
            out[heading] = (stated.text, "")
            continue
        # A program that does not know calculated columns drops the statement and keeps the formulas.
        cells = [f for row in view.body() if (f := view.grid.formulas.get((row, view.columns[heading])))]
        if 2 * len(cells) > len(view.body()):
            out[heading] = (cells[-1].text, cells[-1].at)
    return out


def _down(ref: str, bottom: int) -> str:
    return re.sub(r"\d+\Z", str(bottom), ref)


def _longer(sqref: str, area: Area, bottom: int) -> str:
    """Ranges of a sheet, those that cover the whole body of `area` in some of its columns made longer."""

    def longer(ref: str) -> str:
        found = area_of(area.sheet, ref)
        inside = area.left <= found.left and found.right <= area.right
        whole = found.top <= area.top + 1 and found.bottom == area.bottom and area.bottom > area.top
        if not (inside and whole):
            return ref
        return _down(ref, bottom) if ":" in ref else f"{ref}:{_down(ref, bottom)}"

    return " ".join(longer(ref) for ref in sqref.split())


def _longer_name(text: str, area: Area, bottom: int) -> str:
    """A name's text, its ranges over the whole body of `area` made longer; print areas may be wider than the table."""

    def longer(match: re.Match[str]) -> str:
        sheet = match[1][1:-1].replace("''", "'") if match[1].startswith("'") else match[1]
        if sheet.casefold() != area.sheet.casefold() or int(match[7]) != area.bottom or int(match[3]) > area.top + 1:
            return match[0]
        found = area_of(area.sheet, re.sub(r"\$", "", match[0].rpartition("!")[2]))
        if found.right < area.left or area.right < found.left:
            return match[0]
        return match[0][: match.start(7) - match.start()] + str(bottom)

    return _NAMED_RANGE.sub(longer, text)


def _chain(package: Package, sheet: str, formulas: list[tuple[int, int]]) -> None:
    """Add new formula cells to the end of the calculation chain, where the file has one."""
    parts = [r.target for r in package.relations(package.workbook_part) if r.kind == "calcChain"]
    if not formulas or not parts:
        return
    book = package.xml(package.workbook_part)
    number = next(s.get("sheetId") for s in book.iter(main("sheet")) if s.get("name") == sheet)
    data = package.parts[parts[0]]
    end = re.search(rb"</((?:\w+:)?)calcChain\s*>", data)
    if end is None:
        raise WorkbookError(f"{package.path} is damaged: its calculation chain has no end.")
    cells = "".join(
        f'<{end[1].decode()}c r="{get_column_letter(column)}{row}" i="{number}"/>' for row, column in formulas
    )
    package.parts[parts[0]] = data[: end.start()] + cells.encode() + data[end.start() :]


def without(root: etree._Element, cells: set[tuple[int, int]]) -> bytes:
    """A sheet without some of its cells and without what may follow a longer table: for comparing before and after."""
    root = copy.deepcopy(root)
    for row, column, element in list(walk(root)):
        if (row, column) in cells:
            line = element.getparent()
            if line is not None:
                line.remove(element)
    for line in root.findall(f"{main('sheetData')}/{main('row')}"):
        line.attrib.pop("spans", "")
        if len(line) == 0 and set(line.attrib) <= {"r"}:
            line.getparent().remove(line)  # type: ignore[union-attr]
    for element in root.iter("{*}conditionalFormatting", "{*}dataValidation", "{*}dimension"):
        element.attrib.pop("sqref", "")
        if etree.QName(element).localname == "dimension":
            element.attrib.pop("ref", "")
        for inner in element.findall("{*}sqref"):
            inner.text = ""
    return etree.tostring(root, method="c14n")


def calculated(package: Package, views: Mapping[str, View], grids: Mapping[str, Grid]) -> list[Grid]:
    """All sheets with the formulas of the calculated columns of the tables only; every other formula as its value."""
    wanted: set[tuple[str, int, int]] = set()
    for view in views.values():
        for heading in _column_formulas(package.xml(view.table.part), view):
            wanted |= {(view.grid.sheet, row, view.columns[heading]) for row in view.body()}
    out = []
    for name, grid in grids.items():
        kept: dict[tuple[int, int], Formula] = {}
        inputs = {**grid.covered, **grid.inputs}
        for at, formula in grid.formulas.items():
            if (name, *at) in wanted and formula.block is None:
                kept[at] = formula
            elif formula.cached is not None:
                inputs[at] = formula.cached
        out.append(Grid(name, grid.part, inputs, kept))
    return out
