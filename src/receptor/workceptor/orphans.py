"""Commands whose runner was killed: their ends are learnt in its place.

The daemon is a subreaper, so the children of a runner that it started become its own when that runner dies. One
thread waits for any child to end, without descriptors, timers or signals, which a thousand orphans would make dear and
the event loop's own children in conflict. Besides the orphans it reaps what commands have left behind, which comes to
the daemon in the same way: whatever is in another session than the daemon's. The daemon's own children are left to
those who wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from receptor.errors import OperatingError
from receptor.workceptor import runner
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.processes import is_running
from receptor.workceptor.records import ExitRecord, StartRecord

_OTHERS_PAUSE = 0.05
"""Seconds that a child of somebody else is left to be waited for, before looking again."""

logger = logging.getLogger("receptor.workceptor")

OnOrphanEnd = Callable[[str, ExitRecord | None], None]


@dataclass(frozen=True)
class _Orphan:
    folder: UnitFolder
    start: StartRecord


class Orphans:
    """The orphaned commands of one data folder.

    ``on_end`` is called in the event loop with the unit's id and the record of its end, which is on disk by then,
    or None if somebody else has taken it and so nobody knows. ``all_known`` tells, in another thread, whether all
    commands that may have become children of this process have been given to ``watch``. Made in the event loop.
    """

    def __init__(self, on_end: OnOrphanEnd, all_known: Callable[[], bool]) -> None:
        self._on_end = on_end
        self._all_known = all_known
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._orphans: dict[int, _Orphan] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def watch(self, units: Mapping[str, tuple[UnitFolder, StartRecord]]) -> set[str]:
        """Wait for the ends of these commands; returns the units whose commands are no children of this process.

        Blocks shortly: for a worker thread.
        """
        strangers = {unit_id for unit_id, (_, start) in units.items() if not _is_child(start)}
        with self._lock:
            for unit_id, (folder, start) in units.items():
                if unit_id not in strangers:
                    self._orphans[start.pid] = _Orphan(folder, start)
            if not self._thread:
                self._thread = threading.Thread(target=self._wait, name="orphans", daemon=True)
                self._thread.start()
        return strangers

    def close(self) -> None:
        """Tell no more ends. The commands live on."""
        with self._lock:
            self._closed = True

    def _wait(self) -> None:
        while not self._has_ended():
            try:
                child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                self._reap(list(self._orphans))
                continue
            with self._lock:
                if self._closed:
                    return
            if child is None:
                continue
            if child.si_pid in self._orphans:
                self._reap([child.si_pid])
            elif _session_of(child.si_pid) != os.getsid(0) and self._all_known():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child.si_pid, 0)
            else:
                self._reap(list(self._orphans))
                time.sleep(_OTHERS_PAUSE)

    def _has_ended(self) -> bool:
        """Whether there is nothing to wait for: without any child, none can come by the death of another."""
        with self._lock:
            if not self._closed and (self._orphans or _has_children()):
                return False
            self._thread = None
            return True

    def _reap(self, pids: list[int]) -> None:
        for pid in pids:
            started, ended = self._orphans[pid].start.started, time.time()
            try:
                child = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if child is None:
                    continue
                # As the runner does: while it isn't reaped, another daemon could still learn how it ended.
                self._record(pid, runner.exit_fields(runner.exit_code_of(child), started, ended))
                _, wait_status, usage = os.wait4(pid, 0)
            except ChildProcessError:
                self._tell(pid, None)
                continue
            code = os.waitstatus_to_exitcode(wait_status)
            self._tell(pid, self._record(pid, runner.exit_fields(code, started, ended, usage)))

    def _record(self, pid: int, fields: runner.ExitFields) -> ExitRecord:
        record = msgspec.convert(fields, ExitRecord)
        folder = self._orphans[pid].folder
        try:
            folder.write_exit(record)
        except OperatingError as error:
            logger.error("the end of unit %s could not be recorded: %s", folder.unit_id, error)
        return record

    def _tell(self, pid: int, record: ExitRecord | None) -> None:
        with self._lock:
            orphan = self._orphans.pop(pid)
            if not self._closed:
                self._loop.call_soon_threadsafe(self._on_end, orphan.folder.unit_id, record)


def _is_child(start: StartRecord) -> bool:
    if sys.platform != "linux" or not is_running(start):
        return False
    try:
        os.waitid(os.P_PID, start.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
