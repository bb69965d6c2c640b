from __future__ import annotations

import json

import pytest
from fake_control import FakeNode, answering
from mesh_answers import a_row_of_three
from receptorctl_runs import Receptorctl
from terminals import terminal_for

from receptor.ctl.doctor.findings import Area, Finding, Verdict, worst
from receptor.ctl.doctor.verb import summary

ALONE = a_row_of_three(Connections=[], RoutingTable={}, KnownConnectionCosts={}, Advertisements=[])
STUCK = {"State": 0, "WorkType": "remote", "ExtraData": {"RemoteNode": "gone", "RemoteWorkType": "cat"}}


def test_a_node_in_order_is_exit_code_0(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(ALONE, {"NodeID": "foo"}, {}))
    ran = ctl("doctor")
    assert ran.exit_code == 0
    assert ran.lines[0] == "Socket"
    assert f"  ✓ node foo answers at {node.path}" in ran.lines
    assert ran.lines[-1] == "no problems, 5 checks in order, 1 check skipped"


def test_warnings_only_are_exit_code_2(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(ALONE, {"NodeID": "foo"}, {"a1": STUCK}))
    ran = ctl("doctor", "--json")
    document = json.loads(ran.output)
    assert (ran.exit_code, document["Verdict"]) == (2, "warning")
    (stuck,) = (one for one in document["Findings"] if one["Verdict"] == "warning")
    assert stuck == {
        "Area": "Work",
        "Verdict": "warning",
        "Text": "1 unit waiting for gone, a node that nobody knows: a1",
        "Fix": f"start gone, or give up: receptorctl --socket {node.path} work cancel a1",
    }


def test_a_problem_is_exit_code_1(ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECEPTORCTL_SOKET", "/x")
    ran = ctl.bare("--socket", "/nosuch.sock", "doctor")
    assert (ran.exit_code, ran.errors) == (1, "")
    assert "    → rename it to RECEPTORCTL_SOCKET" in ran.lines
    assert "  ✗ there is no socket /nosuch.sock" in ran.lines


def test_in_colour_on_a_terminal(ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal_for(monkeypatch, "stdout") as terminal:
        ctl.bare("--socket", "/nosuch.sock", "doctor")
    assert "\x1b[31m  ✗\x1b[0m there is no socket" in terminal.raw


def test_what_was_skipped_is_no_finding() -> None:
    skipped = Finding(Area.NODE, Verdict.SKIPPED, "x")
    assert worst([skipped]) is Verdict.OK
    assert worst([]) is Verdict.OK
    assert summary([skipped, skipped]) == "no problems, 2 checks skipped"


@pytest.mark.parametrize("timeout", ["5", "1m30s", "soon"])
def test_the_timeout_is_a_duration_as_elsewhere(ctl: Receptorctl, timeout: str) -> None:
    ran = ctl.bare("--socket", "/nosuch.sock", "doctor", "--timeout", timeout)
    assert ("is not a duration" in ran.errors) == (timeout == "soon")
