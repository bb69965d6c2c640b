"""Authorities and certificates for tests, made in a moment (EC P-256 unless told otherwise)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256, sha512
from ipaddress import ip_address
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from receptor.certificates.node_names import node_name

Key: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
LOCAL_DNS = ("localhost",)
LOCAL_IPS = ("127.0.0.1",)
DAY = timedelta(days=1)


def ec_key() -> Key:
    """A new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(bits: int = 2048) -> Key:
    """A new RSA key, which takes its time."""
    return rsa.generate_private_key(65537, bits)


def ed25519_key() -> Key:
    """A new Ed25519 key."""
    return ed25519.Ed25519PrivateKey.generate()


@dataclass(frozen=True)
class Written:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Issued:
    """A certificate, with those between it and its authority, and its key."""

    certificate: x509.Certificate
    private_key: Key = field(repr=False)
    issuers: Sequence[x509.Certificate] = ()

    @property
    def der(self) -> list[bytes]:
        """The chain as it is shown in a handshake."""
        return [one.public_bytes(Encoding.DER) for one in (self.certificate, *self.issuers)]

    @property
    def pem(self) -> bytes:
        """The chain, the certificate first."""
        return b"".join(one.public_bytes(Encoding.PEM) for one in (self.certificate, *self.issuers))

    @property
    def key_pem(self) -> bytes:
        """The key, without a password."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def sha256(self) -> bytes:
        """The certificate's fingerprint."""
        return sha256(self.der[0]).digest()

    @property
    def sha512(self) -> bytes:
        """The certificate's other fingerprint."""
        return sha512(self.der[0]).digest()

    def write(self, folder: Path, stem: str) -> Written:
        """To ``stem.crt`` and, for its owner alone, to ``stem.key``."""
        written = Written(folder / f"{stem}.crt", folder / f"{stem}.key")
        written.certificate.write_bytes(self.pem)
        written.key.touch(0o600)
        written.key.write_bytes(self.key_pem)
        return written


class Authority:
    """Vouches for others: for nodes' certificates and for authorities under it.

    ``issuer`` None: it vouches for itself. ``extensions`` are in place of all that authorities have (basic constraints,
    key usage, identifiers).
    """

    def __init__(
        self,
        name: str = "test CA",
        *,
        key: Key | None = None,
        issuer: Authority | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        path_length: int | None = None,
        extensions: Iterable[tuple[x509.ExtensionType, bool]] | None = None,
    ) -> None:
        self.subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.private_key = key or ec_key()
        self.issuer = issuer
        if extensions is None:
            extensions = _of_an_authority(self.private_key, path_length)
        begin, end = not_before or datetime.now(UTC) - DAY, not_after or datetime.now(UTC) + 30 * DAY
        self.certificate = sign(issuer or self, self.subject, self.private_key, begin, end, extensions)

    def issue(
        self,
        *,
        node_ids: Sequence[str] = (),
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        name: str = "test",
        key: Key | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        usages: Sequence[x509.ObjectIdentifier] = (SERVER, CLIENT),
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> Issued:
        """A certificate with these names, valid for a day before now and after it.

        ``usages``: none stands for no such extension; ``extensions`` come to the usual ones, with whether each is
        critical.
        """
        key = key or ec_key()
        names = [*map(x509.DNSName, dns), *(x509.IPAddress(ip_address(ip)) for ip in ips), *map(node_name, node_ids)]
        all_extensions: list[tuple[x509.ExtensionType, bool]] = [*extensions]
        if names:
            all_extensions.append((x509.SubjectAlternativeName(names), False))
        if usages:
            all_extensions.append((x509.ExtendedKeyUsage(usages), False))
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private_key.public_key())
        all_extensions.append((identifier, False))
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        begin, end = not_before or datetime.now(UTC) - DAY, not_after or datetime.now(UTC) + DAY
        return Issued(sign(self, subject, key, begin, end, all_extensions), key, self._below_the_root())

    def _below_the_root(self) -> list[x509.Certificate]:
        return [] if self.issuer is None else [self.certificate, *self.issuer._below_the_root()]

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        """Its own certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    def write(self, folder: Path, stem: str = "ca") -> Path:
        """Its own certificate, without the key, to ``stem.crt``."""
        path = folder / f"{stem}.crt"
        path.write_bytes(self.pem)
        return path


def self_signed(*, node_ids: Sequence[str] = (), dns: Sequence[str] = (), ips: Sequence[str] = ()) -> Issued:
    """A certificate that nobody else vouches for."""
    key = ec_key()
    own = Authority("test", key=key, extensions=())
    return own.issue(node_ids=node_ids, dns=dns, ips=ips, key=key)


def sign(
    issuer: Authority,
    subject: x509.Name,
    key: Key,
    not_before: datetime,
    not_after: datetime,
    extensions: Iterable[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    """A certificate with exactly these extensions, each with whether it is critical."""
    builder = (
        x509.CertificateBuilder(issuer.subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signs_without_digest = isinstance(issuer.private_key, ed25519.Ed25519PrivateKey)
    return builder.sign(issuer.private_key, None if signs_without_digest else hashes.SHA256())


def authority_usage(*, signs_certificates: bool = True) -> x509.KeyUsage:
    """The key usage of an authority; without ``signs_certificates`` that of a node."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _of_an_authority(key: Key, path_length: int | None) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (authority_usage(), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
