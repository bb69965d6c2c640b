"""The socket on which systemd hears of a service, for tests in its place."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

News = dict[str, str]


class Notified:
    """What a service told, datagram by datagram. ``address`` is what it finds in NOTIFY_SOCKET."""

    def __init__(self, listening: socket.socket, address: str) -> None:
        self._socket = listening
        self.address = address

    def next(self, seconds: float = 20.0) -> News:
        """The variables of the next datagram. Raises TimeoutError if none comes in that time."""
        self._socket.settimeout(seconds)
        lines = self._socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def until(self, **wanted: str) -> News:
        """The first datagram from now on that has these variables."""
        while not (news := self.next()).items() >= wanted.items():
            pass
        return news


@contextmanager
def notified(address: str) -> Iterator[Notified]:
    """Listens at a path, or with ``@`` at an abstract name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        yield Notified(listening, address)
