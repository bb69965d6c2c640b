from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from event_loops import EventLoop

from receptor.node.hang_ups import HangUps

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Connections; the test may close their ends."""
    with ExitStack() as open_ones:
        made = [socket.socketpair() for _ in range(3)]
        for near, far in made:
            open_ones.enter_context(near)
            open_ones.enter_context(far)
        yield made


def watch(hang_ups: HangUps, pair: Pair) -> asyncio.Task[None]:
    return asyncio.create_task(hang_ups.of(pair[0].fileno()))


async def give_up(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def test_a_watch_that_was_given_up_ends_no_other(run: EventLoop, pairs: list[Pair]) -> None:
    async def main() -> None:
        hang_ups = HangUps()
        given_up = watch(hang_ups, pairs[0])
        await asyncio.sleep(0)
        await give_up(given_up)
        # The next watch is likely to get the descriptor that this one had.
        other, third = watch(hang_ups, pairs[1]), watch(hang_ups, pairs[2])
        await asyncio.sleep(0)
        pairs[0][1].close()
        pairs[2][1].close()
        await third
        assert not other.done()
        pairs[1][1].close()
        await other
        hang_ups.close()

    run(main())


def test_nothing_is_told_of_a_watch_that_was_given_up(run: EventLoop, pairs: list[Pair]) -> None:
    async def main() -> None:
        hang_ups = HangUps()
        given_up = watch(hang_ups, pairs[0])
        await asyncio.sleep(0)
        await give_up(given_up)
        pairs[0][1].close()
        other = watch(hang_ups, pairs[1])
        await asyncio.sleep(0)
        pairs[1][1].close()
        await other
        hang_ups.close()

    run(main())


def test_a_watch_may_be_given_up_as_its_connection_ends(run: EventLoop, pairs: list[Pair]) -> None:
    async def main() -> None:
        hang_ups = HangUps()
        ending, other = watch(hang_ups, pairs[0]), watch(hang_ups, pairs[1])
        await asyncio.sleep(0)
        pairs[0][1].close()
        await give_up(ending)
        pairs[1][1].close()
        await other
        hang_ups.close()

    run(main())


def test_a_watch_may_be_given_up_after_all_watching_has_ended(run: EventLoop, pairs: list[Pair]) -> None:
    async def main() -> None:
        hang_ups = HangUps()
        given_up = watch(hang_ups, pairs[0])
        await asyncio.sleep(0)
        hang_ups.close()
        await give_up(given_up)
        assert given_up.cancelled()

    run(main())
