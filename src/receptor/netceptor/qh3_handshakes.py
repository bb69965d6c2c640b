"""qh3's TLS handshakes, made stricter, and with client certificates, which qh3's listeners can't ask for (RFC 8446).

In every handshake both ends prove themselves by signatures of TLS 1.3 only, the certificates are checked before the
keys for data exist, and a handshake that has failed stays failed. qh3's version is pinned, and
tests/netceptor/test_qh3_handshakes.py shows each effect.
"""

from __future__ import annotations

from collections.abc import Callable

from qh3 import tls
from qh3._hazmat import Buffer, Certificate, CryptoError, RsaPrivateKey, SignatureError, verify_with_public_key

from receptor.errors import PeerError

ProofCheck = Callable[[list[Certificate]], None]
"""Takes the certificates that the far end has proved to own, its own first; none if it has shown none.
Raises PeerError."""

SIGNATURES = [
    tls.SignatureAlgorithm.ECDSA_SECP256R1_SHA256,
    tls.SignatureAlgorithm.ED25519,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA256,
    tls.SignatureAlgorithm.ECDSA_SECP384R1_SHA384,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA384,
    tls.SignatureAlgorithm.ECDSA_SECP521R1_SHA512,
    tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA512,
]
"""With what an end may prove that it has the key of its certificate; each fits one kind of key."""

LARGEST_MESSAGE = 32 * 1024
MOST_CERTIFICATES = 16

_HEADER = 4
_CLIENT_PROOF = b"TLS 1.3, client CertificateVerify"


class _AlertCertificateRequired(tls.Alert):
    description = tls.AlertDescription.certificate_required


class Handshake(tls.Context):
    """What all of ours have in common. It takes the place of a context that qh3 has just made."""

    def __init__(self, fresh: tls.Context) -> None:
        vars(self).update(vars(fresh))
        self._has_failed = False
        self._epoch = -1

    @property
    def has_failed(self) -> bool:
        """Whether we have refused it."""
        return self._has_failed

    def handle_message(self, input_data: bytes, output_buf: dict[tls.Epoch, Buffer], epoch: int = -1) -> None:
        """Take what has come. Raises Alert and all kinds of others; then the handshake has failed for good.

        qh3 would go on with the messages that came after one which it has refused.
        """
        if self._has_failed:
            raise tls.AlertUnexpectedMessage("the handshake has failed already")
        self._has_failed = True
        if self._receive_buffer and epoch != self._epoch:
            raise tls.AlertUnexpectedMessage("a handshake message under two keys")
        if len(self._receive_buffer) + len(input_data) > LARGEST_MESSAGE:
            raise tls.AlertDecodeError(f"a handshake message of more than {LARGEST_MESSAGE} bytes")
        self._epoch = epoch
        self._take(input_data, output_buf, epoch)
        self._has_failed = False

    def _take(self, data: bytes, output: dict[tls.Epoch, Buffer], epoch: int) -> None:
        super().handle_message(data, output, epoch)

    @property
    def _transcript(self) -> tls.KeySchedule:
        assert self.key_schedule is not None
        return self.key_schedule

    def _check_finished(self, message: Buffer) -> None:
        """Raise Alert if it does not prove that the far end has seen the same handshake; leave it to be read again."""
        assert self._dec_key is not None
        expected = self._transcript.finished_verify_data(self._dec_key)
        if tls.pull_finished(message).verify_data != expected:
            raise tls.AlertDecryptError("Finished does not fit the handshake")
        message.seek(0)


