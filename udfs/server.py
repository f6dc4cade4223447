"""A project folder for xlwings Server, which answers Excel on Windows, Mac and the web: ``mls-udfs server FOLDER``."""

from __future__ import annotations

import secrets
from pathlib import Path

from mlsysim.version import __version__

from .addin import refuse_used

VERSION = "1.20.0"  # of xlwings-server, with which the folder was tried
PAGE = """\
The MLS functions {version} on xlwings Server {server}

Licence: xlwings Server is NOT free for use inside a company.  It needs a paid licence, or your use must be
non-commercial under PolyForm Noncommercial (its documentation counts tools within an organisation as commercial).
The MLS functions themselves are Apache-2.0.

What leaves a user's machine: the cells that a formula names go to this server, and to nobody else.

Start it (put your key into .env first):
  python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
  XLWINGS_PROJECT_DIR=$PWD .venv/bin/uvicorn xlwings_server.main:main_app --host 127.0.0.1 --port 8000
Try it: http://127.0.0.1:8000/ says "ok"; /xlwings/custom-functions-meta lists the functions; /manifest is what an
administrator gives to Excel.  Users need HTTPS: put it behind your own proxy, with your own sign-on.

Set MLS_HELP_URL to the address at which you publish README.md, and Excel's help on a function opens its row there.
In cells the functions bear the server's namespace: =XLWINGS.MLS_KVCACHE("Llama3_8B",4096,32), with _DEV outside "prod".
Nothing of this was seen in Excel.
"""


def write(folder: Path) -> list[Path]:
    """Write the project.

    Parameters
    ----------
    folder : Path
        A new or empty folder.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    AddinError
        When the folder holds something.
    """
    refuse_used(folder)
    root = Path(__file__).resolve().parents[1]
    package = f"mlsysim-excel @ {root.as_uri()}" if (root / "pyproject.toml").is_file() else "mlsysim-excel"
    files = {
        "custom_functions/__init__.py": "from udfs.mls import *\n",
        "custom_scripts/__init__.py": "",
        "requirements.txt": f"xlwings-server=={VERSION}\n{package}\n",
        ".env": 'XLWINGS_LICENSE_KEY=""\nXLWINGS_ENVIRONMENT="prod"\n'
        f'XLWINGS_SECRET_KEY="{secrets.token_urlsafe(32)}"\n',
        "README.txt": PAGE.format(version=__version__, server=VERSION),
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [folder / name for name in files]
