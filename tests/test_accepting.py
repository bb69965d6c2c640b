from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from backend_kinds import mutual_tls
from certificates_bench import Authority
from event_loops import EventLoop, ImpatientLoop
from receptor_process import free_port

from receptor import accepting
from receptor.accepting import MOST_HANDSHAKES, PAUSE, Acceptor, tcp_sockets

SHORT_OF_DESCRIPTORS = """
    import asyncio, logging, os, resource, sys, time
    from pathlib import Path
    import uvloop
    from backend_kinds import FakeOwner
    from receptor import accepting
    from receptor.backends.tcp import TcpListener
    from receptor.control.listeners import TcpControlListener, UnixListener

    loop, kind, address = sys.argv[1:]

    class Owner(FakeOwner):
        def packets_received(self, number, packets):
            self.sessions[number - 100].session.send(packets)

    async def echo(stream):
        while data := await stream.read():
            await stream.write(data)
        await stream.finish()

    LISTENERS = {
        "tcp-listener": lambda: TcpListener(Owner(), "127.0.0.1", int(address)),
        "control over TCP": lambda: TcpControlListener("127.0.0.1", int(address), echo),
        "control socket": lambda: UnixListener(Path(address), 0o600, echo),
    }

    async def main():
        listener = LISTENERS[kind]()
        await listener.start()
        in_use = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 20, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await listener.stop()

    logging.basicConfig(format="%(levelname)s %(message)s")
    accepting.PAUSE = 0.02
    (uvloop if loop == "uvloop" else asyncio).run(main())
    print(time.process_time(), flush=True)
"""


def dial(address: str) -> socket.socket:
    if not address.isdecimal():
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        connection.connect(address)
        return connection
    return socket.create_connection(("127.0.0.1", int(address)), timeout=10)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("tcp-listener", "tcp-listener 127.0.0.1:{}"),
        ("control over TCP", "control service on TCP 127.0.0.1:{}"),
        ("control socket", "control service on {}"),
    ],
)
def test_a_listener_without_descriptors_waits_and_goes_on_accepting(
    run: EventLoop, kind: str, name: str, short_folder: Path
) -> None:
    address = str(short_folder / "foo.sock" if kind == "control socket" else free_port())
    listener = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SHORT_OF_DESCRIPTORS), run.kind, kind, address],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    with listener:
        assert listener.stdin is not None
        assert listener.stdout is not None
        assert listener.stderr is not None
        assert listener.stdout.readline() == "ready\n"
        held = [dial(address) for _ in range(60)]
        complaint = listener.stderr.readline()
        for connection in held:
            connection.close()
        with dial(address) as late:
            late.sendall(b"\x04\x00late")
            assert late.recv(6) == b"\x04\x00late"
        spent, log = listener.communicate("\n", timeout=10)
    assert complaint == (
        f"ERROR {name.format(address)} can't accept connections: Too many open files;"
        " raise the limit of open files (ulimit -n). It goes on trying\n"
    )
    assert log == "", "one line, however long it takes"
    assert float(spent) < 5.0
    assert listener.returncode == 0


class Accepted(asyncio.Protocol):
    """Notes the connections of which transports were made."""

    def __init__(self, made: asyncio.Queue[asyncio.BaseTransport]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made.put_nowait(transport)


def test_a_host_name_may_stand_for_several_addresses(run: EventLoop) -> None:
    async def main() -> None:
        sockets = await tcp_sockets("localhost", free_port())
        assert {one.getsockname()[0] for one in sockets} <= {"127.0.0.1", "::1"}
        made: asyncio.Queue[asyncio.BaseTransport] = asyncio.Queue()
        acceptor = Acceptor("test", sockets, lambda: Accepted(made))
        for one in sockets:
            with socket.create_connection(one.getsockname()[:2]) as dialled:
                transport = await made.get()
                assert transport.get_extra_info("peername") == dialled.getsockname()
                transport.close()
        await acceptor.stop()
        assert all(one.fileno() == -1 for one in sockets)

    run(main())


def test_what_is_small_is_sent_without_delay(run: EventLoop) -> None:
    async def main() -> None:
        sockets = await tcp_sockets("127.0.0.1", 0)
        made: asyncio.Queue[asyncio.BaseTransport] = asyncio.Queue()
        acceptor = Acceptor("test", sockets, lambda: Accepted(made))
        with socket.create_connection(sockets[0].getsockname()):
            transport = await made.get()
            assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            transport.close()
        await acceptor.stop()

    run(main())


def test_a_failure_with_one_connection_concerns_no_other(run: EventLoop) -> None:
    async def main() -> None:
        sockets = await tcp_sockets("127.0.0.1", 0)
        made: asyncio.Queue[asyncio.BaseTransport] = asyncio.Queue()
        failures = [ConnectionResetError]

        def all_but_the_first() -> Accepted:
            if failures:
                raise failures.pop()
            return Accepted(made)

        acceptor = Acceptor("test", sockets, all_but_the_first)
        with (
            socket.create_connection(sockets[0].getsockname()) as first,
            socket.create_connection(sockets[0].getsockname()) as second,
        ):
            transport = await made.get()
            assert transport.get_extra_info("peername") == second.getsockname()
            assert first.recv(1) == b""
            transport.close()
        await acceptor.stop()

    run(main())


def test_who_was_let_in_before_the_stop_has_a_transport_after_it(run: EventLoop) -> None:
    async def main() -> None:
        sockets = await tcp_sockets("127.0.0.1", 0)
        address = sockets[0].getsockname()
        made: asyncio.Queue[asyncio.BaseTransport] = asyncio.Queue()
        let_in = asyncio.Event()

        def protocol() -> Accepted:
            let_in.set()
            return Accepted(made)

        acceptor = Acceptor("test", sockets, protocol)
        with socket.create_connection(address):
            await let_in.wait()
            await acceptor.stop()
            made.get_nowait().close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)

    run(main())


