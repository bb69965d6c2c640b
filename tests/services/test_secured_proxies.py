"""Proxies with TLS at their sockets and on the mesh between them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from event_loops import EventLoop
from proxies import started
from running_mesh import IDLE_TIMEOUT, dialling, listening, never_a_duplicate, read_all, routes
from tls_settings import CA, profiles

from receptor.config.kinds import Address
from receptor.config.service_actions import TcpClient, TcpServer
from receptor.netceptor.messages import TLS_STREAM_SERVICE
from receptor.node import byte_stream
from receptor.node.byte_stream import LOCAL_CLIENT, Carrier
from receptor.node.hang_ups import HangUps
from receptor.node.mesh_node import MeshNode
from receptor.node.socket_stream import Connection, SocketStream
from receptor.node.stream_listener import StreamListener
from receptor.node.tls_byte_stream import TlsStream
from receptor.services.inbound import TcpServerPart
from receptor.services.parts import Part
from receptor.tls.profiles import TlsProfiles


@dataclass
class Secured:
    """A server's streams as they arrive, and the port that leads to it."""

    tls: TlsProfiles
    bar: MeshNode
    entry: int
    arrived: asyncio.Queue[TlsStream]

    async def client(self) -> TlsStream:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self.entry)
        stream = SocketStream(connection, LOCAL_CLIENT, HangUps())
        return await TlsStream.connect(stream, self.tls.client("own").context(), "localhost")


@asynccontextmanager
async def secured(folder: Path, entry_client: str = "own", exit_host: str = "localhost") -> AsyncIterator[Secured]:
    async with AsyncExitStack() as parts:
        settings = {node_id: profiles(folder, node_id) for node_id in ("foo", "bar")}
        nodes = {name: MeshNode(name, IDLE_TIMEOUT, never_a_duplicate, tls=tls) for name, tls in settings.items()}
        for node in nodes.values():
            parts.push_async_callback(node.stop)
        foo, bar = nodes["foo"], nodes["bar"]
        await parts.enter_async_context(dialling(bar, await parts.enter_async_context(listening(foo))))
        arrived: asyncio.Queue[TlsStream] = asyncio.Queue()
        server = await parts.enter_async_context(serving(settings["bar"], arrived))
        leave = TcpClient(service="web", address=Address(exit_host, server), tls_server="own", tls_client="own")
        await parts.enter_async_context(started(leave, bar, settings["bar"]))
        entry = TcpServer(
            port=0, bind_address="127.0.0.1", remote_node="bar", remote_service="web",
            tls_server="own", tls_client=entry_client,
        )  # fmt: skip
        part: Part = await parts.enter_async_context(started(entry, foo, settings["foo"]))
        assert isinstance(part, TcpServerPart)
        await routes(foo, {"bar"})
        yield Secured(settings["foo"], bar, part.port, arrived)


@asynccontextmanager
async def serving(tls: TlsProfiles, arrived: asyncio.Queue[TlsStream]) -> AsyncIterator[int]:
    """A server that demands TLS; its port."""

    async def hand_over(stream: object) -> None:
        assert isinstance(stream, TlsStream)
        arrived.put_nowait(stream)

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        listener = StreamListener("server", [server], Carrier.TCP, hand_over, tls.server("own").context)
        yield server.getsockname()[1]
        await listener.stop()


def test_all_is_secured_and_half_closes_are_kept(run: EventLoop, tmp_path: Path) -> None:
    data = os.urandom(1_000_000)

    async def main() -> None:
        async with secured(tmp_path) as proxies:
            client = await proxies.client()
            server = await proxies.arrived.get()
            for one, other in ((client, server), (server, client)):
                reading = asyncio.create_task(read_all(other))
                await one.write(data)
                await one.end()
                assert await reading == data
            (advertisement,) = proxies.bar.core.mesh.advertisements.own
            assert advertisement.connection_type == TLS_STREAM_SERVICE
            await client.finish()
            await server.finish()

    run(main())


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_transfer_that_is_cut_does_not_look_complete(
    run: EventLoop, tmp_path: Path, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_stream, "DELIVERY_TIME", 0.1)

    async def main() -> None:
        async with secured(tmp_path) as proxies:
            client = await proxies.client()
            server = await proxies.arrived.get()
            cut, other = (client, server) if who == "client" else (server, client)
            await cut.write(b"half of it")
            assert await other.read() == b"half of it"
            # The end of the TCP connection is orderly; that of TLS is missing.
            await cut._carrier.finish()
            with pytest.raises(ConnectionError):
                await other.read()

    run(main())


def test_all_that_was_said_before_a_cut_arrives(
    run: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_stream, "DELIVERY_TIME", 0.5)
    data = os.urandom(1_000_000)

    async def main() -> None:
        async with secured(tmp_path) as proxies:
            client = await proxies.client()
            server = await proxies.arrived.get()
            writing = asyncio.create_task(server.write(data))
            received = bytearray()
            while len(received) < len(data):
                received += await client.read()
                if writing.done():
                    await server._carrier.finish()
            assert received == data
            with pytest.raises(ConnectionError):
                await client.read()

    run(main())


@pytest.mark.parametrize(
    ("entry_client", "exit_host", "told"),
    [("nobody", "localhost", "dropped a connection"), ("own", "127.0.0.2", "127.0.0.2")],
)
def test_who_is_not_trusted_gets_no_connection(
    run: EventLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture, entry_client: str, exit_host: str, told: str
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with secured(tmp_path, entry_client, exit_host) as proxies:
            client = await proxies.client()
            with pytest.raises(ConnectionError):
                await client.read()
            client.close()

    run(main())
    assert any(told in message for message in caplog.messages)


def test_a_client_without_tls_gets_in_nowhere(run: EventLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "receptor.node")

    async def main() -> None:
        async with secured(tmp_path) as proxies:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxies.entry)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            with suppress(ConnectionError):
                await reader.read()  # An alert, and the end.
            writer.transport.abort()

    run(main())
    assert any("failed: " in message and "tcp-server" in message for message in caplog.messages)


def test_a_client_that_asks_for_another_name_leaves(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with secured(tmp_path) as proxies:
            context = ssl.create_default_context(cadata=CA.pem.decode())
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", proxies.entry, ssl=context, server_hostname="example.org")

    run(main())
