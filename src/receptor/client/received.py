"""What has come over a connection and is not taken yet, for threads and for asyncio alike."""

from __future__ import annotations

from receptor.client.address import Address
from receptor.errors import PeerError, UnreachableError


class Received:
    """Bytes from ``address``, to be taken as lines or as they are."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._bytes = bytearray()
        self._searched = 0
        """How many of them are known to hold no end of a line."""

    def __bool__(self) -> bool:
        return bool(self._bytes)

    def add(self, chunk: bytes, awaited: str) -> None:
        """More has come; an empty chunk is the end, which raises UnreachableError: ``awaited`` is missing."""
        if not chunk:
            raise UnreachableError(
                f"{self._address} closed the connection instead of sending {awaited}; see the node's log"
            )
        self._bytes += chunk

    def line(self, awaited: str, longest: int) -> bytes | None:
        """The next line without its end; None if it is not complete, PeerError if it is too long already."""
        end = self._bytes.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._bytes)
            if self._searched > longest:
                raise PeerError(
                    f"{self._address} sends a line of more than {longest} bytes as {awaited}; is it a node? Check the "
                    "address"
                )
            return None
        line = bytes(self._bytes[:end])
        del self._bytes[: end + 1]
        self._searched = 0
        return line

    def take(self) -> bytes:
        """All of it; empty if there is nothing."""
        everything = bytes(self._bytes)
        self._bytes.clear()
        self._searched = 0
        return everything
