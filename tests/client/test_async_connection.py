"""What is not seen through ``Client``: see test_client for the rest."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from event_loops import EventLoop
from fake_control import FakeNode, Peer, tcp_service
from receptor_process import free_port

from receptor.client import async_connection
from receptor.client import connection as connection_module
from receptor.client.address import TcpAddress, UnixAddress
from receptor.client.conversations import EndSending, ReadLine, ReadSome, Send
from receptor.client.tls_settings import TlsSettings
from receptor.errors import ConfigurationError, OperatingError, PeerError, UnreachableError


def test_a_full_queue_is_waited_for_and_then_reported(
    run: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "full.sock")
    monkeypatch.setattr(connection_module, "CONNECT_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with pytest.raises(UnreachableError, match=r"did not accept the connection within 0\.05 s"):
            run(async_connection.connect(UnixAddress(path)))


def test_a_full_queue_that_gets_room(run: EventLoop, tmp_path: Path) -> None:
    path = str(tmp_path / "full.sock")

    async def main() -> None:
        connecting = asyncio.create_task(async_connection.connect(UnixAddress(path)))
        await asyncio.sleep(0.03)
        listener.accept()[0].close()
        listener.settimeout(5)
        accepted, _ = await asyncio.to_thread(listener.accept)
        with accepted:
            accepted.sendall(b"Receptor Control, node late\n")
            connection = await connecting
        assert connection.node_id == "late"
        connection.close()

    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        run(main())


@pytest.mark.parametrize("tls", [False, True])
def test_both_directions_over_tcp_with_and_without_tls(run: EventLoop, certificates: Path, tls: bool) -> None:
    async def main(port: int) -> bytes:
        settings = TlsSettings(rootcas=str(certificates / "ca.pem"))
        connection = await async_connection.connect(TcpAddress("localhost", port, tls), settings)
        try:
            await connection.do(Send(b"hello" * 100_000))
            await connection.do(EndSending())
            parts = []
            while part := await connection.do(ReadSome()):
                parts.append(part)
            return b"".join(parts)
        finally:
            connection.close()

    with tcp_service(certificates / "server.pem" if tls else None) as port:
        assert run(main(port)) == b"HELLO" * 100_000


def test_a_certificate_that_nobody_vouches_for(run: EventLoop, certificates: Path) -> None:
    with tcp_service(certificates / "server.pem") as port, pytest.raises(ConfigurationError, match="is not trusted"):
        run(async_connection.connect(TcpAddress("localhost", port, tls=True)))


def test_a_certificate_other_than_the_pinned_one(run: EventLoop, certificates: Path) -> None:
    settings = TlsSettings(insecureskipverify=True, pinnedservercert=("00" * 32,))
    with (
        tcp_service(certificates / "server.pem") as port,
        pytest.raises(ConfigurationError, match="none of the pinned"),
    ):
        run(async_connection.connect(TcpAddress("localhost", port, tls=True), settings))


def test_tls_with_a_service_that_does_not_speak_it(run: EventLoop) -> None:
    with tcp_service(None) as port, pytest.raises(UnreachableError, match="does it listen with TLS"):
        run(async_connection.connect(TcpAddress("localhost", port, tls=True)))


def test_a_port_where_nobody_listens(run: EventLoop) -> None:
    with pytest.raises(OperatingError, match="nobody listens"):
        run(async_connection.connect(TcpAddress("127.0.0.1", free_port())))


def test_a_host_that_is_none(run: EventLoop) -> None:
    with pytest.raises(OperatingError, match=r"can't connect to tcp://nosuch\.invalid"):
        run(async_connection.connect(TcpAddress("nosuch.invalid", 1)))


def test_a_line_without_end(run: EventLoop, node: FakeNode) -> None:
    async def main() -> None:
        connection = await async_connection.connect(UnixAddress(node.path))
        try:
            with pytest.raises(PeerError, match="more than 1000 bytes as a line"):
                await connection.do(ReadLine("a line", 5.0, 1000))
        finally:
            connection.close()

    def endless(peer: Peer) -> None:
        peer.greet()
        peer.send_on(b"x" * 4096)

    node.plays(endless)
    run(main())


def test_a_node_that_takes_nothing(run: EventLoop, node: FakeNode) -> None:
    async def main() -> None:
        connection = await async_connection.connect(UnixAddress(node.path))
        with pytest.raises(UnreachableError, match=r"did not take data for 0\.05 s"):
            await connection.do(Send(os.urandom(1_000_000), 0.05))
        connection.abort()

    def idle(peer: Peer) -> None:
        peer.greet()
        peer.some(1)
        gone.wait(10)

    gone = threading.Event()
    node.plays(idle)
    run(main())
    gone.set()


def test_a_task_that_reads_finds_the_end_when_another_closes(run: EventLoop, node: FakeNode) -> None:
    async def main() -> None:
        connection = await async_connection.connect(UnixAddress(node.path))
        reading = asyncio.create_task(connection.do(ReadSome()))
        await asyncio.sleep(0)
        connection.close()
        assert await reading == b""
        with pytest.raises(UnreachableError):
            await connection.do(ReadSome())

    def idle(peer: Peer) -> None:
        peer.greet()
        peer.wait_for_hang_up()

    node.plays(idle)
    run(main())


def test_a_read_that_is_cancelled_just_when_something_comes_loses_nothing(run: EventLoop) -> None:
    async def main() -> bytes:
        near, far = socket.socketpair()
        near.setblocking(False)
        connection = async_connection.AsyncConnection(near, UnixAddress("/nowhere"))
        received = b""
        for rounds in range(6):
            reading = asyncio.create_task(connection.do(ReadSome()))
            await asyncio.sleep(0)
            far.send(b"%d" % rounds)
            for _ in range(rounds):
                await asyncio.sleep(0)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                received += await reading
        far.close()
        while chunk := await connection.do(ReadSome()):
            received += chunk
        connection.close()
        return received

    assert run(main()) == b"012345"
