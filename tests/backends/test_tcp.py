from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Iterator

import pytest
from backend_kinds import Address, FakeOwner, Tcp, TcpOutsider
from event_loops import EventLoop, ImpatientLoop

from receptor.backends.tcp import TcpDialer, TcpListener
from receptor.errors import OperatingError


def test_a_packet_has_its_length_before_it_as_two_bytes_the_lower_first(run: EventLoop) -> None:
    async def main() -> None:
        owner = FakeOwner()
        async with Tcp().listening(owner) as address:
            reader, writer = await asyncio.open_connection(*address)
            kept = await owner.next_session()
            kept.session.send([b"one", b"", b"x" * 0x0102])
            assert await reader.readexactly(9) == b"\x03\x00one\x00\x00\x02\x01"
            assert await reader.readexactly(0x0102) == b"x" * 0x0102
            for byte in b"\x03\x00two\x05\x00three":
                writer.write(bytes([byte]))
                await writer.drain()
            assert await kept.receive(2) == [b"two", b"three"]
            writer.close()
            await kept.over.wait()

    run(main())


def test_half_a_packet_is_none(run: EventLoop) -> None:
    async def main() -> None:
        owner = FakeOwner()
        async with Tcp().listening(owner) as address:
            outsider = await Tcp().outsider(address)
            assert isinstance(outsider, TcpOutsider)
            await outsider.send_bytes(b"\x05\x00whole\x05\x00hal")
            kept = await owner.next_session()
            assert await kept.receive(1) == [b"whole"]
            outsider.leave()
            await kept.over.wait()
            assert kept.packets.empty()

    run(main())


def test_a_port_in_use_is_named(run: EventLoop) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(
                OperatingError,
                match=rf"tcp-listener can't listen on 127\.0\.0\.1:{port}: .* in use; choose another port",
            ):
                await TcpListener(FakeOwner(), "127.0.0.1", port).start()

    run(main())


def test_an_address_of_another_machine_is_named(run: EventLoop) -> None:
    async def main() -> None:
        with pytest.raises(OperatingError, match=r"can't listen on 192\.0\.2\.1:2222: .*assign"):
            await TcpListener(FakeOwner(), "192.0.2.1", 2222).start()

    run(main())


def test_stopping_what_was_never_started(run: EventLoop) -> None:
    async def main() -> None:
        await TcpListener(FakeOwner(), "127.0.0.1", 0).stop()
        await TcpDialer(FakeOwner(), "127.0.0.1", 1, redial=True).stop()

    run(main())


# Redialling. Its delays are read from the log, and time goes by without being waited for.


class Delays(logging.Handler):
    """Notes for how long the dialer says it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._news = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        found = re.search(r"again in (\S+) s", record.getMessage())
        if found:
            self.seconds.append(float(found[1]))
            self._news.set()

    async def until(self, count: int) -> None:
        while len(self.seconds) < count:
            self._news.clear()
            await self._news.wait()


@pytest.fixture
def delays(caplog: pytest.LogCaptureFixture) -> Iterator[Delays]:
    caplog.set_level(logging.DEBUG, "receptor.backends")
    handler = Delays()
    logging.getLogger("receptor.backends").addHandler(handler)
    yield handler
    logging.getLogger("receptor.backends").removeHandler(handler)


def run_impatiently(main: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(1000):
            await main

    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        runner.run(bounded())


def test_the_delay_grows_until_there_is_a_link(delays: Delays, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        address = Tcp().free_address()
        owner = FakeOwner()
        dialer = TcpDialer(owner, *address, redial=True)
        await dialer.start()
        await delays.until(6)
        async with Tcp().listening(FakeOwner(), address):
            owner.drop(await owner.next_session())
            await delays.until(len(delays.seconds) + 1)
        await dialer.stop()
        assert f"tcp-peer 127.0.0.1:{address[1]} can't be reached: Connect" in caplog.text

    run_impatiently(main())
    assert delays.seconds[:6] == [5.0, 7.5, 11.2, 16.9, 20.0, 20.0]
    assert delays.seconds[-1] == 5.0


def test_the_delay_grows_on_while_the_other_end_refuses_the_link(delays: Delays) -> None:
    async def main() -> None:
        owner = FakeOwner(makes_links=False)
        async with Tcp().listening(FakeOwner()) as address:
            dialer = TcpDialer(owner, *address, redial=True)
            await dialer.start()
            for _ in range(3):
                owner.drop(await owner.next_session())
            await delays.until(3)
            await dialer.stop()

    run_impatiently(main())
    assert delays.seconds == [5.0, 7.5, 11.2]


def test_a_peer_that_does_not_answer_is_given_up_and_dialled_again(
    delays: Delays, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with socket.socket() as mute, socket.socket() as first:
            mute.bind(("127.0.0.1", 0))
            mute.listen(0)
            address: Address = mute.getsockname()
            first.connect(address)
            dialer = TcpDialer(FakeOwner(), *address, redial=True)
            began = asyncio.get_running_loop().time()
            await dialer.start()
            await delays.until(1)
            assert asyncio.get_running_loop().time() - began == pytest.approx(15, abs=1)
            await dialer.stop()
        assert "does not answer" in caplog.text

    run_impatiently(main())
