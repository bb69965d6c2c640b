from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from receptor.workceptor.remote import (
    CHECKS,
    FIRST_PAUSE,
    LOCALLY_CANCELLED,
    LONGEST_PAUSE,
    PAUSE_GROWTH,
    REMOTE_IS_GONE,
    RemoteUnit,
    Talk,
    expiration_text,
)
from receptor.workceptor.status import STARTING, RemoteExtra, State, Status, decode_status, encode_status, may_follow

EXPIRATION = "2026-11-23T12:00:00Z"


def new_unit(**remote: str | bool) -> RemoteUnit:
    extra = msgspec.structs.replace(RemoteExtra(remote_node="bar", remote_work_type="echo"), **remote)
    status = Status(state=State.PENDING, detail="Unit Created", stdout_size=0, work_type="remote", extra=extra)
    return RemoteUnit(status, 0)


def restarted(unit: RemoteUnit) -> RemoteUnit:
    """What the next start of this node makes of what is on disk."""
    return RemoteUnit(decode_status(encode_status(unit.status)), unit.stdout_size)


def half_submitted() -> RemoteUnit:
    unit = new_unit()
    unit.remote_unit_made("there001")
    unit.submission_broke_off(0.0)
    return unit


def sent(**remote: str | bool) -> RemoteUnit:
    """Its work with its payload is on the way to the other node."""
    unit = new_unit(**remote)
    unit.sending()
    return unit


def lost(**remote: str | bool) -> RemoteUnit:
    """Its work was sent with its payload, and nothing was heard of it."""
    unit = sent(**remote)
    unit.postponed("the work waits for a way to bar")
    unit.submission_broke_off(1000.0)
    unit.failed(Talk.SUBMIT, 1000.0)
    return unit


def started(**remote: str | bool) -> RemoteUnit:
    unit = new_unit(**remote)
    unit.remote_unit_made("there001")
    unit.submitted()
    return unit


def there(state: State, detail: str = "", size: int = 0) -> Status:
    """A status of the unit on the other node."""
    return Status(state=state, detail=detail, stdout_size=size, work_type="echo")


WAITING = there(State.PENDING, "Waiting for Input Data")
CUT_OFF = there(State.FAILED, "Error reading input data: the stream was reset")
RUNNING = there(State.RUNNING, "Running: PID 7", 3)
SUCCEEDED = there(State.SUCCEEDED, "exit status 0", 6)


def outcome(unit: RemoteUnit) -> tuple[State, str]:
    return unit.status.state, unit.status.detail


class TestTheUsualWay:
    def test_from_submission_to_the_last_byte(self) -> None:
        unit = new_unit()
        assert unit.wanted() == {Talk.SUBMIT}
        unit.remote_unit_made("there001")
        assert unit.wanted() == {Talk.SUBMIT}, "the payload is still to be sent"
        unit.submitted()
        assert unit.remote.remote_started
        assert unit.remote.remote_unit_id == "there001"
        assert unit.wanted() == {Talk.FOLLOW}
        assert unit.status.state is State.PENDING, "until the other node reports it running"
        unit.status_received(RUNNING)
        assert outcome(unit) == (State.RUNNING, "Running: PID 7")
        assert unit.wanted() == {Talk.FOLLOW, Talk.FETCH}
        unit.output_received(3)
        assert unit.wanted() == {Talk.FOLLOW}, "no more is known of"
        unit.status_received(SUCCEEDED)
        assert outcome(unit) == (State.SUCCEEDED, "exit status 0")
        assert not unit.is_complete
        assert unit.wanted() == {Talk.FETCH}
        unit.output_received(6)
        assert unit.is_complete
        assert unit.wanted() == frozenset()

    def test_output_is_fetched_as_long_as_no_status_would_tell_of_it(self) -> None:
        unit = started()
        unit.status_received(RUNNING)
        unit.is_output_told = False
        unit.output_received(3)
        assert unit.wanted() == {Talk.FOLLOW, Talk.FETCH}
        unit.output_received(6)
        unit.status_received(SUCCEEDED)
        assert unit.wanted() == frozenset()

    def test_what_two_bring_counts_once(self) -> None:
        unit = started()
        for size in (4, 4, 2):
            unit.output_received(size)
        assert unit.stdout_size == 4

    def test_the_output_comes_before_the_final_status(self) -> None:
        unit = started()
        unit.output_received(6)
        assert unit.wanted() == {Talk.FOLLOW}
        unit.status_received(SUCCEEDED)
        assert unit.wanted() == frozenset()
        assert unit.is_complete

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELED])
    def test_an_end_is_written_once(self, state: State) -> None:
        unit = started()
        unit.status_received(there(state, "the end", 6))
        for later in State:
            unit.status_received(there(later, "later", 9))
        unit.refused("later")
        unit.expire()
        assert outcome(unit) == (state, "the end")
        assert unit.status.stdout_size == 6

    def test_states_move_only_forward(self) -> None:
        unit = started()
        unit.status_received(RUNNING)
        unit.status_received(there(State.PENDING, "Starting Worker"))
        assert outcome(unit) == (State.RUNNING, "Running: PID 7")
        unit.status_received(there(State.RUNNING, "Running: PID 7", 5))
        assert unit.status.stdout_size == 5

    def test_refused(self) -> None:
        unit = new_unit()
        unit.refused("bar refused the work: unknown work type echo")
        assert outcome(unit) == (State.FAILED, "bar refused the work: unknown work type echo")
        assert unit.wanted() == frozenset()
        unit.release(force=False)
        assert unit.is_released, "the other node has nothing of it"

    def test_refused_when_the_payload_was_there(self) -> None:
        """The other node could not start the command; nobody needs what it keeps of the unit."""
        unit = new_unit()
        unit.remote_unit_made("there001")
        unit.refused("bar refused the work: no such program")
        assert unit.wanted() == {Talk.DISCARD}
        unit.discarded()
        assert unit.wanted() == frozenset()
        assert outcome(unit) == (State.FAILED, "bar refused the work: no such program")


