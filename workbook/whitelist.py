"""The native forms that our sheets may use, and that recalculation without Excel is trusted with.

Every function here gives the same answer in the embedded engine (with the rules of `semantics`) and in LibreOffice,
which `tests/test_whitelist.py` shows call by call. Whatever is not listed is refused by `lint` with the reason: a cell
that is left to Excel is better than a number that looks right.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import formualizer

OWN_PREFIX = "MLS_"

Node = dict[str, Any]


@dataclass(frozen=True)
class Native:
    """What a function takes: one letter an argument.

    ``s`` one value; ``t`` one value read as text; ``r`` a range or a value; ``R`` a range of cells; ``p`` arithmetic
    over ranges (SUMPRODUCT); ``a`` whatever the place of the call takes.
    """

    required: str
    optional: str = ""
    repeated: str = ""


NATIVE: dict[str, Native] = {
    # sums and counts
    **dict.fromkeys(("SUM", "COUNT", "COUNTA", "AVERAGE", "MIN", "MAX", "PRODUCT", "MEDIAN"), Native("r", "", "r")),
    "SUMPRODUCT": Native("p", "", "p"),
    "SUMIF": Native("Rs", "R"),
    "SUMIFS": Native("RRs", "", "Rs"),
    "COUNTIF": Native("Rs"),
    "COUNTIFS": Native("Rs", "", "Rs"),
    "AVERAGEIF": Native("Rs", "R"),
    **dict.fromkeys(("LARGE", "SMALL"), Native("rs")),
    # numbers
    **dict.fromkeys(("ABS", "INT", "SQRT", "EXP", "TANH", "LN", "LOG10", "SIGN"), Native("s")),
    **dict.fromkeys(("ROUND", "ROUNDUP", "ROUNDDOWN", "MOD", "POWER"), Native("ss")),
    "LOG": Native("s", "s"),
    "PI": Native(""),
    "POISSON": Native("sss"),  # POISSON.DIST under its old name, which needs no prefix
    # logic
    "IF": Native("sa", "a"),
    **dict.fromkeys(("IFERROR", "IFNA"), Native("aa")),
    **dict.fromkeys(("AND", "OR"), Native("r", "", "r")),
    "NOT": Native("s"),
    **dict.fromkeys(("ISNUMBER", "ISTEXT", "ISERROR", "ISNA", "ISBLANK"), Native("s")),
    **dict.fromkeys(("NA", "TRUE", "FALSE"), Native("")),
    # look-up
    "INDEX": Native("rs", "s"),
    "MATCH": Native("srs"),
    "VLOOKUP": Native("sRss"),
    "CHOOSE": Native("sa", "", "a"),
    **dict.fromkeys(("ROW", "COLUMN"), Native("", "s")),
    **dict.fromkeys(("ROWS", "COLUMNS"), Native("r")),
    # text
    **dict.fromkeys(("LEFT", "RIGHT"), Native("t", "s")),
    "MID": Native("tss"),
    **dict.fromkeys(("LEN", "TRIM", "UPPER", "LOWER", "VALUE"), Native("t")),
    "SUBSTITUTE": Native("ttt", "s"),
    **dict.fromkeys(("FIND", "SEARCH"), Native("tt", "s")),
    "REPT": Native("ts"),
    "EXACT": Native("tt"),
    "CONCATENATE": Native("t", "", "t"),
    "TEXT": Native("ss"),
    "HYPERLINK": Native("t", "s"),
    # money
    "NPV": Native("sr", "", "r"),
    "IRR": Native("r", "s"),
    "MIRR": Native("rss"),
    "XNPV": Native("srr"),
    "XIRR": Native("rr", "s"),
    **dict.fromkeys(("PMT", "PV", "FV", "NPER"), Native("sss", "ss")),
    **dict.fromkeys(("IPMT", "PPMT"), Native("ssss", "s")),
    "SLN": Native("sss"),
    **dict.fromkeys(("DB", "DDB", "SYD"), Native("ssss")),
    # dates
    "DATE": Native("sss"),
    **dict.fromkeys(("EDATE", "EOMONTH"), Native("ss")),
    **dict.fromkeys(("YEAR", "MONTH", "DAY"), Native("s")),
}

# Functions that Excel 2016 knows but an older file format does not: their name in the file carries a prefix.
PREFIXED = {"IFNA": "_xlfn."}

# Asked for often enough to deserve their own reason.
FORBIDDEN: dict[str, str] = {
    **dict.fromkeys(
        ("XLOOKUP", "LET", "FILTER", "SEQUENCE", "LAMBDA", "UNIQUE", "SORT"), "Excel 2016 does not have it"
    ),
    **dict.fromkeys(("OFFSET", "INDIRECT", "NOW", "TODAY", "RAND", "RANDBETWEEN"), "it is volatile"),
    "RATE": "the engines' iterations agree to ten digits only",
    "VDB": "the engines disagree on it",
    "SUBTOTAL": "its answer depends on filters and hidden rows",
    "HLOOKUP": "use INDEX and MATCH",
    "LOOKUP": "it answers with a near value when the key is missing; use INDEX and MATCH(..., 0)",
    **dict.fromkeys(("CEILING.MATH", "RRI", "AGGREGATE"), "it needs a prefix that LibreOffice does not read"),
}

_NEUTRAL_FORMAT = re.compile(r"0+%?")
_AREA = re.compile(
    r"(?:.*!)?(?:\$?[A-Z]{1,3}\$?\d+:\$?[A-Z]{1,3}\$?\d+|\$?[A-Z]{1,3}:\$?[A-Z]{1,3}|\$?\d+:\$?\d+)", re.I
)
_ROW_OF_TABLE = re.compile(r"[^\[]*\[(?:@.*|\[#This Row\].*)\]", re.I | re.S)
_OPERATORS = {"+", "-", "*", "/", "^", "&", "=", "<>", "<", ">", "<=", ">="}


def parse(formula: str) -> Node:
    """The syntax tree of a formula, given with or without "=".

    Raises
    ------
    ValueError
        When it is not a formula.
    """
    try:
        tree: Node = formualizer.parse(f"={formula.removeprefix('=')}").to_dict()
    except (formualizer.ParserError, formualizer.TokenizerError, RuntimeError) as trouble:
        raise ValueError(f"the formula {formula!r} cannot be read ({trouble})") from trouble
    return tree


def lint(formula: str, functions: Collection[str] | None = None) -> list[str]:
    """Say what in a formula is outside the whitelist.

    Parameters
    ----------
    formula : str
        The formula as written in a cell.
    functions : collection of str, optional
        Names of our own functions that exist; when given, other ``MLS_`` names are offences too.

    Returns
    -------
    list of str
        One sentence an offence; empty when the formula may be used.
    """
    try:
        tree = parse(formula)
    except ValueError as trouble:
        return [f"{trouble}."]
    offences = lint_tree(tree, functions)
    if re.search(r"#(?:REF!|N/A|VALUE!|NAME\?|DIV/0!|NUM!|NULL!)", re.sub(r'"[^"]*"', "", formula)):
        offences.append("An error value is written into the formula: a reference was lost (write NA() for #N/A).")
    return offences


def lint_tree(tree: Node, functions: Collection[str] | None = None) -> list[str]:
    """`lint` for a formula that is parsed already; error literals are not seen here."""
    # At the top a single value is expected, except that a bare call of ours may answer with a block.
    offences: list[str] = []
    _walk(tree, "s", False, functions, offences)
    return list(dict.fromkeys(offences))


def is_bare_call(tree: Node) -> bool:
    """Whether a formula is one call of our own functions and nothing around it."""
    return tree["node_type"] == "Function" and own_name(tree["name"]) is not None


def own_name(written: str) -> str | None:
    """The name of one of our functions as the catalogue spells it; None for any other function.

    A file that Excel saved may say where the function came from: an add-in's path or link (``[1]!MLS_X``), or the kind
    of add-in (``_xldudf_MLS_X``, ``_xll.MLS_X``).
    """
    name = written.upper().rpartition("!")[2].removeprefix("_XLDUDF_").removeprefix("_XLL.")
    return name if name.startswith(OWN_PREFIX) else None


def native_name(name: str) -> str:
    """A function name as `NATIVE` spells it, without the file format's prefix."""
    upper = name.upper()
    bare = upper.removeprefix("_XLFN.")
    return bare if bare in PREFIXED else upper


