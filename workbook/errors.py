"""What can be wrong with a workbook file, said in sentences.

Everything a user can cause (a missing file, a password, a file open in Excel ...) is a `WorkbookError` whose text names
the file and the remedy; nothing here is raised for a mistake of our own.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

OLE2_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class WorkbookError(ValueError):
    """A file or a formula that cannot be used as asked; the text is one sentence for the user."""


def missing(path: Path) -> WorkbookError:
    """The sentence for a path at which there is no file."""
    if path.is_dir():
        return WorkbookError(f"{path} is a folder; name a workbook (.xlsx) inside it.")
    return WorkbookError(f"There is no file {path}; check the spelling and the folder.")


def not_a_workbook(path: Path, why: str) -> WorkbookError:
    """The sentence for a file that is something else than an .xlsx package."""
    return WorkbookError(
        f"{path} is not an Excel workbook (.xlsx): {why}. Open it in Excel and save it as .xlsx first."
    )


def encrypted(path: Path) -> WorkbookError:
    """The sentence for a workbook behind a password."""
    return WorkbookError(f"{path} is encrypted with a password; save a copy without the password and use that.")


def signed(path: Path) -> WorkbookError:
    """The sentence for a digitally signed workbook, whose signature a changed copy would break."""
    return WorkbookError(f"{path} is digitally signed and a changed copy would break the signature; unsign a copy.")


def locked(path: Path) -> WorkbookError:
    """The sentence for a file that another program holds open."""
    return WorkbookError(f"{path} is open in another program; close it there and try again.")


def same_file(path: Path) -> WorkbookError:
    """The sentence for an output that is the input."""
    return WorkbookError(f"The output {path} is the input itself; name another file, the input is never overwritten.")


def refuse_locked(path: Path) -> None:
    """Refuse a file that Excel (``~$name``) or LibreOffice (``.~lock.name#``) has open.

    Raises
    ------
    WorkbookError
        When an owner file stands beside `path`.
    """
    # Excel drops the first two letters of long names in its owner file.
    owners = (f"~${path.name}", f"~${path.name[2:]}", f".~lock.{path.name}#")
    if any((path.parent / owner).exists() for owner in owners):
        raise locked(path)


def refuse_target(source: Path | None, target: Path, *, force: bool) -> None:
    """Refuse to write where writing would destroy or surprise.

    Parameters
    ----------
    source : Path or None
        The file that is read; `target` must be another one.
    target : Path
        The file to be written.
    force : bool
        Whether an existing target may be replaced.

    Raises
    ------
    WorkbookError
        For the input itself, an existing file without `force`, a folder that is missing or read-only, a read-only or
        locked target.
    """
    if source is not None and (source.resolve() == target.resolve() or (target.exists() and target.samefile(source))):
        raise same_file(target)
    if target.is_dir():
        raise WorkbookError(f"The output {target} is a folder; name a file.")
    if not target.parent.is_dir():
        raise WorkbookError(f"The folder {target.parent} of the output does not exist; create it first.")
    if target.exists() and not force:
        raise WorkbookError(f"The output {target} exists already; name another file or force the replacement.")
    refuse_locked(target)
    if target.exists() and not _writable(target):
        raise WorkbookError(f"The output {target} is read-only; name another file.")
    if not _writable(target.parent):
        raise WorkbookError(f"The folder {target.parent} is read-only; name an output in another folder.")


def _writable(path: Path) -> bool:
    # The administrator may write everywhere; a missing write bit still says that the owner did not want it.
    return os.access(path, os.W_OK) and bool(path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
