"""The UDP backend: one packet a datagram (mesh protocol, section 1). A session is a remote address and port.

UDP knows no end: a session that is closed says so by a reject, as the mesh does. One whose far end has vanished ends
when the system learns that nobody listens there, or else by the silence that the mesh notices.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import cast

from receptor.backends.dialling import CONNECT_TIMEOUT, Dialer
from receptor.backends.session import SessionOwner
from receptor.backends.udp_socket import QUIET, SocketAddress, UdpSocket, text_of
from receptor.errors import OperatingError, PeerError
from receptor.netceptor.messages import decode_routing_update
from receptor.netceptor.packets import REJECT_PACKET, ROUTING_UPDATE

LINGER = 2.0
"""Seconds in which an address whose session has ended opens no other: what was under way is no new beginning."""

MOST_LINGERING = 1000
"""Addresses that are kept for this; more have ended only where somebody invents them."""

MOST_SESSIONS = 100
"""Sessions that a listener has at the same time. An invented address gets some traffic until it is given up."""

SESSIONS_PER_SECOND = 5.0
SESSIONS_AT_ONCE = 20
"""Sessions that a listener begins at once if none began for a while; who is refused sends again each second."""

logger = logging.getLogger("receptor.backends")


class UdpSession:
    """A remote address as a session of the mesh."""

    def __init__(self, owner: SessionOwner, address: SocketAddress) -> None:
        self.address = address
        self.number = 0
        self.is_open = False
        self.was_refused = False
        """Whether nobody listened there."""
        self._owner = owner
        self._socket: UdpSocket | None = None
        self._on_end: Callable[[], None] = lambda: None
        self._was_left = False

    def use(self, udp_socket: UdpSocket, on_end: Callable[[], None]) -> None:
        """Send by this socket from now on; ``on_end`` is called after the last datagram."""
        self._socket = udp_socket
        self._on_end = on_end

    def use_own(self, name: str, connected: socket.socket) -> None:
        """Be the only user of a socket that is connected to the address, from now on."""
        own = UdpSocket(name, connected, self._receive_own, self._refused, peer=self.address)
        self.use(own, own.close)

    def open(self) -> None:
        """Hand the session to the mesh, which may close it before this returns."""
        self.is_open = True
        self.number = self._owner.session_opened(self, text_of(self.address))

    def send(self, packets: Sequence[bytes]) -> None:
        """Send packets, in this order. Any may be lost."""
        if self.is_open:
            assert self._socket is not None
            for packet in packets:
                self._socket.send(self.address, packet)

    def close(self) -> None:
        """End the session. What still waits to be sent is lost."""
        if self.is_open:
            self.is_open = False
            self._leave(say_so=not self._was_left)

    @property
    def queued(self) -> int:
        """Bytes that wait to be sent."""
        assert self._socket is not None
        return self._socket.queued(self.address)

    def receive(self, packets: list[bytes]) -> None:
        """Datagrams have arrived from the address. A reject is the last of the session."""
        heard = [packet for packet in packets if packet]
        if REJECT_PACKET in heard:
            self._was_left = True
            del heard[heard.index(REJECT_PACKET) + 1 :]
        if self.is_open and heard:
            self._owner.packets_received(self.number, heard)
        if self._was_left:
            self.break_off()

    def break_off(self) -> None:
        """The far end is gone."""
        if self.is_open:
            self.is_open = False
            self._leave(say_so=False)
            self._owner.session_closed(self.number)

    def _leave(self, say_so: bool) -> None:
        assert self._socket is not None
        self._socket.drop(self.address)
        if say_so:
            self._socket.send(self.address, REJECT_PACKET)
        self._on_end()

    def _receive_own(self, _: UdpSocket, address: SocketAddress, packets: list[bytes]) -> None:
        if address == self.address:  # Others may have got in before the socket was connected.
            self.receive(packets)

    def _refused(self, _: UdpSocket, _address: SocketAddress) -> None:
        self.was_refused = True
        self.break_off()


class _Admission:
    """How many sessions a listener may begin."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._left = float(SESSIONS_AT_ONCE)
        self._counted_at = self._loop.time()
        self._told_at = float("-inf")

    def admits(self, open_sessions: int) -> bool:
        """Whether one more may begin now, which counts then. The log tells of who is refused, once in QUIET."""
        now = self._loop.time()
        self._left = min(SESSIONS_AT_ONCE, self._left + (now - self._counted_at) * SESSIONS_PER_SECOND)
        self._counted_at = now
        if open_sessions < MOST_SESSIONS and self._left >= 1:
            self._left -= 1
            return True
        if now >= self._told_at + QUIET:
            self._told_at = now
            logger.warning(
                "%s refuses new sessions: it has %d, and may have %d and begin %g a second; if fewer nodes link here,"
                " somebody invents them: let only neighbours reach the port",
                self._name,
                open_sessions,
                MOST_SESSIONS,
                SESSIONS_PER_SECOND,
            )
        return False


