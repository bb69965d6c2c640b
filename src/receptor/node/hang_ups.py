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
    """Watches sockets, from the first one on with a descriptor of its own. Used in the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Event] = {}
        self._epoll: select.epoll | None = None
        self._closed = False

    async def of(self, descriptor: int) -> None:
        """Wait until the connection has ended in both directions. It does not end at our side before this does.

        Raises OSError if there is no descriptor left to watch it with.
        """
        gone = asyncio.Event()
        # One of our own, as a transport closes a broken connection by itself, which would end the watch in silence.
        ours = os.dup(descriptor)
        try:
            if sys.platform == "linux" and not self._closed:
                self._watching().register(ours, 0)  # hang-ups are told in any case
                self._waiting[ours] = gone
            await gone.wait()
        finally:
            self._forget(ours)
            os.close(ours)

    def close(self) -> None:
        """Watch no more."""
        self._closed = True
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _watching(self) -> select.epoll:
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._look)
        return self._epoll

    def _look(self) -> None:
        assert self._epoll is not None
        for descriptor, _ in self._epoll.poll(0):
            gone = self._forget(descriptor)
            if gone is not None:
                gone.set()

    def _forget(self, descriptor: int) -> asyncio.Event | None:
        """Watch a descriptor no more; whom it concerns, if it was still watched.

        The kernel would go on by itself when it is closed: the connection has another descriptor, the transport's. It
        would tell of the end for ever, under a number that may be another connection's by then.
        """
        gone = self._waiting.pop(descriptor, None)
        if gone is not None and self._epoll is not None:
            self._epoll.unregister(descriptor)
        return gone


def has_hung_up(descriptor: int) -> bool:
    """Whether the other end of a Unix socket has closed it, not only its own direction. False where nobody can tell."""
    if sys.platform != "linux":
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))
