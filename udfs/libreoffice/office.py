"""Finding LibreOffice and running it once, with a time limit, for one user profile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEBIAN_PACKAGES = "libreoffice-calc python3-uno"


class LibreOfficeError(RuntimeError):
    """LibreOffice is missing, failed, or a file in its profile stands in the way; the message is a sentence."""


@contextmanager
def os_errors_as_sentences() -> Iterator[None]:
    """Tell a file that cannot be read or written in one sentence."""
    try:
        yield
    except OSError as error:
        raise LibreOfficeError(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.") from error


def find_soffice() -> Path | None:
    """The LibreOffice program of this machine, or None."""
    for name in ("soffice", "libreoffice"):
        found = shutil.which(name)
        if found:
            return Path(found)
    usual = [Path("/Applications/LibreOffice.app/Contents/MacOS/soffice")]
    usual += [
        Path(os.environ[variable]) / "LibreOffice" / "program" / "soffice.com"
        for variable in ("ProgramFiles", "ProgramFiles(x86)")
        if variable in os.environ
    ]
    return next((path for path in usual if path.is_file()), None)


def default_profile() -> Path:
    """The profile folder LibreOffice uses for this user unless told otherwise."""
    if sys.platform == "win32":
        return Path(os.environ["APPDATA"]) / "LibreOffice" / "4"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "LibreOffice" / "4"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "libreoffice" / "4"


def run_soffice(profile: Path, *arguments: str, timeout: float) -> str:
    """Run LibreOffice without a window and return what it printed.

    Parameters
    ----------
    profile : Path
        The user profile to run with.
    *arguments : str
        What follows the options that every run has.
    timeout : float
        Seconds after which it is ended.

    Raises
    ------
    LibreOfficeError
        If there is no LibreOffice, it takes longer than `timeout`, or it reports failure.
    """
    soffice = find_soffice()
    if soffice is None:
        raise LibreOfficeError(f"LibreOffice was not found: install it (on Debian and Ubuntu: {DEBIAN_PACKAGES}).")
    command = [str(soffice), "--headless", "--norestore", f"-env:UserInstallation={profile.resolve().as_uri()}"]
    # A virtual environment's PYTHON* settings would break the office's own Python.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # The office's helpers keep its output open after it ended: a file does not block where a pipe would.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            (profile / ".lock").unlink(missing_ok=True)  # left by the process just ended
            raise LibreOfficeError(f"LibreOffice did not finish within {timeout:g} seconds and was ended.") from None
        output.seek(0)
        printed = output.read().decode("utf-8", errors="replace").strip()
    if code != 0:
        raise LibreOfficeError(f"LibreOffice ended with code {code}: {printed or 'it printed nothing'}")
    return printed


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it started: on Linux the program found is only a launcher."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
