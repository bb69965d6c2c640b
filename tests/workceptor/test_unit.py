from __future__ import annotations

import asyncio
import logging
import stat
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
import pytest
from played_keeper import PlayedKeeper
from virtual_time import run_in_virtual_time

from receptor.errors import OperatingError
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.records import Submission
from receptor.workceptor.status import LARGEST_STATUS, State, Status, decode_status
from receptor.workceptor.unit import CREATED, Unit

T = TypeVar("T")
P = ParamSpec("P")

PENDING = Status(state=State.PENDING, detail=CREATED, stdout_size=0, work_type="echo")


class SlowDisk(Executor):
    """A disk that does its work at once, in turn, but from ``hold`` on only when it is told to."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()
        self._holds = False

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()

        def do() -> None:
            try:
                done.set_result(work(*args, **kwargs))
            except (OperatingError, OSError) as error:
                done.set_exception(error)

        self.waiting.append(do)
        if not self._holds:
            self.go_on()
        return done

    def hold(self) -> None:
        self._holds = True

    def go_on(self) -> None:
        """Do what waits, and then all at once again."""
        self._holds = False
        while self.waiting:
            self.waiting.popleft()()

    def one(self) -> None:
        """Do only the next work."""
        self.waiting.popleft()()


class PlainUnit(Unit):
    """A unit that is only a status and files."""

    async def current_status(self) -> Status:
        return self.shown

    async def start(self) -> str:
        raise NotImplementedError

    @property
    def start_result(self) -> str:
        raise NotImplementedError

    async def cancel(self) -> bool:
        raise NotImplementedError

    async def release(self, force: bool) -> bool:
        raise NotImplementedError


class Fixture:
    def __init__(self, data_folder: Path) -> None:
        self.disk = SlowDisk()
        self.folder = UnitFolder(data_folder / "unit0001")
        self.folder.create(b"")
        self.keeper = PlayedKeeper()
        self.unit = PlainUnit(self.folder, PENDING, self.disk, self.keeper, Submission())

    @property
    def on_disk(self) -> Status:
        return decode_status(self.folder.read_status())


Story = Callable[[Fixture], Coroutine[Any, Any, None]]
Play = Callable[[Story], None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def play(story: Story) -> None:
        async def main() -> None:
            fixture = Fixture(tmp_path)
            await story(fixture)
            fixture.disk.go_on()
            await fixture.unit.close()

        run_in_virtual_time(main())

    return play


async def settle() -> None:
    """Let all that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


def running(number: int) -> Status:
    return msgspec.structs.replace(PENDING, state=State.RUNNING, detail=f"Running: PID {number}")


