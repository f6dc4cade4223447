"""The generated parts of README.md; run ``python tests/readme.py`` to rewrite them."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
WIDTH = 120
sys.path.insert(0, str(ROOT))


# what a buyer asks, in the order of asking: does it fit, how fast, what power, what cost
FIRST = ("MLS_KVCACHE", "MLS_THROUGHPUT", "MLS_SERVING", "MLS_CAPACITY", "MLS_TRAINING_RUN", "MLS_POWER",
         "MLS_SUSTAINABILITY", "MLS_TCO", "MLS_TOKEN_PRICE", "MLS_WALLS", "MLS_WHY", "MLS_GET",
         "MLS_SOURCE")  # fmt: skip


def first() -> str:
    """The functions of `FIRST`."""
    return _table(FIRST)


def functions() -> str:
    """One row per other function, grouped."""
    from udfs import FUNCTIONS

    return _table(sorted(FUNCTIONS.keys() - set(FIRST), key=lambda name: (FUNCTIONS[name].group, name)))


def _table(names: Iterable[str]) -> str:
    from udfs import FUNCTIONS
    from workbook.sheets.functions import call_text, unit_text

    lines = ["| function | answers | unit |", "| --- | --- | --- |"]
    for function in (FUNCTIONS[name] for name in names):
        call = f'<a id="{function.name.lower()}"></a>`{call_text(function)}`'
        lines.append(f"| {call} | {function.summary} | {unit_text(function)} |")
    return "\n".join(lines)


def differences() -> str:
    """Where a printed number of the cheat sheet is not what MLS_GET answers, and why."""
    from test_data_hardware import EXPLAINED, SHEET
    from test_data_models import SHEET_DIFFERENCES

    columns = ("peak fp16 (TFLOP/s)", "memory (GB)", "bandwidth (TB/s)", "TDP (W)")
    lines = ["| sheet | printed | ours | why |", "| --- | --- | --- | --- |"]
    lines.append(
        "| Iron law, peak of H100 fp16 | 312 TFLOPS | 989 TFLOP/s | 312 is the A100's; NVIDIA's H100 data sheet |"
    )
    for (key, column), (ours, why) in EXPLAINED.items():
        lines.append(
            f"| {key}, {columns[column]} | {SHEET[key][column]} | {'refused' if ours is None else ours} | {why} |"
        )
    printed = {"DS_CNN": "26K", "MobileNetV2": "3.4M"}
    from mlsysim.things import MODELS

    for key, why in SHEET_DIFFERENCES.items():
        lines.append(f"| {key}, parameters | {printed[key]} | {MODELS[key].params:.0f} | {why} |")
    lines.append(
        "| memory in GiB | 80, 141 ... | the same figures in GB | vendors print GB; `usable`: what the driver reports |"
    )
    return "\n".join(lines)


def registry() -> str:
    """The keys of what a buyer names, by registry and group."""
    from mlsysim.things import FLEETS, HARDWARE, MODELS, NODES, SITES

    shown = {"Accelerators": HARDWARE, "Models": MODELS, "Fleets": FLEETS, "Servers": NODES, "Sites": SITES}
    lines: list[str] = []
    for title, rows in shown.items():
        groups: dict[str, list[str]] = {}
        for key, thing in rows.items():
            groups.setdefault(thing.group, []).append(key)
        for group, keys in groups.items():
            head = f"**{title}{f', {group}' if len(groups) > 1 else ''}**"
            lines.append(f"- {head}: {', '.join(keys)}.")
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in lines)


def accuracy() -> str:
    """Errors on the shipped measurements, worst-covered kinds last."""
    from accuracy import read, report
    from accuracy_table import TITLES

    from workbook.sheets.accuracy import constants

    table = report(read(ROOT / "tests" / "data" / "measured.json"))
    rows = [(TITLES[n], s) for n, s in table["subcategories"].items() if s["n"] and not s["arithmetic"]]
    lines = [
        "| figure | rows | sources | median error | 9 of 10 within | in range |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for title, s in sorted(rows, key=lambda row: (-row[1]["banded"], row[1]["median_ape"])):
        inside = f"{s['coverage']:.0f} %" if s["coverage"] is not None else "no range"
        lines.append(f"| {title} | {s['n']} | {s['sources']} | {s['median_ape']:.1f} % | {s['p90']:.0f} % | {inside} |")
    replayed = sorted(TITLES[n] for n, s in table["subcategories"].items() if s["n"] and s["arithmetic"])
    lines += ["", textwrap.fill(f"Replayed arithmetic, within 1 % in the median: {'; '.join(replayed)}.", WIDTH)]
    lines.append(f"Of {table['banded']} measurements with a range, {table['coverage']:.0f} % lie inside.")
    fitted = constants()["fitted"]
    lines.append(f"{fitted} constants were fitted to such rows; each says so in its note.")
    return "\n".join(lines)


def speed() -> str:
    """The last table of tests/bench/run.py --write."""
    return (ROOT / "tests" / "bench" / "table.md").read_text("utf-8").rstrip()


PARTS = {
    "accuracy": accuracy,
    "speed": speed,
    "first": first,
    "functions": functions,
    "differences": differences,
    "registry": registry,
}


def rendered(text: str) -> str:
    """The README with its generated parts as they should be."""
    for name, make in PARTS.items():
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
        text, count = re.subn(pattern, lambda m, made=make: f"{m[1]}{made()}\n{m[2]}", text, flags=re.S)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"README.md needs the part {name} exactly once")
    return text


if __name__ == "__main__":
    README.write_text(rendered(README.read_text("utf-8")), "utf-8")
