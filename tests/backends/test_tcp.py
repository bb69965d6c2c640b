from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest
from backend_kinds import Address, FakeOwner, Tcp, TcpOutsider, mutual_tls
from certificates_bench import LOCAL_DNS, LOCAL_IPS, Authority
from event_loops import EventLoop, ImpatientLoop

from receptor.backends import dialling
from receptor.backends.tcp import TcpDialer, TcpListener
from receptor.config.tls_actions import TlsClient, TlsServer
from receptor.errors import OperatingError
from receptor.tls.profiles import TlsProfiles


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


# TLS


@pytest.fixture
def refused(tmp_path: Path) -> tuple[TlsProfiles, TlsProfiles]:
    """Settings of a side that listens and of one that dials; most pairs of them don't go together."""
    authority, stranger = Authority(), Authority("stranger")
    ours, theirs = authority.write(tmp_path), tmp_path / "theirs"
    theirs.mkdir()
    good = authority.issue(node_ids=["foo"], dns=LOCAL_DNS, ips=LOCAL_IPS).write(tmp_path, "good")
    elsewhere = authority.issue(node_ids=["foo"], dns=["elsewhere.example"]).write(tmp_path, "elsewhere")
    unknown = stranger.issue(node_ids=["foo"]).write(theirs, "unknown")
    listening = TlsProfiles(
        [
            TlsServer("mutual", good.certificate, good.key, require_client_certificate=True, client_cas=ours),
            TlsServer("elsewhere", elsewhere.certificate, elsewhere.key),
        ],
        node_id="foo",
    )
    dialing = TlsProfiles(
        clients=[
            TlsClient("good", good.certificate, good.key, root_cas=ours),
            TlsClient("without certificate", root_cas=ours),
            TlsClient("unknown certificate", unknown.certificate, unknown.key, root_cas=ours),
            TlsClient("other authority", root_cas=stranger.write(theirs)),
        ],
        node_id="foo",
    )
    return listening, dialing


NOT_ACCEPTED = "its certificate is not accepted: {}; check it, and the tls-client of this peer"
AT_ONCE = "it ended the connection at once; its log says if it refused our certificate"


@pytest.mark.parametrize(
    ("server", "client", "problem"),
    [
        ("mutual", "other authority", NOT_ACCEPTED.format("self-signed certificate in certificate chain")),
        (
            "elsewhere",
            "good",
            NOT_ACCEPTED.format("IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ),
        ("mutual", "without certificate", AT_ONCE),
        ("mutual", "unknown certificate", AT_ONCE),
    ],
)
def test_who_does_not_get_through_by_tls_is_told_why(
    run: EventLoop,
    refused: tuple[TlsProfiles, TlsProfiles],
    server: str,
    client: str,
    problem: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> int:
        hub = FakeOwner()
        listener = TcpListener(hub, "127.0.0.1", 0, refused[0].server(server))
        await listener.start()
        port = listener.port
        dialer = TcpDialer(FakeOwner(makes_links=False), "127.0.0.1", port, False, refused[1].client(client))
        await dialer.start()
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("dial ")))
        await listener.stop()
        assert not hub.sessions
        return port

    port = run(main())
    assert f"tcp-peer 127.0.0.1:{port} can't be reached: {problem}" in caplog.messages
    assert any(line.startswith(f"tcp-listener 127.0.0.1:{port}: the connection from") for line in caplog.messages)


def test_a_listener_without_tls_is_no_peer_of_a_dialer_with_it(
    run: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"\x03\x00abc and more of that")
            writer.close()

        spoke = FakeOwner()
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            address: Address = server.sockets[0].getsockname()
            dialer = TcpDialer(spoke, *address, False, mutual_tls()[1])
            await dialer.start()
            await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("dial ")))
        assert not spoke.sessions

    run(main())
    assert "can't be reached: TLS failed: [SSL: WRONG_VERSION_NUMBER]" in caplog.text


def test_a_session_that_ends_before_it_is_a_link_is_told_of(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int:
        async with Tcp(secure=True).listening(FakeOwner()) as address:
            dialer = TcpDialer(FakeOwner(makes_links=False, says_first=[b"hello" * 20]), *address, redial=False)
            await dialer.start()
            await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("dial ")))
            return address[1]

    port = run(main())
    assert [record.getMessage() for record in caplog.records if record.name == "receptor.backends"] == [
        f"tcp-peer 127.0.0.1:{port}: the session ended before it was a link; see the log of the other node,"
        " and check that both ends use TLS or neither does"
    ]


def test_what_breaks_tls_ends_its_session_and_no_other(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    kind = Tcp(secure=True)

    async def main() -> None:
        owner = FakeOwner()
        async with kind.listening(owner) as address:
            one, other = await kind.outsider(address), await kind.outsider(address)
            broken, whole = await owner.next_session(), await owner.next_session()
            one.send_beneath_tls(b"no record of TLS, and long enough to be told from one")
            await broken.over.wait()
            await other.send(b"still here")
            assert await whole.receive(1) == [b"still here"]
            owner.drop_all()

    run(main())
    assert re.search(r"TLS with 127\.0\.0\.1:\d+ failed: .*; see the log of the other end", caplog.text)


def test_each_connection_has_the_settings_of_its_time(
    run: EventLoop, refused: tuple[TlsProfiles, TlsProfiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling, "FIRST_REDIAL_DELAY", 0.01)
    listening, clients = refused
    client = clients.client("other authority")

    async def main() -> None:
        hub, spoke = FakeOwner(), FakeOwner()
        listener = TcpListener(hub, "127.0.0.1", 0, listening.server("mutual"))
        await listener.start()
        dialer = TcpDialer(spoke, "127.0.0.1", listener.port, True, client)
        await dialer.start()
        client.swap(clients.client("good"))
        accepted, dialled = await hub.next_session(), await spoke.next_session()
        await dialer.stop()
        await listener.stop()
        hub.drop(accepted)
        await dialled.over.wait()

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
        await dialer.stop()
        assert f"tcp-peer 127.0.0.1:{address[1]} can't be reached: Connect" in caplog.text

    run_impatiently(main())
    assert delays.seconds[:6] == [0.5, 0.8, 1.1, 1.7, 2.5, 3.8]


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
    assert delays.seconds == [0.5, 0.8, 1.1]


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
