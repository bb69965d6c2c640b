"""The mesh as one node sees it: nodes, services and routes, made of its answer to ``status``. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from receptor.client.fields import JsonObject
from receptor.client.replies import Advertisement, NodeStatus, WorkType

Standing: TypeAlias = Literal["self", "linked", "reachable", "unreachable"]
"""How the node that is asked stands to another: a link of its own, a way over others, or no way."""

_TLS = 2
_CONNECTION_TYPES = {0: "datagram", 1: "stream", _TLS: "stream TLS"}


@dataclass(frozen=True)
class Route:
    """The way to a node; ``cost`` and ``hops`` are those of the whole way, None if the node's tables don't tell."""

    to: str
    via: str
    cost: float | None
    hops: int | None

    def as_json(self) -> JsonObject:
        return {"NodeID": self.to, "Via": self.via, "Cost": self.cost, "Hops": self.hops}


@dataclass(frozen=True)
class KnownNode:
    """A node of which the node that is asked has heard."""

    node_id: str
    standing: Standing
    route: Route | None
    links: Mapping[str, float]
    """Its neighbours, and the costs of the links with them."""
    services: tuple[str, ...]
    work_types: tuple[WorkType, ...]
    last_seen: str
    """When it last advertised a service (RFC 3339, by its own clock); empty if it offers none."""

    def as_json(self) -> JsonObject:
        return {
            "NodeID": self.node_id,
            "State": self.standing,
            "Via": self.route.via if self.route else None,
            "Cost": self.route.cost if self.route else None,
            "Hops": self.route.hops if self.route else None,
            "Links": dict(self.links),
            "Services": list(self.services),
            "WorkTypes": [{"WorkType": one.name, "Secure": one.secure} for one in self.work_types],
            "LastSeen": self.last_seen or None,
        }


@dataclass(frozen=True)
class KnownService:
    """A service that a node of the mesh offers."""

    node_id: str
    name: str
    kind: str
    tags: Mapping[str, object]
    last_seen: str

    @property
    def wants_tls(self) -> bool:
        return self.kind == _CONNECTION_TYPES[_TLS]

    @property
    def tags_text(self) -> str:
        """The tags for people: those that are only there or not by their name, the others with their value."""
        return ", ".join(name if value == "true" else f"{name}={value}" for name, value in sorted(self.tags.items()))

    def as_json(self) -> JsonObject:
        return {
            "NodeID": self.node_id,
            "Service": self.name,
            "Type": self.kind,
            "Tags": dict(self.tags),
            "LastSeen": self.last_seen,
        }


def routes(status: NodeStatus) -> list[Route]:
    """The ways to all nodes in reach, by their ids."""
    ways = _shortest_ways(status.node_id, status.known_costs)
    return [Route(to, via, *ways.get(to, (None, None))) for to, via in sorted(status.routes.items())]


def services(status: NodeStatus) -> list[KnownService]:
    """The services of all nodes, by node and name."""
    found = [
        KnownService(
            one.node_id,
            one.service,
            _CONNECTION_TYPES.get(one.connection_type, str(one.connection_type)),
            one.tags or {},
            one.time,
        )
        for one in status.advertisements
    ]
    return sorted(found, key=lambda one: (one.node_id, one.name))


def nodes(status: NodeStatus) -> list[KnownNode]:
    """The node that is asked, then all others that it has heard of, by their ids."""
    ways = {route.to: route for route in routes(status)}
    links = dict(status.connections)
    offers: dict[str, list[Advertisement]] = {}
    for one in status.advertisements:
        offers.setdefault(one.node_id, []).append(one)
    own = status.node_id
    others = {*ways, *links, *status.known_costs, *offers} - {own}
    return [
        KnownNode(
            node_id=node_id,
            standing=_standing(node_id, own, links, ways),
            route=ways.get(node_id),
            links=links if node_id == own else status.known_costs.get(node_id, {}),
            services=tuple(sorted(one.service for one in offers.get(node_id, ()))),
            work_types=_work_types(offers.get(node_id, ())),
            last_seen=max((one.time for one in offers.get(node_id, ())), default=""),
        )
        for node_id in [own, *sorted(others)]
    ]


def _standing(node_id: str, own: str, links: Mapping[str, float], ways: Mapping[str, Route]) -> Standing:
    if node_id == own:
        return "self"
    if node_id in links:
        return "linked"
    return "reachable" if node_id in ways else "unreachable"


def _work_types(offers: Iterable[Advertisement]) -> tuple[WorkType, ...]:
    """Those of a node, each once: all its services advertise the same."""
    found = {work_type.name: work_type for one in offers for work_type in one.work_types}
    return tuple(found[name] for name in sorted(found))


def _shortest_ways(start: str, costs: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[float, int]]:
    """Cost and hops of the cheapest way to each node (Dijkstra).

    As for the nodes themselves, a link counts if both ends know of it, or one is not heard of yet.
    """
    done: dict[str, tuple[float, int]] = {}
    queue = [(0.0, 0, start)]
    while queue:
        cost, hops, node = heapq.heappop(queue)
        if node in done:
            continue
        done[node] = (cost, hops)
        for neighbour, step in costs.get(node, {}).items():
            if neighbour not in done and (neighbour not in costs or node in costs[neighbour]):
                heapq.heappush(queue, (cost + step, hops + 1, neighbour))
    return done