class TestWaiting:
    def test_a_change_before_the_wait_is_not_lost(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            version = it.unit.version
            it.unit.notify()
            await it.unit.changed_since(version)

        play(story)

    def test_all_who_wait_are_woken(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            waiting = [asyncio.create_task(it.unit.changed_since(it.unit.version)) for _ in range(5)]
            await settle()
            it.unit.notify()
            await asyncio.gather(*waiting)

        play(story)

    def test_for_the_end(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            waiting = asyncio.create_task(it.unit.final())
            await it.unit.save(running(7))
            await settle()
            assert not waiting.done()
            await it.unit.update(state=State.SUCCEEDED)
            await waiting
            await it.unit.final()

        play(story)


class TestSaving:
    def test_is_done_when_it_returns(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            await it.unit.save(running(7))
            assert it.on_disk == it.unit.shown == it.unit.status == running(7)
            assert stat.S_IMODE(it.folder.status_file.stat().st_mode) == 0o600

        play(story)

    def test_nobody_is_shown_what_is_not_on_disk(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            await it.unit.save(PENDING)
            it.disk.hold()
            waiting = asyncio.create_task(it.unit.changed_since(it.unit.version))
            saving = asyncio.create_task(it.unit.save(running(7)))
            await settle()
            assert it.unit.status == running(7)
            assert it.unit.shown == it.on_disk == PENDING
            assert not waiting.done()
            it.disk.go_on()
            await asyncio.gather(saving, waiting)
            assert it.unit.shown == it.on_disk == running(7)

        play(story)

    def test_the_newest_wins_and_the_rest_is_spared(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.disk.hold()
            saving = [asyncio.create_task(it.unit.save(running(number))) for number in range(50)]
            await settle()
            assert len(it.disk.waiting) == 1
            it.disk.one()
            await settle()
            assert len(it.disk.waiting) <= 1
            it.disk.go_on()
            await asyncio.gather(*saving)
            assert it.on_disk == running(49)

        play(story)

    def test_nobody_returns_before_its_own_status_is_on_disk(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.disk.hold()
            first = asyncio.create_task(it.unit.save(running(1)))
            await settle()
            second = asyncio.create_task(it.unit.save(running(2)))
            await settle()
            it.disk.one()
            await settle()
            assert it.on_disk == running(1)
            assert not second.done()
            it.disk.go_on()
            await asyncio.gather(first, second)
            assert it.on_disk == running(2)

        play(story)

    def test_goes_on_when_those_who_wait_for_it_go_away(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.disk.hold()
            saving = [asyncio.create_task(it.unit.save(running(number))) for number in range(2)]
            await settle()
            saving.append(asyncio.create_task(it.unit.save(running(2))))
            await settle()
            for task in saving:
                task.cancel()
            await asyncio.gather(*saving, return_exceptions=True)
            it.disk.go_on()
            await it.unit.saved()
            assert it.on_disk == it.unit.shown == running(2)

        play(story)

    def test_the_end_of_the_daemon_waits_for_it(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.disk.hold()
            saving = asyncio.create_task(it.unit.save(running(7)))
            await settle()
            saving.cancel()
            closing = asyncio.create_task(it.unit.close())
            await settle()
            assert not closing.done()
            it.disk.go_on()
            await closing
            assert it.on_disk == running(7)

        play(story)

    def test_that_fails_is_reported_and_the_status_shown(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        async def story(it: Fixture) -> None:
            it.folder.status_file.unlink()
            it.folder.status_file.mkdir()
            await it.unit.save(running(7))
            assert it.unit.shown == running(7)
            assert "the status can't be saved" in caplog.text
            assert str(it.folder.status_file) in caplog.text
            it.folder.status_file.rmdir()
            await it.unit.save(running(8))
            assert it.on_disk == running(8)

        play(story)

    def test_of_a_status_that_is_too_large(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        async def story(it: Fixture) -> None:
            await it.unit.update(detail="x" * LARGEST_STATUS)
            assert "the status can't be saved" in caplog.text
            await it.unit.update(detail="short")
            assert it.on_disk.detail == "short"

        play(story)

    @pytest.mark.parametrize("last", [State.SUCCEEDED, State.FAILED, State.CANCELED])
    def test_nothing_follows_an_end(self, play: Play, last: State) -> None:
        async def story(it: Fixture) -> None:
            await it.unit.update(state=State.RUNNING, detail="Running: PID 7")
            await it.unit.update(state=State.PENDING, detail="back again")
            assert it.unit.status.detail == "Running: PID 7"
            await it.unit.update(state=last, detail="the end", stdout_size=5)
            for later in State:
                await it.unit.update(state=later, detail="later", stdout_size=9)
            assert it.on_disk == msgspec.structs.replace(PENDING, state=last, detail="the end", stdout_size=5)

        play(story)


class TestRemoving:
    def test_leaves_nothing(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            await it.unit.save(running(7))
            await it.unit.remove()
            assert list(it.folder.path.parent.iterdir()) == []
            assert it.keeper.forgotten == ["unit0001"]
            await it.unit.remove()

        play(story)

    def test_whoever_saves_afterwards_does_not_bring_it_back(
        self, play: Play, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def story(it: Fixture) -> None:
            it.disk.hold()
            saving = asyncio.create_task(it.unit.save(running(1)))
            await settle()
            later = asyncio.create_task(it.unit.save(running(2)))
            removing = asyncio.create_task(it.unit.remove())
            await settle()
            it.disk.go_on()
            await asyncio.gather(saving, later, removing)
            await it.unit.save(running(3))
            assert list(it.folder.path.parent.iterdir()) == []

        play(story)
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

    def test_wakes_those_who_wait(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            waiting = asyncio.create_task(it.unit.changed_since(it.unit.version))
            await settle()
            await it.unit.remove()
            await waiting
            assert it.unit.is_removed

        play(story)

    def test_that_fails_leaves_it_known(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            doomed = it.folder.path.with_name(".removed-unit0001")
            doomed.write_text("in the way")
            with pytest.raises(OperatingError):
                await it.unit.remove()
            assert it.keeper.forgotten == []
            doomed.unlink()
            await it.unit.remove()
            assert it.keeper.forgotten == ["unit0001"]
            assert list(it.folder.path.parent.iterdir()) == []

        play(story)


async def payload(*parts: bytes | Exception) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


class TestPayload:
    def test_is_stored_whole(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            assert not it.unit.has_payload
            await it.unit.receive_payload(payload(b"one ", bytes(range(256)), b" two"))
            assert it.folder.stdin_file.read_bytes() == b"one " + bytes(range(256)) + b" two"
            assert stat.S_IMODE(it.folder.stdin_file.stat().st_mode) == 0o600
            assert it.unit.has_payload
            assert (it.on_disk.state, it.on_disk.detail) == (State.PENDING, "Starting Worker")

        play(story)

    def test_is_seen_to_be_on_its_way(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            async def slow_payload() -> AsyncIterator[bytes]:
                assert it.on_disk.detail == "Waiting for Input Data"
                assert not it.unit.has_payload
                yield b"x"

            await it.unit.receive_payload(slow_payload())

        play(story)

    def test_that_breaks_off_fails_the_unit(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            with pytest.raises(ConnectionResetError):
                await it.unit.receive_payload(payload(b"half", ConnectionResetError("the client has left")))
            assert it.on_disk.state is State.FAILED
            assert it.on_disk.detail == "Error reading input data: the client has left"

        play(story)

    def test_that_does_not_fit_on_the_disk_fails_the_unit(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.folder.stdin_file.unlink()
            it.folder.stdin_file.symlink_to("/dev/full")
            with pytest.raises(OperatingError, match="No space left on device"):
                await it.unit.receive_payload(payload(b"x" * 100_000))
            assert it.on_disk.state is State.FAILED
            assert it.on_disk.detail.startswith("Error reading input data: ")

        play(story)

    def test_that_can_not_be_stored_is_taken_all_the_same(self, play: Play) -> None:
        """The rest of it must not be taken for commands of the client."""

        async def story(it: Fixture) -> None:
            it.folder.stdin_file.unlink()
            it.folder.stdin_file.symlink_to("/dev/full")
            coming = payload(b"a playbook", b"\nwork release unit0002\n", b"x" * 100_000)
            with pytest.raises(OperatingError, match="No space left on device"):
                await it.unit.receive_payload(coming)
            assert [part async for part in coming] == []

        play(story)

    def test_whose_receiver_is_cancelled_leaves_no_file_open(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.disk.hold()
            receiving = asyncio.create_task(it.unit.receive_payload(payload(b"x")))
            await settle()
            it.disk.one()
            await settle()
            assert it.on_disk.detail == "Waiting for Input Data"
            assert len(it.disk.waiting) == 1, "the file is being opened"
            receiving.cancel()
            await settle()
            it.disk.go_on()
            with pytest.raises(asyncio.CancelledError):
                await receiving

        play(story)

    def test_that_was_cut_off_by_a_restart(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            await it.unit.payload_is_cut_off("the node ended before it was complete")
            assert it.on_disk.state is State.FAILED
            assert it.on_disk.detail == "Error reading input data: the node ended before it was complete"

        play(story)
