"""Pings of this node: one datagram out, an answer or a problem back (mesh protocol, section 4)."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from receptor.errors import UnreachableError
from receptor.identifiers import random_name
from receptor.netceptor.effects import Effect, PingEnded
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.messages import Unreachable
from receptor.netceptor.packets import MOST_HOPS, Address, Datagram
from receptor.netceptor.switch import PING, Switch
from receptor.netceptor.timers import Timers

PING_TIMEOUT = 10.0


class _Pending(msgspec.Struct, frozen=True):
    ping: int
    service: str
    sent_at: float


class Pings:
    """The pings that wait for their end; each has an ephemeral service of its own."""

    def __init__(
        self,
        own_id: str,
        switch: Switch,
        rng: random.Random,
        emit: Callable[[Effect], None],
        limits: MeshLimits = DEFAULT_LIMITS,
    ) -> None:
        self.timers: Timers[str] = Timers()
        self._own_id = own_id
        self._switch = switch
        self._rng = rng
        self._emit = emit
        self._most = limits.pings
        self._pending: dict[str, _Pending] = {}
        self._count = 0
        switch.on_unreachable(self._unreachable)

    def start(self, target: str, now: float, hops: int = MOST_HOPS) -> int:
        """Ping a node; the number of the ping, for which one PingEnded follows."""
        self._count += 1
        if len(self._pending) >= self._most:
            self._emit(PingEnded(self._count, self._own_id, 0.0, f"{self._most} pings of this node wait for an answer"))
            return self._count
        service = random_name(self._rng)
        self._switch.open(service, self._answered)
        self._pending[service] = _Pending(self._count, service, now)
        self.timers.set(service, now + PING_TIMEOUT)
        try:
            self._switch.send(service, Address(target, PING), b"", now, hops)
        except UnreachableError as error:
            self._end(service, self._own_id, str(error), now)
        return self._count

    def advance(self, now: float) -> None:
        """Give up the pings whose time is over."""
        for service in self.timers.due(now):
            self._end(service, "", "timeout", now)

    def _answered(self, datagram: Datagram, now: float) -> None:
        if datagram.source.service == PING:
            self._end(datagram.destination.service, datagram.source.node, None, now)

    def _unreachable(self, message: Unreachable, reporter: str, now: float) -> None:
        if message.from_service in self._pending:
            self._end(message.from_service, reporter, message.problem, now)

    def _end(self, service: str, node: str, problem: str | None, now: float) -> None:
        pending = self._pending.pop(service, None)
        if pending is not None:
            self._switch.close(service)
            self.timers.cancel(service)
            self._emit(PingEnded(pending.ping, node, now - pending.sent_at, problem))
