from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from backend_kinds import GREETING, FakeOwner, Udp, UdpOutsider
from event_loops import EventLoop
from running_mesh import read_all, routes, running

from receptor.backends import udp
from receptor.backends.udp import UdpDialer, UdpListener
from receptor.errors import OperatingError
from receptor.netceptor.links import LinkTerms
from receptor.netceptor.packets import REJECT_PACKET, Address, Datagram, encode_datagram
from receptor.node.byte_stream import ByteStream

KIND = Udp()


@asynccontextmanager
async def listening(*, refuses: bool = False) -> AsyncIterator[tuple[FakeOwner, tuple[str, int]]]:
    owner = KIND.owner(refuses=refuses)
    async with KIND.listening(owner) as address:
        try:
            yield owner, address
        finally:
            owner.drop_all()
    assert owner.complaints == []


@asynccontextmanager
async def stranger(address: tuple[str, int]) -> AsyncIterator[UdpOutsider]:
    """A socket without a session yet."""
    outsider = UdpOutsider(address)
    try:
        yield outsider
    finally:
        outsider.vanish()


def test_a_datagram_is_a_packet_and_a_reject_ends_the_session_for_both(run: EventLoop) -> None:
    async def main() -> None:
        async with listening() as (owner, address), stranger(address) as outsider:
            await outsider.begin()
            session = (await owner.next_session()).session
            session.send([b"one", b"two"])
            session.close()
            loop = asyncio.get_running_loop()
            assert [await loop.sock_recv(outsider.socket, 100) for _ in range(3)] == [b"one", b"two", REJECT_PACKET]

    run(main())


NOISE = [
    b"",
    b"hello",
    b"\x01",
    b"\x01{}",
    b"\x01null",
    GREETING[:-1],
    b"\x02" + GREETING[1:],
    REJECT_PACKET,
    encode_datagram(Datagram(Address("fake", "a"), Address("us", "b"), b"data"), 3),
    b"\xff" * 65_507,
]


def test_only_a_routing_update_begins_a_session(run: EventLoop) -> None:
    async def main() -> None:
        async with listening() as (owner, address), stranger(address) as outsider:
            for packet in NOISE:
                await outsider.send(packet)
            await outsider.begin()
            await outsider.send(b"heard")
            assert await (await owner.next_session()).receive(1) == [b"heard"]
            assert len(owner.sessions) == 1

    run(main())


def test_who_is_refused_leaves_nothing_behind(run: EventLoop) -> None:
    async def main() -> None:
        async with listening(refuses=True) as (owner, address), stranger(address) as outsider:
            for number in range(1, 4):
                await outsider.begin()
                assert await outsider.receive() == b""
                assert len(owner.sessions) == number

    run(main())


