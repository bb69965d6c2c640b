"""What receptorctl does while its node is away: being restarted, say."""

from __future__ import annotations

import time

from receptor.client import outage
from receptor.client.outage import PATIENCE
from receptor.ctl import terminal
from receptor.errors import ReceptorError


class Outage:
    """Waits for the node, and tells the person; ``patience`` as in ``client.outage``."""

    def __init__(self, patience: float | None = PATIENCE) -> None:
        self._outage = outage.Outage(patience)
        self._is_told = False

    def wait(self, error: ReceptorError) -> None:
        """Wait a little before the node is tried again; raises the error if it has been away for too long."""
        pause = self._outage.pause(error)
        if not self._is_told:
            terminal.tell(f"Lost the node, and trying to reach it again: {error}")
            self._is_told = True
        time.sleep(pause)

    def is_over(self) -> None:
        """The node has answered."""
        self._outage.is_over()
        if self._is_told:
            terminal.tell("The node is back.")
            self._is_told = False
