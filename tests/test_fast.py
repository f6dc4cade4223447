"""Compiled answers against the solvers themselves: the same figures bit for bit, the same refusals, one source."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matrix import MISSING, arguments_of

import mlsysim
from mlsysim import CATALOGUE, MlsysError
from mlsysim.catalogue import Entry
from mlsysim.fast import OFTEN, Fast
from mlsysim.tables import is_table
from mlsysim.trace import NotTraceable, Retry, Tape, Traced, compiled
from udfs import FUNCTIONS
from udfs.arguments import excel_params, number, words_of
from udfs.cells import is_blank
from udfs.examples import examples

# What must not fall back to the solver, for it is asked most often.
BLOCK = 1 << 15  # the largest
COMPILED = {
    "roofline", "serving", "kvcache", "memory", "throughput", "tco", "power", "sustainability", "token_price",
    "kv_size", "roofline_time", "ironlaw", "allreduce", "gpu_hour", "carbon",
}  # fmt: skip


def given_of(entry: Entry) -> dict[str, Any] | None:
    """The arguments of the printed example, in base units; None of a function whose example takes tables."""
    params = excel_params(entry)
    cells = [None if c == MISSING else c for c in arguments_of(examples()[entry.excel])]
    cells += [None] * (len(params) - len(cells))
    if is_table(entry) or any(isinstance(c, (list, dict)) for c in cells):
        return None
    given, _ = words_of(entry, params, {p.name: c for p, c in zip(params, cells, strict=True) if p.unit is None})
    for param, cell in zip(params, cells, strict=True):
        if param.unit is not None and not is_blank(cell):
            given[param.name] = number(entry, param, cell)
    return given


EXAMPLES = {e.name: g for e in CATALOGUE.values() if (g := given_of(e)) is not None}


def changed(entry: Entry, given: dict[str, Any], rng: np.random.Generator, size: int | None = None) -> dict[str, Any]:
    """The same words with other numbers, most of them legal."""
    out = dict(given)
    for param in entry.params:
        if param.unit is not None and isinstance(out.get(param.name), float):
            value = out[param.name] * np.exp(rng.uniform(-1.0, 1.0, size))
            value = np.maximum(np.round(value), 1.0) if param.unit.whole else value
            out[param.name] = float(value) if size is None else np.asarray(value, dtype=np.float64)
    return out


def outcome(call: Callable[..., Any], given: dict[str, Any]) -> Any:
    try:
        return call(**given)
    except MlsysError as error:
        return str(error)


def alike(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if hasattr(a, "__dict__") and not isinstance(a, type):
        return vars(a).keys() == vars(b).keys() and all(alike(v, vars(b)[n]) for n, v in vars(a).items())
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return bool(a == b) or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


@pytest.fixture
def solver(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, Any]], Any]:
    """The answer without compiled code."""

    def answer(name: str, given: dict[str, Any]) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(Fast, "call", lambda self, given: None)
            return outcome(CATALOGUE[name].call, given)

    return answer


@pytest.mark.parametrize("name", EXAMPLES)
def test_numbers_of_any_size(name: str, solver: Callable[..., Any]) -> None:
    entry, rng = CATALOGUE[name], np.random.default_rng(5)
    for _ in range(OFTEN + 1):
        outcome(entry.call, EXAMPLES[name])
    for _ in range(25):
        given = changed(entry, EXAMPLES[name], rng)
        assert alike(outcome(entry.call, given), solver(name, given)), given


@pytest.mark.parametrize("name", EXAMPLES)
def test_columns(name: str, solver: Callable[..., Any]) -> None:
    """Also columns longer than a block, mixed with single numbers, and with an illegal element."""
    entry, rng = CATALOGUE[name], np.random.default_rng(6)
    numbers = [p.name for p in entry.params if p.unit is not None and p.name in EXAMPLES[name]]
    if not numbers:
        return
    for size in (3, 200, 200, 200, 200):
        given = changed(entry, EXAMPLES[name], rng, size)
        if size == 3:  # one of the arguments as a column, the others single
            given = EXAMPLES[name] | {numbers[0]: given[numbers[0]]}
        assert alike(outcome(entry.call, given), solver(name, given)), given
    if name in COMPILED:
        whole = EXAMPLES[name] | {numbers[0]: np.full(BLOCK + 5, EXAMPLES[name][numbers[0]])}
        for _ in range(OFTEN):
            outcome(entry.call, whole)
        assert alike(outcome(entry.call, whole), solver(name, whole))
        whole[numbers[0]][BLOCK + 2] = math.nan
        assert alike(outcome(entry.call, whole), solver(name, whole))


@pytest.mark.parametrize("name", sorted(COMPILED))
def test_what_is_asked_most_is_compiled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few calls the solver is not asked again."""
    entry = CATALOGUE[name]
    for _ in range(OFTEN + 1):
        entry.call(**EXAMPLES[name])
    monkeypatch.setattr(Fast, "learn", None)
    entry.call(**EXAMPLES[name])  # would call `learn`


