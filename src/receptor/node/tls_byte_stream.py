"""TLS over another byte stream, with both half-closes and without taking a cut for an end.

The TLS of the event loops has neither: it ends a connection in both directions with the first of them, and tells the
end of a TCP connection that was cut like the end that TLS announces (RFC 8446, section 6.1).
"""

from __future__ import annotations

import ssl

from receptor.node.byte_stream import ByteStream, Truncated, breaks_as_connection_error

_LARGEST_RECORD = 16 * 1024


class TlsStream(ByteStream):
    """An encrypted stream. The other end must announce its end by TLS; else the stream breaks."""

    def __init__(self, carrier: ByteStream, context: ssl.SSLContext, server_name: str | None) -> None:
        super().__init__(carrier.origin)
        self._carrier = carrier
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self._is_ended = False

    @classmethod
    async def accept(cls, carrier: ByteStream, context: ssl.SSLContext) -> TlsStream:
        """Secure a stream as its server. Raises ConnectionError if that fails; the carrier is left to the caller."""
        return await cls(carrier, context, None)._shaken_hands()

    @classmethod
    async def connect(cls, carrier: ByteStream, context: ssl.SSLContext, server_name: str) -> TlsStream:
        """Secure a stream as its client. ``server_name``: the host name or address that the server must prove to have.

        Raises ConnectionError if that fails; the carrier is left to the caller.
        """
        return await cls(carrier, context, server_name)._shaken_hands()

    async def _shaken_hands(self) -> TlsStream:
        with breaks_as_connection_error():
            while True:
                try:
                    self._tls.do_handshake()
                except ssl.SSLWantReadError:
                    await self._flush()
                    await self._take_in()
                except ssl.SSLError:
                    await self._flush()  # the alert that tells the other end why
                    raise
                else:
                    await self._flush()
                    return self

    async def _receive(self) -> bytes:
        with breaks_as_connection_error():
            while (plain := self._decrypted()) is None:
                await self._flush()
                await self._take_in()
            return plain

    def _decrypted(self) -> bytes | None:
        """All that can be decrypted by now, none at the end; None if that takes more from the carrier.

        Nothing is left behind: TLS can't announce our end while something waits to be read.
        """
        plain = bytearray()
        while True:
            try:
                chunk = self._tls.read(_LARGEST_RECORD)
            except ssl.SSLWantReadError:
                return bytes(plain) or None
            except ssl.SSLZeroReturnError:
                return bytes(plain)
            except ssl.SSLEOFError:
                if plain:
                    return bytes(plain)  # The next read finds it again.
                raise Truncated("the connection was cut: TLS announced no end") from None
            except ssl.SSLError:
                if plain:
                    return bytes(plain)  # The next read finds the error again.
                raise
            if not chunk:
                return bytes(plain)
            plain += chunk

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        with breaks_as_connection_error():
            while rest:
                rest = rest[self._tls.write(rest) :]
            await self._flush()

    async def end(self) -> None:
        with breaks_as_connection_error():
            await self._announce_end()
            await self._carrier.end()

    async def _announce_end(self) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # Ours is announced; theirs is not here yet.
        await self._flush()

    @property
    def has_left(self) -> bool:
        return self._carrier.has_left

    async def left(self) -> None:
        await self._carrier.left()

    async def finish(self) -> None:
        try:
            with breaks_as_connection_error():
                await self._announce_end()
        except ConnectionError:
            pass  # Then nobody is there to whom it matters.
        await self._carrier.finish()

    async def delivered(self) -> None:
        await self._carrier.delivered()

    def close(self) -> None:
        self._carrier.close()

    async def _take_in(self) -> None:
        data = await self._carrier.read()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        """Send what TLS wants to send; it reaches the carrier in the order in which TLS wrote it."""
        if self._outgoing.pending:
            await self._carrier.write(self._outgoing.read())
