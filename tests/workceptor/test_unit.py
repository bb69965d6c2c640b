from __future__ import annotations

import asyncio
import logging
import stat
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
import pytest
from played_keeper import PlayedKeeper
from virtual_time import run_in_virtual_time

from receptor.errors import CommandError, OperatingError
from receptor.workceptor.files import Durability
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.records import LOCAL, ExitRecord, Submission
from receptor.workceptor.status import LARGEST_STATUS, State, Status, decode_status
from receptor.workceptor.unit import CREATED, LONGEST_SAVE_PAUSE, SHORT_PAYLOAD, WAITING_FOR_PAYLOAD, Unit

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
            if not done.set_running_or_notify_cancel():
                return
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


class FullingFolder(UnitFolder):
    """A folder on a disk that is full at times."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.saves_at: list[float] = []
        """When it was tried to save the status."""

    def write_status(
        self, raw: bytes, payload: bytes | None = None, end: ExitRecord | None = None, ended: float | None = None
    ) -> None:
        self.saves_at.append(asyncio.get_running_loop().time())
        super().write_status(raw, payload, end, ended)

    @contextmanager
    def full(self) -> Iterator[None]:
        """The disk takes no new status."""
        draft = self.path / "status.new"
        draft.unlink(missing_ok=True)
        draft.symlink_to("/dev/full")
        try:
            yield
        finally:
            draft.unlink(missing_ok=True)


class Fixture:
    def __init__(self, data_folder: Path) -> None:
        self.disk = SlowDisk()
        self.folder = FullingFolder(data_folder / "unit0001")
        self.folder.create(b"")
        self.keeper = PlayedKeeper()
        self.unit = self.new_unit()

    def new_unit(self, submitter: str = LOCAL, idempotency_key: str = "") -> PlainUnit:
        submission = Submission(submitter=submitter, idempotency_key=idempotency_key)
        self.unit = PlainUnit(self.folder, PENDING, self.disk, self.keeper, submission)
        return self.unit

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


class TestAFullDisk:
    """Nothing that happens to the unit waits for the disk, and the disk gets it as soon as it takes it."""

    def test_the_status_is_saved_again_after_a_pause(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        async def story(it: Fixture) -> None:
            with it.folder.full():
                await it.unit.save(running(7))
                assert it.unit.shown == running(7)
                assert "No space left on device; free some space" in str(it.unit.save_problem)
            version = it.unit.version
            await it.unit.changed_since(version)
            assert it.folder.saves_at == [0.0, 1.0]
            assert it.on_disk == it.unit.shown == running(7)
            assert it.unit.save_problem is None
            await asyncio.sleep(1000)
            assert it.folder.saves_at == [0.0, 1.0], "once it is there it is not written again"

        play(story)
        assert caplog.text.count("the status can't be saved") == 1

    def test_the_pauses_grow_to_a_minute(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        async def story(it: Fixture) -> None:
            with it.folder.full():
                await it.unit.save(running(7))
                await asyncio.sleep(600)
            assert it.folder.saves_at[:7] == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0]
            assert {later - earlier for earlier, later in pairwise(it.folder.saves_at[6:])} == {LONGEST_SAVE_PAUSE}
            await asyncio.sleep(LONGEST_SAVE_PAUSE)
            assert it.on_disk == running(7)

        play(story)
        assert caplog.text.count("the status can't be saved") == 1

    def test_the_next_time_the_pauses_begin_anew(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        async def story(it: Fixture) -> None:
            with it.folder.full():
                await it.unit.save(running(1))
                await asyncio.sleep(30)
            await it.unit.save(running(2))
            assert it.unit.save_problem is None
            it.folder.saves_at.clear()
            with it.folder.full():
                await it.unit.save(running(3))
            await asyncio.sleep(1000)
            assert it.folder.saves_at == [30.0, 31.0]
            assert it.on_disk == running(3)

        play(story)
        assert caplog.text.count("the status can't be saved") == 2

    def test_the_unit_goes_on_to_its_end(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            waiting = asyncio.create_task(it.unit.final())
            with it.folder.full():
                await it.unit.save(running(7))
                await it.unit.update(state=State.SUCCEEDED, detail="exit status 0")
                await waiting
                assert it.keeper.ended == ["unit0001"]
                assert it.folder.read_status() == b""
            await asyncio.sleep(10)
            assert it.on_disk == it.unit.shown == it.unit.status
            assert it.on_disk.state is State.SUCCEEDED
            assert it.unit.save_problem is None

        play(story)

    def test_a_newer_status_that_it_takes_ends_the_pause(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            with it.folder.full():
                await it.unit.save(running(1))
            await it.unit.save(running(2))
            assert it.unit.save_problem is None
            await asyncio.sleep(1000)
            assert it.folder.saves_at == [0.0, 0.0]
            assert it.on_disk == running(2)

        play(story)

    @pytest.mark.parametrize("last", ["close", "remove"])
    def test_after_the_end_nothing_is_tried_any_more(self, play: Play, last: str) -> None:
        async def story(it: Fixture) -> None:
            with it.folder.full():
                await it.unit.save(running(7))
                await asyncio.sleep(2)
                await (it.unit.close() if last == "close" else it.unit.remove())
                await asyncio.sleep(1000)
                assert it.folder.saves_at == [0.0, 1.0]

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

    def test_that_fails_leaves_a_unit_that_goes_on(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            doomed = it.folder.path.with_name(".removed-unit0001")
            doomed.write_text("in the way")
            with pytest.raises(OperatingError):
                await it.unit.remove()
            assert it.keeper.forgotten == []
            assert not it.unit.is_removed
            await it.unit.update(state=State.RUNNING)
            await it.unit.update(state=State.SUCCEEDED)
            await it.unit.final()
            assert it.on_disk.state is State.SUCCEEDED
            doomed.unlink()
            await it.unit.remove()
            assert it.keeper.forgotten == ["unit0001"]
            assert list(it.folder.path.parent.iterdir()) == []

        play(story)

    def test_files_that_can_not_be_deleted_are_told_and_left_to_the_next_start(
        self, play: Play, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read_only(_: UnitFolder) -> None:
            raise OperatingError("the disk is read-only")

        async def story(it: Fixture) -> None:
            monkeypatch.setattr(UnitFolder, "clear_away", read_only)
            await it.unit.remove()
            assert it.keeper.forgotten == ["unit0001"]
            assert not it.folder.path.exists()

        play(story)
        assert "its files are deleted when the node starts again" in caplog.text
        assert "the disk is read-only" in caplog.text

    def test_of_much_holds_up_no_other_unit(self, tmp_path: Path) -> None:
        started, go_on = threading.Event(), threading.Event()

        class SlowToClear(UnitFolder):
            def clear_away(self) -> None:
                started.set()
                assert go_on.wait(10)
                super().clear_away()

        async def story(it: PlainUnit) -> None:
            removing = asyncio.create_task(it.remove())
            assert await asyncio.to_thread(started.wait, 10)
            async with asyncio.timeout(10):
                assert await it.on_disk(lambda: "the disk's one thread is free")
            assert it.is_removed
            assert not keeper.forgotten, "the daemon's end must find it"
            go_on.set()
            await removing
            assert keeper.forgotten == ["unit0001"]

        keeper = PlayedKeeper()
        with_threads(story, SlowToClear(tmp_path / "unit0001"), keeper)
        assert list(tmp_path.iterdir()) == []


def with_threads(
    story: Callable[[PlainUnit], Coroutine[Any, Any, None]], folder: UnitFolder, keeper: PlayedKeeper
) -> None:
    """Play a story in real threads."""

    async def main() -> None:
        with ThreadPoolExecutor(1) as disk:
            folder.create(b"")
            await story(PlainUnit(folder, PENDING, disk, keeper, Submission()))

    asyncio.run(main())


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

    def test_that_is_refused_fails_the_unit(self, play: Play) -> None:
        """Such as one that is too large, or another than the one that was signed."""

        async def story(it: Fixture) -> None:
            with pytest.raises(CommandError, match="another payload"):
                await it.unit.receive_payload(payload(b"x", CommandError("the signature is for another payload")))
            assert it.on_disk.state is State.FAILED
            assert it.on_disk.detail == "Error reading input data: the signature is for another payload"
            assert it.unit.lacks_payload

        play(story)

    def test_that_is_stored_but_nobody_could_know_after_a_restart(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            disk = ExitStack()

            async def filling_payload() -> AsyncIterator[bytes]:
                yield b"the last that fits"
                disk.enter_context(it.folder.full())

            with pytest.raises(OperatingError, match=r"status: No space left on device; free some space"):
                await it.unit.receive_payload(filling_payload())
            assert it.unit.shown.state is State.FAILED
            assert it.on_disk.detail == WAITING_FOR_PAYLOAD
            disk.close()
            await asyncio.sleep(10)
            assert it.on_disk == it.unit.shown
            assert "No space left" in it.on_disk.detail
            assert it.unit.lacks_payload

        play(story)


OF_A_NODE = {"submitter": "node foo", "idempotency_key": "key-1"}


class TestPayloadOfAKeyedUnit:
    """Who gave a key submits the same once more."""

    def test_of_another_node_that_breaks_off_leaves_nothing(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.new_unit(**OF_A_NODE)
            with pytest.raises(ConnectionResetError):
                await it.unit.receive_payload(payload(b"half", ConnectionResetError("the link was cut")))
            assert it.keeper.forgotten == ["unit0001"]
            assert not it.folder.path.exists()

        play(story)

    @pytest.mark.parametrize(
        "submission",
        [
            {"submitter": LOCAL, "idempotency_key": "key-1"},
            {"submitter": "tcp 192.0.2.7", "idempotency_key": "key-1"},
            {"submitter": "node foo"},
        ],
        ids=str,
    )
    def test_of_all_others_fails_the_unit(self, play: Play, submission: dict[str, str]) -> None:
        async def story(it: Fixture) -> None:
            it.new_unit(**submission)
            with pytest.raises(ConnectionResetError):
                await it.unit.receive_payload(payload(b"half", ConnectionResetError("the client has left")))
            assert it.on_disk.state is State.FAILED
            assert it.unit.lacks_payload
            assert it.keeper.forgotten == []

        play(story)

    def test_that_can_not_even_be_removed(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        """That must not hide what happened, nor harm whoever looks after it."""

        async def story(it: Fixture) -> None:
            it.new_unit(**OF_A_NODE)
            in_the_way = it.folder.path.with_name(".removed-unit0001")
            in_the_way.write_text("x")
            with pytest.raises(ConnectionResetError):
                await it.unit.receive_payload(payload(b"half", ConnectionResetError("the link was cut")))
            await it.unit.payload_is_cut_off("the node ended before it was complete")
            assert it.keeper.forgotten == []
            in_the_way.unlink()

        play(story)
        assert "unit0001" in caplog.text
        assert max(record.levelno for record in caplog.records) == logging.ERROR


class TestSettlingAPayload:
    def test_holds_up_no_other_unit_and_comes_before_it_is_called_complete(self, tmp_path: Path) -> None:
        started, go_on = threading.Event(), threading.Event()
        whole = bytes(SHORT_PAYLOAD + 1)

        class SlowToSettle(UnitFolder):
            def settle_payload(self) -> None:
                assert self.stdin_file.read_bytes() == whole
                started.set()
                assert go_on.wait(10)

        async def story(it: PlainUnit) -> None:
            receiving = asyncio.create_task(it.receive_payload(payload(whole)))
            assert await asyncio.to_thread(started.wait, 10)
            async with asyncio.timeout(10):
                assert decode_status(await it.on_disk(it.folder.read_status)).detail == WAITING_FOR_PAYLOAD
            assert not it.has_payload
            go_on.set()
            await receiving
            assert it.has_payload

        with_threads(story, SlowToSettle(tmp_path / "unit0001", Durability.POWER), PlayedKeeper())


class TestReceivingAnew:
    @staticmethod
    async def begun(it: Fixture, *parts: bytes) -> asyncio.Task[None]:
        """A reception that has got some parts, and gets no more."""

        async def slow_payload() -> AsyncIterator[bytes]:
            for part in parts:
                yield part
            await asyncio.Event().wait()

        receiving = asyncio.create_task(it.unit.receive_payload(slow_payload()))
        await settle()
        assert it.folder.stdin_file.read_bytes() == b"".join(parts)
        return receiving

    def test_nothing_fails_and_nothing_is_left_of_what_came_before(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            receiving = await self.begun(it, b"a long " * 10_000, b"payload")
            await it.unit.stop_receiving()
            assert receiving.cancelled()
            assert (it.on_disk.state, it.on_disk.detail) == (State.PENDING, WAITING_FOR_PAYLOAD)
            assert not it.unit.has_payload
            assert not it.unit.lacks_payload
            await it.unit.receive_payload(payload(b"short"))
            assert it.folder.stdin_file.read_bytes() == b"short"
            assert (it.on_disk.state, it.on_disk.detail) == (State.PENDING, "Starting Worker")

        play(story)

    def test_what_the_disk_still_takes_of_the_first_comes_before_the_second(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            more = asyncio.Event()

            async def slow_payload() -> AsyncGenerator[bytes, None]:
                yield b"first" * SHORT_PAYLOAD
                await more.wait()
                yield b"and more of the first"

            coming = slow_payload()
            receiving = asyncio.create_task(it.unit.receive_payload(coming))
            await settle()
            it.disk.hold()
            more.set()
            await settle()
            stopping = asyncio.create_task(it.unit.stop_receiving())
            await settle()
            assert not stopping.done(), "its file is still open"
            it.disk.go_on()
            await stopping
            assert receiving.cancelled()
            await it.unit.receive_payload(payload(b"second"))
            assert it.folder.stdin_file.read_bytes() == b"second"
            await coming.aclose()

        play(story)

    def test_what_is_not_being_received_is_not_stopped(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            await it.unit.stop_receiving()
            await it.unit.receive_payload(payload(b"whole"))
            await it.unit.stop_receiving()
            assert it.unit.has_payload
            assert it.folder.stdin_file.read_bytes() == b"whole"

        play(story)

    def test_the_receiver_may_go_on_with_its_own_business_once_the_payload_is_there(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            async def client() -> str:
                await it.unit.receive_payload(payload(b"whole"))
                await asyncio.sleep(1)
                return "started"

            serving = asyncio.create_task(client())
            await settle()
            assert it.unit.has_payload
            await it.unit.stop_receiving()
            assert await serving == "started"

        play(story)
