from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from receptor.client.tls_settings import TlsSettings
from receptor.client.tls_stream import TlsStream

Service = Callable[[ssl.SSLSocket, BinaryIO], None]


@contextmanager
def stream_to(
    service: Service, certificates: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[TlsStream]:
    """A stream to a service that takes an end without announcement for the error that it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    context.load_cert_chain(certificates / "server.pem")
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            wrapped = context.wrap_socket(theirs, server_side=True, suppress_ragged_eofs=False)
            with wrapped, wrapped.makefile("rb") as file:
                service(wrapped, file)
        except BaseException as failure:  # noqa: BLE001 (raised again in the test's thread)
            failures.append(failure)

    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.settimeout(10)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    stream = TlsStream(ours, TlsSettings(rootcas=str(certificates / "ca.pem")).context(), "localhost")
    yield stream
    stream.close()
    thread.join(10)
    assert not thread.is_alive()
    for failure in failures:
        raise failure


def everything(stream: TlsStream) -> bytes:
    return b"".join(iter(lambda: stream.recv(65536), b""))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_end_of_one_direction_leaves_the_other_open(certificates: Path, version: ssl.TLSVersion) -> None:
    def service(sock: ssl.SSLSocket, file: BinaryIO) -> None:
        sock.sendall(file.read().upper())
        sock.unwrap()

    with stream_to(service, certificates, version) as stream:
        stream.sendall(b"payload" * 100_000)
        stream.shutdown(socket.SHUT_WR)
        assert everything(stream) == b"PAYLOAD" * 100_000
        assert stream.recv(1) == b""


def test_an_end_that_is_not_announced_is_an_error(certificates: Path) -> None:
    with stream_to(lambda sock, file: sock.sendall(b"half"), certificates) as stream:
        assert stream.recv(65536) == b"half"
        with pytest.raises(ssl.SSLEOFError):
            stream.recv(65536)


def test_both_directions_at_once(certificates: Path) -> None:
    blob = os.urandom(2_000_000)
    received: list[bytes] = []

    def service(sock: ssl.SSLSocket, file: BinaryIO) -> None:
        sock.sendall(blob)
        received.append(file.read())
        sock.unwrap()

    with stream_to(service, certificates) as stream:

        def send() -> None:
            stream.sendall(blob)
            stream.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        assert everything(stream) == blob
        sender.join()
    assert received == [blob]


def test_the_certificate_of_the_server(certificates: Path) -> None:
    with stream_to(lambda sock, file: None, certificates) as stream:
        expected = ssl.PEM_cert_to_DER_cert((certificates / "ca.pem").read_text())
        assert stream.certificate() == expected
