from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path

import pytest
from fake_control import FakeNode, Peer, answering
from mesh_answers import a_row_of_three, advertisement

from receptor.ctl.doctor.examination import examine, look_at
from receptor.ctl.doctor.facts import Facts
from receptor.ctl.settings import Settings

PATIENCE = 10.0
KNOWN = ("RECEPTORCTL_SOCKET",)
TOLD = {"NodeID": "foo", "Version": "1.2", "Time": "2026-01-31T12:00:00Z"}
UNIT = {"State": 1, "Detail": "", "StdoutSize": 0, "WorkType": "cat", "ExtraData": None}
PONG = {"Success": True, "From": "bar", "TimeStr": "1ms"}


def examined(path: str, seconds: float = 10.0, tls_client: str = "mesh", **variables: str) -> Facts:
    return examine(Settings(socket=path), variables, KNOWN, tls_client, seconds)


def own_answers(*nodes: str) -> tuple[object, ...]:
    controls = [advertisement(node, kind=2) for node in nodes]
    status = a_row_of_three(RoutingTable=dict.fromkeys(nodes, "bar"), Advertisements=controls)
    return status, TOLD, {"a1": UNIT}


def test_the_node_and_another_one_over_the_mesh(node: FakeNode) -> None:
    def over_the_mesh(peer: Peer) -> None:
        peer.greet()
        for answer in (PONG, "Connecting\nReceptor Control, node bar", TOLD | {"NodeID": "bar"}):
            answering_once(peer, answer)

    node.plays(answering(*own_answers("bar")), over_the_mesh)
    facts = examined(node.path)
    assert facts.status is not None
    assert facts.own is not None
    assert (facts.own.version, [unit.unit_id for unit in facts.units]) == ("1.2", ["a1"])
    assert facts.others["bar"].clock_offset is not None
    assert {"command": "connect", "node": "bar", "service": "control", "tls": "mesh"} in node.commands


def answering_once(peer: Peer, answer: object) -> None:
    peer.command()
    peer.say(answer if isinstance(answer, str) else json.dumps(answer))


def test_why_another_node_could_not_be_asked(node: FakeNode) -> None:
    node.plays(answering(*own_answers("bar")), answering({"Success": False, "Error": "timeout"}))
    assert examined(node.path).others["bar"].ping_trouble == "timeout"


def test_a_node_that_wants_tls_is_not_asked_without(node: FakeNode) -> None:
    node.plays(answering(*own_answers("bar")), answering(PONG))
    assert examined(node.path, tls_client="").others["bar"].wants_tls


@pytest.mark.parametrize(
    ("answers", "ping_trouble", "trouble"),
    [((), "nothing within 1 s", ""), ((PONG,), "", "nothing within 1 s")],
)
def test_a_node_that_takes_too_long_is_left_behind(
    node: FakeNode, answers: tuple[object, ...], ping_trouble: str, trouble: str
) -> None:
    is_asked, is_over = threading.Event(), threading.Event()

    def silent(peer: Peer) -> None:
        answering(*answers)(peer)
        peer.command()
        is_asked.set()
        is_over.wait(PATIENCE)

    node.plays(answering(*own_answers("bar")), silent)
    bar = examined(node.path, 1.0).others["bar"]
    assert is_asked.wait(PATIENCE)
    is_over.set()
    assert (bar.ping_trouble, bar.trouble) == (ping_trouble, trouble)


def test_a_refusal_to_list_units_is_noted(node: FakeNode) -> None:
    node.plays(answering(a_row_of_three(RoutingTable={}), TOLD, "ERROR: you may not"))
    assert examined(node.path).units_trouble == "you may not"


def test_without_a_node_the_reason_is_noted(tmp_path: Path) -> None:
    assert "there is no socket" in examined(str(tmp_path / "nosuch.sock")).trouble
    assert "no control socket is given" in examined("").trouble


def test_variables_that_are_set(tmp_path: Path) -> None:
    facts = examined(
        "/nosuch", RECEPTORCTL_SOCKET=str(tmp_path), RECEPTORCTL_CONFIG="/nosuch", HOME="/", RECEPTORCTL_X=""
    )
    assert [(one.name, one.is_file, one.exists) for one in facts.variables] == [
        ("RECEPTORCTL_CONFIG", True, False),
        ("RECEPTORCTL_SOCKET", True, True),
    ]


def test_what_there_is_in_the_place_of_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    assert not look_at(str(path)).exists
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        os.chmod(path, 0o660)
        found = look_at(str(path))
    assert (found.is_socket, found.mode & 0o777, found.may_use) == (True, 0o660, True)
    assert str(path) in look_at(str(tmp_path / "b.sock")).others
