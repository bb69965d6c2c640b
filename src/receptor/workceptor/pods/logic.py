"""What a unit in a pod needs next: pure logic, without I/O and clock.

As with remote units (``remote.py``), it is level-triggered: from the status on disk, what the cluster says of the pod
and what has been tried follows which deeds are wanted now. The shell does them, reports how each went, and asks again.
The pod's name is on disk before the pod is made, so making it twice makes one, and none is forgotten.
"""

from __future__ import annotations

import enum

import msgspec

from receptor.durations import parse_duration
from receptor.workceptor.pods.pod import HOPELESS, PULL_FAILED, Pod, PodEnd
from receptor.workceptor.status import PodExtra, State, Status, may_follow

FIRST_PAUSE = 1.0
PAUSE_GROWTH = 1.5
LONGEST_PAUSE = 60.0
ATTEMPTS = 10
"""How often in a row a deed may be refused, or the pod not be made, until it is given up: for more than a minute."""
FAILED_PULLS = 4
GRACE = 10.0
"""Seconds in which the cluster must tell that a worker has ended whose connection broke."""

CONNECTING = "Connecting to Kubernetes"
SENDING = "Sending stdin to pod"
RUNNING = "Pod Running"
FINISHED = "Finished"
CANCELED = "Canceled"
CREATE_ERROR = "Error creating pod"
_CREATED = "Pod created"
_PENDING = "Pod pending: "
_OF_A_POD = (_CREATED, _PENDING, SENDING)


class Deed(enum.Enum):
    """Something to do with the pod, for a while or once."""

    CREATE = "create"
    WATCH = "watch"
    SEND = "send stdin to"
    FETCH = "fetch the log of"
    TALK = "talk to"
    """Wait for the pod's connection, and pass payload and output over it (streammethod tcp)."""
    DELETE = "delete"


class _Retry(msgspec.Struct):
    pause: float
    not_before: float = 0.0
    times: int = 0
    refusals: int = 0


