from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from backend_kinds import Address, FakeOwner, Kept
from certificates_bench import Authority
from event_loops import EventLoop
from receptor_process import free_port
from websocket_kind import WebSocketOutsider, mutual_tls
from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

from receptor.backends import dialling, websocket_handshakes, websocket_session
from receptor.backends.session import TlsSettings
from receptor.backends.websocket import WebSocketDialer, WebSocketListener
from receptor.errors import ConfigurationError, OperatingError

ASKING = (
    b"GET %s HTTP/1.1\r\nHost: foo.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)
LARGEST_MESSAGE = 65_535


@asynccontextmanager
async def listening(path: str = "/", *, secure: bool = False) -> AsyncIterator[tuple[FakeOwner, Address]]:
    owner = FakeOwner()
    listener = WebSocketListener(owner, "127.0.0.1", 0, path, mutual_tls()[0] if secure else None)
    await listener.start()
    try:
        yield owner, ("127.0.0.1", listener.port)
    finally:
        await listener.stop()
        owner.drop_all()
    assert owner.complaints == []


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[WebSocketOutsider, Kept]]:
    """A client of ours, and the session that it has become."""
    async with listening() as (owner, (host, port)):
        outsider = await WebSocketOutsider.connect(f"ws://{host}:{port}/")
        yield outsider, await owner.next_session()
        await outsider.gone()


