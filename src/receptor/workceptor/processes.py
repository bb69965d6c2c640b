"""The processes of a unit: which these are, whether one is still the same, how all of them are stopped.

A number alone does not say which process is meant, as numbers are used again. A process belongs to a unit if it has
the unit's folder in its environment, if it is in the session that the command leads (and the command is known to be
the leader), or if its parent belongs to the unit. So what left the process group, the session or even its parent
is found as well. Looking is dear, for it reads much of /proc: it is done while a unit is being stopped, never else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from receptor.errors import OperatingError
from receptor.workceptor import runner
from receptor.workceptor.files import operating_errors
from receptor.workceptor.records import StartRecord

GRACE = 10.0
"""Seconds from the first signal (SIGINT) to the second (SIGTERM)."""
TERM_GRACE = 2.0
"""Seconds from SIGTERM to SIGKILL."""
KILL_PATIENCE = 5.0
"""Seconds in which killed processes must be gone."""

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5
_PROC = Path("/proc/self/stat")
_UNIT = f"\0{runner.UNIT_VARIABLE}=".encode()

logger = logging.getLogger("receptor.workceptor")


@dataclass(frozen=True, slots=True)
class Process:
    """What the system says of a living process."""

    pid: int
    parent: int
    group: int
    session: int
    start_time: int | None
    unit: str
    """The folder of the unit that it has in its environment; empty if it has none, or isn't ours to look into."""


@functools.cache
def this_boot() -> str:
    """The boot id of the running system."""
    return runner.boot_id()


def is_running(start: StartRecord) -> bool:
    """Whether that very process still exists, if only as a zombie."""
    if start.boot_id != this_boot():
        return False
    if start.start_time is not None:
        return runner.start_time(start.pid) == start.start_time
    return _group_exists(start.pid)


class ProcessTable:
    """The living processes, as read from /proc at one time; ``but`` names some that need not be looked at.

    Making it raises OSError if /proc can't be read.

    This process is left out, so that a node that a unit of its own started does not stop itself and all units.
    """

    def __init__(self, but: Collection[int] = ()) -> None:
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid(), *but}
        self._processes = [process for pid in pids if (process := _look_at(pid))]

    def belonging_to(
        self, folders: Collection[str], sessions: Collection[int], seen: Collection[tuple[int, int | None]] = ()
    ) -> dict[int, Process]:
        """All processes of the units with these folders and sessions, by number.

        ``seen`` are processes (number and start time) that are known to be theirs from an earlier look.
        """
        found = {
            process.pid: process
            for process in self._processes
            if process.unit in folders or process.session in sessions or (process.pid, process.start_time) in seen
        }
        children: dict[int, list[Process]] = {}
        for process in self._processes:
            children.setdefault(process.parent, []).append(process)
        waiting = list(found)
        while waiting:
            for child in children.get(waiting.pop(), ()):
                if child.pid not in found:
                    found[child.pid] = child
                    waiting.append(child.pid)
        return found

    def leader_of(self, folder: str) -> Process | None:
        """The process of the unit that is this process's child and leads a session: its command."""
        for process in self._processes:
            if process.unit == folder and process.pid == process.session and process.parent == os.getpid():
                return process
        return None


class SharedTable:
    """One reading of /proc serves all who asked for it before it began: many units may be stopped at once.

    ``bystanders`` are the commands of units that nobody is stopping. No other unit can have them, so they aren't looked
    at: among thousands of units that is most of the work.
    """

    def __init__(self) -> None:
        self.bystanders: set[int] = set()
        self._lock = threading.Lock()
        self._began = 0.0
        self._table: ProcessTable | None = None

    def read_after(self, asked: float) -> ProcessTable:
        """The processes as they were at that time (of time.monotonic) or later. Blocks while it reads."""
        with self._lock:
            if self._table is None or self._began < asked:
                self._began = time.monotonic()
                self._table = ProcessTable(tuple(self.bystanders))
            return self._table


_shared_table = SharedTable()


class _Unit:
    """The processes of one unit that is being stopped."""

    def __init__(self, start: StartRecord) -> None:
        self._start = start
        self._leads_session = False
        self._seen: set[tuple[int, int | None]] = set()

    def members(self, asked: float) -> dict[int, Process]:
        """All that live now. Once its leader was seen, the session is known to be the unit's until it is empty.

        Who was seen once stays known: what tied it to the unit, a parent say, may have died since.
        """
        start = self._start
        if start.boot_id != this_boot():
            return {}
        if not _PROC.exists():
            return _group_only(start.pid)
        self._leads_session = self._leads_session or is_running(start)
        sessions = {start.pid} if self._leads_session else set()
        members = _shared_table.read_after(asked).belonging_to({start.folder}, sessions, self._seen)
        self._seen |= {(member.pid, member.start_time) for member in members.values()}
        return members


