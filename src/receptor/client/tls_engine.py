"""TLS without a socket, with the half-close that Python's own TLS sockets and streams lack.

The end of a payload is the end of what the client sends, while it still waits for an answer. A TLS socket of
the standard library can say that only by breaking the rules of TLS (RFC 8446, section 6.1), which some servers
take for an attack. Here the end is announced properly.
"""

from __future__ import annotations

import ssl

LARGEST_RECORD = 16 * 1024


class TlsEngine:
    """The client's end of one TLS connection: what arrives and what is said go in, plain bytes and records come out.

    Errors are those of ``ssl``. Nothing here waits, and nothing is safe for several threads.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._plain = bytearray()
        """What has been decrypted and not been read yet."""
        self._problem: ssl.SSLError | None = None
        self.is_over: bool = False
        """Whether the other side has ended its direction properly."""

    def shake_hands(self) -> bool:
        """Go on with the handshake, as far as what has arrived allows; whether it is complete.

        What ``records`` gives must be sent in any case: after an error it is the alert that tells the server why.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def certificate(self) -> bytes:
        """The server's certificate, in DER form."""
        return self._tls.getpeercert(binary_form=True) or b""

    def received(self, data: bytes) -> None:
        """Take what has arrived; empty for the end of the stream below."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def read(self) -> bytes:
        """All that can be decrypted by now; raises what is wrong with the rest once that has been read."""
        self._decrypt()
        plain = bytes(self._plain)
        self._plain.clear()
        if self._problem is not None and not plain:
            raise self._problem
        return plain

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt all of it."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]

    def end(self) -> None:
        """Announce that nothing more will be written; the other direction stays open."""
        self._decrypt()  # unwrap would take data that is still there for a breach of the rules
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # our end is announced; theirs is not here yet

    @property
    def has_records(self) -> bool:
        """Whether there is anything to send."""
        return self._outgoing.pending > 0

    @property
    def is_broken(self) -> bool:
        """Whether the other side has broken the rules, or the connection: nothing can be said any more."""
        return self._problem is not None

    def records(self) -> bytes:
        """What must be sent now, in this order."""
        return self._outgoing.read()

    def _decrypt(self) -> None:
        while not (self.is_over or self._problem):
            try:
                chunk = self._tls.read(LARGEST_RECORD)
            except ssl.SSLWantReadError:
                return
            except ssl.SSLZeroReturnError:
                chunk = b""
            except ssl.SSLError as error:
                self._problem = error
                return
            self._plain += chunk
            self.is_over = not chunk
