"""Where clients reach the control service on this machine: a Unix socket, and TCP."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from receptor.accepting import BACKLOG, Acceptor, tcp_sockets
from receptor.errors import OperatingError
from receptor.node.byte_stream import CHUNK, LOCAL_CLIENT, ByteStream, Carrier, Origin, SocketStream
from receptor.node.hang_ups import HangUps

LONGEST_SOCKET_PATH = 107

logger = logging.getLogger("receptor.control")

SessionHandler = Callable[[ByteStream], Coroutine[None, None, None]]


class _Clients:
    """Serves each client of a listening socket in a task of its own."""

    def __init__(self, name: str, sockets: Sequence[socket.socket], carrier: Carrier, handler: SessionHandler) -> None:
        self._carrier = carrier
        self._handler = handler
        self._hang_ups = HangUps()
        self._sessions: set[asyncio.Task[None]] = set()
        self._acceptor = Acceptor(name, sockets, self._protocol)

    async def stop(self) -> None:
        """Accept no more. The sessions go on."""
        await self._acceptor.stop()
        self._hang_ups.close()

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(CHUNK), self._connected)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = SocketStream(reader, writer, self._origin(writer), self._hang_ups)
        session = asyncio.create_task(self._handler(stream), name=f"serve {stream.origin}")
        self._sessions.add(session)
        session.add_done_callback(self._sessions.discard)

    def _origin(self, writer: asyncio.StreamWriter) -> Origin:
        if self._carrier is Carrier.UNIX:
            return LOCAL_CLIENT
        address = writer.get_extra_info("peername")
        host, name = (address[0], f"{address[0]}:{address[1]}") if address else ("", "a client that is gone")
        return Origin(self._carrier, host, name)


class UnixListener:
    """A Unix socket, guarded by a lock file so that a second daemon on the same path refuses to start."""

    def __init__(self, path: Path, permissions: int, handler: SessionHandler) -> None:
        self._path = path
        self._permissions = permissions
        self._handler = handler
        self._lock = -1
        self._clients: _Clients | None = None

    async def start(self) -> None:
        """Listen. Raises OperatingError if the path can't be used or another daemon has it."""
        if len(os.fsencode(self._path)) > LONGEST_SOCKET_PATH:
            raise OperatingError(
                f"the control socket's path is longer than {LONGEST_SOCKET_PATH} bytes: {self._path};"
                " choose a shorter filename"
            )
        try:
            self._take_lock()
            name = f"control service on {self._path}"
            self._clients = _Clients(name, [self._listen()], Carrier.UNIX, self._handler)
        except OSError as error:
            raise OperatingError(
                f"the control socket {self._path} can't be made: {error.strerror or error};"
                " check that its folder exists and may be written"
            ) from None
        logger.info("%s", name)

    async def stop(self) -> None:
        """Accept no more, and remove the socket."""
        if self._clients is not None:
            await self._clients.stop()
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

    def _listen(self) -> socket.socket:
        """A listening socket at the path. Nobody gets in before it has its permissions."""
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
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        listening.setblocking(False)
        return listening


class TcpControlListener:
    """A TCP port for clients."""

    def __init__(self, host: str, port: int, handler: SessionHandler) -> None:
        self._host = host
        self._port = port
        self._handler = handler
        self._clients: _Clients | None = None

    async def start(self) -> None:
        """Listen. Raises OperatingError if the port can't be had."""
        try:
            name = f"control service on TCP {self._host}:{self._port}"
            sockets = await tcp_sockets(self._host, self._port)
            self._clients = _Clients(name, sockets, Carrier.TCP, self._handler)
        except OSError as error:
            raise OperatingError(
                f"the control service can't listen on {self._host}:{self._port}: {error.strerror or error};"
                " choose another tcplisten, or stop what uses it"
            ) from None
        logger.info("%s", name)

    async def stop(self) -> None:
        """Accept no more."""
        if self._clients is not None:
            await self._clients.stop()
