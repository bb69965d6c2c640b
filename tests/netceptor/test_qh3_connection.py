from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from quic_bench import OurWire, Wire, accept, strange_dialer
from recordings import recorded_packets

from receptor.netceptor.packets import DATA, HEADER_SIZE, MESH_MTU
from receptor.netceptor.qh3_connection import CONNECTION_WINDOW, STREAM_WINDOW, first_destination_id
from receptor.netceptor.quic import StreamConnection
from receptor.netceptor.stream_events import Received

LARGEST_OF_EXISTING_NODES = 1452


def received(happened: list[object]) -> int:
    return sum(len(event.data) for event in happened if isinstance(event, Received))


# Datagrams


def test_the_first_datagram_fits_existing_nodes_whatever_our_name() -> None:
    for name in ("us", "x" * 63 + ".example" * 20, "nœud", "a b", "n" * 1024):
        (datagram,) = StreamConnection.dial(name, "them", 0.0).datagrams(0.0)
        assert 1200 <= len(datagram) <= LARGEST_OF_EXISTING_NODES


def test_the_handshake_fits_existing_nodes() -> None:
    wire = OurWire()
    assert max(map(max, wire.sizes.values())) <= LARGEST_OF_EXISTING_NODES


def test_data_between_our_nodes_goes_in_datagrams_of_the_mesh_mtu_both_ways() -> None:
    wire = OurWire()
    for end in (wire.dialer, wire.listener):
        end.write(bytes(200_000))
    wire.wait(1.0)
    for end in (wire.dialer, wire.listener):
        assert MESH_MTU - 100 < max(wire.sizes[end]) <= MESH_MTU
        assert received(wire.happened[end]) == 200_000


def test_a_far_end_that_wants_smaller_datagrams_gets_them() -> None:
    dialer = strange_dialer()
    dialer.quic.connect(("127.0.0.1", 1), 0.0)
    dialer.quic.send_stream_data(0, b"\0")
    wire = Wire(dialer, accept)
    assert isinstance(wire.listener, StreamConnection)
    wire.listener.write(bytes(200_000))
    wire.wait(1.0)
    assert max(wire.sizes[wire.listener]) <= 1472, "what qh3 asks for as a dialer"


# Pauses


def test_while_paused_the_sender_gets_no_further_than_its_window() -> None:
    wire = OurWire()
    size = 3 * CONNECTION_WINDOW
    wire.listener.pause()
    wire.dialer.write(bytes(size))
    wire.wait(60.0)
    assert received(wire.happened[wire.listener]) == 0
    assert size - STREAM_WINDOW <= wire.dialer.unsent < size
    wire.listener.resume()
    wire.wait(1.0)
    assert received(wire.happened[wire.listener]) == size
    assert wire.dialer.unsent == 0


def test_a_paused_end_still_sends() -> None:
    wire = OurWire()
    wire.listener.pause()
    wire.listener.write(b"hello")
    wire.wait(0.1)
    assert Received(b"hello") in wire.happened[wire.dialer]


def test_what_had_arrived_comes_out_when_the_connection_ends_during_a_pause() -> None:
    for vanish in (False, True):
        wire = OurWire()
        wire.dialer.pause()
        wire.listener.write(b"the last words")
        wire.wait(0.1)
        wire.cut = vanish
        wire.listener.close(0, "normal close")
        wire.wait(100.0)
        assert Received(b"the last words") in wire.happened[wire.dialer]
        assert wire.dialer.is_over


# Which datagrams begin a connection


def test_a_recorded_first_datagram_has_a_destination_id() -> None:
    dialled = [found.raw[HEADER_SIZE:] for found in recorded_packets(DATA) if found.to_service == "control"]
    assert first_destination_id(dialled[0]) == dialled[0][6:15]
    assert [first_destination_id(later) for later in dialled[2:]] == [None, None]
    assert first_destination_id(dialled[0][:1199]) is None


@given(st.binary(max_size=60), st.integers(1100, 1300))
def test_noise_begins_a_connection_or_not_but_never_raises(noise: bytes, size: int) -> None:
    first_destination_id(noise.ljust(size, b"\0"))
