from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest
from event_loops import EventLoop
from proxies import open_descriptors, started
from running_mesh import row

from receptor.config.kinds import Address as SocketAddress
from receptor.config.service_actions import UdpClient, UdpServer
from receptor.errors import OperatingError
from receptor.netceptor.messages import DATAGRAM_SERVICE
from receptor.netceptor.packets import MESH_MTU, Address
from receptor.node.mesh_node import MeshNode
from receptor.services import udp_proxy
from receptor.services.udp_proxy import UdpServerPart


def udp_socket() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    opened.setblocking(False)
    return opened


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with udp_socket() as opened:
        yield opened


def service_for(server: socket.socket) -> UdpClient:
    return UdpClient(service="dns", address=SocketAddress(*server.getsockname()))


@asynccontextmanager
async def joined(server: socket.socket) -> AsyncIterator[tuple[MeshNode, MeshNode, tuple[str, int]]]:
    """Two nodes; and a port of the first that leads to the server at the second."""
    entry = UdpServer(port=0, bind_address="127.0.0.1", remote_node="bar", remote_service="dns")
    async with row("foo", "bar") as (foo, bar), started(service_for(server), bar), started(entry, foo) as part:
        assert isinstance(part, UdpServerPart)
        yield foo, bar, ("127.0.0.1", part.port)


