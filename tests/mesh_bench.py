"""A node on the bench: packets of invented neighbours go in by hand, and what it does is written down in lines.

The lines of effects, sessions first: ``1: up near``, ``1: update of us (near at 1)``, ``1: update of far via us (near
at 1)``, ``1: greeting``, ``1: service control of far``, ``1: data from us:x to far:y with 29 hops: 'payload'``,
``1: reject``, ``1: disconnect``, ``routes near=near``, ``duplicate``.
"""

from __future__ import annotations

import random

from simulation import UNIX_TIME, credentials

from receptor.netceptor.effects import (
    DatagramArrived,
    Disconnect,
    Duplicate,
    Effect,
    LinkDown,
    LinkUp,
    Notice,
    PingEnded,
    RoutesChanged,
    Send,
    ServiceChanged,
)
from receptor.netceptor.firewall import OPEN, Firewall
from receptor.netceptor.highwayhash import name_hash
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.mesh import SHORTEST_IDLE_TIMEOUT, Identity
from receptor.netceptor.messages import (
    PATIENT,
    Advertisement,
    RoutingUpdate,
    decode_advertisement,
    decode_routing_update,
    encode_advertisement,
    encode_routing_update,
    format_time,
)
from receptor.netceptor.netceptor import Netceptor
from receptor.netceptor.packets import (
    ADVERTISEMENT,
    DATA,
    HEADER_SIZE,
    REJECT_PACKET,
    ROUTING_UPDATE,
    Address,
    Datagram,
    decode_header,
    encode_datagram,
)

OUR_EPOCH = 1000


