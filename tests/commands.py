"""For tests with real processes: wait for a condition, look at processes, speak to a runner by hand."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from receptor.workceptor import runner
from receptor.workceptor.folder import UnitFolder

T = TypeVar("T")
Message = dict[str, object]


def eventually(condition: Callable[[], T | None], seconds: float = 10.0) -> T:
    """The first true value of the condition; AssertionError if there is none in that time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not met in {seconds} seconds"
        time.sleep(0.005)
    return value


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (the state) on; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    return stat_fields(pid)[:1] not in ([], ["Z"], ["X"])


def parent_of(pid: int) -> int | None:
    fields = stat_fields(pid)
    return int(fields[1]) if fields else None


def pids_with(marker: str) -> list[int]:
    """The living processes, but this one, whose command line holds the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


@contextmanager
def subreaper() -> Iterator[None]:
    """This process is a subreaper, and no longer than that: zombies of other tests are none of its business."""
    runner.become_subreaper()
    yield
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


def new_unit(data_folder: Path, unit_id: str, payload: bytes = b"") -> UnitFolder:
    unit = UnitFolder(data_folder / unit_id)
    unit.create(b"")
    unit.stdin_file.write_bytes(payload)
    return unit


class Line:
    """One connection to a runner."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(10)
        self._file = connection.makefile("rb")

    def send(self, **message: object) -> None:
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def send_raw(self, raw: bytes) -> None:
        self._connection.sendall(raw)

    def read(self) -> Message:
        """The next message; empty if the runner closed the connection."""
        line = self._file.readline()
        return json.loads(line) if line else {}

    def close(self) -> None:
        self._file.close()
        self._connection.close()

    def start(self, folder: UnitFolder, *argv: str, environ: dict[str, str] | None = None) -> Message:
        """Start a command and return the answer."""
        self.send(type="start", unit=folder.unit_id, folder=str(folder.path), argv=argv, environ=environ or {})
        return self.read()


class RunnerProcess:
    """A runner that a test started, and the first connection to it."""

    def __init__(self, data_folder: Path, *, pass_fds: Sequence[int] = ()) -> None:
        self.data_folder = data_folder
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", runner.__file__, str(data_folder)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        self.pid = self.process.pid
        self.line = Line(ours)

    def connect(self) -> Line:
        """Connect as a daemon does that finds it running."""
        connection = socket.socket(socket.AF_UNIX)
        with runner.socket_address(str(self.data_folder)) as address:
            connection.connect(address)
        return Line(connection)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> RunnerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()
        self.kill()
