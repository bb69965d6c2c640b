from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from event_loops import EventLoop
from proxies import breaks, proxied, receive, receive_all, send, send_whole, started
from running_mesh import row

from receptor import accepting
from receptor.config.service_actions import TcpServer, UnixSocketServer
from receptor.errors import OperatingError
from receptor.services.inbound import TcpServerPart


def tcp_server(port: int = 0, node: str = "bar") -> TcpServer:
    return TcpServer(port=port, bind_address="127.0.0.1", remote_node=node, remote_service="web")


@pytest.mark.parametrize(
    ("node", "told"), [("bar", "service unknown: web on bar"), ("nowhere", "no route to node nowhere")]
)
def test_a_connection_that_leads_nowhere_is_reset_and_told_once(
    run: EventLoop, node: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "receptor.services")

    async def main() -> None:
        async with row("foo", "bar") as (foo, _), started(tcp_server(node=node), foo) as part:
            assert isinstance(part, TcpServerPart)
            for _ in range(3):
                with socket.socket() as client:
                    client.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", part.port))
                    await breaks(client)

    run(main())
    (line,) = [message for message in caplog.messages if "dropped" in message]
    assert line.startswith("tcp-server 127.0.0.1:")
    assert line.endswith(told)


def test_a_port_in_use_is_named(run: EventLoop) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            async with row("foo") as (foo,):
                with pytest.raises(OperatingError, match=rf"tcp-server can't listen on 127\.0\.0\.1:{port}: .*in use"):
                    async with started(tcp_server(port), foo):
                        pass

    run(main())


def test_a_socket_has_its_permissions_and_its_path_for_itself(run: EventLoop, short_folder: Path) -> None:
    path = short_folder / "entry.sock"
    action = UnixSocketServer(filename=path, remote_node="bar", remote_service="web", permissions=0o660)

    async def main() -> None:
        async with row("foo") as (foo,):
            async with started(action, foo):
                assert path.stat().st_mode & 0o777 == 0o660
                with pytest.raises(OperatingError, match=r"another node serves the unix-socket-server .*; stop it or"):
                    async with started(action, foo):
                        pass
                assert path.is_socket()
            assert not path.exists()

    run(main())


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Told(logging.Handler):
    """Sets an event at the first error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.event = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.event.set()


@pytest.mark.usefixtures("few_descriptors")
def test_without_descriptors_it_waits_and_goes_on(
    run: EventLoop, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "PAUSE", 0.02)

    async def main() -> None:
        told = Told()
        async with proxied(socket.AF_INET, short_folder) as proxies:
            with socket.socket() as client:
                client.setblocking(False)
                with ExitStack() as all_others:
                    with suppress(OSError):
                        while True:
                            all_others.enter_context(socket.socket())
                    logging.getLogger("receptor.node").addHandler(told)
                    await asyncio.get_running_loop().sock_connect(client, proxies.entry_address)
                    await told.event.wait()
                    logging.getLogger("receptor.node").removeHandler(told)
                with await proxies.accepted() as server:
                    await send_whole(client, b"patient")
                    assert await receive_all(server) == b"patient"

    run(main())


def test_a_connection_goes_on_while_others_come_and_go(run: EventLoop, short_folder: Path) -> None:
    async def main() -> None:
        async with proxied(socket.AF_INET, short_folder) as proxies, proxies.connected() as (client, server):
            for _ in range(20):
                async with proxies.connected() as (other, other_server):
                    await send(other, b"x")
                    assert await receive(other_server, 1) == b"x"
                await send(client, b"still there")
                assert await receive(server, 11) == b"still there"

    run(main())
