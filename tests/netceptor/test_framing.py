from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor.netceptor.framing import Framer, frames
from receptor.netceptor.packets import LARGEST_PACKET

packet_lists = st.lists(st.binary(max_size=300), max_size=6)


@given(packet_lists, st.data())
def test_packets_survive_any_cutting_of_the_stream(packets: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frames(packets))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = Framer()
    found = [packet for start, end in pairwise([0, *cuts, len(stream)]) for packet in framer.feed(stream[start:end])]
    assert found == packets


@given(st.lists(st.binary(max_size=100), max_size=8))
def test_any_bytes_are_packets_and_the_beginning_of_one(pieces: list[bytes]) -> None:
    framer = Framer()
    found = [packet for piece in pieces for packet in framer.feed(piece)]
    stream = b"".join(pieces)
    whole = b"".join(frames(found))
    assert stream.startswith(whole)
    rest = stream[len(whole) :]
    assert len(rest) < 2 or len(rest) - 2 < int.from_bytes(rest[:2], "little")


def test_the_length_is_little_endian() -> None:
    assert b"".join(frames([b"x" * 0x0102])) == b"\x02\x01" + b"x" * 0x0102


def test_an_empty_packet_is_a_frame() -> None:
    assert Framer().feed(b"\0\0\x01\0a") == [b"", b"a"]


def test_the_largest_packet_passes_and_a_larger_one_is_refused() -> None:
    largest = bytes(LARGEST_PACKET)
    assert Framer().feed(b"".join(frames([largest]))) == [largest]
    with pytest.raises(ValueError, match="65536 bytes does not fit"):
        list(frames([largest + b"x"]))
