"""The services of this node, as the mesh hears of them (mesh protocol, section 5)."""

from __future__ import annotations

import msgspec

from receptor.netceptor.advertisements import Advertisements
from receptor.netceptor.messages import Advertisement, encode_advertisement, format_time
from receptor.netceptor.pace import ADVERTISE_INTERVAL, Pace
from receptor.netceptor.sender import Sender
from receptor.netceptor.timers import Chore, Timers

CORRECTION_DELAY = 1.0
"""Seconds after which we contradict what others tell of our services: two who do so should not outshout each other."""

MOST_DENIED = 100
"""Services that are denied at once; what comes by again is denied later."""

_LATEST_TIME = 253_000_000_000 * 1_000_000_000
"""Nanoseconds since 1970, in the year 9987: later times can't be surpassed in four digits, and aren't tried."""


class Announcer:
    """Advertises our services, each time later than whatever the mesh has heard in our name.

    For what it has heard last counts, be it forged, of a run of ours whose clock was ahead, or of a service that ended
    while a part of the mesh was out of reach. When such a message comes by, we say anew what is true.
    """

    def __init__(
        self, unix_time_at_zero: float, table: Advertisements, sender: Sender, timers: Timers[Chore], pace: Pace
    ) -> None:
        self._unix_time_at_zero = unix_time_at_zero
        self._table = table
        self._sender = sender
        self._timers = timers
        self._pace = pace
        self._latest = 0
        self._repetition = float("inf")
        self._false: dict[str, Advertisement] = {}

    def announce(self, advertisement: Advertisement, now: float) -> None:
        """Tell of a service, now and from time to time until it is withdrawn."""
        self._tell(advertisement, now)
        self._repetition = min(self._repetition, self._pace.latest_repetition(now))
        self._timers.set_earlier(self._repeat, now + ADVERTISE_INTERVAL)

    def withdraw(self, service: str, now: float) -> None:
        """Tell that a service has ended, if it was announced."""
        advertisement = self._table.withdraw(service)
        if advertisement is not None:
            self._deny(advertisement, now)

    def repeat_soon(self, now: float) -> None:
        """Tell of all services once more, out of turn."""
        if self._table.own or self._false:
            self._repetition = now
            self._timers.set_earlier(self._repeat, now + CORRECTION_DELAY)

    def heard(self, advertisement: Advertisement, now: float) -> None:
        """Somebody speaks in our name."""
        if advertisement.nanoseconds > _LATEST_TIME:
            return
        own = self._table.own_service(advertisement.service)
        if own is None and not advertisement.cancel and len(self._false) < MOST_DENIED:
            self._false[advertisement.service] = advertisement
        is_later = advertisement.nanoseconds > (own.nanoseconds if own is not None else self._latest)
        self._latest = max(self._latest, advertisement.nanoseconds)
        if is_later or advertisement.service in self._false:
            self.repeat_soon(now)

    def _repeat(self, now: float) -> None:
        """Tell of all services, and deny what was said in our name and isn't so."""
        if not self._pace.may_wait(self._repetition, now):
            self._repetition = self._pace.latest_repetition(now)
            for advertisement in self._table.own:
                self._tell(advertisement, now)
        false, self._false = self._false, {}
        for advertisement in false.values():
            self._deny(advertisement, now)
        if self._table.own:
            self._timers.set(self._repeat, now + ADVERTISE_INTERVAL)

    def _tell(self, advertisement: Advertisement, now: float) -> None:
        current = msgspec.structs.replace(advertisement, time=self._time(now))
        self._table.offer(current)
        self._sender.flood(encode_advertisement(current), now)

    def _deny(self, advertisement: Advertisement, now: float) -> None:
        gone = msgspec.structs.replace(advertisement, time=self._time(now), cancel=True)
        self._sender.flood(encode_advertisement(gone), now)

    def _time(self, now: float) -> str:
        self._latest = max(int((self._unix_time_at_zero + now) * 1e9), self._latest + 1)
        return format_time(self._latest)
