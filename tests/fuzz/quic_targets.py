"""Streams over QUIC: datagrams that are damaged, lost or doubled on the way, and far ends that keep no rule."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from fuzz.damage import Edit, edited, edits, noise
from fuzz.fuzzing import target
from fuzz.wire_targets import DATA_PACKETS
from hypothesis import strategies as st
from quic_bench import SOMEWHERE, End, Stranger, Twisted, Wire, accept, strange_dialer, strange_listener
from simulation import credentials

from receptor.netceptor.packets import HEADER_SIZE, MESH_MTU
from receptor.netceptor.qh3_connection import first_destination_id
from receptor.netceptor.quic import StreamConnection
from receptor.netceptor.stream_events import Broken, Ended, Opened, Received

LONGEST_LIFE = 200.0
"""Seconds after which a stream to a far end that says nothing more must be over."""

RECORDED = [packet[HEADER_SIZE:] for packet in DATA_PACKETS if len(packet) > 1000]


@dataclass(frozen=True)
class Fate:
    """What becomes of a datagram: how often it arrives, and with which damage."""

    copies: int
    damage: list[Edit]


class RoughWire(Wire):
    """A wire on which the first datagrams meet their fates."""

    def __init__(self, dialer: End, listen: Callable[[bytes], End], fates: list[Fate]) -> None:
        self._fates = list(fates)
        super().__init__(dialer, listen)

    def _carry(self, sender: End, receiver: End, datagrams: list[bytes]) -> None:
        arriving = []
        for datagram in datagrams:
            fate = self._fates.pop(0) if self._fates else Fate(1, [])
            arriving += [edited(datagram, fate.damage)] * fate.copies
        self.sizes[sender] += map(len, datagrams)
        if arriving and not self.cut:
            receiver.receive(arriving, self.now)


fates = st.lists(st.builds(Fate, st.sampled_from([1, 1, 1, 0, 2]), st.just([]) | edits), max_size=12)


def _until_broken(story: list[object]) -> list[object]:
    """What streams tell their users: nothing after the end, of which both the stream and its connection speak."""
    ends = [number for number, event in enumerate(story, 1) if isinstance(event, Broken)]
    return story[: ends[0]] if ends else story


def _check_end(wire: Wire, end: StreamConnection, sent: bytes) -> None:
    """The end tells its story in order, and is over a while after the far end has gone."""
    wire.wait(1.0)
    end.write(b"answer")
    wire.wait(1.0)
    wire.cut = True
    wire.wait(LONGEST_LIFE)
    story = _until_broken(wire.happened[end])
    assert end.deadline() is None
    assert not end.datagrams(wire.now)
    assert not end.events(wire.now)
    assert all(size <= MESH_MTU for size in wire.sizes[end])
    received = b"".join(event.data for event in story if isinstance(event, Received))
    assert sent.startswith(received)
    kinds = [type(event) for event in story]
    assert (Broken in kinds) is end.is_over
    assert end.is_over or not kinds, "without a story is who never understood a datagram"
    assert kinds.count(Opened) <= 1
    assert kinds.count(Ended) <= 1
    assert not received or kinds[0] is Opened


@target("quic-wire", 40, fates, st.binary(max_size=50), st.sampled_from([1, 2000]))
def quic_wire_target(rough: list[Fate], data: bytes, times: int) -> None:
    """Whatever becomes of datagrams on their way, both ends get what was written or less, and end."""
    dialer = StreamConnection.dial("us", "them", 0.0)
    wire = RoughWire(dialer, accept, rough)
    wire.wait(0.5)
    dialer.write(data * times)
    dialer.end()
    assert isinstance(wire.listener, StreamConnection)
    _check_end(wire, wire.listener, data * times)
    assert dialer.deadline() is None


@target("quic-datagrams", 100, st.sampled_from(RECORDED), edits, st.lists(noise | st.sampled_from(RECORDED)))
def quic_datagrams_target(first: bytes, damage: list[Edit], later: list[bytes]) -> None:
    """Whatever datagrams come, a listener takes them for the start of a connection or not, and gives up in time."""
    damaged = edited(first, damage)
    destination_id = first_destination_id(damaged)
    if destination_id is None:
        return
    listener = StreamConnection.accept(credentials(), "them", destination_id, 0.0)
    now = 0.0
    listener.receive([damaged, *later], now)
    while not listener.is_over:
        assert Opened() not in listener.events(now)
        assert all(len(datagram) <= MESH_MTU for datagram in listener.datagrams(now))
        deadline = listener.deadline()
        if deadline is None:
            break
        assert now <= LONGEST_LIFE
        now = max(now, deadline)
        listener.advance(now)
    assert listener.deadline() is None


@dataclass(frozen=True)
class Misuse:
    """Something that a stranger does with its connection."""

    what: str
    stream: int
    code: int
    data: bytes

    def happen(self, far: Stranger) -> None:
        quic = far.quic
        # qh3 refuses some of it itself.
        with suppress(Exception):
            match self.what:
                case "send":
                    quic.send_stream_data(self.stream, self.data)
                case "end":
                    quic.send_stream_data(self.stream, self.data, end_stream=True)
                case "reset":
                    quic.reset_stream(self.stream, self.code)
                case "stop":
                    quic.stop_stream(self.stream, self.code)
                case "datagram":
                    quic.send_datagram_frame(self.data)
                case "keys":
                    quic.request_key_update()
                case "id":
                    quic.change_connection_id()
                case "close":
                    quic.close(error_code=self.code, reason_phrase=self.data.decode(errors="replace"))


class Careless(Stranger):
    """A stranger that goes on when its own qh3 has had enough of what it does."""

    def receive(self, datagrams: list[bytes], now: float) -> None:
        with suppress(Exception):
            super().receive(datagrams, now)

    def datagrams(self, now: float) -> list[bytes]:
        with suppress(Exception):
            return super().datagrams(now)
        return []

    def advance(self, now: float) -> None:
        with suppress(Exception):
            super().advance(now)


misuses = st.builds(
    Misuse,
    st.sampled_from(["send", "send", "send", "end", "reset", "stop", "datagram", "keys", "id", "close"]),
    st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4, 2**60]),
    st.sampled_from([0, 1, 499, 500, 2**62 - 1]),
    st.sampled_from([b"\0", b"\0data", b"\1", b"", b"x" * 5000]) | noise,
)


@target("quic-strangers", 40, st.booleans(), edits, st.lists(misuses, max_size=8))
def quic_strangers_target(is_dialer: bool, twist: list[Edit], deeds: list[Misuse]) -> None:
    """Whatever a far end does within its own connection, it harms that connection at most."""
    if is_dialer:
        far = _twisted(strange_dialer(Twisted), twist)
        far.quic.connect(SOMEWHERE, 0.0)
        wire = Wire(far, accept)
        ours = wire.listener
    else:
        ours = StreamConnection.dial("us", "them", 0.0)
        wire = Wire(ours, lambda first: _twisted(strange_listener(first, credentials(), Twisted), twist))
        assert isinstance(wire.listener, Careless)
        far = wire.listener
    assert isinstance(ours, StreamConnection)
    for deed in deeds:
        deed.happen(far)
        wire.wait(0.05)
    said = b"".join(one.data for one in deeds if one.stream == 0 and one.what in ("send", "end"))
    _check_end(wire, ours, said[is_dialer:])


def _twisted(stranger: Stranger, twist: list[Edit]) -> Careless:
    assert isinstance(stranger.quic, Twisted)
    stranger.quic.twist = lambda data: edited(data, twist)
    return Careless(stranger.quic)
