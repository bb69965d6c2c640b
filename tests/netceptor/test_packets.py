from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import recorded_packets

from receptor.errors import PeerError
from receptor.identifiers import is_service_name
from receptor.netceptor.highwayhash import name_hash
from receptor.netceptor.packets import (
    DATA,
    HEADER_SIZE,
    MOST_HOPS,
    Address,
    Datagram,
    Header,
    decode_header,
    encode_datagram,
    with_hops,
)

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
addresses = st.builds(Address, names, names.filter(is_service_name))
datagrams = st.builds(Datagram, addresses, addresses, st.binary(max_size=100))
hop_counts = st.integers(0, MOST_HOPS)


def test_recorded_data_packets_are_read_and_written_byte_for_byte() -> None:
    for recorded in recorded_packets(DATA):
        from_node, to_node = recorded.direction.split(">")
        header = decode_header(recorded.raw)
        assert header == Header(
            header.hops, name_hash(from_node), name_hash(to_node), recorded.from_service, recorded.to_service
        )
        datagram = Datagram(
            Address(from_node, recorded.from_service),
            Address(to_node, recorded.to_service),
            recorded.raw[HEADER_SIZE:],
        )
        assert encode_datagram(datagram, header.hops) == recorded.raw


@given(datagrams, hop_counts)
def test_a_header_says_what_was_sent(datagram: Datagram, hops: int) -> None:
    packet = encode_datagram(datagram, hops)
    source, destination = datagram.source, datagram.destination
    assert decode_header(packet) == Header(
        hops, name_hash(source.node), name_hash(destination.node), source.service, destination.service
    )
    assert packet[HEADER_SIZE:] == datagram.payload


@given(datagrams, hop_counts, hop_counts)
def test_forwarding_changes_the_hops_and_nothing_else(datagram: Datagram, before: int, after: int) -> None:
    assert with_hops(encode_datagram(datagram, before), after) == encode_datagram(datagram, after)


@given(st.binary(min_size=HEADER_SIZE, max_size=HEADER_SIZE + 10))
def test_any_36_bytes_are_a_header(noise: bytes) -> None:
    decode_header(noise)


@given(st.binary(max_size=HEADER_SIZE - 1))
def test_fewer_bytes_are_refused(noise: bytes) -> None:
    with pytest.raises(PeerError, match="shorter than its header"):
        decode_header(noise)


def test_a_service_that_is_no_utf_8_names_no_service_of_ours() -> None:
    """A node far away may send it through neighbours that look only at the nodes: it isn't theirs to answer for."""
    packet = encode_datagram(Datagram(Address("a", "x"), Address("b", "y"), b""), 1)
    assert decode_header(packet[:28] + b"\xff\xfe".ljust(8, b"\0")).to_service == "\ufffd\ufffd"


def test_an_address_is_shown_with_a_colon() -> None:
    assert str(Address("foo", "control")) == "foo:control"
