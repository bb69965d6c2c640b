from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from fake_control import FakeNode, Peer, tcp_service

from receptor.client import connection as connection_module
from receptor.client.address import TcpAddress, UnixAddress
from receptor.client.connection import Connection, connect
from receptor.client.tls_settings import TlsSettings
from receptor.errors import ConfigurationError, OperatingError, PeerError, UnreachableError


def connect_to(node: FakeNode) -> Connection:
    return connect(UnixAddress(node.path))


def test_the_greeting_names_the_node(node: FakeNode) -> None:
    node.plays(lambda peer: peer.say("Receptor Control, node some node"))
    with connect_to(node) as connection:
        assert connection.node_id == "some node"


@pytest.mark.parametrize("greeting", ["HTTP/1.1 400 Bad Request", "Receptor Control, node ", "", "\xff\x00"])
def test_a_greeting_that_is_not_receptors(node: FakeNode, greeting: str) -> None:
    node.plays(lambda peer: peer.say(greeting))
    with pytest.raises(PeerError, match="not what a Receptor control service says"):
        connect_to(node)


def test_a_greeting_without_end_is_not_read_for_ever(node: FakeNode) -> None:
    node.plays(lambda peer: peer.send_on(b"x" * 4096))
    with pytest.raises(PeerError, match="more than 4096 bytes"):
        connect_to(node)


def test_closed_before_the_greeting(node: FakeNode) -> None:
    node.plays(lambda peer: None)
    with pytest.raises(UnreachableError, match="closed the connection instead of sending its greeting"):
        connect_to(node)


def test_silence_instead_of_a_greeting(node: FakeNode) -> None:
    connected = threading.Event()

    def silent(peer: Peer) -> None:
        connected.wait()
        assert peer.rest() == b""

    node.plays(silent)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(node.path)
        connected.set()
        connection = Connection(sock, UnixAddress(node.path))
        with pytest.raises(UnreachableError, match=r"did not send its greeting for 0\.01 s"):
            connection.read_greeting(seconds=0.01)


def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(OperatingError, match=r"there is no socket .*nosuch\.sock; start the node"):
        connect(UnixAddress(str(tmp_path / "nosuch.sock")))


def test_a_file_that_is_no_socket(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OperatingError, match="is a file but no socket"):
        connect(UnixAddress(str(file)))


