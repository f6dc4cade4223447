"""The cells of a workbook as typed values and formulas.

A number is a float, a text a str, TRUE a bool, an error an `ErrorValue` (``ErrorValue("#N/A")`` is no text), a blank
cell is absent. Shared formulas are written out; cells covered by an array formula belong to it and are no input.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lxml import etree
from openpyxl.formula.translate import Translator, TranslatorError
from openpyxl.utils.cell import coordinate_to_tuple, get_column_letter

from workbook.errors import WorkbookError
from workbook.package import Area, Package, area_of, main, unescape


class ErrorValue(str):
    """An Excel error such as ``#N/A``, told from a text that happens to look like one by its type."""

    __slots__ = ()


Cell = float | str | bool
Block = list[list[Cell]]

# What Excel itself stores as an error; anything else that an engine reports has no cached form.
ERRORS = ("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A")

_C, _F, _V, _IS, _T, _R = map(main, ("c", "f", "v", "is", "t", "r"))
_DAY_ZERO = datetime(1899, 12, 30)  # so that 1 March 1900 is day 61, as in Excel


@dataclass(frozen=True)
class Formula:
    """A formula cell.

    Attributes
    ----------
    sheet, row, column
        Where it stands (1-based).
    text : str
        The formula without "=", shared formulas translated to this cell.
    block : Area or None
        The cells an array formula covers, itself included.
    dynamic : bool
        Whether it is an Excel 365 formula that spills, and not an array formula of a fixed size.
    cached : Cell or None
        The value that the file holds for it.
    unreadable : str
        Why `text` cannot be used ("" when it can).
    """

    sheet: str
    row: int
    column: int
    text: str
    block: Area | None
    dynamic: bool
    cached: Cell | None
    unreadable: str = ""

    @property
    def at(self) -> str:
        """Its A1 address on its sheet."""
        return f"{get_column_letter(self.column)}{self.row}"


@dataclass
class Grid:
    """One worksheet's contents, by (row, column)."""

    sheet: str
    part: str
    inputs: dict[tuple[int, int], Cell] = field(default_factory=dict)
    formulas: dict[tuple[int, int], Formula] = field(default_factory=dict)
    covered: dict[tuple[int, int], Cell] = field(default_factory=dict)

    def value(self, row: int, column: int) -> Cell | None:
        """What the file shows at a cell: the input, or the cached value of a formula; None for blank."""
        at = (row, column)
        if at in self.formulas:
            return self.formulas[at].cached
        return self.inputs.get(at, self.covered.get(at))


def read_grids(package: Package, only: Container[str] | None = None) -> list[Grid]:
    """Read the worksheets of a package: all of them, or those named in `only`.

    Raises
    ------
    WorkbookError
        When a part is damaged.
    """
    shared = _shared_strings(package)
    dynamic = dynamic_metadata(package)
    wanted = [sheet for sheet in package.sheets() if only is None or sheet.name in only]
    return [_grid(package, sheet.name, sheet.part, shared, dynamic) for sheet in wanted]


def walk(root: etree._Element) -> Iterator[tuple[int, int, etree._Element]]:
    """Every cell element of a sheet with its row and column (which the file may leave out)."""
    row = 0
    for line in root.iterfind(f"{main('sheetData')}/{main('row')}"):
        row = int(line.get("r", row + 1))
        column = 0
        for element in line.iterchildren(_C):
            ref = element.get("r")
            column = coordinate_to_tuple(ref)[1] if ref else column + 1
            yield row, column, element


def dynamic_metadata(package: Package) -> set[int]:
    """The values of a cell's ``cm`` attribute that mean "dynamic array"."""
    parts = [r.target for r in package.relations(package.workbook_part) if r.kind == "sheetMetadata"]
    if not parts or parts[0] not in package.parts:
        return set()
    root = package.xml(parts[0])
    types = [t.get("name") for t in root.iterfind(f"{main('metadataTypes')}/{main('metadataType')}")]
    out = set()
    for index, block in enumerate(root.iterfind(f"{main('cellMetadata')}/{main('bk')}"), start=1):
        for record in block.iterfind(main("rc")):
            kind = int(record.get("t", "0"))
            if 0 < kind <= len(types) and types[kind - 1] == "XLDAPR":
                out.add(index)
    return out


