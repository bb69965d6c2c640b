"""The TCP backend: packets in frames over a connection, plain or with TLS (mesh protocol, section 1)."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import Sequence
from typing import cast

from receptor.accepting import Acceptor, tcp_sockets
from receptor.backends.dialling import CONNECT_TIMEOUT, Dialer
from receptor.backends.session import ENDED_AT_ONCE, SessionOwner, TlsSettings
from receptor.errors import OperatingError
from receptor.netceptor.framing import Framer, frames

CLOSE_TIME = 5.0
"""Seconds that a closed connection has to send what was queued."""

WRITTEN_AT_ONCE = 65_536
"""Bytes."""

logger = logging.getLogger("receptor.backends")


class TcpSession(asyncio.Protocol):
    """One TCP connection as a session of the mesh."""

    def __init__(self, owner: SessionOwner) -> None:
        self._owner = owner
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._is_closed = False
        self._end_of_close: asyncio.TimerHandle | None = None
        self.number = 0
        self.ended_unexplained = False
        """Whether the far end has closed the connection without a word."""
        self._was_heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up: hand it to the mesh."""
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._peer = _peer_name(transport)
        self.number = self._owner.session_opened(self, self._peer)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived; pass on the packets that are whole."""
        self._was_heard = True
        packets = self._framer.feed(data)
        if packets and not self._is_closed:  # With TLS something may still come then.
            self._owner.packets_received(self.number, packets)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        if self._end_of_close is not None:
            self._end_of_close.cancel()
        if not self._is_closed:
            if isinstance(error, ssl.SSLError):
                logger.warning("TLS with %s failed: %s; see the log of the other end", self._peer, error.strerror)
            else:
                self.ended_unexplained = not self._was_heard
            self._is_closed = True
            self._owner.session_closed(self.number)

    def send(self, packets: Sequence[bytes]) -> None:
        """Queue packets, in this order."""
        assert self._transport is not None
        if not self._transport.is_closing():  # uvloop's transports fail then
            data = b"".join(frames(packets))
            # With TLS a transport knows only at its next write how much of this one waits.
            for start in range(0, len(data), WRITTEN_AT_ONCE):
                self._transport.write(data[start : start + WRITTEN_AT_ONCE])

    def close(self) -> None:
        """End the connection after what was queued, or in CLOSE_TIME at the latest."""
        assert self._transport is not None
        if not self._is_closed:
            self._is_closed = True
            self._end_of_close = asyncio.get_running_loop().call_later(CLOSE_TIME, self._abort)
            self._transport.close()

    def _abort(self) -> None:
        """Leave nothing to the system either: what waits there for a far end that does not read is dropped."""
        assert self._transport is not None
        own_socket = self._transport.get_extra_info("socket")
        if own_socket is not None and own_socket.fileno() >= 0:
            own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size()


class TcpListener:
    """Accepts neighbours on a port."""

    def __init__(self, owner: SessionOwner, address: str, port: int, tls: TlsSettings | None = None) -> None:
        self._owner = owner
        self._address = address
        self._port = port
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._acceptor: Acceptor | None = None

    async def start(self) -> None:
        """Listen. Raises OperatingError if the port can't be had."""
        try:
            self._sockets = await tcp_sockets(self._address, self._port)
        except OSError as error:
            raise OperatingError(
                f"tcp-listener can't listen on {self._address}:{self._port}: {error.strerror or error};"
                " choose another port or bindaddr, or stop what uses it"
            ) from None
        name = f"tcp-listener {self._address}:{self.port}"
        self._acceptor = Acceptor(name, self._sockets, self._session, self._tls.context if self._tls else None)
        logger.info("listening for neighbours on TCP %s:%d", self._address, self.port)

    @property
    def port(self) -> int:
        """The port that is listened on; the chosen one if the configured port is 0."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Accept no more."""
        if self._acceptor is not None:
            await self._acceptor.stop()

    def _session(self) -> TcpSession:
        return TcpSession(self._owner)


class TcpDialer(Dialer):
    """Keeps one connection to a neighbour, dialling again when it ends."""

    def __init__(self, owner: SessionOwner, host: str, port: int, redial: bool, tls: TlsSettings | None = None) -> None:
        super().__init__(f"tcp-peer {host}:{port}", redial)
        self._owner = owner
        self._host = host
        self._port = port
        self._tls = tls

    async def dial(self) -> bool:
        """Connect, and stay until the connection ends. With TLS, the far end must be the host by its certificate."""
        loop = asyncio.get_running_loop()
        context = self._tls.context() if self._tls else None
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, session = await loop.create_connection(
                lambda: TcpSession(self._owner), self._host, self._port, ssl=context
            )
        became_link = await self._owner.link_ended(session.number)
        if self._tls and session.ended_unexplained:
            raise ConnectionAbortedError(ENDED_AT_ONCE)
        return became_link


def _peer_name(transport: asyncio.BaseTransport) -> str:
    address = transport.get_extra_info("peername")
    return f"{address[0]}:{address[1]}" if address else "a closed connection"
