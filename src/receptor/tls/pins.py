"""Pinned fingerprints: of all certificates that could be trusted, the only ones that are."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256, sha512

from receptor.errors import PeerError


def check_pins(certificate: bytes, pins: Collection[bytes]) -> None:
    """Raises PeerError unless a pin is the SHA-256 or SHA-512 digest of the certificate (DER), or there are none."""
    if not pins:
        return
    digest = sha256(certificate).digest()
    if digest not in pins and sha512(certificate).digest() not in pins:
        raise PeerError(f"its certificate has none of the pinned fingerprints; it has sha256 {digest.hex(':')}")
