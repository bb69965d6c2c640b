from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from ipaddress import IPv4Network, ip_network

import pytest
from event_loops import EventLoop
from running_mesh import row

from receptor.config.service_actions import IpRouter
from receptor.errors import OperatingError
from receptor.netceptor.messages import DATAGRAM_SERVICE
from receptor.netceptor.packets import Address
from receptor.node.mesh_node import MeshNode
from receptor.services import ip_router
from receptor.services.ip_router import IpRouterPart

NEW_NETWORK_NAMESPACE = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def _has_rights() -> bool:
    made = subprocess.run(["unshare", "-n", "test", "-c", "/dev/net/tun"], capture_output=True, check=False)
    return made.returncode == 0 and os.geteuid() == 0


pytestmark = pytest.mark.skipif(not _has_rights(), reason="takes root, network namespaces and /dev/net/tun")


class Machine:
    """A network namespace: interfaces, addresses and routes of its own."""

    def __init__(self) -> None:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        assert LIBC.unshare(NEW_NETWORK_NAMESPACE) == 0, os.strerror(ctypes.get_errno())
        self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._enter(self._home)

    @contextmanager
    def inside(self) -> Iterator[None]:
        self._enter(self.descriptor)
        try:
            yield
        finally:
            self._enter(self._home)

    @staticmethod
    def _enter(namespace: int) -> None:
        assert LIBC.setns(namespace, NEW_NETWORK_NAMESPACE) == 0, os.strerror(ctypes.get_errno())

    def close(self) -> None:
        os.close(self.descriptor)
        os.close(self._home)

    def ip(self, *words: str) -> str:
        with self.inside():
            return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout

    def udp(self, address: str) -> socket.socket:
        with self.inside():
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.bind((address, 4000))
        opened.setblocking(False)
        return opened


@asynccontextmanager
async def routed(machine: Machine, node: MeshNode, action: IpRouter) -> AsyncIterator[IpRouterPart]:
    part = IpRouterPart(action, node)
    try:
        with machine.inside():
            await part.start()
        yield part
    finally:
        await part.stop()


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    made = Machine(), Machine()
    yield made
    for machine in made:
        machine.close()


FOO = IpRouter("vpn", IPv4Network("10.99.0.0/30"), "tun-foo")
BAR = IpRouter("vpn", IPv4Network("10.99.0.4/30"), "tun-bar", (ip_network("192.0.2.0/24"), ip_network("2001:db8::/48")))


async def until(machine: Machine, destination: str, *, is_there: bool = True) -> str:
    """Wait until a machine has a route, or has it no more; all that it has then."""
    for _ in range(500):
        family = "-6" if ":" in destination else "-4"
        routes = await asyncio.to_thread(machine.ip, family, "route")
        if (destination in routes) == is_there:
            return routes
        await asyncio.sleep(0.01)
    raise AssertionError(routes)


async def receive(on: socket.socket) -> bytes:
    arrived = asyncio.Event()
    asyncio.get_running_loop().add_reader(on, arrived.set)
    await arrived.wait()
    asyncio.get_running_loop().remove_reader(on)
    return on.recv(65_536)


def test_machines_reach_each_other_and_what_is_behind(
    run: EventLoop, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ip_router, "LOOK_INTERVAL", 0.05)
    left, right = machines

    async def main() -> None:
        async with row("foo", "hop", "bar") as (foo, _, bar), AsyncExitStack() as parts:
            await parts.enter_async_context(routed(left, foo, FOO))
            await parts.enter_async_context(routed(right, bar, BAR))
            await until(left, "192.0.2.0/24 dev tun-foo")
            await until(left, "2001:db8::/48 dev tun-foo")
            await until(right, "10.99.0.0/30 dev tun-bar")
            right.ip("address", "add", "192.0.2.7/32", "dev", "tun-bar")
            with left.udp("10.99.0.1") as one, right.udp("10.99.0.5") as other, right.udp("192.0.2.7") as behind:
                for far, address in ((other, "10.99.0.5"), (behind, "192.0.2.7")):
                    for size in (1, 1_000, 4_000):
                        data = os.urandom(size)
                        one.sendto(data, (address, 4000))
                        assert await receive(far) == data
                        far.sendto(data[::-1], ("10.99.0.1", 4000))
                        assert await receive(one) == data[::-1]

    run(main())


def test_routes_go_with_the_node_that_has_them(
    run: EventLoop, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ip_router, "LOOK_INTERVAL", 0.05)
    left, right = machines

    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), routed(left, foo, FOO) as part:
            async with routed(right, bar, BAR):
                await until(left, "192.0.2.0/24")
            await until(left, "192.0.2.0/24", is_there=False)
            assert "tun-foo" in left.ip("link")
            await part.stop()
            assert "tun-foo" not in left.ip("link")
            assert not foo.core.switch.is_open("vpn")

    run(main())


def test_nobody_gets_more_than_it_may_have(
    run: EventLoop, machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ip_router, "LOOK_INTERVAL", 0.05)
    left, _ = machines
    tags = {
        "type": "IP Router", "network": "vpn", "route_local": "198.51.100.0/30", "other": "203.0.113.0/24",
        "route1": "0.0.0.0/0", "route2": "127.0.0.0/8", "route3": "::/0", "route4": "nonsense",
        "route5": "10.99.0.0/30",
    }  # fmt: skip

    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), routed(left, foo, FOO):
            bar.advertise("vpn", tags, connection_type=DATAGRAM_SERVICE)
            routes = await until(left, "198.51.100.0/30")
            assert [line.split()[0] for line in routes.splitlines()] == ["10.99.0.2", "198.51.100.0/30"]
            # Packets of those who are not in the network, or make no sense, change nothing.
            stranger = bar.open_datagrams(lambda source, data: None)
            for packet in (b"", b"\x00", b"\x45", os.urandom(1_000)):
                stranger.send(Address("foo", "vpn"), packet)
            await until(left, "198.51.100.0/30")

    run(main())


def test_what_advertisements_say(run: EventLoop, machines: tuple[Machine, Machine]) -> None:
    async def main() -> None:
        async with row("bar") as (bar,), routed(machines[0], bar, BAR):
            (advertisement,) = bar.core.mesh.advertisements.own
            assert advertisement.connection_type == DATAGRAM_SERVICE
            assert advertisement.tags == {
                "type": "IP Router", "network": "vpn", "route_local": "10.99.0.4/30",
                "route_0": "192.0.2.0/24", "route_1": "2001:db8::/48",
            }  # fmt: skip

    run(main())


def test_what_can_t_be_is_told(run: EventLoop, machines: tuple[Machine, Machine]) -> None:
    async def main() -> None:
        async with row("foo") as (foo,), routed(machines[0], foo, FOO):
            with pytest.raises(OperatingError, match=r"ip-router vpn: the network interface can't be made: .*busy"):
                async with routed(machines[0], foo, FOO):
                    pass
            with pytest.raises(OperatingError, match="has a service vpn already"):
                async with routed(machines[1], foo, FOO):
                    pass

    run(main())
