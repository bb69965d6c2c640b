"""Learning that a file has grown, for those who follow the output of a running unit.

Nothing is watched unless somebody follows. On Linux the kernel tells (one inotify descriptor for all files);
elsewhere a followed file, and only that, is looked at four times a second.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_IN_MODIFY = 0x2
_EVENT = struct.Struct("iIII")
_READ_SIZE = 65536
_LOOK_INTERVAL = 0.25


class GrowthWatcher:
    """Calls back when watched files change. One for the whole node."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._descriptor = -1
        self._callbacks: dict[int, list[Callable[[], None]]] = {}

    @contextmanager
    def watching(self, path: Path, callback: Callable[[], None]) -> Iterator[None]:
        """Call back after each change of the file, from the event loop, while the context lasts.

        Raises OSError if the file can't be watched.
        """
        if self._libc is None:
            with _looking(path, callback):
                yield
            return
        watch = self._add(path)
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
            os.close(self._descriptor)
            self._descriptor = -1

    def _add(self, path: Path) -> int:
        assert self._libc is not None
        if self._descriptor < 0:
            self._descriptor = _checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)
        return _checked(self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), _IN_MODIFY), str(path))

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return
        changed = set()
        position = 0
        while position < len(data):
            watch, _, _, name_size = _EVENT.unpack_from(data, position)
            changed.add(watch)
            position += _EVENT.size + name_size
        for watch in changed:
            for callback in tuple(self._callbacks.get(watch, ())):
                callback()


@contextmanager
def _looking(path: Path, callback: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    size = path.stat().st_size
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal size, timer
        seen, size = size, path.stat().st_size
        if size != seen:
            callback()
        timer = loop.call_later(_LOOK_INTERVAL, look)

    timer = loop.call_later(_LOOK_INTERVAL, look)
    try:
        yield
    finally:
        timer.cancel()


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        if number == errno.ENOSPC:
            raise OSError(number, "the limit of inotify watches is reached; raise fs.inotify.max_user_watches", what)
        raise OSError(number, os.strerror(number), what)
    return result
