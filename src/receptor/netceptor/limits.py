"""How much of everything that strangers can grow a node holds at most."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MeshLimits:
    """The limits of the mesh. Each is at least 1; what goes beyond is refused or dropped with a notice in the log."""

    unlinked_sessions: int = 256
    """Sessions with strangers who have dialled us and not set up a link yet. Ours to peers that we dial don't count."""

    sessions: int = 4_096
    """Sessions in all, those with a link included. Ours to peers that we dial are opened all the same."""

    link_backlog: int = 64 * MEBIBYTE
    """Bytes that may wait to be sent on one link; a neighbour that reads slower than that loses its link."""

    nodes: int = 10_000
    """Nodes of which we keep routing updates. When there are more, the unreachable are forgotten first."""

    edges: int = 100_000
    """Links between nodes, each counted once in either direction, that these routing updates name together."""

    services_of_a_node: int = 1_000
    """Services that one other node may advertise, ended ones included until they are forgotten."""

    advertised_bytes: int = 64 * MEBIBYTE
    """Size of all advertisements of other nodes together."""

    seen_updates: int = 100_000
    """Routing updates whose ids are remembered, so that they are passed on once; the oldest are forgotten first."""

    streams: int = 32_768
    """Streams in all, in both directions. To follow a unit on another node takes two."""

    unopened_streams: int = 1_000
    """Streams that others have begun to open to us and whose handshake is not done."""

    pings: int = 1_024
    """Pings of this node that wait for an answer."""


DEFAULT_LIMITS = MeshLimits()