def test_words_are_still_judged() -> None:
    """A wrong word is refused as often as it comes, and never learnt."""
    for _ in range(OFTEN + 3):
        with pytest.raises(MlsysError, match="precision has no"):
            mlsysim.roofline("Llama3_8B", "H100", precision="fp17")
        with pytest.raises(MlsysError, match="stack must be one of"):
            mlsysim.roofline("Llama3_8B", "H100", stack="none")
        with pytest.raises(MlsysError, match="batch must be a whole number"):
            mlsysim.roofline("Llama3_8B", "H100", batch=1.5)


def test_an_own_thing_is_not_mistaken_for_another() -> None:
    """Things count by identity, and the compiled answer keeps them alive."""
    from mlsysim.things import Device

    for price in (1, 2, 3):
        for memory in (80, 160):
            chip = Device.of(f"Mine; base = H100; memory = {memory} GB; price = {price} USD")
            for _ in range(OFTEN + 2):
                got = mlsysim.memory("Llama3_8B", chip)
            assert got.usable == mlsysim.memory("Llama3_8B", chip, batch=np.array([1.0, 1.0])).usable[0]


def test_guards_and_what_cannot_be_written_down() -> None:
    def trace(solve: Callable[..., Any], *numbers: float) -> Callable[..., dict[str, Any]]:
        tape = Tape()
        names = [f"x{i}" for i in range(len(numbers))]
        for _ in names:
            tape.lines.append(("argument", ()))
        out = solve(*(Traced(tape, i, n) for i, n in enumerate(numbers)))
        return compiled(tape, names, {"": out}, columns=False)

    code = trace(lambda x, y: x + y if np.all(x > 0) else x - y, 1.0, 2.0)
    assert code(3.0, 4.0) == {"": 7.0}
    with pytest.raises(Retry):
        code(-3.0, 4.0)
    code = trace(lambda x, y: np.where(x > y, x / y, np.maximum(y, np.nan)), 2.0, 1.0)
    assert code(8.0, 2.0) == {"": 4.0}
    assert math.isnan(code(1.0, 2.0)[""])
    code = trace(lambda x, y: np.minimum(x, y) ** 2 % 3 + ~(x > y) * 10.0, 2.0, 1.0)
    assert code(5.0, 4.0)[""] == 4.0**2 % 3
    assert code(4.0, 5.0)[""] == 4.0**2 % 3 + 10.0
    for solve in (lambda x: float(x), lambda x: {x: 1}, lambda x: np.sort(x), lambda x: (x > 1) + (x > 2)):
        with pytest.raises(NotTraceable):
            trace(solve, 1.0)


def test_cells_of_a_sheet_answer_alike() -> None:
    """A cell asked again and again answers the same, whatever stands between."""
    first = FUNCTIONS["MLS_SERVING"]("Llama3_8B", "H100", 2048.0, "itl", 8.0)
    for n in range(OFTEN + 3):
        assert FUNCTIONS["MLS_SERVING"]("Llama3_8B", "H100", 2048.0, "itl", 8.0) == first
        FUNCTIONS["MLS_SERVING"]("Llama3_8B", "H100", 2048.0, "itl", float(n + 1))
