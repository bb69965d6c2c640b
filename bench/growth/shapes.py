"""The shapes of the meshes that are measured."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

Wires = list[tuple[int, int]]
"""Which nodes, known by number, have a link."""

DEGREE = 4


def random_graph(nodes: int) -> Wires:
    """Every node is linked with some that came before it; DEGREE neighbours on average."""
    rng = random.Random(nodes)
    wires = {(rng.randrange(node), node) for node in range(1, nodes)}
    while len(wires) < min(nodes * DEGREE // 2, nodes * (nodes - 1) // 2):
        one, other = sorted(rng.sample(range(nodes), 2))
        wires.add((one, other))
    return sorted(wires)


def star(nodes: int) -> Wires:
    """Node 0 in the middle."""
    return [(0, node) for node in range(1, nodes)]


def chain(nodes: int) -> Wires:
    """Each linked with the next."""
    return list(pairwise(range(nodes)))


SHAPES: dict[str, Callable[[int], Wires]] = {"random": random_graph, "star": star, "chain": chain}
