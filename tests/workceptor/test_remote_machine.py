"""A remote unit against a model of the other node, with crashes of both, and submissions that arrive late or twice.

Where test_remote.py has one connection at a time that breaks at once, here what was sent may still arrive after this
node has given its connection up, or has crashed before it saved what it had just learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise, product

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from receptor.workceptor.remote import FIRST_PAUSE, LONGEST_PAUSE, REMOTE_IS_GONE, RemoteUnit, Talk
from receptor.workceptor.status import STARTING, RemoteExtra, State, Status, decode_status, encode_status, may_follow

EXPIRATION = "2026-11-23T12:00:00Z"
WAITING = "Waiting for Input Data"
GIVEN_UP = ("bar refused", "Work unit expired")
CUT_OFF = "Error reading input data: the stream was reset"

MOSTLY = st.sampled_from([True, True, True, False])
CRASHES = st.sampled_from([False, False, False, False, False, False, True])


@dataclass
class FarUnit:
    """A unit on the other node."""

    unit_id: str
    state: State = State.PENDING
    detail: str = WAITING
    began: bool = False
    can_start: bool = True
    output: int = 0
    receiver: Line | None = None

    @property
    def waits(self) -> bool:
        return self.state is State.PENDING and not self.began

    @property
    def is_running(self) -> bool:
        return self.state is State.RUNNING

    def end(self, state: State, detail: str) -> None:
        self.state, self.detail, self.receiver = state, detail, None

    @property
    def status(self) -> Status:
        return Status(state=self.state, detail=self.detail, stdout_size=self.output, work_type="echo")


@dataclass(eq=False)
class Line:
    """A connection on which the unit was submitted; the two ends may disagree on whether it still exists."""

    unit: FarUnit
    is_held_here: bool = True
    is_whole: bool = False
    """All of the payload and its end have been sent, and may arrive."""


@dataclass(eq=False)
class Message:
    """A submission with its payload, on its way."""

    is_held_here: bool = True
    arrives_by: float = float("inf")
    """When it has arrived or is lost, once this node has given it up."""

    def give_up(self, now: float) -> None:
        if self.is_held_here:
            self.is_held_here, self.arrives_by = False, now + FIRST_PAUSE


@dataclass
class FarNode:
    """The other node: one of ours, perhaps one that takes numbered commands, or one that knows no idempotency keys."""

    knows_keys: bool
    is_multiplexed: bool = False
    is_full: bool = False
    refuses: bool = False
    units: dict[str, FarUnit] = field(default_factory=dict)
    made: int = 0
    runs: int = 0

    def submit(self) -> Line:
        """Take a submission; all have the same key."""
        unit = next(iter(self.units.values()), None) if self.knows_keys else None
        line = Line(unit or self.make())
        unit = line.unit
        if unit.waits:
            unit.receiver = line
        return line

    def make(self) -> FarUnit:
        self.made += 1
        unit = FarUnit(f"there{self.made:03}")
        self.units[unit.unit_id] = unit
        return unit

    def submit_at_once(self) -> FarUnit | None:
        """Take a submission whose payload is with it; None if there is no room now."""
        unit = next(iter(self.units.values()), None)
        if unit is not None and not unit.waits:
            return unit
        self.units.clear()
        if self.is_full:
            return None
        unit = self.make()
        unit.can_start = not self.refuses
        if unit.can_start:
            self.start(unit)
        else:
            unit.end(State.FAILED, "no such program")
        return unit

    def payload_arrives(self, line: Line) -> None:
        unit = line.unit
        if unit.receiver is line and unit.unit_id in self.units and unit.waits:
            self.start(unit)

    def start(self, unit: FarUnit) -> None:
        unit.state, unit.detail, unit.began, unit.receiver = State.RUNNING, "Running: PID 7", True, None
        self.runs += 1

    def notice_cut(self, line: Line) -> None:
        """No more of the payload will come over this line."""
        unit = line.unit
        if unit.receiver is line and unit.waits:
            if self.knows_keys:
                self.units.pop(unit.unit_id, None)
            else:
                unit.end(State.FAILED, CUT_OFF)

    def release(self, unit_id: str) -> None:
        self.units.pop(unit_id, None)


class BothNodes(RuleBasedStateMachine):
    """Rules are what may happen at any time; ``disk`` is what a crash of this node leaves of the unit."""

    def __init__(self) -> None:
        super().__init__()
        extra = RemoteExtra(remote_node="bar", remote_work_type="echo", expiration=EXPIRATION)
        self.disk = Status(state=State.PENDING, detail="Unit Created", stdout_size=0, work_type="remote", extra=extra)
        self.stdout = 0
        self.unit = RemoteUnit(self.disk, self.stdout)
        # As soon as the payload is on disk, nothing is sent before.
        self.disk = self.unit.status = msgspec.structs.replace(self.disk, detail=STARTING)
        self.far = FarNode(knows_keys=True)
        self.lines: list[Line] = []
        self.messages: list[Message] = []
        """Those that are held here or may still arrive, in their order."""
        self.may_be_there = False
        """Whether this node can't know that the other has nothing of the work."""
        self.saved = [self.disk]
        self.trouble = ""
        self.is_removed = self.is_forgotten = False
        self.now = 0.0
        self.age = 0
        """How many conversations there were."""
        self.trouble_begins = 0

    @initialize(
        kind=st.sampled_from(["existing", "ours of yesterday", "ours", "ours"]),
        trouble=st.sampled_from(["", "cancel", "cancel", "release", "expire", "refuse", "forget"]),
        trouble_begins=st.integers(0, 9),
    )
    def begin(self, kind: str, trouble: str, trouble_begins: int) -> None:
        self.far.knows_keys, self.far.is_multiplexed = kind != "existing", kind == "ours"
        self.trouble, self.trouble_begins = trouble, trouble_begins

    # What may happen. Few rules, for hypothesis leaves out some of them in each life.

    @rule(steps=st.lists(st.tuples(st.integers(0, 2), MOSTLY, MOSTLY, CRASHES), min_size=1, max_size=4))
    def nodes_talk(self, steps: list[tuple[int, bool, bool, bool]]) -> None:
        """Conversations that are wanted take their next steps."""
        for which, arrives, is_answered, crash in steps:
            talks = [talk for talk in Talk if self.wants(talk)]
            if talks:
                self.age += 1
                self.hold(talks[which % len(talks)], arrives, is_answered, crash)
                if self.age == self.trouble_begins:
                    self.trouble_comes(force=False)
                self.it_runs_at_most_once()
                self.what_is_over_or_began_is_not_submitted()

    @rule(what=st.sampled_from(["payloads arrive", "payloads arrive", "messages arrive", "cuts are noticed"]))
    def the_network_moves(self, what: str) -> None:
        match what:
            case "payloads arrive":
                self.payloads_arrive()
            case "messages arrive":
                self.given_up_messages_end(arrive=True)
            case _:
                self.cuts_are_noticed()

    @rule(grows=st.integers(0, 3), ends=st.sampled_from([None, State.SUCCEEDED, State.FAILED]))
    def work_goes_on(self, grows: int, ends: State | None) -> None:
        for unit in self.far.units.values():
            if unit.is_running:
                unit.output += grows
                if ends is not None:
                    unit.end(ends, f"exit status {int(ends is State.FAILED)}")

    @rule(what=st.sampled_from(["crash", "crash there", "update there", "route found", "no room there", "room there"]))
    def something_befalls_a_node(self, what: str) -> None:
        match what:
            case "crash":
                self.crash()
            case "crash there":
                self.restart_the_other_node()
            case "update there":
                self.restart_the_other_node()
                self.far.is_multiplexed = self.far.knows_keys
            case "route found":
                self.unit.route_found()
                assert all(self.unit.not_before(talk) <= self.now for talk in Talk if talk is not Talk.FIND)
                assert self.unit.not_before(Talk.FIND) <= self.now + FIRST_PAUSE
            case _:
                self.far.is_full = what == "no room there"

    @precondition(lambda self: self.age > self.trouble_begins)
    @rule(force=st.booleans(), crash=CRASHES)
    def trouble_comes_again(self, force: bool, crash: bool) -> None:
        self.trouble_comes(force, crash)

    def trouble_comes(self, force: bool, crash: bool = False) -> None:
        if self.is_removed:
            return
        match self.trouble:
            case "cancel":
                self.unit.cancel()
            case "release":
                self.unit.release(force)
            case "expire":
                self.unit.expire()
            case "forget" if self.disk_remote.remote_started:
                self.is_forgotten = True
                self.far.release(self.unit.remote.remote_unit_id)
        if not self.may_be_there and self.trouble in ("cancel", "release"):
            assert not self.unit.wanted(), "over at once, without the other node"
            assert self.unit.is_released or self.unit.status.state.is_final
        self.settle(crash)

    def hold(self, talk: Talk, arrives: bool = True, is_answered: bool = True, crash: bool = False) -> None:
        """A conversation after its pause, or the next step of the long one that submits."""
        self.now = max(self.now, self.unit.not_before(talk))
        match talk:
            case Talk.SUBMIT:
                self.go_on_submitting(arrives, is_answered, crash)
            case Talk.FIND:
                self.find(arrives, is_answered, crash)
            case Talk.CHECK:
                self.check(is_answered, crash)
            case Talk.DISCARD:
                self.discard(arrives, is_answered, crash)
            case Talk.FOLLOW:
                self.follow(arrives, is_answered, crash)
            case Talk.FETCH:
                self.fetch(3 if arrives else 1, crash)
            case Talk.CANCEL:
                self.tell_to_cancel(arrives, is_answered, crash)
            case Talk.RELEASE:
                self.tell_to_release(arrives, is_answered, crash)

    # What the shell does

    def wants(self, talk: Talk) -> bool:
        return not self.is_removed and talk in self.unit.wanted()

    @property
    def held(self) -> Line | None:
        """The submission that is under way, as this node sees it."""
        return next((line for line in self.lines if line.is_held_here), None)

    @property
    def sent(self) -> Message | None:
        """The submission whose answer this node waits for."""
        return next((message for message in self.messages if message.is_held_here), None)

    @property
    def far_unit(self) -> FarUnit | None:
        return self.far.units.get(self.unit.remote.remote_unit_id)

    def settle(self, crash: bool = False) -> None:
        """Save and go on; or crash before anything is saved."""
        if crash:
            self.crash()
            return
        if not self.wants(Talk.SUBMIT):
            self.give_up_submission()
        if self.unit.is_released:
            self.is_removed = True
        elif self.unit.status != self.disk:
            self.disk = decode_status(encode_status(self.unit.status))
            self.saved.append(self.disk)

    def give_up_submission(self) -> None:
        if self.held is not None:
            self.held.is_held_here = False
        if self.sent is not None:
            self.sent.give_up(self.now)

    def fail(self, talk: Talk, crash: bool = False, reason: str = "the work waits for a way to bar") -> None:
        if talk is Talk.SUBMIT:
            self.give_up_submission()
            self.unit.postponed(reason)
            self.unit.submission_broke_off(self.now)
        self.unit.failed(talk, self.now)
        assert self.now < self.unit.not_before(talk) <= self.now + LONGEST_PAUSE
        self.settle(crash)

    def crash(self) -> None:
        """This node dies and starts again: only what is on disk counts."""
        if self.is_removed:
            return
        self.give_up_submission()
        self.now += FIRST_PAUSE
        self.unit = RemoteUnit(self.disk, self.stdout)
        # Who dies before the first try can't know that nothing was sent.
        self.may_be_there = self.may_be_there or self.disk.detail == STARTING
        self.settle()

    # Submissions

    def go_on_submitting(self, arrives: bool, is_answered: bool, crash: bool) -> None:
        if self.sent is not None:
            self.hear_of_message(self.sent, arrives, is_answered, crash)
        elif self.held is None:
            self.submit(arrives, is_answered, crash)
        elif not is_answered:
            self.fail(Talk.SUBMIT, crash)
        elif self.held.is_whole and self.held.unit.began:
            self.held.is_held_here = False
            self.unit.submitted()
            self.settle(crash)
        else:
            self.held.is_whole = True
            if arrives:
                self.far.payload_arrives(self.held)

    def submit(self, arrives: bool, is_answered: bool, crash: bool) -> None:
        if not arrives:
            self.fail(Talk.SUBMIT, crash)
            return
        self.far.refuses = self.trouble == "refuse" and self.age >= self.trouble_begins
        if self.far.is_multiplexed:
            self.unit.sending()
            self.settle(crash)
            if not crash:
                self.may_be_there = True
                self.messages.append(Message())
            return
        if self.far.refuses:
            self.unit.refused("bar refused the work")
            self.settle(crash)
            return
        line = self.far.submit()
        self.lines.append(line)
        self.may_be_there = True
        if is_answered:
            self.unit.remote_unit_made(line.unit.unit_id)
            self.settle(crash)
        else:
            line.is_held_here = False
            self.fail(Talk.SUBMIT, crash)

    def hear_of_message(self, message: Message, arrives: bool, is_answered: bool, crash: bool) -> None:
        if not arrives:
            self.fail(Talk.SUBMIT, crash)
            return
        self.given_up_messages_end(arrive=True)
        self.messages.remove(message)
        unit = self.far.submit_at_once()
        if not is_answered:
            self.fail(Talk.SUBMIT, crash)
        elif unit is None:
            self.may_be_there = crash
            self.unit.put_off("bar does not take the work yet")
            self.fail(Talk.SUBMIT, crash, "bar does not take the work yet")
        else:
            if unit.can_start:
                self.unit.remote_unit_made(unit.unit_id)
                self.unit.submitted()
            else:
                self.unit.refused("bar refused the work")
            self.settle(crash)

    def given_up_messages_end(self, arrive: bool) -> None:
        """What was given up and may still arrive does so, or never will."""
        for message in [message for message in self.messages if not message.is_held_here]:
            self.messages.remove(message)
            if arrive:
                self.far.submit_at_once()

    def payloads_arrive(self) -> None:
        for line in self.lines:
            if line.is_whole:
                self.far.payload_arrives(line)

    def cuts_are_noticed(self) -> None:
        """What was on its way over lines that this node has given up is lost."""
        for line in self.lines:
            if not line.is_held_here:
                self.far.notice_cut(line)
        self.lines = [line for line in self.lines if line.is_held_here]

    # Other conversations

    def find(self, arrives: bool, is_answered: bool, crash: bool) -> None:
        if all(message.arrives_by <= self.now for message in self.messages):
            self.given_up_messages_end(arrives)
        if not is_answered:
            self.fail(Talk.FIND, crash)
            return
        found = next(iter(self.far.units), None) if self.far.is_multiplexed else None
        if found is None:
            self.may_be_there = crash
            self.unit.not_found()
        else:
            self.unit.found(found)
        self.settle(crash)

    def check(self, is_answered: bool, crash: bool) -> None:
        found = self.far_unit
        if not is_answered:
            self.fail(Talk.CHECK, crash)
        elif found is None:
            self.nothing_is_left(crash)
        elif self.unit.checked(found.status, self.far.knows_keys):
            self.settle(crash)
        else:
            # For nodes without keys the pauses are what makes sure that nothing is on its way at the last check.
            self.payloads_arrive()
            self.fail(Talk.CHECK, crash)

    def discard(self, arrives: bool, is_answered: bool, crash: bool) -> None:
        if arrives:
            self.far.release(self.unit.remote.remote_unit_id)
        if arrives and is_answered:
            self.nothing_is_left(crash)
        else:
            self.fail(Talk.DISCARD, crash)

    def nothing_is_left(self, crash: bool) -> None:
        self.may_be_there = crash
        self.unit.discarded()
        self.settle(crash)

    def follow(self, brings_output: bool, is_answered: bool, crash: bool) -> None:
        found = self.far_unit
        if not is_answered:
            self.fail(Talk.FOLLOW, crash)
        elif found is None:
            self.unit.remote_is_gone()
            self.settle(crash)
        else:
            if brings_output and self.far.is_multiplexed:
                size = min(2, found.output - self.stdout)
                self.stdout += size
                self.unit.output_received(self.stdout)
            self.unit.status_received(found.status)
            self.unit.succeeded(Talk.FOLLOW)
            self.settle(crash)

    def fetch(self, most: int, crash: bool) -> None:
        found = self.far_unit
        if found is None:
            self.unit.remote_is_gone()
            self.settle(crash)
            return
        self.unit.stdout_size = self.stdout
        size = min(most, found.output - self.stdout)
        self.stdout += size
        if not crash:
            self.unit.output_received(self.stdout)
        self.settle(crash)

    def tell_to_cancel(self, arrives: bool, is_answered: bool, crash: bool) -> None:
        found = self.far_unit
        if arrives and found is not None and not found.state.is_final:
            found.end(State.CANCELED, "Canceled")
        if arrives and is_answered:
            self.unit.cancel_heard()
            self.settle(crash)
        else:
            self.fail(Talk.CANCEL, crash)

    def tell_to_release(self, arrives: bool, is_answered: bool, crash: bool) -> None:
        if arrives:
            self.far.release(self.unit.remote.remote_unit_id)
        if arrives and is_answered:
            self.unit.release_heard()
            self.settle(crash)
        else:
            self.fail(Talk.RELEASE, crash)

    # The other node

    def some_run(self) -> bool:
        return any(unit.is_running for unit in self.far.units.values())

    def restart_the_other_node(self) -> None:
        if self.held is not None or self.sent is not None:
            self.fail(Talk.SUBMIT)
        self.given_up_messages_end(arrive=False)
        self.cuts_are_noticed()

    @property
    def disk_remote(self) -> RemoteExtra:
        return RemoteUnit(self.disk, self.stdout).remote

    # What always holds

    @invariant()
    def it_runs_at_most_once(self) -> None:
        assert self.far.runs <= 1

    @invariant()
    def saved_states_move_forward_and_the_end_is_written_once(self) -> None:
        for earlier, later in pairwise(self.saved):
            assert later.state == earlier.state or may_follow(earlier.state, later.state)
            if earlier.state.is_final:
                assert (later.state, later.detail) == (earlier.state, earlier.detail)

    @invariant()
    def nothing_is_wanted_of_what_is_released(self) -> None:
        assert not (self.unit.is_released and self.unit.wanted())
        if self.unit.remote.local_released:
            assert self.unit.wanted() <= {Talk.SUBMIT, Talk.FIND, Talk.RELEASE}

    @invariant()
    def what_is_over_or_began_is_not_submitted(self) -> None:
        remote = self.unit.remote
        if remote.remote_started or remote.local_cancelled or self.unit.status.state.is_final:
            # What is being sent can't be taken back: its answer tells how to end it.
            assert self.sent is not None or not self.wants(Talk.SUBMIT)

    @invariant()
    def somebody_has_to_do_something_until_it_is_done(self) -> None:
        if not self.unit.wanted():
            assert self.is_removed or self.unit.is_complete

    @invariant()
    def orders_are_kept(self) -> None:
        """A restart remembers what the user said, and which unit of the other node it concerns."""
        if not self.is_removed:
            again = RemoteUnit(self.disk, self.stdout)
            assert again.remote == self.unit.remote
            assert again.status == self.unit.status
            assert again.is_complete == self.unit.is_complete
            assert bool(again.wanted()) == bool(self.unit.wanted())

    # The end

    def teardown(self) -> None:
        """From now on everything goes well: the unit comes to its true end."""
        self.far.is_full = False
        for _ in range(60):
            self.cuts_are_noticed()
            # What was cancelled ends by that, or not at all.
            self.work_goes_on(grows=1, ends=None if self.unit.remote.local_cancelled else State.SUCCEEDED)
            self.payloads_arrive()
            for talk in Talk:
                if self.wants(talk):
                    self.hold(talk)
            if not self.unit.wanted():
                break
        self.given_up_messages_end(arrive=True)
        self.it_runs_at_most_once()
        self.saved_states_move_forward_and_the_end_is_written_once()
        # Only who forces a release puts up with that.
        assert self.unit.forced or not self.some_run(), "nothing runs on without anybody to know"
        if self.unit.remote.local_released:
            assert self.is_removed, "a release ends when the other node can be reached"
        if self.far.knows_keys and not (self.unit.forced or self.unit.remote.remote_started):
            assert not self.far.units, "nothing is kept of what is not wanted"
        if self.is_removed:
            assert self.unit.forced or not (self.far.knows_keys and self.far.units)
            return
        assert self.unit.wanted() == frozenset()
        assert self.unit.is_complete
        is_wanted = not (self.unit.remote.local_cancelled or self.disk.detail.startswith(GIVEN_UP))
        if is_wanted:
            assert self.far.runs == 1, "never lost"
        found = self.far_unit
        if found is not None:
            status = msgspec.structs.replace(self.disk, extra=None, work_type="echo")
            assert status == found.status
            assert self.stdout == found.output
        else:
            assert self.is_forgotten or not is_wanted
        if not self.is_forgotten:
            assert self.disk.detail != REMOTE_IS_GONE


