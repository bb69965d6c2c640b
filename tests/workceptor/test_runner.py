from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from commands import Line, Message, RunnerProcess, eventually, is_alive, new_unit, stat_fields

from receptor.workceptor.folder import UnitFolder

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunnerProcess]:
    with RunnerProcess(tmp_path) as process:
        assert process.line.read()["type"] == "greeting"
        yield process


@pytest.fixture
def line(running: RunnerProcess) -> Line:
    return running.line


@pytest.fixture
def unit(tmp_path: Path) -> UnitFolder:
    return new_unit(tmp_path, "unit0001")


def greeting(pid: int, *units: str) -> Message:
    return {"type": "greeting", "version": 1, "pid": pid, "units": [*units], "gives_environ": True}


def run(line: Line, unit: UnitFolder, *argv: str) -> Message:
    """Start the command, wait for its end, return the record of it."""
    assert line.start(unit, *argv)["type"] == "started"
    ended = line.read()
    assert (ended["type"], ended["unit"]) == ("ended", unit.unit_id)
    record = ended["exit"]
    assert isinstance(record, dict)
    return record


def output_of(line: Line, unit: UnitFolder, script: str) -> str:
    assert run(line, unit, "bash", "-c", script)["exit_code"] == 0
    return unit.stdout_file.read_text()


