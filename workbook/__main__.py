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

CHECK_LINES = 40  # of faults that `check` prints without --all


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        if arguments.run is None:
            parser.print_help()
            return 2
        code: int = arguments.run(arguments)
        sys.stdout.flush()
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
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="build | recalc | check | eval")

    build = commands.add_parser("build", help="write a new workbook")
    build.add_argument("file", type=Path, help="the workbook to write, such as PLAN.xlsx")
    build.add_argument("--options", type=int, metavar="N", help="rows of the Options table, 1 to 8")
    build.add_argument("--force", action="store_true", help="replace an existing file; a copy of it is kept beside")
    build.set_defaults(run=_build)

    recalc = commands.add_parser(
        "recalc",
        help="recalculate a copy of an edited workbook",
        epilog="example: mls-workbook recalc EDITED.xlsx ANSWERED.xlsx",
    )
    recalc.add_argument("source", type=Path, help="the workbook that you edited and saved; it is only read")
    recalc.add_argument("target", type=Path, help="the copy to write, with every value computed anew")
    recalc.add_argument("--force", action="store_true", help="replace an existing target; a copy of it is kept beside")
    recalc.add_argument("--all", action="store_true", help="print every cell in error, not only the causes")
    recalc.set_defaults(run=_recalc)

    check = commands.add_parser("check", help="print every failing check and error cell")
    check.add_argument("file", type=Path, help="the workbook; it is only read")
    check.add_argument("--all", action="store_true", help=f"print more than {CHECK_LINES} lines")
    check.set_defaults(run=_check)

    evaluate = commands.add_parser("eval", help="answer one formula")
    evaluate.add_argument(
        "formula",
        help="such as '=MLS_KVCACHE(\"Llama3_8B\",4096,32)'; numbers and texts only: there is no sheet here that cells "
        "and ranges such as A1:A3 could refer to",
    )
    evaluate.set_defaults(run=_eval)
    return parser


def _keep(target: Path, force: bool) -> None:
    """Copy a file that is about to be replaced to ``name.YYYYmmdd-HHMMSS.bak.xlsx``, or refuse to replace it."""
    if not target.is_file():
        return
    if not force:
        raise WorkbookError(
            f"{target} exists already; name another file, or add --force, which keeps a dated copy of it."
        )
    backup = target.with_name(f"{target.stem}.{time.strftime('%Y%m%d-%H%M%S')}.bak{target.suffix}")
    with open(backup, "xb") as copy:
        copy.write(target.read_bytes())
    print(f"kept the former file as {backup}")


def _build(arguments: argparse.Namespace) -> int:
    from .build import build

    if arguments.file.suffix.casefold() != ".xlsx":
        raise WorkbookError(f"{arguments.file} does not end in .xlsx; name a workbook, such as PLAN.xlsx.")
    _keep(arguments.file, arguments.force)
    left = build(arguments.file, options=arguments.options, force=arguments.force)
    print(f"wrote {arguments.file}")
    return _report([f"{sheet}!{at}: {why}" for (sheet, at), why in left.items()], len(left))


def _recalc(arguments: argparse.Namespace) -> int:
    from udfs import FUNCTIONS

    from .errors import refuse_target
    from .recalc import recalc

    refuse_target(arguments.source, arguments.target, force=True)
    _keep(arguments.target, arguments.force)
    report = recalc(arguments.source, arguments.target, FUNCTIONS, force=arguments.force)
    print("\n".join(report.sentences(full=arguments.all)))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from .check import check

    problems = check(arguments.file)
    if not problems:
        print(f"{arguments.file}: every check passes, no cell is in error")
    return _report(problems, len(problems) if arguments.all else CHECK_LINES)


def _report(problems: Sequence[str], limit: int) -> int:
    for problem in problems[:limit]:
        print(problem)
    if len(problems) > limit:
        print(f"and {len(problems) - limit} more; --all prints every one.")
    return 1 if problems else 0


def _eval(arguments: argparse.Namespace) -> int:
    from udfs import FUNCTIONS
    from udfs.cells import is_error

    from .engine import answer
    from .units import refuse_unreadable, unit_of_call

    formula = arguments.formula if arguments.formula.startswith("=") else f"={arguments.formula}"
    refuse_unreadable(formula)
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
