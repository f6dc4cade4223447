"""Workbooks for readers without the add-in: figures frozen, and the functions as LAMBDAs where Excel has them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lxml import etree

from udfs import FUNCTIONS, lite

from .build import build
from .errors import WorkbookError
from .freeze import freeze
from .lambdas import lambdas
from .lite import to_lite
from .package import Package, main, open_package
from .plan import Plan
from .sheets.inputs import FLAVOURS

LIVE, LITE, LAMBDA, VALUES = FLAVOURS  # their words on the command line


def build_flavour(
    out: Path, plan: Plan | None = None, flavour: str = LIVE, *, address: str = "", force: bool = False
) -> dict[tuple[str, str], str]:
    """Write a new workbook for the Excel that its reader has.

    Parameters
    ----------
    out : Path
        The file to write.
    plan : Plan, optional
        Inputs, cost lines and options; blank: the shipped plan.
    flavour : str
        xlwings: live functions.  lite: the same for xlwings Lite, which the file carries.  lambda: figures frozen; the
        functions of `lambdas` for Microsoft 365.  values: figures frozen, for any Excel from 2016.
    address : str
        For lite: the https address of the folder that holds the wheel (`udfs.lite.write`).
    force : bool
        Replace an existing file.

    Returns
    -------
    dict of (sheet, A1 address) to str
        Cells that could not be computed, and why; empty when all is well.
    """
    if (flavour == LITE) != bool(address):
        raise WorkbookError("address belongs to the flavour lite, which needs it: where users find the wheel.")
    if flavour == LITE:
        lite.requirements(address)  # refuses a wrong one before the build
    if flavour == LIVE:
        return build(out, plan, force=force)
    with tempfile.TemporaryDirectory() as folder:
        live, frozen = Path(folder) / "live.xlsx", Path(folder) / "frozen.xlsx"
        left = build(live, plan, flavour=flavour)
        if flavour != LITE:
            freeze(live, FUNCTIONS, out=frozen)
        package = open_package(live if flavour == LITE else frozen)
        if flavour == LITE:
            to_lite(package, address)
        if flavour == LAMBDA:
            _add_names(package, lambdas())
        package.write(out, force=force)
    return left


def _add_names(package: Package, texts: dict[str, str]) -> None:
    """Defined names, after those that there are."""
    root = package.xml(package.workbook_part)
    names = root.find(main("definedNames"))
    if names is None:
        raise ValueError("the workbook has no defined names to add to")
    for name, text in texts.items():
        etree.SubElement(names, main("definedName"), name=name).text = text
    package.put(package.workbook_part, root)
