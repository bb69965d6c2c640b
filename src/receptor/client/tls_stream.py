"""TLS over a socket, with the half-close that Python's own TLS sockets lack.

The end of a payload is the end of what the client sends, while it still waits for an answer. A TLS socket of
the standard library can say that only by breaking the rules of TLS (RFC 8446, section 6.1), which some servers
take for an attack. Here the end is announced properly, and both directions may be used by a thread each.
"""

from __future__ import annotations

import socket
import ssl
import threading

_LARGEST_RECORD = 16 * 1024


class TlsStream:
    """The methods of a socket that a connection needs, encrypted. Errors are those of the socket and of ``ssl``."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        """Wrap a connected socket; it is closed if the handshake fails."""
        self._socket = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._tls_lock = threading.Lock()
        self._send_lock = threading.Lock()
        try:
            self._handshake()
        except BaseException:
            self.close()
            raise

    def certificate(self) -> bytes:
        """The server's certificate, in DER form."""
        return self._tls.getpeercert(binary_form=True) or b""

    def recv(self, size: int) -> bytes:
        """What has arrived, at least a byte; empty after the other side has ended its direction properly."""
        while True:
            with self._tls_lock:
                plain = self._decrypt()
            self._flush()
            if plain is not None:
                return plain
            self._receive(size)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        with self._tls_lock:
            while rest:
                rest = rest[self._tls.write(rest) :]
        self._flush()

    def shutdown(self, how: int) -> None:
        """End our direction (SHUT_WR); the other stays open."""
        with self._tls_lock:
            try:
                self._tls.unwrap()
            except ssl.SSLWantReadError:
                pass  # our end is announced; theirs is not here yet
        self._flush()
        self._socket.shutdown(how)

    def settimeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

    def gettimeout(self) -> float | None:
        return self._socket.gettimeout()

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        self._socket.setsockopt(level, option, value)

    def close(self) -> None:
        self._socket.close()

    def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive(_LARGEST_RECORD)
            except ssl.SSLError:
                self._flush()  # the alert that tells the server why
                raise
            else:
                self._flush()
                return

    def _decrypt(self) -> bytes | None:
        """All that can be decrypted by now; None if that is nothing."""
        plain = bytearray()
        while True:
            try:
                chunk = self._tls.read(_LARGEST_RECORD)
            except ssl.SSLWantReadError:
                return bytes(plain) or None
            except ssl.SSLZeroReturnError:
                chunk = b""
            if not chunk:
                return bytes(plain)
            plain += chunk

    def _receive(self, size: int) -> None:
        data = self._socket.recv(size)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        """Send what TLS wants to send; one at a time, since records must keep their order."""
        if self._outgoing.pending:
            with self._send_lock:
                self._socket.sendall(self._outgoing.read())
