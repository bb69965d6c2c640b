from __future__ import annotations

import re

import pytest
from fuzz.__main__ import main
from fuzz.catalogue import TARGETS
from fuzz.fuzzing import Target, run, target
from hypothesis import strategies as st


@pytest.mark.parametrize("fuzzed", [pytest.param(one, id=one.name) for one in TARGETS])
def test_a_short_run(fuzzed: Target) -> None:
    """``make fuzz`` runs the same for longer."""
    assert run(fuzzed, seed_of_run=1, examples=max(10, fuzzed.examples // 20)) > 0


def test_names_are_unique_and_every_target_says_what_must_hold() -> None:
    assert len({one.name for one in TARGETS}) == len(TARGETS)
    assert all(one.about.endswith(".") for one in TARGETS)


@target("sound", 20, st.integers())
def sound(_number: int) -> None:
    """Every number is one."""


@target("unsound", 200, st.integers(0, 10**6))
def unsound(number: int) -> None:
    """No number is larger than 1000."""
    assert number <= 1000


def test_runs_go_on_with_fresh_seeds_until_the_time_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "0.2", "--seed", "5"], [sound]) == 0
    [line] = capsys.readouterr().out.splitlines()
    told = re.fullmatch(r"sound +seeds 5 to (\d+) +([\d,]+) examples +\d+/s", line)
    assert told
    runs = int(told[1]) - 4
    assert runs > 1
    assert int(told[2].replace(",", "")) == 20 * runs


def test_a_failure_shows_the_smallest_example_and_how_to_replay_it(capfd: pytest.CaptureFixture[str]) -> None:
    told = []
    for arguments in (["--seed", "7"], ["--seed", "7", "--target", "unsound", "--seconds", "0"]):
        assert main(arguments, [unsound]) == 1
        shown = capfd.readouterr()
        assert "number=1001" in shown.err
        assert "unsound fails: No number is larger than 1000.\n" in shown.out
        assert "replay: make fuzz TARGET=unsound SEED=7 SECONDS=0\n" in shown.out
        told.append(shown.out)
    assert told[0] == told[1]


def test_only_the_target_asked_for_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "sound", "--seconds", "0"], [unsound, sound]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_an_unknown_target_is_told_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--target", "nonsense"], [sound, unsound])
    assert end.value.code == 2
    assert "'sound', 'unsound'" in capsys.readouterr().err
