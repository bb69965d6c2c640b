"""What clients may take of a node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ControlLimits:
    """Bounds on control sessions. Each is at least 1."""

    line: int = 1024 * 1024
    """Bytes of the longest control line that is read."""
    clients: int = 20_000
    """Sessions at once that come over the mesh or TCP; as many again may come by Unix sockets.

    A node that follows one of its units here holds two.
    """
