"""xlwings Lite, which runs Python inside Excel: a pure wheel, and the lines for its two tabs (``mls-udfs lite``).

The add-in comes from Microsoft's store, free for use in a company.  It installs packages by micropip, which takes a
wheel from any https address that other origins may read (CORS).
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import xlwings

from mlsysim.version import __version__

from .addin import AddinError, refuse_used

PACKAGES = ("mlsysim", "udfs", "workbook")
WHEEL = f"mlsysim_excel-{__version__}-py3-none-any.whl"
MAIN = "from udfs.mls import *\n"
PAGE = """\
The MLS functions {version} in xlwings Lite: Excel on Windows, Mac and the web, no Python to install

Once, for everybody
  Put {wheel} where colleagues can read it over https: {address}
  The host must let other origins read it (Access-Control-Allow-Origin), or the add-in cannot fetch it.

For users
  1. Excel: Home > Add-ins: get "xlwings Lite" from the store, and open it.
  2. Paste requirements.txt and main.py from this folder into the tabs of these names.
     A workbook made by  mls-workbook build FILE.xlsx --flavour lite --address {address}
     carries both; the add-in asks once whether you trust it.
  3. Try =MLS_VERSION() in any cell: it answers {version}.

What leaves the machine: nothing of your cells; the add-in fetches its own files, the packages named in
requirements.txt and this wheel.  The wheel and the functions were tried in Pyodide, not in Excel.
"""


def refuse_address(address: str) -> str:
    """The address of the wheel's folder, ending in a slash."""
    if not address.startswith("https://") or any(c in address for c in " \"'<>\n"):
        raise AddinError(f"address must be the https:// address of the wheel's folder, got {address!r}.")
    return address.rstrip("/") + "/"


def requirements(address: str) -> str:
    """The lines of the tab requirements.txt; numpy comes from Pyodide, which pins it."""
    return f"xlwings=={xlwings.__version__}\nnumpy\n{refuse_address(address)}{WHEEL}\n"


def wheel() -> bytes:
    """A wheel of these packages that any Python can install: the same bytes for the same files."""
    root = Path(__file__).resolve().parents[1]
    files = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in sorted((root / package).rglob("*"))
        if path.is_file() and path.suffix not in (".pyc", ".pyo") and "__pycache__" not in path.parts
    }
    info = f"mlsysim_excel-{__version__}.dist-info"
    tags = "Wheel-Version: 1.0\nGenerator: mlsysim-excel\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/METADATA"] = _metadata()
    files[f"{info}/WHEEL"] = tags.encode()
    lines = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _metadata() -> bytes:
    """What this installation says of itself, under whichever name its kind of installation keeps it."""
    of = distribution("mlsysim-excel")
    return (of.read_text("METADATA") or of.read_text("PKG-INFO") or "").encode()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def write(folder: Path, address: str) -> list[Path]:
    """Write the wheel, the lines to paste, and the page that says where they go.

    Parameters
    ----------
    folder : Path
        A new or empty folder.
    address : str
        The https address of the folder in which users will find the wheel.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    AddinError
        When the folder holds something, or the address is none of https.
    """
    refuse_used(folder)
    files = {
        WHEEL: wheel(),
        "requirements.txt": requirements(address).encode(),
        "main.py": MAIN.encode(),
        "README.txt": PAGE.format(version=__version__, wheel=WHEEL, address=refuse_address(address)).encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]
