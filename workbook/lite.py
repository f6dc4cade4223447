"""A workbook that carries its functions in xlwings Lite: formulas as that add-in stores them, and its two files.

The add-in keeps `main.py` and `requirements.txt` as settings of the document, in a part of their own; a formula that
calls a custom function is stored with the prefix ``_xldudf_``.  Both as seen in workbooks that the add-in had saved,
the parts' form after Microsoft's [MS-OWEXML].  openpyxl drops these parts, so this is the last step.
"""

from __future__ import annotations

import json
import re
import uuid

from lxml import etree

from mlsysim.version import __version__
from udfs import FUNCTIONS, lite

from .package import CONTENT_TYPES, OFFICE_RELATIONS, PACKAGE_RELATIONS, Package, main

PREFIX = "_xldudf_"
STORE = "WA200008175"  # of the add-in in Microsoft's marketplace
_EXTENSION = "http://schemas.microsoft.com/office/webextensions/webextension/2010/11"
_TASKPANES = "http://schemas.microsoft.com/office/webextensions/taskpanes/2010/11"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_MEDIA = "application/vnd.ms-office.webextension"
_RELATION = "http://schemas.microsoft.com/office/2011/relationships/webextension"
_FOLDER = "xl/webextensions"
_CALL = re.compile(r"(?<![A-Za-z0-9_.])(?=(?:" + "|".join(FUNCTIONS) + r")\()")


def to_lite(package: Package, address: str) -> None:
    """Turn a live workbook into one for xlwings Lite, in place.

    Parameters
    ----------
    package : Package
        A live workbook.
    address : str
        The https address of the folder that holds the wheel of `lite.wheel`.
    """
    requirements = lite.requirements(address)  # refused before anything is touched
    for sheet in package.sheets():
        if b"MLS_" not in package.parts[sheet.part]:
            continue
        root = package.xml(sheet.part)
        for formula in root.iter(main("f")):
            formula.text = spelled(formula.text or "") or None
        package.put(sheet.part, root)
    _carry(package, {"main.py": lite.MAIN, "requirements.txt": requirements})


def spelled(formula: str) -> str:
    """A formula with the calls of our functions as the add-in stores them; words in quotes stay."""
    parts = formula.split('"')
    parts[::2] = [_CALL.sub(PREFIX, part) for part in parts[::2]]
    return '"'.join(parts)


def _carry(package: Package, texts: dict[str, str]) -> None:
    """Add the add-in's part with `texts` as its settings, and the pane that shows it."""
    extension = etree.Element(f"{{{_EXTENSION}}}webextension", nsmap={"we": _EXTENSION})
    extension.set("id", f"{{{str(uuid.uuid5(uuid.NAMESPACE_URL, f'mlsysim {__version__}')).upper()}}}")
    for parent in (extension, etree.SubElement(extension, f"{{{_EXTENSION}}}alternateReferences")):
        reference = etree.Element(f"{{{_EXTENSION}}}reference", version="1.0.0.0", store="en-US", storeType="OMEX")
        reference.set("id", STORE.lower() if parent is extension else STORE)
        parent.insert(0, reference)
    bag = etree.SubElement(extension, f"{{{_EXTENSION}}}properties")
    for name, text in texts.items():
        etree.SubElement(bag, f"{{{_EXTENSION}}}property", name=name, value=json.dumps(text))
    etree.SubElement(extension, f"{{{_EXTENSION}}}bindings")
    package.put(f"{_FOLDER}/webextension1.xml", extension)

    panes = etree.Element(f"{{{_TASKPANES}}}taskpanes", nsmap={"wetp": _TASKPANES})
    pane = etree.SubElement(panes, f"{{{_TASKPANES}}}taskpane", dockstate="right", visibility="0", width="350", row="0")
    link = etree.SubElement(pane, f"{{{_TASKPANES}}}webextensionref", nsmap={"r": OFFICE_RELATIONS})
    link.set(f"{{{OFFICE_RELATIONS}}}id", "rId1")
    package.put(f"{_FOLDER}/taskpanes.xml", panes)
    _relate(package, f"{_FOLDER}/_rels/taskpanes.xml.rels", "rId1", _RELATION, "webextension1.xml")
    _relate(package, "_rels/.rels", "rIdLite", f"{_RELATION}taskpanes", f"/{_FOLDER}/taskpanes.xml")

    types = package.xml(CONTENT_TYPES)
    for part, media in (("webextension1", f"{_MEDIA}+xml"), ("taskpanes", f"{_MEDIA}taskpanes+xml")):
        name = f"/{_FOLDER}/{part}.xml"
        etree.SubElement(types, f"{{{_TYPES}}}Override", PartName=name, ContentType=media)
    package.put(CONTENT_TYPES, types)


def _relate(package: Package, part: str, name: str, kind: str, target: str) -> None:
    tag = f"{{{PACKAGE_RELATIONS}}}Relationships"
    root = package.xml(part) if part in package.parts else etree.Element(tag)
    etree.SubElement(root, f"{{{PACKAGE_RELATIONS}}}Relationship", Id=name, Type=kind, Target=target)
    package.put(part, root)
