"""How this node and its neighbours learn of each other and of the rest: the control plane of the mesh.

Source: mesh protocol, sections 3 (joining, flooding, routes) and 5 (advertisements).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from receptor.errors import PeerError
from receptor.identifiers import random_name
from receptor.netceptor.advertisements import Advertisements
from receptor.netceptor.effects import (
    Disconnect,
    Duplicate,
    Effect,
    LinkUp,
    Notice,
    RoutesChanged,
    Send,
    Severity,
)
from receptor.netceptor.highwayhash import name_hash
from receptor.netceptor.links import SETUP_ATTEMPTS, SETUP_INTERVAL, Link, LinkRefused, LinkTerms
from receptor.netceptor.messages import (
    Advertisement,
    RoutingUpdate,
    WorkCommand,
    decode_advertisement,
    decode_routing_update,
    encode_advertisement,
    encode_routing_update,
    format_time,
)
from receptor.netceptor.packets import ADVERTISEMENT, REJECT, REJECT_PACKET, ROUTING_UPDATE
from receptor.netceptor.timers import Timers
from receptor.netceptor.topology import MEMORY, Topology

UPDATE_INTERVAL = 10.0
ADVERTISE_INTERVAL = 60.0
ROUTE_DELAY = 0.1
FLOOD_DELAY = 0.1
"""Seconds in which we gather the nodes that we hear of for the first time before all hear of us. Without this, N nodes
that join together say N times as much."""
SHORTEST_IDLE_TIMEOUT = 21.0
SWEEP_INTERVAL = 60.0
DUPLICATE_NOTICE_ACCEPTED = 60.0
"""Seconds after our start in which we believe an older node that says we took its id."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is in this run, and how its own clock relates to the world's."""

    node_id: str
    epoch: int
    unix_time_at_zero: float
    """What the unix time is when ``now`` is 0."""
    idle_timeout: float = SHORTEST_IDLE_TIMEOUT


_FLOOD = "flood own update"
_ROUTES = "compute routes"
_ADVERTISE = "advertise services"
_SWEEP = "forget the stale"


