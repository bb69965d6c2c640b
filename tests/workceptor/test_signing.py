from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from receptor.errors import ConfigurationError
from receptor.workceptor.signing import load_signing_key, load_verification_key

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

NO_PASSWORD = NoEncryption()

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def private_pem(key: PrivateKey, form: PrivateFormat, encryption: KeySerializationEncryption = NO_PASSWORD) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption)


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class TestKeys:
    @pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
    def test_both_forms_of_private_keys(self, tmp_path: Path, form: PrivateFormat) -> None:
        path = tmp_path / "private.pem"
        path.write_bytes(private_pem(KEY, form))
        assert load_signing_key(path).private_numbers() == KEY.private_numbers()

    def test_the_public_key_in_pkix_form(self, tmp_path: Path) -> None:
        path = tmp_path / "public.pem"
        path.write_bytes(public_pem(KEY))
        assert load_verification_key(path) == KEY.public_key()

    @pytest.mark.parametrize(
        ("pem", "reason"),
        [
            (b"", "not a PEM private key"),
            (b"noise", "not a PEM private key"),
            (public_pem(KEY), "not a PEM private key"),
            (private_pem(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8), "not an RSA key"),
            (private_pem(KEY, PrivateFormat.PKCS8, BestAvailableEncryption(b"p")), "password"),
            (private_pem(rsa.generate_private_key(65537, 1024), PrivateFormat.PKCS8), "too weak"),
            (b"x" * 2_000_000, "too large"),
        ],
        ids=["empty", "noise", "public", "elliptic", "password", "weak", "large"],
    )
    def test_a_private_key_that_does_not_do(self, tmp_path: Path, pem: bytes, reason: str) -> None:
        path = tmp_path / "private.pem"
        path.write_bytes(pem)
        with pytest.raises(ConfigurationError, match=reason) as caught:
            load_signing_key(path)
        assert str(caught.value).startswith(f"{path}: ")

    @pytest.mark.parametrize(
        ("pem", "reason"),
        [
            (b"", "not a PEM public key"),
            (private_pem(KEY, PrivateFormat.PKCS8), "not a PEM public key"),
            (public_pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
            (public_pem(rsa.generate_private_key(65537, 1024)), "too weak"),
        ],
        ids=["empty", "private", "elliptic", "weak"],
    )
    def test_a_public_key_that_does_not_do(self, tmp_path: Path, pem: bytes, reason: str) -> None:
        path = tmp_path / "public.pem"
        path.write_bytes(pem)
        with pytest.raises(ConfigurationError, match=reason) as caught:
            load_verification_key(path)
        assert str(caught.value).startswith(f"{path}: ")

    def test_a_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"private\.pem: there is no such file .* openssl genrsa"):
            load_signing_key(tmp_path / "private.pem")
        with pytest.raises(ConfigurationError, match=r"public\.pem: there is no such file .* openssl rsa"):
            load_verification_key(tmp_path / "public.pem")

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="can't be read"):
            load_signing_key(tmp_path)
