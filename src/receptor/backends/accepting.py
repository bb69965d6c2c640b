"""Listening sockets that survive a lack of file descriptors, on every event loop.

asyncio's own servers log a hundred tracebacks a second then, and uvloop's say nothing at all.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack

BACKLOG = 128
PAUSE = 1.0
"""Seconds without accepting after the system had nothing left for a connection."""

QUIET = 60.0
"""Seconds between two lines in the log about it."""

_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

logger = logging.getLogger("receptor.backends")


async def tcp_sockets(address: str, port: int) -> list[socket.socket]:
    """Sockets that listen on a port, one for each address that a host name stands for. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as opened:
        sockets = []
        for family, where in dict.fromkeys((family, where) for family, _, _, _, where in found):
            listening = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(where)
            listening.listen(BACKLOG)
            sockets.append(listening)
        opened.pop_all()
    return sockets


class Acceptor:
    """Hands over each connection to listening sockets, until it is stopped."""

    def __init__(
        self, name: str, sockets: Sequence[socket.socket], accepted: Callable[[socket.socket], Awaitable[object]]
    ) -> None:
        self._name = name
        self._accepted = accepted
        self._sockets = sockets
        self._told_at = float("-inf")
        self._tasks = [asyncio.create_task(self._accept(one), name=f"accept on {name}") for one in sockets]

    async def stop(self) -> None:
        """Accept no more, and close the listening sockets."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listening in self._sockets:
            listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._complain(error)
                    await asyncio.sleep(PAUSE)
                continue  # The caller has gone before we could accept.
            try:
                await self._accepted(connection)
            except OSError as error:
                connection.close()
                logger.debug("a connection to %s ended at once: %s", self._name, error)

    def _complain(self, error: OSError) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._told_at + QUIET:
            self._told_at = now
            logger.error(
                "%s can't accept connections: %s; raise the limit of open files (ulimit -n). It goes on trying",
                self._name,
                error.strerror,
            )
