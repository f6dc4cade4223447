"""Closed forms behind published cost calculations: instalments, break-even, server-years, clusters, training runs.

Each argument of a published model is an argument here, so that another publication is another set of numbers.
"""

import numpy as np

from ..catalogue import equation
from ..errors import OutOfDomain
from ..units import (
    HOURS_PER_YEAR,
    Count,
    DeviceHours,
    Duration,
    Electricity,
    EnergyPrice,
    Fraction,
    HourlyPrice,
    HourlyRent,
    Hours,
    Interval,
    Money,
    Periods,
    Power,
    Pue,
    Quantity,
    Ratio,
    Real,
    Share,
    SitePower,
    Throughput,
    TokenPrice,
    Tokens,
    Years,
)
from .twin import twin

YEAR = HOURS_PER_YEAR * 3600  # seconds

# The factor of an annuity loses its digits where rate x periods is small; a series takes over there.
_SMALL = "(1+{rate}*({periods}+1)/2+{rate}^2*({periods}^2-1)/12)/{periods}"
_USUAL = "{rate}/(1-(1+{rate})^(-{periods}))"
_REPAID, _INTEREST = "({price}-{residual_value})", "{residual_value}*{rate}"


@equation("hamilton2010", "short1995", group="Equations")
@twin(f"IF({{rate}}*{{periods}}<0.001,{_REPAID}*{_SMALL}+{_INTEREST},{_REPAID}*{_USUAL}+{_INTEREST})")
def annuity(*, price: Money, periods: Periods, rate: Share, residual_value: Money = 0.0) -> Money:
    """Equal payment at the end of each period that repays a price with interest, as PMT; rate is for one period.

    Examples
    --------
    >>> round(annuity(price=100_000, periods=36, rate=0.05 / 12), 2)
    2997.09
    """
    some = np.where(rate > 0, rate, 1.0)  # any figure where the formula is not used
    factor = np.where(rate > 0, some / -np.expm1(-periods * np.log1p(some)), 1 / periods)
    return (price - residual_value) * factor + residual_value * rate


@equation("short1995", group="Equations")
@twin(
    f"IF({{rate}}*{{periods}}<0.001,{{present_cost}}*{_SMALL},{{present_cost}}*{_USUAL})/{{annual_output}}".join("()")
)
def levelised_cost(*, present_cost: Money, annual_output: Quantity, periods: Periods, rate: Share) -> Money:
    """Price of one unit of a constant yearly output that repays the present value of all costs; periods are years.

    Examples
    --------
    >>> round(levelised_cost(present_cost=1e6, annual_output=70_080, periods=4, rate=0.08), 4)
    4.3082
    """
    return annuity(price=present_cost, periods=periods, rate=rate) / annual_output


@equation("barroso2018", group="Equations")
def straight_line(*, price: Money, life: Years, residual_value: Money = 0.0) -> Money:
    """Straight-line depreciation of one year, as SLN.

    Examples
    --------
    >>> round(straight_line(price=40_000, life=3 * 8760 * 3600))
    13333
    """
    return (price - residual_value) / life * YEAR


@equation("fin-lenovo-lp2225", group="Equations")
@twin("IF({rental}>{running},{price}/({rental}-{running}),NA())")
def breakeven_hours(*, price: Money, rental: HourlyRent, running: HourlyPrice) -> DeviceHours:
    """Hours of use after which owning costs less than renting; undiscounted. Renting must cost more than running.

    Examples
    --------
    >>> round(breakeven_hours(price=833_806, rental=98.32 / 3600, running=0.87 / 3600) / 3600)
    8556
    """
    _refuse_cheap_rent(rental, running, "breakeven_hours")
    return price / (rental - running)


@equation("fin-lenovo-lp2225", group="Equations")
@twin(f"IF({{rental}}>{{running}},{{annual_cost}}/({{devices}}*{HOURS_PER_YEAR}*({{rental}}-{{running}})),NA())")
def breakeven_utilisation(
    *, annual_cost: Money, devices: Count, rental: HourlyRent, running: HourlyPrice = 0.0
) -> Ratio:
    """Share of the year in use at which owning costs as much as renting by the hour; above 1 it never does.

    Examples
    --------
    >>> breakeven_utilisation(annual_cost=8760 * 8 * 2, devices=8, rental=4 / 3600)
    0.5
    """
    _refuse_cheap_rent(rental, running, "breakeven_utilisation")
    return annual_cost / (devices * YEAR * (rental - running))


@equation("fin-lenovo-lp2225", group="Equations")
def rental_cost(*, device_hours: DeviceHours, rental: HourlyRent, devices_per_instance: Count = 1) -> Money:
    """Cost of device-hours that are rented by the instance.

    Examples
    --------
    >>> round(rental_cost(device_hours=39.3e6 * 3600, rental=98.32 / 3600, devices_per_instance=8))
    482997000
    """
    return device_hours * rental / devices_per_instance


@equation("nvidia-inference-tco", group="Equations")
def server_year(
    *, price: Money, life: Years, software: Money = 0.0, licences: Count = 1, hosting: Money = 0.0
) -> Money:
    """Yearly cost of a server: straight-line depreciation, software and hosting.

    Examples
    --------
    >>> round(server_year(price=320_000, life=4 * 8760 * 3600, software=4500, licences=8, hosting=3000))
    119000
    """
    return price / life * YEAR + software * licences + hosting


