from __future__ import annotations

import json
import threading

import pytest
from fake_control import FakeNode, Peer, Session, answering
from receptorctl_runs import Receptorctl, press_ctrl_c
from terminals import terminal_for

from receptor.client import outage

GOOD = {"State": 2, "Detail": "exit status 0"}
BAD = {"State": 3, "Detail": "exit status 7"}
RUNNING = {"State": 1, "Detail": "Running"}


def running(peer: Peer) -> None:
    """A unit that goes on until time is up."""
    peer.greet()
    peer.command()
    peer.say(json.dumps(RUNNING))
    peer.command()
    peer.say('{"Multiplexed":true}')
    peer.numbered_command()
    peer.let_time_be_up()


def running_until(then: Session) -> Session:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(json.dumps(RUNNING))
        peer.command()
        peer.say('{"Multiplexed":true}')
        then(peer)

    return session


def asked_once(peer: Peer) -> None:
    peer.numbered_command()


@pytest.mark.parametrize(
    ("options", "answer", "exit_code"),
    [
        ((), GOOD, 0),
        ((), BAD, 1),
        ((), {"State": 4, "Detail": "Canceled"}, 1),
        (("--exit-code",), GOOD, 0),
        (("--exit-code",), BAD, 7),
        (("--exit-code",), {"State": 3, "Detail": "signal: killed"}, 137),
        (("--exit-code",), {"State": 3, "Detail": "could not be started"}, 1),
        (("--for", "running"), RUNNING, 0),
        (("--for", "running"), GOOD, 0),
        (("--for", "running"), BAD, 1),
        (("--for", "failed"), BAD, 0),
        (("--for", "failed"), GOOD, 1),
        (("--for", "failed", "--for", "ended"), GOOD, 0),
    ],
)
def test_the_exit_code(
    node: FakeNode, ctl: Receptorctl, options: tuple[str, ...], answer: dict[str, object], exit_code: int
) -> None:
    node.plays(answering(answer))
    assert ctl("work", "wait", *options, "a1a1a1a1").exit_code == exit_code


def test_each_is_printed(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(GOOD, BAD))
    ran = ctl("work", "wait", "a1a1a1a1", "b2b2b2b2")
    assert (ran.exit_code, ran.errors) == (1, "")
    assert ran.lines == ["a1a1a1a1  Succeeded  exit status 0", "b2b2b2b2  Failed  exit status 7"]


def test_each_as_a_line_of_json(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(GOOD, "ERROR: unknown work unit b2b2b2b2"))
    ran = ctl("work", "wait", "--json", "a1a1a1a1", "b2b2b2b2")
    assert ran.exit_code == 1
    assert [json.loads(line) for line in ran.lines] == [
        {"UnitID": "a1a1a1a1", **GOOD},
        {"UnitID": "b2b2b2b2", "Error": "unknown work unit"},
    ]


def test_the_first_is_enough(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(RUNNING, GOOD))
    ran = ctl("work", "wait", "--any", "a1a1a1a1", "b2b2b2b2", "c3c3c3c3")
    assert (ran.exit_code, ran.lines) == (0, ["b2b2b2b2  Succeeded  exit status 0"])


def test_a_unit_that_is_there_and_goes_on_is_printed_once(node: FakeNode, ctl: Receptorctl) -> None:
    def numbered(peer: Peer) -> None:
        answering(RUNNING, {"State": 0}, {"Multiplexed": True})(peer)
        (a1, _), (b2, _) = peer.numbered_command(), peer.numbered_command()
        peer.say(f"{a1} 0 {json.dumps(GOOD)}")
        peer.say(f"{b2} 0 {json.dumps(RUNNING)}")

    node.plays(numbered)
    ran = ctl("work", "wait", "--for", "running", "a1a1a1a1", "b2b2b2b2")
    assert (ran.exit_code, ran.lines) == (0, ["a1a1a1a1  Running  Running", "b2b2b2b2  Running  Running"])


