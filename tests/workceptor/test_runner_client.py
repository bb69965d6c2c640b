from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import command_daemon
import msgspec
import pytest
import uvloop
from commands import RunnerProcess, eventually, is_alive, new_unit, parent_of, pids_with, stat_fields

from receptor.errors import CommandError, OperatingError
from receptor.workceptor import runner, runner_link
from receptor.workceptor.folder import UnitFolder
from receptor.workceptor.processes import this_boot
from receptor.workceptor.records import ExitRecord, StartRecord
from receptor.workceptor.runner_client import NeverStarted, Outcome, RunnerClient, Running, Vanished

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

End = ExitRecord | Vanished


@pytest.fixture
def data_folder(units_folder: Path) -> Path:
    return units_folder


def runner_pid(data_folder: Path) -> int:
    return int((data_folder / runner.LOCK).read_text())


def kill_runner(data_folder: Path) -> int:
    pid = runner_pid(data_folder)
    os.kill(pid, signal.SIGKILL)
    return pid


def start_of(unit: UnitFolder) -> StartRecord:
    start = unit.read_start()
    assert start
    return start


class Client:
    """A client, its units and the ends it tells."""

    def __init__(self, data_folder: Path) -> None:
        self.data_folder = data_folder
        self.ends: asyncio.Queue[tuple[str, End]] = asyncio.Queue()
        self.client = RunnerClient(data_folder, lambda unit_id, end: self.ends.put_nowait((unit_id, end)))

    def new_unit(self, unit_id: str = "unit0001") -> UnitFolder:
        return new_unit(self.data_folder, unit_id)

    async def start(self, unit: UnitFolder, *argv: str) -> StartRecord:
        return await asyncio.wait_for(self.client.start(unit.unit_id, unit, argv), 10)

    async def bash(self, unit: UnitFolder, script: str) -> StartRecord:
        return await self.start(unit, "bash", "-c", script)

    async def adopt(self, *unit_ids: str) -> dict[str, Outcome]:
        async with asyncio.timeout(10):
            return dict(await self.client.adopt(unit_ids))

    async def next_end(self) -> tuple[str, End]:
        return await asyncio.wait_for(self.ends.get(), 10)

    async def end_of(self, unit: UnitFolder) -> ExitRecord:
        unit_id, end = await self.next_end()
        assert unit_id == unit.unit_id
        assert isinstance(end, ExitRecord), end
        return end


@asynccontextmanager
async def connected(data_folder: Path) -> AsyncIterator[Client]:
    client = Client(data_folder)
    try:
        yield client
    finally:
        await client.client.close()


