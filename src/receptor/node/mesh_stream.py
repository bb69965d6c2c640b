"""A stream of the mesh as a byte stream."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from receptor.netceptor.packets import Address
from receptor.netceptor.streams import Streams
from receptor.node.byte_stream import ByteStream, Carrier, Origin

READ_LIMIT = 2 * 1024 * 1024
"""Bytes that wait for the reader, above which the far end is held back."""


class MeshStream(ByteStream):
    """One stream, read and written by one user; the mesh node feeds it."""

    def __init__(
        self,
        streams: Streams,
        number: int,
        remote: Address,
        pump_soon: Callable[[], None],
        forget: Callable[[int], object],
    ) -> None:
        super().__init__(Origin(Carrier.MESH, remote.node, str(remote)))
        self._streams = streams
        self._number = number
        self._pump_soon = pump_soon
        self._forget = forget
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._at_end = False
        self._paused = False
        self._closed = False
        self._problem: str | None = None
        self._readable = asyncio.Event()
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._over = asyncio.Event()

    async def _receive(self) -> bytes:
        while not self._chunks:
            if self._at_end:
                return b""
            if self._closed:
                raise ConnectionResetError(self._problem or "the far end closed the stream before its end")
            self._readable.clear()
            await self._readable.wait()
        data = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._waiting_bytes = 0
        if self._paused:
            self._paused = False
            self._streams.resume(self._number)
            self._pump_soon()
        return data

    async def write(self, data: bytes) -> None:
        self._check_writable()
        if not self._streams.write(self._number, data):
            self._can_write.clear()
        self._pump_soon()
        await asyncio.sleep(0)  # Let the pump run, also for a writer that never has to wait.
        await self._can_write.wait()
        self._check_writable()

    async def end(self) -> None:
        self._streams.end(self._number)
        self._pump_soon()

    async def left(self) -> None:
        await self._over.wait()

    async def finish(self) -> None:
        if not self._closed:
            self._streams.finish(self._number, time.monotonic())
            self._leave()

    def close(self) -> None:
        if not self._closed:
            self._streams.close(self._number)
            self._leave()

    def _leave(self) -> None:
        self._forget(self._number)
        self._pump_soon()
        self.feed_close("the stream was closed at this end")

    # From the mesh node

    def feed(self, data: bytes) -> None:
        """Bytes have arrived."""
        self._chunks.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > READ_LIMIT and not self._paused:
            self._paused = True
            self._streams.pause(self._number)
        self._readable.set()

    def feed_end(self) -> None:
        """The far end has written its last byte."""
        self._at_end = True
        self._readable.set()

    def feed_close(self, problem: str | None) -> None:
        """The stream is over."""
        self._closed = True
        self._problem = problem
        self._readable.set()
        self._can_write.set()
        self._over.set()

    def writable(self) -> None:
        """There is room for more."""
        self._can_write.set()

    def _check_writable(self) -> None:
        if self._closed:
            raise ConnectionResetError(self._problem or "the far end closed the stream")
