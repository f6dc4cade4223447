"""`mls-udfs`, also `python -m udfs`: the functions, help on one, a model as text, Excel's add-in, and LibreOffice.

mls-udfs list
mls-udfs help MLS_SERVING
mls-udfs config path/to/config.json
mls-udfs libreoffice install
mls-udfs doctor
mls-udfs addin FOLDER
mls-udfs lite FOLDER ADDRESS
mls-udfs server FOLDER
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mlsysim import MlsysError, Models
from mlsysim.registry import samples, sources, spec
from mlsysim.tables import is_table
from udfs import FUNCTIONS, Published, addin, libreoffice, lite, server
from udfs.doctor import examine
from udfs.tools import metrics_table


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after the program's name; those of this process by default.

    Returns
    -------
    int
        0, or 1 after a refusal, which is a sentence on standard error.
    """
    parser = argparse.ArgumentParser(prog="mls-udfs", description="The MLS functions for spreadsheets.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the functions by group")
    about = commands.add_parser("help", help="explain one function")
    about.add_argument("name", help="its name, with or without MLS_")
    model = commands.add_parser("config", help="print a model's config.json (Hugging Face) as the text of a cell")
    model.add_argument("path", help="the file, or the folder that holds it")
    calc = commands.add_parser("libreoffice", help="put the functions into LibreOffice, or take them out")
    calc.add_argument("action", choices=("install", "uninstall"))
    commands.add_parser("doctor", help="look whether this machine can answer the functions, and say what to mend")
    excel = commands.add_parser("addin", help="write an add-in for Excel on Windows, ready for two clicks")
    excel.add_argument("folder", type=Path, help="a new folder")
    excel.add_argument("--interpreter", type=Path, help="python.exe of the users; this one unless said")
    browser = commands.add_parser("lite", help="write a wheel and the lines for xlwings Lite (Windows, Mac, web)")
    browser.add_argument("folder", type=Path, help="a new folder")
    browser.add_argument("address", help="https address of the folder from which users will read the wheel")
    host = commands.add_parser("server", help="write a project folder for xlwings Server (which needs a licence)")
    host.add_argument("folder", type=Path, help="a new folder")
    given = parser.parse_args(argv)
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output, such as `head`, went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(given: argparse.Namespace) -> int:
    if given.command == "libreoffice":
        return _libreoffice(given.action)
    if given.command == "doctor":
        return _doctor()
    if given.command == "addin":
        return _written(lambda: addin.write(given.folder, given.interpreter), "The clicks that remain are in")
    if given.command == "lite":
        return _written(lambda: lite.write(given.folder, given.address), "Where the lines go is in")
    if given.command == "server":
        return _written(lambda: server.write(given.folder), "How to start it, and its licence, are in")
    if given.command == "help":
        return _help(given.name)
    if given.command == "config":
        return _config(given.path)
    _print(_catalogue())
    return 0


def _print(lines: Iterable[str]) -> None:
    print("\n".join(lines))


def _catalogue() -> Iterator[str]:
    width = max(map(len, FUNCTIONS))
    for group in dict.fromkeys(f.group for f in FUNCTIONS.values()):
        yield f"{group}:"
        for function in FUNCTIONS.values():
            if function.group == group:
                yield f"  {function.name:{width}}  {function.summary}"


# ------------------------------------------------------------------ help on one function


def _help(name: str) -> int:
    known = {full.removeprefix("MLS_"): full for full in FUNCTIONS}
    key = name.strip().upper().removeprefix("=").removesuffix("()").removeprefix("MLS_")
    if key not in known:
        near = [known[n] for n in difflib.get_close_matches(key, known, n=3, cutoff=0.5)]
        hint = f"did you mean {' or '.join(near)}?" if near else "`mls-udfs list` names them all."
        print(f"There is no function {name!r}; {hint}", file=sys.stderr)
        return 1
    _print(_explained(FUNCTIONS[known[key]]))
    return 0


def _explained(function: Published) -> Iterator[str]:
    shown = (f"[{a.name}]" if a.optional else a.name for a in function.parameters)
    yield f"={function.name}({', '.join(shown)})"
    yield function.summary
    yield from _section("Arguments", [(a.name, a.help) for a in function.parameters])
    if function.entry is None:
        return
    yield from _section("Things of your own, as text", [(p.name, f'"{text}"') for p in function.entry.params if p.thing
                                                        for text in samples(p.thing)])  # fmt: skip
    answers = [(str(name), str(unit)) for name, unit in metrics_table(FUNCTIONS, function.name)]
    if function.entry.metrics:
        yield from _section("Columns" if is_table(function.entry) else "Metrics, the default first", answers)
    elif answers[0][1]:
        yield from ("", f"Answers in {answers[0][1]}.")
    known = sources()
    yield from ("", "References:", *(f"  {known[c].title}\n    {known[c].url}" for c in function.entry.cites))


def _section(heading: str, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    if rows:
        width = max(len(first) for first, _ in rows)
        yield from ("", f"{heading}:", *(f"  {first:{width}}  {second}".rstrip() for first, second in rows))


# ------------------------------------------------------------------ a model of one's own


def _config(path: str) -> int:
    try:
        print(spec(Models.from_config(path)))
    except MlsysError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


# ------------------------------------------------------------------ Excel


def _doctor() -> int:
    findings = examine()
    _print(map(str, findings))
    return int(not all(f.well for f in findings))


def _written(write: Callable[[], list[Path]], last: str) -> int:
    """Write a folder, whose last file says how to go on."""
    try:
        files = write()
    except addin.AddinError as error:
        print(error, file=sys.stderr)
        return 1
    _print([*(f"wrote {path}" for path in files), f"{last} {files[-1]}."])
    return 0


# ------------------------------------------------------------------ LibreOffice


def _libreoffice(action: str) -> int:
    profile = libreoffice.default_profile()
    try:
        if action == "install":
            libreoffice.install(profile)
            print(f"The functions are in {profile}. Start LibreOffice Calc and try =MLS_VERSION().")
        else:
            libreoffice.uninstall(profile)
            print(f"The functions are no longer in {profile}.")
    except libreoffice.LibreOfficeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