class DialerHandshake(Handshake):
    """A dialer's, which checks the listener before it shows a certificate of its own."""

    def __init__(self, fresh: tls.Context, check: ProofCheck) -> None:
        super().__init__(fresh)
        self._check = check
        self._signature_algorithms = list(SIGNATURES)
        self._compress_certificate_algorithms = None

    def _client_handle_hello(self, input_buf: Buffer, output_buf: Buffer) -> None:
        """Have the keys of the handshake for both directions at once.

        qh3 has those for sending only after EncryptedExtensions. When the datagram with these was lost, the dialer
        could acknowledge nothing, and a listener with a long chain might not send it again (RFC 9000, section 8.1).
        """
        super()._client_handle_hello(input_buf, output_buf)
        self._setup_traffic_protection(tls.Direction.ENCRYPT, tls.Epoch.HANDSHAKE, b"c hs traffic")

    def _setup_traffic_protection(self, direction: tls.Direction, epoch: tls.Epoch, label: bytes) -> None:
        if direction == tls.Direction.DECRYPT or self._enc_key is None:
            super()._setup_traffic_protection(direction, epoch, label)

    def _client_handle_certificate_request(self, input_buf: Buffer) -> None:
        if self._certificate_request is not None:
            raise tls.AlertUnexpectedMessage("a second request for a certificate")
        super()._client_handle_certificate_request(input_buf)
        request: tls.CertificateRequest | None = self._certificate_request
        assert request is not None
        if request.request_context:
            raise tls.AlertIllegalParameter("a request for a certificate has a context")
        # qh3 would sign as TLS 1.2 does if the listener knows nothing better.
        request.signature_algorithms = [one for one in request.signature_algorithms or [] if one in SIGNATURES]

    def _client_handle_compressed_certificate(self, input_buf: Buffer) -> None:
        # qh3 would unpack it to any size.
        raise tls.AlertUnexpectedMessage("a compressed certificate")

    def _process_certificate(self, certificate: tls.Certificate) -> None:
        if not 0 < len(certificate.certificates) <= MOST_CERTIFICATES:
            raise tls.AlertBadCertificate(f"{len(certificate.certificates)} certificates")
        super()._process_certificate(certificate)

    def _client_handle_finished(self, input_buf: Buffer, output_buf: Buffer) -> None:
        self._check_finished(input_buf)
        assert self._peer_certificate is not None
        _check_proof(self._check, [self._peer_certificate, *self._peer_certificate_chain])
        super()._client_handle_finished(input_buf, output_buf)


class ListenerHandshake(Handshake):
    """A listener's, which does not ask who the dialer is."""

    def _server_handle_hello(
        self, input_buf: Buffer, initial_buf: Buffer, handshake_buf: Buffer, onertt_buf: Buffer
    ) -> None:
        if isinstance(self.certificate_private_key, RsaPrivateKey):
            # qh3 would sign as TLS 1.2 does if the dialer knows nothing better.
            offered = tls.pull_client_hello(input_buf).signature_algorithms or []
            if tls.SignatureAlgorithm.RSA_PSS_RSAE_SHA256 not in offered:
                raise tls.AlertHandshakeFailure("no signature algorithm of TLS 1.3 for an RSA key")
            input_buf.seek(0)
        super()._server_handle_hello(input_buf, initial_buf, handshake_buf, onertt_buf)