def leave_out(leader: int, is_bystander: bool) -> None:
    """Say whether this process is the command of a unit that nobody is stopping."""
    if is_bystander:
        _shared_table.bystanders.add(leader)
    else:
        _shared_table.bystanders.discard(leader)


async def stop_process_group(
    start: StartRecord, ended: asyncio.Event, grace: float = GRACE, term_grace: float = TERM_GRACE
) -> None:
    """Stop a command and all that it started: SIGINT, after ``grace`` seconds SIGTERM, after ``term_grace`` SIGKILL.

    ``ended`` is to be set when the command's end is known; that spares looking for it. Returns as soon as nothing
    of the unit lives, perhaps before ``ended`` is set, at once if nothing did. If cancelled, it sends no further
    signal. Raises OperatingError if something can't even be killed, or /proc can't be read.
    """
    leave_out(start.pid, False)
    unit = _Unit(start)
    pause = _FIRST_PAUSE
    for number, patience in ((signal.SIGINT, grace), (signal.SIGTERM, term_grace), (signal.SIGKILL, KILL_PATIENCE)):
        deadline = time.monotonic() + patience
        signalled = False
        while True:
            members = await asyncio.to_thread(_members, unit, time.monotonic())
            if not members:
                return
            if time.monotonic() >= deadline and signalled:
                break
            if not signalled or number == signal.SIGKILL:
                await asyncio.to_thread(_signal, members, start.pid, number)
                signalled = True
            left = max(deadline - time.monotonic(), 0.0)
            if start.pid in members and not ended.is_set() and number != signal.SIGKILL:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), left)
            else:
                await asyncio.sleep(min(pause, left))
                pause = min(pause * 1.5, _LONGEST_PAUSE)
    raise OperatingError(_unkillable(start.folder, members))


def _members(unit: _Unit, asked: float) -> dict[int, Process]:
    with operating_errors(_PROC.parent):
        return unit.members(asked)


def _signal(members: dict[int, Process], group: int, number: signal.Signals) -> None:
    with operating_errors(_PROC.parent):
        _signal_all(members.values(), group, number)


def kill_remains(folders: Collection[str], starts: Iterable[StartRecord]) -> None:
    """Kill at once all that is left of units whose end nobody will ever know. Blocks: for a worker thread.

    ``starts`` are the commands of these units, as far as they are known. Raises OSError if /proc can't be read.
    """
    sessions = {start.pid for start in starts if is_running(start)}
    for session in sessions:
        leave_out(session, False)
    if not _PROC.exists():
        for session in sessions:
            _signal_all(_group_only(session).values(), session, signal.SIGKILL)
        return
    deadline = time.monotonic() + KILL_PATIENCE
    while members := _shared_table.read_after(time.monotonic()).belonging_to(folders, sessions):
        if time.monotonic() >= deadline:
            logger.warning(_unkillable(", ".join(folders), members))
            return
        _signal_all(members.values(), None, signal.SIGKILL)
        time.sleep(_FIRST_PAUSE)


def _signal_all(members: Iterable[Process], group: int | None, number: signal.Signals) -> None:
    """Signal each of them, those of the group at once, after a last look at whether it is still the same process."""
    group_done = False
    for member in members:
        if runner.start_time(member.pid) != member.start_time or (member.group == group and group_done):
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if member.group == group:
                os.killpg(member.group, number)
                group_done = True
            else:
                os.kill(member.pid, number)


def _look_at(pid: int) -> Process | None:
    """The living process of that number; None if it is gone or a zombie.

    Raises OSError if that can't be found out, for want of descriptors say: nobody must take it for gone then.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if state in (b"Z", b"X"):
        return None
    parent, group, session = (int(field) for field in fields[:3])
    return Process(pid, parent, group, session, int(fields[18]), _unit_in_environment(pid))


def _unit_in_environment(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = b"\0" + file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
    begin = environment.find(_UNIT)
    if begin < 0:
        return ""
    begin += len(_UNIT)
    return os.fsdecode(environment[begin : environment.find(b"\0", begin)])


def _group_only(group: int) -> dict[int, Process]:
    """Where there is no /proc: the process group, if it exists, in the shape of its leader."""
    return {group: Process(group, 0, group, group, None, "")} if _group_exists(group) else {}


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _unkillable(folder: str, members: Iterable[int]) -> str:
    pids = " ".join(str(pid) for pid in sorted(members))
    return (
        f"{folder}: its processes {pids} can't be killed; they run as another user or hang in the kernel: look at them"
    )
