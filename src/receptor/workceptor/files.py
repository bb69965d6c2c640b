"""Reading and writing files so that nobody else reads them, and that a crash or a full disk is told as what it is.

Everything here is synchronous: call it in a worker thread. Errors of the disk become OperatingError.
"""

from __future__ import annotations

import enum
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from receptor.errors import OperatingError

LOCK_PATIENCE = 2.0
"""Seconds that a foreign holder of a lock is waited for."""

_LOCK_PAUSE = 0.02
_READ_AT_ONCE = 64 * 1024
_ADVICE = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space or raise the quota",
    errno.EACCES: "give the user that the node runs as access to it",
    errno.EPERM: "give the user that the node runs as access to it",
    errno.EROFS: "make the file system writable",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOENT: "it was removed from outside; leave the data folder to the node",
}


class Durability(enum.StrEnum):
    """What a unit on disk survives."""

    PROCESS = "process"
    """The death of every process."""
    POWER = "power"
    """The loss of power too: what was acknowledged has reached the disk itself."""


@contextmanager
def operating_errors(path: Path) -> Iterator[None]:
    """Turns an OSError of the work on that path into an OperatingError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "look at the disk and its file system")
        raise OperatingError(f"{path}: {error.strerror or error}; {advice}") from error


def private(path: str, flags: int) -> int:
    """An opener, for ``open``: a file that it makes is for this user only."""
    return os.open(path, flags, 0o600)


def read_file(path: Path, largest: int) -> bytes:
    """What a file holds, at most one byte more than ``largest``; empty if there is none."""
    with operating_errors(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            raw = b""
            while part := os.read(descriptor, min(largest + 1 - len(raw), _READ_AT_ONCE)):
                raw += part
            return raw
        finally:
            os.close(descriptor)


def write_file(path: Path, raw: bytes, *, survives_power: bool, time_of_it: float | None = None) -> None:
    """Write a whole file, with that time in unix seconds as its own. A crash may leave a part. Raises OSError."""
    # Cut to size at the end and not at the beginning, for which ext4 would wait for the disk.
    with open(path, "wb", opener=_private_and_whole) as file:
        file.write(raw)
        file.truncate()
        if time_of_it is not None:
            os.utime(file.fileno(), ns=(round(time_of_it * 1e6) * 1000,) * 2)
        if survives_power:
            os.fsync(file.fileno())


def write_through(file: BinaryIO, data: bytes) -> None:
    """Write to an open file so that every reader sees it at once. Raises OperatingError, on a full disk say."""
    with operating_errors(Path(file.name)):
        file.write(data)
        file.flush()


def settle_names(folder: Path) -> None:
    """New names in a folder survive a loss of power only when it is synchronised too. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def time_of(path: Path) -> float:
    """When a file was written last, in unix seconds; 0 if there is none."""
    with operating_errors(path):
        try:
            return path.stat().st_mtime_ns / 1e9
        except FileNotFoundError:
            return 0.0


@contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    """Holds a lock of flock(2), unless another holds it for longer than LOCK_PATIENCE; then it goes on without.

    For locks that are a courtesy: what is done in the block must be right without it too. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait_for_lock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, kind: int) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return None
            time.sleep(_LOCK_PAUSE)


def _private_and_whole(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_TRUNC, 0o600)
