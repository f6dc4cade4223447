"""The table of speed: every goal as a ratio, both sides interleaved in one run, medians of CPU time.

    python tests/bench/run.py [--quick] [--write]

--quick takes less than two minutes.  --write puts the table, the day and the machine into README.md, and the growth
curves into .readme/growth.png.  The peer's released packages are installed into environments of their own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import growth

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("child.py")
PEERS = ("0.1.1", "0.3.0")
TABLE = CHILD.with_name("table.md")  # the last one, for README.md
HOME = ROOT / ".bench"  # environments of the peers


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    goal: str
    what: str
    measured: str
    asked: str
    met: bool | None


class Side:
    """A child that answers tasks."""

    def __init__(self, side: str, python: Path | str = sys.executable, **environment: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("XLWINGS_", "PYTHON"))} | environment
        if side != "peer":
            env["PYTHONPATH"] = str(ROOT)
        self.process = subprocess.Popen(
            [str(python), str(CHILD), side], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
            cwd=HOME,
        )  # fmt: skip
        self.tasks: list[str] = self._read()["ready"]

    def _read(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(f"a side ended: {self.process.args}")
        return json.loads(line)  # type: ignore[no-any-return]

    def run(self, task: str, times: int = 1) -> dict[str, float]:
        """CPU seconds of one call, and the peak of memory so far [MiB]."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"task": task, "times": times}) + "\n")
        self.process.stdin.flush()
        return self._read()

    def timer(self, task: str, times: int = 1) -> Callable[[], float]:
        """A call that measures."""
        return lambda: self.run(task, times)["seconds"]

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def interleaved(rounds: int, *sides: Callable[[], float]) -> list[float]:
    """Medians of calls taken in turn; short ones, so that a busy moment of the machine meets all sides."""
    seen: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for got, side in zip(seen, sides, strict=True):
            got.append(side())
    return [statistics.median(s) for s in seen]


def peer_python(version: str) -> Path:
    """An interpreter with the peer's released package."""
    folder = HOME / f"peer-{version}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"mlsysim=={version}"], check=True)
        (folder / "ready").touch()
    return python


# ------------------------------------------------------------------ the goals


def _fresh(python: Path | str, code: str) -> tuple[float, float]:
    """CPU seconds and peak memory [MiB] of a new process."""
    process = subprocess.Popen([str(python), "-c", code], cwd=HOME, env={**os.environ, "PYTHONPATH": ""})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(code)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def start_up(rounds: int) -> list[Row]:
    """Goal 1: what an import costs beside numpy's own."""
    codes = {
        "`import mlsysim`": "import mlsysim",
        "import and a first answer": "import mlsysim; mlsysim.kvcache('Llama3_8B', seq_len=4096, batch=32)",
        "all functions loaded": "import mlsysim; mlsysim.CATALOGUE",
    }
    seen: dict[str, list[tuple[float, float]]] = {n: [] for n in ("", *codes)}
    for _ in range(rounds):
        for name in seen:
            seen[name].append(_fresh(sys.executable, codes.get(name, "import numpy")))
    cpu, peak = ({n: statistics.median(x[i] for x in s) for n, s in seen.items()} for i in (0, 1))
    rows = []
    for name in codes:
        ratio, memory = cpu[name] / cpu[""], peak[name] / peak[""]
        judged = name == "`import mlsysim`"
        met = ratio <= 1.5 and memory <= 1.25 if judged else None
        asked = "at most 1.5, 1.25" if judged else ""
        rows.append(Row("1", f"{name} / `import numpy`", f"{ratio:.2f} CPU, {memory:.2f} memory", asked, met))
    return rows


