"""The streams of this node: those that it dials, those that others open to its services, and what the core tells of
them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from receptor.errors import TlsError, UnreachableError
from receptor.netceptor.effects import StreamClosed, StreamData, StreamEnded, StreamOpened, StreamWritable
from receptor.netceptor.streams import Streams
from receptor.node.byte_stream import ByteStream
from receptor.node.mesh_stream import MeshStream
from receptor.node.stream_loading import StreamLoading
from receptor.node.stream_tls import StreamTls

StreamUser = Callable[[ByteStream], Awaitable[None]]
StreamEffect = StreamData | StreamWritable | StreamEnded | StreamOpened | StreamClosed

logger = logging.getLogger("receptor.netceptor")


class MeshStreams:
    """Hands each stream to who has dialled it, or to who serves its service.

    ``pump`` has the core's effects carried out now, ``pump_soon`` in the next round of the loop.
    """

    def __init__(
        self,
        streams: Streams,
        tls: StreamTls,
        loading: StreamLoading,
        pump: Callable[[], None],
        pump_soon: Callable[[], None],
    ) -> None:
        self._core = streams
        self._tls = tls
        self._loading = loading
        self._pump = pump
        self._pump_soon = pump_soon
        self._open: dict[int, MeshStream] = {}
        self._dialling: dict[int, asyncio.Future[MeshStream]] = {}
        self._listeners: dict[str, StreamUser] = {}
        self._users: set[asyncio.Task[None]] = set()

    def listen(self, service: str, user: StreamUser, tls_server: str) -> None:
        """As ``MeshNode.listen``."""
        profile = self._tls.server(tls_server) if tls_server else None
        self._core.listen(service, profile.stream_security if profile else None)
        self._listeners[service] = user

    def unlisten(self, service: str) -> None:
        """As ``MeshNode.unlisten``."""
        self._core.unlisten(service)
        self._listeners.pop(service, None)

    async def dial(self, node: str, service: str, tls_client: str) -> ByteStream:
        """As ``MeshNode.dial``."""
        security = self._tls.client(tls_client).stream_security() if tls_client else None
        await self._loading.done()
        number = self._core.dial(node, service, time.monotonic(), security)
        opened: asyncio.Future[MeshStream] = asyncio.get_running_loop().create_future()
        self._dialling[number] = opened
        self._pump()
        try:
            return await opened
        except asyncio.CancelledError:
            self._core.close(number)
            self._drop(number)  # It may have been opened in the same round of the loop.
            self._pump_soon()
            raise
        finally:
            del self._dialling[number]

    def carry_out(self, effect: StreamEffect) -> None:
        """What the core tells of a stream; of one that was dropped meanwhile nobody wants to hear."""
        match effect:
            case StreamData(number, data) if number in self._open:
                self._open[number].feed(data)
            case StreamWritable(number) if number in self._open:
                self._open[number].writable()
            case StreamEnded(number) if number in self._open:
                self._open[number].feed_end()
            case StreamOpened():
                self._opened(effect)
            case StreamClosed():
                self._closed(effect)

    async def stop(self) -> None:
        """End those who serve streams, and drop all streams."""
        self._listeners.clear()
        for task in self._users:
            task.cancel()
        await asyncio.gather(*self._users, return_exceptions=True)
        for stream in list(self._open.values()):
            stream.close()

    def _drop(self, number: int) -> None:
        self._open.pop(number, None)

    def _opened(self, effect: StreamOpened) -> None:
        stream = MeshStream(self._core, effect.stream, effect.remote, self._pump_soon, self._drop)
        dialling = self._dialling.get(effect.stream)
        user = self._listeners.get(effect.local.service)
        if dialling is not None and not dialling.done():
            self._open[effect.stream] = stream
            dialling.set_result(stream)
        elif user is not None:
            self._open[effect.stream] = stream
            task = asyncio.create_task(_serve(user, stream), name=f"serve {effect.local} to {effect.remote}")
            self._users.add(task)
            task.add_done_callback(self._users.discard)
        else:
            self._core.close(effect.stream)
            self._pump_soon()

    def _closed(self, effect: StreamClosed) -> None:
        stream = self._open.pop(effect.stream, None)
        if stream is not None:
            stream.feed_close(effect.problem)
        dialling = self._dialling.get(effect.stream)
        if dialling is not None and not dialling.done():
            kind = TlsError if effect.failed_tls else UnreachableError
            dialling.set_exception(kind(effect.problem or "the far end closed the connection at once"))


async def _serve(user: StreamUser, stream: ByteStream) -> None:
    try:
        await user(stream)
    except ConnectionError as error:
        logger.debug("stream from %s broke: %s", stream.origin, error)
    finally:
        stream.close()
