from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fake_control import FakeNode, Session, answering
from mesh_answers import three

from receptor.client.address import UnixAddress
from receptor.client.control_client import ControlClient
from receptor.ctl.hints import meant_on, next_step, unknown_node
from receptor.ctl.settings import Settings

STATUS = {
    "NodeID": "foo",
    "KnownConnectionCosts": {"foo": {"bar": 1}, "bar": {"foo": 1}},
    "Advertisements": [
        {"NodeID": "foo", "Service": "control", "WorkCommands": [{"WorkType": "echoint"}]},
        {"NodeID": "bar", "Service": "control", "WorkCommands": [{"WorkType": "playbook"}]},
        {"NodeID": "bar", "Service": "web"},
    ],
}


@contextmanager
def client(node: FakeNode, session: Session) -> Iterator[ControlClient]:
    node.plays(session)
    with ControlClient(UnixAddress(node.path)) as connected:
        yield connected


@pytest.mark.parametrize(
    ("node_id", "service", "work_type", "hint"),
    [
        ("baz", "control", "", "; did you mean 'bar'?"),
        ("bar", "wbe", "", "; did you mean 'web'?"),
        ("foo", "web", "", ""),
        ("localhost", "", "echoin", "; did you mean 'echoint'?"),
        ("bar", "", "playboook", "; did you mean 'playbook'?"),
        ("foo", "", "playboook", ""),
        ("bar", "web", "playbook", ""),
    ],
)
def test_the_first_name_that_the_mesh_does_not_have(
    node_id: str, service: str, work_type: str, hint: str, node: FakeNode
) -> None:
    with client(node, answering(STATUS)) as connected:
        assert meant_on(connected, node_id, service=service, work_type=work_type) == hint


@pytest.mark.parametrize(
    ("node_id", "said"),
    [
        ("baz", "foo knows no node 'baz'; did you mean 'bar'?"),
        ("xyz", "foo knows no node 'xyz'."),
        ("bar", ""),
        ("localhost", ""),
    ],
)
def test_a_node_that_nobody_knows(node_id: str, said: str, node: FakeNode) -> None:
    with client(node, answering(STATUS)) as connected:
        assert unknown_node(connected, node_id) == said


def test_a_node_that_does_not_tell_its_status(node: FakeNode) -> None:
    with client(node, answering("ERROR: not for you")) as connected:
        assert meant_on(connected, "baz") == ""


@pytest.mark.parametrize(
    ("node_id", "said"),
    [
        ("goner", "did you mean 'gone'? All nodes that it knows: receptorctl --socket /s nodes"),
        ("xyz", "foo knows no node 'xyz'. All nodes"),
        ("gone", "has no way to it now. What may be wrong: receptorctl --socket /s doctor"),
        ("baz", "How far it leads: receptorctl --socket /s traceroute baz"),
    ],
)
def test_the_next_step(node_id: str, said: str) -> None:
    assert said in next_step(three(), node_id, Settings(socket="/s"))
