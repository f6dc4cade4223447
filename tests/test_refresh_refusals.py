"""Refresh: damaged, locked, protected and hostile files are refused with one sentence and left untouched."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from refresh_cases import older, parts_of, put, save, table_of
from refresh_user import add_part

from mlsysim.things import HARDWARE
from workbook.__main__ import main
from workbook.caches import SheetCells
from workbook.errors import OLE2_MAGIC, WorkbookError
from workbook.package import CONTENT_TYPES, Package, open_package
from workbook.package import main as tag
from workbook.refresh import refresh
from workbook.sheets.registries import TABLES

pytestmark = pytest.mark.slow  # every test builds, changes and recalculates whole files

CHIPS = TABLES[HARDWARE.kind]
BOOK = "xl/workbook.xml"
Damage = Callable[[Path], Path | None]


@pytest.fixture(scope="module")
def old(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workbook of an older version."""
    return older(plan, tmp_path_factory.mktemp("older") / "OLD.xlsx")


def parts(change: Callable[[dict[str, bytes]], Any]) -> Damage:
    """A change of the parts, in one archive."""

    def damage(path: Path) -> None:
        held = parts_of(path)
        change(held)
        save(held, path)

    return damage


def package(change: Callable[[Package], Any]) -> Damage:
    """A change of the package."""

    def damage(path: Path) -> None:
        opened = open_package(path)
        change(opened)
        save(opened.parts, path)

    return damage


def data(change: Callable[[bytes], bytes]) -> Damage:
    """A change of the bytes of the file."""
    return lambda path: path.write_bytes(change(path.read_bytes())) and None  # type: ignore[func-returns-value]


def beside(name: str) -> Damage:
    """A file beside."""
    return lambda path: (path.parent / name).write_text("") and None  # type: ignore[func-returns-value]


def moved(name: str) -> Damage:
    """Under another name."""
    return lambda path: path.rename(path.with_name(name))


