"""Connections through the mesh: a client's socket, proxies at both ends of a row of nodes, a server's socket."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from running_mesh import row

from receptor.config.kinds import Address
from receptor.config.service_actions import Service, TcpClient, TcpServer, UnixSocketClient, UnixSocketServer
from receptor.node.mesh_node import MeshNode
from receptor.services.inbound import TcpServerPart
from receptor.services.parts import Part, service_part
from receptor.tls.profiles import TlsProfiles

NO_TLS = TlsProfiles()
CHUNK = 256 * 1024


@asynccontextmanager
async def started(action: Service, mesh: MeshNode, tls: TlsProfiles = NO_TLS) -> AsyncIterator[Part]:
    """A service, until the end of the block."""
    part = service_part(action, mesh, tls)
    try:
        await part.start()
        yield part
    finally:
        await part.stop()


@dataclass
class Proxied:
    """A server's socket, and where clients come in who are led to it."""

    nodes: Sequence[MeshNode]
    entry: Part
    exit: Part
    entry_address: str | tuple[str, int]
    server: socket.socket

    async def client(self) -> socket.socket:
        family = socket.AF_UNIX if isinstance(self.entry_address, str) else socket.AF_INET
        client = socket.socket(family, socket.SOCK_STREAM)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, self.entry_address)
        return client

    async def accepted(self) -> socket.socket:
        connection, _ = await asyncio.get_running_loop().sock_accept(self.server)
        connection.setblocking(False)
        return connection

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[socket.socket, socket.socket]]:
        """A client, and its connection at the server."""
        with await self.client() as client, await self.accepted() as far:
            yield client, far


@asynccontextmanager
async def proxied(family: socket.AddressFamily, folder: Path, *node_ids: str) -> AsyncIterator[Proxied]:
    """Proxies of one kind at the first and the last node of a row."""
    async with AsyncExitStack() as parts:
        nodes = await parts.enter_async_context(row(*(node_ids or ("foo", "bar"))))
        server = parts.enter_context(listening(family, folder))
        first, last = nodes[0], nodes[-1]
        entry: Service
        leave: Service
        if family == socket.AF_UNIX:
            entry = UnixSocketServer(filename=folder / "entry.sock", remote_node=last.node_id, remote_service="web")
            leave = UnixSocketClient(service="web", filename=folder / "server.sock")
        else:
            entry = TcpServer(port=0, bind_address="127.0.0.1", remote_node=last.node_id, remote_service="web")
            leave = TcpClient(service="web", address=Address(*server.getsockname()))
        leave_part = await parts.enter_async_context(started(leave, last))
        entry_part = await parts.enter_async_context(started(entry, first))
        address: str | tuple[str, int] = str(folder / "entry.sock")
        if isinstance(entry_part, TcpServerPart):
            address = ("127.0.0.1", entry_part.port)
        yield Proxied(nodes, entry_part, leave_part, address, server)


def listening(family: socket.AddressFamily, folder: Path) -> socket.socket:
    """The server's socket."""
    server = socket.socket(family, socket.SOCK_STREAM)
    server.bind(str(folder / "server.sock") if family == socket.AF_UNIX else ("127.0.0.1", 0))
    server.listen(512)
    server.setblocking(False)
    return server


def reset(connection: socket.socket) -> None:
    """Leave without an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


async def send(connection: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(connection, data)


async def send_whole(connection: socket.socket, data: bytes) -> None:
    """Send, and end this direction."""
    await send(connection, data)
    connection.shutdown(socket.SHUT_WR)


async def receive(connection: socket.socket, size: int) -> bytes:
    """Just as many bytes."""
    received = bytearray()
    while len(received) < size:
        data = await asyncio.get_running_loop().sock_recv(connection, size - len(received))
        assert data, f"ended after {len(received)} bytes"
        received += data
    return bytes(received)


async def receive_all(connection: socket.socket) -> bytes:
    received = bytearray()
    while data := await asyncio.get_running_loop().sock_recv(connection, CHUNK):
        received += data
    return bytes(received)


async def breaks(connection: socket.socket) -> None:
    """Wait until a TCP connection breaks, without an orderly end."""
    try:
        while await asyncio.get_running_loop().sock_recv(connection, CHUNK):
            pass
    except ConnectionError:
        return
    raise AssertionError("it ended as if everything had come")


async def fill(connection: socket.socket) -> int:
    """Send until nothing goes on for a fifth of a second; the number of bytes that were taken."""
    sent = 0
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.2):
                await writable(connection)
            with suppress(BlockingIOError):
                sent += connection.send(bytes(CHUNK))
    return sent


async def writable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    can_write = asyncio.Event()
    loop.add_writer(connection, can_write.set)
    try:
        await can_write.wait()
    finally:
        loop.remove_writer(connection)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