async def answer_to(address: Address, request: bytes) -> bytes:
    """All that a listener has to say."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = await reader.read(65_536)
        if not more:
            break
        answer += more
    writer.transport.abort()
    return answer


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# What a listener accepts


def test_a_packet_is_a_binary_message_without_compression(run: EventLoop) -> None:
    offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

    async def main() -> None:
        async with listening() as (owner, address):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(ASKING % (b"/", offer))
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 101 ")
            assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer
            assert b"extensions" not in answer.lower()
            kept = await owner.next_session()
            kept.session.send([b"one", b"", b"x" * 0x0102])
            assert await reader.readexactly(5 + 2 + 4) == b"\x82\x03one\x82\x00\x82\x7e\x01\x02"
            assert await reader.readexactly(0x0102) == b"x" * 0x0102
            for byte in b"\x82\x83\0\0\0\0two\x82\x80\0\0\0\0":
                writer.write(bytes([byte]))
                await writer.drain()
            assert await kept.receive(2) == [b"two", b""]
            writer.close()
            await kept.over.wait()

    run(main())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (ASKING % (b"/mesh", b""), 101),
        (ASKING % (b"/m%65sh?token=1", b""), 101),
        (ASKING % (b"/mesh", b"Origin: http://foo.example.com\r\n"), 101),
        (ASKING % (b"/mesh", b"Origin: https://FOO.example.com\r\n"), 101),
        (ASKING % (b"/mesh", b"Origin: http://evil.example.com\r\n"), 403),
        (ASKING % (b"/mesh", b"Origin: null\r\n"), 403),
        (ASKING % (b"/mesh", b"Origin: http://foo.example.com\r\nHost: foo.example.com\r\n"), 403),
        (ASKING % (b"/mesh", b"Origin: http://a\r\nOrigin: http://b\r\n"), 400),
        (ASKING % (b"/", b""), 404),
        (ASKING % (b"/mesh/", b""), 404),
        (ASKING % (b"http://foo.example.com/mesh", b""), 404),
        (ASKING.replace(b"GET", b"POST") % (b"/mesh", b""), 405),
        (ASKING.replace(b"HTTP/1.1", b"HTTP/1.0") % (b"/mesh", b""), 505),
        (b"GET /mesh HTTP/1.1\r\nHost: foo.example.com\r\n\r\n", 426),
        (ASKING.replace(b"Version: 13", b"Version: 12") % (b"/mesh", b""), 400),
        (ASKING.replace(b"ZQ==", b"ZQ") % (b"/mesh", b""), 400),
        (ASKING % (b"/mesh", b"Content-Length: 5\r\n"), 400),
        (ASKING % (b"/mesh", b"Transfer-Encoding: chunked\r\n"), 400),
        (ASKING % (b"/mesh", b"no header\r\n"), 400),
        (ASKING % (b"/\xff", b""), 400),
        (b"\x16\x03\x01\x02\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /mesh HTTP/1.1\r\n" + b"A: b\r\n" * 200, 400),
        (b"GET /mesh HTTP/1.1\r\nA: " + b"b" * 20_000, 400),
        (b"GET /mesh HTTP/1.1\r\n" + b"A: %s\r\n" % (b"b" * 4000) * 5, 400),
        (b"x" * 20_000, 400),
        (ASKING % (b"/mesh", b"") + b"\x89\x80\0\0\0\0", 400),
        (ASKING % (b"/mesh", b"") + b"\x82\x80\0\0\0\0", 400),
        (ASKING % (b"/", b"") + b"\xff\xff", 400),
        (ASKING % (b"/mesh", b"") + b"\xff\xff", 400),
    ],
)
def test_a_request_gets_a_websocket_or_a_short_answer(run: EventLoop, request_: bytes, status: int) -> None:
    async def main() -> None:
        async with listening("/mesh") as (owner, address):
            answer = await answer_to(address, request_)
            assert answer.split(b" ")[1] == b"%d" % status
            assert len(answer) < 1000
            assert len(owner.sessions) == (status == 101)

    run(main())


@pytest.mark.parametrize(
    ("path", "asked", "is_there"),
    [
        ("/", b"/", True),
        ("/", b"/below", True),
        ("/m/", b"/m/x", True),
        ("/m/", b"/m", False),
        ("/a%20b", b"/a%20b", True),
    ],
)
def test_a_path_with_a_slash_at_its_end_stands_for_all_below(
    run: EventLoop, path: str, asked: bytes, is_there: bool
) -> None:
    async def main() -> None:
        async with listening(path) as (_, address):
            answer = await answer_to(address, ASKING % (asked, b""))
            assert answer.split(b" ")[1] == (b"101" if is_there else b"404")

    run(main())


def test_who_takes_too_long_with_a_request_is_dropped(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_handshakes, "HANDSHAKE_TIMEOUT", 0.05)

    async def main() -> None:
        async with listening() as (owner, address):
            outsider = await WebSocketOutsider.connect(f"ws://127.0.0.1:{address[1]}/")
            kept = await owner.next_session()
            assert await ended(address, b"GET / HTTP/1.1\r\n")
            assert await ended(address, b"")
            await outsider.send(b"still here")
            assert await kept.receive(1) == [b"still here"]
            assert owner.sessions == [kept]
            await outsider.gone()

    run(main())


async def ended(address: Address, request: bytes) -> bool:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True
    finally:
        writer.close()


def test_of_too_many_that_do_not_ask_the_eldest_is_dropped(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_handshakes, "MOST_HANDSHAKES", 2)

    async def main() -> None:
        async with listening() as (owner, address):
            outsider = await WebSocketOutsider.connect(f"ws://127.0.0.1:{address[1]}/")
            kept = await owner.next_session()
            silent = [await asyncio.open_connection(*address) for _ in range(4)]
            for reader, _ in silent[:2]:
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            await outsider.send(b"still here")
            assert await kept.receive(1) == [b"still here"]
            reader, writer = silent[3]
            writer.write(ASKING % (b"/", b""))
            assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
            await owner.next_session()
            await outsider.gone()
            for _, writer in silent:
                writer.transport.abort()

    run(main())


def test_a_listener_that_stops_keeps_nobody_waiting_who_has_no_answer_yet(run: EventLoop) -> None:
    async def main() -> None:
        async with listening() as (_, address):
            reader, writer = await asyncio.open_connection(*address)
            outsider = await WebSocketOutsider.connect(f"ws://127.0.0.1:{address[1]}/")  # the other is accepted too
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        await outsider.gone()

    run(main())


def test_a_port_in_use_is_named(run: EventLoop) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(
                OperatingError, match=rf"ws-listener can't listen on 127\.0\.0\.1:{port}: .* in use; choose"
            ):
                await WebSocketListener(FakeOwner(), "127.0.0.1", port, "/").start()
        await WebSocketListener(FakeOwner(), "127.0.0.1", 0, "/").stop()

    run(main())


# What a session makes of messages


def test_a_message_may_come_in_fragments_with_control_frames_between(run: EventLoop) -> None:
    async def main() -> None:
        async with joined() as (outsider, kept):
            protocol = outsider.protocol
            protocol.send_binary(b"o", fin=False)
            protocol.send_ping(b"are you there")
            protocol.send_continuation(b"n", fin=False)
            protocol.send_pong(b"nobody asked")
            protocol.send_continuation(b"e", fin=True)
            protocol.send_binary(b"two", fin=False)
            protocol.send_continuation(b"", fin=True)
            protocol.send_binary(b"x" * 40_000, fin=False)
            protocol.send_continuation(b"x" * 25_535, fin=True)
            await outsider.flush()
            assert await kept.receive(3) == [b"one", b"two", b"x" * LARGEST_MESSAGE]
            pong = await outsider.receive_frame()
            assert pong is not None
            assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"are you there")
            assert kept.packets.empty()

    run(main())


def masked(frame: Frame) -> bytes:
    return frame.serialize(mask=True)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (masked(Frame(Opcode.TEXT, b"text")), 1003),
        (masked(Frame(Opcode.BINARY, b"x" * (LARGEST_MESSAGE + 1))), 1009),
        (b"\x82\xff\x7f" + b"\xff" * 7, 1009),
        (
            masked(Frame(Opcode.BINARY, b"x" * 40_000, fin=False)) + masked(Frame(Opcode.CONT, b"x" * 25_536)),
            1009,
        ),
        (b"\x02\x80\0\0\0\0", 1008),
        (b"\x02\x81\0\0\0\0x" + b"\0\x80\0\0\0\0", 1008),
        (b"\x02\x81\0\0\0\0x" + b"\0\x81\0\0\0\0x" * 999 + b"\x80\x80\0\0\0\0", 1008),
        (b"\x82\x03one", 1002),
        (b"\xc2\x83\0\0\0\0one", 1002),
        (b"\x92\x83\0\0\0\0one", 1002),
        (b"\x83\x83\0\0\0\0one", 1002),
        (b"\x80\x83\0\0\0\0one", 1002),
        (b"\x09\x80\0\0\0\0", 1002),
        (b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126, 1002),
        (b"\x02\x81\0\0\0\0x\x82\x81\0\0\0\0x", 1002),
        (b"\x88\x81\0\0\0\0x", 1002),
        (b"\x88\x84\0\0\0\0\x03\xe8\xff\xff", 1007),
        (b"\x88\x82\0\0\0\0\x03\xe9", 1001),
        (b"\x88\x80\0\0\0\0", 1005),
    ],
    ids=[
        *("text", "too large", "larger than any", "too large in pieces", "an empty piece"),
        *("an empty piece later", "too many pieces", "not masked", "a reserved bit", "another reserved bit"),
        *("a reserved opcode", "the end of nothing", "a ping in pieces", "a large ping", "a message in a message"),
        *("a close too short", "a reason that is no text", "a close", "a close without a code"),
    ],
)
def test_what_is_no_packet_ends_the_session_but_what_came_before_counts(run: EventLoop, data: bytes, code: int) -> None:
    async def main() -> None:
        async with joined() as (outsider, kept):
            await outsider.send_bytes(masked(Frame(Opcode.BINARY, b"before")) + data)
            await kept.over.wait()
            assert await kept.receive(1) == [b"before"]
            assert kept.packets.empty()
            close = await outsider.receive_frame()
            assert close is not None
            assert close.opcode is Opcode.CLOSE
            assert outsider.protocol.close_rcvd is not None
            assert outsider.protocol.close_rcvd.code == code

    run(main())


TINY = b"\x82\x80\0\0\0\0"


def test_many_small_messages_at_once_do_not_keep_others_waiting(run: EventLoop) -> None:
    async def main() -> None:
        async with joined() as (outsider, kept):
            session = kept.session
            assert isinstance(session, websocket_session.WebSocketSession)
            session.data_received(TINY * 20_000)
            assert kept.packets.qsize() < 5000
            await outsider.send(b"after")
            assert await kept.receive(20_001) == [b""] * 20_000 + [b"after"]

    run(main())


def test_what_came_before_the_end_of_a_connection_counts(run: EventLoop) -> None:
    async def main() -> None:
        async with joined() as (_, kept):
            session = kept.session
            assert isinstance(session, websocket_session.WebSocketSession)
            session.data_received(TINY * 20_000)
            session.eof_received()
            await kept.over.wait()
            assert kept.packets.qsize() == 20_000

    run(main())


def test_a_complaint_reaches_one_who_goes_on_sending(run: EventLoop) -> None:
    async def main() -> None:
        async with joined() as (outsider, kept):
            await outsider.send_bytes(masked(Frame(Opcode.BINARY, b"x" * 10_000_000)))
            await kept.over.wait()
            close = await outsider.receive_frame()
            assert close is not None
            assert close.opcode is Opcode.CLOSE

    run(main())


def test_pongs_do_not_amass_for_one_who_does_not_read_them(run: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_session, "MOST_UNREAD", 10_000)
    pings = masked(Frame(Opcode.PING, b"x" * 125)) * 10_000

    async def main() -> None:
        async with joined() as (outsider, kept):
            kept.session.send([b"x" * 60_000] * 200)
            queued = kept.session.queued
            assert queued > 1_000_000
            for _ in range(5):
                await outsider.send_bytes(pings)
            await outsider.send(b"done")
            assert await kept.receive(1) == [b"done"]
            assert kept.session.queued <= queued
            outsider.vanish()
            await kept.over.wait()

    run(main())


def test_a_close_is_answered_and_one_of_ours_is_heard(run: EventLoop) -> None:
    async def main() -> None:
        async with joined() as (outsider, kept):
            kept.session.send([b"last"])
            kept.session.close()
            assert await outsider.receive() == b"last"
            assert await outsider.receive() == b""
            assert outsider.protocol.close_rcvd is not None
            assert outsider.protocol.close_rcvd.code == 1000

    run(main())


def test_a_session_that_is_closed_ends_once_its_close_is_answered(run: EventLoop) -> None:
    async def main() -> None:
        async with joined() as (outsider, kept):
            kept.session.send([b"x" * 60_000] * 200)
            kept.session.close()
            async with asyncio.timeout(websocket_session.CLOSE_TIME / 2):
                for _ in range(200):
                    assert await outsider.receive() == b"x" * 60_000
                close = await outsider.receive_frame()
                assert close is not None
                assert close.opcode is Opcode.CLOSE
                await outsider.flush()
                assert await outsider.receive_frame() is None

    run(main())


def test_what_goes_over_the_wire_is_never_logged(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        async with listening() as (hub, (host, port)):
            spoke = FakeOwner()
            url = f"ws://user:secret-1@{host}:{port}/?secret-2"
            dialer = WebSocketDialer(spoke, url, redial=False, extra_header=("X-Token", "secret-3"))
            await dialer.start()
            (await spoke.next_session()).session.send([b"secret-4"])
            assert await (await hub.next_session()).receive(1) == [b"secret-4"]
            hub.drop_all()
            await spoke.sessions[0].over.wait()
            await dialer.stop()

    run(main())
    assert "secret" not in caplog.text


# What a dialer asks for


class Server:
    """Answers whoever connects with the same bytes, and notes what was asked: the lines of each request."""

    def __init__(self, answer: bytes) -> None:
        self.requests: asyncio.Queue[list[str]] = asyncio.Queue()
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.requests.put_nowait(request.decode().split("\r\n")[:-2])
            writer.write(self._answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[tuple[Server, int]]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    try:
        yield server, listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def given_up(dialer: WebSocketDialer) -> None:
    """Start a dialer that does not redial, and wait until it has given up."""
    await dialer.start()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("dial ")))


@pytest.mark.parametrize(
    ("rest", "extra_header", "line", "headers"),
    [
        ("", None, "GET / HTTP/1.1", ["Host: localhost:PORT", "Origin: http://localhost:PORT"]),
        ("/a/b?c=d&e", None, "GET /a/b?c=d&e HTTP/1.1", []),
        ("/a%20b", ("X-Token", "a: b"), "GET /a%20b HTTP/1.1", ["X-Token: a: b"]),
        (
            "/",
            ("host", "foo.example.com"),
            "GET / HTTP/1.1",
            ["host: foo.example.com", "Origin: http://localhost:PORT"],
        ),
        ("/", ("Origin", "http://foo"), "GET / HTTP/1.1", ["Host: localhost:PORT", "Origin: http://foo"]),
    ],
)
def test_a_dialer_asks_as_its_address_and_extra_header_say(
    run: EventLoop, rest: str, extra_header: tuple[str, str] | None, line: str, headers: list[str]
) -> None:
    async def main() -> None:
        async with serving(b"") as (server, port):
            url = f"ws://localhost:{port}{rest}"
            await given_up(WebSocketDialer(FakeOwner(), url, redial=False, extra_header=extra_header))
            request = await server.requests.get()
            assert request[0] == line
            for header in headers:
                assert request.count(header.replace("PORT", str(port))) == 1
            names = [header.partition(":")[0].lower() for header in request[1:]]
            assert len(names) == len(set(names))
            assert "sec-websocket-extensions" not in names

    run(main())


def test_a_user_in_the_address_is_named_to_the_server_and_not_in_the_log(
    run: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(b"HTTP/1.1 401 Unauthorized\r\n\r\n") as (server, port):
            await given_up(WebSocketDialer(FakeOwner(), f"ws://me:p%40ss@127.0.0.1:{port}/x?token", redial=False))
            assert "Authorization: Basic bWU6cEBzcw==" in await server.requests.get()
            assert f"ws-peer ws://127.0.0.1:{port}/x can't be reached: it refuses a WebSocket" in caplog.text

    run(main())
    assert "ss@" not in caplog.text
    assert "token" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", r"refuses a WebSocket \(HTTP status 404\); check"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", r"refuses a WebSocket \(HTTP status 200\)"),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n", r"refers to another .* \(HTTP status 302\)"),
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 101", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 404 Not Found\r\nA: " + b"b" * 10_000, "does not speak HTTP"),
        (ANSWER % b"wrong", "s answer opens no WebSocket: .*Sec-WebSocket-Accept"),
        (ANSWER.replace(b"Upgrade: websocket", b"Upgrade: h2c") % b"wrong", "s answer opens no WebSocket: .*Upgrade"),
    ],
)
def test_each_failure_to_get_a_session_is_one_line(
    run: EventLoop, caplog: pytest.LogCaptureFixture, answer: bytes, complaint: str
) -> None:
    async def main() -> None:
        async with serving(answer) as (_, port):
            owner = FakeOwner()
            await given_up(WebSocketDialer(owner, f"ws://127.0.0.1:{port}/", redial=False))
            assert owner.sessions == []

    run(main())
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert re.search(f"^ws-peer ws://127.0.0.1:[0-9]+/ can't be reached: it ?{complaint}", record.getMessage())


def test_a_server_that_does_not_answer_is_given_up(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dialling, "CONNECT_TIMEOUT", 0.05)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            await given_up(WebSocketDialer(FakeOwner(), f"ws://127.0.0.1:{mute.getsockname()[1]}/", redial=False))

    run(main())
    assert "does not answer" in caplog.text


def test_a_dialer_that_is_stopped_while_it_waits_for_an_answer_hangs_up(run: EventLoop) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as mute:
            mute.setblocking(False)
            dialer = WebSocketDialer(FakeOwner(), f"ws://127.0.0.1:{mute.getsockname()[1]}/", redial=True)
            await dialer.start()
            connection, _ = await loop.sock_accept(mute)
            with connection:
                assert await loop.sock_recv(connection, 10_000)
                await dialer.stop()
                with pytest.raises(ConnectionResetError):
                    await loop.sock_recv(connection, 10_000)

    run(main())


@pytest.mark.parametrize(
    ("data", "closes_with"),
    [(b"\x82\x83\0\0\0\0one", b"\x03\xea"), (b"\x82\x7f" + b"\0" * 5 + b"\x01\0\0", b"\x03\xf1")],
)
def test_a_server_that_breaks_the_protocol_loses_the_session(run: EventLoop, data: bytes, closes_with: bytes) -> None:
    closes: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
        writer.write(ANSWER % accept_key(key).encode() + b"\x82\x06before" + data)
        head = await reader.readexactly(6)
        body = await reader.readexactly(2)
        closes.append(bytes(byte ^ mask for byte, mask in zip(body, head[2:], strict=False)))
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        owner = FakeOwner()
        await given_up(WebSocketDialer(owner, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", redial=False))
        (kept,) = owner.sessions
        assert await kept.receive(1) == [b"before"]
        assert kept.packets.empty()
        server.close()

    run(main())
    assert closes == [closes_with]


@pytest.mark.parametrize("url", ["ws://token@foo.example.com/", "http://foo/", "ws:///token", "ws://[token/"])
def test_an_address_that_can_not_be_dialled_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="address of a ws-peer must be") as caught:
        WebSocketDialer(FakeOwner(), url, redial=False)
    assert "token" not in str(caught.value)


# TLS


class Settings:
    """TLS as a test wants it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def context(self) -> ssl.SSLContext:
        return self._context


