"""All streams of a node: which datagram belongs to which connection, and who listens (mesh protocol, section 6)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from receptor.errors import UnreachableError
from receptor.identifiers import is_localhost, random_name
from receptor.netceptor.complaints import Complaints
from receptor.netceptor.effects import (
    Effect,
    Severity,
    StreamClosed,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamWritable,
)
from receptor.netceptor.limits import DEFAULT_LIMITS, MeshLimits
from receptor.netceptor.messages import BLOCKED_BY_FIREWALL, SERVICE_UNKNOWN, Unreachable
from receptor.netceptor.packets import Address, Datagram
from receptor.netceptor.stream_events import (
    NORMAL_CLOSE,
    NORMAL_REASON,
    STREAM_ERROR,
    Broken,
    Ended,
    Opened,
    Received,
)
from receptor.netceptor.switch import Switch
from receptor.netceptor.timers import Timers

if TYPE_CHECKING:
    # qh3 takes 30 ms, and 31 more for its first random number, and 8 MiB: it is loaded for the first stream.
    from receptor.netceptor.quic import StreamConnection
    from receptor.netceptor.stream_security import DialerSecurity, ListenerSecurity

WRITE_LIMIT = 1024 * 1024
"""Unsent bytes above which a writer has to wait for StreamWritable."""

WRITE_RESUME = WRITE_LIMIT // 4


class _Stream(msgspec.Struct):
    number: int
    connection: StreamConnection
    local: Address
    remote: Address
    is_dialer: bool
    received: list[bytes] = msgspec.field(default_factory=list)
    opened: bool = False
    told_closed: bool = False
    writer_waits: bool = False
    seems_restarted: bool = False


class Streams:
    """The streams of this node; the shell knows them by number."""

    def __init__(
        self,
        own_id: str,
        switch: Switch,
        credentials: Callable[[], ListenerSecurity],
        rng: random.Random,
        complaints: Complaints,
        emit: Callable[[Effect], None],
        limits: MeshLimits = DEFAULT_LIMITS,
    ) -> None:
        """``credentials`` are what unsecured services show."""
        self.timers: Timers[int] = Timers()
        self._own = own_id
        self._switch = switch
        self._credentials = credentials
        self._listeners: dict[str, Callable[[], ListenerSecurity]] = {}
        self._accepted: Counter[str] = Counter()
        self._rng = rng
        self._complaints = complaints
        self._emit = emit
        self._limits = limits
        self._streams: dict[int, _Stream] = {}
        self._by_address: dict[tuple[str, Address], _Stream] = {}
        self._touched: dict[int, _Stream] = {}
        self._count = 0
        self._dialled = 0
        self._unopened = 0
        switch.on_unreachable(self._unreachable)

    # Commands

    def listen(self, service: str, security: Callable[[], ListenerSecurity] | None = None) -> None:
        """Accept streams for a service of this node. Raises ValueError if the service is taken.

        ``security`` is asked at each new connection, and must not raise; without it the service is unsecured.
        """
        if service in self._listeners or not self._accepted[service]:
            self._switch.open(service, self._datagram_for_listener)
        self._listeners[service] = security or self._credentials

    def unlisten(self, service: str) -> None:
        """Accept no more streams for a service; those that are open go on. Does nothing if it is not listened on."""
        if self._listeners.pop(service, None) is None:
            return
        for stream in self._streams.values():
            if stream.local.service == service and not (stream.is_dialer or stream.opened):
                self.close(stream.number)
        self._close_if_unused(service)

    def dial(self, node: str, service: str, now: float, security: DialerSecurity | None = None) -> int:
        """Begin a stream to a service; StreamOpened or StreamClosed follows for its number.

        Without ``security`` the stream opens to an unsecured service only, else only to one that is accepted as the
        node. Raises UnreachableError if this node has as many streams as it may.
        """
        if self._dialled >= self._limits.dialled_streams:
            raise UnreachableError(
                f"this node has opened {self._dialled} streams already; end some, or raise the limit"
            )
        remote = Address(self._own if is_localhost(node) else node, service)
        local = Address(self._own, random_name(self._rng))
        self._switch.open(local.service, self._datagram_for_open_stream)
        from receptor.netceptor.quic import StreamConnection

        connection = StreamConnection.dial(self._own, remote.node, now, security)
        return self._add(connection, local, remote, is_dialer=True).number

    def write(self, number: int, data: bytes) -> bool:
        """Queue bytes; False if the writer should wait for StreamWritable before it writes more."""
        stream = self._streams.get(number)
        if stream is None:
            return True
        stream.connection.write(data)
        self._touched[number] = stream
        stream.writer_waits = stream.connection.unsent > WRITE_LIMIT
        return not stream.writer_waits

    def end(self, number: int) -> None:
        """Close our half of a stream after what was written."""
        stream = self._streams.get(number)
        if stream is not None:
            stream.connection.end()
            self._touched[number] = stream

    def finish(self, number: int, now: float) -> None:
        """End our half and forget the stream: it closes when everything is delivered. No effect follows for it."""
        stream = self._streams.get(number)
        if stream is not None:
            stream.told_closed = True
            stream.connection.finish(now)
            self._touched[number] = stream

    def close(self, number: int) -> None:
        """End a stream in both directions now; what isn't delivered yet is lost. No effect follows for it."""
        stream = self._streams.get(number)
        if stream is not None:
            stream.told_closed = True
            stream.connection.close(NORMAL_CLOSE, NORMAL_REASON)
            self._touched[number] = stream

    def pause(self, number: int) -> None:
        """Hold back the data of a stream until ``resume``."""
        if number in self._streams:
            self._streams[number].connection.pause()

    def resume(self, number: int) -> None:
        """Let the data of a stream come again."""
        stream = self._streams.get(number)
        if stream is not None:
            stream.connection.resume()
            self._touched[number] = stream

    # Time and traffic

    @property
    def has_work(self) -> bool:
        """Whether ``flush`` would do anything."""
        return bool(self._touched)

    def advance(self, now: float) -> None:
        """Serve the streams whose time has come."""
        for number in self.timers.due(now):
            stream = self._streams.get(number)
            if stream is not None:
                stream.connection.advance(now)
                self._touched[number] = stream

    def flush(self, now: float) -> None:
        """Give each stream what has arrived for it, emit what it tells, and send what it has to send."""
        touched, self._touched = self._touched, {}
        for stream in touched.values():
            self._flush(stream, now)

    def _flush(self, stream: _Stream, now: float) -> None:
        connection = stream.connection
        if stream.received:
            received, stream.received = stream.received, []
            connection.receive(received, now)
        for event in connection.events(now):
            self._tell(stream, event, now)
        try:
            for datagram in connection.datagrams(now):
                self._switch.send(stream.local.service, stream.remote, datagram, now)
        except UnreachableError as error:
            self._undeliverable(stream, str(error), now)
        if stream.writer_waits and connection.unsent < WRITE_RESUME:
            stream.writer_waits = False
            self._emit(StreamWritable(stream.number))
        deadline = connection.deadline()
        if connection.is_over or deadline is None:
            self._remove(stream)
        else:
            self.timers.set(stream.number, deadline)

    def _tell(self, stream: _Stream, event: Opened | Received | Ended | Broken, now: float) -> None:
        if stream.told_closed:
            return
        match event:
            case Opened():
                self._count_opened(stream)
                self._emit(StreamOpened(stream.number, stream.local, stream.remote))
            case Received(data):
                self._emit(StreamData(stream.number, data))
            case Ended():
                self._emit(StreamEnded(stream.number))
            case Broken(problem):
                if stream.connection.failed_tls:
                    self._complain_of_tls(stream, problem, now)
                self._tell_closed(stream, problem)

    def _complain_of_tls(self, stream: _Stream, problem: str | None, now: float) -> None:
        """Who dials wants it to work, and somebody must put it right; strangers may try what they like."""
        node, service = stream.remote.node, stream.local.service
        if stream.is_dialer:
            text = f"a stream to {stream.remote} can't be secured: {problem}"
            self._complaints.say(("no TLS", stream.remote), text, now, node, Severity.ERROR)
        else:
            text = f"a stream of {node} to the service {service} can't be secured: {problem}"
            self._complaints.say(("no TLS", service, node), text, now, node)

    def _undeliverable(self, stream: _Stream, problem: str, now: float) -> None:
        """The mesh has no way to the far end: a dialer hears it at once, an open stream waits for a new route."""
        if stream.is_dialer and not stream.opened:
            stream.connection.close(STREAM_ERROR, problem)
            self._tell_closed(stream, problem)

    def _tell_closed(self, stream: _Stream, problem: str | None) -> None:
        if not stream.told_closed:
            stream.told_closed = True
            if stream.opened or stream.is_dialer:
                self._emit(StreamClosed(stream.number, problem, stream.connection.failed_tls))

    # Which stream

    def _datagram_for_listener(self, datagram: Datagram, now: float) -> None:
        key = (datagram.destination.service, datagram.source)
        stream = self._by_address.get(key)
        if stream is not None and not (stream.connection.is_over or stream.told_closed):
            self._feed(stream, datagram)
            return
        from receptor.netceptor.qh3_connection import belongs_to_a_connection, first_destination_id
        from receptor.netceptor.quic import StreamConnection

        destination_id = first_destination_id(datagram.payload)
        security = self._listeners.get(datagram.destination.service)
        if security is None:
            self._switch.report(datagram, SERVICE_UNKNOWN, now)
            return
        if destination_id is None:
            if stream is not None:
                self._feed(stream, datagram)
            elif belongs_to_a_connection(datagram.payload):
                self._switch.report(datagram, SERVICE_UNKNOWN, now)
            return
        problem = self._too_many_accepted()
        if problem is not None:
            self._complaints.say("too many streams", f"a stream was refused: {problem}", now, datagram.source.node)
            return
        connection = StreamConnection.accept(security(), datagram.source.node, destination_id, now)
        self._feed(self._add(connection, datagram.destination, datagram.source, is_dialer=False), datagram)

    def _too_many_accepted(self) -> str | None:
        if self._unopened >= self._limits.unopened_streams:
            return f"{self._unopened} streams that others have begun to open wait for their handshake"
        accepted = len(self._streams) - self._dialled
        if accepted >= self._limits.accepted_streams:
            return f"others have opened {accepted} streams to this node"
        return None

    def _datagram_for_open_stream(self, datagram: Datagram, _now: float) -> None:
        stream = self._by_address.get((datagram.destination.service, datagram.source))
        if stream is not None:
            self._feed(stream, datagram)

    def _feed(self, stream: _Stream, datagram: Datagram) -> None:
        stream.received.append(datagram.payload)
        stream.seems_restarted = False
        self._touched[stream.number] = stream

    def node_restarted(self, node: str, now: float) -> None:
        """Ask the far ends on a node that seems to be another run now: one that knows nothing of a stream says so.

        Existing nodes say nothing. The streams are not taken for lost before, because whoever forges a routing update
        would end them.
        """
        for stream in self._streams.values():
            if stream.remote.node == node:
                stream.seems_restarted = True
                stream.connection.probe(now)
                self._touched[stream.number] = stream

    def _unreachable(self, message: Unreachable, reporter: str, now: float) -> None:
        stream = self._by_address.get((message.from_service, Address(message.to_node, message.to_service)))
        if stream is None:
            return
        if message.problem == BLOCKED_BY_FIREWALL and stream.is_dialer and not stream.opened:
            blocked = f"{message.problem} of {reporter}: {message.to_service} on {message.to_node}"
            self._tell_closed(stream, blocked)
            self._remove(stream)
        if message.problem != SERVICE_UNKNOWN:
            return
        unknown = f"{message.problem}: {message.to_service} on {message.to_node}"
        self._tell_closed(stream, f"{message.to_node} was restarted" if stream.seems_restarted else unknown)
        stream.connection.close(STREAM_ERROR, message.problem)
        self._remove(stream)

    def _add(self, connection: StreamConnection, local: Address, remote: Address, is_dialer: bool) -> _Stream:
        self._count += 1
        stream = _Stream(self._count, connection, local, remote, is_dialer)
        self._streams[stream.number] = stream
        self._by_address[local.service, remote] = stream
        self._touched[stream.number] = stream
        self._dialled += is_dialer
        self._unopened += not is_dialer
        if not is_dialer:
            self._accepted[local.service] += 1
        return stream

    def _count_opened(self, stream: _Stream) -> None:
        if not stream.opened:
            stream.opened = True
            self._unopened -= not stream.is_dialer

    def _remove(self, stream: _Stream) -> None:
        self._tell_closed(stream, stream.connection.problem)
        self._count_opened(stream)
        self.timers.cancel(stream.number)
        if self._streams.pop(stream.number, None) is not None:
            self._dialled -= stream.is_dialer
            if not stream.is_dialer:
                self._accepted[stream.local.service] -= 1
                self._close_if_unused(stream.local.service)
        self._touched.pop(stream.number, None)
        key = (stream.local.service, stream.remote)
        if self._by_address.get(key) is stream:
            del self._by_address[key]
        if stream.is_dialer:
            self._switch.close(stream.local.service)

    def _close_if_unused(self, service: str) -> None:
        """Give a service up that is not listened on any more, when the last of its streams has ended."""
        if service not in self._listeners and not self._accepted[service]:
            del self._accepted[service]
            self._switch.close(service)
