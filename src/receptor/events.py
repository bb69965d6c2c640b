"""What happens on a node, told to those who follow it: each event once, when it happens, and nothing of before.

Without a follower nothing is made or kept. A follower that lags loses events, and is told how many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

import msgspec

MOST_KEPT = 1000
"""Events that wait for one follower; those that come while so many do are lost to it."""

LONGEST_TEXT = 1000
"""Characters that an event has of a text which others have written, and which waits for each follower that lags."""


class UnitEvent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "time": "Time",
        "event": "Event",
        "unit_id": "UnitID",
        "state": "State",
        "state_name": "StateName",
        "work_type": "WorkType",
        "detail": "Detail",
        "name": "Name",
        "remote_node": "RemoteNode",
    },
):
    """A unit was made, has another state or detail, or is no more; each time as clients see it then.

    Of a detail that is longer than LONGEST_TEXT it has the beginning, as of the name of another node.
    """

    time: str
    event: Literal["unit.created", "unit.changed", "unit.released"]
    unit_id: str
    state: int
    state_name: str
    work_type: str
    detail: str
    name: str | msgspec.UnsetType = msgspec.UNSET
    remote_node: str | msgspec.UnsetType = msgspec.UNSET


class LinkEvent(
    msgspec.Struct, frozen=True, rename={"time": "Time", "event": "Event", "node_id": "NodeID", "cost": "Cost"}
):
    """A link with a neighbour has begun or ended."""

    time: str
    event: Literal["link.up", "link.down"]
    node_id: str
    cost: float


class NodeEvent(
    msgspec.Struct, frozen=True, rename={"time": "Time", "event": "Event", "node_id": "NodeID", "via": "Via"}
):
    """A node has come into reach or gone out of it; ``via`` is the neighbour by which it is or was reached."""

    time: str
    event: Literal["node.reachable", "node.unreachable"]
    node_id: str
    via: str


class ServiceEvent(
    msgspec.Struct, frozen=True, rename={"time": "Time", "event": "Event", "node_id": "NodeID", "service": "Service"}
):
    """A node, maybe this one, offers a service, or no longer does."""

    time: str
    event: Literal["service.added", "service.removed"]
    node_id: str
    service: str


class LostEvents(msgspec.Struct, frozen=True, rename={"time": "Time", "event": "Event", "count": "Count"}):
    """So many events were lost to this follower, after those that were told before."""

    time: str
    count: int
    event: Literal["events.lost"] = "events.lost"


Event = UnitEvent | LinkEvent | NodeEvent | ServiceEvent
Told = Event | LostEvents


class Follower:
    """One who follows, and takes what there is from time to time."""

    def __init__(self, is_wanted: Callable[[Event], bool]) -> None:
        self._is_wanted = is_wanted
        self._kept: deque[Event] = deque()
        self._lost = 0
        self._has_news = asyncio.Event()
        self._is_over = False

    async def take(self) -> list[Told]:
        """All that has happened since, in order, as soon as there is something; nothing once the node ends."""
        while not self._kept and not self._is_over:
            self._has_news.clear()
            await self._has_news.wait()
        told: list[Told] = [*self._kept]
        if self._lost:
            told.append(LostEvents(now_text(), self._lost))
        self._kept.clear()
        self._lost = 0
        return told

    def put(self, event: Event) -> None:
        """An event, for ``Events`` to tell."""
        if not self._is_wanted(event):
            return
        if len(self._kept) < MOST_KEPT:
            self._kept.append(event)
            self._has_news.set()
        else:
            self._lost += 1

    def end(self) -> None:
        """Nothing more will come."""
        self._is_over = True
        self._has_news.set()


class Events:
    """Where the parts of a node tell what happens, and who follows it."""

    def __init__(self) -> None:
        self._followers: list[Follower] = []
        self._is_over = False

    @property
    def are_followed(self) -> bool:
        """Whether anybody follows; else there is no need to make events."""
        return bool(self._followers)

    def publish(self, event: Event) -> None:
        """Tell all who follow and want it. Whether they do is asked now: a unit that is gone later has its rights."""
        for follower in self._followers:
            follower.put(event)

    @contextmanager
    def followed(self, is_wanted: Callable[[Event], bool]) -> Iterator[Follower]:
        """Follow, from now on and within the block, the events that are wanted."""
        follower = Follower(is_wanted)
        if self._is_over:
            follower.end()
        self._followers.append(follower)
        try:
            yield follower
        finally:
            self._followers.remove(follower)

    def close(self) -> None:
        """The node ends: who follows gets what there is, and nothing more."""
        self._is_over = True
        for follower in self._followers:
            follower.end()


def now_text() -> str:
    """The time as events have it: RFC 3339, UTC, always six decimals, so that later ones sort behind."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
