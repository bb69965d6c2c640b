"""A second opinion on routes: plain relaxation over all edges, as long as anything gets shorter (Bellman-Ford)."""

from __future__ import annotations

from collections.abc import Mapping

Costs = Mapping[str, Mapping[str, float]]


def distances(costs: Costs, start: str) -> dict[str, float]:
    """The least total cost from a node to each node that it reaches."""
    found = {start: 0.0}
    edges = [(one, other, cost) for one, neighbours in costs.items() for other, cost in neighbours.items()]
    shorter = True
    while shorter:
        shorter = False
        for one, other, cost in edges:
            if one in found and found[one] + cost < found.get(other, float("inf")):
                found[other] = found[one] + cost
                shorter = True
    return found


def assert_shortest(costs: Costs, node: str, routes: Mapping[str, str]) -> None:
    """Each node that can be reached has a next hop, and that lies on a path of least cost."""
    reached = distances(costs, node)
    assert routes.keys() == reached.keys() - {node}
    for destination, hop in routes.items():
        assert costs[node][hop] + distances(costs, hop)[destination] == reached[destination]