def is_area(reference: str) -> bool:
    """Whether a reference as written may name more than one cell."""
    if "[" in reference:
        row = _ROW_OF_TABLE.fullmatch(reference) is not None
        return not row or "]:[" in reference.replace(" ", "") or reference.replace(" ", "").endswith("[@]")
    return _AREA.fullmatch(reference) is not None


def _walk(node: Node, want: str, inside: bool, functions: Collection[str] | None, out: list[str]) -> None:
    """Collect the offences of `node` at a place that takes `want`; `inside`: in arithmetic in a range argument."""
    kind = node["node_type"]
    if kind == "Function":
        _walk_call(node, want, inside, functions, out)
        return
    if want == "R" and kind != "Reference":
        out.append("A range of cells is needed where a calculation is given (SUMIF and its kin take cells only).")
    if kind == "Reference":
        if want in "st" and is_area(node["reference"]):
            out.append(
                f"The range {node['reference']} stands where one value is expected: "
                "Excel picks the cell of the same row or spills, depending on its version."
            )
    elif kind == "Array":
        if want in "st":
            out.append("An array constant stands where one value is expected.")
    elif kind == "Omitted":
        out.append("An argument is left empty; write its value.")
    elif kind == "BinaryOp":
        if node["operator"] not in _OPERATORS:
            word = {" ": "an intersection", ",": "a union", ":": "a computed range"}.get(
                node["operator"], "an operator"
            )
            out.append(
                f"The formula uses {word} of references ({node['operator']!r}), which the engines read differently."
            )
            return
        for side in (node["left"], node["right"]):
            _walk(side, "p" if want == "p" else "s", inside or want == "r", functions, out)
    elif kind == "UnaryOp":
        if node["operator"] not in {"+", "-", "%"}:
            out.append(f"The operator {node['operator']} belongs to Excel 365's dynamic arrays.")
            return
        _walk(node["operand"], "p" if want == "p" else "s", inside or want == "r", functions, out)
    elif kind != "Literal":
        out.append(f"The formula holds a {kind}, which is not on the list.")


