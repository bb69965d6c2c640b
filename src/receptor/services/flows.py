"""Datagrams know no connections: who has sent some is remembered for a while, so that answers find the way back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

IDLE_TIME = 120.0
"""Seconds without a datagram in either direction after which a flow is forgotten."""

Key = TypeVar("Key", bound=Hashable)
Flow = TypeVar("Flow")


class Flows(Generic[Key, Flow]):
    """The flows of a service, each with what it takes to carry it. One timer serves all of them."""

    def __init__(self, close: Callable[[Flow], None], origin: Callable[[Key], Hashable], most: int) -> None:
        """``close`` is called with each flow that is forgotten; ``origin`` tells who causes the flow of a key.

        For more than ``most`` flows one is forgotten: of the origins that have the most of them the longest idle one,
        so that nobody can take the flows of all others by having many.
        """
        self._loop = asyncio.get_running_loop()
        self._close = close
        self._origin = origin
        self._most = most
        self._counts: Counter[Hashable] = Counter()
        """By origin; none is zero."""
        self._flows: dict[Key, tuple[Flow, float]] = {}
        """With the time of the last use, in the order of these."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._flows)

    def use(self, key: Key) -> Flow | None:
        """The flow, which counts as busy now; None if there is none."""
        entry = self._flows.pop(key, None)
        if entry is None:
            return None
        self._flows[key] = (entry[0], self._loop.time())
        return entry[0]

    def add(self, key: Key, flow: Flow) -> None:
        """Remember a new flow, whose key has none yet."""
        self._flows[key] = (flow, self._loop.time())
        self._counts[self._origin(key)] += 1
        if len(self._flows) > self._most:
            crowd = max(self._counts.values())
            self.forget(next(known for known in self._flows if self._counts[self._origin(known)] == crowd))
        if self._timer is None:
            self._timer = self._loop.call_later(IDLE_TIME, self._sweep)

    def forget(self, key: Key) -> None:
        """Close a flow, if there is one."""
        entry = self._flows.pop(key, None)
        if entry is not None:
            origin = self._origin(key)
            self._counts[origin] -= 1
            if not self._counts[origin]:
                del self._counts[origin]
            self._close(entry[0])

    def clear(self) -> None:
        """Close all."""
        for key in list(self._flows):
            self.forget(key)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        for key, (_, used_at) in list(self._flows.items()):
            if used_at + IDLE_TIME > now:
                self._timer = self._loop.call_at(used_at + IDLE_TIME, self._sweep)
                return
            self.forget(key)