def test_several_that_are_waited_for_are_counted(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receptor.ctl.live_line.SHOWN_AFTER", 0.0)
    is_seen = threading.Event()

    def session(peer: Peer) -> None:
        answering(RUNNING, RUNNING, {"State": 0}, {"Multiplexed": True})(peer)
        for _ in range(3):
            peer.numbered_command()
        assert is_seen.wait(10)
        peer.let_time_be_up()

    node.plays(session)
    with terminal_for(monkeypatch, "stderr") as terminal:
        terminal.when_seen("Waiting for 3 units: 2 Running, 1 Pending, ", is_seen.set)
        assert ctl("work", "wait", "--timeout", "1h", "a1a1a1a1", "b2b2b2b2", "c3c3c3c3").exit_code == 124


def test_time_that_is_up(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(running)
    ran = ctl("work", "wait", "--timeout", "1h", "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (124, b"")
    assert ran.errors.startswith("ERROR: the time is up, and these go on: a1a1a1a1 (Running).")
    assert ran.errors.endswith(f"receptorctl --socket {ctl.socket} work wait a1a1a1a1\n")


def test_ctrl_c(node: FakeNode, ctl: Receptorctl) -> None:
    def interrupt(peer: Peer) -> None:
        peer.numbered_command()
        press_ctrl_c()
        peer.wait_for_hang_up()

    node.plays(running_until(interrupt))
    ran = ctl("work", "wait", "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (130, b"")
    assert ran.errors.startswith("No longer waiting. To wait again: ")


def turned_away(peer: Peer) -> None:
    peer.say("ERROR: not now: there are 200 sessions already")


@pytest.mark.parametrize("away", [lambda peer: None, turned_away], ids=["gone", "full"])
def test_the_wait_goes_on_when_the_node_is_back(node: FakeNode, ctl: Receptorctl, away: Session) -> None:
    node.plays(running_until(asked_once), away, answering(GOOD))
    ran = ctl("work", "wait", "a1a1a1a1")
    assert (ran.exit_code, ran.lines) == (0, ["a1a1a1a1  Succeeded  exit status 0"])
    lost, back = ran.errors.splitlines()
    assert lost.startswith("Lost the node, and trying to reach it again: ")
    assert back == "The node is back."


def test_a_node_that_stays_away(node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "PATIENCE", 0.0)
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.0)
    node.plays(running_until(asked_once), lambda peer: None)
    ran = ctl("work", "wait", "a1a1a1a1")
    assert ran.exit_code == 1
    assert "closed the connection instead of sending its greeting" in ran.errors


def test_no_node_at_all(ctl: Receptorctl) -> None:
    ran = ctl.bare("--socket", "/nosuch.sock", "work", "wait", "a1a1a1a1")
    assert ran.exit_code == 1
    assert ran.errors.startswith("ERROR: there is no socket")


def test_the_exit_code_is_that_of_one_unit(ctl: Receptorctl) -> None:
    ran = ctl("work", "wait", "--exit-code", "a1a1a1a1", "b2b2b2b2")
    assert (ran.exit_code, ran.output) == (1, b"")


def test_somebody_before_a_terminal_sees_that_it_waits(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receptor.ctl.live_line.SHOWN_AFTER", 0.0)
    is_seen = threading.Event()

    def until_seen(peer: Peer) -> None:
        peer.numbered_command()
        assert is_seen.wait(10)
        peer.let_time_be_up()

    node.plays(running_until(until_seen))
    with terminal_for(monkeypatch, "stderr") as terminal:
        terminal.when_seen("a1a1a1a1: Running", is_seen.set)
        assert ctl("work", "wait", "--timeout", "1h", "a1a1a1a1").exit_code == 124
    assert "Waiting for unit a1a1a1a1: Running, 0 s" in terminal.raw
    [line] = terminal.shown
    assert line.startswith("ERROR: the time is up")
