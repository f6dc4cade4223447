"""The fill that marks refreshed cells: cell formats appended to the styles of a workbook, nothing else of them changed.

A mark must show on the sheet, so it needs a cell format, and formats stand in one part for the whole workbook.  Every
format, font, fill and style that is there keeps its bytes and its number; one fill is added, and for every format that
is marked a copy of it with that fill.  The same change is told in words in the note of the table of sources.
"""

from __future__ import annotations

import copy
import re

from lxml import etree

from workbook.errors import WorkbookError
from workbook.package import Package, main

MARK = "FFDCEBFA"  # pale blue; yellow is an input, orange an estimate
ESTIMATE, FACT = "mls estimate", "mls fact"
MOST = 64_000  # formats that Excel accepts


class Styles:
    """The cell formats of a package, and those that are to be appended.

    Parameters
    ----------
    package : Package
        Changed by `finish` only.
    """

    def __init__(self, package: Package) -> None:
        parts = [r.target for r in package.relations(package.workbook_part) if r.kind == "styles"]
        if not parts:
            raise WorkbookError(f"{package.path} is damaged: it has no cell formats.")
        self._package, self._part = package, parts[0]
        root = package.xml(self._part)
        self._formats = root.findall(f"{main('cellXfs')}/{main('xf')}")
        self._fills = root.findall(f"{main('fills')}/{main('fill')}")
        bases = root.findall(f"{main('cellStyleXfs')}/{main('xf')}")
        names = root.findall(f"{main('cellStyles')}/{main('cellStyle')}")
        self._named = {n.get("name", ""): int(n.get("xfId", "0")) for n in names}
        self._bases = {name: bases[i] for name, i in self._named.items() if i < len(bases)}
        self._count = len(self._formats), len(self._fills)
        self._marked: dict[tuple[int, bool | None], int] = {}
        self._prefixed: dict[tuple[int, bool], int] = {}
        self._fill = next((i for i, fill in enumerate(self._fills) if _colour(fill) == MARK), -1)

    def is_estimate(self, number: int) -> bool:
        """Whether a format belongs to the named style of estimates."""
        return ESTIMATE in self._named and self._based_on(number) == self._named[ESTIMATE]

    def marked(self, number: int, estimate: bool | None) -> int:
        """A format with the fill of a change; based on the style of estimates or of facts where that is wanted."""
        key = number, estimate
        if key not in self._marked:
            self._marked[key] = self._add(number, estimate)
        return self._marked[key]

    def prefixed(self, number: int, *, on: bool) -> int:
        """The same format with, or without, the mark of a text that looks like a formula."""
        if (number, on) not in self._prefixed:
            self._prefixed[number, on] = self._prefix(number, on)
        return self._prefixed[number, on]

    def finish(self) -> None:
        """Append what is new to the styles of the package."""
        formats, fills = self._count
        if len(self._formats) > MOST:
            raise WorkbookError(
                f"{self._package.path} holds {formats} cell formats; Excel takes no more for the marks."
            )
        data = self._package.parts[self._part]
        data = _appended(data, "fills", self._fills[fills:], len(self._fills))
        data = _appended(data, "cellXfs", self._formats[formats:], len(self._formats))
        self._package.parts[self._part] = data

    def _prefix(self, number: int, on: bool) -> int:
        new = copy.deepcopy(self._known(number))
        new.tail = None
        new.set("quotePrefix", "1" if on else "0")
        wanted = _canonical(new)
        for i, there in enumerate(self._formats):
            spelled = copy.deepcopy(there)
            spelled.set("quotePrefix", "1" if there.get("quotePrefix") in ("1", "true") else "0")
            if _canonical(spelled) == wanted:
                return i
        self._formats.append(new)
        return len(self._formats) - 1

    def _known(self, number: int) -> etree._Element:
        if not 0 <= number < len(self._formats):
            raise WorkbookError(f"{self._package.path} is damaged: a cell has the format {number}, which is not there.")
        return self._formats[number]

    def _based_on(self, number: int) -> int:
        return int(self._formats[number].get("xfId", "0")) if number < len(self._formats) else 0

    def _add(self, number: int, estimate: bool | None) -> int:
        new = copy.deepcopy(self._known(number))
        new.tail = None
        name = ESTIMATE if estimate else FACT
        if estimate is not None and estimate != self.is_estimate(number) and name in self._bases:
            new.set("xfId", str(self._named[name]))
            new.set("fontId", self._bases[name].get("fontId", "0"))
            new.set("applyFont", "1")
        if self._fill < 0:
            self._fill = len(self._fills)
            self._fills.append(_fill(self._fills[0]))
        new.set("fillId", str(self._fill))
        new.set("applyFill", "1")
        wanted = etree.tostring(new, method="c14n")
        for i, there in enumerate(self._formats):
            if there.get("fillId") == str(self._fill) and _canonical(there) == wanted:
                return i
        self._formats.append(new)
        return len(self._formats) - 1


def _colour(fill: etree._Element) -> str:
    pattern = fill.find(main("patternFill"))
    colour = pattern.find(main("fgColor")) if pattern is not None and pattern.get("patternType") == "solid" else None
    return colour.get("rgb", "") if colour is not None else ""


def _fill(like: etree._Element) -> etree._Element:
    # Made in the tree of another so that it is spelled with the prefix that the part declares.
    fill = copy.deepcopy(like)
    fill.clear()
    pattern = etree.SubElement(fill, main("patternFill"), patternType="solid")
    etree.SubElement(pattern, main("fgColor"), rgb=MARK)
    etree.SubElement(pattern, main("bgColor"), indexed="64")
    return fill


def _canonical(element: etree._Element) -> bytes:
    bare = copy.deepcopy(element)
    bare.tail = None
    return etree.tostring(bare, method="c14n")


def _appended(data: bytes, holder: str, new: list[etree._Element], total: int) -> bytes:
    """Elements written before the end tag of their holder, whose count follows; every other byte stays."""
    if not new:
        return data
    # The namespaces are declared further up in the part, so the copies need not declare them again.
    pieces = b"".join(re.sub(rb'\sxmlns(:\w+)?="[^"]*"', b"", etree.tostring(e, with_tail=False)) for e in new)
    opening = re.search(rb"<(?:\w+:)?%s\b[^>]*>" % holder.encode(), data)
    closing = [m.start() for m in re.finditer(rb"</(?:\w+:)?%s\s*>" % holder.encode(), data)]
    if opening is None or len(closing) != 1:
        raise WorkbookError(f"The cell formats of this file cannot be added to: {holder} is not written as expected.")
    tag = re.sub(rb'(\bcount=["\'])\d+', rb"\g<1>%d" % total, opening[0])
    return data[: opening.start()] + tag + data[opening.end() : closing[0]] + pieces + data[closing[0] :]


def only_appended(before: etree._Element, after: etree._Element) -> bool:
    """Whether the styles differ in fills and cell formats at the end of their lists, and in nothing else."""
    after = copy.deepcopy(after)
    for tag in (main("fills"), main("cellXfs")):
        old, new = before.find(tag), after.find(tag)
        if old is None or new is None:
            return False
        for extra in list(new)[len(old) :]:
            new.remove(extra)
        if "count" in old.attrib:
            new.set("count", old.get("count", ""))
    return etree.tostring(before, method="c14n") == etree.tostring(after, method="c14n")
