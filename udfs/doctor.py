"""What a machine lacks to answer the functions, and what to do about it: ``mls-udfs doctor``.

Each finding is one line, "ok" or "mend".  Nothing is changed, no spreadsheet is started.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlsysim.version import __version__

from .addin import MODULE

LEAST = (3, 11)
PACKAGES = ("numpy", "openpyxl", "xlwings", "formualizer", "lxml")
EXAMPLE, ANSWER = ("MLS_KVCACHE", ("Llama3_8B", 4096.0, 32.0)), 17.179869184  # GB, the README's first figure


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    well: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.well else 'mend'}  {self.text}"


def examine(home: Path | None = None) -> list[Finding]:
    """Look at this machine.

    Parameters
    ----------
    home : Path, optional
        The user's folder, in which xlwings keeps its settings; blank: the real one.

    Returns
    -------
    list of Finding
        In the order in which they should be mended.
    """
    found = [*_python(), *_packages(), *_functions()]
    if sys.platform == "win32":
        found += _windows()
    found += _settings((home or Path.home()) / ".xlwings" / "xlwings.conf")
    return found


def _python() -> Iterator[Finding]:
    have = ".".join(map(str, sys.version_info[:3]))
    need = ".".join(map(str, LEAST))
    if sys.version_info[:2] < LEAST:
        yield Finding(False, f"Python {have} is too old: install {need} or newer and make the environment anew")
    else:
        yield Finding(True, f"Python {have} at {sys.executable}")


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            yield Finding(False, f"{name} is not installed here: {sys.executable} -m pip install {name}")
        else:
            yield Finding(True, f"{name} {importlib.metadata.version(name)} from {Path(spec.origin).parent}")


def _functions() -> Iterator[Finding]:
    """Whose mlsysim this is (another library has the name), whether it imports, and whether it computes."""
    import mlsysim

    here = Path(str(mlsysim.__file__)).parent
    ours = (here.parent / "udfs").resolve() == Path(__file__).parent.resolve()
    hint = "" if ours else ": it is not the one that belongs to udfs; remove the other mlsysim from this environment"
    yield Finding(ours, f"mlsysim {__version__} from {here}{hint}")
    try:
        module = importlib.import_module(MODULE)
    except Exception as trouble:  # any reason counts, and is told
        yield Finding(False, f"{MODULE} does not import ({type(trouble).__name__}: {trouble})")
        return
    name, arguments = EXAMPLE
    answer = getattr(module, name)(*arguments)
    right = isinstance(answer, float) and abs(answer / ANSWER - 1) < 1e-12
    yield Finding(right, f"{MODULE}: {len(module.__all__)} functions; {name}{arguments} = {answer}")


def _windows() -> Iterator[Finding]:
    """What the classic add-in needs beside Python."""
    if importlib.util.find_spec("win32com") is None:
        yield Finding(False, f"pywin32 is not installed: {sys.executable} -m pip install pywin32")
    start = Path(os.environ.get("APPDATA", "")) / "Microsoft" / "Excel" / "XLSTART"
    addins = sorted(p.name for p in start.glob("*.xlam")) if start.is_dir() else []
    if addins:
        yield Finding(True, f"add-ins in {start}, a trusted location: {', '.join(addins)}")
    else:
        yield Finding(False, f"no add-in in {start}: run xlwings addin install, or mls-udfs addin FOLDER")


def read_settings(text: str) -> dict[str, str]:
    """The lines `"NAME","value"` of xlwings' file of settings."""
    return {name.upper(): value for name, value in re.findall(r'^\s*"([^"]+)"\s*,\s*"([^"]*)"', text, re.M)}


def _settings(path: Path) -> Iterator[Finding]:
    """Xlwings' settings of this user, if there are any: the interpreter and the module of the functions."""
    if not path.is_file():
        well = sys.platform != "win32"
        yield Finding(well, f"no {path}; the xlwings ribbon writes it when Interpreter and UDF Modules are filled in")
        return
    have = read_settings(path.read_text("utf-8", errors="replace"))
    modules = [m.strip() for m in have.get("UDF MODULES", "").split(";")]
    if MODULE in modules:
        yield Finding(True, f"{path} lists {MODULE} among the UDF Modules")
    else:
        yield Finding(False, f"{path} does not list {MODULE}: put it into UDF Modules of the xlwings ribbon")
    interpreter = have.get("INTERPRETER_WIN" if sys.platform == "win32" else "INTERPRETER_MAC", "")
    if not interpreter:
        yield Finding(False, f"{path} names no interpreter: put {sys.executable} into Interpreter of the ribbon")
    elif not Path(interpreter).is_file():
        yield Finding(False, f"{path} names {interpreter}, which is not there: put {sys.executable} into Interpreter")
    else:
        yield Finding(True, f"{path} starts {interpreter}")
