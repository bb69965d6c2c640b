"""The TLS settings that streams are secured with, by their names, as the mesh node sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from receptor.errors import CommandError

if TYPE_CHECKING:
    from receptor.netceptor.stream_security import DialerSecurity, ListenerSecurity


class SecuresListeners(Protocol):
    """A tls-server; ask it anew for each stream, as its files may change."""

    def stream_security(self) -> ListenerSecurity:
        """What a listener shows and wants to see."""


class SecuresDialers(Protocol):
    """A tls-client; ask it anew for each stream, as its files may change."""

    def stream_security(self) -> DialerSecurity:
        """What a dialer shows and wants to see."""


class StreamTls(Protocol):
    """All of a node."""

    def server(self, name: str) -> SecuresListeners:
        """The tls-server of that name. Raises CommandError if there is none."""

    def client(self, name: str) -> SecuresDialers:
        """The tls-client of that name. Raises CommandError if there is none."""


class NoTls:
    """Of a node that has no TLS settings."""

    def server(self, name: str) -> SecuresListeners:
        """Raises CommandError."""
        raise CommandError(f"there is no tls-server {name!r} on this node")

    def client(self, name: str) -> SecuresDialers:
        """Raises CommandError."""
        raise CommandError(f"there is no tls-client {name!r} on this node")
