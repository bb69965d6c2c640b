"""The whole mesh core against hostile neighbours: nothing is raised, and a healthy neighbour goes on as if alone."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

from fuzz.damage import Edit, edited, edits, noise, texts
from fuzz.fuzzing import target
from fuzz.wire_targets import (
    ADVERTISEMENTS,
    DATA_PACKETS,
    UPDATES,
    advertisements,
    counters,
    node_ids,
    reports,
    updates,
)
from hypothesis import strategies as st
from simulation import UNIX_TIME, credentials

from receptor.errors import UnreachableError
from receptor.netceptor.effects import (
    Disconnect,
    Duplicate,
    Effect,
    PingEnded,
    Send,
    StreamClosed,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamWritable,
)
from receptor.netceptor.highwayhash import name_hash
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.mesh import SHORTEST_IDLE_TIMEOUT, SWEEP_INTERVAL, Identity
from receptor.netceptor.messages import Advertisement, RoutingUpdate, encode_advertisement, encode_routing_update
from receptor.netceptor.namesakes import DUPLICATE_NOTICE_ACCEPTED
from receptor.netceptor.netceptor import Netceptor
from receptor.netceptor.packets import DATA, HEADER_SIZE, Address, Datagram, decode_header, encode_datagram
from receptor.netceptor.topology import MEMORY

OUR_EPOCH = 1000
HEALTHY_SESSION = 99
MOST_POLLS = 3000
"""In which a call of the core has to come to rest, and a wait of seconds as well."""

_HEADER = struct.Struct(">BBHQQ8s8s")


@dataclass(frozen=True)
class Open:
    """A hostile session begins."""

    session: int
    allowed_peers: frozenset[str] | None

    def happen(self, node: Bench) -> None:
        if self.session not in node.sessions:
            node.sessions.add(self.session)
            # More than the healthy link costs, so that no route to its far end leads through us.
            node.core.session_opened(self.session, LinkTerms(2.0, {}, self.allowed_peers), node.now)


@dataclass(frozen=True)
class Close:
    """A hostile session ends."""

    session: int

    def happen(self, node: Bench) -> None:
        if self.session in node.sessions:
            node.sessions.remove(self.session)
            node.core.session_closed(self.session, node.now)


@dataclass(frozen=True)
class Say:
    """Packets arrive on a hostile session, be it open or not."""

    session: int
    packets: list[bytes]

    def happen(self, node: Bench) -> None:
        node.core.packets_received(self.session, self.packets, node.now)


@dataclass(frozen=True)
class Echo:
    """A packet that the node has sent comes back, with some damage, as if from its destination."""

    session: int
    which: int
    damage: list[Edit]

    def happen(self, node: Bench) -> None:
        if node.sent:
            packet = node.sent[self.which % len(node.sent)]
            if packet[0] == DATA and len(packet) >= HEADER_SIZE:
                swapped = packet[12:20] + packet[4:12] + packet[28:36] + packet[20:28]
                packet = packet[:4] + swapped + packet[HEADER_SIZE:]
            node.core.packets_received(self.session, [edited(packet, self.damage)], node.now)


@dataclass(frozen=True)
class Wait:
    """Time passes."""

    seconds: float

    def happen(self, node: Bench) -> None:
        node.wait(self.seconds)


@dataclass(frozen=True)
class Use:
    """The node's own users do something."""

    what: str
    node_id: str
    service: str

    def happen(self, node: Bench) -> None:
        streams = node.core.streams
        try:
            _USES[self.what](node, self.node_id, self.service)
        except (UnreachableError, ValueError):
            return  # as documented: no route, or the name of a service is taken or none
        finally:
            for number in node.streams:
                streams.write(number, b"hello")


_USES: dict[str, Callable[[Bench, str, str], object]] = {
    "ping": lambda node, to, _: node.core.pings.start(to, node.now),
    "dial": lambda node, to, service: node.dial(to, service),
    "advertise": lambda node, _, service: node.core.mesh.advertise(service, 1, {}, None, node.now),
    "withdraw": lambda node, _, service: node.core.mesh.withdraw(service, node.now),
    "send": lambda node, to, service: node.core.send_datagram("dgram", Address(to, service), b"x", node.now),
    "pause": lambda node, _, __: node.pause_streams(),
    "finish": lambda node, _, __: node.leave_streams("finish"),
    "close": lambda node, _, __: node.leave_streams("close"),
}

Event = Open | Close | Say | Echo | Wait | Use


