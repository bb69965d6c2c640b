"""What a unit in a pod wants, told step by step."""

from __future__ import annotations

import msgspec
import pytest

from receptor.workceptor.pods.logic import ATTEMPTS, FIRST_PAUSE, GRACE, Deed, PodUnit
from receptor.workceptor.pods.pod import Pod
from receptor.workceptor.status import PodExtra, State, Status

CREATE, WATCH, SEND, FETCH, TALK, DELETE = Deed


def status(state: State = State.PENDING, detail: str = "", pod: str = "", timeout: str = "") -> Status:
    extra = PodExtra(kube_namespace="ours" if pod else "", pod_name=pod, pod_pending_timeout=timeout)
    return Status(state=state, detail=detail, stdout_size=0, work_type="pods", extra=extra)


def pod(phase: str, state: dict[str, object] | None = None, **more: object) -> Pod:
    containers = [{"name": "worker", "state": state}] if state else []
    whole = {"metadata": {}, "status": {"phase": phase, "containerStatuses": containers, **more}}
    return msgspec.convert(whole, Pod)


PENDING = pod("Pending")
RUNNING = pod("Running", {"running": {}})
ENDED = pod("Succeeded", {"terminated": {"exitCode": 0}})
FAILED = pod("Failed", {"terminated": {"exitCode": 7, "reason": "Error"}})
BACK_OFF = pod("Pending", {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})


def made(timeout: str = "") -> PodUnit:
    it = PodUnit(status(timeout=timeout), 0, uses_tcp=False)
    it.name_chosen("pod-1", "ours")
    it.made(0.0)
    return it


def running() -> PodUnit:
    it = made()
    it.pod_seen(RUNNING, 1.0)
    it.sent()
    return it


def outcome(it: PodUnit) -> tuple[State, str]:
    return it.status.state, it.status.detail


def test_a_whole_life() -> None:
    it = PodUnit(status(), 0, uses_tcp=False)
    assert it.wanted() == {CREATE}
    it.name_chosen("pod-1", "ours")
    assert it.pod == ("ours", "pod-1")
    assert it.wanted() == {CREATE}
    it.made(0.0)
    assert it.wanted() == {WATCH}
    it.pod_seen(PENDING, 1.0)
    assert it.wanted() == {WATCH}
    it.pod_seen(RUNNING, 2.0)
    assert it.wanted() == {WATCH, SEND, FETCH}
    it.sending()
    it.sent()
    assert outcome(it) == (State.RUNNING, "Pod Running")
    assert it.wanted() == {WATCH, FETCH}
    it.output_received(5)
    it.pod_seen(ENDED, 3.0)
    assert it.wanted() == {FETCH}
    assert not it.status.state.is_final
    it.output_ended(4.0, is_all=True)
    assert outcome(it) == (State.SUCCEEDED, "Finished")
    assert it.status.stdout_size == 5
    assert it.wanted() == frozenset()
    assert it.deadline() is None


def test_a_log_that_ends_before_the_worker_is_looked_into_at_its_end() -> None:
    it = running()
    it.output_ended(1.0, is_all=False)
    assert it.not_before(FETCH) == 1.0 + FIRST_PAUSE
    it.pod_seen(FAILED, 1.1)
    assert it.wanted() == {FETCH}
    assert it.not_before(FETCH) < 1.0
    it.output_ended(1.2, is_all=True)
    assert outcome(it) == (State.FAILED, "exit status 7")


def test_a_worker_that_never_ran_has_no_log() -> None:
    it = made()
    init = [{"name": "setup", "state": {"terminated": {"exitCode": 2, "message": "no disk"}}}]
    it.pod_seen(pod("Failed", initContainerStatuses=init), 1.0)
    assert outcome(it) == (State.FAILED, "init container setup: exit status 2: no disk")


