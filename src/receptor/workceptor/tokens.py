"""Signed work: a token that shows who asks, and for what; made here and checked there (work-units, "Signed work").

A token is a JSON web token with the header ``{"alg":"RS512","typ":"JWT"}``. Existing nodes make and look at the
claims ``{"aud":["<target node>"],"exp":<unix seconds>}``. Ours *bind* theirs to one command: they add ``jti``, a
unique id, and what the token is for, which existing nodes ignore::

    "receptor": {"command": "<SHA-256 of the deed>", "payload": "<SHA-256 of the payload, for a submit>"}

There is no ``iat``: existing nodes refuse a token that was issued by a clock which is a second ahead of theirs.
The clock is an argument here.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from receptor.errors import NotAllowed
from receptor.workceptor.files import operating_errors
from receptor.workceptor.used_tokens import TOKEN_ID, UsedTokens

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

ALGORITHM = "RS512"
LARGEST_TOKEN = 16 * 1024
"""Bytes of the largest token that is looked at."""
LONGEST_LIFE = 7 * 86400.0
"""Seconds that a bound token is good for at most. It is made for a command at hand: only clocks may be apart."""

_CLOCKS_APART = 86400.0
_LATEST = 2**53
_BINDING = "receptor"


@dataclass(frozen=True, slots=True)
class Deed:
    """What a token is for. Both nodes must describe a command with the very same deed."""

    command: Literal["submit", "results", "cancel", "release", "force-release"]
    subject: str
    """The work type of a submit, else the unit's id on the node that carries the command out."""
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Those of the work that is submitted."""

    def digest(self) -> str:
        """SHA-256, in hex, of a text that no other deed has."""
        text = json.dumps([self.command, self.subject, sorted(self.parameters.items())])
        return hashlib.sha256(text.encode()).hexdigest()


def submit_deed(work_type: str, parameters: Mapping[str, str], idempotency_key: str, name: str = "") -> Deed:
    """The deed of a submit; ``name`` is the one of the unit."""
    named = {"unitname": name} if name else {}
    return Deed("submit", work_type, {**parameters, **named, "idempotencykey": idempotency_key})


def file_digest(path: Path) -> str:
    """SHA-256, in hex, of a file: a payload to sign. Blocks: call it in a worker thread. Raises OperatingError."""
    with operating_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Signer:
    """Makes tokens that the holders of the public key accept.

    ``expiration`` is how many seconds a token is good for, though never longer than LONGEST_LIFE.
    """

    def __init__(self, key: RSAPrivateKey, expiration: float) -> None:
        self._key = key
        self._expiration = min(expiration, LONGEST_LIFE)

    def token(self, audience: str, now: float, deed: Deed, payload_digest: str | None) -> str:
        """A token for that deed, once, on the node ``audience``; ``now`` is in unix seconds.

        ``payload_digest`` is the SHA-256 of a submit's payload in hex, None for all other deeds. The token is a
        secret: never log it.
        """
        import jwt

        binding = {"command": deed.digest()}
        if payload_digest is not None:
            binding["payload"] = payload_digest
        claims = {
            "aud": [audience],
            "exp": int(now + self._expiration),
            "jti": secrets.token_urlsafe(16),
            _BINDING: binding,
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)


class _Binding(msgspec.Struct, frozen=True):
    command: str
    payload: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")] | None = None


class _Bound(msgspec.Struct, frozen=True):
    jti: Annotated[str, msgspec.Meta(pattern=rf"\A{TOKEN_ID}\Z")]
    receptor: _Binding


class Verifier:
    """Checks tokens that came with commands for this node.

    ``used`` remembers the bound ones. ``accept_unbound`` says whether tokens that are bound to no command, as
    existing nodes make them, are good too: for every command, and until they expire.
    """

    def __init__(self, key: RSAPublicKey, node_id: str, used: UsedTokens, *, accept_unbound: bool = True) -> None:
        self.used = used
        self._key = key
        self._node_id = node_id
        self._accept_unbound = accept_unbound

    def verify(self, token: str, now: float, deed: Deed) -> str | None:
        """Accept the token for that deed or raise NotAllowed; ``now`` is in unix seconds.

        Returns the SHA-256 in hex that the payload must turn out to have, which a bound token for a submit always
        says; None if there is nothing to check. The error says why, holds the word ``signature`` and nothing of the
        token.

        It touches no file, so call it in the event loop. Once accepted, a bound token is used, whatever becomes of
        the command: two calls can't both accept it. That this outlives a restart is up to the caller: before he does
        anything on the strength of the token he runs ``verifier.used.save`` in a worker thread, and refuses the
        command if that raises OperatingError.
        """
        claims = self._claims(token)
        expires = _expiry(claims, now)
        if _BINDING in claims:
            return self._use(_bound(claims), expires, now, deed)
        if not self._accept_unbound:
            raise NotAllowed(
                "the signature is not bound to the command, as this node demands (acceptunbound: false);"
                " sign with a node that does it"
            )
        return None

    def _use(self, bound: _Bound, expires: float, now: float, deed: Deed) -> str | None:
        if bound.receptor.command != deed.digest():
            raise NotAllowed("the signature is for another command, work type, unit or other parameters; sign again")
        if deed.command == "submit" and bound.receptor.payload is None:
            raise NotAllowed("the signature is for work without saying for which payload; sign again")
        if expires > now + LONGEST_LIFE + _CLOCKS_APART:
            raise NotAllowed(
                f"the signature is good for more than {LONGEST_LIFE / 86400:.0f} days, too long to remember it;"
                " lower tokenexpiration, and compare the nodes' clocks"
            )
        self.used.reserve(bound.jti, expires, now)
        return bound.receptor.payload

    def _claims(self, token: str) -> dict[str, object]:
        """The claims of a token that was signed with the right key for this node."""
        import jwt

        if not token:
            raise NotAllowed("this work needs a signature, and the command has none; submit it with --signwork")
        if len(token) > LARGEST_TOKEN or not token.isascii():
            raise NotAllowed(f"the signature is not a token of at most {LARGEST_TOKEN} ASCII characters")
        # PyJWT reads the wall clock for the claims of time, so these are left to ``verify``. Deep nesting in
        # the header, which comes before any check of the key, ends in RecursionError.
        options: jwt.types.Options = {
            "require": ["exp", "aud"],
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
        }
        try:
            return jwt.decode(token, self._key, algorithms=[ALGORITHM], audience=self._node_id, options=options)
        except jwt.InvalidAlgorithmError as error:
            raise NotAllowed(f"the signature is not of the algorithm {ALGORITHM}") from error
        except jwt.InvalidSignatureError as error:
            raise NotAllowed("the signature was not made with the key that this node trusts") from error
        except jwt.MissingRequiredClaimError as error:
            raise NotAllowed(f"the signature lacks the claim {error.claim}") from error
        except jwt.InvalidAudienceError as error:
            raise NotAllowed(f"the signature is not meant for the node {self._node_id}") from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise NotAllowed("the signature is not a well-formed token") from error


def _expiry(claims: dict[str, object], now: float) -> float:
    """Until when the token is good, in unix seconds."""
    expires = claims.get("exp")
    if isinstance(expires, bool) or not isinstance(expires, (int, float)) or not 0 <= expires <= _LATEST:
        raise NotAllowed("the signature does not say until when it is good")
    if expires <= now:
        raise NotAllowed(
            f"the signature expired {int(now - expires)} seconds ago; sign again, and compare the nodes' clocks"
        )
    return expires


def _bound(claims: dict[str, object]) -> _Bound:
    try:
        return msgspec.convert(claims, _Bound)
    except msgspec.ValidationError as error:
        raise NotAllowed("the signature is bound to a command in a form that this node does not know") from error
