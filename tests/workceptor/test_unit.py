from __future__ import annotations

import asyncio
import logging
import stat
import threading
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from plain_unit import PENDING, Fixture, PlainUnit, Play, play_story, settle, with_threads
from played_keeper import PlayedKeeper

from receptor.errors import OperatingError
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.status import LARGEST_STATUS, State, Status
from receptor.workceptor.unit import LONGEST_SAVE_PAUSE


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return partial(play_story, tmp_path)


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


class TestEnvironment:
    def test_goes_once_it_is_on_disk_that_the_command_runs(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.folder.environment_file.write_text("{}")
            it.unit.environment = "{}"
            with it.folder.full():
                await it.unit.save(running(7))
                assert it.folder.environment_file.exists(), "after a crash the command may still have to be started"
            await asyncio.sleep(10)
            assert it.on_disk == running(7)
            assert not it.folder.environment_file.exists()
            assert it.unit.environment == ""

        play(story)

    def test_that_can_not_be_deleted_is_tried_again_and_holds_up_nobody(self, play: Play) -> None:
        async def story(it: Fixture) -> None:
            it.folder.environment_file.mkdir()
            it.unit.environment = "{}"
            await it.unit.save(running(7))
            assert it.unit.shown == running(7)
            it.folder.environment_file.rmdir()
            it.folder.environment_file.write_text("{}")
            await asyncio.sleep(10)
            assert not it.folder.environment_file.exists()
            assert it.unit.environment == ""

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
