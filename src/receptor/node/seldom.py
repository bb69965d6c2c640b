"""Log lines that strangers can cause, without letting them fill the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

MINUTE = 60.0


class Seldom:
    """Tells one thing in a minute; how many were held back is told with the next one."""

    def __init__(
        self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic, level: int = logging.INFO
    ) -> None:
        """``level``: as the standard library has it."""
        self._logger = logger
        self._level = level
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
        self._logger.log(self._level, "%s%s", text, more)
