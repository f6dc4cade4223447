"""An .xlsx file as its parts: read whole, looked up, written back deterministically.

`open_package` answers with a `Package` or with a `WorkbookError` that says what is wrong with the file. Parts that
nobody touches keep their bytes; the archive itself is written with fixed stamps and a fixed order, beside the target
first, so that equal contents are equal files and a failed write leaves nothing behind.
"""

from __future__ import annotations

import io
import os
import posixpath
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from lxml import etree
from openpyxl.utils.cell import range_boundaries

from workbook import errors
from workbook.errors import WorkbookError

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
OFFICE_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
CONTENT_TYPES = "[Content_Types].xml"
LARGEST = 1 << 30  # bytes unpacked: beyond it the file is a mistake or an attack, not a workbook of this kind

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=False)


def main(tag: str) -> str:
    """The name of `tag` in the SpreadsheetML namespace, as lxml writes it."""
    return f"{{{MAIN}}}{tag}"


@dataclass(frozen=True)
class Area:
    """A rectangle of cells, 1-based and inclusive."""

    sheet: str
    top: int
    left: int
    bottom: int
    right: int

    def __contains__(self, cell: object) -> bool:
        """Whether (sheet, row, column) lies inside."""
        if not (isinstance(cell, tuple) and len(cell) == 3):
            return False
        sheet, row, column = cell
        return bool(sheet == self.sheet and self.top <= row <= self.bottom and self.left <= column <= self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top + 1, self.right - self.left + 1

    def cells(self) -> Iterator[tuple[int, int]]:
        """Every (row, column), row by row."""
        return ((r, c) for r in range(self.top, self.bottom + 1) for c in range(self.left, self.right + 1))


def area_of(sheet: str, ref: str) -> Area:
    """The rectangle that an A1 text such as ``B2:D9`` names on `sheet`."""
    try:
        left, top, right, bottom = range_boundaries(ref)
    except (ValueError, TypeError) as trouble:
        raise WorkbookError(f"{ref!r} on sheet {sheet!r} is not a range of cells.") from trouble
    return Area(sheet, top or 1, left or 1, bottom or 1_048_576, right or 16_384)


@dataclass(frozen=True)
class Relation:
    """One entry of a .rels part: its id, the last word of its type, the part it points to ("" when outside)."""

    id: str
    kind: str
    target: str


@dataclass(frozen=True)
class Sheet:
    """A worksheet: its name and its part."""

    name: str
    part: str


@dataclass(frozen=True)
class Table:
    """An Excel table: where it stands and what its columns are called."""

    name: str
    part: str
    area: Area
    columns: tuple[str, ...]
    header_rows: int
    totals_rows: int


@dataclass(frozen=True)
class Name:
    """A defined name, its text without "=", and the sheet it belongs to (None: the whole workbook)."""

    name: str
    text: str
    sheet: str | None


class Package:
    """The parts of one workbook file, in memory.

    Parameters
    ----------
    parts : dict of str to bytes
        Part name (no leading slash) to contents; changed in place by whoever edits.
    path : Path
        Where it came from, for messages.

    Attributes
    ----------
    streams : dict of str to callable
        Parts that are too long to hold: what is written in the place of their contents, a piece at a time.
    """

    def __init__(self, parts: dict[str, bytes], path: Path) -> None:
        self.parts = parts
        self.path = path
        self.streams: dict[str, Callable[[], Iterator[bytes]]] = {}
        if CONTENT_TYPES not in parts:
            raise errors.not_a_workbook(path, "it is a zip archive without a list of contents")
        found = [r.target for r in self.relations("") if r.kind == "officeDocument"]
        self.workbook_part = found[0] if found else "xl/workbook.xml"
        if self.workbook_part not in parts or not self.workbook_part.endswith(".xml"):
            raise errors.not_a_workbook(path, "it is a zip archive without a workbook inside")
        tag = self.xml(self.workbook_part).tag
        if tag == f"{{{STRICT}}}workbook":
            raise WorkbookError(f'{path} is a "Strict Open XML" workbook; save it as an ordinary .xlsx first.')
        if tag != main("workbook"):
            raise errors.not_a_workbook(path, "it is another kind of Office document")

    def xml(self, part: str) -> etree._Element:
        """The parsed contents of `part` (a new tree at every call)."""
        try:
            return etree.fromstring(self.parts[part], _PARSER)
        except KeyError:
            raise WorkbookError(f"{self.path} is damaged: its part {part} is missing.") from None
        except etree.XMLSyntaxError as trouble:
            raise WorkbookError(f"{self.path} is damaged: its part {part} cannot be read ({trouble}).") from trouble

    def put(self, part: str, root: etree._Element) -> None:
        """Store `root` as the contents of `part`."""
        self.parts[part] = etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)

    def relations(self, part: str) -> list[Relation]:
        """The relations of `part` ("" for the package itself)."""
        folder, name = posixpath.split(part)
        rels = posixpath.join(folder, "_rels", f"{name}.rels")
        if rels not in self.parts:
            return []
        out = []
        for entry in self.xml(rels).iter(f"{{{PACKAGE_RELATIONS}}}Relationship"):
            target = ""
            if entry.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, unquote(entry.get("Target", "")))).lstrip("/")
            out.append(Relation(entry.get("Id", ""), entry.get("Type", "").rpartition("/")[2], target))
        return out

    def sheets(self) -> list[Sheet]:
        """The worksheets in their order; chart and macro sheets, which hold no cells, are left out."""
        targets = {r.id: r for r in self.relations(self.workbook_part)}
        out = []
        for entry in self.xml(self.workbook_part).iterfind(f"{main('sheets')}/{main('sheet')}"):
            relation = targets.get(entry.get(f"{{{OFFICE_RELATIONS}}}id", ""))
            name = entry.get("name", "")
            if relation is None or relation.target not in self.parts:
                raise WorkbookError(f"{self.path} is damaged: the contents of sheet {name!r} are missing.")
            if relation.kind == "worksheet":
                out.append(Sheet(name, relation.target))
        return out

    def tables(self) -> list[Table]:
        """The Excel tables of all sheets."""
        out = []
        for sheet in self.sheets():
            for relation in self.relations(sheet.part):
                if relation.kind == "table" and relation.target in self.parts:
                    out.append(self._table(sheet.name, relation.target))
        return out

    def _table(self, sheet: str, part: str) -> Table:
        root = self.xml(part)
        return Table(
            root.get("displayName", root.get("name", "")) or "",
            part,
            area_of(sheet, root.get("ref", "")),
            tuple(unescape(c.get("name", "")) for c in root.iterfind(f"{main('tableColumns')}/{main('tableColumn')}")),
            int(root.get("headerRowCount", "1")),
            int(root.get("totalsRowCount", "0")),
        )

    def names(self) -> list[Name]:
        """The defined names, built-in ones (print areas, filters) left out."""
        root = self.xml(self.workbook_part)
        # localSheetId counts all sheets, chart sheets included.
        order = [s.get("name", "") for s in root.iterfind(f"{main('sheets')}/{main('sheet')}")]
        out = []
        for entry in root.iterfind(f"{main('definedNames')}/{main('definedName')}"):
            name, local = entry.get("name", ""), entry.get("localSheetId")
            if not name.startswith("_xlnm."):
                out.append(Name(name, (entry.text or "").strip(), order[int(local)] if local else None))
        return out

    def write(self, target: Path, *, force: bool) -> None:
        """Write the archive: the same parts give the same bytes; beside the target first, then in one step.

        Parameters
        ----------
        target : Path
            Where to; never the file this package was read from.
        force : bool
            Whether an existing target may be replaced.

        Raises
        ------
        WorkbookError
            When the target may not or cannot be written.
        """
        errors.refuse_target(self.path if self.path.exists() else None, target, force=force)
        beside: Path | None = None
        try:
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as stream:
                beside = Path(stream.name)
                self.write_to(stream)
                stream.flush()
                os.fsync(stream.fileno())
            mask = os.umask(0)
            os.umask(mask)
            beside.chmod(0o666 & ~mask)
            os.replace(beside, target)
        except PermissionError as trouble:
            raise errors.locked(target) from trouble
        except OSError as trouble:
            raise WorkbookError(f"{target} could not be written: {trouble.strerror or trouble}.") from trouble
        finally:
            if beside is not None:
                beside.unlink(missing_ok=True)

    def to_bytes(self) -> bytes:
        """The archive as bytes."""
        buffer = io.BytesIO()
        self.write_to(buffer)
        return buffer.getvalue()

    def write_to(self, stream: IO[bytes]) -> None:
        """Write the archive: fixed stamps, list of contents first, then by name."""
        with zipfile.ZipFile(stream, "w") as archive:
            for name in sorted(self.parts, key=lambda n: (n != CONTENT_TYPES, n)):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o600 << 16
                entry.create_system = 0
                if name not in self.streams:
                    archive.writestr(entry, self.parts[name], compresslevel=6)
                    continue
                with archive.open(entry, "w") as part:
                    for piece in self.streams[name]():
                        part.write(piece)

    @property
    def is_signed(self) -> bool:
        """Whether the file carries a digital signature."""
        return any(name.startswith("_xmlsignatures/") for name in self.parts)


