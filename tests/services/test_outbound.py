from __future__ import annotations

import asyncio
import logging
import re
import socket
from pathlib import Path

import pytest
from event_loops import EventLoop
from proxies import proxied, started
from receptor_process import free_port
from running_mesh import row

from receptor.config.kinds import Address
from receptor.config.service_actions import Service, TcpClient, UnixSocketClient
from receptor.errors import OperatingError
from receptor.netceptor.messages import STREAM_SERVICE
from receptor.services import outbound

WARNED = ("receptor.services", logging.WARNING)


def test_what_is_advertised(run: EventLoop, short_folder: Path) -> None:
    actions: list[Service] = [
        TcpClient(service="web", address=Address("::1", 80)),
        UnixSocketClient(service="docker", filename=Path("/var/run/docker.sock")),
    ]

    async def main() -> None:
        async with row("bar") as (bar,):
            for action in actions:
                async with started(action, bar):
                    (advertisement,) = bar.core.mesh.advertisements.own
                    assert advertisement.connection_type == STREAM_SERVICE
                    found.append(advertisement.tags)
                assert not bar.core.mesh.advertisements.own

    found: list[dict[str, str] | None] = []
    run(main())
    assert found == [
        {"type": "TCP Proxy", "address": "[::1]:80"},
        {"type": "Unix Proxy", "filename": "/var/run/docker.sock"},
    ]


def test_a_server_that_is_not_there_breaks_the_stream_and_is_told_once(
    run: EventLoop, short_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "receptor.services")
    actions: list[TcpClient | UnixSocketClient] = [
        TcpClient(service="web", address=Address("127.0.0.1", free_port())),
        UnixSocketClient(service="web", filename=short_folder / "nosuch.sock"),
    ]

    async def main() -> None:
        async with row("foo", "bar") as (foo, bar):
            for action in actions:
                async with started(action, bar):
                    for _ in range(3):
                        stream = await foo.dial("bar", "web")
                        with pytest.raises(ConnectionError):
                            await stream.read()

    run(main())
    goals = [str(action.address if isinstance(action, TcpClient) else action.filename) for action in actions]
    assert [message for message in caplog.messages if "offers" in message] == [
        f"tcp-client web offers {goals[0]} to the mesh",
        f"unix-socket-client web offers {goals[1]} to the mesh",
    ]
    refused, missing = [message for name, level, message in caplog.record_tuples if (name, level) == WARNED]
    assert refused.startswith(f"tcp-client web can't connect to {goals[0]} for a stream of foo")
    assert refused.endswith(": Connection refused; check what is there")
    assert missing.startswith(f"unix-socket-client web can't connect to {goals[1]} for a stream of foo")
    assert missing.endswith(": No such file or directory; check what is there")


def test_no_number_is_shown_of_what_goes_wrong_at_several_addresses(
    run: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    action = TcpClient(service="web", address=Address("localhost", free_port()))

    async def main() -> None:
        async with row("foo", "bar") as (foo, bar), started(action, bar):
            with pytest.raises(ConnectionError):
                await (await foo.dial("bar", "web")).read()

    run(main())
    (told,) = [record.getMessage() for record in caplog.records if record.name == "receptor.services"]
    assert re.search("Connection refused|Connect call failed", told)
    assert "Errno" not in told


def test_a_server_that_does_not_answer_is_given_up(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbound, "CONNECT_TIMEOUT", 0.1)
    caplog.set_level(logging.INFO, "receptor.services")

    async def main() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            loop = asyncio.get_running_loop()
            waiting = [socket.socket() for _ in range(3)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            action = TcpClient(service="web", address=Address(*full.getsockname()))
            async with row("foo", "bar") as (foo, bar), started(action, bar):
                stream = await foo.dial("bar", "web")
                begun = loop.time()
                with pytest.raises(ConnectionError):
                    await stream.read()
                assert loop.time() - begun < 5
            for one in waiting:
                one.close()

    run(main())
    assert any("no answer in time" in message for message in caplog.messages)


def test_a_service_that_is_taken_is_named(run: EventLoop, short_folder: Path) -> None:
    async def main() -> None:
        async with proxied(socket.AF_INET, short_folder) as proxies:
            action = TcpClient(service="web", address=Address("127.0.0.1", 1))
            with pytest.raises(OperatingError, match="this node has a service web already"):
                async with started(action, proxies.nodes[-1]):
                    pass
            async with proxies.connected() as (client, server):
                assert client.fileno() != server.fileno()

    run(main())
