"""A workbook after a year of use, for the tests of refresh: own rows and parts, and the forms that Excel saves."""

from __future__ import annotations

import re

from lxml import etree
from openpyxl.utils.cell import get_column_letter
from refresh_cases import put, resize, table_of

from mlsysim.things import HARDWARE
from workbook.caches import SheetCells, set_value
from workbook.cells import walk
from workbook.package import CONTENT_TYPES, MAIN, Package, main
from workbook.sheets.registries import TABLES

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
OWN = 300
SPARKLINES = b"""<extLst xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main" \
xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main">\
<ext uri="{78C0D931-6437-407d-A8EE-F0AAD7539E65}"><x14:conditionalFormattings><x14:conditionalFormatting>\
<x14:cfRule type="dataBar" id="{5A2F3A4B-0001-4C3B-9E4A-000000000001}"><x14:dataBar minLength="0" maxLength="100">\
<x14:cfvo type="autoMin"/><x14:cfvo type="autoMax"/><x14:negativeFillColor rgb="FFFF0000"/>\
<x14:axisColor rgb="FF000000"/></x14:dataBar></x14:cfRule><xm:sqref>%(memory)s</xm:sqref>\
</x14:conditionalFormatting></x14:conditionalFormattings></ext>\
<ext uri="{05C60535-1F16-4fd2-B633-F4F36F0B64E0}"><x14:sparklineGroups><x14:sparklineGroup>\
<x14:colorSeries rgb="FF376092"/><x14:sparklines><x14:sparkline><xm:f>%(beside)s</xm:f><xm:sqref>%(spot)s</xm:sqref>\
</x14:sparkline></x14:sparklines></x14:sparklineGroup></x14:sparklineGroups></ext></extLst>"""


def add_part(package: Package, part: str, data: bytes, kind: str, content: str, owner: str | None = None) -> str:
    """A new part with its entry in the list of contents and a relation from its owner; answers with the id of that."""
    package.parts[part] = data
    full = content if "/" in content else f"application/vnd.openxmlformats-officedocument.{content}+xml"
    types = package.xml(CONTENT_TYPES)
    etree.SubElement(types, f"{{{TYPES}}}Override", PartName=f"/{part}", ContentType=full)
    package.put(CONTENT_TYPES, types)
    owner = package.workbook_part if owner is None else owner
    folder, _, name = owner.rpartition("/")
    rels = f"{folder}/_rels/{name}.rels".lstrip("/")
    if rels in package.parts:
        root = package.xml(rels)
    else:
        root = etree.Element(f"{{{RELATIONS}}}Relationships", nsmap={None: RELATIONS})
    number = f"rIdOwn{len(root) + 1}"
    link = kind if ":" in kind else f"{OFFICE}/{kind}"
    etree.SubElement(root, f"{{{RELATIONS}}}Relationship", Id=number, Type=link, Target=f"/{part}")
    package.put(rels, root)
    return number


