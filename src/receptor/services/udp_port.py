"""UDP sockets on the event loop, alike on all of them: asyncio's own transports send no empty datagrams."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TypeAlias

LARGEST = 65_535

AT_A_TIME = 64
"""Datagrams that are taken before others have their turn."""

logger = logging.getLogger("receptor.services")

UdpAddress: TypeAlias = "tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]"
"""As the socket module has it: of IPv4, of IPv6, and one that only builds without IPv6 know."""


class UdpPort:
    """A UDP socket. What it can't take at the moment is dropped, as is what nobody listens for."""

    def __init__(self, opened: socket.socket, received: Callable[[UdpAddress, bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = opened
        self._received = received
        self._loop.add_reader(opened, self._readable)

    @property
    def number(self) -> int:
        """The port's."""
        number: int = self._socket.getsockname()[1]
        return number

    def send(self, data: bytes, to: UdpAddress | None = None) -> None:
        """Send a datagram, on a socket for one peer only without saying to whom. Does nothing after ``close``."""
        if self._socket.fileno() < 0:
            return
        try:
            try:
                self._transmit(data, to)
            except ConnectionRefusedError:  # That is of an earlier one, and this one is not sent yet.
                self._watch_again()
                self._transmit(data, to)
        except OSError as error:
            logger.debug("a datagram could not be sent: %s", error)

    def close(self) -> None:
        """Take no more. May be called again."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _transmit(self, data: bytes, to: UdpAddress | None) -> None:
        if to is None:
            self._socket.send(data)
        else:
            self._socket.sendto(data, to)

    def _watch_again(self) -> None:
        """After an error: uvloop no longer watches a socket that had one."""
        self._loop.remove_reader(self._socket)
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                data, sender = self._socket.recvfrom(LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                # The peer's machine says that nobody listens there now, for a datagram of before.
                logger.debug("a datagram did not arrive: %s", error)
                self._watch_again()
                continue
            self._received(sender, data)
            if self._socket.fileno() < 0:
                return


async def bound(host: str, port: int) -> socket.socket:
    """A socket on an address of this machine. Raises OSError."""
    opened, address = await _socket_for(host, port)
    try:
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened


async def connected(host: str, port: int) -> socket.socket:
    """A socket for one peer. Raises OSError."""
    opened, address = await _socket_for(host, port)
    try:
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened


async def _socket_for(host: str, port: int) -> tuple[socket.socket, UdpAddress]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.setblocking(False)
    return opened, address
