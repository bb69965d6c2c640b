"""Unix sockets at a path of this machine, each guarded by a lock file so that nobody else takes its path."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from receptor.accepting import BACKLOG
from receptor.errors import OperatingError

LONGEST_SOCKET_PATH = 107


class UnixSocketFile:
    """The path of a listening socket."""

    def __init__(self, path: Path, permissions: int, name: str) -> None:
        """``name`` says in errors what it is: ``control socket``."""
        self._path = path
        self._permissions = permissions
        self._name = name
        self._lock = -1
        self._is_made = False

    def listen(self) -> socket.socket:
        """Make the socket. Raises OperatingError if the path can't be used or another process has it."""
        if len(os.fsencode(self._path)) > LONGEST_SOCKET_PATH:
            raise OperatingError(
                f"the {self._name}'s path is longer than {LONGEST_SOCKET_PATH} bytes: {self._path};"
                " choose a shorter filename"
            )
        try:
            self._take_lock()
            listening = self._listening()
        except OSError as error:
            raise OperatingError(
                f"the {self._name} {self._path} can't be made: {error.strerror or error};"
                " check that its folder exists and may be written"
            ) from None
        self._is_made = True
        return listening

    def remove(self) -> None:
        """Remove the socket, which listens no more, and free the path."""
        if self._is_made:
            self._path.unlink(missing_ok=True)
            self._is_made = False
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _take_lock(self) -> None:
        lock_path = f"{self._path}.lock"
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise OperatingError(
                f"another node serves the {self._name} {self._path} (it holds {lock_path});"
                " stop it or give this node another filename"
            ) from None
        self._lock = lock

    def _listening(self) -> socket.socket:
        """Nobody gets in before the socket has its permissions."""
        if self._path.exists() and not self._path.is_socket():
            raise OperatingError(
                f"the {self._name} can't be made: {self._path} exists and is no socket;"
                " remove it or choose another filename"
            )
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(self._path))
            os.chmod(self._path, self._permissions)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        listening.setblocking(False)
        return listening
