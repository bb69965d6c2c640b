"""Who gets in by TLS, and who does not."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest
from fuzz.quic_targets import Fate, RoughWire
from played_handshakes import (
    LISTENERS_PROOF,
    Message,
    certificate,
    certificates_of,
    finished,
    handshake_message,
    playing_dialer,
    proof,
    raw,
)
from qh3 import tls
from qh3._hazmat import Buffer
from qh3.tls import SignatureAlgorithm
from quic_bench import Stranger, Wire, accept, strange_listener
from shown_certificates import KINDS, Shown, TrustInCa, dialer, key_of_kind, listener, pem_of, shown_by, signed
from simulation import credentials

from receptor.netceptor.qh3_handshakes import (
    LARGEST_MESSAGE,
    MOST_CERTIFICATES,
    AskingListenerHandshake,
    DialerHandshake,
    Handshake,
)
from receptor.netceptor.quic import HANDSHAKE_TIMEOUT, StreamConnection
from receptor.netceptor.stream_events import Broken, Opened, Received
from receptor.netceptor.stream_security import DialerSecurity, ListenerSecurity

NOT_ACCEPTED = "the far end's certificate is not accepted: "
BROKEN = "the far end broke the TLS handshake: "
FAR_END_GAVE_UP = "the far end gave up the TLS handshake: "


def problems(happened: list[object]) -> list[str | None]:
    return [event.problem for event in happened if isinstance(event, Broken)]


def problem_of(wire: Wire, end: object) -> str:
    """Why this end has not opened."""
    wire.wait(HANDSHAKE_TIMEOUT + 20.0)
    happened = wire.happened[end]  # type: ignore[index]
    assert not [event for event in happened if isinstance(event, Opened | Received)]
    (problem,) = problems(happened)
    assert problem is not None
    return problem


def wire_between(
    dialer: DialerSecurity | None, listener: ListenerSecurity | None, node: str = "us", target: str = "them"
) -> Wire:
    """A dialer on the node ``node`` that dials the node ``target``, and our listener."""
    wire = Wire(
        StreamConnection.dial(node, target, 0.0, dialer),
        lambda first: accept(first, listener, dialer=node),
    )
    wire.wait(0.01)
    return wire


def assert_open(wire: Wire) -> None:
    assert isinstance(wire.dialer, StreamConnection)
    wire.dialer.write(b"hello")
    wire.wait(0.01)
    assert wire.happened[wire.dialer] == [Opened()]
    assert wire.happened[wire.listener] == [Opened(), Received(b"hello")]


# Both ends are ours


@pytest.mark.parametrize("kind", KINDS)
def test_both_ends_prove_who_they_are_with_any_kind_of_key(kind: str) -> None:
    ours, theirs = TrustInCa(), TrustInCa()
    wire = wire_between(dialer(ours, shown_by("us", kind)), listener(shown_by("them", kind), theirs))
    assert_open(wire)
    assert ours.asked == [(1, "them")]
    assert theirs.asked == [(1, "us")]


@pytest.mark.parametrize("node", ["a:b", "::1", "n" * 200, "nœud", "a b"])
def test_any_node_id_can_be_proved(node: str) -> None:
    ours, theirs = TrustInCa(), TrustInCa()
    security = listener(shown_by(node), theirs)
    wire = wire_between(dialer(ours, shown_by(node)), security, node=node, target=node)
    assert_open(wire)
    assert ours.asked == theirs.asked == [(1, node)]


def test_a_listener_that_does_not_ask_learns_nothing_of_the_dialer() -> None:
    wire = wire_between(dialer(TrustInCa(), shown_by("us")), listener(shown_by("them")))
    assert_open(wire)


def test_a_listener_may_accept_who_shows_no_certificate() -> None:
    def anybody(chain: object, _node: str) -> None:
        assert chain == []

    shown = shown_by("them")
    wire = wire_between(dialer(TrustInCa()), ListenerSecurity(shown.certificate, shown.key, anybody))
    assert_open(wire)


@pytest.mark.parametrize(
    ("shown", "reason", "alert"),
    [
        (None, "it has shown none", "it wants a certificate, and this node has shown none (alert 116)"),
        (
            shown_by("us", ca=1),
            "another CA has signed it",
            "it does not accept the certificate of this node; its log says why (alert 42)",
        ),
        (
            shown_by("me"),
            "it is not for us",
            "it does not accept the certificate of this node; its log says why (alert 42)",
        ),
        (
            shown_by("us", days=-1),
            "it has expired",
            "it does not accept the certificate of this node; its log says why (alert 42)",
        ),
    ],
    ids=["no certificate", "another CA", "wrong id", "expired"],
)
def test_a_dialer_that_is_not_accepted_hears_so_and_never_opens(shown: Shown | None, reason: str, alert: str) -> None:
    wire = wire_between(dialer(TrustInCa(), shown), listener(shown_by("them"), TrustInCa()))
    assert problem_of(wire, wire.listener) == NOT_ACCEPTED + reason
    assert problem_of(wire, wire.dialer) == FAR_END_GAVE_UP + alert


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (shown_by("them", ca=1), "another CA has signed it"),
        (shown_by("us"), "it is not for them"),
        (shown_by("them", days=-1), "it has expired"),
    ],
    ids=["another CA", "wrong id", "expired"],
)
def test_a_listener_that_is_not_accepted_learns_nothing_of_the_dialer(shown: Shown, reason: str) -> None:
    theirs = TrustInCa()
    wire = wire_between(dialer(TrustInCa(), shown_by("us")), listener(shown, theirs))
    assert problem_of(wire, wire.dialer) == NOT_ACCEPTED + reason
    assert "does not accept" in problem_of(wire, wire.listener)
    assert theirs.asked == []


def test_secured_and_unsecured_ends_do_not_meet() -> None:
    for security in (listener(shown_by("them")), listener(shown_by("them"), TrustInCa())):
        wire = wire_between(None, security)
        assert (
            problem_of(wire, wire.dialer) == "insecure connection to secure service: it wants TLS, so name a tls-client"
        )
        assert problem_of(wire, wire.listener).startswith(FAR_END_GAVE_UP)
    wire = wire_between(dialer(TrustInCa(), shown_by("us")), None)
    assert problem_of(wire, wire.dialer).startswith("the service has no TLS")


def test_a_check_that_fails_otherwise_lets_nobody_in() -> None:
    def breaks(_chain: object, _node: str) -> None:
        raise ZeroDivisionError("a mistake")

    shown = shown_by("them")
    wire = wire_between(dialer(TrustInCa(), shown_by("us")), ListenerSecurity(shown.certificate, shown.key, breaks))
    assert "a mistake" in problem_of(wire, wire.listener)
    assert "a mistake" not in problem_of(wire, wire.dialer), "it could tell strangers anything"
    wire = wire_between(DialerSecurity(breaks), listener(shown_by("them")))
    assert "a mistake" in problem_of(wire, wire.dialer)
    assert "a mistake" not in problem_of(wire, wire.listener)


# Size and loss

BIG = 2500


@pytest.mark.parametrize("kind", ["P-256", "RSA 2048"])
def test_long_chains_pass_both_ways(kind: str) -> None:
    """A listener may send only three times what it got, until the dialer has answered (RFC 9000, section 8.1)."""
    ours, theirs = TrustInCa(), TrustInCa()
    shown = shown_by("us", kind, padding=BIG, chain=3)
    security = listener(shown_by("them", kind, padding=BIG, chain=3), theirs)
    wire = wire_between(dialer(ours, shown), security)
    assert_open(wire)
    assert ours.asked == [(4, "them")]
    assert theirs.asked == [(4, "us")]


def test_a_listener_sends_no_more_than_it_may_before_the_dialer_answers() -> None:
    security = listener(shown_by("them", padding=BIG, chain=3), TrustInCa())
    hello = StreamConnection.dial("us", "them", 0.0).datagrams(0.0)
    ours, now, sent = accept(hello[0], security), 0.0, 0
    ours.receive(hello, now)
    steps = 0
    while not ours.is_over:
        ours.events(now)
        sent += sum(map(len, ours.datagrams(now)))
        deadline = ours.deadline()
        if deadline is None:
            break
        now = max(now, deadline)
        ours.advance(now)
        steps += 1
    assert 2 * 1200 < sent <= 3 * sum(map(len, hello))
    assert steps < 50, "it waits quietly"
    assert ours.problem == "no answer to the handshake in 15 s"


@pytest.mark.parametrize("lost", range(9))
def test_a_handshake_survives_the_loss_of_any_datagram(lost: int) -> None:
    fates = [Fate(0 if number == lost else 1, []) for number in range(9)]
    security = listener(shown_by("them", padding=BIG, chain=3), TrustInCa())
    wire = RoughWire(
        StreamConnection.dial("us", "them", 0.0, dialer(TrustInCa(), shown_by("us", padding=BIG, chain=3))),
        lambda first: accept(first, security, "us"),
        fates,
    )
    wire.wait(5.0)
    assert_open(wire)


# Strange dialers

US, WRONG_KEY = shown_by("us"), key_of_kind("P-256", 1)
OUR_CERTIFICATE, OUR_PROOF = certificate(US.certificate), proof(key_of_kind("P-256"))
NOBODY = certificate(b"")


def played(*script: Message, hello: Callable[[tls.Context], None] = lambda _: None) -> tuple[Wire, TrustInCa]:
    """A strange dialer at a listener that asks."""
    check = TrustInCa()
    security = listener(shown_by("them"), check)
    wire = Wire(playing_dialer(*script, hello=hello), lambda first: accept(first, security, "us"))
    return wire, check


def test_the_player_gets_in_if_it_keeps_the_rules() -> None:
    wire, check = played(OUR_CERTIFICATE, OUR_PROOF, finished)
    wire.wait(0.1)
    assert wire.happened[wire.listener] == [Opened(), Received(b"data")]
    assert check.asked == [(1, "us")]


@pytest.mark.parametrize("kind", KINDS)
def test_other_signatures_of_tls_13_are_accepted(kind: str) -> None:
    algorithms = {
        "P-256": [SignatureAlgorithm.ECDSA_SECP256R1_SHA256],
        "P-384": [SignatureAlgorithm.ECDSA_SECP384R1_SHA384],
        "P-521": [SignatureAlgorithm.ECDSA_SECP521R1_SHA512],
        "Ed25519": [SignatureAlgorithm.ED25519],
    }
    rsa = [
        SignatureAlgorithm.RSA_PSS_RSAE_SHA256,
        SignatureAlgorithm.RSA_PSS_RSAE_SHA384,
        SignatureAlgorithm.RSA_PSS_RSAE_SHA512,
    ]
    for algorithm in algorithms.get(kind, rsa):
        shown = certificate(shown_by("us", kind).certificate)
        wire, _ = played(shown, proof(key_of_kind(kind), algorithm), finished)
        wire.wait(0.1)
        assert wire.happened[wire.listener] == [Opened(), Received(b"data")]


EXPECTED = {
    11: f"{BROKEN}{{}} where CERTIFICATE is expected",
    15: f"{BROKEN}{{}} where CERTIFICATE_VERIFY is expected",
    20: f"{BROKEN}{{}} where FINISHED is expected",
}

OUT_OF_ORDER: dict[str, tuple[list[Message], str]] = {
    "Finished alone": ([finished], EXPECTED[11].format(20)),
    "no Certificate": ([OUR_PROOF, finished], EXPECTED[11].format(15)),
    "no CertificateVerify": ([OUR_CERTIFICATE, finished], EXPECTED[15].format(20)),
    "CertificateVerify first": ([OUR_PROOF, OUR_CERTIFICATE, finished], EXPECTED[11].format(15)),
    "two Certificates": ([OUR_CERTIFICATE, OUR_CERTIFICATE, OUR_PROOF, finished], EXPECTED[15].format(11)),
    "two Certificates, the first empty": ([NOBODY, OUR_CERTIFICATE, OUR_PROOF, finished], EXPECTED[20].format(11)),
    "another Certificate after the proof": ([OUR_CERTIFICATE, OUR_PROOF, OUR_CERTIFICATE], EXPECTED[20].format(11)),
    "two CertificateVerifies": ([OUR_CERTIFICATE, OUR_PROOF, OUR_PROOF, finished], EXPECTED[20].format(15)),
    "CertificateVerify without a certificate": ([NOBODY, OUR_PROOF, finished], EXPECTED[20].format(15)),
    "EncryptedExtensions": ([raw(b"\x08\0\0\x02\0\0"), finished], EXPECTED[11].format(8)),
    "another hello": ([raw(b"\x01\0\0\x01\0"), finished], EXPECTED[11].format(1)),
    "a message after Finished": (
        [OUR_CERTIFICATE, OUR_PROOF, finished, raw(b"\x18\0\0\x01\0")],
        f"{BROKEN}a handshake message after Finished",
    ),
    "half a message after Finished": (
        [OUR_CERTIFICATE, OUR_PROOF, finished, raw(b"\x18\0")],
        f"{BROKEN}a handshake message after Finished",
    ),
    "two Finisheds": (
        [OUR_CERTIFICATE, OUR_PROOF, finished, finished],
        f"{BROKEN}a handshake message after Finished",
    ),
}

NOT_PROVED = f"{BROKEN}no proof that the key of the certificate is its own"

UNPROVED: dict[str, tuple[list[Message], str]] = {
    "by another key": ([OUR_CERTIFICATE, proof(WRONG_KEY), finished], NOT_PROVED),
    "by a key of another kind": (
        [OUR_CERTIFICATE, proof(key_of_kind("Ed25519"), SignatureAlgorithm.ED25519), finished],
        NOT_PROVED,
    ),
    "by a certificate's neighbour": (
        [certificate(signed("us", key_of_kind("P-256"), "CA", WRONG_KEY) + US.certificate), proof(WRONG_KEY), finished],
        NOT_PROVED,
    ),
    "for a listener": ([OUR_CERTIFICATE, proof(key_of_kind("P-256"), purpose=LISTENERS_PROOF), finished], NOT_PROVED),
    "of another handshake": (
        [OUR_CERTIFICATE, proof(key_of_kind("P-256"), spoil=lambda text: text[:-32] + bytes(32)), finished],
        NOT_PROVED,
    ),
    "of nothing": ([OUR_CERTIFICATE, proof(key_of_kind("P-256"), spoil=lambda _: b""), finished], NOT_PROVED),
    "with an empty signature": (
        [OUR_CERTIFICATE, raw(handshake_message(15, b"\x04\x03\0\0")), finished],
        NOT_PROVED,
    ),
    "with an algorithm for another key": (
        [OUR_CERTIFICATE, proof(key_of_kind("P-256"), SignatureAlgorithm.ECDSA_SECP384R1_SHA384), finished],
        NOT_PROVED,
    ),
    **{
        f"with {name}": (
            [certificate(shown_by("us", "RSA 2048").certificate), proof(key_of_kind("RSA 2048"), algorithm), finished],
            f"{BROKEN}a proof with signature algorithm {algorithm:#06x}",
        )
        for name, algorithm in {
            "PKCS#1, SHA-256": SignatureAlgorithm.RSA_PKCS1_SHA256,
            "PKCS#1, SHA-512": SignatureAlgorithm.RSA_PKCS1_SHA512,
            "PKCS#1, SHA-1": SignatureAlgorithm.RSA_PKCS1_SHA1,
            "PSS of PSS keys": SignatureAlgorithm.RSA_PSS_PSS_SHA256,
            "an unknown algorithm": 0x7777,
        }.items()
    },
}

MALFORMED: dict[str, list[Message]] = {
    "a certificate for another request": [certificate(US.certificate, context=b"x"), OUR_PROOF, finished],
    "an empty certificate": [certificates_of([b""]), OUR_PROOF, finished],
    "noise for a certificate": [certificates_of([bytes(500)]), OUR_PROOF, finished],
    "noise after a certificate": [certificate(US.certificate), raw(bytes(100)), OUR_PROOF, finished],
    "noise for a second certificate": [
        certificates_of([tls._load_pem_certs_as_der(US.certificate)[0], b"noise"]), OUR_PROOF, finished,
    ],
    "too many certificates": [certificate(US.certificate * (MOST_CERTIFICATES + 1)), OUR_PROOF, finished],
    "a cut Certificate": [raw(b"\x0b\0\0\x05\0\0\x01\0\0"), OUR_PROOF, finished],
    "a longer list than its message": [raw(b"\x0b\0\0\x04\0\xff\xff\xff"), OUR_PROOF, finished],
    "a cut CertificateVerify": [OUR_CERTIFICATE, raw(b"\x0f\0\0\x01\x04"), finished],
    "a CertificateVerify of more than its signature": [OUR_CERTIFICATE, raw(b"\x0f\0\0\x06\x04\x03\0\0xx"), finished],
    "a wrong Finished": [OUR_CERTIFICATE, OUR_PROOF, raw(b"\x14\0\0\x20" + bytes(32))],
    "an empty Finished": [OUR_CERTIFICATE, OUR_PROOF, raw(b"\x14\0\0\0")],
    "a message that says it is huge": [raw(b"\x0b\xff\xff\xff" + bytes(LARGEST_MESSAGE // 4))],
}  # fmt: skip


@pytest.mark.parametrize(("script", "problem"), OUT_OF_ORDER.values(), ids=OUT_OF_ORDER.keys())
def test_messages_come_once_and_in_order(script: list[Message], problem: str) -> None:
    wire, check = played(*script)
    assert problem_of(wire, wire.listener) == problem
    assert check.asked == []


@pytest.mark.parametrize(("script", "problem"), UNPROVED.values(), ids=UNPROVED.keys())
def test_the_key_must_be_proved(script: list[Message], problem: str) -> None:
    wire, check = played(*script)
    assert problem_of(wire, wire.listener) == problem
    assert check.asked == []


@pytest.mark.parametrize("script", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_messages_let_nobody_in(script: list[Message]) -> None:
    wire, check = played(*script)
    assert problem_of(wire, wire.listener)
    assert check.asked == []


def test_extensions_of_certificates_are_ignored() -> None:
    wire, _ = played(certificate(US.certificate, extensions=b"\0\x05\0\x01x"), OUR_PROOF, finished)
    wire.wait(0.1)
    assert Opened() in wire.happened[wire.listener]


def test_an_empty_certificate_is_for_the_check_to_judge() -> None:
    wire, check = played(NOBODY, finished)
    assert problem_of(wire, wire.listener) == f"{NOT_ACCEPTED}it has shown none"
    assert check.asked == [(0, "us")]


def test_a_session_that_nobody_gave_is_not_resumed() -> None:
    """A dialer that claims to know us from before is asked like any other."""

    def claims_to_be_known(context: tls.Context) -> None:
        context._supported_groups = [tls.Group.X25519]
        now = tls.utcnow()
        context.session_ticket = tls.SessionTicket(
            age_add=0, cipher_suite=tls.CipherSuite.AES_128_GCM_SHA256, not_valid_before=now,
            not_valid_after=now.replace(year=now.year + 1), resumption_secret=bytes(32), server_name="them",
            ticket=bytes(64), max_early_data_size=0xFFFFFFFF,
        )  # fmt: skip

    wire, check = played(finished, hello=claims_to_be_known)
    assert problem_of(wire, wire.listener) == EXPECTED[11].format(20)
    assert check.asked == []
    wire, _ = played(OUR_CERTIFICATE, OUR_PROOF, finished, hello=claims_to_be_known)
    wire.wait(0.1)
    assert Opened() in wire.happened[wire.listener]


def test_a_listener_with_an_rsa_key_does_not_sign_as_tls_12_did() -> None:
    def knows_only_pkcs1(context: tls.Context) -> None:
        context._signature_algorithms = [SignatureAlgorithm.RSA_PKCS1_SHA256]

    for check in (None, TrustInCa()):
        security = listener(shown_by("them", "RSA 2048"), check)
        wire = Wire(
            playing_dialer(finished, hello=knows_only_pkcs1),
            lambda first, security=security: accept(first, security, "us"),  # type: ignore[misc]
        )
        assert problem_of(wire, wire.listener) == f"{BROKEN}no signature algorithm of TLS 1.3 for an RSA key"


# Strange listeners


def at_a_stranger(shown: Shown, security: DialerSecurity | None) -> Wire:
    return Wire(StreamConnection.dial("us", "them", 0.0, security), lambda first: strange_listener(first, shown))


def test_a_listener_must_have_the_key_of_its_certificate() -> None:
    check = TrustInCa()
    stolen = Shown(shown_by("them").certificate, pem_of(WRONG_KEY))
    wire = at_a_stranger(stolen, dialer(check, shown_by("us")))
    assert problem_of(wire, wire.dialer).startswith(BROKEN)
    assert check.asked == []


def test_an_unsecured_dialer_wants_the_proof_too() -> None:
    wire = at_a_stranger(Shown(credentials().certificate, pem_of(WRONG_KEY)), None)
    assert problem_of(wire, wire.dialer).startswith(BROKEN)


def test_a_strange_listener_gets_nothing_before_it_is_accepted() -> None:
    check = TrustInCa()
    wire = at_a_stranger(shown_by("them", ca=1), dialer(check, shown_by("us")))
    assert isinstance(wire.dialer, StreamConnection)
    wire.dialer.write(b"secret")
    assert problem_of(wire, wire.dialer) == f"{NOT_ACCEPTED}another CA has signed it"
    assert isinstance(wire.listener, Stranger)
    assert wire.listener.quic.get_peercert() is None
    assert not [event for event in wire.happened[wire.listener] if type(event).__name__ == "StreamDataReceived"]


# The handshakes themselves, without QUIC


class Side:
    """One end of a handshake."""

    def __init__(self, context: Handshake) -> None:
        self.context = context

    def take(self, data: bytes, epoch: tls.Epoch) -> dict[tls.Epoch, bytes]:
        """What it answers under each key."""
        output = {one: Buffer(capacity=16_384) for one in (tls.Epoch.INITIAL, tls.Epoch.HANDSHAKE, tls.Epoch.ONE_RTT)}
        self.context.handle_message(data, output, epoch)
        return {one: buffer.data for one, buffer in output.items()}


def two_sides() -> tuple[Side, Side]:
    """A dialer and a listener that asks."""
    identity = listener(shown_by("them")).identity
    fresh = tls.Context(is_client=False)
    fresh.certificate, fresh.certificate_private_key = identity.certificate, identity.key
    far = Side(AskingListenerHandshake(fresh, lambda _: None))
    near = Side(DialerHandshake(tls.Context(is_client=True, verify_mode=ssl.CERT_NONE), lambda _: None))
    near.context.certificate, near.context.certificate_private_key = identity.certificate, identity.key
    return near, far


def messages(flight: bytes) -> list[bytes]:
    found = []
    while flight:
        size = 4 + int.from_bytes(flight[1:4], "big")
        found.append(flight[:size])
        flight = flight[size:]
    return found


def answered() -> tuple[Side, Side, bytes]:
    """Two sides and the flight of the dialer that is still to come."""
    near, far = two_sides()
    hello = near.take(b"", tls.Epoch.INITIAL)[tls.Epoch.INITIAL]
    answer = far.take(hello, tls.Epoch.INITIAL)
    near.take(answer[tls.Epoch.INITIAL], tls.Epoch.INITIAL)
    return near, far, near.take(answer[tls.Epoch.HANDSHAKE], tls.Epoch.HANDSHAKE)[tls.Epoch.HANDSHAKE]


def test_a_flight_may_come_in_pieces_of_any_size() -> None:
    for size in (1, 3, 4, 5, 100):
        _, far, flight = answered()
        for start in range(0, len(flight), size):
            far.take(flight[start : start + size], tls.Epoch.HANDSHAKE)
        assert far.context.state == tls.State.SERVER_POST_HANDSHAKE


def test_a_handshake_that_has_failed_stays_failed() -> None:
    _, far, flight = answered()
    with pytest.raises(tls.AlertUnexpectedMessage):
        far.take(messages(flight)[2], tls.Epoch.HANDSHAKE)
    assert far.context.has_failed
    with pytest.raises(tls.AlertUnexpectedMessage, match="failed already"):
        far.take(flight, tls.Epoch.HANDSHAKE)


@pytest.mark.parametrize("epoch", [tls.Epoch.INITIAL, tls.Epoch.ONE_RTT])
def test_a_flight_under_other_keys_is_refused(epoch: tls.Epoch) -> None:
    """Everybody can write what is under the keys of the first datagrams."""
    _, far, flight = answered()
    with pytest.raises(tls.AlertUnexpectedMessage):
        far.take(flight, epoch)
    _, far, flight = answered()
    far.take(flight[:-1], tls.Epoch.HANDSHAKE)
    with pytest.raises(tls.AlertUnexpectedMessage, match="two keys"):
        far.take(flight[-1:], epoch)


def test_a_message_is_not_gathered_without_bound() -> None:
    for side in answered()[:2]:
        side.take(b"\x0b\xff\xff\xff".ljust(LARGEST_MESSAGE, b"\0"), tls.Epoch.HANDSHAKE)
        with pytest.raises(tls.AlertDecodeError, match="more than"):
            side.take(b"\0", tls.Epoch.HANDSHAKE)


def asked(extensions: bytes, context: bytes = b"") -> bytes:
    body = bytes([len(context)]) + context + len(extensions).to_bytes(2, "big") + extensions
    return handshake_message(tls.HandshakeType.CERTIFICATE_REQUEST, body)


ONLY_PKCS1 = asked(b"\0\x0d\0\x06\0\x04\x04\x01\x02\x01")


def dialer_with_hello() -> Side:
    """A dialer that has had ServerHello and EncryptedExtensions."""
    near, far = two_sides()
    answer = far.take(near.take(b"", tls.Epoch.INITIAL)[tls.Epoch.INITIAL], tls.Epoch.INITIAL)
    near.take(answer[tls.Epoch.INITIAL], tls.Epoch.INITIAL)
    near.take(messages(answer[tls.Epoch.HANDSHAKE])[0], tls.Epoch.HANDSHAKE)
    return near


def test_a_dialer_does_not_sign_as_tls_12_did() -> None:
    near = dialer_with_hello()
    near.take(ONLY_PKCS1, tls.Epoch.HANDSHAKE)
    request = near.context._certificate_request
    assert request is not None
    assert request.signature_algorithms == []


STRANGE = {
    "a second request": [ONLY_PKCS1, ONLY_PKCS1],
    "a request with a context": [asked(b"", context=b"x")],
    "no certificate": [handshake_message(tls.HandshakeType.CERTIFICATE, bytes(4))],
    "a compressed certificate": [handshake_message(tls.HandshakeType.COMPRESSED_CERTIFICATE, b"\0\2\0\0\1\0\0\1x")],
    "no proof": [messages(b"\x14\0\0\x20" + bytes(32))[0]],
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE.keys())
def test_a_dialer_refuses_what_a_listener_must_not_send(strange: list[bytes]) -> None:
    near = dialer_with_hello()
    with pytest.raises((tls.AlertUnexpectedMessage, tls.AlertIllegalParameter, tls.AlertBadCertificate)):
        near.take(b"".join(strange), tls.Epoch.HANDSHAKE)
