"""What TLS settings stand for: the certificates and keys in their files, ready for use.

Nothing else of a node without TLS needs the package cryptography, so ``profiles`` imports this once it is needed.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TypeAlias

from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.errors import ConfigurationError
from receptor.netceptor.stream_security import DialerSecurity, ListenerSecurity
from receptor.tls.authorities import Authorities, SystemAuthorities
from receptor.tls.clock import Clock
from receptor.tls.contexts import client_context, server_context
from receptor.tls.own_certificate import OwnCertificate, read_own_certificate
from receptor.tls.peer_check import CLIENT, SERVER, PeerRules

logger = logging.getLogger("receptor.tls")

_Trusted: TypeAlias = Authorities | SystemAuthorities | None


class TlsFiles:
    """Reads the files that TLS settings name."""

    def __init__(self, node_id: str, now: Clock) -> None:
        """``now`` tells the time when certificates are checked."""
        self._node_id, self._now = node_id, now
        self._system = SystemAuthorities()

    def server(self, action: TlsServer) -> ServerContents:
        """Raises ConfigurationError."""
        return ServerContents(action, self._node_id, self._system, self._now)

    def client(self, action: TlsClient) -> ClientContents:
        """Raises ConfigurationError."""
        return ClientContents(action, self._node_id, self._system, self._now)


class ServerContents:
    """What a tls-server stood for when it was read."""

    def __init__(self, action: TlsServer, node_id: str, system: SystemAuthorities, now: Clock) -> None:
        """Reads the files. Raises ConfigurationError."""
        what, pins = f"tls-server '{action.name}'", action.pinned_client_certificates
        own_id = None if action.skip_names_check else node_id
        with _naming(what):
            trusted = _trusted_for_clients(action, system)
            own = read_own_certificate(action.certificate, action.key, own_id, what, now())
            self.shown = own.shown
            self.context = server_context(own, trusted, pins, action.only_tls_13)
            check = PeerRules(CLIENT, trusted, pins, now).check if trusted else None
            self.security = ListenerSecurity(own.chain, own.key, check)


class ClientContents:
    """What a tls-client stood for when it was read."""

    def __init__(self, action: TlsClient, node_id: str, system: SystemAuthorities, now: Clock) -> None:
        """Reads the files, but those of the system. Raises ConfigurationError."""
        self._action, self._now = action, now
        what = f"tls-client '{action.name}'"
        with _naming(what):
            self._trusted = _trusted_for_servers(action, system)
            self._own = _certificate_to_show(action, node_id, what, now)
            self.shown = self._own.shown if self._own else None
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


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Say in errors which action it is that must be corrected."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from error
