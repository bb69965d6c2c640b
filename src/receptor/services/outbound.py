"""From the mesh to sockets."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from receptor.config.kinds import Address
from receptor.config.service_actions import TcpClient, UnixSocketClient
from receptor.errors import ConfigurationError
from receptor.node.byte_stream import ByteStream, Carrier, Origin, bridge
from receptor.node.hang_ups import HangUps
from receptor.node.mesh_node import MeshNode
from receptor.node.seldom import Seldom
from receptor.node.socket_stream import Connection, SocketStream
from receptor.node.stream_listener import keep_alive
from receptor.node.tls_byte_stream import TlsStream
from receptor.services.mesh_service import MeshService
from receptor.tls.profiles import ClientProfile

CONNECT_TIMEOUT = 30.0
"""Seconds that a connection may take until it is up, its TLS handshake included."""

logger = logging.getLogger("receptor.services")

_NUMBERS = re.compile(r"\[Errno -?[0-9]+\] ")

Connect = Callable[[HangUps], Awaitable[ByteStream]]


def tcp_client(action: TcpClient, mesh: MeshNode, tls: ClientProfile | None) -> OutboundPart:
    """A ``tcp-client``."""
    tags = {"type": "TCP Proxy", "address": str(action.address)}
    return OutboundPart(mesh, action, tags, action.tls_server, partial(_tcp_stream, action.address, tls))


def unix_socket_client(action: UnixSocketClient, mesh: MeshNode) -> OutboundPart:
    """A ``unix-socket-client``."""
    tags = {"type": "Unix Proxy", "filename": str(action.filename)}
    return OutboundPart(mesh, action, tags, action.tls, partial(_unix_stream, action.filename))


class OutboundPart:
    """Joins the streams to a service each to a connection of its own."""

    def __init__(
        self,
        mesh: MeshNode,
        action: TcpClient | UnixSocketClient,
        tags: dict[str, str],
        tls_server: str,
        connect: Connect,
    ) -> None:
        self._name = f"{action.about.name} {action.service}"
        self._goal = action.address if isinstance(action, TcpClient) else action.filename
        self._service = MeshService(mesh, action.service, tags, self._serve, tls_server)
        self._connect = connect
        self._hang_ups = HangUps()
        self._failed = Seldom(logger, level=logging.WARNING)

    async def start(self) -> None:
        """Listen and advertise. Raises OperatingError if the service is taken."""
        await self._service.start()
        logger.info("%s offers %s to the mesh", self._name, self._goal)

    async def stop(self) -> None:
        """Accept no more, and end the connections."""
        await self._service.stop()
        self._hang_ups.close()

    async def _serve(self, stream: ByteStream) -> None:
        """Raises ConnectionError if there is no connection for it."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                near = await self._connect(self._hang_ups)
        except (OSError, ConfigurationError) as error:
            problem = _problem(error)
            self._failed.say(
                f"{self._name} can't connect to {self._goal} for a stream of {stream.origin}: {problem}; check what is"
                " there"
            )
            raise ConnectionAbortedError(problem) from None
        await bridge(stream, near)


def _problem(error: OSError | ConfigurationError) -> str:
    """What is wrong, in words; event loops put numbers and addresses into it."""
    if isinstance(error, OSError) and error.errno is not None:
        # Those that are not the system's own, below zero, come from a name that can't be looked up.
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or str(error)
    return _NUMBERS.sub("", str(error)) or "no answer in time"


async def _tcp_stream(address: Address, tls: ClientProfile | None, hang_ups: HangUps) -> ByteStream:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, address.host, address.port)
    keep_alive(connection)
    stream = SocketStream(connection, Origin(Carrier.TCP, address.host, str(address)), hang_ups)
    if tls is None:
        return stream
    try:
        return await TlsStream.connect(stream, tls.context(), address.host)
    except BaseException:
        stream.close()
        raise


async def _unix_stream(path: Path, hang_ups: HangUps) -> ByteStream:
    _, connection = await asyncio.get_running_loop().create_unix_connection(Connection, str(path))
    return SocketStream(connection, Origin(Carrier.UNIX, "", str(path)), hang_ups)
