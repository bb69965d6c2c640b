from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from event_loops import EventLoop
from hypothesis import given
from hypothesis import strategies as st
from scripted_stream import Script, ScriptedStream

from receptor.node import byte_stream, socket_stream
from receptor.node.byte_stream import CHUNK, LOCAL_CLIENT, LineTooLong, bridge, while_there
from receptor.node.hang_ups import HangUps
from receptor.node.socket_stream import READ_LIMIT, Connection, SocketStream

families = pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET], ids=["unix", "tcp"])


# Lines


def lines_of(stream: ScriptedStream, limit: int) -> list[bytes]:
    async def main() -> list[bytes]:
        lines = []
        while line := await stream.readline(limit):
            lines.append(line)
        return lines

    return asyncio.run(main())


@given(st.lists(st.binary(max_size=5) | st.sampled_from([b"\n", b"a\nb", b"\n\n"])))
def test_how_bytes_arrive_does_not_change_the_lines(chunks: list[bytes]) -> None:
    script = [chunk for chunk in chunks if chunk]
    whole = b"".join(script)
    expected = [line + b"\n" for line in whole.split(b"\n")]
    expected[-1] = expected[-1].removesuffix(b"\n")
    assert lines_of(ScriptedStream(*script), 1000) == [line for line in expected if line]


@pytest.mark.parametrize(
    "script", [[b"1234\n678\n"], [b"1234", b"\n6", b"78\n"], [bytes([byte]) for byte in b"1234\n678\n"]]
)
def test_a_line_may_be_as_long_as_the_limit(script: list[bytes]) -> None:
    assert lines_of(ScriptedStream(*script), 5) == [b"1234\n", b"678\n"]


@pytest.mark.parametrize(
    "script", [[b"12345\n678\n"], [b"12345", b"\n"], [b"12345678"], [b"123", b"456", Script.SILENCE]]
)
def test_a_longer_line_is_refused_however_it_arrives(script: list[bytes | Script]) -> None:
    with pytest.raises(LineTooLong, match="longer than 5 bytes"):
        lines_of(ScriptedStream(*script), 5)


def test_no_more_than_the_limit_and_one_chunk_is_taken_of_a_line_without_end() -> None:
    stream = ScriptedStream(*[b"x" * 100] * 50, Script.BREAK)
    with pytest.raises(LineTooLong):
        lines_of(stream, 1000)
    assert len(asyncio.run(stream.read())) == 1100


def test_a_break_within_a_line_is_told() -> None:
    with pytest.raises(ConnectionError):
        lines_of(ScriptedStream(b"half a li", Script.BREAK), 100)


def test_bytes_that_came_with_a_line_are_read_next() -> None:
    async def main() -> list[bytes]:
        stream = ScriptedStream(b"command\npay", b"load", b"more")
        return [await stream.readline(100), await stream.read(), await stream.read(), await stream.readline(100)]

    assert asyncio.run(main()) == [b"command\n", b"pay", b"load", b"more"]


def test_cancelling_a_readline_loses_nothing() -> None:
    async def main() -> bytes:
        stream = ScriptedStream(b"half", Script.SILENCE, b" and half\n")
        reading = asyncio.create_task(stream.readline(100))
        await stream.silent.wait()
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        return await stream.readline(100)

    assert asyncio.run(main()) == b"half and half\n"


def test_many_lines_of_one_chunk_take_time_that_grows_with_their_number_only() -> None:
    # With a copy of the rest for each line these would take minutes.
    assert len(lines_of(ScriptedStream(b"\n" * 1_000_000), 10)) == 1_000_000


def test_a_long_line_in_many_pieces_takes_time_that_grows_with_its_length_only() -> None:
    # Likewise with a search from the start, or a copy, for each piece.
    assert len(lines_of(ScriptedStream(*[b"12"] * 500_000), 1_000_000)[0]) == 1_000_000


# Sockets


