"""The page Guide: every link leads to a sheet or a name of the workbook, named sheets exist, one page."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from udfs.libreoffice import find_soffice, render
from workbook.build import ORDER, draft_book
from workbook.plan import read_plan
from workbook.sheets.guide import FILE, add_guide
from workbook.style import add_styles

LINK = re.compile(r'=HYPERLINK\("#([^"]+)","([^"]+)"\)')


@pytest.fixture(scope="module")
def book() -> Workbook:
    return draft_book(read_plan(2))


def links(sheet: Worksheet) -> dict[str, tuple[str, str]]:
    """Target and text of every link, by what the line says."""
    found = {}
    for row in range(1, sheet.max_row + 1):
        match = LINK.fullmatch(str(sheet[f"C{row}"].value))
        if match:
            found[str(sheet[f"A{row}"].value)] = (match[1], match[2])
    return found


def test_every_link_leads_to_what_it_says(book: Workbook) -> None:
    found = links(book["Guide"])
    page = tomllib.loads(FILE.read_text("utf-8"))
    linked = [x["word"] for kind in ("step", "question") for x in page[kind]]
    assert list(found) == [*linked, "All functions"]
    for word, (target, text) in found.items():
        assert text in book.sheetnames, word
        if target.endswith("!A1"):
            assert target == f"{text}!A1", word
        else:
            assert str(book.defined_names[target].attr_text).startswith(f"{text}!"), word


def test_every_question_has_its_block(book: Workbook) -> None:
    """Each question leads to the place of its answer, no two to the same, and no block of Compare is left out."""
    page = tomllib.loads(FILE.read_text("utf-8"))
    found = links(book["Guide"])
    targets = [found[x["word"]][0] for x in page["question"]]
    assert len(set(targets)) == len(targets)
    assert {t for t in targets if not t.endswith("!A1")} == {n for n in book.defined_names if n.startswith("path_")}


def test_the_steps_walk_through_the_sheets(book: Workbook) -> None:
    page = tomllib.loads(FILE.read_text("utf-8"))
    words = [x["word"].split(maxsplit=1) for x in page["step"]]
    assert [int(n) for n, _ in words] == list(range(1, len(words) + 1))
    for (_, sheets), step in zip(words, page["step"], strict=True):
        named = sheets.split(", ")
        assert set(named) <= set(ORDER)
        assert step["to"] in named


def test_sheets_that_sentences_name_are_there(book: Workbook) -> None:
    sheet = book["Guide"]
    text = "\n".join(str(c.value) for row in sheet["A1:B60"] for c in row if c.value)
    named = set(re.findall(r"\b(?:Reg_\w+|Engine_\w+|Chart_Data)\b", text))
    named |= set(re.findall(r"sheet ([A-Z]\w+)", text))
    assert len(named) >= 4
    assert named <= set(book.sheetnames)


def test_a_workbook_without_a_sheet_has_its_bare_name() -> None:
    book = Workbook()
    add_styles(book)
    add_guide(book)
    assert links(book["Guide"]) == {}
    cells = [book["Guide"][f"C{r}"].value for r in range(1, 60)]
    assert cells.count("Compare") > 5
    assert "Inputs" in cells


def test_it_is_set_to_one_page(book: Workbook) -> None:
    sheet = book["Guide"]
    setup = sheet.sheet_properties.pageSetUpPr
    assert setup is not None
    assert setup.fitToPage
    assert (sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight) == (1, 1)
    assert not sheet.row_breaks.brk
    last = max(r for r in range(1, sheet.max_row + 1) if sheet[f"A{r}"].value)
    assert sheet.print_area.replace("$", "").endswith(f"A1:C{last}")


@pytest.mark.libreoffice
@pytest.mark.skipif(find_soffice() is None, reason="no LibreOffice here")
def test_it_prints_on_one_page(book: Workbook, tmp_path: Path) -> None:
    alone = Workbook()
    alone.remove(alone.worksheets[0])
    add_styles(alone)
    add_guide(alone)
    alone.save(tmp_path / "guide.xlsx")
    pdf = render(tmp_path / "guide.xlsx", tmp_path / "pdf")
    told = subprocess.run(["pdfinfo", str(pdf)], check=True, capture_output=True, text=True).stdout
    assert re.search(r"^Pages:\s+1$", told, re.MULTILINE)