def test_who_invents_senders_gets_few_sessions_and_a_neighbour_gets_one_later(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(udp, "SESSIONS_AT_ONCE", 3)
    monkeypatch.setattr(udp, "SESSIONS_PER_SECOND", 20.0)

    async def main() -> None:
        async with listening() as (owner, address), stranger(address) as outsider:
            port = outsider.socket.getsockname()[1]
            for number in range(1, 40):
                async with stranger(address) as invented:
                    await invented.send(GREETING)
                if number == 3:
                    for _ in range(3):
                        await owner.next_session()
            while not any(kept.peer.endswith(f":{port}") for kept in owner.sessions):
                await outsider.send(GREETING)
                await asyncio.sleep(0.01)
            assert len(owner.sessions) < 40

    run(main())
    (line,) = [line for line in caplog.messages if "refuses" in line]
    assert re.match(r"udp-listener 127\.0\.0\.1:[0-9]+ refuses new sessions: it has [0-9]+, and may have 100 and", line)


def test_a_listener_has_so_many_sessions_and_no_more_until_one_ends(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "MOST_SESSIONS", 2)

    async def main() -> None:
        async with listening() as (owner, address), stranger(address) as third:
            first, second = await KIND.outsider(address), await KIND.outsider(address)
            await third.send(GREETING)
            await first.send(b"heard")
            kept = await owner.next_session()
            assert await kept.receive(1) == [b"heard"]
            assert len(owner.sessions) == 2
            first.leave()
            await kept.over.wait()
            await third.begin()
            assert len(owner.sessions) == 3
            second.vanish()

    run(main())


def test_what_was_under_way_when_a_session_was_closed_begins_no_other(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "LINGER", 0.05)

    async def main() -> None:
        async with listening() as (owner, address), stranger(address) as outsider, stranger(address) as other:
            await outsider.begin()
            owner.drop(await owner.next_session())
            await outsider.send(GREETING)
            await other.begin()
            assert len(owner.sessions) == 2
            while len(owner.sessions) == 2:
                await outsider.send(GREETING)
                await asyncio.sleep(0.01)

    run(main())


def test_a_dialer_hears_nobody_but_its_peer(run: EventLoop) -> None:
    async def main() -> None:
        spoke = KIND.owner()
        async with listening() as (hub, address):
            dialer = KIND.dialer(spoke, address, redial=False)
            await dialer.start()
            accepted, dialled = await hub.next_session(), await spoke.next_session()
            host, port = accepted.peer.split(":")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as intruder:
                intruder.sendto(b"false", (host, int(port)))
            accepted.session.send([b"", b"true"])
            assert await dialled.receive(1) == [b"true"]
            hub.drop_all()
            await dialled.over.wait()
            await dialer.stop()

    run(main())


def test_a_session_that_outlives_its_listener_hears_nobody_else_from_the_first_moment(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BusySocket(socket.socket):
        """One at whose port something arrives before it is connected."""

        def connect(self, address: object) -> None:
            assert isinstance(address, tuple)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as intruder:
                intruder.sendto(b"false", self.getsockname())
            super().connect(address)

    async def main() -> None:
        owner = KIND.owner()
        listener = UdpListener(owner, "127.0.0.1", 0)
        await listener.start()
        outsider = await KIND.outsider(("127.0.0.1", listener.port))
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", BusySocket)
            await listener.stop()
        await outsider.send(b"true")
        assert await (await owner.next_session()).receive(1) == [b"true"]
        outsider.vanish()
        owner.drop_all()

    run(main())


def test_a_packet_that_udp_does_not_carry_is_dropped_with_one_line(
    run: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with listening() as (owner, address), stranger(address) as outsider:
            await outsider.begin()
            session = (await owner.next_session()).session
            session.send([b"x" * 65_508, b"x" * 65_535, b"small"])
            assert await outsider.receive() == b"small"
            session.close()

    run(main())
    (line,) = [line for line in caplog.messages if "packet" in line]
    assert line.startswith("udp-listener 127.0.0.1:")
    assert line.endswith("a packet of 65508 bytes was dropped: UDP carries 65507")


def test_nobody_there_is_noticed_at_once_and_told(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    address = KIND.free_address()

    async def main() -> None:
        owner = KIND.owner(makes_links=False)
        dialer = UdpDialer(owner, *address, redial=False)
        await dialer.start()
        kept = await owner.next_session()
        await kept.over.wait()
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("dial ")))

    run(main())
    where = f"127.0.0.1:{address[1]}"
    assert caplog.messages == [f"udp-peer {where} can't be reached: nobody listens on {where}"]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "listening_on",
    ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6"))],
)
def test_all_addresses_of_a_host_are_tried(run: EventLoop, listening_on: str) -> None:
    async def main() -> None:
        hub, spoke = KIND.owner(), KIND.owner(makes_links=False)
        listener = UdpListener(hub, listening_on, 0)
        await listener.start()
        dialer = UdpDialer(spoke, "", listener.port, redial=False)  # Both loopback addresses.
        await dialer.start()
        accepted = await hub.next_session()
        accepted.session.send([b"found"])
        dialled = await spoke.next_session()
        if listening_on not in dialled.peer:
            await dialled.over.wait()
            dialled = await spoke.next_session()
        assert await dialled.receive(1) == [b"found"]
        await dialer.stop()
        await listener.stop()
        hub.drop_all()
        await dialled.over.wait()

    run(main())


def test_a_host_name_may_stand_for_several_addresses_to_listen_on(run: EventLoop) -> None:
    async def main() -> None:
        owner = KIND.owner()
        listener = UdpListener(owner, "localhost", KIND.free_address()[1])
        await listener.start()
        async with stranger(("127.0.0.1", listener.port)) as outsider:
            await outsider.begin()
        await listener.stop()
        owner.drop_all()

    run(main())


def test_a_listener_can_be_started_again(run: EventLoop) -> None:
    async def main() -> None:
        owner = KIND.owner()
        listener = UdpListener(owner, *KIND.free_address())
        await listener.start()
        address = ("127.0.0.1", listener.port)
        first = await KIND.outsider(address)
        before = await owner.next_session()
        await listener.stop()
        await listener.start()
        second = await KIND.outsider(address)
        after = await owner.next_session()
        for kept, outsider in ((before, first), (after, second)):
            kept.session.send([b"you"])
            assert await outsider.receive() == b"you"
            await outsider.send(b"me")
            assert await kept.receive(1) == [b"me"]
            outsider.leave()
            await kept.over.wait()
        await listener.stop()

    run(main())


def test_a_port_in_use_is_named(run: EventLoop) -> None:
    async def main() -> None:
        async with KIND.listening(FakeOwner()) as (_, port):
            with pytest.raises(
                OperatingError,
                match=rf"udp-listener can't listen on 127\.0\.0\.1:{port}: .* in use; choose another port",
            ):
                await UdpListener(FakeOwner(), "127.0.0.1", port).start()

    run(main())


def test_stopping_what_was_never_started(run: EventLoop) -> None:
    async def main() -> None:
        await UdpListener(FakeOwner(), "127.0.0.1", 0).stop()
        await UdpDialer(FakeOwner(), "127.0.0.1", 1, redial=True).stop()

    run(main())


def test_a_stream_over_udp_arrives_whole(run: EventLoop) -> None:
    payload = random.Random(1).randbytes(4 * 1024 * 1024)

    async def main() -> None:
        async with running("foo") as foo, running("bar") as bar:
            listener = UdpListener(foo.backend(LinkTerms(), dialled=False), "127.0.0.1", 0)
            await listener.start()
            dialer = UdpDialer(bar.backend(LinkTerms(), dialled=True), "127.0.0.1", listener.port, redial=True)
            await dialer.start()
            await routes(foo, {"bar"})
            await routes(bar, {"foo"})
            received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

            async def take(stream: ByteStream) -> None:
                received.set_result(await read_all(stream))

            foo.listen("sink", take)
            stream = await bar.dial("foo", "sink")
            await stream.write(payload)
            await stream.finish()
            assert await received == payload
            stream.close()
            await dialer.stop()
            await listener.stop()

    run(main())
