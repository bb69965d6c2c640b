"""TLS over a blocking socket, with half-close, for a thread in each direction."""

from __future__ import annotations

import socket
import ssl
import threading
import time

from receptor.client.tls_engine import LARGEST_RECORD, TlsEngine


class TlsStream:
    """The methods of a socket that a connection needs, encrypted. Errors are those of the socket and of ``ssl``."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        """Wrap a connected socket; it is closed if the handshake fails."""
        self._socket = sock
        self._engine = TlsEngine(context, host)
        self._engine_lock = threading.Lock()
        self._send_lock = threading.Lock()
        """Held until the records are sent: they must keep their order. Taken before the other lock."""
        try:
            self._handshake()
        except BaseException:
            self.close()
            raise

    def certificate(self) -> bytes:
        """The server's certificate, in DER form."""
        return self._engine.certificate()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """What has arrived, at least a byte; empty after the other side has ended its direction properly.

        With flags nothing is decrypted: the answer is what the socket says to them.
        """
        if flags:
            return self._socket.recv(size, flags)
        while True:
            with self._engine_lock:
                plain = self._engine.read()
            self._send_answers()
            if plain or self._engine.is_over:
                return plain
            self._receive(size)

    def sendall(self, data: bytes) -> None:
        with self._send_lock:
            with self._engine_lock:
                self._engine.write(data)
            self._send_records()

    def shutdown(self, how: int) -> None:
        """End our direction (SHUT_WR); the other stays open. With SHUT_RDWR whoever still reads finds the end."""
        with self._send_lock:
            with self._engine_lock:
                self._engine.end()
            self._send_records()
            self._socket.shutdown(how)

    def settimeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

    def gettimeout(self) -> float | None:
        return self._socket.gettimeout()

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        self._socket.setsockopt(level, option, value)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def _handshake(self) -> None:
        """The time limit of the socket is one for the whole of it."""
        limit = self._socket.gettimeout()
        deadline = None if limit is None else time.monotonic() + limit
        while True:
            try:
                is_complete = self._engine.shake_hands()
            finally:
                self._send_records()
            if is_complete:
                return
            if deadline is not None:
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            self._receive(LARGEST_RECORD)

    def _receive(self, size: int) -> None:
        data = self._socket.recv(size)
        with self._engine_lock:
            self._engine.received(data)

    def _send_answers(self) -> None:
        """Send what TLS itself answers to what came.

        Nothing of the sender, who has the lock as long as there is any: else we might wait here for the other side to
        read, while it waits for us.
        """
        engine = self._engine
        if not engine.is_broken and engine.has_records and self._send_lock.acquire(blocking=False):
            try:
                self._send_records()
            finally:
                self._send_lock.release()

    def _send_records(self) -> None:
        with self._engine_lock:
            records = self._engine.records()
        if records:
            self._socket.sendall(records)
