"""The actions that link a node to others: one listener and one dialer for each backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from receptor.config import kinds
from receptor.config.keys import About, Action, written
from receptor.config.kinds import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener(Action):
    """A backend that accepts links. ``allowed_peers`` None admits every node."""

    port: int = field(
        metadata=written("port", kinds.PORT, "Port to listen on; 0 takes any free one.", main=True),
    )
    bind_address: str = field(
        default="0.0.0.0",
        metadata=written("bindaddr", kinds.HOST, "Address of this machine to listen on."),
    )
    cost: float = field(
        default=1.0,
        metadata=written("cost", kinds.COST, "Cost of a link; routes are those that cost least."),
    )
    node_cost: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({}),
        metadata=written("nodecost", kinds.NODE_COSTS, "Cost of a link with these nodes, instead of 'cost'."),
    )
    allowed_peers: frozenset[str] | None = field(
        default=None,
        metadata=written("allowedpeers", kinds.NODE_IDS, "The only nodes that may link.", default="every node"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer(Action):
    """A backend that dials. ``allowed_peers`` None accepts whichever node answers."""

    redial: bool = field(
        default=True,
        metadata=written("redial", kinds.BOOLEAN, "Whether to dial again when the link is lost or can't be made."),
    )
    cost: float = field(
        default=1.0,
        metadata=written("cost", kinds.COST, "Cost of the link; routes are those that cost least."),
    )
    allowed_peers: frozenset[str] | None = field(
        default=None,
        metadata=written("allowedpeers", kinds.NODE_IDS, "The only nodes that may answer.", default="every node"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpListener(Listener):
    """Links over TCP; ``tls`` names a tls-server, or is empty."""

    about = About(
        "tcp-listener",
        "Accepts links from other nodes on a TCP port.",
        "- tcp-listener:\n    port: 2222\n    bindaddr: 127.0.0.1\n"
        "    allowedpeers: [bar, baz]\n    nodecost: {baz: 2.5}",
    )

    tls: str = field(
        default="",
        metadata=written("tls", kinds.TEXT, "The tls-server that secures the links.", default="no TLS"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpPeer(Peer):
    """A link over TCP; ``tls`` names a tls-client, or is empty."""

    about = About(
        "tcp-peer",
        "Links to another node's tcp-listener.",
        "- tcp-peer:\n    address: foo.example.com:2222\n    cost: 2.0",
    )

    address: Address = field(
        metadata=written("address", kinds.ADDRESS, "Where the other node listens.", main=True),
    )
    tls: str = field(
        default="",
        metadata=written("tls", kinds.TEXT, "The tls-client that secures the link.", default="no TLS"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpListener(Listener):
    """Links over UDP."""

    about = About(
        "udp-listener",
        "Accepts links from other nodes on a UDP port.",
        "- udp-listener:\n    port: 2222\n    cost: 2.0",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpPeer(Peer):
    """A link over UDP."""

    about = About(
        "udp-peer",
        "Links to another node's udp-listener.",
        "- udp-peer:\n    address: foo.example.com:2222\n    cost: 2.0",
    )

    address: Address = field(
        metadata=written("address", kinds.ADDRESS, "Where the other node listens.", main=True),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WsListener(Listener):
    """Links over WebSocket; ``tls`` names a tls-server, or is empty."""

    about = About(
        "ws-listener",
        "Accepts links from other nodes over WebSocket.",
        "- ws-listener:\n    port: 8080\n    path: /mesh",
    )

    path: str = field(
        default="/",
        metadata=written("path", kinds.URL_PATH, "Path of the URL that links are accepted on."),
    )
    tls: str = field(
        default="",
        metadata=written("tls", kinds.TEXT, "The tls-server that secures the links.", default="no TLS"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WsPeer(Peer):
    """A link over WebSocket; ``tls`` names a tls-client, or is empty: then a ``wss`` address is checked by the
    authorities that the system trusts."""

    about = About(
        "ws-peer",
        "Links to another node's ws-listener.",
        "- ws-peer:\n    address: wss://foo.example.com:8080/mesh\n    extraheader: 'X-Origin: bar'",
    )

    address: str = field(
        metadata=written("address", kinds.WS_URL, "URL of the other node's listener.", main=True),
    )
    extra_header: tuple[str, str] | None = field(
        default=None,
        metadata=written("extraheader", kinds.HEADER, "HTTP header to send when dialling.", default="none"),
    )
    tls: str = field(
        default="",
        metadata=written("tls", kinds.TEXT, "The tls-client that secures the link.", default="what the system trusts"),
    )
