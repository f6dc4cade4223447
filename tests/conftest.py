"""Shared by all tests: the workbook built once, and no silent skip of an engine where one is required."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyodide_prepare import READY

# Workbooks are millions of objects that live on; collecting as often as by default costs a tenth of the suite.
gc.set_threshold(200_000, 20, 100)

collect_ignore = [] if READY.is_file() else ["test_pyodide.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: with one file to a worker, a long one must not start last."""
    slow = {i.path for i in items if any(i.get_closest_marker(name) for name in ("slow", "libreoffice"))}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default workbook, as ``python -m workbook build`` writes it."""
    from workbook.build import build

    path = tmp_path_factory.mktemp("plan") / "PLAN.xlsx"
    assert build(path) == {}
    return path


@pytest.fixture(scope="session")
def small_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with one option: quicker to recalculate."""
    from workbook.build import build
    from workbook.plan import read_plan

    path = tmp_path_factory.mktemp("small") / "PLAN.xlsx"
    assert build(path, read_plan(1)) == {}
    return path


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With MLS_REQUIRE_ENGINES set (CI), a skipped test is a failed one."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and os.environ.get("MLS_REQUIRE_ENGINES"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but MLS_REQUIRE_ENGINES is set: {report.longrepr}"
