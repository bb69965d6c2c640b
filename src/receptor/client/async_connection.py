"""One connection to a control service for asyncio: what ``connection`` is for threads.

It uses the socket itself instead of asyncio's streams: their TLS can't end one direction, and a connection must be gone
as soon as it is closed, in a task that is being cancelled too.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from receptor.client import carrying, conversations
from receptor.client import connection as blocking
from receptor.client.address import Address, TcpAddress, UnixAddress
from receptor.client.connection import CHUNK_BYTES
from receptor.client.conversations import Conversation, EndSending, ReadLine, ReadSome, Request, Send, T
from receptor.client.received import Received
from receptor.client.tls_settings import TlsSettings
from receptor.errors import UnreachableError

if TYPE_CHECKING:
    from receptor.client.tls_engine import TlsEngine

_FULL_QUEUE_SECONDS = 0.02
"""How soon a Unix socket is tried again whose node accepts nobody at the moment."""


class AsyncConnection:
    """A connection that a node has greeted; made by ``connect``, closed by ``close``.

    One task may read while another sends. A cancelled call leaves the connection open; of a line that had come in part
    nothing is lost, of what was being sent nobody knows how much the node has.
    """

    def __init__(self, sock: socket.socket, address: Address, tls: TlsEngine | None = None) -> None:
        self._socket = sock
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        """Held until what one task has to say is sent."""
        self._busy = 0
        """How many tasks wait for the socket, which must not be closed under them: they would wait for ever."""
        self._is_closed = False
        self._received = Received(address)
        self.address = address
        self.node_id: str = ""

    def close(self) -> None:
        """End the connection at once, also under a task that waits for it; safe to call again."""
        self._is_closed = True
        if not self._busy:
            self._socket.close()
            return
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """Close so that the node can tell it from an orderly end of what was sent."""
        if isinstance(self.address, TcpAddress):
            with suppress(OSError):  # it is broken already
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def is_usable(self) -> bool:
        """Whether the next command can be given: this is its loop, and nothing has come since the last answer.

        Else the node has ended the connection meanwhile.
        """
        if self._loop is not asyncio.get_running_loop():
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return not self._received
        except OSError:
            pass
        return False

    async def hold(self, conversation: Conversation[T]) -> T:
        """Do what the conversation asks for, to its end; what it returns. Errors are its own."""
        return await carrying.run_async(conversation, self.do)

    async def do(self, request: Request) -> bytes:
        """Do one thing that a conversation asks for; what came of it."""
        match request:
            case Send(data, seconds):
                await self._send(data, seconds)
            case ReadLine(awaited, seconds, longest):
                return await self._line(awaited, seconds, longest)
            case ReadSome(seconds):
                return await self._some(seconds)
            case EndSending():
                await self._end_sending()
        return b""

    async def shake_hands(self, tls: TlsSettings) -> None:
        """Secure the connection before anything else; raises the errors of ``connect``."""
        engine = self._tls
        assert engine is not None
        try:
            while not engine.shake_hands():
                await self._send_records(engine)
                engine.received(await self._receive())
            await self._send_records(engine)
        except OSError as error:
            if engine.has_records:
                await self._send_records(engine)
            raise blocking.no_handshake(self.address, error) from error
        blocking.check_pins(self.address, tls, engine.certificate())

    async def _line(self, awaited: str, seconds: float | None, longest: int) -> bytes:
        while (line := self._received.line(awaited, longest)) is None:
            async with self._trouble(f"send {awaited}", seconds):
                chunk = await self._read()
            self._received.add(chunk, awaited)
        return line

    async def _some(self, seconds: float | None) -> bytes:
        if self._received:
            return self._received.take()
        async with self._trouble("send more", seconds):
            return await self._read()

    async def _send(self, data: bytes, seconds: float | None) -> None:
        async with self._trouble("take data", seconds), self._sending:
            if self._tls is None:
                await self._loop.sock_sendall(self._socket, data)
            else:
                self._tls.write(data)
                await self._send_records(self._tls)

    async def _end_sending(self) -> None:
        async with self._trouble("take data", conversations.SEND_SECONDS), self._sending:
            if self._tls is not None:
                self._tls.end()
                await self._send_records(self._tls)
            self._socket.shutdown(socket.SHUT_WR)

    async def _read(self) -> bytes:
        if self._tls is None:
            return await self._receive()
        while True:
            plain = self._tls.read()
            if plain or self._tls.is_over:
                return plain
            if self._tls.has_records and not self._tls.is_broken and not self._sending.locked():
                async with self._sending:  # what TLS itself answers; a sender sends it with its own
                    await self._send_records(self._tls)
            self._tls.received(await self._receive())

    async def _receive(self) -> bytes:
        """The next bytes of the socket. asyncio's own call loses them if it is cancelled just when they come."""
        while True:
            try:
                return self._socket.recv(CHUNK_BYTES)
            except BlockingIOError:
                await self._arrival()

    async def _arrival(self) -> None:
        """Wait until there is, or seems to be, something to receive."""
        arrived = asyncio.Event()
        self._loop.add_reader(self._socket, arrived.set)
        try:
            await arrived.wait()
        finally:
            self._loop.remove_reader(self._socket)

    async def _send_records(self, engine: TlsEngine) -> None:
        await self._loop.sock_sendall(self._socket, engine.records())

    @asynccontextmanager
    async def _trouble(self, doing: str, seconds: float | None) -> AsyncIterator[None]:
        if self._is_closed:
            raise UnreachableError(f"the connection to {self.address} is closed")
        self._busy += 1
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise blocking.silent(self.address, doing, seconds) from error
        except OSError as error:
            raise blocking.broken(self.address, error) from error
        finally:
            self._busy -= 1
            if self._is_closed and not self._busy:
                self._socket.close()


