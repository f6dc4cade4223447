"""``python -m workbook build | sweep | recalc | check | refresh | freeze | thaw | eval``: the workbook from a terminal.

A user's mistake is answered with one sentence on standard error and exit code 1 (2 for a wrong command line).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mlsysim.errors import MlsysError
from mlsysim.version import __version__

from .errors import WorkbookError, refuse_target

WORKLOADS = ("serving", "training", "both")
FLAVOURS = ("xlwings", "lite", "lambda", "values")
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
    commands = parser.add_subparsers(metavar="build | sweep | recalc | check | refresh | freeze | thaw | eval")

    build = commands.add_parser("build", help="write a new workbook")
    build.add_argument("file", type=Path, help="the workbook to write, such as PLAN.xlsx")
    build.add_argument("--case", choices=WORKLOADS, help="what the plan delivers; serving unless said")
    build.add_argument("--model", metavar="KEY", help="the model to serve; with --case training, to train")
    build.add_argument("--hardware", metavar="A,B,C", help="accelerators that the options take")
    build.add_argument("--horizon", type=int, metavar="MONTHS", help="months of the plan, 1 to 120; 36 unless said")
    build.add_argument("--options", type=int, metavar="N", help="rows of the Options table, 1 to 8; 6 unless said")
    build.add_argument("--flavour", choices=FLAVOURS, default="xlwings", help="live functions; the same in xlwings "
                       "Lite; frozen figures with LAMBDAs for Microsoft 365; or frozen figures alone")  # fmt: skip
    build.add_argument("--address", metavar="https://...", default="", help="with --flavour lite: the folder of the "
                       "wheel that `mls-udfs lite` writes")  # fmt: skip
    build.add_argument("--force", action="store_true", help="replace an existing file; a copy of it is kept beside")
    build.set_defaults(run=_build)

    sweep = commands.add_parser(
        "sweep",
        help="write every configuration of a sweep into a new workbook",
        epilog='example: mls-workbook sweep GRID.xlsx serving "model = Llama3_8B; hardware = H100, A100; '
        'seq_len = 4096; batch = 1..64" "max decode_throughput" --show itl --where "itl <= 30"',
    )
    sweep.add_argument("file", type=Path, help="the workbook to write, such as GRID.xlsx")
    sweep.add_argument("function", help="the function to sweep, such as serving")
    sweep.add_argument("axes", help="'name = value, value; name = first..last by step; ...'")
    sweep.add_argument("goal", help="'max' or 'min' and a figure")
    sweep.add_argument("--show", metavar="FIGURE", nargs="*", default=[], help="further figures")
    sweep.add_argument("--where", metavar="LIMIT", nargs="*", default=[], help="limits, such as 'itl <= 30'")
    sweep.add_argument("--force", action="store_true", help="replace an existing file; a copy of it is kept beside")
    sweep.set_defaults(run=_sweep)

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

    refresh = commands.add_parser(
        "refresh",
        help="bring the registry tables of your workbook up to this version; all else is kept",
        epilog="example: mls-workbook refresh PLAN.xlsx --dry-run",
    )
    refresh.add_argument("file", type=Path, help="your workbook; it is replaced in one step, a dated copy is kept")
    refresh.add_argument("--dry-run", action="store_true", help="only print what would change, value by value")
    refresh.add_argument("--out", type=Path, metavar="FILE", help="write a refreshed copy and leave your file alone")
    refresh.set_defaults(run=_refresh)

    freeze = commands.add_parser(
        "freeze",
        help="store a grid of engine figures as values, for readers without the add-in",
        epilog="example: mls-workbook freeze PLAN.xlsx --out PLAN_frozen.xlsx --devices MI300X --loads 1,32,128",
    )
    freeze.add_argument("file", type=Path, help="your workbook; it is replaced in one step, a dated copy is kept")
    freeze.add_argument("--out", type=Path, metavar="FILE", help="write a frozen copy and leave your file alone")
    freeze.add_argument("--devices", metavar="A,B", help="devices in the grid beside those of the options")
    freeze.add_argument("--loads", metavar="N,N", help="requests in flight for each accelerator; blank: 1,8,32,64,128")
    freeze.add_argument("--precisions", metavar="A,B", help="formats beside those of the options; blank: fp8,bf16")
    freeze.add_argument("--date", metavar="YYYY-MM-DD", help="the day that the book names; blank: today")
    freeze.set_defaults(run=_freeze)

    thaw = commands.add_parser("thaw", help="put the formulas of a frozen workbook back")
    thaw.add_argument("file", type=Path, help="the frozen workbook; it is replaced in one step, a dated copy is kept")
    thaw.add_argument("--out", type=Path, metavar="FILE", help="write a live copy and leave your file alone")
    thaw.set_defaults(run=_thaw)

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
    from .refresh_file import backup_name

    if not target.is_file():
        return
    if not force:
        raise WorkbookError(
            f"{target} exists already; name another file, or add --force, which keeps a dated copy of it."
        )
    backup = backup_name(target)
    with open(backup, "xb") as copy:
        copy.write(target.read_bytes())
    print(f"kept the former file as {backup}")


def _build(arguments: argparse.Namespace) -> int:
    from .flavour import build_flavour
    from .plan import read_plan

    if arguments.file.suffix.casefold() != ".xlsx":
        raise WorkbookError(f"{arguments.file} does not end in .xlsx; name a workbook, such as PLAN.xlsx.")
    hardware = [key.strip() for key in arguments.hardware.split(",") if key.strip()] if arguments.hardware else None
    plan = read_plan(
        arguments.options, case=arguments.case, model=arguments.model, hardware=hardware, horizon=arguments.horizon
    )
    if not arguments.file.parent.is_dir():
        raise WorkbookError(f"{arguments.file.parent} is no folder; make it first, or name another file.")
    _keep(arguments.file, arguments.force)
    left = build_flavour(arguments.file, plan, arguments.flavour, address=arguments.address, force=arguments.force)
    print(f"wrote {arguments.file}")
    return _report([f"{sheet}!{at}: {why}" for (sheet, at), why in left.items()], len(left))


def _sweep(arguments: argparse.Namespace) -> int:
    from .sweep_book import asked_of, write_sweep

    asked = asked_of(arguments.function, arguments.axes, arguments.goal, arguments.show, arguments.where)
    refuse_target(None, arguments.file, force=arguments.force)
    _keep(arguments.file, arguments.force)
    told = write_sweep(arguments.file, asked, force=arguments.force)
    print(f"wrote {arguments.file}: {told}")
    return 0


def _recalc(arguments: argparse.Namespace) -> int:
    from udfs import FUNCTIONS

    from .recalc import recalc

    refuse_target(arguments.source, arguments.target, force=True)
    _keep(arguments.target, arguments.force)
    report = recalc(arguments.source, arguments.target, FUNCTIONS, force=arguments.force)
    print("\n".join(report.sentences(full=arguments.all)))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from .check import check, warnings

    problems = check(arguments.file)
    for warning in warnings(arguments.file):
        print(f"warning: {warning}")
    if not problems:
        print(f"{arguments.file}: every check passes, no cell is in error")
    return _report(problems, len(problems) if arguments.all else CHECK_LINES)


def _refresh(arguments: argparse.Namespace) -> int:
    from .refresh import refresh

    print("\n".join(refresh(arguments.file, out=arguments.out, dry_run=arguments.dry_run).sentences()))
    return 0


def _freeze(arguments: argparse.Namespace) -> int:
    from udfs import FUNCTIONS

    from .freeze import freeze
    from .freeze_grid import asked_of, day_of

    asked = asked_of(arguments.devices, arguments.loads, arguments.precisions)
    report = freeze(arguments.file, FUNCTIONS, out=arguments.out, asked=asked, day=day_of(arguments.date))
    print("\n".join(report.sentences()))
    return 0


def _thaw(arguments: argparse.Namespace) -> int:
    from udfs import FUNCTIONS

    from .thaw import thaw

    print("\n".join(thaw(arguments.file, FUNCTIONS, out=arguments.out).sentences()))
    return 0


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
