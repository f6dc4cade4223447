"""The Excel face: every catalogue entry, and a few registry tools, as functions over cells.

`FUNCTIONS` maps each Excel name to a callable that takes raw cells and answers in cells.  xlwings
(`udfs.mls`), LibreOffice (`udfs.libreoffice`) and the headless engine (`workbook`) all call it.
"""

from mlsysim import CATALOGUE

from .arguments import Argument
from .publish import Published, publish
from .tools import tools

__all__ = ["FUNCTIONS", "Argument", "Published", "publish"]

FUNCTIONS: dict[str, Published] = {e.excel: publish(e) for e in CATALOGUE.values()}
FUNCTIONS |= {t.name: t for t in tools(FUNCTIONS)}
