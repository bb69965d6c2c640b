"""Nodes of a mesh in one process, joined by real TCP connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise

from receptor.backends.tcp import TcpDialer, TcpListener
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.links import LinkTerms
from receptor.node.byte_stream import ByteStream
from receptor.node.mesh_node import MeshNode
from receptor.node.stream_tls import StreamTls

IDLE_TIMEOUT = 21.0


def never_a_duplicate(reason: str) -> None:
    raise AssertionError(reason)


@asynccontextmanager
async def running(
    node_id: str,
    on_duplicate: Callable[[str], None] = never_a_duplicate,
    limits: MeshLimits = DEFAULT_LIMITS,
    tls: StreamTls | None = None,
) -> AsyncIterator[MeshNode]:
    node = MeshNode(node_id, IDLE_TIMEOUT, on_duplicate, limits, tls)
    try:
        yield node
    finally:
        await node.stop()


@asynccontextmanager
async def listening(node: MeshNode, terms: LinkTerms | None = None) -> AsyncIterator[int]:
    """Let other nodes link; the port for them."""
    listener = TcpListener(node.backend(terms or LinkTerms(), dialled=False), "127.0.0.1", 0)
    await listener.start()
    try:
        yield listener.port
    finally:
        await listener.stop()


@asynccontextmanager
async def dialling(node: MeshNode, port: int, terms: LinkTerms | None = None) -> AsyncIterator[None]:
    dialer = TcpDialer(node.backend(terms or LinkTerms(), dialled=True), "127.0.0.1", port, redial=True)
    await dialer.start()
    try:
        yield
    finally:
        await dialer.stop()


@asynccontextmanager
async def row(*node_ids: str) -> AsyncIterator[Sequence[MeshNode]]:
    """Nodes each of which is linked with the next, once all know the way to all."""
    async with AsyncExitStack() as parts:
        nodes = [await parts.enter_async_context(running(node_id)) for node_id in node_ids]
        for one, other in pairwise(nodes):
            port = await parts.enter_async_context(listening(one))
            await parts.enter_async_context(dialling(other, port))
        for node in nodes:
            await routes(node, set(node_ids) - {node.node_id})
        yield nodes


async def routes(node: MeshNode, wanted: set[str]) -> None:
    """Wait until a node has routes to just these."""
    changed = asyncio.Event()
    node.watch_routes(lambda _: changed.set())
    while set(node.core.mesh.topology.routes) != wanted:
        changed.clear()
        await changed.wait()


async def echo(stream: ByteStream) -> None:
    """Serve a stream with what it brings."""
    while data := await stream.read():
        await stream.write(data)
    await stream.finish()


async def read_all(stream: ByteStream) -> bytes:
    received = bytearray()
    while data := await stream.read():
        received += data
    return bytes(received)


@asynccontextmanager
async def joined_streams(dialer: MeshNode, listener: MeshNode) -> AsyncIterator[tuple[ByteStream, ByteStream]]:
    """Both ends of a new stream."""
    accepted: asyncio.Future[ByteStream] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def hand_over(stream: ByteStream) -> None:
        accepted.set_result(stream)
        await done.wait()

    listener.listen("joined", hand_over)
    dialled = await dialer.dial(listener.node_id, "joined")
    try:
        yield dialled, await accepted
    finally:
        done.set()
        dialled.close()