async def receive(on: socket.socket) -> tuple[bytes, tuple[str, int]]:
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    loop.add_reader(on, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(on)
    data, sender = on.recvfrom(65_536)
    return data, sender


@pytest.mark.parametrize("size", [0, 1, 1_500, MESH_MTU])
def test_a_datagram_stays_one_datagram_both_ways(run: EventLoop, server: socket.socket, size: int) -> None:
    question = os.urandom(size)

    async def main() -> None:
        async with joined(server) as (_, _, entry):
            with udp_socket() as client:
                client.sendto(question, entry)
                received, exit_address = await receive(server)
                assert received == question
                server.sendto(received[::-1], exit_address)
                assert await receive(client) == (question[::-1], entry)

    run(main())


def test_each_client_gets_its_own_answers(run: EventLoop, server: socket.socket) -> None:
    async def main() -> None:
        async with joined(server) as (_, _, entry):
            with ExitStack() as opened:
                clients = [opened.enter_context(udp_socket()) for _ in range(20)]
                for number, client in enumerate(clients):
                    client.sendto(b"%d" % number, entry)
                exits = set()
                for _ in clients:
                    question, exit_address = await receive(server)
                    exits.add(exit_address)
                    server.sendto(b"answer to " + question, exit_address)
                assert len(exits) == len(clients)
                for number, client in enumerate(clients):
                    assert await receive(client) == (b"answer to %d" % number, entry)

    run(main())


def test_a_client_keeps_its_way_through(run: EventLoop, server: socket.socket) -> None:
    async def main() -> None:
        async with joined(server) as (_, _, entry):
            with udp_socket() as client:
                ways = set()
                for number in range(5):
                    client.sendto(b"%d" % number, entry)
                    ways.add(await receive(server))
                assert len({exit_address for _, exit_address in ways}) == 1

    run(main())


class Told(logging.Handler):
    """Sets an event at the first warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.event = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.event.set()


def test_an_address_that_can_not_be_had_is_told_of(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "receptor.services")
    for_privileged_sockets = SocketAddress("255.255.255.255", 53)

    async def main() -> None:
        told = Told()
        logging.getLogger("receptor.services").addHandler(told)
        async with row("foo", "bar") as (foo, bar), started(UdpClient("dns", for_privileged_sockets), bar):
            foo.open_datagrams(lambda source, _: None, "asker").send(Address("bar", "dns"), b"question")
            await told.event.wait()
        logging.getLogger("receptor.services").removeHandler(told)

    run(main())
    assert caplog.messages == [
        "udp-client dns offers 255.255.255.255:53 to the mesh",
        "udp-client dns can't connect to 255.255.255.255:53 for foo:asker: Permission denied; check the address",
    ]


def test_what_is_larger_than_the_mesh_takes_is_dropped_with_one_line(
    run: EventLoop, server: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "receptor.services")

    async def main() -> None:
        async with joined(server) as (_, _, entry):
            with udp_socket() as client:
                for _ in range(3):
                    client.sendto(bytes(MESH_MTU + 1), entry)
                client.sendto(b"small", entry)
                assert (await receive(server))[0] == b"small"

    run(main())
    dropped = [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()]
    assert dropped == ["udp-server 127.0.0.1:0: dropped a datagram of 16385 bytes; the mesh carries at most 16384"]


def test_strangers_in_the_mesh_reach_no_client(run: EventLoop) -> None:
    entry = UdpServer(port=0, bind_address="127.0.0.1", remote_node="bar", remote_service="dns")
    clients: asyncio.Queue[Address] = asyncio.Queue()

    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), started(entry, foo) as part:
            assert isinstance(part, UdpServerPart)
            service = bar.open_datagrams(lambda source, _: clients.put_nowait(source), "dns")
            stranger = bar.open_datagrams(lambda source, _: None)
            with udp_socket() as client:
                client.sendto(b"question", ("127.0.0.1", part.port))
                to_client = await clients.get()
                stranger.send(to_client, b"forged")
                service.send(to_client, b"answer")
                assert (await receive(client))[0] == b"answer"

    run(main())


def test_a_server_that_is_not_there_yet_is_reached_later(run: EventLoop) -> None:
    async def main() -> None:
        with udp_socket() as reserved, udp_socket() as client:
            address = reserved.getsockname()
            async with joined(reserved) as (_, _, entry):
                reserved.close()
                client.sendto(b"lost", entry)
                client.sendto(b"lost too", entry)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                    server.bind(address)
                    server.setblocking(False)
                    received = b""
                    while received != b"there":
                        client.sendto(b"there", entry)
                        received, _ = await receive(server)

    run(main())


def test_what_a_flood_of_clients_can_take_is_limited(
    run: EventLoop, server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp_proxy, "MOST_FLOWS", 5)

    async def main() -> None:
        async with joined(server) as (_, _, entry):
            before = open_descriptors()
            for number in range(50):
                with udp_socket() as client:
                    client.sendto(b"%d" % number, entry)
                    assert (await receive(server))[0] == b"%d" % number
            assert open_descriptors() <= before + 5

    run(main())


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 120
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    yield few
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_node_takes_neither_the_descriptors_nor_the_way_of_another(
    run: EventLoop, server: socket.socket, few_descriptors: int
) -> None:
    async def main() -> None:
        async with row("foo", "bar", "baz") as (foo, bar, baz), started(service_for(server), bar):
            before = open_descriptors()
            modest = baz.open_datagrams(lambda *_: None)
            modest.send(Address("bar", "dns"), b"first")
            _, way = await receive(server)
            for number in range(few_descriptors):
                greedy = foo.open_datagrams(lambda *_: None)
                greedy.send(Address("bar", "dns"), b"%d" % number)
                assert (await receive(server))[0] == b"%d" % number
                greedy.close()
            assert open_descriptors() <= before + few_descriptors // udp_proxy.SHARE_OF_DESCRIPTORS
            modest.send(Address("bar", "dns"), b"again")
            assert await receive(server) == (b"again", way)

    run(main())


def test_nothing_is_left_after_a_stop(run: EventLoop, server: socket.socket) -> None:
    async def main() -> None:
        async with row("foo", "bar") as (foo, bar):
            before = open_descriptors()
            async with started(service_for(server), bar):
                (advertisement,) = [one for one in bar.core.mesh.advertisements.own if one.service == "dns"]
                assert advertisement.connection_type == DATAGRAM_SERVICE
                assert advertisement.tags == {
                    "type": "UDP Proxy",
                    "address": f"127.0.0.1:{server.getsockname()[1]}",
                }
                sender = foo.open_datagrams(lambda source, data: None)
                sender.send(Address("bar", "dns"), b"hello")
                assert (await receive(server))[0] == b"hello"
                sender.close()
            await asyncio.sleep(0)
            assert open_descriptors() <= before
            assert not bar.core.switch.is_open("dns")
            assert not list(bar.core.mesh.advertisements.own)

    run(main())


def test_a_port_or_a_service_in_use_is_named(run: EventLoop, server: socket.socket) -> None:
    port = server.getsockname()[1]
    entry = UdpServer(port=port, bind_address="127.0.0.1", remote_node="bar", remote_service="dns")

    async def main() -> None:
        async with row("foo") as (foo,):
            with pytest.raises(OperatingError, match=rf"udp-server can't listen on 127\.0\.0\.1:{port}: .*in use"):
                async with started(entry, foo):
                    pass
            async with started(service_for(server), foo):
                with pytest.raises(OperatingError, match="has a service dns already; give one of them another name"):
                    async with started(service_for(server), foo):
                        pass
                assert foo.core.switch.is_open("dns")

    run(main())
