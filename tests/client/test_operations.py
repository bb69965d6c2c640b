from __future__ import annotations

import pytest
from control_transcripts import Fails, Transcript, line

from receptor.client import conversations, operations
from receptor.client.submission import Submission
from receptor.client.unit_replies import UnitState, UnitStatus
from receptor.errors import (
    CommandError,
    OperatingError,
    TimeExpired,
    TlsError,
    UnknownUnit,
    UnknownWorkType,
    UnreachableError,
)

CREATED = b"Work unit created with ID a1. Send stdin data and EOF."
SUBMIT = 'send {"command": "work", "subcommand": "submit", "node": "localhost", "worktype": "cat"}'
RELEASE = 'send {"command": "work", "subcommand": "release", "unitid": "a1"}'
RELEASED = line(released="a1")
STREAMING = b"Streaming results for work unit a1"
GONE = UnreachableError("the connection broke")


def test_submit_sends_the_payload_as_it_comes() -> None:
    played = Transcript(
        operations.submit(Submission("cat")),
        [CREATED, b"one ", b"two", b"", line(unitid="a1", result="Job Started")],
    )
    assert played.asked == [
        "Open",
        SUBMIT,
        "read the id of the new unit",
        "TakePayload",
        "send one",
        "TakePayload",
        "send two",
        "TakePayload",
        "EndSending",
        "read what became of unit a1",
        "Close",
    ]
    assert played.result is not None
    assert played.result.unit_id == "a1"


@pytest.mark.parametrize(
    "error", [TimeExpired("over"), OSError("no such file"), CommandError("raised by whoever makes the payload")]
)
def test_a_payload_that_does_not_come_whole_ends_the_unit_before_its_connection(
    error: Exception,
) -> None:
    played = Transcript(operations.submit(Submission("cat")), [CREATED, b"half", error, RELEASED])
    assert played.error is error
    assert played.asked[-4:] == ["Open", RELEASE, "read the answer to work release", "Keep"]


def test_a_unit_whose_id_comes_too_late_is_released_too() -> None:
    error = TimeExpired("over")
    played = Transcript(operations.submit(Submission("cat")), [error, CREATED, RELEASED])
    assert played.error is error
    assert RELEASE in played.asked


def test_a_unit_that_was_not_created_is_not_released() -> None:
    late = Transcript(operations.submit(Submission("cat")), [TimeExpired("over"), UnreachableError("nothing came")])
    assert isinstance(late.error, TimeExpired)
    refused = Transcript(operations.submit(Submission("cat")), [b"ERROR: unknown work type cat"])
    assert isinstance(refused.error, UnknownWorkType)
    assert RELEASE not in late.asked + refused.asked


def test_a_unit_that_can_not_be_released_is_named_beside_the_error() -> None:
    played = Transcript(operations.submit(Submission("cat")), [CREATED, TimeExpired("over"), GONE])
    assert played.error is not None
    assert played.error.__notes__ == [
        "unit a1, which was not submitted whole, could not be released: the connection broke"
    ]


def test_with_an_idempotency_key_nothing_is_released() -> None:
    submission = Submission("cat", idempotency_key="k1")
    played = Transcript(operations.submit(submission), [CREATED, TimeExpired("over")])
    assert isinstance(played.error, TimeExpired)
    assert RELEASE not in played.asked


def test_a_unit_that_the_node_refuses_is_left_to_be_looked_at() -> None:
    played = Transcript(operations.submit(Submission("cat")), [CREATED, b"", b"ERROR: no such program"])
    assert isinstance(played.error, CommandError)
    assert RELEASE not in played.asked


def test_a_connection_that_breaks_before_the_last_answer_ends_the_unit() -> None:
    played = Transcript(operations.submit(Submission("cat")), [CREATED, b"", GONE, RELEASED])
    assert isinstance(played.error, UnreachableError)
    assert RELEASE in played.asked


def test_wait_asks_for_what_is_not_known_yet() -> None:
    played = Transcript(operations.wait("a1", 60.0), [line(State=1), line(State=2, Detail="exit status 0")])
    assert played.result == UnitStatus(UnitState.SUCCEEDED, "exit status 0", 0, unit_id="a1")
    assert [asked.partition("knownstate")[2] for asked in played.asked if asked.startswith("send")] == [
        '": 0}',
        '": 1}',
    ]
    assert "Pause" not in played.asked, "our nodes answer only when there is news"


def test_wait_pauses_where_the_node_answers_at_once() -> None:
    played = Transcript(operations.wait("a1", 60.0), [line(State=1), line(State=1), line(State=1), line(State=4)])
    assert played.asked.count("Pause") == 2


def test_wait_goes_on_over_a_broken_connection_and_a_missing_socket() -> None:
    missing = OperatingError("there is no socket")
    played = Transcript(operations.wait("a1", 60.0), [line(State=1), GONE, Fails("Open", missing), line(State=2)])
    assert played.result is not None
    assert played.asked.count("Open") == 3


def test_wait_gives_up_a_node_that_stays_away() -> None:
    played = Transcript(operations.wait("a1", 0.0), [GONE])
    assert played.error is GONE


def test_wait_does_not_repeat_what_can_not_become_better() -> None:
    unknown = Transcript(operations.wait("a1", 60.0), [b"ERROR: unknown work unit a1"])
    assert isinstance(unknown.error, UnknownUnit)
    distrusted = Transcript(operations.wait("a1", 60.0), [Fails("Open", TlsError("not trusted"))])
    assert isinstance(distrusted.error, TlsError)


def test_wait_says_what_the_unit_does_when_the_time_is_over() -> None:
    played = Transcript(operations.wait("a1", 60.0), [line(State=1), TimeExpired("over")])
    assert "unit a1 is still Running" in str(played.error)


def test_output_goes_on_at_the_byte_it_has() -> None:
    played = Transcript(
        operations.stdout("a1", 3, 60.0),
        [STREAMING, b"abc", GONE, STREAMING, b"de", b"", line(State=2, StdoutSize=8)],
    )
    assert played.given == [b"abc", b"de"]
    assert [asked.partition("startpos")[2] for asked in played.asked if "startpos" in asked] == ['": 3}', '": 6}']
    assert played.error is None


def test_output_of_a_unit_that_goes_on_is_asked_for_again() -> None:
    """The node was stopped, and ended the stream as if that were all."""
    played = Transcript(
        operations.stdout("a1", 0, 60.0),
        [STREAMING, b"ab", b"", line(State=1, StdoutSize=2), STREAMING, b"c", b"", line(State=2, StdoutSize=3)],
    )
    assert played.given == [b"ab", b"c"]


def test_output_that_stays_away_is_an_error_that_says_how_much_came() -> None:
    played = Transcript(operations.stdout("a1", 0, 0.0), [STREAMING, b"ab", b"", line(State=2, StdoutSize=9)])
    assert str(played.error) == "the node ended the stream after 2 of 9 bytes"


def test_output_when_the_time_is_over() -> None:
    played = Transcript(operations.stdout("a1", 0, 60.0), [STREAMING, b"ab", TimeExpired("over")])
    assert "go on from byte 2" in str(played.error)


def test_a_refused_command_leaves_its_connection_for_the_next() -> None:
    played = Transcript(operations.asked(conversations.status()), [b"ERROR: no"])
    assert played.asked[-1] == "Keep"
