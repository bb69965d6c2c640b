"""Signed work: a token that shows who asks, made here and checked there (work-units, "Signed work").

The token is a JSON web token with the header ``{"alg":"RS512","typ":"JWT"}`` and the claims
``{"aud":["<target node>"],"exp":<unix seconds>}``. The clock is an argument; only the loaders read files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from receptor.errors import CommandError, ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

ALGORITHM = "RS512"
LARGEST_TOKEN = 16 * 1024
"""Bytes of the largest token that is looked at."""
SMALLEST_KEY = 2048
"""Bits of the smallest key that is accepted."""

_LARGEST_KEY_FILE = 1024 * 1024
_LATEST = 2**53


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


class Signer:
    """Makes tokens that the holders of the public key accept.

    ``expiration`` is how many seconds a token is good for.
    """

    def __init__(self, key: RSAPrivateKey, expiration: float) -> None:
        self._key = key
        self._expiration = expiration

    def token(self, audience: str, now: float) -> str:
        """A token for the node ``audience``; ``now`` is in unix seconds. It is a secret: never log it."""
        import jwt

        claims = {"aud": [audience], "exp": int(now + self._expiration)}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)


class Verifier:
    """Checks tokens that came with commands for this node."""

    def __init__(self, key: RSAPublicKey, node_id: str) -> None:
        self._key = key
        self._node_id = node_id

    def verify(self, token: str, now: float) -> None:
        """Accept the token or raise CommandError; ``now`` is in unix seconds.

        The message says why, holds the word ``signature`` and nothing of the token.
        """
        if not token:
            raise CommandError("this work needs a signature, and the command has none; submit it with --signwork")
        if len(token) > LARGEST_TOKEN or not token.isascii():
            raise CommandError(f"the signature is not a token of at most {LARGEST_TOKEN} ASCII characters")
        claims = self._claims(token)
        expires = claims.get("exp")
        if isinstance(expires, bool) or not isinstance(expires, (int, float)) or not 0 <= expires <= _LATEST:
            raise CommandError("the signature does not say until when it is good")
        if expires <= now:
            raise CommandError(
                f"the signature expired {int(now - expires)} seconds ago; sign again, and compare the nodes' clocks"
            )

    def _claims(self, token: str) -> dict[str, object]:
        """The claims of a token that was signed with the right key for this node."""
        import jwt

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
            raise CommandError(f"the signature is not of the algorithm {ALGORITHM}") from error
        except jwt.InvalidSignatureError as error:
            raise CommandError("the signature was not made with the key that this node trusts") from error
        except jwt.MissingRequiredClaimError as error:
            raise CommandError(f"the signature lacks the claim {error.claim}") from error
        except jwt.InvalidAudienceError as error:
            raise CommandError(f"the signature is not meant for the node {self._node_id}") from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise CommandError("the signature is not a well-formed token") from error


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
