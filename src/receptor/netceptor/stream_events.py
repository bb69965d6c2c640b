"""What happens to one stream over QUIC, and how one is closed. Apart from ``quic.py``, which takes long to load."""

from __future__ import annotations

import msgspec

NORMAL_CLOSE = 0
STREAM_ERROR = 500
NORMAL_REASON = "normal close"


class Opened(msgspec.Struct, frozen=True):
    """The stream may be used."""


class Received(msgspec.Struct, frozen=True):
    """Bytes of the far end."""

    data: bytes


class Ended(msgspec.Struct, frozen=True):
    """The far end has closed its half."""


class Broken(msgspec.Struct, frozen=True):
    """The connection is over; without a problem if somebody closed it in order."""

    problem: str | None