class UdpListener:
    """Lets neighbours begin sessions by sending to a port.

    Whoever sends may lie about where from, so that only a routing update, with which each link begins, makes a session,
    and not too many of them.
    """

    def __init__(self, owner: SessionOwner, address: str, port: int) -> None:
        self._owner = owner
        self._address = address
        self._port = port
        self._sockets: list[UdpSocket] = []
        self._admission: _Admission | None = None
        self._sessions: dict[tuple[UdpSocket, SocketAddress], UdpSession] = {}
        self._over: set[tuple[UdpSocket, SocketAddress]] = set()
        """Whose sessions have ended lately."""

    async def start(self) -> None:
        """Listen. Raises OperatingError if the port can't be had."""
        name = f"udp-listener {self._address}:{self._port}"
        try:
            sockets = await _bound_sockets(self._address, self._port)
        except OSError as error:
            raise OperatingError(
                f"udp-listener can't listen on {self._address}:{self._port}: {error.strerror or error};"
                " choose another port or bindaddr, or stop what uses it"
            ) from None
        self._admission = self._admission or _Admission(name)
        self._sockets = [UdpSocket(name, one, self._receive, self._unreachable) for one in sockets]
        logger.info("listening for neighbours on UDP %s:%d", self._address, self.port)

    @property
    def port(self) -> int:
        """The port that is listened on; the chosen one if the configured port is 0."""
        return self._sockets[0].address[1]

    async def stop(self) -> None:
        """Leave the port. Sessions that are open go on, each with a socket of its own."""
        for (shared, _), session in list(self._sessions.items()):
            self._separate(session, shared)
        self._sessions.clear()
        for one in self._sockets:
            one.close()
        self._sockets = []

    def _separate(self, session: UdpSession, shared: UdpSocket) -> None:
        try:
            connected = shared.connected(session.address)
        except OSError as error:
            logger.warning("a session with %s ends: %s", text_of(session.address), error.strerror)
            session.break_off()
        else:
            session.use_own(f"udp-listener {self._address}:{self._port}", connected)

    def _receive(self, shared: UdpSocket, address: SocketAddress, packets: list[bytes]) -> None:
        session = self._sessions.get((shared, address))
        if session is not None:
            session.receive(packets)
            return
        beginning = next((index for index, packet in enumerate(packets) if _begins_session(packet)), None)
        if beginning is None or (shared, address) in self._over or shared not in self._sockets:
            return
        assert self._admission is not None
        if not self._admission.admits(len(self._sessions)):
            return
        session = UdpSession(self._owner, address)
        session.use(shared, lambda: self._forget(shared, address))
        session.open()
        if session.is_open:
            self._sessions[shared, address] = session
            session.receive(packets[beginning:])

    def _forget(self, shared: UdpSocket, address: SocketAddress) -> None:
        ended = (shared, address)
        if self._sessions.pop(ended, None) is not None and len(self._over) < MOST_LINGERING:
            self._over.add(ended)
            asyncio.get_running_loop().call_later(LINGER, self._over.discard, ended)

    def _unreachable(self, shared: UdpSocket, address: SocketAddress) -> None:
        session = self._sessions.get((shared, address))
        if session is not None:
            session.break_off()


class UdpDialer(Dialer):
    """Keeps one session with a neighbour, beginning another when it ends."""

    def __init__(self, owner: SessionOwner, host: str, port: int, redial: bool) -> None:
        super().__init__(f"udp-peer {host}:{port}", redial)
        self._owner = owner
        self._host = host
        self._port = port

    async def dial(self) -> bool:
        """Try the addresses of the host, in their order, until one has made a link that is over now."""
        async with asyncio.timeout(CONNECT_TIMEOUT):
            addresses = await _addresses(self._host, self._port)
        problems: list[OSError] = []
        for family, address in addresses:
            try:
                session = self._begin(family, address)
            except OSError as error:
                problems.append(error)
                continue
            if await self._owner.link_ended(session.number):
                return True
            if session.was_refused:
                problems.append(ConnectionRefusedError(f"nobody listens on {text_of(address)}"))
        if len(problems) == len(addresses):
            raise problems[0]
        return False

    def _begin(self, family: int, address: SocketAddress) -> UdpSession:
        connected = socket.socket(family, socket.SOCK_DGRAM)
        try:
            connected.connect(address)
        except OSError:
            connected.close()
            raise
        # Not what was dialled: 0.0.0.0 answers as 127.0.0.1.
        session = UdpSession(self._owner, connected.getpeername())
        session.use_own(self._name, connected)
        session.open()
        return session


def _begins_session(packet: bytes) -> bool:
    if packet[:1] != b"%c" % ROUTING_UPDATE:
        return False
    try:
        decode_routing_update(packet)
    except PeerError:
        return False
    return True


async def _addresses(host: str, port: int, flags: int = 0) -> list[tuple[int, SocketAddress]]:
    """What a host name stands for, preferred ones first. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_DGRAM, flags=flags)
    return [(family, cast("SocketAddress", address)) for family, _, _, _, address in found]


async def _bound_sockets(address: str, port: int) -> list[socket.socket]:
    with ExitStack() as opened:
        sockets = []
        for family, where in await _addresses(address, port, socket.AI_PASSIVE):
            bound = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # Sessions of a listener that was stopped may still have the port. Nobody else may have it beside us.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(where)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            sockets.append(bound)
        opened.pop_all()
    return sockets