def scalars(ours: Side, peers: dict[str, Side], rounds: int) -> list[Row]:
    """Goal 2: one answer through the public interface, its figures changing from call to call."""
    rows = []
    for task, goal in {"engine": 100.0, "serving": 100.0, "economics": 30.0}.items():
        ours.run(task, 50)
        for version, peer in peers.items():
            if task in peer.tasks:
                a, b = interleaved(9 * rounds, ours.timer(task, 300), peer.timer(task, 3))
                what = f"{task}, one answer: peer {version} / ours"
                rows.append(_times(2, what, b / a, f"{a * 1e6:.1f} us", goal if version == PEERS[0] else 0.0))
    return rows


def columns(ours: Side, peer: Side, rounds: int) -> list[Row]:
    """Goal 3: a column of rows in one call; the peer's time is that of its single answers, row by row."""
    rows = []
    for task, goal in {"engine": 3e4, "serving": 3e4, "economics": 8e3}.items():
        for size, n in (("10k", 10_000), ("1M", 1_000_000)):
            for kind, words in (("", "all figures"), (" one", "one figure")):
                name = f"{task} {size}{kind}"
                ours.run(name, 4)
                many = n == 10_000
                sides = (
                    (ours.timer(name, 10), peer.timer(task, 3)) if many else (ours.timer(name), peer.timer(task, 30))
                )
                a, b = interleaved(5 * rounds if many else rounds, *sides)
                asked = (goal if n == 10_000 else 2e4 if task == "engine" else 0.0) if kind else 0.0
                what = f"{task}, {n:,} rows, {words}: peer 0.1.1 / ours"
                rows.append(_times(3, what, b * n / a, f"{a / n * 1e9:.0f} ns a row", asked))
    return rows


def limit(ours: Side, rounds: int) -> list[Row]:
    """Goal 4: the roofline of a stored million rows beside copying its bytes."""
    ours.run("roofline 1M", 4)
    a, b = interleaved(rounds, ours.timer("roofline 1M", 5), ours.timer("copy 1M", 5))
    return [_at_most(4, "roofline of 1M rows / copying its 24 bytes a row", a / b, f"{a * 1e3:.1f} ns a row", 2.5)]


def sweeps(rounds: int, quick: bool) -> list[Row]:
    """Goal 5: filter, best and front; against the same grid spelled out, and in memory."""
    size, most = ("1e+06", "1e+07") if quick else ("1e+07", "1e+08")
    ours, alone = Side("sweeps"), Side("sweeps")
    ours.run("sweep 1e+06", 3)
    a, b = interleaved(rounds, ours.timer(f"sweep {size}"), ours.timer(f"flat {size}"))
    small, big = alone.run("sweep 1e+06")["peak"], alone.run(f"sweep {most}")["peak"]
    for side in (ours, alone):
        side.close()
    speed = f"{float(size) / a / 1e6:.0f} million a second in one process"
    return [
        _times(5, f"sweep of {float(size):,.0f}: spelled out / ours", b / a, speed, 3),
        _at_most(5, f"peak memory of {float(most):,.0f} configurations, MiB", big, f"{small:.0f} of a million", 100),
    ]


def workbooks(rounds: int) -> list[Row]:
    """Goal 6: a workbook of formula rows beside openpyxl's own loop over the same cells, each in a new process."""
    book = str(CHILD.with_name("book.py"))
    seen: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    for _ in range(rounds):
        for name, got in seen.items():
            done = subprocess.run([sys.executable, book, name], cwd=HOME, env={**os.environ, "PYTHONPATH": str(ROOT)},
                                  check=True, capture_output=True, text=True)  # fmt: skip
            told = json.loads(done.stdout)
            got.append((told["seconds"], told["peak"]))
    (ours, peak), (bare, other) = (tuple(statistics.median(x[i] for x in s) for i in (0, 1)) for s in seen.values())
    return [
        _at_most(
            6, "100,000 rows of 12 cells, formulas with values / openpyxl's loop", ours / bare, f"{ours:.1f} s", 1.2
        ),
        _at_most(6, "peak memory of them, MiB", peak, f"the loop: {other:.0f}", 60),
    ]


