from __future__ import annotations

import pytest
from fake_control import FakeNode, Peer, Session, answering
from receptorctl_runs import Receptorctl, press_ctrl_c


def streaming(*chunks: bytes) -> Session:
    def session(peer: Peer) -> None:
        peer.greet()
        unit = peer.command()["unitid"]
        peer.say(f"Streaming results for work unit {unit}")
        for chunk in chunks:
            peer.send(chunk)

    return session


def ended(state: int, size: int, detail: str = "exit status 0") -> Session:
    return answering({"State": state, "Detail": detail, "StdoutSize": size})


def test_results_are_the_units_output_and_nothing_else(node: FakeNode, ctl: Receptorctl) -> None:
    blob = bytes(range(256)) * 4096 + b"\r\n\0end"
    node.plays(streaming(blob[:10], blob[10:]), ended(2, len(blob)))
    ran = ctl("work", "results", "a1a1a1a1")
    assert (ran.exit_code, ran.output, ran.errors) == (0, blob, "")


def test_a_failed_unit(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(streaming(b"out"), ended(3, 3, "exit status 7"))
    ran = ctl("work", "results", "a1a1a1a1")
    assert (ran.exit_code, ran.output, ran.errors) == (1, b"out", "ERROR: unit a1a1a1a1 failed: exit status 7\n")


def test_a_canceled_unit(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(streaming(b"out"), ended(4, 3))
    ran = ctl("work", "results", "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (0, b"out")
    assert ran.errors.startswith("Warning: unit a1a1a1a1 was canceled")


@pytest.mark.parametrize(("state", "size"), [(1, 3), (2, 9)])
def test_results_cut_off_in_the_middle(node: FakeNode, ctl: Receptorctl, state: int, size: int) -> None:
    node.plays(streaming(b"out"), ended(state, size))
    ran = ctl("work", "results", "a1a1a1a1")
    assert (ran.exit_code, ran.output) == (1, b"out")
    assert ran.errors.startswith("ERROR: the node ended the stream after 3 ")
    assert ran.errors.endswith(f"For its results: receptorctl --socket {ctl.socket} work results a1a1a1a1\n")


def test_ctrl_c_leaves_the_unit_running_and_says_how_to_come_back(node: FakeNode, ctl: Receptorctl) -> None:
    def session(peer: Peer) -> None:
        streaming(b"on\n")(peer)
        press_ctrl_c()
        peer.wait_for_hang_up()

    node.plays(session)
    ran = ctl("work", "results", "a1a1a1a1")
    assert ran.exit_code == 130
    assert ran.errors.startswith("No longer following unit a1a1a1a1, which goes on.")
    assert f"receptorctl --socket {ctl.socket} work results a1a1a1a1\n" in ran.errors
    assert [command["subcommand"] for command in node.commands] == ["results"]