async def connect(address: Address, tls: TlsSettings | None = None) -> AsyncConnection:
    """Connect and read the greeting, within 30 seconds each; the errors are those of ``connection.connect``."""
    connection = await _connect(address, tls or TlsSettings())
    try:
        connection.node_id = await connection.hold(
            conversations.greeting(str(address), seconds=blocking.CONNECT_SECONDS)
        )
    except BaseException:
        connection.close()
        raise
    return connection


async def _connect(address: Address, tls: TlsSettings) -> AsyncConnection:
    try:
        async with asyncio.timeout(blocking.CONNECT_SECONDS):
            if isinstance(address, UnixAddress):
                return AsyncConnection(await _connect_unix(address), address)
            sock = await _connect_tcp(address)
    except OSError as error:
        raise blocking.not_connected(address, error, blocking.CONNECT_SECONDS) from error
    if not address.tls:
        return AsyncConnection(sock, address)
    try:
        return await _secured(sock, address, tls)
    except BaseException:
        sock.close()
        raise


async def _connect_unix(address: UnixAddress) -> socket.socket:
    """Connect; asyncio itself takes a node whose queue is full for connected."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        while True:
            try:
                sock.connect(address.path)
            except BlockingIOError:
                await asyncio.sleep(_FULL_QUEUE_SECONDS)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


async def _connect_tcp(address: TcpAddress) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except RuntimeError:  # the program is about to end, where threads take no more work, but executors finish theirs
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    problem: OSError | None = None
    for family, kind, protocol, _, place in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, place)
            blocking.keep_alive(sock)
            return sock
        except OSError as error:
            sock.close()
            problem = problem or error
        except BaseException:
            sock.close()
            raise
    raise problem or OSError(f"{address.host} has no addresses")


async def _secured(sock: socket.socket, address: TcpAddress, tls: TlsSettings) -> AsyncConnection:
    from receptor.client.tls_engine import TlsEngine

    connection = AsyncConnection(sock, address, TlsEngine(tls.context(), address.host))
    try:
        async with asyncio.timeout(blocking.CONNECT_SECONDS):
            await connection.shake_hands(tls)
    except TimeoutError as error:
        raise blocking.not_connected(address, error, blocking.CONNECT_SECONDS) from error
    return connection
