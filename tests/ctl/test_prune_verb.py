from __future__ import annotations

import json

import pytest
from fake_control import FakeNode, answering
from receptorctl_runs import Receptorctl
from terminals import terminal_for

UNITS = {
    "old00001": {"State": 2, "StdoutSize": 1024, "WorkType": "cat", "Ended": "2024-05-06T07:08:09Z"},
    "new00001": {"State": 3, "StdoutSize": 512, "WorkType": "cat", "Ended": "2999-05-06T07:08:09Z"},
    "runs0001": {"State": 1, "StdoutSize": 7, "WorkType": "cat"},
}


def test_all_that_have_ended(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS, {"released": "old00001"}, {"release pending": "new00001"}))
    ran = ctl("work", "prune")
    assert ran.exit_code == 0
    assert ran.lines == [
        "(old00001, released)",
        "(new00001, release pending)",
        "Released 1 unit with 1.0 KiB of output.",
    ]
    assert ran.errors.startswith("Warning: 1 unit will be released when")


def test_as_one_object(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS, {"released": "old00001"}, "ERROR: no"))
    ran = ctl("work", "prune", "--json")
    assert ran.exit_code == 1
    assert json.loads(ran.output) == {
        "DryRun": False,
        "FreedBytes": 1024,
        "Units": [
            {"UnitID": "old00001", "StdoutSize": 1024, "Outcome": "released"},
            {"UnitID": "new00001", "StdoutSize": 512, "Error": "no"},
        ],
    }


def test_a_dry_run_releases_nothing(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering({}, UNITS), answering(UNITS))
    ran = ctl("work", "prune", "--older-than", "7d", "--dry-run")
    assert [line.split()[0] for line in ran.lines] == ["UNIT", "old00001", "Would"]
    assert json.loads(ctl("work", "prune", "--keep", "1", "--dry-run", "--json").output) == {
        "DryRun": True,
        "FreedBytes": 1024,
        "Units": [{"UnitID": "old00001", "StdoutSize": 1024}],
    }


def test_units_that_run_are_taken_if_they_still_do(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS, {"State": 2}), answering(UNITS, {"State": 1}, {"released": "runs0001"}))
    assert ctl("work", "prune", "--state", "running").lines == ["Released 0 units with 0 B of output."]
    ran = ctl("work", "prune", "--state", "running", "--force")
    assert ran.lines == ["(runs0001, released)", "Released 1 unit with 7 B of output."]
    assert node.commands[-1]["subcommand"] == "force-release"


def test_a_unit_that_somebody_else_has_released(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS, "ERROR: unknown work unit old00001"))
    ran = ctl("work", "prune", "--state", "succeeded")
    assert (ran.exit_code, ran.lines) == (0, ["Released 0 units with 0 B of output."])


def test_units_of_unknown_age_are_left_alone(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering({}, {"a1a1a1a1": {"State": 2}}))
    ran = ctl("work", "prune", "--older-than", "1h")
    assert ran.errors.startswith("Warning: 1 unit left alone")
    assert len(node.commands) == 2


def test_age_is_told_by_the_clock_of_the_node(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering({"Time": "2999-05-06T08:00:00Z"}, UNITS), answering({"Time": "2024-05-06T08:00:00Z"}, UNITS))
    assert "Would release 2 units" in ctl("work", "prune", "--older-than", "30m", "--dry-run").lines[-1]
    assert "Would release 0 units" in ctl("work", "prune", "--older-than", "1h", "--dry-run").lines[-1]


@pytest.mark.parametrize(("answer", "exit_code"), [("n", 1), ("y", 0)])
def test_on_a_terminal_it_is_asked(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch, answer: str, exit_code: int
) -> None:
    node.plays(answering(UNITS, *([{"released": "old00001"}] if answer == "y" else [])))
    with terminal_for(monkeypatch, "stdin", "stdout", "stderr") as terminal:
        terminal.type(f"{answer}\n")
        ran = ctl("work", "prune", "--state", "succeeded")
    assert ran.exit_code == exit_code
    assert "Release 1 unit with 1.0 KiB of output? [y/N]: " in terminal.raw
    last = "Nothing is released." if answer == "n" else "Released 1 unit with 1.0 KiB of output."
    assert terminal.shown[-1].endswith(last)


def test_yes_means_that_nothing_is_asked(node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch) -> None:
    node.plays(answering(UNITS, {"released": "old00001"}))
    with terminal_for(monkeypatch, "stdin", "stdout", "stderr") as terminal:
        assert ctl("work", "prune", "--state", "succeeded", "--yes").exit_code == 0
    assert terminal.shown == ["(old00001, released)", "Released 1 unit with 1.0 KiB of output."]


def test_the_object_alone_is_on_standard_output_where_it_is_asked(
    node: FakeNode, ctl: Receptorctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.plays(answering(UNITS, {"released": "old00001"}))
    with terminal_for(monkeypatch, "stdout") as output, terminal_for(monkeypatch, "stdin", "stderr") as terminal:
        terminal.type("y\n")
        assert ctl("work", "prune", "--state", "succeeded", "--json").exit_code == 0
    assert json.loads(output.raw)["FreedBytes"] == 1024


def test_a_connection_that_breaks_leaves_a_report_of_what_was_done(node: FakeNode, ctl: Receptorctl) -> None:
    node.plays(answering(UNITS, {"released": "old00001"}))
    ran = ctl("work", "prune")
    assert ran.exit_code == 1
    assert ran.lines == ["(old00001, released)", "Released 1 unit with 1.0 KiB of output."]
    assert ran.errors.startswith("ERROR: ")
