"""The nodes of a run as processes, and what was done to them when."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from receptor.client.address import UnixAddress
from receptor.client.control_client import ControlClient
from receptor.errors import ReceptorError

COMMAND = [sys.executable, "-m", "receptor"]
READY_TIME = 30.0
"""Seconds in which a node must be ready, and in which it must stop when asked."""
MOMENT = 0.02

Action = dict[str, dict[str, object]]


class ChaosError(Exception):
    """The run can't go on; the text says why."""


class Chronicle:
    """What happens in a run, in a file, and what must not happen in any."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", buffering=1)
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self.complaints: list[str] = []

    def tell(self, what: str) -> None:
        with self._lock:
            self._file.write(f"{time.time():.3f} {time.monotonic() - self._begin:8.3f}s {what}\n")

    def complain(self, what: str) -> None:
        """Tell of something that no node may do."""
        self.complaints.append(what)
        self.tell(f"MUST NOT BE: {what}")


@dataclass(frozen=True)
class RunnerKill:
    """A runner was killed with SIGKILL."""

    time: float
    """Unix seconds, as all times of what was done to a node."""
    is_daemons_child: bool
    """The living daemon had started it, and so learns the ends of its commands."""


@dataclass
class NodeHistory:
    """What was done to a node, as far as the ends of its units may depend on it."""

    runner_kills: list[RunnerKill] = field(default_factory=list)
    daemon_ends: list[float] = field(default_factory=list)
    daemon_runs: list[tuple[float, float]] = field(default_factory=list)
    """From when to when it ran, neither dead nor stopped, in order."""


class Node:
    """A daemon, started again and again with the same configuration. One thread at a time may do things to it."""

    def __init__(self, node_id: str, folder: Path, chronicle: Chronicle, *actions: Action) -> None:
        self.node_id = node_id
        self.socket = folder / f"{node_id}.sock"
        self.log = folder / f"{node_id}.log"
        self.data = folder / "data" / node_id
        self.history = NodeHistory()
        self._folder = folder
        self._chronicle = chronicle
        self._config = folder / f"{node_id}.yml"
        common: list[Action] = [
            {"node": {"id": node_id, "datadir": str(folder / "data")}},
            {"log-level": {"level": "info"}},
            {"control-service": {"filename": str(self.socket)}},
        ]
        self._config.write_text(yaml.safe_dump([*common, *actions]))
        self._process: subprocess.Popen[bytes] | None = None
        self._runs_since = 0.0

    @property
    def pid(self) -> int:
        """The number of the daemon; 0 if it is dead."""
        process = self._process
        return process.pid if process and process.poll() is None else 0

    def control(self) -> ControlClient:
        return ControlClient(UnixAddress(str(self.socket)))

    def start(self) -> None:
        """Start it and wait until it is ready. Raises ChaosError if it never is."""
        deadline = time.monotonic() + READY_TIME
        self._spawn()
        while not self._greets():
            self.look_after()
            if time.monotonic() > deadline:
                raise ChaosError(f"{self.node_id} was not ready in {READY_TIME:g} s; see {self.log}")
            time.sleep(MOMENT)
        self._chronicle.tell(f"{self.node_id} is ready (process {self.pid})")

    def look_after(self) -> None:
        """Start it anew if it ended by itself, which it must not."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._chronicle.complain(f"{self.node_id} ended by itself with exit code {code}; see {self.log}")
            self._note_end()
            self._spawn()

    def kill(self) -> None:
        assert self._process
        self._chronicle.tell(f"{self.node_id} is killed")
        self._note_end()
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask it to stop, and see to it that it does."""
        assert self._process
        self._chronicle.tell(f"{self.node_id} is asked to stop")
        self._note_end()
        self._process.terminate()
        try:
            code = self._process.wait(READY_TIME)
        except subprocess.TimeoutExpired:
            self._chronicle.complain(f"{self.node_id} did not stop in {READY_TIME:g} s after SIGTERM")
            self._process.kill()
            code = self._process.wait()
        if code != 0:
            self._chronicle.complain(f"{self.node_id} ended with exit code {code} after SIGTERM")
        self._chronicle.tell(f"{self.node_id} has stopped")

    def pause(self) -> None:
        assert self._process
        self._chronicle.tell(f"{self.node_id} is halted")
        self._note_run()
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._chronicle.tell(f"{self.node_id} goes on")
        self._process.send_signal(signal.SIGCONT)
        self._runs_since = time.time()

    def runner_pid(self) -> int:
        """The number of the runner of its commands; 0 if there is none."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.data / ".runner.lock").read_text())
            if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"\0%b\0" % os.fsencode(self.data)):
                return pid
        return 0

    def runner_is_daemons_child(self) -> bool:
        """Whether the daemon that runs now has started it, and so learns the ends of its commands if it is killed."""
        return parent_of(self.runner_pid()) == self.pid != 0

    def signal_runner(self, number: signal.Signals) -> bool:
        """Whether there was a runner to send it to."""
        pid = self.runner_pid()
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return False
        try:
            # Looked at again now that the descriptor holds the number.
            if self.runner_pid() != pid:
                return False
            is_daemons_child = self.runner_is_daemons_child()
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        if number == signal.SIGKILL:
            self.history.runner_kills.append(RunnerKill(time.time(), is_daemons_child))
        told = ", a child of the daemon" if is_daemons_child else ""
        self._chronicle.tell(f"{self.node_id}'s runner (process {pid}{told}) gets {number.name}")
        return True

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "--config", self._config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        self._runs_since = time.time()

    def _greets(self) -> bool:
        try:
            with self.control() as client:
                return client.connect().node_id == self.node_id
        except ReceptorError:
            return False

    def _note_run(self) -> None:
        self.history.daemon_runs.append((self._runs_since, time.time()))

    def _note_end(self) -> None:
        self._note_run()
        self.history.daemon_ends.append(time.time())


def parent_of(pid: int) -> int:
    """The parent's number; 0 if there is no such process."""
    fields = stat_fields(pid)
    return int(fields[1]) if fields else 0


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (the state) on; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_naming(marker: str, pid: int) -> str | None:
    """The command line of a living process, if it or the environment holds the text; never that of this one."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    if pid == os.getpid() or marker.encode() not in words + environment:
        return None
    return words.replace(b"\0", b" ").decode(errors="replace").strip()


def processes_naming(marker: str) -> dict[int, str]:
    """All such processes with their command lines."""
    return {pid: command for pid in all_pids() if (command := command_naming(marker, pid)) is not None}


def kill_all_naming(marker: str) -> None:
    """Kill all processes of a run, whose folder is the marker, until there are none."""
    while pids := processes_naming(marker):
        for pid in pids:
            with contextlib.suppress(OSError):
                descriptor = os.pidfd_open(pid)
                try:
                    # Looked at again now that the descriptor holds the number.
                    if command_naming(marker, pid) is not None:
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                finally:
                    os.close(descriptor)
        time.sleep(MOMENT)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in that time."""
    deadline = time.monotonic() + seconds
    while not (is_true := condition()) and time.monotonic() < deadline:
        time.sleep(MOMENT)
    return is_true