@dataclass
class Bench:
    """A node with a healthy neighbour, and a watch on what it does."""

    core: Netceptor
    now: float = 0.0
    sessions: set[int] = field(default_factory=set)
    streams: dict[int, str] = field(default_factory=dict)
    """Where each stream is on its way: dialling, open, ended."""
    left: set[int] = field(default_factory=set)
    sent: list[bytes] = field(default_factory=list)
    healthy_got: list[bytes] = field(default_factory=list)
    pings: set[int] = field(default_factory=set)
    updates: int = 0

    def dial(self, node: str, service: str) -> None:
        self.streams[self.core.streams.dial(node, service, self.now)] = "dialling"

    def leave_streams(self, how: str) -> None:
        """Be done with all streams: nothing more is told of them."""
        for number in self.streams:
            if how == "finish":
                self.core.streams.finish(number, self.now)
            else:
                self.core.streams.close(number)
        self.left |= self.streams.keys()
        self.streams.clear()

    def pause_streams(self) -> None:
        for number in self.streams:
            self.core.streams.pause(number)

    def settle(self) -> None:
        """Let the core come to rest."""
        for _ in range(MOST_POLLS):
            for effect in self.core.poll(self.now):
                self._watch(effect)
            deadline = self.core.deadline()
            if deadline is None or deadline > self.now:
                return
        raise AssertionError(f"after {MOST_POLLS} polls there is still something to do at {self.now}")

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(MOST_POLLS):
            deadline = self.core.deadline()
            if deadline is None or deadline > end:
                self.now = end
                return
            self.now = max(self.now, deadline)
            self.settle()
        raise AssertionError(f"the core wanted to be called more than {MOST_POLLS} times in {seconds} s")

    def hear_healthy(self) -> None:
        """The healthy neighbour is there, and its ping is answered at once."""
        self.updates += 1
        update = RoutingUpdate(
            node_id="healthy",
            update_id=f"healthy{self.updates}",
            epoch=7,
            sequence=self.updates,
            connections={"us": 1.0},
            forwarding_node="healthy",
        )
        question = encode_datagram(Datagram(Address("healthy", "question"), Address("us", "ping"), b""), 29)
        self.healthy_got.clear()
        self.core.packets_received(HEALTHY_SESSION, [encode_routing_update(update), question], self.now)
        self.settle()
        headers = [decode_header(packet) for packet in self.healthy_got if packet[0] == DATA]
        assert [header.from_service for header in headers if header.to_service == "question"] == ["ping"]

    def _watch(self, effect: Effect) -> None:
        """Nothing is done for sessions and streams that are gone."""
        match effect:
            case Send(session, packet):
                assert session in self.sessions
                self.sent.append(packet)
                if session == HEALTHY_SESSION:
                    self.healthy_got.append(packet)
            case Disconnect(session, reason):
                assert session != HEALTHY_SESSION, reason
                self.sessions.remove(session)
            case Duplicate():
                assert self.now <= DUPLICATE_NOTICE_ACCEPTED
            case PingEnded(ping):
                assert ping not in self.pings
                self.pings.add(ping)
            case StreamOpened(stream):
                assert stream not in self.left
                assert self.streams.get(stream, "dialling") == "dialling"
                self.streams[stream] = "open"
            case StreamData(stream) | StreamEnded(stream):
                assert self.streams[stream] == "open"
                if isinstance(effect, StreamEnded):
                    self.streams[stream] = "ended"
            case StreamWritable(stream):
                assert stream in self.streams
            case StreamClosed(stream):
                del self.streams[stream]
            case _:
                pass


def bench() -> Bench:
    identity = Identity("us", OUR_EPOCH, UNIX_TIME, SHORTEST_IDLE_TIMEOUT)
    node = Bench(Netceptor(identity, credentials, random.Random(1), 0.0))
    node.core.streams.listen("svc")
    node.core.open_datagrams("dgram")
    node.sessions.add(HEALTHY_SESSION)
    node.core.session_opened(HEALTHY_SESSION, LinkTerms(), 0.0)
    node.settle()
    node.hear_healthy()
    return node


def _data_packet(
    hops: int, nodes: tuple[str, str], services: tuple[bytes, bytes], reserved: int, payload: bytes
) -> bytes:
    source, destination = (name_hash(node) for node in nodes)
    return _HEADER.pack(DATA, hops, reserved, source, destination, *services) + payload


def _update(
    node_id: str, forwarder: str, run_of_it: tuple[int, int], update_id: str, edges: dict[str, float], duplicate: int
) -> bytes:
    return encode_routing_update(
        RoutingUpdate(
            node_id=node_id,
            update_id=update_id,
            epoch=run_of_it[0],
            sequence=run_of_it[1],
            connections=edges,
            forwarding_node=forwarder,
            suspected_duplicate=duplicate,
        )
    )


def _join(session: int) -> Say:
    """The hostile neighbour of a session names itself, as a good one would."""
    return Say(session, [_update(HOSTILE[session], HOSTILE[session], (5, 0), f"hello{session}", {"us": 2.0}, 0)])


