from __future__ import annotations

import signal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receptor.netceptor.messages import format_time
from receptor.workceptor.records import ExitRecord, Submission
from receptor.workceptor.status import ProcessAnswer

ANSWER = ProcessAnswer(
    exit_code=3,
    started="2026-11-23T12:00:00.25Z",
    ended="2026-11-23T12:00:01.5Z",
    user_seconds=0.5,
    system_seconds=0.25,
    peak_memory=4096,
)

times = st.integers(0, 253_402_300_799_999_000_000).map(format_time)
seconds = st.floats(0, 1e308)
ends = st.tuples(st.integers(0, 255), st.none()) | st.tuples(st.none(), st.integers(1, 64))
answers = st.builds(
    lambda end, **fields: ProcessAnswer(exit_code=end[0], signal=end[1], **fields),
    ends,
    started=times,
    ended=times,
    user_seconds=seconds,
    system_seconds=seconds,
    peak_memory=st.integers(0, 2**63 - 1),
)


def test_how_a_command_of_another_node_ended() -> None:
    assert ExitRecord.of(ANSWER) == ExitRecord(
        exit_code=3,
        signal=None,
        started=1795435200.25,
        ended=1795435201.5,
        user_seconds=0.5,
        system_seconds=0.25,
        peak_memory=4096,
    )
    assert ExitRecord.of(ANSWER).answer() == ANSWER


@given(answers)
def test_whatever_is_taken_can_be_written_read_shown_and_told(answer: ProcessAnswer) -> None:
    """One that could not would keep all units from being listed, or the node from starting."""
    record = ExitRecord.of(answer)
    assert msgspec.json.decode(msgspec.json.encode(record), type=ExitRecord) == record
    assert record.detail.startswith(("exit status ", "signal: "))
    shown = record.answer()
    assert (shown.exit_code, shown.signal, shown.peak_memory) == (answer.exit_code, answer.signal, answer.peak_memory)


@given(ends, st.floats(0, 4e9), st.floats(0, 4e9))
def test_the_node_that_submitted_shows_the_same_as_the_one_that_ran_it(
    end: tuple[int | None, int | None], started: float, ended: float
) -> None:
    there = ExitRecord(
        exit_code=end[0],
        signal=end[1],
        started=started,
        ended=ended,
        user_seconds=0.5,
        system_seconds=0.25,
        peak_memory=4096,
    )
    assert ExitRecord.of(there.answer()).answer() == there.answer()


@pytest.mark.parametrize(
    "damage",
    [
        {"started": "x"},
        {"started": ""},
        {"ended": "2026-11-23 12:00:00"},
        {"started": "0001-01-01T00:00:00Z"},
        {"ended": "9999-12-31T23:59:59.999999999Z"},
        {"ended": "9999-12-31T23:59:59-23:00"},
        {"exit_code": None},
        {"signal": 9},
        {"exit_code": None, "signal": 0},
        {"exit_code": None, "signal": signal.NSIG},
        {"exit_code": None, "signal": -9},
    ],
    ids=str,
)
def test_what_can_not_be_is_refused(damage: dict[str, str | int | None]) -> None:
    with pytest.raises(ValueError, match=r"."):
        ExitRecord.of(msgspec.structs.replace(ANSWER, **damage))


@pytest.mark.parametrize(
    ("submitter", "expected"),
    [("local", False), ("tcp 192.0.2.7", False), ("node foo", True), ("node ", True), ("nodes", False)],
)
def test_whose_work_is_that_of_another_node(submitter: str, expected: bool) -> None:
    assert Submission(submitter=submitter).is_of_node is expected
