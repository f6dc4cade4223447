"""Sweeps: what is kept is what plain calls find, however the grid is cut, run, killed and taken up."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

import mlsysim
from mlsysim import CATALOGUE, MlsysError, sweep
from mlsysim import sweeps as running
from mlsysim.grids import Grid, grid_of, run
from mlsysim.reducers import Best, Front, Histogram

AXES: dict[str, Any] = {
    "model": ["Llama3_8B", "Llama3_70B"], "hardware": ["H100", "A100"], "precision": ["fp16", "fp8"],
    "tp": [1, 2, 3, 8], "batch": [1, 7, 64], "seq_len": [512, 4096, 30000, 100000],
}  # fmt: skip
EDGES = (0.005, 0.02, 0.1)
KEEP = [Best("itl", 7), Best("decode_throughput", 3, largest=True), Front("itl", "ttft"),
        Front("decode_throughput", "itl", largest_x=True), Histogram("itl", EDGES)]  # fmt: skip
WHERE = [("ttft", "<=", 5.0), ("seq_len_given", ">", 0.0)][:1]


def plain_answers() -> Iterator[tuple[dict[str, Any], Any]]:
    """Every configuration by a call of its own: its axes, and the result or the sentence."""
    for values in itertools.product(*AXES.values()):
        given = dict(zip(AXES, values, strict=True))
        try:
            yield given, mlsysim.serving(**given)
        except MlsysError as error:
            yield given, str(error)


@pytest.fixture(scope="module")
def plain() -> list[tuple[dict[str, Any], Any]]:
    return list(plain_answers())


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sweep with chunks and jobs of a given size."""

    def swept(chunk: int, job: int = 2, **more: Any) -> running.Swept:
        monkeypatch.setattr(running, "JOB", job)
        made = grid_of("serving", AXES, KEEP, WHERE)
        small = Grid(made.function, made.words, made.numbers, made.fixed, made.where, made.keep, chunk)
        monkeypatch.setattr(running, "grid_of", lambda *_: small)
        return sweep("serving", keep=KEEP, where=WHERE, **more, **AXES)

    return swept


def test_what_is_kept_is_what_plain_calls_find(plain: list[tuple[dict[str, Any], Any]]) -> None:
    got = sweep("serving", keep=KEEP, where=WHERE, **AXES)
    assert got.grid.size == len(plain) == 384
    good = [(i, r) for i, (_, r) in enumerate(plain) if not isinstance(r, str) and r.feasible and r.ttft <= 5.0]
    assert got.passing == len(good)
    assert got.refused == sum(isinstance(r, str) for _, r in plain) > 100
    assert sum(got.reasons.values()) == got.refused
    best = sorted((r.itl, i) for i, r in good)[:7]
    assert list(zip(got.states[0]["value"], got.states[0]["index"], strict=True)) == best
    most = sorted((-r.decode_throughput, i) for i, r in good)[:3]
    assert list(zip(got.states[1]["value"], got.states[1]["index"], strict=True)) == most
    for state, points in ((got.states[2], [(r.itl, r.ttft, i) for i, r in good]),
                          (got.states[3], [(-r.decode_throughput, r.itl, i) for i, r in good])):  # fmt: skip
        front = [(x, y, i) for x, y, i in points
                 if not any((a <= x and b <= y and (a, b) != (x, y)) or ((a, b) == (x, y) and j < i)
                            for a, b, j in points)]  # fmt: skip
        assert list(zip(state["x"], state["y"], state["index"], strict=True)) == sorted(front)
    counts = np.bincount(np.searchsorted(EDGES, [r.itl for _, r in good], side="right"), minlength=4)
    assert got.states[4]["count"].tolist() == counts.tolist()
    first = got.table(0)[0]
    assert {n: first[n] for n in AXES} == plain[best[0][1]][0]
    assert first["itl"] == best[0][0]


@pytest.mark.parametrize("chunk", [1, 3, 4, 5, 12, 17, 48, 1 << 18])
def test_however_it_is_cut(chunk: int, cut: Any) -> None:
    whole = sweep("serving", keep=KEEP, where=WHERE, **AXES)
    got = cut(chunk)
    assert got.grid.chunks() >= whole.grid.chunks()
    for a, b in zip(got.states, whole.states, strict=True):
        assert all(np.array_equal(a[n], b[n]) for n in b)
    assert (got.passing, got.refused) == (whole.passing, whole.refused)


def test_in_processes_and_on_a_cluster(cut: Any) -> None:
    """Two processes, and Dask with two workers: the same bytes as here."""
    from dask.distributed import Client, LocalCluster

    here = cut(16)
    assert cut(16, processes=2).digest() == here.digest()
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        assert cut(16, executor=client).digest() == here.digest()


KILLED = """
import sys, time
sys.path[:0] = [{tests!r}, {root!r}]
from mlsysim import sweeps
from test_sweep import AXES, KEEP, WHERE
run = sweeps.run
def slow(*args):
    time.sleep(0.02)
    return run(*args)
sweeps.run, sweeps.EVERY, sweeps.JOB = slow, 0.0, 1
grid_of = sweeps.grid_of
sweeps.grid_of = lambda *a: (g := grid_of(*a), type(g)(g.function, g.words, g.numbers, g.fixed, g.where, g.keep, 4))[1]
print(sweeps.sweep("serving", keep=KEEP, where=WHERE, resume={state!r}, **AXES).digest())
"""


