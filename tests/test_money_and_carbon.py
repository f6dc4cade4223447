"""Walls 17 and 18 by hand: power, energy, carbon, water and cost of a fleet of round numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim.errors import MissingFact, OutOfDomain, UnknownName
from mlsysim.solvers.workload import default

CHIP = (
    "Chip; fp16 = 100 TFLOP/s; memory = 100 GB; bandwidth = 1 TB/s; tdp = 500 W; embodied_carbon = 100 kg; "
    "price = 10000 USD"
)
SITE = (
    "S; grid = {G; carbon_intensity = 400 g/kWh; basis = direct}; pue = 1.2; wue = 1.5 L/kWh; "
    "electricity_price = 0.1 USD/kWh"
)
NODE = f"N; devices = 2; nics = 2; power = 2000 W; busy_power = 1500 W; idle_power = 450 W; device = {{{CHIP}}}"
FABRIC = "X; topology = fat-tree; bandwidth = 50 GB/s"
FLEET = f"F; nodes = 4; node = {{{NODE}}}; fabric = {{{FABRIC}}}; site = {{{SITE}}}"
PLAIN = FLEET.replace("power = 2000 W; busy_power = 1500 W; idle_power = 450 W; ", "")
YEAR, DAY = 8760 * 3600.0, 86400.0
FREE = {"facility": 0, "staff": 0, "maintenance": 0, "network": 0, "server": 0}


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12)


# ---------------------------------------------------------------- power


def test_power_is_the_measured_draw() -> None:
    full = m.power(FLEET)
    assert (full.it_kw, full.facility_kw, full.idle_kw, full.nameplate_kw) == (
        close(6),
        close(7.2),
        close(1.8),
        close(8),
    )
    assert m.power(FLEET, utilisation=0).it_kw == close(1.8)
    assert m.power(FLEET, utilisation=0.5).it_kw == close(3.9)
    assert m.power(FLEET, datacenter=SITE.replace("1.2", "1.5")).facility_kw == close(9)


def test_power_without_a_measurement_is_tdp_and_the_host() -> None:
    got = m.power(PLAIN)
    assert got.it_kw == close(4 * 2 * 500 * default("host_power_factor") / 1000)
    assert got.idle_kw == close(got.it_kw * default("idle_share"))
    with pytest.raises(MissingFact, match="Chip has no tdp on record"):
        m.power(PLAIN.replace("tdp = 500 W; ", ""))


# ---------------------------------------------------------------- carbon and water


def test_carbon_and_water_of_thirty_days() -> None:
    got = m.sustainability(FLEET, days=30 * DAY, mfu=0.4)
    it = 6 * 24 * 30  # kW x h at the measured load
    assert got.it_energy_kwh == close(it)
    assert got.total_energy_kwh == close(it * 1.2)
    assert got.carbon_footprint_kg == close(it * 1.2 * 0.4)
    assert got.water_usage_liters == close(it * 1.5)  # WUE is per kWh of IT energy
    assert got.embodied_carbon_kg == close(8 * 100 * 30 / 1095)  # spread over three years
    assert got.total_carbon_kg == close(got.carbon_footprint_kg + got.embodied_carbon_kg)
    assert got.pue == 1.2


def test_idle_machines_draw_power_too() -> None:
    energies = [m.sustainability(FLEET, days=DAY, mfu=u).it_energy_kwh for u in (0, 0.1, 0.4, 1)]
    assert energies == [close(24 * kw) for kw in (1.8, 1.8 + 4.2 * 0.5, 6, 6)]


def test_embodied_carbon_is_charged_once() -> None:
    def embodied(days: float, **options: Any) -> float:
        return float(m.sustainability(FLEET, days=days * DAY, **options).embodied_carbon_kg)

    assert embodied(1095) == embodied(3650) == close(800)
    assert embodied(365, life_years=5 * YEAR) == close(160)
    assert embodied(1095, embodied_carbon=50) == close(400)
    unknown = m.sustainability(FLEET.replace("embodied_carbon = 100 kg; ", ""), days=DAY)
    assert math.isnan(unknown.embodied_carbon_kg)
    assert math.isnan(unknown.total_carbon_kg)


def test_a_site_without_wue_has_unknown_water() -> None:
    dry = m.sustainability(FLEET.replace("wue = 1.5 L/kWh; ", ""), days=DAY)
    assert math.isnan(dry.water_usage_liters)


def test_the_region_matters() -> None:
    clean, dirty = (m.sustainability(FLEET, days=DAY, datacenter=s) for s in ("Quebec", "Poland"))
    assert dirty.carbon_footprint_kg > 10 * clean.carbon_footprint_kg
    own = m.sustainability(FLEET, days=DAY)
    assert clean.carbon_footprint_kg < own.carbon_footprint_kg
    homeless = FLEET.replace(f"; site = {{{SITE}}}", "")
    assert m.sustainability(homeless, days=DAY) == m.sustainability(homeless, days=DAY, datacenter="US_Avg")
    with pytest.raises(UnknownName, match=r"sites has no 'Quebeck'; did you mean .*Quebec"):
        m.sustainability(FLEET, days=DAY, datacenter="Quebeck")


# ---------------------------------------------------------------- money


def test_a_year_of_ownership() -> None:
    options = {"server": 0.5, "network": 0.2, "facility": 150, "staff": 600, "maintenance": 0.05, "residual_share": 0.1}
    got = m.tco(FLEET, days=365 * DAY, mfu=0.4, usd_per_kwh=0.2 / 3.6e6, life_years=4 * YEAR, **options)
    bought = 8 * 10_000 * 1.5 * 1.2  # the network is a share of the servers
    energy = 6 * 8760 * 1.2
    assert got.purchase_usd == close(bought)
    assert got.capex_usd == close(bought * 0.9 / 4)
    assert got.total_energy_kwh == close(energy)
    assert got.opex_energy_usd == close(energy * 0.2)
    assert got.opex_maintenance_usd == close(bought * 0.05)
    assert got.opex_facility_usd == close(8 * 150 * 12)  # the nameplate is what a landlord bills
    assert got.opex_staff_usd == close(8 * 600)
    assert got.total_opex_usd == close(energy * 0.2 + bought * 0.05 + 8 * 150 * 12 + 8 * 600)
    assert got.tco_usd == close(got.capex_usd + got.total_opex_usd)
    assert got.usd_per_gpu_hour * 3600 == close(got.tco_usd / (8 * 8760))
    green = m.sustainability(FLEET, days=365 * DAY, mfu=0.4, life_years=4 * YEAR)
    assert got.carbon_footprint_kg == green.carbon_footprint_kg
    assert (got.pue, got.water_usage_liters) == (green.pue, green.water_usage_liters)


def test_blank_shares_are_the_sourced_defaults() -> None:
    names = {"server": "server_share", "network": "network_share", "facility": "facility_cost", "staff": "staff_cost"}
    told = {k: default(v) for k, v in names.items()} | {"maintenance": default("maintenance")}
    assert m.tco(FLEET) == m.tco(FLEET, **told)


def test_running_costs_grow_with_time_and_depreciation_stops_at_the_end_of_life() -> None:
    three, ten = (m.tco(FLEET, days=y * 365 * DAY) for y in (3, 10))
    assert three.capex_usd == ten.capex_usd == close(three.purchase_usd)
    assert ten.total_opex_usd == close(three.total_opex_usd * 10 / 3)
    half = m.tco(FLEET, days=1.5 * 365 * DAY)
    assert half.capex_usd == close(three.capex_usd / 2)


def test_the_hourly_price_counts_paid_hours_only() -> None:
    busy, slack = (m.tco(FLEET, utilisation=u) for u in (1.0, 0.5))
    assert slack.usd_per_gpu_hour == close(2 * busy.usd_per_gpu_hour)
    assert slack.tco_usd == busy.tco_usd
    one, two = (m.tco(FLEET, days=y * 365 * DAY, life_years=5 * YEAR).usd_per_gpu_hour for y in (1, 2))
    assert one == close(two)


def test_the_tariff_is_the_argument_or_the_sites_and_never_a_stand_in() -> None:
    def paid(fleet: str, **options: Any) -> float:
        got = m.tco(fleet, **options)
        return float(got.opex_energy_usd / got.total_energy_kwh)

    assert paid(FLEET) == close(0.1)
    assert paid(FLEET, usd_per_kwh=0.3 / 3.6e6) == close(0.3)
    assert paid(FLEET, usd_per_kwh=0) == 0
    with pytest.raises(MissingFact, match="S has no electricity_price on record"):
        paid(FLEET.replace("; electricity_price = 0.1 USD/kWh", ""))


def test_a_device_without_a_price_is_refused() -> None:
    unpriced = FLEET.replace("; price = 10000 USD", "")
    with pytest.raises(MissingFact, match="Chip has no price on record; give usd_per_device"):
        m.tco(unpriced)
    assert m.tco(unpriced, usd_per_device=5000, **FREE).purchase_usd == close(40_000)
    assert m.tco(FLEET, usd_per_device=5000, **FREE).purchase_usd == close(40_000)


def test_a_server_with_a_price_of_its_own() -> None:
    priced = FLEET.replace("devices = 2;", "devices = 2; price = 30000 USD;")
    assert m.tco(priced, network=0.1).purchase_usd == close(4 * 30_000 * 1.1)
    assert m.tco(priced, usd_per_device=1000, server=0, network=0).purchase_usd == close(8000)
    with pytest.raises(OutOfDomain, match="server is part of the price of N"):
        m.tco(priced, server=0.3)


def test_a_rack_sold_as_one_device_counts_its_accelerators() -> None:
    rack = FLEET.replace("memory = 100 GB;", "memory = 100 GB; devices = 72;")
    plain, racked = m.tco(FLEET, **FREE), m.tco(rack, **FREE)
    assert racked.purchase_usd == plain.purchase_usd  # the price is the rack's
    assert racked.usd_per_gpu_hour == close(plain.usd_per_gpu_hour / 72)
    assert m.sustainability(rack, days=DAY) == m.sustainability(FLEET, days=DAY)


@pytest.mark.parametrize("solver", [m.tco, m.sustainability, m.power])
def test_a_larger_fleet_costs_in_proportion(solver: Any) -> None:
    required = {"days": DAY} if solver is m.sustainability else {}
    once, twice = (solver(FLEET.replace("nodes = 4", f"nodes = {n}"), **required) for n in (4, 8))
    for name, value in vars(once).items():
        factor = 1 if name in ("pue", "usd_per_gpu_hour") else 2
        np.testing.assert_allclose(getattr(twice, name), factor * value, rtol=1e-12)