def furnish(package: Package, *, macros: bool = False) -> None:
    """300 own devices, an edited figure, notes, a comment, formats, a chart, a pivot cache, sparklines, macros."""
    name = TABLES[HARDWARE.kind]
    table, grid = table_of(package, name)
    area, at = table.area, {c: table.area.left + i for i, c in enumerate(table.columns)}
    root = package.xml(grid.part)
    cells = SheetCells(root)
    last, bottom = area.bottom, area.bottom + OWN
    formula = grid.formulas[last, at["spec"]].text
    style = {column: cells.cell(last, column).get("s", "0") for column in at.values()}
    for i in range(1, OWN + 1):
        values = {"key": f"Own{i:03}", "title": f"My device {i}", "memory (GB)": 100.0 + i, "memory_class": "hbm"}
        for heading, column in at.items():
            element = cells.cell(last + i, column)
            element.set("s", style[column])
            put(element, values.get(heading))
        spec = cells.cell(last + i, at["spec"])
        set_value(spec, f"Own{i:03}; memory = {100 + i} GB; memory_class = hbm")
        etree.SubElement(spec, main("f")).text = formula
        spec.insert(0, spec[-1])
        if i % 3 == 0:
            put(cells.cell(last + i, area.right + 2), f"note {i}: ask the vendor")
    put(cells.cell(2, area.right + 3), "my own remark")
    counted = cells.cell(3, area.right + 3)
    set_value(counted, float(bottom - area.top))
    counted.insert(0, etree.Element(main("f")))
    counted[0].text = "COUNTA(own_keys)"
    put(cells.cell(area.top + 2, at["usable (GB)"]), 77.25)  # the user's own figure
    cells.finish()
    letter = {c: get_column_letter(column) for c, column in at.items()}

    def body(heading: str) -> str:
        return f"{letter[heading]}{area.top + 1}:{letter[heading]}{bottom}"

    before = root.find(main("printOptions"))
    assert before is not None
    rule = etree.fromstring(
        f'<conditionalFormatting xmlns="{MAIN}" sqref="{body("bandwidth (GB per s)")}"><cfRule '
        'type="colorScale" priority="9"><colorScale><cfvo type="min"/><cfvo type="max"/><color rgb="FFFFFFFF"/>'
        '<color rgb="FF63BE7B"/></colorScale></cfRule></conditionalFormatting>'
    )
    before.addprevious(rule)
    validations = root.find(main("dataValidations"))
    if validations is None:
        validations = etree.Element(main("dataValidations"))
        before.addprevious(validations)
    entry = etree.SubElement(validations, main("dataValidation"), type="decimal", sqref=body("tdp (W)"))
    entry.set("allowBlank", "1")
    etree.SubElement(entry, main("formula1")).text = "0"
    etree.SubElement(entry, main("formula2")).text = "100000"
    relations = {r.kind for r in package.relations(grid.part)}
    assert not relations & {"drawing", "comments"}
    package.put(grid.part, root)
    chart = next(part for part in package.parts if part.startswith("xl/charts/chart"))
    spot = {
        "drawing": add_part(package, "xl/drawings/drawing99.xml", _DRAWING, "drawing", "drawing", grid.part),
    }
    add_part(
        package, "xl/charts/chart99.xml", package.parts[chart], "chart", "drawingml.chart", "xl/drawings/drawing99.xml"
    )
    add_part(
        package,
        "xl/comments99.xml",
        _COMMENTS % f"{letter['memory (GB)']}7".encode(),
        "comments",
        "spreadsheetml.comments",
        grid.part,
    )
    spot["legacyDrawing"] = add_part(
        package,
        "xl/drawings/vmlDrawing99.vml",
        _VML,
        "vmlDrawing",
        "application/vnd.openxmlformats-officedocument.vmlDrawing",
        grid.part,
    )
    root = package.xml(grid.part)
    tables = root.find(main("tableParts"))
    assert tables is not None
    for tag, number in spot.items():
        tables.addprevious(etree.Element(main(tag), {f"{{{OFFICE}}}id": number}))
    extras = SPARKLINES % {
        b"memory": body("memory (GB)").encode(),
        b"beside": f"{grid.sheet}!{letter['memory (GB)']}6:{letter['bandwidth (GB per s)']}6".encode(),
        b"spot": f"{get_column_letter(area.right + 3)}6".encode(),
    }
    tables.addnext(etree.fromstring(extras.replace(b"<extLst ", f'<extLst xmlns="{MAIN}" '.encode(), 1)))
    package.put(grid.part, root)
    resize(package, table, bottom)
    _book(package, grid.sheet, f"$A${area.top + 1}:$A${bottom}", macros)


def _book(package: Package, sheet: str, keys: str, macros: bool) -> None:
    cache = "xl/pivotCache/pivotCacheDefinition1.xml"
    number = add_part(package, cache, _PIVOT, "pivotCacheDefinition", "spreadsheetml.pivotCacheDefinition")
    add_part(
        package,
        "xl/pivotCache/pivotCacheRecords1.xml",
        _RECORDS,
        "pivotCacheRecords",
        "spreadsheetml.pivotCacheRecords",
        cache,
    )
    add_part(package, "customXml/item1.xml", b"<mine>kept</mine>", "customXml", "application/xml")
    book = package.xml(package.workbook_part)
    names = book.find(main("definedNames"))
    assert names is not None
    etree.SubElement(names, main("definedName"), name="own_keys").text = f"'{sheet}'!{keys}"
    caches = etree.Element(main("pivotCaches"))
    etree.SubElement(caches, main("pivotCache"), {"cacheId": "7", f"{{{OFFICE}}}id": number})
    calculation = book.find(main("calcPr"))
    assert calculation is not None
    calculation.addnext(caches)
    package.put(package.workbook_part, book)
    if macros:
        add_part(
            package,
            "xl/vbaProject.bin",
            bytes(range(256)) * 40,
            "http://schemas.microsoft.com/office/2006/relationships/vbaProject",
            "application/vnd.ms-office.vbaProject",
        )
        package.parts[CONTENT_TYPES] = package.parts[CONTENT_TYPES].replace(
            b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
            b"application/vnd.ms-excel.sheet.macroEnabled.main+xml",
        )


