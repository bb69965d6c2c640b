"""Connections to listening sockets as byte streams."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence

from receptor.accepting import HANDSHAKE_TIMEOUT, MOST_HANDSHAKES, Acceptor
from receptor.node.byte_stream import LOCAL_CLIENT, ByteStream, Carrier, Origin
from receptor.node.hang_ups import HangUps
from receptor.node.seldom import Seldom
from receptor.node.socket_stream import Connection, SocketStream
from receptor.node.tls_byte_stream import TlsStream

KEEP_ALIVE = 15
"""Seconds of silence after which the system asks whether the other end of a TCP connection still exists, and again."""

logger = logging.getLogger("receptor.node")

StreamHandler = Callable[[ByteStream], Coroutine[None, None, None]]


class StreamListener:
    """Serves each connection to listening sockets in a task of its own, once its TLS handshake is done."""

    def __init__(
        self,
        name: str,
        sockets: Sequence[socket.socket],
        carrier: Carrier,
        handler: StreamHandler,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """``tls`` is asked for each connection. The handler has to finish or close its stream."""
        self._name = name
        self._carrier = carrier
        self._handler = handler
        self._tls = tls
        self._hang_ups = HangUps()
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshakes: dict[asyncio.Task[None], None] = {}
        """In the order in which they began."""
        self._failed = Seldom(logger)
        self._acceptor: Acceptor | None = Acceptor(name, sockets, self._protocol)

    async def stop(self) -> None:
        """Accept no more. Those who are served go on."""
        await self._stop_accepting()
        await _cancelled(list(self._handshakes))
        self._hang_ups.close()

    async def drop(self) -> None:
        """Accept no more, and end all connections."""
        await self._stop_accepting()
        await _cancelled(list(self._tasks))
        self._hang_ups.close()

    async def _stop_accepting(self) -> None:
        if self._acceptor is not None:
            await self._acceptor.stop()
            self._acceptor = None

    def _protocol(self) -> Connection:
        return Connection(self._connected)

    def _connected(self, connection: Connection) -> None:
        if self._carrier is Carrier.TCP:
            keep_alive(connection)
        stream = SocketStream(connection, self._origin(connection), self._hang_ups)
        task = asyncio.create_task(self._serve(stream), name=f"serve {stream.origin}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # One that is cancelled before it has begun could not do it.
        task.add_done_callback(lambda task: stream.close() if task.cancelled() else None)

    async def _serve(self, stream: SocketStream) -> None:
        secured = await self._secured(stream, self._tls) if self._tls else stream
        if secured is not None:
            await self._handler(secured)

    async def _secured(self, stream: SocketStream, tls: Callable[[], ssl.SSLContext]) -> TlsStream | None:
        task = asyncio.current_task()
        assert task is not None
        self._handshakes[task] = None
        if len(self._handshakes) > MOST_HANDSHAKES:
            next(iter(self._handshakes)).cancel()
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                return await TlsStream.accept(stream, tls())
        except (ConnectionError, TimeoutError) as error:
            reason = "the TLS handshake takes too long" if isinstance(error, TimeoutError) else error
            self._failed.say(f"a connection of {stream.origin} to {self._name} failed: {reason}")
        finally:
            del self._handshakes[task]
        stream.close()
        return None

    def _origin(self, connection: Connection) -> Origin:
        if self._carrier is Carrier.UNIX:
            return LOCAL_CLIENT
        address = connection.transport.get_extra_info("peername")
        host, name = (address[0], f"{address[0]}:{address[1]}") if address else ("", "a client that is gone")
        return Origin(self._carrier, host, name)


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def keep_alive(connection: Connection) -> None:
    """Let a TCP connection break when its other end does not exist any more, however idle it is."""
    connection.plain_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, option):
            connection.plain_socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), KEEP_ALIVE)
