"""TLS for sockets: links over TCP and WebSocket, clients of the control service, proxies."""

from __future__ import annotations

import ssl

from receptor.errors import PeerError
from receptor.tls.authorities import Authorities, SystemAuthorities
from receptor.tls.own_certificate import OwnCertificate
from receptor.tls.pins import check_pins

_CIPHERS_OF_TLS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""With forward secrecy, and such as authenticate what they encrypt; existing nodes know some of each key's kind."""


def server_context(
    own: OwnCertificate, authorities: Authorities | SystemAuthorities | None, pins: frozenset[bytes], only_tls_13: bool
) -> ssl.SSLContext:
    """For a side that accepts. ``authorities`` None: clients are not asked who they are.

    Raises ConfigurationError if OpenSSL does not take the certificate.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, pins, only_tls_13)
    # Who comes again is checked again. OpenSSL alone could also keep TLS 1.2 from resuming what it knows (two hours).
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    own.show_in(context)
    if authorities:
        authorities.let_vouch(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    own: OwnCertificate | None,
    authorities: Authorities | SystemAuthorities | None,
    pins: frozenset[bytes],
    only_tls_13: bool,
) -> ssl.SSLContext:
    """For a side that dials. ``authorities`` None: any server is trusted, or, if there are pins, any that has one.

    Raises ConfigurationError if OpenSSL does not take the certificate.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, pins, only_tls_13)
    context.hostname_checks_common_name = False
    if own:
        own.show_in(context)
    if authorities:
        authorities.let_vouch(context)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _context(protocol: ssl._SSLMethod, pins: frozenset[bytes], only_tls_13: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if only_tls_13 else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS_OF_TLS_1_2)
    # Who has been checked stays who it is.
    context.options |= ssl.OP_NO_RENEGOTIATION
    # An authority under another one may be the one to trust.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if pins:
        context.sslobject_class = _checking(pins)
    return context


def _checking(pins: frozenset[bytes]) -> type[ssl.SSLObject]:
    """Connections whose handshake succeeds only with a far end that has a pinned fingerprint."""

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            try:
                check_pins(self.getpeercert(binary_form=True) or b"", pins)
            except PeerError as error:
                raise _refusal(str(error)) from error

    return PinnedObject


def _refusal(text: str) -> ssl.SSLCertVerificationError:
    """As OpenSSL's own, whose attributes others look at."""
    refusal = ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, text)
    refusal.reason = "CERTIFICATE_VERIFY_FAILED"
    refusal.verify_message = text
    return refusal
