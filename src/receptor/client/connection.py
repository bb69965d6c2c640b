"""One connection to a control service: the greeting, lines and bytes, with time limits.

Every problem of the socket becomes an error of ``receptor.errors`` that says where it happened, so that no
OSError leaves this module.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

from receptor.client import carrying, conversations
from receptor.client.address import Address, TcpAddress, UnixAddress
from receptor.client.conversations import (
    LONGEST_LINE,
    SEND_SECONDS,
    Conversation,
    EndSending,
    ReadLine,
    ReadSome,
    Request,
    Send,
    T,
)
from receptor.client.received import Received
from receptor.client.tls_settings import TlsSettings
from receptor.errors import ConfigurationError, OperatingError, ReceptorError, UnreachableError

if TYPE_CHECKING:
    from receptor.client.tls_stream import TlsStream

CONNECT_SECONDS = 30.0
"""The wait for the connection, and again for the TLS handshake and the greeting."""

CHUNK_BYTES = 256 * 1024


class Connection:
    """A connection that a node has greeted; made by ``connect``, closed by ``close`` or a ``with`` block."""

    def __init__(self, sock: socket.socket | TlsStream, address: Address) -> None:
        self._socket = sock
        self._received = Received(address)
        self._process = os.getpid()
        self.address = address
        self.node_id: str = ""
        self.deadline: float | None = None
        """The time, as ``time.monotonic`` tells it, after which nothing is waited for any more."""

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; safe to call again."""
        self._socket.close()

    def read_greeting(self, seconds: float = CONNECT_SECONDS) -> None:
        """Learn the node's id from its first line; raises PeerError if the other side is no Receptor."""
        self.node_id = self.hold(conversations.greeting(str(self.address), seconds))

    def hold(self, conversation: Conversation[T]) -> T:
        """Do what the conversation asks for, to its end; what it returns. Errors are its own."""
        return carrying.run(conversation, self.do)

    def do(self, request: Request) -> bytes:
        """Do one thing that a conversation asks for; what came of it."""
        match request:
            case Send(data, seconds):
                self.send(data, seconds)
            case ReadLine(awaited, seconds, longest):
                return self._line(awaited, seconds, longest)
            case ReadSome(seconds):
                return self.read_some(seconds)
            case EndSending():
                self.close_write()
        return b""

    def read_line(self, awaited: str, seconds: float | None, longest: int = LONGEST_LINE) -> str:
        """The next line without its end, once it is complete; None as seconds waits for ever.

        ``awaited`` names the line in errors. Raises UnreachableError if no byte comes for that many seconds or
        the connection ends first, PeerError if the line is longer than ``longest`` bytes.
        """
        return self._line(awaited, seconds, longest).decode(errors="replace").rstrip("\r")

    def _line(self, awaited: str, seconds: float | None, longest: int) -> bytes:
        while (line := self._received.line(awaited, longest)) is None:
            self._received.add(self._receive(awaited, seconds), awaited)
        return line

    def read_some(self, seconds: float | None = None) -> bytes:
        """The next bytes as soon as there are any, empty at the end; None as seconds waits for ever.

        Another thread may ``send`` meanwhile, if both wait for ever: a socket has one time limit for both.
        """
        if self._received:
            return self._received.take()
        return self._receive("more", seconds)

    def send(self, data: bytes, seconds: float | None = SEND_SECONDS) -> None:
        """Send all of it; raises UnreachableError if the node has not taken it within that time, or is gone."""
        with self._trouble("take data"):
            self._limit(seconds)
            self._socket.sendall(data)

    def close_write(self) -> None:
        """Tell the node that nothing more will be sent; its answers can still be read."""
        with self._trouble("take data"):
            self._socket.shutdown(socket.SHUT_WR)

    def interrupt(self) -> None:
        """End it in both directions: another thread that waits for more sees the end. ``close`` is still needed."""
        with suppress(OSError):  # it has ended already
            self._socket.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """Close so that the node can tell it from an orderly end of what was sent."""
        if isinstance(self.address, TcpAddress):
            with suppress(OSError):  # it is broken already
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _receive(self, awaited: str, seconds: float | None) -> bytes:
        with self._trouble(f"send {awaited}"):
            self._limit(seconds)
            return self._socket.recv(CHUNK_BYTES)

    def _limit(self, seconds: float | None) -> None:
        if self.deadline is not None:
            left = max(self.deadline - time.monotonic(), 0.001)
            seconds = left if seconds is None else min(seconds, left)
        self._socket.settimeout(seconds)

    def is_usable(self) -> bool:
        """Whether the next command can be given: nothing has come since the last answer, and no fork has copied it.

        Else the node has ended the connection meanwhile, or the process that has made it speaks over it too.
        """
        if self._process != os.getpid():
            return False
        self._socket.settimeout(0)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return not self._received
        except OSError:
            pass
        return False

    @contextmanager
    def _trouble(self, doing: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise silent(self.address, doing, self._socket.gettimeout()) from error
        except OSError as error:
            raise broken(self.address, error) from error


def silent(address: Address, doing: str, seconds: float | None) -> UnreachableError:
    """What there is to say of a node that takes too long."""
    return UnreachableError(
        f"{address} is connected, but did not {doing} for {seconds:g} s; is the node overloaded or stopped? Try again"
    )


def broken(address: Address, error: OSError) -> UnreachableError:
    """What there is to say of a connection that broke."""
    return UnreachableError(
        f"the connection to {address} broke ({error.strerror}); see whether the node still runs, then try again"
    )


def connect(address: Address, tls: TlsSettings | None = None, deadline: float | None = None) -> Connection:
    """Connect and read the greeting, within 30 seconds each, and before the ``deadline`` of the connection.

    Raises OperatingError if the socket is missing, forbidden or dead, UnreachableError if nobody answers in
    time, PeerError if the other side is no Receptor, ConfigurationError if TLS can't be set up as asked.
    """
    left = CONNECT_SECONDS if deadline is None else max(deadline - time.monotonic(), 0.001)
    connection = Connection(open_socket(address, tls, min(left, CONNECT_SECONDS)), address)
    connection.deadline = deadline
    try:
        connection.read_greeting()
    except BaseException:
        connection.close()
        raise
    return connection


def open_socket(address: Address, tls: TlsSettings | None, seconds: float) -> socket.socket | TlsStream:
    """Connect, without a look at the greeting; the errors are those of ``connect``."""
    if isinstance(address, UnixAddress):
        return _connect_unix(address, seconds)
    if address.tls:
        return _connect_tls(address, tls or TlsSettings(), seconds)
    return _connect_tcp(address, seconds)


def _connect_unix(address: UnixAddress, seconds: float) -> socket.socket:
    """Connect, waiting in the kernel while the node's queue is full: a Python timeout would fail at once there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        limit = divmod(int(seconds * 1_000_000), 1_000_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", *limit))
        sock.connect(address.path)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 0))
    except OSError as error:
        sock.close()
        raise not_connected(address, error, seconds) from error
    except BaseException:  # Ctrl-C
        sock.close()
        raise
    return sock


def _connect_tcp(address: TcpAddress, seconds: float) -> socket.socket:
    try:
        sock = socket.create_connection((address.host, address.port), seconds)
    except OSError as error:
        raise not_connected(address, error, seconds) from error
    keep_alive(sock)
    return sock


def keep_alive(sock: socket.socket) -> None:
    """Notice within two minutes that the other machine is gone, where nothing else limits a wait."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
    for option, value in ((idle, 60), (getattr(socket, "TCP_KEEPINTVL", None), 15)):
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    if hasattr(socket, "TCP_KEEPCNT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _connect_tls(address: TcpAddress, tls: TlsSettings, seconds: float) -> TlsStream:
    from receptor.client.tls_stream import TlsStream

    context = tls.context()
    sock = _connect_tcp(address, seconds)
    try:
        stream = TlsStream(sock, context, address.host)
    except OSError as error:
        raise no_handshake(address, error) from error
    try:
        check_pins(address, tls, stream.certificate())
    except ConfigurationError:
        stream.close()
        raise
    return stream


def no_handshake(address: Address, error: OSError) -> ReceptorError:
    """What there is to say of a TLS handshake that failed."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return ConfigurationError(
            f"the certificate of {address} is not trusted: {error.verify_message}; name its authority with --rootcas "
            "or a tls-client, in Python with TlsSettings(rootcas=...)"
        )
    reason = getattr(error, "reason", None) or error.strerror or error
    return UnreachableError(f"{address} does not complete a TLS handshake ({reason}); does it listen with TLS?")


def check_pins(address: Address, tls: TlsSettings, certificate: bytes) -> None:
    """Raise ConfigurationError if the server's certificate is not one of those that are asked for."""
    if not tls.accepts(certificate):
        raise ConfigurationError(f"the certificate of {address} matches none of the pinned fingerprints")


def not_connected(address: Address, error: OSError, seconds: float) -> ReceptorError:
    """What there is to say of a connection that could not be made."""
    if isinstance(error, FileNotFoundError):
        return OperatingError(
            f"there is no socket {address}; start the node, or give the path that its control-service has as filename"
        )
    if isinstance(error, PermissionError):
        return OperatingError(
            f"no permission to use the socket {address}; run as its owner, or change the permissions of the node's "
            "control-service"
        )
    if isinstance(address, UnixAddress) and isinstance(error, ConnectionRefusedError) and not _is_socket(address.path):
        return OperatingError(f"{address} is a file but no socket; give the filename of the node's control-service")
    if isinstance(error, ConnectionRefusedError):
        return OperatingError(f"nobody listens on {address}; start the node, or correct the address")
    if isinstance(error, TimeoutError) or error.errno == errno.EAGAIN:
        return UnreachableError(
            f"{address} did not accept the connection within {seconds:g} s; is the node overloaded? Try again"
        )
    return OperatingError(f"can't connect to {address}: {error.strerror or error}; check the address")


def _is_socket(path: str) -> bool:
    return stat.S_ISSOCK(os.stat(path).st_mode)
