from __future__ import annotations

import json
import signal
import subprocess

import pytest
from fake_control import FakeNode, Peer, Session, answering
from receptorctl_runs import PROGRAM, Receptorctl

from receptor.client.fields import JsonObject

TIME = "2026-01-31T12:00:00.123456Z"
RUNNING: JsonObject = {
    "Time": TIME,
    "Event": "unit.changed",
    "UnitID": "t1BlAB18",
    "State": 1,
    "StateName": "Running",
    "WorkType": "remote",
    "Detail": "Running: PID 7",
    "Name": "nightly",
    "RemoteNode": "bar",
}
LINK_DOWN: JsonObject = {"Time": TIME, "Event": "link.down", "NodeID": "bar", "Cost": 2.5}
REACHABLE: JsonObject = {"Time": TIME, "Event": "node.reachable", "NodeID": "baz", "Via": "bar"}
SERVICE: JsonObject = {"Time": TIME, "Event": "service.added", "NodeID": "bar", "Service": "shell"}
LOST: JsonObject = {"Time": TIME, "Event": "events.lost", "Count": 7}
NEW: JsonObject = {"Time": TIME, "Event": "weather.changed", "Sky": "blue"}
ALL = [RUNNING, LINK_DOWN, REACHABLE, SERVICE, LOST, NEW]
LINES = [
    f"{TIME} unit.changed     t1BlAB18 Running remote 'nightly' on bar (Running: PID 7)",
    f"{TIME} link.down        bar cost=2.5",
    f"{TIME} node.reachable   baz via bar",
    f"{TIME} service.added    shell of bar",
    f"{TIME} events.lost      7 events were lost, since they came faster than they were read",
    f"{TIME} weather.changed  Sky=blue",
]


def telling(*events: JsonObject) -> Session:
    """Greet, tell these events and end."""

    def session(peer: Peer) -> None:
        peer.greet()
        peer.command()
        peer.say("Streaming events of node fake")
        for event in events:
            peer.say(json.dumps(event))

    return session


def test_a_line_for_each_event_until_the_node_ends(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(telling(*ALL))
    ran = ctl("events")
    assert (ran.exit_code, ran.lines) == (1, LINES)
    assert ran.errors.startswith("ERROR: node fake tells no more events: ")
    assert node.commands == [{"command": "events"}]


def test_as_json_each_is_as_it_came(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(telling(*ALL))
    assert [json.loads(line) for line in ctl("events", "--json").lines] == ALL


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("--kind", "link", "--kind", "service"), [LINK_DOWN, SERVICE, LOST]),
        (("--node", "bar"), [RUNNING, LINK_DOWN, SERVICE, LOST]),
        (("--unit", "t1B"), [RUNNING, LOST]),
        (("--unit", "x"), [LOST]),
    ],
)
def test_only_what_is_wanted(node: FakeNode, ctl: Receptorctl, words: tuple[str, ...], kept: list[JsonObject]) -> None:
    node.plays(telling(*ALL))
    assert [json.loads(line) for line in ctl("events", "--json", *words).lines] == kept


def test_a_node_that_tells_none(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering("ERROR: Unknown command"))
    ran = ctl("events")
    assert (ran.exit_code, ran.output) == (1, b"")
    assert f"'receptorctl --socket {node.path} top' shows node fake by asking again and again" in ran.errors


def test_ctrl_c_is_exit_code_130(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        telling(RUNNING)(peer)
        peer.wait_for_hang_up()

    node.plays(session)
    with subprocess.Popen(
        [*PROGRAM, "--socket", node.path, "events"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as following:
        assert following.stdout is not None
        first = following.stdout.readline().decode()
        following.send_signal(signal.SIGINT)
        _, errors = following.communicate(timeout=20)
    assert (following.returncode, first.strip(), errors.strip()) == (130, LINES[0], b"")
