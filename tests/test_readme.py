"""README.md: generated parts are current, its Python runs, its commands name things that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import readme

from udfs import FUNCTIONS
from udfs.__main__ import main as udfs_main
from udfs.examples import examples
from workbook.__main__ import _parser as workbook_parser
from workbook.build import FRONT
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
    assert len(found) >= 5
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


def test_lines_are_wrapped_and_the_other_mlsysim_is_named_early() -> None:
    lines = TEXT.splitlines()
    assert [line for line in lines if len(line) > readme.WIDTH and not line.startswith(("|", "python3"))] == []
    assert any("Harvard" in line for line in lines[:60])
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", TEXT)
    assert len(pictures) == len(FRONT) + 2  # one for each front sheet, one of Sweep, and the curves of growth
    assert [name for name in pictures if not (readme.ROOT / name).is_file()] == []


def test_commands_are_what_the_programs_take(capsys: pytest.CaptureFixture[str]) -> None:
    ran = {"mls-workbook": 0, "mls-udfs": 0}
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S):
        for program, rest in re.findall(r"^(?:.*&& )?\.venv/bin/(mls-\w+) (.*)$", block.replace("\\\n", ""), re.M):
            words = shlex.split(rest, comments=True)
            ran[program] += 1
            if program == "mls-workbook":
                workbook_parser().parse_args(words)
            else:
                assert udfs_main(words) == 0
                assert capsys.readouterr().out
    assert ran == {"mls-workbook": 10, "mls-udfs": 4}


def test_ci_finds_the_test_command() -> None:
    pattern = re.search(r"s/(\^.*?\$)/", (readme.ROOT / ".ci" / "run").read_text("utf-8"))
    assert pattern is not None
    assert len(re.findall(pattern[1].replace(r"\(", "(").replace(r"\)", ")"), TEXT, re.M)) == 1


def test_every_key_that_a_buyer_names_is_listed() -> None:
    from mlsysim.things import FLEETS, HARDWARE, MODELS, NODES, SITES

    listed = {word.rstrip(".") for word in re.findall(r"[^\s,]+", readme.registry())}
    assert all(key in listed for rows in (HARDWARE, MODELS, FLEETS, NODES, SITES) for key in rows)
    assert len(readme.FIRST) == len(set(readme.FIRST) & FUNCTIONS.keys())
