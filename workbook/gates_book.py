"""What the quality gates read: the looks of the cells, the layout of the sheets, and findings as sentences.

`read_book` reads a package once; the gates in the other ``gates_*`` modules are plain functions of a `Book`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree
from openpyxl.styles.numbers import BUILTIN_FORMATS
from openpyxl.utils.cell import get_column_letter

from workbook.cells import Cell, ErrorValue, Formula, Grid, read_grids, walk
from workbook.gates_shapes import Shape, Shapes
from workbook.package import OFFICE_RELATIONS, Area, Name, Package, Table, area_of, main
from workbook.references import Resolver, UnresolvedReference

USUAL_WIDTH = 9.14  # of a column that nobody set, in digits, with the padding that stored widths include
LONGEST_HEADING = 30  # of the headings that gates look for
SHOWN = 3  # places that a sentence spells out
At = tuple[int, int]
_REFERRING = (*map(main, ("formula", "formula1", "formula2", "hyperlink")), "{*}f", "{*}sqref")


@dataclass(frozen=True)
class Look:
    """How a cell is shown: number format, font and alignment."""

    number_format: str = "General"
    size: float = 11.0
    bold: bool = False
    wrap: bool = False
    shrink: bool = False
    horizontal: str = "general"
    indent: int = 0
    rotated: bool = False


@dataclass
class Layout:
    """What a sheet holds besides values."""

    styles: dict[At, int] = field(default_factory=dict)
    widths: dict[int, float] = field(default_factory=dict)
    usual_width: float = USUAL_WIDTH
    heights: dict[int, float] = field(default_factory=dict)  # rows whose height is fixed
    hidden_rows: list[int] = field(default_factory=list)
    hidden_columns: list[int] = field(default_factory=list)
    merged: list[Area] = field(default_factory=list)
    references: list[str] = field(default_factory=list)  # of validations, conditional formats and links
    printed: list[Area] = field(default_factory=list)  # the print area; empty: the whole sheet

    def width(self, column: int) -> float:
        """The width of a column in digits of the usual font."""
        return self.widths.get(column, self.usual_width)


@dataclass
class Book:
    """A workbook as the gates see it."""

    package: Package
    grids: dict[str, Grid]
    tables: list[Table]
    names: list[Name]
    layouts: dict[str, Layout]
    looks: list[Look]
    shapes: Shapes
    resolver: Resolver
    groups: list[tuple[Shape, list[Formula]]] = field(default_factory=list)  # see `copies`
    words: dict[str, dict[int, dict[str, int]]] = field(default_factory=dict)  # by sheet and row, see `headers`

    def look(self, sheet: str, row: int, column: int) -> Look:
        """How a cell is shown."""
        index = self.layouts[sheet].styles.get((row, column), 0)
        return self.looks[index] if index < len(self.looks) else Look()

    def shape(self, formula: Formula) -> Shape:
        """The formula as it would read in any cell."""
        return self.shapes.of(formula)

    def copies(self) -> Iterator[tuple[Shape, list[Formula]]]:
        """Every shape with the cells that have it; formulas that cannot be read are left out."""
        if not self.groups:
            groups: dict[int, tuple[Shape, list[Formula]]] = {}
            for grid in self.grids.values():
                for formula in grid.formulas.values():
                    if not formula.unreadable:
                        shape = self.shapes.of(formula)
                        groups.setdefault(id(shape), (shape, []))[1].append(formula)
            self.groups = list(groups.values())
        yield from self.groups

    def table(self, name: str) -> Table | None:
        """A table by its name."""
        return next((t for t in self.tables if t.name == name), None)

    def cells_of(self, name: str) -> list[Area]:
        """The cells that a defined name stands for; none when it is missing or lost."""
        try:
            return list(self.resolver.resolve(name, next(iter(self.grids)), 1, 1).reads)
        except (UnresolvedReference, StopIteration):
            return []


@dataclass(frozen=True)
class Finding:
    """One cell that breaks a rule: what is so, and what to do."""

    sheet: str
    row: int
    column: int
    fact: str
    advice: str


def read_book(package: Package, grids: list[Grid] | None = None, tables: list[Table] | None = None) -> Book:
    """Read what the gates need.

    Parameters
    ----------
    package : Package
        The workbook; it is only read.
    grids : list of Grid, optional
        Its worksheets, when they are read already.
    tables : list of Table, optional
        Its tables, when they are read already.

    Raises
    ------
    WorkbookError
        When a part is damaged.
    """
    grids = read_grids(package) if grids is None else grids
    tables = package.tables() if tables is None else tables
    names = package.names()
    layouts = {grid.sheet: _layout(package, grid) for grid in grids}
    resolver = Resolver([g.sheet for g in grids], tables, names)
    by_name = {grid.sheet: grid for grid in grids}
    book = Book(package, by_name, tables, names, layouts, _looks(package), Shapes(resolver), resolver)
    for sheet, areas in _print_areas(package).items():
        if sheet in layouts:
            layouts[sheet].printed = areas
    return book


def _layout(package: Package, grid: Grid) -> Layout:
    root = package.xml(grid.part)
    out = Layout()
    usual = root.find(main("sheetFormatPr"))
    if usual is not None:
        out.usual_width = float(usual.get("defaultColWidth", USUAL_WIDTH))
    for entry in root.iterfind(f"{main('cols')}/{main('col')}"):
        first, last = int(entry.get("min", "1")), min(int(entry.get("max", "1")), 16_384)
        # A span to the end of the sheet is a default, not columns that somebody hid or set.
        span = range(first, min(last, first + 1023) + 1)
        if entry.get("width") is not None:
            out.widths.update(dict.fromkeys(span, float(entry.get("width", "0"))))
        if entry.get("hidden") in {"1", "true"}:
            out.hidden_columns += span
    for line in root.iterfind(f"{main('sheetData')}/{main('row')}"):
        number = int(line.get("r", "0"))
        if line.get("hidden") in {"1", "true"}:
            out.hidden_rows.append(number)
        if line.get("customHeight") in {"1", "true"} and line.get("ht"):
            out.heights[number] = float(line.get("ht", "0"))
    for row, column, element in walk(root):
        style = element.get("s")
        if style:
            out.styles[row, column] = int(style)
    for part in root:
        if part.tag != main("sheetData"):
            texts = (e.text or e.get("location") or "" for e in part.iter(*_REFERRING))
            out.references += [text for text in texts if text]
    out.merged = [
        area_of(grid.sheet, e.get("ref", "")) for e in root.iterfind(f"{main('mergeCells')}/{main('mergeCell')}")
    ]
    return out


def _looks(package: Package) -> list[Look]:
    parts = [r.target for r in package.relations(package.workbook_part) if r.kind == "styles"]
    if not parts or parts[0] not in package.parts:
        return [Look()]
    root = package.xml(parts[0])
    formats: dict[int, str] = dict(BUILTIN_FORMATS)
    for entry in root.iterfind(f"{main('numFmts')}/{main('numFmt')}"):
        formats[int(entry.get("numFmtId", "0"))] = entry.get("formatCode", "General")
    fonts = root.findall(f"{main('fonts')}/{main('font')}")
    return [_look(xf, formats, fonts) for xf in root.iterfind(f"{main('cellXfs')}/{main('xf')}")]


def _look(xf: etree._Element, formats: Mapping[int, str], fonts: list[etree._Element]) -> Look:
    index = int(xf.get("fontId", "0"))
    font = fonts[index] if index < len(fonts) else None
    size = font.find(main("sz")) if font is not None else None
    bold = font.find(main("b")) if font is not None else None
    alignment = xf.find(main("alignment"))
    place: Mapping[str, str] = {} if alignment is None else {str(k): str(v) for k, v in alignment.attrib.items()}
    return Look(
        formats.get(int(xf.get("numFmtId", "0")), "General"),
        float(size.get("val", "11")) if size is not None else 11.0,
        bold is not None and bold.get("val", "1") not in {"0", "false"},
        place.get("wrapText") in {"1", "true"},
        place.get("shrinkToFit") in {"1", "true"},
        place.get("horizontal", "general"),
        int(place.get("indent", "0")),
        place.get("textRotation", "0") != "0",
    )


def _print_areas(package: Package) -> dict[str, list[Area]]:
    root = package.xml(package.workbook_part)
    order = [s.get("name", "") for s in root.iterfind(f"{main('sheets')}/{main('sheet')}")]
    out: dict[str, list[Area]] = {}
    for entry in root.iterfind(f"{main('definedNames')}/{main('definedName')}"):
        local = entry.get("localSheetId")
        if entry.get("name") != "_xlnm.Print_Area" or local is None or int(local) >= len(order):
            continue
        sheet = order[int(local)]
        pieces = [p.rpartition("!")[2].replace("$", "") for p in (entry.text or "").split(",")]
        if "#REF" not in (entry.text or ""):
            out[sheet] = [area_of(sheet, piece) for piece in pieces if piece]
    return out


def sheet_states(package: Package) -> dict[str, str]:
    """How each sheet is shown: ``visible``, ``hidden`` or ``veryHidden``."""
    root = package.xml(package.workbook_part)
    sheets = root.iterfind(f"{main('sheets')}/{main('sheet')}")
    return {s.get("name", ""): s.get("state", "visible") for s in sheets if s.get(f"{{{OFFICE_RELATIONS}}}id")}


# ---------------------------------------------------------------- values


def is_number(value: Cell | None) -> bool:
    """Whether a value is a number (TRUE and errors are none)."""
    return isinstance(value, float)


def is_text(value: Cell | None) -> bool:
    """Whether a value is a text that shows something."""
    return isinstance(value, str) and not isinstance(value, ErrorValue) and value.strip() != ""


def headers(book: Book, grid: Grid, wanted: Callable[[set[str]], bool]) -> list[tuple[int, dict[str, int]]]:
    """The rows whose typed texts, in lower case, are what is `wanted`: (row, column by text).

    Rows inside a table are data, whatever they say.
    """
    if grid.sheet not in book.words:
        words: dict[int, dict[str, int]] = {}
        bodies = [t.area for t in book.tables if t.area.sheet == grid.sheet]
        inside = {r for a in bodies for r in range(a.top + 1, a.bottom + 1)}
        for (row, column), value in grid.inputs.items():
            if isinstance(value, str) and len(value) <= LONGEST_HEADING and row not in inside:
                words.setdefault(row, {}).setdefault(value.strip().casefold(), column)
        book.words[grid.sheet] = {row: words[row] for row in sorted(words)}
    return [(row, columns) for row, columns in book.words[grid.sheet].items() if wanted(set(columns))]


# ---------------------------------------------------------------- sentences


def sentences(findings: Iterable[Finding]) -> list[str]:
    """One sentence for all cells of a sheet of which the same is said."""
    groups: dict[tuple[str, str, str], set[At]] = {}
    for f in findings:
        groups.setdefault((f.sheet, f.fact, f.advice), set()).add((f.row, f.column))
    return [f"{sheet}!{spelled(cells)}: {fact}; {advice}." for (sheet, fact, advice), cells in groups.items()]


def spelled(cells: Iterable[At]) -> str:
    """Cells as ranges, the first few in full."""
    areas = _rectangles(set(cells))
    shown = ", ".join(_address(a) for a in areas[:SHOWN])
    return shown if len(areas) <= SHOWN else f"{shown} and {len(areas) - SHOWN} more places"


def _address(area: tuple[int, int, int, int]) -> str:
    top, left, bottom, right = area
    first = f"{get_column_letter(left)}{top}"
    return first if (top, left) == (bottom, right) else f"{first}:{get_column_letter(right)}{bottom}"


def _rectangles(cells: set[At]) -> list[tuple[int, int, int, int]]:
    """Runs along the rows, stacked where they cover the same columns."""
    runs: list[list[int]] = []
    for row, column in sorted(cells):
        if runs and runs[-1][0] == row and runs[-1][3] == column - 1:
            runs[-1][3] = column
        else:
            runs.append([row, column, row, column])
    out: list[list[int]] = []
    above: dict[tuple[int, int, int], list[int]] = {}
    for run in runs:
        found = above.pop((run[1], run[3], run[0] - 1), None)
        if found is None:
            found = run
            out.append(run)
        found[2] = run[0]
        above[found[1], found[3], found[2]] = found
    return [(a[0], a[1], a[2], a[3]) for a in sorted(out)]
