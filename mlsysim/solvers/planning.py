"""Above the walls: what a power budget carries, and what tokens cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from ..catalogue import solver
from ..equations.economics import token_cost
from ..errors import MissingFact, OutOfDomain
from ..record import Result, record
from ..things import NODES, Device, Model, Node, Precision, Site
from ..units import (
    Bytes,
    CampusPower,
    Count,
    Flag,
    Fraction,
    HourlyPrice,
    Kilowatts,
    Length,
    Money,
    Option,
    Pue,
    Rate,
    Real,
    Share,
    Throughput,
    TokenPrice,
    Validity,
)
from .bands import repeated
from .device import Stack, joined
from .operations import DEFAULT_SITE, KW, busy_power
from .serving import throughput
from .workload import default, refuse_unless

SLACK = 1 + 1e-12  # a quotient that is whole must not round down


def or_unknown(figure: Callable[[], Real]) -> Real:
    """NaN, which cells show as unknown, where a fact that the figure needs is not on record."""
    try:
        return figure()
    except MissingFact:
        return np.nan


def server(hardware: Device, node: Node | str | None) -> Node:
    """The server named, else the first on record with exactly this device, else a board of its usual size."""
    if node is not None:
        named = Node.of(node)
        if named.device != hardware:
            raise OutOfDomain(f"node {named.key} holds {named.device.key}, not {hardware.key}; name a node with it")
        return named
    for known in NODES.values():
        if known.device == hardware:
            return known
    alone = hardware.devices is not None or hardware.group not in ("", "Cloud")  # a rack, a desk, a phone
    size = 1.0 if alone else max(default("scale_up"), joined(hardware))  # a board holds more cards than a bridge joins
    title = f"{size:g}x {hardware.key}"
    return Node(key=title, title=title, device=hardware, devices=size)


@record
class PowerBudgetResult(Result):
    """Whole servers that a site can feed."""

    needs: ClassVar[dict[str, str]] = {
        "tokens_per_s": "give tokens_per_s_per_device in options, see MLS_THROUGHPUT",
        "devices_nameplate": "the server has no nameplate power on record; give node with power",
    }
    devices: Length
    nodes: Length
    node_kw: Kilowatts  # under load
    it_kw: Kilowatts
    facility_kw: Kilowatts
    spare_kw: Kilowatts  # left of the budget, at the meter of the site
    pue: Pue
    devices_nameplate: Length  # where the nameplate must be fed, not the measured draw
    tokens_per_s: Rate  # of all devices, where their speed is given


@solver("barroso2018", group="Planning")
def power_budget(
    megawatts: CampusPower,
    hardware: Device | str,
    *,
    datacenter: Site | str | None = None,
    node: Option[Node | str | None] = None,
    share: Option[Fraction] = 1.0,
    tokens_per_s_per_device: Option[Throughput | None] = None,
) -> PowerBudgetResult:
    """Devices that a power budget at the site's meter carries, in whole servers under load.

    Servers draw what `power` says: the measured busy figure, else TDP and host.  That is a mean: breakers and feeds
    that must carry every peak are sized by the nameplate, see devices_nameplate.  Switches and storage outside the
    servers are left out; `share` is the part of the budget that the servers may take.
    """
    hardware = Device.of(hardware)
    box = server(hardware, node)
    pue = float((Site.of(DEFAULT_SITE) if datacenter is None else Site.of(datacenter)).pue)
    room = megawatts * share / pue  # IT power [W]
    draw = busy_power(box)
    nodes = np.floor(room / draw * SLACK)
    each = float(box.devices) * float(hardware.devices or 1)
    label = np.nan if box.power is None else float(box.power)
    speed = np.nan if tokens_per_s_per_device is None else tokens_per_s_per_device
    return PowerBudgetResult(
        devices=nodes * each,
        nodes=nodes,
        node_kw=draw / KW + 0.0 * nodes,
        it_kw=nodes * draw / KW,
        facility_kw=nodes * draw * pue / KW,
        spare_kw=np.maximum(0.0, megawatts - nodes * draw * pue) / KW,
        pue=pue + 0.0 * nodes,
        devices_nameplate=np.floor(room / label * SLACK) * each,
        tokens_per_s=nodes * each * speed,
    )


# ------------------------------------------------------------------ what tokens cost


@record
class TokenPriceResult(Result):
    """Price of tokens from the cost of device time; all in USD per token of the kind named."""

    memory: ClassVar[str] = "total_memory_required"
    remedy: ClassVar[str] = "raise tp, lower batch or the lengths, or take a narrower precision"
    blended: TokenPrice  # over input and output tokens together
    input: TokenPrice
    output: TokenPrice
    output_only: TokenPrice  # all cost laid on generated tokens
    usd_per_request: Money
    prefill_share: Share  # of the device time, and so of the cost
    tokens_per_s_per_device: Rate
    batch: Count
    total_memory_required: Bytes
    feasible: Flag
    shortfall: Bytes
    blended_p10: TokenPrice
    blended_p90: TokenPrice
    blended_validity: Validity


@solver("nvidia-inference-tco", "pope2023", group="Planning")
def token_price(
    model: Model | str,
    hardware: Device | str,
    *,
    usd_per_device_hour: HourlyPrice,
    input_tokens: Count,
    output_tokens: Count,
    utilisation: Fraction = 1.0,
    precision: Precision | str = "fp16",
    tp: Count = 1,
    margin: Option[Share] = 0.0,
    batch: Option[Count | None] = None,
    kv_precision: Option[Precision | str | None] = None,
    efficiency: Option[Fraction | None] = None,
    stack: Option[Stack] = "tuned",
    reserve: Option[Share | None] = None,
) -> TokenPriceResult:
    """USD per million input, output and blended tokens from the throughput at full load and the price of device time.

    Input tokens pay for the device time spent in prefill, output tokens for that in decode; together they pay for all
    of it.  Idle time (1 - utilisation) is spread over both alike.  `margin` is the share of the price that is no cost.
    """
    refuse_unless(margin < 1, "token_price: margin must be below 1, a share of the price")
    got = throughput(
        model,
        hardware,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        batch=batch,
        precision=precision,
        tp=tp,
        kv_precision=kv_precision,
        efficiency=efficiency,
        stack=stack,
        reserve=reserve,
    )
    alone = token_cost(
        usd_per_device_hour=usd_per_device_hour,
        tokens_per_s_per_device=got.tokens_per_s_per_device,
        utilisation=utilisation,
    ) / (1 - margin)
    request = alone * output_tokens
    blended = request / (input_tokens + output_tokens)
    return TokenPriceResult(
        blended=blended,
        input=request * got.prefill_share / input_tokens,
        output=request * (1 - got.prefill_share) / output_tokens,
        output_only=alone,
        usd_per_request=request,
        prefill_share=got.prefill_share + 0.0 * request,
        tokens_per_s_per_device=got.tokens_per_s_per_device + 0.0 * request,
        batch=got.batch + 0.0 * request,
        total_memory_required=got.total_memory_required + 0.0 * request,
        feasible=np.logical_and(got.feasible, request >= 0),
        shortfall=got.shortfall + 0.0 * request,
        blended_p10=blended * got.tokens_per_s_per_device / got.tokens_per_s_per_device_p90,
        blended_p90=blended * got.tokens_per_s_per_device / got.tokens_per_s_per_device_p10,
        blended_validity=repeated(got.tokens_per_s_per_device_validity, request),
    )
