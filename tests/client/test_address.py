from __future__ import annotations

import os

import pytest

from receptor.client.address import Address, TcpAddress, UnixAddress, parse_address
from receptor.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/tmp/foo.sock", UnixAddress("/tmp/foo.sock")),
        ("foo.sock", UnixAddress("foo.sock")),
        ("unix:foo.sock", UnixAddress("foo.sock")),
        ("unix:///tmp/foo.sock", UnixAddress("/tmp/foo.sock")),
        ("unix:/tmp/foo.sock", UnixAddress("/tmp/foo.sock")),
        ("~/foo.sock", UnixAddress(os.path.expanduser("~/foo.sock"))),
        ("/tmp/odd:name", UnixAddress("/tmp/odd:name")),
        ("tcp://localhost:1234", TcpAddress("localhost", 1234)),
        ("tcp:localhost:1234", TcpAddress("localhost", 1234)),
        ("tls://node.example:27199", TcpAddress("node.example", 27199, tls=True)),
        ("tcp://[::1]:8888", TcpAddress("::1", 8888)),
        ("tcp://::1:8888", TcpAddress("::1", 8888)),
    ],
)
def test_forms_of_an_address(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "unix:", "http://host:80", "tcp://host", "tcp://:80", "tls:host", "a\0b"])
def test_what_is_no_address_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(ConfigurationError, match="tcp://host:port"):
        parse_address(text)


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_port_that_does_not_exist_is_refused(port: str) -> None:
    with pytest.raises(ConfigurationError, match="1 to 65535"):
        parse_address(f"tcp://host:{port}")


@pytest.mark.parametrize("text", ["/tmp/foo.sock", "tcp://host:1", "tls://[::1]:2"])
def test_an_address_prints_as_it_is_written(text: str) -> None:
    assert str(parse_address(text)) == text
