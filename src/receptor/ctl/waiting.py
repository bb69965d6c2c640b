"""Waiting until units of work get somewhere, whatever becomes of the node meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from receptor.client.outage import AWAY
from receptor.client.unit_replies import RUNNING, SUCCEEDED, UnitState
from receptor.ctl.outage import Outage

if TYPE_CHECKING:
    from receptor.client.control_client import ControlClient
    from receptor.client.watching import UnitNews


@dataclass(frozen=True)
class Goal:
    """What is waited for: certain states, or the ``end``, which is good if the unit has succeeded."""

    states: frozenset[UnitState] = frozenset()
    end: bool = True

    def is_decided(self, state: UnitState) -> bool:
        """Whether there is nothing left to wait for: the unit is there, or has ended elsewhere."""
        return state in self.states or state.is_final

    def is_met(self, state: UnitState) -> bool:
        """Whether a unit in that state is where it was wanted. One that has succeeded has been running before."""
        return state in self.states or (state == SUCCEEDED and (self.end or RUNNING in self.states))


class Wait:
    """A wait for units; ``states`` has the last known state of those that are still waited for, None at first."""

    def __init__(self, client: ControlClient, unit_ids: Sequence[str], goal: Goal, outage: Outage) -> None:
        self._client = client
        self._goal = goal
        self._outage = outage
        self.states: dict[str, UnitState | None] = dict.fromkeys(unit_ids)

    def arrivals(self) -> Iterator[UnitNews]:
        """Each unit once, as soon as it is where it should be, or can't get there any more, or unknown.

        If the node is away, the wait goes on when it is back. Raises UnreachableError or OperatingError if it stays
        away for too long, CommandError if it refuses to tell. Whoever stops before the end must close the client.
        """
        from receptor.client.watching import watch

        while self.states:
            try:
                for news in watch(self._client, list(self.states)):
                    self._outage.is_over()
                    if news.unit_id not in self.states:
                        continue  # it is where it should be, and goes on
                    self.states[news.unit_id] = news.state
                    if news.state is None or self._goal.is_decided(news.state):
                        del self.states[news.unit_id]
                        yield news
                    if not self.states:
                        break
            except AWAY as error:
                self._client.close()
                self._outage.wait(error)
        self._client.close()

    def summary(self) -> str:
        """What is still waited for, for people: ``3 units: 2 Running, 1 Pending``."""
        states = self.states.copy()  # another thread draws this while the wait goes on
        if len(states) == 1:
            ((unit_id, state),) = states.items()
            return f"Waiting for unit {unit_id}: {_state_name(state)}"
        names = Counter(_state_name(state) for state in states.values())
        counts = ", ".join(f"{count} {name}" for name, count in names.most_common())
        return f"Waiting for {len(states)} units: {counts}"


def named(states: dict[str, UnitState | None]) -> str:
    """Units and their states in a row."""
    return ", ".join(f"{unit_id} ({_state_name(state)})" for unit_id, state in states.items())


def _state_name(state: UnitState | None) -> str:
    return "Unknown" if state is None else state.title
