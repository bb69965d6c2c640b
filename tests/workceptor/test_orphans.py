from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from commands import RunnerProcess, eventually, new_unit, parent_of, stat_fields, subreaper

from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.orphans import Orphans
from receptor.workceptor.processes import kill_remains
from receptor.workceptor.records import ExitRecord, StartRecord

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux has subreapers")

Unit = tuple[UnitFolder, StartRecord]


@pytest.fixture(autouse=True)
def _subreaper(tmp_path: Path) -> Iterator[None]:
    with subreaper():
        yield
        kill_remains([str(folder) for folder in tmp_path.iterdir()], [])
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def orphans_of_a_killed_runner(data_folder: Path, *scripts: str) -> dict[str, Unit]:
    """The units of commands whose runner is no more."""
    units = {}
    with RunnerProcess(data_folder) as process:
        process.line.read()
        for number, script in enumerate(scripts):
            folder = new_unit(data_folder, f"unit{number:04}")
            process.line.start(folder, "bash", "-c", script)
            start = folder.read_start()
            assert start
            units[folder.unit_id] = (folder, start)
    return units


def is_ours(pid: int) -> bool:
    return parent_of(pid) == os.getpid()


def is_gone(pid: int) -> bool:
    return not stat_fields(pid)


class Ends:
    """Collects what is told."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[str, ExitRecord | None]] = asyncio.Queue()
        self.all_known = True
        self.orphans = Orphans(lambda unit_id, record: self.queue.put_nowait((unit_id, record)), lambda: self.all_known)

    async def next(self) -> tuple[str, ExitRecord | None]:
        return await asyncio.wait_for(self.queue.get(), 10)


@asynccontextmanager
async def watching(units: dict[str, Unit]) -> AsyncIterator[Ends]:
    ends = Ends()
    assert ends.orphans.watch(units) == set()
    yield ends
    ends.orphans.close()


def test_their_ends_are_learnt_and_recorded(tmp_path: Path) -> None:
    units = orphans_of_a_killed_runner(tmp_path, "exec sleep 60", "exec sleep 60")

    async def check() -> None:
        async with watching(units) as ends:
            for unit_id, number in (("unit0001", signal.SIGTERM), ("unit0000", signal.SIGKILL)):
                folder, start = units[unit_id]
                os.kill(start.pid, number)
                told, record = await ends.next()
                assert record
                assert (told, record.signal, record.started) == (unit_id, number, start.started)
                assert record == folder.read_exit()
                assert not stat_fields(start.pid), "no zombie is left"

    asyncio.run(check())


def test_one_that_ended_before_it_was_watched(tmp_path: Path) -> None:
    units = orphans_of_a_killed_runner(tmp_path, "trap 'exit 5' TERM; echo; sleep 60 & wait")

    async def check() -> None:
        async with watching(units) as ends:
            unit_id, record = await ends.next()
            assert record
            assert (unit_id, record.exit_code) == ("unit0000", 5)

    folder, start = units["unit0000"]
    eventually(folder.stdout_size)
    os.kill(start.pid, signal.SIGTERM)
    eventually(lambda: stat_fields(start.pid)[0] == "Z")
    asyncio.run(check())


def test_what_they_left_behind_stays_no_zombie(tmp_path: Path) -> None:
    units = orphans_of_a_killed_runner(tmp_path, "sleep 60 & echo $!; exec sleep 60", "exec sleep 60")
    folder, start = units["unit0000"]
    child = int(eventually(folder.stdout_file.read_text))

    async def check() -> None:
        async with watching(units) as ends:
            os.kill(start.pid, signal.SIGKILL)
            await ends.next()
            eventually(lambda: parent_of(child) == os.getpid())
            os.kill(child, signal.SIGKILL)
            eventually(lambda: not stat_fields(child))

    asyncio.run(check())


def test_what_they_left_behind_stays_no_zombie_after_all_of_them_have_ended(tmp_path: Path) -> None:
    script = "sleep 60 & echo $!; setsid sleep 60 & echo $!; exec sleep 60"
    units = orphans_of_a_killed_runner(tmp_path, script)
    folder, start = units["unit0000"]
    eventually(lambda: folder.stdout_file.read_text().count("\n") == 2)
    left = [int(line) for line in folder.stdout_file.read_text().split()]

    async def check() -> None:
        async with watching(units) as ends:
            os.kill(start.pid, signal.SIGKILL)
            await ends.next()
            for child in left:
                eventually(partial(is_ours, child))
                os.kill(child, signal.SIGKILL)
                eventually(partial(is_gone, child))

    asyncio.run(check())


def test_what_was_left_behind_where_no_command_runs_any_more(tmp_path: Path) -> None:
    ended = orphans_of_a_killed_runner(tmp_path, "setsid sleep 60 & echo $!; exec sleep 60")
    folder, start = ended["unit0000"]
    child = int(eventually(folder.stdout_file.read_text))
    os.kill(start.pid, signal.SIGKILL)
    os.waitpid(start.pid, 0)

    async def check() -> None:
        async with watching({}):
            eventually(lambda: parent_of(child) == os.getpid())
            os.kill(child, signal.SIGKILL)
            eventually(lambda: not stat_fields(child))

    asyncio.run(check())


def test_a_command_that_ends_before_it_is_known_is_not_reaped_as_a_stranger(tmp_path: Path) -> None:
    units = orphans_of_a_killed_runner(tmp_path, "exec sleep 60", "exec sleep 60")
    late = {"unit0001": units.pop("unit0001")}
    start = late["unit0001"][1]

    async def check() -> None:
        async with watching(units) as ends:
            ends.all_known = False
            os.kill(start.pid, signal.SIGKILL)
            eventually(lambda: stat_fields(start.pid)[0] == "Z")
            os.kill(units["unit0000"][1].pid, signal.SIGKILL)
            assert (await ends.next())[0] == "unit0000"
            assert ends.orphans.watch(late) == set()
            unit_id, record = await ends.next()
            assert record
            assert (unit_id, record.signal) == ("unit0001", signal.SIGKILL)

    asyncio.run(check())


def test_children_of_others_are_left_to_them(tmp_path: Path) -> None:
    units = orphans_of_a_killed_runner(tmp_path, "exec sleep 60")

    async def check() -> None:
        async with watching(units) as ends:
            for _ in range(3):
                mine = await asyncio.create_subprocess_exec("bash", "-c", "exit 9")
                assert await mine.wait() == 9
            os.kill(units["unit0000"][1].pid, signal.SIGKILL)
            assert (await ends.next())[0] == "unit0000"

    with subprocess.Popen(["true"]) as neglected:
        eventually(lambda: stat_fields(neglected.pid)[0] == "Z")
        asyncio.run(check())
        assert neglected.wait() == 0


def test_one_that_somebody_else_has_waited_for(tmp_path: Path) -> None:
    units = orphans_of_a_killed_runner(tmp_path, "exec sleep 60", "exec sleep 60")

    async def check() -> None:
        async with watching(units) as ends:
            pid = units["unit0000"][1].pid
            os.kill(pid, signal.SIGKILL)
            taken = await asyncio.to_thread(_take, pid)
            os.kill(units["unit0001"][1].pid, signal.SIGKILL)
            told = dict([await ends.next(), await ends.next()])
            assert (told["unit0000"] is None) == taken
            assert told["unit0001"]

    asyncio.run(check())


def _take(pid: int) -> bool:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return False
    return True


def test_commands_of_another_parent_are_told(tmp_path: Path) -> None:
    with RunnerProcess(tmp_path) as process:
        process.line.read()
        folder = new_unit(tmp_path, "unit0000")
        process.line.start(folder, "sleep", "60")
        start = folder.read_start()
        assert start

        async def check() -> set[str]:
            return Ends().orphans.watch({"unit0000": (folder, start)})

        assert asyncio.run(check()) == {"unit0000"}
        os.kill(start.pid, signal.SIGKILL)


def test_nothing_is_told_after_the_close(tmp_path: Path) -> None:
    units = orphans_of_a_killed_runner(tmp_path, "exec sleep 60")

    async def check() -> None:
        async with watching(units) as ends:
            ends.orphans.close()
            os.kill(units["unit0000"][1].pid, signal.SIGKILL)
        assert ends.queue.empty()

    asyncio.run(check())
    with suppress(ChildProcessError):  # its thread may have been just about to reap what had ended
        os.waitpid(units["unit0000"][1].pid, 0)


def test_a_full_disk_does_not_keep_the_end_from_being_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    units = orphans_of_a_killed_runner(tmp_path, "exec sleep 60")
    folder, start = units["unit0000"]
    folder.exit_file.symlink_to("/dev/full")

    async def check() -> None:
        async with watching(units) as ends:
            os.kill(start.pid, signal.SIGKILL)
            assert (await ends.next())[1]

    asyncio.run(check())
    assert "unit unit0000 could not be recorded" in caplog.text
