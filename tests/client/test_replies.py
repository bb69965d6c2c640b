from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receptor.client.replies import (
    Event,
    Hop,
    JsonObject,
    NodeStatus,
    PingReply,
    Process,
    UnitResult,
    UnitState,
    UnitStatus,
    WorkType,
)
from receptor.errors import PeerError, UnitFailed

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


@pytest.mark.parametrize(("state", "ended"), [(0, False), (1, False), (2, True), (3, True), (4, True)])
def test_final_states(state: int, ended: bool) -> None:
    assert UnitStatus.parse({"State": state, "Detail": "", "StdoutSize": 0}).ended is ended


def test_a_unit_on_another_node_of_ours() -> None:
    status = UnitStatus.parse(
        {
            "State": 2,
            "StateName": "Succeeded",
            "Detail": "exit status 0",
            "StdoutSize": 6,
            "WorkType": "remote",
            "ExtraData": {"RemoteNode": "bar", "RemoteWorkType": "cat", "RemoteUnitID": "b1"},
            "Process": {"ExitCode": 0, "Started": "2026-03-01T10:20:30Z", "UserSeconds": 0.5, "PeakMemory": 12000000},
            "IdempotencyKey": "k1",
            "Name": "nightly",
            "Created": "2026-03-01T10:20:29.123456789Z",
        }
    )
    assert (status.work_type, status.remote_node, status.remote_unit_id) == ("cat", "bar", "b1")
    assert (status.name, status.idempotency_key, status.exit_code) == ("nightly", "k1", 0)
    assert status.created_at == datetime(2026, 3, 1, 10, 20, 29, 123456, UTC)
    assert status.process == Process(0, None, datetime(2026, 3, 1, 10, 20, 30, 0, UTC), None, 0.5, 0.0, 12000000)


@pytest.mark.parametrize(
    ("state", "detail", "exit_code"),
    [
        (3, "exit status 7", 7),
        (2, "exit status 0", 0),
        (1, "exit status 7", None),
        (3, "signal: killed", None),
        (4, "Canceled", None),
    ],
)
def test_existing_nodes_tell_the_exit_code_within_the_detail(state: int, detail: str, exit_code: int | None) -> None:
    assert UnitStatus.parse({"State": state, "Detail": detail}).exit_code == exit_code


def test_the_zero_time_of_existing_nodes_is_none() -> None:
    assert UnitStatus.parse({"Created": "0001-01-01T00:00:00Z"}).created_at is None


@pytest.mark.parametrize(
    ("state", "remote_node", "complaint"),
    [
        (UnitState.FAILED, "", "unit a1 failed: no paper"),
        (UnitState.FAILED, "bar", "unit a1 on bar failed: no paper"),
        (UnitState.CANCELED, "", "unit a1 was canceled: no paper"),
    ],
)
def test_a_result_says_what_failed(state: UnitState, remote_node: str, complaint: str) -> None:
    result = UnitResult.of("a1", UnitStatus(state, "no paper", 0, remote_node=remote_node))
    with pytest.raises(UnitFailed) as failed:
        result.check()
    assert str(failed.value) == complaint


def test_an_absurd_time_is_the_nodes_mistake() -> None:
    with pytest.raises(PeerError, match="Time"):
        PingReply.parse({"Success": True, "Time": 10**400})
