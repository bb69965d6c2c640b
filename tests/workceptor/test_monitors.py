"""Commands that a Go daemon had begun: they are not begun again, and end as its monitor says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from go_daemon import go_on, start_monitor, store

from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.monitors import LOST, find_monitor, was_begun_elsewhere, what_it_left
from receptor.workceptor.processes import is_running
from receptor.workceptor.status import CommandExtra, State, Status, decode_status

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


@pytest.fixture
def unit(tmp_path: Path) -> UnitFolder:
    return UnitFolder(store(tmp_path, "unit0001", {"State": 0, "Detail": "Unit Created", "WorkType": "a"}, stdout=b""))


@pytest.fixture
def monitor(unit: UnitFolder) -> Iterator[subprocess.Popen[bytes]]:
    process = start_monitor(unit.path)
    yield process
    process.kill()
    process.wait()


def status_of(unit: UnitFolder) -> Status:
    return decode_status(unit.read_status())


def command(state: State, pid: int) -> Status:
    return Status(state=state, detail="", stdout_size=0, work_type="a", extra=CommandExtra(pid=pid))


def test_whether_it_was_begun() -> None:
    assert not was_begun_elsewhere(command(State.PENDING, 0))
    assert was_begun_elsewhere(command(State.PENDING, 4321))
    assert was_begun_elsewhere(command(State.RUNNING, 0))


def test_a_monitor_that_lives_is_found_and_tells_the_end(unit: UnitFolder, monitor: subprocess.Popen[bytes]) -> None:
    found = find_monitor(unit, status_of(unit))
    assert found is not None
    assert found.pid == monitor.pid
    assert is_running(found)
    go_on(unit.path)
    monitor.wait()
    assert not is_running(found)
    assert what_it_left(unit) == (State.SUCCEEDED, "exit status 0")


def test_another_process_is_no_monitor(unit: UnitFolder, monitor: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """The number is used again by the monitor of another unit, or by anything else; or by nobody."""
    other = UnitFolder(store(tmp_path, "unit0002", {"State": 1, "Detail": "", "WorkType": "a"}))
    assert find_monitor(other, status_of(unit)) is None
    assert find_monitor(unit, command(State.RUNNING, os.getpid())) is None
    assert find_monitor(unit, command(State.RUNNING, 2**22 + 1)) is None
    assert find_monitor(unit, command(State.RUNNING, 0)) is None


def test_nobody_knows_the_end_of_what_a_dead_monitor_left_running(unit: UnitFolder) -> None:
    assert what_it_left(unit) == (State.FAILED, LOST)
    unit.status_file.write_text("{")
    state, detail = what_it_left(unit)
    assert state is State.FAILED
    assert detail.startswith(f"{LOST}: ")
