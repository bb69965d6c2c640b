from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from event_loops import EventLoop
from receptor_process import free_port
from tls_settings import profiles

from receptor.control.listeners import TcpControlListener, UnixListener
from receptor.errors import OperatingError
from receptor.node.byte_stream import ByteStream
from receptor.node.unix_sockets import LONGEST_SOCKET_PATH


async def echo(stream: ByteStream) -> None:
    """Say who is there, then everything that comes."""
    await stream.write(f"{stream.origin.is_local} {stream.origin}\n".encode())
    while data := await stream.read():
        await stream.write(data)
    await stream.finish()


@asynccontextmanager
async def started(listener: UnixListener | TcpControlListener) -> AsyncIterator[None]:
    try:
        await listener.start()
        yield
    finally:
        await listener.stop()


def unix(path: Path, permissions: int = 0o600) -> UnixListener:
    return UnixListener(path, permissions, echo)


async def talk(address: Path | int, data: bytes = b"hello") -> list[bytes]:
    """The first line that a listener's handler sends, and what it sends back."""
    if isinstance(address, Path):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", address)
    writer.write(data)
    writer.write_eof()
    answer = [await reader.readline(), await reader.read()]
    writer.close()
    await writer.wait_closed()
    return answer


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_clients_of_the_unix_socket_are_local(run: EventLoop, short_folder: Path) -> None:
    path = short_folder / "foo.sock"

    async def main() -> None:
        async with started(unix(path)):
            assert await talk(path) == [b"True a local client\n", b"hello"]
            assert await talk(path, b"") == [b"True a local client\n", b""]

    run(main())


@pytest.mark.parametrize("umask", [0, 0o022, 0o177])
@pytest.mark.parametrize("permissions", [0o600, 0o660, 0o666])
def test_the_socket_has_the_permissions_whatever_the_umask(short_folder: Path, permissions: int, umask: int) -> None:
    path = short_folder / "foo.sock"

    async def main() -> None:
        async with started(unix(path, permissions)):
            assert mode(path) == permissions
            assert mode(Path(f"{path}.lock")) == 0o600

    before = os.umask(umask)
    try:
        asyncio.run(main())
    finally:
        os.umask(before)


def test_a_second_node_on_the_same_path_is_refused_and_the_first_goes_on(run: EventLoop, short_folder: Path) -> None:
    path = short_folder / "foo.sock"

    async def main() -> None:
        async with started(unix(path)):
            with pytest.raises(OperatingError, match=r"another node serves .*foo\.sock .*; stop it or give this node"):
                async with started(unix(path)):
                    pass
            assert (await talk(path))[1] == b"hello"

    run(main())


def test_the_socket_is_gone_after_stop_and_the_path_free_again(run: EventLoop, short_folder: Path) -> None:
    path = short_folder / "foo.sock"

    async def main() -> None:
        for _ in range(2):
            async with started(unix(path)):
                assert path.is_socket()
            assert not path.exists()

    run(main())


def test_a_session_outlives_the_listener(run: EventLoop, short_folder: Path) -> None:
    path = short_folder / "foo.sock"

    async def main() -> None:
        async with started(unix(path)):
            reader, writer = await asyncio.open_unix_connection(path)
            await reader.readline()
        writer.write(b"still here")
        writer.write_eof()
        assert await reader.read() == b"still here"
        writer.close()

    run(main())


def test_a_stale_socket_is_replaced(run: EventLoop, short_folder: Path) -> None:
    path = short_folder / "foo.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def main() -> None:
        async with started(unix(path)):
            assert (await talk(path))[1] == b"hello"

    run(main())


def test_a_file_that_is_no_socket_is_left_alone(short_folder: Path) -> None:
    path = short_folder / "foo.yml"
    path.write_text("precious")

    async def main() -> None:
        with pytest.raises(OperatingError, match=r"foo\.yml exists and is no socket; .* another filename"):
            async with started(unix(path)):
                pass

    asyncio.run(main())
    assert path.read_text() == "precious"