def as_excel_saves(package: Package) -> None:
    """Shared texts, hints on rows, names of later versions declared and ignorable, and a calculation chain."""
    texts: dict[str, int] = {}
    chain = []
    numbers = {s.get("name"): s.get("sheetId") for s in package.xml(package.workbook_part).iter(main("sheet"))}
    for sheet in package.sheets():
        root = package.xml(sheet.part)
        for row, column, element in walk(root):
            inline = element.find(main("is"))
            if element.find(main("f")) is not None:
                chain.append(f'<c r="{get_column_letter(column)}{row}" i="{numbers[sheet.name]}"/>')
            if element.get("t") == "inlineStr":
                text = "".join(inline.itertext()) if inline is not None else ""
                put(element, None)
                if text:
                    element.set("t", "s")
                    etree.SubElement(element, main("v")).text = str(texts.setdefault(text, len(texts)))
        package.put(sheet.part, root)
        data = package.parts[sheet.part]
        data = re.sub(rb'<row r="(\d+)"', rb'<row r="\1" spans="1:9" x14ac:dyDescent="0.25"', data)
        head = (
            b'<worksheet xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
            b'mc:Ignorable="x14ac xr" '
            b'xmlns:x14ac="http://schemas.microsoft.com/office/spreadsheetml/2009/9/ac" '
            b'xmlns:xr="http://schemas.microsoft.com/office/spreadsheetml/2014/revision" '
            b'xr:uid="{00000000-0001-0000-0000-000000000000}" '
        )
        package.parts[sheet.part] = data.replace(b"<worksheet ", head, 1)
    sst = etree.Element(main("sst"), nsmap={None: MAIN})
    for text in texts:
        holder = etree.SubElement(etree.SubElement(sst, main("si")), main("t"))
        holder.text = text
        holder.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
    add_part(package, "xl/sharedStrings.xml", etree.tostring(sst), "sharedStrings", "spreadsheetml.sharedStrings")
    cells = f'<calcChain xmlns="{MAIN}">{"".join(chain)}</calcChain>'.encode()
    add_part(package, "xl/calcChain.xml", cells, "calcChain", "spreadsheetml.calcChain")


_DRAWING = f"""<xdr:wsDr xmlns:xdr="http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing" \
xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="{OFFICE}"><xdr:twoCellAnchor>\
<xdr:from><xdr:col>60</xdr:col><xdr:colOff>0</xdr:colOff><xdr:row>5</xdr:row><xdr:rowOff>0</xdr:rowOff></xdr:from>\
<xdr:to><xdr:col>68</xdr:col><xdr:colOff>0</xdr:colOff><xdr:row>20</xdr:row><xdr:rowOff>0</xdr:rowOff></xdr:to>\
<xdr:graphicFrame macro=""><xdr:nvGraphicFramePr><xdr:cNvPr id="2" name="Mine"/><xdr:cNvGraphicFramePr/>\
</xdr:nvGraphicFramePr><xdr:xfrm><a:off x="0" y="0"/><a:ext cx="0" cy="0"/></xdr:xfrm><a:graphic><a:graphicData \
uri="http://schemas.openxmlformats.org/drawingml/2006/chart"><c:chart r:id="rIdOwn1" \
xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"/></a:graphicData></a:graphic></xdr:graphicFrame>\
<xdr:clientData/></xdr:twoCellAnchor></xdr:wsDr>""".encode()
_COMMENTS = f"""<comments xmlns="{MAIN}"><authors><author>Buyer</author></authors><commentList>\
<comment ref="%s" authorId="0"><text><t>Ask the vendor</t></text></comment></commentList></comments>""".encode()
_VML = b"""<xml xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office" \
xmlns:x="urn:schemas-microsoft-com:office:excel"><v:shapetype id="_x0000_t202" coordsize="21600,21600" o:spt="202" \
path="m,l,21600r21600,l21600,xe"/><v:shape id="_x0000_s1025" type="#_x0000_t202" style="visibility:hidden">\
<x:ClientData ObjectType="Note"><x:Row>6</x:Row><x:Column>5</x:Column></x:ClientData></v:shape></xml>"""
_PIVOT = f"""<pivotCacheDefinition xmlns="{MAIN}" xmlns:r="{OFFICE}" r:id="rIdOwn1" recordCount="1">\
<cacheSource type="worksheet"><worksheetSource name="tblHardware"/></cacheSource><cacheFields count="1">\
<cacheField name="key" numFmtId="0"><sharedItems/></cacheField></cacheFields></pivotCacheDefinition>""".encode()
_RECORDS = f"""<pivotCacheRecords xmlns="{MAIN}" count="1"><r><s v="H100"/></r></pivotCacheRecords>""".encode()