def _grid(package: Package, name: str, part: str, shared: list[str], dynamic: set[int]) -> Grid:
    grid = Grid(name, part)
    masters: dict[str, tuple[str, str]] = {}
    for row, column, element in walk(package.xml(part)):
        held = {child.tag: child for child in element}
        source = held.get(_F)
        try:
            value = _value(element.get("t", "n"), held, shared)
        except (ValueError, IndexError) as trouble:
            where, text = f"{name}!{get_column_letter(column)}{row}", held[_V].text
            raise WorkbookError(f"The file is damaged: cell {where} holds {text!r}, which cannot be read.") from trouble
        if source is None:
            if value is not None:
                grid.inputs[row, column] = value
            continue
        grid.formulas[row, column] = _formula(grid.sheet, row, column, element, source, value, masters, dynamic)
    for formula in grid.formulas.values():
        if formula.block is not None and formula.block.shape != (1, 1):
            # Whichever of the two is smaller: a block may span whole columns.
            inside = [at for at in grid.inputs if (grid.sheet, *at) in formula.block]
            for at in inside:
                grid.covered[at] = grid.inputs.pop(at)
    return grid


def _formula(
    sheet: str,
    row: int,
    column: int,
    element: etree._Element,
    source: etree._Element,
    value: Cell | None,
    masters: dict[str, tuple[str, str]],
    dynamic: set[int],
) -> Formula:
    at = f"{get_column_letter(column)}{row}"
    text, kind, ref = unescape(source.text or ""), source.get("t", "normal"), source.get("ref")
    block, trouble = None, ""
    if kind == "shared":
        index = source.get("si", "")
        if text:
            masters[index] = (text, at)
        elif index in masters:
            text, trouble = _translated(*masters[index], at)
        else:
            trouble = "it shares a formula that the file does not contain"
    elif kind == "array" and ref:
        block = area_of(sheet, ref)
    elif kind == "dataTable":
        block, trouble = area_of(sheet, ref or at), "it is a what-if data table"
    if not text and not trouble:
        trouble = "its formula is empty"
    spills = kind == "array" and int(element.get("cm", "0")) in dynamic
    return Formula(sheet, row, column, text, block, spills, value, trouble)


def _translated(text: str, origin: str, to: str) -> tuple[str, str]:
    try:
        return Translator(f"={text}", origin=origin).translate_formula(to)[1:], ""
    except TranslatorError:
        return "", f"the formula it shares with {origin} points outside the sheet from here"


def _shared_strings(package: Package) -> list[str]:
    parts = [r.target for r in package.relations(package.workbook_part) if r.kind == "sharedStrings"]
    if not parts or parts[0] not in package.parts:
        return []
    return [_text(item) for item in package.xml(parts[0]).iterfind(main("si"))]


def _text(item: etree._Element) -> str:
    # Plain text, or runs of rich text; phonetic hints (rPh) are not part of it.
    pieces = [*item.iterchildren(_T), *(piece for run in item.iterchildren(_R) for piece in run.iterchildren(_T))]
    return unescape("".join(piece.text or "" for piece in pieces))


def _value(kind: str, held: Mapping[str, etree._Element], shared: list[str]) -> Cell | None:
    if kind == "inlineStr":
        return _text(held[_IS]) if _IS in held else ""
    text = (held[_V].text or "") if _V in held else ""
    if _V not in held or (text == "" and kind != "str"):
        return None
    if kind == "s":
        return shared[int(text)]
    if kind == "str":
        return unescape(text)
    if kind == "b":
        return text.strip() in {"1", "true"}
    if kind == "e":
        return ErrorValue(text)
    if kind == "d":
        return (datetime.fromisoformat(text.replace("Z", "")) - _DAY_ZERO) / timedelta(days=1)
    return float(text)
