"""How long a node that is away, in a restart say, is waited for, and when it is tried again."""

from __future__ import annotations

import time

from receptor.errors import LimitReached, OperatingError, ReceptorError, TlsError, UnreachableError

PATIENCE = 60.0
"""Seconds that a node may be out of reach, unless somebody says otherwise, until waits and output give up."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two questions to a node that does not wait for news, and between two attempts to reach one."""

AWAY = (UnreachableError, OperatingError, LimitReached)
"""The errors of a node that may be back soon."""


class Pauses:
    """Seconds to wait, longer each time."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def next(self) -> float:
        pause, self._next = self._next, min(2 * self._next, LONGEST_PAUSE)
        return pause


class Outage:
    """How long a node has been away; ``patience`` in seconds, None where something else ends the wait."""

    def __init__(self, patience: float | None) -> None:
        self._patience = patience
        self.is_over()

    def is_over(self) -> None:
        """The node has answered."""
        self._since: float | None = None
        self._pauses = Pauses()

    def pause(self, error: ReceptorError) -> float:
        """Seconds until the next attempt; raises the error if there have been enough, or more would not help."""
        if isinstance(error, TlsError):
            raise error
        now = time.monotonic()
        if self._since is None:
            self._since = now
        pause = self._pauses.next()
        if self._patience is not None and now + pause > self._since + self._patience:
            raise error
        return pause
