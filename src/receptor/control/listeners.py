"""Where clients reach the control service on this machine: a Unix socket, and TCP."""

from __future__ import annotations

import logging
from pathlib import Path

from receptor.accepting import tcp_sockets
from receptor.errors import OperatingError
from receptor.node.byte_stream import Carrier
from receptor.node.stream_listener import StreamHandler, StreamListener
from receptor.node.unix_sockets import UnixSocketFile
from receptor.tls.profiles import ServerProfile

logger = logging.getLogger("receptor.control")


class UnixListener:
    """A Unix socket, guarded by a lock file so that a second daemon on the same path refuses to start."""

    def __init__(self, path: Path, permissions: int, handler: StreamHandler) -> None:
        self._name = f"control service on {path}"
        self._socket = UnixSocketFile(path, permissions, "control socket")
        self._handler = handler
        self._clients: StreamListener | None = None

    async def start(self) -> None:
        """Listen. Raises OperatingError if the path can't be used or another daemon has it."""
        self._clients = StreamListener(self._name, [self._socket.listen()], Carrier.UNIX, self._handler)
        logger.info("%s", self._name)

    async def stop(self) -> None:
        """Accept no more, and remove the socket. The sessions go on."""
        if self._clients is not None:
            await self._clients.stop()
        self._socket.remove()


class TcpControlListener:
    """A TCP port for clients."""

    def __init__(self, host: str, port: int, handler: StreamHandler, tls: ServerProfile | None = None) -> None:
        self._host = host
        self._port = port
        self._handler = handler
        self._tls = tls
        self._clients: StreamListener | None = None

    async def start(self) -> None:
        """Listen. Raises OperatingError if the port can't be had."""
        try:
            sockets = await tcp_sockets(self._host, self._port)
        except OSError as error:
            raise OperatingError(
                f"the control service can't listen on {self._host}:{self._port}: {error.strerror or error};"
                " choose another tcplisten, or stop what uses it"
            ) from None
        name = f"control service on TCP {self._host}:{self._port}"
        tls = self._tls.context if self._tls else None
        self._clients = StreamListener(name, sockets, Carrier.TCP, self._handler, tls)
        logger.info("%s%s", name, " with TLS" if tls else "")

    async def stop(self) -> None:
        """Accept no more. The sessions go on."""
        if self._clients is not None:
            await self._clients.stop()
