from __future__ import annotations

import pytest

from receptor.client.unit_replies import CANCELED, FAILED, PENDING, RUNNING, SUCCEEDED, UnitState
from receptor.ctl.waiting import Goal


@pytest.mark.parametrize(
    ("goal", "decided", "met"),
    [
        (Goal(), {SUCCEEDED, FAILED, CANCELED}, {SUCCEEDED}),
        (Goal(frozenset({RUNNING}), end=False), {RUNNING, SUCCEEDED, FAILED, CANCELED}, {RUNNING, SUCCEEDED}),
        (Goal(frozenset({FAILED}), end=False), {SUCCEEDED, FAILED, CANCELED}, {FAILED}),
        (Goal(frozenset({FAILED}), end=True), {SUCCEEDED, FAILED, CANCELED}, {SUCCEEDED, FAILED}),
        (Goal(frozenset({PENDING}), end=False), {PENDING, SUCCEEDED, FAILED, CANCELED}, {PENDING}),
    ],
)
def test_when_a_wait_is_over_and_whether_it_was_good(goal: Goal, decided: set[int], met: set[int]) -> None:
    assert {state for state in UnitState if goal.is_decided(state)} == decided
    assert {state for state in UnitState if goal.is_met(state)} == met
