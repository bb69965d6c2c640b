from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receptor.client.fields import JsonObject
from receptor.client.replies import Event, Hop, NodeStatus, PingReply, WorkType
from receptor.client.unit_replies import Process, UnitStatus
from receptor.errors import PeerError

STATUS: JsonObject = {
    "Version": "1.2",
    "SystemCPUCount": 2,
    "SystemMemoryMiB": 1024,
    "NodeID": "foo",
    "Connections": [{"NodeID": "bar", "Cost": 1.5}],
    "RoutingTable": {"bar": "bar"},
    "Advertisements": [
        {
            "NodeID": "bar",
            "Service": "control",
            "Time": "2024-05-06T07:08:09.123456789Z",
            "ConnType": 1,
            "Tags": {"type": "Control Service"},
            "WorkCommands": [{"WorkType": "cat", "Secure": True}],
        },
        {"NodeID": "foo", "Service": "plain", "Time": "", "ConnType": 0, "Tags": None, "WorkCommands": None},
    ],
    "KnownConnectionCosts": {"foo": {"bar": 1}},
    "Weather": "fine",
}


def test_status_of_a_node() -> None:
    status = NodeStatus.parse(STATUS)
    assert (status.node_id, status.version, status.cpu_count, status.memory_mib) == ("foo", "1.2", 2, 1024)
    assert status.connections == (("bar", 1.5),)
    assert status.routes == {"bar": "bar"}
    assert status.known_costs == {"foo": {"bar": 1}}
    assert status.advertisements[0].work_types == (WorkType("cat", secure=True),)
    assert status.advertisements[1].tags is None
    assert status.additional == {"Weather": "fine"}


def test_a_lone_node_has_nulls_in_its_status() -> None:
    status = NodeStatus.parse({"NodeID": "foo", "Connections": None, "RoutingTable": None, "Advertisements": None})
    assert (status.connections, status.routes, status.advertisements) == ((), {}, ())


@pytest.mark.parametrize("field", sorted(set(STATUS) - {"Weather"}))
def test_a_field_of_the_wrong_type_is_named(field: str) -> None:
    with pytest.raises(PeerError, match=field):
        NodeStatus.parse(STATUS | {field: b""})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


PARSERS: list[Callable[[JsonObject], object]] = [
    NodeStatus.parse,
    PingReply.parse,
    Hop.parse_all,
    UnitStatus.parse,
    Process.parse,
    Event.parse,
]
KEYS = [*STATUS, "Time", "State", "Detail", "ExtraData", "Process", "Created", "ExitCode", "Cost", "Event"]


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(), _JSON))
def test_any_json_is_a_status_or_a_peer_error(answer: JsonObject) -> None:
    for parse in PARSERS:
        try:
            parse(answer)
        except PeerError:
            pass


def test_hops_are_ordered_by_number() -> None:
    hops = Hop.parse_all({str(n): {"From": f"n{n}", "Time": n, "TimeStr": f"{n}ms"} for n in (10, 2, 0)})
    assert [hop.number for hop in hops] == [0, 2, 10]
    assert hops[1] == Hop(2, "n2", "2ms", "")


def test_an_absurd_time_is_the_nodes_mistake() -> None:
    with pytest.raises(PeerError, match="Time"):
        PingReply.parse({"Success": True, "Time": 10**400})
