"""README.md: generated parts are current, its Python runs, its commands name things that exist."""

from __future__ import annotations

import re
from pathlib import Path

import readme

from udfs import FUNCTIONS
from udfs.examples import examples
from workbook.engine import answer

TEXT = readme.README.read_text("utf-8")


def test_generated_parts_are_current() -> None:
    assert readme.rendered(TEXT) == TEXT, "run: python tests/readme.py"


def test_python_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_formulas_in_the_text_answer() -> None:
    found = re.findall(r"=MLS_[A-Z_]+\([^`'\n]*\)", TEXT)
    assert len(found) >= 2
    for formula in found:
        if "…" not in formula:
            value = answer(formula, FUNCTIONS)
            assert isinstance(value, float), (formula, value)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#h][^)]*)\)", TEXT):
        assert (Path(readme.ROOT) / target).exists(), target


def test_every_function_has_an_example_that_answers() -> None:
    assert set(examples()) == set(FUNCTIONS)
    for name, formula in examples().items():
        value = answer(formula, FUNCTIONS)
        first = value[0][0] if isinstance(value, list) else value
        assert not str(first).startswith("#"), (name, first)
        assert formula.startswith(f"={name}(")
