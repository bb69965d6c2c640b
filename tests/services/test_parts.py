from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from event_loops import EventLoop
from proxies import Proxied, breaks, fill, open_descriptors, proxied, receive, receive_all, reset, send, send_whole

families = pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET], ids=["unix", "tcp"])


@families
def test_bytes_pass_both_ways(run: EventLoop, family: socket.AddressFamily, short_folder: Path) -> None:
    async def main() -> None:
        async with proxied(family, short_folder) as proxies, proxies.connected() as (client, server):
            for question, answer in ((b"ping", b"pong"), (b"one more", b"there")):
                await send(client, question)
                assert await receive(server, len(question)) == question
                await send(server, answer)
                assert await receive(client, len(answer)) == answer

    run(main())


@families
@pytest.mark.parametrize("node_ids", [["foo"], ["foo", "bar"], ["foo", "hop", "bar"]], ids=len)
def test_each_direction_ends_alone(
    run: EventLoop, family: socket.AddressFamily, node_ids: list[str], short_folder: Path
) -> None:
    data = os.urandom(1_500_000)

    async def main() -> None:
        async with proxied(family, short_folder, *node_ids) as proxies, proxies.connected() as (client, server):
            received, _ = await asyncio.gather(receive_all(server), send_whole(client, data))
            assert received == data
            received, _ = await asyncio.gather(receive_all(client), send_whole(server, data[::-1]))
            assert received == data[::-1]

    run(main())


@families
def test_the_server_may_end_first(run: EventLoop, family: socket.AddressFamily, short_folder: Path) -> None:
    async def main() -> None:
        async with proxied(family, short_folder) as proxies, proxies.connected() as (client, server):
            await send_whole(server, b"greeting")
            assert await receive_all(client) == b"greeting"
            await send_whole(client, b"answer")
            assert await receive_all(server) == b"answer"

    run(main())


@families
def test_a_slow_reader_gets_everything_after_both_ends(
    run: EventLoop, family: socket.AddressFamily, short_folder: Path
) -> None:
    async def main() -> None:
        async with proxied(family, short_folder) as proxies, proxies.connected() as (client, server):
            client.shutdown(socket.SHUT_WR)
            sent = await fill(server)
            server.shutdown(socket.SHUT_WR)
            assert len(await receive_all(client)) == sent

    run(main())


@families
def test_a_reader_that_stops_makes_the_writer_stop_and_no_other(
    run: EventLoop, family: socket.AddressFamily, short_folder: Path
) -> None:
    async def main() -> None:
        async with proxied(family, short_folder) as proxies, proxies.connected() as (client, server):
            sent = await fill(client)
            assert sent < 40_000_000
            async with proxies.connected() as (other_client, other_server):
                await send_whole(other_client, b"ping")
                assert await receive_all(other_server) == b"ping"
            receiving = asyncio.create_task(receive_all(server))
            client.shutdown(socket.SHUT_WR)
            assert len(await receiving) == sent

    run(main())


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_break_breaks_the_other_end(run: EventLoop, who: str, short_folder: Path) -> None:
    async def main() -> None:
        async with proxied(socket.AF_INET, short_folder) as proxies, proxies.connected() as (client, server):
            breaking, other = (client, server) if who == "client" else (server, client)
            await send(breaking, b"half of it")
            assert await receive(other, 10) == b"half of it"
            reset(breaking)
            await breaks(other)

    run(main())


def test_a_lost_node_breaks_the_connections_through_it(run: EventLoop, short_folder: Path) -> None:
    async def main() -> None:
        async with proxied(socket.AF_INET, short_folder) as proxies, proxies.connected() as (client, server):
            await send(client, b"half of it")
            assert await receive(server, 10) == b"half of it"
            await proxies.nodes[-1].stop()
            await asyncio.gather(breaks(client), breaks(server))

    run(main())


@families
@pytest.mark.parametrize("stopped", ["entry", "exit"])
def test_stopping_either_service_ends_its_connections(
    run: EventLoop, family: socket.AddressFamily, stopped: str, short_folder: Path
) -> None:
    async def main() -> None:
        async with proxied(family, short_folder) as proxies, proxies.connected() as (client, server):
            await send(client, b"half of it")
            assert await receive(server, 10) == b"half of it"
            await (proxies.entry if stopped == "entry" else proxies.exit).stop()
            if family == socket.AF_UNIX:
                # Here a break can't be told from an end.
                assert [await receive_all(client), await receive_all(server)] == [b"", b""]
            else:
                await asyncio.gather(breaks(client), breaks(server))

    run(main())


@families
def test_many_connections_leave_nothing_behind(
    run: EventLoop, family: socket.AddressFamily, short_folder: Path
) -> None:
    async def talk(proxies: Proxied, number: int) -> None:
        with await proxies.client() as client:
            if number % 3 == 2:
                reset(client)
                return
            question = b"%d " % number * 1000
            await send_whole(client, question)
            if number % 3 == 1:
                assert await receive_all(client) == question

    async def answer(server: socket.socket) -> None:
        with server:
            try:
                await send_whole(server, await receive_all(server))
            except ConnectionError:
                pass  # One that was reset.

    async def serve(proxies: Proxied, answers: asyncio.TaskGroup) -> None:
        while True:
            answers.create_task(answer(await proxies.accepted()))

    async def main() -> None:
        async with proxied(family, short_folder) as proxies, asyncio.TaskGroup() as answers:
            serving = asyncio.create_task(serve(proxies, answers))
            tasks = asyncio.all_tasks()
            descriptors = []
            for count in (2, 200):
                await asyncio.gather(*(talk(proxies, number) for number in range(count)))
                while left := asyncio.all_tasks() - tasks:
                    await asyncio.wait(left)
                descriptors.append(open_descriptors())
            assert descriptors[1] <= descriptors[0]
            serving.cancel()
            await asyncio.wait([serving])

    run(main())
