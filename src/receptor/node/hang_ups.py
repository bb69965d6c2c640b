"""Noticing that the other end of a socket is gone altogether, while we neither read nor write.

Reading can't tell it: a client that has closed only its own direction still reads. The kernel can, on Linux, without
any cost until it happens. Elsewhere nobody is told; the next write finds out.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys


class HangUps:
    """Watches sockets. Made and used in the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Event] = {}
        self._epoll = select.epoll() if sys.platform == "linux" else None
        if self._epoll is not None:
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._look)

    async def of(self, descriptor: int) -> None:
        """Wait until the connection has ended in both directions. It does not end at our side before this does.

        Raises OSError if there is no descriptor left to watch it with.
        """
        gone = asyncio.Event()
        # One of our own, as a transport closes a broken connection by itself, which would end the watch in silence.
        ours = os.dup(descriptor)
        try:
            if self._epoll is not None:
                self._waiting[ours] = gone
                self._epoll.register(ours, 0)  # hang-ups are told in any case
            await gone.wait()
        finally:
            self._waiting.pop(ours, None)
            os.close(ours)

    def close(self) -> None:
        """Watch no more."""
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _look(self) -> None:
        assert self._epoll is not None
        for descriptor, _ in self._epoll.poll(0):
            self._epoll.unregister(descriptor)  # or it would be told for ever
            self._waiting.pop(descriptor).set()
