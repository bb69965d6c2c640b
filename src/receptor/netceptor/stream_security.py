"""What the two ends of a secured stream show each other, and how they check it (mesh protocol, section 6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qh3._hazmat import (
    Certificate,
    CryptoError,
    EcPrivateKey,
    Ed25519PrivateKey,
    RsaPrivateKey,
    SignatureError,
    verify_with_public_key,
)
from qh3.tls import (
    SignatureAlgorithm,
    load_pem_private_key,
    load_pem_x509_certificates,
    signature_algorithm_params,
)

from receptor.errors import ConfigurationError
from receptor.netceptor.qh3_connection import is_failure_of_qh3

PeerCheck = Callable[[Sequence[bytes], str], None]
"""Checks a far end: the certificates (DER) that it has shown, its own first, which it has proved to own, and the id of
the node that it must be. Without any if it has shown none. Raises PeerError."""

LARGEST_CHAIN = 14_000
"""Bytes of certificates (DER) that qh3 can send in one handshake, about."""

_PLAIN_KEY = re.compile(rb"-----BEGIN (RSA |EC )?PRIVATE KEY-----")
_ECDSA = {
    256: SignatureAlgorithm.ECDSA_SECP256R1_SHA256,
    384: SignatureAlgorithm.ECDSA_SECP384R1_SHA384,
    521: SignatureAlgorithm.ECDSA_SECP521R1_SHA512,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with those that vouch for it, and its key, ready to be shown and proved."""

    certificate: Certificate
    issuers: list[Certificate]
    key: RsaPrivateKey | EcPrivateKey | Ed25519PrivateKey = field(repr=False)

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> Identity:
        """Read both (PEM). Raises ConfigurationError if they can't be used, or don't belong together."""
        if not _PLAIN_KEY.search(key) or b"ENCRYPTED" in key:
            raise ConfigurationError("there is no key (PEM) that can be read without a password")
        try:
            chain = load_pem_x509_certificates(certificate)
            private_key = load_pem_private_key(key)
        except BaseException as error:
            if not is_failure_of_qh3(error):
                raise
            raise ConfigurationError(f"the certificate or its key can't be read: {error}") from None
        if not chain:
            raise ConfigurationError("there is no certificate (PEM)")
        if not isinstance(private_key, RsaPrivateKey | EcPrivateKey | Ed25519PrivateKey):
            raise ConfigurationError("a key for TLS 1.3 is one of RSA, P-256, P-384, P-521 or Ed25519")
        size = sum(len(one.public_bytes()) for one in chain)
        if size > LARGEST_CHAIN:
            raise ConfigurationError(f"{size} bytes of certificates are more than a stream can show ({LARGEST_CHAIN})")
        identity = cls(chain[0], chain[1:], private_key)
        identity._check_that_they_fit()
        return identity

    def _check_that_they_fit(self) -> None:
        algorithm, text = _algorithm(self.key), b"a signature"
        try:
            signature = self.key.sign(text, *signature_algorithm_params(algorithm))
            verify_with_public_key(self.certificate.public_key(), algorithm, text, signature)
        except (CryptoError, SignatureError):
            raise ConfigurationError("the key is not that of the first certificate") from None


@dataclass(frozen=True, slots=True)
class ListenerSecurity:
    """A listener's certificate with its chain and its key. ``check`` None: dialers are not asked who they are.

    Both are PEM as OpenSSL writes it: certificates one after the other, each with a newline, and a key without a
    password. Raises ConfigurationError if they can't be used.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    check: PeerCheck | None = None
    identity: Identity = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity", Identity.load(self.certificate, self.key))


@dataclass(frozen=True, slots=True)
class DialerSecurity:
    """How a dialer checks the listener, and what it shows if it is asked; no certificate if there is none to show.

    PEM as in ListenerSecurity. Raises ConfigurationError if it can't be used.
    """

    check: PeerCheck
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    identity: Identity | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        identity = Identity.load(self.certificate, self.key) if self.certificate else None
        object.__setattr__(self, "identity", identity)


def _algorithm(key: RsaPrivateKey | EcPrivateKey | Ed25519PrivateKey) -> SignatureAlgorithm:
    match key:
        case RsaPrivateKey():
            return SignatureAlgorithm.RSA_PSS_RSAE_SHA256
        case EcPrivateKey():
            return _ECDSA[key.curve_type]
        case Ed25519PrivateKey():
            return SignatureAlgorithm.ED25519