class TestRecordsOnDisk:
    """A restart is no case of its own: the record wants what it wants."""

    def test_a_running_pod(self) -> None:
        it = PodUnit(status(State.RUNNING, pod="pod-1"), 100, uses_tcp=False)
        assert it.wanted() == {WATCH}
        it.pod_seen(RUNNING, 1.0)
        assert it.wanted() == {WATCH, FETCH}

    @pytest.mark.parametrize(
        ("detail", "deed"),
        [
            ("Connecting to Kubernetes", CREATE),
            ("Error creating pod, trying again: no answer", CREATE),
            ("Pod created", WATCH),
            ("Pod pending: Unschedulable", WATCH),
            ("Sending stdin to pod", WATCH),
        ],
    )
    def test_a_pod_that_was_made_perhaps(self, detail: str, deed: Deed) -> None:
        assert PodUnit(status(detail=detail, pod="pod-1"), 0, uses_tcp=False).wanted() == {deed}

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELED])
    def test_what_is_over(self, state: State) -> None:
        it = PodUnit(status(state, pod="pod-1"), 0, uses_tcp=False)
        assert it.wanted() == frozenset()
        it.release()
        assert it.wanted() == {DELETE}


class TestOrders:
    def test_a_cancel_without_a_pod_is_at_once(self) -> None:
        it = PodUnit(status(), 0, uses_tcp=False)
        it.cancel()
        assert outcome(it) == (State.CANCELED, "Canceled")
        assert it.wanted() == frozenset()

    def test_a_cancel_while_the_pod_is_being_made_waits_for_that(self) -> None:
        it = PodUnit(status(), 0, uses_tcp=False)
        it.name_chosen("pod-1", "ours")
        it.is_making = True
        it.cancel()
        assert it.wanted() == {CREATE}
        it.is_making = False
        it.made(1.0)
        assert it.wanted() == {DELETE}
        it.deleted()
        assert outcome(it) == (State.CANCELED, "Canceled")
        assert it.wanted() == frozenset()

    def test_an_end_after_the_order_does_not_count(self) -> None:
        it = running()
        it.cancel()
        it.pod_seen(ENDED, 2.0)
        it.output_ended(2.0, is_all=True)
        it.pod_gone()
        assert outcome(it) == (State.CANCELED, "Canceled")

    def test_a_deletion_that_is_refused_is_given_up_until_the_next_order(self) -> None:
        it = running()
        it.release()
        for attempt in range(ATTEMPTS):
            assert it.wanted() == {DELETE}
            it.failed(DELETE, "no", float(attempt), is_refused=True)
            assert it.delete_problem == "no"
        assert it.wanted() == frozenset()
        it.release()
        assert it.wanted() == {DELETE}