class TestPauses:
    def test_they_grow_to_a_minute(self) -> None:
        unit = new_unit()
        now = 1000.0
        pauses: list[float] = []
        while not pauses or pauses[-1] < LONGEST_PAUSE:
            unit.failed(Talk.SUBMIT, now)
            pauses.append(unit.not_before(Talk.SUBMIT) - now)
            now += pauses[-1]
            assert unit.wanted() == {Talk.SUBMIT}
        assert pauses[:4] == [FIRST_PAUSE, 1.5, 2.25, 3.375]
        for earlier, later in pairwise(pauses):
            assert later == pytest.approx(min(earlier * PAUSE_GROWTH, 60))
        unit.failed(Talk.SUBMIT, now)
        assert unit.not_before(Talk.SUBMIT) - now == LONGEST_PAUSE

    def test_each_kind_of_conversation_has_its_own(self) -> None:
        unit = started()
        unit.failed(Talk.FETCH, 1000.0)
        assert unit.not_before(Talk.FETCH) == 1001.0
        assert unit.not_before(Talk.FOLLOW) < 0

    def test_one_that_went_well_makes_the_next_pause_short(self) -> None:
        unit = started()
        for _ in range(5):
            unit.failed(Talk.FOLLOW, 1000.0)
        unit.succeeded(Talk.FOLLOW)
        assert unit.not_before(Talk.FOLLOW) < 0
        unit.failed(Talk.FOLLOW, 1000.0)
        assert unit.not_before(Talk.FOLLOW) == 1001.0

    def test_a_route_ends_them(self) -> None:
        unit = started()
        unit.failed(Talk.FOLLOW, 1000.0)
        unit.failed(Talk.FETCH, 1000.0)
        unit.route_found()
        assert unit.not_before(Talk.FOLLOW) < 0
        assert unit.not_before(Talk.FETCH) < 0

    @pytest.mark.parametrize("order", ["cancel", "release"])
    def test_so_does_an_order(self, order: str) -> None:
        unit = started()
        unit.failed(Talk.CANCEL, 1000.0)
        unit.failed(Talk.RELEASE, 1000.0)
        unit.cancel() if order == "cancel" else unit.release(force=False)
        assert all(unit.not_before(talk) < 0 for talk in unit.wanted())


class TestABrokenSubmission:
    def test_before_the_unit_was_made(self) -> None:
        unit = new_unit()
        unit.submission_broke_off(0.0)
        assert unit.wanted() == {Talk.SUBMIT}

    def test_afterwards_it_is_looked_first_what_became_of_it(self) -> None:
        assert half_submitted().wanted() == {Talk.CHECK}

    @pytest.mark.parametrize(
        "found",
        [
            RUNNING,
            SUCCEEDED,
            there(State.PENDING, "Starting Worker"),
            there(State.FAILED, "exit status 1", 2),
            there(State.FAILED, "Pending at restart"),
            there(State.CANCELED, "Canceled"),
        ],
        ids=lambda found: found.detail,
    )
    def test_only_the_answer_was_lost(self, found: Status) -> None:
        unit = half_submitted()
        assert unit.checked(found, knows_key=False)
        assert unit.remote.remote_started
        assert unit.wanted() >= {Talk.FOLLOW}
        unit.status_received(found)
        assert outcome(unit) == (found.state, found.detail)

    def test_the_payload_was_cut_off(self) -> None:
        unit = half_submitted()
        assert unit.checked(CUT_OFF, knows_key=False)
        assert unit.wanted() == {Talk.DISCARD}
        unit.discarded()
        assert unit.remote.remote_unit_id == ""
        assert unit.wanted() == {Talk.SUBMIT}
        assert unit.status.state is State.PENDING

    def test_the_rest_of_the_payload_may_be_on_its_way(self) -> None:
        unit = half_submitted()
        for _ in range(CHECKS - 1):
            assert not unit.checked(WAITING, knows_key=False)
            unit.failed(Talk.CHECK, 1000.0)
            assert unit.wanted() == {Talk.CHECK}
        assert unit.checked(RUNNING, knows_key=False)
        assert unit.wanted() == {Talk.FOLLOW}

    def test_it_will_not_come_any_more(self) -> None:
        unit = half_submitted()
        for _ in range(CHECKS - 1):
            assert not unit.checked(WAITING, knows_key=False)
        assert unit.checked(WAITING, knows_key=False)
        assert unit.wanted() == {Talk.DISCARD}

    def test_the_next_submission_has_its_own_checks(self) -> None:
        unit = half_submitted()
        for _ in range(CHECKS):
            unit.checked(WAITING, knows_key=False)
        unit.discarded()
        unit.remote_unit_made("there002")
        unit.submission_broke_off(0.0)
        assert not unit.checked(WAITING, knows_key=False)

    def test_the_other_node_does_not_know_it(self) -> None:
        unit = half_submitted()
        unit.discarded()
        assert unit.remote.remote_unit_id == ""
        assert unit.wanted() == {Talk.SUBMIT}

    def test_a_restart_in_between(self) -> None:
        unit = new_unit()
        unit.remote_unit_made("there001")
        unit = restarted(unit)
        assert unit.wanted() == {Talk.CHECK}
        unit.checked(CUT_OFF, knows_key=False)
        unit = restarted(unit)
        assert unit.wanted() == {Talk.CHECK}, "not sent twice, however often it restarts"
        unit.checked(CUT_OFF, knows_key=False)
        unit.discarded()
        assert restarted(unit).wanted() == {Talk.SUBMIT}


