"""Unix sockets and TCP connections as byte streams."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections import deque
from collections.abc import Callable
from typing import cast

from receptor.node.byte_stream import ByteStream, Origin, breaks_as_connection_error
from receptor.node.hang_ups import HangUps, has_hung_up

READ_LIMIT = 512 * 1024
"""Bytes that wait for the reader, above which no more are taken from the system."""

SEND_BUFFER = 1024 * 1024
"""Bytes that the system may hold for the reader of a Unix socket. By its default we would wake up for each 200 KiB."""

FINISH_TIME = 60.0
"""Seconds that a client over a socket has to read the rest of a finished stream. Then its descriptor is freed."""

_FIRST_LOOK = 0.005
_TCP_CLOSE = 7
"""The state of a connection that is over, as Linux numbers it."""

RESETS = struct.pack("ii", 1, 0)
"""The SO_LINGER with which closing a TCP connection resets it."""


class Connection(asyncio.Protocol):
    """What a transport calls: keeps what has arrived, in the pieces in which it came, and whether there is room.

    A stream reader of asyncio would copy each byte twice more.
    """

    def __init__(self, on_made: Callable[[Connection], None] | None = None) -> None:
        self._on_made = on_made
        self._transport: asyncio.Transport | None = None
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_paused = False
        self._is_at_end = False
        self._is_lost = False
        self._problem: Exception | None = None
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    @property
    def transport(self) -> asyncio.Transport:
        """There is one once the connection is made."""
        assert self._transport is not None
        return self._transport

    @property
    def plain_socket(self) -> socket.socket:
        """The socket; not to be read, written or closed."""
        found: socket.socket = self.transport.get_extra_info("socket")
        return found

    async def read(self, enough: int = 1) -> bytes:
        """All that has arrived, at least so many bytes, but at the end, or READ_LIMIT; none at the end.

        Raises ConnectionError if the connection broke.
        """
        while self._waiting_bytes < enough and not self._is_paused:
            if self._pieces and self._is_at_end:
                break
            if self._problem is not None:
                with breaks_as_connection_error():
                    raise self._problem
            if self._is_at_end:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._waiting_bytes = 0
        if self._is_paused:
            self._is_paused = False
            if not self.transport.is_closing():  # uvloop's transports fail then
                self.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Write; returns once the system has everything. Raises ConnectionError if the connection breaks."""
        if self.transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self.transport.write(data)
        if self.transport.is_closing():
            await asyncio.sleep(0)  # It broke, and is told so at once.
        await self._writable.wait()
        if self._is_lost:
            with breaks_as_connection_error():
                raise self._problem or ConnectionResetError("the connection is lost")

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(0)
        if self.plain_socket.family == socket.AF_UNIX:
            self.plain_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > READ_LIMIT and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()
        self._readable.set()

    def eof_received(self) -> bool:
        self._is_at_end = True
        self._readable.set()
        return True  # Our direction stays open.

    def connection_lost(self, error: Exception | None) -> None:
        self._is_at_end = self._is_lost = True
        self._problem = error
        self._readable.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()


class SocketStream(ByteStream):
    """A Unix socket or TCP connection.

    A write returns once the kernel has everything, so nothing is left to be done for a stream after its last write.
    What is dropped breaks for the other end of a TCP connection, so that nobody takes a part for the whole. Unix
    sockets can't tell it: there it reads what was written, and then the end.
    """

    def __init__(self, connection: Connection, origin: Origin, hang_ups: HangUps) -> None:
        super().__init__(origin)
        self._connection = connection
        self._transport = connection.transport
        self._hang_ups = hang_ups

    async def _receive(self) -> bytes:
        return await self._connection.read()

    async def _receive_much(self) -> bytes:
        return await self._connection.read(READ_LIMIT)

    async def write(self, data: bytes) -> None:
        await self._connection.write(data)

    async def end(self) -> None:
        if self._transport.can_write_eof() and not self._transport.is_closing():
            with breaks_as_connection_error():
                self._transport.write_eof()

    @property
    def has_left(self) -> bool:
        return not self._transport.is_closing() and has_hung_up(self._connection.plain_socket.fileno())

    async def left(self) -> None:
        if not self._transport.is_closing():
            await self._hang_ups.of(self._connection.plain_socket.fileno())

    async def finish(self) -> None:
        if self._transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(FINISH_TIME, self._give_up)
        self._transport.close()

    def _give_up(self) -> None:
        if self._transport.get_write_buffer_size():
            self._reset()

    async def delivered(self) -> None:
        pause = _FIRST_LOOK
        while not (self._transport.is_closing() or _is_delivered(self._connection.plain_socket)):
            await asyncio.sleep(pause)
            pause *= 2

    def close(self) -> None:
        if self._transport.is_closing():
            self._transport.abort()
        else:
            self._reset()

    def _reset(self) -> None:
        """Drop a connection that is open: later its descriptor may be another one's."""
        if self._connection.plain_socket.family != socket.AF_UNIX:
            self._connection.plain_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
        self._transport.abort()


def _is_delivered(connection: socket.socket) -> bool:
    """Whether everything that was written has arrived at the other machine, or nothing more will."""
    if connection.family == socket.AF_UNIX:
        return True  # They deliver what was written, whatever comes after it.
    if sys.platform == "linux" and connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE:
        return True
    return not any(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
