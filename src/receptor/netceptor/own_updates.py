"""The links of this node, as the mesh hears of them (mesh protocol, section 3: routing updates, flooding)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from receptor.identifiers import random_name
from receptor.netceptor.links import Link
from receptor.netceptor.messages import PATIENT, RoutingUpdate, encode_routing_update
from receptor.netceptor.pace import UPDATE_INTERVAL, Pace
from receptor.netceptor.sender import Sender
from receptor.netceptor.timers import Chore, Timers
from receptor.netceptor.topology import Topology

FLOOD_DELAY = 0.1
"""Seconds in which we gather the nodes that we hear of for the first time before all hear of us. Without this, N nodes
that join together say N times as much."""

_LENGTH_OF_ID = 8 - len(PATIENT)

FLOOD_PAUSE_PER_NODE = 0.005
LONGEST_FLOOD_PAUSE = 2.0
"""Seconds between two floods for the sake of new nodes: the larger the mesh, the longer does its news trickle in."""

LINK_PAUSE_PER_NEIGHBOUR = 0.001
LONGEST_LINK_PAUSE = 1.0
"""Seconds between two floods for the sake of links. Each update names all neighbours, and goes to all of them: without
this, a node says N x N x N names while N others link with it."""


class OwnUpdates:
    """Makes our routing updates, each counted higher than the one before, and floods them: in time, and on news."""

    def __init__(
        self,
        node_id: str,
        epoch: int,
        neighbours: Mapping[str, Link],
        topology: Topology,
        sender: Sender,
        timers: Timers[Chore],
        pace: Pace,
        greet: Callable[[float], None],
        rng: random.Random,
    ) -> None:
        """``greet`` tells all neighbours that we are here when an update need not."""
        self.epoch = epoch
        self.sequence = 0
        self.latest = b""
        """The last of them."""
        self._node_id = node_id
        self._neighbours = neighbours
        self._topology = topology
        self._sender = sender
        self._timers = timers
        self._pace = pace
        self._greet = greet
        self._rng = rng
        self._flooded_at = float("-inf")
        self._repetition = float("-inf")

    def make(self, suspected_duplicate: int = 0) -> bytes:
        """The next update. It may tell the run of a namesake, known by its epoch, that it has to end."""
        self.sequence += 1
        update = RoutingUpdate(
            node_id=self._node_id,
            update_id=PATIENT + random_name(self._rng, _LENGTH_OF_ID),
            epoch=self.epoch,
            sequence=self.sequence,
            connections={node: link.cost for node, link in self._neighbours.items()},
            forwarding_node=self._node_id,
            suspected_duplicate=suspected_duplicate,
        )
        self.latest = encode_routing_update(update)
        return self.latest

    def begin_another_epoch(self) -> None:
        """Count anew, above whatever was counted in our name until now."""
        self.epoch += 1
        self.sequence = 0

    def flood(self, now: float) -> None:
        """Tell all neighbours now, and again in time."""
        if self._neighbours:
            self._sender.flood(self.make(), now)
            self._flooded_at = now
            self._repetition = self._pace.latest_repetition(now)
            self._timers.cancel(self.flood)
            if self._pace.may_wait(self._repetition, now):
                # However often we have news, greetings go on: they tell more than that we are here.
                self._timers.set_earlier(self._repeat, now + UPDATE_INTERVAL)
            else:
                self._timers.set(self._repeat, now + UPDATE_INTERVAL)

    def flood_by(self, when: float) -> None:
        """Tell all neighbours then at the latest."""
        self._timers.set_earlier(self.flood, when)

    def flood_new_link(self, now: float) -> None:
        """Tell all neighbours of a link: at once, unless they were told something just before."""
        when = self._after_pause(now)
        if when <= now:
            self.flood(now)
        else:
            self.flood_by(when)

    def flood_lost_link(self, now: float) -> None:
        """Tell all neighbours that a link is gone, and others that go at the same time."""
        self.flood_by(self._after_pause(now))

    def flood_soon(self, now: float) -> None:
        """Tell all neighbours after FLOOD_DELAY, or later if that were too often in a mesh as large as ours."""
        pause = min(len(self._topology.nodes) * FLOOD_PAUSE_PER_NODE, LONGEST_FLOOD_PAUSE)
        self.flood_by(max(now + FLOOD_DELAY, self._flooded_at + pause))

    def _after_pause(self, now: float) -> float:
        pause = min(len(self._neighbours) * LINK_PAUSE_PER_NEIGHBOUR, LONGEST_LINK_PAUSE)
        return max(now, self._flooded_at + pause)

    def _repeat(self, now: float) -> None:
        if not self._pace.may_wait(self._repetition, now):
            self.flood(now)
        elif self._neighbours:
            self._greet(now)
            self._timers.set(self._repeat, now + UPDATE_INTERVAL)
