"""A WebSocket connection as a session of the mesh: each packet is one binary message (RFC 6455)."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, Protocol, State

from receptor.backends.session import SessionOwner

CLOSE_TIME = 5.0
"""Seconds that a closed connection has to send what was queued."""

MOST_UNREAD = 1024 * 1024
"""Bytes that may wait for a far end that still gets its pings answered."""

WRITTEN_AT_ONCE = 64 * 1024
"""Bytes that are handed to a transport in one go."""

READ_AT_ONCE = 16 * 1024
"""Bytes that are taken apart in one go: 2,700 frames at most, in which nothing else has its turn."""

FRAMES_AT_ONCE = 64
"""Frames after which others have their turn. uvloop hands over megabytes at once, and frames may have six bytes."""

MOST_FRAMES = 1000
"""Frames that a message may have."""

logger = logging.getLogger("receptor.backends")


class WebSocketSession(asyncio.Protocol, ABC):
    """One connection: an opening handshake, and if that succeeds a session of the mesh."""

    def __init__(self, owner: SessionOwner, protocol: Protocol, peer: str) -> None:
        self._owner = owner
        self._protocol = protocol
        self._peer = peer
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_over = False
        self._unread = memoryview(b"")
        self._is_reading_on = False
        self._is_at_end = False
        self._is_lost = False
        self._unfinished = bytearray()
        self._unfinished_frames = 0
        self.number: int | None = None
        """What the owner calls it, once it is open."""

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up."""
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived; pass on the packets that are whole."""
        self._unread = memoryview(bytes(self._unread) + data if self._unread else data)
        if not self._is_reading_on:
            self._read()

    def eof_received(self) -> None:
        """The far end sends no more; the transport closes then."""
        self._is_at_end = True
        if not self._is_reading_on:
            self._read()

    def connection_lost(self, _error: Exception | None) -> None:
        """The connection is gone."""
        self.eof_received()
        self._is_lost = True
        self._stop_clock()

    def _read(self) -> None:
        """Look at some of what has come. If that is not all, the far end has to wait until it is."""
        assert self._transport is not None
        events: list[Event] = []
        while self._unread and len(events) < FRAMES_AT_ONCE:
            self._protocol.receive_data(bytes(self._unread[:READ_AT_ONCE]))
            self._unread = self._unread[READ_AT_ONCE:]
            events += self._protocol.events_received()
        if self._is_at_end and not self._unread and not self._is_over:
            self._protocol.receive_eof()
            events += self._protocol.events_received()
        self._go_on(events)
        had_to_wait, self._is_reading_on = self._is_reading_on, bool(self._unread)
        if self._is_reading_on:
            asyncio.get_running_loop().call_soon(self._read)
        if had_to_wait != self._is_reading_on and not self._transport.is_closing():  # uvloop's transports fail then
            if self._is_reading_on:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _go_on(self, events: Sequence[Event]) -> None:
        """Look at what the library made of the bytes that have come."""
        if self._is_over:
            self._protocol.data_to_send()
            if self._protocol.close_rcvd is not None:
                self._hang_up()
            return
        if self.number is None:
            self._shake_hands(events)
            events = events[1:]
        packets = [] if self._is_over else self._packets(events)
        self._answer()
        if packets:
            assert self.number is not None
            self._owner.packets_received(self.number, packets)
        if self._protocol.state in (State.CLOSING, State.CLOSED) and not self._is_over:
            self._end()

    def _packets(self, events: Iterable[Event]) -> list[bytes]:
        """The messages that are whole now. A text ends the session, and so does who cuts messages to pieces."""
        packets = []
        for frame in events:
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.TEXT:
                self._protocol.fail(CloseCode.UNSUPPORTED_DATA, "packets are binary messages")
                break
            if frame.opcode is Opcode.BINARY and frame.fin:
                packets.append(bytes(frame.data))
            elif frame.opcode in (Opcode.BINARY, Opcode.CONT):
                self._unfinished += frame.data
                self._unfinished_frames += 1
                if frame.fin:
                    packets.append(bytes(self._unfinished))
                    self._unfinished.clear()
                    self._unfinished_frames = 0
                elif not frame.data or self._unfinished_frames >= MOST_FRAMES:
                    self._protocol.fail(CloseCode.POLICY_VIOLATION, "a message is in too many pieces")
                    break
        return packets

    def _answer(self) -> None:
        """Send what the library has to say to what has come; no pongs to one who does not read them."""
        if self.queued < MOST_UNREAD:
            self._write()
        else:
            self._protocol.data_to_send()

    def _write(self) -> None:
        assert self._transport is not None
        data = b"".join(self._protocol.data_to_send())
        if self._transport.is_closing():  # uvloop's transports fail then
            return
        # With TLS a transport knows only at its next write how much of this one waits.
        for start in range(0, len(data), WRITTEN_AT_ONCE):
            self._transport.write(data[start : start + WRITTEN_AT_ONCE])

    # The opening handshake

    @abstractmethod
    def _shake_hands(self, events: Sequence[Event]) -> None:
        """Something has come; the first event is what the far end says, once that is complete."""

    def _open(self) -> None:
        self._stop_clock()
        self.number = self._owner.session_opened(self, self._peer)

    # The session

    def send(self, packets: Sequence[bytes]) -> None:
        """Queue packets, in this order."""
        if self._protocol.state is State.OPEN:
            for packet in packets:
                self._protocol.send_binary(packet)
            self._write()

    def close(self) -> None:
        """End the connection after what was queued, or in CLOSE_TIME at the latest."""
        if self._is_over:
            return
        self._is_over = True
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._write()
        self._start_clock(CLOSE_TIME)
        if not self.queued:  # else it is the far end that must say when it has got that: TLS drops what waits
            self._hang_up()

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size()

    def _end(self) -> None:
        """It has ended by itself."""
        self._is_over = True
        if self.number is not None:
            self._owner.session_closed(self.number)
        self._start_clock(CLOSE_TIME)
        complaint = self._protocol.close_sent
        if complaint is None or self._protocol.close_rcvd is not None:
            self._hang_up()
        else:  # Not at once, lest the system throws the complaint away with what has not been read.
            logger.info("%s broke the WebSocket protocol: %s", self._peer, complaint)

    def _hang_up(self) -> None:
        assert self._transport is not None
        self._transport.close()

    # Time

    def _start_clock(self, seconds: float) -> None:
        self._stop_clock()
        if self._is_lost:
            return
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def abort(self) -> None:
        """Leave nothing to the system either: what waits there for a far end that does not read is dropped."""
        assert self._transport is not None
        own_socket = self._transport.get_extra_info("socket")
        if own_socket is not None and own_socket.fileno() >= 0:
            own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
