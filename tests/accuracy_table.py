"""The table of errors that the package ships, derived anew from the measurements.

    python tests/accuracy_table.py > mlsysim/data/accuracy.toml

One row per kind of measurement that is judged or that no public call can express; rows that only give context and rows
that their own source computed do not count.  A test compares the file with this program's answer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from accuracy import read, report

ROWS = Path(__file__).parent / "data" / "measured.json"
TITLES = {
    "activation_fraction": "Stored activations of training by recomputation",
    "allreduce_internode": "All-reduce across nodes",
    "allreduce_intranode": "All-reduce inside a node",
    "chinchilla": "Compute-optimal training, approach 1",
    "chinchilla_a23": "Compute-optimal training, approaches 2 and 3",
    "cluster_capex_sheet": "Price sheets of clusters",
    "decode_bs1": "Decoding at batch 1",
    "energy": "Energy of training runs",
    "energy_from_flops": "Energy of a run from its work alone",
    "failure_rate": "Failures per 1,000 node-days",
    "interruptions": "Interruptions of long runs",
    "iteration_time": "Time of a training step",
    "kv_bytes_per_token": "KV cache per token",
    "mfu": "MFU of training as published",
    "mlperf_inference": "MLPerf Inference: Llama 2 70B and ResNet-50",
    "mlperf_time_to_train": "MLPerf Training: time to train",
    "mlperf_tiny": "MLPerf Tiny: latency on microcontrollers",
    "mlperf_tiny_energy": "MLPerf Tiny: energy per inference",
    "model_weights": "Size of the weights",
    "mttf": "Mean time to failure of a job",
    "node_power": "Power of a server under load",
    "param_optimizer": "Weights, gradients and optimizer state",
    "prefill_bs1": "Prefill at batch 1, llama.cpp",
    "resnet50": "ResNet-50 training and inference",
    "run_cost": "Cost of a training run",
    "run_days_computed": "Days of a training run from its work",
    "run_gpu_hours": "Device-hours of a training run",
    "server_bom": "Parts list of a server",
    "tco2e": "Carbon of training runs",
    "throughput": "Training throughput",
    "throughput_fixed_batch": "Serving throughput at a fixed batch",
    "throughput_max_load": "Serving throughput at maximum load",
    "ttft_bs1": "Time to first token at batch 1",
}
NOTES = {
    "median": "median of |predicted / measured - 1|",
    "by_source": "mean over the sources of their medians",
    "p90": "90 % of the rows are off by less",
    "coverage": "share of the rows with a range that lie inside it",
}


def _derived(name: str, percent: float) -> str:
    return f'{name} = {{ value = {percent / 100:.5f}, kind = "derived", note = "{NOTES[name]}" }}'


def _row(name: str, s: dict[str, Any]) -> list[str]:
    title = TITLES.get(name, name.replace("_", " ").capitalize())
    area = {"tco": "cost"}.get(s["category"], s["category"])
    lines = ["", f"[{name}]", f'title = "{title}"', f'category = "{area}"', 'source = "eff-truth"']
    if s["n"]:
        lines += [f"rows = {s['n']}", f"sources = {s['sources']}"]
    if s["skipped"]:
        lines.append(f"skipped = {s['skipped']}")
    if s["n"]:
        lines += [_derived(field, s[key]) for field, key in
                  (("median", "median_ape"), ("by_source", "macro"), ("p90", "p90"))]  # fmt: skip
    if s["banded"]:
        lines += [f"banded = {s['banded']}", _derived("coverage", s["coverage"])]
    if s["arithmetic"]:
        lines.append('arithmetic = "yes"')
    return lines


def toml() -> str:
    """The data file."""
    lines = [
        "# How far this version is off published measurements, by kind; errors as fractions of the measured figure.",
        "# Made by tests/accuracy_table.py from tests/data/measured.json.",
    ]
    table = report(read(ROWS))["subcategories"]
    for name, summary in sorted(table.items(), key=lambda item: (item[1]["category"], item[0])):
        if summary["n"] or summary["skipped"]:
            lines += _row(name, summary)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(toml())