class TestANodeThatKnowsTheKey:
    """The same submission made again goes on with the same unit."""

    @pytest.mark.parametrize("found", [WAITING, CUT_OFF], ids=lambda found: found.detail)
    def test_gets_the_rest_at_once(self, found: Status) -> None:
        unit = half_submitted()
        assert unit.checked(found, knows_key=True)
        assert unit.wanted() == {Talk.SUBMIT}
        assert unit.remote.remote_unit_id == "there001"
        unit.remote_unit_made("there001")
        unit.submitted()
        assert unit.wanted() == {Talk.FOLLOW}

    def test_is_looked_at_again_when_that_breaks_too(self) -> None:
        unit = half_submitted()
        for _ in range(2 * CHECKS):
            assert unit.checked(WAITING, knows_key=True)
            unit.submission_broke_off(0.0)
            assert unit.wanted() == {Talk.CHECK}

    def test_may_have_made_a_new_unit_since(self) -> None:
        unit = half_submitted()
        unit.checked(CUT_OFF, knows_key=True)
        unit.remote_unit_made("there002")
        unit.submission_broke_off(0.0)
        assert restarted(unit).wanted() == {Talk.CHECK}
        assert unit.remote.remote_unit_id == "there002"

    def test_is_not_sent_anew_what_has_run(self) -> None:
        unit = half_submitted()
        assert unit.checked(SUCCEEDED, knows_key=True)
        assert Talk.SUBMIT not in unit.wanted()

    def test_is_not_sent_anew_what_was_cancelled(self) -> None:
        unit = half_submitted()
        unit.cancel()
        assert unit.checked(WAITING, knows_key=True)
        assert unit.wanted() == {Talk.DISCARD}
        unit.discarded()
        assert outcome(unit) == (State.CANCELED, LOCALLY_CANCELLED)

    def test_is_not_sent_anew_what_has_expired(self) -> None:
        unit = new_unit(expiration=EXPIRATION)
        unit.remote_unit_made("there001")
        unit.submission_broke_off(0.0)
        unit.expire()
        assert unit.checked(WAITING, knows_key=True)
        assert unit.wanted() == {Talk.DISCARD}


def cancelled(unit: RemoteUnit) -> RemoteUnit:
    unit.cancel()
    return unit


def released(unit: RemoteUnit) -> RemoteUnit:
    unit.release(force=False)
    return unit


def expired(unit: RemoteUnit) -> RemoteUnit:
    unit.expire()
    return unit


ENDS = pytest.mark.parametrize("end", [cancelled, released, expired])


