"""Closed forms of published cost models: instalments, break-even, lost work, depreciation of a run, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import OutOfDomain

HOUR = 3600.0


def exactly(value: float) -> Any:
    return pytest.approx(value, rel=1e-12)


def test_instalments_repay_what_was_lent() -> None:
    """The balance after the last payment is the residual; without interest it is division; a tiny rate is no cliff."""
    for rate, periods, left in ((0.05 / 12, 36, 0.0), (0.1, 5, 20_000.0), (1.0, 1200, 7.0), (1e-9, 37, 5.0)):
        payment, balance = m.annuity(price=100_000, periods=periods, rate=rate, residual_value=left), 100_000.0
        if rate * periods < 10:  # else rounding grows with the balance
            for _ in range(periods):
                balance = balance * (1 + rate) - payment
            assert balance == pytest.approx(left, abs=1e-6)
        else:
            assert payment == pytest.approx(100_000 * rate, rel=1e-12)
    assert m.annuity(price=100_000, periods=36, rate=0, residual_value=10_000) == exactly(2500)
    assert m.annuity(price=1, periods=36, rate=1e-13) == pytest.approx(1 / 36, rel=1e-11)
    assert m.levelised_cost(present_cost=1e6, annual_output=500, periods=4, rate=0) == exactly(500)


def test_break_even_is_where_both_cost_the_same() -> None:
    hours = m.breakeven_hours(price=1e6, rental=20 / HOUR, running=2 / HOUR)
    assert 1e6 + hours * 2 / HOUR == exactly(hours * 20 / HOUR)
    use = m.breakeven_utilisation(annual_cost=1e5, devices=8, rental=4 / HOUR, running=1 / HOUR)
    assert 1e5 + use * 8 * 8760 * 1 == exactly(use * 8 * 8760 * 4)
    for rental in (2.0, 1.9):
        with pytest.raises(OutOfDomain, match="breakeven_hours: rental must be above running"):
            m.breakeven_hours(price=1e6, rental=rental / HOUR, running=2 / HOUR)
    with pytest.raises(OutOfDomain, match="got 1 against 2 USD/h"):
        m.breakeven_utilisation(annual_cost=1, devices=1, rental=np.array([3, 1]) / HOUR, running=2 / HOUR)


def test_lost_work_without_and_with_spares() -> None:
    lost = {"failures": 2, "usd_per_device_hour": 3 / HOUR, "devices": 100, "recovery_time": 900, "interval": HOUR}
    assert m.failure_cost(**lost) == exactly(2 * 3 * 100 * 0.75)
    cold = m.failure_cost(**lost, repair_time=2 * HOUR, waiting=100)
    hot = m.failure_cost(**lost, repair_time=2 * HOUR, waiting=8)
    assert (cold, hot) == (exactly(2 * 3 * 275), exactly(2 * 3 * (75 + 16)))


def test_a_run_uses_up_the_slope_of_the_value() -> None:
    """Over a short run the loss is the difference of two resale values."""
    decline, hours = 1 - 10**-0.14, 10 * HOUR
    lost = 30_000 - m.residual(price=30_000, age=hours, annual_decline=decline)
    assert m.run_depreciation(value=30_000, device_hours=hours) == pytest.approx(lost, rel=1e-3)
