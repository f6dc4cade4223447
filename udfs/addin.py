"""A folder from which Excel for Windows gets the functions as an add-in of its own: ``mls-udfs addin FOLDER``.

xlwings' own custom add-in (its macros, unchanged) with our configuration in its sheet, the wrapper module as text, and
a page that says which clicks remain.  Nothing here runs Excel.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import xlwings
from lxml import etree

from mlsysim.errors import MlsysError
from mlsysim.version import __version__

MODULE = "udfs.mls"
NAME = "mlsysim"  # of the files
PROJECT = "myaddin"  # what xlwings' macros call themselves; it names their sheet of settings
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
CLICKS = """\
The MLS functions {version} as an add-in of Excel for Windows

Made for  {interpreter}
with      xlwings {xlwings}: every user needs this version of xlwings, pywin32, and that Python at that place.

Once, on the machine that prepares the add-in
  Excel: File > Options > Trust Center > Macro Settings: tick "Trust access to the VBA project object model".
  1. Open {name}.xlam, press Alt+F8, run ImportPythonUDFsToAddin, and save it.
     (Or, in the editor, Alt+F11: File > Import File > {name}.bas, and save. That needs no such trust.)
  2. xlwings addin install --file {name}.xlam
  Take the tick away again: users do not need it.

For users: copy {name}.xlam to %APPDATA%\\Microsoft\\Excel\\XLSTART, or point Excel to a trusted folder that holds it.
Try =MLS_VERSION() in any cell: it answers {version}.  mls-udfs doctor says what is wrong where it does not.
"""


class AddinError(MlsysError):
    """One sentence on why there is no folder."""


def refuse_used(folder: Path) -> None:
    """Nothing of the user's is written over."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AddinError(f"{folder} exists and is not empty; name a new folder.")


def write(folder: Path, interpreter: Path | None = None) -> list[Path]:
    """Write the add-in, its wrapper module as text, and the page of clicks.

    Parameters
    ----------
    folder : Path
        A new or empty folder.
    interpreter : Path, optional
        The python.exe of the users; blank: the one that runs now.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    AddinError
        When the folder holds something, or this is no Windows machine with pywin32.
    """
    refuse_used(folder)
    python = interpreter or Path(sys.executable)
    files = {
        f"{NAME}.bas": wrapper().encode("ascii"),
        f"{NAME}.xlam": with_settings(template().read_bytes(), {"Interpreter_Win": str(python), "UDF Modules": MODULE}),
        "README.txt": CLICKS.format(
            version=__version__, interpreter=python, xlwings=xlwings.__version__, name=NAME
        ).encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def template() -> Path:
    """Xlwings' empty custom add-in, as its command ``quickstart --addin`` copies it."""
    return Path(xlwings.__file__).with_name("quickstart_addin.xlam")


def wrapper() -> str:
    """The VBA module that hands calls over to Python, as xlwings writes it."""
    try:
        from xlwings.udfs import generate_vba_wrapper
    except ImportError as trouble:
        raise AddinError(
            f"The add-in is prepared on Windows with pywin32, because xlwings writes its wrapper there ({trouble})."
        ) from None
    from . import mls

    if not any(hasattr(getattr(mls, name), "__xlfunc__") for name in mls.__all__):
        raise AddinError("The add-in is prepared on Windows: xlwings registers no functions elsewhere.")
    text = io.StringIO()
    text.write(f'Attribute VB_Name = "xlwings_udfs"\n\'Written by mlsysim {__version__}; do not edit.\n')
    generate_vba_wrapper(MODULE, mls, text, SimpleNamespace(Name=f"{NAME}.xlam"))  # type: ignore[no-untyped-call]
    return text.getvalue()


def with_settings(archive: bytes, settings: Mapping[str, str]) -> bytes:
    """The add-in with values in its sheet of settings, which a leading underscore keeps out of use."""
    old = zipfile.ZipFile(io.BytesIO(archive))
    parts = {entry.filename: old.read(entry) for entry in old.infolist()}
    book = etree.fromstring(parts["xl/workbook.xml"])
    sheet = next(s for s in book.iter(f"{{{MAIN}}}sheet") if s.get("name") == f"_{PROJECT}.conf")
    sheet.set("name", f"{PROJECT}.conf")
    parts["xl/workbook.xml"] = etree.tostring(book, xml_declaration=True, encoding="UTF-8", standalone=True)
    words = ["".join(map(str, i.itertext())) for i in etree.fromstring(parts["xl/sharedStrings.xml"])]
    page = etree.fromstring(parts["xl/worksheets/sheet1.xml"])
    left = dict(settings)
    for row in page.iter(f"{{{MAIN}}}row"):
        label = row.find(f"{{{MAIN}}}c/{{{MAIN}}}v")
        name = words[int(label.text or 0)] if label is not None and row[0].get("t") == "s" else ""
        if name in left:
            cell = etree.SubElement(row, f"{{{MAIN}}}c", r=f"B{row.get('r')}", t="inlineStr")
            etree.SubElement(etree.SubElement(cell, f"{{{MAIN}}}is"), f"{{{MAIN}}}t").text = left.pop(name)
            if "spans" in row.attrib:
                del row.attrib["spans"]
    if left:
        raise AddinError(
            f"This xlwings has no setting {', '.join(left)} in its add-in; install the version named here."
        )
    parts["xl/worksheets/sheet1.xml"] = etree.tostring(page, xml_declaration=True, encoding="UTF-8", standalone=True)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in parts.items():
            new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()
