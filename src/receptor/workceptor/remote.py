"""What a unit that runs on another node needs next: pure logic, without I/O and clock (work-units, "Remote units").

The logic is level-triggered: from the status on disk, the size of the local stdout and what has been tried
follows which conversations with the other node are wanted now. So a restart of this node needs no special
case: the same record wants the same conversations. The shell holds the wanted conversations, one of a kind,
reports how each ends, and asks again.
"""

from __future__ import annotations

import enum

import msgspec

from receptor.netceptor.messages import format_time, parse_time
from receptor.workceptor.conversations import never_got_its_payload
from receptor.workceptor.status import NO_EXPIRATION, STARTING, RemoteExtra, State, Status, may_follow

FIRST_PAUSE = 1.0
PAUSE_GROWTH = 1.5
LONGEST_PAUSE = 60.0
CHECKS = 4
"""How often a unit must be found waiting for its payload, or its output short, until the rest is given up."""

LOCALLY_CANCELLED = "Locally Cancelled"
REMOTE_IS_GONE = "Remote work unit is gone"


class Talk(enum.Enum):
    """A kind of conversation with the other node."""

    SUBMIT = "submit"
    FIND = "find"
    """Look whether a submission of which nothing was heard has reached the other node: it is not to run any more."""
    CHECK = "check"
    """Look whether a submission that broke off has reached the other node whole."""
    DISCARD = "discard"
    """Release a remote unit that got only part of its payload, or is no longer to run."""
    FOLLOW = "follow"
    """Copy the status until it is final."""
    FETCH = "fetch"
    """Copy the output."""
    CANCEL = "cancel"
    RELEASE = "release"


class _Retry(msgspec.Struct):
    pause: float = FIRST_PAUSE
    not_before: float = 0.0


