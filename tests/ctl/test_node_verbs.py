from __future__ import annotations

import json
import os
import sys

import pytest
from fake_control import FakeNode, Peer, answering
from mesh_answers import a_row_of_three
from receptorctl_runs import Receptorctl
from terminals import terminal_for

import receptor

PONG = {"Success": True, "From": "bar", "Time": 1500, "TimeStr": "1.5µs"}
STATUS = {"NodeID": "foo", "Version": "1.2", "SystemCPUCount": 2, "SystemMemoryMiB": 1024, "Connections": None}


def test_status_for_people(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(STATUS))
    ran = ctl("status")
    assert (ran.exit_code, ran.errors) == (0, "")
    assert ran.lines[:2] == ["Node ID: foo", "Version: 1.2"]


def test_status_shows_fields_it_does_not_know(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(STATUS | {"Weather": "fine"}))
    lines = ctl("status").lines
    assert lines[-4:] == ["Additional data returned from Receptor:", "{", '    "Weather": "fine"', "}"]


def test_status_for_programs(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(STATUS))
    assert json.loads(ctl("status", "--json").output) == STATUS


def test_ping(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(PONG, PONG))
    ran = ctl("ping", "bar", "--count", "2", "--delay", "0")
    assert (ran.exit_code, ran.lines) == (0, ["Reply from bar in 1.5µs"] * 2)
    assert node.commands == [{"command": "ping", "target": "bar"}] * 2


def test_a_failed_ping_does_not_end_the_others(node: FakeNode, ctl: Receptorctl) -> None:
    lost = {"Success": False, "Error": "timeout"}
    expired = {"Success": False, "Error": "expired", "From": "foo", "TimeStr": "2ms"}
    node.plays(answering(lost, PONG, expired))
    ran = ctl("ping", "bar", "--count", "3", "--delay", "0")
    assert (ran.exit_code, ran.lines) == (2, ["Reply from bar in 1.5µs"])
    assert ran.errors == "ERROR: timeout\nERROR: expired from foo in 2ms\n"


def test_traceroute(node: FakeNode, ctl: Receptorctl) -> None:
    hops = {
        "0": {"From": "foo", "TimeStr": "1ms"},
        "1": {"From": "foo", "TimeStr": "2ms", "Error": "no route to node"},
    }
    node.plays(answering(hops))
    ran = ctl("traceroute", "bar")
    assert (ran.exit_code, ran.lines) == (0, ["0: foo in 1ms"])
    assert ran.errors == "ERROR: 1: Error no route to node from foo in 2ms\n"


@pytest.mark.parametrize(
    ("answer", "exit_code"),
    [
        ({"Success": True}, 0),
        ({"Success": False, "Error": "node was changed ERRORCODE 3"}, 3),
        ({"Success": False, "Error": "line 3: bad ERRORCODE 4"}, 4),
        ({"Success": False, "Error": "no idea"}, 5),
        ("ERROR: Unknown command", 1),
    ],
)
def test_exit_codes_of_reload(node: FakeNode, ctl: Receptorctl, answer: object, exit_code: int) -> None:
    node.plays(answering(answer))
    ran = ctl("reload")
    assert ran.exit_code == exit_code
    if exit_code == 0:
        assert ran.output == b"Reload successful\n"
    else:
        assert ran.errors.startswith("ERROR: ")
        assert "ERRORCODE" not in ran.errors


def test_version(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering({"Version": "v9"}))
    assert ctl("version").lines == [f"receptorctl  {receptor.__version__}", "receptor     v9"]


def test_connect_copies_both_ways(node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.send(b"Connecting\nhello\0")
        peer.send(peer.rest().upper())

    node.plays(session)
    reader, writer = os.pipe()
    os.write(writer, b"question\xff")
    os.close(writer)
    with open(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ran = ctl("connect", "bar", "echo", "--tls-client", "mytls")
    assert (ran.exit_code, ran.output, ran.errors) == (0, b"hello\0QUESTION\xff", "")
    assert node.commands == [{"command": "connect", "node": "bar", "service": "echo", "tls": "mytls"}]


def test_connect_to_a_service_that_is_not_there(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.plays(answering("ERROR: no route to node"))
    with open(os.devnull) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ran = ctl("connect", "bar", "echo")
    assert ran.exit_code == 1
    assert "fake can't connect to the service echo of bar: no route to node" in ran.errors


def test_pings_as_json_lines(node: FakeNode, ctl: Receptorctl) -> None:
    lost = {"Success": False, "Error": "timeout"}
    node.plays(answering(PONG, lost))
    ran = ctl("ping", "bar", "--count", "2", "--delay", "0", "--json")
    assert (ran.exit_code, [json.loads(line) for line in ran.lines], ran.errors) == (2, [PONG, lost], "")


def test_a_ping_to_nobody_names_who_was_meant(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(
        answering({"Success": False, "Error": "no route to node baz"}, STATUS | {"RoutingTable": {"bar": "bar"}})
    )
    ran = ctl("ping", "baz", "--count", "1")
    assert (ran.exit_code, ran.output) == (2, b"")
    assert ran.errors.startswith("ERROR: no route to node baz\nfoo")
    assert "did you mean 'bar'?" in ran.errors


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("traceroute", "bar"), {"0": {"From": "foo", "Time": 1, "TimeStr": "1ns"}}),
        (("reload",), {"Success": True}),
    ],
)
def test_the_answer_of_the_node_as_json(
    node: FakeNode, ctl: Receptorctl, words: tuple[str, ...], answer: object
) -> None:
    node.plays(answering(answer))
    assert json.loads(ctl(*words, "--json").output) == answer


def test_versions_as_json(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering({"Version": "v9"}))
    assert json.loads(ctl("version", "--json").output) == {"receptorctl": receptor.__version__, "receptor": "v9"}


def test_status_on_a_terminal(node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    node.plays(answering(a_row_of_three()))
    with terminal_for(monkeypatch, "stdout") as terminal:
        assert ctl("status").exit_code == 0
    assert "Node ID: \x1b[36mfoo\x1b[0m" in terminal.raw
    assert " d ago" in terminal.raw
    assert "multiplex, type=Control Service" in terminal.raw
