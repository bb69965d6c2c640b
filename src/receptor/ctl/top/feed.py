"""Asks the node again and again, in threads, so that the screen never waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from receptor.client.replies import NodeStatus
from receptor.client.unit_replies import parse_units
from receptor.ctl.top.views import Snapshot
from receptor.errors import CommandError, ReceptorError

if TYPE_CHECKING:
    from receptor.client.connection import Connection
    from receptor.ctl.settings import Settings

SHORTEST_PAUSE = 0.25
"""Seconds between two looks, however much happens."""

PART_OF_TIME = 4
"""A look that takes long is not made again before so many times as long, to leave the node its work."""

RETRY_SECONDS = 1.0
"""The pause before a node that is away is tried again."""


class Feed:
    """Looks at the node every ``interval`` seconds, and at once when it tells of an event.

    ``on_snapshot`` and ``on_loss`` are called in threads of the feed; ``on_loss`` gets the reason, each time that the
    node can't be asked. The threads end with the program at the latest.
    """

    def __init__(
        self,
        settings: Settings,
        interval: float,
        on_snapshot: Callable[[Snapshot], None],
        on_loss: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._interval = interval
        self._on_snapshot = on_snapshot
        self._on_loss = on_loss
        self._is_wanted = threading.Event()
        self._is_over = threading.Event()
        self._events: Connection | None = None
        self._threads = [
            threading.Thread(target=work, name=f"top {work.__name__}", daemon=True)
            for work in (self._look, self._follow)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def look_now(self) -> None:
        """Have the next look as soon as may be."""
        self._is_wanted.set()

    def stop(self) -> None:
        """Let the threads end, and wait a moment for them."""
        self._is_over.set()
        self._is_wanted.set()
        if self._events is not None:
            self._events.interrupt()
        for thread in self._threads:
            thread.join(SHORTEST_PAUSE)

    def _look(self) -> None:
        with self._settings.client() as client:
            while not self._is_over.is_set():
                self._is_wanted.clear()
                began = time.monotonic()
                try:
                    status = NodeStatus.parse(client.status())
                    units = tuple(parse_units(client.units()))
                except ReceptorError as error:
                    client.close()
                    self._on_loss(str(error))
                    self._is_over.wait(RETRY_SECONDS)
                    continue
                self._on_snapshot(Snapshot(time.time(), status, units))
                self._is_over.wait(max(SHORTEST_PAUSE, PART_OF_TIME * (time.monotonic() - began)))
                self._is_wanted.wait(self._interval)

    def _follow(self) -> None:
        """Want a look at each event; a node that tells none is not asked again."""
        while not self._is_over.is_set():
            try:
                with self._settings.client() as client:
                    self._events = client.connect()
                    for _ in client.events():
                        self._is_wanted.set()
            except CommandError:
                return
            except ReceptorError:
                self._is_over.wait(RETRY_SECONDS)
