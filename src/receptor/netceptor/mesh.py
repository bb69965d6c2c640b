"""How this node and its neighbours learn of each other and of the rest: the control plane of the mesh.

Source: mesh protocol, sections 3 (joining, flooding, routes) and 5 (advertisements).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import msgspec

from receptor.errors import PeerError
from receptor.identifiers import random_name
from receptor.netceptor.advertisements import SERVICE_MEMORY, Advertisements
from receptor.netceptor.agreement import Agreement
from receptor.netceptor.announcer import Announcer
from receptor.netceptor.complaints import Complaints
from receptor.netceptor.effects import Effect, RoutesChanged, Send, ServiceChanged
from receptor.netceptor.highwayhash import name_hash
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.links import Link, LinkRefused
from receptor.netceptor.messages import (
    Advertisement,
    RoutingUpdate,
    WorkCommand,
    decode_advertisement,
    decode_routing_update,
    encode_advertisement,
    encode_routing_update,
)
from receptor.netceptor.namesakes import Namesakes
from receptor.netceptor.own_updates import FLOOD_DELAY, OwnUpdates
from receptor.netceptor.pace import Pace
from receptor.netceptor.packets import ADVERTISEMENT, REJECT, REJECT_PACKET, ROUTING_UPDATE
from receptor.netceptor.sender import Sender
from receptor.netceptor.sessions import Sessions
from receptor.netceptor.timers import Chore, Timers
from receptor.netceptor.topology import MEMORY, Topology

ROUTE_DELAY = 0.1
ROUTE_DELAY_PER_EDGE = 5e-6
"""Seconds in which we gather changes before we compute routes, longer if that takes long: a third of the time at most
is spent on it, whatever a hostile node claims."""

SHORTEST_IDLE_TIMEOUT = 21.0
SWEEP_INTERVAL = 60.0


class Identity(msgspec.Struct, frozen=True):
    """Who this node is in this run, and how its own clock relates to the world's."""

    node_id: str
    epoch: int
    unix_time_at_zero: float
    """What the unix time is when ``now`` is 0."""
    idle_timeout: float = SHORTEST_IDLE_TIMEOUT