def test_a_path_may_be_as_long_as_the_system_allows(run: EventLoop, short_folder: Path) -> None:
    path = short_folder / ("x" * (LONGEST_SOCKET_PATH - len(os.fsencode(short_folder)) - 1))

    async def main() -> None:
        async with started(unix(path)):
            assert (await talk(path))[1] == b"hello"
        with pytest.raises(OperatingError, match=r"longer than 107 bytes: .*; choose a shorter filename"):
            async with started(unix(Path(f"{path}x"))):
                pass

    run(main())


def test_a_folder_that_does_not_exist(short_folder: Path) -> None:
    async def main() -> None:
        with pytest.raises(
            OperatingError, match=r"nosuch/foo\.sock can't be made: No such file .*; check that its folder"
        ):
            async with started(unix(short_folder / "nosuch" / "foo.sock")):
                pass

    asyncio.run(main())


def test_many_clients_may_come_at_the_same_moment(run: EventLoop, short_folder: Path) -> None:
    path = short_folder / "foo.sock"

    async def main() -> None:
        async with started(unix(path)):
            # The loop doesn't run meanwhile, so all of them wait to be accepted.
            clients = [socket.socket(socket.AF_UNIX) for _ in range(300)]
            for client in clients:
                client.setblocking(False)
                client.connect(str(path))
            for client in clients:
                assert await asyncio.get_running_loop().sock_recv(client, 100) == b"True a local client\n"
                client.close()

    run(main())


def test_cancelled_sessions_are_nothing_to_complain_of(run: EventLoop, short_folder: Path) -> None:
    path = short_folder / "foo.sock"
    sessions: list[asyncio.Task[object]] = []

    async def remembered(stream: ByteStream) -> None:
        session = asyncio.current_task()
        assert session is not None
        sessions.append(session)
        try:
            await echo(stream)
        finally:
            stream.close()

    async def main() -> None:
        async with started(UnixListener(path, 0o600, remembered)):
            reader, writer = await asyncio.open_unix_connection(path)
            await reader.readline()
            for session in sessions:
                session.cancel()
            await asyncio.gather(*sessions, return_exceptions=True)
            assert await reader.read() == b""
            writer.close()

    run(main())


def test_clients_over_tcp_are_not_local(run: EventLoop) -> None:
    port = free_port()

    async def main() -> None:
        async with started(TcpControlListener("127.0.0.1", port, echo)):
            origin, answer = await talk(port)
            assert origin.startswith(b"False 127.0.0.1:")
            assert answer == b"hello"
        with pytest.raises(OSError):
            await talk(port)

    run(main())


def test_clients_over_tcp_may_have_to_speak_tls(run: EventLoop, tmp_path: Path) -> None:
    port = free_port()
    tls = profiles(tmp_path, "foo")

    async def main() -> None:
        async with started(TcpControlListener("127.0.0.1", port, echo, tls.server("own"))):
            context = tls.client("own").context()
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            assert (await reader.readline()).startswith(b"False 127.0.0.1:")
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            await writer.wait_closed()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"status\n")
            with suppress(ConnectionError):
                assert b"False" not in await reader.readline()
            writer.transport.abort()

    run(main())


def test_a_client_that_is_gone_before_it_is_served(run: EventLoop) -> None:
    port = free_port()

    async def until_gone(stream: ByteStream) -> None:
        with suppress(ConnectionError):
            await echo(stream)

    async def main() -> None:
        async with started(TcpControlListener("127.0.0.1", port, until_gone)):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert (await talk(port))[1] == b"hello"

    run(main())


def test_a_tcp_port_in_use_is_named(run: EventLoop) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(OperatingError, match=rf"can't listen on 127\.0\.0\.1:{port}: .*in use; choose another"):
                async with started(TcpControlListener("127.0.0.1", port, echo)):
                    pass

    run(main())


def test_an_address_of_another_machine_is_named(run: EventLoop) -> None:
    async def main() -> None:
        with pytest.raises(OperatingError, match=r"can't listen on 192\.0\.2\.1:7323: .*assign"):
            async with started(TcpControlListener("192.0.2.1", 7323, echo)):
                pass

    run(main())
