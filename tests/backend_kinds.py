"""What the tests of sessions need of each kind of backend, and a mesh that only notes what backends tell it."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest
from receptor_process import free_port

from receptor.backends import dialling, tcp
from receptor.backends.session import Session, SessionOwner

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
    """Keeps all sessions in the order in which they were opened. ``makes_links``: each counts as a link."""

    def __init__(self, *, makes_links: bool = True) -> None:
        self.sessions: list[Kept] = []
        self.complaints: list[str] = []
        self._makes_links = makes_links
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
        return kept.number

    def packets_received(self, number: int, packets: list[bytes]) -> None:
        kept = self._kept(number)
        if kept.over.is_set():
            self.complaints.append(f"packets of session {number}, which is over")
        for packet in packets:
            kept.packets.put_nowait(packet)

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

    @abstractmethod
    def hasten_redial(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let dialers wait for hundredths of a second instead of seconds."""

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


# TCP


class Tcp(BackendKind):
    largest_packet = 65_535

    def hasten_redial(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dialling, "FIRST_REDIAL_DELAY", 0.01)

    def hasten_close(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tcp, "CLOSE_TIME", 0.01)

    @asynccontextmanager
    async def listening(self, owner: SessionOwner, address: Address | None = None) -> AsyncIterator[Address]:
        listener = tcp.TcpListener(owner, *(address or ("127.0.0.1", 0)))
        await listener.start()
        try:
            yield ("127.0.0.1", listener.port)
        finally:
            await listener.stop()

    def dialer(self, owner: SessionOwner, address: Address, redial: bool) -> Part:
        return tcp.TcpDialer(owner, *address, redial)

    async def outsider(self, address: Address) -> Outsider:
        connection = socket.socket()
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, address)
        except OSError:
            connection.close()
            raise
        return TcpOutsider(connection)

    def free_address(self) -> Address:
        return ("127.0.0.1", free_port())


class TcpOutsider:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    async def send(self, packet: bytes) -> None:
        await self.send_bytes(len(packet).to_bytes(2, "little") + packet)

    async def send_bytes(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._connection, data)

    async def receive(self) -> bytes:
        return await self._exactly(int.from_bytes(await self._exactly(2), "little"))

    async def is_cut(self) -> None:
        poll = select.poll()
        poll.register(self._connection, 0)
        await asyncio.to_thread(poll.poll, 10_000)

    def leave(self) -> None:
        self._connection.close()

    def vanish(self) -> None:
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    async def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = await asyncio.get_running_loop().sock_recv(self._connection, size - len(data))
            if not more:
                return b""
            data += more
        return data


KINDS: dict[str, BackendKind] = {"tcp": Tcp()}
