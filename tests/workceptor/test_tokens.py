from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from receptor.errors import CommandError, OperatingError
from receptor.workceptor.tokens import LARGEST_TOKEN, LONGEST_LIFE, Deed, Signer, Verifier, file_digest
from receptor.workceptor.used_tokens import UsedTokens

NOW = 1_700_000_000.5
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SIGNER = Signer(KEY, 300.0)
RECORDED = json.loads((Path(__file__).parent.parent / "data" / "signed-submit.json").read_text())

SUBMIT = Deed("submit", "echo", {"params": "a b"})
CANCEL = Deed("cancel", "abcd1234")
PAYLOAD = hashlib.sha256(b"payload").hexdigest()

TEXT = st.text('ab",:[]{}\\é\0', max_size=4)
DEEDS = st.builds(
    Deed,
    st.sampled_from(("submit", "results", "cancel", "release", "force-release")),
    TEXT,
    st.dictionaries(TEXT, TEXT, max_size=3),
)


def verifier(used: UsedTokens | None = None, *, accept_unbound: bool = True) -> Verifier:
    return Verifier(KEY.public_key(), "bar", used or UsedTokens(None), accept_unbound=accept_unbound)


def signed(claims: dict[str, object], **header: str) -> str:
    return jwt.encode(claims, KEY, algorithm="RS512", headers=header or None)


def bound_claims(deed: Deed = CANCEL) -> dict[str, object]:
    """What our own nodes put into a token."""
    return claims_of(SIGNER.token("bar", NOW, deed, None))


def claims_of(token: str) -> dict[str, object]:
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refusal(token: str, now: float = NOW, deed: Deed = SUBMIT, at: Verifier | None = None) -> str:
    with pytest.raises(CommandError, match="signature") as caught:
        (at or verifier()).verify(token, now, deed)
    assert len(token) < 10 or not any(part and part in str(caught.value) for part in token.split(".") if len(part) > 3)
    return str(caught.value)


class TestDeeds:
    @given(DEEDS, DEEDS)
    def test_deeds_that_differ_in_anything_have_different_digests(self, one: Deed, other: Deed) -> None:
        assert (one == other) == (one.digest() == other.digest())

    def test_what_could_be_taken_for_each_other(self) -> None:
        deeds = [
            Deed("submit", "a"),
            Deed("cancel", "a"),
            Deed("release", "a"),
            Deed("force-release", "a"),
            Deed("results", "a"),
            Deed("submit", "ab"),
            Deed("submit", "a", {"": ""}),
            Deed("submit", "a", {"b": "c"}),
            Deed("submit", "a", {"c": "b"}),
            Deed("submit", "a", {"b": "c", "d": "e"}),
            Deed("submit", "a", {"b": "e", "d": "c"}),
            Deed("submit", "a", {"b": 'c", "d": "e'}),
        ]
        assert len({deed.digest() for deed in deeds}) == len(deeds)

    @given(st.dictionaries(TEXT, TEXT), st.randoms())
    def test_the_order_of_parameters_does_not_matter(self, parameters: dict[str, str], rng: random.Random) -> None:
        pairs = list(parameters.items())
        rng.shuffle(pairs)
        assert Deed("submit", "a", dict(pairs)).digest() == Deed("submit", "a", parameters).digest()

    def test_its_text_holds_no_secret(self) -> None:
        assert "hush" not in repr(Deed("submit", "a", {"secret_a": "hush"}))

    def test_the_digest_of_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "stdin"
        path.write_bytes(b"payload")
        assert file_digest(path) == PAYLOAD
        with pytest.raises(OperatingError, match="nosuch"):
            file_digest(tmp_path / "nosuch")


