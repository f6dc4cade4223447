"""The half of the bridge that LibreOffice's own Python runs: calls from cells go down a pipe, answers come back.

`profile.install` copies this file into a LibreOffice user profile, beside `installation.json`, which names the
interpreter that has our packages. That interpreter is started once as a child (`python -m udfs.libreoffice.serve`),
so the office needs neither numpy nor our Python version: this file is standard library and `uno` only, and keeps to
syntax that Python 3.8 (bundled with older offices) reads.

One request and one answer are one line of JSON each, all ASCII: `[name, [argument, ...]]` down, `{"value": ...}` or
`{"error": text}` up; the first line up is `{"ready": true}`. JSON as Python writes it keeps every float bit for bit,
and NaN and infinities too. The child ends when the office closes its end of the pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import threading
from pathlib import Path
from typing import Any

import unohelper
from com.sun.star.script import XInvocation

HERE = Path(__file__).resolve().parent
LOG_NAME = "child.log"

# Calc reads an error code from the low bits of a NaN; 0x7FFF is its #N/A.
NOT_AVAILABLE = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_7FFF))[0]

# The office sets these for its own Python and libraries; they would break any other interpreter.
OFFICE_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LD_PRELOAD")


class ChildDiedError(Exception):
    """The child closed the pipe instead of answering."""


class Child:
    """The installing interpreter behind a pipe: started at the first call, again if it died, once per call."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._refusal = ""

    def call(self, name: str, arguments: list[Any]) -> Any:
        """The answer of function `name`: a scalar, a list of rows, or a text that starts with '#MLS!'."""
        line = json.dumps([name, arguments]) + "\n"
        with self._lock:
            for _ in range(2):
                if self._process is None:
                    self._start()
                if self._refusal:
                    return self._refusal
                try:
                    answer = self._exchange(line)
                except (ChildDiedError, OSError, ValueError):
                    self._end()
                    continue
                return answer["value"] if "value" in answer else "#MLS! " + answer["error"]
        return f"#MLS! {name} ended the Python process that computes it, twice; the reason is in {HERE / LOG_NAME}."

    def _start(self) -> None:
        """Start the child and wait for its first line; a child that cannot start is not tried for every cell."""
        try:
            installation = json.loads((HERE / "installation.json").read_text(encoding="utf-8"))
            python = installation["python"]
            with open(HERE / LOG_NAME, "w", encoding="utf-8") as log:
                self._process = subprocess.Popen(
                    [python, "-P", "-m", "udfs.libreoffice.serve", installation["functions"]],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=child_environment(installation["paths"]),
                    encoding="ascii",
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except (OSError, ValueError, KeyError) as error:
            self._refusal = f"#MLS! the Python installation of these functions cannot be started ({error}); " + ADVICE
            return
        try:
            self._exchange("")
        except (ChildDiedError, OSError, ValueError):
            self._end()
            self._refusal = f"#MLS! {python} ended before it could load the functions ({self._last_words()}); " + ADVICE

    def _exchange(self, line: str) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ChildDiedError
        process.stdin.write(line)
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer.endswith("\n"):
            raise ChildDiedError
        return json.loads(answer)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):  # what was not yet written is lost with the child
                process.stdin.close()
            process.stdout.close()

    def _last_words(self) -> str:
        lines = (HERE / LOG_NAME).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


ADVICE = "install them into LibreOffice again, then restart it."


def child_environment(paths: list[str]) -> dict[str, str]:
    """The office's environment without its own Python's settings, and with the installer's import paths."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in OFFICE_VARIABLES and not name.startswith(("PYTHON", "URE_", "UNO_", "PYUNO_"))
    }
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def from_calc(value: Any) -> Any:
    """A cell or a range as functions expect it: Basic hands whole numbers over as integers, ranges as tuples."""
    if isinstance(value, tuple):
        return [from_calc(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def to_calc(value: Any, in_array: bool = False) -> Any:
    """An answer in the shapes Calc takes: floats, and tuples of tuples; '#N/A' inside a block becomes the error."""
    if isinstance(value, list):
        return tuple(tuple(to_calc(cell, True) for cell in row) for row in value)
    if in_array and value == "#N/A":
        return NOT_AVAILABLE
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


CHILD = Child()


class Dispatcher(unohelper.Base, XInvocation):  # type: ignore[misc]
    """What the Basic module talks to: `invoke(function name, arguments)`; the rest of the interface is unused."""

    def invoke(self, name: str, arguments: Any, _index: Any, _out: Any) -> tuple[Any, tuple[()], tuple[()]]:
        """Run one function; nothing but a value or a '#MLS!' text comes back, whatever happens."""
        try:
            answer = to_calc(CHILD.call(name, from_calc(arguments)))
        except Exception as error:  # an exception here would reach the cell as a bare error code
            answer = f"#MLS! the bridge to Python failed in {name}: {type(error).__name__}: {error}"
        return (answer, (), ())

    def getIntrospection(self) -> None:
        return None

    def setValue(self, _name: str, _value: Any) -> None:
        return None

    def getValue(self, _name: str) -> None:
        return None

    def hasProperty(self, _name: str) -> bool:
        return False

    def hasMethod(self, _name: str) -> bool:
        return True


def getComponentFactory(_name: str, _services: Any, _key: Any) -> Dispatcher:
    """The office's Python loader calls this after reading the file; Basic gets what it returns."""
    return Dispatcher()
