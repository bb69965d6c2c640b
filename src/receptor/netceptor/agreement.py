"""Finding out whether a neighbour knows the same as we do, and telling it what it lacks.

Nodes of ours send each other greetings: what they know, as one number. Where two differ, and not only for the moment in
which news travel, each sends the other all that it knows, and news of it go on from there. So whatever got lost, on
whichever way, is mended about as soon as with existing nodes, which repeat everything every 10 seconds.

A greeting is a routing update without an origin, which existing nodes ignore.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial
from itertools import chain

from receptor.identifiers import random_name
from receptor.netceptor.advertisements import Advertisements
from receptor.netceptor.links import Link
from receptor.netceptor.messages import RoutingUpdate, encode_advertisement, encode_routing_update
from receptor.netceptor.own_updates import OwnUpdates
from receptor.netceptor.pace import LONGEST_REFRESH, UPDATE_INTERVAL
from receptor.netceptor.sender import Sender
from receptor.netceptor.timers import Chore, Timers
from receptor.netceptor.topology import Topology

SECOND_LOOK = 1.0
"""Seconds after which two that differ compare again: news have arrived by then, and routes been computed."""

LONGEST_PAUSE = LONGEST_REFRESH / 2
"""Seconds. Some can never agree, as one has no room for what the other knows. They tell it ever more seldom, at first
after UPDATE_INTERVAL. The difference tells whether it is still that which was told: what both learn changes both."""


class Agreement:
    """Greets neighbours, compares, and sends the tables."""

    def __init__(
        self,
        neighbours: Mapping[str, Link],
        topology: Topology,
        advertisements: Advertisements,
        own_updates: OwnUpdates,
        sender: Sender,
        timers: Timers[Chore],
        rng: random.Random,
    ) -> None:
        self._neighbours = neighbours
        self._topology = topology
        self._advertisements = advertisements
        self._own_updates = own_updates
        self._sender = sender
        self._timers = timers
        self._rng = rng

    def expect_difference(self, link: Link) -> None:
        """A neighbour from another part of the mesh needs no second look: it knows others than we do."""
        link.comparison.differs_since = float("-inf")

    def greet(self, link: Link, now: float) -> None:
        """Greet a neighbour of ours."""
        self._sender.send(link.session, self._greeting(), now)

    def greet_all(self, now: float) -> None:
        """Greet all neighbours, so that they see that we are here and know what they know."""
        self._sender.flood(self._greeting(), now)

    def hear(self, link: Link, digest: int, now: float) -> None:
        """A neighbour greets. What differs as expected, or still after SECOND_LOOK, is not only on its way."""
        difference = digest ^ self._digest()
        comparison = link.comparison
        if not difference:
            comparison.differs_since = None
            comparison.told = 0
        elif difference == comparison.told and now < comparison.told_at + comparison.pause:
            comparison.differs_since = None
        elif now < comparison.told_at + UPDATE_INTERVAL:
            pass
        elif comparison.differs_since is None:
            comparison.differs_since = now
            self._look_again(link, now)
        elif comparison.differs_since + SECOND_LOOK <= now:
            is_told_again = difference == comparison.told
            comparison.pause = min(2 * comparison.pause, LONGEST_PAUSE) if is_told_again else UPDATE_INTERVAL
            comparison.told, comparison.told_at, comparison.differs_since = difference, now, None
            self._send_tables(link, now)
            self._look_again(link, now)

    def _look_again(self, link: Link, now: float) -> None:
        """Let the neighbour compare before the next greeting to all; once, however often it asks for it."""
        if not link.comparison.is_due:
            link.comparison.is_due = True
            self._timers.set(partial(self._greet_again, link), now + SECOND_LOOK)

    def _greet_again(self, link: Link, now: float) -> None:
        link.comparison.is_due = False
        if link.neighbour is not None and self._neighbours.get(link.neighbour) is link:
            self.greet(link, now)

    def _greeting(self) -> bytes:
        return encode_routing_update(
            RoutingUpdate(
                node_id="",
                update_id=random_name(self._rng),
                epoch=0,
                sequence=0,
                connections={},
                forwarding_node=self._topology.node_id,
                digest=self._digest(),
            )
        )

    def _digest(self) -> int:
        return self._topology.digest(self._own_updates.epoch) ^ self._advertisements.digest(self._topology.routes)

    def _send_tables(self, link: Link, now: float) -> None:
        """Tell all that we know of ourselves and of nodes in reach.

        A neighbour that hears what we have heard in its name puts right what isn't so.
        """
        self._sender.send(link.session, self._own_updates.latest, now)
        packets = self._topology.packets(now)
        for packet in chain.from_iterable(packets.values()):
            self._sender.send(link.session, packet, now)
        for advertisement in self._advertisements.known_of(packets):
            self._sender.send(link.session, encode_advertisement(advertisement), now)
