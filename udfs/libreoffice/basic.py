"""The text LibreOffice stores in a user's Basic library: one stub per function, and the two index files.

Calc finds the name in `=MLS_KVCACHE(…)` as a Basic function of the library Standard. Each stub collects its arguments
and hands them to one dispatcher, which reaches Python through the office's own Python loader; so nothing has to be
registered with the office, and no administrator is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from udfs.libreoffice.serve import Function

MODULE_NAME = "MLSYSIM"
MARKER = "' Written by mlsysim-excel; a new installation replaces this module."
COMPONENT_URL = "$(user)/mlsysim/component.py"

DISPATCHER = f"""\
Option Explicit
Private bridge As Object

Private Function MlsCall(functionName As String, cells) As Variant
  Dim answer, index, out, row As Long, column As Long
  index = Array()
  out = Array()
  If IsNull(bridge) Then
    Dim loader As Object, paths As Object
    loader = createUnoService("com.sun.star.loader.Python")
    If IsNull(loader) Then
      MlsCall = "#MLS! this LibreOffice has no Python bridge (on Debian and Ubuntu: the package python3-uno)."
      Exit Function
    End If
    paths = createUnoService("com.sun.star.util.PathSubstitution")
    bridge = loader.activate("mlsysim", "", paths.substituteVariables("{COMPONENT_URL}", True), Nothing)
  End If
  answer = bridge.invoke(functionName, cells, index, out)
  If Not IsArray(answer) Then
    MlsCall = answer
    Exit Function
  End If
  Dim block(0 To UBound(answer), 0 To UBound(answer(0)))
  For row = 0 To UBound(answer)
    For column = 0 To UBound(answer(0))
      block(row, column) = answer(row)(column)
    Next
  Next
  MlsCall = block
End Function
"""


def module_source(functions: Mapping[str, Function]) -> str:
    """The Basic source of the module: the dispatcher, then one stub per function."""
    return "\n".join([MARKER, DISPATCHER, *(_stub(function) for function in functions.values())])


def module_file(functions: Mapping[str, Function]) -> str:
    """The module as LibreOffice stores it (`MLSYSIM.xba`)."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE script:module PUBLIC "-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "module.dtd">\n'
        '<script:module xmlns:script="http://openoffice.org/2000/script" '
        f'script:name="{MODULE_NAME}" script:language="StarBasic">'
        f"{escape(module_source(functions), quote=False)}</script:module>\n"
    )


def _stub(function: Function) -> str:
    """One Basic function; its arguments are all optional, so that Python words the complaint about a missing one."""
    # Numbered names: an argument called `end` or `type` is a word of Basic.
    names = [f"a{position}" for position, _ in enumerate(function.parameters)]
    lines = [f"Function {function.name}({', '.join('Optional ' + name for name in names)})"]
    lines += [f"  Dim cells({len(names) - 1})"] if names else ["  Dim cells"]
    lines += [f"  If Not IsMissing({name}) Then cells({position}) = {name}" for position, name in enumerate(names)]
    lines += [] if names else ["  cells = Array()"]
    lines += [f'  {function.name} = MlsCall("{function.name}", cells)', "End Function", ""]
    return "\n".join(lines)


# What the two indexes are in a profile that has none; `profile` puts the document type before them.
LIBRARY_FILE = (
    '<library:library xmlns:library="http://openoffice.org/2000/library" '
    'library:name="Standard" library:readonly="false" library:passwordprotected="false"/>'
)
LIBRARIES_FILE = (
    '<library:libraries xmlns:library="http://openoffice.org/2000/library" xmlns:xlink="http://www.w3.org/1999/xlink"/>'
)
