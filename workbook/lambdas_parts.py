"""What the LAMBDAs are put together from: names, words, arguments with their defaults, and refusals."""

from __future__ import annotations

from collections.abc import Sequence

from mlsysim.catalogue import Entry, Param
from udfs.cells import REFUSED

from .formula import range_tests


def local(name: str) -> str:
    """A name inside the LAMBDA; the underscore keeps it from looking like a cell."""
    return f"_xlpm.{name}_"


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _declared(params: Sequence[Param]) -> list[str]:
    return [f"{'_xlpm' if p.required else '_xlop'}.{p.name}" for p in params]


def _bound(param: Param) -> str:
    """`name, value` for LET: the argument, or its default where it is left out or blank."""
    given = f"_xlpm.{param.name}"
    if param.required:
        return f"{local(param.name)},{given}"
    default = _default(param)
    return (
        f'{local(param.name)},IF(_xlfn.ISOMITTED({given}),{default},IF(ISERROR({given}),{given},IF({given}="",{default},'
        f"{given})))"
    )


def _default(param: Param) -> str:
    """What stands for a blank argument; without a default the blank itself."""
    if param.default is None:
        return '""'
    if isinstance(param.default, bool):
        return str(param.default).upper()
    unit = param.unit
    return quoted(str(param.default)) if unit is None else repr(float(unit.to_face(param.default)))


def let(params: Sequence[Param], more: Sequence[str], result: str) -> str:
    bound = [_bound(p) for p in params]
    return f"_xlfn.LAMBDA({','.join(_declared(params))},_xlfn.LET({','.join([*bound, *more])},{result}))"


def one_cell(name: str, params: Sequence[Param], then: str) -> str:
    """Ranges are refused: the native form would fold them into one number."""
    size = "*".join(f"ROWS({local(p.name)})*COLUMNS({local(p.name)})" for p in params)
    return f"IF({size}>1,{quoted(f'{REFUSED}{name}: one cell for each argument; MAP takes it through a range')},{then})"


def faults(entry: Entry, params: Sequence[Param], last: str) -> str:
    """The sentence on the first argument that is no legal number, else `last`."""
    text = last
    for param in reversed(params):
        unit, cell = param.unit, local(param.name)
        if unit is None:
            continue
        where = f"{REFUSED}{entry.excel}: {param.name}"
        tail = f"&{quoted(f' {unit.face}')}" if unit.face else ""
        illegal = f"{quoted(f'{where} must be {unit.legal}, got ')}&{cell}{tail}"
        tests = [*range_tests(cell, unit), *([f"{cell}=INT({cell})"] if unit.whole else [])]
        inside = f"IF(AND({','.join(tests)}),{text},{illegal})" if tests else text
        empty, words = quoted(f"{where} is empty"), quoted(f"{where} must be a number")
        blank = f'IF({cell}="",{empty},{words})'
        text = f"IF(ISERROR({cell}),{quoted(f'{where} holds an error')},IF(ISNUMBER({cell}),{inside},{blank}))"
    return text


def any_of(cell: str, words: Sequence[str]) -> str:
    return "OR(" + ",".join(f'{cell}="{word}"' for word in words) + ")"
