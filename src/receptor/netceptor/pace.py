"""How often a node repeats what it has said before.

Existing nodes repeat everything: a message that got lost, or a table that went wrong, is mended by the next round. In a
mesh of N nodes with L links that is N times 2 L messages every 10 seconds. Nodes of ours compare their tables instead
(``agreement.py``), and so repeat themselves as seldom as LONGEST_REFRESH, for what no comparison shows. They do so only
while no existing node is known: to those everybody speaks as often as they do.
"""

from __future__ import annotations

import random
from collections.abc import Callable

UPDATE_INTERVAL = 10.0
ADVERTISE_INTERVAL = 60.0
"""Seconds after which existing nodes expect the next routing update of a node, and the next word of a service."""

LONGEST_REFRESH = 600
EARLIEST_REFRESH = 0.5
"""Seconds, and a part of them: nodes that started together should not repeat themselves together."""


class Pace:
    """When this node repeats itself."""

    def __init__(self, is_patient: Callable[[], bool], rng: random.Random) -> None:
        """``is_patient`` tells whether no other node depends on frequent repetitions."""
        self._is_patient = is_patient
        self._rng = rng

    def latest_repetition(self, now: float) -> float:
        """When what was said now is to be repeated at the latest."""
        return now + LONGEST_REFRESH * self._rng.uniform(EARLIEST_REFRESH, 1.0)

    def may_wait(self, latest: float, now: float) -> bool:
        """Whether what is to be repeated then at the latest needs no repetition yet."""
        return now < latest and self._is_patient()
