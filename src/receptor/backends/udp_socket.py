"""A socket for datagrams, on every event loop: it reads in batches, never blocks, and tells who can't be reached."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
import sys
from collections import Counter, deque
from collections.abc import Callable

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""As the socket module has it, for IPv4 and IPv6."""

LARGEST_DATAGRAM = 65_507

BATCH = 64
"""Datagrams that are read before others have their turn."""

BUFFER = 4 * 1024 * 1024
"""Bytes that we ask the system to hold for a socket, either way; it may grant less. Data comes in bursts."""

QUIET = 60.0
"""Seconds between two lines in the log about what could not be sent."""

# From Linux's headers; Python has no names for them.
_IP_RECVERR = 11
_IPV6_RECVERR = 25

logger = logging.getLogger("receptor.backends")


class UdpSocket:
    """Owns a bound or connected socket until it is closed."""

    def __init__(
        self,
        name: str,
        own_socket: socket.socket,
        receive: Callable[[UdpSocket, SocketAddress, list[bytes]], None],
        unreachable: Callable[[UdpSocket, SocketAddress], None],
        peer: SocketAddress | None = None,
    ) -> None:
        """``receive`` takes what came from an address. ``unreachable`` hears of each where nobody listens, as far as
        the system learns of it. ``peer`` is the address that the socket is connected to, if any. ``name`` is for the
        log.
        """
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._socket = own_socket
        self._receive = receive
        self._unreachable = unreachable
        self._peer = peer
        self._waiting: deque[tuple[SocketAddress, bytes]] = deque()
        self._queued: Counter[SocketAddress] = Counter()
        self._told_at = float("-inf")
        own_socket.setblocking(False)
        own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        if peer is None:
            _let_errors_name_their_address(own_socket)
        self._loop.add_reader(own_socket, self._read)

    @property
    def address(self) -> SocketAddress:
        """Where datagrams reach it."""
        own: SocketAddress = self._socket.getsockname()
        return own

    def send(self, address: SocketAddress, packet: bytes) -> None:
        """Send a datagram, or queue it if the system takes none now. One that can't be sent is lost; the log tells."""
        if len(packet) > LARGEST_DATAGRAM:
            self._complain(f"a packet of {len(packet)} bytes was dropped: UDP carries {LARGEST_DATAGRAM}")
        elif self._waiting or not self._is_sent(address, packet):
            if not self._waiting:
                self._loop.add_writer(self._socket, self._write)
            self._waiting.append((address, packet))
            self._queued[address] += len(packet)

    def queued(self, address: SocketAddress) -> int:
        """Bytes that wait to be sent there."""
        return self._queued.get(address, 0)

    def drop(self, address: SocketAddress) -> None:
        """Give up what waits to be sent there."""
        if self._queued.pop(address, 0):
            self._waiting = deque(waiting for waiting in self._waiting if waiting[0] != address)
            if not self._waiting:
                self._loop.remove_writer(self._socket)

    def connected(self, peer: SocketAddress) -> socket.socket:
        """Another socket with the same port, which takes what comes from a peer from now on. Raises OSError."""
        connected = socket.socket(self._socket.family, socket.SOCK_DGRAM)
        try:
            for one in (self._socket, connected):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connected.bind(self.address)
            connected.connect(peer)
        except OSError:
            connected.close()
            raise
        return connected

    def close(self) -> None:
        """Give up what waits, and the port."""
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()

    def _read(self) -> None:
        arrived: dict[SocketAddress, list[bytes]] = {}
        errors: list[tuple[SocketAddress | None, int | None]] = []
        for _ in range(BATCH):
            try:
                packet, address = self._socket.recvfrom(LARGEST_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:  # With something that was sent before.
                errors.append((self._peer, error.errno))
            else:
                arrived.setdefault(address, []).append(packet)
        if self._peer is None:
            errors += _named_errors(self._socket)
        if errors:
            self._watch_again()
        for address, packets in arrived.items():
            self._receive(self, address, packets)
        for concerned, number in errors:
            if concerned is not None and number == errno.ECONNREFUSED:
                self._unreachable(self, concerned)

    def _watch_again(self) -> None:
        """After an error: uvloop no longer watches a socket that had one."""
        self._loop.remove_reader(self._socket)
        self._loop.add_reader(self._socket, self._read)

    def _write(self) -> None:
        while self._waiting and self._is_sent(*self._waiting[0]):
            address, packet = self._waiting.popleft()
            self._queued[address] -= len(packet)
            if not self._queued[address]:
                del self._queued[address]
        if not self._waiting:
            self._loop.remove_writer(self._socket)

    def _is_sent(self, address: SocketAddress, packet: bytes) -> bool:
        """Hand a datagram to the system; False if it has to wait."""
        try:
            self._transmit(address, packet)
        except BlockingIOError:
            return False
        except ConnectionRefusedError:
            if self._peer is not None:
                self._loop.call_soon(self._unreachable, self, address)
        except OSError as error:
            self._complain(f"a packet for {text_of(address)} could not be sent: {error.strerror}; check the network")
        return True

    def _transmit(self, address: SocketAddress, packet: bytes) -> None:
        if self._peer is not None:
            self._socket.send(packet)
            return
        try:
            self._socket.sendto(packet, address)
        except BlockingIOError:
            raise
        except OSError:  # Perhaps that of an earlier one, sent elsewhere.
            self._socket.sendto(packet, address)

    def _complain(self, text: str) -> None:
        now = self._loop.time()
        if now >= self._told_at + QUIET:
            self._told_at = now
            logger.warning("%s: %s", self._name, text)


def text_of(address: SocketAddress) -> str:
    """An address for people."""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def _let_errors_name_their_address(own_socket: socket.socket) -> None:
    """On Linux. Elsewhere a socket that is not connected hears of no errors: the silence of who is gone has to do."""
    if sys.platform != "linux":
        return
    if own_socket.family == socket.AF_INET6:
        own_socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        own_socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)


def _named_errors(own_socket: socket.socket) -> list[tuple[SocketAddress | None, int | None]]:
    """What has come back since the last call: the address that it was sent to, and what was wrong there."""
    errors: list[tuple[SocketAddress | None, int | None]] = []
    if sys.platform != "linux":
        return errors
    while True:
        try:
            _, ancillary, _, address = own_socket.recvmsg(0, 1024, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            return errors
        errors += [(address, *struct.unpack_from("I", data)) for _, _, data in ancillary]
