"""The TLS settings of a node by the names that its configuration gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar

from receptor.config.configuration import DEFAULT_TLS_CLIENT
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.errors import CommandError
from receptor.tls.clock import Clock, utc_now
from receptor.tls.shown_certificate import ShownCertificate

if TYPE_CHECKING:
    import ssl

    from receptor.netceptor.stream_security import DialerSecurity, ListenerSecurity
    from receptor.tls.contents import ClientContents, ServerContents, TlsFiles

_Profile = TypeVar("_Profile")


class ServerProfile:
    """What a tls-server stands for at the moment; ask it anew for each connection, since ``reload`` changes it."""

    def __init__(self, contents: ServerContents) -> None:
        self._contents = contents

    def context(self) -> ssl.SSLContext:
        """For connections over sockets."""
        return self._contents.context

    def stream_security(self) -> ListenerSecurity:
        """For streams of the mesh."""
        return self._contents.security

    def shown_certificate(self) -> ShownCertificate:
        """The certificate that it shows."""
        return self._contents.shown

    def swap(self, other: ServerProfile) -> None:
        """Stand for what the other stands for, and the other way round."""
        self._contents, other._contents = other._contents, self._contents


class ClientProfile:
    """What a tls-client stands for at the moment; ask it anew for each connection, since ``reload`` changes it."""

    def __init__(self, read: Callable[[], ClientContents]) -> None:
        """``read`` is called once it is used."""
        self._contents = cache(read)

    def context(self) -> ssl.SSLContext:
        """For connections over sockets; the server's name goes to asyncio."""
        return self._contents().context

    def stream_security(self) -> DialerSecurity:
        """For streams of the mesh."""
        return self._contents().security

    def shown_certificate(self) -> ShownCertificate | None:
        """The certificate that it shows, if it has one."""
        return self._contents().shown

    def swap(self, other: ClientProfile) -> None:
        """Stand for what the other stands for, and the other way round."""
        self._contents, other._contents = other._contents, self._contents


class TlsProfiles:
    """All of a node; ``default`` is a tls-client that each has, which trusts whom the system trusts."""

    def __init__(
        self,
        servers: Iterable[TlsServer] = (),
        clients: Iterable[TlsClient] = (),
        node_id: str = "",
        now: Clock = utc_now,
    ) -> None:
        """Reads all files. ``now`` tells the time when certificates are checked. Raises ConfigurationError."""

        @cache
        def files() -> TlsFiles:
            from receptor.tls.contents import TlsFiles  # 25 ms and 9 MiB, of which a node without TLS needs nothing

            return TlsFiles(node_id, now)

        self._servers = {one.name: ServerProfile(files().server(one)) for one in servers}
        self._clients = {one.name: ClientProfile(partial(files().client, one)) for one in clients}
        for profile in self._clients.values():
            profile.context()  # Reads now what is not there yet: the one below waits until somebody wants it.
        self._read_clients = tuple(self._clients)
        default = TlsClient(name=DEFAULT_TLS_CLIENT)
        self._clients.setdefault(default.name, ClientProfile(lambda: files().client(default)))

    def server(self, name: str) -> ServerProfile:
        """The tls-server of that name. Raises CommandError if there is none."""
        return _named(self._servers, "tls-server", name)

    def client(self, name: str) -> ClientProfile:
        """The tls-client of that name. Raises CommandError if there is none."""
        return _named(self._clients, "tls-client", name)

    def shown_certificates(self) -> Mapping[str, ShownCertificate]:
        """The certificates that this node shows, by where its configuration names them: ``tls-server mesh``."""
        shown = {f"tls-server {name}": server.shown_certificate() for name, server in self._servers.items()}
        for name in self._read_clients:
            certificate = self._clients[name].shown_certificate()
            if certificate is not None:
                shown[f"tls-client {name}"] = certificate
        return shown

    def swap(self, other: TlsProfiles) -> None:
        """Let the profiles stand for what the other's of the same names stand for, and the other way round.

        Both must have the same names.
        """
        for name, server in self._servers.items():
            server.swap(other._servers[name])
        for name, client in self._clients.items():
            client.swap(other._clients[name])


def _named(profiles: Mapping[str, _Profile], kind: str, name: str) -> _Profile:
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise CommandError(f"this node has no {kind} {name!r}; name one of its configuration ({known})")
    return profiles[name]