class Mesh:
    """Links, flooding, routes and advertisements of one node."""

    def __init__(self, identity: Identity, rng: random.Random, now: float, emit: Callable[[Effect], None]) -> None:
        self.identity = identity
        self.topology = Topology(identity.node_id)
        self.advertisements = Advertisements(identity.node_id)
        self.neighbours: dict[str, Link] = {}
        self.names = {name_hash(identity.node_id): identity.node_id}
        self.timers: Timers[str | tuple[str, int]] = Timers()
        self._rng = rng
        self._emit = emit
        self._started = now
        self._sequence = 0
        self._links: dict[int, Link] = {}
        self.timers.set(_SWEEP, now + SWEEP_INTERVAL)

    # Sessions and links

    def session_opened(self, session: int, terms: LinkTerms, now: float) -> None:
        """A backend has a new session: set up a link on it."""
        self._links[session] = Link(session, terms, now)
        self._send_setup(session, now)

    def session_closed(self, session: int, now: float) -> None:
        """A session is gone, whoever ended it."""
        link = self._links.pop(session, None)
        if link is None:
            return
        self.timers.cancel(("setup", session))
        self.timers.cancel(("idle", session))
        if link.neighbour is not None and self.neighbours.get(link.neighbour) is link:
            del self.neighbours[link.neighbour]
            self.topology.disconnect(link.neighbour)
            self._notice(Severity.INFO, f"link with {link.neighbour} ended", link.neighbour)
            self.timers.set(_FLOOD, now)
            self.timers.set(_ROUTES, now)

    def established(self, session: int) -> Link | None:
        """The link of a session, if it is set up; None before that and when it is gone."""
        link = self._links.get(session)
        return link if link is not None and link.neighbour is not None else None

    def heard(self, session: int, now: float) -> None:
        """Something has arrived on a session: it isn't idle."""
        link = self._links.get(session)
        if link is not None:
            link.last_received = now

    def receive(self, session: int, packet: bytes, now: float) -> None:
        """Process a packet that is not data; a neighbour that breaks the protocol loses its link."""
        link = self._links.get(session)
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
        link = self._links.get(session)
        if link is not None:
            self._notice(Severity.WARNING, reason, link.neighbour or "")
            self._emit(Disconnect(session, reason))
            self.session_closed(session, now)

    def _receive(self, link: Link, packet: bytes, now: float) -> None:
        kind = packet[0]
        if kind == ROUTING_UPDATE:
            update = decode_routing_update(packet)
            if link.neighbour is None:
                self._establish(link, update, now)
            elif link.check_update(update, self.identity.node_id):
                self._process_update(update, link, now)
        elif kind == REJECT:
            raise PeerError("the other end refused it; its log says why")
        elif kind == ADVERTISEMENT and link.neighbour is not None:
            if self.advertisements.receive(decode_advertisement(packet), now):
                self._flood(packet, but=link)
        elif kind != ADVERTISEMENT:
            raise PeerError(f"packet of unknown type {kind}")

    def _establish(self, link: Link, update: RoutingUpdate, now: float) -> None:
        node = link.check_newcomer(update, self.identity.node_id, self.neighbours)
        link.establish(node)
        self.timers.cancel(("setup", link.session))
        self.timers.set(("idle", link.session), now + self.identity.idle_timeout)
        self.neighbours[node] = link
        self._learn(node)
        self.topology.connect(node, link.cost)
        self._emit(LinkUp(link.session, node))
        self._notice(Severity.INFO, f"link with {node} established at cost {link.cost:g}", node)
        self._flood_own_update(now)
        self._compute_routes()
        for advertisement in self.advertisements.everything():
            self._emit(Send(link.session, encode_advertisement(advertisement), may_drop=False))
        if update.node_id == node:
            self._tell_of_later_run(link, node, update.epoch)

    def _tell_of_later_run(self, link: Link, node: str, epoch: int) -> None:
        """Show a neighbour whose clock was set back before its start that the mesh knows a later run of it.

        Everybody would drop its updates as old. Ours it takes for those of a namesake, and then tells the mesh to
        follow its own run (section 3, suspected duplicates).
        """
        known = self.topology.nodes.get(node)
        if known is not None and known.epoch > epoch:
            later_run = RoutingUpdate(
                node_id=node,
                update_id=random_name(self._rng),
                epoch=known.epoch,
                sequence=known.sequence,
                connections={},
                forwarding_node=self.identity.node_id,
            )
            self._emit(Send(link.session, encode_routing_update(later_run), may_drop=False))

    def _send_setup(self, session: int, now: float) -> None:
        link = self._links.get(session)
        if link is None or link.neighbour is not None:
            return
        if link.setup_attempts >= SETUP_ATTEMPTS:
            self.end_session(session, f"link given up: no routing update in {SETUP_ATTEMPTS} s", now)
            return
        link.setup_attempts += 1
        self._emit(Send(session, encode_routing_update(self._own_update()), may_drop=False))
        self.timers.set(("setup", session), now + SETUP_INTERVAL)

    def _check_idle(self, session: int, now: float) -> None:
        link = self._links.get(session)
        if link is None:
            return
        silent_until = link.last_received + self.identity.idle_timeout
        if silent_until <= now:
            self.end_session(session, f"link closed: nothing received for {self.identity.idle_timeout:g} s", now)
        else:
            self.timers.set(("idle", session), silent_until)

    # Routing updates

    def _own_update(self, suspected_duplicate: int = 0) -> RoutingUpdate:
        self._sequence += 1
        return RoutingUpdate(
            node_id=self.identity.node_id,
            update_id=random_name(self._rng),
            epoch=self.identity.epoch,
            sequence=self._sequence,
            connections={node: link.cost for node, link in self.neighbours.items()},
            forwarding_node=self.identity.node_id,
            suspected_duplicate=suspected_duplicate,
        )

    def _flood_own_update(self, now: float) -> None:
        if self.neighbours:
            self._flood(encode_routing_update(self._own_update()))
            self.timers.set(_FLOOD, now + UPDATE_INTERVAL)

    def _process_update(self, update: RoutingUpdate, link: Link, now: float) -> None:
        if not update.node_id:
            return
        if update.node_id == self.identity.node_id:
            self._process_namesake(update, now)
            return
        if not self.topology.first_sight(update.update_id, now):
            return
        if update.suspected_duplicate:
            self.topology.adopt_run(update)
            if update.node_id in self.neighbours:
                # The namesake's updates have cost us our edge to it everywhere.
                self.timers.set_earlier(_FLOOD, now + FLOOD_DELAY)
        elif not self.topology.is_news(update):
            return
        else:
            self._apply(update, now)
        forwarded = msgspec.structs.replace(update, forwarding_node=self.identity.node_id)
        self._flood(encode_routing_update(forwarded), but=link)

    def _apply(self, update: RoutingUpdate, now: float) -> None:
        if update.node_id not in self.topology.nodes:
            self.timers.set_earlier(_FLOOD, now + FLOOD_DELAY)
            self._learn(update.node_id)
        if self.topology.apply(update, now):
            self.timers.set_earlier(_ROUTES, now + ROUTE_DELAY)

    def _process_namesake(self, update: RoutingUpdate, now: float) -> None:
        """Somebody else sends updates in our name, or tells us that we do in theirs."""
        own = self.identity
        if update.epoch == own.epoch:
            return
        if update.suspected_duplicate == own.epoch:
            text = f"another node, started earlier, has the id {own.node_id}; give each node an id of its own"
            if now - self._started <= DUPLICATE_NOTICE_ACCEPTED:
                self._emit(Duplicate(text))
            else:
                self._notice(Severity.ERROR, f"{text}; this node has run too long to be the newcomer and stays")
        elif update.epoch > own.epoch:
            text = f"a node started later uses our id {own.node_id}, or did before our clock was set back"
            self._notice(Severity.ERROR, f"{text}; telling it to end")
            self._flood(encode_routing_update(self._own_update(suspected_duplicate=update.epoch)))
            # Those who had followed the other to its neighbours come back to ours.
            self.timers.set_earlier(_FLOOD, now + FLOOD_DELAY)

    def _compute_routes(self) -> None:
        self.timers.cancel(_ROUTES)
        if self.topology.compute_routes():
            self._emit(RoutesChanged(dict(self.topology.routes)))

    # Services

    def advertise(
        self,
        service: str,
        connection_type: int,
        tags: dict[str, str],
        work_commands: list[WorkCommand] | None,
        now: float,
    ) -> None:
        """Tell the mesh of a service of ours, now and every minute until it is withdrawn."""
        self._announce(
            Advertisement(
                node_id=self.identity.node_id,
                service=service,
                time=self._wall_time(now),
                connection_type=connection_type,
                tags=tags,
                work_commands=work_commands,
            )
        )
        self.timers.set_earlier(_ADVERTISE, now + ADVERTISE_INTERVAL)

    def withdraw(self, service: str, now: float) -> None:
        """Tell the mesh that a service of ours has ended."""
        advertisement = self.advertisements.withdraw(service)
        if advertisement is not None:
            gone = msgspec.structs.replace(advertisement, time=self._wall_time(now), cancel=True)
            self._flood(encode_advertisement(gone))

    def _announce(self, advertisement: Advertisement) -> None:
        self.advertisements.offer(advertisement)
        self._flood(encode_advertisement(advertisement))

    def _advertise_all(self, now: float) -> None:
        for advertisement in self.advertisements.own:
            self._announce(msgspec.structs.replace(advertisement, time=self._wall_time(now)))
        if self.advertisements.own:
            self.timers.set(_ADVERTISE, now + ADVERTISE_INTERVAL)

    def _wall_time(self, now: float) -> str:
        return format_time(int((self.identity.unix_time_at_zero + now) * 1e9))

    # Time

    def advance(self, now: float) -> None:
        """Do what has come due."""
        for key in self.timers.due(now):
            match key:
                case ("setup", int(session)):
                    self._send_setup(session, now)
                case ("idle", int(session)):
                    self._check_idle(session, now)
                case "flood own update":
                    self._flood_own_update(now)
                case "compute routes":
                    self._compute_routes()
                case "advertise services":
                    self._advertise_all(now)
                case _:
                    self._sweep(now)

    def _sweep(self, now: float) -> None:
        for node in self.topology.forget_stale(now):
            self.names.pop(name_hash(node), None)
        self.advertisements.forget_stale(heard_before=now - MEMORY)
        self.timers.set(_SWEEP, now + SWEEP_INTERVAL)

    # Helpers

    def _learn(self, node: str) -> None:
        self.names.setdefault(name_hash(node), node)

    def _flood(self, packet: bytes, but: Link | None = None) -> None:
        for link in self.neighbours.values():
            if link is not but:
                self._emit(Send(link.session, packet, may_drop=False))

    def _notice(self, severity: Severity, text: str, peer: str = "") -> None:
        self._emit(Notice(severity, text, peer))
