from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from event_loops import EventLoop
from running_mesh import echo, joined_streams, read_all, row, running
from tls_settings import profiles

from receptor.errors import TlsError, UnreachableError
from receptor.node.byte_stream import ByteStream
from receptor.node.mesh_node import MeshNode


async def ask(node: MeshNode, target: str, service: str, data: bytes, tls_client: str = "") -> bytes:
    """Send the data to a service and return all that it answers."""
    stream = await node.dial(target, service, tls_client)
    await stream.write(data)
    await stream.end()
    answer = await read_all(stream)
    await stream.finish()
    return answer


async def ask_echo(node: MeshNode, other: MeshNode) -> bytes:
    other.listen("echo", echo)
    return await ask(node, other.node_id, "echo", b"and no harm is done")


def test_a_service_serves_many_streams_at_once(run: EventLoop) -> None:
    payloads = [os.urandom(20_000 + number) for number in range(40)]

    async def main() -> None:
        async with row("foo", "hop", "bar") as (foo, _, bar):
            bar.listen("echo", echo)
            answers = await asyncio.gather(*(ask(foo, "bar", "echo", payload) for payload in payloads))
            assert answers == payloads

    run(main())


@pytest.mark.parametrize("name", ["foo", "localhost", "LocalHost"])
def test_a_service_of_the_own_node(run: EventLoop, name: str) -> None:
    async def main() -> None:
        async with running("foo") as foo:
            foo.listen("echo", echo)
            assert await ask(foo, name, "echo", b"to myself") == b"to myself"

    run(main())


@pytest.mark.parametrize(
    ("node", "service", "reason"),
    [
        ("nowhere", "echo", "no route to node nowhere"),
        ("bar", "nosuch", "service unknown: nosuch on bar"),
        ("foo", "nosuch", "service unknown: nosuch on this node"),
    ],
)
def test_dialling_what_is_not_there(run: EventLoop, node: str, service: str, reason: str) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, _):
            with pytest.raises(UnreachableError, match=reason):
                await foo.dial(node, service)

    run(main())


def test_dialling_a_secured_service_without_tls(run: EventLoop, tmp_path: Path) -> None:
    async def main() -> None:
        async with running("foo", tls=profiles(tmp_path, "foo")) as foo:
            foo.listen("echo", echo, tls_server="own")
            with pytest.raises(TlsError, match="it wants TLS, so name a tls-client"):
                await foo.dial("foo", "echo")
            assert await ask(foo, "foo", "echo", b"to myself", tls_client="own") == b"to myself"

    run(main())


def test_giving_up_a_dial_leaves_no_stream(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar):
            serving: set[ByteStream] = set()

            async def serve(stream: ByteStream) -> None:
                serving.add(stream)
                try:
                    await stream.read()
                finally:
                    serving.remove(stream)

            bar.listen("service", serve)
            # It is given up in every state between nothing and open.
            for turns in range(60):
                dial = asyncio.create_task(foo.dial("bar", "service"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                dial.cancel()
                await asyncio.wait([dial])
                if not dial.cancelled():
                    dial.result().close()
            while serving:
                await foo.ping("bar")
            assert await ask_echo(foo, bar) == b"and no harm is done"

    run(main())


@pytest.mark.parametrize("nodes", [("foo", "bar"), ("foo", "hop", "bar")], ids=["neighbours", "over a third node"])
def test_pings_and_other_streams_keep_their_latency_while_one_reader_does_not_read(
    run: EventLoop, nodes: tuple[str, ...]
) -> None:
    async def main() -> None:
        async with row(*nodes) as running, joined_streams(running[0], running[-1]) as (stuck, _):
            foo, bar = running[0], running[-1]
            bar.listen("echo", echo)
            quick = await foo.dial("bar", "echo")

            async def write_without_end() -> None:
                while True:
                    await stuck.write(bytes(100_000))

            writing = asyncio.create_task(write_without_end())
            slowest = 0.0
            for number in range(100):
                pong = await foo.ping("bar")
                assert pong.problem is None
                began = time.monotonic()
                await quick.write(b"%3d" % number)
                assert await quick.read() == b"%3d" % number
                slowest = max(slowest, pong.seconds, time.monotonic() - began)
            assert slowest < 0.5
            assert not writing.done()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            quick.close()

    run(main())


def test_a_user_that_leaves_a_stream_open_drops_it(run: EventLoop) -> None:
    async def forgetful(stream: ByteStream) -> None:
        await stream.write(b"hello")

    async def main() -> None:
        async with row("foo", "bar") as (foo, bar):
            bar.listen("service", forgetful)
            stream = await foo.dial("bar", "service")
            with pytest.raises(ConnectionError):
                await read_all(stream)

    run(main())


def test_a_service_that_has_ended_takes_no_more_streams(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar):
            async with joined_streams(foo, bar) as (near, far):
                bar.unlisten("joined")
                with pytest.raises(UnreachableError, match="service unknown"):
                    await foo.dial("bar", "joined")
                await near.write(b"still here")
                assert await far.read() == b"still here"
            assert await ask_echo(foo, bar) == b"and no harm is done"

    run(main())
