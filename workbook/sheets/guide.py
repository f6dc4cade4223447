"""Guide: one page that says in which order to read the workbook, what to change, whom to ask and how to check."""

from __future__ import annotations

import tomllib
from pathlib import Path

from openpyxl import Workbook
from openpyxl.styles import Alignment
from openpyxl.worksheet.worksheet import Worksheet

from ..style import block_title, fit_height, heading, page, protect, put

SHEET = "Guide"
TOP = 4

FILE = Path(__file__).parents[1] / "guide.toml"


def add_guide(book: Workbook) -> None:
    """The Guide sheet; call it when the names of the other sheets exist."""
    sheet = book.create_sheet(SHEET)
    page(
        sheet,
        "Guide",
        "From an empty plan to a signature, on one page.",
        {"A": 26, "B": 84, "C": 16},
        freeze=f"A{TOP}",
    )
    page_of = tomllib.loads(FILE.read_text("utf-8"))
    row = TOP
    row = _title(sheet, row, "The sheets in the order in which they are used", ["Step", "What to do there", "Go there"])
    for step in page_of["step"]:
        row = _line(sheet, row, step["word"], step["text"], _link(book, step["to"]))
    row = _title(sheet, row + 1, "The questions that a buyer must answer", ["Question", "", "Answer"])
    for question in page_of["question"]:
        name, to = question.get("name"), question.get("to", "Compare")
        put(sheet, f"A{row}", question["word"])
        link = f'=HYPERLINK("#{name}","{to}")' if name in book.defined_names else _link(book, to)
        put(sheet, f"C{row}", link, "mls url")
        row += 1
    for title, heads, kind in (
        ("Rules that hold on every sheet", ["Rule", "What it means", ""], "rule"),
        ("How to", ["Task", "How", ""], "task"),
        ("Whom to ask for which input", ["Who", "What", ""], "person"),
    ):
        row = _title(sheet, row + 1, title, heads)
        for line in page_of[kind]:
            row = _line(sheet, row, line["word"], line["text"], None)
    put(sheet, f"A{row + 1}", "All functions")
    put(sheet, f"B{row + 1}", "Arguments, units and an example of every =MLS_ function")
    put(sheet, f"C{row + 1}", _link(book, "Functions"), "mls url")
    sheet.print_area = f"A1:C{row + 1}"
    sheet.page_setup.orientation, sheet.page_setup.fitToHeight = "portrait", 1
    sheet.sheet_properties.tabColor = "F2C94C"
    protect(sheet)


def _link(book: Workbook, target: str) -> str:
    """A link to a sheet; its bare name where this workbook does not have it."""
    return f'=HYPERLINK("#{target}!A1","{target}")' if target in book.sheetnames else target


def _title(sheet: Worksheet, row: int, text: str, heads: list[str]) -> int:
    block_title(sheet, row, text, 3)
    heading(sheet, row + 1, heads, height=16)
    return row + 2


def _line(sheet: Worksheet, row: int, word: str, text: str, link: str | None) -> int:
    put(sheet, f"A{row}", word)
    put(sheet, f"B{row}", text, "mls wrapped").alignment = Alignment(wrap_text=True, vertical="center")
    if link is not None:
        put(sheet, f"C{row}", link, "mls url")
    fit_height(sheet, row)
    return row + 1
