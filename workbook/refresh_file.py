"""Somebody's workbook file, read with suspicion and replaced without risk.

`read_file` refuses whatever is locked, protected against changes, damaged or built to do harm, before anything of it is
used. `replace_file` writes the new file beside the old one and forces it to the disk, reads it back, keeps a dated
backup, and only then puts it in place in one step: whenever it is killed, the old or the new file is there, whole.
"""

from __future__ import annotations

import contextlib
import glob
import io
import os
import posixpath
import re
import stat
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from workbook import errors
from workbook.errors import WorkbookError
from workbook.package import CONTENT_TYPES, LARGEST, Package

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CONTENTS = {  # what the list of contents must call the workbook part, by the file's ending
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
    ".xlsm": "application/vnd.ms-excel.sheet.macroEnabled.main+xml",
}
KINDS = {"worksheet": ".worksheet+xml", "table": ".table+xml", "styles": ".styles+xml"}
TYPES = "{http://schemas.openxmlformats.org/package/2006/content-types}"
ENTRIES = 20_000  # a workbook with more parts than this is none
EXPANSION = 400  # sheets shrink to a hundredth, bombs to a thousandth
HARMLESS = 1 << 24  # bytes that a part may have whatever its expansion
LEFTOVER = ".refresh.tmp"


@dataclass(frozen=True)
class Original:
    """A file as it was read: where it really is, its bytes, its archive entries in their order, its parts."""

    path: Path
    data: bytes
    entries: tuple[zipfile.ZipInfo, ...]
    package: Package


def real_path(path: Path) -> Path:
    """The file behind links, so that a link stays a link to the refreshed file.

    Raises
    ------
    WorkbookError
        When nothing, or something else than a file, stands there.
    """
    try:
        real = path.resolve(strict=True)
    except FileNotFoundError:
        raise errors.missing(path) from None
    except (OSError, RuntimeError) as trouble:
        raise WorkbookError(f"{path} cannot be followed to a file; its links lead in a circle.") from trouble
    if real.is_dir():
        raise errors.missing(path)
    if not real.is_file():
        raise WorkbookError(f"{path} is no ordinary file; name a workbook (.xlsx or .xlsm).")
    if path.suffix.casefold() not in CONTENTS or real.suffix.casefold() not in CONTENTS:
        raise WorkbookError(f"{path} does not end in .xlsx or .xlsm; name a workbook.")
    return real


@contextlib.contextmanager
def held(path: Path, *, change: bool) -> Iterator[None]:
    """Hold a file while it is refreshed, or refuse it because somebody else holds it.

    Parameters
    ----------
    path : Path
        The real file.
    change : bool
        Whether it is to be replaced, and not only read.

    Raises
    ------
    WorkbookError
        When the file is open in another program or may not be written.
    """
    errors.refuse_locked(path)
    if change:
        errors.refuse_target(None, path, force=True)
    try:
        stream = open(path, "r+b" if change else "rb")  # noqa: SIM115 (held until the caller is done)
    except PermissionError as trouble:
        raise errors.locked(path) from trouble
    except OSError as trouble:
        raise WorkbookError(f"{path} could not be opened: {trouble.strerror or trouble}.") from trouble
    with stream:
        if fcntl is None:  # Windows: opening it was the test, and a file that is held cannot be replaced
            stream.close()
        else:
            _lock(stream.fileno(), path, change)
        yield


def _lock(handle: int, path: Path, change: bool) -> None:
    """Two kinds of locks: one tells whether an office program has the file, one keeps a second refresh away."""
    kind = (fcntl.LOCK_EX if change else fcntl.LOCK_SH) | fcntl.LOCK_NB
    for lock in (fcntl.lockf, fcntl.flock):
        try:
            lock(handle, kind)
        except (BlockingIOError, PermissionError) as trouble:
            raise errors.locked(path) from trouble
        except OSError:  # a file system without locks
            return


def read_file(path: Path) -> Original:
    """Read a workbook of unknown history.

    Parameters
    ----------
    path : Path
        The real file, see `real_path`.

    Returns
    -------
    Original
        Its bytes and its parts.

    Raises
    ------
    WorkbookError
        One sentence on what is wrong with it.
    """
    try:
        data = path.read_bytes()
    except OSError as trouble:
        raise WorkbookError(f"{path} could not be read: {trouble.strerror or trouble}.") from trouble
    if data.startswith(errors.OLE2_MAGIC):
        raise errors.encrypted(path)
    if not data.startswith(b"PK\x03\x04"):
        raise errors.not_a_workbook(path, "its contents are something else" if data else "it is empty")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = tuple(archive.infolist())
            _refuse_entries(path, entries, len(data))
            parts = {entry.filename: archive.read(entry) for entry in entries if not entry.is_dir()}
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, OverflowError) as trouble:
        if isinstance(trouble, WorkbookError):
            raise
        raise errors.not_a_workbook(path, "it is damaged") from trouble
    except (RuntimeError, NotImplementedError) as trouble:
        raise errors.not_a_workbook(path, f"its archive cannot be unpacked ({trouble})") from trouble
    refuse_entities(path, parts)
    package = Package(parts, path)
    _refuse_protection(package)
    _refuse_gaps(package)
    return Original(path, data, entries, package)


