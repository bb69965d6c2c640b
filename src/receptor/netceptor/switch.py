"""Where data packets go: to a service of this node, or on to the next hop (mesh protocol, section 4)."""

from __future__ import annotations

import random
from collections.abc import Callable

from receptor.errors import PeerError, UnreachableError
from receptor.identifiers import is_localhost, is_service_name, random_name
from receptor.netceptor.effects import DatagramArrived, Effect, Notice, Send, Severity
from receptor.netceptor.firewall import OPEN, Firewall, Verdict
from receptor.netceptor.mesh import Mesh
from receptor.netceptor.messages import (
    BLOCKED_BY_FIREWALL,
    MESSAGE_EXPIRED,
    SERVICE_UNKNOWN,
    Unreachable,
    decode_unreachable,
    encode_unreachable,
)
from receptor.netceptor.packets import (
    HEADER_SIZE,
    MESH_MTU,
    MOST_HOPS,
    Address,
    Datagram,
    decode_header,
    encode_datagram,
    with_hops,
)

PING = "ping"
UNREACH = "unreach"
RESERVED_SERVICES = frozenset({PING, UNREACH})

DatagramHandler = Callable[[Datagram, float], None]
UnreachableHandler = Callable[[Unreachable, str, float], None]


class Switch:
    """The data plane: takes datagrams of this node's services and packets of its links."""

    def __init__(
        self, mesh: Mesh, emit: Callable[[Effect], None], firewall: Firewall = OPEN, trace: bool = False
    ) -> None:
        """With ``trace`` there is a notice of each datagram that is sent, passed on or received."""
        self._firewall = firewall
        self._trace = trace
        self._mesh = mesh
        self._own = mesh.identity.node_id
        self._emit = emit
        self._services: dict[str, DatagramHandler] = {}
        self._unreachable_handlers: list[UnreachableHandler] = []

    def open(self, service: str, handler: DatagramHandler) -> None:
        """Hand the datagrams for a service of this node to the handler. Raises ValueError if it is taken."""
        if not is_service_name(service):
            raise ValueError(f"service name {service!r} must have 1 to 8 bytes")
        if self.is_open(service):
            raise ValueError(f"service {service} is open already")
        self._services[service] = handler

    def close(self, service: str) -> None:
        """Take no more datagrams for a service."""
        self._services.pop(service, None)

    def unused_service(self, rng: random.Random) -> str:
        """A service name that nobody uses here, for as long as it takes to open it."""
        while self.is_open(name := random_name(rng)):
            pass
        return name

    def is_open(self, service: str) -> bool:
        """Whether a service of this node takes datagrams."""
        return service in RESERVED_SERVICES or service in self._services

    def on_unreachable(self, handler: UnreachableHandler) -> None:
        """Hand over each report that a datagram of ours was undeliverable, with the node that reports."""
        self._unreachable_handlers.append(handler)

    def deliver_as_datagrams(self, datagram: Datagram, _now: float) -> None:
        """The handler of services whose datagrams the shell takes."""
        self._emit(DatagramArrived(datagram))

    def send(self, from_service: str, destination: Address, payload: bytes, now: float, hops: int = MOST_HOPS) -> None:
        """Send a datagram from a service of this node.

        Raises UnreachableError if there is no route to the node, or no such service on this one.
        """
        if len(payload) > MESH_MTU:
            raise ValueError(f"a datagram of {len(payload)} bytes is larger than the mesh takes ({MESH_MTU})")
        if is_localhost(destination.node):
            destination = Address(self._own, destination.service)
        datagram = Datagram(Address(self._own, from_service), destination, payload)
        if not self._passes(datagram.source, destination):
            self._stop(datagram, now)
        elif destination.node == self._own:
            if not self.is_open(destination.service):
                raise UnreachableError(f"{SERVICE_UNKNOWN}: {destination.service} on this node")
            self._deliver(datagram, now)
        elif hops <= 0:
            self.report(datagram, MESSAGE_EXPIRED, now)
        else:
            next_hop = self._mesh.topology.routes.get(destination.node)
            link = self._mesh.neighbours.get(next_hop or "")
            if link is None:
                raise UnreachableError(f"no route to node {destination.node}")
            if self._trace:
                self._note(f"sends {len(payload)} bytes", datagram.source, destination, next_hop)
            self._emit(Send(link.session, encode_datagram(datagram, hops - 1), may_drop=True))

    def receive(self, packet: bytes, now: float) -> None:
        """Process a data packet that came over a link. Raises PeerError if it is malformed."""
        header = decode_header(packet)
        to_node = self._mesh.names.get(header.to_node)
        from_node = self._mesh.names.get(header.from_node)
        if to_node is None or from_node is None:
            self._emit(Notice(Severity.DEBUG, "a data packet from or to a node that we don't know was dropped"))
            return
        source, destination = Address(from_node, header.from_service), Address(to_node, header.to_service)
        if self._trace:
            self._note(f"receives {len(packet) - HEADER_SIZE} bytes", source, destination)
        passes = self._passes(source, destination)
        if passes and to_node != self._own and header.hops > 0:
            self._forward(packet, header.hops, to_node)
            return
        datagram = Datagram(source, destination, packet[HEADER_SIZE:])
        if not passes:
            self._stop(datagram, now)
        elif to_node != self._own:
            self.report(datagram, MESSAGE_EXPIRED, now)
        elif self.is_open(header.to_service):
            self._deliver(datagram, now)
        else:
            self.report(datagram, SERVICE_UNKNOWN, now)

    def _passes(self, source: Address, destination: Address) -> bool:
        return self._firewall.is_open or self._verdict(source, destination) is Verdict.ACCEPT

    def _verdict(self, source: Address, destination: Address) -> Verdict:
        return self._firewall.verdict(source.node, destination.node, source.service, destination.service)

    def _stop(self, datagram: Datagram, now: float) -> None:
        """A firewall rule is against a datagram; its sender is told if the rule says so."""
        if self._verdict(datagram.source, datagram.destination) is Verdict.REJECT:
            self.report(datagram, BLOCKED_BY_FIREWALL, now)

    def _forward(self, packet: bytes, hops: int, to_node: str) -> None:
        link = self._mesh.neighbours.get(self._mesh.topology.routes.get(to_node, ""))
        if link is None:
            self._emit(Notice(Severity.DEBUG, f"a data packet for {to_node} was dropped: no route to it"))
        else:
            if self._trace:
                self._emit(Notice(Severity.TRACE, f"passes it on to {link.neighbour}"))
            self._emit(Send(link.session, with_hops(packet, hops - 1), may_drop=True))

    def _note(self, deed: str, source: Address, destination: Address, next_hop: str | None = None) -> None:
        way = f" by way of {next_hop}" if next_hop else ""
        self._emit(Notice(Severity.TRACE, f"{deed} from {source} to {destination}{way}"))

    def _deliver(self, datagram: Datagram, now: float) -> None:
        service = datagram.destination.service
        if service == PING:
            self._answer_ping(datagram, now)
        elif service == UNREACH:
            self._take_report(datagram, now)
        else:
            self._services[service](datagram, now)

    def _answer_ping(self, datagram: Datagram, now: float) -> None:
        if datagram.source.service not in RESERVED_SERVICES:
            self._send_if_possible(PING, datagram.source, b"", now)

    def _take_report(self, datagram: Datagram, now: float) -> None:
        try:
            message = decode_unreachable(datagram.payload)
        except PeerError as error:
            self._mesh.complaints.say("bad report", str(error), now, datagram.source.node)
            return
        for handler in self._unreachable_handlers:
            handler(message, datagram.source.node, now)

    def report(self, datagram: Datagram, problem: str, now: float) -> None:
        """Tell the sender of a datagram that it was not delivered; a report itself is never answered."""
        source, destination = datagram.source, datagram.destination
        if source.service == UNREACH:
            return
        message = Unreachable(
            from_node=source.node,
            to_node=destination.node,
            from_service=source.service,
            to_service=destination.service,
            problem=problem,
        )
        self._send_if_possible(UNREACH, Address(source.node, UNREACH), encode_unreachable(message), now)

    def _send_if_possible(self, from_service: str, destination: Address, payload: bytes, now: float) -> None:
        try:
            self.send(from_service, destination, payload, now)
        except UnreachableError as error:
            self._emit(Notice(Severity.DEBUG, f"no answer to {destination}: {error}", destination.node))
