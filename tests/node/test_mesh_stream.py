from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import pytest
from event_loops import EventLoop
from running_mesh import joined_streams, read_all, row

from receptor.node.byte_stream import ByteStream, while_there
from receptor.node.mesh_node import MeshNode

MIB = 1024 * 1024


async def write_all(stream: ByteStream, data: bytes) -> None:
    for start in range(0, len(data), 100_000):
        await stream.write(data[start : start + 100_000])
    await stream.end()


def test_megabytes_pass_both_ways_at_once(run: EventLoop) -> None:
    there, back = os.urandom(6 * MIB), os.urandom(6 * MIB)

    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), joined_streams(foo, bar) as (near, far):
            _, _, received_back, received_there = await asyncio.gather(
                write_all(near, there), write_all(far, back), read_all(near), read_all(far)
            )
            assert received_there == there
            assert received_back == back

    run(main())


def test_each_direction_ends_alone(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), joined_streams(foo, bar) as (near, far):
            await near.write(b"question\nand more")
            await near.end()
            assert await far.readline(100) == b"question\n"
            assert await read_all(far) == b"and more"
            assert await far.read() == b""
            await far.write(b"answer")
            await far.end()
            assert await read_all(near) == b"answer"

    run(main())


def test_the_far_end_has_a_name_and_is_never_local(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), joined_streams(foo, bar) as (near, far):
            assert str(near.origin) == "bar:joined"
            assert str(far.origin).startswith("foo:")
            assert not near.origin.is_local
            assert not far.origin.is_local

    run(main())


async def stalled(node: MeshNode, sent: list[int]) -> int:
    """How much was sent when, for the time of many pings, no more was."""
    quiet = 0
    while quiet < 30:
        before = len(sent)
        pong = await node.ping("bar")
        assert pong.problem is None
        assert pong.seconds < 2
        quiet = quiet + 1 if len(sent) == before else 0
    return sum(sent)


@pytest.mark.parametrize("nodes", [("foo", "bar"), ("foo", "hop", "bar")], ids=["neighbours", "over a third node"])
def test_a_slow_reader_holds_back_the_writer_and_nobody_else(run: EventLoop, nodes: tuple[str, ...]) -> None:
    chunk = os.urandom(128 * 1024)
    count = 240

    async def main() -> None:
        async with row(*nodes) as running, joined_streams(running[0], running[-1]) as (near, far):
            sent: list[int] = []

            async def write() -> None:
                for _ in range(count):
                    await near.write(chunk)
                    sent.append(len(chunk))
                await near.end()

            writing = asyncio.create_task(write())
            assert await stalled(running[0], sent) < 16 * MIB
            assert not writing.done()
            assert await read_all(far) == chunk * count
            await writing

    run(main())


def test_what_was_written_before_finish_is_delivered(run: EventLoop) -> None:
    data = os.urandom(5 * MIB)

    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), joined_streams(foo, bar) as (near, far):
            await far.write(b"never read")
            writing = asyncio.create_task(near.write(data))
            first = await far.read()
            rest = asyncio.create_task(read_all(far))
            await writing
            await near.finish()
            assert first + await rest == data
            await far.finish()

    run(main())


def test_a_finished_stream_is_over_for_its_user(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), joined_streams(foo, bar) as (near, _):
            await near.finish()
            near.close()
            with pytest.raises(ConnectionError, match="closed at this end"):
                await near.write(b"x")
            with pytest.raises(ConnectionError, match="closed at this end"):
                await near.read()

    run(main())


def test_a_dropped_stream_breaks_for_the_far_end_after_what_had_arrived(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), joined_streams(foo, bar) as (near, far):
            await near.write(b"arrived")
            assert await far.read() == b"arrived"
            near.close()
            with pytest.raises(ConnectionError, match="closed the stream before its end"):
                await far.read()
            with pytest.raises(ConnectionError):
                await far.write(b"x")

    run(main())


def test_closing_a_stream_wakes_its_own_reader_and_writer(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), joined_streams(foo, bar) as (near, _):
            reading = asyncio.create_task(near.read())
            writing = asyncio.create_task(near.write(bytes(20 * MIB)))
            assert (await foo.ping("bar")).problem is None
            assert not reading.done()
            assert not writing.done()
            near.close()
            for task in (reading, writing):
                with pytest.raises(ConnectionError, match="closed at this end"):
                    await task

    run(main())


def test_a_far_end_that_leaves_is_noticed_without_reading_or_writing(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), joined_streams(foo, bar) as (near, far):

            async def stay() -> None:
                async with while_there(far):
                    near.close()
                    await asyncio.get_running_loop().create_future()

            with pytest.raises(ConnectionResetError, match="the other end has left"):
                await stay()

    run(main())


def test_a_writer_that_waits_hears_that_the_far_end_has_left(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), joined_streams(foo, bar) as (near, far):

            async def write() -> None:
                while True:
                    await near.write(bytes(MIB))

            writing = asyncio.create_task(write())
            await far.read()
            far.close()
            with pytest.raises(ConnectionError, match="the far end closed the stream"):
                await writing

    run(main())


def test_cancelling_a_read_loses_nothing(run: EventLoop) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), joined_streams(foo, bar) as (near, far):
            reading = asyncio.create_task(far.read())
            assert (await foo.ping("bar")).problem is None
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            await near.write(b"whole")
            assert await far.read() == b"whole"

    run(main())
