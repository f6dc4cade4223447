"""Recalculating and printing a workbook with LibreOffice Calc, our functions included: a second opinion on numbers.

Every formula is computed anew, whatever values the file carries. Nothing is written beside the source, and nothing
that exists is replaced.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from lxml import etree

from udfs.libreoffice.office import LibreOfficeError, os_errors_as_sentences, run_soffice
from udfs.libreoffice.profile import FUNCTIONS, create_profile, install, settings_file

REGISTRY = "http://openoffice.org/2001/registry"
ALWAYS = "0"  # OOXMLRecalcMode: 0 always, 1 never, 2 ask; LibreOffice's own setting keeps the file's values


def recalculate(
    source: Path,
    out_dir: Path,
    functions: str = FUNCTIONS,
    locale: str = "en-US",
    profile: Path | None = None,
    timeout: float = 120.0,
) -> Path:
    """Recalculate every formula of a workbook and save the result as a new .xlsx.

    The result is for reading values: LibreOffice drops what it does not know from a workbook that it saves.

    Parameters
    ----------
    source : Path
        The workbook (.xlsx or .xlsm); it is only read.
    out_dir : Path
        The folder for the result, which gets the name of the source with the ending `.xlsx`.
    functions : str
        "module:NAME" of the mapping of published functions.
    locale : str
        Language and country whose number format applies, such as "en-US" or "de-DE" (decimal comma).
    profile : Path, optional
        A profile kept for this purpose, to save its creation the next time; its settings are changed, so not the
        one somebody works with. A temporary one unless given.
    timeout : float
        Seconds after which LibreOffice is ended.

    Raises
    ------
    LibreOfficeError
        If the source is no workbook, the result exists already, a file cannot be read or written, or LibreOffice is
        missing, fails or takes too long.
    """
    return _convert(source, out_dir, functions, locale, profile, timeout, ".xlsx", "xlsx:Calc MS Excel 2007 XML")


def render(
    source: Path,
    out_dir: Path,
    functions: str = FUNCTIONS,
    locale: str = "en-US",
    profile: Path | None = None,
    timeout: float = 120.0,
) -> Path:
    """Recalculate a workbook and print it to PDF; arguments and errors as for `recalculate`."""
    return _convert(source, out_dir, functions, locale, profile, timeout, ".pdf", "pdf:calc_pdf_Export")


@os_errors_as_sentences()
def _convert(
    source: Path,
    out_dir: Path,
    functions: str,
    locale: str,
    profile: Path | None,
    timeout: float,
    ending: str,
    output_filter: str,
) -> Path:
    _refuse_foreign(source)
    if not re.fullmatch(r"[a-z]{2,3}-[A-Z]{2}", locale):
        raise LibreOfficeError(f"locale must be a language and a country such as 'de-DE', not {locale!r}.")
    target = out_dir / (source.stem + ending)
    if target.exists():
        raise LibreOfficeError(f"{target} exists already: name another folder, or remove it.")
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".libreoffice-") as scratch:
        work = Path(scratch)
        own_profile = profile or work / "profile"
        create_profile(own_profile)
        install(own_profile, functions)
        _set_options(own_profile, locale)
        # A copy, because the office marks the folder of a file that it opens.
        copy = work / f"source{source.suffix.lower()}"
        shutil.copyfile(source, copy)
        arguments = ["--infilter=Calc MS Excel 2007 XML", "--convert-to", output_filter, "--outdir", str(work / "out")]
        printed = run_soffice(own_profile, *arguments, str(copy), timeout=timeout)
        result = work / "out" / f"source{ending}"
        if not result.is_file():
            raise LibreOfficeError(f"LibreOffice made nothing of {source}: {printed or 'it printed nothing'}")
        os.replace(result, target)
    return target


def _refuse_foreign(source: Path) -> None:
    """The office would import any text under the name of a workbook, so look before."""
    if not source.is_file():
        raise LibreOfficeError(f"{source} does not exist, or is not a file.")
    try:
        with zipfile.ZipFile(source) as package:
            package.getinfo("xl/workbook.xml")
    except (zipfile.BadZipFile, KeyError):
        raise LibreOfficeError(f"{source} is not an Excel workbook (.xlsx, .xlsm).") from None


def _set_options(profile: Path, locale: str) -> None:
    """Have Calc compute every formula on loading, and read and write numbers as in `locale`."""
    options = [
        ("/org.openoffice.Office.Calc/Formula/Load", "OOXMLRecalcMode", ALWAYS),
        ("/org.openoffice.Setup/L10N", "ooSetupSystemLocale", locale),
        ("/org.openoffice.Office.Linguistic/General", "DefaultLocale", locale),
    ]
    path = settings_file(profile)
    root = etree.fromstring(path.read_bytes())
    for item in list(root):
        node = item.get(f"{{{REGISTRY}}}path")
        names = {prop.get(f"{{{REGISTRY}}}name") for prop in item}
        if any(node == option[0] and names == {option[1]} for option in options):
            root.remove(item)
    for node, name, value in options:
        item = etree.SubElement(root, "item", {f"{{{REGISTRY}}}path": node})
        prop = etree.SubElement(item, "prop", {f"{{{REGISTRY}}}name": name, f"{{{REGISTRY}}}op": "fuse"})
        etree.SubElement(prop, "value").text = value
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))
    os.replace(beside, path)
