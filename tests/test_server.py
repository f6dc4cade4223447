"""The project folder for xlwings Server, started for real on this machine and called over HTTP."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_udfs import as_office_js, plain_answer

from udfs import FUNCTIONS
from udfs.__main__ import main

CALLS: list[tuple[str, list[Any]]] = [
    ("MLS_KVCACHE", ["Llama3_8B", 4096, 32]),
    ("MLS_KV_SIZE", [32, 8, 128, [[1024], [2048], [0]]]),
    ("MLS_SERVING", ["Llama3_70B", "H100", 4096]),
    ("MLS_GET", ["hardware", "H10O", "memory"]),
    ("MLS_VERSION", []),
]


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").touch()
    assert main(["server", str(tmp_path)]) == 1
    assert "is not empty; name a new folder" in capsys.readouterr().err


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server, made as README.txt of the folder says, on a port that is free."""
    folder = tmp_path_factory.mktemp("made") / "server"
    assert main(["server", str(folder)]) == 0
    page = (folder / "README.txt").read_text()
    set_up, start = re.findall(r"^  (\S.*)$", page, re.M)[:2]
    python = f"{sys.executable} -m venv"  # python3 of the page may be another one here
    subprocess.run(["bash", "-c", set_up.replace("python3 -m venv", python)], cwd=folder, check=True, timeout=300)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # The licence key that xlwings grants to projects like this one; only this process gets it.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"XLWINGS_LICENSE_KEY": "noncommercial"}
    command = "exec env " + start.replace("8000", port)
    with subprocess.Popen(["bash", "-c", command], cwd=folder, env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(120):
                time.sleep(0.5)
                try:
                    assert json.loads(read(address + "/")) == {"status": "ok"}
                    break
                except OSError:
                    assert process.poll() is None, "the server ended"
            yield address
        finally:
            process.terminate()


def read(address: str, data: dict[str, Any] | None = None) -> str:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(address, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refused:
        return f"{refused.code} {refused.read().decode()}"


@pytest.mark.slow
def test_it_lists_every_function(served: str) -> None:
    listed = json.loads(read(served + "/xlwings/custom-functions-meta"))["functions"]
    assert {f["id"] for f in listed} == FUNCTIONS.keys()
    assert "<OfficeApp" in read(served + "/manifest")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments"), CALLS, ids=[c[0] for c in CALLS])
def test_it_answers_as_python_does(served: str, name: str, arguments: list[Any]) -> None:
    given = [a if isinstance(a, list) else [[a]] for a in arguments]
    left_out = [None] * (len(FUNCTIONS[name].parameters) - len(given))
    call = {
        "client": "Office.js", "func_name": name, "args": [*given, *left_out], "runtime": "1.4", "session_id": "s",
        "caller_address": "[Book1.xlsx]Sheet1!B2", "culture_info_name": "en-US", "date_format": "m/d/yyyy",
        "version": "0.37.8",
    }  # fmt: skip
    answer = read(served + "/xlwings/custom-functions-call", call)
    expected = as_office_js(plain_answer(name, arguments))
    if "refused" in expected:
        assert answer == f"400 {expected['refused']}"
    else:
        shown = [[c["errorType"] if isinstance(c, dict) else c for c in row] for row in json.loads(answer)["result"]]
        wanted = [[c["errorType"] if isinstance(c, dict) else c for c in row] for row in expected["answer"]]
        assert shown == wanted
