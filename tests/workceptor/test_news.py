from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from event_loops import EventLoop
from fed_unit import FedUnit
from played_keeper import PlayedKeeper

from receptor.errors import OperatingError
from receptor.workceptor.command_unit import CommandUnit
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.growth import GrowthWatcher
from receptor.workceptor.news import MOST_OUTPUT, News, await_news, look
from receptor.workceptor.records import Submission
from receptor.workceptor.runner_client import RunnerClient
from receptor.workceptor.status import State, Status
from receptor.workceptor.unit import Unit


def status(state: State) -> Status:
    return Status(state=state, detail="", stdout_size=0, work_type="cat")


@pytest.fixture
def disk() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def folder(tmp_path: Path) -> UnitFolder:
    folder = UnitFolder(tmp_path / "abcdefgh")
    folder.create(b"")
    return folder


@pytest.fixture
def fed(folder: UnitFolder, disk: Executor) -> FedUnit:
    """A unit that tells itself when its output grows."""
    return FedUnit(folder, status(State.PENDING), disk, PlayedKeeper(), Submission())


@pytest.fixture
def command(folder: UnitFolder, disk: Executor) -> CommandUnit:
    """A unit whose output grows without a word."""
    runner = RunnerClient(folder.path.parent, on_end=_never)
    return CommandUnit(folder, status(State.PENDING), disk, PlayedKeeper(), Submission(), runner, "cat")


def _never(*_: object) -> None:
    raise AssertionError


def write(unit: Unit, data: bytes) -> None:
    with open(unit.folder.stdout_file, "ab") as stdout:
        stdout.write(data)


def watches() -> int:
    """Files that this process has the kernel watch."""
    fdinfo = Path("/proc/self/fdinfo")
    found = 0
    for entry in fdinfo.iterdir():
        try:
            found += entry.read_text().count("inotify wd:")
        except FileNotFoundError:
            continue
    return found


@asynccontextmanager
async def watcher() -> AsyncIterator[GrowthWatcher]:
    """Nothing is watched any more in the end."""
    growth = GrowthWatcher()
    try:
        yield growth
        if sys.platform == "linux":
            assert watches() == 0
    finally:
        growth.close()


async def is_quiet(waiting: asyncio.Task[None]) -> bool:
    """Whether it goes on waiting, though it had time to look at the output."""
    for _ in range(5):
        await asyncio.to_thread(lambda: None)
    return not waiting.done()


def test_another_state_than_the_known_one_is_told_at_once(run: EventLoop, fed: FedUnit) -> None:
    async def main() -> None:
        async with watcher() as growth:
            await fed.update(state=State.RUNNING)
            for known in (State.SUCCEEDED, State.FAILED):
                for start in (None, 0):
                    await await_news(fed, known, start, growth)

    run(main())


@pytest.mark.parametrize("start", [None, 0, 5])
def test_a_change_of_the_state_is_told(run: EventLoop, fed: FedUnit, start: int | None) -> None:
    async def main() -> None:
        async with watcher() as growth:
            await fed.update(state=State.RUNNING)
            waiting = asyncio.create_task(await_news(fed, State.RUNNING, start, growth))
            await fed.update(detail="only that")
            assert await is_quiet(waiting)
            await fed.update(state=State.SUCCEEDED)
            await waiting

    run(main())


@pytest.mark.parametrize("kind", ["fed", "command"])
@pytest.mark.parametrize("start", [None, 0])
def test_a_removal_is_told(run: EventLoop, request: pytest.FixtureRequest, kind: str, start: int | None) -> None:
    unit: FedUnit | CommandUnit = request.getfixturevalue(kind)

    async def main() -> None:
        async with watcher() as growth:
            await unit.update(state=State.RUNNING)
            waiting = asyncio.create_task(await_news(unit, State.RUNNING, start, growth))
            assert await is_quiet(waiting)
            await unit.remove()
            await waiting

    run(main())


def test_output_from_that_byte_on_is_told(run: EventLoop, fed: FedUnit) -> None:
    async def main() -> None:
        async with watcher() as growth:
            await fed.update(state=State.RUNNING)
            waiting = asyncio.create_task(await_news(fed, State.RUNNING, 3, growth))
            fed.output(b"123")
            assert await is_quiet(waiting)
            fed.output(b"4")
            await waiting
            assert (await look(fed, 3)).output == b"4"

    run(main())


def test_output_is_told_of_a_unit_that_has_ended_when_it_arrives(run: EventLoop, fed: FedUnit) -> None:
    async def main() -> None:
        async with watcher() as growth:
            await fed.update(state=State.SUCCEEDED, stdout_size=4)
            waiting = asyncio.create_task(await_news(fed, State.SUCCEEDED, 0, growth))
            assert await is_quiet(waiting)
            fed.output(b"late")
            await waiting
            assert (await look(fed, 0)).output == b"late"

    run(main())


