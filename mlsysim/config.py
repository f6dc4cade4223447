"""A `Model` from the ``config.json`` of a Hugging Face checkpoint: a local file; nothing is downloaded.

Here are the file and the model; `architectures` has a reader per ``model_type``, which turns the
fields into a `Shape` that counts its parameters.  What no reader knows is refused, and so is a field
that is missing, of the wrong type or out of range.

Counted is what the network computes with: every matrix, bias and norm, a tied embedding once.  Left
out are vision towers (the text part only), heads that predict further tokens, and the scales of a
quantized file: a ``quantization_config`` is noted in the title, the format is the `precision` that
the solvers are given.
"""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .architectures import NESTED, READERS, SILENT
from .configfields import Fields
from .errors import MissingFact, OutOfDomain, UnknownName
from .registry import Fact, Source, from_spec
from .shape import Shape
from .things import Model

LARGEST_FILE = 10_000_000  # bytes; a config.json has a few thousand


def from_config(path: str | Path, name: str = "") -> Model:
    """The model that a ``config.json`` describes.

    Parameters
    ----------
    path : str or Path
        The file, or the folder that holds it.
    name : str, optional
        The model's key; the name of the folder (or of a file that has another name) by default.

    Returns
    -------
    Model
        With every fact sourced to the file.  ``spec(model)`` is a text that a cell can hold.
        `active_params` of a mixture of experts is everything but the routed experts that a token
        leaves out; the embedding table is in it, as it is in the `params` of a dense model, because
        the solvers count 2 FLOP per parameter of either.  (Some cards leave the table out: the
        3.6 billion of gpt-oss-20b are 4.2 billion here.)

    Raises
    ------
    UnknownName, MissingFact, OutOfDomain
        No such file or architecture; a field that is missing; a value of the wrong type or size.
    """
    if not isinstance(name, str):
        raise OutOfDomain(f"name must be text, got {name!r}")
    file = _file(path)
    data = _json(file)
    kind, fields = _decoder(data, file.name)
    config = Fields(fields, kind, file.name, SILENT.get(data["model_type"], {}))
    for word in ("is_encoder_decoder", "add_cross_attention"):
        if config.flag(word, False):
            raise OutOfDomain(f"{file.name}: {word} is true, but encoder-decoders are not modelled")
    shape = READERS[kind](config)
    config.refuse_foreign()
    return _model(shape, config, name or _name(file, kind), file, _remarks(data, file.name))


# ------------------------------------------------------------------ the file


def _file(path: Any) -> Path:
    if not isinstance(path, str | Path) or not str(path).strip():
        raise OutOfDomain(f"path must be the path of a config.json or of its folder, got {path!r}")
    try:
        file = Path(path).expanduser().resolve()
        file = file / "config.json" if file.is_dir() else file
        size = file.stat().st_size if file.is_file() else None
    except (OSError, RuntimeError, ValueError) as error:
        raise UnknownName(f"cannot look up {str(path)[:200]!r}: {error}") from None
    if size is None:
        raise UnknownName(f"there is no file {str(file)!r}; give a config.json or the folder that holds it")
    if size > LARGEST_FILE:
        raise OutOfDomain(f"{file.name} is no config.json: it has {size} bytes")
    return file


def _json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text("utf-8-sig"), object_pairs_hook=_once)
    except OSError as error:
        raise UnknownName(f"cannot read {file.name}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise OutOfDomain(f"{file.name} is no legal JSON: {error}") from None
    if not isinstance(data, dict):
        raise OutOfDomain(f"{file.name} must hold one JSON object with the fields of a model")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError("a field is given twice")
    return data


def _kind(data: dict[str, Any], where: str) -> str:
    kind = data.get("model_type")
    if kind is None:
        raise MissingFact(f"{where}: model_type is missing; legal are {', '.join(legal_types())}")
    if not isinstance(kind, str) or kind not in legal_types():
        raise UnknownName(f"{where}: no reader for model_type {str(kind)[:60]!r}; legal are {', '.join(legal_types())}")
    return kind


def _decoder(data: dict[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """The architecture and its fields, which a multimodal model has one level down."""
    outer = _kind(data, where)
    if outer not in NESTED:
        return outer, data
    kind, inner = NESTED[outer], data.get("text_config")
    if not isinstance(inner, dict):
        raise MissingFact(
            f"{where}: text_config, an object with the fields of the decoder, is missing; a {outer} needs it"
        )
    if inner.get("model_type", kind) != kind:
        raise OutOfDomain(
            f"{where}: the text_config of a {outer} must be a {kind}, got {str(inner['model_type'])[:60]!r}"
        )
    return kind, {"tie_word_embeddings": data.get("tie_word_embeddings")} | inner


def legal_types() -> list[str]:
    """Every ``model_type`` that can be read."""
    return sorted([*READERS, *NESTED])


def _name(file: Path, kind: str) -> str:
    cached = [part.rpartition("--")[2] for part in file.parts if part.startswith("models--")]  # the hub's cache
    return cached[-1] if cached else (file.parent.name if file.name == "config.json" else file.stem) or kind


def _remarks(data: dict[str, Any], where: str) -> list[str]:
    """What the counts leave out, for the title."""
    remarks = ["text part"] if data.get("vision_config") else []
    given = data.get("quantization_config")
    if given is None:
        return remarks
    if not isinstance(given, dict):
        raise OutOfDomain(f"{where}: quantization_config must be an object, got {str(given)[:60]!r}")
    return [*remarks, f"stored quantized: {str(given.get('quant_method', 'method not named'))[:40]}"]


# ------------------------------------------------------------------ the model


def _model(shape: Shape, config: Fields, name: str, file: Path, remarks: list[str]) -> Model:
    """Through spec text, so that the registry's reader judges every value and the text says all of it."""
    key = re.sub(r"[^\w.+-]+", "_", name).strip("_.+-") or config.kind  # a cell must not take it for a formula
    values = {n: v for n, v in shape.facts().items() if v is not None}
    text = "; ".join([key, *(f"{n} = {v}" for n, v in values.items())])
    source = Source(f"config.json of {key} ({file.name})", "user", file.as_uri(), date.today())
    facts = {}
    for field, value in values.items():
        note = COUNTED.get(field, "")
        if config.silent(WRITTEN.get(field, "")):
            note = f"not in the file; the default of {config.kind} in Transformers"
        elif not note and value not in config.found:
            note = f"follows from other fields, or is the default of {config.kind} in Transformers"
        facts[field] = Fact(str(value), source, "derived" if note else "user", note)
    title = f"{key} ({', '.join([config.kind, *remarks])})"
    return dataclasses.replace(from_spec(Model, text), title=title, facts=MappingProxyType(facts))


WRITTEN = {
    "vocab": "vocab_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "context": "max_position_embeddings",
}
COUNTED = {
    "params": "counted from the shape: every matrix, bias and norm, a tied embedding once",
    "active_params": "all but the routed experts that a token leaves out; the embedding table is included",
    "expert_params": "all routed experts of all layers",
    "moe_layers": "layers with routed experts",
    "window_layers": "layers whose attention sees a window only",
    "family": "follows from model_type",
    "unit": "follows from model_type",
    "sequence": "the longest that the position table allows; give your own in a spec text",
}