class Mesh:
    """Takes in what neighbours say, passes on what is news, and keeps the tables that follow from it."""

    def __init__(
        self,
        identity: Identity,
        rng: random.Random,
        now: float,
        emit: Callable[[Effect], None],
        limits: MeshLimits = DEFAULT_LIMITS,
    ) -> None:
        self.identity = identity
        self.topology = Topology(identity.node_id, limits)
        self.advertisements = Advertisements(identity.node_id, limits, lambda *change: emit(ServiceChanged(*change)))
        self.complaints = Complaints(emit)
        self.neighbours: dict[str, Link] = {}
        self.names = {name_hash(identity.node_id): identity.node_id}
        self.timers: Timers[Chore] = Timers()
        self._rng = rng
        self._emit = emit
        self._runs: dict[str, int] = {}
        """The epoch in which each node was last heard."""
        self._on_restart: Callable[[str, float], None] = _nobody
        self._sender = Sender(self.neighbours, self.complaints, emit)
        pace = Pace(self._is_patient, rng)
        self._announcer = Announcer(identity.unix_time_at_zero, self.advertisements, self._sender, self.timers, pace)
        self._own_updates = OwnUpdates(
            identity.node_id,
            identity.epoch,
            self.neighbours,
            self.topology,
            self._sender,
            self.timers,
            pace,
            lambda now: self._agreement.greet_all(now),
            rng,
        )
        self._agreement = Agreement(
            self.neighbours, self.topology, self.advertisements, self._own_updates, self._sender, self.timers, rng
        )
        self._namesakes = Namesakes(now, self._own_updates, self._announcer, self._sender, self.complaints, emit)
        self.sessions = Sessions(
            self.neighbours,
            identity.idle_timeout,
            limits,
            self._own_updates,
            self._sender,
            self.timers,
            self.complaints,
            emit,
            self._lost,
        )
        self.timers.set(self._sweep, now + SWEEP_INTERVAL)

    def on_restart(self, told: Callable[[str, float], None]) -> None:
        """Have somebody told of each node that seems to be another run now, and to know nothing of the former's."""
        self._on_restart = told

    def receive(self, session: int, packet: bytes, now: float) -> None:
        """Process a packet that is not data; a neighbour that breaks the protocol loses its link."""
        link = self.sessions.find(session)
        if link is None:
            return
        try:
            self._receive(link, packet, now)
        except LinkRefused as error:
            self._emit(Send(session, REJECT_PACKET, may_drop=False))
            self.end_session(session, f"link refused: {error}", now)
        except PeerError as error:
            self.end_session(session, f"link closed: {error}", now)

    def end_session(self, session: int, reason: str, now: float) -> None:
        """Close a session of ours and say why."""
        self.sessions.end(session, reason, now)

    def advertise(
        self,
        service: str,
        connection_type: int,
        tags: dict[str, str],
        work_commands: list[WorkCommand] | None,
        now: float,
    ) -> None:
        """Tell the mesh of a service of ours, now and from time to time until it is withdrawn."""
        advertisement = Advertisement(
            node_id=self.identity.node_id,
            service=service,
            time="",
            connection_type=connection_type,
            tags=tags,
            work_commands=work_commands,
        )
        self._announcer.announce(advertisement, now)

    def withdraw(self, service: str, now: float) -> None:
        """Tell the mesh that a service of ours has ended."""
        self._announcer.withdraw(service, now)

    def advance(self, now: float) -> None:
        """Do what has come due."""
        for chore in self.timers.due(now):
            chore(now)

    def _receive(self, link: Link, packet: bytes, now: float) -> None:
        kind = packet[0]
        if kind == ROUTING_UPDATE and link.neighbour is None:
            self._establish(link, decode_routing_update(packet), now)
        elif kind == ROUTING_UPDATE:
            self._receive_update(link, packet, now)
        elif kind == ADVERTISEMENT and link.neighbour is not None:
            self._receive_advertisement(link, packet, now)
        elif kind == REJECT:
            raise PeerError("the other end refused it; its log says why")
        elif kind != ADVERTISEMENT:
            raise PeerError(f"packet of unknown type {kind}")

    # Neighbours

    def _establish(self, link: Link, update: RoutingUpdate, now: float) -> None:
        node = link.check_newcomer(update, self.identity.node_id, self.neighbours)
        self._learn(node)
        if update.node_id == node:
            self._note_run(node, update.epoch, now)
        if node not in self.topology.routes:
            self._agreement.expect_difference(link)
        self.sessions.establish(link, node, now)
        self.topology.connect(node, link.cost)
        self._own_updates.flood_new_link(now)
        self._compute_routes(now)
        if not update.refresh:
            for advertisement in self.advertisements.everything():
                self._sender.send(link.session, encode_advertisement(advertisement), now)
        if update.node_id == node:
            self._tell_of_later_run(link, node, update.epoch, now)

    def _tell_of_later_run(self, link: Link, node: str, epoch: int, now: float) -> None:
        """Show a neighbour whose clock was set back before its start that the mesh knows a later run of it.

        Everybody would drop its updates as old. Ours it takes for those of a namesake, and then tells the mesh to
        follow its own run (section 3, suspected duplicates).
        """
        known = self.topology.nodes.get(node)
        if known is not None and known.epoch > epoch:
            for advertisement in self.advertisements.of(node):
                self._sender.send(link.session, encode_advertisement(advertisement), now)
            later_run = RoutingUpdate(
                node_id=node,
                update_id=random_name(self._rng),
                epoch=known.epoch,
                sequence=known.sequence,
                connections={},
                forwarding_node=self.identity.node_id,
            )
            self._sender.send(link.session, encode_routing_update(later_run), now)

    def _lost(self, neighbour: str, now: float) -> None:
        self.topology.disconnect(neighbour)
        if neighbour not in self.topology.nodes:
            self._unlearn([neighbour])
        self._own_updates.flood_lost_link(now)
        self.timers.set(self._compute_routes, now)

    # What is flooded may come from far away, by neighbours who see nothing wrong with it: existing nodes pass on
    # whatever Go's JSON decoder takes. So what can't be read or is refused is dropped, and the link stays.

    def _receive_update(self, link: Link, packet: bytes, now: float) -> None:
        try:
            update = decode_routing_update(packet)
        except PeerError as error:
            self._drop(link, error, now)
            return
        if link.check_update(update, self.identity.node_id):
            try:
                self._process_update(update, link, now)
            except PeerError as error:
                self._drop(link, error, now)
            if update.node_id == link.neighbour and update.refresh and not link.is_ours:
                link.is_ours = True
                self._agreement.greet(link, now)

    def _receive_advertisement(self, link: Link, packet: bytes, now: float) -> None:
        try:
            advertisement = decode_advertisement(packet)
            is_news = self.advertisements.receive(advertisement, now)
        except PeerError as error:
            self._drop(link, error, now)
            return
        if is_news:
            self._sender.flood(packet, now, but=link)
        elif advertisement.node_id == self.identity.node_id:
            self._announcer.heard(advertisement, now)

    def _drop(self, link: Link, problem: PeerError, now: float) -> None:
        text = f"a message that {link.neighbour} passed on was dropped: {problem}"
        self.complaints.say(("dropped", link.session), text, now, link.neighbour or "")

    def _process_update(self, update: RoutingUpdate, link: Link, now: float) -> None:
        if not update.node_id:
            if isinstance(update.digest, int):
                self._agreement.hear(link, update.digest, now)
            return
        if update.node_id == self.identity.node_id:
            self._namesakes.heard(update, now)
            return
        # What two runs of a node say would follow each other round a loop of links without end, each the latest again.
        # So nothing is passed on twice, and what has passed changes no run but by a notice.
        has_passed = self.topology.has_passed(update.update_id)
        if update.suspected_duplicate:
            packet = self._passed_on(update)
            self._heed_notice(update, packet, has_passed, now)
        elif not self.topology.is_news(update, now) or (has_passed and self.topology.would_change_run(update)):
            return
        else:
            packet = self._passed_on(update)
            self._apply(update, packet, now)
        if not has_passed:
            self.topology.passed(update.update_id, now)
            self._sender.flood(packet, now, but=link)

    def _passed_on(self, update: RoutingUpdate) -> bytes:
        return encode_routing_update(msgspec.structs.replace(update, forwarding_node=self.identity.node_id))

    def _heed_notice(self, update: RoutingUpdate, packet: bytes, has_passed: bool, now: float) -> None:
        is_adopted = self.topology.adopt_run(update, packet)
        if is_adopted:
            self.advertisements.forget(update.node_id)
        if update.node_id in self.neighbours and (is_adopted or not has_passed):
            # The namesake's updates have cost us our edge to it everywhere.
            self._own_updates.flood_by(now + FLOOD_DELAY)

    def _apply(self, update: RoutingUpdate, packet: bytes, now: float) -> None:
        """Take in an update. Raises PeerError if there are too many nodes or edges for it."""
        known = self.topology.nodes.get(update.node_id)
        former_run = known.epoch if known is not None else None
        if former_run is None:
            self._unlearn(self.topology.make_room(now))
        elif update.epoch < former_run:
            self.advertisements.forget(update.node_id)
        if self.topology.apply(update, now, packet):
            delay = max(ROUTE_DELAY, self.topology.edges * ROUTE_DELAY_PER_EDGE)
            self.timers.set_earlier(self._compute_routes, now + delay)
        if update.epoch != former_run:
            self._learn(update.node_id)
            if self.topology.old_nodes:
                self._own_updates.flood_soon(now)
        self._note_run(update.node_id, update.epoch, now)

    # Tables

    def _compute_routes(self, now: float) -> None:
        self.timers.cancel(self._compute_routes)
        if self.topology.compute_routes(now):
            self._emit(RoutesChanged(dict(self.topology.routes)))

    def _is_patient(self) -> bool:
        return self.topology.is_patient and all(link.is_ours for link in self.neighbours.values())

    def _learn(self, node: str) -> None:
        self.names.setdefault(name_hash(node), node)

    def _note_run(self, node: str, epoch: int, now: float) -> None:
        former = self._runs.get(node, epoch)
        self._runs[node] = epoch
        if epoch != former:
            self._on_restart(node, now)

    def _unlearn(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self._runs.pop(node, None)
            if self.names.get(name_hash(node)) == node:
                del self.names[name_hash(node)]

    def _sweep(self, now: float) -> None:
        self._unlearn(self.topology.forget_stale(now))
        patient = self.topology.nodes.keys() - self.topology.old_nodes
        self.advertisements.forget_stale(heard_before=now - MEMORY, but=patient)
        self.advertisements.forget_stale(heard_before=now - SERVICE_MEMORY)
        self.complaints.sweep(now)
        self.timers.set(self._sweep, now + SWEEP_INTERVAL)


def _nobody(_node: str, _now: float) -> None:
    pass
