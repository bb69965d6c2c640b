"""Certificates for streams: a CA, what it signs, and a check that trusts it, which is simpler than the real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from receptor.errors import PeerError
from receptor.netceptor.stream_security import DialerSecurity, ListenerSecurity

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

KINDS = ["RSA 2048", "RSA 4096", "P-256", "P-384", "P-521", "Ed25519"]

_ANY_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.2312.19.99")


@lru_cache
def key_of_kind(kind: str, which: int = 0) -> Key:
    """A key, the same for the whole run; RSA keys take long to make."""
    match kind:
        case "RSA 2048" | "RSA 4096":
            return rsa.generate_private_key(65537, int(kind[4:]))
        case "P-256":
            return ec.generate_private_key(ec.SECP256R1())
        case "P-384":
            return ec.generate_private_key(ec.SECP384R1())
        case "P-521":
            return ec.generate_private_key(ec.SECP521R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


@dataclass(frozen=True)
class Shown:
    """A certificate with those after it and a key (both PEM), which need not fit."""

    certificate: bytes
    key: bytes


def pem_of(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signed(name: str, key: Key, issuer: str, issuer_key: Key, padding: int = 0, days: int = 1) -> bytes:
    """A certificate (PEM) for a common name, with that many bytes more than it needs, that ends after those days."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_common_name(name))
        .issuer_name(_common_name(issuer))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
    )
    if padding:
        builder = builder.add_extension(x509.UnrecognizedExtension(_ANY_EXTENSION, bytes(padding)), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def shown_by(node: str, kind: str = "P-256", ca: int = 0, padding: int = 0, days: int = 1, chain: int = 0) -> Shown:
    """What a node shows whose certificate a CA has signed, with so many more after it."""
    key = key_of_kind(kind)
    certificate = signed(node, key, "CA", _ca_key(ca), padding, days)
    more = signed("another", key_of_kind("P-256"), "CA", _ca_key(ca), padding)
    return Shown(certificate + chain * more, pem_of(key))


class TrustInCa:
    """Accepts who shows a certificate of a CA for its node id, and notes who was checked."""

    def __init__(self, ca: int = 0) -> None:
        self._ca = x509.load_pem_x509_certificate(signed("CA", _ca_key(ca), "CA", _ca_key(ca)))
        self.asked: list[tuple[int, str]] = []

    def __call__(self, chain: Sequence[bytes], node: str) -> None:
        self.asked.append((len(chain), node))
        if not chain:
            raise PeerError("it has shown none")
        certificate = x509.load_der_x509_certificate(chain[0])
        try:
            certificate.verify_directly_issued_by(self._ca)
        except (InvalidSignature, ValueError):
            raise PeerError("another CA has signed it") from None
        if certificate.not_valid_after_utc < datetime.now(UTC):
            raise PeerError("it has expired")
        if certificate.subject != _common_name(node):
            raise PeerError(f"it is not for {node}")


def listener(shown: Shown, check: TrustInCa | None = None) -> ListenerSecurity:
    return ListenerSecurity(shown.certificate, shown.key, check)


def dialer(check: TrustInCa, shown: Shown | None = None) -> DialerSecurity:
    return DialerSecurity(check) if shown is None else DialerSecurity(check, shown.certificate, shown.key)


def _ca_key(which: int) -> Key:
    return key_of_kind("P-256", 100 + which)


def _common_name(name: str) -> x509.Name:
    """X.509 allows 64 characters. Longer names are shortened, here and by the check alike."""
    short = name if len(name) <= 64 else name[:32] + name[-32:]
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, short)])
