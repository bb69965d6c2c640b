from __future__ import annotations

from ipaddress import IPv4Network, ip_network
from pathlib import Path

import pytest

from receptor.config.kind import Written
from receptor.config.kinds import Address
from receptor.config.service_actions import (
    CommandService,
    IpRouter,
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
        (
            read("ip-router", networkname="vpn", localnet="10.9.0.1/30", interface="t", routes="192.0.2.7/24, ::1"),
            IpRouter("vpn", IPv4Network("10.9.0.0/30"), "t", (ip_network("192.0.2.0/24"), ip_network("::1/128"))),
        ),
        (read("ip-router", networkname="vpn", localnet="10.9.0.0/30"), IpRouter("vpn", IPv4Network("10.9.0.0/30"))),
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
        ("ip-router", "'networkname' and 'localnet'"),
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


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("localnet", "10.9.0.0/24", "a network of four addresses"),
        ("localnet", "2001:db8::/126", "a network of four addresses"),
        ("routes", "192.0.2.0/24 10.0.0.0/8", "networks with commas between them"),
        ("interface", "sixteen-letters-", "the name of an interface, of at most 15 bytes"),
        ("interface", "a/b", "the name of an interface"),
        ("networkname", "", "a name of at most 8 bytes"),
    ],
)
def test_a_network_has_to_fit(key: str, value: str, expected: str) -> None:
    values: dict[str, Written] = {"networkname": "vpn", "localnet": "10.9.0.0/30", key: value}
    with pytest.raises(ConfigurationError, match=f"{key} must be {expected}"):
        read("ip-router", **values)
