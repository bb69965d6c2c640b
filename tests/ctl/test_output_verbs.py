"""``work logs``; ``work results`` is in ``test_following``."""

from __future__ import annotations

import threading

import pytest
from fake_control import FakeNode, Peer, Session, answering
from receptorctl_runs import Receptorctl, press_ctrl_c
from terminals import terminal_for

from receptor.ctl import output_verbs

OUTPUT = b"".join(b"line %d\n" % number for number in range(1000))


def status(state: int, size: int = len(OUTPUT)) -> dict[str, object]:
    return {"State": state, "Detail": "exit status 0", "StdoutSize": size}


def streaming(start: int, output: bytes = OUTPUT, *, before: tuple[object, ...] = (), goes_on: bool = False) -> Session:
    """Some answers, and then the output from the position that the client must ask for."""

    def session(peer: Peer) -> None:
        answering(*before)(peer)
        assert int(peer.command()["startpos"]) == start
        peer.say("Streaming results for work unit a1a1a1a1")
        peer.send(output[start:])
        if goes_on:
            peer.wait_for_hang_up()

    return session


def test_what_there_is_of_a_unit_that_goes_on(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(streaming(0, OUTPUT + b"more", before=(status(1),), goes_on=True))
    ran = ctl("work", "logs", "a1a1a1a1")
    assert (ran.exit_code, ran.output, ran.errors) == (0, OUTPUT, "")


def test_nothing_yet(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(status(1, 0)))
    assert ctl("work", "logs", "a1a1a1a1").output == b""


def test_output_that_has_not_come_from_the_other_node_is_not_waited_for(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_verbs, "_QUIET", 0.5)
    node.plays(streaming(0, before=(status(1, len(OUTPUT) + 5),), goes_on=True))
    ran = ctl("work", "logs", "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (0, OUTPUT)
    assert ran.errors.startswith("Warning: 5 more bytes of unit a1a1a1a1 are known of")


def test_a_stream_that_ends_too_early_is_an_error(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(streaming(0, before=(status(1, len(OUTPUT) + 5),)))
    ran = ctl("work", "logs", "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (1, OUTPUT)
    assert ran.errors.startswith("ERROR: the node ended the stream 5 bytes before the end")


def test_from_an_offset(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(streaming(8880, before=(status(2),)), answering(status(2)))
    assert ctl("work", "logs", "--since-offset", "8880", "a1a1a1a1").output == OUTPUT[8880:]
    assert ctl("work", "logs", "--since-offset", "99999", "a1a1a1a1").output == b""


def test_the_last_lines(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(streaming(0, before=(status(2),)), streaming(len(OUTPUT) - 18))
    assert ctl("work", "logs", "--tail", "2", "a1a1a1a1").output == b"line 998\nline 999\n"


def test_tail_and_offset_exclude_each_other(ctl: Receptorctl) -> None:
    assert "use one of them" in ctl("work", "logs", "--tail", "2", "--since-offset", "5", "a1a1a1a1").errors


def test_following_goes_on_at_the_byte_where_it_broke_off(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(
        streaming(0, OUTPUT[:100], before=(status(1, 0),)),
        lambda peer: None,  # the node is being started again
        streaming(100),
        answering(status(3)),
    )
    ran = ctl("work", "logs", "-f", "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (1, OUTPUT)
    lost, back, failed = ran.errors.splitlines()
    assert lost.startswith("Lost the node")
    assert back == "The node is back."
    assert failed == "ERROR: unit a1a1a1a1 failed: exit status 0"


def test_a_stream_that_ends_before_the_unit_does_is_asked_for_again(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(
        streaming(0, OUTPUT[:100], before=(status(1, 0),)), answering(status(1)), streaming(100), answering(status(2))
    )
    ran = ctl("work", "logs", "-f", "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (0, OUTPUT)


def test_output_that_the_node_no_longer_has_is_not_asked_for_for_ever(node: FakeNode, ctl: Receptorctl) -> None:
    size = len(OUTPUT) + 5
    node.plays(
        streaming(0, before=(status(2, size),)), answering(status(2, size)),
        streaming(len(OUTPUT)), answering(status(2, size)),
    )  # fmt: skip
    ran = ctl("work", "logs", "-f", "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (1, OUTPUT)
    assert ran.errors.splitlines()[-1].endswith("and has no more of it")


def test_ctrl_c_says_how_to_go_on(node: FakeNode, ctl: Receptorctl) -> None:
    def session(peer: Peer) -> None:
        answering(status(1, 0))(peer)
        peer.command()
        peer.say("Streaming results for work unit a1a1a1a1")
        press_ctrl_c()
        peer.wait_for_hang_up()

    node.plays(session)
    ran = ctl("work", "logs", "-f", "--since-offset", "7", "a1a1a1a1")
    assert ran.exit_code == 130
    assert ran.errors.endswith(f"receptorctl --socket {ctl.socket} work logs -f --since-offset 7 a1a1a1a1\n")


def test_somebody_before_a_terminal_sees_how_far_it_is(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("receptor.ctl.live_line.SHOWN_AFTER", 0.0)
    is_seen = threading.Event()

    def session(peer: Peer) -> None:
        answering(status(2))(peer)
        peer.command()
        peer.say("Streaming results for work unit a1a1a1a1")
        peer.send(OUTPUT[:4000])
        assert is_seen.wait(10)
        peer.send(OUTPUT[4000:])

    node.plays(session, answering(status(2)))
    with terminal_for(monkeypatch, "stderr") as terminal:
        terminal.when_seen("  3.9 KiB of 8.7 KiB  ", is_seen.set)
        ran = ctl("work", "results", "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (0, OUTPUT)
    assert terminal.shown == []
