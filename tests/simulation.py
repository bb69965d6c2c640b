"""A whole mesh in one process and in virtual time: cores joined by simulated cables.

Everything follows from the seed: ids, epochs, latencies, losses. Nothing sleeps; ``run`` jumps from event to event.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import msgspec

from receptor.netceptor.effects import Disconnect, Duplicate, Effect, RoutesChanged, Send
from receptor.netceptor.firewall import OPEN, Firewall
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.mesh import SHORTEST_IDLE_TIMEOUT, Identity
from receptor.netceptor.messages import PATIENT, RoutingUpdate, decode_routing_update, encode_routing_update
from receptor.netceptor.netceptor import Netceptor
from receptor.netceptor.packets import ROUTING_UPDATE
from receptor.netceptor.stream_security import ListenerSecurity
from receptor.node.credentials import insecure_credentials

UNIX_TIME = 1_800_000_000.0

EffectKind = TypeVar("EffectKind", bound=Effect)


@lru_cache
def credentials() -> ListenerSecurity:
    return insecure_credentials()


UNHEEDED = "-"
"""What existing nodes take the mark of patient nodes for: any letter of an id, with which they pass it on."""


def as_existing_nodes_understand(packet: bytes) -> bytes:
    """A packet without what only nodes of ours heed."""
    if packet[0] != ROUTING_UPDATE:
        return packet
    update = decode_routing_update(packet)
    return _with_id(update, update.update_id.replace(PATIENT, UNHEEDED, 1))


def as_existing_nodes_say(packet: bytes) -> bytes:
    """What one of ours says in the place of an existing node, as that would say it."""
    if packet[0] != ROUTING_UPDATE:
        return packet
    update = decode_routing_update(packet)
    if update.node_id == update.forwarding_node:
        return _with_id(update, update.update_id.replace(PATIENT, "x", 1))
    return _with_id(update, update.update_id.replace(UNHEEDED, PATIENT, 1))


def _with_id(update: RoutingUpdate, update_id: str) -> bytes:
    return encode_routing_update(msgspec.structs.replace(update, update_id=update_id, digest=msgspec.UNSET))


@dataclass
class Cable:
    """Two sessions' ends and what happens to the packets between them."""

    ends: tuple[tuple[str, int], tuple[str, int]]
    latency: float = 0.001
    loss: float = 0.0
    cut: bool = False
    """A cut cable swallows everything without a word; see ``Simulation.unplug`` for an end that both notice."""
    arrival: dict[str, float] = field(default_factory=dict)
    carried: list[tuple[str, bytes]] = field(default_factory=list)

    def far_end(self, node: str) -> tuple[str, int]:
        return self.ends[1] if self.ends[0][0] == node else self.ends[0]


