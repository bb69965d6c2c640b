"""Others who send routing updates in our name (mesh protocol, section 3, suspected duplicates)."""

from __future__ import annotations

from collections.abc import Callable

from receptor.netceptor.announcer import Announcer
from receptor.netceptor.complaints import Complaints
from receptor.netceptor.effects import Duplicate, Effect, Severity
from receptor.netceptor.messages import RoutingUpdate
from receptor.netceptor.own_updates import FLOOD_DELAY, OwnUpdates
from receptor.netceptor.sender import Sender

DUPLICATE_NOTICE_ACCEPTED = 60.0
"""Seconds after our start in which we believe an older node that says we took its id."""


class Namesakes:
    """Finds out who has to go, this node or the other, or whether somebody only forges; and sees to it."""

    def __init__(
        self,
        started: float,
        own_updates: OwnUpdates,
        announcer: Announcer,
        sender: Sender,
        complaints: Complaints,
        emit: Callable[[Effect], None],
    ) -> None:
        self._started = started
        self._own_updates = own_updates
        self._announcer = announcer
        self._sender = sender
        self._complaints = complaints
        self._emit = emit

    def heard(self, update: RoutingUpdate, now: float) -> None:
        """Somebody else sends updates in our name, or tells us that we do in theirs; or ours have come back."""
        own_epoch = self._own_updates.epoch
        if update.epoch == own_epoch:
            if update.sequence > self._own_updates.sequence:
                self._surpass(now)
        elif update.epoch > own_epoch:
            self._drive_out(update, now)
        elif update.suspected_duplicate == own_epoch:
            self._give_way(update.node_id, now)

    def _surpass(self, now: float) -> None:
        """It is forged, and everybody would take our own for older until we count in another epoch."""
        self._say("forged", "somebody forges routing updates in our name", now)
        self._own_updates.begin_another_epoch()
        self._own_updates.flood_soon(now)

    def _drive_out(self, update: RoutingUpdate, now: float) -> None:
        text = f"a node started later uses our id {update.node_id}, or did before our clock was set back"
        self._say("later namesake", f"{text}; telling it to end", now)
        self._sender.flood(self._own_updates.make(suspected_duplicate=update.epoch), now)
        # Those who had followed the other to its neighbours come back to ours.
        self._own_updates.flood_by(now + FLOOD_DELAY)
        # And they have forgotten our services, lest ours count for older than the other's.
        self._announcer.repeat_soon(now)

    def _give_way(self, own_id: str, now: float) -> None:
        text = f"another node, started earlier, has the id {own_id}; give each node an id of its own"
        if now - self._started <= DUPLICATE_NOTICE_ACCEPTED:
            self._emit(Duplicate(text))
        else:
            text = f"{text}; this node has run too long to be the newcomer and stays"
            self._say("older namesake", text, now)

    def _say(self, kind: str, text: str, now: float) -> None:
        self._complaints.say(kind, text, now, severity=Severity.ERROR)