def _insider(session: int) -> st.SearchStrategy[Event]:
    """What a neighbour says that keeps its link, because it breaks no rule in what concerns the link itself."""
    name = HOSTILE[session]
    runs = st.tuples(counters, counters)
    edges = st.dictionaries(known_nodes, st.sampled_from([2.0, 1.0, 1e-300, 1e308]), max_size=4)
    duplicates = st.sampled_from([0, 0, 0, OUR_EPOCH, 7])
    own_updates = st.builds(
        _update, st.just(name), st.just(name), runs, texts, edges.map(lambda some: some | {"us": 2.0}), duplicates
    )
    others = known_nodes.filter(lambda node: node != name)
    other_updates = st.builds(_update, others, st.just(name), runs, texts, edges, duplicates)
    packets = st.one_of(data_packets, data_packets, own_updates, other_updates, good_advertisements)
    return st.builds(Say, st.just(session), st.lists(packets, min_size=1, max_size=6))


HOSTILE = {1: "evil", 2: "far", 3: "other"}

services = st.sampled_from([b"ping", b"unreach", b"svc", b"dgram", b""]) | st.binary(max_size=8)
payloads = noise | reports | st.builds(edited, st.sampled_from([one[HEADER_SIZE:] for one in DATA_PACKETS]), edits)
known_nodes = st.sampled_from(["us", "us", *HOSTILE.values(), "healthy", "localhost"]) | node_ids
data_packets = st.builds(
    _data_packet,
    st.sampled_from([0, 1, 29, 255]),
    st.tuples(known_nodes, known_nodes),
    st.tuples(services, services),
    st.sampled_from([0, 0, 1]),
    payloads,
)
good_advertisements = st.builds(
    Advertisement,
    node_id=known_nodes.filter(bool),
    service=texts.filter(bool),
    time=st.sampled_from(["1970-01-01T00:00:00Z", "2026-11-23T18:23:43Z", "9999-12-31T23:59:59Z"]),
    connection_type=st.integers(),
    tags=st.none() | st.dictionaries(texts, texts, max_size=2),
    cancel=st.booleans(),
).map(encode_advertisement)
bad_packets = st.one_of(
    updates,
    advertisements,
    st.builds(edited, st.sampled_from(UPDATES + ADVERTISEMENTS + DATA_PACKETS), edits),
    noise,
    st.sampled_from([b"", b"\0", b"\3[]", b"\4", bytes([1]) + b"\xff" * 65_000]),
)
sessions = st.sampled_from([1, 1, 1, 2, 3])
peers = st.sampled_from([None, None, frozenset({"evil"}), frozenset[str]()])
insiders = st.one_of(*map(_insider, HOSTILE))
joins = sessions.map(lambda session: [Open(session, None), _join(session)])
dials = st.builds(Use, st.just("dial"), st.sampled_from(["us", "evil", "healthy"]), st.just("svc"))
events: st.SearchStrategy[list[Event]] = st.one_of(
    *[st.lists(insiders, min_size=1, max_size=4)] * 4,
    joins,
    joins,
    st.builds(Open, sessions, peers).map(lambda event: [event]),
    st.builds(Close, sessions).map(lambda event: [event]),
    st.builds(Say, sessions, st.lists(bad_packets, min_size=1, max_size=3)).map(lambda event: [event]),
    st.lists(st.builds(Echo, sessions, st.integers(0, 200), edits), min_size=1, max_size=3),
    st.lists(st.builds(Wait, st.sampled_from([0.0, 0.05, 0.2, 1.0, 5.0, 15.0])) | dials, min_size=1, max_size=3),
    st.builds(Use, st.sampled_from(sorted(_USES)), known_nodes, st.sampled_from(["svc", "ping", "x" * 9])).map(
        lambda event: [event]
    ),
)
stories = st.lists(events, max_size=20).map(lambda parts: list(chain.from_iterable(parts)))


@target("mesh", 100, st.sampled_from([0.0, 70.0]), stories)
def mesh_target(age: float, happens: list[Event]) -> None:
    """Hostile sessions and packets in any order do no harm: a healthy neighbour's ping is answered at once."""
    node = bench()
    while node.now < age:
        node.wait(10.0)
        node.hear_healthy()
    for event in [Open(1, None), _join(1), *happens]:
        event.happen(node)
        node.settle()
        node.hear_healthy()
    node.leave_streams("close")
    for _ in range(4):
        node.wait(10.0)
        node.hear_healthy()
    assert node.sessions == {HEALTHY_SESSION}, "the silent are gone"
    assert node.core.mesh.topology.routes["healthy"] == "healthy"
    assert node.core.streams.timers.deadline() is None, "and so are their streams"
    Close(HEALTHY_SESSION).happen(node)
    node.wait(MEMORY + 2 * SWEEP_INTERVAL)
    mesh = node.core.mesh
    assert list(mesh.names.values()) == ["us"], "and whatever they have made up"
    assert mesh.topology.nodes.keys() == mesh.topology.routes.keys() == set()
    assert all(advertisement.node_id == "us" for advertisement in mesh.advertisements.everything())
