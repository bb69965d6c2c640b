"""Authorities: who may vouch for the far end, for sockets (OpenSSL) and for streams of the mesh (cryptography).

Each certificate is trusted as it is, be it that of an authority under another one, as Go's TLS does.
"""

from __future__ import annotations

import logging
import ssl
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import Store

from receptor.certificates.reading import read_certificates

logger = logging.getLogger("receptor.tls")


class Authorities:
    """Those in a file."""

    def __init__(self, path: Path) -> None:
        """Reads the file (PEM). Raises ConfigurationError."""
        self.certificates = read_certificates(path)
        if any(isinstance(one.public_key(), Ed25519PublicKey) for one in self.certificates):
            logger.warning("%s: an authority with an Ed25519 key can vouch for links, but not for streams", path)

    def let_vouch(self, context: ssl.SSLContext) -> None:
        """Have the context trust them."""
        context.load_verify_locations(cadata=b"".join(one.public_bytes(Encoding.DER) for one in self.certificates))

    @cached_property
    def store(self) -> Store:
        """They as cryptography wants them."""
        return Store(self.certificates)


class SystemAuthorities:
    """Those that the system trusts, as Python's ``ssl`` finds them; read when they are needed for the first time."""

    def let_vouch(self, context: ssl.SSLContext) -> None:
        """Have the context trust them."""
        context.load_default_certs()

    @cached_property
    def store(self) -> Store | None:
        """They as cryptography wants them; None if the system has no file of them."""
        found = list(_certificates_of_the_system())
        return Store(found) if found else None


def _certificates_of_the_system() -> Iterator[x509.Certificate]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # Authorities with odd serial numbers.
        for certificate in context.get_ca_certs(binary_form=True):
            try:
                yield x509.load_der_x509_certificate(certificate)
            except ValueError:
                continue  # One that OpenSSL can read and cryptography can't vouches for nobody.