# TLS


class Secured:
    """An acceptor with TLS, and the connections that have come through it."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self.address: tuple[str, int] = sockets[0].getsockname()
        self.made: asyncio.Queue[asyncio.BaseTransport] = asyncio.Queue()
        self.acceptor = Acceptor("test", sockets, lambda: Accepted(self.made), mutual_tls()[0].context)

    async def silent(self) -> socket.socket:
        """A client that says nothing."""
        connection = socket.socket()
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, self.address)
        return connection

    async def honest(self) -> None:
        """A client that shakes hands and goes."""
        _, writer = await asyncio.open_connection(*self.address, ssl=mutual_tls()[1].context())
        (await self.made.get()).close()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def secured() -> AsyncIterator[Secured]:
    port = Secured(await tcp_sockets("127.0.0.1", 0))
    try:
        yield port
    finally:
        await port.acceptor.stop()
    assert port.made.empty()


async def end_of(connection: socket.socket) -> None:
    """Wait until the far end has closed a connection."""
    with connection, suppress(ConnectionResetError):
        assert await asyncio.get_running_loop().sock_recv(connection, 1) == b""


def test_who_does_not_speak_tls_is_dropped_at_once(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with secured() as port:
            for _ in range(3):
                plain = await port.silent()
                plain.send(b"\x05\x00hello, this is a packet in a frame")
                await end_of(plain)
            await port.honest()

    run(main())
    assert caplog.messages == [
        "test: the connection from 127.0.0.1 failed: it uses no TLS, but has to here; it needs a tls-client, or an"
        " address that begins with wss"
    ]


def trusting(**limits: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that has no certificate and accepts any."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if limits:
        context.set_ciphers("ALL:@SECLEVEL=0")
    for name, version in limits.items():
        setattr(context, name, version)
    return context


def too_old() -> ssl.SSLContext:
    with warnings.catch_warnings(action="ignore"):
        return trusting(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)


def with_a_strange_certificate(folder: Path) -> ssl.SSLContext:
    strange = Authority("stranger").issue(node_ids=["foo"]).write(folder, "foo")
    context = trusting()
    context.load_cert_chain(strange.certificate, strange.key)
    return context


def try_to_come_in(address: tuple[str, int], context: ssl.SSLContext) -> None:
    """As a blocking client, which tells the other end what it does not like."""
    plain = socket.create_connection(address, timeout=10)
    client = context.wrap_socket(plain, do_handshake_on_connect=False, server_hostname=address[0])
    with client, suppress(OSError):
        client.do_handshake()
        client.recv(1)


def test_each_reason_is_told_in_words_and_once_in_a_minute(
    run: EventLoop, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    clients = [trusting(), too_old(), ssl.create_default_context(), with_a_strange_certificate(tmp_path)]

    async def main() -> None:
        async with secured() as port:
            for context in [*clients, *clients]:
                await asyncio.to_thread(try_to_come_in, port.address, context)
            await port.honest()

    run(main())
    assert [line.removeprefix("test: the connection from 127.0.0.1 failed: ") for line in caplog.messages] == [
        "it showed no certificate, but needs one here; its tls-client has to name it",
        "it has no version of TLS in common with us; TLS 1.2 and 1.3 are common",
        "it does not accept our certificate; its log says why",
        "its certificate is not accepted: unable to get local issuer certificate; check it, and the tls-server",
    ]


def test_who_does_not_speak_at_all_is_dropped_in_time(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accepting, "HANDSHAKE_TIMEOUT", 0.05)

    async def main() -> None:
        async with secured() as port:
            await end_of(await port.silent())

    run(main())
    assert "failed: its TLS handshake did not end in 0.05 s; check whether it uses TLS" in caplog.text


def test_the_silent_do_not_lock_out_the_honest_nor_use_up_descriptors(run: EventLoop) -> None:
    async def main() -> None:
        async with secured() as port:
            await port.honest()
            before = len(os.listdir("/proc/self/fd"))
            crowd = [await port.silent() for _ in range(MOST_HANDSHAKES + 50)]
            await port.honest()
            for first in crowd[:50]:
                await end_of(first)
            assert len(os.listdir("/proc/self/fd")) <= before + 2 * MOST_HANDSHAKES
            for connection in crowd[50:]:
                connection.close()
            await port.honest()
            await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("accept ")))
            assert len(os.listdir("/proc/self/fd")) == before

    run(main())


def test_a_stop_waits_for_no_silent_client(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "STOP_TIME", 0.05)

    async def main() -> None:
        async with secured() as port:
            await port.honest()
            silent = await port.silent()
        await end_of(silent)

    run(main())


@pytest.fixture
def no_more_descriptors() -> Iterator[Callable[[], None]]:
    """Leaves this process without any to spare, when called, until the end of the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def use_up() -> None:
        with socket.socket() as lowest_free:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno(), hard))

    yield use_up
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nothing_is_watched_again_after_a_stop_in_a_pause(
    no_more_descriptors: Callable[[], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, complaint: complaints.append(complaint))
        told = asyncio.Event()
        monkeypatch.setattr(caplog.handler, "emit", lambda _: told.set())
        sockets = await tcp_sockets("127.0.0.1", 0)
        acceptor = Acceptor("test", sockets, asyncio.Protocol)
        with socket.create_connection(sockets[0].getsockname()):
            no_more_descriptors()
            await told.wait()
            await acceptor.stop()
            await asyncio.sleep(PAUSE)

    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        runner.run(main())
    assert not complaints
