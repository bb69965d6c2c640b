from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import recorded_packets

from receptor.errors import PeerError
from receptor.netceptor.messages import (
    Advertisement,
    RoutingUpdate,
    Unreachable,
    WorkCommand,
    decode_advertisement,
    decode_routing_update,
    decode_unreachable,
    encode_advertisement,
    encode_routing_update,
    encode_unreachable,
    format_time,
    parse_time,
)
from receptor.netceptor.packets import ADVERTISEMENT, DATA, HEADER_SIZE, ROUTING_UPDATE

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = texts.filter(bool)
numbers = st.integers(0, 2**64 - 1)
moments = st.integers(0, parse_time("9999-12-31T23:59:59Z"))
updates = st.builds(
    RoutingUpdate,
    node_id=texts,
    update_id=texts,
    epoch=numbers,
    sequence=numbers,
    connections=st.dictionaries(texts, st.floats(min_value=0, exclude_min=True, allow_infinity=False), max_size=5),
    forwarding_node=texts,
    suspected_duplicate=numbers,
    digest=st.just(msgspec.UNSET) | numbers,
)
advertisements = st.builds(
    Advertisement,
    node_id=names,
    service=names,
    time=moments.map(format_time),
    connection_type=st.integers(0, 2),
    tags=st.none() | st.dictionaries(texts, texts, max_size=4),
    work_commands=st.none() | st.lists(st.builds(WorkCommand, texts, st.booleans()), max_size=4),
    cancel=st.booleans(),
)
unreachables = st.builds(
    Unreachable, from_node=texts, to_node=texts, from_service=texts, to_service=texts, problem=texts
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)

UPDATE: dict[str, object] = {
    "NodeID": "far",
    "UpdateID": "abcdefgh",
    "UpdateEpoch": 7,
    "UpdateSequence": 1,
    "Connections": {"near": 1.5},
    "ForwardingNode": "near",
    "SuspectedDuplicate": 0,
}
SERVICE: dict[str, object] = {
    "NodeID": "far",
    "Service": "control",
    "Time": "2026-01-02T03:04:05.6Z",
    "ConnType": 1,
    "Tags": {"type": "Control Service"},
    "WorkCommands": [{"WorkType": "echo", "Secure": True}],
    "Cancel": False,
}


def as_packet(kind: int, **fields: object) -> bytes:
    return bytes([kind]) + json.dumps(fields).encode()


# What existing nodes say


def test_recorded_routing_updates_are_read_and_written_byte_for_byte() -> None:
    for recorded in recorded_packets(ROUTING_UPDATE):
        assert encode_routing_update(decode_routing_update(recorded.raw)) == recorded.raw


def test_recorded_advertisements_are_read_and_written_byte_for_byte() -> None:
    for recorded in recorded_packets(ADVERTISEMENT):
        assert encode_advertisement(decode_advertisement(recorded.raw)) == recorded.raw


def test_recorded_unreachable_messages_are_read_and_written_byte_for_byte() -> None:
    payloads = [found.raw[HEADER_SIZE:] for found in recorded_packets(DATA) if found.to_service == "unreach"]
    assert payloads
    for payload in payloads:
        assert encode_unreachable(decode_unreachable(payload)) == payload


def test_keys_that_we_don_t_know_are_ignored() -> None:
    assert decode_routing_update(as_packet(1, **UPDATE, New=1)) == decode_routing_update(as_packet(1, **UPDATE))
    assert decode_advertisement(as_packet(2, **SERVICE, New=1)) == decode_advertisement(as_packet(2, **SERVICE))


# Ours


@given(updates)
def test_an_update_that_is_sent_is_read_the_same(update: RoutingUpdate) -> None:
    assert decode_routing_update(encode_routing_update(update)) == update


@given(advertisements)
def test_an_advertisement_that_is_sent_is_read_the_same(advertisement: Advertisement) -> None:
    assert decode_advertisement(encode_advertisement(advertisement)) == advertisement


@given(unreachables)
def test_an_unreachable_message_that_is_sent_is_read_the_same(message: Unreachable) -> None:
    assert decode_unreachable(encode_unreachable(message)) == message


def test_an_update_has_the_keys_and_numbers_that_existing_nodes_write() -> None:
    update = RoutingUpdate(
        node_id="a", update_id="u", epoch=5, sequence=6, connections={"c": 1.5, "b": 2.0}, forwarding_node="f"
    )
    assert encode_routing_update(update) == (
        b'\x01{"NodeID":"a","UpdateID":"u","UpdateEpoch":5,"UpdateSequence":6,"Connections":{"b":2,"c":1.5},'
        b'"ForwardingNode":"f","SuspectedDuplicate":0}'
    )


# Noise