def _refuse_entries(path: Path, entries: tuple[zipfile.ZipInfo, ...], size: int) -> None:
    """Look at the archive's own list before anything is unpacked."""
    if len(entries) > ENTRIES:
        raise WorkbookError(f"{path} holds {len(entries)} parts; more than {ENTRIES} are refused.")
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
            raise WorkbookError(f"{path} is refused: its part {name!r} points outside the archive.")
        if name.casefold() in seen:
            raise WorkbookError(f"{path} is damaged: its part {name} is there twice.")
        seen.add(name.casefold())
        if entry.flag_bits & 1:
            raise errors.encrypted(path)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise errors.not_a_workbook(path, f"its part {name} is compressed in a way that Excel does not know")
        if entry.file_size > max(HARMLESS, EXPANSION * entry.compress_size):
            raise WorkbookError(f"{path} is refused: its part {name} unpacks to {entry.file_size >> 20} MiB.")
    if sum(entry.file_size for entry in entries) > LARGEST:
        raise WorkbookError(f"{path} unpacks to more than {LARGEST >> 30} GiB; that is refused.")
    if sum(entry.compress_size for entry in entries) > size:
        raise WorkbookError(f"{path} is damaged: its parts lie over one another.")


def refuse_entities(path: Path, parts: Mapping[str, bytes]) -> None:
    """Refuse document types, the only way to entities: no workbook needs one.

    Raises
    ------
    WorkbookError
        Naming the part.
    """
    marks = [mark.encode(code) for mark in ("<!DOCTYPE", "<!ENTITY") for code in ("utf-8", "utf-16-le", "utf-16-be")]
    for name, data in parts.items():
        if name.endswith((".xml", ".rels")) and any(mark in data for mark in marks):
            raise WorkbookError(f"{path} is refused: its part {name} declares a document type or entities of its own.")


def _refuse_protection(package: Package) -> None:
    path = package.path
    if package.is_signed:
        raise errors.signed(path)
    if any(name.startswith(("xl/revisions/", "xl/userNames")) for name in package.parts):
        raise WorkbookError(f"{path} is a shared workbook with a log of changes; stop sharing it first.")
    root = package.xml(package.workbook_part)
    sharing = root.find("{*}fileSharing")
    if sharing is not None and (sharing.get("reservationPassword") or sharing.get("hashValue")):
        raise WorkbookError(f"{path} needs a password to be changed; save a copy without it and refresh that.")
    custom = package.parts.get("docProps/custom.xml", b"")
    if re.search(rb'name="_MarkAsFinal"[^>]*>\s*<[^>]*bool>\s*(true|1)', custom):
        raise WorkbookError(f"{path} is marked as final; take that back in Excel, or refresh a copy.")


def _refuse_gaps(package: Package) -> None:
    """Refuse a package whose parts do not fit together; what Excel would repair is not ours to change."""
    path = package.path
    types = package.xml(CONTENT_TYPES)
    overrides = {
        o.get("PartName", "").lstrip("/").casefold(): o.get("ContentType") for o in types.iter(TYPES + "Override")
    }
    defaults = {d.get("Extension", "").casefold(): d.get("ContentType") for d in types.iter(TYPES + "Default")}

    def kind(part: str) -> str | None:
        return overrides.get(part.casefold()) or defaults.get(part.rpartition(".")[2].casefold())

    wanted = CONTENTS[path.suffix.casefold()]
    if kind(package.workbook_part) != wanted:
        raise WorkbookError(f"{path} holds another kind of workbook than its ending {path.suffix} says; save it anew.")
    for part in package.parts:
        if part.endswith((".xml", ".rels")) and not part.startswith("customXml/"):
            package.xml(part)
        found = re.fullmatch(r"(?:(.*)/)?_rels/(.*)\.rels", part)
        if found is not None:
            for relation in package.relations(posixpath.join(found[1] or "", found[2])):
                target = relation.target
                if not target or relation.kind in ("hyperlink", "image"):  # a lost picture is no danger to the rest
                    continue
                if target not in package.parts:
                    raise WorkbookError(f"{path} is damaged: its part {target} is missing.")
                stated = kind(target) or ""
                if not stated or not stated.endswith(KINDS.get(relation.kind, "")):
                    raise WorkbookError(f"{path} is damaged: its list of contents does not say what {target} is.")


