"""What the tests of sessions need of each kind of backend, and a mesh that only notes what backends tell it."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest
from certificates_bench import LOCAL_DNS, LOCAL_IPS, Authority
from receptor_process import free_port

from receptor.backends import dialling, tcp, udp
from receptor.backends.session import Session, SessionOwner
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.netceptor.messages import RoutingUpdate, encode_routing_update
from receptor.netceptor.packets import REJECT_PACKET
from receptor.tls.profiles import ClientProfile, ServerProfile, TlsProfiles

Address = tuple[str, int]


class Kept:
    """A session as its owner knows it, and what has come from it."""

    def __init__(self, number: int, session: Session, peer: str) -> None:
        self.number = number
        self.session = session
        self.peer = peer
        self.packets: asyncio.Queue[bytes] = asyncio.Queue()
        self.over = asyncio.Event()
        self.was_dropped = False

    async def receive(self, count: int) -> list[bytes]:
        """The next packets."""
        return [await self.packets.get() for _ in range(count)]


class FakeOwner:
    """Keeps all sessions in the order in which they were opened. ``makes_links``: each counts as a link.

    Like the mesh it begins each with a routing update, where the backend needs that (``says_first``). ``refuses`` has
    it close those that are opened.
    """

    def __init__(self, *, makes_links: bool = True, refuses: bool = False, says_first: Sequence[bytes] = ()) -> None:
        self.sessions: list[Kept] = []
        self.complaints: list[str] = []
        self._makes_links = makes_links
        self._refuses = refuses
        self._says_first = says_first
        self.closes_on: bytes | None = None
        """A packet at which it ends the session that it came on."""
        self._news = asyncio.Condition()
        self._waiting: asyncio.Queue[Kept] = asyncio.Queue()

    async def next_session(self) -> Kept:
        """The next session that is opened, or was since this was called last."""
        return await self._waiting.get()

    def drop(self, kept: Kept) -> None:
        """End a session from this side."""
        kept.was_dropped = True
        kept.session.close()
        kept.over.set()

    def drop_all(self) -> None:
        for kept in self.sessions:
            if not kept.over.is_set():
                self.drop(kept)

    # As backends see it

    def session_opened(self, session: Session, peer: str) -> int:
        kept = Kept(100 + len(self.sessions), session, peer)
        self.sessions.append(kept)
        self._waiting.put_nowait(kept)
        if self._says_first:
            session.send(self._says_first)
        if self._refuses:
            self.drop(kept)
        return kept.number

    def packets_received(self, number: int, packets: list[bytes]) -> None:
        kept = self._kept(number)
        if kept.over.is_set():
            self.complaints.append(f"packets of session {number}, which is over")
        for packet in packets:
            if packet not in (GREETING, REJECT_PACKET):
                kept.packets.put_nowait(packet)
        if self.closes_on in packets:
            self.drop(kept)

    def session_closed(self, number: int) -> None:
        kept = self._kept(number)
        if kept.over.is_set():
            self.complaints.append(f"the end of session {number}, which is over")
        kept.over.set()

    async def link_ended(self, number: int) -> bool:
        await self._kept(number).over.wait()
        return self._makes_links

    def _kept(self, number: int) -> Kept:
        return self.sessions[number - 100]


class Outsider(Protocol):
    """A far end under the test's control: it reads when it is told to, and leaves as it likes."""

    async def send(self, packet: bytes) -> None: ...

    async def receive(self) -> bytes:
        """The next packet; none at the end of the session."""

    async def is_cut(self) -> None:
        """Wait until the session has ended, without reading."""

    def leave(self) -> None:
        """End the session in order."""

    def vanish(self) -> None:
        """Leave without an orderly end."""


