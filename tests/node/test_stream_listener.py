from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from event_loops import EventLoop
from tls_settings import profiles

from receptor.node import stream_listener
from receptor.node.byte_stream import ByteStream, Carrier
from receptor.node.socket_stream import Connection
from receptor.node.stream_listener import StreamListener


async def echo(stream: ByteStream) -> None:
    try:
        while data := await stream.read():
            await stream.write(data)
        await stream.finish()
    except ConnectionError:
        stream.close()
    except asyncio.CancelledError:
        stream.close()
        raise


@asynccontextmanager
async def secured(folder: Path) -> AsyncIterator[tuple[StreamListener, int, ssl.SSLContext]]:
    """A listener, its port, and what clients need for it."""
    tls = profiles(folder, "foo")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        listener = StreamListener("the test", [server], Carrier.TCP, echo, tls.server("own").context)
        yield listener, port, tls.client("own").context()
        await listener.drop()


async def talk(port: int, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    writer.write(b"hello")
    answer = await reader.readexactly(5)
    writer.close()
    await writer.wait_closed()
    return answer


def test_clients_are_served_after_their_handshake(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with secured(tmp_path) as (_, port, context):
            assert await asyncio.gather(*(talk(port, context) for _ in range(5))) == [b"hello"] * 5

    run(main())


def test_a_client_that_says_nothing_is_dropped_in_time(
    run: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream_listener, "HANDSHAKE_TIMEOUT", 0.05)
    caplog.set_level(logging.INFO, "receptor.node")

    async def main() -> None:
        async with secured(tmp_path) as (_, port, context):
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                with pytest.raises(ConnectionResetError):
                    await reader.read()
                writer.transport.abort()
            assert await talk(port, context) == b"hello"

    run(main())
    (told,) = caplog.messages
    assert "to the test failed: the TLS handshake takes too long" in told


def test_of_many_who_say_nothing_the_eldest_make_room(
    run: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_listener, "MOST_HANDSHAKES", 3)

    async def main() -> None:
        async with secured(tmp_path) as (_, port, context):
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
            assert await talk(port, context) == b"hello"
            for reader, _ in silent[:7]:
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            for _, writer in silent:
                writer.transport.abort()

    run(main())


def test_after_a_stop_those_who_are_served_go_on(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with secured(tmp_path) as (listener, port, context):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
            writer.write(b"before")
            assert await reader.readexactly(6) == b"before"
            await listener.stop()
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"after")
            assert await reader.readexactly(5) == b"after"
            writer.close()
            await writer.wait_closed()

    # The test's own ``drop`` comes after the stop: that is allowed.
    run(main())


def test_connections_over_tcp_notice_that_the_other_machine_is_gone(run: EventLoop) -> None:
    accepted: asyncio.Queue[socket.socket] = asyncio.Queue()

    class Noted(StreamListener):
        def _connected(self, connection: Connection) -> None:
            super()._connected(connection)
            accepted.put_nowait(connection.plain_socket)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            listener = Noted("the test", [server], Carrier.TCP, echo)
            with socket.create_connection(server.getsockname()):
                connection = await accepted.get()
                assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                await listener.drop()

    run(main())
