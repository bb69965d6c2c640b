"""What units of work may take of a node."""

from __future__ import annotations

import msgspec


class WorkLimits(msgspec.Struct, frozen=True):
    """Bounds on what all, or one submitter, may have on this node. ``payload`` is in bytes."""

    units: int = 100_000
    """Units on disk, whoever submitted them, ended or not."""
    running: int = 10_000
    """Units of one submitter that have not ended."""
    payload: int = 64 * 1024**3


DEFAULT_LIMITS = WorkLimits()
