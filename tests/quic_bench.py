"""Two ends of a QUIC connection on the bench: datagrams arrive at once, and time passes when a test says so."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from qh3.quic.connection import QuicConnection
from qh3.quic.events import QuicEvent
from shown_certificates import Shown
from simulation import credentials

from receptor.netceptor.qh3_connection import configuration, first_destination_id
from receptor.netceptor.quic import StreamConnection
from receptor.netceptor.stream_security import ListenerSecurity

SOMEWHERE = ("127.0.0.1", 1)

Result = TypeVar("Result")


class End(Protocol):
    """What both our ends and strangers' have."""

    def receive(self, datagrams: list[bytes], now: float) -> None: ...

    def datagrams(self, now: float) -> list[bytes]: ...

    def events(self, now: float) -> Sequence[object]: ...

    def advance(self, now: float) -> None: ...

    def deadline(self) -> float | None: ...


class Stranger:
    """An end that keeps none of our rules: plain qh3, for a test to misuse."""

    def __init__(self, connection: QuicConnection) -> None:
        self.quic = connection

    def receive(self, datagrams: list[bytes], now: float) -> None:
        self.quic.receive_many_datagrams(datagrams, SOMEWHERE, now)

    def datagrams(self, now: float) -> list[bytes]:
        return [datagram for datagram, _ in self.quic.datagrams_to_send(now)]

    def events(self, _now: float) -> list[QuicEvent]:
        found = []
        while (event := self.quic.next_event()) is not None:
            found.append(event)
        return found

    def advance(self, now: float) -> None:
        self.quic.handle_timer(now)

    def deadline(self) -> float | None:
        return self.quic.get_timer()


class Twisted(QuicConnection):
    """A connection that garbles the TLS messages which it sends."""

    twist: Callable[[bytes], bytes] = bytes

    def _call_core(self, operation: Callable[..., Result], *arguments: object) -> Result:
        if operation.__name__ == "send_crypto":
            epoch, offset, data = arguments
            assert isinstance(data, bytes)
            arguments = (epoch, offset, self.twist(data))
        return super()._call_core(operation, *arguments)


def strange_dialer(kind: type[QuicConnection] = QuicConnection) -> Stranger:
    settings = configuration(is_client=True)
    settings.verify_mode = ssl.CERT_NONE
    settings.verify_hostname = False
    return Stranger(kind(configuration=settings))


def strange_listener(
    first: bytes, shown: ListenerSecurity | Shown, kind: type[QuicConnection] = QuicConnection
) -> Stranger:
    """A stranger that answers a dialer's first datagram and shows that certificate."""
    settings = configuration(is_client=False)
    settings.load_cert_chain(shown.certificate, shown.key)
    return Stranger(kind(configuration=settings, original_destination_connection_id=first_destination_id(first)))


class Wire:
    """The datagrams between a dialer and a listener, and what the two make of them."""

    def __init__(self, dialer: End, listen: Callable[[bytes], End]) -> None:
        self.now = 0.0
        self.dialer = dialer
        self.cut = False
        first = dialer.datagrams(self.now)
        self.listener = listen(first[0])
        self.ends = (self.dialer, self.listener)
        self.sizes: dict[End, list[int]] = {end: [] for end in self.ends}
        self.happened: dict[End, list[object]] = {end: [] for end in self.ends}
        self._carry(self.dialer, self.listener, first)
        self.settle()

    def settle(self) -> None:
        """Carry datagrams until neither end has more."""
        busy = True
        while busy:
            busy = False
            for sender, receiver in (self.ends, self.ends[::-1]):
                self.happened[sender] += sender.events(self.now)
                datagrams = sender.datagrams(self.now)
                busy |= bool(datagrams)
                self._carry(sender, receiver, datagrams)

    def wait(self, seconds: float) -> None:
        """Let time pass. Even to send takes a moment, because QUIC spreads datagrams in time."""
        end = self.now + seconds
        self.settle()
        while (when := min((time for one in self.ends if (time := one.deadline()) is not None), default=end)) < end:
            self.now = max(self.now, when)
            for one in self.ends:
                deadline = one.deadline()
                if deadline is not None and deadline <= self.now:
                    one.advance(self.now)
            self.settle()
        self.now = end

    def _carry(self, sender: End, receiver: End, datagrams: list[bytes]) -> None:
        self.sizes[sender] += map(len, datagrams)
        if datagrams and not self.cut:
            receiver.receive(datagrams, self.now)


def accept(first: bytes, security: ListenerSecurity | None = None, dialer: str = "them") -> StreamConnection:
    """Our listener for the first datagram of a dialer on that node; unsecured unless told otherwise."""
    destination_id = first_destination_id(first)
    assert destination_id is not None
    return StreamConnection.accept(security or credentials(), dialer, destination_id, 0.0)


class OurWire(Wire):
    """Both ends are ours and the stream is open."""

    dialer: StreamConnection
    listener: StreamConnection

    def __init__(self) -> None:
        super().__init__(StreamConnection.dial("us", "them", 0.0), accept)