class TestWorkThatIsSentAtOnce:
    """A short payload goes with the command: until the answer comes, the other node may or may not have the work."""

    def test_from_submission_to_the_answer(self) -> None:
        unit = sent()
        assert unit.status.detail == STARTING
        assert unit.wanted() == {Talk.SUBMIT}
        unit.remote_unit_made("there001")
        unit.submitted()
        assert unit.remote.remote_started
        assert unit.wanted() == {Talk.FOLLOW}

    def test_is_sent_again_if_nothing_was_heard(self) -> None:
        """The other node takes it for the same by its key."""
        unit = lost()
        assert unit.wanted() == {Talk.SUBMIT}
        assert outcome(unit) == (State.PENDING, f"{STARTING}: the work waits for a way to bar")
        assert restarted(unit).wanted() == {Talk.SUBMIT}
        unit.sending()
        unit.remote_unit_made("there001")
        unit.submitted()
        assert unit.wanted() == {Talk.FOLLOW}

    @ENDS
    def test_the_answer_is_awaited(self, end: Callable[[RemoteUnit], RemoteUnit]) -> None:
        unit = end(sent(expiration=EXPIRATION))
        assert unit.wanted() == {Talk.SUBMIT}
        assert not unit.is_released
        unit.submission_broke_off(1000.0)
        assert unit.wanted() == {Talk.FIND}

    @pytest.mark.parametrize(
        ("end", "wanted"),
        [(cancelled, {Talk.CANCEL, Talk.FOLLOW}), (released, {Talk.RELEASE}), (expired, {Talk.DISCARD})],
    )
    def test_it_has_started(self, end: Callable[[RemoteUnit], RemoteUnit], wanted: set[Talk]) -> None:
        unit = end(sent(expiration=EXPIRATION))
        unit.remote_unit_made("there001")
        unit.submitted()
        assert unit.wanted() == wanted
        assert restarted(unit).wanted() == wanted

    @pytest.mark.parametrize(
        ("end", "wanted"), [(cancelled, {Talk.CHECK}), (released, {Talk.RELEASE}), (expired, {Talk.DISCARD})]
    )
    def test_it_is_found(self, end: Callable[[RemoteUnit], RemoteUnit], wanted: set[Talk]) -> None:
        unit = end(lost(expiration=EXPIRATION))
        assert unit.wanted() == {Talk.FIND}
        unit.found("there001")
        assert unit.wanted() == wanted
        assert restarted(unit).wanted() == wanted

    def test_it_is_cancelled_when_it_is_found_at_work(self) -> None:
        unit = cancelled(lost())
        unit.found("there001")
        unit.checked(RUNNING, knows_key=True)
        assert unit.wanted() == {Talk.CANCEL, Talk.FOLLOW}

    def test_it_is_discarded_when_it_is_found_waiting(self) -> None:
        unit = cancelled(lost())
        unit.found("there001")
        assert unit.checked(WAITING, knows_key=True)
        assert unit.wanted() == {Talk.DISCARD}
        unit.discarded()
        assert outcome(unit) == (State.CANCELED, LOCALLY_CANCELLED)

    @pytest.mark.parametrize("make", [lost, lambda: restarted(sent()), lambda: restarted(lost())])
    def test_nothing_is_found(self, make: Callable[[], RemoteUnit]) -> None:
        unit = cancelled(make())
        assert unit.wanted() == {Talk.FIND}
        assert unit.is_cancel_pending
        unit.not_found()
        assert outcome(unit) == (State.CANCELED, LOCALLY_CANCELLED)
        assert unit.wanted() == frozenset()

        unit = released(make())
        assert unit.wanted() == {Talk.FIND}
        unit.not_found()
        assert unit.is_released

    def test_nothing_is_found_of_what_has_expired(self) -> None:
        unit = restarted(expired(lost(expiration=EXPIRATION)))
        assert unit.wanted() == {Talk.FIND}
        unit.not_found()
        assert restarted(unit).wanted() == frozenset()
        assert outcome(unit) == (State.FAILED, f"Work unit expired on {EXPIRATION}")
        assert unit.wanted() == frozenset()
        assert released(unit).is_released

    def test_it_is_not_looked_for_before_it_has_arrived(self) -> None:
        unit = cancelled(lost())
        unit.route_found()
        assert unit.not_before(Talk.FIND) == 1000.0 + FIRST_PAUSE
        unit.failed(Talk.FIND, 2000.0)
        assert unit.not_before(Talk.FIND) == 2000.0 + FIRST_PAUSE

    def test_a_forced_release_looks_once_and_at_once(self) -> None:
        unit = lost()
        unit.release(force=True)
        assert unit.wanted() == {Talk.FIND}
        assert unit.not_before(Talk.FIND) < 0
        unit.failed(Talk.FIND, 1000.0)
        assert unit.is_released

    def test_a_forced_release_of_what_is_being_sent(self) -> None:
        unit = sent()
        unit.release(force=True)
        unit.submission_broke_off(1000.0)
        assert unit.wanted() == {Talk.FIND}
        unit.found("there001")
        assert unit.wanted() == {Talk.RELEASE}

    @pytest.mark.parametrize("end", [cancelled, released])
    def test_put_off_it_is_over_at_once(self, end: Callable[[RemoteUnit], RemoteUnit]) -> None:
        unit = sent()
        unit.put_off("bar does not take the work yet")
        unit.submission_broke_off(1000.0)
        assert outcome(unit) == (State.PENDING, "bar does not take the work yet")
        assert unit.wanted() == {Talk.SUBMIT}
        assert end(restarted(unit)).wanted() == frozenset()
        assert end(unit).wanted() == frozenset()

    @pytest.mark.parametrize("end", [cancelled, released])
    def test_put_off_when_it_is_no_more_wanted(self, end: Callable[[RemoteUnit], RemoteUnit]) -> None:
        unit = end(sent())
        unit.put_off("bar does not take the work yet")
        assert outcome(unit) == (State.CANCELED, LOCALLY_CANCELLED)
        assert unit.wanted() == frozenset(), "above all it is not sent again"
        assert unit.is_released == (end is released)

    def test_refused_it_may_be_kept_there(self) -> None:
        unit = sent()
        unit.refused("bar refused the work: no such program")
        assert unit.wanted() == {Talk.FIND}
        unit.found("there001")
        assert unit.wanted() == {Talk.DISCARD}
        unit.discarded()
        assert unit.wanted() == frozenset()
        assert outcome(unit) == (State.FAILED, "bar refused the work: no such program")

    def test_refused_nothing_is_kept_there(self) -> None:
        unit = sent()
        unit.refused("bar refused the work: unknown work type echo")
        unit.not_found()
        assert unit.wanted() == frozenset()
        assert released(unit).is_released

    def test_a_unit_that_is_known_may_be_replaced(self) -> None:
        """Its first submission broke off; since then the other node takes the payload with the command."""
        unit = half_submitted()
        unit.checked(CUT_OFF, knows_key=True)
        unit.sending()
        unit = cancelled(restarted(unit))
        assert unit.wanted() == {Talk.FIND}
        unit.found("there002")
        assert unit.remote.remote_unit_id == "there002"

    @pytest.mark.parametrize("detail", [STARTING, f"{STARTING}: soon"])
    def test_what_the_other_node_tells_of_a_unit_does_not_count(self, detail: str) -> None:
        unit = started()
        unit.status_received(there(State.PENDING, detail))
        unit = cancelled(restarted(unit))
        assert unit.wanted() == {Talk.CANCEL, Talk.FOLLOW}


class TestRestart:
    def test_the_same_record_wants_the_same_conversations(self) -> None:
        running, ended, complete, refused = started(), started(), started(), new_unit()
        running.status_received(RUNNING)
        ended.status_received(SUCCEEDED)
        ended.output_received(2)
        complete.status_received(SUCCEEDED)
        complete.output_received(6)
        refused.refused("no")
        units = [new_unit(), half_submitted(), lost(), running, ended, complete, refused]
        units += [cancelled(started()), released(started()), cancelled(lost()), released(lost())]
        units += [expired(new_unit(expiration=EXPIRATION)), expired(lost(expiration=EXPIRATION))]
        for unit in units:
            assert restarted(unit).wanted() == unit.wanted()
            assert restarted(unit).status == unit.status

    def test_output_goes_on_where_it_was(self) -> None:
        unit = started()
        unit.output_received(4)
        unit = restarted(unit)
        unit.status_received(SUCCEEDED)
        unit.output_received(6)
        assert unit.is_complete

    def test_a_release_that_was_due_when_the_node_ended(self) -> None:
        assert new_unit(local_released=True).is_released
        assert restarted(new_unit(local_released=True)).wanted() == frozenset()


