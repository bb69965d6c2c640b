from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from commands import eventually, is_alive
from played_keeper import PlayedKeeper
from virtual_time import inline_disk, run_in_virtual_time

from receptor.errors import CommandError, OperatingError
from receptor.workceptor import command_unit
from receptor.workceptor.command_unit import ANSWER_TIME, CommandUnit
from receptor.workceptor.files import Durability
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.growth import GrowthWatcher
from receptor.workceptor.processes import GRACE, ProcessTable
from receptor.workceptor.receiving import CREATED, SHORT_PAYLOAD
from receptor.workceptor.records import ExitRecord, Order, StartRecord, Submission
from receptor.workceptor.results import follow
from receptor.workceptor.runner_client import RunnerClient, Vanished
from receptor.workceptor.status import CommandExtra, State, Status, decode_status, encode_status
from receptor.workceptor.unit import FIRST_BREATH, Unit

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


def status(params: str) -> Status:
    extra = CommandExtra(params=params)
    return Status(state=State.PENDING, detail=CREATED, stdout_size=0, work_type="test", extra=extra)


async def parts(*payload: bytes) -> AsyncIterator[bytes]:
    for part in payload:
        yield part


# With a runner that the test plays


class PlayedRunner(RunnerClient):
    """Starts nothing; the test says how each start goes."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.answer: asyncio.Future[StartRecord] = asyncio.get_running_loop().create_future()

    async def start(
        self, unit_id: str, folder: UnitFolder, argv: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> StartRecord:
        self.asked.append(argv)
        return await self.answer


# Of another time between two boots, so that there is certainly no such process.
START = StartRecord(pid=7, start_time=1, boot_id="before", folder="/nowhere", started=1.0)


def end(exit_code: int | None = 0, signal: int | None = None) -> ExitRecord:
    return ExitRecord(
        exit_code=exit_code, signal=signal, started=1.0, ended=2.0, user_seconds=0, system_seconds=0, peak_memory=0
    )


class Played:
    """A unit whose runner is played."""

    def __init__(self, data_folder: Path) -> None:
        self.runner = PlayedRunner()
        self.folder = UnitFolder(data_folder / "unit0001")
        self.folder.create(b"")
        self.keeper = PlayedKeeper()
        self.unit = self.new_unit()

    def new_unit(self, params: str = "", command: str = "echo") -> CommandUnit:
        base = (self.folder, status(params), inline_disk(), self.keeper, Submission())
        self.unit = CommandUnit(*base, self.runner, command)
        return self.unit

    async def run(self) -> None:
        self.runner.answer.set_result(START)
        await self.unit.start()

    @property
    def outcome(self) -> tuple[State, str]:
        on_disk = decode_status(self.folder.read_status())
        assert self.unit.shown == on_disk
        return on_disk.state, on_disk.detail


PlayedStory = Callable[[Played], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[PlayedStory], None]:
    def play(story: PlayedStory) -> None:
        async def main() -> None:
            played = Played(tmp_path)
            await story(played)
            await played.unit.close()

        run_in_virtual_time(main())

    return play


Play = Callable[[PlayedStory], None]


class TestStarting:
    def test_params_are_split_like_a_shell_does(self, play: Play) -> None:
        async def story(it: Played) -> None:
            it.new_unit("""-c "for i in 1 2; do echo $i; done" 'a b' c\\ d""")
            await it.run()
            assert it.runner.asked == [["echo", "-c", "for i in 1 2; do echo $i; done", "a b", "c d"]]

        play(story)

    def test_pid_and_params_are_shown_while_it_runs(self, play: Play) -> None:
        async def story(it: Played) -> None:
            it.new_unit("-n x")
            await it.run()
            await told_to_run(it.unit)
            assert it.outcome == (State.RUNNING, "Running: PID 7")
            assert it.unit.shown.extra == CommandExtra(pid=7, params="-n x")
            await it.unit.command_ended(end())
            assert it.outcome == (State.SUCCEEDED, "exit status 0")
            assert it.unit.shown.extra is None

        play(story)

    def test_refused_by_the_runner(self, play: Play) -> None:
        async def story(it: Played) -> None:
            it.runner.answer.set_exception(OperatingError("the command can't be started: nope is not found"))
            with pytest.raises(CommandError, match="nope is not found"):
                await it.unit.start()
            assert it.outcome == (
                State.FAILED,
                "Error starting worker: the command can't be started: nope is not found",
            )
            assert await it.unit.cancel()
            assert it.outcome[0] is State.FAILED

        play(story)

    def test_params_that_can_not_be_split(self, play: Play) -> None:
        async def story(it: Played) -> None:
            it.new_unit("'never closed")
            with pytest.raises(CommandError, match="No closing quotation"):
                await it.unit.start()
            assert it.runner.asked == []
            assert it.outcome == (State.FAILED, "Error starting worker: No closing quotation")

        play(story)

    def test_a_work_type_that_is_configured_no_more(self, play: Play) -> None:
        async def story(it: Played) -> None:
            it.new_unit(command="")
            with pytest.raises(CommandError, match="unknown work type test"):
                await it.unit.start()
            assert it.outcome == (State.FAILED, "Error starting worker: unknown work type test")

        play(story)


class TestEnds:
    @pytest.mark.parametrize(
        ("record", "expected"),
        [
            (end(0), (State.SUCCEEDED, "exit status 0")),
            (end(3), (State.FAILED, "exit status 3")),
            (end(None, signal.SIGKILL), (State.FAILED, "signal: killed")),
            (end(None, signal.SIGTERM), (State.FAILED, "signal: terminated")),
        ],
        ids=lambda value: value.detail if isinstance(value, ExitRecord) else "",
    )
    def test_of_commands(self, play: Play, record: ExitRecord, expected: tuple[State, str]) -> None:
        async def story(it: Played) -> None:
            await it.run()
            it.folder.stdout_file.write_bytes(b"12345")
            await it.unit.command_ended(record)
            assert it.outcome == expected
            assert it.unit.shown.stdout_size == 5

        play(story)

    def test_the_size_of_the_output_that_the_runner_noted_counts(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            await it.unit.command_ended(msgspec.structs.replace(end(0), stdout_size=7))
            assert it.outcome == (State.SUCCEEDED, "exit status 0")
            assert it.unit.shown.stdout_size == 7

        play(story)

    def test_vanished(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            await it.unit.vanished("the machine was restarted while it ran")
            assert it.outcome == (State.FAILED, "the machine was restarted while it ran")

        play(story)

    def test_only_the_first_counts(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            await asyncio.gather(it.unit.command_ended(end(0)), it.unit.vanished("gone"))
            await it.unit.command_ended(end(3))
            assert await it.unit.cancel()
            assert it.outcome == (State.SUCCEEDED, "exit status 0")

        play(story)

    def test_the_size_of_the_output_can_not_be_told(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        async def story(it: Played) -> None:
            await it.run()
            it.folder.stdout_file.unlink()
            it.folder.stdout_file.symlink_to(it.folder.stdout_file)
            await it.unit.command_ended(end(0))
            assert it.outcome == (State.SUCCEEDED, "exit status 0")
            assert "stdout" in caplog.text

        play(story)


class TestCancel:
    def test_before_it_was_begun(self, play: Play) -> None:
        async def story(it: Played) -> None:
            assert await it.unit.cancel()
            assert it.outcome == (State.CANCELED, "Canceled")
            with pytest.raises(CommandError, match="was cancelled before its payload was complete"):
                await it.unit.start()
            assert it.runner.asked == []

        play(story)

    @pytest.mark.parametrize("steps", range(6))
    def test_in_the_very_moment_of_the_start(self, play: Play, steps: int) -> None:
        """Either it is never begun, or it is stopped."""

        async def story(it: Played) -> None:
            it.runner.answer.set_result(START)
            cancelling = asyncio.create_task(it.unit.cancel())
            for _ in range(steps):
                await asyncio.sleep(0)
            starting = asyncio.create_task(it.unit.start())
            await asyncio.sleep(1)
            assert cancelling.done() is (it.runner.asked == [])
            if it.runner.asked:
                assert await starting == "Job Started"
                await it.unit.command_ended(end(None, signal.SIGINT))
            else:
                with pytest.raises(CommandError, match="was cancelled"):
                    await starting
            assert await cancelling
            assert it.outcome == (State.CANCELED, "Canceled")

        play(story)

    def test_while_it_is_being_started(self, play: Play) -> None:
        """The command is on its way to running: it is stopped as soon as it is known."""

        async def story(it: Played) -> None:
            starting = asyncio.create_task(it.unit.start())
            await asyncio.sleep(1)
            cancelling = asyncio.create_task(it.unit.cancel())
            await asyncio.sleep(1)
            assert not cancelling.done(), "it is not cancelled before it is certain that it does not run"
            assert it.unit.status.state is State.PENDING
            it.runner.answer.set_result(START)
            await starting
            await it.unit.command_ended(end(None, signal.SIGINT))
            assert await cancelling
            assert it.outcome == (State.CANCELED, "Canceled")

        play(story)

    def test_while_a_start_fails(self, play: Play) -> None:
        async def story(it: Played) -> None:
            starting = asyncio.create_task(it.unit.start())
            await asyncio.sleep(1)
            cancelling = asyncio.create_task(it.unit.cancel())
            await asyncio.sleep(1)
            it.runner.answer.set_exception(OperatingError("no such program"))
            assert await cancelling
            with pytest.raises(CommandError, match="no such program"):
                await starting
            assert it.outcome[0] is State.FAILED

        play(story)

    def test_is_pending_while_the_command_does_not_end(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            loop = asyncio.get_running_loop()
            asked = loop.time()
            assert not any(await asyncio.gather(it.unit.cancel(), it.unit.cancel()))
            assert loop.time() - asked == ANSWER_TIME
            assert it.outcome == (State.RUNNING, "Running: PID 7")
            await it.unit.command_ended(end(None, signal.SIGKILL))
            assert it.outcome == (State.CANCELED, "Canceled")
            assert await it.unit.cancel()

        play(story)

    def test_the_command_ends_well_because_of_it(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            cancelling = asyncio.create_task(it.unit.cancel())
            await asyncio.sleep(1)
            await it.unit.command_ended(end(0))
            assert await cancelling
            assert it.outcome == (State.CANCELED, "Canceled")

        play(story)

    def test_the_command_vanishes_meanwhile(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            cancelling = asyncio.create_task(it.unit.cancel())
            await asyncio.sleep(1)
            await it.unit.vanished("the runner was killed")
            assert await cancelling
            assert it.outcome == (State.CANCELED, "Canceled")

        play(story)

    def test_the_end_came_first(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            await it.unit.command_ended(end(3))
            assert await it.unit.cancel()
            assert it.outcome == (State.FAILED, "exit status 3")

        play(story)


class TestRelease:
    @pytest.mark.parametrize("first", [b"half", b"half" * SHORT_PAYLOAD], ids=["short", "long"])
    def test_while_the_payload_comes(self, play: Play, caplog: pytest.LogCaptureFixture, first: bytes) -> None:
        async def story(it: Played) -> None:
            more = asyncio.Event()

            async def payload() -> AsyncIterator[bytes]:
                yield first
                await more.wait()
                yield b"the rest"

            receiving = asyncio.create_task(it.unit.receive_payload(payload()))
            await asyncio.sleep(1)
            assert await it.unit.release(force=False)
            assert it.keeper.forgotten == ["unit0001"]
            more.set()
            await receiving
            with pytest.raises(CommandError):
                await it.unit.start()
            assert list(it.folder.path.parent.iterdir()) == [], "nothing writes it anew"
            assert it.runner.asked == []

        play(story)
        assert not caplog.records or max(record.levelno for record in caplog.records) < 30

    def test_is_pending_while_the_command_does_not_end(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            assert not any(await asyncio.gather(it.unit.release(force=False), it.unit.release(force=True)))
            assert it.folder.path.exists()
            await it.unit.command_ended(end(None, signal.SIGKILL))
            assert await it.unit.release(force=False)
            assert it.keeper.forgotten == ["unit0001"]
            assert not it.folder.path.exists()

        play(story)

    def test_happens_also_if_nobody_asks_again(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            assert not await it.unit.release(force=False)
            await it.unit.command_ended(end(None, signal.SIGKILL))
            await asyncio.sleep(1)
            assert it.keeper.forgotten == ["unit0001"]
            assert not it.folder.path.exists()

        play(story)

    def test_that_fails_is_told_and_may_be_tried_again(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            await it.unit.command_ended(end(0))
            in_the_way = it.folder.path.with_name(".removed-unit0001")
            in_the_way.write_text("x")
            with pytest.raises(OperatingError):
                await it.unit.release(force=False)
            assert it.keeper.forgotten == []
            in_the_way.unlink()
            assert await it.unit.release(force=False)
            assert it.keeper.forgotten == ["unit0001"]

        play(story)


class TestOrders:
    """What a user has ordered is on disk while it takes time, so that it outlives the daemon."""

    def test_are_on_disk_until_they_are_carried_out(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            assert it.folder.read_order() is None
            assert not await it.unit.cancel()
            assert it.folder.read_order() is Order.CANCEL
            await it.unit.command_ended(end(None, signal.SIGKILL))
            assert it.outcome == (State.CANCELED, "Canceled")

        play(story)

    def test_a_release_stays_one(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            assert not await it.unit.cancel()
            assert not await it.unit.release(force=False)
            assert it.folder.read_order() is Order.RELEASE
            assert not await it.unit.cancel()
            assert it.folder.read_order() is Order.RELEASE

        play(story)

    @pytest.mark.parametrize("releases_first", [False, True])
    def test_both_at_once(self, play: Play, releases_first: bool) -> None:
        async def story(it: Played) -> None:
            await it.run()
            asks = [it.unit.cancel(), it.unit.release(force=False)]
            await asyncio.gather(*(reversed(asks) if releases_first else asks))
            assert it.folder.read_order() is Order.RELEASE

        play(story)

    def test_for_what_has_ended_leave_nothing(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            await it.unit.command_ended(end(0))
            assert await it.unit.cancel()
            assert it.folder.read_order() is None

        play(story)

    @pytest.mark.parametrize("order", Order)
    def test_that_the_disk_does_not_take_are_carried_out_all_the_same(
        self, play: Play, order: Order, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def story(it: Played) -> None:
            await it.run()
            it.folder.path.joinpath("order.new").symlink_to("/dev/full")
            asked = asyncio.create_task(it.unit.cancel() if order is Order.CANCEL else it.unit.release(force=False))
            await asyncio.sleep(1)
            await it.unit.command_ended(end(None, signal.SIGINT))
            assert await asked
            assert it.unit.shown.state is State.CANCELED
            assert it.unit.is_removed is (order is Order.RELEASE)

        play(story)
        assert f"a restart would forget the order to {order}: " in caplog.text
        assert "No space left on device" in caplog.text

    def test_recalled_after_a_restart_they_say_why_the_command_ended(self, play: Play) -> None:
        async def story(it: Played) -> None:
            it.unit.recall_order()
            await it.unit.running(START)
            await it.unit.command_ended(end(None, signal.SIGTERM))
            assert it.outcome == (State.CANCELED, "Canceled")

        play(story)


class TestTheFirstBreath:
    def test_of_a_short_command_only_the_end_is_saved_and_told(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            assert it.unit.shown.state is State.PENDING
            inode = it.folder.status_file.stat().st_ino
            await it.unit.command_ended(end())
            assert it.outcome == (State.SUCCEEDED, "exit status 0")
            assert it.folder.status_file.stat().st_ino != inode
            await asyncio.sleep(2 * FIRST_BREATH)
            assert it.folder.status_file.stat().st_ino != inode, "saved once"
            assert it.outcome == (State.SUCCEEDED, "exit status 0")

        play(story)

    def test_one_that_has_ended_before_its_beginning_is_known_is_saved_once(self, play: Play) -> None:
        async def story(it: Played) -> None:
            starting = asyncio.create_task(it.unit.start())
            await asyncio.sleep(0)
            await it.unit.command_ended(end())
            it.runner.answer.set_result(START)
            assert await starting == "Job Started"
            inode = it.folder.status_file.stat().st_ino
            await asyncio.sleep(2 * FIRST_BREATH)
            assert it.folder.status_file.stat().st_ino == inode
            assert it.outcome == (State.SUCCEEDED, "exit status 0")

        play(story)

    def test_of_others_the_beginning_is_saved_meanwhile(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            await told_to_run(it.unit)
            assert decode_status(it.folder.read_status()).state is State.RUNNING

        play(story)

    def test_the_daemon_may_end_within_it(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            await it.unit.close()
            assert decode_status(it.folder.read_status()).state is State.RUNNING

        play(story)


class TestWhatCanNotBeKilled:
    """A process that hangs in the kernel can't be made by a test."""

    @pytest.fixture(autouse=True)
    def unkillable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail(start: StartRecord, ended: asyncio.Event, grace: float) -> None:
            raise OperatingError("process 7 can't be killed")

        monkeypatch.setattr(command_unit, "stop_process_group", fail)

    def test_is_told_and_stays(self, play: Play, caplog: pytest.LogCaptureFixture) -> None:
        async def story(it: Played) -> None:
            await it.run()
            with pytest.raises(OperatingError, match="process 7 can't be killed"):
                await it.unit.cancel()
            with pytest.raises(OperatingError, match="process 7 can't be killed"):
                await it.unit.release(force=False)
            assert it.keeper.forgotten == []
            await told_to_run(it.unit)
            assert it.outcome == (State.RUNNING, "Running: PID 7")
            assert "process 7 can't be killed" in caplog.text

        play(story)

    def test_is_removed_by_force(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            assert await it.unit.release(force=True)
            assert it.keeper.forgotten == ["unit0001"]
            assert not it.folder.path.exists()

        play(story)


class TestTheEndOfTheDaemon:
    def test_between_the_end_of_the_payload_and_the_start(self, play: Play) -> None:
        """Nobody was promised anything yet, but the payload is whole."""

        async def story(it: Played) -> None:
            await it.unit.receive_payload(parts(b"whole"))
            assert it.unit.has_payload
            await it.unit.close()
            assert it.outcome == (State.PENDING, "Starting Worker")

        play(story)

    def test_leaves_no_task(self, play: Play) -> None:
        async def story(it: Played) -> None:
            await it.run()
            asking = [asyncio.create_task(it.unit.cancel()), asyncio.create_task(it.unit.release(force=True))]
            await asyncio.sleep(1)
            await it.unit.close()
            await asyncio.gather(*asking, return_exceptions=True)
            assert it.outcome == (State.RUNNING, "Running: PID 7")

        play(story)


# With commands that really run


class Real:
    """Units in a data folder, and the runner."""

    def __init__(self, data_folder: Path) -> None:
        self.runner = RunnerClient(data_folder, self._ended)
        self.units: dict[str, CommandUnit] = {}
        self._data_folder = data_folder
        self._disk = ThreadPoolExecutor(1)
        self._ends: set[asyncio.Task[None]] = set()

    def bash(self, script: str, grace: float = GRACE) -> CommandUnit:
        unit_id = f"unit{len(self.units):04}"
        folder = UnitFolder(self._data_folder / unit_id)
        folder.create(b"")
        params = "-c '" + script.replace("'", "'\\''") + "'"
        unit = CommandUnit(folder, status(params), self._disk, self, Submission(), self.runner, "bash", grace)
        self.units[unit_id] = unit
        return unit

    def unit_ended(self, unit: Unit) -> None:
        pass

    def unit_changed(self, unit: Unit) -> None:
        pass

    def unit_removed(self, unit: Unit) -> None:
        self.units.pop(unit.unit_id, None)

    def _ended(self, unit_id: str, ended: ExitRecord | Vanished) -> None:
        unit = self.units.get(unit_id)
        if unit is not None:
            told = unit.vanished(ended.reason) if isinstance(ended, Vanished) else unit.command_ended(ended)
            task = asyncio.create_task(told)
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)

    async def run(self, script: str, payload: bytes = b"", grace: float = GRACE) -> CommandUnit:
        unit = self.bash(script, grace)
        await unit.receive_payload(parts(payload))
        assert await unit.start() == "Job Started"
        return unit

    async def close(self) -> None:
        for unit in self.units.values():
            await unit.close()
        await self.runner.close()
        await asyncio.gather(*self._ends)
        self._disk.shutdown()


