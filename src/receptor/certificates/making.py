"""Keys, authorities, requests and certificates, made as strict verifiers want them (RFC 5280)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from receptor.certificates import LONGEST_COMMON_NAME
from receptor.errors import ConfigurationError

AUTHORITY_BITS = 3072
"""Bits of an authority's key where nobody asks for others: it must be good for years."""
NODE_BITS = 2048

AUTHORITY_LASTS = timedelta(days=3650)
NODE_LASTS = timedelta(days=365)

_CLOCKS_DIFFER = timedelta(hours=1)

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority; the key is that of the certificate."""

    certificate: x509.Certificate
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class Request:
    """What a certificate is wanted for; whoever asks has proved to own the key."""

    subject: x509.Name
    public_key: PublicKey
    names: tuple[x509.GeneralName, ...]


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate is good."""

    begin: datetime
    end: datetime


def new_key(bits: int) -> rsa.RSAPrivateKey:
    """A new RSA key, which existing nodes can sign requests with too; takes up to a few seconds."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def common_name(text: str) -> x509.Name:
    """A name of that text, cut to the ``LONGEST_COMMON_NAME`` characters that it can hold."""
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text[:LONGEST_COMMON_NAME])])


def validity(now: datetime, begin: datetime | None, end: datetime) -> Validity:
    """From ``begin``, or else from a little before ``now``, until ``end``.

    Raises ConfigurationError if it ends before it begins.
    """
    found = Validity(begin or now - _CLOCKS_DIFFER, end)
    if found.end <= found.begin:
        raise ConfigurationError(
            f"a certificate can't be valid from {found.begin:%Y-%m-%dT%H:%M:%SZ} until {found.end:%Y-%m-%dT%H:%M:%SZ}; "
            "give 'notbefore' a time before 'notafter'"
        )
    return found


def end_under(authority: Authority, now: datetime, lasts: timedelta = NODE_LASTS) -> datetime:
    """When a node's certificate ends unless somebody names a time: never after its authority."""
    return min(now + lasts, authority.certificate.not_valid_after_utc)


def make_authority(subject: x509.Name, key: PrivateKey, valid: Validity) -> Authority:
    """An authority that vouches for itself."""
    usage = _key_usage(digital_signature=False, key_cert_sign=True, crl_sign=True)
    builder = (
        _certificate(subject, subject, key.public_key(), valid)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return Authority(builder.sign(key, _hash_for(key)), key)


def make_request(
    subject: x509.Name, names: Iterable[x509.GeneralName], key: PrivateKey
) -> x509.CertificateSigningRequest:
    """A request for a certificate with these names (perhaps none), signed with its key."""
    builder = x509.CertificateSigningRequestBuilder(subject)
    alternative_names = list(names)
    if alternative_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
    return builder.sign(key, _hash_for(key))


def certify(authority: Authority, request: Request, valid: Validity) -> x509.Certificate:
    """A certificate for a node, as server and as client."""
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _certificate(request.subject, authority.certificate.subject, request.public_key, valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_cert_sign=False, crl_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(_identifier_of(authority), critical=False)
        # A subject that says nothing leaves all to these names (RFC 5280, section 4.2.1.6).
        .add_extension(x509.SubjectAlternativeName(request.names), critical=not list(request.subject))
    )
    return builder.sign(authority.key, _hash_for(authority.key))


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: PublicKey, valid: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid.begin)
        .not_valid_after(valid.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, digital_signature: bool, key_cert_sign: bool, crl_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _identifier_of(authority: Authority) -> x509.AuthorityKeyIdentifier:
    """How its certificates point to the authority: with the identifier that it has, however that was made."""
    extensions = authority.certificate.extensions
    try:
        identifier = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _hash_for(key: PrivateKey) -> hashes.SHA256 | None:
    """What is signed: a digest, but for Ed25519, which makes its own."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
