"""What this node knows of the mesh: who is linked with whom at which cost, and the routes that follow from it."""

from __future__ import annotations

import heapq

import msgspec

from receptor.errors import PeerError
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.messages import RoutingUpdate

MEMORY = 600.0
"""Seconds for which a node out of reach is remembered after its last update."""

SILENCE = 60.0
"""Seconds after which a node within reach that says nothing has to make room when there are too many nodes."""

RUN_SILENCE = 35.0
"""Seconds after which a run of a node counts as over, if another speaks: three updates were missed."""

ROOM_INTERVAL = 1.0
"""Seconds for which the search for room is not repeated, and for which a node that is new needn't make any."""

SEEN_UPDATE_MEMORY = 3600.0


class KnownNode(msgspec.Struct):
    """The newest run (epoch) of a node and its newest update (sequence) that we have processed."""

    epoch: int
    sequence: int
    heard_at: float


class Topology:
    """Edges between nodes, and the table of next hops (mesh protocol, section 3).

    ``claims`` holds what each node says of its neighbours, ours what we say ourselves. An edge counts if both its ends
    list it; a node of which we have heard nothing yet is not asked, and neither is anybody about our own links. So it
    does not matter in which order updates arrive, and nobody draws traffic by a claim alone.
    """

    def __init__(self, node_id: str, limits: MeshLimits = DEFAULT_LIMITS) -> None:
        self.node_id = node_id
        self.nodes: dict[str, KnownNode] = {}
        self.claims: dict[str, dict[str, float]] = {node_id: {}}
        self.routes: dict[str, str] = {}
        self.edges = 0
        self._limits = limits
        self._seen: dict[str, float] = {}
        self._full_until = float("-inf")

    def first_sight(self, update_id: str, now: float) -> bool:
        """Whether an update has not passed here before; the memory of them is bounded in time and number."""
        if update_id in self._seen:
            return False
        self._seen[update_id] = now
        if len(self._seen) > self._limits.seen_updates:
            del self._seen[next(iter(self._seen))]
        return True

    def adopt_run(self, update: RoutingUpdate) -> bool:
        """Follow the older of two nodes that share an id, after it has named the other's epoch as a duplicate.

        True if that is the run that we had followed.
        """
        known = self.nodes.get(update.node_id)
        if known is None or known.epoch != update.suspected_duplicate:
            return False
        known.epoch, known.sequence = update.epoch, update.sequence
        return True

    def is_news(self, update: RoutingUpdate, now: float) -> bool:
        """Whether the update is newer than what we have of its node.

        So is the first of another run, whatever its clock says, when the one that we know has been silent.
        """
        known = self.nodes.get(update.node_id)
        if known is None or (update.epoch, update.sequence) > (known.epoch, known.sequence):
            return True
        return update.epoch != known.epoch and known.heard_at + RUN_SILENCE <= now

    def apply(self, update: RoutingUpdate, now: float) -> bool:
        """Record an update that is news; True if any edge changed. Raises PeerError if that were too many edges."""
        old = self.claims.get(update.node_id)
        edges = self.edges - len(old or ()) + len(update.connections)
        if edges > self._limits.edges:
            raise PeerError(f"the nodes of the mesh name more than {self._limits.edges} neighbours together")
        self.nodes[update.node_id] = KnownNode(update.epoch, update.sequence, now)
        if old == update.connections:
            return False
        self.claims[update.node_id] = update.connections
        self.edges = edges
        return True

    def connect(self, neighbour: str, cost: float) -> None:
        """Record the edge of a link of ours that has come up."""
        self.claims[self.node_id][neighbour] = cost

    def disconnect(self, neighbour: str) -> None:
        """Forget the edge of a link of ours that has ended."""
        self.claims[self.node_id].pop(neighbour, None)

    def compute_routes(self) -> bool:
        """Find the next hop to every node by least total cost (Dijkstra); True if the table changed."""
        claims = self.claims
        routes: dict[str, str] = {}
        done = {self.node_id}
        queue = [(cost, neighbour, neighbour) for neighbour, cost in claims[self.node_id].items()]
        heapq.heapify(queue)
        while queue:
            distance, node, next_hop = heapq.heappop(queue)
            if node in done:
                continue
            done.add(node)
            routes[node] = next_hop
            for neighbour, cost in claims.get(node, {}).items():
                if neighbour not in done and (neighbour not in claims or node in claims[neighbour]):
                    heapq.heappush(queue, (distance + cost, neighbour, next_hop))
        changed = routes != self.routes
        self.routes = routes
        return changed

    @property
    def costs(self) -> dict[str, dict[str, float]]:
        """The edges that count, for people to see: node by node, the cost of those to its neighbours."""
        claims, own = self.claims, self.node_id
        agreed = {
            node: {
                other: cost
                for other, cost in edges.items()
                if node == own or other not in claims or node in claims[other]
            }
            for node, edges in claims.items()
            if node != own or edges
        }
        for neighbour, cost in claims[own].items():
            agreed.setdefault(neighbour, {})[own] = cost
        return agreed

    # Memory

    def make_room(self, now: float) -> list[str]:
        """Forget nodes, if need be, so that one more can be remembered; the nodes forgotten.

        Those out of reach go first, then those that have fallen silent, heard longest ago first. Some go at once, so
        that a flood of new ones does not search for each. Raises PeerError if there is no room and none can be made:
        who is known stays known, and a flood of invented nodes shuts out only new ones.
        """
        if len(self.nodes) < self._limits.nodes:
            return []
        forgotten: list[str] = []
        if self._full_until <= now:
            forgotten = self._dispensable(now)[: 1 + self._limits.nodes // 16]
            self._full_until = float("-inf") if forgotten else now + ROOM_INTERVAL
        if not forgotten:
            raise PeerError(f"there are more than {self._limits.nodes} nodes in the mesh")
        for node in forgotten:
            self.forget(node)
        return forgotten

    def forget_stale(self, now: float) -> list[str]:
        """Drop what is out of reach and silent for MEMORY seconds, and old update ids; the nodes forgotten."""
        stale = [
            node for node, known in self.nodes.items() if node not in self.routes and known.heard_at + MEMORY <= now
        ]
        for node in stale:
            self.forget(node)
        for update_id, seen_at in list(self._seen.items()):
            if seen_at + SEEN_UPDATE_MEMORY > now:
                break
            del self._seen[update_id]
        return stale

    def forget(self, node: str) -> None:
        """Drop what a node has said."""
        del self.nodes[node]
        self.edges -= len(self.claims.pop(node))

    def _dispensable(self, now: float) -> list[str]:
        """The nodes that may be forgotten for others, the least missed first."""
        neighbours = self.claims[self.node_id]
        ages = sorted((node in self.routes, known.heard_at, node) for node, known in self.nodes.items())
        return [
            node
            for in_reach, heard_at, node in ages
            if heard_at + (SILENCE if in_reach else ROOM_INTERVAL) <= now and node not in neighbours
        ]
