"""Keys, certificates and requests to PEM files: a key is private from its first moment, and never overwritten."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from receptor.certificates.making import PrivateKey
from receptor.certificates.reading import is_authority
from receptor.errors import ConfigurationError, OperatingError

_PRIVATE = 0o600
_PUBLIC = 0o644
_KEY_INSIDE = b"PRIVATE KEY-----"
_ENOUGH = 1024 * 1024  # bytes of a file that are searched for a key


@contextmanager
def new_private_key(path: Path, key: PrivateKey) -> Iterator[None]:
    """Write the key to a new file that only its owner may read; it is deleted again if the block fails.

    Raises OperatingError if there is such a file already or it can't be written.
    """
    _create(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), _PRIVATE)
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_private(path: Path, content: bytes) -> None:
    """Write something with a key in it to a new file that only its owner may read; raises OperatingError."""
    _create(path, content, _PRIVATE)


def write_new_certificate(path: Path, certificate: x509.Certificate) -> None:
    """Write the certificate to a new file; raises OperatingError if there is one already or it can't be written."""
    _create(path, certificate.public_bytes(Encoding.PEM), _PUBLIC)


def write_over(path: Path, made: x509.Certificate | x509.CertificateSigningRequest) -> None:
    """Write a certificate or a request, in place of an older one at once.

    Raises OperatingError if the file can't be written, or holds a private key or an authority's certificate.
    """
    target = Path(os.path.realpath(path))
    _refuse_to_destroy(path, target)
    temporary = target.with_name(f".receptor-{token_hex(8)}.new")
    try:
        _write(temporary, made.public_bytes(Encoding.PEM), _PUBLIC)
        try:
            os.replace(temporary, target)
        except OSError:
            temporary.unlink()
            raise
    except OSError as error:
        raise _not_written(path, error) from error


def refuse_existing(*paths: Path) -> None:
    """Raise OperatingError if there is a file of one of these names, before any work is done for it."""
    for path in paths:
        if os.path.lexists(path):
            raise _exists(path)


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        _write(path, content, mode)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise _not_written(path, error) from error


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a new file; half of one is not left."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def _refuse_to_destroy(path: Path, target: Path) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_file():
        raise OperatingError(f"{path}: this is no regular file, so nothing is written there; name another one")
    try:
        with target.open("rb") as file:
            content = file.read(_ENOUGH)
    except OSError as error:
        raise _not_written(path, error) from error
    if _KEY_INSIDE in content:
        raise OperatingError(f"{path}: the file holds a private key, which is never overwritten; name another one")
    if _is_of_an_authority(path, content):
        raise OperatingError(
            f"{path}: this is an authority's certificate, which is never overwritten; name another one"
        )


def _is_of_an_authority(path: Path, content: bytes) -> bool:
    try:
        return is_authority(path, x509.load_pem_x509_certificates(content)[0])
    except (ValueError, ConfigurationError):
        return False  # Nobody could use it as that.


def _exists(path: Path) -> OperatingError:
    return OperatingError(f"{path}: the file exists already and is not overwritten; move it away, or name another one")


def _not_written(path: Path, error: OSError) -> OperatingError:
    return OperatingError(f"{path}: can't be written: {error.strerror}; correct the name, or make the folder writable")