def test_nobody_listens_any_more(tmp_path: Path) -> None:
    path = str(tmp_path / "dead.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    with pytest.raises(OperatingError, match="nobody listens"):
        connect(UnixAddress(path))


def test_no_permission(node: FakeNode) -> None:
    os.chmod(node.path, 0)
    user = os.geteuid()
    if user == 0:  # who may use every socket
        os.seteuid(65534)
    try:
        with pytest.raises(OperatingError, match="no permission"):
            connect_to(node)
    finally:
        os.seteuid(user)


def test_a_path_too_long_for_a_socket() -> None:
    with pytest.raises(OperatingError, match="too long"):
        connect(UnixAddress("/tmp/" + "x" * 200))


def test_a_full_queue_is_waited_for_and_then_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        monkeypatch.setattr(connection_module, "CONNECT_SECONDS", 0.02)
        with pytest.raises(UnreachableError, match=r"did not accept the connection within 0\.02 s"):
            connect(UnixAddress(path))


def test_lines_and_bytes_that_arrive_together_are_told_apart(node: FakeNode) -> None:
    node.plays(lambda peer: peer.send(b"Receptor Control, node fake\r\none\r\ntwo\nraw\0\xff"))
    with connect_to(node) as connection:
        assert connection.read_line("a line", 5) == "one"
        assert connection.read_line("a line", 5) == "two"
        assert b"".join(iter(connection.read_some, b"")) == b"raw\0\xff"


def test_a_long_line_in_pieces(node: FakeNode) -> None:
    line = "x" * 1_000_000

    def slow(peer: Peer) -> None:
        peer.greet()
        for start in range(0, len(line), 100_000):
            peer.send(line[start : start + 100_000].encode())
        peer.send(b"\n")

    node.plays(slow)
    with connect_to(node) as connection:
        assert connection.read_line("a line", 5) == line


def test_the_end_in_the_middle_of_a_line(node: FakeNode) -> None:
    node.plays(lambda peer: peer.send(b"Receptor Control, node fake\nhalf a li"))
    with connect_to(node) as connection, pytest.raises(UnreachableError, match="instead of sending the answer"):
        connection.read_line("the answer", 5)


def test_sending_to_a_node_that_is_gone(node: FakeNode) -> None:
    node.plays(Peer.greet)
    with connect_to(node) as connection:
        assert connection.read_some() == b""
        with pytest.raises(UnreachableError, match=r"broke \(Broken pipe\); see whether the node still runs"):
            connection.send(b"status\n")


def test_the_end_of_what_is_sent_leaves_the_answer_readable(node: FakeNode) -> None:
    def session(peer: Peer) -> None:
        peer.greet()
        peer.send(b"got " + peer.rest())

    node.plays(session)
    with connect_to(node) as connection:
        connection.send(b"payload")
        connection.close_write()
        assert b"".join(iter(connection.read_some, b"")) == b"got payload"


@pytest.mark.parametrize("tls", [False, True])
def test_over_tcp_with_and_without_tls(certificates: Path, tls: bool) -> None:
    """Also that the end of what is sent is announced so that the other side may still answer."""
    with tcp_service(certificates / "server.pem" if tls else None) as port:
        settings = TlsSettings(rootcas=str(certificates / "ca.pem"))
        with connect(TcpAddress("localhost", port, tls), settings) as connection:
            assert connection.node_id == "far"
            connection.send(b"hello" * 100_000)
            connection.close_write()
            assert b"".join(iter(connection.read_some, b"")) == b"HELLO" * 100_000


def test_a_certificate_that_nobody_vouches_for(certificates: Path) -> None:
    complaint = pytest.raises(ConfigurationError, match=r"is not trusted: .*--rootcas")
    with tcp_service(certificates / "server.pem") as port, complaint:
        connect(TcpAddress("localhost", port, tls=True))


def test_a_certificate_that_is_not_looked_at(certificates: Path) -> None:
    with tcp_service(certificates / "server.pem") as port:
        connection = connect(TcpAddress("localhost", port, tls=True), TlsSettings(insecureskipverify=True))
        assert connection.node_id == "far"
        connection.close()


def test_a_certificate_other_than_the_pinned_one(certificates: Path) -> None:
    with tcp_service(certificates / "server.pem") as port:
        settings = TlsSettings(insecureskipverify=True, pinnedservercert=("00" * 32,))
        with pytest.raises(ConfigurationError, match="none of the pinned fingerprints"):
            connect(TcpAddress("localhost", port, tls=True), settings)


def test_a_handshake_that_comes_byte_by_byte_has_one_limit_for_all_of_it() -> None:
    over = threading.Event()

    def drip() -> None:
        peer, _ = listener.accept()
        with peer, suppress(ConnectionError):
            peer.sendall(b"\x16\x03\x03\x40\x00")  # the head of a long record
            while not over.wait(0.01):
                peer.sendall(b"\0")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        address = TcpAddress("127.0.0.1", listener.getsockname()[1], tls=True)
        try:
            with pytest.raises(UnreachableError, match="does not complete a TLS handshake"):
                connect(address, deadline=time.monotonic() + 0.2)
        finally:
            over.set()
            thread.join()


def test_tls_with_a_service_that_does_not_speak_it() -> None:
    with tcp_service(None) as port, pytest.raises(UnreachableError, match="does it listen with TLS"):
        connect(TcpAddress("localhost", port, tls=True))


def test_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OperatingError, match=f"nobody listens on tcp://127.0.0.1:{port}"):
        connect(TcpAddress("127.0.0.1", port))
