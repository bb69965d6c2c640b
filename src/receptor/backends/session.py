"""What every backend offers the mesh: sessions that carry whole packets."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Protocol


class Session(Protocol):
    """An open way to one neighbour. Neither method blocks or fails; a broken session is reported as closed."""

    def send(self, packets: Sequence[bytes]) -> None:
        """Queue packets, in this order."""

    def close(self) -> None:
        """End the session after what was queued; the owner hears no more of it."""

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""


class SessionOwner(Protocol):
    """The mesh, as one backend sees it: it knows on which terms this backend's sessions become links."""

    def session_opened(self, session: Session, peer: str) -> int:
        """A new session, with a text for logs that says where it leads; its number. It may be closed at once."""

    def packets_received(self, number: int, packets: list[bytes]) -> None:
        """Packets have arrived on a session."""

    def session_closed(self, number: int) -> None:
        """A session has ended by itself."""

    async def link_ended(self, number: int) -> bool:
        """Wait until a session is over; True if it had become a link. Cancelling leaves the session alone."""


class TlsSettings(Protocol):
    """What TLS is like at the moment; a backend asks anew for each connection, since a reload changes it."""

    def context(self) -> ssl.SSLContext:
        """For a connection over a socket."""


ENDED_AT_ONCE = "it ended the connection at once; its log says if it refused our certificate"
"""With TLS 1.3 a server looks at our certificate when we are done already, and not all say what is wrong."""


class Backend(Protocol):
    """A listener or dialer."""

    async def start(self) -> None:
        """Begin to make sessions. Raises OperatingError if that is impossible. Can be called again after ``stop``."""

    async def stop(self) -> None:
        """Make no more sessions. Those that are open go on."""
