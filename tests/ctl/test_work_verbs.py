from __future__ import annotations

import json

import pytest
from fake_control import FakeNode, Peer, answering
from receptorctl_runs import Receptorctl

UNITS = {"b2b2b2b2": {"State": 2, "Detail": "exit status 0"}, "a1a1a1a1": {"State": 1, "ExtraData": None}}


def test_list_is_json_in_the_order_of_unit_ids(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS))
    ran = ctl("work", "list")
    assert list(json.loads(ran.output).items()) == [("a1a1a1a1", UNITS["a1a1a1a1"]), ("b2b2b2b2", UNITS["b2b2b2b2"])]


def test_list_quietly(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS))
    assert ctl("work", "list", "-q").lines == ["b2b2b2b2", "a1a1a1a1"]


def test_list_one_unit(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering({"a1a1a1a1": UNITS["a1a1a1a1"]}))
    assert json.loads(ctl("work", "list", "--unit_id", "a1a1a1a1").output) == {"a1a1a1a1": UNITS["a1a1a1a1"]}
    assert node.commands == [{"command": "work", "subcommand": "list", "unitid": "a1a1a1a1"}]


def test_list_of_another_node(node: FakeNode, ctl: Receptorctl) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say("Connecting\nReceptor Control, node bar")
        peer.command()
        peer.say("{}")

    node.plays(session)
    assert ctl("work", "list", "--node", "bar", "--tls-client", "mytls").output == b"{}\n"
    assert node.commands[0] == {"command": "connect", "node": "bar", "service": "control", "tls": "mytls"}


def test_status_of_a_unit_is_json(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS["b2b2b2b2"]))
    assert json.loads(ctl("work", "status", "b2b2b2b2").output) == UNITS["b2b2b2b2"]
    assert node.commands == [{"command": "work", "subcommand": "status", "unitid": "b2b2b2b2"}]


@pytest.mark.parametrize("verb", ["status", "results"])
def test_an_unknown_unit(node: FakeNode, ctl: Receptorctl, verb: str) -> None:
    node.plays(answering("ERROR: unknown work unit a1a1a1a1"))
    ran = ctl("work", verb, "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (1, b"")
    assert ran.errors == "ERROR: unknown work unit a1a1a1a1; 'receptorctl work list' shows the units of this node\n"


def test_cancel_does_all_it_can(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(
        answering({"cancelled": "a1a1a1a1"}, "ERROR: unknown work unit b2b2b2b2", {"cancel pending": "c3c3c3c3"})
    )
    ran = ctl("work", "cancel", "a1a1a1a1", "b2b2b2b2", "c3c3c3c3")
    assert ran.exit_code == 1
    assert ran.lines == ["Cancelled:", "(a1a1a1a1, cancelled)", "(c3c3c3c3, cancel pending)"]
    assert ran.errors == "ERROR: b2b2b2b2: unknown work unit b2b2b2b2\n"


@pytest.mark.parametrize(
    ("words", "subcommand"),
    [
        (("release", "a1a1a1a1"), "release"),
        (("release", "--force", "a1a1a1a1"), "force-release"),
        (("force-release", "a1a1a1a1"), "force-release"),
    ],
)
def test_release(node: FakeNode, ctl: Receptorctl, words: tuple[str, ...], subcommand: str) -> None:
    node.plays(answering({"released": "a1a1a1a1"}))
    ran = ctl("work", *words)
    assert (ran.exit_code, ran.lines) == (0, ["Released:", "(a1a1a1a1, released)"])
    assert node.commands == [{"command": "work", "subcommand": subcommand, "unitid": "a1a1a1a1"}]


@pytest.mark.parametrize("words", [("release", "--all"), ("force-release", "--all")])
def test_release_every_unit(node: FakeNode, ctl: Receptorctl, words: tuple[str, ...]) -> None:
    node.plays(answering({"a1a1a1a1": {}, "b2b2b2b2": {}}, {"released": "a1a1a1a1"}, {"release pending": "b2b2b2b2"}))
    assert ctl("work", *words).lines == ["Released:", "(a1a1a1a1, released)", "(b2b2b2b2, release pending)"]


@pytest.mark.parametrize("verb", ["cancel", "release", "force-release"])
def test_without_unit_ids_nothing_is_done(ctl: Receptorctl, verb: str) -> None:
    ran = ctl("work", verb)
    assert (ran.exit_code, ran.output) == (0, b"")
    assert ran.errors.startswith("Warning: ")
