"""Putting our functions into one LibreOffice user profile, and taking them out again.

Only files inside the profile are written, so neither an administrator nor an extension is needed:

- `user/mlsysim/`: the component, and `installation.json` with this interpreter's path, its import paths and the
  mapping to serve;
- `user/basic/Standard/MLSYSIM.xba`: the Basic stubs, and one line for them in the library's index `script.xlb`.
  The user's own modules of that library stay as they are.

LibreOffice must not be running with that profile meanwhile: it would write its own idea of the index at its end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lxml import etree

from udfs.libreoffice import basic
from udfs.libreoffice.office import LibreOfficeError, os_errors_as_sentences, run_soffice
from udfs.libreoffice.serve import Function, load

FUNCTIONS = "udfs:FUNCTIONS"
LIBRARY = "{http://openoffice.org/2000/library}"
BACKUP_SUFFIX = ".before-mlsysim"
CREATION_SECONDS = 60.0


@os_errors_as_sentences()
def install(profile: Path, functions: str = FUNCTIONS) -> None:
    """Install the functions into a LibreOffice user profile, creating the profile if there is none.

    Parameters
    ----------
    profile : Path
        The profile folder, the one that has the folder `user` in it.
    functions : str
        "module:NAME" of the mapping of published functions; the module must be importable here and now.

    Raises
    ------
    LibreOfficeError
        If LibreOffice is missing or running with this profile, if a file in it cannot be written, or if the user has
        a Basic module or function of one of our names.
    ValueError
        If `functions` names no mapping.
    """
    published = load(functions)
    create_profile(profile)
    _refuse_if_running(profile)
    library = _library(profile)
    _refuse_clashes(library, published)
    home = _home(profile)
    home.mkdir(exist_ok=True)
    _write(home / "component.py", Path(__file__).with_name("component.py").read_text(encoding="utf-8"))
    stamp = {"python": sys.executable, "paths": extra_paths(), "functions": functions}
    _write(home / "installation.json", json.dumps(stamp, indent=1))
    library.mkdir(parents=True, exist_ok=True)
    _write(library / f"{basic.MODULE_NAME}.xba", basic.module_file(published))
    _list_library(profile)
    _list_module(library, present=True)


@os_errors_as_sentences()
def uninstall(profile: Path) -> None:
    """Remove what `install` wrote and nothing else; a profile without our functions stays as it is.

    Raises
    ------
    LibreOfficeError
        If LibreOffice is running with this profile, or a file in it cannot be written.
    """
    library = _library(profile)
    module = library / f"{basic.MODULE_NAME}.xba"
    if module.is_file() and basic.MARKER in module.read_text(encoding="utf-8"):
        _refuse_if_running(profile)
        _list_module(library, present=False)
        module.unlink()
        (library / f"script.xlb{BACKUP_SUFFIX}").unlink(missing_ok=True)
    if _home(profile).is_dir():
        shutil.rmtree(_home(profile))


def create_profile(profile: Path) -> None:
    """Let LibreOffice write a new profile where there is none: it would replace a library found at its first start."""
    if not settings_file(profile).is_file():
        run_soffice(profile, "--terminate_after_init", timeout=CREATION_SECONDS)
        if not settings_file(profile).is_file():
            raise LibreOfficeError(f"LibreOffice did not create a profile in {profile}.")


def settings_file(profile: Path) -> Path:
    """The file with the settings that differ from LibreOffice's own."""
    return profile / "user" / "registrymodifications.xcu"


def extra_paths() -> list[str]:
    """The import paths this process has beyond what its interpreter finds by itself (a source checkout, say)."""
    bare = subprocess.run(
        [sys.executable, "-I", "-c", "import json, sys; print(json.dumps(sys.path))"],
        capture_output=True,
        check=True,
        text=True,
    )
    known = {os.path.abspath(path) for path in json.loads(bare.stdout)}
    return [path for path in dict.fromkeys(os.path.abspath(path) for path in sys.path) if path not in known]


def _home(profile: Path) -> Path:
    return profile / "user" / "mlsysim"


def _library(profile: Path) -> Path:
    return profile / "user" / "basic" / "Standard"


def _refuse_if_running(profile: Path) -> None:
    lock = profile / ".lock"
    if lock.exists():
        raise LibreOfficeError(f"LibreOffice is running with this profile: close it first (its mark is {lock}).")


def _refuse_clashes(library: Path, functions: Mapping[str, Function]) -> None:
    """A user's Basic function of one of our names would answer in our place, or we in theirs."""
    ours = {name.lower() for name in functions}
    for module in sorted(library.glob("*.xba")):
        text = "".join(str(piece) for piece in _read(module, "").itertext())
        if module.stem.lower() == basic.MODULE_NAME.lower():
            if basic.MARKER not in text:
                raise LibreOfficeError(f"{module} is a Basic module of your own: rename it, then install again.")
            continue
        for name in re.findall(r"^\s*(?:(?:public|private)\s+)?(?:function|sub)\s+(\w+)", text, re.I | re.M):
            if name.lower() in ours:
                raise LibreOfficeError(f"{module} defines {name}, a name of ours: rename it, then install again.")


def _list_library(profile: Path) -> None:
    """Make sure that the profile lists the library Standard (every profile LibreOffice wrote does)."""
    path = profile / "user" / "basic" / "script.xlc"
    root = _read(path, basic.LIBRARIES_FILE)
    if not any(library.get(f"{LIBRARY}name") == "Standard" for library in root):
        etree.SubElement(root, f"{LIBRARY}library", {f"{LIBRARY}name": "Standard", f"{LIBRARY}link": "false"})
        _write_index(path, root)


def _list_module(library: Path, present: bool) -> None:
    """Add our module to the library's index, or take it out."""
    path = library / "script.xlb"
    root = _read(path, basic.LIBRARY_FILE)
    entries = [entry for entry in root if entry.get(f"{LIBRARY}name") == basic.MODULE_NAME]
    if present == bool(entries):
        return
    for entry in entries:
        root.remove(entry)
    if present:
        etree.SubElement(root, f"{LIBRARY}element", {f"{LIBRARY}name": basic.MODULE_NAME})
    _write_index(path, root)


def _read(path: Path, if_missing: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(path.read_bytes() if path.is_file() else if_missing.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise LibreOfficeError(f"{path} cannot be read as XML ({error}): repair or remove it first.") from None


def _write_index(path: Path, root: etree._Element) -> None:
    """Replace an index of the user's, keeping a copy of the one we found."""
    if path.is_file():
        shutil.copy2(path, path.with_name(path.name + BACKUP_SUFFIX))
    name = etree.QName(root).localname
    # Spelled out, because lxml drops a document type whose name has a prefix.
    doctype = f'<!DOCTYPE library:{name} PUBLIC "-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "{name}.dtd">'
    text = doctype + "\n" + etree.tostring(root, encoding="unicode")
    _write(path, '<?xml version="1.0" encoding="UTF-8"?>\n' + text + "\n")


def _write(path: Path, text: str) -> None:
    """Write beside, then replace: a crash leaves the old file or the new one."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, encoding="utf-8", newline="\n")
    os.replace(beside, path)
