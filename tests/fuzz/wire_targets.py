"""What comes over links: frames, data packets, and the messages of the mesh in JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import pytest
from fuzz.damage import Edit, damaged, edited, edits, like, noise, texts, without_path
from fuzz.fuzzing import target
from hypothesis import strategies as st
from recordings import recorded_packets

from receptor.errors import PeerError
from receptor.identifiers import LONGEST_NODE_ID
from receptor.netceptor.framing import Framer, frames
from receptor.netceptor.messages import (
    Advertisement,
    RoutingUpdate,
    Unreachable,
    decode_advertisement,
    decode_routing_update,
    decode_unreachable,
    encode_advertisement,
    encode_routing_update,
    encode_unreachable,
)
from receptor.netceptor.packets import ADVERTISEMENT, DATA, HEADER_SIZE, ROUTING_UPDATE, decode_header, with_hops

_Message = TypeVar("_Message", RoutingUpdate, Advertisement, Unreachable)

UPDATES = [recorded.raw for recorded in recorded_packets(ROUTING_UPDATE)]
ADVERTISEMENTS = [recorded.raw for recorded in recorded_packets(ADVERTISEMENT)]
DATA_PACKETS = [recorded.raw for recorded in recorded_packets(DATA)]
REPORTS = [recorded.raw[HEADER_SIZE:] for recorded in recorded_packets(DATA) if recorded.to_service == "unreach"]
LARGEST_NUMBER = 2**64 - 1

node_ids = st.sampled_from(["us", "near", "far", "localhost", "", "x" * LONGEST_NODE_ID]) | texts
counters = st.sampled_from([0, 1, 999, 1000, 1001, 2**63, LARGEST_NUMBER]) | st.integers(0, 2000)
costs = st.floats(min_value=0, exclude_min=True, allow_infinity=False) | st.sampled_from([1, 1.0, 2, 1e15, 1e-300])
times = st.datetimes().map(lambda moment: moment.isoformat() + "Z") | st.just("2026-11-23T18:23:43.295343601+01:30")

updates = like(
    {
        "NodeID": node_ids,
        "UpdateID": texts,
        "UpdateEpoch": counters,
        "UpdateSequence": counters,
        "Connections": st.dictionaries(node_ids, costs, max_size=3),
        "ForwardingNode": node_ids,
        "SuspectedDuplicate": st.just(0) | counters,
        "Digest": counters,
    }
).map(lambda body: bytes([ROUTING_UPDATE]) + body)
advertisements = like(
    {
        "NodeID": node_ids,
        "Service": st.sampled_from(["control", "svc"]) | texts,
        "Time": times,
        "ConnType": st.integers(0, 2),
        "Tags": st.none() | st.dictionaries(texts, texts, max_size=2),
        "WorkCommands": st.none() | st.lists(st.fixed_dictionaries({"WorkType": texts, "Secure": st.booleans()})),
        "Cancel": st.booleans(),
    }
).map(lambda body: bytes([ADVERTISEMENT]) + body)
reports = like(
    {
        "FromNode": node_ids,
        "ToNode": node_ids,
        "FromService": texts,
        "ToService": texts,
        "Problem": st.sampled_from(["service unknown", "message expired"]) | texts,
    }
)


@target(
    "frames",
    1500,
    st.lists(st.one_of(noise, st.sampled_from(UPDATES + DATA_PACKETS), st.just(b""))),
    edits,
    st.lists(st.integers(0, 70_000)),
)
def frames_target(packets: list[bytes], damage: list[Edit], cuts: list[int]) -> None:
    """Any bytes are frames and the beginning of one, however they are cut."""
    stream = edited(b"".join(frames(packets)), damage)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    framer = Framer()
    found = [packet for start, end in pairwise(edges) for packet in framer.feed(stream[start:end])]
    assert found == Framer().feed(stream)
    whole = b"".join(frames(found))
    rest = stream[len(whole) :]
    assert stream == whole + rest
    assert len(rest) < 2 or len(rest) - 2 < int.from_bytes(rest[:2], "little")
    if not damage:
        assert found == packets


@target("data-packets", 3000, damaged(DATA_PACKETS), st.integers(0, 255))
def data_packets_target(packet: bytes, hops: int) -> None:
    """36 bytes are a header, fewer are refused, and to pass a packet on changes only its hops."""
    if len(packet) < HEADER_SIZE:
        with pytest.raises(PeerError):
            decode_header(packet)
        return
    before = decode_header(packet)
    passed_on = with_hops(packet, hops)
    after = decode_header(passed_on)
    assert (after.hops, len(passed_on)) == (hops, len(packet))
    assert (before.from_node, before.to_node) == (after.from_node, after.to_node)
    assert (before.from_service, before.to_service) == (after.from_service, after.to_service)
    assert max(len(before.from_service), len(before.to_service)) <= 8


@target("updates", 1200, damaged(UPDATES) | updates)
def updates_target(packet: bytes) -> None:
    """A routing update is refused or can be passed on, and keeps to the limits."""
    update = _stable(packet, decode_routing_update, encode_routing_update)
    if update is not None:
        for number in (update.epoch, update.sequence, update.suspected_duplicate, update.digest or 0):
            assert 0 <= number <= LARGEST_NUMBER
        assert all(cost > 0 and math.isfinite(cost) for cost in update.connections.values())
        for name in (update.node_id, update.forwarding_node, *update.connections):
            assert len(name) <= LONGEST_NODE_ID


@target("advertisements", 1200, damaged(ADVERTISEMENTS) | advertisements)
def advertisements_target(packet: bytes) -> None:
    """An advertisement is refused or can be passed on, and has a time."""
    advertisement = _stable(packet, decode_advertisement, encode_advertisement)
    if advertisement is not None:
        assert isinstance(advertisement.nanoseconds, int)
        assert advertisement.node_id
        assert advertisement.service


@target("reports", 1200, damaged(REPORTS) | reports)
def reports_target(payload: bytes) -> None:
    """A message to the service unreach is refused or can be written again."""
    _stable(payload, decode_unreachable, encode_unreachable)


def _stable(packet: bytes, decode: Callable[[bytes], _Message], encode: Callable[[_Message], bytes]) -> _Message | None:
    """The message, which is the same after it was written and read again; None if it was refused."""
    try:
        message = decode(packet)
    except PeerError as error:
        assert len(without_path(str(error))) < 5000  # noqa: PT017 (both ways are right)
        return None
    again = encode(message)
    assert decode(again) == message
    assert encode(decode(again)) == again
    assert str(message)
    return message
