"""Walls 17 and 18: energy, carbon, water and cost of a fleet over a number of days."""

from __future__ import annotations

import numpy as np

from ..catalogue import solver
from ..equations.economics import activity_power, carbon
from ..equations.economics import gpu_hour as cost_per_hour
from ..errors import MissingFact, OutOfDomain
from ..record import Result, record
from ..things import DEFAULTS, Fleet, Node, Site
from ..units import (
    HOURS_PER_YEAR,
    Carbon,
    Days,
    EnergyPrice,
    Fraction,
    HourlyPrice,
    KilowattHours,
    Kilowatts,
    Money,
    Option,
    Overhead,
    Pue,
    Real,
    Share,
    UnitPrice,
    Volume,
    Years,
)
from .workload import default

KWH = 3.6e6
KW = 1000.0
YEAR = HOURS_PER_YEAR * 3600.0
MONTHS = 12
DEFAULT_SITE = "US_Avg"


def busy_power(node: Node) -> float:
    """AC power of a node under load [W]: measured where on record, else device TDP x the platform's factor."""
    if node.busy_power is not None:
        return float(node.busy_power)
    own = f"host_power_factor_{node.device.generation}"
    hosts = default(own if own in DEFAULTS else "host_power_factor")
    if node.device.devices is not None:
        hosts = 1.0  # a rack's figure has its hosts
    return float(node.device.need("tdp")) * float(node.devices) * hosts


def contracted_power(node: Node) -> float:
    """Power that a landlord bills [W]: the nameplate where on record, else the busy draw."""
    return busy_power(node) if node.power is None else float(node.power)


def idle_share(node: Node) -> float:
    """Idle power as a share of the busy draw."""
    if node.idle_power is not None:
        return float(node.idle_power) / busy_power(node)
    return default("idle_share")


def site_of(fleet: Fleet, datacenter: Site | str | None) -> Site:
    """The site named, else the fleet's own, else the documented default."""
    if datacenter is not None:
        return Site.of(datacenter)
    return fleet.site if fleet.site is not None else Site.of(DEFAULT_SITE)


def accelerators(fleet: Fleet) -> float:
    """Accelerators in a fleet; a rack sold as one device counts those inside."""
    return float(fleet.nodes) * float(fleet.node.devices) * float(fleet.node.device.devices or 1)


@record
class PowerResult(Result):
    """Power of a fleet: IT equipment, and the whole site with its overhead."""

    it_kw: Kilowatts
    facility_kw: Kilowatts
    idle_kw: Kilowatts
    nameplate_kw: Kilowatts


@solver("barroso2018", group="Planning")
def power(fleet: Fleet | str, *, utilisation: Share = 1, datacenter: Option[Site | str | None] = None) -> PowerResult:
    """Power of a fleet at a share of time under load; the measured busy draw, not the nameplate."""
    fleet = Fleet.of(fleet)
    busy = busy_power(fleet.node) * float(fleet.nodes)
    idle = busy * idle_share(fleet.node)
    drawn = idle + (busy - idle) * utilisation
    label = np.nan if fleet.node.power is None else float(fleet.node.power) * float(fleet.nodes)
    return PowerResult(
        it_kw=drawn / KW,
        facility_kw=drawn * float(site_of(fleet, datacenter).pue) / KW,
        idle_kw=idle / KW + 0.0 * drawn,
        nameplate_kw=label / KW + 0.0 * drawn,
    )


@record
class SustainabilityResult(Result):
    """Energy, carbon and water of a fleet over a period."""

    carbon_footprint_kg: Carbon
    total_energy_kwh: KilowattHours
    it_energy_kwh: KilowattHours
    water_usage_liters: Volume
    pue: Pue
    embodied_carbon_kg: Carbon
    total_carbon_kg: Carbon  # unknown where the embodied part is


@solver("patterson2021", "greengrid-wue", "gupta2022", group="Operations", wall=18)
def sustainability(
    fleet: Fleet | str,
    *,
    days: Days,
    datacenter: Site | str | None = None,
    mfu: Share = 0.4,
    life_years: Option[Years] = 3 * YEAR,
    embodied_carbon: Option[Carbon | None] = None,
) -> SustainabilityResult:
    """Energy at the measured node power, operational and embodied carbon, and water.

    Water follows the definition of WUE, litres per kWh of *IT* energy.  Embodied carbon of the accelerators is
    spread over their life and stands apart, because it is on record for few devices: the headline is operational.
    """
    fleet = Fleet.of(fleet)
    site = site_of(fleet, datacenter)
    node = fleet.node
    draw = activity_power(busy_power=busy_power(node), idle_share=idle_share(node), mfu=mfu) * float(fleet.nodes)
    energy = draw * days
    operational = carbon(energy=energy, pue=site.pue, intensity=site.grid.carbon_intensity)
    each = node.device.embodied_carbon if embodied_carbon is None else embodied_carbon
    made = float(fleet.nodes) * float(node.devices)  # devices as they are sold; a rack is one
    embodied = np.nan if each is None else each * made * np.minimum(1.0, days / life_years)
    water = np.nan if site.wue is None else float(site.wue)
    return SustainabilityResult(
        carbon_footprint_kg=operational,
        total_energy_kwh=energy * float(site.pue) / KWH,
        it_energy_kwh=energy / KWH,
        water_usage_liters=energy * water,
        pue=float(site.pue) + 0.0 * energy,
        embodied_carbon_kg=embodied + 0.0 * energy,
        total_carbon_kg=operational + embodied,
    )


