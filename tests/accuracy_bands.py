"""The error bands that the package ships, derived anew from the measurements.

    python tests/accuracy_bands.py > mlsysim/data/bands.toml

A band spans the spread of measured / predicted of the *judged figure* (a time or a rate) over the rows of one regime.
Its ends are the 7th and 93rd percentile rather than the 10th and 90th: rows of a source not seen scatter more.
Fewer than 8 rows make no band.  A test compares the file with this program's answer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import predict, read
from accuracy_mapping import Skip

from mlsysim.solvers.bands import chip_class
from mlsysim.things import HARDWARE

ROWS = Path(__file__).parent / "data" / "measured.json"
LOW, HIGH, FEWEST = 0.07, 0.93, 8
# band: (subcategories, whether the judged figure is a time although the rows may print rates, title)
REGIMES: dict[str, tuple[tuple[str, ...], bool, str]] = {
    "decode-batch-1": (("decode_bs1",), True, "Time between tokens at batch 1, llama.cpp"),
    "first-token": (("ttft_bs1",), True, "Time to first token at batch 1, tuned server"),
    "prefill-llamacpp": (("prefill_bs1",), True, "Time to first token at batch 1, llama.cpp"),
    "throughput-fixed-batch": (("throughput_fixed_batch",), False, "Generated tokens per second at a fixed batch"),
    "throughput-max-load": (("throughput_max_load",), False, "Generated tokens per second at maximum load"),
    "image": (("resnet50",), True, "Step of an image model in a framework"),
    "tiny": (("mlperf_tiny",), True, "Inference of a small network on a microcontroller"),
    "training-step": (("throughput", "iteration_time"), True, "Training step of a decoder on a fleet"),
    "run-hours": (("run_gpu_hours",), True, "Device-hours of a training run by the iron law's defaults"),
    "all-reduce": (("allreduce_intranode",), True, "All-reduce inside a node"),
}
RATES = ("per_s", "tflops", "busbw", "mfu")


def ratios(subcategories: tuple[str, ...], as_time: bool) -> Iterator[tuple[float, str, str]]:
    """Measured / predicted of the judged figure, with the row's source and class of chip."""
    for row in read(ROWS):
        if row["subcategory"] not in subcategories or not row["judge"] or row.get("circular"):
            continue
        try:
            ratio = row["measured"]["value"] / predict(row).value
        except Skip:
            continue
        if as_time and any(word in row["measured"]["metric"] for word in RATES):
            ratio = 1 / ratio
        yield ratio, row["group"], _chip(row["inputs"])


def _chip(inputs: dict[str, Any]) -> str:
    return chip_class(HARDWARE[inputs["gpu"]]) if "gpu" in inputs else "mcu/sram"  # boards are named by their core


def toml() -> str:
    """The data file."""
    parts = [
        "# Spread of measured over predicted, by regime: what the metrics <headline>_p10 and <headline>_p90 rest on.",
        "# Made by tests/accuracy_bands.py from tests/data/measured.json; 7th and 93rd percentile, at least 8 rows.",
    ]
    for key, (subcategories, as_time, title) in REGIMES.items():
        found = list(ratios(subcategories, as_time))
        if len(found) < FEWEST:
            continue
        spread = np.array([r for r, _, _ in found])
        low, high = (float(np.quantile(spread, q, method="weibull")) for q in (LOW, HIGH))
        what = f"measured / predicted of {len(found)} rows ({', '.join(subcategories)})"
        parts += [
            "",
            f"[{key}]",
            f'title = "{title}"',
            'source = "eff-truth"',
            f'low = {{ value = {low:.3f}, kind = "derived", note = "{LOW:.0%} of {what} lie below" }}',
            f'high = {{ value = {high:.3f}, kind = "derived", note = "{1 - HIGH:.0%} of {what} lie above" }}',
            f"rows = {len(found)}",
            f"sources = {len({s for _, s, _ in found})}",
            f'chips = "{" ".join(sorted({c for _, _, c in found}))}"',
        ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(toml())