def ranges(rounds: int) -> list[Row]:
    """Goal 7: nine ranges of 10,000 rows through xlwings' code, beside the least that must be done for them."""
    rows = []
    key = {"XLWINGS_ON_SERVER": "true", "XLWINGS_LICENSE_KEY": "noncommercial"}
    for name, env in (("classic", {}), ("officejs", key)):
        side = Side(name, **env)
        side.run("range", 4)
        a, b = interleaved(rounds, side.timer("range", 2), side.timer("least", 2))
        side.close()
        rows.append(_at_most(7, f"9 ranges of 10,000 rows, {name} / arrays alone", a / b, f"{a * 1e3:.0f} ms", 2))
    return rows


def curves(rounds: int) -> dict[str, growth.Points]:
    """Growth with rows, configurations, axes and registry rows."""
    side = Side("growth")
    out: dict[str, growth.Points] = {}
    for name, (_, _, sizes) in growth.CURVES.items():
        for size in sizes:
            side.run(f"{name} {size}", 4 if name == "rows" else 1)
        seen = interleaved(rounds, *(side.timer(f"{name} {size}") for size in sizes))
        out[name] = [(float(n), t) for n, t in zip(sizes, seen, strict=True)]
    side.close()
    return out


def powers(found: dict[str, growth.Points]) -> list[Row]:
    """The power of the size with which each time grows."""
    rows = []
    for name, points in found.items():
        title, axis, _ = growth.CURVES[name]
        power, (low, first), (high, last) = growth.exponent(points), points[0], points[-1]
        what = f"{title}, {low:,.0f} to {high:,.0f} {axis.removesuffix(' (log)')}: power of the size"
        rows.append(
            Row(
                "growth", what, f"{power:.2f} ({first * 1e3:.3g} to {last * 1e3:.3g} ms)", "at most 1.05", power <= 1.05
            )
        )
    return rows


def _times(goal: int, what: str, ratio: float, more: str, asked: float) -> Row:
    return Row(str(goal), what, f"{ratio:,.{0 if ratio > 20 else 1}f} ({more})", f"{asked:,g}" if asked else "",
               ratio >= asked if asked else None)  # fmt: skip


def _at_most(goal: int, what: str, value: float, more: str, most: float) -> Row:
    return Row(str(goal), what, f"{value:.{0 if value > 20 else 2}f} ({more})", f"at most {most:g}", value <= most)


# ------------------------------------------------------------------ the table


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    lines = ["| goal | what | measured | asked | met |", "| --- | --- | --- | --- | --- |"]
    words = {True: "yes", False: "**no**", None: ""}
    lines += [f"| {r.goal} | {r.what} | {r.measured} | {r.asked} | {words[r.met]} |" for r in rows]
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sweeps")
    parser.add_argument("--write", action="store_true", help="put the table into README.md and draw the growth curves")
    given = parser.parse_args()
    HOME.mkdir(exist_ok=True)
    rounds = 5 if given.quick else 11
    peers = {v: Side("peer", peer_python(v)) for v in PEERS}
    ours = Side("ours")
    rows = start_up(5 if given.quick else 15)
    rows += (
        scalars(ours, peers, rounds)
        + columns(ours, peers[PEERS[0]], rounds)
        + limit(ours, rounds)
        + sweeps(3, given.quick)
        + workbooks(1 if given.quick else 3)
        + ranges(rounds)
    )
    for side in (ours, *peers.values()):
        side.close()
    found = {} if given.quick and not given.write else curves(5)
    rows += powers(found)
    day = f"{dt.date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    text = f"{table(rows)}\n\nMeasured {day}; CPU time, medians of calls taken in turn."
    print(text)
    if given.write:
        TABLE.write_text(f"{text}\n", "utf-8")
        growth.draw(found, ROOT / ".readme" / "growth.png")
        subprocess.run([sys.executable, str(ROOT / "tests" / "readme.py")], check=True)
    return int(any(r.met is False for r in rows))


if __name__ == "__main__":
    sys.exit(main())