@record
class EconomicsResult(Result):
    """Cost of a fleet over a period: depreciation plus running costs, undiscounted and before tax."""

    tco_usd: Money
    capex_usd: Money  # depreciation charged to the period
    total_opex_usd: Money
    opex_energy_usd: Money
    opex_maintenance_usd: Money
    opex_facility_usd: Money
    opex_staff_usd: Money
    carbon_footprint_kg: Carbon
    usd_per_gpu_hour: HourlyPrice
    purchase_usd: Money
    total_energy_kwh: KilowattHours
    water_usage_liters: Volume
    pue: Pue


@solver("barroso2018", "cottier2024", group="Operations", wall=17)
def tco(
    fleet: Fleet | str,
    *,
    days: Days = 365 * 86400.0,
    datacenter: Site | str | None = None,
    mfu: Share = 0.4,
    usd_per_kwh: EnergyPrice | None = None,
    life_years: Years = 3 * YEAR,
    usd_per_device: Option[UnitPrice | None] = None,
    server: Option[Overhead | None] = None,
    network: Option[Overhead | None] = None,
    facility: Option[Money | None] = None,
    staff: Option[Money | None] = None,
    maintenance: Option[Share | None] = None,
    residual_share: Option[Share] = 0,
    utilisation: Option[Fraction] = 1.0,
) -> EconomicsResult:
    """Total cost of ownership of a fleet: a quick estimate that the workbook's TCO sheet itemises.

    purchase = server price x (1 + network share), where a server without a price of its own costs its devices
    x (1 + server share); depreciation is straight-line and stops at the end of life.  No price: refused.
    """
    fleet = Fleet.of(fleet)
    site, n = site_of(fleet, datacenter), accelerators(fleet)
    green = sustainability(fleet, days=days, datacenter=site, mfu=mfu, life_years=life_years)
    bought = _purchase(fleet, usd_per_device, server, _given(network, "network_share"))
    tariff = site.need("electricity_price") if usd_per_kwh is None else usd_per_kwh
    years = days / YEAR
    contracted_kw = contracted_power(fleet.node) * float(fleet.nodes) / KW
    capex = bought * (1 - residual_share) * np.minimum(1.0, days / life_years)
    energy = green.total_energy_kwh * KWH * tariff
    upkeep = bought * _given(maintenance, "maintenance") * years
    room = contracted_kw * _given(facility, "facility_cost") * MONTHS * years
    people = n * _given(staff, "staff_cost") * years
    opex = energy + upkeep + room + people
    total = capex + opex
    return EconomicsResult(
        tco_usd=total,
        capex_usd=capex,
        total_opex_usd=opex,
        opex_energy_usd=energy,
        opex_maintenance_usd=upkeep,
        opex_facility_usd=room,
        opex_staff_usd=people,
        carbon_footprint_kg=green.carbon_footprint_kg,
        usd_per_gpu_hour=cost_per_hour(annual_cost=total / years, devices=n, utilisation=utilisation),
        purchase_usd=bought + 0.0 * total,
        total_energy_kwh=green.total_energy_kwh,
        water_usage_liters=green.water_usage_liters,
        pue=green.pue,
    )


def _given(value: Real | None, name: str) -> Real:
    return default(name) if value is None else value


def _purchase(fleet: Fleet, usd_per_device: Real | None, server: Real | None, network: Real) -> Real:
    """Purchase price of the fleet, from a price given, the node's price, or the device's."""
    node, count = fleet.node, float(fleet.nodes)
    if usd_per_device is None and node.price is not None:
        if server is not None:
            raise OutOfDomain(
                f"tco: server is part of the price of {node.key}; give usd_per_device with it, or neither"
            )
        return float(node.price) * count * (1 + network)
    each = node.device.price if usd_per_device is None else usd_per_device
    if each is None:
        raise MissingFact(
            f"{node.device.key} has no price on record; give usd_per_device, "
            f"or a spec text '{node.device.key}; base = {node.device.key}; price = <number> USD'"
        )
    share = (
        0.0 if server is None and node.device.devices is not None else _given(server, "server_share")
    )  # a rack is whole
    return each * float(node.devices) * (1 + share) * count * (1 + network)
