from __future__ import annotations

import pytest
from fake_control import FakeNode, answering
from receptorctl_runs import Receptorctl

UNITS = {
    "abc00001": {"State": 1, "WorkType": "sleep"},
    "abd00001": {"State": 2, "WorkType": "remote", "ExtraData": {"RemoteNode": "bar", "RemoteWorkType": "cat"}},
    "xyz00001": {"State": 0},
    "xyz": {"State": 3},
}
STATUS = {"State": 2}


@pytest.mark.parametrize(("text", "unit_id"), [("abc", "abc00001"), ("abc0000", "abc00001"), ("xyz", "xyz")])
def test_the_beginning_is_enough(node: FakeNode, ctl: Receptorctl, text: str, unit_id: str) -> None:
    node.plays(answering(UNITS, STATUS))
    assert ctl("work", "status", text).exit_code == 0
    assert node.commands[-1] == {"command": "work", "subcommand": "status", "unitid": unit_id}


def test_a_whole_id_costs_nothing(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(STATUS))
    assert ctl("work", "status", "abc00001").exit_code == 0
    assert len(node.commands) == 1


def test_a_beginning_of_several_names_them(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS))
    ran = ctl("work", "cancel", "ab")
    assert (ran.exit_code, ran.output) == (1, b"")
    assert ran.errors == (
        "ERROR: 2 unit ids begin with ab: abd00001 (cat on bar, Succeeded), abc00001 (sleep, Running); "
        "type more of it\n"
    )


def test_of_very_many_some_are_named(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering({f"ab{number:06}": {"State": 2} for number in range(30)}))
    ran = ctl("work", "status", "ab")
    assert ran.errors.startswith("ERROR: 30 unit ids begin with ab: ab000000 (")
    assert ran.errors.endswith(" and 20 more; type more of it\n")


def test_no_unit_begins_so(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS, "ERROR: unknown work unit q"))
    ran = ctl("work", "results", "q")
    assert ran.errors == "ERROR: unknown work unit q; 'receptorctl work list' shows the units of this node\n"


@pytest.mark.parametrize("words", [("cancel", ""), ("release", "abc00001", ""), ("wait", ""), ("logs", "")])
def test_an_empty_text_means_no_unit(node: FakeNode, ctl: Receptorctl, words: tuple[str, ...]) -> None:
    node.plays(answering())
    ran = ctl("work", *words)
    assert (ran.exit_code, ran.output) == (1, b"")
    assert ran.errors.startswith("ERROR: a unit id is empty")