def outcome(unit: CommandUnit) -> tuple[State, str]:
    on_disk = decode_status(unit.folder.read_status())
    assert unit.shown == on_disk
    return on_disk.state, on_disk.detail


def pid_of(unit: CommandUnit) -> int:
    start = unit.folder.read_start()
    assert start is not None
    return start.pid


def processes_of(unit: CommandUnit) -> list[int]:
    return list(ProcessTable().belonging_to({str(unit.folder.path)}, set()))


async def told_to_run(unit: CommandUnit) -> None:
    while unit.shown.state is State.PENDING:
        await unit.changed_since(unit.version)


async def has_output(unit: CommandUnit, output: bytes) -> None:
    await asyncio.to_thread(eventually, lambda: unit.folder.stdout_file.read_bytes() == output)


RealStory = Callable[[Real], Coroutine[Any, Any, None]]
Run = Callable[[RealStory], None]


@pytest.fixture
def real(units_folder: Path) -> Run:
    def run(story: RealStory) -> None:
        async def main() -> None:
            units = Real(units_folder)
            try:
                async with asyncio.timeout(20):
                    await story(units)
            finally:
                await units.close()

        asyncio.run(main())

    return run


@needs_proc
class TestRealCommands:
    def test_payload_and_output(self, real: Run) -> None:
        payload = random.Random(1).randbytes(1_000_000)

        async def story(units: Real) -> None:
            unit = await units.run("cat; echo error >&2; exit 3", payload)
            await unit.final()
            assert unit.folder.stdout_file.read_bytes() == payload + b"error\n"
            assert outcome(unit) == (State.FAILED, "exit status 3")
            assert unit.shown.stdout_size == len(payload) + 6

        real(story)

    def test_killed_from_outside(self, real: Run) -> None:
        async def story(units: Real) -> None:
            unit = await units.run("exec sleep 60")
            os.kill(pid_of(unit), signal.SIGKILL)
            await unit.final()
            assert outcome(unit) == (State.FAILED, "signal: killed")

        real(story)

    def test_the_size_of_the_output_is_told_while_it_runs(self, real: Run) -> None:
        async def story(units: Real) -> None:
            unit = await units.run("echo 12345; exec sleep 60")
            await has_output(unit, b"12345\n")
            await told_to_run(unit)
            current = await unit.current_status()
            assert (current.state, current.stdout_size) == (State.RUNNING, 6)

        real(story)

    def test_a_payload_that_breaks_off_is_not_run(self, real: Run) -> None:
        async def cut_off() -> AsyncIterator[bytes]:
            yield b"rm -rf"
            raise ConnectionResetError("the client has left")

        async def story(units: Real) -> None:
            unit = units.bash("cat")
            with pytest.raises(ConnectionResetError):
                await unit.receive_payload(cut_off())
            assert outcome(unit) == (State.FAILED, "Error reading input data: the client has left")
            assert not unit.folder.was_begun()
            assert await unit.release(force=False)
            assert not unit.folder.path.exists()

        real(story)

    def test_followed_live(self, real: Run) -> None:
        async def story(units: Real) -> None:
            growth = GrowthWatcher()
            unit = units.bash("echo one; read -r < $RECEPTOR_UNIT/go; echo two; read -r < $RECEPTOR_UNIT/end")
            go, finish = unit.folder.path / "go", unit.folder.path / "end"
            os.mkfifo(go)
            os.mkfifo(finish)
            await unit.start()
            followers = [follow(unit, 0, growth) for _ in range(3)]
            assert [await anext(output) for output in followers] == [b"one\n"] * 3
            waiting = [asyncio.ensure_future(anext(output)) for output in followers]
            await asyncio.to_thread(go.write_text, "\n")
            assert await asyncio.gather(*waiting) == [b"two\n"] * 3
            await asyncio.to_thread(finish.write_text, "\n")
            assert [[data async for data in output] for output in followers] == [[]] * 3
            growth.close()

        real(story)


