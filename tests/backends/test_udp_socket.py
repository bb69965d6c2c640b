from __future__ import annotations

import asyncio
import socket
import sys
import tracemalloc
from collections.abc import Iterator

import pytest
from event_loops import EventLoop

from receptor.backends.udp_socket import BATCH, SocketAddress, UdpSocket

PACKETS = [number.to_bytes(2, "big") * 10_000 for number in range(1000)]
"""More than a system takes at once."""

PEER = ("peer", 1)
"""In these tests the socket is a local one: a network loses what is too much, where this one has it wait."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    far.setblocking(False)
    with near, far:
        yield near, far


def ignored(_: UdpSocket, _address: SocketAddress, _packets: list[bytes] | None = None) -> None:
    pass


def test_what_the_system_does_not_take_is_queued_counted_and_sent_in_order(
    run: EventLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair

    async def main() -> None:
        own = UdpSocket("test", near, ignored, ignored, PEER)
        for packet in PACKETS:
            own.send(PEER, packet)
        assert own.queued(PEER) > 100_000
        assert [await asyncio.get_running_loop().sock_recv(far, 65_536) for _ in PACKETS] == PACKETS
        assert own.queued(PEER) == 0
        own.close()

    run(main())


def test_what_waits_can_be_given_up(run: EventLoop, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair

    async def main() -> None:
        own = UdpSocket("test", near, ignored, ignored, PEER)
        for packet in PACKETS:
            own.send(PEER, packet)
        own.drop(PEER)
        assert own.queued(PEER) == 0
        own.drop(PEER)
        taken = [far.recv(65_536)]
        own.send(PEER, b"the next")
        while taken[-1] != b"the next":
            taken.append(await asyncio.get_running_loop().sock_recv(far, 65_536))
        assert taken[:-1] == PACKETS[: len(taken) - 1]
        assert len(taken) < len(PACKETS)
        own.close()

    run(main())


def test_what_arrives_together_is_handed_over_together(
    run: EventLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    packets = [b"%d" % number for number in range(5)]
    for packet in packets:
        far.send(packet)

    async def main() -> None:
        batches: asyncio.Queue[list[bytes]] = asyncio.Queue()
        own = UdpSocket("test", near, lambda _, _address, batch: batches.put_nowait(batch), ignored, PEER)
        assert await batches.get() == packets
        own.close()

    run(main())
    assert len(packets) < BATCH


def test_nothing_is_kept_of_addresses_that_nothing_waits_for(
    run: EventLoop, pair: tuple[socket.socket, socket.socket]
) -> None:
    async def main() -> None:
        own = UdpSocket("test", pair[0], ignored, ignored, PEER)
        tracemalloc.start()
        try:
            own.queued(PEER)
            before = tracemalloc.get_traced_memory()[0]
            assert not any(own.queued(("stranger", number)) for number in range(10_000))
            assert tracemalloc.get_traced_memory()[0] < before + 100_000
        finally:
            tracemalloc.stop()
        own.close()

    run(main())


def test_it_works_where_errors_name_no_addresses(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(socket, "MSG_ERRQUEUE")

    async def main() -> None:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))
        batches: asyncio.Queue[list[bytes]] = asyncio.Queue()
        own = UdpSocket("test", bound, lambda _, _address, batch: batches.put_nowait(batch), ignored)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            nobody = gone.getsockname()
        own.send(nobody, b"is anybody there")
        own.send(own.address, b"to itself")
        assert await batches.get() == [b"to itself"]
        own.close()

    run(main())
