"""qh3's QUIC connection, adapted to the mesh (mesh protocol, section 6; RFC 9000).

All that reaches into private parts of qh3 is here; its version is pinned, and
tests/netceptor/test_qh3_connection.py shows each effect.
"""

from __future__ import annotations

from qh3 import tls
from qh3._hazmat import Buffer, pull_quic_header
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection
from qh3.quic.packet import QuicPacketType, pull_quic_transport_parameters, push_quic_transport_parameters
from qh3.quic.tls_bridge import QuicTlsBridge

from receptor.errors import PeerError
from receptor.netceptor.packets import MESH_MTU
from receptor.netceptor.qh3_handshakes import Handshake, ProofCheck, handshake

ALPN = "netceptor"
IDLE_TIMEOUT = 30.0
CONNECTION_ID_LENGTH = 8
"""RFC 9000, section 7.2: the id that a dialer makes up for its first packet must not be shorter."""

STREAM_WINDOW = 4 * 1024 * 1024
CONNECTION_WINDOW = 6 * 1024 * 1024

MOST_HELD_BACK = 2 * CONNECTION_WINDOW
"""Bytes that may arrive while a connection is paused: a window of data, what is sent again, weeks of keep-alives."""

MOST_EXCESS = 512 * 1024
"""Bytes that may be in flight beyond the largest congestion window."""

SMALLEST_FIRST_DATAGRAM = 1200
SMALLEST_SHORT_PACKET = 21

_ANYWHERE = ("127.0.0.1", 1)
"""qh3 wants an IP address for its path; ours are nodes and services, which it need not know."""

_NOTHING_MORE_NOW = "packet builder capacity exhausted"
_ENDING = ("closing", "draining", "terminated")
_MOST_PARAMETERS = 2048


class MeshQuicConnection(QuicConnection):
    """A connection that can be paused, whose first datagram any node takes, and that asks for datagrams of any size."""

    _paused = False
    _held_back = 0
    _largest_window = 0

    def __init__(
        self,
        *,
        configuration: QuicConfiguration,
        check: ProofCheck | None,
        original_destination_connection_id: bytes | None = None,
    ) -> None:
        """``check`` decides on the far end before any data comes or goes. A listener without one does not ask."""
        super().__init__(
            configuration=configuration, original_destination_connection_id=original_destination_connection_id
        )
        self._check = check

    @property
    def has_failed_handshake(self) -> bool:
        """Whether we have refused the handshake of the far end."""
        return self._tls is not None and isinstance(self._tls.tls, Handshake) and self._tls.tls.has_failed

    @property
    def is_asked_for_proof(self) -> bool:
        """Whether the listener wants a certificate of us."""
        return self._tls is not None and self._tls.tls._certificate_request is not None

    @property
    def is_confirmed(self) -> bool:
        """Whether the listener has said that it has accepted the handshake."""
        return self._handshake_confirmed

    @property
    def is_unanswered(self) -> bool:
        """Whether the far end has not acknowledged anything for so long that it was asked again more than once."""
        return self._core is not None and self._core.pto_count > 1

    @property
    def is_alive(self) -> bool:
        """Whether it has begun and neither end has closed it."""
        return self._core is not None and self._core.state not in _ENDING

    def begin(self, now: float) -> None:
        """Begin as the dialer."""
        self.connect(_ANYWHERE, now=now)

    def can_send(self, stream_id: int) -> bool:
        """Whether a stream takes data from us."""
        return self._stream_can_send(stream_id)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, tuple[str, int]]]:
        """What to send now.

        Until a dialer has answered, a listener may send it three times what came (RFC 9000, section 8.1). When qh3's
        core has to stop amid a chain of certificates it raises an error, and qh3 then loses what came out before.
        """
        if self._is_client or self._handshake_complete or self._core is None:
            return super().datagrams_to_send(now)
        datagrams = []
        try:
            while (datagram := self._core.poll_transmit(now)) is not None:
                datagrams.append((datagram[0], datagram[1]))
        except RuntimeError as error:
            if _NOTHING_MORE_NOW not in str(error):
                raise
        return datagrams

    def pause(self) -> None:
        """Leave what arrives in qh3's core, which then grants the sender no more than one flow-control window.

        It comes out on ``resume`` or at the end of the connection.
        """
        self._paused = True

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
        """Take datagrams of the far end. Raises PeerError if it makes us hold more than the protocol has it need.

        qh3 bounds streams, handshake messages and connection ids, but not its events while we take none, nor the
        answers to path challenges, which it keeps until they are acknowledged.
        """
        self.receive_many_datagrams(datagrams, _ANYWHERE, now)
        if self._paused:
            self._held_back += sum(map(len, datagrams))
            if self._held_back > MOST_HELD_BACK:
                raise PeerError("it sends on and on although it is held back")
        if self._core is not None:
            self._largest_window = max(self._largest_window, self._core.congestion_window)
            if self._core.bytes_in_flight > self._largest_window + MOST_EXCESS:
                raise PeerError("it makes us answer without end and acknowledges nothing")

    def resume(self) -> None:
        """Take events from the core again."""
        self._paused = False
        self._held_back = 0
        if self._core is not None:
            super()._drain_core()

    def _drain_core(self) -> None:
        if not (self._paused and self.is_alive):
            super()._drain_core()

    def _create_tls(self, remote_source_cid: bytes | None) -> QuicTlsBridge:
        """The TLS part, stricter than qh3's, with a short hello and the right size of datagrams.

        Existing nodes lose datagrams of more than 1,452 bytes, as a first one with a post-quantum key share is: it
        would have to be sent again in pieces, after two thirds of a second. And qh3 lets dialers ask for datagrams of
        at most 1,472 bytes, with which data from a listener takes ten times the work.
        """
        bridge = super()._create_tls(remote_source_cid)
        bridge.tls = handshake(bridge.tls, self._check)
        bridge.tls._supported_groups = [tls.Group.X25519, tls.Group.SECP256R1]
        bridge.tls.handshake_extensions = [
            (kind, _with_largest_datagrams(parameters)) for kind, parameters in bridge.tls.handshake_extensions
        ]
        return bridge