class TestCommands:
    def test_the_first_words(self, tmp_path: Path) -> None:
        with RunnerProcess(tmp_path) as process:
            assert process.line.read() == greeting(process.pid)

    def test_payload_in_output_and_errors_out(self, line: Line, tmp_path: Path) -> None:
        unit = new_unit(tmp_path, "unit0001", b"payload")
        unit.stdout_file.unlink()
        assert output_of(line, unit, "echo one; echo two >&2; cat") == "one\ntwo\npayload"
        assert stat.S_IMODE(unit.stdout_file.stat().st_mode) == 0o600

    def test_its_own_environment_before_that_of_the_node(self, line: Line, unit: UnitFolder) -> None:
        line.send(type="hello", cwd=None, environ={"PATH": os.environ["PATH"], "A": "node", "B": "node"})
        own = {"A": "own", "C": "own", "RECEPTOR_UNIT": "/elsewhere"}
        line.start(unit, "bash", "-c", "echo $A $B $C $RECEPTOR_UNIT", environ=own)
        assert line.read()["type"] == "ended"
        assert unit.stdout_file.read_text() == f"own node own {unit.path}\n"

    def test_the_environment_of_one_is_not_that_of_the_next(self, line: Line, tmp_path: Path) -> None:
        one, next_one = new_unit(tmp_path, "unit0001"), new_unit(tmp_path, "unit0002")
        line.start(one, "true", environ={"TOKEN": "hush"})
        assert line.read()["type"] == "ended"
        assert "hush" not in output_of(line, next_one, "env")

    def test_what_the_output_already_holds_stays(self, line: Line, unit: UnitFolder) -> None:
        unit.stdout_file.write_text("before\n")
        assert output_of(line, unit, "echo after") == "before\nafter\n"

    def test_the_start_is_on_disk_before_the_answer(self, line: Line, unit: UnitFolder) -> None:
        answer = line.start(unit, "cat", str(unit.process_file))
        start = unit.read_start()
        assert start
        assert answer["process"] == json.loads(unit.process_file.read_bytes())
        assert start.folder == str(unit.path)
        assert start.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert stat.S_IMODE(unit.process_file.stat().st_mode) == 0o600

    def test_the_process_is_identified(self, line: Line, unit: UnitFolder) -> None:
        line.start(unit, "sleep", "60")
        start = unit.read_start()
        assert start
        assert stat_fields(start.pid)[19] == str(start.start_time)
        os.kill(start.pid, signal.SIGKILL)
        assert line.read()["type"] == "ended"

    @pytest.mark.parametrize(
        ("script", "code", "number"), [("exit 0", 0, None), ("exit 7", 7, None), ("kill -9 $$", None, 9)]
    )
    def test_how_it_ended(
        self, line: Line, unit: UnitFolder, script: str, code: int | None, number: int | None
    ) -> None:
        record = run(line, unit, "bash", "-c", script)
        assert (record["exit_code"], record["signal"]) == (code, number)
        end = unit.read_exit()
        assert end
        assert record == msgspec.to_builtins(end)
        assert stat.S_IMODE(unit.exit_file.stat().st_mode) == 0o600

    def test_what_it_used(self, line: Line, unit: UnitFolder) -> None:
        """A child that it waits for counts too."""
        run(
            line,
            unit,
            "bash",
            "-c",
            "for ((i = 0; i < 100000; i++)); do :; done; x=$(head -c 40000000 /dev/zero | tail)",
        )
        end, start = unit.read_exit(), unit.read_start()
        assert end
        assert start
        assert 0.01 < end.user_seconds + end.system_seconds < 60
        assert 40_000_000 < end.peak_memory < 4_000_000_000
        assert start.started == end.started < end.ended < start.started + 60

    def test_it_leads_its_own_session_and_group(self, line: Line, unit: UnitFolder) -> None:
        pid, group, session = output_of(line, unit, "echo $$ $(cut -d' ' -f5,6 /proc/$$/stat)").split()
        assert pid == group == session

    def test_it_inherits_nothing(self, tmp_path: Path) -> None:
        """Neither descriptors of the daemon and the runner, nor signals that these ignore or block."""
        descriptors, signals = new_unit(tmp_path, "unit0001"), new_unit(tmp_path, "unit0002")
        reader, writer = os.pipe()
        with RunnerProcess(tmp_path, pass_fds=[reader, writer]) as process:
            os.close(reader)
            os.close(writer)
            process.line.read()
            run(process.line, descriptors, "ls", "/proc/self/fd")
            run(process.line, signals, "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
        assert descriptors.stdout_file.read_text().split() == ["0", "1", "2", "3"], "the last is what ls reads"
        ours = sum(1 << (number - 1) for number in signal.valid_signals())
        assert [int(row.split()[1], 16) & ours for row in signals.stdout_file.read_text().splitlines()] == [0, 0]

    def test_it_runs_where_and_with_what_the_present_daemon_runs(
        self, line: Line, unit: UnitFolder, tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        line.send(type="hello", cwd=str(elsewhere), environ={"PATH": "/bin:/usr/bin", "COLOUR": "gr\udcfcn"})
        assert run(line, unit, "bash", "-c", "pwd; env")["exit_code"] == 0
        cwd, *variables = unit.stdout_file.read_bytes().splitlines()
        assert cwd == bytes(elsewhere)
        assert {b"COLOUR=gr\xfcn", b"PATH=/bin:/usr/bin", b"RECEPTOR_UNIT=" + bytes(unit.path)} <= set(variables)
        assert not any(variable.startswith(b"HOME=") for variable in variables)

    def test_many_at_once_are_no_descriptors(self, running: RunnerProcess, tmp_path: Path) -> None:
        before = len(os.listdir(f"/proc/{running.pid}/fd"))
        units = [new_unit(tmp_path, f"many{number:04}") for number in range(30)]
        for unit in units:
            assert running.line.start(unit, "sleep", "60")["type"] == "started"
        assert len(os.listdir(f"/proc/{running.pid}/fd")) == before
        for unit in units:
            start = unit.read_start()
            assert start
            os.kill(start.pid, signal.SIGKILL)
        assert {running.line.read()["unit"] for _ in units} == {unit.unit_id for unit in units}


class TestRefusals:
    def refused(self, line: Line, unit: UnitFolder, *argv: str) -> tuple[str, int, bool]:
        answer = line.start(unit, *argv)
        assert (answer.pop("type"), answer.pop("unit")) == ("refused", unit.unit_id)
        assert not unit.path.joinpath("exit").exists()
        return str(answer["path"]), int(str(answer["errno"])), bool(answer["is_program"])

    @pytest.mark.parametrize("program", ["/nowhere/program", "no-such-program"])
    def test_there_is_no_such_program(self, line: Line, unit: UnitFolder, program: str) -> None:
        assert self.refused(line, unit, program) == (program, errno.ENOENT, True)
        assert not unit.was_begun(), "certainly not started, so that it may be tried again"
        assert run(line, unit, "true")["exit_code"] == 0

    def test_it_is_looked_for_in_the_path_of_the_present_daemon(
        self, line: Line, unit: UnitFolder, tmp_path: Path
    ) -> None:
        (tmp_path / "program").symlink_to("/bin/true")
        assert self.refused(line, unit, "program") == ("program", errno.ENOENT, True)
        line.send(type="hello", cwd="/", environ={"PATH": str(tmp_path)})
        assert run(line, unit, "program")["exit_code"] == 0

    def test_it_is_not_executable(self, line: Line, unit: UnitFolder) -> None:
        path = str(unit.stdin_file)
        assert self.refused(line, unit, path) == (path, errno.EACCES, True)

    def test_a_script_that_does_not_say_of_what(self, line: Line, unit: UnitFolder, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("echo hello")
        script.chmod(0o700)
        assert self.refused(line, unit, str(script)) == (str(script), errno.ENOEXEC, True)

    def test_the_payload_is_missing(self, line: Line, unit: UnitFolder) -> None:
        unit.stdin_file.unlink()
        assert self.refused(line, unit, "true") == (str(unit.stdin_file), errno.ENOENT, False)

    def test_the_folder_is_missing(self, line: Line, unit: UnitFolder) -> None:
        unit.remove()
        assert self.refused(line, unit, "true") == (str(unit.process_file), errno.ENOENT, False)

    def test_no_unit_is_started_twice(self, line: Line, unit: UnitFolder) -> None:
        line.start(unit, "sleep", "60")
        assert self.refused(line, unit, "true") == (str(unit.process_file), errno.EEXIST, False)
        start = unit.read_start()
        assert start
        os.kill(start.pid, signal.SIGKILL)


class TestEndOfTheRunner:
    def test_it_ends_with_the_daemon_when_nothing_runs(self, running: RunnerProcess, unit: UnitFolder) -> None:
        run(running.line, unit, "true")
        running.line.close()
        assert running.process.wait(10) == 0
        assert not (running.data_folder / ".runner.sock").exists()

    def test_it_stays_for_the_commands_and_records_their_ends(self, running: RunnerProcess, unit: UnitFolder) -> None:
        os.mkfifo(unit.path / "go")
        running.line.start(unit, "bash", "-c", "read -r < $RECEPTOR_UNIT/go; exit 5")
        running.line.close()
        assert running.process.poll() is None
        (unit.path / "go").write_text("\n")
        assert running.process.wait(10) == 0
        end = unit.read_exit()
        assert end
        assert end.exit_code == 5

    def test_signals_to_all_of_the_daemons_processes_leave_it(self, running: RunnerProcess, unit: UnitFolder) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(running.pid, number)
        assert run(running.line, unit, "true")["exit_code"] == 0

    def test_there_is_one_for_a_data_folder(self, running: RunnerProcess, unit: UnitFolder) -> None:
        with RunnerProcess(running.data_folder) as second:
            assert second.line.read() == {}
            assert second.process.wait(10) == 0
        assert run(running.line, unit, "true")["exit_code"] == 0

    def test_the_next_one_replaces_what_a_killed_one_left(self, running: RunnerProcess, unit: UnitFolder) -> None:
        running.kill()
        with RunnerProcess(running.data_folder) as second:
            assert second.line.read()["pid"] == second.pid
            assert run(second.line, unit, "true")["exit_code"] == 0

    def test_it_says_why_it_can_not_work(self, tmp_path: Path) -> None:
        with RunnerProcess(tmp_path / "missing") as process:
            assert process.line.read() == {
                "type": "failed",
                "reason": f"{tmp_path}/missing/.runner.lock: No such file or directory",
            }


class TestDaemonsThatComeAndGo:
    def test_the_next_daemon_learns_what_runs_and_what_ends(self, running: RunnerProcess, unit: UnitFolder) -> None:
        os.mkfifo(unit.path / "go")
        running.line.start(unit, "bash", "-c", "read -r < $RECEPTOR_UNIT/go")
        running.line.close()
        second = running.connect()
        assert second.read() == greeting(running.pid, "unit0001")
        (unit.path / "go").write_text("\n")
        assert second.read()["unit"] == "unit0001"
        second.close()
        assert running.process.wait(10) == 0

    def test_a_second_one_is_turned_away_while_the_first_lives(self, running: RunnerProcess, unit: UnitFolder) -> None:
        second = running.connect()
        assert second.read() == {"type": "busy"}
        assert second.read() == {}
        second.close()
        assert run(running.line, unit, "true")["exit_code"] == 0

    def test_what_was_asked_before_the_next_greeting_is_settled_by_then(
        self, running: RunnerProcess, unit: UnitFolder
    ) -> None:
        """A request of a dead daemon may be carried out or not, but never later than the greeting."""
        os.kill(running.pid, signal.SIGSTOP)
        running.line.send(type="start", unit="unit0001", folder=str(unit.path), argv=["sleep", "60"])
        running.line.close()
        second = running.connect()
        os.kill(running.pid, signal.SIGCONT)
        units = second.read()["units"]
        start = unit.read_start()
        assert units == (["unit0001"] if start else [])
        assert (start is not None) == unit.was_begun()
        if start:
            os.kill(start.pid, signal.SIGKILL)
        second.close()

    def test_a_daemon_that_talks_nonsense_harms_nobody(self, running: RunnerProcess, unit: UnitFolder) -> None:
        running.line.start(unit, "sleep", "60")
        start = unit.read_start()
        assert start
        line = running.line
        for nonsense in (b"\xff\n", b"[]\n", b"null\n", b"{}\n", b'{"type":"start"}\n', b'{"type":"start","unit":1}\n'):
            line.send_raw(nonsense)
            assert line.read() == {}
            line.close()
            line = running.connect()
            assert line.read()["units"] == ["unit0001"]
        line.close()
        assert is_alive(start.pid)
        os.kill(start.pid, signal.SIGKILL)
        assert running.process.wait(10) == 0

    def test_a_daemon_that_hangs_does_not_keep_ends_from_being_recorded(
        self, running: RunnerProcess, tmp_path: Path
    ) -> None:
        """Each answer is larger than what a socket buffers of it."""
        units = [new_unit(tmp_path, f"unit{number:04}") for number in range(10)]
        for unit in units:
            name = unit.unit_id + "x" * 100_000
            running.line.send(type="start", unit=name, folder=str(unit.path), argv=["true"])
        for unit in units:
            eventually(unit.read_exit)
        messages = [running.line.read() for _ in range(20)]
        assert sorted(str(message["type"]) for message in messages) == ["ended"] * 10 + ["started"] * 10

    def test_a_path_that_is_too_long_for_a_socket(self, tmp_path: Path) -> None:
        deep = tmp_path / ("d" * 100) / ("e" * 100)
        deep.mkdir(parents=True)
        unit = new_unit(deep, "unit0001")
        with RunnerProcess(deep) as process:
            process.line.read()
            process.line.start(unit, "sleep", "60")
            process.line.close()
            second = process.connect()
            assert second.read()["units"] == ["unit0001"]
            assert stat.S_IMODE((deep / ".runner.sock").stat().st_mode) == 0o600
            start = unit.read_start()
            assert start
            os.kill(start.pid, signal.SIGKILL)
            second.close()


class TestTrouble:
    def test_a_full_disk_delays_the_record_but_not_the_news(self, running: RunnerProcess, unit: UnitFolder) -> None:
        unit.exit_file.symlink_to("/dev/full")
        assert run(running.line, unit, "false")["exit_code"] == 1
        running.line.close()
        second = running.connect()
        assert second.read()["units"] == ["unit0001"], "its end is to come yet"
        assert second.read()["type"] == "ended"
        second.close()
        unit.exit_file.unlink()
        assert running.process.wait(10) == 0
        end = unit.read_exit()
        assert end
        assert end.exit_code == 1

    def test_how_it_ended_is_on_disk_before_it_is_reaped(self, running: RunnerProcess, unit: UnitFolder) -> None:
        """Nobody could learn it any more if the runner were killed in between."""
        run(running.line, unit, "bash", "-c", "exit 7")
        first, last = (json.loads(line) for line in unit.exit_file.read_bytes().splitlines())
        assert (first["exit_code"], first["peak_memory"]) == (7, 0)
        assert last["exit_code"] == 7
        assert last["peak_memory"] > 0

    def test_a_unit_that_was_released_while_it_ran(self, running: RunnerProcess, unit: UnitFolder) -> None:
        running.line.start(unit, "sleep", "60")
        start = unit.read_start()
        assert start
        unit.remove()
        os.kill(start.pid, signal.SIGKILL)
        assert running.line.read()["type"] == "ended"
        assert not unit.path.exists()

    def test_what_a_command_leaves_behind_does_not_stay_a_zombie(
        self, running: RunnerProcess, unit: UnitFolder
    ) -> None:
        run(running.line, unit, "bash", "-c", "sleep 60 & echo $!")
        pid = int(unit.stdout_file.read_text())
        assert stat_fields(pid)[1] == str(running.pid), "the runner is its parent now"
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not stat_fields(pid))

    def test_it_costs_nothing_while_commands_run(self, running: RunnerProcess, tmp_path: Path) -> None:
        def times_woken() -> int:
            text = Path(f"/proc/{running.pid}/status").read_text()
            return int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])

        naps = [new_unit(tmp_path, f"nap{number}") for number in range(5)]
        for unit in naps:
            running.line.start(unit, "sleep", "60")
        eventually(lambda: stat_fields(running.pid)[0] == "S")
        before = times_woken()
        subprocess.run(["sleep", "0.5"], check=True)
        assert times_woken() == before
        for unit in naps:
            start = unit.read_start()
            assert start
            os.kill(start.pid, signal.SIGKILL)