class TestTokensOfOurOwn:
    def test_what_is_signed_here_is_accepted_there(self) -> None:
        token = SIGNER.token("bar", NOW, SUBMIT, PAYLOAD)
        assert verifier(accept_unbound=False).verify(token, NOW + 299, SUBMIT) == PAYLOAD

    @pytest.mark.parametrize(
        "deed",
        [Deed("results", "abcd1234"), CANCEL, Deed("release", "abcd1234"), Deed("force-release", "abcd1234")],
        ids=lambda deed: deed.command,
    )
    def test_commands_without_payload(self, deed: Deed) -> None:
        assert verifier().verify(SIGNER.token("bar", NOW, deed, None), NOW, deed) is None

    def test_the_form_is_one_that_existing_nodes_take(self) -> None:
        """They demand no more than ``aud`` and ``exp``; they would compare ``iat`` with their own clock."""
        header, claims, _ = SIGNER.token("bar", NOW, SUBMIT, PAYLOAD).split(".")
        assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "RS512", "typ": "JWT"}
        found = json.loads(base64.urlsafe_b64decode(claims + "=="))
        assert isinstance(found.pop("jti"), str)
        assert found == {
            "aud": ["bar"],
            "exp": 1_700_000_300,
            "receptor": {"command": SUBMIT.digest(), "payload": PAYLOAD},
        }

    @pytest.mark.parametrize(
        "other",
        [
            Deed("cancel", "echo", {"params": "a b"}),
            Deed("submit", "cat", {"params": "a b"}),
            Deed("submit", "echo", {"params": "a c"}),
            Deed("submit", "echo", {"params": "a b", "more": ""}),
            Deed("submit", "echo"),
        ],
        ids=["command", "type", "parameter", "another parameter", "no parameters"],
    )
    def test_they_are_for_nothing_else(self, other: Deed) -> None:
        at = verifier()
        token = SIGNER.token("bar", NOW, SUBMIT, PAYLOAD)
        assert "for another command" in refusal(token, deed=other, at=at)
        assert at.verify(token, NOW, SUBMIT) == PAYLOAD

    def test_they_are_for_one_unit(self) -> None:
        token = SIGNER.token("bar", NOW, CANCEL, None)
        assert "for another command" in refusal(token, deed=Deed("cancel", "abcd1235"))
        assert "for another command" in refusal(token, deed=Deed("release", "abcd1234"))

    def test_a_release_is_no_forced_one(self) -> None:
        token = SIGNER.token("bar", NOW, Deed("release", "abcd1234"), None)
        assert "for another command" in refusal(token, deed=Deed("force-release", "abcd1234"))

    def test_they_are_good_once(self) -> None:
        at = verifier()
        token = SIGNER.token("bar", NOW, CANCEL, None)
        at.verify(token, NOW, CANCEL)
        assert "used before" in refusal(token, deed=CANCEL, at=at)
        at.verify(SIGNER.token("bar", NOW, CANCEL, None), NOW, CANCEL)
        assert "expired" in refusal(token, NOW + 300, CANCEL, at)

    def test_they_are_good_once_over_a_restart(self, tmp_path: Path) -> None:
        path = tmp_path / "used"
        token = SIGNER.token("bar", NOW, CANCEL, None)
        at = verifier(UsedTokens(path))
        at.verify(token, NOW, CANCEL)
        at.used.save()
        for _ in range(2):
            used = UsedTokens(path)
            used.load(NOW + 1)
            assert "used before" in refusal(token, NOW + 2, CANCEL, verifier(used))

    def test_the_id_counts_not_the_rest(self) -> None:
        at = verifier()
        claims = bound_claims()
        at.verify(signed(claims), NOW, CANCEL)
        assert "used before" in refusal(signed({**claims, "exp": int(NOW) + 400}), deed=CANCEL, at=at)

    def test_work_without_the_digest_of_its_payload_is_refused(self) -> None:
        assert "which payload" in refusal(SIGNER.token("bar", NOW, SUBMIT, None))

    @pytest.mark.parametrize(
        "changed",
        [
            {"jti": None},
            {"jti": "short"},
            {"jti": "x" * 65},
            {"jti": "white space and such"},
            {"jti": "0123456789abcdef\n"},
            {"receptor": None},
            {"receptor": "x"},
            {"receptor": {}},
            {"receptor": {"command": 7}},
            {"receptor": {"command": SUBMIT.digest(), "payload": "x"}},
            {"receptor": {"command": SUBMIT.digest(), "payload": PAYLOAD + "\n"}},
            {"receptor": {"command": SUBMIT.digest(), "payload": PAYLOAD.upper()}},
        ],
    )
    def test_another_form_of_binding_is_no_binding_at_all(self, changed: dict[str, object]) -> None:
        reason = refusal(signed({**bound_claims(SUBMIT), **changed}))
        assert "form that this node does not know" in reason or "well-formed" in reason

    def test_a_binding_without_id(self) -> None:
        claims = bound_claims()
        del claims["jti"]
        assert "form that this node does not know" in refusal(signed(claims), deed=CANCEL)

    def test_however_long_the_configured_expiration_their_life_is_bounded(self) -> None:
        token = Signer(KEY, 1e9).token("bar", NOW, CANCEL, None)
        assert claims_of(token)["exp"] == int(NOW + LONGEST_LIFE)
        verifier().verify(token, NOW - 3600, CANCEL)

    def test_a_longer_life_is_refused(self) -> None:
        claims = {**bound_claims(), "exp": int(NOW + LONGEST_LIFE) + 86_500}
        assert "more than 7 days" in refusal(signed(claims), deed=CANCEL)

    def test_when_no_more_can_be_remembered(self) -> None:
        at = verifier(UsedTokens(None, most=1))
        at.verify(SIGNER.token("bar", NOW, CANCEL, None), NOW, CANCEL)
        assert "can't be accepted now" in refusal(SIGNER.token("bar", NOW, CANCEL, None), deed=CANCEL, at=at)


