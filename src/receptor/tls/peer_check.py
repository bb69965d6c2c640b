"""Whom a secured stream trusts: the far end's certificate, who vouches for it, and the node that it names.

Signatures and paths are the work of cryptography's verifier; the rules are RFC 5280's as Go's TLS reads them, so
that certificates which serve existing meshes serve here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    VerificationError,
)

from receptor.certificates.node_names import extensions_of, node_ids
from receptor.errors import PeerError
from receptor.tls.authorities import Authorities, SystemAuthorities
from receptor.tls.clock import Clock, utc_now
from receptor.tls.pins import check_pins

MOST_CERTIFICATES = 10
"""In one chain."""

LARGEST_CHAIN = 32 * 1024
"""Bytes of the certificates in one chain: enough for six of the largest RSA keys in use."""

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_PURPOSES = {SERVER: "servers", CLIENT: "clients"}

_MALFORMED = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class PeerRules:
    """What a far end must prove.

    ``purpose`` is what its certificate is used for, SERVER or CLIENT. ``authorities`` None: nobody need vouch for it,
    and it may be any node; then only the pins count.
    """

    purpose: x509.ObjectIdentifier
    authorities: Authorities | SystemAuthorities | None
    pins: frozenset[bytes] = frozenset()
    now: Clock = utc_now

    def check(self, chain: Sequence[bytes], node_id: str) -> None:
        """A PeerCheck; takes about a tenth of a millisecond for a chain of one."""
        if not chain:
            raise PeerError("it showed no certificate")
        check_pins(chain[0], self.pins)
        if self.authorities is None:
            return
        if len(chain) > MOST_CERTIFICATES or sum(map(len, chain)) > LARGEST_CHAIN:
            raise PeerError(
                f"it showed more certificates than anybody needs ({len(chain)}; "
                f"at most {MOST_CERTIFICATES} with {LARGEST_CHAIN} bytes)"
            )
        try:
            certificate, *issuers = map(x509.load_der_x509_certificate, chain)
            names = node_ids(certificate)
            self._check_itself(certificate)
            self._check_issuers(certificate, _without_alternatives(issuers))
        except _MALFORMED as error:
            raise PeerError(f"a certificate of it is malformed: {_shown(str(error))}") from error
        if node_id not in names:
            raise PeerError(f"its certificate is for {_nodes(names)}, not {_shown(node_id)}")

    def _check_itself(self, certificate: x509.Certificate) -> None:
        now = self.now()
        if now > certificate.not_valid_after_utc:
            raise PeerError(f"its certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d at %H:%M} UTC")
        if now < certificate.not_valid_before_utc:
            begin = certificate.not_valid_before_utc
            raise PeerError(f"its certificate is not valid before {begin:%Y-%m-%d at %H:%M} UTC; compare the clocks")
        for extension in extensions_of(certificate):
            match extension.value:
                case x509.ExtendedKeyUsage() as usages:
                    if not self._serves(usages):
                        raise PeerError(f"its certificate is not meant for {_PURPOSES[self.purpose]}")
                case x509.KeyUsage() as usage:
                    # TLS 1.3 has the owner sign with the key (RFC 8446, section 4.4.2.2).
                    if not usage.digital_signature:
                        raise PeerError("its certificate's key is not meant for signatures")

    def _check_issuers(self, certificate: x509.Certificate, issuers: list[x509.Certificate]) -> None:
        store = self.authorities.store if self.authorities else None
        if store is None:
            raise PeerError("this node's system trusts nobody; name authorities in 'rootcas' or 'clientcas'")
        policy = (
            PolicyBuilder()
            .store(store)
            .time(self.now())
            .extension_policies(ca_policy=self._policy_for_authorities(), ee_policy=ExtensionPolicy.permit_all())
        )
        try:
            # The verifier for clients is the one that asks for no DNS name: streams are to nodes.
            policy.build_client_verifier().verify(certificate, issuers)
        except VerificationError as error:
            raise PeerError(
                "nobody whom this node trusts vouches for its certificate "
                f"(issuer {_shown(certificate.issuer.rfc4514_string())}){_reason(error)}"
            ) from error

    def _policy_for_authorities(self) -> ExtensionPolicy:
        """Beside what the verifier itself sees to: signatures, validity, path length, names, unknown extensions."""

        def check_key(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
            if usage and not usage.key_cert_sign:
                raise ValueError("an issuer's key is not meant for certificates")

        def check_purposes(policy: Policy, certificate: x509.Certificate, usages: x509.ExtendedKeyUsage | None) -> None:
            if usages and not self._serves(usages):
                raise ValueError(f"an issuer may not vouch for {_PURPOSES[self.purpose]}")

        return (
            ExtensionPolicy.permit_all()
            .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)  # It must say that it is one.
            .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, check_key)
            .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, check_purposes)
        )

    def _serves(self, usages: x509.ExtendedKeyUsage) -> bool:
        return self.purpose in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _without_alternatives(issuers: list[x509.Certificate]) -> list[x509.Certificate]:
    """Of certificates for the same authority the first.

    Each alternative multiplies the paths to try, for which cryptography has no limit before 49.
    """
    found: dict[tuple[bytes, bytes], x509.Certificate] = {}
    for issuer in issuers:
        key = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        found.setdefault((issuer.subject.public_bytes(), key), issuer)
    return list(found.values())


def _nodes(names: Sequence[str]) -> str:
    if not names:
        return "no node"
    return f"node{'s' if len(names) > 1 else ''} {_shown(', '.join(names))}"


def _reason(error: VerificationError) -> str:
    """What the verifier says beyond that it found no issuer; without the text that it puts around that."""
    text = str(error).partition(" (encountered processing")[0]
    for around in ("validation failed: ", "candidates exhausted: ", "Python extension validator failed: ValueError: "):
        text = text.removeprefix(around)
    return "" if text.startswith("all candidates exhausted") else f": {_shown(text)}"


def _shown(text: str) -> str:
    """The beginning of what a stranger wrote, on one line."""
    begin = text[:_LONGEST_SHOWN]
    readable = "".join(char if char.isprintable() else "?" for char in begin)
    return readable if begin == text else f"{readable}..."
