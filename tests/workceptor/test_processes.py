from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from commands import eventually, is_alive

from receptor.workceptor import runner
from receptor.workceptor.processes import (
    ProcessTable,
    SharedTable,
    is_running,
    kill_remains,
    leave_out,
    stop_process_group,
    this_boot,
)
from receptor.workceptor.records import StartRecord

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


@dataclass
class Command:
    """A command started as the runner does it, with this process as its parent."""

    folder: Path
    process: subprocess.Popen[bytes]
    start: StartRecord

    def pids(self, count: int) -> list[int]:
        """The numbers that the command has written, as soon as there are that many."""

        def written() -> list[int] | None:
            lines = (self.folder / "out").read_text().split("\n")[:-1]
            return [int(line) for line in lines] if len(lines) == count else None

        return eventually(written)

    async def stop(self, grace: float = 0.3, term_grace: float = 0.3) -> float:
        """Stop it, and return the seconds that took."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def reap() -> None:
            self.process.wait()
            loop.call_soon_threadsafe(ended.set)

        reaper = threading.Thread(target=reap)
        reaper.start()
        began = time.monotonic()
        await stop_process_group(self.start, ended, grace, term_grace)
        took = time.monotonic() - began
        await ended.wait()
        reaper.join()
        return took


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[[str], Command]]:
    """Starts bash with a script; whatever is left at the end is killed."""
    commands: list[Command] = []

    def start(script: str) -> Command:
        folder = tmp_path / f"unit{len(commands):04}"
        folder.mkdir()
        environment = {"PATH": os.environ["PATH"], runner.UNIT_VARIABLE: str(folder)}
        with (folder / "out").open("wb") as out:
            process = subprocess.Popen(["bash", "-c", script], stdout=out, start_new_session=True, env=environment)
        record = StartRecord(
            pid=process.pid,
            start_time=runner.start_time(process.pid),
            boot_id=this_boot(),
            folder=str(folder),
            started=time.time(),
        )
        commands.append(Command(folder, process, record))
        return commands[-1]

    yield start
    kill_remains([command.start.folder for command in commands], [])
    for command in commands:
        command.process.wait()


StartCommand = Callable[[str], Command]


class TestIdentity:
    def test_the_same_process(self, command: StartCommand) -> None:
        nap = command("exec sleep 60")
        assert is_running(nap.start)
        nap.process.kill()
        nap.process.wait()
        assert not is_running(nap.start)

    def test_a_number_that_was_used_again(self, command: StartCommand) -> None:
        nap = command("exec sleep 60")
        assert nap.start.start_time
        earlier = msgspec.structs.replace(nap.start, start_time=nap.start.start_time - 1)
        before_the_boot = msgspec.structs.replace(nap.start, boot_id="another")
        assert not is_running(earlier)
        assert not is_running(before_the_boot)

    @pytest.mark.parametrize("change", [{"start_time": 1}, {"boot_id": "another"}])
    def test_a_stranger_with_the_number_is_never_signalled(
        self, command: StartCommand, change: dict[str, int | str]
    ) -> None:
        stranger = command("exec sleep 60")
        start = msgspec.structs.replace(stranger.start, folder="/another/unit", **change)
        asyncio.run(stop_process_group(start, asyncio.Event(), 0.0, 0.0))
        kill_remains(["/another/unit"], [start])
        assert is_alive(stranger.process.pid)


class TestStopping:
    def test_an_interrupt_is_enough_for_most(self, command: StartCommand) -> None:
        nap = command("echo $$; exec sleep 60")
        nap.pids(1)
        assert asyncio.run(nap.stop(grace=60.0)) < 10
        assert nap.process.returncode == -signal.SIGINT

    def test_the_whole_group_gets_it(self, command: StartCommand) -> None:
        tree = command("echo $$; bash -c 'echo $$; bash -c \"echo \\$\\$; sleep 60; :\"; :'; :")
        pids = tree.pids(3)
        assert asyncio.run(tree.stop(grace=60.0)) < 10
        assert not any(is_alive(pid) for pid in pids)

    def test_a_command_may_take_its_time_to_end_well(self, command: StartCommand) -> None:
        tidy = command("trap 'sleep 0.2; exit 7' INT; echo $$; while :; do sleep 0.02; done")
        tidy.pids(1)
        assert asyncio.run(tidy.stop(grace=60.0)) < 30
        assert tidy.process.returncode == 7

    def test_then_it_is_terminated(self, command: StartCommand) -> None:
        deaf = command("trap '' INT; trap 'exit 4' TERM; echo $$; while :; do sleep 0.02; done")
        deaf.pids(1)
        assert asyncio.run(deaf.stop(term_grace=60.0)) < 10
        assert deaf.process.returncode == 4

    def test_then_it_is_killed(self, command: StartCommand) -> None:
        deaf = command("trap '' INT TERM; echo $$; (echo $BASHPID; while :; do sleep 0.02; done) & sleep 60; sleep 60")
        pids = deaf.pids(2)
        took = asyncio.run(deaf.stop())
        assert deaf.process.returncode == -signal.SIGKILL
        assert took >= 0.6
        assert not any(is_alive(pid) for pid in pids)

    @pytest.mark.parametrize(
        "escape",
        [
            "set -m; sleep 60 & echo $!; set +m",
            "setsid bash -c 'echo $$; exec sleep 60' &",
            "(setsid bash -c 'echo $$; exec sleep 60' &)",
            "env -i setsid bash -c 'echo $$; exec sleep 60' &",
            "(trap '' INT TERM HUP; exec nohup bash -c 'echo $$; exec sleep 60') &",
            "(trap '' INT TERM HUP; exec env -i setsid bash -c 'echo $$; exec sleep 60') &",
        ],
        ids=["own group", "own session", "daemon", "other environment", "deaf", "other environment and deaf"],
    )
    def test_nothing_it_started_survives(self, command: StartCommand, escape: str) -> None:
        tree = command(f"trap '' INT; {escape}\necho $$; while :; do sleep 0.02; done")
        pids = tree.pids(2)
        asyncio.run(tree.stop())
        assert not any(is_alive(pid) for pid in pids)

    def test_what_a_command_left_behind_is_stopped_with_it(self, command: StartCommand) -> None:
        """The command heeds the interrupt, its children don't."""
        tree = command("trap '' INT TERM; sleep 60 & echo $!; trap - INT; echo $$; exec sleep 60")
        pids = tree.pids(2)
        asyncio.run(tree.stop())
        assert not any(is_alive(pid) for pid in pids)

    def test_a_stopped_one_is_killed(self, command: StartCommand) -> None:
        stopped = command("echo $$; exec sleep 60")
        stopped.pids(1)
        os.kill(stopped.process.pid, signal.SIGSTOP)
        asyncio.run(stopped.stop())
        assert stopped.process.returncode in (-signal.SIGINT, -signal.SIGKILL)

    def test_one_that_ended_by_itself(self, command: StartCommand) -> None:
        done = command("exit 0")
        done.process.wait()
        assert asyncio.run(done.stop(grace=60.0)) < 10

    def test_others_live_on(self, command: StartCommand) -> None:
        other, stopped = command("echo $$; exec sleep 60"), command("echo $$; exec sleep 60")
        other.pids(1)
        stopped.pids(1)
        asyncio.run(stopped.stop())
        assert is_alive(other.process.pid)

    def test_a_hundred_at_once(self, command: StartCommand) -> None:
        commands = [command("exec sleep 60") for _ in range(100)]

        async def stop_all() -> None:
            await asyncio.gather(*(command.stop(grace=60.0) for command in commands))

        asyncio.run(stop_all())
        assert not any(is_alive(command.process.pid) for command in commands)