def talk(both: BothNodes, arrives: bool = True, is_answered: bool = True) -> None:
    for wanted in [wanted for wanted in Talk if both.wants(wanted)][:1]:
        both.hold(wanted, arrives, is_answered)


def order(both: BothNodes, trouble: str, force: bool = False) -> None:
    both.trouble = trouble
    both.trouble_comes(force)


EVENTS: dict[str, Callable[[BothNodes], None]] = {
    "the talk goes well": talk,
    "the answer is lost": lambda both: talk(both, is_answered=False),
    "all is lost, or late": lambda both: talk(both, arrives=False, is_answered=False),
    "this node dies": BothNodes.crash,
    "there is a route": lambda both: both.unit.route_found(),
    "there is no room": lambda both: setattr(both.far, "is_full", True),
    "cancel": lambda both: order(both, "cancel"),
    "release": lambda both: order(both, "release"),
    "expire": lambda both: order(both, "expire"),
}


@pytest.mark.parametrize("trouble", ["", "refuse"])
def test_all_that_may_happen_when_the_work_is_sent_at_once(trouble: str) -> None:
    """Whatever four things happen from when the work is on its way with its payload."""
    for events in product(EVENTS, repeat=4):
        both = BothNodes()
        both.begin(kind="ours", trouble=trouble, trouble_begins=0)
        talk(both)
        try:
            for event in events:
                EVENTS[event](both)
                both.it_runs_at_most_once()
                both.what_is_over_or_began_is_not_submitted()
                both.somebody_has_to_do_something_until_it_is_done()
            both.teardown()
        except AssertionError as error:
            raise AssertionError(f"{error} - after: {', '.join(events)}") from error


def test_whatever_dies_in_between() -> None:
    limits = settings(
        max_examples=150,
        stateful_step_count=40,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(BothNodes, settings=limits)
