"""The sessions of this node with others, and the links on them, from set-up to end (mesh protocol, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from receptor.netceptor.complaints import Complaints
from receptor.netceptor.effects import Disconnect, Effect, LinkDown, LinkUp, Severity
from receptor.netceptor.limits import MeshLimits
from receptor.netceptor.links import SETUP_ATTEMPTS, SETUP_INTERVAL, Link, LinkTerms
from receptor.netceptor.own_updates import OwnUpdates
from receptor.netceptor.sender import Sender
from receptor.netceptor.timers import Chore, Timers

LINK_NOTICES = 200
"""Beginnings and ends of links that are told in a minute; strangers can cause any number."""


class Sessions:
    """Offers a link on each session, and ends those that are too many, not answered, or silent."""

    def __init__(
        self,
        neighbours: dict[str, Link],
        idle_timeout: float,
        limits: MeshLimits,
        own_updates: OwnUpdates,
        sender: Sender,
        timers: Timers[Chore],
        complaints: Complaints,
        emit: Callable[[Effect], None],
        on_loss: Callable[[str, float], None],
    ) -> None:
        """``neighbours`` are kept up to date here; ``on_loss`` is told of each that is one no longer."""
        self._neighbours = neighbours
        self._idle_timeout = idle_timeout
        self._limits = limits
        self._own_updates = own_updates
        self._sender = sender
        self._timers = timers
        self._complaints = complaints
        self._emit = emit
        self._on_loss = on_loss
        self._links: dict[int, Link] = {}
        self._checks: dict[int, Chore] = {}
        self._strangers: set[int] = set()

    def opened(self, session: int, terms: LinkTerms, now: float, dialled: bool) -> None:
        """A backend has a new session: set up a link on it. One that we have not dialled may be one too many."""
        if not dialled:
            problem = self._too_many()
            if problem is not None:
                self._complaints.say("too many sessions", f"a session was refused: {problem}", now)
                self._emit(Disconnect(session, problem))
                return
            self._strangers.add(session)
        link = self._links[session] = Link(session, terms, now)
        self._checks[session] = partial(self._check, link)
        self._offer(link, now)

    def find(self, session: int) -> Link | None:
        """The link of a session, set up or not; None if it is gone."""
        return self._links.get(session)

    def established(self, session: int) -> Link | None:
        """The link of a session, if it is set up; None before that and when it is gone."""
        link = self._links.get(session)
        return link if link is not None and link.neighbour is not None else None

    def heard(self, session: int, now: float) -> None:
        """Something has arrived on a session: it isn't idle."""
        link = self._links.get(session)
        if link is not None:
            link.last_received = now

    def establish(self, link: Link, node: str, now: float) -> None:
        """The link of a session is set up, and we have a neighbour."""
        link.establish(node)
        self._neighbours[node] = link
        self._strangers.discard(link.session)
        self._timers.set(self._checks[link.session], now + self._idle_timeout)
        self._emit(LinkUp(link.session, node, link.cost))
        self._say(f"link with {node} established at cost {link.cost:g}", now, node)

    def end(self, session: int, reason: str, now: float) -> None:
        """Close a session of ours and say why."""
        link = self._links.get(session)
        if link is not None:
            self._say(reason, now, link.neighbour or "", Severity.WARNING)
            self._emit(Disconnect(session, reason))
            self.closed(session, now)

    def closed(self, session: int, now: float) -> None:
        """A session is gone, whoever ended it."""
        link = self._links.pop(session, None)
        if link is None:
            return
        self._strangers.discard(session)
        self._timers.cancel(self._checks.pop(session))
        if link.neighbour is not None:
            del self._neighbours[link.neighbour]
            self._emit(LinkDown(link.neighbour, link.cost))
            self._say(f"link with {link.neighbour} ended", now, link.neighbour)
            self._on_loss(link.neighbour, now)

    def _too_many(self) -> str | None:
        if len(self._strangers) >= self._limits.unlinked_sessions:
            return f"{len(self._strangers)} sessions that others have opened wait for their link to be set up"
        if len(self._links) >= self._limits.sessions:
            return f"{len(self._links)} sessions are open"
        return None

    def _check(self, link: Link, now: float) -> None:
        if link.neighbour is None:
            self._offer(link, now)
        else:
            self._check_idle(link, now)

    def _offer(self, link: Link, now: float) -> None:
        if link.setup_attempts >= SETUP_ATTEMPTS:
            self.end(link.session, f"link given up: no routing update in {SETUP_ATTEMPTS} s", now)
            return
        link.setup_attempts += 1
        self._sender.send(link.session, self._own_updates.make(), now)
        self._timers.set(self._checks[link.session], now + SETUP_INTERVAL)

    def _check_idle(self, link: Link, now: float) -> None:
        silent_until = link.last_received + self._idle_timeout
        if silent_until <= now:
            self.end(link.session, f"link closed: nothing received for {self._idle_timeout:g} s", now)
        else:
            self._timers.set(self._checks[link.session], silent_until)

    def _say(self, text: str, now: float, peer: str, severity: Severity = Severity.INFO) -> None:
        self._complaints.say("links", text, now, peer, severity, most=LINK_NOTICES)
