"""``python -m workbook build | recalc | check | eval``: the workbook from a terminal.

A user's mistake is answered with one sentence on standard error and exit code 1 (2 for a wrong command line).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mlsysim.errors import MlsysError
from mlsysim.version import __version__

from .errors import WorkbookError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        return code
    except (WorkbookError, MlsysError) as error:
        print(f"mls-workbook: {error}", file=sys.stderr)
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"mls-workbook: {error.filename or 'the file system'}: {error.strerror or error}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mls-workbook", description="Workbooks for buying and planning accelerators.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="build | recalc | check | eval")

    build = commands.add_parser("build", help="write a new workbook")
    build.add_argument("file", type=Path)
    build.add_argument("--options", type=int, metavar="N", help="rows of the Options table, 1 to 8")
    build.add_argument("--force", action="store_true", help="replace an existing file; a copy of it is kept beside")
    build.set_defaults(run=_build)

    recalc = commands.add_parser("recalc", help="recalculate a copy of an edited workbook")
    recalc.add_argument("source", type=Path)
    recalc.add_argument("target", type=Path)
    recalc.add_argument("--force", action="store_true", help="replace an existing target; a copy of it is kept beside")
    recalc.set_defaults(run=_recalc)

    check = commands.add_parser("check", help="print every failing check and error cell")
    check.add_argument("file", type=Path)
    check.set_defaults(run=_check)

    evaluate = commands.add_parser("eval", help="answer one formula")
    evaluate.add_argument("formula", help="such as '=MLS_KVCACHE(\"Llama3_8B\",4096,32)'")
    evaluate.set_defaults(run=_eval)
    return parser


def _keep(target: Path, force: bool) -> None:
    """Copy a file that is about to be replaced to ``name.YYYYmmdd-HHMMSS.bak.xlsx`` beside it."""
    if not force or not target.is_file():
        return
    backup = target.with_name(f"{target.stem}.{time.strftime('%Y%m%d-%H%M%S')}.bak{target.suffix}")
    with open(backup, "xb") as copy:
        copy.write(target.read_bytes())
    print(f"kept the former file as {backup}")


def _build(arguments: argparse.Namespace) -> int:
    from .build import build

    _keep(arguments.file, arguments.force)
    left = build(arguments.file, options=arguments.options, force=arguments.force)
    print(f"wrote {arguments.file}")
    return _report([f"{sheet}!{at}: {why}" for (sheet, at), why in left.items()])


def _recalc(arguments: argparse.Namespace) -> int:
    from udfs import FUNCTIONS

    from .errors import refuse_target
    from .recalc import recalc

    refuse_target(arguments.source, arguments.target, force=arguments.force)
    _keep(arguments.target, arguments.force)
    report = recalc(arguments.source, arguments.target, FUNCTIONS, force=arguments.force)
    print("\n".join(report.sentences()))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from .check import check

    problems = check(arguments.file)
    if not problems:
        print(f"{arguments.file}: every check passes, no cell is in error")
    return _report(problems)


def _report(problems: Sequence[str]) -> int:
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def _eval(arguments: argparse.Namespace) -> int:
    from udfs import FUNCTIONS
    from udfs.cells import is_error

    from .engine import answer
    from .units import unit_of_call

    formula = arguments.formula if arguments.formula.startswith("=") else f"={arguments.formula}"
    value = answer(formula, FUNCTIONS)
    rows = value if isinstance(value, list) else [[value]]
    unit = unit_of_call(formula, FUNCTIONS)
    for row in rows:
        print("\t".join(_shown(cell) for cell in row) + (f" {unit}" if unit and not is_error(row[0]) else ""))
    return 1 if any(is_error(cell) for row in rows for cell in row) else 0


def _shown(cell: object) -> str:
    if isinstance(cell, bool):
        return str(cell).upper()
    return f"{cell:.10g}" if isinstance(cell, float) else str(cell)


if __name__ == "__main__":
    sys.exit(main())