class TestFailures:
    def test_pauses_grow_and_a_success_ends_that(self) -> None:
        it = running()
        pauses = []
        for _ in range(20):
            it.failed(WATCH, "gone", 100.0, is_refused=False)
            pauses.append(it.not_before(WATCH) - 100.0)
        assert pauses == sorted(pauses)
        assert (pauses[0], pauses[-1]) == (FIRST_PAUSE, 60.0)
        assert it.wanted() == {WATCH, FETCH}, "what does not answer is asked for ever"
        it.succeeded(WATCH)
        assert it.not_before(WATCH) < 0

    def test_what_is_refused_again_and_again_ends_the_unit_and_its_pod(self) -> None:
        it = running()
        for _ in range(ATTEMPTS):
            assert it.status.state is State.RUNNING
            it.failed(FETCH, "forbidden", 1.0, is_refused=True)
        assert outcome(it) == (State.FAILED, "can't fetch the log of pod pod-1: forbidden")
        assert it.wanted() == {DELETE}

    def test_a_pod_that_is_refused_needs_no_deletion(self) -> None:
        it = PodUnit(status(), 0, uses_tcp=False)
        it.name_chosen("pod-1", "ours")
        it.failed(CREATE, "exceeded quota", 1.0, is_refused=True)
        assert outcome(it) == (State.FAILED, "Error creating pod: exceeded quota")
        assert it.wanted() == frozenset()

    def test_a_pod_that_may_have_been_made_does(self) -> None:
        it = PodUnit(status(), 0, uses_tcp=False)
        it.name_chosen("pod-1", "ours")
        for _ in range(ATTEMPTS):
            it.failed(CREATE, "no answer", 1.0, is_refused=False)
        assert it.wanted() == {DELETE}

    def test_back_off_is_counted_by_how_often_it_begins(self) -> None:
        it = made()
        for _ in range(3):
            it.pod_seen(BACK_OFF, 1.0)
            it.pod_seen(BACK_OFF, 1.0)
            it.pod_seen(PENDING, 1.0)
        assert it.wanted() == {WATCH}
        it.pod_seen(BACK_OFF, 1.0)
        assert outcome(it) == (State.FAILED, "Error creating pod: ImagePullBackOff: no such image")
        assert it.wanted() == {DELETE}

    def test_a_broken_stdin_counts_only_if_the_worker_goes_on(self) -> None:
        it = made()
        it.pod_seen(RUNNING, 1.0)
        it.sending()
        it.broke("it broke", 2.0)
        assert it.wanted() == {WATCH, FETCH}
        assert it.deadline() == 2.0 + GRACE
        it.pod_seen(ENDED, 3.0)
        assert it.deadline() is None
        it.output_ended(3.0, is_all=True)
        assert outcome(it) == (State.SUCCEEDED, "Finished")

    def test_else_the_unit_fails(self) -> None:
        it = made()
        it.pod_seen(RUNNING, 1.0)
        it.broke("it broke", 2.0)
        it.tick(2.0 + GRACE)
        assert outcome(it) == (State.FAILED, "it broke")
        assert it.wanted() == {DELETE}

    def test_waiting_has_an_end_if_one_was_asked_for(self) -> None:
        it = made(timeout="1m30s")
        it.pod_seen(pod("Pending", conditions=[
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"},
        ]), 1.0)  # fmt: skip
        assert it.status.detail == "Pod pending: Unschedulable: 0/3 nodes"
        assert it.deadline() == 90.0
        it.tick(89.0)
        assert it.status.state is State.PENDING
        it.tick(90.0)
        assert outcome(it) == (State.FAILED, "Error creating pod: not running after 1m30s (Unschedulable)")

    def test_which_does_not_bound_the_work(self) -> None:
        it = made(timeout="1m30s")
        it.pod_seen(RUNNING, 89.0)
        assert it.deadline() is None

    def test_a_pod_that_is_gone_fails_its_unit(self) -> None:
        it = running()
        it.output_received(3)
        it.pod_gone()
        assert it.status.state is State.FAILED
        assert it.status.stdout_size == 3
        assert it.wanted() == frozenset()


class TestOverTcp:
    def test_the_pod_is_made_once_it_can_be_told_where_to_connect(self) -> None:
        it = PodUnit(status(), 0, uses_tcp=True)
        assert it.wanted() == {TALK}
        it.is_listening = True
        assert it.wanted() == {TALK, CREATE}
        it.name_chosen("pod-1", "ours")
        it.made(1.0)
        it.pod_seen(RUNNING, 2.0)
        assert it.wanted() == {TALK, WATCH}
        it.sending()
        it.sent()
        it.output_ended(3.0, is_all=True)
        assert it.wanted() == {WATCH}
        it.pod_seen(FAILED, 4.0)
        assert outcome(it) == (State.FAILED, "exit status 7")

    def test_a_pod_that_ends_without_having_connected_fails(self) -> None:
        it = PodUnit(status(), 0, uses_tcp=True)
        it.is_listening = True
        it.name_chosen("pod-1", "ours")
        it.made(1.0)
        it.pod_seen(ENDED, 2.0)
        deadline = it.deadline()
        assert deadline is not None
        it.tick(deadline)
        assert it.status.state is State.FAILED
