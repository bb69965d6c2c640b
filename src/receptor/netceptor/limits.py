"""How much of everything that strangers can grow a node holds at most."""

from __future__ import annotations

import msgspec

MEBIBYTE = 1024 * 1024


class MeshLimits(msgspec.Struct, frozen=True):
    """The limits of the mesh, each at least 1. What goes beyond one is refused or dropped, and the log says so."""

    unlinked_sessions: int = 256
    """Sessions of those who have dialled us and not set up a link yet. Sessions that we dial don't count."""

    sessions: int = 4_096
    """Sessions in all, those with a link included. Those that we dial are opened in any case."""

    link_backlog: int = 16 * MEBIBYTE
    """Bytes that may wait to be sent on one link. Above half of it data is dropped; above all of it the link ends."""

    nodes: int = 10_000
    """Other nodes that are remembered; likewise nodes whose advertisements are. The unreachable are forgotten first."""

    edges: int = 100_000
    """Neighbours that the routing updates of all these nodes name together."""

    services_of_a_node: int = 1_000
    """Services that one other node may advertise; ended ones count until they are forgotten."""

    advertised_bytes: int = 64 * MEBIBYTE
    """Memory for the advertisements of all other nodes together, about."""

    seen_updates: int = 100_000
    """Routing updates whose ids are remembered, so that they are passed on once; the oldest are forgotten first."""

    dialled_streams: int = 24_000
    """Streams that this node has opened, of about 45 KiB each. To follow a unit on another node takes two."""

    accepted_streams: int = 24_000
    """Streams that others have opened to this node."""

    unopened_streams: int = 1_000
    """Those of them whose handshake is not done yet."""

    pings: int = 1_024
    """Pings of this node that wait for an answer."""


DEFAULT_LIMITS = MeshLimits()
