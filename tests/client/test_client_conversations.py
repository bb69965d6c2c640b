from __future__ import annotations

from datetime import UTC, datetime

import pytest
from control_transcripts import Fails, Transcript, line

from receptor.client import conversations
from receptor.client.conversations import Send, refusal
from receptor.client.replies import Event
from receptor.client.submission import Submission
from receptor.client.unit_replies import UnitState
from receptor.errors import (
    CommandError,
    ConfigurationError,
    LimitReached,
    PeerError,
    UnknownUnit,
    UnknownWorkType,
    UnreachableError,
)

BROKEN = Fails("Send", UnreachableError("it broke"))
CREATED = b"Work unit created with ID abcd1234. Send stdin data and EOF."


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        ("ERROR: unknown work unit a1", UnknownUnit, "unknown work unit a1"),
        ("ERROR: unknown work type cat", UnknownWorkType, "unknown work type cat"),
        ("ERROR: not now: too many units", LimitReached, "not now: too many units"),
        ("ERROR: out of paper", CommandError, "out of paper"),
        ("ERROR", CommandError, "the node refuses without a reason; see its log"),
        ("Good day", PeerError, "'Good day', which is not expected here"),
    ],
)
def test_what_a_node_refuses_has_a_type(answer: str, kind: type[Exception], text: str) -> None:
    error = refusal(answer)
    assert type(error) is kind
    assert text in str(error)


def test_a_node_without_room_greets_with_its_reason() -> None:
    played = Transcript(conversations.greeting("foo.sock", 1.0), [b"ERROR: not now: there are 100 sessions"])
    assert isinstance(played.error, LimitReached)


def test_a_question_and_its_answer() -> None:
    played = Transcript(conversations.ping("bar"), [line(Success=True, From="bar", Time=1500000, TimeStr="1.5ms")])
    assert played.asked == ['send {"command": "ping", "target": "bar"}', "read the answer to ping"]
    assert played.result is not None
    assert (played.result.node_id, played.result.seconds) == ("bar", 0.0015)


def test_some_fields_of_the_status() -> None:
    played = Transcript(conversations.status("Time", "DataFolder"), [line(Time="now")])
    assert played.asked[0] == 'send {"command": "status", "requested_fields": ["Time", "DataFolder"]}'
    assert played.result == {"Time": "now"}


def test_to_another_node() -> None:
    played = Transcript(conversations.go_to("foo", "bar"), [b"Connecting", b"Receptor Control, node bar"])
    assert played.result == "bar"


def test_the_news_of_a_unit() -> None:
    played = Transcript(conversations.unit_news("a1", UnitState.RUNNING), [line(State=2)])
    assert played.asked == [
        'send {"command": "work", "subcommand": "status", "unitid": "a1", "knownstate": 1}',
        "read the answer to work status",
    ]


def test_a_submission_with_all_that_nodes_of_ours_take() -> None:
    submission = Submission("sort", idempotency_key="k1", name="nightly", env={"TOKEN": "hush"})
    played = Transcript(conversations.begin_submit(submission), [CREATED])
    assert played.result == "abcd1234"
    assert played.asked[0] == (
        'send {"command": "work", "subcommand": "submit", "node": "localhost", "worktype": "sort", '
        '"idempotencykey": "k1", "unitname": "nightly", "secret_env": "{\\"TOKEN\\": \\"hush\\"}"}'
    )
    assert "hush" not in repr(submission)
    assert "hush" not in repr(Send(b"hush"))


def test_a_parameter_can_not_stand_for_the_environment() -> None:
    with pytest.raises(ConfigurationError, match="'secret_env' can't be a parameter"):
        Submission("sort", env={"A": "b"}, params={"secret_env": "x"}).command()


def test_the_nodes_reason_is_preferred_to_the_broken_connection() -> None:
    played = Transcript(
        conversations.send_payload("a1", b"x"),
        [BROKEN, b"ERROR: the disk is full"],
    )
    assert isinstance(played.error, CommandError)
    assert str(played.error) == "the disk is full"


def test_without_a_reason_the_broken_connection_is_told() -> None:
    played = Transcript(
        conversations.send_payload("a1", b"x"),
        [BROKEN, UnreachableError("closed")],
    )
    assert str(played.error) == "unit a1 got only part of its payload: it broke"


def test_events() -> None:
    began = Transcript(conversations.begin_events(), [b"Streaming events"])
    assert began.asked == ['send {"command": "events"}', "read events"]
    told = {
        "Time": "2026-03-01T10:20:30.123456Z",
        "Event": "unit.changed",
        "UnitID": "a1",
        "State": 1,
        "StateName": "Running",
        "WorkType": "cat",
        "Detail": "Running: PID 5",
    }
    event = Transcript(conversations.next_event(), [line(**told)]).result
    assert event == Event(
        time=datetime(2026, 3, 1, 10, 20, 30, 123456, UTC),
        name="unit.changed",
        fields=dict(told),
        unit_id="a1",
        state=UnitState.RUNNING,
        work_type="cat",
        detail="Running: PID 5",
    )


def test_a_node_that_knows_no_events() -> None:
    played = Transcript(conversations.begin_events(), [b"ERROR: Unknown command"])
    assert isinstance(played.error, CommandError)
    assert "does not tell events" in str(played.error)
