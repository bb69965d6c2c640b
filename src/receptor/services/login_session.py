"""The processes of a session whose terminal has hung up: they end, one way or another, and nothing is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

HANG_UP_GRACE = 2.0
"""Seconds that processes have after their terminal has hung up. Then they get SIGTERM."""

TERM_GRACE = 2.0
"""Seconds from SIGTERM to SIGKILL."""

KILL_PATIENCE = 5.0
"""Seconds in which killed processes must be gone."""

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25

_STILL_NEWS = 0.05
"""Seconds for which it may be believed of a session what was seen before."""

logger = logging.getLogger("receptor.services")


@dataclass(frozen=True, slots=True)
class _Process:
    """What the system says of a process."""

    pid: int
    session: int
    start_time: int
    is_dead: bool
    """A zombie, which waits for being reaped."""


class _Processes:
    """All of this machine. Going through them takes a while, so those that ask at the same time share one look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_session: dict[int, list[_Process]] = {}
        self._seen_at = float("-inf")

    def of(self, session: int, since: float) -> Sequence[_Process]:
        """Those of a session, at that monotonic time or later. Blocks. Raises OSError if /proc can't be read."""
        with self._lock:
            if self._seen_at < since:
                now = time.monotonic()
                self._by_session = _by_session()
                self._seen_at = now
            return self._by_session.get(session, ())


_processes = _Processes()


class LoginSession:
    """A session that a child of this process leads."""

    def __init__(self, leader: int) -> None:
        """To be made at once after its start, for the number of a process alone says nothing later."""
        self._leader = leader
        process = _look_at(leader)
        self._start_time = process.start_time if process else None

    async def end(self) -> None:
        """Wait until it is empty, after its terminal was closed: SIGHUP, after a grace SIGTERM, then SIGKILL.

        Reaps those that are children of this process, as what loses its parent may become one. Others may do so too.
        """
        pause = _FIRST_PAUSE
        steps = [(signal.SIGHUP, HANG_UP_GRACE), (signal.SIGTERM, TERM_GRACE), (signal.SIGKILL, KILL_PATIENCE)]
        for number, patience in steps:
            deadline = time.monotonic() + patience
            # The kernel has sent SIGHUP only to the leader and to the job in the foreground.
            members = await self._see(number)
            while members and (left := deadline - time.monotonic()) > 0:
                await asyncio.sleep(min(pause, left))
                pause = min(pause * 1.5, _LONGEST_PAUSE)
                # A shell that is killed after the command it has waited for may have started the next one meanwhile.
                members = await self._see(number if number == signal.SIGKILL else None)
            if not members:
                return
        pids = " ".join(str(pid) for pid in sorted(members))
        logger.warning("processes %s of a command-service can't be killed: look at them", pids)

    async def _see(self, number: signal.Signals | None) -> set[int]:
        """Who lives in it, each of which gets a signal if there is one. What may get one is looked at anew."""
        since = time.monotonic() - (_STILL_NEWS if number is None else 0)
        return await asyncio.to_thread(self._look, since, number)

    def _look(self, since: float, number: signal.Signals | None) -> set[int]:
        members = self._members(since)
        if number is not None:
            for pid in members:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        return members

    def _members(self, since: float) -> set[int]:
        """Who lives in it, at that monotonic time or later. A dead child of this process is reaped on the way."""
        if sys.platform != "linux":
            return self._leader_alone()
        try:
            ours = _processes.of(self._leader, since)
        except OSError:
            return self._leader_alone()  # No descriptor is left to look with.
        if any(process.pid == self._leader and process.start_time != self._start_time for process in ours):
            return set()  # Numbers are used again only after everything that they stood for has gone.
        for process in ours:
            if process.is_dead:
                _reap(process.pid)
        return {process.pid for process in ours if not process.is_dead}

    def _leader_alone(self) -> set[int]:
        try:
            is_dead = os.waitid(os.P_PID, self._leader, os.WEXITED | os.WNOHANG) is not None
        except ChildProcessError:
            is_dead = True
        return set() if is_dead else {self._leader}


def _by_session() -> dict[int, list[_Process]]:
    found: dict[int, list[_Process]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := _look_at(int(name))):
            found.setdefault(process.session, []).append(process)
    return found


def _look_at(pid: int) -> _Process | None:
    """The process of that number, if there is one and /proc tells."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return _Process(pid, int(fields[2]), int(fields[18]), state in (b"Z", b"X"))


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
