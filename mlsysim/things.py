"""The kinds of thing that the registries hold, and the registries themselves.

A field that may be unknown is ``X | None``; `Thing.need` turns None into a refusal.  No field
is ever filled from another one: a chip without an fp8 rate has no fp8 rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from .errors import MissingFact, OutOfDomain, UnknownName
from .money_things import CURRENCIES as CURRENCIES
from .money_things import TAX_SCHEDULES as TAX_SCHEDULES
from .money_things import Currency as Currency
from .money_things import TaxSchedule as TaxSchedule
from .registry import Registry, Thing
from .units import (
    Bits,
    ByteRate,
    Bytes,
    Carbon,
    CarbonIntensity,
    Count,
    EnergyPrice,
    Factor,
    FlopRate,
    Flops,
    Hours,
    Latency,
    LinkLatency,
    Money,
    Params,
    Power,
    Pue,
    Quantity,
    Ratio,
    Share,
    Tokens,
    WaterIntensity,
)


@dataclass(frozen=True, kw_only=True)
class Precision(Thing):
    """A number format: bits of a stored weight, the arithmetic datapath, and the KV format."""

    weight_bits: Bits  # including scales and zero points
    compute: str  # the Device field that holds its rate
    kv_bits: Bits
    weight_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Device(Thing):
    """An accelerator or processor; rates are dense, links are per direction."""

    supersedes: ClassVar[Mapping[str, tuple[str, ...]]] = {"memory": ("usable",)}
    year: Quantity | None = None
    generation: str | None = None  # of silicon, as its designer calls it: ampere, hopper, cdna3, tpu, mcu, ...
    memory: Bytes  # as the data sheet prints it
    usable: Bytes | None = None  # as the driver reports it
    bandwidth: ByteRate
    memory_class: str | None = None  # hbm, gddr, lpddr, ddr, sram, flash
    tdp: Power | None = None
    fp64: FlopRate | None = None
    fp32: FlopRate | None = None
    tf32: FlopRate | None = None
    bf16: FlopRate | None = None
    fp16: FlopRate | None = None
    fp16_accumulate: FlopRate | None = None  # fp16 with sums in fp16, where that is faster
    fp8: FlopRate | None = None
    int8: FlopRate | None = None
    fp6: FlopRate | None = None
    fp4: FlopRate | None = None
    int4: FlopRate | None = None
    structured_sparsity: bool | None = None  # 2:4 in hardware
    link: ByteRate | None = None  # scale-up, per direction, all lanes of one device
    scale_up: Count | None = None  # devices that such links join, where it is not the usual board of eight
    host_link: ByteRate | None = None  # PCIe or C2C, per direction
    sram: Bytes | None = None
    sram_bandwidth: ByteRate | None = None
    flash: Bytes | None = None
    flash_bandwidth: ByteRate | None = None
    storage_bandwidth: ByteRate | None = None
    devices: Count | None = None  # accelerators inside, for a rack sold as one
    dispatch: Latency | None = None  # time to launch one inference
    embodied_carbon: Carbon | None = None
    price: Money | None = None

    def rate(self, datapath: str) -> float:
        """Dense peak rate [FLOP/s] of a datapath; refused where the chip lacks it."""
        if datapath not in DATAPATHS:
            raise UnknownName(f"no datapath called {datapath!r}; legal are {', '.join(DATAPATHS)}")
        value: float | None = getattr(self, datapath)
        if value is None:
            own = [p for p in DATAPATHS if getattr(self, p) is not None]
            advice = "; weight-only formats such as w8a16 or w4a16 need no such datapath" if _narrow(datapath) else ""
            raise MissingFact(f"{self.key} has no {datapath} rate on record, only {', '.join(own) or 'none'}{advice}")
        return value

    @property
    def capacity(self) -> float:
        """Bytes that a program can allocate: the driver's figure, else the data sheet's."""
        return self.memory if self.usable is None else self.usable  # type: ignore[return-value]


DATAPATHS = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp6", "fp4", "int4")


def _narrow(datapath: str) -> bool:
    return datapath in ("fp8", "int8", "fp6", "fp4", "int4")


@dataclass(frozen=True, kw_only=True)
class Model(Thing):
    """A neural network.  `flops` is the forward work of one `unit`; transformers derive it from their shape."""

    supersedes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "sequence": ("flops",),
        "params": ("active_params", "expert_params"),
    }
    family: str  # one of FAMILIES
    unit: str  # what one inference produces, one of UNITS
    params: Params
    active_params: Params | None = None  # per token, for mixtures of experts
    flops: Flops | None = None
    layers: Count | None = None
    hidden: Count | None = None
    heads: Count | None = None
    kv_heads: Count | None = None
    head_dim: Count | None = None  # where it is not hidden / heads
    ffn: Count | None = None
    vocab: Count | None = None
    context: Tokens | None = None  # longest supported, tokens
    sequence: Tokens | None = None  # tokens of one sequence, where `unit` is a sequence
    experts: Count | None = None
    experts_per_token: Count | None = None  # routed
    moe_layers: Count | None = None
    expert_params: Params | None = None  # all routed experts together
    kv_lora_rank: Count | None = None  # multi-head latent attention: compressed KV width
    rope_dim: Count | None = None  # and its decoupled positional width
    window: Tokens | None = None  # sliding-window attention
    window_layers: Count | None = None  # layers that use it
    state: Bytes | None = None  # recurrent state of one sequence
    steps: Count | None = None  # denoising steps of one image
    touched: Bytes | None = None  # weight bytes read by one inference, where it is not all of them
    activations: Bytes | None = (
        None  # stored by the forward pass of one unit at 2 bytes a value, where no shape gives them
    )

    def __post_init__(self) -> None:
        """Refuse unknown words, and facts that contradict each other."""
        for word, name, legal in ((self.family, "family", FAMILIES), (self.unit, "unit", UNITS)):
            if word not in legal:
                raise OutOfDomain(f"{self.key}: {name} must be one of {', '.join(legal)}, got {word!r}")
        for needs, name in (("diffusion", "steps"), ("sequence", "sequence")):
            if needs in (self.family, self.unit) and getattr(self, name) is None:
                raise MissingFact(
                    f"{self.key}: {name} is needed where family or unit is {needs}; give {name} = <number>"
                )
        for part, whole in PARTS_OF_A_MODEL:
            a, b = getattr(self, part), getattr(self, whole)
            if a is not None and b is not None and a > b:
                raise OutOfDomain(
                    f"{self.key}: {part} = {a:g} must not exceed {whole} = {b:g}; give both in a spec text"
                )


FAMILIES = ("transformer", "moe", "cnn", "ssm", "diffusion", "recommendation")
UNITS = ("token", "sequence", "image", "step", "query", "window")
PARTS_OF_A_MODEL = (
    ("active_params", "params"),
    ("expert_params", "params"),
    ("experts_per_token", "experts"),
    ("moe_layers", "layers"),
    ("window_layers", "layers"),
    ("kv_heads", "heads"),
)


@dataclass(frozen=True, kw_only=True)
class Node(Thing):
    """A server: devices, the links between them, and what it draws."""

    supersedes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "device": ("link", "power", "busy_power", "idle_power", "price"),
        "devices": ("power", "busy_power", "idle_power", "price"),
    }
    device: Device
    devices: Count
    link: ByteRate | None = None  # scale-up, per device and direction; else the device's own
    link_latency: LinkLatency | None = None
    nics: Count | None = None  # scale-out ports
    psus: Count | None = None
    power: Power | None = None  # nameplate maximum, AC
    busy_power: Power | None = None  # measured under a training or serving load, AC
    idle_power: Power | None = None
    host_memory: Bytes | None = None
    price: Money | None = None

    def __post_init__(self) -> None:
        """Refuse an idle draw above the busy one."""
        if self.idle_power is not None and self.busy_power is not None and self.idle_power > self.busy_power:
            raise OutOfDomain(f"{self.key}: idle_power must not exceed busy_power")


@dataclass(frozen=True, kw_only=True)
class Fabric(Thing):
    """The network between nodes; bandwidth is of one port, per direction."""

    topology: str
    bandwidth: ByteRate
    latency: LinkLatency | None = None
    oversubscription: Factor | None = None  # blank: a non-blocking fabric, 1


@dataclass(frozen=True, kw_only=True)
class Grid(Thing):
    """An electricity grid."""

    carbon_intensity: CarbonIntensity
    basis: str  # direct or life cycle
    renewable: Share | None = None


@dataclass(frozen=True, kw_only=True)
class Site(Thing):
    """A data centre: its grid, its overheads and its tariff.  Water is per kWh of IT energy."""

    grid: Grid
    pue: Pue
    wue: WaterIntensity | None = None
    electricity_price: EnergyPrice | None = None


@dataclass(frozen=True, kw_only=True)
class Fleet(Thing):
    """Equal nodes on one fabric."""

    node: Node
    nodes: Count
    fabric: Fabric
    site: Site | None = None


@dataclass(frozen=True, kw_only=True)
class Storage(Thing):
    """A storage tier as one node sees it."""

    bandwidth: ByteRate
    capacity: Bytes | None = None
    iops: Quantity | None = None
    latency: Latency | None = None
    media: str | None = None
    devices: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Rack(Thing):
    """A rack and the power that it may draw."""

    power: Power
    cooling: str | None = None
    nodes: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Component(Thing):
    """A part that fails."""

    mttf: Hours
    failure_mode: str | None = None


@dataclass(frozen=True, kw_only=True)
class Price(Thing):
    """A dated price; kept apart from specifications because prices age."""

    item: str  # key of what is priced, in any registry
    basis: str  # one of money_things.BASES, of which an item has one row each, or one with a suffix: on_demand_aws
    amount: Money  # in USD per unit of the basis
    terms: str | None = None  # on demand, 1 year reserved, ...


@dataclass(frozen=True, kw_only=True)
class Default(Thing):
    """A judgement constant: a visible default of some argument, with its spread and its source."""

    value: Ratio
    low: Ratio | None = None
    high: Ratio | None = None
    unit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Efficiency(Thing):
    """What kernels reach of a device: the row with most selectors that hold answers; blank selectors always hold."""

    regime: str  # decode, prefill, training, attention, image, image_training, tiny, or any
    stack: str | None = None  # one of STACKS
    generation: str | None = None  # of the device
    datapath: str | None = None  # bits of the arithmetic: 16 (and wider), 8, 4
    weights: str | None = None  # wide, or narrow: unpacked from fewer than 8 bits
    memory_class: str | None = None
    compute: Share | None = None  # share of the dense peak
    bandwidth: Share | None = None  # share of the data sheet's bandwidth
    layer_overhead: Latency | None = None  # launch and scheduling of one layer in one pass
    floor: Latency | None = None  # shortest step of the host's program
    traffic: Ratio | None = None  # how often each activation of an image model is written or read
    judged: str | None = None  # "yes" where measured rows judge it


STACKS = ("tuned", "framework", "llamacpp")


@dataclass(frozen=True, kw_only=True)
class Band(Thing):
    """Spread of measured over predicted in one regime: 10th and 90th percentile, and what it rests on."""

    low: Ratio
    high: Ratio
    rows: Count
    sources: Count
    chips: str  # generation/memory class of the chips that the rows cover, separated by spaces


@dataclass(frozen=True, kw_only=True)
class Accuracy(Thing):
    """How far this version is off published measurements of one kind; errors as fractions of the measured figure."""

    category: str
    rows: Count | None = None  # judged
    sources: Count | None = None
    skipped: Count | None = None  # rows that no public call can express
    median: Ratio | None = None  # absolute error
    by_source: Ratio | None = None  # mean over sources of their medians
    p90: Ratio | None = None
    banded: Count | None = None  # rows whose prediction has a range
    coverage: Share | None = None  # of them inside
    arithmetic: str | None = None  # "yes" where the answer follows from a row's own inputs, so that no model is judged


@dataclass(frozen=True, kw_only=True)
class Wall(Thing):
    """One of the 22 walls of the cheat sheet, in its words."""

    number: Count
    one_liner: str


WALLS = Registry("walls", Wall, "walls.toml")
EFFICIENCY = Registry("efficiency", Efficiency, "efficiency.toml")
BANDS = Registry("bands", Band, "bands.toml")
ACCURACY = Registry("accuracy", Accuracy, "accuracy.toml")
PRECISIONS = Registry("precision", Precision, "precisions.toml")
PRICES = Registry("prices", Price, "prices.toml")
HARDWARE = Registry("hardware", Device, "hardware.toml")
MODELS = Registry("models", Model, "models.toml")
NODES = Registry("nodes", Node, "systems.toml", "node")
FABRICS = Registry("fabrics", Fabric, "systems.toml", "fabric")
FLEETS = Registry("fleets", Fleet, "systems.toml", "fleet")
STORAGE = Registry("storage", Storage, "systems.toml", "storage")
RACKS = Registry("racks", Rack, "systems.toml", "rack")
COMPONENTS = Registry("components", Component, "systems.toml", "component")
GRIDS = Registry("grids", Grid, "infra.toml", "grid")
SITES = Registry("sites", Site, "infra.toml", "site")
DEFAULTS = Registry("defaults", Default, "defaults.toml")
