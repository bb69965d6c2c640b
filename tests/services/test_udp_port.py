from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from event_loops import EventLoop

from receptor.services.udp_port import UdpAddress, UdpPort, bound, connected

logger = logging.getLogger("receptor.services")


class Told(logging.Handler):
    """Sets an event at the first record."""

    def __init__(self, event: asyncio.Event) -> None:
        super().__init__()
        self._event = event

    def emit(self, record: logging.LogRecord) -> None:
        self._event.set()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_two_ports_talk(run: EventLoop, host: str) -> None:
    async def main() -> None:
        arrived: asyncio.Queue[tuple[UdpAddress, bytes]] = asyncio.Queue()
        server = UdpPort(await bound(host, 0), lambda sender, data: arrived.put_nowait((sender, data)))
        client = UdpPort(await connected(host, server.number), lambda sender, data: arrived.put_nowait((sender, data)))
        for sent in (b"question", b""):
            client.send(sent)
            sender, received = await arrived.get()
            assert received == sent
            server.send(received[::-1], sender)
            assert (await arrived.get())[1] == sent[::-1]
        client.close()
        server.close()

    run(main())


def test_that_nobody_listens_ends_nothing(run: EventLoop) -> None:
    async def main() -> None:
        arrived: asyncio.Queue[bytes] = asyncio.Queue()
        gone = UdpPort(await bound("127.0.0.1", 0), lambda _, data: None)
        number = gone.number
        gone.close()
        client = UdpPort(await connected("127.0.0.1", number), lambda _, data: arrived.put_nowait(data))
        for _ in range(3):
            client.send(b"is anybody there")
        server = UdpPort(await bound("127.0.0.1", number), lambda sender, data: server.send(data, sender))
        while arrived.empty():
            client.send(b"now")
            await asyncio.sleep(0)
        assert await arrived.get() == b"now"
        client.close()
        server.close()

    run(main())


@pytest.fixture
def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        number: int = nobody.getsockname()[1]
        return number


def test_an_answer_arrives_after_one_was_refused(
    run: EventLoop, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        told = asyncio.Event()
        handler = Told(told)
        logger.addHandler(handler)
        arrived: asyncio.Queue[bytes] = asyncio.Queue()
        client = UdpPort(await connected("127.0.0.1", free_port), lambda _, data: arrived.put_nowait(data))
        client.send(b"is anybody there")
        await told.wait()
        logger.removeHandler(handler)
        server = UdpPort(await bound("127.0.0.1", free_port), lambda sender, data: server.send(data, sender))
        client.send(b"now")
        assert await arrived.get() == b"now"
        client.close()
        server.close()

    caplog.set_level(logging.DEBUG, logger.name)
    run(main())


def test_a_refusal_loses_no_other_datagram(run: EventLoop, free_port: int) -> None:
    async def main() -> None:
        arrived: asyncio.Queue[bytes] = asyncio.Queue()
        client = UdpPort(await connected("127.0.0.1", free_port), lambda _, data: arrived.put_nowait(data))
        client.send(b"is anybody there")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", free_port))
            client.send(b"now")
            taken, sender = server.recvfrom(100)
            assert taken == b"now"
            server.sendto(b"yes", sender)
            assert await arrived.get() == b"yes"
        client.close()

    run(main())


def test_a_closed_port_sends_nothing_and_may_be_closed_again(run: EventLoop) -> None:
    async def main() -> None:
        port = UdpPort(await bound("127.0.0.1", 0), lambda _, data: None)
        port.close()
        port.send(b"late", ("127.0.0.1", 9))
        port.close()

    run(main())