class Daemon:
    """A process with a client in it, which a test may kill."""

    def __init__(self, data_folder: Path, *before: str) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, command_daemon.__file__, str(data_folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self.adopted = {}
        while (words := self.read()) != ["ready"]:
            self.adopted[words[1]] = words[2]

    def read(self) -> list[str]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the daemon died"
        return line.split(maxsplit=2)

    def ask(self, unit: UnitFolder, script: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{unit.unit_id} {script}\n")
        self.process.stdin.flush()

    def start(self, unit: UnitFolder, script: str) -> StartRecord:
        self.ask(unit, script)
        assert self.read() == ["started", unit.unit_id]
        return start_of(unit)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout):
            assert file
            file.close()


class TestStarting:
    @pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
    def test_a_command_and_its_end(self, data_folder: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        async def check() -> None:
            async with connected(data_folder) as client:
                unit = client.new_unit()
                start = await client.bash(unit, "echo out; exit 3")
                assert start == unit.read_start()
                end = await client.end_of(unit)
                assert end == unit.read_exit()
                assert (end.detail, end.started) == ("exit status 3", start.started)
                assert unit.stdout_file.read_text() == "out\n"

        with asyncio.Runner(loop_factory=new_loop) as event_loop:
            event_loop.run(check())

    def test_an_end_is_never_told_before_the_start(self, data_folder: Path) -> None:
        async def check() -> None:
            started: set[str] = set()
            too_early: list[str] = []
            ended: set[str] = set()
            everything = asyncio.Event()

            def on_end(unit_id: str, _: End) -> None:
                if unit_id not in started:
                    too_early.append(unit_id)
                ended.add(unit_id)
                if len(ended) == 100:
                    everything.set()

            client = RunnerClient(data_folder, on_end)

            async def start(unit: UnitFolder) -> None:
                await client.start(unit.unit_id, unit, ["true"])
                started.add(unit.unit_id)

            async with asyncio.TaskGroup() as starts:
                for number in range(100):
                    starts.create_task(start(new_unit(data_folder, f"unit{number:04}")))
            await asyncio.wait_for(everything.wait(), 10)
            await client.close()
            assert too_early == []

        asyncio.run(check())

    @pytest.mark.parametrize(
        ("argv", "kind", "reason"),
        [
            (["no-such-program"], OperatingError, "no-such-program: No such file or directory in PATH; install it"),
            (["/no/such/program"], OperatingError, "/no/such/program: No such file or directory; install it"),
            (["/etc/passwd"], OperatingError, "/etc/passwd: Permission denied; make it an executable file"),
            (["/etc"], OperatingError, "/etc: Permission denied; make it an executable file"),
            ([], CommandError, "its words are none"),
            (["echo", "a\0b"], CommandError, "NUL"),
            (["echo", "x" * 200_000], CommandError, "Argument list too long; send large data as the payload"),
        ],
        ids=["bare name", "path", "not executable", "folder", "nothing", "NUL", "too long"],
    )
    def test_what_can_not_be_started(
        self, data_folder: Path, argv: Sequence[str], kind: type[Exception], reason: str
    ) -> None:
        async def check() -> None:
            async with connected(data_folder) as client:
                unit = client.new_unit()
                with pytest.raises(kind, match=reason):
                    await client.start(unit, *argv)
                assert not unit.was_begun()

        asyncio.run(check())

    def test_a_script_whose_interpreter_is_missing(self, data_folder: Path, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o700)

        async def check() -> None:
            async with connected(data_folder) as client:
                with pytest.raises(OperatingError, match=r"script: No such file .* what its first line names"):
                    await client.start(client.new_unit(), str(script))

        asyncio.run(check())

    def test_no_unit_is_started_twice(self, data_folder: Path) -> None:
        async def check() -> None:
            async with connected(data_folder) as client:
                unit = client.new_unit()
                await client.start(unit, "true")
                with pytest.raises(OperatingError, match="was started before"):
                    await client.start(unit, "true")

        asyncio.run(check())

    def test_no_data_folder(self, tmp_path: Path) -> None:
        async def check() -> None:
            async with connected(tmp_path / "missing") as client:
                with pytest.raises(OperatingError, match="missing: No such file"):
                    await client.start(UnitFolder(tmp_path / "missing" / "unit0001"), "true")

        asyncio.run(check())

    def test_the_end_is_told_also_if_nobody_waited_for_the_start(self, data_folder: Path) -> None:
        async def check() -> None:
            async with connected(data_folder) as client:
                unit = client.new_unit()
                unit.stdin_file.unlink()
                os.mkfifo(unit.stdin_file)
                start = asyncio.create_task(client.client.start(unit.unit_id, unit, ["true"]))
                await asyncio.to_thread(eventually, unit.was_begun)
                start.cancel()
                await asyncio.to_thread(unit.stdin_file.write_bytes, b"")
                assert (await client.end_of(unit)).succeeded

        asyncio.run(check())

    def test_the_command_line_of_the_runner_holds_the_data_folder(self, data_folder: Path) -> None:
        async def check() -> None:
            async with connected(data_folder) as client:
                await client.start(client.new_unit(), "true")
                assert pids_with(str(data_folder)) == [runner_pid(data_folder)]

        asyncio.run(check())

    def test_few_descriptors_are_enough_for_many_units(self, data_folder: Path) -> None:
        """As 1,024 are for 5,000 units; then the runner is killed, and it is still so."""
        daemon = Daemon(data_folder, "bash", "-c", 'ulimit -n 40; exec "$@"', "bash")
        units = [new_unit(data_folder, f"unit{number:04}") for number in range(100)]
        pids = [daemon.start(unit, "exec sleep 60").pid for unit in units]
        kill_runner(data_folder)
        eventually(lambda: all(parent_of(pid) == daemon.process.pid for pid in pids))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        told = [daemon.read() for _ in units]
        assert sorted(told) == [["ended", unit.unit_id, "signal: killed\n"] for unit in units]
        daemon.kill()


class TestRestartOfTheDaemon:
    def test_nothing_is_started_for_nothing(self, data_folder: Path) -> None:
        async def check() -> None:
            async with connected(data_folder) as client:
                assert await client.adopt() == {}

        asyncio.run(check())
        assert list(data_folder.iterdir()) == []

    def test_commands_go_on_and_their_ends_are_known(self, data_folder: Path) -> None:
        units = [new_unit(data_folder, f"unit{number:04}") for number in range(3)]

        async def first() -> None:
            async with connected(data_folder) as client:
                await client.start(units[0], "sleep", "60")
                await client.bash(units[1], "exit 4")
                await client.end_of(units[1])

        async def second() -> None:
            async with connected(data_folder) as client:
                outcomes = await client.adopt(*(unit.unit_id for unit in units))
                ended = outcomes["unit0001"]
                assert isinstance(ended, ExitRecord)
                assert ended.exit_code == 4
                assert outcomes["unit0000"] == Running(start_of(units[0]))
                assert outcomes["unit0002"] == NeverStarted()
                os.kill(start_of(units[0]).pid, signal.SIGTERM)
                assert (await client.end_of(units[0])).detail == "signal: terminated"
                await client.start(units[2], "true")
                await client.end_of(units[2])

        asyncio.run(first())
        asyncio.run(second())

    def test_after_a_kill(self, data_folder: Path) -> None:
        daemon = Daemon(data_folder)
        units = [new_unit(data_folder, f"unit{number:04}") for number in range(2)]
        daemon.start(units[0], "exec sleep 60")
        os.mkfifo(units[1].path / "go")
        daemon.start(units[1], "read -r < $RECEPTOR_UNIT/go; echo done; exit 3")
        daemon.kill()
        (units[1].path / "go").write_text("\n")
        eventually(units[1].read_exit)
        daemon = Daemon(data_folder)
        assert daemon.adopted == {"unit0000": "Running\n", "unit0001": "ExitRecord\n"}
        assert units[1].stdout_file.read_text() == "done\n"
        os.kill(start_of(units[0]).pid, signal.SIGKILL)
        assert daemon.read() == ["ended", "unit0000", "signal: killed\n"]
        daemon.kill()

    @pytest.mark.parametrize("started", [0, 20])
    def test_a_request_that_was_under_way_is_settled_by_the_adoption(self, data_folder: Path, started: int) -> None:
        """The daemon is killed between request and answer: what isn't told as running can never begin to run."""
        daemon = Daemon(data_folder)
        first = new_unit(data_folder, "first")
        daemon.start(first, "exec sleep 60")
        os.kill(runner_pid(data_folder), signal.SIGSTOP)
        unit = new_unit(data_folder, "unit0001")
        daemon.ask(unit, "echo ran; exec sleep 60")
        # The request lies in the buffer of the runner's socket now, or never left the daemon: both are to be right.
        daemon.kill()
        threading.Timer(0.05, os.kill, (runner_pid(data_folder), signal.SIGCONT)).start()

        async def check() -> None:
            async with connected(data_folder) as client:
                outcomes = await client.adopt("first", "unit0001")
                assert isinstance(outcomes["first"], Running)
                if outcomes["unit0001"] == NeverStarted():
                    assert not unit.was_begun()
                    await client.bash(unit, "echo ran; exec sleep 60")
                else:
                    assert outcomes["unit0001"] == Running(start_of(unit))
                eventually(unit.stdout_size)
                assert unit.stdout_file.read_text() == "ran\n"

        asyncio.run(check())

    def test_each_end_is_told_once_while_commands_end(self, data_folder: Path) -> None:
        """As an outcome or later by on_end, but not before the adoption has returned."""
        units = [new_unit(data_folder, f"unit{number:04}") for number in range(40)]
        os.mkfifo(data_folder / "go")

        async def first() -> None:
            async with connected(data_folder) as client:
                for unit in units:
                    await client.bash(unit, "read -r < $RECEPTOR_UNIT/../go")

        async def second() -> None:
            async with connected(data_folder) as client:
                gate = os.open(data_folder / "go", os.O_WRONLY)
                os.write(gate, b"\n" * len(units))
                outcomes = await client.adopt(*(unit.unit_id for unit in units))
                assert client.ends.empty()
                told = [unit_id for unit_id, outcome in outcomes.items() if isinstance(outcome, ExitRecord)]
                running = [unit_id for unit_id, outcome in outcomes.items() if isinstance(outcome, Running)]
                later = [(await client.next_end())[0] for _ in running]
                os.close(gate)
                assert sorted(later) == sorted(running)
                assert sorted(told + running) == [unit.unit_id for unit in units]

        asyncio.run(first())
        asyncio.run(second())

    def test_a_data_folder_has_one_daemon(self, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runner_link, "ATTEMPTS", 2)

        async def check() -> None:
            async with connected(data_folder) as client, connected(data_folder) as other:
                await client.start(client.new_unit(), "true")
                with pytest.raises(OperatingError, match="it serves another node process; stop that one"):
                    await other.adopt()

        asyncio.run(check())

    def test_a_runner_that_was_stopped(self, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        unit = new_unit(data_folder, "unit0001")

        async def first() -> None:
            async with connected(data_folder) as client:
                await client.start(unit, "sleep", "60")

        async def second() -> None:
            async with connected(data_folder) as client:
                os.kill(runner_pid(data_folder), signal.SIGSTOP)
                monkeypatch.setattr(runner_link, "GREETING_PATIENCE", 0.1)
                with pytest.raises(OperatingError, match=r"does not answer; .* kill -CONT"):
                    await client.adopt("unit0001")
                monkeypatch.undo()
                os.kill(runner_pid(data_folder), signal.SIGCONT)
                assert await client.adopt("unit0001") == {"unit0001": Running(start_of(unit))}

        asyncio.run(first())
        asyncio.run(second())

    def test_a_path_that_is_too_long_for_a_socket(self, data_folder: Path) -> None:
        deep = data_folder / ("d" * 100) / ("e" * 100)
        deep.mkdir(parents=True)
        unit = new_unit(deep, "unit0001")

        async def start() -> None:
            async with connected(deep) as client:
                await client.start(unit, "sleep", "60")

        async def adopt() -> None:
            async with connected(deep) as client:
                assert await client.adopt("unit0001") == {"unit0001": Running(start_of(unit))}
                os.kill(start_of(unit).pid, signal.SIGKILL)
                await client.end_of(unit)

        asyncio.run(start())
        asyncio.run(adopt())


class TestVanished:
    def adopted(self, data_folder: Path) -> str:
        """The reason why unit0001 vanished."""

        async def check() -> Outcome:
            async with connected(data_folder) as client:
                outcomes = await client.adopt("unit0001")
                return outcomes["unit0001"]

        outcome = asyncio.run(check())
        assert isinstance(outcome, Vanished), outcome
        return outcome.reason

    def killed(self, data_folder: Path, script: str) -> tuple[UnitFolder, list[int]]:
        """A unit whose daemon and runner were killed, and the processes that its script names."""
        unit = new_unit(data_folder, "unit0001")
        with RunnerProcess(data_folder) as process:
            process.line.read()
            process.line.start(unit, "bash", "-c", script)
            eventually(lambda: unit.stdout_file.read_text().endswith("end\n"))
        return unit, [int(line) for line in unit.stdout_file.read_text().split()[:-1]]

    def test_everything_was_killed(self, data_folder: Path) -> None:
        _, (pid,) = self.killed(data_folder, "echo $$; echo end; exec sleep 60")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid))
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
        assert self.adopted(data_folder) == f"process {pid} is gone, and nobody is left who saw how it ended"

    def test_what_runs_without_a_runner_is_killed(self, data_folder: Path) -> None:
        script = "trap '' INT TERM; setsid sleep 60 & echo $!; sleep 60 & echo $!; echo $$; echo end; wait"
        _, pids = self.killed(data_folder, script)
        assert "the runner of commands was killed" in self.adopted(data_folder)
        assert not any(is_alive(pid) for pid in pids)

    def test_the_machine_was_restarted(self, data_folder: Path) -> None:
        """Whatever has the number now is none of ours."""
        unit, (pid,) = self.killed(data_folder, "echo $$; echo end; exec sleep 60")
        unit.write_start(msgspec.structs.replace(start_of(unit), boot_id="before"))
        assert self.adopted(data_folder) == "the machine was restarted while it ran"
        assert is_alive(pid)

    def test_the_number_was_used_again(self, data_folder: Path) -> None:
        unit = new_unit(data_folder, "unit0001")
        with subprocess.Popen(["sleep", "60"]) as stranger:
            unit.write_start(
                StartRecord(pid=stranger.pid, start_time=1, boot_id=this_boot(), folder=str(unit.path), started=1.0)
            )
            assert "is gone" in self.adopted(data_folder)
            assert stranger.poll() is None
            stranger.kill()

    def test_runner_and_daemon_were_killed_while_it_was_started(self, data_folder: Path) -> None:
        unit, (pid,) = self.killed(data_folder, "echo $$; echo end; exec sleep 60")
        unit.process_file.write_bytes(b"")
        assert "nobody knows whether it ran" in self.adopted(data_folder)
        assert not is_alive(pid)

    def test_a_damaged_record(self, data_folder: Path) -> None:
        unit, (pid,) = self.killed(data_folder, "echo $$; echo end; exec sleep 60")
        unit.process_file.write_bytes(b"{")
        assert "process: it is damaged" in self.adopted(data_folder)
        assert not is_alive(pid)


class TestDeathOfTheRunner:
    def test_the_daemon_that_started_it_takes_over(self, data_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        async def check() -> None:
            async with connected(data_folder) as client:
                ended, running, later = (client.new_unit(f"unit{number:04}") for number in range(3))
                await client.start(running, "sleep", "60")
                await client.bash(ended, "exit 6")
                assert (await client.end_of(ended)).exit_code == 6
                pid = kill_runner(data_folder)
                start = start_of(running)
                await asyncio.to_thread(eventually, lambda: parent_of(start.pid) == os.getpid())
                await asyncio.to_thread(eventually, lambda: not stat_fields(pid))  # The runner stays no zombie.
                await client.start(later, "true")
                await client.end_of(later)
                os.kill(start.pid, signal.SIGTERM)
                end = await client.end_of(running)
                assert (end.detail, end.started) == ("signal: terminated", start.started)
                assert end == running.read_exit()

        asyncio.run(check())
        assert (
            "was killed; of its commands 0 had ended, 1 are watched by the node itself, 0 are given up" in caplog.text
        )

    def test_a_daemon_that_found_it_running_gives_up_its_commands(self, data_folder: Path) -> None:
        daemon = Daemon(data_folder)
        unit = new_unit(data_folder, "unit0001")
        pid = daemon.start(unit, "trap '' INT TERM; sleep 60; sleep 60").pid
        daemon.kill()
        daemon = Daemon(data_folder)
        assert daemon.adopted == {"unit0001": "Running\n"}
        kill_runner(data_folder)
        words = daemon.read()
        assert words[:2] == ["ended", "unit0001"]
        assert "the runner of commands was killed" in words[2]
        assert not is_alive(pid)
        daemon.kill()

    def test_an_end_that_it_recorded_but_did_not_tell(self, data_folder: Path) -> None:
        """It is killed with the news in the buffer of a daemon that hangs."""

        async def check() -> None:
            async with connected(data_folder) as client:
                unit = client.new_unit()
                start = await client.start(unit, "sleep", "60")
                os.kill(start.pid, signal.SIGKILL)
                eventually(unit.read_exit)
                kill_runner(data_folder)
                assert (await client.end_of(unit)).signal == signal.SIGKILL

        asyncio.run(check())

    def test_each_command_runs_exactly_once_however_often_it_is_killed(self, data_folder: Path) -> None:
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        ran = data_folder / "ran"

        async def kill_often(units: Sequence[UnitFolder]) -> None:
            for _ in range(4):
                mark = rng.randrange(len(units))
                await asyncio.to_thread(eventually, units[mark].was_begun)
                await asyncio.sleep(rng.random() / 500)
                with suppress(ProcessLookupError):
                    kill_runner(data_folder)

        async def check() -> None:
            async with connected(data_folder) as client:
                units = [client.new_unit(f"unit{number:04}") for number in range(120)]
                script = f"echo $RECEPTOR_UNIT >> {ran}"
                killing = asyncio.create_task(kill_often(units))
                results = await asyncio.gather(*(client.bash(unit, script) for unit in units), return_exceptions=True)
                await killing
                told = {}
                for result in results:
                    if isinstance(result, StartRecord):
                        unit_id, end = await client.next_end()
                        told[unit_id] = end
                assert client.ends.empty()
                lines = ran.read_text().split()
                assert len(set(lines)) == len(lines), f"seed {seed}: run twice"
                for unit, result in zip(units, results, strict=True):
                    if isinstance(result, BaseException):
                        assert isinstance(result, OperatingError), result
                        assert "nobody knows" in str(result)
                    else:
                        assert isinstance(told[unit.unit_id], ExitRecord), f"seed {seed}: {told[unit.unit_id]}"
                        assert str(unit.path) in lines, f"seed {seed}: acknowledged but not run"
                assert sum(isinstance(result, BaseException) for result in results) <= 4

        asyncio.run(check())


FAKE_RUNNER = """
import json, os, socket, sys
connection = socket.socket(fileno=os.dup(0))
os.dup2(os.open("/dev/null", os.O_RDWR), 0)
lines = connection.makefile("r")
def send(**message):
    connection.sendall(json.dumps(message).encode() + b"\\n")
send(type="greeting", version={version}, pid=os.getpid(), units=[])
for line in lines:
    request = json.loads(line)
    if request["type"] == "start":
        {deed}
        os._exit(9)
"""
BEGIN = 'open(request["folder"] + "/process", "x");'
SPAWN = (
    'out = os.open(request["folder"] + "/stdout", os.O_WRONLY);'
    'os.posix_spawn("/bin/" + request["argv"][0], request["argv"], dict(os.environ, RECEPTOR_UNIT=request["folder"]),'
    " file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)], setsid=True)"
)


class TestRunnersThatFail:
    """What a runner does that dies at the worst moment, or is not ours."""

    @pytest.fixture
    def fake(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        def install(deed: str = "pass", version: int = runner.VERSION) -> None:
            path = tmp_path / "fake_runner.py"
            path.write_text(FAKE_RUNNER.format(deed=deed, version=version))
            monkeypatch.setattr(runner, "__file__", str(path))

        return install

    def test_killed_between_starting_a_command_and_noting_it(
        self, data_folder: Path, fake: Callable[..., None]
    ) -> None:
        fake(BEGIN + SPAWN)

        async def check() -> None:
            async with connected(data_folder) as client:
                unit = client.new_unit()
                start = await client.bash(unit, "echo $$; exec sleep 60")
                assert start == unit.read_start()
                eventually(unit.stdout_size)
                assert unit.stdout_file.read_text() == f"{start.pid}\n"
                os.kill(start.pid, signal.SIGKILL)
                assert (await client.end_of(unit)).signal == signal.SIGKILL

        asyncio.run(check())

    def test_killed_so_that_nobody_knows_whether_the_command_ran(self, data_folder: Path) -> None:
        async def check() -> None:
            async with connected(data_folder) as client:
                unit = client.new_unit()
                unit.stdin_file.unlink()
                os.mkfifo(unit.stdin_file)  # Keeps the runner from going on when it has begun.
                start = asyncio.create_task(client.start(unit, "true"))
                await asyncio.to_thread(eventually, unit.was_begun)
                kill_runner(data_folder)
                with pytest.raises(OperatingError, match="nobody knows whether it ran"):
                    await start

        asyncio.run(check())

    def test_killed_again_and_again(
        self, data_folder: Path, fake: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake()

        async def check() -> None:
            async with connected(data_folder) as client:
                unit = client.new_unit()
                with pytest.raises(OperatingError, match=r"ended again and again .* see \.runner\.log"):
                    await client.start(unit, "true")
                assert not unit.was_begun()

        asyncio.run(check())

    def test_killed_before_it_greets(self, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runner, "__file__", str(tmp_path / "missing.py"))
        monkeypatch.setattr(runner_link, "ATTEMPTS", 2)

        async def check() -> None:
            async with connected(data_folder) as client:
                with pytest.raises(OperatingError, match="it ended before it greeted; see"):
                    await client.start(client.new_unit(), "true")

        asyncio.run(check())
        assert "missing.py" in (data_folder / ".runner.log").read_text()

    def test_of_another_version(self, data_folder: Path, fake: Callable[..., None]) -> None:
        fake(version=2)

        async def check() -> None:
            async with connected(data_folder) as client:
                with pytest.raises(OperatingError, match=r"speaks version 2 .* this node 1; wait until"):
                    await client.start(client.new_unit(), "true")

        asyncio.run(check())

    def test_of_before_an_upgrade_that_knows_of_no_variables_for_one_command(
        self, data_folder: Path, fake: Callable[..., None]
    ) -> None:
        fake(BEGIN + SPAWN)

        async def check() -> None:
            async with connected(data_folder) as client:
                unit = client.new_unit()
                with pytest.raises(
                    OperatingError, match=r"process \d+\) is of an older version, and would start .* restart"
                ):
                    await client.client.start(unit.unit_id, unit, ["true"], {"TOKEN": "hush"})
                assert not unit.was_begun()
                start = await client.bash(unit, "exec sleep 60")  # All else it does as ever.
                os.kill(start.pid, signal.SIGKILL)
                assert (await client.end_of(unit)).signal == signal.SIGKILL

        asyncio.run(check())

    def test_one_that_can_not_work(self, data_folder: Path) -> None:
        (data_folder / runner.LOCK).mkdir()

        async def check() -> None:
            async with connected(data_folder) as client:
                with pytest.raises(OperatingError, match=r"can't work: .*\.runner\.lock: Is a directory"):
                    await client.start(client.new_unit(), "true")

        asyncio.run(check())
