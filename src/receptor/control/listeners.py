"""Where clients reach the control service on this machine: a Unix socket, and TCP."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from receptor.errors import OperatingError
from receptor.node.byte_stream import CHUNK, LOCAL_CLIENT, ByteStream, Carrier, Origin, SocketStream
from receptor.node.hang_ups import HangUps

LONGEST_SOCKET_PATH = 107
BACKLOG = 512

logger = logging.getLogger("receptor.control")

SessionHandler = Callable[[ByteStream], Awaitable[None]]


class UnixListener:
    """A Unix socket, guarded by a lock file so that a second daemon on the same path refuses to start."""

    def __init__(self, path: Path, permissions: int, handler: SessionHandler) -> None:
        self._path = path
        self._permissions = permissions
        self._handler = handler
        self._lock = -1
        self._server: asyncio.Server | None = None
        self._hang_ups = HangUps()

    async def start(self) -> None:
        """Listen. Raises OperatingError if the path can't be used or another daemon has it."""
        if len(os.fsencode(self._path)) > LONGEST_SOCKET_PATH:
            raise OperatingError(
                f"the control socket's path is longer than {LONGEST_SOCKET_PATH} bytes: {self._path};"
                " choose a shorter filename"
            )
        try:
            self._take_lock()
            listening = self._bind()
            self._server = await asyncio.start_unix_server(
                self._connected, sock=listening, limit=CHUNK, backlog=BACKLOG
            )
        except OSError as error:
            raise OperatingError(
                f"the control socket {self._path} can't be made: {error.strerror or error};"
                " check that its folder exists and may be written"
            ) from None
        logger.info("control service on %s", self._path)

    async def stop(self) -> None:
        """Accept no more, and remove the socket."""
        self._hang_ups.close()
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
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
                f"another node serves the control socket {self._path} (it holds {lock_path});"
                " stop it or give this node another filename"
            ) from None
        self._lock = lock

    def _bind(self) -> socket.socket:
        """A socket at the path that does not listen yet: nobody gets in before it has its permissions."""
        if self._path.exists() and not self._path.is_socket():
            raise OperatingError(
                f"the control socket can't be made: {self._path} exists and is no socket;"
                " remove it or choose another filename"
            )
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(self._path))
            os.chmod(self._path, self._permissions)
        except OSError:
            listening.close()
            raise
        listening.setblocking(False)
        return listening

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(self._handler, SocketStream(reader, writer, LOCAL_CLIENT, self._hang_ups))


class TcpControlListener:
    """A TCP port for clients."""

    def __init__(self, host: str, port: int, handler: SessionHandler) -> None:
        self._host = host
        self._port = port
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._hang_ups = HangUps()

    async def start(self) -> None:
        """Listen. Raises OperatingError if the port can't be had."""
        try:
            self._server = await asyncio.start_server(
                self._connected, self._host, self._port, limit=CHUNK, backlog=BACKLOG
            )
        except OSError as error:
            raise OperatingError(
                f"the control service can't listen on {self._host}:{self._port}: {error.strerror or error};"
                " choose another tcplisten, or stop what uses it"
            ) from None
        logger.info("control service on TCP %s:%d", self._host, self._port)

    async def stop(self) -> None:
        """Accept no more."""
        self._hang_ups.close()
        if self._server is not None:
            self._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername")
        host, name = (address[0], f"{address[0]}:{address[1]}") if address else ("", "a client that is gone")
        origin = Origin(Carrier.TCP, host, name)
        await _serve(self._handler, SocketStream(reader, writer, origin, self._hang_ups))


async def _serve(handler: SessionHandler, stream: ByteStream) -> None:
    # Streams of Python 3.11 complain of a task that ends cancelled, as sessions do when the node stops.
    with suppress(asyncio.CancelledError):
        await handler(stream)