class Simulation:
    """Nodes, cables and a clock."""

    def __init__(self, seed: int = 1, *, keeps: tuple[type[Effect], ...] | None = None) -> None:
        """``keeps`` are the effects that ``told`` keeps; if given, no packets are kept either. For large meshes."""
        self.rng = random.Random(seed)
        self._keeps = keeps
        self.now = 0.0
        self.nodes: dict[str, Netceptor] = {}
        self.told: dict[str, list[Effect]] = {}
        self.cables: dict[tuple[str, int], Cable] = {}
        self.existing: set[str] = set()
        """Nodes that neither say nor hear what existing nodes don't know, and so behave as they do."""
        self.sent_packets = 0
        self.sent_bytes = 0
        self.routes_changed_at = 0.0
        """When any node last changed its table of next hops."""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._wake_at: dict[str, float] = {}
        self._count = 0

    def add(
        self,
        name: str,
        node_id: str | None = None,
        clock_error: float = 0.0,
        limits: MeshLimits = DEFAULT_LIMITS,
        firewall: Firewall = OPEN,
        is_existing: bool = False,
    ) -> Netceptor:
        """Start a node, and know it by a name that may differ from its id. Its clock is ahead by ``clock_error``."""
        unix_time = UNIX_TIME + clock_error
        epoch = int(unix_time + self.now) << 24 | self.rng.getrandbits(24)
        identity = Identity(node_id or name, epoch, unix_time, SHORTEST_IDLE_TIMEOUT)
        node = Netceptor(identity, credentials, random.Random(self.rng.random()), self.now, limits, firewall)
        self.nodes[name] = node
        self.told[name] = []
        if is_existing:
            self.existing.add(name)
        self.settle(name)
        return node

    def kill(self, node_id: str) -> None:
        """End a node at once; its neighbours see their sessions close."""
        del self.nodes[node_id]
        self.existing.discard(node_id)
        for key in [key for key in self.cables if key[0] == node_id]:
            self.unplug(self.cables[key])

    def plug(
        self, one: str, other: str, terms: LinkTerms | None = None, other_terms: LinkTerms | None = None,
        latency: float = 0.001, loss: float = 0.0,
    ) -> Cable:  # fmt: skip
        """Join two nodes."""
        first, second = self._number(), self._number()
        cable = Cable(((one, first), (other, second)), latency, loss)
        self.cables[one, first] = self.cables[other, second] = cable
        self.nodes[one].session_opened(first, terms or LinkTerms(), self.now)
        self.nodes[other].session_opened(second, other_terms or terms or LinkTerms(), self.now)
        self.settle(one)
        self.settle(other)
        return cable

    def unplug(self, cable: Cable) -> None:
        """End a cable so that both ends notice."""
        for node, session in cable.ends:
            if self.cables.pop((node, session), None) is not None and node in self.nodes:
                self.nodes[node].session_closed(session, self.now)
                self.settle(node)

    def run(self, seconds: float) -> None:
        """Let that much time pass."""
        self.run_until(lambda: False, seconds)

    def run_until(self, condition: Callable[[], object], seconds: float = 60.0) -> bool:
        """Let time pass until the condition holds; False if it never did."""
        end = self.now + seconds
        while not condition():
            if not self._events or self._events[0][0] > end:
                self.now = end
                return bool(condition())
            when, _, event = heapq.heappop(self._events)
            self.now = max(self.now, when)
            event()
        return True

    def routes(self, node: str) -> dict[str, str]:
        return self.nodes[node].mesh.topology.routes

    def cable_between(self, one: str, other: str) -> Cable:
        return next(cable for cable in self.cables.values() if {name for name, _ in cable.ends} == {one, other})

    def advertise(self, node: str, service: str = "svc") -> None:
        """Let a node offer a service from now on."""
        self.nodes[node].mesh.advertise(service, 1, {}, None, self.now)
        self.settle(node)

    def services(self, node: str) -> list[str]:
        """The services that a node knows."""
        return sorted(str(one) for one in self.nodes[node].mesh.advertisements.everything())

    def told_of(self, node_id: str, kind: type[EffectKind]) -> list[EffectKind]:
        """What a node has told its user of a kind."""
        return [effect for effect in self.told[node_id] if isinstance(effect, kind)]

    def settle(self, node_id: str) -> None:
        """Carry out what a node asks for now, and plan its next call."""
        node = self.nodes.get(node_id)
        if node is None:
            return
        for effect in node.poll(self.now):
            match effect:
                case Send(session, packet):
                    self._carry(node_id, session, packet)
                case Disconnect(session):
                    cable = self.cables.get((node_id, session))
                    if cable is not None:
                        self._at(self.now + cable.latency, lambda cable=cable: self.unplug(cable))  # type: ignore[misc]
                case _:
                    if isinstance(effect, RoutesChanged):
                        self.routes_changed_at = self.now
                    if self._keeps is None or isinstance(effect, self._keeps):
                        self.told[node_id].append(effect)
                    if isinstance(effect, Duplicate):
                        self.kill(node_id)
                        return
        deadline = node.deadline()
        if deadline is not None:
            self._plan(node_id, max(deadline, self.now))

    def _plan(self, node_id: str, when: float) -> None:
        """Let a node settle then. A call too early does no harm, and so a later time replaces none that is planned."""
        if self._wake_at.get(node_id, math.inf) <= when:
            return
        self._wake_at[node_id] = when

        def wake() -> None:
            if self._wake_at.get(node_id) == when:
                del self._wake_at[node_id]
                self.settle(node_id)

        self._at(when, wake)

    def _carry(self, node_id: str, session: int, packet: bytes) -> None:
        self.sent_packets += 1
        self.sent_bytes += len(packet)
        cable = self.cables.get((node_id, session))
        if cable is None or cable.cut or self.rng.random() < cable.loss:
            return
        to_node, to_session = cable.far_end(node_id)
        if node_id in self.existing:
            packet = as_existing_nodes_say(packet)
        if to_node in self.existing:
            packet = as_existing_nodes_understand(packet)
        if self._keeps is None:
            cable.carried.append((node_id, packet))
        # A link keeps its order, as TCP does.
        when = max(cable.arrival.get(node_id, 0.0), self.now + cable.latency)
        cable.arrival[node_id] = when

        def arrive() -> None:
            node = self.nodes.get(to_node)
            if node is not None and self.cables.get((to_node, to_session)) is cable and not cable.cut:
                node.packets_received(to_session, [packet], self.now)
                self.settle(to_node)

        self._at(when, arrive)

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, self._number(), event))

    def _number(self) -> int:
        self._count += 1
        return self._count


def line_of_nodes(*names: str, latency: float = 0.001, loss: float = 0.0) -> Simulation:
    """Nodes in a row that all know each other."""
    simulation = Simulation()
    for name in names:
        simulation.add(name)
    for one, other in pairwise(names):
        simulation.plug(one, other, latency=latency, loss=loss)
    assert simulation.run_until(lambda: all(len(simulation.routes(name)) == len(names) - 1 for name in names))
    return simulation
