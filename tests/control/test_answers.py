from __future__ import annotations

import json

import msgspec
import pytest

from receptor.control.answers import Connection, Hop, NodeStatus, PingAnswer, PingFailure, ReloadAnswer, SubmitAnswer
from receptor.netceptor.messages import Advertisement, WorkCommand

STATUS = NodeStatus(
    advertisements=(
        Advertisement(
            node_id="foo",
            service="control",
            time="2024-11-05T12:00:00Z",
            connection_type=1,
            tags={"type": "Control Service"},
            work_commands=[WorkCommand("cat", secure=False)],
        ),
    ),
    connections=(Connection("bar", 1),),
    known_connection_costs={"foo": {"bar": 1}, "bar": {"foo": 1}},
    node_id="foo",
    routing_table={"bar": "bar"},
    system_cpu_count=2,
    system_memory_mib=1024,
    version="1",
)


def as_clients_read(answer: msgspec.Struct) -> object:
    return json.loads(msgspec.json.encode(answer))


def test_status_as_the_protocol_spells_it() -> None:
    assert as_clients_read(STATUS) == {
        "Advertisements": [
            {
                "NodeID": "foo",
                "Service": "control",
                "Time": "2024-11-05T12:00:00Z",
                "ConnType": 1,
                "Tags": {"type": "Control Service"},
                "WorkCommands": [{"WorkType": "cat", "Secure": False}],
                "Cancel": False,
            }
        ],
        "Connections": [{"NodeID": "bar", "Cost": 1}],
        "KnownConnectionCosts": {"foo": {"bar": 1}, "bar": {"foo": 1}},
        "NodeID": "foo",
        "RoutingTable": {"bar": "bar"},
        "SystemCPUCount": 2,
        "SystemMemoryMiB": 1024,
        "Version": "1",
    }


@pytest.mark.parametrize("names", [("NodeID", "Version"), ("RoutingTable",), ()])
def test_status_of_the_fields_asked_for(names: tuple[str, ...]) -> None:
    whole = as_clients_read(STATUS)
    assert isinstance(whole, dict)
    assert as_clients_read(STATUS.only(names)) == {name: whole[name] for name in names}


def test_a_field_that_does_not_exist_is_left_out() -> None:
    assert as_clients_read(STATUS.only(("node_id", "nodeid", "Color", "NodeID"))) == {"NodeID": "foo"}


def test_what_a_lone_node_knows_is_empty_and_not_missing() -> None:
    lone = NodeStatus(advertisements=(), connections=(), known_connection_costs={}, node_id="foo", routing_table={})
    assert as_clients_read(lone) == {
        "Advertisements": [],
        "Connections": [],
        "KnownConnectionCosts": {},
        "NodeID": "foo",
        "RoutingTable": {},
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            PingAnswer("bar", 1_500_000, "1.5ms"),
            {"Success": True, "From": "bar", "Time": 1_500_000, "TimeStr": "1.5ms"},
        ),
        (PingFailure("timeout"), {"Success": False, "Error": "timeout"}),
        (Hop("bar", 5, "5ns"), {"From": "bar", "Time": 5, "TimeStr": "5ns"}),
        (Hop("", 5, "5ns", "timeout"), {"From": "", "Time": 5, "TimeStr": "5ns", "Error": "timeout"}),
        (SubmitAnswer("Job Started", "abcd1234"), {"result": "Job Started", "unitid": "abcd1234"}),
        (ReloadAnswer(False, "why"), {"Success": False, "Error": "why"}),
    ],
)
def test_other_answers_as_the_protocol_spells_them(answer: msgspec.Struct, expected: dict[str, object]) -> None:
    assert as_clients_read(answer) == expected