def test_output_that_nobody_asks_for_is_no_news(run: EventLoop, fed: FedUnit) -> None:
    async def main() -> None:
        async with watcher() as growth:
            await fed.update(state=State.RUNNING)
            waiting = asyncio.create_task(await_news(fed, State.RUNNING, None, growth))
            fed.output(b"123")
            assert await is_quiet(waiting)
            await fed.update(state=State.FAILED)
            await waiting

    run(main())


def test_the_output_of_a_command_is_watched_while_it_runs(run: EventLoop, command: CommandUnit) -> None:
    async def main() -> None:
        async with watcher() as growth:
            waiting = asyncio.create_task(await_news(command, State.PENDING, 0, growth))
            await command.update(detail="not yet")
            assert await is_quiet(waiting)
            await command.update(state=State.RUNNING)
            await waiting
            for data in (b"one", b"two", b"three"):
                start = await command.stdout_size()
                waiting = asyncio.create_task(await_news(command, State.RUNNING, start, growth))
                assert await is_quiet(waiting)
                write(command, data)
                await waiting
                assert (await look(command, start)).output == data

    run(main())


def test_output_that_was_there_before_is_told_at_once(run: EventLoop, command: CommandUnit) -> None:
    async def main() -> None:
        async with watcher() as growth:
            await command.update(state=State.RUNNING)
            write(command, b"early")
            await await_news(command, State.RUNNING, 4, growth)

    run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="looks at inotify")
def test_who_waits_for_no_output_has_nothing_watched(run: EventLoop, command: CommandUnit) -> None:
    async def main() -> None:
        async with watcher() as growth:
            await command.update(state=State.RUNNING)
            waiting = [asyncio.create_task(await_news(command, State.RUNNING, None, growth)) for _ in range(3)]
            assert await is_quiet(waiting[0])
            assert watches() == 0
            await command.update(state=State.SUCCEEDED)
            await asyncio.gather(*waiting)

    run(main())


@pytest.mark.parametrize("steps", range(10))
def test_who_leaves_leaves_nothing_behind(run: EventLoop, command: CommandUnit, steps: int) -> None:
    """At whatever point, and whoever else waits."""

    async def main() -> None:
        async with watcher() as growth:
            await command.update(state=State.RUNNING)
            staying = asyncio.create_task(await_news(command, State.RUNNING, 0, growth))
            leaving = asyncio.create_task(await_news(command, State.RUNNING, 0, growth))
            for _ in range(steps):
                await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert await is_quiet(staying)
            write(command, b"x")
            await staying

    run(main())


def test_thousands_may_wait(run: EventLoop, command: CommandUnit) -> None:
    async def main() -> None:
        async with watcher() as growth:
            await command.update(state=State.RUNNING)
            waiting = [asyncio.create_task(await_news(command, State.RUNNING, 0, growth)) for _ in range(1000)]
            assert await is_quiet(waiting[0])
            write(command, b"x")
            await asyncio.gather(*waiting)

    run(main())


# What is told


def test_what_is_told(run: EventLoop, fed: FedUnit) -> None:
    async def main() -> None:
        fed.output(b"early")
        assert await look(fed, None) == await look(fed, 0) == News(fed.status), (
            "it can't have output while it is Pending"
        )
        await fed.update(state=State.RUNNING)
        assert await look(fed, None) == News(fed.status)
        told = await look(fed, 3)
        assert (told.status.state, told.status.stdout_size, told.output) == (State.RUNNING, 5, b"ly")
        await fed.update(state=State.SUCCEEDED, stdout_size=5)
        assert await look(fed, None) == News(fed.status)
        assert await look(fed, 3) == News(fed.status, b"ly")
        assert await look(fed, 5) == await look(fed, 2**63 - 1) == News(fed.status)

    run(main())


def test_not_more_than_so_much_output_is_told(run: EventLoop, fed: FedUnit) -> None:
    async def main() -> None:
        output = bytes(range(256)) * (MOST_OUTPUT // 100)
        await fed.update(state=State.RUNNING)
        fed.output(output)
        told = await look(fed, 100)
        assert told.output == output[100 : 100 + MOST_OUTPUT]
        assert told.status.stdout_size == len(output)

    run(main())


def test_a_unit_without_a_file_has_no_output(run: EventLoop, fed: FedUnit) -> None:
    async def main() -> None:
        await fed.update(state=State.RUNNING)
        fed.folder.stdout_file.unlink()
        assert await look(fed, 0) == News(fed.status)
        async with watcher() as growth:
            waiting = asyncio.create_task(await_news(fed, State.RUNNING, 0, growth))
            assert await is_quiet(waiting)
            await fed.update(state=State.FAILED, stdout_size=4)
            await waiting
            assert await look(fed, 0) == News(fed.status)

    run(main())


def test_a_file_that_can_not_be_read(run: EventLoop, fed: FedUnit) -> None:
    async def main() -> None:
        await fed.update(state=State.RUNNING)
        fed.folder.stdout_file.unlink()
        fed.folder.stdout_file.mkdir()
        with pytest.raises(OperatingError, match="stdout: Is a directory"):
            await look(fed, 0)

    run(main())
