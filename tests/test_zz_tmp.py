"""What a config.json may not hold: refused by name, at random too; and the terminal's command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_config import CONFIGS, FILES, PUBLISHED, changed, model_of, published, write

import mlsysim as m
from mlsysim.architectures import NESTED, READERS
from mlsysim.config import LARGEST_FILE, legal_types
from mlsysim.errors import MissingFact, MlsysError, OutOfDomain, UnknownName
from mlsysim.registry import spec
from mlsysim.things import Model
from udfs import mls
from udfs.__main__ import main

WRONG = [0, -1, 1.5, "32", True, [32], {"n": 1}, 1e30, 10**400, float("nan"), float("inf")]

# ---------------------------------------------------------------- refusals


def test_an_unknown_architecture_is_never_guessed(tmp_path: Path) -> None:
    for kind in ("mamba", "Llama", "llama ", "", "x" * 500):
        with pytest.raises(UnknownName, match="no reader for model_type") as refusal:
            changed(tmp_path, "llama-3-8b", model_type=kind)
        assert all(legal in str(refusal.value) for legal in (*READERS, *NESTED))
    for kind in (7, ["llama"], {"a": 1}):
        with pytest.raises(UnknownName, match="model_type"):
            changed(tmp_path, "llama-3-8b", model_type=kind)
    data = published("llama-3-8b")
    del data["model_type"]
    with pytest.raises(MissingFact, match="model_type is missing; legal are bert, bloom"):
        m.Models.from_config(write(tmp_path, data))


MAY_BE_ABSENT = {  # then the context is unknown; Llama 1 has every head keep its keys; a head is hidden / heads wide
    *("max_position_embeddings", "max_seq_len", "seq_length", "n_positions"),
    *("num_key_value_heads", "head_dim"),
}


@pytest.mark.parametrize("stem", [s for s in FILES if s not in ("gemma-3-4b", "gemma-3-27b")])
def test_a_missing_number_is_refused_by_name_or_changes_nothing(stem: str, tmp_path: Path) -> None:
    data, whole = published(stem), model_of(stem)
    nested = data["model_type"] in NESTED
    inner = data["text_config"] if nested else data
    refused = 0
    for name in (n for n, value in inner.items() if value is None or type(value) is int):
        rest = {n: v for n, v in inner.items() if n != name}
        path = write(tmp_path, data | {"text_config": rest} if nested else rest)
        if (error := refusal(path)) is not None:
            assert isinstance(error, MissingFact)
            assert name in str(error)
            refused += 1
        elif name not in MAY_BE_ABSENT:
            assert m.Models.from_config(path, whole.key) == whole, name
    assert refused >= 4


def refusal(path: Path) -> MlsysError | None:
    try:
        m.Models.from_config(path)
    except MlsysError as error:
        return error
    return None


@pytest.mark.parametrize("stem", FILES)
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: repr(wrong)[:9])
def test_wrong_sizes_are_refused_by_name(stem: str, wrong: Any, tmp_path: Path) -> None:
    data = published(stem)
    inner = data["text_config"] if data["model_type"] in NESTED else data
    must = {"hidden_size", "n_embd", "d_model", "num_hidden_layers", "n_layer", "n_layers", "intermediate_size",
            "n_head", "n_heads", "num_attention_heads", "num_local_experts", "num_experts", "kv_lora_rank", "ffn_dim",
            "num_key_value_heads", "head_dim", "moe_intermediate_size", "v_head_dim", "vocab_size"}  # fmt: skip
    if inner["model_type"].startswith("deepseek"):
        must.remove("num_key_value_heads")  # not read: latent attention has one key for all heads
    for name in must & set(inner):
        fields_ = inner | {name: wrong}
        path = write(tmp_path, fields_ if inner is data else data | {"text_config": fields_})
        with pytest.raises(OutOfDomain, match=name):
            m.Models.from_config(path)


def test_contradictions_are_refused(tmp_path: Path) -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("llama-3-8b", {"num_key_value_heads": 7}, "32 attention heads cannot share 7"),
        ("llama-3-8b", {"num_attention_heads": 33}, "hidden_size = 4096 must be a multiple of num_attention_heads"),
        ("llama-3-8b", {"num_experts": 8}, "num_experts does not belong to a llama"),
        ("llama-3-8b", {"attention_bias": 1}, "attention_bias must be true or false"),
        ("llama-3-8b", {"is_encoder_decoder": True}, "is_encoder_decoder is true"),
        ("bloom", {"hidden_size": 1024}, "hidden_size and n_embed contradict"),
        ("mixtral-8x7b", {"num_experts_per_tok": 9}, "num_experts_per_tok = 9 must not exceed"),
        ("mpt-7b", {"no_bias": False}, "no_bias = false is not modelled"),
        ("mpt-7b", {"attn_config": {"attn_type": "multiquery_attention"}}, "attn_type"),
        ("bert-base", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("llama-3-8b", {"num_hidden_layers": 10**6}, "num_hidden_layers"),
        ("llama-4-scout", {"text_config": []}, "text_config"),
        ("llama-4-scout", {"text_config": {"model_type": "llama"}}, "must be a llama4_text"),
        ("deepseek-v3", {"attention_bias": True}, "attention_bias = true is not modelled"),
    ]
    for stem, change, words in cases:
        with pytest.raises(MlsysError, match=words):
            changed(tmp_path, stem, **change)


def test_files_that_are_none(tmp_path: Path) -> None:
    for nothing in (tmp_path / "absent", tmp_path, "x" * 10_000, "a\0b"):
        with pytest.raises(UnknownName):
            m.Models.from_config(nothing)
    for wrong in (None, 3, "", "  ", b"config.json"):
        with pytest.raises(OutOfDomain, match="path must be"):
            m.Models.from_config(wrong)
    for text in ("", "{", "[1]", "null", '{"model_type": "gpt2", "model_type": "gpt2"}', "[" * 100_000, "1" * 10_000):
        with pytest.raises(OutOfDomain, match=r"config\.json"):
            m.Models.from_config(write(tmp_path, text))
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OutOfDomain, match="no legal JSON"):
        m.Models.from_config(tmp_path)
    with (tmp_path / "model.safetensors").open("wb") as big:
        big.truncate(LARGEST_FILE + 1)
    with pytest.raises(OutOfDomain, match="it has 10000001 bytes"):
        m.Models.from_config(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(published("gpt2")), "utf-8-sig")  # as Notepad saves
    assert m.Models.from_config(tmp_path).params == PUBLISHED["gpt2"][0]


# ---------------------------------------------------------------- malformed files, at random

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.integers(1, 256),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


def judge(path: Path) -> None:
    """A refusal, or a model whose counts are positive and whose text is complete."""
    if (error := refusal(path)) is not None:
        assert str(error)
        return
    model = m.Models.from_config(path)
    assert 0 < (model.active_params or model.params) <= model.params < float("inf")
    assert Model.of(spec(model)) == model
    if model.unit == "token":
        assert m.kvcache(model, seq_len=10) > 0


@settings(max_examples=6000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_fields_never_crash(data: st.DataObject, tmp_path: Path) -> None:
    config = published(data.draw(st.sampled_from(FILES)))
    inner = config["text_config"] if config["model_type"] in NESTED else config
    for name in data.draw(st.lists(st.sampled_from([*inner, "layer_types", "moe_layers", "head_dim"]), max_size=4)):
        if data.draw(st.booleans()):
            inner.pop(name, None)
        else:
            inner[name] = data.draw(JSON | st.integers(1, 4096))
    judge(write(tmp_path, json.dumps(config)))


@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(legal_types()))
def test_random_text_never_crashes(data: st.DataObject, kind: str, tmp_path: Path) -> None:
    text = json.dumps(published(data.draw(st.sampled_from(FILES))) | {"model_type": kind})
    at, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 3))
    judge(write(tmp_path, text[:at] + data.draw(st.text(max_size=3)) + text[at + length :]))


# ---------------------------------------------------------------- the terminal


def test_the_terminal_prints_a_text_for_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", str(CONFIGS / "deepseek-v3.json")]) == 0
    out, err = capsys.readouterr()
    assert (err, out.count("\n")) == ("", 1)
    assert Model.of(out.strip()) == model_of("deepseek-v3")
    assert mls.MLS_KVCACHE(out.strip(), 1) == pytest.approx(70272e-9)
    assert not out.startswith(("=", "+", "-", "@"))


def test_the_terminal_refuses_in_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "udfs", "config", "pyproject.toml"], cwd=Path(__file__).parents[1],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pyproject.toml is no legal JSON")
    assert "Traceback" not in done.stderr
