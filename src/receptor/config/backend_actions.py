"""The actions that link a node to others: one listener and one dialer for each backend."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from receptor.config import kinds
from receptor.config.keys import About, Action, written
from receptor.config.kinds import Address


class Listener(Action, frozen=True, kw_only=True):
    """A backend that accepts links. ``allowed_peers`` None admits every node."""

    port: Annotated[int, written("port", kinds.PORT, "Port to listen on; 0 takes any free one.", main=True)]
    bind_address: Annotated[str, written("bindaddr", kinds.HOST, "Address of this machine to listen on.")] = "0.0.0.0"
    cost: Annotated[float, written("cost", kinds.COST, "Cost of a link; routes are those that cost least.")] = 1.0
    node_cost: Annotated[
        Mapping[str, float],
        written("nodecost", kinds.NODE_COSTS, "Cost of a link with these nodes, instead of 'cost'."),
    ] = MappingProxyType({})
    allowed_peers: Annotated[
        frozenset[str] | None,
        written("allowedpeers", kinds.NODE_IDS, "The only nodes that may link.", default="every node"),
    ] = None


class Peer(Action, frozen=True, kw_only=True):
    """A backend that dials. ``allowed_peers`` None accepts whichever node answers."""

    redial: Annotated[
        bool, written("redial", kinds.BOOLEAN, "Whether to dial again when the link is lost or can't be made.")
    ] = True
    cost: Annotated[float, written("cost", kinds.COST, "Cost of the link; routes are those that cost least.")] = 1.0
    allowed_peers: Annotated[
        frozenset[str] | None,
        written("allowedpeers", kinds.NODE_IDS, "The only nodes that may answer.", default="every node"),
    ] = None


class TcpListener(Listener, frozen=True, kw_only=True):
    """Links over TCP; ``tls`` names a tls-server, or is empty."""

    about = About(
        "tcp-listener",
        "Accepts links from other nodes on a TCP port.",
        "- tcp-listener:\n    port: 2222\n    bindaddr: 127.0.0.1\n"
        "    allowedpeers: [bar, baz]\n    nodecost: {baz: 2.5}",
    )

    tls: Annotated[str, written("tls", kinds.TEXT, "The tls-server that secures the links.", default="no TLS")] = ""


class TcpPeer(Peer, frozen=True, kw_only=True):
    """A link over TCP; ``tls`` names a tls-client, or is empty."""

    about = About(
        "tcp-peer",
        "Links to another node's tcp-listener.",
        "- tcp-peer:\n    address: foo.example.com:2222\n    cost: 2.0",
    )

    address: Annotated[Address, written("address", kinds.ADDRESS, "Where the other node listens.", main=True)]
    tls: Annotated[str, written("tls", kinds.TEXT, "The tls-client that secures the link.", default="no TLS")] = ""


class UdpListener(Listener, frozen=True, kw_only=True):
    """Links over UDP."""

    about = About(
        "udp-listener",
        "Accepts links from other nodes on a UDP port.",
        "- udp-listener:\n    port: 2222\n    cost: 2.0",
    )


class UdpPeer(Peer, frozen=True, kw_only=True):
    """A link over UDP."""

    about = About(
        "udp-peer",
        "Links to another node's udp-listener.",
        "- udp-peer:\n    address: foo.example.com:2222\n    cost: 2.0",
    )

    address: Annotated[Address, written("address", kinds.ADDRESS, "Where the other node listens.", main=True)]


class WsListener(Listener, frozen=True, kw_only=True):
    """Links over WebSocket; ``tls`` names a tls-server, or is empty."""

    about = About(
        "ws-listener",
        "Accepts links from other nodes over WebSocket.",
        "- ws-listener:\n    port: 8080\n    path: /mesh",
    )

    path: Annotated[str, written("path", kinds.URL_PATH, "Path of the URL that links are accepted on.")] = "/"
    tls: Annotated[str, written("tls", kinds.TEXT, "The tls-server that secures the links.", default="no TLS")] = ""


class WsPeer(Peer, frozen=True, kw_only=True):
    """A link over WebSocket; ``tls`` names a tls-client, or is empty: then a ``wss`` address is checked by the
    authorities that the system trusts."""

    about = About(
        "ws-peer",
        "Links to another node's ws-listener.",
        "- ws-peer:\n    address: wss://foo.example.com:8080/mesh\n    extraheader: 'X-Origin: bar'",
    )

    address: Annotated[str, written("address", kinds.WS_URL, "URL of the other node's listener.", main=True)]
    extra_header: Annotated[
        tuple[str, str] | None,
        written("extraheader", kinds.HEADER, "HTTP header to send when dialling.", default="none"),
    ] = None
    tls: Annotated[
        str, written("tls", kinds.TEXT, "The tls-client that secures the link.", default="what the system trusts")
    ] = ""
