"""What a node shows of itself: its certificate with those that vouch for it, and the key."""

from __future__ import annotations

import logging
import ssl
import stat
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from receptor.certificates.node_names import node_ids
from receptor.certificates.reading import names_of, read_certificates, read_private_key
from receptor.errors import ConfigurationError
from receptor.tls.shown_certificate import ShownCertificate

logger = logging.getLogger("receptor.tls")


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate that can be used at once; both as PEM. ``shown`` is for people."""

    certificate_path: Path
    key_path: Path
    chain: bytes
    key: bytes = field(repr=False)
    shown: ShownCertificate

    def show_in(self, context: ssl.SSLContext) -> None:
        """Have the context show it. Raises ConfigurationError if OpenSSL does not take it."""
        try:
            # Never asks at the terminal, should the key be replaced by one with a password at this very moment.
            context.load_cert_chain(self.certificate_path, self.key_path, password="")
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"{self.certificate_path}: TLS can't use this certificate with {self.key_path}: "
                f"{getattr(error, 'reason', None) or error}; make a new pair"
            ) from error


def read_own_certificate(
    certificate_path: Path, key_path: Path, node_id: str | None, what: str, now: datetime
) -> OwnCertificate:
    """The certificate and the key in these files. Raises ConfigurationError if they can't be used.

    ``node_id`` None: it may be for any nodes. What is odd but can be used is logged about ``what``.
    """
    chain = read_certificates(certificate_path)
    key = read_private_key(key_path)
    if key.public_key() != chain[0].public_key():
        raise ConfigurationError(
            f"{key_path}: the private key does not belong to the certificate {certificate_path}, "
            "of which the first in the file counts; name the files that belong together"
        )
    if node_id is not None:
        _check_names(certificate_path, chain[0], node_id)
    for trouble in _troubles_with_time(certificate_path, chain[0], now):
        logger.error("%s: %s", what, trouble)
    for oddity in _oddities_of_key(key_path):
        logger.warning("%s: %s", what, oddity)
    return OwnCertificate(
        certificate_path,
        key_path,
        b"".join(one.public_bytes(Encoding.PEM) for one in chain),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        _shown(certificate_path, chain[0]),
    )


def _shown(path: Path, certificate: x509.Certificate) -> ShownCertificate:
    try:
        ids = node_ids(certificate)
    except ValueError:  # Whoever checks names takes no such certificate.
        ids = ()
    return ShownCertificate(
        file=path,
        subject=certificate.subject.rfc4514_string(),
        node_ids=ids,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _check_names(path: Path, certificate: x509.Certificate, node_id: str) -> None:
    names_of(path, certificate)
    names = node_ids(certificate)
    if node_id not in names:
        raise ConfigurationError(
            f"{path}: the certificate is for {', '.join(map(repr, names)) or 'no node'}, and this node is {node_id!r}; "
            "make one with its id (receptor certs), or set 'skipreceptornamescheck'"
        )


def _troubles_with_time(path: Path, certificate: x509.Certificate, now: datetime) -> list[str]:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        return [f"{path}: the certificate expired on {end:%Y-%m-%d at %H:%M} UTC, so others refuse it; renew it"]
    if now < begin:
        return [
            f"{path}: the certificate is not valid before {begin:%Y-%m-%d at %H:%M} UTC, so others "
            "refuse it; check this node's clock"
        ]
    return []


def _oddities_of_key(path: Path) -> list[str]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return []  # It could be read just now, and nobody needs it any more.
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        return [f"{path}: others than its owner can read the private key; chmod 600 {path}"]
    return []
