"""The whole mesh core of a node behind one object: events and ``now`` go in, effects and a deadline come out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from receptor.errors import PeerError
from receptor.netceptor.effects import Effect
from receptor.netceptor.firewall import OPEN, Firewall
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.mesh import Identity, Mesh
from receptor.netceptor.packets import DATA, MOST_HOPS, Address
from receptor.netceptor.pings import Pings
from receptor.netceptor.streams import Streams
from receptor.netceptor.switch import Switch

if TYPE_CHECKING:
    from receptor.netceptor.stream_security import ListenerSecurity

LOCAL_ROUNDS = 64
"""How often ``poll`` passes datagrams between two ends on this node before it lets the shell breathe."""


class Netceptor:
    """A node of the mesh.

    Every call takes ``now``, seconds of one clock that never goes back. After any calls the shell takes the
    effects by ``poll`` and calls it again no later than ``deadline``.
    """

    def __init__(
        self,
        identity: Identity,
        credentials: Callable[[], ListenerSecurity],
        rng: random.Random,
        now: float,
        limits: MeshLimits = DEFAULT_LIMITS,
        firewall: Firewall = OPEN,
        trace: bool = False,
    ) -> None:
        self._effects: list[Effect] = []
        emit = self._emit
        self.mesh = Mesh(identity, rng, now, emit, limits)
        self.switch = Switch(self.mesh, emit, firewall, trace)
        self.pings = Pings(identity.node_id, self.switch, rng, emit, limits)
        self.streams = Streams(identity.node_id, self.switch, credentials, rng, self.mesh.complaints, emit, limits)
        self.mesh.on_restart(self.streams.node_restarted)

    def session_opened(self, session: int, terms: LinkTerms, now: float, dialled: bool = False) -> None:
        """A backend has a new session, numbered by the shell; ``dialled`` if it leads to a peer of our choice."""
        self.mesh.sessions.opened(session, terms, now, dialled)

    def session_closed(self, session: int, now: float) -> None:
        """A session has ended, unless we asked for it by Disconnect."""
        self.mesh.sessions.closed(session, now)

    def packets_received(self, session: int, packets: Iterable[bytes], now: float) -> None:
        """Packets have arrived on a session, in this order."""
        self.mesh.sessions.heard(session, now)
        for packet in packets:
            try:
                self._receive(session, packet, now)
            except PeerError as error:
                self.mesh.end_session(session, f"link closed: {error}", now)
                return

    def open_datagrams(self, service: str) -> None:
        """Take datagrams for a service; each comes as DatagramArrived. Raises ValueError if it is taken."""
        self.switch.open(service, self.switch.deliver_as_datagrams)

    def send_datagram(self, from_service: str, to: Address, payload: bytes, now: float, hops: int = MOST_HOPS) -> None:
        """Send one datagram of at most the mesh MTU. Raises UnreachableError if there is no route."""
        self.switch.send(from_service, to, payload, now, hops)

    def poll(self, now: float) -> list[Effect]:
        """Do what has come due and hand over everything that is to be done outside, in order."""
        self.mesh.advance(now)
        self.pings.advance(now)
        self.streams.advance(now)
        for _ in range(LOCAL_ROUNDS):
            if not self.streams.has_work:
                break
            self.streams.flush(now)
        effects, self._effects = self._effects, []
        return effects

    def deadline(self) -> float | None:
        """When ``poll`` must be called next at the latest; in the past if it should be called again at once."""
        if self.streams.has_work:
            return float("-inf")
        times = [self.mesh.timers.deadline(), self.pings.timers.deadline(), self.streams.timers.deadline()]
        return min([time for time in times if time is not None], default=None)

    def _receive(self, session: int, packet: bytes, now: float) -> None:
        if not packet:
            raise PeerError("an empty packet")
        if packet[0] != DATA:
            self.mesh.receive(session, packet, now)
        elif self.mesh.sessions.established(session) is not None:
            self.switch.receive(packet, now)

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)
