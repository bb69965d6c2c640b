from __future__ import annotations

import json

import pytest
from fake_control import FakeNode, answering
from receptorctl_runs import Receptorctl
from terminals import terminal_for

UNITS = {"a1a1a1a1": {"State": 1, "WorkType": "sleep"}, "b2b2b2b2": {"State": 2, "WorkType": "cat"}}


def test_cancel_does_all_it_can(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(
        answering({"cancelled": "a1a1a1a1"}, "ERROR: unknown work unit b2b2b2b2", {"cancel pending": "c3c3c3c3"})
    )
    ran = ctl("work", "cancel", "a1a1a1a1", "b2b2b2b2", "c3c3c3c3")
    assert ran.exit_code == 1
    assert ran.lines == ["Cancelled:", "(a1a1a1a1, cancelled)", "(c3c3c3c3, cancel pending)"]
    assert ran.errors == ("ERROR: unknown work unit b2b2b2b2; 'receptorctl work list' shows the units of this node\n")


@pytest.mark.parametrize(
    ("words", "subcommand"),
    [
        (("release", "a1a1a1a1"), "release"),
        (("release", "--force", "a1a1a1a1"), "force-release"),
        (("force-release", "a1a1a1a1"), "force-release"),
    ],
)
def test_release(node: FakeNode, ctl: Receptorctl, words: tuple[str, ...], subcommand: str) -> None:
    node.plays(answering({"released": "a1a1a1a1"}))
    ran = ctl("work", *words)
    assert (ran.exit_code, ran.lines) == (0, ["Released:", "(a1a1a1a1, released)"])
    assert node.commands == [{"command": "work", "subcommand": subcommand, "unitid": "a1a1a1a1"}]


@pytest.mark.parametrize("words", [("release", "--all"), ("force-release", "--all")])
def test_release_every_unit(node: FakeNode, ctl: Receptorctl, words: tuple[str, ...]) -> None:
    node.plays(answering({"a1a1a1a1": {}, "b2b2b2b2": {}}, {"released": "a1a1a1a1"}, {"release pending": "b2b2b2b2"}))
    assert ctl("work", *words).lines == ["Released:", "(a1a1a1a1, released)", "(b2b2b2b2, release pending)"]


@pytest.mark.parametrize("verb", ["cancel", "release", "force-release"])
def test_without_unit_ids_nothing_is_done(ctl: Receptorctl, verb: str) -> None:
    ran = ctl("work", verb)
    assert (ran.exit_code, ran.output) == (0, b"")
    assert ran.errors.startswith("Warning: ")


def test_records_of_what_was_done(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering({"cancelled": "a1a1a1a1"}, "ERROR: unknown work unit b2b2b2b2"))
    ran = ctl("work", "cancel", "--json", "a1a1a1a1", "b2b2b2b2")
    assert ran.exit_code == 1
    assert json.loads(ran.output) == [
        {"UnitID": "a1a1a1a1", "Outcome": "cancelled"},
        {"UnitID": "b2b2b2b2", "Error": "unknown work unit b2b2b2b2"},
    ]


def test_cancel_by_the_beginning_of_the_unit_id(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS, {"cancelled": "a1a1a1a1"}))
    assert ctl("work", "cancel", "a1").lines == ["Cancelled:", "(a1a1a1a1, cancelled)"]


def test_release_by_the_beginning_of_the_unit_id_is_asked_first(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.plays(answering(UNITS), answering(UNITS, {"released": "a1a1a1a1"}))
    for answer, exit_code, lines in [("n", 1, []), ("y", 0, ["Released:", "(a1a1a1a1, released)"])]:
        with terminal_for(monkeypatch, "stdin", "stderr") as terminal:
            terminal.type(f"{answer}\n")
            ran = ctl("work", "release", "a1")
        assert (ran.exit_code, ran.lines) == (exit_code, lines)
        assert "Release a1a1a1a1 (sleep, Running)? [y/N]: " in terminal.raw


def test_release_by_the_beginning_of_the_unit_id_is_not_for_scripts(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS))
    ran = ctl("work", "release", "a1", "b2b2b2b2")
    assert (ran.exit_code, ran.output) == (1, b"")
    assert ran.errors.startswith("ERROR: nothing is released: of a1a1a1a1 (sleep, Running) just the beginning is given")
