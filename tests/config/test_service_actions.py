from __future__ import annotations

from pathlib import Path

import pytest

from receptor.config.kind import Written
from receptor.config.kinds import Address
from receptor.config.service_actions import (
    CommandService,
    Service,
    TcpClient,
    TcpServer,
    UdpClient,
    UdpServer,
    UnixSocketClient,
    UnixSocketServer,
)
from receptor.config.written import WrittenAction, WrittenValue, read_action
from receptor.errors import ConfigurationError


def read(name: str, **values: Written) -> object:
    return read_action(WrittenAction(name, "c.yml:1", tuple(WrittenValue(k, v, "c.yml:1") for k, v in values.items())))


REMOTE: dict[str, Written] = {"remotenode": "bar", "remoteservice": "web"}


@pytest.mark.parametrize(
    ("written", "service"),
    [
        (
            read("tcp-server", port="1", bindaddr="::1", tlsserver="s", tlsclient="c", **REMOTE),
            TcpServer(1, "bar", "web", "::1", tls_server="s", tls_client="c"),
        ),
        (
            read("tcp-client", service="web", address="localhost:80", tlsserver="s", tlsclient="c"),
            TcpClient("web", Address("localhost", 80), tls_server="s", tls_client="c"),
        ),
        (read("udp-server", port="0", **REMOTE), UdpServer(0, "bar", "web", "0.0.0.0")),
        (read("udp-client", service="dns", address="[::1]:53"), UdpClient("dns", Address("::1", 53))),
        (
            read("unix-socket-server", filename="/s", permissions="0660", tls="c", **REMOTE),
            UnixSocketServer(Path("/s"), "bar", "web", 0o660, "c"),
        ),
        (
            read("unix-socket-client", service="web", filename="/s", tls="s"),
            UnixSocketClient("web", Path("/s"), "s"),
        ),
        (
            read("command-service", service="sh", command="bash -i", tls="s"),
            CommandService("sh", "bash -i", "s"),
        ),
    ],
)
def test_services_as_people_write_them(written: object, service: Service) -> None:
    assert written == service


def test_others_may_not_use_a_socket_unless_told() -> None:
    assert read("unix-socket-server", filename="/s", **REMOTE) == UnixSocketServer(Path("/s"), "bar", "web", 0o600)


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("tcp-server", "'port' and 'remotenode' and 'remoteservice'"),
        ("tcp-client", "'service' and 'address'"),
        ("udp-server", "'port' and 'remotenode' and 'remoteservice'"),
        ("udp-client", "'service' and 'address'"),
        ("unix-socket-server", "'filename' and 'remotenode' and 'remoteservice'"),
        ("unix-socket-client", "'service' and 'filename'"),
        ("command-service", "'service' and 'command'"),
    ],
)
def test_what_a_service_needs(name: str, needed: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        read(name)
    assert str(told.value) == f"c.yml:1: {name} needs {needed}"


@pytest.mark.parametrize("service", ["ping", "unreach", "", "toolongname"])
def test_a_service_needs_a_name_that_fits(service: str) -> None:
    with pytest.raises(ConfigurationError, match=r"service must be a name of at most 8 bytes other than"):
        read("tcp-client", service=service, address="localhost:80")
