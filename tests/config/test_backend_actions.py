from __future__ import annotations

import pytest

from receptor.config.backend_actions import TcpListener, TcpPeer, UdpListener, UdpPeer, WsListener, WsPeer
from receptor.config.keys import Action
from receptor.config.kind import Written
from receptor.config.kinds import Address
from receptor.config.written import WrittenAction, WrittenValue, read_action
from receptor.errors import ConfigurationError


def read(name: str, **values: Written) -> Action:
    return read_action(WrittenAction(name, "c.yml:1", tuple(WrittenValue(k, v, "c.yml:1") for k, v in values.items())))


ADMITTED = frozenset({"bar"})
LISTENER: dict[str, Written] = {
    "port": "1", "bindaddr": "::1", "cost": "2.5", "nodecost": {"bar": "3"}, "allowedpeers": "bar",
}  # fmt: skip
PEER: dict[str, Written] = {"redial": "no", "cost": "2.5", "allowedpeers": ["bar"]}


@pytest.mark.parametrize(
    ("written", "action"),
    [
        (
            read("tcp-listener", **LISTENER, tls="t"),
            TcpListener(port=1, bind_address="::1", cost=2.5, node_cost={"bar": 3.0}, allowed_peers=ADMITTED, tls="t"),
        ),
        (
            read("udp-listener", **LISTENER),
            UdpListener(port=1, bind_address="::1", cost=2.5, node_cost={"bar": 3.0}, allowed_peers=ADMITTED),
        ),
        (
            read("ws-listener", **LISTENER, tls="t", path="/mesh"),
            WsListener(
                port=1,
                bind_address="::1",
                cost=2.5,
                node_cost={"bar": 3.0},
                allowed_peers=ADMITTED,
                tls="t",
                path="/mesh",
            ),
        ),
        (
            read("tcp-peer", address="bar:1", tls="t", **PEER),
            TcpPeer(address=Address("bar", 1), redial=False, cost=2.5, allowed_peers=ADMITTED, tls="t"),
        ),
        (
            read("udp-peer", address="[::1]:1", **PEER),
            UdpPeer(address=Address("::1", 1), redial=False, cost=2.5, allowed_peers=ADMITTED),
        ),
        (
            read("ws-peer", address="wss://bar/mesh", extraheader="X-Origin: foo", tls="t", **PEER),
            WsPeer(
                address="wss://bar/mesh",
                extra_header=("X-Origin", "foo"),
                redial=False,
                cost=2.5,
                allowed_peers=ADMITTED,
                tls="t",
            ),
        ),
    ],
)
def test_backends_as_people_write_them(written: Action, action: Action) -> None:
    assert written == action


@pytest.mark.parametrize(("name", "main"), [("tcp-listener", "port"), ("udp-peer", "address"), ("ws-peer", "address")])
def test_what_a_backend_needs(name: str, main: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^c\.yml:1: {name} needs '{main}'$"):
        read(name, cost="1")


@pytest.mark.parametrize("name", ["udp-listener", "udp-peer"])
def test_there_is_no_tls_over_udp(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^c\.yml:1: {name} has no key 'tls'; its keys: "):
        read(name, tls="t")


def test_without_more_every_node_may_link() -> None:
    listener, peer = read("ws-listener", port="1"), read("ws-peer", address="ws://bar")
    assert listener == WsListener(port=1, bind_address="0.0.0.0", cost=1.0, path="/", tls="", allowed_peers=None)
    assert peer == WsPeer(address="ws://bar", redial=True, cost=1.0, extra_header=None, tls="", allowed_peers=None)