def test_a_listener_turns_away_who_shows_no_certificate_or_speaks_no_tls(run: EventLoop) -> None:
    async def main() -> None:
        async with listening(secure=True) as (owner, address):
            context = ssl.create_default_context(cadata=None)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            with pytest.raises(OSError):
                await WebSocketOutsider.connect(f"wss://127.0.0.1:{address[1]}/", context)
            assert await ended(address, ASKING % (b"/", b""))
            assert owner.sessions == []

    run(main())


def stranger() -> Settings:
    """One who trusts another authority."""
    return Settings(ssl.create_default_context(cadata=Authority().pem.decode()))


@pytest.mark.parametrize(
    ("host", "tls", "complaint"),
    [
        ("127.0.0.1", stranger, "certificate is not accepted: "),
        ("127.0.0.1", lambda: None, "certificate is not accepted: "),
        ("127.0.0.2", lambda: mutual_tls()[1], "certificate is not accepted: "),
    ],
)
def test_a_dialer_turns_away_whom_it_does_not_trust(
    run: EventLoop,
    caplog: pytest.LogCaptureFixture,
    host: str,
    tls: Callable[[], TlsSettings | None],
    complaint: str,
) -> None:
    async def main() -> None:
        listener = WebSocketListener(FakeOwner(), "0.0.0.0", 0, "/", mutual_tls()[0])
        await listener.start()
        await given_up(WebSocketDialer(FakeOwner(), f"wss://{host}:{listener.port}/", redial=False, tls=tls()))
        await listener.stop()

    run(main())
    (record,) = [record for record in caplog.records if record.name == "receptor.backends"]
    assert complaint in record.getMessage()