def _walk_call(node: Node, want: str, inside: bool, functions: Collection[str] | None, out: list[str]) -> None:
    own, arguments = own_name(node["name"]), node["args"]
    if own is not None:
        if functions is not None and own not in functions:
            out.append(f"{own} is not one of the functions installed here.")
        if inside or want in "pR":
            out.append(f"{own} stands inside arithmetic over ranges; give it a cell of its own.")
        for argument in arguments:
            if argument["node_type"] != "Omitted":
                _walk(argument, "r", False, functions, out)
        return
    name = native_name(node["name"])
    signature = NATIVE.get(name)
    if signature is None:
        reason = FORBIDDEN.get(name.removeprefix("_XLFN."), "it is not on the list of functions that agree")
        out.append(f"{name} is not used here: {reason}.")
        return
    if want == "R" and name not in {"INDEX", "IF", "CHOOSE"}:
        out.append("A range of cells is needed where a calculation is given (SUMIF and its kin take cells only).")
    if name in PREFIXED and not node["name"].upper().startswith("_XLFN."):
        out.append(f"{name} must be written {PREFIXED[name]}{name} in a file, or Excel shows #NAME?.")
    kinds = signature_kinds(signature, len(arguments))
    if kinds is None:
        out.append(f"{name} takes another number of arguments here than {len(arguments)}.")
        return
    special = _special(name, arguments)
    if special:
        out.append(special)
    if name == "INDEX" and want in "st" and any(_is_zero(a) for a in arguments[1:]):
        out.append("INDEX with row or column 0 answers with a range where one value is expected.")
    for kind, argument in zip(kinds, arguments, strict=True):
        if kind == "a":
            _walk(argument, "s" if want == "p" else want, inside, functions, out)
        elif kind == "s" and name in {"ROW", "COLUMN"} and argument["node_type"] != "Reference":
            out.append(f"{name} takes one cell.")
        else:
            _walk(argument, kind, inside and kind not in "rRp", functions, out)


def signature_kinds(signature: Native, count: int) -> str | None:
    """The kind of each of `count` arguments, or None when so many are not taken."""
    kinds = signature.required + signature.optional
    if count < len(signature.required):
        return None
    if count <= len(kinds):
        return kinds[:count]
    extra = count - len(kinds)
    if not signature.repeated or extra % len(signature.repeated):
        return None
    return kinds + signature.repeated * (extra // len(signature.repeated))


def _special(name: str, arguments: list[Node]) -> str:
    if name == "MATCH" and not _is_zero(arguments[2]) and _number(arguments[2]) not in {1.0, -1.0}:
        return "MATCH must say its kind of match as 0, 1 or -1."
    if name == "VLOOKUP" and not _is_zero(arguments[3]):
        return "VLOOKUP must end in FALSE (exact match)."
    if name == "TEXT":
        shape = arguments[1]
        if shape["node_type"] != "Literal" or not _NEUTRAL_FORMAT.fullmatch(str(shape["value"])):
            return 'TEXT may use the formats "0", "00" ... and "0%" only: the others depend on the language of Excel.'
    return ""


def _number(node: Node) -> float | None:
    if node["node_type"] == "UnaryOp" and node["operator"] == "-":
        inner = _number(node["operand"])
        return None if inner is None else -inner
    value = node.get("value") if node["node_type"] == "Literal" else None
    return float(value) if isinstance(value, (int, float)) else None


def _is_zero(node: Node) -> bool:
    called_false = node["node_type"] == "Function" and node["name"].upper() == "FALSE"
    return called_false or _number(node) == 0.0
