"""Judged by measurements: the errors on the shipped rows stay below ratchets, and the bands follow from them."""

import json
import subprocess
import sys
from pathlib import Path

import accuracy
import accuracy_bands
import numpy as np
import pytest

HERE = Path(__file__).parent
ROWS = HERE / "data" / "measured.json"

# subcategory: (median % pooled, mean over sources of medians, fewest rows); just above what was measured last
RATCHETS = {
    "throughput_max_load": (5.5, 5.5, 34),
    "throughput_fixed_batch": (6.5, 6.5, 20),
    "decode_bs1": (4.5, 4.5, 34),
    "ttft_bs1": (5, 5, 12),
    "prefill_bs1": (10, 10, 5),
    "throughput": (6, 8, 68),
    "iteration_time": (10, 14, 7),
    "run_gpu_hours": (13, 14, 14),
    "allreduce_intranode": (4, 4, 14),
    "allreduce_internode": (10, 10, 3),
    "energy": (5, 5, 6),
    "node_power": (4, 4, 2),
    "mttf": (3, 3, 2),
    "resnet50": (10, 10, 17),
    "mlperf_inference": (15, 15, 5),
    "mlperf_tiny": (25, 25, 11),
    "kv_bytes_per_token": (0.01, 0.01, 4),
    "model_weights": (0.2, 0.2, 4),
    "param_optimizer": (0.2, 0.2, 2),
    "activation_fraction": (1, 1, 10),
    "chinchilla": (1, 1, 11),
    "chinchilla_a23": (1, 1, 11),
}


@pytest.fixture(scope="module")
def table() -> dict:
    return accuracy.report(accuracy.read(ROWS))


@pytest.mark.parametrize("name", RATCHETS)
def test_errors_stay_below_the_ratchets(table, name):
    pooled, macro, rows = RATCHETS[name]
    got = table["subcategories"][name]
    assert got["n"] >= rows, got["reasons"]
    assert got["median_ape"] <= pooled
    assert got["macro"] <= macro


def test_about_four_fifths_of_the_judged_rows_lie_inside_their_bands(table):
    assert table["banded"] > 200
    assert 75 <= table["coverage"] <= 90


def test_bands_follow_from_the_rows():
    shipped = (HERE.parent / "mlsysim" / "data" / "bands.toml").read_text("utf-8")
    assert shipped == accuracy_bands.toml()


def test_every_row_is_accounted_for(table):
    counted = sum(s["n"] + s["skipped"] + s["context"] + s["circular"] for s in table["subcategories"].values())
    assert counted == len(accuracy.read(ROWS)) == 376


def test_the_judge_would_notice_a_wrong_model(monkeypatch):
    rows = [r for r in accuracy.read(ROWS) if r["subcategory"] == "throughput_max_load"]
    honest = accuracy.report(rows)["subcategories"]["throughput_max_load"]["median_ape"]
    doubled = [r | {"measured": r["measured"] | {"value": 2 * r["measured"]["value"]}} for r in rows]
    assert accuracy.report(doubled)["subcategories"]["throughput_max_load"]["median_ape"] > 40 > honest


def test_any_file_of_the_format_is_read_also_a_bare_list_with_rows_that_cannot_be_expressed(tmp_path):
    row = {"id": "x", "category": "inference", "subcategory": "decode_bs1", "group": "g", "judge": True}
    row["measured"] = {"metric": "decode_tokens_per_s", "value": 10, "unit": "tokens/s"}
    good = {"params": 8.03e9, "layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "gpu": "L40S"}
    rows = [row | {"inputs": good}, row | {"inputs": good | {"gpu": "Abacus"}}, row | {"inputs": {}},
            row | {"subcategory": "never heard of", "inputs": {}}]  # fmt: skip
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    program = [sys.executable, str(HERE / "accuracy.py"), str(path), "--json"]
    out = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    got = json.loads(out.stdout)["subcategories"]
    assert (got["decode_bs1"]["n"], got["decode_bs1"]["skipped"]) == (1, 2)
    assert any("Abacus" in why for why in got["decode_bs1"]["reasons"])
    assert got["never heard of"]["skipped"] == 1


def test_rows_with_gaps_and_nonsense_are_skipped_and_never_crash():
    chance = np.random.default_rng(7)
    rows = []
    for row in accuracy.read(ROWS):
        for bad in (None, "", "n/a", 0, -1, [], {"a": 1}):
            name = chance.choice(list(row["inputs"]) or ["x"])
            rows.append(row | {"inputs": row["inputs"] | {str(name): bad}, "judge": True, "circular": False})
    table = accuracy.report(rows)["subcategories"]
    assert sum(s["n"] + s["skipped"] for s in table.values()) == len(rows)
    assert sum(s["skipped"] for s in table.values()) > 300