class TestExpiry:
    def test_of_a_unit_that_could_not_be_sent(self) -> None:
        unit = new_unit(expiration=EXPIRATION)
        assert unit.expires_at == 1795435200 * 10**9
        unit.failed(Talk.SUBMIT, 0.0)
        unit.expire()
        assert outcome(unit) == (State.FAILED, f"Work unit expired on {EXPIRATION}")
        assert unit.wanted() == frozenset()

    def test_limits_only_the_time_until_the_start(self) -> None:
        unit = started(expiration=EXPIRATION)
        assert unit.expires_at is None
        unit.expire()
        assert unit.status.state is State.PENDING

    def test_without_a_ttl_there_is_none(self) -> None:
        unit = new_unit()
        assert unit.expires_at is None
        unit.expire()
        assert unit.wanted() == {Talk.SUBMIT}

    @pytest.mark.parametrize("broke_off", [False, True])
    def test_half_sent(self, broke_off: bool) -> None:
        """What is told as failed must not run there afterwards."""
        unit = new_unit(expiration=EXPIRATION)
        unit.remote_unit_made("there001")
        if broke_off:
            unit.submission_broke_off(0.0)
        unit.expire()
        assert unit.status.state is State.FAILED
        assert unit.wanted() == {Talk.DISCARD}
        unit.discarded()
        assert unit.wanted() == frozenset()
        assert unit.status.state is State.FAILED

    def test_the_end_comes_once(self) -> None:
        unit = new_unit(expiration=EXPIRATION)
        unit.cancel()
        unit.expire()
        assert outcome(unit) == (State.CANCELED, LOCALLY_CANCELLED)

    def test_text(self) -> None:
        assert expiration_text(1795435200.5) == "2026-11-23T12:00:00.5Z"


class TestGone:
    def test_while_it_was_followed(self) -> None:
        unit = started()
        unit.status_received(RUNNING)
        unit.output_received(2)
        unit.remote_is_gone()
        assert outcome(unit) == (State.FAILED, REMOTE_IS_GONE)
        assert unit.is_complete, "no more output than what is here can be had"
        assert unit.wanted() == frozenset()

    def test_before_all_output_was_fetched(self) -> None:
        unit = started()
        unit.status_received(SUCCEEDED)
        unit.output_received(2)
        unit.remote_is_gone()
        assert outcome(unit) == (State.SUCCEEDED, "exit status 0")
        assert unit.status.stdout_size == 2
        assert unit.wanted() == frozenset()


class TestCancel:
    def test_before_anything_reached_the_other_node(self) -> None:
        unit = new_unit()
        unit.failed(Talk.SUBMIT, 0.0)
        unit.cancel()
        assert outcome(unit) == (State.CANCELED, LOCALLY_CANCELLED)
        assert not unit.is_cancel_pending
        assert unit.wanted() == frozenset()

    def test_while_it_runs(self) -> None:
        unit = started()
        unit.status_received(RUNNING)
        unit.cancel()
        assert unit.remote.local_cancelled
        assert unit.is_cancel_pending
        assert unit.wanted() == {Talk.CANCEL, Talk.FOLLOW, Talk.FETCH}
        unit.cancel_heard()
        assert not unit.is_cancel_pending
        assert unit.wanted() == {Talk.FOLLOW, Talk.FETCH}
        unit.status_received(there(State.CANCELED, "Canceled", 3))
        assert outcome(unit) == (State.CANCELED, "Canceled")

    def test_the_end_came_first(self) -> None:
        unit = started()
        unit.cancel()
        unit.status_received(SUCCEEDED)
        assert not unit.is_cancel_pending
        assert outcome(unit) == (State.SUCCEEDED, "exit status 0")

    def test_of_an_ended_unit(self) -> None:
        unit = started()
        unit.status_received(SUCCEEDED)
        unit.output_received(6)
        unit.cancel()
        assert not unit.is_cancel_pending
        assert unit.wanted() == frozenset()

    def test_pending_until_the_other_node_answers(self) -> None:
        unit = started()
        unit.cancel()
        unit.failed(Talk.CANCEL, 0.0)
        unit = restarted(unit)
        assert unit.is_cancel_pending
        assert Talk.CANCEL in unit.wanted()

    @pytest.mark.parametrize("broke_off", [False, True])
    def test_half_submitted_and_not_begun(self, broke_off: bool) -> None:
        unit = new_unit()
        unit.remote_unit_made("there001")
        if broke_off:
            unit.submission_broke_off(0.0)
        unit.cancel()
        assert unit.is_cancel_pending
        assert unit.wanted() == {Talk.CHECK}
        assert unit.checked(WAITING, knows_key=False), (
            "if the rest of the payload comes now, the unit is not wanted any more"
        )
        assert unit.wanted() == {Talk.DISCARD}
        unit.discarded()
        assert outcome(unit) == (State.CANCELED, LOCALLY_CANCELLED)
        assert unit.wanted() == frozenset(), "above all it is not sent again"

    def test_half_submitted_and_begun(self) -> None:
        unit = half_submitted()
        unit.cancel()
        unit.checked(RUNNING, knows_key=False)
        assert unit.wanted() == {Talk.CANCEL, Talk.FOLLOW}

    def test_half_submitted_and_unknown_to_the_other_node(self) -> None:
        unit = half_submitted()
        unit.cancel()
        unit.discarded()
        assert outcome(unit) == (State.CANCELED, LOCALLY_CANCELLED)
        assert unit.wanted() == frozenset()

    def test_while_it_is_discarded(self) -> None:
        unit = half_submitted()
        unit.checked(CUT_OFF, knows_key=False)
        unit.cancel()
        assert unit.wanted() == {Talk.DISCARD}
        unit.discarded()
        assert outcome(unit) == (State.CANCELED, LOCALLY_CANCELLED)


