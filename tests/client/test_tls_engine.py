"""Both ends in memory; over sockets see test_tls_stream and test_async_connection."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from receptor.client.tls_engine import TlsEngine
from receptor.client.tls_settings import TlsSettings


class Server:
    """The other end, of the standard library."""

    def __init__(self, certificates: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem")
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def shake_hands(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass


def connected(certificates: Path) -> tuple[TlsEngine, Server]:
    settings = TlsSettings(rootcas=str(certificates / "ca.pem"))
    engine, server = TlsEngine(settings.context(), "localhost"), Server(certificates)
    while not engine.shake_hands():
        server.incoming.write(engine.records())
        server.shake_hands()
        engine.received(server.outgoing.read())
    server.incoming.write(engine.records())
    server.shake_hands()
    engine.received(server.outgoing.read())
    return engine, server


def test_the_end_of_one_direction_leaves_the_other_open(certificates: Path) -> None:
    engine, server = connected(certificates)
    engine.write(b"payload" * 10_000)
    engine.end()
    server.incoming.write(engine.records())
    received = b""
    while len(received) < 70_000:
        received += server.tls.read(70_000)
    assert received == b"payload" * 10_000
    assert server.tls.read(1) == b"", "the end is announced"
    server.tls.write(b"answer")
    server.tls.unwrap()
    engine.received(server.outgoing.read())
    assert engine.read() == b"answer"
    assert engine.is_over


def test_an_end_that_is_not_announced_is_told_after_what_came_before(certificates: Path) -> None:
    engine, server = connected(certificates)
    server.tls.write(b"half")
    engine.received(server.outgoing.read())
    engine.received(b"")
    assert engine.read() == b"half"
    with pytest.raises(ssl.SSLError):
        engine.read()
    assert engine.is_broken


def test_nothing_to_read_yet(certificates: Path) -> None:
    engine, _ = connected(certificates)
    assert engine.read() == b""
    assert not engine.is_over
