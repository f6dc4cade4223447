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

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("child.py")
PEERS = ("0.1.1", "0.3.0")
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

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def interleaved(rounds: int, *sides: Callable[[], float]) -> list[float]:
    """Medians of calls taken in turn."""
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
    first = "import mlsysim; mlsysim.kvcache('Llama3_8B', seq_len=4096, batch=32)"
    codes = {
        "numpy": "import numpy",
        "ours": "import mlsysim; mlsysim.CATALOGUE",
        "first": first,
        "bare": "import mlsysim",
    }
    seen: dict[str, list[tuple[float, float]]] = {n: [] for n in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            seen[name].append(_fresh(sys.executable, code))
    cpu, peak = ({n: statistics.median(x[i] for x in s) for n, s in seen.items()} for i in (0, 1))
    rows = []
    for name, what in (
        ("bare", "`import mlsysim`"),
        ("first", "import and a first answer"),
        ("ours", "all functions loaded"),
    ):
        ratio, memory = cpu[name] / cpu["numpy"], peak[name] / peak["numpy"]
        met = ratio <= 1.5 and memory <= 1.25 if name == "bare" else None
        rows.append(
            Row(
                "1",
                f"{what} / `import numpy`",
                f"{ratio:.2f} CPU, {memory:.2f} memory",
                "1.5, 1.25" if name == "bare" else "",
                met,
            )
        )
    return rows


def scalars(ours: Side, peers: dict[str, Side], rounds: int) -> tuple[list[Row], dict[tuple[str, str], float]]:
    """Goal 2: one answer through the public interface, its figures changing from call to call."""
    rows, peer_times = [], {}
    asked = {"engine": 100.0, "serving": 100.0, "economics": 30.0}
    for task, goal in asked.items():
        ours.run(task, 50)
        for version, peer in peers.items():
            if task not in peer.tasks:
                continue
            a, b = interleaved(
                rounds,
                lambda: ours.run(task, 2000)["seconds"],
                lambda p=peer: p.run(task, 30)["seconds"],  # type: ignore[misc]
            )
            peer_times[task, version] = b
            wanted = f"{goal:g}" if version == "0.1.1" else ""
            rows.append(Row("2", f"{task}, one answer: peer {version} / ours",
                            f"{b / a:.0f} ({a * 1e6:.1f} us)", wanted, b / a >= goal if wanted else None))  # fmt: skip
    return rows, peer_times


def columns(ours: Side, peers: dict[str, Side], rounds: int) -> list[Row]:
    """Goal 3: a column of rows in one call; the peer's time is that of its single answers, row by row."""
    rows = []
    peer = peers["0.1.1"]
    for task, goal in {"engine": 3e4, "serving": 3e4, "economics": 8e3}.items():
        for size, n, wanted in (("10k", 10_000, goal), ("1M", 1_000_000, 2e4 if task == "engine" else 0.0)):
            name = f"{task} {size}"
            ours.run(name, 4)
            a, b = interleaved(
                rounds,
                lambda: ours.run(name, 20 if size == "10k" else 1)["seconds"],
                lambda: peer.run(task, 30)["seconds"],
            )
            rows.append(Row("3", f"{task}, {n:,} rows: peer 0.1.1 / ours", f"{b * n / a:,.0f} ({a / n * 1e9:.0f} ns a row)",
                            f"{wanted:,.0f}" if wanted else "", b * n / a >= wanted if wanted else None))  # fmt: skip
    return rows


def limit(ours: Side, rounds: int) -> list[Row]:
    """Goal 4: the roofline of a stored million rows beside copying as many bytes."""
    ours.run("roofline 1M", 4)
    a, b = interleaved(rounds, lambda: ours.run("roofline 1M", 5)["seconds"], lambda: ours.run("copy 1M", 5)["seconds"])
    return [
        Row(
            "4", "roofline of 1M rows / copy of its bytes", f"{a / b:.2f} ({a * 1e3:.1f} ns a row)", "2.5", a / b <= 2.5
        )
    ]


def sweeps(ours: Side, rounds: int, quick: bool) -> list[Row]:
    """Goal 5: filter, best and front; against the same grid spelled out, and in memory."""
    size = "1e+06" if quick else "1e+07"
    a, b = interleaved(
        rounds, lambda: ours.run(f"sweep {size}")["seconds"], lambda: ours.run(f"flat {size}")["seconds"]
    )
    rows = [
        Row(
            "5",
            f"sweep of {float(size):,.0f}: spelled out / ours",
            f"{b / a:.1f} ({float(size) / a / 1e6:.0f} M/s, one process)",
            "3",
            b / a >= 3,
        )
    ]
    alone = Side("ours")
    small = alone.run("sweep 1e+06")["peak"]
    big = alone.run("sweep 1e+07" if quick else "sweep 1e+08")["peak"]
    alone.close()
    rows.append(
        Row(
            "5",
            f"peak memory of {'1e7' if quick else '1e8'} configurations",
            f"{big:.0f} MiB ({small:.0f} of 1e6)",
            "100 MiB",
            big <= 100,
        )
    )
    return rows


def ranges(rounds: int) -> list[Row]:
    """Goal 7: a range of 10,000 rows and nine columns through xlwings' code, beside the least that must be done."""
    rows = []
    key = {"XLWINGS_ON_SERVER": "true", "XLWINGS_LICENSE_KEY": "noncommercial"}
    for side, env in (("classic", {}), ("officejs", key)):
        child = Side(side, **env)
        child.run("range", 2)
        a, b = interleaved(
            rounds, lambda c=child: c.run("range", 2)["seconds"], lambda c=child: c.run("least", 2)["seconds"]
        )  # type: ignore[misc]
        child.close()
        rows.append(
            Row(
                "7", f"range of 10,000 x 9 in {side} / arrays alone", f"{a / b:.2f} ({a * 1e3:.0f} ms)", "2", a / b <= 2
            )
        )
    return rows


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
    found, _ = scalars(ours, peers, rounds)
    rows += found + columns(ours, peers, rounds) + limit(ours, rounds) + sweeps(ours, 3, given.quick) + ranges(rounds)
    for side in (ours, *peers.values()):
        side.close()
    day = f"{dt.date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{table(rows)}\n\n{day}")
    return int(any(r.met is False for r in rows))


if __name__ == "__main__":
    sys.exit(main())
