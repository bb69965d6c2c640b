"""A dialer that answers a listener's part of the TLS handshake with whatever messages a test wants."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from qh3 import tls
from qh3._hazmat import Buffer
from qh3.quic.connection import QuicConnection
from qh3.quic.tls_bridge import QuicTlsBridge
from qh3.tls import SignatureAlgorithm, load_pem_x509_certificates
from quic_bench import SOMEWHERE, Stranger
from shown_certificates import Key

from receptor.netceptor.qh3_connection import configuration

Message = Callable[[tls.Context], bytes]
"""Writes one handshake message, knowing all that went before it."""

DIALERS_PROOF = b"TLS 1.3, client CertificateVerify"
LISTENERS_PROOF = b"TLS 1.3, server CertificateVerify"


def handshake_message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def certificate(pem: bytes, context: bytes = b"", extensions: bytes = b"") -> Message:
    """The certificates of a PEM file; none of an empty one."""
    chain = [one.public_bytes() for one in load_pem_x509_certificates(pem)]
    return certificates_of(chain, context, extensions)


def certificates_of(chain: list[bytes], context: bytes = b"", extensions: bytes = b"") -> Message:
    entries = b"".join(
        len(one).to_bytes(3, "big") + one + len(extensions).to_bytes(2, "big") + extensions for one in chain
    )
    body = bytes([len(context)]) + context + len(entries).to_bytes(3, "big") + entries
    return lambda _: handshake_message(tls.HandshakeType.CERTIFICATE, body)


def proof(
    key: Key,
    algorithm: int = SignatureAlgorithm.ECDSA_SECP256R1_SHA256,
    purpose: bytes = DIALERS_PROOF,
    spoil: Callable[[bytes], bytes] = bytes,
) -> Message:
    """CertificateVerify by a key; ``spoil`` changes what is signed."""

    def message(player: tls.Context) -> bytes:
        assert player.key_schedule is not None
        signature = _sign(key, algorithm, spoil(player.key_schedule.certificate_verify_data(purpose)))
        body = algorithm.to_bytes(2, "big") + len(signature).to_bytes(2, "big") + signature
        return handshake_message(tls.HandshakeType.CERTIFICATE_VERIFY, body)

    return message


def finished(player: tls.Context) -> bytes:
    assert player.key_schedule is not None
    assert player._enc_key is not None
    return handshake_message(tls.HandshakeType.FINISHED, player.key_schedule.finished_verify_data(player._enc_key))


def raw(message: bytes) -> Message:
    return lambda _: message


class Player(tls.Context):
    """Accepts any listener and answers by a script."""

    def __init__(self, fresh: tls.Context, script: list[Message]) -> None:
        vars(self).update(vars(fresh))
        self._script = script
        self.was_asked = False

    def _client_handle_finished(self, input_buf: Buffer, output_buf: Buffer) -> None:
        self.was_asked = self._certificate_request is not None
        tls.pull_finished(input_buf)
        assert self.key_schedule is not None
        self.key_schedule.update_hash(input_buf.data)
        self.key_schedule.extract(None)
        self._setup_traffic_protection(tls.Direction.DECRYPT, tls.Epoch.ONE_RTT, b"s ap traffic")
        key = self.key_schedule.derive_secret(b"c ap traffic")
        for write in self._script:
            message = write(self)
            self.key_schedule.update_hash(message)
            output_buf.push_bytes(message)
        self.update_traffic_key_cb(tls.Direction.ENCRYPT, tls.Epoch.ONE_RTT, self.key_schedule.cipher_suite, key)
        self._set_state(tls.State.CLIENT_POST_HANDSHAKE)


class PlayingConnection(QuicConnection):
    """A connection of a player. What it sends goes in datagrams that existing nodes take."""

    script: list[Message]
    hello: Callable[[tls.Context], None] = lambda _: None

    def _create_tls(self, remote_source_cid: bytes | None) -> QuicTlsBridge:
        bridge = super()._create_tls(remote_source_cid)
        bridge.tls = Player(bridge.tls, self.script)
        self.hello(bridge.tls)
        return bridge


def playing_dialer(*script: Message, hello: Callable[[tls.Context], None] = lambda _: None) -> Stranger:
    """A dialer that answers by the script, and then at once opens a stream and sends data."""
    settings = configuration(is_client=True)
    settings.verify_mode = ssl.CERT_NONE
    settings.max_datagram_size = 1252
    connection = PlayingConnection(configuration=settings)
    connection.script = list(script)
    connection.hello = hello
    connection.connect(SOMEWHERE, 0.0)
    connection.send_stream_data(0, b"\0data")
    return Stranger(connection)


def _sign(key: Key, algorithm: int, text: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        digest = {1: hashes.SHA1(), 2: hashes.SHA1(), 5: hashes.SHA384(), 6: hashes.SHA512()}.get(
            algorithm & 0xFF if algorithm >> 8 == 8 else algorithm >> 8, hashes.SHA256()
        )
        if algorithm >> 8 == 8:
            return key.sign(text, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return key.sign(text, padding.PKCS1v15(), digest)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        hash_of = {4: hashes.SHA256(), 5: hashes.SHA384(), 6: hashes.SHA512()}
        return key.sign(text, ec.ECDSA(hash_of.get(algorithm >> 8, hashes.SHA256())))
    return key.sign(text)
