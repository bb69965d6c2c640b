"""The keys of signed work, read from PEM files (work-units, "Signed work")."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from receptor.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

SMALLEST_KEY = 2048
"""Bits of the smallest key that is accepted."""

_LARGEST_KEY_FILE = 1024 * 1024


def load_signing_key(path: Path) -> RSAPrivateKey:
    """The RSA private key in a PEM file (PKCS#1 or PKCS#8, without a password).

    Raises ConfigurationError that names the file and says what to do.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    advice = f"make one with: openssl genrsa -out {path} 2048"
    pem = _read_key_file(path, "private key to sign work with", advice)
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        message = f"{path}: the private key has a password; write one without: openssl rsa -in {path} -out NEW"
        raise ConfigurationError(message) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path}: this is not a PEM private key; {advice}") from error
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(f"{path}: the private key is not an RSA key; {advice}")
    _demand_size(path, key.key_size, advice)
    return key


def load_verification_key(path: Path) -> RSAPublicKey:
    """The RSA public key in a PEM file (PKIX).

    Raises ConfigurationError that names the file and says what to do.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    advice = f"write it from the private key with: openssl rsa -in PRIVATE -pubout -out {path}"
    pem = _read_key_file(path, "public key to verify signed work with", advice)
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{path}: this is not a PEM public key; {advice}") from error
    if not isinstance(key, RSAPublicKey):
        raise ConfigurationError(f"{path}: the public key is not an RSA key; {advice}")
    _demand_size(path, key.key_size, advice)
    return key


def _read_key_file(path: Path, purpose: str, advice: str) -> bytes:
    try:
        with path.open("rb") as file:
            pem = file.read(_LARGEST_KEY_FILE + 1)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: there is no such file for the {purpose}; {advice}") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: the {purpose} can't be read: {error.strerror}; make it readable") from error
    if len(pem) > _LARGEST_KEY_FILE:
        raise ConfigurationError(f"{path}: the file is far too large for the {purpose}; name the right one")
    return pem


def _demand_size(path: Path, bits: int, advice: str) -> None:
    if bits < SMALLEST_KEY:
        raise ConfigurationError(f"{path}: a key of {bits} bits is too weak, {SMALLEST_KEY} are needed; {advice}")
