"""What nodes leave behind on purpose, and a test must not: commands, and the runners that look after them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from receptor.workceptor import runner
from receptor.workceptor.folder import UnitFolder, unit_ids
from receptor.workceptor.processes import KILL_PATIENCE, kill_remains
from receptor.workceptor.traces import find_traces

_PAUSE = 0.002
_SHORTLY = 0.05
"""Seconds in which a runner ends that has no commands."""


def runner_of(data_folder: Path) -> int | None:
    """The process that has started the commands of that folder's units last; None if none were started yet."""
    try:
        return int((data_folder / runner.LOCK).read_text())
    except (FileNotFoundError, ValueError):
        return None


def end_commands(data_folders: Iterable[Path], runners: Collection[int], patience: float = KILL_PATIENCE) -> None:
    """Kill all that units of stopped nodes still run, and return when their runners, children of ours, are gone too.

    A runner that does not end in ``patience`` seconds is killed. Raises OSError if /proc can't be read.
    """
    if not runners:
        return
    folders = list(data_folders)
    left = _reaped(runners, _SHORTLY)
    deadline = time.monotonic() + patience
    while True:
        units = [UnitFolder(folder / unit_id) for folder in folders for unit_id in unit_ids(folder)]
        starts = [trace.start for trace in find_traces(units).values() if trace.start]
        kill_remains({str(unit.path) for unit in units}, starts)
        if not left:
            return
        left = _reaped(left, _SHORTLY)
        if time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)


def _reaped(children: Collection[int], seconds: float) -> set[int]:
    """Those that have not ended in that time; the others are waited for."""
    left = set(children)
    deadline = time.monotonic() + seconds
    while left := {pid for pid in left if not _has_ended(pid)}:
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
    return left


def _has_ended(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:  # The node has seen that it was killed.
        return True
