from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from shown_certificates import KINDS, key_of_kind, pem_of, shown_by

from receptor.errors import ConfigurationError
from receptor.netceptor.stream_security import DialerSecurity, ListenerSecurity


def anybody(_chain: Sequence[bytes], _node: str) -> None:
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shown_may_have_any_kind_of_key_that_tls_13_knows(kind: str) -> None:
    shown = shown_by("us", kind)
    identity = ListenerSecurity(shown.certificate, shown.key).identity
    assert DialerSecurity(anybody, shown.certificate, shown.key).identity is not None
    assert identity.issuers == []


def test_keys_may_be_written_as_existing_nodes_do() -> None:
    for kind in ("RSA 2048", "P-256", "P-384", "P-521"):
        pem = key_of_kind(kind).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        ListenerSecurity(shown_by("us", kind).certificate, pem)


def test_a_dialer_may_have_nothing_to_show() -> None:
    assert DialerSecurity(anybody).identity is None


GOOD = shown_by("us")
OTHER_KINDS: dict[str, bytes] = {
    "DSA": dsa.generate_private_key(1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ),
    "secp256k1": pem_of(ec.generate_private_key(ec.SECP256K1())),
}


@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        (GOOD.certificate, pem_of(key_of_kind("P-256", 1)), "the key is not that of the first certificate"),
        (GOOD.certificate, pem_of(key_of_kind("Ed25519")), "the key is not that of the first certificate"),
        (GOOD.certificate, OTHER_KINDS["DSA"], "one of RSA, P-256"),
        (GOOD.certificate, OTHER_KINDS["secp256k1"], "can't be read"),
        (GOOD.certificate, b"nothing", "there is no key"),
        (GOOD.certificate, b"", "there is no key"),
        (GOOD.certificate, GOOD.key.replace(b" PRIVATE", b" ENCRYPTED PRIVATE"), "without a password"),
        (GOOD.certificate, GOOD.key.replace(b"M", b"-", 1), "can't be read"),
        (GOOD.certificate, b"-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----\n", "can't be read"),
        (b"no certificate", GOOD.key, "there is no certificate"),
        (GOOD.certificate.replace(b"M", b"-", 1), GOOD.key, "can't be read"),
        (b"-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n", GOOD.key, "can't be read"),
        (shown_by("us", padding=4000, chain=3).certificate, GOOD.key, "more than a stream can show"),
    ],
)
def test_what_can_not_be_used_is_refused_when_it_is_read(certificate: bytes, key: bytes, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as told:
        ListenerSecurity(certificate, key)
    assert key.decode() not in str(told.value) or not key
    with pytest.raises(ConfigurationError):
        DialerSecurity(anybody, certificate, key)


def test_keys_are_not_shown_to_those_who_look() -> None:
    shown = shown_by("us")
    for security in (ListenerSecurity(shown.certificate, shown.key), DialerSecurity(anybody, *vars(shown).values())):
        assert "PRIVATE" not in repr(security)
