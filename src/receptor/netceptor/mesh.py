"""How this node and its neighbours learn of each other and of the rest: the control plane of the mesh.

Source: mesh protocol, sections 3 (joining, flooding, routes) and 5 (advertisements).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from receptor.errors import PeerError
from receptor.identifiers import random_name
from receptor.netceptor.advertisements import Advertisements
from receptor.netceptor.announcer import Announcer
from receptor.netceptor.complaints import Complaints
from receptor.netceptor.effects import (
    Disconnect,
    Duplicate,
    Effect,
    LinkUp,
    RoutesChanged,
    Send,
    Severity,
)
from receptor.netceptor.highwayhash import name_hash
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.links import SETUP_ATTEMPTS, SETUP_INTERVAL, Link, LinkRefused, LinkTerms
from receptor.netceptor.messages import (
    Advertisement,
    RoutingUpdate,
    WorkCommand,
    decode_advertisement,
    decode_routing_update,
    encode_advertisement,
    encode_routing_update,
)
from receptor.netceptor.packets import ADVERTISEMENT, LARGEST_PACKET, REJECT, REJECT_PACKET, ROUTING_UPDATE
from receptor.netceptor.timers import Timers
from receptor.netceptor.topology import MEMORY, Topology

UPDATE_INTERVAL = 10.0
ADVERTISE_INTERVAL = 60.0
ROUTE_DELAY = 0.1
ROUTE_DELAY_PER_EDGE = 5e-6
"""Seconds in which we gather changes before we compute routes, longer if that takes long: a third of the time at most
is spent on it, whatever a hostile node claims."""
FLOOD_DELAY = 0.1
"""Seconds in which we gather the nodes that we hear of for the first time before all hear of us. Without this, N nodes
that join together say N times as much."""
CORRECTION_DELAY = 1.0
"""Seconds after which we contradict what others tell of our services: two who do so should not outshout each other."""

FLOOD_PAUSE_PER_NODE = 0.005
LONGEST_FLOOD_PAUSE = 2.0
"""Seconds between two floods for the sake of new nodes: the larger the mesh, the longer does its news trickle in."""

SHORTEST_IDLE_TIMEOUT = 21.0
SWEEP_INTERVAL = 60.0
LINK_NOTICES = 200
"""Beginnings and ends of links that are told in a minute; strangers can cause any number."""
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
        self.advertisements = Advertisements(identity.node_id, limits)
        self._announcer = Announcer(identity.unix_time_at_zero, self.advertisements, self._flood)
        self.complaints = Complaints(emit)
        self.neighbours: dict[str, Link] = {}
        self.names = {name_hash(identity.node_id): identity.node_id}
        self.timers: Timers[str | tuple[str, int]] = Timers()
        self._limits = limits
        self._rng = rng
        self._emit = emit
        self._started = now
        self._epoch = identity.epoch
        self._sequence = 0
        self._flooded_at = float("-inf")
        self._runs: dict[str, int] = {}
        """The epoch in which each node was last heard."""
        self._on_restart: Callable[[str], None] = _nobody
        self._links: dict[int, Link] = {}
        self._strangers: set[int] = set()
        self.timers.set(_SWEEP, now + SWEEP_INTERVAL)

    def on_restart(self, told: Callable[[str], None]) -> None:
        """Have somebody told of each node that seems to be another run now, and to know nothing of the former's."""
        self._on_restart = told

    # Sessions and links

    def session_opened(self, session: int, terms: LinkTerms, now: float, dialled: bool = False) -> None:
        """A backend has a new session: set up a link on it. One that we have not dialled may be one too many."""
        if not dialled:
            problem = self._too_many_sessions()
            if problem is not None:
                self.complaints.say("too many sessions", f"a session was refused: {problem}", now)
                self._emit(Disconnect(session, problem))
                return
            self._strangers.add(session)
        self._links[session] = Link(session, terms, now)
        self._send_setup(session, now)

    def _too_many_sessions(self) -> str | None:
        if len(self._strangers) >= self._limits.unlinked_sessions:
            return f"{len(self._strangers)} sessions that others have opened wait for their link to be set up"
        if len(self._links) >= self._limits.sessions:
            return f"{len(self._links)} sessions are open"
        return None

    def session_closed(self, session: int, now: float) -> None:
        """A session is gone, whoever ended it."""
        link = self._links.pop(session, None)
        if link is None:
            return
        self._strangers.discard(session)
        self.timers.cancel(("setup", session))
        self.timers.cancel(("idle", session))
        if link.neighbour is not None and self.neighbours.get(link.neighbour) is link:
            del self.neighbours[link.neighbour]
            self.topology.disconnect(link.neighbour)
            if link.neighbour not in self.topology.nodes:
                self._unlearn([link.neighbour])
            self._say_of_link(f"link with {link.neighbour} ended", now, link.neighbour)
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
            self._say_of_link(reason, now, link.neighbour or "", Severity.WARNING)
            self._emit(Disconnect(session, reason))
            self.session_closed(session, now)

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

    def _receive_advertisement(self, link: Link, packet: bytes, now: float) -> None:
        try:
            advertisement = decode_advertisement(packet)
            is_news = self.advertisements.receive(advertisement, now)
        except PeerError as error:
            self._drop(link, error, now)
            return
        if is_news:
            self._flood(packet, now, but=link)
        elif advertisement.node_id == self.identity.node_id and self._announcer.heard(advertisement):
            self.timers.set_earlier(_ADVERTISE, now + CORRECTION_DELAY)

    def _drop(self, link: Link, problem: PeerError, now: float) -> None:
        text = f"a message that {link.neighbour} passed on was dropped: {problem}"
        self.complaints.say(("dropped", link.session), text, now, link.neighbour or "")

    def _establish(self, link: Link, update: RoutingUpdate, now: float) -> None:
        node = link.check_newcomer(update, self.identity.node_id, self.neighbours)
        link.establish(node)
        self._strangers.discard(link.session)
        self.timers.cancel(("setup", link.session))
        self.timers.set(("idle", link.session), now + self.identity.idle_timeout)
        self.neighbours[node] = link
        self._learn(node)
        if update.node_id == node:
            self._note_run(node, update.epoch)
        self.topology.connect(node, link.cost)
        self._emit(LinkUp(link.session, node))
        self._say_of_link(f"link with {node} established at cost {link.cost:g}", now, node)
        self._flood_own_update(now)
        self._compute_routes()
        for advertisement in self.advertisements.everything():
            self._send(link.session, encode_advertisement(advertisement), now)
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
                self._send(link.session, encode_advertisement(advertisement), now)
            later_run = RoutingUpdate(
                node_id=node,
                update_id=random_name(self._rng),
                epoch=known.epoch,
                sequence=known.sequence,
                connections={},
                forwarding_node=self.identity.node_id,
            )
            self._send(link.session, encode_routing_update(later_run), now)

    def _send_setup(self, session: int, now: float) -> None:
        link = self._links.get(session)
        if link is None or link.neighbour is not None:
            return
        if link.setup_attempts >= SETUP_ATTEMPTS:
            self.end_session(session, f"link given up: no routing update in {SETUP_ATTEMPTS} s", now)
            return
        link.setup_attempts += 1
        self._send(session, encode_routing_update(self._own_update()), now)
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
            epoch=self._epoch,
            sequence=self._sequence,
            connections={node: link.cost for node, link in self.neighbours.items()},
            forwarding_node=self.identity.node_id,
            suspected_duplicate=suspected_duplicate,
        )

    def _flood_own_update(self, now: float) -> None:
        if self.neighbours:
            self._flood(encode_routing_update(self._own_update()), now)
            self._flooded_at = now
            self.timers.set(_FLOOD, now + UPDATE_INTERVAL)

    def _flood_soon(self, now: float) -> None:
        pause = min(len(self.topology.nodes) * FLOOD_PAUSE_PER_NODE, LONGEST_FLOOD_PAUSE)
        self.timers.set_earlier(_FLOOD, max(now + FLOOD_DELAY, self._flooded_at + pause))

    def _process_update(self, update: RoutingUpdate, link: Link, now: float) -> None:
        if not update.node_id:
            return
        if update.node_id == self.identity.node_id:
            self._process_namesake(update, now)
            return
        if not self.topology.first_sight(update.update_id, now):
            return
        if update.suspected_duplicate:
            if self.topology.adopt_run(update):
                self.advertisements.forget(update.node_id)
            if update.node_id in self.neighbours:
                # The namesake's updates have cost us our edge to it everywhere.
                self.timers.set_earlier(_FLOOD, now + FLOOD_DELAY)
        elif not self.topology.is_news(update, now):
            return
        else:
            self._apply(update, now)
        forwarded = msgspec.structs.replace(update, forwarding_node=self.identity.node_id)
        self._flood(encode_routing_update(forwarded), now, but=link)

    def _apply(self, update: RoutingUpdate, now: float) -> None:
        """Take in an update. Raises PeerError if there are too many nodes or edges for it."""
        known = self.topology.nodes.get(update.node_id)
        if known is None:
            self._unlearn(self.topology.make_room(now))
        elif update.epoch < known.epoch:
            self.advertisements.forget(update.node_id)
        if self.topology.apply(update, now):
            delay = max(ROUTE_DELAY, self.topology.edges * ROUTE_DELAY_PER_EDGE)
            self.timers.set_earlier(_ROUTES, now + delay)
        if known is None or update.epoch != known.epoch:
            self._learn(update.node_id)
            self._flood_soon(now)
        self._note_run(update.node_id, update.epoch)

    def _process_namesake(self, update: RoutingUpdate, now: float) -> None:
        """Somebody else sends updates in our name, or tells us that we do in theirs."""
        own = self.identity
        if update.epoch == self._epoch:
            if update.sequence > self._sequence:
                # Forged, and everybody would take our own for older until we count in another epoch.
                self.complaints.say(
                    "forged", "somebody forges routing updates in our name", now, severity=Severity.ERROR
                )
                self._epoch += 1
                self._sequence = 0
                self._flood_soon(now)
            return
        if update.suspected_duplicate == self._epoch and update.epoch < self._epoch:
            text = f"another node, started earlier, has the id {own.node_id}; give each node an id of its own"
            if now - self._started <= DUPLICATE_NOTICE_ACCEPTED:
                self._emit(Duplicate(text))
            else:
                text = f"{text}; this node has run too long to be the newcomer and stays"
                self.complaints.say("older namesake", text, now, severity=Severity.ERROR)
        elif update.epoch > self._epoch:
            text = f"a node started later uses our id {own.node_id}, or did before our clock was set back"
            self.complaints.say("later namesake", f"{text}; telling it to end", now, severity=Severity.ERROR)
            self._flood(encode_routing_update(self._own_update(suspected_duplicate=update.epoch)), now)
            # Those who had followed the other to its neighbours come back to ours.
            self.timers.set_earlier(_FLOOD, now + FLOOD_DELAY)
            # And they have forgotten our services, lest ours count for older than the other's.
            if self.advertisements.own:
                self.timers.set_earlier(_ADVERTISE, now + CORRECTION_DELAY)

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
        advertisement = Advertisement(
            node_id=self.identity.node_id,
            service=service,
            time="",
            connection_type=connection_type,
            tags=tags,
            work_commands=work_commands,
        )
        self._announcer.announce(advertisement, now)
        self.timers.set_earlier(_ADVERTISE, now + ADVERTISE_INTERVAL)

    def withdraw(self, service: str, now: float) -> None:
        """Tell the mesh that a service of ours has ended."""
        self._announcer.withdraw(service, now)

    def _advertise_all(self, now: float) -> None:
        self._announcer.repeat(now)
        if self.advertisements.own:
            self.timers.set(_ADVERTISE, now + ADVERTISE_INTERVAL)

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
        self._unlearn(self.topology.forget_stale(now))
        self.advertisements.forget_stale(heard_before=now - MEMORY)
        self.complaints.sweep(now)
        self.timers.set(_SWEEP, now + SWEEP_INTERVAL)

    # Helpers

    def _learn(self, node: str) -> None:
        self.names.setdefault(name_hash(node), node)

    def _note_run(self, node: str, epoch: int) -> None:
        former = self._runs.get(node, epoch)
        self._runs[node] = epoch
        if epoch != former:
            self._on_restart(node)

    def _unlearn(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self._runs.pop(node, None)
            if self.names.get(name_hash(node)) == node:
                del self.names[name_hash(node)]

    def _flood(self, packet: bytes, now: float, but: Link | None = None) -> None:
        for link in self.neighbours.values():
            if link is not but:
                self._send(link.session, packet, now)

    def _send(self, session: int, packet: bytes, now: float) -> None:
        if len(packet) > LARGEST_PACKET:
            text = f"a packet of {len(packet)} bytes was dropped: links carry {LARGEST_PACKET}"
            self.complaints.say("large packet", text, now)
        else:
            self._emit(Send(session, packet, may_drop=False))

    def _say_of_link(self, text: str, now: float, peer: str, severity: Severity = Severity.INFO) -> None:
        self.complaints.say("links", text, now, peer, severity, most=LINK_NOTICES)


def _nobody(_node: str) -> None:
    pass
