"""What is on disk, and among the processes, of units whose runner or daemon died."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from receptor.errors import OperatingError
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.processes import ProcessTable, is_running, this_boot
from receptor.workceptor.records import ExitRecord, StartRecord

_LOOKS = 5
_PAUSE = 0.02

logger = logging.getLogger("receptor.workceptor")


@dataclass(frozen=True)
class Trace:
    """What a unit's folder says of its command."""

    folder: UnitFolder
    begun: bool
    """Whether a runner set about to start it."""
    start: StartRecord | None = None
    end: ExitRecord | None = None
    damage: str = ""
    """What could not be read, and why."""

    def may_have_remains(self) -> bool:
        """Whether something of it may run; not if the machine was restarted since."""
        return self.start is None or self.start.boot_id == this_boot()

    def why_lost(self) -> str:
        """The reason for people why nobody knows how the command ended. Reads /proc."""
        if self.damage:
            return self.damage
        if self.start is None:
            return "the runner of commands was killed while it started this one; nobody knows whether it ran"
        if not self.may_have_remains():
            return "the machine was restarted while it ran"
        if is_running(self.start):
            return "the runner of commands was killed, so that nobody could learn its result; it was killed too"
        return f"process {self.start.pid} is gone, and nobody is left who saw how it ended"


def find_traces(folders: Iterable[UnitFolder]) -> dict[str, Trace]:
    """What is there of these units, by unit id. Reads files: for a worker thread."""
    return {folder.unit_id: _find_trace(folder) for folder in folders}


def find_unrecorded_command(trace: Trace) -> Trace:
    """Look for the command that a runner started without living to note its process, and note it in its place.

    Returns the same trace if it is not there. For a worker thread.
    """
    for _ in range(_LOOKS):
        process = ProcessTable().leader_of(str(trace.folder.path))
        if process:
            start = StartRecord(
                pid=process.pid,
                start_time=process.start_time,
                boot_id=this_boot(),
                folder=str(trace.folder.path),
                started=time.time(),
            )
            try:
                trace.folder.write_start(start)
            except OperatingError as error:
                logger.error("the process of unit %s could not be recorded: %s", trace.folder.unit_id, error)
            return replace(trace, start=start)
        # Between the spawn and the exec, which no death of the runner stops, it has the runner's environment.
        time.sleep(_PAUSE)
    return trace


def _find_trace(folder: UnitFolder) -> Trace:
    begun = True
    try:
        begun = folder.was_begun()
        return Trace(folder, begun, folder.read_start(), folder.read_exit())
    except OperatingError as error:
        return Trace(folder, begun, damage=str(error))
