"""What the cluster says of a pod, and what that means for a unit: pure logic."""

from __future__ import annotations

import msgspec

WORKER = "worker"
"""The container that does the work; a pod may have others."""

HOPELESS = ("InvalidImageName", "ErrImageNeverPull")
PULL_FAILED = "ImagePullBackOff"
LONGEST_TEXT = 2000
"""Characters that are kept of what a cluster says."""


class _Waiting(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Terminated(msgspec.Struct, frozen=True, rename="camel"):
    exit_code: int
    reason: str = ""
    message: str = ""


class _Running(msgspec.Struct, frozen=True):
    pass


class _ContainerState(msgspec.Struct, frozen=True):
    waiting: _Waiting | None = None
    running: _Running | None = None
    terminated: _Terminated | None = None


class _Container(msgspec.Struct, frozen=True):
    name: str
    state: _ContainerState = _ContainerState()


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class _PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[_Condition] | None = None
    container_statuses: list[_Container] | None = None
    init_container_statuses: list[_Container] | None = None


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    resource_version: str = ""


class Pod(msgspec.Struct, frozen=True):
    """A pod, as the cluster tells of it; what units don't need is left out."""

    metadata: _Metadata
    status: _PodStatus = _PodStatus()

    @property
    def version(self) -> str:
        """From where on to watch for later changes."""
        return self.metadata.resource_version

    @property
    def is_worker_running(self) -> bool:
        """Whether the worker runs now."""
        return self._worker.running is not None

    @property
    def end(self) -> PodEnd | None:
        """How the worker ended, or why it never will have run; None while that is open."""
        terminated = self._worker.terminated
        if terminated is not None:
            return PodEnd(terminated.exit_code, _joined(self._exit_text(terminated), self._pod_reason))
        if self.status.phase not in ("Failed", "Succeeded"):
            return None
        for container in self.status.init_container_statuses or ():
            failed = container.state.terminated
            if failed is not None and failed.exit_code != 0:
                return PodEnd(None, f"init container {container.name}: {self._exit_text(failed)}")
        return PodEnd(None, _joined(f"the pod has {self.status.phase.lower()} without its worker", self._pod_reason))

    @property
    def pending_reason(self) -> str:
        """Why the worker does not run yet: ``ImagePullBackOff``, ``Unschedulable``; empty if nobody says."""
        waiting = self._worker.waiting
        if waiting is not None:
            return waiting.reason
        return next((one.reason for one in self._unmet if one.reason), "")

    @property
    def pending_text(self) -> str:
        """The same with all that is said about it."""
        waiting = self._worker.waiting
        message = waiting.message if waiting else next((one.message for one in self._unmet if one.message), "")
        return _joined(self.pending_reason, message)

    @property
    def _worker(self) -> _ContainerState:
        containers = self.status.container_statuses or ()
        return next((one.state for one in containers if one.name == WORKER), _ContainerState())

    @property
    def _unmet(self) -> list[_Condition]:
        return [one for one in self.status.conditions or () if one.type == "PodScheduled" and one.status == "False"]

    @property
    def _pod_reason(self) -> str:
        """Why the pod as a whole came to its end: ``Evicted: ...``."""
        return _joined(self.status.reason, self.status.message)

    @staticmethod
    def _exit_text(end: _Terminated) -> str:
        reason = f" ({end.reason})" if end.reason not in ("", "Error", "Completed") else ""
        return _joined(f"exit status {end.exit_code}{reason}", end.message.strip())


class PodEnd(msgspec.Struct, frozen=True):
    """How a pod's worker ended; without an exit code it never ran. ``reason`` is for people."""

    exit_code: int | None
    reason: str


def _joined(*texts: str) -> str:
    return ": ".join(text for text in texts if text)[:LONGEST_TEXT]
