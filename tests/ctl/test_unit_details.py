from __future__ import annotations

import pytest

from receptor.client.replies import JsonObject
from receptor.ctl.unit_details import UnitDetails, parse_units
from receptor.errors import PeerError

REMOTE: JsonObject = {
    "State": 2,
    "StateName": "Succeeded",
    "Detail": "exit status 0",
    "StdoutSize": 10,
    "WorkType": "remote",
    "ExtraData": {"RemoteNode": "bar", "RemoteWorkType": "echoint", "RemoteUnitID": "Zv8Qq1nC"},
    "IdempotencyKey": "nightly",
    "Name": "the nightly one",
    "Created": "2026-01-31T12:00:00Z",
    "Ended": "2026-01-31T12:00:09Z",
    "Process": {"ExitCode": 0, "Started": "2026-01-31T12:00:01Z", "Ended": "2026-01-31T12:00:08.5Z", "PeakMemory": 5},
}


def test_all_that_is_told() -> None:
    unit = UnitDetails.parse("a1a1a1a1", REMOTE)
    assert (unit.state_name, unit.has_ended, unit.has_succeeded) == ("Succeeded", True, True)
    assert (unit.work, unit.remote_unit_id) == ("echoint on bar", "Zv8Qq1nC")
    assert (unit.name, unit.idempotency_key) == ("the nightly one", "nightly")
    assert unit.began_at == 1769860800
    assert unit.ended_at == 1769860809


def test_a_node_that_tells_less() -> None:
    unit = UnitDetails.parse("a1a1a1a1", {"State": 1, "Detail": "Running", "WorkType": "cat", "ExtraData": None})
    assert (unit.work, unit.stdout_size, unit.began_at, unit.ended_at) == ("cat", 0, None, None)
    assert unit.own_exit_code is None


def test_times_of_the_command_where_those_of_the_unit_are_missing() -> None:
    process = {"ExitCode": 0, "Started": "2026-01-31T12:00:01Z", "Ended": "2026-01-31T12:00:02Z"}
    unit = UnitDetails.parse("a1a1a1a1", {"State": 2, "Process": process})
    assert (unit.began_at, unit.ended_at) == (1769860801, 1769860802)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"State": 2, "Process": {"ExitCode": 0}}, 0),
        ({"State": 3, "Process": {"ExitCode": 7}, "Detail": "exit status 9"}, 7),
        ({"State": 3, "Process": {"Signal": 9}}, 137),
        ({"State": 2, "Detail": "exit status 0"}, 0),
        ({"State": 3, "Detail": "exit status 7"}, 7),
        ({"State": 3, "Detail": "signal: killed"}, 137),
        ({"State": 3, "Detail": "signal: segmentation fault (core dumped)"}, 139),
        ({"State": 4, "Process": {"ExitCode": 0}}, None),
        ({"State": 3, "Detail": "the command can't be started"}, None),
        ({"State": 3, "Detail": "signal: unheard of"}, None),
    ],
)
def test_the_commands_own_exit_code(answer: JsonObject, code: int | None) -> None:
    assert UnitDetails.parse("a1a1a1a1", answer).own_exit_code == code


@pytest.mark.parametrize(
    "answer", [{"State": "2"}, {"Detail": 5}, {"ExtraData": []}, {"Process": {"UserSeconds": "x"}}]
)
def test_an_answer_that_is_no_status(answer: JsonObject) -> None:
    with pytest.raises(PeerError, match="of another type"):
        UnitDetails.parse("a1a1a1a1", answer)


def test_a_list_is_in_the_order_of_time() -> None:
    answers: JsonObject = {
        "running1": {"State": 1},
        "later111": {"State": 2, "Created": "2026-01-31T12:00:01Z"},
        "earlier1": {"State": 1, "Created": "2026-01-31T12:00:00Z"},
        "unknown1": {"State": 2},
    }
    assert [unit.unit_id for unit in parse_units(answers)] == ["unknown1", "earlier1", "later111", "running1"]
