from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from diagnoses import HEALTHY, NOW, command, lines

from receptor.client.unit_replies import CANCELED, FAILED, PENDING, RUNNING, SUCCEEDED, UnitState, UnitStatus
from receptor.ctl.doctor.work_checks import check_work


def moment(seconds_ago: float) -> datetime:
    return datetime.fromtimestamp(NOW - seconds_ago, UTC)


def unit(
    state: UnitState, node: str = "", work_type: str = "cat", age: float = 3600.0, detail: str = "", unit_id: str = "a1"
) -> UnitStatus:
    ended = moment(age) if state.is_final else None
    return UnitStatus(
        state, detail, 1 << 20, work_type, remote_node=node, created_at=moment(age), ended_at=ended, unit_id=unit_id
    )


def of(*units: UnitStatus) -> list[str]:
    return lines(check_work(replace(HEALTHY, units=units), command))


def test_units_in_order() -> None:
    assert of(unit(RUNNING, "bar"), unit(PENDING, "baz"), unit(SUCCEEDED), unit(CANCELED)) == [
        "ok: 4 units, 2 of them pending or running"
    ]


@pytest.mark.parametrize(
    ("stuck", "why", "hope"),
    [
        (unit(PENDING, "barr"), "waiting for barr, a node that nobody knows, where bar is", "start barr"),
        (unit(PENDING, "xyz"), "waiting for xyz, a node that nobody knows", "start xyz"),
        (unit(RUNNING, "xyz"), "running on xyz, a node that nobody knows", "start xyz"),
        (
            unit(PENDING, "bar", "dig"),
            "waiting for bar, which does not offer dig",
            "configure it on bar",
        ),
    ],
)
def test_units_that_are_stuck(stuck: UnitStatus, why: str, hope: str) -> None:
    assert of(stuck) == [f"warning: 1 unit {why} (made 1 h ago): a1 -> {hope}, or give up: receptorctl work cancel a1"]


def test_units_with_one_reason_are_one_finding() -> None:
    many = [unit(PENDING, "xyz", unit_id=f"u{number}") for number in range(8)]
    (said,) = of(*many)
    assert "u0, u1, u2, u3, u4 and 3 more" in said


def test_a_unit_that_was_just_made_is_not_stuck() -> None:
    assert of(unit(PENDING, "xyz", age=10)) == ["ok: 1 unit, 1 of them pending or running"]


def test_failures_of_the_last_hour() -> None:
    said = of(unit(FAILED, age=1800, detail="exit status 3", unit_id="b1"), unit(FAILED, age=9000))
    assert said[0] == (
        "warning: 1 unit failed in the last hour, the last 30 min ago: b1 (cat: exit status 3) -> see what it has "
        "written: receptorctl work results b1"
    )


def test_work_that_needs_a_signature() -> None:
    refused = unit(FAILED, "bar", age=60, detail="bar refused the work: this work needs a signature, and has none")
    assert of(refused)[0] == (
        "problem: 1 unit refused for lack of a signature by bar: a1 -> submit cat with --signwork; this node needs "
        "work-signing for that, with a key that bar trusts"
    )


def test_units_that_nobody_releases() -> None:
    said = of(*(unit(SUCCEEDED, unit_id=f"u{number}") for number in range(101)))
    assert said[0].startswith("warning: 101 units have ended and were never released; their output takes 101 MiB -> ")


def test_units_that_can_t_be_looked_at() -> None:
    assert lines(check_work(replace(HEALTHY, units_trouble="may not list"), command)) == [
        "skipped: the units can't be looked at: may not list"
    ]
