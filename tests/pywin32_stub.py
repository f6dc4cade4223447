"""Just enough of pywin32 that xlwings' real classic Windows code runs here, without Windows and without Excel.

`install` stands in for the Windows modules and then imports xlwings as it imports itself on Windows. What is real
afterwards: the decorators, `xlwings.udfs` (conversion, calls, VBA wrapper), `xlwings._xlwindows` and the COM server's
`CallUDF`. What is not: COM and Excel. Call it in a process of its own; `Cells` plays an Excel range.
"""

from __future__ import annotations

import asyncio  # noqa: F401  (chosen for this platform before the name of the platform changes)
import concurrent.futures  # noqa: F401
import ctypes
import datetime as dt
import multiprocessing  # noqa: F401
import subprocess  # noqa: F401
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

MISSING = -2147352572  # VBA's Missing, as an argument that was left out arrives
RANGE_IID = "{00020846-0000-0000-C000-000000000046}"


class Anything:
    """Answers every attribute and call with itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> Anything:
        return self

    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class ComError(Exception):
    """Stands for pywintypes.com_error."""


class ComTime(dt.datetime):
    """Stands for pywintypes.TimeType: what a date cell holds."""


class Dispatched:
    """Stands for the classes of COM objects."""


class Cells:
    """An Excel Range as VBA hands it over; `Value` is a scalar, or a tuple of tuples."""

    Worksheet = Row = Column = Anything()

    def __init__(self, value: Any) -> None:
        self.Value = value
        rows = value if isinstance(value, tuple) else ((value,),)
        self.Rows, self.Columns = SimpleNamespace(Count=len(rows)), SimpleNamespace(Count=len(rows[0]))
        attributes = SimpleNamespace(iid=RANGE_IID)
        info = SimpleNamespace(GetTypeAttr=lambda: attributes)
        self._oleobj_ = SimpleNamespace(GetTypeInfo=lambda: info)


class Components:
    """The VBA components of a workbook: takes one module and keeps its text."""

    text = ""

    def __call__(self, name: str) -> Any:
        raise ComError(f"there is no {name} yet")

    Remove = Anything()

    def Import(self, file: str) -> None:
        self.text = Path(file).read_text(encoding="ascii")


class Workbook:
    """A workbook that receives the functions: the imported VBA module, and what the wizard is told of each."""

    Name = "Book1.xlsm"
    Worksheets = ()

    def __init__(self) -> None:
        self.wizard: dict[str, dict[str, Any]] = {}
        self.VBProject = SimpleNamespace(VBComponents=Components())
        self.Application = SimpleNamespace(Version="16.0", MacroOptions=self._macro_options)

    def _macro_options(self, macro: str, **options: Any) -> None:
        self.wizard[macro.removeprefix(f"'{self.Name}'!")] = options


def _module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module


def _not_wrapped(value: Any) -> Any:
    raise TypeError("this is no wrapped Python object")


def install() -> ModuleType:
    """Install the stand-ins and return xlwings, in its classic Windows form."""
    anything = Anything()
    _module("pywintypes", com_error=ComError, error=ComError, TimeType=ComTime, IID=str)
    _module(
        "pythoncom", __file__="pythoncom", com_error=ComError, ole_error=ComError, IID_IDispatch="IDispatch",
        TypeIIDs={"IDispatch": Dispatched}, CoInitialize=anything,
    )  # fmt: skip
    for name in ("win32api", "win32con", "win32event", "win32gui"):
        _module(name)
    _module("win32process", GetWindowThreadProcessId=lambda window: (0, 0))
    _module("win32timezone", TimeZoneInfo=anything)
    _module("win32com")
    _module(
        "win32com.client", CDispatch=Dispatched, CoClassBaseClass=Dispatched, DispatchBaseClass=Dispatched,
        DispatchEx=anything, Dispatch=lambda com, *args, **kwargs: com, gencache=anything,
        dynamic=SimpleNamespace(CDispatch=Dispatched),
    )  # fmt: skip
    _module("win32com.server")
    for name in ("dispatcher", "policy"):
        _module(f"win32com.server.{name}")
    _module("win32com.server.util", wrap=lambda value, **kwargs: value, unwrap=_not_wrapped)
    for name in ("oledll", "windll", "PyDLL"):
        setattr(ctypes, name, anything)
    true_platform = sys.platform
    sys.platform = "win32"
    try:
        import xlwings
    finally:
        sys.platform = true_platform
    return xlwings