@needs_proc
class TestStoppingRealCommands:
    def test_a_sleeping_one(self, real: Run) -> None:
        async def story(units: Real) -> None:
            unit = await units.run("echo on; exec sleep 60")
            await has_output(unit, b"on\n")
            following = asyncio.create_task(everything(unit))
            assert await unit.cancel()
            assert outcome(unit) == (State.CANCELED, "Canceled")
            assert not is_alive(pid_of(unit))
            assert await following == b"on\n"

        real(story)

    def test_one_that_cleans_up_first(self, real: Run) -> None:
        async def story(units: Real) -> None:
            unit = await units.run("trap 'sleep 0.1; echo cleaned; exit 0' INT; echo on; while :; do sleep 0.01; done")
            await has_output(unit, b"on\n")
            assert await unit.cancel()
            assert outcome(unit) == (State.CANCELED, "Canceled")
            assert unit.folder.stdout_file.read_bytes() == b"on\ncleaned\n"
            assert unit.shown.stdout_size == 11

        real(story)

    def test_one_that_needs_the_second_signal(self, real: Run) -> None:
        """It comes after the grace of the work type: the usual one would let the cancel be pending."""

        async def story(units: Real) -> None:
            script = "trap 'echo INT' INT; trap 'echo TERM; exit' TERM; echo on; while :; do sleep 0.01; done"
            unit = await units.run(f"exec 2>/dev/null; {script}", grace=0.1)
            await has_output(unit, b"on\n")
            assert await unit.cancel()
            assert outcome(unit) == (State.CANCELED, "Canceled")
            assert unit.folder.stdout_file.read_bytes() == b"on\nINT\nTERM\n"

        real(story)

    @pytest.mark.parametrize("order", Order)
    def test_the_order_is_on_disk_before_the_first_signal(self, real: Run, tmp_path: Path, order: Order) -> None:
        told = tmp_path / "told"

        async def story(units: Real) -> None:
            script = f"trap 'cat $RECEPTOR_UNIT/order > {told}; exit' INT; echo on; while :; do sleep 0.01; done"
            unit = await units.run(script)
            await has_output(unit, b"on\n")
            assert await (unit.cancel() if order is Order.CANCEL else unit.release(force=False))
            assert told.read_text() == order

        real(story)

    def test_released_with_all_that_it_started(self, real: Run) -> None:
        async def story(units: Real) -> None:
            unit = await units.run("setsid --wait bash -c 'echo on; sleep 60; :'; :")
            await has_output(unit, b"on\n")
            assert len(processes_of(unit)) >= 3
            assert await unit.release(force=False)
            assert not unit.folder.path.exists()
            assert units.units == {}
            assert processes_of(unit) == []

        real(story)

    def test_cancelled_while_it_is_being_started(self, real: Run) -> None:
        async def story(units: Real) -> None:
            await (await units.run("true")).final()
            unit = units.bash("exec sleep 60")
            unit.folder.stdin_file.unlink()
            os.mkfifo(unit.folder.stdin_file)  # Keeps the runner from going on when it has begun.
            starting = asyncio.create_task(unit.start())
            await asyncio.to_thread(eventually, unit.folder.was_begun)
            cancelling = asyncio.create_task(unit.cancel())
            await asyncio.to_thread(unit.folder.stdin_file.write_bytes, b"")
            assert await cancelling
            await starting
            assert outcome(unit) == (State.CANCELED, "Canceled")
            assert not is_alive(pid_of(unit))

        real(story)

    def test_in_a_race_with_its_end(self, real: Run) -> None:
        """Whichever comes first: one end, the same for all, and nothing runs afterwards."""
        rng = random.Random(2)

        async def one(units: Real) -> None:
            unit = await units.run("exec sleep 0.02")
            following = asyncio.create_task(everything(unit))
            await asyncio.sleep(rng.random() / 25)
            cancelled = asyncio.create_task(unit.cancel())
            await unit.final()
            first = outcome(unit)
            assert first in ((State.CANCELED, "Canceled"), (State.SUCCEEDED, "exit status 0"))
            assert await cancelled
            assert await following == b""
            assert outcome(unit) == first
            assert await unit.release(force=rng.random() < 0.5)
            assert not unit.folder.path.exists()

        async def story(units: Real) -> None:
            await asyncio.gather(*(one(units) for _ in range(25)))
            assert units.units == {}

        real(story)


async def everything(unit: CommandUnit) -> bytes:
    growth = GrowthWatcher()
    try:
        return b"".join([data async for data in follow(unit, 0, growth)])
    finally:
        growth.close()


def test_the_output_is_on_the_disk_itself_before_its_end_is_told_if_it_is_to_survive_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(os.readlink(f"/proc/self/fd/{file}")).name))

    async def main() -> None:
        folder = UnitFolder(tmp_path / "unit0001", Durability.POWER)
        folder.create(encode_status(status("")))
        with ThreadPoolExecutor(1) as disk:
            unit = CommandUnit(folder, status(""), disk, PlayedKeeper(), Submission(), PlayedRunner(), "echo")
            await unit.running(START)
            synced.clear()
            await unit.command_ended(end())
            assert synced.index("stdout") < synced.index("status.new")
            await unit.close()

    asyncio.run(main())
