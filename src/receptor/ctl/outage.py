"""How long receptorctl goes on while its node is away: being restarted, say."""

from __future__ import annotations

import time

from receptor.ctl import terminal
from receptor.errors import ReceptorError

PATIENCE = 60.0
"""Seconds without the node after which a wait without a time limit of its own gives up."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0


class Outage:
    """Counts the time without the node; ``patience`` in seconds, None for those whom something else stops."""

    def __init__(self, patience: float | None = PATIENCE) -> None:
        self._patience = patience
        self._since: float | None = None
        self._pause = _FIRST_PAUSE

    def wait(self, error: ReceptorError) -> None:
        """Wait a little before the node is tried again; raises the error if it has been away for too long."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            terminal.tell(f"Lost the node, and trying to reach it again: {error}")
        elif self._patience is not None and now - self._since > self._patience:
            raise error
        time.sleep(self._pause)
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause)

    def is_over(self) -> None:
        """The node has answered."""
        if self._since is not None:
            terminal.tell("The node is back.")
        self._since, self._pause = None, _FIRST_PAUSE
