"""What this node knows of the mesh: who is linked with whom at which cost, and the routes that follow from it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from receptor.netceptor.messages import RoutingUpdate

MEMORY = 600.0
"""Seconds for which a node out of reach is remembered after its last update."""

MOST_SEEN_UPDATES = 100_000
SEEN_UPDATE_MEMORY = 3600.0


@dataclass(slots=True)
class KnownNode:
    """The newest run (epoch) of a node and its newest update (sequence) that we have processed."""

    epoch: int
    sequence: int
    heard_at: float


class Topology:
    """Edges between nodes, and the table of next hops (mesh protocol, section 3)."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.nodes: dict[str, KnownNode] = {}
        self.costs: dict[str, dict[str, float]] = {}
        self.routes: dict[str, str] = {}
        self._seen: dict[str, float] = {}

    def first_sight(self, update_id: str, now: float) -> bool:
        """Whether an update has not passed here before; the memory of them is bounded in time and number."""
        if update_id in self._seen:
            return False
        self._seen[update_id] = now
        if len(self._seen) > MOST_SEEN_UPDATES:
            del self._seen[next(iter(self._seen))]
        return True

    def adopt_run(self, update: RoutingUpdate) -> None:
        """Follow the older of two nodes that share an id, after it has named the other's epoch as a duplicate."""
        known = self.nodes.get(update.node_id)
        if known is not None and known.epoch == update.suspected_duplicate:
            known.epoch, known.sequence = update.epoch, update.sequence

    def is_news(self, update: RoutingUpdate) -> bool:
        """Whether the update is newer than what we have of its node."""
        known = self.nodes.get(update.node_id)
        return known is None or (update.epoch, update.sequence) > (known.epoch, known.sequence)

    def apply(self, update: RoutingUpdate, now: float) -> bool:
        """Record an update that is news; True if any edge changed."""
        self.nodes[update.node_id] = KnownNode(update.epoch, update.sequence, now)
        if self.costs.get(update.node_id) == update.connections:
            return False
        self.costs[update.node_id] = dict(update.connections)
        for node, edges in self.costs.items():
            if node not in update.connections and node != self.node_id:
                edges.pop(update.node_id, None)
        return True

    def connect(self, neighbour: str, cost: float) -> None:
        """Record the edge of a link of ours that has come up."""
        self.costs.setdefault(self.node_id, {})[neighbour] = cost
        self.costs.setdefault(neighbour, {})[self.node_id] = cost

    def disconnect(self, neighbour: str) -> None:
        """Forget the edge of a link of ours that has ended."""
        self.costs.get(self.node_id, {}).pop(neighbour, None)
        self.costs.get(neighbour, {}).pop(self.node_id, None)

    def compute_routes(self) -> bool:
        """Find the next hop to every node by least total cost (Dijkstra); True if the table changed."""
        routes: dict[str, str] = {}
        done: set[str] = set()
        queue: list[tuple[float, str, str]] = [(0.0, self.node_id, "")]
        while queue:
            distance, node, next_hop = heapq.heappop(queue)
            if node in done:
                continue
            done.add(node)
            if next_hop:
                routes[node] = next_hop
            for neighbour, cost in self.costs.get(node, {}).items():
                if neighbour not in done:
                    heapq.heappush(queue, (distance + cost, neighbour, next_hop or neighbour))
        changed = routes != self.routes
        self.routes = routes
        return changed

    def forget_stale(self, now: float) -> list[str]:
        """Drop what is out of reach and silent for MEMORY seconds, and old update ids; the nodes forgotten."""
        stale = [
            node
            for node in {*self.nodes, *self.costs}
            if node != self.node_id and node not in self.routes and self._silent_since(node) + MEMORY <= now
        ]
        for node in stale:
            self.nodes.pop(node, None)
            self.costs.pop(node, None)
            for edges in self.costs.values():
                edges.pop(node, None)
        for update_id, seen_at in list(self._seen.items()):
            if seen_at + SEEN_UPDATE_MEMORY > now:
                break
            del self._seen[update_id]
        return stale

    def _silent_since(self, node: str) -> float:
        known = self.nodes.get(node)
        return known.heard_at if known is not None else float("-inf")