class AskingListenerHandshake(ListenerHandshake):
    """A listener's, which asks the dialer for a certificate (RFC 8446, sections 4.3.2 and 4.4).

    The dialer answers with Certificate, CertificateVerify unless that was empty, and Finished, in this order. If qh3
    ever sent no request, because it works otherwise than we know, no dialer could get in.
    """

    def __init__(self, fresh: tls.Context, check: ProofCheck) -> None:
        super().__init__(fresh)
        self._check = check
        self._expected = tls.HandshakeType.CERTIFICATE
        self._shown: list[Certificate] = []
        # Has qh3 compute the dialer's Finished when it comes. Else it takes for granted that nothing comes before it.
        self._alps_negotiated = True

    def _server_handle_hello(
        self, input_buf: Buffer, initial_buf: Buffer, handshake_buf: Buffer, onertt_buf: Buffer
    ) -> None:
        self._handshake_output = handshake_buf
        super()._server_handle_hello(input_buf, initial_buf, handshake_buf, onertt_buf)

    def _setup_traffic_protection(self, direction: tls.Direction, epoch: tls.Epoch, label: bytes) -> None:
        super()._setup_traffic_protection(direction, epoch, label)
        if (direction, epoch) == (tls.Direction.DECRYPT, tls.Epoch.HANDSHAKE):
            self.key_schedule = _AskingKeySchedule(self._transcript, self._handshake_output)

    def _take(self, data: bytes, output: dict[tls.Epoch, Buffer], epoch: int) -> None:
        if self.state == tls.State.SERVER_EXPECT_FINISHED:
            self._take_answer(data, output, epoch)
        else:
            super()._take(data, output, epoch)

    def _take_answer(self, data: bytes, output: dict[tls.Epoch, Buffer], epoch: int) -> None:
        if epoch != tls.Epoch.HANDSHAKE:
            raise tls.AlertUnexpectedMessage("a handshake message under the wrong keys")
        self._receive_buffer += data
        while (message := self._next_message()) is not None:
            if message[0] != self._expected:
                raise tls.AlertUnexpectedMessage(f"{message[0]} where {self._expected.name} is expected")
            match self._expected:
                case tls.HandshakeType.CERTIFICATE:
                    self._take_certificate(message)
                case tls.HandshakeType.CERTIFICATE_VERIFY:
                    self._take_certificate_verify(message)
                case _:
                    self._server_handle_finished(Buffer(data=message), output[tls.Epoch.ONE_RTT])

    def _next_message(self) -> bytes | None:
        size = _HEADER + int.from_bytes(self._receive_buffer[1:_HEADER], "big")
        if len(self._receive_buffer) < max(size, _HEADER):
            return None
        message, self._receive_buffer = self._receive_buffer[:size], self._receive_buffer[size:]
        return message

    def _take_certificate(self, message: bytes) -> None:
        answer = tls.pull_certificate(Buffer(data=message))
        if answer.request_context:
            raise tls.AlertIllegalParameter("a certificate for another request")
        if len(answer.certificates) > MOST_CERTIFICATES:
            raise tls.AlertBadCertificate(f"{len(answer.certificates)} certificates")
        self._shown = [Certificate(encoded) for encoded, _extensions in answer.certificates]
        self._transcript.update_hash(message)
        self._expected = tls.HandshakeType.CERTIFICATE_VERIFY if self._shown else tls.HandshakeType.FINISHED

    def _take_certificate_verify(self, message: bytes) -> None:
        proof = tls.pull_certificate_verify(Buffer(data=message))
        if proof.algorithm not in SIGNATURES:
            raise tls.AlertIllegalParameter(f"a proof with signature algorithm {proof.algorithm:#06x}")
        signed = self._transcript.certificate_verify_data(_CLIENT_PROOF)
        try:
            verify_with_public_key(self._shown[0].public_key(), proof.algorithm, signed, proof.signature)
        except (SignatureError, CryptoError):
            raise tls.AlertDecryptError("no proof that the key of the certificate is its own") from None
        self._transcript.update_hash(message)
        self._expected = tls.HandshakeType.FINISHED

    def _server_handle_finished(self, input_buf: Buffer, output_buf: Buffer) -> None:
        if self._receive_buffer:
            raise tls.AlertUnexpectedMessage("a handshake message after Finished")
        self._check_finished(input_buf)
        _check_proof(self._check, self._shown)
        super()._server_handle_finished(input_buf, output_buf)


class _AskingKeySchedule(tls.KeySchedule):
    """Puts a request for a certificate after EncryptedExtensions: on its way, and into what both ends sign."""

    def __init__(self, schedule: tls.KeySchedule, output: Buffer) -> None:
        vars(self).update(vars(schedule))
        self._output = output

    def update_hash(self, data: bytes) -> None:
        super().update_hash(data)
        if data[0] == tls.HandshakeType.ENCRYPTED_EXTENSIONS:
            with tls.push_message(self, self._output):
                _push_certificate_request(self._output)


def handshake(fresh: tls.Context, check: ProofCheck | None) -> Handshake:
    """Our handshake in place of a context that qh3 has just made. Without a check a dialer is not asked for proof."""
    if fresh.state == tls.State.CLIENT_HANDSHAKE_START:
        if check is None:
            raise ValueError("a dialer always checks the listener")
        return DialerHandshake(fresh, check)
    return ListenerHandshake(fresh) if check is None else AskingListenerHandshake(fresh, check)


def _push_certificate_request(buffer: Buffer) -> None:
    buffer.push_uint8(tls.HandshakeType.CERTIFICATE_REQUEST)
    with tls.push_block(buffer, 3):
        tls.push_opaque(buffer, 1, b"")
        with tls.push_block(buffer, 2), tls.push_extension(buffer, tls.ExtensionType.SIGNATURE_ALGORITHMS):
            tls.push_list(buffer, 2, buffer.push_uint16, SIGNATURES)


def _check_proof(check: ProofCheck, shown: list[Certificate]) -> None:
    """The far end learns no more than that it is refused."""
    try:
        check(shown)
    except PeerError:
        if shown:
            raise tls.AlertBadCertificate("the certificate is not accepted") from None
        raise _AlertCertificateRequired("a certificate is required") from None
