"""Networks between nodes: links across the middle, and mean distance of two different nodes.

Every link has the rate of one node's port.  A cut halves the nodes; what crosses it per node of one half, at most 1,
is the share of the port that each node can use when all talk across the middle.
"""

import math
from functools import cache

import numpy as np

from ..units import Real

RING_CUT = 2.0  # links that halve a ring


def torus_cut(nodes: Real, longest: Real) -> Real:
    """Links that halve a torus across its longest side, there and round the back: 2 k^2 of k x k x k nodes."""
    return 2 * nodes / longest


def mesh_cut(nodes: Real) -> Real:
    """Links that halve a full mesh: every node of one half to every node of the other."""
    pairs: Real = np.maximum(nodes / 2, np.floor(nodes / 2) * np.ceil(nodes / 2))
    return pairs


def dragonfly_ports(nodes: Real) -> Real:
    """Global ports h of a router in the balanced dragonfly of 4 h^4 + 2 h^2 nodes; between sizes, interpolated.

    Balanced: a = 2 h routers in a group, p = h nodes on a router, a h + 1 groups, one link between any two.
    """
    return np.sqrt((np.sqrt(1 + 4 * nodes) - 1) / 4)


def dragonfly_cut(nodes: Real) -> Real:
    """Global links between two halves of the groups, a quarter of the squared number of groups."""
    groups = 2 * dragonfly_ports(nodes) ** 2 + 1
    return groups**2 / 4


def ring_hops(side: Real, nodes: Real) -> Real:
    """Mean links along one ring of a torus of `nodes` nodes between two different nodes."""
    return np.floor(side**2 / 4) * nodes / side / np.maximum(1.0, nodes - 1)


def hypercube_hops(nodes: Real) -> Real:
    """Half of the dimensions, among different nodes."""
    return np.log2(nodes) / 2 * nodes / np.maximum(1.0, nodes - 1)


def fat_tree_hops(nodes: Real, radix: float) -> Real:
    """Mean links up and down a folded Clos of switches with `radix` ports, half of them down except at the top."""
    inside, total = np.ones(np.shape(nodes)), np.zeros(np.shape(nodes))
    reach, level = radix / 2, 1
    while np.any(inside < nodes):
        # a switch at the top uses all its ports downwards: `radix` nodes need one level, radix^2 / 2 need two
        next_inside = np.where(2 * reach >= nodes, nodes, reach)
        total = total + 2 * level * (next_inside - inside)
        inside, reach, level = next_inside, reach * radix / 2, level + 1
    return total / np.maximum(1.0, nodes - 1)


def dragonfly_hops(nodes: Real) -> Real:
    """Mean links of minimal routes: to the router, at most one local, one global and one local link, to the node."""
    h = dragonfly_ports(nodes)
    same_router = np.clip(h - 1, 0.0, nodes - 1)
    same_group = np.clip(2 * h * h - 1 - same_router, 0.0, nodes - 1 - same_router)
    far = nodes - 1 - same_router - same_group
    local = 2 * (1 - 1 / np.maximum(1.0, 2 * h))  # a router holds the link it needs once in a routers
    return (2 * same_router + 3 * same_group + (3 + local) * far) / np.maximum(1.0, nodes - 1)


def sides(nodes: Real, dimensions: int) -> tuple[Real, ...]:
    """Sides of the torus with the shortest longest side, longest first; a prime number of nodes is a ring."""
    distinct, place = np.unique(np.asarray(nodes), return_inverse=True)
    table = np.array([_sides(int(n), dimensions) for n in distinct], dtype=np.float64)
    return tuple(column[place].reshape(np.shape(nodes)) for column in table.T)


@cache
def _sides(nodes: int, dimensions: int) -> tuple[int, ...]:
    if dimensions == 1:
        return (nodes,)
    root = round(nodes ** (1 / dimensions)) + 1
    choices = [
        (*_sides(nodes // d, dimensions - 1), d)
        for d in range(1, root + 1)
        if nodes % d == 0 and d**dimensions <= nodes
    ]
    return min((tuple(sorted(c, reverse=True)) for c in choices), key=lambda c: (c[0], -math.prod(c[2:])))
