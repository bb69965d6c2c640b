from __future__ import annotations

import time

import click
import pytest
from click.shell_completion import CompletionItem
from fake_control import FakeNode, Peer, answering

from receptor.ctl import live_names
from receptor.ctl.main import receptorctl

STATUS = {
    "NodeID": "foo",
    "Connections": [{"NodeID": "bar", "Cost": 1}],
    "RoutingTable": {"bar": "bar", "baz": "bar"},
    "KnownConnectionCosts": {"foo": {"bar": 1}, "bar": {"foo": 1, "baz": 1}, "baz": {"bar": 1}, "old": {}},
    "Advertisements": [
        {"NodeID": "foo", "Service": "control", "WorkCommands": [{"WorkType": "cat"}]},
        {"NodeID": "bar", "Service": "control", "WorkCommands": [{"WorkType": "cat"}, {"WorkType": "play"}]},
        {"NodeID": "bar", "Service": "web"},
    ],
}
UNITS = {
    "aa": {"State": 1, "StateName": "Running", "WorkType": "cat", "Name": "nightly"},
    "ab": {
        "State": 2,
        "StateName": "Succeeded",
        "WorkType": "remote",
        "ExtraData": {"RemoteNode": "bar", "RemoteWorkType": "play"},
    },
    "b": {"State": 0, "StateName": "Pending", "WorkType": "cat"},
    "$(reboot)": {"State": 1, "StateName": "Running", "WorkType": "cat"},
}


def context(fake: FakeNode, /, **params: object) -> click.Context:
    """That of a verb whose words so far mean these params."""
    root = receptorctl.make_context("receptorctl", ["--socket", fake.path, "status"], resilient_parsing=True)
    verb = click.Context(receptorctl.commands["status"], parent=root)
    verb.params = params
    return verb


def shown(items: list[CompletionItem[str]]) -> dict[str, str | None]:
    return {item.value: item.help for item in items}


def test_units_and_what_they_are(node: FakeNode) -> None:
    node.plays(answering(UNITS))
    assert shown(live_names.units(context(node), "a", running=False)) == {
        "aa": "nightly, Running, cat",
        "ab": "Succeeded, play, on bar",
    }


def test_units_that_have_not_ended_and_are_not_named_already(node: FakeNode) -> None:
    node.plays(answering(UNITS))
    assert shown(live_names.units(context(node, unit_ids=("b",)), "", running=True)) == {"aa": "nightly, Running, cat"}


def test_units_of_another_node(node: FakeNode) -> None:
    node.plays(answering("Connecting\nReceptor Control, node bar", UNITS))
    assert len(live_names.units(context(node, node="bar"), "", running=False)) == 3
    assert node.commands[0] == {"command": "connect", "node": "bar", "service": "control", "tls": ""}


def test_nodes_and_how_they_are_reached(node: FakeNode) -> None:
    node.plays(answering(STATUS))
    assert shown(live_names.nodes(context(node), "")) == {
        "foo": "this node",
        "bar": "linked",
        "baz": "via bar",
        "old": "out of reach",
    }


@pytest.mark.parametrize(
    ("params", "found"),
    [({}, {"cat": "on foo, bar", "play": "on bar"}), ({"node": "foo"}, {"cat": "on foo"}), ({"node": "x"}, {})],
)
def test_work_types(params: dict[str, object], found: dict[str, str], node: FakeNode) -> None:
    node.plays(answering(STATUS))
    assert shown(live_names.work_types(context(node, **params), "")) == found


def test_services_of_the_node_that_is_named(node: FakeNode) -> None:
    node.plays(answering(STATUS))
    assert shown(live_names.services(context(node, node="bar"), "w")) == {"web": "on bar"}


@pytest.mark.parametrize("answer", ["ERROR: not for you", "nonsense", {"NodeID": 3}])
def test_a_node_that_does_not_tell(answer: object, node: FakeNode) -> None:
    node.plays(answering(answer))
    assert live_names.nodes(context(node), "") == []


def test_a_node_that_does_not_answer_is_not_waited_for(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.wait_for_hang_up()

    monkeypatch.setattr(live_names, "PATIENCE", 0.05)
    node.plays(session)
    before = time.monotonic()
    assert live_names.nodes(context(node), "") == []
    assert time.monotonic() - before < 5