@given(st.binary(max_size=200))
def test_noise_is_refused_with_a_reason(noise: bytes) -> None:
    for decode in (decode_routing_update, decode_advertisement, decode_unreachable):
        with pytest.raises(PeerError, match="can't be read"):
            decode(noise)


@given(st.sampled_from(sorted(UPDATE)), json_values)
def test_whatever_an_update_holds_it_is_refused_or_can_be_passed_on(key: str, value: object) -> None:
    try:
        update = decode_routing_update(as_packet(1, **{**UPDATE, key: value}))
    except PeerError:
        return
    assert decode_routing_update(encode_routing_update(update)) == update
    assert str(update)


@given(st.sampled_from(sorted(SERVICE)), json_values)
def test_whatever_an_advertisement_holds_it_is_refused_or_can_be_passed_on(key: str, value: object) -> None:
    try:
        advertisement = decode_advertisement(as_packet(2, **{**SERVICE, key: value}))
    except PeerError:
        return
    assert decode_advertisement(encode_advertisement(advertisement)) == advertisement
    assert str(advertisement)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"UpdateEpoch": 2**64}, "does not fit 64 bits"),
        ({"UpdateSequence": -1}, "does not fit 64 bits"),
        ({"SuspectedDuplicate": 2**64}, "does not fit 64 bits"),
        ({"UpdateID": "x" * 65}, "id of a routing update is too long"),
        ({"NodeID": "x" * 1025}, "longer than 1024"),
        ({"Connections": {"x" * 1025: 1}}, "longer than 1024"),
        ({"Connections": {"near": 0}}, "far gives near the cost 0"),
        ({"Connections": {"near": -2}}, "far gives near the cost -2"),
        ({"Connections": None}, r"Expected `object`, got `null` - at `\$.Connections`"),
        ({"NodeID": 7}, r"Expected `str`, got `int` - at `\$.NodeID`"),
    ],
)
def test_an_update_that_breaks_a_rule_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(PeerError, match=reason):
        decode_routing_update(as_packet(1, **{**UPDATE, **changes}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"NodeID": ""}, "names no node or no service"),
        ({"Service": ""}, "names no node or no service"),
        ({"Time": "yesterday"}, "advertisement of far: its time is not as RFC 3339 writes one"),
        ({"Time": "2026-02-30T00:00:00Z"}, "advertisement of far: "),
        ({"WorkCommands": [{"WorkType": "echo"}]}, "missing required field `Secure`"),
    ],
)
def test_an_advertisement_that_breaks_a_rule_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(PeerError, match=reason):
        decode_advertisement(as_packet(2, **{**SERVICE, **changes}))


@pytest.mark.parametrize("number", ["9" * 5000, "1e999", "NaN"])
def test_numbers_out_of_all_bounds_are_refused(number: str) -> None:
    text = json.dumps(UPDATE)
    for found in ('"UpdateEpoch": 7', '"near": 1.5'):
        key = found.split(":")[0]
        with pytest.raises(PeerError, match="can't be read"):
            decode_routing_update(b"\x01" + text.replace(found, f"{key}: {number}").encode())


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(PeerError, match="can't be read"):
        decode_routing_update(b"\x01" + b"[" * 60_000)
    with pytest.raises(PeerError, match="can't be read"):
        decode_routing_update(b'\x01{"NodeID":"a","x":' + b'{"x":' * 10_000)


def test_more_than_a_packet_holds_is_refused() -> None:
    with pytest.raises(PeerError, match="larger than a packet may be"):
        decode_unreachable(b" " * 65_536)


# Times


@given(moments)
def test_a_time_that_is_written_is_read_the_same(nanoseconds: int) -> None:
    assert parse_time(format_time(nanoseconds)) == nanoseconds


@given(st.datetimes(min_value=datetime(1970, 1, 2)), st.integers(-23 * 60, 23 * 60))
def test_times_of_other_zones_are_read(moment: datetime, minutes: int) -> None:
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) - timedelta(minutes=minutes)
    assert parse_time(f"{moment.isoformat()}{offset}") == expected // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_800_000_000_500_000_000, "2027-01-15T08:00:00.5Z"),
        (1_795_458_223_295_343_601, "2026-11-23T18:23:43.295343601Z"),
    ],
)
def test_times_have_as_many_decimals_as_they_need(nanoseconds: int, text: str) -> None:
    assert format_time(nanoseconds) == text
    assert parse_time(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00." + "1" * 99]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


# Log lines


def test_messages_are_short_in_logs() -> None:
    update = decode_routing_update(as_packet(1, **UPDATE))
    assert str(update) == "update abcdefgh of far (near at 1.5)"
    assert str(msgspec.structs.replace(update, connections={})) == "update abcdefgh of far (no neighbours)"
    advertisement = decode_advertisement(as_packet(2, **SERVICE))
    assert str(advertisement) == "service control of far"
    assert str(msgspec.structs.replace(advertisement, cancel=True)) == "end of service control of far"
