from __future__ import annotations

import json

import pytest
from fake_control import FakeNode, Peer, answering
from receptorctl_runs import Receptorctl
from terminals import terminal_for

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


def test_list_of_a_node_that_is_not_there(node: FakeNode, ctl: Receptorctl) -> None:
    known = {"NodeID": "foo", "KnownConnectionCosts": {"foo": {"bar": 1}, "bar": {"foo": 1}}}
    node.plays(answering("ERROR: no route to node bra", known))
    ran = ctl("work", "list", "--node", "bra")
    assert (ran.exit_code, ran.output) == (1, b"")
    assert ran.errors.endswith("; did you mean 'bar'?\n")


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


UNIT = {"State": 2, "StateName": "Succeeded", "Detail": "exit status 0", "StdoutSize": 2048, "WorkType": "cat"}
REMOTE = {
    **UNIT,
    "WorkType": "remote",
    "ExtraData": {"RemoteNode": "bar", "RemoteWorkType": "echoint", "RemoteUnitID": "Zv8Qq1nC"},
    "Name": "nightly",
    "Created": "2026-01-31T12:00:00Z",
    "Ended": "2026-01-31T12:00:05Z",
    "Process": {
        "ExitCode": 0,
        "Started": "2026-01-31T12:00:01Z",
        "Ended": "2026-01-31T12:00:04.5Z",
        "UserSeconds": 0.25,
        "SystemSeconds": 0.5,
        "PeakMemory": 12582912,
    },
}


def test_a_table_of_units_is_plain_off_a_terminal(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering({"b2b2b2b2": REMOTE, "a1a1a1a1": UNIT}))
    assert ctl("work", "list", "--table").lines == [
        "UNIT      NAME     STATE      WORK            CREATED                OUTPUT  DETAIL",
        "a1a1a1a1  -        Succeeded  cat             -                     2.0 KiB  exit status 0",
        "b2b2b2b2  nightly  Succeeded  echoint on bar  2026-01-31T12:00:00Z  2.0 KiB  exit status 0",
    ]


def test_on_a_terminal_there_is_a_table(node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    node.plays(answering({"a1a1a1a1": UNIT}))
    with terminal_for(monkeypatch, "stdout") as terminal:
        assert ctl("work", "list").exit_code == 0
    assert terminal.shown == [
        "UNIT      STATE      WORK  CREATED   OUTPUT  DETAIL",
        "a1a1a1a1  Succeeded  cat   -        2.0 KiB  exit status 0",
    ]
    assert "\x1b[32mSucceeded" in terminal.raw


def test_json_on_a_terminal(node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    node.plays(answering(UNITS), answering(UNITS["b2b2b2b2"]))
    with terminal_for(monkeypatch, "stdout") as terminal:
        ctl("work", "list", "--json")
    assert json.loads(terminal.raw) == UNITS
    with terminal_for(monkeypatch, "stdout") as terminal:
        ctl("work", "status", "--json", "b2b2b2b2")
    assert json.loads(terminal.raw) == UNITS["b2b2b2b2"]


def test_no_units_on_a_terminal_is_said_where_messages_go(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.plays(answering({}))
    with terminal_for(monkeypatch, "stdout") as terminal:
        ran = ctl("work", "list")
    assert terminal.raw == ""
    assert ran.errors.startswith("No units of work.")


def test_a_sheet_of_one_unit(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(REMOTE))
    assert ctl("work", "status", "--table", "b2b2b2b2").lines == [
        "Unit:       b2b2b2b2",
        "Name:       nightly",
        "State:      Succeeded",
        "Detail:     exit status 0",
        "Work type:  echoint",
        "Runs on:    bar",
        "Unit there: Zv8Qq1nC",
        "Created:    2026-01-31T12:00:00Z",
        "Started:    2026-01-31T12:00:01Z",
        "Ended:      2026-01-31T12:00:05Z",
        "Took:       3.50 s",
        "Exit code:  0",
        "Processor:  0.25 s user, 0.50 s system",
        "Memory:     12.0 MiB",
        "Output:     2.0 KiB (2048 bytes)",
    ]


def test_a_sheet_on_a_terminal_tells_how_long_ago(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.plays(answering(UNIT | {"Created": "2024-05-06T07:08:09Z"}))
    with terminal_for(monkeypatch, "stdout") as terminal:
        ctl("work", "status", "a1a1a1a1")
    [created] = [line for line in terminal.shown if line.startswith("Created:")]
    assert created.endswith(" d ago)")


@pytest.mark.parametrize(
    "words", [("list", "--json", "--table"), ("list", "-q", "--json"), ("status", "--json", "--table", "x")]
)
def test_one_form_at_a_time(ctl: Receptorctl, words: tuple[str, ...]) -> None:
    ran = ctl("work", *words)
    assert (ran.exit_code, ran.output) == (1, b"")
    assert "exclude each other" in ran.errors