class Part(Protocol):
    """A listener or dialer."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class BackendKind(ABC):
    """One kind of backend; to add one is to write one of these."""

    largest_packet: int
    loses_packets = False
    """When more is sent than the far end reads; others queue it."""
    many_sessions = 200

    def owner(self, *, makes_links: bool = True, refuses: bool = False) -> FakeOwner:
        """A mesh for the backend."""
        return FakeOwner(makes_links=makes_links, refuses=refuses)

    def hasten_redial(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let dialers wait for hundredths of a second instead of seconds."""
        monkeypatch.setattr(dialling, "FIRST_REDIAL_DELAY", 0.01)

    @abstractmethod
    def hasten_close(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Likewise for what was queued on a session that is closed."""

    @abstractmethod
    def listening(self, owner: SessionOwner, address: Address | None = None) -> AbstractAsyncContextManager[Address]:
        """A listener, and where it listens."""

    @abstractmethod
    def dialer(self, owner: SessionOwner, address: Address, redial: bool) -> Part: ...

    @abstractmethod
    async def outsider(self, address: Address) -> Outsider:
        """Dial a listener of ours from outside."""

    @abstractmethod
    def free_address(self) -> Address:
        """Where nobody listens."""


@cache
def mutual_tls() -> tuple[ServerProfile, ClientProfile]:
    """Settings of two sides that trust one authority and nobody without its certificate."""
    authority = Authority()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = authority.issue(node_ids=["foo"], dns=LOCAL_DNS, ips=LOCAL_IPS).write(folder, "foo")
        ca = authority.write(folder)
        server = TlsServer("both", own.certificate, own.key, require_client_certificate=True, client_cas=ca)
        client = TlsClient("both", own.certificate, own.key, root_cas=ca)
        profiles = TlsProfiles([server], [client], "foo")
        return profiles.server("both"), profiles.client("both")


# TCP


class Tcp(BackendKind):
    largest_packet = 65_535

    def __init__(self, *, secure: bool = False) -> None:
        self._secure = secure
        self._outsiders: list[TcpOutsider] = []

    def hasten_close(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tcp, "CLOSE_TIME", 0.01)

    @asynccontextmanager
    async def listening(self, owner: SessionOwner, address: Address | None = None) -> AsyncIterator[Address]:
        tls = mutual_tls()[0] if self._secure else None
        listener = tcp.TcpListener(owner, *(address or ("127.0.0.1", 0)), tls)
        await listener.start()
        try:
            yield ("127.0.0.1", listener.port)
        finally:
            await listener.stop()
            while self._outsiders:
                await self._outsiders.pop().gone()

    def dialer(self, owner: SessionOwner, address: Address, redial: bool) -> Part:
        return tcp.TcpDialer(owner, *address, redial, mutual_tls()[1] if self._secure else None)

    async def outsider(self, address: Address) -> TcpOutsider:
        context = mutual_tls()[1].context() if self._secure else None
        outsider = TcpOutsider(*await asyncio.open_connection(*address, ssl=context))
        self._outsiders.append(outsider)
        return outsider

    def free_address(self) -> Address:
        return ("127.0.0.1", free_port())


class TcpOutsider:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection: socket.socket = writer.get_extra_info("socket")

    async def send(self, packet: bytes) -> None:
        await self.send_bytes(len(packet).to_bytes(2, "little") + packet)

    async def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def send_beneath_tls(self, data: bytes) -> None:
        os.write(self._connection.fileno(), data)

    async def receive(self) -> bytes:
        try:
            size = int.from_bytes(await self._reader.readexactly(2), "little")
            return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError:
            return b""

    async def is_cut(self) -> None:
        poll = select.poll()
        poll.register(self._connection, 0)
        await asyncio.to_thread(poll.poll, 10_000)

    def leave(self) -> None:
        self._writer.close()

    def vanish(self) -> None:
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait for the end of its connection, which with TLS takes both sides."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


# UDP

GREETING = encode_routing_update(
    RoutingUpdate(
        node_id="fake",
        update_id="abcdefgh",
        epoch=1,
        sequence=1,
        connections={},
        forwarding_node="fake",
        suspected_duplicate=0,
    )
)
"""What a session begins with."""


class Udp(BackendKind):
    largest_packet = 65_507
    loses_packets = True
    many_sessions = udp.MOST_SESSIONS

    def owner(self, *, makes_links: bool = True, refuses: bool = False) -> FakeOwner:
        return FakeOwner(makes_links=makes_links, refuses=refuses, says_first=[GREETING])

    def hasten_close(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing waits then."""

    @asynccontextmanager
    async def listening(self, owner: SessionOwner, address: Address | None = None) -> AsyncIterator[Address]:
        listener = udp.UdpListener(owner, *(address or ("127.0.0.1", 0)))
        await listener.start()
        try:
            yield ("127.0.0.1", listener.port)
        finally:
            await listener.stop()

    def dialer(self, owner: SessionOwner, address: Address, redial: bool) -> Part:
        return udp.UdpDialer(owner, *address, redial)

    async def outsider(self, address: Address) -> UdpOutsider:
        outsider = UdpOutsider(address)
        try:
            await outsider.begin()
        except OSError:
            outsider.vanish()
            raise
        return outsider

    def free_address(self) -> Address:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            address: Address = probe.getsockname()
        return address


class UdpOutsider:
    def __init__(self, address: Address) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(address)

    async def begin(self) -> None:
        """Have a session. Raises ConnectionRefusedError if nobody listens."""
        await self.send(GREETING)
        assert await self._next() == GREETING

    async def send(self, packet: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, packet)

    async def receive(self) -> bytes:
        packet = await self._next()
        return b"" if packet == REJECT_PACKET else packet

    async def is_cut(self) -> None:
        while await self._next() != REJECT_PACKET:
            pass

    def leave(self) -> None:
        self.socket.send(REJECT_PACKET)
        self.socket.close()

    def vanish(self) -> None:
        self.socket.close()

    async def _next(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, 65_536)


KINDS: dict[str, BackendKind] = {"tcp": Tcp(), "tcp with TLS": Tcp(secure=True), "udp": Udp()}
