"""The certificate that unsecured stream services of this run present (mesh protocol, section 6).

Every node shows this one, few have others. So it is put together here of its few parts (RFC 5280, 5480, 5915) with
the help of qh3, which is there anyway: the package cryptography would take 25 ms of each start and 9 MiB.
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime, timedelta

from qh3._hazmat import EcPrivateKey

from receptor.netceptor.quic import INSECURE_COMMON_NAME
from receptor.netceptor.stream_security import ListenerSecurity

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256: a private key is a number from 1 to below this."""

_END_OF_TIMES = b"99991231235959Z"
"""For what never expires (RFC 5280, section 4.1.2.5)."""

_INTEGER, _BITS, _OCTETS, _UTF8_TEXT = 0x02, 0x03, 0x04, 0x0C
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_SEQUENCE, _SET, _FIRST, _SECOND = 0x30, 0x31, 0xA0, 0xA1

_COMMON_NAME = bytes.fromhex("0603550403")
_EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
_P256 = bytes.fromhex("06082a8648ce3d030107")
_ECDSA_WITH_SHA256 = bytes.fromhex("06082a8648ce3d040302")


def insecure_credentials() -> ListenerSecurity:
    """A fresh self-signed certificate whose common name tells dialers that nothing vouches for it.

    Existing nodes make an RSA key here; dialers look only at the name. A P-256 key is made in a hundredth of the
    time and halves the cost of each handshake.
    """
    secret = (secrets.randbelow(_ORDER - 1) + 1).to_bytes(32, "big")
    version, secret_part = _der(_INTEGER, b"\1"), _der(_OCTETS, secret)
    key = EcPrivateKey(_der(_SEQUENCE, version, secret_part), 256, False)
    public_key = _der(_BITS, b"\0", key.public_key())
    both = _der(_SEQUENCE, version, secret_part, _der(_SECOND, public_key))
    algorithm = _der(_SEQUENCE, _EC_PUBLIC_KEY, _P256)
    certificate = _self_signed(key, _der(_SEQUENCE, algorithm, public_key))
    pkcs8 = _der(_SEQUENCE, _der(_INTEGER, b"\0"), algorithm, _der(_OCTETS, both))
    return ListenerSecurity(_pem("CERTIFICATE", certificate), _pem("PRIVATE KEY", pkcs8))


def _self_signed(key: EcPrivateKey, public_key: bytes) -> bytes:
    name_part = _der(_SEQUENCE, _COMMON_NAME, _der(_UTF8_TEXT, INSECURE_COMMON_NAME.encode()))
    name = _der(_SEQUENCE, _der(_SET, name_part))
    begin = f"{datetime.now(UTC) - timedelta(minutes=1):%y%m%d%H%M%SZ}"
    signature_algorithm = _der(_SEQUENCE, _ECDSA_WITH_SHA256)
    to_sign = _der(
        _SEQUENCE,
        _der(_FIRST, _der(_INTEGER, b"\2")),  # version 3
        _der(_INTEGER, b"\1" + secrets.token_bytes(15)),  # a serial number that is positive, and no other's
        signature_algorithm,
        name,
        _der(_SEQUENCE, _der(_UTC_TIME, begin.encode()), _der(_GENERALIZED_TIME, _END_OF_TIMES)),
        name,
        public_key,
    )
    return _der(_SEQUENCE, to_sign, signature_algorithm, _der(_BITS, b"\0", key.sign(to_sign)))


def _der(tag: int, *parts: bytes) -> bytes:
    """A value of that kind in DER (X.690)."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _pem(label: str, content: bytes) -> bytes:
    """RFC 7468."""
    text = base64.b64encode(content).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()
