"""What this node knows of the mesh: who is linked with whom at which cost, and the routes that follow from it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import msgspec

from receptor.errors import PeerError
from receptor.netceptor.digests import digest_of
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
    """When it was heard last; later, when it was last in reach, if it repeats itself seldom."""
    refresh: int
    """Seconds after which it repeats itself at the latest while all nodes are of ours; 0 if it is an existing node."""
    digest: int
    """Of its run and its edges."""
    packet: bytes = b""
    """Its last update, as we have passed it on; empty if that did not tell its edges."""
    notice: bytes = b""
    """The update with which it has named a later run as a duplicate: who follows that takes no other."""
    suspected: int = 0
    """The epoch of that run."""
    was_lost: bool = False
    """Whether it has been out of reach since it was heard."""


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
        self.old_nodes: set[str] = set()
        """Those of the nodes that are known that depend on frequent repetitions."""
        self._limits = limits
        self._unheard: set[str] = set()
        """Nodes in reach of which we know by others only."""
        self._digest = 0
        """Of the nodes in reach."""
        self._own_digest: tuple[int, int] | None = None
        """Our own epoch, and the digest of it and our edges; None when these have changed."""
        self._seen: dict[str, float] = {}
        self._full_until = float("-inf")

    def has_passed(self, update_id: str) -> bool:
        """Whether an update has passed here before."""
        return update_id in self._seen

    def passed(self, update_id: str, now: float) -> None:
        """Remember an update that was news; the memory of them is bounded in time and number."""
        self._seen[update_id] = now
        if len(self._seen) > self._limits.seen_updates:
            del self._seen[next(iter(self._seen))]

    def adopt_run(self, update: RoutingUpdate, packet: bytes = b"") -> bool:
        """Follow the older of two nodes that share an id, after it has named the other's epoch as a duplicate.

        True if that is the run that we had followed. ``packet`` is the update as we pass it on.
        """
        known = self.nodes.get(update.node_id)
        if known is None:
            return False
        if known.epoch != update.suspected_duplicate:
            if known.epoch < update.suspected_duplicate and not known.notice:
                known.notice, known.suspected = packet, update.suspected_duplicate
            return False
        digest = digest_of(update.node_id, update.epoch, self.claims[update.node_id])
        self._count(update.node_id, known.digest ^ digest)
        known.epoch, known.sequence, known.digest, known.packet = update.epoch, update.sequence, digest, b""
        known.notice, known.suspected = packet, update.suspected_duplicate
        return True

    def is_news(self, update: RoutingUpdate, now: float) -> bool:
        """Whether the update is newer than what we have of its node.

        So is the first of another run, whatever its clock says, when the one that we know has been silent.
        """
        known = self.nodes.get(update.node_id)
        if known is None or (update.epoch, update.sequence) > (known.epoch, known.sequence):
            return True
        may_be_silent = known.refresh if update.node_id in self.routes and not known.was_lost else 0
        return update.epoch != known.epoch and known.heard_at + may_be_silent + RUN_SILENCE <= now

    def would_change_run(self, update: RoutingUpdate) -> bool:
        """Whether the update is of another run than that which is followed."""
        known = self.nodes.get(update.node_id)
        return known is not None and known.epoch != update.epoch

    def apply(self, update: RoutingUpdate, now: float, packet: bytes = b"") -> bool:
        """Record an update that is news, and the packet in which we pass it on; True if any edge changed.

        Raises PeerError if that were too many edges.
        """
        old = self.claims.get(update.node_id)
        edges = self.edges - len(old or ()) + len(update.connections)
        if edges > self._limits.edges:
            raise PeerError(f"the nodes of the mesh name more than {self._limits.edges} neighbours together")
        known = self.nodes.get(update.node_id)
        if known is not None and old == update.connections and update.epoch == known.epoch:
            digest = known.digest
        else:
            digest = digest_of(update.node_id, update.epoch, update.connections)
            self._count(update.node_id, digest ^ (known.digest if known is not None else 0))
        new = KnownNode(update.epoch, update.sequence, now, update.refresh, digest, packet)
        self.nodes[update.node_id] = new
        if known is not None and update.epoch < known.suspected:
            new.notice, new.suspected = known.notice, known.suspected
        self._unheard.discard(update.node_id)
        if update.refresh:
            self.old_nodes.discard(update.node_id)
        else:
            self.old_nodes.add(update.node_id)
        if old == update.connections:
            return False
        self.claims[update.node_id] = update.connections
        self.edges = edges
        return True

    def connect(self, neighbour: str, cost: float) -> None:
        """Record the edge of a link of ours that has come up."""
        self.claims[self.node_id][neighbour] = cost
        self._own_digest = None

    def disconnect(self, neighbour: str) -> None:
        """Forget the edge of a link of ours that has ended."""
        self.claims[self.node_id].pop(neighbour, None)
        self._own_digest = None

    def compute_routes(self, now: float) -> bool:
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
        if routes == self.routes:
            return False
        self._lose(self.routes.keys() - routes.keys(), now)
        self.routes = routes
        self._unheard = set(routes.keys() - self.nodes.keys())
        self._digest = 0
        for node in routes.keys() - self._unheard:
            self._digest ^= self.nodes[node].digest
        return True

    @property
    def is_patient(self) -> bool:
        """Whether all nodes that are known, also by others only, do without frequent repetitions."""
        return not self.old_nodes and not self._unheard

    def digest(self, own_epoch: int) -> int:
        """What we say of ourselves and know of all in reach, as one number: the same for all who know the same."""
        if self._own_digest is None or self._own_digest[0] != own_epoch:
            self._own_digest = own_epoch, digest_of(self.node_id, own_epoch, self.claims[self.node_id])
        return self._digest ^ self._own_digest[1]

    def packets(self, now: float) -> dict[str, tuple[bytes, ...]]:
        """The last updates of all nodes in reach, and of those that are so new that they may be before long.

        A notice is remembered by those who know the node, and lets those who follow a duplicate take its update.
        """
        return {
            node: tuple(filter(None, (known.packet, known.notice, known.notice and known.packet)))
            for node, known in self.nodes.items()
            if node in self.routes or (not known.was_lost and known.heard_at + RUN_SILENCE > now)
        }

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
        self._count(node, self.nodes.pop(node).digest)
        self.old_nodes.discard(node)
        if node in self.routes:
            self._unheard.add(node)
        self.edges -= len(self.claims.pop(node))

    def _dispensable(self, now: float) -> list[str]:
        """The nodes that may be forgotten for others, the least missed first."""
        neighbours = self.claims[self.node_id]
        ages = sorted(
            (True, known.heard_at + known.refresh + SILENCE, node)
            if node in self.routes
            else (False, known.heard_at + ROOM_INTERVAL, node)
            for node, known in self.nodes.items()
        )
        return [node for _, missed_at, node in ages if missed_at <= now and node not in neighbours]

    def _lose(self, nodes: Iterable[str], now: float) -> None:
        """They are out of reach from now on. Who may be silent for long counts as heard as long as it was in reach."""
        for node in nodes:
            known = self.nodes.get(node)
            if known is not None:
                known.was_lost = True
                if known.refresh:
                    known.heard_at = now

    def _count(self, node: str, change: int) -> None:
        if node in self.routes:
            self._digest ^= change
