"""Servers, fabrics, fleets, grids, sites, prices and defaults: every row loads, is plausible and cites a document."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlsysim.registry import DATA, Registry, sources
from mlsysim.things import COMPONENTS, DEFAULTS, FABRICS, FLEETS, GRIDS, NODES, PRICES, RACKS, SITES, STORAGE
from mlsysim.units import SYMBOLS, read

KWH = 3.6e6
OURS: tuple[Registry[Any], ...] = (NODES, FABRICS, FLEETS, STORAGE, RACKS, COMPONENTS, GRIDS, SITES, PRICES, DEFAULTS)
LIBRARY = {  # keys of the library behind the cheat sheet
    NODES.name: "DGX_A100 DGX_B200 DGX_H100 GrandTeton_H100 HGX_H100_EPYC Kempner_H100_4GPU Server_8x_MI300X "
    "Workstation_M3Max",
    FABRICS.name: "Ethernet_100G Ethernet_10G Ethernet_1P6T Ethernet_400G Ethernet_800G InfiniBand_EDR "
    "InfiniBand_GXDR InfiniBand_HDR InfiniBand_NDR InfiniBand_NDR_Oversub2to1 InfiniBand_NDR_Oversub4to1 "
    "InfiniBand_XDR RoCE_100G RoCE_400G",
    FLEETS.name: "DgxH100SuperPodSU Frontier_8K Kempner_H100_384 Lab_64_A100 Lab_64_H100 Mega_100K "
    "Meta_GenAI_H100_24K_IB Meta_GenAI_H100_24K_RoCE Meta_Llama3_16K_H100 Meta_RSC_A100_16K Production_2K "
    "Reference_25K_H100 Research_256 Training_10K Training_1K Training_1K_A100 Training_1K_B200 Training_512_H100",
    GRIDS.name: "China_Avg EU_Avg France Germany Iceland India_Avg Iowa Norway Poland Quebec Texas US_Avg",
    SITES.name: "EU_Average France_Nuclear Iowa_Reference Norway_Hydro Poland_Coal Quebec_Hydro US_Hyperscale",
    RACKS.name: "AI_High AI_Standard Traditional DGX_H100_4Node",
    COMPONENTS.name: "Cable DgxNodeComposite Gpu Hbm Nic PcieSwitch Psu TorSwitch",
}


def rows(file: str) -> dict[str, Any]:
    return tomllib.loads((DATA / file).read_text("utf-8"))


@pytest.mark.parametrize("registry", OURS, ids=lambda r: r.name)
def test_every_row_loads_and_every_fact_has_a_document(registry: Registry[Any]) -> None:
    assert len(registry) > 3
    for key in registry:
        thing = registry[key]
        assert thing.key == key
        assert thing.title
        assert thing.facts
        for fact in thing.facts.values():
            assert fact.source.title
            assert fact.source.url.startswith("http")
            assert 2005 <= fact.source.as_of.year <= 2026


@pytest.mark.parametrize("registry", [r for r in OURS if r.name in LIBRARY], ids=lambda r: r.name)
def test_the_library_s_keys_are_all_here(registry: Registry[Any]) -> None:
    assert not set(LIBRARY[registry.name].split()) - set(registry)


def cited(file: str) -> set[str]:
    def walk(row: Any) -> Iterator[str]:
        for name, value in row.items():
            if name == "source":
                yield value
            elif isinstance(value, dict):
                yield from walk(value)

    return set(walk(rows(file)))


@pytest.mark.parametrize("listed", ["finance", "systems"])
def test_no_document_is_listed_in_vain(listed: str) -> None:
    files = ("prices.toml", "defaults.toml", "efficiency.toml", "systems.toml", "infra.toml")
    used = set().union(*(cited(f) for f in files))
    assert set(rows(f"sources/{listed}.toml")) <= used
    assert used <= set(sources())


# ------------------------------------------------------------------ servers and fleets


@pytest.mark.parametrize("key", list(rows("systems.toml")["node"]))
def test_a_server_draws_no_more_than_its_nameplate_and_links_as_its_device(key: str) -> None:
    node = NODES[key]
    if node.power is not None and node.busy_power is not None:
        assert 0.3 * node.power <= node.busy_power <= node.power
    if node.busy_power is not None and node.idle_power is not None and node.device.tdp is not None:
        assert 0.1 <= node.idle_power / node.busy_power <= 0.5
        if node.devices > 1:
            assert 1.1 <= node.busy_power / (node.devices * node.device.tdp) <= 1.6
    if node.link is not None and node.device.link is not None:
        assert node.link == node.device.link  # per direction in both files


def test_hand_picked_servers() -> None:
    dgx = NODES["DGX H100"]
    assert (dgx.device.key, dgx.devices, dgx.nics, dgx.psus) == ("H100", 8, 8, 6)
    assert (dgx.link, dgx.power, dgx.busy_power) == (450e9, 10_200, 6849)
    assert NODES["DGX_B200"].power == 14_300
    assert NODES["DGX_B200"].link == 900e9
    assert NODES["DGX_A100"].link == 300e9
    assert NODES["DGX_A100"].power == 6500
    assert NODES["Server_8x_MI300X"].device.key == "MI300X"


def test_hand_picked_fabrics_and_fleets() -> None:
    assert FABRICS["InfiniBand_NDR"].bandwidth == 50e9 == FABRICS["RoCE_400G"].bandwidth
    assert FABRICS["InfiniBand_HDR"].bandwidth == 25e9
    assert FABRICS["InfiniBand_NDR_Oversub4to1"].oversubscription == 4
    research = FLEETS["Research_256"]
    assert (research.node.key, research.nodes, research.fabric.key) == ("DGX_H100", 32, "Ethernet_100G")
    sizes = {"Research_256": 256, "Frontier_8K": 8192, "Production_2K": 2048, "Mega_100K": 100_000}
    sizes |= {"Meta_Llama3_16K_H100": 16_384, "Meta_RSC_A100_16K": 16_000, "Kempner_H100_384": 384}
    for key, gpus in sizes.items():
        assert FLEETS[key].nodes * FLEETS[key].node.devices == gpus


def test_storage_racks_and_parts_are_plausible() -> None:
    for tier in STORAGE.values():
        assert 0.05e9 <= tier.bandwidth <= 2e12
    assert STORAGE["LocalNvmeGen4x4"].bandwidth == 4 * STORAGE["LocalNvmeGen4"].bandwidth
    for rack in RACKS.values():
        assert 5e3 <= rack.power <= 200e3
    for part in COMPONENTS.values():
        assert 1000 * 3600 <= part.mttf <= 1e6 * 3600
    assert COMPONENTS["DgxNodeComposite"].mttf == pytest.approx(24 / 6.5e-3 * 3600, rel=1e-3)
    assert COMPONENTS["Llama3_node"].mttf == pytest.approx(16_384 / 8 * 54 * 86_400 / 419, rel=1e-3)


# ------------------------------------------------------------------ grids and sites


def test_grids_state_their_basis_and_compare_on_one() -> None:
    for key, grid in GRIDS.items():
        assert grid.basis == ("direct" if key.endswith("_direct") else "life cycle")
        assert 0.1 <= grid.carbon_intensity * 1000 * KWH <= 1000
    for key in (k.removesuffix("_direct") for k in GRIDS if k.endswith("_direct")):
        assert GRIDS[f"{key}_direct"].carbon_intensity < GRIDS[key].carbon_intensity


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("US_Avg", 360, 420),
        ("US_Avg_direct", 360, 372),
        ("Quebec", 20, 45),
        ("Quebec_direct", 0.2, 2),
        ("Poland", 560, 670),
        ("Norway", 20, 35),
        ("France", 30, 60),
        ("Germany", 330, 390),
        ("Iceland", 25, 30),
        ("China_Avg", 470, 590),
        ("India_Avg", 590, 720),
        ("Iowa", 400, 520),
        ("Texas", 350, 420),
    ],
)
def test_hand_picked_grids(key: str, low: float, high: float) -> None:
    assert low <= GRIDS[key].carbon_intensity * 1000 * KWH <= high


def test_poland_is_no_coal_plant() -> None:
    assert GRIDS["Coal_plant"].carbon_intensity * 1000 * KWH == pytest.approx(820)
    assert SITES["Poland_Coal"].grid.key == "Poland"


def test_sites_are_plausible() -> None:
    for key in GRIDS:
        if not key.endswith("_direct") and key != "Coal_plant":
            assert SITES[key].grid.key == key
    for site in SITES.values():
        assert 1.03 <= site.pue <= 1.7
        assert site.wue is not None
        assert 0 <= site.wue * KWH <= 2
        if site.electricity_price is not None:
            assert 0.03 <= site.electricity_price * KWH <= 0.35


def test_a_tariff_is_read_in_a_document_or_left_out() -> None:
    priced = {key: site.facts["electricity_price"] for key, site in SITES.items() if site.electricity_price is not None}
    assert len({SITES[key].grid.key for key in priced}) >= 25
    assert {key for key, fact in priced.items() if fact.kind == "estimate"} == {"Quebec", "Quebec_Hydro", "Quebec_new"}
    for key, fact in priced.items():
        assert "not confirmed" not in fact.note, key
        assert fact.kind != "derived" or " per " in fact.note or "mean" in fact.note, key  # an exchange rate, or a mean


# ------------------------------------------------------------------ prices and defaults


def test_one_purchase_price_per_item() -> None:
    per_item = Counter(p.item for p in PRICES.values() if p.basis == "purchase")
    assert set(per_item.values()) == {1}
    assert {"A100", "H100", "H200", "B200", "MI300X", "V100", "T4", "GB200_NVL72", "DGX_Spark"} <= set(per_item)


def test_prices_are_plausible() -> None:
    ranges = {"purchase": (1e3, 5e6), "server": (5e4, 1e6), "api_input": (0.01, 10)}
    for price in PRICES.values():
        low, high = ranges.get(price.basis, (1e-4, 1e6 * 5))
        assert low <= price.amount <= high, price.key
        if price.basis.startswith(("on_demand", "reserved", "spot")):
            assert price.terms
            assert 0.1 <= price.amount <= 20, price.key


def test_servers_that_are_priced_exist() -> None:
    for price in PRICES.values():
        if price.basis == "server":
            assert price.item in NODES


@pytest.mark.parametrize("item", ["H100", "H200", "B200", "MI300X", "A100"])
def test_dearer_siblings_are_dearer(item: str) -> None:
    assert PRICES[f"{item}_purchase"].amount < PRICES[f"{item}_purchase_high"].amount
    assert any(p.item == item and p.basis == "on_demand" for p in PRICES.values())


def test_hand_picked_prices() -> None:
    assert 25_000 <= PRICES["H100_purchase"].amount <= 30_000
    assert PRICES["H100_purchase"].facts["amount"].kind == "estimate"
    assert PRICES["DGX_H100_server_list"].amount == 833_806
    assert PRICES["H100_reserved_3y_aws_2025"].amount * 8 == pytest.approx(53.945)
    assert PRICES["Llama3_70B_api_output"].amount == 0.32
    assert PRICES["Llama3_70B_api_output_high"].amount == 0.38


@pytest.mark.parametrize(
    ("key", "amount"),
    [
        ("DGX_H100_server", 250_141.8),
        ("DGX_H200_server", 277_897.75),
        ("DGX_B200_server", 338_495.75),
        ("DGX_B300_server", 461_567.5),
    ],
)
def test_servers_are_priced_by_their_vendor_in_2026(key: str, amount: float) -> None:
    row = PRICES[key]
    assert row.amount == amount < PRICES[f"{key}_high"].amount
    assert row.facts["amount"].kind == "price-list"
    assert row.facts["amount"].source.as_of.isoformat() == "2026-01-15"


def test_the_price_of_the_mi300x_server_is_called_an_estimate() -> None:
    low, base = PRICES["Server_8x_MI300X_server_low"], PRICES["Server_8x_MI300X_server"]
    assert low.amount == 198_500 < base.amount == 275_840
    assert base.facts["amount"].kind == "estimate"


@pytest.mark.parametrize("key", list(rows("defaults.toml")))
def test_a_default_lies_within_its_spread_and_its_unit_can_be_read(key: str) -> None:
    row = DEFAULTS[key]
    assert row.unit
    if row.low is not None and row.high is not None:
        assert row.low <= row.value <= row.high
    if row.unit == "share":
        assert row.value <= 1
    spelled = [base for base, symbols in SYMBOLS.items() if row.unit in symbols]
    for base in spelled:
        assert float(read(f"{row.value!r} {row.unit}", base)) > 0


def test_defaults_that_code_asks_for_with_a_unit() -> None:
    units = {"life": "years", "wue": "L/kWh"}
    units |= dict.fromkeys(("dispatch", "collective_latency_node", "collective_latency_fabric"), "us")
    for key, unit in units.items():
        assert DEFAULTS[key].unit == unit


def test_host_factor_is_the_measured_ratio() -> None:
    row = DEFAULTS["host_power_factor"]
    assert row.low == pytest.approx(6849 / 5600, abs=0.005)
    assert row.value == pytest.approx((6849 + 7145) / 2 / 5600, abs=0.005)


@pytest.mark.parametrize("prefix", ["accuracy_bits_", "accuracy_sparsity_", "accuracy_structured_"])
def test_accuracy_falls_as_compression_grows(prefix: str) -> None:
    points = sorted((float(k.removeprefix(prefix)), DEFAULTS[k].value) for k in DEFAULTS if k.startswith(prefix))
    losses = [loss for _, loss in points]
    assert len(losses) >= 3
    assert losses == sorted(losses, reverse=prefix == "accuracy_bits_")


def test_every_data_file_of_this_test_is_utf8_and_without_tabs() -> None:
    for file in ("systems.toml", "infra.toml", "prices.toml", "defaults.toml"):
        text = (Path(DATA) / file).read_text("utf-8")
        assert "\t" not in text
        assert text.endswith("\n")
