"""What ``work submit`` does besides submitting: waiting, time limits, names, environment variables, progress."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from fake_control import FakeNode, Peer, Session, answering
from receptorctl_runs import Receptorctl, press_ctrl_c
from terminals import terminal_for

GOOD = {"State": 2, "Detail": "exit status 0", "StdoutSize": 0}
BAD = {"State": 3, "Detail": "exit status 7", "StdoutSize": 0}


def submitted(result: str = "Job Started", before: tuple[object, ...] = ()) -> Session:
    """A session that makes the unit a1a1a1a1, after some other answers."""

    def session(peer: Peer) -> None:
        answering(*before)(peer)
        peer.command()
        peer.say("Work unit created with ID a1a1a1a1. Send stdin data and EOF.")
        peer.rest()
        peer.say(json.dumps({"unitid": "a1a1a1a1", "result": result}))

    return session


def goes_on(peer: Peer) -> None:
    answering({"State": 1}, {"Multiplexed": True})(peer)
    peer.numbered_command()
    peer.let_time_be_up()


def silent_results(peer: Peer) -> None:
    peer.greet()
    peer.command()
    peer.say("Streaming results for work unit a1a1a1a1")
    peer.let_time_be_up()


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ((), ["Result:  Job Started", "Unit ID: a1a1a1a1"]),
        (("--quiet",), ["a1a1a1a1"]),
        (("--json",), ["{", '    "Result": "Job Started",', '    "UnitID": "a1a1a1a1"', "}"]),
    ],
)
def test_what_is_printed(node: FakeNode, ctl: Receptorctl, words: tuple[str, ...], lines: list[str]) -> None:
    node.plays(submitted())
    ran = ctl("work", "submit", "cat", "-n", *words)
    assert (ran.exit_code, ran.lines, ran.errors) == (0, lines, "")


@pytest.mark.parametrize(
    ("words", "end", "exit_code", "errors"),
    [
        ((), GOOD, 0, ""),
        ((), BAD, 1, "ERROR: unit a1a1a1a1 failed: exit status 7. For its results: "),
        ((), {"State": 4, "Detail": "Canceled"}, 1, "ERROR: unit a1a1a1a1 canceled: Canceled"),
        (("--exit-code",), BAD, 7, "ERROR: unit a1a1a1a1 failed"),
        (("--exit-code",), {"State": 3, "Detail": "signal: killed"}, 137, "ERROR: unit a1a1a1a1 failed"),
        (("--exit-code",), {"State": 3, "Detail": "no such command"}, 1, "ERROR: unit a1a1a1a1 failed"),
    ],
)
def test_waiting_for_the_end(
    node: FakeNode, ctl: Receptorctl, words: tuple[str, ...], end: dict[str, object], exit_code: int, errors: str
) -> None:
    node.plays(submitted(), answering(end))
    ran = ctl("work", "submit", "cat", "-n", "--wait", "--quiet", *words)
    assert (ran.exit_code, ran.lines) == (exit_code, ["a1a1a1a1"])
    assert ran.errors.startswith(errors)


def test_waiting_for_a_unit_that_is_released_meanwhile(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(submitted(), answering("ERROR: unknown work unit a1a1a1a1"))
    ran = ctl("work", "submit", "cat", "-n", "--wait", "--rm")
    assert ran.exit_code == 1
    assert ran.errors.startswith("ERROR: unit a1a1a1a1 was released by somebody else")


def test_waiting_releasing_and_telling_all_in_one_object(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(submitted(), answering(GOOD), answering({"released": "a1a1a1a1"}))
    ran = ctl("work", "submit", "cat", "-n", "--wait", "--rm", "--json")
    assert (ran.exit_code, ran.errors) == (0, "")
    assert json.loads(ran.output) == {
        "UnitID": "a1a1a1a1", "Result": "Job Started", "Outcome": "released", **GOOD
    }  # fmt: skip


def test_following_with_the_commands_own_exit_code(node: FakeNode, ctl: Receptorctl) -> None:
    def results(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say("Streaming results for work unit a1a1a1a1")

    node.plays(submitted(), results, answering(BAD, {"released": "a1a1a1a1"}))
    ran = ctl("work", "submit", "cat", "-n", "--follow", "--rm", "--exit-code")
    assert (ran.exit_code, ran.output) == (7, b"")
    assert ran.errors == "ERROR: unit a1a1a1a1 failed: exit status 7\n(a1a1a1a1, released)\n"


@pytest.mark.parametrize(
    ("words", "session", "output", "next_command"),
    [
        (("--wait", "-q"), goes_on, b"a1a1a1a1\n", "work wait a1a1a1a1"),
        (("--wait", "--json"), goes_on, b'{\n    "Result": "Job Started",\n    "UnitID": "a1a1a1a1"\n}\n', "work wait"),
        (("--follow", "--rm"), silent_results, b"", "work results a1a1a1a1"),
    ],
)
def test_time_that_is_up_leaves_the_unit(
    node: FakeNode, ctl: Receptorctl, words: tuple[str, ...], session: Session, output: bytes, next_command: str
) -> None:
    node.plays(submitted(), session)
    ran = ctl("work", "submit", "cat", "-n", "--timeout", "1h", *words)
    assert (ran.exit_code, ran.output) == (124, output)
    assert ran.errors.startswith("ERROR: the time is up, and unit a1a1a1a1 goes on.")
    assert f"receptorctl --socket {ctl.socket} {next_command}" in ran.errors


def test_ctrl_c_while_waiting_leaves_the_unit(node: FakeNode, ctl: Receptorctl) -> None:
    def session(peer: Peer) -> None:
        answering({"State": 1}, {"Multiplexed": True})(peer)
        peer.numbered_command()
        press_ctrl_c()
        peer.wait_for_hang_up()

    node.plays(submitted(), session)
    ran = ctl("work", "submit", "cat", "-n", "--wait", "--rm", "-q")
    assert (ran.exit_code, ran.output) == (130, b"a1a1a1a1\n")
    assert ran.errors.startswith("No longer waiting for unit a1a1a1a1, which goes on. To wait again: ")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--follow", "--wait"), "--follow waits for the end as well"),
        (("--follow", "--json"), "--follow prints the results and nothing else"),
        (("--follow", "--quiet"), "--follow prints the results and nothing else"),
        (("--quiet", "--json"), "--quiet and --json exclude each other"),
        (("--timeout", "5s"), "--timeout limits a wait"),
        (("--exit-code",), "--exit-code is known at the unit's end"),
    ],
)
def test_options_that_do_not_go_together(ctl: Receptorctl, words: tuple[str, ...], complaint: str) -> None:
    ran = ctl("work", "submit", "cat", "-n", *words)
    assert (ran.exit_code, ran.output) == (1, b"")
    assert ran.errors.startswith(f"ERROR: {complaint}")


def test_a_name_and_environment_variables(node: FakeNode, ctl: Receptorctl, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# secrets\nexport TOKEN='hush hush'\n")
    node.plays(submitted(before=({"Time": "2026-01-31T12:00:00Z"},)))
    ran = ctl("work", "submit", "cat", "-n", "--name", "nightly", "--env-file", str(file))
    assert (ran.exit_code, ran.errors) == (0, "")
    assert node.commands[1]["unitname"] == "nightly"
    assert json.loads(node.commands[1]["secret_env"]) == {"TOKEN": "hush hush"}


def test_a_node_that_would_pass_over_environment_variables(node: FakeNode, ctl: Receptorctl, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("TOKEN=hush\n")
    node.plays(answering({}))
    ran = ctl("work", "submit", "cat", "-n", "--env-file", str(file))
    assert ran.exit_code == 101
    assert ran.errors.startswith("ERROR: work not submitted: this node does not take environment variables")
    assert "hush" not in ran.errors


def test_a_node_that_keeps_no_names(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(submitted(before=({},)))
    ran = ctl("work", "submit", "cat", "-n", "--name", "nightly")
    assert ran.exit_code == 0
    assert ran.errors.startswith("Warning: this node does not keep names of units")


def test_a_mistake_in_an_environment_file(ctl: Receptorctl, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("A=1\nhush\n")
    ran = ctl("work", "submit", "cat", "-n", "--env-file", str(file))
    assert (ran.exit_code, ran.output) == (1, b"")
    assert ran.errors == f"ERROR: {file}:2: this is no KEY=VALUE, and no comment that begins with #\n"


def test_somebody_before_a_terminal_sees_how_far_the_payload_is(
    node: FakeNode, ctl: Receptorctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receptor.ctl.live_line.SHOWN_AFTER", 0.0)
    file = tmp_path / "payload"
    with file.open("wb") as payload:
        os.truncate(payload.fileno(), 8 * 1024 * 1024)
    is_seen = threading.Event()
    received = 0

    def session(peer: Peer) -> None:
        nonlocal received
        peer.greet()
        peer.command()
        peer.say("Work unit created with ID a1a1a1a1. Send stdin data and EOF.")
        assert is_seen.wait(10)
        received = len(peer.rest())
        peer.say('{"unitid": "a1a1a1a1", "result": "Job Started"}')

    node.plays(session)
    with terminal_for(monkeypatch, "stderr") as terminal:
        terminal.when_seen(" of 8.0 MiB  ", is_seen.set)
        ran = ctl("work", "submit", "cat", "-p", str(file), "-q")
    assert (ran.exit_code, ran.output, received) == (0, b"a1a1a1a1\n", 8 * 1024 * 1024)
    assert "Sending  [" in terminal.raw
    assert terminal.shown == []
