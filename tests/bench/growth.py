"""How times grow with rows, configurations, axes and registry rows: tasks of a child, and their curves as a picture."""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Task = Callable[[], Any]
Points = list[tuple[float, float]]  # size, seconds
ROWS = (10**3, 10**4, 10**5, 10**6)
CONFIGURATIONS = (10**5, 10**6, 10**7)
AXES = (1, 2, 3, 4, 5, 6)  # of a million configurations together
THINGS = (100, 1_000, 10_000)
CURVES: dict[str, tuple[str, str, tuple[int, ...]]] = {  # task: title, axis, sizes
    "rows": ("Serving, all figures, of a column", "rows (log)", ROWS),
    "configurations": ("Sweep with filter, best and front", "configurations (log)", CONFIGURATIONS),
    "axes": ("Sweep of a million, cut into axes", "axes", AXES),
    "load": ("Reading a registry and its first answer", "devices on file (log)", THINGS),
}


def tasks() -> dict[str, Task]:
    """Every point as a task, named ``curve size``."""
    import numpy as np

    import mlsysim

    out: dict[str, Task] = {}
    rng = np.random.default_rng(2)
    for rows in ROWS:
        batch = rng.integers(1, 65, rows).astype(np.float64)
        out[f"rows {rows}"] = lambda b=batch: mlsysim.serving("Llama3_8B", "H100", seq_len=2048.0, batch=b)  # type: ignore[misc]
    for size in CONFIGURATIONS:
        out[f"configurations {size}"] = lambda n=size: _swept(3, n)  # type: ignore[misc]
    for count in AXES:
        out[f"axes {count}"] = lambda n=count: _swept(n, 10**6)  # type: ignore[misc]
    for things in THINGS:
        out[f"load {things}"] = _loader(things)
    return out


def _swept(axes: int, size: int) -> Any:
    import numpy as np

    from mlsysim.grids import grid_of, run
    from mlsysim.reducers import Best, Front

    ranges = {
        "seq_len": (64, 16), "batch": (1, 1), "reserve": (0.02, 1e-7), "efficiency": (0.2, 1e-7),
        "bandwidth_efficiency": (0.3, 1e-7), "output_tokens": (1, 1),
    }  # fmt: skip
    each = math.ceil(size ** (1 / axes))
    chosen = {n: low + step * np.arange(each) for n, (low, step) in list(ranges.items())[:axes]}
    chosen.setdefault("seq_len", np.array([2048.0]))
    keep = [Best("itl", 10), Front("itl", "decode_throughput", largest_y=True)]
    grid = grid_of("serving", {"model": "Llama3_8B", "hardware": "H100", **chosen}, keep, [("ttft", "<=", 2.0)])
    return run(grid, 0, grid.chunks())


def _loader(count: int) -> Task:
    """Read a file of so many devices and answer with one of them."""
    from mlsysim import registry
    from mlsysim.solvers.serving import serving
    from mlsysim.things import HARDWARE, Device

    text = (registry.DATA / "hardware.toml").read_text("utf-8")
    text = re.sub(r"^aliases = .*\n", "", text, flags=re.M)
    copies = math.ceil(count / len(HARDWARE))
    blocks = [re.sub(r"^\[(\w+)", rf"[\1_{i}", text, flags=re.M) for i in range(copies)]
    path = Path(tempfile.mkdtemp()) / f"{count}.toml"
    path.write_text("\n".join(blocks), "utf-8")

    def load() -> Any:
        registry._load.cache_clear()
        registry._toml.cache_clear()
        own = registry.Registry("hardware", Device, str(path))
        device = own[f"H100_{copies - 1}"]
        registry.REGISTRIES[Device] = HARDWARE
        return serving("Llama3_8B", device, seq_len=2048.0)

    return load


def exponent(points: Points) -> float:
    """The power of the size with which the time grows, by least squares: 1 is linear."""
    x, y = ([math.log(p[i]) for p in points] for i in (0, 1))
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


def draw(curves: dict[str, Points], picture: Path) -> None:
    """Draw all curves beside each other, through LibreOffice."""
    from openpyxl import Workbook
    from openpyxl.chart import Reference, ScatterChart, Series

    from workbook.sheets.charts import axes, line, over

    book = Workbook()
    sheet: Any = book.active
    sheet.page_setup.orientation = "landscape"
    sheet.sheet_properties.pageSetUpPr.fitToPage = True
    sheet.sheet_view.showGridLines = False
    for i, (name, points) in enumerate(curves.items()):
        column = 20 + 2 * i
        for r, (size, seconds) in enumerate(points, start=1):
            sheet.cell(r, column, size)
            sheet.cell(r, column + 1, seconds * 1e3)
        chart = ScatterChart()
        chart.style, chart.scatterStyle = 13, "lineMarker"
        ys, xs = (Reference(sheet, min_col=c, min_row=1, max_row=len(points)) for c in (column + 1, column))
        series = Series(ys, xs)
        line(series, i, marked=True)
        chart.series.append(series)
        title, across, _ = CURVES[name]
        logarithmic = "log" in across
        axes(chart, title, across, f"ms of CPU{' (log)' if logarithmic else ''}", legend=None)
        for axis in (chart.x_axis, chart.y_axis):
            axis.number_format, axis.crosses = "#,##0.###", "min"
            if logarithmic:
                axis.scaling.logBase = 10
        if not logarithmic:
            chart.y_axis.scaling.min = 0
        top, left = 1 + 18 * (i // 2), "AI"[i % 2]
        over(sheet, chart, f"{left}{top}", f"{'IQ'[i % 2]}{top + 17}")
    sheet.print_area = "A1:P36"
    with tempfile.TemporaryDirectory() as folder:
        book.save(Path(folder) / "growth.xlsx")
        _run(["soffice", "--headless", "--convert-to", "pdf", "--outdir", folder, f"{folder}/growth.xlsx"])
        _run(
            [
                "pdftoppm",
                "-r",
                "110",
                "-x",
                "80",
                "-y",
                "105",
                "-W",
                "1045",
                "-H",
                "580",
                "-png",
                "-singlefile",
                f"{folder}/growth.pdf",
                f"{folder}/growth",
            ]
        )
        picture.write_bytes((Path(folder) / "growth.png").read_bytes())


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