class PodUnit:
    """The logic of one unit. ``status`` is the unit's own; whenever it has changed, the shell saves it first."""

    def __init__(self, status: Status, stdout_size: int, *, uses_tcp: bool) -> None:
        self.status = status
        self.stdout_size = stdout_size
        self.is_made = status.state is State.RUNNING or status.detail.startswith(_OF_A_POD)
        """Whether the pod is known to have been made."""
        self.is_making = False
        """Whether the order to make it is on its way; it can't be called back."""
        self.is_unwanted = False
        """Whether the pod is to be deleted, if there is one."""
        self.is_deleted = False
        """Whether there is no pod, and none will come."""
        self.delete_problem = ""
        """Why the cluster refused to delete it, the last time."""
        self.is_delete_given_up = False
        self.end: PodEnd | None = None
        self.has_payload = True
        self.is_listening = False
        """Whether the pod's connection is waited for, with ``uses_tcp``."""
        self._uses_tcp = uses_tcp
        self._is_cancelled = False
        self._is_running = False
        self._is_connected = False
        self._is_output_complete = False
        self._failed_pulls = 0
        self._pending_reason = ""
        self._pending_until: float | None = None
        self._broken = ""
        self._broken_until: float | None = None
        self._retries: dict[Deed, _Retry] = {}

    @property
    def extra(self) -> PodExtra:
        """The part of the status that tells of the pod."""
        assert isinstance(self.status.extra, PodExtra)
        return self.status.extra

    @property
    def pod(self) -> tuple[str, str]:
        """Its namespace and name."""
        return self.extra.kube_namespace, self.extra.pod_name

    # What is wanted

    def wanted(self) -> frozenset[Deed]:
        """The deeds to do now or, if they failed lately, after their pause."""
        if self.is_making:
            return frozenset({Deed.CREATE, Deed.TALK} if self._uses_tcp else {Deed.CREATE})
        if self.is_unwanted:
            return frozenset({Deed.DELETE} if self.has_pod and not self.is_delete_given_up else ())
        if self.status.state.is_final:
            return frozenset()
        wanted = set()
        if self._uses_tcp and not self._is_output_complete and not self._broken:
            wanted.add(Deed.TALK)
        if not self.is_made:
            wanted.update({Deed.CREATE} if self.is_listening or not self._uses_tcp else ())
        elif self.end is None:
            wanted.add(Deed.WATCH)
        if not self._uses_tcp:
            wanted |= self._wanted_streams()
        return frozenset(wanted)

    def _wanted_streams(self) -> set[Deed]:
        wanted = set()
        if self._is_running and self.end is None and self.status.state is State.PENDING and not self._broken:
            wanted.add(Deed.SEND)
        if (self._is_running or self.end is not None) and not self._is_output_complete:
            wanted.add(Deed.FETCH)
        return wanted

    @property
    def has_pod(self) -> bool:
        """Whether there may be a pod."""
        return self.extra.pod_name != "" and not self.is_deleted

    def not_before(self, deed: Deed) -> float:
        """When a deed may be tried again after its last failure."""
        return self._retries[deed].not_before if deed in self._retries else float("-inf")

    def deadline(self) -> float | None:
        """When to call ``tick``."""
        times = [time for time in (self._pending_until, self._broken_until) if time is not None]
        return min(times) if times and not self.status.state.is_final else None

    def tick(self, now: float) -> None:
        """The time has come to that point."""
        if self._pending_until is not None and now >= self._pending_until:
            reason = f" ({self._pending_reason})" if self._pending_reason else ""
            self.fail(f"{CREATE_ERROR}: not running after {self.extra.pod_pending_timeout}{reason}")
        elif self._broken_until is not None and now >= self._broken_until:
            self.fail(self._broken)

    # What the deeds tell

    def name_chosen(self, pod_name: str, namespace: str) -> None:
        """The pod is going to be made under that name."""
        self._change(detail=CONNECTING, extra=_with(self.extra, pod_name=pod_name, kube_namespace=namespace))

    def made(self, now: float) -> None:
        """There is a pod."""
        self.is_made = True
        self._change(detail=_CREATED)
        if self.extra.pod_pending_timeout:
            self._pending_until = now + parse_duration(self.extra.pod_pending_timeout)

    def pod_seen(self, pod: Pod, now: float) -> None:
        """How the pod is now."""
        self._is_running = self._is_running or pod.is_worker_running
        if pod.end is not None and self.end is None:
            self._ended(pod.end, now)
        elif not self._is_running and self.status.state is State.PENDING:
            self._still_pending(pod)
        if self._is_running or self.end is not None:
            self._pending_until = None
        if self._is_running and not self.has_payload and not self._uses_tcp:
            self.sent()

    def _ended(self, end: PodEnd, now: float) -> None:
        self.end = end
        self._retries.pop(Deed.FETCH, None)
        self._broken_until = None
        if self._uses_tcp and not self._is_connected:
            self._break("the pod's worker ended without having connected to this node", now)
        if end.exit_code is None:
            self._is_output_complete = True
        self._settle()

    def _still_pending(self, pod: Pod) -> None:
        reason = pod.pending_reason
        self._failed_pulls += reason == PULL_FAILED and self._pending_reason != PULL_FAILED
        self._pending_reason = reason
        if reason in HOPELESS or self._failed_pulls >= FAILED_PULLS:
            self.fail(f"{CREATE_ERROR}: {pod.pending_text}")
        elif reason:
            self._change(detail=f"{_PENDING}{pod.pending_text}")

    def pod_gone(self) -> None:
        """The cluster does not have the pod any more."""
        if not self.is_unwanted:
            self._finish(State.FAILED, f"the pod {self.extra.pod_name} was deleted before it had ended")
        self.deleted()

    def sending(self) -> None:
        """Payload may have reached the worker from now on, so it can't be sent once more."""
        self._is_connected = True
        self._change(detail=SENDING)

    def sent(self) -> None:
        """The worker has its payload; whatever is lost now, it runs."""
        self._change(state=State.RUNNING, detail=RUNNING)

    def broke(self, reason: str, now: float) -> None:
        """A connection broke that can't be taken up again: the unit fails, unless the worker has ended by then."""
        if self.end is not None:
            self._is_output_complete = True
            self._settle()
        else:
            self._break(reason, now)

    def _break(self, reason: str, now: float) -> None:
        self._broken, self._broken_until = reason, now + GRACE

    def output_received(self, size: int) -> None:
        """More of the output is on disk."""
        self.stdout_size += size

    def output_ended(self, now: float, *, is_all: bool) -> None:
        """A stream of the output has ended. Unless it ``is_all``, look for more after a pause, or the worker's end."""
        self._is_output_complete = is_all
        if not is_all:
            self._pause(Deed.FETCH, now)
        self._settle()

    def deleted(self) -> None:
        """The cluster has taken the order to delete the pod, or has none."""
        self.is_deleted = True
        if self._is_cancelled:
            self._finish(State.CANCELED, CANCELED)

    def succeeded(self, deed: Deed) -> None:
        """A deed went well: the next failure pauses briefly again."""
        self._retries.pop(deed, None)

    def failed(self, deed: Deed, reason: str, now: float, *, is_refused: bool) -> None:
        """A deed could not be done: try again after a growing pause, but not for ever what is refused."""
        retry = self._pause(deed, now)
        retry.times += 1
        retry.refusals = retry.refusals + 1 if is_refused else 0
        if deed is Deed.CREATE and (is_refused or retry.times >= ATTEMPTS):
            # What is refused was not made.
            self.is_deleted = is_refused
            self.fail(f"{CREATE_ERROR}: {reason}")
        elif deed is Deed.CREATE:
            self._change(detail=f"{CREATE_ERROR}, trying again: {reason}")
        elif deed is Deed.DELETE:
            self.delete_problem = reason if is_refused else ""
            self.is_delete_given_up = retry.refusals >= ATTEMPTS
        elif retry.refusals >= ATTEMPTS:
            self.fail(f"can't {deed.value} pod {self.extra.pod_name}: {reason}")

    def _pause(self, deed: Deed, now: float) -> _Retry:
        retry = self._retries.setdefault(deed, _Retry(FIRST_PAUSE))
        retry.not_before = now + retry.pause
        retry.pause = min(retry.pause * PAUSE_GROWTH, LONGEST_PAUSE)
        return retry

    # What the user tells

    def cancel(self) -> None:
        """Stop the work; it is canceled when the pod is deleted."""
        self._is_cancelled = True
        self._discard()
        if not self.has_pod and not self.is_making:
            self._finish(State.CANCELED, CANCELED)

    def release(self) -> None:
        """Stop the work, and leave no pod behind."""
        self._is_cancelled = True
        self._discard()

    def fail(self, reason: str) -> None:
        """The work can't be done; no pod goes on with it."""
        self._finish(State.FAILED, reason)
        self._discard()

    # Helpers

    def _discard(self) -> None:
        self.is_unwanted = True
        self.delete_problem = ""
        self.is_delete_given_up = False
        self._retries.pop(Deed.DELETE, None)

    def _settle(self) -> None:
        """Come to the final state once both the worker's end and all of its output are known."""
        if self.end is None or not self._is_output_complete or self.is_unwanted:
            return
        if self.end.exit_code == 0:
            self._finish(State.SUCCEEDED, FINISHED)
        else:
            self._finish(State.FAILED, self.end.reason)

    def _finish(self, state: State, detail: str) -> None:
        self._change(state=state, detail=detail, stdout_size=self.stdout_size)

    def _change(
        self,
        state: State | None = None,
        detail: str | None = None,
        stdout_size: int | None = None,
        extra: PodExtra | None = None,
    ) -> None:
        old = self.status
        if may_follow(old.state, old.state if state is None else state):
            self.status = msgspec.structs.replace(
                old,
                state=old.state if state is None else state,
                detail=old.detail if detail is None else detail,
                stdout_size=old.stdout_size if stdout_size is None else stdout_size,
                extra=old.extra if extra is None else extra,
            )


def _with(extra: PodExtra, *, pod_name: str, kube_namespace: str) -> PodExtra:
    return msgspec.structs.replace(extra, pod_name=pod_name, kube_namespace=kube_namespace)
