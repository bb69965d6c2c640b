"""Tokens of signed work."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Literal, get_args

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from fuzz.damage import Edit, edited, edits, json_values, noise, numbers, texts
from fuzz.fuzzing import target
from hypothesis import strategies as st

from receptor.errors import CommandError
from receptor.workceptor.tokens import ALGORITHM, Deed, Signer, Verifier
from receptor.workceptor.used_tokens import UsedTokens

NOW = 1_700_000_000.5
DEEDS = (Deed("submit", "echo", {"params": "a b"}), Deed("cancel", "abcd1234"))
PAYLOAD = hashlib.sha256(b"payload").hexdigest()
Part = Literal["header", "claims", "signature"]


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def good_token(deed: int) -> str:
    return Signer(key(), 300.0).token("bar", NOW, DEEDS[deed], PAYLOAD if deed == 0 else None)


def _damaged(deed: int, part: Part, damage: list[Edit], encoded: bool) -> str:
    """A good token with damage in one part, or in the text of one part."""
    parts = dict(zip(get_args(Part), good_token(deed).split("."), strict=True))
    if encoded:
        parts[part] = edited(parts[part].encode(), damage).decode(errors="replace")
    else:
        parts[part] = _base64(edited(base64.urlsafe_b64decode(parts[part] + "=="), damage))
    return ".".join(parts.values())


def _signed(claims: Mapping[str, object], deed: int | None) -> str:
    """A token of the right key with whatever claims."""
    body = dict(claims)
    if deed is not None:
        body["receptor"] = {"command": DEEDS[deed].digest(), "payload": PAYLOAD}
    try:
        return jwt.encode(body, key(), algorithm=ALGORITHM)
    except (TypeError, ValueError):  # PyJWT makes none of these
        return ""


def _made_up(header: Mapping[str, object], claims: Mapping[str, object], signature: bytes) -> str:
    return ".".join((_base64(json.dumps(header).encode()), _base64(json.dumps(claims).encode()), _base64(signature)))


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


audiences = st.sampled_from(["bar", ["bar"], ["foo", "bar"], "foo", [], ["Bar"]]) | json_values
claims = st.fixed_dictionaries(
    {},
    optional={
        "aud": audiences,
        "exp": st.sampled_from([NOW - 1, NOW + 1, 1_700_000_300, 2**53, 2**60, True]) | numbers,
        "jti": st.sampled_from(["x" * 16, "x" * 65, "x" * 15 + "\n", "é" * 16]) | json_values,
        "receptor": st.none() | json_values | st.fixed_dictionaries({"command": texts}),
        "nbf": json_values,
        "iat": json_values,
        "iss": json_values,
        "sub": json_values,
    },
)
headers = st.fixed_dictionaries(
    {"alg": st.sampled_from([ALGORITHM, "none", "HS512", "RS256", "PS512", ["RS512"], None])},
    optional={"typ": json_values, "kid": json_values, "crit": json_values, "b64": json_values, "jku": json_values},
)
deeds = st.sampled_from([0, 1])
tokens = st.one_of(
    st.builds(_damaged, deeds, st.sampled_from(get_args(Part)), edits, st.booleans()),
    st.builds(_signed, claims, st.none() | deeds),
    st.builds(_made_up, headers, claims, noise),
    st.text(),
)


@target("tokens", 400, tokens, deeds, st.booleans())
def tokens_target(token: str, asked: int, accept_unbound: bool) -> None:
    """A token that is accepted was signed for this node and not too long ago; if bound, for this deed, and once."""
    verifier = Verifier(key().public_key(), "bar", UsedTokens(None), accept_unbound=accept_unbound)
    try:
        payload_digest = verifier.verify(token, NOW, DEEDS[asked])
    except CommandError as error:
        assert "signature" in str(error)  # noqa: PT017 (both ways are right)
        assert len(token) < 20 or token not in str(error)  # noqa: PT017
        assert token != good_token(asked)
        return
    found = jwt.decode(token, key().public_key(), algorithms=["RS512"], options=_SIGNATURE_ONLY)
    assert "bar" in found["aud"]
    assert found["exp"] > NOW
    if "receptor" not in found:
        assert accept_unbound
        assert payload_digest is None
        return
    assert found["receptor"]["command"] == DEEDS[asked].digest()
    assert payload_digest == found["receptor"].get("payload")
    assert asked != 0 or payload_digest is not None
    try:
        verifier.verify(token, NOW, DEEDS[asked])
    except CommandError:
        return
    raise AssertionError("it was accepted twice")


_SIGNATURE_ONLY: jwt.types.Options = {
    "verify_aud": False,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
