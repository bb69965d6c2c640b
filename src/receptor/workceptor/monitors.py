"""Commands that an existing Go daemon had begun in a data folder that this node has taken over.

There each command has a monitor of its own, a process of that daemon's program. It leads the command's session,
outlives the daemon, and writes the end of the command into the unit's status. So the command must not be started
again, and its end is what the monitor leaves there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from receptor.errors import OperatingError
from receptor.workceptor import runner
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.processes import this_boot
from receptor.workceptor.records import StartRecord
from receptor.workceptor.status import CommandExtra, State, Status, decode_status

PAUSE = 1.0
"""Seconds between two looks whether a monitor is still there."""

LOST = "it ran under another daemon before, and nobody is left who saw how it ended"

_MONITOR = "--command-runner"
_FOLDER = "unitdir="


def was_begun_elsewhere(status: Status) -> bool:
    """Whether the command of a unit without any note of our runner's was begun nevertheless."""
    return status.state is State.RUNNING or (isinstance(status.extra, CommandExtra) and status.extra.pid > 1)


def find_monitor(folder: UnitFolder, status: Status) -> StartRecord | None:
    """The monitor of the unit's command, if it lives. Reads /proc: for a worker thread."""
    pid = status.extra.pid if isinstance(status.extra, CommandExtra) else 0
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
    except OSError:
        return None
    folders = [word.removeprefix(_FOLDER) for word in words if word.startswith(_FOLDER)]
    if _MONITOR not in words or not any(os.path.realpath(one) == os.path.realpath(folder.path) for one in folders):
        return None
    return StartRecord(
        pid=pid,
        start_time=runner.start_time(pid),
        boot_id=this_boot(),
        folder=str(folder.path),
        started=time.time(),
    )


def what_it_left(folder: UnitFolder) -> tuple[State, str]:
    """State and detail that a monitor which has ended left in the unit's status. For a worker thread."""
    try:
        status = decode_status(folder.read_status())
    except (ValueError, OperatingError) as error:
        return State.FAILED, f"{LOST}: {error}"
    return (status.state, status.detail) if status.state.is_final else (State.FAILED, LOST)