def rewritten(original: Original, parts: Mapping[str, bytes]) -> bytes:
    """The archive with new contents for some parts: same entries, order, dates and methods; read back to be sure.

    Parameters
    ----------
    original : Original
        The file as it was.
    parts : mapping of str to bytes
        New contents by part; every other part keeps its own.

    Returns
    -------
    bytes
        The new file.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry in original.entries:
            copy = zipfile.ZipInfo(entry.filename, entry.date_time)
            copy.compress_type, copy.create_system = entry.compress_type, entry.create_system
            copy.external_attr, copy.comment = entry.external_attr, entry.comment
            name = entry.filename
            held_part = b"" if entry.is_dir() else parts.get(name, original.package.parts[name])
            archive.writestr(copy, held_part, compresslevel=6)
    data = buffer.getvalue()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name, before in original.package.parts.items():
            if archive.read(name) != parts.get(name, before):
                raise RuntimeError(f"{name} was not written as it was meant")
    return data


def backup_name(path: Path) -> Path:
    """``name.YYYYmmdd-HHMMSS.bak.xlsx`` beside a file; numbered where that is taken."""
    stem = f"{path.stem}.{time.strftime('%Y%m%d-%H%M%S')}"
    for number in range(1, 1000):
        backup = path.with_name(f"{stem}{f'-{number}' if number > 1 else ''}.bak{path.suffix}")
        if not backup.exists():
            return backup
    raise WorkbookError(f"There are too many backups {stem}*.bak{path.suffix}; move some away.")


def replace_file(original: Original, data: bytes) -> Path:
    """Put new bytes in the place of a file that was read; answers with the backup of the former one.

    Parameters
    ----------
    original : Original
        The file as it was read; it is refused if it has changed since.
    data : bytes
        The new file.

    Returns
    -------
    Path
        The backup.

    Raises
    ------
    WorkbookError
        When the folder or the file may not be written; the file is then as it was.
    """
    path = original.path
    for stale in path.parent.glob(f".{glob.escape(path.name)}.????????{LEFTOVER}"):  # of a run that was killed
        stale.unlink(missing_ok=True)
    try:
        kept = path.stat()
        with _beside(path, original.data, kept) as copy, _beside(path, data, kept) as fresh:
            errors.refuse_locked(path)
            if path.read_bytes() != original.data:
                raise WorkbookError(f"{path} was changed by another program meanwhile; run refresh again.")
            backup = backup_name(path)
            os.replace(copy, backup)
            _sync_folder(path.parent)
            os.replace(fresh, path)
            _sync_folder(path.parent)
    except PermissionError as trouble:
        raise errors.locked(path) from trouble
    except OSError as trouble:
        raise WorkbookError(f"{path} could not be replaced: {trouble.strerror or trouble}.") from trouble
    return backup


def write_new(path: Path, data: bytes) -> None:
    """Write a file that does not exist yet, in one step.

    Raises
    ------
    WorkbookError
        When it exists or cannot be written.
    """
    errors.refuse_target(None, path, force=False)
    try:
        with _beside(path, data, None) as fresh:
            os.replace(fresh, path)
            _sync_folder(path.parent)
    except OSError as trouble:
        raise WorkbookError(f"{path} could not be written: {trouble.strerror or trouble}.") from trouble


@contextlib.contextmanager
def _beside(path: Path, data: bytes, like: os.stat_result | None) -> Iterator[Path]:
    """A temporary file in the same folder that holds `data`, on the disk and read back; afterwards gone."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=LEFTOVER)
    beside = Path(name)
    try:
        with open(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        _as_before(beside, like)
        if beside.read_bytes() != data:
            raise OSError(f"{beside.name} reads back otherwise than it was written")
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def _as_before(path: Path, like: os.stat_result | None) -> None:
    """Give a file the owner and the permissions of the one it replaces, or those of a new file."""
    if like is None:
        mask = os.umask(0)
        os.umask(mask)
        path.chmod(0o666 & ~mask)
        return
    if hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):  # only the administrator writes files of others
            os.chown(path, like.st_uid, like.st_gid)
    path.chmod(stat.S_IMODE(like.st_mode))


def _sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError:  # some network folders cannot; the replacement itself is still one step
        return
    finally:
        os.close(handle)
