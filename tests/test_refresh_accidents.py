"""Refresh: a kill, a full disk or a second program at any moment leaves the old or the new file, whole."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refresh_cases import older, state

from mlsysim.things import HARDWARE
from workbook import refresh_file
from workbook.errors import WorkbookError
from workbook.refresh import refresh, refreshed
from workbook.sheets.registries import TABLES

pytestmark = pytest.mark.slow  # every test builds, changes and recalculates whole files

CHIPS = TABLES[HARDWARE.kind]


@pytest.fixture(scope="module")
def old(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workbook of an older version."""
    return older(plan, tmp_path_factory.mktemp("older") / "OLD.xlsx")


def killed_at(path: Path, data: bytes, original: Any, line: int) -> bool:
    """Replace a file in a child that is killed at the n-th line of our own code; whether it came so far."""
    child = os.fork()
    if child == 0:
        left = line
        here = refresh_file.__file__

        def trace(frame: Any, event: str, argument: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename != here and "shutil" not in frame.f_code.co_filename:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        refresh_file.replace_file(original, data)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_kill_at_any_line_leaves_the_old_or_the_new_file(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    shutil.copy(old, path)
    before = path.read_bytes()
    original = refresh_file.read_file(path)
    data, _ = refreshed(original)
    seen, line = set(), 1
    while killed_at(path, data, original, line):
        now = path.read_bytes()
        assert now in (before, data), line
        backups = [*tmp_path.glob("a.*.bak.xlsx")]
        assert all(p.read_bytes() == before for p in backups)
        assert now == before or backups
        seen.add(now == data)
        for name in tmp_path.glob("a.*.bak.xlsx"):
            name.unlink()
        path.write_bytes(before)
        line += 1
    assert seen == {True, False}
    assert line > 40
    assert path.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir() if refresh_file.LEFTOVER in p.name] == []  # also those of the killed


@pytest.mark.slow
def test_a_kill_at_any_time_leaves_the_old_or_the_new_file(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    before = old.read_bytes()
    path.write_bytes(before)
    data, _ = refreshed(refresh_file.read_file(path))
    command = [sys.executable, "-m", "workbook", "refresh", str(path)]
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.monotonic() - start
    assert path.read_bytes() == data
    for share in (0.05, 0.4, 0.8, 0.9, 0.95, 1.0):
        path.write_bytes(before)
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(share * whole)
        child.kill()
        child.wait()
        assert path.read_bytes() in (before, data)
    path.write_bytes(before)
    subprocess.run(command, check=True, capture_output=True)
    assert path.read_bytes() == data


def test_a_full_disk_or_a_change_meanwhile_leaves_the_file(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.xlsx"
    shutil.copy(old, path)
    original = refresh_file.read_file(path)
    real = {name: getattr(os, name) for name in ("fsync", "replace")}

    def fails_at(count: int, name: str) -> Callable[..., Any]:
        left = [count]

        def call(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise OSError(28, "No space left on device")
            return real[name](*arguments)

        return call

    for name, times in (("fsync", 2), ("replace", 2)):
        for count in range(1, times + 1):
            with monkeypatch.context() as patch:
                patch.setattr(os, name, fails_at(count, name))
                with pytest.raises(WorkbookError, match="could not be replaced: No space left"):
                    refresh_file.replace_file(original, b"new")
            assert path.read_bytes() == original.data
            assert not [*tmp_path.glob(f"*{refresh_file.LEFTOVER}")]
    path.write_bytes(b"somebody else was here")
    with pytest.raises(WorkbookError, match="changed by another program meanwhile"):
        refresh_file.replace_file(original, b"new")
    assert path.read_bytes() == b"somebody else was here"


def test_a_second_refresh_at_the_same_time_is_refused(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    shutil.copy(old, path)
    was = state(path)
    with refresh_file.held(path, change=True), pytest.raises(WorkbookError, match="is open in another program"):
        refresh(path)
    with open(path, "r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(WorkbookError, match="is open in another program"):
            refresh(path, dry_run=True)
    assert state(path) == was
