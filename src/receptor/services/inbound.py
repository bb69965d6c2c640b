"""From sockets of this machine into the mesh."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence

from receptor.accepting import tcp_sockets
from receptor.config.service_actions import TcpServer, UnixSocketServer
from receptor.errors import CommandError, OperatingError, UnreachableError
from receptor.node.byte_stream import ByteStream, Carrier, bridge
from receptor.node.mesh_node import MeshNode
from receptor.node.seldom import Seldom
from receptor.node.stream_listener import StreamListener
from receptor.node.unix_sockets import UnixSocketFile
from receptor.tls.profiles import ServerProfile

logger = logging.getLogger("receptor.services")


class Passage:
    """Joins streams of this machine each to a stream of its own to a service of the mesh."""

    def __init__(self, name: str, mesh: MeshNode, node: str, service: str, tls_client: str) -> None:
        self._name = name
        self._mesh = mesh
        self._node = node
        self._service = service
        self._tls_client = tls_client
        self._unreachable = Seldom(logger)

    async def __call__(self, stream: ByteStream) -> None:
        """Serve one until both ends are done with it. Cancelling drops it."""
        try:
            far = await self._mesh.dial(self._node, self._service, self._tls_client)
        except (UnreachableError, CommandError) as error:
            self._unreachable.say(f"{self._name}: dropped a connection of {stream.origin}: {error}")
            stream.close()
            return
        except asyncio.CancelledError:
            stream.close()
            raise
        await bridge(stream, far)


class TcpServerPart:
    """A ``tcp-server``."""

    def __init__(self, action: TcpServer, mesh: MeshNode, tls: ServerProfile | None) -> None:
        self._action = action
        self._mesh = mesh
        self._tls = tls
        self._sockets: Sequence[socket.socket] = []
        self._listener: StreamListener | None = None

    async def start(self) -> None:
        """Listen. Raises OperatingError if the port can't be had."""
        action = self._action
        try:
            self._sockets = await tcp_sockets(action.bind_address, action.port)
        except OSError as error:
            raise OperatingError(
                f"tcp-server can't listen on {action.bind_address}:{action.port}: {error.strerror or error};"
                " choose another port or bindaddr, or stop what uses it"
            ) from None
        name = f"tcp-server {action.bind_address}:{self.port}"
        passage = Passage(name, self._mesh, action.remote_node, action.remote_service, action.tls_client)
        tls = self._tls.context if self._tls else None
        self._listener = StreamListener(name, self._sockets, Carrier.TCP, passage, tls)
        logger.info("%s leads to %s on %s", name, action.remote_service, action.remote_node)

    @property
    def port(self) -> int:
        """The port that is listened on; the chosen one if the configured port is 0."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Accept no more, and end the connections."""
        if self._listener is not None:
            await self._listener.drop()
            self._listener = None


class UnixSocketServerPart:
    """A ``unix-socket-server``."""

    def __init__(self, action: UnixSocketServer, mesh: MeshNode) -> None:
        self._action = action
        self._mesh = mesh
        self._socket = UnixSocketFile(action.filename.absolute(), action.permissions, "unix-socket-server")
        self._listener: StreamListener | None = None

    async def start(self) -> None:
        """Listen. Raises OperatingError if the path can't be used or another node has it."""
        action = self._action
        name = f"unix-socket-server {action.filename}"
        passage = Passage(name, self._mesh, action.remote_node, action.remote_service, action.tls)
        self._listener = StreamListener(name, [self._socket.listen()], Carrier.UNIX, passage)
        logger.info("%s leads to %s on %s", name, action.remote_service, action.remote_node)

    async def stop(self) -> None:
        """Accept no more, end the connections and remove the socket."""
        if self._listener is not None:
            await self._listener.drop()
            self._listener = None
        self._socket.remove()
