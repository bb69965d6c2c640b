"""When each part of the core wants to be called again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

Chore = Callable[[float], None]
"""A key that says itself what is to be done; it is called with ``now``."""


class Timers(Generic[Key]):
    """One pending time a key.

    A time that moves later is not searched for in the heap: its old entry is skipped when it comes up. So
    re-arming with every packet costs two dictionary operations.
    """

    def __init__(self) -> None:
        self._when: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._queued: dict[Key, float] = {}
        self._count = 0

    def set(self, key: Key, when: float) -> None:
        """Let the key come due then, whatever was set before."""
        self._when[key] = when
        queued = self._queued.get(key)
        if queued is None or when < queued:
            self._push(key, when)

    def set_earlier(self, key: Key, when: float) -> None:
        """Let the key come due then, unless it does so sooner already."""
        if when < self._when.get(key, float("inf")):
            self.set(key, when)

    def cancel(self, key: Key) -> None:
        """Forget the key, if it was set."""
        self._when.pop(key, None)

    def deadline(self) -> float | None:
        """The next time at which a key comes due."""
        self._settle()
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[Key]:
        """Each key whose time has come; it is forgotten and may be set again while iterating."""
        while (deadline := self.deadline()) is not None and deadline <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._queued[key], self._when[key]
            yield key

    def _push(self, key: Key, when: float) -> None:
        self._count += 1
        self._queued[key] = when
        heapq.heappush(self._heap, (when, self._count, key))

    def _settle(self) -> None:
        """Make the first entry of the heap a true one."""
        while self._heap:
            when, _, key = self._heap[0]
            if self._queued.get(key) == when and self._when.get(key) == when:
                return
            heapq.heappop(self._heap)
            if self._queued.get(key) == when:
                del self._queued[key]
                if key in self._when:
                    self._push(key, self._when[key])
