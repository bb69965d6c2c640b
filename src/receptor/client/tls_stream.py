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
        """For all use of the TLS object and its two buffers."""
        self._send_lock = threading.Lock()
        """Held until the records are sent: they must keep their order. Taken before the other lock."""
        self._plain = bytearray()
        """What has been decrypted and not been read yet."""
        self._is_over = False
        self._problem: ssl.SSLError | None = None
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
                self._decrypt()
                plain = bytes(self._plain)
                self._plain.clear()
            if self._problem is not None and not plain:
                raise self._problem
            self._send_answers()
            if plain or self._is_over:
                return plain
            self._receive(size)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        with self._send_lock:
            with self._tls_lock:
                while rest:
                    rest = rest[self._tls.write(rest) :]
            self._send_records()

    def shutdown(self, how: int) -> None:
        """End our direction (SHUT_WR); the other stays open."""
        with self._send_lock:
            with self._tls_lock:
                self._decrypt()  # unwrap would take data that is still there for a breach of the rules
                try:
                    self._tls.unwrap()
                except ssl.SSLWantReadError:
                    pass  # our end is announced; theirs is not here yet
            self._send_records()
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
                self._send_records()
                self._receive(_LARGEST_RECORD)
            except ssl.SSLError:
                self._send_records()  # the alert that tells the server why
                raise
            else:
                self._send_records()
                return

    def _decrypt(self) -> None:
        """Decrypt all that has arrived by now."""
        while not (self._is_over or self._problem):
            try:
                chunk = self._tls.read(_LARGEST_RECORD)
            except ssl.SSLWantReadError:
                return
            except ssl.SSLZeroReturnError:
                chunk = b""
            except ssl.SSLError as error:
                self._problem = error
                return
            self._plain += chunk
            self._is_over = not chunk

    def _receive(self, size: int) -> None:
        data = self._socket.recv(size)
        with self._tls_lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def _send_answers(self) -> None:
        """Send what TLS itself answers to what came.

        Nothing of the sender, who has the lock as long as there is any: else we might wait here for the other side to
        read, while it waits for us.
        """
        if self._problem is None and self._outgoing.pending and self._send_lock.acquire(blocking=False):
            try:
                self._send_records()
            finally:
                self._send_lock.release()

    def _send_records(self) -> None:
        with self._tls_lock:
            records = self._outgoing.read()
        if records:
            self._socket.sendall(records)