def added(name: str, contents: bytes = b"x", **options: Any) -> Damage:
    """One entry more."""

    def damage(path: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            warnings.simplefilter("ignore")  # of names that are there twice
            archive.writestr(name, contents, **options)

    return damage


def replaced(part: str, one: bytes, other: bytes) -> Damage:
    """Other bytes within a part."""

    def change(held: dict[str, bytes]) -> None:
        assert one in held[part]
        held[part] = held[part].replace(one, other)

    return parts(change)


def attribute(part: str, element: str, name: str, value: str) -> Damage:
    """An attribute of the first element of a name, made where it is missing."""

    def change(opened: Package) -> None:
        root = opened.xml(part)
        found = next(root.iter(tag(element)), None)
        if found is None:
            found = etree.Element(tag(element))
            root.insert(0, found)
        found.set(name, value)
        opened.put(part, root)

    return package(change)


def of_table(name: str, change: Callable[[etree._Element], Any]) -> Damage:
    """A change of a table's own part."""

    def damage(opened: Package) -> None:
        table, _ = table_of(opened, name)
        root = opened.xml(table.part)
        change(root)
        opened.put(table.part, root)

    return package(damage)


def cell(name: str, heading: str, down: int, value: Any) -> Damage:
    """A value in a column of a table, so many rows below its header; -1 is the row below its last."""

    def damage(opened: Package) -> None:
        table, grid = table_of(opened, name)
        root = opened.xml(grid.part)
        row = table.area.bottom + 1 if down < 0 else table.area.top + down
        put(SheetCells(root).cell(row, table.area.left + table.columns.index(heading)), value)
        opened.put(grid.part, root)

    return package(damage)


def both(*damages: Damage) -> Damage:
    """One after the other."""

    def damage(path: Path) -> None:
        for each in damages:
            each(path)

    return damage


def rename_column(root: etree._Element) -> None:
    next(c for c in root.iter(tag("tableColumn")) if c.get("name") == "tdp (W)").set("name", "watts")


def newer_column(root: etree._Element) -> None:
    next(c for c in root.iter(tag("tableColumn")) if c.get("name") == "tdp (W)").set("name", "qubits (W)")


def later_version(opened: Package) -> None:
    from mlsysim.version import __version__

    _, grid = table_of(opened, "tblChecks")
    text = opened.parts[grid.part]
    assert f'="{__version__}"'.encode() in text
    opened.parts[grid.part] = text.replace(f'="{__version__}"'.encode(), b'="99.0.0"')


def wrong_sum(path: Path) -> None:
    """One bit of what is packed is another, so that its check sum does not hold."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("xl/styles.xml")
    held = bytearray(path.read_bytes())
    held[entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2] ^= 0x10
    path.write_bytes(bytes(held))


def flagged(path: Path) -> None:
    """Every entry says that it is behind a password."""
    held = bytearray(path.read_bytes())
    at = 0
    while (at := held.find(b"PK\x01\x02", at)) >= 0:
        held[at + 8] |= 1
        at += 4
    path.write_bytes(bytes(held))


def looped(path: Path) -> Path:
    one, other = path.with_name("one.xlsx"), path.with_name("other.xlsx")
    one.symlink_to(other)
    other.symlink_to(one)
    return one


def folder(path: Path) -> Path:
    path.with_name("folder.xlsx").mkdir()
    return path.with_name("folder.xlsx")


def pipe(path: Path) -> Path:
    os.mkfifo(path.with_name("pipe.xlsx"))
    return path.with_name("pipe.xlsx")


LAUGHS = (
    b'<!DOCTYPE w [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><worksheet '
    b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData/></worksheet>'
)
READS = (
    b'<!DOCTYPE w [<!ENTITY a SYSTEM "file:///etc/passwd">]><worksheet '
    b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData/></worksheet>'
)
FINAL = (
    b'<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties" xmlns:vt="http://'
    b'schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes"><property fmtid="{D5CDD505-2E9C-101B-9397-'
    b'08002B2CF9AE}" pid="2" name="_MarkAsFinal"><vt:bool>true</vt:bool></property></Properties>'
)
REVISIONS = "application/vnd.openxmlformats-officedocument.spreadsheetml.revisionHeaders+xml"
MAIN_TYPE = b"officedocument.spreadsheetml.sheet.main+xml"

CASES: dict[str, tuple[Damage, str]] = {
    "open in Excel": (beside("~$a.xlsx"), "is open in another program"),
    "open in LibreOffice": (beside(".~lock.a.xlsx#"), "is open in another program"),
    "read-only file": (lambda path: path.chmod(0o444), "is read-only"),
    "read-only folder": (lambda path: path.parent.chmod(0o555), "is read-only"),
    "signed": (parts(lambda p: p.update({"_xmlsignatures/origin.sigs": b""})), "signed"),
    "encrypted": (lambda path: path.write_bytes(OLE2_MAGIC + "EncryptedPackage".encode("utf-16-le")), "encrypted"),
    "password in the archive": (flagged, "encrypted"),
    "text": (data(lambda _: b"key,title\n"), "not an Excel workbook"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "another archive": (lambda path: save({"a.txt": b"a"}, path), "without a list of contents"),
    "no workbook inside": (parts(lambda p: p.pop(BOOK)), "without a workbook"),
    "a letter": (replaced(BOOK, b"spreadsheetml/2006/main", b"wordprocessingml/2006/main"), "another kind of Office"),
    "strict": (
        replaced(BOOK, b"http://schemas.openxmlformats.org/spreadsheetml/2006/main",
                 b"http://purl.oclc.org/ooxml/spreadsheetml/main"), "Strict Open XML"),
    "half of it": (data(lambda d: d[: len(d) // 2]), "it is damaged"),
    "without its end": (data(lambda d: d[:-30]), "it is damaged"),
    "something before it": (data(lambda d: b"#!/bin/sh\n" + d), "something else"),
    "a wrong check sum": (wrong_sum, "it is damaged"),
    "no sheet": (parts(lambda p: p.pop("xl/worksheets/sheet3.xml")), "is missing"),
    "no table": (parts(lambda p: p.pop("xl/tables/table2.xml")), "is missing"),
    "no formats": (parts(lambda p: p.pop("xl/styles.xml")), "is missing"),
    "no list of contents": (parts(lambda p: p.pop(CONTENT_TYPES)), "without a list of contents"),
    "a sheet of unknown kind": (replaced(CONTENT_TYPES, b"spreadsheetml.worksheet+xml", b"x"), "does not say what"),
    "a relation of unknown kind": (
        package(lambda p: add_part(p, "xl/a.qqq", b"", "mine", "x/x") and _forget(p, b"xl/a.qqq")),
        "does not say what"),
    "a part twice": (added("xl/styles.xml"), "is there twice"),
    "a part twice, but for case": (added("XL/Styles.xml"), "is there twice"),
    "an absolute path": (added("/etc/cron.d/x"), "points outside"),
    "a path upwards": (added("xl/../../x.xml"), "points outside"),
    "a path of Windows": (added("C:/x.xml"), "points outside"),
    "a bomb": (added("xl/media/x.png", bytes(1 << 28)), "is refused"),
    "another compression": (added("xl/x.xml", b"<a/>", compress_type=zipfile.ZIP_BZIP2), "compressed in a way"),
    "entities": (parts(lambda p: p.update({"xl/worksheets/sheet2.xml": LAUGHS})), "declares a document type"),
    "entities from elsewhere": (parts(lambda p: p.update({"xl/worksheets/sheet2.xml": READS})), "document type"),
    "entities in UTF-16": (
        parts(lambda p: p.update({"xl/worksheets/sheet2.xml": LAUGHS.decode().encode("utf-16")})), "document type"),
    "a sheet cut off": (
        parts(lambda p: p.update({"xl/worksheets/sheet2.xml": p["xl/worksheets/sheet2.xml"][:-40]})),
        "cannot be read"),
    "old format by name": (moved("a.xls"), "does not end in .xlsx or .xlsm"),
    "template by name": (moved("a.xltx"), "does not end in .xlsx or .xlsm"),
    "macros by name": (moved("a.xlsm"), "another kind of workbook than its ending"),
    "macros by contents": (
        replaced(CONTENT_TYPES, b"application/vnd.openxmlformats-" + MAIN_TYPE,
                 b"application/vnd.ms-excel.sheet.macroEnabled.main+xml"), "another kind of workbook"),
    "a folder": (folder, "is a folder"),
    "a pipe": (pipe, "is no ordinary file"),
    "links in a circle": (looped, "lead in a circle"),
    "nothing": (lambda path: path.with_name("nothing.xlsx"), "There is no file"),
    "shared with a log": (
        package(lambda p: add_part(p, "xl/revisions/revisionHeaders.xml", b"<headers/>", "revisionHeaders", REVISIONS)),
        "is a shared workbook"),
    "marked as final": (
        package(lambda p: add_part(p, "docProps/custom.xml", FINAL, "custom-properties", "application/xml", "")),
        "marked as final"),
    "a password to change it": (attribute(BOOK, "fileSharing", "reservationPassword", "CC1A"), "needs a password"),
    "dates from 1904": (attribute(BOOK, "workbookPr", "date1904", "1"), "counts dates from 1904"),
    "a newer version": (package(later_version), "was built by version 99.0.0"),
    "a column of a newer version": (
        both(of_table(CHIPS, newer_column), cell(CHIPS, "qubits (W)", 0, "qubits (W)"),
             cell("tblSources", "field", 1, "qubits")), "does not know; install a newer version"),
    "a renamed column": (both(of_table(CHIPS, rename_column), cell(CHIPS, "watts", 0, "watts")), "'tdp (W)' any more"),
    "a heading that is another": (cell(CHIPS, "tdp (W)", 0, "watts"), "is headed 'watts'"),
    "a table under another name": (of_table(CHIPS, lambda r: r.set("displayName", "mine")), f"{CHIPS} is missing"),
    "two tables of one name": (of_table("tblModels", lambda r: r.set("displayName", CHIPS)), "two tables"),
    "a table without header": (of_table(CHIPS, lambda r: r.set("headerRowCount", "0")), "no plain table"),
    "a table that is too wide": (of_table(CHIPS, lambda r: r.set("ref", "A5:B9")), "does not fit"),
    "no sources": (of_table("tblSources", lambda r: r.set("displayName", "mine")), "has no table tblSources"),
    "a note below the sources": (cell("tblSources", "printed", -1, "my note"), "clear that place"),
    "an unreadable cell": (
        package(lambda p: _text_as_number(p)), "cannot be read"),
}  # fmt: skip


def _forget(opened: Package, part: bytes) -> None:
    types = opened.parts[CONTENT_TYPES]
    opened.parts[CONTENT_TYPES] = types.replace(b'<Override PartName="/%s" ContentType="x/x"/>' % part, b"")
    assert part not in opened.parts[CONTENT_TYPES]


def _text_as_number(opened: Package) -> None:
    _, grid = table_of(opened, CHIPS)
    root = opened.xml(grid.part)
    found = next(c for c in root.iter(tag("c")) if c.get("t") in (None, "n") and c.find(tag("v")) is not None)
    found.find(tag("v")).text = "eighty"  # type: ignore[union-attr]
    opened.put(grid.part, root)


def listing(folder: Path) -> list[tuple[str, str, int]]:
    """Names, contents and dates of a folder."""
    return sorted(
        (p.name, hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "", p.lstat().st_mtime_ns)
        for p in folder.iterdir()
    )


@pytest.mark.parametrize("which", CASES)
def test_refused_in_a_sentence_and_untouched(which: str, old: Path, tmp_path: Path, capsys: Any) -> None:
    damage, reason = CASES[which]
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "a.xlsx"
    path.write_bytes(old.read_bytes())
    made = damage(path)
    path = made if isinstance(made, Path) else path
    before = listing(folder)
    try:
        assert main(["refresh", str(path)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert said.err.startswith("mls-workbook: ")
        assert reason in said.err
        assert listing(folder) == before
    finally:
        folder.chmod(0o755)


def test_the_undamaged_file_is_accepted(old: Path, tmp_path: Path) -> None:
    """So that the cases above are refused for what was done to them."""
    path = tmp_path / "a.xlsx"
    path.write_bytes(old.read_bytes())
    assert refresh(path).changes > 0
    assert len(CASES) >= 25


def test_a_file_that_an_office_program_holds(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(old.read_bytes())
    before = listing(tmp_path)
    code = (
        "import fcntl,sys; f=open(sys.argv[1],'r+b'); fcntl.lockf(f,fcntl.LOCK_EX); print('held',flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(WorkbookError, match="is open in another program"):
            refresh(path)
        other.communicate("\n")
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "reason"), [("b.xlsm", "must end in .xlsx"), ("c.xlsx", "exists already"), ("a.xlsx", "is the input")]
)
def test_the_output_is_refused_too(name: str, reason: str, old: Path, tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(old.read_bytes())
    (tmp_path / "c.xlsx").write_bytes(b"somebody's")
    before = listing(tmp_path)
    with pytest.raises(WorkbookError, match=reason):
        refresh(tmp_path / "a.xlsx", out=tmp_path / name)
    assert listing(tmp_path) == before


def test_an_archive_whose_parts_lie_over_one_another(old: Path, tmp_path: Path) -> None:
    """The list names one packed part many times, so that a little unpacks to much."""
    path = tmp_path / "a.xlsx"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, held in parts_of(old).items():
            archive.writestr(name, held)
        first = archive.getinfo("xl/styles.xml")
        for i in range(400):
            again = zipfile.ZipInfo(f"xl/x{i}.xml")
            for field in ("header_offset", "compress_size", "file_size", "CRC", "compress_type"):
                setattr(again, field, getattr(first, field))
            archive.filelist.append(again)
    path.write_bytes(buffer.getvalue())
    before = listing(tmp_path)
    with pytest.raises(WorkbookError, match=r"lie over one another|it is damaged"):
        refresh(path)
    assert listing(tmp_path) == before
