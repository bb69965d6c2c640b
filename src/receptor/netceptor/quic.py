"""One QUIC connection that carries one stream, without I/O (mesh protocol, section 6; RFC 9000).

qh3 does the QUIC. Ours are the byte 0 that opens a stream, the checks of certificates, the limits in time, and that
whatever goes wrong in a connection ends that connection only.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from qh3._hazmat import Certificate
from qh3.quic.configuration import QuicConfiguration
from qh3.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    QuicEvent,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

from receptor.errors import PeerError
from receptor.netceptor.qh3_connection import MeshQuicConnection, configuration, is_failure_of_qh3
from receptor.netceptor.qh3_handshakes import ProofCheck
from receptor.netceptor.stream_events import (
    NORMAL_CLOSE,
    NORMAL_REASON,
    STREAM_ERROR,
    Broken,
    Ended,
    Opened,
    Received,
)
from receptor.netceptor.stream_security import DialerSecurity, Identity, ListenerSecurity, PeerCheck
from receptor.netceptor.tls_alerts import ALERTS, told_by_far_end, told_by_us

INSECURE_COMMON_NAME = "netceptor-insecure-common-name"
HANDSHAKE_TIMEOUT = 15.0
LINGER = 30.0
"""Seconds for which a finished stream, with everything sent, waits for the far end to have it all and close."""

KEEP_ALIVE_INTERVAL = 15.0
PROBE_PATIENCE = 5.0
"""Seconds in which the far end of a stream must say anything after its node seems to have been restarted."""

_FIRST_BYTE = b"\0"
_STREAM_ID = 0
_COMMON_NAME_OID = "2.5.4.3"
_LONGEST_REASON = 200
"""Characters of a reason that fit any packet; qh3 can't send one that does not."""

_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


