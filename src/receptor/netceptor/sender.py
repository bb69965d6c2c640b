"""Sending to neighbours what is not data: to one of them, or to all."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from receptor.netceptor.complaints import Complaints
from receptor.netceptor.effects import Effect, Send
from receptor.netceptor.links import Link
from receptor.netceptor.packets import LARGEST_PACKET


class Sender:
    """Sends whole packets on sessions; what no link carries is dropped, and the log says so."""

    def __init__(self, neighbours: Mapping[str, Link], complaints: Complaints, emit: Callable[[Effect], None]) -> None:
        self._neighbours = neighbours
        self._complaints = complaints
        self._emit = emit

    def send(self, session: int, packet: bytes, now: float) -> None:
        """Send a packet on a session, whether or not its link is set up."""
        if len(packet) > LARGEST_PACKET:
            text = f"a packet of {len(packet)} bytes was dropped: links carry {LARGEST_PACKET}"
            self._complaints.say("large packet", text, now)
        else:
            self._emit(Send(session, packet, may_drop=False))

    def flood(self, packet: bytes, now: float, but: Link | None = None) -> None:
        """Send a packet to all neighbours, but not back to the one that it came from."""
        for link in self._neighbours.values():
            if link is not but:
                self.send(link.session, packet, now)
