"""Certificates, requests and the names in them, as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from receptor.certificates.node_names import node_id_of
from receptor.certificates.reading import is_authority, is_signed, names_of

Fact: TypeAlias = tuple[str, str]
"""What is told, and its value; both can be shown on a terminal."""

_KINDS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "DNS name",
    x509.IPAddress: "IP address",
    x509.RFC822Name: "mail address",
    x509.UniformResourceIdentifier: "URI",
}


def certificate_facts(path: Path, certificate: x509.Certificate, now: datetime) -> list[Fact]:
    """What there is to know of a certificate from that file; raises ConfigurationError if it is malformed."""
    authority = is_authority(path, certificate)
    return [
        ("certificate of", "an authority" if authority else "a node or a client"),
        ("subject", _name(certificate.subject)),
        ("issuer", _name(certificate.issuer)),
        *_names(names_of(path, certificate)),
        ("valid", _validity(certificate, now)),
        ("key", _key(certificate.public_key())),
        ("SHA-256", certificate.fingerprint(hashes.SHA256()).hex()),
    ]


def request_facts(path: Path, request: x509.CertificateSigningRequest) -> list[Fact]:
    """What there is to know of a request from that file; raises ConfigurationError if it is malformed."""
    return [
        ("request of", "a node or a client"),
        ("subject", _name(request.subject)),
        *_names(names_of(path, request)),
        ("key", _key(request.public_key())),
        ("signature", "right" if is_signed(request) else "WRONG: somebody may have changed the request"),
    ]


def name_text(name: x509.GeneralName) -> str:
    """A subject alternative name in words; raises ValueError if it is a malformed node id."""
    node_id = node_id_of(name)
    if node_id is not None:
        return f"node id {_shown(node_id)}"
    match name:
        case x509.OtherName():
            return f"OtherName of type {name.type_id.dotted_string}"
        case x509.DirectoryName():
            return f"DirectoryName {_name(name.value)}"
        case x509.RegisteredID():
            return f"RegisteredID {name.value.dotted_string}"
    return f"{_KINDS[type(name)]} {_shown(str(name.value))}"


def _names(names: Iterable[x509.GeneralName]) -> list[Fact]:
    return [("name", name_text(name)) for name in names]


def _name(name: x509.Name) -> str:
    return _shown(name.rfc4514_string()) or "no name"


def _validity(certificate: x509.Certificate, now: datetime) -> str:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    period = f"{begin:%Y-%m-%dT%H:%M:%SZ} until {end:%Y-%m-%dT%H:%M:%SZ}"
    if now > end:
        return f"{period}: EXPIRED"
    return f"{period}: NOT YET VALID" if now < begin else f"{period} ({(end - now).days} days more)"


def _key(key: CertificatePublicKeyTypes) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC, {key.curve.name}"
    return type(key).__name__.removeprefix("_").removesuffix("PublicKey")


def _shown(text: str) -> str:
    """The text as it is, or escaped if it could mislead who reads it on a terminal."""
    return text if text.isprintable() else ascii(text)
