from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest
from fed_unit import FedUnit
from played_keeper import PlayedKeeper

from receptor.errors import OperatingError
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.growth import GrowthWatcher
from receptor.workceptor.records import Submission
from receptor.workceptor.results import READ_SIZE, follow
from receptor.workceptor.status import State, Status
from receptor.workceptor.unit import Unit

RUNNING = Status(state=State.RUNNING, detail="Running: PID 1", stdout_size=0, work_type="remote")


@pytest.fixture
def disk() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
def unit(tmp_path: Path, disk: Executor) -> Callable[[], FedUnit]:
    def make() -> FedUnit:
        folder = UnitFolder(tmp_path / "abcdefgh")
        folder.create(b"")
        return FedUnit(folder, RUNNING, disk, PlayedKeeper(), Submission())

    return make


async def collect(unit: Unit, start: int = 0) -> bytes:
    growth = GrowthWatcher()
    try:
        return b"".join([data async for data in follow(unit, start, growth)])
    finally:
        growth.close()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(main())


def test_the_output_of_an_ended_unit_comes_whole_and_from_an_offset(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        ended = unit()
        everything = bytes(range(256)) * 8192
        ended.output(everything)
        await ended.update(state=State.SUCCEEDED, stdout_size=len(everything))
        assert await collect(ended) == everything
        assert await collect(ended, 1000) == everything[1000:]
        assert await collect(ended, len(everything) + 5) == b""

    run(scenario)


def test_output_is_told_as_it_comes(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        running, growth = unit(), GrowthWatcher()
        output = follow(running, 0, growth)
        running.output(b"one")
        assert await anext(output) == b"one"
        coming = asyncio.ensure_future(anext(output))
        running.output(b"two")
        assert await coming == b"two"
        await running.update(state=State.FAILED, stdout_size=6)
        with pytest.raises(StopAsyncIteration):
            await anext(output)
        growth.close()

    run(scenario)


def test_output_that_is_still_on_its_way_from_the_other_node_is_waited_for(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        ended = unit()
        await ended.update(state=State.SUCCEEDED, stdout_size=4)
        following = asyncio.create_task(collect(ended))
        ended.output(b"la")
        ended.output(b"st")
        assert await following == b"last"

    run(scenario)


def test_it_ends_when_the_unit_is_cancelled(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        running = unit()
        running.output(b"on")
        following = asyncio.create_task(collect(running))
        await running.update(state=State.CANCELED, stdout_size=2)
        assert await following == b"on"

    run(scenario)


def test_it_ends_when_the_unit_is_released(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        running = unit()
        following = asyncio.create_task(collect(running))
        await running.release(force=False)
        assert await following == b""

    run(scenario)


def test_all_followers_get_everything(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        running = unit()
        following = [asyncio.create_task(collect(running)) for _ in range(20)]
        for number in range(50):
            running.output(b"%d\n" % number)
        text = b"".join(b"%d\n" % number for number in range(50))
        await running.update(state=State.SUCCEEDED, stdout_size=len(text))
        assert await asyncio.gather(*following) == [text] * 20

    run(scenario)


def test_its_end_is_not_told_before_it_is_on_disk(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        ended = unit()
        following = asyncio.create_task(collect(ended))
        await ended.update(state=State.SUCCEEDED, detail="exit status 0")
        await following
        assert b'"State":2' in ended.folder.read_status()

    run(scenario)


@pytest.mark.parametrize("start", [0, 3, 7])
def test_from_an_offset_while_it_runs(unit: Callable[[], FedUnit], start: int) -> None:
    async def scenario() -> None:
        running = unit()
        running.output(b"12345")
        following = asyncio.create_task(collect(running, start))
        await asyncio.sleep(0)
        running.output(b"67890")
        await running.update(state=State.SUCCEEDED, stdout_size=10)
        assert await following == b"1234567890"[start:]

    run(scenario)


def test_an_offset_far_beyond_the_end(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        ended = unit()
        ended.output(b"12345")
        await ended.update(state=State.SUCCEEDED, stdout_size=5)
        assert await collect(ended, 2**70) == b""

    run(scenario)


def test_what_was_begun_is_read_to_the_end_though_the_unit_is_released(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        ended, growth = unit(), GrowthWatcher()
        everything = random.Random(1).randbytes(2 * READ_SIZE + 1)
        ended.output(everything)
        await ended.update(state=State.SUCCEEDED, stdout_size=len(everything))
        output = follow(ended, 0, growth)
        first = await anext(output)
        await ended.release(force=False)
        assert first + b"".join([data async for data in output]) == everything
        growth.close()

    run(scenario)


def test_a_unit_without_a_file(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        ended = unit()
        ended.folder.stdout_file.unlink()
        await ended.update(state=State.FAILED)
        assert await collect(ended) == b""

    run(scenario)


def test_a_file_that_can_not_be_read(unit: Callable[[], FedUnit]) -> None:
    async def scenario() -> None:
        running = unit()
        running.folder.stdout_file.unlink()
        running.folder.stdout_file.mkdir()
        with pytest.raises(OperatingError, match="stdout: Is a directory"):
            await collect(running)

    run(scenario)


@pytest.mark.parametrize("steps", range(12))
def test_who_leaves_keeps_no_file_open(unit: Callable[[], FedUnit], steps: int) -> None:
    """At whatever point: an open file would be a warning, and so an error."""

    async def scenario() -> None:
        running = unit()
        running.output(b"on")
        following = asyncio.create_task(collect(running))
        for _ in range(steps):
            await asyncio.sleep(0)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following

    run(scenario)


def test_who_leaves_closes_no_file_that_a_thread_is_about_to_read(
    unit: Callable[[], FedUnit], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number could be another file's by then."""
    reading, go_on, read = threading.Event(), threading.Event(), threading.Event()
    problems: list[OSError] = []
    fstat = os.fstat

    def slow_fstat(number: int) -> os.stat_result:
        if threading.current_thread() is threading.main_thread():
            return fstat(number)
        reading.set()
        assert go_on.wait(10)
        try:
            return fstat(number)
        except OSError as error:
            problems.append(error)
            raise
        finally:
            read.set()

    async def scenario() -> None:
        running = unit()
        running.output(b"on")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fstat", slow_fstat)
            following = asyncio.create_task(collect(running))
            assert await asyncio.to_thread(reading.wait, 10)
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following
            go_on.set()
            assert await asyncio.to_thread(read.wait, 10)

    run(scenario)
    assert problems == []


def test_any_interleaving_of_output_and_end(unit: Callable[[], FedUnit]) -> None:
    rng = random.Random(3)

    async def scenario() -> None:
        for _ in range(30):
            running = unit()
            following = [asyncio.create_task(collect(running)) for _ in range(3)]
            text = b""
            for _ in range(rng.randrange(5)):
                await asyncio.sleep(rng.choice([0, 0, 0.001]))
                data = rng.randbytes(rng.randrange(1000))
                running.output(data)
                text += data
            await running.update(state=State.SUCCEEDED, stdout_size=len(text))
            assert await asyncio.gather(*following) == [text] * 3
            await running.release(force=False)

    run(scenario)