class Bench:
    """The node ``us`` and its clock."""

    def __init__(
        self,
        idle_timeout: float = SHORTEST_IDLE_TIMEOUT,
        limits: MeshLimits = DEFAULT_LIMITS,
        firewall: Firewall = OPEN,
        trace: bool = False,
    ) -> None:
        self.now = 0.0
        identity = Identity("us", OUR_EPOCH, UNIX_TIME, idle_timeout)
        self.node = Netceptor(identity, credentials, random.Random(1), self.now, limits, firewall, trace)
        self.notices: list[str] = []
        self.reasons: list[str] = []
        self.changes: list[LinkDown | ServiceChanged] = []
        """What is told for people only."""
        self.names = {name_hash(name): name for name in ("us", "near", "far", "other")}
        self._done: list[tuple[float, Effect]] = []

    def open(self, session: int, terms: LinkTerms | None = None) -> None:
        """A session begins."""
        self.node.session_opened(session, terms or LinkTerms(), self.now)
        self.poll()

    def close(self, session: int) -> None:
        """A session ends by itself."""
        self.node.session_closed(session, self.now)
        self.poll()

    def receive(self, session: int, *packets: bytes) -> None:
        """Packets arrive."""
        self.node.packets_received(session, packets, self.now)
        self.poll()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while (deadline := self.node.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.poll()
        self.now = end

    def poll(self) -> None:
        for effect in self.node.poll(self.now):
            if isinstance(effect, Notice):
                self.notices.append(effect.text)
            elif isinstance(effect, LinkDown | ServiceChanged):
                self.changes.append(effect)
            else:
                self._done.append((self.now, effect))
            if isinstance(effect, Disconnect):
                self.reasons.append(effect.reason)

    def did(self) -> list[str]:
        """What the node did since the last look."""
        return [line for _, line in self.timeline()]

    def timeline(self) -> list[tuple[float, str]]:
        """What the node did since the last look, and when."""
        done, self._done = self._done, []
        return [(round(when, 6), self._line(effect)) for when, effect in done]

    def sends_of(self, kind: int) -> list[Send]:
        """The packets of a kind that were sent since the last look."""
        done, self._done = self._done, []
        return [effect for _, effect in done if isinstance(effect, Send) and effect.packet[0] == kind]

    def sends(self) -> list[Send]:
        """The packets of now, as they are."""
        return [effect for effect in self.node.poll(self.now) if isinstance(effect, Send)]

    def _line(self, effect: Effect) -> str:
        match effect:
            case Send(session, packet):
                return f"{session}: {self._packet(packet)}"
            case Disconnect(session):
                return f"{session}: disconnect"
            case LinkUp(session, node):
                return f"{session}: up {node}"
            case RoutesChanged(routes):
                return f"routes {' '.join(f'{node}={hop}' for node, hop in sorted(routes.items())) or 'none'}"
            case Duplicate():
                return "duplicate"
            case PingEnded(ping, node, seconds, problem):
                return f"ping {ping} ended after {seconds:g} s: {problem or 'answered'}{node and ' by '}{node}"
            case DatagramArrived(datagram):
                return f"datagram from {datagram.source} to {datagram.destination}: {datagram.payload.decode()!r}"
            case _:
                return repr(effect)

    def _packet(self, packet: bytes) -> str:
        if packet == REJECT_PACKET:
            return "reject"
        if packet[0] == ADVERTISEMENT:
            return str(decode_advertisement(packet))
        if packet[0] == DATA:
            header = decode_header(packet)
            source = Address(self.names[header.from_node], header.from_service)
            destination = Address(self.names[header.to_node], header.to_service)
            return f"data from {source} to {destination} with {header.hops} hops: {packet[HEADER_SIZE:].decode()!r}"
        update = decode_routing_update(packet)
        assert packet[0] == ROUTING_UPDATE
        if isinstance(update.digest, int):
            return "greeting"
        text = str(update).replace(f" {update.update_id}", "")
        if update.forwarding_node != update.node_id:
            text = text.replace(" (", f" via {update.forwarding_node} (")
        return text + (f" suspects {update.suspected_duplicate}" if update.suspected_duplicate else "")


class Neighbour:
    """The far end of a session of the bench: says what a test wants it to."""

    def __init__(self, bench: Bench, session: int, node_id: str = "near", epoch: int = 7) -> None:
        self.bench = bench
        self.session = session
        self.node_id = node_id
        self.epoch = epoch
        self.sequence = 0

    def say(self, *packets: bytes) -> None:
        self.bench.receive(self.session, *packets)

    def update(
        self,
        connections: dict[str, float],
        *,
        of: str | None = None,
        epoch: int | None = None,
        sequence: int | None = None,
        forwarder: str | None = None,
        suspects: int = 0,
        update_id: str | None = None,
        refresh: int = 0,
    ) -> None:
        """Send a routing update: of ourselves and in order, unless it says otherwise."""
        self.sequence += 1
        update = RoutingUpdate(
            node_id=of if of is not None else self.node_id,
            update_id=(PATIENT if refresh else "") + (update_id or f"{self.node_id}{self.sequence}"),
            epoch=epoch if epoch is not None else self.epoch,
            sequence=sequence if sequence is not None else self.sequence,
            connections=connections,
            forwarding_node=forwarder if forwarder is not None else self.node_id,
            suspected_duplicate=suspects,
        )
        self.say(encode_routing_update(update))

    def greet(self, digest: int) -> None:
        """Greet as a node of ours does."""
        greeting = RoutingUpdate(
            node_id="",
            update_id="greeting",
            epoch=0,
            sequence=0,
            connections={},
            forwarding_node=self.node_id,
            digest=digest,
        )
        self.say(encode_routing_update(greeting))

    def advertise(self, service: str, of: str = "far", made_at: float = 1.0, cancel: bool = False) -> None:
        """Pass on the advertisement of a service."""
        time = format_time(int(made_at * 1e9))
        self.say(
            encode_advertisement(
                Advertisement(node_id=of, service=service, time=time, connection_type=1, cancel=cancel)
            )
        )

    def data(self, source: Address, destination: Address, payload: bytes = b"", hops: int = 29) -> None:
        """Pass on a datagram."""
        self.say(encode_datagram(Datagram(source, destination, payload), hops))


def join(bench: Bench, session: int, node_id: str = "near", cost: float = 1.0, refresh: int = 0) -> Neighbour:
    """A neighbour whose link is up and listed by both sides; what happened until then is not told."""
    neighbour = Neighbour(bench, session, node_id)
    bench.open(session, LinkTerms(cost=cost))
    neighbour.update({}, refresh=refresh)
    neighbour.update({"us": cost}, refresh=refresh)
    bench.wait(0.2)
    bench.did()
    return neighbour
