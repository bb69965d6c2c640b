"""Who is linked with whom, and whether what the nodes know fits that. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Literal, TypeAlias

Shape: TypeAlias = Literal["star", "chain", "full"]

Links: TypeAlias = Shape | Iterable[tuple[str, str]]
"""Pairs of node ids, or a shape: star (all with the first node), chain (each with the next), full (each with each)."""

Routes: TypeAlias = Mapping[str, str]
"""The next hop to each node."""

_SHAPES: dict[str, Callable[[Sequence[str]], Iterable[tuple[str, str]]]] = {
    "star": lambda nodes: ((nodes[0], other) for other in nodes[1:]),
    "chain": pairwise,
    "full": lambda nodes: combinations(nodes, 2),
}


def pairs(links: Links, nodes: Sequence[str]) -> dict[frozenset[str], tuple[str, str]]:
    """Each link by its two ends, as the pair in which it was given; the second dials.

    Raises ValueError if there is no such shape, or a link is not between two of the nodes.
    """
    if isinstance(links, str):
        if links not in _SHAPES:
            raise ValueError(f"there is no shape {links!r}; links are pairs of node ids, or {', '.join(_SHAPES)}")
        links = _SHAPES[links](nodes)
    found = {}
    for one, other in links:
        if one == other or not {one, other} <= set(nodes):
            raise ValueError(f"no link between {one!r} and {other!r} can be; the nodes of the mesh: {listed(nodes)}")
        found[frozenset((one, other))] = (one, other)
    return found


def distances(nodes: Iterable[str], links: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """From each node to each other that these links lead to, in links."""
    neighbours: dict[str, list[str]] = {node: [] for node in nodes}
    for one, other in links:
        neighbours[one].append(other)
        neighbours[other].append(one)
    return {node: _distances_from(node, neighbours) for node in neighbours}


def _distances_from(start: str, neighbours: Mapping[str, Collection[str]]) -> dict[str, int]:
    found = {start: 0}
    waiting = [start]
    for node in waiting:
        for other in neighbours[node]:
            if other not in found:
                found[other] = found[node] + 1
                waiting.append(other)
    del found[start]
    return found


def astray(tables: Mapping[str, Routes], wanted: Mapping[str, Mapping[str, int]]) -> str:
    """A node whose routes do not lead to just those that they should, or not the shortest way; empty if none does.

    ``tables`` are the routes of all nodes, ``wanted`` the distances.
    """
    for node, distance in wanted.items():
        routes = tables[node]
        if routes.keys() != distance.keys():
            return node
        for target, links in distance.items():
            # The rest of the way is looked at with the next node.
            hop = routes[target]
            if distance.get(hop) != 1 or wanted[hop].get(target, 0) != links - 1:
                return node
    return ""


def listed(nodes: Iterable[str]) -> str:
    """For people."""
    return ", ".join(sorted(nodes)) or "none"
