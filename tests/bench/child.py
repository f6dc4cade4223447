"""One side of a comparison, in a process of its own: tasks by name, CPU seconds out.

    python tests/bench/child.py SIDE     then lines of JSON {"task": name, "times": n} on standard input

SIDE: ours; sweeps; growth; peer (the released package of that name, in an environment of its own); classic or
officejs (our functions through xlwings' code for that Excel).
"""

from __future__ import annotations

import inspect
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROWS = 10_000
Task = Callable[[], Any]


def main() -> None:
    """Answer until the input ends."""
    side = sys.argv[1]
    if hasattr(os, "sched_setaffinity"):  # all sides on the same core: its neighbours then disturb them alike
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tasks = {"ours": ours, "sweeps": sweeps, "growth": growth, "peer": peer, "classic": classic, "officejs": office_js}[
        side
    ]()
    print(json.dumps({"ready": sorted(tasks)}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        task, times = tasks[job["task"]], range(job["times"])
        start = time.process_time()
        for _ in times:
            task()
        seconds = (time.process_time() - start) / job["times"]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak": peak}), flush=True)


# ------------------------------------------------------------------ the public interface, one answer a call


def _scalars(engine: Any, serving: Any, economics: Any, model: Any, device: Any, fleet: Any) -> dict[str, Task]:
    """The sheet's calls with figures that change from call to call."""
    batches, days = itertools.cycle(range(1, 9)), itertools.cycle((30, 90, 180, 365))
    out: dict[str, Task] = {
        "engine": lambda: engine.solve(
            model=model, hardware=device, batch_size=next(batches), precision="fp16", efficiency=0.5
        ),
        "serving": lambda: serving.solve(model=model, hardware=device, seq_len=2048, batch_size=next(batches)),
    }
    if fleet is not None:
        out["economics"] = lambda: economics.solve(fleet=fleet, duration_days=next(days))
    return out


def peer() -> dict[str, Task]:
    """The released package: it answers one configuration a call."""
    import mlsysim

    try:
        from mlsysim import EconomicsModel, ServingModel
    except ImportError:
        from mlsysim.solvers import EconomicsModel, ServingModel  # type: ignore[attr-defined,no-redef]
    model: Any = mlsysim.Models.Llama3_8B if hasattr(mlsysim.Models, "Llama3_8B") else mlsysim.Models.Language.Llama3_8B
    device: Any = mlsysim.Hardware.H100 if hasattr(mlsysim.Hardware, "H100") else mlsysim.Hardware.Cloud.H100
    systems: Any = getattr(mlsysim, "Systems", None)
    fleet = systems.Clusters.Research_256 if systems is not None else None
    tasks = _scalars(mlsysim.Engine, ServingModel(), EconomicsModel(), model, device, fleet)
    return {n: t for n, t in tasks.items() if _answers(t)}


def _answers(task: Task) -> bool:
    try:
        task()
    except Exception as trouble:
        print(f"the peer refuses: {trouble!r}"[:300], file=sys.stderr)
        return False
    return True


def ours() -> dict[str, Task]:
    """Our side."""
    import numpy as np

    import mlsysim
    from mlsysim import CATALOGUE, EconomicsModel, Engine, Hardware, Models, ServingModel, Systems

    fleet = Systems.Clusters.Research_256
    tasks = _scalars(Engine, ServingModel(), EconomicsModel(), Models.Llama3_8B, Hardware.H100, fleet)
    rng = np.random.default_rng(1)
    for name, rows in (("10k", ROWS), ("1M", 1_000_000)):
        batch = rng.integers(1, 9, rows).astype(np.float64)
        days = rng.integers(1, 366, rows).astype(np.float64)
        call: dict[str, Task] = {
            "engine": lambda b=batch: Engine.solve(  # type: ignore[misc]
                model=Models.Llama3_8B, hardware=Hardware.H100, batch_size=b, precision="fp16", efficiency=0.5
            ),
            "serving": lambda b=batch: ServingModel.solve(  # type: ignore[misc]
                model=Models.Llama3_8B, hardware=Hardware.H100, seq_len=2048, batch_size=b
            ),
            "economics": lambda d=days: EconomicsModel.solve(fleet=fleet, duration_days=d),  # type: ignore[misc]
        }
        tasks |= {f"{n} {name}": t for n, t in call.items()}
        one: dict[str, tuple[str, str, dict[str, Any]]] = {
            "engine": ("roofline", "latency", {"precision": "fp16", "efficiency": 0.5, "batch": batch}),
            "serving": ("serving", "itl", {"seq_len": 2048.0, "batch": batch}),
        }
        for n, (function, figure, given) in one.items():
            words = {"model": Models.Llama3_8B, "hardware": Hardware.H100, **given}
            wanted = [figure, "feasible"]
            tasks[f"{n} {name} one"] = lambda f=function, w=wanted, g=words: CATALOGUE[f].figures(w, g)  # type: ignore[misc]
        money = {"fleet": fleet, "days": days * 86400.0}
        tasks[f"economics {name} one"] = lambda g=money: CATALOGUE["tco"].figures(["tco_usd"], g)  # type: ignore[misc]
    work, traffic = rng.uniform(1e9, 1e15, 1_000_000), rng.uniform(1e6, 1e12, 1_000_000)
    tasks["roofline 1M"] = lambda: mlsysim.roofline_time(flops=work, traffic=traffic, peak=9.89e14, bandwidth=3.35e12)
    source = np.concatenate([work, traffic, work])  # the 24 bytes of a row: two figures read, one written
    tasks["copy 1M"] = source.copy
    return tasks


# ------------------------------------------------------------------ sweeps


def sweeps() -> dict[str, Task]:
    """Grids of growing size."""
    tasks: dict[str, Task] = {}
    for size in (10**6, 10**7, 10**8):
        tasks[f"sweep {size:.0e}"] = lambda n=size: _swept(n)  # type: ignore[misc]
        tasks[f"flat {size:.0e}"] = lambda n=size: _flat(n)  # type: ignore[misc]
    return tasks


def _axes(size: int) -> dict[str, Any]:
    import numpy as np

    lengths = np.arange(64.0, 64.0 + 16 * 250, 16)
    batches = np.arange(1.0, 201.0)
    reserves = np.linspace(0.02, 0.3, max(2, size // (len(lengths) * len(batches))))
    return {"reserve": reserves, "batch": batches, "seq_len": lengths}


def _grid(size: int) -> Any:
    from mlsysim.grids import grid_of
    from mlsysim.reducers import Best, Front

    keep = [Best("itl", 10), Front("itl", "decode_throughput", largest_y=True)]
    return grid_of("serving", {"model": "Llama3_8B", "hardware": "H100", **_axes(size)}, keep, [("ttft", "<=", 2.0)])


def _swept(size: int) -> Any:
    """Filter, best and front of a grid, as the project sweeps it."""
    from mlsysim.grids import run

    grid = _grid(size)
    return run(grid, 0, grid.chunks())


def _flat(size: int) -> Any:
    """The same with every configuration spelled out: flat places, axes gathered, one column each."""
    import numpy as np

    import mlsysim
    from mlsysim.reducers import Chunk

    grid = _grid(size)
    states = [r.empty() for r in grid.keep]
    step = grid.chunk
    for start in range(0, grid.size, step):
        places = np.unravel_index(np.arange(start, min(start + step, grid.size)), grid.shape)
        columns = {n: v[p] for (n, v), p in zip(grid.numbers.items(), places, strict=True)}
        out = mlsysim.serving("Llama3_8B", "H100", **columns)
        good = out.feasible & (out.ttft <= 2.0)
        chunk = Chunk({m: getattr(out, m) for m in ("itl", "decode_throughput")}, good, good.shape, start)
        states = [r.take(s, chunk) for r, s in zip(grid.keep, states, strict=True)]
    return states


def growth() -> dict[str, Task]:
    """Points of the growth curves."""
    from growth import tasks

    return tasks()


# ------------------------------------------------------------------ a range in Excel


def _range() -> tuple[str, list[list[list[float]]], Task]:
    """A function of eight numbers or more, its range of rows, and the least that anybody must do for it."""
    import numpy as np

    from mlsysim import CATALOGUE

    rng = np.random.default_rng(3)
    entry = CATALOGUE["cluster_month"]
    plain: Any = inspect.unwrap(entry.call)
    params = [p for p in entry.params if p.unit is not None]
    tops = [min(40.0, float(p.unit.to_face(p.unit.high))) for p in params if p.unit]
    columns = [
        [[float(x)] for x in (rng.integers(1, 40, ROWS) if top > 1 else rng.uniform(0, 1, ROWS))] for top in tops
    ]

    def least() -> Any:
        given = {p.name: p.unit.from_face(np.array(c)[:, 0]) for p, c in zip(params, columns, strict=True) if p.unit}
        return plain(**given)[:, None].tolist()

    return entry.excel, columns, least


def classic() -> dict[str, Task]:
    """Through the COM server of xlwings, under stand-ins for Windows (no cost of COM itself)."""
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    import contextlib

    import pywin32_stub as stub

    stub.install()
    from xlwings.com_server import XLPython
    from xlwings.udfs import import_udfs

    workbook = stub.Workbook()
    with contextlib.redirect_stdout(sys.stderr):
        import_udfs("udfs.mls", workbook)
    name, columns, least = _range()
    caller, server = stub.Cells(None), XLPython()
    given = [tuple(map(tuple, c)) for c in columns]
    return {"range": lambda: server.CallUDF("udfs.mls", name, given, workbook, caller), "least": least}


def office_js() -> dict[str, Task]:
    """Through xlwings' code for Office.js, as Lite and Server call it (no network)."""
    import asyncio

    import xlwings as xw
    from xlwings.server import custom_functions_call

    import udfs.mls

    name, columns, least = _range()
    data = {
        "client": "Office.js", "func_name": name, "args": columns, "runtime": "1.4", "session_id": "s",
        "caller_address": "[Book1.xlsx]Sheet1!B2", "version": xw.__version__, "culture_info_name": "en-US",
        "date_format": "m/d/yyyy",
    }  # fmt: skip
    return {"range": lambda: asyncio.run(custom_functions_call(dict(data), udfs.mls)), "least": least}


if __name__ == "__main__":
    main()
