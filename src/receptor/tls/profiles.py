"""The TLS settings of a node by the names that its configuration gives them."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TypeAlias, TypeVar

from receptor.config.configuration import DEFAULT_TLS_CLIENT
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.errors import CommandError, ConfigurationError
from receptor.netceptor.stream_security import DialerSecurity, ListenerSecurity
from receptor.tls.authorities import Authorities, SystemAuthorities
from receptor.tls.contexts import client_context, server_context
from receptor.tls.own_certificate import OwnCertificate, read_own_certificate
from receptor.tls.peer_check import CLIENT, SERVER, Clock, PeerRules, utc_now

logger = logging.getLogger("receptor.tls")

_Trusted: TypeAlias = Authorities | SystemAuthorities | None
_Profile = TypeVar("_Profile")


class _Server:
    """What a tls-server stood for when it was read."""

    def __init__(self, action: TlsServer, node_id: str, system: SystemAuthorities, now: Clock) -> None:
        """Reads the files. Raises ConfigurationError."""
        what, pins = f"tls-server '{action.name}'", action.pinned_client_certificates
        own_id = None if action.skip_names_check else node_id
        with _naming(what):
            trusted = _trusted_for_clients(action, system)
            own = read_own_certificate(action.certificate, action.key, own_id, what, now())
            self.context = server_context(own, trusted, pins, action.only_tls_13)
            check = PeerRules(CLIENT, trusted, pins, now).check if trusted else None
            self.security = ListenerSecurity(own.chain, own.key, check)


class _Client:
    """What a tls-client stood for when it was read."""

    def __init__(self, action: TlsClient, node_id: str, system: SystemAuthorities, now: Clock) -> None:
        """Reads the files, but those of the system. Raises ConfigurationError."""
        self._action, self._now = action, now
        what = f"tls-client '{action.name}'"
        with _naming(what):
            self._trusted = _trusted_for_servers(action, system)
            self._own = _certificate_to_show(action, node_id, what, now)
            self.security = self._stream_security()

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Takes some milliseconds if the system's authorities are to be read."""
        with _naming(f"tls-client '{self._action.name}'"):
            pins = self._action.pinned_server_certificates
            return client_context(self._own, self._trusted, pins, self._action.only_tls_13)

    def _stream_security(self) -> DialerSecurity:
        check = PeerRules(SERVER, self._trusted, self._action.pinned_server_certificates, self._now).check
        return DialerSecurity(check, self._own.chain, self._own.key) if self._own else DialerSecurity(check)


class ServerProfile:
    """What a tls-server stands for at the moment; ask it anew for each connection, since ``reload`` changes it."""

    def __init__(self, contents: _Server) -> None:
        self._contents = contents

    def context(self) -> ssl.SSLContext:
        """For connections over sockets."""
        return self._contents.context

    def stream_security(self) -> ListenerSecurity:
        """For streams of the mesh."""
        return self._contents.security

    def swap(self, other: ServerProfile) -> None:
        """Stand for what the other stands for, and the other way round."""
        self._contents, other._contents = other._contents, self._contents


class ClientProfile:
    """What a tls-client stands for at the moment; ask it anew for each connection, since ``reload`` changes it."""

    def __init__(self, contents: _Client) -> None:
        self._contents = contents

    def context(self) -> ssl.SSLContext:
        """For connections over sockets; the server's name goes to asyncio."""
        return self._contents.context

    def stream_security(self) -> DialerSecurity:
        """For streams of the mesh."""
        return self._contents.security

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
        system = SystemAuthorities()
        self._servers = {one.name: ServerProfile(_Server(one, node_id, system, now)) for one in servers}
        self._clients = {one.name: ClientProfile(_Client(one, node_id, system, now)) for one in clients}
        for profile in self._clients.values():
            profile.context()  # Reads now what is not there yet: the one below waits until somebody wants it.
        default = TlsClient(name=DEFAULT_TLS_CLIENT)
        self._clients.setdefault(default.name, ClientProfile(_Client(default, node_id, system, now)))

    def server(self, name: str) -> ServerProfile:
        """The tls-server of that name. Raises CommandError if there is none."""
        return _named(self._servers, "tls-server", name)

    def client(self, name: str) -> ClientProfile:
        """The tls-client of that name. Raises CommandError if there is none."""
        return _named(self._clients, "tls-client", name)

    def swap(self, other: TlsProfiles) -> None:
        """Let the profiles stand for what the other's of the same names stand for, and the other way round.

        Both must have the same names.
        """
        for name, server in self._servers.items():
            server.swap(other._servers[name])
        for name, client in self._clients.items():
            client.swap(other._clients[name])


def _trusted_for_clients(action: TlsServer, system: SystemAuthorities) -> _Trusted:
    """Who vouches for clients; None if they are not asked who they are.

    Naming authorities is asking: so do existing nodes, which refuse a client without a certificate then.
    """
    if action.client_cas:
        return Authorities(action.client_cas)
    if action.require_client_certificate:
        logger.warning(
            "tls-server '%s': every client is trusted for whom any authority of this system vouches, those of the web "
            "included; name yours in 'clientcas'",
            action.name,
        )
        return system
    if action.pinned_client_certificates:
        raise ConfigurationError(
            "'pinnedclientcert' alone would let everybody in, since clients would not be asked for a certificate; "
            "add 'clientcas', or remove it"
        )
    return None


def _trusted_for_servers(action: TlsClient, system: SystemAuthorities) -> _Trusted:
    if action.skip_verification:
        return None
    return Authorities(action.root_cas) if action.root_cas else system


def _certificate_to_show(action: TlsClient, node_id: str, what: str, now: Clock) -> OwnCertificate | None:
    if action.certificate is None and action.key is None:
        return None
    if action.certificate is None or action.key is None:
        raise ConfigurationError("there is only one of 'cert' and 'key'; give both, or none")
    own_id = None if action.skip_names_check else node_id
    return read_own_certificate(action.certificate, action.key, own_id, what, now())


def _named(profiles: Mapping[str, _Profile], kind: str, name: str) -> _Profile:
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise CommandError(f"this node has no {kind} {name!r}; name one of its configuration ({known})")
    return profiles[name]


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Say in errors which action it is that must be corrected."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from error