class TestTokensOfExistingNodes:
    @pytest.fixture
    def key(self) -> RSAPublicKey:
        key = load_pem_public_key(RECORDED["public_key"].encode())
        assert isinstance(key, RSAPublicKey)
        return key

    def test_they_are_accepted_for_everything_again_and_again(self, key: RSAPublicKey) -> None:
        at = Verifier(key, "py", UsedTokens(None))
        for deed in (SUBMIT, CANCEL, SUBMIT):
            assert at.verify(RECORDED["command"]["signature"], 1_795_460_076.0, deed) is None

    def test_they_expire(self, key: RSAPublicKey) -> None:
        reason = refusal(RECORDED["command"]["signature"], 1_795_460_078.0, at=Verifier(key, "py", UsedTokens(None)))
        assert "signature expired" in reason

    def test_they_are_refused_where_tokens_must_be_bound(self, key: RSAPublicKey) -> None:
        strict = Verifier(key, "py", UsedTokens(None), accept_unbound=False)
        assert "acceptunbound" in refusal(RECORDED["command"]["signature"], 1_795_460_076.0, at=strict)

    def test_an_id_alone_binds_to_nothing(self) -> None:
        token = signed({"aud": ["bar"], "exp": NOW + 1, "jti": "0123456789abcdef"})
        at = verifier()
        for deed in (SUBMIT, CANCEL):
            assert at.verify(token, NOW, deed) is None
        assert "acceptunbound" in refusal(token, at=verifier(accept_unbound=False))

    def test_several_audiences(self) -> None:
        verifier().verify(signed({"aud": ["foo", "bar"], "exp": NOW + 1}), NOW, SUBMIT)

    def test_for_how_long_does_not_matter(self) -> None:
        verifier().verify(signed({"aud": ["bar"], "exp": NOW + 1e9}), NOW, SUBMIT)


class TestRefusals:
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
        binding = {name: value for name, value in bound_claims().items() if name not in ("aud", "exp")}
        assert reason in refusal(signed(claims))
        assert reason in refusal(signed({**binding, **claims}), deed=CANCEL)

    def test_none_is_no_algorithm(self) -> None:
        token = jwt.encode({"aud": ["bar"], "exp": NOW + 1}, "", algorithm="none")
        assert "RS512" in refusal(token)

    def test_the_public_key_is_no_shared_secret(self) -> None:
        """HS512 with the public key's text as secret: everybody could make that."""
        body = ".".join(
            base64url(json.dumps(part).encode())
            for part in ({"alg": "HS512", "typ": "JWT"}, {"aud": ["bar"], "exp": NOW + 1})
        )
        pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        digest = hmac.digest(pem, body.encode(), hashlib.sha512)
        assert "RS512" in refusal(f"{body}.{base64url(digest)}")

    @pytest.mark.parametrize("algorithm", ["RS256", "RS384", "PS512"])
    def test_other_algorithms_of_the_same_key(self, algorithm: str) -> None:
        assert "RS512" in refusal(jwt.encode({"aud": ["bar"], "exp": NOW + 1}, KEY, algorithm=algorithm))

    def test_another_key(self) -> None:
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert "key that this node trusts" in refusal(Signer(other, 300.0).token("bar", NOW, SUBMIT, PAYLOAD))

    def test_another_node(self) -> None:
        assert "not meant for the node bar" in refusal(SIGNER.token("foo", NOW, SUBMIT, PAYLOAD))

    def test_changed_claims(self) -> None:
        header, _, signature = SIGNER.token("bar", NOW, SUBMIT, PAYLOAD).split(".")
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
            verifier().verify(token, NOW, SUBMIT)
