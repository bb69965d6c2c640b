"""Log lines that strangers can cause, without letting them fill the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

MINUTE = 60.0


class Seldom:
    """Tells one thing in a minute at level info; how many were held back is told with the next one."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._next_at = float("-inf")
        self._held_back = 0

    def say(self, text: str) -> None:
        """Tell it, or count it."""
        now = self._clock()
        if now < self._next_at:
            self._held_back += 1
            return
        self._next_at = now + MINUTE
        more = f" ({self._held_back} more like this before)" if self._held_back else ""
        self._held_back = 0
        self._logger.info("%s%s", text, more)
