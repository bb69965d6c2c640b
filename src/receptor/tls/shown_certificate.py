"""A certificate that this node shows, as it is told to people; light, since a node without TLS loads it too."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec


class ShownCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know of it. ``node_ids`` are none if its names are malformed; both times are in UTC."""

    file: Path
    subject: str
    node_ids: tuple[str, ...]
    not_before: datetime
    not_after: datetime
