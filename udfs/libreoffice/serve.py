"""The child's loop: one line of JSON in, one function called, one line of JSON out (see `component` for the format).

`python -m udfs.libreoffice.serve MODULE:NAME` serves the mapping NAME of MODULE until standard input closes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Protocol, TextIO


class Function(Protocol):
    """What this package needs of a published function: its name, how many arguments it has, and the call."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> tuple[object, ...]: ...

    def __call__(self, *cells: Any) -> Any: ...


def load(reference: str) -> Mapping[str, Function]:
    """The published functions that `reference` names.

    Parameters
    ----------
    reference : str
        "module:NAME", for example "udfs:FUNCTIONS".

    Raises
    ------
    ValueError
        If `reference` does not name a mapping.
    """
    module, _, name = reference.partition(":")
    functions = getattr(importlib.import_module(module), name, None) if module and name else None
    if not isinstance(functions, Mapping):
        raise ValueError(f"functions must be 'module:NAME' of a mapping of functions, not {reference!r}")
    return functions


def answer(functions: Mapping[str, Function], name: str, cells: list[Any]) -> dict[str, Any]:
    """One call's answer: `{"value": ...}`, or `{"error": sentence}` for what is wrong on our side."""
    function = functions.get(name)
    if function is None:
        return {"error": f"{name} is not among the installed functions; install them into LibreOffice again."}
    try:
        return {"value": function(*cells)}
    except Exception as error:  # user mistakes come back as text: this is a defect, told in the cell and in the log
        traceback.print_exc()
        return {"error": f"{name} failed inside: {type(error).__name__}: {error}"}


def serve(functions: Mapping[str, Function], requests: TextIO, answers: TextIO) -> None:
    """Answer every line of `requests` on `answers` until `requests` ends."""
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in requests:
        name, cells = json.loads(line)
        print(json.dumps(answer(functions, name, cells)), file=answers, flush=True)


def main() -> None:
    """Serve the mapping named on the command line over standard input and output."""
    # The pipe is ours alone: whatever a library prints goes to the log instead of between two answers.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    os.dup2(2, 1)
    serve(load(sys.argv[1]), sys.stdin, answers)


if __name__ == "__main__":
    main()
