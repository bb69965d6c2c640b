from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor.netceptor.digests import digest_of, digest_of_service
from receptor.netceptor.messages import (
    Advertisement,
    RoutingUpdate,
    WorkCommand,
    decode_advertisement,
    decode_routing_update,
    encode_advertisement,
    encode_routing_update,
)

State = tuple[str, int, dict[str, float]]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
states = st.tuples(
    texts,
    st.integers(0, 2**64 - 1),
    st.dictionaries(texts, st.floats(min_value=0, exclude_min=True, allow_infinity=False), max_size=4),
)

CONTROL = Advertisement(
    node_id="far",
    service="control",
    time="2026-01-01T00:00:00Z",
    connection_type=1,
    tags={"type": "Control Service", "x": "y"},
    work_commands=[WorkCommand("echo", secure=False)],
)


@given(states, states)
def test_nodes_have_the_same_digest_if_they_are_the_same(one: State, other: State) -> None:
    assert (digest_of(*one) == digest_of(*other)) == (one == other)
    node, epoch, edges = one
    assert digest_of(node, epoch, dict(reversed(edges.items()))) == digest_of(*one), "in whatever order"
    assert 0 < digest_of(*one) < 2**64


@given(states)
def test_those_who_hear_of_a_node_come_to_the_digest_that_it_has_itself(state: State) -> None:
    node, epoch, edges = state
    update = RoutingUpdate(
        node_id=node, update_id="x", epoch=epoch, sequence=1, connections=edges, forwarding_node=node
    )
    heard = decode_routing_update(encode_routing_update(update))
    assert digest_of(heard.node_id, heard.epoch, heard.connections) == digest_of(*state)


@given(
    st.none() | st.dictionaries(texts, texts, max_size=3),
    st.none() | st.lists(st.builds(WorkCommand, texts, st.booleans()), max_size=3),
)
def test_those_who_hear_of_a_service_come_to_the_digest_that_its_node_has(
    tags: dict[str, str] | None, work_commands: list[WorkCommand] | None
) -> None:
    service = msgspec.structs.replace(CONTROL, tags=tags, work_commands=work_commands)
    assert digest_of_service(decode_advertisement(encode_advertisement(service))) == digest_of_service(service)


def test_a_service_that_is_advertised_again_has_the_same_digest() -> None:
    again = msgspec.structs.replace(CONTROL, time="2026-01-01T00:05:00Z")
    assert digest_of_service(again) == digest_of_service(CONTROL)


def test_a_service_that_has_ended_counts_like_one_that_was_never_there() -> None:
    assert digest_of_service(msgspec.structs.replace(CONTROL, cancel=True)) == 0


@pytest.mark.parametrize(
    "other",
    [
        msgspec.structs.replace(CONTROL, node_id="near"),
        msgspec.structs.replace(CONTROL, service="other"),
        msgspec.structs.replace(CONTROL, connection_type=2),
        msgspec.structs.replace(CONTROL, tags=None),
        msgspec.structs.replace(CONTROL, work_commands=[WorkCommand("echo", secure=True)]),
    ],
    ids=["node", "name", "type", "tags", "work"],
)
def test_another_service_has_another_digest(other: Advertisement) -> None:
    assert digest_of_service(other) != digest_of_service(CONTROL)