class StreamConnection:
    """The state of one stream over QUIC; ``events`` tells what happened, ``datagrams`` what to send."""

    def __init__(
        self, settings: QuicConfiguration, check: ProofCheck | None, now: float, destination_id: bytes | None = None
    ) -> None:
        """Use ``dial`` or ``accept``."""
        self._is_dialer = settings.is_client
        self._check = check
        self._quic = MeshQuicConnection(
            configuration=settings,
            check=None if check is None else self._decide,
            original_destination_connection_id=destination_id,
        )
        self._handshake_deadline: float | None = now + HANDSHAKE_TIMEOUT
        self._keep_alive_at: float | None = None
        self._linger_deadline: float | None = None
        self._probe_deadline: float | None = None
        self._heard_since_probe = False
        self._pings = 0
        self._is_trusted = False
        self._opened = False
        self._terminated = False
        self.problem: str | None = None
        self.failed_tls = False
        """Whether an end has refused the handshake of the other one; ``problem`` or Broken says why."""

    @classmethod
    def dial(cls, own_id: str, remote_id: str, now: float, security: DialerSecurity | None = None) -> StreamConnection:
        """Begin a connection as the dialer; its first datagrams are ready to send.

        Without security it opens only to a listener that shows it is unsecured, else only to one that is accepted as
        the remote node.
        """
        settings = configuration(is_client=True)
        settings.verify_mode = ssl.CERT_NONE
        settings.verify_hostname = False
        if security is None:
            settings.server_name = own_id if _HOST_NAME.fullmatch(own_id) else None
            check: ProofCheck = _check_that_it_is_unsecured
        else:
            # Existing nodes send no server name here.
            check = _check_that_it_is(remote_id, security.check)
            if security.identity is not None:
                _show(settings, security.identity)
        connection = cls(settings, check, now)
        connection._quic.begin(now)
        return connection

    @classmethod
    def accept(cls, security: ListenerSecurity, remote_id: str, destination_id: bytes, now: float) -> StreamConnection:
        """Begin a connection as the listener, on the first datagram from a dialer on the remote node."""
        settings = configuration(is_client=False)
        _show(settings, security.identity)
        check = None if security.check is None else _check_that_it_is(remote_id, security.check)
        return cls(settings, check, now, destination_id)

    # In

    def receive(self, datagrams: list[bytes], now: float) -> None:
        """Take datagrams of the far end. Whatever is wrong with them ends this connection only."""
        self._heard_since_probe = True
        with self._contained():
            self._quic.receive_datagrams(datagrams, now)

    def write(self, data: bytes) -> None:
        """Queue bytes for the far end; does nothing once the connection is over."""
        self._send(data, end=False)

    def end(self) -> None:
        """Close our half of the stream after what was written."""
        self._send(b"", end=True)

    def finish(self, now: float) -> None:
        """Close our half; end the connection once the far end has everything or has closed.

        As long as the far end lives and doesn't read, that takes as long; when all is sent it takes at most LINGER.
        """
        self.end()
        self.resume()
        self._linger_deadline = now + LINGER

    def close(self, code: int, reason: str) -> None:
        """End the connection in both directions at once; undelivered data is lost."""
        if code != NORMAL_CLOSE:
            self.problem = self.problem or reason
        self._handshake_deadline = self._keep_alive_at = self._linger_deadline = self._probe_deadline = None
        with self._contained():
            self._quic.close(error_code=code, reason_phrase=reason[:_LONGEST_REASON])
            self._quic.resume()

    def pause(self) -> None:
        """Let the far end run into its flow-control window until ``resume``.

        When the connection ends, what has arrived comes out in spite of a pause: it is one window at most.
        """
        self._quic.pause()

    def resume(self) -> None:
        """Take data again."""
        with self._contained():
            self._quic.resume()

    def probe(self, now: float) -> None:
        """Have the far end answer, if it still knows of this connection; without an answer it is over soon."""
        self._ping()
        self._probe_deadline = now + PROBE_PATIENCE
        self._heard_since_probe = False

    def advance(self, now: float) -> None:
        """Do what has come due: retransmissions, the handshake's time limit, keep-alives."""
        if self._handshake_deadline is not None and self._handshake_deadline <= now:
            self.close(STREAM_ERROR, f"no answer to the handshake in {HANDSHAKE_TIMEOUT:g} s")
        if self._probe_deadline is not None and self._probe_deadline <= now:
            self._probe_deadline = None
            # What is heard may be noise, with which existing nodes answer (RFC 9000, section 10.3).
            if not self._heard_since_probe or self._quic.is_unanswered:
                self.close(STREAM_ERROR, "the far end was restarted and knows nothing of the stream")
        if self._linger_deadline is not None and self._linger_deadline <= now:
            if self.unsent:
                self._linger_deadline = now + LINGER
            else:
                self.close(NORMAL_CLOSE, NORMAL_REASON)
        if self._keep_alive_at is not None and self._keep_alive_at <= now:
            self._keep_alive_at = now + KEEP_ALIVE_INTERVAL
            self._ping()
        timer = self._quic.get_timer()
        if timer is not None and timer <= now:
            with self._contained():
                self._quic.handle_timer(now)

    # Out

    def datagrams(self, now: float) -> list[bytes]:
        """What to send now."""
        if not self._terminated:
            with self._contained():
                return [datagram for datagram, _ in self._quic.datagrams_to_send(now)]
        return []

    def events(self, now: float) -> list[Opened | Received | Ended | Broken]:
        """What has happened since the last call, in order."""
        found: list[Opened | Received | Ended | Broken] = []
        while (event := self._quic.next_event()) is not None:
            found.extend(self._interpret(event))
        if self._may_open():
            found.append(self._open(now))
        if self._linger_deadline is not None and self._is_delivered():
            self.close(NORMAL_CLOSE, NORMAL_REASON)
        return found

    def deadline(self) -> float | None:
        """When ``advance`` wants to be called; None once the connection is over."""
        if self._terminated:
            return None
        limits = (self._handshake_deadline, self._probe_deadline, self._linger_deadline)
        times = (self._quic.get_timer(), self._keep_alive_at, *limits)
        return min((time for time in times if time is not None), default=None)

    @property
    def unsent(self) -> int:
        """Bytes written but not yet sent for the first time."""
        return self._quic.get_send_buffer_size()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be sent or received."""
        return self._terminated

    # Inside

    @contextmanager
    def _contained(self) -> Iterator[None]:
        """Whatever qh3 raises ends this connection and nothing else: hostile bytes make it raise nearly anything.

        The far end is told once, and not what went wrong inside; if that fails too, nothing more is sent.
        """
        try:
            yield
        except BaseException as error:
            if not is_failure_of_qh3(error):
                raise
            if self.problem is None:
                self.problem = f"the far end broke the QUIC protocol: {error}"
                self.close(STREAM_ERROR, "this broke the QUIC protocol")
            else:
                self._terminated = True

    def _send(self, data: bytes, end: bool) -> None:
        if not self._terminated and self._quic.can_send(_STREAM_ID):
            with self._contained():
                self._quic.send_stream_data(_STREAM_ID, data, end_stream=end)

    def _ping(self) -> None:
        if self._quic.is_alive:
            self._pings += 1
            with self._contained():
                self._quic.send_ping(self._pings)

    def _is_delivered(self) -> bool:
        """Whether both directions are complete. Only the dialer can tell; the listener waits for it to close."""
        return self._is_dialer and self._opened and self._quic.open_outbound_streams == 0

    def _interpret(self, event: QuicEvent) -> list[Opened | Received | Ended | Broken]:
        match event:
            case HandshakeCompleted():
                self._is_trusted = True
                return []
            case StreamDataReceived(stream_id=0) if self._is_trusted:
                return self._data_received(event.data, event.end_stream)
            case StreamReset() | StopSendingReceived():
                self.close(STREAM_ERROR, f"the far end cancelled the stream (code {event.error_code})")
                return [Broken(self.problem)]
            case ConnectionTerminated():
                self._terminated = True
                return [self._terminated_by(event)]
            case _:
                return []

    def _decide(self, shown: list[Certificate]) -> None:
        """Called in the handshake when the far end has proved what it shows, and before any data may come or go."""
        assert self._check is not None
        self.failed_tls = True
        try:
            self._check(shown)
        except PeerError as error:
            self.problem = str(error)
            raise
        self.failed_tls = False

    def _may_open(self) -> bool:
        """Whether the dialer may begin: if it was asked for a certificate, after that was accepted."""
        waits = self._is_dialer and self._is_trusted and not self._opened and self.problem is None
        return waits and (self._quic.is_confirmed or not self._quic.is_asked_for_proof)

    def _open(self, now: float) -> Opened:
        self._handshake_deadline = None
        self._keep_alive_at = now + KEEP_ALIVE_INTERVAL
        self._opened = True
        self._send(_FIRST_BYTE, end=False)
        return Opened()

    def _data_received(self, data: bytes, end: bool) -> list[Opened | Received | Ended | Broken]:
        found: list[Opened | Received | Ended | Broken] = []
        if self._is_dialer and not self._opened:
            return []
        if not self._opened and data:
            if data[:1] != _FIRST_BYTE:
                self.close(STREAM_ERROR, "the stream does not begin with the byte 0")
                return []
            self._handshake_deadline = None
            self._opened = True
            data = data[1:]
            found.append(Opened())
        if data:
            found.append(Received(data))
        if end:
            found.append(Ended())
        return found

    def _terminated_by(self, event: ConnectionTerminated) -> Broken:
        if self.problem is not None or event.error_code == NORMAL_CLOSE:
            return Broken(self.problem)
        if self._quic.has_failed_handshake:
            self.failed_tls = True
            return Broken(told_by_us(event.error_code, event.reason_phrase))
        if event.frame_type is not None and event.error_code in ALERTS:
            self.failed_tls = not self._opened
            return Broken(told_by_far_end(event.error_code))
        return Broken(f"the connection ended with code {event.error_code}: {event.reason_phrase or 'no reason given'}")


def _show(settings: QuicConfiguration, identity: Identity) -> None:
    settings.certificate = identity.certificate
    settings.certificate_chain = identity.issuers
    settings.private_key = identity.key


def _check_that_it_is_unsecured(shown: list[Certificate]) -> None:
    """So that we don't talk in clear to a secured listener."""
    if not _say_that_it_is_unsecured(shown):
        raise PeerError("insecure connection to secure service: it wants TLS, so name a tls-client")


def _say_that_it_is_unsecured(shown: list[Certificate]) -> bool:
    names = [value for item in shown for oid, _, value in item.subject if oid == _COMMON_NAME_OID]
    return INSECURE_COMMON_NAME.encode() in names


def _check_that_it_is(node: str, check: PeerCheck) -> ProofCheck:
    def check_certificates(shown: list[Certificate]) -> None:
        try:
            check([certificate.public_bytes() for certificate in shown], node)
        except PeerError as error:
            if _say_that_it_is_unsecured(shown):
                raise PeerError(
                    "the service has no TLS: name no tls-client, or give the service a tls-server"
                ) from None
            raise PeerError(f"the far end's certificate is not accepted: {error}") from None

    return check_certificates
