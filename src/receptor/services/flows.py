"""Datagrams know no connections: who has sent some is remembered for a while, so that answers find the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

MOST = 1_000
"""Flows of one service. For one more the longest idle is forgotten."""

IDLE_TIME = 120.0
"""Seconds without a datagram in either direction after which a flow is forgotten."""

Key = TypeVar("Key", bound=Hashable)
Flow = TypeVar("Flow")


class Flows(Generic[Key, Flow]):
    """The flows of a service, each with what it takes to carry it. One timer serves all of them."""

    def __init__(self, close: Callable[[Flow], None]) -> None:
        """``close`` is called with each flow that is forgotten."""
        self._loop = asyncio.get_running_loop()
        self._close = close
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
        """Remember a new flow."""
        if len(self._flows) >= MOST:
            self.forget(next(iter(self._flows)))
        self._flows[key] = (flow, self._loop.time())
        if self._timer is None:
            self._timer = self._loop.call_later(IDLE_TIME, self._sweep)

    def forget(self, key: Key) -> None:
        """Close a flow, if there is one."""
        entry = self._flows.pop(key, None)
        if entry is not None:
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