class TestSharedTable:
    def test_one_reading_serves_all_who_asked_before_it_began(self) -> None:
        table, asked = SharedTable(), time.monotonic()
        assert table.read_after(asked) is table.read_after(asked)

    def test_who_asks_later_gets_a_newer_one(self) -> None:
        table = SharedTable()
        first = table.read_after(time.monotonic())
        assert table.read_after(time.monotonic()) is not first

    def test_commands_that_nobody_stops_are_not_looked_at(self, command: StartCommand) -> None:
        bystander, stopped = (command("echo $$; exec sleep 60") for _ in range(2))
        for one in (bystander, stopped):
            one.pids(1)
        table = SharedTable()
        table.bystanders.add(bystander.start.pid)
        seen = table.read_after(time.monotonic())
        assert not seen.belonging_to({bystander.start.folder}, {bystander.start.pid})
        assert seen.belonging_to({stopped.start.folder}, set())

    def test_one_that_is_to_be_stopped_is_no_bystander_any_more(self, command: StartCommand) -> None:
        nap = command("echo $$; exec sleep 60")
        nap.pids(1)
        leave_out(nap.start.pid, True)
        assert asyncio.run(nap.stop(grace=60.0)) < 10
        assert not is_alive(nap.start.pid)


class TestRemains:
    def test_all_of_several_units_are_killed(self, command: StartCommand) -> None:
        trees = [command("trap '' INT TERM; setsid sleep 60 & echo $!; sleep 60 & echo $!; wait") for _ in range(3)]
        pids = [pid for tree in trees for pid in tree.pids(2)]
        kill_remains([tree.start.folder for tree in trees], [tree.start for tree in trees])
        assert not any(is_alive(pid) for pid in pids)

    def test_the_command_of_a_unit_is_found_by_its_environment(self, command: StartCommand) -> None:
        nap = command("sleep 60 & echo $!; wait")
        nap.pids(1)
        leader = ProcessTable().leader_of(nap.start.folder)
        assert leader
        assert (leader.pid, leader.start_time) == (nap.start.pid, nap.start.start_time)
        assert ProcessTable().leader_of("/another/unit") is None
