"""One connection to a control service: the greeting, lines and bytes, with time limits.

Every problem of the socket becomes an error of ``receptor.errors`` that says where it happened, so that no
OSError leaves this module.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

from receptor.client.address import Address, TcpAddress, UnixAddress
from receptor.client.tls_settings import TlsSettings
from receptor.errors import ConfigurationError, OperatingError, PeerError, ReceptorError, UnreachableError

if TYPE_CHECKING:
    from receptor.client.tls_stream import TlsStream

CONNECT_SECONDS = 30.0
"""The wait for the connection, and again for the TLS handshake and the greeting."""

SEND_SECONDS = 300.0
"""The wait until the node has taken the next chunk; its disk may be slow, but not dead."""

CHUNK_BYTES = 256 * 1024
LONGEST_LINE = 256 * 1024 * 1024
_LONGEST_GREETING = 4096
_GREETING = re.compile(r"Receptor Control, node (.+)")


class Connection:
    """A connection that a node has greeted; made by ``connect``, closed by ``close`` or a ``with`` block."""

    def __init__(self, sock: socket.socket | TlsStream, address: Address) -> None:
        self._socket = sock
        self._received = bytearray()
        self.address = address
        self.node_id = ""

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
        line = self.read_line("its greeting", seconds, _LONGEST_GREETING)
        greeting = _GREETING.fullmatch(line)
        if greeting is None:
            raise PeerError(
                f"{self.address} greets with {line[:60]!r}, which is not what a Receptor control service says; "
                "check the address"
            )
        self.node_id = greeting[1]

    def read_line(self, awaited: str, seconds: float | None, longest: int = LONGEST_LINE) -> str:
        """The next line without its end, once it is complete; None as seconds waits for ever.

        ``awaited`` names the line in errors. Raises UnreachableError if no byte comes for that many seconds or
        the connection ends first, PeerError if the line is longer than ``longest`` bytes.
        """
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > longest:
                raise PeerError(f"{self.address} sends a line of more than {longest} bytes as {awaited}")
            chunk = self._receive(awaited, seconds)
            if not chunk:
                raise UnreachableError(
                    f"{self.address} closed the connection instead of sending {awaited}; see the node's log"
                )
            self._received += chunk
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line.decode(errors="replace").rstrip("\r")

    def read_some(self) -> bytes:
        """The next bytes as soon as there are any, empty at the end; waits for ever.

        Another thread may ``send`` meanwhile, if it waits for ever too: a socket has one time limit for both.
        """
        if self._received:
            early = bytes(self._received)
            self._received.clear()
            return early
        return self._receive("more", None)

    def send(self, data: bytes, seconds: float | None = SEND_SECONDS) -> None:
        """Send all of it; raises UnreachableError if the node has not taken it within that time, or is gone."""
        with self._trouble("take data"):
            self._socket.settimeout(seconds)
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
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _receive(self, awaited: str, seconds: float | None) -> bytes:
        with self._trouble(f"send {awaited}"):
            self._socket.settimeout(seconds)
            return self._socket.recv(CHUNK_BYTES)

    @contextmanager
    def _trouble(self, doing: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            seconds = self._socket.gettimeout()
            raise UnreachableError(
                f"{self.address} is connected, but did not {doing} for {seconds:g} s; is the node overloaded or "
                "stopped? Try again"
            ) from error
        except OSError as error:
            raise UnreachableError(
                f"the connection to {self.address} broke ({error.strerror}); see whether the node still runs, then "
                "try again"
            ) from error


def connect(address: Address, tls: TlsSettings | None = None) -> Connection:
    """Connect and read the greeting, within 30 seconds each.

    Raises OperatingError if the socket is missing, forbidden or dead, UnreachableError if nobody answers in
    time, PeerError if the other side is no Receptor, ConfigurationError if TLS can't be set up as asked.
    """
    if isinstance(address, UnixAddress):
        connection = Connection(_connect_unix(address), address)
    elif address.tls:
        connection = _connect_tls(address, tls or TlsSettings())
    else:
        connection = Connection(_connect_tcp(address), address)
    try:
        connection.read_greeting()
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_unix(address: UnixAddress) -> socket.socket:
    """Connect, waiting in the kernel while the node's queue is full: a Python timeout would fail at once there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        limit = divmod(int(CONNECT_SECONDS * 1_000_000), 1_000_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", *limit))
        sock.connect(address.path)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 0))
    except OSError as error:
        sock.close()
        raise _not_connected(address, error) from error
    return sock


def _connect_tcp(address: TcpAddress) -> socket.socket:
    try:
        sock = socket.create_connection((address.host, address.port), CONNECT_SECONDS)
    except OSError as error:
        raise _not_connected(address, error) from error
    _keep_alive(sock)
    return sock


def _keep_alive(sock: socket.socket) -> None:
    """Notice within two minutes that the other machine is gone, where nothing else limits a wait."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
    for option, value in ((idle, 60), (getattr(socket, "TCP_KEEPINTVL", None), 15)):
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    if hasattr(socket, "TCP_KEEPCNT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _connect_tls(address: TcpAddress, tls: TlsSettings) -> Connection:
    import ssl

    from receptor.client.tls_stream import TlsStream

    context = tls.context()
    sock = _connect_tcp(address)
    try:
        stream = TlsStream(sock, context, address.host)
    except ssl.SSLCertVerificationError as error:
        raise ConfigurationError(
            f"the certificate of {address} is not trusted: {error.verify_message}; name its authority with --rootcas "
            "or a tls-client"
        ) from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise UnreachableError(
            f"{address} does not complete a TLS handshake ({reason}); does it listen with TLS?"
        ) from error
    if not tls.accepts(stream.certificate()):
        stream.close()
        raise ConfigurationError(f"the certificate of {address} matches none of the pinned fingerprints")
    return Connection(stream, address)


def _not_connected(address: Address, error: OSError) -> ReceptorError:
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
            f"{address} did not accept the connection within {CONNECT_SECONDS:g} s; is the node overloaded? Try again"
        )
    return OperatingError(f"can't connect to {address}: {error.strerror or error}; check the address")


def _is_socket(path: str) -> bool:
    return stat.S_ISSOCK(os.stat(path).st_mode)
