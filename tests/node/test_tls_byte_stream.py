from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from certificates_bench import Authority, Issued
from event_loops import EventLoop

from receptor.node.byte_stream import LOCAL_CLIENT, ByteStream, bridge
from receptor.node.hang_ups import HangUps
from receptor.node.socket_stream import Connection, SocketStream
from receptor.node.tls_byte_stream import TlsStream

CA = Authority()
SERVER = CA.issue(dns=["localhost"])
T = TypeVar("T")


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def contexts(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For the client and for the server."""
    client, server = client_context(), server_context(SERVER, tmp_path)
    client.minimum_version = client.maximum_version = request.param
    return client, server


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=CA.pem.decode())


def server_context(shows: Issued, folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files = shows.write(folder, "server")
    context.load_cert_chain(files.certificate, files.key)
    return context


@asynccontextmanager
async def carriers() -> AsyncIterator[tuple[SocketStream, SocketStream]]:
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    async with stream_of(near) as one, stream_of(far) as other:
        yield one, other


@asynccontextmanager
async def stream_of(connection: socket.socket) -> AsyncIterator[SocketStream]:
    transport, made = await asyncio.get_running_loop().create_connection(Connection, sock=connection)
    hang_ups = HangUps()
    try:
        yield SocketStream(made, LOCAL_CLIENT, hang_ups)
    finally:
        hang_ups.close()
        transport.abort()


@asynccontextmanager
async def secured(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> AsyncIterator[tuple[TlsStream, TlsStream]]:
    """Both ends, the client's first."""
    async with carriers() as (one, other):
        client, server = contexts
        yield await both(TlsStream.connect(one, client, "localhost"), TlsStream.accept(other, server))


async def both(one: Awaitable[T], other: Awaitable[T]) -> tuple[T, T]:
    first, second = await asyncio.gather(one, other)
    return first, second


async def send_whole(stream: ByteStream, data: bytes) -> None:
    for start in range(0, len(data), 300_000):
        await stream.write(data[start : start + 300_000])
    await stream.end()


async def read_all(stream: ByteStream) -> bytes:
    received = bytearray()
    while data := await stream.read():
        received += data
    return bytes(received)


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.mark.parametrize("first", ["client", "server"])
def test_each_direction_ends_alone(run: EventLoop, contexts: Contexts, first: str) -> None:
    async def main() -> None:
        async with secured(contexts) as (client, server):
            one, other = (client, server) if first == "client" else (server, client)
            for data in (b"", b"question"):
                await one.write(data)
            await one.end()
            assert await read_all(other) == b"question"
            for _ in range(3):
                await other.write(b"answer")
                assert await one.read() == b"answer"
            await other.end()
            assert await read_all(one) == b""

    run(main())


def test_much_passes_both_ways_at_the_same_time(run: EventLoop, contexts: Contexts) -> None:
    data = os.urandom(3_000_000)

    async def main() -> None:
        async with secured(contexts) as (client, server):
            received = await asyncio.gather(
                read_all(server), read_all(client), send_whole(client, data), send_whole(server, data[::-1])
            )
            assert received[0] == data
            assert received[1] == data[::-1]

    run(main())


def test_a_direction_that_has_ended_does_not_hold_up_what_is_under_way_in_the_other(
    run: EventLoop, contexts: Contexts
) -> None:
    data = os.urandom(3_000_000)

    async def main() -> None:
        async with secured(contexts) as (client, server):
            sending = asyncio.create_task(send_whole(server, data))
            received = await client.read()
            await client.end()
            received += await read_all(client)
            assert received == data
            await sending
            assert await read_all(server) == b""

    run(main())


def test_a_cut_is_not_taken_for_an_end(run: EventLoop, contexts: Contexts) -> None:
    async def main() -> None:
        async with secured(contexts) as (client, server):
            await client.write(b"half of it")
            await client._carrier.end()
            assert await server.read() == b"half of it"
            with pytest.raises(ConnectionError):
                await server.read()
            with pytest.raises(ConnectionError):
                await server.read()

    run(main())


def test_a_write_waits_for_a_slow_reader(run: EventLoop, contexts: Contexts) -> None:
    data = bytes(20_000_000)

    async def main() -> None:
        async with secured(contexts) as (client, server):
            writing = asyncio.create_task(send_whole(client, data))
            received = len(await server.read())
            assert not writing.done()
            while part := await server.read():
                received += len(part)
            assert received == len(data)
            await writing

    run(main())


def test_what_was_written_is_delivered_after_finish(run: EventLoop, contexts: Contexts) -> None:
    async def main() -> None:
        async with secured(contexts) as (client, server):
            await client.write(b"farewell")
            await client.finish()
            assert await read_all(server) == b"farewell"
            await server.finish()

    run(main())


def test_a_dropped_stream_breaks_for_the_other_end(run: EventLoop, contexts: Contexts) -> None:
    async def main() -> None:
        async with secured(contexts) as (client, server):
            await client.write(b"half of it")
            client.close()
            with pytest.raises(ConnectionError):
                await read_all(server)

    run(main())


def test_finishing_with_somebody_who_has_left(run: EventLoop, contexts: Contexts) -> None:
    async def main() -> None:
        async with secured(contexts) as (client, server):
            client.close()
            with pytest.raises(ConnectionError):
                await server.write(bytes(20_000_000))
            await server.finish()

    run(main())


def test_who_leaves_is_noticed(run: EventLoop, contexts: Contexts) -> None:
    async def main() -> None:
        async with secured(contexts) as (client, server):
            client.close()
            await server.left()

    run(main())


def test_both_sides_learn_why_a_handshake_fails(run: EventLoop, contexts: Contexts) -> None:
    async def main() -> None:
        async with carriers() as (one, other):
            client, server = contexts
            outcomes = await asyncio.gather(
                TlsStream.connect(one, client, "somebody.else"), TlsStream.accept(other, server), return_exceptions=True
            )
            if isinstance(outcomes[1], TlsStream):
                with pytest.raises(ConnectionError, match=r"(?i)bad.certificate|unknown"):
                    await outcomes[1].read()
            assert isinstance(outcomes[0], ConnectionError)
            assert "somebody.else" in str(outcomes[0])

    run(main())


def test_somebody_who_does_not_speak_tls(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with carriers() as (one, other):
            await one.write(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises(ConnectionError, match=r"(?i)http.request|wrong.version"):
                await TlsStream.accept(other, server_context(SERVER, tmp_path))

    run(main())


def test_somebody_who_leaves_within_the_handshake(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with carriers() as (one, other):
            await one.end()
            with pytest.raises(ConnectionError):
                await TlsStream.accept(other, server_context(SERVER, tmp_path))

    run(main())


def test_a_socket_of_the_standard_library_sees_an_orderly_end(run: EventLoop, contexts: Contexts) -> None:
    def talk(connection: socket.socket, context: ssl.SSLContext) -> bytes:
        connection.settimeout(10)
        with context.wrap_socket(connection, server_hostname="localhost", suppress_ragged_eofs=False) as secured:
            secured.sendall(b"question")
            received = bytearray()
            while data := secured.recv(1_000):
                received += data
            secured.unwrap()
            return bytes(received)

    async def main() -> None:
        async with AsyncExitStack() as opened:
            near, far = socket.socketpair()
            stream = await opened.enter_async_context(stream_of(far))
            talking = asyncio.create_task(asyncio.to_thread(talk, near, contexts[0]))
            server = await TlsStream.accept(stream, contexts[1])
            assert await server.read() == b"question"
            await server.write(b"answer")
            await server.end()
            assert await read_all(server) == b""
            assert await talking == b"answer"

    run(main())


def test_bridges_keep_half_closes_over_tls(run: EventLoop, contexts: Contexts) -> None:
    data = os.urandom(1_000_000)

    async def main() -> None:
        async with secured(contexts) as (near, one), secured(contexts) as (other, far):
            bridging = asyncio.create_task(bridge(one, other))
            for source, target in ((near, far), (far, near)):
                received, _ = await asyncio.gather(read_all(target), send_whole(source, data))
                assert received == data
            await bridging

    run(main())
