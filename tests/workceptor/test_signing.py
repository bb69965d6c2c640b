from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path

import jwt
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receptor.errors import CommandError, ConfigurationError
from receptor.workceptor.signing import LARGEST_TOKEN, Signer, Verifier, load_signing_key, load_verification_key

NOW = 1_700_000_000.5
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
VERIFIER = Verifier(KEY.public_key(), "bar")
RECORDED = json.loads((Path(__file__).parent.parent / "data" / "signed-submit.json").read_text())

NO_PASSWORD = NoEncryption()

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def private_pem(key: PrivateKey, form: PrivateFormat, encryption: KeySerializationEncryption = NO_PASSWORD) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption)


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed(claims: dict[str, object], **header: str) -> str:
    return jwt.encode(claims, KEY, algorithm="RS512", headers=header or None)


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refusal(token: str, now: float = NOW) -> str:
    with pytest.raises(CommandError, match="signature") as caught:
        VERIFIER.verify(token, now)
    assert len(token) < 10 or token not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def recorded_verifier(tmp_path: Path) -> Verifier:
    path = tmp_path / "public.pem"
    path.write_text(RECORDED["public_key"])
    return Verifier(load_verification_key(path), "py")


class TestTokens:
    def test_what_is_signed_here_is_accepted_there(self) -> None:
        VERIFIER.verify(Signer(KEY, 300.0).token("bar", NOW), NOW + 299)

    def test_the_form_is_the_one_that_existing_nodes_check(self) -> None:
        header, claims, _ = Signer(KEY, 300.0).token("bar", NOW).split(".")
        assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "RS512", "typ": "JWT"}
        assert json.loads(base64.urlsafe_b64decode(claims + "==")) == {"aud": ["bar"], "exp": 1_700_000_300}

    def test_the_token_of_an_existing_node_is_accepted(self, recorded_verifier: Verifier) -> None:
        recorded_verifier.verify(RECORDED["command"]["signature"], now=1_795_460_076.0)

    def test_the_token_of_an_existing_node_expires(self, recorded_verifier: Verifier) -> None:
        with pytest.raises(CommandError, match="signature expired"):
            recorded_verifier.verify(RECORDED["command"]["signature"], now=1_795_460_078.0)

    def test_several_audiences(self) -> None:
        VERIFIER.verify(signed({"aud": ["foo", "bar"], "exp": NOW + 1}), NOW)

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            ({"exp": NOW + 1}, "aud"),
            ({"aud": ["bar"]}, "exp"),
            ({"aud": [], "exp": NOW + 1}, "aud"),
            ({"aud": ["foo"], "exp": NOW + 1}, "not meant for the node bar"),
            ({"aud": ["Bar", "barn"], "exp": NOW + 1}, "not meant for the node bar"),
            ({"aud": 7, "exp": NOW + 1}, "not meant for the node bar"),
            ({"aud": ["bar"], "exp": int(NOW)}, "expired"),
            ({"aud": ["bar"], "exp": -(10**300)}, "until when"),
            ({"aud": ["bar"], "exp": 10**400}, "until when"),
            ({"aud": ["bar"], "exp": float("inf")}, "until when"),
            ({"aud": ["bar"], "exp": float("nan")}, "until when"),
            ({"aud": ["bar"], "exp": True}, "until when"),
            ({"aud": ["bar"], "exp": "tomorrow"}, "until when"),
            ({"aud": ["bar"], "exp": None}, "exp"),
        ],
    )
    def test_claims_that_do_not_do(self, claims: dict[str, object], reason: str) -> None:
        assert reason in refusal(signed(claims))

    def test_none_is_no_algorithm(self) -> None:
        token = jwt.encode({"aud": ["bar"], "exp": NOW + 1}, "", algorithm="none")
        assert "RS512" in refusal(token)

    def test_the_public_key_is_no_shared_secret(self) -> None:
        """HS512 with the public key's text as secret: everybody could make that."""
        body = ".".join(
            base64url(json.dumps(part).encode())
            for part in ({"alg": "HS512", "typ": "JWT"}, {"aud": ["bar"], "exp": NOW + 1})
        )
        digest = hmac.digest(public_pem(KEY), body.encode(), hashlib.sha512)
        assert "RS512" in refusal(f"{body}.{base64url(digest)}")

    @pytest.mark.parametrize("algorithm", ["RS256", "RS384", "PS512"])
    def test_other_algorithms_of_the_same_key(self, algorithm: str) -> None:
        assert "RS512" in refusal(jwt.encode({"aud": ["bar"], "exp": NOW + 1}, KEY, algorithm=algorithm))

    def test_another_key(self) -> None:
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert "key that this node trusts" in refusal(Signer(other, 300.0).token("bar", NOW))

    def test_changed_claims(self) -> None:
        header, _, signature = Signer(KEY, 300.0).token("foo", NOW).split(".")
        claims = base64url(json.dumps({"aud": ["bar"], "exp": NOW + 1}).encode())
        assert "key that this node trusts" in refusal(f"{header}.{claims}.{signature}")

    def test_no_token(self) -> None:
        assert "--signwork" in refusal("")

    def test_a_token_that_is_too_large(self) -> None:
        assert "at most" in refusal(signed({"aud": ["bar"], "exp": NOW + 1, "pad": "x" * LARGEST_TOKEN}))

    @pytest.mark.parametrize(
        "token",
        [
            "a",
            "..",
            "\udc80",
            "é",
            base64url(b"[" * 12_000) + ".e30.e30",
            base64url(b'{"alg":["RS512"]}') + ".e30.e30",
            base64url(b'{"alg":{}}') + ".e30.e30",
            base64url(b'{"alg":"RS512","kid":7}') + ".e30.e30",
            base64url(b'{"alg":"RS512","b64":false,"crit":["b64"]}') + ".e30.e30",
            base64url(b"null") + ".e30.e30",
            base64url(b"\xff") + ".e30.e30",
        ],
    )
    def test_what_is_no_token(self, token: str) -> None:
        refusal(token)

    @given(st.text(max_size=60) | st.lists(st.binary(max_size=30).map(base64url), max_size=4).map(".".join))
    @settings(suppress_health_check=[HealthCheck.too_slow])
    def test_noise_is_refused(self, token: str) -> None:
        with pytest.raises(CommandError, match="signature"):
            VERIFIER.verify(token, NOW)


class TestKeys:
    @pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
    def test_both_forms_of_private_keys(self, tmp_path: Path, form: PrivateFormat) -> None:
        path = tmp_path / "private.pem"
        path.write_bytes(private_pem(KEY, form))
        VERIFIER.verify(Signer(load_signing_key(path), 1.0).token("bar", NOW), NOW)

    def test_the_public_key_in_pkix_form(self, tmp_path: Path) -> None:
        path = tmp_path / "public.pem"
        path.write_bytes(public_pem(KEY))
        Verifier(load_verification_key(path), "bar").verify(Signer(KEY, 1.0).token("bar", NOW), NOW)

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
