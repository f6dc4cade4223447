"""Columns of names: each element is what a plain call answers, in the common shape; refusals name the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlsysim
from mlsysim import Hardware, MlsysError

m: Any = mlsysim  # the signatures name one thing

MODELS, DEVICES = ["Llama3_8B", "Mixtral_8x7B", "Llama3_8B", "Llama3_70B"], ["H100", "A100", "B200", "H100"]
BATCH = np.array([1.0, 3.0, 64.0, 7.0])


def same(got: Any, want: Any) -> None:
    """One element of a column against the figure of a plain call; words are codes in a column."""
    if isinstance(want, float) and np.isnan(want):
        assert np.isnan(got)
    else:
        assert got == (int(want) if isinstance(want, int) else want)


@pytest.mark.parametrize("function", ["roofline", "serving", "throughput", "compression"])
def test_each_element_is_a_plain_call(function: str) -> None:
    call = mlsysim.CATALOGUE[function].call
    names = {p.name for p in mlsysim.CATALOGUE[function].params}
    knobs = {"seq_len": 2048.0, "input_tokens": 900.0, "output_tokens": 100.0, "method": "quantization", "bits": 8.0}
    more: dict[str, Any] = {n: v for n, v in knobs.items() if n in names}
    columns: dict[str, Any] = {n: v for n, v in {"model": MODELS, "hardware": DEVICES, "batch": BATCH}.items()
                               if n in names}  # fmt: skip
    assert len(columns) >= 2
    for _ in range(5):  # by the solver, then by compiled code
        got = call(**columns, **more)
    for i in range(len(MODELS)):
        want = call(**{n: v[i] for n, v in columns.items()}, **more)
        for figure, value in vars(want).items():
            same(getattr(got, figure)[i], value)


def test_a_row_and_a_column_make_a_grid() -> None:
    devices = np.array([["H100"], ["A100"], ["B200"]])
    got = m.roofline("Llama3_8B", devices, batch=BATCH).latency
    assert got.shape == (3, 4)
    for i, j in np.ndindex(got.shape):
        assert got[i, j] == m.roofline("Llama3_8B", str(devices[i, 0]), batch=float(BATCH[j])).latency


def test_things_spec_texts_formats_and_equations_of_one_figure() -> None:
    own = "Own; base = H100; bandwidth = 3 TB/s"
    got = m.serving("Llama3_8B", [Hardware.H100, "A100", own], seq_len=2048, precision=("fp8", "fp16", "fp8"))
    assert got.itl.tolist() == [m.serving("Llama3_8B", d, seq_len=2048, precision=p).itl
                                for d, p in ((Hardware.H100, "fp8"), ("A100", "fp16"), (own, "fp8"))]  # fmt: skip
    caches = m.kvcache(np.array(["Llama3_8B", "Llama3_70B"]), seq_len=4096)
    assert caches.tolist() == [m.kvcache(key, seq_len=4096) for key in ("Llama3_8B", "Llama3_70B")]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hardware": ["H100", "A100"], "batch": [1, 2, 3]}, "must have equal sizes, got hardware 2, batch 3"),
        ({"hardware": ["H100", "A1000"]}, "hardware has no 'A1000'"),
        ({"hardware": []}, "hardware names nothing"),
        ({"hardware": ["H100", 3]}, "a key such as H100 is needed, got 3"),
        ({"hardware": ["H100", None]}, "hardware"),
        ({"hardware": ["H100", "A100"], "precision": ["fp8", "fp8"]}, "A100 has no fp8 rate"),
        ({"hardware": ["H100", "A100"], "batch": [1, -1]}, "batch must be"),
    ],
)
def test_refusals(given: dict[str, Any], words: str) -> None:
    with pytest.raises(MlsysError, match=words):
        m.roofline(model="Llama3_8B", **given)


def test_a_table_takes_one_name_at_a_time() -> None:
    with pytest.raises(MlsysError, match="answers with a table; give one model at a time"):
        m.walls(["Llama3_8B", "Llama3_70B"], "H100")
