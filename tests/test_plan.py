"""The plan of a new workbook: what the command line asks for, and options that fit the memory of their device."""

from __future__ import annotations

from typing import Any

import pytest

from mlsysim import serving
from workbook.errors import WorkbookError
from workbook.plan import Plan, read_plan


def value(plan: Plan, name: str) -> Any:
    return next(i.figure.base for i in plan.inputs if i.name == name)


@pytest.mark.parametrize("hardware", [None, ["H100"], ["A100", "H100", "MI300X"], ["H200", "GB200"]])
@pytest.mark.parametrize("model", ["Llama3_8B", "Llama3_70B", "Llama3_405B"])
def test_options_fit(model: str, hardware: list[str] | None) -> None:
    """A replica holds its model and the requests in flight, and half of its accelerators do not."""
    plan = read_plan(model=model, hardware=hardware)
    lengths = {"seq_len": value(plan, "in_SeqLen"), "output_tokens": value(plan, "in_OutputTokens")}
    seen = 0
    for option in plan.options:
        if not option.device:
            continue

        def fits(tp: int, option: Any = option) -> bool:
            batch = value(plan, "in_Batch") * tp
            return serving(model, option.device, batch=batch, precision=option.precision, tp=tp, **lengths).feasible

        assert option.devices_per_server % option.tp == 0
        if not fits(option.tp):  # no server of eight holds it
            assert not fits(option.devices_per_server)
            continue
        seen += 1
        assert option.tp == 1 or not fits(option.tp // 2)
    assert seen or model == "Llama3_405B"


def test_a_precision_that_the_device_lacks_is_not_planned() -> None:
    plan = read_plan(hardware=["A100", "V100", "H100"])
    found = {o.device: o.precision for o in plan.options if o.device}
    assert found == {"A100": "int8", "V100": "fp16", "H100": "fp8"}


def test_training_has_no_tokens_from_an_api() -> None:
    for case in ("training", "both"):
        assert all("API" not in (o.financing, o.overflow) for o in read_plan(case=case).options)
    with pytest.raises(WorkbookError, match="case is one of serving, training, both, got 'inference'"):
        read_plan(case="inference")


def test_horizon_sets_the_columns() -> None:
    assert [read_plan(horizon=n).months for n in (1, 12, 13, 60, 61, 120)] == [12, 12, 24, 60, 72, 120]
    with pytest.raises(WorkbookError, match="horizon is 1 to 120 months, got 121"):
        read_plan(horizon=121)
    with pytest.raises(WorkbookError, match="a workbook has 1 to 8 options here, got 9"):
        read_plan(9)
