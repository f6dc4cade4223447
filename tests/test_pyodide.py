"""xlwings Lite: our wheel, its lines and its calls in Pyodide (Python inside a browser's engine), under Node.

Collected only where `pyodide_prepare.py` could fetch Pyodide; `.ci/run` tries, and prints the reason where it cannot.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from matrix import calls
from pyodide_prepare import FOLDER
from test_udfs import CALLS, as_office_js, plain_answer

from udfs import FUNCTIONS, lite

MATRIX = [*CALLS, *calls()]
HERE = Path(__file__).parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("lite") / "new"
    lite.write(folder, "https://files.example.com/mls")
    files = [str(FOLDER), str(folder / lite.WHEEL), str(folder / "main.py"), str(HERE / "excel_child.py")]
    done = subprocess.run(
        ["node", str(HERE / "pyodide.mjs"), *files], input=json.dumps({"calls": MATRIX}), text=True,
        capture_output=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_it_is_what_the_add_in_runs(answered: dict[str, Any]) -> None:
    """The wheel installs without packages that have no wheel there, and main.py brings every function."""
    assert "Emscripten" in answered["python"] or "clang" in answered["python"].lower()
    assert answered["main"] == sorted(FUNCTIONS)
    assert {f["name"].rpartition(".")[2] for f in answered["meta"]["functions"]} == FUNCTIONS.keys()
    assert answered["left_out"] == []


def test_pyodide_answers_every_call_alike(answered: dict[str, Any]) -> None:
    """As Office.js; the last digits may differ where the C library does."""
    for (name, arguments), answer in zip(MATRIX, answered["answers"], strict=True):
        assert _near(answer, as_office_js(plain_answer(name, arguments))), (name, arguments)


def _near(got: Any, right: Any) -> bool:
    if isinstance(right, float):
        return isinstance(got, (int, float)) and got == pytest.approx(right, rel=1e-12)
    if isinstance(right, dict):
        return got.keys() == right.keys() and all(_near(got[k], v) for k, v in right.items())
    if isinstance(right, list):
        return len(got) == len(right) and all(map(_near, got, right))
    return bool(got == right)