class TestRelease:
    def test_of_a_unit_that_never_reached_the_other_node(self) -> None:
        unit = new_unit()
        unit.release(force=False)
        assert unit.is_released
        assert unit.wanted() == frozenset()

    @pytest.mark.parametrize("make", [half_submitted, started])
    def test_pending_until_the_other_node_answers(self, make: Callable[[], RemoteUnit]) -> None:
        unit = make()
        unit.release(force=False)
        assert unit.remote.local_cancelled
        assert unit.remote.local_released
        assert unit.wanted() == {Talk.RELEASE}
        for _ in range(10):
            unit.failed(Talk.RELEASE, 0.0)
            assert not unit.is_released
        unit = restarted(unit)
        assert unit.wanted() == {Talk.RELEASE}
        unit.release_heard()
        assert unit.is_released
        assert unit.wanted() == frozenset()

    def test_of_an_ended_unit(self) -> None:
        unit = started()
        unit.status_received(SUCCEEDED)
        unit.release(force=False)
        assert unit.wanted() == {Talk.RELEASE}, "no output is fetched any more"

    def test_forced_tries_once(self) -> None:
        unit = started()
        unit.release(force=True)
        assert unit.wanted() == {Talk.RELEASE}
        unit.failed(Talk.RELEASE, 0.0)
        assert unit.is_released

    def test_forced_after_a_gentle_one(self) -> None:
        unit = started()
        unit.release(force=False)
        unit.failed(Talk.RELEASE, 0.0)
        unit.release(force=True)
        assert unit.not_before(Talk.RELEASE) < 0
        unit.failed(Talk.RELEASE, 0.0)
        assert unit.is_released

    def test_a_failure_of_something_else_is_no_try(self) -> None:
        unit = started()
        unit.release(force=True)
        unit.failed(Talk.FETCH, 0.0)
        assert not unit.is_released


# The whole life, under any order of events


MOSTLY = st.sampled_from([True, True, False])


@dataclass
class Elsewhere:
    """A unit of the model of the other node."""

    state: State = State.PENDING
    detail: str = "Waiting for Input Data"
    payload_arrived: bool = False
    """All of it is there, if perhaps not looked at yet."""
    ran: bool = False
    output: int = 0

    @property
    def waits(self) -> bool:
        return self.state is State.PENDING and not self.ran

    def begin(self) -> None:
        self.state, self.detail, self.ran = State.RUNNING, "Running: PID 7", True

    def end(self, state: State, detail: str) -> None:
        self.state, self.detail = state, detail

    @property
    def status(self) -> Status:
        return there(self.state, self.detail, self.output)