@equation("nvidia-inference-tco", group="Equations")
def request_cost(*, annual_cost: Money, requests_per_s: Throughput, utilisation: Fraction = 1.0) -> Money:
    """Cost of one request (prompt and answer) from the yearly cost of what serves it.

    Examples
    --------
    >>> round(1000 * request_cost(annual_cost=87_500, requests_per_s=10), 4)
    0.2775
    """
    return annual_cost / (requests_per_s * utilisation * YEAR)


@equation("nvidia-inference-tco", group="Equations")
def input_token_price(
    *, usd_per_request: Money, input_tokens: Tokens, output_tokens: Tokens, price_ratio: Quantity = 3
) -> TokenPrice:
    """Price of input tokens that, with output tokens at `price_ratio` times as much, pays for a request.

    Examples
    --------
    >>> round(1e6 * input_token_price(usd_per_request=0.001, input_tokens=1000, output_tokens=333.333), 3)
    0.5
    """
    return usd_per_request / (input_tokens + price_ratio * output_tokens)


@equation("fin-semianalysis-gpu-cluster-cost", group="Equations")
def cluster_month(
    *,
    accelerators: Money,
    storage: Money = 0.0,
    network: Money = 0.0,
    cpu: Money = 0.0,
    support: Share = 0.0,
    lost_work: Money = 0.0,
    setup: Money = 0.0,
    term: Periods = 36,
    debugging: Money = 0.0,
) -> Money:
    """Monthly cost of a rented cluster: the bill with its support uplift, lost work, setup over the term, debugging.

    Examples
    --------
    >>> round(cluster_month(accelerators=5_898_240, lost_work=202_015, setup=3_015_787, debugging=16_667))
    6200694
    """
    return (accelerators + storage + network + cpu) * (1 + support) + lost_work + setup / term + debugging


@equation("fin-semianalysis-gpu-cluster-cost", group="Equations")
def failure_cost(
    *,
    failures: Ratio,
    usd_per_device_hour: HourlyPrice,
    devices: Count,
    recovery_time: Duration,
    interval: Interval,
    repair_time: Interval = 0.0,
    waiting: Ratio = 0.0,
) -> Money:
    """Cost of the work that failures destroy: the job redoes half an interval and recovers, others wait for repair.

    `waiting` is the whole job without spares, the devices that one failure takes out with hot spares.

    Examples
    --------
    >>> round(failure_cost(failures=10, usd_per_device_hour=2 / 3600, devices=1000, recovery_time=900, interval=3600))
    15000
    """
    return failures * usd_per_device_hour * ((recovery_time + interval / 2) * devices + repair_time * waiting)


@equation("cottier2024", group="Equations")
def run_depreciation(*, value: Money, device_hours: DeviceHours, decline_oom: Share = 0.14) -> Money:
    """Value that a training run takes out of its hardware, whose value falls exponentially; use continuous.

    Examples
    --------
    >>> round(run_depreciation(value=30_000, device_hours=1e6 * 3600))
    1103979
    """
    return value * device_hours / YEAR * decline_oom * np.log(10)  # type: ignore[no-any-return]


@equation("patterson2021", group="Equations")
def electricity(*, power: Power, device_hours: DeviceHours, pue: Pue = 1.0, load_factor: Share = 1.0) -> Electricity:
    """Electricity of device-hours at an average share of a power, at the meter of the site.

    Examples
    --------
    >>> round(electricity(power=400, device_hours=1_022_362 * 3600, pue=1.1) / 3.6e9, 1)
    449.8
    """
    return power * load_factor * device_hours * pue


@equation("hamilton2010", group="Equations")
def electricity_cost(
    *, it_power: SitePower, hours: Hours, usd_per_kwh: EnergyPrice, pue: Pue = 1.0, load_factor: Share = 1.0
) -> Money:
    """Cost of the electricity of a site over a time.

    Examples
    --------
    >>> round(electricity_cost(it_power=8e6, hours=730 * 3600, usd_per_kwh=0.07 / 3.6e6, pue=1.45, load_factor=0.8))
    474208
    """
    return it_power * load_factor * hours * pue * usd_per_kwh


@equation("hamilton2010", group="Equations")
def burdened_power(*, facility_payment: Money, power_share: Share, electricity_bill: Money) -> Money:
    """Fully burdened cost of power: the bill and the part of the facility that distributes power and cools.

    Examples
    --------
    >>> round(burdened_power(facility_payment=500_000, power_share=0.8, electricity_bill=400_000))
    800000
    """
    return facility_payment * power_share + electricity_bill


def _refuse_cheap_rent(rental: Real, running: Real, name: str) -> None:
    bad = np.asarray(rental) <= np.asarray(running)
    if np.any(bad):
        rent, own = (float(np.broadcast_to(x, np.shape(bad))[bad].flat[0]) * 3600 for x in (rental, running))
        raise OutOfDomain(
            f"{name}: rental must be above running, or owning never pays; got {rent:g} against {own:g} USD/h"
        )
