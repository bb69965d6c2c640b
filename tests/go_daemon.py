"""What the existing Go daemon (1.4.9) leaves in a data folder, and how it reads one; written down from watching it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

from commands import eventually

MONITOR = """
import fcntl, json, os, sys, time
folder = next(word.removeprefix("unitdir=") for word in sys.argv if word.startswith("unitdir="))
while not os.path.exists(folder + ".go-on"):
    time.sleep(0.01)
with open(folder + "/stdout", "ab") as output:
    output.write(b"the end\\n")
with open(folder + "/status.lock", "r+") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    with open(folder + "/status", "r+") as file:
        status = json.load(file)
        size = os.path.getsize(folder + "/stdout")
        status |= {"State": 2, "Detail": "exit status 0", "StdoutSize": size, "ExtraData": None}
        file.seek(0)
        json.dump(status, file, separators=(",", ":"))
        file.truncate()
"""
"""Its monitor of a command: it ends when a file is there beside the unit, and writes the status in place."""

REMOTE = {
    "RemoteNode": "bar",
    "RemoteWorkType": "echo",
    "RemoteParams": {},
    "RemoteUnitID": "",
    "RemoteStarted": False,
    "LocalCancelled": False,
    "LocalReleased": False,
    "SignWork": False,
    "TLSClient": "",
    "Expiration": "0001-01-01T00:00:00Z",
}

_COMMAND_KEYS = {"Pid": int, "Params": str}
_REMOTE_KEYS = {key: type(value) for key, value in REMOTE.items()}


def store(
    data_folder: Path, unit_id: str, status: dict[str, object], stdin: bytes = b"", stdout: bytes | None = None
) -> Path:
    """A unit as it leaves one; output that never came has no file."""
    folder = data_folder / unit_id
    folder.mkdir(0o700, parents=True)
    raw = json.dumps({"StdoutSize": len(stdout or b""), "ExtraData": None, **status}, separators=(",", ":"))
    contents = {"status": raw.encode(), "status.lock": b"", "stdin": stdin, "stdout": stdout}
    for name, content in contents.items():
        if content is not None:
            (folder / name).touch(0o600)
            (folder / name).write_bytes(content)
    return folder


def start_monitor(folder: Path) -> subprocess.Popen[bytes]:
    """A process as it has one for each command that runs; ``go_on`` ends it. The unit's status names it."""
    words = ["--node", "id=worker", "--log-level", "info", "--command-runner", "command=bash", "params=-c x"]
    monitor = subprocess.Popen(
        [sys.executable, "-S", "-c", MONITOR, *words, f"unitdir={folder}"], start_new_session=True
    )
    status = json.loads((folder / "status").read_text())
    status |= {"State": 1, "Detail": f"Running: PID {monitor.pid + 1}"}
    status["ExtraData"] = {"Pid": monitor.pid, "Params": "-c x"}
    (folder / "status").write_text(json.dumps(status, separators=(",", ":")))
    # Whoever looks at its command line before it is one sees the parent's.
    eventually(lambda: b"unitdir=" in Path(f"/proc/{monitor.pid}/cmdline").read_bytes())
    return monitor


def go_on(folder: Path) -> None:
    """Let the command of that unit end."""
    Path(f"{folder}.go-on").touch()


def read(folder: Path) -> dict[str, object]:
    """The status as the Go daemon takes it up: by name, each of its type, the rest ignored; fails where it would."""
    with (folder / "status.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        status: dict[str, object] = json.loads((folder / "status").read_text())
    types = {"State": int, "Detail": str, "StdoutSize": int, "WorkType": str}
    assert {key: type(status[key]) for key in types} == types
    assert status["State"] in range(5)
    extra = status["ExtraData"]
    if status["WorkType"] == "remote":
        assert isinstance(extra, dict)
        assert {key: type(extra[key]) for key in _REMOTE_KEYS} == _REMOTE_KEYS
    elif extra is not None:
        assert isinstance(extra, dict)
        assert {key: type(extra[key]) for key in _COMMAND_KEYS} == _COMMAND_KEYS
    for name in ("status", "status.lock", "stdin"):
        assert os.stat(folder / name).st_mode & 0o777 == 0o600
    return status
