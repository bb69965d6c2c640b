"""The TLS settings of a node by the names that its configuration gives them."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.netceptor.stream_security import DialerSecurity, ListenerSecurity


class ServerProfile:
    """What a tls-server stands for at the moment; ask it anew for each connection, since ``reload`` changes it."""

    def context(self) -> ssl.SSLContext:
        """For connections over sockets."""
        raise NotImplementedError

    def stream_security(self) -> ListenerSecurity:
        """For streams of the mesh."""
        raise NotImplementedError


class ClientProfile:
    """What a tls-client stands for at the moment; ask it anew for each connection, since ``reload`` changes it."""

    def context(self) -> ssl.SSLContext:
        """For connections over sockets; the server's name goes to asyncio."""
        raise NotImplementedError

    def stream_security(self) -> DialerSecurity:
        """For streams of the mesh."""
        raise NotImplementedError


class TlsProfiles:
    """All of a node."""

    def __init__(self, servers: Iterable[TlsServer] = (), clients: Iterable[TlsClient] = (), node_id: str = "") -> None:
        """Reads all files. Raises ConfigurationError."""

    def server(self, name: str) -> ServerProfile:
        """The tls-server of that name. Raises CommandError if there is none."""
        raise NotImplementedError

    def client(self, name: str) -> ClientProfile:
        """The tls-client of that name. Raises CommandError if there is none."""
        raise NotImplementedError

    def replace(self, other: TlsProfiles) -> None:
        """Let the profiles of the same names be those of the other from now on."""
        raise NotImplementedError
