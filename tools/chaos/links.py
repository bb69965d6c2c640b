"""Relays between the nodes: TCP links that can be cut at any byte, stalled and refused."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable

CHUNK = 64 * 1024
LONGEST_WAIT_FOR_CUT = 1.0
"""Seconds in which a cut happens, also if not so many bytes pass."""
UP, DOWN = 0, 1
_RESET = struct.pack("ii", 1, 0)
_PORTS = range(20000, 32000)


class Link:
    """One relay to a port of this machine. Only to be used in the event loop of its ``Relays``."""

    def __init__(self, name: str, target_port: int) -> None:
        self.name = name
        self.port = 0
        self._target_port = target_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = (asyncio.Event(), asyncio.Event())
        self._is_refusing = False
        self._budget: int | None = None
        self._reset = False
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        for direction in (UP, DOWN):
            self._flowing[direction].set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more, and end what is connected."""
        assert self._server
        self._server.close()
        self.refuse(True)
        self.stall()
        await asyncio.gather(*self._serving)

    def cut(self, after: int, *, reset: bool) -> None:
        """End what is connected once so many more bytes have passed, or soon if they don't."""
        self._budget, self._reset = after, reset
        asyncio.get_running_loop().call_later(LONGEST_WAIT_FOR_CUT, self._cut_at_last)

    def stall(self, *directions: int) -> None:
        """Pass nothing on in these directions, and all in the others."""
        for direction in (UP, DOWN):
            (self._flowing[direction].clear if direction in directions else self._flowing[direction].set)()

    def refuse(self, is_refusing: bool) -> None:
        """End what is connected, and all that connects from now on; or take connections again."""
        self._is_refusing = is_refusing
        if is_refusing:
            self._end_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self._is_refusing:
                return
            answers, upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers.add(upstream)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(UP, reader, upstream))
                pumps.create_task(self._pump(DOWN, answers, writer))
        except* OSError:
            pass  # Either end is gone, or we cut it.
        finally:
            for end in (writer, upstream):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()

    async def _pump(self, direction: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._flowing[direction].wait()
            if self._budget is not None and len(data) > self._budget:
                writer.write(data[: self._budget])
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(writer.drain(), LONGEST_WAIT_FOR_CUT)
                self._end_all()
                break
            if self._budget is not None:
                self._budget -= len(data)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    def _cut_at_last(self) -> None:
        if self._budget is not None:
            self._end_all()

    def _end_all(self) -> None:
        self._budget = None
        for writer in self._writers:
            if self._reset and not writer.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class Relays:
    """A thread in which links live."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._links: list[Link] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays", daemon=True)
        self._thread.start()

    def open(self, name: str, target_port: int) -> Link:
        """A new link, which is up."""
        link = Link(name, target_port)
        asyncio.run_coroutine_threadsafe(link.open(), self._loop).result()
        self._links.append(link)
        return link

    def close(self) -> None:
        """End all links and the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        for link in self._links:
            await link.close()

    def do(self, action: Callable[[], None]) -> None:
        """Have something done to a link."""
        self._loop.call_soon_threadsafe(action)


def free_port() -> int:
    """A port to listen on, not of those that the system gives to connections: it stays free while a node is down."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
