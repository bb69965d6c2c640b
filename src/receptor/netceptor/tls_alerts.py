"""What the alerts say with which an end gives up a TLS handshake, in words (RFC 8446, section 6; RFC 9001, 4.8)."""

from __future__ import annotations

from qh3.tls import AlertDescription

ALERTS = range(0x100, 0x200)
"""The error codes of QUIC that carry an alert. Those with which applications close are other ones."""

_NOT_ACCEPTED = "it does not accept the certificate of this node"
_MEANING: dict[int, str] = {
    AlertDescription.handshake_failure: "it has no TLS settings in common with this node",
    AlertDescription.bad_certificate: f"{_NOT_ACCEPTED}; its log says why",
    AlertDescription.unsupported_certificate: f"{_NOT_ACCEPTED}, which is not made for this",
    AlertDescription.certificate_revoked: f"{_NOT_ACCEPTED}, which was revoked",
    AlertDescription.certificate_expired: f"{_NOT_ACCEPTED}, which has expired or is not valid yet",
    AlertDescription.certificate_unknown: _NOT_ACCEPTED,
    AlertDescription.unknown_ca: f"{_NOT_ACCEPTED}, since it does not know who has signed it",
    AlertDescription.access_denied: "it accepts the certificate of this node, and gives it no access",
    AlertDescription.decrypt_error: "it found a signature of the handshake wrong",
    AlertDescription.protocol_version: "it does not speak TLS 1.3",
    AlertDescription.certificate_required: "it wants a certificate, and this node has shown none",
    AlertDescription.no_application_protocol: "it is no stream service of a mesh",
}


def told_by_far_end(code: int) -> str:
    """What the far end says by an error code of these."""
    return f"the far end gave up the TLS handshake: {_meaning(code)} (alert {code - ALERTS.start})"


def told_by_us(code: int, reason: str) -> str:
    """Why we gave up the handshake of a far end."""
    return f"the far end broke the TLS handshake: {reason or _name(code)}"


def _meaning(code: int) -> str:
    return _MEANING.get(code - ALERTS.start) or _name(code)


def _name(code: int) -> str:
    try:
        return AlertDescription(code - ALERTS.start).name.replace("_", " ")
    except ValueError:
        return "it gave no known reason"