def open_package(path: Path | str) -> Package:
    """Read a workbook file.

    Parameters
    ----------
    path : Path or str
        An .xlsx (or .xlsm) file.

    Returns
    -------
    Package
        Its parts.

    Raises
    ------
    WorkbookError
        When the file is missing, open elsewhere, encrypted, damaged or not a workbook.
    """
    path = Path(path)
    if not path.is_file():
        raise errors.missing(path)
    errors.refuse_locked(path)
    try:
        data = path.read_bytes()
    except PermissionError as trouble:
        raise errors.locked(path) from trouble
    except OSError as trouble:
        raise WorkbookError(f"{path} could not be read: {trouble.strerror or trouble}.") from trouble
    if data.startswith(errors.OLE2_MAGIC):
        if "EncryptedPackage".encode("utf-16-le") in data or path.suffix.lower() in {".xlsx", ".xlsm"}:
            raise errors.encrypted(path)
        raise errors.not_a_workbook(path, "it is in the old .xls format")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise WorkbookError(f"{path} unpacks to more than {LARGEST >> 30} GiB; that is refused.")
            parts = {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}
    except zipfile.BadZipFile as trouble:
        why = "it is damaged" if data.startswith(b"PK") else "its contents are something else"
        raise errors.not_a_workbook(path, why) from trouble
    except (RuntimeError, NotImplementedError) as trouble:  # a password or a method inside the zip archive itself
        raise errors.not_a_workbook(path, f"its archive cannot be unpacked ({trouble})") from trouble
    return Package(parts, path)


def unescape(text: str) -> str:
    """Text as Excel means it: ``_x000A_`` stands for the character 10."""
    if "_x" not in text:
        return text
    out, rest = [], text
    while (at := rest.find("_x")) >= 0:
        code = rest[at + 2 : at + 6]
        if rest[at + 6 : at + 7] == "_" and len(code) == 4 and all(c in "0123456789abcdefABCDEF" for c in code):
            out.append(rest[:at] + chr(int(code, 16)))
            rest = rest[at + 7 :]
        else:
            out.append(rest[: at + 2])
            rest = rest[at + 2 :]
    return "".join(out) + rest