class Life(RuleBasedStateMachine):
    """A unit, the other node, and whatever may happen between them.

    The shell's part is done here: only what is wanted is held, a conversation that isn't wanted any more is dropped,
    and after a pause it is held again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unit = new_unit(expiration=EXPIRATION)
        self.units: dict[str, Elsewhere] = {}
        self.made = 0
        self.ran = 0
        self.submitting: str | None = None
        """Whose payload is being sent."""
        self.is_sent = False
        """The work was sent with its payload, and its answer is awaited."""
        self.at_once = False
        self.told = [self.unit.status]
        self.forgotten = self.expired = self.refused = False
        self.trouble = ""
        """The one thing beside broken connections and restarts that may happen: lives would be short otherwise."""

    @initialize(
        trouble=st.sampled_from(["", "", "cancel", "release", "expire", "refuse", "forget"]), at_once=st.booleans()
    )
    def begin_life(self, trouble: str, at_once: bool) -> None:
        self.trouble, self.at_once = trouble, at_once

    # Conversations

    def wants(self, talk: Talk) -> bool:
        return talk in self.unit.wanted()

    def remote(self) -> Elsewhere | None:
        return self.units.get(self.unit.remote.remote_unit_id)

    def settle(self) -> None:
        """What the shell does after each event."""
        if not self.wants(Talk.SUBMIT):
            self.lose_submission()
        if self.unit.status != self.told[-1]:
            self.told.append(self.unit.status)

    def lose_submission(self) -> None:
        """The other node notices it some time later: until then its unit goes on waiting."""
        self.submitting, self.is_sent = None, False

    def break_off(self) -> None:
        self.lose_submission()
        self.unit.postponed("the work waits for a way to bar")
        self.unit.submission_broke_off(0.0)
        self.unit.failed(Talk.SUBMIT, 0.0)
        self.settle()

    @precondition(lambda self: self.at_once and self.wants(Talk.SUBMIT) and not self.is_sent)
    @rule()
    def send_at_once(self) -> None:
        self.unit.sending()
        self.is_sent = True
        self.settle()

    @precondition(lambda self: self.is_sent)
    @rule(
        answer=st.sampled_from(["made", "made", "made but the answer is lost", "all is lost", "not now", "refused"]),
        is_kept=st.booleans(),
    )
    def hear_of_what_was_sent(self, answer: str, is_kept: bool) -> None:
        """Its key lets the other node know a unit that it has made already."""
        if answer == "all is lost":
            self.break_off()
        elif not self.units and answer == "not now":
            self.unit.put_off("bar does not take the work yet")
            self.is_sent = False
            self.settle()
        elif not self.units and answer == "refused" and self.trouble == "refuse":
            if is_kept:
                self.made += 1
                self.units[f"there{self.made:03}"] = Elsewhere(State.FAILED, "no such program", payload_arrived=True)
            self.refused, self.is_sent = True, False
            self.unit.refused("bar refused the work")
            self.settle()
        else:
            self.take_what_was_sent(is_answered=answer == "made")

    def take_what_was_sent(self, is_answered: bool) -> None:
        if not self.units:
            self.made += 1
            self.units[f"there{self.made:03}"] = elsewhere = Elsewhere(payload_arrived=True)
            self.begin(elsewhere)
        if not is_answered:
            self.break_off()
            return
        self.is_sent = False
        self.unit.remote_unit_made(next(iter(self.units)))
        self.unit.submitted()
        self.settle()

    @precondition(lambda self: self.wants(Talk.FIND))
    @rule(is_reached=MOSTLY)
    def find(self, is_reached: bool) -> None:
        if not is_reached:
            self.unit.failed(Talk.FIND, 0.0)
        elif self.units:
            self.unit.found(next(iter(self.units)))
        else:
            self.unit.not_found()
        self.settle()

    @precondition(lambda self: not self.at_once and self.wants(Talk.SUBMIT) and self.submitting is None)
    @rule(answer=st.sampled_from(["made", "made", "made but the answer is lost", "out of reach", "refused"]))
    def submit(self, answer: str) -> None:
        if answer.startswith("made"):
            self.made += 1
            unit_id = f"there{self.made:03}"
            self.units[unit_id] = Elsewhere()
            if answer == "made":
                self.submitting = unit_id
                self.unit.remote_unit_made(unit_id)
            else:
                self.break_off()
        elif answer == "refused" and self.trouble == "refuse":
            self.refused = True
            self.unit.refused("bar refused the work")
        else:
            self.break_off()
        self.settle()

    @precondition(lambda self: self.submitting is not None)
    @rule(arrives=MOSTLY, is_answered=MOSTLY)
    def send_payload(self, arrives: bool, is_answered: bool) -> None:
        assert self.submitting is not None
        elsewhere, self.submitting = self.units.get(self.submitting), None
        if elsewhere is not None and elsewhere.waits and arrives:
            elsewhere.payload_arrived = True
            if is_answered:
                self.begin(elsewhere)
                self.unit.submitted()
                self.settle()
                return
        self.break_off()

    @precondition(lambda self: self.wants(Talk.CHECK))
    @rule(is_reached=MOSTLY)
    def check(self, is_reached: bool) -> None:
        elsewhere = self.remote()
        if not is_reached:
            self.unit.failed(Talk.CHECK, 0.0)
        elif elsewhere is None:
            self.unit.discarded()
        elif not self.unit.checked(elsewhere.status, knows_key=False):
            self.unit.failed(Talk.CHECK, 0.0)
            # That is what the pauses are for: by the last check, what had arrived has been looked at.
            if elsewhere.payload_arrived:
                self.begin(elsewhere)
        self.settle()

    @precondition(lambda self: self.wants(Talk.DISCARD))
    @rule(arrives=MOSTLY, is_answered=MOSTLY)
    def discard(self, arrives: bool, is_answered: bool) -> None:
        if arrives:
            self.units.pop(self.unit.remote.remote_unit_id, None)
        if arrives and is_answered:
            self.unit.discarded()
        else:
            self.unit.failed(Talk.DISCARD, 0.0)
        self.settle()

    @precondition(lambda self: self.wants(Talk.FOLLOW))
    @rule(is_reached=MOSTLY)
    def follow(self, is_reached: bool) -> None:
        elsewhere = self.remote()
        if not is_reached:
            self.unit.failed(Talk.FOLLOW, 0.0)
        elif elsewhere is None:
            self.unit.remote_is_gone()
        else:
            self.unit.status_received(elsewhere.status)
            self.unit.succeeded(Talk.FOLLOW)
        self.settle()

    @precondition(lambda self: self.wants(Talk.FETCH))
    @rule(size=st.integers(0, 5))
    def fetch(self, size: int) -> None:
        elsewhere = self.remote()
        if elsewhere is None:
            self.unit.remote_is_gone()
        else:
            self.unit.output_received(min(self.unit.stdout_size + size, elsewhere.output))
        self.settle()

    @precondition(lambda self: self.wants(Talk.CANCEL))
    @rule(arrives=MOSTLY, is_answered=MOSTLY)
    def tell_to_cancel(self, arrives: bool, is_answered: bool) -> None:
        elsewhere = self.remote()
        if arrives and elsewhere is not None and not elsewhere.state.is_final:
            elsewhere.end(State.CANCELED, "Canceled")
        if arrives and is_answered:
            self.unit.cancel_heard()
        else:
            self.unit.failed(Talk.CANCEL, 0.0)
        self.settle()

    @precondition(lambda self: self.wants(Talk.RELEASE))
    @rule(arrives=MOSTLY, is_answered=MOSTLY)
    def tell_to_release(self, arrives: bool, is_answered: bool) -> None:
        if arrives:
            self.units.pop(self.unit.remote.remote_unit_id, None)
        if arrives and is_answered:
            self.unit.release_heard()
        else:
            self.unit.failed(Talk.RELEASE, 0.0)
        self.settle()

    # The other node

    def begin(self, elsewhere: Elsewhere) -> None:
        if elsewhere.waits:
            elsewhere.begin()
            self.ran += 1

    def any_unit(self, condition: Callable[[Elsewhere], bool]) -> bool:
        return any(condition(elsewhere) for elsewhere in self.units.values())

    @precondition(lambda self: self.any_unit(lambda elsewhere: elsewhere.state is State.RUNNING))
    @rule(grows=st.integers(0, 3), ends=st.sampled_from([None, State.SUCCEEDED, State.FAILED]))
    def work_goes_on(self, grows: int, ends: State | None) -> None:
        for elsewhere in self.units.values():
            if elsewhere.state is State.RUNNING:
                elsewhere.output += grows
                if ends is not None:
                    elsewhere.end(ends, f"exit status {int(ends is State.FAILED)}")

    @precondition(lambda self: self.any_unit(lambda elsewhere: elsewhere.payload_arrived and elsewhere.waits))
    @rule()
    def work_begins(self) -> None:
        for elsewhere in self.units.values():
            if elsewhere.payload_arrived:
                self.begin(elsewhere)

    def is_cut_off(self, elsewhere: Elsewhere) -> bool:
        is_coming = self.submitting is not None and self.units.get(self.submitting) is elsewhere
        return elsewhere.waits and not elsewhere.payload_arrived and not is_coming

    @precondition(lambda self: self.any_unit(self.is_cut_off))
    @rule()
    def a_cut_is_noticed(self) -> None:
        for elsewhere in filter(self.is_cut_off, self.units.values()):
            elsewhere.end(State.FAILED, "Error reading input data: the stream was reset")

    @precondition(lambda self: self.trouble == "forget" and self.unit.remote.remote_started)
    @rule()
    def somebody_else_releases_it(self) -> None:
        self.forgotten = True
        self.units.pop(self.unit.remote.remote_unit_id, None)

    # This node

    @rule()
    def restart(self) -> None:
        self.lose_submission()
        if not self.unit.is_released:
            self.unit = restarted(self.unit)
        self.settle()

    @precondition(lambda self: self.trouble == "cancel")
    @rule()
    def cancel(self) -> None:
        self.unit.cancel()
        self.settle()

    @precondition(lambda self: self.trouble == "release")
    @rule(force=st.booleans())
    def release(self, force: bool) -> None:
        self.unit.release(force)
        self.settle()

    @precondition(lambda self: self.trouble == "expire" and self.unit.expires_at is not None)
    @rule()
    def expire(self) -> None:
        self.expired = True
        self.unit.expire()
        self.settle()

    # What always holds

    @invariant()
    def it_runs_at_most_once(self) -> None:
        assert self.ran <= 1

    @invariant()
    def states_move_forward_and_an_end_is_final(self) -> None:
        for earlier, later in pairwise(self.told):
            assert later.state == earlier.state or may_follow(earlier.state, later.state)
            if earlier.state.is_final:
                assert (later.state, later.detail) == (earlier.state, earlier.detail)

    @invariant()
    def something_is_left_to_do_unless_it_is_done(self) -> None:
        if not self.unit.wanted() and self.submitting is None:
            assert self.unit.is_released or self.unit.is_complete

    @invariant()
    def what_was_cancelled_is_not_sent_any_more(self) -> None:
        assert self.is_sent or not (self.unit.remote.local_cancelled and self.wants(Talk.SUBMIT))

    @invariant()
    def no_output_is_made_up(self) -> None:
        elsewhere = self.remote()
        assert elsewhere is None or self.unit.stdout_size <= elsewhere.output

    def teardown(self) -> None:
        """From now on everything goes well: the unit comes to its true end."""
        self.a_cut_is_noticed()
        for _ in range(50):
            self.work_begins()
            self.work_goes_on(grows=1, ends=State.SUCCEEDED)
            if self.is_sent:
                self.take_what_was_sent(is_answered=True)
            if self.submitting is not None:
                self.send_payload(arrives=True, is_answered=True)
            for talk in self.unit.wanted():
                if self.wants(talk):
                    self.hold_well(talk)
        assert self.unit.wanted() == frozenset()
        self.it_runs_at_most_once()
        self.states_move_forward_and_an_end_is_final()
        assert self.unit.is_released or self.unit.is_complete
        is_wanted = not (self.unit.remote.local_cancelled or self.expired or self.refused)
        if is_wanted:
            assert self.ran == 1, "never lost"
        for unit_id, elsewhere in self.units.items() if not self.unit.is_released else ():
            if unit_id == self.unit.remote.remote_unit_id:
                assert outcome(self.unit) == (elsewhere.state, elsewhere.detail)
                assert self.unit.stdout_size == elsewhere.output
            else:
                assert not elsewhere.ran, "what is given up does not run"
        if self.at_once and not (self.unit.remote.remote_started or self.unit.forced):
            assert not self.units, "nothing is kept of what is not wanted"
        if not self.forgotten:
            assert self.unit.status.detail != REMOTE_IS_GONE

    def hold_well(self, talk: Talk) -> None:
        match talk:
            case Talk.SUBMIT:
                self.send_at_once() if self.at_once else self.submit("made")
            case Talk.FIND:
                self.find(is_reached=True)
            case Talk.CHECK:
                self.check(is_reached=True)
            case Talk.DISCARD:
                self.discard(arrives=True, is_answered=True)
            case Talk.FOLLOW:
                self.follow(is_reached=True)
            case Talk.FETCH:
                self.fetch(size=1000)
            case Talk.CANCEL:
                self.tell_to_cancel(arrives=True, is_answered=True)
            case Talk.RELEASE:
                self.tell_to_release(arrives=True, is_answered=True)


def test_any_life() -> None:
    run_state_machine_as_test(Life, settings=settings(max_examples=200, stateful_step_count=50, deadline=None))
