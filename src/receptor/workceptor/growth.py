"""Learning that a file has grown, for those who follow the output of a running unit.

Nothing is watched unless somebody follows. On Linux the kernel tells (one inotify descriptor for all files);
elsewhere, or if the kernel can't, a followed file, and only that, is looked at four times a second.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("receptor.workceptor")

_IN_MODIFY = 0x2
_EVENT = struct.Struct("iIII")
_READ_SIZE = 65536
_LOOK_INTERVAL = 0.25

LEAST_INTERVAL = 0.002
"""Seconds after news until the next are taken: a command that writes fast would wake us for each of its writes."""


class GrowthWatcher:
    """Calls back when watched files change. One for the whole node."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._descriptor = -1
        self._pause: asyncio.TimerHandle | None = None
        self._callbacks: dict[int, list[Callable[[], None]]] = {}

    @contextmanager
    def watching(self, path: Path, callback: Callable[[], None]) -> Iterator[None]:
        """Call back after each change of the file, from the event loop, while the context lasts.

        A file that isn't there, or any more, does not change.
        """
        watch = self._add(path) if self._libc is not None else None
        if self._libc is None or watch is None:
            with _looking(path, callback):
                yield
            return
        self._callbacks.setdefault(watch, []).append(callback)
        try:
            yield
        finally:
            self._callbacks[watch].remove(callback)
            if not self._callbacks[watch]:
                del self._callbacks[watch]
                self._libc.inotify_rm_watch(self._descriptor, watch)

    def close(self) -> None:
        """Watch nothing more."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            if self._pause is not None:
                self._pause.cancel()
            os.close(self._descriptor)
            self._descriptor = -1

    def _add(self, path: Path) -> int | None:
        """The number of the kernel's watch; None if it can't watch the file."""
        assert self._libc is not None
        if self._descriptor < 0:
            self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if self._descriptor < 0:
                _warn("fs.inotify.max_user_instances or ulimit -n")
                return None
            self._await_news()
        watch: int = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), _IN_MODIFY)
        if watch < 0:
            _warn("fs.inotify.max_user_watches")
            return None
        return watch

    def _await_news(self) -> None:
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        """Take the news, and no more for a moment, in which the kernel makes one of those that are alike."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._descriptor)
        self._pause = loop.call_later(LEAST_INTERVAL, self._await_news)
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return
        changed: set[int] = set()
        position = 0
        while position < len(data):
            watch, _, _, name_size = _EVENT.unpack_from(data, position)
            # The number -1 says that too much happened to tell it all.
            changed.update([watch] if watch >= 0 else self._callbacks)
            position += _EVENT.size + name_size
        for watch in changed:
            for callback in tuple(self._callbacks.get(watch, ())):
                callback()


@contextmanager
def _looking(path: Path, callback: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    size = _size(path)
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal size, timer
        seen, size = size, _size(path)
        if size != seen:
            callback()
        timer = loop.call_later(_LOOK_INTERVAL, look)

    timer = loop.call_later(_LOOK_INTERVAL, look)
    try:
        yield
    finally:
        timer.cancel()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _warn(limit: str) -> None:
    number = ctypes.get_errno()
    if number != errno.ENOENT:
        reason = os.strerror(number)
        logger.warning("followed output is looked at regularly, for inotify fails: %s; raise %s", reason, limit)
