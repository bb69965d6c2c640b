from __future__ import annotations

from datetime import datetime

import pytest

from receptor.client.unit_replies import CANCELED, FAILED, PENDING, RUNNING, SUCCEEDED, UnitState, UnitStatus
from receptor.ctl.pruning import Choice, choose

NOON = 1769860800.0


def unit(
    unit_id: str, state: UnitState = SUCCEEDED, ended: str = "", created: str = "", work_type: str = "cat"
) -> UnitStatus:
    def moment(time: str) -> datetime | None:
        return datetime.fromisoformat(f"2026-01-31T{time}Z") if time else None

    return UnitStatus(state, "", 1, work_type, created_at=moment(created), ended_at=moment(ended), unit_id=unit_id)


UNITS = [
    unit("new", ended="11:59:50"),
    unit("old", ended="11:00:00", created="10:00:00"),
    unit("older", FAILED, ended="10:30:00", created="10:10:00"),
    unit("canceled", CANCELED, ended="11:30:00", work_type="sleep"),
    unit("ageless", created="00:00:00"),
    unit("running", RUNNING, created="09:00:00"),
    unit("pending", PENDING),
]


@pytest.mark.parametrize(
    ("choice", "chosen", "of_unknown_age"),
    [
        (Choice(), ["new", "old", "older", "canceled", "ageless"], []),
        (Choice(work_type="sleep"), ["canceled"], []),
        (Choice(states=frozenset({FAILED})), ["older"], []),
        (Choice(older_than=600), ["older", "old", "canceled"], ["ageless"]),
        (Choice(keep=1), ["older", "old", "canceled"], ["ageless"]),
        (Choice(keep=2, older_than=3600), ["older", "old"], ["ageless"]),
        (Choice(keep=9), [], ["ageless"]),
        (Choice(states=frozenset({RUNNING})), ["running"], []),
        (Choice(states=frozenset({RUNNING, PENDING}), older_than=3600), ["running"], ["pending"]),
    ],
)
def test_choices(choice: Choice, chosen: list[str], of_unknown_age: list[str]) -> None:
    found = choose(UNITS, choice, NOON)
    assert [one.unit_id for one in found.units] == chosen
    assert [one.unit_id for one in found.of_unknown_age] == of_unknown_age
