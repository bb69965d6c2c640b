"""Keys, certificates and requests from PEM files, as this program, existing nodes and openssl write them.

Every function raises ConfigurationError with one line that names the file and says what to do.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from receptor.certificates import SMALLEST_KEY
from receptor.certificates.making import Authority, PrivateKey, PublicKey, Request
from receptor.certificates.node_names import alternative_names, extensions_of, node_ids
from receptor.errors import ConfigurationError
from receptor.identifiers import is_localhost

_LARGEST_FILE = 1024 * 1024
_REQUEST = b"CERTIFICATE REQUEST-----"
_PRIVATE_KEY = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)


def read_private_key(path: Path) -> PrivateKey:
    """The private key in a file, which may hold certificates beside it (PKCS#1, SEC 1 or PKCS#8)."""
    found = [match.group() for match in _PRIVATE_KEY.finditer(_read(path, "private key"))]
    if len(found) != 1:
        raise ConfigurationError(
            f"{path}: there are {len(found) or 'no'} PEM private keys in the file; it must hold one"
        )
    try:
        key = load_pem_private_key(found[0], password=None)
    except TypeError as error:
        message = f"{path}: the private key has a password; write one without: openssl pkey -in {path} -out NEW"
        raise ConfigurationError(message) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path}: the private key is damaged or of an unknown kind; make a new one") from error
    if not isinstance(key, PrivateKey):
        raise ConfigurationError(f"{path}: the private key is of a kind that can't sign for TLS; make an RSA key")
    _check_strength(path, key.public_key())
    return key


def read_certificates(path: Path) -> list[x509.Certificate]:
    """All certificates in a file, at least one."""
    pem = _read(path, "certificate")
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigurationError(f"{path}: there is no PEM certificate in it, or a damaged one") from error


def read_authority(certificate_path: Path, key_path: Path, now: datetime) -> Authority:
    """An authority that may sign certificates now."""
    certificate, *others = read_certificates(certificate_path)
    if others:
        raise ConfigurationError(
            f"{certificate_path}: there are several certificates in it; give the authority's alone"
        )
    if not is_authority(certificate_path, certificate):
        raise ConfigurationError(
            f"{certificate_path}: this certificate is not an authority's, so nobody would trust what it signs; "
            "name the one that 'cert-init' or 'receptor certs ca' made"
        )
    if certificate.not_valid_after_utc <= now:
        raise ConfigurationError(
            f"{certificate_path}: the authority expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; "
            "make a new one, and give it to all nodes"
        )
    key = read_private_key(key_path)
    if certificate.public_key() != key.public_key():
        raise ConfigurationError(f"{key_path}: this key does not belong to the certificate {certificate_path}")
    return Authority(certificate, key)


def read_signing_request(path: Path) -> x509.CertificateSigningRequest:
    """A request, whoever signed it."""
    pem = _read(path, "certificate request")
    try:
        return x509.load_pem_x509_csr(pem)
    except ValueError as error:
        raise ConfigurationError(f"{path}: there is no PEM certificate request in it, or a damaged one") from error


def holds_request(path: Path) -> bool:
    """Whether there is a request in the file rather than a certificate."""
    return _REQUEST in _read(path, "certificate")


def checked_request(path: Path, request: x509.CertificateSigningRequest) -> Request:
    """The request that was read from that file, if it may be signed: it has names, and is signed with its own key."""
    if not is_signed(request):
        raise ConfigurationError(f"{path}: the request's signature is wrong, so it may be forged; make it anew")
    names = names_of(path, request)
    if not names:
        raise ConfigurationError(
            f"{path}: the request has no names, and a certificate without them identifies nobody; "
            "make it anew with 'nodeid', 'dnsname' or 'ipaddress'"
        )
    if any(is_localhost(node_id) for node_id in node_ids(request)):
        raise ConfigurationError(
            f"{path}: the request has the node id 'localhost', which no node can have; make it anew"
        )
    public_key = request.public_key()
    if not isinstance(public_key, PublicKey):
        raise ConfigurationError(f"{path}: the request's key is of a kind that can't sign for TLS; make an RSA key")
    _check_strength(path, public_key)
    return Request(request.subject, public_key, names)


def names_of(path: Path, named: x509.Certificate | x509.CertificateSigningRequest) -> tuple[x509.GeneralName, ...]:
    """The subject alternative names in what was read from that file; node ids among them are well-formed."""
    try:
        node_ids(named)
        return alternative_names(named)
    except ValueError as error:
        raise _malformed(path, error) from error


def is_authority(path: Path, certificate: x509.Certificate) -> bool:
    """Whether the certificate that was read from that file may sign others."""
    try:
        return _is_authority(certificate)
    except ValueError as error:
        raise _malformed(path, error) from error


def is_signed(request: x509.CertificateSigningRequest) -> bool:
    """Whether the request is signed with its own key."""
    try:
        return request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm):
        return False


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path}: there is no such file for the {what}; correct its name, or make it"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{path}: the {what} can't be read: {error.strerror}; make it readable") from error
    if len(content) > _LARGEST_FILE:
        raise ConfigurationError(f"{path}: the file is far too large for a {what}; name the right one")
    return content


def _is_authority(certificate: x509.Certificate) -> bool:
    extensions = [one.value for one in extensions_of(certificate)]
    usages = [one for one in extensions if isinstance(one, x509.KeyUsage)]
    return any(isinstance(one, x509.BasicConstraints) and one.ca for one in extensions) and all(
        one.key_cert_sign for one in usages
    )


def _malformed(path: Path, error: ValueError) -> ConfigurationError:
    return ConfigurationError(f"{path}: {error}; this certificate or request must be made anew")


def _check_strength(path: Path, key: PublicKey) -> None:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SMALLEST_KEY:
        raise ConfigurationError(
            f"{path}: a key of {key.key_size} bits is too weak, {SMALLEST_KEY} are needed; make a new one"
        )