class WatchedConnection(Connection):
    """One whose end can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.closed.set()


@asynccontextmanager
async def connected(family: int) -> AsyncIterator[tuple[SocketStream, socket.socket]]:
    """A stream, and the socket that is its far end."""
    near, far = tcp_pair() if family == socket.AF_INET else socket.socketpair()
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    opening = loop.create_connection if family == socket.AF_INET else loop.create_unix_connection
    transport, connection = await opening(WatchedConnection, sock=near)
    with far:
        hang_ups = HangUps()
        try:
            yield SocketStream(connection, LOCAL_CLIENT, hang_ups), far
        finally:
            hang_ups.close()
            transport.close()
            await connection.closed.wait()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


def reset(far: socket.socket) -> None:
    """Leave without having read, and without an orderly end."""
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()


async def read_all(far: socket.socket) -> bytes:
    received = bytearray()
    while data := await asyncio.get_running_loop().sock_recv(far, CHUNK):
        received += data
    return bytes(received)


async def send_all(far: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(far, data)
    far.shutdown(socket.SHUT_WR)


@families
def test_both_directions_of_a_socket_end_separately(run: EventLoop, family: int) -> None:
    async def main() -> None:
        async with connected(family) as (stream, far):
            await stream.write(b"question")
            await stream.end()
            assert await read_all(far) == b"question"
            await send_all(far, b"answer")
            assert await stream.readline(100) == b"answer"
            assert await stream.read() == b""

    run(main())


@families
def test_what_was_written_is_delivered_after_finish(run: EventLoop, family: int) -> None:
    data = os.urandom(4_000_000)

    async def main() -> None:
        async with connected(family) as (stream, far):
            reading = asyncio.create_task(read_all(far))
            await stream.write(data)
            await stream.finish()
            assert await reading == data

    run(main())


@families
def test_a_far_end_that_does_not_read_holds_a_finished_stream_for_a_while_only(
    run: EventLoop, family: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_stream, "FINISH_TIME", 0.05)

    async def main() -> None:
        async with connected(family) as (stream, _):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stream.write(bytes(20_000_000))
            await stream.finish()
            # Now ``connected`` waits until the connection is closed, while the far end is there and does not read.

    run(main())


@families
def test_a_write_waits_for_a_slow_reader(run: EventLoop, family: int) -> None:
    data = os.urandom(16_000_000)

    async def main() -> None:
        async with connected(family) as (stream, far):
            writing = asyncio.create_task(stream.write(data))
            await asyncio.get_running_loop().sock_recv(far, 1)
            assert not writing.done()
            reading = asyncio.create_task(read_all(far))
            await writing
            await stream.end()
            assert len(await reading) == len(data) - 1

    run(main())


@families
def test_a_dropped_stream_ends_at_once_for_the_far_end(run: EventLoop, family: int) -> None:
    async def main() -> None:
        async with connected(family) as (stream, far):
            await stream.write(b"x")
            stream.close()
            with suppress(ConnectionError):
                await read_all(far)

    run(main())


async def read_and_write_until_it_breaks(stream: SocketStream) -> None:
    while await stream.read():
        pass
    while True:
        await stream.write(b"x" * CHUNK)


@families
def test_a_far_end_that_vanishes_breaks_reading_or_writing(run: EventLoop, family: int) -> None:
    async def main() -> None:
        async with connected(family) as (stream, far):
            await stream.write(b"never read")
            reset(far)
            with pytest.raises(ConnectionError):
                await read_and_write_until_it_breaks(stream)

    run(main())


@families
def test_ending_a_stream_whose_far_end_has_vanished(run: EventLoop, family: int) -> None:
    async def main() -> None:
        async with connected(family) as (stream, far):
            await stream.write(b"never read")
            reset(far)
            # The break may be known by now or not; no other error comes of it.
            with suppress(ConnectionError):
                await stream.end()

    run(main())


@families
def test_writing_goes_on_failing_after_a_break(run: EventLoop, family: int) -> None:
    async def main() -> None:
        async with connected(family) as (stream, far):
            await stream.write(b"never read")
            reset(far)
            for _ in range(3):
                with pytest.raises(ConnectionError):
                    await read_and_write_until_it_breaks(stream)
                with pytest.raises(ConnectionError):
                    await stream.write(b"more")

    run(main())


def test_a_lost_network_breaks_a_stream_too(run: EventLoop) -> None:
    async def main() -> None:
        near, far = tcp_pair()
        transport, connection = await asyncio.get_running_loop().create_connection(Connection, sock=near)
        with far:
            connection.connection_lost(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
            with pytest.raises(ConnectionError, match="Connection timed out"):
                await SocketStream(connection, LOCAL_CLIENT, HangUps()).read()
            transport.close()

    run(main())


# Leaving


@families
def test_a_far_end_that_is_gone_is_noticed_without_reading_or_writing(run: EventLoop, family: int) -> None:
    async def main() -> None:
        async with connected(family) as (stream, far):

            async def stay() -> None:
                async with while_there(stream):
                    reset(far)
                    await asyncio.get_running_loop().create_future()

            with pytest.raises(ConnectionResetError, match="the other end has left"):
                await stay()

    run(main())


def test_a_far_end_that_only_stops_writing_is_still_there(run: EventLoop) -> None:
    async def main() -> None:
        async with connected(socket.AF_UNIX) as (stream, far):
            async with while_there(stream):
                far.shutdown(socket.SHUT_WR)
                assert await stream.read() == b""
                await stream.write(b"answer")
            assert await asyncio.get_running_loop().sock_recv(far, 100) == b"answer"

    run(main())


@families
def test_who_was_watched_for_a_while_leaves_later_without_a_trace(run: EventLoop, family: int) -> None:
    async def main() -> None:
        async with connected(family) as (stream, far):
            for _ in range(2):
                async with while_there(stream):
                    await asyncio.sleep(0)
            far.close()
            assert await stream.read() == b""
            await asyncio.sleep(0)  # What the loop has to complain of, it does by now.

    run(main())


def test_who_can_t_be_watched_is_not_taken_for_gone(run: EventLoop) -> None:
    class Unwatchable(ScriptedStream):
        async def left(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), while_there(Unwatchable()):
                await asyncio.get_running_loop().create_future()

    run(main())


def test_whether_it_is_gone_is_known_at_the_end_of_what_it_sent(run: EventLoop) -> None:
    async def main() -> None:
        async with connected(socket.AF_UNIX) as (stream, far):
            far.shutdown(socket.SHUT_WR)
            assert await stream.read() == b""
            assert not stream.has_left
            far.close()
            assert stream.has_left

    run(main())


def test_one_of_many_leaves(run: EventLoop) -> None:
    async def main() -> None:
        hang_ups = HangUps()
        pairs = [socket.socketpair() for _ in range(5)]
        waiting = [asyncio.create_task(hang_ups.of(near.fileno())) for near, _ in pairs]
        await asyncio.sleep(0)
        pairs[2][1].close()
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert done == {waiting[2]}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        hang_ups.close()
        for near, far in pairs:
            near.close()
            far.close()

    run(main())


def test_a_cancelled_body_stays_cancelled(run: EventLoop) -> None:
    async def main() -> None:
        async with connected(socket.AF_UNIX) as (stream, _):

            async def body() -> None:
                async with while_there(stream):
                    inside.set()
                    await asyncio.get_running_loop().create_future()

            inside = asyncio.Event()
            task = asyncio.create_task(body())
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())


# Bridges


@asynccontextmanager
async def bridged(family: int) -> AsyncIterator[tuple[socket.socket, asyncio.Task[None], socket.socket]]:
    """The two far ends of a bridge, and the bridge."""
    async with connected(family) as (one, one_far), connected(family) as (other, other_far):
        task = asyncio.create_task(bridge(one, other))
        yield one_far, task, other_far
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@families
def test_a_bridge_passes_bytes_both_ways_and_each_end_alone(run: EventLoop, family: int) -> None:
    data = os.urandom(3_000_000)

    async def main() -> None:
        async with bridged(family) as (one, task, other):
            reading = asyncio.create_task(read_all(other))
            await send_all(one, data)
            assert await reading == data
            assert not task.done()
            reading = asyncio.create_task(read_all(one))
            await send_all(other, data[::-1])
            assert await reading == data[::-1]
            await task

    run(main())


@families
def test_a_break_of_one_end_drops_the_other(run: EventLoop, family: int) -> None:
    async def main() -> None:
        async with bridged(family) as (one, task, other):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(one, b"x")
            await loop.sock_recv(other, 1)
            await loop.sock_sendall(other, b"never read")
            reset(one)
            with suppress(ConnectionError):
                await read_all(other)
            if family == socket.AF_UNIX:
                # Here a reset looks like an end until something is written.
                with suppress(ConnectionError):
                    await loop.sock_sendall(other, b"more" * CHUNK)
            await task

    run(main())


@pytest.mark.parametrize("breaks", ["reading", "writing"])
def test_a_break_ends_a_direction_that_waits(breaks: str) -> None:
    async def main() -> None:
        silent = ScriptedStream(Script.SILENCE)
        broken = ScriptedStream(Script.BREAK) if breaks == "reading" else ScriptedStream(Script.SILENCE, breaks_after=0)
        talker = ScriptedStream(b"x", Script.SILENCE) if breaks == "writing" else silent
        await bridge(talker, broken)
        assert talker.is_closed
        assert broken.is_closed
        assert not talker.is_finished

    asyncio.run(main())


def test_cancelling_a_bridge_drops_both_ends() -> None:
    async def main() -> None:
        one, other = ScriptedStream(Script.SILENCE), ScriptedStream(Script.SILENCE)
        task = asyncio.create_task(bridge(one, other))
        await one.silent.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert one.is_closed
        assert other.is_closed

    asyncio.run(main())


def test_a_bridge_that_both_ends_have_left_is_finished_on_both() -> None:
    async def main() -> None:
        one, other = ScriptedStream(b"ping"), ScriptedStream(b"pong")
        await bridge(one, other)
        for stream, received in ((one, b"pong"), (other, b"ping")):
            assert stream.written == received
            assert stream.is_ended
            assert stream.is_finished
            assert not stream.is_closed

    asyncio.run(main())


def test_a_bridge_ends_once_an_end_has_left_and_what_it_said_is_passed_on() -> None:
    async def main() -> None:
        one, other = ScriptedStream(b"last words"), ScriptedStream(Script.SILENCE)
        task = asyncio.create_task(bridge(one, other))
        await other.silent.wait()
        assert not task.done()
        one.leaves.set()
        await task
        assert other.written == b"last words"
        assert other.is_finished
        assert not other.is_closed

    asyncio.run(main())


def test_who_has_left_still_has_all_that_it_said_passed_on(run: EventLoop) -> None:
    data = os.urandom(1_000_000)

    async def main() -> None:
        async with bridged(socket.AF_UNIX) as (one, task, other):
            reading = asyncio.create_task(read_all(other))
            await asyncio.get_running_loop().sock_sendall(one, data)
            one.close()
            assert await reading == data
            await task

    run(main())


def test_a_dropped_tcp_connection_does_not_look_like_an_end(run: EventLoop) -> None:
    async def main() -> None:
        async with connected(socket.AF_INET) as (stream, far):
            await stream.write(b"a part")
            stream.close()
            with pytest.raises(ConnectionResetError):
                await read_all(far)

    run(main())


def test_a_far_end_that_read_too_slowly_knows_that_something_is_missing(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_stream, "FINISH_TIME", 0.05)

    async def main() -> None:
        async with connected(socket.AF_INET) as (stream, far):
            writing = asyncio.create_task(stream.write(bytes(20_000_000)))
            await asyncio.get_running_loop().sock_recv(far, 1)
            writing.cancel()
            await asyncio.wait([writing])
            await stream.finish()
            await asyncio.sleep(0.1)
            with pytest.raises(ConnectionResetError):
                await read_all(far)

    run(main())


def test_a_break_does_not_overtake_what_was_said_before(run: EventLoop) -> None:
    data = os.urandom(2_000_000)

    class Breaking(ScriptedStream):
        async def _receive(self) -> bytes:
            said = await super()._receive()
            if said:
                return said
            raise ConnectionResetError("after all was said")

    async def main() -> None:
        async with connected(socket.AF_INET) as (stream, far):
            bridging = asyncio.create_task(bridge(Breaking(data), stream))
            received = bytearray()
            with pytest.raises(ConnectionResetError):
                await read_into(received, far)
            assert received == data
            await bridging

    async def read_into(received: bytearray, far: socket.socket) -> None:
        while part := await asyncio.get_running_loop().sock_recv(far, CHUNK):
            received += part
            await asyncio.sleep(0.001)

    run(main())


def test_who_does_not_read_does_not_hold_a_break_up_for_long(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_stream, "DELIVERY_TIME", 0.05)

    async def main() -> None:
        async with connected(socket.AF_INET) as (stream, far):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await stream.write(bytes(20_000_000))
            await bridge(ScriptedStream(Script.BREAK), stream)
            with pytest.raises(ConnectionResetError):
                await read_all(far)

    run(main())


# Much at once


@families
def test_who_needs_nothing_before_the_end_gets_it_in_large_pieces(run: EventLoop, family: int) -> None:
    data = os.urandom(2_000_000)

    async def main() -> None:
        async with connected(family) as (stream, far):
            sending = asyncio.create_task(send_all(far, b"line\n" + data))
            assert await stream.readline(100) == b"line\n"
            pieces = []
            while piece := await stream.read_much():
                pieces.append(piece)
            await sending
            assert b"".join(pieces) == data
            # What came with the line, the rest at the end, and in between as much as is held at once.
            assert all(len(piece) >= READ_LIMIT for piece in pieces[1:-1])

    run(main())


@families
def test_the_end_of_little_is_the_end_of_a_large_piece(run: EventLoop, family: int) -> None:
    async def main() -> None:
        async with connected(family) as (stream, far):
            await send_all(far, b"little")
            assert await stream.read_much() == b"little"
            assert await stream.read_much() == b""

    run(main())


def test_who_stops_waiting_for_much_loses_nothing(run: EventLoop) -> None:
    async def main() -> None:
        async with connected(socket.AF_UNIX) as (stream, far):
            far.send(b"little")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await stream.read_much()
            assert await stream.read() == b"little"

    run(main())