def test_a_dialer_without_a_certificate_is_told_where_to_look(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    async def main() -> None:
        async with listening(secure=True) as (_, address):
            url = f"wss://127.0.0.1:{address[1]}/"
            await given_up(WebSocketDialer(FakeOwner(), url, redial=False, tls=Settings(context)))

    run(main())
    (line,) = [record.getMessage() for record in caplog.records if record.name == "receptor.backends"]
    assert line.endswith(
        "can't be reached: it ended the connection at once; its log says if it refused our certificate"
    )


def test_a_dialer_with_tls_finds_none_at_a_plain_port(run: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with listening() as (owner, address):
            await given_up(WebSocketDialer(FakeOwner(), f"wss://127.0.0.1:{address[1]}/", False, tls=mutual_tls()[1]))
            assert owner.sessions == []

    run(main())
    assert "can't be reached: " in caplog.text


def test_an_address_without_tls_is_dialled_without_it_and_the_log_says_so(
    run: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with listening() as (owner, (host, port)):
            spoke = FakeOwner()
            dialer = WebSocketDialer(spoke, f"ws://{host}:{port}/", redial=False, tls=mutual_tls()[1])
            await dialer.start()
            (await spoke.next_session()).session.send([b"hello"])
            assert await (await owner.next_session()).receive(1) == [b"hello"]
            await dialer.stop()
            spoke.drop_all()

    run(main())
    assert "its tls-client is not used" in caplog.text


# Proxies


class Proxy:
    """Lets everybody through to one place, whatever they ask for, or refuses them."""

    def __init__(self, target: Address, refusal: bytes) -> None:
        self.requests: list[list[str]] = []
        self._target = target
        self._refusal = refusal

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(request.decode().split("\r\n")[:-2])
        if self._refusal:
            writer.write(self._refusal)
            writer.close()
            return
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: us\r\n\r\n")
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxying(target: Address, refusal: bytes = b"") -> AsyncIterator[tuple[Proxy, str]]:
    proxy = Proxy(target, refusal)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("secure", [False, True])
def test_a_dialer_goes_through_the_proxy_of_the_environment(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    scheme, variable = ("wss", "HTTPS_PROXY") if secure else ("ws", "http_proxy")

    async def main() -> None:
        async with listening(secure=secure) as (owner, address), proxying(address) as (proxy, where):
            monkeypatch.setenv(variable, f"http://me:p%40ss@{where}")
            spoke = FakeOwner()
            tls = mutual_tls()[1] if secure else None
            dialer = WebSocketDialer(spoke, f"{scheme}://mesh.test:8888/a", redial=False, tls=tls)
            await dialer.start()
            dialled, accepted = await spoke.next_session(), await owner.next_session()
            assert dialled.peer == "mesh.test:8888"
            dialled.session.send([b"hello"])
            accepted.session.send([b"you too" * 9000])
            assert await accepted.receive(1) == [b"hello"]
            assert await dialled.receive(1) == [b"you too" * 9000]
            spoke.drop_all()
            await accepted.over.wait()
            await dialer.stop()
            assert proxy.requests == [
                [
                    "CONNECT mesh.test:8888 HTTP/1.1",
                    "Host: mesh.test:8888",
                    "Proxy-Authorization: Basic bWU6cEBzcw==",
                ]
            ]

    run(main())


@pytest.mark.parametrize(
    ("refusal", "complaint"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", "wants another user name"),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", "HTTP status 403"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "gave no proper answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "gave no proper answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 40_000, "gave no proper answer"),
    ],
)
def test_a_proxy_that_refuses_is_named_without_its_password(
    run: EventLoop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refusal: bytes,
    complaint: str,
) -> None:
    caplog.set_level(logging.DEBUG, "receptor")

    async def main() -> None:
        async with proxying(("127.0.0.1", 1), refusal) as (_, where):
            monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{where}")
            await given_up(WebSocketDialer(FakeOwner(), "ws://mesh.test/", redial=False))
            (record,) = caplog.records
            assert record.getMessage().startswith(f"ws-peer ws://mesh.test:80/ can't be reached: the proxy {where} ")
            assert complaint in record.getMessage()

    run(main())
    assert "secret" not in caplog.text


def test_a_proxy_that_is_not_there_or_silent_is_named_too(
    run: EventLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    run(given_up(WebSocketDialer(FakeOwner(), "ws://mesh.test/", redial=False)))
    assert re.search(r"the proxy 127\.0\.0\.1:[0-9]+ can't be reached: ", caplog.text)

    monkeypatch.setattr(dialling, "CONNECT_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{mute.getsockname()[1]}")
        run(given_up(WebSocketDialer(FakeOwner(), "ws://mesh.test/", redial=False)))
    assert "ws-peer ws://mesh.test:80/ does not answer" in caplog.text
