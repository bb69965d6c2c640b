from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_control import FakeNode, Peer, Session, answering
from receptorctl_runs import PROGRAM, Ran, Receptorctl, environment, press_ctrl_c

from receptor.ctl.submit_verb import parse_params
from receptor.errors import ConfigurationError

CREATED = "Work unit created with ID a1a1a1a1. Send stdin data and EOF."
BAR_IS_KNOWN = {"NodeID": "foo", "KnownConnectionCosts": {"foo": {"bar": 1}, "bar": {"foo": 1}}}
STARTED = '{"unitid": "a1a1a1a1", "result": "Job Started"}'


class Payload:
    """A session that takes a payload and notes it."""

    def __init__(self, answer: str = STARTED) -> None:
        self.received = b""
        self._answer = answer

    def __call__(self, peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        self.received = peer.rest()
        peer.say(self._answer)


def streaming(chunk: bytes) -> Session:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say("Streaming results for work unit a1a1a1a1")
        peer.send(chunk)

    return session


def test_the_answer_that_scripts_parse(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(Payload())
    ran = ctl("work", "submit", "echoint", "--no-payload")
    assert (ran.exit_code, ran.errors) == (0, "")
    assert ran.lines == ["Result:  Job Started", "Unit ID: a1a1a1a1"]
    assert node.commands == [{"command": "work", "subcommand": "submit", "node": "localhost", "worktype": "echoint"}]


@pytest.mark.parametrize("follow", [[], ["-f"]], ids=["submitted", "followed"])
def test_work_that_waits_for_its_node_is_told_of(node: FakeNode, ctl: Receptorctl, follow: list[str]) -> None:
    def known(peer: Peer) -> None:
        answering(BAR_IS_KNOWN)(peer)
        if follow:
            peer.command()
            peer.say("Streaming results for work unit a1a1a1a1")

    end = [answering({"State": 2, "StdoutSize": 0})] if follow else []
    node.plays(Payload('{"unitid": "a1a1a1a1", "result": "Job Submitted"}'), known, *end)
    ran = ctl("work", "submit", "echoint", "--node", "bar", "-n", *follow)
    assert ran.lines == ([] if follow else ["Result:  Job Submitted", "Unit ID: a1a1a1a1"])
    assert ran.errors.startswith("bar can't be reached yet, or has no room; it gets the work as soon as it can. See: ")
    assert "work status a1a1a1a1; give up: " in ran.errors
    assert ran.errors.endswith("work cancel a1a1a1a1\n")


def test_work_for_a_node_that_nobody_knows(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(Payload('{"unitid": "a1a1a1a1", "result": "Job Submitted"}'), answering(BAR_IS_KNOWN))
    ran = ctl("work", "submit", "echoint", "--node", "bra", "-n", "-q")
    assert (ran.exit_code, ran.lines) == (0, ["a1a1a1a1"])
    assert ran.errors.startswith(
        "foo knows no node 'bra'; did you mean 'bar'? The work waits for a node of that name. See: "
    )


def test_the_unit_is_named_where_its_id_could_not_be_printed(node: FakeNode) -> None:
    node.plays(Payload())
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, "--socket", node.path, "work", "submit", "cat", "-n", "-q"],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 101
    assert "No space left on device. Unit a1a1a1a1 is submitted all the same. For its results: " in done.stderr


def test_every_option(node: FakeNode, ctl: Receptorctl) -> None:
    payload = Payload()
    node.plays(payload)
    options = "--node bar --tls-client mytls --ttl 1h --signwork --idempotency-key k1 -l text"
    words = f"sort {options} -a color=red -a params=-r x -- -y"
    assert ctl("work", "submit", *words.split()).exit_code == 0
    assert payload.received == b"text\n"
    assert node.commands == [
        {
            "command": "work",
            "subcommand": "submit",
            "node": "bar",
            "worktype": "sort",
            "tlsclient": "mytls",
            "ttl": "1h",
            "signwork": "true",
            "idempotencykey": "k1",
            "color": "red",
            "params": "-r x -y",
        }
    ]


def test_payload_from_a_file(node: FakeNode, ctl: Receptorctl, tmp_path: Path) -> None:
    blob = os.urandom(1_000_000)
    file = tmp_path / "payload"
    file.write_bytes(blob)
    payload = Payload()
    node.plays(payload)
    assert ctl("work", "submit", "cat", "--payload", str(file)).exit_code == 0
    assert payload.received == blob


def test_payload_from_standard_input(node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = Payload()
    node.plays(payload)
    reader, writer = os.pipe()
    os.write(writer, b"hi\n\xff")
    os.close(writer)
    with open(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert ctl("work", "submit", "cat", "-p", "-").exit_code == 0
    assert payload.received == b"hi\n\xff"


def test_follow(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(Payload(), streaming(b"HI\n"), answering({"State": 2, "StdoutSize": 3}))
    ran = ctl("work", "submit", "cat", "-l", "hi", "-f")
    assert (ran.exit_code, ran.output, ran.errors) == (0, b"HI\n", "")


@pytest.mark.parametrize(("state", "exit_code"), [(2, 0), (3, 1)])
def test_follow_and_release(node: FakeNode, ctl: Receptorctl, state: int, exit_code: int) -> None:
    node.plays(Payload(), streaming(b"HI\n"), answering({"State": state, "StdoutSize": 3}, {"released": "a1a1a1a1"}))
    ran = ctl("work", "submit", "cat", "-l", "hi", "-f", "--rm")
    assert (ran.exit_code, ran.output) == (exit_code, b"HI\n")
    assert ran.errors.endswith("(a1a1a1a1, released)\n")


def test_release_without_following_is_warned_of(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(Payload(), answering({"released": "a1a1a1a1"}))
    ran = ctl("work", "submit", "cat", "-n", "--rm")
    assert (ran.exit_code, ran.lines[-1]) == (0, "(a1a1a1a1, released)")
    assert ran.errors.startswith("Warning: --rm without --follow")


def test_a_connection_that_breaks_while_following_does_not_release_the_unit(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(Payload(), streaming(b"HI"), answering({"State": 1, "StdoutSize": 2}))
    ran = ctl("work", "submit", "cat", "-l", "hi", "-f", "--rm")
    assert (ran.exit_code, ran.output) == (101, b"HI")
    assert "work results a1a1a1a1" in ran.errors


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "no payload is given"),
        (("-n", "-l", "x"), "more than one payload"),
        (("-p", "/nosuch"), "can't read the payload file /nosuch: No such file"),
        (("-p", "/"), "can't read the payload file /: Is a directory"),
    ],
)
def test_a_payload_that_is_not_clear(ctl: Receptorctl, words: tuple[str, ...], complaint: str) -> None:
    ran = ctl("work", "submit", "cat", *words)
    assert ran.exit_code == 1
    assert complaint in ran.errors


def test_a_refused_submit(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering("ERROR: unknown work type nosuch"), answering("ERROR: ttl option is intended for ..."))
    ran = ctl("work", "submit", "nosuch", "-n")
    assert ran.exit_code == 101
    assert ran.errors.startswith("ERROR: work not submitted: unknown work type nosuch; 'receptorctl status' shows")
    ran = ctl("work", "submit", "cat", "-n", "--ttl", "5m")
    assert (ran.exit_code, ran.errors) == (101, "ERROR: work not submitted: ttl option is intended for ...\n")


def test_a_node_out_of_reach_is_not_a_refused_submit(ctl: Receptorctl) -> None:
    assert ctl.bare("--socket", "/nosuch.sock", "work", "submit", "cat", "-n").exit_code == 1


def test_a_parameter_that_is_set_already(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(Peer.greet)
    ran = ctl("work", "submit", "cat", "-n", "-a", "node=x")
    assert ran.exit_code == 101
    assert "'node' can't be a parameter" in ran.errors


def test_a_parameter_without_a_value_is_refused_without_showing_it(ctl: Receptorctl) -> None:
    ran = ctl("work", "submit", "cat", "-n", "-a", "color=red", "-a", "hush")
    assert ran.exit_code == 101
    assert "--param number 2" in ran.errors
    assert "hush" not in ran.errors


def test_parameters(tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("from a file\n")
    texts = ("a=b=c", "empty=", f"file=@{file}", "at=@@literal", "a=later")
    assert parse_params(texts, ()) == {"a": "later", "empty": "", "file": "from a file\n", "at": "@@literal"}
    assert parse_params((), ("x", "y z")) == {"params": "x y z"}
    assert parse_params(("params=a b",), ("c",)) == {"params": "a b c"}


def test_a_parameter_file_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"parameter file /nosuch: No such file"):
        parse_params(("a=@/nosuch",), ())
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        parse_params((f"a=@{file}",), ())


def submitted_with_half(ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch, *options: str) -> Ran:
    """Submit work with a payload on standard input that begins with ``half`` and does not end."""
    reader, writer = os.pipe()
    os.write(writer, b"half")
    with open(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ran = ctl("work", "submit", "cat", *options, "-p", "-")
    os.close(writer)
    return ran


def test_ctrl_c_within_the_payload_releases_the_unit_before_half_of_it_runs(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def upload(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        assert peer.some(4) == b"half"
        press_ctrl_c()
        assert peer.rest() == b""
        assert released.is_set()

    def release(peer: Peer) -> None:
        peer.greet()
        peer.command()
        released.set()
        peer.say('{"released": "a1a1a1a1"}')

    node.plays(upload, release)
    ran = submitted_with_half(ctl, monkeypatch)
    assert (ran.exit_code, ran.output) == (130, b"")
    assert "Unit a1a1a1a1, which had only part of it, is released" in ran.errors


def test_ctrl_c_within_a_repeated_submission_leaves_the_unit_that_may_run_already(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:

    def upload(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        assert peer.some(4) == b"half"
        press_ctrl_c()
        assert peer.rest() == b""

    node.plays(upload)
    ran = submitted_with_half(ctl, monkeypatch, "--idempotency-key", "k1")
    assert (ran.exit_code, ran.output) == (130, b"")
    assert (
        "unit a1a1a1a1 may run since an earlier submission with its key; submit again with the same key" in ran.errors
    )
    assert "released" not in ran.errors
    assert len(node.commands) == 1


def test_an_unreadable_payload_of_a_repeated_submission_leaves_the_unit(
    node: FakeNode, ctl: Receptorctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        assert peer.rest() == b""

    node.plays(session)
    with open(tmp_path / "write-only", "w") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ran = ctl("work", "submit", "cat", "--idempotency-key", "k1", "-p", "-")
    assert ran.exit_code == 101
    assert "can't read the payload to its end" in ran.errors
    assert "submit again with the same key" in ran.errors
    assert len(node.commands) == 1


def test_ctrl_c_while_the_node_starts_the_unit_leaves_it(node: FakeNode, ctl: Receptorctl) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say(CREATED)
        assert peer.rest() == b""
        press_ctrl_c()
        peer.send_on(b"\n")

    node.plays(session)
    ran = ctl("work", "submit", "cat", "-n")
    assert ran.exit_code == 130
    assert f"receptorctl --socket {ctl.socket} work results a1a1a1a1" in ran.errors
