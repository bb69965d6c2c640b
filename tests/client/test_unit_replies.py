from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from receptor.client.fields import JsonObject
from receptor.client.unit_replies import Process, UnitResult, UnitState, UnitStatus, parse_units
from receptor.errors import PeerError, UnitFailed

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


def noon(seconds: float = 0) -> datetime:
    return datetime(2026, 1, 31, 12, tzinfo=UTC) + timedelta(seconds=seconds)


def test_all_that_is_told() -> None:
    unit = UnitStatus.parse(REMOTE)
    assert (unit.state.title, unit.ended, unit.succeeded) == ("Succeeded", True, True)
    assert (unit.work, unit.remote_unit_id) == ("echoint on bar", "Zv8Qq1nC")
    assert (unit.name, unit.idempotency_key) == ("the nightly one", "nightly")
    assert (unit.began_at, unit.ended_at) == (noon(), noon(9))


def test_a_node_that_tells_less() -> None:
    unit = UnitStatus.parse({"State": 1, "Detail": "Running", "WorkType": "cat", "ExtraData": None})
    assert (unit.work, unit.stdout_size, unit.began_at, unit.ended_at) == ("cat", 0, None, None)
    assert unit.shell_exit_code is None


def test_times_of_the_command_where_those_of_the_unit_are_missing() -> None:
    process = {"ExitCode": 0, "Started": "2026-01-31T12:00:01Z", "Ended": "2026-01-31T12:00:02Z"}
    unit = UnitStatus.parse({"State": 2, "Process": process})
    assert (unit.began_at, unit.ended_at) == (noon(1), noon(2))


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
def test_the_commands_shell_exit_code(answer: JsonObject, code: int | None) -> None:
    assert UnitStatus.parse(answer).shell_exit_code == code


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ({"State": "2"}, "State that is no int"),
        ({"State": 9}, "State 9, which is none"),
        ({"Detail": 5}, "Detail that is no str"),
        ({"ExtraData": []}, "ExtraData that is no dict"),
        ({"Process": {"UserSeconds": "x"}}, "UserSeconds that is no float"),
        ({"Created": "noon"}, "Created that is no time"),
        ({"Created": "2026-01-31T12:00:00"}, "Created without a time zone"),
    ],
)
def test_an_answer_that_is_no_status(answer: JsonObject, complaint: str) -> None:
    with pytest.raises(PeerError, match=complaint):
        UnitStatus.parse(answer)


def test_a_list_is_in_the_order_of_time() -> None:
    answers: JsonObject = {
        "running1": {"State": 1},
        "later111": {"State": 2, "Created": "2026-01-31T12:00:01Z"},
        "earlier1": {"State": 1, "Created": "2026-01-31T12:00:00Z"},
        "unknown1": {"State": 2},
    }
    assert [unit.unit_id for unit in parse_units(answers)] == ["unknown1", "earlier1", "later111", "running1"]


@pytest.mark.parametrize(("state", "ended"), [(0, False), (1, False), (2, True), (3, True), (4, True)])
def test_final_states(state: int, ended: bool) -> None:
    assert UnitStatus.parse({"State": state, "Detail": "", "StdoutSize": 0}).ended is ended


def test_a_unit_on_another_node_of_ours() -> None:
    status = UnitStatus.parse(
        {
            "State": 2,
            "StateName": "Succeeded",
            "Detail": "exit status 0",
            "StdoutSize": 6,
            "WorkType": "remote",
            "ExtraData": {"RemoteNode": "bar", "RemoteWorkType": "cat", "RemoteUnitID": "b1"},
            "Process": {"ExitCode": 0, "Started": "2026-03-01T10:20:30Z", "UserSeconds": 0.5, "PeakMemory": 12000000},
            "IdempotencyKey": "k1",
            "Name": "nightly",
            "Created": "2026-03-01T10:20:29.123456789Z",
        }
    )
    assert (status.work_type, status.remote_node, status.remote_unit_id) == ("cat", "bar", "b1")
    assert (status.name, status.idempotency_key, status.exit_code) == ("nightly", "k1", 0)
    assert status.created_at == datetime(2026, 3, 1, 10, 20, 29, 123456, UTC)
    assert status.process == Process(0, None, datetime(2026, 3, 1, 10, 20, 30, 0, UTC), None, 0.5, 0.0, 12000000)


@pytest.mark.parametrize(
    ("state", "detail", "exit_code"),
    [
        (3, "exit status 7", 7),
        (2, "exit status 0", 0),
        (1, "exit status 7", None),
        (3, "signal: killed", None),
        (4, "Canceled", None),
    ],
)
def test_existing_nodes_tell_the_exit_code_within_the_detail(state: int, detail: str, exit_code: int | None) -> None:
    assert UnitStatus.parse({"State": state, "Detail": detail}).exit_code == exit_code


def test_the_zero_time_of_existing_nodes_is_none() -> None:
    assert UnitStatus.parse({"Created": "0001-01-01T00:00:00Z"}).created_at is None


@pytest.mark.parametrize(
    ("state", "remote_node", "complaint"),
    [
        (UnitState.FAILED, "", "unit a1 failed: no paper"),
        (UnitState.FAILED, "bar", "unit a1 on bar failed: no paper"),
        (UnitState.CANCELED, "", "unit a1 was canceled: no paper"),
    ],
)
def test_a_result_says_what_failed(state: UnitState, remote_node: str, complaint: str) -> None:
    result = UnitResult.of(UnitStatus(state, "no paper", 0, remote_node=remote_node, unit_id="a1"))
    with pytest.raises(UnitFailed) as failed:
        result.check()
    assert str(failed.value) == complaint