class RemoteUnit:
    """The logic of one remote unit.

    ``status`` is the unit's own status; whenever it has changed, the shell saves it before it does anything else.
    """

    def __init__(self, status: Status, stdout_size: int) -> None:
        assert isinstance(status.extra, RemoteExtra)
        self.status = status
        self.stdout_size = stdout_size
        self.forced = False
        is_starting = status.state is State.PENDING and status.detail.startswith(STARTING)
        self._may_be_there = self.remote.remote_unit_id == "" and (is_starting or self.remote.may_be_there is True)
        """Whether the other node may have the work without our knowing its unit."""
        self._is_sending = False
        self.find_from = float("-inf")
        """Until then what was sent, and not answered, may still arrive at the other node."""
        self.is_released = self.remote.local_released and not self._may_have_unit
        self._must_check = self.remote.remote_unit_id != "" and not self.remote.remote_started
        self._must_discard = False
        self.is_output_told = True
        """Whether the question for the status that was asked last is answered when there is more output."""
        self._found_waiting = 0
        self._found_short = 0
        self._cancel_heard = False
        self._retries: dict[Talk, _Retry] = {}

    @property
    def remote(self) -> RemoteExtra:
        """The part of the status that tells of the other node."""
        assert isinstance(self.status.extra, RemoteExtra)
        return self.status.extra

    @property
    def _may_have_unit(self) -> bool:
        """Whether there may be a unit of this work on the other node."""
        return self.remote.remote_unit_id != "" or self._may_be_there

    # What is wanted

    def wanted(self) -> frozenset[Talk]:
        """The conversations to hold now or, if they failed lately, after their pause."""
        if self.is_released:
            return frozenset()
        is_unwanted = self.remote.local_cancelled or self.remote.local_released or self.status.state.is_final
        if is_unwanted and self._may_be_there:
            return frozenset({Talk.SUBMIT if self._is_sending else Talk.FIND})
        if self.remote.local_released:
            return frozenset({Talk.RELEASE})
        if not self.remote.remote_started:
            return self._wanted_before_start()
        wanted = set()
        if self.is_cancel_pending:
            wanted.add(Talk.CANCEL)
        if not self.status.state.is_final:
            wanted.add(Talk.FOLLOW)
        if self.status.stdout_size > self.stdout_size or not (self.is_output_told or self.status.state.is_final):
            wanted.add(Talk.FETCH)
        return frozenset(wanted)

    def _wanted_before_start(self) -> frozenset[Talk]:
        if self.status.state.is_final:
            # What the other node has of it must not begin to run any more.
            return frozenset({Talk.DISCARD} if self.remote.remote_unit_id else ())
        if self._must_discard:
            return frozenset({Talk.DISCARD})
        return frozenset({Talk.CHECK if self._must_check else Talk.SUBMIT})

    def not_before(self, talk: Talk) -> float:
        """When a conversation may be held again after its last failure."""
        not_before = self._retries[talk].not_before if talk in self._retries else float("-inf")
        return max(not_before, self.find_from) if talk is Talk.FIND and not self.forced else not_before

    @property
    def is_cancel_pending(self) -> bool:
        """Whether the unit is to be cancelled, and the other node hasn't taken the order yet."""
        return self.remote.local_cancelled and not (self._cancel_heard or self.status.state.is_final)

    @property
    def is_complete(self) -> bool:
        """Whether the status is final and all output is here."""
        return self.status.state.is_final and (
            self.stdout_size >= self.status.stdout_size or not self.remote.remote_started
        )

    @property
    def expires_at(self) -> int | None:
        """Unix nanoseconds until which the unit may wait for its start; None if for ever or started."""
        if self.remote.expiration == NO_EXPIRATION or self.remote.remote_started or self.status.state.is_final:
            return None
        return parse_time(self.remote.expiration)

    # What the conversations tell

    def sending(self) -> None:
        """The work is about to be sent with its payload; without an answer we don't know what became of it.

        The other node may go on with the unit that we know, or make another in its stead.
        """
        self._may_be_there = self._is_sending = True
        self._change_remote(remote_unit_id="")
        if not self.status.detail.startswith(STARTING):
            self.status = msgspec.structs.replace(self.status, detail=STARTING)

    def remote_unit_made(self, unit_id: str) -> None:
        """The other node has made the unit; its payload is on the way."""
        self._may_be_there = self._is_sending = False
        self._change_remote(remote_unit_id=unit_id, may_be_there=msgspec.UNSET)

    def submitted(self) -> None:
        """The other node has the whole payload and has started the unit; too late if it had to end meanwhile."""
        self._must_check = False
        if not self.status.state.is_final:
            self._change_remote(remote_started=True)

    def submission_broke_off(self, now: float) -> None:
        """The connection was lost during a submission: if a unit was made, see first what became of it."""
        self._must_check = self.remote.remote_unit_id != ""
        self._is_sending = False
        self.find_from = now + FIRST_PAUSE  # What is on its way to the other node arrives before we look for it.

    def found(self, unit_id: str) -> None:
        """The other node has made a unit of the work that is not wanted any more."""
        self.remote_unit_made(unit_id)
        self._must_check = True

    def not_found(self) -> None:
        """The other node has nothing of the work that is not wanted any more."""
        self._nothing_is_there()

    def checked(self, remote: Status, knows_key: bool) -> bool:
        """What became of a unit whose submission broke off; ``knows_key`` if the other node has our key with it.

        Returns False if that does not tell enough yet: check again after a pause.
        """
        if not never_got_its_payload(remote):
            self.submitted()
            return True
        if knows_key and not self.remote.local_cancelled:
            # The same submission made again goes on with this very unit, whatever is still on its way.
            self._must_check = False
            return True
        self._found_waiting += 1
        self._must_discard = remote.state.is_final or self.remote.local_cancelled or self._found_waiting >= CHECKS
        return self._must_discard

    def discarded(self) -> None:
        """The other node has nothing of the unit any more: submit the work anew, if it is still wanted."""
        self._must_check = self._must_discard = False
        self._found_waiting = 0
        self._change_remote(remote_unit_id="")
        self._nothing_is_there()

    def postponed(self, reason: str) -> None:
        """The work could not be sent now, or the connection broke meanwhile."""
        if self.status.state is State.PENDING:
            detail = f"{STARTING}: {reason}" if self._may_be_there else reason
            self.status = msgspec.structs.replace(self.status, detail=detail)

    def put_off(self, reason: str) -> None:
        """The other node may want the work later."""
        self._nothing_is_there()
        self.postponed(reason)

    def refused(self, reason: str) -> None:
        """The other node does not want the work, or can't be trusted with it. It may keep a unit that has failed."""
        self._is_sending = False
        self._finish(State.FAILED, reason)

    def status_received(self, remote: Status) -> None:
        """The remote unit's status. Pending turns to Running when the other node reports it Running."""
        if may_follow(self.status.state, remote.state):
            self.status = msgspec.structs.replace(
                self.status, state=remote.state, detail=remote.detail, stdout_size=remote.stdout_size
            )

    def remote_is_gone(self) -> None:
        """The other node has forgotten the unit while it was followed."""
        self.status = msgspec.structs.replace(self.status, stdout_size=self.stdout_size)
        self._finish(State.FAILED, REMOTE_IS_GONE)

    def output_received(self, size: int) -> None:
        """So many bytes of the output are on disk here, at least."""
        self.stdout_size = max(self.stdout_size, size)

    def output_ended(self, start: int) -> bool:
        """The other node has ended the output, of which we had asked for what comes after that offset.

        Returns False if more must come: ask again after a pause. A node that lost a part of the output, with its power
        say, tells a size that is never reached; after some attempts what there is counts as all.
        """
        if self.is_complete or self.stdout_size > start:
            self._found_short = 0
        elif self.status.state.is_final and self._found_short >= CHECKS:
            self.status = msgspec.structs.replace(self.status, stdout_size=self.stdout_size)
        else:
            self._found_short += 1
            return False
        return True

    def cancel_heard(self) -> None:
        """The other node has taken the order to cancel."""
        self._cancel_heard = True

    def release_heard(self) -> None:
        """The other node has released its unit."""
        self.is_released = True

    def succeeded(self, talk: Talk) -> None:
        """A conversation went well: the next failure pauses briefly again."""
        self._retries.pop(talk, None)

    def failed(self, talk: Talk, now: float) -> None:
        """A conversation could not be held, or broke: try again after a growing pause; force-release does not."""
        if talk in (Talk.RELEASE, Talk.FIND) and self.forced:
            self.is_released = True
        retry = self._retries.setdefault(talk, _Retry())
        retry.not_before = now + retry.pause
        retry.pause = min(retry.pause * PAUSE_GROWTH, LONGEST_PAUSE)

    def route_found(self) -> None:
        """The other node has come into reach: no need to wait any longer."""
        self._retries.clear()

    # What the user tells

    def cancel(self) -> None:
        """Stop the work; before anything of it reached the other node, it is over at once."""
        self._change_remote(local_cancelled=True)
        self._must_check = self.remote.remote_unit_id != "" and not self.remote.remote_started
        if not self._may_have_unit:
            self._finish(State.CANCELED, LOCALLY_CANCELLED)
        self._retries.clear()

    def release(self, force: bool) -> None:
        """Stop the work and delete it on both nodes; ``force`` gives up after one try to reach the other."""
        self._change_remote(local_cancelled=True, local_released=True)
        self.forced = self.forced or force
        self.is_released = self.is_released or not self._may_have_unit
        self._retries.clear()

    def expire(self) -> None:
        """The time to wait for the start is over."""
        if self.expires_at is not None:
            self._finish(State.FAILED, f"Work unit expired on {self.remote.expiration}")

    # Helpers

    def _nothing_is_there(self) -> None:
        """The other node has nothing of the work, and nothing is on its way there: what was cancelled is over."""
        self._may_be_there = self._is_sending = False
        self._change_remote(may_be_there=msgspec.UNSET)
        if self.remote.local_cancelled and not self._may_have_unit:
            self._finish(State.CANCELED, LOCALLY_CANCELLED)
        self.is_released = self.is_released or (self.remote.local_released and not self._may_have_unit)

    def _finish(self, state: State, detail: str) -> None:
        if may_follow(self.status.state, state):
            self.status = msgspec.structs.replace(self.status, state=state, detail=detail)
            if self._may_be_there:
                # The detail doesn't tell it any more.
                self._change_remote(may_be_there=True)

    def _change_remote(self, **changes: str | bool | msgspec.UnsetType) -> None:
        self.status = msgspec.structs.replace(self.status, extra=msgspec.structs.replace(self.remote, **changes))


def expiration_text(unix_time: float) -> str:
    """An expiration as the status holds it."""
    return format_time(int(unix_time * 1e9))
