"""From the mesh to sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from receptor.config.kinds import Address
from receptor.config.service_actions import TcpClient, UnixSocketClient
from receptor.errors import ConfigurationError
from receptor.node.byte_stream import CHUNK, ByteStream, Carrier, Origin, SocketStream, bridge
from receptor.node.hang_ups import HangUps
from receptor.node.mesh_node import MeshNode
from receptor.node.seldom import Seldom
from receptor.node.stream_listener import keep_alive
from receptor.node.tls_stream import TlsStream
from receptor.services.mesh_service import MeshService
from receptor.tls.profiles import ClientProfile

CONNECT_TIMEOUT = 30.0
"""Seconds that a connection may take until it is up, its TLS handshake included."""

logger = logging.getLogger("receptor.services")


def tcp_client(action: TcpClient, mesh: MeshNode, tls: ClientProfile | None) -> MeshService:
    """A ``tcp-client``."""
    tags = {"type": "TCP Proxy", "address": str(action.address)}
    passage = Passage(f"tcp-client {action.service}", lambda: _tcp_stream(action.address, tls))
    return MeshService(mesh, action.service, tags, passage, action.tls_server)


def unix_socket_client(action: UnixSocketClient, mesh: MeshNode) -> MeshService:
    """A ``unix-socket-client``."""
    tags = {"type": "Unix Proxy", "filename": str(action.filename)}
    passage = Passage(f"unix-socket-client {action.service}", lambda: _unix_stream(action.filename))
    return MeshService(mesh, action.service, tags, passage, action.tls)


class Passage:
    """Joins streams of the mesh each to a connection of its own."""

    def __init__(self, name: str, connect: Callable[[], Awaitable[ByteStream]]) -> None:
        self._name = name
        self._connect = connect
        self._failed = Seldom(logger)

    async def __call__(self, stream: ByteStream) -> None:
        """Serve one until both ends are done with it. Raises ConnectionError if there is no connection for it."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                near = await self._connect()
        except (OSError, ConfigurationError) as error:
            problem = str(error) or "no answer in time"
            self._failed.say(f"{self._name}: ended a stream of {stream.origin}, for want of a connection: {problem}")
            raise ConnectionAbortedError(problem) from None
        await bridge(stream, near)


async def _tcp_stream(address: Address, tls: ClientProfile | None) -> ByteStream:
    reader, writer = await asyncio.open_connection(address.host, address.port, limit=CHUNK)
    keep_alive(writer)
    stream = SocketStream(reader, writer, Origin(Carrier.TCP, address.host, str(address)), HangUps())
    if tls is None:
        return stream
    try:
        return await TlsStream.connect(stream, tls.context(), address.host)
    except BaseException:
        stream.close()
        raise


async def _unix_stream(path: Path) -> ByteStream:
    reader, writer = await asyncio.open_unix_connection(path, limit=CHUNK)
    return SocketStream(reader, writer, Origin(Carrier.UNIX, "", str(path)), HangUps())