def test_killed_and_taken_up_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    def started(state: Path) -> subprocess.Popen[str]:
        here = Path(__file__).parent
        code = KILLED.format(tests=str(here), root=str(here.parent), state=str(state))
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)

    whole = started(tmp_path / "whole.json").communicate(timeout=60)[0]
    state, places = tmp_path / "killed.json", []
    for _ in range(2):
        child = started(state)
        before = places[-1] if places else 0
        for _ in range(600):
            time.sleep(0.02)
            if state.exists() and json.loads(state.read_bytes())["done"] > before + 5:
                break
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        places.append(json.loads(state.read_bytes())["done"])
    assert 5 < places[0] < places[1] < 96
    assert started(state).communicate(timeout=60)[0] == whole != ""
    assert state.read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_a_state_of_another_sweep_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    keep = [Best("latency")]
    sweep("roofline", keep=keep, resume=state, model="Llama3_8B", hardware="H100", batch=[1, 2])
    kept = state.read_bytes()
    with pytest.raises(MlsysError, match="state of another sweep"):
        sweep("roofline", keep=keep, resume=state, model="Llama3_8B", hardware="H100", batch=[1, 3])
    state.write_text("{}")
    with pytest.raises(MlsysError, match="no state of a sweep"):
        sweep("roofline", keep=keep, resume=state, model="Llama3_8B", hardware="H100", batch=[1, 2])
    state.write_bytes(kept)
    again = sweep("roofline", keep=keep, resume=state, model="Llama3_8B", hardware="H100", batch=[1, 2])
    assert again.table()[0]["batch"] == 1.0


def test_rows_as_parquet(tmp_path: Path, plain: list[tuple[dict[str, Any], Any]]) -> None:
    sweep("serving", keep=[Best("itl")], where=WHERE, save=tmp_path / "rows", progress=True, **AXES)
    table = pyarrow.parquet.read_table(tmp_path / "rows")
    good = [(g, r) for g, r in plain if not isinstance(r, str) and r.feasible and r.ttft <= 5.0]
    rows = sorted(zip(*(table[n].to_pylist() for n in (*AXES, "itl")), strict=True))
    assert rows == sorted((*g.values(), r.itl) for g, r in good)


def test_a_closed_form_and_one_configuration() -> None:
    got = sweep("kv_size", keep=[Best("", 2, largest=True)], layers=32, kv_heads=8, head_dim=128, seq_len=[1024, 4096],
                batch=[1, 2, 3])  # fmt: skip
    assert [(r["seq_len"], r["batch"]) for r in got.table()] == [(4096, 3), (4096, 2)]
    one = sweep("roofline", keep=[Best("latency")], model="Llama3_8B", hardware="H100")
    assert one.grid.size == one.passing == 1
    assert one.table()[0]["latency"] == mlsysim.roofline("Llama3_8B", "H100").latency


@pytest.mark.parametrize(
    ("function", "more", "words"),
    [
        ("nothing", {}, "no function 'nothing'"),
        ("walls", {}, "no function"),
        ("roofline", {"model": "Llama3_8B"}, "needs hardware"),
        ("roofline", {"model": "Llama3_8B", "hardware": "H100", "bach": [1]}, "got bach"),
        ("roofline", {"model": "Llama3_8B", "hardware": "H100", "batch": [1, 0]}, "sweep: batch must be a whole"),
        ("roofline", {"model": "Llama3_8B", "hardware": "H100", "batch": []}, "batch has no values"),
        ("roofline", {"model": "Llama3_8B", "hardware": "H100", "where": [("latency", "~", 1)]}, "where takes"),
        ("roofline", {"model": "Llama3_8B", "hardware": "H100", "where": [("latncy", "<", 1)]}, "no metric 'latncy'"),
        ("roofline", {"model": "Llama3_8B", "hardware": "H100", "processes": 0}, "processes must be"),
    ],
)
def test_what_is_wrong_is_said(function: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(MlsysError, match=words):
        sweep(function, keep=[Best("latency")], **more)


def test_no_argument_of_a_function_is_hidden() -> None:
    own = {"function", "keep", "where", "executor", "processes", "resume", "save", "progress"}
    assert not own & {p.name for e in CATALOGUE.values() for p in e.params}


def test_memory_stays_flat() -> None:
    """A hundred times the configurations, the same memory."""
    code = (
        "import resource, sys, numpy as np\nfrom mlsysim import sweep\nfrom mlsysim.reducers import Best, Front\n"
        "n = int(sys.argv[1])\n"
        "s = sweep('roofline', keep=[Best('latency'), Front('latency', 'energy')], model='Llama3_8B',\n"
        "          hardware='H100', batch=np.arange(1, 1001), seq_len=np.arange(1, n + 1))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    peaks = [
        float(subprocess.run([sys.executable, "-c", code, str(n)], capture_output=True, text=True, check=True).stdout)
        for n in (300, 20000)
    ]
    assert peaks[1] < peaks[0] + 15, peaks


def test_a_job_pickles() -> None:
    import pickle

    grid = grid_of(mlsysim.serving, AXES, KEEP, WHERE)
    copy = pickle.loads(pickle.dumps(grid))
    assert run(copy, 0, 1).states[0]["value"].tolist() == run(grid, 0, 1).states[0]["value"].tolist()