def configuration(is_client: bool) -> QuicConfiguration:
    """The settings that both ends of our streams share."""
    return QuicConfiguration(
        is_client=is_client,
        alpn_protocols=[ALPN],
        offer_ec_key_shares=True,  # secured listeners of existing nodes take no X25519
        connection_id_length=CONNECTION_ID_LENGTH,
        idle_timeout=IDLE_TIMEOUT,
        max_data=CONNECTION_WINDOW,
        max_stream_data=STREAM_WINDOW,
        max_datagram_size=MESH_MTU,
        probe_datagram_size=False,
    )


def first_destination_id(payload: bytes) -> bytes | None:
    """The destination connection id of a dialer's first datagram; None if this is no such datagram."""
    if len(payload) < SMALLEST_FIRST_DATAGRAM:
        return None
    try:
        header = pull_quic_header(payload, 0, CONNECTION_ID_LENGTH)
    except ValueError:
        return None
    return header[3] if header[1] == int(QuicPacketType.INITIAL) else None


def belongs_to_a_connection(payload: bytes) -> bool:
    """Whether it is a datagram as both ends send them once the handshake is done (RFC 9000, section 17.3)."""
    return len(payload) >= SMALLEST_SHORT_PACKET and payload[0] & 0xC0 == 0x40


def is_failure_of_qh3(error: BaseException) -> bool:
    """Whether it is an exception or a panic of the Rust part, which is no Exception and can't be imported by name."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _with_largest_datagrams(encoded: bytes) -> bytes:
    parameters = pull_quic_transport_parameters(Buffer(data=encoded))
    parameters.max_udp_payload_size = MESH_MTU
    buffer = Buffer(capacity=_MOST_PARAMETERS)
    push_quic_transport_parameters(buffer, parameters)
    return buffer.data
