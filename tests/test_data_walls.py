"""Walls 8 to 10: supply of data, preparation of samples, bisection of networks; by hand and by brute force."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import mlsysim as m
from mlsysim import MissingFact, OutOfDomain, UnknownName
from mlsysim.solvers.workload import default
from udfs import FUNCTIONS

GB = 1e9
KINDS = ("fat_tree", "dragonfly", "ring", "torus_2d", "torus_3d", "hypercube", "full_mesh")


def close(value: Any, digits: float = 1e-12) -> Any:
    return pytest.approx(value, rel=digits)


# ---------------------------------------------------------------- wall 8


def test_storage_feeds_or_stalls() -> None:
    got = m.ingestion(demand=2 * GB, supply=8 * GB)
    assert (got.utilisation, got.stalled, got.margin, got.needed_supply) == (0.25, False, 6 * GB, 2 * GB)
    assert (got.accelerator_utilisation, str(got.bottleneck)) == (1, "storage")
    late = m.ingestion(demand=10 * GB, supply=8 * GB)
    assert (late.utilisation, late.stalled, late.margin, late.accelerator_utilisation) == (1.25, True, -2 * GB, 0.8)
    assert not m.ingestion(demand=8 * GB, supply=8 * GB).stalled
    assert m.ingestion(demand=0, supply=GB).utilisation == 0


def test_a_cache_and_a_network_stand_in_between() -> None:
    cached = m.ingestion(demand=10 * GB, supply=8 * GB, cache_hit=0.5)
    assert (cached.utilisation, cached.stalled, cached.needed_supply) == (0.625, False, 5 * GB)
    assert m.ingestion(demand=10 * GB, supply=8 * GB, cache_hit=1).utilisation == 0
    slow = m.ingestion(demand=10 * GB, supply=80 * GB, network_rate=5 * GB)
    assert (slow.utilisation, slow.stalled, str(slow.bottleneck)) == (2, True, "network")
    assert str(m.ingestion(demand=GB, supply=GB, network_rate=GB).bottleneck) == "storage"
    block = m.ingestion(demand=np.array([[1 * GB], [4 * GB]]), supply=2 * GB, network_rate=np.array([1 * GB, 9 * GB]))
    assert block.utilisation.tolist() == [[1, 0.5], [4, 2]]
    assert block.stalled.tolist() == [[False, False], [True, True]]
    assert block.bottleneck.tolist() == [[1, 0], [1, 0]]
    sheet = FUNCTIONS["MLS_INGESTION"]
    assert sheet(2.0, 8.0) == 0.25
    assert sheet(10.0, 8.0) == 1.25  # a stalled path is an answer, not a refusal
    assert sheet(10.0, 8.0, "margin") == -2
    assert sheet(2.0, 8.0, "bottleneck", "network_rate = 4; cache_hit = 0.5") == "network"


def test_unknown_storage_is_not_zero() -> None:
    with pytest.raises(MissingFact, match="H100 has no storage_bandwidth on record"):
        m.DataModel.solve(GB, "H100")
    with pytest.raises(MissingFact, match="C has no host_link on record"):
        m.DataModel.solve(GB, "C; memory = 1 GB; bandwidth = 1 TB/s; storage_bandwidth = 7 GB/s")
    got = m.DataModel().solve(workload_data_rate="21 GB/s", hardware="C; base = H100; storage_bandwidth = 7 GB/s")
    assert (got.utilisation, str(got.bottleneck)) == (close(3), "storage")
    narrow = m.DataModel.solve(GB, "C; base = H100; storage_bandwidth = 7 GB/s; host_link = 2 GB/s")
    assert (narrow.utilisation, str(narrow.bottleneck)) == (close(0.5), "network")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, "1e9 FLOP/s", "fast", True])
def test_ingestion_refuses_by_name(bad: Any) -> None:
    good = {"demand": GB, "supply": GB, "cache_hit": 0.1, "network_rate": GB}
    for name in good:
        with pytest.raises(OutOfDomain, match=name):
            m.ingestion(**good | {name: bad})
    for name, value in (("supply", 0), ("network_rate", 0), ("cache_hit", 1.1)):
        with pytest.raises(OutOfDomain, match=name):
            m.ingestion(**good | {name: value})


# ---------------------------------------------------------------- wall 9

STEP = {"batch": 256, "sample_size": 150e3, "cpu_rate": 48e6, "step_time": 0.2}


def test_preparation_hides_behind_the_step_or_does_not() -> None:
    alone = 256 * 150e3 / 48e6
    got = m.transformation(**STEP)
    assert alone == close(0.8)
    assert got.transform_time == close(alone)
    assert got.step_time == close(alone)
    assert (got.slowdown, got.accelerator_utilisation) == (close(4), close(0.25))
    assert (got.bottleneck, got.workers_needed) == (True, 4)
    many = m.transformation(**STEP, workers=8)
    assert many.transform_time == close(alone / 8)
    assert (many.step_time, many.slowdown, many.accelerator_utilisation, many.bottleneck) == (0.2, 1, 1, False)
    enough = m.transformation(**STEP, workers=got.workers_needed)
    assert not enough.bottleneck or enough.slowdown == close(1)
    serial = m.transformation(**STEP, workers=8, overlap=False)
    assert serial.step_time == close(0.2 + alone / 8)
    assert serial.accelerator_utilisation == close(0.2 / 0.3)
    workers = np.array([1, 2, 3, 4, 5])
    np.testing.assert_allclose(m.transformation(**STEP, workers=workers).step_time, np.maximum(alone / workers, 0.2))


def test_the_sheet_takes_options_of_both_kinds() -> None:
    sheet = FUNCTIONS["MLS_TRANSFORMATION"]
    assert sheet(256.0, "150 kB", "48 MB/s", 0.2) == close(0.8)
    assert sheet(256.0, "150 kB", 0.048, 0.2, "step_time", "workers = 8; overlap = FALSE") == close(0.3)
    assert "overlap must be TRUE or FALSE" in str(sheet(256.0, 1.0, 1.0, 1.0, None, "overlap = perhaps"))
    assert m.TransformationModel.solve(256, 150e3, 48e6, 0.2, workers=8) == m.transformation(**STEP, workers=8)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, "much", True])
def test_transformation_refuses_by_name(bad: Any) -> None:
    for name in STEP:
        with pytest.raises(OutOfDomain, match=name):
            m.transformation(**STEP | {name: bad})
    for name in ("batch", "cpu_rate", "step_time"):
        with pytest.raises(OutOfDomain, match=name):
            m.transformation(**STEP | {name: 0})
    with pytest.raises(OutOfDomain, match="workers"):
        m.transformation(**STEP, workers=0)
    with pytest.raises(OutOfDomain, match="overlap must be TRUE or FALSE"):
        m.transformation(**STEP, overlap=0.5)  # type: ignore[arg-type]


# ---------------------------------------------------------------- wall 10


def edges_of(kind: str, sides: tuple[int, ...]) -> tuple[list[tuple[int, ...]], set[frozenset[tuple[int, ...]]]]:
    """Nodes and links of a small direct network."""
    nodes = list(itertools.product(*(range(k) for k in sides)))
    links = set()
    for node in nodes:
        for axis, k in enumerate(sides):
            far = (*node[:axis], (node[axis] + 1) % k, *node[axis + 1 :])
            if far != node:
                links.add(frozenset((node, far)))
    if kind == "full_mesh":
        links = {frozenset(pair) for pair in itertools.combinations(nodes, 2)}
    return nodes, links


def mean_distance(nodes: list[tuple[int, ...]], links: set[frozenset[tuple[int, ...]]]) -> float:
    near: dict[Any, list[Any]] = {n: [] for n in nodes}
    for a, b in map(tuple, links):
        near[a].append(b)
        near[b].append(a)
    total = 0
    for start in nodes:
        seen, rim = {start: 0}, [start]
        while rim:
            rim = [b for a in rim for b in near[a] if b not in seen and seen.setdefault(b, seen[a] + 1)]
        total += sum(seen.values())
    return total / len(nodes) / (len(nodes) - 1)


@pytest.mark.parametrize(
    ("kind", "sides"),
    [
        *[("ring", (n,)) for n in (2, 3, 4, 7, 12)],
        *[("torus_2d", s) for s in ((2, 2), (4, 4), (5, 4), (6, 6), (7, 1))],
        *[("torus_3d", s) for s in ((2, 2, 2), (3, 3, 3), (4, 4, 4), (4, 4, 2), (6, 5, 4))],
        *[("hypercube", (2,) * d) for d in (1, 2, 3, 5)],
        *[("full_mesh", (n,)) for n in (2, 3, 8)],
    ],
)
def test_distances_are_those_of_the_graph(kind: Any, sides: tuple[int, ...]) -> None:
    got = m.topology(link=50 * GB, nodes=math.prod(sides), kind=kind)
    assert got.hops == close(mean_distance(*edges_of(kind, sides)))


@pytest.mark.parametrize(
    ("kind", "sides"), [("ring", (8,)), ("ring", (12,)), ("torus_2d", (4, 4)), ("full_mesh", (6,))]
)
def test_no_other_cut_is_narrower(kind: Any, sides: tuple[int, ...]) -> None:
    nodes, links = edges_of(kind, sides)
    half = len(nodes) // 2
    narrowest = min(sum(len(link & set(part)) == 1 for link in links) for part in itertools.combinations(nodes, half))
    got = m.topology(link=GB, nodes=len(nodes), kind=kind)
    assert got.bisection_fraction == close(min(1, narrowest / half))
    assert got.bisection_bandwidth == close(min(half, narrowest) * GB)


def test_a_torus_cuts_two_planes() -> None:
    for k in (4, 6, 8, 10, 16):
        got = m.topology(link=50 * GB, nodes=k**3, kind="torus_3d")
        assert got.bisection_fraction == close(min(1, 2 * k * k / (k**3 / 2)))
        assert got.effective_bandwidth == close(50 * GB * got.bisection_fraction)
        assert got.bisection_bandwidth == close(min(2 * k * k, k**3 / 2) * 50 * GB)
    assert m.topology(link=GB, nodes=256, kind="torus_3d").bisection_bandwidth == close(2 * 4 * 8 * GB)  # 8 x 8 x 4
    assert m.topology(link=GB, nodes=13, kind="torus_3d") == m.topology(link=GB, nodes=13, kind="ring")  # a prime


def test_a_ring_is_cut_by_two_links() -> None:
    for n in (4, 5, 64, 1000):
        assert m.topology(link=3 * GB, nodes=n, kind="ring").bisection_bandwidth == close(6 * GB)


@pytest.mark.parametrize("kind", KINDS)
def test_no_network_gives_more_than_its_ports(kind: Any) -> None:
    nodes = np.array([1.0, 2, 4, 8, 16, 64, 512, 4096, 65536])
    if kind != "hypercube":
        nodes = np.concatenate([nodes, np.arange(1.0, 200)])
    got = m.topology(link=GB, nodes=nodes, kind=kind)
    assert np.all((got.bisection_fraction > 0) & (got.bisection_fraction <= 1))
    assert np.all(got.effective_bandwidth <= GB)
    assert np.all(got.bisection_bandwidth <= nodes / 2 * GB)
    assert (got.bisection_fraction[0], got.bisection_bandwidth[0], got.hops[0]) == (1, 0, 0)  # alone
    for i in (1, 3, 8):
        one = m.topology(link=GB, nodes=nodes[i], kind=kind)
        assert one.bisection_fraction == close(got.bisection_fraction[i])
        assert one.hops == close(got.hops[i])
    assert np.all(np.diff(got.hops[1:9]) >= 0)  # grows with the network


def test_a_dragonfly_is_counted_out() -> None:
    for h in (1, 2, 4):  # balanced: 2h routers a group, h nodes a router, 2h^2 + 1 groups
        groups, nodes = 2 * h * h + 1, 2 * h * h * (2 * h * h + 1)
        got = m.topology(link=GB, nodes=nodes, kind="dragonfly")
        assert got.bisection_bandwidth == close(groups**2 / 4 * GB)
        routers = [(g, r) for g in range(groups) for r in range(2 * h)]
        # a router's h global ports lead to the groups after its own, in turn
        exits = {(g, (g + 1 + r * h + i) % groups): r for g, r in routers for i in range(h)}
        total = 0
        for g, r in routers:
            for b, q in routers:
                inside = (r != q) if g == b else (r != exits[g, b]) + 1 + (q != exits[b, g])
                total += inside + 2
        same = 2 * len(routers)  # a node is no partner of itself
        assert got.hops == close((total * h * h - same * h) / nodes / (nodes - 1))


def test_a_fat_tree_has_as_many_levels_as_its_switches_need() -> None:
    radix = int(default("switch_radix"))
    assert radix == 64
    tree = m.topology(link=GB, nodes=np.array([2, radix, radix + 1, radix**2 / 2, radix**2 / 2 + 1]))
    assert tree.hops[:2].tolist() == [2, 2]
    assert tree.hops[3] == close((2 * (radix / 2 - 1) + 4 * (radix**2 / 2 - radix / 2)) / (radix**2 / 2 - 1))
    assert 2 < tree.hops[2] < 4 < tree.hops[4] < 6
    assert tree.bisection_fraction.tolist() == [1] * 5
    thin = m.topology(link=50 * GB, nodes=512, oversubscription=4)
    assert (thin.effective_bandwidth, thin.bisection_fraction) == (12.5 * GB, 0.25)
    assert thin.bisection_bandwidth == 256 * 12.5 * GB


def test_unknown_networks_are_refused() -> None:
    with pytest.raises(OutOfDomain, match="kind must be one of fat_tree, dragonfly, ring"):
        m.topology(link=GB, nodes=8, kind="tree")  # type: ignore[arg-type]
    with pytest.raises(OutOfDomain, match="power of two"):
        m.topology(link=GB, nodes=12, kind="hypercube")
    for nodes in (0, -1, 1.5, math.nan, "eight", 1e8):
        with pytest.raises(OutOfDomain, match="nodes"):
            m.topology(link=GB, nodes=nodes)  # type: ignore[arg-type]
    for link in (0, -1, math.nan, "1 GB"):
        with pytest.raises(OutOfDomain, match="link"):
            m.topology(link=link, nodes=8)  # type: ignore[arg-type]
    with pytest.raises(OutOfDomain, match="oversubscription"):
        m.topology(link=GB, nodes=8, oversubscription=0.5)
    assert "kind must be one of" in str(FUNCTIONS["MLS_TOPOLOGY"](50.0, 8.0, None, "mesh_of_rings"))
    assert FUNCTIONS["MLS_TOPOLOGY"](50.0, 512.0, "effective_bandwidth", "torus_3d") == 25


def test_a_fabric_brings_its_layout() -> None:
    fabric = m.TopologyModel.solve("InfiniBand_NDR_Oversub2to1", num_nodes=128)  # a "fat-tree" in the registry
    assert fabric == m.topology(link=50 * GB, nodes=128, kind="fat_tree", oversubscription=2)
    ring = m.TopologyModel().solve("InfiniBand_NDR", topology="ring", num_nodes=128)
    assert ring == m.topology(link=50 * GB, nodes=128, kind="ring")
    with pytest.raises(OutOfDomain):
        m.TopologyModel.solve("InfiniBand_NDR", topology="tree")
    with pytest.raises(UnknownName):
        m.TopologyModel.solve("NoSuchFabric")
